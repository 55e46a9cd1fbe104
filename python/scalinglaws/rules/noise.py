"""The noise scale of gradients: at which batch size averaging stops to pay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ._check import Floats, Real, give, numbers, same_shape, scalar

__all__ = ["GradientNoise", "curvature_noise_scale", "gradient_noise_scale", "noise_scale_of_samples"]


@dataclass(frozen=True, eq=False)
class GradientNoise:
    """Size and noise of a gradient.

    Parameters
    ----------
    g2 : float or ndarray
        Estimate of the squared norm of the true gradient; can be negative, because it is a difference.
    trace : float or ndarray
        Estimate of the trace of the covariance of a single example's gradient.
    B_simple : float or ndarray
        ``trace / g2``, the noise scale in the unit of the batch size; NaN where `g2` is not positive.
    """

    g2: Real
    trace: Real
    B_simple: Real


def gradient_noise_scale(
    B_small: ArrayLike,
    B_big: ArrayLike,
    g2_small: ArrayLike,
    g2_big: ArrayLike,
    *,
    decay: float | None = None,
) -> GradientNoise:
    """Estimate the simple noise scale from squared gradient norms at two batch sizes.

    The expected squared norm at batch size B is ``|G|^2 + tr(Sigma)/B``; two batch sizes give both unknowns
    without bias (McCandlish et al. 2018, arXiv:1812.06162, appendix A.1). In data-parallel training
    each worker's own gradient gives a `g2_small`, to be averaged over the workers, and the reduced gradient
    gives `g2_big`.

    Parameters
    ----------
    B_small, B_big : array_like
        The two batch sizes, ``B_small < B_big``.
    g2_small, g2_big : array_like
        Squared gradient norms there. With `decay` the last axis holds the steps of training.
    decay : float, optional
        Weight that a moving average over steps keeps of its past, from 0 to below 1. The ratio of two noisy
        numbers is biased, so both are averaged over many steps before they are divided.

    Returns
    -------
    GradientNoise
        Estimates at every step, averaged so far where `decay` is given.

    Raises
    ------
    ValueError
        If a number is out of range, or the batch sizes are not in order.

    Notes
    -----
    Expect the scale to rise as the loss falls. The theory is that of SGD; under Adam trust its order of
    magnitude only.

    Examples
    --------
    >>> noise = gradient_noise_scale(B_small=32, B_big=512, g2_small=4.0, g2_big=1.3)
    >>> round(noise.g2, 9), round(noise.trace, 9), round(noise.B_simple, 4)
    (1.12, 92.16, 82.2857)
    """
    small, big, at_small, at_big = same_shape(
        B_small=numbers("B_small", B_small, above=0.0),
        B_big=numbers("B_big", B_big, above=0.0),
        g2_small=numbers("g2_small", g2_small, least=0.0),
        g2_big=numbers("g2_big", g2_big, least=0.0),
    )
    if np.any(small >= big):
        raise DataError(
            "B_small must be smaller than B_big: the estimate divides by their difference", "B_small"
        )
    g2 = (big * at_big - small * at_small) / (big - small)
    trace = (at_small - at_big) / (1.0 / small - 1.0 / big)
    if decay is not None:
        kept = scalar("decay", decay, least=0.0, below=1.0)
        if not g2.ndim:
            raise DataError("decay averages over steps: g2_small and g2_big must be arrays of them", "decay")
        g2, trace = _average(g2, kept), _average(trace, kept)
    return _noise(g2, trace)


def noise_scale_of_samples(gradients: ArrayLike) -> GradientNoise:
    """Estimate the simple noise scale from the gradients of single examples.

    The same unbiased pair as `gradient_noise_scale`, with batches of one and of all examples. In a
    transformer it is enough to look at the normalisation layers: their noise scale follows that of the whole
    model (Gray et al. 2024, arXiv:2411.00999).

    Parameters
    ----------
    gradients : array_like, shape (n, p)
        One gradient per row, at least two.

    Returns
    -------
    GradientNoise
        `trace` is the trace of the sample covariance.

    Raises
    ------
    ValueError
        If there are fewer than two rows, or a value is not finite.

    Examples
    --------
    >>> noise = noise_scale_of_samples([[1.0, 2.0], [3.0, 2.0], [2.0, 5.0]])
    >>> round(noise.trace, 9), round(noise.g2, 9)
    (4.0, 11.666666667)
    """
    rows = numbers("gradients", gradients)
    if rows.ndim != 2 or rows.shape[0] < 2 or not rows.shape[1]:
        raise DataError(
            f"gradients must hold two or more rows of numbers, not shape {rows.shape}", "gradients"
        )
    mean = rows.mean(axis=0)
    # Squared deviations keep the digits that the difference of two squared norms would lose.
    trace = ((rows - mean) ** 2).sum() / (len(rows) - 1)
    return _noise(np.asarray(mean @ mean - trace / len(rows)), np.asarray(trace))


def curvature_noise_scale(G: ArrayLike, Sigma: ArrayLike, H: ArrayLike) -> float:
    """Return the noise scale with curvature, ``tr(H Sigma) / (G' H G)``.

    McCandlish et al. 2018, arXiv:1812.06162, eq. 2.8; it is the simple noise scale if the Hessian is a
    multiple of the identity.

    Parameters
    ----------
    G : array_like, shape (p,)
        Gradient.
    Sigma : array_like, shape (p, p)
        Covariance of a single example's gradient.
    H : array_like, shape (p, p)
        Hessian.

    Returns
    -------
    float
        Noise scale, in examples.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the curvature along the gradient is not positive.

    Examples
    --------
    >>> curvature_noise_scale([1.0, 2.0], [[4.0, 0.0], [0.0, 6.0]], [[1.0, 0.0], [0.0, 1.0]])
    2.0
    """
    gradient, covariance, hessian = numbers("G", G), numbers("Sigma", Sigma), numbers("H", H)
    p = gradient.size
    for name, matrix in (("Sigma", covariance), ("H", hessian)):
        if gradient.ndim != 1 or matrix.shape != (p, p):
            raise DataError(f"G must be a vector and {name} a square matrix of its length", name)
    along = float(gradient @ hessian @ gradient)
    if along <= 0.0:
        raise DataError(f"the curvature along the gradient, G'HG = {along:g}, must be positive", "H")
    return float(np.sum(hessian * covariance.T)) / along


def _noise(g2: Floats, trace: Floats) -> GradientNoise:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(g2 > 0.0, trace / g2, np.nan)
    return GradientNoise(give(g2), give(trace), give(ratio))


def _average(values: Floats, decay: float) -> Floats:
    """Exponential moving average over the last axis, with weights that sum to one from the first step on."""
    out = np.empty_like(values)
    total, weight = np.zeros(values.shape[:-1]), 0.0
    for step in range(values.shape[-1]):
        total = decay * total + (1.0 - decay) * values[..., step]
        weight = decay * weight + (1.0 - decay)
        out[..., step] = total / weight
    return out
