"""Every kind of interval for one simulated data set, and whether it covers the truth.

Quantities are the parameters, then the law at the four places, then a new run at each of them. A method that
makes no interval for a quantity leaves ``MISSING`` there, one that was never meant for it ``ABSENT``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scalinglaws as sl
from numpy.typing import NDArray
from scalinglaws.uncertainty.constrained import Constrained, Point
from scalinglaws.uncertainty.prediction import read_points
from scalinglaws.uncertainty.quantities import Statistic
from scipy.special import stdtrit

from benches.coverage.designs import LEVELS, PLACES, Design, Experiment, simulate

__all__ = ["ABSENT", "BOOTSTRAPS", "MISSING", "Outcome", "default_kind", "method_names", "one_set"]

Array = NDArray[np.float64]

MISSING, ABSENT = -1, -2
INTERVALS = ("percentile", "basic", "bca", "t")
BOOTSTRAPS = ("pairs", "wild", "residual", "parametric")
# Starts from which every data set is fitted besides the truth.
_STARTS = 15
# Data sets of which the profiles are followed to their ends, for widths and as a check.
_FOLLOWED = 100
_PLACES = len(PLACES)


class Outcome:
    """Coverage and widths of all methods for one data set.

    Parameters
    ----------
    truth : ndarray, shape (q,)
        True values of the quantities; for new runs the measured ones.
    names : sequence of str
        Methods.
    """

    def __init__(self, truth: Array, names: tuple[str, ...]) -> None:
        self.truth, self.names = truth, names
        shape = (len(names), len(LEVELS), truth.size)
        self.cover = np.full(shape, ABSENT, dtype=np.int8)
        self.width = np.full((len(names), truth.size), np.nan, dtype=np.float32)
        self.estimate = np.full(truth.size, np.nan)
        self.lower_found = 0
        self.disagree = 0

    def put(self, name: str, level: int, where: slice, lower: Any, upper: Any) -> None:
        """Enter the intervals of one method and level."""
        row, truth = self.names.index(name), self.truth[where]
        lower, upper = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            inside = ((lower <= truth) & (truth <= upper)).astype(np.int8)
            inside[np.isnan(lower) | np.isnan(upper)] = MISSING
            self.cover[row, level, where] = inside
            if LEVELS[level] == 0.95:
                self.width[row, where] = upper - lower

    def fail(self, name: str, where: slice) -> None:
        """Enter that a method made no intervals."""
        self.cover[self.names.index(name), :, where] = MISSING


def method_names(design: Design) -> tuple[str, ...]:
    """Return the methods that are tried on a design, in the order of the table."""
    cov = _cov_kinds(design)
    out = [f"{method}, {kind}" for method in ("profile", "delta") for kind in cov]
    for kind, clustered in _bootstraps(design):
        label = f"{kind}, clusters" if clustered else kind
        out += [f"{label}, {interval}" for interval in INTERVALS]
    return tuple(out)


def default_kind(design: Design, seed: int) -> str:
    """Return which of the methods' kinds the library takes by default for a design."""
    if design.clusters is not None:
        return "clusters"
    experiment = simulate(design, seed, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.FitWarning)
        fit = _fit(design, experiment, np.array([design.truth[name] for name in design.law.params]))
    return fit.predict(experiment.points, 0.95).kind


def one_set(design: Design, seed: int, number: int, draws: int) -> Outcome:
    """Fit data set `number` of a design and make every interval."""
    experiment = simulate(design, seed, number)
    true = np.array([design.truth[name] for name in design.law.params])
    outcome = Outcome(np.concatenate([true, experiment.mean, experiment.new]), method_names(design))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.FitWarning)
        fit = _fit(design, experiment, true)
        outcome.estimate = np.concatenate(
            [list(fit.values.values()), np.tile(fit.predict(experiment.points).mean, 2)]
        )
        _analytic(design, experiment, fit, outcome, number < _FOLLOWED)
        for kind, clustered in _bootstraps(design):
            _bootstrap(design, experiment, fit, outcome, kind, clustered, draws)
    return outcome


def _fit(design: Design, experiment: Experiment, true: Array) -> sl.Fit:
    """Fit from the truth and from starts over the ranges of the law."""
    rng = np.random.default_rng(experiment.seed)
    starts = np.empty((_STARTS + 1, true.size))
    starts[0] = true
    for column, param in enumerate(design.law.params.values()):
        low, high = param.start  # type: ignore[misc]
        share = rng.random(_STARTS)
        log = param.sampling == "log"
        starts[1:, column] = low * (high / low) ** share if log else low + (high - low) * share
    return sl.fit(design.law, experiment.data, residual="log", loss=design.loss, starts=starts, threads=1)


def _cov_kinds(design: Design) -> tuple[str, ...]:
    kinds = ["sandwich", "hessian"] if design.loss.robust else ["classical", "sandwich", "hessian"]
    return (*kinds, "clusters") if design.clusters is not None else tuple(kinds)


def _bootstraps(design: Design) -> Iterator[tuple[str, bool]]:
    for kind in BOOTSTRAPS:
        yield kind, False
        if design.clusters is not None and kind in ("pairs", "wild"):
            yield kind, True


def _analytic(design: Design, experiment: Experiment, fit: sl.Fit, outcome: Outcome, follow: bool) -> None:
    """Profiles and the delta method with each kind of covariance."""
    p = len(fit.names)
    params, mean, new = slice(0, p), slice(p, p + _PLACES), slice(p + _PLACES, p + 2 * _PLACES)
    points: dict[str, Point] = {}
    for kind in _cov_kinds(design):
        options: Any = {"by": design.clusters} if kind == "clusters" else {"kind": kind}
        for index, name in enumerate(fit.names):
            _profile(fit, name, options, outcome, f"profile, {kind}", index, points, follow)
        try:
            for level, share in enumerate(LEVELS):
                ends = fit.conf_int(share, method="delta", **options).values()
                outcome.put(f"delta, {kind}", level, params, *zip(*ends, strict=True))
                for where, new_run in ((mean, False), (new, True)):
                    made = fit.predict(experiment.points, share, new_run=new_run, **options)
                    outcome.put(f"delta, {kind}", level, where, made.lower, made.upper)
        except (ValueError, sl.DataError):
            outcome.fail(f"delta, {kind}", slice(0, p + 2 * _PLACES))


def _profile(
    fit: sl.Fit,
    name: str,
    options: Any,
    outcome: Outcome,
    method: str,
    index: int,
    points: dict[str, Point],
    follow: bool,
) -> None:
    """Decide by one refit whether the profile's interval holds the truth.

    The interval ends where the statistic passes the threshold, so the truth lies inside if it is lower there:
    one refit in place of some dozens. For the first data sets the ends are looked for as well, which gives
    the widths and shows whether both ways agree.
    """
    here, truth = slice(index, index + 1), float(outcome.truth[index])
    try:
        path = Constrained(fit, [name], options.get("kind"), options.get("by"))
        if name not in points:
            u = math.log(truth) if path.logs[0] else truth
            points[name] = path.refit((u,))
            outcome.lower_found += path.lower is not None
        point = points[name]
        statistic = path.statistic(point) if point.converged else math.nan
        for level, share in enumerate(LEVELS):
            inside = statistic <= float(stdtrit(path.noise.dof, 0.5 * (1.0 + share))) ** 2
            ends = (-math.inf, math.inf) if inside else (math.inf, -math.inf)
            outcome.put(method, level, here, *([math.nan] * 2 if math.isnan(statistic) else ends))
        row = outcome.names.index(method)
        outcome.width[row, index] = np.nan
        if follow:
            found = fit.profile(name, level=0.95, points=0, **options)
            outcome.width[row, index] = found.upper - found.lower
            outcome.disagree += (found.lower <= truth <= found.upper) != (outcome.cover[row, -1, index] == 1)
    except (ValueError, sl.DataError):
        outcome.fail(method, here)


def _bootstrap(
    design: Design,
    experiment: Experiment,
    fit: sl.Fit,
    outcome: Outcome,
    kind: Any,
    clustered: bool,
    draws: int,
) -> None:
    """Draws of one kind, and every interval from them."""
    p = len(fit.names)
    params, mean, new = slice(0, p), slice(p, p + _PLACES), slice(p + _PLACES, p + 2 * _PLACES)
    label = f"{kind}, clusters" if clustered else kind
    try:
        by = design.clusters if clustered else None
        boot = fit.bootstrap(draws, kind=kind, by=by, rng=experiment.seed, threads=1)
    except (ValueError, sl.DataError):
        for interval in INTERVALS:
            outcome.fail(f"{label}, {interval}", slice(0, p + 2 * _PLACES))
        return
    points = read_points(fit, experiment.points)
    draws_there = points.values(boot._inner(boot.draws[boot.ok]))
    log = np.ones(_PLACES, dtype=np.bool_)
    # All levels at once; `Bootstrap.conf_int` and `Bootstrap.predict` do the same for one level.
    made: dict[str, Callable[[Any], tuple[Array, Array]]] = {
        "params": lambda how: boot._parameter_bounds(LEVELS, how),
        "mean": lambda how: boot._intervals(Statistic(points.values), LEVELS, how, log),
        "new": lambda how: boot._new_run(points.values(fit._theta[None, :])[0], draws_there, LEVELS, how),
    }
    for interval in INTERVALS:
        for what, where in (("params", params), ("mean", mean), ("new", new)):
            if what == "new" and interval in ("bca", "t"):
                continue
            try:
                for level, ends in enumerate(zip(*made[what](interval), strict=True)):
                    outcome.put(f"{label}, {interval}", level, where, *ends)
            except (ValueError, sl.DataError):
                outcome.fail(f"{label}, {interval}", where)
