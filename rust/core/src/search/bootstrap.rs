//! Refits of resampled data, each from several starts.

use super::multistart::{Report, check_starts, collect, scales, settings, unsolved};
use super::resample::{Replicate, Resampling};
use super::sobol::Sobol;
use crate::error::Error;
use crate::math;
use crate::objective::Problem;
use crate::run::Control;
use crate::solver::{Scratch, Settings, Solution, Status, solve};
use rayon::prelude::*;
use std::ops::Range;
use std::time::Instant;

/// Where the refits of a replicate begin. Vectors of parameters are expanded ones in natural units, row-major.
#[derive(Clone, Debug, Default)]
pub struct Starts {
    /// Optima of the original data, the best first; at least one.
    pub warm: Vec<f64>,
    /// Starts that are no optima, the same for every replicate.
    pub cold: Vec<f64>,
    /// Number of starts that every replicate draws for itself.
    pub fresh: usize,
    /// What they are drawn from, for each free parameter; empty if `fresh` is zero.
    pub ranges: Vec<StartRange>,
}

/// Range of a parameter's starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartRange {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Whether logarithms are spread evenly, and not values.
    pub log: bool,
}

/// Refits of replicates, one row each.
#[derive(Clone, Debug, Default)]
pub struct Refitted {
    /// The best fit of each replicate; counts are those of all its fits together. Parameters of replicates that were
    /// not solved are not numbers.
    pub report: Report,
    /// Which start led to it: warm ones first, then cold ones, then fresh ones.
    pub start: Vec<usize>,
}

/// Objectives closer than this, relatively, are of one optimum: an earlier start wins.
const SAME: f64 = 1e-9;

/// Refits the replicates of these numbers, each from all starts. The result of a replicate depends on the seed and its
/// number and on nothing else: neither on the other replicates nor on the number of threads.
///
/// # Errors
/// When a shape is wrong or a start lies outside its domain.
pub fn bootstrap(
    problem: &Problem,
    resampling: &Resampling,
    starts: &Starts,
    seed: u64,
    draws: Range<u64>,
    max_iterations: Option<usize>,
    control: &Control,
) -> Result<Refitted, Error> {
    let clock = Instant::now();
    let warm = check_starts(problem, &starts.warm)?;
    let cold = if starts.cold.is_empty() { Vec::new() } else { check_starts(problem, &starts.cold)? };
    if starts.fresh > 0 && starts.ranges.len() != problem.free().len() {
        return Err(Error::Length { expected: problem.free().len(), found: starts.ranges.len() });
    }
    // Of the best fit alone, so that more starts change no step of those there are and can only lower an objective.
    let scale = scales(problem, &warm[..1]);
    let coordinates =
        |rows: &[&[f64]]| rows.iter().map(|row| problem.to_solver(row, &scale)).collect::<Vec<Vec<f64>>>();
    let refit = Refit {
        problem,
        resampling,
        warm: coordinates(&warm),
        cold: coordinates(&cold),
        fresh: starts.fresh as u64,
        ranges: &starts.ranges,
        sobol: Sobol::new(if starts.fresh > 0 { problem.free().len() } else { 0 }, seed),
        scale: &scale,
        near: settings(problem, max_iterations, true),
        far: settings(problem, max_iterations, false),
        seed,
        control,
    };
    control.begin(usize::try_from(draws.end.saturating_sub(draws.start)).unwrap_or(usize::MAX));
    let ends: Result<Vec<(Solution, usize)>, Error> = draws
        .into_par_iter()
        .map_init(Memory::default, |memory, index| {
            let end = refit.draw(index, memory);
            control.advance();
            end
        })
        .collect();
    let (solutions, start): (Vec<Solution>, Vec<usize>) = ends?.into_iter().unzip();
    Ok(Refitted { report: collect(problem, &solutions, &scale, clock), start })
}

/// Memory of one thread.
#[derive(Default)]
struct Memory {
    scratch: Scratch,
    replicate: Replicate,
}

/// What all replicates have in common.
struct Refit<'a> {
    problem: &'a Problem,
    resampling: &'a Resampling,
    warm: Vec<Vec<f64>>,
    cold: Vec<Vec<f64>>,
    fresh: u64,
    ranges: &'a [StartRange],
    sobol: Sobol,
    scale: &'a [f64],
    near: Settings,
    far: Settings,
    seed: u64,
    control: &'a Control,
}

impl Refit<'_> {
    fn draw(&self, index: u64, memory: &mut Memory) -> Result<(Solution, usize), Error> {
        let Memory { scratch, replicate } = memory;
        let nothing = |status| {
            let missing = vec![f64::NAN; self.problem.free().len()];
            Ok((unsolved(&missing, f64::INFINITY, status), 0))
        };
        if self.control.is_cancelled() {
            return nothing(Status::Cancelled);
        }
        self.resampling.replicate(self.seed, index, replicate);
        if !self.problem.is_determined(&replicate.weights) {
            return nothing(Status::Undetermined);
        }
        let weighted = self.resampling.is_weighted();
        let weights = weighted.then(|| self.problem.pack_weights(&replicate.weights)).transpose()?;
        let target = (!weighted).then(|| self.problem.pack_target(&replicate.target)).transpose()?;
        scratch.workspace.set_target(target);
        scratch.workspace.set_centers(&replicate.centers);
        let mut best: Option<(Solution, usize)> = None;
        let (mut iterations, mut evaluations, mut cancelled) = (0, 0, false);
        let mut run = |x: &[f64], settings: &Settings, number: usize, best: &mut Option<(Solution, usize)>| {
            let cancel = self.control.cancel();
            let end = solve(self.problem, x, self.scale, weights.as_deref(), settings, cancel, scratch);
            iterations += end.iterations;
            evaluations += end.evaluations;
            cancelled |= end.status == Status::Cancelled;
            if best.as_ref().is_none_or(|(old, _)| is_better(&end, old)) {
                *best = Some((end, number));
            }
        };
        for (number, x) in self.warm.iter().enumerate() {
            run(x, &self.near, number, &mut best);
            if number == 0 && best.as_ref().is_none_or(|(end, _)| !end.status.was_successful()) {
                // The optimum has moved too far for Newton steps from the outset.
                run(x, &self.far, number, &mut best);
            }
        }
        let mut number = self.warm.len();
        for x in &self.cold {
            run(x, &self.far, number, &mut best);
            number += 1;
        }
        for point in 0..self.fresh {
            run(&self.fresh_start(index * self.fresh + point), &self.far, number, &mut best);
            number += 1;
        }
        if let Some((end, number)) = best.clone().filter(|(end, _)| end.status == Status::Stalled) {
            // A cold fit gives up in a long valley; the best one is followed to the end, as after a search.
            run(&end.x, &Settings { patient: true, ..self.far }, number, &mut best);
        }
        match best {
            Some((end, number)) if !cancelled => Ok((Solution { iterations, evaluations, ..end }, number)),
            _ => nothing(Status::Cancelled),
        }
    }

    /// Point of the scrambled Sobol sequence that all replicates share, as solver coordinates.
    fn fresh_start(&self, number: u64) -> Vec<f64> {
        let mut point = vec![0.0; self.ranges.len()];
        self.sobol.point(number, &mut point);
        let mut theta = self.problem.options().fixed.clone();
        for ((&i, range), u) in self.problem.free().iter().zip(self.ranges).zip(point) {
            let between = |low: f64, high: f64| low + u * (high - low);
            let value = if range.log {
                math::exp::<false>(between(math::log::<false>(range.low), math::log::<false>(range.high)))
            } else {
                between(range.low, range.high)
            };
            theta[i] = value.clamp(range.low, range.high);
        }
        self.problem.to_solver(&theta, self.scale)
    }
}

/// Whether a fit takes the place of an earlier one: it is lower, or as low and has converged where the other has not.
fn is_better(new: &Solution, old: &Solution) -> bool {
    if !new.objective.is_finite() || !old.objective.is_finite() {
        return new.objective.is_finite();
    }
    let tolerance = SAME * old.objective.abs();
    new.objective < old.objective - tolerance
        || (new.objective <= old.objective + tolerance && new.status.was_successful() && !old.status.was_successful())
}
