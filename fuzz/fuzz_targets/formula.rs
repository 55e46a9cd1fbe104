//! Any text is either a formula whose printed form is the same formula, or an error that can be shown.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use scalinglaws_core::formula::{Expr, Formula, MAX_DEPTH, MAX_NODES};
use std::collections::BTreeMap;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    match Formula::parse(text) {
        Ok(formula) => accepted(text, &formula),
        Err(error) => {
            let span = error.span();
            assert!(
                text.get(span.start..span.end).is_some(),
                "{span:?} in {text:?}"
            );
            assert!(error.line() >= 1 && error.column() >= 1);
            assert!(error.to_string().lines().count() <= 3);
        }
    }
    Corpus::Keep
});

fn accepted(text: &str, formula: &Formula) {
    let printed = formula.to_string();
    let again = Formula::parse(&printed).expect("a printed formula parses");
    assert_eq!(&again, formula);
    assert_eq!(again.to_string(), printed);

    let mut count = 0;
    for node in formula.root.postorder() {
        count += 1;
        assert!(text.get(node.span.start..node.span.end).is_some());
    }
    assert!(count <= MAX_NODES && depth(&formula.root) <= MAX_DEPTH);
    let span = formula.root.span;
    let alone =
        Formula::parse(&text[span.start..span.end]).expect("the span of an expression parses");
    assert_eq!(alone.root, formula.root);

    let latex = formula.latex();
    assert_eq!(
        latex.matches('{').count(),
        latex.matches('}').count(),
        "{latex}"
    );
    assert_eq!(
        latex.matches(r"\left").count(),
        latex.matches(r"\right").count(),
        "{latex}"
    );

    let identity: BTreeMap<String, Expr> = formula
        .root
        .postorder()
        .filter_map(|node| Some((node.name()?.to_owned(), node.clone())))
        .collect();
    assert_eq!(
        &formula.substitute(&identity).expect("names for themselves"),
        formula
    );
}

/// Nodes on the longest path, without recursion.
fn depth(root: &Expr) -> usize {
    let mut depths = Vec::new();
    for node in root.postorder() {
        let children = depths.split_off(depths.len() - node.children().count());
        depths.push(1 + children.into_iter().max().unwrap_or(0));
    }
    depths[0]
}
