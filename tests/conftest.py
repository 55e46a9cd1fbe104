"""Fixtures of the test suite: where the measured data are, and rows simulated from the catalogue's laws."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import measured
import numpy as np
import pytest
from numpy.typing import NDArray
from scalinglaws.law import Law
from scalinglaws.reference import Reference

Columns = dict[str, NDArray[np.float64]]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of the measured data; tests that need it are skipped without it."""
    folder = measured.data_folder()
    if not folder.is_dir():
        pytest.skip(
            f"no measured data at {folder}; set {measured.VARIABLE} to the folder that holds "
            "chinchilla_epoch.csv"
        )
    return folder


@pytest.fixture(scope="session")
def read_table(data_folder: Path) -> Callable[..., dict[str, NDArray]]:
    """Function that reads a CSV file, rows chosen by equality: ``read_table("x.csv", split="fit")``."""

    def read(name: str, **where: str) -> dict[str, NDArray]:
        path = data_folder / name
        if not path.is_file():
            pytest.skip(f"{path} is missing from the measured data")
        return measured.read_csv(path, **where)

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
        coefficients = truth(law)
        columns = drawn_inputs(law, n, seed)
        exact = Reference(law.formula, law.params).value(on_rows(law, coefficients, columns))
        rng = np.random.default_rng(seed + 1)
        return coefficients, {**columns, str(law.target): exact * np.exp(noise * rng.standard_normal(n))}

    return draw


def flat(values: Mapping[str, Any]) -> dict[str, float]:
    """Return coefficients by expanded name: ``{"a": {"x": 1.0}}`` becomes ``{"a[x]": 1.0}``."""
    out: dict[str, float] = {}
    for name, value in values.items():
        grouped = isinstance(value, Mapping)
        out.update({f"{name}[{label}]": v for label, v in value.items()} if grouped else {name: value})
    return out


def truth(law: Law, which: int = 0) -> dict[str, float]:
    """Return published coefficients, or those of the first check where a paper printed none.

    They go by expanded name, and include the parameters that are constants of the law.
    """
    values = law.published[which].values if law.published else law.checks[0].values
    return {**{name: p.value for name, p in law.params.items() if p.value is not None}, **flat(values)}


def on_rows(law: Law, values: Mapping[str, float], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Join columns and coefficients for the reference: of a grouped parameter the value of each row."""
    out = {**columns, **{name: values[name] for name in law.params if name not in law.groups}}
    for name, column in law.groups.items():
        labels = np.atleast_1d(columns[column])
        out[name] = np.array([values[f"{name}[{label}]"] for label in labels])
    return out


def drawn_inputs(law: Law, n: int, seed: int) -> Columns:
    """Draw rows evenly over the ranges of the law's file, in the logarithm where a range is positive."""
    rng = np.random.default_rng(seed)
    out = {}
    for name in law.inputs:
        low, high = law.ranges[name]
        # One draw in each of n equal parts of the range, in random order: few rows already cover every range.
        parts = (rng.permutation(n) + rng.uniform(size=n)) / n
        logs = low > 0.0
        ends = np.log([low, high]) if logs else np.array([low, high])
        drawn = ends[0] + parts * (ends[1] - ends[0])
        out[name] = np.exp(drawn) if logs else drawn
    # The categories that the coefficients know, each as often as the others.
    for name, column in law.groups.items():
        labels = [key[len(name) + 1 : -1] for key in truth(law) if key.startswith(f"{name}[")]
        out[column] = rng.permutation(np.resize(labels, n))
    return out


# Programs that a shell starts in the background ignore Ctrl-C, and tests of interrupts could wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
