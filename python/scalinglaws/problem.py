"""The fitting problem and its solutions: what every backend takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, near
from .losses import Loss
from .param import Param
from .priors import Prior

__all__ = ["STATUSES", "LawLike", "Problem", "Residual", "Solutions", "Status"]

Residual: TypeAlias = Literal["linear", "log"]
Status: TypeAlias = Literal[
    "converged",
    "stalled",
    "bound",
    "iteration limit",
    "non-finite start",
    "cancelled",
    "screened",
    "undetermined",
]
STATUSES: tuple[Status, ...] = (
    "converged",
    "stalled",
    "bound",
    "iteration limit",
    "non-finite start",
    "cancelled",
    "screened",
    "undetermined",
)


@runtime_checkable
class LawLike(Protocol):
    """What a problem and a backend need to know of a law."""

    @property
    def formula(self) -> str:
        """The formula, with or without ``target ~``."""

    @property
    def params(self) -> Mapping[str, Param]:
        """The declared parameters in order."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The input columns."""

    @property
    def groups(self) -> Mapping[str, str]:
        """Grouped parameter to its categorical column."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A law, rows, and how they are to be fitted.

    Parameters
    ----------
    law : LawLike
        The law: `formula`, `params`, `inputs` and `groups` are used.
    target : ndarray of float, shape (n,)
        The observed values, before the residual's transformation.
    inputs : mapping of str to ndarray of float, shape (n,)
        The input columns.
    codes : mapping of str to ndarray of uint32, shape (n,)
        For each categorical column of the law, the index of each row's category.
    categories : mapping of str to tuple of str
        For each categorical column, the names of its categories.
    weights : ndarray of float, shape (n,), optional
        Non-negative factors on the rows' losses; all 1 if left out.
    residual : {"linear", "log"}, default "log"
        T in r = T(y) - T(f).
    loss : Loss
        The cost of a residual.
    fixed : mapping of str to float, optional
        Parameters that are held, by expanded name.
    priors : mapping of str to Prior, optional
        Penalties, by expanded name.

    Raises
    ------
    DataError
        If arrays have wrong shapes, or hold values that cannot be fitted.
    ValueError
        If `fixed` or `priors` names an unknown parameter or lies outside its domain.

    Notes
    -----
    A parameter grouped by a categorical column has one value per category; its expanded names are ``A[en]``,
    ``A[de]`` and so on, in the order of `categories`.
    """

    law: LawLike
    target: NDArray[np.float64]
    inputs: Mapping[str, NDArray[np.float64]]
    codes: Mapping[str, NDArray[np.uint32]] = field(default_factory=dict)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    residual: Residual = "log"
    loss: Loss = field(default_factory=lambda: Loss("squared"))
    fixed: Mapping[str, float] = field(default_factory=dict)
    priors: Mapping[str, Prior] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Copy arrays to contiguous float64, so that callers cannot change a problem afterwards."""
        target = _column("target", self.target, None)
        n = target.size
        weights = _column("weights", self.weights, n) if np.size(self.weights) else np.ones(n)
        inputs = {
            name: _column(name, self.inputs[name], n) for name in self.law.inputs if name in self.inputs
        }
        missing = [name for name in self.law.inputs if name not in inputs]
        if missing:
            raise DataError(
                f"input column {missing[0]!r} is missing.{near(missing[0], self.inputs)}", missing[0]
            )
        codes, categories = {}, {}
        for column in dict.fromkeys(self.law.groups.values()):
            if column not in self.codes or column not in self.categories:
                raise DataError(
                    f"categorical column {column!r} is missing.{near(column, self.codes)}", column
                )
            code = np.array(self.codes[column], dtype=np.uint32, order="C")
            categories[column] = tuple(str(name) for name in self.categories[column])
            if code.shape != (n,) or (n and int(code.max()) >= len(categories[column])):
                raise DataError(
                    f"the codes of column {column!r} do not match the rows or the categories", column
                )
            codes[column] = code
        if self.residual not in ("linear", "log"):
            raise ValueError(f"residual must be 'linear' or 'log', not {self.residual!r}")
        for name, value in (
            ("target", target),
            ("weights", weights),
            ("inputs", inputs),
            ("codes", codes),
            ("categories", categories),
            ("loss", Loss.parse(self.loss)),
            ("fixed", {name: float(value) for name, value in self.fixed.items()}),
            ("priors", dict(self.priors)),
        ):
            object.__setattr__(self, name, value)
        bad = np.flatnonzero(~(weights >= 0.0))
        if bad.size:
            raise DataError(f"weights must be at least 0; see rows {_rows(bad)}", "weights", _few(bad))
        if self.residual == "log" and (bad := np.flatnonzero(~(target > 0.0))).size:
            raise DataError(
                f"log residuals need a positive target; see rows {_rows(bad)}", "target", _few(bad)
            )
        self._check_names()

    def _check_names(self) -> None:
        names = self.names
        for what, given in (("fixed", self.fixed), ("priors", self.priors)):
            for name in given:
                if name not in names:
                    raise ValueError(f"{what}: no parameter {name!r}.{near(name, names)}")
        for name, value in self.fixed.items():
            param = self.law.params[name.partition("[")[0]]
            # The domain of positive parameters is open, but a fit may end on zero, where a term has vanished.
            if not param.contains(value) and not (param.kind == "positive" and value == 0.0):
                raise ValueError(f"fixed: {name} = {value!r} lies outside its domain {param.domain!r}")

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.target.size)

    @cached_property
    def slots(self) -> list[tuple[str, slice]]:
        """Each parameter with the positions of its values in a parameter vector."""
        out, stop = [], 0
        for name in self.law.params:
            column = self.law.groups.get(name)
            start, stop = stop, stop + (1 if column is None else len(self.categories[column]))
            out.append((name, slice(start, stop)))
        return out

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Expanded parameter names, in the order of `law.params`; length k."""
        out: list[str] = []
        for name in self.law.params:
            column = self.law.groups.get(name)
            out.extend(
                [name] if column is None else [f"{name}[{label}]" for label in self.categories[column]]
            )
        return tuple(out)

    @cached_property
    def owners(self) -> tuple[str, ...]:
        """For each expanded name, the declared parameter it belongs to; length k."""
        return tuple(name for name, where in self.slots for _ in range(where.start, where.stop))

    @cached_property
    def free(self) -> NDArray[np.bool_]:
        """Mask of the parameters that are fitted, shape (k,)."""
        return np.array([name not in self.fixed for name in self.names], dtype=np.bool_)

    @cached_property
    def bounds(self) -> NDArray[np.float64]:
        """Lower and upper bounds in natural units, shape (k, 2)."""
        return np.array([self.law.params[name].bounds for name in self.owners], dtype=np.float64).reshape(
            -1, 2
        )

    def positions(self, param: str) -> NDArray[np.intp]:
        """Return, for each row, the position in a parameter vector of the value of `param`.

        Parameters
        ----------
        param : str
            A declared parameter.

        Returns
        -------
        ndarray of int, shape (n,)
            Positions; all equal unless the parameter is grouped.
        """
        where = dict(self.slots)[param]
        column = self.law.groups.get(param)
        if column is None:
            return np.full(self.n, where.start, dtype=np.intp)
        return np.asarray(self.codes[column].astype(np.intp) + where.start)

    def row_values(self, theta: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return each parameter's value on each row.

        Parameters
        ----------
        theta : ndarray of float, shape (k,)
            Expanded parameters in natural units.

        Returns
        -------
        dict of str to ndarray
            Arrays of shape (n,) for grouped parameters and (1,) for the others.
        """
        out = {}
        for name, where in self.slots:
            grouped = name in self.law.groups
            out[name] = theta[self.positions(name)] if grouped else theta[where.start : where.stop]
        return out


@dataclass(frozen=True, eq=False)
class Solutions:
    """The local fits of one call of a backend, one row per start.

    Parameters
    ----------
    theta : ndarray of float, shape (m, k)
        Expanded parameters in natural units.
    objective : ndarray of float, shape (m,)
        The summed loss with penalties.
    status : list of str, length m
        One of `STATUSES`: ``"bound"`` means converged with an active bound, ``"screened"`` means not solved
        because other starts were better, ``"undetermined"`` not solved because the rows of a bootstrap draw
        do not determine all parameters.
    iterations, evaluations : ndarray of int, shape (m,)
        Steps taken, and evaluations of the objective.
    gradient : ndarray of float, shape (m,)
        Largest component of the scaled projected gradient: a number between 0 and 1 without unit, at rounding
        level for a stationary point.
    seconds : float
        Wall time of the call.
    """

    theta: NDArray[np.float64]
    objective: NDArray[np.float64]
    status: Sequence[str]
    iterations: NDArray[np.int64]
    evaluations: NDArray[np.int64]
    gradient: NDArray[np.float64]
    seconds: float

    @property
    def best(self) -> int:
        """Index of the lowest finite objective; the first one on ties.

        Returns
        -------
        int
            The index, 0 if no objective is finite.
        """
        finite = np.where(np.isfinite(self.objective), self.objective, np.inf)
        return int(np.argmin(finite))


def _column(name: str, values: Any, n: int | None) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64, order="C")
    if array.ndim != 1 or (n is not None and array.size != n):
        expected = "one-dimensional" if n is None else f"of shape ({n},)"
        raise DataError(f"{name} must be {expected}, not of shape {array.shape}", name)
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise DataError(f"{name} is not finite in rows {_rows(bad)}", name, _few(bad))
    return array


def _few(rows: NDArray[np.intp]) -> list[int]:
    return [int(row) for row in rows[:5]]


def _rows(rows: NDArray[np.intp]) -> str:
    shown = ", ".join(str(row) for row in _few(rows))
    return shown if rows.size <= 5 else f"{shown} and {rows.size - 5} more"
