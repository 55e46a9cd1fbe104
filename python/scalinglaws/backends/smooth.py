"""Smooth losses: a method of scipy.optimize finds the valley, Newton steps reach its floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from .objective import TOLERANCE, Objective, Point

__all__ = ["Local", "newton", "solve_smooth"]

Array: TypeAlias = NDArray[np.float64]

_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Local:
    """The end of one local fit."""

    point: Point
    status: str
    iterations: int
    measure: float


def solve_smooth(objective: Objective, u: Array, max_iter: int, *, squares: bool) -> Local:
    """Minimise a smooth objective from one start.

    Parameters
    ----------
    objective : Objective
        The objective.
    u : ndarray, shape (q,)
        Start in internal coordinates.
    max_iter : int
        Limit on the steps of all methods together.
    squares : bool
        Whether the loss is squared, so that a least-squares method applies.

    Returns
    -------
    Local
        The best point with its status.
    """
    point = objective.at(u)
    if not point.finite:
        return Local(point, "non-finite start", 0, np.inf)
    used = 0
    # A method may stop early on a plateau or in a bad scaling; after Newton steps it gets another go.
    for _ in range(_ROUNDS):
        before = point.value
        found, steps = (_least_squares if squares else _descend)(objective, point, max(max_iter - used, 1))
        used += steps
        point = found if found.finite and found.value <= point.value else point
        point, steps = newton(objective, point, max(max_iter - used, 1))
        used += steps
        if point.measure <= TOLERANCE or used >= max_iter or not point.value < before * (1.0 - 1e-12):
            break
    return Local(point, _status(point, used >= max_iter), used, point.measure)


def _status(point: Point, exhausted: bool) -> str:
    if point.measure <= TOLERANCE:
        at_bound = (point.u <= point.objective.lower) | (point.u >= point.objective.upper)
        return "bound" if at_bound.any() else "converged"
    return "iteration limit" if exhausted else "stalled"


def _least_squares(objective: Objective, point: Point, max_iter: int) -> tuple[Point, int]:
    """Run scipy's trust-region reflective method; penalties become further residuals."""
    known: dict[bytes, Point] = {point.u.tobytes(): point}

    def at(u: Array) -> Point:
        key = u.tobytes()
        if key not in known:
            known.clear()
            known[key] = objective.at(u)
        return known[key]

    def root_weight(p: Point) -> Array:
        # psi/r is the factor of a squared loss, including the one for rows above the law.
        side = np.where(p.residuals > 0.0, objective.problem.loss.above, 1.0)
        return np.asarray(np.sqrt(objective.weights * side))

    def residuals(u: Array) -> Array:
        p = at(u)
        extra = [
            np.sqrt(2.0 * prior.penalty(float(p.theta[objective.free[j]]))) for j, prior in objective.priors
        ]
        return np.concatenate([root_weight(p) * p.residuals, extra])

    def jacobian(u: Array) -> Array:
        p = at(u)
        extra = np.zeros((len(objective.priors), objective.size))
        for row, (j, prior) in enumerate(objective.priors):
            theta = float(p.theta[objective.free[j]])
            root = np.sqrt(2.0 * prior.penalty(theta))
            slope = prior.gradient(theta) * (theta if objective.is_log[j] else 1.0)
            # d sqrt(2 P) = P' / sqrt(2 P); at the centre its limit is the root of the curvature.
            bend = prior.curvature(theta) * (theta * theta if objective.is_log[j] else 1.0)
            extra[row, j] = slope / root if root > 0.0 else np.sqrt(max(bend, 0.0))
        return np.vstack([-root_weight(p)[:, None] * p.jacobian, extra])

    result = optimize.least_squares(
        residuals,
        point.u,
        jac=jacobian,
        bounds=(objective.lower, objective.upper),
        method="trf",
        x_scale="jac",
        ftol=1e-15,
        xtol=1e-15,
        gtol=None,
        max_nfev=max_iter + 1,
    )
    return objective.at(np.clip(result.x, objective.lower, objective.upper)), int(result.njev or 0)


def _descend(objective: Objective, point: Point, max_iter: int) -> tuple[Point, int]:
    """Run BFGS, or L-BFGS-B where a parameter has bounds, on coordinates and values brought to order one."""
    scale = np.where(objective.is_log | (point.u == 0.0), 1.0, np.abs(point.u))
    bounded = bool(np.isfinite(np.where(objective.is_log, np.inf, objective.lower)).any()) or bool(
        np.isfinite(np.where(objective.is_log, np.inf, objective.upper)).any()
    )
    unit = point.value if point.value > 0.0 else 1.0  # the tolerances of these methods are absolute
    best = point

    def function(x: Array) -> tuple[float, Array]:
        nonlocal best
        p = objective.at(np.clip(x * scale, objective.lower, objective.upper))
        if not p.finite:
            return 1e300, np.zeros_like(x)
        if p.value < best.value:
            best = p
        return p.value / unit, p.gradient * scale / unit

    with np.errstate(all="ignore"):
        if bounded:
            result = optimize.minimize(
                function,
                point.u / scale,
                jac=True,
                method="L-BFGS-B",
                bounds=optimize.Bounds(objective.lower / scale, objective.upper / scale),
                options={
                    "maxiter": max_iter,
                    "maxfun": 20 * max_iter,
                    "maxcor": 30,
                    "ftol": 1e-15,
                    "gtol": 1e-12,
                },
            )
        else:
            result = optimize.minimize(
                function,
                point.u / scale,
                jac=True,
                method="BFGS",
                options={"maxiter": max_iter, "gtol": 1e-12},
            )
    return best, int(result.nit)


def newton(objective: Objective, point: Point, max_iter: int) -> tuple[Point, int]:
    """Take damped Newton steps with the exact Hessian inside the bounds until nothing is left but rounding.

    Parameters
    ----------
    objective : Objective
        The objective.
    point : Point
        Where to start.
    max_iter : int
        Limit on the steps.

    Returns
    -------
    point : Point
        The last point; its objective is not above the first one's.
    steps : int
        Steps taken.
    """
    damping = 0.0
    for step in range(min(max_iter, 500)):
        if point.measure <= 1e-15:
            return point, step
        free = ~point.blocked()
        if not free.any():
            return point, step
        trial = None
        # A damping left over from far away hides the quadratic convergence: the second try is always without.
        tries = [damping, *([0.0] if damping else []), *(max(damping, 1e-9) * 10.0**k for k in range(1, 21))]
        for damping in tries:
            candidate = objective.at(_newton_trial(objective, point, free, damping))
            if _better(candidate, point):
                trial = candidate
                break
        if trial is None:
            return point, step
        point = trial
        damping = 0.0 if damping < 1e-7 else damping / 30.0
    return point, min(max_iter, 500)


def _better(candidate: Point, point: Point) -> bool:
    if not candidate.finite:
        return False
    noise = point.noise
    if candidate.value < point.value - noise:
        return True
    # Where objectives can no longer be told apart, the gradient still can.
    return candidate.value <= point.value + noise and candidate.measure < 0.5 * point.measure


def _newton_trial(objective: Objective, point: Point, free: NDArray[np.bool_], damping: float) -> Array:
    h = point.hessian[np.ix_(free, free)]
    g = point.gradient[free]
    # Dividing by the root of the diagonal makes the step independent of the parameters' units.
    diagonal = np.abs(np.diag(h))
    largest = float(diagonal.max(initial=0.0))
    unit = np.sqrt(np.where(diagonal > 0.0, diagonal, largest if largest > 0.0 else 1.0))
    values, vectors = np.linalg.eigh(h / np.outer(unit, unit))
    # A direction of negative curvature is descended with the size of its curvature.
    strength = (
        np.maximum(np.abs(values), max(1e-14 * float(np.abs(values).max(initial=0.0)), 1e-12)) + damping
    )
    out = point.u.copy()
    out[free] -= (vectors @ ((vectors.T @ (g / unit)) / strength)) / unit
    return np.clip(out, objective.lower, objective.upper)
