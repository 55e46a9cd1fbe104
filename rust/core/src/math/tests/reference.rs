//! The functions in double-double arithmetic, to about 2^-98: slow, and independent of the kernels.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// An unevaluated sum of two doubles that do not overlap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wide {
    high: f64,
    low: f64,
}

const LN2: Wide = Wide { high: std::f64::consts::LN_2, low: 2.3190468138462996e-17 };

impl From<f64> for Wide {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

/// The sum of two doubles, exactly.
fn two_sum(a: f64, b: f64) -> Wide {
    let high = a + b;
    let b_part = high - a;
    Wide { high, low: (a - (high - b_part)) + (b - b_part) }
}

impl Add for Wide {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let high = two_sum(self.high, other.high);
        let low = two_sum(self.low, other.low);
        let sum = two_sum(high.high, high.low + low.high);
        two_sum(sum.high, sum.low + low.low)
    }
}

impl Neg for Wide {
    type Output = Self;
    fn neg(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }
}

impl Sub for Wide {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Wide {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let high = self.high * other.high;
        let rest = self.high.mul_add(other.high, -high);
        two_sum(high, rest + (self.high * other.low + self.low * other.high))
    }
}

impl Div for Wide {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let first = Self::from(self.high / other.high);
        let rest = self - first * other;
        let second = Self::from(rest.high / other.high);
        let rest = rest - second * other;
        first + second + Self::from(rest.high / other.high)
    }
}

impl Wide {
    fn scaled(self, exponent: i32) -> Self {
        Self { high: libm::scalbn(self.high, exponent), low: libm::scalbn(self.low, exponent) }
    }
}

/// `value * 2**exponent`, so that results below and above the doubles can be stated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exact {
    value: Wide,
    exponent: i32,
}

impl From<Wide> for Exact {
    fn from(value: Wide) -> Self {
        Self { value, exponent: 0 }
    }
}

impl Exact {
    /// How far `approximation` is off, in units in the last place of the exact value.
    pub(super) fn ulps(self, approximation: f64) -> f64 {
        let exponent = libm::ilogb(self.value.high) + self.exponent;
        let last_place = exponent.max(-1022) - 52 - self.exponent;
        // Infinity counts as the next number after the largest one.
        let near = if approximation == f64::INFINITY {
            if exponent > 1023 {
                return 0.0;
            }
            libm::scalbn(1.0, 1024 - self.exponent)
        } else {
            libm::scalbn(approximation, -self.exponent)
        };
        let difference = Wide::from(near) - self.value;
        libm::scalbn(difference.high, -last_place).abs()
    }
}

/// `exp(x) - 1` for small `x`: the series at `x / 256`, then eight doublings of the argument.
fn expm1_small(x: Wide) -> Wide {
    let x = x.scaled(-8);
    let mut sum = Wide::from(0.0);
    for i in (1..=14).rev() {
        sum = x / Wide::from(f64::from(i)) * (Wide::from(1.0) + sum);
    }
    for _ in 0..8 {
        sum = sum * (Wide::from(2.0) + sum);
    }
    sum
}

fn exp_wide(x: Wide) -> Exact {
    let k = (x.high * std::f64::consts::LOG2_E).round();
    let value = Wide::from(1.0) + expm1_small(x - Wide::from(k) * LN2);
    Exact { value, exponent: k as i32 }
}

fn expm1_wide(x: Wide) -> Exact {
    if x.high.abs() < 0.35 {
        return expm1_small(x).into();
    }
    let exp = exp_wide(x);
    if exp.exponent > 200 {
        return exp;
    }
    (exp.value.scaled(exp.exponent) - Wide::from(1.0)).into()
}

/// Logarithm of a sum of which the high part is a normal number.
fn log_wide(x: Wide) -> Wide {
    let exponent = libm::ilogb(x.high * std::f64::consts::SQRT_2);
    let m = x.scaled(-exponent);
    // One step of Newton's method from the double-precision logarithm: m exp(-start) is 1 + rest.
    let start = Wide::from(m.high.ln());
    let rest = (m - Wide::from(1.0)) + m * expm1_small(-start);
    let half = Wide::from(0.5);
    start + (rest - half * rest * rest) + Wide::from(f64::from(exponent)) * LN2
}

/// `log(1 + exp * 2**exponent)` for a power that is at most 1.
fn log1p_exact(x: Exact) -> Exact {
    if x.exponent < -110 { x } else { log_wide(Wide::from(1.0) + x.value.scaled(x.exponent)).into() }
}

pub(super) fn exp(x: f64) -> Exact {
    exp_wide(x.into())
}

pub(super) fn expm1(x: f64) -> Exact {
    // The series needs room below the last place.
    if x.abs() < 1e-250 { Wide::from(x).into() } else { expm1_wide(Wide::from(x.max(-100.0))) }
}

pub(super) fn log(x: f64) -> Exact {
    if x < f64::MIN_POSITIVE {
        let scaled = log_wide(Wide::from(x * libm::scalbn(1.0, 60)));
        return (scaled - Wide::from(60.0) * LN2).into();
    }
    // A factor of sqrt(2) must not overflow.
    if x > 1e300 {
        return (log_wide(Wide::from(x * 0.25)) + Wide::from(2.0) * LN2).into();
    }
    log_wide(x.into()).into()
}

pub(super) fn log1p(x: f64) -> Exact {
    if x > 1e200 { log(x) } else { log_wide(two_sum(1.0, x)).into() }
}

pub(super) fn tanh(x: f64) -> Exact {
    if x.abs() < 1e-250 {
        return Wide::from(x).into();
    }
    let decay = expm1_wide(Wide::from(-2.0 * x.abs().min(100.0))).value;
    let size = -decay / (Wide::from(2.0) + decay);
    if x < 0.0 { (-size).into() } else { size.into() }
}

pub(super) fn sigmoid(x: f64) -> Exact {
    let decay = exp_wide(Wide::from(-x.abs().min(800.0)));
    let one = Wide::from(1.0);
    let plain = if decay.exponent < -110 { Wide::from(0.0) } else { decay.value.scaled(decay.exponent) };
    if x < 0.0 {
        Exact { value: decay.value / (one + plain), exponent: decay.exponent }
    } else {
        (one / (one + plain)).into()
    }
}

pub(super) fn softplus(x: f64) -> Exact {
    let bend = log1p_exact(exp_wide(Wide::from(-x.abs().min(800.0))));
    if x < 0.0 {
        bend
    } else if bend.exponent < -110 {
        Wide::from(x).into()
    } else {
        (Wide::from(x) + bend.value.scaled(bend.exponent)).into()
    }
}
