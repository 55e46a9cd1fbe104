"""The reader of law files.

A law file is TOML with the keys ``id aliases title family formula describes target target_unit residual
loss verified papers notes``, the tables ``[inputs]`` (name to meaning), ``[params]`` (name to domain, start,
sampling, value, meaning), ``[grid]`` (parameter to its list of starts, or to ``{ log = [...] }``, natural
logarithms), ``[ranges]`` (input to the range over which it is usually seen), ``[design]`` (input to the
values of an experiment like the paper's; ``rows`` is ``"product"`` or ``"paired"``), ``[over]`` (index of a
template to its labels), and any number of ``[[published]]`` (source, values, notes) and ``[[check]]``
(inputs, values or the index of a published set, result). A grouped parameter has a table of values, category
to number, and the input of its column is text.

In a template, inputs, params, grid, ranges and design are declared by placeholder (``"C{i}"``) or by
expanded name (``C1``); published sets and checks give numbers, so they name what the labels of ``[over]``
make.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .declared import Check, Design, Published, as_check
from .errors import FormulaError, near
from .losses import Loss
from .param import Param
from .places import line_of, spoken_place

if TYPE_CHECKING:
    from .law import Law
    from .templates import Expansion

__all__ = ["LawFile"]

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
_LISTS = ("aliases", "papers")
_TABLES = ("inputs", "params", "grid", "ranges", "design", "over", "published", "check")
_KEYS = (*_TEXTS, *_LISTS, "verified", *_TABLES)
_PARAM_KEYS = ("domain", "start", "sampling", "value", "meaning")
_CHECK_TOLERANCE = 1e-9


def _is_number(entry: Any) -> bool:
    return isinstance(entry, int | float) and not isinstance(entry, bool)


class LawFile:
    """One law file while it is read; every complaint names the file, the line and the table.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    ValueError
        If it is not TOML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: this is not UTF-8, which TOML has to be: {error}") from None
        try:
            self.document = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path}: this is not TOML: {error}") from None

    @property
    def id(self) -> str:
        """The id of the law, which is also the name of a catalogue's file."""
        return str(self.document.get("id", self.path.stem))

    @property
    def family(self) -> str:
        """The family of the law; empty where the file does not say."""
        return str(self.document.get("family", ""))

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other ids of the law."""
        return self.texts("aliases")

    def contains(self, words: Sequence[str], *, notes: bool = True) -> bool:
        """Tell whether each word occurs in what the file says about the law.

        Parameters
        ----------
        words : sequence of str
            Words without capital letters.
        notes : bool, default True
            Whether the notes count, which mention much in passing.

        Returns
        -------
        bool
            True if all of them do.
        """
        keys = ("id", "title", "family", "describes", *(("notes",) if notes else ()))
        texts = [*(str(self.document.get(key, "")) for key in keys), *self.aliases, *self.texts("papers")]
        haystack = "\n".join(texts).casefold()
        return all(word in haystack for word in words)

    def law(self, *, check: bool) -> Law:
        """Make the law.

        Parameters
        ----------
        check : bool
            Whether to evaluate the checks, with the evaluator that shares no code with the compiled kernels.

        Returns
        -------
        Law
            The law.

        Raises
        ------
        FormulaError
            If the formula cannot be read or uses a name that is not declared; with file, line and caret.
        ValueError
            If a table is wrong or a check fails; with file, line and table.
        """
        from .law import Law

        document = self.document
        self.known_keys((), document, _KEYS)
        for key in _REQUIRED:
            if key not in document:
                self.refuse((), f"the key {key!r} is missing")
        for key in _TEXTS:
            self.is_text((key,), document.get(key, ""))
        for key in _REQUIRED[:-1]:
            if not document[key].strip():
                self.refuse((key,), "is empty")
        if not isinstance(document.get("verified", False), bool):
            self.refuse(("verified",), f"must be true or false, not {document['verified']!r}")
        for key in _LISTS:
            self.texts(key)
        declared = {name: self.param(name, entry) for name, entry in self.table("params").items()}
        inputs = self.table("inputs") if "inputs" in document else None
        for name, meaning in (inputs or {}).items():
            self.is_text(("inputs", name), meaning)
        if not declared and not inputs:
            self.refuse(("params",), "there is no parameter, and no declared input either")
        expansion = self.expansion()
        params = self.expanded("params", declared, expansion)
        columns = None if inputs is None else self.expanded("inputs", inputs, expansion)
        published = tuple(
            Published(**self.published(index, entry, params))
            for index, entry in enumerate(self.tables("published"))
        )
        checks = [
            as_check(self.check(index, entry, published), published)
            for index, entry in enumerate(self.tables("check"))
        ]
        ranges, design = self.ranges(columns, expansion), self.design(columns, expansion)
        formula = document["formula"] if expansion is None else expansion.formula
        if check:
            self.evaluate(formula, params, columns, published, checks)
        grid, loss = self.grid(params, expansion), self.loss()
        try:
            return Law(
                document["formula"],
                params=declared,
                inputs=inputs,
                target=document.get("target"),
                id=document["id"],
                title=document["title"],
                family=self.family,
                describes=document.get("describes", ""),
                target_unit=document.get("target_unit", ""),
                papers=self.texts("papers"),
                published=published,
                checks=checks,
                grid=grid,
                ranges=ranges,
                design=design,
                notes=document.get("notes", "").strip(),
                residual=document.get("residual"),
                loss=loss,
                verified=document.get("verified", False),
                over=None if expansion is None else expansion.labels,
            )
        except FormulaError as error:
            raise self.located(error) from None
        except ValueError as error:
            self.refuse((), str(error))

    def expansion(self) -> Expansion | None:
        """Expand the formula over the labels of ``[over]``; None if it has no placeholder."""
        from .templates import Template

        formula = self.document["formula"]
        if not Template.is_template(formula):
            if "over" in self.document:
                self.refuse(("over",), "the formula has no index, such as sum[i](...)")
            return None
        labels = self.table("over") if "over" in self.document else {}
        try:
            template = Template.read(formula)
        except FormulaError as error:
            raise self.located(error) from None
        try:
            return template.over(labels)
        except FormulaError as error:
            raise self.located(error) from None
        except (TypeError, ValueError) as error:
            self.refuse(("over",), str(error).removeprefix("over: "))

    def expanded(
        self, table: str, declared: Mapping[str, Any], expansion: Expansion | None
    ) -> dict[str, Any]:
        """Expand the names of a table, with complaints that name it."""
        if expansion is None:
            return dict(declared)
        try:
            return expansion.expand(declared)
        except ValueError as error:
            self.refuse((table,), str(error))

    def loss(self) -> Loss | None:
        """Read the loss."""
        if "loss" not in self.document:
            return None
        try:
            return Loss.parse(self.document["loss"])
        except ValueError as error:
            self.refuse(("loss",), str(error))

    def param(self, name: str, entry: Any) -> Param:
        """Read one entry of ``[params]``."""
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
        """Read one set of coefficients, those of grouped parameters as ``A[category]``."""
        place = ("published", index)
        self.known_keys(place, entry, ("source", "values", "notes"))
        if not isinstance(entry.get("source"), str):
            self.refuse(place, "the text 'source' is missing")
        self.is_text((*place, "notes"), entry.get("notes", ""))
        values: dict[str, float] = {}
        for name, value in self.coefficients((*place, "values"), entry.get("values")).items():
            by_category = isinstance(value, dict)
            values.update({f"{name}[{key}]": v for key, v in value.items()} if by_category else {name: value})
        for name, value in values.items():
            base = name.partition("[")[0]
            if base not in params:
                self.refuse(place, f"there is no parameter {name!r}.{near(name, params)}")
            if not params[base].contains(value):
                self.refuse(place, f"{name} = {value!r} lies outside its domain {params[base].domain!r}")
        return {**entry, "values": values}

    def check(self, index: int, entry: dict[str, Any], published: Sequence[Published]) -> dict[str, Any]:
        """Read one worked example."""
        place = ("check", index)
        self.known_keys(place, entry, ("inputs", "values", "published", "result"))
        if ("values" in entry) == ("published" in entry):
            self.refuse(place, "needs either 'values' or the index 'published', not both")
        inputs = entry.get("inputs", {})
        if not isinstance(inputs, dict):
            self.refuse((*place, "inputs"), "must be a table")
        numbers = self.numbers(
            (*place, "inputs"), {k: v for k, v in inputs.items() if not isinstance(v, str)}
        )
        if not _is_number(entry.get("result")):
            self.refuse(place, "the number 'result' is missing")
        given: dict[str, Any]
        if "published" in entry:
            which = entry["published"]
            if not _is_number(which) or which not in range(len(published)):
                self.refuse(
                    place, f"there is no published set {which!r}; there are {len(published)}, counted from 0"
                )
            given = {"published": which}
        else:
            given = {"values": self.coefficients((*place, "values"), entry["values"])}
        row = {name: numbers.get(name, inputs[name]) for name in inputs}
        return {**given, "inputs": row, "result": float(entry["result"])}

    def coefficients(self, place: tuple[str | int, ...], entry: Any) -> dict[str, Any]:
        """Read numbers by parameter, or by parameter and category."""
        if not isinstance(entry, dict):
            self.refuse(place, "must be a table of numbers")
        return {
            name: self.numbers((*place, name), value)
            if isinstance(value, dict)
            else self.numbers(place, {name: value})[name]
            for name, value in entry.items()
        }

    def evaluate(
        self,
        formula: str,
        params: Mapping[str, Param],
        inputs: Mapping[str, Any] | None,
        published: Sequence[Published],
        checks: Sequence[Check],
    ) -> None:
        """Read the formula with the reference evaluator, and hold it against what the tables say."""
        from .reference import Reference
        from .syntax import parse

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
        for name in inputs or ():
            if name not in tape.names and name not in tape.groups.values():
                self.refuse(("inputs", name), "the formula does not use it")
        for index, entry in enumerate(published):
            for name in entry.values:
                base, bracket, _ = name.partition("[")
                if bool(bracket) != (base in tape.groups):
                    kind = "is" if base in tape.groups else "is not"
                    self.refuse(("published", index), f"{base!r} {kind} grouped by a column: {name!r}")
        for index, check in enumerate(checks):
            held = {name: param.value for name, param in params.items() if param.value is not None}
            try:
                row = {**held, **check.numbers(tape.groups)}
            except ValueError as error:
                self.refuse(("check", index), str(error))
            for name in (*reference.inputs, *reference.params):
                if name not in row:
                    self.refuse(("check", index), f"there is no value for {name!r}.{near(name, row)}")
            value = float(reference.value(row))
            if not math.isclose(value, check.result, rel_tol=_CHECK_TOLERANCE, abs_tol=0.0):
                self.refuse(("check", index, "result"), f"the formula gives {value!r}, not {check.result!r}")

    def grid(self, params: Mapping[str, Param], expansion: Expansion | None) -> dict[str, list[float]] | None:
        """Read ``[grid]``, by the names of the file."""
        if "grid" not in self.document:
            return None
        declared: dict[str, list[float]] = {}
        for name, entry in self.table("grid").items():
            place = ("grid", name)
            logs = isinstance(entry, dict)
            values = entry.get("log") if logs else entry
            if (logs and set(entry) != {"log"}) or not isinstance(values, list) or not values:
                self.refuse(place, "must be a list of numbers, or { log = [...] }")
            try:
                if not all(map(_is_number, values)):
                    raise ValueError
                declared[name] = [math.exp(value) if logs else float(value) for value in values]
            except (ValueError, OverflowError):
                self.refuse(place, f"cannot read the numbers {values!r}")
        out = self.expanded("grid", declared, expansion)
        for name, numbers in out.items():
            place = ("grid", name)
            if name not in params:
                self.refuse(place, f"there is no parameter {name!r}.{near(name, params)}")
            for number in numbers:
                if not params[name].contains(number):
                    self.refuse(place, f"{number!r} lies outside the domain {params[name].domain!r}")
        for name in params:
            if name not in out:
                self.refuse(("grid",), f"the parameter {name!r} is missing: a grid names every parameter")
        return declared

    def ranges(
        self, inputs: Mapping[str, Any] | None, expansion: Expansion | None
    ) -> dict[str, tuple[float, float]] | None:
        """Read ``[ranges]``, by the names of the file."""
        if "ranges" not in self.document:
            return None
        table = self.table("ranges")
        for name, entry in table.items():
            pair = isinstance(entry, list) and len(entry) == 2 and all(map(_is_number, entry))
            if not pair or not -math.inf < entry[0] < entry[1] < math.inf:
                self.refuse(("ranges", name), f"must be [low, high], not {entry!r}")
        for name in self.expanded("ranges", table, expansion):
            if inputs is not None and name not in inputs:
                self.refuse(("ranges", name), f"there is no input {name!r}.{near(name, inputs)}")
        return {name: (float(low), float(high)) for name, (low, high) in table.items()}

    def design(self, inputs: Mapping[str, Any] | None, expansion: Expansion | None) -> Design | None:
        """Read ``[design]``, by the names of the file."""
        if "design" not in self.document:
            return None
        table = dict(self.table("design"))
        rows = table.pop("rows", "product")
        for name, entry in table.items():
            if not isinstance(entry, list):
                self.refuse(("design", name), f"must be a list of values, not {entry!r}")
        names = self.expanded("design", table, expansion)
        for name in names:
            if inputs is not None and name not in inputs:
                self.refuse(("design", name), f"there is no input {name!r}.{near(name, inputs)}")
        for name in inputs or ():
            if name not in names:
                self.refuse(("design",), f"the input {name!r} is missing: a design names every input")
        try:
            return Design(table, rows)
        except ValueError as error:
            self.refuse(("design",), str(error))

    def is_text(self, place: tuple[str | int, ...], entry: Any) -> None:
        """Refuse what is not text."""
        if not isinstance(entry, str):
            self.refuse(place, f"must be text, not {entry!r}")

    def table(self, name: str) -> dict[str, Any]:
        """Return a table of the file."""
        table = self.document[name]
        if not isinstance(table, dict):
            self.refuse((name,), "must be a table")
        return table

    def tables(self, name: str) -> list[dict[str, Any]]:
        """Return the tables that are written ``[[name]]``."""
        tables = self.document.get(name, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.refuse((name,), f"must be written [[{name}]]")
        return tables

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        entry = self.document.get(key, [])
        if not isinstance(entry, list) or not all(isinstance(text, str) for text in entry):
            self.refuse((key,), f"must be a list of texts, not {entry!r}")
        return tuple(entry)

    def numbers(self, place: tuple[str | int, ...], entry: Any) -> dict[str, float]:
        """Read a table of numbers."""
        if not isinstance(entry, dict):
            self.refuse(place, "must be a table of numbers")
        for name, value in entry.items():
            if not _is_number(value):
                self.refuse(place, f"{name} must be a number, not {value!r}")
        return {name: float(value) for name, value in entry.items()}

    def known_keys(
        self, place: tuple[str | int, ...], table: Mapping[str, Any], known: Sequence[str]
    ) -> None:
        """Refuse keys that mean nothing here."""
        for key in table:
            if key not in known:
                self.refuse((*place, key), f"unknown key.{near(key, known)}")

    def located(self, error: FormulaError) -> FormulaError:
        """Add file and line to what is wrong with the formula."""
        line = line_of(self.text, ("formula",))
        return FormulaError(f"{self.path}:{line}: formula: {error.message}", error.text, error.position)

    def refuse(self, place: tuple[str | int, ...], message: str) -> NoReturn:
        """Raise ValueError with file, line and table."""
        where = f" {spoken_place(place)}:" if place else ""
        raise ValueError(f"{self.path}:{line_of(self.text, place)}:{where} {message}")
