"""Ids of published procedures lead to the functions that carry them out."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module

import pytest
import scalinglaws as sl
from scalinglaws.laws import Laws
from scalinglaws.procedures import PACKAGES, Procedures

# Procedures of planning and of comparing laws, which are not part of this package yet.
ELSEWHERE = set(
    """compute_optimal_allocation chinchilla_approach1 chinchilla_approach2 vpnls inference_adjusted_optimum
    flop_accounting isoflop_frontier_porian contamination_forgetting cooldown_reuse task_ladder
    datadecide_baselines decision_accuracy pass_until pass_at_k resampling_utility sloth mcq_metric_chain
    bigbench_shape inverse_scaling benchmark_variance law_crossing misfitting_checklist""".split()
)


def function(name):
    module, _, id = name.rpartition(".")
    return getattr(import_module(module), id)


def test_every_procedure_of_the_specification_is_found_by_its_id(data_folder):
    folder = data_folder.parent / "laws"
    if not folder.is_dir():
        pytest.skip(f"no specification at {folder}")
    documents = [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.toml"))]
    ids = {e["id"] for document in documents for e in document["law"] if e["kind"] == "procedure"}
    assert len(ids) == 52
    assert ELSEWHERE < ids
    for id in ids - ELSEWHERE:
        assert callable(function(sl.laws.procedures[id])), id


def test_each_procedure_is_a_documented_public_function():
    procedures = sl.laws.procedures
    assert list(procedures) == sorted(procedures)
    assert len(procedures) == len(set(procedures))
    for id, name in procedures.items():
        package = name.split(".")[1]
        assert package in PACKAGES
        assert id in getattr(sl, package).__all__
        assert function(name).__doc__


def test_no_procedure_hides_another_or_has_the_id_of_a_law_with_another_name():
    counts = [id for package in PACKAGES for id in getattr(sl, package).__all__]
    assert len(counts) == len(set(counts))
    # The one that is both: the function returns the law over any number of drops.
    assert set(sl.laws.procedures) & {*sl.laws, *sl.laws.aliases} == {"multi_power_law"}
    assert sl.schedules.multi_power_law(2) == sl.laws.multi_power_law


@pytest.mark.parametrize("id", ["densing", "theory_4p3_phases", "schedule_features"])
def test_a_procedure_taken_for_a_law_is_refused_with_its_place(id):
    message = re.escape(f"{id!r} is a procedure and not a law: {sl.laws.procedures[id]}")
    with pytest.raises(KeyError, match=message):
        sl.laws[id]
    with pytest.raises(AttributeError, match=message):
        getattr(sl.laws, id)
    with pytest.raises(ValueError, match=message):
        sl.fit(id, {})
    assert id not in sl.laws


def test_a_misspelt_procedure_is_suggested():
    with pytest.raises(KeyError, match="Did you mean 'power_law_tail'"):
        sl.laws["power_law_tale"]


def test_search_goes_through_names_and_documentation():
    search = sl.laws.procedures.search
    assert search("NOISE gradient two")[0] == "scalinglaws.rules.gradient_noise_scale"
    assert set(search("schedule")) > {"scalinglaws.schedules.optimise"}
    assert search("scaling_rule") == [
        f"scalinglaws.rules.scaling_rule_{name}"
        for name in ("adam", "beta2", "ema", "rmsprop", "sgd", "weight_decay")
    ]
    assert search("noise xylophone") == []


def test_a_folder_of_ones_own_has_no_procedures(tmp_path):
    assert len(Laws(tmp_path).procedures) == 0
    with pytest.raises(KeyError, match="there is no law 'densing'"):
        Laws(tmp_path)["densing"]
    assert repr(Procedures(("theory",))).startswith("<7 procedures: phase_loss_terms, ")
