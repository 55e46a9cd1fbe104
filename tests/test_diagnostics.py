"""What the runs determine: spectrum, directions in words, effective parameters, guards."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose

LINE = sl.Law(
    "y ~ a + b * x", params={"a": sl.Param("real", start=(-5, 5)), "b": sl.Param("real", start=(-5, 5))}
)
POWER = sl.Law(
    "L ~ E + A / N**alpha",
    params={
        "E": sl.Param("positive", start=(0.1, 5.0)),
        "A": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
        "alpha": sl.Param("positive", start=(0.05, 1.0)),
    },
)


def ladder(low=1e7, high=1e10, n=24, noise=0.01):
    N = np.geomspace(low, high, n)
    return {
        "N": N,
        "L": (1.7 + 400.0 / N**0.34) * np.exp(noise * np.random.default_rng(0).standard_normal(n)),
    }


def fitted(**options):
    return sl.fit(POWER, ladder(), residual="log", **{"starts": 64, **options})


def test_the_spectrum_of_a_line_is_known():
    """Two columns with the cosine c between them have the eigenvalues 1 + c and 1 - c."""
    x = np.linspace(-1.0, 3.0, 12)
    y = 1 + 2 * x + 0.1 * np.random.default_rng(0).standard_normal(12)
    found = sl.fit(LINE, {"x": x, "y": y}, starts={"a": 0, "b": 0}).diagnostics
    c = x.sum() / math.sqrt(12 * (x @ x))
    assert_allclose(found.spectrum, [1 + c, 1 - c], rtol=1e-10)
    assert found.condition == pytest.approx((1 + c) / (1 - c))
    assert found.effective == pytest.approx(2.0, abs=0.01)
    assert found.distinct == {"x": 12}
    assert (found.bounds, found.unmoved, found.sloppy) == ({}, (), ())


def test_one_step_along_every_direction_is_one_standard_error():
    """The steps are the columns of a root of the covariance."""
    fit = fitted()
    steps = np.array([list(direction.step.values()) for direction in fit.diagnostics.directions])
    assert_allclose(steps.T @ steps, fit.cov("classical"), rtol=1e-6)
    assert sum(fit.diagnostics.spectrum) == pytest.approx(3.0)


def test_chinchilla_names_the_pairs_that_trade_off(read_table):
    fit = sl.fit("chinchilla", read_table("chinchilla_epoch.csv", excluded="0"))
    found = fit.diagnostics
    assert {direction.names for direction in found.sloppy} == {("A", "alpha"), ("B", "beta")}
    words = " ".join(direction.words for direction in found.sloppy)
    assert re.search(r"A and alpha trade off along \(A x 1\.\d+, alpha \+ 0\.01\d*\)", words)
    assert re.search(r"B and beta trade off along \(B x 1\.\d+, beta \+ 0\.01\d*\)", words)
    assert 1e4 < found.condition < 1e5
    assert 4.5 < found.effective < 5.0
    assert found.distinct == {"N": 140, "D": 240}


def test_walking_along_the_flattest_direction_hardly_changes_the_predictions():
    fit = fitted()
    flattest, stiffest = fit.diagnostics.directions[-1], fit.diagnostics.directions[0]
    N = ladder()["N"]

    def moved(direction, size):
        values = {name: fit.values[name] + size * direction.step[name] for name in fit.names}
        return np.abs(POWER(N=N, **values) / POWER(N=N, **fit.values) - 1).max()

    change = {d: abs(d.step["A"]) / fit.values["A"] for d in (flattest, stiffest)}
    assert change[flattest] > 30 * change[stiffest]
    assert moved(flattest, 0.1) < 5 * moved(stiffest, 0.1)


def test_a_collinear_design_names_its_direction():
    """With D = 20 N on every row, A and B multiply the same column but for the exponents."""
    law = sl.Law(
        "y ~ a * u + b * v + c",
        params={name: sl.Param("real", start=(-5, 5)) for name in "abc"},
    )
    rng = np.random.default_rng(0)
    u = rng.standard_normal(40)
    v = 2 * u + 1e-3 * rng.standard_normal(40)
    fit = sl.fit(law, {"u": u, "v": v, "y": u + v + 1 + 0.01 * rng.standard_normal(40)}, starts=16)
    flattest = fit.diagnostics.sloppy[0]
    assert flattest.names == ("a", "b")
    assert flattest.step["a"] / flattest.step["b"] == pytest.approx(-2.0, rel=0.01)
    assert re.fullmatch(r"a and b trade off along \(a [+-] \S+, b [+-] \S+\)", flattest.words)
    assert fit.diagnostics.condition > 1e5


def test_an_exactly_flat_direction_has_an_infinite_condition_or_nearly():
    law = sl.Law("y ~ a * b * x", params={name: sl.Param("positive", start=(0.1, 10)) for name in "ab"})
    x = np.linspace(1.0, 2.0, 10)
    with pytest.warns(sl.FitWarning):
        fit = sl.fit(law, {"x": x, "y": 3 * x + 0.01 * np.sin(9 * x)}, starts=8)
    found = fit.diagnostics
    assert found.condition > 1e12
    assert found.sloppy[0].names == ("a", "b")
    assert found.effective == pytest.approx(1.0, abs=0.01)


def test_over_a_third_of_a_decade_two_combinations_of_three_parameters_are_known():
    """A short stretch of a power law with an offset shows its height and its slope, and no bend."""
    start = {"E": 1.7, "A": 400, "alpha": 0.34}
    long = sl.fit(POWER, ladder(noise=0.003), residual="log", starts=start)
    short = sl.fit(POWER, ladder(1e9, 2e9, n=8, noise=0.003), residual="log", starts=start)
    assert long.diagnostics.effective > 2.8
    assert short.diagnostics.effective == pytest.approx(2.0, abs=0.05)


def test_what_a_prior_knows_the_runs_did_not_determine():
    free = fitted().diagnostics.effective
    told = fitted(priors={"alpha": sl.normal(0.34, 1e-6)}).diagnostics.effective
    assert told == pytest.approx(free - 1, abs=0.1)


def test_few_values_of_a_predictor_are_counted_and_noted():
    law = sl.laws.chinchilla
    N, D = np.repeat([1e8, 1e9], 12), np.tile(np.geomspace(1e9, 1e11, 12), 2)
    noise = 0.003 * np.random.default_rng(0).standard_normal(24)
    L = (1.8 + 480 / N**0.35 + 2085 / D**0.37) * np.exp(noise)
    with pytest.warns(sl.FitWarning):
        fit = sl.fit(law, {"params": N, "D": D, "L": L}, columns={"N": "params"}, starts=64)
    assert fit.diagnostics.distinct == {"N": 2, "D": 12}
    assert "params takes 2 values: an offset and a power of it need at least 3" in fit.diagnostics.notes


def test_a_bound_is_reported_and_left_out_of_the_spectrum():
    law = sl.Law(
        "y ~ c + b * x", params={"c": sl.Param((0, 10), start=(0, 5)), "b": sl.Param("real", start=(-5, 5))}
    )
    x = np.linspace(-1.0, 3.0, 12)
    with pytest.warns(sl.FitWarning):
        fit = sl.fit(law, {"x": x, "y": 2 * x - 0.5 + 0.1 * np.sin(9 * x)}, starts={"c": 1, "b": 1})
    found = fit.diagnostics
    assert found.bounds == {"c": "lower"}
    assert found.names == ("b",)
    assert "c is at its lower bound: its interval has one side" in found.notes


def test_a_parameter_that_never_left_its_start_is_noted():
    law = sl.Law("y ~ a * x + 0 * b", params={name: sl.Param("real", start=(-5, 5)) for name in "ab"})
    x = np.linspace(1.0, 2.0, 10)
    with pytest.warns(sl.FitWarning):
        fit = sl.fit(law, {"x": x, "y": 3 * x + 0.01 * np.sin(9 * x)}, starts={"a": 1.0, "b": 0.7})
    assert fit.diagnostics.unmoved == ("b",)
    assert any("where the solver started" in note for note in fit.diagnostics.notes)
    assert fitted().diagnostics.unmoved == ()
    again = fitted(starts=fitted().values)
    assert set(again.diagnostics.unmoved) <= {"E", "A", "alpha"}


def test_the_summary_shows_what_the_runs_determine():
    text = fitted().summary()
    assert re.search(r"effective parameters \d\.\d of 3, condition number \d\.\de\+\d+", text)
    assert "A and alpha trade off along" in text
    assert max(map(len, text.splitlines())) <= 78


def test_the_start_of_the_best_fit_survives_saving_and_older_files_have_none(tmp_path):
    fit = fitted()
    fit.save(tmp_path / "fit.json")
    assert sl.load(tmp_path / "fit.json").starts == fit.starts
    content = fit.to_dict()
    del content["starts"]["best"]
    from scalinglaws.serialize import fit_from_dict

    older = fit_from_dict(content)
    assert older.starts.best is None
    assert older.diagnostics.unmoved == ()


def test_a_fit_saved_without_rows_keeps_its_diagnostics(tmp_path):
    fit = fitted()
    fit.save(tmp_path / "fit.json", data=False)
    bare = sl.load(tmp_path / "fit.json")
    assert bare.diagnostics == fit.diagnostics
    assert bare.diagnostics.directions[-1].step == fit.diagnostics.directions[-1].step
    assert bare.summary() == fit.summary()
    older = fit.to_dict(data=False)
    del older["diagnostics"]
    from scalinglaws.serialize import fit_from_dict

    with pytest.raises(sl.DataError, match="saved without"):
        _ = fit_from_dict(older).diagnostics
    assert "effective" not in fit_from_dict(older).summary()
