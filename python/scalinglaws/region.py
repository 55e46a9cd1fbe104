"""Joint profile-likelihood region of two parameters: a grid of refits and the outline of the region."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .constrained import Constrained, check_options
from .inference import CovKind

if TYPE_CHECKING:
    from .result import Fit

__all__ = ["ProfileRegion", "profile_pair"]

# An outline this many times farther out than the covariance says is open.
_FAR = 64.0
# Room around the outline on the grid.
_MARGIN = 0.1


@dataclass(frozen=True, eq=False)
class ProfileRegion:
    """Joint profile-likelihood region of two parameters.

    Parameters
    ----------
    names : tuple of str
        The two parameters.
    best : tuple of float
        Their best values, natural units.
    level : float
        Joint coverage.
    kind : {"sandwich", "classical", "hessian"}
        What gave the scale of the noise.
    threshold : float
        Statistic on the outline.
    minimum : float
        Objective of the fit.
    outline : ndarray of float, shape (r, 2)
        Points on the region's edge, in order around it, natural units.
    closed : bool
        Whether the statistic reached the threshold in every direction. Where it did not, the outline stands at
        the bound of the domain or far out.
    values : tuple of ndarray of float, shapes (m,) and (m,)
        Grid along each parameter, rising.
    objective, statistic : ndarray of float, shape (m, m)
        Lowest objective at each pair, and 2 (F - F_min) / kappa; first axis for the first parameter.
    refits : int
        Constrained refits that were made.
    message : str
        What is special about the result; empty if nothing.
    """

    names: tuple[str, str]
    best: tuple[float, float]
    level: float
    kind: CovKind
    threshold: float
    minimum: float
    outline: NDArray[np.float64]
    closed: bool
    values: tuple[NDArray[np.float64], NDArray[np.float64]]
    objective: NDArray[np.float64]
    statistic: NDArray[np.float64]
    refits: int
    message: str

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Grid points that belong to the region, shape (m, m)."""
        return self.statistic <= self.threshold

    def __repr__(self) -> str:
        first, second = self.names
        note = f"; {self.message}" if self.message else ""
        return f"<ProfileRegion of {first} and {second}: {self.level:.0%}, {self.refits} refits{note}>"


def profile_pair(
    fit: Fit, names: Any, *, level: float, kind: CovKind | None = None, by: Any = None, points: int = 25
) -> ProfileRegion:
    """Return the joint region of two parameters; see `Fit.profile`.

    Parameters
    ----------
    fit : Fit
        The fit.
    names : pair of str
        Fitted parameters.
    level : float
        Joint coverage.
    kind, by
        What gives the scale of the noise.
    points : int
        Points along each side of the grid; twice as many stand on the outline, and at least 24.

    Returns
    -------
    ProfileRegion
        Grid and outline.

    Raises
    ------
    ValueError
        If the parameters or an option are not understood, or the fit cannot be profiled.
    """
    from scipy.special import fdtri

    if not isinstance(names, tuple | list) or len(names) != 2:
        raise ValueError(f"profile takes one name or a pair of names, not {names!r}")
    if names[0] == names[1]:
        raise ValueError(f"a pair needs two different parameters, not {names[0]!r} twice")
    check_options(level, points)
    path = Constrained(fit, names, kind, by)
    threshold = 2.0 * float(fdtri(2, path.noise.dof, level))
    best = path.best[list(path.held)]
    shape = _shape(path, best)
    rays = max(24, 2 * points)
    angles = 2.0 * math.pi * np.arange(rays) / rays
    ends, closed = [], True
    for angle in angles:
        at, met = _ray(path, shape @ np.array([math.cos(angle), math.sin(angle)]), threshold)
        ends.append(at)
        closed &= met
    edge = np.array(ends)
    axes = [_axis(path, edge, axis, points) for axis in (0, 1)]
    objective, statistic = _fill(path, axes)
    notes = path.messages()
    if not closed:
        notes.insert(0, "the region is open: in some directions the statistic stays below the threshold")
    grid = [np.array([path.natural((u, v))[0] for u in axes[0] for v in path.origin[1:]]), np.empty(0)]
    grid[1] = np.array([path.natural((path.origin[0], v))[1] for v in axes[1]])
    return ProfileRegion(
        names=(str(names[0]), str(names[1])),
        best=(float(best[0]), float(best[1])),
        level=float(level),
        kind=path.noise.kind,
        threshold=threshold,
        minimum=path.minimum,
        outline=np.array([path.natural(at) for at in ends]),
        closed=closed,
        values=(grid[0], grid[1]),
        objective=objective,
        statistic=statistic,
        refits=len(path.points) - 1,
        message="; ".join(notes),
    )


def _shape(path: Constrained, best: NDArray[np.float64]) -> NDArray[np.float64]:
    """Triangular factor of the covariance in working coordinates: the axes along which the outline is round."""
    unit = np.array([value if log else 1.0 for value, log in zip(best, path.logs, strict=True)])
    if not np.all(unit > 0.0) or not np.isfinite(path.noise.cov).all():
        raise ValueError(
            f"no joint region of {path.names[0]!r} and {path.names[1]!r}: one is at its bound or not determined; "
            "profile them one by one"
        )
    cov = path.noise.cov / np.outer(unit, unit)
    try:
        return np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"{path.names[0]!r} and {path.names[1]!r} are not determined separately, so they have no joint region"
        ) from None


def _ray(
    path: Constrained, direction: NDArray[np.float64], threshold: float
) -> tuple[tuple[float, float], bool]:
    """Point of the outline in one direction, and whether the threshold was met there."""
    from scipy.optimize import brentq

    origin = np.array(path.origin)
    goal = math.sqrt(threshold)

    def place(r: float) -> tuple[float, float]:
        at = origin + r * direction
        return float(at[0]), float(at[1])

    known: dict[float, float] = {0.0: 0.0}

    def excess(r: float) -> float:
        if r not in known:
            known[r] = math.sqrt(path.statistic(path.refit(place(r))))
        return known[r] - goal

    limit = _FAR * goal
    for at, slope, log, (low, high) in zip(origin, direction, path.logs, path.bounds, strict=True):
        bound = high if slope > 0.0 else low
        if not log and slope != 0.0 and math.isfinite(bound):
            limit = min(limit, (bound - at) / slope)
    inside, r = 0.0, min(goal, limit)
    while True:
        if excess(r) >= 0.0:
            if not math.isfinite(known[r]):
                return place(inside), False
            root = brentq(excess, inside, r, xtol=1e-12 * r, rtol=1e-13)
            return place(float(root)), True
        if r >= limit:
            return place(limit), False
        inside, r = r, min(2.0 * r, limit)


def _axis(path: Constrained, edge: NDArray[np.float64], axis: int, points: int) -> list[float]:
    low, high = float(edge[:, axis].min()), float(edge[:, axis].max())
    room = _MARGIN * (high - low)
    low, high = low - room, high + room
    if not path.logs[axis]:
        low, high = max(low, path.bounds[axis][0]), min(high, path.bounds[axis][1])
    return [float(u) for u in np.linspace(low, high, points)]


def _fill(path: Constrained, axes: list[list[float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Refit on every grid point, nearest to the best values first: each starts beside a known one."""
    shape = (len(axes[0]), len(axes[1]))
    objective, statistic = np.full(shape, np.nan), np.full(shape, np.nan)
    if not shape[0]:
        return objective, statistic
    step = [max(axis[-1] - axis[0], 1e-300) for axis in axes]

    def far(cell: tuple[int, int]) -> float:
        return math.hypot(*((axes[k][cell[k]] - path.origin[k]) / step[k] for k in (0, 1)))

    for i, j in sorted(np.ndindex(shape), key=far):
        point = path.refit((axes[0][i], axes[1][j]))
        objective[i, j], statistic[i, j] = point.objective, path.statistic(point)
    return objective, statistic
