"""The second backend: the same problem through NumPy and scipy.optimize.

It is the cross-check of the compiled solver, shares no code with it, and takes its time: starts are processed
one by one, and every local fit ends with Newton steps on the exact Hessian so that it really is at a
stationary point.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from ..lines import Line, Walk
from ..problem import Problem, Solutions
from . import Interrupt, Progress
from .nonsmooth import solve_nonsmooth
from .objective import Objective
from .smooth import Local, solve_smooth
from .walk import search

__all__ = ["solve", "walk"]

_MAX_ITER = 5_000


def solve(
    problem: Problem,
    starts: NDArray[np.float64],
    *,
    screen: int | None = None,
    weights: NDArray[np.float64] | None = None,
    max_iter: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    on_interrupt: Interrupt = "raise",
) -> Solutions:
    """Solve `problem` from every start with scipy.optimize.

    Parameters
    ----------
    problem : Problem
        The problem.
    starts : ndarray of float, shape (m, k)
        Starts in natural units, inside their domains; entries of fixed parameters are ignored. A positive
        parameter may start at 0, which stands for its smallest value.
    screen : int, optional
        Solve only the best of the starts.
    weights : ndarray of float, shape (m, n), optional
        One refit per row of weights.
    max_iter : int, optional
        Limit on the steps of one local fit; 5,000 if not given.
    threads : int, optional
        Ignored: this backend works on one start at a time.
    progress : callable, optional
        Called as ``progress(done, total)`` after every local fit.
    on_interrupt : {"raise", "keep"}, default "raise"
        Whether Ctrl-C raises or returns what is done.

    Returns
    -------
    Solutions
        One row per start, or per row of weights.

    Raises
    ------
    ValueError
        If shapes or options are wrong, a start lies outside its domain, or every parameter is fixed.
    """
    began = time.perf_counter()
    k = len(problem.names)
    starts = np.asarray(starts, dtype=np.float64)
    if starts.ndim != 2 or starts.shape[1] != k or not len(starts):
        raise ValueError(f"starts must have the shape (m, {k}) with m of at least 1, not {starts.shape}")
    if weights is not None:
        weights = np.asarray(weights, dtype=np.float64)
        if weights.ndim != 2 or weights.shape[1] != problem.n or len(starts) not in (1, len(weights)):
            raise ValueError(
                f"weights of shape {weights.shape} do not fit {problem.n} rows and {len(starts)} starts"
            )
        if not (np.isfinite(weights).all() and (weights >= 0.0).all()):
            raise ValueError("weights must be finite and at least 0")
        if screen is not None:
            raise ValueError("screen compares starts of one problem; it does not combine with weights")
    if on_interrupt not in ("raise", "keep"):
        raise ValueError(f"on_interrupt must be 'raise' or 'keep', not {on_interrupt!r}")
    if not problem.free.any():
        raise ValueError("every parameter is fixed: there is nothing to fit")
    _check_starts(problem, starts)
    m = len(starts) if weights is None else len(weights)
    theta = np.array(np.broadcast_to(starts, (m, k)))
    for j, name in enumerate(problem.names):
        theta[:, j] = problem.fixed.get(name, theta[:, j])
    objective = np.full(m, np.nan)
    status = ["cancelled"] * m
    iterations, evaluations = np.zeros(m, dtype=np.int64), np.zeros(m, dtype=np.int64)
    gradient = np.full(m, np.nan)
    chosen = np.arange(m)
    done = 0
    try:
        if screen is not None and screen < m:
            shared = Objective(problem)
            objective = np.array([shared.at(shared.internal(start)).value for start in theta])
            evaluations[:] = 1
            order = np.argsort(objective, kind="stable")
            for i in order[max(screen, 1) :]:
                status[i] = "screened"
            chosen = np.sort(order[: max(screen, 1)])
        for i in chosen:
            one = Objective(problem, None if weights is None else weights[i])
            local = _solve_one(one, theta[i], _MAX_ITER if max_iter is None else max(int(max_iter), 1))
            # A start that cannot be evaluated is given back as it was, not as it was moved into the domain.
            theta[i] = theta[i] if local.status == "non-finite start" else local.point.theta
            objective[i], status[i] = local.point.value, local.status
            iterations[i], evaluations[i], gradient[i] = local.iterations, one.evaluations, local.measure
            done += 1
            if progress is not None:
                progress(done, chosen.size)
    except KeyboardInterrupt:
        if on_interrupt == "raise":
            raise
    return Solutions(
        theta=theta,
        objective=objective,
        status=status,
        iterations=iterations,
        evaluations=evaluations,
        gradient=gradient,
        seconds=time.perf_counter() - began,
    )


def walk(problem: Problem, line: Line) -> Walk:
    """Walk along held parameters; see `scalinglaws.backends.Backend.walk`."""
    return search(problem, line, solve)


def _check_starts(problem: Problem, starts: NDArray[np.float64]) -> None:
    low, high = problem.bounds.T
    outside = problem.free & ~(np.isfinite(starts) & (low <= starts) & (starts <= high))
    for i, j in np.argwhere(outside)[:1]:
        raise ValueError(f"start {i}: {problem.names[j]} = {starts[i, j]} lies outside its domain")


def _solve_one(objective: Objective, start: NDArray[np.float64], max_iter: int) -> Local:
    u = objective.internal(start)
    loss = objective.problem.loss
    if not loss.smooth:
        return solve_nonsmooth(objective, u, max_iter)
    return solve_smooth(objective, u, max_iter, squares=loss.kind == "squared")
