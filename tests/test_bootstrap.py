"""Bootstrap draws: what a draw is, which fits may be drawn from, and what follows from draws."""

from __future__ import annotations

import json
import math
import os
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose, assert_array_equal
from scalinglaws.inference import triangle
from scalinglaws.uncertainty.leverage import working_noise
from scalinglaws.uncertainty.sandwich import covariance, white_coordinates

POWER = sl.Law(
    "L ~ E + A / N**alpha",
    params={
        "E": sl.Param("positive", start=(0.1, 5.0)),
        "A": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
        "alpha": sl.Param("positive", start=(0.05, 1.0)),
    },
)
LINE = sl.Law(
    "y ~ a + b * x", params={"a": sl.Param("real", start=(-5, 5)), "b": sl.Param("real", start=(-5, 5))}
)


def ladder(n=40, noise=0.01, seed=0):
    N = np.geomspace(1e7, 1e10, n)
    rng = np.random.default_rng(seed)
    run = np.array([f"run {i // 4}" for i in range(n)])
    return {"N": N, "L": (1.7 + 400.0 / N**0.34) * np.exp(noise * rng.standard_normal(n)), "run": run}


def plane(n=60, seed=5):
    rng = np.random.default_rng(seed)
    N, D = 10 ** rng.uniform(7, 10, n), 10 ** rng.uniform(8, 11, n)
    L = (1.7 + 400.0 / N**0.34 + 500.0 / D**0.3) * np.exp(0.01 * rng.standard_normal(n))
    return {"N": N, "D": D, "L": L}


def line(n=30, seed=3):
    rng = np.random.default_rng(seed)
    x = np.linspace(0.0, 3.0, n)
    return {"x": x, "y": 1.0 + 2.0 * x + rng.normal(0.0, 0.3, n)}


@pytest.fixture(scope="module")
def fit():
    return sl.fit(POWER, ladder(), residual="log", starts=64, keep=["run"])


@pytest.fixture(scope="module")
def straight():
    return sl.fit(LINE, line(), residual="linear", starts=8)


@pytest.fixture(scope="module")
def long():
    return sl.fit(LINE, line(300), residual="linear", starts=8)


@pytest.fixture(scope="module")
def boot(long):
    return long.bootstrap(4000, rng=1)


def least_squares(x, y, w=None):
    root = np.sqrt(np.ones_like(x) if w is None else w)
    return np.linalg.lstsq(np.stack([root, root * x], axis=1), root * y, rcond=None)[0]


# ------------------------------------------------------------------ what a draw is


def test_a_pairs_draw_counts_rows_and_is_the_fit_of_the_repeated_rows(fit):
    runs, boot = ladder(), fit.bootstrap(5, rng=7)
    for index in range(5):
        weights = boot.replicate(index)["weights"]
        assert weights.sum() == 40
        assert_array_equal(weights, np.round(weights))
        assert_array_equal(boot.replicate(index)["target"], runs["L"])
        rows = np.repeat(np.arange(40), weights.astype(int))
        repeated = {name: runs[name][rows] for name in ("N", "L")}
        again = sl.fit(POWER, repeated, residual="log", starts=64)
        assert_allclose(boot.objective[index], again.objective, rtol=1e-9)
        assert_allclose(boot.draws[index], list(again.values.values()), rtol=1e-5)


@pytest.mark.parametrize("loss", ["squared", "huber:1e-2", "absolute"])
def test_a_refit_with_the_weights_of_a_draw_is_the_draw(loss):
    fit = sl.fit(POWER, ladder(), residual="log", loss=loss, starts=64)
    boot = fit.bootstrap(6, rng=2)
    weights = np.array([boot.replicate(index)["weights"] for index in range(6)])
    assert_array_equal(boot.draws, fit.refit(weights).draws)


def test_pairs_draws_of_clusters_take_them_whole(fit):
    boot = fit.bootstrap(20, by="run", rng=3)
    assert (boot.by, boot.clusters) == ("run", 10)
    for index in range(20):
        weights = boot.replicate(index)["weights"].reshape(10, 4)
        assert (weights == weights[:, :1]).all()
        assert weights[:, 0].sum() == 10
    given = fit.bootstrap(20, by=ladder()["run"], rng=3)
    assert_array_equal(given.draws, boot.draws)


@pytest.mark.parametrize("factor", ["rademacher", "webb"])
def test_a_wild_draw_is_least_squares_on_residuals_times_factors(straight, factor):
    data, boot = line(), straight.bootstrap(3, kind="wild", factor=factor, rng=4)
    theta = least_squares(data["x"], data["y"])
    fitted = theta[0] + theta[1] * data["x"]
    noise = (data["y"] - fitted) * math.sqrt(30 / 28)
    allowed = [1.0] if factor == "rademacher" else [0.5, 1.0, 1.5]
    for index in range(3):
        target = boot.replicate(index)["target"]
        factors = (target - fitted) / noise
        assert_allclose(np.abs(factors**2 - np.array(allowed)[:, None]).min(axis=0), 0.0, atol=1e-9)
        assert_allclose(boot.draws[index], least_squares(data["x"], target), rtol=1e-8)
        assert_array_equal(boot.replicate(index)["weights"], np.ones(30))


@pytest.mark.parametrize("kind", ["wild", "residual", "parametric"])
def test_a_prior_is_one_more_observation_where_noise_is_made_anew(kind):
    data, priors = line(), {"b": sl.normal(0.5, 0.05), "a": sl.normal(1.0, 0.3)}
    fit = sl.fit(LINE, data, residual="linear", starts=8, priors=priors)
    boot = fit.bootstrap(3000, kind=kind, rng=4)
    X = np.stack([np.ones(30), data["x"]], axis=1)
    rows = np.concatenate([X, np.diag([1 / 0.3, 1 / 0.05])])
    for index in range(3):
        drawn = boot.replicate(index)
        b, a = drawn["centers"]
        answer = np.linalg.lstsq(rows, [*drawn["target"], a / 0.3, b / 0.05], rcond=None)[0]
        assert_allclose(boot.draws[index], answer, rtol=1e-7)
    centers = np.array([boot.replicate(index)["centers"] for index in range(3000)])
    assert_allclose(
        centers.mean(axis=0), [fit.values["b"], fit.values["a"]], atol=0.3 * 4.5 / math.sqrt(3000)
    )
    assert_allclose(centers.std(axis=0), [0.05, 0.3], rtol=0.06)
    # Draws scatter about the fit, and not about a point nearer to the priors.
    assert_allclose(list(boot.bias.values()), 0.0, atol=4.5 * max(boot.stderr().values()) / math.sqrt(3000))


def test_studentised_errors_of_a_draw_know_its_priors():
    N = np.geomspace(1e2, 1e5, 14)
    noise = 0.02 * np.random.default_rng(5).standard_normal(14)
    rows = {"N": N, "L": (1.7 + 127.0 / N**0.4) * np.exp(noise)}
    prior, options = (
        sl.lognormal(60.0, 0.7),
        {"residual": "log", "weights": np.full(14, 2500.0), "starts": 64},
    )
    fit = sl.fit(POWER, rows, priors={"A": prior}, **options)
    boot = fit.bootstrap(4, kind="wild", rng=2)
    for index in range(4):
        drawn = boot.replicate(index)
        prior = sl.lognormal(drawn["centers"][0], 0.7)
        again = sl.fit(POWER, {"N": N, "L": drawn["target"]}, priors={"A": prior}, **options)
        expected, _ = covariance(
            again._problem, again._theta, fit._problem.free, fit.dof, "sandwich", noise=working(fit)
        )
        assert_allclose(boot._draw_covs[index], expected, rtol=1e-3)


def test_priors_stay_where_they_are_if_rows_are_drawn():
    fit = sl.fit(LINE, line(), residual="linear", starts=8, priors={"b": sl.normal(0.5, 0.05)})
    assert_array_equal(fit.bootstrap(2).replicate(1)["centers"], [0.5])
    assert fit.bootstrap(2, kind="wild").replicate(1)["centers"] != [0.5]


def test_a_wild_draw_of_clusters_has_one_factor_for_each(straight):
    data, by = line(), np.repeat(np.arange(6), 5)
    boot = straight.bootstrap(3, kind="wild", by=by, rng=4)
    assert boot.factor == "webb"
    correction = math.sqrt(6 / 5 * 29 / 28)
    for index in range(3):
        moved = boot.replicate(index)["target"] - straight.fittedvalues
        factors = (moved / (straight.residuals * correction)).reshape(6, 5)
        assert_allclose(factors, np.repeat(factors[:, :1], 5, axis=1), rtol=1e-8)
        assert_allclose(boot.draws[index], least_squares(data["x"], straight.fittedvalues + moved), rtol=1e-8)


def test_a_residual_draw_adds_centred_residuals_of_the_right_size(straight):
    data, boot = line(), straight.bootstrap(3, kind="residual", rng=4)
    pool = (straight.residuals - straight.residuals.mean()) * math.sqrt(30 / 28)
    for index in range(3):
        noise = boot.replicate(index)["target"] - straight.fittedvalues
        assert_allclose(np.abs(noise[:, None] - pool).min(axis=1), 0.0, atol=1e-12)
        assert_allclose(boot.draws[index], least_squares(data["x"], straight.fittedvalues + noise), rtol=1e-8)


def test_parametric_noise_is_normal_with_the_fitted_scale_over_the_root_of_the_weights():
    data, weights = line(), np.linspace(0.25, 4.0, 30)
    fit = sl.fit(LINE, data, residual="linear", weights=weights, starts=8)
    boot = fit.bootstrap(400, kind="parametric", rng=4)
    targets = np.array([boot.replicate(index)["target"] for index in range(400)])
    scaled = (targets - fit.fittedvalues) * np.sqrt(weights) / math.sqrt(fit.rss / fit.dof)
    assert abs(scaled.mean()) < 4.0 / math.sqrt(scaled.size)
    assert abs(scaled.var() - 1.0) < 4.0 * math.sqrt(2.0 / scaled.size)
    for index in range(3):
        assert_allclose(boot.draws[index], least_squares(data["x"], targets[index], weights), rtol=1e-8)


def test_draws_in_logarithms_multiply_the_law(fit):
    boot = fit.bootstrap(3, kind="wild", rng=1)
    correction = math.sqrt(40 / 37)
    for index in range(3):
        moved = np.log(boot.replicate(index)["target"] / fit.fittedvalues)
        assert_allclose(np.abs(moved), np.abs(fit.residuals) * correction, rtol=1e-9)


def test_rows_of_weight_zero_are_never_drawn():
    weights = np.ones(40)
    weights[[0, 5]] = 0.0
    fit = sl.fit(POWER, ladder(), residual="log", weights=weights, starts=64)
    boot = fit.bootstrap(20, rng=1)
    for index in range(20):
        drawn = boot.replicate(index)["weights"]
        assert drawn[[0, 5]].tolist() == [0.0, 0.0]
        assert drawn.sum() == 38


# ------------------------------------------------------------------ determinism


@pytest.mark.parametrize("kind", ["pairs", "wild", "residual", "parametric"])
def test_draws_do_not_depend_on_threads_or_on_how_many_there_are(fit, kind):
    boots = [fit.bootstrap(60, kind=kind, rng=5, starts_per_draw=1, threads=t) for t in (1, 2, 5)]
    few = fit.bootstrap(25, kind=kind, rng=5, starts_per_draw=1)
    for boot in boots:
        assert_array_equal(boot.draws, boots[0].draws)
        assert_array_equal(boot.objective, boots[0].objective)
        assert_array_equal(few.draws, boot.draws[:25])
    assert not np.array_equal(fit.bootstrap(60, kind=kind, rng=6).draws, boots[0].draws)


def test_fresh_starts_and_the_grid_of_the_paper_only_lower_the_objective(fit):
    plain, more = fit.bootstrap(30, rng=1), fit.bootstrap(30, rng=1, starts_per_draw=8)
    assert (more.objective <= plain.objective * (1.0 + 1e-9)).all()
    grid = sl.fit("chinchilla", plane(), residual="log", starts=64)
    grid = grid.bootstrap(2, rng=1, starts_per_draw="paper", max_iter=20)
    assert grid.draws.shape == (2, 5)


# ------------------------------------------------------------------ errors and intervals


def test_errors_of_a_straight_line_are_the_known_ones(straight):
    for kind, cov in (
        ("pairs", "sandwich"),
        ("wild", "sandwich"),
        ("residual", "classical"),
        ("parametric", "classical"),
    ):
        errors, known = straight.bootstrap(4000, kind=kind, rng=1).stderr(), straight.stderr(cov)
        for name, error in errors.items():
            # Monte-Carlo error 1.1 %. The sandwich knows leverages, which differ by row, and draws do not.
            assert_allclose(error, known[name], rtol=0.08 if cov == "sandwich" else 0.045)


def test_the_four_kinds_of_intervals_agree_where_draws_are_normal(boot, long):
    half = 1.645 * np.array(list(boot.stderr().values()))
    for kind in ("percentile", "basic", "bca", "t"):
        intervals = boot.conf_int(0.9, kind)
        for (name, (low, high)), h in zip(intervals.items(), half, strict=True):
            assert_allclose([long.values[name] - low, high - long.values[name]], h, rtol=0.15)
    low, high = boot.conf_int(0.9, "percentile")["b"]
    assert (low, high) == pytest.approx(tuple(np.quantile(boot.draws[:, 1], [0.05, 0.95], method="weibull")))
    basic = boot.conf_int(0.9, "basic")["b"]
    assert basic == pytest.approx((2 * long.values["b"] - high, 2 * long.values["b"] - low))


def test_bca_is_that_of_scipy_for_the_same_draws():
    from scipy.stats import bootstrap as scipy_bootstrap

    rng = np.random.default_rng(5)
    y = rng.exponential(size=25)
    mean = sl.Law("y ~ m + 0 * x", params={"m": sl.Param("real", start=(-5, 5))})
    fit = sl.fit(mean, {"x": np.arange(25.0), "y": y}, residual="linear", starts=4)
    boot = fit.bootstrap(20_000, rng=1)
    ours = boot.conf_int(0.9, "bca")["m"]
    theirs = scipy_bootstrap(
        (y,), np.mean, n_resamples=20_000, confidence_level=0.9, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), rel=0.02)
    assert boot.conf_int(0.9, "percentile")["m"][1] < ours[1]


def working(fit):
    white, _ = white_coordinates(triangle(fit._problem, fit._theta, fit._problem.free)[0])
    return working_noise(fit._problem, fit._theta, fit._problem.free, white)


@pytest.mark.parametrize("loss", ["squared", "soft_l1:0.3", "huber:0.2"])
def test_studentised_errors_of_a_draw_are_those_of_a_fit_of_the_repeated_rows(loss):
    data, weights = line(), np.linspace(0.5, 2.0, 30)
    fit = sl.fit(LINE, data, residual="linear", loss=loss, weights=weights, starts=8)
    boot = fit.bootstrap(3, rng=2)
    for index in range(3):
        rows = np.repeat(np.arange(30), np.round(boot.replicate(index)["weights"] / weights).astype(int))
        repeated = {name: column[rows] for name, column in data.items()}
        again = sl.fit(LINE, repeated, residual="linear", loss=loss, weights=weights[rows], starts=8)
        # Of the squared loss all draws are measured with the working variances of the fit itself.
        noise = None if fit.loss.robust else replace(working(fit), shape=working(fit).shape[rows])
        expected, _ = covariance(
            again._problem, again._theta, fit._problem.free, fit.dof, "sandwich", noise=noise
        )
        assert_allclose(boot._draw_covs[index], expected, rtol=1e-4)


def test_clustered_noise_widens_the_intervals_of_clusters_only():
    rng = np.random.default_rng(8)
    x = np.repeat(np.linspace(0.0, 3.0, 20), 5)
    data = {"x": x, "y": 1.0 + 2.0 * x + np.repeat(rng.normal(0.0, 0.3, 20), 5) + rng.normal(0.0, 0.03, 100)}
    fit = sl.fit(LINE, data, residual="linear", starts=8)
    by = np.repeat(np.arange(20), 5)
    alone = fit.bootstrap(1000, rng=1).stderr()["b"]
    for kind in ("pairs", "wild"):
        boot = fit.bootstrap(1000, kind=kind, by=by, rng=1)
        assert 1.6 < boot.stderr()["b"] / alone < 3.0
        for interval in ("bca", "t"):
            low, high = boot.conf_int(0.9, interval)["b"]
            assert 1.4 < (high - low) / (2 * 1.645 * alone) < 3.5


def test_fixed_and_tied_parameters_have_draws_and_intervals():
    tied = sl.fit("chinchilla", plane(), residual="log", fixed={"E": 1.7, "beta": "alpha"}, starts=64)
    boot = tied.bootstrap(60, rng=1)
    assert boot.names == tied.names
    assert_array_equal(boot.draws[:, boot.names.index("alpha")], boot.draws[:, boot.names.index("beta")])
    for kind in ("percentile", "basic", "bca", "t"):
        intervals = boot.conf_int(0.9, kind)
        assert intervals["E"] == (1.7, 1.7)
        assert intervals["beta"] == pytest.approx(intervals["alpha"])
        assert intervals["alpha"].lower < intervals["alpha"].upper


def test_intervals_stay_in_the_domain(fit):
    noisy = sl.fit(POWER, ladder(noise=0.1), residual="log", starts=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.FitWarning)
        boot = noisy.bootstrap(300, rng=1)
    for kind in ("percentile", "basic", "bca", "t"):
        assert all(not low < 0.0 for low, _ in boot.conf_int(0.95, kind).values())


# ------------------------------------------------------------------ what follows from draws


def test_derived_quantities_are_those_of_the_draws(boot, long):
    ratio = boot.apply("b / (a + b)")
    drawn = boot.draws[:, 1] / boot.draws.sum(axis=1)
    assert ratio.value == pytest.approx(long.values["b"] / sum(long.values.values()))
    assert_allclose(ratio.draws, drawn, rtol=1e-14)
    assert ratio.stderr() == pytest.approx(drawn.std(ddof=1))
    assert ratio.conf_int(0.8) == pytest.approx(tuple(np.quantile(drawn, [0.1, 0.9], method="weibull")))
    called = boot.apply(lambda v: v["b"] / (v["a"] + v["b"]))
    for kind in ("percentile", "basic", "bca", "t"):
        assert called.conf_int(0.8, kind) == pytest.approx(ratio.conf_int(0.8, kind), rel=1e-6)
    pair = boot.apply(lambda v: [v["a"], v["b"]])
    assert_array_equal(pair.draws, boot.draws)
    assert_allclose(pair.conf_int(0.8).upper, [high for _, high in boot.conf_int(0.8).values()])


def test_a_prediction_of_the_law_is_the_derived_quantity(boot):
    at = boot.predict({"x": 10.0}, 0.9)
    value = boot.apply("a + 10 * b")
    assert (at.lower, at.upper) == pytest.approx(tuple(value.conf_int(0.9)))
    assert at.stderr == pytest.approx(value.stderr())
    assert at.mean == pytest.approx(value.value)
    assert at.decades is not None
    many = boot.predict({"x": np.array([[0.0, 10.0]])}, 0.9, kind="t")
    assert many.lower.shape == (1, 2)
    assert many.upper[0, 1] == pytest.approx(value.conf_int(0.9, "t").upper, rel=1e-6)


def test_the_interval_of_a_new_run_adds_the_noise(boot, long):
    law = boot.predict({"x": 1.5}, 0.9)
    new = boot.predict({"x": 1.5}, 0.9, new_run=True)
    known = long.predict({"x": 1.5}, 0.9, new_run=True)
    assert new.upper - new.lower > 3 * (law.upper - law.lower)
    assert_allclose([new.lower, new.upper], [known.lower, known.upper], rtol=0.03)
    normal = long.bootstrap(2000, kind="parametric").predict({"x": 1.5}, 0.9, new_run=True)
    assert_allclose([normal.lower, normal.upper], [known.lower, known.upper], rtol=0.02)


def test_predictions_say_how_far_beyond_the_runs_they_look(fit):
    boot = fit.bootstrap(50, rng=1)
    for made in (boot.predict({"N": [1e9, 1e12, 1e6]}, 0.9), fit.predict({"N": [1e9, 1e12, 1e6]}, 0.9)):
        assert_allclose(made.decades, [0.0, 2.0, 1.0], atol=1e-12)
        assert (made.lower < made.upper).all()


# ------------------------------------------------------------------ failures, interrupts, files


def test_failed_draws_keep_their_row_and_are_counted():
    N = np.geomspace(1e7, 1e10, 10)
    law = sl.Law(
        "L ~ A[task] / N**alpha",
        params={
            "A": sl.Param("positive", start=(1, 1e4), sampling="log"),
            "alpha": sl.Param("positive", start=(0.05, 1)),
        },
    )
    task = np.array(["a"] * 9 + ["b"])
    noise = np.exp(0.01 * np.random.default_rng(1).standard_normal(10))
    fit = sl.fit(law, {"N": N, "L": 50 / N**0.2 * noise, "task": task}, residual="log", starts=32)
    with pytest.warns(sl.FitWarning, match="undetermined"):
        boot = fit.bootstrap(200, rng=1)
    lacking = np.array([boot.replicate(i)["weights"][9] == 0.0 for i in range(200)])
    assert 40 < lacking.sum() < 110
    assert boot.failures == {"undetermined": int(lacking.sum())}
    assert_array_equal(boot.ok, ~lacking)
    assert np.isnan(boot.draws[lacking]).all()
    assert all(math.isfinite(error) for error in boot.stderr().values())
    assert f"{int(lacking.sum())} draws failed" in boot.summary()


def test_an_interrupt_keeps_the_draws_done_so_far(fit):
    import _thread

    def interrupter():
        pressed = []

        def interrupt(done, total):
            if done and not pressed:
                pressed.append(done)
                _thread.interrupt_main()

        return interrupt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.FitWarning)
        # Half a minute of work, so that even a busy machine comes to look at the keyboard.
        options = {"rng": 5, "starts_per_draw": 16, "threads": 1}
        boot = fit.bootstrap(200_000, progress=interrupter(), on_interrupt="keep", **options)
    done = int(boot.ok.sum())
    assert 0 < done < 200_000
    assert boot.failures["cancelled"] == 200_000 - done
    few = fit.bootstrap(50, **options)
    both = boot.ok[:50]
    assert_array_equal(boot.draws[:50][both], few.draws[both])
    with pytest.raises(KeyboardInterrupt):
        fit.bootstrap(200_000, progress=interrupter(), **options)


@pytest.mark.parametrize("options", [{}, {"kind": "wild", "by": "run"}, {"kind": "parametric"}])
def test_draws_come_back_from_a_file_and_from_a_pickle(fit, tmp_path, options):
    boot = fit.bootstrap(50, rng=9, **options)
    boot.save(tmp_path / "boot.json")
    for back in (sl.load(tmp_path / "boot.json"), pickle.loads(pickle.dumps(boot))):
        assert_array_equal(back.draws, boot.draws)
        assert back.summary() == boot.summary()
        assert back.failures == boot.failures
        for kind in ("percentile", "basic", "bca", "t"):
            assert back.conf_int(0.9, kind) == boot.conf_int(0.9, kind)
        assert_array_equal(back.replicate(3)["target"], boot.replicate(3)["target"])
    assert json.loads((tmp_path / "boot.json").read_text())["format"] == "scalinglaws.bootstrap"


def _ratio(values):
    return [values["A"] * 2.0, values["alpha"]]


@pytest.mark.parametrize("what", ["A*2", _ratio])
def test_quantities_survive_pickling(fit, what):
    made = fit.bootstrap(50, rng=9).apply(what)
    back = pickle.loads(pickle.dumps(made))
    assert_array_equal(back.value, made.value)
    assert_array_equal(back.draws, made.draws)
    for kind in ("percentile", "bca", "t"):
        assert_array_equal(back.conf_int(0.9, kind), made.conf_int(0.9, kind))


def test_damaged_files_are_refused(fit, tmp_path):
    path = tmp_path / "boot.json"
    whole = fit.bootstrap(20, rng=9).to_dict()

    def refused(content, message):
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            sl.load(path)

    refused({**whole, "draws": whole["draws"][:-1]}, "saved bootstrap is damaged: 'draws' has 19 entries")
    refused({**whole, "objective": []}, "'objective' has 0 entries, 'status' 20")
    refused({**whole, "draws": [[1.0], *whole["draws"][1:]]}, "draw 0 has 1 values")
    refused({**whole, "start": None}, "saved bootstrap is damaged")
    for name in set(whole) - {"format", "library"}:
        rest = {key: value for key, value in whole.items() if key != name}
        refused(rest, f"saved bootstrap is damaged: it has no '{name}'")
    plain = fit.to_dict()
    refused(
        {key: value for key, value in plain.items() if key != "theta"},
        "saved fit is damaged: it has no 'theta'",
    )


def test_what_cannot_be_written_is_named_as_it_was_given(fit, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    boot = fit.bootstrap(10, rng=9)
    for where, error in (
        ("none/x.json", FileNotFoundError),
        ("file/x.json", NotADirectoryError),
        ("folder", IsADirectoryError),
    ):
        for made in (fit, boot):
            with pytest.raises(error) as caught:
                made.save(tmp_path / where)
            assert caught.value.filename == str(tmp_path / where)
            assert "tmp'" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_labels_that_were_kept_come_back_with_the_fit(fit, tmp_path):
    fit.save(tmp_path / "fit.json")
    back = sl.load(tmp_path / "fit.json")
    assert_array_equal(back.bootstrap(10, by="run").draws, fit.bootstrap(10, by="run").draws)


def test_the_summary_names_what_was_drawn(fit):
    text = fit.bootstrap(50, kind="wild", by="run", rng=3).summary(0.9, "basic")
    for part in (
        "50 draws, wild (webb), 10 clusters by run, seed 3",
        "90 % basic",
        "every draw converged",
        "alpha",
    ):
        assert part in text


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ValueError, "n must be the number of draws, at least 1, not 0"),
        ({"n": 2.5}, ValueError, "n must be the number of draws"),
        ({"kind": "pair"}, ValueError, "kind must be one of .*Did you mean 'pairs'"),
        ({"kind": "wild", "factor": "mammen"}, ValueError, "factor must be 'rademacher' or 'webb'"),
        ({"factor": "webb"}, ValueError, "factor belongs to kind='wild'"),
        ({"kind": "residual", "by": "run"}, ValueError, "by= goes with kind='pairs' or kind='wild'"),
        ({"by": "rum"}, sl.DataError, "holds no column 'rum'.*keep=.*Did you mean 'run'"),
        ({"by": ["a"] * 40}, sl.DataError, "has 1 cluster of rows .* at least 4 are needed"),
        (
            {"by": ["a"] * 20 + ["b"] * 20},
            sl.DataError,
            "has 2 clusters of rows .* at least 4 are needed for 3 parameters",
        ),
        ({"by": ["a"] * 39}, sl.DataError, "by has 39 labels, but the fit has 40 rows"),
        ({"starts_per_draw": -1}, ValueError, "starts_per_draw must be a whole number"),
        ({"starts_per_draw": "grid"}, ValueError, "starts_per_draw must be a number or 'paper'"),
        ({"starts_per_draw": "paper"}, ValueError, "starts='paper' needs a law with a paper's grid"),
        ({"rng": -1}, ValueError, "rng must be an integer"),
        ({"threads": 0}, ValueError, "threads must be a positive whole number"),
        ({"progress": 3}, ValueError, "progress must be a function"),
        ({"on_interrupt": "stop"}, ValueError, "on_interrupt must be"),
    ],
)
def test_options_that_make_no_sense_are_named(fit, options, error, message):
    with pytest.raises(error, match=message):
        fit.bootstrap(**{"n": 10, **options})


@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.1, True, "0.9", math.nan])
def test_levels_lie_between_zero_and_one(boot, level):
    for call in (boot.conf_int, boot.apply("a").conf_int, boot.summary):
        with pytest.raises(ValueError, match="level must lie between 0 and 1"):
            call(level)
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        boot.predict({"x": 1.0}, level)


def test_a_fit_that_did_not_converge_is_not_resampled():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.FitWarning)
        fit = sl.fit(POWER, ladder(), residual="log", starts={"E": 1, "A": 10, "alpha": 0.9}, max_iter=2)
    with pytest.raises(ValueError, match=r"did not converge .status 'iteration limit'."):
        fit.bootstrap(10)


def test_a_fit_without_its_rows_says_what_is_missing(fit, tmp_path):
    fit.save(tmp_path / "fit.json", data=False)
    with pytest.raises(sl.DataError, match="bootstrap: the rows are needed, but this fit was saved without"):
        sl.load(tmp_path / "fit.json").bootstrap(10)


def test_kinds_that_need_symmetric_noise_say_so():
    fit = sl.fit(POWER, ladder(), residual="log", loss="quantile:0.2", starts=64)
    for kind in ("wild", "parametric"):
        with pytest.raises(ValueError, match="does not put the law in the middle of the runs"):
            fit.bootstrap(10, kind=kind)
    assert fit.bootstrap(10, kind="residual").draws.shape == (10, 3)


def test_no_degree_of_freedom_leaves_no_noise_to_draw():
    fit = sl.fit(LINE, {"x": [0.0, 1.0], "y": [1.0, 3.0]}, residual="linear", starts=8)
    with pytest.raises(ValueError, match="no degree of freedom"):
        fit.bootstrap(10, kind="parametric")


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("b / c", ValueError, "uses 'c', which is not a parameter"),
        ("1 + 2", ValueError, "names no parameter"),
        ("b /", sl.FormulaError, "b /"),
        ("y ~ b", ValueError, "without '~'"),
        (3, TypeError, "an expression or a function"),
    ],
)
def test_derived_quantities_are_checked(boot, what, error, message):
    with pytest.raises(error, match=message):
        boot.apply(what)


def test_a_column_to_keep_must_exist():
    with pytest.raises(sl.DataError, match="no column 'rum' to keep"):
        sl.fit(POWER, ladder(), residual="log", starts=8, keep=["rum"])
    with pytest.raises(TypeError, match="keep is a list of columns"):
        sl.fit(POWER, ladder(), residual="log", starts=8, keep="run")


# ------------------------------------------------------------------ vanished terms, open directions


def without_floor(seed):
    N = np.geomspace(1e7, 1e10, 30)
    return {"N": N, "L": 50.0 / N**0.12 * np.exp(0.01 * np.random.default_rng(seed).standard_normal(30))}


def floors():
    """The same law with a positive floor, and with one whose domain holds zero."""
    rest = {name: POWER.params[name] for name in ("A", "alpha")}
    yield POWER
    yield sl.Law(POWER.formula, params={"E": sl.Param((0.0, math.inf), start=(0.0, 3.0)), **rest})


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_a_positive_term_may_vanish_and_come_back(seed):
    """Of a logarithm zero is a trap: at it the law has no slope along the logarithm any more."""
    fits = []
    for law in floors():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sl.FitWarning)
            fits.append(sl.fit(law, without_floor(seed), residual="log", starts=64))
    positive, closed = fits
    assert positive.status == closed.status == ("converged" if seed == 0 else "bound")
    assert positive.success
    assert (positive.values["E"] == 0.0) == (seed != 0)
    for level in (0.5, 0.9):
        for name in ("E", "alpha"):
            one, other = positive.conf_int(level)[name], closed.conf_int(level)[name]
            assert tuple(one) == pytest.approx(tuple(other), rel=1e-4, abs=1e-6)
    draws = [fit.bootstrap(300, rng=1) for fit in fits]
    assert draws[0].failures == draws[1].failures == {}
    assert_allclose(draws[0].objective, draws[1].objective, rtol=1e-7)
    assert (draws[0].draws[:, 0] == 0.0).any()
    assert (draws[0].draws[:, 0] > 0.05).any()
    weights = np.array([draws[0].replicate(index)["weights"] for index in range(5)])
    assert_allclose(positive.refit(weights).objective, draws[0].objective[:5], rtol=1e-7)


def test_draws_of_what_the_runs_do_not_determine_come_with_a_warning():
    law = sl.Law("y ~ a + b * x + c * x", params={**LINE.params, "c": sl.Param("real", start=(-5, 5))})
    with pytest.warns(sl.FitWarning, match="trade off"):
        fit = sl.fit(law, line(), residual="linear", starts=8)
    with pytest.warns(sl.FitWarning, match="do not determine b, c") as caught:
        fit.bootstrap(20)
    assert caught[0].filename == __file__


def test_values_that_are_no_numbers_are_counted(straight):
    boot = straight.bootstrap(200, rng=1)
    middle = float(np.median(boot.draws[:, 0]))
    quantity = boot.apply(f"log(a - {middle!r})")
    with pytest.warns(sl.FitWarning, match=r"not a finite number for 100 of 200 draws"):
        quantity.conf_int(0.9)
