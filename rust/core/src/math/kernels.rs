//! One set of block kernels for each instruction set, under common names.

use super::exponential::{exp, exp_normal, exp_special};
use super::isa::PORTABLE_FMA;
use super::logarithm::{log, log_normal, log_special};
use super::sigmoidal::{sigmoid, softplus};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256d, __m512d, _mm256_fmadd_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm512_fmadd_pd, _mm512_loadu_pd,
    _mm512_storeu_pd,
};

/// Block kernels of one instruction set, for code that is compiled once for each of them.
///
/// Here are the functions of [`math`](super) that have a faster version for some instruction set. The others are
/// generic over `FMA`, to be set to [`PORTABLE_FMA`] for [`Portable`] and `true` otherwise.
///
/// # Safety
/// All methods require a processor with the instruction set, see [`Isa::is_available`](super::Isa::is_available).
/// They are inlined and become vector code only inside a function that enables its features.
///
/// # Panics
/// All methods panic if their arguments differ in length.
#[expect(clippy::missing_safety_doc, reason = "the same for all methods, stated above")]
pub trait Kernels {
    /// Eight numbers in registers, for loops in which the compiler would not keep them there by itself.
    type Lanes: Copy;

    /// The first eight elements of `x`.
    unsafe fn load(x: &[f64]) -> Self::Lanes;

    /// Writes to the first eight elements of `out`.
    unsafe fn store(lanes: Self::Lanes, out: &mut [f64]);

    /// `a b + c`, rounded once where the instruction set can.
    unsafe fn mul_add(a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes;

    /// `out = exp(x)`.
    unsafe fn exp(x: &[f64], out: &mut [f64]);

    /// `out = exp(a - b)`.
    unsafe fn exp_sub(a: &[f64], b: &[f64], out: &mut [f64]);

    /// `out = log(x)`.
    unsafe fn log(x: &[f64], out: &mut [f64]);

    /// `out = 1 / x`, to two rounding errors.
    unsafe fn recip(x: &[f64], out: &mut [f64]);

    /// `out = 1 / (1 + exp(-x))`.
    unsafe fn sigmoid(x: &[f64], out: &mut [f64]);

    /// `out = log(1 + exp(x))`.
    unsafe fn softplus(x: &[f64], out: &mut [f64]);
}

/// Kernels for [`Isa::Portable`](super::Isa::Portable).
#[derive(Debug, Clone, Copy)]
pub struct Portable;

/// Kernels for [`Isa::Avx2`](super::Isa::Avx2).
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub struct Avx2;

/// Kernels for [`Isa::Avx512`](super::Isa::Avx512).
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub struct Avx512;

/// Whether `special` has its sign bit set for any element; integers, because the compiler vectorises this loop.
#[inline(always)]
fn any(x: &[f64], special: impl Fn(f64) -> u64) -> bool {
    x.iter().fold(0, |seen, &x| seen | special(x)).cast_signed() < 0
}

/// Kernels made of the functions that the compiler vectorises.
///
/// Blocks in which no element is special are common, and the test costs a few instructions an element less than the
/// treatment of special elements.
macro_rules! compiled {
    ($type:ty, $fma:expr, { $($lanes:tt)* }) => {
        impl Kernels for $type {
            $($lanes)*

            #[inline(always)]
            unsafe fn exp(x: &[f64], out: &mut [f64]) {
                assert_eq!(x.len(), out.len());
                if any(x, exp_special) {
                    for (out, &x) in out.iter_mut().zip(x) {
                        *out = exp::<{ $fma }>(x);
                    }
                } else {
                    for (out, &x) in out.iter_mut().zip(x) {
                        *out = exp_normal::<{ $fma }>(x);
                    }
                }
            }

            #[inline(always)]
            unsafe fn exp_sub(a: &[f64], b: &[f64], out: &mut [f64]) {
                assert!(a.len() == out.len() && b.len() == out.len());
                for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    *out = a - b;
                }
                if any(out, exp_special) {
                    for out in out {
                        *out = exp::<{ $fma }>(*out);
                    }
                } else {
                    for out in out {
                        *out = exp_normal::<{ $fma }>(*out);
                    }
                }
            }

            #[inline(always)]
            unsafe fn log(x: &[f64], out: &mut [f64]) {
                assert_eq!(x.len(), out.len());
                if any(x, log_special) {
                    for (out, &x) in out.iter_mut().zip(x) {
                        *out = log::<{ $fma }>(x);
                    }
                } else {
                    for (out, &x) in out.iter_mut().zip(x) {
                        *out = log_normal::<{ $fma }>(x);
                    }
                }
            }

            #[inline(always)]
            unsafe fn recip(x: &[f64], out: &mut [f64]) {
                assert_eq!(x.len(), out.len());
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = 1.0 / x;
                }
            }

            #[inline(always)]
            unsafe fn sigmoid(x: &[f64], out: &mut [f64]) {
                assert_eq!(x.len(), out.len());
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = sigmoid::<{ $fma }>(x);
                }
            }

            #[inline(always)]
            unsafe fn softplus(x: &[f64], out: &mut [f64]) {
                assert_eq!(x.len(), out.len());
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = softplus::<{ $fma }>(x);
                }
            }
        }
    };
}

compiled!(Portable, PORTABLE_FMA, {
    type Lanes = [f64; 8];

    #[inline(always)]
    unsafe fn load(x: &[f64]) -> [f64; 8] {
        std::array::from_fn(|i| x[i])
    }

    #[inline(always)]
    unsafe fn store(lanes: [f64; 8], out: &mut [f64]) {
        out[..8].copy_from_slice(&lanes);
    }

    #[inline(always)]
    unsafe fn mul_add(a: [f64; 8], b: [f64; 8], c: [f64; 8]) -> [f64; 8] {
        std::array::from_fn(|i| if PORTABLE_FMA { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] })
    }
});
#[cfg(target_arch = "x86_64")]
compiled!(Avx2, true, {
    type Lanes = [__m256d; 2];

    #[inline(always)]
    unsafe fn load(x: &[f64]) -> [__m256d; 2] {
        assert!(x.len() >= 8);
        // SAFETY: eight elements are there.
        unsafe { [_mm256_loadu_pd(x.as_ptr()), _mm256_loadu_pd(x.as_ptr().add(4))] }
    }

    #[inline(always)]
    unsafe fn store(lanes: [__m256d; 2], out: &mut [f64]) {
        assert!(out.len() >= 8);
        // SAFETY: as above.
        unsafe {
            _mm256_storeu_pd(out.as_mut_ptr(), lanes[0]);
            _mm256_storeu_pd(out.as_mut_ptr().add(4), lanes[1]);
        }
    }

    #[inline(always)]
    unsafe fn mul_add(a: [__m256d; 2], b: [__m256d; 2], c: [__m256d; 2]) -> [__m256d; 2] {
        // SAFETY: the caller promises AVX2 with fused multiply-add.
        unsafe { [_mm256_fmadd_pd(a[0], b[0], c[0]), _mm256_fmadd_pd(a[1], b[1], c[1])] }
    }
});

#[cfg(target_arch = "x86_64")]
impl Kernels for Avx512 {
    type Lanes = __m512d;

    #[inline(always)]
    unsafe fn load(x: &[f64]) -> __m512d {
        assert!(x.len() >= 8);
        // SAFETY: eight elements are there, and the caller promises AVX-512.
        unsafe { _mm512_loadu_pd(x.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store(lanes: __m512d, out: &mut [f64]) {
        assert!(out.len() >= 8);
        // SAFETY: as above.
        unsafe { _mm512_storeu_pd(out.as_mut_ptr(), lanes) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m512d, b: __m512d, c: __m512d) -> __m512d {
        // SAFETY: the caller promises AVX-512.
        unsafe { _mm512_fmadd_pd(a, b, c) }
    }

    #[inline(always)]
    unsafe fn exp(x: &[f64], out: &mut [f64]) {
        // SAFETY: the caller promises AVX-512.
        unsafe { super::avx512::exp(x, out) }
    }

    #[inline(always)]
    unsafe fn exp_sub(a: &[f64], b: &[f64], out: &mut [f64]) {
        // SAFETY: as above.
        unsafe { super::avx512::exp_sub(a, b, out) }
    }

    #[inline(always)]
    unsafe fn log(x: &[f64], out: &mut [f64]) {
        // SAFETY: as above.
        unsafe { super::avx512::log(x, out) }
    }

    #[inline(always)]
    unsafe fn recip(x: &[f64], out: &mut [f64]) {
        // SAFETY: as above.
        unsafe { super::avx512::recip(x, out) }
    }

    #[inline(always)]
    unsafe fn sigmoid(x: &[f64], out: &mut [f64]) {
        // SAFETY: as above.
        unsafe { super::avx512::sigmoid(x, out) }
    }

    #[inline(always)]
    unsafe fn softplus(x: &[f64], out: &mut [f64]) {
        // SAFETY: as above.
        unsafe { super::avx512::softplus(x, out) }
    }
}
