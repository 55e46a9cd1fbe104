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

/// Largest number of right-hand columns of one tile: with two left-hand columns its sums fit in the registers.
const TILE: usize = 6;

/// Adds the products of two left-hand columns with `N` right-hand ones to their running sums. The second left-hand
/// column has no sum with the first right-hand one if `skip`.
#[inline(always)]
unsafe fn tile<K: Kernels, const N: usize>(
    left: [&[f64; BLOCK]; 2],
    right: [&[f64; BLOCK]; N],
    first: &mut [[f64; LANES]],
    second: &mut [[f64; LANES]],
    skip: usize,
) {
    // SAFETY: called for the instruction set of the enclosing function.
    unsafe {
        let zero = K::load(&[0.0; LANES]);
        let mut one = [zero; N];
        let mut two = [zero; N];
        for n in 0..N {
            one[n] = K::load(&first[n]);
            if n >= skip {
                two[n] = K::load(&second[n - skip]);
            }
        }
        for c in 0..BLOCK / LANES {
            let at = c * LANES..(c + 1) * LANES;
            let (a, b) = (K::load(&left[0][at.clone()]), K::load(&left[1][at.clone()]));
            for n in 0..N {
                let r = K::load(&right[n][at.clone()]);
                one[n] = K::mul_add(a, r, one[n]);
                two[n] = K::mul_add(b, r, two[n]);
            }
        }
        for n in 0..N {
            K::store(one[n], &mut first[n]);
            if n >= skip {
                K::store(two[n], &mut second[n - skip]);
            }
        }
    }
}

/// Adds the products of two left-hand columns with `count` right-hand ones.
#[inline(always)]
unsafe fn pair<'a, K: Kernels>(
    left: [&[f64; BLOCK]; 2],
    count: usize,
    column: impl Fn(usize) -> &'a [f64; BLOCK],
    (first, second): (&mut [[f64; LANES]], &mut [[f64; LANES]]),
    skip: usize,
) {
    let mut k = 0;
    while k < count {
        // The second row has one entry less where it skips, so its later entries stand one place further to the left.
        let at = if k == 0 { 0 } else { k - skip };
        let skip = if k == 0 { skip } else { 0 };
        let (f, s) = (&mut first[k..], &mut second[at..]);
        let c = |n: usize| column(k + n);
        // SAFETY: passed on from the caller.
        unsafe {
            match count - k {
                1 => tile::<K, 1>(left, [c(0)], f, s, skip),
                2 => tile::<K, 2>(left, [c(0), c(1)], f, s, skip),
                3 => tile::<K, 3>(left, [c(0), c(1), c(2)], f, s, skip),
                4 => tile::<K, 4>(left, [c(0), c(1), c(2), c(3)], f, s, skip),
                5 => tile::<K, 5>(left, [c(0), c(1), c(2), c(3), c(4)], f, s, skip),
                _ => tile::<K, TILE>(left, [c(0), c(1), c(2), c(3), c(4), c(5)], f, s, skip),
            }
        }
        k += TILE;
    }
}

/// `psi` and matrix weight of one block.
struct Rows {
    psi: Block,
    weight: Block,
}

#[inline(always)]
fn loss_block<K: Kernels, const MODE: u8>(
    kernel: &Kernel,
    shape: Shape,
    (value, target, weights): (&[f64; BLOCK], &[f64; BLOCK], &[f64; BLOCK]),
    rows: &mut Rows,
    loss: &mut [f64; LANES],
) {
    let mut inverse = Block::ZERO;
    if MODE == GAUSS && Kernel::needs_inverse(shape) {
        let mut size = Block::ZERO;
        for i in 0..BLOCK {
            size.0[i] = (target[i] - value[i]).abs();
        }
        // SAFETY: called for the instruction set of the enclosing function.
        unsafe { K::recip(&size.0, &mut inverse.0) };
    }
    // One flat loop without a running sum: the compiler makes vector code of it.
    let mut rho = Block::ZERO;
    for i in 0..BLOCK {
        let at = kernel.at(shape, target[i] - value[i], inverse.0[i]);
        let w = weights[i];
        rho.0[i] = at.rho;
        if MODE != VALUE {
            let psi = w * at.psi;
            rows.psi.0[i] = psi;
            rows.weight.0[i] = match MODE {
                RELATIVE => w * at.curvature + psi,
                NEWTON => w * at.curvature,
                _ => w * at.weight,
            };
        }
    }
    // SAFETY: called for the instruction set of the enclosing function.
    unsafe {
        let mut sum = K::load(loss);
        for c in 0..BLOCK / LANES {
            let at = c * LANES..(c + 1) * LANES;
            sum = K::mul_add(K::load(&weights[at.clone()]), K::load(&rho.0[at]), sum);
        }
        K::store(sum, loss);
    }
}

const VALUE: u8 = 0;
const GAUSS: u8 = 1;
const NEWTON: u8 = 2;
/// Newton with second derivatives relative to the value.
const RELATIVE: u8 = 3;

#[inline(always)]
unsafe fn accumulate_mode<K: Kernels, const FMA: bool, const MODE: u8>(job: &Job, sums: &mut Sums) {
    let mut rows = Rows { psi: Block::ZERO, weight: Block::ZERO };
    let (mut weighted, mut other) = (Block::ZERO, Block::ZERO);
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
            let (kernel, rows, loss) = (&job.kernel, &mut rows, &mut sums.lanes[0]);
            match kernel.shape {
                Shape::Squared => loss_block::<K, MODE>(kernel, Shape::Squared, data, rows, loss),
                Shape::Huber => loss_block::<K, MODE>(kernel, Shape::Huber, data, rows, loss),
                Shape::SoftL1 => loss_block::<K, MODE>(kernel, Shape::SoftL1, data, rows, loss),
                Shape::Cauchy => loss_block::<K, MODE>(kernel, Shape::Cauchy, data, rows, loss),
                Shape::Kink => loss_block::<K, MODE>(kernel, Shape::Kink, data, rows, loss),
            }
            if MODE == VALUE {
                continue;
            }
            // Left-hand columns are psi and the weighted outputs, two at a time; row j of the upper triangle starts
            // at column j, so the second of a pair of outputs skips its first product.
            let column = |k: usize| bases.get(job.dense[k]);
            let weigh = |to: &mut Block, k: usize| {
                for ((to, weight), q) in to.0.iter_mut().zip(&rows.weight.0).zip(column(k)) {
                    *to = weight * q;
                }
            };
            let mut at = 1 + dense;
            let mut j = 0;
            if dense > 0 {
                weigh(&mut weighted, 0);
                let (gradient, matrix) = sums.lanes[1..].split_at_mut(dense);
                pair::<K>([&rows.psi.0, &weighted.0], dense, column, (gradient, matrix), 0);
                at += dense;
                j = 1;
            }
            while j < dense {
                weigh(&mut weighted, j);
                let last = j + 1 == dense;
                if last {
                    other = Block::ZERO;
                } else {
                    weigh(&mut other, j + 1);
                }
                let count = dense - j;
                let (first, second) = sums.lanes[at..].split_at_mut(count);
                let left = [&weighted.0, &other.0];
                if last {
                    tile::<K, 1>(left, [column(j)], first, &mut [], 1);
                } else {
                    pair::<K>(left, count, |k| column(j + k), (first, second), 1);
                }
                at += count + (count - 1);
                j += 2;
            }
            if MODE >= NEWTON {
                let second = |k: usize| bases.get(job.second[k]);
                at = 1 + dense + dense * (dense + 1) / 2;
                let mut nothing = [[0.0; LANES]; TILE];
                for k in (0..job.second.len()).step_by(TILE) {
                    let count = TILE.min(job.second.len() - k);
                    let sums = (&mut sums.lanes[at + k..], &mut nothing[..]);
                    pair::<K>([&rows.psi.0, &rows.psi.0], count, |n| second(k + n), sums, 0);
                }
            }
            if !job.scattered.is_empty() {
                scatter(job, bases, rows, sums);
            }
        }
    }
}

#[inline(always)]
unsafe fn accumulate_generic<K: Kernels, const FMA: bool>(job: &Job, sums: &mut Sums) {
    // SAFETY: passed on from the caller.
    unsafe {
        match (job.mode, job.relative) {
            (Mode::Value, _) => accumulate_mode::<K, FMA, VALUE>(job, sums),
            (Mode::Gauss, _) => accumulate_mode::<K, FMA, GAUSS>(job, sums),
            (Mode::Newton, false) => accumulate_mode::<K, FMA, NEWTON>(job, sums),
            (Mode::Newton, true) => accumulate_mode::<K, FMA, RELATIVE>(job, sums),
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
            for (i, (psi, q)) in rows.psi.0.iter().zip(q).enumerate().filter(|(_, (psi, _))| **psi != 0.0) {
                sums.gradient[target(slot_j, i)] += psi * q * factor_j;
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
            for (i, (psi, s)) in rows.psi.0.iter().zip(s).enumerate().filter(|(_, (psi, _))| **psi != 0.0) {
                let (a, b) = (target(slot_j, i), target(slot_k, i));
                sums.matrix[a.min(b) * p + a.max(b)] -= psi * s * factor;
            }
        }
    }
}

per_isa! {
    /// Accumulates over the blocks of a job.
    pub(crate) fn accumulate(job: &Job, sums: &mut Sums) { accumulate_generic }
}
