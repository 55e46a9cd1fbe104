//! The solver's metric: what a step does to the exponents of a law.

use super::evaluate::Workspace;
use super::problem::{Problem, prepare};
use crate::program::{BLOCK, Bases, run_tape};

/// Blocks that the metric is averaged over, at most about twice as many: it sets a scale, no more.
const METRIC_BLOCKS: usize = 16;

/// Size from which a slope is that of a vanished term, in which the logarithm of zero stands.
const LARGEST_SLOPE: f64 = 1e100;

impl Problem {
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
}
