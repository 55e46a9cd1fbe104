"""What cannot be used is refused, with the name of the argument and the first rows at fault."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from scalinglaws import rules
from scalinglaws.errors import DataError

SHARES = np.linspace(0.0, 1.0, 8)
SHAPE = {"a": 30.0, "b": 0.2, "c": 0.2, "d": 1e9}
COEFFICIENTS = {
    "a": 3.0,
    "alpha": 0.15,
    "b": 20.0,
    "beta": 0.18,
    "c": 0.75,
    "gamma": -20.0,
    "l": 0.35,
    "d": 0.25,
}
WORLD = {"D_min": 2e5, "beta": 2.0, "alpha": 0.7, "P": 1e5, "B0": 300.0, "a_B": 0.3, "delta": 4e9}
MODEL = rules.projektor(
    np.column_stack([SHARES, 1 - SHARES]),
    1 + np.cos(3 * SHARES),
    SHARES,
    1 + np.cos(3 * SHARES),
    SHARES,
    N0=10.0,
    N1=20.0,
)
GRID = {
    name: axis.ravel()
    for name, axis in zip(("M", "T", "nbr"), np.meshgrid([1e7, 1e8], [1e3, 1e4], [1e-6, 1e-5]), strict=True)
}

# One call that works for each public function.
VALID = {
    "adaptive_shape": {"shapes": {"16": SHAPE}, "e_start": 0.5, "e_end": 0.4},
    "best_filtering": {"n": 500.0, "n_1": 100.0, "a": 1.0, "b": [-0.2, -0.1], "tau": [2.0, 3.0], "d": 0.1},
    "bits_stored": {"P": 7e9, "R": 2.0},
    "compare_decay": {"n": np.geomspace(1e2, 1e4, 6), "err": 0.1 + np.geomspace(1e2, 1e4, 6) ** -0.5},
    "compound_scaling": {"s": 4.0, "alpha": 0.8},
    "compute_to_reach": {"err": 0.4, **SHAPE},
    "critical_batch_by_branching": {"k": [1.0, 2.0], "L": [3.0, 3.001], "B": 512.0},
    "critical_batch_from_curves": {
        "B": np.repeat([100.0, 200.0], 4),
        "D": np.tile([1e9, 2e9, 4e9, 8e9], 2),
        "L": 1.8 + 50 * np.tile([1e9, 2e9, 4e9, 8e9], 2) ** -0.2 * np.repeat([1.0, 1.01], 4),
        "losses": [2.4],
        "floor": 1.8,
    },
    "critical_batch_from_runs": {
        "B": [1.0, 2.0, 4.0],
        "S": [30.0, 20.0, 15.0],
        "B_ref": 1.0,
        "overhead": 0.2,
    },
    "critical_batch_size": {"L": 3.0, "B": 5e5, "S": 2e5, "C": 1.0, "B_star": 2e8, "alpha_B": 0.21},
    "curvature_noise_scale": {"G": [1.0, 2.0], "Sigma": np.eye(2), "H": np.eye(2)},
    "curve_gap": {"t1": [1.0, 2.0], "L1": [3.0, 2.0], "t2": [1.0, 2.0], "L2": [3.0, 2.0], "after": 0.0},
    "data_filtering": {"n": 500.0, "n_1": 100.0, "a": 1.0, "b": [-0.2], "tau": [2.0], "d": 0.1},
    "data_pruning_frontier": {
        "n_kept": [1e2, 1e3],
        "frac": [1.0, 1.0],
        "err": [0.3, 0.1],
        "n": [500.0],
    },
    "densing": {"S": 0.62, "N": 7e9, **COEFFICIENTS, "D0": 1e12},
    "densing_interval": {
        "S": 0.62,
        "N": 7e9,
        "draws": {name: [value] * 3 for name, value in COEFFICIENTS.items()},
        "level": 0.9,
        "D0": 1e12,
    },
    "densing_trend": {"t": [0.0, 100.0], "rho": [0.1, 0.2]},
    "diloco_wallclock": {
        "N": 1e9,
        "D": 2e10,
        "B": 1e6,
        "R": 64,
        "M": 2,
        "H": 30,
        "Q": 3e14,
        "W0": 4e11,
        "eps0": 1e-4,
        "W1": 1e10,
        "eps1": 1e-2,
        "bits_per_param": 16,
    },
    "dp_compute": {"M": 1e8, "B": 4096.0, "T": 1e4, "seq": 512.0},
    "dp_epsilon": {"sigma": 1.0, "T": 100.0, "q": 0.01, "delta": 1e-8},
    "dp_noise_multiplier": {"eps": 1.0, "T": 100.0, "q": 0.01, "delta": 1e-8},
    "dp_noise_table": {"eps": 1.0, "T": [100.0, 200.0], "q": [0.01, 0.02], "delta": 1e-8},
    "dp_scaling": {
        **GRID,
        "L": np.full(8, 3.0),
        "lr": np.full(8, 1e-3),
        "warmup": 0.0,
        "window": 1,
        "extend_to": None,
    },
    "entropic_transport": {
        "cost": np.eye(2),
        "epsilon": 0.5,
        "a": [0.5, 0.5],
        "b": [0.5, 0.5],
        "tolerance": 1e-9,
    },
    "excess_loss": {
        "cells": {"N": [1.0, 1.0]},
        "x": {"lr": [1.0, 2.0]},
        "L": [3.0, 2.0],
        "rule": {"lr": [1.5, 1.5]},
    },
    "extrapolated_loss": {"T": 5e5, "m": -0.3, "b": 1.9, "E": 2.0},
    "fit_data_filtering": {
        "n": 100.0 * np.arange(1, 7),
        "n_1": [100.0] * 6,
        "err": [rules.data_filtering(100.0 * k, 100.0, a=1.0, b=-0.2, tau=2.0, d=0.1) for k in range(1, 7)],
        "pool": ["a"] * 6,
    },
    "fit_shapes": {
        "C": np.geomspace(1e9, 1e14, 8),
        "err": 0.2 + 20 * (np.geomspace(1e9, 1e14, 8) + 3e9) ** -0.2,
        "shape": ["a"] * 8,
    },
    "gradient_noise_scale": {
        "B_small": 32.0,
        "B_big": 512.0,
        "g2_small": [4.0],
        "g2_big": [1.3],
        "decay": 0.9,
    },
    "isotonic": {"y": [3.0, 1.0]},
    "knowledge_capacity": {"N": 1e7, "P": 6e7, "p1": 16.2, "p2": 0.5, "N0": 1e8, "S0": 1e12},
    "knowledge_capacity_chunks": {
        "N": 1e5,
        "K": 4.0,
        "C": 2.0,
        "D": 1e3,
        "L": 3.0,
        "T": 50.0,
        "P": 1e6,
        "p1": 11.6,
        "p2": 0.3,
        "p3": 0.0,
        "N0": 1e8,
    },
    "lr_sensitivity": {"lr": [1e-3, 1e-2], "L": [3.0, 3.1], "L_init": 10.0, "between": (1e-4, 1.0)},
    "marginal_compute": {"err": 0.4, "a": 30.0, "b": 0.2, "c": 0.2},
    "memorization": {"gen": [1, 2], "true": [1, 3]},
    "memorization_forecast": {"pred": [1, 0], "final": [1, 1]},
    "near_optimal": {"L": [2.0, 2.1], "cell": ["a", "b"], "tolerance": 0.01},
    "noise_batch_ratio": {"noise_multiplier": 1.0, "B": 1e3},
    "noise_scale_of_samples": {"gradients": [[1.0, 2.0], [3.0, 4.0]]},
    "optima_of_cells": {
        "cells": {"N": [1.0] * 3},
        "x": {"lr": [1.0, 2.0, 4.0]},
        "L": [3.0, 2.0, 3.0],
        "within": 5.0,
    },
    "optimum_by_interpolation": {
        "x": [1.0, 2.0, 4.0, 8.0, 16.0],
        "L": [3.0, 2.5, 2.0, 2.5, 3.0],
        "noise": 0.01,
    },
    "optimum_from_grid": {"x": {"lr": [1.0, 2.0, 4.0]}, "L": [3.0, 2.0, 3.0], "within": 5.0},
    "optimum_from_sweep": {"x": [1.0, 2.0, 4.0], "L": [3.0, 2.0, 3.0], "within": 5.0},
    "overhead_batch_size": {"a": 1e3, "b": 1e6, "B_ref": 256.0, "overhead": 0.2},
    "parameters_for_bits": {"bits": 14e9, "R": 2.0},
    "power_law_tail": {"x": [1.0, 2.0, 4.0], "x_min": 1.0},
    "project_performance": {"N": 1e4, "N0": 1e3, "N1": 1500.0, "L0": 0.5, "L1": 0.54},
    "project_to_simplex": {"v": [0.5, 0.7]},
    "projektor": {
        "p": np.column_stack([SHARES, 1 - SHARES]),
        "OT0": 1 + np.cos(3 * SHARES),
        "perf0": SHARES,
        "OT1": 1 + np.cos(3 * SHARES),
        "perf1": SHARES,
        "N0": 10.0,
        "N1": 20.0,
    },
    "scaled_network": {
        "factors": rules.compound_scaling(2.0),
        "depth": [1.0, 2.0],
        "width": [16.0, 32.0],
        "resolution": 224,
        "group_width": [8.0, 8.0],
    },
    "scaling_rule_adam": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "kappa": 2.0},
    "scaling_rule_beta2": {"beta2": 0.95, "kappa": 2.0},
    "scaling_rule_ema": {"rho": 0.99, "kappa": 2.0},
    "scaling_rule_rmsprop": {"lr": 1e-3, "beta": 0.99, "eps": 1e-8, "kappa": 2.0},
    "scaling_rule_sgd": {"lr": 0.1, "kappa": 2.0, "B_old": 256.0, "B_noise": 1024.0},
    "scaling_rule_weight_decay": {"wd": 0.1, "kappa": 2.0, "r_lr": 1.0, "r_D": 1.0, "m": 0.0, "r_N": 1.0},
    "select_mixture": {
        "model": MODEL,
        "N": 100.0,
        "transport": lambda p: (1.0, np.zeros(2)),
        "p": [0.5, 0.5],
        "rate": 0.1,
        "steps": 2,
    },
    "size_at_threshold": {"N": [1e7, 1e8], "value": [10.0, 20.0], "threshold": 1e4},
    "source_gradient": {"f": [1.0, 2.0], "source": ["a", "b"]},
    "tail_against_lognormal": {"x": [1.0, 2.0, 4.0, 9.0], "x_min": 1.0},
    "tokens_to_loss": {"L": 3.0, "E": 2.0, "D_const": 150.0, "beta": 0.2},
    "trajectory_invariance": {"eta": 0.1, "wd": 0.1, "rtol": 1e-6},
    "value_rl_budget": WORLD,
    "value_rl_cost": {"sigma": 2.0, **WORLD},
    "value_rl_trend": {"budget": [1e14, 1e15, 1e16], "sigma": [1.0, 2.0, 3.0], "hold_out": 1},
}
# Numbers that may be missing: a loss that is NaN has diverged, and whole numbers have messages of their own.
EXEMPT = {("lr_sensitivity", "L"), ("scaled_network", "factors")}


def test_every_public_function_has_a_call_here():
    functions = {name for name in rules.__all__ if inspect.isfunction(getattr(rules, name))}
    assert functions == set(VALID)


@pytest.mark.parametrize("name", VALID)
def test_the_call_works(name):
    getattr(rules, name)(**VALID[name])


def numeric(value):
    return not isinstance(value, (str, dict, bool)) and np.asarray(value).dtype.kind in "if"


NUMBERS = [
    pytest.param(name, key, id=f"{name}-{key}")
    for name, call in VALID.items()
    for key, value in call.items()
    if value is not None and numeric(value) and (name, key) not in EXEMPT
]


@pytest.mark.parametrize(("name", "key"), NUMBERS)
def test_a_missing_number_is_refused_by_name(name, key):
    array = np.array(VALID[name][key], dtype=float)
    array[(0,) * array.ndim] = math.nan
    with pytest.raises((ValueError, TypeError), match=rf"\b{key}\b"):
        getattr(rules, name)(**{**VALID[name], key: array if array.ndim else math.nan})


@pytest.mark.parametrize(("name", "key"), NUMBERS)
def test_text_is_refused_by_name(name, key):
    text = np.full(np.shape(VALID[name][key]), "many")
    with pytest.raises((ValueError, TypeError), match=rf"\b{key}\b"):
        getattr(rules, name)(**{**VALID[name], key: text if text.ndim else "many"})


# Columns that need not have the length of another one.
FREE = {
    ("critical_batch_from_curves", "losses"),
    ("data_pruning_frontier", "n"),
    ("dp_noise_table", "T"),
    ("dp_noise_table", "q"),
    ("gradient_noise_scale", "g2_small"),
    ("gradient_noise_scale", "g2_big"),
    ("lr_sensitivity", "between"),
}


def several_columns(call):
    return sum(np.ndim(value) == 1 for value in call.values() if not isinstance(value, dict)) > 1


COLUMNS = [
    param
    for param in NUMBERS
    if np.ndim(VALID[param.values[0]][param.values[1]]) == 1
    and several_columns(VALID[param.values[0]])
    and param.values not in FREE
]


@pytest.mark.parametrize(("name", "key"), COLUMNS)
def test_columns_of_different_length_are_refused(name, key):
    value = np.asarray(VALID[name][key])
    with pytest.raises((ValueError, TypeError)):
        getattr(rules, name)(**{**VALID[name], key: np.concatenate([value, value])})


CALLS = {
    "zero batch": ("critical_batch_size", {"B": 0.0}, "B must be above 0, not 0"),
    "rows of a column": (
        "optimum_from_sweep",
        {"x": [1.0, -2.0, 0.0]},
        r"x must be above 0: rows 1, 2 \(-2\)",
    ),
    "infinite loss": ("optimum_from_sweep", {"L": [3.0, math.inf, 2.0]}, r"L must be finite: row 1 \(inf\)"),
    "steps without batch": ("critical_batch_size", {"B": None}, "S needs the batch size B"),
    "half a noise scale": ("scaling_rule_sgd", {"B_noise": None}, "B_old and B_noise belong together"),
    "momentum of one": ("scaling_rule_ema", {"rho": 1.0}, "rho must be below 1"),
    "shapes": ("scaling_rule_sgd", {"lr": [1.0, 2.0], "kappa": [1.0, 2.0, 3.0]}, r"lr \(2,\), kappa \(3,\)"),
    "two values": ("optimum_from_sweep", {"x": [1.0, 2.0, 2.0]}, "needs three values of x, and 2 are left"),
    "narrow window": ("optimum_from_sweep", {"within": 0.1}, "needs three values of x, and 1 are left"),
    "neighbours": (
        "optimum_from_sweep",
        {"neighbours": 1.5},
        "neighbours must be a whole number of at least 1",
    ),
    "columns": ("optimum_from_grid", {"x": {"lr": [1.0, 2.0]}}, "lr has 2 rows, L has 3"),
    "no columns": ("optimum_from_grid", {"x": [1.0, 2.0, 4.0]}, "x must map the name"),
    "loss as hyper-parameter": ("optimum_from_grid", {"x": {"L": [1.0, 2.0, 4.0]}}, "cannot be called 'L'"),
    "method": ("optima_of_cells", {"method": "cubic"}, "method must be 'quadratic' or 'lowest', not 'cubic'"),
    "column twice": ("optima_of_cells", {"x": {"N": [1.0, 2.0, 4.0]}}, "the column name 'N' is used twice"),
    "no cells": ("optima_of_cells", {"cells": {}}, "cells and x must each name at least one column"),
    "rule of another name": (
        "excess_loss",
        {"rule": {"batch": [1.0, 1.0]}},
        "must name the hyper-parameters",
    ),
    "rule that varies": ("excess_loss", {"rule": {"lr": [1.0, 2.0]}}, "several values of lr in N = 1"),
    "rule of another length": (
        "excess_loss",
        {"rule": {"lr": [1.0]}},
        "the rule has 1 rows, the runs have 2",
    ),
    "rate twice": ("lr_sensitivity", {"lr": [1e-3, 1e-3]}, "lr holds 0.001 twice"),
    "all diverged": (
        "lr_sensitivity",
        {"L": [math.nan, 11.0]},
        "no run ended below the loss at initialisation",
    ),
    "range without runs": ("lr_sensitivity", {"between": (1.0, 2.0)}, "needs two learning rates, not 0"),
    "positions": ("curve_gap", {"t2": [2.0, 1.0]}, "t2 must ascend"),
    "one size": ("size_at_threshold", {"N": [1e7, 1e7]}, "N holds one size"),
    "flat statistic": ("size_at_threshold", {"value": [10.0, 10.0]}, "does not change with the size"),
    "one batch": ("critical_batch_from_runs", {"B": [2.0, 2.0, 2.0]}, "B holds one batch size"),
    "floor above the loss": ("tokens_to_loss", {"E": 3.0}, "L must lie above E"),
    "no baseline": ("critical_batch_by_branching", {"k": [2.0, 4.0]}, "k must hold 1"),
    "rows of branches": ("critical_batch_by_branching", {"L": [3.0]}, "one row for each of 2 branches"),
    "few tokens": (
        "critical_batch_from_curves",
        {"D": np.tile([1e9, 1e9, 1e9, 1e9], 2)},
        "B = 100 has fewer than 2 token counts",
    ),
    "batches in order": ("gradient_noise_scale", {"B_big": 32.0}, "B_small must be smaller than B_big"),
    "nothing to average": (
        "gradient_noise_scale",
        {"g2_small": 4.0, "g2_big": 1.3},
        "must be arrays of them",
    ),
    "one gradient": ("noise_scale_of_samples", {"gradients": [[1.0, 2.0]]}, "two or more rows"),
    "square": ("curvature_noise_scale", {"H": np.eye(3)}, "H a square matrix of its length"),
    "negative curvature": ("curvature_noise_scale", {"H": -np.eye(2)}, "G'HG = -5, must be positive"),
    "kind": ("power_law_tail", {"kind": "discrete"}, "kind must be one of 'continuous', 'integer'"),
    "whole samples": ("power_law_tail", {"x": [1.0, 2.5], "kind": "integer"}, "whole numbers .*, not 2.5"),
    "whole start": ("power_law_tail", {"x_min": 1.5, "kind": "integer"}, "x_min must be whole"),
    "empty tail": ("power_law_tail", {"x_min": 4.0}, "1 samples from x_min = 4 on determine no tail"),
    "few samples": ("power_law_tail", {"x_min": None}, "3 samples have no tail of 10"),
    "short tail": ("tail_against_lognormal", {"x_min": 4.0}, "needs three different samples"),
    "shares": ("compound_scaling", {"shares": [0.0, 0.0, 0.0]}, "shares must not all be 0"),
    "arrays of factors": (
        "scaled_network",
        {"factors": rules.compound_scaling([2.0, 3.0])},
        "factors must be of one scaling",
    ),
    "replicas": ("diloco_wallclock", {"M": 65}, "more replicas than chips"),
    "no arithmetic": ("diloco_wallclock", {"H": 0.5}, "H must be at least 1"),
    "growing batch": ("value_rl_budget", {"a_B": 1.0}, "a_B must be below 1"),
    "free data": ("value_rl_budget", {"delta": 0.0}, "delta must be positive"),
    "held out": ("value_rl_trend", {"hold_out": 2}, "needs two budgets besides those held out"),
    "err at the floor": ("compute_to_reach", {"err": 0.2}, "err must lie above the floor c"),
    "coefficients": ("adaptive_shape", {"shapes": {"16": {"a": 1.0}}}, "the shape '16' .* at odds: b, c, d"),
    "negative amplitude": ("adaptive_shape", {"shapes": {"16": {**SHAPE, "a": -1.0}}}, "a of the shape '16'"),
    "errors in order": ("adaptive_shape", {"e_end": 0.6}, "e_start must lie above e_end, not 0.5 above 0.6"),
    "unreachable": (
        "adaptive_shape",
        {"e_end": 0.2},
        "no shape reaches e_end = 0.2: the lowest floor is 0.2",
    ),
    "no shapes": ("adaptive_shape", {"shapes": []}, "shapes must map"),
    "few runs": (
        "fit_shapes",
        {"shape": ["a"] * 5 + ["b"] * 3},
        "the shape 'b' has 3 runs; the law needs four",
    ),
    "missing label": ("fit_shapes", {"shape": [None, *"aaaaaaa"]}, "shape must not be missing: row 0"),
    "utility": ("data_filtering", {"b": [0.1]}, "b must be below 0"),
    "half-lives": ("data_filtering", {"tau": [1.0, 2.0]}, r"b has 1 pools, tau has shape \(2,\)"),
    "passes": ("data_filtering", {"n": 1e9}, "more than 100000 passes over one pool"),
    "variant": ("data_filtering", {"variant": "book"}, "variant must be one of"),
    "discounted pools": (
        "data_filtering",
        {"b": [-0.1, -0.2], "tau": [1.0, 2.0], "variant": "discount"},
        "defined for one pool",
    ),
    "many passes": ("fit_data_filtering", {"n_1": [1.0] * 6}, "n: row 5 has 600 passes; at most 100"),
    "fraction": ("data_pruning_frontier", {"frac": [1.0, 1.5]}, r"frac must be at most 1: row 1 \(1.5\)"),
    "repeated run": (
        "data_pruning_frontier",
        {"n_kept": [1e2, 1e2]},
        "frac = 1 has n_kept = 100 twice",
    ),
    "points to fit": ("compare_decay", {"held_out": 3}, "6 points minus 3 held out leave fewer"),
    "proportions": ("project_to_simplex", {"v": [[1.0]]}, "v must be one column"),
    "sum of proportions": ("select_mixture", {"p": [0.5, 0.6]}, "must sum to 1: row 0 does not"),
    "number of sources": ("select_mixture", {"p": [0.2, 0.3, 0.5]}, "one proportion for each source"),
    "one source": ("projektor", {"p": np.ones((8, 1))}, "two or more sources"),
    "equal sizes": ("projektor", {"N1": 10.0}, "N0 and N1 must differ"),
    "settle": (
        "entropic_transport",
        {"max_iter": 1, "cost": [[0.0, 5.0], [1.0, 2.0]]},
        "did not settle in 1",
    ),
    "weights": ("entropic_transport", {"a": [0.5, 0.0]}, r"a must be above 0: row 1 \(0\)"),
    "one label": ("source_gradient", {"source": ["a", "a"]}, "must hold two labels"),
    "tokens": ("memorization", {"gen": [1.0, 2.0]}, "gen must hold token numbers, not float64"),
    "positions of tokens": ("memorization", {"gen": [1, 2, 3]}, r"one shape .* \(3,\), \(2,\)"),
    "flags": ("memorization_forecast", {"pred": [0, 2]}, "pred must hold 0 and 1 only"),
    "sequences": ("memorization_forecast", {"pred": [0, 1, 1]}, "pred has 3 sequences, final has 2"),
    "draws": (
        "densing_interval",
        {"draws": {"a": [1.0]}},
        r"draws must hold a, alpha, .*; at odds: \['alpha'",
    ),
    "steepness": ("densing", {"gamma": 20.0}, "gamma must be below 0"),
    "one record": ("densing_trend", {"rho": [0.2, 0.1]}, "needs two models that set a record"),
    "tiny budget": ("dp_noise_multiplier", {"eps": 1e-12}, "is too small for this accountant"),
    "sampling": ("dp_epsilon", {"q": 1.5}, "q must be at most 1"),
    "one iteration": ("dp_scaling", {"warmup": 5000.0}, "T holds 1 values after the warm-up"),
    "isotonic scalar": ("isotonic", {"y": 3.0}, "y must hold at least one value"),
    "window": ("dp_scaling", {"window": 0}, "window must be a whole number of at least 1, not 0"),
}


@pytest.mark.parametrize("case", CALLS)
def test_bad_argument_is_refused_with_a_clear_message(case):
    name, change, message = CALLS[case]
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(rules, name)(**{**VALID[name], **change})


def test_errors_carry_the_column_and_the_rows():
    with pytest.raises(DataError) as caught:
        rules.optimum_from_sweep([1.0, -2.0, 0.0], [3.0, 2.0, 3.0])
    assert (caught.value.column, caught.value.rows) == ("x", (1, 2))


def test_noise_table_checks_its_grid():
    for T, q, sigma, message in (
        ([2.0, 1.0], [0.1, 0.2], np.ones((2, 2)), "T must hold two or more ascending values"),
        ([1.0, 2.0], [0.1, 1.2], np.ones((2, 2)), "q must be at most 1"),
        ([1.0, 2.0], [0.1, 0.2], np.ones((2, 3)), r"sigma must have the shape \(2, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            rules.NoiseTable(T, q, sigma)


def test_models_check_what_they_are_asked():
    with pytest.raises(ValueError, match="one proportion for each source"):
        MODEL.predict(100.0, [0.2, 0.3, 0.5], 1.0)
    model = rules.dp_scaling(**VALID["dp_scaling"])
    with pytest.raises(ValueError, match="C must be above 0"):
        model.best(-1.0, 1e6, lambda T, q: T)
    best = rules.optimum_from_sweep([1.0, 2.0, 4.0], [1.0, -2.0, 1.0])
    with pytest.raises(ValueError, match="a relative tolerance needs a positive minimum loss"):
        best.plateau(0.01)
    optima = rules.optima_of_cells(**VALID["optima_of_cells"])
    with pytest.raises(ValueError, match="there is no column 'rate'"):
        optima.power_law("rate")
    with pytest.raises(ValueError, match=r"there is no column 'M'\."):
        optima.power_law("lr", on=["M"])
