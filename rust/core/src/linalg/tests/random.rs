//! Backward errors of random matrices of prescribed condition.

use proptest::prelude::*;

use super::super::*;
use super::*;

proptest! {
    #[test]
    fn cholesky_is_backward_stable(n in 1_usize..=32, digits in 0.0..10.0, seed: u64) {
        let mut values = Values(seed);
        let a = symmetric(&spectrum(n, digits), &mut values);
        let error = 4.0 * n as f64 * f64::EPSILON;
        let mut l = a.clone();
        prop_assert!(cholesky(&mut l, n));

        let mut lower = l.clone();
        for i in 0..n {
            lower[i * n + i + 1..(i + 1) * n].fill(0.0);
        }
        let product = matmul(&lower, &transpose(&lower, n, n), n, n, n);
        prop_assert!(norm(&difference(&product, &a)) <= error * norm(&a));

        let b = values.vector(n);
        let mut x = b.clone();
        cholesky_solve(&l, n, &mut x);
        let residual = difference(&matmul(&a, &x, n, n, 1), &b);
        prop_assert!(norm(&residual) <= error * (norm(&a) * norm(&x) + norm(&b)));

        let mut whitened = b.clone();
        solve_lower(&l, n, &mut whitened);
        prop_assert!((dot(&whitened, &whitened) / dot(&b, &x) - 1.0).abs() <= error * 10_f64.powf(digits));

        let mut inverse = vec![f64::NAN; n * n];
        cholesky_inverse(&l, n, &mut inverse);
        let unit = matmul(&a, &inverse, n, n, n);
        prop_assert!(norm(&difference(&unit, &identity(n))) <= error * norm(&a) * norm(&inverse));
        prop_assert_eq!(&inverse, &transpose(&inverse, n, n));
    }

    #[test]
    fn cholesky_rejects_a_negative_eigenvalue(n in 2_usize..=16, size in -6.0..0.0, seed: u64) {
        let mut eigenvalues = spectrum(n, 2.0);
        eigenvalues[n - 1] = -10_f64.powf(size);
        let mut a = symmetric(&eigenvalues, &mut Values(seed));
        prop_assert!(!cholesky(&mut a, n));
    }

    #[test]
    fn lu_is_backward_stable(n in 1_usize..=32, width in 1_usize..=3, digits in 0.0..12.0, seed: u64) {
        let mut values = Values(seed);
        let a = rectangular(n, &spectrum(n, digits), &mut values);
        let b = values.vector(n * width);
        let mut x = b.clone();
        prop_assert!(solve_lu(&mut a.clone(), n, &mut x));
        let residual = difference(&matmul(&a, &x, n, n, width), &b);
        prop_assert!(norm(&residual) <= 16.0 * n as f64 * f64::EPSILON * (norm(&a) * norm(&x) + norm(&b)));
    }

    #[test]
    fn least_squares_residuals_are_orthogonal_to_the_columns(
        n in 1_usize..=16, extra in 0_usize..=20, digits in 0.0..10.0, seed: u64,
    ) {
        let m = n + extra;
        let mut values = Values(seed);
        let a = rectangular(m, &spectrum(n, digits), &mut values);
        let b = values.vector(m);
        let solution = least_squares(&a, m, n, &b);
        prop_assert_eq!(solution.rank, n);
        let error = 16.0 * m as f64 * f64::EPSILON;
        let residual = difference(&b, &matmul(&a, &solution.x, m, n, 1));
        let gradient = matmul(&transpose(&a, m, n), &residual, n, m, 1);
        let size = norm(&a) * norm(&solution.x) + norm(&b);
        prop_assert!(norm(&gradient) <= error * norm(&a) * size);
        prop_assert!((norm(&residual) - norm(&solution.rotated[n..])).abs() <= error * size);
    }

    #[test]
    fn the_triangular_factor_reproduces_the_gram_matrix(n in 1_usize..=16, extra in 0_usize..=20, seed: u64) {
        let m = n + extra;
        let mut values = Values(seed);
        let mut a = values.vector(m * n);
        for row in a.chunks_exact_mut(n) {
            row[0] *= 1e6;
        }
        let LeastSquares { pivots, r, .. } = least_squares(&a, m, n, &vec![0.0; m]);
        let mut sorted = pivots.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..n).collect::<Vec<_>>());
        let gram = matmul(&transpose(&a, m, n), &a, n, m, n);
        for i in 0..n {
            for j in 0..n {
                let product: f64 = (0..=i.min(j)).map(|k| r[k * n + i] * r[k * n + j]).sum();
                let (i, j) = (pivots[i], pivots[j]);
                let size = (gram[i * n + i] * gram[j * n + j]).sqrt();
                prop_assert!((product - gram[i * n + j]).abs() <= 8.0 * m as f64 * f64::EPSILON * size);
            }
        }
    }

    #[test]
    fn rank_is_the_number_of_independent_columns(
        rank in 1_usize..=6, spare in 1_usize..=6, extra in 0_usize..=10, seed: u64,
    ) {
        let n = rank + spare;
        let m = n + extra;
        let mut values = Values(seed);
        let mut singular = spectrum(rank, 2.0);
        singular.resize(n, 0.0);
        let a = rectangular(m, &singular, &mut values);
        let b = values.vector(m);
        let solution = least_squares(&a, m, n, &b);
        prop_assert_eq!(solution.rank, rank);
        prop_assert!(solution.pivots[rank..].iter().all(|&j| solution.x[j] == 0.0));
        // The residual is still orthogonal to every column, kept or dropped.
        let residual = difference(&b, &matmul(&a, &solution.x, m, n, 1));
        let gradient = matmul(&transpose(&a, m, n), &residual, n, m, 1);
        let size = norm(&a) * norm(&solution.x) + norm(&b);
        prop_assert!(norm(&gradient) <= 64.0 * m as f64 * f64::EPSILON * norm(&a) * size);
    }

    #[test]
    fn eigenpairs_are_backward_stable(n in 1_usize..=24, digits in 0.0..16.0, definite: bool, seed: u64) {
        let mut values = Values(seed);
        let mut wanted = spectrum(n, digits);
        if !definite {
            for value in wanted.iter_mut().step_by(2) {
                *value = -*value;
            }
        }
        let a = symmetric(&wanted, &mut values);
        wanted.sort_by(f64::total_cmp);
        let (mut found, mut vectors) = (vec![0.0; n], vec![0.0; n * n]);
        prop_assert!(symmetric_eigen(&mut a.clone(), n, &mut found, &mut vectors));
        prop_assert!(found.is_sorted());
        let error = 8.0 * n as f64 * f64::EPSILON;
        for (found, wanted) in found.iter().zip(&wanted) {
            prop_assert!((found - wanted).abs() <= error);
        }
        for (value, vector) in found.iter().zip(vectors.chunks_exact(n)) {
            let mut residual = matmul(&a, vector, n, n, 1);
            axpy(-value, vector, &mut residual);
            prop_assert!(norm(&residual) <= error);
        }
        let gram = matmul(&vectors, &transpose(&vectors, n, n), n, n, n);
        prop_assert!(norm(&difference(&gram, &identity(n))) <= error);
    }

    #[test]
    fn gram_matrices_of_dependent_columns_are_diagonalised(n in 2_usize..=32, m in 1_usize..=8, seed: u64) {
        let a = Values(seed).vector(m * n);
        let gram = matmul(&transpose(&a, m, n), &a, n, m, n);
        let (mut values, mut vectors) = (vec![0.0; n], vec![0.0; n * n]);
        prop_assert!(symmetric_eigen(&mut gram.clone(), n, &mut values, &mut vectors));
        let error = 8.0 * n as f64 * f64::EPSILON * norm(&gram);
        for value in &values[..n.saturating_sub(m)] {
            prop_assert!(value.abs() <= error);
        }
    }

    #[test]
    fn graded_eigenvalues_keep_relative_accuracy(n in 2_usize..=10, grade in 0.0..12.0, seed: u64) {
        // The inverse of a graded matrix is formed from its factor without loss, so the largest eigenvalue of
        // the inverse is an accurate reference for the smallest of the matrix.
        let mut a = symmetric(&spectrum(n, 1.0), &mut Values(seed));
        let units = spectrum(n, grade);
        for i in 0..n {
            for j in 0..n {
                a[i * n + j] *= units[i] * units[j];
            }
        }
        let mut l = a.clone();
        prop_assert!(cholesky(&mut l, n));
        let mut inverse = vec![0.0; n * n];
        cholesky_inverse(&l, n, &mut inverse);
        let (mut values, mut reciprocals, mut vectors) = (vec![0.0; n], vec![0.0; n], vec![0.0; n * n]);
        prop_assert!(symmetric_eigen(&mut a, n, &mut values, &mut vectors));
        prop_assert!(symmetric_eigen(&mut inverse, n, &mut reciprocals, &mut vectors));
        for (value, reciprocal) in values.iter().zip(reciprocals.iter().rev()) {
            prop_assert!((value * reciprocal - 1.0).abs() < 1e-12, "{} {}", value, reciprocal);
        }
    }
}
