"""Tables of runs: the columns that a law needs, as checked float64 arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, near
from .tables import Source, as_labels, as_numbers, open_table, require

if TYPE_CHECKING:
    from .law import Law

__all__ = [
    "Labels",
    "RawRuns",
    "Runs",
    "data_hash",
    "find_runs",
    "label_codes",
    "read_inputs",
    "read_labels",
    "read_runs",
]

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


@dataclass(frozen=True, eq=False)
class RawRuns:
    """The columns of a table that a law needs: found, equally long, and not yet read.

    Parameters
    ----------
    names : dict of str to str
        The table's column for each name of the law.
    columns : dict of str to sequence
        Those columns by the table's names, as the table holds them.
    n : int
        Rows of the table.
    weights : ndarray of float, shape (n,), or None
        Weight of each row; None where all are 1.
    """

    names: dict[str, str]
    columns: dict[str, Any]
    n: int
    weights: NDArray[np.float64] | None

    def label(self, name: str) -> str:
        """Return what messages call the column of a name of the law."""
        return _label(name, self.names)


def find_runs(
    law: Law, source: Source, *, columns: Mapping[str, str] | None = None, weights: Any = None
) -> RawRuns:
    """Find the columns that a law needs in a table.

    Parameters
    ----------
    law : Law
        Says which columns are needed.
    source : Source
        The opened table.
    columns, weights
        As for `read_runs`.

    Returns
    -------
    RawRuns
        The columns, and the weights as numbers.

    Raises
    ------
    DataError
        If a column is missing or has another length than the others, the table has no rows, or a weight is
        no weight.
    """
    names = _resolve(law, source, columns, target=True)
    raw = {column: source.get(column) for column in names.values()}
    n = _length(names, raw)
    return RawRuns(names, raw, n, None if weights is None else _weights(weights, source, n))


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
        As for `open_table`; of a mapping the sequences are equally long.
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
    found = find_runs(law, open_table(runs), columns=columns, weights=weights)

    def numbers(name: str) -> NDArray[np.float64]:
        return as_numbers(found.columns[found.names[name]], found.label(name))

    name = cast(str, law.target)
    target = numbers(name)
    if residual == "log":
        what = "values that are zero or negative, which residual='log' cannot take,"
        require(target > 0.0, target, found.label(name), what)
    inputs = {name: numbers(name) for name in law.inputs}
    codes, categories = {}, {}
    for column in dict.fromkeys(law.groups.values()):
        codes[column], categories[column] = label_codes(
            found.columns[found.names[column]], found.label(column)
        )
    return Runs(target, inputs, codes, categories, np.empty(0) if found.weights is None else found.weights)


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
    source = open_table(data)
    present = {name: column for name, column in (columns or {}).items() if column in source.names}
    present.pop(law.target or "", None)
    names = _resolve(law, source, present, target=False)
    arrays: dict[str, NDArray[Any]] = {}
    for name in law.inputs:
        raw, label = source.get(names[name]), _label(name, names)
        arrays[name] = as_numbers(raw, label) if np.ndim(raw) == 1 else _shaped(raw, label)
    for column, known in categories.items():
        raw, label = source.get(names[column]), _label(column, names)
        text = as_labels(raw, label) if np.ndim(raw) else np.array(str(raw), dtype=object)
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


@dataclass(frozen=True, eq=False)
class Labels:
    """A column of the table that no law uses, kept to tell which rows belong together.

    Parameters
    ----------
    codes : ndarray of uint32, shape (n,)
        Label of each row, as an index into `names`.
    names : tuple of str
        The labels, sorted.
    """

    codes: NDArray[np.uint32]
    names: tuple[str, ...]


def read_labels(runs: Any, names: Sequence[str], n: int) -> dict[str, Labels]:
    """Read columns that no law uses.

    Parameters
    ----------
    runs : DataFrame, mapping or structured array
        As for `read_runs`.
    names : sequence of str
        The columns.
    n : int
        Rows of the table.

    Returns
    -------
    dict of str to Labels
        By the table's names.

    Raises
    ------
    DataError
        If a column or a label is missing, or a column has another length than the others.
    TypeError
        If `names` is no list of texts.
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"keep is a list of columns, such as ['config'], not {names!r}")
    source = open_table(runs)
    out = {}
    for name in names:
        if name not in source.names:
            raise DataError(f"the table has no column {name!r} to keep.{near(name, source.names)}", name)
        codes, found = label_codes(source.get(name), f"column {name!r}")
        if codes.size != n:
            raise DataError(
                f"columns have different lengths: {name!r} has {codes.size} rows, the others {n}", name
            )
        out[name] = Labels(codes, found)
    return out


def label_codes(raw: Any, label: str) -> tuple[NDArray[np.uint32], tuple[str, ...]]:
    """Return the index of each entry's text among the sorted texts, and the texts."""
    if np.ndim(raw) != 1:
        raise DataError(f"{label} must hold one label for each row, not an array of shape {np.shape(raw)}")
    found, inverse = np.unique(as_labels(raw, label), return_inverse=True)
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


def _resolve(law: Law, source: Source, columns: Mapping[str, str] | None, *, target: bool) -> dict[str, str]:
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


def _missing(law: Law, name: str, column: str, source: Source) -> str:
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
    for name, column in names.items():
        try:
            lengths[name] = len(raw[column])
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


def _weights(weights: Any, source: Source, n: int) -> NDArray[np.float64]:
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
    values = as_numbers(weights, label)
    require(values >= 0.0, values, label, "negative values")
    if not np.any(values):
        raise DataError(f"{label}: every weight is 0, so no row would count")
    return values


def _shaped(raw: Any, label: str) -> NDArray[np.float64]:
    array = np.asarray(raw)
    return as_numbers(array.reshape(-1), label).reshape(array.shape)


def _label(name: str, names: Mapping[str, str]) -> str:
    column = names[name]
    return f"column {column!r}" if column == name else f"column {column!r} ({name})"


def _quoted(names: Iterable[object]) -> str:
    return ", ".join(repr(name) for name in names)
