//! From a law to the programs of a fit: data columns, parameter-only scalars, and row programs for the value, the
//! gradient and the Hessian that share both.

use super::Residual;
use crate::graph::{Coordinate, Derivatives, Graph, Id, Node, Stage};
use crate::law::Law;
use crate::program::{Lowering, ScalarProgram, Tape, lower};
use std::collections::HashMap;

/// A sum over rows of `outer * scalar * output`, contributed to one entry of the Hessian.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curvature {
    /// Active slots, `first <= second`.
    pub first: usize,
    /// Second slot.
    pub second: usize,
    /// Position of the factor pulled out of the sum.
    pub factor: usize,
    /// Which distinct row output it scales.
    pub output: usize,
}

/// Derivative of an exponent with respect to one active slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slope {
    /// Active slot.
    pub slot: usize,
    /// Position of the factor pulled out.
    pub factor: usize,
    /// Which output of the metric program it scales.
    pub output: usize,
}

/// Compiled programs of a fit.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    /// Slots that are differentiated, in order.
    pub active: Vec<usize>,
    /// Coordinate of each active slot's derivative.
    pub coordinates: Vec<Coordinate>,
    /// Program over raw inputs that fills the data columns.
    pub data: Tape,
    /// Raw input columns that the data program reads.
    pub data_inputs: Vec<usize>,
    /// Constants of the data program.
    pub data_scalars: ScalarProgram,
    /// Number of data columns.
    pub columns: usize,
    /// Parameter-only values.
    pub scalars: ScalarProgram,
    /// Tables of grouped parameters: (slot, coordinate of its values).
    pub tables: Vec<(usize, Coordinate)>,
    /// `T(f)`.
    pub value: Tape,
    /// `T(f)`, then one output per active slot.
    pub gradient: Tape,
    /// As `gradient`, then the distinct outputs of `curvatures`.
    pub hessian: Tape,
    /// Factors pulled out of the gradient outputs.
    pub factors: Vec<usize>,
    /// Contributions to the Hessian.
    pub curvatures: Vec<Curvature>,
    /// Derivatives of the law's exponents.
    pub slopes: Vec<Slope>,
    /// Program for the outputs of `slopes`.
    pub metric: Tape,
    /// Whether no slope depends on parameters.
    pub metric_is_constant: bool,
    /// Whether the Hessian outputs are second derivatives relative to the value, `f_jk / f`, rather than those of `T(f)`.
    pub relative: bool,
}

/// Leaves of a row program: data nodes are columns, parameter-only nodes scalars.
struct RowLeaves<'a> {
    columns: &'a mut Vec<Id>,
    scalars: &'a mut ScalarProgram,
    tables: &'a mut Vec<(usize, Coordinate)>,
    groups: &'a [Option<usize>],
}

impl Lowering for RowLeaves<'_> {
    fn computed(&self, g: &Graph, id: Id) -> bool {
        g.stage(id) == Stage::Row
    }

    fn column(&mut self, g: &Graph, id: Id) -> Option<usize> {
        if g.stage(id) != Stage::Data {
            return None;
        }
        Some(position_or_push(self.columns, id))
    }

    fn scalar(&mut self, g: &Graph, id: Id) -> usize {
        self.scalars.request(g, id)
    }

    fn table(&mut self, g: &Graph, id: Id) -> (usize, usize) {
        let (slot, coordinate) = match *g.node(id) {
            Node::Param(slot) => (slot as usize, Coordinate::Natural),
            Node::LogParam(slot) => (slot as usize, Coordinate::Log),
            _ => unreachable!("only grouped parameters are gathered"),
        };
        let group = self.groups[slot].expect("a parameter that varies over rows is grouped");
        (position_or_push(self.tables, (slot, coordinate)), group)
    }
}

/// Leaves of a program over data only.
pub(crate) struct DataLeaves<'a> {
    pub(crate) inputs: &'a mut Vec<usize>,
    pub(crate) scalars: &'a mut ScalarProgram,
}

impl Lowering for DataLeaves<'_> {
    fn computed(&self, g: &Graph, id: Id) -> bool {
        g.stage(id) == Stage::Data && !matches!(g.node(id), Node::Input(_))
    }

    fn column(&mut self, g: &Graph, id: Id) -> Option<usize> {
        match *g.node(id) {
            Node::Input(c) => Some(position_or_push(self.inputs, c as usize)),
            _ => None,
        }
    }

    fn scalar(&mut self, g: &Graph, id: Id) -> usize {
        self.scalars.request(g, id)
    }

    fn table(&mut self, _: &Graph, _: Id) -> (usize, usize) {
        unreachable!("grouped parameters are not data")
    }
}

fn position_or_push<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|x| *x == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

/// Compiles the expression `root` of a law for fits in which the slots with `active` are free.
pub(super) fn compile(law: &Law, (mut g, root): (Graph, Id), residual: Residual, active: &[bool]) -> Compiled {
    let value = match residual {
        Residual::Linear => root,
        Residual::Log => g.to_log(root),
    };
    let active: Vec<usize> = (0..active.len()).filter(|&s| active[s]).collect();
    let needed = g.reachable(&[value]);
    let appears = |g: &Graph, node: Node| (0..needed.len()).any(|i| needed[i] && *g.node(Id::from_index(i)) == node);
    let coordinates: Vec<Coordinate> = active
        .iter()
        .map(|&s| {
            let only_log = appears(&g, Node::LogParam(s as u32)) && !appears(&g, Node::Param(s as u32));
            if only_log { Coordinate::Log } else { Coordinate::Natural }
        })
        .collect();
    let leaves: Vec<Id> = active
        .iter()
        .zip(&coordinates)
        .map(|(&s, c)| match c {
            Coordinate::Log => g.log_param(s as u32),
            Coordinate::Natural => g.param(s as u32),
        })
        .collect();

    let mut derivatives = Derivatives::default();
    let zero = g.constant(0.0);
    let gradient: Vec<Id> =
        leaves.iter().map(|&leaf| derivatives.derive(&mut g, value, leaf).unwrap_or(zero)).collect();
    // For log residuals of a sum of exponentials, f_jk / f needs no more than the terms' shares.
    let relative = matches!(g.node(value), Node::LogSumExp(_));
    let mut second = Vec::new();
    for (j, &leaf_j) in leaves.iter().enumerate() {
        for (k, &leaf_k) in leaves.iter().enumerate().skip(j) {
            let entry = if relative {
                relative_second(&mut g, &mut derivatives, value, leaf_j, leaf_k)
            } else {
                derivatives.derive(&mut g, gradient[j], leaf_k)
            };
            if let Some(entry) = entry {
                second.push((j, k, entry));
            }
        }
    }

    let mut scalars = ScalarProgram::default();
    let (mut slopes, mut metric_outputs, mut metric_is_constant) = (Vec::new(), Vec::new(), true);
    for node in g.exponents(value) {
        for (slot, &leaf) in leaves.iter().enumerate() {
            if let Some(d) = derivatives.derive(&mut g, node, leaf) {
                let (factor, row) = split_scalar(&mut g, d);
                metric_is_constant &=
                    g.stage(factor) == Stage::Const && matches!(g.stage(row), Stage::Const | Stage::Data);
                let factor = scalars.request(&g, factor);
                slopes.push(Slope { slot, factor, output: position_or_push(&mut metric_outputs, row) });
            }
        }
    }
    let mut outputs = vec![value];
    let mut factors = Vec::new();
    for &q in &gradient {
        let (factor, row) = split_scalar(&mut g, q);
        factors.push(scalars.request(&g, factor));
        outputs.push(row);
    }
    let mut hessian_outputs = outputs.clone();
    let mut curvatures = Vec::new();
    let mut seen: HashMap<Id, usize> = HashMap::new();
    for (j, k, entry) in second {
        // A sum of products splits into parts that other entries share.
        for (factor, row) in split_sum(&mut g, entry) {
            let output = *seen.entry(row).or_insert_with(|| {
                hessian_outputs.push(row);
                hessian_outputs.len() - 1
            });
            curvatures.push(Curvature { first: j, second: k, factor: scalars.request(&g, factor), output });
        }
    }

    let (mut columns, mut tables) = (Vec::new(), Vec::new());
    let groups = law.group_of_slot();
    let mut leaves = RowLeaves { columns: &mut columns, scalars: &mut scalars, tables: &mut tables, groups: &groups };
    let value_tape = lower(&g, &outputs[..1], &mut leaves);
    let gradient_tape = lower(&g, &outputs, &mut leaves);
    let hessian_tape = lower(&g, &hessian_outputs, &mut leaves);
    let metric = lower(&g, &metric_outputs, &mut leaves);

    let (mut data_inputs, mut data_scalars) = (Vec::new(), ScalarProgram::default());
    let data = lower(&g, &columns, &mut DataLeaves { inputs: &mut data_inputs, scalars: &mut data_scalars });
    Compiled {
        active,
        coordinates,
        data,
        data_inputs,
        data_scalars,
        columns: columns.len(),
        scalars,
        tables,
        value: value_tape,
        gradient: gradient_tape,
        hessian: hessian_tape,
        factors,
        curvatures,
        slopes,
        metric,
        metric_is_constant,
        relative,
    }
}

/// `f_jk / f` of `log f = logsumexp(l)`: the shares' mean of `l_j l_k + l_jk`.
fn relative_second(g: &mut Graph, d: &mut Derivatives, lse: Id, j: Id, k: Id) -> Option<Id> {
    let Node::LogSumExp(terms) = g.node(lse).clone() else { unreachable!("checked by the caller") };
    let mut total: Option<Id> = None;
    for (index, &term) in terms.iter().enumerate() {
        let first = d.derive(g, term, j);
        let other = d.derive(g, term, k);
        let mixed = first.and_then(|f| d.derive(g, f, k));
        let product = match (first, other) {
            (Some(a), Some(b)) => Some(g.mul(a, b)),
            _ => None,
        };
        let inner = match (product, mixed) {
            (Some(a), Some(b)) => g.add(a, b),
            (Some(a), None) | (None, Some(a)) => a,
            (None, None) => continue,
        };
        let share = g.share(lse, index);
        let part = g.mul(share, inner);
        total = Some(match total {
            Some(sum) => g.add(sum, part),
            None => part,
        });
    }
    total
}

/// Scalar factor and the rest of a product.
fn split_scalar(g: &mut Graph, id: Id) -> (Id, Id) {
    use crate::graph::{Binary, Unary};
    let one = g.constant(1.0);
    match *g.node(id) {
        _ if matches!(g.stage(id), Stage::Const | Stage::Scalar) => (id, one),
        Node::Unary(Unary::Neg, a) => {
            let (factor, row) = split_scalar(g, a);
            (g.neg(factor), row)
        }
        Node::Binary(Binary::Mul, a, b) if matches!(g.stage(a), Stage::Const | Stage::Scalar) => (a, b),
        Node::Binary(Binary::Mul, a, b) if matches!(g.stage(b), Stage::Const | Stage::Scalar) => (b, a),
        _ => (one, id),
    }
}

/// Terms of a sum, each split into scalar factor and rest.
fn split_sum(g: &mut Graph, id: Id) -> Vec<(Id, Id)> {
    let (mut pending, mut parts) = (vec![(g.constant(1.0), id)], Vec::new());
    while let Some((factor, id)) = pending.pop() {
        use crate::graph::Binary;
        match *g.node(id) {
            Node::Binary(Binary::Add, a, b) => pending.extend([(factor, b), (factor, a)]),
            Node::Binary(Binary::Sub, a, b) => {
                let minus = g.neg(factor);
                pending.extend([(minus, b), (factor, a)]);
            }
            _ => {
                let (inner, row) = split_scalar(g, id);
                let factor = g.mul(factor, inner);
                parts.push((factor, row));
            }
        }
    }
    parts
}
