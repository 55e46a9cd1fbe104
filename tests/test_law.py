"""A Law is a formula with domains: callable, differentiable, immutable, picklable."""

from __future__ import annotations

import copy
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scalinglaws as sl
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scalinglaws.reference import Reference

CHINCHILLA = "L ~ E + A / N**alpha + B / D**beta"
DOMAINS = {"E": "positive", "A": "positive", "B": "positive", "alpha": "positive", "beta": "positive"}
VALUES = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}


@pytest.fixture
def law():
    return sl.Law(CHINCHILLA, params=DOMAINS)


def direct(N, D):
    return 1.69 + 406.4 / N**0.34 + 410.7 / D**0.28


def test_a_law_knows_its_formula_parameters_inputs_and_target(law):
    assert law.formula == CHINCHILLA
    assert list(law.params) == ["E", "A", "B", "alpha", "beta"]
    assert law.params["E"] == sl.Param("positive")
    assert law.inputs == ("N", "D")
    assert law.target == "L"
    assert dict(law.groups) == {}


def test_numbers_in_give_a_float_out(law):
    value = law(N=1e9, D=2e10, **VALUES)
    assert type(value) is float
    assert value == pytest.approx(direct(1e9, 2e10), rel=1e-14)


def test_inputs_and_parameters_broadcast_like_numpy(law):
    N, D = np.geomspace(1e8, 1e10, 3)[:, None], np.geomspace(1e9, 1e11, 4)
    assert_allclose(law(N=N, D=D, **VALUES), direct(N, D), rtol=1e-14)
    many = law(N=1e9, D=2e10, **{**VALUES, "E": np.array([1.0, 2.0])})
    assert_allclose(np.diff(many), [1.0])


def test_lists_integers_and_booleans_are_numbers(law):
    assert_allclose(law(N=[10**8, 10**9], D=10**10, **VALUES), direct(np.array([1e8, 1e9]), 1e10))
    assert law(N=True, D=1, **VALUES) == pytest.approx(1.69 + 406.4 + 410.7)


def test_empty_and_one_element_arrays_keep_their_shape(law):
    assert law(N=np.empty((0, 3)), D=1e10, **VALUES).shape == (0, 3)
    assert law(N=np.array([[1e9]]), D=1e10, **VALUES).shape == (1, 1)


def test_non_contiguous_arrays_give_the_same_values(law):
    N = np.geomspace(1e7, 1e11, 20)
    assert_array_equal(law(N=N[::3], D=1e10, **VALUES), law(N=N[::3].copy(), D=1e10, **VALUES))


def test_names_are_keywords_and_unknown_ones_are_refused_with_the_near_name(law):
    with pytest.raises(TypeError, match=r"no input or parameter 'apha'\. Did you mean 'alpha'\?"):
        law(N=1e9, D=1e10, apha=0.3, **{k: v for k, v in VALUES.items() if k != "alpha"})
    with pytest.raises(TypeError):
        law(1e9, 1e10)


def test_missing_names_are_listed(law):
    with pytest.raises(TypeError, match=r"needs a value for 'D', 'beta'"):
        law(N=1e9, **{k: v for k, v in VALUES.items() if k != "beta"})


def test_text_is_not_a_number(law):
    with pytest.raises(TypeError, match="'N' must be numeric"):
        law(N="7e10", D=1e10, **VALUES)


def test_shapes_that_do_not_broadcast_are_named(law):
    with pytest.raises(ValueError, match=r"do not broadcast together: N \(2,\), D \(3,\)"):
        law(N=[1.0, 2.0], D=[1.0, 2.0, 3.0], **VALUES)


def test_a_declared_value_is_the_default_of_a_call():
    law = sl.Law(
        "L ~ E + A / N**alpha", params={"E": "real", "A": "real", "alpha": sl.Param("unit", value=0.5)}
    )
    assert law(N=100.0, E=1.0, A=10.0) == pytest.approx(2.0)
    assert law(N=100.0, E=1.0, A=10.0, alpha=1.0) == pytest.approx(1.1)


def test_gradient_by_all_parameters_is_exact(law):
    N, D = np.geomspace(1e7, 1e11, 7), np.geomspace(1e8, 1e12, 7)
    gradient = law.gradient(N=N, D=D, **VALUES)
    assert gradient.shape == (7, 5)
    expected = Reference(law.formula, law.params).gradient({"N": N, "D": D, **VALUES}, list(law.params))
    assert_allclose(gradient, expected, rtol=1e-10)


def test_gradient_by_inputs_and_chosen_names_in_their_order(law):
    gradient = law.gradient(N=1e9, D=2e10, **VALUES, wrt=["D", "alpha"])
    assert gradient.shape == (2,)
    assert gradient[0] == pytest.approx(-0.28 * 410.7 * 2e10**-1.28, rel=1e-12)
    assert gradient[1] == pytest.approx(-406.4 * 1e9**-0.34 * math.log(1e9), rel=1e-12)
    assert law.gradient(N=1e9, D=2e10, **VALUES, wrt="D").shape == (1,)


def test_hessian_is_symmetric_and_agrees_with_the_reference(law):
    N, D = np.geomspace(1e7, 1e11, 5)[:, None], np.array([1e9, 1e10])
    names = ["E", "A", "alpha", "D"]
    hessian = law.hessian(N=N, D=D, **VALUES, wrt=names)
    assert hessian.shape == (5, 2, 4, 4)
    assert_array_equal(hessian, np.swapaxes(hessian, -1, -2))
    expected = Reference(law.formula, law.params).hessian({"N": N, "D": D, **VALUES}, names)
    assert_allclose(hessian, np.broadcast_to(expected, hessian.shape), rtol=1e-10, atol=1e-300)


def test_derivatives_by_an_unknown_name_are_refused(law):
    with pytest.raises(ValueError, match=r"'gamma'.*does not have"):
        law.gradient(N=1e9, D=1e10, **VALUES, wrt=["gamma"])
    with pytest.raises(ValueError, match="wrt is empty"):
        law.hessian(N=1e9, D=1e10, **VALUES, wrt=[])


def test_grouped_parameters_take_a_mapping_and_the_column_of_labels():
    law = sl.Law("L ~ E + A[lang] / N**alpha", params={"E": "positive", "A": "positive", "alpha": "positive"})
    assert dict(law.groups) == {"A": "lang"}
    assert law.inputs == ("N",)
    N = np.array([1e8, 1e9, 1e8])
    values = law(N=N, lang=["en", "de", "de"], E=1.7, A={"en": 400.0, "de": 300.0}, alpha=0.34)
    assert_allclose(values, 1.7 + np.array([400.0, 300.0, 300.0]) / N**0.34, rtol=1e-14)
    by_row = law(N=N, E=1.7, A=np.array([400.0, 300.0, 300.0]), alpha=0.34)
    assert_array_equal(values, by_row)
    gradient = law.gradient(
        N=N, lang=["en", "de", "de"], E=1.7, A={"en": 400.0, "de": 300.0}, alpha=0.34, wrt="A"
    )
    assert_allclose(gradient[:, 0], N**-0.34, rtol=1e-13)


def test_a_category_without_a_value_is_named():
    law = sl.Law("L ~ A[lang] / N", params={"A": "positive"})
    with pytest.raises(
        ValueError, match=r"no value for the category 'deu' of column 'lang'\. Did you mean 'de'"
    ):
        law(N=1.0, lang=["de", "deu"], A={"de": 1.0})
    with pytest.raises(TypeError, match="needs the column 'lang'"):
        law(N=1.0, A={"de": 1.0})


def test_categories_may_be_numbers():
    law = sl.Law("L ~ A[seed] / N", params={"A": "positive"})
    assert_array_equal(law(N=2.0, seed=[1, 2], A={1: 4.0, 2: 6.0}), [2.0, 3.0])


def test_a_mapping_for_an_ungrouped_parameter_is_refused(law):
    with pytest.raises(TypeError, match="'A' is not grouped"):
        law(N=1e9, D=1e10, **{**VALUES, "A": {"en": 1.0}})


def test_declared_inputs_forbid_every_other_name():
    with pytest.raises(
        sl.FormulaError, match=r"'d' is neither a parameter nor an input of the law\. Did you mean 'D'"
    ):
        sl.Law("L ~ E + A / d", params={"E": "real", "A": "real"}, inputs={"D": "tokens"})


def test_an_undeclared_name_points_into_the_formula():
    with pytest.raises(sl.FormulaError) as error:
        sl.Law("L ~ E + A / M", params={"E": "real", "A": "real"}, inputs=[])
    assert "neither a parameter nor an input" in str(error.value)
    assert str(error.value).splitlines()[-1].index("^") == "  L ~ E + A / M".index("M")


def test_meanings_follow_the_declaration():
    law = sl.Law("L ~ A / N", params={"A": "real"}, inputs={"N": "parameters (count)"})
    assert dict(law.meanings) == {"N": "parameters (count)"}
    assert dict(sl.Law("L ~ A / N", params={"A": "real"}).meanings) == {"N": ""}


def test_a_declared_input_must_be_used():
    with pytest.raises(ValueError, match="'M' is not used"):
        sl.Law("L ~ A / N", params={"A": "real"}, inputs=["N", "M"])


def test_a_name_cannot_be_parameter_and_input():
    with pytest.raises(ValueError, match="'N' is declared as a parameter and as an input"):
        sl.Law("L ~ A / N", params={"A": "real", "N": "real"}, inputs=["N"])


def test_the_target_may_stand_beside_the_formula():
    assert sl.Law("A / N", params={"A": "real"}, target="loss").target == "loss"
    assert sl.Law("A / N", params={"A": "real"}).target is None
    with pytest.raises(ValueError, match="predicts 'L', but target='M'"):
        sl.Law("L ~ A / N", params={"A": "real"}, target="M")


@pytest.mark.parametrize(
    ("domain", "message"),
    [("postive", "Did you mean 'positive'"), ((2.0, 1.0), "low < high"), (3, "domain must be")],
)
def test_a_wrong_domain_names_the_parameter(domain, message):
    with pytest.raises(ValueError, match=f"parameter 'A': .*{message}"):
        sl.Law("L ~ A / N", params={"A": domain})


def test_parameters_are_needed_and_must_occur():
    with pytest.raises(ValueError, match="at least one"):
        sl.Law("L ~ 1 / N", params={})
    with pytest.raises(sl.FormulaError, match=r"'B'|\"B\""):
        sl.Law("L ~ A / N", params={"A": "real", "B": "real"})


def test_a_law_is_frozen_and_its_mappings_are_read_only(law):
    with pytest.raises(AttributeError, match="frozen"):
        law.formula = "L ~ 1"
    with pytest.raises(AttributeError, match="frozen"):
        del law.formula
    with pytest.raises(TypeError):
        law.params["E"] = sl.Param("real")


def test_equal_laws_are_equal_and_hash_alike(law):
    again = sl.Law(CHINCHILLA, params=DOMAINS)
    assert law == again
    assert hash(law) == hash(again)
    assert law != sl.Law(CHINCHILLA, params={**DOMAINS, "E": "real"})
    assert law != CHINCHILLA
    assert len({law, again}) == 1


def test_laws_survive_pickling_and_copying(law):
    for made in (pickle.loads(pickle.dumps(law)), copy.copy(law), copy.deepcopy(law)):
        assert made == law
        assert made(N=1e9, D=2e10, **VALUES) == law(N=1e9, D=2e10, **VALUES)


@pytest.mark.parametrize("id", sorted(sl.laws))
def test_catalogue_laws_survive_pickling(id):
    assert pickle.loads(pickle.dumps(sl.laws[id])) == sl.laws[id]


def test_repr_and_latex_show_the_formula(law):
    assert CHINCHILLA in repr(law)
    assert "chinchilla" in repr(sl.laws.chinchilla)
    assert r"\alpha" in law.latex()


def test_published_values_and_checks_are_kept_with_their_source():
    law = sl.Law(
        "L ~ A / N",
        params={"A": "positive"},
        published=[{"source": "nobody 2020", "values": {"A": 3.0}}],
        checks=[{"inputs": {"N": 2.0}, "published": 0, "result": 1.5}],
    )
    assert law.published == (sl.Published("nobody 2020", {"A": 3.0}),)
    assert law.checks[0].values == {"A": 3.0}
    with pytest.raises(ValueError, match="published values name 'a'"):
        sl.Law("L ~ A / N", params={"A": "positive"}, published=[{"source": "x", "values": {"a": 1.0}}])


def test_a_grid_names_every_parameter():
    with pytest.raises(ValueError, match="grid must name every parameter"):
        sl.Law("L ~ E + A / N", params={"A": "positive", "E": "positive"}, grid={"A": [1.0]})


def test_recommendations_are_checked():
    with pytest.raises(ValueError, match="residual must be 'linear' or 'log'"):
        sl.Law("L ~ A / N", params={"A": "positive"}, residual="logarithmic")
    with pytest.raises(ValueError, match="Did you mean 'huber'"):
        sl.Law("L ~ A / N", params={"A": "positive"}, loss="hubber:1")


def test_threads_may_share_a_law(law):
    N = np.geomspace(1e7, 1e11, 1000)
    expected = law.gradient(N=N, D=1e10, **VALUES)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: law.gradient(N=N, D=1e10, **VALUES), range(64)):
            assert_array_equal(found, expected)


@given(
    N=st.floats(1e3, 1e13),
    D=st.floats(1e3, 1e15),
    alpha=st.floats(0.01, 2.0),
    A=st.floats(1e-3, 1e9),
)
def test_values_agree_with_plain_python(N, D, alpha, A):
    law = sl.Law(CHINCHILLA, params=DOMAINS)
    value = law(N=N, D=D, E=1.0, A=A, B=2.0, alpha=alpha, beta=0.5)
    assert value == pytest.approx(1.0 + A / N**alpha + 2.0 / D**0.5, rel=1e-12)
