"""Published fits of task losses, accuracies and errors on measured runs.

Numbers stand in the README of the data folder, with the papers they come from; "check fit" means a plain
SciPy fit of the same rows. Each test says whether ours is equal to what was published, or lower.
"""

from __future__ import annotations

import math

import measured
import numpy as np
import pytest
import scalinglaws as sl

# ---- olmo_ladder*.csv: Bhagia et al. 2024 ------------------------------------------------------------------

# Loss of the 13B model: predicted, measured; mean relative error of the fit; objective of the check fit.
STEP_1 = {
    "mmlu": (0.750156, 0.748827, 0.004600, 6.65264e-5),
    "hellaswag": (0.653177, 0.660934, 0.002565, 3.45311e-5),
    "arc_challenge": (0.783324, 0.715725, 0.004845, 7.03884e-5),
    "arc_easy": (0.593105, 0.511391, 0.011775, 1.81659e-4),
    "piqa": (0.874795, 0.898789, 0.003104, 4.26865e-5),
    "csqa": (0.661728, 0.811583, 0.010455, 1.61042e-4),
    "socialiqa": (0.991574, 0.956851, 0.005397, 7.92316e-5),
    "openbookqa": (1.275007, 1.263199, 0.005942, 8.84043e-5),
    "c4_loss": (2.344387, 2.437876, 0.002473, None),
}


def step_1(read_table, task):
    runs, large = measured.ladder(read_table)
    column = f"bpb_{measured.LADDER_TASKS[task]}" if task in measured.LADDER_TASKS else task
    # The floor of one task runs to 0.
    fixed = {"E": 0.0} if task == "csqa" else None
    return sl.fit("task_loss_ladder", runs, columns={"L": column}, fixed=fixed), large[column][0], large


@pytest.mark.parametrize("task", STEP_1)
def test_task_loss_of_the_13b_model_is_predicted_as_published(read_table, task):
    """Equal to six digits, for all nine losses."""
    predicted, actual, error, minimum = STEP_1[task]
    fit, measured_loss, large = step_1(read_table, task)
    assert fit.valid
    assert fit.nobs == 16
    assert fit.starts.share > 0.9
    assert fit.predict(large).mean[0] == pytest.approx(predicted, abs=5.1e-7)
    assert measured_loss == pytest.approx(actual, abs=5.1e-7)
    relative = np.abs(np.exp(-fit.residuals) - 1.0)
    assert relative.mean() == pytest.approx(error, abs=5.1e-7)
    if minimum is not None:
        assert fit.objective == pytest.approx(minimum, rel=1e-5)


@pytest.mark.parametrize(
    ("task", "values"),
    [
        ("mmlu", (38.07, 100.09, 0.2262, 0.2361, 0.4541)),
        ("hellaswag", (11.231, 60.369, 0.1955, 0.2565, 0.5019)),
    ],
)
def test_coefficients_of_the_task_losses_are_those_of_the_check_fit(read_table, task, values):
    fit, _, _ = step_1(read_table, task)
    found = [fit.values[name] for name in ("A", "B", "alpha", "beta", "E")]
    assert found == pytest.approx(list(values), rel=3e-4)


def test_floor_of_commonsense_qa_runs_to_zero_and_the_fit_says_so(read_table):
    runs, large = measured.ladder(read_table)
    with pytest.warns(sl.FitWarning):
        free = sl.fit("task_loss_ladder", runs, columns={"L": "bpb_csqa_val"})
    assert not free.valid
    assert free.values["E"] < 1e-9
    held, _, _ = step_1(read_table, "csqa")
    assert free.objective == pytest.approx(held.objective, rel=1e-9)
    assert free.predict(large).mean == pytest.approx(held.predict(large).mean, rel=1e-6)


STEP_2 = {
    "mmlu": 0.513756,
    "hellaswag": 0.841567,
    "arc_challenge": 0.603024,
    "arc_easy": 0.819384,
    "piqa": 0.807461,
    "csqa": 0.717276,
    "socialiqa": 0.633747,
    "openbookqa": 0.457223,
}
# Where SciPy's curve_fit, which the authors use, stops beside the bound b = 1, a little above the minimum.
STOPPED = ("mmlu", "csqa")


@pytest.mark.parametrize("task", STEP_2)
def test_accuracy_of_the_13b_model_is_predicted_as_published(read_table, task):
    """Equal to six digits; MMLU and CommonsenseQA to one unit of the sixth, at a minimum that is lower."""
    rows = measured.ladder_checkpoints(read_table, task)
    assert len(rows["L"]) == 1402
    law, (_, large) = sl.laws.task_accuracy_ladder, measured.ladder(read_table)
    fit = sl.fit(law, rows, fixed={"b": 1.0}) if task not in ("hellaswag", "socialiqa") else sl.fit(law, rows)
    assert fit.valid
    assert fit.starts.share > 0.9
    accuracy = fit.predict({"L": large[f"bpb_{measured.LADDER_TASKS[task]}"]}).mean[0]
    assert accuracy == pytest.approx(STEP_2[task], abs=1.2e-6 if task in STOPPED else 5.1e-7)


@pytest.mark.parametrize("task", sorted(set(STEP_2) - {"hellaswag", "socialiqa"}))
def test_upper_end_of_the_accuracy_is_its_bound(read_table, task):
    """At the bound the derivative pushes outwards: a smaller b is worse."""
    rows = measured.ladder_checkpoints(read_table, task)
    with pytest.warns(sl.FitWarning, match="b ended on its upper bound 1"):
        free = sl.fit("task_accuracy_ladder", rows)
    held, lower = (sl.fit("task_accuracy_ladder", rows, fixed={"b": b}, starts=64) for b in (1.0, 0.999))
    assert free.values["b"] == 1.0
    assert free.objective == pytest.approx(held.objective, rel=1e-12)
    assert held.objective < lower.objective


@pytest.mark.parametrize("task", STOPPED)
def test_published_accuracy_lies_where_curve_fit_stops(read_table, task):
    from scipy.optimize import curve_fit

    rows = measured.ladder_checkpoints(read_table, task)

    def sigmoid(L, a, L0, k, b):
        return a / (1.0 + np.exp(-k * (L - L0))) + b

    chance = {"mmlu": 0.25, "csqa": 0.2}[task]
    bounds = ([-1.0, 0.0, 0.0, 0.0], [0.0, np.inf, np.inf, 1.0])
    stopped, _ = curve_fit(sigmoid, rows["L"], rows["acc"], p0=[chance - 1.0, 0.9, 3.0, 1.0], bounds=bounds)
    cost = 0.5 * np.sum((sigmoid(rows["L"], *stopped) - rows["acc"]) ** 2)
    ours = sl.fit("task_accuracy_ladder", rows, fixed={"b": 1.0})
    assert ours.objective < cost < ours.objective * (1.0 + 1e-8)


# ---- clip_mammut.csv: Nezhurina et al. 2025 ----------------------------------------------------------------

# A, x0, alpha, E, rms of the error, each with the size of half its last digit.
FRONTIERS = {
    ("clip", "err_imagenet"): ((75.2, 0.05), (1.07e8, 5e5), (0.241, 5e-4), (0.131, 5e-4), (0.0128, 5e-5)),
    ("clip", "err_ade20k"): ((23.9, 0.05), (4.7e7, 5e5), (0.224, 5e-4), (0.479, 5e-4), (0.0068, 5e-5)),
    ("mammut", "err_imagenet"): ((123, 0.5), (2.3e8, 5e6), (0.255, 5e-4), (0.101, 5e-4), (0.0073, 5e-5)),
    ("mammut", "err_ade20k"): ((351, 0.5), (1.4e8, 5e6), (0.357, 5e-4), (0.499, 5e-4), (0.0074, 5e-5)),
}


@pytest.mark.parametrize(("family", "error"), FRONTIERS)
def test_saturating_law_on_the_compute_frontier_is_that_of_the_check_fit(read_table, family, error):
    """Equal; the paper's own coefficients were not released."""
    table = read_table("clip_mammut.csv", family=family)
    frontier = measured.compute_frontier(table["C"] / 1e9, table[error])
    assert np.all(np.diff(frontier["x"]) > 0.0)
    assert np.all(np.diff(frontier["y"]) < 0.0)
    fit = sl.fit("shifted_power_law", frontier)
    assert fit.valid
    rms = math.sqrt(np.mean(fit.residuals**2))
    found = [*(fit.values[name] for name in ("A", "x0", "alpha", "E")), rms]
    for value, (expected, half) in zip(found, FRONTIERS[family, error], strict=True):
        assert value == pytest.approx(expected, abs=1.01 * half)


# ---- sloth_leaderboard.csv ---------------------------------------------------------------------------------


def test_mmlu_of_base_models_against_compute_is_that_of_the_check_fit(read_table):
    """Equal: 0.25 + 0.513 sigmoid(-5.38 + 2.51 x) with rms 0.095; families differ, this curve does not."""
    rows = measured.base_model_scores(read_table, "mmlu")
    assert len(rows["x"]) == 109
    law = sl.Law(
        "score ~ 0.25 + h * sigmoid(w0 + w1 * x)",
        params={
            "h": sl.Param("positive", start=(0.1, 1.0)),
            "w0": sl.Param("real", start=(-10.0, 10.0)),
            "w1": sl.Param("real", start=(0.1, 5.0)),
        },
    )
    fit = sl.fit(law, rows)
    assert fit.valid
    assert [fit.values["h"], math.sqrt(np.mean(fit.residuals**2))] == pytest.approx(
        [0.513, 0.095], abs=5.1e-4
    )
    assert [fit.values["w0"], fit.values["w1"]] == pytest.approx([-5.38, 2.51], abs=5.1e-3)
