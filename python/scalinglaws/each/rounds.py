"""One round of `fit_each`: every group fitted once, several at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backends import Progress
from ..backends.rust import thread_count
from ..data import RawRuns, find_runs, read_labels
from ..errors import DataError
from ..executors import Workers
from ..grouping import Groups, group_rows, spoken
from ..law import Law
from ..recipe import Recipe
from ..result import Fit
from ..starts import seed_of
from ..tables import open_table, spoken_rows, take

__all__ = ["GroupedRows", "Watch", "run_groups", "seeded"]


def seeded(recipe: Recipe, count: int) -> list[Recipe]:
    """Return the recipe of each group; all seeds are drawn before any group starts.

    Parameters
    ----------
    recipe : Recipe
        The recipe of all.
    count : int
        Number of groups.

    Returns
    -------
    list of Recipe
        With a number as seed, where starts are drawn.
    """
    if isinstance(recipe.starts, int | np.integer) and not isinstance(recipe.starts, bool):
        return [replace(recipe, rng=seed_of(recipe.rng)) for _ in range(count)]
    return [recipe] * count


@dataclass(frozen=True, eq=False)
class GroupedRows:
    """The columns that a law needs, and which rows belong to which group.

    Parameters
    ----------
    groups : Groups
        The groups.
    single : bool
        Whether their keys are values and not tuples.
    raw : RawRuns
        The columns and the weights.
    kept : dict of str to sequence
        Further columns, which each fit keeps as labels of its rows.
    """

    groups: Groups
    single: bool
    raw: RawRuns
    kept: dict[str, Any]

    @classmethod
    def read(
        cls,
        law: Law,
        runs: Any,
        by: tuple[str, ...],
        single: bool,
        columns: Mapping[str, str] | None,
        weights: ArrayLike | str | None,
        keep: Sequence[str],
    ) -> GroupedRows:
        """Find the groups and the columns of a table.

        Parameters
        ----------
        law : Law
            Says which columns are needed.
        runs : DataFrame, mapping or structured array
            The table.
        by : tuple of str
            Columns to group by.
        single : bool
            Whether keys are values and not tuples.
        columns : mapping of str to str, optional
            The table's names where they differ.
        weights : array_like, str or None
            Row weights.
        keep : sequence of str
            Columns to keep as labels.

        Returns
        -------
        GroupedRows
            The columns, of which only labels are checked yet.

        Raises
        ------
        DataError
            If a column is missing or has another length, or a weight is no weight.
        """
        source = open_table(runs)
        groups = group_rows(source, by, single)
        raw = find_runs(law, source, columns=columns, weights=weights)
        if raw.n != groups.n:
            label = raw.label(next(iter(raw.names)))
            raise DataError(
                f"columns have different lengths: {label} has {raw.n} rows, column {by[0]!r} has {groups.n}",
                by[0],
            )
        labels = read_labels(runs, keep, groups.n)
        return cls(groups, single, raw, {name: source.get(name) for name in labels})

    def part(self, rows: NDArray[np.intp]) -> tuple[dict[str, Any], NDArray[np.float64] | None]:
        """Return some rows of every column, and their weights.

        Parameters
        ----------
        rows : ndarray of int
            Which rows.

        Returns
        -------
        dict of str to sequence
            Columns by the table's names.
        ndarray or None
            Weights.
        """
        columns = {name: take(values, rows) for name, values in (self.kept | self.raw.columns).items()}
        return columns, None if self.raw.weights is None else self.raw.weights[rows]

    def counted(self) -> tuple[int, ...]:
        """Return how many rows of each group have a positive weight."""
        weights = np.ones(self.groups.n) if self.raw.weights is None else self.raw.weights
        return tuple(int((weights[rows] > 0.0).sum()) for rows in self.groups.rows)

    def spoken(self, group: int) -> str:
        """Return the name of a group for a message."""
        return spoken(self.groups.by, self.groups.keys[group], self.single)

    def member(self, group: int) -> Member:
        """Return the rows of one group."""
        rows = self.groups.rows[group]
        return Member(self.spoken(group), rows, *self.part(rows), self.raw.names, tuple(self.kept))


@dataclass(frozen=True, eq=False)
class Member:
    """The rows of one group, apart from the table: picklable, and no larger than they are.

    Parameters
    ----------
    name : str
        What messages call the group.
    rows : ndarray of int
        Where the rows stand in the table.
    columns : dict of str to sequence
        Columns by the table's names.
    weights : ndarray of float or None
        Row weights.
    names : dict of str to str
        The table's column for each name of the law.
    keep : tuple of str
        Columns that are labels.
    """

    name: str
    rows: NDArray[np.intp]
    columns: dict[str, Any]
    weights: NDArray[np.float64] | None
    names: dict[str, str]
    keep: tuple[str, ...]

    def fit(self, recipe: Recipe, progress: Progress | None = None) -> Fit | DataError:
        """Fit the group, or say why that cannot be done.

        Parameters
        ----------
        recipe : Recipe
            How to fit it.
        progress : callable, optional
            Called while the solver runs.

        Returns
        -------
        Fit or DataError
            What came of it; the error counts rows of the whole table. Any other exception carries the name of
            the group as a note.
        """
        try:
            return recipe.fit(
                self.columns, columns=self.names, weights=self.weights, keep=self.keep, progress=progress
            )
        except DataError as error:
            where = [int(self.rows[row]) for row in error.rows if row < len(self.rows)]
            text = error.message
            if where:
                text += f" (counted within the group; in the table {spoken_rows(where)})"
            return DataError(text, error.column, where)
        except Exception as error:
            error.add_note(f"in the group {self.name}")
            raise


class _Cancelled(Exception):
    """Ends the fits that still run when one thread gives up."""


class Watch:
    """Progress over all groups and all rounds of a call.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(done, total)``.
    total : int
        Fits of the whole call.
    """

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def advance(self, by: int = 1) -> None:
        """Report that some more fits are done."""
        self.done += by
        if self.progress is not None and by:
            self.progress(self.done, self.total)


def run_groups(
    table: GroupedRows, jobs: Sequence[Recipe], watch: Watch, workers: Workers
) -> list[Fit | DataError]:
    """Fit every group, several at a time.

    Threads made here read and judge, which is Python; what takes long is solved by the one pool of the
    extension that all of them share, so there are never more solving threads than were asked for.

    Parameters
    ----------
    table : GroupedRows
        The rows.
    jobs : sequence of Recipe
        How to fit each group.
    watch : Watch
        Told of every group that is done.
    workers : Workers
        Who fits, if not threads of this process.

    Returns
    -------
    list of Fit or DataError
        One entry for each group.
    """
    return _by_threads(table, jobs, watch) if workers.local else _by_workers(table, jobs, watch, workers)


def _by_workers(
    table: GroupedRows, jobs: Sequence[Recipe], watch: Watch, workers: Workers
) -> list[Fit | DataError]:
    ranges = workers.ranges(len(jobs))
    single = [replace(job, threads=job.threads or 1) for job in jobs]
    tasks = [[(table.member(group), single[group]) for group in range(first, stop)] for first, stop in ranges]
    lengths = [stop - first for first, stop in ranges]
    parts = workers.run(_fit_part, tasks, done=lambda part: watch.advance(lengths[part]))
    return [outcome for part in parts for outcome in part]


def _fit_part(shared: None, groups: list[tuple[Member, Recipe]]) -> list[Fit | DataError]:
    return [member.fit(recipe) for member, recipe in groups]


def _by_threads(table: GroupedRows, jobs: Sequence[Recipe], watch: Watch) -> list[Fit | DataError]:
    cancel = threading.Event()

    def check(done: int, total: int) -> None:
        # The solver calls this every few milliseconds, and stops when it raises.
        if cancel.is_set():
            raise _Cancelled

    def run(group: int) -> Fit | DataError:
        check(0, 0)
        return table.member(group).fit(jobs[group], check)

    workers = min(len(jobs), thread_count(jobs[0].threads) or os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="scalinglaws") as pool:
        futures = [pool.submit(run, group) for group in range(len(jobs))]
        pending: set[Future[Fit | DataError]] = set(futures)
        try:
            while pending:
                # With a limit, because an unlimited wait cannot be interrupted on every system.
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in futures:
                    if future in done and (error := future.exception()) is not None:
                        raise error
                watch.advance(len(done))
        except BaseException:
            cancel.set()
            for future in pending:
                future.cancel()
            raise
    return [future.result() for future in futures]
