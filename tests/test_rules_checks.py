"""Every numeric check of the procedures in `scalinglaws.rules`, and that each procedure is found by its id.

The figures stand here, so that the tests need nothing else; where the specification of the catalogue is at
hand they are compared with it.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scalinglaws import rules

PATCH = {"a": 30.0, "b": 0.2, "c": 0.2, "d": 1e9}
NETWORK = {
    "N": 1e9,
    "D": 2e10,
    "B": 1048576.0,
    "R": 64,
    "Q": 3e14,
    "W0": 4e11,
    "eps0": 1e-4,
    "W1": 1e10,
    "eps1": 1e-2,
    "H": 30,
    "M": 2,
    "bits_per_param": 16,
}
SWEEP = {"log2_x": [17.0, 18.0, 19.0], "L": [2.66, 2.653, 2.6595]}
NORMS = {"B_small": 32, "B_big": 512, "g2_small": 4.0, "g2_big": 1.3}
ADAM = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "kappa": 4.0}
WORLD = {
    "D_min": 217000.0,
    "beta": 2.1924060269062315,
    "alpha": 0.70037719,
    "P": 150000.0,
    "B0": 365.95011362155327,
    "a_B": 0.3096094744219379,
    "delta": 4e9,
}
REFERENCE = {
    "a": 3.0,
    "alpha": 0.15,
    "b": 20.0,
    "beta": 0.18,
    "c": 0.75,
    "gamma": -20.0,
    "l": 0.35,
    "d": 0.25,
}
MODEL = {**REFERENCE, "D0": 1e12, "S": 0.62, "N": 7e9}
FLAGS = {"pred": [1, 1, 0, 0, 1], "final": [1, 0, 0, 1, 1]}
PEOPLE = {"N": 1e7, "P": 6e7, "p1": 16.11809565095832}
FLOPS = {"s": 4.0, "alpha": 0.8}
SAMPLES = {"x": [1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0], "x_min": 1.0}


def vertex(v):
    return rules.optimum_from_sweep(np.exp2(v["log2_x"]), v["L"])


def envelope(v):
    n = np.array([100.0, 1000.0, 10000.0])
    kept, frac = np.tile(n, 2), np.repeat([1.0, 0.2], 3)
    err = np.concatenate([3.0 * n**-0.5, 40.0 * n**-0.9])
    return rules.data_pruning_frontier(kept, frac, err, n=v["n_kept"]).err[0]


def filtering(v, **pools):
    return rules.data_filtering(
        v["k"] * v["n_1"], v["n_1"], a=v["a"], d=v["d"], **{"b": v.get("b"), "tau": v.get("tau"), **pools}
    )


# For each procedure its checks in the order of the specification: what, the call, its inputs, the result.
CHECKS = {
    "adaptive_shape": [
        ("inverse", lambda v: rules.compute_to_reach(**v, **PATCH), {"err": 0.4}, 74937500000.0),
        (
            "segment",
            lambda v: rules.adaptive_shape({"16": PATCH}, **v).total,
            {"e_start": 0.45, "e_end": 0.4},
            51054300000.0,
        ),
    ],
    "compound_scaling": [
        (
            name,
            lambda v, name=name: getattr(rules.compound_scaling(**v), name),
            {"s": 4.0, "alpha": 0.8},
            result,
        )
        for name, result in {
            "depth": 1.1486983549970349,
            "width": 1.7411011265922482,
            "resolution": 1.0717734625362931,
            "parameters": 3.4822022531844965,
            "activations": 2.2973967099940698,
        }.items()
    ],
    "critical_batch_from_runs": [
        (
            "85M",
            lambda v: rules.overhead_batch_size(**v),
            {"a": 1293.8268694659337, "b": 2834258.0888740215, "B_ref": 256.0, "overhead": 0.2},
            745.3201466381585,
        ),
        (
            "1.2B",
            lambda v: rules.overhead_batch_size(**v),
            {"a": 3897.306597333535, "b": 43381130.22429582, "B_ref": 256.0, "overhead": 0.2},
            2533.410801786874,
        ),
        (
            "tokens",
            lambda v: rules.tokens_to_loss(**v),
            {"E": 2.0, "D_const": 150.0, "beta": 0.2, "L": 3.0},
            75937500000.0,
        ),
    ],
    "critical_batch_size": [
        ("B_crit", lambda v: rules.critical_batch_size(**v).B_crit, {"L": 3.0}, 1069114.010235652),
        (
            "S_min",
            lambda v: rules.critical_batch_size(**v).S_min,
            {"L": 3.0, "B": 524288.0, "S": 250000.0},
            82259.21591539566,
        ),
        (
            "ratio",
            lambda v: rules.critical_batch_size(**v).compute_ratio,
            {"L": 3.0, "B": 524288.0},
            0.6709631363384174,
        ),
    ],
    "data_filtering": [
        (
            "one pool",
            filtering,
            {"n_1": 128.0, "k": 5, "a": 1.0, "b": -0.13, "tau": 3.0, "d": 0.1},
            0.565008059042354,
        ),
        (
            "no decay",
            lambda v: filtering(v, tau=math.inf),
            {"n_1": 128.0, "k": 5, "a": 1.0, "b": -0.13, "d": 0.1},
            0.5317144680181071,
        ),
        (
            "union",
            lambda v: filtering(v, b=[-0.15, -0.10], tau=[2.0, 4.0]),
            {"n_1": 256.0, "k": 3, "a": 1.0, "d": 0.1},
            0.5461082092623945,
        ),
    ],
    "data_pruning_frontier": [("envelope", envelope, {"n_kept": 1000.0}, 0.07981049259875517)],
    "densing": [
        (name, lambda v, name=name: getattr(rules.densing(**v), name), MODEL, result)
        for name, result in {
            "loss": 0.35133341235410803,
            "N_eff": 45574646.73731993,
            "rho": 0.006510663819617133,
        }.items()
    ],
    "diloco_wallclock": [
        (name, lambda v, name=name: getattr(rules.diloco_wallclock(**v), name), NETWORK, result)
        for name, result in {
            "compute": 6250.0,
            "data_parallel": 66522.216796875,
            "diloco_single": 68531.29069010417,
            "diloco": 9739.176432291666,
        }.items()
    ],
    "dp_scaling": [
        (
            "ratio",
            lambda v: rules.noise_batch_ratio(**v),
            {"noise_multiplier": 0.8, "B": 65536},
            1.220703125e-05,
        ),
        (
            "extrapolated",
            lambda v: rules.extrapolated_loss(**v),
            {"m": -0.3, "b": 1.94, "E": 2.1, "T": 512000.0},
            2.234818753237639,
        ),
        ("isotonic", lambda v: rules.isotonic(**v)[2], {"y": [5.0, 4.0, 4.2, 3.9]}, 4.1),
        (
            "compute",
            lambda v: rules.dp_compute(**v),
            {"M": 1e8, "B": 4096, "T": 1e4, "seq": 512},
            1.2582912e19,
        ),
    ],
    "gradient_noise_scale": [
        (name, lambda v, name=name: getattr(rules.gradient_noise_scale(**v), name), NORMS, result)
        for name, result in {"g2": 1.12, "trace": 92.16000000000001, "B_simple": 82.28571428571429}.items()
    ],
    "knowledge_capacity": [
        ("perfect", lambda v: rules.knowledge_capacity(**v).R, {**PEOPLE, "p2": 0.0}, 8.598603945315187),
        ("half a nat", lambda v: rules.knowledge_capacity(**v).R, {**PEOPLE, "p2": 0.5}, 8.47837935857444),
        ("bits", lambda v: rules.bits_stored(**v), {"P": 7e9, "R": 2.0}, 14e9),
    ],
    "lr_sensitivity": [
        (
            "three decades",
            lambda v: rules.lr_sensitivity(**v).sensitivity,
            {
                "lr": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3],
                "L": [3.2, 3.1, 3.05, 3.06, 3.2, 5.0, 11.5],
                "L_init": 10.8,
            },
            1.4371428571428577,
        ),
        (
            "capped",
            lambda v: rules.lr_sensitivity(**v).sensitivity,
            {"lr": [1e-3, 3e-3, 1e-2], "L": [4.5, 4.0, 9.0], "L_init": 7.0},
            1.166666666666667,
        ),
    ],
    "memorization": [
        (
            "score",
            lambda v: rules.memorization(**v).score,
            {"gen": [5, 7, 7, 9, 1, 3], "true": [5, 7, 8, 9, 1, 4]},
            2.0 / 3.0,
        ),
        ("precision", lambda v: rules.memorization_forecast(**v).precision, FLAGS, 2.0 / 3.0),
        ("recall", lambda v: rules.memorization_forecast(**v).recall, FLAGS, 2.0 / 3.0),
    ],
    "optimum_from_sweep": [
        ("log2 x", lambda v: vertex(v).log2_x, SWEEP, 18.01851851851855),
        ("loss", lambda v: vertex(v).loss, SWEEP, 2.6529976851851846),
    ],
    "power_law_tail": [
        ("g", lambda v: rules.power_law_tail(**v).g, SAMPLES, 2.1126000278670407),
        ("error", lambda v: rules.power_law_tail(**v).stderr, SAMPLES, 0.42052328320281757),
    ],
    "projektor": [
        (
            "projection",
            lambda v: rules.project_performance(**v),
            {"N0": 1000.0, "N1": 1500.0, "N": 10000.0, "L0": 0.5, "L1": 0.54},
            0.7271549434907033,
        )
    ],
    "scaling_rule_adam": [
        (name, lambda v, name=name: getattr(rules.scaling_rule_adam(**v), name), ADAM, result)
        for name, result in {"lr": 0.002, "beta1": 0.6, "beta2": 0.996, "eps": 5e-09}.items()
    ],
    "scaling_rule_beta2": [
        ("beta2", lambda v: rules.scaling_rule_beta2(**v), {"beta2": 0.95, "kappa": 0.125}, 0.993608849045455)
    ],
    "scaling_rule_ema": [
        ("rho", lambda v: rules.scaling_rule_ema(**v), {"rho": 0.9999, "kappa": 8.0}, 0.9992002799440071)
    ],
    "scaling_rule_sgd": [("lr", lambda v: rules.scaling_rule_sgd(**v), {"lr": 0.1, "kappa": 4.0}, 0.4)],
    "scaling_rule_weight_decay": [
        (
            "constant time",
            lambda v: rules.scaling_rule_weight_decay(**v),
            {"wd": 0.1, "kappa": 4.0, "r_lr": 2.0, "r_D": 1.0, "m": 0.0, "r_N": 1.0},
            0.2,
        ),
        (
            "power lines",
            lambda v: rules.scaling_rule_weight_decay(**v),
            {"wd": 0.1, "kappa": 1.0, "r_lr": 1.0, "r_D": 2.0, "m": -0.527, "r_N": 1.0},
            0.07204648744189605,
        ),
    ],
    "trajectory_invariance": [
        (
            "2**-12",
            lambda v: rules.trajectory_invariance(**v).gamma,
            {"eta": 0.000244140625, "wd": 0.4},
            9.765625e-05,
        ),
        (
            "2**-9",
            lambda v: rules.trajectory_invariance(**v).gamma,
            {"eta": 0.001953125, "wd": 0.05},
            9.765625e-05,
        ),
    ],
    "value_rl_budget": [
        (name, lambda v, name=name: getattr(rules.value_rl_budget(**v), name), WORLD, result)
        for name, result in {
            "sigma": 6.288267158810235,
            "data": 320743.3170484155,
            "budget": 1909542389020278.8,
        }.items()
    ],
}
ROWS = [pytest.param(*row[1:], id=f"{id}: {row[0]}") for id, rows in CHECKS.items() for row in rows]


@pytest.mark.parametrize(("call", "inputs", "result"), ROWS)
def test_check_of_the_catalogue_holds(call, inputs, result):
    assert call(inputs) == pytest.approx(result, rel=1e-9)


@pytest.mark.parametrize("id", CHECKS)
def test_figures_are_those_of_the_specification(id, data_folder):
    folder = data_folder.parent / "laws"
    if not folder.is_dir():
        pytest.skip(f"no specification at {folder}")
    entries = [
        entry
        for path in sorted(folder.glob("*.toml"))
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["law"]
        if entry["id"] == id
    ]
    assert len(entries) == 1
    expected = [(check["inputs"], pytest.approx(check["result"], rel=1e-12)) for check in entries[0]["check"]]
    assert [(inputs, result) for _, _, inputs, result in CHECKS[id]] == expected


@pytest.mark.parametrize("id", CHECKS)
def test_each_procedure_is_a_documented_function_of_its_own_id(id):
    function = getattr(rules, id)
    assert id in rules.__all__
    assert inspect.isfunction(function)
    assert function.__name__ == id
    for part in (
        "Parameters\n",
        "Returns\n",
        "Raises\n",
        "Examples\n",
        "et al." if "et al." in function.__doc__ else "20",
    ):
        assert part in function.__doc__, part


def public():
    return [getattr(rules, name) for name in rules.__all__]


@pytest.mark.parametrize("function", [item for item in public() if inspect.isfunction(item)])
def test_public_functions_document_every_argument_and_an_example(function):
    for name in inspect.signature(function).parameters:
        assert name in function.__doc__, name
    for part in ("Returns\n", "Raises\n", ">>> "):
        assert part in function.__doc__, part


@pytest.mark.parametrize("record", [item for item in public() if inspect.isclass(item)])
def test_public_records_are_frozen_and_document_every_field(record):
    assert dataclasses.is_dataclass(record)
    assert record.__dataclass_params__.frozen
    for field in dataclasses.fields(record):
        assert field.name in record.__doc__, field.name


def test_all_names_of_the_modules_are_exported_once():
    folder = Path(rules.__file__).parent
    names = []
    for path in folder.glob("[!_]*.py"):
        module = __import__(f"scalinglaws.rules.{path.stem}", fromlist=["__all__"])
        names += module.__all__
    assert sorted(names) == sorted(rules.__all__)
