//! Hash-consed expression graph: every distinct subexpression exists once, across value, gradient and Hessian.
//!
//! Nodes are only reachable through the smart constructors of [`Graph`], which fold constants and apply the
//! algebraic identities that hold for every finite argument. A node's children always have smaller ids, so a
//! pass in id order is a pass in dependency order and nothing here needs to recurse over deep formulas.

mod build;
mod derive;

pub use build::{Coordinate, Leaves, LogUse, NEARLY_ZERO, ParamKind, build, log_uses};
pub use derive::Derivatives;

use std::collections::HashMap;

/// Index of a node in its [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u32);

impl Id {
    /// Position of the node in the arena.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Node at a position of the arena.
    pub fn from_index(index: usize) -> Self {
        Self(index as u32)
    }
}

/// Functions of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `-x`
    Neg,
    /// `exp(x)`
    Exp,
    /// `log(x)`, minus infinity at zero
    Log,
    /// `log(x)` of the base of a power: a huge negative *finite* number at zero, so that `0**a = 0` has finite
    /// derivatives in `a`
    LogBase,
    /// `log(1 + x)`
    Log1p,
    /// `exp(x) - 1`
    Expm1,
    /// square root
    Sqrt,
    /// `|x|`
    Abs,
    /// `1`, `0` or `-1`
    Sign,
    /// sine
    Sin,
    /// cosine
    Cos,
    /// tangent
    Tan,
    /// inverse tangent
    Atan,
    /// hyperbolic tangent
    Tanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `log(1 + exp(x))`
    Softplus,
    /// error function
    Erf,
    /// standard normal distribution function
    Normcdf,
}

/// Functions of two arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// `a ** b` for a base whose logarithm is not at hand
    Pow,
    /// smaller of two
    Min,
    /// larger of two
    Max,
    /// `1` where `a <= b`, else `0`
    Le,
}

/// One operation of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// Constant, by its bits.
    Const(u64),
    /// Column of the data.
    Input(u32),
    /// Parameter in natural units.
    Param(u32),
    /// Natural logarithm of a positive parameter.
    LogParam(u32),
    /// Function of one argument.
    Unary(Unary, Id),
    /// Function of two arguments.
    Binary(Binary, Id, Id),
    /// `a` where the mask is not zero, else `b`.
    Select(Id, Id, Id),
    /// Logarithm of a sum of exponentials, evaluated without overflow.
    LogSumExp(Box<[Id]>),
    /// Share of term `k` in a [`Node::LogSumExp`]: its derivative with respect to that term.
    Share(Id, u32),
}

/// What a node depends on, and so how often it must be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Neither data nor parameters.
    Const,
    /// Data only: once per fit.
    Data,
    /// Parameters only: once per call.
    Scalar,
    /// Both: once per row and call.
    Row,
}

/// Arena of nodes with structural sharing.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    stages: Vec<Stage>,
    index: HashMap<Node, Id>,
    /// Slots whose value differs from row to row (grouped parameters).
    per_row: Vec<bool>,
    /// What is known about leaves; decides which sums may go to the log domain.
    positive_params: Vec<bool>,
    positive_inputs: Vec<bool>,
    /// Which nodes are positive for every admissible parameter value and data row.
    positive: Vec<bool>,
    logs: HashMap<Id, Option<Id>>,
}

impl Graph {
    /// Empty graph over `params` slots (`per_row`: grouped, `positive`: domain is positive) and input columns
    /// (`positive_inputs`: the formula takes their logarithm).
    pub fn new(per_row: Vec<bool>, positive: Vec<bool>, positive_inputs: Vec<bool>) -> Self {
        Self { per_row, positive_params: positive, positive_inputs, ..Self::default() }
    }

    /// The operation at `id`.
    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id.index()]
    }

    /// What the node depends on.
    pub fn stage(&self, id: Id) -> Stage {
        self.stages[id.index()]
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no node exists yet.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Value of a constant node.
    pub fn as_const(&self, id: Id) -> Option<f64> {
        match self.nodes[id.index()] {
            Node::Const(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    fn is_scalar(&self, id: Id) -> bool {
        matches!(self.stage(id), Stage::Const | Stage::Scalar)
    }

    fn push(&mut self, node: Node) -> Id {
        if let Some(&id) = self.index.get(&node) {
            return id;
        }
        let stage = match &node {
            Node::Const(_) => Stage::Const,
            Node::Input(_) => Stage::Data,
            Node::Param(p) | Node::LogParam(p) if self.per_row[*p as usize] => Stage::Row,
            Node::Param(_) | Node::LogParam(_) => Stage::Scalar,
            _ => {
                let (mut data, mut scalar) = (false, false);
                for_each_child(&node, |c| {
                    let s = self.stage(c);
                    data |= matches!(s, Stage::Data | Stage::Row);
                    scalar |= matches!(s, Stage::Scalar | Stage::Row);
                });
                match (data, scalar) {
                    (false, false) => Stage::Const,
                    (true, false) => Stage::Data,
                    (false, true) => Stage::Scalar,
                    (true, true) => Stage::Row,
                }
            }
        };
        let id = Id(u32::try_from(self.nodes.len()).expect("node count is bounded by the formula limits"));
        let positive = self.positive_node(&node);
        self.nodes.push(node.clone());
        self.stages.push(stage);
        self.positive.push(positive);
        self.index.insert(node, id);
        id
    }

    /// Constant.
    pub fn constant(&mut self, value: f64) -> Id {
        self.push(Node::Const(if value == 0.0 { 0.0 } else { value }.to_bits()))
    }

    /// Column of the data.
    pub fn input(&mut self, column: u32) -> Id {
        self.push(Node::Input(column))
    }

    /// Parameter in natural units.
    pub fn param(&mut self, slot: u32) -> Id {
        self.push(Node::Param(slot))
    }

    /// Logarithm of a positive parameter.
    pub fn log_param(&mut self, slot: u32) -> Id {
        self.push(Node::LogParam(slot))
    }

    /// Function of one argument.
    pub fn unary(&mut self, op: Unary, a: Id) -> Id {
        if let Some(x) = self.as_const(a) {
            let y = apply_unary(op, x);
            if y.is_finite() {
                return self.constant(y);
            }
        }
        match (op, self.node(a).clone()) {
            (Unary::Neg, Node::Unary(Unary::Neg, x)) | (Unary::Log | Unary::LogBase, Node::Unary(Unary::Exp, x)) => x,
            (Unary::Neg, Node::Binary(Binary::Sub, x, y)) => self.sub(y, x),
            (Unary::Log | Unary::LogBase, Node::Param(p)) if self.positive_params[p as usize] => self.log_param(p),
            (Unary::Exp, Node::LogParam(p)) => self.param(p),
            _ => self.push(Node::Unary(op, a)),
        }
    }

    /// `-a`
    pub fn neg(&mut self, a: Id) -> Id {
        self.unary(Unary::Neg, a)
    }

    /// `exp(a)`
    pub fn exp(&mut self, a: Id) -> Id {
        self.unary(Unary::Exp, a)
    }

    /// `a + b`
    pub fn add(&mut self, a: Id, b: Id) -> Id {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) if (x + y).is_finite() => return self.constant(x + y),
            (Some(0.0), _) => return b,
            (_, Some(0.0)) => return a,
            _ => {}
        }
        if let Node::Unary(Unary::Neg, x) = *self.node(b) {
            return self.sub(a, x);
        }
        if let Node::Unary(Unary::Neg, x) = *self.node(a) {
            return self.sub(b, x);
        }
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        self.push(Node::Binary(Binary::Add, a, b))
    }

    /// `a - b`
    pub fn sub(&mut self, a: Id, b: Id) -> Id {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) if (x - y).is_finite() => return self.constant(x - y),
            (Some(0.0), _) => return self.push_neg(b),
            (_, Some(0.0)) => return a,
            _ => {}
        }
        if a == b {
            return self.constant(0.0);
        }
        if let Node::Unary(Unary::Neg, x) = *self.node(b) {
            return self.add(a, x);
        }
        self.push(Node::Binary(Binary::Sub, a, b))
    }

    fn push_neg(&mut self, a: Id) -> Id {
        match *self.node(a) {
            Node::Unary(Unary::Neg, x) => x,
            _ => self.push(Node::Unary(Unary::Neg, a)),
        }
    }

    /// `a * b`. Factors that do not change from row to row are collected in front, so that sums over rows can
    /// pull them out.
    pub fn mul(&mut self, a: Id, b: Id) -> Id {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) if (x * y).is_finite() => return self.constant(x * y),
            (Some(0.0), _) => return a,
            (_, Some(0.0)) => return b,
            (Some(1.0), _) => return b,
            (_, Some(1.0)) => return a,
            (Some(-1.0), _) => return self.neg(b),
            (_, Some(-1.0)) => return self.neg(a),
            _ => {}
        }
        if let Node::Unary(Unary::Neg, x) = *self.node(a) {
            let product = self.mul(x, b);
            return self.neg(product);
        }
        if let Node::Unary(Unary::Neg, x) = *self.node(b) {
            let product = self.mul(a, x);
            return self.neg(product);
        }
        let (sa, ra) = self.split_factor(a);
        let (sb, rb) = self.split_factor(b);
        match (sa, sb) {
            (None, None) => self.push_mul(a, b),
            (Some(s), None) | (None, Some(s)) => {
                let rest = match (ra, rb) {
                    (Some(x), Some(y)) => self.push_mul(x, y),
                    (Some(x), None) | (None, Some(x)) => x,
                    (None, None) => return s,
                };
                self.push_mul(s, rest)
            }
            (Some(s), Some(t)) => {
                let scalar = self.push_mul(s, t);
                let rest = match (ra, rb) {
                    (Some(x), Some(y)) => self.push_mul(x, y),
                    (Some(x), None) | (None, Some(x)) => x,
                    (None, None) => return scalar,
                };
                self.push_mul(scalar, rest)
            }
        }
    }

    /// Product as scalar factor and the rest (`None`: one).
    fn split_factor(&self, a: Id) -> (Option<Id>, Option<Id>) {
        if self.is_scalar(a) {
            return (Some(a), None);
        }
        match *self.node(a) {
            Node::Binary(Binary::Mul, s, r) if self.is_scalar(s) => (Some(s), Some(r)),
            Node::Binary(Binary::Mul, r, s) if self.is_scalar(s) => (Some(s), Some(r)),
            _ => (None, Some(a)),
        }
    }

    fn push_mul(&mut self, a: Id, b: Id) -> Id {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) if (x * y).is_finite() => return self.constant(x * y),
            (Some(1.0), _) => return b,
            (_, Some(1.0)) => return a,
            _ => {}
        }
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        self.push(Node::Binary(Binary::Mul, a, b))
    }

    /// `a / b`
    pub fn div(&mut self, a: Id, b: Id) -> Id {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) if (x / y).is_finite() => return self.constant(x / y),
            (Some(0.0), None) => return a,
            (_, Some(1.0)) => return a,
            (_, Some(-1.0)) => return self.neg(a),
            _ => {}
        }
        if let Node::Unary(Unary::Neg, x) = *self.node(a) {
            let quotient = self.div(x, b);
            return self.neg(quotient);
        }
        if let Node::Unary(Unary::Neg, x) = *self.node(b) {
            let quotient = self.div(a, x);
            return self.neg(quotient);
        }
        self.push(Node::Binary(Binary::Div, a, b))
    }

    /// Function of two arguments, by name.
    pub fn binary(&mut self, op: Binary, a: Id, b: Id) -> Id {
        match op {
            Binary::Add => self.add(a, b),
            Binary::Sub => self.sub(a, b),
            Binary::Mul => self.mul(a, b),
            Binary::Div => self.div(a, b),
            Binary::Pow | Binary::Min | Binary::Max | Binary::Le => {
                if let (Some(x), Some(y)) = (self.as_const(a), self.as_const(b)) {
                    let z = apply_binary(op, x, y);
                    if z.is_finite() {
                        return self.constant(z);
                    }
                }
                if a == b && matches!(op, Binary::Min | Binary::Max) {
                    return a;
                }
                self.push(Node::Binary(op, a, b))
            }
        }
    }

    /// `a` where `mask` is not zero, else `b`.
    pub fn select(&mut self, mask: Id, a: Id, b: Id) -> Id {
        if a == b { a } else { self.push(Node::Select(mask, a, b)) }
    }

    /// Share of term `k` in a log-sum-exp node.
    pub fn share(&mut self, lse: Id, k: usize) -> Id {
        self.push(Node::Share(lse, k as u32))
    }

    /// Whether the value is positive for every admissible parameter value and data row.
    pub fn is_positive(&self, id: Id) -> bool {
        self.positive[id.index()]
    }

    /// The same for a node whose children are known: kept with each node, because shared nodes make a walk
    /// exponentially long.
    fn positive_node(&self, node: &Node) -> bool {
        match *node {
            Node::Const(bits) => f64::from_bits(bits) > 0.0,
            Node::Param(p) => self.positive_params[p as usize],
            Node::Input(c) => self.positive_inputs[c as usize],
            Node::Unary(Unary::Exp | Unary::Sigmoid | Unary::Softplus | Unary::Normcdf, _)
            | Node::Binary(Binary::Pow, ..)
            | Node::Share(..) => true,
            Node::Unary(Unary::Sqrt, a) => self.is_positive(a),
            Node::Binary(Binary::Add | Binary::Mul | Binary::Div | Binary::Min | Binary::Max, a, b) => {
                self.is_positive(a) && self.is_positive(b)
            }
            _ => false,
        }
    }

    /// Logarithm of a node as an expression that never forms the node itself, where there is one.
    pub fn log_of(&mut self, id: Id) -> Option<Id> {
        // An explicit stack: formulas may be deep, threads' stacks small.
        let mut pending = vec![id];
        while let Some(&top) = pending.last() {
            if self.logs.contains_key(&top) {
                pending.pop();
                continue;
            }
            let operands = self.log_operands(top);
            let before = pending.len();
            pending.extend(operands.iter().filter(|id| !self.logs.contains_key(id)));
            if pending.len() == before {
                let logs: Option<Vec<Id>> = operands.iter().map(|id| self.logs[id]).collect();
                let log = logs.and_then(|logs| self.log_from(top, logs));
                self.logs.insert(top, log);
                pending.pop();
            }
        }
        self.logs[&id]
    }

    /// Nodes whose logarithms make up that of `id`.
    fn log_operands(&self, id: Id) -> Vec<Id> {
        match *self.node(id) {
            Node::Unary(Unary::Sqrt, a) => vec![a],
            Node::Binary(Binary::Mul | Binary::Div | Binary::Min | Binary::Max, a, b) => vec![a, b],
            Node::Binary(Binary::Add, ..) if self.is_positive(id) => {
                let (mut pending, mut terms) = (vec![id], Vec::new());
                while let Some(id) = pending.pop() {
                    match *self.node(id) {
                        Node::Binary(Binary::Add, a, b) => pending.extend([b, a]),
                        _ => terms.push(id),
                    }
                }
                terms
            }
            _ => Vec::new(),
        }
    }

    /// Logarithm of `id` from those of its operands.
    fn log_from(&mut self, id: Id, mut logs: Vec<Id>) -> Option<Id> {
        Some(match *self.node(id) {
            Node::Const(bits) if f64::from_bits(bits) > 0.0 => self.constant(f64::from_bits(bits).ln()),
            Node::Param(p) if self.positive_params[p as usize] => self.log_param(p),
            Node::Input(c) if self.positive_inputs[c as usize] => self.unary(Unary::LogBase, id),
            Node::Unary(Unary::Exp, x) => x,
            Node::Unary(Unary::Sqrt, _) => {
                let half = self.constant(0.5);
                self.mul(half, logs[0])
            }
            Node::Unary(Unary::Sigmoid, x) => {
                let minus = self.neg(x);
                let soft = self.unary(Unary::Softplus, minus);
                self.neg(soft)
            }
            Node::Binary(Binary::Mul, ..) => self.add(logs[0], logs[1]),
            Node::Binary(Binary::Div, ..) => self.sub(logs[0], logs[1]),
            Node::Binary(op @ (Binary::Min | Binary::Max), ..) => self.binary(op, logs[0], logs[1]),
            Node::Binary(Binary::Pow, a, b) => {
                let base = self.unary(Unary::LogBase, a);
                self.mul(b, base)
            }
            Node::Binary(Binary::Add, ..) if !logs.is_empty() => {
                logs.sort_unstable();
                self.push(Node::LogSumExp(logs.into()))
            }
            _ => return None,
        })
    }

    /// Logarithm of any node; not a number where the node is negative.
    pub fn to_log(&mut self, id: Id) -> Id {
        match self.log_of(id) {
            Some(log) => log,
            None => self.unary(Unary::Log, id),
        }
    }

    /// Arguments of the steep functions that `root` needs: exponents, terms of log-sum-exps, arguments of sigmoids.
    /// A change of one in such an argument changes the law by its own size, which sets the scale of a solver's step.
    pub fn exponents(&mut self, root: Id) -> Vec<Id> {
        let needed = self.reachable(&[root]);
        let mut found = Vec::new();
        for (i, _) in needed.iter().enumerate().filter(|(_, needed)| **needed) {
            match self.nodes[i].clone() {
                Node::Unary(
                    Unary::Exp
                    | Unary::Expm1
                    | Unary::Sigmoid
                    | Unary::Softplus
                    | Unary::Tanh
                    | Unary::Erf
                    | Unary::Normcdf,
                    a,
                ) => found.push(a),
                Node::LogSumExp(terms) => found.extend(terms.iter().copied()),
                Node::Binary(Binary::Pow, a, b) => {
                    let log = self.unary(Unary::LogBase, a);
                    found.push(self.mul(b, log));
                }
                _ => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The expression `root` with the node `from` replaced by `to`.
    ///
    /// # Panics
    /// When the expression holds a derivative of a log-sum-exp.
    pub fn replace(&mut self, root: Id, from: Id, to: Id) -> Id {
        let needed = self.reachable(&[root]);
        let mut new: Vec<Id> = (0..needed.len()).map(Id::from_index).collect();
        // Children come before parents.
        for i in (0..needed.len()).filter(|&i| needed[i]) {
            let id = Id::from_index(i);
            let at = |child: Id| new[child.index()];
            new[i] = match self.nodes[i].clone() {
                _ if id == from => to,
                Node::Const(_) | Node::Input(_) | Node::Param(_) | Node::LogParam(_) => id,
                Node::Unary(_, a) if at(a) == a => id,
                Node::Unary(op, a) => self.unary(op, at(a)),
                Node::Binary(_, a, b) if (at(a), at(b)) == (a, b) => id,
                Node::Binary(op, a, b) => self.binary(op, at(a), at(b)),
                Node::Select(mask, a, b) => self.select(at(mask), at(a), at(b)),
                Node::LogSumExp(terms) => {
                    let mut terms: Vec<Id> = terms.iter().map(|&term| at(term)).collect();
                    terms.sort_unstable();
                    self.push(Node::LogSumExp(terms.into()))
                }
                // Shares are derivatives: there are none before an expression is differentiated.
                Node::Share(..) => unreachable!("only laws are rewritten, not their derivatives"),
            };
        }
        new[root.index()]
    }

    /// Marks every node that `roots` need.
    pub fn reachable(&self, roots: &[Id]) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        for root in roots {
            needed[root.index()] = true;
        }
        for i in (0..self.nodes.len()).rev() {
            if needed[i] {
                for_each_child(&self.nodes[i], |c| needed[c.index()] = true);
            }
        }
        needed
    }
}

/// Calls `f` on every child of a node.
pub fn for_each_child(node: &Node, mut f: impl FnMut(Id)) {
    match node {
        Node::Const(_) | Node::Input(_) | Node::Param(_) | Node::LogParam(_) => {}
        Node::Unary(_, a) | Node::Share(a, _) => f(*a),
        Node::Binary(_, a, b) => {
            f(*a);
            f(*b);
        }
        Node::Select(m, a, b) => {
            f(*m);
            f(*a);
            f(*b);
        }
        Node::LogSumExp(terms) => terms.iter().copied().for_each(f),
    }
}

/// Finite stand-in for `log 0` under a power: `exp(a * LOG_ZERO)` is exactly zero for every `a` of interest and
/// its square still is a finite number.
pub const LOG_ZERO: f64 = -1e150;

/// Scalar evaluation of a unary operation; the block executor computes the same with vector kernels.
pub fn apply_unary(op: Unary, x: f64) -> f64 {
    use crate::math;
    match op {
        Unary::Neg => -x,
        Unary::Exp => math::exp::<false>(x),
        Unary::Log => math::log::<false>(x),
        Unary::LogBase => {
            if x == 0.0 {
                LOG_ZERO
            } else {
                math::log::<false>(x)
            }
        }
        Unary::Log1p => math::log1p::<false>(x),
        Unary::Expm1 => math::expm1::<false>(x),
        Unary::Sqrt => x.sqrt(),
        Unary::Abs => x.abs(),
        Unary::Sign => {
            if x == 0.0 {
                0.0
            } else {
                x.signum()
            }
        }
        Unary::Sin => math::sin(x),
        Unary::Cos => math::cos(x),
        Unary::Tan => math::tan(x),
        Unary::Atan => math::atan(x),
        Unary::Tanh => math::tanh::<false>(x),
        Unary::Sigmoid => math::sigmoid::<false>(x),
        Unary::Softplus => math::softplus::<false>(x),
        Unary::Erf => math::erf(x),
        Unary::Normcdf => math::normcdf(x),
    }
}

/// Scalar evaluation of a binary operation. `min` and `max` pass a not-a-number on.
pub fn apply_binary(op: Binary, a: f64, b: f64) -> f64 {
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => apply_unary(Unary::Exp, b * apply_unary(Unary::LogBase, a)),
        Binary::Min => {
            if a.is_nan() || a <= b {
                a
            } else {
                b
            }
        }
        Binary::Max => {
            if a.is_nan() || a >= b {
                a
            } else {
                b
            }
        }
        Binary::Le => f64::from(u8::from(a <= b)),
    }
}
