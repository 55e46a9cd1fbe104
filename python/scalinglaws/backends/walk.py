"""Walks along held parameters for the second backend: the search of the compiled one, written again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..inference import residuals
from ..lines import Line, Walk
from ..problem import Problem, Solutions

__all__ = ["search"]

# Doublings of the first step before a side counts as open: 2**60 standard errors.
_DOUBLINGS = 60
# A root that grew by less than this part of the threshold while the step doubled has reached its limit.
_LEVELLED = 1e-7
# Steps of a refit that did not converge at the first attempt.
_PATIENT = 10_000


def search(problem: Problem, line: Line, solve: Callable[..., Solutions]) -> Walk:
    """Walk outwards until the statistic passes the threshold, then close in.

    Parameters
    ----------
    problem : Problem
        The problem; the held parameters are free in it.
    line : Line
        Where to walk.
    solve : callable
        A backend's ``solve``.

    Returns
    -------
    Walk
        Its end and all refits.
    """
    from scipy.optimize import brentq

    path, goal = _Path(problem, line, solve), line.threshold

    inside, step, levelled = 0.0, line.step, 0
    for _ in range(_DOUBLINGS):
        r = min(step, line.edge)
        outside, defined = r, math.isfinite(path.height(r))
        if not defined:
            outside = path.last_finite(inside, r)
        if path.height(outside) >= goal:
            root = float(brentq(lambda at: path.height(at) - goal, inside, outside, rtol=1e-13))
            path.height(root)
            return path.walk("found", root)
        if not defined:
            return path.walk("undefined", outside)
        level = abs(path.height(r) - path.height(inside)) <= _LEVELLED * goal and r > line.level_step
        levelled = levelled + 1 if level else 0
        inside = r
        if r >= line.edge or levelled >= 3:
            break
        step *= 2.0
    return path.walk("short", inside)


class _Path:
    """The refits of one walk."""

    def __init__(self, problem: Problem, line: Line, solve: Callable[..., Solutions]) -> None:
        self.problem, self.line, self.solve = problem, line, solve
        self.distance: list[float] = []
        self.objective: list[float] = []
        self.theta: list[NDArray[np.float64]] = []
        self.converged: list[bool] = []

    def walk(self, stop: str, at: float) -> Walk:
        return Walk(
            stop,  # type: ignore[arg-type]
            at,
            np.array(self.distance),
            np.array(self.objective),
            np.array(self.theta).reshape(-1, len(self.problem.names)),
            np.array(self.converged, dtype=np.bool_),
        )

    def height(self, r: float) -> float:
        """Root of the statistic at a distance, from a refit there."""
        if r == 0.0:
            return 0.0
        if r not in self.distance:
            self.refit(r)
        rise = 2.0 * (self.objective[self.distance.index(r)] - self.line.minimum) / self.line.kappa
        return math.inf if math.isnan(rise) else math.sqrt(max(rise, 0.0))

    def last_finite(self, inside: float, outside: float) -> float:
        """Go from a refit that is not finite back to one that is: over the threshold, or at the edge."""
        for _ in range(_DOUBLINGS):
            middle = 0.5 * (inside + outside)
            if middle in (inside, outside):
                break
            z = self.height(middle)
            if not math.isfinite(z):
                outside = middle
            elif z >= self.line.threshold:
                return middle
            else:
                inside = middle
        return inside

    def refit(self, r: float) -> None:
        problem, line = self.problem, self.line
        names = [problem.names[held.index] for held in line.held]
        values = dict(zip(names, line.natural(r), strict=True))
        starts = np.array([*self._near(r), *line.starts[1:]])
        starts[:, [held.index for held in line.held]] = list(values.values())
        extra = sum(
            problem.priors[name].penalty(value) for name, value in values.items() if name in problem.priors
        )
        rest = {name: prior for name, prior in problem.priors.items() if name not in values}
        self.distance.append(r)
        if int(problem.free.sum()) == len(names):
            with np.errstate(all="ignore"):
                losses = problem.weights * problem.loss.rho(residuals(problem, starts[0])[1])
            self._add(float(losses.sum()) + extra, starts[0], True)
            return
        held = replace(problem, fixed={**problem.fixed, **values}, priors=rest)
        solved = self.solve(held, starts)
        best = solved.best
        if solved.status[best] not in ("converged", "bound") and math.isfinite(solved.objective[best]):
            solved = self.solve(held, solved.theta[best][None, :], max_iter=_PATIENT)
            best = 0
        converged = solved.status[best] in ("converged", "bound")
        self._add(float(solved.objective[best]) + extra, np.array(solved.theta[best]), converged)

    def _add(self, objective: float, theta: NDArray[np.float64], converged: bool) -> None:
        self.objective.append(objective)
        self.theta.append(theta)
        self.converged.append(converged)

    def _near(self, r: float) -> list[NDArray[np.float64]]:
        """Parameters of the nearest refits on both sides; the optimum is one of them."""
        known = [(0.0, self.line.starts[0])]
        refits = zip(self.distance, self.theta, self.objective, strict=True)
        known += [(distance, theta) for distance, theta, objective in refits if math.isfinite(objective)]
        below = max((entry for entry in known if entry[0] < r), key=lambda entry: entry[0])
        above = [min((entry for entry in known if entry[0] > r), key=lambda entry: entry[0], default=None)]
        return [below[1], *(entry[1] for entry in above if entry is not None)]
