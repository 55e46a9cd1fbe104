"""A Fit: errors, predictions, criteria, refits, plots, and the way to a file and back."""

from __future__ import annotations

import json
import math
import os
import pickle
import warnings

import numpy as np
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose, assert_array_equal
from scalinglaws.serialize import fit_from_dict

PARAMS = {
    "E": sl.Param("positive", start=(0.1, 5.0)),
    "A": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
    "alpha": sl.Param("positive", start=(0.05, 1.0)),
}
POWER = sl.Law(
    "L ~ E + A / N**alpha", params=PARAMS, id="mine", title="Mine", notes="of mine", papers=["me 2020"]
)
TRUE = {"E": 1.7, "A": 400.0, "alpha": 0.34}


def ladder(n=30, noise=0.01, seed=0):
    N = np.geomspace(1e7, 1e10, n)
    rng = np.random.default_rng(seed)
    return {"N": N, "L": (1.7 + 400.0 / N**0.34) * np.exp(noise * rng.standard_normal(n))}


def fitted(loss=None, residual="log", n=30, **options):
    return sl.fit(POWER, ladder(n), residual=residual, loss=loss, starts=TRUE, **options)


@pytest.fixture(scope="module")
def fit():
    return fitted()


@pytest.fixture(scope="module")
def robust():
    return fitted("huber:0.01")


def jacobian(fit):
    """Derivatives of the logarithm of the law by hand."""
    N = ladder(fit.nobs)["N"]
    E, A, alpha = fit.values.values()
    f = E + A / N**alpha
    return np.stack([1.0 / f, N**-alpha / f, -A * N**-alpha * np.log(N) / f], axis=1)


def test_classical_errors_are_those_of_nonlinear_least_squares(fit):
    J = jacobian(fit)
    s2 = float(fit.residuals @ fit.residuals) / fit.dof
    assert_allclose(fit.cov("classical"), s2 * np.linalg.inv(J.T @ J), rtol=1e-6)
    assert fit.cov() == pytest.approx(fit.cov("classical"))
    assert list(fit.stderr()) == ["E", "A", "alpha"]
    assert fit.params["A"].stderr == pytest.approx(math.sqrt(fit.cov()[1, 1]))


def test_classical_errors_agree_with_curve_fit():
    from scipy.optimize import curve_fit

    data = ladder()
    fit = fitted(residual="linear")
    best = list(fit.values.values())
    _, cov = curve_fit(
        lambda N, E, A, alpha: E + A / N**alpha, data["N"], data["L"], p0=best, x_scale=best, method="trf",
        ftol=1e-14, xtol=1e-14, gtol=1e-14,
    )  # fmt: skip
    assert_allclose(fit.cov("classical"), cov, rtol=1e-4)


def test_weights_enter_the_classical_errors_as_precisions():
    a, b = fitted(), fitted(weights=np.full(30, 4.0))
    assert_allclose(a.cov("classical"), b.cov("classical"), rtol=1e-7)


def test_the_sandwich_is_the_one_of_the_score(robust):
    J, r = jacobian(robust), robust.residuals
    psi, bend = np.clip(r, -0.01, 0.01), (np.abs(r) <= 0.01).astype(float)
    N, (_, A, alpha) = ladder()["N"], robust.values.values()
    f = robust.fittedvalues
    second = np.zeros((r.size, 3, 3))
    power, log = N**-alpha, np.log(N)
    second[:, 1, 2] = second[:, 2, 1] = -power * log / f
    second[:, 2, 2] = A * power * log**2 / f
    second -= J[:, :, None] * J[:, None, :]
    H = (J.T * bend) @ J - np.einsum("i,iab->ab", psi, second)
    bread = np.linalg.inv(H)
    small = robust.nobs / robust.dof
    assert_allclose(robust.cov("sandwich"), small * bread @ ((J.T * psi**2) @ J) @ bread, rtol=1e-5)
    assert_allclose(robust.cov(), robust.cov("sandwich"))
    kappa = float(psi @ psi) / robust.dof / bend.mean()
    assert_allclose(robust.cov("hessian"), kappa * bread, rtol=1e-5)


def test_the_hessian_of_the_squared_loss_needs_no_robust_scale(fit):
    assert_allclose(
        np.sqrt(np.diagonal(fit.cov("hessian"))), np.sqrt(np.diagonal(fit.cov("classical"))), rtol=0.1
    )


@pytest.mark.parametrize(
    "loss", ["squared", "huber:0.01", "soft_l1:0.01", "cauchy:0.03", "absolute", "quantile:0.5"]
)
@pytest.mark.parametrize("kind", ["sandwich", "classical", "hessian"])
def test_all_kinds_agree_with_the_scatter_of_repeated_experiments(loss, kind):
    """With 400 rows of Gaussian noise, each kind is within a third of the truth, for every loss."""
    efficiency = {"absolute": math.pi / 2, "quantile:0.5": math.pi / 2}.get(loss, 1.15)
    fit = fitted(loss, n=400)
    J = jacobian(fit)
    truth = np.sqrt(np.diagonal(0.01**2 * np.linalg.inv(J.T @ J)))
    found = np.array(list(fit.stderr(kind).values()))
    low, high = (1.0, 1.0) if kind == "classical" else (1.0, math.sqrt(efficiency))
    assert np.all(found > 0.65 * low * truth)
    assert np.all(found < 1.45 * high * truth)


def test_an_indefinite_hessian_falls_back_to_its_gauss_newton_part():
    # Half of the rows lie far out: the Cauchy loss is concave there.
    N = np.geomspace(1e7, 1e10, 20)
    L = (1.7 + 400.0 / N**0.34) * np.exp(np.where(np.arange(20) % 2, 0.3, 1e-4 * np.cos(np.arange(20))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.FitWarning)
        fit = sl.fit(POWER, {"N": N, "L": L}, residual="log", loss=sl.cauchy(0.01), starts=TRUE)
    errors = np.array(list(fit.stderr("sandwich").values()))
    assert np.all(np.isfinite(errors) | np.isnan(errors))
    assert not np.any(errors <= 0.0)


def test_kinds_are_checked(fit):
    with pytest.raises(
        ValueError, match=r"kind must be one of 'sandwich', 'classical', 'hessian'.*Did you mean 'sandwich'"
    ):
        fit.cov("sandwhich")


def test_the_correlation_matrix_has_a_unit_diagonal(fit):
    corr = fit.corr()
    assert_array_equal(np.diagonal(corr), 1.0)
    assert_allclose(corr, corr.T, rtol=1e-12)
    assert np.all(np.abs(corr) <= 1.0 + 1e-12)
    assert corr[1, 2] > 0.9


def test_arrays_handed_out_are_copies(fit):
    fit.cov()[:] = 0.0
    fit.residuals[:] = 0.0
    fit.values["E"] = 0.0
    assert fit.cov()[0, 0] > 0.0
    assert np.any(fit.residuals != 0.0)
    assert fit.values["E"] > 0.0


def test_a_prediction_is_the_law_with_a_delta_method_interval(fit):
    prediction = fit.predict({"N": 7e10}, level=0.9, kind="classical")
    law = POWER(N=7e10, **fit.values)
    gradient = POWER.gradient(N=7e10, **fit.values) / law
    error = math.sqrt(gradient @ fit.cov() @ gradient)
    from scipy.stats import t

    half = t(fit.dof).ppf(0.95) * error
    assert prediction.mean == pytest.approx(law, rel=1e-14)
    assert prediction.lower == pytest.approx(law * math.exp(-half), rel=1e-9)
    assert prediction.upper == pytest.approx(law * math.exp(half), rel=1e-9)
    assert prediction.stderr == pytest.approx(law * error, rel=1e-9)
    assert (prediction.level, prediction.kind, prediction.new_run) == (0.9, "classical", False)


def test_a_linear_residual_gives_a_symmetric_interval():
    prediction = fitted(residual="linear").predict({"N": 7e10}, level=0.9)
    assert prediction.mean - prediction.lower == pytest.approx(prediction.upper - prediction.mean, rel=1e-9)


def test_the_interval_of_a_new_run_contains_the_noise(fit):
    law = fit.predict({"N": 7e10}, level=0.9)
    run = fit.predict({"N": 7e10}, level=0.9, new_run=True)
    assert run.mean == law.mean
    assert run.lower < law.lower
    assert run.upper > law.upper
    spread = math.sqrt(fit.rss / fit.dof)
    assert math.log(run.upper / run.mean) > 1.5 * spread


def test_predictions_keep_the_shape_of_the_inputs(fit):
    assert type(fit.predict({"N": 7e10}).mean) is float
    assert fit.predict({"N": np.ones((2, 3))}, level=0.5).upper.shape == (2, 3)
    assert fit.predict({"N": [1e9, 1e10]}).lower is None


def test_prediction_options_are_checked(fit):
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        fit.predict({"N": 1e9}, level=95)
    with pytest.raises(sl.DataError, match="no column 'N'"):
        fit.predict({"M": 1e9})
    with pytest.raises(sl.DataError, match="missing values"):
        fit.predict({"N": math.nan})


def test_criteria_of_the_squared_loss_are_gaussian(fit):
    n, k = 30, 3
    loglik = -0.5 * n * (math.log(2 * math.pi * fit.rss / n) + 1)
    assert fit.loglik == pytest.approx(loglik)
    assert fit.aic == pytest.approx(2 * k - 2 * loglik)
    assert fit.aicc == pytest.approx(fit.aic + 2 * k * (k + 1) / (n - k - 1))
    assert fit.bic == pytest.approx(k * math.log(n) - 2 * loglik)


def test_criteria_of_the_absolute_loss_are_those_of_laplace():
    fit = fitted("absolute")
    scale = np.abs(fit.residuals).mean()
    assert fit.loglik == pytest.approx(-30 * (math.log(2 * scale) + 1))
    median = fitted("quantile:0.5")
    assert median.loglik == pytest.approx(fit.loglik, rel=1e-6)


def test_the_corrected_criterion_is_infinite_for_too_few_rows():
    assert math.isinf(fitted(n=4).aicc)


def test_refits_with_unit_weights_are_the_fit(fit):
    refits = fit.refit(np.ones((3, 30)))
    assert refits.names == fit.names
    assert refits.draws.shape == (3, 3)
    for draw in refits.draws:
        assert_allclose(draw, list(fit.values.values()), rtol=1e-7)
    assert_allclose(refits.objective, fit.objective, rtol=1e-9)
    assert set(refits.status) == {"converged"}


def test_refits_of_resampled_rows_scatter_like_the_standard_errors(fit):
    rng = np.random.default_rng(1)
    draws = fit.refit(rng.multinomial(30, np.full(30, 1 / 30), size=200)).draws
    assert_allclose(draws.std(axis=0), list(fit.stderr().values()), rtol=0.5)


def test_refit_weights_multiply_those_of_the_fit():
    weights = np.linspace(0.5, 2.0, 30)
    fit = fitted(weights=weights)
    assert_allclose(fit.refit(np.ones(30)).objective[0], fit.objective, rtol=1e-9)


@pytest.mark.parametrize("weights", [np.ones((2, 29)), -np.ones((1, 30)), np.full((1, 30), np.nan)])
def test_refit_weights_are_checked(fit, weights):
    with pytest.raises(sl.DataError, match="weights must"):
        fit.refit(weights)


def test_a_saved_fit_comes_back_whole(fit, tmp_path):
    fit.save(tmp_path / "fit.json")
    back = sl.load(tmp_path / "fit.json")
    assert back.law == fit.law
    assert back.summary() == fit.summary()
    assert back.values == fit.values
    assert back.basins == fit.basins
    assert back.data_hash == fit.data_hash
    for kind in ("sandwich", "classical", "hessian"):
        assert_allclose(back.cov(kind), fit.cov(kind), rtol=1e-12)
    assert_array_equal(back.residuals, fit.residuals)
    assert back.predict({"N": 7e10}, 0.9).upper == fit.predict({"N": 7e10}, 0.9).upper
    assert_allclose(back.refit(np.ones((1, 30))).draws, fit.refit(np.ones((1, 30))).draws)


def test_a_fit_saved_without_its_rows_still_predicts(robust, tmp_path):
    robust.save(tmp_path / "fit.json", data=False)
    back = sl.load(tmp_path / "fit.json")
    assert not back.has_data
    assert back.summary() == robust.summary()
    assert back.predict({"N": 7e10}, 0.9, kind="classical").upper == pytest.approx(
        robust.predict({"N": 7e10}, 0.9, kind="classical").upper, rel=1e-12
    )
    with pytest.raises(sl.DataError, match="saved without them"):
        _ = back.residuals
    with pytest.raises(sl.DataError, match="saved without them"):
        back.refit(np.ones((1, 30)))


def test_groups_ties_and_priors_survive_saving(tmp_path):
    N = np.geomspace(1e7, 1e10, 20)
    lang = np.array(["en", "de"] * 10)
    rng = np.random.default_rng(0)
    L = (1.7 + np.where(lang == "en", 400.0, 300.0) / N**0.34) * np.exp(0.01 * rng.standard_normal(20))
    law = sl.Law("L ~ E + A[lang] / N**alpha", params=PARAMS)
    runs = {"N": N, "who": lang, "L": L}
    options = {
        "priors": {"E": sl.normal(1.7, 0.5)},
        "columns": {"lang": "who"},
        "starts": {"A": 300.0, "alpha": 0.3},
    }
    for number, fixed in enumerate([None, {"alpha": "0.2 * E"}, {"alpha": 0.34}]):
        fit = sl.fit(law, runs, residual="log", fixed=fixed, **options)
        fit.save(tmp_path / f"{number}.json")
        back = sl.load(tmp_path / f"{number}.json")
        assert back.params == fit.params
        assert back.predict({"N": 1e11, "who": "de"}).mean == fit.predict({"N": 1e11, "who": "de"}).mean


def test_the_file_is_strict_json_with_a_version(tmp_path):
    with pytest.warns(sl.FitWarning):
        fit = sl.fit(POWER, {"N": np.full(5, 1e8), "L": np.full(5, 2.0)}, residual="log", starts=TRUE)
    fit.save(tmp_path / "fit.json")

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    content = json.loads((tmp_path / "fit.json").read_text(), parse_constant=refuse)
    assert content["format"] == "scalinglaws.fit"
    assert content["version"] == 1
    assert content["stderr"]["E"] == "nan"
    assert math.isnan(sl.load(tmp_path / "fit.json").stderr()["E"])


def test_other_files_and_later_versions_are_refused(fit, tmp_path):
    path = tmp_path / "fit.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="is not a saved fit"):
        sl.load(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="not a saved fit"):
        sl.load(path)
    with pytest.raises(ValueError, match="update scalinglaws"):
        fit_from_dict({**fit.to_dict(), "version": 99})
    with pytest.raises(FileNotFoundError):
        sl.load(tmp_path / "none.json")


def test_saving_replaces_whole_files_and_leaves_no_draft(fit, tmp_path, monkeypatch):
    path = tmp_path / "fit.json"
    path.write_text("old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        fit.save(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["fit.json"]


def test_a_fit_survives_pickling(fit, robust):
    for made in (fit, robust):
        back = pickle.loads(pickle.dumps(made))
        assert back.summary() == made.summary()
        assert_allclose(back.cov(), made.cov())
        assert back.law == made.law


def test_a_fit_is_frozen(fit):
    with pytest.raises(AttributeError):
        fit.objective = 0.0


def test_the_summary_holds_what_a_reader_needs(fit):
    lines = fit.summary().splitlines()
    assert lines[0] == "Mine"
    text = fit.summary()
    for piece in ("L ~ E + A / N**alpha", "rows        30", "alpha", "classical", "valid: converged", "AIC"):
        assert piece in text
    assert max(map(len, lines)) <= 78
    assert str(fit) == text
    assert repr(fit).startswith("<Fit of mine: valid, objective ")


def test_the_summary_marks_fixed_tied_and_bounded_parameters():
    fixed = fitted(fixed={"alpha": 0.34, "A": "200 * E"})
    lines = {line.split()[0]: line for line in fixed.summary().splitlines() if line.strip()}
    assert lines["alpha"].endswith("fixed")
    assert lines["A"].endswith("= 200 * E")
    law = sl.Law(POWER.formula, params={**PARAMS, "alpha": sl.Param((0.0, 0.2), start=(0.05, 0.15))})
    with pytest.warns(sl.FitWarning):
        bound = sl.fit(law, ladder(), residual="log", starts={"A": 100.0})
    assert "at its bound" in bound.summary()
    assert "NOT VALID: alpha ended on its upper bound" in bound.summary()


def test_plots_draw_rows_and_curves(fit):
    figure = pytest.importorskip("matplotlib.figure")
    canvas = figure.Figure()
    left, right = canvas.subplots(1, 2)
    assert fit.plot.loss(ax=left) is left
    assert fit.plot.residuals("N", ax=right) is right
    assert left.get_xlabel() == "N"
    assert left.get_ylabel() == "L"
    assert left.get_xscale() == "log"
    assert len(left.collections[0].get_offsets()) == 30
    assert_allclose(left.lines[0].get_ydata()[0], fit.predict({"N": 1e7}).mean)
    assert right.get_ylabel() == "log L - log fitted"


def test_plots_colour_a_second_input():
    figure = pytest.importorskip("matplotlib.figure")
    rng = np.random.default_rng(0)
    N, D = 10 ** rng.uniform(7, 10, 30), 10 ** rng.uniform(8, 11, 30)
    values = {"E": 1.7, "A": 400.0, "B": 500.0, "alpha": 0.34, "beta": 0.3}
    L = sl.laws.chinchilla(N=N, D=D, **values) * np.exp(0.01 * rng.standard_normal(30))
    fit = sl.fit("chinchilla", {"N": N, "D": D, "L": L}, starts=values)
    canvas = figure.Figure()
    ax = fit.plot.loss("N", by="D", ax=canvas.subplots())
    assert len(ax.lines) == 5
    assert [a.get_ylabel() for a in canvas.axes] == ["L", "D"]
    fit.plot.residuals(ax=canvas.subplots())
    with pytest.raises(ValueError, match="no input 'M'"):
        fit.plot.loss("M", ax=ax)


def test_a_group_that_determines_nothing_of_its_own_leaves_the_errors_of_shared_parameters_alone():
    rng = np.random.default_rng(5)
    x = np.geomspace(1e2, 1e6, 12)
    rows = {"x": np.tile(x, 2), "g": np.repeat(["a", "b"], 12)}
    y = (1.5 + 20.0 * rows["x"] ** -0.4) * np.exp(0.01 * rng.normal(size=24))
    law = sl.Law(
        "y ~ E[g] + A[g] * x**(-alpha)",
        params={
            "E": sl.Param("positive", start=(0.1, 5.0)),
            "A": sl.Param("positive", start=(1.0, 100.0), sampling="log"),
            "alpha": sl.Param("positive", start=(0.1, 1.0)),
        },
    )
    full = sl.fit(law, {**rows, "y": y}, residual="log", loss=sl.huber(0.01), starts=64)
    # A third group of one row: its floor and its coefficient cannot be told apart.
    more = {
        "x": np.append(rows["x"], 1e4),
        "g": np.append(rows["g"], "c"),
        "y": np.append(y, 2.0),
    }
    with pytest.warns(sl.FitWarning):
        joint = sl.fit(law, more, residual="log", loss=sl.huber(0.01), starts=64)
    assert joint.values["alpha"] == pytest.approx(full.values["alpha"], rel=1e-6)
    for kind in ("sandwich", "hessian"):
        ratio = joint.stderr(kind)["alpha"] / full.stderr(kind)["alpha"]
        assert 0.9 < ratio < 1.1, (kind, ratio)
        assert np.isnan(joint.stderr(kind)["E[c]"])
