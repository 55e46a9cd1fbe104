"""Run a design: many data sets in parallel, in blocks that are kept for a run that goes on later."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benches.coverage.designs import DESIGNS
from benches.coverage.methods import method_names, one_set

__all__ = ["Result", "run_design"]

# Data sets in one file; a multiple of them is what a stopped run keeps.
_BLOCK = 50


@dataclass(frozen=True, eq=False)
class Result:
    """All data sets of one design.

    Parameters
    ----------
    design : str
        Its name.
    methods : tuple of str
        The methods, m of them.
    cover : ndarray of int, shape (sets, m, levels, q)
        1 if an interval held the truth, 0 if not, or why there is none: see `methods`.
    width : ndarray of float, shape (sets, m, q)
        Widths of the 95 percent intervals.
    estimate : ndarray of float, shape (sets, q)
        Estimates.
    lower_found, disagree : int
        Profiles that found a lower minimum than the fit, and profiles whose ends contradict the refit at the
        truth.
    """

    design: str
    methods: tuple[str, ...]
    cover: NDArray[np.int8]
    width: NDArray[np.float32]
    estimate: NDArray[np.float64]
    lower_found: int
    disagree: int


def run_design(name: str, sets: int, draws: int, seed: int, folder: Path, processes: int) -> Result:
    """Run one design, or what is missing of it."""
    place = folder / f"{name.replace(' ', '-')}-seed{seed}-draws{draws}"
    place.mkdir(parents=True, exist_ok=True)
    blocks = [(first, min(first + _BLOCK, sets)) for first in range(0, sets, _BLOCK)]
    missing = [block for block in blocks if not _file(place, block).exists()]
    began = time.perf_counter()
    with ProcessPoolExecutor(processes) as pool:
        jobs = [pool.submit(_run_block, name, block, draws, seed, place) for block in missing]
        for done, job in enumerate(jobs, 1):
            job.result()
            passed = time.perf_counter() - began
            print(f"{name}: {done} of {len(missing)} blocks, {passed:.0f} s", flush=True)
    parts = [np.load(_file(place, block)) for block in blocks]
    return Result(
        name,
        method_names(DESIGNS[name]),
        np.concatenate([part["cover"] for part in parts]),
        np.concatenate([part["width"] for part in parts]),
        np.concatenate([part["estimate"] for part in parts]),
        int(sum(part["lower_found"] for part in parts)),
        int(sum(part["disagree"] for part in parts)),
    )


def _run_block(name: str, block: tuple[int, int], draws: int, seed: int, place: Path) -> None:
    outcomes = [one_set(DESIGNS[name], seed, number, draws) for number in range(*block)]
    path = _file(place, block)
    # Whole or not at all: a block that exists is never computed again.
    part = path.with_suffix(f".{os.getpid()}.npz")
    np.savez_compressed(
        part,
        cover=np.array([outcome.cover for outcome in outcomes]),
        width=np.array([outcome.width for outcome in outcomes]),
        estimate=np.array([outcome.estimate for outcome in outcomes]),
        lower_found=sum(outcome.lower_found for outcome in outcomes),
        disagree=sum(outcome.disagree for outcome in outcomes),
    )
    part.replace(path)


def _file(place: Path, block: tuple[int, int]) -> Path:
    return place / f"{block[0]:05d}-{block[1]:05d}.npz"
