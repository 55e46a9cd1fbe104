"""Filtering data for a compute budget: pools that differ in quality and wear out with repetition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from ..fit import fit
from ..law import Law
from ..losses import squared
from ..param import Param
from ..result import Fit
from ._check import Floats, Real, column, columns, give, groups, numbers, same_shape, scalar

__all__ = ["FilteringChoice", "FilteringVariant", "best_filtering", "data_filtering", "fit_data_filtering"]

FilteringVariant: TypeAlias = Literal["paper", "code", "discount"]

_VARIANTS = ("paper", "code", "discount")
# Passes beyond which a half-life of any published size has left nothing; also what a formula can hold.
_MOST = 100


@dataclass(frozen=True, eq=False)
class FilteringChoice:
    """How many pools to train on.

    Parameters
    ----------
    order : ndarray of int, shape (p,)
        Pools from the best to the worst.
    errors : ndarray, shape (p,)
        Predicted error with the best pool, the best two, and so on.
    count : int
        How many of the best pools to take.
    error : float
        Predicted error then.
    """

    order: NDArray[np.intp]
    errors: Floats
    count: int
    error: float


def data_filtering(
    n: ArrayLike,
    n_1: ArrayLike,
    *,
    a: float,
    b: ArrayLike,
    tau: ArrayLike,
    d: float,
    variant: FilteringVariant = "paper",
) -> Real:
    """Return the error after training on a pool, or on a union of pools, some of it repeated.

    Pass j has the utility ``b_j = b (1/2)**((j-1)/tau)`` and ends at ``n_j = j n_1`` samples, the last one
    at n; the error is ``a n_1**b_1 prod_j (n_j/n_{j-1})**b_j + d`` (Goyal et al. 2024, arXiv:2404.07177,
    eqs. 2 to 4). In a union of p equal pools a sample comes back p times less often: each half-life becomes
    ``p tau``, and the utility of a pass is the mean over the pools.

    Parameters
    ----------
    n : array_like
        Samples seen, repetitions included.
    n_1 : array_like
        Distinct samples in the pool or union.
    a : float
        Scale, shared by all pools.
    b : array_like, shape () or (p,)
        Utility of each pool, negative: the more negative the better.
    tau : array_like, shape () or (p,)
        Half-life of each pool in passes; infinity for data that never wear out.
    d : float
        Error that remains.
    variant : {"paper", "code", "discount"}
        The equation of the paper; the code released with it, which puts the scale inside, ``(a n/1e5)**b``,
        and adds `d` before the later passes shrink everything; or, for comparison and one pool only, a
        repetition that discounts samples instead of utility, ``a n_eff**b + d``.

    Returns
    -------
    float or ndarray
        Error, in the broadcast shape of `n` and `n_1`.

    Raises
    ------
    ValueError
        If a number is out of range, or there are more than 100000 passes.

    Examples
    --------
    >>> round(data_filtering(5 * 128, 128, a=1.0, b=-0.13, tau=3.0, d=0.1), 6)
    0.565008
    >>> round(data_filtering(3 * 256, 256, a=1.0, b=[-0.15, -0.10], tau=[2.0, 4.0], d=0.1), 6)
    0.546108
    """
    if variant not in _VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(map(repr, _VARIANTS))}, not {variant!r}")
    scale, floor = scalar("a", a, above=0.0), scalar("d", d, least=0.0, below=1.0)
    utility, half = _pools(b, tau)
    seen, fresh = same_shape(n=numbers("n", n, above=0.0), n_1=numbers("n_1", n_1, above=0.0))
    # A ratio that rounding puts just above a whole number is that number of passes.
    passes = np.maximum(1.0, np.ceil(seen / fresh * (1.0 - 1e-12)))
    most = int(passes.max(initial=1.0))
    if most > 100_000:
        raise DataError(f"n / n_1 is {most}: more than 100000 passes over one pool", "n")
    age = np.arange(most)
    last = passes.astype(np.intp) - 1
    if variant == "discount":
        if len(utility) > 1:
            raise ValueError("the variant 'discount' is defined for one pool")
        kept = np.exp2(-age / half[0])
        whole = np.concatenate([[0.0], np.cumsum(kept)])
        effective = fresh * whole[last] + (seen - last * fresh) * kept[last]
        return give(np.asarray(scale * effective ** utility[0] + floor))
    weights = (utility[:, None] * np.exp2(-age / (half[:, None] * len(half)))).mean(axis=0)
    # Logarithm of the whole passes from the second one on, and then of the last, perhaps partial one.
    steps = np.log((age[1:] + 1.0) / age[1:])
    whole = np.concatenate([[0.0, 0.0], np.cumsum(weights[1:] * steps)])[: most + 1]
    first = weights[0] * np.log(np.minimum(seen, fresh))
    with np.errstate(divide="ignore"):
        rest = np.where(last > 0, weights[last] * np.log(seen / (np.maximum(last, 1) * fresh)), 0.0)
    later = whole[last] + rest
    if variant == "paper":
        return give(np.asarray(scale * np.exp(first + later) + floor))
    start = np.exp(first + weights[0] * math.log(scale / 1e5)) + floor
    return give(np.asarray(start * np.exp(later)))


def best_filtering(
    n: float,
    n_1: float,
    *,
    a: float,
    b: ArrayLike,
    tau: ArrayLike,
    d: float,
    variant: FilteringVariant = "paper",
) -> FilteringChoice:
    """Choose how aggressively to filter for a number of training samples.

    Sorts equal pools by utility and predicts the error with the best one, the best two, and so on: a long
    training wears out a small pool, so it wants more, worse data (Goyal et al. 2024, arXiv:2404.07177).

    Parameters
    ----------
    n : float
        Samples to be seen in training.
    n_1 : float
        Distinct samples in each pool.
    a : float
        Scale.
    b, tau : array_like, shape (p,)
        Utility and half-life of each pool.
    d : float
        Error that remains.
    variant : {"paper", "code"}
        As for `data_filtering`.

    Returns
    -------
    FilteringChoice
        The order of the pools and the number to take.

    Raises
    ------
    ValueError
        As for `data_filtering`.

    Examples
    --------
    >>> pools = dict(a=1.0, b=[-0.10, -0.15], tau=[4.0, 2.0], d=0.1)
    >>> best_filtering(128, 128, **pools).count, best_filtering(4096, 128, **pools).count
    (1, 2)
    """
    utility, half = _pools(b, tau)
    fresh = scalar("n_1", n_1, above=0.0)
    order = np.argsort(utility, kind="stable")
    errors = np.empty(len(order))
    for count in range(1, len(order) + 1):
        chosen = order[:count]
        errors[count - 1] = data_filtering(
            scalar("n", n, above=0.0),
            count * fresh,
            a=a,
            b=utility[chosen],
            tau=half[chosen],
            d=d,
            variant=variant,
        )
    best = int(np.argmin(errors))
    return FilteringChoice(order, errors, best + 1, float(errors[best]))


def fit_data_filtering(n: ArrayLike, n_1: ArrayLike, err: ArrayLike, pool: ArrayLike) -> Fit:
    """Fit the utility and half-life of each pool, with the scale and the remaining error shared.

    Parameters
    ----------
    n : array_like, shape (n,)
        Samples seen at each measurement.
    n_1 : array_like, shape (n,)
        Distinct samples in its pool.
    err : array_like, shape (n,)
        Measured error, 0 to 1.
    pool : array_like, shape (n,)
        Label of its pool.

    Returns
    -------
    Fit
        With the values ``a``, ``d``, ``b[label]`` and ``tau[label]`` of the paper's equation, by least
        squares.

    Raises
    ------
    ValueError
        If a column does not fit, a pool was never repeated (its half-life is then undefined), or a run has
        more than 100 passes.

    Notes
    -----
    The authors search a grid, because gradient methods failed them: a, b and d trade off. Judge by
    predictions.

    Examples
    --------
    >>> n = np.tile(128.0 * np.arange(1, 9), 2)
    >>> pool = np.repeat(["good", "bad"], 8)
    >>> err = [data_filtering(x, 128, a=1.0, b=b, tau=t, d=0.1)
    ...        for x, b, t in zip(n, np.repeat([-0.2, -0.1], 8), np.repeat([2.0, 5.0], 8))]
    >>> fit = fit_data_filtering(n, [128.0] * 16, err, pool)
    >>> round(fit.values["tau[good]"], 3), round(fit.values["b[bad]"], 4)
    (2.0, -0.1)
    """
    positive = {"above": 0.0}
    bounds = {"n": positive, "n_1": positive, "err": {"above": 0.0, "most": 1.0}}
    seen, fresh, error = columns(bounds, n=n, n_1=n_1, err=err)
    labels, codes = groups("pool", pool, len(seen))
    passes = np.maximum(1.0, np.ceil(seen / fresh * (1.0 - 1e-12)))
    if passes.max() > _MOST:
        raise DataError(
            f"n: row {int(np.argmax(passes))} has {int(passes.max())} passes; at most {_MOST}", "n"
        )
    for index, label in enumerate(labels):
        if passes[codes == index].max() < 2.0:
            raise DataError(f"the pool {label!r} was never repeated, so its half-life is undefined", "pool")
    most = int(passes.max())
    age = np.arange(1, most + 1, dtype=np.float64)
    ends = np.minimum(seen[:, None], age * fresh[:, None])
    starts = np.maximum(1.0, (age - 1.0) * fresh[:, None])
    starts[:, 0] = 1.0
    ratios = np.where(age <= passes[:, None], np.log(ends / starts), 0.0)
    table = {f"r{j}": ratios[:, j - 1] for j in range(1, most + 1)}
    return fit(
        _law(most),
        {**table, "pool": [str(label) for label in np.array(labels, dtype=object)[codes]], "err": error},
        residual="linear",
        loss=squared(),
    )


@lru_cache(maxsize=8)
def _law(passes: int) -> Law:
    terms = ["r1", *(f"r{j}*exp({-(j - 1) * math.log(2.0)!r}/tau[pool])" for j in range(2, passes + 1))]
    inputs = {
        f"r{j}": f"log of the samples at the end of pass {j} over those at its start"
        for j in range(1, passes + 1)
    }
    return Law(
        f"err ~ a*exp(b[pool]*({' + '.join(terms)})) + d",
        inputs={**inputs, "pool": "label of the pool"},
        params={
            "a": Param("positive", start=(0.05, 20.0), sampling="log", meaning="scale, shared"),
            "b": Param((-2.0, 0.0), start=(-0.5, -0.005), meaning="utility of a pool"),
            "tau": Param("positive", start=(0.5, 50.0), sampling="log", meaning="half-life in passes"),
            "d": Param("unit", start=(0.0, 0.3), meaning="error that remains, shared"),
        },
    )


def _pools(b: ArrayLike, tau: ArrayLike) -> tuple[Floats, Floats]:
    utility = np.atleast_1d(numbers("b", b, below=0.0))
    half = numbers("tau", tau, above=0.0, finite=False)
    if not half.ndim:
        half = np.full(utility.shape, float(half))
    utility = column("b", utility)
    if half.shape != utility.shape:
        raise DataError(f"b has {len(utility)} pools, tau has shape {half.shape}", "tau")
    return utility, half
