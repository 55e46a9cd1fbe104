"""Simulated experiments: where the runs lie, the noise, the law and the loss they are fitted with.

The truth is the same everywhere, L = E + A / N**alpha + B / D**beta with the published refit of Chinchilla,
and the noise is on the logarithm of the loss. The size of the noise is that of the residuals of the 240 runs
of Hoffmann et al. (standard deviation 0.0075, of their inner half 0.0048).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import scalinglaws as sl
from numpy.typing import NDArray

from benches.workloads import chinchilla_runs

__all__ = ["DESIGNS", "LEVELS", "PLACES", "Design", "Experiment", "simulate"]

Array = NDArray[np.float64]

LEVELS = (0.5, 0.8, 0.9, 0.95)
PLACES = ("inside", "1 decade", "2 decades", "3 decades")
TRUTH = {"E": 1.82, "A": 482.0, "B": 2085.0, "alpha": 0.348, "beta": 0.366}
# Exponent of the loss along the compute-optimal runs, where the law is E + K / C**_ALONG.
_ALONG = TRUTH["alpha"] * TRUTH["beta"] / (TRUTH["alpha"] + TRUTH["beta"])


def chinchilla(N: Array, D: Array, floor: float = TRUTH["E"]) -> Array:
    """Return the true loss of N parameters and D tokens."""
    return floor + TRUTH["A"] / N ** TRUTH["alpha"] + TRUTH["B"] / D ** TRUTH["beta"]


def optimum(C: Array) -> tuple[Array, Array]:
    """Return the compute-optimal N and D of the truth, with C = 6 N D."""
    both = TRUTH["alpha"] + TRUTH["beta"]
    ratio = (TRUTH["alpha"] * TRUTH["A"] / (TRUTH["beta"] * TRUTH["B"])) ** (1.0 / both)
    return ratio * (C / 6.0) ** (TRUTH["beta"] / both), (C / 6.0) ** (TRUTH["alpha"] / both) / ratio


@dataclass(frozen=True)
class Design:
    """A kind of experiment.

    Parameters
    ----------
    name : str
        For the command line.
    title : str
        One line for the table.
    hard : bool
        Whether an assumption of textbook intervals fails in it.
    law, loss
        What is fitted, by least squares or otherwise, to logarithms.
    inputs : callable
        Returns the columns of the runs.
    noise : callable
        From a generator and the compute of each run to the noise of its logarithm, for the runs and for new
        ones at `points`.
    truth : mapping
        True parameters of `law`.
    target : callable
        From the columns to the true loss.
    clusters : ndarray of int or None
        Which runs share noise.
    """

    name: str
    title: str
    hard: bool
    law: sl.Law
    loss: sl.Loss
    inputs: Callable[[], dict[str, Array]]
    noise: Callable[[np.random.Generator, Array], Array]
    truth: Mapping[str, float]
    target: Callable[[Mapping[str, Array]], Array]
    clusters: NDArray[np.int64] | None = None
    shared: float = 0.0

    def points(self) -> dict[str, Array]:
        """Columns of the places: compute-optimal runs in the middle of the data and beyond all of them."""
        compute = _compute(self.inputs())
        most = compute.max()
        C = np.array([math.sqrt(compute.min() * most), 10 * most, 100 * most, 1000 * most])
        if "C" in self.law.inputs:
            return {"C": C}
        return dict(zip(("N", "D"), optimum(C), strict=True))


@dataclass(frozen=True, eq=False)
class Experiment:
    """One simulated data set.

    Parameters
    ----------
    data : dict
        Columns with the target ``L``.
    points : dict
        Columns of the places.
    mean : ndarray, shape (4,)
        True loss there.
    new : ndarray, shape (4,)
        Measured loss of a new run at each of them.
    seed : int
        For starts and bootstrap draws.
    """

    data: dict[str, Array]
    points: dict[str, Array]
    mean: Array
    new: Array
    seed: int = field(default=0)


def simulate(design: Design, seed: int, number: int) -> Experiment:
    """Return data set `number` of a design; it does not depend on how many others there are."""
    rng = np.random.default_rng([seed, zlib.crc32(design.name.encode()), number])
    inputs, points = design.inputs(), design.points()
    noise = design.noise(rng, _compute(inputs))
    if design.clusters is not None:
        noise = noise + design.shared * rng.standard_normal(design.clusters.max() + 1)[design.clusters]
    mean = design.target(points)
    fresh = design.noise(rng, _compute(points)) + design.shared * rng.standard_normal(len(mean))
    data = {**inputs, "L": design.target(inputs) * np.exp(noise)}
    return Experiment(data, points, mean, mean * np.exp(fresh), int(rng.integers(2**31)))


def _compute(columns: Mapping[str, Array]) -> Array:
    return columns["C"] if "C" in columns else 6.0 * columns["N"] * columns["D"]


def _normal(sigma: float) -> Callable[[np.random.Generator, Array], Array]:
    return lambda rng, C: sigma * rng.standard_normal(C.size)


def _student(sigma: float) -> Callable[[np.random.Generator, Array], Array]:
    return lambda rng, C: sigma * rng.standard_t(3, C.size)


def _falling(first: float, times: float) -> Callable[[np.random.Generator, Array], Array]:
    """Noise that falls by a factor from the smallest to the largest budget, and on at the same rate."""
    power = math.log(times) / math.log(_BUDGETS[-1] / _BUDGETS[0])
    return lambda rng, C: first * (C / _BUDGETS[0]) ** -power * rng.standard_normal(C.size)


_BUDGETS = np.geomspace(6e18, 3e21, 5)


def _isoflop() -> dict[str, Array]:
    """Eight sizes at each of five budgets, from a quarter of the best one to four times it."""
    C = np.repeat(_BUDGETS, 8)
    N = optimum(C)[0] * np.tile(np.geomspace(0.25, 4.0, 8), 5)
    return {"N": N, "D": C / (6.0 * N)}


def _real() -> dict[str, Array]:
    runs = chinchilla_runs()
    return {"N": runs.N, "D": runs.D}


def _ladder() -> dict[str, Array]:
    return {"C": np.geomspace(1e17, 1e21, 9)}


def _checkpoints() -> dict[str, Array]:
    """25 runs, five sizes by five durations, each with five checkpoints."""
    N, ratio = (axis.ravel() for axis in np.meshgrid(np.geomspace(5e7, 5e9, 5), np.geomspace(5.0, 80.0, 5)))
    share = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    return {"N": np.repeat(N, 5), "D": np.outer(N * ratio, share).ravel()}


def _frontier() -> float:
    """K of the law along the compute-optimal runs."""
    C = np.array([1e20])
    return float((chinchilla(*optimum(C)) - TRUTH["E"])[0] * 1e20**_ALONG)


_TWO = sl.laws.chinchilla
_RANGES = {
    "A": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
    "B": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
    "alpha": sl.Param("real", start=(0.05, 1.0)),
    "beta": sl.Param("real", start=(0.05, 1.0)),
}
_FLOOR = sl.Law(
    "L ~ E + A / N**alpha + B / D**beta",
    params={"E": sl.Param((0.0, math.inf), start=(0.0, 3.0)), **_RANGES},
)
_ONE = sl.Law(
    "L ~ E + A / C**gamma",
    params={
        "E": sl.Param("positive", start=(0.1, 5.0)),
        "A": _RANGES["A"],
        "gamma": _RANGES["alpha"],
    },
)


_PURE = sl.Law("L ~ A / C**gamma", params={"A": _RANGES["A"], "gamma": _RANGES["alpha"]})


def _loss(columns: Mapping[str, Array]) -> Array:
    return chinchilla(columns["N"], columns["D"])


def _all() -> tuple[Design, ...]:
    square, robust = sl.squared(), sl.huber(1e-3)
    grid = {"law": _TWO, "inputs": _isoflop, "truth": TRUTH, "target": _loss}
    return (
        Design(
            "control",
            "eight runs of a power law without a floor, a straight line in logarithms: classical intervals "
            "are exact, and what they miss is Monte-Carlo error; normal noise 0.005; squared loss",
            False,
            _PURE,
            square,
            lambda: {"C": np.geomspace(1e17, 1e21, 8)},
            _normal(0.005),
            {"A": _frontier(), "gamma": _ALONG},
            lambda columns: _frontier() / columns["C"] ** _ALONG,
        ),
        Design(
            "chinchilla",
            "the N and D of the 240 runs of Hoffmann et al.; normal noise 0.0075; Huber(1e-3)",
            False,
            _TWO,
            robust,
            _real,
            _normal(0.0075),
            TRUTH,
            _loss,
        ),
        Design(
            "ladder",
            "nine compute-optimal runs, 1e17 to 1e21 FLOP, fitted with E + A / C**gamma; normal noise 0.005; "
            "squared loss",
            False,
            _ONE,
            square,
            _ladder,
            _normal(0.005),
            {"E": TRUTH["E"], "A": _frontier(), "gamma": _ALONG},
            lambda columns: chinchilla(*optimum(columns["C"])),
        ),
        Design(
            "isoflop",
            "five budgets, 6e18 to 3e21 FLOP, eight sizes each; normal noise 0.005; squared loss",
            False,
            loss=square,
            noise=_normal(0.005),
            **grid,  # type: ignore[arg-type]
        ),
        Design(
            "heavy",
            "the isoFLOP runs; noise 0.005 times Student's t with 3 degrees of freedom; Huber(1e-3)",
            True,
            loss=robust,
            noise=_student(0.005),
            **grid,  # type: ignore[arg-type]
        ),
        Design(
            "clustered",
            "25 runs (five sizes, five durations) with five checkpoints each; normal noise, 0.004 shared by "
            "the checkpoints of a run and 0.003 of each; squared loss",
            True,
            _TWO,
            square,
            _checkpoints,
            _normal(0.003),
            TRUTH,
            _loss,
            np.repeat(np.arange(25), 5),
            0.004,
        ),
        Design(
            "unequal",
            "the isoFLOP runs; normal noise that falls from 0.01 at the smallest budget to 0.0025 at the "
            "largest; squared loss",
            True,
            loss=square,
            noise=_falling(0.01, 4.0),
            **grid,  # type: ignore[arg-type]
        ),
        Design(
            "very unequal",
            "the isoFLOP runs; normal noise that falls from 0.02 to 0.002; squared loss",
            True,
            loss=square,
            noise=_falling(0.02, 10.0),
            **grid,  # type: ignore[arg-type]
        ),
        Design(
            "floor",
            "the isoFLOP runs with a true E of 0, fitted with E >= 0; normal noise 0.005; squared loss",
            True,
            _FLOOR,
            square,
            _isoflop,
            _normal(0.005),
            {**TRUTH, "E": 0.0},
            lambda columns: chinchilla(columns["N"], columns["D"], 0.0),
        ),
    )


DESIGNS = {design.name: design for design in _all()}
