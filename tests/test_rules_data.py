"""Filtering, pruning, mixtures of sources, memorisation and density."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scalinglaws as sl
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scalinglaws import rules

# ---- filtering, Goyal et al. 2024
# -------------------------------------------------------------------------------------------------

POOL = {"a": 1.3, "b": -0.13, "tau": 3.0, "d": 0.1}


def recursion(n, n_1, a, b, tau, d):
    """Error by the instantaneous law dy/dn = y b_j / n, in small steps of log n within each pass."""
    b, tau = np.atleast_1d(b), np.atleast_1d(tau)
    y, at, j = a * min(n, n_1) ** b.mean(), n_1, 1
    while at < n:
        end = min(n, (j + 1) * n_1)
        utility = np.mean(b * 0.5 ** (j / (tau * len(b))))
        steps = 200
        for _ in range(steps):
            # The exact solution of the linear equation in log n, one step.
            y *= math.exp(utility * math.log(end / at) / steps)
        at, j = end, j + 1
    return y + d


@settings(deadline=None, max_examples=50)
@given(
    n=st.floats(10.0, 5000.0),
    n_1=st.floats(50.0, 500.0),
    pools=st.lists(st.tuples(st.floats(-0.5, -0.005), st.floats(0.5, 50.0)), min_size=1, max_size=4),
)
def test_error_integrates_the_instantaneous_utility(n, n_1, pools):
    b, tau = zip(*pools, strict=True)
    ours = rules.data_filtering(n, n_1, a=1.3, b=b, tau=tau, d=0.1)
    assert ours == pytest.approx(recursion(n, n_1, 1.3, b, tau, 0.1), rel=1e-9)


def test_error_is_continuous_at_the_end_of_each_pass_and_falls():
    ends = 128.0 * np.arange(1, 6)
    before, after = (rules.data_filtering(ends * (1 + s), 128.0, **POOL) for s in (-1e-9, 1e-9))
    assert_allclose(before, after, rtol=1e-8)
    n = np.linspace(1.0, 2000.0, 400)
    assert np.all(np.diff(rules.data_filtering(n, 128.0, **POOL)) < 0.0)


@settings(deadline=None)
@given(n=st.floats(1.0, 1e5), b=st.floats(-0.5, -0.005))
def test_data_that_never_wear_out_follow_a_power_law(n, b):
    err = rules.data_filtering(n, 100.0, a=0.9, b=b, tau=math.inf, d=0.05)
    assert err == pytest.approx(0.9 * n**b + 0.05, rel=1e-9)


def test_union_of_equal_pools_is_one_larger_pool_with_a_longer_life():
    union = rules.data_filtering(2000.0, 300.0, a=1.0, b=[-0.1] * 3, tau=[2.0] * 3, d=0.1)
    one = rules.data_filtering(2000.0, 300.0, a=1.0, b=-0.1, tau=6.0, d=0.1)
    assert union == pytest.approx(one, rel=1e-12)


def test_variant_of_the_released_code_scales_inside_and_shrinks_the_floor():
    # The example bucket of the ablation script, by hand for three passes.
    a, b, tau, d, n_1 = 0.022, -0.13106060606060607, 3.0, 0.1, 128e6
    expected = (a * n_1 / 1e5) ** b + d
    for j in (2, 3):
        expected *= (j / (j - 1)) ** (b * 0.5 ** ((j - 1) / tau))
    ours = rules.data_filtering(3 * n_1, n_1, a=a, b=b, tau=tau, d=d, variant="code")
    assert ours == pytest.approx(expected, rel=1e-12)


def test_discounted_samples_saturate():
    kw = {"a": 1.0, "b": -0.2, "tau": 1.0, "d": 0.0}
    # 1 + 1/2 + 1/4 of a pool, and half of the next pass.
    found = rules.data_filtering(350.0, 100.0, **kw, variant="discount")
    assert found == pytest.approx((100 * (1 + 0.5 + 0.25 + 0.5 * 0.125)) ** -0.2, rel=1e-12)
    late = rules.data_filtering(np.array([1e4, 1e5]), 100.0, **kw, variant="discount")
    assert late[0] == pytest.approx(200**-0.2, rel=1e-9)
    assert late[0] == pytest.approx(late[1], rel=1e-9)


def test_more_training_wants_more_pools():
    pools = {"a": 1.0, "b": [-0.16, -0.2, -0.18], "tau": [8.0, 1.0, 3.0], "d": 0.1}
    choices = [rules.best_filtering(n, 128.0, **pools) for n in (128.0, 1000.0, 20000.0)]
    assert [choice.count for choice in choices] == [1, 2, 3]
    assert choices[0].order.tolist() == [1, 2, 0]
    assert choices[1].error == choices[1].errors.min() == choices[1].errors[1]
    alone = rules.data_filtering(1000.0, 128.0, a=1.0, b=-0.2, tau=1.0, d=0.1)
    assert choices[1].errors[0] == pytest.approx(alone)


def test_shared_scale_and_own_utilities_are_found_from_exact_curves():
    truth = {"web": (-0.2, 2.0), "books": (-0.12, 6.0), "spam": (-0.06, 1.5)}
    n, pool = np.tile(np.geomspace(64, 1500, 14), 3), np.repeat(list(truth), 14)
    err = [
        rules.data_filtering(x, 128.0, a=1.1, b=truth[name][0], tau=truth[name][1], d=0.08)
        for x, name in zip(n, pool, strict=True)
    ]
    fit = rules.fit_data_filtering(n, np.full(42, 128.0), err, pool)
    assert fit.valid
    assert fit.objective < 1e-20
    assert fit.values["a"] == pytest.approx(1.1, rel=1e-5)
    assert fit.values["d"] == pytest.approx(0.08, rel=1e-5)
    for name, (b, tau) in truth.items():
        assert fit.values[f"b[{name}]"] == pytest.approx(b, rel=1e-5)
        assert fit.values[f"tau[{name}]"] == pytest.approx(tau, rel=1e-4)


def test_pool_without_repetition_has_no_half_life():
    with pytest.raises(ValueError, match="the pool 'b' was never repeated"):
        rules.fit_data_filtering([64, 128, 256, 32, 64, 96], [128] * 6, [0.5] * 6, list("aaabbb"))


# ---- pruning, Sorscher et al. 2022
# -------------------------------------------------------------------------------------------------


def families(points=7):
    n = np.geomspace(100, 10000, points)
    return np.tile(n, 2), np.repeat([1.0, 0.2], points), np.concatenate([3 * n**-0.5, 40 * n**-0.9])


def test_frontier_is_below_every_run_and_changes_hands_where_the_curves_cross():
    n, frac, err = families()
    best = rules.data_pruning_frontier(n, frac, err, points=201)
    at = np.interp(np.log(n), np.log(best.n), np.log(best.err))
    assert np.all(np.exp(at) <= err * (1 + 1e-3))
    crossing = (40 / 3) ** (1 / 0.4)
    assert set(best.frac[best.n < 0.99 * crossing]) == {1.0}
    assert set(best.frac[best.n > 1.01 * crossing]) == {0.2}
    assert best.slope[5] == pytest.approx(0.5, rel=1e-6)
    assert best.slope[-5] == pytest.approx(0.9, rel=1e-6)


def test_a_fraction_counts_only_between_its_own_runs():
    n, frac, err = (
        [100.0, 1000.0, 10000.0, 800.0, 1200.0],
        [1.0, 1.0, 1.0, 0.5, 0.5],
        [0.5, 0.3, 0.2, 0.1, 0.09],
    )
    best = rules.data_pruning_frontier(n, frac, err, n=[100.0, 1000.0, 1300.0])
    assert best.frac.tolist() == [1.0, 0.5, 1.0]
    assert best.err[1] == pytest.approx(0.1 * (1000 / 800) ** (math.log(0.9) / math.log(1.5)))
    with pytest.raises(ValueError, match="no kept fraction has runs on both sides of n = 20000"):
        rules.data_pruning_frontier(n, frac, err, n=[100.0, 20000.0])


def test_order_of_runs_does_not_matter_for_the_frontier():
    n, frac, err = families()
    order = np.random.default_rng(0).permutation(len(n))
    one, two = (
        rules.data_pruning_frontier(n, frac, err),
        rules.data_pruning_frontier(n[order], frac[order], err[order]),
    )
    assert_allclose(one.err, two.err)


def test_power_law_is_told_from_an_exponential_by_the_largest_n():
    n = np.geomspace(100, 5000, 6)
    power = rules.compare_decay(n, 0.05 + 3 * n**-0.5)
    assert power.best == "power"
    assert power.held_out["power"] < 1e-8 < power.held_out["exponential"]
    assert power.fits["power"].values["alpha"] == pytest.approx(0.5, rel=1e-6)
    exponential = rules.compare_decay(n, 0.05 + 0.4 * np.exp(-n / 1500))
    assert exponential.best == "exponential"
    assert exponential.fits["exponential"].values["k"] == pytest.approx(1 / 1500, rel=1e-6)
    assert "stretched" not in exponential.fits


def test_stretched_exponential_enters_with_enough_points():
    n = np.geomspace(50, 20000, 14)
    found = rules.compare_decay(n, 0.05 + 0.5 * np.exp(-((n / 800) ** 0.5)), held_out=2)
    assert found.best == "stretched"
    assert found.fits["stretched"].values["s"] == pytest.approx(0.5, rel=1e-5)
    assert found.fits["stretched"].nobs == 12


# ---- mixtures of sources, Kang et al. 2023
# -------------------------------------------------------------------------------------------------


def mixtures(k=24, m=3, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(m), k)
    return p, 1.0 + ((p - 1 / m) ** 2).sum(axis=1) + 0.1 * rng.uniform(size=k)


def performance(p, OT, shift=0.0):
    return 0.7 + shift - 0.2 * OT + 0.1 * p[:, 0] + (0.05 * p[:, 1] - 0.3 * p[:, 1] ** 2) * OT


def test_linear_model_is_least_squares_and_the_line_goes_through_both_sizes():
    p, OT = mixtures()
    noise = 0.01 * np.random.default_rng(1).standard_normal((2, len(OT)))
    perf0, perf1 = performance(p, OT) + noise[0], performance(p, OT, 0.05) + noise[1]
    model = rules.projektor(p, OT, perf0, OT, perf1, N0=1000, N1=1500)
    X = np.column_stack(
        [np.ones(24), OT, *(c for i in (0, 1) for c in (p[:, i], p[:, i] * OT, p[:, i] ** 2 * OT))]
    )
    for size, perf in ((1000, perf0), (1500, perf1)):
        exact = X @ np.linalg.lstsq(X, perf, rcond=None)[0]
        assert_allclose(model.predict(size, p, OT), exact, rtol=1e-8)
    at, both = model.predict(np.array([1000.0, 1500.0])[:, None], p, OT), np.log([1000, 1500, 10000])
    line = at[0] + (both[2] - both[0]) / (both[1] - both[0]) * (at[1] - at[0])
    assert_allclose(model.predict(10000, p, OT), line, rtol=1e-10)


def test_exact_coefficients_are_found_with_and_without_squares():
    p, OT = mixtures()
    perf = performance(p, OT)
    plain = rules.projektor(p, OT, perf, OT, perf, N0=10, N1=20)
    assert plain.fits[0].values["b2_2"] == pytest.approx(-0.3, rel=1e-8)
    squares = rules.projektor(p, OT, perf + 0.2 * p[:, 0] ** 2, OT, perf, N0=10, N1=20, squares=True)
    assert squares.fits[0].values["c2_1"] == pytest.approx(0.2, rel=1e-7)
    assert len(squares.fits[0].values) == len(plain.fits[0].values) + 2
    assert plain.predict(10, [0.2, 0.3, 0.5], 1.2) == pytest.approx(
        performance(np.array([[0.2, 0.3, 0.5]]), 1.2)[0], rel=1e-9
    )


def test_projection_of_log_errors_is_a_power_law():
    N = np.array([1e3, 2e3, 1e5])
    error = 3 * N**-0.4
    found = rules.project_performance(N[2], N[0], N[1], math.log(error[0]), math.log(error[1]))
    assert math.exp(found) == pytest.approx(error[2], rel=1e-12)


def test_too_few_mixtures_are_refused():
    p, OT = mixtures(k=6)
    with pytest.raises(ValueError, match="6 mixtures do not determine 8 coefficients"):
        rules.projektor(p, OT, OT, OT, OT, N0=10, N1=20)


@settings(deadline=None)
@given(v=st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=8))
def test_projection_to_the_simplex_is_the_nearest_point(v):
    p = rules.project_to_simplex(v)
    assert p.sum() == pytest.approx(1.0)
    assert p.min() >= 0.0
    # Optimal if and only if v - p is constant where p is positive and no larger elsewhere.
    rest = np.array(v) - p
    inside = p > 1e-12
    assert np.ptp(rest[inside]) < 1e-9
    assert rest.max() <= rest[inside].max() + 1e-9
    assert_allclose(rules.project_to_simplex(p), p, atol=1e-12)


def sources(seed=2):
    """Three sources in the plane around different centres, and validation data near the first two."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    points = np.concatenate([centre + 0.3 * rng.standard_normal((8, 2)) for centre in centres])
    target = np.concatenate([centres[i] + 0.3 * rng.standard_normal((6, 2)) for i in (0, 1)])
    cost = ((points[:, None] - target) ** 2).sum(axis=-1)
    return cost, np.repeat(["a", "b", "c"], 8)


def test_transport_has_the_right_marginals_and_no_duality_gap():
    cost, _ = sources()
    found = rules.entropic_transport(cost, 0.1, tolerance=1e-12)
    n, m = cost.shape
    plan = np.exp((found.f[:, None] + found.g - cost) / 0.1) / (n * m)
    assert_allclose(plan.sum(axis=0), 1 / m, rtol=1e-9)
    assert_allclose(plan.sum(axis=1), 1 / n, rtol=1e-9)
    primal = (plan * cost).sum() + 0.1 * (plan * np.log(plan * n * m)).sum()
    assert found.distance == pytest.approx(primal, rel=1e-9)
    assert found.cost == pytest.approx((plan * cost).sum(), rel=1e-9)


def test_transport_is_within_the_entropy_of_the_assignment():
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(6)
    cost = rng.uniform(size=(7, 7))
    best = cost[linear_sum_assignment(cost)].mean()
    for epsilon in (0.2, 0.02):
        found = rules.entropic_transport(cost, epsilon)
        # The plan of the assignment has the relative entropy log 7, which is the largest there is.
        assert best <= found.cost <= found.distance <= best + epsilon * math.log(7)


def test_source_gradient_is_the_derivative_of_the_distance():
    cost, source = sources()
    found = rules.entropic_transport(cost, 0.1, tolerance=1e-12)
    slopes = rules.source_gradient(found.f, source)
    for label, slope in slopes.items():
        own = source == label
        direction = np.where(own, 1 / own.sum(), -1 / (~own).sum())
        h, ends = 1e-5, []
        for sign in (1, -1):
            weights = 1 / len(source) + sign * h * direction
            ends.append(rules.entropic_transport(cost, 0.1, a=weights, tolerance=1e-12).distance)
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5)
    # The third source lies away from the validation data.
    assert slopes["c"] == max(slopes.values()) > 0.0


def test_search_moves_the_mixture_to_the_sources_near_the_validation_data():
    cost, source = sources()
    labels = ["a", "b", "c"]

    def transport(p):
        weights = np.array([max(p[labels.index(s)], 1e-9) for s in source])
        found = rules.entropic_transport(cost, 1.0, a=weights)
        mean = np.array([found.f[source == s].mean() for s in labels])
        return found.distance, mean - mean.mean()

    p, _ = mixtures(k=30)
    OT = np.array([transport(row)[0] for row in p])
    model = rules.projektor(p, OT, 0.9 - 0.1 * OT, OT, 0.95 - 0.1 * OT, N0=1000, N1=1500)
    choice = rules.select_mixture(model, 10000, transport, [1 / 3, 1 / 3, 1 / 3], rate=1.0, steps=40)
    assert_allclose(choice.p, [0.5, 0.5, 0.0], atol=0.03)
    assert choice.performance == pytest.approx(model.predict(10000, choice.p, transport(choice.p)[0]))
    worst = rules.select_mixture(model, 10000, transport, [0.3, 0.3, 0.4], rate=1.0, steps=40, maximise=False)
    assert worst.p[2] == pytest.approx(1.0)


# ---- memorisation, Biderman et al. 2023
# -------------------------------------------------------------------------------------------------


def test_score_counts_positions_and_memorised_means_all():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 50000, (40, 32))
    gen = np.where(rng.random((40, 32)) < 0.9, true, true + 1)
    gen[:5] = true[:5]
    found = rules.memorization(gen, true)
    assert_allclose(found.score, [(g == t).mean() for g, t in zip(gen, true, strict=True)])
    assert (found.memorized == (found.score == 1.0)).all()
    assert found.memorized[:5].all()
    assert rules.memorization([1, 2], [1, 2]).memorized is True


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_precision_and_recall_change_places_with_their_arguments(pairs):
    pred, final = zip(*pairs, strict=True)
    one, other = rules.memorization_forecast(pred, final), rules.memorization_forecast(final, pred)
    assert one.precision == pytest.approx(other.recall, nan_ok=True)
    assert math.isnan(one.precision) == (not any(pred))
    both = sum(p and f for p, f in pairs)
    assert any(pred) is False or one.precision == pytest.approx(both / sum(pred))


def test_predictors_are_rows():
    found = rules.memorization_forecast([[1, 0, 1], [0, 0, 0]], [1, 1, 0])
    assert found.recall.tolist() == [0.5, 0.0]
    assert found.precision[0] == 0.5
    assert math.isnan(found.precision[1])


# ---- density, Xiao et al. 2024
# -------------------------------------------------------------------------------------------------

LOSS = {"a": 3.0, "alpha": 0.15, "b": 20.0, "beta": 0.18}
SCORE = {"c": 0.75, "gamma": -20.0, "l": 0.35, "d": 0.25}


@settings(deadline=None)
@given(N=st.floats(1e7, 1e11), D0=st.floats(1e11, 1e13))
def test_a_reference_model_has_density_one(N, D0):
    loss = sl.laws.densing_loss(N=N, D=D0, **LOSS)
    score = sl.laws.densing_performance(L=loss, **SCORE)
    found = rules.densing(score, N, **LOSS, **SCORE, D0=D0)
    assert found.loss == pytest.approx(loss, rel=1e-9)
    assert found.rho == pytest.approx(1.0, rel=1e-6)


def test_density_rises_with_the_score_and_falls_with_the_size():
    score = np.linspace(0.3, 0.8, 11)
    rho = rules.densing(score, 7e9, **LOSS, **SCORE).rho
    assert np.all(np.diff(rho) > 0.0)
    assert_allclose(rules.densing(score, 14e9, **LOSS, **SCORE).rho, rho / 2)


def test_fits_go_in_by_their_values():
    N, D = (a.ravel() for a in np.meshgrid(np.geomspace(5e6, 8e8, 6), np.geomspace(1e9, 1e12, 6)))
    loss = sl.laws.densing_loss(N=N, D=D, **LOSS)
    first = sl.fit("densing_loss", {"N": N, "D": D, "L": loss})
    L = np.linspace(0.1, 0.6, 30)
    second = sl.fit("densing_performance", {"L": L, "S": sl.laws.densing_performance(L=L, **SCORE)})
    found = rules.densing(0.62, 7e9, **first.values, **second.values)
    assert found.rho == pytest.approx(0.006510663819617133, rel=1e-5)


def test_scores_outside_the_sigmoid_and_beyond_every_size_are_refused():
    for score in (0.25, 0.2, 1.0, 1.1):
        with pytest.raises(ValueError, match=r"outside the sigmoid, which runs from 0\.25 to 1"):
            rules.densing(score, 7e9, **LOSS, **SCORE)
    with pytest.raises(ValueError, match="the effective size is infinite"):
        rules.densing(0.995, 7e9, **LOSS, **SCORE)


def test_interval_counts_every_draw():
    m = 1000
    rng = np.random.default_rng(3)
    draws = {name: np.full(m, value) for name, value in {**LOSS, **SCORE}.items()}
    middle = 0.35 + 0.12 * rng.standard_normal(m)
    found = rules.densing_interval(0.62, 7e9, {**draws, "l": middle}, level=0.8)
    # The density falls with l alone, so its quantiles belong to those of l, counted from the other end.
    at = np.sort(middle)[[m // 2, m - m // 10]]
    expected = [rules.densing(0.62, 7e9, **{**LOSS, **SCORE, "l": value}).rho for value in at]
    assert_allclose([found.median, found.lower], expected, rtol=1e-12)
    # A midpoint so low that the loss of the score falls below what size can reach: infinite.
    floor, shift = 20 * 1e12**-0.18, 0.35133341235410803 - 0.35
    assert found.beyond == np.mean(middle + shift <= floor)
    assert found.beyond > 0.0
    assert found.below == 0.0
    chance = np.where(np.arange(m) < 300, 0.7, 0.25)
    lower = rules.densing_interval(0.62, 7e9, {**draws, "d": chance})
    assert (lower.below, lower.lower) == (0.3, 0.0)


def test_trend_rests_on_record_holders():
    # The published growth, 0.0073 per day: doubling in 95 days.
    days = np.arange(0.0, 700.0, 70.0)
    top = np.exp(0.0073 * days - 2)
    t, rho = np.concatenate([days, days + 1]), np.concatenate([top, 0.3 * top])
    trend = rules.densing_trend(t, rho)
    assert trend.doubling_days == pytest.approx(math.log(2) / 0.0073, rel=1e-9)
    assert trend.record.tolist() == [True] * 10 + [False] * 10
    assert trend.fit.values["B"] == pytest.approx(-2.0, rel=1e-9)


def test_of_models_of_one_day_only_the_densest_holds_a_record():
    trend = rules.densing_trend([0, 0, 10, 10, 20], [0.1, 0.2, 0.5, 0.3, 0.5])
    assert trend.record.tolist() == [False, True, True, False, False]
