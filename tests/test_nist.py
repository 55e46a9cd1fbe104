"""The nonlinear regression problems of NIST's statistical reference datasets, lower level of difficulty.

Certified values have eleven digits. What counts is how many of them agree, from the far start as from the
near one.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import scalinglaws as sl

PROBLEMS = ["Chwirut1", "Chwirut2", "DanWood", "Gauss1", "Gauss2", "Lanczos3", "Misra1a", "Misra1b"]
DIGITS = {"rust": (8.0, 6.0), "scipy": (6.0, 5.0)}


@pytest.fixture(scope="session")
def nist(data_folder):
    path = data_folder / "nist_lower.json"
    if not path.is_file():
        pytest.skip(f"{path} is missing from the measured data")
    return {problem["name"]: problem for problem in json.loads(path.read_text(encoding="utf-8"))}


def digits(value: float, certified: float) -> float:
    """Number of significant digits in agreement, at most the eleven that are certified."""
    error = abs(value - certified) / abs(certified)
    return 11.0 if error == 0.0 else float(min(-np.log10(error), 11.0))


@pytest.mark.parametrize("backend", ["rust", "scipy"])
@pytest.mark.parametrize("start", [0, 1], ids=["far", "near"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_certified_values_and_standard_errors_are_reproduced(nist, name, start, backend):
    problem = nist[name]
    law = sl.Law(
        problem["formula"], params={parameter: sl.Param("real") for parameter in problem["certified"]}
    )
    fit = sl.fit(
        law,
        problem["data"],
        residual="linear",
        loss=sl.squared(),
        starts=problem["starts"][start],
        backend=backend,
    )
    values, errors = fit.values, fit.stderr("classical")
    matching = {key: digits(values[key], certified) for key, certified in problem["certified"].items()}
    matching_errors = {key: digits(errors[key], certified) for key, certified in problem["stderr"].items()}
    wanted, wanted_errors = DIGITS[backend]
    assert fit.success, fit.message
    assert min(matching.values()) >= wanted, matching
    assert min(matching_errors.values()) >= wanted_errors, matching_errors
    assert digits(fit.rss, problem["rss"]) >= wanted
