"""Tables of every kind give identical numbers; what cannot be fitted is named, never dropped."""

from __future__ import annotations

import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scalinglaws as sl
from numpy.testing import assert_array_equal
from scalinglaws.data import data_hash, read_inputs, read_runs

LAW = sl.Law("L ~ E + A / N**alpha", params={"E": "positive", "A": "positive", "alpha": "positive"})
GROUPED = sl.Law("L ~ E + A[lang] / N", params={"E": "positive", "A": "positive"})
COLUMNS = {"N": [1e7, 1e8, 1e9, 1e10], "L": [4.0, 3.0, 2.5, 2.25]}

FRAMES = {
    "lists": lambda c: dict(c),
    "arrays": lambda c: {k: np.array(v) for k, v in c.items()},
    "tuples": lambda c: {k: tuple(v) for k, v in c.items()},
    "pandas": pd.DataFrame,
    "pandas series": lambda c: {k: pd.Series(v, index=range(7, 7 + len(v))) for k, v in c.items()},
    "pandas arrow": lambda c: pd.DataFrame(c).convert_dtypes(dtype_backend="pyarrow"),
    "polars": pl.DataFrame,
    "polars series": lambda c: {k: pl.Series(v) for k, v in c.items()},
    "pyarrow": pa.table,
    "pyarrow arrays": lambda c: {k: pa.array(v) for k, v in c.items()},
    "structured": lambda c: np.array(list(zip(*c.values(), strict=True)), dtype=[(k, "f8") for k in c]),
    "record array": lambda c: np.rec.fromarrays([np.array(v) for v in c.values()], names=list(c)),
}
NULLABLE = ["lists", "pandas", "pandas arrow", "polars", "pyarrow"]


@pytest.mark.parametrize("kind", FRAMES)
def test_every_kind_of_table_gives_identical_arrays(kind):
    runs = read_runs(LAW, FRAMES[kind](COLUMNS))
    assert_array_equal(runs.target, COLUMNS["L"])
    assert_array_equal(runs.inputs["N"], COLUMNS["N"])
    assert runs.target.dtype == np.float64


@pytest.mark.parametrize("kind", ["lists", "pandas", "polars", "pyarrow"])
def test_categories_are_the_same_in_every_kind_of_table(kind):
    columns = {"N": [1.0, 2.0, 3.0], "L": [1.0, 2.0, 3.0], "lang": ["en", "de", "en"]}
    runs = read_runs(GROUPED, FRAMES[kind](columns))
    assert runs.categories == {"lang": ("de", "en")}
    assert_array_equal(runs.codes["lang"], [1, 0, 1])


@pytest.mark.parametrize("make", [pd.Categorical, list])
def test_categorical_and_integer_labels_are_categories(make):
    frame = pd.DataFrame({"N": [1.0, 2.0], "L": [1.0, 2.0], "lang": make([7, 3])})
    assert read_runs(GROUPED, frame).categories == {"lang": ("3", "7")}


@pytest.mark.parametrize(
    "column",
    [
        np.array([1, 2, 3, 4], dtype=np.int32),
        np.array([1, 2, 3, 4], dtype=np.uint8),
        np.array([1, 2, 3, 4], dtype=np.float32),
        [decimal.Decimal(1), 2, 3.0, np.int64(4)],
        pa.array(
            [decimal.Decimal("1.0"), decimal.Decimal("2.0"), decimal.Decimal("3"), decimal.Decimal("4")]
        ),
        pl.Series([1, 2, 3, 4], dtype=pl.Decimal(10, 2)),
        pd.Series([1, 2, 3, 4], dtype="Int64"),
        pd.Series([decimal.Decimal(1), decimal.Decimal(2), decimal.Decimal(3), decimal.Decimal(4)]),
        range(1, 5),
    ],
    ids=["int32", "uint8", "float32", "mixed", "arrow decimal", "polars decimal", "Int64", "object", "range"],
)
def test_integers_and_decimals_are_numbers(column):
    runs = read_runs(LAW, {"N": column, "L": COLUMNS["L"]})
    assert_array_equal(runs.inputs["N"], [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize("kind", ["lists", "arrays", "pandas", "polars", "pyarrow"])
def test_booleans_are_zero_and_one(kind):
    runs = read_runs(LAW, FRAMES[kind]({"N": [True, False], "L": [1.0, 2.0]}))
    assert_array_equal(runs.inputs["N"], [1.0, 0.0])


def test_columns_map_the_names_of_the_law_to_those_of_the_table():
    runs = read_runs(
        LAW, {"params": COLUMNS["N"], "loss": COLUMNS["L"]}, columns={"N": "params", "L": "loss"}
    )
    assert_array_equal(runs.inputs["N"], COLUMNS["N"])


def test_columns_that_the_law_does_not_use_may_hold_anything():
    frame = pd.DataFrame({**COLUMNS, "note": ["a", None, "c", "d"], "bad": [np.nan] * 4})
    assert read_runs(LAW, frame).target.size == 4


@pytest.mark.parametrize("kind", NULLABLE)
def test_missing_values_name_the_column_and_the_rows(kind):
    columns = {"N": [1e7, 1e8, 1e9, 1e10], "L": [4.0, None, 2.5, None]}
    with pytest.raises(
        sl.DataError, match=r"column 'L' has missing values \(NaN or null\) in rows 1, 3"
    ) as error:
        read_runs(LAW, FRAMES[kind](columns))
    assert error.value.rows == (1, 3)


@pytest.mark.parametrize("kind", NULLABLE)
def test_missing_integers_are_missing_too(kind):
    with pytest.raises(sl.DataError, match=r"column 'N' has missing values \(NaN or null\) in row 2"):
        read_runs(LAW, FRAMES[kind]({"N": [1, 2, None, 4], "L": COLUMNS["L"]}))


def test_masked_values_are_missing():
    masked = np.ma.array(COLUMNS["N"], mask=[0, 1, 0, 0])
    with pytest.raises(sl.DataError, match=r"column 'N' has missing values .* in row 1"):
        read_runs(LAW, {"N": masked, "L": COLUMNS["L"]})


def test_pandas_na_in_an_object_column_is_missing():
    frame = pd.DataFrame({"N": pd.Series([1, pd.NA, 3], dtype=object), "L": [1.0, 2.0, 3.0]})
    with pytest.raises(sl.DataError, match=r"missing values .* in row 1"):
        read_runs(LAW, frame)


@pytest.mark.parametrize("kind", ["lists", "pandas", "polars", "pyarrow"])
def test_nan_in_a_float_column_is_missing(kind):
    with pytest.raises(sl.DataError, match=r"missing values .* in row 3"):
        read_runs(LAW, FRAMES[kind]({"N": COLUMNS["N"], "L": [4.0, 3.0, 2.5, float("nan")]}))


@pytest.mark.parametrize("kind", ["lists", "pandas", "polars", "pyarrow"])
def test_missing_categories_are_an_error(kind):
    with pytest.raises(sl.DataError, match=r"column 'lang' has missing values .* in row 1"):
        read_runs(GROUPED, FRAMES[kind]({"N": [1.0, 2.0], "L": [1.0, 2.0], "lang": ["en", None]}))


def test_many_bad_rows_are_counted():
    with pytest.raises(sl.DataError, match="in rows 0, 1, 2, 3, 4 and 15 more"):
        read_runs(LAW, {"N": np.ones(20), "L": np.full(20, np.nan)})


def test_dates_and_complex_numbers_are_not_numbers():
    dates = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]")
    with pytest.raises(sl.DataError, match="column 'N' holds date"):
        read_runs(LAW, {"N": dates, "L": [1.0, 2.0]})
    with pytest.raises(sl.DataError, match="column 'N' holds complex values"):
        read_runs(LAW, {"N": [1j, 2.0], "L": [1.0, 2.0]})


def test_two_dimensional_columns_are_refused():
    with pytest.raises(sl.DataError, match="one-dimensional"):
        read_runs(LAW, {"N": np.ones((4, 2)), "L": COLUMNS["L"]})


def test_a_lazy_table_must_be_collected_first():
    with pytest.raises(TypeError, match="collect"):
        read_runs(LAW, pl.DataFrame(COLUMNS).lazy())


@pytest.mark.parametrize("table", [3, "runs.csv", [1, 2, 3], None, np.ones((3, 2))])
def test_what_is_not_a_table_is_a_type_error(table):
    with pytest.raises(TypeError, match=r"table|DataFrame|column names"):
        read_runs(LAW, table)


def test_a_turned_around_mapping_is_recognised():
    with pytest.raises(sl.DataError, match=r"columns maps the law's names to the table's: \{'N': 'params'\}"):
        read_runs(LAW, {"params": COLUMNS["N"], "L": COLUMNS["L"]}, columns={"params": "N"})


def test_a_common_name_of_the_field_is_suggested():
    with pytest.raises(sl.DataError, match=r"Is it 'params'\? Then pass columns=\{'N': 'params'\}"):
        read_runs(LAW, {"params": COLUMNS["N"], "L": COLUMNS["L"]})


def test_a_misspelt_parameter_is_recognised_behind_a_missing_column():
    params = {"E": "positive", "A": "positive", "alpha": "real"}
    law = sl.Law("L ~ E * alpha + A / N**alhpa", params=params)
    with pytest.raises(sl.DataError, match=r"no column 'alhpa'.*not a parameter of the law either.*'alpha'"):
        read_runs(law, COLUMNS)


def test_weights_come_from_an_array_a_series_or_a_column():
    table = {**COLUMNS, "w": [1.0, 2.0, 3.0, 4.0]}
    for weights in ("w", [1, 2, 3, 4], np.arange(1.0, 5.0), pd.Series([1, 2, 3, 4])):
        assert_array_equal(read_runs(LAW, table, weights=weights).weights, [1.0, 2.0, 3.0, 4.0])


def test_prediction_inputs_broadcast_and_keep_their_shape():
    inputs, _, shape = read_inputs(LAW, {"N": np.ones((2, 3))})
    assert shape == (2, 3)
    assert inputs["N"].shape == (6,)
    assert read_inputs(LAW, {"N": 7e10})[2] == ()
    assert read_inputs(LAW, pl.DataFrame({"N": [1.0, 2.0]}))[2] == (2,)


def test_prediction_inputs_accept_the_names_of_the_table_and_of_the_law():
    for table in ({"params": 7e10}, {"N": 7e10}):
        assert read_inputs(LAW, table, columns={"N": "params", "L": "loss"})[0]["N"] == 7e10


def test_a_category_that_the_fit_has_not_seen_is_an_error():
    with pytest.raises(sl.DataError, match="'fr', which the fit has not seen"):
        read_inputs(GROUPED, {"N": 1.0, "lang": "fr"}, categories={"lang": ("de", "en")})


def test_the_hash_tells_tables_apart():
    a, b = np.arange(3.0), np.arange(3.0)
    assert data_hash(a, b) == data_hash(a.copy(), b.copy())
    assert data_hash(a, b) != data_hash(a, b + 1e-16 * np.array([0, 0, 4.0]))
    assert data_hash(a) != data_hash(a, b)
