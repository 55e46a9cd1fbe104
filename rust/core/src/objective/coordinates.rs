//! Parameters as users know them and as the solver moves them.

use super::problem::Problem;
use crate::graph::{NEARLY_ZERO, ParamKind};

impl Problem {
    /// Bounds of the free parameters in the solver's coordinates; `guard` bounds logarithms that have no other bound.
    pub fn solver_bounds(&self, scale: &[f64], guard: f64) -> Vec<(f64, f64)> {
        self.free
            .iter()
            .zip(scale)
            .map(|(&i, &s)| {
                let (lo, hi) = self.kind(i).bounds();
                if self.is_log(i) { (lo.ln().max(-guard), hi.ln().min(guard)) } else { (lo / s, hi / s) }
            })
            .collect()
    }

    /// Values of all expanded parameters as the solver measures them, from their natural ones: some coefficients are
    /// sizes in the middle of the data.
    pub fn centred(&self, theta: &[f64]) -> Vec<f64> {
        self.scaled(theta, 1.0)
    }

    fn scaled(&self, theta: &[f64], sign: f64) -> Vec<f64> {
        let mut out = theta.to_vec();
        // No coefficient stands in the exponent that centres another one: that exponent is linear in its parameters.
        for centre in &self.centres {
            let log_factor = centre.log_factor(|slot| theta[self.offsets[slot]]);
            out[self.offsets[centre.slot]] *= (sign * log_factor).exp();
        }
        out
    }

    /// Natural values of all expanded parameters as the free parameters' solver coordinates.
    pub fn to_solver(&self, theta: &[f64], scale: &[f64]) -> Vec<f64> {
        let theta = &self.centred(theta);
        let coordinate = |(&i, &s): (&usize, &f64)| if self.is_log(i) { theta[i].ln() } else { theta[i] / s };
        self.free.iter().zip(scale).map(coordinate).collect()
    }

    /// The free parameters' solver coordinates as natural values of all expanded parameters.
    pub fn to_natural(&self, x: &[f64], scale: &[f64]) -> Vec<f64> {
        let mut theta = self.options.fixed.clone();
        for (k, &i) in self.free.iter().enumerate() {
            let kind = self.kind(i);
            theta[i] = if self.is_log(i) { x[k].exp() } else { x[k] * scale[k] };
            // A logarithm at its bound comes back a rounding above it.
            if kind == ParamKind::Positive && theta[i] <= NEARLY_ZERO * (1.0 + 1e-9) {
                theta[i] = 0.0;
            }
            // Coordinates at a bound must come back as the bound itself.
            if let ParamKind::Box(lo, hi) = kind {
                let near =
                    |bound: f64| bound.is_finite() && (theta[i] - bound).abs() <= 4.0 * f64::EPSILON * bound.abs();
                if near(lo) {
                    theta[i] = lo;
                } else if near(hi) {
                    theta[i] = hi;
                }
            }
        }
        self.scaled(&theta, -1.0)
    }
}
