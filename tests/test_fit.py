"""What ``fit`` does with its options: residuals, losses, weights, fixed values, ties, priors, starts."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scalinglaws as sl
from numpy.testing import assert_allclose, assert_array_equal
from scalinglaws.recipe import Recipe, fit_quietly

TRUE = {"E": 1.7, "A": 400.0, "alpha": 0.34}
POWER = sl.Law(
    "L ~ E + A / N**alpha",
    params={
        "E": sl.Param("positive", start=(0.1, 5.0)),
        "A": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
        "alpha": sl.Param("positive", start=(0.05, 1.0)),
    },
)
TWO = sl.Law(
    "L ~ E + A / N**alpha + B / D**beta",
    params={
        "E": sl.Param("positive", start=(0.1, 5.0)),
        "A": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
        "B": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
        "alpha": sl.Param("positive", start=(0.05, 1.0)),
        "beta": sl.Param("positive", start=(0.05, 1.0)),
    },
)


def ladder(n=12, noise=0.0, seed=0):
    N = np.geomspace(1e7, 1e10, n)
    rng = np.random.default_rng(seed)
    return {"N": N, "L": (1.7 + 400.0 / N**0.34) * np.exp(noise * rng.standard_normal(n))}


def plane(n=40, noise=0.01, seed=0):
    rng = np.random.default_rng(seed)
    N, D = 10 ** rng.uniform(7, 10, n), 10 ** rng.uniform(8, 11, n)
    L = (1.7 + 400.0 / N**0.34 + 500.0 / D**0.3) * np.exp(noise * rng.standard_normal(n))
    return {"N": N, "D": D, "L": L}


def test_exact_rows_give_the_exact_parameters():
    fit = sl.fit(POWER, ladder(), residual="log", starts=32)
    assert fit.valid
    assert fit.success
    assert fit.status == "converged"
    for name, value in TRUE.items():
        assert fit.values[name] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("make", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_every_kind_of_table_gives_the_identical_fit(make):
    data = ladder(noise=0.01)
    expected = sl.fit(POWER, data, residual="log", starts=16)
    found = sl.fit(POWER, make(data), residual="log", starts=16)
    assert found.values == expected.values
    assert found.objective == expected.objective
    assert found.data_hash == expected.data_hash


def test_column_names_may_differ():
    data = ladder(noise=0.01)
    renamed = {"params": data["N"], "loss": data["L"]}
    fit = sl.fit(POWER, renamed, columns={"N": "params", "L": "loss"}, residual="log", starts=16)
    assert fit.values == sl.fit(POWER, data, residual="log", starts=16).values
    assert fit.columns == {"N": "params", "L": "loss"}


@pytest.mark.parametrize("residual", ["linear", "log"])
@pytest.mark.parametrize(
    "loss",
    [sl.squared(), sl.huber(0.005), sl.soft_l1(0.005), sl.cauchy(0.02), sl.absolute(), sl.quantile(0.4)],
)
def test_the_objective_is_the_weighted_sum_of_losses(residual, loss):
    data = ladder(20, noise=0.01)
    weights = np.linspace(0.5, 2.0, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.FitWarning)
        fit = sl.fit(POWER, data, residual=residual, loss=loss, weights=weights, starts=TRUE)
    f = POWER(N=data["N"], **fit.values)
    r = np.log(data["L"]) - np.log(f) if residual == "log" else data["L"] - f
    assert_allclose(fit.residuals, r, rtol=1e-9, atol=1e-13)
    assert_allclose(fit.fittedvalues, f, rtol=1e-13)
    assert fit.objective == pytest.approx(float(weights @ loss.rho(r)), rel=1e-10)
    assert fit.rss == pytest.approx(float(weights @ r**2), rel=1e-10)


def test_the_law_recommends_residual_and_loss():
    fit = sl.fit("chinchilla", plane(), starts=TWO_START)
    assert (fit.residual, str(fit.loss)) == ("log", "huber(0.001)")
    bare = sl.fit(POWER, ladder(noise=0.01), starts=TRUE)
    assert (bare.residual, bare.loss) == ("linear", sl.squared())


TWO_START = {"E": 1.7, "A": 400.0, "B": 500.0, "alpha": 0.34, "beta": 0.3}


def test_a_loss_may_be_text():
    assert sl.fit(POWER, ladder(noise=0.01), loss="huber:1e-3", starts=TRUE).loss == sl.huber(1e-3)


def test_rows_above_the_law_may_weigh_more():
    data = ladder(30, noise=0.02)
    plain = sl.fit(POWER, data, residual="log", starts=TRUE)
    lower = sl.fit(POWER, data, residual="log", loss=sl.squared(above=0.05), starts=TRUE)
    assert np.median(lower.fittedvalues / plain.fittedvalues) < 1.0
    assert (lower.residuals > 0).sum() > (plain.residuals > 0).sum()


def test_a_weight_of_two_is_a_row_that_stands_twice():
    data = ladder(10, noise=0.01)
    twice = {name: np.append(column, column[3]) for name, column in data.items()}
    weights = np.ones(10)
    weights[3] = 2.0
    a = sl.fit(POWER, data, residual="log", weights=weights, starts=TRUE)
    b = sl.fit(POWER, twice, residual="log", starts=TRUE)
    assert a.objective == pytest.approx(b.objective, rel=1e-12)
    assert a.values["alpha"] == pytest.approx(b.values["alpha"], rel=1e-8)


def test_rows_of_weight_zero_do_not_count():
    data = ladder(10, noise=0.01)
    data["L"][4] = 50.0
    weights = np.ones(10)
    weights[4] = 0.0
    fit = sl.fit(POWER, data, residual="log", weights=weights, starts=TRUE)
    assert fit.nobs == 9
    assert fit.dof == 6
    left = {name: np.delete(column, 4) for name, column in data.items()}
    rest = sl.fit(POWER, left, residual="log", starts=TRUE)
    assert fit.values["alpha"] == pytest.approx(rest.values["alpha"], rel=1e-9)
    assert fit.stderr()["alpha"] == pytest.approx(rest.stderr()["alpha"], rel=1e-7)


def test_a_fixed_parameter_stays_where_it_is():
    fit = sl.fit(POWER, ladder(noise=0.01), residual="log", fixed={"alpha": 0.3}, starts=16)
    assert fit.values["alpha"] == 0.3
    assert not fit.params["alpha"].vary
    assert fit.params["alpha"].stderr == 0.0
    assert (fit.nfree, fit.dof) == (2, 10)


def test_a_positive_parameter_fixed_at_zero_leaves_the_formula():
    fit = sl.fit(POWER, ladder(noise=0.01), residual="log", fixed={"E": 0}, starts=16)
    pure = sl.Law("L ~ A / N**alpha", params={name: POWER.params[name] for name in ("A", "alpha")})
    expected = sl.fit(pure, ladder(noise=0.01), residual="log", starts=16)
    assert fit.values["E"] == 0.0
    assert fit.objective == pytest.approx(expected.objective, rel=1e-10)
    assert fit.nfree == 2


def test_a_declared_value_is_held_unless_freed():
    law = sl.Law(
        POWER.formula, params={**POWER.params, "alpha": sl.Param("positive", start=(0.1, 1), value=0.3)}
    )
    data = ladder(noise=0.01)
    assert sl.fit(law, data, residual="log", starts=16).values["alpha"] == 0.3
    freed = sl.fit(law, data, residual="log", starts=16, fixed={"alpha": None})
    assert freed.values["alpha"] == pytest.approx(
        sl.fit(POWER, data, residual="log", starts=16).values["alpha"]
    )


def test_a_tied_parameter_follows_its_expression():
    data = plane()
    fit = sl.fit(TWO, data, residual="log", fixed={"beta": "0.9 * alpha"}, starts=32)
    assert fit.values["beta"] == pytest.approx(0.9 * fit.values["alpha"], rel=1e-15)
    assert fit.params["beta"].expr == "0.9 * alpha"
    assert fit.nfree == 4
    assert fit.stderr()["beta"] == pytest.approx(0.9 * fit.stderr()["alpha"], rel=1e-12)
    written = sl.Law(
        "L ~ E + A / N**alpha + B / D**(0.9*alpha)",
        params={name: param for name, param in TWO.params.items() if name != "beta"},
    )
    expected = sl.fit(written, data, residual="log", starts=32)
    assert fit.objective == pytest.approx(expected.objective, rel=1e-10)
    assert list(fit.values) == list(TWO.params)
    there = {"N": 1e11, "D": 1e12}
    assert fit.predict(there, 0.9).upper == pytest.approx(expected.predict(there, 0.9).upper, rel=1e-7)


def test_equal_exponents_are_a_tie():
    fit = sl.fit(TWO, plane(), residual="log", fixed={"beta": "alpha"}, starts=32)
    assert fit.values["alpha"] == fit.values["beta"]


@pytest.mark.parametrize(
    ("fixed", "error", "message"),
    [
        ({"apha": 0.3}, ValueError, r"fixed names 'apha'.*Did you mean 'alpha'"),
        ({"alpha": -1.0}, ValueError, r"alpha = -1.0 lies outside its domain 'positive'"),
        ({"alpha": math.nan}, ValueError, r"outside its domain"),
        ({"alpha": [0.3]}, ValueError, r"must be a number or a formula text"),
        ({"beta": "alhpa"}, ValueError, r"names no parameter of the law.*'alpha'"),
        ({"beta": "alpha * N"}, ValueError, r"uses 'N', which is not a parameter"),
        ({"beta": "alpha +"}, sl.FormulaError, r"the tie beta = 'alpha \+'"),
        ({"beta": "alpha", "alpha": "beta"}, ValueError, r"tied"),
        ({"alpha": "alpha"}, ValueError, r"tied"),
        (dict.fromkeys(TWO.params, 1.0), ValueError, r"nothing to fit"),
        ({"A": {"en": 1.0}}, ValueError, r"fixed names 'A\[en\]'"),
    ],
)
def test_fixed_values_that_make_no_sense_are_refused(fixed, error, message):
    with pytest.raises(error, match=message):
        sl.fit(TWO, plane(), fixed=fixed, starts=4)


def test_a_prior_pulls_and_its_penalty_is_part_of_the_objective():
    data = ladder(noise=0.01)
    free = sl.fit(POWER, data, residual="log", starts=TRUE)
    prior = sl.normal(0.5, 0.001)
    held = sl.fit(POWER, data, residual="log", priors={"alpha": prior}, starts=TRUE)
    assert free.values["alpha"] < held.values["alpha"] < 0.5
    r = held.residuals
    assert held.objective == pytest.approx(0.5 * float(r @ r) + prior.penalty(held.values["alpha"]), rel=1e-9)


def test_priors_let_a_short_ladder_be_fitted():
    data = {"N": [1e8, 1e9], "L": [2.46, 2.05]}
    with pytest.raises(sl.DataError, match="2 rows cannot determine 3 parameters"):
        sl.fit(POWER, data, residual="log", starts=8)
    priors = {"alpha": sl.normal(0.34, 0.03), "E": sl.lognormal(1.7, 0.1)}
    fit = sl.fit(POWER, data, residual="log", priors=priors, starts=TRUE)
    assert fit.success
    assert fit.values["alpha"] == pytest.approx(0.34, abs=0.1)


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({"apha": sl.normal(0.3, 0.1)}, r"priors names 'apha'.*'alpha'"),
        ({"alpha": 0.3}, r"normal\(\) or lognormal\(\)"),
        ({"E": sl.normal(1.0, 0.1)}, r"'E' is fixed"),
        ({"beta": sl.normal(1.0, 0.1)}, r"'beta' is tied"),
    ],
)
def test_priors_that_make_no_sense_are_refused(priors, message):
    with pytest.raises(ValueError, match=message):
        sl.fit(TWO, plane(), priors=priors, fixed={"E": 1.7, "beta": "alpha"}, starts=4)


def test_grouped_parameters_have_one_value_per_category():
    N = np.geomspace(1e7, 1e10, 12)
    lang = np.array(["en", "de"] * 6)
    L = 1.7 + np.where(lang == "en", 400.0, 300.0) / N**0.34
    law = sl.Law(
        "L ~ E + A[lang] / N**alpha",
        params={name: POWER.params[name] for name in ("E", "A", "alpha")},
    )
    fit = sl.fit(law, {"N": N, "lang": lang, "L": L}, residual="log", starts=32)
    assert list(fit.values) == ["E", "A[de]", "A[en]", "alpha"]
    assert fit.values["A[de]"] == pytest.approx(300.0, rel=1e-8)
    assert fit.values["A[en]"] == pytest.approx(400.0, rel=1e-8)
    one = fit.predict({"N": 1e11, "lang": "de"})
    assert one.mean == pytest.approx(1.7 + 300.0 / 1e11**0.34, rel=1e-9)
    held = sl.fit(law, {"N": N, "lang": lang, "L": L}, residual="log", fixed={"A": {"en": 400.0}}, starts=32)
    assert held.values["A[en]"] == 400.0
    assert held.nfree == 3


def test_starts_may_be_one_mapping_with_gaps():
    fit = sl.fit(POWER, ladder(), residual="log", starts={"alpha": 0.3})
    assert fit.starts.kind == "one"
    assert (fit.starts.n, fit.starts.solved, fit.starts.hits) == (1, 1, 1)
    assert fit.values["alpha"] == pytest.approx(0.34, rel=1e-8)


def test_starts_may_be_an_array_in_the_order_of_the_parameters():
    starts = np.array([[1.0, 100.0, 0.3], [2.0, 1000.0, 0.5]])
    fit = sl.fit(POWER, ladder(), residual="log", starts=starts)
    assert (fit.starts.kind, fit.starts.n, fit.starts.solved) == ("array", 2, 2)
    assert sl.fit(POWER, ladder(), residual="log", starts=starts[0]).starts.n == 1
    with pytest.raises(ValueError, match="one row per start and the columns E, A, alpha"):
        sl.fit(POWER, ladder(), starts=starts[:, :2])


def test_starts_of_a_paper_are_the_product_of_its_grid():
    grid = {"E": [1.0, 2.0], "A": [10.0, 100.0, 1000.0], "alpha": [0.3]}
    law = sl.Law(POWER.formula, params=POWER.params, grid=grid)
    fit = sl.fit(law, ladder(), residual="log", starts="paper")
    assert (fit.starts.kind, fit.starts.n) == ("paper", 6)
    fixed = sl.fit(law, ladder(), residual="log", starts="paper", fixed={"E": 1.7})
    assert fixed.starts.n == 3


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ("paper", "needs a law with a paper's grid"),
        ("papr", "starts must be a number, 'paper'"),
        (0, "at least 1"),
        (-3, "at least 1"),
        ({"alpha": -0.5}, r"the start -0.5 for 'alpha' lies outside its domain 'positive'"),
        ({"apha": 0.5}, r"starts names 'apha'.*'alpha'"),
        ({"alpha": "big"}, r"the start for 'alpha' must be a number"),
        ([[1.0, 100.0, 0.3], [1.0, -100.0, 0.3]], r"the start -100.0 for 'A' \(start 1\) lies outside"),
        ([[1.0, 100.0, math.nan]], r"the start nan for 'alpha'"),
        ([["a", "b", "c"]], "starts must be a number"),
    ],
)
def test_starts_that_make_no_sense_are_refused(starts, message):
    with pytest.raises(ValueError, match=message):
        sl.fit(POWER, ladder(), starts=starts)


def test_a_number_of_starts_needs_start_ranges():
    law = sl.Law("L ~ E + A / N", params={"E": "positive", "A": sl.Param("positive", start=(1, 10))})
    with pytest.raises(ValueError, match=r"'E' has no start range: declare it as Param\('positive', start="):
        sl.fit(law, ladder(), starts=8)
    boxed = sl.Law(
        "L ~ E + A / N", params={"E": (0.0, 5.0), "A": sl.Param("positive", start=(1, 1e9), sampling="log")}
    )
    assert sl.fit(boxed, ladder(noise=0.01), starts=8).starts.n == 8


def test_screening_solves_the_best_starts_and_says_how_many():
    data = ladder(noise=0.01)
    default = sl.fit(POWER, data, residual="log", starts=320)
    assert (default.starts.n, default.starts.solved) == (320, 40)
    few = sl.fit(POWER, data, residual="log", starts=320, screen=5)
    assert few.starts.solved == 5
    every = sl.fit(POWER, data, residual="log", starts=40, screen=0)
    assert every.starts.solved == 40
    for fit in (few, every):
        assert fit.objective == pytest.approx(default.objective, rel=1e-9)
    with pytest.raises(ValueError, match="screen must be"):
        sl.fit(POWER, data, screen=-1)


def test_the_seed_decides_and_the_result_repeats():
    data = ladder(noise=0.01)
    a, b = (sl.fit(POWER, data, residual="log", starts=32, rng=7) for _ in range(2))
    assert a.values == b.values
    assert [basin.objective for basin in a.basins] == [basin.objective for basin in b.basins]
    assert a.starts.seed == 7
    generator = sl.fit(POWER, data, residual="log", starts=32, rng=np.random.default_rng(7))
    assert generator.objective == pytest.approx(a.objective, rel=1e-9)
    for rng in (-1, 1.5, "seed", True):
        with pytest.raises(ValueError, match="rng must be"):
            sl.fit(POWER, data, rng=rng)


def test_basins_are_sorted_and_count_their_starts():
    fit = sl.fit(POWER, ladder(noise=0.01), residual="log", starts=64, screen=0)
    objectives = [basin.objective for basin in fit.basins]
    assert objectives == sorted(objectives)
    assert fit.basins[0].hits == fit.starts.hits
    assert sum(basin.hits for basin in fit.basins) <= fit.starts.solved
    assert fit.starts.share == fit.starts.hits / fit.starts.solved
    assert fit.basins[0].values["alpha"] == pytest.approx(fit.values["alpha"], rel=1e-6)


def test_progress_is_reported_up_to_the_end():
    calls = []
    sl.fit(
        POWER,
        ladder(noise=0.01),
        residual="log",
        starts=32,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls
    assert calls[-1][0] == calls[-1][1]
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_an_exception_in_progress_reaches_the_caller():
    def stop(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        sl.fit(POWER, ladder(noise=0.01), residual="log", starts=512, screen=0, progress=stop)


def test_a_limit_of_iterations_makes_the_fit_invalid_with_one_warning():
    with pytest.warns(sl.FitWarning, match="raise max_iter") as caught:
        fit = sl.fit(TWO, plane(), residual="log", max_iter=1, starts={"A": 1.0, "B": 1e5, "alpha": 1.0})
    assert len(caught) == 1
    assert not fit.success
    assert not fit.valid
    assert fit.status == "iteration limit"


def test_a_bound_makes_the_fit_invalid_and_names_the_parameter():
    law = sl.Law(POWER.formula, params={**POWER.params, "alpha": sl.Param((0.0, 0.2), start=(0.05, 0.15))})
    with pytest.warns(sl.FitWarning, match=r"alpha ended on its upper bound 0\.2"):
        fit = sl.fit(law, ladder(noise=0.01), residual="log", starts=16)
    assert fit.status == "bound"
    assert fit.success
    assert not fit.valid
    assert fit.params["alpha"].at_bound
    assert math.isnan(fit.params["alpha"].stderr)
    assert math.isfinite(fit.params["E"].stderr)


def test_a_floor_that_the_rows_do_not_show_is_not_valid():
    N = np.geomspace(1e7, 1e10, 12)
    with pytest.warns(sl.FitWarning, match=r"E no longer changes the predictions.*fixed=\{'E': 0\}"):
        fit = sl.fit(POWER, {"N": N, "L": 400.0 / N**0.34}, residual="log", starts=32)
    assert not fit.valid


def test_a_constant_input_names_the_parameters_that_trade_off():
    rng = np.random.default_rng(0)
    data = {"N": np.full(9, 1e8), "L": 2.0 + 0.1 * rng.random(9)}
    with pytest.warns(sl.FitWarning, match=r"trade off.*'N' is the same in every row"):
        fit = sl.fit(POWER, data, residual="log", starts=8)
    assert not fit.valid
    assert all(math.isnan(error) for error in fit.stderr().values())


def test_two_parameters_that_only_occur_together_are_not_identified():
    law = sl.Law(
        "y ~ a * b * x", params={"a": sl.Param("real", start=(0.5, 2)), "b": sl.Param("real", start=(0.5, 2))}
    )
    x = np.arange(1.0, 9.0)
    with pytest.warns(sl.FitWarning, match="a and b trade off"):
        fit = sl.fit(law, {"x": x, "y": 3.0 * x + 0.01 * np.sin(x)}, starts=8)
    assert fit.values["a"] * fit.values["b"] == pytest.approx(3.0, rel=1e-2)
    fixed = sl.fit(law, {"x": x, "y": 3.0 * x + 0.01 * np.sin(x)}, starts=8, fixed={"a": 2.0})
    assert fixed.valid


def test_as_many_rows_as_parameters_pass_through_the_points_and_say_so():
    fit = sl.fit(POWER, ladder(3), residual="log", starts=16)
    assert fit.valid
    assert fit.dof == 0
    assert "dof = 0" in fit.message
    assert all(math.isnan(error) for error in fit.stderr().values())


def test_the_law_may_be_named_and_a_wrong_name_suggests_one():
    with pytest.raises(ValueError, match=r"no law 'chinchila'\. Did you mean 'chinchilla'"):
        sl.fit("chinchila", plane())
    with pytest.raises(TypeError, match="Law or the name of one"):
        sl.fit(3, plane())


@pytest.mark.parametrize("backend", ["rust", "scipy"])
def test_both_backends_find_the_same_answer(backend):
    fit = sl.fit(TWO, plane(), residual="log", loss=sl.huber(0.01), starts=TWO_START, backend=backend)
    assert fit.backend == backend
    again = sl.fit(TWO, plane(), residual="log", loss=sl.huber(0.01), starts=TWO_START)
    assert fit.objective == pytest.approx(again.objective, rel=1e-10)


def test_the_callers_arrays_are_left_alone():
    data = ladder(noise=0.01)
    before = {name: column.copy() for name, column in data.items()}
    fit = sl.fit(POWER, data, residual="log", starts=8)
    data["L"][:] = -1.0
    assert_allclose(fit.fittedvalues * np.exp(fit.residuals), before["L"])
    assert_array_equal(data["N"], before["N"])


def test_a_quiet_fit_is_the_fit_without_its_warning():
    x = np.arange(1.0, 9.0)
    law = sl.Law(
        "y ~ a * b * x", params={"a": sl.Param("real", start=(0.5, 2)), "b": sl.Param("real", start=(0.5, 2))}
    )
    runs = {"x": x, "y": 3.0 * x + 0.01 * np.sin(x)}
    with pytest.warns(sl.FitWarning):
        loud = sl.fit(law, runs, starts=8)
    quiet = fit_quietly(law, runs, starts=8)
    assert not quiet.valid
    assert (quiet.objective, quiet.values, quiet.message) == (loud.objective, loud.values, loud.message)


def test_a_recipe_is_checked_before_it_sees_a_table_and_serves_for_many():
    for options, message in (
        ({"residual": "logarithm"}, "residual must be"),
        ({"threads": 0}, "threads must be"),
        ({"backend": "julia"}, "backend must be"),
        ({"fixed": {"beta": 1.0}}, "beta"),
    ):
        with pytest.raises(ValueError, match=message):
            Recipe.make(POWER, **options)
    recipe = Recipe.make(POWER, residual="log", fixed={"E": 1.7}, starts=16)
    assert recipe.free == ["A", "alpha"]
    for n in (8, 12):
        again = sl.fit(POWER, ladder(n, noise=0.01), residual="log", fixed={"E": 1.7}, starts=16)
        assert recipe.fit(ladder(n, noise=0.01)).values == again.values
