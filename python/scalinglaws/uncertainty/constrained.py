"""Refits with some parameters held, and the statistic that says how far the objective has risen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backends import get_backend
from ..errors import near
from ..inference import CovKind, residuals, triangle
from ..lines import Held, Line, Stop
from ..starts import revived
from ..verdict import at_bounds
from .clusters import read_clusters
from .sandwich import bread, covariance, degrees

if TYPE_CHECKING:
    from ..priors import Prior
    from ..problem import Problem
    from ..result import Fit

__all__ = ["Constrained", "Found", "Noise", "Point", "check_options", "measure_noise"]

# The lowest positive value that is tried; below it powers leave the range of float64.
_TINY = 1e-280
# Steps of a refit that did not converge at the first attempt.
_PATIENT = 10_000
# An objective this share below the fit's is another minimum and not rounding.
_LOWER = 1e-9
# Other basins that are tried as starts, where they lie close enough to matter.
_BASINS = 2


@dataclass(frozen=True, eq=False)
class Point:
    """One constrained refit.

    Parameters
    ----------
    at : tuple of float
        Working coordinates of the held parameters.
    objective : float
        The lowest objective found, penalties of all priors included.
    theta : ndarray of float, shape (k,)
        All parameters in the order of ``problem.names``.
    converged : bool
        Whether the refit converged.
    """

    at: tuple[float, ...]
    objective: float
    theta: NDArray[np.float64]
    converged: bool


@dataclass(frozen=True, eq=False)
class Found:
    """What a branch of `Constrained` found.

    Parameters
    ----------
    points : tuple of Point
        Refits with a finite objective.
    unconverged : int
        Refits that did not converge.
    lower : Point or None
        The lowest of those that lie below the fit.
    """

    points: tuple[Point, ...]
    unconverged: int
    lower: Point | None


@dataclass(frozen=True, eq=False)
class Noise:
    """What divides the rise of the objective.

    Parameters
    ----------
    kind : str
        Kind of covariance that it agrees with.
    dof : float
        Degrees of freedom of the threshold; of several held parameters the fewest.
    scale : float or None
        The divisor, where it is the same in every direction.
    cov, inverse : ndarray of float, shape (d, d)
        Covariance asked for and inverse Hessian of the held parameters.
    """

    kind: CovKind
    dof: float
    scale: float | None
    cov: NDArray[np.float64]
    inverse: NDArray[np.float64]

    def kappa(self, direction: NDArray[np.float64]) -> float:
        """Return the divisor for a shift of the held parameters, in the units of `cov`."""
        if self.scale is not None:
            return self.scale
        wanted = float(direction @ np.linalg.solve(self.cov, direction))
        given = float(direction @ np.linalg.solve(self.inverse, direction))
        return given / wanted


def check_options(level: float, points: int) -> None:
    """Refuse a level outside (0, 1) and a number of points that is no number of points."""
    if isinstance(level, bool) or not isinstance(level, int | float | np.floating) or not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, not {level!r}")
    whole = isinstance(points, int | np.integer) and not isinstance(points, bool)
    if not whole or points == 1 or points < 0:
        raise ValueError(f"points must be 0 or a whole number of at least 2, not {points!r}")


def measure_noise(fit: Fit, held: Sequence[int], kind: CovKind | None, by: Any) -> Noise:
    """Find the divisor of the statistic for the held parameters.

    Parameters
    ----------
    fit : Fit
        The fit.
    held : sequence of int
        Positions in ``problem.names``.
    kind : str or None
        Kind of covariance.
    by : str, array_like or None
        Clusters of rows.

    Returns
    -------
    Noise
        The divisor and the covariance it belongs to.

    Raises
    ------
    ValueError
        If the kind does not go with the loss or with `by`, or there is no noise to measure.
    """
    problem, theta = fit._problem, fit._theta
    kind = fit._interval_kind(kind, by)
    if kind == "classical" and fit.loss.robust:
        raise ValueError(
            f"the loss {fit.loss} is no likelihood whose scale the residuals' sum of squares could give: use "
            "kind='sandwich' or kind='hessian'"
        )
    if fit.dof <= 0:
        raise ValueError(
            f"{fit.nobs} rows and {fit.nfree} parameters leave no degree of freedom to measure the noise with"
        )
    # A held parameter moves off its bound, so its own row is needed; others at a bound stay there.
    chosen = problem.free & (at_bounds(problem, theta) == 0)
    chosen[list(held)] = True
    within = [int(np.flatnonzero(np.flatnonzero(chosen) == index)[0]) for index in held]
    part = np.ix_(within, within)
    codes = None
    if by is not None:
        clusters = read_clusters(fit, by, least=int(chosen.sum()) + 1)
        codes = clusters.codes
    with np.errstate(all="ignore"):
        cov = covariance(problem, theta, chosen, fit.dof, kind, codes)[0][part]
        if kind == "classical":
            scale = triangle(problem, theta, chosen)[1] / fit.dof
            noise = Noise(kind, fit.dof, scale, cov, cov / scale if scale > 0.0 else cov)
        else:
            inverse = bread(problem, theta, chosen)[0][part]
            ratio = float(cov[0, 0] / inverse[0, 0])
            dof = float(fit.dof)
            if kind == "sandwich":
                held_ones = np.eye(int(chosen.sum()))[within]
                dof = float(degrees(problem, theta, chosen, fit.dof, held_ones, codes).min())
            noise = Noise(kind, dof, ratio if len(within) == 1 or kind == "hessian" else None, cov, inverse)
    usable = (
        np.isfinite(cov).all() if noise.scale is None else math.isfinite(noise.scale) and noise.scale > 0.0
    )
    if not usable or not _above_rounding(problem, theta):
        raise ValueError(
            "the noise cannot be measured: the fit passes through every row or its curvature is not finite"
        )
    return noise


def _above_rounding(problem: Problem, theta: NDArray[np.float64]) -> bool:
    """Whether any residual is larger than rounding makes it."""
    fitted, residual = residuals(problem, theta)
    size = np.ones_like(fitted) if problem.residual == "log" else np.abs(fitted)
    used = problem.weights > 0.0
    return bool((np.abs(residual[used]) > 1e-13 * np.maximum(size[used], np.abs(residual[used]))).any())


class Constrained:
    """Refits of one fit with some of its parameters held.

    Working coordinates are logarithms for positive parameters and the parameters themselves for others.

    Parameters
    ----------
    fit : Fit
        The fit; it must have converged.
    names : sequence of str
        Fitted parameters to hold.
    noise : Noise or None
        Divisor of the statistic, measured if not given.
    kind, by
        As for `measure_noise`.

    Raises
    ------
    ValueError
        If a name is not a fitted parameter, or the fit did not converge.
    """

    def __init__(self, fit: Fit, names: Sequence[str], kind: CovKind | None, by: Any) -> None:
        self.backend, self.problem = fit.backend, fit._need_rows("profile")
        self.names = tuple(names)
        self.held = tuple(_position(fit, name) for name in names)
        if not fit.success:
            raise ValueError(
                f"the fit did not converge ({fit.status}), so there is no minimum to measure from: "
                f"{fit.message}"
            )
        self.noise = measure_noise(fit, self.held, kind, by)
        owners = [self.problem.law.params[self.problem.owners[index]] for index in self.held]
        # A term that has vanished has no logarithm: its parameter is walked as one with a bound at zero.
        self.logs = tuple(
            owner.kind == "positive" and fit._theta[index] > 0.0
            for index, owner in zip(self.held, owners, strict=True)
        )
        self.bounds = tuple(owner.bounds for owner in owners)
        self.best = fit._theta
        self.minimum = fit.objective
        self.origin = tuple(
            math.log(max(value, _TINY)) if log else value
            for value, log in zip(self.best[list(self.held)].tolist(), self.logs, strict=True)
        )
        # In working coordinates regions are least bent, so directions mean the same far out as nearby.
        with np.errstate(all="ignore"):
            unit = np.where(self.logs, self.best[list(self.held)], 1.0)
            outer = np.outer(unit, unit)
            self.noise = replace(self.noise, cov=self.noise.cov / outer, inverse=self.noise.inverse / outer)
            width = np.sqrt(np.diagonal(self.noise.cov))
        # Distances between points are taken in standard errors.
        self.width = np.where(np.isfinite(width) & (width > 0.0), width, 1.0)
        self.points: list[Point] = [Point(self.origin, self.minimum, self.best, True)]
        self._inherited = 0
        self.unconverged = 0
        self.lower: Point | None = None
        self._others = revived(self.problem, fit._theta) + _basins(fit)

    def natural(self, at: Sequence[float]) -> tuple[float, ...]:
        """Return the values of the held parameters, natural units, inside their domains."""
        return tuple(held.natural(u) for held, u in zip(self._line(np.ones(len(at))), at, strict=True))

    def walk(
        self,
        direction: Sequence[float] | NDArray[np.float64],
        threshold: float,
        step: float,
        *,
        edge: float = math.inf,
        level_step: float = math.inf,
    ) -> tuple[Stop, tuple[float, ...]]:
        """Walk away from the best values until the root of the statistic reaches a threshold.

        Parameters
        ----------
        direction : sequence of float
            Change of each working coordinate for a unit of distance.
        threshold, step, edge, level_step : float
            As for `scalinglaws.lines.Line`.

        Returns
        -------
        stop : {"found", "short", "undefined"}
            How the walk ended.
        at : tuple of float
            Working coordinates where it ended.
        """
        held = self._line(direction)
        starts = np.array([self.best, *self._others])
        kappa = self.noise.kappa(np.asarray(direction, dtype=np.float64))
        line = Line(held, starts, self.minimum, kappa, threshold, step, edge, level_step)
        walk = get_backend(self.backend).walk(self.problem, line)
        refits = zip(walk.distance.tolist(), walk.objective.tolist(), walk.theta, walk.converged, strict=True)
        for distance, objective, theta, converged in refits:
            self._add(Point(line.at(distance), objective, theta, bool(converged)))
        return walk.stop, line.at(walk.at)

    def _line(self, direction: Sequence[float] | NDArray[np.float64]) -> tuple[Held, ...]:
        given = zip(self.held, self.origin, direction, self.logs, self.bounds, strict=True)
        return tuple(Held(i, at, float(way), log, bounds) for i, at, way, log, bounds in given)

    def refit(self, at: Sequence[float]) -> Point:
        """Fit all other parameters again.

        Parameters
        ----------
        at : sequence of float
            Working coordinates of the held parameters.

        Returns
        -------
        Point
            The lowest of the refits from the nearest known points and from other basins.
        """
        at = tuple(at)
        steps = (np.array([point.at for point in self.points]) - at) / self.width
        order = np.argsort(np.einsum("ij,ij->i", steps, steps), kind="stable")
        starts = [self.points[order[0]].theta]
        if len(at) == 1:
            # The nearest point on the other side too, so that a refit between two branches sees both.
            across = order[steps[order, 0] * steps[order[0], 0] < 0.0]
            starts += [self.points[index].theta for index in across[:1]]
        starts += self._others
        values = dict(zip(self.names, self.natural(at), strict=True))
        point = self._solve(at, values, np.array(starts))
        self._add(point)
        return point

    def branch(self) -> Constrained:
        """Return the same with a memory of its own: refits of branches know nothing of each other.

        That makes them independent, so that they may be made anywhere and in any order.
        """
        other = copy(self)
        other.points, other._inherited = list(self.points), len(self.points)
        other.unconverged, other.lower = 0, None
        return other

    def found(self) -> Found:
        """Return what a branch found since it was made."""
        return Found(tuple(self.points[self._inherited :]), self.unconverged, self.lower)

    def join(self, found: Found) -> None:
        """Take over what a branch found."""
        self.points += found.points
        self.unconverged += found.unconverged
        self._note(found.lower)

    def _add(self, point: Point) -> None:
        """Count a refit, and remember it where it is finite."""
        if not point.converged:
            self.unconverged += 1
        self._note(point)
        if math.isfinite(point.objective):
            self.points.append(point)

    def _note(self, point: Point | None) -> None:
        """Remember the first of the points that lie lowest below the fit."""
        if point is None or not point.objective < self.minimum - _LOWER * abs(self.minimum):
            return
        if self.lower is None or point.objective < self.lower.objective:
            self.lower = point

    def statistic(self, point: Point) -> float:
        """Return 2 (F - F_min) / kappa, at least 0."""
        rise = 2.0 * (point.objective - self.minimum)
        if not rise > 0.0:
            return math.inf if math.isnan(rise) else 0.0
        return rise / self.noise.kappa(np.subtract(point.at, self.origin))

    def messages(self) -> list[str]:
        """Return what the reader of the result has to know about the refits."""
        out = []
        if self.lower is not None:
            values = ", ".join(
                f"{name} = {value:.6g}"
                for name, value in zip(self.names, self.natural(self.lower.at), strict=True)
            )
            out.append(
                f"a refit with {values} found the objective {self.lower.objective:.10g}, below the fit's "
                f"{self.minimum:.10g}: the fit is not at the lowest minimum, fit again with more starts"
            )
        if self.unconverged:
            out.append(
                f"{self.unconverged} refits did not converge; where they count, the interval is too short"
            )
        return out

    def _solve(
        self, at: tuple[float, ...], values: Mapping[str, float], starts: NDArray[np.float64]
    ) -> Point:
        problem = self.problem
        starts = starts.copy()
        starts[:, list(self.held)] = list(values.values())
        # The penalty of a held parameter is a constant of the refit, but it belongs to the objective.
        extra = sum(
            problem.priors[name].penalty(value) for name, value in values.items() if name in problem.priors
        )
        rest = {name: prior for name, prior in problem.priors.items() if name not in values}
        if int(problem.free.sum()) == len(self.held):
            theta = starts[0]
            return Point(at, _objective(problem, theta, rest) + extra, theta, True)
        held = replace(problem, fixed={**problem.fixed, **values}, priors=rest)
        solver = get_backend(self.backend)
        solved = solver.solve(held, starts, threads=1)
        best = solved.best
        converged = solved.status[best] in ("converged", "bound")
        if not converged and math.isfinite(solved.objective[best]):
            solved = solver.solve(held, solved.theta[best][None, :], max_iter=_PATIENT, threads=1)
            best, converged = 0, solved.status[0] in ("converged", "bound")
        return Point(at, float(solved.objective[best]) + extra, np.array(solved.theta[best]), converged)


def _basins(fit: Fit) -> list[NDArray[np.float64]]:
    """Other minima of the fit that a refit may fall into, as starts."""
    out = []
    for basin in fit.basins[1:]:
        theta = np.array([basin.values[name] for name in fit._problem.names])
        if basin.status in ("converged", "bound") and np.isfinite(theta).all():
            out.append(theta)
    return out[:_BASINS]


def _objective(problem: Problem, theta: NDArray[np.float64], priors: Mapping[str, Prior]) -> float:
    with np.errstate(all="ignore"):
        _, residual = residuals(problem, theta)
        # Not a product of vectors: how many threads that takes, and so its last bit, is up to BLAS.
        rows = float((problem.weights * problem.loss.rho(residual)).sum())
    position = {name: index for index, name in enumerate(problem.names)}
    return rows + sum(prior.penalty(float(theta[position[name]])) for name, prior in priors.items())


def _position(fit: Fit, name: object) -> int:
    problem = fit._problem
    free = [other for other, taken in zip(problem.names, problem.free, strict=True) if taken]
    if name in free:
        return problem.names.index(str(name))
    if name in fit._binding.ties:
        raise ValueError(f"{name!r} is tied or taken out, so it has no profile; take what it is tied to")
    if name in problem.names:
        raise ValueError(f"{name!r} is fixed, so it has no profile; fitted are {', '.join(map(repr, free))}")
    members = [other for other in free if other.partition("[")[0] == name]
    if members:
        raise ValueError(f"{name!r} is grouped: name one of its values, such as {members[0]!r}")
    raise ValueError(f"the fit has no parameter {name!r}.{near(str(name), free)}")
