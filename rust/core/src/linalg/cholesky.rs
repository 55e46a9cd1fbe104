//! Cholesky factorisation of symmetric positive definite matrices.

use super::vector::{axpy, dot};

/// Factors a symmetric positive definite matrix as `L L^T`, in place.
///
/// Only the lower triangle of `a` is read, and only it is written: on success it holds `L`. The strict upper
/// triangle stays as it was.
///
/// A matrix counts as positive definite if every pivot exceeds `n` rounding errors of the diagonal entry it
/// came from; this does not change when unknowns are rescaled. Smaller pivots are indistinguishable from
/// zero. Returns `false` for a matrix that is not positive definite in this sense or holds values that are
/// not finite; the lower triangle is then partly overwritten.
///
/// # Panics
///
/// If `a` does not have `n * n` entries.
///
/// # Examples
///
/// ```
/// use scalinglaws_core::linalg::{cholesky, cholesky_solve};
///
/// let mut a = [4.0, 0.0, 2.0, 5.0]; // the upper triangle is not read
/// let mut b = [8.0, 12.0];
/// assert!(cholesky(&mut a, 2));
/// cholesky_solve(&a, 2, &mut b);
/// assert_eq!(b, [1.0, 2.0]);
/// ```
#[must_use]
pub fn cholesky(a: &mut [f64], n: usize) -> bool {
    assert_eq!(a.len(), n * n, "cholesky: the matrix must have n * n entries");
    let tolerance = n as f64 * f64::EPSILON;
    for i in 0..n {
        let (above, rest) = a.split_at_mut(i * n);
        let row = &mut rest[..=i];
        for (j, other) in above.chunks_exact(n).enumerate() {
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let diagonal = row[i];
        let pivot = diagonal - dot(&row[..i], &row[..i]);
        // Phrased so that NaN and infinity fail it too.
        let positive = pivot > tolerance * diagonal;
        if !positive {
            return false;
        }
        row[i] = pivot.sqrt();
    }
    true
}

/// Solves `L L^T x = b` for the factor that [`cholesky`] leaves; `b` becomes `x`.
///
/// # Panics
///
/// If `l` does not have `n * n` entries or `b` does not have `n`.
pub fn cholesky_solve(l: &[f64], n: usize, b: &mut [f64]) {
    solve_lower(l, n, b);
    solve_lower_transposed(l, n, b);
}

/// Solves `L x = b` with the lower triangle of `l`; `b` becomes `x`.
///
/// With the factor of a covariance matrix this whitens `b`: the squared length of the result is
/// `b^T (L L^T)^-1 b`.
///
/// # Panics
///
/// If `l` does not have `n * n` entries or `b` does not have `n`.
pub fn solve_lower(l: &[f64], n: usize, b: &mut [f64]) {
    check_triangular(l, n, b);
    for i in 0..n {
        let row = &l[i * n..i * n + n];
        b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
    }
}

/// Solves `L^T x = b` with the lower triangle of `l`; `b` becomes `x`.
///
/// # Panics
///
/// If `l` does not have `n * n` entries or `b` does not have `n`.
pub fn solve_lower_transposed(l: &[f64], n: usize, b: &mut [f64]) {
    check_triangular(l, n, b);
    for i in (0..n).rev() {
        let row = &l[i * n..i * n + n];
        let (before, rest) = b.split_at_mut(i);
        rest[0] /= row[i];
        axpy(-rest[0], &row[..i], before);
    }
}

/// Writes the inverse of `L L^T` to `inverse`, both triangles, exactly symmetric.
///
/// To solve a system use [`cholesky_solve`], which is cheaper and more accurate; the inverse is wanted where
/// it is itself the result, such as a covariance matrix.
///
/// # Panics
///
/// If `l` or `inverse` does not have `n * n` entries.
pub fn cholesky_inverse(l: &[f64], n: usize, inverse: &mut [f64]) {
    assert_eq!(l.len(), n * n, "cholesky_inverse: the factor must have n * n entries");
    assert_eq!(inverse.len(), n * n, "cholesky_inverse: the result must have n * n entries");
    // First L^-1 in the lower triangle, row by row: row i of it is (e_i - sum_k<i l_ik row_k) / l_ii.
    for i in 0..n {
        let factors = &l[i * n..i * n + n];
        let (above, rest) = inverse.split_at_mut(i * n);
        let row = &mut rest[..n];
        row.fill(0.0);
        row[i] = 1.0;
        for (k, earlier) in above.chunks_exact(n).enumerate() {
            axpy(-factors[k], &earlier[..=k], &mut row[..=k]);
        }
        for entry in &mut row[..=i] {
            *entry /= factors[i];
        }
    }
    // Then L^-T L^-1, whose row i is the sum over k >= i of (L^-1)_ki times row k of L^-1. Row i of L^-1 is
    // not needed by the rows of the result below it, so the result can replace it.
    for i in 0..n {
        let (head, below) = inverse.split_at_mut((i + 1) * n);
        let row = &mut head[i * n..];
        let own = row[i];
        for entry in &mut row[..=i] {
            *entry *= own;
        }
        for later in below.chunks_exact(n) {
            axpy(later[i], &later[..=i], &mut row[..=i]);
        }
    }
    for i in 1..n {
        for j in 0..i {
            inverse[j * n + i] = inverse[i * n + j];
        }
    }
}

fn check_triangular(l: &[f64], n: usize, b: &[f64]) {
    assert_eq!(l.len(), n * n, "triangular solve: the factor must have n * n entries");
    assert_eq!(b.len(), n, "triangular solve: the right-hand side must have n entries");
}
