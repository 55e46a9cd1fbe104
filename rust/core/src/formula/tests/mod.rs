//! Tests of the whole formula language, one file a subject.

mod errors;
mod grammar;
mod latex;
mod limits;
mod printing;
mod substitution;

use super::{BinaryOp, Expr, ExprKind, Formula, FormulaError, Function, Span};

const NOWHERE: Span = Span::new(0, 0);

fn parse(text: &str) -> Formula {
    Formula::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn root(text: &str) -> Expr {
    parse(text).root
}

fn error(text: &str) -> FormulaError {
    Formula::parse(text).expect_err(text)
}

fn node(kind: ExprKind) -> Expr {
    Expr { kind, span: NOWHERE }
}

fn number(value: f64) -> Expr {
    node(ExprKind::Number(value))
}

fn name(name: &str) -> Expr {
    node(ExprKind::Name(name.to_owned()))
}

fn grouped(name: &str, column: &str) -> Expr {
    node(ExprKind::Grouped { name: name.to_owned(), column: column.to_owned() })
}

fn neg(operand: Expr) -> Expr {
    node(ExprKind::Neg(Box::new(operand)))
}

fn binary(left: Expr, op: BinaryOp, right: Expr) -> Expr {
    node(ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) })
}

fn call(function: Function, args: Vec<Expr>) -> Expr {
    node(ExprKind::Call { function, args })
}
