//! A law bound to data: the objective as a function of the free parameters.

pub use super::accumulate::Mode;
use super::accumulate::{Job, Scatter, Sums, accumulate};
use super::centre::{Centre, centre};
use super::compile::{Compiled, DataLeaves, compile};
use super::{Loss, Residual};
use crate::error::Error;
use crate::graph::{Coordinate, Graph, Id, LOG_ZERO, LogUse, NEARLY_ZERO, ParamKind};
use crate::law::{Law, fill};
use crate::math::{self, Isa};
use crate::program::{BLOCK, Bases, Block, Place, ScalarProgram, Tape, lower, run_tape};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// Blocks that one thread sums up at a time. Fixed, so that results do not depend on the number of threads.
const CHUNK: usize = 64;

/// Blocks that the solver's metric is averaged over, at most about twice as many: it sets a scale, no more.
const METRIC_BLOCKS: usize = 16;

/// Size from which a slope is that of a vanished term, in which the logarithm of zero stands.
const LARGEST_SLOPE: f64 = 1e100;

/// Measured rows. All columns have the same length.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// The predicted column.
    pub target: Vec<f64>,
    /// Input columns, in the law's order.
    pub inputs: Vec<Vec<f64>>,
    /// Category of each row, for each of the law's group columns.
    pub codes: Vec<Vec<u32>>,
    /// Number of categories of each group column.
    pub categories: Vec<usize>,
    /// Row weights, or none for ones.
    pub weights: Option<Vec<f64>>,
}

/// Rows that somebody else owns, as [`Data`]: a [`Problem`] keeps what it needs in a layout of its own.
#[derive(Clone, Debug, Default)]
pub struct View<'a> {
    /// See [`Data::target`].
    pub target: &'a [f64],
    /// See [`Data::inputs`].
    pub inputs: Vec<&'a [f64]>,
    /// See [`Data::codes`].
    pub codes: Vec<&'a [u32]>,
    /// See [`Data::categories`].
    pub categories: &'a [usize],
    /// See [`Data::weights`].
    pub weights: Option<&'a [f64]>,
}

impl<'a> From<&'a Data> for View<'a> {
    fn from(data: &'a Data) -> Self {
        Self {
            target: &data.target,
            inputs: data.inputs.iter().map(Vec::as_slice).collect(),
            codes: data.codes.iter().map(Vec::as_slice).collect(),
            categories: &data.categories,
            weights: data.weights.as_deref(),
        }
    }
}

impl View<'_> {
    fn to_data(&self) -> Data {
        Data {
            target: self.target.to_vec(),
            inputs: self.inputs.iter().map(|column| column.to_vec()).collect(),
            codes: self.codes.iter().map(|codes| codes.to_vec()).collect(),
            categories: self.categories.to_vec(),
            weights: self.weights.map(<[f64]>::to_vec),
        }
    }
}

/// Penalty on one expanded parameter, added to the objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Position of the parameter.
    pub index: usize,
    /// Shape.
    pub kind: PriorKind,
    /// Mean or median, in natural units.
    pub center: f64,
    /// Standard deviation of the parameter or of its logarithm.
    pub width: f64,
}

/// Shape of a [`Prior`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriorKind {
    /// `(theta - center)^2 / (2 width^2)`
    Normal,
    /// `(log theta - log center)^2 / (2 width^2)`
    LogNormal,
}

/// What to minimise.
#[derive(Clone, Debug)]
pub struct Options {
    /// Residual space.
    pub residual: Residual,
    /// Loss of a residual.
    pub loss: Loss,
    /// Weight of rows that lie above the law.
    pub above: f64,
    /// Value of each expanded parameter that is held fixed, not a number where it is free; empty if all are free.
    pub fixed: Vec<f64>,
    /// Penalties.
    pub priors: Vec<Prior>,
}

impl Default for Options {
    fn default() -> Self {
        Self { residual: Residual::Linear, loss: Loss::Squared, above: 1.0, fixed: Vec::new(), priors: Vec::new() }
    }
}

/// A law bound to data and options.
#[derive(Debug)]
pub struct Problem {
    law: Arc<Law>,
    compiled: Compiled,
    options: Options,
    isa: Isa,
    rows: usize,
    blocks: usize,
    columns: Vec<Block>,
    target: Vec<Block>,
    weights: Vec<Block>,
    codes: Vec<[u32; BLOCK]>,
    offsets: Vec<usize>,
    counts: Vec<usize>,
    expanded: usize,
    free: Vec<usize>,
    /// Place of each expanded parameter among the free ones, or the largest number.
    position: Vec<usize>,
    /// Slot of each expanded parameter.
    slot: Vec<usize>,
    /// Derivative coordinate of each expanded parameter.
    coordinate: Vec<Coordinate>,
    /// Plain slots among the active ones.
    dense: Vec<usize>,
    /// Outputs of plain slots, for the tapes of gradient and Hessian.
    slopes: [Vec<Place>; 2],
    /// Logarithms of the fixed values of positive parameters.
    fixed_log: Vec<f64>,
    /// Group column of each slot.
    groups: Vec<Option<usize>>,
    /// Coefficients that the solver measures at the middle of the data.
    centres: Vec<Centre>,
    /// Metric of a law whose exponents are linear in the parameters.
    constant_metric: OnceLock<Vec<f64>>,
}

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
    registers: Vec<Block>,
    scalars: Vec<f64>,
    tables: Vec<Vec<f64>>,
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
    /// Binds a law to data.
    ///
    /// # Errors
    /// When columns disagree in number or length, hold values the law or the residual space cannot use, or an option
    /// is out of range. The error names the column and the first such row.
    pub fn new<'a>(law: Arc<Law>, data: impl Into<View<'a>>, options: Options) -> Result<Self, Error> {
        let given = data.into();
        check_data(&law, &given, &options)?;
        let replaced = without_weightless_rows(&given);
        let data = &replaced.as_ref().map_or(given, View::from);
        let rows = data.target.len();
        let params = law.params().len();
        let groups = law.group_of_slot();
        let counts: Vec<usize> = groups.iter().map(|g| g.map_or(1, |g| data.categories[g])).collect();
        let mut offsets = Vec::with_capacity(params);
        let mut slot = Vec::new();
        for (s, &count) in counts.iter().enumerate() {
            offsets.push(slot.len());
            slot.extend(std::iter::repeat_n(s, count));
        }
        let expanded = slot.len();
        let mut options = options;
        if options.fixed.is_empty() {
            options.fixed = vec![f64::NAN; expanded];
        }
        check_options(&law, &slot, &options)?;
        let free: Vec<usize> = (0..expanded).filter(|&i| options.fixed[i].is_nan()).collect();
        let mut position = vec![usize::MAX; expanded];
        for (k, &i) in free.iter().enumerate() {
            position[i] = k;
        }
        let active: Vec<bool> = (0..params).map(|s| free.iter().any(|&i| slot[i] == s)).collect();
        let isa = Isa::detect();
        let (mut graph, root) = law.graph();
        let plain = |s: &usize| active[*s] && groups[*s].is_none();
        let has_prior = |s: usize| options.priors.iter().any(|prior| slot[prior.index] == s);
        let powers: Vec<usize> = (0..params).filter(plain).collect();
        let real = |s: &usize| law.params()[*s].kind == ParamKind::Real && !has_prior(*s);
        let coefficients: Vec<usize> = powers.iter().copied().filter(real).collect();
        let mean = |g: &Graph, id: Id| column_mean(isa, g, id, data);
        let (root, centres) = centre(&mut graph, root, &coefficients, &powers, mean);
        let compiled = compile(&law, (graph, root), options.residual, &active);
        let mut coordinate = vec![Coordinate::Natural; expanded];
        for (&s, &c) in compiled.active.iter().zip(&compiled.coordinates) {
            coordinate[offsets[s]..offsets[s] + counts[s]].fill(c);
        }
        let dense: Vec<usize> = (0..compiled.active.len()).filter(|&a| groups[compiled.active[a]].is_none()).collect();
        let slopes = [&compiled.gradient, &compiled.hessian]
            .map(|tape| dense.iter().map(|&a| tape.outputs[1 + a]).collect::<Vec<_>>());
        let fixed_log = options.fixed.iter().map(|v| log_or_vanished(*v)).collect();
        let blocks = rows.div_ceil(BLOCK);
        let mut problem = Self {
            isa,
            rows,
            blocks,
            columns: Vec::new(),
            target: pack(data.target, blocks),
            weights: match data.weights {
                Some(w) => pack_weights(w, blocks),
                None => pack_weights(&vec![1.0; rows], blocks),
            },
            codes: pack_codes(&data.codes, rows, blocks),
            offsets,
            counts,
            expanded,
            free,
            position,
            slot,
            coordinate,
            dense,
            slopes,
            fixed_log,
            groups,
            centres,
            constant_metric: OnceLock::new(),
            law,
            compiled,
            options,
        };
        if problem.options.residual == Residual::Log {
            math::slice::log(problem.isa, problem.target.as_flattened_rows_mut());
        }
        problem.fill_columns(data)?;
        Ok(problem)
    }

    /// Runs the data program over all rows.
    fn fill_columns(&mut self, data: &View<'_>) -> Result<(), Error> {
        let c = &self.compiled;
        let mut values = Vec::new();
        c.data_scalars.evaluate(&[], &[], &mut values);
        let mut columns = vec![Block::ZERO; self.blocks * c.columns];
        let isa = self.isa;
        let width = c.columns;
        let bad = columns
            .par_chunks_mut((width * CHUNK).max(1))
            .enumerate()
            .map(|(chunk, out)| {
                let mut registers = vec![Block::ZERO; c.data.registers];
                splat(&mut registers, &c.data, &values);
                let mut raw = vec![Block::ZERO; c.data_inputs.len().max(1)];
                let mut bad = None;
                for (b, out) in out.chunks_mut(width.max(1)).enumerate() {
                    let start = (chunk * CHUNK + b) * BLOCK;
                    let count = BLOCK.min(self.rows - start);
                    for (to, &input) in raw.iter_mut().zip(&c.data_inputs) {
                        fill(to, data.inputs[input], start, count);
                    }
                    let bases = Bases {
                        registers: registers.as_mut_ptr(),
                        columns: raw.as_ptr(),
                        codes: std::ptr::null(),
                        tables: std::ptr::null(),
                    };
                    run_tape(isa, &c.data, bases);
                    for (to, &place) in out.iter_mut().zip(&c.data.outputs) {
                        *to = match place.as_column() {
                            Some(column) => raw[column],
                            None => registers[place.as_register()],
                        };
                        if let Some(i) = to.0[..count].iter().position(|x| !x.is_finite()) {
                            bad = Some(bad.map_or(start + i, |old: usize| old.min(start + i)));
                        }
                    }
                }
                bad
            })
            .collect::<Vec<_>>();
        if let Some(row) = bad.into_iter().flatten().min() {
            let names: Vec<&str> = c.data_inputs.iter().map(|&i| self.law.inputs()[i].as_str()).collect();
            return Err(Error::Undefined { columns: names.join(", "), row });
        }
        self.columns = columns;
        Ok(())
    }

    /// The law.
    pub fn law(&self) -> &Arc<Law> {
        &self.law
    }

    /// The options, with `fixed` filled in.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of expanded parameters: one per plain parameter, one per category for grouped ones.
    pub fn expanded(&self) -> usize {
        self.expanded
    }

    /// Positions of the free ones among the expanded parameters.
    pub fn free(&self) -> &[usize] {
        &self.free
    }

    /// Name of an expanded parameter; grouped ones carry the number of their category.
    pub fn name(&self, index: usize) -> String {
        let slot = self.slot[index];
        let name = &self.law.params()[slot].name;
        if self.groups[slot].is_some() { format!("{name}[{}]", index - self.offsets[slot]) } else { name.clone() }
    }

    /// Domain of an expanded parameter.
    pub fn kind(&self, index: usize) -> ParamKind {
        self.law.params()[self.slot[index]].kind
    }

    /// Whether the solver moves an expanded parameter on its logarithm.
    pub fn is_log(&self, index: usize) -> bool {
        self.coordinate[index] == Coordinate::Log
    }

    /// Whether rows should be divided among threads.
    pub fn is_large(&self) -> bool {
        self.blocks > 2 * CHUNK
    }

    /// Row weights laid out for [`Problem::evaluate`], to fit the same rows with other weights.
    ///
    /// # Errors
    /// When the length is wrong or a weight is negative or not finite, or all are zero.
    pub fn pack_weights(&self, weights: &[f64]) -> Result<Vec<Block>, Error> {
        if weights.len() != self.rows {
            return Err(Error::Length { expected: self.rows, found: weights.len() });
        }
        check_weights(weights)?;
        Ok(pack_weights(weights, self.blocks))
    }

    /// Row weights.
    pub fn weights(&self) -> Vec<f64> {
        self.weights.iter().flat_map(|block| block.0).take(self.rows).collect()
    }

    /// Other targets for the same rows, laid out for [`Workspace::set_target`]. They are values of `T(y)`, in the space
    /// where residuals are taken.
    ///
    /// # Errors
    /// When the length is wrong.
    pub fn pack_target(&self, target: &[f64]) -> Result<Vec<Block>, Error> {
        if target.len() != self.rows {
            return Err(Error::Length { expected: self.rows, found: target.len() });
        }
        Ok(pack(target, self.blocks))
    }

    /// Whether rows of these weights say something on every free parameter: there are as many of them as free
    /// parameters without a penalty, and a row for every category of a grouped one.
    pub fn is_determined(&self, weights: &[f64]) -> bool {
        let rows = weights.iter().filter(|w| **w > 0.0).count();
        let penalised = |i: usize| self.options.priors.iter().any(|prior| prior.index == i);
        if rows < self.free.iter().filter(|i| !penalised(**i)).count() {
            return false;
        }
        let groups = self.law.group_columns().len();
        let mut seen = vec![Vec::new(); groups];
        for &i in self.free.iter().filter(|i| !penalised(**i)) {
            let slot = self.slot[i];
            let Some(group) = self.groups[slot] else { continue };
            let seen = &mut seen[group];
            if seen.is_empty() {
                seen.resize(self.counts[slot], false);
                let codes = self.codes.iter().skip(group).step_by(groups).flatten();
                for (code, _) in codes.zip(weights).filter(|(_, w)| **w > 0.0) {
                    seen[*code as usize] = true;
                }
            }
            if !seen[i - self.offsets[slot]] {
                return false;
            }
        }
        true
    }

    /// Bounds of the free parameters in the solver's coordinates; `guard` bounds logarithms that have no other bound.
    pub fn solver_bounds(&self, scale: &[f64], guard: f64) -> Vec<(f64, f64)> {
        self.free
            .iter()
            .zip(scale)
            .map(|(&i, &s)| {
                let (lo, hi) = self.kind(i).bounds();
                if self.is_log(i) { (lo.ln().max(-guard), hi.ln().min(guard)) } else { (lo / s, hi / s) }
            })
            .collect()
    }

    /// Values of all expanded parameters as the solver measures them, from their natural ones: some coefficients are
    /// sizes in the middle of the data.
    pub fn centred(&self, theta: &[f64]) -> Vec<f64> {
        self.scaled(theta, 1.0)
    }

    fn scaled(&self, theta: &[f64], sign: f64) -> Vec<f64> {
        let mut out = theta.to_vec();
        // No coefficient stands in the exponent that centres another one: that exponent is linear in its parameters.
        for centre in &self.centres {
            let log_factor = centre.log_factor(|slot| theta[self.offsets[slot]]);
            out[self.offsets[centre.slot]] *= (sign * log_factor).exp();
        }
        out
    }

    /// Natural values of all expanded parameters as the free parameters' solver coordinates.
    pub fn to_solver(&self, theta: &[f64], scale: &[f64]) -> Vec<f64> {
        let theta = &self.centred(theta);
        let coordinate = |(&i, &s): (&usize, &f64)| if self.is_log(i) { theta[i].ln() } else { theta[i] / s };
        self.free.iter().zip(scale).map(coordinate).collect()
    }

    /// The free parameters' solver coordinates as natural values of all expanded parameters.
    pub fn to_natural(&self, x: &[f64], scale: &[f64]) -> Vec<f64> {
        let mut theta = self.options.fixed.clone();
        for (k, &i) in self.free.iter().enumerate() {
            let kind = self.kind(i);
            theta[i] = if self.is_log(i) { x[k].exp() } else { x[k] * scale[k] };
            if kind == ParamKind::Positive && theta[i] <= NEARLY_ZERO {
                theta[i] = 0.0;
            }
            // Coordinates at a bound must come back as the bound itself.
            if let ParamKind::Box(lo, hi) = kind {
                let near =
                    |bound: f64| bound.is_finite() && (theta[i] - bound).abs() <= 4.0 * f64::EPSILON * bound.abs();
                if near(lo) {
                    theta[i] = lo;
                } else if near(hi) {
                    theta[i] = hi;
                }
            }
        }
        self.scaled(&theta, -1.0)
    }

    /// Sum of the row weights.
    pub fn total_weight(&self, weights: Option<&[Block]>) -> f64 {
        weights.unwrap_or(&self.weights).iter().flat_map(|b| b.0).sum()
    }

    /// Objective that rounding alone would leave in an exact fit: of the residuals' size for losses with a kink, of
    /// their squares for the others.
    pub fn rounding_objective(&self) -> f64 {
        let noise = |t: f64| {
            let r = 64.0 * f64::EPSILON * t.abs();
            if self.options.loss.has_kink() { r } else { r * r }
        };
        self.target
            .iter()
            .zip(&self.weights)
            .flat_map(|(t, w)| t.0.into_iter().zip(w.0))
            .map(|(t, w)| w * noise(t))
            .sum()
    }

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
    /// elsewhere the value over `scale`. `width` widens the loss's scale (see [`Loss::kernel`]).
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

    /// Metric of the solver's steps at the parameters last evaluated in `ws`, one entry for each free parameter: the
    /// mean over rows of `sum_k d_k^2` for the slopes `d_k` of the law's exponents, in the solver's coordinates. A step
    /// of length one changes the exponents by about one, wherever the data are centred and however weak a term is.
    /// Parameters that no exponent contains count in their own units.
    pub fn metric(&self, scale: &[f64], ws: &mut Workspace, out: &mut Vec<f64>) {
        if self.metric_is_constant() {
            // The linear scales are the only thing that varies between calls.
            out.clone_from(self.constant_metric.get_or_init(|| {
                let mut squares = Vec::new();
                self.mean_squared_slopes(ws, &mut squares);
                squares
            }));
        } else {
            self.mean_squared_slopes(ws, out);
        }
        for (k, entry) in out.iter_mut().enumerate() {
            let unit = self.unit(k, scale);
            // A start close to zero makes for a small unit, but not for a slope that does not count.
            let counts = entry.is_finite() && *entry * unit.max(1.0).powi(2) > 1e-12;
            *entry = if counts { *entry * unit * unit } else { 1.0 };
        }
    }

    fn mean_squared_slopes(&self, ws: &mut Workspace, out: &mut Vec<f64>) {
        let c = &self.compiled;
        out.clear();
        out.resize(self.free.len(), 0.0);
        let tape = &c.metric;
        let Workspace { registers, scalars, tables, .. } = ws;
        prepare(registers, tape, scalars);
        let groups = self.law.group_columns().len();
        let stride = (self.blocks / METRIC_BLOCKS).max(1);
        let mut rows = 0.0;
        // The logarithm of a zero stands for a term that has vanished: it says nothing about steps.
        let square = |x: f64| if x.abs() < LARGEST_SLOPE { x * x } else { 0.0 };
        for b in (0..self.blocks).step_by(stride) {
            let bases = Bases {
                registers: registers.as_mut_ptr(),
                columns: self.columns[b * c.columns..].as_ptr(),
                codes: self.codes[b * groups..].as_ptr(),
                tables: tables.as_ptr(),
            };
            run_tape(self.isa, tape, bases);
            let count = BLOCK.min(self.rows - b * BLOCK);
            rows += count as f64;
            for slope in &c.slopes {
                // SAFETY: outputs of the tape that just ran on this memory.
                let x = unsafe { bases.get(tape.outputs[slope.output]) };
                let factor = square(scalars[slope.factor]);
                let slot = c.active[slope.slot];
                match self.groups[slot] {
                    None => {
                        let sum: f64 = x[..count].iter().map(|x| square(*x)).sum();
                        out[self.position[self.offsets[slot]]] += factor * sum;
                    }
                    Some(group) => {
                        let codes = &self.codes[b * groups + group];
                        for (x, code) in x[..count].iter().zip(codes) {
                            let position = self.position[self.offsets[slot] + *code as usize];
                            // A category may be fixed while others of its parameter are free.
                            if position != usize::MAX {
                                out[position] += factor * square(*x);
                            }
                        }
                    }
                }
            }
        }
        for entry in out.iter_mut() {
            *entry /= rows;
        }
    }

    /// Whether the metric is the same everywhere, but for linear scales.
    pub fn metric_is_constant(&self) -> bool {
        self.compiled.metric_is_constant
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
    fn unit(&self, k: usize, scale: &[f64]) -> f64 {
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
        for prior in &self.options.priors {
            let i = prior.index;
            let theta = ws.natural[i];
            let inverse = 1.0 / prior.width;
            let (z, slope, bend) = match prior.kind {
                PriorKind::Normal => ((theta - prior.center) * inverse, inverse, 0.0),
                PriorKind::LogNormal => {
                    let z = (math::log::<false>(theta) - math::log::<false>(prior.center)) * inverse;
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

/// Mean over the rows of a node that depends on data only.
fn column_mean(isa: Isa, g: &Graph, id: Id, data: &View<'_>) -> f64 {
    let (mut inputs, mut scalars, mut values) = (Vec::new(), ScalarProgram::default(), Vec::new());
    let tape = lower(g, &[id], &mut DataLeaves { inputs: &mut inputs, scalars: &mut scalars });
    scalars.evaluate(&[], &[], &mut values);
    let mut registers = vec![Block::ZERO; tape.registers];
    splat(&mut registers, &tape, &values);
    let mut raw = vec![Block::ZERO; inputs.len().max(1)];
    let (rows, mut sum) = (data.target.len(), 0.0);
    for start in (0..rows).step_by(BLOCK) {
        let count = BLOCK.min(rows - start);
        for (to, &input) in raw.iter_mut().zip(&inputs) {
            fill(to, data.inputs[input], start, count);
        }
        let bases = Bases {
            registers: registers.as_mut_ptr(),
            columns: raw.as_ptr(),
            codes: std::ptr::null(),
            tables: std::ptr::null(),
        };
        run_tape(isa, &tape, bases);
        // SAFETY: an output of the tape that just ran on this memory.
        sum += unsafe { bases.get(tape.outputs[0]) }[..count].iter().sum::<f64>();
    }
    sum / rows as f64
}

fn prepare(registers: &mut Vec<Block>, tape: &Tape, scalars: &[f64]) {
    if registers.len() < tape.registers {
        registers.resize(tape.registers, Block::ZERO);
    }
    splat(registers, tape, scalars);
}

fn splat(registers: &mut [Block], tape: &Tape, scalars: &[f64]) {
    for &(register, scalar) in &tape.splats {
        registers[register as usize] = Block([scalars[scalar as usize]; BLOCK]);
    }
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

/// Blocks as one slice of rows.
trait Flatten {
    fn as_flattened_rows_mut(&mut self) -> &mut [f64];
}

impl Flatten for Vec<Block> {
    fn as_flattened_rows_mut(&mut self) -> &mut [f64] {
        // SAFETY: a block is BLOCK doubles without padding (BLOCK * 8 is a multiple of its alignment).
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast(), self.len() * BLOCK) }
    }
}

fn pack(column: &[f64], blocks: usize) -> Vec<Block> {
    (0..blocks)
        .map(|b| {
            let mut block = Block::ZERO;
            let start = b * BLOCK;
            let count = BLOCK.min(column.len() - start);
            block.0[..count].copy_from_slice(&column[start..start + count]);
            let last = block.0[count - 1];
            block.0[count..].fill(last);
            block
        })
        .collect()
}

fn pack_weights(weights: &[f64], blocks: usize) -> Vec<Block> {
    (0..blocks)
        .map(|b| {
            let mut block = Block::ZERO;
            let start = b * BLOCK;
            let count = BLOCK.min(weights.len() - start);
            block.0[..count].copy_from_slice(&weights[start..start + count]);
            block
        })
        .collect()
}

fn pack_codes(codes: &[&[u32]], rows: usize, blocks: usize) -> Vec<[u32; BLOCK]> {
    let mut packed = Vec::with_capacity(blocks * codes.len());
    for b in 0..blocks {
        for column in codes {
            packed.push(std::array::from_fn(|i| column[(b * BLOCK + i).min(rows - 1)]));
        }
    }
    packed
}

/// Logarithm of a parameter; of zero a number so low that its term vanishes without becoming undefined.
fn log_or_vanished(theta: f64) -> f64 {
    if theta == 0.0 { LOG_ZERO } else { math::log::<false>(theta) }
}

/// A row of weight zero is out of the fit, whatever the law says there: it gets the contents of a row that counts, so
/// that zero times its residual is zero. None where there is no such row.
fn without_weightless_rows(view: &View<'_>) -> Option<Data> {
    let weights = view.weights.filter(|w| w.contains(&0.0))?;
    let counts = weights.iter().position(|w| *w > 0.0).unwrap_or(0);
    let mut data = view.to_data();
    for row in (0..weights.len()).filter(|&i| weights[i] == 0.0) {
        data.target[row] = data.target[counts];
        data.inputs.iter_mut().for_each(|column| column[row] = column[counts]);
        data.codes.iter_mut().for_each(|column| column[row] = column[counts]);
    }
    Some(data)
}

fn check_weights(weights: &[f64]) -> Result<(), Error> {
    if let Some(row) = weights.iter().position(|w| !w.is_finite() || *w < 0.0) {
        let problem = if weights[row] < 0.0 { "is negative" } else { "is not finite" };
        return Err(Error::Data { column: "weights".into(), row, problem: problem.into(), value: weights[row] });
    }
    if weights.iter().all(|w| *w == 0.0) {
        return Err(Error::Option("all weights are zero: no row is left to fit".into()));
    }
    Ok(())
}

fn check_data(law: &Law, data: &View<'_>, options: &Options) -> Result<(), Error> {
    let rows = data.target.len();
    if rows == 0 {
        return Err(Error::Option("the table has no rows".into()));
    }
    if data.inputs.len() != law.inputs().len() {
        return Err(Error::Columns { expected: law.inputs().len(), found: data.inputs.len() });
    }
    let groups = law.group_columns().len();
    if data.codes.len() != groups || data.categories.len() != groups {
        return Err(Error::Columns { expected: groups, found: data.codes.len() });
    }
    let lengths = data.inputs.iter().map(|c| c.len()).chain(data.codes.iter().map(|c| c.len()));
    if let Some(found) = lengths.chain(data.weights.iter().map(|w| w.len())).find(|&n| n != rows) {
        return Err(Error::Length { expected: rows, found });
    }
    for ((codes, &count), name) in data.codes.iter().zip(data.categories).zip(law.group_columns()) {
        if let Some(row) = codes.iter().position(|&c| c as usize >= count) {
            let problem = format!("has a code beyond its {count} categories");
            return Err(Error::Data { column: name.clone(), row, problem, value: f64::from(codes[row]) });
        }
    }
    let find = |column: &[f64], name: &str, problem: &str, bad: &dyn Fn(f64) -> bool| match column
        .iter()
        .position(|&v| bad(v))
    {
        Some(row) => Err(Error::Data { column: name.into(), row, problem: problem.into(), value: column[row] }),
        None => Ok(()),
    };
    let target = law.formula().target.as_deref().unwrap_or("target");
    find(data.target, target, "is not finite", &|v| !v.is_finite())?;
    if options.residual == Residual::Log {
        find(data.target, target, "is not positive, so it has no logarithmic residual,", &|v| v <= 0.0)?;
    }
    for (column, name) in data.inputs.iter().zip(law.inputs()) {
        find(column, name, "is not finite", &|v| !v.is_finite())?;
        match law.log_use(name) {
            Some(LogUse::Log) => {
                find(column, name, "is not positive, but the formula takes its logarithm,", &|v| v <= 0.0)?;
            }
            Some(LogUse::Power) => {
                find(column, name, "is negative, but the formula raises it to a power,", &|v| v < 0.0)?;
            }
            None => {}
        }
    }
    data.weights.map_or(Ok(()), check_weights)
}

fn check_options(law: &Law, slot: &[usize], options: &Options) -> Result<(), Error> {
    let expanded = slot.len();
    if options.fixed.len() != expanded {
        return Err(Error::Length { expected: expanded, found: options.fixed.len() });
    }
    for (i, value) in options.fixed.iter().enumerate() {
        let param = &law.params()[slot[i]];
        let inside = match param.kind {
            ParamKind::Real => value.is_finite(),
            ParamKind::Positive => *value >= 0.0 && value.is_finite(),
            ParamKind::Box(lo, hi) => (lo..=hi).contains(value),
        };
        if !value.is_nan() && !inside {
            return Err(Error::Option(format!("parameter {:?} is fixed at {value}, outside its domain", param.name)));
        }
    }
    if !(options.above > 0.0 && options.above.is_finite()) {
        return Err(Error::Option(format!("the weight of rows above the law must be positive, not {}", options.above)));
    }
    for prior in &options.priors {
        let valid = prior.index < expanded && prior.width > 0.0 && prior.width.is_finite() && prior.center.is_finite();
        if !valid || (prior.kind == PriorKind::LogNormal && prior.center <= 0.0) {
            return Err(Error::Option(format!("the prior on parameter {} is out of range", prior.index)));
        }
    }
    Ok(())
}
