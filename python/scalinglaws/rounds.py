"""What `fit_each` is made of: options checked once, rows of each group, one round of fits in parallel."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .backends import Progress, get_backend
from .backends.rust import thread_count
from .data import _label, _length, _resolve, _rows, _weights, read_runs
from .errors import DataError, FormulaError
from .fit import _check_options, _check_rows, _in_table_names, _problem, _result
from .grouping import Groups, group_rows, open_table, spoken, take
from .law import Law
from .losses import Loss, squared
from .priors import Prior
from .problem import Residual
from .result import Fit
from .starts import Rng, StartsLike, _seed, make_starts
from .ties import bind

__all__ = ["GroupedRows", "Plan", "Watch", "run_groups"]


@dataclass(frozen=True, eq=False)
class Plan:
    """The options of one fit, checked.

    Parameters
    ----------
    law, residual, loss, fixed, priors, starts, rng, threads, backend, max_iter, screen
        As for `fit`, with every default filled in.
    """

    law: Law
    residual: Residual
    loss: Loss
    fixed: Mapping[str, Any]
    priors: Mapping[str, Prior] | None
    starts: StartsLike
    rng: Rng
    threads: int | None
    backend: str
    max_iter: int | None
    screen: int | bool | None

    @classmethod
    def make(
        cls,
        law: Law,
        residual: Residual | None,
        loss: Loss | str | None,
        fixed: Mapping[str, Any] | None,
        priors: Mapping[str, Prior] | None,
        starts: StartsLike,
        rng: Rng,
        threads: int | None,
        backend: str,
        progress: Progress | None,
        max_iter: int | None,
        screen: int | bool | None,
    ) -> Plan:
        """Check what does not depend on the rows, so that a slip is one error and not one for each group.

        Parameters
        ----------
        law, residual, loss, fixed, priors, starts, rng, threads, backend, progress, max_iter, screen
            The options of `fit`.

        Returns
        -------
        Plan
            The options.

        Raises
        ------
        ValueError
            If one is not understood.
        """
        chosen: Residual = residual or law.residual or "linear"
        if chosen not in ("linear", "log"):
            raise ValueError(f"residual must be 'linear' or 'log', not {chosen!r}")
        cost = Loss.parse(loss if loss is not None else law.loss if law.loss is not None else squared())
        _check_options(threads, max_iter, progress, "raise")
        get_backend(backend)
        bind(law, fixed)
        number = thread_count(threads)
        return cls(
            law, chosen, cost, dict(fixed or {}), priors, starts, rng, number, backend, max_iter, screen
        )

    def seeds(self, count: int) -> list[Rng]:
        """Draw the seeds of all groups before any of them starts.

        Parameters
        ----------
        count : int
            Number of groups.

        Returns
        -------
        list
            A seed for each; the option itself where starts are not drawn.
        """
        sobol = isinstance(self.starts, int | np.integer) and not isinstance(self.starts, bool)
        return [_seed(self.rng) for _ in range(count)] if sobol else [self.rng] * count

    def fit(
        self, rows: Mapping[str, Any], columns: Mapping[str, str], weights: Any, progress: Progress
    ) -> Fit:
        """Do what `fit` does, without its warning: filters of warnings belong to all threads of a process.

        Parameters
        ----------
        rows : mapping of str to sequence
            The table.
        columns : mapping of str to str
            Its column for each name of the law.
        weights : ndarray or None
            Weight of each row.
        progress : callable
            Called while the solver runs.

        Returns
        -------
        Fit
            The fit.

        Raises
        ------
        DataError
            If the rows cannot be fitted.
        """
        binding, numbers = bind(self.law, self.fixed)
        table = read_runs(self.law, rows, columns=columns, weights=weights, residual=self.residual)
        problem = _problem(binding, numbers, table, self.residual, self.loss, self.priors)
        _check_rows(problem)
        points = make_starts(problem, binding.law, self.starts, rng=self.rng, screen=self.screen)
        try:
            solutions = get_backend(self.backend).solve(
                problem,
                points.theta,
                screen=points.screen,
                max_iter=self.max_iter,
                threads=self.threads,
                progress=progress,
            )
        except FormulaError:
            raise
        except ValueError as error:
            message = _in_table_names(str(error), columns)
            raise DataError(message, getattr(error, "column", None), getattr(error, "rows", ())) from None
        return _result(binding, problem, points, solutions, self.backend, columns)


@dataclass(frozen=True, eq=False)
class GroupedRows:
    """The columns that a law needs, and which rows belong to which group.

    Parameters
    ----------
    groups : Groups
        The groups.
    single : bool
        Whether their keys are values and not tuples.
    names : dict of str to str
        Column of the table for each name of the law.
    columns : dict of str to sequence
        Those columns.
    weights : ndarray of float, shape (n,), or None
        Weight of each row.
    """

    groups: Groups
    single: bool
    names: dict[str, str]
    columns: dict[str, Any]
    weights: NDArray[np.float64] | None

    @classmethod
    def read(
        cls,
        law: Law,
        runs: Any,
        by: tuple[str, ...],
        single: bool,
        columns: Mapping[str, str] | None,
        weights: ArrayLike | str | None,
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

        Returns
        -------
        GroupedRows
            The columns, not yet checked.

        Raises
        ------
        DataError
            If a column is missing or has another length, or a weight is no weight.
        """
        source = open_table(runs)
        groups = group_rows(source, by, single)
        names = _resolve(law, source, columns, target=True)
        raw = {column: source.get(column) for column in names.values()}
        n = _length(names, {name: raw[column] for name, column in names.items()})
        if n != groups.n:
            label = _label(next(iter(names)), names)
            raise DataError(
                f"columns have different lengths: {label} has {n} rows, column {by[0]!r} has {groups.n}",
                by[0],
            )
        return cls(groups, single, names, raw, None if weights is None else _weights(weights, source, n))

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
        columns = {column: take(values, rows) for column, values in self.columns.items()}
        return columns, None if self.weights is None else self.weights[rows]

    def counted(self) -> tuple[int, ...]:
        """Return how many rows of each group have a positive weight."""
        weights = np.ones(self.groups.n) if self.weights is None else self.weights
        return tuple(int((weights[rows] > 0.0).sum()) for rows in self.groups.rows)

    def spoken(self, group: int) -> str:
        """Return the name of a group for a message."""
        return spoken(self.groups.by, self.groups.keys[group], self.single)

    def outcome(self, group: int, plan: Plan, progress: Progress) -> Fit | DataError:
        """Fit one group, or say why that cannot be done.

        Parameters
        ----------
        group : int
            Number of the group.
        plan : Plan
            How to fit it.
        progress : callable
            Called while the solver runs.

        Returns
        -------
        Fit or DataError
            What came of it; the error counts rows of the whole table.
        """
        rows = self.groups.rows[group]
        columns, weights = self.part(rows)
        try:
            return plan.fit(columns, self.names, weights, progress)
        except DataError as error:
            where = [int(rows[row]) for row in error.rows if row < len(rows)]
            text = error.message
            if where:
                text += f" (counted within the group; in the table {_rows(where)})"
            return DataError(text, error.column, where)


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


def run_groups(table: GroupedRows, jobs: Sequence[Plan], watch: Watch) -> list[Fit | DataError]:
    """Fit every group, several at a time.

    Threads made here read and judge, which is Python; what takes long is solved by the one pool of the
    extension that all of them share, so there are never more solving threads than were asked for.

    Parameters
    ----------
    table : GroupedRows
        The rows.
    jobs : sequence of Plan
        How to fit each group.
    watch : Watch
        Told of every group that is done.

    Returns
    -------
    list of Fit or DataError
        One entry for each group.
    """
    cancel = threading.Event()

    def check(done: int, total: int) -> None:
        # The solver calls this every few milliseconds, and stops when it raises.
        if cancel.is_set():
            raise _Cancelled

    def run(group: int) -> Fit | DataError:
        check(0, 0)
        return table.outcome(group, jobs[group], check)

    workers = min(len(jobs), jobs[0].threads or os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="scalinglaws") as pool:
        futures = [pool.submit(run, group) for group in range(len(jobs))]
        pending: set[Future[Fit | DataError]] = set(futures)
        try:
            while pending:
                # With a limit, because an unlimited wait cannot be interrupted on every system.
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                for group, future in enumerate(futures):
                    if future in done and (error := future.exception()) is not None:
                        error.add_note(f"in the group {table.spoken(group)}")
                        raise error
                watch.advance(len(done))
        except BaseException:
            cancel.set()
            for future in pending:
                future.cancel()
            raise
    return [future.result() for future in futures]
