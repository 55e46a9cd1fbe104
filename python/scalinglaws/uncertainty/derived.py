"""Quantities that follow from the parameters, with the draws that say how sure they are."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import FitWarning
from .intervals import Interval, IntervalKind
from .prediction import shaped
from .quantities import Statistic, formula_statistic, function_statistic

if TYPE_CHECKING:
    from ..result import Fit

__all__ = ["Derived", "Draws", "Function", "derive"]

Function: TypeAlias = Callable[[Mapping[str, float]], Any]


class Draws(Protocol):
    """What a quantity needs to know of the draws it follows from."""

    @property
    def fit(self) -> Fit:
        """The fit."""

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters."""

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which draws count."""

    @property
    def _good(self) -> NDArray[np.float64]:
        """Parameters of the draws that count, in the order of the problem."""

    def _expand(self, theta: NDArray[np.float64]) -> NDArray[np.float64]: ...

    def _point(self, statistic: Statistic) -> NDArray[np.float64]: ...

    def _intervals(
        self, statistic: Statistic, levels: Sequence[float], kind: IntervalKind, log: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...


@dataclass(frozen=True, eq=False, repr=False)
class Derived:
    """A quantity that follows from the parameters. Made by the method `apply` of a bootstrap or a posterior.

    Parameters
    ----------
    text : str or None
        The expression, if it was given as one.
    """

    text: str | None
    _owner: Draws
    _statistic: Statistic
    _shape: tuple[int, ...]

    @cached_property
    def value(self) -> Any:
        """The quantity at the fit's own parameters, of a posterior its median; a float, or an array."""
        return shaped(self._owner._point(self._statistic), self._shape)

    @cached_property
    def draws(self) -> NDArray[np.float64]:
        """The quantity for each draw, shape (n,) or (n, ...); NaN in draws that failed."""
        owner = self._owner
        out = np.full((owner.ok.size, max(1, math.prod(self._shape))), np.nan)
        out[owner.ok] = self._statistic(owner._good)
        return out.reshape(owner.ok.size, *self._shape)

    def stderr(self) -> Any:
        """Return the standard deviation over the draws; a float or an array."""
        good = self.draws[self._owner.ok]
        error = good.std(axis=0, ddof=1) if len(good) > 1 else np.full(self._shape, np.nan)
        return error if self._shape else float(error)

    def conf_int(self, level: float = 0.95, kind: IntervalKind = "percentile") -> Interval:
        """Return an equal-tailed confidence interval.

        Parameters
        ----------
        level, kind
            As for the method `conf_int` of the draws.

        Returns
        -------
        Interval
            ``(lower, upper)``: floats, or arrays of the function's shape.

        Warns
        -----
        FitWarning
            If the quantity is not a number for some draws; the interval is that of the others.
        """
        good = self.draws[self._owner.ok]
        bad = int((~np.isfinite(good)).reshape(len(good), -1).any(axis=1).sum())
        if bad:
            warnings.warn(
                f"{self.text or 'the quantity'} is not a finite number for {bad} of {len(good)} draws; the "
                "interval is that of the others",
                FitWarning,
                stacklevel=2,
            )
        width = max(1, math.prod(self._shape))
        flat = np.zeros(width, dtype=np.bool_)
        (lower,), (upper,) = self._owner._intervals(self._statistic, [level], kind, flat)
        return Interval(shaped(lower, self._shape), shaped(upper, self._shape))

    def __repr__(self) -> str:
        return f"<Derived {self.text or 'quantity'}: {self.value}, stderr {self.stderr()}>"


def derive(owner: Draws, what: str | Function) -> Derived:
    """Return a quantity with its draws; the method `apply` of whatever has draws."""
    if isinstance(what, str):
        statistic, shape = formula_statistic(what, owner._expand, owner.names), ()
    elif callable(what):
        probe = np.asarray(what(owner.fit.values), dtype=np.float64)
        shape = probe.shape
        statistic = function_statistic(what, owner._expand, owner.names, shape)
    else:
        raise TypeError(f"apply takes an expression or a function, not {type(what).__name__}")
    return Derived(what if isinstance(what, str) else None, owner, statistic, shape)
