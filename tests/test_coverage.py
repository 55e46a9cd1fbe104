"""The coverage study: right where the answer is known, always the same, going on where it stopped."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

# The study is no part of the package; it lives in the checkout.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benches.coverage.__main__ import main
from benches.coverage.designs import DESIGNS, LEVELS, simulate
from benches.coverage.methods import one_set
from benches.coverage.report import quantities, summarise
from benches.coverage.study import run_design

SETS, DRAWS = 40, 19


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("coverage")


@pytest.fixture(scope="module")
def result(folder):
    return run_design("control", SETS, DRAWS, 0, folder, 1)


def test_exact_intervals_cover_as_often_as_they_say(result):
    """The control is a straight line in logarithms, where Student's t is exact for everything."""
    rows = [row for row in summarise(result) if row.method.endswith("classical")]
    assert {row.quantity for row in rows} == set(quantities(DESIGNS["control"]))
    for row in rows:
        assert row.missing == 0.0
        for share, level in zip(row.coverage, LEVELS, strict=True):
            assert abs(share - level) < 3.5 * np.sqrt(level * (1 - level) / SETS), (row.quantity, level)


def test_on_a_straight_line_profiles_and_standard_errors_are_the_same(result):
    for kind in ("classical", "sandwich"):
        by_profile, by_delta = (
            result.cover[:, result.methods.index(f"{m}, {kind}"), :, :2] for m in ("profile", "delta")
        )
        assert np.array_equal(by_profile, by_delta)
    assert result.disagree == result.lower_found == 0
    widths = result.width[:, [result.methods.index(f"{m}, classical") for m in ("profile", "delta")], :2]
    assert np.allclose(widths[:, 0], widths[:, 1], rtol=1e-5)


def test_every_method_says_something_about_every_quantity(result):
    rows = summarise(result)
    for method in result.methods:
        mine = {row.quantity: row for row in rows if row.method == method}
        new = sum(name.startswith("new run") for name in mine)
        assert new == (0 if method.endswith(("bca", ", t")) or method.startswith("profile") else 4)
        assert all(row.width > 0.0 for name, row in mine.items() if not name.startswith("new run"))


def test_a_data_set_depends_on_its_number_alone(result):
    again = one_set(DESIGNS["control"], 0, 7, DRAWS)
    assert np.array_equal(again.cover, result.cover[7])
    assert np.array_equal(again.estimate, result.estimate[7])
    assert not np.array_equal(
        simulate(DESIGNS["control"], 1, 7).data["L"], simulate(DESIGNS["control"], 0, 7).data["L"]
    )


def test_finished_blocks_are_not_computed_again_and_the_table_is_written(result, folder, tmp_path, capsys):
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}
    out = tmp_path / "coverage.md"
    options = ["--only", "control", "--sets", str(SETS), "--draws", str(DRAWS), "--processes", "1"]
    assert main([*options, "--work", str(folder), "--out", str(out)]) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")} == files
    text = out.read_text(encoding="utf-8")
    assert "| control | classical |" in text
    assert all(f"| {method} |" in text for method in result.methods)
    with out.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(summarise(result))
    assert {row["design"] for row in rows} == {"control"}
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["--only", "contrl"])
    assert "is not one of control, chinchilla" in capsys.readouterr().err
