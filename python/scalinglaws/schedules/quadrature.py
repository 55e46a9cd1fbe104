"""Few weighted points in place of the thousands of rate drops of a schedule.

The multi-power law sums ``drop_k * g(log(C) - gamma * log(rate_k) + log(area_k))`` over all steps k up to the
logged one, t, with a smooth g, and area_k the sum of the rates from k to t. Along a run of steps on which the
rate only falls, or only rises, the sum is an integral of a smooth function against the discrete measure of
the drops. Its coordinate is ``u = -log(area_k) +- log(rate_k)``, with the sign that lets both parts grow
along the run: how fast the argument of g changes is then bounded for any gamma up to about one. Each run is
cut into panels of equal length in u, and each panel is replaced by the Gauss rule of its own drops: exact for
polynomials in u of degree 2n - 1, of positive weights, and without any assumption on the drops. Panels with
few steps keep them as they are. Many equal rates cost nothing, a step decay is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .base import Rates

__all__ = ["Drops", "Nodes", "drops_of", "nodes_of"]

# Points of the rule of one panel, the first choice first. Eight points on long panels beat four on short ones
# at an equal number of points; schedules of many stretches leave room for fewer on each.
_ORDERS = (8, 4, 2)


@dataclass(frozen=True, eq=False)
class Drops:
    """The steps of a schedule at which the rate changes.

    Parameters
    ----------
    step : ndarray of int, shape (m,)
        The steps k, rising.
    drop : ndarray of float, shape (m,)
        rate[k-1] - rate[k], negative where the rate rises; never 0.
    log_rate : ndarray of float, shape (m,)
        Logarithm of rate[k].
    before : ndarray of float, shape (m,)
        Sum of the rates of all steps before k.
    total : ndarray of float, shape (steps,)
        Sum of the rates up to and with each step, warm-up included.
    """

    step: NDArray[np.intp]
    drop: Rates
    log_rate: Rates
    before: Rates
    total: Rates

    def until(self, t: int) -> tuple[slice, Rates]:
        """Return which drops count at step t, and the logarithm of their areas."""
        many = slice(0, int(np.searchsorted(self.step, t, side="right")))
        # At least the rate of its first step, also where the difference of two long sums has lost that.
        area = np.maximum(self.total[t] - self.before[many], np.exp(self.log_rate[many]))
        return many, np.log(area)


@dataclass(frozen=True, eq=False)
class Nodes:
    """Weighted points that stand for the drops up to one step.

    Parameters
    ----------
    drop, log_rate, log_area : ndarray of float, shape (m,)
        Weight of each point, negative on rising rates, and where it lies.
    """

    drop: Rates
    log_rate: Rates
    log_area: Rates


def drops_of(rates: Rates, first: int) -> Drops:
    """Return the drops of a schedule.

    Parameters
    ----------
    rates : ndarray of float, shape (steps,)
        Learning rate of each step.
    first : int
        The first step whose drop counts, at least 1.

    Returns
    -------
    Drops
        Steps of equal rates are left out.

    Raises
    ------
    ValueError
        If the rate falls to zero, where the law is not defined.
    """
    total = np.cumsum(rates)
    drop = np.zeros_like(rates)
    drop[first:] = rates[first - 1 : -1] - rates[first:]
    step = np.flatnonzero(drop)
    gone = step[rates[step] == 0.0]
    if gone.size:
        raise ValueError(
            f"the rate falls to 0 at step {gone[0]}, where the multi-power law is not defined: "
            "end the decay at a small positive rate"
        )
    return Drops(step, drop[step], np.log(rates[step]), total[step] - rates[step], total)


def nodes_of(drops: Drops, t: int, terms: int) -> Nodes:
    """Return at most `terms` points that stand for the drops up to step t.

    Parameters
    ----------
    drops : Drops
        The drops of the schedule.
    t : int
        The step at which the loss is wanted.
    terms : int
        How many points there may be.

    Returns
    -------
    Nodes
        The drops themselves if they are few enough.

    Raises
    ------
    ValueError
        If the rate changes direction so often that the points do not suffice.
    """
    many, log_area = drops.until(t)
    step, drop, log_rate = drops.step[many], drops.drop[many], drops.log_rate[many]
    if step.size <= terms:
        return Nodes(drop, log_rate, log_area)
    falling = drop > 0.0
    u = np.where(falling, -log_rate, log_rate) - log_area
    turns, gaps = falling[1:] != falling[:-1], np.diff(step) > 1
    # A stretch of equal rates bends the path of g, so a panel does best not to lie across one. Schedules with
    # more stretches than panels have to put up with it; a panel across a turn would be meaningless.
    for cut, order in product((turns | gaps, turns), _ORDERS):
        inner = np.flatnonzero(cut) + 1
        starts, stops = np.concatenate([[0], inner]), np.concatenate([inner, [step.size]])
        panels = _panels(u[stops - 1] - u[starts], stops - starts, order, terms)
        if panels is not None:
            break
    else:
        raise ValueError(
            f"the rate turns {starts.size - 1} times between rising and falling up to step {t}: "
            f"raise terms above {terms}"
        )
    parts: list[tuple[Rates, Rates, Rates]] = []
    for start, stop, count in zip(starts.tolist(), stops.tolist(), panels.tolist(), strict=True):
        edges = np.linspace(u[start], u[stop - 1], count + 1)[1:-1]
        inner = np.searchsorted(u[start:stop], edges) + start
        for low, high in zip([start, *inner.tolist()], [*inner.tolist(), stop], strict=True):
            if high - low <= order:
                parts.append((drop[low:high], log_rate[low:high], log_area[low:high]))
            else:
                where, weights = _gauss(u[low:high], np.abs(drop[low:high]), order)
                parts.append(
                    (
                        weights if falling[low] else -weights,
                        np.interp(where, u[low:high], log_rate[low:high]),
                        np.interp(where, u[low:high], log_area[low:high]),
                    )
                )
    return Nodes(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _panels(lengths: Rates, sizes: NDArray[np.intp], order: int, terms: int) -> NDArray[np.intp] | None:
    """Divide each run into panels of one length, as short as the budget allows; None if none fits."""

    def count(length: float) -> NDArray[np.intp]:
        return np.maximum(1, np.ceil(lengths / length)).astype(np.intp)

    def fits(length: float) -> bool:
        return int(np.minimum(sizes, order * count(length)).sum()) <= terms

    low, high = 1e-6, 1e6
    if not fits(high):
        return None
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if fits(middle) else (middle, high)
    return count(high)


def _gauss(u: Rates, weights: Rates, order: int) -> tuple[Rates, Rates]:
    """Nodes and weights of the Gauss rule of a discrete measure, by the Stieltjes procedure."""
    middle, half = 0.5 * (u[0] + u[-1]), 0.5 * (u[-1] - u[0])
    x = (u - middle) / half
    mass = float(weights.sum())
    diagonal, beside = np.empty(order), np.empty(order - 1)
    before, now, norm = np.zeros_like(x), np.ones_like(x), mass
    for i in range(order):
        squared = weights * now * now
        diagonal[i] = float(squared @ x) / norm
        if i + 1 < order:
            before, now = now, (x - diagonal[i]) * now - (beside[i - 1] if i else 0.0) * before
            norm, last = float(weights @ (now * now)), norm
            beside[i] = norm / last
    jacobi = np.diag(diagonal)
    jacobi += np.diag(np.sqrt(beside), 1) + np.diag(np.sqrt(beside), -1)
    nodes, vectors = np.linalg.eigh(jacobi)
    return middle + half * nodes, mass * vectors[0] ** 2
