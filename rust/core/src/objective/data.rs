//! The rows of a problem: what is checked about them, and how they are laid out in blocks.

use super::{Options, Residual};
use crate::error::Error;
use crate::graph::LogUse;
use crate::law::Law;
use crate::program::{BLOCK, Block};

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

/// Rows that somebody else owns, as [`Data`]: a [`Problem`](super::Problem) keeps what it needs in a layout of its own.
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
    pub(super) fn to_data(&self) -> Data {
        Data {
            target: self.target.to_vec(),
            inputs: self.inputs.iter().map(|column| column.to_vec()).collect(),
            codes: self.codes.iter().map(|codes| codes.to_vec()).collect(),
            categories: self.categories.to_vec(),
            weights: self.weights.map(<[f64]>::to_vec),
        }
    }
}

/// Blocks as one slice of rows.
pub(super) trait Flatten {
    fn as_flattened_rows_mut(&mut self) -> &mut [f64];
}

impl Flatten for Vec<Block> {
    fn as_flattened_rows_mut(&mut self) -> &mut [f64] {
        // SAFETY: a block is BLOCK doubles without padding (BLOCK * 8 is a multiple of its alignment).
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast(), self.len() * BLOCK) }
    }
}

pub(super) fn pack(column: &[f64], blocks: usize) -> Vec<Block> {
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

pub(super) fn pack_weights(weights: &[f64], blocks: usize) -> Vec<Block> {
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

pub(super) fn pack_codes(codes: &[&[u32]], rows: usize, blocks: usize) -> Vec<[u32; BLOCK]> {
    let mut packed = Vec::with_capacity(blocks * codes.len());
    for b in 0..blocks {
        for column in codes {
            packed.push(std::array::from_fn(|i| column[(b * BLOCK + i).min(rows - 1)]));
        }
    }
    packed
}

/// A row of weight zero is out of the fit, whatever the law says there: it gets the contents of a row that counts, so
/// that zero times its residual is zero. None where there is no such row.
pub(super) fn without_weightless_rows(view: &View<'_>) -> Option<Data> {
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

pub(super) fn check_weights(weights: &[f64]) -> Result<(), Error> {
    if let Some(row) = weights.iter().position(|w| !w.is_finite() || *w < 0.0) {
        let problem = if weights[row] < 0.0 { "is negative" } else { "is not finite" };
        return Err(Error::Data { column: "weights".into(), row, problem: problem.into(), value: weights[row] });
    }
    if weights.iter().all(|w| *w == 0.0) {
        return Err(Error::Option("all weights are zero: no row is left to fit".into()));
    }
    Ok(())
}

pub(super) fn check_data(law: &Law, data: &View<'_>, options: &Options) -> Result<(), Error> {
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
