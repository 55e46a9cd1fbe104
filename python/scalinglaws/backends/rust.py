"""The compiled backend: checks, hands arrays over, and wraps the report. No mathematics here."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..lines import Line, Stop, Walk
from ..problem import Problem, Solutions
from . import Interrupt, Progress

try:
    from .. import _core
except ImportError as error:  # pragma: no cover - an installation without the extension
    raise BackendError(
        f"scalinglaws._core cannot be loaded ({error}); use backend='scipy' or install the package again"
    ) from error

__all__ = ["compiled", "solve", "thread_count", "walk"]

_ENVIRONMENT = "SCALINGLAWS_NUM_THREADS"


def solve(
    problem: Problem,
    starts: NDArray[np.float64],
    *,
    screen: int | None = None,
    weights: NDArray[np.float64] | None = None,
    max_iter: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    on_interrupt: Interrupt = "raise",
) -> Solutions:
    """Solve `problem` from every start with the compiled solver.

    Parameters
    ----------
    problem : Problem
        The problem.
    starts : ndarray of float, shape (m, k)
        Starts in natural units.
    screen : int, optional
        Solve only the best of the starts.
    weights : ndarray of float, shape (m, n), optional
        One refit per row of weights.
    max_iter : int, optional
        Limit on the steps of one local fit.
    threads : int, optional
        Number of threads; the environment variable ``SCALINGLAWS_NUM_THREADS`` or all cores if not given. The
        result does not depend on it.
    progress : callable, optional
        Called as ``progress(done, total)``.
    on_interrupt : {"raise", "keep"}, default "raise"
        Whether Ctrl-C raises or returns what is done.

    Returns
    -------
    Solutions
        One row per start, or per row of weights.

    Raises
    ------
    ValueError
        If shapes or options are wrong.
    BackendError
        If the solver fails inside.
    """
    k = len(problem.names)
    starts = np.ascontiguousarray(starts, dtype=np.float64)
    if starts.ndim != 2 or starts.shape[1] != k or not len(starts):
        raise ValueError(f"starts must have the shape (m, {k}) with m of at least 1, not {starts.shape}")
    if weights is not None:
        weights = np.ascontiguousarray(weights, dtype=np.float64)
        if weights.ndim != 2 or weights.shape[1] != problem.n or len(starts) not in (1, len(weights)):
            raise ValueError(
                f"weights of shape {weights.shape} do not fit {problem.n} rows and {len(starts)} starts"
            )
    if on_interrupt not in ("raise", "keep"):
        raise ValueError(f"on_interrupt must be 'raise' or 'keep', not {on_interrupt!r}")
    report = compiled(problem).solve(
        starts, screen, weights, max_iter, thread_count(threads), progress, on_interrupt == "keep"
    )
    return Solutions(
        theta=report["theta"],
        objective=report["objective"],
        status=list(report["status"]),
        iterations=report["iterations"],
        evaluations=report["evaluations"],
        gradient=report["gradient"],
        seconds=report["seconds"],
    )


def walk(problem: Problem, line: Line) -> Walk:
    """Walk along held parameters; see `scalinglaws.backends.Backend.walk`."""
    best = line.starts[0]
    values = {problem.names[held.index]: float(best[held.index]) for held in line.held}
    fixed = compiled(replace(problem, fixed={**problem.fixed, **values}))
    held = [(h.index, h.origin, h.direction, h.log, *h.bounds) for h in line.held]
    starts = np.ascontiguousarray(line.starts, dtype=np.float64)
    stop, at, refits = _core.walk(
        fixed, held, starts, line.minimum, line.kappa, line.threshold, line.step, line.edge, line.level_step
    )
    return Walk(cast(Stop, stop), at, *refits)


def compiled(problem: Problem) -> _core.Problem:
    """Return the compiled form of a problem.

    Parameters
    ----------
    problem : Problem
        The problem.

    Returns
    -------
    _core.Problem
        An object with its own copy of the arrays.
    """
    law = problem.law
    core = _compiled_law(
        law.formula, tuple((name, param.kind, *param.bounds) for name, param in law.params.items())
    )
    columns = dict.fromkeys(core.groups.values())
    index = {name: position for position, name in enumerate(problem.names)}
    return _core.Problem(
        core,
        problem.target,
        [problem.inputs[name] for name in core.inputs],
        [problem.codes[column] for column in columns],
        [len(problem.categories[column]) for column in columns],
        problem.weights,
        problem.residual,
        problem.loss.kind,
        problem.loss.scale,
        problem.loss.above,
        np.array([problem.fixed.get(name, np.nan) for name in problem.names], dtype=np.float64),
        [(index[name], prior.kind, prior.center, prior.width) for name, prior in problem.priors.items()],
    )


def thread_count(threads: int | None) -> int | None:
    """Return the number of threads to ask for.

    Parameters
    ----------
    threads : int or None
        What the caller said.

    Returns
    -------
    int or None
        `threads`, else the environment's number, else None, which means all available cores.

    Raises
    ------
    ValueError
        If the number is not a positive whole number.
    """
    if threads is None:
        text = os.environ.get(_ENVIRONMENT, "").strip()
        if not text:
            return None
        if not text.isdigit() or int(text) < 1:
            raise ValueError(f"{_ENVIRONMENT} must be a positive whole number, not {text!r}")
        return int(text)
    if isinstance(threads, bool) or int(threads) != threads or threads < 1:
        raise ValueError(f"threads must be a positive whole number, not {threads!r}")
    return int(threads)


@lru_cache(maxsize=256)
def _compiled_law(formula: str, params: tuple[tuple[str, str, float, float], ...]) -> _core.Law:
    # Cross-validation and bootstrap make many problems of one law; a compiled law has no state.
    return _core.Law(formula, list(params))
