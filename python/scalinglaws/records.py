"""The small records that make up the answer of a fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .problem import Problem
from .starts import StartKind
from .ties import Binding

__all__ = ["Basin", "FittedParam", "Prediction", "Refits", "StartsReport", "report_basins"]


@dataclass(frozen=True)
class FittedParam:
    """One parameter of a fit.

    Parameters
    ----------
    value : float
        Best value, natural units.
    stderr : float
        Standard error of the fit's default kind: 0 if fixed, NaN at a bound or where the data say nothing.
    vary : bool
        Whether the parameter was fitted.
    expr : str or None
        The expression it is tied to.
    bounds : tuple of float
        Its domain.
    at_bound : bool
        Whether it ended on a bound.
    """

    value: float
    stderr: float
    vary: bool
    expr: str | None
    bounds: tuple[float, float]
    at_bound: bool


@dataclass(frozen=True)
class Basin:
    """Local fits that ended in one place.

    Parameters
    ----------
    objective : float
        The lowest objective among them.
    values : dict of str to float
        The parameters there.
    hits : int
        How many starts ended there.
    status : str
        How the best of them ended.
    """

    objective: float
    values: dict[str, float] = field(hash=False)
    hits: int
    status: str


@dataclass(frozen=True)
class StartsReport:
    """What became of the starts.

    Parameters
    ----------
    kind : {"sobol", "paper", "one", "array"}
        Where the starts came from.
    n : int
        How many there were.
    solved : int
        How many were solved; the others were worse at the start.
    hits : int
        How many ended in the best basin.
    basins : int
        How many basins were found.
    seed : int or None
        Seed of the Sobol sequence.
    best : tuple of float or None
        The start of the best local fit, in the order of the fitted law's parameters; None if not known.
    """

    kind: StartKind
    n: int
    solved: int
    hits: int
    basins: int
    seed: int | None
    best: tuple[float, ...] | None = None

    @property
    def share(self) -> float:
        """Share of the solved starts that ended in the best basin."""
        return self.hits / self.solved if self.solved else math.nan


@dataclass(frozen=True, eq=False)
class Prediction:
    """Values of a fitted law with intervals.

    Parameters
    ----------
    mean : float or ndarray
        The law at the best parameters. With log residuals this is the median of new runs.
    stderr : float or ndarray
        Standard error of `mean` in the unit of the target.
    lower, upper : float, ndarray or None
        Ends of the interval; None if no level was asked for.
    level : float or None
        Coverage of the interval.
    kind : str
        Kind of covariance, or kind of bootstrap interval.
    new_run : bool
        Whether the interval is for a new run, noise included, and not for the law itself.
    decades : float, ndarray or None
        How many powers of ten the point lies beyond the rows of the fit, in the input where that is most; 0
        inside the range of all inputs, None if the fit was saved without its rows.
    """

    mean: Any
    stderr: Any
    lower: Any
    upper: Any
    level: float | None
    kind: str
    new_run: bool
    decades: Any = None


@dataclass(frozen=True, eq=False)
class Refits:
    """Fits of the same runs with other weights.

    Parameters
    ----------
    names : tuple of str
        Parameters, one per column of `draws`.
    draws : ndarray of float, shape (m, q)
        Refitted values, natural units.
    objective : ndarray of float, shape (m,)
        Objective of each refit under its own weights.
    status : tuple of str, length m
        How each refit ended.
    seconds : float
        Wall time.
    """

    names: tuple[str, ...]
    draws: NDArray[np.float64]
    objective: NDArray[np.float64]
    status: tuple[str, ...]
    seconds: float


def report_basins(
    found: Sequence[tuple[int, int, Sequence[int]]],
    binding: Binding,
    problem: Problem,
    theta: NDArray[np.float64],
    objective: NDArray[np.float64],
    status: Sequence[str],
    limit: int = 64,
) -> tuple[Basin, ...]:
    """Turn the first basins into what users see.

    Parameters
    ----------
    found : sequence of (index, hits, members)
        Basins, best first.
    binding, problem
        How to name the values.
    theta, objective, status
        The solutions.
    limit : int
        How many to keep.

    Returns
    -------
    tuple of Basin
        Best first.
    """
    names = binding.names(problem.names, problem.owners)
    out = []
    for index, hits, _ in found[:limit]:
        full = binding.expand(problem, theta[index])
        values = dict(zip(names, full.tolist(), strict=True))
        out.append(Basin(float(objective[index]), values, int(hits), status[index]))
    return tuple(out)
