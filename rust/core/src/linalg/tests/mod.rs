//! What the tests of closed forms and those of random matrices share.

use super::{axpy, dot, qr_least_squares, qr_scratch_len};

mod exact;
mod random;

/// Uniform values in `[-1, 1)`, for matrices that a failing test can name by one number.
struct Values(u64);

impl Values {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    fn vector(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }
}

fn matmul(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for l in 0..k {
            axpy(a[i * k + l], &b[l * n..(l + 1) * n], &mut c[i * n..(i + 1) * n]);
        }
    }
    c
}

fn transpose(a: &[f64], m: usize, n: usize) -> Vec<f64> {
    let mut t = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            t[j * m + i] = a[i * n + j];
        }
    }
    t
}

fn identity(n: usize) -> Vec<f64> {
    let mut a = vec![0.0; n * n];
    for i in 0..n {
        a[i * n + i] = 1.0;
    }
    a
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// A product of two reflections: orthogonal, and dense.
fn orthogonal(n: usize, values: &mut Values) -> Vec<f64> {
    let mut q = identity(n);
    for _ in 0..2 {
        let v = values.vector(n);
        let squares = dot(&v, &v);
        for row in q.chunks_exact_mut(n) {
            let factor = -2.0 * dot(row, &v) / squares;
            axpy(factor, &v, row);
        }
    }
    q
}

/// Singular values from one down to `1 / 10^digits`.
fn spectrum(n: usize, digits: f64) -> Vec<f64> {
    let last = (n.max(2) - 1) as f64;
    (0..n).map(|i| 10.0_f64.powf(-digits * i as f64 / last)).collect()
}

fn symmetric(spectrum: &[f64], values: &mut Values) -> Vec<f64> {
    let n = spectrum.len();
    let q = orthogonal(n, values);
    let mut scaled = transpose(&q, n, n);
    for (row, eigenvalue) in scaled.chunks_exact_mut(n).zip(spectrum) {
        for entry in row {
            *entry *= eigenvalue;
        }
    }
    let mut a = matmul(&q, &scaled, n, n, n);
    for i in 0..n {
        for j in 0..i {
            a[j * n + i] = a[i * n + j];
        }
    }
    a
}

fn rectangular(m: usize, spectrum: &[f64], values: &mut Values) -> Vec<f64> {
    let n = spectrum.len();
    let left = orthogonal(m, values);
    let mut right = orthogonal(n, values);
    for (row, singular) in right.chunks_exact_mut(n).zip(spectrum) {
        for entry in row {
            *entry *= singular;
        }
    }
    right.resize(m * n, 0.0);
    matmul(&left, &right, m, m, n)
}

fn hilbert(n: usize) -> Vec<f64> {
    (0..n * n).map(|index| 1.0 / (index / n + index % n + 1) as f64).collect()
}

/// The inverse of the Hilbert matrix, whose entries are integers.
fn hilbert_inverse(n: usize) -> Vec<f64> {
    let binomial = |n: usize, k: usize| (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
    (0..n * n)
        .map(|index| {
            let (i, j) = (index / n + 1, index % n + 1);
            let sign = if (i + j) % 2 == 0 { 1.0 } else { -1.0 };
            let last = binomial(i + j - 2, i - 1);
            sign * (i + j - 1) as f64
                * binomial(n + i - 1, n - j).round()
                * binomial(n + j - 1, n - i).round()
                * (last * last).round()
        })
        .collect()
}

struct LeastSquares {
    rank: usize,
    x: Vec<f64>,
    pivots: Vec<usize>,
    r: Vec<f64>,
    rotated: Vec<f64>,
}

fn least_squares(a: &[f64], m: usize, n: usize, b: &[f64]) -> LeastSquares {
    let (mut r, mut rotated) = (a.to_vec(), b.to_vec());
    let (mut x, mut pivots) = (vec![0.0; n], vec![0; n]);
    // Whatever the scratch holds must not matter.
    let mut scratch = vec![f64::NAN; qr_scratch_len(n)];
    let rank = qr_least_squares(&mut r, m, n, &mut rotated, &mut x, &mut pivots, &mut scratch);
    LeastSquares { rank, x, pivots, r, rotated }
}
