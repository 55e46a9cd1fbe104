"""Bad input ends in one clear error that names what is wrong; nothing is dropped and nothing panics."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scalinglaws as sl

PARAMS = {
    "E": sl.Param("positive", start=(0.1, 5.0)),
    "A": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
    "alpha": sl.Param("positive", start=(0.05, 1.0)),
}
LAW = sl.Law("L ~ E + A / N**alpha", params=PARAMS)
N = np.geomspace(1e7, 1e10, 8)
L = 1.7 + 400.0 / N**0.34


def table(**changes):
    return {"N": N.copy(), "L": L.copy(), **changes}


def changed(column, row, value):
    out = np.array(column, dtype=np.float64)
    out[row] = value
    return out


# ---------------------------------------------------------------------- formulas


@pytest.mark.parametrize(
    ("formula", "position"),
    [
        ("L ~ E + epx(N)", 8),
        ("L ~ (E + A / N", None),
        ("L ~ E + A / N)", 13),
        ("L ~ E + + ", None),
        ("L ~ E ** ", None),
        ("", None),
        ("L ~", None),
        ("L ~ E + 'A'", 8),
        ("L ~ E; import os", 5),
        ("L ~ __import__('os')", None),
        ("L ~ E.real", None),
        ("L ~ E if N else A", None),
        ("L ~ [E for E in N]", 4),
        ("L ~ lambda: 1", None),
        ("L ~ exp(N, A)", None),
        ("L ~ M ~ E", None),
        ("L ~ E + A[lang] + A", None),
        ("L ~ 1e400 * E", None),
        ("L ~ E + \x00", 8),
        ("L ~ E + \u2264", 8),
    ],
)
def test_a_broken_formula_is_a_formula_error_that_shows_the_place(formula, position):
    with pytest.raises(sl.FormulaError) as error:
        sl.Law(formula, params={"E": "real", "A": "real"})
    assert error.value.message
    if position is not None:
        assert error.value.position == position
        assert str(error.value).splitlines()[-1] == "  " + " " * position + "^"


def test_an_unknown_function_is_named_with_the_near_one():
    with pytest.raises(sl.FormulaError, match="epx") as error:
        sl.Law("L ~ E + epx(N)", params={"E": "real"})
    assert "exp" in error.value.message.replace("epx", "")


def test_ten_thousand_nested_parentheses_are_refused_at_once():
    with pytest.raises(sl.FormulaError, match=r"nest|deep|depth"):
        sl.Law("L ~ " + "(" * 10_000 + "E" + ")" * 10_000, params={"E": "real"})


@pytest.mark.parametrize("formula", ["L ~ " + "E" * 2**20, "L ~ E" + " + E" * 2**18])
def test_a_formula_of_a_megabyte_is_refused_at_once(formula):
    with pytest.raises(sl.FormulaError, match=r"long|bytes"):
        sl.Law(formula, params={"E": "real"})


@pytest.mark.parametrize(
    "formula",
    ["L ~ E" + " ** 2" * 2_000, "L ~ " + "-" * 5_000 + "E", "L ~ " + "exp(" * 300 + "E" + ")" * 300],
)
def test_towers_of_operators_neither_crash_nor_hang(formula):
    try:
        law = sl.Law(formula, params={"E": "real"})
    except sl.FormulaError:
        return
    law.gradient(E=0.5)


def test_a_formula_is_text():
    with pytest.raises(TypeError, match="formula is a string"):
        sl.Law(3, params={"E": "real"})


# ---------------------------------------------------------------------- names


def test_a_name_that_is_neither_column_nor_parameter_is_explained():
    law = sl.Law("L ~ E + A / N**alpha + gamma", params=PARAMS)
    with pytest.raises(sl.DataError, match=r"no column 'gamma'"):
        sl.fit(law, table())
    with pytest.raises(sl.FormulaError, match="'gamma' is neither a parameter nor an input"):
        sl.Law("L ~ E + A / N**alpha + gamma", params=PARAMS, inputs=["N"])


def test_a_missing_column_suggests_the_near_name():
    with pytest.raises(sl.DataError, match=r"no column 'L'.*columns=\{'L': 'Loss'\}|no column 'L'.*'Loss'"):
        sl.fit(LAW, {"N": N, "Loss": L})
    with pytest.raises(sl.DataError, match=r"no column 'tokns'.*Did you mean 'tokens'"):
        sl.fit(LAW, {"tokens": N, "L": L}, columns={"N": "tokns"})


def test_a_column_of_the_law_that_does_not_exist_is_refused():
    with pytest.raises(sl.DataError, match=r"columns names 'M', which is not a column of the law"):
        sl.fit(LAW, table(), columns={"M": "N"})


def test_two_names_cannot_share_a_column():
    law = sl.Law("L ~ E + A / N**alpha + 0 * D", params=PARAMS)
    with pytest.raises(sl.DataError, match=r"'N' and 'D' are both read from column 'params'"):
        sl.fit(law, {"params": N, "L": L}, columns={"N": "params", "D": "params"})
    with pytest.raises(sl.DataError, match=r"'L' and 'N' are both read from column 'L'"):
        sl.fit(LAW, table(), columns={"N": "L"})


def test_a_frame_with_two_columns_of_one_name_is_refused():
    frame = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["N", "L", "L"])
    with pytest.raises(sl.DataError, match="two columns of one name"):
        sl.fit(LAW, frame)


def test_a_law_without_a_target_cannot_be_fitted():
    with pytest.raises(sl.DataError, match="does not say what it predicts"):
        sl.fit(sl.Law("E + A / N**alpha", params=PARAMS), table())


# ---------------------------------------------------------------------- values


@pytest.mark.parametrize("make", [dict, pd.DataFrame, pl.DataFrame])
def test_text_in_a_numeric_column_is_shown(make):
    texts = ["1e7", "12B", "1e9", "1e10"]
    with pytest.raises(
        sl.DataError, match=r"column 'N' holds text where numbers are needed: '1e7' in rows 0, 1, 2, 3"
    ):
        sl.fit(LAW, make({"N": texts, "L": [3.0, 2.5, 2.2, 2.0]}))


def test_one_text_among_numbers_is_found():
    mixed = [1e7, "12B", 1e9, 1e10]
    with pytest.raises(sl.DataError, match=r"column 'N' holds text .*'12B' in row 1"):
        sl.fit(LAW, {"N": mixed, "L": [3.0, 2.5, 2.2, 2.0]})


@pytest.mark.parametrize("column", ["N", "L"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, r"missing values \(NaN or null\)"),
        (math.inf, "infinite values"),
        (-math.inf, "infinite values"),
    ],
)
@pytest.mark.parametrize("residual", ["linear", "log"])
def test_nan_and_infinity_name_the_column_and_the_row(column, value, message, residual):
    runs = table()
    runs[column] = changed(runs[column], 5, value)
    with pytest.raises(sl.DataError, match=f"column '{column}' has {message} in row 5") as error:
        sl.fit(LAW, runs, residual=residual)
    assert error.value.rows == (5,)


@pytest.mark.parametrize("value", [0.0, -2.0])
def test_a_loss_that_is_not_positive_has_no_logarithm(value):
    runs = table(L=changed(L, 2, value))
    with pytest.raises(sl.DataError, match=r"column 'L' has values that are zero or negative.*in row 2"):
        sl.fit(LAW, runs, residual="log")
    assert (
        sl.fit(LAW, runs, residual="linear", loss="absolute", starts={"E": 1.7, "A": 400, "alpha": 0.34}).nobs
        == 8
    )


def test_a_negative_input_under_a_logarithm_names_the_input_and_the_row():
    law = sl.Law("L ~ E + A * log(N)", params={"E": "real", "A": "real"})
    with pytest.raises(sl.DataError, match=r"N.*row 3"):
        sl.fit(law, table(N=changed(N, 3, -5.0)), starts={"E": 1.0, "A": 1.0})
    runs = {"params": changed(N, 3, -5.0), "L": L}
    with pytest.raises(sl.DataError, match=r"'params' \(N\).*row 3"):
        sl.fit(law, runs, columns={"N": "params"}, starts={"E": 1.0, "A": 1.0})


def test_a_negative_input_under_a_real_power_names_the_row():
    with pytest.raises(sl.DataError, match=r"row 3"):
        sl.fit(LAW, table(N=changed(N, 3, -5.0)), residual="log", starts=8)


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(sl.DataError, match=r"different lengths: column 'L' has 8 rows, column 'N' has 7"):
        sl.fit(LAW, {"N": N[:7], "L": L})


def test_a_number_is_not_a_column():
    with pytest.raises(sl.DataError, match="column 'N' is a single value"):
        sl.fit(LAW, {"N": 1e9, "L": L})


# ---------------------------------------------------------------------- rows


@pytest.mark.parametrize("make", [dict, pd.DataFrame, pl.DataFrame])
def test_an_empty_table_is_refused(make):
    with pytest.raises(sl.DataError, match=r"no rows|no column"):
        sl.fit(LAW, make({"N": [], "L": []}))


def test_one_row_cannot_determine_three_parameters():
    with pytest.raises(sl.DataError, match=r"1 row cannot determine 3 parameters: add runs, fix parameters"):
        sl.fit(LAW, {"N": N[:1], "L": L[:1]})


def test_fewer_rows_than_parameters_are_refused():
    with pytest.raises(sl.DataError, match="2 rows cannot determine 3 parameters"):
        sl.fit(LAW, {"N": N[:2], "L": L[:2]})
    with pytest.raises(sl.DataError, match="2 rows of positive weight cannot determine 3 parameters"):
        sl.fit(LAW, table(), weights=[1, 1, 0, 0, 0, 0, 0, 0])


def test_equal_rows_give_an_invalid_fit_that_says_why():
    runs = {"N": np.full(6, 1e9), "L": np.full(6, 2.0)}
    with pytest.warns(sl.FitWarning, match=r"'N' is the same in every row") as caught:
        fit = sl.fit(LAW, runs, residual="log", starts=16)
    assert len(caught) == 1
    assert not fit.valid


# ---------------------------------------------------------------------- weights


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 1, -1, 1, 1, 1, 1, 1], r"weights has negative values in row 2 \(-1\)"),
        (np.zeros(8), "every weight is 0"),
        ([1, 1, math.nan, 1, 1, 1, 1, 1], "weights has missing values .* in row 2"),
        ([1, 1, math.inf, 1, 1, 1, 1, 1], "weights has infinite values in row 2"),
        (np.ones(7), r"weights must hold one number for each of 8 rows, not shape \(7,\)"),
        (np.ones((8, 1)), r"not shape \(8, 1\)"),
        (2.0, r"not shape \(\)"),
        ("w", r"no column 'w' for the weights"),
        (["a"] * 8, "weights holds text"),
    ],
)
def test_weights_that_make_no_sense_are_refused(weights, message):
    with pytest.raises(sl.DataError, match=message):
        sl.fit(LAW, table(), weights=weights)


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"residual": "logarithmic"}, "residual must be 'linear' or 'log', not 'logarithmic'"),
        ({"loss": "hubber:1e-3"}, "unknown loss 'hubber'.*'huber'"),
        ({"loss": "huber"}, "needs its delta"),
        ({"loss": "huber:-1"}, "positive number"),
        ({"loss": 3}, "a loss is a Loss or text"),
        ({"backend": "rusty"}, "backend must be 'rust' or 'scipy', not 'rusty'.*'rust'"),
        ({"threads": 0}, "threads must be a positive whole number"),
        ({"threads": 1.5}, "threads must be a positive whole number"),
        ({"threads": "two"}, "threads must be a positive whole number"),
        ({"max_iter": 0}, "max_iter must be a positive whole number"),
        ({"max_iter": True}, "max_iter must be a positive whole number"),
        ({"progress": "yes"}, "progress must be a function"),
        ({"on_interrupt": "stop"}, "on_interrupt must be 'raise' or 'keep'"),
        ({"starts": "grid"}, "starts must be a number, 'paper'"),
        ({"starts": {"alpha": -1.0}}, "lies outside its domain 'positive'"),
        ({"starts": {"alpha": math.inf}}, "lies outside its domain 'positive'"),
        ({"screen": "all"}, "screen must be"),
        ({"rng": "zero"}, "rng must be"),
        ({"fixed": {"gamma": 1.0}}, "fixed names 'gamma'"),
        ({"priors": {"gamma": sl.normal(0, 1)}}, "priors names 'gamma'"),
    ],
)
def test_unknown_option_values_list_the_choices(options, message):
    with pytest.raises(ValueError, match=message):
        sl.fit(LAW, table(), **{"residual": "log", **options})


def test_extreme_but_finite_numbers_are_an_answer_or_an_error_but_never_a_panic():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.FitWarning)
        for scale in (1e-300, 1e-100, 1e100, 1e300):
            for column in ("N", "L"):
                runs = table()
                runs[column] = runs[column] * scale if column == "L" else np.geomspace(1, 1e3, 8) * scale
                try:
                    fit = sl.fit(LAW, runs, residual="log", starts=16)
                except (sl.DataError, sl.FormulaError):
                    continue
                assert isinstance(fit.message, str)
                fit.summary()


@pytest.mark.parametrize(("id", "input"), [("power_law", "x"), ("chinchilla", "D"), ("coverage", "k")])
def test_an_input_of_zero_where_the_law_has_no_value_is_named(id, input):
    law = sl.laws[id]
    runs = {name: np.geomspace(1.0, 100.0, 9) for name in law.inputs}
    runs[law.target] = np.linspace(0.9, 0.2, 9)
    runs[input][4] = 0.0
    with pytest.raises(sl.DataError, match=rf"row 4 .*{input} = 0") as caught:
        sl.fit(law, runs)
    assert caught.value.rows == [4] or caught.value.rows == (4,)
