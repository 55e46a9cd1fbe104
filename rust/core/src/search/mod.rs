//! Searches over many local fits, and the point sets and random streams they draw on.

pub mod rng;
pub mod sobol;

mod basins;
mod multistart;

pub use basins::{Basin, basins};
pub use multistart::{Report, multistart, refits};
