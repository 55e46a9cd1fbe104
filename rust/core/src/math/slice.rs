//! The kernels over whole slices, for data columns, tests and benchmarks.

use super::Isa;
use super::isa::PORTABLE_FMA;
#[cfg(target_arch = "x86_64")]
use super::kernels::{Avx2, Avx512};
use super::kernels::{Kernels, Portable};

/// Elements computed at a time by kernels that cannot work in place.
const CHUNK: usize = 64;

#[inline(always)]
fn in_chunks(values: &mut [f64], kernel: impl Fn(&[f64], &mut [f64])) {
    let mut buffer = [0.0; CHUNK];
    for chunk in values.chunks_mut(CHUNK) {
        let input = &mut buffer[..chunk.len()];
        input.copy_from_slice(chunk);
        kernel(input, chunk);
    }
}

#[inline(always)]
fn for_each(values: &mut [f64], function: impl Fn(f64) -> f64) {
    for value in values {
        *value = function(*value);
    }
}

/// Runs a block kernel.
macro_rules! block {
    ($name:ident, $kernels:ident, $fma:expr, $values:ident) => {
        // SAFETY: this is reached only where the processor has the instruction set, see `dispatched`.
        in_chunks($values, |x, out| unsafe { $kernels::$name(x, out) })
    };
}

/// Runs a function that is generic over fused multiply-add.
macro_rules! element {
    ($name:ident, $kernels:ident, $fma:expr, $values:ident) => {
        for_each($values, super::$name::<{ $fma }>)
    };
}

/// Defines a function over slices that chooses among the copies for each instruction set.
macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident, $run:ident) => {
        $(#[$doc])*
        ///
        /// Replaces every element in place. An `isa` that this processor lacks is taken as [`Isa::Portable`].
        pub fn $name(isa: Isa, values: &mut [f64]) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,fma,avx2,bmi1,bmi2")]
                fn avx512(values: &mut [f64]) {
                    $run!($name, Avx512, true, values);
                }
                #[target_feature(enable = "avx2,fma,bmi1,bmi2")]
                fn avx2(values: &mut [f64]) {
                    $run!($name, Avx2, true, values);
                }
                match isa {
                    // SAFETY: `is_available` has just confirmed every feature that the function enables.
                    Isa::Avx512 if isa.is_available() => return unsafe { avx512(values) },
                    // SAFETY: as above.
                    Isa::Avx2 if isa.is_available() => return unsafe { avx2(values) },
                    _ => {}
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = isa;
            $run!($name, Portable, PORTABLE_FMA, values);
        }
    };
}

dispatched! {
    /// Exponential.
    exp, block
}

dispatched! {
    /// Natural logarithm.
    log, block
}

dispatched! {
    /// `exp(x) - 1`.
    expm1, element
}

dispatched! {
    /// `log(1 + x)`.
    log1p, element
}

dispatched! {
    /// Hyperbolic tangent.
    tanh, element
}

dispatched! {
    /// Logistic function `1 / (1 + exp(-x))`.
    sigmoid, block
}

dispatched! {
    /// `log(1 + exp(x))`.
    softplus, block
}
