"""The density of residuals that belongs to a loss.

A residual r of a row of weight w has the density exp(-w rho(r) / s) / Z(s / w), where rho is the loss of the
fit and s a scale. The squared loss gives the normal distribution with variance s / w, the absolute one
Laplace's, a quantile the asymmetric Laplace, soft_l1 the hyperbolic distribution and cauchy Student's t; a
loss with ``above`` joins two halves of different width. Every Z is a closed formula of t = s / w; with k = c
scale**2 / t for a side with the factor c:

    squared   sqrt(pi t / (2 c))
    huber     sqrt(pi t / (2 c)) erf(sqrt(k / 2)) + t / (c scale) exp(-k / 2)
    soft_l1   scale exp(k) K_1(k)
    cauchy    scale sqrt(pi) / 2 Gamma((k - 1) / 2) / Gamma(k / 2), finite for k > 1 only
    absolute  t / c
    quantile  t / (c tau) above the law, t / (1 - tau) below

are the integrals over one side.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..losses import Loss

__all__ = ["draw_residuals", "log_normaliser", "scale_limit"]


def log_normaliser(loss: Loss, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log Z.

    Parameters
    ----------
    loss : Loss
        The loss.
    t : ndarray of float, shape (m,)
        Scales over weights, positive.

    Returns
    -------
    ndarray of float, shape (m,)
        Infinite where the density has no finite integral.

    Examples
    --------
    >>> import numpy as np
    >>> from scalinglaws.losses import squared
    >>> value = log_normaliser(squared(), np.array([4.0]))
    >>> bool(np.isclose(value[0], np.log(np.sqrt(2 * np.pi) * 2.0)))
    True
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        below, above = (_side(loss, factor, t) for factor in _factors(loss))
        return np.log(below + above)


def scale_limit(loss: Loss) -> float:
    """Return the smallest s / w without a density, whose tails have no integral; mostly infinite."""
    return min(1.0, loss.above) * loss.scale**2 if loss.kind == "cauchy" else np.inf


def draw_residuals(loss: Loss, scale: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw one residual of weight one for each scale.

    Parameters
    ----------
    loss : Loss
        The loss.
    scale : ndarray of float, shape (m,)
        Values of s.
    rng : Generator
        Source of randomness.

    Returns
    -------
    ndarray of float, shape (m,)
        Residuals T(y) - T(f).
    """
    below, above = (_side(loss, factor, scale) for factor in _factors(loss))
    up = rng.uniform(size=scale.size) * (below + above) >= below
    factor = np.where(up, _factors(loss)[1], _factors(loss)[0])
    size = _draw_side(loss, scale / factor, rng)
    return np.where(up, size, -size)


def _factors(loss: Loss) -> tuple[float, float]:
    """Factors on the loss below and above the law; those of a quantile are slopes."""
    if loss.kind == "quantile":
        return 1.0 - loss.scale, loss.above * loss.scale
    return 1.0, loss.above


def _side(loss: Loss, factor: float, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral over one side."""
    from scipy import special

    t = t / factor
    if loss.kind == "squared":
        return np.sqrt(0.5 * np.pi * t)
    if loss.kind in ("absolute", "quantile"):
        return t
    k = loss.scale**2 / t
    if loss.kind == "huber":
        core, tail = _huber_parts(loss.scale, t)
        return core + tail
    if loss.kind == "soft_l1":
        return np.asarray(loss.scale * special.k1e(k))
    fine = k > 1.0
    k = np.where(fine, k, 2.0)
    ratio = np.exp(special.gammaln(0.5 * (k - 1.0)) - special.gammaln(0.5 * k))
    return np.where(fine, 0.5 * loss.scale * math.sqrt(math.pi) * ratio, np.inf)


def _huber_parts(delta: float, t: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Integrals over the core and over the tail of one side."""
    from scipy import special

    k = delta**2 / t
    return np.sqrt(0.5 * np.pi * t) * special.erf(np.sqrt(0.5 * k)), t / delta * np.exp(-0.5 * k)


def _draw_side(loss: Loss, t: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Sizes of residuals of one side."""
    from scipy import special, stats

    delta = loss.scale
    match loss.kind:
        case "absolute" | "quantile":
            return rng.exponential(t)
        case "squared":
            return np.sqrt(t) * np.abs(rng.standard_normal(t.size))
        case "huber":
            core, tail = _huber_parts(delta, t)
            inside = rng.uniform(size=t.size) * (core + tail) < core
            cut = special.erf(delta / np.sqrt(2.0 * t)) * rng.uniform(size=t.size)
            far = delta + rng.exponential(t / delta)
            return np.where(inside, np.sqrt(2.0 * t) * special.erfinv(cut), far)
        case "soft_l1":
            # A normal variable whose variance has a generalised inverse normal distribution.
            k = delta**2 / t
            variance = stats.geninvgauss.rvs(1.0, k, size=t.size, random_state=rng) / k
            return delta * np.sqrt(variance) * np.abs(rng.standard_normal(t.size))
        case _:
            dof = delta**2 / t - 1.0
            return delta / np.sqrt(dof) * np.abs(rng.standard_t(dof))
