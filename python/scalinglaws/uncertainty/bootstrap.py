"""What resampling says about a fit: draws of the parameters, and intervals for whatever follows from them."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backends import Interrupt, Progress
from ..errors import DataError, FitWarning
from ..inference import CovKind
from ..records import Prediction
from ..starts import Rng, seed_of
from .clusters import Clusters, read_clusters
from .derived import Derived, Function, derive
from .draw_errors import draw_covariances
from .intervals import Interval, IntervalKind, bounds, check_kind, check_level
from .prediction import read_points, shaped
from .quantities import Statistic
from .resampling import (
    BootstrapKind,
    Factor,
    Plan,
    Replicates,
    make_plan,
    make_starts,
    noise_pool,
    refit,
    refit_everywhere,
)

if TYPE_CHECKING:
    from xarray import Dataset

    from ..executors import ExecutorLike
    from ..result import Fit

__all__ = ["Bootstrap", "bootstrap"]

_GOOD = ("converged", "bound")
# Share of failed draws from which a warning is due: fewer hardly move a percentile.
_MANY = 0.02
# Units left out one by one for the acceleration of BCa; of more, groups are left out together.
_JACKKNIFE = 1000
# New runs that are simulated for one interval, at least.
_NEW_RUNS = 20_000


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap:
    """Refits of resampled rows. Made by `Fit.bootstrap`; immutable and picklable.

    Parameters
    ----------
    fit : Fit
        The fit that was resampled.
    kind : {"pairs", "wild", "residual", "parametric"}
        What was random.
    factor : {"rademacher", "webb"} or None
        Distribution of the random factor of the wild bootstrap.
    by : str or None
        What the clusters are called.
    clusters : int or None
        Number of clusters with a row that counts.
    seed : int
        Seed: with the number of a draw it determines the draw.
    names : tuple of str
        Parameters, one per column of `draws`.
    draws : ndarray of float, shape (n, q)
        Refitted parameters, natural units; failed draws keep their row, NaN if they could not be
        solved.
    objective : ndarray of float, shape (n,)
        Objective of each draw on its own rows.
    status : tuple of str, length n
        How each draw ended: as for `Fit`, ``"undetermined"`` if the rows drawn do not determine all
        parameters, and ``"cancelled"`` for draws that an interrupt or the loss of an executor prevented.
    start : ndarray of int, shape (n,)
        Which start led to each draw: 0 for the best fit, then other basins, then fresh starts.
    seconds : float
        Wall time.
    """

    fit: Fit
    kind: BootstrapKind
    factor: Factor | None
    by: str | None
    clusters: int | None
    seed: int
    names: tuple[str, ...]
    draws: NDArray[np.float64]
    objective: NDArray[np.float64]
    status: tuple[str, ...]
    start: NDArray[np.int64]
    seconds: float
    _clusters: Clusters | None = None
    _known: dict[str, Any] = field(default_factory=dict)

    # ---------------------------------------------------------------- draws

    @cached_property
    def ok(self) -> NDArray[np.bool_]:
        """Which draws converged; the others take no part in errors and intervals, shape (n,)."""
        return np.array([status in _GOOD for status in self.status], dtype=np.bool_)

    @property
    def failures(self) -> dict[str, int]:
        """Number of draws that did not converge, by status; draws that an interrupt prevented included."""
        return dict(Counter(status for status in self.status if status not in _GOOD))

    @property
    def moved(self) -> int:
        """Number of draws that another start than the best fit led to a lower objective."""
        return int((self.start[self.ok] > 0).sum())

    def replicate(self, index: int) -> dict[str, NDArray[np.float64]]:
        """Return the rows of one draw.

        Parameters
        ----------
        index : int
            Number of the draw, from 0.

        Returns
        -------
        dict
            ``"weights"``, the row weights of the draw with those of the fit in them, and ``"target"``, its
            observed values, arrays of shape (n,); and ``"centers"``, those of the fit's priors in their
            order.
        """
        if isinstance(index, bool) or not 0 <= index < len(self.status):
            raise ValueError(
                f"index must be the number of a draw, 0 to {len(self.status) - 1}, not {index!r}"
            )
        return self._plan.replicate(self.seed, int(index))

    # ---------------------------------------------------------------- parameters

    def stderr(self) -> dict[str, float]:
        """Return the standard deviation of each parameter over the draws, by name."""
        return dict(zip(self.names, np.sqrt(np.diagonal(self.cov())).tolist(), strict=True))

    def cov(self) -> NDArray[np.float64]:
        """Return the covariance of the parameters over the draws, shape (q, q), in the order of `names`."""
        good = self.draws[self.ok]
        if len(good) < 2:
            return np.full((len(self.names), len(self.names)), np.nan)
        return np.atleast_2d(np.cov(good, rowvar=False))

    @property
    def bias(self) -> dict[str, float]:
        """Mean of the draws less the fit's value, by name."""
        values = self.fit.values
        with np.errstate(invalid="ignore"):
            good = self.draws[self.ok]
            mean = good.mean(axis=0) if len(good) else np.full(len(self.names), np.nan)
        return {name: float(m) - values[name] for name, m in zip(self.names, mean, strict=True)}

    def conf_int(self, level: float = 0.95, kind: IntervalKind = "percentile") -> dict[str, Interval]:
        """Return equal-tailed confidence intervals of the parameters.

        Parameters
        ----------
        level : float
            Coverage, between 0 and 1.
        kind : {"percentile", "basic", "bca", "t"}
            ``"percentile"``: quantiles of the draws. ``"basic"``: these mirrored at the fit.
            ``"bca"``: percentiles corrected for bias and skewness, with a jackknife over rows or clusters.
            ``"t"``: studentised by the sandwich errors of every draw (classical ones for residual and
            parametric draws of the squared loss).

        Returns
        -------
        dict of str to Interval
            ``(lower, upper)`` by name; a fixed parameter has an interval of no width.

        Raises
        ------
        ValueError
            If the level or the kind is not understood.

        Notes
        -----
        ``"basic"`` and ``"t"`` intervals of positive parameters are made for their logarithm, unless a draw
        is zero; others are cut off at the bounds of the parameter's domain.
        """
        (lower,), (upper,) = self._parameter_bounds([level], kind)
        ends = zip(lower.tolist(), upper.tolist(), strict=True)
        return {name: Interval(*pair) for name, pair in zip(self.names, ends, strict=True)}

    # ---------------------------------------------------------------- what follows from them

    def apply(self, what: str | Function) -> Derived:
        """Return a quantity that follows from the parameters, with its draws.

        Parameters
        ----------
        what : str or callable
            An expression of parameters such as ``"beta / (alpha + beta)"``, or a function of one mapping of
            parameter values by name that returns a number or a list of numbers. It is called once for each
            draw.

        Returns
        -------
        Derived
            The quantity, with `Derived.stderr` and `Derived.conf_int`.

        Raises
        ------
        FormulaError
            If the expression cannot be read.
        ValueError
            If it names no parameter, or something that is none.
        """
        return derive(self, what)

    def predict(
        self,
        data: Any,
        level: float | None = None,
        *,
        kind: IntervalKind = "percentile",
        new_run: bool = False,
    ) -> Prediction:
        """Predict the target, with intervals from the draws.

        Parameters
        ----------
        data : DataFrame or mapping
            As for `Fit.predict`.
        level : float, optional
            Coverage of the interval, between 0 and 1; no interval if not given.
        kind : {"percentile", "basic", "bca", "t"}
            As for `conf_int`; the first two for new runs.
        new_run : bool
            False: interval for the law's value. True: interval for the measured value of a new run of weight
            one: the draws with the fit's residuals added at random (normal noise in a parametric bootstrap).

        Returns
        -------
        Prediction
            `mean` is the law at the fit's own parameters, `stderr` the standard deviation of the law over the
            draws. Intervals of log residuals are made for the logarithm.

        Raises
        ------
        DataError
            If an input is missing or holds values that are not finite numbers.
        """
        check_kind(kind)
        if new_run and kind not in ("percentile", "basic"):
            raise ValueError(f"new_run=True goes with kind='percentile' or kind='basic', not with {kind!r}")
        if level is not None:
            check_level(level)
        points = read_points(self.fit, data)
        good = points.values(self._good)
        mean = points.values(self.fit._theta[None, :])[0]
        stderr = good.std(axis=0, ddof=1) if len(good) > 1 else np.full(points.n, np.nan)
        lower = upper = None
        if level is not None:
            log = np.full(points.n, self.fit.residual == "log")
            if new_run:
                (lower,), (upper,) = self._new_run(mean, good, [level], kind)
            else:
                (lower,), (upper,) = self._intervals(Statistic(points.values), [level], kind, log)
        give = [shaped(a, points.shape) for a in (mean, stderr, lower, upper, points.decades)]
        return Prediction(give[0], give[1], give[2], give[3], level, kind, new_run, give[4])

    def _new_run(
        self,
        mean: NDArray[np.float64],
        good: NDArray[np.float64],
        levels: Sequence[float],
        kind: IntervalKind,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ends of intervals of new runs, each of shape (levels, points)."""
        lower, upper = np.full((2, len(levels), mean.size), np.nan)
        if not len(good):
            return lower, upper
        # The same noise for all points: each point's quantiles are its own, and memory is that of one point.
        rng = np.random.Generator(np.random.Philox(key=np.array([self.seed, 2**64 - 1], dtype=np.uint64)))
        size = len(good) * -(-_NEW_RUNS // len(good))
        if self.kind == "parametric":
            noise = rng.standard_normal(size) * math.sqrt(self.fit.rss / self.fit.dof)
        else:
            noise = rng.choice(noise_pool(self.fit), size)
        log, tails = self.fit.residual == "log", 0.5 * (1.0 - np.array(levels))
        with np.errstate(invalid="ignore", divide="ignore"):
            for point, value in enumerate(mean):
                drawn, center = good[:, point], value
                if log:
                    drawn, center = np.log(drawn), np.log(value)
                error = drawn - center
                # In a basic interval the error of the law is mirrored, the noise is not.
                error = np.resize(error if kind == "percentile" else -error, size) + noise
                ends = center + np.quantile(error, np.concatenate([tails, 1.0 - tails]))
                lower[:, point], upper[:, point] = ends.reshape(2, -1)
        return (np.exp(lower), np.exp(upper)) if log else (lower, upper)

    # ---------------------------------------------------------------- shown and kept

    def to_xarray(self) -> Dataset:
        """Return the draws as a labelled data set.

        Returns
        -------
        xarray.Dataset
            One variable per parameter along ``draw``, a grouped one along its categories, too; the status of
            each draw is a coordinate.

        Raises
        ------
        ImportError
            If xarray is missing.
        """
        from .labelled import to_dataset

        data = to_dataset(self.fit, self.draws, ("draw",))
        return data.assign_coords(status=("draw", list(self.status)))

    def summary(self, level: float = 0.95, kind: IntervalKind = "percentile") -> str:
        """Return a text table of the draws.

        Parameters
        ----------
        level, kind
            As for `conf_int`.
        """
        from ..report import bootstrap_summary

        return bootstrap_summary(self, level, kind)

    def to_dict(self) -> dict[str, Any]:
        """Return draws and fit as plain lists, numbers and strings, ready for JSON."""
        from ..serialize import bootstrap_to_dict

        return bootstrap_to_dict(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write draws and fit as JSON; `load` reads them back.

        Parameters
        ----------
        path : path
            File to write. It appears whole or not at all.
        """
        from ..serialize import write

        write(self.to_dict(), path)

    def __repr__(self) -> str:
        name = self.fit.law.id or self.fit.law.formula
        failed = len(self.status) - int(self.ok.sum())
        return f"<Bootstrap of {name}: {len(self.status)} draws ({self.kind}), {failed} failed>"

    def __str__(self) -> str:
        return self.summary()

    # ---------------------------------------------------------------- inside

    @property
    def _plan(self) -> Plan:
        """Compiled replicates; made again after unpickling."""
        if "plan" not in self._known:
            self._known["plan"] = make_plan(self.fit, self.kind, self.factor, self._clusters)
        plan: Plan = self._known["plan"]
        return plan

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {k: v for k, v in self._known.items() if k != "plan"}}

    def _inner(self, draws: NDArray[np.float64]) -> NDArray[np.float64]:
        """Parameters in the order of the problem, that is, without the tied ones."""
        return self.fit._inner_values(draws)

    @property
    def _good(self) -> NDArray[np.float64]:
        """Parameters of the draws that converged, in the order of the problem."""
        return self._inner(self.draws[self.ok])

    def _point(self, statistic: Statistic) -> NDArray[np.float64]:
        return np.asarray(statistic(self.fit._theta[None, :])[0])

    def _expand(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.fit._binding.expand(self.fit._problem, theta)

    def _parameter_bounds(
        self, levels: Sequence[float], kind: IntervalKind
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ends of intervals of the parameters, each of shape (levels, q), inside their domains."""
        domain = np.array([self.fit.law.params[n.partition("[")[0]].bounds for n in self.names])
        lower, upper = self._intervals(Statistic(self._expand), levels, kind, domain[:, 0] >= 0.0)
        known = np.isfinite(lower)
        return (
            np.where(known, np.fmax(lower, domain[:, 0]), np.nan),
            np.where(known, np.fmin(upper, domain[:, 1]), np.nan),
        )

    def _intervals(
        self, statistic: Statistic, levels: Sequence[float], kind: IntervalKind, log: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ends of intervals, each of shape (levels, m).

        They are made on the logarithm where `log` says so and all draws are positive.
        """
        levels, kind = [check_level(level) for level in levels], check_kind(kind)
        theta, best = self._good, self.fit._theta[None, :]
        draws, estimate = statistic(theta), statistic(best)[0]
        # Percentiles are the same on any scale.
        log = log & (kind in ("basic", "t")) & (draws > 0.0).all(axis=0) & (estimate > 0.0)
        options: dict[str, NDArray[np.float64]] = {}
        if kind == "bca":
            options["jackknife"] = statistic(self._jackknife)
        elif kind == "t":
            options["stderr"] = statistic.errors(best, self._cov(best, None))[0]
            options["draw_stderr"] = statistic.errors(theta, self._draw_covs)
            with np.errstate(invalid="ignore", divide="ignore"):
                options["stderr"] = np.where(log, options["stderr"] / estimate, options["stderr"])
                options["draw_stderr"] = np.where(log, options["draw_stderr"] / draws, options["draw_stderr"])

        def onto(values: NDArray[np.float64]) -> NDArray[np.float64]:
            with np.errstate(invalid="ignore", divide="ignore"):
                return np.where(log, np.log(values), values)

        center, spread = onto(estimate), onto(draws)
        ends = [bounds(kind, level, center, spread, **options) for level in levels]
        lower, upper = (np.array([pair[side] for pair in ends]) for side in (0, 1))
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(log, np.exp(lower), lower), np.where(log, np.exp(upper), upper)

    @property
    def _jackknife(self) -> NDArray[np.float64]:
        """Refits with one row or cluster, or a group of them, left out at a time; shape (j, k)."""
        if "jackknife" not in self._known:
            unit = self._plan.rows.core.unit.astype(np.int64)
            groups = min(self._plan.rows.core.units, _JACKKNIFE)
            codes = np.ascontiguousarray(unit % groups, dtype=np.uint32)
            rows = Replicates(self.fit._problem, "leave out", codes)
            report = refit(rows, make_starts(self.fit, 0), 0, (0, rows.core.units))
            good = np.array([status in _GOOD for status in report["status"]], dtype=np.bool_)
            self._known["jackknife"] = report["theta"][good]
        out: NDArray[np.float64] = self._known["jackknife"]
        return out

    @property
    def _draw_covs(self) -> NDArray[np.float64]:
        """Covariances of the parameters in every good draw, shape (b, k, k)."""
        if "covs" not in self._known:
            self._known["covs"] = self._cov(self._good, np.flatnonzero(self.ok))
        out: NDArray[np.float64] = self._known["covs"]
        return out

    def _cov(self, theta: NDArray[np.float64], numbers: NDArray[np.intp] | None) -> NDArray[np.float64]:
        """Covariances at these parameters with the rows of these draws, or with the fit's own."""
        plan, problem = self._plan, self.fit._problem
        if numbers is None:
            weights, target = problem.weights[None, :], problem.target[None, :]
            centers = np.array([[prior.center for prior in problem.priors.values()]])
        else:
            rows = [plan.replicate(self.seed, int(i)) for i in numbers]
            weights, target, centers = (
                np.array([row[name] for row in rows]).reshape(len(rows), -1)
                for name in ("weights", "target", "centers")
            )
        iid = self.kind in ("residual", "parametric") and not self.fit.loss.robust
        unit = plan.rows.core.unit.astype(np.intp) if self.clusters is not None else None
        kind: CovKind = "classical" if iid else "sandwich"
        return draw_covariances(
            problem, theta, weights, target, centers, self.fit.dof, kind, unit, self.fit._theta
        )


def bootstrap(
    fit: Fit,
    n: int,
    *,
    kind: str,
    by: str | ArrayLike | None,
    factor: str | None,
    starts_per_draw: int | str,
    rng: Rng,
    max_iter: int | None,
    threads: int | None,
    executor: ExecutorLike | None,
    progress: Progress | None,
    on_interrupt: Interrupt,
) -> Bootstrap:
    """Resample and refit; see `Fit.bootstrap`."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n must be the number of draws, at least 1, not {n!r}")
    for name, value in (("threads", threads), ("max_iter", max_iter)):
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if value is not None and not (whole and value >= 1):
            raise ValueError(f"{name} must be a positive whole number, not {value!r}")
    if progress is not None and not callable(progress):
        raise ValueError(f"progress must be a function of (done, total), not {progress!r}")
    if on_interrupt not in ("raise", "keep"):
        raise ValueError(f"on_interrupt must be 'raise' or 'keep', not {on_interrupt!r}")
    clusters = None if by is None else read_clusters(fit, by, least=fit.nfree + 1)
    plan = make_plan(fit, kind, factor, clusters)
    starts = make_starts(fit, starts_per_draw)
    seed = seed_of(rng)
    options: dict[str, Any] = {
        "max_iter": max_iter,
        "threads": threads,
        "progress": progress,
        "on_interrupt": on_interrupt,
    }
    if executor is None:
        report = refit(plan.rows, starts, seed, (0, int(n)), **options)
    else:
        report = refit_everywhere(executor, plan.rows, starts, seed, int(n), **options)
    out = Bootstrap(
        fit=fit,
        kind=plan.kind,
        factor=plan.factor if plan.kind == "wild" else None,
        by=None if clusters is None else clusters.name,
        clusters=None if clusters is None else clusters.count,
        seed=seed,
        names=fit.names,
        draws=np.array(fit._binding.expand(fit._problem, report["theta"])),
        objective=report["objective"],
        status=tuple(report["status"]),
        start=report["start"],
        seconds=float(report["seconds"]),
        _clusters=clusters,
        _known={"plan": plan},
    )
    _warn(out)
    return out


def _undetermined(fit: Fit) -> list[str]:
    """Parameters that the runs leave open: draws stay where the fit happened to end."""
    if fit.valid or fit.dof < 1:
        return []
    errors = fit.stderr().items()
    return [name for name, error in errors if math.isnan(error) and name not in fit._at_bound]


def _warn(boot: Bootstrap) -> None:
    if open_names := _undetermined(boot.fit):
        warnings.warn(
            f"the runs do not determine {', '.join(open_names)}: draws stay where the fit happened to end, "
            f"and their intervals mean nothing. {boot.fit.message}",
            FitWarning,
            stacklevel=4,
        )
    done = [status for status in boot.status if status != "cancelled"]
    failed = {status: count for status, count in boot.failures.items() if status != "cancelled"}
    count = sum(failed.values())
    if done and count == len(done):
        raise DataError(f"no draw could be refitted: {_spoken(failed)}")
    if count > _MANY * len(done):
        warnings.warn(
            f"{count} of {len(done)} draws failed ({_spoken(failed)}) and take no part in the intervals, "
            "which may be too narrow for that",
            FitWarning,
            stacklevel=4,
        )


def _spoken(failures: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in failures.items())
