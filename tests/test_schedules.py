"""Schedules give the rates they are named after; the areas S1 and S2 are those of the annealing papers."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import scalinglaws as sl
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import mpl_schedules
from numpy.testing import assert_allclose, assert_array_equal
from scalinglaws.schedules import (
    WSD,
    Concatenation,
    Constant,
    Cosine,
    Cyclic,
    FromArray,
    MultiStep,
    TwoStage,
    annealing_columns,
    annealing_features,
    fit_annealing,
)

DECAYS = ("linear", "cosine", "1-sqrt", "exponential", "square", "sqrt-cube")

ONE_OF_EACH = [
    Constant(40, peak=3e-4, warmup=5),
    Cosine(40, peak=3e-4, end=3e-5, warmup=5, phase="i/K"),
    *(WSD(40, peak=3e-4, end=3e-5, decay=10, shape=shape, warmup=5, ramp="t/W") for shape in DECAYS),
    MultiStep(40, peak=3e-4, at=(20, 30), factors=(0.5, 0.1), warmup=5),
    TwoStage(40, peak=3e-4, second=1e-4, switch=20, warmup=5),
    *(
        Cyclic(40, peak=3e-4, end=1e-5, period=7, shape=shape, warmup=5)
        for shape in ("cosine", "triangle", "restart")
    ),
    FromArray(np.linspace(3e-4, 1e-4, 40), warmup=5),
    Constant(20, peak=3e-4, warmup=5) + Cosine(20, peak=3e-4, warmup=2),
]


# ---------------------------------------------------------------- rates


@pytest.mark.parametrize(
    ("shape", "share"),
    [
        ("linear", lambda x: 1 - x),
        ("cosine", lambda x: 0.5 * (1 + np.cos(np.pi * x))),
        ("1-sqrt", lambda x: 1 - x**0.5),
        ("square", lambda x: 1 - x**2),
        ("sqrt-cube", lambda x: (1 - x) ** 1.5),
    ],
)
@pytest.mark.parametrize("phase", ["(i-1)/K", "i/K"])
def test_a_decay_follows_its_formula(shape, share, phase):
    schedule = WSD(30, peak=2.0, end=0.5, decay=8, shape=shape, phase=phase)
    x = (np.arange(1, 9) - (phase == "(i-1)/K")) / 8
    expected = np.concatenate([np.full(22, 2.0), 0.5 + 1.5 * share(x)])
    assert_allclose(schedule.rates(), expected, rtol=1e-15, atol=1e-16)


def test_an_exponential_decay_falls_by_a_constant_factor():
    rates = WSD(30, peak=2.0, end=0.5, decay=8, shape="exponential", phase="i/K").rates()
    assert_allclose(rates[22:] / rates[21:-1], 0.25 ** (1 / 8), rtol=1e-14)
    assert rates[-1] == pytest.approx(0.5, rel=1e-15)


def test_the_one_minus_square_root_cooldown_is_at_29_percent_halfway():
    """Haegele et al. 2024, arXiv:2405.18392."""
    schedule = WSD(20, peak=1.0, decay=10, shape="1-sqrt")
    assert schedule.rates()[15] == pytest.approx(0.2928932188134524, rel=1e-15)


@pytest.mark.parametrize(
    ("ramp", "expected"),
    [("t/(W-1)", [0, 1 / 3, 2 / 3, 1]), ("t/W", [0, 0.25, 0.5, 0.75]), ("(t+1)/W", [0.25, 0.5, 0.75, 1])],
)
def test_a_warm_up_ramp_follows_its_formula(ramp, expected):
    assert_allclose(Constant(6, peak=2.0, warmup=4, ramp=ramp).rates(), [*(2.0 * np.array(expected)), 2, 2])


def test_a_warm_up_of_one_step_starts_at_zero_as_linspace_does():
    assert_array_equal(Constant(3, peak=1.0, warmup=1).rates(), [0.0, 1.0, 1.0])


def test_a_cosine_spends_half_of_the_peak_on_average():
    rates = Cosine(1000, peak=1.0, phase="i/K").rates()
    assert rates.sum() == pytest.approx(499.5, rel=1e-12)


def test_multiple_steps_and_two_stages_change_exactly_where_they_say():
    rates = MultiStep(10, peak=2.0, at=(4, 7), factors=(0.5, 0.25), warmup=1).rates()
    assert_array_equal(rates, [0, 2, 2, 2, 1, 1, 1, 0.5, 0.5, 0.5])
    two = TwoStage(10, peak=2.0, second=1.0, switch=4, warmup=1)
    assert_array_equal(two.rates(), MultiStep(10, peak=2.0, at=(4,), factors=(0.5,), warmup=1).rates())


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("cosine", [3, 2, 1, 2, 3, 2]),
        ("triangle", [3, 2, 1, 2, 3, 2]),
        ("restart", [3, 2 + 0.5**0.5, 2, 2 - 0.5**0.5, 3, 2 + 0.5**0.5]),
    ],
)
def test_cycles_start_at_the_peak_and_are_cut_off_at_the_end(shape, expected):
    assert_allclose(Cyclic(6, peak=3.0, end=1.0, period=4, shape=shape).rates(), expected, rtol=1e-15)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(2, 300),
    warmup=st.integers(0, 50),
    low=st.floats(1e-3, 1.0),
    shape=st.sampled_from(DECAYS),
    data=st.data(),
)
def test_every_schedule_stays_between_its_end_and_its_peak(steps, warmup, low, shape, data):
    warmup = min(warmup, steps - 1)
    common = {"peak": 2.0, "end": 2.0 * low, "warmup": warmup}
    decay = data.draw(st.integers(1, steps - warmup))
    for schedule in (
        Cosine(steps, **common),
        WSD(steps, decay=decay, shape=shape, **common),
        Cyclic(steps, period=5, **common),
    ):
        rates = schedule.rates()
        assert len(rates) == len(schedule) == steps
        after = rates[warmup:]
        assert after[0] == pytest.approx(2.0)
        assert after.max() <= 2.0 * (1 + 1e-14)
        assert after.min() >= 2.0 * low * (1 - 1e-14)
        if not isinstance(schedule, Cyclic):
            assert (np.diff(after) <= 1e-14).all()


def test_the_rates_of_nine_real_runs_are_the_logged_ones(read_table):
    schedules = mpl_schedules(read_table("mpl_schedules.csv"))
    rows = read_table("mpl_curves.csv", model="100M")
    assert len(schedules) == 9
    for curve, schedule in schedules.items():
        mine = rows["curve"] == curve
        step = rows["step"][mine].astype(int)
        assert_allclose(schedule.rates()[step], rows["lr"][mine], rtol=0, atol=4e-19)
        S1, _ = annealing_features(schedule, warmup="rates")
        assert_allclose(S1[step], rows["S1"][mine], rtol=1e-14)


# ---------------------------------------------------------------- objects


@pytest.mark.parametrize("schedule", ONE_OF_EACH, ids=lambda s: type(s).__name__)
def test_schedules_are_values(schedule):
    copy = pickle.loads(pickle.dumps(schedule))
    assert copy == schedule
    assert hash(copy) == hash(schedule)
    assert schedule not in [other for other in ONE_OF_EACH if other is not schedule]
    assert schedule != 3
    assert len(schedule) == schedule.steps == 40
    assert schedule.warmup == 5
    assert_array_equal(np.asarray(schedule), schedule.rates())
    assert np.asarray(schedule, dtype=np.float32).dtype == np.float32
    with pytest.raises((AttributeError, dataclasses.FrozenInstanceError)):
        schedule.warmup = 3


def test_changing_the_returned_rates_does_not_change_the_schedule():
    for schedule in ONE_OF_EACH:
        before = schedule.rates()
        schedule.rates()[:] = 0.0
        assert_array_equal(schedule.rates(), before)


def test_a_schedule_from_an_array_does_not_follow_the_array():
    rates = np.array([1.0, 0.5])
    schedule = FromArray(rates)
    rates[0] = 9.0
    assert schedule.rates()[0] == 1.0


def test_the_repr_makes_the_schedule_again():
    for schedule in ONE_OF_EACH:
        if not isinstance(schedule, FromArray):
            assert eval(repr(schedule)) == schedule
    assert repr(FromArray([0.0, 1.0, 0.5], warmup=1)) == "FromArray(3 rates from 0.0 to 0.5, warmup=1)"


def test_zero_and_minus_zero_are_one_schedule():
    assert FromArray([0.0, 1.0]) == FromArray([-0.0, 1.0])
    assert hash(FromArray([0.0, 1.0])) == hash(FromArray([-0.0, 1.0]))


def test_another_length_is_a_replacement():
    longer = dataclasses.replace(WSD(100, peak=1.0, decay=20), steps=1000)
    assert_array_equal(longer.rates()[:980], np.ones(980))
    assert longer.rates()[990] == 0.5


def test_concatenation_is_associative_and_keeps_later_ramps_as_rates():
    a, b, c = Constant(4, peak=1.0, warmup=2), Constant(3, peak=2.0, warmup=2), FromArray([0.5])
    assert (a + b) + c == a + (b + c) == Concatenation((a, b, c))
    assert (a + b).warmup == 2
    assert_array_equal((a + b).rates(), [0, 1, 1, 1, 0, 2, 2])
    with pytest.raises(TypeError):
        a + 1.0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Constant(0, peak=1.0), ValueError, "steps"),
        (lambda: Constant(2.5, peak=1.0), TypeError, "steps"),
        (lambda: Constant(True, peak=1.0), TypeError, "steps"),
        (lambda: Constant(5, peak=0.0), ValueError, "peak"),
        (lambda: Constant(5, peak=float("nan")), ValueError, "peak"),
        (lambda: Constant(5, peak="1"), TypeError, "peak"),
        (lambda: Constant(5, peak=1.0, warmup=5), ValueError, "warmup must lie between 0 and steps - 1 = 4"),
        (lambda: Constant(5, peak=1.0, warmup=-1), ValueError, "warmup"),
        (lambda: Constant(5, peak=1.0, ramp="t/w"), ValueError, "Did you mean 't/W'"),
        (lambda: Cosine(5, peak=1.0, end=2.0), ValueError, "above peak"),
        (lambda: Cosine(5, peak=1.0, end=-0.1), ValueError, "end"),
        (lambda: Cosine(5, peak=1.0, phase="i"), ValueError, "phase"),
        (lambda: WSD(5, peak=1.0, decay=6), ValueError, "decay must lie between 1 and the 5 steps"),
        (lambda: WSD(5, peak=1.0, decay=0), ValueError, "decay"),
        (lambda: WSD(5, peak=1.0, decay=0.2), TypeError, "decay"),
        (lambda: WSD(5, peak=1.0, decay=2, shape="liner"), ValueError, "Did you mean 'linear'"),
        (lambda: WSD(5, peak=1.0, decay=2, shape="exponential"), ValueError, "end > 0"),
        (lambda: MultiStep(9, peak=1.0, at=(3, 2), factors=(1, 1)), ValueError, "rise"),
        (lambda: MultiStep(9, peak=1.0, at=(3, 9), factors=(1, 1)), ValueError, "before step 9"),
        (lambda: MultiStep(9, peak=1.0, at=(3,), factors=(1, 1)), ValueError, "1 steps, but factors holds 2"),
        (lambda: MultiStep(9, peak=1.0, at=3, factors=(1,)), TypeError, "at must be a sequence"),
        (lambda: MultiStep(9, peak=1.0, at=(3,), factors=(0.0,)), ValueError, "above 0"),
        (lambda: TwoStage(9, peak=1.0, second=0.0, switch=3), ValueError, "second"),
        (lambda: TwoStage(9, peak=1.0, second=0.5, switch=9), ValueError, "switch"),
        (lambda: Cyclic(9, peak=1.0, period=1), ValueError, "period"),
        (lambda: FromArray([]), ValueError, "vector"),
        (lambda: FromArray([[1.0]]), ValueError, "vector"),
        (lambda: FromArray(["1"]), ValueError, "vector"),
        (lambda: FromArray([1.0, -1.0]), ValueError, r"rates\[1\] = -1.0"),
        (lambda: FromArray([1.0, np.inf]), ValueError, r"rates\[1\]"),
        (lambda: FromArray([1.0], warmup=1), ValueError, "warmup"),
        (lambda: Concatenation(()), ValueError, "empty"),
        (lambda: Concatenation(([1.0],)), TypeError, "schedules"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---------------------------------------------------------------- areas


def last(schedule, **options):
    S1, S2 = annealing_features(schedule, **options)
    return S1[-1], S2[-1]


def test_areas_of_a_short_schedule_at_every_step():
    S1, S2 = annealing_features(FromArray([1.0, 1.0, 0.5, 0.25, 0.25]), lam=0.9)
    assert_allclose(S1, [1.0, 2.0, 2.5, 2.75, 3.0], rtol=1e-12)
    assert_allclose(S2, [0.0, 0.0, 0.5, 1.2, 1.83], rtol=1e-12, atol=1e-15)


SPECIFIED = {
    "cosine": (
        Cosine(20500, peak=2e-4, end=2e-5, warmup=500),
        2.3000899999999933,
        0.17783384365783045,
    ),
    "linear WSD": (
        WSD(20500, peak=2e-4, decay=4000, phase="i/K", warmup=500),
        3.6998999999996696,
        0.15096303704038266,
    ),
    "80/10/10": (
        MultiStep(20500, peak=2e-4, at=(16500, 18500), factors=(10**-0.5, 0.1), warmup=500),
        3.4664911064068766,
        0.17165346718864202,
    ),
    "constant": (Constant(20500, peak=2e-4, warmup=500), 4.1, 0.0),
}


@pytest.mark.parametrize("name", SPECIFIED)
def test_areas_of_20000_steps_after_500_of_warm_up(name):
    """Worked values for lam = 0.999, warm-up at the peak rate as in the script of arXiv:2408.11029."""
    schedule, S1, S2 = SPECIFIED[name]
    assert last(schedule) == pytest.approx((S1, S2), rel=1e-9)


def double_sum(rates, lam):
    """S2 by its definition."""
    drops = np.concatenate([[0.0], rates[:-1] - rates[1:]])
    return np.array(
        [
            sum(drops[k] * lam ** (i - k) for i in range(s + 1) for k in range(i + 1))
            for s in range(rates.size)
        ]
    )


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.99])
def test_the_annealing_area_is_the_double_sum_of_its_definition(lam):
    rates = np.random.default_rng(3).uniform(0.1, 1.0, 30)
    _, S2 = annealing_features(FromArray(rates), lam=lam)
    assert_allclose(S2, double_sum(rates, lam), rtol=1e-12, atol=1e-14)


def test_one_drop_has_its_closed_form_and_plateau():
    drop, at, lam = 2e-4, 100, 0.99
    _, S2 = annealing_features(TwoStage(4000, peak=3e-4, second=1e-4, switch=at), lam=lam)
    s = np.arange(at, 4000)
    assert_allclose(S2[at:], drop * (1 - lam ** (s - at + 1)) / (1 - lam), rtol=1e-11)
    assert S2[-1] == pytest.approx(drop / (1 - lam), rel=1e-12)


def test_a_linear_decay_has_its_closed_form():
    lam, K, d = 0.999, 800, 1e-4 / 800
    _, S2 = annealing_features(WSD(1000, peak=1e-4, decay=K, phase="i/K"), lam=lam)
    n = np.arange(1, K + 1)
    expected = d / (1 - lam) * (n - lam * (1 - lam**n) / (1 - lam))
    assert_allclose(S2[200:], expected, rtol=1e-9)


def test_the_warm_up_counts_at_the_peak_or_with_its_own_rates_and_never_as_a_drop():
    schedule = Cosine(300, peak=1.0, warmup=100)
    S1_peak, S2_peak = annealing_features(schedule)
    S1_rates, S2_rates = annealing_features(schedule, warmup="rates")
    assert_array_equal(S2_peak, S2_rates)
    assert_array_equal(S2_peak[:101], np.zeros(101))
    assert_allclose(S1_rates, np.cumsum(schedule.rates()), rtol=1e-14)
    assert_allclose((S1_peak - S1_rates)[99:], 100 - np.linspace(0, 1, 100).sum(), rtol=1e-12)


def test_rates_that_rise_again_lower_the_annealing_area():
    up = TwoStage(50, peak=1.0, second=0.5, switch=20) + Constant(50, peak=1.0)
    _, S2 = annealing_features(up, lam=0.9)
    assert S2[49] == pytest.approx(0.5 * (1 - 0.9**30) / 0.1)
    assert abs(S2[-1]) < 0.03


def test_rates_known_at_every_tenth_step_are_scaled_to_whole_steps():
    """The momentum then starts at each tenth step: a drop ends at 10 d / (1 - lam^10), here 0.45 % above."""
    S1, S2 = last(TwoStage(2000, peak=2e-4, second=1e-4, switch=200), every=10)
    assert S1 == pytest.approx(10 * (200 * 2e-4 + 1800 * 1e-4), rel=1e-12)
    assert S2 == pytest.approx(1e-4 * 10 / (1 - 0.999**10), rel=1e-7)
    fine = Cosine(20000, peak=2e-4)
    S1, S2 = last(FromArray(fine.rates()[::10]), every=10)
    assert S1 == pytest.approx(last(fine)[0], rel=5e-4)
    assert S2 == pytest.approx(last(fine)[1] * 0.01 / (1 - 0.999**10), rel=1e-4)


def test_the_columns_of_a_table_are_the_areas_at_its_steps():
    schedules = {"a": Cosine(50, peak=1.0), "b": Constant(30, peak=0.5, warmup=10)}
    curve, step = np.array(["b", "a", "a", "b"]), np.array([29.0, 0, 49, 10])
    columns = annealing_columns(schedules, curve, step, lam=0.9)
    for row in range(4):
        S1, S2 = annealing_features(schedules[curve[row]], lam=0.9)
        assert (columns["S1"][row], columns["S2"][row]) == (S1[int(step[row])], S2[int(step[row])])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: annealing_features([1.0]), TypeError, "FromArray"),
        (lambda s: annealing_features(s, lam=1.0), ValueError, "lam"),
        (lambda s: annealing_features(s, lam="0.9"), ValueError, "lam"),
        (lambda s: annealing_features(s, warmup="peek"), ValueError, "Did you mean 'peak'"),
        (lambda s: annealing_features(s, every=0), ValueError, "every"),
        (lambda s: annealing_columns({"a": s}, ["a", "b"], [0, 0]), sl.DataError, "curve 'b' in row 1"),
        (lambda s: annealing_columns({"cos": s}, ["coz"], [0]), sl.DataError, "Did you mean 'cos'"),
        (lambda s: annealing_columns({"a": s}, ["a"] * 2, [0, 9]), sl.DataError, "step 9 in row 1.*0 to 8"),
        (lambda s: annealing_columns({"a": s}, ["a"], [-1]), sl.DataError, "step -1 in row 0"),
        (lambda s: annealing_columns({"a": s}, ["a"], [0.5]), sl.DataError, "row 0 has 0.5"),
        (lambda s: annealing_columns({"a": s}, ["a"], [np.nan]), sl.DataError, "row 0 has nan"),
        (lambda s: annealing_columns({"a": s}, ["a"], ["0"]), sl.DataError, "whole numbers"),
        (lambda s: annealing_columns({"a": s}, ["a"], [0, 1]), sl.DataError, "equally long"),
        (lambda s: annealing_columns({"a": s}, [], []), sl.DataError, "empty"),
        (lambda s: annealing_columns({"a": s.rates()}, ["a"], [0]), TypeError, "Schedule"),
        (lambda s: annealing_columns(s, ["a"], [0]), TypeError, "maps"),
        (lambda s: fit_annealing({"a": s}, ["a"], [0], [1.0], lams=()), ValueError, "lams"),
    ],
)
def test_bad_input_of_the_features_names_argument_and_row(call, error, message):
    with pytest.raises(error, match=message):
        call(Constant(9, peak=1.0))


# ---------------------------------------------------------------- fits

# Validation losses every 1,000 steps of two runs of 20,000 steps, 500 of them warm-up, peak rate 2e-4: the
# example in the fitting script of Tissue et al. 2024, arXiv:2408.11029.
EXAMPLE = {
    "cosine": [
        3.6696358, 3.3254106, 3.1908393, 3.1158533, 3.0604768, 3.020384, 2.9880967, 2.9612265,
        2.9395165, 2.9195616, 2.9030452, 2.8881907, 2.8767889, 2.8654318, 2.8565135, 2.8489892,
        2.843639, 2.8398669, 2.8380618, 2.8376071,
    ],
    "constant": [
        3.6714418, 3.325626, 3.1884103, 3.111947, 3.058354, 3.0211415, 2.9874816, 2.96082, 2.9406552,
        2.9241402, 2.9054413, 2.8942103, 2.8807929, 2.8702695, 2.862175, 2.8530996, 2.8448784,
        2.8383856, 2.8326995, 2.8294308,
    ],
}  # fmt: skip


def test_the_example_of_the_annealing_law_comes_out_again():
    """Objective and coefficients of a refit with lam = 0.999, from the 54 starts of the authors' script."""
    schedules = {
        "cosine": Cosine(20000, peak=2e-4, warmup=500, phase="i/K"),
        "constant": Constant(20000, peak=2e-4, warmup=500),
    }
    curve = np.repeat(["cosine", "constant"], 20)
    step = np.tile(np.arange(999, 20000, 1000), 2)
    columns = annealing_columns(schedules, curve, step)
    assert columns["S1"][[19, 39]] == pytest.approx([2.0499, 4.0], rel=1e-9)
    assert columns["S2"][[19, 39]] == pytest.approx([0.19747384, 0.0], rel=1e-6)
    best = fit_annealing(
        schedules, curve, step, [*EXAMPLE["cosine"], *EXAMPLE["constant"]], lams=(0.999,), starts="paper"
    )
    assert best.fit.valid
    assert best.fit.starts.n == 54
    assert best.fit.objective == pytest.approx(1.62432115e-5, rel=1e-7)
    expected = {"L0": 2.6275818, "A": 0.42983, "alpha": 0.5493955, "C": 0.4108084}
    for name, value in expected.items():
        assert best.fit.values[name] == pytest.approx(value, rel=2e-6), name


def test_the_decay_factor_is_the_one_of_the_lowest_objective():
    schedules = {"flat": Constant(9000, peak=2e-4), "wsd": WSD(9000, peak=2e-4, decay=2000)}
    curve, step = np.repeat(["flat", "wsd"], 40), np.tile(np.arange(224, 9000, 225), 2)
    truth = {"L0": 2.6, "A": 0.4, "alpha": 0.5, "C": 0.4}
    L = sl.laws.lr_annealing(**truth, **annealing_columns(schedules, curve, step, lam=0.9995))
    best = fit_annealing(schedules, curve, step, L, starts=64)
    assert best.lam == 0.9995
    assert not best.at_edge
    assert best.fit.values == pytest.approx(truth, rel=1e-6)
    assert set(best.objectives) == {0.99, 0.995, 0.999, 0.9995, 0.9999}
    assert best.objectives[0.9995] == min(best.objectives.values()) == best.fit.objective
    assert fit_annealing(schedules, curve, step, L, lams=(0.9995, 0.9999), starts=64).at_edge


def test_a_constant_curve_alone_does_not_determine_the_annealing_law():
    schedules = {"flat": Constant(9000, peak=2e-4)}
    step = np.arange(224, 9000, 225)
    L = sl.laws.lr_annealing(
        L0=2.6, A=0.4, alpha=0.5, C=0.4, **annealing_columns(schedules, ["flat"] * step.size, step)
    )
    with pytest.warns(sl.FitWarning, match="C") as caught:
        best = fit_annealing(schedules, ["flat"] * step.size, step, L, starts=32)
    assert len(caught) == 1
    assert not best.fit.valid


# Fitted on three curves with the decay factor from the default list: the objective, and the mean absolute
# error in nats over six others.
WHOLE_CURVES = {
    ("100M", "peak"): (2.6631600e-4, 0.00622),
    ("100M", "rates"): (1.2409503e-4, 0.00467),
    ("400M", "peak"): (3.2567338e-4, 0.00658),
    ("400M", "rates"): (2.2897531e-4, 0.00646),
}


@pytest.mark.parametrize(("model", "warmup"), WHOLE_CURVES)
def test_the_annealing_law_predicts_six_schedules_from_three(read_table, model, warmup):
    """Curves of Luo et al. 2025. There the warm-up is a tenth of the run, and its own rates fit better."""
    schedules = mpl_schedules(read_table("mpl_schedules.csv"))
    rows, later = (read_table("mpl_curves.csv", model=model, split=split) for split in ("fit", "test"))
    best = fit_annealing(schedules, rows["curve"], rows["step"], rows["L"], warmup=warmup, starts=128)
    objective, error = WHOLE_CURVES[model, warmup]
    assert best.fit.valid
    assert best.lam == 0.999
    assert best.fit.objective == pytest.approx(objective, rel=1e-6)
    columns = annealing_columns(schedules, later["curve"], later["step"], lam=best.lam, warmup=warmup)
    missed = np.abs(best.fit.predict(columns).mean - later["L"])
    by_curve = [missed[later["curve"] == curve].mean() for curve in np.unique(later["curve"])]
    assert len(by_curve) == 6
    assert np.mean(by_curve) == pytest.approx(error, abs=1e-5)
