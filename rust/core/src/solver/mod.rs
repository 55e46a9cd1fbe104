//! Local fits: bounded Levenberg-Marquardt in a trust region, then Newton steps with the exact Hessian.

mod lm;
mod status;
mod trust;

pub use lm::{Scratch, Settings, Solution, solve};
pub use status::Status;
