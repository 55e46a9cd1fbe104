"""Leave-one-out refits, influence, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose, assert_array_equal

LINE = sl.Law(
    "y ~ a + b * x", params={"a": sl.Param("real", start=(-5, 5)), "b": sl.Param("real", start=(-5, 5))}
)
POWER = sl.Law(
    "L ~ E + A / N**alpha",
    params={
        "E": sl.Param("positive", start=(0.1, 5.0)),
        "A": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
        "alpha": sl.Param("positive", start=(0.05, 1.0)),
    },
)
TRUE = {"E": 1.7, "A": 400.0, "alpha": 0.34}


def ladder(n=24):
    N = np.geomspace(1e7, 1e10, n)
    noise = 0.01 * np.random.default_rng(0).standard_normal(n)
    return {"N": N, "L": (1.7 + 400.0 / N**0.34) * np.exp(noise)}


def line(n=12):
    x = np.linspace(-1.0, 3.0, n)
    return {"x": x, "y": 1.0 + 2.0 * x + 0.3 * np.random.default_rng(1).standard_normal(n)}


@pytest.mark.parametrize("loss", ["squared", "huber:0.01", "soft_l1:0.01"])
def test_each_refit_is_the_fit_of_a_table_without_the_row(loss):
    data = ladder()
    jack = sl.fit(POWER, data, residual="log", loss=loss, starts=TRUE).jackknife()
    assert jack.keys == tuple(range(24))
    assert jack.failed == 0
    for row in range(24):
        rest = {name: np.delete(column, row) for name, column in data.items()}
        alone = sl.fit(POWER, rest, residual="log", loss=loss, starts=TRUE)
        assert_allclose(jack.draws[row], list(alone.values.values()), rtol=1e-8)
        assert jack.objective[row] == pytest.approx(alone.objective, rel=1e-10)


def test_each_refit_without_a_cluster_is_the_fit_of_a_table_without_it():
    data = ladder()
    labels = np.repeat(list("abcdef"), 4)
    jack = sl.fit(POWER, data, residual="log", starts=TRUE).jackknife(by=labels)
    assert jack.keys == tuple("abcdef")
    assert jack.by == "by"
    for key in jack.keys:
        rest = {name: column[labels != key] for name, column in data.items()}
        alone = sl.fit(POWER, rest, residual="log", starts=TRUE)
        assert_allclose(list(jack.without(key).values()), list(alone.values.values()), rtol=1e-8)


def test_chinchilla_without_a_row_is_the_fit_of_239(read_table):
    runs = read_table("chinchilla_epoch.csv", excluded="0")
    fit = sl.fit("chinchilla", runs)
    jack = fit.jackknife()
    assert jack.failed == 0
    for row in (0, 105, 239):
        rest = {name: np.delete(column, row) for name, column in runs.items()}
        assert_allclose(jack.draws[row], list(sl.fit("chinchilla", rest).values.values()), rtol=1e-7)


def test_influence_on_a_line_is_cooks_distance():
    data = line()
    fit = sl.fit(LINE, data, starts={"a": 0, "b": 0})
    X = np.stack([np.ones(12), data["x"]], axis=1)
    leverage = np.einsum("ij,jk,ik->i", X, np.linalg.inv(X.T @ X), X)
    r = fit.residuals
    s2 = r @ r / 10
    jack = fit.jackknife()
    assert_allclose(jack.cook, r**2 * leverage / (2 * s2 * (1 - leverage) ** 2), rtol=1e-8)
    moved = np.linalg.inv(X.T @ X) @ (X * (r / (1 - leverage))[:, None]).T
    assert_allclose(jack.shift, moved.T, rtol=1e-8, atol=1e-13)
    assert_allclose(jack.scaled, moved.T / np.array(list(fit.stderr().values())), rtol=1e-7, atol=1e-12)


def test_influence_does_not_depend_on_the_parametrisation():
    other = sl.Law(
        "L ~ exp(e) + A / N**alpha",
        params={
            "e": sl.Param("real", start=(-2, 2)),
            "A": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
            "alpha": sl.Param("positive", start=(0.05, 1.0)),
        },
    )
    one = sl.fit(POWER, ladder(), residual="log", starts=TRUE).jackknife()
    two = sl.fit(other, ladder(), residual="log", starts={"e": 0.5, "A": 400, "alpha": 0.34}).jackknife()
    assert_allclose(one.cook, two.cook, rtol=1e-5)


def test_the_jackknife_of_a_mean_is_its_textbook_error_and_it_has_no_bias():
    law = sl.Law("y ~ m", params={"m": sl.Param("real", start=(-5, 5))})
    y = np.array([1.0, 2.0, 4.0, 3.5, 2.2])
    jack = sl.fit(law, {"y": y}, starts={"m": 0}).jackknife()
    assert jack.stderr()["m"] == pytest.approx(y.std(ddof=1) / np.sqrt(5), rel=1e-9)
    assert jack.bias()["m"] == pytest.approx(0.0, abs=1e-10)


def test_jackknife_errors_are_of_the_size_of_the_sandwich():
    fit = sl.fit(POWER, ladder(200), residual="log", starts=TRUE)
    jack, sandwich = fit.jackknife().stderr(), fit.stderr("sandwich")
    for name in fit.names:
        assert jack[name] == pytest.approx(sandwich[name], rel=0.1)


def test_a_planted_outlier_is_the_most_influential_row():
    data = ladder()
    data["L"][3] *= 1.2
    jack = sl.fit(POWER, data, residual="log", starts=TRUE).jackknife()
    assert jack.most(1)[0][0] == 3
    assert len(jack.most(3)) == 3
    assert "most influential 3" in repr(jack)


def test_the_number_of_threads_and_the_size_of_a_call_do_not_change_the_result(monkeypatch):
    fit = sl.fit(POWER, ladder(), residual="log", starts=TRUE)
    one = fit.jackknife(threads=1)
    monkeypatch.setattr("scalinglaws.uncertainty.jackknife._CHUNK", 100)
    seen = []
    two = fit.jackknife(threads=2, progress=lambda done, total: seen.append((done, total)))
    assert_array_equal(one.draws, two.draws)
    assert seen[-1] == (24, 24)


def test_rows_of_weight_zero_change_nothing():
    weights = np.ones(24)
    weights[5] = 0.0
    fit = sl.fit(POWER, ladder(), residual="log", weights=weights, starts=TRUE)
    jack = fit.jackknife()
    assert_allclose(jack.draws[5], list(fit.values.values()), rtol=1e-9)
    assert jack.cook[5] == pytest.approx(0.0, abs=1e-12)


def test_parameters_of_a_category_that_is_left_out_are_unknown():
    law = sl.Law(
        "y ~ a[g] + b * x",
        params={"a": sl.Param("real", start=(-5, 5)), "b": sl.Param("real", start=(-5, 5))},
    )
    data = {**line(), "g": np.repeat(["u", "v", "w"], 4)}
    jack = sl.fit(law, data, starts=8).jackknife(by="g")
    assert_array_equal(np.isnan(jack.draws), [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    assert jack.failed == 3
    assert np.isnan(jack.cook).all()
    assert np.isnan(jack.stderr()["b"])
    assert "3 refits not valid" in repr(jack)


def test_a_cluster_that_alone_determines_a_parameter_is_shown_as_not_valid():
    x = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])
    y = np.array([1.0, 1.1, 0.9, 1.05, 3.0, 3.1])
    jack = sl.fit(LINE, {"x": x, "y": y}, starts={"a": 0, "b": 0}).jackknife(by="x")
    assert_array_equal(jack.valid, [False, False])
    assert jack.failed == 2


def test_tied_parameters_follow_in_every_refit():
    fit = sl.fit(POWER, ladder(), residual="log", fixed={"E": "5 * alpha"}, starts={"A": 400, "alpha": 0.34})
    jack = fit.jackknife()
    assert_allclose(jack.draws[:, 0], 5 * jack.draws[:, 2])


def test_what_leaves_too_little_behind_is_refused():
    fit = sl.fit(POWER, ladder(4), residual="log", starts=TRUE)
    assert len(fit.jackknife().keys) == 4
    with pytest.raises(sl.DataError, match="without by 'a' only 2 rows are left for 3 parameters"):
        fit.jackknife(by=["a", "a", "b", "b"])
    with pytest.raises(sl.DataError, match="1 cluster"):
        fit.jackknife(by=["a"] * 4)
    with pytest.raises(KeyError, match="was not left out"):
        fit.jackknife().without("b")


def test_a_fit_saved_without_rows_has_no_jackknife(tmp_path):
    sl.fit(POWER, ladder(), residual="log", starts=TRUE).save(tmp_path / "fit.json", data=False)
    with pytest.raises(sl.DataError, match="saved without"):
        sl.load(tmp_path / "fit.json").jackknife()


def test_influence_is_drawn_with_the_strongest_named():
    figure = pytest.importorskip("matplotlib.figure")
    data = ladder()
    data["L"][3] *= 1.2
    fit = sl.fit(POWER, data, residual="log", starts=TRUE)
    one, two, three = figure.Figure().subplots(1, 3)
    assert fit.plot.influence(label=2, ax=one) is one
    assert one.texts[0].get_text() == "3"
    assert len(one.texts) == 2
    jack = fit.jackknife(by=np.repeat(list("abcdef"), 4))
    fit.plot.influence(jackknife=jack, ax=two)
    assert two.get_xlabel() == "cluster (by)"
    assert_allclose(two.collections[1].get_offsets()[:, 1], jack.cook)
    with pytest.raises(ValueError, match="by= has no effect"):
        fit.plot.influence("N", jackknife=jack)
    x = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])
    y = np.array([1.0, 1.1, 0.9, 1.05, 3.0, 3.1])
    lost = sl.fit(LINE, {"x": x, "y": y}, starts={"a": 0, "b": 0}).plot.influence("x", ax=three)
    assert len(lost.texts) == 0


def test_a_cluster_is_found_by_its_value_and_by_its_text():
    data = ladder()
    budget = np.repeat([6e18, 3e19, 3.0, 4.0, 5.0, 6.0], 4)
    fit = sl.fit(POWER, {**data, "C": budget}, residual="log", starts=TRUE, keep=["C"])
    texts, numbers = fit.jackknife(by="C"), fit.jackknife(by=budget)
    assert texts.keys[0] == "6e+18"
    assert numbers.keys[2] == 3.0
    for jack in (texts, numbers):
        assert jack.without(6e18) == jack.without("6e+18") == jack.without("6e18")
        assert jack.without(3) == jack.without("3") == jack.without("3.0")
        assert jack.without(3) == dict(zip(jack.names, jack.draws[2].tolist(), strict=True))
        for other in (7.0, "nan", "C"):
            with pytest.raises(KeyError, match="was not left out"):
                jack.without(other)


def test_texts_that_write_the_same_number_are_different_clusters():
    labels = np.repeat(["1", "1.0", "01", "d", "e", "f"], 4)
    jack = sl.fit(POWER, ladder(), residual="log", starts=TRUE).jackknife(by=labels)
    for index, key in enumerate(jack.keys):
        assert list(jack.without(key).values()) == jack.draws[index].tolist()
    assert jack.without(1) == jack.without("1")
    with pytest.raises(KeyError, match="was not left out"):
        jack.without("1.00")
