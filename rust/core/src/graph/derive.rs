//! Exact derivatives, built as nodes of the same graph.

use super::{Binary, Graph, Id, Node, Unary};
use std::collections::HashMap;

/// Derivatives with respect to one leaf at a time, memoised per leaf, in one pass in id order.
#[derive(Debug, Default)]
pub struct Derivatives {
    memo: HashMap<(Id, Id), Option<Id>>,
}

impl Derivatives {
    /// `d root / d leaf`, or `None` where it is identically zero.
    pub fn derive(&mut self, g: &mut Graph, root: Id, leaf: Id) -> Option<Id> {
        let needed = g.reachable(&[root]);
        for i in 0..=root.index() {
            let id = Id(i as u32);
            if !needed[i] || self.memo.contains_key(&(id, leaf)) {
                continue;
            }
            let d = if id == leaf { Some(g.constant(1.0)) } else { self.rule(g, id, leaf) };
            let d = d.filter(|&d| g.as_const(d) != Some(0.0));
            self.memo.insert((id, leaf), d);
        }
        self.of(root, leaf)
    }

    fn of(&self, id: Id, leaf: Id) -> Option<Id> {
        self.memo.get(&(id, leaf)).copied().flatten()
    }

    fn rule(&self, g: &mut Graph, id: Id, leaf: Id) -> Option<Id> {
        match g.node(id).clone() {
            Node::Const(_) | Node::Input(_) => None,
            // The leaf of a parameter is either its natural value or its logarithm; the other follows from it.
            Node::Param(p) => match *g.node(leaf) {
                Node::LogParam(q) if p == q => Some(id),
                _ => None,
            },
            Node::LogParam(p) => match *g.node(leaf) {
                Node::Param(q) if p == q => {
                    let one = g.constant(1.0);
                    Some(g.div(one, leaf))
                }
                _ => None,
            },
            Node::Unary(op, a) => {
                let da = self.of(a, leaf)?;
                let outer = unary_derivative(g, op, id, a)?;
                Some(g.mul(outer, da))
            }
            Node::Binary(op, a, b) => self.binary_rule(g, op, id, (a, b), leaf),
            Node::Select(mask, a, b) => {
                let (da, db) = (self.of(a, leaf), self.of(b, leaf));
                if da.is_none() && db.is_none() {
                    return None;
                }
                let zero = g.constant(0.0);
                Some(g.select(mask, da.unwrap_or(zero), db.unwrap_or(zero)))
            }
            Node::LogSumExp(terms) => {
                let mut sum = None;
                for (k, &term) in terms.iter().enumerate() {
                    if let Some(dt) = self.of(term, leaf) {
                        let share = g.share(id, k);
                        let part = g.mul(share, dt);
                        sum = Some(plus(g, sum, part));
                    }
                }
                sum
            }
            Node::Share(lse, k) => {
                let Node::LogSumExp(terms) = g.node(lse).clone() else { unreachable!("shares belong to a log-sum-exp") };
                let total = self.of(lse, leaf)?;
                let relative = match self.of(terms[k as usize], leaf) {
                    Some(dt) => g.sub(dt, total),
                    None => g.neg(total),
                };
                Some(g.mul(id, relative))
            }
        }
    }

    fn binary_rule(&self, g: &mut Graph, op: Binary, id: Id, (a, b): (Id, Id), leaf: Id) -> Option<Id> {
        let (da, db) = (self.of(a, leaf), self.of(b, leaf));
        if da.is_none() && db.is_none() {
            return None;
        }
        let zero = g.constant(0.0);
        match op {
            Binary::Add => Some(match (da, db) {
                (Some(x), Some(y)) => g.add(x, y),
                (x, y) => x.or(y)?,
            }),
            Binary::Sub => Some(match (da, db) {
                (Some(x), Some(y)) => g.sub(x, y),
                (Some(x), None) => x,
                (None, y) => g.neg(y?),
            }),
            Binary::Mul => {
                let mut sum = None;
                if let Some(x) = da {
                    sum = Some(g.mul(x, b));
                }
                if let Some(y) = db {
                    let part = g.mul(a, y);
                    sum = Some(plus(g, sum, part));
                }
                sum
            }
            Binary::Div => {
                // (da - (a/b) db) / b
                let numerator = match (da, db) {
                    (Some(x), Some(y)) => {
                        let part = g.mul(id, y);
                        g.sub(x, part)
                    }
                    (Some(x), None) => x,
                    (None, y) => {
                        let part = g.mul(id, y?);
                        g.neg(part)
                    }
                };
                Some(g.div(numerator, b))
            }
            Binary::Pow => {
                let mut sum = None;
                if let Some(x) = da {
                    // b a**(b-1) stays finite at a = 0, where a**b / a would not.
                    let one = g.constant(1.0);
                    let lower = g.sub(b, one);
                    let power = g.binary(Binary::Pow, a, lower);
                    let slope = g.mul(b, power);
                    sum = Some(g.mul(slope, x));
                }
                if let Some(y) = db {
                    let log = g.unary(Unary::LogBase, a);
                    let slope = g.mul(id, log);
                    let part = g.mul(slope, y);
                    sum = Some(plus(g, sum, part));
                }
                sum
            }
            Binary::Min | Binary::Max => {
                let mask = if op == Binary::Min { g.binary(Binary::Le, a, b) } else { g.binary(Binary::Le, b, a) };
                Some(g.select(mask, da.unwrap_or(zero), db.unwrap_or(zero)))
            }
            Binary::Le => None,
        }
    }
}

fn plus(g: &mut Graph, sum: Option<Id>, part: Id) -> Id {
    match sum {
        Some(sum) => g.add(sum, part),
        None => part,
    }
}

/// Derivative of a unary operation `id = op(a)`; `None` where it is zero almost everywhere.
fn unary_derivative(g: &mut Graph, op: Unary, id: Id, a: Id) -> Option<Id> {
    let one = g.constant(1.0);
    Some(match op {
        Unary::Neg => g.constant(-1.0),
        Unary::Exp => id,
        Unary::Log | Unary::LogBase => g.div(one, a),
        Unary::Log1p => {
            let shifted = g.add(one, a);
            g.div(one, shifted)
        }
        Unary::Expm1 => g.exp(a),
        Unary::Sqrt => {
            let half = g.constant(0.5);
            g.div(half, id)
        }
        Unary::Abs => g.unary(Unary::Sign, a),
        Unary::Sign => return None,
        Unary::Sin => g.unary(Unary::Cos, a),
        Unary::Cos => {
            let sin = g.unary(Unary::Sin, a);
            g.neg(sin)
        }
        Unary::Tan => {
            let square = g.mul(id, id);
            g.add(one, square)
        }
        Unary::Atan => {
            let square = g.mul(a, a);
            let sum = g.add(one, square);
            g.div(one, sum)
        }
        Unary::Tanh => {
            // 1 - tanh^2 cancels in the tails; 4 s(2a) s(-2a) does not.
            let two = g.constant(2.0);
            let twice = g.mul(two, a);
            let up = g.unary(Unary::Sigmoid, twice);
            let minus = g.neg(twice);
            let down = g.unary(Unary::Sigmoid, minus);
            let four = g.constant(4.0);
            let product = g.mul(up, down);
            g.mul(four, product)
        }
        Unary::Sigmoid => {
            let minus = g.neg(a);
            let down = g.unary(Unary::Sigmoid, minus);
            g.mul(id, down)
        }
        Unary::Softplus => g.unary(Unary::Sigmoid, a),
        Unary::Erf => gaussian(g, a, -1.0, std::f64::consts::FRAC_2_SQRT_PI),
        Unary::Normcdf => gaussian(g, a, -0.5, 0.398_942_280_401_432_7),
    })
}

/// `scale * exp(rate * a**2)`
fn gaussian(g: &mut Graph, a: Id, rate: f64, scale: f64) -> Id {
    let (rate, scale) = (g.constant(rate), g.constant(scale));
    let square = g.mul(a, a);
    let exponent = g.mul(rate, square);
    let bell = g.exp(exponent);
    g.mul(scale, bell)
}
