//! The trust-region subproblem: minimise `g d + d M d / 2` over steps of length at most `radius` in a diagonal metric.

use crate::linalg::{cholesky, cholesky_solve, solve_lower};

/// Memory of one subproblem.
#[derive(Debug, Default)]
pub(crate) struct TrustScratch {
    factor: Vec<f64>,
    scaled: Vec<f64>,
    lower: Vec<f64>,
}

/// Solution of a subproblem; the step itself is written to the caller's array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Multiplier of the metric that was added to the matrix.
    pub(crate) lambda: f64,
    /// Length in the metric.
    pub(crate) norm: f64,
    /// Whether the length limit plays no role.
    pub(crate) interior: bool,
}

/// Relative width of the shell around the radius in which a step counts as solving the subproblem. A step need not
/// be exact: the radius is only an estimate of where the model can be trusted.
const SHELL: (f64, f64) = (0.75, 1.1);

/// Solves for a step by Newton's iteration on the secular equation, safeguarded by a bracket. Works for indefinite
/// matrices. `guess` is the previous multiplier.
pub(crate) fn solve_subproblem(
    matrix: &[f64],
    gradient: &[f64],
    metric: &[f64],
    radius: f64,
    guess: f64,
    step: &mut [f64],
    scratch: &mut TrustScratch,
) -> Step {
    let n = gradient.len();
    let TrustScratch { factor, scaled, lower } = scratch;
    factor.resize(n * n, 0.0);
    scaled.resize(n, 0.0);
    lower.resize(n, 0.0);
    // Largest curvature per unit of the metric: the natural unit of the multiplier.
    let top = (0..n).map(|i| (matrix[i * n + i] / metric[i]).abs()).fold(f64::MIN_POSITIVE, f64::max);
    // Multiplier that a matrix of zeros would need; the smallest one worth trying for a matrix that is not definite.
    let steepest = (0..n).map(|i| gradient[i] * gradient[i] / metric[i]).sum::<f64>().sqrt() / radius;
    let smallest = (1e-10 * top).max(1e-3 * steepest).max(f64::MIN_POSITIVE);
    let (mut low, mut high) = (0.0f64, f64::INFINITY);
    // Steps limited by the radius come in runs: the last multiplier often is good enough, and saves a factorisation.
    let (mut lambda, mut norm) = (guess, 0.0);
    let mut unconstrained = guess == 0.0;
    for _ in 0..60 {
        factor.copy_from_slice(matrix);
        for i in 0..n {
            factor[i * n + i] += lambda * metric[i];
        }
        if !cholesky(factor, n) {
            low = low.max(lambda);
            lambda = if high.is_finite() {
                0.5 * (low + high)
            } else if lambda == 0.0 {
                smallest
            } else {
                lambda * 10.0
            };
            continue;
        }
        for (d, g) in step.iter_mut().zip(gradient) {
            *d = -g;
        }
        cholesky_solve(factor, n, step);
        for i in 0..n {
            scaled[i] = metric[i] * step[i];
        }
        norm = scaled.iter().zip(step.iter()).map(|(s, d)| s * d).sum::<f64>().max(0.0).sqrt();
        if lambda == 0.0 && norm <= radius * SHELL.1 {
            return Step { lambda, norm, interior: true };
        }
        if (radius * SHELL.0..=radius * SHELL.1).contains(&norm) {
            break;
        }
        if norm < radius {
            high = lambda;
            if !unconstrained {
                unconstrained = true;
                if low == 0.0 {
                    lambda = 0.0;
                    continue;
                }
            }
            // Nothing but rounding keeps the matrix from being definite: the step is as good as unconstrained.
            if low == 0.0 && lambda <= 1e-9 * top {
                return Step { lambda, norm, interior: true };
            }
        } else {
            low = lambda;
        }
        if (high.is_finite() && high - low <= 1e-3 * high) || norm == 0.0 {
            break;
        }
        lower.copy_from_slice(scaled);
        solve_lower(factor, n, lower);
        let slope: f64 = lower.iter().map(|v| v * v).sum();
        let newton = lambda + norm * norm / slope * (norm - radius) / radius;
        lambda = if newton > low && newton < high {
            newton
        } else if high.is_finite() {
            (low.max(1e-3 * high) * high).sqrt()
        } else {
            4.0 * low.max(smallest)
        };
    }
    Step { lambda, norm, interior: false }
}
