//! From graph nodes to a tape: instruction selection, fused multiply-add, register allocation.
//!
//! Nodes are emitted in id order, which is dependency order, so nothing here recurses. A node that its only user
//! computes along with itself (the product of a multiply-add, the difference of `exp(a - b)`) is absorbed: it gets no
//! instruction of its own.

use super::{Code, Instruction, Place, Tape};
use crate::graph::{Binary, Graph, Id, Node, Unary, for_each_child};
use std::collections::HashMap;

/// How leaves of a tape are supplied.
pub trait Lowering {
    /// Whether the node is computed by this tape.
    fn computed(&self, g: &Graph, id: Id) -> bool;
    /// Column index for a node that is read from the data.
    fn column(&mut self, g: &Graph, id: Id) -> Option<usize>;
    /// Scalar index for a node that is the same in all rows.
    fn scalar(&mut self, g: &Graph, id: Id) -> usize;
    /// Table and group column of a grouped parameter.
    fn table(&mut self, g: &Graph, id: Id) -> (usize, usize);
}

/// Operand before register allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Value {
    Virtual(usize),
    Column(usize),
}

struct Draft {
    code: Code,
    to: usize,
    args: [Value; 3],
}

struct Lowerer<'a, L> {
    g: &'a Graph,
    leaves: &'a mut L,
    absorbed: Vec<bool>,
    values: HashMap<Id, Value>,
    sums: HashMap<Id, (Vec<Value>, Value)>,
    reciprocals: HashMap<Value, Value>,
    drafts: Vec<Draft>,
    splats: Vec<(usize, u32)>,
    next: usize,
}

/// Lowers `outputs` to a tape.
pub fn lower<L: Lowering>(g: &Graph, outputs: &[Id], leaves: &mut L) -> Tape {
    let nodes: Vec<Id> = emitted(g, outputs, leaves);
    let absorbed = absorbed(g, outputs, &nodes);
    let mut lowerer = Lowerer {
        g,
        leaves,
        absorbed,
        values: HashMap::new(),
        sums: HashMap::new(),
        reciprocals: HashMap::new(),
        drafts: Vec::new(),
        splats: Vec::new(),
        next: 0,
    };
    for &id in &nodes {
        if !lowerer.absorbed[id.index()] {
            let value = lowerer.compute(id);
            lowerer.values.insert(id, value);
        }
    }
    let results: Vec<Value> = outputs.iter().map(|&o| lowerer.value(o)).collect();
    allocate(&lowerer.drafts, &lowerer.splats, lowerer.next, &results)
}

/// Nodes that the tape computes, in dependency order.
fn emitted<L: Lowering>(g: &Graph, outputs: &[Id], leaves: &L) -> Vec<Id> {
    let (mut seen, mut pending, mut nodes) = (vec![false; g.len()], outputs.to_vec(), Vec::new());
    while let Some(id) = pending.pop() {
        if std::mem::replace(&mut seen[id.index()], true) || !leaves.computed(g, id) {
            continue;
        }
        nodes.push(id);
        for_each_child(g.node(id), |c| pending.push(c));
    }
    nodes.sort_unstable();
    nodes
}

/// Which nodes need no instruction of their own. Only nodes with a single use qualify: recomputing is never cheaper.
fn absorbed(g: &Graph, outputs: &[Id], nodes: &[Id]) -> Vec<bool> {
    let (mut uses, mut computed) = (vec![0u32; g.len()], vec![false; g.len()]);
    for id in outputs {
        uses[id.index()] += 1;
    }
    for &id in nodes {
        computed[id.index()] = true;
        for_each_child(g.node(id), |c| uses[c.index()] += 1);
    }
    let once = |id: Id| computed[id.index()] && uses[id.index()] == 1;
    let product = |id: Id| once(id) && matches!(g.node(id), Node::Binary(Binary::Mul, ..));
    let mut absorbed = vec![false; g.len()];
    for &id in nodes {
        let taken = match *g.node(id) {
            Node::Binary(Binary::Add, a, b) => [a, b].into_iter().find(|&x| product(x)),
            Node::Binary(Binary::Sub, a, b) => [b, a].into_iter().find(|&x| product(x)),
            Node::Unary(Unary::Exp, a) => match *g.node(a) {
                // A difference that is a multiply-add already is worth more than the fused exponential.
                Node::Binary(Binary::Sub, x, y) if once(a) && !product(x) && !product(y) => Some(a),
                _ => None,
            },
            _ => None,
        };
        if let Some(taken) = taken {
            absorbed[taken.index()] = true;
        }
    }
    absorbed
}

impl<L: Lowering> Lowerer<'_, L> {
    fn fresh(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    fn emit(&mut self, code: Code, args: &[Value]) -> Value {
        let to = self.fresh();
        let a = args[0];
        let get = |i: usize| args.get(i).copied().unwrap_or(a);
        self.drafts.push(Draft { code, to, args: [a, get(1), get(2)] });
        Value::Virtual(to)
    }

    /// Where a node that was computed before, or is a leaf, is found.
    fn value(&mut self, id: Id) -> Value {
        if let Some(&v) = self.values.get(&id) {
            return v;
        }
        debug_assert!(!self.leaves.computed(self.g, id), "operands are computed before their users");
        let v = if let Some(column) = self.leaves.column(self.g, id) {
            Value::Column(column)
        } else {
            let scalar = self.leaves.scalar(self.g, id) as u32;
            let to = self.fresh();
            self.splats.push((to, scalar));
            Value::Virtual(to)
        };
        self.values.insert(id, v);
        v
    }

    /// Operands of an absorbed node.
    fn parts(&mut self, id: Id) -> Option<(Value, Value)> {
        match *self.g.node(id) {
            Node::Binary(_, a, b) if self.absorbed[id.index()] => Some((self.value(a), self.value(b))),
            _ => None,
        }
    }

    fn compute(&mut self, id: Id) -> Value {
        match *self.g.node(id) {
            Node::Const(_) | Node::Input(_) => unreachable!("constants and inputs are leaves of every tape"),
            Node::Param(_) | Node::LogParam(_) => {
                let (table, group) = self.leaves.table(self.g, id);
                self.emit_gather(table, group)
            }
            Node::Unary(op, a) => {
                if let Some((x, y)) = self.parts(a) {
                    return self.emit(Code::ExpSub, &[x, y]);
                }
                let a = self.value(a);
                self.emit(unary_code(op), &[a])
            }
            Node::Binary(op, a, b) => self.compute_binary(op, a, b),
            Node::Select(mask, a, b) => {
                let args = [self.value(mask), self.value(a), self.value(b)];
                self.emit(Code::Select, &args)
            }
            Node::LogSumExp(ref terms) => {
                let terms: Vec<Value> = terms.iter().map(|&t| self.value(t)).collect();
                let largest = terms[1..].iter().fold(terms[0], |m, &t| self.emit(Code::Max, &[m, t]));
                let parts: Vec<Value> = terms.iter().map(|&t| self.emit(Code::ExpSub, &[t, largest])).collect();
                let sum = parts[1..].iter().fold(parts[0], |s, &p| self.emit(Code::Add, &[s, p]));
                let log = self.emit(Code::Log, &[sum]);
                self.sums.insert(id, (parts, sum));
                self.emit(Code::Add, &[largest, log])
            }
            Node::Share(lse, k) => {
                let (parts, sum) = &self.sums[&lse];
                let (part, sum) = (parts[k as usize], *sum);
                let inverse = self.reciprocal(sum);
                self.emit(Code::Mul, &[part, inverse])
            }
        }
    }

    fn emit_gather(&mut self, table: usize, group: usize) -> Value {
        let to = self.fresh();
        let args = [Value::Column(table), Value::Column(group), Value::Column(0)];
        self.drafts.push(Draft { code: Code::Gather, to, args });
        Value::Virtual(to)
    }

    fn reciprocal(&mut self, v: Value) -> Value {
        if let Some(&r) = self.reciprocals.get(&v) {
            return r;
        }
        let r = self.emit(Code::Recip, &[v]);
        self.reciprocals.insert(v, r);
        r
    }

    fn compute_binary(&mut self, op: Binary, a: Id, b: Id) -> Value {
        match op {
            Binary::Add => {
                for (product, rest) in [(a, b), (b, a)] {
                    if let Some((x, y)) = self.parts(product) {
                        let rest = self.value(rest);
                        return self.emit(Code::MulAdd, &[x, y, rest]);
                    }
                }
            }
            Binary::Sub => {
                if let Some((x, y)) = self.parts(b) {
                    let rest = self.value(a);
                    return self.emit(Code::NegMulAdd, &[x, y, rest]);
                }
                if let Some((x, y)) = self.parts(a) {
                    let rest = self.value(b);
                    return self.emit(Code::MulSub, &[x, y, rest]);
                }
            }
            Binary::Pow => {
                let (base, exponent) = (self.value(a), self.value(b));
                let log = self.emit(Code::LogBase, &[base]);
                let product = self.emit(Code::Mul, &[exponent, log]);
                return self.emit(Code::Exp, &[product]);
            }
            Binary::Div if self.g.as_const(a) == Some(1.0) => {
                let b = self.value(b);
                return self.reciprocal(b);
            }
            _ => {}
        }
        let code = match op {
            Binary::Add => Code::Add,
            Binary::Sub => Code::Sub,
            Binary::Mul => Code::Mul,
            Binary::Div => Code::Div,
            Binary::Min => Code::Min,
            Binary::Max => Code::Max,
            Binary::Le => Code::Le,
            Binary::Pow => unreachable!("powers return above"),
        };
        let args = [self.value(a), self.value(b)];
        self.emit(code, &args)
    }
}

fn unary_code(op: Unary) -> Code {
    match op {
        Unary::Neg => Code::Neg,
        Unary::Exp => Code::Exp,
        Unary::Log => Code::Log,
        Unary::LogBase => Code::LogBase,
        Unary::Log1p => Code::Log1p,
        Unary::Expm1 => Code::Expm1,
        Unary::Sqrt => Code::Sqrt,
        Unary::Abs => Code::Abs,
        Unary::Sign => Code::Sign,
        Unary::Sin => Code::Sin,
        Unary::Cos => Code::Cos,
        Unary::Tan => Code::Tan,
        Unary::Atan => Code::Atan,
        Unary::Tanh => Code::Tanh,
        Unary::Sigmoid => Code::Sigmoid,
        Unary::Softplus => Code::Softplus,
        Unary::Erf => Code::Erf,
        Unary::Normcdf => Code::Normcdf,
    }
}

/// Linear scan: scalars and outputs keep their register, others are reused after their last use.
fn allocate(drafts: &[Draft], splats: &[(usize, u32)], values: usize, outputs: &[Value]) -> Tape {
    // A value that nobody reads is over as soon as it is written.
    let mut last: Vec<usize> = vec![0; values];
    for (at, draft) in drafts.iter().enumerate() {
        last[draft.to] = at;
        for v in operands(draft) {
            last[v] = at;
        }
    }
    let splatted = splats.iter().map(|(v, _)| Value::Virtual(*v));
    for value in outputs.iter().copied().chain(splatted) {
        if let Value::Virtual(v) = value {
            last[v] = usize::MAX;
        }
    }
    let mut register = vec![u32::MAX; values];
    let mut tape = Tape::default();
    for &(v, scalar) in splats {
        register[v] = tape.registers as u32;
        tape.splats.push((register[v], scalar));
        tape.registers += 1;
    }
    let mut free: Vec<u32> = Vec::new();
    for (at, draft) in drafts.iter().enumerate() {
        // Taken before the operands are freed: a destination never is an operand.
        let to = free.pop().unwrap_or_else(|| {
            tape.registers += 1;
            tape.registers as u32 - 1
        });
        register[draft.to] = to;
        let [a, b, c] = draft.args.map(|v| place(v, &register));
        tape.code.push(Instruction { code: draft.code, to, a, b, c });
        let mut freed: Vec<usize> = operands(draft).chain([draft.to]).filter(|&v| last[v] == at).collect();
        freed.sort_unstable();
        freed.dedup();
        free.extend(freed.into_iter().map(|v| register[v]));
    }
    tape.outputs = outputs.iter().map(|&v| place(v, &register)).collect();
    tape
}

fn place(value: Value, register: &[u32]) -> Place {
    match value {
        Value::Virtual(v) => Place::register(register[v] as usize),
        Value::Column(c) => Place::column(c),
    }
}

/// Values that an instruction reads.
fn operands(draft: &Draft) -> impl Iterator<Item = usize> {
    let is_gather = draft.code == Code::Gather;
    draft.args.into_iter().filter_map(move |arg| match arg {
        Value::Virtual(v) if !is_gather => Some(v),
        _ => None,
    })
}
