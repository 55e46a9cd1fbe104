"""Power-law tails of distributions, estimated from samples and never from a histogram."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ._check import Floats, column, scalar, whole

if TYPE_CHECKING:
    from ..starts import Rng

__all__ = ["LognormalComparison", "PowerLawTail", "TailKind", "power_law_tail", "tail_against_lognormal"]

TailKind: TypeAlias = Literal["continuous", "integer", "integer-approximate"]

_KINDS = ("continuous", "integer", "integer-approximate")


@dataclass(frozen=True)
class PowerLawTail:
    """Tail of a distribution with the density ``x**(-g)``.

    Parameters
    ----------
    g : float
        Exponent of the density.
    stderr : float
        Its standard error, given `x_min`.
    x_min : float
        Where the tail starts.
    n : int
        Samples in the tail.
    ks : float
        Largest distance between the distribution of the tail samples and the fitted one.
    p_value : float or None
        Share of synthetic data sets that lie farther from their own fits; below 0.1 the power law is
        implausible. None without bootstrap.
    kind : str
        What the samples are.
    """

    g: float
    stderr: float
    x_min: float
    n: int
    ks: float
    p_value: float | None
    kind: TailKind


@dataclass(frozen=True)
class LognormalComparison:
    """Power law against lognormal on the same tail.

    Parameters
    ----------
    log_ratio : float
        Log-likelihood of the power law minus that of the lognormal. Never positive beyond rounding: on a tail
        the power law is the limit of a wide lognormal with a distant centre.
    statistic : float
        `log_ratio` over its standard deviation (Vuong's statistic); NaN if both are the same.
    p_value : float
        Probability of a statistic that far from 0 if both fit equally well; 1 if both are the same.
    mu, sigma : float
        Mean and standard deviation of log x of the lognormal; minus infinity and infinity in the limit.
    """

    log_ratio: float
    statistic: float
    p_value: float
    mu: float
    sigma: float


def power_law_tail(
    x: ArrayLike,
    x_min: float | None = None,
    *,
    kind: TailKind = "continuous",
    min_tail: int = 10,
    bootstrap: int = 0,
    rng: Rng = 0,
) -> PowerLawTail:
    """Estimate the exponent of a power-law tail by maximum likelihood.

    For continuous samples ``g = 1 + n / sum(log(x / x_min))`` with the standard error ``(g - 1)/sqrt(n)``.
    The start of the tail is the sample value at which the Kolmogorov-Smirnov distance between samples and
    fit is least, and the fit is judged by synthetic data: samples below the tail are drawn from the data,
    those in it from the fit, and everything is estimated again (Clauset, Shalizi and Newman 2009,
    arXiv:0706.1062).

    Parameters
    ----------
    x : array_like, shape (n,)
        Positive samples.
    x_min : float, optional
        Start of the tail; chosen by the distance if not given.
    kind : {"continuous", "integer", "integer-approximate"}
        Integers by the zeta distribution, or by the continuous formula with ``x_min - 1/2``, which is good
        from ``x_min`` = 6 on.
    min_tail : int
        Least number of samples in a tail whose start is chosen. Tails of a handful of samples fit anything.
    bootstrap : int
        Number of synthetic data sets; 1000 give the p-value to two digits.
    rng : int, Generator, SeedSequence or None
        Seed of the synthetic data.

    Returns
    -------
    PowerLawTail
        Exponent, start of the tail, distance and p-value.

    Raises
    ------
    ValueError
        If a sample is not positive (or not whole, for integers), or there are too few in the tail.

    Examples
    --------
    >>> tail = power_law_tail([1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0], x_min=1.0)
    >>> round(tail.g, 6), round(tail.stderr, 6)
    (2.1126, 0.420523)
    """
    samples = np.sort(column("x", x, above=0.0))
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, _KINDS))}, not {kind!r}")
    if kind != "continuous":
        odd = np.flatnonzero(samples != np.rint(samples))
        if odd.size:
            raise DataError(f"x must hold whole numbers for kind={kind!r}, not {samples[odd[0]]:g}", "x")
    draws, least = whole("bootstrap", bootstrap), whole("min_tail", min_tail, least=2)
    start = None if x_min is None else scalar("x_min", x_min, above=0.0)
    if start is not None and kind != "continuous" and start != round(start):
        raise DataError(f"x_min must be whole for kind={kind!r}, not {start:g}", "x_min")
    g, at, distance = _estimate(samples, start, kind, least)
    tail = samples[samples >= at]
    p_value = None
    if draws:
        generator = np.random.default_rng(rng)
        body = samples[samples < at]
        worse = 0
        for _ in range(draws):
            inside = int(generator.binomial(len(samples), len(tail) / len(samples)))
            # A synthetic set with an empty tail, or one without spread, says nothing about the fit: draw
            # again.
            while inside < 2:
                inside = int(generator.binomial(len(samples), len(tail) / len(samples)))
            made = _draw(generator, inside, g, at, kind)
            rest = generator.choice(body, len(samples) - inside) if len(body) else np.empty(0)
            drawn = np.sort(np.concatenate([rest, made]))
            worse += _estimate(drawn, start, kind, least)[2] >= distance
        p_value = worse / draws
    return PowerLawTail(g, _stderr(g, at, len(tail), kind), at, len(tail), distance, p_value, kind)


def tail_against_lognormal(x: ArrayLike, x_min: float) -> LognormalComparison:
    """Compare a power law with a lognormal on the tail of continuous samples.

    Both are normalised above `x_min` and fitted by maximum likelihood; the likelihood ratio is judged by
    Vuong's test (Clauset, Shalizi and Newman 2009, arXiv:0706.1062, appendix C).

    Parameters
    ----------
    x : array_like, shape (n,)
        Positive samples.
    x_min : float
        Start of the tail; samples below it do not count.

    Returns
    -------
    LognormalComparison
        A clearly negative statistic speaks for the lognormal; near 0 the data cannot tell.

    Raises
    ------
    ValueError
        If a number is not positive, or fewer than three different samples lie in the tail.

    Examples
    --------
    >>> grid = (np.arange(400) + 0.5) / 400
    >>> found = tail_against_lognormal((1 - grid) ** (-1 / 1.5), x_min=1.0)
    >>> abs(round(found.log_ratio, 1))
    0.0
    """
    from scipy.optimize import minimize
    from scipy.special import erfcx, ndtr

    start = scalar("x_min", x_min, above=0.0)
    samples = column("x", x, above=0.0)
    tail = samples[samples >= start]
    if len(np.unique(tail)) < 3:
        raise DataError("the tail needs three different samples for a comparison", "x")
    logs = np.log(tail / start)
    unit = float(logs.mean())
    # With y = log(x / x_min) over its mean the lognormal is exp(-a y - b y^2) on y > 0, an exponential family
    # whose likelihood is concave; b = 0 is the power law.
    y = logs / unit

    def log_norm(a: float, b: float) -> float:
        if b <= 1e-12:
            return -math.log(a) if a > 0.0 else math.inf
        ratio = a / (2.0 * math.sqrt(b))
        scale = 0.5 * math.log(math.pi / (4.0 * b))
        # erfcx overflows for large negative arguments; erfc is then 2 but for a negligible rest.
        return scale + (math.log(erfcx(ratio)) if ratio > -20.0 else ratio * ratio + math.log(2.0))

    square = float(np.mean(y * y))

    def cost(point: Floats) -> float:
        a, root = point
        return float(log_norm(a, root * root) + a + root * root * square)

    found = minimize(
        cost, [1.0, 0.3], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-15, "maxiter": 4000}
    )
    a, b = (float(found.x[0]), float(found.x[1]) ** 2) if found.fun < 1.0 else (1.0, 0.0)
    if b <= 1e-12:
        a, b = 1.0, 0.0
    power = -y
    other = -a * y - b * y * y - log_norm(a, b)
    difference = power - other
    total, spread = float(difference.sum()), float(difference.std())
    if b == 0.0 or spread == 0.0:
        return LognormalComparison(0.0, math.nan, 1.0, -math.inf, math.inf)
    statistic = total / (spread * math.sqrt(len(y)))
    return LognormalComparison(
        log_ratio=total,
        statistic=statistic,
        p_value=float(2.0 * ndtr(-abs(statistic))),
        mu=math.log(start) - unit * a / (2.0 * b),
        sigma=unit / math.sqrt(2.0 * b),
    )


def _estimate(samples: Floats, x_min: float | None, kind: TailKind, least: int) -> tuple[float, float, float]:
    """Exponent, start of the tail and distance; `samples` ascend."""
    if x_min is not None:
        tail = samples[np.searchsorted(samples, x_min) :]
        if len(tail) < 2 or tail[-1] <= x_min:
            raise DataError(f"{len(tail)} samples from x_min = {x_min:g} on determine no tail", "x_min")
        g = _exponent(tail, x_min, kind)
        return g, x_min, _distance(tail, g, x_min, kind)
    starts, first = np.unique(samples, return_index=True)
    usable = (len(samples) - first >= least) & (starts < samples[-1])
    if not usable.any():
        raise DataError(
            f"{len(samples)} samples have no tail of {least} with different values; give x_min, or a smaller "
            "min_tail",
            "x",
        )
    best = (math.nan, math.nan, math.inf)
    for at, index in zip(starts[usable].tolist(), first[usable].tolist(), strict=True):
        tail = samples[index:]
        g = _exponent(tail, at, kind)
        distance = _distance(tail, g, at, kind)
        if distance < best[2]:
            best = (g, at, distance)
    return best


def _exponent(tail: Floats, x_min: float, kind: TailKind) -> float:
    offset = 0.5 if kind == "integer-approximate" else 0.0
    mean = float(np.log(tail / (x_min - offset)).mean())
    g = 1.0 + 1.0 / mean
    if kind != "integer":
        return g
    from scipy.optimize import brentq

    target = float(np.log(tail).mean())

    def gap(u: float) -> float:
        """Mean logarithm that the exponent 1 + exp(u) gives, minus that of the samples; falls with u."""
        return _mean_log(1.0 + math.exp(u), x_min) - target

    low = high = -math.log(float(np.log(tail / (x_min - 0.5)).mean()))
    while gap(low) < 0.0:
        low -= 1.0
    while gap(high) > 0.0:
        high += 1.0
    return g if low == high else 1.0 + math.exp(float(brentq(gap, low, high, xtol=1e-14, rtol=1e-14)))


def _distance(tail: Floats, g: float, x_min: float, kind: TailKind) -> float:
    """Largest distance between the two distribution functions, on both sides of every step."""
    n = len(tail)
    if kind == "continuous":
        fitted = 1.0 - (tail / x_min) ** (1.0 - g)
        upper = np.arange(1, n + 1) / n - fitted
        lower = fitted - np.arange(n) / n
        return float(max(upper.max(), lower.max()))
    values, counts = np.unique(tail, return_counts=True)
    # Both step at whole numbers only, and between two values of the data the fit alone rises.
    measured = np.cumsum(counts) / n
    at = 1.0 - _survival(values + 1.0, g, x_min, kind)
    before = 1.0 - _survival(values, g, x_min, kind)
    return float(
        max(np.abs(measured - at).max(), np.abs(np.concatenate([[0.0], measured[:-1]]) - before).max())
    )


def _survival(x: Floats, g: float, x_min: float, kind: TailKind) -> Floats:
    """Probability of a whole number of at least x."""
    if kind == "integer-approximate":
        return np.asarray(((x - 0.5) / (x_min - 0.5)) ** (1.0 - g))
    return np.asarray(np.exp(_log_zeta(g, x) - _log_zeta(g, np.asarray(x_min))))


def _log_zeta(g: complex, q: Floats) -> Any:
    """Logarithm of the Hurwitz zeta function, without underflow at large exponents, also of complex g.

    Thirty terms, then the Euler-Maclaurin formula. The terms are divided by the first one: the rest that the
    formula has to add is small wherever its own series is poor, that is where g exceeds q.
    """
    q = np.asarray(q, np.float64)
    terms = 30
    powers = np.exp(-g * np.log1p(np.arange(terms) / q[..., None]))
    end = q + terms
    last = np.exp(-g * np.log1p(terms / q))
    series = end / (g - 1.0) + 0.5 + g / (12.0 * end) - g * (g + 1.0) * (g + 2.0) / (720.0 * end**3)
    fifth = g * (g + 1.0) * (g + 2.0) * (g + 3.0) * (g + 4.0)
    series = series + fifth / (30240.0 * end**5) - fifth * (g + 5.0) * (g + 6.0) / (1209600.0 * end**7)
    return np.log(powers.sum(axis=-1) + last * series) - g * np.log(q)


def _mean_log(g: float, x_min: float) -> float:
    """Mean logarithm of the zeta distribution: minus the derivative of log zeta, by a complex step."""
    step = 1e-100
    return float(-_log_zeta(complex(g, step), np.asarray(x_min)).imag / step)


def _stderr(g: float, x_min: float, n: int, kind: TailKind) -> float:
    if kind != "integer":
        return (g - 1.0) / math.sqrt(n)
    # Information of one sample: how fast its mean logarithm falls with the exponent.
    step = 1e-4 * (g - 1.0)
    information = (_mean_log(g - step, x_min) - _mean_log(g + step, x_min)) / (2.0 * step)
    return 1.0 / math.sqrt(n * information)


def _draw(generator: np.random.Generator, n: int, g: float, x_min: float, kind: TailKind) -> Floats:
    """Draw tail samples; at least two differ, or no tail could be fitted to them."""
    while True:
        u = 1.0 - generator.random(n)
        if kind == "continuous":
            drawn = x_min * u ** (-1.0 / (g - 1.0))
        elif kind == "integer-approximate":
            drawn = np.floor((x_min - 0.5) * u ** (-1.0 / (g - 1.0)) + 0.5)
        else:
            drawn = _whole_draws(u, g, x_min)
        if drawn.min() < drawn.max():
            return np.asarray(drawn)


def _whole_draws(u: Floats, g: float, x_min: float) -> Floats:
    """Largest whole x whose survival is at least u: doubling brackets it, halving finds it."""
    low, high = np.full(len(u), x_min), np.full(len(u), 2.0 * x_min)
    for _ in range(1000):
        more = _survival(high, g, x_min, "integer") >= u
        if not more.any():
            break
        low, high = np.where(more, high, low), np.where(more, 2.0 * high, high)
    while True:
        open_ = high - low > np.maximum(1.0, 1e-15 * high)
        if not open_.any():
            return low
        middle = np.floor(0.5 * (low + high))
        more = _survival(middle, g, x_min, "integer") >= u
        low, high = np.where(open_ & more, middle, low), np.where(open_ & ~more, middle, high)
