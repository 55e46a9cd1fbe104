"""Optima of many sweeps at once: one for each (model size, tokens) cell, then a power law across cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, near
from ..result import Fit
from ._check import Floats, columns
from ._fits import fit_powers
from .sweeps import optimum_from_grid

__all__ = ["CellOptima", "ExcessLoss", "excess_loss", "optima_of_cells"]


@dataclass(frozen=True, eq=False)
class CellOptima:
    """Optimal hyper-parameters of each cell.

    Parameters
    ----------
    cells : dict of str to ndarray, shape (m,)
        What defines each cell, for example ``{"N": ..., "D": ...}``.
    x : dict of str to ndarray, shape (m,)
        Optimum of each hyper-parameter in each cell.
    loss : ndarray, shape (m,)
        Loss there.
    stderr_log : dict of str to ndarray, shape (m,)
        Standard errors of the natural logarithms of the optima; NaN for optima taken from the best run.
    runs : ndarray of int, shape (m,)
        How many runs each optimum rests on.
    """

    cells: dict[str, Floats]
    x: dict[str, Floats]
    loss: Floats
    stderr_log: dict[str, Floats]
    runs: NDArray[np.intp]

    def power_law(self, x: str, on: Sequence[str] | None = None, *, weighted: bool = False) -> Fit:
        """Fit the optima of one hyper-parameter by a product of powers of what defines the cells.

        Parameters
        ----------
        x : str
            The hyper-parameter.
        on : sequence of str, optional
            Which columns of `cells` enter; all if not given.
        weighted : bool
            Whether each cell counts by the inverse variance of its optimum, instead of all alike.

        Returns
        -------
        Fit
            Of the law ``c * x1**a1 * x2**a2 * ...``, in the order of `on`, by least squares of logarithms.
            Its `rss` over the number of cells is the mean squared error of the logarithm.

        Raises
        ------
        ValueError
            If a name is unknown, or the optima have no errors to weight by.

        Notes
        -----
        Cells are few, and the runs inside a cell are no independent rows: resample cells for intervals.
        """
        names = list(self.cells) if on is None else list(on)
        for name, known in ((x, self.x), *((name, self.cells) for name in names)):
            if name not in known:
                raise ValueError(f"there is no column {name!r}.{near(name, known)}")
        weights = None
        if weighted:
            weights = 1.0 / self.stderr_log[x] ** 2
            if not np.isfinite(weights).all():
                raise DataError(f"the optima of {x!r} have no standard errors to weight by", x)
        return fit_powers(self.x[x], {name: self.cells[name] for name in names}, weights=weights)


@dataclass(frozen=True, eq=False)
class ExcessLoss:
    """What following a rule costs, read off the runs of a grid.

    Parameters
    ----------
    cells : dict of str to ndarray, shape (m,)
        What defines each cell.
    excess : ndarray, shape (m,)
        Relative excess of the run nearest to the rule over the best run of its cell.
    row : ndarray of int, shape (m,)
        Row of that run.
    distance : ndarray, shape (m,)
        Distance of that run from the rule, in natural logarithms.
    """

    cells: dict[str, Floats]
    excess: Floats
    row: NDArray[np.intp]
    distance: Floats


def optima_of_cells(
    cells: Mapping[str, ArrayLike],
    x: Mapping[str, ArrayLike],
    L: ArrayLike,
    *,
    within: float | None = None,
    method: Literal["quadratic", "lowest"] = "quadratic",
) -> CellOptima:
    """Return the optimal hyper-parameters of each cell of a table of runs.

    The first half of a hyper-parameter law such as Step Law (Li et al. 2025, arXiv:2503.04715): a quadratic
    in the logarithms of the hyper-parameters in every (N, D) cell. `CellOptima.power_law` is the second.

    Parameters
    ----------
    cells : mapping of str to array_like, shape (n,)
        Columns that are constant within a cell, ``{"N": ..., "D": ...}``.
    x : mapping of str to array_like, shape (n,)
        Positive hyper-parameters, ``{"lr": ..., "batch": ...}``.
    L : array_like, shape (n,)
        Final losses.
    within : float, optional
        Use only runs whose loss lies within this distance of the lowest of their cell.
    method : {"quadratic", "lowest"}
        Minimum of the quadratic, or simply the best run, which is tied to the grid and two to three times
        noisier.

    Returns
    -------
    CellOptima
        Cells in ascending order of their columns.

    Raises
    ------
    ValueError
        If a column does not fit, or a cell has no optimum inside its grid; the cell is named.

    Examples
    --------
    >>> N, lr = (a.ravel() for a in np.meshgrid([1e8, 1e9, 1e10], [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]))
    >>> loss = 3 + 0.1 * np.log(lr / (0.5 * N**-0.3)) ** 2
    >>> law = optima_of_cells({"N": N}, {"lr": lr}, loss).power_law("lr")
    >>> round(law.values["c"], 6), round(law.values["a1"], 6)
    (0.5, -0.3)
    """
    if method not in ("quadratic", "lowest"):
        raise ValueError(f"method must be 'quadratic' or 'lowest', not {method!r}")
    table = _table(cells, x, L)
    losses, errors = np.empty(table.count), {name: np.full(table.count, np.nan) for name in x}
    best = {name: np.empty(table.count) for name in x}
    runs = np.ones(table.count, np.intp)
    for cell, rows in enumerate(table.rows):
        own = {name: column[rows] for name, column in table.x.items()}
        if method == "lowest":
            lowest = int(np.argmin(table.L[rows]))
            losses[cell] = table.L[rows][lowest]
            for name in x:
                best[name][cell] = own[name][lowest]
            continue
        try:
            found = optimum_from_grid(own, table.L[rows], within=within)
        except DataError as error:
            raise DataError(f"in the cell {table.label(cell)}: {error.message}", error.column) from None
        losses[cell], runs[cell] = found.loss, found.runs
        for name in x:
            best[name][cell], errors[name][cell] = found.x[name], found.stderr_log[name]
    return CellOptima(table.cells, best, losses, errors, runs)


def excess_loss(
    cells: Mapping[str, ArrayLike],
    x: Mapping[str, ArrayLike],
    L: ArrayLike,
    rule: Mapping[str, ArrayLike],
) -> ExcessLoss:
    """Return how much worse than the best run of each cell a rule for the hyper-parameters does.

    The rule is judged by the run of the grid that is nearest to it in logarithms.

    Parameters
    ----------
    cells : mapping of str to array_like, shape (n,)
        Columns that are constant within a cell.
    x : mapping of str to array_like, shape (n,)
        Positive hyper-parameters of the runs.
    L : array_like, shape (n,)
        Positive final losses.
    rule : mapping of str to array_like, shape (n,)
        What the rule recommends for each row, by hyper-parameter; constant within a cell.

    Returns
    -------
    ExcessLoss
        Cells in ascending order of their columns.

    Raises
    ------
    ValueError
        If a column does not fit, or the rule names other hyper-parameters.

    Examples
    --------
    >>> lr = np.array([1e-3, 2e-3, 4e-3])
    >>> found = excess_loss({"N": [1e8] * 3}, {"lr": lr}, [2.02, 2.0, 2.1], {"lr": [1.2e-3] * 3})
    >>> found.excess.round(4).tolist()
    [0.01]
    """
    if set(rule) != set(x):
        raise ValueError(f"the rule must name the hyper-parameters {sorted(x)}, not {sorted(rule)}")
    table = _table(cells, x, L, positive=True)
    wanted = columns({name: {"above": 0.0} for name in x}, **{name: rule[name] for name in x})
    if len(wanted[0]) != len(table.L):
        raise DataError(f"the rule has {len(wanted[0])} rows, the runs have {len(table.L)}")
    square = np.zeros(len(table.L))
    for asked, name in zip(wanted, x, strict=True):
        for cell, rows in enumerate(table.rows):
            if np.ptp(np.log(asked[rows])) > 1e-9:
                raise DataError(f"the rule gives several values of {name} in {table.label(cell)}", name)
        square += np.log(table.x[name] / asked) ** 2
    nearest = np.array([rows[np.argmin(square[rows])] for rows in table.rows])
    lowest = np.array([table.L[rows].min() for rows in table.rows])
    return ExcessLoss(table.cells, table.L[nearest] / lowest - 1.0, nearest, np.sqrt(square[nearest]))


@dataclass(frozen=True, eq=False)
class _Table:
    """Checked columns, and the rows of each cell."""

    cells: dict[str, Floats]
    x: dict[str, Floats]
    L: Floats
    rows: list[NDArray[np.intp]]

    @property
    def count(self) -> int:
        return len(self.rows)

    def label(self, cell: int) -> str:
        return ", ".join(f"{name} = {values[cell]:g}" for name, values in self.cells.items())


def _table(
    cells: Mapping[str, ArrayLike], x: Mapping[str, ArrayLike], L: ArrayLike, *, positive: bool = False
) -> _Table:
    if not cells or not x:
        raise ValueError("cells and x must each name at least one column")
    twice = {*cells} & {*x} | ({*cells, *x} & {"L"})
    if twice:
        raise ValueError(f"the column name {min(twice)!r} is used twice")
    bounds = {name: {"above": 0.0} for name in (*cells, *x, *(("L",) if positive else ()))}
    *given, losses = columns(bounds, **cells, **x, L=L)
    named = dict(zip((*cells, *x), given, strict=True))
    keys = np.column_stack([named[name] for name in cells])
    distinct, codes = np.unique(keys, axis=0, return_inverse=True)
    codes = codes.reshape(-1)
    return _Table(
        cells={name: distinct[:, i].copy() for i, name in enumerate(cells)},
        x={name: named[name] for name in x},
        L=losses,
        rows=[np.flatnonzero(codes == cell) for cell in range(len(distinct))],
    )
