//! Small dense linear algebra in storage the caller provides.
//!
//! Matrices are row-major slices: entry `(i, j)` of an `m` by `n` matrix is `a[i * n + j]`. Nothing here
//! allocates, so a solver may call any of it in its inner loop. The routines are written for up to about 32
//! unknowns and remain usable to a few hundred; they are neither blocked nor threaded.
//!
//! Every decision on singularity or rank is independent of units: multiplying a parameter, or an equation,
//! by a constant does not change it. The units of parameters of scaling laws commonly differ by many orders
//! of magnitude (an exponent near 0.3 beside a coefficient near 1e9), and an absolute threshold would call
//! such systems singular.
//!
//! | need | routine |
//! |---|---|
//! | symmetric positive definite system | [`cholesky`], then [`cholesky_solve`] or [`cholesky_inverse`] |
//! | least squares | [`qr_least_squares`] |
//! | square system, e.g. an indefinite system of optimality conditions | [`solve_lu`] |
//! | eigenvalues and eigenvectors of a symmetric matrix | [`symmetric_eigen`] |
//!
//! Results depend only on the arguments: sums are taken in a fixed order and no fused operations are used,
//! so every machine gives the same bits.

mod cholesky;
mod eigen;
mod lu;
mod qr;
#[cfg(test)]
mod tests;
mod vector;

pub use cholesky::{cholesky, cholesky_inverse, cholesky_solve, solve_lower, solve_lower_transposed};
pub use eigen::symmetric_eigen;
pub use lu::solve_lu;
pub use qr::{qr_least_squares, qr_scratch_len};
pub use vector::{axpy, dot, norm};
