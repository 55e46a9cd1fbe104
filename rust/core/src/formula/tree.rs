//! The syntax tree.
//!
//! Chains such as `a + b + c + ...` make trees much deeper than their nesting, so whatever can walk a tree here
//! without recursion does: see [`Expr::postorder`].

use super::{Function, print};

/// A range of bytes of the formula text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The span from `start` up to, not including, `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The smallest span that covers `self` and `other`.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }
}

/// A node of the syntax tree.
///
/// Equality compares the trees and ignores the spans.
pub struct Expr {
    /// What the node is.
    pub kind: ExprKind,
    /// Where it stands, with the parentheses around it: this piece of the text parses to this node.
    pub span: Span,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number; the parser makes only finite ones without a sign.
    Number(f64),
    /// A parameter or an input.
    Name(String),
    /// A parameter with one value per category of a column: `name[column]`.
    Grouped {
        /// The parameter.
        name: String,
        /// The categorical column.
        column: String,
    },
    /// The negative of an expression.
    Neg(Box<Expr>),
    /// Two expressions joined by an operator.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// What stands to its left.
        left: Box<Expr>,
        /// What stands to its right.
        right: Box<Expr>,
    },
    /// A function of one or more expressions; the parser has checked their number.
    Call {
        /// The function.
        function: Function,
        /// Its arguments.
        args: Vec<Expr>,
    },
}

/// The operators with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `**`
    Pow,
}

impl BinaryOp {
    /// How the operator is written.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Pow => "**",
        }
    }
}

impl Expr {
    /// The name of a parameter or an input, grouped or not; `None` for every other node.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            ExprKind::Name(name) | ExprKind::Grouped { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The node's operands or arguments, from left to right.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        (0..).map_while(|index| self.child(index))
    }

    fn child(&self, index: usize) -> Option<&Self> {
        match (&self.kind, index) {
            (ExprKind::Neg(operand), 0) => Some(operand),
            (ExprKind::Binary { left, .. }, 0) => Some(left),
            (ExprKind::Binary { right, .. }, 1) => Some(right),
            (ExprKind::Call { args, .. }, _) => args.get(index),
            _ => None,
        }
    }

    /// All nodes of the tree, children before their parent and from left to right, without recursion.
    ///
    /// A stack machine that pops the values of a node's [`children`](Self::children) and pushes the node's own value
    /// evaluates the tree.
    pub fn postorder(&self) -> Postorder<'_> {
        Postorder { path: vec![(self, 0)] }
    }

    /// A copy of the tree in which `leaf` may replace any node without children.
    pub(super) fn rebuild(&self, mut leaf: impl FnMut(&Self) -> Option<Self>) -> Self {
        let mut done: Vec<Self> = Vec::new();
        for node in self.postorder() {
            let kind = match &node.kind {
                ExprKind::Number(_) | ExprKind::Name(_) | ExprKind::Grouped { .. } => {
                    done.push(leaf(node).unwrap_or_else(|| Self { kind: node.kind.clone(), span: node.span }));
                    continue;
                }
                ExprKind::Neg(_) => ExprKind::Neg(Box::new(pop(&mut done))),
                ExprKind::Binary { op, .. } => {
                    let right = Box::new(pop(&mut done));
                    ExprKind::Binary { op: *op, left: Box::new(pop(&mut done)), right }
                }
                ExprKind::Call { function, args } => {
                    let args = done.split_off(done.len() - args.len());
                    ExprKind::Call { function: *function, args }
                }
            };
            done.push(Self { kind, span: node.span });
        }
        pop(&mut done)
    }
}

fn pop(done: &mut Vec<Expr>) -> Expr {
    done.pop().expect("postorder visits children before their parent")
}

/// Iterator over the nodes of a tree, children first; made by [`Expr::postorder`].
pub struct Postorder<'a> {
    /// The nodes from the root down to the current one, each with the number of its children that were visited.
    path: Vec<(&'a Expr, usize)>,
}

impl Postorder<'_> {
    /// Number of nodes above the one that [`next`](Iterator::next) has returned last.
    pub(super) fn ancestors(&self) -> usize {
        self.path.len()
    }
}

impl<'a> Iterator for Postorder<'a> {
    type Item = &'a Expr;

    fn next(&mut self) -> Option<&'a Expr> {
        loop {
            let (node, visited) = self.path.last_mut()?;
            let node = *node;
            if let Some(child) = node.child(*visited) {
                *visited += 1;
                self.path.push((child, 0));
            } else {
                self.path.pop();
                return Some(node);
            }
        }
    }
}

impl Clone for Expr {
    fn clone(&self) -> Self {
        self.rebuild(|_| None)
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        // The postorder of a tree whose nodes know their number of children determines the tree.
        let (mut ours, mut theirs) = (self.postorder(), other.postorder());
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if same_node(&a.kind, &b.kind) => {}
                _ => return false,
            }
        }
    }
}

/// Whether two nodes are equal but for their children.
fn same_node(a: &ExprKind, b: &ExprKind) -> bool {
    match (a, b) {
        (ExprKind::Number(a), ExprKind::Number(b)) => a == b,
        (ExprKind::Name(a), ExprKind::Name(b)) => a == b,
        (ExprKind::Grouped { name, column }, ExprKind::Grouped { name: other_name, column: other_column }) => {
            name == other_name && column == other_column
        }
        (ExprKind::Neg(_), ExprKind::Neg(_)) => true,
        (ExprKind::Binary { op: a, .. }, ExprKind::Binary { op: b, .. }) => a == b,
        (ExprKind::Call { function: a, args: ours }, ExprKind::Call { function: b, args: theirs }) => {
            a == b && ours.len() == theirs.len()
        }
        _ => false,
    }
}

impl std::fmt::Debug for Expr {
    /// The text of the tree and its span: the text determines the tree, and printing it does not recurse.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Expr(")?;
        print::write(self, f)?;
        write!(f, " @ {}..{})", self.span.start, self.span.end)
    }
}
