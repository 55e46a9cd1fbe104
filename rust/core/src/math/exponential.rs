//! Exponentials.

use super::{ROUND, fma, select};

/// Below this `exp` rounds to zero.
const EXP_LOW: f64 = -746.0;
/// Above this `exp` rounds to infinity.
const EXP_HIGH: f64 = 710.0;
/// Within this size `exp` is a normal number.
const EXP_NORMAL: f64 = 708.0;
/// Below this `expm1` rounds to -1.
const EXPM1_LOW: f64 = -40.0;
/// Up to this size `expm1(x)` rounds to `x`.
const EXPM1_TINY: f64 = 1.0 / (1_u64 << 54) as f64;

/// The head of log 2 has 40 bits, so that its product with an exponent of 12 bits is exact without fused multiply-add.
pub(super) const LN2_HI: f64 = 0.6931471805601177;
pub(super) const LN2_LO: f64 = -1.7239444525614835e-13;

/// `(exp(r) - 1 - r) / r**2`; largest error relative to `exp(r)` 2^-57.9.
const EXP: [f64; 10] = [
    0.5000000000000011,
    0.16666666666666444,
    0.04166666666652705,
    0.008333333333475674,
    0.0013888888944313458,
    0.0001984126954565082,
    2.4801492482705114e-05,
    2.7557552481156787e-06,
    2.7630444719862027e-07,
    2.501054873786838e-08,
];

/// `(exp(r) - 1 - r) / r**2`; largest error relative to `expm1(r)` 2^-60.
const EXPM1: [f64; 11] = [
    0.5,
    0.16666666666666677,
    0.04166666666666666,
    0.008333333333321495,
    0.0013888888888895655,
    0.00019841269886361276,
    2.4801587294100526e-05,
    2.7557244043932924e-06,
    2.755730534226789e-07,
    2.510907670602817e-08,
    2.0903791657645286e-09,
];

/// Exponential.
///
/// At most 1 ulp from the exact value, also where that is subnormal.
#[inline(always)]
pub fn exp<const FMA: bool>(x: f64) -> f64 {
    let (shifted, k, r) = reduce::<FMA>(clamp(x, EXP_LOW, EXP_HIGH));
    let fraction = exp_fraction::<FMA>(r);
    // 2**k as two factors, each a normal number, so that only the last product rounds into the subnormal range.
    let half = fma::<FMA>(k, 0.5, ROUND).to_bits();
    let scale = power_of_two(half);
    fma::<FMA>(fraction, scale, scale) * power_of_two(shifted.wrapping_sub(half))
}

/// Has its sign bit set unless [`exp_normal`] may be used: neither the result nor the power of two in it is subnormal or
/// infinite.
#[inline(always)]
pub(super) fn exp_special(x: f64) -> u64 {
    EXP_NORMAL.to_bits().wrapping_sub(x.abs().to_bits())
}

/// The same as [`exp`], bit for bit, with less work.
#[inline(always)]
pub(super) fn exp_normal<const FMA: bool>(x: f64) -> f64 {
    let (shifted, _, r) = reduce::<FMA>(x);
    let scale = power_of_two(shifted);
    fma::<FMA>(exp_fraction::<FMA>(r), scale, scale)
}

/// `exp(r) - 1`, accurate relative to `exp(r)`.
#[inline(always)]
fn exp_fraction<const FMA: bool>(r: f64) -> f64 {
    let c = EXP;
    let r2 = r * r;
    let r4 = r2 * r2;
    let c01 = fma::<FMA>(c[1], r, c[0]);
    let c23 = fma::<FMA>(c[3], r, c[2]);
    let c45 = fma::<FMA>(c[5], r, c[4]);
    let c67 = fma::<FMA>(c[7], r, c[6]);
    let c89 = fma::<FMA>(c[9], r, c[8]);
    let c03 = fma::<FMA>(c23, r2, c01);
    let c47 = fma::<FMA>(c67, r2, c45);
    let c49 = fma::<FMA>(c89, r4, c47);
    let c09 = fma::<FMA>(c49, r4, c03);
    fma::<FMA>(c09, r2, r)
}

/// `exp(x) - 1`.
///
/// At most 2 ulp from the exact value, without loss near zero, where the sign of zero is kept.
#[inline(always)]
pub fn expm1<const FMA: bool>(x: f64) -> f64 {
    let (shifted, _, r) = reduce::<FMA>(clamp(x, EXPM1_LOW, EXP_HIGH));
    let c = EXPM1;
    let r2 = r * r;
    let r4 = r2 * r2;
    let c01 = fma::<FMA>(c[1], r, c[0]);
    let c23 = fma::<FMA>(c[3], r, c[2]);
    let c45 = fma::<FMA>(c[5], r, c[4]);
    let c67 = fma::<FMA>(c[7], r, c[6]);
    let c89 = fma::<FMA>(c[9], r, c[8]);
    let c03 = fma::<FMA>(c23, r2, c01);
    let c47 = fma::<FMA>(c67, r2, c45);
    let c810 = fma::<FMA>(c[10], r2, c89);
    let c410 = fma::<FMA>(c810, r4, c47);
    let c010 = fma::<FMA>(c410, r4, c03);
    let fraction = fma::<FMA>(c010, r2, r);
    // 2**k (1 + fraction) - 1, with 2**(k - 1) in place of 2**k since 2**1024 is not a double.
    let scale = power_of_two(shifted.wrapping_sub(1));
    let value = 2.0 * fma::<FMA>(scale, fraction, scale - 0.5);
    select(x.abs() < EXPM1_TINY, x, value)
}

/// `(bits, k, r)` with `x = k log 2 + r`, `|r|` at most `log(2) / 2`, and the integer `k` in the low bits of `bits`.
#[inline(always)]
fn reduce<const FMA: bool>(x: f64) -> (u64, f64, f64) {
    // Adding ROUND leaves the nearest integer in the low mantissa bits.
    let shifted = fma::<FMA>(x, std::f64::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = fma::<FMA>(k, -LN2_LO, fma::<FMA>(k, -LN2_HI, x));
    (shifted.to_bits(), k, r)
}

/// `x` within limits; lets NaN through.
#[inline(always)]
fn clamp(x: f64, low: f64, high: f64) -> f64 {
    let x = select(x < low, low, x);
    select(x > high, high, x)
}

/// `2**k` for `k` in the low bits of `bits`, in two's complement and within the exponents of normal numbers.
#[inline(always)]
fn power_of_two(bits: u64) -> f64 {
    f64::from_bits((bits << 52).wrapping_add(1.0_f64.to_bits()))
}
