//! What a fit may be asked for besides its law and its rows.

use super::{Loss, Residual};
use crate::error::Error;
use crate::graph::ParamKind;
use crate::law::Law;

/// Penalty on one expanded parameter, added to the objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Position of the parameter.
    pub index: usize,
    /// Shape.
    pub kind: PriorKind,
    /// Mean or median, in natural units.
    pub center: f64,
    /// Standard deviation of the parameter or of its logarithm.
    pub width: f64,
}

/// Shape of a [`Prior`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriorKind {
    /// `(theta - center)^2 / (2 width^2)`
    Normal,
    /// `(log theta - log center)^2 / (2 width^2)`
    LogNormal,
}

/// What to minimise.
#[derive(Clone, Debug)]
pub struct Options {
    /// Residual space.
    pub residual: Residual,
    /// Loss of a residual.
    pub loss: Loss,
    /// Weight of rows that lie above the law.
    pub above: f64,
    /// Value of each expanded parameter that is held fixed, not a number where it is free; empty if all are free.
    pub fixed: Vec<f64>,
    /// Penalties.
    pub priors: Vec<Prior>,
}

impl Default for Options {
    fn default() -> Self {
        Self { residual: Residual::Linear, loss: Loss::Squared, above: 1.0, fixed: Vec::new(), priors: Vec::new() }
    }
}

pub(super) fn check_options(law: &Law, slot: &[usize], options: &Options) -> Result<(), Error> {
    let expanded = slot.len();
    if options.fixed.len() != expanded {
        return Err(Error::Length { expected: expanded, found: options.fixed.len() });
    }
    for (i, value) in options.fixed.iter().enumerate() {
        let param = &law.params()[slot[i]];
        let inside = match param.kind {
            ParamKind::Real => value.is_finite(),
            ParamKind::Positive => *value >= 0.0 && value.is_finite(),
            ParamKind::Box(lo, hi) => (lo..=hi).contains(value),
        };
        if !value.is_nan() && !inside {
            return Err(Error::Option(format!("parameter {:?} is fixed at {value}, outside its domain", param.name)));
        }
    }
    if !(options.above > 0.0 && options.above.is_finite()) {
        return Err(Error::Option(format!("the weight of rows above the law must be positive, not {}", options.above)));
    }
    for prior in &options.priors {
        let valid = prior.index < expanded && prior.width > 0.0 && prior.width.is_finite() && prior.center.is_finite();
        if !valid || (prior.kind == PriorKind::LogNormal && prior.center <= 0.0) {
            return Err(Error::Option(format!("the prior on parameter {} is out of range", prior.index)));
        }
    }
    Ok(())
}
