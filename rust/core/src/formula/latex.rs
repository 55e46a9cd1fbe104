//! Trees to LaTeX, as a paper would set them.
//!
//! LaTeX is for readers, so products of fractions are gathered into one fraction, and parentheses that only record the
//! order of additions or of multiplications are dropped.

use super::{BinaryOp, Expr, ExprKind, Formula, Function, print};

impl Formula {
    /// The formula as LaTeX for math mode; the target, if there is one, is set equal to it.
    pub fn latex(&self) -> String {
        let right = self.root.latex();
        match &self.target {
            Some(target) => format!("{} = {right}", name(target, None)),
            None => right,
        }
    }
}

impl Expr {
    /// The expression as LaTeX for math mode.
    pub fn latex(&self) -> String {
        let mut writer = Writer { out: String::new(), script: false };
        writer.sum(self);
        writer.out
    }
}

struct Writer {
    out: String,
    /// Inside an exponent, where small fractions are written with a slash.
    script: bool,
}

impl Writer {
    /// A sum, or anything else, where nothing around it needs parentheses.
    fn sum(&mut self, expr: &Expr) {
        let (first, rest) = left_chain(expr, |op| matches!(op, BinaryOp::Add | BinaryOp::Sub));
        if rest.is_empty() {
            return self.product(first);
        }
        self.term(first, true);
        for (op, term) in rest {
            self.out.push_str(if op == BinaryOp::Add { " + " } else { " - " });
            // a + (b - c) is a + b - c, but a - (b - c) and a + (-b) keep their parentheses.
            if op == BinaryOp::Add && is_sum(term) && !starts_with_sign(term) {
                self.sum(term);
            } else {
                self.term(term, false);
            }
        }
    }

    /// A term of a sum. Only the first may begin with a minus sign.
    fn term(&mut self, expr: &Expr, first: bool) {
        if is_sum(expr) || (!first && starts_with_sign(expr)) {
            self.parentheses(expr);
        } else {
            self.product(expr);
        }
    }

    /// Whatever is not a sum, or is `expm1`, which is written as one.
    fn product(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Neg(operand) => {
                self.out.push('-');
                self.term(operand, false);
            }
            ExprKind::Binary { op: BinaryOp::Mul | BinaryOp::Div, .. } => self.fractions(expr),
            ExprKind::Binary { op: BinaryOp::Pow, left, right } => self.power(left, right),
            ExprKind::Binary { .. } => self.parentheses(expr),
            ExprKind::Number(value) => self.out.push_str(&number(*value)),
            ExprKind::Name(text) => self.out.push_str(&name(text, None)),
            ExprKind::Grouped { name: text, column } => {
                self.out.push_str(&name(text, Some(column)));
            }
            ExprKind::Call { function, args } => self.call(*function, args),
        }
    }

    /// A chain of `*` and `/`: each run of factors with the divisors that follow it becomes one fraction.
    fn fractions(&mut self, expr: &Expr) {
        let (first, rest) = left_chain(expr, |op| matches!(op, BinaryOp::Mul | BinaryOp::Div));
        let first = if let ExprKind::Neg(operand) = &first.kind {
            self.out.push('-');
            operand
        } else {
            first
        };
        let mut groups = vec![(vec![first], Vec::new())];
        for (op, factor) in rest {
            match (op, groups.last_mut()) {
                (BinaryOp::Div, Some((_, divisors))) => divisors.push(factor),
                (_, Some((factors, divisors))) if divisors.is_empty() => factors.push(factor),
                _ => groups.push((vec![factor], Vec::new())),
            }
        }
        let start = self.out.len();
        for (factors, divisors) in groups {
            let here = self.out.len();
            self.fraction(&factors, &divisors);
            if here > start {
                self.separate(start, here);
            }
        }
    }

    fn fraction(&mut self, factors: &[&Expr], divisors: &[&Expr]) {
        if divisors.is_empty() {
            self.factors(factors);
        } else if let ([factor], [divisor], true) = (factors, divisors, self.script)
            && is_short(factor)
            && is_short(divisor)
        {
            self.product(factor);
            self.out.push('/');
            self.product(divisor);
        } else {
            let script = std::mem::take(&mut self.script);
            self.out.push_str(r"\frac{");
            self.factors_alone(factors);
            self.out.push_str("}{");
            self.factors_alone(divisors);
            self.out.push('}');
            self.script = script;
        }
    }

    /// Factors between braces, where a single one needs no parentheses.
    fn factors_alone(&mut self, factors: &[&Expr]) {
        if let [single] = factors {
            self.sum(single);
        } else {
            self.factors(factors);
        }
    }

    fn factors(&mut self, factors: &[&Expr]) {
        let start = self.out.len();
        for factor in factors {
            let here = self.out.len();
            if is_sum(factor) || starts_with_sign(factor) {
                self.parentheses(factor);
            } else {
                self.product(factor);
            }
            if here > start {
                self.separate(start, here);
            }
        }
    }

    /// Put the sign of multiplication at `here`: a thin space where that cannot be misread, else a dot.
    fn separate(&mut self, start: usize, here: usize) {
        let (left, right) = (&self.out[start..here], &self.out[here..]);
        let after_digit = left.ends_with(|c: char| c.is_ascii_digit());
        let number_next = right.starts_with(|c: char| c.is_ascii_digit());
        let dot = number_next || (after_digit && right.starts_with(r"\frac"));
        self.out.insert_str(here, if dot { r" \cdot " } else { r"\," });
    }

    fn power(&mut self, base: &Expr, exponent: &Expr) {
        let bare = match &base.kind {
            ExprKind::Number(value) => !value.is_sign_negative() && number(*value).bytes().all(|c| c != b'^'),
            ExprKind::Name(_) | ExprKind::Grouped { .. } => true,
            ExprKind::Call { function, .. } => matches!(function, Function::Abs | Function::Sqrt),
            _ => false,
        };
        if bare {
            self.product(base);
        } else {
            self.parentheses(base);
        }
        self.out.push_str("^{");
        let script = std::mem::replace(&mut self.script, true);
        self.sum(exponent);
        self.script = script;
        self.out.push('}');
    }

    fn call(&mut self, function: Function, args: &[Expr]) {
        let command = match function {
            Function::Sqrt => return self.enclosed(r"\sqrt{", args, "}"),
            Function::Abs => return self.enclosed(r"\left|", args, r"\right|"),
            Function::Expm1 => {
                self.out.push_str(r"\exp");
                self.arguments(args, "");
                self.out.push_str(" - 1");
                return;
            }
            Function::Log1p => {
                self.out.push_str(r"\log");
                let negated = args.first().and_then(|argument| match &argument.kind {
                    ExprKind::Neg(operand) if !is_sum(operand) && !starts_with_sign(operand) => Some(&**operand),
                    _ => None,
                });
                match negated {
                    Some(operand) => self.arguments(std::slice::from_ref(operand), "1 - "),
                    None => self.arguments(args, "1 + "),
                }
                return;
            }
            Function::Exp => r"\exp",
            Function::Log => r"\log",
            Function::Log2 => r"\log_{2}",
            Function::Log10 => r"\log_{10}",
            Function::Sin => r"\sin",
            Function::Cos => r"\cos",
            Function::Tan => r"\tan",
            Function::Atan => r"\arctan",
            Function::Tanh => r"\tanh",
            Function::Sigmoid => r"\operatorname{sigmoid}",
            Function::Softplus => r"\operatorname{softplus}",
            Function::Erf => r"\operatorname{erf}",
            Function::Normcdf => r"\Phi",
            Function::Min => r"\min",
            Function::Max => r"\max",
        };
        self.out.push_str(command);
        self.arguments(args, "");
    }

    fn enclosed(&mut self, open: &str, args: &[Expr], close: &str) {
        self.out.push_str(open);
        for argument in args {
            self.sum(argument);
        }
        self.out.push_str(close);
    }

    fn parentheses(&mut self, expr: &Expr) {
        self.arguments(std::slice::from_ref(expr), "");
    }

    /// A list in parentheses that grow with what they hold; `before` is put in front as the start of a sum.
    fn arguments(&mut self, args: &[Expr], before: &str) {
        let start = self.out.len();
        self.out.push('(');
        self.out.push_str(before);
        for (index, argument) in args.iter().enumerate() {
            if index > 0 {
                self.out.push_str(", ");
            }
            if !before.is_empty() && starts_with_sign(argument) {
                self.parentheses(argument);
            } else {
                self.sum(argument);
            }
        }
        let inside = &self.out[start..];
        if [r"\frac", r"\sqrt", r"\left", "^"].iter().any(|tall| inside.contains(tall)) {
            self.out.insert_str(start, r"\left");
            self.out.push_str(r"\right");
        }
        self.out.push(')');
    }
}

/// The leftmost operand of a chain of the given operators, and the operators with their right operands in order.
fn left_chain(mut expr: &Expr, belongs: fn(BinaryOp) -> bool) -> (&Expr, Vec<(BinaryOp, &Expr)>) {
    let mut rest = Vec::new();
    while let ExprKind::Binary { op, left, right } = &expr.kind
        && belongs(*op)
    {
        rest.push((*op, &**right));
        expr = left;
    }
    rest.reverse();
    (expr, rest)
}

/// Whether the expression is written as a sum.
fn is_sum(expr: &Expr) -> bool {
    matches!(
        expr.kind,
        ExprKind::Binary { op: BinaryOp::Add | BinaryOp::Sub, .. } | ExprKind::Call { function: Function::Expm1, .. }
    )
}

/// Whether the expression, written without parentheses, begins with a minus sign.
fn starts_with_sign(mut expr: &Expr) -> bool {
    loop {
        match &expr.kind {
            ExprKind::Neg(_) => return true,
            ExprKind::Number(value) => return value.is_sign_negative(),
            // A sum inside a product gets parentheses of its own.
            ExprKind::Binary { op: BinaryOp::Mul | BinaryOp::Div, left, .. } if is_sum(left) => return false,
            ExprKind::Binary { op: BinaryOp::Pow, .. } => return false,
            ExprKind::Binary { left, .. } => expr = left,
            _ => return false,
        }
    }
}

/// Whether the expression may stand on either side of a slash in an exponent.
fn is_short(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Number(_) | ExprKind::Name(_) | ExprKind::Grouped { .. })
}

fn number(value: f64) -> String {
    let text = print::number(value);
    match text.split_once('e') {
        None => text,
        Some(("1", exponent)) => format!("10^{{{exponent}}}"),
        Some(("-1", exponent)) => format!("-10^{{{exponent}}}"),
        Some((digits, exponent)) => format!(r"{digits} \times 10^{{{exponent}}}"),
    }
}

/// A name: what follows an underscore, trailing digits and the column become subscripts.
fn name(text: &str, column: Option<&str>) -> String {
    let mut parts = text.split('_').filter(|part| !part.is_empty());
    let Some(base) = parts.next() else {
        return text.replace('_', r"\_");
    };
    let (stem, digits) = split_digits(base);
    let mut subscripts: Vec<String> = Vec::new();
    if !digits.is_empty() {
        subscripts.push(digits.to_owned());
    }
    subscripts.extend(parts.map(subscript));
    subscripts.extend(column.map(|column| if column.contains('_') { upright(column) } else { symbol(column) }));
    if subscripts.is_empty() { symbol(stem) } else { format!("{}_{{{}}}", symbol(stem), subscripts.join(",")) }
}

fn subscript(part: &str) -> String {
    if part.bytes().all(|c| c.is_ascii_digit()) {
        return part.to_owned();
    }
    match (part, split_digits(part)) {
        ("inf" | "infty", _) => r"\infty".to_owned(),
        (_, (stem, "")) => symbol(stem),
        (_, (stem, digits)) => format!("{}_{{{digits}}}", symbol(stem)),
    }
}

/// A name without its trailing digits, and those.
fn split_digits(part: &str) -> (&str, &str) {
    part.split_at(part.trim_end_matches(|c: char| c.is_ascii_digit()).len())
}

fn symbol(stem: &str) -> String {
    const COMMANDS: [&str; 40] = [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "zeta",
        "eta",
        "theta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "pi",
        "rho",
        "sigma",
        "tau",
        "upsilon",
        "phi",
        "chi",
        "psi",
        "omega",
        "varepsilon",
        "vartheta",
        "varphi",
        "varrho",
        "varsigma",
        "varpi",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Xi",
        "Pi",
        "Sigma",
        "Upsilon",
        "Phi",
        "Psi",
        "Omega",
    ];
    /// Greek letters with a LaTeX command, and its place among the commands.
    const LETTERS: &str = "αβγδεζηθικλμνξπρστυφχψω";
    const CAPITALS: &str = "ΓΔΘΛΞΠΣΥΦΨΩ";
    const FIRST_CAPITAL: usize = 29;

    let mut letters = stem.chars();
    if let (Some(letter), None) = (letters.next(), letters.next()) {
        let small = LETTERS.chars().position(|c| c == letter);
        let capital = CAPITALS.chars().position(|c| c == letter).map(|place| place + FIRST_CAPITAL);
        return small.or(capital).map_or_else(|| stem.to_owned(), |place| format!(r"\{}", COMMANDS[place]));
    }
    if COMMANDS.contains(&stem) { format!(r"\{stem}") } else { upright(stem) }
}

fn upright(word: &str) -> String {
    format!(r"\mathrm{{{}}}", word.replace('_', r"\_"))
}
