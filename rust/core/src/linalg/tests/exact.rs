//! Closed forms, and the edges of the domain.

use super::super::vector::{largest_magnitude, normaliser};
use super::super::*;
use super::*;

#[test]
fn norm_neither_overflows_nor_underflows() {
    assert_eq!(norm(&[]), 0.0);
    assert_eq!(norm(&[0.0, -0.0]), 0.0);
    assert_eq!(norm(&[3.0, 4.0]), 5.0);
    assert!((norm(&[3e300, 4e300]) / 5e300 - 1.0).abs() < 1e-15);
    assert!((norm(&[3e-300, 4e-300]) / 5e-300 - 1.0).abs() < 1e-15);
    assert!(norm(&[f64::NAN, 1.0]).is_nan());
    assert!(norm(&[0.0, f64::NAN]).is_nan());
    assert!(norm(&[1e300, f64::NAN]).is_nan());
    assert_eq!(norm(&[1.0, f64::NEG_INFINITY]), f64::INFINITY);
}

#[test]
fn normaliser_is_an_exact_power_of_two() {
    for x in [1.0, 1.5, 2.0, 3e-7, 1e300, f64::MIN_POSITIVE] {
        let scale = normaliser(x);
        assert!((1.0..2.0).contains(&(x * scale)), "{x}");
        assert_eq!(scale.to_bits() << 12, 0, "{x}: not a power of two");
        assert!(scale.recip().is_normal());
    }
    for x in [f64::MAX, f64::from_bits(1)] {
        assert!(normaliser(x).is_normal());
    }
}

#[test]
fn largest_magnitude_reports_values_that_are_not_finite() {
    assert_eq!(largest_magnitude(&[]), Some(0.0));
    assert_eq!(largest_magnitude(&[1.0, -3.0, 2.0]), Some(3.0));
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(largest_magnitude(&[1.0, bad]), None);
    }
}

#[test]
fn cholesky_of_a_known_matrix_leaves_the_upper_triangle() {
    let mut a = [4.0, 7.0, 7.0, 12.0, 37.0, 7.0, -16.0, -43.0, 98.0];
    assert!(cholesky(&mut a, 3));
    assert_eq!(a, [2.0, 7.0, 7.0, 6.0, 1.0, 7.0, -8.0, 5.0, 3.0]);
}

#[test]
fn cholesky_rejects_what_is_not_positive_definite() {
    let cases: [[f64; 4]; 7] = [
        [0.0, 0.0, 0.0, 0.0],
        [-1.0, 0.0, 0.0, 1.0],
        [1.0, 2.0, 2.0, 1.0],
        [1.0, 1.0, 1.0, 1.0],
        [1.0, f64::NAN, f64::NAN, 1.0],
        [1.0, 0.0, 0.0, f64::INFINITY],
        [1.0, f64::INFINITY, f64::INFINITY, 1.0],
    ];
    for mut a in cases {
        let before = a;
        assert!(!cholesky(&mut a, 2), "{before:?}");
    }
}

#[test]
fn cholesky_accepts_any_units_and_decides_the_same_in_all() {
    let units = [1e-80, 1.0, 1e60, 1e-20];
    for (positive, a) in [(true, hilbert(4)), (false, vec![1.0; 16])] {
        let mut a = a;
        for i in 0..4 {
            for j in 0..4 {
                a[i * 4 + j] *= units[i] * units[j];
            }
        }
        assert_eq!(cholesky(&mut a, 4), positive);
    }
}

#[test]
fn empty_systems_are_solved() {
    assert!(cholesky(&mut [], 0));
    cholesky_solve(&[], 0, &mut []);
    cholesky_inverse(&[], 0, &mut []);
    assert!(solve_lu(&mut [], 0, &mut []));
    assert!(symmetric_eigen(&mut [], 0, &mut [], &mut []));
    let solution = least_squares(&[], 3, 0, &[1.0, 2.0, 3.0]);
    assert_eq!(solution.rank, 0);
    assert_eq!(solution.rotated, [1.0, 2.0, 3.0]);
}

#[test]
fn hilbert_matrices_are_inverted_to_their_condition() {
    // Condition numbers grow as exp(3.5 n): 5e2, 5e5, 1.5e7, 1.5e10.
    for (n, condition) in [(3, 5.3e2), (5, 4.8e5), (6, 1.5e7), (8, 1.6e10)] {
        let exact = hilbert_inverse(n);
        let size = norm(&exact);
        let bound = 10.0 * f64::EPSILON * condition;

        let mut l = hilbert(n);
        assert!(cholesky(&mut l, n));
        let mut inverse = vec![f64::NAN; n * n];
        cholesky_inverse(&l, n, &mut inverse);
        assert!(norm(&difference(&inverse, &exact)) < bound * size, "cholesky {n}");
        assert_eq!(inverse, transpose(&inverse, n, n));

        let mut solution = identity(n);
        assert!(solve_lu(&mut hilbert(n), n, &mut solution));
        assert!(norm(&difference(&solution, &exact)) < bound * size, "lu {n}");

        let ones = least_squares(&hilbert(n), n, n, &matmul(&hilbert(n), &vec![1.0; n], n, n, 1));
        assert_eq!(ones.rank, n);
        assert!(norm(&difference(&ones.x, &vec![1.0; n])) < bound, "qr {n}");
    }
}

#[test]
fn lu_solves_an_indefinite_system_with_a_zero_diagonal() {
    // Minimise (x^2 + y^2) / 2 subject to x + y = 2: x = y = 1, multiplier -1.
    let mut a = [1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0];
    let mut b = [0.0, 0.0, 2.0];
    assert!(solve_lu(&mut a, 3, &mut b));
    assert_eq!(b, [1.0, 1.0, -1.0]);
}

#[test]
fn lu_reports_singular_and_non_finite_systems() {
    let cases: [[f64; 4]; 5] = [
        [1.0, 2.0, 2.0, 4.0],
        [0.0, 0.0, 1.0, 1.0],
        [0.0, 1.0, 0.0, 1.0],
        [1.0, f64::NAN, 0.0, 1.0],
        [f64::INFINITY, 1.0, 1.0, 1.0],
    ];
    for mut a in cases {
        let before = a;
        assert!(!solve_lu(&mut a, 2, &mut [1.0, 1.0]), "{before:?}");
    }
    assert!(!solve_lu(&mut [1.0], 1, &mut [f64::NAN]));
    // The second row is not an exact multiple of the first, so only the tolerance can tell.
    let mut a = [0.1, 0.2, 0.3, 0.1 * 7.0, 0.2 * 7.0, 0.3 * 7.0, 0.5, 0.1, 0.9];
    assert!(!solve_lu(&mut a, 3, &mut [1.0, 2.0, 3.0]));
}

#[test]
fn lu_accepts_equations_and_unknowns_of_any_units() {
    let n = 5;
    let mut values = Values(3);
    let base = rectangular(n, &spectrum(n, 1.0), &mut values);
    let (rows, columns) = ([1e90, 1e-80, 1.0, 1e40, 1e-3], [1e-30, 1e25, 1.0, 1e-7, 1e9]);
    let mut a = base.clone();
    for i in 0..n {
        for j in 0..n {
            a[i * n + j] *= rows[i] * columns[j];
        }
    }
    // The solution in scaled units is all ones.
    let mut b: Vec<f64> = (0..n).map(|i| rows[i] * base[i * n..(i + 1) * n].iter().sum::<f64>()).collect();
    assert!(solve_lu(&mut a, n, &mut b));
    for j in 0..n {
        assert!((b[j] * columns[j] - 1.0).abs() < 1e-13, "{b:?}");
    }
}

#[test]
fn least_squares_matches_the_normal_equations_of_a_line() {
    let t = [0.0, 1.0, 2.0, 3.0, 4.0];
    let y = [1.1, 2.9, 5.2, 6.8, 9.1];
    let a: Vec<f64> = t.iter().flat_map(|&t| [1.0, t]).collect();
    let solution = least_squares(&a, 5, 2, &y);
    // Slope and intercept from the sums, exact in decimal: 19.9 / 10 and 5.02 - 2 * 1.99.
    assert!((solution.x[1] - 1.99).abs() < 1e-14);
    assert!((solution.x[0] - 1.04).abs() < 1e-14);
    let direct: f64 = t.iter().zip(&y).map(|(t, y)| (y - 1.04 - 1.99 * t).powi(2)).sum();
    let rotated = norm(&solution.rotated[solution.rank..]).powi(2);
    assert!((direct - rotated).abs() < 1e-14);
}

#[test]
fn least_squares_does_not_depend_on_units() {
    let (m, n) = (9, 4);
    let mut values = Values(11);
    let a = values.vector(m * n);
    let b = values.vector(m);
    let plain = least_squares(&a, m, n, &b);
    let exponents = [-900, 40, 0, 700];
    let units = exponents.map(|e| 2.0_f64.powi(e));
    let scaled: Vec<f64> = a.iter().enumerate().map(|(i, a)| a * units[i % n]).collect();
    let solution = least_squares(&scaled, m, n, &b);
    assert_eq!(solution.rank, n);
    assert_eq!(solution.pivots, plain.pivots);
    for (j, unit) in units.iter().enumerate() {
        assert_eq!(solution.x[j] * unit, plain.x[j]);
    }
}

#[test]
fn least_squares_drops_columns_that_others_span() {
    // The third column is the sum of the first two, the fourth is zero, the fifth repeats the first.
    let (m, n) = (7, 5);
    let mut values = Values(5);
    let mut a = vec![0.0; m * n];
    for row in a.chunks_exact_mut(n) {
        let (p, q) = (values.next(), values.next());
        row.copy_from_slice(&[p, q, p + q, 0.0, 1e30 * p]);
    }
    let b = values.vector(m);
    let solution = least_squares(&a, m, n, &b);
    assert_eq!(solution.rank, 2);
    assert_eq!(solution.x.iter().filter(|x| **x != 0.0).count(), 2);
    assert_eq!(solution.x[3], 0.0);
    let both: Vec<f64> = a.chunks_exact(n).flat_map(|row| [row[0], row[1]]).collect();
    let reduced = least_squares(&both, m, 2, &b);
    let residual = norm(&difference(&matmul(&a, &solution.x, m, n, 1), &b));
    assert!((residual - norm(&reduced.rotated[2..])).abs() < 1e-14);
}

#[test]
fn least_squares_of_zero_has_rank_zero() {
    let solution = least_squares(&[0.0; 6], 3, 2, &[1.0, 2.0, 2.0]);
    assert_eq!(solution.rank, 0);
    assert_eq!(solution.x, [0.0, 0.0]);
    assert_eq!(norm(&solution.rotated), 3.0);
}

#[test]
fn least_squares_reports_values_that_are_not_finite() {
    for (bad_a, bad_b) in [(f64::NAN, 1.0), (1.0, f64::INFINITY), (f64::NEG_INFINITY, f64::NAN)] {
        let solution = least_squares(&[1.0, 2.0, bad_a, 1.0], 2, 2, &[bad_b, 1.0]);
        assert_eq!(solution.rank, 0);
        assert!(solution.x.iter().all(|x| x.is_nan()));
    }
}

#[test]
fn least_squares_handles_the_ends_of_the_exponent_range() {
    for size in [f64::MAX / 4.0, 1e-307, f64::from_bits(1 << 20)] {
        let a = [size, 0.0, 0.0, 1.0, size, 1.0];
        let solution = least_squares(&a, 3, 2, &[0.0, 1.0, 1.0]);
        assert_eq!(solution.rank, 2, "{size}");
        assert!((solution.x[1] - 1.0).abs() < 1e-14, "{size}");
        assert!((solution.x[0] * size).abs() < 1e-14, "{size}");
    }
}

#[test]
fn eigenvalues_of_the_second_difference_matrix_are_cosines() {
    for n in [1, 2, 3, 10, 40] {
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            a[i * n + i] = 2.0;
            if i > 0 {
                a[i * n + i - 1] = -1.0;
            }
        }
        let (mut values, mut vectors) = (vec![0.0; n], vec![0.0; n * n]);
        assert!(symmetric_eigen(&mut a, n, &mut values, &mut vectors));
        for (k, value) in values.iter().enumerate() {
            let angle = std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64;
            assert!((value - (2.0 - 2.0 * angle.cos())).abs() < 1e-14, "{n} {k}");
        }
    }
}

#[test]
fn the_smallest_eigenvalue_of_a_hilbert_matrix_is_found() {
    let mut a = hilbert(6);
    let (mut values, mut vectors) = ([0.0; 6], [0.0; 36]);
    assert!(symmetric_eigen(&mut a, 6, &mut values, &mut vectors));
    assert!((values[0] / 1.082799484565550e-7 - 1.0).abs() < 1e-8);
    assert!((values[5] / 1.618899858924339 - 1.0).abs() < 1e-14);
}

#[test]
fn small_eigenvalues_of_a_graded_matrix_are_accurate() {
    // det = 0.75e-20; the larger eigenvalue is 1 + 0.25e-20.
    let mut a = [1.0, 0.5e-10, 0.5e-10, 1e-20];
    let (mut values, mut vectors) = ([0.0; 2], [0.0; 4]);
    assert!(symmetric_eigen(&mut a, 2, &mut values, &mut vectors));
    assert!((values[0] / 0.75e-20 - 1.0).abs() < 1e-15);
    assert_eq!(values[1], 1.0);
}

#[test]
fn eigenvectors_of_equal_eigenvalues_are_orthogonal() {
    // All ones has eigenvalues 0, 0, 0, 4.
    let (mut values, mut vectors) = ([0.0; 4], [0.0; 16]);
    assert!(symmetric_eigen(&mut [1.0; 16], 4, &mut values, &mut vectors));
    assert!(values[..3].iter().all(|value| value.abs() < 1e-15));
    assert!((values[3] - 4.0).abs() < 1e-15);
    let gram = matmul(&vectors, &transpose(&vectors, 4, 4), 4, 4, 4);
    assert!(norm(&difference(&gram, &identity(4))) < 1e-15);
}

#[test]
fn eigenvalues_scale_with_the_matrix_and_non_finite_is_reported() {
    for size in [1e-300, 1e300] {
        let mut a = [2.0 * size, size, size, 2.0 * size];
        let (mut values, mut vectors) = ([0.0; 2], [0.0; 4]);
        assert!(symmetric_eigen(&mut a, 2, &mut values, &mut vectors));
        assert!((values[0] / size - 1.0).abs() < 1e-15);
        assert!((values[1] / size - 3.0).abs() < 1e-15);
    }
    let (mut values, mut vectors) = ([0.0; 2], [0.0; 4]);
    assert!(symmetric_eigen(&mut [0.0; 4], 2, &mut values, &mut vectors));
    assert_eq!(values, [0.0, 0.0]);
    assert!(!symmetric_eigen(&mut [1.0, 0.0, f64::NAN, 1.0], 2, &mut values, &mut vectors));
}

#[test]
fn a_hundred_unknowns_are_within_reach() {
    let n = 120;
    let mut values = Values(17);
    let a = symmetric(&spectrum(n, 8.0), &mut values);
    let x = values.vector(n);
    let b = matmul(&a, &x, n, n, 1);
    let mut l = a.clone();
    assert!(cholesky(&mut l, n));
    let mut solved = b.clone();
    cholesky_solve(&l, n, &mut solved);
    assert!(norm(&difference(&solved, &x)) < 1e8 * 1e-14 * norm(&x));
    let (mut eigenvalues, mut vectors) = (vec![0.0; n], vec![0.0; n * n]);
    assert!(symmetric_eigen(&mut a.clone(), n, &mut eigenvalues, &mut vectors));
    for (found, wanted) in eigenvalues.iter().rev().zip(spectrum(n, 8.0)) {
        assert!((found - wanted).abs() < 1e-13);
    }
}
