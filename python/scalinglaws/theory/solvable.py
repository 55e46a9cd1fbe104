"""The solvable random-feature model: loss from the numbers of features and samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import Number, broadcast, give, refuse

__all__ = ["SolvableModel", "solvable_prefactor", "theory_solvable_model"]

# Terms of a spectral sum that are added one by one; the others come from the Euler-Maclaurin formula, whose
# first neglected term is below 1e-13 of the term at this index.
_HEAD = 4096
# The logarithm of the smallest kappa that is looked at: the end of the range of double precision.
_LOWEST = -700.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


@dataclass(frozen=True, eq=False)
class SolvableModel:
    """Loss of random-feature regression on a power-law spectrum.

    Parameters
    ----------
    loss : float or ndarray
        Expected squared error on new data, in units of the teacher's variance per latent direction.
    kappa : float or ndarray
        Resolution: directions with eigenvalues above it have been learnt. 0 where all have.
    ridge : float or ndarray
        The penalty that `loss` belongs to.
    power_law : float or ndarray
        The limit ``prefactor * n**(-alpha)``, n = min(N, T), for 1 << n << max(N, T) and M.
    prefactor : float or ndarray
        See :func:`solvable_prefactor`.
    """

    loss: Number
    kappa: Number
    ridge: Number
    power_law: Number
    prefactor: Number


def theory_solvable_model(
    N: ArrayLike = math.inf,
    T: ArrayLike = math.inf,
    *,
    alpha: ArrayLike,
    M: ArrayLike = math.inf,
    ridge: ArrayLike | Literal["optimal"] = 0.0,
) -> SolvableModel:
    r"""Return the expected test error of a random-feature student whose inputs have power-law variances.

    Inputs have the covariance eigenvalues :math:`i^{-(1+\alpha)}` in M latent directions. The teacher is a
    random linear function of unit variance per direction, without noise. The student is ridge regression on N
    random linear features (standard normal projections of the input) from T samples, penalty
    ``ridge * sum(weights**2)`` beside the sum of squared errors.

    Parameters
    ----------
    N : array_like, default infinity
        Number of features, at least 1.
    T : array_like, default infinity
        Number of samples, at least 1.
    alpha : array_like
        Spectral exponent, positive.
    M : array_like, default infinity
        Number of latent directions, a whole number of at least 1 or infinity.
    ridge : array_like or "optimal", default 0
        Penalty, at least 0; or the one that makes the loss smallest.

    Returns
    -------
    SolvableModel
        The loss and its parts, of the broadcast shape.

    Raises
    ------
    TypeError
        If an argument is not numeric.
    ValueError
        If an argument lies outside its range.

    Notes
    -----
    Without a ridge, n = min(N, T) and m = max(N, T),

    .. math::

        \sum_i \frac{\lambda_i}{\lambda_i + \kappa} = n, \qquad L = \frac{\kappa\, n}{1 - n/m},

    which is symmetric in N and T and diverges at N = T (double descent). For 1 << n << M, m it becomes
    :math:`c(\alpha)\, n^{-\alpha}`; once n comes near M the spectrum is exhausted, and the loss is 0 for
    n >= M. Nothing scarce at all is a loss of 0, too.

    With a ridge, writing :math:`z = \sum_i \lambda_i/(\lambda_i + \kappa)` and
    :math:`q = \sum_i (\lambda_i/(\lambda_i + \kappa))^2`,

    .. math::

        \mathrm{ridge} = \kappa\,(N - z)(T - z), \qquad
        L = \frac{\kappa\, N T\, (z - q)}{N T - (N + T)\,q + 2 q z - z^2}.

    These are deterministic equivalents: exact for large N and T, and right to a few per cent for 50. They
    were derived by standard means, not read in the paper; the tests compare them with simulated regressions.

    Sums over more than 4096 directions are completed by the Euler-Maclaurin formula, so that M may be large.

    References
    ----------
    Maloney, Roberts and Sully 2022, A Solvable Model of Neural Scaling Laws, arXiv:2210.16859.

    Examples
    --------
    >>> round(theory_solvable_model(N=50, T=2000, alpha=1.0, M=4000).loss, 6)
    0.049107
    >>> both = theory_solvable_model(N=[50, 100], T=[100, 50], alpha=1.0, M=4000)
    >>> both.loss.round(6)
    array([0.095759, 0.095759])
    >>> theory_solvable_model(N=100, T=100, alpha=1.0, M=4000).loss
    inf
    >>> round(theory_solvable_model(N=100, T=100, alpha=1.0, M=4000, ridge="optimal").loss, 4)
    0.048
    """
    if isinstance(ridge, str) and ridge != "optimal":
        raise ValueError(f"ridge must be a number of at least 0 or 'optimal', not {ridge!r}")
    best = isinstance(ridge, str)
    penalty: ArrayLike = math.nan if isinstance(ridge, str) else ridge
    N, T, alpha, M = broadcast(N=N, T=T, alpha=alpha, M=M)
    for name, count in {"N": N, "T": T}.items():
        refuse(count < 1.0, name, count, "must be at least 1")
    refuse(~np.isfinite(alpha) | (alpha <= 0.0), "alpha", alpha, "must be positive and finite")
    refuse((M < 1.0) | (np.floor(M) != M), "M", M, "must be a whole number of at least 1, or infinite")
    if not best:
        N, T, alpha, M, penalty = broadcast(N=N, T=T, alpha=alpha, M=M, ridge=penalty)
        refuse((penalty < 0.0) | np.isinf(penalty), "ridge", penalty, "must be finite and at least 0")
    penalties = np.broadcast_to(penalty, N.shape)
    out = np.empty((3, N.size))
    for index, (features, samples, exponent, latent, cost) in enumerate(
        zip(N.flat, T.flat, alpha.flat, M.flat, penalties.flat, strict=True)
    ):
        spectrum = _Spectrum(1.0 + float(exponent), float(latent))
        out[:, index] = _solve(spectrum, float(features), float(samples), None if best else float(cost))
    loss, kappa, used = (part.reshape(N.shape) for part in out)
    factor = np.asarray(solvable_prefactor(alpha))
    return SolvableModel(
        loss=give(loss),
        kappa=give(kappa),
        ridge=give(used),
        power_law=give(factor * np.minimum(N, T) ** -alpha),
        prefactor=give(factor),
    )


def solvable_prefactor(alpha: ArrayLike) -> Number:
    r"""Prefactor of the power law in the solvable model.

    Parameters
    ----------
    alpha : array_like
        Spectral exponent, positive.

    Returns
    -------
    float or ndarray
        :math:`\left(\frac{\pi/(1+\alpha)}{\sin(\pi/(1+\alpha))}\right)^{1+\alpha}`: the loss is this times
        ``min(N, T)**(-alpha)`` while neither the spectrum nor the other resource is exhausted.

    Raises
    ------
    TypeError
        If `alpha` is not numeric.
    ValueError
        If `alpha` is not positive and finite.

    Examples
    --------
    >>> round(solvable_prefactor(1.0), 6)  # (pi / 2)**2
    2.467401
    """
    (exponent,) = broadcast(alpha=alpha)
    refuse(~np.isfinite(exponent) | (exponent <= 0.0), "alpha", exponent, "must be positive and finite")
    angle = np.pi / (1.0 + exponent)
    result: Number = give((angle / np.sin(angle)) ** (1.0 + exponent))
    return result


class _Spectrum:
    """Sums over the eigenvalues i**(-s), i = 1..M, as functions of u = log(kappa)."""

    def __init__(self, s: float, M: float) -> None:
        self.s = s
        self.M = M
        self.log_head = s * np.log(np.arange(1.0, min(M, float(_HEAD)) + 1.0))

    def sums(self, u: float) -> tuple[float, float]:
        """Return z = sum of g and z - q = sum of g * (1 - g), g = lambda / (lambda + kappa)."""
        with np.errstate(over="ignore"):
            g = 1.0 / (1.0 + np.exp(u + self.log_head))
        z, rest = float(g.sum()), float((g * (1.0 - g)).sum())
        if self.M > _HEAD:
            tail = self._tail(u)
            z, rest = z + tail[0], rest + tail[1]
        return z, rest

    def resolution(self, n: float) -> float:
        """Return the u at which z equals n, for 1 <= n < M; Newton's method inside a bracket."""
        low, high = _LOWEST, self.highest
        u = min(max(-self.s * math.log(n), low), high)
        for _ in range(200):
            z, rest = self.sums(u)
            if z > n:
                low = u
            else:
                high = u
            # In the power law log z is nearly straight in u; where z is flat the bracket is halved instead.
            step = math.log(z / n) * z / rest if rest > 0.0 else math.inf
            if not low <= u + step <= high:
                step = 0.5 * (low + high) - u
            u += step
            if abs(step) <= 4e-16 * max(1.0, abs(u)):
                break
        return u

    @property
    def highest(self) -> float:
        """A u at which z is below 1: kappa above the sum of all eigenvalues."""
        return math.log1p(1.0 + 1.0 / (self.s - 1.0))

    def _tail(self, u: float) -> tuple[float, float]:
        low, s = float(_HEAD), self.s
        area = self._integral(u)
        xg0, e0, h0, dh0 = self._end(u, low)
        xg1, e1, h1, dh1 = self._end(u, self.M)
        # x * g'(x) = -s * h(x) with h = g * (1 - g): the integral of h follows from that of g by parts.
        area_h = (area - (xg1 - xg0)) / s
        return area + e1 - e0, area_h + 0.5 * (h1 - h0) + (dh1 - dh0) / 12.0

    def _end(self, u: float, x: float) -> tuple[float, float, float, float]:
        """Return x * g, g / 2 + g' / 12, h and h' at one end of the tail."""
        if math.isinf(x):
            return 0.0, 0.0, 0.0, 0.0
        g = self._g(u, x)
        h = g * (1.0 - g)
        slope = -self.s * h / x
        return x * g, 0.5 * g + slope / 12.0, h, slope * (1.0 - 2.0 * g)

    def _g(self, u: float, x: float) -> float:
        power = u + self.s * math.log(x)
        return math.exp(-power) if power > 700.0 else 1.0 / (1.0 + math.exp(power))

    def _integral(self, u: float) -> float:
        """Integrate g from the head to M; Gauss panels in v = log x, then the series for large x."""
        s = self.s
        low, high = math.log(_HEAD), math.log(self.M)
        # Beyond this kappa / lambda exceeds e**14, and four terms of the series leave an error below e**-56.
        end = min(high, max(low, (14.0 - u) / s))
        total = 0.0
        if end > low:
            # The poles of the integrand lie pi/s off the real line: panels not much wider than that.
            panels = math.ceil((end - low) * max(1.0, s / 3.0))
            edges = np.linspace(low, end, panels + 1)
            half = 0.5 * (edges[1:] - edges[:-1])[:, None]
            v = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * _NODES
            total += float((half * _WEIGHTS * np.exp(v) / (1.0 + np.exp(u + s * v))).sum())
        if high > end:
            for j in range(1, 5):
                power = 1.0 - s * j
                upper = 0.0 if math.isinf(high) else math.exp(power * high - j * u)
                total += (-1.0) ** (j + 1) * (upper - math.exp(power * end - j * u)) / power
        return total


def _solve(spectrum: _Spectrum, N: float, T: float, ridge: float | None) -> tuple[float, float, float]:
    """Return loss, kappa and ridge; the ridge that minimises the loss if it is None."""
    n, m = min(N, T), max(N, T)
    exhausted = n >= spectrum.M
    if exhausted and not ridge:
        return 0.0, 0.0, 0.0
    u0 = _LOWEST if exhausted else spectrum.resolution(n)
    if math.isinf(m):
        # A finite penalty is nothing against infinitely many samples (or features), and as the target has no
        # noise, none is needed.
        kappa = 0.0 if exhausted else math.exp(u0)
        return (0.0 if exhausted else kappa * n), kappa, ridge or 0.0
    if ridge == 0.0:
        return (math.inf if n == m else math.exp(u0) * n / (1.0 - n / m)), math.exp(u0), 0.0
    if ridge is None:
        u = _minimum(lambda u: _loss(spectrum, N, T, u), u0, spectrum.highest)
    else:
        u = _root(lambda u: _log_ridge(spectrum, N, T, u) - math.log(ridge), u0)
    used = math.exp(_log_ridge(spectrum, N, T, u)) if ridge is None else ridge
    return _loss(spectrum, N, T, u), math.exp(u), used


def _log_ridge(spectrum: _Spectrum, N: float, T: float, u: float) -> float:
    z, _ = spectrum.sums(u)
    product = (N - z) * (T - z)
    return u + math.log(product) if product > 0.0 and z < min(N, T) else -math.inf


def _loss(spectrum: _Spectrum, N: float, T: float, u: float) -> float:
    z, rest = spectrum.sums(u)
    # The denominator of the docstring, written with z - q so that nothing cancels near the smallest kappa.
    left, right = max(N - z, 0.0), max(T - z, 0.0)
    below = left * right + rest * (left + right)
    return math.exp(u) * N * T * rest / below if below > 0.0 else math.inf


def _root(function: Callable[[float], float], low: float) -> float:
    """Return the zero above `low` of an increasing function."""
    width = 1.0
    while function(low + width) < 0.0:
        width *= 2.0
    high = low + width
    for _ in range(100):
        middle = 0.5 * (low + high)
        if function(middle) < 0.0:
            low = middle
        else:
            high = middle
    return high


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the minimum of a function with one valley: a coarse grid, then golden section."""
    grid = np.linspace(low, high, 65)
    best = int(np.argmin([function(float(u)) for u in grid]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, 64)])
    ratio = 0.5 * (math.sqrt(5.0) - 1.0)
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(60):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return 0.5 * (low + high)
