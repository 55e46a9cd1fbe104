//! Any text is either a formula whose printed form is the same formula and which compiles, or an error that can be
//! shown.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use scalinglaws_core::formula::{Expr, Formula, MAX_DEPTH, MAX_NODES};
use scalinglaws_core::{Law, Param, ParamKind, Quantity};
use std::collections::BTreeMap;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    match Formula::parse(text) {
        Ok(formula) => {
            accepted(text, &formula);
            compiled(text, &formula);
        }
        Err(error) => {
            let span = error.span();
            assert!(text.get(span.start..span.end).is_some(), "{span:?} in {text:?}");
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
    let alone = Formula::parse(&text[span.start..span.end]).expect("the span of an expression parses");
    assert_eq!(alone.root, formula.root);

    let latex = formula.latex();
    assert_eq!(latex.matches('{').count(), latex.matches('}').count(), "{latex}");
    assert_eq!(latex.matches(r"\left").count(), latex.matches(r"\right").count(), "{latex}");

    let identity: BTreeMap<String, Expr> =
        formula.root.postorder().filter_map(|node| Some((node.name()?.to_owned(), node.clone()))).collect();
    assert_eq!(&formula.substitute(&identity).expect("names for themselves"), formula);
}

/// Compiles the formula with few or half of its names as parameters and evaluates everything on one row.
fn compiled(text: &str, formula: &Formula) {
    let names: Vec<String> = formula.names().into_iter().map(str::to_owned).collect();
    let grouped: Vec<String> = formula.groups().into_iter().map(|(name, _)| name.to_owned()).collect();
    let kinds = [ParamKind::Positive, ParamKind::Real, ParamKind::Box(0.5, 2.0)];
    for half in [false, true] {
        // Grouped names must be parameters.
        let is_param = |i: usize| grouped.contains(&names[i]) || (half && i % 2 == 1);
        let chosen = (0..names.len()).filter(|&i| is_param(i));
        let params: Vec<Param> = chosen.map(|i| Param::new(&names[i], kinds[i % 3])).collect();
        let law = match Law::new(text, params) {
            Ok(law) => law,
            Err(error) => {
                assert!(error.to_string().contains("limit") || error.message().contains("too large"), "{error}");
                continue;
            }
        };
        let columns: Vec<[f64; 1]> = (0..names.len()).map(|i| [0.25 + (i * 7 % 11) as f64 / 4.0]).collect();
        let columns: Vec<&[f64]> = columns.iter().map(<[f64; 1]>::as_slice).collect();
        let few: Vec<String> = names.iter().take(6).cloned().collect();
        let count = few.len();
        for (quantity, width) in [
            (Quantity::Value, 1),
            (Quantity::Gradient(few.clone()), count),
            (Quantity::Hessian(few.clone()), count * count),
        ] {
            match law.evaluate(&quantity, &columns) {
                Ok(values) => assert_eq!(values.len(), width),
                Err(error) => assert!(error.to_string().contains("exceed"), "{error}"),
            }
        }
    }
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
