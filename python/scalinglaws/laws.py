"""The catalogue of published laws, and the reader of law files.

A law file is TOML with the keys ``id title family formula describes target target_unit residual loss verified
papers notes``, the tables ``[inputs]`` (name to meaning), ``[params]`` (name to domain, start, sampling,
value, meaning), ``[grid]`` (parameter to its list of starts, or to ``{ log = [...] }``, natural logarithms),
``[ranges]`` (input to the range over which it is usually seen), and any number of ``[[published]]`` (source,
values, notes) and ``[[check]]`` (inputs, values or the index of a published set, result).
"""

from __future__ import annotations

import math
import re
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import FormulaError, near
from .losses import Loss
from .param import Param

if TYPE_CHECKING:
    from .law import Law

__all__ = ["Laws", "laws"]

_FOLDER = Path(__file__).parent / "catalogue"
_REQUIRED = ("id", "title", "formula", "params")
_TEXTS = (
    "id",
    "title",
    "family",
    "formula",
    "describes",
    "target",
    "target_unit",
    "residual",
    "loss",
    "notes",
)
_KEYS = (*_TEXTS, "verified", "papers", "inputs", "params", "grid", "ranges", "published", "check")
_PARAM_KEYS = ("domain", "start", "sampling", "value", "meaning")
_CHECK_TOLERANCE = 1e-9


class Laws(Mapping[str, "Law"]):
    """The laws of a folder by id: a mapping that loads each file when it is first asked for.

    Parameters
    ----------
    folder : path, optional
        A folder of law files; the package's own catalogue if not given.

    Examples
    --------
    >>> laws.chinchilla.target
    'L'
    >>> "kaplan_nd" in laws
    True
    >>> [law.id for law in laws.search("repeated data")]
    ['data_constrained']
    """

    def __init__(self, folder: str | PathLike[str] | None = None) -> None:
        self._folder = _FOLDER if folder is None else Path(folder)
        self._loaded: dict[str, Law] = {}
        self._lock = threading.Lock()

    def __getitem__(self, id: str) -> Law:
        """Return the law of that id, or raise KeyError with the nearest one."""
        # A known id is a file name of this folder; anything else must not become a path.
        known = self._ids()
        if id not in known:
            raise KeyError(
                f"there is no law {id!r}.{near(str(id), known)} laws.search(...) finds laws by topic"
            )
        with self._lock:
            if id not in self._loaded:
                self._loaded[id] = _File(self._folder / f"{id}.toml").law(check=False)
            return self._loaded[id]

    def __getattr__(self, id: str) -> Law:
        """Return the law of that id, or raise AttributeError with the nearest one."""
        if id.startswith("_"):
            raise AttributeError(id)
        try:
            return self[id]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids in alphabetical order."""
        return iter(self._ids())

    def __len__(self) -> int:
        """Return the number of laws."""
        return len(self._ids())

    def __contains__(self, id: object) -> bool:
        """Tell whether there is a law of that id, without loading it."""
        return id in self._ids()

    def __dir__(self) -> list[str]:
        """List the ids with the methods."""
        return sorted({*super().__dir__(), *self._ids()})

    def __repr__(self) -> str:
        """Return the number of laws and their ids."""
        return f"<{len(self)} laws: {', '.join(self)}>"

    def search(self, text: str) -> list[Law]:
        """Find laws by topic.

        Parameters
        ----------
        text : str
            Words; small and capital letters are the same. A law is found if each word occurs in its id,
            title, family, description or papers.

        Returns
        -------
        list of Law
            In alphabetical order of ids; empty if nothing fits.
        """
        words = text.casefold().split()
        found = []
        for id in self._ids():
            document = _File(self._folder / f"{id}.toml").document
            texts = [str(document.get(key, "")) for key in ("id", "title", "family", "describes")]
            haystack = "\n".join([*texts, *map(str, document.get("papers", ()))]).casefold()
            if all(word in haystack for word in words):
                found.append(self[id])
        return found

    @staticmethod
    def load(path: str | PathLike[str]) -> Law:
        """Read a law from a file of one's own.

        Parameters
        ----------
        path : path
            A TOML file in the form of the catalogue's files.

        Returns
        -------
        Law
            The law. Its checks have been evaluated and hold to a relative 1e-9.

        Raises
        ------
        FormulaError
            If the formula cannot be read or uses a name that is not declared; with file, line and caret.
        ValueError
            If a table is wrong or a check fails; with file, line and table.
        """
        return _File(Path(path)).law(check=True)

    def _ids(self) -> list[str]:
        return sorted(path.stem for path in self._folder.glob("*.toml"))


@dataclass(frozen=True)
class _Place:
    """A table and perhaps a key in it, for messages: ``("params", "alpha")``, ``("check", 2, "result")``."""

    path: tuple[str | int, ...]

    def __str__(self) -> str:
        out = ""
        for part in self.path:
            out += f"[{part}]" if isinstance(part, int) else (f".{part}" if out else part)
        return out


class _File:
    """One law file while it is read; every complaint names the file, the line and the table."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        try:
            self.document = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path}: this is not TOML: {error}") from None

    def law(self, *, check: bool) -> Law:
        from .law import Law

        document = self.document
        self.known_keys((), document, _KEYS)
        for key in _REQUIRED:
            if key not in document:
                self.refuse((), f"the key {key!r} is missing")
        for key in _TEXTS:
            if not isinstance(document.get(key, ""), str):
                self.refuse((key,), f"must be text, not {document[key]!r}")
        params = {name: self.param(name, entry) for name, entry in self.table("params").items()}
        if not params:
            self.refuse(("params",), "there is no parameter")
        inputs = self.table("inputs") if "inputs" in document else None
        published = [
            self.published(index, entry, params) for index, entry in enumerate(self.tables("published"))
        ]
        checks = [self.check(index, entry, published) for index, entry in enumerate(self.tables("check"))]
        self.ranges(inputs)
        if check:
            self.evaluate(params, inputs, checks)
        grid, loss = self.grid(params), self.loss()
        try:
            return Law(
                document["formula"],
                params=params,
                inputs=inputs,
                target=document.get("target"),
                id=document["id"],
                title=document["title"],
                describes=document.get("describes", ""),
                target_unit=document.get("target_unit", ""),
                papers=tuple(document.get("papers", ())),
                published=published,
                checks=checks,
                grid=grid,
                notes=document.get("notes", "").strip(),
                residual=document.get("residual"),
                loss=loss,
                verified=bool(document.get("verified", False)),
            )
        except FormulaError as error:
            raise self.located(error) from None
        except ValueError as error:
            self.refuse((), str(error))

    def loss(self) -> Loss | None:
        if "loss" not in self.document:
            return None
        try:
            return Loss.parse(self.document["loss"])
        except ValueError as error:
            self.refuse(("loss",), str(error))

    def param(self, name: str, entry: Any) -> Param:
        place = ("params", name)
        if not isinstance(entry, dict):
            self.refuse(place, "must be a table with at least the key 'domain'")
        self.known_keys(place, entry, _PARAM_KEYS)
        if "domain" not in entry:
            self.refuse(place, "the key 'domain' is missing")
        try:
            return Param(**entry)
        except ValueError as error:
            self.refuse(place, str(error))

    def published(self, index: int, entry: dict[str, Any], params: Mapping[str, Param]) -> dict[str, Any]:
        place = ("published", index)
        self.known_keys(place, entry, ("source", "values", "notes"))
        if not isinstance(entry.get("source"), str):
            self.refuse(place, "the key 'source' is missing")
        values = self.numbers((*place, "values"), entry.get("values"))
        for name, value in values.items():
            base = name.partition("[")[0]
            if base not in params:
                self.refuse(place, f"there is no parameter {name!r}.{near(name, params)}")
            if not params[base].contains(value):
                self.refuse(place, f"{name} = {value!r} lies outside its domain {params[base].domain!r}")
        return {**entry, "values": values}

    def check(
        self, index: int, entry: dict[str, Any], published: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        place = ("check", index)
        self.known_keys(place, entry, ("inputs", "values", "published", "result"))
        if ("values" in entry) == ("published" in entry):
            self.refuse(place, "needs either 'values' or the index 'published', not both")
        if "published" in entry:
            which = entry["published"]
            if not isinstance(which, int) or not 0 <= which < len(published):
                self.refuse(
                    place, f"there is no published set {which!r}; there are {len(published)}, counted from 0"
                )
            values = published[which]["values"]
        else:
            values = self.numbers((*place, "values"), entry["values"])
        if not isinstance(entry.get("result"), int | float):
            self.refuse(place, "the number 'result' is missing")
        inputs = self.numbers((*place, "inputs"), entry.get("inputs", {}))
        return {"inputs": inputs, "values": values, "result": float(entry["result"])}

    def evaluate(
        self,
        params: Mapping[str, Param],
        inputs: Mapping[str, Any] | None,
        checks: Sequence[Mapping[str, Any]],
    ) -> None:
        """Read the formula with the reference evaluator, and hold it against the checks."""
        from .reference import Reference
        from .syntax import parse

        formula = self.document["formula"]
        try:
            tape = parse(formula)
            known = None if inputs is None else {*params, *inputs}
            for name, position in tape.names.items():
                if known is not None and name not in known:
                    message = f"{name!r} is declared neither in [params] nor in [inputs].{near(name, known)}"
                    raise FormulaError(message, formula, position)
            reference = Reference(formula, params)
        except FormulaError as error:
            raise self.located(error) from None
        for index, check in enumerate(checks):
            held = {name: param.value for name, param in params.items() if param.value is not None}
            row = {**held, **check["values"], **check["inputs"]}
            for name in (*reference.inputs, *reference.params):
                if name not in row:
                    self.refuse(("check", index), f"there is no value for {name!r}.{near(name, row)}")
            value, expected = float(reference.value({k: float(v) for k, v in row.items()})), check["result"]
            if not math.isclose(value, expected, rel_tol=_CHECK_TOLERANCE, abs_tol=0.0):
                self.refuse(("check", index, "result"), f"the formula gives {value!r}, not {expected!r}")

    def grid(self, params: Mapping[str, Param]) -> dict[str, list[float]] | None:
        if "grid" not in self.document:
            return None
        out: dict[str, list[float]] = {}
        for name, entry in self.table("grid").items():
            place = ("grid", name)
            if name not in params:
                self.refuse(place, f"there is no parameter {name!r}.{near(name, params)}")
            logs = isinstance(entry, dict)
            values = entry.get("log") if logs else entry
            if (logs and set(entry) != {"log"}) or not isinstance(values, list) or not values:
                self.refuse(place, "must be a list of numbers, or { log = [...] }")
            try:
                numbers = [math.exp(float(value)) if logs else float(value) for value in values]
            except (TypeError, ValueError, OverflowError):
                self.refuse(place, f"cannot read the numbers {values!r}")
            for number in numbers:
                if not params[name].contains(number):
                    self.refuse(place, f"{number!r} lies outside the domain {params[name].domain!r}")
            out[name] = numbers
        for name in params:
            if name not in out:
                self.refuse(("grid",), f"the parameter {name!r} is missing: a grid names every parameter")
        return out

    def ranges(self, inputs: Mapping[str, Any] | None) -> None:
        if "ranges" not in self.document:
            return
        for name, entry in self.table("ranges").items():
            place = ("ranges", name)
            if inputs is not None and name not in inputs:
                self.refuse(place, f"there is no input {name!r}.{near(name, inputs)}")
            pair = (
                isinstance(entry, list)
                and len(entry) == 2
                and all(isinstance(end, int | float) for end in entry)
            )
            if not pair or not entry[0] < entry[1]:
                self.refuse(place, f"must be [low, high], not {entry!r}")

    def table(self, name: str) -> dict[str, Any]:
        table = self.document[name]
        if not isinstance(table, dict):
            self.refuse((name,), "must be a table")
        return table

    def tables(self, name: str) -> list[dict[str, Any]]:
        tables = self.document.get(name, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.refuse((name,), f"must be written [[{name}]]")
        return tables

    def numbers(self, place: tuple[str | int, ...], entry: Any) -> dict[str, float]:
        if not isinstance(entry, dict):
            self.refuse(place, "must be a table of numbers")
        for name, value in entry.items():
            if not isinstance(value, int | float) or isinstance(value, bool):
                self.refuse(place, f"{name} must be a number, not {value!r}")
        return {name: float(value) for name, value in entry.items()}

    def known_keys(
        self, place: tuple[str | int, ...], table: Mapping[str, Any], known: Sequence[str]
    ) -> None:
        for key in table:
            if key not in known:
                self.refuse((*place, key), f"unknown key.{near(key, known)}")

    def located(self, error: FormulaError) -> FormulaError:
        line = self.line(("formula",))
        return FormulaError(f"{self.path}:{line}: formula: {error.message}", error.text, error.position)

    def refuse(self, place: tuple[str | int, ...], message: str) -> NoReturn:
        where = f" {_Place(place)}:" if place else ""
        raise ValueError(f"{self.path}:{self.line(place)}:{where} {message}")

    def line(self, place: tuple[str | int, ...]) -> int:
        """Return the line on which a table or key begins, else that of the nearest table around it."""
        tables = [str(part) for part in place if not isinstance(part, int)]
        index = next((part for part in place if isinstance(part, int)), 0)
        best, depth, seen, header = 1, 0, -1, []
        for number, line in enumerate(self.text.splitlines(), start=1):
            if match := re.match(r"\s*(\[\[?)\s*([\w.\-\" ]+?)\s*\]\]?\s*(#.*)?$", line):
                header = [part.strip(' "') for part in match[2].split(".")]
                seen += match[1] == "[[" and header == tables[:1]
                here = header
            elif match := re.match(r"\s*([\w\-\"]+)\s*=", line):
                here = [*header, match[1].strip('"')]
            else:
                continue
            if match[0].lstrip().startswith("[[") or header == tables[:1]:
                is_array = any(isinstance(part, int) for part in place)
                if is_array and seen != index:
                    continue
            if here == tables[: len(here)] and len(here) > depth:
                best, depth = number, len(here)
        return best


laws = Laws()
