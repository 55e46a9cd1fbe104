"""Replicates of a fit's rows and their refits: what `Fit.bootstrap` does before there is a result."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..backends import Interrupt, Progress
from ..backends.rust import compiled, thread_count
from ..errors import near
from ..starts import free_params, paper_grid, revived, start_range
from .clusters import Clusters

if TYPE_CHECKING:
    from ..executors import ExecutorLike
    from ..problem import Problem
    from ..result import Fit

__all__ = [
    "BootstrapKind",
    "Factor",
    "Plan",
    "Replicates",
    "Starts",
    "make_plan",
    "make_starts",
    "noise_pool",
    "refit",
    "refit_everywhere",
]

BootstrapKind: TypeAlias = Literal["pairs", "wild", "residual", "parametric"]
Factor: TypeAlias = Literal["rademacher", "webb"]

# Other basins that a draw is refitted from, at most.
_BASINS = 8
# A basin is worth a refit of every draw if a resampling may bring it below the best: its objective lies
# within this many standard deviations of the difference.
_REACH = 4.0


@dataclass(frozen=True, eq=False)
class Starts:
    """Where every draw is refitted from.

    Parameters
    ----------
    warm : ndarray of float, shape (m, k)
        Optima of the original rows, the best first.
    cold : ndarray of float, shape (c, k)
        Starts that are no optima.
    fresh : int
        Number of starts that each draw takes for itself from the start ranges.
    ranges : list of (low, high, log)
        Start range of each free parameter; empty if `fresh` is 0.
    """

    warm: NDArray[np.float64]
    cold: NDArray[np.float64]
    fresh: int
    ranges: list[tuple[float, float, bool]]


@dataclass(frozen=True, eq=False)
class Replicates:
    """The rows of a problem and what is random about them; picklable, and compiled where it is used.

    Parameters
    ----------
    problem : Problem
        The rows.
    scheme : str
        What the extension calls the kind of replicate.
    codes : ndarray of uint32, shape (n,), or None
        Cluster of each row.
    fitted, noise, scale : ndarray of float
        What the scheme adds noise to, and the noise; empty where it has no use for them.
    about : ndarray of float, shape (k,), or None
        Parameters about which the centres of priors are drawn; None where they stay.
    """

    problem: Problem
    scheme: str
    codes: NDArray[np.uint32] | None = None
    fitted: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    noise: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    scale: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    about: NDArray[np.float64] | None = None

    @cached_property
    def core(self) -> _core.Resampling:
        """The compiled form, with its own copy of the rows."""
        return _core.Resampling(
            compiled(self.problem),
            self.scheme,
            self.codes,
            self.fitted,
            self.noise,
            self.scale,
            self.about,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "core"}


@dataclass(frozen=True, eq=False)
class Plan:
    """How replicates of a fit's rows are made.

    Parameters
    ----------
    fit : Fit
        The fit.
    kind : {"pairs", "wild", "residual", "parametric"}
        What is random.
    factor : {"rademacher", "webb"}
        Distribution of the random factor of the wild bootstrap.
    clusters : Clusters or None
        Rows that stay together.
    rows : Replicates
        How the rows are resampled.
    """

    fit: Fit
    kind: BootstrapKind
    factor: Factor
    clusters: Clusters | None
    rows: Replicates

    def replicate(self, seed: int, index: int) -> dict[str, NDArray[np.float64]]:
        """Return row weights, targets and centres of priors, natural units, of one draw."""
        weights, target, centers = self.rows.core.replicate(seed, index)
        problem = self.fit._problem
        if target.size == 0:
            target = problem.target.copy()
        elif self.fit.residual == "log":
            target = np.exp(target)
        if centers.size == 0:
            centers = np.array([prior.center for prior in problem.priors.values()])
        return {"weights": weights, "target": target, "centers": centers}


def make_plan(fit: Fit, kind: str, factor: str | None, clusters: Clusters | None) -> Plan:
    """Check the options of a bootstrap and prepare its replicates.

    Parameters
    ----------
    fit : Fit
        A converged fit that holds its rows.
    kind, factor
        As for `Fit.bootstrap`.
    clusters : Clusters or None
        Rows that stay together.

    Returns
    -------
    Plan
        The replicates.

    Raises
    ------
    ValueError
        If an option is not understood or cannot be combined with others, or the fit did not converge.
    DataError
        If the fit was saved without its rows.
    """
    kinds = get_args(BootstrapKind)
    if kind not in kinds:
        raise ValueError(
            f"kind must be one of {', '.join(map(repr, kinds))}, not {kind!r}.{near(str(kind), kinds)}"
        )
    if factor not in (None, *get_args(Factor)):
        raise ValueError(f"factor must be 'rademacher' or 'webb', not {factor!r}")
    if factor is not None and kind != "wild":
        raise ValueError(f"factor belongs to kind='wild', not to kind={kind!r}")
    fit._need_rows("bootstrap")
    if not fit.success:
        raise ValueError(
            f"the fit did not converge (status {fit.status!r}), so there is nothing to vary around: "
            f"{fit.message}"
        )
    if clusters is not None and kind in ("residual", "parametric"):
        raise ValueError(
            f"by= goes with kind='pairs' or kind='wild': kind={kind!r} takes rows as independent"
        )
    if kind in ("wild", "residual", "parametric"):
        _check_symmetric(fit, kind)
    # Signs of few clusters repeat themselves: 2^(G-1) different draws are too few below twelve or so.
    few = clusters is not None and clusters.count < 12
    chosen: Factor = cast(Factor, factor) if factor is not None else "webb" if few else "rademacher"
    rows = _replicates(fit, cast(BootstrapKind, kind), chosen, clusters)
    return Plan(fit, cast(BootstrapKind, kind), chosen, clusters, rows)


def _check_symmetric(fit: Fit, kind: str) -> None:
    if fit.loss.lopsided and kind in ("wild", "parametric"):
        raise ValueError(
            f"kind={kind!r} makes noise that is symmetric about the law, and the loss {fit.loss} does not "
            "put the law in the middle of the runs: use kind='pairs' or kind='residual'"
        )
    if fit.dof < 1:
        raise ValueError(
            f"kind={kind!r} needs the size of the noise, and {fit.nobs} rows less {fit.nfree} parameters "
            "leave no degree of freedom"
        )


def _replicates(fit: Fit, kind: BootstrapKind, factor: Factor, clusters: Clusters | None) -> Replicates:
    problem = fit._problem
    codes = None if clusters is None else clusters.codes.astype(np.uint32)
    if kind == "pairs":
        return Replicates(problem, "pairs", codes)
    used = problem.weights > 0.0
    fitted, residual = fit._rows
    with np.errstate(all="ignore"):
        fitted = np.log(fitted) if fit.residual == "log" else fitted
    # A row that does not count may lie where the law has no value.
    fitted, residual = np.where(used, fitted, 0.0), np.where(used, residual, 0.0)
    about = _centers(fit)
    if kind == "wild":
        noise = residual * _correction(fit, clusters)
        return Replicates(problem, factor, codes, fitted, noise, about=about)
    root = np.where(used, np.sqrt(problem.weights), 1.0)
    scale = np.where(used, 1.0 / root, 0.0)
    if kind == "parametric":
        sigma = math.sqrt(fit.rss / fit.dof)
        return Replicates(problem, "parametric", None, fitted, scale=sigma * scale, about=about)
    return Replicates(problem, "residual", None, fitted, noise_pool(fit), scale, about)


def _centers(fit: Fit) -> NDArray[np.float64] | None:
    """Parameters about which centres of priors are drawn: a prior is one more observation of its parameter.

    Where noise is made anew about the law, a prior that stayed where it is would pull every draw away from
    the fit, as it has pulled the fit.
    """
    return np.ascontiguousarray(fit._theta) if fit._problem.priors else None


def noise_pool(fit: Fit) -> NDArray[np.float64]:
    """Residuals of rows of positive weight as noise of a run of weight one, shape (nobs,).

    They are inflated by sqrt(n / (n - k)), because the fit has come closer to its own rows than the truth is;
    those of the squared loss are centred, for a law without a free level leaves them off centre.
    """
    problem = fit._problem
    used = problem.weights > 0.0
    pool = (np.sqrt(problem.weights) * fit._rows[1])[used]
    if fit.loss.kind == "squared" and fit.loss.above == 1.0:
        pool = pool - pool.mean()
    return np.ascontiguousarray(pool * _correction(fit, None))


def _correction(fit: Fit, clusters: Clusters | None) -> float:
    """Factor on residuals for the degrees of freedom that the fit took."""
    if fit.dof < 1:
        return math.nan
    n, k = fit.nobs, fit.nfree
    if clusters is None:
        return math.sqrt(n / (n - k))
    g = clusters.count
    return math.sqrt(g / (g - 1) * (n - 1) / (n - k))


def make_starts(fit: Fit, starts_per_draw: int | str) -> Starts:
    """Where the draws of a fit are refitted from.

    Parameters
    ----------
    fit : Fit
        The fit.
    starts_per_draw : int or "paper"
        Number of fresh starts, or the grid of the law's paper.

    Returns
    -------
    Starts
        The best fit, other basins that a draw may prefer, and the rest.

    Raises
    ------
    ValueError
        If the option is not understood, or a parameter has no start range.
    """
    problem = fit._problem
    none = np.empty((0, len(problem.names)))
    cold, fresh, ranges = none, 0, []
    if isinstance(starts_per_draw, str):
        if starts_per_draw != "paper":
            raise ValueError(f"starts_per_draw must be a number or 'paper', not {starts_per_draw!r}")
        cold = np.ascontiguousarray(paper_grid(problem, fit._binding.law))
    else:
        whole = isinstance(starts_per_draw, (int, np.integer)) and not isinstance(starts_per_draw, bool)
        if not whole or starts_per_draw < 0:
            raise ValueError(f"starts_per_draw must be a whole number from 0, not {starts_per_draw!r}")
        fresh = int(starts_per_draw)
        if fresh:
            ranges = [
                (*start_range(name, param), param.sampling == "log")
                for _, name, param in free_params(problem)
            ]
    alive = revived(problem, fit._theta)
    if alive:
        cold = np.ascontiguousarray(np.concatenate([np.array(alive), cold]))
    return Starts(_basins(fit), cold, fresh, ranges)


def _basins(fit: Fit) -> NDArray[np.float64]:
    """Return the best parameters, then those of other basins that resampled rows may prefer."""
    from ..inference import residuals

    problem, best = fit._problem, fit._theta
    found = [best]
    cost = problem.weights * fit.loss.rho(fit._rows[1])
    for basin in fit.basins[1:]:
        if len(found) > _BASINS or basin.status not in ("converged", "bound"):
            continue
        theta = np.array([basin.values[name] for name in problem.names])
        with np.errstate(all="ignore"):
            other = problem.weights * fit.loss.rho(residuals(problem, theta)[1])
        spread = math.sqrt(float(((other - cost)[problem.weights > 0.0] ** 2).sum()))
        if math.isfinite(spread) and basin.objective - fit.objective <= _REACH * spread:
            found.append(theta)
    return np.ascontiguousarray(found)


def refit(
    rows: Replicates,
    starts: Starts,
    seed: int,
    draws: Sequence[int],
    *,
    max_iter: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    on_interrupt: Interrupt = "raise",
) -> Any:
    """Refit the draws of a range of numbers.

    Parameters
    ----------
    rows : Replicates
        The replicates.
    starts : Starts
        Where the refits begin.
    seed : int
        Seed of the draws.
    draws : sequence of two int
        First number, and the one after the last.
    max_iter, threads, progress, on_interrupt
        As for `Fit.bootstrap`.

    Returns
    -------
    dict
        Arrays ``theta`` (b, k), ``objective``, ``start``, the list ``status``, one entry per draw, and the
        wall time ``seconds``.
    """
    first, stop = draws
    return rows.core.refit(
        starts.warm,
        starts.cold,
        starts.fresh,
        starts.ranges,
        seed,
        first,
        stop,
        max_iter,
        thread_count(threads),
        progress,
        on_interrupt == "keep",
    )


def refit_everywhere(
    executor: ExecutorLike,
    rows: Replicates,
    starts: Starts,
    seed: int,
    n: int,
    *,
    max_iter: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    on_interrupt: Interrupt = "raise",
) -> dict[str, Any]:
    """Refit the first draws with the workers of an executor.

    Parameters
    ----------
    executor : executor or callable
        As for `Fit.bootstrap`.
    rows, starts, seed
        As for `refit`.
    n : int
        Number of draws.
    max_iter, threads, progress, on_interrupt
        As for `Fit.bootstrap`.

    Returns
    -------
    dict
        As from `refit` for the draws 0 to n.

    Raises
    ------
    BackendError
        If the executor is lost.
    """
    # Executors load more than the import of the package should wait for.
    from ..executors import Count, Workers

    began = time.perf_counter()
    out: dict[str, Any] = {
        "theta": np.full((n, len(rows.problem.names)), np.nan),
        "objective": np.full(n, np.inf),
        "start": np.zeros(n, dtype=np.int64),
        "status": ["cancelled"] * n,
    }
    with Workers(executor) as workers:
        ranges = workers.ranges(n)
        count = Count(progress, ranges)
        parts = workers.run(
            _refit_part,
            ranges,
            shared=(rows, starts, seed, max_iter, threads or 1),
            done=count,
            on_interrupt=on_interrupt,
        )
    for (first, stop), part in zip(ranges, parts, strict=True):
        if part is not None:
            for name, values in out.items():
                values[first:stop] = part[name]
    return {**out, "seconds": time.perf_counter() - began}


def _refit_part(shared: tuple[Replicates, Starts, int, int | None, int], draws: tuple[int, int]) -> Any:
    rows, starts, seed, max_iter, threads = shared
    return refit(rows, starts, seed, draws, max_iter=max_iter, threads=threads)
