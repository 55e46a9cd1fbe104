//! One local fit.
//!
//! Levenberg-Marquardt with reweighted residuals brings a start into the neighbourhood of an optimum; there the exact
//! Hessian of the robust objective takes over, because reweighting alone crawls when most residuals lie outside the
//! quadratic zone. Both use the same trust region. Its metric measures a step by what it does to the law's exponents
//! (see [`Problem::metric`]), so that a term that is too weak to matter still moves by sensible amounts.
//!
//! Losses with a kink are smoothed to Huber's loss of a width that shrinks in stages towards zero.

use super::status::Status;
use super::trust::{TrustScratch, solve_subproblem};
use crate::graph::ParamKind;
use crate::objective::{Evaluation, Mode, Problem, Workspace};
use crate::program::Block;
use std::sync::atomic::{AtomicBool, Ordering};

/// Limits and the kind of start.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Largest number of steps tried.
    pub max_iterations: usize,
    /// Whether the start is close to an optimum, as in refits: Newton steps from the outset.
    pub warm: bool,
    /// Whether to follow a long valley to its end, in long steps and whatever it brings.
    pub patient: bool,
}

impl Settings {
    /// Limits that fit a problem: losses with a kink pass through a sequence of fits.
    pub fn of(problem: &Problem) -> Self {
        Self {
            max_iterations: if problem.options().loss.has_kink() { 12_000 } else { 1000 },
            warm: false,
            patient: false,
        }
    }
}

/// End of a local fit, in the solver's coordinates.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// Free parameters.
    pub x: Vec<f64>,
    /// Objective.
    pub objective: f64,
    /// How it ended.
    pub status: Status,
    /// Steps tried.
    pub iterations: usize,
    /// Passes over the data.
    pub evaluations: usize,
    /// Largest cosine between a column of the Jacobian and the weighted residuals: zero at a stationary point, and
    /// independent of all units.
    pub gradient: f64,
}

/// Memory of one thread's fits.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Memory of evaluations.
    pub workspace: Workspace,
    current: Evaluation,
    trial: Evaluation,
    saved: Evaluation,
    saved_x: Vec<f64>,
    metric: Vec<f64>,
    saved_metric: Vec<f64>,
    step: Vec<f64>,
    next: Vec<f64>,
    free: Vec<usize>,
    reduced: Reduced,
    trust: TrustScratch,
}

/// The part of the quadratic model that belongs to parameters not held at a bound.
#[derive(Debug, Default)]
struct Reduced {
    matrix: Vec<f64>,
    gradient: Vec<f64>,
    metric: Vec<f64>,
    step: Vec<f64>,
}

/// Radius of the first step: exponents may change by about this much.
const FIRST_RADIUS: f64 = 1.0;
/// Largest radius. Longer steps reach the optimum sooner, or a place where a term has vanished for good.
const MAX_RADIUS: f64 = 4.0;
/// The same in a valley that leads far away, where there is nothing left to lose.
const MAX_PATIENT_RADIUS: f64 = 1e3;
/// A step that overshoots is followed to this multiple of the objective, to see whether the next one makes good for it.
const OVERSHOOT: f64 = 10.0;
/// What a step achieves at most, as a multiple of what reweighted least squares predict: their model of an absolute
/// value promises half.
const PROMISE: f64 = 2.0;
/// Steps over which an impatient fit has to reduce the objective by the fraction [`PROGRESS`], or it has stalled.
const PATIENCE: usize = 50;
/// See [`PATIENCE`].
const PROGRESS: f64 = 1e-4;
/// Cosine from which a point is stationary to rounding and needs no further step.
const SHARP: f64 = 1e-9;
/// Cosine below which Newton steps are tried.
const NEWTON_GATE: f64 = 0.2;
/// Cosine below which a point counts as stationary.
const STATIONARY: f64 = 1e-6;
/// Guard on logarithmic coordinates: beyond it a quantity has run away to zero or infinity.
const LOG_GUARD: f64 = 690.0;
/// Square of a column over that of the residuals from which the column's term has vanished.
const VANISHED: f64 = 1e-24;
/// Widths of the smoothed kink, as fractions of the mean absolute residual.
const KINK_WIDTHS: [f64; 7] = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8];

/// Steps that an intermediate width may take.
const STAGE: usize = 300;

/// Fits from one start. `x` holds the free parameters in the solver's coordinates (see [`Problem::evaluate`]).
pub fn solve(
    problem: &Problem,
    start: &[f64],
    scale: &[f64],
    weights: Option<&[Block]>,
    settings: &Settings,
    cancel: &AtomicBool,
    scratch: &mut Scratch,
) -> Solution {
    let bounds: Vec<(f64, f64)> = problem.solver_bounds(scale, LOG_GUARD);
    let x = start.iter().zip(&bounds).map(|(x, (lo, hi))| x.clamp(*lo, *hi)).collect();
    let mut run = Run {
        problem,
        scale,
        weights,
        cancel,
        bounds,
        limit: settings.max_iterations,
        x,
        width: 0.0,
        mode: if settings.warm { Mode::Newton } else { Mode::Gauss },
        radius: FIRST_RADIUS,
        lambda: 0.0,
        gate: NEWTON_GATE,
        cosine: f64::NAN,
        iterations: 0,
        evaluations: 0,
        constant_metric: problem.metric_is_constant(),
        patient: settings.patient,
    };
    let status = if problem.options().loss.has_kink() {
        run.follow_kink(settings.warm, scratch)
    } else {
        run.begin(scratch).unwrap_or_else(|| run.descend(scratch))
    };
    if status == Status::NonFiniteStart {
        scratch.current.objective = f64::INFINITY;
    }
    Solution {
        objective: scratch.current.objective,
        status,
        iterations: run.iterations,
        evaluations: run.evaluations,
        gradient: run.cosine,
        x: run.x,
    }
}

struct Run<'a> {
    problem: &'a Problem,
    scale: &'a [f64],
    weights: Option<&'a [Block]>,
    cancel: &'a AtomicBool,
    bounds: Vec<(f64, f64)>,
    limit: usize,
    x: Vec<f64>,
    width: f64,
    mode: Mode,
    radius: f64,
    lambda: f64,
    gate: f64,
    cosine: f64,
    iterations: usize,
    evaluations: usize,
    constant_metric: bool,
    patient: bool,
}

impl Run<'_> {
    /// Evaluates the start; a status if it cannot be used.
    fn begin(&mut self, s: &mut Scratch) -> Option<Status> {
        self.evaluate_here(self.mode, s);
        if !usable(&s.current) {
            return Some(Status::NonFiniteStart);
        }
        self.problem.metric(self.scale, &mut s.workspace, &mut s.metric);
        if self.mode == Mode::Gauss {
            self.cosine = self.cosine_of(&s.current);
        }
        None
    }

    /// Least absolute deviations and quantiles: a sequence of Huber fits, each started from the one before.
    fn follow_kink(&mut self, warm: bool, s: &mut Scratch) -> Status {
        self.evaluate_here(Mode::Value, s);
        if !bounded(s.current.objective) {
            return Status::NonFiniteStart;
        }
        let mut status = Status::Stalled;
        // From a cold start the residuals say nothing about those at the optimum: the first width is loose.
        let skip = usize::from(warm);
        let limit = self.limit;
        for (stage, fraction) in [1.0].iter().chain(&KINK_WIDTHS).enumerate().skip(skip) {
            self.width = 0.0;
            self.evaluate_here(Mode::Value, s);
            let mean = s.current.objective / self.problem.total_weight(self.weights);
            if mean == 0.0 {
                return Status::Converged;
            }
            self.width = fraction * mean;
            self.mode = if stage == 0 { Mode::Gauss } else { Mode::Newton };
            self.gate = NEWTON_GATE;
            // A width that crawls is left unfinished: the next one starts from where it came.
            let last = *fraction == KINK_WIDTHS[KINK_WIDTHS.len() - 1];
            self.limit = if last { limit } else { limit.min(self.iterations + STAGE) };
            if let Some(status) = self.begin(s) {
                return status;
            }
            status = self.descend(s);
            if status == Status::Cancelled || self.iterations >= limit {
                break;
            }
            self.radius = self.radius.max(1e-3);
        }
        self.width = 0.0;
        self.evaluate_here(Mode::Value, s);
        status
    }

    fn evaluate_here(&mut self, mode: Mode, s: &mut Scratch) {
        self.evaluations += 1;
        let Scratch { workspace, current, .. } = s;
        self.problem.evaluate(&self.x, self.scale, mode, self.width, self.weights, workspace, current);
    }

    /// Moves to the trial point.
    fn accept(&mut self, s: &mut Scratch) {
        std::mem::swap(&mut s.current, &mut s.trial);
        std::mem::swap(&mut self.x, &mut s.next);
        if !self.constant_metric {
            self.problem.metric(self.scale, &mut s.workspace, &mut s.metric);
        }
    }

    /// Moves to the trial point although it is worse; [`Run::back`] returns.
    fn overshoot(&mut self, s: &mut Scratch) {
        s.saved.clone_from(&s.current);
        s.saved_x.clone_from(&self.x);
        s.saved_metric.clone_from(&s.metric);
        self.accept(s);
    }

    /// Returns from an overshoot, with a smaller radius.
    fn back(&mut self, s: &mut Scratch, norm: f64) {
        std::mem::swap(&mut s.current, &mut s.saved);
        std::mem::swap(&mut self.x, &mut s.saved_x);
        std::mem::swap(&mut s.metric, &mut s.saved_metric);
        self.radius = 0.25 * norm;
        self.lambda = 0.0;
    }

    fn descend(&mut self, s: &mut Scratch) -> Status {
        let (mut failures, mut flat) = (0, 0);
        // Length of the step that overshot, while it is followed.
        let mut overshot: Option<f64> = None;
        let mut mark = (self.iterations, s.current.objective);
        loop {
            if let (true, Some(norm)) = (self.iterations >= self.limit, overshot) {
                self.back(s, norm);
            }
            if self.cancel.load(Ordering::Relaxed) {
                return Status::Cancelled;
            }
            if self.iterations >= self.limit {
                return Status::IterationLimit;
            }
            self.iterations += 1;
            // A smoothed kink is followed by ever smaller changes of the objective, and has limits of its own.
            let tired = !self.patient && self.width == 0.0 && self.iterations > mark.0 + PATIENCE;
            if tired && overshot.is_none() {
                if mark.1 - s.current.objective <= PROGRESS * s.current.objective.abs() {
                    return self.finish(s);
                }
                mark = (self.iterations, s.current.objective);
            }
            let step = self.propose(s);
            if let Some(norm) = overshot {
                // The curved valley of a scaling law: where the step led out of it, the next one leads back, further down.
                overshot = None;
                let hopeful =
                    step.is_some_and(|(predicted, ..)| s.current.objective - PROMISE * predicted < s.saved.objective);
                if hopeful {
                    self.try_next(self.mode, s);
                    if usable(&s.trial) && s.trial.objective < s.saved.objective {
                        self.accept(s);
                        self.cosine = self.cosine_of(&s.current);
                        self.radius = norm;
                        failures = 0;
                        continue;
                    }
                }
                self.back(s, norm);
                continue;
            }
            let Some((predicted, norm, interior)) = step else { return self.finish(s) };
            let size = s.current.objective.abs();
            // Below this the objective is rounding noise and only the step's own prediction tells how near we are.
            let near = predicted <= 1e-12 * size;
            // The last step of all: the cosine at its end tells, and needs the matrix of reweighted least squares.
            let last = near && interior && self.mode == Mode::Newton;
            self.try_next(if last { Mode::Gauss } else { self.mode }, s);
            let actual = s.current.objective - s.trial.objective;
            let good = usable(&s.trial) && (actual > 0.0 || (near && actual >= -1e-12 * size));
            if good {
                failures = 0;
                self.accept(s);
                if self.mode == Mode::Gauss || last {
                    self.cosine = self.cosine_of(&s.current);
                    if self.cosine < 1e-12 {
                        return self.verdict(s);
                    }
                }
                if last {
                    flat += 1;
                    // A term that has vanished also has a vanishing gradient: only the cosine can tell.
                    let still = predicted <= 1e-17 * size || actual <= 0.0;
                    if self.cosine < SHARP || (still && self.cosine < STATIONARY) || flat > 3 {
                        return self.verdict(s);
                    }
                    if still {
                        self.leave_newton();
                    } else {
                        self.evaluate_here(Mode::Newton, s);
                    }
                    continue;
                }
                if near && self.mode == Mode::Gauss {
                    if self.drop_vanished(s) {
                        flat = 0;
                        continue;
                    }
                    flat += 1;
                    if flat > 60 {
                        return self.finish(s);
                    }
                }
                let gain = actual / predicted;
                if near || (gain > 0.75 && !interior) {
                    self.radius = (self.radius * 2.0).min(if self.patient { MAX_PATIENT_RADIUS } else { MAX_RADIUS });
                } else if gain < 0.25 {
                    self.radius = 0.5 * norm;
                }
                if self.mode == Mode::Gauss && interior && self.cosine < self.gate {
                    self.mode = Mode::Newton;
                    self.evaluate_here(Mode::Newton, s);
                }
            } else if self.mode == Mode::Gauss
                && !near
                && usable(&s.trial)
                && s.trial.objective < OVERSHOOT * s.current.objective
            {
                self.overshoot(s);
                self.radius = 0.5 * norm;
                overshot = Some(norm);
            } else {
                failures += 1;
                self.radius = norm * if s.trial.objective.is_finite() { 0.25 } else { 0.1 };
                if self.mode == Mode::Newton && failures >= 2 {
                    self.evaluate_here(Mode::Gauss, s);
                    self.cosine = self.cosine_of(&s.current);
                    if near {
                        return self.verdict(s);
                    }
                    self.leave_newton();
                    failures = 0;
                } else if self.radius < 1e-14 || (near && failures > 3) {
                    return self.finish(s);
                }
            }
        }
    }

    /// Evaluates the proposed point.
    fn try_next(&mut self, mode: Mode, s: &mut Scratch) {
        let Scratch { workspace, trial, next, .. } = s;
        self.problem.evaluate(next, self.scale, mode, self.width, self.weights, workspace, trial);
        self.evaluations += 1;
    }

    /// Back to reweighting, until the cosine is clearly smaller than where Newton steps failed.
    fn leave_newton(&mut self) {
        self.mode = Mode::Gauss;
        self.gate = 0.3 * self.cosine;
        self.lambda = 0.0;
    }

    /// Solves the model on the parameters that may move and writes the next point, inside the bounds. Returns the
    /// predicted decrease, the step's length and whether the trust region was inactive; `None` if nothing can move.
    ///
    /// A step that would leave the domain is shortened to end on the first bound it meets, not clipped: parameters
    /// compensate each other, and moving only some of them would change the law beyond recognition.
    fn propose(&mut self, s: &mut Scratch) -> Option<(f64, f64, bool)> {
        let n = self.x.len();
        let Scratch { current, metric, step, next, free, reduced, trust, .. } = s;
        free.clear();
        free.extend((0..n).filter(|&i| !self.held(i, current.gradient[i])));
        let solution = loop {
            if free.is_empty() {
                return None;
            }
            let m = free.len();
            reduced.step.resize(m, 0.0);
            let solution = if m == n {
                let (matrix, gradient) = (&current.matrix, &current.gradient);
                solve_subproblem(matrix, gradient, metric, self.radius, self.lambda, &mut reduced.step, trust)
            } else {
                reduced.gradient.clear();
                reduced.gradient.extend(free.iter().map(|&i| current.gradient[i]));
                reduced.metric.clear();
                reduced.metric.extend(free.iter().map(|&i| metric[i]));
                reduced.matrix.clear();
                let matrix = &current.matrix;
                reduced.matrix.extend(free.iter().flat_map(|&i| free.iter().map(move |&j| matrix[i * n + j])));
                let (g, step) = (&reduced.gradient, &mut reduced.step);
                solve_subproblem(&reduced.matrix, g, &reduced.metric, self.radius, self.lambda, step, trust)
            };
            // Coupling may push a parameter out of the domain although its own gradient points inside.
            let outward = (0..m).find(|&k| self.held(free[k], -reduced.step[k]));
            match outward {
                Some(k) => free.remove(k),
                None => break solution,
            };
        };
        self.lambda = solution.lambda;
        let (mut fraction, mut blocking) = (1.0, None);
        for (k, &i) in free.iter().enumerate() {
            let (lo, hi) = self.bounds[i];
            let room = if reduced.step[k] < 0.0 { lo - self.x[i] } else { hi - self.x[i] };
            if reduced.step[k].abs() * fraction > room.abs() {
                fraction = room / reduced.step[k];
                blocking = Some((i, if reduced.step[k] < 0.0 { lo } else { hi }));
            }
        }
        next.clone_from(&self.x);
        step.clear();
        step.resize(n, 0.0);
        for (k, &i) in free.iter().enumerate() {
            next[i] += fraction * reduced.step[k];
        }
        if let Some((i, bound)) = blocking {
            next[i] = bound;
        }
        for (k, &i) in free.iter().enumerate() {
            let (lo, hi) = self.bounds[i];
            next[i] = next[i].clamp(lo, hi);
            step[i] = if blocking.is_some() { next[i] - self.x[i] } else { reduced.step[k] };
        }
        let mut predicted = 0.0;
        for i in 0..n {
            let curved: f64 = (0..n).map(|j| current.matrix[i * n + j] * step[j]).sum();
            predicted -= step[i] * (current.gradient[i] + 0.5 * curved);
        }
        Some((predicted, fraction * solution.norm, solution.interior && blocking.is_none()))
    }

    /// Whether parameter `i` is at a bound that a positive `slope` of the objective pushes it against.
    fn held(&self, i: usize, slope: f64) -> bool {
        let (lo, hi) = self.bounds[i];
        (self.x[i] <= lo && slope >= 0.0) || (self.x[i] >= hi && slope <= 0.0)
    }

    /// Status at a point from which no further progress is made.
    fn finish(&mut self, s: &mut Scratch) -> Status {
        if self.mode == Mode::Newton {
            self.evaluate_here(Mode::Gauss, s);
        }
        self.cosine = self.cosine_of(&s.current);
        self.verdict(s)
    }

    /// Puts parameters on zero that are on their way there and whose terms have vanished: the size of their columns is
    /// rounding beside the residuals, while the direction of the columns, and so the cosine, stays as it was.
    /// The matrix must be that of [`Mode::Gauss`].
    fn drop_vanished(&mut self, s: &mut Scratch) -> bool {
        let n = self.x.len();
        let residuals = 2.0 * s.current.objective.abs();
        let gone = |i: usize| {
            let index = self.problem.free()[i];
            self.problem.is_log(index)
                && self.problem.kind(index) == ParamKind::Positive
                && self.x[i] > self.bounds[i].0
                && s.current.gradient[i] > 0.0
                && s.current.matrix[i * n + i] <= VANISHED * residuals
        };
        let dropped: Vec<usize> = (0..n).filter(|&i| gone(i)).collect();
        for &i in &dropped {
            self.x[i] = self.bounds[i].0;
        }
        if dropped.is_empty() {
            return false;
        }
        self.evaluate_here(Mode::Gauss, s);
        if !self.constant_metric {
            self.problem.metric(self.scale, &mut s.workspace, &mut s.metric);
        }
        true
    }

    /// The same where the cosine is known, and the matrix is that of [`Mode::Gauss`].
    fn verdict(&mut self, s: &mut Scratch) -> Status {
        if self.cosine >= STATIONARY && self.drop_vanished(s) {
            self.cosine = self.cosine_of(&s.current);
        }
        let at_bound = |i: usize| self.x[i] <= self.bounds[i].0 || self.x[i] >= self.bounds[i].1;
        // Residuals near rounding have no direction of their own to measure a cosine against.
        let noise = self.problem.rounding_objective() / s.current.objective.abs();
        let noise = if self.problem.options().loss.has_kink() { noise } else { noise.sqrt() };
        if self.cosine < STATIONARY.max(noise) || s.current.objective == 0.0 {
            if (0..self.x.len()).any(at_bound) { Status::Bound } else { Status::Converged }
        } else {
            Status::Stalled
        }
    }

    /// Largest cosine between a Jacobian column and the residuals, both weighted, over parameters free to move.
    /// The matrix must be that of [`Mode::Gauss`].
    fn cosine_of(&self, e: &Evaluation) -> f64 {
        let n = self.x.len();
        let mut largest = 0.0f64;
        for i in 0..n {
            let g = e.gradient[i];
            if self.held(i, g) {
                continue;
            }
            let cosine = g.abs() / (e.matrix[i * n + i] * 2.0 * e.objective.abs()).sqrt();
            // A column that has underflowed to zero has no direction.
            if cosine.is_finite() {
                largest = largest.max(cosine);
            }
        }
        largest
    }
}

/// Size from which a number stands for infinity: in the logarithmic form of a law the logarithm of zero is the finite
/// number `LOG_ZERO`, and a negative power of an input that is zero becomes as large.
const UNBOUNDED: f64 = 1e130;

fn bounded(x: f64) -> bool {
    x.abs() < UNBOUNDED
}

fn usable(e: &Evaluation) -> bool {
    bounded(e.objective) && e.gradient.iter().all(|g| bounded(*g)) && e.matrix.iter().all(|m| m.is_finite())
}
