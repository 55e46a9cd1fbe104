"""The dynamical model: gradient flow on random features with a power-law spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import Number, broadcast, give, refuse

__all__ = ["Bottlenecks", "theory_dynamical_model"]


@dataclass(frozen=True, eq=False)
class Bottlenecks:
    """Exponents of the loss when one resource is scarce, and when compute is shared out best.

    Parameters
    ----------
    r_t : float or ndarray
        ``L ~ t**(-r_t)`` in training time, size and data unlimited.
    r_N : float or ndarray
        ``L ~ N**(-r_N)`` in size, time and data unlimited.
    r_P : float or ndarray
        ``L ~ P**(-r_P)`` in data, time and size unlimited.
    r_C : float or ndarray
        ``L ~ C**(-r_C)`` in compute C = N*t, shared out best, data unlimited.
    size : float or ndarray
        ``N ~ C**size`` at that optimum.
    time : float or ndarray
        ``t ~ C**time`` at that optimum; ``size + time = 1``.
    r_t_features : float or ndarray
        `r_t` of a network that learns features: larger than `r_t` where that is below 1, else the same.
    """

    r_t: Number
    r_N: Number
    r_P: Number
    r_C: Number
    size: Number
    time: Number
    r_t_features: Number


def theory_dynamical_model(
    a: ArrayLike, b: ArrayLike, *, network: Literal["published", "single"] = "published"
) -> Bottlenecks:
    r"""Exponents of the loss in time, size, data and compute for gradient flow on random features.

    The kernel has eigenvalues :math:`\lambda_k \sim k^{-b}`; mode k contributes :math:`k^{-a}` to the loss of
    the zero predictor. Training learns the modes up to :math:`k_* = \min(t^{1/b}, N, P)`, and the rest of the
    variance, :math:`k_*^{-(a-1)}`, is the loss as long as :math:`a - 1` is small.

    Parameters
    ----------
    a : array_like
        Decay of squared target weight times eigenvalue, above 1.
    b : array_like
        Decay of the eigenvalues, at least 1. Broadcasts with `a`.
    network : {"published", "single"}
        The exponents of the paper, or those of a single network where they are different: for
        :math:`a - 1 > b`, in `r_N`, `r_C`, `size` and `time`. See Notes.

    Returns
    -------
    Bottlenecks
        Exponents (dimensionless), of the broadcast shape.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument is not finite, ``a <= 1``, ``b < 1``, or `network` is unknown.

    Notes
    -----
    The paper sets the two bottlenecks equal at :math:`C = N t`: :math:`r_C = r_N r_t / (r_N + r_t)`,
    :math:`N \sim C^{r_t/(r_N + r_t)}` and :math:`t \sim C^{r_N/(r_N + r_t)}`. For :math:`a - 1 < b` this is
    :math:`r_C = (a-1)/(b+1)` with :math:`N \sim C^{1/(1+b)}`: time should grow faster than size.

    The loss that N random features keep for ever is :math:`\sum_k k^{-a} \kappa / (\lambda_k + \kappa)` with
    :math:`\sum_k \lambda_k / (\lambda_k + \kappa) = N`, hence :math:`\kappa \sim N^{-b}`. Its bias,
    :math:`\sum_k k^{-a} \kappa^2 / (\lambda_k + \kappa)^2`, falls as :math:`N^{-\min(a-1, 2b)}`, the exponent
    in the paper; it is what remains when many networks are averaged. The variance over random features falls
    as :math:`N^{-\min(a-1, b)}` and decides for one network as soon as :math:`a - 1 > b`. Before that floor
    is reached, the same randomness adds a loss of order :math:`t^{-(1 - 1/b)}/N`, which then takes part in
    the best use of compute: :math:`r_C = (a-1)/a`, :math:`N \sim C^{(a-b)/a}`, :math:`t \sim C^{b/a}`. These
    are the exponents of phase II in :func:`theory_4p3_phases` (a = 2*(alpha + beta), b = 2*alpha), and what
    the model gives when it is integrated numerically. Data have no such term: :math:`r_P = \min(a - 1, 2b)`
    for both.

    Early in training the difference from unlimited size or data is of order 1/N or 1/P for all tasks.

    `r_t_features` is :math:`2 r_t/(1 + r_t)` for :math:`r_t < 1`, from a later paper by the same authors.

    References
    ----------
    Bordelon, Atanasov and Pehlevan 2024, A Dynamical Model of Neural Scaling Laws, arXiv:2402.01092; the same
    2024, How Feature Learning Can Improve Neural Scaling Laws, arXiv:2409.17858.

    Examples
    --------
    >>> found = theory_dynamical_model(a=1.5, b=1.25)
    >>> round(found.r_t, 4), found.r_N, round(found.r_C, 4), round(found.size, 4)
    (0.4, 0.5, 0.2222, 0.4444)
    >>> theory_dynamical_model(a=[2.0, 4.0], b=1.2, network="single").r_N
    array([1. , 1.2])
    """
    if network not in ("published", "single"):
        raise ValueError(f"network must be 'published' or 'single', not {network!r}")
    target, spectrum = broadcast(a=a, b=b)
    refuse(~np.isfinite(target) | (target <= 1.0), "a", target, "must be above 1 and finite")
    refuse(~np.isfinite(spectrum) | (spectrum < 1.0), "b", spectrum, "must be at least 1 and finite")
    tail = target - 1.0
    r_t = tail / spectrum
    r_P = np.minimum(tail, 2.0 * spectrum)
    if network == "published":
        r_N = r_P
        r_C = r_N * r_t / (r_N + r_t)
        size, time = r_t / (r_N + r_t), r_N / (r_N + r_t)
    else:
        r_N = np.minimum(tail, spectrum)
        whole = np.maximum(target, 1.0 + spectrum)
        r_C, size, time = tail / whole, np.maximum(1.0, target - spectrum) / whole, spectrum / whole
    return Bottlenecks(
        r_t=give(r_t),
        r_N=give(r_N),
        r_P=give(r_P),
        r_C=give(r_C),
        size=give(size),
        time=give(time),
        r_t_features=give(np.where(r_t < 1.0, 2.0 * r_t / (1.0 + r_t), r_t)),
    )
