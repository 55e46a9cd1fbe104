"""Published fits of size, token and compute laws on measured runs.

Numbers stand in the README of the data folder, with the papers they come from; "check fit" means a plain
SciPy fit of the same rows. Each test says whether ours is equal to what was published, or lower.
"""

from __future__ import annotations

import math

import measured
import numpy as np
import pytest
import scalinglaws as sl
from measured import chosen, isoflop, objective, same_digits
from numpy.testing import assert_allclose


def agree(ours, printed):
    """Tell whether every number rounds to its printed digits."""
    return [same_digits(x, text) for x, text in zip(ours, printed.split(), strict=True)] == [True] * len(ours)


# ---- chinchilla_epoch.csv ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "printed"), [(0, "0.00412101"), (1, "0.00123116"), (2, "0.00102284"), (3, "0.0010182740346")]
)
def test_published_chinchilla_sets_have_the_stated_objectives_and_ours_is_lower(read_table, index, printed):
    """Ours is lower than all four, by 4.0, 1.2, 1.004 and 1.00000002 times."""
    runs = read_table("chinchilla_epoch.csv", excluded="0")
    law = sl.laws.chinchilla
    there = objective(law, runs, law.published[index].values, sl.huber(1e-3))
    assert same_digits(there, printed)
    assert sl.fit(law, runs).objective < there


# ---- gemstones.csv: McLeish et al. 2025 --------------------------------------------------------------------

COLUMNS = {"w": "width", "d": "depth", "T": "D"}
ND = ("E", "A", "B", "alpha", "beta")
SHAPE = ("E", "A", "B", "F", "alpha", "beta", "zeta")
FULL = ("E", "A", "B", "C", "F", "alpha", "beta", "gamma", "zeta")
# Law, rows, delta; published exponents, log coefficients, log E and objective; our objective.
GEMSTONES = {
    "N, D": (
        "chinchilla", "", 1e-4,
        (0.2575546364, 0.5909317455), (4.8761769847, 12.6984060933), 0.6655226816,
        "0.00069233", 0.000692328908,
    ),
    "N, D, wide Huber": (
        "chinchilla", "", 1e-3,
        (0.2591125694, 0.5972679073), (4.9008415415, 12.850969215), 0.6681624725,
        "0.0065925344", 0.006592534165,
    ),
    "N, D, up to 1e11 tokens": (
        "chinchilla", "1", 1e-4,
        (0.2989180518, 0.6928331414), (5.4574988414, 14.9719740349), 0.7663168139,
        "0.0002076018", 0.000207505156,
    ),
    "width, depth, D": (
        "gemstones_width_depth", "", 1e-4,
        (0.2607743843, 0.1418010881, 0.5420589921), (2.1161206619, 0.7321112501, 11.5418232414), -155.54,
        "0.0004199462", 0.000419946172,
    ),
    "width, depth, N, D": (
        "gemstones_width_depth", "", 1e-4,
        (0.2195783536, 0.4758917337, 0.3636454068, 0.4935127042),
        (1.082043835, -0.2186969889, 6.0902355695, 10.4720427681), 0.4282048563,
        "0.0002949708", 0.000294805276,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GEMSTONES)
def test_every_gemstones_objective_is_reached_or_undercut(read_table, case):
    """Equal to the printed digits for (N, D) and (width, depth, D) with delta 1e-4, else lower."""
    name, within, delta, exponents, logs, log_E, printed, ours = GEMSTONES[case]
    runs = read_table("gemstones.csv", **({"within_100B": within} if within else {}))
    assert len(runs["L"]) == (220 if within else 770)
    law, options = sl.laws[name], {}
    if name == "gemstones_width_depth":
        runs = {**runs, **{key: runs[column] for key, column in COLUMNS.items()}}
    if len(exponents) == 3:
        # No term in N, and a floor that the released fit takes to exp(-155).
        options["fixed"] = {"C": 0.0, "gamma": 0.5, "E": 0.0}
    fit = sl.fit(law, runs, loss=sl.huber(delta), **options)
    assert fit.valid
    assert fit.objective == pytest.approx(ours, abs=6e-13)
    assert fit.objective <= float(printed) or same_digits(fit.objective, printed)
    assert fit.starts.share > 0.9
    names = {2: ND, 3: SHAPE, 4: FULL}[len(exponents)]
    values = dict(zip(names, (math.exp(log_E), *np.exp(logs), *exponents), strict=True))
    there = objective(
        law, runs, {"C": 0.0, "gamma": 0.5, **values} if len(exponents) == 3 else values, fit.loss
    )
    assert same_digits(there, printed)
    assert fit.objective < there


def test_gemstones_coefficients_are_those_of_the_check_fit(read_table):
    fit = sl.fit("chinchilla", read_table("gemstones.csv"), loss=sl.huber(1e-4))
    logs = [math.log(fit.values[name]) for name in ("A", "B", "E")]
    assert agree([fit.values["alpha"], fit.values["beta"], *logs], "0.25769 0.58954 4.87815 12.66629 0.66562")
    assert same_digits(math.sqrt(np.mean(fit.residuals**2)), "0.0153")
    hot = sl.fit("chinchilla", read_table("gemstones.csv", within_100B="1"), loss=sl.huber(1e-4))
    logs = [math.log(hot.values[name]) for name in ("A", "B", "E")]
    assert agree([hot.values["alpha"], hot.values["beta"], *logs], "0.29279 0.72890 5.35817 15.77202 0.76520")


def test_gemstones_without_parameters_has_no_floor_and_says_so(read_table):
    with pytest.warns(sl.FitWarning):
        fit = sl.fit(
            "gemstones_width_depth",
            read_table("gemstones.csv"),
            columns=COLUMNS,
            fixed={"C": 0.0, "gamma": 0.5},
        )
    assert not fit.valid
    assert fit.values["E"] < 1e-9
    assert fit.objective == pytest.approx(0.000419946172, abs=6e-13)


# ---- isoflop.csv: Llama 3, and Chinchilla as in ml-scalefit ------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "budgets", "printed"), [("all", 10, "0.53678 0.29936"), ("kept", 8, "0.5000 1.592")]
)
def test_optimal_tokens_of_llama_3_are_those_of_the_check_fit(read_table, rows, budgets, printed):
    """Equal. The paper prints 0.53 and 0.29, cut to two digits, for points that were read off its figure."""
    runs = read_table("isoflop.csv", experiment="llama_3")
    if rows == "kept":
        runs = chosen(runs, runs["outlier"] == 0)
    fit = isoflop(runs["C"], runs["D"], runs["L"])
    assert fit.nobs == budgets
    assert agree([fit.values["a1"], fit.values["c"]], printed)


def test_llama_3_extrapolates_to_sixteen_trillion_tokens(read_table):
    """16.10e12 at 3.8e25 FLOPs. The paper has 16.55e12, which its own printed pair does not give."""
    runs = read_table("isoflop.csv", experiment="llama_3")
    fit = isoflop(runs["C"], runs["D"], runs["L"])
    a, A = fit.values["a1"], fit.values["c"]
    assert same_digits(A * 3.8e25**a, "16.10e12")
    assert [math.floor(100 * a), math.floor(100 * A)] == [53, 29]
    assert 0.29 * 3.8e25**0.53 == pytest.approx(10.5e12, rel=5e-3)


SURFACES = {
    "llama_3": (116, "62.82 192.8 0.61139 0.31372 0.32535", "0.00027595", "0.0039"),
    "chinchilla_mlscalefit": (89, "491.6 4823 1.85064 0.34783 0.40707", "0.00038626", "0.0077"),
}


@pytest.mark.parametrize("experiment", SURFACES)
def test_loss_surface_of_isoflop_runs_is_that_of_the_check_fit(read_table, experiment):
    """Equal."""
    rows, coefficients, minimum, rms = SURFACES[experiment]
    fit = sl.fit("chinchilla", read_table("isoflop.csv", experiment=experiment, outlier="0"))
    assert fit.valid
    assert fit.nobs == rows
    assert agree([fit.values[name] for name in ("A", "B", "E", "alpha", "beta")], coefficients)
    assert same_digits(fit.objective, minimum)
    assert same_digits(math.sqrt(np.mean(fit.residuals**2)), rms)


def test_optimal_size_and_tokens_of_chinchilla_points_are_those_of_the_check_fit(read_table):
    """Equal."""
    runs = read_table("isoflop.csv", experiment="chinchilla_mlscalefit", outlier="0")
    sizes, tokens = (isoflop(runs["C"], runs[x], runs["L"]) for x in ("N", "D"))
    assert agree([sizes.values["c"], sizes.values["a1"]], "0.01317 0.5415")
    assert agree([tokens.values["c"], tokens.values["a1"]], "13.19 0.4570")


# ---- xlstm_transformer_isoflop.csv: Beck et al. 2025 -------------------------------------------------------


@pytest.mark.parametrize(
    ("ctx", "budget", "printed"),
    [(8192, "budget", "0.5733 0.4231"), (2048, "budget", "0.5515 0.4212"), (8192, "mean_C", "0.575 0.424")],
)
def test_exponents_of_transformer_isoflops(read_table, ctx, budget, printed):
    """Equal: to the check fit by nominal budgets, to the paper by the mean compute that was computed."""
    runs = measured.isoflop_of_transformers(read_table, ctx)
    assert len(runs["L"]) == {8192: 107, 2048: 84}[ctx]
    found = [isoflop(runs[budget], runs[x], runs["L"]).values["a1"] for x in ("N", "D")]
    assert agree(found, printed)


def test_loss_surfaces_of_transformer_isoflops_are_those_of_the_check_fit(read_table):
    """Equal."""
    long, short = (
        sl.fit("chinchilla", measured.isoflop_of_transformers(read_table, n)) for n in (8192, 2048)
    )
    found = [long.values[name] for name in ("A", "B", "E", "alpha", "beta")]
    assert agree(found, "2.92e4 1.89e7 2.4846 0.5896 0.7972")
    assert agree([short.values[name] for name in ("alpha", "beta", "E")], "0.640 0.904 2.552")
    assert agree([math.sqrt(np.mean(fit.residuals**2)) for fit in (long, short)], "0.0068 0.0044")


# ---- porian_*.csv: Porian et al. 2024 ----------------------------------------------------------------------

PORIAN = {
    "1_kaplan": "0.833768 4.5098e-8 0.835300",
    "2_last_layer": "0.700899 1.61058e-5 0.706470",
    "3_warmup": "0.603528 1.34216e-3 0.602038",
    "4_cosine": "0.571425 4.78143e-3 0.571495",
    "5_tuned": "0.497029 0.118199 0.496895",
    "6_kaplan_tuned": "0.708059 1.03277e-5 0.711488",
}


@pytest.mark.parametrize("stage", PORIAN)
def test_exponent_of_the_optimal_size_from_kaplan_to_chinchilla(read_table, stage):
    """Equal: exponent and factor by plain least squares, exponent with numpy.polyfit's weights 1/std."""
    runs = read_table("porian_optimal.csv", stage=stage)
    law = sl.laws.power_product.over(i=("C",))
    table = {"x_C": runs["C"], "y": runs["N_opt"]}
    plain = sl.fit(law, table)
    weighted = sl.fit(law, table, weights=1.0 / runs["N_opt_logstd"] ** 2)
    assert agree([plain.values["a_C"], plain.values["c"], weighted.values["a_C"]], PORIAN[stage])


def test_loss_surface_of_each_stage_near_its_optimum(read_table):
    """Equal to the check fits: rms of six stages, coefficients of one."""
    found = []
    for stage in PORIAN:
        runs = measured.near_the_best(read_table("porian_isoflop.csv", stage=stage), 0.25)
        fit = sl.fit("chinchilla", runs)
        found.append(math.sqrt(np.mean(fit.residuals**2)))
        if stage == "4_cosine":
            values = [fit.values[name] for name in ("A", "B", "E", "alpha", "beta")]
            assert agree(values, "897.6 73712 2.5633 0.4019 0.5668")
    assert agree(found, "0.018 0.025 0.016 0.013 0.034 0.022")


# ---- overtraining.csv: Gadre et al. 2024 -------------------------------------------------------------------

# Loss a N**p + b 6**(p/2) D**p + E, then error eps - k exp(-gamma L) of 17 and 46 tasks.
GADRE = {
    "c4": ("113.69 189.52 -0.24247 1.50826", "2.0789 0.75612 0.84974", None),
    "redpajama": ("166.21 366.69 -0.27285 1.83665", "2.2065 0.71459 0.85699", "1.3229 0.89071 0.76085"),
}


def two_steps(read_table, train_set, errors="err_avg17"):
    runs = read_table("overtraining.csv", train_set=train_set)
    loss = sl.fit("overtraining", chosen(runs, runs["loss_fit"] == 1))
    used = chosen(runs, (runs["loss_fit"] == 1) | (runs["role"] == "error_fit_only"))
    return loss, sl.fit("downstream_error", used, columns={"Err": errors})


@pytest.mark.parametrize("train_set", GADRE)
def test_coefficients_of_both_steps_are_those_of_the_check_fit(read_table, train_set):
    """Equal."""
    first, second, other = GADRE[train_set]
    loss, error = two_steps(read_table, train_set)
    v = loss.values
    assert agree([v["a"] * 6.0 ** -v["eta"], v["b"], -2.0 * v["eta"], v["E"]], first)
    assert (error.nobs, error.valid) == (6, True)
    assert agree([error.values[name] for name in ("k", "gamma", "eps")], second)
    if other:
        _, more = two_steps(read_table, train_set, "err_avg46")
        assert agree([more.values[name] for name in ("k", "gamma", "eps")], other)


def test_error_of_the_large_runs_is_predicted_as_published(read_table):
    """Equal: 3.6365 % at 1.4B and 0.0464 % at 6.9B, from the predicted loss."""
    loss, error = two_steps(read_table, "redpajama")
    target = read_table("overtraining.csv", train_set="redpajama", role="target")
    predicted = error.predict({"L": loss.predict(target).mean}).mean
    assert agree(100.0 * np.abs(predicted / target["err_avg17"] - 1.0), "3.6365 0.0464")


def test_runs_trained_on_c4_predict_less_well(read_table):
    """Equal: the losses are off by 1.50 % and 4.30 %."""
    loss, _ = two_steps(read_table, "c4")
    target = read_table("overtraining.csv", train_set="c4", role="target")
    assert agree(100.0 * np.abs(loss.predict(target).mean / target["L"] - 1.0), "1.50 4.30")


# ---- data_constrained.csv: Muennighoff et al. 2023 ---------------------------------------------------------


def test_published_constants_of_repeated_data_have_the_printed_objective(read_table):
    """Ours is lower: by 3e-7 in the same minimum, by 0.13 % in another one."""
    law, runs = sl.laws.data_constrained, read_table("data_constrained.csv")
    published = law.published[0].values
    there = objective(law, runs, published, sl.huber(1e-3))
    assert there == pytest.approx(0.015825936570763588, rel=1e-7)
    held = measured.held_constants()
    near = sl.fit(law, runs, fixed=held, starts={"RD": published["RD"], "RN": published["RN"]})
    assert 0.0 < there - near.objective < 1e-8
    assert agree(law(N=[6.34e9, 8.67e9], D=[242e9, 178e9], U=25e9, **published), "2.22564409 2.22696341")


# ---- approach 2 itself ------------------------------------------------------------------------------------


def test_isoflop_parabolas_are_those_of_numpy(read_table):
    runs = read_table("isoflop.csv", experiment="llama_3")
    budgets = np.unique(runs["C"])
    best = []
    for budget in budgets:
        mine = runs["C"] == budget
        p2, p1, _ = np.polyfit(np.log(runs["D"][mine]), runs["L"][mine], 2)
        best.append(-p1 / (2.0 * p2))
    slope, intercept = np.polyfit(np.log(budgets), best, 1)
    fit = isoflop(runs["C"], runs["D"], runs["L"])
    assert_allclose([fit.values["a1"], math.log(fit.values["c"])], [slope, intercept], rtol=1e-9)
