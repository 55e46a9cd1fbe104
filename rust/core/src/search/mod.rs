//! Searches over many local fits, and the point sets and random streams they draw on.

pub mod rng;
pub mod sobol;

mod basins;
mod bootstrap;
mod multistart;
mod profile;
mod resample;

pub use basins::{Basin, basins};
pub use bootstrap::{Refitted, StartRange, Starts, bootstrap};
pub use multistart::{Report, multistart, refits};
pub use profile::{End, Held, Limits, Line, Refit, Walk, walk};
pub use resample::{Factor, Replicate, Resampling, Scheme};
