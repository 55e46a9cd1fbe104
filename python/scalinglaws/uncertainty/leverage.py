"""What residuals show of the noise: a fit comes closer to its own rows than the truth is.

How much closer depends on the noise of all rows, for which there is a working model: the variance of the
weighted residuals is exp(g z), where z is the rank of the law's value, in units of the ranks' standard
deviation. Small runs, whose loss is high, are often noisier than large ones. Ranks make the model the same
for a loss and its logarithm, and bound what one far run can do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..inference import effective_weights, evaluate, rows

if TYPE_CHECKING:
    from ..problem import Problem

__all__ = ["EXACT", "WorkingNoise", "cluster_variances", "leverage_roots", "row_factors", "working_noise"]

# Width of the normal prior on g. Noise that doubles along the runs has a g of 0.4.
_WIDTH = 0.5
# A row or cluster that keeps less than this of its noise in its residual was fitted exactly and shows none.
EXACT = 1e-9
# Values of the law closer than this share of the largest are equal but for rounding.
_TIE = 1e-9
# Where residuals of half the runs are zero, g has no limit of its own.
_MOST = 20.0


@dataclass(frozen=True, eq=False)
class WorkingNoise:
    """Variances of the weighted noise of the rows.

    Parameters
    ----------
    shape : ndarray of float, shape (n,)
        Relative variance of each row, positive; 1 for rows that do not count.
    level : float
        Variance where that is 1.
    """

    shape: NDArray[np.float64]
    level: float


def working_noise(
    problem: Problem, theta: NDArray[np.float64], chosen: NDArray[np.bool_], white: NDArray[np.float64]
) -> WorkingNoise:
    """Estimate the variance of the weighted noise of each row.

    Parameters
    ----------
    problem : Problem
        The rows; the loss is squared.
    theta : ndarray of float, shape (k,)
        The optimum, in the order of ``problem.names``.
    chosen : ndarray of bool, shape (k,)
        The p parameters that were fitted and are not held by a bound.
    white : ndarray of float, shape (p, d)
        Coordinates as from `sandwich.white_coordinates`.

    Returns
    -------
    WorkingNoise
        Equal variances if the residuals do not tell runs of high value from others.

    Notes
    -----
    With q the squared residuals over 1 - leverage, minus twice the logarithm of the normal likelihood, the
    level of the noise profiled out and the prior on g added, is n log sum(q exp(-g z)) + g sum(z) +
    (g / width)^2. It is convex in g, so its slope has one root.
    """
    square, left = np.zeros(problem.n), np.zeros(problem.n)
    for block in rows(problem, theta, chosen):
        straight, weight = block.jacobian @ white, effective_weights(problem.loss, block)
        square[block.index] = weight * block.residual**2
        left[block.index] = 1.0 - weight * (straight**2).sum(axis=1)
    shown = left > EXACT
    z = _scores(evaluate(problem, theta), problem.weights > 0.0)
    shown &= problem.weights > 0.0
    if not (square[shown] > 0.0).any() or not np.isfinite(square).all():
        return WorkingNoise(np.ones(problem.n), 0.0)
    q = square[shown] / left[shown]
    shape = np.exp(_slope(z[shown], q) * z)
    return WorkingNoise(shape, float((q / shape[shown]).mean()))


def leverage_roots(
    block: NDArray[np.float64], total: NDArray[np.float64], phi: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return what takes clusters' scores to those of residuals with the covariance of the noise.

    Parameters
    ----------
    block : ndarray of float, shape (..., d, d)
        K = Q_s'Q_s, the information of each cluster in white coordinates.
    total : ndarray of float, shape (d, d) or (..., 1, d, d)
        S = Q' Phi Q.
    phi : ndarray of float, shape (...)
        Working variance of each cluster.

    Returns
    -------
    root : ndarray of float, shape (..., d, d)
        (I + K N)^(-1/2) with N = S / phi - 2 I: Q_s' A_s r_s is this times Q_s'r_s. Directions that the
        cluster alone determines, in which its residuals show no noise, go to zero.
    square : ndarray of float, shape (..., d, d)
        Q_s' A_s A_s' Q_s.
    lost : ndarray of float, shape (..., d, d)
        Q_s' P Q_s with the projection P on these directions: times phi the relative variance of the part of
        the score that residuals do not show.
    """
    n = total / phi[..., None, None] - 2.0 * np.eye(block.shape[-1])
    values, vectors = np.linalg.eigh(block)
    half = (vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    # (I + K N)^(-1/2) = I + half f(half N half) half N, where f has no pole at zero.
    t, vectors = np.linalg.eigh(half @ n @ half)
    kept = 1.0 + t > EXACT
    grown = np.where(kept, 1.0 + t, 1.0)
    f = np.where(kept, -1.0 / (np.sqrt(grown) * (1.0 + np.sqrt(grown))), -1.0 / np.where(kept, 1.0, t))
    side = half @ vectors
    turned = np.swapaxes(side, -1, -2)
    root = np.eye(block.shape[-1]) + (side * f[..., None, :]) @ turned @ n
    square = (side * np.where(kept, 1.0 / grown, 0.0)[..., None, :]) @ turned
    return root, square, (side * ~kept[..., None, :]) @ turned


def row_factors(
    leverage: NDArray[np.float64], through: NDArray[np.float64], phi: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return by what squared residuals are multiplied to have the mean of the squared noise.

    Parameters
    ----------
    leverage : ndarray of float, shape (...)
        h = q'q of whitened rows q.
    through : ndarray of float, shape (...)
        q'S q with S = Q' Phi Q.
    phi : ndarray of float, shape (...)
        Working variances.

    Returns
    -------
    ndarray of float, shape (...)
        phi / (phi (1 - 2 h) + q'S q); zero for rows that were fitted exactly.
    """
    left = 1.0 - 2.0 * leverage + through / phi
    kept = left > EXACT
    return np.where(kept, 1.0 / np.where(kept, left, 1.0), 0.0)


def cluster_variances(
    shape: NDArray[np.float64], clusters: NDArray[np.intp], used: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the geometric mean of the working variances of the rows of each cluster that count."""
    count = np.maximum(np.bincount(clusters, used), 1.0)
    return np.asarray(np.exp(np.bincount(clusters, used * np.log(shape)) / count))


def _scores(value: NDArray[np.float64], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Ranks of the used values, equal values sharing theirs, with mean 0 and standard deviation 1."""
    from scipy.stats import rankdata

    out, value = np.zeros(used.size), value[used]
    order = np.argsort(value)
    step = np.diff(value[order], prepend=value[order[:1]]) > _TIE * np.abs(value).max(initial=0.0)
    place = np.empty(value.size, dtype=np.intp)
    place[order] = np.cumsum(step)
    rank = rankdata(place)
    spread = rank.std()
    if spread > 0.0:
        out[used] = (rank - rank.mean()) / spread
    return out


def _slope(z: NDArray[np.float64], square: NDArray[np.float64]) -> float:
    """Return the g of the highest penalised likelihood, for squares whose mean would be 1 times exp(g z)."""
    from scipy.optimize import brentq

    with np.errstate(divide="ignore"):
        log = np.log(square)

    def slope(g: float) -> float:
        exponent = log - g * z
        share = np.exp(exponent - exponent.max())
        return 2.0 * g / _WIDTH**2 + float(z.sum()) - z.size * float(share @ z) / float(share.sum())

    if slope(-_MOST) >= 0.0 or slope(_MOST) <= 0.0:
        return math.copysign(_MOST, -slope(0.0))
    return float(brentq(slope, -_MOST, _MOST, xtol=1e-12))
