//! Many local fits of one problem: from many starts, or from one start with many sets of row weights.

use crate::error::Error;
use crate::graph::ParamKind;
use crate::objective::{Evaluation, Mode, Problem};
use crate::run::Control;
use crate::solver::{Scratch, Settings, Solution, Status, solve};
use rayon::prelude::*;
use std::time::Instant;

/// Fits of a search that are followed to the end of a long valley: the best ones. More than this many are not worth
/// the time, because one of them decides.
const FINALISTS: usize = 16;

/// Outcome of many local fits, one row each, in the order of the starts.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Expanded parameters in natural units, row-major.
    pub theta: Vec<f64>,
    /// Objectives.
    pub objective: Vec<f64>,
    /// How each fit ended.
    pub status: Vec<Status>,
    /// Steps tried.
    pub iterations: Vec<usize>,
    /// Passes over the data.
    pub evaluations: Vec<usize>,
    /// Largest cosine between a Jacobian column and the residuals.
    pub gradient: Vec<f64>,
    /// Wall time.
    pub seconds: f64,
}

impl Report {
    /// Row with the smallest objective among those that were solved.
    pub fn best(&self) -> Option<usize> {
        (0..self.objective.len())
            .filter(|&i| self.objective[i].is_finite() && self.status[i] != Status::Screened)
            .min_by(|&a, &b| self.objective[a].total_cmp(&self.objective[b]))
    }

    fn push(&mut self, theta: &[f64], solution: &Solution) {
        self.theta.extend_from_slice(theta);
        self.objective.push(solution.objective);
        self.status.push(solution.status);
        self.iterations.push(solution.iterations);
        self.evaluations.push(solution.evaluations);
        self.gradient.push(solution.gradient);
    }
}

/// Fits `problem` from every row of `starts` (natural values of all expanded parameters, row-major). With `screen`,
/// only that many starts with the lowest objective are solved. Runs on the current rayon pool; the result does not
/// depend on its size.
///
/// # Errors
/// When the shape is wrong or a start lies outside its domain.
pub fn multistart(
    problem: &Problem,
    starts: &[f64],
    screen: Option<usize>,
    max_iterations: Option<usize>,
    control: &Control,
) -> Result<Report, Error> {
    let clock = Instant::now();
    let rows = check_starts(problem, starts)?;
    let scale = scales(problem, &rows);
    let coordinates: Vec<Vec<f64>> = rows.iter().map(|row| problem.to_solver(row, &scale)).collect();
    let mut chosen: Vec<bool> = vec![true; rows.len()];
    let mut first = vec![f64::INFINITY; rows.len()];
    if let Some(keep) = screen.filter(|&keep| keep < rows.len()) {
        first = coordinates
            .par_iter()
            .map_init(Scratch::default, |scratch, x| {
                let mut out = Evaluation::default();
                if control.is_cancelled() {
                    return f64::INFINITY;
                }
                problem.evaluate(x, &scale, Mode::Value, 0.0, None, &mut scratch.workspace, &mut out);
                if out.objective.is_nan() { f64::INFINITY } else { out.objective }
            })
            .collect();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|&a, &b| first[a].total_cmp(&first[b]).then(a.cmp(&b)));
        for &i in &order[keep.max(1)..] {
            chosen[i] = false;
        }
    }
    control.begin(chosen.iter().filter(|c| **c).count());
    let settings = settings(problem, max_iterations, false);
    let mut solutions: Vec<Solution> = coordinates
        .par_iter()
        .enumerate()
        .map_init(Scratch::default, |scratch, (i, x)| {
            if !chosen[i] {
                return unsolved(x, first[i], Status::Screened);
            }
            if control.is_cancelled() {
                return unsolved(x, f64::INFINITY, Status::Cancelled);
            }
            let solution = solve(problem, x, &scale, None, &settings, control.cancel(), scratch);
            control.advance();
            solution
        })
        .collect();
    go_on(problem, &scale, &settings, control, &mut solutions);
    Ok(collect(problem, &solutions, &scale, clock))
}

/// Takes the best of the fits that were given up in a long valley to its end.
fn go_on(problem: &Problem, scale: &[f64], settings: &Settings, control: &Control, solutions: &mut [Solution]) {
    let mut order: Vec<usize> = (0..solutions.len()).filter(|&i| solutions[i].objective.is_finite()).collect();
    order.sort_by(|&a, &b| solutions[a].objective.total_cmp(&solutions[b].objective).then(a.cmp(&b)));
    order.truncate(FINALISTS);
    order.retain(|&i| solutions[i].status == Status::Stalled && solutions[i].iterations < settings.max_iterations);
    let ends: Vec<Solution> = order
        .par_iter()
        .map_init(Scratch::default, |scratch, &i| {
            let first = &solutions[i];
            let max_iterations = settings.max_iterations - first.iterations;
            let settings = Settings { patient: true, max_iterations, ..*settings };
            let mut end = solve(problem, &first.x, scale, None, &settings, control.cancel(), scratch);
            end.iterations += first.iterations;
            end.evaluations += first.evaluations;
            end
        })
        .collect();
    for (i, end) in order.into_iter().zip(ends) {
        if end.objective <= solutions[i].objective {
            solutions[i] = end;
        }
    }
}

/// Refits `problem` once for every row of `weights` (row-major), from the only row of `starts` or the row of the same
/// number. The starts are taken to be close to the optima.
///
/// # Errors
/// When a shape is wrong, a start lies outside its domain or weights cannot be used.
pub fn refits(
    problem: &Problem,
    starts: &[f64],
    weights: &[f64],
    max_iterations: Option<usize>,
    control: &Control,
) -> Result<Report, Error> {
    let clock = Instant::now();
    let rows = check_starts(problem, starts)?;
    let n = problem.rows();
    if weights.is_empty() || !weights.len().is_multiple_of(n) {
        return Err(Error::Length { expected: n, found: weights.len() });
    }
    let draws = weights.len() / n;
    if rows.len() != 1 && rows.len() != draws {
        return Err(Error::Option(format!("{} starts do not fit {draws} sets of weights", rows.len())));
    }
    let scale = scales(problem, &rows);
    let coordinates: Vec<Vec<f64>> = rows.iter().map(|row| problem.to_solver(row, &scale)).collect();
    control.begin(draws);
    let settings = settings(problem, max_iterations, true);
    let solutions: Result<Vec<Solution>, Error> = weights
        .par_chunks(n)
        .enumerate()
        .map_init(Scratch::default, |scratch, (i, weights)| {
            let start = &coordinates[if coordinates.len() == 1 { 0 } else { i }];
            if control.is_cancelled() {
                return Ok(unsolved(start, f64::INFINITY, Status::Cancelled));
            }
            let packed = problem.pack_weights(weights)?;
            let solution = solve(problem, start, &scale, Some(&packed), &settings, control.cancel(), scratch);
            control.advance();
            Ok(solution)
        })
        .collect();
    Ok(collect(problem, &solutions?, &scale, clock))
}

/// Row of a report for a fit that was not run.
pub(super) fn unsolved(x: &[f64], objective: f64, status: Status) -> Solution {
    Solution { x: x.to_vec(), objective, status, iterations: 0, evaluations: 0, gradient: f64::NAN }
}

pub(super) fn settings(problem: &Problem, max_iterations: Option<usize>, warm: bool) -> Settings {
    let default = Settings::of(problem);
    Settings { max_iterations: max_iterations.unwrap_or(default.max_iterations), warm, patient: warm }
}

pub(super) fn collect(problem: &Problem, solutions: &[Solution], scale: &[f64], clock: Instant) -> Report {
    let mut report = Report::default();
    for solution in solutions {
        report.push(&problem.to_natural(&solution.x, scale), solution);
    }
    report.seconds = clock.elapsed().as_secs_f64();
    report
}

/// Unit of each free parameter that is not moved on its logarithm: the largest of its starts, in size.
pub(super) fn scales(problem: &Problem, starts: &[&[f64]]) -> Vec<f64> {
    let mut largest = vec![0.0f64; problem.free().len()];
    for start in starts {
        let start = problem.centred(start);
        for (largest, &i) in largest.iter_mut().zip(problem.free()) {
            *largest = largest.max(start[i].abs());
        }
    }
    largest.iter_mut().filter(|unit| !(**unit > 0.0 && unit.is_finite())).for_each(|unit| *unit = 1.0);
    largest
}

pub(super) fn check_starts<'a>(problem: &Problem, starts: &'a [f64]) -> Result<Vec<&'a [f64]>, Error> {
    let k = problem.expanded();
    if starts.is_empty() || !starts.len().is_multiple_of(k) {
        return Err(Error::Length { expected: k, found: starts.len() });
    }
    if problem.free().is_empty() {
        return Err(Error::Option("every parameter is fixed: there is nothing to fit".into()));
    }
    let rows: Vec<&[f64]> = starts.chunks(k).collect();
    for (number, row) in rows.iter().enumerate() {
        for &i in problem.free() {
            let value = row[i];
            let inside = match problem.kind(i) {
                ParamKind::Real => value.is_finite(),
                ParamKind::Positive => value.is_finite() && value >= 0.0,
                ParamKind::Box(lo, hi) => (lo..=hi).contains(&value) && value.is_finite(),
            };
            if !inside {
                let name = problem.name(i);
                return Err(Error::Option(format!("start {number}: {name} = {value} lies outside its domain")));
            }
        }
    }
    Ok(rows)
}
