"""Joint profile-likelihood region of two parameters: a grid of refits and the outline of the region."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..executors import Workers
from ..inference import CovKind
from .constrained import Constrained, Found, check_options
from .profile import Profile, profile

if TYPE_CHECKING:
    from ..result import Fit

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
        Whether both parameters are limited on both sides. Where one is not, the region goes on to the bound
        of the domain or to infinity, and the outline ends there or far out.
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
        return f"<ProfileRegion of {first} and {second}: level {self.level:.3g}, {self.refits} refits{note}>"


def profile_pair(
    fit: Fit,
    names: Any,
    *,
    level: float,
    kind: CovKind | None = None,
    by: Any = None,
    points: int = 25,
    workers: Workers,
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
    workers : Workers
        Who makes the refits. Directions of the outline are independent of each other, and so are rows of the
        grid.

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
    shape = _shape(path)
    rays = max(24, 2 * points)
    angles = 2.0 * math.pi * np.arange(rays) / rays
    directions = [shape @ np.array([math.cos(angle), math.sin(angle)]) for angle in angles]
    ends = []
    for end, found in workers.run(_direction, [(way, threshold) for way in directions], shared=path):
        ends.append(end)
        path.join(found)
    # Seen from the side the region is the profile of one parameter at the joint threshold.
    options: dict[str, Any] = {"kind": kind, "by": by, "points": 0, "threshold": threshold}
    sides = [profile(fit, name, level=level, workers=workers, **options) for name in names]
    closed = all(side.lower_end == "found" == side.upper_end for side in sides)
    axes = [_axis(path, np.array(ends)[:, axis], sides[axis], axis, points) for axis in (0, 1)]
    grid = []
    for row, found in workers.run(_row, [(u, axes[1]) for u in axes[0]], shared=path):
        grid.append(row)
        path.join(found)
    objective, statistic = np.array(grid).reshape(points, 2, points).swapaxes(0, 1).copy()
    notes = path.messages()
    if not closed:
        notes = [f"the region is open: {side.message}" for side in sides if side.message] + notes
    first = np.array([path.natural((u, path.origin[1]))[0] for u in axes[0]])
    second = np.array([path.natural((path.origin[0], v))[1] for v in axes[1]])
    return ProfileRegion(
        names=(str(names[0]), str(names[1])),
        best=(float(best[0]), float(best[1])),
        level=float(level),
        kind=path.noise.kind,
        threshold=threshold,
        minimum=path.minimum,
        outline=np.array([path.natural(at) for at in ends]),
        closed=closed,
        values=(first, second),
        objective=objective,
        statistic=statistic,
        refits=len(path.points) - 1 + sum(side.refits for side in sides),
        message="; ".join(notes),
    )


def _shape(path: Constrained) -> NDArray[np.float64]:
    """Return the triangular factor of the covariance in working coordinates, where the outline is round."""
    cov = path.noise.cov
    if not np.isfinite(cov).all():
        raise ValueError(
            f"no joint region of {path.names[0]!r} and {path.names[1]!r}: one is at its bound or not "
            "determined; profile them one by one"
        )
    try:
        return np.asarray(np.linalg.cholesky(cov), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"{path.names[0]!r} and {path.names[1]!r} are not determined separately, so they have no joint "
            "region"
        ) from None


def _direction(
    path: Constrained, task: tuple[NDArray[np.float64], float]
) -> tuple[tuple[float, float], Found]:
    """Find one point of the outline in a branch of the path."""
    branch = path.branch()
    return _ray(branch, *task), branch.found()


def _row(path: Constrained, task: tuple[float, list[float]]) -> tuple[NDArray[np.float64], Found]:
    """Refit along a row of the grid in a branch of the path: objective and statistic, shape (2, m)."""
    (u, columns), branch = task, path.branch()
    out = np.empty((2, len(columns)))
    # From the middle outwards: each refit starts beside a known one.
    for j in sorted(range(len(columns)), key=lambda j: abs(columns[j] - path.origin[1])):
        point = branch.refit((u, columns[j]))
        out[:, j] = point.objective, path.statistic(point)
    return out, branch.found()


def _ray(path: Constrained, direction: NDArray[np.float64], threshold: float) -> tuple[float, float]:
    """Point of the outline in one direction; the farthest one that was tried where there is none."""
    goal = math.sqrt(threshold)
    edge = _FAR * goal
    for at, slope, log, (low, high) in zip(path.origin, direction, path.logs, path.bounds, strict=True):
        bound = high if slope > 0.0 else low
        if not log and slope != 0.0 and math.isfinite(bound):
            edge = min(edge, (bound - at) / float(slope))
    if edge <= 0.0:
        return path.origin[0], path.origin[1]
    _, (first, second) = path.walk(direction, goal, min(goal, edge), edge=edge)
    return first, second


def _axis(path: Constrained, edge: NDArray[np.float64], side: Profile, axis: int, points: int) -> list[float]:
    """Grid along one parameter: around the outline and around its profile, where that ends."""
    ends = [v for v, end in ((side.lower, side.lower_end), (side.upper, side.upper_end)) if end == "found"]
    span = [*edge.tolist(), *(math.log(v) if path.logs[axis] else v for v in ends)]
    low, high = min(span), max(span)
    room = _MARGIN * (high - low)
    low, high = low - room, high + room
    if not path.logs[axis]:
        low, high = max(low, path.bounds[axis][0]), min(high, path.bounds[axis][1])
    return [float(u) for u in np.linspace(low, high, points)]
