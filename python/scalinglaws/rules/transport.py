"""Entropic optimal transport between two samples, with the potentials that say which points cost most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ._check import Floats, column, groups, numbers, scalar, whole

__all__ = ["Transport", "entropic_transport", "source_gradient"]


@dataclass(frozen=True, eq=False)
class Transport:
    """Optimal plan between two weighted samples.

    Parameters
    ----------
    distance : float
        Regularised cost, cost of the plan plus `epsilon` times its relative entropy to the product of the
        weights.
    cost : float
        Cost of the plan alone.
    f, g : ndarray, shape (n,) and (m,)
        Dual potentials: how much `distance` grows with the weight of each point, up to a constant.
    iterations : int
        Sweeps that were needed.
    """

    distance: float
    cost: float
    f: Floats
    g: Floats
    iterations: int


def entropic_transport(
    cost: ArrayLike,
    epsilon: float,
    *,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    tolerance: float = 1e-9,
    max_iter: int = 100_000,
) -> Transport:
    """Return the entropic optimal-transport distance of two samples, by Sinkhorn's iteration in logarithms.

    Parameters
    ----------
    cost : array_like, shape (n, m)
        Cost of moving a unit between each pair of points. A label-aware distance adds to the squared
        distance of the features one of the labels.
    epsilon : float
        Strength of the entropy, in the unit of the cost.
    a, b : array_like, shape (n,) and (m,), optional
        Positive weights of the points, divided by their sum; equal if not given.
    tolerance : float
        Largest error of the plan's marginals, relative to the weights.
    max_iter : int
        Limit on the sweeps.

    Returns
    -------
    Transport
        Distance and potentials.

    Raises
    ------
    ValueError
        If a shape does not fit, a weight is not positive, or the limit is reached.

    Examples
    --------
    >>> x, y = np.array([0.0, 1.0]), np.array([0.0, 1.0])
    >>> found = entropic_transport((x[:, None] - y) ** 2, epsilon=0.01)
    >>> round(found.cost, 6), round(found.distance, 6)
    (0.0, 0.006931)
    """
    table = numbers("cost", cost)
    if table.ndim != 2 or not table.size:
        raise DataError(f"cost must be a table of pairs, not of shape {table.shape}", "cost")
    n, m = table.shape
    strength = scalar("epsilon", epsilon, above=0.0)
    near = scalar("tolerance", tolerance, above=0.0)
    rows = np.full(n, 1.0 / n) if a is None else column("a", a, n=n, above=0.0)
    cols = np.full(m, 1.0 / m) if b is None else column("b", b, n=m, above=0.0)
    rows, cols = rows / rows.sum(), cols / cols.sum()
    log_rows, log_cols, scaled = np.log(rows), np.log(cols), table / strength
    u, v = np.zeros(n), np.zeros(m)
    limit, sweeps, settled = whole("max_iter", max_iter, least=1), 0, False
    while not settled:
        if sweeps == limit:
            raise DataError(
                f"Sinkhorn's iteration did not settle in {limit} sweeps: raise epsilon = {strength:g} or "
                "max_iter",
                "epsilon",
            )
        sweeps += 1
        u = -_log_sum(v + log_cols - scaled, 1)
        # The rows fit exactly after the first half of a sweep, the columns after the second: one is left to
        # check.
        misfit = _log_sum(u[:, None] + log_rows[:, None] - scaled, 0) + v
        v = v - misfit
        settled = bool(np.abs(misfit).max() < near)
    plan = np.exp(u[:, None] + v - scaled + log_rows[:, None] + log_cols)
    distance = strength * float(u @ rows + v @ cols)
    return Transport(distance, float(np.sum(plan * table)), strength * u, strength * v, sweeps)


def source_gradient(f: ArrayLike, source: ArrayLike) -> dict[str, float]:
    """Return how a distance changes when one source of a mixture grows at the expense of all others.

    For each source the mean potential of its points minus the mean potential of all other points (Kang et
    al. 2023, arXiv:2307.02460): the derivative by the share of the source, the others shrinking together.

    Parameters
    ----------
    f : array_like, shape (n,)
        Potentials of the points of the mixture, from `entropic_transport` with equal weights.
    source : array_like, shape (n,)
        Label of each point's source; at least two.

    Returns
    -------
    dict of str to float
        Derivative for each source, in order of appearance.

    Raises
    ------
    ValueError
        If there is only one source, or the lengths differ.

    Examples
    --------
    >>> source_gradient([1.0, 3.0, 0.0, 0.0], ["web", "web", "code", "books"])
    {'web': 2.0, 'code': -1.3333333333333333, 'books': -1.3333333333333333}
    """
    potentials = column("f", f)
    labels, codes = groups("source", source, len(potentials))
    if len(labels) < 2:
        raise DataError("source must hold two labels: one source has nothing to grow against", "source")
    return {
        str(label): float(potentials[codes == index].mean() - potentials[codes != index].mean())
        for index, label in enumerate(labels)
    }


def _log_sum(values: Floats, axis: int) -> Floats:
    """Logarithm of a sum of exponentials of finite values; without the checks of scipy, for speed."""
    top = values.max(axis=axis, keepdims=True)
    total = np.log(np.exp(values - top).sum(axis=axis))
    return np.asarray(total + np.squeeze(top, axis))
