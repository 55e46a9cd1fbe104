"""The reference evaluator: values and derivatives to 50 digits, the language, its limits, conditions."""

from __future__ import annotations

import time

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scalinglaws.errors import DataError, FormulaError
from scalinglaws.reference import Condition, Reference
from scalinglaws.syntax import FUNCTIONS, MAX_LENGTH, parse

_MP = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "neg": lambda a: -a,
    "exp": mpmath.exp,
    "log": mpmath.log,
    "log2": lambda a: mpmath.log(a, 2),
    "log10": mpmath.log10,
    "log1p": lambda a: mpmath.log(1 + a),
    "expm1": lambda a: mpmath.exp(a) - 1,
    "sqrt": mpmath.sqrt,
    "abs": abs,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "atan": mpmath.atan,
    "tanh": mpmath.tanh,
    "sigmoid": lambda a: 1 / (1 + mpmath.exp(-a)),
    "softplus": lambda a: mpmath.log(1 + mpmath.exp(a)),
    "erf": mpmath.erf,
    "normcdf": mpmath.ncdf,
    "min": min,
    "max": max,
}


def exact(formula, point):
    """Evaluate a formula with mpmath numbers."""
    done = []
    for step in parse(formula).steps:
        if step.op == "number":
            done.append(mpmath.mpf(step.value))
        elif step.op == "name":
            done.append(point[step.value])
        else:
            done.append(_MP[step.op](*(done[arg] for arg in step.args)))
    return done[-1]


def exact_derivatives(formula, point, names):
    """Differentiate with differences in 60-digit arithmetic; right to far more than double precision."""
    with mpmath.workdps(60):
        base = {name: mpmath.mpf(value) for name, value in point.items()}

        def along(*values):
            return exact(formula, {**base, **dict(zip(names, values, strict=True))})

        at = tuple(base[name] for name in names)
        k = len(names)
        orders = np.eye(k, dtype=int)
        gradient = [float(mpmath.diff(along, at, tuple(int(o) for o in orders[i]))) for i in range(k)]
        hessian = [
            [float(mpmath.diff(along, at, tuple(int(o) for o in orders[i] + orders[j]))) for j in range(k)]
            for i in range(k)
        ]
        return float(along(*at)), np.array(gradient), np.array(hessian)


LAWS = {
    "chinchilla": ("E + A / N**alpha + B / D**beta", {"E": 1.8, "A": 480.0, "B": 2085.0, "alpha": 0.35,
    "beta": 0.37}), "kaplan": ("((Nc / N)**(p / q) + Dc / D)**q", {"Nc": 6.4e13, "Dc": 1.8e13, "p": 0.076,
    "q": 0.103}), "broken": ("a + b*D**(-c0) * (1 + (D/d1)**(1/f1))**(-c1*f1)",
               {"a": 0.4, "b": 2.3, "c0": 0.05, "c1": 5.6, "d1": 6e9, "f1": 0.3}),
    "normal": ("a * normcdf((log10(N) - m) / s) + (1 - a) * sigmoid(k * (log2(D) - 30))",
               {"a": 0.4, "m": 8.5, "s": 0.7, "k": 0.3}),
    "shared": ("exp(-k * x0) * exp(-k * x0) + (N / 1e9 - x0)**2 * k + x0 * x0", {"k": 0.4, "x0": 0.6}),
    "excess": ("a * min(N / x1, 1, D / 3e10) + max(0, D / x1 - 4)**p", {"a": 1.5, "x1": 3e9, "p": 1.7}),
}  # fmt: skip


@pytest.mark.parametrize("name", LAWS)
def test_laws_and_their_derivatives_agree_with_fifty_digits(name):
    formula, values = LAWS[name]
    point = {"N": 1.3e9, "D": 2.1e10, **values}
    point = {key: value for key, value in point.items() if key in parse(formula).names}
    names = list(point)
    value, gradient, hessian = exact_derivatives(formula, point, names)
    got = Reference(formula, values).derivatives(point, names)
    assert float(got[0]) == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(got[1], gradient, rtol=1e-11, atol=0)
    size = np.abs(hessian) + 1e-13 * np.abs(np.outer(gradient, gradient)) / abs(value)
    assert np.all(np.abs(got[2] - hessian) <= 1e-11 * size + 1e-10 * np.abs(hessian))


@pytest.mark.parametrize("name", LAWS)
def test_logarithm_and_its_derivatives_agree_with_the_law(name):
    formula, values = LAWS[name]
    point = {"N": 1.3e9, "D": 2.1e10, **values}
    names = list(values)
    reference = Reference(formula, values)
    f, g, h = reference.derivatives(point, names)
    log_f, log_g, log_h = reference.derivatives(point, names, log=True)
    np.testing.assert_allclose(log_f, np.log(f), rtol=1e-13)
    np.testing.assert_allclose(log_g, g / f, rtol=1e-12)
    np.testing.assert_allclose(
        log_h, h / f - np.outer(g, g) / f**2, rtol=1e-9, atol=1e-12 * np.abs(h / f).max()
    )


_LOWER = {"log": 0.0, "log2": 0.0, "log10": 0.0, "sqrt": 0.0, "log1p": -1.0}


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (function, x)
        for function in FUNCTIONS
        for x in (-2.3, -0.4, 0.0, 0.3, 1.7, 40.0)
        if function not in ("min", "max") and x > _LOWER.get(function, -3.0) and (function, x) != ("abs", 0.0)
    ],
)
def test_each_function_with_two_derivatives(function, x):
    value, gradient, hessian = exact_derivatives(f"{function}(x)", {"x": x}, ["x"])
    f, g, h = Reference(f"{function}(x)", ["x"]).derivatives({"x": x}, ["x"])
    assert float(f) == pytest.approx(value, rel=1e-14, abs=1e-300)
    # Differences in 60 digits leave about 1e-25 where the derivative is 0.
    assert g[0] == pytest.approx(gradient[0], rel=1e-12, abs=1e-20)
    assert h[0, 0] == pytest.approx(hessian[0, 0], rel=1e-12, abs=1e-15)


_LEAVES = st.sampled_from(["a", "b", "x", "0.5", "2", "3.25"])


def _extend(inner):
    binary = st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(
        lambda t: f"({t[0]} {t[1]} {t[2]})"
    )
    power = st.tuples(inner, st.sampled_from(["2", "3", "-1", "0.5", "b"])).map(
        lambda t: f"abs({t[0]})**({t[1]})"
    )
    calls = ["exp", "tanh", "sigmoid", "softplus", "atan", "erf", "sin", "normcdf", "cos", "-", "log1p"]
    call = st.tuples(st.sampled_from(calls), inner).map(
        lambda t: f"{t[0]}({t[1]})" if t[0] != "log1p" else f"log1p(abs({t[1]}))"
    )
    return binary | power | call


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(_LEAVES, _extend, max_leaves=8),
    st.tuples(*[st.floats(0.2, 2.5)] * 3),
)
def test_random_formulas_agree_with_exact_arithmetic(formula, values):
    point = dict(zip("abx", values, strict=True))
    names = [name for name in point if name in parse(formula).names]
    assume(names)
    try:
        value, gradient, hessian = exact_derivatives(formula, point, names)
    except (ZeroDivisionError, TypeError, ValueError, OverflowError):
        assume(False)
    sizes = [abs(value), np.abs(gradient).max(), np.abs(hessian).max()]
    assume(np.isfinite(sizes).all() and 1e-3 < sizes[0] and max(sizes) < 1e4)
    f, g, h = Reference(formula, names).derivatives({name: point[name] for name in names}, names)
    # Inner cancellation is bounded by the sizes that were let through only loosely.
    assert float(f) == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(g, gradient, rtol=1e-8, atol=1e-8 * max(sizes))
    np.testing.assert_allclose(h, hessian, rtol=1e-7, atol=1e-7 * max(sizes))


def test_logarithm_of_terms_beyond_the_range_of_floats():
    reference = Reference("exp(a) + exp(b)", ["a", "b"])
    rows = {"a": [2000.0, -2000.0, 5.0], "b": [1999.0, -2001.0, -800.0]}
    expected = np.array([2000.0, -2000.0, 5.0]) + np.array([np.log1p(np.exp(-1.0))] * 2 + [0.0])
    value, gradient, hessian = reference.derivatives(rows, ["a", "b"], log=True)
    np.testing.assert_allclose(value, expected, rtol=1e-15)
    share = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(gradient[:2], [[share, 1 - share]] * 2, rtol=1e-12)
    np.testing.assert_allclose(hessian[:2, 0, 1], -share * (1 - share), rtol=1e-11)
    np.testing.assert_array_equal(reference.value(rows), [np.inf, 0.0, np.exp(5.0)])


def test_broken_power_law_with_a_sharp_break_does_not_overflow():
    formula = "b*x**(-c0) * (1 + (x/d1)**(1/f1))**(-c1*f1)"
    row = {"b": 2.0, "c0": 0.1, "c1": 0.5, "d1": 1.0, "f1": 1e-3, "x": 1e6}
    expected = np.log(2.0) - 0.6 * np.log(1e6)
    assert Reference(formula, ["b"]).log_value(row) == pytest.approx(expected, rel=1e-13)


def test_derivative_by_a_parameter_at_zero_is_exact():
    reference = Reference("a + b / x", ["a", "b"])
    _, g, h = reference.derivatives({"a": 0.0, "b": 2.0, "x": 4.0}, ["a", "b"], log=True)
    np.testing.assert_allclose(g, [2.0, 0.5])
    np.testing.assert_allclose(h, [[-4.0, -1.0], [-1.0, -0.25]])


@pytest.mark.parametrize(("base", "power"), [(0.0, 2.0), (0.0, 1.0), (-1.5, 3.0), (-1.5, 2.0)])
def test_whole_powers_of_zero_and_negative_numbers(base, power):
    f, g, h = Reference(f"x**{power:g}", ["x"]).derivatives({"x": base}, ["x"])
    assert float(f) == base**power
    assert g[0] == power * base ** (power - 1)
    assert h[0, 0] == power * (power - 1) * base ** max(power - 2, 0)


def test_undefined_values_are_nan_and_not_an_exception():
    reference = Reference("log(x) + min(x, 3)", [])
    np.testing.assert_array_equal(np.isnan(reference.value({"x": [-1.0, 1.0, np.nan]})), [True, False, True])


def test_shapes_broadcast_and_derivatives_come_last():
    reference = Reference("a * x + b", ["a", "b"])
    values = {"a": np.ones((3, 1)), "b": 2.0, "x": np.arange(4.0)}
    assert reference.value(values).shape == (3, 4)
    assert reference.gradient(values, ["a", "x"]).shape == (3, 4, 2)
    assert reference.hessian(values, ["a", "x"]).shape == (3, 4, 2, 2)
    assert reference.value({"a": 1.0, "b": 2.0, "x": 3.0}).shape == ()


def test_derivatives_by_inputs_work_like_those_by_parameters():
    g = Reference("E + A / N**alpha", ["E", "A", "alpha"]).gradient(
        {"E": 1, "A": 2, "N": 3, "alpha": 0.5}, ["N"]
    )
    assert g[0] == pytest.approx(-0.5 * 2 / 3**1.5)


def test_names_are_sorted_into_target_parameters_inputs_and_groups():
    reference = Reference("L ~ E + A[lang] / N**alpha + B[lang] * D", ["alpha", "A", "E", "B"])
    assert reference.target == "L"
    assert reference.params == ("alpha", "A", "E", "B")
    assert reference.inputs == ("N", "D")
    assert reference.groups == {"A": "lang", "B": "lang"}


@pytest.mark.parametrize(
    ("formula", "values"),
    [("-x**2", -9.0), ("2**-x", 0.125), ("2**x**0.5", 2 ** (3**0.5)), ("-x - -x", 0.0), ("+x", 3.0), ("x/2/3",
    0.5),
     ("1_000 * x", 3000.0), (".5e1*x", 15.0), ("min(x, 5, 1)", 1.0), ("x -\n 1", 2.0), (" x", 3.0), ("β*x",
     6.0)],
)  # fmt: skip
def test_grammar_is_that_of_python_arithmetic(formula, values):
    assert float(Reference(formula, []).value({"x": 3.0, "β": 2.0})) == pytest.approx(values, rel=1e-15)


@pytest.mark.parametrize(
    ("formula", "message", "position"),
    [
        ("L ~ E + epx(x)", "unknown function 'epx'. Did you mean 'exp'", 8),
        ("L ~ ", "the formula is empty", 3),
        ("", "the formula is empty", 0),
        ("L ~ a b", "cannot stand here", 6),
        ("a ^ b", r"'\^' is not an operator", 2),
        ("L = a", "'=' is not an operator; the target is separated by '~'", 2),
        ("a // b", "'//' is not an operator", 2),
        ("a % b", "'%' is not an operator", 2),
        ("((a)", "never closed", 0),
        ("a))", "'\\)' closes nothing", 1),
        ("a +", "something is missing after '\\+'", 3),
        ("np.exp(x)", "without a module", 2),
        ("lambda * 2", "'lambda' is a reserved word", 0),
        ("a if b else c", "'if' is a reserved word", 2),
        ("a < b", "no comparison", 2),
        ("'a'", "no text constants", 0),
        ("exp * 2", "exp is a function", 0),
        ("exp(a, b)", "exp takes one argument, not 2", 0),
        ("min(a)", "min takes two or more", 0),
        ("exp()", "exp takes one argument, not 0", 0),
        ("exp(*a)", "not part of the formula language", 4),
        ("(a, b)", "not part of the formula language", 0),
        ("a, b", "not part of the formula language", 0),
        ("f(a)(b)", "not part of the formula language", 0),
        ("A[1]", "a group is written A\\[column\\]", 0),
        ("A[x] + A", "both with and without a group", 0),
        ("A[x] + A[y]", "grouped by two columns", 7),
        ("L ~ L + 1", "both sides of '~'", 4),
        ("L ~ a ~ b", "'~' may only separate", 6),
        ("2 ~ a", "the one name that the formula predicts", 0),
        ("1e999", "too large", 0),
        ("0x10", "neither a number nor a name", 0),
        ("2x", "neither a number nor a name", 0),
        ("1j", "neither a number nor a name", 0),
        ("007", "starts with a zero", 0),
        ("x # y", "unknown character '#'", 2),
        ("a \\ b", "unknown character", 2),
        ("a := 1", "unknown character ':'", 2),
        ("β + \N{MATHEMATICAL ITALIC SMALL ALPHA}", "reads as another one", 4),
        ("β * epx(x)", "unknown function", 4),
    ],
)
def test_what_is_not_a_formula_is_refused_at_its_position(formula, message, position):
    with pytest.raises(FormulaError, match=message) as caught:
        Reference(formula, [])
    assert caught.value.position == position
    if formula.strip():
        assert "^" in str(caught.value).splitlines()[-1]


def test_declared_names_must_occur_and_only_parameters_are_grouped():
    with pytest.raises(FormulaError, match=r"'bta' does not occur in the formula\. Did you mean 'beta'"):
        Reference("D**beta", ["bta"])
    with pytest.raises(FormulaError, match="'N' is grouped but is not a declared parameter"):
        Reference("A * N[lang]", ["A"])


@pytest.mark.parametrize(
    "formula",
    ["(" * 5000 + "a" + ")" * 5000, "-" * 20_000 + "a", "a" + "**a" * 20_000, "exp(" * 500 + "a" + ")" * 500,
     "+".join(["a"] * 30_000), "a" * (MAX_LENGTH + 1), "*".join(f"a{i}" for i in range(9000)), "(" * 60_000,
     "[" * 60_000, "min(" + ",".join(["a"] * 30_000) + ")"],
    ids=["parentheses", "signs", "powers", "calls", "sum", "length", "product", "open", "brackets",
    "arguments"],
)  # fmt: skip
def test_hostile_text_is_refused_quickly(formula):
    began = time.perf_counter()
    with pytest.raises(FormulaError):
        Reference(formula, [])
    assert time.perf_counter() - began < 2.0


def test_a_long_honest_sum_is_accepted():
    terms = [f"a{i}" for i in range(900)]
    assert float(Reference("+".join(terms), terms).value(dict.fromkeys(terms, 2.0))) == 1800.0


def test_missing_and_unknown_names_are_named():
    reference = Reference("A / N**alpha", ["A", "alpha"])
    with pytest.raises(ValueError, match=r"no value for 'alpha'\. Did you mean 'alfa'"):
        reference.value({"A": 1.0, "N": 2.0, "alfa": 0.5})
    with pytest.raises(ValueError, match="'D' does not occur in the formula"):
        reference.gradient({"A": 1.0, "N": 2.0, "alpha": 0.5, "D": 1.0}, ["D"])


COLUMNS = {
    "N": np.array([1e8, 1e9, 1e10, np.nan]),
    "D": np.array([10, 20, 30, 40], dtype=np.int64),
    "task": np.array(["mmlu", "piqa", "arc", "mmlu"]),
    "ok": np.array([True, False, True, True]),
    "name": np.array(["a", None, "b", "a"], dtype=object),
    "excluded": [0, 1, 0, 0],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("N > 1e8", [0, 1, 1, 0]),
        ("N != 1e9", [1, 0, 1, 0]),
        ("1e8 < N <= 1e9", [0, 1, 0, 0]),
        ("6*N*D > 1e11 or task == 'mmlu'", [1, 1, 1, 1]),
        ("task in ('mmlu', 'arc') and not ok", [0, 0, 0, 0]),
        ("task not in ('mmlu', \"arc\")", [0, 1, 0, 0]),
        ("task in ('piqa')", [0, 1, 0, 0]),
        ("D in [10, 2*20]", [1, 0, 0, 1]),
        ("ok", [1, 0, 1, 1]),
        ("not excluded", [1, 0, 1, 1]),
        ("name == 'a' or name == 'b'", [1, 0, 1, 1]),
        ("log10(N) == 8", [1, 0, 0, 0]),
        ("max(D, 25) >= 30 and -D < -30", [0, 0, 0, 1]),
        ("1 < 2", [1, 1, 1, 1]),
        ("task == task", [1, 1, 1, 1]),
    ],
)
def test_conditions_choose_rows(text, expected):
    mask = Condition(text).mask(COLUMNS)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [bool(e) for e in expected]


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("Nn > 1", "there is no column 'Nn'. Did you mean 'N'", 0),
        ("N + D", "this is a number, not a condition", 0),
        ("ok and N + D", "this is a number, not a condition", 7),
        ("N < 'a'", "text and numbers cannot be compared", 4),
        ("task < 'b'", "text has no order", 7),
        ("task", "this is text", 0),
        ("task + 1 > 2", "this is not a number", 0),
        ("N = 3", "equality is written '=='", 2),
        ("(1, 2) < N", "a list of values stands after 'in'", 9),
        ("N == (1, 2)", "a list of values stands after 'in'", 5),
        ("N is 3", "'is' is a reserved word", 2),
        ("r'a' == task", "must be separated", 1),
        ("f'{N}' == task", "must be separated", 1),
        ("task == 'a", "not closed", 8),
        ("L ~ N > 2", "'~' may only separate", 2),
        ("N[task] > 2", "not part|with two names", 0),
        ("N >", "something is missing after '>'", 3),
        ("not " * 200 + "ok", "nested more than", 512),
    ],
)
def test_wrong_conditions_are_refused_at_their_position(text, message, position):
    with pytest.raises(FormulaError, match=message) as caught:
        Condition(text).mask(COLUMNS)
    assert caught.value.position == position


def test_columns_of_different_length_are_refused():
    with pytest.raises(DataError, match="differ in length"):
        Condition("a < b").mask({"a": [1, 2], "b": [1, 2, 3]})


def test_condition_lists_the_columns_it_needs():
    assert Condition("6*N*D > 1e22 and task == 'x'").names == ("N", "D", "task")
