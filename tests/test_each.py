"""One fit for each group of a table: the same numbers as separate fits, no group lost, one warning."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose, assert_array_equal

LAW = sl.Law(
    "L ~ E + A / N**alpha",
    params={
        "E": sl.Param("positive", start=(0.1, 5.0)),
        "A": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
        "alpha": sl.Param("positive", start=(0.05, 1.0)),
    },
    residual="log",
)
TRUTH = {"web": (1.7, 400.0, 0.34), "code": (0.9, 300.0, 0.4), "math": (1.2, 900.0, 0.3)}
RECTIFIED = {
    "B": sl.Param("positive", start=(0.1, 1e5), sampling="log"),
    "Dl": sl.Param("positive", start=(0.1, 1e5), sampling="log"),
    "beta": sl.Param("positive", start=(0.05, 1.5)),
    "E": sl.Param("positive", start=(0.01, 4.0)),
}


def law_of(formula, names=RECTIFIED):
    return sl.Law(formula, params={name: RECTIFIED[name] for name in names}, residual="log", loss="squared")


def make(noise=0.01, n=8):
    """Interleaved rows of three groups, as lists and arrays."""
    rng = np.random.default_rng(5)
    N = np.tile(np.geomspace(1e7, 1e10, n), (3, 1)).T.ravel()
    data = np.array(["web", "code", "math"] * n)
    E, A, alpha = np.array([TRUTH[name] for name in data]).T
    return {"N": N, "data": data, "L": (E + A / N**alpha) * np.exp(noise * rng.standard_normal(N.size))}


@pytest.fixture
def runs():
    return make()


def answer(fit):
    return fit.objective, fit.values, fit.status, fit.stderr()


def quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.FitWarning)
        return sl.fit_each(*arguments, **options)


# ---- what comes out
# ---------------------------------------------------------------------------------------------------


def test_every_group_gets_the_fit_that_it_would_get_alone(runs):
    fits = sl.fit_each(LAW, runs, by="data", loss="huber:1e-2", starts=64, rng=3)
    assert list(fits) == ["web", "code", "math"] == list(fits.groups)
    for name, fit in fits.items():
        mine = runs["data"] == name
        alone = sl.fit(LAW, {k: v[mine] for k, v in runs.items()}, loss="huber:1e-2", starts=64, rng=3)
        assert answer(fit) == answer(alone)
        assert fit.data_hash == alone.data_hash
        assert fit.starts == alone.starts


def test_the_number_of_threads_does_not_change_a_bit(runs):
    one, two, many = (sl.fit_each(LAW, runs, by="data", starts=64, threads=t) for t in (1, 2, 8))
    for key in one:
        assert answer(one[key]) == answer(two[key]) == answer(many[key])


def test_keys_are_values_for_one_name_and_tuples_for_several(runs):
    runs = {**runs, "year": [2024] * 24}
    assert list(sl.fit_each(LAW, runs, by=["data"], starts=32)) == [("web",), ("code",), ("math",)]
    fits = sl.fit_each(LAW, runs, by=["year", "data"], starts=32)
    assert list(fits) == [(2024, "web"), (2024, "code"), (2024, "math")]
    assert fits[2024, "code"].nobs == 8
    assert type(next(iter(fits))[0]) is int


def test_the_table_has_a_row_for_each_group(runs):
    fits = sl.fit_each(LAW, runs, by="data", starts=64)
    table = fits.table
    assert list(table) == [
        "data",
        *("nobs", "objective", "rmse", "success", "valid", "status", "message"),
        *("E", "E_stderr", "A", "A_stderr", "alpha", "alpha_stderr"),
    ]
    assert table["data"].tolist() == ["web", "code", "math"]
    assert table["nobs"].tolist() == [8, 8, 8]
    assert table["valid"].dtype == bool
    for row, fit in enumerate(fits.values()):
        assert table["alpha"][row] == fit.values["alpha"]
        assert table["alpha_stderr"][row] == fit.stderr()["alpha"]
        assert table["rmse"][row] == pytest.approx(np.sqrt(np.mean(fit.residuals**2)), rel=1e-12)
    table["alpha"][:] = 0.0
    assert fits.table["alpha"][0] > 0.0, "the result is frozen, the table is a copy"


FRAMES = {
    "pandas": lambda columns: pd.DataFrame(columns, index=np.arange(24)[::-1] * 7),
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
}


@pytest.mark.parametrize("kind", FRAMES)
def test_the_table_is_of_the_kind_that_was_fitted(runs, kind):
    columns = {**runs, "seed": np.arange(24) // 3 % 2}
    frame = FRAMES[kind](columns)
    fits = sl.fit_each(LAW, frame, by=["data", "seed"], starts=32, fixed={"alpha": 0.35})
    expected = sl.fit_each(LAW, columns, by=["data", "seed"], starts=32, fixed={"alpha": 0.35})
    assert type(fits.table) is type(frame)
    table, other = pl.DataFrame(fits.table), expected.table
    assert table.columns == list(other)
    assert table["seed"].dtype == pl.Int64
    assert table["valid"].dtype == pl.Boolean
    assert table["nobs"].dtype == pl.Int64
    for name in ("E", "objective", "seed", "nobs", "data", "status", "alpha_stderr"):
        assert table[name].to_list() == other[name].tolist()
    if kind == "pandas":
        assert fits.table.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert [answer(fit) for fit in fits.values()] == [answer(fit) for fit in expected.values()]
    assert_array_equal(fits.predict(frame).mean, expected.predict(columns).mean)


def test_key_columns_keep_their_type():
    runs = pd.DataFrame(make()).astype({"data": "category"})
    fits = sl.fit_each(LAW, runs, by="data", starts=32)
    assert isinstance(fits.table["data"].dtype, pd.CategoricalDtype)
    dates = pl.DataFrame(make()).with_columns(data=pl.lit("2024-01-05").str.to_date())
    assert quietly(LAW, dates, by="data", starts=32).table["data"].dtype == pl.Date


def test_structured_arrays_and_columns_of_other_libraries_are_tables(runs):
    fields = [("N", float), ("data", "U4"), ("L", float)]
    rows = np.array(list(zip(*(runs[name] for name, _ in fields), strict=True)), dtype=fields)
    series = {"N": pd.Series(runs["N"]), "data": pl.Series(runs["data"]), "L": runs["L"].tolist()}
    expected = [answer(fit) for fit in sl.fit_each(LAW, runs, by="data", starts=32).values()]
    for table in (rows, series):
        fits = sl.fit_each(LAW, table, by="data", starts=32)
        assert list(fits) == ["web", "code", "math"]
        assert [answer(fit) for fit in fits.values()] == expected
        assert isinstance(fits.table, dict)


def test_columns_weights_and_priors_are_those_of_fit(runs):
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 24)
    weights[3] = 0.0
    table = {"params": runs["N"], "loss": runs["L"], "data": runs["data"], "w": weights}
    options = {
        "columns": {"N": "params", "L": "loss"},
        "priors": {"alpha": sl.normal(0.3, 0.1)},
        "fixed": {"E": 1.0},
        "starts": 32,
    }
    by_name = sl.fit_each(LAW, table, by="data", weights="w", **options)
    by_array = sl.fit_each(LAW, table, by="data", weights=weights, **options)
    for key, fit in by_name.items():
        mine = runs["data"] == key
        rows = {name: column[mine] for name, column in table.items()}
        assert answer(fit) == answer(by_array[key]) == answer(sl.fit(LAW, rows, weights="w", **options))
    assert by_name.table["nobs"].tolist() == [7, 8, 8]


def test_kept_columns_label_the_rows_of_each_fit(runs):
    configs = [f"config {i % 4}" for i in range(24)]
    runs = {**runs, "config": configs}
    fits = sl.fit_each(LAW, runs, by="data", keep=["config"], starts=64)
    web = runs["data"] == "web"
    alone = sl.fit(LAW, {name: np.array(runs[name])[web] for name in ("N", "L")}, starts=64)
    labels = np.array(configs)[web]
    assert_array_equal(fits["web"].cov(by="config"), alone.cov(by=labels))
    boot = fits["web"].bootstrap(20, by="config", rng=3)
    assert_array_equal(boot.draws, alone.bootstrap(20, by=labels, rng=3).draws)
    joint = sl.fit_each(LAW, runs, by="data", keep=["config"], shared="alpha", starts=64).joint
    assert len(joint.jackknife(by="config").draws) == 4
    with pytest.raises(sl.DataError, match=r"no column 'confug' to keep.*Did you mean 'config'"):
        sl.fit_each(LAW, runs, by="data", keep=["confug"])


def test_the_independent_backend_agrees(runs):
    rust = sl.fit_each(LAW, runs, by="data", starts=32)
    scipy = sl.fit_each(LAW, runs, by="data", starts=8, backend="scipy", threads=2)
    for key, fit in rust.items():
        assert scipy[key].backend == "scipy"
        assert scipy[key].objective == pytest.approx(fit.objective, rel=1e-11)
        assert scipy[key].values == pytest.approx(fit.values, rel=1e-5)


def test_a_generator_gives_every_group_a_seed_in_order(runs):
    fits = sl.fit_each(LAW, runs, by="data", starts=32, rng=np.random.default_rng(1), threads=2)
    again = sl.fit_each(LAW, runs, by="data", starts=32, rng=np.random.default_rng(1), threads=1)
    seeds = [fit.starts.seed for fit in fits.values()]
    assert len(set(seeds)) == 3
    assert seeds == [fit.starts.seed for fit in again.values()]


def test_fits_of_a_law_with_groups_of_its_own_have_the_columns_of_all(runs):
    law = sl.Law(LAW.formula.replace("A", "A[lang]"), params=LAW.params, residual="log")
    lang = np.where(np.arange(24) // 3 % 2, "de", np.where(runs["data"] == "web", "fr", "en"))
    table = quietly(law, {**runs, "lang": lang}, by="data", starts=32).table
    assert {"A[de]", "A[fr]", "A[en]", "A[fr]_stderr"} <= set(table)
    assert np.isnan(table["A[fr]"]).tolist() == [False, True, True]
    assert np.isnan(table["A[en]"]).tolist() == [True, False, False]


def test_the_result_is_frozen_and_survives_pickling(runs):
    fits = sl.fit_each(LAW, pl.DataFrame(runs), by="data", starts=32)
    again = pickle.loads(pickle.dumps(fits))
    assert again.table.equals(fits.table)
    assert answer(again["web"]) == answer(fits["web"])
    with pytest.raises(AttributeError):
        fits.by = ("other",)
    assert repr(fits) == "<Fits of L ~ E + A / N**alpha by data: 3 groups, 3 valid, 0 failed>"
    with pytest.raises(KeyError, match=r"no group 'wep' was fitted.*Did you mean 'web'"):
        fits["wep"]
    with pytest.raises(KeyError, match="no group"):
        fits[["web"]]


def test_progress_counts_groups(runs):
    seen = []
    sl.fit_each(LAW, runs, by="data", starts=32, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3, 3)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


# ---- predictions
# ---------------------------------------------------------------------------------------------------


def test_rows_are_predicted_by_the_fit_of_their_group(runs):
    fits = sl.fit_each(LAW, runs, by="data", starts=64)
    rows = {"N": np.array([1e11, 1e8, 1e11]), "data": ["math", "web", "web"]}
    found = fits.predict(rows, level=0.9, new_run=True)
    for row, name in enumerate(rows["data"]):
        alone = fits[name].predict({"N": rows["N"][row]}, level=0.9, new_run=True)
        for part in ("mean", "stderr", "lower", "upper"):
            assert getattr(found, part)[row] == getattr(alone, part)
    assert (found.level, found.kind, found.new_run) == (0.9, alone.kind, True)
    one = fits.predict({"N": 1e11, "data": "math"})
    assert type(one.mean) is float
    assert one.mean == found.mean[0]
    assert one.lower is None
    assert_array_equal(fits.predict({"N": [1e8, 1e11], "data": "web"}).mean, found.mean[1:])


def test_predictions_accept_the_names_of_the_table_and_of_the_law(runs):
    table = {"params": runs["N"], "L": runs["L"], "data": runs["data"]}
    fits = sl.fit_each(LAW, table, by="data", columns={"N": "params"}, starts=32)
    expected = fits.predict({"params": [1e9], "data": ["web"]}).mean
    assert_array_equal(fits.predict({"N": [1e9], "data": ["web"]}).mean, expected)


def test_rows_that_cannot_be_predicted_are_refused(runs):
    fits = sl.fit_each(LAW, runs, by="data", starts=32)
    with pytest.raises(sl.DataError, match=r"no group 'cod' was fitted.*Did you mean 'code'"):
        fits.predict({"N": [1e9, 1e9], "data": ["web", "cod"]})
    with pytest.raises(sl.DataError, match="no column 'data' to group by"):
        fits.predict({"N": [1e9]})
    with pytest.raises(sl.DataError, match="no column 'N'"):
        fits.predict({"data": ["web"]})
    with pytest.raises(sl.DataError, match="different lengths"):
        fits.predict({"N": [1e9, 1e9], "data": ["web"]})
    with pytest.raises(ValueError, match="level must lie"):
        fits.predict({"N": [1e9], "data": ["web"]}, level=2.0)


# ---- groups that cannot be fitted
# ------------------------------------------------------------------------------------------


def spoilt():
    """Group a is fine, b has too few rows, c a loss that is not positive, d no weight, e a missing value."""
    x = np.geomspace(1e7, 1e10, 6)
    good = 1.7 + 400.0 / x**0.34
    label = ["a"] * 6 + ["b"] * 2 + ["c"] * 6 + ["d"] * 6 + ["e"] * 6
    loss = np.concatenate([good, good[:2], good, good, good])
    loss[10], loss[22] = -1.0, np.nan
    weight = np.ones(26)
    weight[14:20] = 0.0
    return {"N": np.concatenate([x, x[:2], x, x, x]), "L": loss, "g": label, "w": weight}


def test_a_group_that_cannot_be_fitted_stays_in_the_table_with_its_error():
    with pytest.warns(sl.FitWarning) as caught:
        fits = sl.fit_each(LAW, spoilt(), by="g", weights="w", starts=32)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert text.startswith(
        "4 of 5 groups have no valid fit (4 could not be fitted at all): g='b': 2 rows cannot"
    )
    assert caught[0].filename == __file__
    assert list(fits) == ["a"]
    assert fits.groups == ("a", "b", "c", "d", "e")
    table = fits.table
    assert table["g"].tolist() == ["a", "b", "c", "d", "e"]
    assert table["status"].tolist() == ["converged", "error", "error", "error", "error"]
    assert table["nobs"].tolist() == [6, 2, 6, 0, 6]
    assert table["valid"].tolist() == [True, False, False, False, False]
    assert np.isnan(table["alpha"]).tolist() == [False, True, True, True, True]
    assert "2 rows cannot determine 3 parameters" in fits.failures["b"]
    assert "zero or negative" in fits.failures["c"]
    assert "row 2 (-1) (counted within the group; in the table row 10)" in fits.failures["c"]
    assert "every weight is 0" in fits.failures["d"]
    assert (
        "missing values (NaN or null) in row 2 (counted within the group; in the table row 22)"
        in (fits.failures["e"])
    )
    assert table["message"].tolist()[1:] == [fits.failures[key] for key in "bcde"]
    with pytest.raises(KeyError, match="g='b' could not be fitted: 2 rows"):
        fits["b"]
    with pytest.raises(sl.DataError, match="g='b' could not be fitted"):
        fits.predict({"N": [1e9], "g": ["b"]})


def test_the_first_group_that_cannot_be_fitted_may_raise():
    with pytest.raises(sl.DataError, match="g='b': 2 rows cannot determine 3 parameters"):
        sl.fit_each(LAW, spoilt(), by="g", weights="w", starts=32, on_error="raise")
    table = {name: column[8:14] for name, column in spoilt().items()}
    with pytest.raises(sl.DataError, match="g='c': column 'L'") as error:
        sl.fit_each(LAW, table, by="g", starts=32, on_error="raise")
    assert error.value.rows == (2,)


def test_a_table_in_which_no_group_can_be_fitted_has_its_columns():
    x = [1e7, 1e8]
    fits = quietly(LAW, pl.DataFrame({"N": x, "L": [2.0, 1.9], "g": ["a", "b"]}), by="g")
    assert len(fits) == 0
    assert fits.table.columns[-2:] == ["alpha", "alpha_stderr"]
    assert fits.table["status"].to_list() == ["error", "error"]


def test_fits_that_are_not_valid_are_counted_in_one_warning():
    x = np.geomspace(1e7, 1e10, 6)
    table = {"N": np.tile(x, 7), "g": np.repeat(list("abcdefg"), 6), "L": np.tile(400.0 / x**0.34, 7)}
    with pytest.warns(
        sl.FitWarning, match="7 of 7 groups have no valid fit: g='a': .*; and 2 more"
    ) as caught:
        fits = sl.fit_each(LAW, table, by="g", starts=32)
    assert len(caught) == 1
    assert len(str(caught[0].message)) < 1200
    assert not fits.failures
    assert not any(fits.table["valid"])
    assert "E" in fits.table["message"][0]


def test_filters_of_warnings_stay_as_they_are(runs):
    before = list(warnings.filters)
    sl.fit_each(LAW, runs, by="data", starts=32)
    assert warnings.filters == before


# ---- input that is refused
# ----------------------------------------------------------------------------------------------


BAD = [
    ({"by": "dta"}, sl.DataError, "no column 'dta' to group by. Did you mean 'data'"),
    ({"by": "model"}, sl.DataError, "no column 'model' to group by. Its columns are 'N', 'data', 'L'"),
    ({"by": []}, ValueError, "by is empty"),
    ({"by": ["data", "data"]}, ValueError, "names the column 'data' twice"),
    ({"by": 3}, TypeError, "by names columns of the table"),
    ({"by": ["data", 3]}, TypeError, "by names columns of the table"),
    ({"by": "data", "on_error": "ignore"}, ValueError, "on_error must be 'keep' or 'raise'"),
    ({"by": "data", "threads": 0}, ValueError, "threads must be"),
    ({"by": "data", "backend": "rusty"}, ValueError, "Did you mean 'rust'"),
    ({"by": "data", "loss": "hubber:1"}, ValueError, "Did you mean 'huber'"),
    ({"by": "data", "residual": "ln"}, ValueError, "residual must be"),
    ({"by": "data", "fixed": {"alfa": 1.0}}, ValueError, "Did you mean 'alpha'"),
    ({"by": "data", "starts": 0}, ValueError, "starts must be at least 1"),
    ({"by": "data", "priors": {"alpha": 3}}, ValueError, "the prior for 'alpha'"),
    ({"by": "data", "weights": "w"}, sl.DataError, "no column 'w' for the weights"),
    ({"by": "data", "weights": [1.0]}, sl.DataError, "one number for each of 24 rows"),
    ({"by": "data", "columns": {"N": "params"}}, sl.DataError, "no column 'params' for 'N'"),
    ({"by": "data", "shared": "alfa"}, ValueError, "shared names 'alfa'.*Did you mean 'alpha'"),
    ({"by": "data", "shared": ["E", "A", "alpha"]}, ValueError, "every free parameter is shared"),
    ({"by": "data", "shared": "E", "fixed": {"E": 1.0}}, ValueError, "'E', which is fixed or tied"),
    ({"by": "data", "shared": "E", "fixed": {"A": "alpha"}}, ValueError, "uses 'alpha', which is grouped"),
]


@pytest.mark.parametrize(("options", "kind", "message"), BAD)
def test_options_that_cannot_be_understood_are_refused_at_once(runs, options, kind, message):
    with pytest.raises(kind, match=message):
        sl.fit_each(LAW, runs, **options)


def test_missing_keys_and_uneven_columns_are_refused(runs):
    labels = runs["data"].tolist()
    labels[4] = None
    with pytest.raises(sl.DataError, match=r"column 'data', which is grouped by, .* in row 4"):
        sl.fit_each(LAW, {**runs, "data": labels}, by="data")
    frame = pl.DataFrame({**runs, "data": labels})
    with pytest.raises(sl.DataError, match=r"missing values .* in row 4"):
        sl.fit_each(LAW, frame, by="data")
    with pytest.raises(sl.DataError, match=r"missing values .* in rows 0, 1"):
        sl.fit_each(LAW, {**runs, "data": [float("nan")] * 24}, by="data")
    for column, message in ((labels[:3], "'data' has 3"), ("web", "is a single value")):
        with pytest.raises(sl.DataError, match=message):
            sl.fit_each(LAW, {**runs, "data": column}, by="data")
    with pytest.raises(sl.DataError, match=r"column 'data' has 24 rows, column 'seed' has 2"):
        sl.fit_each(LAW, {**runs, "seed": [1, 2]}, by=["data", "seed"])
    with pytest.raises(sl.DataError, match="cannot name a group"):
        sl.fit_each(LAW, {**runs, "data": [[1]] * 24}, by="data")
    with pytest.raises(sl.DataError, match="the table is empty"):
        sl.fit_each(LAW, {"N": [], "L": [], "data": []}, by="data")
    with pytest.raises(TypeError, match="runs is a table, not a path"):
        sl.fit_each(LAW, "runs.csv", by="data")


def test_columns_that_the_table_of_results_could_not_tell_apart_are_refused(runs):
    for name in ("status", "alpha", "alpha_stderr"):
        with pytest.raises(ValueError, match=f"a column '{name}' of its own"):
            sl.fit_each(LAW, {**runs, name: runs["data"]}, by=name)
    law = sl.Law("L ~ valid / N", params={"valid": "positive"})
    with pytest.raises(ValueError, match="the parameter 'valid' has the name"):
        sl.fit_each(law, runs, by="data")


INTERRUPTED = """
import sys, warnings
import numpy as np
import scalinglaws as sl
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
N, D = 10 ** rng.uniform(7, 10, 4000), 10 ** rng.uniform(8, 11, 4000)
L = (1.7 + 400 / N**0.34 + 500 / D**0.3) * np.exp(0.01 * rng.standard_normal(4000))
print("ready", flush=True)
try:
    table = {"N": N, "D": D, "L": L, "g": np.arange(4000) % 8}
    sl.fit_each("farseer", table, by="g", starts=50_000, screen=0)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_ends_all_groups_soon():
    seconds = []
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(1.5)
            began = time.perf_counter()
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n"
            seconds.append(time.perf_counter() - began)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if seconds[-1] < 0.5:
            break
    assert min(seconds) < 0.5


def test_a_progress_function_that_raises_ends_the_call(runs):
    def stop(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        sl.fit_each(LAW, runs, by="data", starts=32, progress=stop)


# ---- shared parameters
# --------------------------------------------------------------------------------------------------


def test_shared_parameters_give_the_joint_fit_of_the_formula_with_groups(runs):
    fits = sl.fit_each(LAW, runs, by="data", shared="alpha", starts=64)
    law = sl.Law("L ~ E[data] + A[data] / N**alpha", params=LAW.params, residual="log")
    joint = sl.fit(law, runs)
    assert fits.shared == ("alpha",)
    assert fits.joint.objective == pytest.approx(joint.objective, rel=1e-10)
    table = fits.table
    assert len(set(table["alpha"])) == 1
    assert table["alpha"][0] == pytest.approx(joint.values["alpha"], rel=1e-7)
    assert sum(table["objective"]) == pytest.approx(joint.objective, rel=1e-10)
    for row, name in enumerate(table["data"]):
        assert table["E"][row] == pytest.approx(joint.values[f"E[{name}]"], rel=1e-7)
        assert table["E_stderr"][row] == pytest.approx(joint.stderr()[f"E[{name}]"], rel=1e-5)
    mean = fits.predict(runs, level=0.9)
    expected = joint.predict(runs, level=0.9)
    assert_allclose(mean.mean, expected.mean, rtol=1e-8)
    assert_allclose(mean.upper, expected.upper, rtol=1e-6)
    assert list(fits) == ["web", "code", "math"]
    assert fits["code"].params["alpha"].vary is False


def test_a_prior_on_a_shared_parameter_counts_once():
    runs = make()
    prior = {"alpha": sl.normal(0.5, 0.01)}
    fits = quietly(LAW, runs, by="data", shared=["alpha"], priors=prior, starts=64)
    law = sl.Law("L ~ E[data] + A[data] / N**alpha", params=LAW.params, residual="log")
    joint = sl.fit(law, runs, priors=prior)
    assert fits.joint.values["alpha"] == pytest.approx(joint.values["alpha"], rel=1e-7)


def test_groups_with_too_few_rows_alone_take_part_in_the_joint_fit():
    runs = make(noise=0.0)
    keep = (runs["data"] != "math") | (np.arange(24) < 9)
    rows = {name: column[keep] for name, column in runs.items()}
    rows = {
        name: np.append(column, extra)
        for (name, column), extra in zip(rows.items(), (1e9, "one", 2.0), strict=True)
    }
    # Rows with an equal exponent, so that what is shared is true.
    E, A = {"web": 1.7, "code": 0.9, "math": 1.2}, {"web": 400.0, "code": 300.0, "math": 900.0}
    rows["L"] = np.array(
        [E.get(g, 1.0) + A.get(g, 1.0) / n**0.34 for g, n in zip(rows["data"], rows["N"], strict=True)]
    )
    fits = quietly(LAW, rows, by="data", shared="alpha", starts=128)
    assert list(fits) == ["web", "code", "math"]
    assert "1 row cannot determine 2 parameters" in fits.failures["one"]
    assert fits.joint.values["alpha"] == pytest.approx(0.34, rel=1e-6)
    assert fits["math"].nobs == 3
    assert fits["math"].values["A"] == pytest.approx(900.0, rel=1e-5)
    assert fits.table["status"].tolist()[-1] == "error"
    assert_allclose(fits.predict({"N": [1e12], "data": ["math"]}).mean, 1.2 + 900 / 1e12**0.34, rtol=1e-7)


def test_a_table_may_have_a_column_called_group():
    runs = make()
    runs["group"] = runs.pop("data")
    fits = sl.fit_each(LAW, runs, by="group", shared="alpha", starts=64)
    law = sl.Law("L ~ E[group] + A[group] / N**alpha", params=LAW.params, residual="log")
    assert fits.joint.objective == pytest.approx(sl.fit(law, runs).objective, rel=1e-10)
    law = sl.Law("L ~ E + A / group**alpha", params=LAW.params, residual="log")
    table = {**make(), "group": runs["N"]}
    fits = sl.fit_each(law, table, by="data", shared="alpha", starts=64)
    assert fits.joint.law.groups == {"E": "group_", "A": "group_"}
    assert fits.joint.objective == pytest.approx(
        sl.fit_each(LAW, make(), by="data", shared="alpha", starts=64).joint.objective, rel=1e-10
    )


def test_a_law_with_groups_of_its_own_has_no_shared_option(runs):
    law = sl.Law("L ~ E[data] + A / N**alpha", params=LAW.params)
    with pytest.raises(ValueError, match="needs a law without grouped parameters"):
        sl.fit_each(law, runs, by="data", shared="alpha")


# ---- measured curves
# -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def curves(read_table):
    table = read_table("finetune_curves.csv")
    fitted = table["D"] > 0
    return {name: column[fitted] for name, column in table.items() if name != "family"}


RULE = sl.laws.rectified
POWER = law_of("L ~ B / D**beta + E", ("B", "beta", "E"))


@pytest.fixture(scope="module")
def rectified(curves):
    return quietly(RULE, curves, by=["task", "model"])


def test_sixty_fine_tuning_curves_in_one_call_equal_sixty_fits(curves, rectified):
    assert len(rectified) == 60
    for (task, model), fit in rectified.items():
        mine = (curves["task"] == task) & (curves["model"] == model)
        rows = {name: column[mine] for name, column in curves.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sl.FitWarning)
            alone = sl.fit(RULE, rows)
        assert fit.objective == alone.objective
        assert fit.values == alone.values
        assert (fit.status, fit.valid, fit.message) == (alone.status, alone.valid, alone.message)


def test_the_released_curve_is_fitted_as_published(rectified):
    fit = rectified["flan", "MBZUAI/LaMini-GPT-124M"]
    published = {"B": 563.823081, "Dl": 166.056334, "beta": 0.455279837, "E": 1.069236469857286}
    assert fit.values == pytest.approx(published, rel=1e-6)
    # Root mean square of the log residuals in the results of Lin et al. 2024.
    row = rectified.groups.index(("flan", "MBZUAI/LaMini-GPT-124M"))
    assert round(rectified.table["rmse"][row], 4) == 0.0027


def test_the_rectified_law_has_a_lower_error_than_the_power_law_on_every_task(curves, rectified):
    power = quietly(POWER, curves, by=["task", "model"])
    assert power.groups == rectified.groups
    ours, theirs = rectified.table, power.table
    mean = {}
    for task in ("flan", "gigaword"):
        mine = ours["task"] == task
        assert mine.sum() == 30
        # The power law is the rectified one with Dl = 0, so it can never be better.
        assert np.all(ours["rmse"][mine] <= theirs["rmse"][mine] * (1.0 + 1e-6))
        mean[task] = round(ours["rmse"][mine].mean(), 5), round(theirs["rmse"][mine].mean(), 5)
    assert mean == {"flan": (0.0064, 0.03487), "gigaword": (0.00507, 0.01005)}


@pytest.mark.parametrize(
    ("task", "objective", "beta"), [("flan", 0.02156441015, 0.293164), ("gigaword", 0.01145937495, 0.182664)]
)
def test_one_exponent_for_all_curves_of_a_task(curves, rectified, task, objective, beta):
    """The formula language and the shared= option agree on 30 curves, 91 parameters."""
    mine = curves["task"] == task
    rows = {name: column[mine] for name, column in curves.items()}
    shared = quietly(RULE, rows, by="model", shared="beta", starts=128)
    assert shared.joint.objective == pytest.approx(objective, rel=1e-8)
    assert shared.joint.values["beta"] == pytest.approx(beta, abs=1e-6)
    law = law_of("L ~ B[model] / (Dl[model] + D**beta) + E[model]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.FitWarning)
        grouped = sl.fit(law, rows, starts=16)
    assert len(grouped.values) == 91
    assert grouped.objective == pytest.approx(objective, rel=1e-8)
    assert grouped.values["beta"] == pytest.approx(beta, abs=1e-6)
    separate = sum(fit.objective for key, fit in rectified.items() if key[0] == task)
    assert separate < objective


NMT = {
    "28 Enc, 6 Dec": (0.2122, 0.3208, 0.0188, -0.064),
    "6 Enc, 28 Dec": (0.2185, 0.3715, 0.0165, -0.066),
    "6 Enc, 6 Dec": (0.2971, 0.4704, 0.0248, -0.056),
    "Dec-only": (0.3603, 0.6103, 0.0250, -0.038),
    "TEnc-LSTM": (0.3516, 0.5489, 0.0139, -0.017),
}


def test_translation_curves_give_the_stated_numbers_and_extrapolation_errors(read_table):
    fitted = read_table("nmt_learning_curves.csv", split="fit")
    fits = sl.fit_each(
        "power_law_floor", fitted, by="model", columns={"x": "n_examples"}, residual="log", loss="squared"
    )
    last = read_table("nmt_learning_curves.csv", split="extrapolate")
    assert set(last["model"]) == set(fits) == set(NMT)
    error = dict(zip(last["model"], np.log(fits.predict(last).mean / last["L"]), strict=True))
    table = fits.table
    for row, model in enumerate(table["model"]):
        E, exponent, rmse, off = NMT[model]
        assert table["valid"][row]
        assert table["E"][row] == pytest.approx(E, abs=6e-5)
        assert table["alpha"][row] == pytest.approx(exponent, abs=6e-5)
        assert table["rmse"][row] == pytest.approx(rmse, abs=6e-5)
        assert error[model] == pytest.approx(off, abs=6e-4)


def test_families_of_models_have_their_own_intercept(read_table):
    """Sloth with one skill: one slope for all families, one efficiency for each."""
    table = read_table("sloth_leaderboard.csv", instruct="0")
    score = np.array([float(cell) if cell else np.nan for cell in table["mmlu"].astype(str)])
    known = np.isfinite(score)
    assert known.sum() == 109
    rows = {
        "score": score[known],
        "family": table["family"][known],
        "N": table["N"][known] / 1e9,
        "D": table["D"][known] / 1e12,
    }
    law = sl.laws.sloth_single
    fit = sl.fit(law, rows, fixed={"g": 0.25})
    families = sorted(set(rows["family"]))
    assert len(families) == 31
    assert fit.valid
    assert fit.objective == pytest.approx(0.01760896794, rel=1e-8)
    assert {name for name in fit.values if name.startswith("a[")} == {f"a[{name}]" for name in families}
    common = sl.Law(law.formula.replace("a[family]", "a"), params=law.params, target="score")
    spread = [
        np.sqrt(np.mean(sl.fit(each, rows, fixed={"g": 0.25}, loss="squared").residuals ** 2))
        for each in (law, common)
    ]
    assert spread == pytest.approx([0.030961, 0.086598], abs=1e-6)


def test_one_exponent_and_one_factor_for_each_sampling_weight():
    """Multilingual translation: eight factors, a common exponent and floor, from simulated losses."""
    weights = {f"p{100 * p:02.0f}": p for p in (0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 1.0)}
    beta = {name: 80.0 * p**-0.08 for name, p in weights.items()}
    N = np.geomspace(2e7, 1e9, 6)
    rows = {"N": np.tile(N, 8), "weight": np.repeat(list(weights), 6)}
    law = sl.laws.multilingual_nmt
    rows["L"] = law(**rows, beta=beta, alpha=0.25, Linf=1.1)
    fit = sl.fit(law, rows, residual="linear", loss="squared", starts=128)
    assert len(fit.values) == 10
    assert fit.values["alpha"] == pytest.approx(0.25, rel=1e-6)
    for name, p in weights.items():
        assert fit.values[f"beta[{name}]"] == pytest.approx(beta[name], rel=1e-5)
        share = (fit.values["beta[p100]"] / fit.values[f"beta[{name}]"]) ** (1 / fit.values["alpha"])
        assert share == pytest.approx(p**0.32, rel=1e-5)


def test_predictions_say_every_kind_of_covariance_that_they_rest_on():
    rng = np.random.default_rng(0)
    N = np.concatenate([np.geomspace(1e7, 1e10, 8), np.geomspace(1e7, 1e10, 20)])
    data = ["few"] * 8 + ["many"] * 20
    runs = {"N": N, "L": (1.5 + 400.0 / N**0.34) * np.exp(0.01 * rng.standard_normal(28)), "data": data}
    law = "power_law_floor"
    fits = sl.fit_each(law, runs, by="data", columns={"x": "N"}, residual="log", loss="squared")
    at = {"N": [1e11, 1e11], "data": ["few", "many"]}
    assert fits.predict(at, 0.9).kind == "classical or sandwich"
    assert fits.predict(at, 0.9, kind="hessian").kind == "hessian"
