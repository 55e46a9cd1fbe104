//! The row kernel: runs a tape block by block and accumulates loss, gradient and curvature.
//!
//! Sums are kept in eight lanes and added up in a fixed order, so a result does not depend on how rows were
//! divided among threads.

use super::loss::{Kernel, Shape};
use crate::math::Kernels;
use crate::program::{BLOCK, Bases, Block, Instruction, Place, execute, per_isa};

/// Lanes of one running sum.
pub(crate) const LANES: usize = 8;

/// What is accumulated besides the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Value,
    /// Gradient and the Gauss-Newton matrix with the weights of iteratively reweighted least squares.
    Gauss,
    /// Gradient and the exact Hessian.
    Newton,
}

/// A grouped slot's place in the expanded parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scatter {
    /// Group column, or none for a plain slot.
    pub(crate) group: Option<usize>,
    /// First expanded parameter.
    pub(crate) offset: usize,
}

/// One call of the kernel. Pointers as in [`Bases`], with the strides from block to block.
pub(crate) struct Job<'a> {
    pub(crate) code: &'a [Instruction],
    pub(crate) bases: Bases,
    pub(crate) column_stride: usize,
    pub(crate) group_stride: usize,
    pub(crate) target: *const Block,
    pub(crate) weights: *const Block,
    pub(crate) blocks: usize,
    pub(crate) mode: Mode,
    pub(crate) relative: bool,
    pub(crate) kernel: Kernel,
    pub(crate) value: Place,
    /// Outputs of ungrouped slots.
    pub(crate) dense: &'a [Place],
    /// Distinct second-derivative outputs with no grouped slot.
    pub(crate) second: &'a [Place],
    /// Slots as (output, factor, target), where at least one is grouped; empty otherwise.
    pub(crate) scattered: &'a [(Place, f64, Scatter)],
    /// Second-derivative parts with a grouped slot: output, factor, slots.
    pub(crate) scattered_second: &'a [(Place, f64, usize, usize)],
    /// Number of expanded parameters, for the scattered sums.
    pub(crate) expanded: usize,
}

/// Running sums of one call, each in lanes: loss, gradient, upper triangle, second-derivative outputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) lanes: Vec<[f64; LANES]>,
    /// Expanded gradient and matrix, for problems with grouped slots.
    pub(crate) gradient: Vec<f64>,
    pub(crate) matrix: Vec<f64>,
}

impl Sums {
    /// Prepares for `dense` slots, `second` outputs and, where slots are grouped, `expanded` parameters.
    pub(crate) fn reset(&mut self, mode: Mode, dense: usize, second: usize, expanded: usize) {
        let lanes = match mode {
            Mode::Value => 1,
            Mode::Gauss => 1 + dense + dense * (dense + 1) / 2,
            Mode::Newton => 1 + dense + dense * (dense + 1) / 2 + second,
        };
        self.lanes.clear();
        self.lanes.resize(lanes, [0.0; LANES]);
        self.gradient.clear();
        self.gradient.resize(expanded, 0.0);
        self.matrix.clear();
        self.matrix.resize(expanded * expanded, 0.0);
    }

    /// Sum of one quantity over its lanes, pairwise.
    pub(crate) fn total(&self, index: usize) -> f64 {
        let l = &self.lanes[index];
        ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
    }
}

#[inline(always)]
fn mul_add<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Adds the products of one column with `N` others to their running sums.
#[inline(always)]
fn dots<const FMA: bool, const N: usize>(a: &[f64; BLOCK], columns: [&[f64; BLOCK]; N], sums: &mut [[f64; LANES]]) {
    let mut local = [[0.0; LANES]; N];
    for c in 0..BLOCK / LANES {
        for n in 0..N {
            for l in 0..LANES {
                let i = c * LANES + l;
                local[n][l] = mul_add::<FMA>(a[i], columns[n][i], local[n][l]);
            }
        }
    }
    for n in 0..N {
        for l in 0..LANES {
            sums[n][l] += local[n][l];
        }
    }
}

#[inline(always)]
fn many_dots<'a, const FMA: bool>(
    a: &[f64; BLOCK],
    count: usize,
    column: impl Fn(usize) -> &'a [f64; BLOCK],
    sums: &mut [[f64; LANES]],
) {
    let mut k = 0;
    while k + 4 <= count {
        dots::<FMA, 4>(a, [column(k), column(k + 1), column(k + 2), column(k + 3)], &mut sums[k..k + 4]);
        k += 4;
    }
    match count - k {
        1 => dots::<FMA, 1>(a, [column(k)], &mut sums[k..]),
        2 => dots::<FMA, 2>(a, [column(k), column(k + 1)], &mut sums[k..]),
        3 => dots::<FMA, 3>(a, [column(k), column(k + 1), column(k + 2)], &mut sums[k..]),
        _ => {}
    }
}

/// Loss, `psi` and matrix weight of one block.
struct Rows {
    psi: Block,
    weight: Block,
}

#[inline(always)]
fn loss_block(
    kernel: &Kernel,
    shape: Shape,
    (mode, relative): (Mode, bool),
    (value, target, weights): (&[f64; BLOCK], &[f64; BLOCK], &[f64; BLOCK]),
    rows: &mut Rows,
    loss: &mut [f64; LANES],
) {
    let mut local = [0.0; LANES];
    for c in 0..BLOCK / LANES {
        for l in 0..LANES {
            let i = c * LANES + l;
            let at = kernel.at(shape, target[i] - value[i]);
            // A row of weight zero is out of the fit, whatever the law says there.
            let w = weights[i];
            let (rho, psi) = if w == 0.0 { (0.0, 0.0) } else { (w * at.rho, w * at.psi) };
            local[l] += rho;
            rows.psi.0[i] = psi;
            let curvature = match mode {
                Mode::Newton if relative => w * at.curvature + psi,
                Mode::Newton => w * at.curvature,
                _ => w * at.weight,
            };
            rows.weight.0[i] = if w == 0.0 { 0.0 } else { curvature };
        }
    }
    for l in 0..LANES {
        loss[l] += local[l];
    }
}

#[inline(always)]
unsafe fn accumulate_generic<K: Kernels, const FMA: bool>(job: &Job, sums: &mut Sums) {
    let mut rows = Rows { psi: Block::ZERO, weight: Block::ZERO };
    let mut weighted = Block::ZERO;
    let dense = job.dense.len();
    for b in 0..job.blocks {
        // SAFETY: the problem laid out all memory for this many blocks.
        unsafe {
            let bases = Bases {
                columns: job.bases.columns.add(b * job.column_stride),
                codes: if job.group_stride == 0 { job.bases.codes } else { job.bases.codes.add(b * job.group_stride) },
                ..job.bases
            };
            execute::<K, FMA>(job.code, bases);
            let data = (bases.get(job.value), &(*job.target.add(b)).0, &(*job.weights.add(b)).0);
            let how = (job.mode, job.relative);
            let loss = &mut sums.lanes[0];
            match job.kernel.shape {
                Shape::Squared => loss_block(&job.kernel, Shape::Squared, how, data, &mut rows, loss),
                Shape::Huber => loss_block(&job.kernel, Shape::Huber, how, data, &mut rows, loss),
                Shape::SoftL1 => loss_block(&job.kernel, Shape::SoftL1, how, data, &mut rows, loss),
                Shape::Cauchy => loss_block(&job.kernel, Shape::Cauchy, how, data, &mut rows, loss),
                Shape::Kink => loss_block(&job.kernel, Shape::Kink, how, data, &mut rows, loss),
            }
            if job.mode == Mode::Value {
                continue;
            }
            let column = |k: usize| bases.get(job.dense[k]);
            many_dots::<FMA>(&rows.psi.0, dense, column, &mut sums.lanes[1..]);
            let mut at = 1 + dense;
            for j in 0..dense {
                let q = column(j);
                for i in 0..BLOCK {
                    weighted.0[i] = rows.weight.0[i] * q[i];
                }
                many_dots::<FMA>(&weighted.0, dense - j, |k| column(j + k), &mut sums.lanes[at..]);
                at += dense - j;
            }
            if job.mode == Mode::Newton {
                let second = |k: usize| bases.get(job.second[k]);
                many_dots::<FMA>(&rows.psi.0, job.second.len(), second, &mut sums.lanes[at..]);
            }
            if !job.scattered.is_empty() {
                scatter(job, bases, &rows, sums);
            }
        }
    }
}

/// Adds the parts of grouped slots, row by row, each to the entry of the row's category.
///
/// # Safety
/// As for the kernel.
unsafe fn scatter(job: &Job, bases: Bases, rows: &Rows, sums: &mut Sums) {
    let p = job.expanded;
    let target = |s: &Scatter, i: usize| match s.group {
        // SAFETY: group columns were checked against the number of categories when the problem was built.
        Some(g) => s.offset + unsafe { (*bases.codes.add(g))[i] } as usize,
        None => s.offset,
    };
    for (j, (place_j, factor_j, slot_j)) in job.scattered.iter().enumerate() {
        // SAFETY: outputs of the tape that just ran.
        let q = unsafe { bases.get(*place_j) };
        if slot_j.group.is_some() {
            for i in 0..BLOCK {
                if rows.psi.0[i] != 0.0 {
                    sums.gradient[target(slot_j, i)] += rows.psi.0[i] * q[i] * factor_j;
                }
            }
        }
        for (place_k, factor_k, slot_k) in &job.scattered[j..] {
            if slot_j.group.is_none() && slot_k.group.is_none() {
                continue;
            }
            // SAFETY: as above.
            let r = unsafe { bases.get(*place_k) };
            let factor = factor_j * factor_k;
            for i in 0..BLOCK {
                if rows.weight.0[i] != 0.0 {
                    let (a, b) = (target(slot_j, i), target(slot_k, i));
                    sums.matrix[a.min(b) * p + a.max(b)] += rows.weight.0[i] * q[i] * r[i] * factor;
                }
            }
        }
    }
    if job.mode == Mode::Newton {
        for &(place, factor, j, k) in job.scattered_second {
            let (slot_j, slot_k) = (&job.scattered[j].2, &job.scattered[k].2);
            // SAFETY: as above.
            let s = unsafe { bases.get(place) };
            for i in 0..BLOCK {
                if rows.psi.0[i] != 0.0 {
                    let (a, b) = (target(slot_j, i), target(slot_k, i));
                    sums.matrix[a.min(b) * p + a.max(b)] -= rows.psi.0[i] * s[i] * factor;
                }
            }
        }
    }
}

per_isa! {
    /// Accumulates over the blocks of a job.
    pub(crate) fn accumulate(job: &Job, sums: &mut Sums) { accumulate_generic }
}
