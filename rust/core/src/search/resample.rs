//! Replicates of a problem's data: other row weights or other targets, never a copy of the rows.

use super::rng::Stream;
use crate::error::Error;
use crate::math;
use crate::objective::{PriorKind, Problem};

/// How a replicate differs from the data. Vectors have one entry per row and are measured where residuals are taken:
/// they are values or differences of `T(y)`.
#[derive(Clone, Debug, PartialEq)]
pub enum Scheme {
    /// Units are drawn with replacement, as many as there are.
    Pairs,
    /// Replicate `i` lacks unit `i`; nothing is random.
    LeaveOut,
    /// Each unit's noise is multiplied by one random number.
    Wild {
        /// The law.
        fitted: Vec<f64>,
        /// Residuals, corrected for the degrees of freedom that the fit took.
        noise: Vec<f64>,
        /// Distribution of the random number.
        factor: Factor,
    },
    /// Noise is drawn with replacement.
    Residual {
        /// The law.
        fitted: Vec<f64>,
        /// What is drawn from, in units of `scale`; of any length but zero.
        pool: Vec<f64>,
        /// Unit of each row's noise.
        scale: Vec<f64>,
    },
    /// Noise is normal.
    Parametric {
        /// The law.
        fitted: Vec<f64>,
        /// Standard deviation of each row's noise.
        scale: Vec<f64>,
    },
}

/// Distribution of the random factor of the wild bootstrap: mean zero, variance one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// Plus or minus one.
    Rademacher,
    /// Plus or minus the root of one half, one or three halves: for few clusters, where signs alone repeat themselves
    /// (Webb, "Reworking wild bootstrap-based inference for clustered errors", 2014).
    Webb,
}

impl Factor {
    fn draw(self, stream: &mut Stream) -> f64 {
        match self {
            Self::Rademacher => [-1.0, 1.0][stream.below(2) as usize],
            Self::Webb => {
                let size = [0.5_f64, 1.0, 1.5][stream.below(3) as usize].sqrt();
                size * [-1.0, 1.0][stream.below(2) as usize]
            }
        }
    }
}

/// A source of replicates, each a function of a seed and its number.
#[derive(Clone, Debug)]
pub struct Resampling {
    scheme: Scheme,
    base: Vec<f64>,
    /// Unit of each row. Rows of weight zero belong to the first one, where they do nothing.
    unit: Vec<u32>,
    units: usize,
    /// Priors whose centres are drawn; none if they stay where they are.
    beliefs: Vec<Belief>,
}

/// A prior as one more observation of its parameter.
#[derive(Clone, Copy, Debug)]
struct Belief {
    about: f64,
    width: f64,
    kind: PriorKind,
}

impl Belief {
    fn draw(self, stream: &mut Stream) -> f64 {
        let away = self.width * stream.normal();
        match self.kind {
            PriorKind::Normal => self.about + away,
            PriorKind::LogNormal => self.about * math::exp::<false>(away),
        }
    }
}

/// One replicate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replicate {
    /// Row weights, those of the problem included.
    pub weights: Vec<f64>,
    /// Targets as values of `T(y)`; empty if they are the problem's own.
    pub target: Vec<f64>,
    /// Centres of the problem's priors; empty if they are its own.
    pub centers: Vec<f64>,
    counts: Vec<u32>,
    factors: Vec<f64>,
}

impl Resampling {
    /// Prepares replicates of a problem's rows. The units that are drawn are the rows of positive weight, or the
    /// clusters with at least one such row, where `clusters` gives each row's.
    ///
    /// # Errors
    /// When a vector has the wrong length or a number in it is not finite.
    pub fn new(problem: &Problem, scheme: Scheme, clusters: Option<&[u32]>) -> Result<Self, Error> {
        let rows = problem.rows();
        let check = |values: &[f64], name: &str| match values.iter().position(|v| !v.is_finite()) {
            _ if values.len() != rows => Err(Error::Length { expected: rows, found: values.len() }),
            Some(row) => Err(Error::Option(format!("{name} of row {row} is {}", values[row]))),
            None => Ok(()),
        };
        match &scheme {
            Scheme::Pairs | Scheme::LeaveOut => {}
            Scheme::Wild { fitted, noise, .. } => check(fitted, "fitted value").and(check(noise, "noise"))?,
            Scheme::Parametric { fitted, scale } => check(fitted, "fitted value").and(check(scale, "noise"))?,
            Scheme::Residual { fitted, pool, scale } => {
                check(fitted, "fitted value").and(check(scale, "noise"))?;
                if pool.is_empty() || pool.iter().any(|v| !v.is_finite()) {
                    return Err(Error::Option("the residuals to draw from must be finite, and at least one".into()));
                }
            }
        }
        let base = problem.weights();
        let (unit, units) = match clusters {
            Some(codes) if codes.len() != rows => return Err(Error::Length { expected: rows, found: codes.len() }),
            Some(codes) => number_units(&base, |row| codes[row]),
            None => number_units(&base, |row| row as u32),
        };
        Ok(Self { scheme, base, unit, units, beliefs: Vec::new() })
    }

    /// Has every replicate draw the centres of the problem's priors, about these expanded parameters: where noise is
    /// made anew about the law, a prior that stays behind would pull every refit to itself once more.
    ///
    /// # Errors
    /// When the length is wrong, or a parameter is no centre for its prior.
    pub fn with_priors_about(mut self, problem: &Problem, parameters: &[f64]) -> Result<Self, Error> {
        if parameters.len() != problem.expanded() {
            return Err(Error::Length { expected: problem.expanded(), found: parameters.len() });
        }
        for prior in &problem.options().priors {
            let (about, kind) = (parameters[prior.index], prior.kind);
            if !about.is_finite() || (kind == PriorKind::LogNormal && about <= 0.0) {
                let name = problem.name(prior.index);
                return Err(Error::Option(format!("the prior on {name} cannot be drawn about {about}")));
            }
            self.beliefs.push(Belief { about, width: prior.width, kind });
        }
        Ok(self)
    }

    /// Number of units that are drawn or left out.
    pub fn units(&self) -> usize {
        self.units
    }

    /// Unit of each row.
    pub fn unit(&self) -> &[u32] {
        &self.unit
    }

    /// Whether replicates have weights of their own.
    pub fn is_weighted(&self) -> bool {
        matches!(self.scheme, Scheme::Pairs | Scheme::LeaveOut)
    }

    /// Writes replicate `index` of a seed to `out`.
    pub fn replicate(&self, seed: u64, index: u64, out: &mut Replicate) {
        let mut stream = Stream::new(seed, index);
        out.weights.clone_from(&self.base);
        out.target.clear();
        match &self.scheme {
            Scheme::Pairs => {
                out.counts.clear();
                out.counts.resize(self.units, 0);
                for _ in 0..self.units {
                    out.counts[stream.below(self.units as u64) as usize] += 1;
                }
                for (weight, &unit) in out.weights.iter_mut().zip(&self.unit) {
                    *weight *= f64::from(out.counts[unit as usize]);
                }
            }
            Scheme::LeaveOut => {
                for (weight, _) in out.weights.iter_mut().zip(&self.unit).filter(|(_, u)| u64::from(**u) == index) {
                    *weight = 0.0;
                }
            }
            Scheme::Wild { fitted, noise, factor } => {
                out.factors.clear();
                out.factors.extend((0..self.units).map(|_| factor.draw(&mut stream)));
                let rows = fitted.iter().zip(noise).zip(&self.unit);
                out.target.extend(rows.map(|((f, e), &unit)| f + out.factors[unit as usize] * e));
            }
            Scheme::Residual { fitted, pool, scale } => {
                let mut draw = || pool[stream.below(pool.len() as u64) as usize];
                out.target.extend(fitted.iter().zip(scale).map(|(f, s)| f + s * draw()));
            }
            Scheme::Parametric { fitted, scale } => {
                out.target.extend(fitted.iter().zip(scale).map(|(f, s)| f + s * stream.normal()));
            }
        }
        out.centers.clear();
        out.centers.extend(self.beliefs.iter().map(|belief| belief.draw(&mut stream)));
    }
}

/// Numbers the units that have a row of positive weight, in the order in which they appear.
fn number_units(weights: &[f64], code: impl Fn(usize) -> u32) -> (Vec<u32>, usize) {
    let mut numbers = std::collections::HashMap::new();
    let mut unit = vec![0; weights.len()];
    for row in (0..weights.len()).filter(|&row| weights[row] > 0.0) {
        let next = numbers.len() as u32;
        unit[row] = *numbers.entry(code(row)).or_insert(next);
    }
    (unit, numbers.len())
}
