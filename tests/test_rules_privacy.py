"""Differentially private training: the accountant against another program, the loss model, the best plan."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scalinglaws import rules

# dp-accounting 0.6.0: RdpAccountant at its own, also fractional, orders, and PLDAccountant, which is nearly
# exact.
ACCOUNTS = [
    # sigma, T, q, delta, Renyi, distribution
    (1.1, 14063, 256 / 60000, 1e-5, 2.596655529521983, 2.381778812581751),
    (0.8, 10000, 0.001, 1e-8, 2.3412042469489354, 1.4768038534909729),
    (2.0, 100000, 0.001, 1e-8, 0.9088251944230581, 0.8592128525666455),
    (5.0, 1000, 1.0, 1e-6, 51.72372465011137, 49.3192793510479),
    (0.5, 1000, 1e-4, 1e-8, 4.319748235288883, 2.763869244260633),
    (50.0, 1000, 0.5, 1e-8, 1.7574846240933897, 1.6601345332671755),
]


@pytest.mark.parametrize(("sigma", "T", "q", "delta", "renyi", "exact"), ACCOUNTS)
def test_epsilon_is_an_upper_bound_close_to_that_of_another_program(sigma, T, q, delta, renyi, exact):
    ours = rules.dp_epsilon(sigma, T, q, delta=delta)
    assert exact < ours
    # Our orders are whole: equal where those are best, and at most a few per cent more elsewhere.
    assert renyi * (1 - 1e-9) <= ours <= 1.06 * renyi


@pytest.mark.parametrize("row", [2, 5])
def test_epsilon_is_that_of_another_program_where_a_whole_order_is_best(row):
    sigma, T, q, delta, renyi, _ = ACCOUNTS[row]
    assert rules.dp_epsilon(sigma, T, q, delta=delta) == pytest.approx(renyi, rel=1e-10)


@settings(deadline=None, max_examples=15)
@given(eps=st.floats(0.1, 30.0), T=st.floats(10, 1e5), q=st.floats(1e-5, 1.0))
def test_noise_multiplier_keeps_the_budget_and_no_less_noise_does(eps, T, q):
    sigma = rules.dp_noise_multiplier(eps, T, q)
    assert rules.dp_epsilon(sigma, T, q) <= eps * (1 + 1e-12)
    assert rules.dp_epsilon(0.999 * sigma, T, q) > eps or sigma < 2e-3


def test_epsilon_grows_with_steps_and_sampling_and_falls_with_noise():
    base = rules.dp_epsilon(1.0, 1000, 0.01)
    assert rules.dp_epsilon(1.0, 2000, 0.01) > base
    assert rules.dp_epsilon(1.0, 1000, 0.02) > base
    assert rules.dp_epsilon(1.1, 1000, 0.01) < base
    assert rules.dp_epsilon(1.0, 1000, 0.01, delta=1e-6) < base


def test_table_is_exact_on_its_grid_and_log_linear_between():
    T, q = np.array([100.0, 1000.0, 10000.0]), np.array([0.001, 0.01])
    table = rules.dp_noise_table(2.0, T, q)
    grid = table(*np.meshgrid(T, q, indexing="ij"))
    assert_allclose(grid, table.sigma, rtol=1e-12)
    assert table.sigma[1, 1] == rules.dp_noise_multiplier(2.0, 1000.0, 0.01)
    middle = table(math.sqrt(1e5), 0.01)
    assert middle == pytest.approx(math.sqrt(table.sigma[0, 1] * table.sigma[1, 1]), rel=1e-12)
    assert np.isnan(table(50.0, 0.01))


# ---- the loss model, McKenna et al. 2025
# -------------------------------------------------------------------------------------------------

M, T = np.array([1e7, 3e7, 1e8]), 1000.0 * 2.0 ** np.arange(8)
NBR = np.array([0.0, 2.0**-22, 2.0**-18, 2.0**-14, 2.0**-10])


def loss(M, T, nbr):
    return 1.8 + 40 * M**-0.2 + (8 + 4e5 * nbr * M**-0.1) * T**-0.3


def table(M=M, T=T, nbr=NBR):
    M, T, nbr = (axis.ravel() for axis in np.meshgrid(M, T, nbr, indexing="ij"))
    return {"M": M, "T": T, "nbr": nbr, "L": loss(M, T, nbr)}


@pytest.fixture(scope="module")
def model():
    return rules.dp_scaling(**table(), window=1)


def test_monotone_losses_are_kept_as_they_are(model):
    rows = table()
    assert_allclose(model.loss(rows["M"], rows["T"], rows["nbr"]), rows["L"], rtol=1e-9)
    assert model.measured == 128000.0


def test_curves_go_on_with_the_floor_of_their_size(model):
    assert model.T[-1] == 8_192_000.0
    assert_allclose(model.floors, 1.8 + 40 * M**-0.2, rtol=1e-6)
    for steps in (256_000.0, 8_192_000.0):
        exact = loss(M[:, None], steps, NBR)
        assert_allclose(model.loss(M[:, None], steps, NBR), exact, rtol=1e-6)


def test_between_grid_points_the_loss_is_linear_in_logarithms(model):
    corners = [model.loss(m, t, r) for m in M[:2] for t in T[2:4] for r in NBR[2:4]]
    middle = model.loss(math.sqrt(M[0] * M[1]), math.sqrt(T[2] * T[3]), math.sqrt(NBR[2] * NBR[3]))
    assert math.log(middle) == pytest.approx(np.log(corners).mean(), rel=1e-12)


@pytest.mark.parametrize(
    "point",
    [
        (1e6, 1e4, 1e-5),
        (2e8, 1e4, 1e-5),
        (3e7, 500, 1e-5),
        (3e7, 1e7, 1e-5),
        (3e7, 1e4, 1e-2),
        (3e7, 1e4, 1e-8),
    ],
)
def test_nothing_is_extrapolated_outside_the_grid(model, point):
    with pytest.raises(ValueError, match="lies outside the grid: M 1e\\+07 to 1e\\+08"):
        model.loss(*point)


def test_smoothing_makes_losses_fall_with_steps_and_rise_with_noise():
    rows = table()
    rows["L"] = rows["L"] + 0.05 * np.random.default_rng(1).standard_normal(len(rows["L"]))
    noisy = rules.dp_scaling(**rows, window=3, extend_to=None)
    assert noisy.grid.shape == (3, 8, 5)
    assert np.all(np.diff(noisy.grid, axis=1) <= 1e-12)
    assert np.all(np.diff(noisy.grid, axis=2) >= -1e-12)
    raw = rules.dp_scaling(**rows, window=1, extend_to=None)
    truth = loss(M[:, None, None], T[:, None], NBR)
    assert np.abs(raw.grid - truth).mean() < np.abs(rows["L"] - table()["L"]).mean()


def test_best_learning_rate_counts_at_every_point():
    one, two = table(), table()
    two["L"] = two["L"] + np.where(two["nbr"] > 1e-5, -0.2, 0.3)
    both = {name: np.concatenate([one[name], two[name]]) for name in one}
    found = rules.dp_scaling(**both, lr=np.repeat([1e-3, 3e-3], len(one["L"])), window=1, extend_to=None)
    # Smoothing comes first, so each rate's own surface is monotone.
    assert_allclose(found.grid[:, :, 0], loss(M[:, None], T, 0.0), rtol=1e-9)
    assert_allclose(found.grid[:, :, -1], loss(M[:, None], T, NBR[-1]) - 0.2, rtol=1e-9)


def test_warm_up_is_left_out():
    early = table(T=np.concatenate([[100.0, 500.0], T]))
    early["L"] = np.where(early["T"] < 1000, 99.0, early["L"])
    assert_allclose(
        rules.dp_scaling(**early, window=1, extend_to=None).grid, loss(M[:, None, None], T[:, None], NBR)
    )


def test_hole_in_the_grid_is_named():
    rows = {name: column[1:] for name, column in table().items()}
    with pytest.raises(
        ValueError, match=r"M = 1e\+07, lr = 1 has 0 losses at T = 1000, nbr = 0; the grid needs one"
    ):
        rules.dp_scaling(**rows)


def test_extrapolation_needs_curves_without_noise():
    with pytest.raises(ValueError, match="extrapolation needs curves without noise, nbr = 0"):
        rules.dp_scaling(**table(nbr=NBR[1:]))
    assert rules.dp_scaling(**table(nbr=NBR[1:]), extend_to=None, window=1).nbr[0] == NBR[1]


def noise(T, q):
    return 0.5 + 30.0 * q * np.sqrt(T)


def test_best_plan_is_that_of_a_direct_scan(model):
    C, n = 1e19, 1e7
    plan = model.best(C, n, noise)
    sizes, batches = np.geomspace(M[0], M[-1], 100), 2.0 ** np.arange(0, math.log2(n), 0.25)
    best = math.inf
    for size in sizes:
        for B in batches:
            steps = C / (6 * size * B * 512)
            if not 1000 <= steps <= 8_192_000:
                continue
            ratio = float(noise(steps, B / n)) / B
            if NBR[1] <= ratio <= NBR[-1]:
                best = min(best, model.loss(float(np.clip(size, M[0], M[-1])), steps, ratio))
    assert plan.loss == pytest.approx(best, rel=1e-12)
    assert rules.dp_compute(plan.M, plan.B, plan.T) == pytest.approx(C, rel=1e-12)
    assert plan.nbr == pytest.approx(rules.noise_batch_ratio(plan.noise_multiplier, plan.B))
    assert plan.tokens == pytest.approx(plan.B * plan.T * 512)
    assert math.log2(plan.B) % 0.25 == 0.0


def test_less_privacy_noise_and_more_compute_never_hurt(model):
    quiet = model.best(1e19, 1e7, lambda T, q: 0.3 * noise(T, q))
    loud = model.best(1e19, 1e7, noise)
    assert quiet.loss < loud.loss
    assert quiet.M >= loud.M


def test_a_table_of_the_accountant_plans_a_run(model):
    table = rules.dp_noise_table(4.0, [500.0, 5000.0, 5e4, 1e7], [1e-7, 1e-5, 1e-3, 1e-1, 1.0])
    plan = model.best(1e18, 1e7, table)
    assert plan.noise_multiplier == pytest.approx(float(table(plan.T, plan.B / 1e7)), rel=1e-12)
    assert plan.configurations > 100


def test_budgets_without_a_configuration_are_refused(model):
    with pytest.raises(ValueError, match="no configuration for these budgets"):
        model.best(1e10, 1e7, noise)
    with pytest.raises(ValueError, match="no configuration for these budgets"):
        model.best(1e19, 1e7, lambda T, q: np.full_like(T, np.nan))


@settings(deadline=None)
@given(st.lists(st.floats(-10.0, 10.0), min_size=1, max_size=20))
def test_isotonic_regression_is_the_nearest_monotone_sequence(y):
    x = rules.isotonic(y)
    assert np.all(np.diff(x) <= 1e-12)
    assert x.sum() == pytest.approx(sum(y), abs=1e-9)
    # Optimality: no partial sum of the residuals can be gained, and blocks are means.
    rest = np.cumsum(np.array(y) - x)
    assert np.all(rest <= 1e-9)
    jumps = np.flatnonzero(np.diff(x) < -1e-9)
    assert_allclose(rest[jumps], 0.0, atol=1e-9)
    assert_allclose(rules.isotonic(x), x)
    assert_allclose(rules.isotonic(np.negative(y), increasing=True), -x)


def test_isotonic_regression_works_along_an_axis():
    y = np.array([[3.0, 1.0], [4.0, 2.0]])
    assert rules.isotonic(y, axis=0).tolist() == [[3.5, 1.5], [3.5, 1.5]]
    assert rules.isotonic(y, axis=1).tolist() == [[3.0, 1.0], [4.0, 2.0]]
