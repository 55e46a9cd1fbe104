//! Exponential and logarithm written for AVX-512, about twice as fast there as the portable code.
//!
//! Two things that portable code cannot say make the difference: a table of 16 doubles that lives in two registers
//! shortens the polynomials and spares the logarithm its division, and the instructions for exponents and mantissas
//! treat subnormal numbers, zero, infinities and NaN without further work.

use std::arch::x86_64::{
    __m512d, __m512i, _CMP_LT_OQ, _MM_MANT_NORM_P75_1P5, _MM_MANT_SIGN_NAN, _mm512_abs_pd, _mm512_add_pd,
    _mm512_castpd_si512, _mm512_cmp_pd_mask, _mm512_div_pd, _mm512_fmadd_pd, _mm512_fnmadd_pd, _mm512_getexp_pd,
    _mm512_getmant_pd, _mm512_loadu_pd, _mm512_mask_mov_pd, _mm512_mask_storeu_pd, _mm512_maskz_loadu_pd,
    _mm512_max_pd, _mm512_min_pd, _mm512_mul_pd, _mm512_permutex2var_pd, _mm512_rcp14_pd, _mm512_scalef_pd,
    _mm512_set1_pd, _mm512_srli_epi64, _mm512_storeu_pd, _mm512_sub_pd,
};
use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// Below this `exp` rounds to zero.
const EXP_LOW: f64 = -746.0;
/// Above this `exp` rounds to infinity.
const EXP_HIGH: f64 = 710.0;
/// `1.5 * 2**48`: adding it rounds to a multiple of 1/16 and leaves the sixteenths in the low mantissa bits.
const ROUND_16: f64 = 422_212_465_065_984.0;
const EXP_LN2_HI: f64 = LN_2;
const EXP_LN2_LO: f64 = 2.3190468138462996e-17;

/// `2**(i / 16)`.
const EXP_TABLE: [f64; 16] = [
    1.0,
    1.0442737824274138,
    1.0905077326652577,
    1.1387886347566916,
    1.189207115002721,
    1.241857812073484,
    1.2968395546510096,
    1.3542555469368927,
    SQRT_2,
    1.4768261459394993,
    1.5422108254079407,
    1.6104903319492543,
    1.681792830507429,
    1.7562521603732995,
    1.8340080864093424,
    1.9152065613971474,
];

/// `(exp(r) - 1 - r) / r**2` for `|r|` up to `log(2) / 32`; largest error relative to `exp(r)` 2^-56.3.
const EXP: [f64; 5] =
    [0.49999999999999606, 0.16666666664416596, 0.04166666669393907, 0.00833347196141887, 0.0013888575566445985];

/// Close to the reciprocals of the mantissas between 3/4 and 3/2, by the four bits after the leading one.
const LOG_RECIPROCALS: [f64; 16] = [
    1.0,
    0.9139600163175948,
    0.8645746609790843,
    0.8203772000028459,
    0.7801755326373133,
    0.7440808060650126,
    0.710868619817557,
    0.681012857487168,
    1.3057043698218036,
    1.254681418122747,
    1.2079736449555138,
    1.1635839777637305,
    1.1229364608495356,
    1.0843112641354935,
    1.049300090168492,
    1.0,
];

/// `-log` of the entries of `LOG_RECIPROCALS`, correct to 2^-63 and multiples of 2^-42.
const LOG_VALUES: [f64; 16] = [
    0.0,
    0.08996845430806388,
    0.14551761439633992,
    0.19799104448793514,
    0.24823634277390738,
    0.2956056397442808,
    0.34126764850702784,
    0.38417409270664393,
    -0.26674264215353105,
    -0.2268816902569597,
    -0.18894428218482062,
    -0.15150487800451629,
    -0.11594709432438322,
    -0.0809450058359289,
    -0.048123361113766805,
    0.0,
];

/// A multiple of 2^-42, so that its product with an exponent and the sum with a table entry are exact. The remainder is
/// positive: with an infinite exponent both parts must be the same infinity.
const LOG_LN2_HI: f64 = 0.6931471805598903;
const LOG_LN2_LO: f64 = 5.497923018708371e-14;

/// `(log(1 + f) - f) / f**2` for `f` between -1/32 and 1/16; largest error relative to `log(1 + f)` 2^-56.6.
const LOG: [f64; 9] = [
    -0.5000000000000003,
    0.33333333333347553,
    -0.24999999999807312,
    0.19999999927174494,
    -0.16666666247943787,
    0.14285821629430842,
    -0.12501833889619499,
    0.11070226345465768,
    -0.08736689368343976,
];

/// Exponential of eight numbers, at most 1.1 ulp from the exact value, also where that is subnormal.
#[inline]
#[target_feature(enable = "avx512f")]
fn exp8(x: __m512d) -> __m512d {
    // In this order of operands NaN passes both limits.
    let x = _mm512_min_pd(set(EXP_HIGH), _mm512_max_pd(set(EXP_LOW), x));
    // exp(x) = 2**k exp(r), with k a multiple of 1/16.
    let shifted = _mm512_fmadd_pd(x, set(LOG2_E), set(ROUND_16));
    let k = _mm512_sub_pd(shifted, set(ROUND_16));
    let r = _mm512_fnmadd_pd(k, set(EXP_LN2_HI), x);
    let r = _mm512_fnmadd_pd(k, set(EXP_LN2_LO), r);
    let r2 = _mm512_mul_pd(r, r);
    let c01 = _mm512_fmadd_pd(set(EXP[1]), r, set(EXP[0]));
    let c23 = _mm512_fmadd_pd(set(EXP[3]), r, set(EXP[2]));
    let c24 = _mm512_fmadd_pd(set(EXP[4]), r2, c23);
    let c04 = _mm512_fmadd_pd(c24, r2, c01);
    let fraction = _mm512_fmadd_pd(c04, r2, r);
    let power = look_up(&EXP_TABLE, _mm512_castpd_si512(shifted));
    // Scaling takes the floor of k, rounds once into the subnormal range and overflows to infinity.
    _mm512_scalef_pd(_mm512_fmadd_pd(power, fraction, power), k)
}

/// Natural logarithm of eight numbers, at most 1 ulp from the exact value.
#[inline]
#[target_feature(enable = "avx512f")]
fn log8(x: __m512d) -> __m512d {
    // x = 2**k m. Here zero has k = -inf and m = 1, infinity has k = inf and m = 1, negative numbers have m = NaN.
    let m = _mm512_getmant_pd::<_MM_MANT_NORM_P75_1P5, _MM_MANT_SIGN_NAN>(x);
    let k = _mm512_sub_pd(_mm512_getexp_pd(x), _mm512_getexp_pd(m));
    let index = _mm512_srli_epi64::<48>(_mm512_castpd_si512(m));
    // log(m) = -log(c) + log(1 + f) with c close to 1 / m; for m close to 1 that is c = 1, and f is exact.
    let f = _mm512_fmadd_pd(m, look_up(&LOG_RECIPROCALS, index), set(-1.0));
    let f2 = _mm512_mul_pd(f, f);
    let f4 = _mm512_mul_pd(f2, f2);
    let c01 = _mm512_fmadd_pd(set(LOG[1]), f, set(LOG[0]));
    let c23 = _mm512_fmadd_pd(set(LOG[3]), f, set(LOG[2]));
    let c45 = _mm512_fmadd_pd(set(LOG[5]), f, set(LOG[4]));
    let c67 = _mm512_fmadd_pd(set(LOG[7]), f, set(LOG[6]));
    let c03 = _mm512_fmadd_pd(c23, f2, c01);
    let c47 = _mm512_fmadd_pd(c67, f2, c45);
    let c48 = _mm512_fmadd_pd(set(LOG[8]), f4, c47);
    let c08 = _mm512_fmadd_pd(c48, f4, c03);
    let small = _mm512_fmadd_pd(k, set(LOG_LN2_LO), _mm512_fmadd_pd(c08, f2, f));
    let large = _mm512_fmadd_pd(k, set(LOG_LN2_HI), look_up(&LOG_VALUES, index));
    _mm512_add_pd(large, small)
}

/// Reciprocal of eight numbers, at most 1 ulp from the exact value: a table's 14 digits and two Newton steps, in a third of
/// a division's time.
#[inline]
#[target_feature(enable = "avx512f")]
fn recip8(x: __m512d) -> __m512d {
    let first = _mm512_rcp14_pd(x);
    let error = _mm512_fnmadd_pd(x, first, set(1.0));
    let second = _mm512_fmadd_pd(first, error, first);
    let result = _mm512_fmadd_pd(second, _mm512_fnmadd_pd(x, second, set(1.0)), second);
    // Zeros and infinities are exact at once, and their errors are not numbers.
    let regular = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(_mm512_abs_pd(error), set(0.5));
    _mm512_mask_mov_pd(first, regular, result)
}

/// Logistic function of eight numbers, at most 3 ulp from the exact value.
#[inline]
#[target_feature(enable = "avx512f")]
fn sigmoid8(x: __m512d) -> __m512d {
    let decay = exp8(_mm512_sub_pd(set(0.0), _mm512_abs_pd(x)));
    let negative = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(x, set(0.0));
    _mm512_div_pd(_mm512_mask_mov_pd(set(1.0), negative, decay), _mm512_add_pd(set(1.0), decay))
}

/// `log(1 + exp(x))` of eight numbers, at most 3 ulp from the exact value.
#[inline]
#[target_feature(enable = "avx512f")]
fn softplus8(x: __m512d) -> __m512d {
    let decay = exp8(_mm512_sub_pd(set(0.0), _mm512_abs_pd(x)));
    // 1 + decay is u + low exactly, and its logarithm log(u) + low / u. Of 1 / u a few digits suffice where decay is large
    // and more where it is small, which the start of the series gives.
    let u = _mm512_add_pd(set(1.0), decay);
    let low = _mm512_sub_pd(decay, _mm512_sub_pd(u, set(1.0)));
    let inverse = _mm512_fmadd_pd(decay, _mm512_fmadd_pd(decay, set(0.5), set(-1.0)), set(1.0));
    let bend = _mm512_fmadd_pd(low, inverse, log8(u));
    // In this order of operands NaN is kept.
    _mm512_add_pd(_mm512_max_pd(set(0.0), x), bend)
}

/// A function over slices: eight elements at a time, the rest under a mask, so that no value depends on its position.
macro_rules! over_slices {
    ($(#[$doc:meta])* $name:ident, |$($input:ident),+| $value:expr) => {
        $(#[$doc])*
        ///
        /// # Panics
        /// If the lengths differ.
        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn $name($($input: &[f64],)+ out: &mut [f64]) {
            let length = out.len();
            $(assert_eq!($input.len(), length);)+
            let whole = length - length % 8;
            for at in (0..whole).step_by(8) {
                // SAFETY: every slice has at least `at + 8` elements.
                unsafe {
                    $(let $input = _mm512_loadu_pd($input.as_ptr().add(at));)+
                    _mm512_storeu_pd(out.as_mut_ptr().add(at), $value);
                }
            }
            if whole < length {
                let mask = (1_u8 << (length - whole)) - 1;
                // SAFETY: every slice has the elements after `whole` that the mask selects.
                unsafe {
                    $(let $input = _mm512_maskz_loadu_pd(mask, $input.as_ptr().add(whole));)+
                    _mm512_mask_storeu_pd(out.as_mut_ptr().add(whole), mask, $value);
                }
            }
        }
    };
}

over_slices! {
    /// `out = exp(x)`.
    exp, |x| exp8(x)
}

over_slices! {
    /// `out = exp(a - b)`.
    exp_sub, |a, b| exp8(_mm512_sub_pd(a, b))
}

over_slices! {
    /// `out = log(x)`.
    log, |x| log8(x)
}

over_slices! {
    /// `out = 1 / x`.
    recip, |x| recip8(x)
}

over_slices! {
    /// `out = 1 / (1 + exp(-x))`.
    sigmoid, |x| sigmoid8(x)
}

over_slices! {
    /// `out = log(1 + exp(x))`.
    softplus, |x| softplus8(x)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn set(value: f64) -> __m512d {
    _mm512_set1_pd(value)
}

/// Entries selected by the low four bits of each index.
#[inline]
#[target_feature(enable = "avx512f")]
fn look_up(table: &[f64; 16], index: __m512i) -> __m512d {
    // SAFETY: the table has 16 entries.
    let (low, high) = unsafe { (_mm512_loadu_pd(table.as_ptr()), _mm512_loadu_pd(table.as_ptr().add(8))) };
    _mm512_permutex2var_pd(low, index, high)
}
