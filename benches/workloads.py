"""The data, starts, weights and reference answers that every method of the benchmark is given.

Objectives are evaluated here once more, independently of all solvers under test, so that no method's own
bookkeeping decides whether it is right.
"""

from __future__ import annotations

import csv
import os
import tomllib
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_ROOT = Path(__file__).resolve().parent.parent

DELTA = 1e-3
"""Where the Huber loss of log residuals turns linear (Hoffmann et al. 2022, section D.2)."""

CHINCHILLA_OBJECTIVE = 0.00101827401780
"""Least sum of Huber losses on the 240 rows (``shared/data/README.md``)."""

FARSEER_OBJECTIVE = 0.003615426142078
"""Least half sum of squared log residuals of the Farseer law known for the same rows.

Found by ``baselines/numpy_farseer.py``; lower than the 0.00362145 of ``shared/peers.md``.
"""

GOOD_START = np.array([np.log(406.4), np.log(410.7), np.log(1.69), 0.34, 0.28])
"""Hoffmann et al. (2022), eq. 10, as ``(a, b, e, alpha, beta)``."""

FARSEER_NAMES = ("a1", "b1", "alpha", "a2", "b2", "beta", "a3", "b3", "gamma")
"""Order of the Farseer parameters in every array of this benchmark."""

FARSEER_START = np.array([-0.005, -0.5, 0.2, -0.7, 15.0, 0.1, 7.0, 0.16, -0.12])
"""One start from which a local solver should reach :data:`FARSEER_OBJECTIVE`."""

TRUTH = np.array([np.log(482.01), np.log(2085.43), np.log(1.8172), 0.3478, 0.3658])
"""Besiroglu et al. (2024), table 1: what the simulated rows are drawn from."""


@dataclass(frozen=True)
class Runs:
    """Training runs, one element per run: parameters ``N``, tokens ``D``, loss ``L`` (nats per token)."""

    N: FloatArray
    D: FloatArray
    L: FloatArray

    @property
    def logs(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """``log N``, ``log D`` and ``log L``."""
        return np.log(self.N), np.log(self.D), np.log(self.L)

    def columns(self) -> dict[str, FloatArray]:
        """Return the runs as a table that scalinglaws accepts."""
        return {"N": self.N, "D": self.D, "L": self.L}


def data_dir() -> Path:
    """Return the folder of the measured data: ``SCALINGLAWS_TEST_DATA``, or ``../shared/data``."""
    default = _ROOT.parent / "shared" / "data"
    return Path(os.environ.get("SCALINGLAWS_TEST_DATA", default))


def chinchilla_runs() -> Runs:
    """Read the 240 rows of ``chinchilla_epoch.csv`` that the replication keeps."""
    path = data_dir() / "chinchilla_epoch.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["excluded"] == "0"]
    n, d, loss = (np.array([float(row[name]) for row in rows]) for name in ("N", "D", "L"))
    return Runs(n, d, loss)


def simulated_runs(count: int, seed: int = 0) -> Runs:
    """Simulate ``count`` rows of the Chinchilla law over the published range, with 1 % log-normal noise."""
    rng = np.random.default_rng(seed)
    n = np.exp(rng.uniform(np.log(5e7), np.log(1.6e10), count))
    d = np.exp(rng.uniform(np.log(1e9), np.log(5e11), count))
    a, b, e, alpha, beta = TRUTH
    law = np.exp(a - alpha * np.log(n)) + np.exp(b - beta * np.log(d)) + np.exp(e)
    return Runs(n, d, law * np.exp(0.01 * rng.standard_normal(count)))


def hoffmann_grid() -> FloatArray:
    """Return the 4,500 starts ``(a, b, e, alpha, beta)`` of Hoffmann et al. (2022), section D.2."""
    exponents = np.arange(0.0, 2.01, 0.5)
    amplitudes = np.arange(0.0, 25.01, 5.0)
    floors = np.arange(-1.0, 1.01, 0.5)
    grid = product(exponents, exponents, floors, amplitudes, amplitudes)
    return np.array([(a, b, e, alpha, beta) for alpha, beta, e, a, b in grid])


def bootstrap_weights(rows: int, draws: int, seed: int = 1) -> FloatArray:
    """Count how often each row occurs in each of ``draws`` resamples, shape ``(draws, rows)``."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(rows, np.full(rows, 1.0 / rows), size=draws).astype(np.float64)


def farseer_starts(count: int, seed: int = 0) -> FloatArray:
    """Draw starts ``(count, 9)`` evenly from the ranges that the catalogue declares for the Farseer law."""
    with (_ROOT / "python" / "scalinglaws" / "catalogue" / "farseer.toml").open("rb") as file:
        declared = tomllib.load(file)["params"]
    low, high = np.array([declared[name]["start"] for name in FARSEER_NAMES], dtype=np.float64).T
    return np.random.default_rng(seed).uniform(low, high, size=(count, len(FARSEER_NAMES)))


def huber_objective(p: FloatArray, runs: Runs, weights: FloatArray | None = None) -> FloatArray:
    """Sum the Huber losses of the log residuals of the Chinchilla law.

    Parameters
    ----------
    p : ndarray, shape (m, 5)
        Parameters ``(a, b, e, alpha, beta)``.
    runs : Runs
        n runs.
    weights : ndarray, shape (m, n), optional
        Row weights.

    Returns
    -------
    ndarray, shape (m,)
    """
    residual = np.abs(runs.logs[2] - _log_chinchilla(p, runs))
    rho = np.where(residual <= DELTA, 0.5 * residual**2, DELTA * (residual - 0.5 * DELTA))
    total: FloatArray = np.sum(rho if weights is None else weights * rho, axis=1)
    return total


def squares_objective(p: FloatArray, runs: Runs, residual: str) -> float:
    """Return half the sum of squared residuals of the Chinchilla law at one ``p`` (5,), linear or log."""
    model = _log_chinchilla(p[None, :], runs)[0]
    error = runs.logs[2] - model if residual == "log" else runs.L - np.exp(model)
    return float(0.5 * np.dot(error, error))


def farseer_objective(theta: FloatArray, runs: Runs) -> FloatArray:
    """Return half the sum of squared log residuals of the Farseer law at ``theta`` (m, 9); never NaN."""
    x, y, z = runs.logs
    a1, b1, alpha, a2, b2, beta, a3, b3, gamma = (column[:, None] for column in theta.T)
    with np.errstate(all="ignore"):
        first = a3 * np.exp(gamma * x) + b3
        second = a2 * np.exp(beta * x) + b2 - np.exp(a1 * np.exp(alpha * x) + b1) * y
        total: FloatArray = 0.5 * np.sum((z - np.logaddexp(first, second)) ** 2, axis=1)
    return np.where(np.isnan(total), np.inf, total)


def _log_chinchilla(p: FloatArray, runs: Runs) -> FloatArray:
    x, y, _ = runs.logs
    a, b, e, alpha, beta = (column[:, None] for column in p.T)
    total: FloatArray = np.logaddexp(np.logaddexp(a - alpha * x, b - beta * y), e)
    return total
