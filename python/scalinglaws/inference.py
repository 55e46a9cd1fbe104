"""Rows of a fit with the exact derivatives of the law, and the triangular factor of their Jacobian.

All of it works in natural units, in blocks of rows, so that memory does not grow with the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ._core import Law as CoreLaw
    from .law import Law
    from .losses import Loss
    from .problem import Problem

__all__ = [
    "CovKind",
    "Rows",
    "core_law",
    "effective_weights",
    "evaluate",
    "prior_slopes",
    "residuals",
    "rows",
    "singular_directions",
    "triangle",
]

CovKind: TypeAlias = Literal["sandwich", "classical", "hessian"]

# Numbers in the largest temporary of one block: 4 MB, inside the caches of a server core and far from the
# data.
_BLOCK = 1 << 19


@dataclass(frozen=True, eq=False)
class Rows:
    """A block of rows at one parameter vector.

    Parameters
    ----------
    residual : ndarray, shape (b,)
        T(y) - T(f).
    weight : ndarray, shape (b,)
        Row weights.
    jacobian : ndarray, shape (b, p)
        dT(f)/dtheta by the chosen parameters.
    slope : ndarray, shape (b,)
        T'(f): 1/f for log residuals, else 1.
    second : ndarray, shape (b, q, q) or None
        Second derivatives of f, not of T(f), by the q declared parameters that were chosen, where asked for.
    where : ndarray of int, shape (b, q) or None
        Position among the chosen parameters of each declared one on each row, -1 where it is not chosen; None
        where no parameter is grouped and positions equal columns.
    index : ndarray of int, shape (b,)
        Which rows of the problem these are.
    """

    residual: NDArray[np.float64]
    weight: NDArray[np.float64]
    jacobian: NDArray[np.float64]
    slope: NDArray[np.float64]
    second: NDArray[np.float64] | None
    where: NDArray[np.intp] | None
    index: NDArray[np.intp]


def evaluate(problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the law on every row of the problem, natural units.

    Parameters
    ----------
    problem : Problem
        The rows.
    theta : ndarray of float, shape (k,)
        Parameters in the order of ``problem.names``.

    Returns
    -------
    ndarray of float, shape (n,)
        f(x; theta).
    """
    values = problem.row_values(theta)
    columns = [*(problem.inputs[name] for name in problem.law.inputs), *values.values()]
    return _spread(core_law(problem).value(columns), problem.n)


def residuals(
    problem: Problem, theta: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return fitted values in natural units and residuals T(y) - T(f), each of shape (n,)."""
    fitted = evaluate(problem, theta)
    if problem.residual == "linear":
        return fitted, problem.target - fitted
    # In place, because a table may be most of the memory there is.
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = np.log(problem.target)
        residual -= np.log(fitted)
    return fitted, residual


def rows(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    *,
    curvature: bool = False,
    step: int = 1,
) -> Iterator[Rows]:
    """Walk over the rows in blocks, with derivatives by the chosen parameters.

    Parameters
    ----------
    problem : Problem
        The rows.
    theta : ndarray of float, shape (k,)
        Parameters in the order of ``problem.names``.
    chosen : ndarray of bool, shape (k,)
        The parameters to differentiate by.
    curvature : bool
        Whether to give second derivatives as well.
    step : int
        Take every ``step``-th row only.

    Yields
    ------
    Rows
        Rows of weight zero are left out.
    """
    law, core = problem.law, core_law(problem)
    order = np.full(chosen.size, -1, dtype=np.intp)
    order[chosen] = np.arange(int(chosen.sum()))
    wanted = [name for name, where in problem.slots if chosen[where].any()]
    grouped = {name: order[problem.positions(name)] for name in wanted if name in law.groups}
    starts = {name: order[where.start] for name, where in problem.slots}
    size = max(len(wanted) ** 2 if curvature else len(wanted), int(chosen.sum()), 1)
    block = max(1, _BLOCK // size)
    values = problem.row_values(theta)
    index = np.arange(0, problem.n, step)
    for first in range(0, index.size, block):
        take = index[first : first + block]
        take = take[problem.weights[take] > 0.0]
        if not take.size:
            continue
        columns = [problem.inputs[name][take] for name in law.inputs]
        columns += [v[take] if v.size == problem.n else v for v in values.values()]
        fitted = _spread(core.value(columns), take.size)
        gradient = _spread(core.gradient(columns, wanted), take.size)
        second = _spread(core.hessian(columns, wanted), take.size) if curvature else None
        target = problem.target[take]
        if problem.residual == "log":
            residual, slope = np.log(target) - np.log(fitted), 1.0 / fitted
            gradient = gradient * slope[:, None]
        else:
            residual, slope = target - fitted, np.ones(take.size)
        if not grouped:
            yield Rows(residual, problem.weights[take], gradient, slope, second, None, take)
            continue
        where = np.empty((take.size, len(wanted)), dtype=np.intp)
        for column, name in enumerate(wanted):
            where[:, column] = grouped[name][take] if name in grouped else starts[name]
        jacobian = np.zeros((take.size, int(chosen.sum())))
        line = np.arange(take.size)
        for column in range(len(wanted)):
            seen = where[:, column] >= 0
            jacobian[line[seen], where[seen, column]] = gradient[seen, column]
        yield Rows(residual, problem.weights[take], jacobian, slope, second, where, take)


def triangle(
    problem: Problem, theta: NDArray[np.float64], chosen: NDArray[np.bool_], *, step: int = 1
) -> tuple[NDArray[np.float64], float]:
    """Return the triangular factor R of the weighted Jacobian, so that R'R = J'WJ plus the priors' curvature.

    Parameters
    ----------
    problem : Problem
        The rows.
    theta : ndarray of float, shape (k,)
        Parameters in the order of ``problem.names``.
    chosen : ndarray of bool, shape (k,)
        The p parameters to differentiate by.
    step : int
        Take every ``step``-th row only.

    Returns
    -------
    factor : ndarray of float, shape (p, p)
        Upper triangular. Each column is accurate relative to its own length.
    rss : float
        Weighted sum of squared residuals of the same rows.
    """
    p = int(chosen.sum())
    factor, rss = np.zeros((p, p)), 0.0
    for block in rows(problem, theta, chosen, step=step):
        weight = effective_weights(problem.loss, block)
        rss += float(weight @ block.residual**2)
        stacked = np.concatenate([factor, np.sqrt(weight)[:, None] * block.jacobian])
        factor = _square(np.asarray(np.linalg.qr(stacked, mode="r")), p)
    if problem.priors:
        extra = np.diag(prior_slopes(problem, theta)[chosen])
        factor = _square(np.asarray(np.linalg.qr(np.concatenate([factor, extra]), mode="r")), p)
    return factor, rss


def singular_directions(
    factor: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return column lengths, and singular values with directions of the factor with columns of unit length.

    Parameters
    ----------
    factor : ndarray of float, shape (p, p)
        As from `triangle`.

    Returns
    -------
    lengths : ndarray of float, shape (p,)
        Length of each column; 0 for a parameter without any effect.
    values : ndarray of float, shape (p,)
        Singular values, largest first. Their squares are the eigenvalues of the information matrix scaled to
        a unit diagonal.
    directions : ndarray of float, shape (p, p)
        Row i is the direction of ``values[i]`` in the scaled parameters.
    """
    lengths = np.sqrt(np.einsum("ij,ij->j", factor, factor))
    scaled = factor / np.where(lengths > 0.0, lengths, 1.0)
    _, values, directions = np.linalg.svd(scaled)
    return lengths, values, directions


def effective_weights(loss: Loss, block: Rows) -> NDArray[np.float64]:
    """Return the row weights with the factor of rows above the law in them, shape (b,)."""
    if loss.above == 1.0:
        return block.weight
    return block.weight * np.where(block.residual > 0.0, loss.above, 1.0)


def prior_slopes(problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entry that each prior adds to the Jacobian as a row of its own, shape (k,)."""
    slopes = np.zeros(theta.size)
    for index, name in enumerate(problem.names):
        if (prior := problem.priors.get(name)) is not None:
            slopes[index] = 1.0 / (prior.width * (1.0 if prior.kind == "normal" else float(theta[index])))
    return slopes


def core_law(problem: Problem) -> CoreLaw:
    """Return the compiled law of a problem."""
    return cast("Law", problem.law)._core


def _spread(values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """One row for each row of the table, also where the law depends on no column."""
    return values if len(values) == n else np.broadcast_to(values, (n, *values.shape[1:]))


def _square(factor: NDArray[np.float64], p: int) -> NDArray[np.float64]:
    """Triangular factor padded to p rows, for fewer rows than parameters."""
    return factor if len(factor) == p else np.concatenate([factor, np.zeros((p - len(factor), p))])
