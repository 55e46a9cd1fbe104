//! Elementary functions as branch-free scalar code that the compiler turns into vector code.
//!
//! Every function of this kind is generic over `FMA`, whether [`f64::mul_add`] is one instruction. Call it in a loop
//! inside a function compiled for an instruction set (see [`mod@slice`] for the pattern): it is inlined there and the loop
//! becomes vector code of that set. Without the feature `FMA = true` is still correct, but slow.
//!
//! The most frequent functions are faster through [`Kernels`], over blocks: a block without special values takes a shorter
//! way, and AVX-512 has its own code. [`Isa`] tells which instruction set to use.
//!
//! The functions that are not generic, such as [`erf`], are evaluated one element at a time.

#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod isa;
pub mod kernels;
pub mod slice;

mod exponential;
mod logarithm;
mod sigmoidal;
mod special;
#[cfg(test)]
mod tests;

pub use exponential::{exp, expm1};
pub use isa::{Isa, PORTABLE_FMA};
pub use kernels::Kernels;
pub use logarithm::{log, log1p};
pub use sigmoidal::{sigmoid, softplus, tanh};
pub use special::{atan, cos, erf, normcdf, normpdf, sin, tan};

/// `1.5 * 2**52`: adding it rounds to an integer and leaves that integer in the low mantissa bits.
const ROUND: f64 = 6755399441055744.0;

/// `a b + c`, rounded once if `FMA`.
#[inline(always)]
fn fma<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `if condition { a } else { b }` as data flow: both sides are evaluated.
#[inline(always)]
fn select(condition: bool, a: f64, b: f64) -> f64 {
    if condition { a } else { b }
}
