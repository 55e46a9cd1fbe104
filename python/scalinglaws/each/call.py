"""The call: options, one fit for each group of rows, and one warning about all that are not valid."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from numpy.typing import ArrayLike

from ..backends import Progress
from ..errors import DataError, FitWarning
from ..grouping import as_by, key_table, spoken
from ..law import Law
from ..losses import Loss
from ..priors import Prior
from ..problem import Residual
from ..recipe import Recipe, check_progress
from ..result import Fit
from ..starts import Rng, StartsLike
from .fits import FACTS, Fits

if TYPE_CHECKING:
    from ..executors import ExecutorLike

__all__ = ["fit_each"]

OnError: TypeAlias = Literal["keep", "raise"]


def fit_each(
    law: Law | str,
    runs: Any,
    *,
    by: str | Sequence[str],
    columns: Mapping[str, str] | None = None,
    residual: Residual | None = None,
    loss: Loss | str | None = None,
    weights: ArrayLike | str | None = None,
    keep: Sequence[str] = (),
    fixed: Mapping[str, Any] | None = None,
    priors: Mapping[str, Prior] | None = None,
    starts: StartsLike = 512,
    rng: Rng = 0,
    threads: int | None = None,
    executor: ExecutorLike | None = None,
    backend: str = "rust",
    progress: Progress | None = None,
    max_iter: int | None = None,
    screen: int | bool | None = None,
    shared: str | Sequence[str] | None = None,
    on_error: OnError = "keep",
) -> Fits:
    """Fit a law to each group of rows of a table.

    Every group gets the fit that `fit` would give it alone, to the last bit and whatever the number of
    threads.

    Parameters
    ----------
    law : Law or str
        The law, or the name of one in the catalogue.
    runs : DataFrame, mapping or structured array
        One row per run, as for `fit`.
    by : str or sequence of str
        Columns of the table. Rows with the same values in all of them are one group; groups keep the order in
        which the table first names them.
    columns, residual, loss, fixed, priors, starts, max_iter, screen, backend
        As for `fit`, the same for every group.
    weights : array_like of shape (n,) or str, optional
        Row weights, or the column that holds them, as for `fit`.
    keep : sequence of str, optional
        Further columns of the table that every fit keeps as labels of its rows, as for `fit`.
    rng : int, Generator, SeedSequence or None, default 0
        Seed of the starts. A number is the seed of every group; a Generator gives each group a seed of its
        own, in order.
    threads : int, optional
        Number of threads that solve, for all groups together; else the variable ``SCALINGLAWS_NUM_THREADS``,
        else all available cores.
    executor : executor or callable, optional
        Who fits the groups instead of the threads of this process: any `concurrent.futures.Executor`, dask's
        ``Client``, or a function that makes one of these, so that one that broke can be replaced. The fits
        are the same to the last bit. Each group takes one thread, or `threads`. See "Many fits, many
        machines" in the guide.
    progress : callable, optional
        Called from this thread as ``progress(done, total)``, in groups.
    shared : str or sequence of str, optional
        Parameters that have one value for all groups. The others are fitted to each group and the shared ones
        to all rows together, in one joint fit; see Notes. The law must not have grouped parameters.
    on_error : {"keep", "raise"}, default "keep"
        What to do with a group that cannot be fitted, because it has too few rows or values that the law
        cannot take: keep it in the table with what is wrong with it, or raise.

    Returns
    -------
    Fits
        A mapping from group to `Fit`, with a table of all groups.

    Raises
    ------
    DataError
        If a column is missing, a key or a label to keep is missing in a row, or (``on_error="raise"``) a
        group cannot be fitted.
    TypeError
        If `by` is not text, or `runs` is not a table.
    ValueError
        If `by` is empty or an option is not understood.
    BackendError
        If the executor takes no work, or loses a part of it four times.

    Warns
    -----
    FitWarning
        Once, if groups failed or their fits are not valid; it says how many, and why.

    Notes
    -----
    With `shared`, each group is fitted alone first; at five quantiles of what the groups found for the shared
    parameters their own parameters are fitted again, and the joint fit starts from those five points. It is
    the same as ``B[group]`` in the formula, with better starts. Groups with fewer rows than parameters can
    take part.

    Examples
    --------
    >>> import numpy as np
    >>> import scalinglaws as sl
    >>> law = sl.Law("L ~ E + A / N**alpha", residual="log", params={
    ...     "E": sl.Param("positive", start=(0.1, 5)),
    ...     "A": sl.Param("positive", start=(1, 1e5), sampling="log"),
    ...     "alpha": sl.Param("positive", start=(0.05, 1)),
    ... })
    >>> N = np.tile(np.geomspace(1e7, 1e10, 6), 2)
    >>> data = np.repeat(["web", "code"], 6)
    >>> runs = {"N": N, "data": data, "L": np.where(data == "web", 1.7 + 400 / N**0.34, 0.9 + 300 / N**0.4)}
    >>> fits = sl.fit_each(law, runs, by="data")
    >>> round(fits["code"].values["alpha"], 6)
    0.4
    >>> fits.table["alpha"].round(6)
    array([0.34, 0.4 ])
    >>> round(fits.predict({"N": 1e11, "data": "web"}).mean, 4)
    1.7728
    """
    # Thread pools load more than the import of the package should wait for.
    from ..executors import Workers
    from .joint import ROUNDS, fit_jointly, shared_params
    from .rounds import GroupedRows, Watch, run_groups, seeded

    recipe = Recipe.make(
        law,
        residual=residual,
        loss=loss,
        fixed=fixed,
        priors=priors,
        starts=starts,
        rng=rng,
        threads=threads,
        backend=backend,
        max_iter=max_iter,
        screen=screen,
    )
    law = recipe.law
    check_progress(progress)
    if on_error not in ("keep", "raise"):
        raise ValueError(f"on_error must be 'keep' or 'raise', not {on_error!r}")
    names, single = as_by(by)
    common = shared_params(recipe, shared)
    _check_names(law, names)
    table = GroupedRows.read(law, runs, names, single, columns, weights, keep)

    jobs = seeded(recipe, len(table.groups.keys))
    watch = Watch(progress, len(jobs) * (ROUNDS if common else 1))
    joint = None
    with Workers(executor) as workers:
        found = run_groups(table, jobs, watch, workers)
        if common:
            joint, found = fit_jointly(table, jobs, common, found, watch, workers)
    fits, failures = {}, {}
    for key, outcome in zip(table.groups.keys, found, strict=True):
        if isinstance(outcome, Fit):
            fits[key] = outcome
        elif on_error == "raise":
            raise DataError(
                f"{spoken(names, key, single)}: {outcome}", outcome.column, outcome.rows
            ) from outcome
        else:
            failures[key] = outcome.message
    result = Fits(
        law=law,
        by=names,
        groups=table.groups.keys,
        failures=failures,
        shared=common,
        joint=joint,
        _fits=fits,
        _single=single,
        _keys=key_table(runs, table.groups),
        _nobs=table.counted(),
        _columns=dict(columns or {}),
    )
    if text := result.complaint():
        warnings.warn(text, FitWarning, stacklevel=2)
    return result


def _check_names(law: Law, by: tuple[str, ...]) -> None:
    """Refuse columns that the table of results could not tell from its own."""
    own = {*FACTS, *law.params, *(f"{name}_stderr" for name in law.params)}
    for name in by:
        if name in own:
            raise ValueError(
                f"the table of results has a column {name!r} of its own: rename that column of runs, and by"
            )
    for name in law.params:
        if name in FACTS or f"{name}_stderr" in law.params:
            raise ValueError(f"the parameter {name!r} has the name of another column of the table of results")
