"""Covariances of the parameters in many bootstrap draws at once.

The formulas are those of `sandwich`, with an axis for the draws, because a call for each draw costs far more
than its arithmetic. Draws that need more than the plain formulas are left to `sandwich`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..inference import CovKind, triangle
from ..verdict import at_bounds
from .leverage import EXACT, WorkingNoise, cluster_variances, leverage_roots, row_factors, working_noise
from .sandwich import covariance, small_factor, white_coordinates
from .smoothing import bending, windows

if TYPE_CHECKING:
    from ..law import Law
    from ..problem import Problem

__all__ = ["draw_covariances"]

_Array = NDArray[np.float64]
# Numbers in the largest temporary of one block of draws.
_BLOCK = 1 << 19
# Singular values of the scaled Jacobian, over the largest, below which a draw goes the careful way.
_RANK = 1e-10


def draw_covariances(
    problem: Problem,
    theta: _Array,
    weights: _Array,
    target: _Array,
    centers: _Array,
    dof: int,
    kind: CovKind,
    clusters: NDArray[np.intp] | None,
    best: _Array,
) -> _Array:
    """Return covariances of the parameters for other weights and targets of a problem's rows.

    Parameters
    ----------
    problem : Problem
        The rows.
    theta : ndarray of float, shape (b, k)
        The optimum of each draw.
    weights : ndarray of float, shape (b, n)
        Weights of the problem times the number of copies of each row.
    target : ndarray of float, shape (b, n)
        Targets, natural units.
    centers : ndarray of float, shape (b, c)
        Centres of the problem's priors in their order.
    dof : int
        Residual degrees of freedom.
    kind : {"sandwich", "classical"}
        As for `Fit.cov`.
    clusters : ndarray of int, shape (n,), optional
        Rows whose noise is not independent, for the sandwich.
    best : ndarray of float, shape (k,)
        The fit to the rows themselves: its residuals give the working variances for the sandwich of the
        squared loss, so that all draws are measured alike.

    Returns
    -------
    ndarray of float, shape (b, k, k)
        Zero for parameters that are fixed or at a bound, NaN for those that the rows do not determine.
    """
    out = np.zeros((*theta.shape, theta.shape[1]))
    base = np.where(problem.weights > 0.0, problem.weights, 1.0)
    # A weight times a whole number, divided by the weight, may miss it by rounding.
    copies = np.rint(weights / base)
    chosen = problem.free & (at_bounds(problem, theta) == 0)
    plain = not problem.law.groups and not problem.priors
    noise = None
    if kind == "sandwich" and not problem.loss.robust:
        fitted = problem.free & (at_bounds(problem, best) == 0)
        white, _ = white_coordinates(triangle(problem, best, fitted)[0])
        noise = working_noise(problem, best, fitted, white)
        if clusters is not None:
            each = cluster_variances(noise.shape, clusters, problem.weights > 0.0)
            noise = replace(noise, shape=each[clusters])
    with np.errstate(all="ignore"):
        for mask in np.unique(chosen, axis=0):
            draws = np.flatnonzero((chosen == mask).all(axis=1))
            where = np.ix_(mask, mask)
            size = max(1, _BLOCK // max(1, problem.n * int(mask.sum()) ** 2))
            for part in (draws[i : i + size] for i in range(0, len(draws), size)):
                covs = np.full((len(part), int(mask.sum()), int(mask.sum())), np.nan)
                if plain:
                    given = (theta[part], weights[part], target[part], copies[part])
                    covs = _together(problem, mask, *given, dof, kind, clusters, noise)
                for i, cov in zip(part, covs, strict=True):
                    if not np.isfinite(cov).all():
                        moved = zip(problem.priors.items(), centers[i].tolist(), strict=True)
                        priors = {name: replace(prior, center=center) for (name, prior), center in moved}
                        here = replace(problem, weights=weights[i], target=target[i], priors=priors)
                        cov, _ = covariance(here, theta[i], mask, dof, kind, clusters, copies[i], noise)
                    out[i][where] = cov
    return out


def _together(
    problem: Problem,
    chosen: NDArray[np.bool_],
    theta: _Array,
    weights: _Array,
    target: _Array,
    copies: _Array,
    dof: int,
    kind: CovKind,
    clusters: NDArray[np.intp] | None,
    noise: WorkingNoise | None,
) -> _Array:
    """Covariances of draws with the same parameters off their bounds; NaN for those that need more care."""
    loss, p = problem.loss, int(chosen.sum())
    names = [name for name, taken in zip(problem.names, chosen, strict=True) if taken]
    fitted, gradient, second = _derivatives(problem, theta, names, loss.smooth and kind != "classical")
    if problem.residual == "log":
        residual = np.log(target) - np.log(fitted)
        slope = 1.0 / fitted
        gradient = gradient * slope[..., None]
    else:
        residual, slope = target - fitted, np.ones_like(fitted)
    side = np.where(residual > 0.0, loss.above, 1.0)
    white, known = _white(np.sqrt(weights * side)[..., None] * gradient)
    if kind == "classical":
        cov = white @ _turned(white) * ((weights * side * residual**2).sum(axis=1) / dof)[:, None, None]
    else:
        psi, bend = loss.psi(residual), _bending(problem, residual, copies)
        straight = gradient @ white
        turned = _turned(straight)
        single = weights / np.maximum(copies, 1.0)
        if loss.robust:
            exact = 1.0 - single * side * (straight**2).sum(axis=2) <= EXACT
            mean = (weights * bend).sum(axis=1) / weights.sum(axis=1)
            bend = np.where(exact, mean[:, None], bend)
        hessian = turned @ ((weights * bend)[..., None] * straight)
        if second is not None:
            pull = weights * psi
            bent = np.einsum("bn,bnij->bij", pull * slope, second, optimize=True)
            hessian -= _turned(white) @ bent @ white
            if problem.residual == "log":
                hessian += turned @ (pull[..., None] * straight)
        values, vectors = np.linalg.eigh(np.where(np.isfinite(hessian), hessian, 0.0))
        known &= values[:, 0] > 1e-15 * values[:, -1]
        inverse = (vectors / values[:, None, :]) @ _turned(vectors)
        middle, hidden = _middle(straight, single * psi, single * side, copies, clusters, noise)
        if noise is not None:
            middle += noise.level * hidden
        elif loss.robust:
            for draw, times in enumerate(copies):
                count = None if clusters is None else float(_times(times, clusters).sum())
                middle[draw] *= small_factor(float(times.sum()), p, count)
            left = np.maximum(copies.sum(axis=1) - p, 1.0)
            middle += ((weights * psi**2).sum(axis=1) / left)[:, None, None] * hidden
        half = white @ inverse
        cov = half @ middle @ _turned(half)
    return np.where(known[:, None, None], cov, np.nan)


def _derivatives(
    problem: Problem, theta: _Array, names: list[str], curvature: bool
) -> tuple[_Array, _Array, _Array | None]:
    """Law, gradient and second derivatives on the rows of every draw: (b, n), (b, n, p), (b, n, p, p)."""
    law: Law = problem.law  # type: ignore[assignment]
    b, n, p = len(theta), problem.n, len(names)
    columns = [np.tile(problem.inputs[name], b) for name in law.inputs]
    columns += [np.repeat(theta[:, where.start], n) for _, where in problem.slots]
    fitted = np.broadcast_to(law._core.value(columns), (b * n,)).reshape(b, n)
    gradient = np.broadcast_to(law._core.gradient(columns, names), (b * n, p)).reshape(b, n, p)
    if not curvature:
        return fitted, gradient, None
    second = np.broadcast_to(law._core.hessian(columns, names), (b * n, p, p)).reshape(b, n, p, p)
    return fitted, gradient, second


def _white(lines: _Array) -> tuple[_Array, NDArray[np.bool_]]:
    """White coordinates of each draw, and whether its rows determine all parameters."""
    known = np.asarray(np.isfinite(lines).all(axis=(1, 2)))
    factor: _Array = np.asarray(np.linalg.qr(np.where(known[:, None, None], lines, 0.0), mode="r"))
    lengths = np.sqrt((factor**2).sum(axis=1))
    known &= (lengths > 0.0).all(axis=1) & (factor.shape[1] == factor.shape[2])
    scale = 1.0 / np.where(lengths > 0.0, lengths, 1.0)
    _, values, directions = np.linalg.svd(factor * scale[:, None, :], full_matrices=False)
    known &= values[:, -1] > _RANK * values[:, 0]
    return scale[:, :, None] * _turned(directions) / values[:, None, :], known


def _bending(problem: Problem, residual: _Array, copies: _Array) -> _Array:
    """Second derivative of the loss on the rows of every draw, shape (b, n)."""
    loss = problem.loss
    plain = loss.curvature(residual)
    if not loss.robust:
        return plain
    width = windows(loss, residual, copies)[:, None]
    return np.where(np.isnan(width), plain, bending(loss, residual, width))


def _middle(
    straight: _Array,
    pull: _Array,
    weight: _Array,
    copies: _Array,
    clusters: NDArray[np.intp] | None,
    noise: WorkingNoise | None,
) -> tuple[_Array, _Array]:
    """Variance of the score of each draw in white coordinates, without the factor of robust losses.

    The second part, over the level of the noise, is what rows or clusters that were fitted exactly hide.
    """
    score = pull[..., None] * straight
    b, n, d = straight.shape
    shape = np.ones(n) if noise is None else noise.shape
    total = np.broadcast_to(np.eye(d), (b, d, d))
    if noise is not None:
        total = _turned(straight) @ ((copies * weight * shape)[..., None] * straight)
    if clusters is None:
        times = copies
        own = weight * (straight**2).sum(axis=2)
        exact = 1.0 - own <= EXACT
        if noise is not None:
            factor = row_factors(own, weight * ((straight @ total) * straight).sum(axis=2), shape)
            exact, times = factor == 0.0, copies * factor
        hidden = np.where(exact, copies * weight * shape, 0.0)
        return (
            np.asarray(_turned(score) @ (times[..., None] * score)),
            np.asarray(_turned(straight) @ (hidden[..., None] * straight)),
        )
    # Sums over the rows of each cluster, which lie together after sorting.
    order = np.argsort(clusters, kind="stable")
    first = np.searchsorted(clusters[order], np.arange(int(clusters.max()) + 1))
    outer = (weight[..., None] * straight)[..., None] * straight[..., None, :]
    blocks = np.add.reduceat(outer[:, order], first, axis=1)
    sums = np.add.reduceat(score[:, order], first, axis=1)
    times = np.array([_times(row, clusters) for row in copies])
    phi = shape[order[first]]
    root, _, lost = leverage_roots(blocks, total[:, None], phi)
    if noise is not None:
        sums = np.einsum("bsij,bsj->bsi", root, sums)
    middle = np.asarray(_turned(sums) @ (times[..., None] * sums))
    return middle, np.einsum("bs,bsij->bij", times * phi, lost)


def _times(copies: _Array, clusters: NDArray[np.intp]) -> _Array:
    """How often each cluster is in the table of one draw."""
    times = np.zeros(int(clusters.max()) + 1)
    np.maximum.at(times, clusters, copies)
    return times


def _turned(matrices: _Array) -> _Array:
    return np.asarray(np.swapaxes(matrices, -1, -2))
