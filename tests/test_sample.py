"""Draws from the posterior: against closed forms, quadrature, and the bootstrap of two real ladders."""

from __future__ import annotations

import builtins
import math
from itertools import pairwise

import measured
import numpy as np
import pytest
import scalinglaws as sl
from scalinglaws.posterior.density import Density, flat_units
from scalinglaws.posterior.likelihood import draw_residuals, log_normaliser
from scalinglaws.posterior.walking import Values
from scipy import integrate, stats

az = pytest.importorskip("arviz_stats.base").array_stats
pytest.importorskip("emcee")

REAL = {"a": sl.Param("real"), "b": sl.Param("real")}
LINE = sl.Law("y ~ a + b * x", params=REAL)
CONSTANT = sl.Law("y ~ a", params={"a": sl.Param("real")})


def line(n=10, seed=0):
    x = np.linspace(-1.0, 2.0, n)
    return {"x": x, "y": 1.0 + 2.0 * x + 0.3 * np.random.default_rng(seed).standard_normal(n)}


def fit_line(**options):
    return sl.fit(LINE, line(), starts={"a": 0.0, "b": 0.0}, **options)


def matches(draws, cdf, ess):
    """Compare the share of draws below some points with a distribution, within five standard errors."""
    points = np.quantile(draws, [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98])
    p = np.array([cdf(point) for point in points])
    share = (draws[:, None] <= points).mean(axis=0)
    assert np.abs(share - p).max() < 5.0 * np.sqrt((p * (1 - p)).max() / ess), (share, p)


def by_quadrature(log_density, low, high, n=20001):
    """Distribution function of an unnormalised density."""
    grid = np.linspace(low, high, n)
    values = np.array([log_density(point) for point in grid])
    mass = integrate.cumulative_trapezoid(np.exp(values - values.max()), grid, initial=0.0)
    return lambda point: float(np.interp(point, grid, mass / mass[-1]))


# ---- closed forms


def test_marginals_of_a_linear_law_are_students_t_and_the_noise_is_inverse_chi_square():
    fit = fit_line()
    post = fit.sample(1000, 2)
    assert post.valid
    assert post.flat == {"a": "linear", "b": "linear"}
    errors = fit.stderr()
    for i, name in enumerate(post.names):
        t = stats.t(fit.dof, fit.values[name], errors[name])
        matches(post.draws[..., i].ravel(), t.cdf, post.ess_bulk[name])
    chi2 = stats.chi2(fit.dof)
    matches(fit.rss / post.noise.ravel() ** 2, chi2.cdf, post.ess_bulk["noise"])


def test_known_noise_and_a_normal_prior_give_the_exact_normal_posterior():
    rows = line()
    priors = {"b": sl.normal(1.5, 0.2)}
    fit = sl.fit(LINE, rows, starts={"a": 0.0, "b": 0.0}, weights=np.full(10, 0.3**-2), priors=priors)
    post = fit.sample(1000, 2, noise="weights")
    X = np.column_stack([np.ones(10), rows["x"]])
    precision = X.T @ X / 0.3**2 + np.diag([0.0, 0.2**-2])
    cov = np.linalg.inv(precision)
    mean = cov @ (X.T @ rows["y"] / 0.3**2 + np.array([0.0, 1.5 * 0.2**-2]))
    for i, name in enumerate(post.names):
        normal = stats.norm(mean[i], math.sqrt(cov[i, i]))
        matches(post.draws[..., i].ravel(), normal.cdf, post.ess_bulk[name])
    # With weights 1 / sigma**2 the fit's penalty is the log-density of the prior: its optimum is the mode.
    assert list(fit.values.values()) == pytest.approx(mean)
    assert (post.noise == 1.0).all()


def test_priors_are_densities_whatever_the_noise_though_the_fit_takes_them_as_penalties():
    """Unweighted rows with noise of 0.3 count as if it were 1, so the fit believes the prior too much."""
    prior = {"b": sl.normal(1.5, 0.2)}
    fit, plain = fit_line(priors=prior), fit_line()
    post = fit.sample(500, 2)
    assert abs(fit.values["b"] - 1.5) < 0.5 * abs(plain.values["b"] - 1.5)
    assert abs(post.mean["b"] - fit.values["b"]) > 0.3 * post.stderr()["b"]
    given = plain.sample(500, 2, priors=prior)
    assert given.priors == prior
    assert given.mean["b"] == pytest.approx(post.mean["b"], abs=0.25 * post.stderr()["b"])
    assert fit.sample(500, 2, priors={}).mean["b"] == pytest.approx(
        plain.values["b"], abs=0.25 * post.stderr()["b"]
    )


def test_a_bound_cuts_the_density_off():
    law = sl.Law("y ~ a", params={"a": sl.Param((0.0, math.inf), start=(0.1, 1.0))})
    y = np.array([0.4, -0.6, 0.3, -0.2, 0.5, -0.5])
    with pytest.warns(sl.FitWarning, match="bound"):
        fit = sl.fit(law, {"y": y})
    assert fit.status == "bound"
    post = fit.sample(1000, 2)
    t = stats.t(len(y) - 1, y.mean(), y.std(ddof=1) / math.sqrt(len(y)))
    n = len(y)

    def log_density(a):
        return -0.5 * n * math.log(((y - a) ** 2).sum())

    assert post.draws.min() > 0.0
    matches(post.draws.ravel(), by_quadrature(log_density, 0.0, 30.0, 200001), post.ess_bulk["a"])
    assert t.cdf(0.0) > 0.5


@pytest.mark.parametrize("sampling", ["log", "linear"])
def test_a_coefficient_is_flat_in_the_unit_of_its_starts(sampling):
    law = sl.Law("y ~ A * x", params={"A": sl.Param("positive", start=(0.1, 10.0), sampling=sampling)})
    x = np.array([1.0, 2.0, 3.0])
    fit = sl.fit(law, {"x": x, "y": np.array([1.2, 1.0, 2.1])}, weights=np.full(3, 10.0))
    post = fit.sample(1000, 2, noise="weights")
    y = fit._problem.target

    def log_density(A):
        return -5.0 * float(((y - A * x) ** 2).sum()) - (math.log(A) if sampling == "log" else 0.0)

    assert post.flat == {"A": sampling}
    matches(post.draws.ravel(), by_quadrature(log_density, 1e-6, 3.0), post.ess_bulk["A"])


def test_a_lognormal_prior_is_a_density_of_the_parameter():
    law = sl.Law("y ~ A * x", params={"A": sl.Param("real", start=(0.1, 10.0))})
    x, prior = np.array([1.0, 2.0, 3.0]), sl.lognormal(0.3, 0.4)
    fit = sl.fit(law, {"x": x, "y": np.array([1.2, 1.0, 2.1])})
    post = fit.sample(1000, 2, noise="weights", priors={"A": prior})
    y = fit._problem.target

    def log_density(A):
        return -0.5 * float(((y - A * x) ** 2).sum()) - prior.penalty(A) - math.log(A)

    matches(post.draws.ravel(), by_quadrature(log_density, 1e-6, 3.0), post.ess_bulk["A"])


def test_an_irreducible_loss_is_flat_in_itself_though_its_starts_are_spread_in_the_logarithm():
    problem = sl.fit("chinchilla", _chinchilla_runs(), starts=32)._problem
    theta = np.array([1.7, 400.0, 400.0, 0.34, 0.28])
    assert flat_units(problem, theta, {}) == {
        "E": "linear",
        "A": "log",
        "B": "log",
        "alpha": "linear",
        "beta": "linear",
    }


def _chinchilla_runs():
    N, D = np.geomspace(1e7, 1e10, 6).repeat(3), np.tile(np.geomspace(1e9, 1e12, 3), 6)
    noise = 0.01 * np.random.default_rng(0).standard_normal(18)
    return {"N": N, "D": D, "L": (1.7 + 400 / N**0.34 + 400 / D**0.28) * np.exp(noise)}


# ---- likelihoods of the losses

LOSSES = [
    sl.squared(above=3.0),
    sl.huber(0.3, above=2.0),
    sl.huber(0.01),
    sl.soft_l1(0.5, above=2.0),
    sl.cauchy(2.0, above=0.5),
    sl.absolute(above=3.0),
    sl.quantile(0.2, above=2.0),
]


def density(loss, t):
    return lambda r: float(np.exp(-loss.rho(float(r)) / t))


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("t", [0.01, 0.7])
def test_densities_are_normalised(loss, t):
    ends = [-np.inf, -1.0, 0.0, 1.0, np.inf]
    parts = [
        integrate.quad(density(loss, t), a, b, epsabs=0.0, epsrel=1e-11, limit=500)[0]
        for a, b in pairwise(ends)
    ]
    assert log_normaliser(loss, np.array([t])) == pytest.approx(math.log(sum(parts)), abs=1e-10)


def test_heavy_tails_have_no_density():
    """exp(-rho / s) of the Cauchy loss falls like r**(-scale**2 / s)."""
    assert np.isinf(log_normaliser(sl.cauchy(2.0), np.array([4.0, 5.0]))).all()
    assert np.isfinite(log_normaliser(sl.cauchy(2.0), np.array([3.9]))).all()


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_residuals_are_drawn_from_their_density(loss):
    draws = draw_residuals(loss, np.full(4_000, 0.2), np.random.default_rng(1))
    total = math.exp(log_normaliser(loss, np.array([0.2])).item())

    def cdf(point):
        ends = [-np.inf, *sorted({min(-1.0, point), min(0.0, point), point})]
        pieces = [integrate.quad(density(loss, 0.2), a, b, limit=500)[0] for a, b in pairwise(ends)]
        return sum(pieces) / total

    matches(draws, cdf, draws.size)


def test_posterior_of_a_median_is_that_of_laplaces_distribution():
    y = np.array([0.1, 0.4, 0.45, 0.9, 1.7, 2.5, 3.0])
    fit = sl.fit(CONSTANT, {"y": y}, loss="absolute", starts={"a": 0.5})
    post = fit.sample(1000, 2)

    def log_density(a):
        return -len(y) * math.log(np.abs(y - a).sum())

    matches(post.draws.ravel(), by_quadrature(log_density, -60.0, 60.0, 120001), post.ess_bulk["a"])


@pytest.mark.parametrize("loss", [sl.huber(0.3, above=2.0), sl.soft_l1(0.3), sl.cauchy(1.0)], ids=str)
def test_posterior_under_a_robust_loss_is_that_of_its_density_with_unknown_scale(loss):
    y = np.array([0.1, 0.4, 0.45, 0.5, 0.9, 1.7, 2.5, 3.0, 0.7])
    w = np.linspace(0.5, 1.5, y.size)
    fit = sl.fit(CONSTANT, {"y": y}, loss=loss, starts={"a": 0.5}, weights=w)
    post = fit.sample(1000, 2)
    logs = np.linspace(-12.0, 6.0, 1201)
    norm = sum(log_normaliser(loss, np.exp(logs) / one) for one in w)

    def log_density(a):
        return float(np.logaddexp.reduce(-float(w @ loss.rho(y - a)) / np.exp(logs) - norm))

    matches(post.draws.ravel(), by_quadrature(log_density, -8.0, 12.0, 4001), post.ess_bulk["a"])


# ---- real ladders


def overtraining_grid(read_table):
    runs = read_table("overtraining.csv", train_set="redpajama", role="grid")
    fit = sl.fit("overtraining", runs, residual="log")
    return fit, ("E", "log(a)", "log(b)", "eta"), {"C": 2.4e21, "M": 20.0}


def olmo_ladder(read_table):
    runs, _ = measured.ladder(read_table)
    fit = sl.fit("chinchilla", runs, columns={"L": "bpb_piqa_val"}, loss="squared")
    return fit, ("E", "log(A)", "log(B)", "alpha", "beta"), {"N": 13.7e9, "D": 5e12}


def width(draws):
    """Half of what the middle 68 % span: one draw in a hundred of the bootstrap of olmo_ladder ends on E = 0.

    That point, far from all others, would rule a standard deviation.
    """
    low, high = np.quantile(draws, [0.16, 0.84], axis=0)
    return 0.5 * (high - low)


@pytest.mark.parametrize("ladder", [overtraining_grid, olmo_ladder])
def test_posterior_agrees_with_the_parametric_bootstrap_on_real_ladders(read_table, ladder):
    """32 runs for four parameters, 16 for five: both methods take the noise as normal, and priors are flat.

    The bootstrap takes the estimated noise as known. The posterior does not, so it is wider as Student's t is
    wider than the normal distribution. The allowance is for some 1,500 effective draws and the curvature.
    """
    fit, quantities, far = ladder(read_table)
    post, boot = fit.sample(), fit.bootstrap(4000, kind="parametric")
    assert post.valid
    wider = stats.t(fit.dof).ppf(0.84) / stats.norm.ppf(0.84)
    for what in quantities:
        a, b = post.apply(what), boot.apply(what)
        sd = width(b.draws[boot.ok])
        assert width(a.draws) / sd == pytest.approx(wider, rel=0.12), what
        assert np.median(a.draws) == pytest.approx(np.median(b.draws[boot.ok]), abs=0.25 * sd), what
        assert list(a.conf_int(0.8)) == pytest.approx(list(b.conf_int(0.8)), abs=0.35 * sd), what
    a, b = post.predict(far, 0.68), boot.predict(far, 0.68)
    half = 0.5 * (b.upper - b.lower)
    assert 0.5 * (a.upper - a.lower) == pytest.approx(wider * half, rel=0.12)
    a, b = post.predict(far, 0.8), boot.predict(far, 0.8)
    assert [a.lower, a.upper] == pytest.approx([b.lower, b.upper], abs=0.25 * half)


@pytest.mark.parametrize(("ladder", "name"), [(overtraining_grid, "eta"), (olmo_ladder, "beta")])
def test_an_informative_prior_moves_the_posterior_and_the_bootstrap_alike(read_table, ladder, name):
    """The prior is two standard errors away and as wide as one.

    Weights are 1 / sigma**2, so that fits take the prior for what it is.
    """
    fit, quantities, far = ladder(read_table)
    se, old = fit.stderr()[name], fit.values[name]
    problem = fit._problem
    rows = {column: problem.inputs[column] for column in problem.law.inputs} | {"L": problem.target}
    options = {"residual": fit.residual, "loss": "squared", "weights": np.full(fit.nobs, fit.dof / fit.rss)}
    informed = sl.fit(fit.law, rows, priors={name: sl.normal(old + 2.0 * se, se)}, **options)
    post, boot = informed.sample(noise="weights"), informed.bootstrap(4000, kind="parametric")
    assert post.valid
    # In a linear law the new value is half way to the prior's, with a variance half as large.
    assert (informed.values[name] - old) / se == pytest.approx(1.0, abs=0.15)
    assert post.apply(name).stderr() / se == pytest.approx(math.sqrt(0.5), rel=0.15)
    for what in quantities:
        a, b = post.apply(what), boot.apply(what)
        sd = width(b.draws[boot.ok])
        assert width(a.draws) == pytest.approx(sd, rel=0.12), what
        assert np.median(a.draws) == pytest.approx(np.median(b.draws[boot.ok]), abs=0.25 * sd), what
        assert list(a.conf_int(0.8)) == pytest.approx(list(b.conf_int(0.8)), abs=0.35 * sd), what
    a, b = post.predict(far, 0.68), boot.predict(far, 0.68)
    half = 0.5 * (b.upper - b.lower)
    assert 0.5 * (a.upper - a.lower) == pytest.approx(half, rel=0.12)
    a, b = post.predict(far, 0.8), boot.predict(far, 0.8)
    assert [a.lower, a.upper] == pytest.approx([b.lower, b.upper], abs=0.25 * half)


def test_a_bent_ridge_is_walked_to_its_end(read_table):
    """The profile of alpha, with the volume of the others by Laplace's method, is its marginal density.

    Moves along differences of parameters alone stopped at 0.16, with R-hat below 1.01: walkers that were not
    on the thin end of the ridge could not get there.
    """
    runs, _ = measured.ladder(read_table)
    options = {"columns": {"L": "bpb_hellaswag_val"}, "loss": "squared", "starts": 16}
    fit = sl.fit("chinchilla", runs, **options)
    post = fit.sample()
    grid = np.linspace(0.075, 0.7, 26)
    log = []
    for alpha in grid:
        held = sl.fit("chinchilla", runs, fixed={"alpha": alpha}, **options)
        # The covariance of E, log A, log B and beta; that of the noise is in the power of the sum of squares.
        places = [0, 1, 2, 4]
        scale = np.array([held.values[name] if name in "AB" else 1.0 for name in ("E", "A", "B", "beta")])
        cov = held.cov("classical")[np.ix_(places, places)] / np.outer(scale, scale) / (held.rss / held.dof)
        log.append(-0.5 * (16 - 4) * math.log(held.rss) + 0.5 * np.linalg.slogdet(cov)[1])
    mass = integrate.cumulative_trapezoid(np.exp(np.array(log) - max(log)), grid, initial=0.0)
    ends = np.interp([0.025, 0.1, 0.5, 0.9, 0.975], mass / mass[-1], grid)
    draws = post.apply("alpha").draws
    assert np.quantile(draws, [0.025, 0.1, 0.5, 0.9, 0.975]) == pytest.approx(ends, abs=0.02)
    assert draws.min() < 0.07


def test_the_ladder_under_its_own_narrow_huber_loss_converges(read_table):
    """The loss of the paper has a core a tenth as wide as the residuals, all but a kink."""
    runs, _ = measured.ladder(read_table)
    fit = sl.fit("chinchilla", runs, columns={"L": "bpb_hellaswag_val"})
    post = fit.sample()
    assert post.valid, post.message
    low, high = post.conf_int(0.95)["beta"]
    assert low < fit.values["beta"] < high


def test_five_runs_for_four_parameters_need_priors(read_table):
    runs = read_table("overtraining.csv", train_set="redpajama", loss_fit="1")
    fit = sl.fit("overtraining", runs)
    with pytest.warns(sl.FitWarning, match="do not bound a from below"):
        post = fit.sample(300, 2)
    assert not post.valid
    assert "NOT VALID" in post.summary()


@pytest.mark.parametrize("residual", ["linear", "log"])
def test_values_of_the_law_and_their_derivatives_are_consistent_and_moves_lead_back(residual):
    law = sl.Law(
        "L ~ E + A[kind] / N**alpha",
        params={
            "E": sl.Param("positive", start=(0.5, 2.0), sampling="log"),
            "A": sl.Param("positive", start=(1.0, 100.0), sampling="log"),
            "alpha": sl.Param("real", start=(0.1, 1.0)),
        },
    )
    N, kind = np.geomspace(1e2, 1e5, 12), ["u", "v"] * 6
    scale = np.array([20.0, 30.0] * 6)
    noise = 0.01 * np.random.default_rng(2).standard_normal(12)
    rows = {"N": N, "kind": kind, "L": (1.5 + scale / N**0.4) * np.exp(noise)}
    fit = sl.fit(law, rows, residual=residual, priors={"E": sl.normal(1.5, 5.0)})
    problem = fit._problem
    density = Density(
        problem, problem.priors, flat_units(problem, fit._theta, problem.priors), estimated=True
    )
    origin = density.coordinates(fit._theta)
    values = Values(density, origin)
    x = origin + 0.1 * np.random.default_rng(3).standard_normal((5, density.size))
    _, slopes = values.at(x)
    for j in range(density.size):
        step = 1e-6 * np.eye(density.size)[j]
        numeric = (values.at(x + step)[0] - values.at(x - step)[0]) / 2e-6
        assert slopes[..., j] == pytest.approx(numeric, rel=1e-6, abs=1e-8)
    there, factor = values.move(x, np.full(x.shape, 0.3))
    assert np.isfinite(factor).all()
    assert values.scaled(there) - values.scaled(x) == pytest.approx(np.full(x.shape, 0.3), abs=1e-6)
    back, other = values.move(there, np.full(x.shape, -0.3))
    assert back == pytest.approx(x, abs=1e-6)
    assert other == pytest.approx(-factor, abs=1e-6)


def test_rows_of_weight_zero_take_no_part():
    rows = line(14)
    rows["x"][:7] = 1.0
    weights = np.r_[np.zeros(7), np.ones(7)]
    fit = sl.fit(LINE, rows, starts={"a": 0.0, "b": 0.0}, weights=weights)
    removed = sl.fit(LINE, {name: column[7:] for name, column in rows.items()}, starts={"a": 0.0, "b": 0.0})
    assert fit.sample(300, 2, rng=1).draws == pytest.approx(removed.sample(300, 2, rng=1).draws, rel=1e-6)


def test_a_short_tune_is_complained_about_and_no_crash():
    for tune in (1, 2, 10):
        with pytest.warns(sl.FitWarning, match="tune"):
            assert not fit_line().sample(200, 2, tune=tune).valid


# ---- what comes back


def test_draws_are_a_function_of_the_seed_and_chains_are_added():
    fit = fit_line()
    two, three = fit.sample(500, 2, rng=5), fit.sample(500, 3, rng=5)
    assert (three.draws[:2] == two.draws).all()
    assert (three.noise[:2] == two.noise).all()
    assert not (fit.sample(500, 2, rng=6).draws == two.draws).any()
    state = np.random.get_state()[1].copy()
    fit.sample(800, 1)
    assert (np.random.get_state()[1] == state).all()


def test_health_is_that_of_arviz():
    fit = fit_line()
    post = fit.sample(720, 4)
    column = post.draws[..., 0]
    assert post.rhat["a"] == pytest.approx(float(az.rhat(column, chain_axis=0, draw_axis=1)))
    assert set(post.ess_bulk) == {"a", "b", "noise"}
    assert 400 < post.ess_bulk["a"] < 4000


def test_too_few_draws_are_said_to_be_too_few():
    with pytest.warns(sl.FitWarning, match="take more draws") as caught:
        post = fit_line().sample(20, 2)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert not post.valid
    assert repr(post).endswith("not valid>")


def test_fixed_and_tied_parameters_are_in_the_draws():
    law = sl.Law("y ~ a + b * x + c", params={**REAL, "c": sl.Param("real", value=0.5)})
    fit = sl.fit(law, line(), starts={"a": 0.0, "b": 0.0})
    post = fit.sample(500, 2)
    assert post.names == ("a", "b", "c")
    assert (post.draws[..., 2] == 0.5).all()
    assert math.isnan(post.rhat["c"])
    assert "fixed" in post.summary()
    tied = sl.fit(LINE, line(), fixed={"a": "b / 2"}, starts={"b": 0.0}).sample(500, 2)
    assert tied.draws[..., 0] == pytest.approx(tied.draws[..., 1] / 2)


def test_quantities_and_predictions_follow_from_the_draws():
    fit = fit_line()
    post = fit.sample(1000, 2)
    ratio = post.apply("a / b")
    flat = post.draws.reshape(-1, 2)
    assert (ratio.draws == flat[:, 0] / flat[:, 1]).all()
    assert ratio.value == np.median(ratio.draws)
    assert list(ratio.conf_int(0.9)) == pytest.approx(np.quantile(ratio.draws, [0.05, 0.95]).tolist())
    both = post.apply(lambda v: [v["a"], v["b"]])
    assert both.stderr() == pytest.approx(list(post.stderr().values()))
    assert post.stderr()["b"] == pytest.approx(flat[:, 1].std(ddof=1))
    new = post.predict({"x": 1.0}, 0.9, new_run=True)
    exact = fit.predict({"x": 1.0}, 0.9, new_run=True)
    # The predictive distribution of a linear law is Student's t, as is the interval of the fit.
    assert [new.lower, new.upper] == pytest.approx([exact.lower, exact.upper], abs=0.04)
    mean = post.predict({"x": [0.0, 1.0]}, 0.9)
    assert mean.mean == pytest.approx([flat[:, 0].mean(), flat.sum(axis=1).mean()])
    assert mean.lower.shape == (2,)
    assert (mean.upper - mean.lower).max() < new.upper - new.lower
    with pytest.raises(ValueError, match="percentile"):
        ratio.conf_int(0.9, "bca")
    with pytest.raises(ValueError, match="level"):
        post.conf_int(1.0)


def test_draws_become_data_sets_with_names_and_categories():
    pytest.importorskip("xarray")
    law = sl.Law(
        "y ~ a[kind] + b * x",
        params={"a": sl.Param("real", start=(-1, 1)), "b": sl.Param("real", start=(0, 3))},
    )
    rows = {**line(12), "kind": ["u", "v"] * 6}
    fit = sl.fit(law, rows)
    post = fit.sample(500, 2)
    data = post.to_xarray()
    assert dict(data.sizes) == {"chain": 2, "draw": 500, "kind": 2}
    assert list(data.coords["kind"].values) == ["u", "v"]
    assert (data["a"].sel(kind="v").values == post.draws[..., post.names.index("a[v]")]).all()
    assert data["noise"].dims == ("chain", "draw")
    boot = fit.bootstrap(50)
    data = boot.to_xarray()
    assert data["b"].dims == ("draw",)
    assert data["a"].dims == ("draw", "kind")
    assert list(data.coords["status"].values) == list(boot.status)
    assert np.array_equal(data["b"].values, boot.draws[:, boot.names.index("b")], equal_nan=True)


def test_progress_counts_draws_and_an_interrupt_stops():
    seen = []
    fit_line().sample(800, 2, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (1600, 1600)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_line().sample(progress=stop)


def test_density_is_zero_outside_the_domain_and_finite_beside_it():
    law = sl.Law(
        "y ~ a + u", params={"a": sl.Param("positive", start=(0.1, 1)), "u": sl.Param("unit", start=(0, 1))}
    )
    fit = sl.fit(LINE, line(), starts={"a": 0.0, "b": 0.0})
    problem = sl.fit(
        law, {"y": np.array([1.0, 1.2, 0.9])}, starts=8, priors={"u": sl.normal(0.5, 0.1)}
    )._problem
    log = Density(problem, {}, {"a": "linear", "u": "linear"}, estimated=False)
    values = log(np.array([[0.5, 0.5], [0.0, 0.5], [-1.0, 0.5], [0.5, -1e-9], [0.5, 1.0], [1e-300, 0.0]]))
    assert list(np.isfinite(values)) == [True, False, False, False, True, True]
    assert fit.success


# ---- bad input


def test_bad_options_name_themselves():
    fit = fit_line()
    for options, match in [
        ({"draws": 0}, "draws"),
        ({"draws": 10.5}, "draws"),
        ({"chains": 0}, "chains"),
        ({"tune": 0}, "tune"),
        ({"noise": "known"}, "noise"),
        ({"progress": 3}, "progress"),
        ({"priors": {"c": sl.normal(0, 1)}}, "'c'"),
        ({"priors": {"a": 3.0}}, "normal"),
    ]:
        with pytest.raises(ValueError, match=match):
            fit.sample(**options)


def test_a_fit_without_rows_cannot_be_sampled(tmp_path):
    fit = fit_line()
    fit.save(tmp_path / "fit.json", data=False)
    with pytest.raises(sl.DataError, match="rows"):
        sl.load(tmp_path / "fit.json").sample()


def test_a_fit_that_did_not_converge_cannot_be_sampled():
    with pytest.warns(sl.FitWarning):
        fit = sl.fit("chinchilla", _chinchilla_runs(), starts=1, max_iter=1)
    with pytest.raises(ValueError, match="did not converge"):
        fit.sample()


def test_as_many_parameters_as_runs_leave_no_noise():
    fit = sl.fit(LINE, {"x": np.array([0.0, 1.0]), "y": np.array([1.0, 3.0])}, starts={"a": 0.0, "b": 0.0})
    with pytest.raises(ValueError, match="noise='weights'"):
        fit.sample()
    assert fit.sample(500, 2, noise="weights").valid


def test_a_direction_that_the_runs_leave_open_needs_a_prior():
    law = sl.Law("y ~ a + b * x + c * x", params={**REAL, "c": sl.Param("real")})
    with pytest.warns(sl.FitWarning):
        fit = sl.fit(law, line(), starts={"a": 0.0, "b": 0.0, "c": 0.0})
    with pytest.raises(ValueError, match="do not determine b and c"):
        fit.sample()
    post = fit.sample(500, 2, priors={"c": sl.normal(0.0, 0.1)})
    assert post.valid, post.message
    assert post.stderr()["c"] == pytest.approx(0.1, rel=0.15)


def test_a_missing_extra_is_named_with_its_command(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] in ("emcee", "xarray"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    fit = fit_line()
    boot = fit.bootstrap(10)
    monkeypatch.setattr("scalinglaws.extras.import_module", without)
    with pytest.raises(ImportError, match=r"pip install 'scalinglaws\[sample\]'"):
        fit.sample()
    with pytest.raises(ImportError, match=r"pip install 'scalinglaws\[xarray\]'"):
        boot.to_xarray()
