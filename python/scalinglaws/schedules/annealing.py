"""Features of the annealing law: the forward area S1 and the annealing area S2 of a schedule.

Tissue, Wang and Wang 2024, arXiv:2408.11029; the definitions follow the authors' later paper,
arXiv:2505.07796, eq. 1. The law itself is ``sl.laws.lr_annealing``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FitWarning
from .base import Rates, Schedule, one_of, whole
from .rows import as_points

if TYPE_CHECKING:
    from ..law import Law
    from ..result import Fit

__all__ = ["AnnealingFit", "AnnealingWarmup", "annealing_columns", "annealing_features", "fit_annealing"]

AnnealingWarmup: TypeAlias = Literal["peak", "rates"]

_WARMUPS = ("peak", "rates")
LAMS = (0.99, 0.995, 0.999, 0.9995, 0.9999)


def annealing_features(
    schedule: Schedule, *, lam: float = 0.999, warmup: AnnealingWarmup = "peak", every: int = 1
) -> tuple[Rates, Rates]:
    """Return the forward area S1 and the annealing area S2 at every step.

    With the rates eta_1, eta_2, ... after the warm-up, S1(s) sums eta_i up to and with step s, and S2(s) sums
    the momentum m_i, where m_1 = 0 and m_i = lam m_{i-1} + (eta_{i-1} - eta_i).

    Parameters
    ----------
    schedule : Schedule
        The schedule.
    lam : float, default 0.999
        Decay of the momentum per step, from 0 to below 1. The authors hold it at 0.999.
    warmup : {"peak", "rates"}, default "peak"
        What S1 counts for a warm-up step: the rate that holds at its end, as the authors' script does, or the
        step's own rate. The ramp never enters S2, where its rising rates would count as negative drops.
    every : int, default 1
        The entries of the schedule lie this many optimiser steps apart; the sums are scaled to whole steps.

    Returns
    -------
    S1, S2 : ndarray of float, shape (steps,)
        Learning-rate units. The value at a step includes that step.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range.

    Notes
    -----
    Rates that rise again after the warm-up lower S2; this is part of the law.

    References
    ----------
    Wang, Tissue et al. 2025, arXiv:2505.07796, eq. 1.

    Examples
    --------
    >>> from scalinglaws.schedules import FromArray
    >>> S1, S2 = annealing_features(FromArray([1.0, 1.0, 0.5, 0.25, 0.25]), lam=0.9)
    >>> S1
    array([1.  , 2.  , 2.5 , 2.75, 3.  ])
    >>> S2.round(12)
    array([0.  , 0.  , 0.5 , 1.2 , 1.83])
    """
    if not isinstance(schedule, Schedule):
        raise TypeError(
            f"schedule must be a Schedule, not {type(schedule).__name__}: FromArray(rates) makes one"
        )
    if isinstance(lam, bool) or not isinstance(lam, (int, float, np.floating)) or not 0.0 <= lam < 1.0:
        raise ValueError(f"lam must lie between 0 and 1, 1 excluded, not {lam!r}")
    one_of("warmup", warmup, _WARMUPS)
    every = whole("every", every)
    if every < 1:
        raise ValueError(f"every must be at least 1, not {every}")
    rates = schedule.rates()
    start = schedule.warmup
    drops = np.zeros_like(rates)
    drops[start + 1 :] = rates[start:-1] - rates[start + 1 :]
    factor = float(lam) ** every
    momentum = np.fromiter(
        accumulate(drops.tolist(), lambda before, drop: factor * before + drop), float, rates.size
    )
    if warmup == "peak":
        rates[:start] = rates[start]
    return every * np.cumsum(rates), every * np.cumsum(momentum)


def annealing_columns(
    schedules: Mapping[str, Schedule],
    curve: Any,
    step: ArrayLike,
    *,
    lam: float = 0.999,
    warmup: AnnealingWarmup = "peak",
) -> dict[str, NDArray[np.float64]]:
    """Return the columns S1 and S2 for the logged points of several curves.

    Parameters
    ----------
    schedules : mapping of str to Schedule
        Schedule of each curve.
    curve : sequence of str, shape (n,)
        Curve of each point.
    step : array_like of int, shape (n,)
        Step of each point, counted from 0 with the warm-up: the loss after 1,000 steps is that of step 999.
    lam, warmup
        As for `annealing_features`.

    Returns
    -------
    dict of str to ndarray of float, shape (n,)
        ``{"S1": ..., "S2": ...}``.

    Raises
    ------
    DataError
        If a curve has no schedule or a step lies outside it.

    Examples
    --------
    >>> from scalinglaws.schedules import Constant, Cosine
    >>> schedules = {"flat": Constant(1000, peak=2e-4), "cos": Cosine(1000, peak=2e-4)}
    >>> columns = annealing_columns(schedules, ["flat", "cos"], [999, 999])
    >>> columns["S1"].round(6), columns["S2"].round(6)
    (array([0.2   , 0.1001]), array([0.      , 0.075763]))
    """
    points = as_points(schedules, curve, step)
    S1, S2 = np.empty(points.n), np.empty(points.n)
    for schedule, rows, steps in points:
        forward, annealed = annealing_features(schedule, lam=lam, warmup=warmup)
        S1[rows], S2[rows] = forward[steps], annealed[steps]
    return {"S1": S1, "S2": S2}


@dataclass(frozen=True, eq=False)
class AnnealingFit:
    """The annealing law with its decay factor chosen by the objective.

    Parameters
    ----------
    lam : float
        Decay factor of the lowest objective.
    fit : Fit
        The fit with it.
    fits : dict of float to Fit
        All of them.
    """

    lam: float
    fit: Fit
    fits: dict[float, Fit] = field(repr=False)

    @property
    def objectives(self) -> dict[float, float]:
        """Objective of each decay factor that was tried."""
        return {lam: fit.objective for lam, fit in self.fits.items()}

    @property
    def at_edge(self) -> bool:
        """Whether the best decay factor ends the list that was tried, so that one beyond may be better."""
        return len(self.fits) > 1 and self.lam in (min(self.fits), max(self.fits))


def fit_annealing(
    schedules: Mapping[str, Schedule],
    curve: Any,
    step: ArrayLike,
    L: ArrayLike,
    *,
    lams: Sequence[float] = LAMS,
    warmup: AnnealingWarmup = "peak",
    law: Law | str = "lr_annealing",
    **options: Any,
) -> AnnealingFit:
    """Fit the annealing law to training curves, with the decay factor from a list.

    The decay factor enters the features and not the formula, so each one is a fit of its own; that of the
    lowest objective is kept.

    Parameters
    ----------
    schedules : mapping of str to Schedule
        Schedule of each curve.
    curve : sequence of str, shape (n,)
        Curve of each point. A curve of constant rate and an annealed one determine the law; a constant one
        alone says nothing about C.
    step : array_like of int, shape (n,)
        Step of each point, counted from 0 with the warm-up. Leave points within the warm-up out.
    L : array_like of float, shape (n,)
        Loss of each point, nats per token.
    lams : sequence of float
        Decay factors to try; ``(0.999,)`` is the choice of arXiv:2408.11029.
    warmup : {"peak", "rates"}, default "peak"
        As for `annealing_features`.
    law : Law or str, default "lr_annealing"
        A law with the inputs S1 and S2.
    **options
        Passed on to `fit`: ``residual``, ``loss``, ``starts`` and so on.

    Returns
    -------
    AnnealingFit
        The best fit, and all of them.

    Raises
    ------
    DataError
        If the points do not fit the schedules, or the losses cannot be fitted.
    ValueError
        If `lams` is empty or holds a number that is not from 0 to below 1.

    Warns
    -----
    FitWarning
        If the best fit is not valid.

    Examples
    --------
    >>> import numpy as np
    >>> import scalinglaws as sl
    >>> from scalinglaws.schedules import Constant, Cosine
    >>> law = sl.Law("L ~ L0 + A * S1**(-alpha) - C * S2", params={
    ...     "L0": sl.Param("positive", start=(0.5, 5)),
    ...     "A": sl.Param("positive", start=(0.01, 5), sampling="log"),
    ...     "alpha": sl.Param("positive", start=(0.1, 1.5)),
    ...     "C": sl.Param("positive", start=(0.001, 5), sampling="log"),
    ... })
    >>> schedules = {"flat": Constant(9000, peak=2e-4), "cos": Cosine(9000, peak=2e-4)}
    >>> curve, step = np.repeat(["flat", "cos"], 40), np.tile(np.arange(224, 9000, 225), 2)
    >>> columns = annealing_columns(schedules, curve, step, lam=0.995)
    >>> L = law(L0=2.6, A=0.4, alpha=0.5, C=2.0, **columns)
    >>> best = fit_annealing(schedules, curve, step, L, law=law, residual="log", starts=64)
    >>> best.lam, round(best.fit.values["C"], 6)
    (0.995, 2.0)
    """
    from ..laws import as_law
    from ..recipe import fit_quietly

    if not len(lams):
        raise ValueError("lams is empty: name at least one decay factor")
    law = as_law(law)
    fits: dict[float, Fit] = {}
    # Only the fit that is kept has to be warned of.
    for lam in lams:
        columns = annealing_columns(schedules, curve, step, lam=lam, warmup=warmup)
        fits[float(lam)] = fit_quietly(law, {**columns, law.target or "L": np.asarray(L)}, **options)
    lam = min(fits, key=lambda key: fits[key].objective)
    if not fits[lam].valid:
        warnings.warn(f"the fit is not valid: {fits[lam].message}", FitWarning, stacklevel=2)
    return AnnealingFit(lam, fits[lam], fits)
