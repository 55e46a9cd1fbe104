"""Compute and noise of differentially private training, and the noise that a privacy budget needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from ._check import Floats, Real, give, numbers, same_shape, scalar

__all__ = [
    "NoiseTable",
    "dp_compute",
    "dp_epsilon",
    "dp_noise_multiplier",
    "dp_noise_table",
    "noise_batch_ratio",
]

# Orders of the Renyi divergence: small ones matter for large budgets, large ones for small budgets.
_ORDERS = np.concatenate([np.arange(2, 64), np.round(np.geomspace(64, 4096, 40))]).astype(int)


@dataclass(frozen=True, eq=False)
class NoiseTable:
    """Noise multipliers on a grid of iterations and sampling probabilities, for one privacy budget.

    Calling it interpolates linearly in the logarithms of all three.

    Parameters
    ----------
    T : ndarray, shape (m,)
        Iterations, ascending.
    q : ndarray, shape (k,)
        Sampling probabilities, ascending.
    sigma : ndarray, shape (m, k)
        Noise multipliers.
    """

    T: Floats
    q: Floats
    sigma: Floats

    def __post_init__(self) -> None:
        """Check the grid."""
        steps, rate = numbers("T", self.T, above=0.0), numbers("q", self.q, above=0.0, most=1.0)
        noise = numbers("sigma", self.sigma, above=0.0)
        for name, axis in (("T", steps), ("q", rate)):
            if axis.ndim != 1 or len(axis) < 2 or np.any(np.diff(axis) <= 0.0):
                raise DataError(f"{name} must hold two or more ascending values", name)
        if noise.shape != (len(steps), len(rate)):
            raise DataError(
                f"sigma must have the shape ({len(steps)}, {len(rate)}), not {noise.shape}", "sigma"
            )
        for name, value in (("T", steps), ("q", rate), ("sigma", noise)):
            object.__setattr__(self, name, value)

    def __call__(self, T: ArrayLike, q: ArrayLike) -> Floats:
        """Return noise multipliers, NaN outside the grid.

        Parameters
        ----------
        T, q : array_like
            Iterations and sampling probabilities.

        Returns
        -------
        ndarray
            In the broadcast shape.
        """
        from scipy.interpolate import RegularGridInterpolator

        steps, rate = np.broadcast_arrays(numbers("T", T, above=0.0), numbers("q", q, above=0.0))
        table = RegularGridInterpolator(
            (np.log(self.T), np.log(self.q)), np.log(self.sigma), bounds_error=False
        )
        points = np.stack([np.log(steps), np.log(rate)], axis=-1)
        return np.asarray(np.exp(table(points.reshape(-1, 2)).reshape(steps.shape)))


def noise_batch_ratio(noise_multiplier: ArrayLike, B: ArrayLike) -> Real:
    """Return how noisy the mean gradient is: its standard deviation in units of the clipping norm.

    Only this ratio enters the loss, so one run stands for many pairs of noise and batch size (McKenna et al.
    2025, arXiv:2501.18914).

    Parameters
    ----------
    noise_multiplier : array_like
        Standard deviation of the noise on the summed gradient over the clipping norm.
    B : array_like
        Expected batch size.

    Returns
    -------
    float or ndarray
        Noise-batch ratio.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> noise_batch_ratio(0.8, 65536)
    1.220703125e-05
    """
    noise, batch = same_shape(
        noise_multiplier=numbers("noise_multiplier", noise_multiplier, least=0.0),
        B=numbers("B", B, above=0.0),
    )
    return give(noise / batch)


def dp_compute(M: ArrayLike, B: ArrayLike, T: ArrayLike, *, seq: ArrayLike = 512.0) -> Real:
    """Return training FLOPs, ``6 M B T seq``.

    Parameters
    ----------
    M, B, T : array_like
        Parameters, batch size in examples, and iterations.
    seq : array_like
        Tokens per example.

    Returns
    -------
    float or ndarray
        FLOPs.

    Raises
    ------
    ValueError
        If a number is not positive.

    Examples
    --------
    >>> dp_compute(1e8, 4096, 1e4)
    1.2582912e+19
    """
    given = {"M": M, "B": B, "T": T, "seq": seq}
    arrays = same_shape(**{name: numbers(name, value, above=0.0) for name, value in given.items()})
    return give(6.0 * arrays[0] * arrays[1] * arrays[2] * arrays[3])


def dp_epsilon(sigma: float, T: float, q: float, *, delta: float = 1e-8) -> float:
    """Return an upper bound on the privacy loss of training with the subsampled Gaussian mechanism.

    The Renyi divergence of one step at whole orders is a finite binomial sum (Mironov, Talwar and Zhang
    2019, arXiv:1908.10530, section 3.3); steps add up, and the best order is converted to epsilon (Canonne,
    Kamath and Steinke 2020, arXiv:2004.00010, proposition 12). Accountants that follow the whole
    distribution of the privacy loss can give much less, most of all at small `q`; a `NoiseTable` takes their
    numbers.

    Parameters
    ----------
    sigma : float
        Noise multiplier: standard deviation of the noise over the clipping norm.
    T : float
        Iterations.
    q : float
        Probability with which an example enters a batch; 1 for full batches.
    delta : float
        Probability with which the bound may fail.

    Returns
    -------
    float
        Epsilon, for neighbouring data sets that differ by one added or removed example.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> round(dp_epsilon(1.1, T=14063, q=256 / 60000, delta=1e-5), 2)
    2.6
    """
    noise = scalar("sigma", sigma, above=0.0)
    steps, rate = scalar("T", T, above=0.0), scalar("q", q, above=0.0, most=1.0)
    failure = scalar("delta", delta, above=0.0, below=1.0)
    return _epsilon(noise, steps, rate, failure)


def dp_noise_multiplier(eps: float, T: float, q: float, *, delta: float = 1e-8) -> float:
    """Return the least noise multiplier that keeps a privacy budget.

    The inverse of `dp_epsilon`.

    Parameters
    ----------
    eps : float
        Privacy budget epsilon.
    T : float
        Iterations.
    q : float
        Probability with which an example enters a batch.
    delta : float
        Probability with which the bound may fail.

    Returns
    -------
    float
        Noise multiplier.

    Raises
    ------
    ValueError
        If a number is out of range, or the budget is below what these orders can show at any noise.

    Examples
    --------
    >>> round(dp_noise_multiplier(2.0, T=10000, q=0.001), 3)
    0.865
    """
    from scipy.optimize import brentq

    goal = scalar("eps", eps, above=0.0)
    steps, rate = scalar("T", T, above=0.0), scalar("q", q, above=0.0, most=1.0)
    failure = scalar("delta", delta, above=0.0, below=1.0)
    low = high = 1.0
    while _epsilon(high, steps, rate, failure) > goal:
        low, high = high, 2.0 * high
        if high > 1e9:
            raise DataError(
                f"eps = {goal:g} with delta = {failure:g} is too small for this accountant", "eps"
            )
    while _epsilon(low, steps, rate, failure) <= goal:
        if low < 1e-3:
            return low
        low, high = 0.5 * low, low
    root = brentq(
        lambda u: _epsilon(math.exp(u), steps, rate, failure) - goal,
        math.log(low),
        math.log(high),
        xtol=1e-13,
    )
    # On the side that keeps the budget.
    return math.exp(float(root) + 2e-13)


def dp_noise_table(eps: float, T: ArrayLike, q: ArrayLike, *, delta: float = 1e-8) -> NoiseTable:
    """Tabulate noise multipliers of a privacy budget, for `dp_scaling` queries.

    Parameters
    ----------
    eps : float
        Privacy budget epsilon.
    T, q : array_like, shape (m,) and (k,)
        Ascending grids of iterations and sampling probabilities.
    delta : float
        Probability with which the bound may fail.

    Returns
    -------
    NoiseTable
        The table.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> table = dp_noise_table(2.0, T=[1000, 10000], q=[0.001, 0.01])
    >>> table.sigma.round(2).tolist()
    [[0.81, 1.23], [0.86, 2.91]]
    """
    steps, rate = np.atleast_1d(numbers("T", T)), np.atleast_1d(numbers("q", q))
    sigma = [[dp_noise_multiplier(eps, float(t), float(p), delta=delta) for p in rate] for t in steps]
    return NoiseTable(steps, rate, np.array(sigma))


def _epsilon(sigma: float, steps: float, q: float, delta: float) -> float:
    order = _ORDERS.astype(np.float64)
    divergence = steps * _divergences(sigma, q)
    convert = np.log1p(-1.0 / order) - (math.log(delta) + np.log(order)) / (order - 1.0)
    return max(0.0, float(np.min(divergence + convert)))


def _divergences(sigma: float, q: float) -> Floats:
    """Renyi divergence of one step at each order."""
    order = _ORDERS.astype(np.float64)
    if q == 1.0:
        return order / (2.0 * sigma * sigma)
    out = np.empty(len(_ORDERS))
    for index, a in enumerate(_ORDERS):
        k = np.arange(a + 1)
        terms = (
            _log_binomial(int(a))
            + (a - k) * math.log1p(-q)
            + k * math.log(q)
            + (k * (k - 1.0)) / (2.0 * sigma * sigma)
        )
        top = float(terms.max())
        out[index] = (top + math.log(float(np.exp(terms - top).sum()))) / (a - 1.0)
    return out


_LOG_FACTORIAL: NDArray[np.float64] = np.concatenate(
    [[0.0], np.cumsum(np.log(np.arange(1.0, float(_ORDERS.max()) + 1.0)))]
)


def _log_binomial(n: int) -> Floats:
    """Logarithms of the binomial coefficients of n over 0 to n."""
    head = _LOG_FACTORIAL[: n + 1]
    return np.asarray(head[n] - head - head[::-1])
