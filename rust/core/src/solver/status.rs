//! How a local fit ended.

use std::fmt;

/// How a local fit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Stationary point inside the domain.
    Converged,
    /// Stationary point with at least one parameter at its bound.
    Bound,
    /// No step reduces the objective any more, yet the gradient is not at rounding level.
    Stalled,
    /// Iteration limit reached.
    IterationLimit,
    /// The objective has no finite value at the start.
    NonFiniteStart,
    /// Cancelled by the caller.
    Cancelled,
    /// Not solved, because other starts were better at the outset.
    Screened,
    /// Not solved, because the rows of positive weight do not determine all parameters.
    Undetermined,
}

impl Status {
    /// Whether the fit ended at a stationary point.
    pub fn was_successful(self) -> bool {
        matches!(self, Self::Converged | Self::Bound)
    }

    /// Status with a given name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Converged,
            Self::Bound,
            Self::Stalled,
            Self::IterationLimit,
            Self::NonFiniteStart,
            Self::Cancelled,
            Self::Screened,
            Self::Undetermined,
        ]
        .into_iter()
        .find(|status| status.name() == name)
    }

    /// Name as shown to users.
    pub fn name(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Bound => "bound",
            Self::Stalled => "stalled",
            Self::IterationLimit => "iteration limit",
            Self::NonFiniteStart => "non-finite start",
            Self::Cancelled => "cancelled",
            Self::Screened => "screened",
            Self::Undetermined => "undetermined",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
