"""From a sweep of one hyper-parameter, or a grid of several, to its optimum and what it costs to miss it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from ..result import Fit
from ._check import Floats, Real, columns, give, groups, numbers, scalar, whole
from ._fits import fit_vertex

if TYPE_CHECKING:
    from ..starts import Rng

__all__ = [
    "GridOptimum",
    "InterpolatedOptimum",
    "SweepOptimum",
    "near_optimal",
    "optimum_by_interpolation",
    "optimum_from_grid",
    "optimum_from_sweep",
]

_LN2 = math.log(2.0)


@dataclass(frozen=True, eq=False)
class SweepOptimum:
    """Optimum of one hyper-parameter from a parabola in its logarithm.

    Parameters
    ----------
    x : float
        The optimum, in the unit of the hyper-parameter.
    log2_x : float
        Its logarithm to base 2.
    loss : float
        Loss of the parabola there.
    curvature : float
        Coefficient p2 of the parabola ``p0 + p1 z + p2 z**2``, z the logarithm to base 2.
    stderr_log : float
        Standard error of the natural logarithm of `x`; NaN if the parabola passes through all its points.
    points : int
        How many values of the hyper-parameter were used.
    fit : Fit
        The fitted parabola, in coordinates of its own.
    """

    x: float
    log2_x: float
    loss: float
    curvature: float
    stderr_log: float
    points: int
    fit: Fit

    def plateau(self, tolerance: ArrayLike) -> tuple[Real, Real]:
        """Return the range in which the parabola stays near its minimum.

        Parameters
        ----------
        tolerance : array_like
            Relative excess of the loss, for example 0.0025.

        Returns
        -------
        low, high : float or ndarray
            Ends of the range, in the unit of `x`.

        Raises
        ------
        ValueError
            If `tolerance` is negative, or the minimum loss is not positive.
        """
        share = numbers("tolerance", tolerance, least=0.0)
        if self.loss <= 0.0:
            raise DataError(f"a relative tolerance needs a positive minimum loss, not {self.loss:g}", "loss")
        half = np.sqrt(share * self.loss / self.curvature)
        return give(np.exp2(self.log2_x - half)), give(np.exp2(self.log2_x + half))


@dataclass(frozen=True, eq=False)
class GridOptimum:
    """Optimum of several hyper-parameters from a quadratic in their logarithms.

    Parameters
    ----------
    x : dict of str to float
        The optimum by hyper-parameter.
    loss : float
        Loss of the quadratic there.
    stderr_log : dict of str to float
        Standard errors of the natural logarithms; NaN without spare runs.
    hessian : ndarray, shape (k, k)
        Second derivatives of the loss by the natural logarithms, in the order of `x`.
    runs : int
        How many runs were used.
    fit : Fit
        The fitted quadratic, in coordinates of its own.
    """

    x: dict[str, float]
    loss: float
    stderr_log: dict[str, float]
    hessian: Floats
    runs: int
    fit: Fit


@dataclass(frozen=True, eq=False)
class InterpolatedOptimum:
    """Optimum of one hyper-parameter from an interpolated sweep.

    Parameters
    ----------
    x : float
        Minimum of the curve through the losses.
    loss : float
        Loss there.
    stderr_log : float
        Standard deviation of the natural logarithm of the optimum over noisy repetitions, but at least a
        third of the mean grid spacing.
    draws : ndarray
        Optima of the repetitions that lie inside the grid.
    border : float
        Share of the repetitions whose optimum lay on the border and is left out of `draws`.
    """

    x: float
    loss: float
    stderr_log: float
    draws: Floats
    border: float


def optimum_from_sweep(
    x: ArrayLike, L: ArrayLike, *, within: float | None = None, neighbours: int | None = None
) -> SweepOptimum:
    """Return the optimum of a hyper-parameter as the vertex of a parabola in its logarithm.

    For each value of `x` the lowest loss counts (over repetitions and over all other hyper-parameters). Used
    for batch sizes by Charles et al. 2025 (arXiv:2503.09799, section 6.1) and for learning rates by Bjorck et
    al. 2024 (arXiv:2409.19913).

    Parameters
    ----------
    x : array_like, shape (n,)
        Positive values of the hyper-parameter.
    L : array_like, shape (n,)
        Final losses.
    within : float, optional
        Use only values whose loss lies within this distance of the lowest, in the unit of the loss.
    neighbours : int, optional
        Use only the best value and this many on each side of it.

    Returns
    -------
    SweepOptimum
        The optimum and its error.

    Raises
    ------
    ValueError
        If fewer than three values are left, the parabola opens downwards, or its vertex lies outside the
        grid: then the sweep has to be wider.

    Notes
    -----
    For a power law of the optimum across model sizes, weight each optimum by ``1 / stderr_log**2``. Seeds of
    one setting are better resampled than read off the parabola's error.

    Examples
    --------
    >>> best = optimum_from_sweep([2**17, 2**18, 2**19], [2.66, 2.653, 2.6595])
    >>> round(best.log2_x, 6), round(best.loss, 6)
    (18.018519, 2.652998)
    >>> low, high = best.plateau(0.001)
    >>> round(high / low, 2)
    2.38
    """
    values, losses = _lowest(x, L)
    keep = np.ones(len(values), bool)
    best = int(np.argmin(losses))
    if within is not None:
        keep &= losses <= losses[best] + scalar("within", within, least=0.0)
    if neighbours is not None:
        keep &= np.abs(np.arange(len(values)) - best) <= whole("neighbours", neighbours, least=1)
    if keep.sum() < 3:
        raise DataError(
            f"a parabola needs three values of x, and {int(keep.sum())} are left: sweep more values, or "
            "allow more of them",
            "x",
        )
    z = np.log2(values)
    vertex = fit_vertex(z[keep, None], losses[keep], ["x"])
    at = float(vertex.z[0])
    _inside("x", at, z[0], z[-1], base=2.0)
    return SweepOptimum(
        x=float(np.exp2(at)),
        log2_x=at,
        loss=vertex.value,
        curvature=0.5 * float(vertex.hessian[0, 0]),
        stderr_log=_LN2 * math.sqrt(vertex.cov[0, 0]),
        points=int(keep.sum()),
        fit=vertex.fit,
    )


def optimum_from_grid(
    x: Mapping[str, ArrayLike], L: ArrayLike, *, within: float | None = None
) -> GridOptimum:
    """Return the joint optimum of several hyper-parameters from a quadratic in their logarithms.

    Parameters
    ----------
    x : mapping of str to array_like, shape (n,)
        Positive values of each hyper-parameter, one row per run.
    L : array_like, shape (n,)
        Final losses.
    within : float, optional
        Use only runs whose loss lies within this distance of the lowest, in the unit of the loss. Far from
        the optimum the loss is no quadratic: take as small a distance as leaves enough runs.

    Returns
    -------
    GridOptimum
        The optimum and its error.

    Raises
    ------
    ValueError
        If the runs do not determine a quadratic, it has no minimum, or the minimum lies outside the grid.

    Examples
    --------
    >>> lr, batch = np.meshgrid([1e-3, 2e-3, 4e-3], [64, 128, 256])
    >>> loss = 2 + 0.1 * np.log(lr / 2.5e-3)**2 + 0.05 * np.log(batch / 100)**2
    >>> best = optimum_from_grid({"lr": lr.ravel(), "batch": batch.ravel()}, loss.ravel())
    >>> round(best.x["lr"], 6), round(best.x["batch"], 3), round(best.loss, 6)
    (0.0025, 100.0, 2.0)
    """
    names = _names(x)
    bounds = {name: {"above": 0.0} for name in names}
    *given, losses = columns(bounds, **x, L=L)
    z = np.log(np.column_stack(given))
    keep = np.ones(len(losses), bool)
    if within is not None:
        keep = losses <= losses.min() + scalar("within", within, least=0.0)
    vertex = fit_vertex(z[keep], losses[keep], names)
    for index, name in enumerate(names):
        _inside(name, float(vertex.z[index]), z[:, index].min(), z[:, index].max(), base=math.e)
    errors = np.sqrt(np.diagonal(vertex.cov))
    return GridOptimum(
        x=dict(zip(names, np.exp(vertex.z).tolist(), strict=True)),
        loss=vertex.value,
        stderr_log=dict(zip(names, errors.tolist(), strict=True)),
        hessian=vertex.hessian,
        runs=int(keep.sum()),
        fit=vertex.fit,
    )


def optimum_by_interpolation(
    x: ArrayLike,
    L: ArrayLike,
    *,
    noise: float | None = None,
    draws: int = 1000,
    rng: Rng = 0,
    points: int = 2001,
) -> InterpolatedOptimum:
    """Return the optimum of a hyper-parameter from an Akima spline of log loss against its logarithm.

    The recipe of Porian et al. 2024 (arXiv:2406.19146): the minimum of the spline on a dense grid, and its
    spread when noise of the size of the seeds is added to the losses.

    Parameters
    ----------
    x : array_like, shape (n,)
        Positive values of the hyper-parameter, at least three different ones; of equal values the one of the
        lowest loss counts.
    L : array_like, shape (n,)
        Positive final losses.
    noise : float, optional
        Standard deviation of the loss between seeds; without it the error is its floor alone.
    draws : int
        Number of noisy repetitions.
    rng : int, Generator, SeedSequence or None
        Seed of the noise.
    points : int
        Points of the dense grid, even in the logarithm.

    Returns
    -------
    InterpolatedOptimum
        The optimum and its error; its inverse square is the weight in a power law over model sizes.

    Raises
    ------
    ValueError
        If a number is not positive, there are fewer than three values, or the optimum lies on the border of
        the grid, of the losses as they are or of every noisy repetition.

    Examples
    --------
    >>> x = 2.0 ** np.arange(-14, -7)
    >>> loss = 3 + 0.05 * (np.log2(x) + 10.5) ** 2
    >>> best = optimum_by_interpolation(x, loss, noise=0.01)
    >>> round(float(np.log2(best.x)), 2), best.border
    (-10.5, 0.0)
    """
    from scipy.interpolate import Akima1DInterpolator

    values, losses = _lowest(x, L)
    numbers("L", losses, above=0.0)
    if len(values) < 3:
        raise DataError(f"an interpolation needs three values of x, not {len(values)}", "x")
    z = np.log(values)
    dense = np.linspace(z[0], z[-1], whole("points", points, least=3))

    def minima(curves: Floats) -> NDArray[np.intp]:
        return np.asarray(np.argmin(Akima1DInterpolator(z, np.log(curves))(dense), axis=0))

    best = int(minima(losses[:, None])[0])
    if best in (0, len(dense) - 1):
        raise DataError(
            f"the optimum lies on the border of the grid, x = {math.exp(dense[best]):g}: widen it", "x"
        )
    floor = float(np.diff(z).mean()) / 3.0
    found, border = np.empty(0), 0.0
    if noise is not None:
        spread = scalar("noise", noise, above=0.0)
        generator = np.random.default_rng(rng)
        shape = (len(z), whole("draws", draws, least=2))
        noisy = losses[:, None] + spread * generator.standard_normal(shape)
        numbers("L plus noise", noisy, above=0.0)
        index = minima(noisy)
        kept = (index > 0) & (index < len(dense) - 1)
        found, border = np.exp(dense[index[kept]]), 1.0 - float(kept.mean())
        if len(found) < 2:
            raise DataError("nearly every noisy optimum lies on the border of the grid: widen it", "x")
    error = max(floor, float(np.log(found).std(ddof=1))) if len(found) else floor
    curve = Akima1DInterpolator(z, np.log(losses))
    return InterpolatedOptimum(
        x=math.exp(dense[best]),
        loss=math.exp(float(curve(dense[best]))),
        stderr_log=error,
        draws=found,
        border=border,
    )


def near_optimal(
    L: ArrayLike, *, cell: ArrayLike | None = None, tolerance: float = 0.0025
) -> NDArray[np.bool_]:
    """Tell which runs are within a share of the lowest loss of their cell.

    Step Law (Li et al. 2025, arXiv:2503.04715) regresses on all runs within 0.25 % of the best one as rows.

    Parameters
    ----------
    L : array_like, shape (n,)
        Positive final losses.
    cell : array_like, shape (n,), optional
        Label of the setting of each run; one setting if not given.
    tolerance : float
        Relative excess that is allowed.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for the runs to keep; the best run of each cell is always among them.

    Raises
    ------
    ValueError
        If a loss is not positive, or the lengths differ.

    Examples
    --------
    >>> near_optimal([2.0, 2.004, 2.1, 3.0, 3.1], cell=["a", "a", "a", "b", "b"]).tolist()
    [True, True, False, True, False]
    """
    (losses,) = columns({"L": {"above": 0.0}}, L=L)
    share = scalar("tolerance", tolerance, least=0.0)
    codes = np.zeros(len(losses), np.intp) if cell is None else groups("cell", cell, len(losses))[1]
    lowest = np.full(codes.max() + 1, np.inf)
    np.minimum.at(lowest, codes, losses)
    return np.asarray(losses <= lowest[codes] * (1.0 + share))


def _lowest(x: ArrayLike, L: ArrayLike) -> tuple[Floats, Floats]:
    """Distinct values in ascending order, with the lowest loss of each."""
    values, losses = columns({"x": {"above": 0.0}}, x=x, L=L)
    distinct, index = np.unique(values, return_inverse=True)
    lowest = np.full(len(distinct), np.inf)
    np.minimum.at(lowest, index, losses)
    return distinct, lowest


def _inside(name: str, at: float, low: float, high: float, *, base: float) -> None:
    if low < at < high:
        return
    with np.errstate(over="ignore"):
        place = float(np.power(base, at))
    raise DataError(
        f"the optimum of {name}, {place:.4g}, lies outside the grid from {base**low:.4g} to "
        f"{base**high:.4g}: widen the grid",
        name,
    )


def _names(x: Mapping[str, ArrayLike]) -> list[str]:
    if not isinstance(x, Mapping) or not x:
        raise TypeError("x must map the name of each hyper-parameter to its column")
    if "L" in x:
        raise ValueError("a hyper-parameter cannot be called 'L', which is the loss")
    return list(x)
