"""Lines through the space of held parameters, and what a walk along one finds.

A backend walks (`scalinglaws.backends.Backend.walk`); profiles and regions say along which lines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["FAR", "Held", "Line", "Stop", "Walk"]

FAR = 644.0
"""Logarithm beyond which positive parameters are not followed: 1e-280 and 1e280, near the ends of float64."""

Stop: TypeAlias = Literal["found", "short", "undefined"]


@dataclass(frozen=True)
class Held:
    """A parameter that is held.

    Parameters
    ----------
    index : int
        Its place in ``problem.names``.
    origin : float
        Its working coordinate at the optimum: the logarithm or the value.
    direction : float
        Change of the working coordinate for a unit of distance.
    log : bool
        Whether the working coordinate is the logarithm.
    bounds : (float, float)
        Domain, natural units.
    """

    index: int
    origin: float
    direction: float
    log: bool
    bounds: tuple[float, float]

    def natural(self, u: float) -> float:
        """Return the value at a working coordinate, inside its domain."""
        value = math.exp(min(max(u, -FAR), FAR)) if self.log else u
        return min(max(value, self.bounds[0]), self.bounds[1])


@dataclass(frozen=True, eq=False)
class Line:
    """Where to walk, and how far.

    Parameters
    ----------
    held : tuple of Held
        What is held.
    starts : ndarray of float, shape (m, k)
        The optimum, then the parameters of other basins; natural units, in the order of ``problem.names``.
    minimum : float
        Objective at the optimum.
    kappa : float
        Divisor of the statistic 2 (F - F_min) / kappa.
    threshold : float
        Square root of the statistic at which the walk has arrived.
    step : float
        First step, a distance; it doubles.
    edge : float
        Largest distance.
    level_step : float
        Steps longer than this on level ground end the walk: it has no end on that side.
    """

    held: tuple[Held, ...]
    starts: NDArray[np.float64]
    minimum: float
    kappa: float
    threshold: float
    step: float
    edge: float = math.inf
    level_step: float = math.inf

    def at(self, distance: float) -> tuple[float, ...]:
        """Return the working coordinates at a distance."""
        return tuple(held.origin + distance * held.direction for held in self.held)

    def natural(self, distance: float) -> tuple[float, ...]:
        """Return the held values at a distance, natural units."""
        return tuple(held.natural(u) for held, u in zip(self.held, self.at(distance), strict=True))


@dataclass(frozen=True, eq=False)
class Walk:
    """What a walk found.

    Parameters
    ----------
    stop : {"found", "short", "undefined"}
        Whether it reached the threshold, ended below it at the edge or on level ground, or where the law is
        not finite any more.
    at : float
        Distance at which it ended.
    distance, objective : ndarray of float, shape (m,)
        Every refit that was made, in that order.
    theta : ndarray of float, shape (m, k)
        Their parameters.
    converged : ndarray of bool, shape (m,)
        Whether they converged.
    """

    stop: Stop
    at: float
    distance: NDArray[np.float64]
    objective: NDArray[np.float64]
    theta: NDArray[np.float64]
    converged: NDArray[np.bool_]
