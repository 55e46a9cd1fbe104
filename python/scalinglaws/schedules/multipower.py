"""The multi-power law of loss curves: by the exact sum over rate drops, and with a bounded number of terms.

Luo et al. 2025, arXiv:2503.12811:

    L(t) = L0 + A S1(t)^-alpha - B sum_k (eta_{k-1} - eta_k) (1 - (1 + C eta_k^-gamma S_k(t))^-beta),

with S1(t) the sum of the rates up to step t, and S_k(t) that from step k to t. A decay over thousands of
steps has as many terms. `multi_power` replaces them by a few weighted ones, which makes the law an ordinary
formula for `fit`; `loss_reduction` and `multi_power_loss` take the whole sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, near
from .base import Rates, Schedule, one_of, whole
from .quadrature import Drops, drops_of, nodes_of
from .rows import Points, as_points, as_steps, check_steps

if TYPE_CHECKING:
    from ..law import Law

__all__ = [
    "PARAMS",
    "MultiPower",
    "PowerWarmup",
    "check_values",
    "loss_reduction",
    "multi_power",
    "multi_power_law",
    "multi_power_loss",
]

PowerWarmup: TypeAlias = Literal["drops", "rates"]

PARAMS = ("L0", "A", "alpha", "B", "C", "beta", "gamma")
_WARMUPS = ("drops", "rates")
# Elements of the arrays that the exact sum works on at a time: 16 MB each.
_CHUNK = 2_000_000


def loss_reduction(
    schedule: Schedule,
    step: ArrayLike,
    *,
    B: float,
    C: float,
    beta: float,
    gamma: float,
    warmup: PowerWarmup = "drops",
) -> NDArray[np.float64]:
    """Return the loss-reduction term of the multi-power law, by the whole sum.

    Parameters
    ----------
    schedule : Schedule
        The schedule. Rates may be 0 only where no drop leads to them.
    step : int or array_like of int, shape (n,)
        Steps, counted from 0 with the warm-up.
    B, C, beta, gamma : float
        Coefficients, above 0; B is in nats per learning rate.
    warmup : {"drops", "rates"}, default "drops"
        Whether the rising rates of the warm-up count as negative drops, as in the authors' code, which adds
        about B times the peak rate to the loss; or only in the rate sums, as in the paper. Coefficients
        belong to the convention they were fitted with: the released ones need ``"drops"``.

    Returns
    -------
    ndarray of float, shape (n,)
        Nats per token; to be subtracted. Cost grows as n times the number of drops.

    Raises
    ------
    DataError
        If a step lies outside the schedule.
    ValueError
        If the rate falls to 0, or a coefficient is not above 0.

    References
    ----------
    Luo et al. 2025, arXiv:2503.12811, the term LD(t).

    Examples
    --------
    >>> from scalinglaws.schedules import TwoStage
    >>> schedule = TwoStage(16000, peak=3e-4, second=9e-5, switch=8000)
    >>> loss_reduction(schedule, [7999, 8000, 15999], B=523.4, C=2.02, beta=0.594, gamma=0.635).round(6)
    array([0.      , 0.004177, 0.107296])
    """
    _check_schedule(schedule)
    one_of("warmup", warmup, _WARMUPS)
    coefficients = {"B": B, "C": C, "beta": beta, "gamma": gamma}
    check_values(coefficients, tuple(coefficients))
    steps = as_steps(step)
    check_steps(schedule, steps, np.arange(steps.size))
    return B * _exact(_drops(schedule, warmup), steps, C, beta, gamma)


def multi_power_loss(
    schedule: Schedule, step: ArrayLike, values: Mapping[str, float], *, warmup: PowerWarmup = "drops"
) -> NDArray[np.float64]:
    """Return the loss that the multi-power law predicts, by the whole sum.

    Parameters
    ----------
    schedule : Schedule
        The schedule.
    step : int or array_like of int, shape (n,)
        Steps, counted from 0 with the warm-up.
    values : mapping of str to float
        The coefficients L0, A, alpha, B, C, beta and gamma, for example ``fit.values``.
    warmup : {"drops", "rates"}, default "drops"
        As for `loss_reduction`.

    Returns
    -------
    ndarray of float, shape (n,)
        Nats per token.

    Raises
    ------
    DataError
        If a step lies outside the schedule, or no rate up to it is above 0.
    ValueError
        If a coefficient is missing, unknown or not above 0, or the rate falls to 0.

    Examples
    --------
    The released coefficients for 400M parameters, after 16,000 steps of which the last 8,000 have a lower
    rate:

    >>> from scalinglaws.schedules import TwoStage, multi_power_law
    >>> schedule = TwoStage(16000, peak=3e-4, second=9e-5, switch=8000, warmup=2160)
    >>> released = multi_power_law(terms=1).published[2]
    >>> multi_power_loss(schedule, 15999, released.values).round(6)
    array([2.843471])
    """
    _check_schedule(schedule)
    one_of("warmup", warmup, _WARMUPS)
    known = check_values(values)
    steps = as_steps(step)
    check_steps(schedule, steps, np.arange(steps.size))
    drops = _drops(schedule, warmup)
    _check_started(drops, steps, np.arange(steps.size))
    forward = known["L0"] + known["A"] * drops.total[steps] ** -known["alpha"]
    reduction: Rates = forward - known["B"] * _exact(drops, steps, known["C"], known["beta"], known["gamma"])
    return reduction


def multi_power_law(terms: int = 32) -> Law:
    """Return the multi-power law of the catalogue over a number of rate drops.

    Parameters
    ----------
    terms : int, default 32
        Number of drops. One is the law of a two-stage schedule.

    Returns
    -------
    Law
        ``sl.laws.multi_power_law.over(k=terms)``. Inputs S1 and, for k = 1 to `terms`, drop{k} (the rate
        before minus the rate after), rate{k} (the rate after) and area{k} (rate sum from the drop on, the
        drop's step included). Log residuals and Huber(1e-3) as in the paper; its ``published`` are the
        coefficients of the authors' code.

    Notes
    -----
    For given alpha, C, beta and gamma the law is linear in L0, A and B. Curves of constant rate leave B, C,
    beta and gamma open; of C and beta, small arguments show only the product. Judge a fit by what it
    predicts.

    Examples
    --------
    >>> multi_power_law(terms=1).formula
    'L ~ L0 + A * S1**(-alpha) - B * drop1 * (1 - (1 + C * rate1**(-gamma) * area1)**(-beta))'
    """
    from ..laws import laws

    law: Law = laws["multi_power_law"].over(k=whole("terms", terms))
    return law


@dataclass(frozen=True, eq=False)
class MultiPower:
    """The multi-power law with a bounded number of terms, and its columns for the points of some curves.

    Parameters
    ----------
    law : Law
        The law over `terms` drops.
    columns : dict of str to ndarray of float, shape (n,)
        Its inputs.
    terms : int
        Number of terms. Rows that need fewer have terms of weight zero.
    warmup : {"drops", "rates"}
        How the warm-up counts.
    """

    law: Law
    columns: dict[str, NDArray[np.float64]] = field(repr=False)
    terms: int
    warmup: PowerWarmup
    _points: Points = field(repr=False)

    def error(self, values: Mapping[str, float]) -> float:
        """Return the largest error of the bounded number of terms.

        Parameters
        ----------
        values : mapping of str to float
            Coefficients, for example ``fit.values``.

        Returns
        -------
        float
            Largest difference from the whole sum over all rows, nats per token.

        Raises
        ------
        ValueError
            If a coefficient is missing, unknown or not above 0.
        """
        known = check_values(values)
        short = self.law(**known, **self.columns)
        worst = 0.0
        for schedule, rows, steps in self._points:
            whole_sum = multi_power_loss(schedule, steps, known, warmup=self.warmup)
            worst = max(worst, float(np.abs(short[rows] - whole_sum).max()))
        return worst


def multi_power(
    schedules: Mapping[str, Schedule],
    curve: Any,
    step: ArrayLike,
    *,
    warmup: PowerWarmup = "drops",
    terms: int = 32,
) -> MultiPower:
    """Prepare training curves for a fit of the multi-power law.

    Parameters
    ----------
    schedules : mapping of str to Schedule
        Schedule of each curve.
    curve : sequence of str, shape (n,)
        Curve of each logged point.
    step : array_like of int, shape (n,)
        Step of each point, counted from 0 with the warm-up.
    warmup : {"drops", "rates"}, default "drops"
        As for `loss_reduction`. L0 is higher by about B times the peak rate with ``"rates"``.
    terms : int, default 32
        Number of terms that stand for the drops up to a point.

    Returns
    -------
    MultiPower
        The law and its columns: ``fit(made.law, {**made.columns, "L": loss})``. To predict other curves with
        the fit, prepare them with the same `terms` and `warmup`, and call ``fit.predict(other.columns)``.

    Raises
    ------
    DataError
        If a curve has no schedule, a step lies outside it, or no rate up to it is above 0.
    ValueError
        If a rate falls to 0, or turns between rising and falling too often for `terms`.

    Notes
    -----
    A point with no more drops than `terms` keeps all of them; step decays and two stages are exact. Otherwise
    Gauss rules over the measure of the drops replace them. With 32 terms and the released coefficients the
    relative error of the sum was at most 3e-7 for cosines over 24,000 and 72,000 steps, to 0 or a tenth of
    the peak, and for linear, exponential and sqrt-cube decays over 4,000 steps; 5e-6 for a 1-sqrt decay to 0;
    4e-5 for an optimised schedule. For any C in 0.05 to 20, beta in 0.1 to 1.5 and gamma in 0.1 to 1.2 it was
    at most 6e-5. Schedules of many rises and falls leave fewer terms for each: 5e-5 and 2e-3 for five cycles.
    :meth:`MultiPower.error` measures it in nats.

    Examples
    --------
    >>> import numpy as np
    >>> import scalinglaws as sl
    >>> from scalinglaws.schedules import WSD, Constant, Cosine, TwoStage
    >>> schedules = {
    ...     "constant": Constant(6000, peak=3e-4, warmup=500),
    ...     "cosine": Cosine(6000, peak=3e-4, end=3e-5, warmup=500),
    ...     "two": TwoStage(6000, peak=3e-4, second=9e-5, switch=3000, warmup=500),
    ... }
    >>> curve, step = np.repeat(list(schedules), 50), np.tile(np.arange(550, 6000, 110), 3)
    >>> made = multi_power(schedules, curve, step)
    >>> truth = made.law.published[1].values
    >>> made.error(truth) < 1e-7
    True
    >>> L = made.law(**truth, **made.columns)
    >>> fit = sl.fit(made.law, {**made.columns, "L": L}, starts=64)
    >>> round(fit.values["gamma"], 6)
    0.655236
    >>> other = WSD(6000, peak=3e-4, end=3e-5, warmup=500, decay=1000)
    >>> multi_power_loss(other, 5999, fit.values).round(3)
    array([3.171])
    """
    one_of("warmup", warmup, _WARMUPS)
    terms = whole("terms", terms)
    if terms < 1:
        raise ValueError(f"terms must be at least 1, not {terms}")
    points = as_points(schedules, curve, step)
    total = np.empty(points.n)
    drop, rate, area = (np.empty((terms, points.n)) for _ in range(3))
    for schedule, rows, steps in points:
        drops = _drops(schedule, warmup)
        _check_started(drops, steps, rows)
        total[rows] = drops.total[steps]
        # A term of weight zero still has to lie where the formula is defined.
        drop[:, rows], rate[:, rows], area[:, rows] = 0.0, schedule.rates().max(), 1.0
        for row, t in zip(rows.tolist(), steps.tolist(), strict=True):
            nodes = nodes_of(drops, t, terms)
            m = nodes.drop.size
            drop[:m, row], rate[:m, row], area[:m, row] = (
                nodes.drop,
                np.exp(nodes.log_rate),
                np.exp(nodes.log_area),
            )
    columns = {"S1": total}
    for k in range(terms):
        columns |= {f"drop{k + 1}": drop[k], f"rate{k + 1}": rate[k], f"area{k + 1}": area[k]}
    return MultiPower(multi_power_law(terms), columns, terms, warmup, points)


def check_values(values: Mapping[str, float], names: tuple[str, ...] = PARAMS) -> dict[str, float]:
    """Return the coefficients as floats, or raise ValueError naming the one that is wrong."""
    for name in values:
        if name not in names:
            raise ValueError(
                f"values names {name!r}, which the multi-power law does not have.{near(str(name), names)}"
            )
    out = {}
    for name in names:
        if name not in values:
            raise ValueError(f"values lacks {name!r}; the multi-power law has {', '.join(names)}")
        number = float(values[name])
        if not (math.isfinite(number) and number > 0.0):
            raise ValueError(f"{name} must be finite and above 0, not {number!r}")
        out[name] = number
    return out


def _check_schedule(schedule: object) -> None:
    if not isinstance(schedule, Schedule):
        raise TypeError(
            f"schedule must be a Schedule, not {type(schedule).__name__}: FromArray(rates) makes one"
        )


def _check_started(drops: Drops, steps: NDArray[np.intp], rows: NDArray[np.intp]) -> None:
    """Refuse steps up to which every rate is 0: the forward term is infinite there."""
    bad = np.flatnonzero(drops.total[steps] == 0.0)
    if bad.size:
        raise DataError(
            f"step {steps[bad[0]]} in row {rows[bad[0]]}: no rate has been above 0 up to it, "
            "so the law is not defined",
            "step",
            rows[bad[:5]].tolist(),
        )


def _drops(schedule: Schedule, warmup: PowerWarmup) -> Drops:
    return drops_of(schedule.rates(), 1 if warmup == "drops" else schedule.warmup + 1)


def _exact(drops: Drops, steps: NDArray[np.intp], C: float, beta: float, gamma: float) -> Rates:
    """Sum of drop times gain over all drops up to each step."""
    out = np.zeros(steps.size)
    scale = C * np.exp(-gamma * drops.log_rate)
    size = max(1, _CHUNK // max(1, drops.step.size))
    for low in range(0, steps.size, size):
        rows = slice(low, low + size)
        area = drops.total[steps[rows], None] - drops.before[None, :]
        later = drops.step[None, :] > steps[rows, None]
        area[later] = 0.0
        out[rows] = -np.expm1(-beta * np.log1p(scale * area)) @ drops.drop
    return out
