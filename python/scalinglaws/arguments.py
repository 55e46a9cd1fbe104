"""What a caller hands to a law, as columns for the kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from .declared import quoted
from .errors import near

if TYPE_CHECKING:
    from .law import Law

__all__ = ["Arguments", "read_arguments"]


class Arguments(NamedTuple):
    """Columns as the kernels want them, and the shape to give back."""

    columns: list[NDArray[np.float64]]
    shape: tuple[int, ...]


def read_arguments(law: Law, values: Mapping[str, Any]) -> Arguments:
    """Check what a caller gave, and spread it over the rows.

    Parameters
    ----------
    law : Law
        The law.
    values : mapping of str to object
        Numbers, arrays, or (for a grouped parameter) a mapping from category to number.

    Returns
    -------
    Arguments
        One column for every input and parameter, in that order.

    Raises
    ------
    TypeError
        If a name is missing or unknown, or a value is not numeric.
    ValueError
        If the values do not broadcast together, or a category has no value.
    """
    known = (*law.inputs, *law.params, *dict.fromkeys(law.groups.values()))
    for name in values:
        if name not in known:
            raise TypeError(f"the law has no input or parameter {name!r}.{near(name, known)}")
    known_values = {name: param.value for name, param in law.params.items() if param.value is not None}
    values = {**known_values, **values}
    missing = [name for name in (*law.inputs, *law.params) if name not in values]
    if missing:
        raise TypeError(
            f"the law needs a value for {quoted(missing)} "
            f"(inputs {quoted(law.inputs)}; parameters {quoted(law.params)})"
        )

    arrays: list[NDArray[np.float64]] = []
    for name in (*law.inputs, *law.params):
        value = values[name]
        if isinstance(value, Mapping):
            arrays.append(_gather(law, name, value, values))
        else:
            arrays.append(_numeric(name, value))
    labels = [np.shape(values[column]) for column in set(law.groups.values()) if column in values]
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays), *labels)
    except ValueError:
        shapes = ", ".join(
            f"{name} {array.shape}"
            for name, array in zip((*law.inputs, *law.params), arrays, strict=True)
            if array.ndim
        )
        raise ValueError(f"the values do not broadcast together: {shapes}") from None
    columns = [
        np.ascontiguousarray(array.reshape(1))
        if array.size == 1
        else np.ascontiguousarray(np.broadcast_to(array, shape)).reshape(-1)
        for array in arrays
    ]
    # One column of full length tells the kernel how many rows there are, even where all values are equal.
    count = int(np.prod(shape))
    if count != 1 and all(column.size == 1 for column in columns):
        columns[0] = np.full(count, columns[0][0])
    return Arguments(columns, shape)


def _gather(
    law: Law, name: str, by_category: Mapping[Any, float], values: Mapping[str, Any]
) -> NDArray[np.float64]:
    """Spread the values of a grouped parameter over the rows."""
    column = law.groups.get(name)
    if column is None:
        raise TypeError(f"{name!r} is not grouped in the formula: give numbers, not a mapping")
    if column not in values:
        raise TypeError(f"{name!r} is given by category, so the law needs the column {column!r} as well")
    labels = np.asarray(values[column])
    table = {str(key): value for key, value in by_category.items()}
    found, inverse = np.unique(labels.astype(str), return_inverse=True)
    for label in found:
        if str(label) not in table:
            raise ValueError(
                f"{name!r} has no value for the category {str(label)!r} of column {column!r}"
                f".{near(str(label), table)}"
            )
    gathered = _numeric(name, [table[str(label)] for label in found])
    return gathered[inverse].reshape(labels.shape)


def _numeric(name: str, value: Any) -> NDArray[np.float64]:
    array = np.asarray(value)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name!r} must be numeric, not {type(value).__name__} holding {array.dtype}")
    return cast(NDArray[np.float64], array.astype(np.float64))
