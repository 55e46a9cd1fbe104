//! The objective and its derivatives at one parameter vector.

use super::PriorKind;
pub use super::accumulate::Mode;
use super::accumulate::{Job, Scatter, Sums, accumulate};
use super::problem::{CHUNK, Problem, prepare};
use crate::error::Error;
use crate::graph::{Coordinate, LOG_ZERO};
use crate::math;
use crate::program::{Bases, Block, Place, Tape};
use rayon::prelude::*;

/// Objective with its derivatives in the solver's coordinates of the free parameters.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Objective.
    pub objective: f64,
    /// Gradient.
    pub gradient: Vec<f64>,
    /// Gauss-Newton matrix or Hessian, row-major and symmetric.
    pub matrix: Vec<f64>,
}

/// Memory of one thread's evaluations.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(super) registers: Vec<Block>,
    pub(super) scalars: Vec<f64>,
    pub(super) tables: Vec<Vec<f64>>,
    natural: Vec<f64>,
    log: Vec<f64>,
    slot_natural: Vec<f64>,
    slot_log: Vec<f64>,
    sums: Sums,
    totals: Totals,
    plain: Vec<(usize, f64)>,
    /// Targets that stand in for the problem's own, see [`Problem::pack_target`].
    target: Option<Vec<Block>>,
    /// Values that stand in for those of fixed parameters.
    held: Vec<(usize, f64)>,
    centers: Vec<f64>,
}

impl Workspace {
    /// Has evaluations with this memory compare the law with these targets, or with the problem's own again.
    pub fn set_target(&mut self, target: Option<Vec<Block>>) {
        self.target = target;
    }

    /// Has evaluations with this memory hold parameters that the problem fixes, by their expanded numbers, at these
    /// natural values and not at the problem's own.
    pub fn set_held(&mut self, held: Vec<(usize, f64)>) {
        self.held = held;
    }

    /// Has evaluations with this memory take these centres for the problem's priors, in their order, or their own
    /// again if there are none.
    pub fn set_centers(&mut self, centers: &[f64]) {
        self.centers.clear();
        self.centers.extend_from_slice(centers);
    }
}

/// Sums over rows, lanes already added up.
#[derive(Clone, Debug, Default)]
struct Totals {
    lanes: Vec<f64>,
    gradient: Vec<f64>,
    matrix: Vec<f64>,
}

impl Totals {
    fn set(&mut self, sums: &Sums) {
        self.lanes.clear();
        self.lanes.extend((0..sums.lanes.len()).map(|i| sums.total(i)));
        self.gradient.clone_from(&sums.gradient);
        self.matrix.clone_from(&sums.matrix);
    }

    fn add(&mut self, other: &Self) {
        for (a, b) in
            [(&mut self.lanes, &other.lanes), (&mut self.gradient, &other.gradient), (&mut self.matrix, &other.matrix)]
        {
            a.iter_mut().zip(b).for_each(|(x, y)| *x += y);
        }
    }
}

impl Problem {
    /// Objective at natural values of all expanded parameters.
    ///
    /// # Errors
    /// When the length is wrong.
    pub fn objective(&self, theta: &[f64]) -> Result<f64, Error> {
        if theta.len() != self.expanded {
            return Err(Error::Length { expected: self.expanded, found: theta.len() });
        }
        let mut workspace = Workspace::default();
        let theta = self.centred(theta);
        workspace.natural.extend_from_slice(&theta);
        workspace.log.extend(theta.iter().map(|t| log_or_vanished(*t)));
        let mut out = Evaluation::default();
        self.evaluate_prepared(&mut workspace, Mode::Value, 0.0, None, &mut out);
        self.add_priors(&workspace, &[], Mode::Value, &mut out);
        Ok(out.objective)
    }

    /// Evaluates at the solver's coordinates `x` of the free parameters: the logarithm where [`Problem::is_log`],
    /// elsewhere the value over `scale`. `width` widens the loss's scale (see [`Loss::kernel`](super::Loss::kernel)).
    #[allow(clippy::too_many_arguments)]
    pub fn evaluate(
        &self,
        x: &[f64],
        scale: &[f64],
        mode: Mode,
        width: f64,
        weights: Option<&[Block]>,
        workspace: &mut Workspace,
        out: &mut Evaluation,
    ) {
        workspace.natural.clone_from(&self.options.fixed);
        workspace.log.clone_from(&self.fixed_log);
        for &(i, value) in &workspace.held {
            workspace.natural[i] = value;
            workspace.log[i] = log_or_vanished(value);
        }
        for (k, &i) in self.free.iter().enumerate() {
            if self.is_log(i) {
                workspace.log[i] = x[k];
                workspace.natural[i] = math::exp::<false>(x[k]);
            } else {
                workspace.natural[i] = x[k] * scale[k];
                if self.kind(i).is_positive() {
                    workspace.log[i] = math::log::<false>(workspace.natural[i]);
                }
            }
        }
        self.evaluate_prepared(workspace, mode, width, weights, out);
        if mode != Mode::Value {
            self.assemble(scale, mode, workspace, out);
        }
        self.add_priors(workspace, scale, mode, out);
    }

    /// Sums over rows, left in the workspace; sets the objective without penalties.
    fn evaluate_prepared(
        &self,
        ws: &mut Workspace,
        mode: Mode,
        width: f64,
        weights: Option<&[Block]>,
        out: &mut Evaluation,
    ) {
        let c = &self.compiled;
        ws.slot_natural.clear();
        ws.slot_natural.extend(self.offsets.iter().map(|&o| ws.natural[o]));
        ws.slot_log.clear();
        ws.slot_log.extend(self.offsets.iter().map(|&o| ws.log[o]));
        c.scalars.evaluate(&ws.slot_natural, &ws.slot_log, &mut ws.scalars);
        ws.tables.resize_with(c.tables.len(), Vec::new);
        for (table, &(slot, coordinate)) in ws.tables.iter_mut().zip(&c.tables) {
            let range = self.offsets[slot]..self.offsets[slot] + self.counts[slot];
            table.clear();
            table.extend_from_slice(if coordinate == Coordinate::Log { &ws.log[range] } else { &ws.natural[range] });
        }
        let tape = match mode {
            Mode::Value => &c.value,
            Mode::Gauss => &c.gradient,
            Mode::Newton => &c.hessian,
        };
        let plan = self.plan(tape, mode, &ws.scalars);
        let chunks = self.blocks.div_ceil(CHUNK).max(1);
        let rows =
            Rows { target: ws.target.as_deref().unwrap_or(&self.target), weights: weights.unwrap_or(&self.weights) };
        if self.is_large() {
            let (scalars, tables) = (&ws.scalars, &ws.tables);
            let parts: Vec<Totals> = (0..chunks)
                .into_par_iter()
                .map_init(
                    || (Vec::new(), Sums::default()),
                    |(registers, sums), chunk| {
                        prepare(registers, tape, scalars);
                        self.run_chunk(&plan, chunk, (mode, width), rows, registers, tables, sums);
                        let mut totals = Totals::default();
                        totals.set(sums);
                        totals
                    },
                )
                .collect();
            ws.totals = pairwise(parts);
        } else {
            prepare(&mut ws.registers, tape, &ws.scalars);
            for chunk in 0..chunks {
                let (registers, sums) = (&mut ws.registers, &mut ws.sums);
                self.run_chunk(&plan, chunk, (mode, width), rows, registers, &ws.tables, sums);
                if chunk == 0 {
                    ws.totals.set(sums);
                } else {
                    let mut part = Totals::default();
                    part.set(sums);
                    ws.totals.add(&part);
                }
            }
        }
        out.objective = ws.totals.lanes[0];
    }

    /// The kernel's view of a tape's outputs.
    fn plan<'a>(&'a self, tape: &'a Tape, mode: Mode, scalars: &[f64]) -> Plan<'a> {
        let c = &self.compiled;
        let (dense, second): (&[Place], &[Place]) = match mode {
            Mode::Value => (&[], &[]),
            Mode::Gauss => (&self.slopes[0], &[]),
            Mode::Newton => (&self.slopes[1], &tape.outputs[1 + c.active.len()..]),
        };
        let mut plan = Plan { tape, dense, second, scattered: Vec::new(), scattered_second: Vec::new() };
        if mode == Mode::Value {
            return plan;
        }
        if self.dense.len() < c.active.len() {
            let groups = &self.groups;
            for (a, &slot) in c.active.iter().enumerate() {
                let scatter = Scatter { group: groups[slot], offset: self.offsets[slot] };
                plan.scattered.push((tape.outputs[1 + a], scalars[c.factors[a]], scatter));
            }
            if mode == Mode::Newton {
                for part in &c.curvatures {
                    let grouped = |a: usize| groups[c.active[a]].is_some();
                    if grouped(part.first) || grouped(part.second) {
                        let place = tape.outputs[part.output];
                        plan.scattered_second.push((place, scalars[part.factor], part.first, part.second));
                    }
                }
            }
        }
        plan
    }

    #[allow(clippy::too_many_arguments)]
    fn run_chunk(
        &self,
        plan: &Plan,
        chunk: usize,
        (mode, width): (Mode, f64),
        rows: Rows,
        registers: &mut [Block],
        tables: &[Vec<f64>],
        sums: &mut Sums,
    ) {
        let grouped = !plan.scattered.is_empty();
        sums.reset(mode, plan.dense.len(), plan.second.len(), if grouped { self.expanded } else { 0 });
        let first = chunk * CHUNK;
        let blocks = CHUNK.min(self.blocks - first);
        let groups = self.law.group_columns().len();
        let job = Job {
            code: &plan.tape.code,
            bases: Bases {
                registers: registers.as_mut_ptr(),
                columns: self.columns[first * self.compiled.columns..].as_ptr(),
                codes: self.codes[first * groups..].as_ptr(),
                tables: tables.as_ptr(),
            },
            column_stride: self.compiled.columns,
            group_stride: groups,
            target: rows.target[first..].as_ptr(),
            weights: rows.weights[first..].as_ptr(),
            blocks,
            mode,
            relative: self.compiled.relative,
            kernel: self.options.loss.kernel(width, self.options.above),
            value: plan.tape.outputs[0],
            dense: plan.dense,
            second: plan.second,
            scattered: &plan.scattered,
            scattered_second: &plan.scattered_second,
            expanded: self.expanded,
        };
        accumulate(self.isa, &job, sums);
    }

    /// Unit of a free parameter's solver coordinate in terms of its derivative coordinate.
    pub(super) fn unit(&self, k: usize, scale: &[f64]) -> f64 {
        if self.is_log(self.free[k]) { 1.0 } else { scale[k] }
    }

    /// Totals to gradient and matrix in the solver's coordinates.
    fn assemble(&self, scale: &[f64], mode: Mode, ws: &mut Workspace, out: &mut Evaluation) {
        let (c, n, p) = (&self.compiled, self.free.len(), self.expanded);
        out.gradient.clear();
        out.gradient.resize(n, 0.0);
        out.matrix.clear();
        out.matrix.resize(n * n, 0.0);
        let (gradient, matrix, totals) = (&mut out.gradient[..], &mut out.matrix[..], &ws.totals);
        if !totals.gradient.is_empty() {
            for (j, &a) in self.free.iter().enumerate() {
                let unit = self.unit(j, scale);
                gradient[j] = -unit * totals.gradient[a];
                for (k, &b) in self.free.iter().enumerate().skip(j) {
                    matrix[j * n + k] = unit * self.unit(k, scale) * totals.matrix[a * p + b];
                }
            }
        }
        // Position and overall factor of each plain slot. An active plain slot has one parameter, and that is free.
        ws.plain.clear();
        ws.plain.extend(self.dense.iter().map(|&a| {
            let k = self.position[self.offsets[c.active[a]]];
            (k, ws.scalars[c.factors[a]] * self.unit(k, scale))
        }));
        let m = ws.plain.len();
        let mut at = 1 + m;
        for (j, &(k, factor)) in ws.plain.iter().enumerate() {
            gradient[k] -= factor * totals.lanes[1 + j];
            for &(other, factor_b) in &ws.plain[j..] {
                // Free parameters keep the order of their slots, so `k <= other`.
                matrix[k * n + other] += factor * factor_b * totals.lanes[at];
                at += 1;
            }
        }
        if mode == Mode::Newton {
            let outputs = &totals.lanes[at..];
            for part in &c.curvatures {
                let (s, t) = (c.active[part.first], c.active[part.second]);
                if self.groups[s].is_some() || self.groups[t].is_some() {
                    continue;
                }
                let (j, k) = (self.position[self.offsets[s]], self.position[self.offsets[t]]);
                let factor = ws.scalars[part.factor] * self.unit(j, scale) * self.unit(k, scale);
                matrix[j * n + k] -= factor * outputs[part.output - 1 - c.active.len()];
            }
        }
        for i in 1..n {
            for j in 0..i {
                matrix[i * n + j] = matrix[j * n + i];
            }
        }
    }

    /// Adds penalties. With [`Mode::Gauss`] their curvature is kept non-negative.
    fn add_priors(&self, ws: &Workspace, scale: &[f64], mode: Mode, out: &mut Evaluation) {
        for (number, prior) in self.options.priors.iter().enumerate() {
            let i = prior.index;
            let center = ws.centers.get(number).copied().unwrap_or(prior.center);
            let theta = ws.natural[i];
            let inverse = 1.0 / prior.width;
            let (z, slope, bend) = match prior.kind {
                PriorKind::Normal => ((theta - center) * inverse, inverse, 0.0),
                PriorKind::LogNormal => {
                    let z = (math::log::<false>(theta) - math::log::<false>(center)) * inverse;
                    (z, inverse / theta, -inverse / (theta * theta))
                }
            };
            out.objective += 0.5 * z * z;
            let k = self.position[i];
            if mode == Mode::Value || k == usize::MAX {
                continue;
            }
            // d z^2/2 = z z', and once more z'^2 + z z''.
            let (mut g, mut h) = (z * slope, slope * slope);
            if mode == Mode::Newton {
                h += z * bend;
            }
            if self.is_log(i) {
                h = h * theta * theta + if mode == Mode::Newton { g * theta } else { 0.0 };
                g *= theta;
            }
            let unit = self.unit(k, scale);
            out.gradient[k] += g * unit;
            out.matrix[k * (self.free.len() + 1)] += h * unit * unit;
        }
    }
}

/// What the law is compared with, and how much each row counts.
#[derive(Clone, Copy)]
struct Rows<'a> {
    target: &'a [Block],
    weights: &'a [Block],
}

/// Output places of one tape, sorted by how they are summed.
struct Plan<'a> {
    tape: &'a Tape,
    dense: &'a [Place],
    second: &'a [Place],
    scattered: Vec<(Place, f64, Scatter)>,
    scattered_second: Vec<(Place, f64, usize, usize)>,
}

/// Sum in a fixed binary tree: accurate for many chunks, and the same for any number of threads.
fn pairwise(mut parts: Vec<Totals>) -> Totals {
    while parts.len() > 1 {
        parts = parts
            .chunks(2)
            .map(|pair| {
                let mut sum = pair[0].clone();
                if let Some(other) = pair.get(1) {
                    sum.add(other);
                }
                sum
            })
            .collect();
    }
    parts.pop().unwrap_or_default()
}

/// Logarithm of a parameter; of zero a number so low that its term vanishes without becoming undefined.
pub(super) fn log_or_vanished(theta: f64) -> f64 {
    if theta == 0.0 { LOG_ZERO } else { math::log::<false>(theta) }
}
