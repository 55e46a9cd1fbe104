//! The formula language: text in, syntax tree with source positions out.
//!
//! The grammar is Python's arithmetic plus `A[column]` (one parameter value per category of a column) and an
//! optional `target ~` in front:
//!
//! ```text
//! formula    = [name "~"] sum
//! sum        = product (("+" | "-") product)*            left associative
//! product    = unary (("*" | "/") unary)*                left associative
//! unary      = ("-" | "+") unary | power
//! power      = primary ["**" unary]                      right associative; -x**2 is -(x**2)
//! primary    = number | name | name "[" name "]" | function "(" sum ("," sum)* [","] ")" | "(" sum ")"
//! ```
//!
//! Formulas may come from people who are not trusted, so text length, nesting, tree depth and node count are
//! bounded ([`MAX_LENGTH`], [`MAX_NESTING`], [`MAX_DEPTH`], [`MAX_NODES`]) and every limit is an ordinary
//! [`FormulaError`].
//!
//! ```
//! use scalinglaws_core::formula::Formula;
//!
//! let law = Formula::parse("L ~ E + A/N**alpha + B/D**beta")?;
//! assert_eq!(law.target.as_deref(), Some("L"));
//! assert_eq!(law.names(), ["E", "A", "N", "alpha", "B", "D", "beta"]);
//! assert_eq!(law.to_string(), "L ~ E + A / N**alpha + B / D**beta");
//! assert_eq!(law.latex(), r"L = E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}}");
//! # Ok::<(), scalinglaws_core::formula::FormulaError>(())
//! ```

mod error;
mod function;
mod latex;
mod lexer;
mod parser;
mod print;
mod problem;
mod substitute;
#[cfg(test)]
mod tests;
mod tree;

pub use error::FormulaError;
pub use function::Function;
pub use tree::{BinaryOp, Expr, ExprKind, Postorder, Span};

/// Longest accepted formula text, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;

/// Most levels of parentheses, calls, unary signs and exponents inside one another.
pub const MAX_NESTING: usize = 128;

/// Most nodes on a path from the root of a tree to a leaf.
///
/// It is larger than [`MAX_NESTING`] because `a + b + c + ...` is a chain to the left: one level a term.
pub const MAX_DEPTH: usize = 1_000;

/// Most nodes of a tree.
pub const MAX_NODES: usize = 10_000;

/// A parsed formula.
///
/// Two formulas are equal when their targets and trees are equal, however they were spaced.
#[derive(Clone, Debug)]
pub struct Formula {
    /// The text that was parsed; the spans in [`root`](Self::root) refer to it.
    pub text: String,
    /// The predicted column: the name before `~`.
    pub target: Option<String>,
    /// The right-hand side.
    pub root: Expr,
}

impl Formula {
    /// Parse `text`.
    ///
    /// # Errors
    /// [`FormulaError`] with the position of the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, FormulaError> {
        parser::parse(text)
    }

    /// The names of parameters and inputs in the order in which they first appear: grouped parameters are included,
    /// the target and the columns in brackets are not.
    pub fn names(&self) -> Vec<&str> {
        first_appearances(self.root.postorder().filter_map(Expr::name))
    }

    /// Each grouped parameter and its column, in the order in which the parameters first appear.
    pub fn groups(&self) -> Vec<(&str, &str)> {
        first_appearances(self.root.postorder().filter_map(|node| match &node.kind {
            ExprKind::Grouped { name, column } => Some((name.as_str(), column.as_str())),
            _ => None,
        }))
    }
}

impl PartialEq for Formula {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target && self.root == other.root
    }
}

/// The distinct items in order of first appearance.
fn first_appearances<T: Copy + Eq + std::hash::Hash>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = std::collections::HashSet::new();
    items.filter(|item| seen.insert(*item)).collect()
}
