"""Numbers or arrays in, numbers or arrays out: what all theory functions share."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
Number: TypeAlias = float | Array


def broadcast(**values: ArrayLike) -> list[Array]:
    """Turn named arguments into float arrays of one common shape.

    Parameters
    ----------
    **values
        Numbers or arrays of real numbers.

    Returns
    -------
    list of ndarray
        In the order of the arguments, all of the broadcast shape.

    Raises
    ------
    TypeError
        If a value is not numeric.
    ValueError
        If a value is NaN, or if the shapes do not go together.
    """
    arrays = []
    for name, value in values.items():
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"{name} must be a number or an array of numbers, not {value!r}")
        array = array.astype(np.float64)
        refuse(np.isnan(array), name, array, "must be a number")
        arrays.append(array)
    try:
        return list(np.broadcast_arrays(*arrays))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(values, arrays, strict=True))
        raise ValueError(f"the arguments do not broadcast together: {shapes}") from None


def refuse(bad: NDArray[np.bool_], name: str, array: Array, rule: str) -> None:
    """Raise ValueError if any element is bad, naming the argument and the first such element."""
    if not bad.any():
        return
    first = tuple(int(index) for index in np.argwhere(bad)[0])
    where = f"[{', '.join(map(str, first))}]" if first else ""
    raise ValueError(f"{name} {rule}, but {name}{where} is {float(array[first])!r}")


def give(array: Any) -> Any:
    """Return a Python number for an array without axes, and the array itself otherwise."""
    return array.item() if np.ndim(array) == 0 else array
