"""Parameters that all groups share: one joint fit, started from the groups' own fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, near
from ..executors import Workers
from ..law import Law
from ..param import Param
from ..recipe import Recipe
from ..result import Fit
from ..starts import start_range
from ..ties import bind
from .rounds import GroupedRows, Watch, run_groups

__all__ = ["ROUNDS", "fit_jointly", "shared_params"]

# The search for shared parameters begins at these quantiles of what the groups say on their own.
_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
ROUNDS = len(_QUANTILES) + 2
"""Fits of every group in a call with shared parameters: alone, at each quantile, and at the joint values."""


def shared_params(recipe: Recipe, shared: str | Sequence[str] | None) -> tuple[str, ...]:
    """Check the names of the shared parameters.

    Parameters
    ----------
    recipe : Recipe
        The law and what is fixed.
    shared : str, sequence of str or None
        The option.

    Returns
    -------
    tuple of str
        The names, in the order of the law.

    Raises
    ------
    ValueError
        If a name is no free parameter, every free parameter is shared, or the law has groups of its own.
    """
    if shared is None:
        return ()
    names = (shared,) if isinstance(shared, str) else tuple(shared)
    law = recipe.law
    if law.groups:
        raise ValueError(
            "shared= needs a law without grouped parameters: write what is shared into the formula"
        )
    free = recipe.free
    for name in names:
        if name not in law.params:
            raise ValueError(f"shared names {name!r}, which is not a parameter.{near(str(name), law.params)}")
        if name not in free:
            raise ValueError(f"shared names {name!r}, which is fixed or tied for every group already")
    if set(names) == set(free):
        raise ValueError(
            "every free parameter is shared, so groups do not differ: fit the whole table with fit"
        )
    # A relation between parameters that the joint law cannot keep is refused here, before anything is fitted.
    bind(_grouped(law, [name for name in free if name not in names])[0], recipe.fixed)
    return tuple(name for name in law.params if name in names)


def fit_jointly(
    table: GroupedRows,
    jobs: Sequence[Recipe],
    shared: tuple[str, ...],
    alone: Sequence[Fit | DataError],
    watch: Watch,
    workers: Workers,
) -> tuple[Fit | None, list[Fit | DataError]]:
    """Fit all groups with common values of some parameters.

    Parameters
    ----------
    table : GroupedRows
        The rows.
    jobs : sequence of Recipe
        How to fit each group.
    shared : tuple of str
        The parameters; none of them is fixed.
    alone : sequence of Fit or DataError
        The fit of each group by itself.
    watch : Watch
        Told of every fit that is done.
    workers : Workers
        Who fits the groups; the joint fit is made here.

    Returns
    -------
    Fit or None
        The joint fit; None if no group could take part.
    list of Fit or DataError
        For each group its fit with the shared parameters at their joint values.
    """
    rounds = [
        run_groups(table, [_at(job, values) for job in jobs], watch, workers)
        for values in _candidates(jobs[0].law, shared, alone)
    ]
    inside = [group for group in range(len(jobs)) if all(isinstance(found[group], Fit) for found in rounds)]
    if not inside:
        watch.advance(len(jobs))
        return None, list(rounds[0])
    joint = _joint(table, jobs[0], shared, inside, rounds)
    values = {name: joint.values[name] for name in shared}
    last = []
    for group, job in enumerate(jobs):
        recipe = _at(job, values)
        if group in inside:
            own = {name: joint.values[f"{name}[{group}]"] for name in recipe.free}
            own = {name: _inside(recipe.law.params[name], value) for name, value in own.items()}
            recipe = replace(recipe, starts=own, screen=None)
        last.append(recipe)
    return joint, run_groups(table, last, watch, workers)


def _joint(
    table: GroupedRows,
    recipe: Recipe,
    shared: tuple[str, ...],
    inside: Sequence[int],
    rounds: Sequence[Sequence[Fit | DataError]],
) -> Fit:
    """Fit the rows of all groups at once, from what every round found."""
    own = [name for name in recipe.free if name not in shared]
    law, column = _grouped(recipe.law, own)
    rows = np.sort(np.concatenate([table.groups.rows[group] for group in inside]))
    labels = np.empty(table.groups.n, dtype=object)
    for group in inside:
        labels[table.groups.rows[group]] = str(group)
    columns, weights = table.part(rows)
    # The table may have a column of that name: the law reads its own.
    taken = column
    while taken in columns:
        taken += "_"
    columns[taken] = labels[rows].tolist()
    categories = sorted(str(group) for group in inside)
    starts = []
    for found in rounds:
        fits = {str(group): fit for group in inside if isinstance(fit := found[group], Fit)}
        row: list[float] = []
        for name, param in law.params.items():
            labelled = categories if name in own else categories[:1]
            row += [_inside(param, fits[label].values[name]) for label in labelled]
        starts.append(row)
    joint = replace(recipe, law=law, starts=np.array(starts), screen=None)
    return joint.fit(
        columns, columns={**table.raw.names, column: taken}, weights=weights, keep=tuple(table.kept)
    )


def _at(recipe: Recipe, values: Mapping[str, float]) -> Recipe:
    """Hold some parameters, whose priors then say nothing."""
    priors = {name: prior for name, prior in (recipe.priors or {}).items() if name not in values}
    return replace(recipe, fixed={**recipe.fixed, **values}, priors=priors)


def _grouped(law: Law, own: Sequence[str]) -> tuple[Law, str]:
    """Return the law with one value of some parameters for each group, and the column that tells groups."""
    column = "group"
    while column in law.params or column in law.meanings or column == law.target:
        column += "_"
    formula = law._core.substitute({name: f"{name}[{column}]" for name in own})
    return Law(
        formula,
        params=law.params,
        inputs={**law.meanings, column: "number of the group, counted from 0"},
        target=law.target if "~" not in formula else None,
        id=law.id,
        title=law.title,
    ), column


def _candidates(
    law: Law, shared: tuple[str, ...], alone: Sequence[Fit | DataError]
) -> list[dict[str, float]]:
    """Values of the shared parameters from which to search."""
    columns: dict[str, NDArray[np.float64]] = {}
    for name in shared:
        param = law.params[name]
        found = [fit.values[name] for fit in alone if isinstance(fit, Fit)]
        found = [value for value in found if param.contains(value)]
        columns[name] = np.quantile(found, _QUANTILES) if found else _spread(name, param)
    return [{name: float(columns[name][place]) for name in shared} for place in range(len(_QUANTILES))]


def _spread(name: str, param: Param) -> NDArray[np.float64]:
    """Points of the start range, for groups of which none says anything on its own."""
    low, high = start_range(name, param)
    if param.sampling == "log":
        return low * (high / low) ** np.array(_QUANTILES)
    return low + (high - low) * np.array(_QUANTILES)


def _inside(param: Param, value: float) -> float:
    """Return a value from which the solver can start: a parameter that ran to 0 has no logarithm."""
    if param.contains(value) or param.kind != "positive":
        return value
    start = param.start
    return 1e-9 if start is None else start[0] if isinstance(start, tuple) else start
