//! Compile scaling-law formulas to vector kernels and fit them.

pub mod error;
pub mod formula;
pub mod graph;
pub mod law;
pub mod linalg;
pub mod math;
pub mod objective;
pub mod program;
pub mod search;
pub mod solver;

pub use error::Error;
pub use graph::ParamKind;
pub use law::{Law, Param, Quantity};
