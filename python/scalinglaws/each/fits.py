"""The fits of many groups: a mapping, a table, predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, near
from ..grouping import Groups, Key, group_rows, spoken, with_columns
from ..inference import CovKind
from ..law import Law
from ..records import Prediction
from ..result import Fit
from ..tables import open_table, take

__all__ = ["FACTS", "Fits"]

FACTS = ("nobs", "objective", "rmse", "success", "valid", "status", "message")
"""What the table of results says of each group besides its key and its parameters."""

_SHORT = 240


@dataclass(frozen=True, eq=False, repr=False)
class Fits(Mapping[Key, Fit]):
    """The fits of the groups of one table. Made by `fit_each`; immutable and picklable.

    A mapping from the key of a group to its `Fit`: the value of the column if `by` was one name, else a
    tuple. It holds the groups that could be fitted, in the order in which the table first names them;
    `failures` says why the others could not, and `table` has a row for every group.

    Parameters
    ----------
    law : Law
        The law.
    by : tuple of str
        The columns that tell groups apart.
    groups : tuple
        Keys of all groups, by first appearance.
    failures : dict of key to str
        What is wrong with each group that could not be fitted.
    shared : tuple of str
        Parameters that have one value for all groups.
    joint : Fit or None
        With shared parameters, the one fit of all groups, where ``"B[0]"`` is B of the first group. The fit
        of a group then holds the shared parameters at their joint values, as if they were known.
    """

    law: Law
    by: tuple[str, ...]
    groups: tuple[Key, ...]
    failures: dict[Key, str]
    shared: tuple[str, ...]
    joint: Fit | None
    _fits: dict[Key, Fit]
    _single: bool
    _keys: Any
    _nobs: tuple[int, ...]
    _columns: dict[str, str]

    def __getitem__(self, key: Key) -> Fit:
        """Return the fit of a group, or raise KeyError with what is wrong with it."""
        try:
            return self._fits[key]
        except (KeyError, TypeError):
            raise KeyError(self._missing(key)) from None

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys of the groups that were fitted."""
        return iter(self._fits)

    def __len__(self) -> int:
        """Return the number of groups that were fitted."""
        return len(self._fits)

    def __repr__(self) -> str:
        """Return the law, the columns and what became of the groups."""
        valid = sum(self._valid(key) for key in self._fits)
        name = self.law.id or self.law.formula
        return (
            f"<Fits of {name} by {', '.join(self.by)}: {len(self.groups)} groups, "
            f"{valid} valid, {len(self.failures)} failed>"
        )

    @property
    def table(self) -> Any:
        """One row for each group, as a table of the kind that was fitted.

        The columns of `by`; then ``nobs`` (rows of positive weight), ``objective``, ``rmse`` (root of the
        weighted mean of squared residuals, where residuals were taken), ``success``, ``valid``, ``status``,
        ``message``; then each parameter and its standard error of the default kind, ``alpha`` and
        ``alpha_stderr``, natural units. Groups that could not be fitted have the status ``"error"``, what is
        wrong in ``message``, and NaN for numbers. A pandas table comes for pandas, a polars table for polars,
        a pyarrow table for pyarrow, and a new dictionary of arrays for anything else.
        """
        rows = [self._row(index, key) for index, key in enumerate(self.groups)]
        names: dict[str, None] = {}
        for row in rows:
            names.update(dict.fromkeys(row))
        if not self._fits:
            names.update(dict.fromkeys(part for name in self.law.params for part in (name, f"{name}_stderr")))
        columns: dict[str, NDArray[Any]] = {}
        for name in names:
            entries = [row.get(name, math.nan) for row in rows]
            columns[name] = np.array(entries, dtype=object if name in ("status", "message") else None)
        return with_columns(self._keys, columns)

    def predict(
        self, data: Any, level: float | None = None, *, kind: CovKind | None = None, new_run: bool = False
    ) -> Prediction:
        """Predict each row with the fit of its group.

        Parameters
        ----------
        data : DataFrame or mapping
            The columns of `by` and the inputs of the law. The values of a mapping may be single values, which
            then hold for every row.
        level : float, optional
            Coverage of the interval, as for ``Fit.predict``.
        kind : {"sandwich", "classical", "hessian"}, optional
            Covariance to use; by default each fit's own, as for `Fit.conf_int`. With shared parameters it is
            that of the joint fit.
        new_run : bool
            Whether the interval is for the measured value of a new run.

        Returns
        -------
        Prediction
            Arrays of shape (n,) in the order of the rows; floats if everything was a single value.

        Raises
        ------
        DataError
            If a column is missing, or a row belongs to a group that was not fitted.
        """
        columns, n = self._rows(data)
        groups = group_rows(open_table(columns), self.by, self._single)
        for key in groups.keys:
            if key not in self._fits:
                raise DataError(self._missing(key), self.by[0])
        parts = [self._predict(key, rows, columns, level, kind, new_run) for key, rows in _each(groups)]

        def gathered(name: str) -> Any:
            if getattr(parts[0], name) is None:
                return None
            out = np.empty(groups.n)
            for part, rows in zip(parts, groups.rows, strict=True):
                out[rows] = getattr(part, name)
            return out if n is not None else float(out[0])

        mean, stderr, lower, upper = (gathered(name) for name in ("mean", "stderr", "lower", "upper"))
        # Groups of few rows rest on another covariance than larger ones, unless the kind is given.
        kinds = " or ".join(sorted({part.kind for part in parts}))
        return Prediction(mean, stderr, lower, upper, level, kinds, new_run)

    def complaint(self, limit: int = 5) -> str:
        """Say which groups have no valid fit, and why.

        Parameters
        ----------
        limit : int, default 5
            How many of them are named.

        Returns
        -------
        str
            The text of the warning of `fit_each`; empty if all are valid.
        """
        bad = [key for key in self.groups if key not in self._fits or not self._valid(key)]
        if not bad:
            return ""
        said = [
            f"{spoken(self.by, key, self._single)}: {_short(self.failures.get(key) or self._message(key))}"
            for key in bad[:limit]
        ]
        more = f"; and {len(bad) - limit} more" if len(bad) > limit else ""
        what = f"{len(bad)} of {len(self.groups)} groups have no valid fit"
        if self.failures:
            what += f" ({len(self.failures)} could not be fitted at all)"
        return f"{what}: {'; '.join(said)}{more}. The table lists them all."

    # ---------------------------------------------------------------- inside

    def _rows(self, data: Any) -> tuple[dict[str, Any], int | None]:
        """Return the columns for predictions, all of one length, and that length unless all were values."""
        source = open_table(data)
        wanted = {*self.by, *self.law.meanings, *self._columns.values()}
        columns = {name: source.get(name) for name in source.names if name in wanted}
        lengths = {name: _length(column) for name, column in columns.items()}
        first, n = next(
            ((name, length) for name, length in lengths.items() if length is not None), ("", None)
        )
        for name, length in lengths.items():
            if length not in (None, n):
                raise DataError(
                    f"columns have different lengths: column {first!r} has {n} rows, "
                    f"column {name!r} has {length}",
                    name,
                )
        for name, length in lengths.items():
            if length is None:
                columns[name] = [columns[name]] * (1 if n is None else n)
        return columns, n

    def _predict(
        self,
        key: Key,
        rows: NDArray[np.intp],
        columns: Mapping[str, Any],
        level: float | None,
        kind: CovKind | None,
        new_run: bool,
    ) -> Prediction:
        part = {name: take(column, rows) for name, column in columns.items()}
        if self.joint is None:
            return self._fits[key].predict(part, level, kind=kind, new_run=new_run)
        part[next(iter(self.joint.law.groups.values()))] = [str(self.groups.index(key))] * len(rows)
        return self.joint.predict(part, level, kind=kind, new_run=new_run)

    def _row(self, index: int, key: Key) -> dict[str, Any]:
        fit = self._fits.get(key)
        if fit is None:
            facts = (self._nobs[index], math.nan, math.nan, False, False, "error", self.failures[key])
            return dict(zip(FACTS, facts, strict=True))
        weights = fit._problem.weights
        rmse = math.sqrt(fit.rss / float(weights.sum()))
        facts = (fit.nobs, fit.objective, rmse, fit.success, self._valid(key), fit.status, self._message(key))
        row: dict[str, Any] = dict(zip(FACTS, facts, strict=True))
        values, errors = fit.values, fit.stderr()
        if self.joint is not None:
            joint = self.joint.stderr()
            errors = {name: joint.get(f"{name}[{index}]", joint.get(name, math.nan)) for name in values}
        for name, value in values.items():
            row[name] = value
            row[f"{name}_stderr"] = errors[name]
        return row

    def _valid(self, key: Key) -> bool:
        return self._fits[key].valid and (self.joint is None or self.joint.valid)

    def _message(self, key: Key) -> str:
        fit = self._fits[key]
        if fit.valid and self.joint is not None and not self.joint.valid:
            return f"the joint fit is not valid: {self.joint.message}"
        return fit.message

    def _missing(self, key: Key) -> str:
        if key in self.groups:
            return f"{spoken(self.by, key, self._single)} could not be fitted: {self.failures[key]}"
        known = {str(other): other for other in self.groups}
        hint = near(str(key), known)
        return f"no group {key!r} was fitted; groups are told apart by {', '.join(self.by)}.{hint}"


def _each(groups: Groups) -> Iterator[tuple[Key, NDArray[np.intp]]]:
    return zip(groups.keys, groups.rows, strict=True)


def _length(column: Any) -> int | None:
    """Length of a column; None for a single value."""
    if isinstance(column, str | bytes) or not hasattr(column, "__len__") or np.ndim(column) == 0:
        return None
    return len(column)


def _short(message: str) -> str:
    """Return the start of a message; the table has all of it."""
    return shorten(message, _SHORT, placeholder=" ...")
