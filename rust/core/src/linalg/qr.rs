//! Least squares by Householder reflections with column pivoting.

use super::vector::{axpy, dot, largest_magnitude, normaliser};

/// Length of the scratch that [`qr_least_squares`] needs for `n` unknowns.
#[must_use]
pub const fn qr_scratch_len(n: usize) -> usize {
    4 * n
}

/// Minimises `|A x - b|` for an `m` by `n` matrix with `m >= n`; returns the numerical rank of `A`.
///
/// Columns are first scaled to length one (within a factor of two, by powers of two, so exactly), then
/// chosen in order of the length that remains outside the span of the columns chosen before. A column whose
/// remainder is within `m` rounding errors of zero, and all after it, are dropped: their entries of `x` are
/// zero, and `x` minimises the residual over the columns kept. If a value of `a` or `b` is not finite, `x` is
/// filled with NaN and the rank is zero.
///
/// # Arguments
///
/// * `a`: `m * n` entries. On return its upper triangle holds `R` of `A P = Q R` in the original units: row
///   and column `j` belong to unknown `pivots[j]`. Only the first rank rows are meaningful.
/// * `b`: `m` entries. On return it holds `Q^T b`, so the entries from the rank on are the residual in
///   rotated coordinates: the sum of their squares is the minimum.
/// * `x`: `n` entries, the solution.
/// * `pivots`: `n` entries, the order in which the columns were chosen.
/// * `scratch`: at least [`qr_scratch_len`] entries, arbitrary contents.
///
/// # Panics
///
/// If `m < n` or a slice has the wrong length.
///
/// # Examples
///
/// A line through three points, `y = 1 + 2 t`:
///
/// ```
/// use scalinglaws_core::linalg::{qr_least_squares, qr_scratch_len};
///
/// let mut a = [1.0, 0.0, 1.0, 1.0, 1.0, 2.0];
/// let mut b = [1.0, 3.0, 5.0];
/// let (mut x, mut pivots, mut scratch) = ([0.0; 2], [0; 2], [0.0; qr_scratch_len(2)]);
/// let rank = qr_least_squares(&mut a, 3, 2, &mut b, &mut x, &mut pivots, &mut scratch);
/// assert_eq!(rank, 2);
/// assert!((x[0] - 1.0).abs() < 1e-14 && (x[1] - 2.0).abs() < 1e-14);
/// ```
pub fn qr_least_squares(
    a: &mut [f64],
    m: usize,
    n: usize,
    b: &mut [f64],
    x: &mut [f64],
    pivots: &mut [usize],
    scratch: &mut [f64],
) -> usize {
    assert!(m >= n, "qr_least_squares: fewer rows than columns");
    assert_eq!(a.len(), m * n, "qr_least_squares: the matrix must have m * n entries");
    assert_eq!(b.len(), m, "qr_least_squares: the right-hand side must have m entries");
    assert_eq!(x.len(), n, "qr_least_squares: the solution must have n entries");
    assert_eq!(pivots.len(), n, "qr_least_squares: there must be n pivots");
    assert!(scratch.len() >= qr_scratch_len(n), "qr_least_squares: the scratch is too short");
    for (index, pivot) in pivots.iter_mut().enumerate() {
        *pivot = index;
    }
    if largest_magnitude(a).is_none() || largest_magnitude(b).is_none() {
        x.fill(f64::NAN);
        return 0;
    }
    if n == 0 {
        return 0;
    }
    let (scales, scratch) = scratch.split_at_mut(n);
    let (remaining, scratch) = scratch.split_at_mut(n);
    let (reliable, scratch) = scratch.split_at_mut(n);
    let work = &mut scratch[..n];

    scale_columns(a, n, scales, remaining);
    reliable.copy_from_slice(remaining);
    let mut rank = 0;
    let mut first = 0.0;
    while rank < n {
        let k = rank;
        let mut pivot = k;
        for j in k + 1..n {
            if remaining[j] > remaining[pivot] {
                pivot = j;
            }
        }
        if pivot != k {
            for row in a.chunks_exact_mut(n) {
                row.swap(k, pivot);
            }
            for list in [&mut *scales, &mut *remaining, &mut *reliable] {
                list.swap(k, pivot);
            }
            pivots.swap(k, pivot);
        }
        let length = column_length(a, n, k, k);
        if k == 0 {
            first = length;
        }
        if length <= m as f64 * f64::EPSILON * first {
            break;
        }
        reflect(a, n, k, length, b, work);
        downdate(a, n, k, remaining, reliable);
        rank += 1;
    }

    for i in (0..rank).rev() {
        let row = &a[i * n..(i + 1) * n];
        work[i] = (b[i] - dot(&row[i + 1..rank], &work[i + 1..rank])) / row[i];
    }
    x.fill(0.0);
    for (j, &unknown) in pivots.iter().enumerate().take(rank) {
        x[unknown] = work[j] * scales[j];
    }
    for (i, row) in a.chunks_exact_mut(n).enumerate().take(n) {
        for (entry, scale) in row.iter_mut().zip(&*scales).skip(i) {
            *entry /= scale;
        }
    }
    rank
}

/// Scales the columns to lengths in `[1, 2)` and writes the scales and the lengths; zero columns stay.
fn scale_columns(a: &mut [f64], n: usize, scales: &mut [f64], lengths: &mut [f64]) {
    scales.fill(0.0);
    for row in a.chunks_exact(n) {
        for (largest, entry) in scales.iter_mut().zip(row) {
            *largest = largest.max(entry.abs());
        }
    }
    for scale in scales.iter_mut() {
        *scale = if *scale == 0.0 { 1.0 } else { normaliser(*scale) };
    }
    lengths.fill(0.0);
    for row in a.chunks_exact(n) {
        for ((sum, scale), entry) in lengths.iter_mut().zip(&*scales).zip(row) {
            *sum += (entry * scale) * (entry * scale);
        }
    }
    for (length, scale) in lengths.iter_mut().zip(scales.iter_mut()) {
        *length = length.sqrt();
        if *length > 0.0 {
            // Columns at the edge of the range of exponents keep the scale that is still exact.
            let both = *scale * normaliser(*length);
            if both.is_normal() && both.recip().is_normal() {
                *length *= normaliser(*length);
                *scale = both;
            }
        }
    }
    for row in a.chunks_exact_mut(n) {
        for (entry, scale) in row.iter_mut().zip(&*scales) {
            *entry *= scale;
        }
    }
}

/// Length of column `k` from row `from` down. Entries are of magnitude one or rounding errors of it.
fn column_length(a: &[f64], n: usize, k: usize, from: usize) -> f64 {
    let squares: f64 = a.chunks_exact(n).skip(from).map(|row| row[k] * row[k]).sum();
    squares.sqrt()
}

/// Applies to the later columns and `b` the reflection that takes column `k`, of the given length from row
/// `k` down, to a multiple of the unit vector.
fn reflect(a: &mut [f64], n: usize, k: usize, length: f64, b: &mut [f64], work: &mut [f64]) {
    let diagonal = a[k * n + k];
    let target = -length.copysign(diagonal);
    // The reflection is I - v v^T / half, with v the column minus its image; the signs differ, so the
    // subtraction does not cancel.
    let half = length * (length + diagonal.abs());
    a[k * n + k] = diagonal - target;
    let sums = &mut work[k + 1..];
    sums.fill(0.0);
    let mut b_sum = 0.0;
    for (row, b) in a.chunks_exact(n).zip(&*b).skip(k) {
        axpy(row[k], &row[k + 1..], sums);
        b_sum += row[k] * b;
    }
    for sum in sums.iter_mut() {
        *sum /= half;
    }
    b_sum /= half;
    for (row, b) in a.chunks_exact_mut(n).zip(b).skip(k) {
        let (head, tail) = row.split_at_mut(k + 1);
        axpy(-head[k], sums, tail);
        *b -= head[k] * b_sum;
    }
    a[k * n + k] = target;
}

/// Removes row `k` from the lengths that remain of the later columns.
///
/// Subtracting squares cancels when most of a column is gone: `reliable` is the length at which it was last
/// summed, and once the rest falls far below it the length is summed again.
fn downdate(a: &[f64], n: usize, k: usize, remaining: &mut [f64], reliable: &mut [f64]) {
    for j in k + 1..n {
        if remaining[j] == 0.0 {
            continue;
        }
        let gone = a[k * n + j].abs() / remaining[j];
        let left = ((1.0 - gone) * (1.0 + gone)).max(0.0);
        let ratio = remaining[j] / reliable[j];
        if left * ratio * ratio <= 1.5e-8 {
            remaining[j] = column_length(a, n, j, k + 1);
            reliable[j] = remaining[j];
        } else {
            remaining[j] *= left.sqrt();
        }
    }
}
