"""Rows that belong together: checkpoints of one run, runs of one configuration, points of one budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, near
from ..grouping import Key, group_rows
from ..tables import open_table

if TYPE_CHECKING:
    from ..result import Fit

__all__ = ["Clusters", "read_clusters"]


@dataclass(frozen=True, eq=False)
class Clusters:
    """A partition of the rows of a fit.

    Parameters
    ----------
    name : str
        The column, for messages; ``"by"`` where labels were handed over.
    keys : tuple
        One label for each cluster, in the order of first appearance.
    codes : ndarray of int, shape (n,)
        Cluster of each row, as an index into `keys`.
    count : int
        Clusters that have a row of positive weight.
    """

    name: str
    keys: tuple[Key, ...]
    codes: NDArray[np.intp]
    count: int


def read_clusters(fit: Fit, by: Any, *, least: int = 2) -> Clusters:
    """Find the clusters of a fit's rows.

    Parameters
    ----------
    fit : Fit
        The fit; it must hold its rows.
    by : str or array_like, shape (n,)
        A column that the fit holds, by the law's name or the table's: one that the law uses, or one named in
        ``fit(..., keep=[...])``. Or one label for each row of the table, ``by=runs["config"]``.
    least : int
        How many clusters are needed.

    Returns
    -------
    Clusters
        The partition.

    Raises
    ------
    DataError
        If the fit has no such column, labels are missing or do not match the rows, or there are fewer
        clusters than `least`.
    """
    problem = fit._need_rows("by")
    name = by if isinstance(by, str) else "by"
    groups = group_rows(open_table({name: _labels(fit, by)}), (name,), True)
    if groups.n != problem.n:
        raise DataError(f"by has {groups.n} labels, but the fit has {problem.n} rows", name)
    codes = np.empty(problem.n, dtype=np.intp)
    for code, rows in enumerate(groups.rows):
        codes[rows] = code
    count = len(np.unique(codes[problem.weights > 0.0]))
    if count < least:
        found = "1 cluster" if count == 1 else f"{count} clusters"
        why = f" for {least - 1} parameters: choose smaller clusters, or fix parameters" if least > 2 else ""
        raise DataError(
            f"{name!r} has {found} of rows with positive weight; at least {least} are needed{why}", name
        )
    return Clusters(name, groups.keys, codes, count)


def _labels(fit: Fit, by: Any) -> Any:
    if not isinstance(by, str):
        if isinstance(by, np.ndarray) and by.ndim == 1 and by.dtype.kind != "O":
            return by
        if np.ndim(by) != 1:
            raise DataError(
                f"by must name a column or hold one label for each row, not {type(by).__name__} of "
                f"shape {np.shape(by)}",
                "by",
            )
        return by if hasattr(by, "to_list") else list(by)
    problem = fit._problem
    if by in fit._labels:
        kept = fit._labels[by]
        return np.array(kept.names, dtype=object)[kept.codes].tolist()
    law_name = {table: name for name, table in fit.columns.items()}.get(by, by)
    if law_name in problem.codes:
        labels = np.array(problem.categories[law_name], dtype=object)
        return labels[problem.codes[law_name]].tolist()
    if law_name in problem.inputs:
        return problem.inputs[law_name]
    held = [fit.columns.get(name, name) for name in (*problem.inputs, *problem.codes)] + list(fit._labels)
    hint = near(by, held) or f" It holds {', '.join(map(repr, held))}."
    raise DataError(
        f"the fit holds no column {by!r}: hand the labels over, by=runs[{by!r}], or have them kept with the "
        f"fit, fit(..., keep=[{by!r}]).{hint}",
        by,
    )
