//! Exact derivatives, built as nodes of the same graph.

use super::{Binary, Graph, Id, Node, Unary, for_each_child};
use std::collections::HashMap;

/// Derivatives with respect to leaves, memoised: a node is differentiated once for each leaf that it depends on.
#[derive(Debug, Default)]
pub struct Derivatives {
    leaves: HashMap<Id, Leaf>,
}

/// What is known about one leaf.
#[derive(Debug, Default)]
struct Leaf {
    /// Whether each node depends on the leaf, for the nodes seen so far.
    depends: Vec<bool>,
    memo: HashMap<Id, Option<Id>>,
}

impl Leaf {
    fn of(&self, id: Id) -> Option<Id> {
        self.memo.get(&id).copied().flatten()
    }

    /// Looks at the nodes that were added to the graph since the last call.
    fn update(&mut self, g: &Graph, leaf: Id) {
        for i in self.depends.len()..g.len() {
            let id = Id::from_index(i);
            let mut depends = id == leaf || is_other_form(g, id, leaf);
            for_each_child(g.node(id), |c| depends |= self.depends[c.index()]);
            self.depends.push(depends);
        }
    }
}

/// Whether two leaves are the value and the logarithm of the same parameter.
fn is_other_form(g: &Graph, a: Id, b: Id) -> bool {
    match (g.node(a), g.node(b)) {
        (Node::Param(p), Node::LogParam(q)) | (Node::LogParam(p), Node::Param(q)) => p == q,
        _ => false,
    }
}

impl Derivatives {
    /// `d root / d leaf`, or `None` where it is identically zero.
    pub fn derive(&mut self, g: &mut Graph, root: Id, leaf: Id) -> Option<Id> {
        let state = self.leaves.entry(leaf).or_default();
        state.update(g, leaf);
        // An explicit stack over the nodes that depend on the leaf and are not differentiated yet.
        let mut pending = vec![root];
        while let Some(&id) = pending.last() {
            if !state.depends[id.index()] || state.memo.contains_key(&id) {
                pending.pop();
                continue;
            }
            let before = pending.len();
            for_each_child(g.node(id), |c| {
                if state.depends[c.index()] && !state.memo.contains_key(&c) {
                    pending.push(c);
                }
            });
            if pending.len() == before {
                let d = if id == leaf { Some(g.constant(1.0)) } else { state.rule(g, id, leaf) };
                state.memo.insert(id, d.filter(|&d| g.as_const(d) != Some(0.0)));
                pending.pop();
            }
        }
        state.of(root)
    }
}

impl Leaf {
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
                let da = self.of(a)?;
                let outer = unary_derivative(g, op, id, a)?;
                Some(g.mul(outer, da))
            }
            Node::Binary(op, a, b) => self.binary_rule(g, op, id, (a, b)),
            Node::Select(mask, a, b) => {
                let (da, db) = (self.of(a), self.of(b));
                if da.is_none() && db.is_none() {
                    return None;
                }
                let zero = g.constant(0.0);
                Some(g.select(mask, da.unwrap_or(zero), db.unwrap_or(zero)))
            }
            Node::LogSumExp(terms) => {
                let mut sum = None;
                for (k, &term) in terms.iter().enumerate() {
                    if let Some(dt) = self.of(term) {
                        let share = g.share(id, k);
                        let part = g.mul(share, dt);
                        sum = Some(plus(g, sum, part));
                    }
                }
                sum
            }
            Node::Share(lse, k) => {
                let Node::LogSumExp(terms) = g.node(lse).clone() else {
                    unreachable!("shares belong to a log-sum-exp")
                };
                let total = self.of(lse)?;
                let relative = match self.of(terms[k as usize]) {
                    Some(dt) => g.sub(dt, total),
                    None => g.neg(total),
                };
                Some(g.mul(id, relative))
            }
        }
    }

    fn binary_rule(&self, g: &mut Graph, op: Binary, id: Id, (a, b): (Id, Id)) -> Option<Id> {
        let (da, db) = (self.of(a), self.of(b));
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
