//! From graph nodes to a tape: instruction selection, fused multiply-add, register allocation.

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
    uses: Vec<u32>,
    memo: HashMap<Id, Value>,
    sums: HashMap<Id, (Vec<Value>, Value)>,
    reciprocals: HashMap<Value, Value>,
    drafts: Vec<Draft>,
    splats: Vec<(usize, u32)>,
    next: usize,
}

/// Lowers `outputs` to a tape.
pub fn lower<L: Lowering>(g: &Graph, outputs: &[Id], leaves: &mut L) -> Tape {
    let needed = g.reachable(outputs);
    let mut uses = vec![0u32; g.len()];
    for (i, _) in needed.iter().enumerate().filter(|(_, n)| **n) {
        for_each_child(&g.node(id_at(i)).clone(), |c| uses[c.index()] += 1);
    }
    for output in outputs {
        uses[output.index()] += 1;
    }
    let mut lowerer = Lowerer {
        g,
        leaves,
        uses,
        memo: HashMap::new(),
        sums: HashMap::new(),
        reciprocals: HashMap::new(),
        drafts: Vec::new(),
        splats: Vec::new(),
        next: 0,
    };
    // Products that a multiply-add swallows are skipped here and expanded on demand.
    for i in 0..needed.len() {
        let id = id_at(i);
        if needed[i] && lowerer.leaves.computed(g, id) && !lowerer.swallowed(id) {
            lowerer.value(id);
        }
    }
    let results: Vec<Value> = outputs.iter().map(|&o| lowerer.value(o)).collect();
    allocate(lowerer.drafts, &lowerer.splats, lowerer.next, &results)
}

fn id_at(index: usize) -> Id {
    Id::from_index(index)
}

impl<L: Lowering> Lowerer<'_, L> {
    /// A product with a single use: left to the sum that uses it.
    fn swallowed(&self, id: Id) -> bool {
        matches!(self.g.node(id), Node::Binary(Binary::Mul, ..)) && self.uses[id.index()] == 1
    }

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

    fn value(&mut self, id: Id) -> Value {
        if let Some(&v) = self.memo.get(&id) {
            return v;
        }
        let v = if self.leaves.computed(self.g, id) {
            self.compute(id)
        } else if let Some(column) = self.leaves.column(self.g, id) {
            Value::Column(column)
        } else {
            let scalar = self.leaves.scalar(self.g, id) as u32;
            let to = self.fresh();
            self.splats.push((to, scalar));
            Value::Virtual(to)
        };
        self.memo.insert(id, v);
        v
    }

    /// The factors of a product that may be fused into a sum.
    fn factors(&mut self, id: Id) -> Option<(Value, Value)> {
        if !self.leaves.computed(self.g, id) || !self.swallowed(id) || self.memo.contains_key(&id) {
            return None;
        }
        let Node::Binary(Binary::Mul, a, b) = *self.g.node(id) else { return None };
        Some((self.value(a), self.value(b)))
    }

    fn compute(&mut self, id: Id) -> Value {
        match self.g.node(id).clone() {
            Node::Const(_) | Node::Input(_) => unreachable!("constants and inputs are leaves of every tape"),
            Node::Param(_) | Node::LogParam(_) => {
                let (table, group) = self.leaves.table(self.g, id);
                self.emit_gather(table, group)
            }
            Node::Unary(op, a) => {
                if let (Unary::Exp, Node::Binary(Binary::Sub, x, y)) = (op, self.g.node(a).clone()) {
                    if self.uses[a.index()] == 1 && self.factors(x).is_none() && self.factors(y).is_none() {
                        let args = [self.value(x), self.value(y)];
                        return self.emit(Code::ExpSub, &args);
                    }
                }
                let a = self.value(a);
                self.emit(unary_code(op), &[a])
            }
            Node::Binary(op, a, b) => self.compute_binary(op, a, b),
            Node::Select(mask, a, b) => {
                let args = [self.value(mask), self.value(a), self.value(b)];
                self.emit(Code::Select, &args)
            }
            Node::LogSumExp(terms) => {
                let terms: Vec<Value> = terms.iter().map(|&t| self.value(t)).collect();
                let largest = terms[1..].iter().fold(terms[0], |m, &t| self.emit(Code::Max, &[m, t]));
                let parts: Vec<Value> = terms.iter().map(|&t| self.emit(Code::ExpSub, &[t, largest])).collect();
                let sum = parts[1..].iter().fold(parts[0], |s, &p| self.emit(Code::Add, &[s, p]));
                let log = self.emit(Code::Log, &[sum]);
                self.sums.insert(id, (parts, sum));
                self.emit(Code::Add, &[largest, log])
            }
            Node::Share(lse, k) => {
                self.value(lse);
                let (part, sum) = {
                    let (parts, sum) = &self.sums[&lse];
                    (parts[k as usize], *sum)
                };
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
                    if let Some((x, y)) = self.factors(product) {
                        let rest = self.value(rest);
                        return self.emit(Code::MulAdd, &[x, y, rest]);
                    }
                }
            }
            Binary::Sub => {
                if let Some((x, y)) = self.factors(b) {
                    let rest = self.value(a);
                    return self.emit(Code::NegMulAdd, &[x, y, rest]);
                }
                if let Some((x, y)) = self.factors(a) {
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
fn allocate(drafts: Vec<Draft>, splats: &[(usize, u32)], values: usize, outputs: &[Value]) -> Tape {
    let mut last = vec![0usize; values];
    for (at, draft) in drafts.iter().enumerate() {
        for arg in operands(draft) {
            if let Value::Virtual(v) = arg {
                last[v] = at;
            }
        }
    }
    for value in outputs.iter().chain(splats.iter().map(|(v, _)| Value::Virtual(*v)).collect::<Vec<_>>().iter()) {
        if let Value::Virtual(v) = *value {
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
        let place = |v: Value| match v {
            Value::Virtual(v) => Place::register(register[v] as usize),
            Value::Column(c) => Place::column(c),
        };
        let [a, b, c] = draft.args;
        tape.code.push(Instruction { code: draft.code, to, a: place(a), b: place(b), c: place(c) });
        let mut freed: Vec<usize> = operands(draft)
            .into_iter()
            .filter_map(|v| if let Value::Virtual(v) = v { (last[v] == at).then_some(v) } else { None })
            .collect();
        freed.sort_unstable();
        freed.dedup();
        free.extend(freed.into_iter().map(|v| register[v]));
    }
    tape.outputs = outputs
        .iter()
        .map(|v| match *v {
            Value::Virtual(v) => Place::register(register[v] as usize),
            Value::Column(c) => Place::column(c),
        })
        .collect();
    tape
}

fn operands(draft: &Draft) -> Vec<Value> {
    if draft.code == Code::Gather { Vec::new() } else { draft.args.to_vec() }
}
