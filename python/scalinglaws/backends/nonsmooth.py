"""Absolute and quantile losses: linear programs in a trust region, and equality-constrained Newton steps.

At the answer about as many rows as there are parameters have a residual of exactly 0. Which ones is found by
linear programs; where the curvature of the law or a prior decides, a step within the zero rows does the rest.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from .objective import Objective, Point, Smoothed, slopes
from .smooth import Local, newton, solve_smooth

__all__ = ["solve_nonsmooth"]

Array: TypeAlias = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
_TOLERANCE = 1e-7


def solve_nonsmooth(objective: Objective, u: Array, max_iter: int) -> Local:
    """Minimise an absolute or quantile objective from one start.

    Parameters
    ----------
    objective : Objective
        The objective.
    u : ndarray, shape (q,)
        Start in internal coordinates.
    max_iter : int
        Limit on the steps of all stages together.

    Returns
    -------
    Local
        The best point with its status.
    """
    first = objective.at(u)
    if not first.finite:
        return Local(first, "non-finite start", 0, np.inf)
    point, used = _approach(objective, first, max_iter)
    point, steps = _programs(objective, point, max(max_iter - used, 1))
    used += steps
    measure = _stationarity(objective, point)
    if measure <= _TOLERANCE:
        at_bound = (point.u <= objective.lower) | (point.u >= objective.upper)
        status = "bound" if at_bound.any() else "converged"
    else:
        status = "iteration limit" if used >= max_iter else "stalled"
    return Local(point, status, used, measure)


def _approach(objective: Objective, first: Point, max_iter: int) -> tuple[Point, int]:
    """Follow the minimum of smoothed losses while the smoothing shrinks."""
    width = float(np.median(np.abs(first.residuals)))
    best, u, used = first, first.u, 0
    for stage, factor in enumerate((1.0, 0.1, 1e-2, 1e-3, 1e-4)):
        if width == 0.0 or used >= max_iter:
            break
        smooth = objective.with_loss(Smoothed(objective.problem.loss, width * factor))
        if stage == 0:
            local = solve_smooth(smooth, u, max_iter - used, squares=False)
            u, steps = local.point.u, local.iterations
            width = min(width, float(np.median(np.abs(local.point.residuals))))
        else:
            found, steps = newton(smooth, smooth.at(u), max_iter - used)
            u = found.u
        used += steps
        objective.evaluations += smooth.evaluations
        here = objective.at(u)
        best = here if here.value < best.value else best
    return best, used


def _programs(objective: Objective, point: Point, max_iter: int) -> tuple[Point, int]:
    radius = 0.1
    for step in range(min(max_iter, 300)):
        scale = np.where(objective.is_log, 1.0, np.maximum(np.abs(point.u), 1e-6))
        solved = _linear_program(objective, point, radius * scale)
        if solved is None:
            return point, step
        d, multipliers, predicted = solved
        trials = [point.u + d, point.u + _within_zero_rows(objective, point, d, multipliers)]
        candidates = [objective.at(np.clip(trial, objective.lower, objective.upper)) for trial in trials]
        best = min(candidates, key=lambda candidate: candidate.value)
        gain = point.value - best.value
        moved = np.max(np.abs(d) / (radius * scale), initial=0.0)
        if best.finite and gain > 0.0:
            shrink = predicted > 0.0 and gain < 0.25 * predicted and best is candidates[0]
            radius = radius * 0.5 if shrink else (radius * 2.0 if moved > 0.99 else radius)
            point = best
            if gain <= 2.0 * _EPS * abs(point.value) and predicted <= 8.0 * _EPS * abs(point.value):
                return point, step + 1
        elif predicted <= 2.0 * _EPS * abs(point.value) or radius < 1e-14:
            return point, step
        else:
            radius *= 0.25
    return point, min(max_iter, 300)


def _linear_program(objective: Objective, point: Point, radius: Array) -> tuple[Array, Array, float] | None:
    """Minimise the objective of the linearised law in a box.

    Returns the step, the multiplier of each row (the derivative of the objective by its residual) and the
    decrease that the linearised law promises.
    """
    up, down = slopes(objective.problem.loss)
    n, q = point.jacobian.shape
    # Residuals are scaled to order one: the solver's tolerances are absolute.
    unit = float(np.median(np.abs(point.residuals)))
    unit = unit if unit > 0.0 else 1.0
    weight = float(objective.weights.max())
    cost = (
        np.concatenate(
            [point.prior_terms[0] * radius / unit, up * objective.weights, down * objective.weights]
        )
        / weight
    )
    rows = sparse.hstack(
        [sparse.csr_array(point.jacobian * (radius / unit)), sparse.eye_array(n), -sparse.eye_array(n)],
        format="csr",
    )
    low = np.maximum(-1.0, (objective.lower - point.u) / radius)
    high = np.minimum(1.0, (objective.upper - point.u) / radius)
    bounds = [*zip(low.tolist(), high.tolist(), strict=True), *[(0.0, np.inf)] * (2 * n)]
    result = optimize.linprog(
        cost,
        A_eq=rows,
        b_eq=point.residuals / unit,
        bounds=bounds,
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if result.x is None:
        return None
    d = result.x[:q] * radius
    linear = point.residuals - point.jacobian @ d
    promised = np.sum(objective.weights * objective.problem.loss.rho(linear)) + point.prior_terms[0] @ d
    now = np.sum(objective.weights * objective.problem.loss.rho(point.residuals))
    return d, np.asarray(result.eqlin.marginals) * weight, float(now - promised)


def _within_zero_rows(objective: Objective, point: Point, d: Array, multipliers: Array) -> Array:
    """Return the Newton step that keeps the rows at 0 which the linear program put there."""
    linear = point.residuals - point.jacobian @ d
    size = np.abs(point.residuals) + np.abs(point.jacobian) @ np.abs(d)
    zero = np.abs(linear) <= 1e-9 * size
    free = (point.u + d > objective.lower) & (point.u + d < objective.upper)
    out = d.copy()
    j = point.jacobian[np.ix_(zero, free)]
    hessian = (np.diag(point.prior_terms[1]) - point.curvature_of(multipliers))[np.ix_(free, free)]
    slope = (point.prior_terms[0] - point.jacobian[~zero].T @ multipliers[~zero])[free]
    # Particular solution and null space of the zero rows.
    if j.size:
        left, strength, right = np.linalg.svd(j / _column_unit(j), full_matrices=True)
        rank = int(np.sum(strength > 1e-10 * strength.max(initial=0.0)))
        unit = _column_unit(j)
        target = (point.residuals - point.jacobian[:, ~free] @ d[~free])[zero]
        base = (right[:rank].T @ ((left[:, :rank].T @ target) / strength[:rank])) / unit
        null = right[rank:].T / unit[:, None]
    else:
        base, null = np.zeros(int(free.sum())), np.eye(int(free.sum()))
    if null.shape[1]:
        reduced = null.T @ hessian @ null
        values, vectors = np.linalg.eigh(0.5 * (reduced + reduced.T))
        values = np.maximum(np.abs(values), 1e-12 * np.abs(values).max(initial=1e-300))
        base = base - null @ (vectors @ ((vectors.T @ (null.T @ (slope + hessian @ base))) / values))
    out[free] = base
    # Far steps leave what the expansion is good for.
    limit = np.where(objective.is_log, 1.0, np.maximum(np.abs(point.u), 1e-6))
    return out / max(1.0, float(np.max(np.abs(out) / limit, initial=0.0)))


def _column_unit(j: Array) -> Array:
    size = np.sqrt(np.sum(j * j, axis=0))
    return np.asarray(np.where(size > 0.0, size, 1.0))


def _stationarity(objective: Objective, point: Point) -> float:
    """Return how far 0 is from the set of generalised gradients, as a share of the sum of the terms."""
    up, down = slopes(objective.problem.loss)
    unit = 1.0 + np.abs(objective.y) if objective.log else np.abs(objective.y) + np.abs(point.rows[0])
    zero = np.abs(point.residuals) <= 1e-9 * np.maximum(unit * 1e-3, np.median(np.abs(point.residuals)))
    psi = np.where(zero, 0.0, objective.weights * objective.problem.loss.psi(point.residuals))
    rest = point.prior_terms[0] - point.jacobian.T @ psi
    scale = np.abs(point.jacobian).T @ (objective.weights * max(up, down)) + np.abs(point.prior_terms[0])
    scale = np.where(scale > 0.0, scale, 1.0)
    left = rest / scale
    if zero.any():
        matrix = (point.jacobian[zero] / scale).T
        bounds = (-down * objective.weights[zero], up * objective.weights[zero])
        multipliers = optimize.lsq_linear(matrix, left, bounds=bounds, method="bvls", tol=1e-15).x
        left = left - matrix @ multipliers
    low = (point.u <= objective.lower) & (left >= 0.0)
    high = (point.u >= objective.upper) & (left <= 0.0)
    return float(np.max(np.abs(left[~(low | high)]), initial=0.0))
