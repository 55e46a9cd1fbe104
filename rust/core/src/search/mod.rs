//! Searches.
pub mod rng;
pub mod sobol;
