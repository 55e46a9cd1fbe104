"""Logged points of training curves: which schedule each belongs to, and at which step it was taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, near
from .base import Schedule

__all__ = ["Points", "as_points"]


@dataclass(frozen=True, eq=False)
class Points:
    """Logged points, grouped by schedule.

    Parameters
    ----------
    n : int
        Number of points.
    groups : tuple of (Schedule, ndarray of int, ndarray of int)
        A schedule, the rows that belong to it, and the steps of those rows, counted from 0.
    """

    n: int
    groups: tuple[tuple[Schedule, NDArray[np.intp], NDArray[np.intp]], ...]

    def __iter__(self) -> Iterator[tuple[Schedule, NDArray[np.intp], NDArray[np.intp]]]:
        return iter(self.groups)


def as_points(schedules: Mapping[str, Schedule], curve: Any, step: ArrayLike) -> Points:
    """Match the rows of a table with schedules.

    Parameters
    ----------
    schedules : mapping of str to Schedule
        Schedule of each curve.
    curve : sequence of str, shape (n,)
        Curve of each row.
    step : array_like of int, shape (n,)
        Step of each row, counted from 0.

    Returns
    -------
    Points
        Every row once.

    Raises
    ------
    DataError
        If a curve has no schedule, or a step lies outside its schedule; it names the column and the row.
    TypeError
        If `schedules` does not map names to schedules.
    """
    if not isinstance(schedules, Mapping) or not all(isinstance(s, Schedule) for s in schedules.values()):
        raise TypeError("schedules maps the name of each curve to its Schedule")
    known = {str(name): schedule for name, schedule in schedules.items()}
    labels = np.array([str(label) for label in np.asarray(curve).reshape(-1).tolist()], dtype=object)
    steps = as_steps(step)
    if labels.shape != steps.shape:
        raise DataError(f"curve has {labels.size} rows and step has {steps.size}: they must be equally long")
    if not steps.size:
        raise DataError("curve and step are empty: there is no row")
    groups = []
    for label in dict.fromkeys(labels.tolist()):
        rows = np.flatnonzero(labels == label)
        if label not in known:
            raise DataError(
                f"curve {label!r} in row {rows[0]} has no schedule.{near(label, known)}",
                "curve",
                rows[:5].tolist(),
            )
        check_steps(known[label], steps[rows], rows)
        groups.append((known[label], rows, steps[rows]))
    return Points(steps.size, tuple(groups))


def as_steps(step: ArrayLike) -> NDArray[np.intp]:
    """Check a vector of steps: whole numbers, kept as integers."""
    values = np.atleast_1d(np.asarray(step))
    if values.dtype.kind not in "iuf" or values.ndim != 1:
        raise DataError(
            f"step must be a vector of whole numbers, not shape {values.shape} of {values.dtype}", "step"
        )
    bad = np.flatnonzero(~(np.isfinite(values) & (np.floor(values) == values)))
    if bad.size:
        raise DataError(
            f"step must hold whole numbers; row {bad[0]} has {values[bad[0]]!s}", "step", bad[:5].tolist()
        )
    return values.astype(np.intp)


def check_steps(schedule: Schedule, steps: NDArray[np.intp], rows: NDArray[np.intp]) -> None:
    """Refuse steps that the schedule does not have."""
    bad = np.flatnonzero((steps < 0) | (steps >= schedule.steps))
    if bad.size:
        raise DataError(
            f"step {steps[bad[0]]} in row {rows[bad[0]]} lies outside the schedule, whose steps are 0 to "
            f"{schedule.steps - 1}",
            "step",
            rows[bad[:5]].tolist(),
        )
