//! A law bound to data: the objective as a function of the free parameters.

use super::centre::{Centre, centre};
use super::compile::{Compiled, DataLeaves, compile};
use super::data::{Flatten, check_data, check_weights, pack, pack_codes, pack_weights, without_weightless_rows};
use super::evaluate::log_or_vanished;
use super::options::check_options;
use super::{Options, Residual, View};
use crate::error::Error;
use crate::graph::{Coordinate, Graph, Id, ParamKind};
use crate::law::{Law, fill};
use crate::math::{self, Isa};
use crate::program::{BLOCK, Bases, Block, Place, ScalarProgram, Tape, lower, run_tape};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// Blocks that one thread sums up at a time. Fixed, so that results do not depend on the number of threads.
pub(super) const CHUNK: usize = 64;

/// A law bound to data and options.
#[derive(Debug)]
pub struct Problem {
    pub(super) law: Arc<Law>,
    pub(super) compiled: Compiled,
    pub(super) options: Options,
    pub(super) isa: Isa,
    pub(super) rows: usize,
    pub(super) blocks: usize,
    pub(super) columns: Vec<Block>,
    pub(super) target: Vec<Block>,
    pub(super) weights: Vec<Block>,
    pub(super) codes: Vec<[u32; BLOCK]>,
    pub(super) offsets: Vec<usize>,
    pub(super) counts: Vec<usize>,
    pub(super) expanded: usize,
    pub(super) free: Vec<usize>,
    /// Place of each expanded parameter among the free ones, or the largest number.
    pub(super) position: Vec<usize>,
    /// Slot of each expanded parameter.
    pub(super) slot: Vec<usize>,
    /// Derivative coordinate of each expanded parameter.
    pub(super) coordinate: Vec<Coordinate>,
    /// Plain slots among the active ones.
    pub(super) dense: Vec<usize>,
    /// Outputs of plain slots, for the tapes of gradient and Hessian.
    pub(super) slopes: [Vec<Place>; 2],
    /// Logarithms of the fixed values of positive parameters.
    pub(super) fixed_log: Vec<f64>,
    /// Group column of each slot.
    pub(super) groups: Vec<Option<usize>>,
    /// Coefficients that the solver measures at the middle of the data.
    pub(super) centres: Vec<Centre>,
    /// Metric of a law whose exponents are linear in the parameters.
    pub(super) constant_metric: OnceLock<Vec<f64>>,
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

    /// Other targets for the same rows, laid out for
    /// [`Workspace::set_target`](super::Workspace::set_target). They are values of `T(y)`, in the space
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

pub(super) fn prepare(registers: &mut Vec<Block>, tape: &Tape, scalars: &[f64]) {
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
