"""The options of a fit, checked once, and what they make of a table: the answer, without a word to the user.

`fit` is this and its warning. Whatever fits many times calls it directly: a warning can only be silenced for
all threads of a process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from .backends import Interrupt, Progress, get_backend
from .data import Labels, Runs, read_labels, read_runs
from .errors import BackendError, DataError, FormulaError, near
from .inference import residuals
from .law import Law
from .laws import as_law
from .losses import Loss, squared
from .priors import Prior
from .problem import Problem, Residual, Solutions
from .records import StartsReport, report_basins
from .result import Fit
from .starts import Rng, StartPoints, StartsLike, make_starts
from .ties import Binding, bind
from .verdict import judge

__all__ = ["Recipe", "check_progress", "fit_quietly", "spread_priors"]


@dataclass(frozen=True, eq=False)
class Recipe:
    """How to fit a table: the options of `fit`, with every default filled in.

    Made by :meth:`make`, which checks them. The result of :meth:`fit` depends on nothing else but the rows.

    Parameters
    ----------
    law, residual, loss, fixed, priors, starts, rng, threads, backend, max_iter, screen
        As for `fit`.
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
        law: Law | str,
        *,
        residual: Residual | None = None,
        loss: Loss | str | None = None,
        fixed: Mapping[str, Any] | None = None,
        priors: Mapping[str, Prior] | None = None,
        starts: StartsLike = 512,
        rng: Rng = 0,
        threads: int | None = None,
        backend: str = "rust",
        max_iter: int | None = None,
        screen: int | bool | None = None,
    ) -> Recipe:
        """Check what does not depend on the rows, so that a slip is one error and not one for each table.

        Parameters
        ----------
        law, residual, loss, fixed, priors, starts, rng, threads, backend, max_iter, screen
            The options of `fit`.

        Returns
        -------
        Recipe
            The options.

        Raises
        ------
        TypeError, ValueError
            If one is not understood.
        """
        law = as_law(law)
        chosen: Residual = residual or law.residual or "linear"
        if chosen not in ("linear", "log"):
            raise ValueError(f"residual must be 'linear' or 'log', not {chosen!r}")
        cost = Loss.parse(loss if loss is not None else law.loss if law.loss is not None else squared())
        for name, value in (("threads", threads), ("max_iter", max_iter)):
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if value is not None and not (whole and value >= 1):
                raise ValueError(f"{name} must be a positive whole number, not {value!r}")
        get_backend(backend)
        made = cls(
            law, chosen, cost, dict(fixed or {}), priors, starts, rng, threads, backend, max_iter, screen
        )
        _ = made.bound
        return made

    @cached_property
    def bound(self) -> tuple[Binding, dict[str, float | None]]:
        """What `fixed` does to the law: its ties, and the numbers that are held."""
        return bind(self.law, self.fixed)

    @property
    def free(self) -> list[str]:
        """Parameters that are neither fixed nor tied, in the order of the law."""
        binding, numbers = self.bound
        return [name for name in binding.fitted.params if numbers.get(name) is None]

    def fit(
        self,
        runs: Any,
        *,
        columns: Mapping[str, str] | None = None,
        weights: Any = None,
        keep: Sequence[str] = (),
        progress: Progress | None = None,
        on_interrupt: Interrupt = "raise",
    ) -> Fit:
        """Fit the law to a table, and leave it to the caller to read the verdict.

        Parameters
        ----------
        runs, columns, weights, keep, progress, on_interrupt
            As for `fit`.

        Returns
        -------
        Fit
            The fit.

        Raises
        ------
        DataError
            If the rows cannot be fitted.
        ValueError
            If an option cannot be used with them.
        """
        check_progress(progress)
        if on_interrupt not in ("raise", "keep"):
            raise ValueError(f"on_interrupt must be 'raise' or 'keep', not {on_interrupt!r}")
        binding, numbers = self.bound
        table = read_runs(self.law, runs, columns=columns, weights=weights, residual=self.residual)
        labels = read_labels(runs, keep, len(table.target))
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
                on_interrupt=on_interrupt,
            )
        except FormulaError:
            raise
        except ValueError as error:
            # Options are checked above: what is left is data that the formula cannot take, found by the
            # solver.
            message = _in_table_names(str(error), columns)
            raise DataError(message, getattr(error, "column", None), getattr(error, "rows", ())) from None
        return _result(binding, problem, points, solutions, self.backend, columns, labels)


def fit_quietly(
    law: Law | str,
    runs: Any,
    *,
    columns: Mapping[str, str] | None = None,
    weights: Any = None,
    keep: Sequence[str] = (),
    progress: Progress | None = None,
    on_interrupt: Interrupt = "raise",
    **options: Any,
) -> Fit:
    """Do what `fit` does, without its warning.

    Parameters
    ----------
    law, runs, columns, weights, keep, progress, on_interrupt
        As for `fit`.
    **options
        Its other options.

    Returns
    -------
    Fit
        The fit; look at ``valid``.

    Raises
    ------
    DataError, FormulaError, TypeError, ValueError
        As `fit`.
    """
    recipe = Recipe.make(law, **options)
    return recipe.fit(
        runs, columns=columns, weights=weights, keep=keep, progress=progress, on_interrupt=on_interrupt
    )


def check_progress(progress: object) -> None:
    """Raise ValueError unless progress can be reported to this object."""
    if progress is not None and not callable(progress):
        raise ValueError(f"progress must be a function of (done, total), not {progress!r}")


def _in_table_names(message: str, columns: Mapping[str, str] | None) -> str:
    for name, column in (columns or {}).items():
        message = message.replace(f'column "{name}"', f"column {column!r} ({name})")
    return message


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
    penalties = spread_priors(priors or {}, expanded, held, binding)
    return build(held, penalties)


def spread_priors(
    priors: Mapping[str, Prior],
    expanded: Mapping[str, Sequence[str]],
    held: Mapping[str, float],
    binding: Binding,
) -> dict[str, Prior]:
    """Return priors by expanded name: one on a grouped parameter holds for each of its values.

    Parameters
    ----------
    priors : mapping of str to Prior
        By declared or expanded name.
    expanded : mapping of str to sequence of str
        The expanded names of each declared parameter of the fitted law.
    held : mapping of str to float
        Parameters that are fixed.
    binding : Binding
        Which ones are tied.

    Returns
    -------
    dict of str to Prior
        By expanded name.

    Raises
    ------
    ValueError
        If a name is unknown, fixed or tied, or a prior is not one.
    """
    known = [name for names in expanded.values() for name in names]
    penalties: dict[str, Prior] = {}
    for name, prior in priors.items():
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
    return penalties


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
    labels: Mapping[str, Labels],
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
        starts=StartsReport(
            points.kind,
            len(points.theta),
            solved,
            int(hits),
            len(found),
            points.seed,
            tuple(points.theta[best].tolist()),
        ),
        nobs=nobs,
        columns={name: column for name, column in (columns or {}).items() if name != column},
        seconds=float(solutions.seconds),
        _problem=problem,
        _binding=binding,
        _theta=theta,
        _labels=dict(labels),
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
    zeros = np.zeros(problem.n, dtype=bool)
    for column in problem.inputs.values():
        zeros |= column == 0.0
    if zeros.any():
        row = int(np.flatnonzero(zeros)[0])
        inputs = ", ".join(f"{name} = {column[row]:g}" for name, column in problem.inputs.items())
        raise DataError(
            f"the law has no finite derivatives in row {row} ({inputs}) at any start: leave out the rows in "
            "which an input is zero, or use a law that has a limit there",
            rows=[int(row) for row in np.flatnonzero(zeros)[:5]],
        )
    raise BackendError(
        "no start has a finite objective, though the law is finite on every row; please report this"
    )
