"""Panels of profiles, regions and draws: axes that can be read, and nothing shown that was not computed."""

import dataclasses

import numpy as np
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose
from scalinglaws.panels import span

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

LINE = sl.Law("L ~ a + b * x", params=dict.fromkeys("ab", sl.Param("positive", start=(0.1, 10.0))))
POWER = sl.Law(
    "L ~ E + A / N**alpha",
    params={
        "E": sl.Param("positive", start=(0.5, 4)),
        "A": sl.Param("positive", start=(10, 1e4), sampling="log"),
        "alpha": sl.Param("positive", start=(0.1, 1)),
    },
)


@pytest.fixture(autouse=True)
def closed():
    """matplotlib warns of figures that pile up, and warnings are errors here."""
    yield
    pytest.importorskip("matplotlib.pyplot").close("all")


@pytest.fixture(scope="module")
def line():
    x = np.linspace(0.0, 4.0, 20)
    noise = 0.2 * np.random.default_rng(1).standard_normal(20)
    return sl.fit(LINE, {"x": x, "L": 2.0 + 1.0 * x + noise}, starts=4)


@pytest.fixture(scope="module")
def boot(line):
    """Draws of b over four decades and far beyond, those of a as they are."""
    made = line.bootstrap(400, rng=0)
    draws = made.draws.copy()
    draws[:, 1] *= np.exp(np.random.default_rng(2).normal(0.0, 2.0, 400))
    draws[17, 1] = 1e30
    return dataclasses.replace(made, draws=draws, _known={})


def power_law(sigma, E=1.8):
    N = np.geomspace(1e7, 1e10, 16)
    noise = sigma * np.random.default_rng(2).standard_normal(16)
    return sl.fit(POWER, {"N": N, "L": (E + 400 / N**0.34) * np.exp(noise)}, residual="log", starts=64)


def test_draws_over_decades_have_a_logarithmic_axis_in_every_panel_with_bins_even_on_it(line, boot):
    panels = line.plot.bootstrap(boot)
    assert panels[0, 0].get_xscale() == panels[1, 0].get_xscale() == "linear"
    assert panels[1, 0].get_yscale() == panels[1, 1].get_xscale() == "log"
    bars = [bar for bar in panels[1, 1].patches[:-1] if bar.get_width() > 0]
    ratios = [(bar.get_x() + bar.get_width()) / bar.get_x() for bar in bars]
    assert_allclose(ratios, ratios[0])
    assert_allclose([bars[0].get_x(), bars[-1].get_x() * ratios[-1]], panels[1, 1].get_xlim())
    assert_allclose(panels[1, 1].get_xlim(), panels[1, 0].get_ylim())


def test_axes_hold_99_percent_of_the_draws_and_the_title_counts_the_others(line, boot):
    panels = line.plot.bootstrap(boot)
    beyond = np.zeros(400, bool)
    for index, ax in enumerate(np.diagonal(panels)):
        low, high = ax.get_xlim()
        outside = (boot.draws[:, index] < low) | (boot.draws[:, index] > high)
        assert outside.sum() <= 4
        assert sum(bar.get_height() for bar in ax.patches[:-1]) == 400 - outside.sum()
        beyond |= outside
    assert beyond[17]
    assert panels[1, 1].get_xlim()[1] < 1e10
    assert panels[0, 0].get_title(loc="left").endswith(f"\n{beyond.sum()} beyond the axes")


def test_axes_reach_over_the_interval_and_the_fit_where_draws_do_not(line, boot):
    ends = boot.conf_int(0.9999)["b"]
    assert ends.upper > line.plot.bootstrap(boot)[1, 1].get_xlim()[1]
    low, high = line.plot.bootstrap(boot, level=0.9999)[1, 1].get_xlim()
    assert low < ends.lower
    assert ends.upper < high
    away = dataclasses.replace(boot, draws=boot.draws + 1e3, _known={})
    assert line.plot.bootstrap(away)[1, 1].get_xlim()[0] < line.values["b"]


def test_a_narrow_spread_a_sign_or_a_few_draws_near_zero_leave_the_axis_linear():
    rng = np.random.default_rng(0)
    wide = np.exp(rng.normal(0.0, 2.0, 500))
    assert span(wide, [1.0]).log
    assert not span(np.exp(rng.normal(0.0, 0.3, 500)), [1.0]).log
    assert not span(np.append(wide, 0.0), [1.0]).log
    assert not span(wide, [0.0]).log
    crowd = np.append(rng.normal(0.5, 0.1, 480), np.geomspace(1e-90, 1e-3, 20))
    assert not span(np.abs(crowd), [0.5]).log


@pytest.mark.parametrize("draws", [[], [2.0, 2.0, 2.0], [np.nan, np.inf, 3.0]])
def test_an_axis_holds_the_marks_whatever_the_draws_are(draws):
    found = span(np.array(draws), [1.0, np.nan, 4.0])
    assert -np.inf < found.low < 1.0
    assert 4.0 < found.high < np.inf
    single = span(np.array([2.0, 2.0]), [2.0])
    assert single.low < 2.0 < single.high


def test_the_shade_of_an_interval_ends_with_the_curve_and_says_where_the_interval_ends():
    fit = power_law(0.05, E=0.05)
    found = fit.profile("E")
    assert found.lower == 0.0 < found.values[0]
    assert found.upper_end == "found"
    ax = fit.plot.profile(found)
    shade = ax.patches[0]
    assert_allclose(shade.get_x(), found.values[0])
    assert_allclose(shade.get_x() + shade.get_width(), found.upper)
    assert [text.get_text().strip() for text in ax.texts] == ["\N{LEFTWARDS ARROW} to 0"]


def test_an_interval_that_the_curve_covers_is_shaded_from_end_to_end(line):
    found = line.profile("a")
    ax = line.plot.profile(found)
    shade = ax.patches[0]
    assert_allclose([shade.get_x(), shade.get_x() + shade.get_width()], found.interval)
    assert not ax.texts


def test_a_bound_that_the_curve_reaches_needs_no_words(line):
    law = sl.Law("L ~ a + b * x", params={"a": sl.Param((1.95, 10.0)), "b": sl.Param(start=(0.1, 2.0))})
    runs = {**line._problem.inputs, "L": line._problem.target}
    fit = sl.fit(law, runs, starts=4)
    found = fit.profile("a")
    assert (found.lower, found.lower_end) == (1.95, "bound")
    ax = fit.plot.profile(found)
    assert_allclose(ax.patches[0].get_x(), 1.95)
    assert not ax.texts


def test_a_region_thinner_than_its_grid_is_filled_inside_its_outline_without_contours():
    fit = power_law(0.002)
    found = fit.profile(("A", "alpha"), points=9)
    assert found.inside.sum(axis=1).max() < 4
    ax = fit.plot.profile(found)
    assert not ax.collections
    assert_allclose(ax.patches[0].get_xy()[: len(found.outline)], found.outline)
    for (low, high), values in zip((ax.get_xlim(), ax.get_ylim()), found.outline.T, strict=True):
        assert low < values.min()
        assert values.max() < high


def test_a_region_that_its_grid_resolves_has_contours_as_wide_as_the_grid(line):
    found = line.profile(("a", "b"), points=15)
    ax = line.plot.profile(found)
    assert ax.collections
    assert not ax.patches
    assert_allclose(ax.get_xlim(), found.values[0][[0, -1]])
    assert_allclose(ax.get_ylim(), found.values[1][[0, -1]])


def test_a_region_over_decades_has_logarithmic_axes_and_its_contours_fill_them(line):
    found = line.profile(("a", "b"), points=15)
    edge, (first, second) = found.outline, found.values
    wide = dataclasses.replace(
        found,
        best=(found.best[0] ** 20, found.best[1]),
        outline=np.column_stack([edge[:, 0] ** 20, edge[:, 1]]),
        values=(first**20, second),
    )
    ax = line.plot.profile(wide)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert_allclose(ax.get_xlim(), wide.values[0][[0, -1]])
