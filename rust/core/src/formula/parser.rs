//! Tokens to tree: operators are taken by binding power, as in a Pratt parser, but what waits for its right-hand side
//! waits on a stack of our own, so that no formula can exhaust the machine's.

use super::error::quoted;
use super::lexer::{Lexer, Token, TokenKind};
use super::problem::{
    Step, check_count, column_without_name, misplaced_tilde, missing_operator, never_closed, never_opened,
    nothing_on_the, problem, second_tilde, stray_comma, two_uses, unknown_function,
};
use super::{
    BinaryOp, Expr, ExprKind, Formula, FormulaError, Function, MAX_DEPTH, MAX_LENGTH, MAX_NESTING, MAX_NODES, Span,
};
use std::collections::{HashMap, HashSet};

pub(super) fn parse(text: &str) -> Result<Formula, FormulaError> {
    if text.len() > MAX_LENGTH {
        let message = format!("the formula is {} bytes long; the limit is {MAX_LENGTH}", text.len());
        return Err(FormulaError::new(message, text, Span::new(MAX_LENGTH, MAX_LENGTH + 1)));
    }
    Parser::new(text).and_then(Parser::formula).map_err(|problem| problem.in_text(text))
}

/// Binding powers: an operator is taken while it binds at least as tightly as what waits for the operand before it.
const SUM: u8 = 1;
const PRODUCT: u8 = 2;
const SIGN: u8 = 3;
const POWER: u8 = 4;

fn binary(kind: TokenKind) -> Option<(BinaryOp, u8)> {
    Some(match kind {
        TokenKind::Plus => (BinaryOp::Add, SUM),
        TokenKind::Minus => (BinaryOp::Sub, SUM),
        TokenKind::Star => (BinaryOp::Mul, PRODUCT),
        TokenKind::Slash => (BinaryOp::Div, PRODUCT),
        TokenKind::Power => (BinaryOp::Pow, POWER),
        _ => return None,
    })
}

/// A subtree and the number of nodes on its longest path.
struct Tree {
    expr: Expr,
    depth: usize,
}

/// What has begun and waits for the expression that is read next.
enum Waiting {
    /// An operator with its left operand.
    Binary { op: BinaryOp, operator: Span, left: Tree },
    /// A sign.
    Sign { kind: TokenKind, at: Span },
    /// An opening parenthesis.
    Group { open: Span },
    /// A call with the arguments before this one and the depth of the deepest.
    Call { function: Function, name: Span, open: Span, args: Vec<Expr>, depth: usize },
}

impl Waiting {
    /// The least binding power of the operators that belong to the awaited expression.
    fn least(&self) -> u8 {
        match self {
            Self::Binary { op: BinaryOp::Pow, .. } => POWER,
            Self::Binary { op: BinaryOp::Mul | BinaryOp::Div, .. } | Self::Sign { .. } => SIGN,
            Self::Binary { op: BinaryOp::Add | BinaryOp::Sub, .. } => PRODUCT,
            Self::Group { .. } | Self::Call { .. } => SUM,
        }
    }

    /// Whether it counts as a level of nesting: chains of left-associative operators do not grow the stack.
    fn nests(&self) -> bool {
        !matches!(self, Self::Binary { op, .. } if *op != BinaryOp::Pow)
    }
}

struct Parser<'t> {
    text: &'t str,
    lexer: Lexer<'t>,
    token: Token,
    previous: Option<Token>,
    waiting: Vec<Waiting>,
    nesting: usize,
    nodes: usize,
    target: Option<&'t str>,
    /// The column, if any, with which each name has appeared.
    columns: HashMap<&'t str, Option<&'t str>>,
    /// Every column that has appeared in brackets.
    grouping: HashSet<&'t str>,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Step<Self> {
        let mut lexer = Lexer::new(text);
        Ok(Self {
            text,
            token: lexer.next()?,
            lexer,
            previous: None,
            waiting: Vec::new(),
            nesting: 0,
            nodes: 0,
            target: None,
            columns: HashMap::new(),
            grouping: HashSet::new(),
        })
    }

    fn formula(mut self) -> Step<Formula> {
        if self.token.kind == TokenKind::End {
            return problem(Span::new(0, 0), "the formula is empty");
        }
        self.take_target()?;
        let root = self.expression()?.expr;
        if self.token.kind != TokenKind::End {
            return self.after_operand();
        }
        Ok(Formula { text: self.text.to_owned(), target: self.target.map(str::to_owned), root })
    }

    fn take_target(&mut self) -> Step<()> {
        let first = self.token;
        let tilde = { self.lexer }.next().is_ok_and(|second| second.kind == TokenKind::Tilde);
        if first.kind == TokenKind::Name && tilde {
            let name = self.piece(first.span);
            if Function::from_name(name).is_some() {
                let message = format!("{} is a function and cannot be the target", quoted(name));
                return problem(first.span, message);
            }
            self.target = Some(name);
            self.advance()?;
            self.advance()?;
        }
        Ok(())
    }

    fn advance(&mut self) -> Step<()> {
        self.previous = Some(self.token);
        self.token = self.lexer.next()?;
        Ok(())
    }

    fn piece(&self, span: Span) -> &'t str {
        &self.text[span.start..span.end]
    }

    /// Read one expression to its end.
    fn expression(&mut self) -> Step<Tree> {
        'operand: loop {
            let Some(mut tree) = self.operand()? else {
                continue;
            };
            loop {
                let least = self.waiting.last().map_or(SUM, Waiting::least);
                if let Some((op, power)) = binary(self.token.kind)
                    && power >= least
                {
                    let operator = self.token.span;
                    self.wait(Waiting::Binary { op, operator, left: tree }, operator)?;
                    self.advance()?;
                    continue 'operand;
                }
                let Some(waiting) = self.waiting.pop() else {
                    return Ok(tree);
                };
                self.nesting -= usize::from(waiting.nests());
                match self.complete(waiting, tree)? {
                    Some(completed) => tree = completed,
                    None => continue 'operand,
                }
            }
        }
    }

    fn wait(&mut self, waiting: Waiting, at: Span) -> Step<()> {
        self.nesting += usize::from(waiting.nests());
        if self.nesting > MAX_NESTING {
            return problem(at, format!("the formula is nested more than {MAX_NESTING} levels deep"));
        }
        self.waiting.push(waiting);
        Ok(())
    }

    /// Read a number or a name, or `None` where something begins that must wait for its operand.
    fn operand(&mut self) -> Step<Option<Tree>> {
        let Token { kind, span } = self.token;
        match kind {
            TokenKind::Number(value) => {
                self.advance()?;
                self.node(ExprKind::Number(value), span, 0, span).map(Some)
            }
            TokenKind::Name => self.name(span),
            TokenKind::Minus | TokenKind::Plus => {
                self.wait(Waiting::Sign { kind, at: span }, span)?;
                self.advance()?;
                Ok(None)
            }
            TokenKind::Open => {
                self.wait(Waiting::Group { open: span }, span)?;
                self.advance()?;
                if self.token.kind == TokenKind::Close {
                    let both = span.to(self.token.span);
                    return problem(both, "there is nothing between these parentheses");
                }
                Ok(None)
            }
            _ => self.no_operand(),
        }
    }

    fn name(&mut self, span: Span) -> Step<Option<Tree>> {
        self.advance()?;
        let name = self.piece(span);
        match (Function::from_name(name), self.token.kind) {
            (Some(function), TokenKind::Open) => {
                let open = self.token.span;
                let call = Waiting::Call { function, name: span, open, args: Vec::new(), depth: 0 };
                self.wait(call, open)?;
                self.advance()?;
                if self.token.kind == TokenKind::Close {
                    check_count(function, 0, span.to(self.token.span))?;
                }
                Ok(None)
            }
            (Some(_), _) => problem(span, format!("'{name}' is a function; write '{name}(...)'")),
            (None, TokenKind::Open) => unknown_function(name, span),
            (None, TokenKind::OpenBracket) => self.grouped(name, span).map(Some),
            (None, _) => {
                self.declare(name, None, span)?;
                self.node(ExprKind::Name(name.to_owned()), span, 0, span).map(Some)
            }
        }
    }

    fn grouped(&mut self, name: &'t str, start: Span) -> Step<Tree> {
        let bracket = self.token.span;
        self.advance()?;
        let inside = self.token;
        if inside.kind == TokenKind::End {
            return never_closed(bracket, '[');
        }
        let column = self.piece(inside.span);
        if inside.kind != TokenKind::Name || Function::from_name(column).is_some() {
            let message = "the brackets after a name hold the name of a column, as in 'A[language]'";
            return problem(inside.span, message);
        }
        self.advance()?;
        match self.token.kind {
            TokenKind::CloseBracket => {}
            TokenKind::End | TokenKind::Close => return never_closed(bracket, '['),
            _ => {
                let message = "the brackets after a name hold one column and nothing else";
                return problem(self.token.span, message);
            }
        }
        let span = start.to(self.token.span);
        self.advance()?;
        self.declare(name, Some(column), span)?;
        let kind = ExprKind::Grouped { name: name.to_owned(), column: column.to_owned() };
        self.node(kind, span, 0, span)
    }

    /// Note that `name` is used here, and check that it is used everywhere in one way.
    fn declare(&mut self, name: &'t str, column: Option<&'t str>, span: Span) -> Step<()> {
        if let Some(target) = self.target
            && (target == name || Some(target) == column)
        {
            let message = format!("the target {} may not appear on the right-hand side", quoted(target));
            return problem(span, message);
        }
        let earlier = *self.columns.entry(name).or_insert(column);
        if earlier != column {
            return two_uses(name, earlier, column, span);
        }
        self.grouping.extend(column);
        // What has a column is a parameter, what stands in brackets is a column of the data: nothing is both.
        for both in [Some(name), column].into_iter().flatten() {
            if self.grouping.contains(both) && self.columns.get(both).is_some_and(Option::is_some) {
                let message = format!("{} is used both as a parameter and as a column in brackets", quoted(both));
                return problem(span, message);
            }
        }
        Ok(())
    }

    /// Give what waits its expression: the tree that results, or `None` if it waits for another one.
    fn complete(&mut self, waiting: Waiting, tree: Tree) -> Step<Option<Tree>> {
        match waiting {
            Waiting::Binary { op, operator, left } => {
                let span = left.expr.span.to(tree.expr.span);
                let depth = left.depth.max(tree.depth);
                let (left, right) = (Box::new(left.expr), Box::new(tree.expr));
                self.node(ExprKind::Binary { op, left, right }, span, depth, operator).map(Some)
            }
            Waiting::Sign { kind: TokenKind::Minus, at } => {
                let span = at.to(tree.expr.span);
                self.node(ExprKind::Neg(Box::new(tree.expr)), span, tree.depth, at).map(Some)
            }
            Waiting::Sign { at, .. } => Ok(Some(widened(tree, at))),
            Waiting::Group { open } => {
                let here = self.token;
                if here.kind != TokenKind::Close {
                    return if here.kind == TokenKind::End { never_closed(open, '(') } else { self.after_operand() };
                }
                self.advance()?;
                Ok(Some(widened(tree, open.to(here.span))))
            }
            Waiting::Call { function, name, open, mut args, depth } => {
                let here = self.token;
                let depth = depth.max(tree.depth);
                args.push(tree.expr);
                match here.kind {
                    TokenKind::Comma => self.advance()?,
                    TokenKind::Close => {}
                    TokenKind::End => return never_closed(open, '('),
                    _ => return self.after_operand(),
                }
                // The last argument may have a comma after it.
                if self.token.kind != TokenKind::Close {
                    self.wait(Waiting::Call { function, name, open, args, depth }, open)?;
                    return Ok(None);
                }
                let span = name.to(self.token.span);
                self.advance()?;
                check_count(function, args.len(), span)?;
                self.node(ExprKind::Call { function, args }, span, depth, name).map(Some)
            }
        }
    }

    /// A new node above children of the given depth; `blame` is where a limit is reported.
    fn node(&mut self, kind: ExprKind, span: Span, depth: usize, blame: Span) -> Step<Tree> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("the formula has more than {MAX_NODES} numbers, names and operations");
            return problem(blame, message);
        }
        if depth + 1 > MAX_DEPTH {
            let message =
                format!("more than {MAX_DEPTH} operations inside one another; break long chains up with parentheses");
            return problem(blame, message);
        }
        Ok(Tree { expr: Expr { kind, span }, depth: depth + 1 })
    }

    /// The error for a token that cannot begin an operand.
    fn no_operand<T>(&self) -> Step<T> {
        use TokenKind::{Close, CloseBracket, Comma, End, Open, OpenBracket, Tilde};
        let here = self.token;
        let before = self.previous;
        match (before.map(|token| token.kind), here.kind) {
            (None, Tilde) => problem(here.span, "the name of the target is missing before '~'"),
            (Some(Tilde), End) => problem(before.unwrap_or(here).span, "the expression is missing after '~'"),
            (Some(Tilde), Tilde) => second_tilde(here.span),
            (Some(Open | Comma), End) => self.unclosed(),
            (Some(Open | Comma), Comma) => problem(here.span, "an argument is missing before this ','"),
            (Some(kind), End | Close | CloseBracket | Comma | Tilde) if binary(kind).is_some() => {
                let operator = before.unwrap_or(here).span;
                nothing_on_the("right", self.piece(operator), operator)
            }
            (_, Close) => never_opened(here.span, ')', '('),
            (_, CloseBracket) => never_opened(here.span, ']', '['),
            (_, OpenBracket) => column_without_name(here.span),
            (_, Comma) => stray_comma(here.span),
            (_, Tilde) => misplaced_tilde(here.span),
            _ => nothing_on_the("left", self.piece(here.span), here.span),
        }
    }

    /// The error for a token that cannot follow a complete operand at this place.
    fn after_operand<T>(&self) -> Step<T> {
        let here = self.token;
        match here.kind {
            TokenKind::Close => never_opened(here.span, ')', '('),
            TokenKind::CloseBracket => never_opened(here.span, ']', '['),
            TokenKind::OpenBracket => column_without_name(here.span),
            TokenKind::Comma => stray_comma(here.span),
            TokenKind::Tilde if self.target.is_some() => second_tilde(here.span),
            TokenKind::Tilde => misplaced_tilde(here.span),
            _ => {
                let left = self.previous.map_or("", |token| self.piece(token.span));
                missing_operator(left, self.piece(here.span), here.span)
            }
        }
    }

    /// The error for a text that ends inside parentheses.
    fn unclosed<T>(&self) -> Step<T> {
        let innermost = self.waiting.iter().rev().find_map(|waiting| match waiting {
            Waiting::Group { open } | Waiting::Call { open, .. } => Some(*open),
            _ => None,
        });
        never_closed(innermost.unwrap_or(self.token.span), '(')
    }
}

/// The same tree with what stands around it.
fn widened(mut tree: Tree, around: Span) -> Tree {
    tree.expr.span = tree.expr.span.to(around);
    tree
}
