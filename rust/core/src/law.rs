//! A law: a formula, the domains of its parameters, and everything that follows from the two.

use crate::error::Error;
use crate::formula::{Expr, Formula, FormulaError, Span};
use crate::graph::{Derivatives, Graph, Id, Leaves, LogUse, ParamKind, build, log_uses};
use crate::math::Isa;
use crate::objective::DataLeaves;
use crate::program::{BLOCK, Bases, Block, Place, ScalarProgram, Tape, lower, run_tape};
use std::collections::{BTreeMap, HashMap};
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
    /// When the formula does not parse, or a declared parameter does not appear in it, or is declared twice.
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
        let names: Vec<String> = formula.names().into_iter().map(str::to_owned).collect();
        let grouped: BTreeMap<String, String> =
            formula.groups().into_iter().map(|(name, column)| (name.to_owned(), column.to_owned())).collect();
        for (i, param) in params.iter().enumerate() {
            if params[..i].iter().any(|p| p.name == param.name) {
                return Err(fail(format!("parameter {:?} is declared twice", param.name)));
            }
            if !names.contains(&param.name) {
                return Err(fail(format!("parameter {:?} does not appear in the formula", param.name)));
            }
            if let ParamKind::Box(lo, hi) = param.kind {
                if lo.is_nan() || hi.is_nan() || lo >= hi {
                    return Err(fail(format!("the domain of parameter {:?} is empty: ({lo}, {hi})", param.name)));
                }
            }
        }
        let is_param = |name: &str| params.iter().any(|p| p.name == name);
        if let Some(name) = grouped.keys().find(|name| !is_param(name)) {
            return Err(fail(format!("{name}[{}] is not declared as a parameter", grouped[name])));
        }
        let inputs: Vec<String> = names.iter().filter(|n| !is_param(n)).cloned().collect();
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
        let mut uses = HashMap::new();
        log_uses(&formula.root, &mut uses);
        Ok(Self { formula, params, inputs, groups, group_columns, uses, evaluators: Mutex::default() })
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
        let leaves = Leaves { inputs: numbered(self.inputs.iter()), params: numbered(self.params.iter().map(|p| &p.name)) };
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
        let outputs = match quantity {
            Quantity::Value => vec![root],
            Quantity::Gradient(wrt) | Quantity::Hessian(wrt) => {
                let mut leaves = Vec::new();
                for name in wrt {
                    let column = columns.get(name).ok_or_else(|| Error::UnknownName(name.clone()))?;
                    leaves.push(g.input(*column));
                }
                let mut d = Derivatives::default();
                let zero = g.constant(0.0);
                let first: Vec<Id> =
                    leaves.iter().map(|&leaf| d.derive(&mut g, root, leaf).unwrap_or(zero)).collect();
                if let Quantity::Gradient(_) = quantity {
                    first
                } else {
                    let mut second = vec![zero; leaves.len() * leaves.len()];
                    for j in 0..leaves.len() {
                        for k in j..leaves.len() {
                            let entry = d.derive(&mut g, first[j], leaves[k]).unwrap_or(zero);
                            second[j * leaves.len() + k] = entry;
                            second[k * leaves.len() + j] = entry;
                        }
                    }
                    second
                }
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
    /// When a name to differentiate by is unknown or the columns disagree in number or length.
    pub fn evaluate(&self, quantity: &Quantity, columns: &[&[f64]]) -> Result<Vec<f64>, Error> {
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
        let (tape, isa) = (&evaluator.tape, Isa::detect());
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
