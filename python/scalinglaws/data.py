"""Tables of runs: from whatever holds the columns to checked float64 arrays.

Nothing is dropped and nothing is guessed. A value that cannot be fitted is an error that names the column and
the first rows, counted from 0.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, near

if TYPE_CHECKING:
    from .law import Law

__all__ = ["Runs", "data_hash", "label_codes", "read_inputs", "read_labels", "read_runs"]

_SHOWN = 5

# What tables call the columns that formulas call by one letter; tried where the spelling does not help.
_ALIASES = {
    "N": ("params", "n_params", "num_params", "parameters", "n_parameters", "model_size"),
    "D": ("tokens", "n_tokens", "num_tokens", "train_tokens", "training_tokens"),
    "C": ("flops", "compute", "training_flops", "train_flops"),
    "L": ("loss", "val_loss", "validation_loss", "eval_loss", "final_loss"),
}


@dataclass(frozen=True, eq=False)
class Runs:
    """The columns of one table that a law uses.

    Parameters
    ----------
    target : ndarray of float, shape (n,)
        Observed values.
    inputs : dict of str to ndarray of float, shape (n,)
        Input columns by the law's names.
    codes : dict of str to ndarray of uint32, shape (n,)
        Categorical columns as indices into `categories`.
    categories : dict of str to tuple of str
        Sorted categories of each categorical column.
    weights : ndarray of float, shape (n,)
        Weight of each row; empty where all are 1.
    """

    target: NDArray[np.float64]
    inputs: dict[str, NDArray[np.float64]]
    codes: dict[str, NDArray[np.uint32]]
    categories: dict[str, tuple[str, ...]]
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class _Source:
    """Column names of a table, and a way to get at one column."""

    names: tuple[str, ...]
    get: Callable[[str], Any]


def read_runs(
    law: Law,
    runs: Any,
    *,
    columns: Mapping[str, str] | None = None,
    weights: Any = None,
    residual: str = "linear",
) -> Runs:
    """Read the target, the inputs and the weights of a law from a table.

    Parameters
    ----------
    law : Law
        Says which columns are needed.
    runs : DataFrame, mapping or structured array
        Any eager frame that narwhals knows (pandas, polars, pyarrow, ...), a mapping of equally long
        sequences, or a NumPy structured array.
    columns : mapping of str to str, optional
        The table's column for each of the law's names, where they differ.
    weights : array_like, str or None
        Non-negative row weights, or the column that holds them.
    residual : {"linear", "log"}
        With ``"log"`` the target must be positive.

    Returns
    -------
    Runs
        Checked arrays, which may share memory with the table.

    Raises
    ------
    DataError
        If a column is missing or holds values that cannot be fitted.
    TypeError
        If `runs` is not a table.
    """
    source = _open(runs)
    names = _resolve(law, source, columns, target=True)
    target_name = cast(str, law.target)
    raw = {name: source.get(column) for name, column in names.items()}
    n = _length(names, raw)

    target = _numbers(raw[target_name], _label(target_name, names))
    _require(target > 0.0, target, _label(target_name, names), _LOG_DOMAIN, skip=residual != "log")
    inputs = {name: _numbers(raw[name], _label(name, names)) for name in law.inputs}
    codes, categories = {}, {}
    for column in dict.fromkeys(law.groups.values()):
        codes[column], categories[column] = label_codes(raw[column], _label(column, names))
    return Runs(target, inputs, codes, categories, _weights(weights, source, n))


def read_inputs(
    law: Law,
    data: Any,
    *,
    columns: Mapping[str, str] | None = None,
    categories: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.intp]], tuple[int, ...]]:
    """Read only the inputs of a law, for a prediction.

    Parameters
    ----------
    law : Law
        Says which columns are needed.
    data : DataFrame, mapping or structured array
        As for `read_runs`; the values of a mapping may also be numbers and broadcast together.
    columns : mapping of str to str, optional
        The fit's own column names. A table that lacks them may use the law's names instead.
    categories : mapping of str to tuple of str, optional
        The categories that the fit has seen.

    Returns
    -------
    inputs : dict of str to ndarray of float
        Input columns, flattened.
    codes : dict of str to ndarray of int
        Categorical columns as indices into `categories`, flattened.
    shape : tuple of int
        The broadcast shape.

    Raises
    ------
    DataError
        If a column is missing, is not numeric, or holds a category that the fit has not seen.
    """
    categories = {} if categories is None else categories
    source = _open(data)
    present = {name: column for name, column in (columns or {}).items() if column in source.names}
    present.pop(law.target or "", None)
    names = _resolve(law, source, present, target=False)
    arrays: dict[str, NDArray[Any]] = {}
    for name in law.inputs:
        raw, label = source.get(names[name]), _label(name, names)
        arrays[name] = _numbers(raw, label) if np.ndim(raw) == 1 else _shaped(raw, label)
    for column, known in categories.items():
        raw, label = source.get(names[column]), _label(column, names)
        text = _labels(raw, label) if np.ndim(raw) else np.array(str(raw), dtype=object)
        order = {label: index for index, label in enumerate(known)}
        for found in np.unique(text.astype(str)):
            if str(found) not in order:
                raise DataError(
                    f"{label} holds the category {str(found)!r}, which the fit has not seen."
                    f"{near(str(found), known)}",
                    column,
                )
        arrays[column] = np.vectorize(lambda item, order=order: order[str(item)], otypes=[np.intp])(text)
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise DataError(f"the columns do not broadcast together: {shapes}") from None
    spread = {name: np.broadcast_to(array, shape).reshape(-1) for name, array in arrays.items()}
    return (
        {name: np.ascontiguousarray(spread[name], dtype=np.float64) for name in law.inputs},
        {column: spread[column] for column in categories},
        shape,
    )


def read_labels(runs: Any, names: Iterable[str]) -> dict[str, tuple[NDArray[np.uint32], tuple[str, ...]]]:
    """Read columns that no law uses as labels of the rows.

    Parameters
    ----------
    runs : DataFrame, mapping or structured array
        As for `read_runs`.
    names : iterable of str
        The columns.

    Returns
    -------
    dict of str to (ndarray of uint32, tuple of str)
        For each column the index of each row's label, and the sorted labels.

    Raises
    ------
    DataError
        If a column or a label is missing.
    """
    if isinstance(names, str):
        raise ValueError(f"keep must be a list of columns: [{names!r}]")
    source = _open(runs)
    out = {}
    for name in names:
        if name not in source.names:
            raise DataError(f"the table has no column {name!r} to keep.{near(name, source.names)}", name)
        out[name] = label_codes(source.get(name), f"column {name!r}")
    return out


def label_codes(raw: Any, label: str) -> tuple[NDArray[np.uint32], tuple[str, ...]]:
    """Return the index of each entry's text among the sorted texts, and the texts."""
    if np.ndim(raw) != 1:
        raise DataError(f"{label} must hold one label for each row, not an array of shape {np.shape(raw)}")
    found, inverse = np.unique(_labels(raw, label), return_inverse=True)
    return inverse.astype(np.uint32), tuple(str(entry) for entry in found)


def data_hash(target: NDArray[np.float64], *columns: NDArray[Any]) -> str:
    """Return a SHA-256 of the arrays of a fit, to tell whether two fits saw the same rows.

    Parameters
    ----------
    target : ndarray
        The observed values.
    *columns : ndarray
        Every other array, in a fixed order.

    Returns
    -------
    str
        Hexadecimal digest.
    """
    from hashlib import sha256

    digest = sha256()
    for column in (target, *columns):
        data = np.ascontiguousarray(column)
        digest.update(f"{data.dtype.str}{data.shape}".encode())
        digest.update(data.tobytes())
    return digest.hexdigest()


def _open(table: Any) -> _Source:
    if isinstance(table, Mapping):
        names = tuple(name for name in table if isinstance(name, str))
        return _Source(names, lambda name: _series(table[name]))
    if isinstance(table, np.ndarray):
        if table.dtype.names is None:
            raise TypeError("a plain array has no column names: pass a mapping of names to arrays")
        fields = cast("NDArray[np.void]", table)
        return _Source(tuple(table.dtype.names), lambda name: fields[name])
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
    return _Source(tuple(str(name) for name in frame.columns), frame.get_column)


def _resolve(law: Law, source: _Source, columns: Mapping[str, str] | None, *, target: bool) -> dict[str, str]:
    """Column of the table for each name of the law that is needed."""
    needed = [*law.inputs, *dict.fromkeys(law.groups.values())]
    if target:
        if law.target is None:
            raise DataError("the law does not say what it predicts: write 'L ~ ...' or pass target= to Law")
        needed.insert(0, law.target)
    given = dict(columns or {})
    for name, column in given.items():
        if name not in needed:
            turned = column in needed and name in source.names
            hint = (
                f" columns maps the law's names to the table's: {{{column!r}: {name!r}}}."
                if turned
                else (near(str(name), needed) or f" The law's columns are {_quoted(needed)}.")
            )
            raise DataError(f"columns names {name!r}, which is not a column of the law.{hint}", str(name))
    names = {name: str(given.get(name, name)) for name in needed}
    users: dict[str, str] = {}
    for name, column in names.items():
        if column not in source.names:
            raise DataError(_missing(law, name, column, source), column)
        if column in users:
            raise DataError(f"{users[column]!r} and {name!r} are both read from column {column!r}", column)
        users[column] = name
    return names


def _missing(law: Law, name: str, column: str, source: _Source) -> str:
    what = f"the table has no column {column!r}" + (f" for {name!r}" if column != name else "")
    spelled = near(column, source.names)
    if spelled:
        found = spelled
    elif alias := next((a for a in _ALIASES.get(name, ()) for c in source.names if c.casefold() == a), None):
        actual = next(c for c in source.names if c.casefold() == alias)
        found = f" Is it {actual!r}? Then pass columns={{{name!r}: {actual!r}}}."
    elif near(name, law.params) and name not in law.meanings:
        found = ""
    else:
        shown = _quoted(source.names[:12]) + (", ..." if len(source.names) > 12 else "")
        found = f" Its columns are {shown}." if source.names else " It has no columns at all."
    # A name that the formula uses once and nobody declared is as likely a misspelt parameter.
    misspelt = near(name, law.params)
    if misspelt and not law.meanings.get(name):
        found += f" {name!r} is not a parameter of the law either.{misspelt}"
    return f"{what}.{found}"


def _length(names: Mapping[str, str], raw: Mapping[str, Any]) -> int:
    lengths = {}
    for name, values in raw.items():
        try:
            lengths[name] = len(values)
        except TypeError:
            raise DataError(
                f"{_label(name, names)} is a single value, not a column; repeat it for every row", names[name]
            ) from None
    first, n = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != n:
            raise DataError(
                f"columns have different lengths: {_label(first, names)} has {n} rows, "
                f"{_label(name, names)} has {length}",
                names[name],
            )
    if n == 0:
        raise DataError("the table is empty: it has columns but no rows")
    return n


def _weights(weights: Any, source: _Source, n: int) -> NDArray[np.float64]:
    if weights is None:
        return np.empty(0)
    label = "weights"
    if isinstance(weights, str):
        if weights not in source.names:
            raise DataError(
                f"the table has no column {weights!r} for the weights.{near(weights, source.names)}", weights
            )
        label = f"column {weights!r} (the weights)"
        weights = source.get(weights)
    if np.ndim(weights) != 1 or len(weights) != n:
        raise DataError(f"{label} must hold one number for each of {n} rows, not shape {np.shape(weights)}")
    values = _numbers(weights, label)
    _require(values >= 0.0, values, label, "negative values")
    if not np.any(values):
        raise DataError(f"{label}: every weight is 0, so no row would count")
    return values


_MISSING = "missing values (NaN or null)"
_LOG_DOMAIN = "values that are zero or negative, which residual='log' cannot take,"


def _numbers(raw: Any, label: str) -> NDArray[np.float64]:
    """One finite float64 column, or an error that says what else was found and where."""
    values, strange = _convert(raw)
    if strange:
        example = strange[0][1]
        kind = "text" if isinstance(example, (str, bytes)) else f"{type(example).__name__} values"
        raise DataError(
            f"{label} holds {kind} where numbers are needed: {example!r} in {_rows([r for r, _ in strange])}",
            rows=[r for r, _ in strange[:_SHOWN]],
        )
    if values.ndim != 1:
        raise DataError(f"{label} must be one-dimensional, not of shape {values.shape}")
    if np.isfinite(values).all():
        return values
    _require(~np.isnan(values), values, label, _MISSING)
    _require(~np.isinf(values), values, label, "infinite values")
    return values


def _shaped(raw: Any, label: str) -> NDArray[np.float64]:
    array = np.asarray(raw)
    return _numbers(array.reshape(-1), label).reshape(array.shape)


def _require(
    good: NDArray[np.bool_], values: NDArray[np.float64], label: str, what: str, *, skip: bool = False
) -> None:
    if skip or bool(good.all()):
        return
    bad = [int(row) for row in np.flatnonzero(~good)]
    example = "" if what.startswith(("missing", "infinite")) else f" ({values[bad[0]]:g})"
    raise DataError(f"{label} has {what} in {_rows(bad)}{example}", rows=bad[:_SHOWN])


def _convert(raw: Any) -> tuple[NDArray[np.float64], list[tuple[int, Any]]]:
    """Float64 values with NaN for missing ones, and the entries that are not numbers."""
    if isinstance(raw, np.ma.MaskedArray):
        values, strange = _convert(np.asarray(raw.data))
        return np.where(np.ma.getmaskarray(raw), np.nan, values), strange
    if type(raw).__module__.startswith("narwhals."):
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
        if _is_missing(item):
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


def _as_array(raw: Any) -> NDArray[Any]:
    """Array of a sequence; a mixed list stays as objects, so that text is found where it stands."""
    if isinstance(raw, (list, tuple)) and any(not isinstance(item, (int, float)) for item in raw):
        array = np.empty(len(raw), dtype=object)
        array[:] = raw
        return array
    return np.asarray(raw)


def _is_missing(item: Any) -> bool:
    # pandas.NA and NaT do not compare with themselves as true; nothing else that may stand here does that.
    if item is None:
        return True
    try:
        return not bool(item == item)
    except (TypeError, ValueError):
        return True


def _labels(raw: Any, label: str) -> NDArray[Any]:
    """One column of categories as text."""
    items = raw.to_list() if hasattr(raw, "to_list") else np.asarray(raw).tolist()
    missing = [row for row, item in enumerate(items) if _is_missing(item)]
    if missing:
        raise DataError(f"{label} has {_MISSING} in {_rows(missing)}", rows=missing[:_SHOWN])
    return np.array([str(item) for item in items], dtype=object)


def _label(name: str, names: Mapping[str, str]) -> str:
    column = names[name]
    return f"column {column!r}" if column == name else f"column {column!r} ({name})"


def _rows(rows: Sequence[int]) -> str:
    shown = ", ".join(str(row) for row in rows[:_SHOWN])
    if len(rows) == 1:
        return f"row {shown}"
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"rows {shown}{more}"


def _quoted(names: Iterable[object]) -> str:
    return ", ".join(repr(name) for name in names)
