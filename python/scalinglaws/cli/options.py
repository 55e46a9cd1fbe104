"""What the text of options means: columns, parameters, fixed values, priors, starts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import near
from ..law import Law
from ..param import Param
from ..priors import Prior, lognormal, normal
from ..result import Fit

__all__ = [
    "check_at",
    "formula_law",
    "read_at",
    "read_columns",
    "read_fixed",
    "read_over",
    "read_param",
    "read_priors",
    "read_starts",
]

# Where parameters of a bare formula start when nobody says: every size that a coefficient or an exponent
# takes.
DEFAULT_START = (1e-3, 1e6)

_PARAM = re.compile(
    r"\s*(?P<name>\w+)\s*=\s*(?P<domain>[^:]+?)\s*(?::\s*(?P<start>[^:]+?)\s*)?(?::\s*(?P<sampling>\w+)\s*)?"
)
_BOX = re.compile(r"\[?\s*(?P<low>[^,\[\]]+)\s*,\s*(?P<high>[^,\[\]]+)\s*\]?")


def read_columns(text: str | None) -> dict[str, str] | None:
    """Read ``N=params,D=tokens``.

    Parameters
    ----------
    text : str or None
        The option.

    Returns
    -------
    dict or None
        The law's names with the table's.
    """
    if text is None:
        return None
    out: dict[str, str] = {}
    for part in text.split(","):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not column:
            raise ValueError(f"--columns is a list such as N=params,D=tokens; cannot read {part.strip()!r}")
        if name in out:
            raise ValueError(f"--columns names {name!r} twice")
        out[name] = column
    return out


def read_at(texts: Iterable[str]) -> dict[str, float | str]:
    """Read a run such as ``N=7e10,D=1.4e12``; what is no number is a category.

    Parameters
    ----------
    texts : iterable of str
        The options, each a part of the run.

    Returns
    -------
    dict
        The input of a prediction.
    """
    out: dict[str, float | str] = {}
    for text in texts:
        for part in text.split(","):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or not name or not value:
                raise ValueError(f"--at is a run such as N=7e10,D=1.4e12; cannot read {part.strip()!r}")
            if name in out:
                raise ValueError(f"--at names {name!r} twice, and takes one run at a time")
            try:
                out[name] = float(value)
            except ValueError:
                out[name] = value
    return out


def check_at(point: Iterable[str], fit: Fit) -> None:
    """Refuse inputs of a run that the fit does not know: it would be predicted as if they were not there.

    Parameters
    ----------
    point : iterable of str
        Names of the inputs.
    fit : Fit
        Its inputs and categories may go by the law's names or by those of its table.
    """
    own = dict.fromkeys([*fit.law.inputs, *fit.law.groups.values()])
    known = {**{fit.columns.get(name, name): name for name in own}, **{name: name for name in own}}
    seen: dict[str, str] = {}
    for name in point:
        if name not in known:
            hint = near(name, known) or f" Its inputs are {', '.join(map(repr, own))}."
            raise ValueError(f"--at names {name!r}, which is no input of the law.{hint}")
        if known[name] in seen:
            raise ValueError(f"--at names {seen[known[name]]!r} and {name!r}, which are the same input")
        seen[known[name]] = name


def read_over(texts: Iterable[str]) -> dict[str, Any]:
    """Read ``i=web,code`` (labels) and ``i=3`` (the labels 1, 2, 3).

    Parameters
    ----------
    texts : iterable of str
        The options.

    Returns
    -------
    dict
        For ``Law.over``.
    """
    out: dict[str, Any] = {}
    for text in texts:
        index, equals, labels = (piece.strip() for piece in text.partition("="))
        if not equals or not index or not labels:
            raise ValueError(f"--over is INDEX=LABEL,LABEL or INDEX=NUMBER, not {text!r}")
        if index in out:
            raise ValueError(f"--over names the index {index!r} twice")
        number = labels.isascii() and labels.isdecimal()
        out[index] = int(labels) if number else tuple(label.strip() for label in labels.split(","))
    return out


def read_param(text: str) -> tuple[str, Param]:
    """Read ``alpha=positive:0.05..1.5``, ``E=real:1.7`` or ``t=[0,2]:0.1..1:log``.

    Parameters
    ----------
    text : str
        Name, domain (real, positive, unit or ``[low,high]``), and optionally the start range or value and the
        sampling (linear or log). A positive parameter whose range spans more than a factor of 100 is sampled
        in its logarithm if the sampling is not given.

    Returns
    -------
    str, Param
        The name and the declaration.
    """
    match = _PARAM.fullmatch(text)
    if match is None:
        raise ValueError(
            f"--param is NAME=DOMAIN:LOW..HIGH, for example alpha=positive:0.05..1.5, not {text!r}"
        )
    name, domain = match["name"], match["domain"]
    box = _BOX.fullmatch(domain)
    start: float | tuple[float, float] | None = None
    if match["start"] is not None:
        ends = [_number(end, f"--param {name}") for end in match["start"].split("..")]
        if len(ends) > 2:
            raise ValueError(f"--param {name}: the start is one number or LOW..HIGH, not {match['start']!r}")
        start = ends[0] if len(ends) == 1 else (ends[0], ends[1])
    sampling = match["sampling"]
    if start is None and domain == "positive":
        start = DEFAULT_START
    if sampling is None:
        wide = isinstance(start, tuple) and start[0] > 0.0 and start[1] > 100.0 * start[0]
        sampling = "log" if wide else "linear"
    limits: Any = (_number(box["low"], name), _number(box["high"], name)) if box else domain
    try:
        return name, Param(limits, start=start, sampling=sampling)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"--param {name}: {error}") from None


def read_fixed(texts: Iterable[str]) -> dict[str, Any]:
    """Read ``alpha=0.35`` (a number) and ``beta=alpha`` (a tie).

    Parameters
    ----------
    texts : iterable of str
        The options.

    Returns
    -------
    dict
        For ``fit(fixed=)``.
    """
    out: dict[str, Any] = {}
    for text in texts:
        name, equals, value = (piece.strip() for piece in text.partition("="))
        if not equals or not name or not value:
            raise ValueError(f"--fixed is NAME=VALUE or NAME=EXPRESSION, not {text!r}")
        try:
            out[name] = float(value)
        except ValueError:
            out[name] = value
    return out


def read_priors(texts: Iterable[str]) -> dict[str, Prior]:
    """Read ``alpha=normal:0.34,0.05`` and ``A=lognormal:400,0.5``.

    Parameters
    ----------
    texts : iterable of str
        The options.

    Returns
    -------
    dict of str to Prior
        For ``fit(priors=)``.
    """
    makers = {"normal": normal, "lognormal": lognormal}
    out: dict[str, Prior] = {}
    for text in texts:
        name, _, rest = (piece.strip() for piece in text.partition("="))
        kind, _, numbers = (piece.strip() for piece in rest.partition(":"))
        values = numbers.split(",")
        if not name or kind not in makers or len(values) != 2:
            raise ValueError(f"--prior is NAME=normal:MEAN,SD or NAME=lognormal:MEDIAN,SIGMA, not {text!r}")
        out[name] = makers[kind](*(_number(value, f"--prior {name}") for value in values))
    return out


def read_starts(text: str) -> int | str:
    """Read a number of starts, or ``paper``.

    Parameters
    ----------
    text : str
        The option.

    Returns
    -------
    int or str
        For ``fit(starts=)``.
    """
    if text == "paper":
        return text
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"--starts is a whole number or 'paper', not {text!r}") from None


def formula_law(
    formula: str, params: Sequence[str], columns: dict[str, str] | None, present: Iterable[str]
) -> tuple[Law, list[str]]:
    """Make a law of a bare formula.

    Parameters
    ----------
    formula : str
        The formula, with its target.
    params : sequence of str
        The ``--param`` options.
    columns : dict or None
        The ``--columns`` option.
    present : iterable of str
        Columns of the table.

    Returns
    -------
    Law
        Names with a ``--param`` are parameters, and so is every other name that is not a column of the table.
    list of str
        The parameters that got the default domain: positive, started between 1e-3 and 1e6.
    """
    from ..syntax import parse

    declared = dict(read_param(text) for text in params)
    tape = parse(formula)
    table = {*present, *(columns or {})}
    out: dict[str, Param] = {}
    taken: list[str] = []
    for name in tape.names:
        if name in declared:
            out[name] = declared[name]
        elif name not in table and name not in tape.groups.values():
            out[name] = Param("positive", start=DEFAULT_START, sampling="log")
            taken.append(name)
    for name in declared:
        if name not in out:
            raise ValueError(f"--param names {name!r}, which is not in the formula.{near(name, tape.names)}")
    if not out:
        raise ValueError("the formula has no parameter: every name in it is a column of the table")
    return Law(formula, params=out), taken


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{where}: {text.strip()!r} is not a number") from None
    if math.isnan(number):
        raise ValueError(f"{where}: {text.strip()!r} is not a number")
    return number
