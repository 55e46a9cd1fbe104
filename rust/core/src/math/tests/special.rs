//! Values that must be exact: zeros, infinities, not-a-number, and the ends of the range.

use super::super::{Isa, normcdf, normpdf};
use super::{kernel, same};

#[test]
fn special_values_are_exact() {
    use std::f64::consts::LN_2;
    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    const LEAST: f64 = f64::from_bits(1);
    let payload = f64::from_bits(0xfff8_0000_0000_07a2);
    let signalling = f64::from_bits(0x7ff0_0000_0000_0001);
    let table: [(&str, &[(f64, f64)]); 7] = [
        (
            "exp",
            &[
                (0.0, 1.0),
                (-0.0, 1.0),
                (LEAST, 1.0),
                (-INF, 0.0),
                (INF, INF),
                (709.79, INF),
                (f64::MAX, INF),
                (f64::MIN, 0.0),
                (-745.14, 0.0),
                (-745.13, LEAST),
                (-1e150, 0.0),
            ],
        ),
        (
            "expm1",
            &[
                (0.0, 0.0),
                (-0.0, -0.0),
                (LEAST, LEAST),
                (-LEAST, -LEAST),
                (1e-20, 1e-20),
                (-INF, -1.0),
                (f64::MIN, -1.0),
                (INF, INF),
                (709.79, INF),
                (f64::MAX, INF),
            ],
        ),
        (
            "log",
            &[
                (1.0, 0.0),
                (0.0, -INF),
                (-0.0, -INF),
                (-LEAST, NAN),
                (-1.0, NAN),
                (f64::MIN, NAN),
                (-INF, NAN),
                (INF, INF),
                (2.0, LN_2),
            ],
        ),
        (
            "log1p",
            &[
                (0.0, 0.0),
                (-0.0, -0.0),
                (LEAST, LEAST),
                (-LEAST, -LEAST),
                (1e-20, 1e-20),
                (-1.0, -INF),
                (-1.0000000000000002, NAN),
                (-INF, NAN),
                (INF, INF),
                (1.0, LN_2),
            ],
        ),
        ("tanh", &[(0.0, 0.0), (-0.0, -0.0), (LEAST, LEAST), (1e-20, 1e-20), (INF, 1.0), (-INF, -1.0), (-1e300, -1.0)]),
        ("sigmoid", &[(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (-800.0, 0.0), (40.0, 1.0)]),
        ("softplus", &[(0.0, LN_2), (INF, INF), (-INF, 0.0), (-800.0, 0.0), (800.0, 800.0), (f64::MAX, f64::MAX)]),
    ];
    for isa in Isa::available() {
        for (name, cases) in table {
            let kernel = kernel(name);
            for &(x, expected) in cases.iter().chain(&[(NAN, NAN), (payload, NAN), (signalling, NAN)]) {
                let mut values = [x; 9];
                (kernel.slice)(isa, &mut values);
                for value in values {
                    assert!(same(value, expected), "{} {name}({x:e}) = {value:e}, not {expected:e}", isa.name());
                }
            }
        }
    }
}

#[test]
fn normal_distribution_has_exact_ends_and_no_jumps() {
    assert_eq!(normcdf(0.0), 0.5);
    assert_eq!(normcdf(f64::INFINITY), 1.0);
    assert_eq!(normcdf(f64::NEG_INFINITY), 0.0);
    assert_eq!(normcdf(-1e300), 0.0);
    assert!(normcdf(f64::NAN).is_nan());
    assert_eq!(normpdf(f64::INFINITY), 0.0);
    assert_eq!(normpdf(-1e300), 0.0);
    assert!(normpdf(f64::NAN).is_nan());
    let mut last = 0.0;
    for i in 0..40_000 {
        let value = normcdf(-39.0 + f64::from(i) * 1e-3);
        assert!(value >= last, "at step {i}");
        last = value;
    }
}
