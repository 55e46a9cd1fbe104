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

- Squared loss: where the weighted noise has the covariance Phi, weighted residuals have the covariance
  V = (I - H) Phi (I - H), with the hat matrix H. Those of a cluster are multiplied by the A_g for which
  A_g V_gg A_g' = Phi_gg (Bell and McCaffrey 2002, with the working model of Pustejovsky and Tipton 2018), so
  that the variance of every combination of parameters has no bias where Phi is right. Phi is one variance
  for each row or cluster, as `working_noise` estimates it from the residuals. Under equal noise that is
  a division by sqrt(1 - h), h the leverage (HC2 of MacKinnon and White 1985), which by itself is too small
  where the rows of high leverage are the noisy ones: small runs, mostly. The distribution of the variance is
  close to chi-square with degrees of freedom that few rows of high leverage make far fewer than n - p: see
  `degrees`.
- Other losses: their psi is bounded and no share of it is fitted away, so M has the factor n / (n - p), with
  clusters G / (G - 1) (n - 1) / (n - p) (Cameron and Miller 2015), and n - p or G - 1 degrees of freedom.
- A row or cluster that determines a direction by itself, such as the only run of a category, is fitted
  exactly and shows no noise there. It has that of the others: s^2 phi, or the mean of psi^2, and for losses
  other than the squared one their mean second derivative.

The second derivative of a loss with a narrow core is averaged over a window: see `smoothing`. A prior adds
its curvature to H and a row to J; it is taken as given and adds nothing to the noise.

Everything but the result is computed in coordinates in which J'WJ is the identity on the directions that the
rows determine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..inference import (
    CovKind,
    effective_weights,
    prior_slopes,
    residuals,
    rows,
    singular_directions,
    triangle,
)
from .leverage import EXACT, WorkingNoise, cluster_variances, leverage_roots, row_factors, working_noise
from .smoothing import bending, window

if TYPE_CHECKING:
    from ..problem import Problem

__all__ = ["bread", "covariance", "degrees", "small_factor", "white_coordinates"]

# What `degrees` is made of: tr(D) and the diagonal part of tr(D^2) of what residuals show, the part that they
# do not show, and the sum of y y'.
_Moments: TypeAlias = tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]
]

# Below this the scaled singular value is rounding of the Jacobian and the direction has no information at
# all.
_RANK = 1e-13


def covariance(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    dof: int,
    kind: CovKind,
    clusters: NDArray[np.intp] | None = None,
    copies: NDArray[np.float64] | None = None,
    noise: WorkingNoise | None = None,
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
    noise : WorkingNoise, optional
        For the sandwich of the squared loss; estimated from the residuals if not given.

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
        if noise is None and kind == "sandwich" and not problem.loss.robust:
            noise = working_noise(problem, theta, chosen, white)
        sums, width = _accumulate(problem, theta, chosen, white, clusters, copies, noise)
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
    sums, width = _accumulate(problem, theta, chosen, white, None, None, None)
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
    noise: WorkingNoise | None = None,
) -> NDArray[np.float64]:
    """Return the degrees of freedom of the sandwich's variances.

    Parameters
    ----------
    problem, theta, chosen, dof, clusters, noise
        As for `covariance`.
    combinations : ndarray of float, shape (m, p)
        Derivatives of m quantities by the chosen parameters: a row of the identity for a parameter.

    Returns
    -------
    ndarray of float, shape (m,)
        For the squared loss between 1 and `dof`, after Bell and McCaffrey (2002): those of the chi-square
        distribution with the mean and variance that the estimate has under normal noise of the working
        variances. For other losses `dof`, or the number of clusters less one.

    Notes
    -----
    For a quantity c and the whitened rows Q, the estimate is the sum over clusters s of (u_s' r_s)^2 with
    u_s = A_s' Q_s c. The covariance of these u_s' r_s has the entries D_st = u_s' V_st u_t, and the degrees
    of freedom are tr(D)^2 / tr(D^2). With S = Q' Phi Q and one variance phi_s for each cluster,

        V_st = [s = t] phi_s + Q_s (S - phi_s - phi_t) Q_t',

    so D_st = [s = t] phi_s u_s'u_s + y_s' G y_t with y_s = (Q_s'u_s, phi_s Q_s'u_s) and
    G = [[S, -I], [-I, 0]]. Neither trace needs more than sums of 2p x 2p matrices over the clusters. What
    residuals do not show is known as well as s^2 is, with n - p degrees of freedom.
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
    if noise is None:
        noise = working_noise(problem, theta, chosen, white)
    shape, phi = noise.shape, np.empty(0)
    if clusters is not None:
        phi = cluster_variances(shape, clusters, problem.weights > 0.0)
        shape = phi[clusters]
    total = _total(problem, theta, chosen, white, shape)
    if clusters is None:
        moments = _row_moments(problem, theta, chosen, white, along, total, shape)
    else:
        moments = _cluster_moments(problem, theta, chosen, white, along, total, phi, clusters)
    trace, square, lost, cross = moments
    trace += lost
    square += lost**2 / max(dof, 1)
    d = len(total)
    form = np.block([[total, -np.eye(d)], [-np.eye(d), np.zeros((d, d))]])
    turned = form @ cross
    square += np.einsum("mij,mji->m", turned, turned)
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


def _total(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    white: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return S = Q' Phi Q in white coordinates."""
    total = np.zeros((white.shape[1], white.shape[1]))
    for block in rows(problem, theta, chosen):
        straight = block.jacobian @ white
        weight = noise[block.index] * effective_weights(problem.loss, block)
        total += straight.T @ (weight[:, None] * straight)
    return total


def _accumulate(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    white: NDArray[np.float64],
    clusters: NDArray[np.intp] | None,
    copies: NDArray[np.float64] | None,
    noise: WorkingNoise | None,
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
    lost, unbent = np.zeros((d, d)), np.zeros((d, d))
    psi2 = curved = heavy = 0.0
    shape, total, phi = np.ones(problem.n), np.eye(d), np.ones(count)
    if noise is not None:
        shape = noise.shape
        if clusters is not None:
            phi = cluster_variances(shape, clusters, used)
            shape = phi[clusters]
        total = _total(problem, theta, chosen, white, shape)
    for block in rows(problem, theta, chosen, curvature=loss.smooth):
        psi, bend = loss.psi(block.residual), bending(loss, block.residual, width)
        straight = block.jacobian @ white
        gauss += straight.T @ ((block.weight * bend)[:, None] * straight)
        here = np.ones(len(psi)) if copies is None else copies[block.index]
        score = (block.weight / here * psi)[:, None] * straight
        single = effective_weights(loss, block) / here
        own = single * (straight**2).sum(axis=1)
        exact = 1.0 - own <= EXACT
        if loss.robust and exact.any():
            # Their residuals are zero whatever their noise is.
            pull = (block.weight * bend)[exact]
            gauss -= straight[exact].T @ (pull[:, None] * straight[exact])
            unbent += straight[exact].T @ (block.weight[exact, None] * straight[exact])
        if clusters is None:
            if noise is not None:
                through = single * ((straight @ total) * straight).sum(axis=1)
                factor = row_factors(own, through, shape[block.index])
                exact = factor == 0.0
            hidden = (here * single * shape[block.index])[exact]
            lost += straight[exact].T @ (hidden[:, None] * straight[exact])
            if noise is not None:
                here = here * factor
            middle += score.T @ (here[:, None] * score)
        else:
            np.add.at(scores, clusters[block.index], score)
            np.add.at(blocks, clusters[block.index], _outer(straight, single))
        if block.second is not None:
            pull = block.weight * psi
            second -= _scatter(block.second, block.where, pull * block.slope, p)
            if problem.residual == "log":
                full += straight.T @ (pull[:, None] * straight)
        psi2 += float(block.weight @ psi**2)
        curved += float(block.weight @ bend)
        heavy += float(block.weight.sum())
    if clusters is not None:
        times = np.zeros(count)
        times[clusters[used]] = 1.0 if copies is None else copies[used]
        root, _, hidden = leverage_roots(blocks, total, phi)
        lost = np.einsum("s,sij->ij", times * phi, hidden)
        if noise is not None:
            scores = np.einsum("sij,sj->si", root, scores)
        middle = scores.T @ (times[:, None] * scores)
    if noise is not None:
        middle += noise.level * lost
    elif loss.robust:
        n = float(used.sum() if copies is None else copies[used].sum())
        middle *= small_factor(n, p, None if clusters is None else float(times.sum()))
        middle += psi2 / (n - p) * lost if n > p else math.nan
    if curved > 0.0:
        gauss += curved / heavy * unbent
    full += white.T @ second @ white
    # The part of a prior's curvature that is never negative belongs to what the fallback keeps.
    straight_part = prior_slopes(problem, theta)[chosen] ** 2
    gauss += white.T @ (straight_part[:, None] * white)
    full += white.T @ ((_prior_curvature(problem, theta)[chosen] - straight_part)[:, None] * white)
    return _Sums(gauss, full, middle, psi2 / (curved / heavy) if curved > 0.0 else math.nan), width


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
    total: NDArray[np.float64],
    shape: NDArray[np.float64],
) -> _Moments:
    """Sum what `degrees` needs over rows."""
    d, m = along.shape
    trace, square, lost, cross = np.zeros(m), np.zeros(m), np.zeros(m), np.zeros((m, 2 * d, 2 * d))
    for block in rows(problem, theta, chosen):
        weight, phi = effective_weights(problem.loss, block), shape[block.index]
        q = np.sqrt(weight)[:, None] * (block.jacobian @ white)
        leverage, through = (q**2).sum(axis=1), ((q @ total) * q).sum(axis=1)
        factor, own = row_factors(leverage, through, phi), (q @ along) ** 2
        u2 = factor[:, None] * own
        trace += (phi * (1.0 - 2.0 * leverage) + through) @ u2
        square += (phi * (phi * (1.0 - 4.0 * leverage) + 2.0 * through)) @ (u2 * u2)
        lost += (phi * (factor == 0.0)) @ own
        y = np.concatenate([q, phi[:, None] * q], axis=1)
        # One by one: for all at once each row would need a matrix of its own.
        for number in range(m):
            cross[number] += (y * u2[:, number : number + 1]).T @ y
    return trace, square, lost, cross


def _cluster_moments(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    white: NDArray[np.float64],
    along: NDArray[np.float64],
    total: NDArray[np.float64],
    phi: NDArray[np.float64],
    clusters: NDArray[np.intp],
) -> _Moments:
    """Sum what `degrees` needs over clusters."""
    d = len(along)
    blocks = np.zeros((phi.size, d, d))
    for block in rows(problem, theta, chosen):
        weight = effective_weights(problem.loss, block)
        np.add.at(blocks, clusters[block.index], _outer(block.jacobian @ white, weight))
    root, inner, hidden = leverage_roots(blocks, total, phi)
    u2 = np.einsum("im,sij,jm->sm", along, inner, along, optimize=True)
    v = np.swapaxes(root @ blocks, -1, -2) @ along
    y = np.concatenate([v, phi[:, None, None] * v], axis=1)
    # v'S v - 2 phi v'v, the part of D_ss beside phi u'u.
    own = np.einsum("sim,ij,sjm->sm", v, total, v, optimize=True) - 2.0 * phi[:, None] * (v * v).sum(axis=1)
    cross = np.einsum("sim,sjm->mij", y, y, optimize=True)
    first = phi[:, None] * u2
    lost = np.einsum("s,im,sij,jm->m", phi, along, hidden, along, optimize=True)
    return (first + own).sum(axis=0), (first * (first + 2.0 * own)).sum(axis=0), lost, cross


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
