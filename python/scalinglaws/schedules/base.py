"""What all learning-rate schedules share, those from an array of rates, and schedules joined end to end."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import near

__all__ = ["Concatenation", "FromArray", "Rates", "Schedule", "one_of", "rate", "sequence", "whole"]

Rates: TypeAlias = NDArray[np.float64]


class Schedule(ABC):
    """The learning rate at every step of a run.

    Schedules compare equal if they are of one kind with equal settings. They can be hashed, pickled and
    joined with ``+``; ``len`` is the number of steps, and NumPy takes a schedule as the array of its rates.

    Attributes
    ----------
    steps : int
        Number of optimiser steps, warm-up included.
    warmup : int
        Number of warm-up steps at the beginning.
    """

    steps: int
    warmup: int

    @abstractmethod
    def rates(self) -> Rates:
        """Return the learning rate of each step.

        Returns
        -------
        ndarray of float, shape (steps,)
            A new array; learning-rate units.
        """

    def __len__(self) -> int:
        return self.steps

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the rates of a schedule are computed, so they cannot be had without a copy")
        return self.rates() if dtype is None else self.rates().astype(dtype)

    def __add__(self, other: object) -> Concatenation:
        if not isinstance(other, Schedule):
            return NotImplemented
        return Concatenation((self, other))


class FromArray(Schedule):
    """A schedule from its rates.

    Parameters
    ----------
    rates : array_like, shape (steps,)
        Learning rate of each step, finite and not negative.
    warmup : int, default 0
        How many of them are warm-up.

    Raises
    ------
    TypeError, ValueError
        If the rates are not a vector of such numbers, or `warmup` is not below their number.

    Examples
    --------
    >>> schedule = FromArray([1.0, 1.0, 0.5, 0.25])
    >>> schedule
    FromArray(4 rates from 1.0 to 0.25, warmup=0)
    >>> len(schedule + schedule)
    8
    """

    __slots__ = ("_rates", "steps", "warmup")

    _rates: Rates

    def __init__(self, rates: ArrayLike, *, warmup: int = 0) -> None:
        array = np.asarray(rates)
        if array.dtype.kind not in "iuf" or array.ndim != 1 or array.size == 0:
            raise ValueError(
                f"rates must be a vector of numbers, not shape {array.shape} of type {array.dtype}"
            )
        array = array.astype(np.float64)
        bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0.0)))
        if bad.size:
            raise ValueError(f"rates[{bad[0]}] = {array[bad[0]]!s} is not a learning rate")
        warmup = whole("warmup", warmup)
        if not 0 <= warmup < array.size:
            raise ValueError(f"warmup must lie between 0 and steps - 1 = {array.size - 1}, not {warmup}")
        array.flags.writeable = False
        object.__setattr__(self, "_rates", array)
        object.__setattr__(self, "steps", int(array.size))
        object.__setattr__(self, "warmup", warmup)

    def rates(self) -> Rates:
        """Return the learning rate of each step.

        Returns
        -------
        ndarray of float, shape (steps,)
            A new array; learning-rate units.
        """
        return self._rates.copy()

    def __repr__(self) -> str:
        first, last = float(self._rates[0]), float(self._rates[-1])
        return f"FromArray({self.steps} rates from {first!r} to {last!r}, warmup={self.warmup})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FromArray):
            return NotImplemented
        return self.warmup == other.warmup and np.array_equal(self._rates, other._rates)

    def __hash__(self) -> int:
        # Adding 0.0 turns -0.0 into 0.0: the two are equal, so they must have one hash.
        return hash((self.warmup, (self._rates + 0.0).tobytes()))

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_array, (self._rates, self.warmup)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a schedule is frozen: {name!r} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a schedule is frozen: {name!r} cannot be deleted")


@dataclass(frozen=True)
class Concatenation(Schedule):
    """Schedules one after the other; written ``first + second``.

    Parameters
    ----------
    parts : sequence of Schedule
        The parts; a part that is itself a concatenation is taken apart. Only the warm-up of the first counts
        as one. The ramps of later parts are ordinary rising rates, a re-warm-up.

    Examples
    --------
    >>> both = FromArray([1.0, 0.5]) + FromArray([0.25])
    >>> both.rates()
    array([1.  , 0.5 , 0.25])
    >>> both + both == Concatenation((both, both))
    True
    """

    parts: tuple[Schedule, ...]

    def __post_init__(self) -> None:
        parts: list[Schedule] = []
        for part in sequence("parts", self.parts):
            if not isinstance(part, Schedule):
                raise TypeError(f"parts holds schedules, not {type(part).__name__}")
            parts += part.parts if isinstance(part, Concatenation) else (part,)
        if not parts:
            raise ValueError("parts is empty: a concatenation needs at least one schedule")
        object.__setattr__(self, "parts", tuple(parts))

    @property
    def steps(self) -> int:  # type: ignore[override]
        """Number of optimiser steps, warm-up included."""
        return sum(part.steps for part in self.parts)

    @property
    def warmup(self) -> int:  # type: ignore[override]
        """Number of warm-up steps of the first part."""
        return self.parts[0].warmup

    def rates(self) -> Rates:
        """Return the learning rate of each step.

        Returns
        -------
        ndarray of float, shape (steps,)
            A new array; learning-rate units.
        """
        return np.concatenate([part.rates() for part in self.parts])


def _from_array(rates: Rates, warmup: int) -> FromArray:
    return FromArray(rates, warmup=warmup)


def whole(name: str, value: object) -> int:
    """Check a whole number, for messages called `name`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    return int(value)


def rate(name: str, value: object) -> float:
    """Check a finite number that is not negative, for messages called `name`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, not {value!r}")
    number = float(value)
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError(f"{name} must be finite and not negative, not {number!r}")
    return number


def one_of(name: str, value: object, known: Sequence[str]) -> None:
    """Refuse a text that is not among the known ones."""
    if value not in known:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}.{near(str(value), known)}"
        )


def sequence(name: str, value: object) -> tuple[Any, ...]:
    """Check a sequence that is neither text nor a schedule."""
    if isinstance(value, (str, bytes, Schedule)):
        raise TypeError(f"{name} must be a sequence, not {value!r}")
    try:
        return tuple(cast(Sequence[Any], value))
    except TypeError:
        raise TypeError(f"{name} must be a sequence, not {value!r}") from None
