//! Functions that level off: tanh, the logistic function, and softplus.

use super::exponential::{exp, expm1};
use super::logarithm::log1p_unit;
use super::select;

/// Hyperbolic tangent.
///
/// At most 3 ulp from the exact value, without loss near zero, where the sign of zero is kept.
#[inline(always)]
pub fn tanh<const FMA: bool>(x: f64) -> f64 {
    let decay = expm1::<FMA>(-2.0 * x.abs());
    (decay / (2.0 + decay)).copysign(x)
}

/// Logistic function `1 / (1 + exp(-x))`.
///
/// At most 3 ulp from the exact value, also far to the left, where it behaves as `exp(x)`.
#[inline(always)]
pub fn sigmoid<const FMA: bool>(x: f64) -> f64 {
    let decay = exp::<FMA>(-x.abs());
    select(x < 0.0, decay, 1.0) / (1.0 + decay)
}

/// `log(1 + exp(x))`, which neither overflows nor loses its left tail.
///
/// At most 3 ulp from the exact value.
#[inline(always)]
pub fn softplus<const FMA: bool>(x: f64) -> f64 {
    // Written so that NaN is kept.
    select(x < 0.0, 0.0, x) + log1p_unit::<FMA>(exp::<FMA>(-x.abs()))
}
