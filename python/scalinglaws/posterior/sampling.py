"""Sampling the posterior with ensembles of walkers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Progress, get_backend
from ..errors import FitWarning
from ..extras import need
from ..priors import Prior
from ..recipe import check_progress, spread_priors
from ..starts import Rng, seed_of
from ..verdict import judge
from .density import Density, flat_units
from .draws import Noise, Posterior
from .walking import Values, make_moves

if TYPE_CHECKING:
    from ..result import Fit

__all__ = ["health", "sample"]

# Walkers of one ensemble: fewer take smaller and worse steps, because a step is the difference of two others.
_WALKERS = 24
_LEAST = 72
# Steps until an ensemble is looked at for the first time, and the most it is given to forget its start.
_TUNE, _MOST = 300, 9_600
# An ensemble has forgotten its start after this many autocorrelation times.
_FORGOTTEN = 10.0
# Autocorrelation times between draws that are kept.
_APART = 2.0
# Logarithm of the density below that of the best start at which another start is not worth a walker.
_WORSE = 15.0
# Bounds of what R-hat and effective sample size may be (Vehtari et al. 2021).
_RHAT, _ESS = 1.01, 400.0
# Square root of the smallest eigenvalue of the scaled information that says anything, as for a fit.
_FLAT = 1e-6
# Coverage at which an interval must end where a flat prior has no end.
_LEVEL = 0.999


def sample(
    fit: Fit,
    draws: int,
    chains: int,
    *,
    tune: int | None,
    noise: Noise,
    priors: Mapping[str, Prior] | None,
    rng: Rng,
    progress: Progress | None,
) -> Posterior:
    """Draw from the posterior; see `Fit.sample`."""
    problem = fit._need_rows("sample")
    for name, value, least in (("draws", draws, 4), ("chains", chains, 1), ("tune", tune, 1)):
        if name == "tune" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    if noise not in ("estimated", "weights"):
        raise ValueError(f"noise must be 'estimated' or 'weights', not {noise!r}")
    check_progress(progress)
    if not fit.success:
        raise ValueError(f"sample starts at the best fit, and this one did not converge: {fit.message}")
    if noise == "estimated" and fit.dof <= 0:
        raise ValueError(
            f"{fit.nobs} runs and {fit.nfree} fitted parameters: a law that passes through all runs leaves "
            "nothing to estimate the noise from, and the posterior has no finite integral. Give the noise in "
            "the weights, 1 / sigma**2, with noise='weights', or fix parameters"
        )
    emcee = need("emcee", "sample")
    need("arviz_stats", "sample")
    known = (
        dict(problem.priors)
        if priors is None
        else spread_priors(
            priors, {name: problem.names[where] for name, where in problem.slots}, problem.fixed, fit._binding
        )
    )
    density = Density(problem, known, flat_units(problem, fit._theta, known), estimated=noise == "estimated")
    mode = _at_mode(fit, density, known)
    starts = _centers(mode, density)
    _check_determined(density, starts[0])
    seed = seed_of(rng)
    walkers = max(_LEAST, _WALKERS * density.size)
    rounds = -(-draws // walkers)
    kept, taus, tuned, accepted = [], [], [], []
    for chain in range(chains):
        run = _Ensemble(emcee, density, starts, walkers, (seed, chain))
        tau = run.tune(tune)
        thin = max(1, math.ceil(_APART * tau))
        rows = []
        for index in range(rounds):
            rows.append(run.advance(thin))
            if progress is not None:
                progress(chain * draws + min((index + 1) * walkers, draws), chains * draws)
        kept.append(np.array(rows))
        taus.append(tau)
        tuned.append(run.steps - rounds * thin)
        accepted.append(run.accepted)
    # Shape (chains, rounds, walkers, size), later draws later.
    cube = np.array(kept)
    flat = cube.reshape(chains, rounds * walkers, density.size)
    theta, scale = density.natural(flat.reshape(-1, density.size))
    full = fit._binding.expand(problem, theta).reshape(chains, rounds * walkers, -1)
    root = fit.loss.kind not in ("absolute", "quantile")
    width = (np.sqrt(scale) if root else scale).reshape(chains, -1)
    columns = dict(zip(fit.names, np.moveaxis(full, -1, 0), strict=True)) | {"noise": width}
    found = health(columns, (chains, rounds, walkers))
    faults = _faults(mode, density, found, taus, tuned)
    out = Posterior(
        fit=fit,
        seed=seed,
        names=fit.names,
        draws=np.ascontiguousarray(full[:, :draws]),
        noise=np.ascontiguousarray(width[:, :draws]),
        likelihood=noise,
        priors=known,
        flat={
            name: "log" if log else "linear"
            for name, log in zip(density.names, density.log, strict=True)
            if name not in known
        },
        rhat=found["rhat"],
        ess_bulk=found["bulk"],
        ess_tail=found["tail"],
        tune=tuple(tuned),
        thin=tuple(max(1, math.ceil(_APART * tau)) for tau in taus),
        acceptance=float(np.mean(accepted)),
        valid=not faults,
        message="; ".join(faults) if faults else "converged",
    )
    if faults:
        warnings.warn(f"the posterior is not valid: {out.message}", FitWarning, stacklevel=3)
    return out


class _Ensemble:
    """One ensemble of walkers and its position."""

    def __init__(
        self,
        emcee: Any,
        density: Density,
        starts: list[NDArray[np.float64]],
        walkers: int,
        key: tuple[int, int],
    ) -> None:
        rng = np.random.default_rng(np.random.SeedSequence(key[0], spawn_key=(key[1],)))
        _, self._spread = density.frame(starts[0])
        self._origin = starts[0]
        self._density = density
        self._values = Values(density, starts[0])
        moves = make_moves(emcee, self._values, starts[0])
        self._sampler = emcee.EnsembleSampler(
            walkers, density.size, self._log_density, moves=moves, vectorize=True
        )
        self._sampler.random_state = np.random.RandomState(rng.integers(2**32)).get_state()
        # Steps of the sampler are affine, but it wants coordinates of one size.
        self._inverse = np.linalg.inv(self._spread)
        first = self._first(starts, walkers, rng)
        self._stream: Iterator[Any] = self._sampler.sample(first, iterations=None, store=False)
        self.steps = 0
        self.accepted = 0.0

    def _log_density(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._density(self._origin + z @ self._spread.T)

    def _first(
        self, starts: list[NDArray[np.float64]], walkers: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Twice as wide as the information says, around every start; drawn in where the density is low."""
        centers = np.array([starts[i % len(starts)] for i in range(walkers)])
        away = 2.0 * rng.standard_normal(centers.shape)
        floor = self._density(centers) - 10.0 * self._density.size
        first = centers.copy()
        left = np.arange(walkers)
        for _ in range(60):
            there, factor = self._values.move(centers[left], away[left])
            there = np.where(np.isfinite(factor)[:, None], there, centers[left])
            low = ~np.isfinite(factor) | (self._density(there) < floor[left])
            first[left] = there
            left = left[low]
            if not left.size:
                break
            away[left] *= 0.8
        return np.asarray((first - self._origin) @ self._inverse.T)

    def advance(self, steps: int) -> NDArray[np.float64]:
        """Take steps and return the coordinates, shape (walkers, size)."""
        # Where nothing bounds the density, walkers run off until numbers overflow; that is reported.
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(steps):
                state = next(self._stream)
        self.steps += steps
        return np.asarray(self._origin + state.coords @ self._spread.T)

    def tune(self, steps: int | None) -> float:
        """Forget the start; return the autocorrelation time in steps."""
        goal = _TUNE if steps is None else steps
        history: list[NDArray[np.float64]] = []
        while True:
            history += [self.advance(1) for _ in range(goal - len(history))]
            tau = _autocorrelation(np.array(history[len(history) // 2 :]))
            if steps is not None or len(history) >= min(2.0 * _FORGOTTEN * tau, _MOST):
                if len(history) > 1:
                    self.accepted = float((history[-1] != history[-2]).any(axis=1).mean())
                return tau
            goal = 2 * len(history)


def _autocorrelation(history: NDArray[np.float64]) -> float:
    """Longest autocorrelation time, in steps, of coordinates of shape (steps, walkers, size)."""
    integrated_time = need("emcee.autocorr", "sample").integrated_time
    with np.errstate(all="ignore"):
        times = integrated_time(history, tol=0)
    # Not a number where a walker has not moved at all.
    return float(np.clip(np.nan_to_num(times, nan=np.inf).max(), 1.0, len(history)))


def _at_mode(fit: Fit, density: Density, known: Mapping[str, Prior]) -> Fit:
    """Return the fit whose objective is the log-density at a fixed scale s of the noise, times s.

    The priors of a fit are penalties for noise of size one: here their widths are divided by the root of s.
    """
    if not known and not fit._problem.priors:
        return fit
    for _ in range(3):
        scale = density.scale(fit._theta)
        priors = {name: replace(prior, width=prior.width / math.sqrt(scale)) for name, prior in known.items()}
        problem = replace(fit._problem, priors=priors)
        found = get_backend(fit.backend).solve(problem, fit._theta[None, :])
        theta, status = np.array(found.theta[0]), found.status[0]
        verdict = judge(problem, theta, status, fit.dof)
        fit = replace(
            fit,
            objective=float(found.objective[0]),
            status=status,
            success=verdict.success,
            valid=verdict.valid,
            message=verdict.message,
            _problem=problem,
            _theta=theta,
            _known={},
        )
    return fit


def _centers(fit: Fit, density: Density) -> list[NDArray[np.float64]]:
    """Coordinates of the best fit, and of the other basins whose density is not much lower."""
    points = [fit._theta]
    for basin in fit.basins[1:]:
        points.append(np.array([basin.values[name] for name in fit._problem.names]))
    x = np.array([density.coordinates(point) for point in points])
    level = density(x)
    if not np.isfinite(level[0]):
        raise ValueError(
            "the posterior has no density at the best fit: a prior lies outside the parameter's domain"
        )
    return [x[i] for i in range(len(x)) if i == 0 or level[i] > level[0] - _WORSE]


def _check_determined(density: Density, x: NDArray[np.float64]) -> None:
    information, _ = density.frame(x)
    lengths = np.sqrt(np.diagonal(information))
    scaled = information / np.outer(np.where(lengths > 0, lengths, 1.0), np.where(lengths > 0, lengths, 1.0))
    values, vectors = np.linalg.eigh(np.where(np.isfinite(scaled), scaled, 0.0))
    lost = np.flatnonzero(values <= _FLAT**2)
    if not (np.isfinite(information).all() and lost.size == 0):
        share = (vectors[:, lost] ** 2).sum(axis=1)
        names = [name for name, part in zip(density.names, share, strict=True) if part > 0.05]
        raise ValueError(
            f"the runs do not determine {' and '.join(names)}, and a flat prior on them has no finite "
            "integral: give priors, or fix one of them"
        )


def health(
    columns: Mapping[str, NDArray[np.float64]], shape: tuple[int, int, int]
) -> dict[str, dict[str, float]]:
    """R-hat and effective sample sizes of columns of shape (chains, rounds * walkers)."""
    array_stats = need("arviz_stats.base", "sample").array_stats
    out: dict[str, dict[str, float]] = {"rhat": {}, "bulk": {}, "tail": {}}
    for name, column in columns.items():
        if np.ptp(column) == 0.0:
            out["rhat"][name], out["bulk"][name], out["tail"][name] = math.nan, math.nan, math.nan
            continue
        # In order of time halves of a chain show a drift. Walker by walker the autocorrelation is seen.
        walker = column.reshape(shape).swapaxes(1, 2).reshape(shape[0], -1)
        axes = {"chain_axis": 0, "draw_axis": 1}
        out["rhat"][name] = float(array_stats.rhat(column, **axes))
        out["bulk"][name] = float(array_stats.ess(walker, method="bulk", **axes))
        out["tail"][name] = float(array_stats.ess(walker, method="tail", prob=0.9, **axes))
    return out


def _faults(
    fit: Fit,
    density: Density,
    found: Mapping[str, Mapping[str, float]],
    taus: list[float],
    tuned: list[int],
) -> list[str]:
    faults = []
    worst = max(found["rhat"], key=lambda name: np.nan_to_num(found["rhat"][name]))
    if found["rhat"][worst] > _RHAT:
        faults.append(f"R-hat of {worst} is {found['rhat'][worst]:.3f}: take more draws, or a longer tune")
    for kind in ("bulk", "tail"):
        least = min(found[kind], key=lambda name: np.nan_to_num(found[kind][name], nan=np.inf))
        if found[kind][least] < _ESS:
            faults.append(f"{least} has {found[kind][least]:.0f} effective draws ({kind}): take more draws")
            break
    if any(tuned[i] < _FORGOTTEN * taus[i] for i in range(len(taus))):
        faults.append(
            f"a chain needs {max(taus):.0f} steps to forget a point and was given {min(tuned)} to forget its "
            "start: set tune to a larger number"
        )
    faults += _open_ends(fit, density)
    return faults


def _open_ends(fit: Fit, density: Density) -> list[str]:
    """Say where a flat prior reaches to infinity and the runs do not stop it."""
    from scipy.special import ndtri, stdtr

    out, level = [], _LEVEL
    if not density.estimated and fit.dof > 0:
        # Profiles measure with the noise they find; this level gives the rise for the noise given.
        sigma = math.sqrt(fit.rss / fit.dof)
        rise = float(ndtri(0.5 * (1.0 + _LEVEL))) / sigma if sigma > 0.0 else math.inf
        level = min(max(2.0 * float(stdtr(fit.dof, rise)) - 1.0, 0.5), 1.0 - 1e-12)
    for i, name in enumerate(density.names):
        if density.precision[i] > 0.0 or not (np.isneginf(density.low[i]) or np.isposinf(density.high[i])):
            continue
        if name in fit._at_bound:
            below, above = bool(np.isneginf(density.low[i])), False
        elif fit.dof > 0 and fit.success:
            ends = fit.profile(name, level=level, points=0)
            low, high = fit._problem.bounds[fit._problem.names.index(name)]
            below = bool(np.isneginf(density.low[i]) and ends.lower <= low)
            above = bool(np.isposinf(density.high[i]) and ends.upper >= high)
        else:
            continue
        if below or above:
            side = "below" if below else "above"
            out.append(
                f"the runs do not bound {name} from {side} at the {100 * _LEVEL:g} % level, where its "
                "flat prior has infinite mass, so the draws depend on how long they go on: give it a prior"
            )
    return out
