"""Cluster-robust covariances, correlations, and where cluster labels come from."""

from __future__ import annotations

import math

import numpy as np
import polars
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose, assert_array_equal
from scalinglaws.inference import triangle
from scalinglaws.uncertainty.leverage import WorkingNoise, working_noise
from scalinglaws.uncertainty.sandwich import covariance, white_coordinates
from scipy import optimize, stats

LINE = sl.Law(
    "y ~ a + b * x", params={"a": sl.Param("real", start=(-5, 5)), "b": sl.Param("real", start=(-5, 5))}
)
LABELS = np.repeat(["p", "q", "r", "s", "t", "u"], 4)


def runs(seed=0):
    rng = np.random.default_rng(seed)
    x = np.linspace(-1.0, 3.0, 24)
    shared = np.repeat(0.3 * rng.standard_normal(6), 4)
    return {
        "x": x,
        "y": 1.0 + 2.0 * x + shared + 0.1 * rng.standard_normal(24),
        "w": rng.uniform(0.5, 2.0, 24),
    }


def fitted(**options):
    return sl.fit(LINE, runs(), starts={"a": 0, "b": 0}, **options)


def working(X, r, value):
    """Relative variances of residuals by the working model, with a search over g in place of a root.

    Rows are scaled by the roots of their weights.
    """
    rank = stats.rankdata(value)
    z = (rank - rank.mean()) / rank.std()
    left = 1.0 - np.einsum("ij,jk,ik->i", X, np.linalg.inv(X.T @ X), X)

    def deviance(g):
        return len(r) * math.log((r**2 / left * np.exp(-g * z)).sum()) + g * z.sum() + (g / 0.5) ** 2

    found = optimize.minimize_scalar(deviance, bounds=(-5.0, 5.0), method="bounded", options={"xatol": 1e-10})
    return np.exp(found.x * z)


def by_hand(X, r, w, labels, value):
    """The sandwich under the working model by dense matrices, and degrees of freedom of each coefficient."""
    X, r, n = np.sqrt(w)[:, None] * X, np.sqrt(w) * r, len(r)
    phi = working(X, r, value)
    names = np.unique(labels)
    for name in names:
        rows = labels == name
        phi[rows] = np.exp(np.log(phi[rows]).mean())
    inverse = np.linalg.inv(X.T @ X)
    left = np.eye(n) - X @ inverse @ X.T
    spread = left @ np.diag(phi) @ left
    middle = 0.0
    columns = {index: [] for index in range(X.shape[1])}
    for name in names:
        rows = np.flatnonzero(labels == name)
        values, vectors = np.linalg.eigh(spread[np.ix_(rows, rows)])
        root = math.sqrt(phi[rows[0]]) * (vectors / np.sqrt(values)) @ vectors.T
        score = X[rows].T @ root @ r[rows]
        middle = middle + np.outer(score, score)
        for index, made in columns.items():
            line = np.zeros(n)
            line[rows] = root @ X[rows] @ inverse[index]
            made.append(line)
    dof = []
    for made in columns.values():
        form = np.array(made) @ spread @ np.array(made).T
        dof.append(np.trace(form) ** 2 / (form**2).sum())
    return inverse @ middle @ inverse, dof


@pytest.mark.parametrize("weights", [None, "w"])
def test_the_cluster_sandwich_and_its_degrees_of_freedom_are_the_dense_formulas(weights):
    fit, data = fitted(weights=weights), runs()
    X = np.stack([np.ones(24), data["x"]], axis=1)
    w = np.ones(24) if weights is None else data["w"]
    expected, dof = by_hand(X, fit.residuals, w, LABELS, fit.predict(data).mean)
    assert_allclose(fit.cov("sandwich", by=LABELS), expected, rtol=1e-6)
    assert_allclose(fit.cov(by=LABELS), expected, rtol=1e-6)
    assert_allclose(list(fit.stderr(by=LABELS).values()), np.sqrt(np.diagonal(expected)), rtol=1e-6)
    assert fit.corr(by=LABELS)[0, 1] == pytest.approx(
        expected[0, 1] / math.sqrt(expected[0, 0] * expected[1, 1]), rel=1e-6
    )
    for name, number in zip("ab", dof, strict=True):
        assert fit.profile(name, by=LABELS, points=0).dof == pytest.approx(number, rel=1e-6)
        assert number < 5.0


@pytest.mark.parametrize("weights", [None, "w"])
def test_the_sandwich_of_rows_and_its_degrees_of_freedom_are_the_dense_formulas(weights):
    fit, data = fitted(weights=weights), runs()
    X = np.stack([np.ones(24), data["x"]], axis=1)
    w = np.ones(24) if weights is None else data["w"]
    expected, dof = by_hand(X, fit.residuals, w, np.arange(24), fit.predict(data).mean)
    assert_allclose(fit.cov("sandwich"), expected, rtol=1e-6)
    for name, number in zip("ab", dof, strict=True):
        found = fit.profile(name, points=0)
        assert found.kind == "sandwich"
        assert found.dof == pytest.approx(number, rel=1e-6)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("times", [1.0, 6.0])
def test_the_sandwich_has_no_bias_under_its_working_noise_also_with_rows_of_high_leverage(clustered, times):
    """Its mean is linear in the covariance of the noise, so shocks one by one add up to that of the noise."""
    x = np.linspace(-1.0, 3.0, 24) ** 3
    X = np.stack([np.ones(24), x], axis=1)
    codes = np.repeat(np.arange(6), 4) if clustered else None
    noise = np.repeat(np.geomspace(1.0, times, 6), 4)
    total = 0.0
    for row in range(24):
        shock = np.eye(24)[row] * math.sqrt(noise[row])
        fit = sl.fit(LINE, {"x": x, "y": 1.0 + 2.0 * x + shock}, starts={"a": 1, "b": 2})
        given = (
            fit._problem,
            fit._theta,
            fit._problem.free,
            fit.dof,
            "sandwich",
            codes if clustered else None,
        )
        total = total + covariance(*given, noise=WorkingNoise(noise, 1.0))[0]
    inverse = np.linalg.inv(X.T @ X)
    assert_allclose(total, inverse @ (X.T * noise) @ X @ inverse, rtol=1e-6)


def test_working_variances_follow_the_noise_and_not_the_scale_of_anything():
    rng = np.random.default_rng(3)
    x = np.geomspace(1.0, 100.0, 400)
    noise = 0.1 * np.geomspace(4.0, 1.0, 400) * rng.standard_normal(400)
    found = {}
    for name, scale, weights in (("plain", 1.0, None), ("large", 1e6, None), ("weighted", 1.0, 7.0)):
        y = scale * (1.0 - 2.0 * x + x * noise)
        options = {} if weights is None else {"weights": np.full(400, weights)}
        params = {name: sl.Param("real", start=(-5.0 * scale, 5.0 * scale)) for name in "ab"}
        fit = sl.fit(sl.Law(LINE.formula, params=params), {"x": x, "y": y}, starts=4, **options)
        white, _ = white_coordinates(triangle(fit._problem, fit._theta, fit._problem.free)[0])
        found[name] = working_noise(fit._problem, fit._theta, fit._problem.free, white).shape
    # The noise grows 25-fold from the first run to the last, so its variance by 625.
    assert found["plain"][-1] / found["plain"][0] == pytest.approx(625.0, rel=0.5)
    assert_allclose(found["large"], found["plain"], rtol=1e-6)
    assert_allclose(found["weighted"], found["plain"], rtol=1e-6)


@pytest.mark.parametrize("by", [None, "alone"])
@pytest.mark.parametrize("loss", ["squared", "huber:0.2"])
def test_the_only_run_of_a_category_has_the_noise_of_the_others(loss, by):
    """It is fitted exactly and shows none: no sandwich that rests on its residual alone can be right."""
    rng = np.random.default_rng(1)
    law = sl.Law("y ~ A[g]", params={"A": sl.Param("real", start=(-5, 5))})
    g = np.array(["u"] * 12 + ["v"] * 12 + ["w"])
    y = rng.standard_normal(25) + np.where(g == "v", 3.0, 0.0)
    labels = None if by is None else np.array([*np.repeat(np.arange(6), 4), 6])
    fit = sl.fit(law, {"g": g, "y": y}, loss=loss, starts=8)
    error = fit.stderr("sandwich", by=labels)["A[w]"]
    if loss == "squared":
        white, _ = white_coordinates(triangle(fit._problem, fit._theta, fit._problem.free)[0])
        noise = working_noise(fit._problem, fit._theta, fit._problem.free, white)
        assert error == pytest.approx(math.sqrt(noise.level * noise.shape[-1]), rel=1e-9)
        assert fit.profile("A[w]", by=labels, points=0).dof == pytest.approx(22.0)
    assert 0.4 < error < 0.9
    # The standard deviation of the others is 0.6.
    low, high = fit.conf_int(0.95, by=labels)["A[w]"]
    assert low < y[-1] - 0.8 < y[-1] + 0.8 < high
    boot = fit.bootstrap(20, kind="wild", by=labels)
    own = np.array([fit._theta])
    drawn = boot._cov(own, None)[0]
    assert_allclose(drawn, fit.cov("sandwich", by=labels), rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared", "huber:0.2"])
def test_rows_of_weight_zero_change_no_clustered_error(loss):
    data, weights = runs(), runs()["w"]
    weights[::5] = 0.0
    kept = weights > 0.0
    fit = sl.fit(LINE, data, loss=loss, weights=weights, starts=8)
    bare = {name: column[kept] for name, column in data.items()}
    removed = sl.fit(LINE, bare, loss=loss, weights=weights[kept], starts=8)
    assert_allclose(fit.cov("sandwich", by=LABELS), removed.cov("sandwich", by=LABELS[kept]), rtol=1e-6)
    found, expected = (f.profile("b", by=by, points=0) for f, by in ((fit, LABELS), (removed, LABELS[kept])))
    assert found.dof == pytest.approx(expected.dof, rel=1e-6)
    boot = fit.bootstrap(5, by=LABELS)
    assert_allclose(boot._cov(fit._theta[None, :], None)[0], fit.cov("sandwich", by=LABELS), rtol=1e-6)


def test_values_that_differ_by_rounding_share_their_rank():
    x = np.linspace(-1.0, 3.0, 24)
    found = []
    for tilt in (0.0, 1e-16, -1e-16):
        fit = sl.fit(LINE, {"x": x, "y": 1.0 + np.tile([0.3, -0.3], 12)}, starts={"a": 1, "b": 0})
        theta = np.array([fit._theta[0], tilt])
        white, _ = white_coordinates(triangle(fit._problem, theta, fit._problem.free)[0])
        found.append(working_noise(fit._problem, theta, fit._problem.free, white).shape)
    assert_allclose(found, np.ones((3, 24)))


def test_residuals_that_show_no_noise_have_equal_working_variances():
    x = np.linspace(0.0, 1.0, 9)
    fit = sl.fit(LINE, {"x": x, "y": np.zeros(9)}, starts={"a": 0, "b": 0})
    assert (fit.residuals == 0.0).all()
    assert (fit.cov("sandwich") == 0.0).all()
    flat = sl.fit(
        sl.Law("y ~ a", params={"a": sl.Param("real", start=(0, 1))}), {"y": [1.0, 1.1, 0.9, 1.2]}, starts=4
    )
    assert flat.stderr("sandwich")["a"] == pytest.approx(np.std([1.0, 1.1, 0.9, 1.2], ddof=1) / 2.0)


def test_the_cluster_sandwich_of_a_robust_loss_has_the_usual_small_factor():
    fit = fitted(loss="soft_l1:0.2")
    X = np.stack([np.ones(24), runs()["x"]], axis=1)
    psi, bend = fit.loss.psi(fit.residuals), fit.loss.curvature(fit.residuals)
    inverse = np.linalg.inv((X.T * bend) @ X)
    sums = np.array([psi[label == LABELS] @ X[label == LABELS] for label in np.unique(LABELS)])
    assert_allclose(fit.cov(by=LABELS), 6 / 5 * 23 / 22 * inverse @ sums.T @ sums @ inverse, rtol=1e-6)
    assert fit.profile("a", by=LABELS, points=0).dof == 5


@pytest.mark.parametrize("loss", ["squared", "huber:0.2"])
def test_clusters_of_one_row_are_the_plain_sandwich(loss):
    fit = fitted(loss=loss)
    assert_allclose(fit.cov(by=np.arange(24)), fit.cov("sandwich"), rtol=1e-9)


def test_rows_of_weight_zero_form_no_cluster():
    weights = np.where(LABELS == "u", 0.0, 1.0)
    fit, data = fitted(weights=weights), runs()
    kept = LABELS != "u"
    X = np.stack([np.ones(20), data["x"][kept]], axis=1)
    value = fit.predict(data).mean[kept]
    expected, _ = by_hand(X, fit.residuals[kept], np.ones(20), LABELS[kept], value)
    assert_allclose(fit.cov(by=LABELS), expected, rtol=1e-6)


def test_clusters_keep_the_size_of_errors_that_rows_share():
    """Over repeated experiments with 40 clusters the slope's t statistic has unit size only with clusters."""
    wide, narrow = [], []
    x = np.linspace(-1.0, 3.0, 160)
    X, labels = np.stack([np.ones(160), x], axis=1), np.repeat(np.arange(40), 4)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y = 1 + 2 * x + np.repeat(0.3 * rng.standard_normal(40), 4) + 0.1 * rng.standard_normal(160)
        a, b = np.linalg.lstsq(X, y, rcond=None)[0]
        fit = sl.fit(LINE, {"x": x, "y": y}, starts={"a": a, "b": b})
        wide.append((fit.values["b"] - 2.0) / fit.stderr(by=labels)["b"])
        narrow.append((fit.values["b"] - 2.0) / fit.stderr("sandwich")["b"])
    assert 0.85 < np.std(wide) < 1.2
    # Four rows that share nine tenths of their variance count as little more than one.
    assert np.std(narrow) > 1.6


def test_labels_come_from_columns_of_the_law_by_either_name_or_from_the_caller():
    grouped = sl.Law(
        "y ~ a[g] + b * x",
        params={"a": sl.Param("real", start=(-5, 5)), "b": sl.Param("real", start=(-5, 5))},
    )
    x = np.tile(np.arange(6.0), 4)
    data = {"size": x, "y": 2 * x + 0.1 * np.random.default_rng(0).standard_normal(24), "g": ["k", "l"] * 12}
    fit = sl.fit(grouped, data, columns={"x": "size"}, starts=8)
    assert_array_equal(fit.cov(by="size"), fit.cov(by=x))
    assert_array_equal(fit.cov(by="x"), fit.cov(by=x.tolist()))
    assert_array_equal(fit.cov(by=x), fit.cov(by=polars.Series(x.astype(str))))
    assert fit.jackknife(by="g").keys == ("k", "l")


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (
            "config",
            r"holds no column 'config': hand the labels over, by=runs\['config'\].*keep=\['config'\]",
        ),
        (LABELS[:5], "by has 5 labels, but the fit has 24 rows"),
        (3, "must name a column or hold one label for each row"),
        (np.zeros(24), "has 1 cluster of rows with positive weight; at least 3 are needed"),
        (LABELS > "r", "has 2 clusters"),
        ([None, *LABELS[1:]], "missing values"),
        (np.where(LABELS == "p", np.nan, 1.0), "missing values"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(by, message):
    with pytest.raises(sl.DataError, match=message):
        fitted().cov(by=by)


def test_only_the_sandwich_has_clusters():
    with pytest.raises(ValueError, match="'classical' has no clusters"):
        fitted().stderr("classical", by=LABELS)
    with pytest.raises(ValueError, match="kind must be one of"):
        fitted().cov("robust", by=LABELS)


def test_correlations_have_ones_on_the_diagonal_and_nan_for_what_does_not_vary():
    fit = sl.fit(LINE, runs(), fixed={"a": 1.0}, starts={"b": 0})
    corr = fit.corr()
    assert_array_equal(np.diagonal(corr), [1.0, 1.0])
    assert np.isnan(corr[0, 1])
    x = runs()["x"]
    both = fitted().corr("classical")
    assert both[0, 1] == pytest.approx(-x.mean() / math.sqrt((x**2).mean()), rel=1e-9)


def test_a_narrow_huber_has_the_error_of_the_absolute_loss():
    """Its second derivative lives on the few rows within delta; the density around zero takes its place."""
    rng = np.random.default_rng(4)
    x = np.linspace(-1.0, 3.0, 300)
    data = {"x": x, "y": 1 + 2 * x + 0.2 * rng.standard_normal(300)}
    near = sl.fit(LINE, data, loss="huber:1e-5", starts={"a": 0, "b": 0})
    kinked = sl.fit(LINE, data, loss="absolute", starts={"a": 0, "b": 0})
    for kind in ("sandwich", "hessian"):
        assert_allclose(near.cov(kind), kinked.cov(kind), rtol=0.03)
