"""Templates: formulas over a variable number of terms, and laws made of them."""

from __future__ import annotations

import copy
import json
import pickle
import time

import numpy as np
import pytest
import scalinglaws as sl
from hypothesis import given
from hypothesis import strategies as st
from scalinglaws.reference import Reference
from scalinglaws.serialize import law_from_dict, law_to_dict
from scalinglaws.templates import Template, as_labels

MIXTURE = "L ~ E + 1 / sum[i](C{i} * h{i}**g{i}) + A / N**alpha"
PARAMS = {
    "E": sl.Param("positive", start=(0.1, 3.0)),
    "C{i}": sl.Param("positive", start=(0.01, 100.0), sampling="log", meaning="usefulness of domain {i}"),
    "g{i}": sl.Param("positive", start=(0.05, 3.0), sampling="log", meaning="saturation of domain {i}"),
    "A": sl.Param("positive", start=(1.0, 1e5), sampling="log"),
    "alpha": sl.Param("positive", start=(0.05, 1.0)),
}
VALUES = {"E": 1.5, "C1": 2.0, "g1": 0.4, "C2": 1.0, "g2": 0.6, "A": 400.0, "alpha": 0.34}


@pytest.fixture
def mixture():
    return sl.Law(
        MIXTURE,
        params=PARAMS,
        inputs={"N": "parameters", "h{i}": "weight of domain {i}"},
        over={"i": ("1", "2")},
        published=[{"source": "nobody 2020", "values": VALUES}],
        checks=[{"inputs": {"N": 1e9, "h1": 0.7, "h2": 0.3}, "published": 0, "result": 2.5}],
        ranges={"N": (1e7, 1e11), "h{i}": (0.1, 0.9)},
        design=sl.Design({"N": [1e8, 1e9, 1e10], "h{i}": [0.2, 0.5, 0.8]}),
        grid={"E": [1.0, 2.0], "C{i}": [1.0, 10.0], "g{i}": [0.5], "A": [100.0], "alpha": [0.3]},
    )


# ---- the text
# ----------------------------------------------------------------------------------------------------------

EXPANSIONS = [
    ("a + sum[i](C{i} * r{i})", {"i": 2}, "a + C1 * r1 + C2 * r2"),
    ("a + sum[i](C{i}*r{i})", {"i": ("web", "code")}, "a + C_web*r_web + C_code*r_code"),
    ("b * prod[i](x{i}**a{i})", {"i": 3}, "b * x1**a1 * x2**a2 * x3**a3"),
    ("min[i](x{i}) + max[j](y{j})", {"i": 2, "j": 3}, "min(x1, x2) + max(y1, y2, y3)"),
    ("min[i](x{i} + 1) ** 2", {"i": 1}, "(x1 + 1) ** 2"),
    ("sum[i](c{i} * exp(sum[j](t{i}_{j})))", {"i": ("a",), "j": 2}, "c_a * exp(t_a_1 + t_a_2)"),
    ("sum[i, j](t{i}_{j})", {"i": 2, "j": ("a", "b")}, "t1_a + t1_b + t2_a + t2_b"),
    ("sum[i](h{i} / sum[j](h{j}))", {"i": 2, "j": 2}, "h1 / (h1 + h2) + h2 / (h1 + h2)"),
    ("sum[i](A{i}[lang] * loss_{i}_val)", {"i": ("web",)}, "A_web[lang] * loss_web_val"),
    ("a - sum[i](b{i})", {"i": 2}, "a - (b1 + b2)"),
    ("a - sum[i](b{i} * c{i})", {"i": 1}, "a - b1 * c1"),
    ("a / prod[i](b{i})", {"i": 2}, "a / (b1 * b2)"),
    ("a ** -prod[i](b{i})", {"i": 2}, "a ** -(b1 * b2)"),
    ("prod[i](b{i}) ** 2", {"i": 1}, "b1 ** 2"),
    ("prod[i](b{i} + 1e-3) / c", {"i": 2}, "(b1 + 1e-3) * (b2 + 1e-3) / c"),
    ("sum[i](a{i} - b{i})", {"i": 2}, "(a1 - b1) + (a2 - b2)"),
    ("sum [ i ] ( x{i} )", {"i": 2}, "x1 + x2"),
    ("sum[i](x{i}) / sum[i](1)", {"i": 3}, "(x1 + x2 + x3) / (1 + 1 + 1)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "labels", "expected"), EXPANSIONS)
def test_a_reduction_is_written_out_over_its_labels(text, labels, expected):
    assert Template.read(text).over(labels).formula == expected


FAULTS = [
    ("A{i} + sum[i](B{i})", "'A{i}' stands outside sum[i]", 0),
    ("a + sum[i](B{j})", "'B{j}' stands outside sum[j]", 11),
    ("a + sum[i](sum[j](B{i}{j})) * c{j}", "'c{j}' stands outside", 30),
    ("a + sum[i](B{i}", "is not closed", 4),
    ("a + sum[i](B{i}, 2)", "takes one expression", 15),
    ("a + max[i](B{i}, 2)", "takes one expression", 15),
    ("a + sum[i]( )", "is empty", 12),
    ("a + sum[]( B )", "names its indices", 4),
    ("a + sum[i j](B{i})", "names its indices", 4),
    ("a + sum[i{k}](B{i})", "names its indices", 4),
    ("a + sum(B{i})", "sum needs an index", 4),
    ("sum[i](sum[i](B{i}))", "'i' is in use already", 11),
    ("sum[i, i](B{i})", "'i' is in use already", 7),
    ("a + {i}", "a placeholder belongs to a name", 4),
    ("a + B{}", "a placeholder is written C{i}", 5),
    ("a + B{i", "a placeholder is written C{i}", 5),
    ("a + B}", "a placeholder is written C{i}", 5),
    ("2 * sum[i](x{i}) + 3{i}", "a placeholder belongs to a name", 20),
]


@pytest.mark.parametrize(("text", "message", "position"), FAULTS)
def test_a_faulty_template_is_refused_with_a_caret(text, message, position):
    with pytest.raises(sl.FormulaError) as error:
        Template.read(text)
    assert message in error.value.message
    assert error.value.position == position
    assert str(error.value).splitlines()[-1].index("^") == position + 2


def test_names_that_become_one_are_refused():
    for text, labels, message in (
        ("C1 + sum[i](C{i})", {"i": 2}, "'C{i}' at 1 and the name 'C1' become the same name 'C1'"),
        ("sum[i, j](t{i}{j})", {"i": (1, 11), "j": (12, 2)}, "'t112'"),
        ("sum[i](a{i}_b + a{i})", {"i": ("x", "x_b")}, "'a_x_b'"),
    ):
        with pytest.raises(sl.FormulaError, match="become the same name") as error:
            Template.read(text).over(labels)
        assert message in error.value.message
        assert error.value.position is not None


LABELS = [
    ((), ValueError, "at least one label"),
    (0, ValueError, "at least one label"),
    (("web", "web"), ValueError, "'web' twice"),
    ((1, "1"), ValueError, "'1' twice"),
    (("web crawl",), ValueError, "must be a name or digits"),
    (("1a",), ValueError, "must be a name or digits"),
    (("",), ValueError, "must be a name or digits"),
    (("٣",), ValueError, "must be a name or digits"),
    ("web", TypeError, r"such as \('web', 'code'\), not 'web'"),
    ((1.5,), TypeError, "a label of 'i' is text, not 1.5"),
    ((True,), TypeError, "a label of 'i' is text"),
    (True, TypeError, "are a sequence"),
    ({"web"}, TypeError, "are a sequence"),
]


@pytest.mark.parametrize(("labels", "kind", "message"), LABELS)
def test_labels_are_checked(labels, kind, message):
    with pytest.raises(kind, match=message):
        as_labels("i", labels)


def test_every_index_needs_labels_and_no_other():
    template = Template.read("sum[i](x{i})")
    with pytest.raises(ValueError, match=r"the index 'i' has no labels: say over=\{'i'"):
        template.over({})
    with pytest.raises(ValueError, match="no index 'k', only 'i'"):
        template.over({"i": 2, "k": 2})


def test_untrusted_templates_stay_cheap():
    began = time.perf_counter()
    with pytest.raises(sl.FormulaError, match="longer than"):
        Template.read("sum[a, b, c, d](x{a}_{b}_{c}_{d})").over(dict.fromkeys("abcd", 200))
    with pytest.raises(sl.FormulaError, match="longer than"):
        Template.read("sum[a](" + "1 + " * 9000 + "x{a})").over({"a": 60_000})
    with pytest.raises(sl.FormulaError, match="at most 8 indices"):
        Template.read("".join(f"sum[i{k}](" for k in range(3000)))
    with pytest.raises(sl.FormulaError, match="longer than"):
        Template.read("sum[i](x{i})" * 10_000)
    for text in ("sum[i" * 13_000, "sum [" * 13_000, "sum[i](x{i}) " * 5_000, "-" * 60_000 + "sum[i](x{i})"):
        try:
            Template.read(text).over({"i": 1})
        except sl.FormulaError:
            pass
    assert time.perf_counter() - began < 10.0


ATOMS = st.sampled_from(["a", "2.5", "x{i}", "y{i}"])
BODIES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", " - ", " * ", " / "]), inner).map("".join),
        inner.map("({})".format),
        inner.map("-{}".format),
        inner.map("exp({} / 100)".format),
    ),
    max_leaves=6,
)
AROUND = st.sampled_from(
    ["{}", "1 + {}", "1 - {}", "3 * {}", "3 / {}", "-{}", "{} * 3", "{} / 3", "{} - 1", "2 ** -{}", "exp({})"]
)  # fmt: skip


@given(
    body=BODIES, around=AROUND, kind=st.sampled_from(["sum", "prod", "min", "max"]), count=st.integers(1, 3)
)
def test_parentheses_keep_the_meaning(body, around, kind, count):
    """The expansion means the reduction, whatever stands inside and around it."""
    text = around.replace("{}", f"{kind}[i]({body})")
    formula = Template.read(text).over({"i": count}).formula
    row = {"a": 1.25, **{f"{name}{i}": v + i for i in range(1, 4) for name, v in (("x", 0.5), ("y", -2.75))}}

    def value(source, **more):
        return eval(source, {"exp": np.exp, **row, **more})

    with np.errstate(all="ignore"):
        try:
            terms = [np.float64(value(body.replace("{i}", str(i)))) for i in range(1, count + 1)]
            total = {"sum": np.sum, "prod": np.prod, "min": np.min, "max": np.max}[kind](terms)
            expected = value(around.replace("{}", "(z)"), z=np.float64(total))
        except ZeroDivisionError:
            return
        if not np.isfinite(expected) or abs(expected) > 1e12:
            return
        size = max(1.0, abs(expected), *map(abs, terms))
        try:
            assert value(formula) == pytest.approx(expected, rel=1e-9, abs=1e-9 * size)
        except ZeroDivisionError:
            pytest.fail(f"{formula} divides by zero and {text} does not")


# ---- laws
# ----------------------------------------------------------------------------------------------------------


def test_a_template_makes_an_ordinary_law(mixture):
    assert mixture.formula == "L ~ E + 1 / (C1 * h1**g1 + C2 * h2**g2) + A / N**alpha"
    assert mixture.template == MIXTURE
    assert dict(mixture.labels) == {"i": ("1", "2")}
    assert list(mixture.params) == ["E", "C1", "g1", "C2", "g2", "A", "alpha"]
    assert mixture.params["C2"].meaning == "usefulness of domain 2"
    assert mixture.meanings["h1"] == "weight of domain 1"
    value = mixture(N=1e9, h1=0.7, h2=0.3, **VALUES)
    assert value == pytest.approx(1.5 + 1 / (2 * 0.7**0.4 + 0.3**0.6) + 400 / 1e9**0.34, rel=1e-14)
    row = {"N": 1e9, "h1": 0.7, "h2": 0.3, **VALUES}
    expected = Reference(mixture.formula, mixture.params).gradient(row, list(mixture.params))
    np.testing.assert_allclose(mixture.gradient(**row), expected.reshape(-1), rtol=1e-12)


def test_neighbours_are_listed_label_by_label_and_others_stay_where_they_are():
    law = sl.Law(
        "sum[i](C{i} * h{i}**g{i}) + a * sum[i](D{i} * h{i})",
        params=dict.fromkeys(("C{i}", "g{i}", "a", "D{i}"), "real"),
        over={"i": ("x", "y")},
    )
    assert list(law.params) == ["C_x", "g_x", "C_y", "g_y", "a", "D_x", "D_y"]
    square = sl.Law(
        "sum[i](sum[j](t{i}_{j} * x{j}))", params={"t{i}_{j}": "real"}, over={"i": 2, "j": ("a", "b")}
    )
    assert list(square.params) == ["t1_a", "t1_b", "t2_a", "t2_b"]
    assert square.inputs == ("x_a", "x_b")


def test_a_law_is_expanded_over_other_labels(mixture):
    three = mixture.over(i=("web", "code", "math"))
    terms = " + ".join(f"C_{label} * h_{label}**g_{label}" for label in ("web", "code", "math"))
    assert three.formula == f"L ~ E + 1 / ({terms}) + A / N**alpha"
    assert three.params["C_math"].meaning == "usefulness of domain math"
    assert three.params["C_math"].start == (0.01, 100.0)
    assert three.ranges["h_code"] == (0.1, 0.9)
    assert three.grid["C_code"] == (1.0, 10.0)
    assert set(three.design.values) == {"N", "h_web", "h_code", "h_math"}
    assert three.over(i=2).formula == mixture.formula
    assert three.over(i=2).params == mixture.params
    assert mixture.over(i=("1", "2")) is mixture
    assert mixture.over() is mixture


def test_what_was_said_for_other_labels_is_dropped_only_where_it_does_not_fit(mixture):
    assert len(mixture.published) == len(mixture.checks) == 1
    for labels in (("web", "code"), ("1",), ("1", "2", "3")):
        other = mixture.over(i=labels)
        assert other.published == other.checks == ()
    turned = mixture.over(i=("2", "1"))
    assert turned.published == mixture.published
    assert turned.checks == mixture.checks
    by_name = sl.Law(
        "y ~ sum[i](a{i} * x{i})",
        params={"a{i}": "real"},
        over={"i": 2},
        ranges={"x1": (0, 1), "x2": (0, 2)},
        grid={"a1": [1.0], "a2": [2.0]},
        design=sl.Design({"x1": [1.0, 2.0], "x2": [3.0, 4.0]}, "paired"),
    )
    assert by_name.grid["a2"] == (2.0,)
    other = by_name.over(i=3)
    assert other.grid is None
    assert other.design is None
    assert dict(other.ranges) == {"x1": (0.0, 1.0), "x2": (0.0, 2.0)}
    assert dict(by_name.over(i=("a",)).ranges) == {}


def test_one_of_several_indices_may_be_changed():
    law = sl.Law(
        "y ~ sum[i](a{i} * x{i}) * prod[k](b{k})",
        params={"a{i}": "real", "b{k}": "real"},
        over={"i": 2, "k": 1},
    )
    assert law.over(k=("p", "q")).formula == "y ~ (a1 * x1 + a2 * x2) * b_p * b_q"


def test_a_template_without_labels_says_what_to_do():
    with pytest.raises(sl.FormulaError, match=r"say over=\{'i': \('a', 'b'\)\}; law.over") as error:
        sl.Law(MIXTURE, params=PARAMS)
    assert error.value.position == MIXTURE.index("[")


def test_labels_for_a_law_without_an_index_are_refused():
    plain = sl.Law("L ~ A / N", params={"A": "real"})
    with pytest.raises(ValueError, match="the formula has no index"):
        sl.Law("L ~ A / N", params={"A": "real"}, over={"i": 2})
    with pytest.raises(ValueError, match="the formula has no index"):
        plain.over(i=2)
    with pytest.raises(ValueError, match=r"'A\{i\}' is declared, but the formula has no index"):
        sl.Law("L ~ A / N", params={"A{i}": "real"})
    assert plain.template is None
    assert dict(plain.labels) == {}


def test_wrong_declarations_of_a_template_are_refused(mixture):
    with pytest.raises(ValueError, match="the formula has no index 'j', only 'i'"):
        mixture.over(j=2)
    with pytest.raises(ValueError, match=r"'C\{k\}' has the index 'k', which the formula does not have"):
        sl.Law("sum[i](C{i})", params={"C{k}": "real"}, over={"i": 2})
    with pytest.raises(ValueError, match=r"'C\{i\}' and 'C1' both declare 'C1'"):
        sl.Law("sum[i](C{i})", params={"C{i}": "real", "C1": "real"}, over={"i": 2})
    with pytest.raises(ValueError, match="is not a name with placeholders"):
        sl.Law("sum[i](C{i})", params={"C {i}": "real"}, over={"i": 2})
    with pytest.raises(sl.FormulaError, match="'x1' is neither a parameter nor an input"):
        sl.Law("sum[i](C{i} * x{i})", params={"C{i}": "real"}, inputs=["y{i}"], over={"i": 2})
    with pytest.raises(ValueError, match="'y1' is not used by the formula"):
        sl.Law("sum[i](C{i})", params={"C{i}": "real"}, inputs=["y{i}"], over={"i": 2})


def test_template_laws_are_frozen_hashable_and_survive_copies(mixture):
    for made in (pickle.loads(pickle.dumps(mixture)), copy.deepcopy(mixture)):
        assert made == mixture
        assert hash(made) == hash(mixture)
        assert made.over(i=3) == mixture.over(i=3)
    assert mixture != mixture.over(i=3)
    assert mixture.over(i=("2", "1")) != mixture
    with pytest.raises(AttributeError, match="frozen"):
        mixture.labels = {}
    with pytest.raises(TypeError):
        mixture.labels["i"] = ("3",)


def test_template_laws_survive_json(mixture):
    content = json.loads(json.dumps(law_to_dict(mixture), allow_nan=False))
    assert content["formula"] == MIXTURE
    assert content["over"] == {"i": ["1", "2"]}
    assert content["expanded"] == mixture.formula, "readers that are not this library need the formula"
    loaded = law_from_dict(content)
    assert loaded == mixture
    assert loaded.over(i=("web", "code")) == mixture.over(i=("web", "code"))


def test_a_fit_of_a_template_law_is_saved_and_expanded_after_loading(tmp_path, mixture):
    rng = np.random.default_rng(3)
    h = rng.dirichlet((1.0, 1.0), 40)
    rows = {"N": 10 ** rng.uniform(7, 10, 40), "h1": h[:, 0], "h2": h[:, 1]}
    rows["L"] = mixture(**rows, **VALUES)
    fit = sl.fit(mixture, rows, residual="log", starts=256)
    assert fit.values == pytest.approx(VALUES, rel=1e-6)
    fit.save(tmp_path / "fit.json")
    loaded = sl.load(tmp_path / "fit.json")
    assert loaded.law == mixture
    assert loaded.values == fit.values
    assert list(loaded.law.over(i=("web",)).params) == ["E", "C_web", "g_web", "A", "alpha"]


def test_indices_of_a_template_may_be_tied_and_fixed(mixture):
    rng = np.random.default_rng(4)
    h = rng.dirichlet((1.0, 1.0), 40)
    rows = {"N": 10 ** rng.uniform(7, 10, 40), "h1": h[:, 0], "h2": h[:, 1]}
    rows["L"] = mixture(**rows, **{**VALUES, "g2": 0.4})
    fit = sl.fit(mixture, rows, residual="log", fixed={"g2": "g1", "C1": 2.0}, starts=64)
    assert fit.values["g2"] == fit.values["g1"] == pytest.approx(0.4, rel=1e-7)


def test_a_design_is_a_product_or_paired():
    product = sl.Design({"N": [1, 2], "lang": ["de", "en"]}).columns()
    assert product["N"].tolist() == [1.0, 1.0, 2.0, 2.0]
    assert product["lang"].tolist() == ["de", "en", "de", "en"]
    paired = sl.Design({"N": [1, 2], "D": [3, 4]}, "paired").columns()
    assert [column.tolist() for column in paired.values()] == [[1.0, 2.0], [3.0, 4.0]]
    for values, rows, message in (
        ({"N": [1, 2], "D": [3]}, "paired", "equally long, not N 2, D 1"),
        ({"N": []}, "product", "a list of values for 'N'"),
        ({"N": "12"}, "product", "a list of values for 'N'"),
        ({"N": [1, "2"]}, "product", "no finite number"),
        ({"N": [1, float("nan")]}, "product", "no finite number"),
        ({"N": [1, True]}, "product", "no finite number"),
        ({"N": [1]}, "pair", "Did you mean 'paired'"),
        ({"N": [1.0] * 2000, "D": [1.0] * 2000}, "product", "4000000 rows"),
    ):
        with pytest.raises(ValueError, match=message):
            sl.Design(values, rows)


def test_ranges_and_design_name_inputs():
    with pytest.raises(ValueError, match="ranges names 'M', which is not an input"):
        sl.Law("L ~ A / N", params={"A": "real"}, ranges={"M": (0, 1)})
    with pytest.raises(ValueError, match=r"the range of 'N' must be \(low, high\)"):
        sl.Law("L ~ A / N", params={"A": "real"}, ranges={"N": (1, 0)})
    with pytest.raises(ValueError, match="the design must name every input once: 'N', not 'M'"):
        sl.Law("L ~ A / N", params={"A": "real"}, design=sl.Design({"M": [1.0]}))
    with pytest.raises(TypeError, match="design must be a Design"):
        sl.Law("L ~ A / N", params={"A": "real"}, design={"N": [1.0]})


def test_a_formula_with_nothing_to_fit_is_a_law_if_its_inputs_are_declared():
    law = sl.Law("C ~ 6 * N * D", params={}, inputs=["N", "D"])
    assert law(N=1e9, D=2e10) == 1.2e20
    with pytest.raises(ValueError, match="nothing to fit"):
        sl.fit(law, {"N": [1.0], "D": [1.0], "C": [6.0]})
    with pytest.raises(ValueError, match="at least one is needed"):
        sl.Law("C ~ 6 * N * D", params={})


def test_a_design_with_too_many_rows_for_the_labels_is_dropped(mixture):
    assert len(mixture.over(i=3).design.columns()["N"]) == 81
    assert mixture.over(i=20).design is None
    assert len(mixture.over(i=20).params) == 43
