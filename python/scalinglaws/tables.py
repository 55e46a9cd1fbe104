"""Tables of any kind: their columns, and a column as checked numbers or labels.

Nothing here knows of laws. Nothing is dropped and nothing is guessed: a value that cannot be used is an error
that names the column and the first rows, counted from 0.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

__all__ = [
    "MISSING",
    "Source",
    "as_labels",
    "as_numbers",
    "is_missing",
    "open_table",
    "require",
    "spoken_rows",
    "take",
]

MISSING = "missing values (NaN or null)"
"""How messages call them."""

# Rows that a message lists.
_SHOWN = 5


@dataclass(frozen=True)
class Source:
    """An opened table: the names of its columns, and a way to get at one of them.

    Parameters
    ----------
    names : tuple of str
        The columns.
    get : callable
        Returns the column of a name, as the table holds it: an array, a sequence or a narwhals series.
    """

    names: tuple[str, ...]
    get: Callable[[str], Any]


def open_table(table: Any) -> Source:
    """Open a table.

    Parameters
    ----------
    table : DataFrame, mapping or structured array
        An eager frame that narwhals knows (pandas, polars, pyarrow, ...), a mapping of names to columns, or a
        NumPy structured array.

    Returns
    -------
    Source
        Its columns; nothing has been read yet.

    Raises
    ------
    DataError
        If two columns have one name.
    TypeError
        If it is not a table.
    """
    if isinstance(table, Mapping):
        names = tuple(name for name in table if isinstance(name, str))
        return Source(names, lambda name: _series(table[name]))
    if isinstance(table, np.ndarray):
        if table.dtype.names is None:
            raise TypeError("a plain array has no column names: pass a mapping of names to arrays")
        fields = cast("NDArray[np.void]", table)
        return Source(tuple(table.dtype.names), lambda name: fields[name])
    if isinstance(table, str) or hasattr(table, "__fspath__"):
        raise TypeError("runs is a table, not a path: read the file first, for example with polars or pandas")

    import narwhals as nw

    try:
        frame = nw.from_native(table, eager_only=True)
    except TypeError:
        if hasattr(table, "collect"):
            raise TypeError("runs is a lazy table: call .collect() on it first") from None
        raise TypeError(
            "runs must be a DataFrame (pandas, polars, pyarrow, ...) or a mapping of column names to arrays, "
            f"not {type(table).__name__}"
        ) from None
    except nw.exceptions.DuplicateError as error:
        raise DataError(f"the table has two columns of one name: {error}") from None
    return Source(tuple(str(name) for name in frame.columns), frame.get_column)


def take(column: Any, rows: NDArray[np.intp]) -> Any:
    """Return some rows of a column, as what it was.

    Parameters
    ----------
    column : sequence, ndarray or narwhals Series
        The column.
    rows : ndarray of int
        Which rows.

    Returns
    -------
    object
        A list for a list, an array for an array, a series for a series.
    """
    if isinstance(column, np.ndarray) or _is_series(column):
        return column[rows]
    return [column[row] for row in rows.tolist()]


def as_numbers(raw: Any, label: str) -> NDArray[np.float64]:
    """Read a column of numbers.

    Parameters
    ----------
    raw : sequence, ndarray or narwhals Series, shape (n,)
        The column.
    label : str
        What messages call it.

    Returns
    -------
    ndarray of float, shape (n,)
        Finite values, which may share memory with the column.

    Raises
    ------
    DataError
        If something in it is missing, infinite or no number, or it has another shape.
    """
    values, strange = _convert(raw)
    if strange:
        bad = [row for row, _ in strange]
        example = strange[0][1]
        kind = "text" if isinstance(example, (str, bytes)) else f"{type(example).__name__} values"
        raise DataError(
            f"{label} holds {kind} where numbers are needed: {example!r} in {spoken_rows(bad)}",
            rows=bad[:_SHOWN],
        )
    if values.ndim != 1:
        raise DataError(f"{label} must be one-dimensional, not of shape {values.shape}")
    if np.isfinite(values).all():
        return values
    require(~np.isnan(values), values, label, MISSING)
    require(~np.isinf(values), values, label, "infinite values")
    return values


def as_labels(raw: Any, label: str) -> NDArray[Any]:
    """Read a column of categories.

    Parameters
    ----------
    raw : sequence, ndarray or narwhals Series, shape (n,)
        The column.
    label : str
        What messages call it.

    Returns
    -------
    ndarray of object, shape (n,)
        Each category as text.

    Raises
    ------
    DataError
        If one is missing.
    """
    items = raw.to_list() if hasattr(raw, "to_list") else np.asarray(raw).tolist()
    missing = [row for row, item in enumerate(items) if is_missing(item)]
    if missing:
        raise DataError(f"{label} has {MISSING} in {spoken_rows(missing)}", rows=missing[:_SHOWN])
    return np.array([str(item) for item in items], dtype=object)


def require(good: NDArray[np.bool_], values: NDArray[np.float64], label: str, what: str) -> None:
    """Refuse a column unless a condition holds in every row.

    Parameters
    ----------
    good : ndarray of bool, shape (n,)
        Where it holds.
    values : ndarray of float, shape (n,)
        The column; messages show its first bad value.
    label : str
        What messages call it.
    what : str
        What it holds where the condition does not: ``"negative values"``.

    Raises
    ------
    DataError
        If a row is not good.
    """
    if bool(good.all()):
        return
    bad = [int(row) for row in np.flatnonzero(~good)]
    example = f" ({values[bad[0]]:g})" if np.isfinite(values[bad[0]]) else ""
    raise DataError(f"{label} has {what} in {spoken_rows(bad)}{example}", rows=bad[:_SHOWN])


def is_missing(item: Any) -> bool:
    """Tell whether an entry of a column stands for no value: None, NaN, NaT, NA."""
    # pandas.NA and NaT do not compare with themselves as true; nothing else that may stand here does that.
    if item is None:
        return True
    try:
        return not bool(item == item)
    except (TypeError, ValueError):
        return True


def spoken_rows(rows: Sequence[int]) -> str:
    """Return rows for a message, ``rows 3, 4, 9``; of many only the first."""
    shown = ", ".join(str(row) for row in rows[:_SHOWN])
    if len(rows) == 1:
        return f"row {shown}"
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"rows {shown}{more}"


def _convert(raw: Any) -> tuple[NDArray[np.float64], list[tuple[int, Any]]]:
    """Float64 values with NaN for missing ones, and the entries that are not numbers."""
    if isinstance(raw, np.ma.MaskedArray):
        values, strange = _convert(np.asarray(raw.data))
        return np.where(np.ma.getmaskarray(raw), np.nan, values), strange
    if _is_series(raw):
        import narwhals as nw

        if raw.dtype.is_numeric():
            # The cast turns decimals and nullable integers into floats, and nulls into NaN.
            return np.asarray(raw.cast(nw.Float64).to_numpy(), dtype=np.float64), []
        raw = raw.to_list()
    array = raw if isinstance(raw, np.ndarray) else _as_array(raw)
    if array.dtype.kind in "buif":
        return array.astype(np.float64, copy=False), []
    if array.ndim != 1:
        return np.full(array.shape, np.nan), [(0, array.flat[0])] if array.size else []
    values = np.full(array.shape, np.nan)
    strange = []
    for row, item in enumerate(array.tolist() if array.dtype.kind in "OUSc" else list(array)):
        if is_missing(item):
            continue
        # Decimal counts itself among the numbers, but not among the real ones.
        real = isinstance(item, numbers.Number) and not isinstance(item, numbers.Complex)
        if real or isinstance(item, (numbers.Real, np.bool_)):
            values[row] = float(item)
        else:
            strange.append((row, item))
    return values, strange


def _series(raw: Any) -> Any:
    """Narwhals series of a column that some library made; anything else as it is."""
    if isinstance(raw, (np.ndarray, list, tuple, range)) or not hasattr(raw, "to_numpy"):
        return raw
    import narwhals as nw

    return nw.from_native(raw, series_only=True, pass_through=True)


def _is_series(raw: Any) -> bool:
    # By the name of its module, because the import of narwhals waits until a table needs it.
    return type(raw).__module__.startswith("narwhals.")


def _as_array(raw: Any) -> NDArray[Any]:
    """Array of a sequence; a mixed list stays as objects, so that text is found where it stands."""
    if isinstance(raw, (list, tuple)) and any(not isinstance(item, (int, float)) for item in raw):
        array = np.empty(len(raw), dtype=object)
        array[:] = raw
        return array
    return np.asarray(raw)
