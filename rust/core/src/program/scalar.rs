//! The part of a program that depends on parameters only, evaluated once per call.

use crate::graph::{Graph, Id, Node, Stage, apply_binary, apply_unary, for_each_child};
use std::collections::HashMap;

/// Parameter-only nodes in dependency order.
#[derive(Clone, Debug, Default)]
pub struct ScalarProgram {
    nodes: Vec<Node>,
    /// Children of node `i`, as positions, flattened.
    children: Vec<usize>,
    first_child: Vec<usize>,
    position: HashMap<Id, usize>,
}

impl ScalarProgram {
    /// Position of a node's value, which is added with all that it needs.
    pub fn request(&mut self, g: &Graph, root: Id) -> usize {
        if let Some(&at) = self.position.get(&root) {
            return at;
        }
        let mut pending = vec![root];
        while let Some(&id) = pending.last() {
            if self.position.contains_key(&id) {
                pending.pop();
                continue;
            }
            let before = pending.len();
            for_each_child(g.node(id), |c| {
                if !self.position.contains_key(&c) {
                    pending.push(c);
                }
            });
            if pending.len() > before {
                continue;
            }
            debug_assert!(matches!(g.stage(id), Stage::Const | Stage::Scalar));
            let node = g.node(id).clone();
            self.first_child.push(self.children.len());
            for_each_child(&node, |c| self.children.push(self.position[&c]));
            self.position.insert(id, self.nodes.len());
            self.nodes.push(node);
            pending.pop();
        }
        self.position[&root]
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing was requested.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Evaluates all values from the slots' natural values and logarithms.
    pub fn evaluate(&self, natural: &[f64], log: &[f64], values: &mut Vec<f64>) {
        values.clear();
        for (node, &first) in self.nodes.iter().zip(&self.first_child) {
            let child = |k: usize| values[self.children[first + k]];
            let value = match node {
                Node::Const(bits) => f64::from_bits(*bits),
                Node::Param(slot) => natural[*slot as usize],
                Node::LogParam(slot) => log[*slot as usize],
                Node::Unary(op, _) => apply_unary(*op, child(0)),
                Node::Binary(op, ..) => apply_binary(*op, child(0), child(1)),
                Node::Select(..) => {
                    if child(0) == 0.0 {
                        child(2)
                    } else {
                        child(1)
                    }
                }
                Node::LogSumExp(terms) => {
                    let count = terms.len();
                    let largest = (0..count).map(child).fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = (0..count).map(|k| crate::math::exp::<false>(child(k) - largest)).sum();
                    largest + crate::math::log::<false>(sum)
                }
                Node::Share(lse, k) => {
                    // exp(term - lse); the terms are the children of the log-sum-exp.
                    let at = self.children[first];
                    debug_assert!(matches!(self.nodes[at], Node::LogSumExp(_)), "{lse:?}");
                    let term = values[self.children[self.first_child[at] + *k as usize]];
                    crate::math::exp::<false>(term - values[at])
                }
                Node::Input(_) => f64::NAN,
            };
            values.push(value);
        }
    }
}
