"""Ensembles of lottery tickets: why wide networks may gain slower than approximation theory allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import Number, broadcast, give, refuse

__all__ = ["LotteryEnsembling", "theory_lottery_ensembling"]


@dataclass(frozen=True, eq=False)
class LotteryEnsembling:
    """Two exponents of the mean squared error in the number of parameters or the width.

    Parameters
    ----------
    approximation : float or ndarray
        ``4/d``: the best piecewise linear function of that many pieces in d dimensions.
    ensembling : float or ndarray
        1: the mean of independent sub-networks, in number proportional to the width.
    """

    approximation: Number
    ensembling: Number


def theory_lottery_ensembling(d: ArrayLike) -> LotteryEnsembling:
    r"""Exponents of the error of wide networks: approximation theory against averaging of sub-networks.

    A piecewise linear function with N pieces approximates a smooth target in d dimensions with a mean squared
    error of order :math:`N^{-4/d}`. Small ReLU networks that learn :math:`y = x^2` (d = 1) show the exponent
    1 instead of 4: a wide network contains a number of good sub-networks proportional to its width and
    averages them, so that its variance falls as 1/N.

    Parameters
    ----------
    d : array_like
        Intrinsic dimension of the input, positive.

    Returns
    -------
    LotteryEnsembling
        Both exponents (dimensionless), of the shape of `d`. Averaging is the slower of the two for d < 4.

    Raises
    ------
    TypeError
        If `d` is not numeric.
    ValueError
        If `d` is not positive and finite.

    Notes
    -----
    To compare with runs, fit ``power_law`` or ``power_law_floor`` and hold the exponent against both.

    References
    ----------
    Liu and Tegmark 2023, A Neural Scaling Law from Lottery Ticket Ensembling, arXiv:2310.02258, which states
    the first exponent after Sharma and Kaplan 2020, arXiv:2004.10802.

    Examples
    --------
    >>> theory_lottery_ensembling(d=1)
    LotteryEnsembling(approximation=4.0, ensembling=1.0)
    >>> theory_lottery_ensembling(d=[2, 8]).approximation
    array([2. , 0.5])
    """
    (dimension,) = broadcast(d=d)
    refuse(~np.isfinite(dimension) | (dimension <= 0.0), "d", dimension, "must be positive and finite")
    return LotteryEnsembling(approximation=give(4.0 / dimension), ensembling=give(np.ones(dimension.shape)))
