"""Compare samplers of the posterior on two measured ladders: ``python -m benches.samplers``.

Why `Fit.sample` uses ensembles of walkers: docs/decisions/0011. Needs ``pip install
nutpie`` beside the extra ``sample``, and the measured data. Effective draws are the smallest over the
parameters, in bulk or tail, of all chains together.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import scalinglaws as sl
from numpy.typing import NDArray
from scalinglaws.inference import rows
from scalinglaws.posterior.density import Density, flat_units
from scalinglaws.posterior.likelihood import log_normaliser
from scalinglaws.posterior.sampling import health

from benches.workloads import data_dir

Floats = NDArray[np.float64]


def read(name: str, **where: str) -> dict[str, Floats]:
    """Return the numbers N, D, C, M, L and ``bpb_*`` of a table, of rows chosen by their text."""
    with (data_dir() / name).open(encoding="utf-8", newline="") as file:
        table = [row for row in csv.DictReader(file) if all(row[key] == text for key, text in where.items())]
    wanted = [key for key in table[0] if key in ("N", "D", "C", "M", "L") or key.startswith("bpb_")]
    return {key: np.array([float(row[key]) for row in table]) for key in wanted}


def fits() -> Iterator[tuple[str, sl.Fit]]:
    """Yield the ladders, with smooth losses and with a core a tenth as wide as the residuals."""
    ladder = read("olmo_ladder.csv", role="fit")
    for task in ("mmlu_avg_test", "piqa_val"):
        for loss in ("squared", "huber:1e-3"):
            fit = sl.fit("chinchilla", ladder, columns={"L": f"bpb_{task}"}, loss=loss)
            yield f"olmo_ladder {task}, {loss}", fit
    for train_set in ("c4", "redpajama"):
        runs = read("overtraining.csv", train_set=train_set, role="grid")
        yield f"overtraining {train_set}, squared", sl.fit("overtraining", runs, residual="log")


class Smooth:
    """The same density with a gradient, on the whole space: parameters bounded below by their logarithm."""

    def __init__(self, fit: sl.Fit) -> None:
        problem = fit._problem
        self.density = Density(problem, {}, flat_units(problem, fit._theta, {}), estimated=True)
        self.problem, self.calls = problem, 0
        self.bounded = np.append(np.isfinite(self.density.low), False)
        x = self.density.coordinates(fit._theta)
        self.origin = np.where(self.bounded, np.log(np.where(self.bounded, x, 1.0)), x)
        # Columns of one standard deviation, so that the sampler meets no correlations at the mode.
        self.spread = self.density.frame(x)[1] / np.where(self.bounded, x, 1.0)[:, None]

    def __call__(self, z: Floats) -> tuple[float, Floats]:
        """Return log-density and gradient at scaled coordinates of shape (size,)."""
        self.calls += 1
        u = self.origin + self.spread @ z
        with np.errstate(all="ignore"):
            x = np.where(self.bounded, np.exp(u), u)
            value = float(self.density(x[None, :])[0]) + float(u[self.bounded].sum())
            if not np.isfinite(value):
                return -np.inf, np.zeros_like(z)
            theta, scale = self.density.natural(x[None, :])
            stretch = np.where(self.density.log, theta[0, self.problem.free], 1.0)
            slope, cost = np.zeros(x.size), 0.0
            loss = self.problem.loss
            for block in rows(self.problem, theta[0], self.problem.free):
                pull = block.weight * loss.psi(block.residual)
                slope[:-1] += stretch * (pull @ block.jacobian) / scale[0]
                cost += float(block.weight @ loss.rho(block.residual))
            step = 1e-5
            ends = [float(log_normaliser(loss, scale * np.exp(s)).sum()) for s in (step, -step)]
            slope[-1] = cost / scale[0] - self.problem.n * (ends[0] - ends[1]) / (2.0 * step)
        slope = np.where(self.bounded, slope * x + 1.0, slope)
        return value, self.spread.T @ slope


def nuts(fit: sl.Fit, low_rank: bool) -> tuple[Floats, int, int]:
    """Return draws of shape (4, 1000, size), evaluations and divergences of nutpie."""
    nutpie, compiled = import_module("nutpie"), import_module("nutpie.compiled_pyfunc")

    smooth = Smooth(fit)
    size = smooth.density.size

    def start(seed: int) -> Floats:
        z = 2.0 * np.random.default_rng(seed).standard_normal(size)
        while not smooth(z)[0] > smooth(np.zeros(size))[0] - 10.0 * size:
            z *= 0.5
        return z

    def expand(*_: Any) -> Callable[[Floats], dict[str, Floats]]:
        return lambda z: {"z": z}

    model = compiled.from_pyfunc(
        size, lambda: smooth, expand, [np.dtype("float64")], [(size,)], ["z"], make_initial_point_fn=start
    )
    options = {"maxdepth": 8, "low_rank_modified_mass_matrix": low_rank, "progress_bar": False}
    trace = nutpie.sample(model, draws=1000, tune=400, chains=4, cores=1, seed=1, **options)
    return trace.posterior["z"].values, smooth.calls, int(trace.sample_stats.diverging.sum())


def worst(draws: Floats) -> tuple[float, float]:
    """Return the smallest number of effective draws and the largest R-hat; shape (chains, draws, size)."""
    columns = {str(i): draws[..., i] for i in range(draws.shape[-1])}
    found = health(columns, (*draws.shape[:2], 1))
    return min(*found["bulk"].values(), *found["tail"].values()), max(found["rhat"].values())


def main() -> None:
    """Print a table."""
    argparse.ArgumentParser(prog="python -m benches.samplers", description=__doc__).parse_args()
    # A chain that fails is what is to be seen here.
    warnings.simplefilter("ignore")
    head = (
        f"{'ladder':<42} {'sampler':<22} {'seconds':>8} {'calls':>8} {'ESS':>6} {'per 1000':>8} {'per s':>6}"
    )
    print(head, "R-hat")
    for name, fit in fits():
        began = time.perf_counter()
        post = fit.sample()
        seconds = time.perf_counter() - began
        walkers = max(72, 24 * (fit.nfree + 1))
        rounds = -(-1000 // walkers)
        calls = walkers * sum(t + rounds * k for t, k in zip(post.tune, post.thin, strict=True))
        ess = min(*post.ess_bulk.values(), *post.ess_tail.values())
        _line(name, "Fit.sample (emcee, DE)", seconds, calls, ess, max(post.rhat.values()))
        for low_rank in (False, True):
            began = time.perf_counter()
            draws, calls, divergences = nuts(fit, low_rank)
            seconds = time.perf_counter() - began
            what = "nutpie, low rank" if low_rank else "nutpie"
            _line(name, f"{what}, {divergences} div.", seconds, calls, *worst(draws))


def _line(name: str, what: str, seconds: float, calls: int, ess: float, rhat: float) -> None:
    print(
        f"{name:<42} {what:<22} {seconds:>8.1f} {calls:>8} {ess:>6.0f} {1000 * ess / calls:>8.2f} "
        f"{ess / seconds:>6.0f} {rhat:.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
