"""The one call: a law, a table of runs, and how to fit them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from .backends import Interrupt, Progress
from .errors import FitWarning
from .law import Law
from .losses import Loss
from .priors import Prior
from .problem import Residual
from .recipe import fit_quietly
from .result import Fit
from .starts import Rng, StartsLike

__all__ = ["fit"]


def fit(
    law: Law | str,
    runs: Any,
    *,
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
    backend: str = "rust",
    progress: Progress | None = None,
    max_iter: int | None = None,
    screen: int | bool | None = None,
    on_interrupt: Interrupt = "raise",
) -> Fit:
    """Fit a law to a table of runs.

    Minimises the *sum* over rows of weight times loss of the residual T(y) - T(f), from many starts.

    Parameters
    ----------
    law : Law or str
        The law, or the name of one in the catalogue.
    runs : DataFrame or mapping
        One row per run: any frame that narwhals knows (pandas, polars, pyarrow, ...), a mapping of equally
        long sequences, or a NumPy structured array. Nothing in it is dropped or filled.
    columns : mapping of str to str, optional
        The table's name of a column of the law, where they differ: ``{"N": "params", "L": "loss"}``.
    residual : {"linear", "log"}, optional
        T, where residuals are taken; the law's recommendation, else ``"linear"``.
    loss : Loss or str, optional
        Cost of a residual, for example ``huber(1e-3)`` or ``"huber:1e-3"``; the law's recommendation, else
        ``squared()``.
    weights : array_like or str, optional
        Non-negative factors on the rows' losses, or the column that holds them; used as they are.
    keep : sequence of str, optional
        Further columns of the table to keep with the fit as labels of its rows, such as the run or the
        configuration, for the option ``by=`` of `Fit.bootstrap`, `Fit.cov` and others.
    fixed : mapping, optional
        Parameters that are not fitted: ``{"alpha": 0.35}`` holds a number, ``{"beta": "alpha"}`` ties one to
        an expression of others, ``{"A": {"en": 400}}`` holds one category of a grouped one, ``{"E": 0}``
        takes a positive term out, and None frees a parameter that was declared with a value.
    priors : mapping of str to Prior, optional
        Penalties, ``{"alpha": normal(0.34, 0.05)}``. A prior on a grouped parameter holds for each category.
    starts : int, "paper", mapping or array_like, default 512
        A number of points of a scrambled Sobol sequence over the start ranges; the grid of the law's paper;
        one start by name, where missing names start in the middle of their range; or an array of shape (m, k)
        in the order of ``law.params``.
    rng : int, Generator, SeedSequence or None, default 0
        Seed of the Sobol sequence. The result never depends on the number of threads.
    threads : int, optional
        Number of threads; else the variable ``SCALINGLAWS_NUM_THREADS``, else all available cores.
    backend : {"rust", "scipy"}, default "rust"
        The compiled solver, or the independent one through scipy.optimize.
    progress : callable, optional
        Called from this thread as ``progress(done, total)``.
    max_iter : int, optional
        Limit on the steps of each local fit.
    screen : int or bool, optional
        How many starts to solve, those of the lowest objective; 0 for all. By default all, but of a Sobol
        sequence the best eighth and at least 32.
    on_interrupt : {"raise", "keep"}, default "raise"
        What Ctrl-C does: raise, or return the best of what has been solved.

    Returns
    -------
    Fit
        Values, uncertainty, and a verdict.

    Raises
    ------
    DataError
        If the table lacks a column, or holds values that cannot be fitted.
    FormulaError
        If an expression cannot be read.
    ValueError
        If an option is not understood or a start lies outside its domain.

    Warns
    -----
    FitWarning
        Once, if the fit is not valid; it says what to do.

    Examples
    --------
    >>> import numpy as np
    >>> import scalinglaws as sl
    >>> law = sl.Law("L ~ E + A / N**alpha", params={
    ...     "E": sl.Param("positive", start=(0.1, 5)),
    ...     "A": sl.Param("positive", start=(1, 1e5), sampling="log"),
    ...     "alpha": sl.Param("positive", start=(0.05, 1)),
    ... })
    >>> N = np.geomspace(1e7, 1e10, 8)
    >>> fit = sl.fit(law, {"N": N, "L": 1.7 + 400 / N**0.34}, residual="log")
    >>> round(fit.values["alpha"], 6)
    0.34
    """
    result = fit_quietly(
        law,
        runs,
        columns=columns,
        weights=weights,
        keep=keep,
        progress=progress,
        on_interrupt=on_interrupt,
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
    if not result.valid:
        warnings.warn(f"the fit is not valid: {result.message}", FitWarning, stacklevel=2)
    return result
