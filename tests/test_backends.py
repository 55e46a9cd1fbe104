"""Both backends solve the same problems, reach the same answers and keep the same contract."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scalinglaws as sl
from scalinglaws.backends import BACKENDS, get_backend
from scalinglaws.backends.objective import Objective
from scalinglaws.losses import Loss
from scalinglaws.problem import STATUSES, Problem

# Scales of the size of the noise, so that both sides of every kink are populated.
NOISE = 1e-3
LOSSES = [
    "squared",
    "huber(0.0005)",
    "soft_l1(0.0005)",
    "cauchy(0.002)",
    "absolute",
    "quantile(0.3)",
    "huber(0.0005, above=3)",
]


def problem_of(law, columns, **options):
    """Return the problem of fitting `law` to columns that hold its inputs, its target and its categories."""
    codes, categories = {}, {}
    for column in dict.fromkeys(law.groups.values()):
        labels, codes[column] = np.unique(columns[column], return_inverse=True)
        categories[column] = tuple(labels)
    return Problem(
        law, columns[law.target], {name: columns[name] for name in law.inputs}, codes, categories, **options
    )


def near_start(problem, coefficients, *, by=0.03, seed=5):
    """Return a start some percent away from the coefficients."""
    rng = np.random.default_rng(seed)
    theta = np.array([coefficients[name] for name in problem.names])
    return (theta * np.exp(by * rng.uniform(-1, 1, theta.size)))[None, :]


def assert_same_answer(rust, scipy, problem):
    assert rust.status[0] in ("converged", "bound"), (rust.status, rust.gradient)
    assert scipy.status[0] in ("converged", "bound"), (scipy.status, scipy.gradient)
    smooth = problem.loss.smooth
    assert rust.objective[0] == pytest.approx(scipy.objective[0], rel=1e-10 if smooth else 1e-8)
    # Coefficients move freely along flat directions; what the law says about the rows does not.
    said = [Objective(problem).at(Objective(problem).internal(s.theta[0])).rows[0] for s in (rust, scipy)]
    np.testing.assert_allclose(said[0], said[1], rtol=1e-6 if smooth else 1e-5, atol=1e-7 if smooth else 1e-6)


# Laws of a positive target, one of each shape; test_catalogue.py compares the backends on every law.
IDS = (
    "power_law",
    "power_law_floor",
    "chinchilla",
    "kaplan_nd",
    "overtraining",
    "farseer",
    "broken_power_law",
    "data_constrained",
)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("id", IDS)
def test_both_backends_agree_on_every_law_and_loss(id, loss, simulate):
    law = sl.laws[id]
    coefficients, columns = simulate(law, n=48, noise=NOISE)
    problem = problem_of(law, columns, residual="log", loss=Loss.parse(loss))
    start = near_start(problem, coefficients)
    rust, scipy = (get_backend(name).solve(problem, start) for name in BACKENDS)
    assert_same_answer(rust, scipy, problem)


@pytest.fixture(scope="module")
def languages():
    """Rows of two languages with their own floors and one shared exponent."""
    law = sl.Law(
        "L ~ E[lang] + A[lang] / N**alpha",
        params={"E": "positive", "A": "positive", "alpha": sl.Param((0.0, 1.0)), },
    )  # fmt: skip
    rng = np.random.default_rng(3)
    lang = np.tile(["de", "en"], 20)
    N = np.exp(rng.uniform(np.log(1e6), np.log(1e10), 40))
    floor, size = np.where(lang == "de", 1.5, 1.9), np.where(lang == "de", 300.0, 500.0)
    L = (floor + size / N**0.33) * np.exp(0.01 * rng.standard_normal(40))
    return law, {"lang": lang, "N": N, "L": L}


VARIANTS = {
    "plain": {},
    "fixed": {"fixed": {"E[de]": 1.5}},
    "all but one fixed": {"fixed": {"E[de]": 1.5, "E[en]": 1.9, "A[de]": 300.0, "A[en]": 500.0}},
    "priors": {
        "priors": {
            "alpha": sl.normal(0.5, 0.02),
            "A[en]": sl.lognormal(450.0, 0.1),
            "E[en]": sl.normal(1.8, 0.05),
        }
    },
    "weights": {"weights": np.arange(40) % 5 * 0.7},
    "linear": {"residual": "linear"},
    "active bound": {"loss": Loss("huber", 0.005), "bound": 0.25},
}


@pytest.mark.parametrize("loss", ["squared", "huber(0.005, above=2)", "absolute"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_backends_agree_on_groups_with_every_option(variant, loss, languages):
    law, columns = languages
    options = {"residual": "log", "loss": Loss.parse(loss), **VARIANTS[variant]}
    bound = options.pop("bound", None)
    if bound is not None:
        law = sl.Law(law.formula, params={**law.params, "alpha": sl.Param((0.0, bound))})
    problem = problem_of(law, columns, **options)
    start = np.array([[1.4, 1.7, 250.0, 600.0, 0.2]])
    rust, scipy = (get_backend(name).solve(problem, start) for name in BACKENDS)
    assert_same_answer(rust, scipy, problem)
    if bound is not None:
        assert rust.status == scipy.status == ["bound"]
        assert rust.theta[0, -1] == scipy.theta[0, -1] == bound
    for name, value in problem.fixed.items():
        assert rust.theta[0, problem.names.index(name)] == scipy.theta[0, problem.names.index(name)] == value


@pytest.fixture(scope="module")
def chinchilla(simulate):
    law = sl.laws.chinchilla
    coefficients, columns = simulate(law, n=40, noise=0.01)
    problem = problem_of(law, columns, residual="log", loss=Loss("huber", 0.005))
    return problem, np.array([coefficients[name] for name in problem.names])


@pytest.fixture(params=BACKENDS)
def backend(request):
    return get_backend(request.param)


def test_answer_is_a_stationary_point_to_rounding(backend, chinchilla):
    problem, theta = chinchilla
    solutions = backend.solve(problem, theta[None, :])
    point = Objective(problem).at(Objective(problem).internal(solutions.theta[0]))
    assert solutions.status == ["converged"]
    assert point.measure < 1e-9
    assert solutions.objective[0] == pytest.approx(point.value, rel=1e-12)
    assert solutions.gradient[0] < 1e-7
    assert solutions.iterations[0] >= 1
    assert solutions.evaluations[0] >= solutions.iterations[0]
    assert solutions.seconds > 0


def test_starts_are_solved_in_order_and_statuses_are_known(backend, chinchilla):
    problem, theta = chinchilla
    starts = theta * np.exp(np.random.default_rng(1).uniform(-0.2, 0.2, (4, theta.size)))
    solutions = backend.solve(problem, starts)
    assert solutions.theta.shape == (4, theta.size)
    assert set(solutions.status) <= set(STATUSES)
    np.testing.assert_allclose(solutions.objective, solutions.objective[0], rtol=1e-9)
    alone = backend.solve(problem, starts[2:3])
    np.testing.assert_allclose(alone.theta[0], solutions.theta[2], rtol=1e-9)


def test_screening_solves_only_the_best_starts(backend, chinchilla):
    problem, theta = chinchilla
    starts = theta * np.array([[1.5], [1.0], [1.2], [0.99]])
    solutions = backend.solve(problem, starts, screen=2)
    assert [status == "screened" for status in solutions.status] == [True, False, True, False]
    np.testing.assert_allclose(solutions.theta[0], starts[0], rtol=1e-14)
    whole = Objective(problem)
    assert solutions.objective[0] == pytest.approx(whole.at(whole.internal(starts[0])).value, rel=1e-12)


def test_rows_of_weights_are_refits_of_their_own(backend, chinchilla):
    problem, theta = chinchilla
    weights = np.random.default_rng(2).multinomial(40, np.full(40, 1 / 40), size=3).astype(float)
    together = backend.solve(problem, theta[None, :], weights=weights)
    assert together.theta.shape == (3, theta.size)
    for row, theta_row in zip(weights, together.theta, strict=True):
        changed = Problem(
            problem.law, problem.target, problem.inputs, weights=row, residual="log", loss=problem.loss
        )
        np.testing.assert_allclose(backend.solve(changed, theta[None, :]).theta[0], theta_row, rtol=1e-7)


def test_row_of_weight_zero_has_no_influence_whatever_it_holds(backend, chinchilla):
    problem, theta = chinchilla
    keep = np.arange(40) != 7
    target, weights = problem.target.copy(), np.ones(40)
    target[7], weights[7] = 1e200, 0.0
    with_it = Problem(problem.law, target, problem.inputs, weights=weights, residual="log", loss=problem.loss)
    inputs = {name: column[keep] for name, column in problem.inputs.items()}
    without = Problem(problem.law, problem.target[keep], inputs, residual="log", loss=problem.loss)
    answers = [backend.solve(one, theta[None, :]) for one in (with_it, without)]
    assert answers[0].objective[0] == pytest.approx(answers[1].objective[0], rel=1e-10)


def test_start_that_cannot_be_evaluated_gets_a_status_and_no_exception(backend, chinchilla):
    problem, theta = chinchilla
    linear = Problem(problem.law, problem.target, problem.inputs, residual="linear", loss=problem.loss)
    starts = np.stack([theta, theta])
    starts[0, 1], starts[0, 3] = 1e290, -50.0
    solutions = backend.solve(linear, starts)
    assert solutions.status == ["non-finite start", "converged"]
    np.testing.assert_allclose(solutions.theta[0], starts[0], rtol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_start_outside_its_domain_is_refused_by_name(backend, chinchilla, value):
    problem, theta = chinchilla
    starts = np.stack([theta, theta])
    starts[1, 0] = value
    with pytest.raises(ValueError, match=r"start 1: E = .* lies outside its domain"):
        backend.solve(problem, starts)


def test_iteration_limit_is_a_status(backend, chinchilla):
    problem, theta = chinchilla
    solutions = backend.solve(problem, theta[None, :] * 3.0, max_iter=1)
    assert solutions.status == ["iteration limit"]
    assert solutions.iterations[0] <= 3


def test_exact_data_converge_to_the_truth(backend, simulate):
    law = sl.laws.chinchilla
    coefficients, columns = simulate(law, n=40)
    problem = problem_of(law, columns, residual="log", loss=sl.squared())
    solutions = backend.solve(problem, near_start(problem, coefficients))
    assert solutions.status == ["converged"]
    assert solutions.objective[0] < 1e-26
    np.testing.assert_allclose(solutions.theta[0], [coefficients[name] for name in problem.names], rtol=1e-8)


def test_median_of_a_constant_is_the_median(backend):
    law = sl.Law("y ~ m + 0 * x", params={"m": "real"})
    y = np.array([1.0, 2.0, 4.0, 8.0, 100.0])
    problem = problem_of(law, {"x": np.zeros(5), "y": y}, residual="linear", loss=sl.absolute())
    assert backend.solve(problem, np.array([[3.0]])).theta[0, 0] == pytest.approx(4.0, rel=1e-7)
    upper = problem_of(law, {"x": np.zeros(5), "y": y}, residual="linear", loss=sl.quantile(0.7))
    assert backend.solve(upper, np.array([[3.0]])).theta[0, 0] == pytest.approx(8.0, rel=1e-7)


def test_problem_without_a_free_parameter_is_refused(backend, chinchilla):
    problem, theta = chinchilla
    fixed = dict(zip(problem.names, theta, strict=True))
    held = Problem(
        problem.law, problem.target, problem.inputs, residual="log", loss=problem.loss, fixed=fixed
    )
    with pytest.raises(ValueError, match="every parameter is fixed"):
        backend.solve(held, theta[None, :])


def test_progress_reports_up_to_the_total(backend, chinchilla):
    problem, theta = chinchilla
    seen = []
    backend.solve(problem, np.tile(theta, (3, 1)), progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (3, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"starts": np.ones((2, 3))}, "starts must have the shape"),
        ({"starts": np.ones((0, 5))}, "starts must have the shape"),
        ({"weights": np.ones((2, 3))}, "weights"),
        ({"on_interrupt": "stop"}, "on_interrupt"),
    ],
)
def test_wrong_shapes_and_options_are_refused(backend, chinchilla, options, message):
    problem, theta = chinchilla
    with pytest.raises(ValueError, match=message):
        backend.solve(problem, **{"starts": theta[None, :], **options})


def test_interrupt_raises_or_keeps_what_is_done(chinchilla):
    problem, theta = chinchilla
    scipy = get_backend("scipy")

    def stop(done, total):
        if done == 1:
            raise KeyboardInterrupt

    starts = np.tile(theta, (3, 1))
    with pytest.raises(KeyboardInterrupt):
        scipy.solve(problem, starts, progress=stop)
    kept = scipy.solve(problem, starts, progress=stop, on_interrupt="keep")
    assert kept.status == ["converged", "cancelled", "cancelled"]
    assert math.isfinite(kept.objective[0])


def test_unknown_backend_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'rust'"):
        get_backend("rst")


@pytest.mark.parametrize(("text", "count"), [("", None), ("3", 3)])
def test_number_of_threads_comes_from_the_environment(monkeypatch, text, count):
    from scalinglaws.backends.rust import thread_count

    monkeypatch.setenv("SCALINGLAWS_NUM_THREADS", text)
    assert thread_count(None) == count
    assert thread_count(2) == 2
    with pytest.raises(ValueError, match="threads must be"):
        thread_count(0)
    monkeypatch.setenv("SCALINGLAWS_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="SCALINGLAWS_NUM_THREADS"):
        thread_count(None)


def test_derivatives_of_the_objective_agree_with_differences(languages):
    law, columns = languages
    for loss in ("squared", "soft_l1(0.01)", "cauchy(0.01)"):
        problem = problem_of(
            law, columns, residual="log", loss=Loss.parse(loss), priors={"A[en]": sl.lognormal(400.0, 0.2)}
        )
        objective = Objective(problem)
        u = objective.internal(np.array([1.4, 1.7, 250.0, 600.0, 0.3]))
        point, step = objective.at(u), 1e-6
        for j in range(u.size):
            ahead, behind = (
                objective.at(u + step * np.eye(u.size)[j]),
                objective.at(u - step * np.eye(u.size)[j]),
            )
            slope = (ahead.value - behind.value) / (2 * step)
            bend = (ahead.gradient - behind.gradient) / (2 * step)
            assert point.gradient[j] == pytest.approx(slope, rel=1e-6, abs=1e-8 * abs(point.gradient).max())
            np.testing.assert_allclose(
                point.hessian[j], bend, rtol=1e-6, atol=1e-7 * np.abs(point.hessian).max()
            )
