"""Fits as versioned JSON: plain text that any language reads, never pickle."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from .data import Labels
from .declared import Design
from .inference import CovKind
from .law import Law
from .losses import Loss
from .param import Param
from .priors import Prior
from .problem import Problem
from .records import Basin, StartsReport
from .result import Fit
from .ties import bind
from .uncertainty.clusters import Clusters

if TYPE_CHECKING:
    from .uncertainty.bootstrap import Bootstrap
    from .uncertainty.diagnostics import Diagnostics

__all__ = [
    "bootstrap_from_dict",
    "bootstrap_to_dict",
    "fit_from_dict",
    "fit_to_dict",
    "law_from_dict",
    "law_to_dict",
    "load",
    "save",
    "write",
]

_FORMAT = "scalinglaws.fit"
_DRAWS = "scalinglaws.bootstrap"
_VERSION = 1
_COV: tuple[CovKind, ...] = ("sandwich", "classical", "hessian")
_LAW_TEXTS = ("formula", "target", "id", "title", "family", "describes", "target_unit", "notes")


def law_to_dict(law: Law) -> dict[str, Any]:
    """Return what makes a law, as plain values.

    Parameters
    ----------
    law : Law
        The law.

    Returns
    -------
    dict
        Input of `law_from_dict`.
    """
    made = law._definition
    # A template is stored as one; the expanded formula is there for readers that are not this library.
    template = {} if law.template is None else {"over": _lists(made["over"]), "expanded": law.formula}
    design = made["design"]
    return {
        **{key: made[key] for key in _LAW_TEXTS},
        "papers": list(law.papers),
        "residual": law.residual,
        "loss": None if law.loss is None else str(law.loss),
        "verified": law.verified,
        "inputs": made["inputs"],
        "params": {
            name: {
                "domain": [_plain(end) for end in param.domain]
                if isinstance(param.domain, tuple)
                else param.domain,
                "start": list(param.start) if isinstance(param.start, tuple) else param.start,
                "sampling": param.sampling,
                "value": param.value,
                "meaning": param.meaning,
            }
            for name, param in made["params"].items()
        },
        "grid": _lists(made["grid"]),
        "ranges": _lists(made["ranges"]),
        "design": None if design is None else {"values": _lists(design.values), "rows": design.rows},
        "published": [asdict(entry) for entry in law.published],
        "checks": [asdict(entry) for entry in law.checks],
        **template,
    }


def law_from_dict(content: Mapping[str, Any]) -> Law:
    """Make a law from the dictionary of `law_to_dict`.

    Parameters
    ----------
    content : mapping
        The dictionary.

    Returns
    -------
    Law
        The law.
    """
    params = {}
    for name, entry in content["params"].items():
        domain, start = entry["domain"], entry["start"]
        params[name] = Param(
            domain=(float(domain[0]), float(domain[1])) if isinstance(domain, list) else domain,
            start=(float(start[0]), float(start[1])) if isinstance(start, list) else start,
            sampling=entry["sampling"],
            value=entry["value"],
            meaning=entry["meaning"],
        )
    made = ("formula", "params", "design", "expanded")
    rest = {key: value for key, value in content.items() if key not in made}
    design = content.get("design")
    return Law(content["formula"], params=params, design=None if design is None else Design(**design), **rest)


def fit_to_dict(fit: Fit, *, data: bool = True) -> dict[str, Any]:
    """Return a fit as plain lists, numbers and strings.

    Parameters
    ----------
    fit : Fit
        The fit.
    data : bool
        Whether to include the rows; without them covariances are stored instead.

    Returns
    -------
    dict
        Ready for strict JSON: numbers that are not finite stand as the texts ``"nan"``, ``"inf"``,
        ``"-inf"``.
    """
    problem = fit._problem
    if data:
        problem = fit._need_rows("to_dict(data=True)")
    content: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "library": _core.build_info().get("version", ""),
        "law": law_to_dict(fit.law),
        "fixed": {
            **{name: tie.text for name, tie in fit._binding.ties.items()},
            **{name: _plain(value) for name, value in problem.fixed.items()},
        },
        "priors": {name: asdict(prior) for name, prior in problem.priors.items()},
        "residual": fit.residual,
        "loss": str(fit.loss),
        "columns": fit.columns,
        "backend": fit.backend,
        "values": {name: _plain(value) for name, value in fit.values.items()},
        "stderr": {name: _plain(value) for name, value in fit.stderr().items()},
        "theta": _list(fit._theta),
        "objective": _plain(fit.objective),
        "status": fit.status,
        "success": fit.success,
        "valid": fit.valid,
        "message": fit.message,
        "basins": [
            {
                "objective": _plain(basin.objective),
                "values": {name: _plain(value) for name, value in basin.values.items()},
                "hits": basin.hits,
                "status": basin.status,
            }
            for basin in fit.basins
        ],
        "starts": {
            **asdict(fit.starts),
            "best": None if fit.starts.best is None else [_plain(value) for value in fit.starts.best],
        },
        "nobs": fit.nobs,
        "rss": _plain(fit.rss),
        "seconds": _plain(fit.seconds),
        "data_hash": fit.data_hash,
        "categories": {column: list(labels) for column, labels in problem.categories.items()},
    }
    if data:
        content["data"] = {
            "target": _list(problem.target),
            "inputs": {name: _list(column) for name, column in problem.inputs.items()},
            "codes": {name: column.tolist() for name, column in problem.codes.items()},
            "weights": _list(problem.weights),
        }
        if fit._labels:
            content["data"]["labels"] = {
                name: {"codes": column.codes.tolist(), "names": list(column.names)}
                for name, column in fit._labels.items()
            }
    else:
        content["diagnostics"] = _plain_all(asdict(fit.diagnostics))
        content["known"] = {
            "cost": _plain(fit._cost),
            "log_weights": _plain(fit._log_weights),
            **{f"cov_{kind}": [_list(row) for row in fit.cov(kind)] for kind in _COV},
        }
    return content


def fit_from_dict(content: Mapping[str, Any]) -> Fit:
    """Make a fit from the dictionary of `fit_to_dict`.

    Parameters
    ----------
    content : mapping
        The dictionary.

    Returns
    -------
    Fit
        The fit; without rows if they were left out.

    Raises
    ------
    ValueError
        If this is not a fit, or one of a newer version of the library.
    """
    with _whole("fit"):
        return _fit(content)


def _fit(content: Mapping[str, Any]) -> Fit:
    _check_format(content, _FORMAT, "fit")
    law = law_from_dict(content["law"])
    fixed = {name: value if _is_tie(value) else float(value) for name, value in content["fixed"].items()}
    binding, _ = bind(
        law, {name: value for name, value in fixed.items() if isinstance(value, str) or value == 0.0}
    )
    fitted = binding.fitted
    rows = content.get("data")
    categories = {column: tuple(labels) for column, labels in content["categories"].items()}
    none = np.empty(0)
    problem = Problem(
        law=fitted,
        target=_array(rows["target"]) if rows else none,
        inputs={name: _array(rows["inputs"][name]) if rows else none for name in fitted.inputs},
        codes={name: np.array(rows["codes"][name] if rows else [], dtype=np.uint32) for name in categories},
        categories=categories,
        weights=_array(rows["weights"]) if rows else none,
        residual=content["residual"],
        loss=Loss.parse(content["loss"]),
        fixed={
            name: value
            for name, value in fixed.items()
            if name not in binding.ties and not isinstance(value, str)
        },
        priors={name: Prior(**entry) for name, entry in content["priors"].items()},
    )
    known: dict[str, Any] = {"rss": float(content["rss"]), "data_hash": content["data_hash"]}
    for name, value in content.get("known", {}).items():
        known[name] = np.array([_array(row) for row in value]) if name.startswith("cov_") else float(value)
    if "diagnostics" in content:
        known["diagnostics"] = _diagnostics(content["diagnostics"])
    return Fit(
        law=law,
        residual=content["residual"],
        loss=problem.loss,
        backend=content["backend"],
        objective=float(content["objective"]),
        status=content["status"],
        success=content["success"],
        valid=content["valid"],
        message=content["message"],
        basins=tuple(
            Basin(
                objective=float(basin["objective"]),
                values={name: float(value) for name, value in basin["values"].items()},
                hits=basin["hits"],
                status=basin["status"],
            )
            for basin in content["basins"]
        ),
        starts=_starts(content["starts"]),
        nobs=content["nobs"],
        columns=dict(content["columns"]),
        seconds=float(content["seconds"]),
        _problem=problem,
        _binding=binding,
        _theta=_array(content["theta"]),
        _labels={
            name: Labels(np.array(entry["codes"], dtype=np.uint32), tuple(entry["names"]))
            for name, entry in (rows or {}).get("labels", {}).items()
        },
        _known=known,
    )


def bootstrap_to_dict(boot: Bootstrap) -> dict[str, Any]:
    """Return a bootstrap with its fit as plain lists, numbers and strings.

    Parameters
    ----------
    boot : Bootstrap
        The draws.

    Returns
    -------
    dict
        Ready for strict JSON, as from `fit_to_dict`.
    """
    return {
        "format": _DRAWS,
        "version": _VERSION,
        "library": _core.build_info().get("version", ""),
        "kind": boot.kind,
        "factor": boot.factor,
        "by": boot.by,
        "clusters": None if boot._clusters is None else _clusters(boot._clusters),
        "seed": boot.seed,
        "names": list(boot.names),
        "draws": [_list(row) for row in boot.draws],
        "objective": _list(boot.objective),
        "status": list(boot.status),
        "start": boot.start.tolist(),
        "seconds": boot.seconds,
        "fit": fit_to_dict(boot.fit),
    }


def bootstrap_from_dict(content: Mapping[str, Any]) -> Bootstrap:
    """Make a bootstrap from the dictionary of `bootstrap_to_dict`.

    Parameters
    ----------
    content : mapping
        The dictionary.

    Returns
    -------
    Bootstrap
        The draws with their fit.

    Raises
    ------
    ValueError
        If this is no bootstrap, or one of a newer version of the library.
    """
    with _whole("bootstrap"):
        return _bootstrap(content)


def _bootstrap(content: Mapping[str, Any]) -> Bootstrap:
    from .uncertainty.bootstrap import Bootstrap

    _check_format(content, _DRAWS, "bootstrap")
    count, width = len(content["status"]), len(content["names"])
    for name in ("draws", "objective", "start"):
        if len(content[name]) != count:
            raise ValueError(
                f"this saved bootstrap is damaged: {name!r} has {len(content[name])} entries, "
                f"'status' {count}"
            )
    for index, row in enumerate(content["draws"]):
        if len(row) != width:
            raise ValueError(
                f"this saved bootstrap is damaged: draw {index} has {len(row)} values, 'names' {width}"
            )
    clusters = None if content["clusters"] is None else _read_clusters(content["by"], content["clusters"])
    draws = [_array(row) for row in content["draws"]]
    return Bootstrap(
        fit=fit_from_dict(content["fit"]),
        kind=content["kind"],
        factor=content["factor"],
        by=content["by"],
        clusters=None if clusters is None else clusters.count,
        seed=content["seed"],
        names=tuple(content["names"]),
        draws=np.array(draws),
        objective=_array(content["objective"]),
        status=tuple(content["status"]),
        start=np.array(content["start"], dtype=np.int64),
        seconds=float(content["seconds"]),
        _clusters=clusters,
    )


def save(fit: Fit, path: str | os.PathLike[str], *, data: bool = True) -> None:
    """Write a fit as JSON; the file appears whole or not at all.

    Parameters
    ----------
    fit : Fit
        The fit.
    path : path
        File to write.
    data : bool
        Whether to include the rows.
    """
    write(fit_to_dict(fit, data=data), path)


def write(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write plain values as JSON; the file appears whole or not at all."""
    import json
    from secrets import token_hex

    target = Path(path)
    text = json.dumps(content, allow_nan=False, indent=1, ensure_ascii=False)
    # The temporary file lies in the same folder, because a rename is atomic only within one file system.
    draft = target.with_name(f".{target.name}.{token_hex(8)}.tmp")
    try:
        try:
            with draft.open("x", encoding="utf-8") as stream:
                stream.write(text + "\n")
            os.replace(draft, target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        # The name of the draft says nothing to who asked for `path`.
        raise OSError(error.errno, error.strerror or str(error), os.fspath(path)) from error


def load(path: str | os.PathLike[str]) -> Any:
    """Read what `Fit.save` or `Bootstrap.save` wrote.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    Fit or Bootstrap
        Equal in every number to what was saved.

    Raises
    ------
    ValueError
        If the file is neither, or one of a newer version.
    """
    import json

    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{os.fspath(path)} is not a saved fit: {error}") from None
    if isinstance(content, Mapping) and content.get("format") == _DRAWS:
        return bootstrap_from_dict(content)
    return fit_from_dict(content)


def _plain_all(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain_all(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_all(entry) for entry in value]
    return _plain(value) if isinstance(value, float) else value


def _diagnostics(content: Mapping[str, Any]) -> Diagnostics:
    from .uncertainty.diagnostics import Diagnostics, Direction

    directions = tuple(
        Direction(
            eigenvalue=float(entry["eigenvalue"]),
            step={name: float(value) for name, value in entry["step"].items()},
            names=tuple(entry["names"]),
            words=entry["words"],
        )
        for entry in content["directions"]
    )
    return Diagnostics(
        names=tuple(content["names"]),
        spectrum=tuple(map(float, content["spectrum"])),
        condition=float(content["condition"]),
        directions=directions,
        effective=float(content["effective"]),
        distinct={name: int(count) for name, count in content["distinct"].items()},
        bounds=dict(content["bounds"]),
        unmoved=tuple(content["unmoved"]),
        notes=tuple(content["notes"]),
    )


def _starts(content: Mapping[str, Any]) -> StartsReport:
    # Files of the first releases do not hold the start of the best fit.
    best = content.get("best")
    known = {name: value for name, value in content.items() if name != "best"}
    return StartsReport(**known, best=None if best is None else tuple(map(float, best)))


@contextmanager
def _whole(what: str) -> Iterator[None]:
    """Say of a file that lacks an entry that it is damaged."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"this saved {what} is damaged: it has no {error}") from error
    except TypeError as error:
        raise ValueError(f"this saved {what} is damaged: {error}") from error


def _check_format(content: Any, expected: str, what: str) -> None:
    if not isinstance(content, Mapping) or content.get("format") != expected:
        raise ValueError(f"this is not a saved {what} of scalinglaws")
    if content["version"] > _VERSION:
        raise ValueError(
            f"this {what} was saved in format {content['version']} by scalinglaws {content.get('library')}; "
            f"this version reads up to format {_VERSION}: update scalinglaws"
        )


def _clusters(clusters: Clusters) -> dict[str, Any]:
    # Keys may be of any type; as texts they still say which cluster is meant.
    return {"codes": clusters.codes.tolist(), "keys": list(map(str, clusters.keys)), "count": clusters.count}


def _read_clusters(name: str, entry: Mapping[str, Any]) -> Clusters:
    return Clusters(name, tuple(entry["keys"]), np.array(entry["codes"], dtype=np.intp), entry["count"])


def _plain(value: float) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _lists(entries: Mapping[str, Any] | None) -> dict[str, list[Any]] | None:
    return None if entries is None else {name: list(values) for name, values in entries.items()}


def _list(values: NDArray[np.float64]) -> list[float | str]:
    return [_plain(value) for value in values.tolist()]


def _array(values: list[float | str]) -> NDArray[np.float64]:
    return np.array([float(value) for value in values], dtype=np.float64)


def _is_tie(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False
