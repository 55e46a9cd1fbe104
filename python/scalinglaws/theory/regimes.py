"""The four scaling regimes: variance-limited or resolution-limited, in data or in size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import Number, broadcast, give, refuse

__all__ = ["ScalingRegimes", "theory_four_regimes"]


@dataclass(frozen=True, eq=False)
class ScalingRegimes:
    """Exponents of the loss in data D and in size P, in both kinds of regime.

    Parameters
    ----------
    variance_limited : float or ndarray
        Exponent of the distance to the limit, ``L(D) - L(inf)`` at fixed size or ``L(width) - L(inf)`` at
        fixed data, when the resource is plentiful: 1 for every task.
    resolution_limited : float or ndarray
        Exponent of the loss itself, ``L(D)`` for P >> D or ``L(P)`` for D >> P, when the resource is the
        scarce one.
    """

    variance_limited: Number
    resolution_limited: Number


def theory_four_regimes(alpha_K: ArrayLike) -> ScalingRegimes:
    r"""Exponents of the loss in data and size, variance-limited and resolution-limited.

    A resource in plenty leaves a small noise around the limit that the other resource sets: the loss
    approaches a plateau as 1/D or 1/width, whatever the task. A scarce resource limits how finely the data
    are resolved, and the exponent is that of the kernel's spectrum.

    Parameters
    ----------
    alpha_K : array_like
        Spectral exponent of the kernel, positive: eigenvalue i falls as :math:`i^{-(1 + \alpha_K)}`.

    Returns
    -------
    ScalingRegimes
        Exponents (dimensionless), of the shape of `alpha_K`. Each holds for data and for size, which makes
        four regimes.

    Raises
    ------
    TypeError
        If `alpha_K` is not numeric.
    ValueError
        If `alpha_K` is not positive and finite.

    Notes
    -----
    The resolution-limited exponents :math:`\alpha_D = \alpha_P = \alpha_K` are those of a linear teacher and
    a random-feature student. In general they shrink as the intrinsic dimension of the data grows.

    An exponent near 1 fitted to runs, after the limit was taken off, speaks for the variance-limited regime:
    more of that resource leads to the plateau, not to zero.

    References
    ----------
    Bahri, Dyer, Kaplan, Lee and Sharma 2021, Explaining Neural Scaling Laws, arXiv:2102.06701.

    Examples
    --------
    >>> theory_four_regimes(alpha_K=0.35)
    ScalingRegimes(variance_limited=1.0, resolution_limited=0.35)
    """
    (alpha,) = broadcast(alpha_K=alpha_K)
    refuse(~np.isfinite(alpha) | (alpha <= 0.0), "alpha_K", alpha, "must be positive and finite")
    return ScalingRegimes(variance_limited=give(np.ones(alpha.shape)), resolution_limited=give(alpha.copy()))
