"""Numbers of the rules: what users hand in becomes checked float64 arrays, or an error that names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError

__all__ = [
    "Floats",
    "Real",
    "column",
    "columns",
    "give",
    "groups",
    "numbers",
    "same_shape",
    "scalar",
    "whole",
]

Floats: TypeAlias = NDArray[np.float64]
Real: TypeAlias = float | Floats
"""What a rule returns: a float if every argument was a number, else an array of the broadcast shape."""

_SHOWN = 5


def numbers(
    name: str,
    value: ArrayLike,
    *,
    above: float | None = None,
    below: float | None = None,
    least: float | None = None,
    most: float | None = None,
    finite: bool = True,
) -> Floats:
    """Return an array of any shape, checked against open (above, below) and closed (least, most) bounds."""
    array = np.asarray(value)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} must hold numbers, not {type(value).__name__} of dtype {array.dtype}")
    out = array.astype(np.float64)
    _require(~np.isnan(out), out, name, "must not be missing (NaN)")
    if finite:
        _require(~np.isinf(out), out, name, "must be finite")
    if above is not None:
        _require(out > above, out, name, f"must be above {above:g}")
    if least is not None:
        _require(out >= least, out, name, f"must be at least {least:g}")
    if below is not None:
        _require(out < below, out, name, f"must be below {below:g}")
    if most is not None:
        _require(out <= most, out, name, f"must be at most {most:g}")
    return out


def scalar(name: str, value: ArrayLike, **bounds: Any) -> float:
    """Return one number within the bounds of `numbers`."""
    array = numbers(name, value, **bounds)
    if array.ndim:
        raise TypeError(f"{name} must be one number, not an array of shape {array.shape}")
    return float(array)


def whole(name: str, value: object, *, least: int = 0) -> int:
    """Return a whole number that is large enough."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)


def column(name: str, value: ArrayLike, *, n: int | None = None, **bounds: Any) -> Floats:
    """Return a one-dimensional array, of length `n` if that is given."""
    array = numbers(name, value, **bounds)
    if array.ndim != 1 or not array.size:
        raise DataError(f"{name} must be one column with at least one row, not shape {array.shape}", name)
    if n is not None and len(array) != n:
        raise DataError(f"{name} has {len(array)} rows where {n} are needed", name)
    return array


def columns(bounds: Mapping[str, Mapping[str, Any]], /, **values: ArrayLike) -> list[Floats]:
    """Return columns of equal length, each within its bounds."""
    out: list[Floats] = []
    first = next(iter(values))
    for name, value in values.items():
        array = column(name, value, **bounds.get(name, {}))
        if out and len(array) != len(out[0]):
            raise DataError(
                f"columns have different lengths: {first} has {len(out[0])} rows, {name} has {len(array)}",
                name,
            )
        out.append(array)
    return out


def groups(name: str, labels: ArrayLike, n: int) -> tuple[list[Any], NDArray[np.intp]]:
    """Return the distinct labels of a column in order of appearance, and the index of each row's label."""
    array = np.asarray(labels)
    if array.ndim != 1 or len(array) != n:
        raise DataError(f"{name} must hold one label for each of {n} rows, not shape {array.shape}", name)
    items = array.tolist()
    # A missing value is None, or differs from itself.
    missing = [row for row, item in enumerate(items) if item is None or item != item]
    if missing:
        raise DataError(f"{name} must not be missing: {_rows(missing)}", name, missing[:_SHOWN])
    place: dict[Any, int] = {}
    codes = [place.setdefault(item, len(place)) for item in items]
    return list(place), np.array(codes, np.intp)


def same_shape(**arrays: Floats) -> list[Floats]:
    """Return arrays broadcast together."""
    try:
        return [np.asarray(array) for array in np.broadcast_arrays(*arrays.values())]
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items() if array.ndim)
        raise ValueError(f"the arguments do not broadcast together: {shapes}") from None


def give(array: Floats) -> Real:
    """Return a float for an array without axes, else the array."""
    return array if np.ndim(array) else float(array)


def _require(good: NDArray[np.bool_], values: Floats, name: str, what: str) -> None:
    if bool(np.all(good)):
        return
    bad = np.flatnonzero(~np.ravel(good))
    example = f"{np.ravel(values)[bad[0]]:g}"
    if values.ndim == 0:
        raise DataError(f"{name} {what}, not {example}", name)
    raise DataError(f"{name} {what}: {_rows(bad.tolist())} ({example})", name, bad[:_SHOWN].tolist())


def _rows(rows: Sequence[int]) -> str:
    if len(rows) == 1:
        return f"row {rows[0]}"
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"rows {', '.join(map(str, rows[:_SHOWN]))}{more}"
