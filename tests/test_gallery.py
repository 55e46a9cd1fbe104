"""The gallery of laws: what the generator of the page promises about formulas, text and plots."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import scalinglaws as sl

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import curves
import gallery

IDS = sorted(sl.laws)
# What MathJax as GitHub runs it knows and allows, of all that formulas are printed with.
COMMANDS = set(
    r"""\, \cdot \frac \sqrt \left \right \mathrm \exp \log \min \max \sin \cos \tan \tanh \arctan \Phi
    \alpha \beta \gamma \delta \epsilon \varepsilon \zeta \eta \theta \iota \kappa \lambda \mu \nu \xi \pi
    \rho \sigma \tau \upsilon \phi \varphi \chi \psi \omega \Gamma \Delta \Theta \Lambda \Xi \Pi \Sigma \Psi
    \Omega""".split()
)


@pytest.mark.parametrize("id", IDS)
def test_formula_is_latex_that_github_renders(id):
    text = gallery.formula(sl.laws[id])
    assert set(re.findall(r"\\(?:[A-Za-z]+|.)", text)) <= COMMANDS
    assert text.count(r"\left") == text.count(r"\right")
    depth = 0
    for brace in re.findall(r"[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    # An underscore inside upright text would be a subscript of one letter, and a second one an error.
    assert not re.search(r"\\mathrm\{[^}]*[_^$]", text)
    assert "\n" not in text


@pytest.mark.parametrize("id", IDS)
def test_plot_is_a_small_well_formed_drawing_of_finite_curves(id):
    text = gallery.drawing(sl.laws[id])
    assert len(text.encode()) < 25_000
    assert text == gallery.drawing(sl.laws[id])
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert "nan" not in text
    drawn = [
        path.get("d") for path in root.iter("{http://www.w3.org/2000/svg}path") if path.get("fill") == "none"
    ]
    lines = [d for d in drawn if len(re.findall("[ML]", d)) > 10]
    assert 1 <= len(lines) <= 3
    for d in lines:
        points = np.array([float(number) for number in re.findall(r"-?\d+\.\d", d)]).reshape(-1, 2)
        assert np.ptp(points[:, 0]) > 100.0
        assert (points[:, 1] > curves.TOP - 0.1).all()
        assert (points[:, 1] < curves.HEIGHT - curves.BOTTOM + 0.1).all()


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([1e7, 1e11], [1e7, 1e8, 1e9, 1e10, 1e11]),
        ([3.0, 80.0], [5.0, 10.0, 20.0, 50.0]),
        ([0.0, 1.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ([-2.0, 2.0], [-2.0, -1.0, 0.0, 1.0, 2.0]),
        ([1e-3, 1e12], [1e-3, 1.0, 1e3, 1e6, 1e9, 1e12]),
    ],
)
def test_ticks_are_round(values, ticks):
    assert curves.Axis(np.array(values), 0.0, 100.0).ticks() == pytest.approx(ticks)


def test_a_curve_breaks_where_it_has_no_value():
    x = np.linspace(0.0, 1.0, 5)
    text = curves.plot(
        x, {"": np.array([1.0, 2.0, np.nan, 3.0, np.inf])}, x_label="x", y_label="y", title="t"
    )
    (path,) = re.findall(r'd="(M[^"]*)" fill="none" stroke="#2166ac"', text)
    assert re.sub(r"[-\d. ]", "", path) == "MLM"
    with pytest.raises(ValueError, match="nothing to draw"):
        curves.plot(x, {"": np.full(5, np.nan)}, x_label="x", y_label="y", title="t")
    with pytest.raises(ValueError, match="at most 3 curves"):
        curves.plot(x, dict.fromkeys("abcd", x), x_label="x", y_label="y", title="t")


def test_constant_curves_and_names_with_markup_are_drawn():
    x = np.linspace(0.0, 1.0, 5)
    text = curves.plot(x, {"a < b": np.zeros(5)}, x_label="x & y", y_label="y", title="<t>")
    ET.fromstring(text)
    assert "a &lt; b" in text


def test_numbers_are_short():
    assert [curves.short(x) for x in (1e8, 31622.7766, 0.25, 5e-7, -2.0, 0.0)] == [
        "1e8", "3.16e4", "0.25", "5e-7", "-2", "0",
    ]  # fmt: skip


def test_plain_text_stays_plain_in_markdown():
    assert gallery.escaped("a*b_c|d <e> [f] $g$ ~h`") == r"a\*b\_c\|d \<e\> \[f\] \$g\$ \~h\`"
    assert (
        gallery.escaped("2 * x\n= y\n- z\n1. w\n# v\n(3.5) u")
        == "2 \\* x\n\\= y\n\\- z\n1\\. w\n\\# v\n(3.5) u"
    )


def section(id):
    helpers: dict = {}
    exec("\n".join(re.findall(r"(?m)^(?:>>>|\.\.\.) (.*)$", gallery.HEAD)), helpers)
    return "\n".join(gallery._section(sl.laws[id], helpers))


def test_section_says_what_the_file_says():
    text = section("chinchilla")
    law = sl.laws.chinchilla
    assert f"```math\n{law.latex()}\n```" in text
    assert "![chinchilla along its inputs](laws/chinchilla.svg)" in text
    assert "| `N` | model parameters (count) | 1e7 to 1e11 |" in text
    assert "[arXiv:2203.15556](https://arxiv.org/abs/2203.15556)" in text
    assert 'log residuals, loss `huber(0.001)`, `starts="paper"` is a grid of 4,500' in text
    assert "| 1.69 | 406.4 | 410.7 | 0.34 | 0.28 |" in text
    assert ">>> fit = sl.fit(law, simulated(law, known))\n>>> fit.valid\nTrue\n" in text
    assert "Unverified" not in text


def test_unverified_laws_are_marked_directly_below_the_formula():
    doubtful = [id for id in IDS if not sl.laws[id].verified]
    assert doubtful
    for id in doubtful[:3]:
        assert re.search(r"```math\n.*\n```\n\n> \*\*Unverified\*\*", section(id))


def test_check_finds_what_is_stale_missing_or_left_over(tmp_path, monkeypatch, capsys):
    page, plots = tmp_path / "laws.md", tmp_path / "laws"
    monkeypatch.setattr(gallery, "PLOTS", plots)
    monkeypatch.setattr(gallery, "gallery", lambda: {page: "text\n", plots / "a.svg": "<svg/>\n"})
    assert gallery.main(["--check"]) == 1
    assert gallery.main([]) == 0
    assert gallery.main(["--check"]) == 0
    (plots / "old.svg").write_text("<svg/>")
    page.write_text("other\n")
    capsys.readouterr()
    assert gallery.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "laws.md is not up to date" in said
    assert "old.svg is not up to date" in said
    assert "a.svg" not in said
    assert gallery.main([]) == 0
    assert not (plots / "old.svg").exists()
    assert gallery.main(["--write"]) == 2
