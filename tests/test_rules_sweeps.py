"""Optima of hyper-parameter sweeps, the Step Law runs, learning-rate sensitivity and trajectory keys."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scalinglaws as sl
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scalinglaws import rules

# ---- one hyper-parameter
# -------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    centre=st.floats(-10.0, 10.0),
    curvature=st.floats(1e-4, 10.0),
    lowest=st.floats(-5.0, 50.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_vertex_of_an_exact_parabola_is_found(centre, curvature, lowest, seed):
    z = np.random.default_rng(seed).uniform(centre - 3, centre + 3, 7)
    z[:2] = centre - 2, centre + 2
    best = rules.optimum_from_sweep(2.0**z, lowest + curvature * (z - centre) ** 2)
    size = abs(lowest) + 9 * curvature
    assert best.log2_x == pytest.approx(centre, abs=1e-9 * size / curvature)
    assert best.loss == pytest.approx(lowest, abs=1e-9 * size)
    assert best.curvature == pytest.approx(curvature, rel=1e-9 * size / curvature)


@settings(deadline=None, max_examples=20)
@given(unit=st.floats(1e-6, 1e6), scale=st.floats(1e-3, 1e3), shift=st.floats(-10.0, 10.0))
def test_optimum_moves_with_the_units(unit, scale, shift):
    x, L = np.array([1.0, 2.0, 4.0, 8.0]), np.array([2.9, 2.7, 2.72, 3.0])
    base = rules.optimum_from_sweep(x, L)
    moved = rules.optimum_from_sweep(unit * x, scale * L + shift)
    assert moved.x == pytest.approx(unit * base.x, rel=1e-9)
    assert moved.loss == pytest.approx(scale * base.loss + shift, rel=1e-9, abs=1e-9)
    assert moved.stderr_log == pytest.approx(base.stderr_log, rel=1e-6)


def test_lowest_loss_of_each_value_counts():
    x = [1.0, 2.0, 4.0, 2.0, 4.0, 1.0]
    L = [3.0, 2.6, 2.9, 9.0, 9.0, 9.0]
    assert rules.optimum_from_sweep(x, L).x == rules.optimum_from_sweep(x[:3], L[:3]).x


def test_windows_keep_the_values_near_the_best_one():
    z = np.arange(-4.0, 5.0)
    L = 2.0 + 0.01 * (z - 0.3) ** 2 + 0.002 * np.maximum(0.0, z - 2) ** 4
    exact = rules.optimum_from_sweep(2.0**z, L, neighbours=2)
    assert exact.points == 5
    assert exact.log2_x == pytest.approx(0.3, abs=1e-9)
    assert rules.optimum_from_sweep(2.0**z, L, within=0.031).points == 4
    assert abs(rules.optimum_from_sweep(2.0**z, L).log2_x - 0.3) > 0.1


def test_error_of_the_vertex_is_that_of_repetitions():
    rng, z = np.random.default_rng(7), np.arange(-3.0, 4.0)
    exact = 3.0 + 0.05 * (z - 0.4) ** 2
    found = [rules.optimum_from_sweep(2.0**z, exact + 0.01 * rng.standard_normal(7)) for _ in range(400)]
    spread = np.std([math.log(best.x) for best in found])
    assert np.sqrt(np.mean([best.stderr_log**2 for best in found])) == pytest.approx(spread, rel=0.12)


def test_three_points_have_an_optimum_and_no_error():
    best = rules.optimum_from_sweep([1.0, 2.0, 4.0], [3.0, 2.5, 3.0])
    assert best.x == pytest.approx(2.0)
    assert math.isnan(best.stderr_log)


def test_plateau_ends_where_the_excess_is_reached():
    best = rules.optimum_from_sweep([1.0, 2.0, 4.0], [3.0, 2.5, 3.0])
    low, high = best.plateau(np.array([0.0, 0.01]))
    assert low[0] == high[0] == pytest.approx(best.x)
    z = np.log2(high[1])
    assert best.loss + best.curvature * (z - best.log2_x) ** 2 == pytest.approx(1.01 * best.loss)
    assert low[1] * high[1] == pytest.approx(best.x**2)


@pytest.mark.parametrize(
    ("L", "message"),
    [
        ([3.0, 2.9, 2.7, 2.4], "does not bend upwards"),
        ([3.0, 2.5, 2.2, 2.1], "lies outside the grid from 1 to 8: widen the grid"),
    ],
)
def test_sweep_without_an_inner_minimum_is_refused(L, message):
    with pytest.raises(ValueError, match=message):
        rules.optimum_from_sweep([1.0, 2.0, 4.0, 8.0], L)


def test_interpolation_finds_the_minimum_between_the_points():
    x = 2.0 ** np.arange(-14.0, -7.0)
    loss = np.exp(1.0 + 0.02 * (np.log2(x) + 10.3) ** 2)
    best = rules.optimum_by_interpolation(x, loss)
    assert np.log2(best.x) == pytest.approx(-10.3, abs=0.02)
    assert best.loss == pytest.approx(math.e, rel=1e-3)
    # A third of the grid spacing, where there is no noise to learn from.
    assert best.stderr_log == pytest.approx(math.log(2) / 3)
    assert best.draws.size == 0


def test_noise_widens_the_interpolated_optimum_and_borders_are_counted():
    x = 2.0 ** np.arange(-14.0, -7.0)
    loss = 3.0 + 0.01 * (np.log2(x) + 12.8) ** 2
    best = rules.optimum_by_interpolation(x, loss, noise=0.03, draws=500)
    assert best.stderr_log == pytest.approx(np.std(np.log(best.draws), ddof=1))
    assert best.stderr_log > math.log(2) / 3
    assert 0.0 < best.border < 0.6
    assert len(best.draws) == round(500 * (1 - best.border))
    again = rules.optimum_by_interpolation(x, loss, noise=0.03, draws=500)
    assert_allclose(again.draws, best.draws)


def test_interpolated_optimum_on_the_border_is_refused():
    with pytest.raises(ValueError, match="lies on the border of the grid, x = 8: widen it"):
        rules.optimum_by_interpolation([1.0, 2.0, 4.0, 8.0], [3.0, 2.5, 2.2, 2.0])


# ---- several hyper-parameters
# -------------------------------------------------------------------------------------------------


def test_tilted_bowl_gives_optimum_and_curvature():
    rng = np.random.default_rng(2)
    z = rng.uniform(-1, 1, (40, 2)) + np.log([1e-3, 256.0])
    H = np.array([[0.3, -0.1], [-0.1, 0.2]])
    at = np.log([1.3e-3, 200.0])
    loss = 2.0 + 0.5 * np.einsum("ni,ij,nj->n", z - at, H, z - at)
    best = rules.optimum_from_grid({"lr": np.exp(z[:, 0]), "batch": np.exp(z[:, 1])}, loss)
    assert best.x["lr"] == pytest.approx(1.3e-3, rel=1e-9)
    assert best.x["batch"] == pytest.approx(200.0, rel=1e-9)
    assert best.loss == pytest.approx(2.0, rel=1e-12)
    assert_allclose(best.hessian, H, rtol=1e-9)
    assert best.runs == 40


def test_one_column_of_a_grid_is_a_sweep():
    x, L = [1.0, 2.0, 4.0, 8.0], [2.9, 2.7, 2.72, 3.0]
    sweep, grid = rules.optimum_from_sweep(x, L), rules.optimum_from_grid({"x": x}, L)
    assert grid.x["x"] == pytest.approx(sweep.x, rel=1e-12)
    assert grid.stderr_log["x"] == pytest.approx(sweep.stderr_log, rel=1e-9)


def test_saddle_and_collinear_runs_are_refused():
    a, b = (axis.ravel() for axis in np.meshgrid([1.0, 2.0, 4.0], [1.0, 2.0, 4.0]))
    with pytest.raises(ValueError, match="no minimum in lr and batch"):
        rules.optimum_from_grid({"lr": a, "batch": b}, np.log(a / 2) ** 2 - np.log(b / 2) ** 2)
    line = np.geomspace(1, 16, 9)
    with pytest.raises(ValueError, match="9 runs do not determine a quadratic in lr and batch"):
        rules.optimum_from_grid({"lr": line, "batch": 3 * line}, np.log(line / 4) ** 2)


# ---- Step Law, Li et al. 2025: figures of the data folder's README
# -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steplaw(read_table):
    runs = read_table("steplaw_dense.csv")
    assert len(runs["L"]) == 1911
    return {
        "cells": {"N": runs["N"], "D": runs["D"]},
        "x": {"lr": runs["lr"], "batch": runs["bs_tokens"]},
        "L": runs["L"],
    }


def laws_of(optima):
    return optima.power_law("lr"), optima.power_law("batch", on=["D"])


def test_quadratic_per_cell_then_power_law_reproduces_the_step_law_figures(steplaw):
    optima = rules.optima_of_cells(**steplaw, within=0.06)
    assert len(optima.loss) == 17
    lr, batch = laws_of(optima)
    assert lr.values["c"] == pytest.approx(8.605, abs=5e-4)
    assert lr.values["a1"] == pytest.approx(-0.6814, abs=5e-5)
    assert lr.values["a2"] == pytest.approx(0.2035, abs=5e-5)
    assert math.sqrt(lr.rss / 17) == pytest.approx(0.067, abs=5e-4)
    assert batch.values["c"] == pytest.approx(0.4268, abs=5e-5)
    assert batch.values["a1"] == pytest.approx(0.5791, abs=5e-5)
    assert math.sqrt(batch.rss / 17) == pytest.approx(0.108, abs=5e-4)
    assert lr.valid
    assert batch.valid


def test_best_run_per_cell_reproduces_the_step_law_figures(steplaw):
    lr, batch = laws_of(rules.optima_of_cells(**steplaw, method="lowest"))
    assert lr.values["c"] == pytest.approx(30.1, abs=0.05)
    assert lr.values["a1"] == pytest.approx(-0.8235, abs=5e-5)
    assert lr.values["a2"] == pytest.approx(0.2882, abs=5e-5)
    assert math.sqrt(lr.rss / 17) == pytest.approx(0.208, abs=5e-4)
    assert batch.values["c"] == pytest.approx(3.416, abs=5e-4)
    assert batch.values["a1"] == pytest.approx(0.4983, abs=5e-5)
    assert math.sqrt(batch.rss / 17) == pytest.approx(0.275, abs=5e-4)


def test_published_step_law_is_a_tenth_of_a_percent_from_the_best_runs(steplaw):
    N, D = steplaw["cells"]["N"], steplaw["cells"]["D"]
    rule = {"lr": 1.79 * N**-0.713 * D**0.307, "batch": 0.58 * D**0.571}
    found = rules.excess_loss(**steplaw, rule=rule)
    assert found.excess.mean() == pytest.approx(0.00096, abs=5e-6)
    assert found.excess.max() == pytest.approx(0.0031, abs=5e-5)
    assert found.distance.max() < 0.6


def test_near_optimal_rows_give_the_coefficients_of_the_step_law_recipe(steplaw):
    # Note 3 of the entry power_product: what the authors' recipe gives on the released table.
    N, D, L = steplaw["cells"]["N"], steplaw["cells"]["D"], steplaw["L"]
    keep = rules.near_optimal(L, cell=[f"{n} {d}" for n, d in zip(N, D, strict=True)])
    rows = {"x1": N[keep], "x2": D[keep], "y": steplaw["x"]["lr"][keep]}
    lr = sl.fit("power_product", rows, starts={"c": 1.0, "a1": 0.0, "a2": 0.0})
    assert lr.values["c"] == pytest.approx(77.7, abs=0.05)
    assert lr.values["a1"] == pytest.approx(-0.766, abs=5e-4)
    assert lr.values["a2"] == pytest.approx(0.197, abs=5e-4)
    rows = {"x1": D[keep], "x2": np.ones(keep.sum()), "y": steplaw["x"]["batch"][keep]}
    batch = sl.fit("power_product", rows, fixed={"a2": 0.0}, starts={"c": 1.0, "a1": 0.0})
    assert batch.values["c"] == pytest.approx(0.209, abs=5e-4)
    assert batch.values["a1"] == pytest.approx(0.613, abs=5e-4)


def test_both_backends_agree_on_the_step_law(steplaw):
    optima = rules.optima_of_cells(**steplaw, within=0.06)
    ours = optima.power_law("lr")
    rows = {"x1": optima.cells["N"], "x2": optima.cells["D"], "y": optima.x["lr"]}
    other = sl.fit(ours.law, rows, starts=ours.values, backend="scipy", residual="log", loss="squared")
    assert other.objective == pytest.approx(ours.objective, rel=1e-10)


# ---- cells
# -------------------------------------------------------------------------------------------------


def synthetic(seed=0, noise=0.0):
    grids = np.meshgrid([1e8, 1e9], [1e9, 1e10, 1e11], np.geomspace(1e-4, 1e-1, 7), np.geomspace(1e4, 1e7, 7))
    N, D, lr, batch = (axis.ravel() for axis in grids)
    best = {"lr": 0.7 * N**-0.3 * D**0.05, "batch": 0.4 * D**0.57}
    loss = 3 + 0.04 * np.log(lr / best["lr"]) ** 2 + 0.01 * np.log(batch / best["batch"]) ** 2
    loss = loss + noise * np.random.default_rng(seed).standard_normal(len(loss))
    return {"cells": {"N": N, "D": D}, "x": {"lr": lr, "batch": batch}, "L": loss}, best


def test_laws_of_exact_bowls_are_found_and_cost_nothing():
    table, best = synthetic()
    optima = rules.optima_of_cells(**table)
    lr, batch = laws_of(optima)
    assert_allclose([lr.values[n] for n in ("c", "a1", "a2")], [0.7, -0.3, 0.05], rtol=1e-8)
    assert_allclose([batch.values[n] for n in ("c", "a1")], [0.4, 0.57], rtol=1e-8)
    assert lr.columns == {"x1": "N", "x2": "D"}
    assert optima.runs.tolist() == [49] * 6
    found = rules.excess_loss(**table, rule=best)
    assert found.excess.max() == 0.0
    assert (table["cells"]["N"][found.row] == found.cells["N"]).all()


def test_weights_are_the_inverse_variances_of_the_optima():
    optima = rules.optima_of_cells(**synthetic(noise=0.01)[0])
    weighted = optima.power_law("lr", weighted=True)
    X = np.column_stack([np.ones(6), np.log(optima.cells["N"]), np.log(optima.cells["D"])])
    root = 1 / optima.stderr_log["lr"]
    exact = np.linalg.lstsq(X * root[:, None], np.log(optima.x["lr"]) * root, rcond=None)[0]
    assert_allclose(
        [math.log(weighted.values["c"]), weighted.values["a1"], weighted.values["a2"]], exact, rtol=1e-6
    )
    lowest = rules.optima_of_cells(**synthetic()[0], method="lowest")
    with pytest.raises(ValueError, match="the optima of 'lr' have no standard errors"):
        lowest.power_law("lr", weighted=True)


def test_cell_without_an_optimum_is_named():
    table, _ = synthetic()
    bad = (table["cells"]["N"] == 1e9) & (table["cells"]["D"] == 1e10)
    table["L"] = np.where(bad, 3 - 0.1 * np.log(table["x"]["lr"]), table["L"])
    with pytest.raises(ValueError, match=r"in the cell N = 1e\+09, D = 1e\+10: "):
        rules.optima_of_cells(**table)


def test_order_of_rows_does_not_matter():
    table, _ = synthetic(noise=0.01)
    order = np.random.default_rng(1).permutation(len(table["L"]))
    mixed = {
        "cells": {name: column[order] for name, column in table["cells"].items()},
        "x": {name: column[order] for name, column in table["x"].items()},
        "L": table["L"][order],
    }
    one, two = rules.optima_of_cells(**table), rules.optima_of_cells(**mixed)
    assert_allclose(one.x["lr"], two.x["lr"], rtol=1e-9)
    assert_allclose(one.cells["D"], two.cells["D"])


# ---- learning-rate sensitivity
# -------------------------------------------------------------------------------------------------


def test_diverged_runs_count_with_the_initial_loss():
    lr = np.geomspace(1e-3, 1e-1, 5)
    with_nan = rules.lr_sensitivity(lr, [3.5, 3.0, 3.2, math.nan, math.inf], L_init=10.0)
    capped = rules.lr_sensitivity(lr, [3.5, 3.0, 3.2, 11.0, 12.0], L_init=10.0)
    assert with_nan.sensitivity == capped.sensitivity == pytest.approx((0.5 + 0.2 + 7 + 7) / 5)
    assert with_nan.capped == 2
    assert (with_nan.best_lr, with_nan.best_loss) == (lr[1], 3.0)


@settings(deadline=None)
@given(shift=st.floats(-5.0, 5.0), unit=st.floats(0.1, 10.0))
def test_sensitivity_ignores_the_level_of_the_loss_and_the_unit_of_the_rate(shift, unit):
    lr, L = np.geomspace(1e-4, 1e-1, 6), np.array([3.2, 3.0, 3.1, 4.0, 9.0, 12.0])
    base = rules.lr_sensitivity(lr, L, L_init=10.0).sensitivity
    moved = rules.lr_sensitivity(unit * lr, L + shift, L_init=10.0 + shift).sensitivity
    assert moved == pytest.approx(base, abs=1e-12)


def test_range_of_rates_is_closed():
    lr, L = [1e-4, 3e-4, 1e-3, 3e-3], [9.0, 3.1, 3.0, 3.2]
    assert rules.lr_sensitivity(lr, L, 10.0, between=(3e-4, 3e-3)).sensitivity == pytest.approx(0.1)


def test_uneven_rates_are_refused():
    with pytest.raises(ValueError, match=r"not evenly spaced .* factors from 2 to 50"):
        rules.lr_sensitivity([1e-4, 2e-4, 1e-2], [3.0, 2.9, 3.1], 10.0)


def test_threshold_size_inverts_the_power_law():
    N = np.array([1e7, 3e7, 1e8, 1e9])
    found = rules.size_at_threshold(N, 0.02 * N**0.45, 1e4)
    assert found.N == pytest.approx((1e4 / 0.02) ** (1 / 0.45), rel=1e-9)
    assert found.exponent == pytest.approx(0.45, rel=1e-9)


def test_error_of_the_threshold_size_is_that_of_repetitions():
    rng, N = np.random.default_rng(5), np.geomspace(1e7, 1e9, 8)
    runs = [
        rules.size_at_threshold(N, 0.02 * N**0.45 * np.exp(0.05 * rng.standard_normal(8)), 1e4)
        for _ in range(400)
    ]
    spread = np.std([math.log(run.N) for run in runs])
    assert np.sqrt(np.mean([run.stderr_log**2 for run in runs])) == pytest.approx(spread, rel=0.12)


# ---- trajectories
# -------------------------------------------------------------------------------------------------


def test_the_grid_of_the_paper_falls_into_its_diagonals():
    # Li et al. 2025: eta 2**-12 to 2**-8, lambda 0.025 to 0.4, both doubling: 25 runs, 9 products.
    eta, wd = (a.ravel() for a in np.meshgrid(2.0 ** np.arange(-12, -7), 0.025 * 2.0 ** np.arange(5)))
    keys = rules.trajectory_invariance(eta, wd)
    assert len(np.unique(keys.late)) == 9
    assert len(np.unique(keys.early)) == 5
    for group in range(9):
        assert np.ptp(keys.gamma[keys.late == group]) <= 1e-12 * keys.gamma.max()


def test_nearly_equal_keys_share_a_group_and_scalars_stay_scalars():
    keys = rules.trajectory_invariance([0.1, 0.3, 0.2], [0.3, 0.1, 0.5])
    assert keys.late.tolist() == [0, 0, 1]
    one = rules.trajectory_invariance(0.1, 0.3)
    assert (one.gamma, one.late, one.early) == (0.1 * 0.3, 0, 0)


def test_gap_of_curves_looks_only_after_the_start():
    t = np.arange(1.0, 101.0)
    early, late = 3 + 5 / t, 3 + 5 / t + np.where(t < 20, 1.0, 0.0)
    assert rules.curve_gap(t, early, t, late, after=20) == 0.0
    assert rules.curve_gap(t, early, t, late) == pytest.approx(np.log(late / early).max())
    assert rules.curve_gap(t, early, t[::5], 1.02 * early[::5], after=50) == pytest.approx(
        math.log(1.02), abs=1e-4
    )
    with pytest.raises(ValueError, match="no common part after 200"):
        rules.curve_gap(t, early, t, late, after=200)
