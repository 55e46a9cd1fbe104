"""Losses: shapes, derivatives, the weight of rows above the law, and their text form."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scalinglaws.losses import Loss, absolute, cauchy, huber, quantile, soft_l1, squared

LOSSES = [squared(), huber(0.5), soft_l1(0.5), cauchy(0.5), absolute(), quantile(0.2)]
RESIDUALS = np.array([-30.0, -0.6, -0.4, -1e-9, 0.0, 1e-9, 0.4, 0.6, 30.0])


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (squared(), lambda r: r * r / 2),
        (huber(0.5), lambda r: r * r / 2 if abs(r) <= 0.5 else 0.5 * (abs(r) - 0.25)),
        (soft_l1(0.5), lambda r: mpmath.mpf("0.25") * (mpmath.sqrt(1 + (r / 0.5) ** 2) - 1)),
        (cauchy(0.5), lambda r: mpmath.mpf("0.125") * mpmath.log(1 + (r / 0.5) ** 2)),
        (absolute(), abs),
        (quantile(0.2), lambda r: mpmath.mpf(0.2) * r if r >= 0 else (mpmath.mpf(0.2) - 1) * r),
    ],
    ids=str,
)
def test_loss_follows_its_formula_to_rounding(loss, expected):
    with mpmath.workdps(40):
        exact = [float(expected(mpmath.mpf(float(r)))) for r in RESIDUALS]
    np.testing.assert_allclose(loss.rho(RESIDUALS), exact, rtol=4e-16, atol=0)


@pytest.mark.parametrize("above", [1.0, 3.0])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_derivatives_agree_with_differences_away_from_kinks(loss, above):
    loss = Loss(loss.kind, loss.scale, above)
    r = np.array([-2.0, -0.7, -0.3, 0.3, 0.7, 2.0])
    step = 1e-4
    low, mid, high = loss.rho(r - step), loss.rho(r), loss.rho(r + step)
    np.testing.assert_allclose(loss.psi(r), (high - low) / (2 * step), rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(loss.curvature(r), (high - 2 * mid + low) / step**2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_factor_applies_only_to_rows_above_the_law(loss):
    heavy = Loss(loss.kind, loss.scale, 2.5)
    factor = np.where(RESIDUALS > 0, 2.5, 1.0)
    for name in ("rho", "psi", "curvature"):
        np.testing.assert_array_equal(
            getattr(heavy, name)(RESIDUALS), factor * getattr(loss, name)(RESIDUALS)
        )


@given(
    kind=st.sampled_from(["squared", "huber", "soft_l1", "cauchy", "absolute", "quantile"]),
    scale=st.floats(1e-6, 0.99),
    above=st.floats(1e-3, 1e3),
)
def test_text_form_reads_back_exactly(kind, scale, above):
    loss = Loss(kind, 1.0 if kind in ("squared", "absolute") else scale, above)
    assert Loss.parse(str(loss)) == loss


@pytest.mark.parametrize(
    ("text", "loss"),
    [
        ("huber:1e-3", huber(1e-3)),
        ("huber(1e-3)", huber(1e-3)),
        (" huber( delta=1e-3 , above=2 ) ", huber(1e-3, above=2)),
        ("squared", squared()),
        ("quantile(tau=0.1)", quantile(0.1)),
        (cauchy(2.0), cauchy(2.0)),
    ],
)
def test_common_spellings_are_understood(text, loss):
    assert Loss.parse(text) == loss


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Loss.parse("hubr:1e-3"), "Did you mean 'huber'"),
        (lambda: Loss.parse("huber"), "needs its delta"),
        (lambda: Loss.parse("huber:x"), "cannot read the number 'x'"),
        (lambda: Loss.parse("huber(1, 2)"), "cannot read '2'"),
        (lambda: Loss.parse("huber(1, width=2)"), "cannot read 'width=2'"),
        (lambda: Loss.parse("squared:2"), "has no scale"),
        (lambda: Loss.parse("huber(("), "a loss is"),
        (lambda: Loss.parse(3), "a loss is"),  # type: ignore[arg-type]
        (lambda: huber(0.0), "scale must be a positive number"),
        (lambda: huber(float("nan")), "scale must be a positive number"),
        (lambda: squared(above=-1.0), "above must be a positive number"),
        (lambda: quantile(1.5), "between 0 and 1"),
    ],
)
def test_wrong_loss_is_refused_with_the_reason(make, message):
    with pytest.raises(ValueError, match=message):
        make()
