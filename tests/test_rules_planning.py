"""Wall-clock time, shapes, budgets of reinforcement learning, compound scaling and knowledge capacity."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scalinglaws import rules
from scipy.integrate import quad

# ---- wall clock, Charles et al. 2025
# -------------------------------------------------------------------------------------------------

RUN = {"N": 1e9, "D": 2e10, "B": 2.0**20, "R": 64, "M": 2, "H": 30}


def test_outer_steps_cost_half_of_the_communication_at_the_bandwidth_ratio():
    # With H = W0/W1 and no latency; exactly half only for M = 1, since fewer nodes reduce inside than across.
    ratio = 40.0
    run = {**RUN, "H": ratio, "W0": ratio * 1e10, "W1": 1e10, "eps0": 0.0, "eps1": 0.0}
    for M in (2, 8, 32):
        time = rules.diloco_wallclock(**{**run, "M": M})
        outer = rules.diloco_wallclock(**{**run, "M": M, "W0": 1e30})
        communication, across = time.diloco - time.compute, outer.diloco - outer.compute
        assert across / communication == pytest.approx((1 - 1 / 64) / (2 - (1 + M) / 64), rel=1e-9)
        assert across > communication / 2


@settings(deadline=None)
@given(H=st.integers(1, 1000), M=st.integers(2, 64))
def test_diloco_with_several_replicas_never_takes_longer_than_with_one(H, M):
    time = rules.diloco_wallclock(**{**RUN, "H": H, "M": M})
    assert time.compute < time.diloco < time.diloco_single
    assert time.data_parallel < time.diloco_single
    assert time.diloco_single - time.compute == pytest.approx(
        (1 + 1 / H) * (time.data_parallel - time.compute)
    )


def test_one_replica_is_the_special_case():
    times = rules.diloco_wallclock(**{**RUN, "M": np.array([1, 2])})
    assert times.diloco[0] == times.diloco_single[0]
    assert times.diloco[1] < times.diloco_single[1]
    assert times.diloco.shape == times.compute.shape == (2,)


def test_one_chip_sends_nothing_but_waits_for_latency():
    time = rules.diloco_wallclock(**{**RUN, "R": 1, "M": 1, "H": 1}, eps1=0.25)
    assert time.data_parallel - time.compute == pytest.approx(0.25 * time.steps)


def test_networks_are_those_of_the_paper():
    assert {name: (net.bandwidth, net.latency) for name, net in rules.NETWORKS.items()} == {
        "high": (400e9, 1e-4),
        "medium": (100e9, 1e-3),
        "low": (10e9, 1e-2),
    }


# ---- updates to data, Rybkin et al. 2025
# -------------------------------------------------------------------------------------------------

GYM = {"D_min": 217000.0, "beta": 2.1924060269062315, "alpha": 0.70037719}
AGENT = {"P": 150000.0, "B0": 365.95011362155327, "a_B": 0.3096094744219379, "delta": 4e9}


@settings(deadline=None, max_examples=100)
@given(
    beta=st.floats(1e-2, 1e2),
    alpha=st.floats(0.1, 3.0),
    a_B=st.floats(-0.5, 0.9),
    delta=st.floats(1e6, 1e12),
)
def test_no_other_ratio_has_a_smaller_budget(beta, alpha, a_B, delta):
    world, agent = {"D_min": 1e5, "beta": beta, "alpha": alpha}, {**AGENT, "a_B": a_B, "delta": delta}
    best = rules.value_rl_budget(**world, **agent)
    around = best.sigma * np.array([0.01, 0.5, 0.99, 1.0, 1.01, 2.0, 100.0])
    budgets = rules.value_rl_cost(around, **world, **agent).budget
    assert budgets.min() >= best.budget * (1 - 1e-12)
    assert np.all(np.diff(budgets[:4]) <= 0.0)
    assert np.all(np.diff(budgets[3:]) >= 0.0)
    u, k = (beta / best.sigma) ** alpha, 10 * AGENT["P"] * AGENT["B0"] * best.sigma ** (1 - a_B)
    assert alpha * u / (1 + u) == pytest.approx((1 - a_B) * k / (k + delta), rel=1e-9)


def test_dear_data_ask_for_more_updates():
    sigma = rules.value_rl_budget(**GYM, **{**AGENT, "delta": np.geomspace(1e6, 1e14, 9)}).sigma
    assert np.all(np.diff(sigma) > 0.0)


def test_extreme_coefficients_have_an_optimum():
    with pytest.raises(ValueError, match="a ratio too small or too large for a number"):
        rules.value_rl_budget(1.0, 1e-8, 0.01, P=1e12, B0=1e5, a_B=0.99, delta=1e-3)
    best = rules.value_rl_budget(1.0, 1e8, 10.0, P=1.0, B0=1.0, a_B=-3.0, delta=1e15)
    assert math.isfinite(best.budget)


def test_data_are_those_of_the_law_value_rl():
    # The check of the catalogue's law at sigma = 2.
    cost = rules.value_rl_cost(2.0, **GYM, **AGENT)
    assert cost.data == pytest.approx(448418.7132477101, rel=1e-12)
    assert cost.budget == pytest.approx(cost.compute + 4e9 * cost.data)


def test_trend_leaves_out_the_largest_budgets():
    budget = np.array([1e16, 1e14, 1e15, 1e17])
    sigma = 2.62e-9 * budget**0.62
    sigma[3] *= 2
    held = rules.value_rl_trend(budget, sigma, hold_out=1)
    assert held.values["c"] == pytest.approx(2.62e-9, rel=1e-8)
    assert held.values["a1"] == pytest.approx(0.62, rel=1e-9)
    assert held.nobs == 3
    assert rules.value_rl_trend(budget, sigma).values["a1"] > 0.63


# ---- adaptive shapes, Anagnostidis et al. 2023
# -------------------------------------------------------------------------------------------------

SHAPES = {
    "32": {"a": 20.0, "b": 0.2, "c": 0.25, "d": 1e9},
    "16": {"a": 60.0, "b": 0.22, "c": 0.15, "d": 1e9},
    "8": {"a": 400.0, "b": 0.27, "c": 0.10, "d": 0.0},
}
laws = st.fixed_dictionaries(
    {
        "a": st.floats(0.1, 1e3),
        "b": st.floats(0.05, 1.5),
        "c": st.floats(0.0, 0.5),
        "d": st.floats(0.0, 1e12),
    }
)


@settings(deadline=None)
@given(law=laws, C=st.floats(1e3, 1e20))
def test_compute_to_reach_inverts_the_law(law, C):
    error = law["a"] * (C + law["d"]) ** -law["b"] + law["c"]
    assume(error - law["c"] > 1e-6 * error)
    back = rules.compute_to_reach(error, **law)
    assert back == pytest.approx(C, rel=1e-6, abs=1e-6 * (C + law["d"]) / law["b"])


def test_marginal_compute_is_the_slope():
    law, e, h = SHAPES["16"], 0.4, 1e-5
    slope = (rules.compute_to_reach(e - h, **law) - rules.compute_to_reach(e + h, **law)) / (2 * h)
    assert rules.marginal_compute(e, law["a"], law["b"], law["c"]) == pytest.approx(slope, rel=1e-6)


@settings(deadline=None, max_examples=60)
@given(table=st.lists(laws, min_size=1, max_size=4), start=st.floats(0.6, 5.0), share=st.floats(0.05, 0.9))
def test_total_is_the_integral_of_the_cheapest_shape(table, start, share):
    shapes = {str(index): law for index, law in enumerate(table)}
    floor = min(law["c"] for law in table)
    end = floor + share * (start - floor)
    plan = rules.adaptive_shape(shapes, start, end)
    # Next to a floor the distance to it, and the compute with it, are lost in the rounding of the error.
    assume(all(s.e_end - shapes[s.shape]["c"] > 1e-7 for s in plan.segments))
    total = 0.0
    for segment in plan.segments:
        own = shapes[segment.shape]
        errors = np.linspace(segment.e_start, segment.e_end, 50)[1:-1]
        mine = rules.marginal_compute(errors, own["a"], own["b"], own["c"])
        for law in table:
            open_ = errors > law["c"] * (1 + 1e-12)
            others = rules.marginal_compute(errors[open_], law["a"], law["b"], law["c"])
            assert np.all(mine[open_] <= others * (1 + 1e-6))

        def density(t, own=own):
            """Compute per unit of log(error - floor), where the integrand has no pole."""
            return own["a"] ** (1 / own["b"]) * math.exp(-t / own["b"]) / own["b"]

        ends = [math.log(e - own["c"]) for e in (segment.e_end, segment.e_start)]
        total += quad(density, *ends, epsrel=1e-9, limit=500)[0]
    assert plan.total == pytest.approx(total, rel=1e-6)
    assert plan.total <= min(plan.static.values()) * (1 + 1e-9)
    assert 0.0 <= plan.saving < 1.0
    assert [s.e_start for s in plan.segments[1:]] == [s.e_end for s in plan.segments[:-1]]
    assert (plan.segments[0].e_start, plan.segments[-1].e_end) == (start, end)


def test_schedule_switches_to_finer_patches():
    plan = rules.adaptive_shape(SHAPES, 0.6, 0.2)
    assert [segment.shape for segment in plan.segments] == ["32", "16", "8"]
    assert plan.static["32"] == math.inf
    assert plan.best_static == "8"
    switch = plan.segments[1].e_start
    costs = [rules.marginal_compute(switch, v["a"], v["b"], v["c"]) for v in (SHAPES["32"], SHAPES["16"])]
    assert costs[0] == pytest.approx(costs[1], rel=1e-9)
    assert plan.saving == pytest.approx(1 - plan.total / plan.static["8"])


def test_a_shape_below_its_floor_is_left():
    # The cheap shape stays cheaper down to its floor, where it has to be left.
    shapes = {
        "cheap": {"a": 1.0, "b": 1.0, "c": 0.3, "d": 0.0},
        "dear": {"a": 1e9, "b": 1.0, "c": 0.0, "d": 0.0},
    }
    plan = rules.adaptive_shape(shapes, 0.9, 0.1)
    assert [segment.shape for segment in plan.segments] == ["cheap", "dear"]
    assert 0.3 < plan.segments[1].e_start < 0.301


def test_laws_of_static_runs_are_fitted_per_shape():
    C = np.geomspace(1e9, 1e15, 14)
    rows = [
        (c, law["a"] * (c + law["d"]) ** -law["b"] + law["c"], name)
        for name, law in SHAPES.items()
        for c in C
    ]
    rows = [row for row in rows if row[2] != "8"]
    compute, error, shape = zip(*rows, strict=True)
    fits = rules.fit_shapes(compute, error, shape)
    assert list(fits) == ["32", "16"]
    for name, fit in fits.items():
        law = SHAPES[name]
        assert fit.objective < 1e-18
        expected = {"E": law["c"], "A": law["a"], "x0": law["d"], "alpha": law["b"]}
        for key, value in expected.items():
            assert fit.values[key] == pytest.approx(value, rel=1e-4), (name, key)


# ---- compound scaling, Dollar, Singh and Girshick 2021
# -------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(s=st.floats(0.1, 1e3), alpha=st.floats(0.0, 1.0))
def test_factors_multiply_to_the_flops(s, alpha):
    f = rules.compound_scaling(s, alpha)
    assert f.depth * f.width**2 * f.resolution**2 == pytest.approx(s, rel=1e-12)
    assert f.parameters == pytest.approx(f.depth * f.width**2, rel=1e-12)
    assert f.activations == pytest.approx(f.depth * f.width * f.resolution**2, rel=1e-12)
    assert f.activations == pytest.approx(s ** (1 - alpha / 2), rel=1e-12)


def test_uniform_and_single_shares():
    uniform = rules.compound_scaling(8.0, shares=[1, 1, 1])
    assert uniform.depth == pytest.approx(2.0)
    assert uniform.width == uniform.resolution == pytest.approx(math.sqrt(2.0))
    deep = rules.compound_scaling(8.0, shares=[1, 0, 0])
    assert (deep.depth, deep.width, deep.resolution) == (8.0, 1.0, 1.0)
    # d1_w8_r1 of the released code is alpha = 0.8.
    fast, named = rules.compound_scaling(4.0, shares=[1, 8, 1]), rules.compound_scaling(4.0)
    assert_allclose([fast.depth, fast.width, fast.resolution], [named.depth, named.width, named.resolution])


def test_networks_are_rounded_as_in_the_released_code():
    factors = rules.compound_scaling(4.0)
    found = rules.scaled_network(factors, [1, 1, 7], [8, 44, 100], 224, group_width=[1, 2, 16])
    # Widths 13.9, 76.6, 174.1; group widths 1.7, 3.5, 27.9, and 28/8 is rounded to the even 4.
    assert found.width.tolist() == [16.0, 80.0, 176.0]
    assert found.group_width.tolist() == [2.0, 4.0, 32.0]
    assert found.depth.tolist() == [1.0, 1.0, 8.0]
    assert found.resolution == 240
    tiny = rules.scaled_network(rules.compound_scaling(1e-3), [1], [8], 224, group_width=[1])
    assert (tiny.depth[0], tiny.width[0], tiny.group_width[0]) == (1.0, 8.0, 1.0)


# ---- knowledge, Allen-Zhu and Li 2024
# -------------------------------------------------------------------------------------------------


def test_value_space_of_the_biographies_has_47_6_bits():
    assert math.log2(rules.VALUES) == pytest.approx(47.6, abs=0.05)
    assert math.log2(rules.NAMES) == pytest.approx(27.25, abs=0.01)


@settings(deadline=None)
@given(N=st.floats(1e3, 1e8), p2=st.floats(0.0, 5.0), extra=st.floats(0.0, 3.0))
def test_perfect_losses_reach_the_bound_and_nothing_exceeds_it(N, p2, extra):
    perfect = rules.knowledge_capacity(N, 1e8, math.log(N), 0.0)
    assert perfect.R == pytest.approx(perfect.R_max, rel=1e-12)
    worse = rules.knowledge_capacity(N, 1e8, math.log(N) + extra, p2)
    assert worse.R <= worse.R_max * (1 + 1e-12)
    assert worse.bits == pytest.approx(perfect.bits - N * (p2 + extra) / math.log(2), rel=1e-9)


def test_chunks_reduce_to_one_attribute_of_known_pieces():
    # One chunk from a pool of S0, whose pieces are free: the same as the biographies.
    S0, people = 1e6, 1e5
    chunked = rules.knowledge_capacity_chunks(people, 1, 1, S0, 1, S0, 1e7, 12.0, 0.4, 0.0)
    plain = rules.knowledge_capacity(people, 1e7, 12.0, 0.4, S0=S0)
    assert chunked.R == pytest.approx(plain.R, rel=1e-12)


def test_bits_and_parameters_are_inverse():
    assert rules.parameters_for_bits(rules.bits_stored(7e9, 1.3), 1.3) == pytest.approx(7e9)
