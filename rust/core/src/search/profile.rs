//! Profiles: how far the lowest objective rises as parameters are held along a line.
//!
//! A walk starts at the optimum and doubles its step until the statistic `2 (F - F_min) / kappa` has passed a
//! threshold; then it closes in on the crossing. Every point is a refit of all other parameters from the nearest
//! refits that are already there.

use super::multistart::{scales, settings};
use crate::error::Error;
use crate::objective::Problem;
use crate::run::Control;
use crate::solver::{Scratch, Settings, Solution, Status, solve};

/// Logarithm beyond which positive parameters are not followed: powers leave the range of numbers.
const FAR: f64 = 644.0;
/// Doublings of the first step at most: 2^60 standard errors.
const DOUBLINGS: usize = 60;
/// Increase of the root of the statistic, as a fraction of the threshold, below which the ground is level.
const LEVEL: f64 = 1e-7;
/// Halvings between a refit that is finite and one that is not.
const HALVINGS: usize = 60;
/// Steps of the root-finder at most. It gains digits faster than bisection, which needs 52.
const ROOT_STEPS: usize = 100;
/// Steps within which the bracket has to halve, or the next one halves it.
const SLOW_STEPS: usize = 3;
/// Relative accuracy of a crossing in the distance from the optimum.
const ACCURACY: f64 = 1e-12;

/// A parameter that is held, in working coordinates: its logarithm or its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// Number of the expanded parameter; the problem has it among its fixed ones.
    pub index: usize,
    /// Working coordinate at the optimum.
    pub origin: f64,
    /// Change of the working coordinate for a unit of distance.
    pub direction: f64,
    /// Whether the working coordinate is the logarithm.
    pub log: bool,
    /// Bounds, natural units.
    pub bounds: (f64, f64),
}

impl Held {
    fn natural(&self, distance: f64) -> f64 {
        let working = self.origin + distance * self.direction;
        let value = if self.log { working.clamp(-FAR, FAR).exp() } else { working };
        value.clamp(self.bounds.0, self.bounds.1)
    }
}

/// A line through the space of held parameters.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// The problem, with the held parameters fixed at the optimum. Penalties on them stay in the objective.
    pub problem: &'a Problem,
    /// What is held.
    pub held: Vec<Held>,
    /// Expanded parameters in natural units, row-major: the optimum first, then those of other basins.
    pub starts: &'a [f64],
    /// Objective at the optimum.
    pub minimum: f64,
    /// Divisor of the statistic along this line.
    pub kappa: f64,
}

/// How far a walk goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Square root of the statistic at the crossing.
    pub threshold: f64,
    /// First step, a distance.
    pub step: f64,
    /// Largest distance.
    pub edge: f64,
    /// Three steps in a row that are longer than this and gain nothing end the walk: it is on level ground.
    pub level_step: f64,
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At the crossing.
    Found,
    /// At the largest distance, or where the statistic has become level, below the threshold.
    Short,
    /// At the last point where the objective is finite, below the threshold.
    Undefined,
}

/// A point of a walk.
#[derive(Clone, Debug, PartialEq)]
pub struct Refit {
    /// Distance from the optimum.
    pub distance: f64,
    /// Lowest objective found, not finite where there is none.
    pub objective: f64,
    /// All expanded parameters, natural units.
    pub theta: Vec<f64>,
    /// Whether the refit converged.
    pub converged: bool,
}

/// A walk and all refits it made, in the order in which they were made.
#[derive(Clone, Debug)]
pub struct Walk {
    /// How it ended.
    pub end: End,
    /// Where, as a distance.
    pub distance: f64,
    /// The refits.
    pub refits: Vec<Refit>,
}

/// Walks along a line. Runs on the calling thread.
///
/// # Errors
/// When the starts have a wrong shape.
pub fn walk(line: &Line, limits: &Limits, control: &Control) -> Result<Walk, Error> {
    let k = line.problem.expanded();
    if line.starts.is_empty() || !line.starts.len().is_multiple_of(k) {
        return Err(Error::Length { expected: k, found: line.starts.len() });
    }
    let starts: Vec<&[f64]> = line.starts.chunks(k).collect();
    let mut path = Path {
        line,
        scale: scales(line.problem, &starts[..1]),
        others: &starts[1..],
        best: starts[0],
        near: settings(line.problem, None, true),
        far: settings(line.problem, None, false),
        scratch: Scratch::default(),
        refits: Vec::new(),
        control,
    };
    let (end, distance) = path.search(limits)?;
    Ok(Walk { end, distance, refits: path.refits })
}

struct Path<'a> {
    line: &'a Line<'a>,
    scale: Vec<f64>,
    best: &'a [f64],
    others: &'a [&'a [f64]],
    near: Settings,
    far: Settings,
    scratch: Scratch,
    refits: Vec<Refit>,
    control: &'a Control,
}

impl Path<'_> {
    fn search(&mut self, limits: &Limits) -> Result<(End, f64), Error> {
        let goal = limits.threshold;
        let (mut inside, mut below, mut step, mut level) = (0.0, 0.0, limits.step, 0);
        for _ in 0..DOUBLINGS {
            let at = (step).min(limits.edge);
            let mut outside = at;
            let mut above = self.root(at)?;
            let undefined = !above.is_finite();
            if undefined {
                (outside, above) = self.last_finite(inside, below, at, goal)?;
            }
            if above >= goal {
                return Ok((End::Found, self.crossing((inside, below), (outside, above), goal)?));
            }
            if undefined {
                return Ok((End::Undefined, outside));
            }
            let is_level = (above - below).abs() <= LEVEL * goal && at > limits.level_step;
            level = if is_level { level + 1 } else { 0 };
            (inside, below) = (at, above);
            if at >= limits.edge || level >= 3 {
                break;
            }
            step *= 2.0;
        }
        Ok((End::Short, inside))
    }

    /// Goes from a point that is not finite back towards one that is: to a point above the threshold, or to the edge.
    fn last_finite(&mut self, inside: f64, below: f64, outside: f64, goal: f64) -> Result<(f64, f64), Error> {
        let (mut good, mut bad) = ((inside, below), outside);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (good.0 + bad);
            if middle <= good.0 || middle >= bad {
                break;
            }
            let value = self.root(middle)?;
            if !value.is_finite() {
                bad = middle;
            } else if value >= goal {
                return Ok((middle, value));
            } else {
                good = (middle, value);
            }
        }
        Ok(good)
    }

    /// Distance at which the root of the statistic crosses the threshold: false position with the correction of Anderson
    /// and Bjorck, and bisection where that is slow.
    fn crossing(&mut self, low: (f64, f64), high: (f64, f64), goal: f64) -> Result<f64, Error> {
        let ((mut a, mut fa), (mut b, mut fb)) = ((low.0, low.1 - goal), (high.0, high.1 - goal));
        let (mut width, mut slow, mut moved_high) = (b - a, 0, None);
        for _ in 0..ROOT_STEPS {
            if fb == 0.0 || b - a <= ACCURACY * b {
                break;
            }
            let guess = b - fb * (b - a) / (fb - fa);
            let at = if slow >= SLOW_STEPS || !(guess > a && guess < b) { 0.5 * (a + b) } else { guess };
            let value = self.root(at)? - goal;
            if value.abs() <= ACCURACY * goal {
                return Ok(at);
            }
            let is_high = value > 0.0;
            let ((near, near_value), far_value) =
                if is_high { ((&mut b, &mut fb), &mut fa) } else { ((&mut a, &mut fa), &mut fb) };
            if moved_high == Some(is_high) {
                // The other end has stayed for the second time: it gets a smaller weight.
                let factor = 1.0 - value / *near_value;
                *far_value *= if factor > 0.0 { factor } else { 0.5 };
            }
            (*near, *near_value, moved_high) = (at, value, Some(is_high));
            if b - a <= 0.5 * width {
                (width, slow) = (b - a, 0);
            } else {
                slow += 1;
            }
        }
        Ok(b)
    }

    /// Root of the statistic at a distance, from a refit there.
    fn root(&mut self, distance: f64) -> Result<f64, Error> {
        let known = self.refits.iter().find(|refit| refit.distance == distance).map(|refit| refit.objective);
        let objective = match known {
            Some(objective) => objective,
            None => self.refit(distance)?,
        };
        let rise = 2.0 * (objective - self.line.minimum) / self.line.kappa;
        Ok(if rise.is_nan() { f64::INFINITY } else { rise.max(0.0).sqrt() })
    }

    fn refit(&mut self, distance: f64) -> Result<f64, Error> {
        let held: Vec<(usize, f64)> = self.line.held.iter().map(|h| (h.index, h.natural(distance))).collect();
        self.scratch.workspace.set_held(held.clone());
        let end = (!self.line.problem.free().is_empty()).then(|| self.solve(distance));
        let mut theta = match &end {
            Some(end) => self.line.problem.to_natural(&end.x, &self.scale),
            None => self.best.to_vec(),
        };
        for (i, value) in held {
            theta[i] = value;
        }
        let (objective, converged) = match end {
            Some(end) => (end.objective, end.status.was_successful()),
            None => (self.line.problem.objective(&theta)?, true),
        };
        self.refits.push(Refit { distance, objective, theta, converged });
        Ok(objective)
    }

    /// The lowest fit from the nearest refits on both sides, and from other basins.
    fn solve(&mut self, distance: f64) -> Solution {
        let mut below = (0.0, self.best);
        let mut above: Option<(f64, &[f64])> = None;
        for refit in self.refits.iter().filter(|refit| refit.objective.is_finite()) {
            if refit.distance < distance && refit.distance > below.0 {
                below = (refit.distance, &refit.theta);
            } else if refit.distance > distance && above.is_none_or(|(r, _)| refit.distance < r) {
                above = Some((refit.distance, &refit.theta));
            }
        }
        let coordinates = |theta: &[f64]| self.line.problem.to_solver(theta, &self.scale);
        let mut warm = vec![coordinates(below.1)];
        if let Some((r, theta)) = above {
            // The nearer one first: of two ends that are as low, the first one is kept.
            warm.insert(usize::from(r - distance >= distance - below.0), coordinates(theta));
        }
        let cold: Vec<Vec<f64>> = self.others.iter().map(|theta| coordinates(theta)).collect();
        let mut best: Option<Solution> = None;
        for start in &warm {
            let end = self.run(start, self.near);
            let failed = !end.status.was_successful();
            keep_lower(&mut best, end);
            if failed {
                // The optimum has moved too far for Newton steps from the outset.
                let end = self.run(start, self.far);
                keep_lower(&mut best, end);
            }
        }
        for start in &cold {
            let end = self.run(start, self.far);
            keep_lower(&mut best, end);
        }
        if let Some(end) = best.clone().filter(|end| end.status == Status::Stalled) {
            let end = self.run(&end.x, Settings { patient: true, ..self.far });
            keep_lower(&mut best, end);
        }
        best.unwrap_or_else(|| unreachable!("there is always the optimum to start from"))
    }

    fn run(&mut self, start: &[f64], settings: Settings) -> Solution {
        solve(self.line.problem, start, &self.scale, None, &settings, self.control.cancel(), &mut self.scratch)
    }
}

fn keep_lower(best: &mut Option<Solution>, end: Solution) {
    let better = match best {
        None => true,
        Some(old) if !end.objective.is_finite() || !old.objective.is_finite() => end.objective.is_finite(),
        Some(old) => {
            end.objective < old.objective
                || (end.objective == old.objective && end.status.was_successful() && !old.status.was_successful())
        }
    };
    if better {
        *best = Some(end);
    }
}
