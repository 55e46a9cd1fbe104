"""Plots of resampling and of extrapolation: what they show are the numbers of the fit."""

import numpy as np
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

LAW = sl.Law(
    "L ~ E + A / N**alpha + B / D**beta",
    params={
        "E": sl.Param("positive", start=(0.5, 4)),
        "A": sl.Param("positive", start=(10, 1e4), sampling="log"),
        "alpha": sl.Param("positive", start=(0.1, 1)),
        "B": sl.Param("positive", start=(10, 1e4), sampling="log"),
        "beta": sl.Param("positive", start=(0.1, 1)),
    },
)


@pytest.fixture(autouse=True)
def closed():
    """matplotlib warns of figures that pile up, and warnings are errors here."""
    yield
    pytest.importorskip("matplotlib.pyplot").close("all")


@pytest.fixture(scope="module")
def fit():
    N, D = (a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 5)))
    noise = np.exp(np.random.default_rng(0).normal(0, 0.004, N.size))
    L = LAW(N=N, D=D, E=1.8, A=400.0, alpha=0.34, B=900.0, beta=0.3) * noise
    return sl.fit(LAW, {"N": N, "D": D, "L": L}, residual="log", starts=64)


def test_draws_are_shown_one_by_one_and_in_pairs(fit):
    boot = fit.bootstrap(150)
    panels = fit.plot.bootstrap(boot, ["alpha", "A"], level=0.8)
    assert panels.shape == (2, 2)
    counts = [patch.get_height() for patch in panels[0, 0].patches if patch.get_height() > 1.0]
    assert sum(counts) <= 150
    points = panels[1, 0].collections[0].get_offsets()
    assert_allclose(points, boot.draws[:, [boot.names.index("alpha"), boot.names.index("A")]])
    assert not panels[0, 1].axison
    assert panels[0, 0].get_title(loc="left").startswith("150 draws (pairs), 80 % intervals")
    low, high = boot.conf_int(0.8)["alpha"]
    span = panels[0, 0].patches[-1].get_extents().transformed(panels[0, 0].transData.inverted())
    assert_allclose([span.x0, span.x1], [low, high], rtol=1e-6)


def test_draws_are_made_where_none_are_given_and_fixed_parameters_left_out(fit):
    held = sl.fit(
        LAW,
        dict(zip("NDL", (*fit._problem.inputs.values(), fit._problem.target), strict=True)),
        residual="log",
        starts=32,
        fixed={"E": 1.8, "B": 900.0, "beta": 0.3},
    )
    panels = held.plot.bootstrap(60, kind="basic", rng=3)
    assert panels.shape == (2, 2)
    one = held.plot.bootstrap(60, "alpha", axes=panels[0, 0])
    assert one[0, 0] is panels[0, 0]


def test_extrapolation_shows_the_intervals_of_the_prediction(fit):
    ax = fit.plot.extrapolation("N", decades=2, level=0.8)
    x, y = ax.lines[0].get_data()
    assert_allclose(x[[0, -1]], [1e7, 1e11])
    # Both inputs span two decades, so they grow at the same rate.
    at = {"N": x[-1], "D": 1e13}
    law, new = (fit.predict(at, 0.8, new_run=new) for new in (False, True))
    assert y[-1] == pytest.approx(law.mean)
    bands = [band.get_paths()[0].vertices for band in ax.collections[:2]]
    for band, said in zip(bands, (new, law), strict=True):
        last = band[np.isclose(band[:, 0], x[-1]), 1]
        assert_allclose([last.min(), last.max()], [said.lower, said.upper], rtol=1e-9)
    assert law.decades == pytest.approx(2.0)
    assert [text.get_text() for text in ax.texts] == ["1 decade", "2 decades"]
    marks = [line.get_xdata()[0] for line in ax.lines[1:]]
    assert_allclose(marks, [1e10, 1e11], rtol=0.02)
    assert len(ax.collections[2].get_offsets()) == 30


def test_extrapolation_holds_what_it_is_told_and_takes_draws(fit):
    boot = fit.bootstrap(200)
    ax = fit.plot.extrapolation("D", at={"N": 1e8}, decades=1, level=0.5, boot=boot)
    x, y = ax.lines[0].get_data()
    said = boot.predict({"N": 1e8, "D": x[-1]}, 0.5)
    assert y[-1] == pytest.approx(said.mean)
    band = ax.collections[1].get_paths()[0].vertices
    last = band[np.isclose(band[:, 0], x[-1]), 1]
    assert_allclose([last.min(), last.max()], [said.lower, said.upper], rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda plot: plot.bootstrap(20, "gamma"), "no parameter 'gamma'"),
        (lambda plot: plot.bootstrap(plot._fit.bootstrap(20), rng=1), "rng= has no effect"),
        (lambda plot: plot.bootstrap(20, ["A", "E"], axes=[None]), "axes must have the shape"),
        (lambda plot: plot.extrapolation("M"), "no input 'M'"),
        (lambda plot: plot.extrapolation(at={"M": 1}), "at names 'M'"),
        (lambda plot: plot.extrapolation("N", at={"N": 1}), "horizontal axis"),
        (lambda plot: plot.extrapolation(at={"N": 1, "D": 1}), "no input to plot against"),
        (lambda plot: plot.extrapolation(decades=0), "decades must be positive"),
    ],
)
def test_what_cannot_be_drawn_is_named(fit, call, message):
    with pytest.raises(ValueError, match=message):
        call(fit.plot)


def test_an_input_with_zeros_must_be_held():
    law = sl.Law("L ~ a + b * x + c * z", params=dict.fromkeys("abc", sl.Param("real", start=(0.0, 1.0))))
    x, z = np.arange(1.0, 9.0), np.tile([0.0, 1.0], 4)
    runs = {"x": x, "z": z, "L": 1.0 + x + z + 0.01 * np.cos(x)}
    fit = sl.fit(law, runs, starts=8)
    with pytest.raises(ValueError, match="'z' is not positive in every run"):
        fit.plot.extrapolation("x")
    with pytest.raises(ValueError, match="'z' has no range of positive values"):
        fit.plot.extrapolation("z", at={"x": 1.0})
    assert fit.plot.extrapolation("x", at={"z": 1.0}, decades=1).get_xlabel() == "x"
