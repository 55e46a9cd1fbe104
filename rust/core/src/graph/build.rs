//! From the syntax tree to the graph, moving products, quotients and powers of positive quantities to the log
//! domain on the way.

use super::{Binary, Graph, Id, Node, Stage, Unary};
use crate::formula::{BinaryOp, Expr, ExprKind, Function};
use std::collections::HashMap;

/// Smallest value that the solver gives to a positive parameter; reported as zero.
pub const NEARLY_ZERO: f64 = 1e-150;

/// Domain of a parameter, as far as the graph cares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamKind {
    /// Any real number.
    Real,
    /// Positive.
    Positive,
    /// Between two bounds, both included.
    Box(f64, f64),
}

impl ParamKind {
    /// Whether negative values are excluded, so that products with it may move to the log domain.
    pub fn is_positive(self) -> bool {
        matches!(self, Self::Positive) || matches!(self, Self::Box(lo, _) if lo > 0.0)
    }

    /// Bounds on the value. Zero is replaced by a number whose inverse square still is finite.
    pub fn bounds(self) -> (f64, f64) {
        match self {
            Self::Real => (f64::NEG_INFINITY, f64::INFINITY),
            Self::Positive => (NEARLY_ZERO, f64::INFINITY),
            Self::Box(lo, hi) => (lo, hi),
        }
    }
}

/// Coordinate in which a parameter is differentiated and in which the solver moves it. It follows from the formula: a
/// positive parameter that only multiplies, divides or adds up in the log domain moves on its logarithm; one that is an
/// exponent or a plain term moves on its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinate {
    /// Its value.
    Natural,
    /// The logarithm of its value.
    Log,
}

/// What each name of a formula stands for.
#[derive(Clone, Debug, Default)]
pub struct Leaves {
    /// Input columns by name.
    pub inputs: HashMap<String, u32>,
    /// Parameter slots by name.
    pub params: HashMap<String, u32>,
}

/// Adds an expression to the graph. The graph must know the leaves' domains.
///
/// # Panics
/// When a name is not among `leaves`.
pub fn build(g: &mut Graph, leaves: &Leaves, expr: &Expr) -> Id {
    // A stack machine over the postorder: trees are too deep for recursion on a small stack.
    let mut done: Vec<Id> = Vec::new();
    for node in expr.postorder() {
        let operands = done.split_off(done.len() - node.children().count());
        let id = match &node.kind {
            ExprKind::Number(x) => g.constant(*x),
            ExprKind::Name(name) | ExprKind::Grouped { name, .. } => match leaves.params.get(name) {
                Some(&slot) => g.param(slot),
                None => g.input(leaves.inputs[name]),
            },
            ExprKind::Neg(_) => g.neg(operands[0]),
            ExprKind::Binary { op, .. } => {
                let (a, b) = (operands[0], operands[1]);
                match op {
                    BinaryOp::Add => g.add(a, b),
                    BinaryOp::Sub => g.sub(a, b),
                    BinaryOp::Mul => product(g, a, b),
                    BinaryOp::Div => quotient(g, a, b),
                    BinaryOp::Pow => power(g, a, b),
                }
            }
            ExprKind::Call { function, .. } => call(g, *function, &operands),
        };
        done.push(id);
    }
    done.pop().expect("every tree has a root")
}

/// Whether folding this factor into an exponential costs no further exponential per row.
fn folds(g: &Graph, id: Id) -> bool {
    matches!(g.node(id), Node::Unary(Unary::Exp, _)) || g.stage(id) == Stage::Scalar
}

fn logs_to_fuse(g: &mut Graph, a: Id, b: Id) -> Option<(Id, Id)> {
    let exp = |g: &Graph, id| matches!(g.node(id), Node::Unary(Unary::Exp, _));
    if !(exp(g, a) || exp(g, b)) || !(folds(g, a) && folds(g, b)) {
        return None;
    }
    Some((g.log_of(a)?, g.log_of(b)?))
}

fn product(g: &mut Graph, a: Id, b: Id) -> Id {
    if let Some((x, y)) = logs_to_fuse(g, a, b) {
        let sum = g.add(x, y);
        return g.exp(sum);
    }
    g.mul(a, b)
}

fn quotient(g: &mut Graph, a: Id, b: Id) -> Id {
    if let Some((x, y)) = logs_to_fuse(g, a, b) {
        let difference = g.sub(x, y);
        return g.exp(difference);
    }
    if let (Some(1.0), Node::Unary(Unary::Exp, x)) = (g.as_const(a), g.node(b).clone()) {
        let minus = g.neg(x);
        return g.exp(minus);
    }
    g.div(a, b)
}

fn power(g: &mut Graph, base: Id, exponent: Id) -> Id {
    let is_exp = matches!(g.node(base), Node::Unary(Unary::Exp, _));
    if let Some(n) = g.as_const(exponent) {
        if n == 0.5 && !is_exp {
            return g.unary(Unary::Sqrt, base);
        }
        if multiplies(n) && !is_exp {
            return integer_power(g, base, n as i32);
        }
    }
    match g.log_of(base) {
        Some(log) => {
            let scaled = g.mul(exponent, log);
            g.exp(scaled)
        }
        None => g.binary(Binary::Pow, base, exponent),
    }
}

/// Whether a power is a product of its base, which then may be negative.
fn multiplies(exponent: f64) -> bool {
    exponent.fract() == 0.0 && exponent.abs() <= 1024.0
}

fn integer_power(g: &mut Graph, base: Id, n: i32) -> Id {
    let one = g.constant(1.0);
    let (mut square, mut left, mut product) = (base, n.unsigned_abs(), one);
    while left > 0 {
        if left & 1 == 1 {
            product = g.mul(product, square);
        }
        left >>= 1;
        if left > 0 {
            square = g.mul(square, square);
        }
    }
    if n < 0 { g.div(one, product) } else { product }
}

fn call(g: &mut Graph, function: Function, args: &[Id]) -> Id {
    let a = args[0];
    let simple = |op: Unary, g: &mut Graph| g.unary(op, a);
    match function {
        Function::Exp => g.exp(a),
        Function::Log => log(g, a),
        Function::Log2 => scaled_log(g, a, std::f64::consts::LOG2_E),
        Function::Log10 => scaled_log(g, a, std::f64::consts::LOG10_E),
        Function::Log1p => simple(Unary::Log1p, g),
        Function::Expm1 => simple(Unary::Expm1, g),
        Function::Sqrt => simple(Unary::Sqrt, g),
        Function::Abs => simple(Unary::Abs, g),
        Function::Sin => simple(Unary::Sin, g),
        Function::Cos => simple(Unary::Cos, g),
        Function::Tan => simple(Unary::Tan, g),
        Function::Atan => simple(Unary::Atan, g),
        Function::Tanh => simple(Unary::Tanh, g),
        Function::Sigmoid => simple(Unary::Sigmoid, g),
        Function::Softplus => simple(Unary::Softplus, g),
        Function::Erf => simple(Unary::Erf, g),
        Function::Normcdf => simple(Unary::Normcdf, g),
        Function::Min => args[1..].iter().fold(a, |x, &y| g.binary(Binary::Min, x, y)),
        Function::Max => args[1..].iter().fold(a, |x, &y| g.binary(Binary::Max, x, y)),
    }
}

fn log(g: &mut Graph, a: Id) -> Id {
    // A logarithm written by the user is minus infinity at zero, unlike the one under a power.
    if matches!(g.node(a), Node::Input(_)) { g.unary(Unary::Log, a) } else { g.to_log(a) }
}

fn scaled_log(g: &mut Graph, a: Id, scale: f64) -> Id {
    let log = log(g, a);
    let scale = g.constant(scale);
    g.mul(scale, log)
}

/// How a formula uses its inputs' logarithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogUse {
    /// Base of a power: zero is fine, negative is not.
    Power,
    /// Argument of a logarithm: must be positive.
    Log,
}

/// Names whose logarithm the formula takes, with the stricter of their uses.
pub fn log_uses(expr: &Expr) -> HashMap<String, LogUse> {
    let mut uses = HashMap::new();
    for node in expr.postorder() {
        match &node.kind {
            ExprKind::Binary { op: BinaryOp::Pow, left, right } if !is_integer(right) => {
                mark(left, LogUse::Power, &mut uses);
            }
            ExprKind::Call { function: Function::Log | Function::Log2 | Function::Log10, args } => {
                mark(&args[0], LogUse::Log, &mut uses);
            }
            ExprKind::Call { function: Function::Sqrt, args } => mark(&args[0], LogUse::Power, &mut uses),
            _ => {}
        }
    }
    uses
}

/// Whether an exponent is a number for which [`integer_power`] multiplies.
fn is_integer(mut expr: &Expr) -> bool {
    while let ExprKind::Neg(inner) = &expr.kind {
        expr = inner;
    }
    matches!(expr.kind, ExprKind::Number(x) if multiplies(x))
}

/// Marks the factors of a product whose logarithm is taken. Terms of a sum may have any sign.
fn mark(expr: &Expr, how: LogUse, uses: &mut HashMap<String, LogUse>) {
    let mut pending = vec![expr];
    while let Some(expr) = pending.pop() {
        match &expr.kind {
            ExprKind::Name(name) | ExprKind::Grouped { name, .. } => {
                let entry = uses.entry(name.clone()).or_insert(how);
                *entry = (*entry).max(how);
            }
            // The factors of a product may both be negative: only single factors and quotients are unambiguous,
            // and scaling-law inputs (counts, budgets) are positive, so all factors are taken to be.
            ExprKind::Binary { op: BinaryOp::Mul | BinaryOp::Div, left, right } => pending.extend([&**left, &**right]),
            ExprKind::Binary { op: BinaryOp::Pow, left, right } if !is_integer(right) => pending.push(left),
            ExprKind::Call { function: Function::Sqrt, args } => pending.push(&args[0]),
            // The logarithm of the smaller one is taken somewhere, and which one that is depends on the row.
            ExprKind::Call { function: Function::Min, args } => pending.extend(args),
            _ => {}
        }
    }
}
