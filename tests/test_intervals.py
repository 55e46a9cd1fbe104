"""Intervals of parameters and predictions: closed forms, defaults, ends, and what they rest on."""

from __future__ import annotations

import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose
from scalinglaws.uncertainty.intervals import Interval, bounds
from scalinglaws.uncertainty.smoothing import bending
from scipy.integrate import quad
from scipy.stats import t as student

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
LABELS = np.repeat(np.arange(6), 4)


def line(n=24, seed=0):
    rng = np.random.default_rng(seed)
    x = np.linspace(-1.0, 3.0, n)
    shared = np.repeat(0.3 * rng.standard_normal(n // 4), 4)
    return {"x": x, "y": 1.0 + 2.0 * x + shared + 0.1 * rng.standard_normal(n)}


def fitted(n=24, **options):
    return sl.fit(LINE, line(n), starts={"a": 1, "b": 2}, **options)


def ladder(n=30, noise=0.01, floor=1.7):
    N = np.geomspace(1e7, 1e10, n)
    return {"N": N, "L": (floor + 400.0 / N**0.34) * np.exp(noise * np.random.default_rng(0).normal(size=n))}


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize("method", ["profile", "delta"])
def test_intervals_of_a_straight_line_are_students(method):
    fit = fitted()
    errors = fit.stderr("classical")
    for name, interval in fit.conf_int(0.9, "classical", method=method).items():
        half = student.ppf(0.95, fit.dof) * errors[name]
        assert_allclose(interval, [fit.values[name] - half, fit.values[name] + half], rtol=1e-9)
        assert (interval.lower_end, interval.upper_end) == ("found", "found")


@pytest.mark.parametrize("options", [{}, {"by": LABELS}])
def test_the_sandwich_has_degrees_of_freedom_of_its_own(options):
    fit = fitted()
    errors = fit.stderr("sandwich", **options)
    for name, interval in fit.conf_int(0.95, **options).items():
        found = fit.profile(name, points=0, **options)
        assert found.kind == "sandwich"
        assert 1.0 < found.dof < fit.dof
        half = student.ppf(0.975, found.dof) * errors[name]
        assert_allclose(interval, [fit.values[name] - half, fit.values[name] + half], rtol=1e-8)
    assert fit.conf_int(0.95, method="delta", **options)["b"] == pytest.approx(fit.conf_int(**options)["b"])


def test_few_runs_rest_on_the_classical_variance_and_robust_losses_never_do():
    for n, kind in ((8, "classical"), (12, "sandwich")):
        fit = fitted(n)
        assert fit.profile("a", points=0).kind == kind
        assert fit.predict({"x": 1.0}, 0.9).kind == kind
        assert fit.conf_int() == fit.conf_int(kind=kind)
    assert fitted(8, loss="huber:0.2").profile("a", points=0).kind == "sandwich"


def test_a_positive_parameter_has_a_delta_interval_on_the_logarithm():
    fit = sl.fit(POWER, ladder(), residual="log", starts=64)
    for name, (low, high) in fit.conf_int(0.9, "classical", method="delta").items():
        assert low * high == pytest.approx(fit.values[name] ** 2)
        half = student.ppf(0.95, fit.dof) * fit.stderr("classical")[name] / fit.values[name]
        assert math.log(high / low) == pytest.approx(2 * half)


def test_fixed_tied_and_undetermined_parameters():
    rng = np.random.default_rng(5)
    N, D = 10 ** rng.uniform(7, 10, 60), 10 ** rng.uniform(8, 11, 60)
    L = (1.7 + 400.0 / N**0.34 + 500.0 / D**0.34) * np.exp(0.01 * rng.standard_normal(60))
    fit = sl.fit("chinchilla", {"N": N, "D": D, "L": L}, fixed={"E": 1.7, "beta": "alpha"}, loss="squared")
    intervals = fit.conf_int(0.9)
    assert intervals["E"] == (1.7, 1.7)
    # The tie is the identity, so both have the same variance; one is a profile, the other not.
    assert intervals["beta"] == pytest.approx(intervals["alpha"], rel=0.02)
    flat = sl.Law("y ~ a + b * x + c * z", params={n: sl.Param("real", start=(-5, 5)) for n in "abc"})
    with pytest.warns(sl.FitWarning):
        lost = sl.fit(flat, {**line(), "z": np.zeros(24)}, starts={"a": 1, "b": 2, "c": 0})
    found = lost.conf_int()
    assert (*found["c"], found["c"].lower_end) == (-math.inf, math.inf, "open")
    assert math.isfinite(found["b"].lower)


def test_a_parameter_at_its_bound_has_one_side():
    law = sl.Law("y ~ c + b * x", params={"c": sl.Param((0, 10), start=(0, 5)), "b": sl.Param("real")})
    data = line()
    with pytest.warns(sl.FitWarning):
        fit = sl.fit(law, {**data, "y": data["y"] - 1.3}, starts={"c": 1, "b": 1})
    interval = fit.conf_int()["c"]
    assert interval.lower == 0.0 < interval.upper
    assert (interval.lower_end, interval.upper_end, interval.one_sided) == ("bound", "found", True)
    assert all(math.isnan(end) for end in fit.conf_int(method="delta")["c"])


def test_an_interval_is_a_pair_that_can_be_pickled():
    interval = Interval(0.0, 2.0, "bound", "found")
    low, high = interval
    assert (low, high) == interval == (0.0, 2.0)
    back = pickle.loads(pickle.dumps(interval))
    assert (back, back.lower_end, back.one_sided) == (interval, "bound", True)
    assert repr(interval) == "Interval(0.0, 2.0, bound, found)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 95}, "level must lie between 0 and 1"),
        ({"method": "profil"}, "Did you mean 'profile'"),
        ({"kind": "sandwhich"}, "Did you mean 'sandwich'"),
        ({"kind": "classical", "by": LABELS}, "'classical' has no clusters"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fitted().conf_int(**options)


# ------------------------------------------------------------------ predictions


@pytest.mark.parametrize("options", [{}, {"by": LABELS}, {"kind": "classical"}])
def test_the_law_at_a_point_has_the_interval_of_the_parameter_that_it_could_be(options):
    """Written about x = 5, the line's value there is a parameter: variance and degrees of freedom agree."""
    moved = sl.Law("y ~ a + b * (x - 5)", params={"a": sl.Param("real"), "b": sl.Param("real")})
    fit, other = fitted(), sl.fit(moved, line(), starts={"a": 11, "b": 2})
    at = fit.predict({"x": 5.0}, 0.9, **options)
    assert (at.lower, at.upper) == pytest.approx(other.conf_int(0.9, **options)["a"], rel=1e-8)
    assert at.stderr == pytest.approx(other.stderr(at.kind, by=options.get("by"))["a"], rel=1e-8)


def test_a_new_run_under_the_classical_variance_has_the_exact_interval_of_linear_regression():
    fit = fitted()
    law, run = (fit.predict({"x": 5.0}, 0.9, kind="classical", new_run=new) for new in (False, True))
    half = student.ppf(0.95, fit.dof) * math.sqrt(law.stderr**2 + fit.rss / fit.dof)
    assert (run.lower, run.upper) == pytest.approx((run.mean - half, run.mean + half), rel=1e-9)


@pytest.mark.parametrize("loss", ["quantile:0.1", "squared"])
def test_a_law_that_is_not_in_the_middle_of_the_runs_has_no_interval_of_new_runs(loss):
    loss = sl.quantile(0.1) if loss.startswith("q") else sl.squared(above=3.0)
    fit = sl.fit(LINE, line(), starts={"a": 1, "b": 2}, loss=loss)
    with pytest.raises(ValueError, match="middle of the runs"):
        fit.predict({"x": 5.0}, 0.9, new_run=True)


def test_a_fit_saved_without_rows_predicts_with_the_classical_variance(tmp_path):
    fit = fitted()
    fit.save(tmp_path / "fit.json", data=False)
    back = sl.load(tmp_path / "fit.json")
    assert back.predict({"x": 5.0}, 0.9).kind == "classical"
    assert back.predict({"x": 5.0}, 0.9).upper == pytest.approx(
        fit.predict({"x": 5.0}, 0.9, kind="classical").upper
    )
    with pytest.raises(sl.DataError, match="saved without them"):
        back.predict({"x": 5.0}, 0.9, kind="sandwich")


# ------------------------------------------------------------------ what they rest on


@pytest.mark.parametrize("above", [1.0, 3.0])
def test_the_averaged_curvature_of_huber_is_the_integral(above):
    loss, width = sl.huber(0.01, above=above), 0.05
    for r in (-0.055, -0.02, 0.0, 0.004, 0.03, 0.2):
        kernel = lambda s, r=r: 0.75 * (1 - ((r - s) / width) ** 2) / width * float(loss.curvature(s))  # noqa: E731
        edges = sorted({r - width, r + width, *(e for e in (-0.01, 0.0, 0.01) if abs(e - r) < width)})
        total = sum(quad(kernel, low, high)[0] for low, high in pairwise(edges))
        assert bending(loss, np.array([r]), width)[0] == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_quantiles_of_draws_are_the_unbiased_ones(share):
    draws = np.random.default_rng(0).normal(size=(199, 3))
    found = bounds("percentile", share, np.zeros(3), draws)
    expected = np.quantile(draws, [(1 - share) / 2, (1 + share) / 2], axis=0, method="weibull")
    assert_allclose(found, expected, rtol=1e-12)


def test_nineteen_draws_give_ninety_percent_intervals_that_hold_a_twentieth():
    """From the first to the last of 19 draws: a further one falls there with probability 18 / 20."""
    draws = np.random.default_rng(1).exponential(size=(20, 4000))
    low, high = bounds("percentile", 0.9, np.zeros(4000), draws[:-1])
    inside = (low <= draws[-1]) & (draws[-1] <= high)
    assert inside.mean() == pytest.approx(0.9, abs=0.015)
