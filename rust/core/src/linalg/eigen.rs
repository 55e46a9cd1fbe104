//! Eigenvalues and eigenvectors of symmetric matrices by Jacobi rotations.

use super::vector::{largest_magnitude, normaliser};

/// Quadratic convergence sets in after a few sweeps; ten suffice in practice for hundreds of rows.
const MAX_SWEEPS: usize = 60;

/// Diagonalises a symmetric matrix: eigenvalues ascending, eigenvectors of length one.
///
/// Row `k` of `vectors` is the eigenvector of `values[k]`, so `vectors.chunks_exact(n)` walks through them.
/// Only the lower triangle of `a` is read; `a` is overwritten.
///
/// Cyclic Jacobi rotations, stopped when each off-diagonal entry is within rounding of the geometric mean of
/// its two diagonal entries. For a positive definite matrix this gives small eigenvalues to full relative
/// accuracy where rescaling the unknowns would make it well conditioned (Demmel and Veselic, SIAM J. Matrix
/// Anal. Appl. 13, 1992), which methods that first reduce to tridiagonal form do not.
///
/// Returns `false` if a value is not finite or the rotations did not converge; the results are then
/// meaningless.
///
/// # Panics
///
/// If `a` or `vectors` does not have `n * n` entries, or `values` does not have `n`.
///
/// # Examples
///
/// ```
/// use scalinglaws_core::linalg::symmetric_eigen;
///
/// let mut a = [2.0, 0.0, 1.0, 2.0]; // the upper triangle is not read
/// let (mut values, mut vectors) = ([0.0; 2], [0.0; 4]);
/// assert!(symmetric_eigen(&mut a, 2, &mut values, &mut vectors));
/// assert!((values[0] - 1.0).abs() < 1e-15 && (values[1] - 3.0).abs() < 1e-15);
/// assert!((vectors[0] + vectors[1]).abs() < 1e-15); // the first is along (1, -1)
/// ```
#[must_use]
pub fn symmetric_eigen(a: &mut [f64], n: usize, values: &mut [f64], vectors: &mut [f64]) -> bool {
    assert_eq!(a.len(), n * n, "symmetric_eigen: the matrix must have n * n entries");
    assert_eq!(values.len(), n, "symmetric_eigen: there must be n values");
    assert_eq!(vectors.len(), n * n, "symmetric_eigen: the vectors must have n * n entries");
    for i in 0..n {
        for j in 0..i {
            a[j * n + i] = a[i * n + j];
        }
    }
    let Some(largest) = largest_magnitude(a) else {
        return false;
    };
    // Products of two entries must not overflow.
    let scale = if largest == 0.0 { 1.0 } else { normaliser(largest) };
    for entry in a.iter_mut() {
        *entry *= scale;
    }
    vectors.fill(0.0);
    for i in 0..n {
        vectors[i * n + i] = 1.0;
    }
    let mut converged = false;
    for _ in 0..MAX_SWEEPS {
        converged = !sweep(a, n, vectors);
        if converged {
            break;
        }
    }
    for (i, value) in values.iter_mut().enumerate() {
        *value = a[i * n + i] / scale;
    }
    sort_ascending(values, vectors, n);
    converged
}

/// Annihilates every off-diagonal entry once; `false` if none needed it.
fn sweep(a: &mut [f64], n: usize, vectors: &mut [f64]) -> bool {
    let mut rotated = false;
    for p in 0..n {
        for q in p + 1..n {
            let off = a[p * n + q];
            let (first, second) = (a[p * n + p], a[q * n + q]);
            let negligible = f64::EPSILON * f64::EPSILON * (first * second).abs();
            if off * off <= negligible {
                continue;
            }
            rotated = true;
            // The smaller of the two angles that annihilate the entry; its tangent solves
            // t^2 + 2 cot t - 1 = 0, with cot the cotangent of twice the angle.
            let cot = (second - first) / (2.0 * off);
            let tangent = 1.0_f64.copysign(cot) / (cot.abs() + (1.0 + cot * cot).sqrt());
            let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
            let sine = tangent * cosine;
            rotate(a, n, p, q, sine, cosine);
            for k in 0..n {
                a[k * n + p] = a[p * n + k];
                a[k * n + q] = a[q * n + k];
            }
            a[p * n + p] = first - tangent * off;
            a[q * n + q] = second + tangent * off;
            a[p * n + q] = 0.0;
            a[q * n + p] = 0.0;
            rotate(vectors, n, p, q, sine, cosine);
        }
    }
    rotated
}

/// Replaces rows `p < q` by `(c p - s q, s p + c q)`.
fn rotate(a: &mut [f64], n: usize, p: usize, q: usize, sine: f64, cosine: f64) {
    let (head, tail) = a.split_at_mut(q * n);
    // In terms of 1 - c = s tan(angle / 2) the rounding errors of a small rotation are small too.
    let half = sine / (1.0 + cosine);
    for (x, y) in head[p * n..(p + 1) * n].iter_mut().zip(&mut tail[..n]) {
        let (old_x, old_y) = (*x, *y);
        *x = old_x - sine * (old_y + half * old_x);
        *y = old_y + sine * (old_x - half * old_y);
    }
}

fn sort_ascending(values: &mut [f64], vectors: &mut [f64], n: usize) {
    for i in 0..n {
        let mut smallest = i;
        for j in i + 1..n {
            if values[j] < values[smallest] {
                smallest = j;
            }
        }
        if smallest != i {
            values.swap(i, smallest);
            let (head, tail) = vectors.split_at_mut(smallest * n);
            head[i * n..(i + 1) * n].swap_with_slice(&mut tail[..n]);
        }
    }
}
