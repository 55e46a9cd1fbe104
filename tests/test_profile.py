"""Profile likelihood: closed forms, an independent computation, real runs, and sides that have no end."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose
from scipy.optimize import brentq, least_squares
from scipy.stats import f as fisher
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


def line(n=12, noise=0.3, seed=0):
    x = np.linspace(-1.0, 3.0, n)
    return {"x": x, "y": 1.0 + 2.0 * x + noise * np.random.default_rng(seed).standard_normal(n)}


def ladder(n=30, noise=0.01, seed=0, E=1.7):
    N = np.geomspace(1e7, 1e10, n)
    rng = np.random.default_rng(seed)
    return {"N": N, "L": (E + 400.0 / N**0.34) * np.exp(noise * rng.standard_normal(n))}


def fitted(**options):
    return sl.fit(POWER, ladder(), residual="log", starts={"E": 1.7, "A": 400, "alpha": 0.34}, **options)


@pytest.fixture(scope="module")
def straight():
    return sl.fit(LINE, line(), starts={"a": 0, "b": 0})


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("name", ["a", "b"])
def test_for_a_linear_law_the_interval_is_students(straight, name, level):
    found = straight.profile(name, level=level, kind="classical")
    half = student.ppf(0.5 * (1 + level), straight.dof) * straight.stderr()[name]
    assert_allclose(found.interval, straight.values[name] + np.array([-half, half]), rtol=1e-9)
    assert (found.lower_end, found.upper_end, found.message) == ("found", "found", "")
    assert not found.one_sided


def test_weights_and_priors_keep_the_closed_form():
    data = line()
    options = {
        "weights": np.linspace(0.5, 2.0, 12),
        "priors": {"b": sl.normal(1.5, 0.4)},
        "starts": {"a": 0, "b": 0},
    }
    fit = sl.fit(LINE, data, **options)
    half = student.ppf(0.975, fit.dof) * np.array(list(fit.stderr().values()))
    for name, center, width in zip(fit.names, fit.values.values(), half, strict=True):
        assert_allclose(
            fit.profile(name, kind="classical").interval, [center - width, center + width], rtol=1e-8
        )


def test_the_curve_of_a_linear_law_is_a_parabola_with_the_other_parameter_on_a_line(straight):
    curve = straight.profile("b", points=11, kind="classical")
    s2 = straight.rss / straight.dof
    rise = ((curve.values - curve.value) / straight.stderr()["b"]) ** 2
    assert_allclose(curve.statistic, rise, rtol=1e-7, atol=1e-9)
    assert_allclose(curve.objective - straight.objective, 0.5 * s2 * rise, rtol=1e-7, atol=1e-10)
    assert curve.names == ("a", "b")
    assert_allclose(curve.theta[:, 1], curve.values)
    mean = line()["x"].mean()
    assert_allclose(curve.theta[:, 0] + curve.theta[:, 1] * mean, line()["y"].mean(), rtol=1e-9)
    assert np.all(np.diff(curve.values) > 0)
    assert curve.lower in curve.values
    assert curve.upper in curve.values
    assert curve.kappa == pytest.approx(s2)
    assert curve.threshold == pytest.approx(student.ppf(0.975, 10) ** 2)


def test_without_points_only_the_ends_are_kept(straight):
    found = straight.profile("b", points=0)
    assert_allclose(found.values, [found.lower, found.value, found.upper])


def test_a_single_parameter_needs_no_refit():
    law = sl.Law("y ~ m", params={"m": sl.Param("real", start=(-5, 5))})
    y = np.array([1.0, 2.0, 4.0, 3.5, 2.2])
    fit = sl.fit(law, {"y": y}, starts={"m": 0})
    half = student.ppf(0.975, 4) * y.std(ddof=1) / math.sqrt(5)
    assert_allclose(fit.profile("m").interval, [y.mean() - half, y.mean() + half], rtol=1e-9)


def test_the_interval_does_not_depend_on_the_parametrisation():
    other = sl.Law(
        "L ~ exp(e) + exp(a) / N**alpha",
        params={
            "e": sl.Param("real", start=(-2, 2)),
            "a": sl.Param("real", start=(0, 12)),
            "alpha": sl.Param("positive", start=(0.05, 1)),
        },
    )
    logs = sl.fit(other, ladder(), residual="log", starts={"e": 0.5, "a": 6, "alpha": 0.34})
    fit = fitted()
    for name, twin in (("E", "e"), ("A", "a")):
        assert_allclose(np.log(fit.profile(name).interval), logs.profile(twin).interval, rtol=1e-7)
    assert_allclose(fit.profile("alpha").interval, logs.profile("alpha").interval, rtol=1e-7)


NIST = ["Chwirut2", "DanWood", "Misra1a", "Misra1b", "Gauss1"]


@pytest.mark.parametrize("name", NIST)
def test_nist_intervals_agree_with_an_independent_computation(data_folder, name):
    """Nested least squares and root-finding by scipy, on the evaluator that shares no code with Rust."""
    from scalinglaws.reference import Reference

    problems = {
        p["name"]: p for p in json.loads((data_folder / "nist_lower.json").read_text(encoding="utf-8"))
    }
    problem = problems[name]
    law = sl.Law(problem["formula"], params={key: sl.Param("real") for key in problem["certified"]})
    fit = sl.fit(law, problem["data"], residual="linear", loss=sl.squared(), starts=problem["starts"][1])
    reference = Reference(law.formula, law.params)
    columns = {key: np.asarray(values, float) for key, values in problem["data"].items()}
    y, names = columns[law.target], list(law.params)
    best = np.array([problem["certified"][key] for key in names])
    s2 = problem["rss"] / (y.size - best.size)
    target = student.ppf(0.975, y.size - best.size)
    for index, key in enumerate(names):
        rest = [k for k in range(best.size) if k != index]
        start = best[rest].copy()

        def height(value, index=index, rest=rest, start=start):
            def residual(scaled):
                theta = best.copy()
                theta[index], theta[rest] = value, scaled * best[rest]
                return (reference.value({**columns, **dict(zip(names, theta, strict=True))}) - y) / math.sqrt(
                    s2
                )

            solved = least_squares(
                residual, start / best[rest], method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15
            )
            start[:] = solved.x * best[rest]
            return math.sqrt(max(2 * solved.cost - problem["rss"] / s2, 0.0)) - target

        error = problem["stderr"][key]
        expected = []
        for side in (-1, 1):
            start[:] = best[rest]
            far = best[index] + side * 4 * error
            expected.append(brentq(height, best[index], far, xtol=1e-9 * error, rtol=1e-13))
        found = fit.profile(key, points=0, kind="classical")
        assert_allclose(found.interval, expected, rtol=0, atol=2e-5 * error)


def test_chinchilla_intervals_surround_the_published_values_and_agree_with_resampling(read_table):
    runs = read_table("chinchilla_epoch.csv", excluded="0")
    fit = sl.fit("chinchilla", runs)
    published = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
    counts = np.random.default_rng(1).multinomial(fit.nobs, np.full(fit.nobs, 1 / fit.nobs), size=800)
    draws = fit.refit(counts).draws
    for name, value in published.items():
        found = fit.profile(name, points=0)
        assert found.lower < value < found.upper
        assert found.kind == "sandwich"
        resampled = np.quantile(draws[:, fit.names.index(name)], [0.025, 0.975])
        # Ends agree within a third of the resampled width, or far less where the curve is straight.
        share = 0.12 if name in ("E", "alpha") else 0.34
        assert_allclose(found.interval, resampled, rtol=0, atol=share * np.ptp(resampled))
    # Hoffmann et al. (2022) print E = 1.69, B = 410.7, beta = 0.28, which do not fit these runs.
    assert fit.profile("E").lower > 1.69
    assert fit.profile("B").lower > 410.7
    assert fit.profile("beta").lower > 0.28
    # Coefficients have long upper tails, which value and standard error cannot show.
    for name in ("A", "B"):
        found = fit.profile(name, points=0)
        assert found.upper - found.value > 1.4 * (found.value - found.lower)


@pytest.mark.parametrize("kind", ["sandwich", "hessian"])
@pytest.mark.parametrize("loss", ["huber:0.01", "soft_l1:0.01", "cauchy:0.02"])
def test_near_the_best_value_robust_profiles_agree_with_the_standard_error(loss, kind):
    fit = fitted(loss=loss)
    for name in fit.names:
        found = fit.profile(name, level=0.02, kind=kind, points=0)
        half = student.ppf(0.51, fit.dof) * fit.stderr(kind)[name]
        assert_allclose(found.interval, [found.value - half, found.value + half], rtol=0, atol=0.02 * half)


def test_clusters_widen_the_profile_as_they_widen_the_standard_error():
    data = ladder()
    labels = np.repeat(np.arange(10), 3)
    shared = np.exp(0.02 * np.random.default_rng(3).standard_normal(10))[labels]
    fit = sl.fit(POWER, {**data, "L": data["L"] * shared}, residual="log", loss="huber:0.02", starts=64)
    found = fit.profile("alpha", level=0.02, by=labels, points=0)
    half = student.ppf(0.51, 9) * fit.stderr(by=labels)["alpha"]
    assert_allclose(found.interval, [found.value - half, found.value + half], rtol=0, atol=0.02 * half)
    wide, plain = fit.profile("alpha", by=labels), fit.profile("alpha")
    assert wide.upper - wide.lower > plain.upper - plain.lower


# ---------------------------------------------------------------- sides without an end


def floor(data):
    law = sl.Law(
        "y ~ c + b * x", params={"c": sl.Param((0, 10), start=(0, 5)), "b": sl.Param("real", start=(-5, 5))}
    )
    with pytest.warns(sl.FitWarning):
        return sl.fit(law, data, starts={"c": 1, "b": 1})


def test_at_a_bound_the_interval_has_one_side_and_a_closed_form():
    data = line()
    data["y"] = data["y"] - 1.2
    fit = floor(data)
    assert fit.values["c"] == 0.0
    found = fit.profile("c", kind="classical")
    assert (found.lower, found.lower_end, found.upper_end) == (0.0, "bound", "found")
    assert found.one_sided
    assert "one side" in found.message
    # The sum of squares is a parabola around an optimum below the bound.
    X = np.stack([np.ones(12), data["x"]], axis=1)
    free = np.linalg.lstsq(X, data["y"], rcond=None)[0][0]
    curve = 1.0 / np.linalg.inv(X.T @ X)[0, 0]
    rise = student.ppf(0.975, fit.dof) ** 2 * fit.rss / fit.dof
    assert found.upper == pytest.approx(free + math.sqrt(free**2 + rise / curve), rel=1e-9)


def test_an_interval_that_reaches_a_bound_stops_there():
    data = line()
    data["y"] = data["y"] - 0.9
    law = sl.Law(
        "y ~ c + b * x", params={"c": sl.Param((0, 10), start=(0, 5)), "b": sl.Param("real", start=(-5, 5))}
    )
    fit = sl.fit(law, data, starts={"c": 1, "b": 1})
    found = fit.profile("c", kind="classical")
    assert fit.values["c"] > 0.0
    assert (found.lower, found.lower_end, found.upper_end) == (0.0, "bound", "found")
    assert "lower bound" in found.message
    assert found.values[0] == 0.0


def test_a_positive_floor_that_may_be_zero_has_an_interval_down_to_zero():
    N = np.geomspace(1e7, 1e10, 12)
    noise = 0.05 * np.random.default_rng(2).standard_normal(12)
    fit = sl.fit(POWER, {"N": N, "L": (0.05 + 400 / N**0.34) * np.exp(noise)}, residual="log", starts=64)
    found = fit.profile("E")
    assert (found.lower, found.lower_end, found.upper_end) == (0.0, "bound", "found")
    assert found.upper > fit.values["E"] > 0.0


def test_a_rate_that_the_runs_only_bound_from_below_is_open_above():
    law = sl.Law(
        "y ~ a * (1 - exp(-b * x))",
        params={"a": sl.Param("positive", start=(0.1, 10)), "b": sl.Param("positive", start=(0.1, 10))},
    )
    x = np.linspace(1.0, 6.0, 10)
    y = 2.0 * (1 - np.exp(-4.0 * x)) + 0.1 * np.random.default_rng(5).standard_normal(10)
    fit = sl.fit(law, {"x": x, "y": y}, starts={"a": 2, "b": 3})
    found = fit.profile("b")
    assert found.upper == math.inf
    assert found.upper_end == "open"
    assert 0.0 < found.lower < fit.values["b"]
    assert "nothing limits b on its upper side" in found.message
    assert np.isfinite(found.values).all()


def test_where_the_law_ends_the_interval_ends():
    law = sl.Law(
        "y ~ a * sqrt(c - x)",
        params={"a": sl.Param("real", start=(0, 5)), "c": sl.Param("real", start=(0, 20))},
    )
    x = np.linspace(0.0, 4.0, 9)
    y = 1.5 * np.sqrt(4.3 - x) + 0.6 * np.random.default_rng(1).standard_normal(9)
    fit = sl.fit(law, {"x": x, "y": y}, starts={"a": 1.5, "c": 4.5})
    found = fit.profile("c", level=0.999)
    assert found.lower == pytest.approx(4.0, abs=1e-6)
    assert found.lower_end == "bound"
    assert "not finite with c beyond 4" in found.message


def test_a_better_minimum_on_the_way_is_reported():
    law = sl.Law(
        "y ~ a * sin(w * x)",
        params={"a": sl.Param("positive", start=(0.5, 2)), "w": sl.Param((0.1, 9), start=(0.1, 9))},
    )
    x = np.linspace(0.0, 6.0, 25)
    y = np.sin(2.0 * x) + 0.05 * np.random.default_rng(0).standard_normal(25)
    stuck = sl.fit(law, {"x": x, "y": y}, starts={"a": 0.1, "w": 3.1})
    best = sl.fit(law, {"x": x, "y": y}, starts=64)
    assert stuck.objective > 2 * best.objective
    assert "not at the lowest minimum" in stuck.profile("w").message
    assert best.profile("w").message == ""


# ---------------------------------------------------------------- two parameters


def test_the_region_of_a_linear_law_is_the_ellipse_of_f(straight):
    region = straight.profile(("a", "b"), level=0.9, points=9, kind="classical")
    threshold = 2 * fisher.ppf(0.9, 2, straight.dof)
    away = region.outline - np.array(list(straight.values.values()))
    inner = np.linalg.inv(straight.cov())
    assert_allclose(np.einsum("ij,jk,ik->i", away, inner, away), threshold, rtol=1e-8)
    assert region.threshold == pytest.approx(threshold)
    assert region.closed
    grid = np.stack(np.meshgrid(*region.values, indexing="ij"), axis=-1) - np.array(region.best)
    assert_allclose(region.statistic, np.einsum("ijk,kl,ijl->ij", grid, inner, grid), rtol=1e-7, atol=1e-12)
    assert region.objective.shape == (9, 9)
    assert_allclose(region.inside, region.statistic <= threshold)


def test_the_region_is_the_larger_of_the_intervals_seen_from_the_side():
    """Its extent along one parameter is the one-parameter profile at the joint threshold."""
    fit = fitted()
    region = fit.profile(("A", "alpha"), points=40, kind="classical")
    alone = 2 * student.cdf(math.sqrt(region.threshold), fit.dof) - 1
    for axis, name in enumerate(region.names):
        found = fit.profile(name, level=alone, points=0, kind="classical")
        outline = region.outline[:, axis]
        width = found.upper - found.lower
        assert_allclose([outline.min(), outline.max()], found.interval, rtol=0, atol=0.02 * width)


def test_a_robust_region_follows_the_sandwich_near_the_best_values():
    fit = fitted(loss="huber:0.01")
    region = fit.profile(("E", "alpha"), level=0.001, points=0)
    away = region.outline - np.array(region.best)
    inner = np.linalg.inv(fit.cov("sandwich")[np.ix_([0, 2], [0, 2])])
    assert_allclose(np.einsum("ij,jk,ik->i", away, inner, away), region.threshold, rtol=0.02)


def test_a_region_that_runs_into_a_bound_is_open():
    N = np.geomspace(1e7, 1e10, 12)
    noise = 0.05 * np.random.default_rng(2).standard_normal(12)
    fit = sl.fit(POWER, {"N": N, "L": (0.05 + 400 / N**0.34) * np.exp(noise)}, residual="log", starts=64)
    region = fit.profile(("E", "alpha"), points=0)
    assert not region.closed
    assert "open" in region.message


# ---------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("aplha", {}, r"no parameter 'aplha'. Did you mean 'alpha'\?"),
        (3, {}, "one name or a pair"),
        (("A", "A"), {}, "two different"),
        (("A", "alpha", "E"), {}, "one name or a pair"),
        ("A", {"level": 1.0}, "level must lie between 0 and 1, not 1.0"),
        ("A", {"level": 95}, "level must lie"),
        ("A", {"level": "0.9"}, "level must lie"),
        ("A", {"points": 1}, "points must be 0 or a whole number"),
        ("A", {"points": 2.5}, "points must be"),
        ("A", {"kind": "sandwhich"}, "Did you mean 'sandwich'"),
        ("A", {"kind": "classical", "by": np.arange(30)}, "has no clusters"),
        ("A", {"by": "seed"}, r"by=runs\['seed'\]"),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        fitted().profile(name, **options)


def test_parameters_that_were_not_fitted_have_no_profile():
    with pytest.raises(ValueError, match="'E' is fixed, so it has no profile; fitted are 'A', 'alpha'"):
        fitted(fixed={"E": 1.7}).profile("E")
    tied = sl.fit(POWER, ladder(), residual="log", fixed={"E": "5 * alpha"}, starts={"A": 400, "alpha": 0.34})
    with pytest.raises(ValueError, match="'E' is tied"):
        tied.profile("E")
    grouped = sl.Law(
        "y ~ a[g] + b * x",
        params={"a": sl.Param("real", start=(-5, 5)), "b": sl.Param("real", start=(-5, 5))},
    )
    fit = sl.fit(grouped, {**line(), "g": ["u", "v"] * 6}, starts=8)
    with pytest.raises(ValueError, match=r"grouped: name one of its values, such as 'a\[u\]'"):
        fit.profile("a")
    half = student.ppf(0.975, fit.dof) * fit.stderr()["a[v]"]
    assert_allclose(fit.profile("a[v]").interval, fit.values["a[v]"] + np.array([-half, half]), rtol=1e-8)


def test_tied_parameters_follow_along_the_curve():
    fit = sl.fit(POWER, ladder(), residual="log", fixed={"E": "5 * alpha"}, starts={"A": 400, "alpha": 0.34})
    curve = fit.profile("alpha")
    assert_allclose(curve.theta[:, curve.names.index("E")], 5 * curve.values)


def test_a_fit_without_noise_or_without_a_minimum_has_no_profile():
    exact = sl.fit(LINE, {"x": [0.0, 1.0], "y": [1.0, 3.0]}, starts={"a": 0, "b": 0})
    with pytest.raises(ValueError, match="no degree of freedom"):
        exact.profile("a")
    x = np.arange(6.0)
    through = sl.fit(LINE, {"x": x, "y": 1 + 2 * x}, starts={"a": 0, "b": 0})
    with pytest.raises(ValueError, match="passes through every row"):
        through.profile("a")
    with pytest.warns(sl.FitWarning):
        early = sl.fit(POWER, ladder(), residual="log", starts={"E": 0.1, "A": 1, "alpha": 0.9}, max_iter=1)
    with pytest.raises(ValueError, match="did not converge"):
        early.profile("alpha")
    with pytest.raises(ValueError, match="no likelihood"):
        fitted(loss="huber:0.01").profile("alpha", kind="classical")


def test_a_fit_saved_without_rows_has_no_profile(tmp_path):
    fitted().save(tmp_path / "fit.json", data=False)
    with pytest.raises(sl.DataError, match="saved without"):
        sl.load(tmp_path / "fit.json").profile("alpha")
    fitted().save(tmp_path / "whole.json")
    assert sl.load(tmp_path / "whole.json").profile("alpha").interval == fitted().profile("alpha").interval


def test_the_scipy_backend_gives_the_same_interval():
    fit, twin = fitted(), fitted(backend="scipy")
    assert_allclose(
        twin.profile("alpha", points=0).interval, fit.profile("alpha", points=0).interval, rtol=1e-6
    )


def test_a_long_robust_region_reaches_as_far_as_its_one_parameter_profiles(read_table):
    """A and alpha of Chinchilla correlate to 0.99, so the divisor must be right along the whole ridge."""
    fit = sl.fit("chinchilla", read_table("chinchilla_epoch.csv", excluded="0"))
    region = fit.profile(("A", "alpha"), points=0)
    alone = 2 * student.cdf(math.sqrt(region.threshold), fit.dof) - 1
    for axis, name in enumerate(region.names):
        found = fit.profile(name, level=alone, points=0)
        outline = region.outline[:, axis]
        width = found.upper - found.lower
        assert_allclose([outline.min(), outline.max()], found.interval, rtol=0, atol=0.1 * width)


# ---------------------------------------------------------------- plots


def test_profiles_are_drawn_with_their_ends_and_regions_with_their_outline():
    figure = pytest.importorskip("matplotlib.figure")
    fit, axes = fitted(), figure.Figure().subplots(1, 2)
    found = fit.profile("alpha", points=9)
    assert fit.plot.profile(found, ax=axes[0]) is axes[0]
    assert axes[0].get_xlabel() == "alpha"
    assert_allclose(axes[0].lines[0].get_ydata(), np.sqrt(found.statistic))
    assert_allclose(axes[0].patches[0].get_x(), found.lower)
    fit.plot.profile(("E", "alpha"), level=0.5, points=5, ax=axes[1])
    assert (axes[1].get_xlabel(), axes[1].get_ylabel()) == ("E", "alpha")
    assert_allclose(axes[1].lines[0].get_xdata()[0], axes[1].lines[0].get_xdata()[-1])
    with pytest.raises(ValueError, match="points= has no effect"):
        fit.plot.profile(found, points=3, ax=axes[0])


def test_an_open_profile_is_drawn_as_far_as_it_was_followed():
    figure = pytest.importorskip("matplotlib.figure")
    N = np.geomspace(1e7, 1e10, 12)
    noise = 0.05 * np.random.default_rng(2).standard_normal(12)
    fit = sl.fit(POWER, {"N": N, "L": (0.05 + 400 / N**0.34) * np.exp(noise)}, residual="log", starts=64)
    ax = fit.plot.profile("E", ax=figure.Figure().subplots())
    assert all(np.isfinite(ax.get_xlim()))
