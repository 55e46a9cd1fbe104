//! Errors of the library.

use crate::formula::FormulaError;
use crate::objective::LossError;
use thiserror::Error;

/// Anything that can be wrong with what a caller hands over. Failure to converge is not an error but a
/// [`Status`](crate::Status).
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Error {
    /// The formula is wrong.
    #[error(transparent)]
    Formula(#[from] FormulaError),
    /// The loss is wrong.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A name that the law does not have.
    #[error("{0:?} is neither an input nor a parameter of the law")]
    UnknownName(String),
    /// Wrong number of columns.
    #[error("expected {expected} columns, found {found}")]
    Columns {
        /// Wanted.
        expected: usize,
        /// Got.
        found: usize,
    },
    /// Columns of different length.
    #[error("expected arrays of length {expected}, found one of length {found}")]
    Length {
        /// Wanted.
        expected: usize,
        /// Got.
        found: usize,
    },
    /// A value that the fit cannot use.
    #[error("column {column:?} {problem} at row {row} ({value})")]
    Data {
        /// Column, by the law's name for it.
        column: String,
        /// First row, counted from zero.
        row: usize,
        /// What is wrong.
        problem: String,
        /// The value there.
        value: f64,
    },
    /// A part of the formula without parameters that has no value on some row.
    #[error("a part of the formula that depends on {columns} only has no finite value at row {row}")]
    Undefined {
        /// Columns involved.
        columns: String,
        /// First row, counted from zero.
        row: usize,
    },
    /// An option out of range.
    #[error("{0}")]
    Option(String),
}
