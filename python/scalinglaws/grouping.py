"""Rows of a table by the values of some columns, and a table with one row for each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, near
from .tables import MISSING, Source, is_missing, open_table, spoken_rows, take

__all__ = [
    "Groups",
    "Key",
    "as_by",
    "group_rows",
    "key_table",
    "spoken",
    "with_columns",
]

Key: TypeAlias = Any
"""What a group is called: the value of one column, or a tuple with one value for each of several."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Which rows of a table belong together.

    Parameters
    ----------
    by : tuple of str
        The columns that tell groups apart.
    keys : tuple
        The groups, in the order in which the table first names them.
    rows : tuple of ndarray of int
        Rows of each group.
    n : int
        Rows of the table.
    """

    by: tuple[str, ...]
    keys: tuple[Key, ...]
    rows: tuple[NDArray[np.intp], ...]
    n: int


def as_by(by: str | Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Check the names of the columns to group by.

    Parameters
    ----------
    by : str or sequence of str
        The option.

    Returns
    -------
    tuple of str
        The names.
    bool
        Whether it was a single name, so that keys are values and not tuples.

    Raises
    ------
    TypeError
        If it is neither text nor a sequence of texts.
    ValueError
        If it is empty or names a column twice.
    """
    if isinstance(by, str):
        return (by,), True
    if not isinstance(by, Sequence) or not all(isinstance(name, str) for name in by):
        raise TypeError(f"by names columns of the table, such as ['task', 'model'], not {by!r}")
    if not by:
        raise ValueError("by is empty: name at least one column to group by")
    for name in by:
        if list(by).count(name) > 1:
            raise ValueError(f"by names the column {name!r} twice")
    return tuple(by), False


def group_rows(source: Source, by: tuple[str, ...], single: bool) -> Groups:
    """Find the groups of a table.

    Parameters
    ----------
    source : Source
        The opened table.
    by : tuple of str
        Columns to group by.
    single : bool
        Whether keys are values and not tuples.

    Returns
    -------
    Groups
        The groups by first appearance.

    Raises
    ------
    DataError
        If a column is missing, has missing values or another length, or the table has no rows.
    """
    columns = []
    for name in by:
        if name not in source.names:
            shown = ", ".join(repr(other) for other in source.names[:12])
            hint = near(name, source.names) or f" Its columns are {shown}."
            raise DataError(f"the table has no column {name!r} to group by.{hint}", name)
        columns.append(_values(name, source.get(name)))
    n = len(columns[0])
    for name, column in zip(by, columns, strict=True):
        if len(column) != n:
            raise DataError(
                f"columns have different lengths: column {by[0]!r} has {n} rows, "
                f"column {name!r} has {len(column)}",
                name,
            )
    if n == 0:
        raise DataError("the table is empty: it has columns but no rows")
    found: dict[Key, list[int]] = {}
    for row, key in enumerate(columns[0] if single else zip(*columns, strict=True)):
        try:
            found.setdefault(key, []).append(row)
        except TypeError:
            raise DataError(f"row {row} has {key!r}, which cannot name a group", by[0], [row]) from None
    return Groups(by, tuple(found), tuple(np.array(rows, dtype=np.intp) for rows in found.values()), n)


def key_table(table: Any, groups: Groups) -> Any:
    """Return the columns that were grouped by, with one row for each group.

    Parameters
    ----------
    table : DataFrame, mapping or structured array
        The table that was grouped.
    groups : Groups
        Its groups.

    Returns
    -------
    DataFrame or dict
        A frame of the same library with columns of the same types, or a dictionary of arrays where the table
        was no frame.
    """
    first = np.array([rows[0] for rows in groups.rows], dtype=np.intp)
    if isinstance(table, Mapping | np.ndarray):
        source = open_table(table)
        return {name: _array(take(source.get(name), first)) for name in groups.by}
    import narwhals as nw

    frame = nw.from_native(table, eager_only=True).select(list(groups.by))
    return nw.maybe_reset_index(frame[first]).to_native()


def with_columns(keys: Any, columns: Mapping[str, NDArray[Any]]) -> Any:
    """Add columns to the table of keys.

    Parameters
    ----------
    keys : DataFrame or dict
        What `key_table` made; it stays as it is.
    columns : mapping of str to ndarray
        The columns.

    Returns
    -------
    DataFrame or dict
        A new table of the same kind.
    """
    if isinstance(keys, dict):
        return {name: column.copy() for name, column in {**keys, **columns}.items()}
    import narwhals as nw

    frame = nw.from_native(keys, eager_only=True)
    kinds: dict[str, Any] = {"f": nw.Float64, "i": nw.Int64, "b": nw.Boolean}
    made = [
        nw.new_series(
            name, column.tolist(), kinds.get(column.dtype.kind, nw.String), backend=frame.implementation
        )
        for name, column in columns.items()
    ]
    return frame.with_columns(*made).to_native()


def spoken(by: tuple[str, ...], key: Key, single: bool) -> str:
    """Return a group for a message, ``task='flan', model='gpt2'``."""
    values = (key,) if single else key
    return ", ".join(f"{name}={value!r}" for name, value in zip(by, values, strict=True))


def _values(name: str, raw: Any) -> list[Any]:
    if isinstance(raw, str | bytes) or not hasattr(raw, "__len__"):
        raise DataError(f"column {name!r} is a single value, not a column; repeat it for every row", name)
    if hasattr(raw, "to_list"):
        items = raw.to_list()
    elif isinstance(raw, np.ndarray):
        items = raw.tolist()
    else:
        items = [item.item() if isinstance(item, np.generic) else item for item in raw]
    missing = [row for row, item in enumerate(items) if is_missing(item)]
    if missing:
        raise DataError(
            f"column {name!r}, which is grouped by, has {MISSING} in {spoken_rows(missing)}",
            name,
            missing[:5],
        )
    return list(items)


def _array(column: Any) -> NDArray[Any]:
    if type(column).__module__.startswith("narwhals."):
        column = column.to_list()
    return np.asarray(column)
