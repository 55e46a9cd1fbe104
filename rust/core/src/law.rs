//! A law: a formula, the domains of its parameters, and everything that follows from the two.

use crate::error::Error;
use crate::formula::{Expr, Formula, FormulaError, Span};
use crate::graph::{Derivatives, Graph, Id, Leaves, LogUse, Node, ParamKind, build, for_each_child, log_uses};
use crate::math::Isa;
use crate::objective::DataLeaves;
use crate::program::{BLOCK, Bases, Block, Place, ScalarProgram, Tape, lower, run_tape};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

/// A parameter as declared: name and domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Name in the formula.
    pub name: String,
    /// Domain.
    pub kind: ParamKind,
}

impl Param {
    /// Declares a parameter.
    pub fn new(name: impl Into<String>, kind: ParamKind) -> Self {
        Self { name: name.into(), kind }
    }
}

/// Most parameters that a formula may declare; one with a value per category counts once.
pub const MAX_PARAMS: usize = 500;

/// Most operations that a formula and its derivatives may consist of together. Second derivatives grow with the
/// square of the number of parameters that one term combines; ordinary laws need a few hundred operations.
pub const MAX_OPERATIONS: usize = 200_000;

/// Operations that second derivatives add at most, about, for one operation and one pair of parameters. Formulas for
/// which this estimate stays below the limit are not tried out.
const OPERATIONS_PER_PAIR: usize = 8;

/// What [`Law::evaluate`] computes per row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// The law's value.
    Value,
    /// First derivatives with respect to the named parameters or inputs.
    Gradient(Vec<String>),
    /// Second derivatives, row-major per row.
    Hessian(Vec<String>),
}

/// Program for [`Law::evaluate`], in which parameters are columns like the inputs.
#[derive(Debug)]
struct Evaluator {
    tape: Tape,
    inputs: Vec<usize>,
    scalars: ScalarProgram,
}

/// A compiled law. Cheap to share between threads.
#[derive(Debug)]
pub struct Law {
    formula: Formula,
    params: Vec<Param>,
    inputs: Vec<String>,
    groups: Vec<Option<usize>>,
    group_columns: Vec<String>,
    uses: HashMap<String, LogUse>,
    evaluators: Mutex<HashMap<Quantity, Arc<Evaluator>>>,
}

impl Law {
    /// Compiles a formula. Names declared in `params` are parameters, all others are input columns.
    ///
    /// # Errors
    /// When the formula does not parse, or a declared parameter does not appear in it, or is declared twice, or when
    /// the formula has more than [`MAX_PARAMS`] parameters or needs more than [`MAX_OPERATIONS`].
    ///
    /// # Examples
    /// ```
    /// use scalinglaws_core::{Law, Param, ParamKind, Quantity};
    /// let law = Law::new("L ~ E + A / N**alpha", vec![
    ///     Param::new("E", ParamKind::Positive),
    ///     Param::new("A", ParamKind::Positive),
    ///     Param::new("alpha", ParamKind::Real),
    /// ])?;
    /// assert_eq!(law.inputs(), ["N"]);
    /// // Columns are the inputs, then the parameters.
    /// let value = law.evaluate(&Quantity::Value, &[&[100.0], &[1.5], &[20.0], &[0.5]])?;
    /// assert!((value[0] - 3.5).abs() < 1e-14);
    /// # Ok::<(), scalinglaws_core::Error>(())
    /// ```
    pub fn new(text: &str, params: Vec<Param>) -> Result<Self, FormulaError> {
        let formula = Formula::parse(text)?;
        let fail = |message: String| FormulaError::new(message, text, Span { start: 0, end: text.len() });
        if params.len() > MAX_PARAMS {
            return Err(fail(format!("{} parameters are declared, more than the limit of {MAX_PARAMS}", params.len())));
        }
        let names: Vec<String> = formula.names().into_iter().map(str::to_owned).collect();
        let known: HashSet<&str> = names.iter().map(String::as_str).collect();
        let mut declared: HashSet<&str> = HashSet::new();
        let grouped: BTreeMap<String, String> =
            formula.groups().into_iter().map(|(name, column)| (name.to_owned(), column.to_owned())).collect();
        for param in &params {
            if !declared.insert(&param.name) {
                return Err(fail(format!("parameter {:?} is declared twice", param.name)));
            }
            if !known.contains(param.name.as_str()) {
                return Err(fail(format!("parameter {:?} does not appear in the formula", param.name)));
            }
            if let ParamKind::Box(lo, hi) = param.kind
                && (lo.is_nan() || hi.is_nan() || lo >= hi)
            {
                return Err(fail(format!("the domain of parameter {:?} is empty: ({lo}, {hi})", param.name)));
            }
        }
        if let Some(name) = grouped.keys().find(|name| !declared.contains(name.as_str())) {
            return Err(fail(format!("{name}[{}] is not declared as a parameter", grouped[name])));
        }
        let inputs: Vec<String> = names.iter().filter(|n| !declared.contains(n.as_str())).cloned().collect();
        let mut group_columns: Vec<String> = Vec::new();
        let groups = params
            .iter()
            .map(|p| {
                grouped.get(&p.name).map(|column| {
                    group_columns.iter().position(|c| c == column).unwrap_or_else(|| {
                        group_columns.push(column.clone());
                        group_columns.len() - 1
                    })
                })
            })
            .collect();
        let uses = log_uses(&formula.root);
        let law = Self { formula, params, inputs, groups, group_columns, uses, evaluators: Mutex::default() };
        if !law.is_differentiable_in_budget() {
            let message =
                format!("the formula is too large: with its derivatives it exceeds {MAX_OPERATIONS} operations");
            return Err(FormulaError::new(message, text, Span { start: 0, end: text.len() }));
        }
        Ok(law)
    }

    /// Whether all second derivatives fit into [`MAX_OPERATIONS`].
    fn is_differentiable_in_budget(&self) -> bool {
        let (mut g, root) = self.graph();
        if g.len() + OPERATIONS_PER_PAIR * pairs(&g, root, self.params.len()) <= MAX_OPERATIONS {
            return true;
        }
        let leaves: Vec<Id> = (0..self.params.len() as u32).map(|slot| g.param(slot)).collect();
        let logarithm = g.to_log(root);
        let mut d = Derivatives::default();
        [root, logarithm].into_iter().all(|root| second_derivatives(&mut g, &mut d, root, &leaves).is_some())
    }

    /// The formula.
    pub fn formula(&self) -> &Formula {
        &self.formula
    }

    /// Declared parameters, in order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Input columns, in order of first appearance.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// Categorical columns that group parameters.
    pub fn group_columns(&self) -> &[String] {
        &self.group_columns
    }

    /// Index into [`Law::group_columns`] for each parameter that has one value per category.
    pub fn group_of_slot(&self) -> Vec<Option<usize>> {
        self.groups.clone()
    }

    /// How the formula uses the logarithm of an input, if it does.
    pub fn log_use(&self, input: &str) -> Option<LogUse> {
        self.uses.get(input).copied()
    }

    /// Formula with parameters replaced by expressions: ties such as `beta = alpha`.
    ///
    /// # Errors
    /// When an expression does not parse or the result breaks a rule of the language.
    pub fn substitute(&self, ties: &BTreeMap<String, String>) -> Result<Formula, FormulaError> {
        let mut map: BTreeMap<String, Expr> = BTreeMap::new();
        for (name, text) in ties {
            map.insert(name.clone(), Formula::parse(text)?.root);
        }
        self.formula.substitute(&map)
    }

    /// Graph of the law over slots and input columns, with its root.
    pub(crate) fn graph(&self) -> (Graph, Id) {
        let mut g = Graph::new(
            self.groups.iter().map(Option::is_some).collect(),
            self.params.iter().map(|p| p.kind.is_positive()).collect(),
            self.inputs.iter().map(|name| self.uses.contains_key(name)).collect(),
        );
        let leaves =
            Leaves { inputs: numbered(self.inputs.iter()), params: numbered(self.params.iter().map(|p| &p.name)) };
        let root = build(&mut g, &leaves, &self.formula.root);
        (g, root)
    }

    /// Graph in which parameters are columns after the inputs.
    fn column_graph(&self) -> (Graph, Id, HashMap<String, u32>) {
        let names: Vec<&String> = self.inputs.iter().chain(self.params.iter().map(|p| &p.name)).collect();
        let positive = self
            .inputs
            .iter()
            .map(|name| self.uses.contains_key(name))
            .chain(self.params.iter().map(|p| p.kind.is_positive()))
            .collect();
        let mut g = Graph::new(Vec::new(), Vec::new(), positive);
        let leaves = Leaves { inputs: numbered(names.into_iter()), params: HashMap::new() };
        let root = build(&mut g, &leaves, &self.formula.root);
        (g, root, leaves.inputs)
    }

    fn evaluator(&self, quantity: &Quantity) -> Result<Arc<Evaluator>, Error> {
        let mut cache = self.evaluators.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(found) = cache.get(quantity) {
            return Ok(found.clone());
        }
        let (mut g, root, columns) = self.column_graph();
        let leaf = |g: &mut Graph, name: &String| match columns.get(name) {
            Some(&column) => Ok(g.input(column)),
            None => Err(Error::UnknownName(name.clone())),
        };
        let zero = g.constant(0.0);
        let outputs = match quantity {
            Quantity::Value => vec![root],
            Quantity::Gradient(wrt) => {
                let mut d = Derivatives::default();
                let leaves: Vec<Id> = wrt.iter().map(|name| leaf(&mut g, name)).collect::<Result<_, _>>()?;
                leaves.iter().map(|&leaf| d.derive(&mut g, root, leaf).unwrap_or(zero)).collect()
            }
            Quantity::Hessian(wrt) => {
                let mut d = Derivatives::default();
                let leaves: Vec<Id> = wrt.iter().map(|name| leaf(&mut g, name)).collect::<Result<_, _>>()?;
                second_derivatives(&mut g, &mut d, root, &leaves).ok_or_else(|| {
                    Error::Option(format!(
                        "the second derivatives by {} names exceed {MAX_OPERATIONS} operations: ask for fewer at a time",
                        wrt.len()
                    ))
                })?
            }
        };
        let (mut inputs, mut scalars) = (Vec::new(), ScalarProgram::default());
        let tape = lower(&g, &outputs, &mut DataLeaves { inputs: &mut inputs, scalars: &mut scalars });
        let evaluator = Arc::new(Evaluator { tape, inputs, scalars });
        // A caller that asks for ever new subsets must not fill the memory.
        if cache.len() >= 64 {
            cache.clear();
        }
        cache.insert(quantity.clone(), evaluator.clone());
        Ok(evaluator)
    }

    /// Evaluates the law row by row, in natural units, row-major over the outputs of a row. `columns` holds the
    /// inputs, then the parameters (grouped ones gathered), each of the common length or of length one.
    ///
    /// # Errors
    /// When a name to differentiate by is unknown, the columns disagree in number or length, or second derivatives by
    /// inputs exceed [`MAX_OPERATIONS`].
    pub fn evaluate(&self, quantity: &Quantity, columns: &[&[f64]]) -> Result<Vec<f64>, Error> {
        self.evaluate_with(Isa::detect(), quantity, columns)
    }

    /// The same with the kernels of an instruction set of the caller's choice, to compare them.
    ///
    /// # Errors
    /// As [`Law::evaluate`], and when this processor lacks the instruction set.
    pub fn evaluate_with(&self, isa: Isa, quantity: &Quantity, columns: &[&[f64]]) -> Result<Vec<f64>, Error> {
        if !isa.is_available() {
            return Err(Error::Option(format!("this processor does not have {}", isa.name())));
        }
        let expected = self.inputs.len() + self.params.len();
        if columns.len() != expected {
            return Err(Error::Columns { expected, found: columns.len() });
        }
        let rows = columns.iter().map(|c| c.len()).filter(|&n| n != 1).max().unwrap_or(1);
        if let Some(bad) = columns.iter().find(|c| c.len() != 1 && c.len() != rows) {
            return Err(Error::Length { expected: rows, found: bad.len() });
        }
        let evaluator = self.evaluator(quantity)?;
        let width = evaluator.tape.outputs.len();
        let mut result = vec![0.0; rows * width];
        let tape = &evaluator.tape;
        let mut values = Vec::new();
        evaluator.scalars.evaluate(&[], &[], &mut values);
        let mut registers = vec![Block::ZERO; tape.registers];
        for &(register, scalar) in &tape.splats {
            registers[register as usize] = Block([values[scalar as usize]; BLOCK]);
        }
        let mut block = vec![Block::ZERO; evaluator.inputs.len().max(1)];
        for start in (0..rows).step_by(BLOCK) {
            let count = BLOCK.min(rows - start);
            for (to, &input) in block.iter_mut().zip(&evaluator.inputs) {
                fill(to, columns[input], start, count);
            }
            let bases = Bases {
                registers: registers.as_mut_ptr(),
                columns: block.as_ptr(),
                codes: std::ptr::null(),
                tables: std::ptr::null(),
            };
            run_tape(isa, tape, bases);
            for (k, &place) in tape.outputs.iter().enumerate() {
                let output = place_of(place, &registers, &block);
                for (i, x) in output.0[..count].iter().enumerate() {
                    result[(start + i) * width + k] = *x;
                }
            }
        }
        Ok(result)
    }
}

/// Sum over the nodes that `root` needs of the squared number of parameters that each combines.
fn pairs(g: &Graph, root: Id, params: usize) -> usize {
    let (words, needed) = (params.div_ceil(64), g.reachable(&[root]));
    let mut depends = vec![0u64; words * g.len()];
    let mut total = 0;
    for i in (0..g.len()).filter(|&i| needed[i]) {
        let (before, rest) = depends.split_at_mut(i * words);
        let own = &mut rest[..words];
        let node = g.node(Id::from_index(i));
        if let Node::Param(p) | Node::LogParam(p) = node {
            own[*p as usize / 64] |= 1 << (p % 64);
        }
        for_each_child(node, |c| {
            own.iter_mut().zip(&before[c.index() * words..]).for_each(|(to, from)| *to |= from);
        });
        let count: usize = own.iter().map(|word| word.count_ones() as usize).sum();
        total += count * count;
    }
    total
}

/// All second derivatives, row-major and symmetric, or `None` if the graph outgrows [`MAX_OPERATIONS`].
fn second_derivatives(g: &mut Graph, d: &mut Derivatives, root: Id, leaves: &[Id]) -> Option<Vec<Id>> {
    let n = leaves.len();
    let zero = g.constant(0.0);
    let mut second = vec![zero; n * n];
    for j in 0..n {
        let Some(first) = d.derive(g, root, leaves[j]) else { continue };
        for k in j..n {
            if g.len() > MAX_OPERATIONS {
                return None;
            }
            let entry = d.derive(g, first, leaves[k]).unwrap_or(zero);
            second[j * n + k] = entry;
            second[k * n + j] = entry;
        }
    }
    Some(second)
}

fn place_of<'a>(place: Place, registers: &'a [Block], columns: &'a [Block]) -> &'a Block {
    match place.as_column() {
        Some(c) => &columns[c],
        None => &registers[place.as_register()],
    }
}

/// Copies rows of a column into a block; the last row is repeated, so that padding never is worse than the data.
pub(crate) fn fill(to: &mut Block, column: &[f64], start: usize, count: usize) {
    if column.len() == 1 {
        to.0 = [column[0]; BLOCK];
        return;
    }
    to.0[..count].copy_from_slice(&column[start..start + count]);
    let last = to.0[count - 1];
    to.0[count..].fill(last);
}

fn numbered<'a>(names: impl Iterator<Item = &'a String>) -> HashMap<String, u32> {
    names.enumerate().map(|(i, name)| (name.clone(), i as u32)).collect()
}
