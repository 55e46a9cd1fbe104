"""The workloads through the public interface of scalinglaws: the only module of the suite that knows it."""

from __future__ import annotations

import importlib
import importlib.util
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benches.workloads import DELTA, FARSEER_NAMES, Runs

FloatArray = NDArray[np.float64]

KERNEL_LAWS = (
    "power_law",
    "power_law_floor",
    "chinchilla",
    "kaplan_nd",
    "overtraining",
    "data_constrained",
    "broken_power_law",
    "farseer",
)
"""Laws whose kernels are timed."""


def available() -> bool:
    """Tell whether scalinglaws can be imported, compiled extension included."""
    return importlib.util.find_spec("scalinglaws") is not None and (
        importlib.util.find_spec("scalinglaws._core") is not None
    )


def _library() -> Any:
    # Late and untyped: the suite also runs, and is type-checked, where the library is not installed.
    return importlib.import_module("scalinglaws")


@dataclass(frozen=True)
class Answer:
    """What a call of the library gave, in the coordinates of the suite.

    Attributes
    ----------
    p : ndarray, shape (5,) or (9,)
        Parameters at the optimum, ``(a, b, e, alpha, beta)`` or in the order of ``FARSEER_NAMES``.
    objective : float
        The library's own figure.
    inside : float
        Seconds spent inside the compiled library.
    ended : list of (float, int)
        Objective and number of starts of every basin.
    starts : int
        How many starts were given.
    """

    p: FloatArray
    objective: float
    inside: float
    ended: list[tuple[float, int]]
    starts: int

    def share(self, limit: float) -> float:
        """Return the share of all starts that ended with an objective of at most ``limit``."""
        return sum(hits for objective, hits in self.ended if objective <= limit) / self.starts


def _quiet(call: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        # A local fit from one bad start may well be invalid: that is part of what is counted.
        warnings.simplefilter("ignore", _library().FitWarning)
        return call()


def _answer(fit: Any, p: FloatArray) -> Answer:
    ended = [(float(basin.objective), int(basin.hits)) for basin in fit.basins]
    return Answer(p, float(fit.objective), float(fit.seconds), ended, int(fit.starts.n))


def _to_p(values: Any) -> FloatArray:
    return np.array(
        [
            np.log(values["A"]),
            np.log(values["B"]),
            np.log(values["E"]),
            np.asarray(values["alpha"]),
            np.asarray(values["beta"]),
        ]
    ).T


def _named(p: FloatArray) -> dict[str, float]:
    a, b, e, alpha, beta = (float(value) for value in p)
    return {"A": math.exp(a), "B": math.exp(b), "E": math.exp(e), "alpha": alpha, "beta": beta}


def huber_fit(
    runs: Runs, starts: FloatArray | str | int, threads: int | None, *, seed: int = 0
) -> tuple[Answer, Any]:
    """Fit the Chinchilla law with the Huber loss of log residuals.

    ``starts`` is one start (5,), many (m, 5), ``"paper"``, or a number of Sobol points. Also returns the
    library's own result, for :func:`refits`.
    """
    sl = _library()
    law = sl.laws.chinchilla
    chosen: Any = starts
    if isinstance(starts, np.ndarray):
        if starts.ndim == 1:
            chosen = _named(starts)
        else:
            natural = [_named(p) for p in starts]
            chosen = np.array([[start[name] for name in law.params] for start in natural])
    fit = _quiet(
        lambda: sl.fit(
            law,
            runs.columns(),
            residual="log",
            loss=sl.huber(DELTA),
            starts=chosen,
            rng=seed,
            threads=threads,
        )
    )
    return _answer(fit, _to_p(fit.values)), fit


def refits(fit: Any, weights: FloatArray, threads: int | None) -> tuple[FloatArray, FloatArray, float]:
    """Refit with each row of ``weights``: parameters (m, 5), objectives (m,), seconds inside the library."""
    result = fit.refit(weights, threads=threads)
    columns = dict(zip(result.names, result.draws.T, strict=True))
    return _to_p(columns), np.asarray(result.objective), float(result.seconds)


# Seven doubles (five parameters, objective, start number) and the reference to a status.
DRAW_BYTES = 64


@dataclass(frozen=True)
class Draws:
    """A bootstrap in the coordinates of the suite: parameters (n, 5) and objectives (n,)."""

    ends: FloatArray
    objective: FloatArray
    boot: Any

    def weights(self) -> FloatArray:
        """Return the row weights of each draw, shape (n, rows)."""
        return np.array([self.boot.replicate(index)["weights"] for index in range(len(self.objective))])


def bootstrap(fit: Any, draws: int, threads: int | None, **options: Any) -> Draws:
    """Draw and refit, with seed 1."""
    boot = fit.bootstrap(draws, rng=1, threads=threads, **options)
    columns = dict(zip(boot.names, boot.draws.T, strict=True))
    return Draws(_to_p(columns), np.asarray(boot.objective), boot)


def squares_fit(runs: Runs, start: FloatArray, residual: str, threads: int | None) -> Answer:
    """Fit the Chinchilla law with squared error from one start."""
    sl = _library()
    fit = _quiet(
        lambda: sl.fit(
            sl.laws.chinchilla,
            runs.columns(),
            residual=residual,
            loss=sl.squared(),
            starts=_named(start),
            threads=threads,
        )
    )
    return _answer(fit, _to_p(fit.values))


def farseer_fit(runs: Runs, starts: FloatArray | int, threads: int | None) -> Answer:
    """Fit the Farseer law with squared log residuals from all starts: (m, 9), or a number of Sobol points."""
    sl = _library()
    law = sl.laws.farseer
    chosen: Any = starts
    if isinstance(starts, np.ndarray):
        chosen = starts[:, [FARSEER_NAMES.index(name) for name in law.params]]
    fit = _quiet(
        lambda: sl.fit(
            law,
            runs.columns(),
            residual="log",
            loss=sl.squared(),
            starts=chosen,
            screen=False,
            threads=threads,
        )
    )
    return _answer(fit, np.array([fit.values[name] for name in FARSEER_NAMES]))


def kernel_rates(rows: int, repeat: int) -> list[tuple[str, dict[str, float]]]:
    """Measure nanoseconds a row for value, gradient and Hessian of each of :data:`KERNEL_LAWS`."""
    sl = _library()
    rng = np.random.default_rng(0)
    rates = []
    for name in KERNEL_LAWS:
        law = sl.laws[name]
        values: dict[str, Any] = {
            column: np.exp(rng.uniform(np.log(1e8), np.log(1e11), rows)) for column in law.inputs
        }
        values.update({param: _middle(declared) for param, declared in law.params.items()})
        found = {}
        for kind, call in (("value", law), ("gradient", law.gradient), ("hessian", law.hessian)):
            times = []
            for _ in range(repeat + 1):
                begin = time.perf_counter()
                call(**values)
                times.append(time.perf_counter() - begin)
            found[kind] = 1e9 * min(times) / rows
        rates.append((name, found))
    return rates


def _middle(param: Any) -> float:
    if param.value is not None:
        return float(param.value)
    if isinstance(param.start, tuple):
        low, high = param.start
        return math.sqrt(low * high) if param.sampling == "log" else 0.5 * (low + high)
    return 1.0 if param.start is None else float(param.start)
