"""Parameters, priors and problems refuse what makes no sense and say why."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from scalinglaws.errors import DataError, FormulaError, near
from scalinglaws.param import Param
from scalinglaws.priors import Prior, lognormal, normal
from scalinglaws.problem import Problem, Solutions


@pytest.mark.parametrize(
    ("domain", "kind", "bounds"),
    [
        ("real", "real", (-math.inf, math.inf)),
        ("positive", "positive", (0.0, math.inf)),
        ("unit", "box", (0.0, 1.0)),
        ((-1, 2), "box", (-1.0, 2.0)),
        ([0.0, math.inf], "box", (0.0, math.inf)),
    ],
)
def test_domain_decides_kind_and_bounds(domain, kind, bounds):
    param = Param(domain)
    assert (param.kind, param.bounds) == (kind, bounds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"domain": "positiv"}, "Did you mean 'positive'"),
        ({"domain": (2.0, 1.0)}, "low < high"),
        ({"domain": (math.nan, 1.0)}, "finite"),
        ({"domain": (-math.inf, math.inf)}, "'real'"),
        ({"domain": 3}, "domain must be"),
        ({"sampling": "lg"}, "sampling must be"),
        ({"start": (2.0, 1.0)}, "low < high"),
        ({"start": (1.0, 2.0, 3.0)}, "pair"),
        ({"start": "1"}, "number"),
        ({"start": math.inf}, "finite"),
        ({"domain": "positive", "start": (0.0, 1.0)}, "outside the domain"),
        ({"domain": "unit", "start": 1.5}, "outside the domain"),
        ({"start": (-1.0, 1.0), "sampling": "log"}, "above 0"),
        ({"domain": "positive", "value": 0.0}, "outside the domain"),
        ({"value": True}, "number"),
        ({"meaning": 3}, "meaning"),
    ],
)
def test_contradictory_parameter_is_refused_with_the_reason(arguments, message):
    with pytest.raises(ValueError, match=message):
        Param(**arguments)


def test_parameter_is_hashable_comparable_and_picklable():
    param = Param([0, 1], start=(0.1, 0.9), value=0.5, meaning="share")
    assert pickle.loads(pickle.dumps(param)) == param
    assert hash(param) == hash(Param((0.0, 1.0), start=(0.1, 0.9), value=0.5, meaning="share"))


def test_positive_domain_excludes_zero_and_boxes_include_their_ends():
    assert not Param("positive").contains(0.0)
    assert Param("unit").contains(0.0)
    assert Param("unit").contains(1.0)
    assert not Param("real").contains(math.inf)


@pytest.mark.parametrize("prior", [normal(0.34, 0.05), lognormal(400.0, 0.3)])
def test_prior_derivatives_agree_with_differences(prior: Prior):
    theta = prior.center * 1.1
    step = 1e-5 * theta
    values = [prior.penalty(theta + k * step) for k in (-1, 0, 1)]
    assert prior.gradient(theta) == pytest.approx((values[2] - values[0]) / (2 * step), rel=1e-8)
    assert prior.curvature(theta) == pytest.approx(
        (values[2] - 2 * values[1] + values[0]) / step**2, rel=1e-4
    )


def test_prior_is_half_a_squared_deviation():
    assert normal(2.0, 0.5).penalty(3.0) == 2.0
    assert lognormal(2.0, 0.5).penalty(2.0 * math.e) == pytest.approx(2.0)
    assert lognormal(2.0, 0.5).penalty(0.0) == math.inf


@pytest.mark.parametrize(
    "make", [lambda: normal(0.0, 0.0), lambda: lognormal(-1.0, 1.0), lambda: normal(math.nan, 1.0)]
)
def test_prior_without_meaning_is_refused(make):
    with pytest.raises(ValueError, match="prior"):
        make()


def test_formula_error_shows_the_line_with_a_caret_and_survives_pickling():
    error = FormulaError("unknown function 'epx'", "L ~\n  epx(x)", 6)
    assert str(error) == "unknown function 'epx'\n    epx(x)\n    ^"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.position, copy.text) == (str(error), 6, error.text)


def test_formula_error_in_a_long_line_shows_the_surroundings():
    text = "a + " * 200 + "epx(x)" + " + b" * 200
    lines = str(FormulaError("unknown", text, text.index("epx"))).splitlines()
    assert max(map(len, lines)) < 120
    assert lines[1][lines[2].index("^") :].startswith("epx(x)")


def test_data_error_keeps_column_and_rows_through_pickling():
    error = pickle.loads(pickle.dumps(DataError("L is not finite in rows 3", "L", [3])))
    assert (str(error), error.column, error.rows) == ("L is not finite in rows 3", "L", (3,))


def test_near_names_prefer_the_same_letters():
    assert near("Tokens", ["tokens", "params"]) == " Did you mean 'tokens'?"
    assert near("zzz", ["tokens"]) == ""


class _Law:
    formula = "L ~ E[lang] + A / N**alpha"
    params = {"E": Param("positive"), "A": Param("positive"), "alpha": Param("unit")}  # noqa: RUF012
    inputs = ("N",)
    groups = {"E": "lang"}  # noqa: RUF012


def _problem(**changes):
    options = {
        "target": [3.0, 2.5, 2.0],
        "inputs": {"N": [1e6, 1e7, 1e8]},
        "codes": {"lang": [0, 1, 0]},
        "categories": {"lang": ("de", "en")},
        **changes,
    }
    return Problem(_Law(), **options)


def test_grouped_parameters_expand_in_the_order_of_the_declaration():
    problem = _problem(fixed={"alpha": 0.3})
    assert problem.names == ("E[de]", "E[en]", "A", "alpha")
    assert problem.owners == ("E", "E", "A", "alpha")
    assert problem.slots == [("E", slice(0, 2)), ("A", slice(2, 3)), ("alpha", slice(3, 4))]
    assert problem.free.tolist() == [True, True, True, False]
    assert problem.bounds.tolist() == [[0, math.inf], [0, math.inf], [0, math.inf], [0, 1]]
    assert problem.positions("E").tolist() == [0, 1, 0]
    rows = problem.row_values(np.array([1.0, 2.0, 3.0, 0.3]))
    assert rows["E"].tolist() == [1.0, 2.0, 1.0]
    assert rows["A"].tolist() == [3.0]


def test_problem_copies_its_arrays():
    target = np.array([3.0, 2.5, 2.0])
    problem = _problem(target=target)
    target[0] = 99.0
    assert problem.target[0] == 3.0
    assert problem.weights.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": {"n": [1.0, 2.0, 3.0]}}, "'N' is missing. Did you mean 'n'"),
        ({"inputs": {"N": [1.0, math.nan, 3.0]}}, "N is not finite in rows 1"),
        ({"inputs": {"N": [1.0, 2.0]}}, "shape"),
        ({"target": [3.0, -1.0, 2.0]}, "positive target; see rows 1"),
        ({"weights": [1.0, -1.0, 1.0]}, "weights must be at least 0; see rows 1"),
        ({"codes": {}}, "'lang' is missing"),
        ({"codes": {"lang": [0, 1, 2]}}, "codes of column 'lang'"),
    ],
)
def test_data_that_cannot_be_fitted_are_refused_by_column_and_row(changes, message):
    with pytest.raises(DataError, match=message):
        _problem(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"residual": "logs"}, "residual must be"),
        ({"fixed": {"E": 1.0}}, "no parameter 'E'"),
        ({"fixed": {"alpha": 2.0}}, "outside its domain"),
        ({"priors": {"alpa": normal(0.3, 0.1)}}, "Did you mean 'alpha'"),
    ],
)
def test_wrong_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _problem(**changes)


def test_best_solution_is_the_lowest_finite_objective():
    count = np.zeros(3, dtype=np.int64)
    solutions = Solutions(
        np.zeros((3, 1)), np.array([np.nan, 2.0, 1.0]), ["stalled"] * 3, count, count, np.zeros(3), 0.0
    )
    assert solutions.best == 2
