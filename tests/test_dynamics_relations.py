"""Laws of training dynamics and the like: limits, units and relations between laws that the catalogue states.

Held against closed forms, another law, or another computation; the tables stand in test_published_dynamics.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

laws = sl.laws


def published(law, *words):
    """Return the printed values whose source or notes hold every word."""
    found = [p.values for p in law.published if all(word in f"{p.source} {p.notes}" for word in words)]
    assert len(found) == 1, (words, len(found))
    return dict(found[0])


# ---- batch size --------------------------------------------------------------------------------------------


def test_steps_and_data_are_one_trade_off():
    s_min, b_crit = 2000.0, 3000.0
    batch = np.geomspace(1.0, 1e6, 13)
    steps = laws.batch_steps(B=batch, S_min=s_min, B_crit=b_crit)
    data = laws.batch_data(B=batch, D_min=s_min * b_crit, B_crit=b_crit)
    assert_allclose(data, batch * steps, rtol=1e-14)
    assert_allclose((steps / s_min - 1) * (data / (s_min * b_crit) - 1), 1.0, rtol=1e-9)
    assert laws.batch_steps(B=b_crit, S_min=s_min, B_crit=b_crit) == pytest.approx(2 * s_min)
    assert laws.batch_data(B=b_crit, D_min=s_min * b_crit, B_crit=b_crit) == pytest.approx(2 * s_min * b_crit)
    # The batch that fits into a limit of steps.
    limit, d_min = 5000.0, s_min * b_crit
    needed = d_min / (limit - d_min / b_crit)
    assert laws.batch_data(B=needed, D_min=d_min, B_crit=b_crit) / needed == pytest.approx(limit, rel=1e-13)


def test_batches_far_below_the_critical_one_leave_it_open():
    batch = np.geomspace(1e-9, 1e-8, 9)
    rows = {"B": batch, "D": laws.batch_data(B=batch, D_min=1e10, B_crit=2000.0)}
    with pytest.warns(sl.FitWarning, match="B_crit"):
        assert not sl.fit("batch_data", rows).valid


def test_critical_batch_falls_as_the_printed_power_of_the_loss():
    values = published(laws.critical_batch_loss, "MiniCPM")
    assert laws.critical_batch_loss(L=3.0, **values) == pytest.approx(1.21e9 / 3.0**6.24, rel=1e-12)
    kaplan = published(laws.critical_batch_loss, "Kaplan")
    assert laws.critical_batch_loss(L=1.0, **kaplan) == 2e8
    # Kaplan et al. 2020, section 5.1: the critical batch doubles for each 13 % of loss.
    halved = laws.critical_batch_loss(L=3.0 * 0.87, **kaplan) / laws.critical_batch_loss(L=3.0, **kaplan)
    assert halved == pytest.approx(2.0, rel=0.04)


# ---- AdamW time scale --------------------------------------------------------------------------------------


def test_weight_decay_is_the_time_scale_solved_for_it():
    values = published(laws.adamw_timescale, "Bergsma")
    assert values == published(laws.weight_decay_opt, "Bergsma")
    rows = {"N": np.array([1.11e8, 6.1e8, 3.3e9]), "D": np.array([2.2e10, 1.2e10, 6.6e10])}
    batch, eta = 5e5, 2e-3
    decay = laws.weight_decay_opt(B=batch, eta=eta, **rows, **values)
    assert_allclose(batch / (eta * decay * rows["D"]), laws.adamw_timescale(**rows, **values), rtol=1e-14)


def test_time_scale_of_the_papers_examples():
    values = published(laws.adamw_timescale, "Bergsma")

    def tau(tokens_per_parameter):
        return laws.adamw_timescale(N=6.1e8, D=6.1e8 * tokens_per_parameter, **values)

    assert tau(1.0) == pytest.approx(1.0, abs=0.1)
    assert tau(1000.0) == pytest.approx(0.03, abs=0.003)
    # Measured at 610M and 20 tokens per parameter: about 0.21 for batches of 63 to 2016 sequences.
    assert tau(20.0) == pytest.approx(0.21, rel=0.07)
    decay = laws.weight_decay_opt(B=252 * 2048.0, eta=0.016 / 8, D=1.22e10, N=6.1e8, **values)
    assert decay == pytest.approx(0.095, abs=5e-4)


def test_weight_decay_scales_with_batch_rate_and_data_as_stated():
    values = published(laws.weight_decay_opt, "Bergsma")
    row = {"B": 5e5, "eta": 2e-3, "D": 1.2e10, "N": 6.1e8}
    slope = laws.weight_decay_opt.gradient(**row, **values, wrt=("B", "eta", "D"))
    elastic = slope * [row["B"], row["eta"], row["D"]] / laws.weight_decay_opt(**row, **values)
    assert_allclose(elastic, [1.0, -1.0, -0.473], rtol=1e-12)


# ---- noise scale and surge ---------------------------------------------------------------------------------


def test_noise_scale_rule_is_linear_below_and_constant_above():
    v = {"eta_max": 0.1, "B_noise": 1024.0, "a": 1.0}
    low = laws.noise_scale_lr(B=[1e-3, 4e-3], **v)
    assert low[1] / low[0] == pytest.approx(4.0, rel=1e-5)
    assert laws.noise_scale_lr(B=1e12, **v) == pytest.approx(0.1, rel=1e-8)
    root = laws.noise_scale_lr(B=[1e-3, 4e-3], **{**v, "a": 0.5})
    assert root[1] / root[0] == pytest.approx(2.0, rel=1e-5), "the square root rule of adaptive optimisers"


def test_surge_is_symmetric_about_its_peak_and_a_square_root_below():
    v = {"eta_max": 1e-3, "B_noise": 256.0}
    factor = np.array([1.5, 4.0, 16.0])
    assert_allclose(laws.surge(B=256 * factor, **v), laws.surge(B=256 / factor, **v), rtol=1e-13)
    peak = minimize_scalar(lambda z: -laws.surge(B=np.exp(z), **v), bounds=(0.0, 12.0), method="bounded")
    assert np.exp(peak.x) == pytest.approx(256.0, rel=1e-4)
    assert -peak.fun == pytest.approx(1e-3, rel=1e-9)
    low = laws.surge(B=[1e-6, 4e-6], **v)
    assert low[1] / low[0] == pytest.approx(2.0, rel=1e-6)


def test_surge_below_the_noise_scale_says_that_only_one_number_is_known():
    batch = np.geomspace(1e-7, 1e-5, 10)
    rows = {"B": batch, "eta_opt": laws.surge(B=batch, eta_max=1e-3, B_noise=256.0)}
    with pytest.warns(sl.FitWarning, match=r"eta_max.*B_noise|B_noise.*eta_max"):
        fit = sl.fit("surge", rows)
    assert not fit.valid
    assert fit.values["eta_max"] / np.sqrt(fit.values["B_noise"]) == pytest.approx(1e-3 / 16, rel=1e-6)


# ---- reinforcement learning --------------------------------------------------------------------------------


def test_budget_optimum_of_value_based_learning_is_the_released_one():
    """Gym, J = 800: ratio 6.288, 3.207e5 steps, 1.9095e15 FLOPs with a step priced at 4e9."""
    values = published(laws.value_rl, "fitted hyperparameters")
    batch = {"c": 365.95011362155327, "a1": -0.3096094744219379, "a2": 0.0}

    def budget(log_sigma):
        sigma = np.exp(log_sigma)
        size = laws.power_product(x1=sigma, x2=1.0, **batch)
        return (10 * 1.5e5 * size * sigma + 4e9) * laws.value_rl(sigma=sigma, **values)

    best = minimize_scalar(budget, bounds=(-3, 5), method="bounded", options={"xatol": 1e-10})
    assert np.exp(best.x) == pytest.approx(6.288267158810235, rel=1e-7)
    assert laws.value_rl(sigma=np.exp(best.x), **values) == pytest.approx(320743.3170484155, rel=1e-7)
    assert best.fun == pytest.approx(1909542389020278.8, rel=1e-12)


def test_ratio_beta_needs_twice_the_floor():
    for entry in laws.value_rl.published:
        v = dict(entry.values)
        assert laws.value_rl(sigma=v["beta"], **v) == pytest.approx(2 * v["D_min"], rel=1e-13)
        assert laws.value_rl(sigma=1e15, **v) == pytest.approx(v["D_min"], rel=1e-9)


def test_fitted_hyperparameters_save_data_at_every_ratio_and_most_at_high_ones():
    tuned, held = (published(laws.value_rl, words) for words in ("fitted hyperparameters", "held at"))
    sigma = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    share = laws.value_rl(sigma=sigma, **tuned) / laws.value_rl(sigma=sigma, **held)
    assert share[0] == pytest.approx(0.943, abs=1e-3)
    assert (np.diff(share) < 0).all()
    assert tuned["D_min"] / held["D_min"] == pytest.approx(0.537, abs=1e-3)


# ---- density, adoption, sparsity ---------------------------------------------------------------------------


def test_effective_size_runs_through_both_densing_laws():
    """Score 0.62 of a 7B model: loss 0.35133, reference size 4.557e7, density 0.00651 (entry densing)."""
    size = 45574646.73731993
    loss = laws.densing_loss(N=size, D=1e12, a=3.0, alpha=0.15, b=20.0, beta=0.18)
    assert loss == pytest.approx(0.35133341235410803, rel=1e-12)
    score = laws.densing_performance(L=loss, c=0.75, gamma=-20.0, l=0.35, d=0.25)
    assert score == pytest.approx(0.62, rel=1e-12)
    assert size / 7e9 == pytest.approx(0.006510663819617133, rel=1e-12)


def test_density_doubles_in_95_days():
    start, later = laws.densing_growth(t=[100.0, 195.0], A=0.0073, B=-2.0)
    assert later / start == pytest.approx(2.0, rel=1e-3)


def test_adoption_in_years_is_sensible_and_in_months_is_not():
    gemma = published(laws.adoption_curve, "gemma-7b")
    assert laws.adoption_curve(t=11 / 12, **gemma) == pytest.approx(1.1e4, rel=0.03)
    assert laws.adoption_curve(t=11.0, **gemma) == pytest.approx(5.7e5, rel=0.01)
    # A month is a unit smaller by 12: mu grows by log(12).
    months = {**gemma, "mu": gemma["mu"] + np.log(12)}
    t = np.array([0.25, 1.0, 3.0])
    assert_allclose(laws.adoption_curve(t=12 * t, **months), laws.adoption_curve(t=t, **gemma), rtol=1e-12)


def test_adoption_ends_at_its_ceiling_unless_that_overflows():
    v = {"m": 30.0, "fit": 2.0, "mu": 1.0, "sigma": 0.8}
    assert laws.adoption_curve(t=1e12, **v) == pytest.approx(30 * np.expm1(2.0), rel=1e-12)
    runaway = published(laws.adoption_curve, "whisper")
    assert np.isinf(laws.adoption_curve(t=1e300, **runaway))
    assert 1e3 < laws.adoption_curve(t=1.0, **runaway) < 1e4


def test_adoption_curve_holds_its_scale_unless_it_is_freed():
    t = np.arange(1, 25) / 12
    rows = {"t": t, "c": laws.adoption_curve(t=t, fit=3.0, mu=0.5, sigma=1.0)}
    fit = sl.fit("adoption_curve", rows)
    assert fit.values["m"] == 1.0
    assert fit.nfree == 3
    other = {"t": t, "c": laws.adoption_curve(t=t, m=30.0, fit=3.0, mu=0.5, sigma=1.0)}
    assert sl.fit("adoption_curve", other, fixed={"m": 30}).values["fit"] == pytest.approx(3.0, rel=1e-8)


# Rows of Table 2 that are not among the published sets, in the order alpha, b, c, A0 (SiLU: alpha, c, A0).
RELU_MORE = {"0.2B": (0.449, -3.05, 0.286, 0.0674), "0.8B": (1.01, -3.49, 0.00797, 0.0721)}


def test_activation_ratio_of_relu_falls_to_six_to_eight_percent():
    sets = [dict(entry.values) for entry in laws.sparsing_relu.published]
    sets += [dict(zip(("alpha", "b", "c", "A0"), row, strict=True)) for row in RELU_MORE.values()]
    assert len(sets) == 6
    for values in sets:
        ratio = laws.sparsing_relu(D=[1.0, 10.0, 100.0, 1e5], **values)
        assert (np.diff(ratio) < 0).all()
        assert 0.0674 < ratio[2] < 0.0918
        assert ratio[3] == pytest.approx(values["A0"], abs=1e-4)
        assert 0.06 < values["A0"] < 0.08
        # Tokens as counts would put every model at its limit from the first step.
        assert laws.sparsing_relu(D=1e12, **values) == pytest.approx(values["A0"], abs=1e-6)


def test_activation_ratio_of_silu_rises_and_stays_far_above_that_of_relu():
    sets = [dict(entry.values) for entry in laws.sparsing_silu.published]
    sets.append({"alpha": 0.995, "c": 0.562, "A0": 0.383})
    for values in sets:
        ratio = laws.sparsing_silu(D=[2.0, 10.0, 100.0, 1e9], **values)
        assert (np.diff(ratio) > 0).all()
        assert 0.37 < ratio[2] < 0.41
        assert ratio[3] == pytest.approx(values["A0"], abs=1e-4)
        zero = (values["c"] / values["A0"]) ** (1 / values["alpha"])
        assert laws.sparsing_silu(D=zero, **values) == pytest.approx(0.0, abs=1e-15)


# ---- physics -----------------------------------------------------------------------------------------------


def test_deposition_vanishes_at_the_threshold_faster_than_any_power():
    v = {"A": 1.2, "B": 0.8, "Stc": 0.125}
    assert_allclose(laws.deposition_critical(St=[0.01, 0.1, 0.125], **v), 0.0)
    above = np.array([1e-4, 1e-3, 1e-2, 1e-1])
    slope = laws.deposition_critical.gradient(St=0.125 + above, **v, wrt="St")[:, 0]
    local = above * slope / laws.deposition_critical(St=0.125 + above, **v)
    # d log(eta) / d log(St - Stc) = B / 2 / sqrt(St - Stc), without bound.
    assert_allclose(local, 0.4 / np.sqrt(above), rtol=1e-9)


def test_deposition_is_a_straight_line_in_the_inverse_root_once_the_threshold_is_held():
    stokes = np.linspace(0.15, 0.6, 12)
    eta = 0.9 * np.exp(-0.55 / np.sqrt(stokes - 0.125)) * np.exp(0.02 * np.sin(40 * stokes))
    fit = sl.fit("deposition_critical", {"St": stokes, "eta": eta}, fixed={"Stc": 0.125})
    slope, intercept = np.polyfit(1 / np.sqrt(stokes - 0.125), np.log(eta), 1)
    assert [fit.values["B"], np.log(fit.values["A"])] == pytest.approx([-slope, intercept], rel=1e-9)


def test_bent_spectrum_has_the_slopes_of_both_sides_and_no_bend_far_above():
    v = {"A": 1.5e-15, "alpha": -2 / 3, "f_bend": 1e-8, "kappa": 10 / 3}
    ref = 3.168808781402895e-08

    def slope(f):
        return f * laws.science_power_laws.gradient(f=f, f_ref=ref, **v, wrt="f")[0] / law(f)

    def law(f):
        return laws.science_power_laws(f=f, f_ref=ref, **v)

    assert slope(1e-2) == pytest.approx(-2 / 3, rel=1e-9)
    assert slope(1e-14) == pytest.approx(-2 / 3 + 5 / 3, rel=1e-9)
    plain = laws.power_product(x1=1e-3 / ref, x2=1.0, c=1.5e-15, a1=-2 / 3, a2=0.0)
    assert law(1e-3) == pytest.approx(plain, rel=1e-9)
    assert law(1e-8) == pytest.approx(plain * (1e-8 / 1e-3) ** (-2 / 3) / np.sqrt(2), rel=1e-9)


# ---- templates over columns --------------------------------------------------------------------------------


def test_product_of_powers_over_three_named_columns_is_regression_in_logs():
    """As for black-hole masses, log M against the logs of three properties."""
    law = laws.power_product.over(i=("sigma", "bulge", "rho"))
    assert law.inputs == ("x_sigma", "x_bulge", "x_rho")
    assert list(law.params) == ["c", "a_sigma", "a_bulge", "a_rho"]
    rng = np.random.default_rng(4)
    logs = rng.normal(size=(40, 3)) * [0.3, 0.5, 1.0]
    y = 8.0 + logs @ [3.5, 0.4, -0.2] + 0.083 * np.log(10) * rng.normal(size=40)
    columns = dict(zip(law.inputs, np.exp(logs).T, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = sl.fit(law, {**columns, "y": np.exp(y)})
    exact = np.linalg.lstsq(np.column_stack([np.ones(40), logs]), y, rcond=None)[0]
    assert_allclose([np.log(fit.values["c"]), *list(fit.values.values())[1:]], exact, rtol=1e-9)


def test_one_column_above_a_floor_is_the_power_law_with_a_floor():
    law = laws.power_product_offset.over(i=("m",))
    x = np.geomspace(1e2, 1e6, 9)
    assert_allclose(
        law(x_m=x, E=1.7, c=40.0, a_m=-0.3), laws.power_law_floor(x=x, E=1.7, A=40.0, alpha=0.3), rtol=1e-14
    )
