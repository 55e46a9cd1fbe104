"""Capability density: the size of a reference model that scores as well, over the true size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from ..fit import fit
from ..laws import laws
from ..losses import squared
from ..result import Fit
from ._check import Floats, Real, column, columns, give, numbers, same_shape, scalar

__all__ = ["Density", "DensityInterval", "DensityTrend", "densing", "densing_interval", "densing_trend"]

_LOSS = ("a", "alpha", "b", "beta")
_SCORE = ("c", "gamma", "l", "d")


@dataclass(frozen=True, eq=False)
class Density:
    """Effective size of a model.

    Parameters
    ----------
    loss : float or ndarray
        Loss at which a reference model would have the score, nats per answer token.
    N_eff : float or ndarray
        Parameters of the reference model of that loss.
    rho : float or ndarray
        `N_eff` over the true size.
    """

    loss: Real
    N_eff: Real
    rho: Real


@dataclass(frozen=True)
class DensityInterval:
    """Interval of a density from draws of the coefficients.

    Parameters
    ----------
    median, lower, upper : float
        Quantiles of the density; 0 and infinity are possible.
    level : float
        Coverage.
    beyond : float
        Share of draws whose reference models cannot reach the score at any size (density infinite).
    below : float
        Share of draws in which the score is at or below the chance level (density 0).
    """

    median: float
    lower: float
    upper: float
    level: float
    beyond: float
    below: float


@dataclass(frozen=True, eq=False)
class DensityTrend:
    """Growth of the largest density in time.

    Parameters
    ----------
    fit : Fit
        The law ``densing_growth`` through the record-setting models.
    record : ndarray of bool, shape (n,)
        Which models set a record at their release.
    doubling_days : float
        Days in which the density doubles.
    """

    fit: Fit
    record: NDArray[np.bool_]
    doubling_days: float


def densing(
    S: ArrayLike,
    N: ArrayLike,
    *,
    a: ArrayLike,
    alpha: ArrayLike,
    b: ArrayLike,
    beta: ArrayLike,
    c: ArrayLike,
    gamma: ArrayLike,
    l: ArrayLike,  # noqa: E741
    d: ArrayLike,
    D0: ArrayLike = 1e12,
) -> Density:
    """Return effective parameters and capability density of a model from its benchmark score.

    The law ``densing_performance`` is inverted from score to loss, then ``densing_loss`` from loss to size at
    `D0` tokens (Xiao et al. 2024, arXiv:2412.04315, eqs. 1 to 4). The keywords are those of the two laws, so
    fits go in as ``densing(S, N, **loss_fit.values, **score_fit.values)``.

    Parameters
    ----------
    S : array_like
        Score, between ``d`` and ``d + c``.
    N : array_like
        True parameters.
    a, alpha, b, beta : array_like
        Coefficients of ``densing_loss``.
    c, gamma, l, d : array_like
        Coefficients of ``densing_performance``; gamma is negative.
    D0 : array_like
        Tokens of the reference models.

    Returns
    -------
    Density
        Loss, effective parameters and density in the broadcast shape.

    Raises
    ------
    ValueError
        If the score lies outside the sigmoid, or the loss at or below ``b * D0**(-beta)``, which the
        reference models reach at no size.

    Notes
    -----
    Near the ends of the sigmoid the effective size is extremely sensitive: see `densing_interval`.

    Examples
    --------
    >>> model = densing(0.62, 7e9, a=3, alpha=0.15, b=20, beta=0.18, c=0.75, gamma=-20, l=0.35, d=0.25)
    >>> round(model.loss, 6), round(model.N_eff), round(model.rho, 6)
    (0.351333, 45574647, 0.006511)
    """
    given = {"a": a, "alpha": alpha, "b": b, "beta": beta, "c": c, "gamma": gamma, "l": l, "d": d}
    score, size, tokens, values = _checked(S, N, D0, given)
    top = values["d"] + values["c"]
    outside = (score <= values["d"]) | (score >= top)
    if outside.any():
        where = np.unravel_index(int(np.argmax(outside)), outside.shape)
        raise DataError(
            f"S = {score[where]:g} lies outside the sigmoid, which runs from {values['d'][where]:g} to "
            f"{top[where]:g}",
            "S",
        )
    loss, reducible = _invert(score, tokens, values)
    if np.any(reducible <= 0.0):
        where = np.unravel_index(int(np.argmin(reducible)), reducible.shape)
        raise DataError(
            f"S = {score[where]:g} needs a loss of {loss[where]:g}, below what the reference models reach "
            f"with {tokens[where]:g} tokens: the effective size is infinite",
            "S",
        )
    effective = (reducible / values["a"]) ** (-1.0 / values["alpha"])
    return Density(give(loss), give(effective), give(effective / size))


def densing_interval(
    S: float,
    N: float,
    draws: Mapping[str, ArrayLike],
    *,
    level: float = 0.9,
    D0: float = 1e12,
) -> DensityInterval:
    """Return an interval of the density from draws of all eight coefficients.

    Parameters
    ----------
    S, N : float
        Score and true parameters.
    draws : mapping of str to array_like, shape (m,)
        Bootstrap draws of a, alpha, b, beta, c, gamma, l and d.
    level : float
        Coverage of the interval, from its two quantiles.
    D0 : float
        Tokens of the reference models.

    Returns
    -------
    DensityInterval
        No draw is left out: where the reference models never reach the score the density is infinite, where
        the score is no better than chance it is 0.

    Raises
    ------
    ValueError
        If a coefficient is missing, unknown or out of range.

    Examples
    --------
    >>> draws = {"a": 3.0, "alpha": 0.15, "b": 20.0, "beta": 0.18, "c": 0.75, "gamma": -20.0, "d": 0.25}
    >>> draws = {name: np.full(3, value) for name, value in draws.items()} | {"l": [0.34, 0.35, 0.36]}
    >>> found = densing_interval(0.62, 7e9, draws, level=0.5)
    >>> round(found.median, 5), found.lower < found.median < found.upper
    (0.00651, True)
    """
    missing = {*_LOSS, *_SCORE} ^ set(draws)
    if missing:
        raise ValueError(f"draws must hold {', '.join((*_LOSS, *_SCORE))}; at odds: {sorted(missing)}")
    m = len(column("a", draws["a"]))
    given = {name: column(name, value, n=m) for name, value in draws.items()}
    coverage = scalar("level", level, above=0.0, below=1.0)
    score, size, tokens, values = _checked(scalar("S", S), scalar("N", N), scalar("D0", D0), given)
    below, above = score <= values["d"], score >= values["d"] + values["c"]
    with np.errstate(divide="ignore", invalid="ignore"):
        _, reducible = _invert(score, tokens, values)
        rho = (reducible / values["a"]) ** (-1.0 / values["alpha"]) / size
    beyond = above | ~below & (reducible <= 0.0)
    rho = np.where(beyond, np.inf, np.where(below, 0.0, rho))
    # No interpolation between draws: an infinite neighbour would spoil a finite quantile.
    ends = np.quantile(rho, [0.5, 0.5 - 0.5 * coverage, 0.5 + 0.5 * coverage], method="inverted_cdf")
    median, lower, upper = map(float, ends)
    return DensityInterval(median, lower, upper, coverage, float(beyond.mean()), float(below.mean()))


def densing_trend(t: ArrayLike, rho: ArrayLike) -> DensityTrend:
    """Fit the exponential growth of the largest density over release dates.

    Only models that exceed every earlier one enter (Xiao et al. 2024, arXiv:2412.04315, eq. 5; published:
    0.0073 per day, doubling in 95 days). Record holders are chosen by their residuals, so the usual
    intervals are too narrow.

    Parameters
    ----------
    t : array_like, shape (n,)
        Release dates in days since 2023-02-24.
    rho : array_like, shape (n,)
        Densities.

    Returns
    -------
    DensityTrend
        The fit and the models it rests on.

    Raises
    ------
    ValueError
        If a density is not positive or fewer than two models set a record.

    Examples
    --------
    >>> trend = densing_trend([0, 100, 200, 250, 300], [0.1, 0.2, 0.4, 0.1, 0.8])
    >>> round(trend.doubling_days, 3), trend.record.tolist()
    (100.0, [True, True, True, False, True])
    """
    days, density = columns({"rho": {"above": 0.0}}, t=t, rho=rho)
    # Of several models of one day only the densest can hold the record.
    order = np.lexsort((-density, days))
    best = np.maximum.accumulate(density[order])
    record = np.zeros(len(days), bool)
    record[order] = np.concatenate([[True], best[1:] > best[:-1]])
    if record.sum() < 2:
        raise DataError("a trend needs two models that set a record", "rho")
    found = fit(
        laws["densing_growth"],
        {"t": days[record], "rho_max": density[record]},
        residual="log",
        loss=squared(),
        starts={"A": 0.0, "B": 0.0},
    )
    return DensityTrend(found, record, float(np.log(2.0) / found.values["A"]))


def _checked(
    S: ArrayLike, N: ArrayLike, D0: ArrayLike, given: Mapping[str, ArrayLike]
) -> tuple[Floats, Floats, Floats, dict[str, Floats]]:
    """Score, size, tokens and coefficients, broadcast together."""
    arrays = {"S": numbers("S", S), "N": numbers("N", N, above=0.0), "D0": numbers("D0", D0, above=0.0)}
    for name, value in given.items():
        # Scores fall with the loss, so the steepness is negative where the range is positive.
        below = 0.0 if name == "gamma" else None
        above = None if name in ("gamma", "l", "d") else 0.0
        arrays[name] = numbers(name, value, above=above, below=below)
    spread = dict(zip(arrays, same_shape(**arrays), strict=True))
    score, size, tokens = (spread.pop(name) for name in ("S", "N", "D0"))
    return score, size, tokens, spread


def _invert(score: Floats, tokens: Floats, values: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Loss of the score, and the part of it that the size of the reference model has to make up."""
    odds = values["c"] / (score - values["d"]) - 1.0
    loss = values["l"] - np.log(odds) / values["gamma"]
    return loss, loss - values["b"] * tokens ** -values["beta"]
