"""What is known about a law besides its formula: printed coefficients, worked examples, ranges, a design."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import FormulaError, near
from .param import Domain, Param

__all__ = [
    "Check",
    "Design",
    "Published",
    "as_check",
    "as_design",
    "as_grid",
    "as_inputs",
    "as_meanings",
    "as_param",
    "as_published",
    "as_ranges",
    "fitting",
    "quoted",
]

Rows: TypeAlias = Literal["product", "paired"]
# A design is an experiment that somebody ran; more rows than this are a slip in the file.
_MAX_ROWS = 1_000_000


@dataclass(frozen=True)
class Published:
    """Coefficients that a paper or its code printed.

    Parameters
    ----------
    source : str
        Where the numbers stand.
    values : mapping of str to float
        One value per parameter, in natural units; ``"A[en]"`` is the value of a grouped one for a category.
    notes : str
        What a reader has to know to use them (data set, unit, convention).
    """

    source: str
    values: Mapping[str, float] = field(hash=False)
    notes: str = ""


@dataclass(frozen=True)
class Check:
    """One worked example: inputs, coefficients, and the number the law must give.

    Parameters
    ----------
    inputs : mapping of str to float or str
        Input columns, natural units; the category of a categorical one.
    values : mapping of str to float or mapping
        Coefficients; for a grouped one a mapping from category to number.
    result : float
        The value of the law there.

    Examples
    --------
    >>> import scalinglaws as sl
    >>> law = sl.laws.chinchilla
    >>> check = law.checks[0]
    >>> abs(law(**check.inputs, **check.values) / check.result - 1) < 1e-12
    True
    """

    inputs: Mapping[str, float | str] = field(hash=False)
    values: Mapping[str, float | Mapping[str, float]] = field(hash=False)
    result: float

    def numbers(self, groups: Mapping[str, str]) -> dict[str, float]:
        """Return the row as plain numbers, without its categories.

        Parameters
        ----------
        groups : mapping of str to str
            Categorical column of each grouped parameter, as in ``law.groups``.

        Returns
        -------
        dict of str to float
            Numeric inputs and coefficients, a grouped one as it is in the category of the row.

        Raises
        ------
        ValueError
            If the row has no category for a grouped coefficient, or the coefficient no value for it.
        """
        out: dict[str, float] = {name: float(x) for name, x in self.inputs.items() if not isinstance(x, str)}
        for name, value in self.values.items():
            if isinstance(value, Mapping):
                label = str(self.inputs.get(groups.get(name, ""), ""))
                if label not in value:
                    raise ValueError(f"{name!r} has no value for the category {label!r}.{near(label, value)}")
                value = value[label]
            out[name] = float(value)
        return out


@dataclass(frozen=True)
class Design:
    """The inputs of an experiment like the paper's, to simulate one.

    Parameters
    ----------
    values : mapping of str to sequence of float or str
        What each input takes; text for a categorical column.
    rows : {"product", "paired"}, default "product"
        Whether every combination is a row, or the k-th values of all inputs make the k-th row.

    Raises
    ------
    ValueError
        If an input has no value, or paired inputs are not equally long.

    Examples
    --------
    >>> Design({"N": [1e7, 1e8], "D": [1e9, 1e10]}).columns()["D"]
    array([1.e+09, 1.e+10, 1.e+09, 1.e+10])
    """

    values: Mapping[str, Sequence[float] | Sequence[str]] = field(hash=False)
    rows: Rows = "product"

    def __post_init__(self) -> None:
        """Freeze the values, and refuse rows that cannot be made."""
        if self.rows not in ("product", "paired"):
            raise ValueError(
                f"the rows of a design are 'product' or 'paired', not {self.rows!r}."
                f"{near(str(self.rows), ('product', 'paired'))}"
            )
        values = {name: _column(name, entry) for name, entry in self.values.items()}
        object.__setattr__(self, "values", values)
        lengths = {name: len(entry) for name, entry in values.items()}
        if self.rows == "paired" and len(set(lengths.values())) > 1:
            spoken = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ValueError(f"the inputs of a paired design are equally long, not {spoken}")
        if self.rows == "product" and math.prod(lengths.values()) > _MAX_ROWS:
            raise ValueError(
                f"the design has {math.prod(lengths.values())} rows; at most {_MAX_ROWS} make sense"
            )

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the rows as columns.

        Returns
        -------
        dict of str to ndarray, shape (n,)
            One column for each input; of a product the last input changes fastest.
        """
        combined = (
            zip(*self.values.values(), strict=True)
            if self.rows == "paired"
            else product(*self.values.values())
        )
        columns = list(zip(*combined, strict=True))
        return {name: np.array(column) for name, column in zip(self.values, columns, strict=True)}


def as_param(name: str, domain: Param | Domain) -> Param:
    """Make the declaration of a parameter.

    Parameters
    ----------
    name : str
        The parameter, for messages.
    domain : Param, str or (low, high)
        The declaration, or only its domain.

    Returns
    -------
    Param
        The declaration.
    """
    if isinstance(domain, Param):
        return domain
    try:
        return Param(domain)
    except (TypeError, ValueError) as error:
        raise ValueError(f"parameter {name!r}: {error}") from None


def as_inputs(inputs: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Make the declaration of the inputs, name to meaning."""
    return dict(inputs) if isinstance(inputs, Mapping) else {str(name): "" for name in inputs}


def as_meanings(
    declared: Mapping[str, str] | None, formula: str, used: Sequence[str], params: Sequence[str]
) -> dict[str, str]:
    """Hold the declared inputs against those that the formula uses.

    Parameters
    ----------
    declared : mapping of str to str, or None
        Meaning of each input; None where nothing was declared, and every name that is no parameter is one.
    formula : str
        The formula, for messages.
    used : sequence of str
        Inputs and categorical columns that it names.
    params : sequence of str
        The parameters.

    Returns
    -------
    dict of str to str
        The meanings.

    Raises
    ------
    FormulaError
        If the formula uses a name that is not declared; with the place.
    ValueError
        If a parameter is declared as an input, or an input is not used.
    """
    if declared is None:
        return {}
    for name in declared:
        if name in params:
            raise ValueError(f"{name!r} is declared as a parameter and as an input")
    for name in used:
        if name not in declared:
            place = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", formula)
            raise FormulaError(
                f"{name!r} is neither a parameter nor an input of the law.{near(name, (*params, *declared))}",
                formula,
                place.start() if place else None,
            )
    for name in declared:
        if name not in used:
            raise ValueError(f"the input {name!r} is not used by the formula.{near(name, used)}")
    return dict(declared)


def as_published(entry: Published | Mapping[str, Any], names: tuple[str, ...]) -> Published:
    """Make a set of coefficients, after comparing its names with the parameters of the law.

    Parameters
    ----------
    entry : Published or mapping
        The set, or its arguments.
    names : tuple of str
        The parameters.

    Returns
    -------
    Published
        The set.
    """
    made = entry if isinstance(entry, Published) else Published(**entry)
    for name in made.values:
        base = name.partition("[")[0]
        if base not in names:
            raise ValueError(f"published values name {name!r}: no such parameter.{near(name, names)}")
    return made


def as_check(entry: Check | Mapping[str, Any], published: tuple[Published, ...]) -> Check:
    """Make a worked example, with the values of a published set in place of its index.

    Parameters
    ----------
    entry : Check or mapping
        The example; a mapping holds ``published`` (an index) or ``values``.
    published : tuple of Published
        The sets of the law.

    Returns
    -------
    Check
        The example.
    """
    if isinstance(entry, Check):
        return entry
    values = entry["values"] if "values" in entry else _by_category(published[int(entry["published"])].values)
    return Check(inputs=entry["inputs"], values=values, result=float(entry["result"]))


def as_grid(
    grid: Mapping[str, Sequence[float]] | None, params: Mapping[str, Param]
) -> Mapping[str, tuple[float, ...]] | None:
    """Make a grid of starts, in the order of the parameters.

    Parameters
    ----------
    grid : mapping of str to sequence of float, or None
        Starts of every parameter.
    params : mapping of str to Param
        The parameters.

    Returns
    -------
    mapping of str to tuple of float, or None
        The grid, read-only.
    """
    if grid is None:
        return None
    if set(grid) != set(params):
        raise ValueError(f"the grid must name every parameter once: {quoted(params)}, not {quoted(grid)}")
    return MappingProxyType({name: tuple(float(value) for value in grid[name]) for name in params})


def as_ranges(
    ranges: Mapping[str, Sequence[float]] | None, inputs: Sequence[str]
) -> Mapping[str, tuple[float, float]]:
    """Make the usual ranges of the inputs.

    Parameters
    ----------
    ranges : mapping of str to (float, float), or None
        Lowest and highest usual value of some inputs.
    inputs : sequence of str
        The inputs of the law.

    Returns
    -------
    mapping of str to (float, float)
        The ranges, read-only, in the order given.
    """
    out: dict[str, tuple[float, float]] = {}
    for name, ends in (ranges or {}).items():
        if name not in inputs:
            raise ValueError(f"ranges names {name!r}, which is not an input.{near(name, inputs)}")
        if not _is_range(ends):
            raise ValueError(f"the range of {name!r} must be (low, high) with low < high, not {ends!r}")
        out[name] = (float(ends[0]), float(ends[1]))
    return MappingProxyType(out)


def as_design(design: Design | None, columns: Sequence[str]) -> Design | None:
    """Check that a design names every column of the law.

    Parameters
    ----------
    design : Design or None
        The design.
    columns : sequence of str
        Inputs and categorical columns of the law.

    Returns
    -------
    Design or None
        The design.
    """
    if design is None:
        return None
    if not isinstance(design, Design):
        raise TypeError(f"design must be a Design, not {type(design).__name__}")
    if set(design.values) != set(columns):
        raise ValueError(
            f"the design must name every input once: {quoted(columns)}, not {quoted(design.values)}"
        )
    return design


def fitting(
    entries: Iterable[Any], names: Callable[[Any], set[str]], before: set[str], after: set[str]
) -> list[Any]:
    """Keep what was said of a law for one set of labels and still holds for another.

    Parameters
    ----------
    entries : iterable
        Published sets, checks, ...
    names : callable
        The names that an entry gives numbers for.
    before, after : set of str
        All names of that kind with the old and the new labels.

    Returns
    -------
    list
        Entries that name only what there is, and leave out only what they left out before.
    """
    return [
        entry for entry in entries if names(entry) <= after and after - names(entry) <= before - names(entry)
    ]


def quoted(names: Iterable[str]) -> str:
    """Return names for a message, ``'a', 'b'``."""
    return ", ".join(repr(name) for name in names)


def _by_category(values: Mapping[str, float]) -> dict[str, Any]:
    """Turn ``{"A[en]": 1.0}`` into ``{"A": {"en": 1.0}}``, as calls of a law want it."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        base, bracket, label = name.partition("[")
        if bracket:
            out.setdefault(base, {})[label.removesuffix("]")] = value
        else:
            out[name] = value
    return out


def _column(name: str, entry: Sequence[Any]) -> tuple[float, ...] | tuple[str, ...]:
    if isinstance(entry, str) or len(entry) == 0:
        raise ValueError(f"the design needs a list of values for {name!r}, not {entry!r}")
    values = list(entry)
    if all(isinstance(value, str) for value in values):
        return tuple(values)
    try:
        numbers = tuple(float(value) for value in values if not isinstance(value, str | bool))
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != len(values) or not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"the design of {name!r} holds something that is no finite number: {values!r}")
    return numbers


def _is_range(ends: Any) -> bool:
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError):
        return False
    return math.isfinite(low) and math.isfinite(high) and low < high
