//! Trees to formula text with the fewest parentheses that parse to the same tree.

use super::{BinaryOp, Expr, ExprKind, Formula};
use std::fmt::{Display, Formatter, Result, Write};

/// How tightly a node holds together in text, from a sum to what never needs parentheses.
const SUM: u8 = 1;
const PRODUCT: u8 = 2;
const SIGN: u8 = 3;
const POWER: u8 = 4;
const ATOM: u8 = 5;

fn strength(expr: &Expr) -> u8 {
    match &expr.kind {
        ExprKind::Number(value) if value.is_sign_negative() => SIGN,
        ExprKind::Number(_) | ExprKind::Name(_) | ExprKind::Grouped { .. } | ExprKind::Call { .. } => ATOM,
        ExprKind::Neg(_) => SIGN,
        ExprKind::Binary { op, .. } => match op {
            BinaryOp::Add | BinaryOp::Sub => SUM,
            BinaryOp::Mul | BinaryOp::Div => PRODUCT,
            BinaryOp::Pow => POWER,
        },
    }
}

enum Piece<'a> {
    Text(&'a str),
    /// A subtree, in parentheses if it is weaker than the given strength.
    Tree(&'a Expr, u8),
}

/// Write the tree without recursion: what is still to be written waits on a stack, the next piece on top.
pub(super) fn write(root: &Expr, out: &mut impl Write) -> Result {
    let mut waiting = vec![Piece::Tree(root, SUM)];
    while let Some(piece) = waiting.pop() {
        match piece {
            Piece::Text(text) => out.write_str(text)?,
            Piece::Tree(expr, least) if strength(expr) < least => {
                waiting.extend([Piece::Text(")"), Piece::Tree(expr, SUM), Piece::Text("(")]);
            }
            Piece::Tree(expr, _) => match &expr.kind {
                ExprKind::Number(value) => out.write_str(&number(*value))?,
                ExprKind::Name(name) => out.write_str(name)?,
                ExprKind::Grouped { name, column } => write!(out, "{name}[{column}]")?,
                ExprKind::Neg(operand) => {
                    waiting.extend([Piece::Tree(operand, SIGN), Piece::Text("-")]);
                }
                ExprKind::Binary { op, left, right } => {
                    let (text, left_least, right_least) = match op {
                        BinaryOp::Add => (" + ", SUM, PRODUCT),
                        BinaryOp::Sub => (" - ", SUM, PRODUCT),
                        BinaryOp::Mul => (" * ", PRODUCT, SIGN),
                        BinaryOp::Div => (" / ", PRODUCT, SIGN),
                        BinaryOp::Pow => ("**", ATOM, SIGN),
                    };
                    waiting.extend([Piece::Tree(right, right_least), Piece::Text(text), Piece::Tree(left, left_least)]);
                }
                ExprKind::Call { function, args } => {
                    out.write_str(function.name())?;
                    out.write_char('(')?;
                    waiting.push(Piece::Text(")"));
                    for (index, argument) in args.iter().enumerate().rev() {
                        waiting.push(Piece::Tree(argument, SUM));
                        if index > 0 {
                            waiting.push(Piece::Text(", "));
                        }
                    }
                }
            },
        }
    }
    Ok(())
}

/// The shortest text that reads back as `value`, with an exponent only where that saves much.
pub(super) fn number(value: f64) -> String {
    let (plain, scientific) = (format!("{value}"), format!("{value:e}"));
    if plain.len() > scientific.len() + 3 { scientific } else { plain }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write(self, f)
    }
}

impl Display for Formula {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if let Some(target) = &self.target {
            write!(f, "{target} ~ ")?;
        }
        write(&self.root, f)
    }
}
