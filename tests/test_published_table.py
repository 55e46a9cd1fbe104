"""The page of published fits: it says what the library finds, and judges it as it says."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import scalinglaws as sl
from measured import same_digits, unit

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import published
from published_row import Row, Search, printed

# Data sets that issue 3 and the README of the data folder name published numbers or check fits for.
FILES = """
    chinchilla_epoch isoflop xlstm_transformer_isoflop porian_isoflop porian_optimal gemstones overtraining
    data_constrained routed steplaw_dense mpl_curves mixture_pile5 vocab parscale_stack olmo_ladder
    olmo_ladder_checkpoints sloth_leaderboard clip_mammut bnsl_addition nmt_learning_curves finetune_curves
    loss_to_loss
""".split()


# ---- one row -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "text", "same"),
    [
        (0.34731, "0.3473", True),
        (0.34736, "0.3473", False),
        (0.34725, "0.3473", True),
        (0.34725, "0.3472", True),
        (1.1306e7, "1.131e7", True),
        (1.1304e7, "1.131e7", False),
        (-0.0829, "-0.083", True),
        (481.6, "482", True),
    ],
)
def test_printed_digits_say_how_close_a_number_has_to_be(x, text, same):
    assert same_digits(x, text) is same


def test_unit_is_the_last_printed_place():
    assert [float(unit(text)) for text in ("0.0480", "1.13e7", "482", "6.65264e-5")] == [
        1e-4,
        1e5,
        1.0,
        1e-10,
    ]
    with pytest.raises(ValueError, match="'nan' is not a finite number"):
        unit("nan")


@pytest.mark.parametrize(
    ("x", "text", "ours"),
    [
        (2.0 / 3.0, "0.250", "0.667"),
        (11307077.0, "1.130616e7", "1.130708e7"),
        (3.67674e-5, "3.676741e-5", "3.676740e-5"),
        (481.6, "485", "482"),
        (-0.08295, "-0.082", "-0.083"),
    ],
)
def test_our_number_is_written_like_the_printed_one(x, text, ours):
    assert printed(x, text) == ours


def row(ours, published=("2.00",), **more):
    return Row("chinchilla", "some.csv", "E", published, "A paper", ours, **more)


def test_verdict_is_same_where_all_digits_agree_even_if_an_objective_is_lower():
    assert row((2.004,)).verdict == "same"
    assert row((2.004,), objective=(1.0, 2.0)).verdict == "same"


def test_verdict_is_lower_only_with_a_lower_objective():
    assert row((2.1,), objective=(0.99, 1.0)).verdict == "lower"
    assert row((2.1,), objective=(1.0, 0.99), note="why").verdict == "differs"
    assert row((1.9,), least=True).verdict == "lower"
    assert row((2.1,), least=True, note="why").verdict == "differs"
    assert row((1.9,), note="why").verdict == "differs"
    assert row((1.9, 2.1), published=("2.00", "2.00"), least=True, note="why").verdict == "differs"


def test_numbers_that_differ_need_a_reason():
    with pytest.raises(ValueError, match=r"chinchilla, some.csv, E: .* no note says why"):
        row((2.1,))
    with pytest.raises(ValueError, match="1 published numbers, 2 of ours"):
        row((2.0, 3.0))


def test_ratio_is_of_objectives_if_they_are_known_else_the_furthest_from_one():
    assert row((2.1,), objective=(0.5, 2.0)).ratio == 0.25
    assert row((1.0, 3.03), published=("1.00", "3.00"), note="why").ratio == pytest.approx(1.01)
    assert row((0.9, 3.03), published=("1.00", "3.00"), note="why").ratio == pytest.approx(0.9)


def test_search_adds_up_what_it_runs():
    x = [1.0, 2.0, 4.0, 8.0]
    rows = {"x": x * 2, "y": [3.0 * at**-0.5 for at in x] * 2, "run": ["a"] * 4 + ["b"] * 4}
    search = Search()
    fit = search.fit("power_law", rows, starts=8)
    fits = search.run(sl.fit_each, "power_law", rows, by="run", starts=8)
    solved = [each.starts.solved for each in (fit, *fits.values())]
    assert search.solved == sum(solved) > 0
    assert 0 < search.hits <= search.solved
    assert search.seconds > 0.0
    assert search.run(sorted, [2, 1]) == [1, 2]
    assert search.solved == sum(solved)


# ---- the page ----------------------------------------------------------------------------------------------


def cells(text):
    """Cells of the rows of the table, without escapes."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[re.sub(r"\\(.)", r"\1", cell) for cell in line[2:-2].split(" | ")] for line in lines]


def test_rows_share_their_notes_and_are_counted():
    search = Search(3, 4, 1.25)
    rows = [
        row((2.0,), search=search, note="b*c"),
        row((1.0,), note="other", objective=(1.0, 2.0)),
        row((3.0,), note="b*c"),
    ]
    text = published.page(rows)
    assert "Of 3 rows 1 agree, 1 are lower and 1 differ." in text
    assert cells(text) == [
        ["`chinchilla`", "some.csv", "E", "2.00 (A paper)", "2.00", "1.000000", "same [1]", "3 of 4", "1.25"],
        ["`chinchilla`", "some.csv", "E", "2.00 (A paper)", "1.00", "obj. 0.5", "lower [2]", "", "0.00"],
        ["`chinchilla`", "some.csv", "E", "2.00 (A paper)", "3.00", "1.5", "differs [1]", "", "0.00"],
    ]
    assert text.endswith("## Notes\n\n1. b\\*c\n2. other\n")


def test_check_compares_everything_but_seconds_and_hits(tmp_path, monkeypatch, capsys):
    kept = {"rows": [row((2.0,), search=Search(3, 4, 1.25)), row((2.0,))]}
    page = tmp_path / "published.md"
    monkeypatch.setattr(published, "PAGE", page)
    monkeypatch.setattr(published, "SECTIONS", (lambda read: iter(kept["rows"]),))
    monkeypatch.setenv("SCALINGLAWS_TEST_DATA", str(tmp_path))
    assert published.main(["--check"]) == 1
    assert published.main([]) == 0
    assert published.main(["--check"]) == 0
    first, second = kept["rows"]
    kept["rows"] = [replace(first, search=Search(2, 4, 77.0)), replace(second, search=Search(0, 0, 3.0))]
    assert published.main(["--check"]) == 0
    capsys.readouterr()
    for changed in (
        replace(first, search=Search(3, 5, 1.25)),
        replace(first, ours=(2.004,)),
        replace(first, source="Another paper"),
    ):
        kept["rows"] = [changed, second]
        assert published.main(["--check"]) == 1
        said = capsys.readouterr().err
        assert "published.md is not up to date" in said
        assert "some.csv" in said
    assert published.main(["--write"]) == 2
    monkeypatch.setenv("SCALINGLAWS_TEST_DATA", str(tmp_path / "nowhere"))
    assert published.main([]) == 2
    assert "no measured data at" in capsys.readouterr().err


@pytest.fixture(scope="module")
def text():
    return published.PAGE.read_text(encoding="utf-8")


def test_page_covers_every_data_set_and_names_laws_of_the_catalogue(text):
    table = cells(text)
    assert {line[1].partition(".csv")[0] for line in table} == set(FILES)
    other = {line[0].strip("`") for line in table} - set(sl.laws)
    assert other == {"schedules.multi_power_law", "score ~ 0.25 + h * sigmoid(w0 + w1 * x)"}
    assert all(len(line) == len(published.HEAD) for line in table)


def test_page_gives_a_reason_for_each_number_that_differs(text):
    notes = re.findall(r"(?m)^(\d+)\. ", text.partition("## Notes")[2])
    assert notes == [str(at + 1) for at in range(len(notes))]
    for line in cells(text):
        verdict = re.fullmatch(r"(same|lower|differs)(?: \[(\d+)\])?", line[6])
        assert verdict, line
        assert verdict[1] != "differs" or verdict[2] in notes
        assert verdict[2] is None or verdict[2] in notes


def test_page_names_no_folder_of_the_machine_that_wrote_it(text):
    assert not re.search(r"(?<![\w`:/])/[a-z]+/", text)
    assert "shared" not in text


@pytest.mark.parametrize("section", published.SECTIONS, ids=lambda section: section.__name__)
def test_page_says_what_the_library_finds(text, read_table, section):
    """All columns but the last two, starts and seconds."""
    written = [(*line[:6], line[6].partition(" ")[0]) for line in cells(text)]
    rows = list(section(read_table))
    notes = {each.note: 0 for each in rows}
    for each in rows:
        found = [re.sub(r"\\(.)", r"\1", cell) for cell in published.cells(each, notes)[:7]]
        assert (*found[:6], found[6].partition(" ")[0]) in written
