"""Fixtures of the test suite: where the measured data are, and rows simulated from the catalogue's laws."""

from __future__ import annotations

import csv
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import scalinglaws
from numpy.typing import NDArray
from scalinglaws.law import Law
from scalinglaws.reference import Reference

Columns = dict[str, NDArray[np.float64]]

_VARIABLE = "SCALINGLAWS_TEST_DATA"
_DEFAULT = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of the measured data; tests that need it are skipped without it."""
    folder = Path(os.environ.get(_VARIABLE, _DEFAULT)).resolve()
    if not folder.is_dir():
        pytest.skip(
            f"no measured data at {folder}; set {_VARIABLE} to the folder that holds chinchilla_epoch.csv"
        )
    return folder


@pytest.fixture(scope="session")
def read_table(data_folder: Path) -> Callable[..., dict[str, NDArray]]:
    """Function that reads a CSV file, rows chosen by equality: ``read_table("x.csv", split="fit")``."""

    def read(name: str, **where: str) -> dict[str, NDArray]:
        path = data_folder / name
        if not path.is_file():
            pytest.skip(f"{path} is missing from the measured data")
        with path.open(encoding="utf-8", newline="") as file:
            rows = [
                row for row in csv.DictReader(file) if all(row[key] == value for key, value in where.items())
            ]
        assert rows, f"{name} has no row with {where}"
        columns = {}
        for key in rows[0]:
            cells = [row[key] for row in rows]
            try:
                columns[key] = np.array([float(cell) for cell in cells])
            except ValueError:
                columns[key] = np.array(cells)
        return columns

    return read


@pytest.fixture(scope="session")
def simulate() -> Callable[..., tuple[dict[str, float], Columns]]:
    """Function that draws rows of a catalogue law at its published coefficients: ``simulate(law, n=40,
    noise=0.01)``.

    It returns the coefficients and the columns. Noise is the standard deviation of the logarithm of the
    target. Values come from the reference evaluator, so that a fault of the compiled kernels cannot hide in
    the data.
    """

    def draw(law: Law, *, n: int = 60, noise: float = 0.0, seed: int = 1) -> tuple[dict[str, float], Columns]:
        coefficients = dict(truth(law))
        columns = drawn_inputs(law, n, seed)
        exact = Reference(law.formula, law.params).value({**columns, **coefficients})
        rng = np.random.default_rng(seed + 1)
        return coefficients, {**columns, str(law.target): exact * np.exp(noise * rng.standard_normal(n))}

    return draw


def truth(law: Law) -> Mapping[str, float]:
    """Return the first published coefficients, or those of the first check where a paper printed none."""
    return law.published[0].values if law.published else law.checks[0].values


def drawn_inputs(law: Law, n: int, seed: int) -> Columns:
    """Draw rows evenly in the logarithm of each input, over the ranges of the law's file."""
    folder = Path(scalinglaws.__file__).parent / "catalogue"
    ranges = tomllib.loads((folder / f"{law.id}.toml").read_text(encoding="utf-8"))["ranges"]
    rng = np.random.default_rng(seed)
    out = {}
    for name in law.inputs:
        low, high = np.log(ranges[name])
        # One draw in each of n equal parts of the range, in random order: few rows already cover every range.
        parts = (rng.permutation(n) + rng.uniform(size=n)) / n
        out[name] = np.exp(low + parts * (high - low))
    return out
