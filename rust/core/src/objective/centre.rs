//! Coefficients measured at the middle of the data.
//!
//! In `a * N**g + b` a change of the power `g` changes the whole term by orders of magnitude, because `log N` is
//! large: what the fit knows is the term's size in the middle of the data, not its coefficient at `N = 1`. Such a
//! coefficient is replaced by that size, `a' = a * exp(g * mean(log N))`, inside the solver only. A positive coefficient
//! does not need it: it moves on its logarithm, where the same change is linear.

use crate::graph::{Binary, Derivatives, Graph, Id, Node, Stage, Unary};

/// Largest mean that is taken for the middle of a column; beyond it stands the logarithm of a zero.
const LARGEST_MIDDLE: f64 = 1e6;

/// A coefficient that the solver measures at the middle of the data.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Centre {
    /// Slot of the coefficient.
    pub(super) slot: usize,
    /// Slots in the exponent that multiplies it, and the mean of the columns that they multiply.
    pub(super) terms: Vec<(usize, f64)>,
}

impl Centre {
    /// Logarithm of the factor from the coefficient to its size in the middle.
    pub(super) fn log_factor(&self, value: impl Fn(usize) -> f64) -> f64 {
        self.terms.iter().map(|&(slot, mean)| mean * value(slot)).sum()
    }
}

/// Rewrites the law so that each of the `coefficients` that only multiplies one exponential is measured at the middle
/// of the data. `powers` are the slots whose exponents count, `mean` gives the mean over the rows of a node that depends on
/// data only. Returns the new root and what was done.
pub(super) fn centre(
    g: &mut Graph,
    mut root: Id,
    coefficients: &[usize],
    powers: &[usize],
    mean: impl Fn(&Graph, Id) -> f64,
) -> (Id, Vec<Centre>) {
    let (mut derivatives, mut centres) = (Derivatives::default(), Vec::new());
    for &slot in coefficients {
        let coefficient = g.param(slot as u32);
        let Some((product, exponent)) = only_product(g, root, coefficient) else { continue };
        let (mut terms, mut centred) = (Vec::new(), exponent);
        for &power in powers.iter().filter(|&&power| power != slot) {
            let leaf = g.param(power as u32);
            let Some(column) = derivatives.derive(g, exponent, leaf) else { continue };
            if g.stage(column) != Stage::Data {
                continue;
            }
            let middle = mean(g, column);
            if middle.abs() <= LARGEST_MIDDLE {
                let middle_node = g.constant(middle);
                let shift = g.mul(middle_node, leaf);
                centred = g.sub(centred, shift);
                terms.push((power, middle));
            }
        }
        if !terms.is_empty() {
            let exponential = g.exp(centred);
            let replacement = g.mul(coefficient, exponential);
            root = g.replace(root, product, replacement);
            centres.push(Centre { slot, terms });
        }
    }
    (root, centres)
}

/// The product of `leaf` and one exponential, with the exponent, if the leaf stands nowhere else.
fn only_product(g: &Graph, root: Id, leaf: Id) -> Option<(Id, Id)> {
    let needed = g.reachable(&[root]);
    let mut found = None;
    for id in (0..needed.len()).filter(|&i| needed[i]).map(Id::from_index) {
        let mut uses = 0;
        crate::graph::for_each_child(g.node(id), |child| uses += usize::from(child == leaf));
        if uses == 0 {
            continue;
        }
        let Node::Binary(Binary::Mul, a, b) = *g.node(id) else { return None };
        let Node::Unary(Unary::Exp, exponent) = *g.node(if a == leaf { b } else { a }) else { return None };
        if found.replace((id, exponent)).is_some() {
            return None;
        }
    }
    found
}
