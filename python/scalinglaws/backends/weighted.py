"""Refits of one problem with many sets of row weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..problem import Problem, Solutions
from ..starts import revived
from . import get_backend

__all__ = ["refit_weighted"]


def refit_weighted(
    backend: str, problem: Problem, theta: NDArray[np.float64], weights: NDArray[np.float64], **options: Any
) -> Solutions:
    """Refit from an optimum, once for each row of weights.

    Parameters
    ----------
    backend : str
        Who solves.
    problem : Problem
        The problem.
    theta : ndarray of float, shape (k,)
        The optimum.
    weights : ndarray of float, shape (m, n)
        Row weights.
    **options
        As for the backend's `solve`.

    Returns
    -------
    Solutions
        One for each row of weights.
    """
    solver = get_backend(backend)
    found = solver.solve(problem, theta[None, :], weights=weights, **options)
    alive = revived(problem, theta)
    if not alive:
        return found
    # From a term that has vanished there is no way back, so each refit also starts with the term alive.
    best, objective, status = np.array(found.theta), np.array(found.objective), list(found.status)
    starts = np.array([theta, *alive])
    for row, given in enumerate(weights):
        if status[row] == "cancelled" or not (given > 0.0).any():
            continue
        other = solver.solve(replace(problem, weights=given), starts, threads=options.get("threads"))
        first = int(np.argmin(other.objective))
        if other.objective[first] <= objective[row] or status[row] not in ("converged", "bound"):
            best[row], objective[row] = other.theta[first], other.objective[first]
            status[row] = other.status[first]
    return replace(found, theta=best, objective=objective, status=status)
