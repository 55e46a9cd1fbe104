//! Logarithms.

use super::exponential::{LN2_HI, LN2_LO};
use super::{fma, select};

/// Coefficients of `(log((1 + s) / (1 - s)) - 2 s) / s**3` in `s**2`; largest error relative to `2 s` 2^-59.4.
const LOG: [f64; 7] = [
    0.6666666666666734,
    0.399999999994167,
    0.28571428742014576,
    0.22222198605927054,
    0.18183562837234601,
    0.15314084310975298,
    0.14795648146060383,
];

/// `2**52`: an integer in the low mantissa bits of this number is its distance from it.
const MAGIC: f64 = (1_u64 << 52) as f64;
const TWO_54: f64 = (1_u64 << 54) as f64;
const ONE: u64 = 1023 << 52;
/// The double next above `sqrt(1/2)`.
const HALF_ROOT: u64 = 0x3fe6_a09e_667f_3bcd;
const MANTISSA: u64 = (1 << 52) - 1;

/// Natural logarithm: `-inf` at zero, NaN below.
///
/// At most 1 ulp from the exact value, also for subnormal arguments.
#[inline(always)]
pub fn log<const FMA: bool>(x: f64) -> f64 {
    let tiny = x < f64::MIN_POSITIVE;
    let scaled = select(tiny, x * TWO_54, x);
    let shifted = shift(scaled);
    let k = exponent(shifted, select(tiny, MAGIC + 1023.0 + 54.0, MAGIC + 1023.0));
    let value = log_sum::<FMA>(k, mantissa(shifted) - 1.0);
    edges(x, value)
}

/// Has its sign bit set unless [`log_normal`] may be used: `x` is neither subnormal nor at or beyond an end of the domain.
#[inline(always)]
pub(super) fn log_special(x: f64) -> u64 {
    // The first is "negative" below the normal numbers, the second from infinity on; negative x is found by one of them.
    const LEAST: u64 = f64::MIN_POSITIVE.to_bits();
    x.to_bits().wrapping_sub(LEAST) | x.to_bits().wrapping_add(LEAST)
}

/// The same as [`log`], bit for bit, with less work.
#[inline(always)]
pub(super) fn log_normal<const FMA: bool>(x: f64) -> f64 {
    let shifted = shift(x);
    log_sum::<FMA>(exponent(shifted, MAGIC + 1023.0), mantissa(shifted) - 1.0)
}

/// `log(1 + x)`: `-inf` at -1, NaN below.
///
/// At most 2 ulp from the exact value, without loss near zero, where the sign of zero is kept.
#[inline(always)]
pub fn log1p<const FMA: bool>(x: f64) -> f64 {
    let u = 1.0 + x;
    // u + low is exactly 1 + x, whichever of the two is larger.
    let x_part = u - 1.0;
    let low = (x - x_part) + (1.0 - (u - x_part));
    edges(u, log_pair::<FMA>(u, low)).copysign(x)
}

/// `log(1 + x)` for `x` between 0 and 1; NaN for NaN.
#[inline(always)]
pub(super) fn log1p_unit<const FMA: bool>(x: f64) -> f64 {
    let u = 1.0 + x;
    log_pair::<FMA>(u, x - (u - 1.0))
}

/// `log(high + low)` for a normal `high`, with `low` below its last place.
#[inline(always)]
fn log_pair<const FMA: bool>(high: f64, low: f64) -> f64 {
    let shifted = shift(high);
    let k = exponent(shifted, MAGIC + 1023.0);
    // 2**-k; where that is subnormal `low` no longer matters.
    let inverse = f64::from_bits((2 * ONE).wrapping_sub(shifted & !MANTISSA));
    let inverse = select(high < TWO_54 * TWO_54, inverse, 0.0);
    log_sum::<FMA>(k, fma::<FMA>(low, inverse, mantissa(shifted) - 1.0))
}

/// Puts the values at and beyond the ends of the domain of the logarithm of `x` in place.
#[inline(always)]
fn edges(x: f64, value: f64) -> f64 {
    let edge = select(x == 0.0, f64::NEG_INFINITY, f64::NAN);
    let value = select(x > 0.0, value, edge);
    // Infinity and NaN. The absolute value only keeps the compiler from turning `x = log(x)` into a masked store.
    select(x < f64::INFINITY, value, x.abs())
}

/// The bits of a normal `x`, moved so that the exponent field is that of the power of two by which [`mantissa`]
/// is less than `x`.
#[inline(always)]
fn shift(x: f64) -> u64 {
    x.to_bits().wrapping_add(ONE - HALF_ROOT)
}

/// The exponent, given `2**52` plus its bias.
#[inline(always)]
fn exponent(shifted: u64, bias: f64) -> f64 {
    f64::from_bits((shifted >> 52) | MAGIC.to_bits()) - bias
}

/// The mantissa, between `sqrt(1/2)` and `sqrt(2)`.
#[inline(always)]
fn mantissa(shifted: u64) -> f64 {
    f64::from_bits((shifted & MANTISSA).wrapping_add(HALF_ROOT))
}

/// `k log 2 + log(1 + f)` for `1 + f` between `sqrt(1/2)` and `sqrt(2)`.
#[inline(always)]
fn log_sum<const FMA: bool>(k: f64, f: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let c = LOG;
    let c01 = fma::<FMA>(c[1], z, c[0]);
    let c23 = fma::<FMA>(c[3], z, c[2]);
    let c45 = fma::<FMA>(c[5], z, c[4]);
    let c46 = fma::<FMA>(c[6], w, c45);
    let c26 = fma::<FMA>(c46, w, c23);
    let c06 = fma::<FMA>(c26, w, c01);
    // log(1 + f) = 2 s + s z c06 = f - (h - s (h + z c06)) with h = f**2 / 2, where the large part f is exact.
    let h = 0.5 * f * f;
    let correction = fma::<FMA>(s, fma::<FMA>(c06, z, h), k * LN2_LO);
    fma::<FMA>(k, LN2_HI, f - (h - correction))
}
