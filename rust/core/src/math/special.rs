//! Functions that are evaluated one element at a time.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// `sqrt(1/2) - FRAC_1_SQRT_2`, the part of the constant beyond double precision.
const FRAC_1_SQRT_2_LO: f64 = -4.833646656726457e-17;
/// `1 / sqrt(2 pi)`.
const FRAC_1_SQRT_2PI: f64 = 0.3989422804014327;
/// Beyond this `exp(-x**2 / 2)` is zero; it also keeps the splitting of `x**2` away from overflow.
const PDF_EDGE: f64 = 40.0;

/// Sine.
#[inline]
pub fn sin(x: f64) -> f64 {
    x.sin()
}

/// Cosine.
#[inline]
pub fn cos(x: f64) -> f64 {
    x.cos()
}

/// Tangent.
#[inline]
pub fn tan(x: f64) -> f64 {
    x.tan()
}

/// Arc tangent.
#[inline]
pub fn atan(x: f64) -> f64 {
    x.atan()
}

/// Error function.
#[inline]
pub fn erf(x: f64) -> f64 {
    libm::erf(x)
}

/// Distribution function of the standard normal distribution.
///
/// Keeps its relative accuracy in the left tail, down to the smallest subnormal number (`x` about -38.5).
#[inline]
pub fn normcdf(x: f64) -> f64 {
    // t + t_low is -x / sqrt(2) to twice the precision: rounding t alone would cost x**2 ulp in the tail.
    let t = -x * FRAC_1_SQRT_2;
    let half = 0.5 * libm::erfc(t);
    if !(x < -1.0 && half > 0.0) {
        return half;
    }
    let t_low = product_error(-x, FRAC_1_SQRT_2, t) - x * FRAC_1_SQRT_2_LO;
    // d erfc(t) / dt = -2 / sqrt(pi) exp(-t**2); the correction needs few correct digits.
    half - 0.5 * FRAC_2_SQRT_PI * (-t * t).exp() * t_low
}

/// Density of the standard normal distribution.
#[inline]
pub fn normpdf(x: f64) -> f64 {
    if x.abs() > PDF_EDGE {
        return 0.0;
    }
    let square = x * x;
    let low = product_error(x, x, square);
    let value = FRAC_1_SQRT_2PI * (-0.5 * square).exp();
    value - value * (0.5 * low)
}

/// `a b - product`, where `product` is `a b` rounded.
///
/// Splits both factors into halves (Veltkamp and Dekker); [`f64::mul_add`] may be a slow library call.
#[inline]
fn product_error(a: f64, b: f64, product: f64) -> f64 {
    let (a_high, a_low) = halves(a);
    let (b_high, b_low) = halves(b);
    ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
}

#[inline]
fn halves(a: f64) -> (f64, f64) {
    let scaled = a * 134_217_729.0; // 2**27 + 1
    let high = scaled - (scaled - a);
    (high, a - high)
}
