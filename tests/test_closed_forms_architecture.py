"""Closed forms and derived numbers that the notes of architecture, mixture and transfer laws state.

The law files hold the optimum, the limit or the equivalence as a formula or number; here it is found from the
law itself, by a root of its exact derivatives or by simulation.
"""

from __future__ import annotations

import numpy as np
import pytest
import scalinglaws as sl
from scipy import integrate, optimize, stats


def first(id):
    law = sl.laws[id]
    return law, law.published[0].values


def stationary(slope, low, high):
    """Root of a slope, on a bracket in the logarithm."""
    return float(
        np.exp(optimize.brentq(lambda x: slope(np.exp(x)), np.log(low), np.log(high), xtol=1e-14, rtol=1e-14))
    )


def test_dense_model_of_equal_loss_to_a_routed_one():
    law, values = first("routed")
    N, E = 1.3e8, 64.0
    dense = stationary(lambda n: law(N=n, E=1.0, **values) - law(N=N, E=E, **values), 1e8, 1e10)
    assert dense == pytest.approx(571749783.0188388, rel=1e-9)
    Es, Em = values["Es"], values["Em"]
    Eh = 1.0 / (1.0 / (E - 1.0 + 1.0 / (1.0 / Es - 1.0 / Em)) + 1.0 / Em)
    slope = {x: values["a"] + values["c"] * np.log10(x) for x in (Eh, Es)}
    assert N ** (slope[Eh] / slope[Es]) * (Eh / Es) ** (values["b"] / slope[Es]) == pytest.approx(
        dense, rel=1e-9
    )


# Ludziejewski et al. 2025, Table 4: m, mu, n, nu for each number of experts.
FIXED_EXPERTS = {
    1: (30.3640, -0.1817, 53.9838, -0.1965),
    2: (27.7982, -0.1780, 66.8401, -0.2065),
    4: (24.8462, -0.1731, 87.7022, -0.2192),
    8: (21.8330, -0.1676, 119.9126, -0.2338),
    16: (19.0159, -0.1617, 167.5073, -0.2494),
    32: (16.5424, -0.1557, 234.6726, -0.2652),
}


@pytest.mark.parametrize("E", FIXED_EXPERTS)
def test_joint_moe_with_fixed_experts_is_the_printed_chinchilla_law(E):
    """From coefficients rounded to four digits: exponents within 0.3 %, and the loss within 0.3 %."""
    law, values = first("joint_moe")
    m, mu, n, nu = FIXED_EXPERTS[E]
    N, D = np.geomspace(1e8, 1e10, 5), np.geomspace(1e9, 1e12, 5)[:, None]
    printed = m * N**mu + n * D**nu + values["c"]
    np.testing.assert_allclose(law(Nact=N, D=D, E=E, **values), printed, rtol=3e-3)
    # The data term has gone for unlimited tokens, so the slope is the exponent of size.
    huge = {"D": 1e300, "E": E}
    reducible = law(Nact=1e9, **huge, **values) - values["c"]
    slope = float(law.gradient(Nact=1e9, **huge, **values, wrt="Nact")[0]) * 1e9 / reducible
    assert slope == pytest.approx(mu, rel=3e-3)


def test_compute_optimal_active_parameters_of_joint_moe():
    law, values = first("joint_moe")

    def slope(N):
        D = 1e20 / (6.0 * N)
        by_N, by_D = law.gradient(Nact=N, D=D, E=8.0, **values, wrt=("Nact", "D"))
        return N * by_N - D * by_D

    assert stationary(slope, 1e7, 1e11) == pytest.approx(989999207.6995763, rel=1e-8)


def test_best_sparsity_of_a_deployed_size():
    law, v = first("sparse_foundation")
    N, C = 1e8, 1e21

    def slope(x):
        by_S, by_D = law.gradient(S=1.0 - x, N=N, D=C * x / (6.0 * N), **v, wrt=("S", "D"))
        return -by_S + by_D * C / (6.0 * N)

    x = stationary(slope, 0.01, 0.99)
    assert 1.0 - x == pytest.approx(0.7141693566107257, rel=1e-9)
    data = (6.0 * v["aD"] * N / C) ** v["bD"]
    assert (v["bD"] / (v["aS"] * v["bS"]) * N ** v["bN"] * data) ** (
        1.0 / (v["bS"] + v["bD"])
    ) == pytest.approx(x)


def test_critical_tokens_of_low_precision_training():
    law, values = first("fp_quantization")
    fixed = {"N": 1e9, "Eb": 3.0, "Mb": 2.0, "B": 128.0}
    tokens = stationary(lambda D: law.gradient(D=D, **fixed, **values, wrt="D")[0], 1e10, 1e15)
    assert tokens == pytest.approx(4796756687038.992, rel=1e-8)


def test_best_common_precision_is_seven_bits_only_with_the_shifts():
    values = sl.laws.precision.published[0].values

    def best(shift):
        def capacity(P):
            return np.prod(
                [1.0 - np.exp(-P / values["g" + x] + shift * values["n" + x]) for x in ("w", "a", "kv")]
            )

        result = optimize.minimize_scalar(lambda P: -capacity(P) / P, bounds=(3.2, 16.0), method="bounded")
        return float(result.x)

    assert best(1.0) == pytest.approx(7.002109368344716, abs=1e-4)
    assert best(0.0) == pytest.approx(3.5, abs=0.05)


def test_best_precision_does_not_depend_on_the_budget():
    """With alpha = beta: minimise the law itself over size and bits at 6 N D P / 16 = C."""
    law, values = first("precision")
    for C in (1e19, 1e22):

        def loss(x, C=C):
            N, P = np.exp(x[0]), x[1]
            return np.log(law(N=N, D=C * 16.0 / (6.0 * N * P), Pw=P, Pa=P, Pkv=P, **values))

        found = optimize.minimize(
            loss,
            (np.log(np.sqrt(C / 6.0)), 8.0),
            method="Nelder-Mead",
            options={"xatol": 1e-6, "fatol": 1e-14},
        )
        assert found.x[1] == pytest.approx(7.0021, abs=2e-3)


def test_best_tokens_before_quantisation_after_training():
    training, t = first("precision")
    penalty, p = first("precision_ptq")
    N, bits = 2.2e8, 3.0
    high = {"N": N, "Pw": 16.0, "Pa": 16.0, "Pkv": 16.0}

    def slope(D):
        return (
            training.gradient(D=D, **high, **t, wrt="D")[0]
            + penalty.gradient(D=D, N=N, Ppost=bits, **p, wrt="D")[0]
        )

    scale = p["gD"] * p["CT"] * np.exp(-bits / p["gp"])
    closed = (t["beta"] * t["B"] * N ** p["gN"] / scale) ** (1.0 / (t["beta"] + p["gD"]))
    assert stationary(slope, 1e9, 1e14) == pytest.approx(closed, rel=1e-9)


def test_error_of_magnitude_pruning_on_gaussian_numbers():
    for sparsity, expected in ((0.5, 0.07132591774425939), (0.75, 0.27639303823767175)):
        t = stats.norm.ppf((1.0 + sparsity) / 2.0)
        exact = 2.0 * integrate.quad(lambda x: x * x * stats.norm.pdf(x), 0.0, t, epsabs=1e-14)[0]
        assert exact == pytest.approx(expected, rel=1e-12)
        assert (2.0 * stats.norm.cdf(t) - 1.0) - 2.0 * t * stats.norm.pdf(t) == pytest.approx(
            expected, rel=1e-12
        )


def test_capacity_and_coefficient_of_compressed_representations_are_one_quantity():
    law = sl.laws.compressed_representations
    check = law.checks[1]
    same = {
        **check.values,
        "Lc": 0.5,
        "A": check.values["A"] * (0.5 / check.values["Lc"]) ** check.values["alpha"],
    }
    assert law(**check.inputs, **same) == pytest.approx(check.result, rel=1e-13)


def test_best_vocabulary_of_a_compute_budget():
    law, values = first("vocabulary")
    Nnv, d, C = 7e9, 4096.0, 7.052393420318813e21

    def slope(V):
        tokens = C / (6.0 * (Nnv + V * d))
        by_size, by_tokens = law.gradient(Nnv=Nnv, Nv=V * d, D=tokens, **values, wrt=("Nv", "D"))
        return by_size - by_tokens * tokens / (Nnv + V * d)

    assert stationary(slope, 1e3, 1e7) == pytest.approx(59547.57555799588, rel=1e-8)


def test_compute_optimal_size_of_the_base_law():
    law, values = first("kaplan_nd_floor")

    def slope(N):
        D = 1e21 / (6.0 * N)
        by_N, by_D = law.gradient(N=N, D=D, **values, wrt=("N", "D"))
        return N * by_N - D * by_D

    assert stationary(slope, 1e7, 1e12) == pytest.approx(4082591050.6499977, rel=1e-8)


def test_distillation_with_the_supervised_law_and_its_best_teacher():
    law, values = first("distillation")
    supervised, known = first("distillation_supervised")

    def student(LT, NS, DS):
        return law(NS=NS, DS=DS, LT=LT, Lsup=supervised(N=NS, D=DS, **known), **values)

    assert student(2.2, 1e9, 2e10) == pytest.approx(2.3169533749372837, rel=1e-12)
    best = optimize.minimize_scalar(
        lambda LT: student(LT, 1e9, 1e12), bounds=(1.3, 2.6), method="bounded", options={"xatol": 1e-10}
    )
    assert best.x == pytest.approx(1.982689519852002, abs=1e-6)


def test_supervised_law_with_outer_exponent_one_is_chinchilla():
    values = sl.laws.chinchilla.published[0].values
    N, D = np.geomspace(1e7, 1e11, 5), np.geomspace(1e9, 1e12, 4)[:, None]
    expected = sl.laws.chinchilla(N=N, D=D, **values)
    np.testing.assert_allclose(
        sl.laws.distillation_supervised(N=N, D=D, gamma=1.0, **values), expected, rtol=1e-13
    )


def test_share_of_a_multilingual_model_that_works_for_one_language():
    law = sl.laws.multilingual_nmt
    factors = {"beta": {"p30": 90.0, "p100": 80.0}, "alpha": 0.25, "Linf": 1.1}
    share = (80.0 / 90.0) ** (1.0 / 0.25)
    assert share == pytest.approx(0.624295076969974, rel=1e-12)
    mixed = law(N=3e8, weight="p30", **factors)
    assert law(N=share * 3e8, weight="p100", **factors) == pytest.approx(mixed, rel=1e-13)
    assert mixed == pytest.approx(1.7838521170864334, rel=1e-9)


def test_joint_mixture_law_with_equal_domains_is_the_additive_one():
    h1 = np.linspace(0.0, 1.0, 5)
    rows = {"N": 1e9, "D": 2e10, "h1": h1, "h2": 1.0 - h1}
    shared = {"E": 1.5, "C1": 2.0, "g1": 0.4, "C2": 1.0, "g2": 0.6, "alpha": 0.34, "beta": 0.36}
    joint = {"CA1": 200.0, "CA2": 200.0, "gA": 1.1, "CB1": 900.0, "CB2": 900.0, "gB": 0.9}
    expected = sl.laws.data_mixture_additive(**rows, **shared, A=200.0**1.1, B=900.0**0.9)
    np.testing.assert_allclose(sl.laws.data_mixture_joint(**rows, **shared, **joint), expected, rtol=1e-13)


@pytest.mark.parametrize(("id", "of_each"), [("data_mixture_additive", 2), ("data_mixture_joint", 4)])
@pytest.mark.parametrize("k", [2, 7, 8])
def test_mixture_laws_have_the_printed_number_of_parameters(id, of_each, k):
    law = sl.laws[id].over(i=k)
    assert len(law.params) == 5 + of_each * k
    assert [name for name in law.inputs if name.startswith("h")] == [f"h{i}" for i in range(1, k + 1)]


def test_model_collapse_formula_agrees_with_simulated_generations():
    """Independent of the formula, which was derived and not read: three generations in 20 dimensions."""
    rng = np.random.default_rng(5)
    d, T0, T, n, noise, repeats = 20, 80, 200, 3, 0.5, 1000
    errors = np.empty(repeats)
    for r in range(repeats):
        truth = w = rng.standard_normal(d)
        for rows in (*[T0] * n, T):
            X = rng.standard_normal((rows, d))
            w = np.linalg.lstsq(X, X @ w + noise * rng.standard_normal(rows), rcond=None)[0]
        errors[r] = ((w - truth) ** 2).sum()
    law = sl.laws.model_collapse_regression
    expected = law(T=T, T0=T0, d=d, n=n, s=noise, s0=noise)
    assert abs(errors.mean() - expected) < 4.0 * errors.std() / np.sqrt(repeats)
    assert expected == pytest.approx(0.282170249029448, rel=1e-12)


def test_loss_to_loss_carries_a_base_law_over_exactly():
    """The map of the notes, from FineWeb-Edu to ProofPile 2: predictions agree to rounding."""
    base, shift = (sl.laws[id].published[0].values for id in ("kaplan_nd_floor", "loss_to_loss"))
    moved = {
        "A": base["A"] * shift["K"] ** (1.0 / (shift["kappa"] * base["alpha"])),
        "B": base["B"] * shift["K"] ** (1.0 / (shift["kappa"] * base["beta"])),
        "E": shift["E1"],
        "alpha": base["alpha"] * shift["kappa"],
        "beta": base["beta"] * shift["kappa"],
    }
    N, D = np.geomspace(1e7, 1e11, 9), np.geomspace(1e9, 1e12, 7)[:, None]
    known = sl.laws.kaplan_nd_floor(N=N, D=D, **base)
    expected = sl.laws.loss_to_loss(L0=known, **{**shift, "E0": base["E"]})
    np.testing.assert_allclose(sl.laws.kaplan_nd_floor(N=N, D=D, **moved), expected, rtol=1e-13)
