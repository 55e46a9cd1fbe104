//! Straight-line programs over blocks of rows.
//!
//! [`lower`] turns graph nodes into a [`Tape`]: instructions whose operands are either registers or columns of the
//! data, each holding one [`Block`] of rows. [`execute`] runs a tape for one block.

mod execute;
mod lower;
mod scalar;

pub use execute::{Bases, execute};
pub(crate) use execute::{per_isa, run_tape};
pub use lower::{Lowering, lower};
pub use scalar::ScalarProgram;

/// Rows that one instruction works on. At 64 doubles the dispatch of an instruction costs less than its arithmetic
/// and forty registers still fit in the first-level cache.
pub const BLOCK: usize = 64;

/// One register or one piece of a column.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Block(pub [f64; BLOCK]);

impl Block {
    /// All rows zero.
    pub const ZERO: Self = Self([0.0; BLOCK]);
}

/// Where an operand lives: a register, or (high bit set) a column of the current data block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(u32);

impl Place {
    const COLUMN: u32 = 1 << 31;

    /// Register number `index`.
    pub fn register(index: usize) -> Self {
        Self(index as u32)
    }

    /// Column number `index` of the block-major data.
    pub fn column(index: usize) -> Self {
        Self(index as u32 | Self::COLUMN)
    }

    /// Register number, for a register.
    pub fn as_register(self) -> usize {
        debug_assert!(self.0 & Self::COLUMN == 0);
        self.0 as usize
    }

    /// Column number, for a column.
    pub fn as_column(self) -> Option<usize> {
        (self.0 & Self::COLUMN != 0).then_some((self.0 & !Self::COLUMN) as usize)
    }
}

/// Operation of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the names are those of the graph's operations
pub enum Code {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
    Le,
    /// `a * b + c`
    MulAdd,
    /// `c - a * b`
    NegMulAdd,
    /// `a * b - c`
    MulSub,
    Neg,
    Recip,
    Select,
    /// Table value of each row's category: `a` is the table, `b` the group column.
    Gather,
    /// `exp(a - b)`, the terms of a log-sum-exp.
    ExpSub,
    Exp,
    Log,
    LogBase,
    Log1p,
    Expm1,
    Sqrt,
    Abs,
    Sign,
    Sin,
    Cos,
    Tan,
    Atan,
    Tanh,
    Sigmoid,
    Softplus,
    Erf,
    Normcdf,
}

/// One instruction. The destination register never is one of the operands.
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    /// Operation.
    pub code: Code,
    /// Destination register.
    pub to: u32,
    /// Operands; unused ones repeat the first.
    pub a: Place,
    /// Second operand.
    pub b: Place,
    /// Third operand.
    pub c: Place,
}

/// A lowered program.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// Instructions in order.
    pub code: Vec<Instruction>,
    /// Registers that hold one scalar in all rows, filled before the first block of a call: (register, scalar).
    pub splats: Vec<(u32, u32)>,
    /// Number of registers.
    pub registers: usize,
    /// Where each requested output is found after a run.
    pub outputs: Vec<Place>,
}
