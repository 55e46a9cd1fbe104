//! Gaussian elimination for square systems.

use super::vector::{axpy, largest_magnitude, normaliser};

/// Solves `A X = B` by elimination with partial pivoting, in place.
///
/// `b` holds one right-hand side, or several as the columns of a row-major matrix with `n` rows; it becomes
/// the solution. `a` is overwritten. Rows are first scaled to magnitude one (by powers of two, so exactly),
/// which keeps equations of large units from being preferred as pivots.
///
/// Returns `false` if the matrix is singular to working precision, that is if a column is left with no entry
/// above `n` rounding errors of its largest, or if a value is not finite; `b` is then meaningless.
///
/// # Panics
///
/// If `a` does not have `n * n` entries or the length of `b` is not a multiple of `n`.
///
/// # Examples
///
/// ```
/// use scalinglaws_core::linalg::solve_lu;
///
/// let mut a = [0.0, 2.0, 1.0, 1.0];
/// let mut b = [4.0, 5.0];
/// assert!(solve_lu(&mut a, 2, &mut b));
/// assert_eq!(b, [3.0, 2.0]);
/// ```
#[must_use]
pub fn solve_lu(a: &mut [f64], n: usize, b: &mut [f64]) -> bool {
    assert_eq!(a.len(), n * n, "solve_lu: the matrix must have n * n entries");
    if n == 0 {
        assert!(b.is_empty(), "solve_lu: an empty system has an empty right-hand side");
        return true;
    }
    assert_eq!(b.len() % n, 0, "solve_lu: the right-hand side must have n rows");
    let width = b.len() / n;
    if !scale_rows(a, n, b, width) {
        return false;
    }
    let tolerance = n as f64 * f64::EPSILON;
    for k in 0..n {
        let mut pivot = k;
        let mut eliminated = 0.0_f64;
        for i in 0..k {
            eliminated = eliminated.max(a[i * n + k].abs());
        }
        for i in k + 1..n {
            if a[i * n + k].abs() > a[pivot * n + k].abs() {
                pivot = i;
            }
        }
        let size = a[pivot * n + k].abs();
        // Phrased so that NaN from overflow fails it too.
        let regular = size > tolerance * eliminated;
        if !regular {
            return false;
        }
        if pivot != k {
            swap_rows(a, n, k, pivot);
            swap_rows(b, width, k, pivot);
        }
        let (head, below) = a.split_at_mut((k + 1) * n);
        let row = &head[k * n..];
        let (b_head, b_below) = b.split_at_mut((k + 1) * width);
        let b_row = &b_head[k * width..];
        for (i, other) in below.chunks_exact_mut(n).enumerate() {
            let factor = other[k] / row[k];
            if factor != 0.0 {
                axpy(-factor, &row[k + 1..], &mut other[k + 1..]);
                axpy(-factor, b_row, &mut b_below[i * width..(i + 1) * width]);
            }
        }
    }
    for i in (0..n).rev() {
        let row = &a[i * n..(i + 1) * n];
        let (head, solved) = b.split_at_mut((i + 1) * width);
        let b_row = &mut head[i * width..];
        for (j, &entry) in row.iter().enumerate().skip(i + 1) {
            let start = (j - i - 1) * width;
            axpy(-entry, &solved[start..start + width], b_row);
        }
        for value in b_row {
            *value /= row[i];
        }
    }
    true
}

/// Scales every equation to magnitude one; `false` if one is zero or a value is not finite.
fn scale_rows(a: &mut [f64], n: usize, b: &mut [f64], width: usize) -> bool {
    for (i, row) in a.chunks_exact_mut(n).enumerate() {
        let b_row = &mut b[i * width..(i + 1) * width];
        let (Some(largest), Some(_)) = (largest_magnitude(row), largest_magnitude(b_row)) else {
            return false;
        };
        if largest == 0.0 {
            return false;
        }
        let scale = normaliser(largest);
        for value in row.iter_mut().chain(b_row) {
            *value *= scale;
        }
    }
    true
}

fn swap_rows(a: &mut [f64], width: usize, i: usize, j: usize) {
    debug_assert!(i < j);
    let (head, tail) = a.split_at_mut(j * width);
    head[i * width..(i + 1) * width].swap_with_slice(&mut tail[..width]);
}
