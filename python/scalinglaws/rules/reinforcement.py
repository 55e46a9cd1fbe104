"""The updates-to-data ratio of value-based reinforcement learning that a budget asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ..result import Fit
from ._check import Floats, Real, columns, give, numbers, same_shape, whole
from ._fits import fit_powers

__all__ = ["ValueBudget", "value_rl_budget", "value_rl_cost", "value_rl_trend"]


@dataclass(frozen=True, eq=False)
class ValueBudget:
    """What a performance level costs at an updates-to-data ratio.

    Parameters
    ----------
    sigma : float or ndarray
        Gradient updates per environment step.
    data : float or ndarray
        Environment steps.
    compute : float or ndarray
        FLOPs of training.
    budget : float or ndarray
        FLOPs, with each environment step priced at `delta`.
    """

    sigma: Real
    data: Real
    compute: Real
    budget: Real


def value_rl_cost(
    sigma: ArrayLike,
    D_min: ArrayLike,
    beta: ArrayLike,
    alpha: ArrayLike,
    *,
    P: ArrayLike,
    B0: ArrayLike,
    a_B: ArrayLike,
    delta: ArrayLike,
) -> ValueBudget:
    """Return data, compute and budget of a performance level at an updates-to-data ratio.

    Data follow the law ``value_rl``, ``D = D_min (1 + (beta/sigma)**alpha)``; compute is ``10 P B0
    sigma**(1 - a_B) D``; the budget adds ``delta D`` (Rybkin et al. 2025, arXiv:2502.04327). Over a range of
    `sigma` the pairs of compute and data are the Pareto front.

    Parameters
    ----------
    sigma : array_like
        Gradient updates per environment step.
    D_min, beta, alpha : array_like
        Coefficients of ``value_rl`` for the performance level.
    P : array_like
        Parameters of the critic.
    B0, a_B : array_like
        Batch size ``B0 * sigma**(-a_B)``.
    delta : array_like
        Price of an environment step in FLOPs; may be 0.

    Returns
    -------
    ValueBudget
        Costs in the broadcast shape.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> cost = value_rl_cost(2.0, 1e5, 2.0, 1.0, P=1e5, B0=256, a_B=0.0, delta=1e9)
    >>> cost.data, cost.compute
    (200000.0, 102400000000000.0)
    """
    ratio, *rest = _checked(sigma, D_min, beta, alpha, P, B0, a_B, delta)
    return _cost(ratio, *rest)


def value_rl_budget(
    D_min: ArrayLike,
    beta: ArrayLike,
    alpha: ArrayLike,
    *,
    P: ArrayLike,
    B0: ArrayLike,
    a_B: ArrayLike,
    delta: ArrayLike,
) -> ValueBudget:
    """Return the updates-to-data ratio of the least budget, and what it costs.

    The budget of `value_rl_cost` has one minimum in sigma for ``a_B < 1``. In the logarithm of sigma it is
    where ``alpha u/(1 + u) = (1 - a_B) k/(k + delta)``, ``u = (beta/sigma)**alpha``, ``k = 10 P B0 sigma**(1
    - a_B)`` (Rybkin et al. 2025, arXiv:2502.04327).

    Parameters
    ----------
    D_min, beta, alpha : array_like
        Coefficients of the law ``value_rl`` for the performance level.
    P : array_like
        Parameters of the critic.
    B0, a_B : array_like
        Batch size ``B0 * sigma**(-a_B)``, `a_B` below 1.
    delta : array_like
        Price of an environment step in FLOPs, positive: free data would ask for as few updates as possible.

    Returns
    -------
    ValueBudget
        The optimum in the broadcast shape.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> best = value_rl_budget(217000, 2.192406, 0.700377, P=150000, B0=365.95, a_B=0.3096, delta=4e9)
    >>> round(best.sigma, 3), round(best.data / 1e3, 1)
    (6.288, 320.7)
    """
    _, *arrays = _checked(1.0, D_min, beta, alpha, P, B0, a_B, delta)
    floor, scale, exponent, size, batch, shrink, price = arrays
    if np.any(shrink >= 1.0):
        raise DataError(
            "a_B must be below 1: else more updates cost no more compute, and there is no optimum", "a_B"
        )
    if np.any(price <= 0.0):
        raise DataError("delta must be positive: with free data the least budget has no updates", "delta")
    grow = 1.0 - shrink
    # The two sides are logistic functions of log sigma, one falling and one rising: bisection cannot fail.
    # Two hundred halvings end at neighbouring numbers from any width below 1e40.
    centre = np.log(scale)
    crossing = (np.log(price) - np.log(10.0 * size * batch)) / grow
    reach = (60.0 + np.abs(np.log(exponent / grow))) * (1.0 + 1.0 / exponent + 1.0 / grow)
    low, high = np.minimum(centre, crossing) - reach, np.maximum(centre, crossing) + reach
    for _ in range(200):
        middle = 0.5 * (low + high)
        more = exponent * _logistic(exponent * (centre - middle)) > grow * _logistic(
            grow * (middle - crossing)
        )
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    with np.errstate(over="ignore", under="ignore"):
        sigma = np.exp(0.5 * (low + high))
    if not np.all((sigma > 1e-300) & (sigma < 1e300)):
        raise DataError("the least budget lies at a ratio too small or too large for a number", "beta")
    return _cost(sigma, floor, scale, exponent, size, batch, shrink, price)


def value_rl_trend(budget: ArrayLike, sigma: ArrayLike, *, hold_out: int = 0) -> Fit:
    """Fit the optimal updates-to-data ratio as a power of the budget, to extrapolate it.

    One pair of numbers for each performance level, from `value_rl_budget`. Rybkin et al. 2025
    (arXiv:2502.04327) leave out the top levels and predict them; the exponent is 0.62 on Gym and -0.74 on
    DMC, so its sign depends on the task.

    Parameters
    ----------
    budget : array_like, shape (n,)
        Least budgets, FLOPs.
    sigma : array_like, shape (n,)
        Optimal ratios.
    hold_out : int
        How many of the largest budgets to leave out.

    Returns
    -------
    Fit
        Of ``c * x1**a1`` by least squares of logarithms.

    Raises
    ------
    ValueError
        If a number is not positive or fewer than two levels are left.

    Examples
    --------
    >>> trend = value_rl_trend([1e14, 1e15, 1e16, 1e17], [1.0, 2.0, 4.0, 9.0], hold_out=1)
    >>> round(trend.values["a1"], 4), round(trend.predict({"budget": 1e17}).mean, 3)
    (0.301, 8.0)
    """
    positive = {"above": 0.0}
    spent, ratio = columns({"budget": positive, "sigma": positive}, budget=budget, sigma=sigma)
    keep = np.argsort(spent, kind="stable")[: len(spent) - whole("hold_out", hold_out)]
    if len(np.unique(spent[keep])) < 2:
        raise DataError("a power law needs two budgets besides those held out", "budget")
    return fit_powers(ratio[keep], {"budget": spent[keep]})


def _checked(
    sigma: ArrayLike,
    D_min: ArrayLike,
    beta: ArrayLike,
    alpha: ArrayLike,
    P: ArrayLike,
    B0: ArrayLike,
    a_B: ArrayLike,
    delta: ArrayLike,
) -> list[Floats]:
    positive = {"sigma": sigma, "D_min": D_min, "beta": beta, "alpha": alpha, "P": P, "B0": B0}
    arrays = {name: numbers(name, value, above=0.0) for name, value in positive.items()}
    return same_shape(**arrays, a_B=numbers("a_B", a_B), delta=numbers("delta", delta, least=0.0))


def _cost(
    sigma: Floats,
    D_min: Floats,
    beta: Floats,
    alpha: Floats,
    P: Floats,
    B0: Floats,
    a_B: Floats,
    delta: Floats,
) -> ValueBudget:
    data = D_min * (1.0 + (beta / sigma) ** alpha)
    compute = 10.0 * P * B0 * sigma ** (1.0 - a_B) * data
    return ValueBudget(give(sigma), give(data), give(compute), give(np.asarray(compute + delta * data)))


def _logistic(x: Floats) -> Floats:
    """Logistic function, from the side that does not overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, small) / (1.0 + small)
