"""The one call: a law, a table of runs, and how to fit them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .backends import Interrupt, Progress, get_backend
from .data import Runs, read_labels, read_runs
from .errors import BackendError, DataError, FitWarning, FormulaError, near
from .inference import residuals
from .law import Law
from .losses import Loss, squared
from .priors import Prior
from .problem import Problem, Residual, Solutions
from .records import StartsReport, report_basins
from .result import Fit
from .starts import Rng, StartPoints, StartsLike, make_starts
from .ties import Binding, bind
from .verdict import judge

__all__ = ["fit"]


def fit(
    law: Law | str,
    runs: Any,
    *,
    columns: Mapping[str, str] | None = None,
    residual: Residual | None = None,
    loss: Loss | str | None = None,
    weights: ArrayLike | str | None = None,
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
    keep: Sequence[str] = (),
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
    keep : sequence of str, optional
        Further columns of the table to keep with the fit as labels of its rows, such as the run or the
        configuration, for ``by=`` of `Fit.bootstrap`.

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
    law = _law(law)
    chosen_residual: Residual = residual or law.residual or "linear"
    if chosen_residual not in ("linear", "log"):
        raise ValueError(f"residual must be 'linear' or 'log', not {chosen_residual!r}")
    chosen_loss = Loss.parse(loss if loss is not None else law.loss if law.loss is not None else squared())
    _check_options(threads, max_iter, progress, on_interrupt)
    solver = get_backend(backend)

    binding, numbers = bind(law, fixed)
    table = read_runs(law, runs, columns=columns, weights=weights, residual=chosen_residual)
    labels = read_labels(runs, keep)
    problem = _problem(binding, numbers, table, chosen_residual, chosen_loss, priors)
    _check_rows(problem)
    points = make_starts(problem, binding.law, starts, rng=rng, screen=screen)
    try:
        solutions = solver.solve(
            problem,
            points.theta,
            screen=points.screen,
            max_iter=max_iter,
            threads=threads,
            progress=progress,
            on_interrupt=on_interrupt,
        )
    except FormulaError:
        raise
    except ValueError as error:
        # Options are checked above: what is left is data that the formula cannot take, found by the solver.
        message = _in_table_names(str(error), columns)
        raise DataError(message, getattr(error, "column", None), getattr(error, "rows", ())) from None
    result = _result(binding, problem, points, solutions, backend, columns, labels)
    if not result.valid:
        warnings.warn(f"the fit is not valid: {result.message}", FitWarning, stacklevel=2)
    return result


def _in_table_names(message: str, columns: Mapping[str, str] | None) -> str:
    for name, column in (columns or {}).items():
        message = message.replace(f'column "{name}"', f"column {column!r} ({name})")
    return message


def _law(law: Law | str) -> Law:
    if isinstance(law, Law):
        return law
    if isinstance(law, str):
        from .laws import laws

        try:
            return laws[law]
        except KeyError as error:
            raise ValueError(error.args[0]) from None
    raise TypeError(f"law must be a Law or the name of one, not {type(law).__name__}")


def _check_options(
    threads: object, max_iter: object, progress: Callable[..., object] | None, on_interrupt: object
) -> None:
    for name, value in (("threads", threads), ("max_iter", max_iter)):
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if value is not None and not (whole and value >= 1):  # type: ignore[operator]
            raise ValueError(f"{name} must be a positive whole number, not {value!r}")
    if progress is not None and not callable(progress):
        raise ValueError(f"progress must be a function of (done, total), not {progress!r}")
    if on_interrupt not in ("raise", "keep"):
        raise ValueError(f"on_interrupt must be 'raise' or 'keep', not {on_interrupt!r}")


def _problem(
    binding: Binding,
    numbers: Mapping[str, float | None],
    table: Runs,
    residual: Residual,
    loss: Loss,
    priors: Mapping[str, Prior] | None,
) -> Problem:
    law = binding.fitted
    columns = dict.fromkeys(law.groups.values())

    def build(fixed: Mapping[str, float], penalties: Mapping[str, Prior]) -> Problem:
        return Problem(
            law=law,
            target=table.target,
            inputs={name: table.inputs[name] for name in law.inputs},
            codes={column: table.codes[column] for column in columns},
            categories={column: table.categories[column] for column in columns},
            weights=table.weights,
            residual=residual,
            loss=loss,
            fixed=fixed,
            priors=penalties,
        )

    expanded = {
        param: [f"{param}[{label}]" for label in table.categories[law.groups[param]]]
        if param in law.groups
        else [param]
        for param in law.params
    }
    known = [name for names in expanded.values() for name in names]
    held: dict[str, float] = {}
    for name, value in numbers.items():
        targets = expanded.get(name, [name])
        for target in targets:
            if target not in known:
                raise ValueError(f"fixed names {target!r}, which is not a parameter.{near(target, known)}")
            if value is not None:
                held[target] = value
    penalties: dict[str, Prior] = {}
    for name, prior in (priors or {}).items():
        if not isinstance(prior, Prior):
            raise ValueError(
                f"the prior for {name!r} must be made with normal() or lognormal(), not {prior!r}"
            )
        if name in binding.ties:
            raise ValueError(f"{name!r} is tied, so it cannot have a prior; put it on what it is tied to")
        for target in expanded.get(name, [name]):
            if target not in known:
                raise ValueError(f"priors names {target!r}, which is not a parameter.{near(target, known)}")
            if target in held:
                raise ValueError(f"{target!r} is fixed, so its prior would do nothing")
            penalties[target] = prior
    return build(held, penalties)


def _check_rows(problem: Problem) -> None:
    free, used = int(problem.free.sum()), int((problem.weights > 0.0).sum())
    if free == 0:
        raise ValueError(
            "every parameter is fixed or tied, so there is nothing to fit; call the law to evaluate it"
        )
    if used + len(problem.priors) < free:
        rows = "1 row" if used == 1 else f"{used} rows"
        kind = "" if used == problem.n else " of positive weight"
        raise DataError(
            f"{rows}{kind} cannot determine {free} parameters: add runs, fix parameters with fixed={{...}}, "
            "or give priors"
        )
    # A category without a row of positive weight has parameters that no run speaks of.
    for column, codes in problem.codes.items():
        counts = np.bincount(codes[problem.weights > 0.0], minlength=len(problem.categories[column]))
        for label, count in zip(problem.categories[column], counts, strict=True):
            if count == 0:
                raise DataError(
                    f"no row of positive weight has the category {label!r} of column {column!r}", column
                )


def _result(
    binding: Binding,
    problem: Problem,
    points: StartPoints,
    solutions: Solutions,
    backend: str,
    columns: Mapping[str, str] | None,
    labels: Mapping[str, tuple[NDArray[np.uint32], tuple[str, ...]]] | None = None,
) -> Fit:
    status = list(solutions.status)
    found = _core.basins(
        np.ascontiguousarray(solutions.theta), np.ascontiguousarray(solutions.objective), status
    )
    solved = sum(s not in ("screened", "cancelled") for s in status)
    if not found:
        _explain_nothing(problem, points, status)
    best, hits = _representative(found[0], solutions), found[0][1]
    theta = np.array(solutions.theta[best], dtype=np.float64)
    nobs = int((problem.weights > 0.0).sum())
    dof = nobs - int(problem.free.sum())
    objective = float(solutions.objective[best])
    verdict = judge(problem, theta, status[best], dof)
    valid, message = verdict.valid, verdict.message
    if "cancelled" in status:
        message = f"{message}; interrupted when {solved} of {len(status)} starts were solved"
    outside = _outside(binding, problem, theta)
    if outside:
        message = outside if valid else f"{message}; {outside}"
        valid = False
    return Fit(
        law=binding.law,
        residual=problem.residual,
        loss=problem.loss,
        backend=backend,
        objective=objective,
        status=status[best],
        success=verdict.success,
        valid=valid,
        message=message,
        basins=report_basins(found, binding, problem, solutions.theta, solutions.objective, status),
        starts=StartsReport(points.kind, len(points.theta), solved, int(hits), len(found), points.seed),
        nobs=nobs,
        columns={name: column for name, column in (columns or {}).items() if name != column},
        seconds=float(solutions.seconds),
        _problem=problem,
        _binding=binding,
        _theta=theta,
        _labels=dict(labels or {}),
    )


def _representative(basin: tuple[int, int, Sequence[int]], solutions: Solutions) -> int:
    """Member of a basin to report: the lowest, but a converged one among those that are equal to rounding."""
    index, _, members = basin
    lowest = solutions.objective[index]
    level = lowest + 1e-12 * abs(lowest)
    good = [
        i
        for i in members
        if solutions.status[i] in ("converged", "bound") and solutions.objective[i] <= level
    ]
    return int(min(good, key=lambda i: (solutions.objective[i], i), default=index))


def _outside(binding: Binding, problem: Problem, theta: NDArray[np.float64]) -> str:
    """Tied parameters that left their domain, which no bound of the solver keeps them in."""
    if not binding.ties:
        return ""
    names = binding.names(problem.names, problem.owners)
    values = dict(zip(names, binding.expand(problem, theta).tolist(), strict=True))
    out = []
    for name, tie in binding.ties.items():
        param = binding.law.params[name]
        if tie.constant is None and not param.contains(values[name]):
            out.append(f"{name} = {tie.text} is {values[name]:.6g}, outside its domain {param.domain!r}")
    return "; ".join(out)


def _explain_nothing(problem: Problem, points: StartPoints, status: Sequence[str]) -> None:
    """No start led anywhere: say which rows are to blame, as far as that can be seen."""
    if all(s in ("cancelled", "screened") for s in status):
        raise KeyboardInterrupt
    bad = np.ones(problem.n, dtype=bool)
    with np.errstate(all="ignore"):
        for theta in points.theta[:: max(1, len(points.theta) // 16)]:
            bad &= ~np.isfinite(residuals(problem, theta)[1])
    blamed = np.flatnonzero(bad)
    if blamed.size:
        row = int(blamed[0])
        inputs = ", ".join(f"{name} = {column[row]:g}" for name, column in problem.inputs.items())
        more = f" and {blamed.size - 1} more" if blamed.size > 1 else ""
        log = ", whose logarithm is taken," if problem.residual == "log" else ""
        raise DataError(
            f"the value of the law{log} is not a finite number in row {row}{more} ({inputs}) at any start: "
            "the formula cannot take these inputs, or the start ranges are far off",
            rows=[int(row) for row in blamed[:5]],
        )
    raise BackendError(
        "no start has a finite objective, though the law is finite on every row; please report this"
    )
