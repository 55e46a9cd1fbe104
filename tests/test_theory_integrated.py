"""The random-feature model behind the theory exponents, solved numerically on its own, and fitted.

Nothing here uses the formulas under test. In the limit of large matrices the random-feature kernel has the
resolvent ``1 / (lambda_j * m(z) - z)`` in the j-th direction, where
``m = 1 / (1 + sum(lambda_j / (lambda_j * m - z)) / d)``. Losses are integrals of it along a contour around
the spectrum, and training is a sum of exponentials whose rates lie on that contour.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scalinglaws as sl
from scalinglaws import theory

ANGLE = 0.4  # of the contour's rays above and below the spectrum


def power(x, y):
    """Return the exponent of the power law that falls through the points, fitted by the library."""
    x, y = (np.asarray(v) / np.exp(np.mean(np.log(v))) for v in (x, y))
    with warnings.catch_warnings():
        # Points on a power law to the last digits leave the solver nothing but rounding errors.
        warnings.simplefilter("ignore", sl.FitWarning)
        fit = sl.fit("power_law", {"x": x, "y": y}, starts={"A": 1.0, "alpha": 0.5})
    assert fit.valid or fit.objective < 1e-22
    return fit.values["alpha"]


def directions(v, one_by_one=32):
    """Return indices j and weights for sums over 1..v: the first singly, the others by Gauss panels."""
    if v <= 2 * one_by_one:
        return np.arange(1.0, round(v) + 1.0), np.ones(round(v))
    nodes, weights = np.polynomial.legendre.leggauss(8)
    low, high = np.log(one_by_one + 0.5), np.log(v + 0.5)
    edges = np.linspace(low, high, int(np.ceil((high - low) / 0.4)) + 1)
    half = 0.5 * np.diff(edges)[:, None]
    j = np.exp(0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes)
    first = np.arange(1.0, one_by_one + 1.0)
    each = np.concatenate([np.ones(one_by_one), (half * weights * j).ravel()])
    return np.concatenate([first, j.ravel()]), each


class RandomFeatures:
    """d random features of v directions with eigenvalues j**-b and target energies j**-a."""

    def __init__(self, a, b, d, v):
        j, self.weight = directions(v)
        self.eigenvalue, self.energy, self.d = j**-b, j**-a, d
        low, high = -300.0, 30.0
        for _ in range(100):
            middle = 0.5 * (low + high)
            learnt = self.eigenvalue / (self.eigenvalue + np.exp(middle))
            low, high = (middle, high) if np.sum(self.weight * learnt) > d else (low, middle)
        self.kappa = np.exp(low)
        left = self.kappa / (self.eigenvalue + self.kappa)
        learnt = 1.0 - left
        self.floor = np.sum(self.weight * self.energy * left)
        self.bias = np.sum(self.weight * self.energy * left**2)
        self.data_loss = self.bias / (1.0 - np.sum(self.weight * learnt**2) / d)

    def contour(self):
        """Return points z and steps dz in the upper half plane, and the resolvent's two sums there."""
        nodes, weights = np.polynomial.legendre.leggauss(12)
        inner, outer = 1e-3 * self.kappa, 30.0
        edges = np.linspace(np.log(inner), np.log(outer), int(np.ceil(2.0 * np.log(outer / inner))) + 1)
        half = 0.5 * np.diff(edges)[:, None]
        log_r = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes).ravel()
        turn = np.exp(0.5j * ANGLE * (nodes + 1.0))
        ray = np.exp(log_r + 1j * ANGLE)
        z = np.concatenate([inner * turn, ray, outer * turn[::-1]])
        arc = 0.5j * ANGLE * weights * turn
        dz = np.concatenate([inner * arc, ray * (half * weights).ravel(), -outer * arc[::-1]])
        m, target, number = 1.0 + 0.0j, np.empty(z.size, complex), np.empty(z.size, complex)
        # From far away, where m = 1, inwards: each solution starts the next.
        for k in range(z.size - 1, -1, -1):
            for _ in range(100):
                part = self.weight * self.eigenvalue / (self.eigenvalue * m - z[k])
                total = part.sum() / self.d
                slope = -np.sum(part * self.eigenvalue / (self.eigenvalue * m - z[k])) / self.d
                step = (m * (1.0 + total) - 1.0) / (1.0 + total + m * slope)
                m -= step
                if abs(step) < 1e-13 * abs(m):
                    break
            resolvent = self.weight / (self.eigenvalue * m - z[k])
            target[k], number[k] = np.sum(resolvent * self.energy), np.sum(resolvent)
        return z, dz, target, number

    def gradient_flow(self, times):
        """Return the loss at the given times under gradient flow on unlimited data."""
        z, dz, target, _ = self.contour()
        return self.floor + np.sum(target * dz * np.exp(-2.0 * z * times[:, None]), axis=1).imag / np.pi

    def sgd(self, times, rate=0.5):
        """Return the loss after so many steps of one-pass SGD with one sample a step.

        The learning rate is the given share of 1 / (sum of eigenvalues). Between two times the loss under the
        noise is held at its later value, which keeps steep steps stable.
        """
        z, dz, target, number = self.contour()
        gamma = rate / np.sum(self.weight * self.eigenvalue)
        state, noise, now, out = target * dz, gamma**2 * z**2 * number * dz, 0.0, []
        for time in times:
            decay = np.exp(-2.0 * gamma * z * (time - now))
            kick = noise * (1.0 - decay) / (2.0 * gamma * z)
            state = state * decay
            loss = (state.sum().imag / np.pi + self.floor) / (1.0 - kick.sum().imag / np.pi)
            state, now = state + kick * loss, time
            out.append(loss)
        return np.array(out)


def frontier(sizes, times, losses, budgets):
    """Return budget, loss and size where the size is best; through the five points around the best."""
    rows = []
    for f in budgets:
        inside = (f / sizes >= times[0]) & (f / sizes <= times[-1])
        curves = [
            np.interp(np.log(f / d), np.log(times), np.log(loss))
            for d, loss in zip(sizes, losses, strict=True)
        ]
        loss, size = np.array(curves)[inside], np.log(sizes[inside])
        best = int(np.argmin(loss)) if loss.size else 0
        if not 2 <= best < loss.size - 2:
            continue
        near = slice(best - 2, best + 3)
        fitted = np.polyfit(size[near] - size[best], loss[near], 4)
        at = np.linspace(size[best - 1], size[best + 1], 2001) - size[best]
        curve = np.polyval(fitted, at)
        rows.append((f, np.exp(curve.min()), np.exp(size[best] + at[np.argmin(curve)])))
    return np.array(rows).T


# ---- the solver itself -----------------------------------------------------------------------------------


def test_solver_agrees_with_sampled_matrices():
    a, b, d, v = 2.6, 0.8, 60, 240
    model, times = RandomFeatures(a, b, d, v), np.array([0.0, 1.0, 10.0, 40.0])
    rng, flow, noise, floor = np.random.default_rng(2), [], [], []
    j = np.arange(1.0, v + 1.0)
    goal = np.sqrt(j**-a)
    for _ in range(300):
        features = rng.standard_normal((v, d)) * np.sqrt(j**-b / d)[:, None]
        eigenvalues, vectors = np.linalg.eigh(features.T @ features)
        seen = np.square(vectors.T @ (features.T @ goal)) / eigenvalues
        floor.append(goal @ goal - seen.sum())
        decay = np.exp(-2.0 * eigenvalues * times[:, None])
        flow.append(decay @ seen + floor[-1])
        noise.append(decay @ eigenvalues**2)
    np.testing.assert_allclose(model.gradient_flow(times), np.mean(flow, axis=0), rtol=0.03)
    assert model.floor == pytest.approx(np.mean(floor), rel=0.03)
    z, dz, _, number = model.contour()
    kernel = np.sum(z**2 * number * dz * np.exp(-2.0 * z * times[:, None]), axis=1).imag / np.pi
    np.testing.assert_allclose(kernel, np.mean(noise, axis=0), rtol=0.03)


def test_solver_agrees_with_sgd_step_by_step():
    a, b, d, v, steps = 2.0, 1.6, 40, 400, 3000
    rng = np.random.default_rng(4)
    j = np.arange(1.0, v + 1.0)
    scale, goal = j ** (-0.5 * b), j ** (-0.5 * (a - b))
    gamma = 0.5 / np.sum(scale**2)
    at, losses = np.array([30, 300, 3000]), []
    for _ in range(40):
        features = rng.standard_normal((v, d)) / np.sqrt(d)
        weights, path = np.zeros(d), []
        for step in range(1, steps + 1):
            x = scale * rng.standard_normal(v)
            seen = x @ features
            weights = weights - gamma * seen * (seen @ weights - x @ goal)
            if step in at:
                path.append(np.sum(np.square(scale * (features @ weights - goal))))
        losses.append(path)
    times = np.geomspace(1.0, steps, 600)
    ours = np.interp(at, times, RandomFeatures(a, b, d, v).sgd(times))
    mean, error = np.mean(losses, axis=0), np.std(losses, axis=0) / np.sqrt(40)
    assert (np.abs(ours - mean) < 3.0 * error + 0.05 * mean).all()


# ---- 4+3 phases ------------------------------------------------------------------------------------------


def measured_phase(alpha, beta, middle):
    """Return measured exponents of loss and size around `middle`, and their budgets."""
    expected = theory.theory_4p3_phases(alpha, beta)
    sizes = middle * np.geomspace(0.1, 10.0, 25)
    budget = middle ** (1.0 / expected.xi)
    times = np.geomspace(1.0, 1e6 * budget / middle, 500)
    # Directions without limit where their variance has a sum, else a fixed number for each feature.
    losses = [
        RandomFeatures(2.0 * (alpha + beta), 2.0 * alpha, d, 1e12 if alpha > 0.5 else 4.0 * d).sgd(times)
        for d in sizes
    ]
    f, loss, size = frontier(sizes, times, losses, np.geomspace(1e-4 * budget, 1e4 * budget, 80))
    assert f.size >= 20
    return power(f, loss), -power(f, size), f


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alpha", "beta", "phase", "middle"),
    [
        (0.8, 0.3, "Ia", 1e6),
        (1.0, 0.7, "II", 1e6),
        (0.7, 1.2, "III", 1e6),
        (0.4, 0.4, "Ib", 1e11),
        (0.2, 0.8, "Ic", 1e16),
        (0.4, 0.9, "IVa", 1e11),
    ],
)
def test_integrated_model_approaches_the_exponents(alpha, beta, phase, middle):
    expected = theory.theory_4p3_phases(alpha, beta)
    assert expected.phase == phase
    eta, xi, _ = measured_phase(alpha, beta, middle)
    assert eta == pytest.approx(expected.eta, abs=0.001)
    assert xi == pytest.approx(expected.xi, abs=0.003)


@pytest.mark.slow
def test_integrated_model_follows_the_terms_of_phase_four_b():
    # Where the noise is small the budget is shared as in Ic, and noise takes over so slowly that no computer
    # gets to the limit. The sum of the terms, with one constant for the noise, does the same there.
    alpha, beta = 0.28, 1.5
    expected = theory.theory_4p3_phases(alpha, beta)
    assert expected.phase == "IVb"
    excess = 2.0 * (alpha + beta) - 1.0
    without_noise = 2.0 * alpha * excess / (6.0 * alpha + 4.0 * beta - 2.0 - 4.0 * alpha * beta)
    found = [measured_phase(alpha, beta, middle) for middle in (1e8, 1e10, 1e12, 1e14)]
    measured = np.array([eta for eta, _, _ in found])
    assert (np.diff(measured) < 0.0).all()
    assert expected.eta < measured[-1] < 0.5 * (expected.eta + without_noise)
    assert all(xi == pytest.approx(expected.xi, abs=0.01) for _, xi, _ in found)

    def of_the_terms(constant):
        exponents = []
        for _, _, budgets in found:
            least = []
            for f in budgets[[0, -1]]:
                d = np.geomspace(f**0.3, f**0.85, 20001)
                terms = theory.phase_loss_terms(alpha, beta, d=d, r=f / d)
                least.append(np.min(terms.F_0 + terms.F_pp + constant * terms.K_pp))
            exponents.append(power(budgets[[0, -1]], least))
        return np.array(exponents)

    apart = [np.max(np.abs(of_the_terms(constant) - measured)) for constant in np.geomspace(0.03, 0.3, 13)]
    assert min(apart) < 0.001


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alpha", "beta", "reported"),
    [(0.8, 0.3, 0.440), (1.0, 0.7, 0.668), (0.4, 0.9, 0.358), (0.27, 0.7, 0.18)],
)
def test_some_hundred_features_are_far_from_the_limit_by_as_much_as_simulations_are(alpha, beta, reported):
    # The entry reports exponents of simulations with up to 900 features. (In phase III, not compared here, we
    # see 0.68 at these sizes where the entry has 0.634: the early noise depends on the learning rate.)
    expected = theory.theory_4p3_phases(alpha, beta).eta
    eta, _, _ = measured_phase(alpha, beta, 100.0)
    assert eta == pytest.approx(reported, abs=0.04)
    assert abs(eta - expected) > 0.01


# ---- dynamical model -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [(1.5, 1.25), (2.0, 1.5), (4.0, 1.2), (1.2, 2.0)])
def test_time_bottleneck_has_the_stated_exponent(a, b):
    j, weight = directions(1e30)
    times = np.geomspace(1e6, 1e10, 9)
    loss = [np.sum(weight * j**-a * np.exp(-2.0 * j**-b * t)) for t in times]
    assert power(times, loss) == pytest.approx(theory.theory_dynamical_model(a, b).r_t, abs=2e-3)


@pytest.mark.parametrize(("a", "b"), [(1.5, 1.25), (1.9, 1.5), (1.2, 2.0)])
def test_size_and_data_bottlenecks_of_hard_tasks_are_equal(a, b):
    d = np.geomspace(1e4, 1e6, 7)
    models = [RandomFeatures(a, b, n, 1e30) for n in d]
    expected = theory.theory_dynamical_model(a, b)
    assert expected.r_N == pytest.approx(a - 1.0)
    assert power(d, [model.floor for model in models]) == pytest.approx(expected.r_N, abs=5e-3)
    assert power(d, [model.data_loss for model in models]) == pytest.approx(expected.r_P, abs=5e-3)


@pytest.mark.parametrize(("a", "b"), [(4.0, 1.2), (3.0, 1.4), (5.5, 1.6)])
def test_published_size_exponent_is_that_of_an_ensemble_and_a_single_network_falls_slower(a, b):
    d = np.geomspace(1e4, 1e6, 7)
    models = [RandomFeatures(a, b, n, 1e30) for n in d]
    published, single = (
        theory.theory_dynamical_model(a, b, network=kind) for kind in ("published", "single")
    )
    assert power(d, [model.bias for model in models]) == pytest.approx(published.r_N, abs=0.03)
    assert power(d, [model.data_loss for model in models]) == pytest.approx(published.r_P, abs=0.03)
    assert power(d, [model.floor for model in models]) == pytest.approx(single.r_N, abs=0.03)
    assert published.r_N > single.r_N + 0.4


def test_projections_on_sampled_features_keep_the_loss_of_a_single_network():
    a, b, v, d = 4.0, 1.2, 3000, np.array([20, 40, 80, 160])
    rng = np.random.default_rng(6)
    j = np.arange(1.0, v + 1.0)
    floor = []
    for n in d:
        kept = []
        for _ in range(12):
            basis, _ = np.linalg.qr(rng.standard_normal((v, n)) * np.sqrt(j**-b)[:, None])
            goal = np.sqrt(j**-a)
            kept.append(np.sum(np.square(goal - basis @ (basis.T @ goal))))
        floor.append(np.mean(kept))
    np.testing.assert_allclose(floor, [RandomFeatures(a, b, n, v).floor for n in d], rtol=0.25)
    # 1.2 and 2.4 are the two candidates.
    assert power(d, floor) == pytest.approx(
        theory.theory_dynamical_model(a, b, network="single").r_N, abs=0.25
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("a", "b", "network"), [(1.5, 1.25, "published"), (1.9, 1.5, "published"), (4.0, 1.4, "single")]
)
def test_best_share_of_compute_has_the_stated_exponents(a, b, network):
    expected = theory.theory_dynamical_model(a, b, network=network)
    middle = 1e5
    sizes = middle * np.geomspace(1.0 / 30.0, 30.0, 13)
    budget = middle ** (1.0 / expected.size)
    times = np.geomspace(1.0, 1e5 * budget / middle, 400)
    losses = [RandomFeatures(a, b, d, 1e20).gradient_flow(times) for d in sizes]
    C, loss, size = frontier(sizes, times, losses, np.geomspace(1e-6 * budget, 1e4 * budget, 80))
    assert C.size >= 20
    assert power(C, loss) == pytest.approx(expected.r_C, rel=0.02)
    assert -power(C, size) == pytest.approx(expected.size, rel=0.02)


@pytest.mark.parametrize(("a", "b"), [(1.5, 1.25), (2.0, 1.5), (4.0, 1.2)])
def test_early_in_training_width_counts_as_one_over_n_for_every_task(a, b):
    d, time = np.geomspace(1e3, 1e5, 5), np.array([1.0])
    unlimited = RandomFeatures(a, b, 1e9, 1e12).gradient_flow(time)[0]
    away = [RandomFeatures(a, b, n, 1e12).gradient_flow(time)[0] - unlimited for n in d]
    assert (np.array(away) > 0.0).all()
    assert power(d, away) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("a", "b"), [(1.5, 1.25), (2.0, 1.5), (4.0, 1.2)])
def test_one_wide_network_beats_an_ensemble_of_the_same_cost(a, b):
    for members in (2, 10, 100):
        for n in (20.0, 200.0, 2000.0):
            narrow, wide = RandomFeatures(a, b, n, 1e12), RandomFeatures(a, b, members * n, 1e12)
            assert wide.floor < narrow.bias + (narrow.floor - narrow.bias) / members
