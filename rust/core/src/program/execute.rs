//! The block executor. It is generic over fused multiply-add and inlined into functions compiled for each
//! instruction set, so that every loop below becomes vector code of that set.

use super::{BLOCK, Block, Code, Instruction, Place, Tape};
use crate::graph::LOG_ZERO;
use crate::math::{self, Kernels};

/// Memory of one run: registers, the data block's columns, category codes and tables.
#[derive(Clone, Copy, Debug)]
pub struct Bases {
    /// First register.
    pub registers: *mut Block,
    /// First column of the current block.
    pub columns: *const Block,
    /// First group column of the current block.
    pub codes: *const [u32; BLOCK],
    /// Tables of grouped parameters.
    pub tables: *const Vec<f64>,
}

impl Bases {
    /// Operand at `place`.
    ///
    /// # Safety
    /// The place must come from a tape that was lowered for this memory.
    #[inline(always)]
    pub unsafe fn get<'a>(self, place: Place) -> &'a [f64; BLOCK] {
        let index = (place.0 & !Place::COLUMN) as usize;
        // SAFETY: by the caller's promise the index is inside the registers or columns.
        unsafe {
            if place.0 & Place::COLUMN == 0 { &(*self.registers.add(index)).0 } else { &(*self.columns.add(index)).0 }
        }
    }
}

#[inline(always)]
fn map1(to: &mut [f64; BLOCK], a: &[f64; BLOCK], f: impl Fn(f64) -> f64) {
    for i in 0..BLOCK {
        to[i] = f(a[i]);
    }
}

#[inline(always)]
fn map2(to: &mut [f64; BLOCK], a: &[f64; BLOCK], b: &[f64; BLOCK], f: impl Fn(f64, f64) -> f64) {
    for i in 0..BLOCK {
        to[i] = f(a[i], b[i]);
    }
}

#[inline(always)]
fn map3(to: &mut [f64; BLOCK], a: &[f64; BLOCK], b: &[f64; BLOCK], c: &[f64; BLOCK], f: impl Fn(f64, f64, f64) -> f64) {
    for i in 0..BLOCK {
        to[i] = f(a[i], b[i], c[i]);
    }
}

#[inline(always)]
fn mul_add<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Runs instructions on one block.
///
/// # Safety
/// The instructions must have been lowered for memory of at least this size.
#[inline(always)]
pub unsafe fn execute<K: Kernels, const FMA: bool>(code: &[Instruction], bases: Bases) {
    for ins in code {
        // SAFETY: destinations never alias operands (register allocation), indices are inside by construction.
        unsafe {
            let to = &mut (*bases.registers.add(ins.to as usize)).0;
            if ins.code == Code::Gather {
                let table = &*bases.tables.add((ins.a.0 & !Place::COLUMN) as usize);
                let codes = &*bases.codes.add((ins.b.0 & !Place::COLUMN) as usize);
                for i in 0..BLOCK {
                    to[i] = table[codes[i] as usize];
                }
                continue;
            }
            let (a, b, c) = (bases.get(ins.a), bases.get(ins.b), bases.get(ins.c));
            match ins.code {
                Code::Add => map2(to, a, b, |x, y| x + y),
                Code::Sub => map2(to, a, b, |x, y| x - y),
                Code::Mul => map2(to, a, b, |x, y| x * y),
                Code::Div => map2(to, a, b, |x, y| x / y),
                // A not-a-number in either operand must come out, so that bad rows are seen.
                Code::Max => map2(to, a, b, |x, y| if x >= y || x.is_nan() { x } else { y }),
                Code::Min => map2(to, a, b, |x, y| if x <= y || x.is_nan() { x } else { y }),
                Code::Le => map2(to, a, b, |x, y| if x <= y { 1.0 } else { 0.0 }),
                Code::MulAdd => map3(to, a, b, c, mul_add::<FMA>),
                Code::NegMulAdd => map3(to, a, b, c, |x, y, z| mul_add::<FMA>(-x, y, z)),
                Code::MulSub => map3(to, a, b, c, |x, y, z| mul_add::<FMA>(x, y, -z)),
                Code::Neg => map1(to, a, |x| -x),
                Code::Recip => K::recip(a, to),
                Code::Select => map3(to, a, b, c, |m, x, y| if m == 0.0 { y } else { x }),
                Code::ExpSub => K::exp_sub(a, b, to),
                Code::Exp => K::exp(a, to),
                Code::Log => K::log(a, to),
                Code::LogBase => {
                    K::log(a, to);
                    for i in 0..BLOCK {
                        to[i] = if a[i] == 0.0 { LOG_ZERO } else { to[i] };
                    }
                }
                Code::Log1p => map1(to, a, math::log1p::<FMA>),
                Code::Expm1 => map1(to, a, math::expm1::<FMA>),
                Code::Sqrt => map1(to, a, f64::sqrt),
                Code::Abs => map1(to, a, f64::abs),
                Code::Sign => map1(to, a, |x| if x == 0.0 { 0.0 } else { 1f64.copysign(x) }),
                Code::Sin => map1(to, a, math::sin),
                Code::Cos => map1(to, a, math::cos),
                Code::Tan => map1(to, a, math::tan),
                Code::Atan => map1(to, a, math::atan),
                Code::Tanh => map1(to, a, math::tanh::<FMA>),
                Code::Sigmoid => K::sigmoid(a, to),
                Code::Softplus => K::softplus(a, to),
                Code::Erf => map1(to, a, math::erf),
                Code::Normcdf => map1(to, a, math::normcdf),
                Code::Gather => {}
            }
        }
    }
}

/// Compiles one copy of a function per instruction set and a function that picks the copy. The generic function is
/// given the set's [`Kernels`] and whether it has fused multiply-add; all that is inlined into it becomes code of that set.
macro_rules! per_isa {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident : $ty:ty),* $(,)?) { $generic:ident }) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::math::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,fma,avx2,bmi1,bmi2")]
            fn avx512($($arg: $ty),*) {
                // SAFETY: the caller of the dispatching function vouches for the arguments.
                unsafe { $generic::<$crate::math::kernels::Avx512, true>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1,bmi2")]
            fn avx2($($arg: $ty),*) {
                // SAFETY: as above.
                unsafe { $generic::<$crate::math::kernels::Avx2, true>($($arg),*) }
            }
            match isa {
                // SAFETY: `Isa` values come from detection, so the processor has these features.
                #[cfg(target_arch = "x86_64")]
                $crate::math::Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::math::Isa::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: the caller vouches for the arguments.
                _ => unsafe { $generic::<$crate::math::kernels::Portable, { $crate::math::PORTABLE_FMA }>($($arg),*) },
            }
        }
    };
}
pub(crate) use per_isa;

#[inline(always)]
unsafe fn run_code<K: Kernels, const FMA: bool>(tape: &Tape, bases: Bases) {
    // SAFETY: passed on from the caller.
    unsafe { execute::<K, FMA>(&tape.code, bases) }
}

per_isa! {
    /// Runs a tape on one block of memory laid out for it.
    pub(crate) fn run_tape(tape: &Tape, bases: Bases) { run_code }
}
