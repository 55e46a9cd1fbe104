"""Covariances of fitted parameters, and the degrees of freedom of their estimates.

With r = T(y) - T(f), J = dT(f)/dtheta and the row weights w:

``"classical"``
    s^2 (J'WJ)^-1 with s^2 = sum(w r^2) / dof, through a QR factorisation of the rows (never through J'WJ,
    whose condition is the square) and scaled columns.
``"sandwich"``
    H^-1 M H^-1 with the exact Hessian H of the objective and M the sum of w^2 psi^2 J J' over the rows; with
    clusters the sum over clusters of u u', where u = sum w psi J over the rows of one.
``"hessian"``
    kappa H^-1, where kappa = (sum(w psi^2) / dof) / (sum(w rho'') / sum(w)) turns the objective into a
    log-likelihood; it is s^2 for the squared loss.

A fit comes closer to its own rows than the truth is, most of all to rows of high leverage, and M is too small
without a correction:

- Squared loss: the residuals of a row are divided by sqrt(1 - h), h its leverage, those of a cluster
  multiplied by (I - H_gg)^(-1/2) (HC2 of MacKinnon and White 1985, CR2 of Bell and McCaffrey 2002). Under
  equal independent noise the variance of every combination of parameters then has no bias. Its distribution
  is close to chi-square with the degrees of freedom of Bell and McCaffrey (see also Imbens and Kolesar 2016),
  which few rows of high leverage make far fewer than n - p: see `degrees`.
- Other losses: their psi is bounded and no share of it is fitted away, so M has the factor n / (n - p), with
  clusters G / (G - 1) (n - 1) / (n - p) (Cameron and Miller 2015), and n - p or G - 1 degrees of freedom.

The second derivative of a loss with a narrow core is averaged over a window: see `smoothing`. A prior adds
its curvature to H and a row to J; it is taken as given and adds nothing to the noise.

Everything but the result is computed in coordinates in which J'WJ is the identity on the directions that the
rows determine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .inference import CovKind, effective_weights, residuals, rows, singular_directions, triangle
from .smoothing import bending, window

if TYPE_CHECKING:
    from .problem import Problem

__all__ = ["bread", "covariance", "degrees", "inverse_root", "white_coordinates"]

# Below this the scaled singular value is rounding of the Jacobian and the direction has no information at
# all.
_RANK = 1e-13
# A row or cluster that keeps less than this of its noise in its residual was fitted exactly and shows none.
_EXACT = 1e-9


def covariance(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    dof: int,
    kind: CovKind,
    clusters: NDArray[np.intp] | None = None,
    copies: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], str]:
    """Return the covariance of the chosen parameters.

    Parameters
    ----------
    problem : Problem
        The rows.
    theta : ndarray of float, shape (k,)
        The optimum, in the order of ``problem.names``.
    chosen : ndarray of bool, shape (k,)
        The p parameters that were fitted and are not held by a bound.
    dof : int
        Residual degrees of freedom.
    kind : {"sandwich", "classical", "hessian"}
        See the module's description.
    clusters : ndarray of int, shape (n,), optional
        Cluster of each row, numbered from 0; for the sandwich only.
    copies : ndarray of float, shape (n,), optional
        How often each row stands in the table that `problem` is meant for, where its weights are those of
        one copy times this number. Copies are observations of their own: c copies of weight w add
        c (w psi)^2 J J' to the sandwich, and not (c w psi)^2 J J'. All rows of a cluster have as many.

    Returns
    -------
    cov : ndarray of float, shape (p, p)
        Natural units. Rows and columns of parameters that the data do not determine are NaN, as is everything
        that needs the noise where no degree of freedom is left.
    form : str
        ``"exact"``, ``"gauss-newton"`` (the Hessian was not positive definite, its part with second
        derivatives of the law was left out) or ``"kernel"`` (the second derivative of the loss was averaged
        over a window).
    """
    p = int(chosen.sum())
    factor, rss = triangle(problem, theta, chosen)
    if not np.isfinite(factor).all():
        return np.full((p, p), np.nan), "exact"
    white, lost = white_coordinates(factor)
    if kind == "classical":
        cov = (rss / dof if dof > 0 else math.nan) * (white @ white.T)
        form = "exact"
    else:
        sums, width = _accumulate(problem, theta, chosen, white, clusters, copies)
        inverse, form = sums.inverse(width is not None)
        if kind == "sandwich":
            middle = inverse @ sums.middle @ inverse if dof > 0 else np.full(inverse.shape, np.nan)
        else:
            middle = (sums.spread / dof if dof > 0 else math.nan) * inverse
        cov = white @ middle @ white.T
    cov[lost, :] = np.nan
    cov[:, lost] = np.nan
    return cov, form


def bread(
    problem: Problem, theta: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], str]:
    """Return the inverse Hessian of the objective, without any scale of the noise.

    Parameters
    ----------
    problem, theta, chosen
        As for `covariance`.

    Returns
    -------
    inverse : ndarray of float, shape (p, p)
        Natural units, NaN as in `covariance`.
    form : str
        As for `covariance`.
    """
    p = int(chosen.sum())
    factor, _ = triangle(problem, theta, chosen)
    if not np.isfinite(factor).all():
        return np.full((p, p), np.nan), "exact"
    white, lost = white_coordinates(factor)
    sums, width = _accumulate(problem, theta, chosen, white, None, None)
    inner, form = sums.inverse(width is not None)
    inverse = white @ inner @ white.T
    inverse[lost, :] = np.nan
    inverse[:, lost] = np.nan
    return inverse, form


def degrees(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    dof: int,
    combinations: NDArray[np.float64],
    clusters: NDArray[np.intp] | None = None,
) -> NDArray[np.float64]:
    """Return the degrees of freedom of the sandwich's variances.

    Parameters
    ----------
    problem, theta, chosen, dof, clusters
        As for `covariance`.
    combinations : ndarray of float, shape (m, p)
        Derivatives of m quantities by the chosen parameters: a row of the identity for a parameter.

    Returns
    -------
    ndarray of float, shape (m,)
        For the squared loss between 1 and `dof`, after Bell and McCaffrey (2002): those of the chi-square
        distribution with the mean and variance that the estimate has under equal independent noise. For other
        losses `dof`, or the number of clusters less one.

    Notes
    -----
    For a quantity c and the whitened rows Q, the estimate is the sum over clusters s of (u_s' r_s)^2 with
    u_s = A_s Q_s c and A_s = (I - Q_s Q_s')^(-1/2). The matrix of this form in independent noise has the
    entries D_st = [s = t] u_s'u_s - v_s'v_t with v_s = Q_s'u_s, and the degrees of freedom are
    tr(D)^2 / tr(D^2). Neither needs more than sums of p x p matrices over the clusters.
    """
    m = len(combinations)
    if problem.loss.robust:
        count = dof
        if clusters is not None:
            count = len(np.unique(clusters[problem.weights > 0.0])) - 1
        return np.full(m, float(count))
    factor, _ = triangle(problem, theta, chosen)
    if not np.isfinite(factor).all():
        return np.full(m, np.nan)
    white, _ = white_coordinates(factor)
    along = white.T @ combinations.T
    if clusters is None:
        trace, square, cross = _row_moments(problem, theta, chosen, white, along)
    else:
        trace, square, cross = _cluster_moments(problem, theta, chosen, white, along, clusters)
    square += (cross**2).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        out: NDArray[np.float64] = np.clip(trace**2 / square, 1.0, max(dof, 1))
    return out


def white_coordinates(factor: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return coordinates in which the information matrix is the identity.

    Parameters
    ----------
    factor : ndarray of float, shape (p, p)
        As from `triangle`.

    Returns
    -------
    white : ndarray of float, shape (p, d)
        Parameters are ``white @ z``, along the d directions that the rows determine.
    lost : ndarray of bool, shape (p,)
        Parameters that the rows do not determine.
    """
    lengths, values, directions = singular_directions(factor)
    null = values <= _RANK * max(1.0, float(values[0]) if values.size else 1.0)
    lost = (directions[null] ** 2).sum(axis=0) > 1e-8
    lost |= lengths == 0.0
    scale = 1.0 / np.where(lengths > 0.0, lengths, 1.0)
    return scale[:, None] * directions[~null].T / values[~null], lost


@dataclass(frozen=True, eq=False)
class _Sums:
    """What the robust kinds are made of, in white coordinates.

    Parameters
    ----------
    gauss, full : ndarray, shape (d, d)
        The Hessian's part with first derivatives of the law, and its part with second ones.
    middle : ndarray, shape (d, d)
        Variance of the score.
    spread : float
        sum(w psi^2) over the mean second derivative of the loss; NaN where that is not positive.
    """

    gauss: NDArray[np.float64]
    full: NDArray[np.float64]
    middle: NDArray[np.float64]
    spread: float

    def inverse(self, smoothed: bool) -> tuple[NDArray[np.float64], str]:
        """Return the inverse Hessian of one fit and its form; NaN unless positive definite."""
        form = "kernel" if smoothed else "exact"
        inverse = _inverse(self.gauss + self.full)
        if inverse is None and self.full.any():
            form, inverse = "gauss-newton", _inverse(self.gauss)
        return np.full(self.gauss.shape, np.nan) if inverse is None else inverse, form


def inverse_root(block: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return B (I - B)^-1 and (I - B)^(-1/2) on the directions in which B is not the identity.

    Parameters
    ----------
    block : ndarray of float, shape (..., d, d)
        Information of clusters in white coordinates, Q_s'Q_s.

    Returns
    -------
    ratio, root : ndarray of float, shape (..., d, d)
        Symmetric.
    """
    values, vectors = np.linalg.eigh(block)
    left = 1.0 - values
    kept = left > _EXACT
    left = np.where(kept, left, 1.0)
    turned = np.swapaxes(vectors, -1, -2)
    ratio = (vectors * np.where(kept, values / left, 0.0)[..., None, :]) @ turned
    root = (vectors * np.where(kept, 1.0 / np.sqrt(left), 0.0)[..., None, :]) @ turned
    return ratio, root


def _accumulate(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    white: NDArray[np.float64],
    clusters: NDArray[np.intp] | None,
    copies: NDArray[np.float64] | None,
) -> tuple[_Sums, float | None]:
    p, d = white.shape
    loss = problem.loss
    used = problem.weights > 0.0
    # The residuals of all rows are needed before the first block, for the window.
    every = residuals(problem, theta)[1][used] if loss.robust else np.empty(0)
    width = window(loss, every, None if copies is None else copies[used])
    second = np.zeros((p, p))
    gauss, full, middle = np.zeros((d, d)), np.zeros((d, d)), np.zeros((d, d))
    count = 0 if clusters is None else int(clusters.max()) + 1
    scores, blocks = np.zeros((count, d)), np.zeros((count, d, d))
    psi2 = curved = total = 0.0
    for block in rows(problem, theta, chosen, curvature=loss.smooth):
        psi, bend = loss.psi(block.residual), bending(loss, block.residual, width)
        straight = block.jacobian @ white
        gauss += straight.T @ ((block.weight * bend)[:, None] * straight)
        here = np.ones(len(psi)) if copies is None else copies[block.index]
        score = (block.weight / here * psi)[:, None] * straight
        leverage = effective_weights(loss, block) / here
        if clusters is None:
            if not loss.robust:
                left = 1.0 - leverage * (straight**2).sum(axis=1)
                here = np.where(left > _EXACT, here / np.where(left > _EXACT, left, 1.0), 0.0)
            middle += score.T @ (here[:, None] * score)
        else:
            np.add.at(scores, clusters[block.index], score)
            if not loss.robust:
                np.add.at(blocks, clusters[block.index], _outer(straight, leverage))
        if block.second is not None:
            pull = block.weight * psi
            second -= _scatter(block.second, block.where, pull * block.slope, p)
            if problem.residual == "log":
                full += straight.T @ (pull[:, None] * straight)
        psi2 += float(block.weight @ psi**2)
        curved += float(block.weight @ bend)
        total += float(block.weight.sum())
    if clusters is not None:
        times = np.zeros(count)
        times[clusters[used]] = 1.0 if copies is None else copies[used]
        if not loss.robust:
            scores = np.einsum("sij,sj->si", inverse_root(blocks)[1], scores)
        middle = scores.T @ (times[:, None] * scores)
    if loss.robust:
        n = float(used.sum() if copies is None else copies[used].sum())
        middle *= small_factor(n, p, None if clusters is None else float(times.sum()))
    full += white.T @ second @ white
    gauss += white.T @ (_prior_curvature(problem, theta)[chosen][:, None] * white)
    return _Sums(gauss, full, middle, psi2 / (curved / total) if curved > 0.0 else math.nan), width


def small_factor(n: float, p: int, count: float | None) -> float:
    """Return the factor on the score's variance of a robust loss for n rows, p parameters, count clusters."""
    if n <= p or (count is not None and count <= 1.0):
        return math.nan
    return n / (n - p) if count is None else count / (count - 1.0) * (n - 1.0) / (n - p)


def _row_moments(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    white: NDArray[np.float64],
    along: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sum what `degrees` needs over rows."""
    d, m = along.shape
    trace, square, cross = np.zeros(m), np.zeros(m), np.zeros((m, d * d))
    for block in rows(problem, theta, chosen):
        straight = block.jacobian @ white
        outer = _outer(straight, effective_weights(problem.loss, block)).reshape(-1, d * d)
        leverage = outer[:, :: d + 1].sum(axis=1)
        left = 1.0 - leverage
        own = effective_weights(problem.loss, block)[:, None] * (straight @ along) ** 2
        u2 = np.where(left > _EXACT, 1.0 / np.where(left > _EXACT, left, 1.0), 0.0)[:, None] * own
        trace += left @ u2
        square += (1.0 - 2.0 * leverage) @ (u2 * u2)
        cross += u2.T @ outer
    return trace, square, cross.reshape(m, d, d)


def _cluster_moments(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    white: NDArray[np.float64],
    along: NDArray[np.float64],
    clusters: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sum what `degrees` needs over clusters."""
    d = len(along)
    blocks = np.zeros((int(clusters.max()) + 1, d, d))
    for block in rows(problem, theta, chosen):
        weight = effective_weights(problem.loss, block)
        np.add.at(blocks, clusters[block.index], _outer(block.jacobian @ white, weight))
    ratio, root = inverse_root(blocks)
    u2 = np.einsum("im,sij,jm->sm", along, ratio, along, optimize=True)
    v = blocks @ root @ along
    own = (v * v).sum(axis=1)
    cross = np.einsum("sim,sjm->mij", v, v, optimize=True)
    return (u2 - own).sum(axis=0), (u2 * u2 - 2.0 * u2 * own).sum(axis=0), cross


def _outer(lines: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted outer product of each row with itself, shape (b, d, d)."""
    return np.asarray((weight[:, None] * lines)[:, :, None] * lines[:, None, :])


def _scatter(
    second: NDArray[np.float64], where: NDArray[np.intp] | None, factor: NDArray[np.float64], p: int
) -> NDArray[np.float64]:
    """Sum of factor times the second derivatives, sent from declared to chosen parameters."""
    if where is None:
        return (factor @ second.reshape(len(factor), -1)).reshape(p, p)
    out = np.zeros(p * p)
    q = where.shape[1]
    for a in range(q):
        for b in range(q):
            i, j = where[:, a], where[:, b]
            seen = (i >= 0) & (j >= 0)
            values = (factor * second[:, a, b])[seen]
            out += np.bincount(i[seen] * p + j[seen], weights=values, minlength=p * p)
    return out.reshape(p, p)


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Inverse of a symmetric matrix; None unless it is positive definite."""
    if not np.isfinite(matrix).all():
        return None
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    # The Hessian carries the scale of the loss (1e-3 and less), so only the relative size says anything.
    if values.size and values[0] <= 1e-15 * values[-1]:
        return None
    inverse: NDArray[np.float64] = (vectors / values) @ vectors.T
    return inverse


def _prior_curvature(problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the second derivative of the penalties by each parameter."""
    diagonal = np.zeros(theta.size)
    for index, name in enumerate(problem.names):
        if (prior := problem.priors.get(name)) is not None:
            diagonal[index] = prior.curvature(float(theta[index]))
    return diagonal
