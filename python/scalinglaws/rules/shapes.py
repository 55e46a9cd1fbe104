"""Training that changes the shape of a model on the way: at each error the shape that improves fastest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ..fit import fit
from ..laws import laws
from ..losses import squared
from ..result import Fit
from ._check import Floats, Real, columns, give, groups, numbers, same_shape, scalar

__all__ = [
    "ShapeSchedule",
    "ShapeSegment",
    "adaptive_shape",
    "compute_to_reach",
    "fit_shapes",
    "marginal_compute",
]

_NAMES = ("a", "b", "c", "d")


@dataclass(frozen=True)
class ShapeSegment:
    """A stretch of training in one shape.

    Parameters
    ----------
    shape : str
        The shape.
    e_start, e_end : float
        Error at its start and end.
    compute : float
        FLOPs that it takes.
    """

    shape: str
    e_start: float
    e_end: float
    compute: float


@dataclass(frozen=True)
class ShapeSchedule:
    """Shapes in the order of training, and what they save.

    Parameters
    ----------
    segments : tuple of ShapeSegment
        From the first error to the last.
    total : float
        FLOPs of all segments.
    static : dict of str to float
        FLOPs from the first to the last error in one shape; infinite if its floor is not below the last
        error.
    best_static : str
        The shape with the fewest of them.
    saving : float
        Share of those that the schedule saves, from 0 to 1.
    """

    segments: tuple[ShapeSegment, ...]
    total: float
    static: dict[str, float]
    best_static: str
    saving: float


def compute_to_reach(err: ArrayLike, a: ArrayLike, b: ArrayLike, c: ArrayLike, d: ArrayLike) -> Real:
    """Return the compute at which ``a (C + d)**(-b) + c`` falls to an error.

    Parameters
    ----------
    err : array_like
        Error to reach, above `c`.
    a, b, c, d : array_like
        Amplitude, exponent, floor and shift; A, alpha, E and x0 of the law ``shifted_power_law``.

    Returns
    -------
    float or ndarray
        FLOPs; negative where the law starts below the error.

    Raises
    ------
    ValueError
        If the error is not above the floor, or a number is out of range.

    Examples
    --------
    >>> round(compute_to_reach(0.4, a=30, b=0.2, c=0.2, d=1e9))
    74937500000
    """
    error, amplitude, exponent, floor, shift = _law(err, a, b, c, d)
    return give((amplitude / (error - floor)) ** (1.0 / exponent) - shift)


def marginal_compute(err: ArrayLike, a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Real:
    """Return the compute that one unit less of error costs, at an error.

    The negative derivative of `compute_to_reach`, ``(1/b) a**(1/b) (err - c)**(-1/b - 1)``.

    Parameters
    ----------
    err : array_like
        Error, above `c`.
    a, b, c : array_like
        Amplitude, exponent and floor.

    Returns
    -------
    float or ndarray
        FLOPs per unit of error.

    Raises
    ------
    ValueError
        If the error is not above the floor, or a number is out of range.

    Examples
    --------
    >>> round(marginal_compute(0.4, a=30, b=0.2, c=0.2) / 1e12, 4)
    1.8984
    """
    error, amplitude, exponent, floor, _ = _law(err, a, b, c, 0.0)
    return give((amplitude / (error - floor)) ** (1.0 / exponent) / (exponent * (error - floor)))


def adaptive_shape(shapes: Mapping[str, Mapping[str, float]], e_start: float, e_end: float) -> ShapeSchedule:
    """Return the schedule of shapes that takes a model from one error to another with the least compute.

    At each error the model trains in the shape with the least `marginal_compute` (Anagnostidis et al. 2023,
    arXiv:2311.03233). It is assumed that a model switched to another shape goes on along that shape's law
    from its present error, and that switching is free.

    Parameters
    ----------
    shapes : mapping of str to mapping
        Coefficients a, b, c and d of each shape, as in `compute_to_reach`; `fit_shapes` gives them.
    e_start, e_end : float
        First and last error, ``e_start > e_end``.

    Returns
    -------
    ShapeSchedule
        Segments and savings. The last error must lie above the floor of one shape; others are used while the
        error lies above theirs.

    Raises
    ------
    ValueError
        If coefficients are missing or out of range, or no shape reaches the last error.

    Examples
    --------
    >>> shapes = {"patch 32": dict(a=20, b=0.2, c=0.25, d=1e9), "patch 16": dict(a=60, b=0.22, c=0.15, d=1e9)}
    >>> plan = adaptive_shape(shapes, 0.6, 0.3)
    >>> [segment.shape for segment in plan.segments], round(plan.saving, 3)
    (['patch 32', 'patch 16'], 0.031)
    """
    if not isinstance(shapes, Mapping) or not shapes:
        raise TypeError("shapes must map the name of each shape to its coefficients a, b, c and d")
    table = {name: _coefficients(name, values) for name, values in shapes.items()}
    first, last = scalar("e_start", e_start), scalar("e_end", e_end)
    if not first > last:
        raise ValueError(f"e_start must lie above e_end, not {first:g} above {last:g}")
    static = {name: _cost(values, first, last) for name, values in table.items()}
    best_static = min(static, key=lambda name: static[name])
    if not np.isfinite(static[best_static]):
        lowest = min(values["c"] for values in table.values())
        raise DataError(f"no shape reaches e_end = {last:g}: the lowest floor is {lowest:g}", "e_end")

    # Who is cheapest can change where two shapes cost the same or where a shape meets its floor; nowhere
    # else.
    ends = {first, last, *(v["c"] for v in table.values())}
    for one, other in combinations(table.values(), 2):
        ends.update(_crossings(one, other, first, last))
    errors = sorted((e for e in ends if last <= e <= first), reverse=True)
    segments: list[ShapeSegment] = []
    for start, end in pairwise(errors):
        middle = 0.5 * (start + end)
        cheapest = min(table, key=lambda name: _marginal(table[name], middle))
        if segments and segments[-1].shape == cheapest:
            start = segments.pop().e_start
        segments.append(ShapeSegment(cheapest, start, end, _cost(table[cheapest], start, end)))
    total = float(sum(segment.compute for segment in segments))
    saving = max(0.0, 1.0 - total / static[best_static])
    return ShapeSchedule(tuple(segments), total, static, best_static, saving)


def fit_shapes(C: ArrayLike, err: ArrayLike, shape: ArrayLike) -> dict[str, Fit]:
    """Fit the law ``shifted_power_law`` to the static runs of each shape.

    Parameters
    ----------
    C : array_like, shape (n,)
        Training compute, FLOPs.
    err : array_like, shape (n,)
        Error of each run.
    shape : array_like, shape (n,)
        Label of each run's shape; at least four runs of each.

    Returns
    -------
    dict of str to Fit
        One fit for each shape. `adaptive_shape` takes the coefficients as
        ``{name: dict(a=v["A"], b=v["alpha"], c=v["E"], d=v["x0"])}``, ``v = fit.values``.

    Raises
    ------
    ValueError
        If a column does not fit, or a shape has fewer than four runs.

    Examples
    --------
    >>> C = np.geomspace(1e9, 1e14, 12)
    >>> fits = fit_shapes(C, 0.2 + 20 * (C + 3e9) ** -0.2, ["patch 16"] * 12)
    >>> round(fits["patch 16"].values["alpha"], 4)
    0.2
    """
    compute, error = columns({"C": {"above": 0.0}, "err": {"above": 0.0}}, C=C, err=err)
    labels, codes = groups("shape", shape, len(compute))
    out = {}
    for index, label in enumerate(labels):
        rows = codes == index
        if rows.sum() < 4:
            raise DataError(f"the shape {label!r} has {int(rows.sum())} runs; the law needs four", "shape")
        # The law's start ranges expect GFLOPs; a unit of the data's own keeps the shift within reach of them.
        unit = float(np.exp(np.log(compute[rows]).mean())) / 1e6
        found = fit(
            laws["shifted_power_law"],
            {"x": compute[rows] / unit, "y": error[rows]},
            residual="linear",
            loss=squared(),
        )
        values = found.values
        start = {
            "E": values["E"],
            "A": values["A"] * unit ** values["alpha"],
            "x0": values["x0"] * unit,
            "alpha": values["alpha"],
        }
        out[str(label)] = fit(
            laws["shifted_power_law"],
            {"x": compute[rows], "y": error[rows]},
            residual="linear",
            loss=squared(),
            starts=start,
        )
    return out


def _coefficients(name: str, values: Mapping[str, float]) -> dict[str, float]:
    wrong = {*_NAMES} ^ {*values}
    if wrong:
        raise ValueError(f"the shape {name!r} must have a, b, c and d; at odds: {', '.join(sorted(wrong))}")
    bounds = {"a": {"above": 0.0}, "b": {"above": 0.0}, "c": {"least": 0.0}, "d": {"least": 0.0}}
    return {key: scalar(f"{key} of the shape {name!r}", values[key], **bounds[key]) for key in _NAMES}


def _law(err: ArrayLike, a: ArrayLike, b: ArrayLike, c: ArrayLike, d: ArrayLike) -> list[Floats]:
    arrays = same_shape(
        err=numbers("err", err),
        a=numbers("a", a, above=0.0),
        b=numbers("b", b, above=0.0),
        c=numbers("c", c, least=0.0),
        d=numbers("d", d, least=0.0),
    )
    if np.any(arrays[0] <= arrays[3]):
        raise DataError("err must lie above the floor c: the law never falls below it", "err")
    return arrays


def _cost(values: Mapping[str, float], start: float, end: float) -> float:
    """Compute from one error to a lower one; infinite if the floor lies between."""
    if end <= values["c"]:
        return np.inf
    power = -1.0 / values["b"]
    scale = values["a"] ** (1.0 / values["b"])
    return float(scale * ((end - values["c"]) ** power - (start - values["c"]) ** power))


def _marginal(values: Mapping[str, float], error: float) -> float:
    """Logarithm of the marginal compute; infinite at or below the floor."""
    if error <= values["c"]:
        return np.inf
    k = 1.0 / values["b"]
    return float(np.log(k) + k * np.log(values["a"]) - (k + 1.0) * np.log(error - values["c"]))


def _crossings(
    one: Mapping[str, float], other: Mapping[str, float], first: float, last: float
) -> list[float]:
    """Errors at which two shapes cost the same per unit.

    The difference of the logarithms has at most one turning point, which is known in closed form; on each
    side of it the difference is monotone, so that a change of sign brackets the only root.
    """
    from scipy.optimize import brentq

    k, m = 1.0 / one["b"] + 1.0, 1.0 / other["b"] + 1.0
    floor = max(one["c"], other["c"], 0.0)
    low, high = max(last, np.nextafter(floor, np.inf)), first
    if not low < high:
        return []
    points = [low, high]
    if k != m:
        turn = (k * other["c"] - m * one["c"]) / (k - m)
        if low < turn < high:
            points.insert(1, turn)

    def gap(error: float) -> float:
        return _marginal(one, error) - _marginal(other, error)

    roots = []
    for left, right in pairwise(points):
        signs = np.sign(gap(left)), np.sign(gap(right))
        if signs[0] * signs[1] < 0.0:
            roots.append(float(brentq(gap, left, right, xtol=1e-15, rtol=8.9e-16)))
    return roots
