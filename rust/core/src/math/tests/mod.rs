use super::{Isa, PORTABLE_FMA, normcdf, normpdf, slice};
use proptest::prelude::*;

mod reference;
mod special;

type Slice = fn(Isa, &mut [f64]);
type Scalar = fn(f64) -> f64;

/// One vector kernel with all that the tests need to know about it.
struct Kernel {
    name: &'static str,
    slice: Slice,
    /// The generic source without and with fused multiply-add.
    scalar: [Scalar; 2],
    reference: fn(f64) -> reference::Exact,
    /// Finite arguments with a finite result (up to rounding) that is not zero.
    domain: fn(f64) -> bool,
    /// Intervals that are searched densely.
    intervals: &'static [(f64, f64)],
    /// Largest error in units in the last place.
    bound: f64,
}

macro_rules! kernel {
    ($name:ident, $bound:expr, $intervals:expr, $domain:expr) => {
        Kernel {
            name: stringify!($name),
            slice: slice::$name,
            scalar: [super::$name::<false>, super::$name::<true>],
            reference: reference::$name,
            domain: $domain,
            intervals: $intervals,
            bound: $bound,
        }
    };
}

const KERNELS: [Kernel; 7] = [
    kernel!(exp, 1.1, &[(-746.0, 710.0), (-746.0, -707.0), (-1.0, 1.0), (709.0, 709.79)], |x| x > -745.0 && x < 709.78),
    kernel!(expm1, 2.0, &[(-40.0, 710.0), (-2.0, 2.0), (-0.4, 0.4)], |x| x != 0.0 && x < 709.78),
    kernel!(log, 1.0, &[(0.5, 2.0), (0.99, 1.01), (0.0, 1e9), (0.0, 3e-308)], |x| x > 0.0 && x != 1.0),
    kernel!(log1p, 2.0, &[(-1.0, 2.0), (-0.01, 0.01), (0.0, 1e9)], |x| x > -1.0 && x != 0.0),
    kernel!(tanh, 3.0, &[(-22.0, 22.0), (-1.0, 1.0), (-0.2, 0.2)], |x| x != 0.0),
    kernel!(sigmoid, 3.0, &[(-745.0, 40.0), (-40.0, 40.0), (-1.0, 1.0)], |x| x > -745.0),
    kernel!(softplus, 3.0, &[(-745.0, 40.0), (-40.0, 40.0), (-1.0, 1.0)], |x| x > -745.0),
];

fn kernel(name: &str) -> &'static Kernel {
    static ALL: [Kernel; 7] = KERNELS;
    ALL.iter().find(|kernel| kernel.name == name).expect("a kernel of this name")
}

/// Deterministic 64-bit numbers (a Weyl sequence, mixed).
fn scrambled(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|i| {
        let mut z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 31)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        z = (z ^ (z >> 29)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        z ^ (z >> 32)
    })
}

/// Arguments of a kernel: dense on its intervals, and doubles with random bits.
fn arguments(kernel: &Kernel) -> Vec<f64> {
    const DENSE: usize = 30_000;
    let mut all: Vec<f64> = Vec::new();
    for &(low, high) in kernel.intervals {
        let unit = scrambled(DENSE as u64).map(|bits| (bits >> 11) as f64 / (1_u64 << 53) as f64);
        all.extend(unit.map(|u| low + (high - low) * u));
    }
    all.extend(scrambled(60_000).map(f64::from_bits));
    // Every binary exponent once more, with moderate ones often.
    all.extend(scrambled(60_000).map(|bits| libm::scalbn(f64::from_bits(bits >> 12 | 1023 << 52), bits as i32 % 64)));
    all.extend(scrambled(60_000).map(|bits| -libm::scalbn(f64::from_bits(bits >> 12 | 1023 << 52), bits as i32 % 64)));
    all
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[test]
fn kernels_are_within_their_bounds_of_the_double_double_reference() {
    for kernel in &KERNELS {
        let mut arguments = arguments(kernel);
        arguments.retain(|x| x.is_finite() && (kernel.domain)(*x));
        let exact: Vec<_> = arguments.iter().map(|&x| (kernel.reference)(x)).collect();
        for isa in Isa::available() {
            let mut values = arguments.clone();
            (kernel.slice)(isa, &mut values);
            let (mut worst, mut at) = (0.0, 0.0);
            for ((&x, exact), &value) in arguments.iter().zip(&exact).zip(&values) {
                let error = exact.ulps(value);
                assert!(!error.is_nan(), "{} {} at {x:e}: {value:e}", kernel.name, isa.name());
                if error > worst {
                    (worst, at) = (error, x);
                }
            }
            println!("{:9} {:9} {worst:.3} ulp at {at:e}", kernel.name, isa.name());
            assert!(worst <= kernel.bound, "{} {}: {worst} ulp at {at:e}", kernel.name, isa.name());
        }
    }
}

/// `(function, argument, rounded value, exact minus rounded in ulp)`.
fn golden() -> impl Iterator<Item = (&'static str, f64, f64, f64)> {
    include_str!("../golden.txt").lines().map(|line| {
        let mut fields = line.split(' ');
        let mut next = || fields.next().expect("four fields");
        let name = next();
        let double = |text| f64::from_bits(u64::from_str_radix(text, 16).expect("hexadecimal"));
        (name, double(next()), double(next()), next().parse().expect("a number"))
    })
}

/// Distance in ulp from an exact value that lies `above` ulp over `rounded`.
fn distance(value: f64, rounded: f64, above: f64) -> f64 {
    let steps = value.to_bits().cast_signed() - rounded.to_bits().cast_signed();
    // Bits grow with the size of a number.
    let steps = if rounded.is_sign_negative() { -steps } else { steps };
    (steps as f64 - above).abs()
}

#[test]
fn kernels_agree_with_multiple_precision_values() {
    for (name, x, rounded, above) in golden() {
        if !KERNELS.iter().any(|kernel| kernel.name == name) {
            continue;
        }
        let kernel = kernel(name);
        let reference = (kernel.reference)(x);
        assert!(reference.ulps(rounded) <= 0.502, "reference {name}({x:e})");
        for isa in Isa::available() {
            let mut value = [x];
            (kernel.slice)(isa, &mut value);
            let error = distance(value[0], rounded, above);
            assert!(error <= kernel.bound, "{} {name}({x:e}) = {:e}: {error} ulp", isa.name(), value[0]);
        }
    }
}

#[test]
fn scalar_functions_agree_with_multiple_precision_values() {
    for (name, x, rounded, above) in golden() {
        let (value, bound) = match name {
            "erf" => (super::erf(x), 1.0),
            "normcdf" => (normcdf(x), 3.0),
            "normpdf" => (normpdf(x), 3.0),
            _ => continue,
        };
        let error = distance(value, rounded, above);
        assert!(error <= bound, "{name}({x:e}) = {value:e}: {error} ulp");
    }
}

#[test]
fn a_value_depends_neither_on_position_nor_on_neighbours() {
    let odd = [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-310, 1e300, -1e300];
    for kernel in &KERNELS {
        let plain: Vec<f64> = scrambled(200).map(|bits| (bits >> 40) as f64 / 1e5 - 80.0).collect();
        for isa in Isa::available() {
            let mut alone = plain.clone();
            for value in &mut alone {
                (kernel.slice)(isa, std::slice::from_mut(value));
            }
            for length in [0, 1, 3, 7, 8, 9, 31, 63, 64, 65, 200] {
                let mut together = plain[..length].to_vec();
                (kernel.slice)(isa, &mut together);
                assert!(together.iter().zip(&alone).all(|(a, b)| same(*a, *b)), "{} {}", kernel.name, isa.name());
            }
            let mut mixed: Vec<f64> = plain.iter().zip(odd.iter().cycle()).flat_map(|(a, b)| [*a, *b]).collect();
            (kernel.slice)(isa, &mut mixed);
            let found = mixed.iter().step_by(2);
            assert!(found.zip(&alone).all(|(a, b)| same(*a, *b)), "{} {}", kernel.name, isa.name());
        }
    }
}

#[test]
fn block_kernels_equal_the_generic_source_bit_for_bit() {
    for kernel in &KERNELS {
        let arguments = arguments(kernel);
        let sets = [(Isa::Portable, PORTABLE_FMA), (Isa::Avx2, true)];
        for (isa, fma) in sets.into_iter().filter(|(isa, _)| isa.is_available()) {
            for chunk in arguments.chunks(64) {
                let mut values = chunk.to_vec();
                (kernel.slice)(isa, &mut values);
                for (&x, &value) in chunk.iter().zip(&values) {
                    let expected = kernel.scalar[usize::from(fma)](x);
                    assert!(same(value, expected), "{} {} at {x:e}", kernel.name, isa.name());
                }
            }
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_difference_kernel_equals_the_exponential_of_the_difference() {
    use super::kernels::{Avx2, Avx512, Kernels, Portable};
    let a: Vec<f64> = scrambled(133).map(|bits| (bits >> 40) as f64 / 1e5 - 80.0).collect();
    for b in [vec![20.5; 133], vec![900.0; 133], a.iter().rev().map(|x| 0.3 * x).collect()] {
        for isa in Isa::available() {
            let mut found = vec![0.0; 133];
            // SAFETY: the processor has each instruction set that is listed as available.
            unsafe {
                match isa {
                    Isa::Portable => Portable::exp_sub(&a, &b, &mut found),
                    Isa::Avx2 => Avx2::exp_sub(&a, &b, &mut found),
                    Isa::Avx512 => Avx512::exp_sub(&a, &b, &mut found),
                }
            }
            let mut expected: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
            slice::exp(isa, &mut expected);
            assert_eq!(found, expected, "{}", isa.name());
        }
    }
}

#[test]
fn instruction_sets_are_ordered_and_named() {
    let available = Isa::available();
    assert_eq!(available[0], Isa::Portable);
    assert!(available.is_sorted());
    assert!(available.contains(&Isa::detect()));
    for isa in available {
        assert_eq!(Isa::from_request(isa.name()), Ok(isa));
        assert_eq!(Isa::from_request(&isa.name().to_uppercase()), Ok(isa));
    }
    assert_eq!(Isa::from_request("").ok(), Isa::available().last().copied());
}

#[test]
fn an_unknown_instruction_set_is_reported_with_the_choices() {
    let message = Isa::from_request("sse9").expect_err("no such instruction set");
    assert!(message.contains("SCALINGLAWS_ISA=sse9"), "{message}");
    assert!(message.contains("portable"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn random_bits_give_values_within_the_bound_on_every_instruction_set(bits in any::<u64>(), which in 0..KERNELS.len()) {
        let kernel = &KERNELS[which];
        let x = f64::from_bits(bits);
        for isa in Isa::available() {
            let mut values = [x];
            (kernel.slice)(isa, &mut values);
            if x.is_nan() {
                prop_assert!(values[0].is_nan());
            } else if x.is_finite() && (kernel.domain)(x) {
                let error = (kernel.reference)(x).ulps(values[0]);
                prop_assert!(error <= kernel.bound, "{} {}({x:e}): {error} ulp", isa.name(), kernel.name);
            }
        }
    }

    #[test]
    fn monotone_kernels_do_not_decrease_by_more_than_rounding(x in -700.0..700.0_f64, step in 1e-12..1.0_f64) {
        for isa in Isa::available() {
            for kernel in KERNELS.iter().filter(|kernel| !kernel.name.starts_with("log")) {
                let mut values = [x, x + step * x.abs().max(1.0)];
                (kernel.slice)(isa, &mut values);
                prop_assert!(values[1] >= values[0], "{} {}", isa.name(), kernel.name);
            }
        }
    }
}
