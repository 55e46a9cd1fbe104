//! What a fit minimises: `sum_i w_i rho(T(y_i) - T(f(x_i))) + penalties`, over the compiled programs of a law.

mod accumulate;
mod centre;
mod compile;
mod coordinates;
mod data;
mod evaluate;
mod loss;
mod metric;
mod options;
mod problem;

pub(crate) use compile::DataLeaves;
pub use data::{Data, View};
pub use evaluate::{Evaluation, Mode, Workspace};
pub use loss::{Kernel, Local, Loss, LossError, Shape};
pub use options::{Options, Prior, PriorKind};
pub use problem::Problem;

/// Space in which residuals are taken: `T` of the objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Residual {
    /// `y - f`
    Linear,
    /// `log y - log f`
    Log,
}
