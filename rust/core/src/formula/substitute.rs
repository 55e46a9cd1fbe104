//! Replacement of names by expressions.

use super::error::quoted;
use super::{Expr, ExprKind, Formula, FormulaError, MAX_DEPTH, MAX_LENGTH, MAX_NODES, Span};
use std::collections::BTreeMap;

/// What a replacement adds to the limits each time it is inserted.
struct Size {
    nodes: usize,
    depth: usize,
    letters: usize,
}

impl Formula {
    /// The formula with every occurrence of the names in `map`, grouped or not, replaced by expressions.
    ///
    /// All names are replaced at once: names inside the replacements stay. The result has its own text, to which its
    /// spans refer.
    ///
    /// ```
    /// use scalinglaws_core::formula::Formula;
    /// use std::collections::BTreeMap;
    ///
    /// let law = Formula::parse("L ~ E + A/N**alpha + B/D**beta")?;
    /// let ties = BTreeMap::from([("beta".to_owned(), Formula::parse("2*alpha")?.root)]);
    /// assert_eq!(law.substitute(&ties)?.to_string(), "L ~ E + A / N**alpha + B / D**(2 * alpha)");
    /// # Ok::<(), scalinglaws_core::formula::FormulaError>(())
    /// ```
    ///
    /// # Errors
    /// [`FormulaError`] if a name of `map` does not appear in the formula, if a replacement holds a number that is not
    /// finite or a name that the parser would not accept, or if the result breaks a rule or a limit of the language.
    pub fn substitute(&self, map: &BTreeMap<String, Expr>) -> Result<Self, FormulaError> {
        let whole = Span::new(0, self.text.len());
        let fail = |message: String| Err(FormulaError::new(message, self.text.as_str(), whole));

        let names = self.names();
        if let Some(missing) = map.keys().find(|key| !names.contains(&key.as_str())) {
            return fail(format!("the formula has no name {} to replace", quoted(missing)));
        }
        if map.values().flat_map(Expr::postorder).any(|e| matches!(e.kind, ExprKind::Number(v) if !v.is_finite())) {
            return fail("a replacement holds a number that is not finite".into());
        }

        // A small map can ask for a huge result: add it up before anything is built.
        let sizes: BTreeMap<&str, Size> = map.iter().map(|(name, expr)| (name.as_str(), size(expr))).collect();
        let (mut nodes, mut letters, mut depth) = (0_usize, 0_usize, 0_usize);
        let mut walk = self.root.postorder();
        while let Some(node) = walk.next() {
            let added = node.name().and_then(|name| sizes.get(name));
            nodes = nodes.saturating_add(added.map_or(1, |size| size.nodes));
            letters = letters.saturating_add(added.map_or(0, |size| size.letters));
            depth = depth.max(walk.ancestors() + added.map_or(1, |size| size.depth));
        }
        if nodes > MAX_NODES || letters > MAX_LENGTH || depth > MAX_DEPTH {
            return fail(format!(
                "the formula would be too large after the replacement: at most {MAX_NODES} numbers, names and \
                 operations, {MAX_DEPTH} levels and {MAX_LENGTH} bytes are allowed"
            ));
        }

        let root = self.root.rebuild(|leaf| leaf.name().and_then(|name| map.get(name)).map(unsigned));
        let made = Self { text: String::new(), target: self.target.clone(), root };
        let parsed = Self::parse(&made.to_string())?;
        if parsed != made {
            return fail("a replacement holds a name that is not a name of the formula language".into());
        }
        Ok(parsed)
    }
}

fn size(expr: &Expr) -> Size {
    let mut size = Size { nodes: 0, depth: 0, letters: 0 };
    let mut walk = expr.postorder();
    while let Some(node) = walk.next() {
        size.nodes += 1;
        size.letters += node.name().map_or(0, str::len);
        size.depth = size.depth.max(walk.ancestors() + 1);
    }
    size
}

/// A copy in which numbers with a sign, which the parser does not make, are negated numbers without one.
fn unsigned(expr: &Expr) -> Expr {
    expr.rebuild(|leaf| match leaf.kind {
        ExprKind::Number(value) if value.is_sign_negative() => {
            let positive = Expr { kind: ExprKind::Number(-value), span: leaf.span };
            Some(Expr { kind: ExprKind::Neg(Box::new(positive)), span: leaf.span })
        }
        _ => None,
    })
}
