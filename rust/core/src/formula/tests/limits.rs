//! Formulas that are too large fail fast with an error, and the largest that parse are safe on a small stack.

use super::super::{MAX_DEPTH, MAX_LENGTH, MAX_NESTING, MAX_NODES};
use super::*;
use std::time::{Duration, Instant};

/// The smallest stack of a thread on the platforms we build for (macOS, other than the main thread).
const SMALL_STACK: usize = 512 * 1024;

fn on_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(SMALL_STACK).spawn(work).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Everything that walks a tree.
fn exercise(text: &str) {
    let formula = parse(text);
    let printed = formula.to_string();
    assert_eq!(parse(&printed), formula);
    assert_eq!(formula.clone(), formula);
    assert!(!formula.latex().is_empty());
    assert!(!format!("{formula:#?}").is_empty());
    assert!(formula.root.postorder().count() <= MAX_NODES);
    assert!(formula.names().len() < MAX_NODES);
    drop(formula);
}

/// Formulas of `n` levels, one for each way to nest.
fn nested(n: usize) -> Vec<String> {
    vec![
        format!("{}x{}", "(".repeat(n), ")".repeat(n)),
        format!("{}x{}", "a+b*(".repeat(n), ")".repeat(n)),
        format!("{}x{}", "a-b/(".repeat(n), ")**2".repeat(n)),
        format!("{}x", "-".repeat(n)),
        format!("{}x", "+".repeat(n)),
        format!("{}x", "2**".repeat(n)),
        format!("{}x", "2**-".repeat(n / 2)),
        format!("{}x{}", "exp(".repeat(n), ")".repeat(n)),
        format!("{}x{}", "log1p(1-a*".repeat(n), ")".repeat(n)),
        format!("{}x{}", "max(a,b+c*".repeat(n), ")".repeat(n)),
    ]
}

#[test]
fn the_deepest_formulas_that_parse_are_safe_on_a_small_stack() {
    on_small_stack(|| {
        let n = MAX_NESTING;
        for text in nested(n) {
            exercise(&text);
        }
        for operator in ["+", "-", "*", "/"] {
            exercise(&vec!["a"; MAX_DEPTH].join(operator));
        }
        // As deep as a chain can be inside the deepest nesting, and as many nodes as there can be.
        let chain = vec!["a"; MAX_DEPTH - n].join("-");
        exercise(&format!("{}({chain}){}", "exp(".repeat(n - 1), ")".repeat(n - 1)));
        let term = format!("({})", vec!["a"; (MAX_NODES - 21) / 20].join("*"));
        exercise(&[term.as_str(); 10].join("**"));
        exercise(&[term.as_str(); 10].join("/"));
    });
}

#[test]
fn one_level_more_than_the_limits_is_an_error() {
    on_small_stack(|| {
        for text in nested(MAX_NESTING + 2) {
            let error = error(&text);
            assert_eq!(error.message(), "the formula is nested more than 128 levels deep", "{text}");
        }
        assert_eq!(error(&format!("{}x", "-".repeat(129))).span(), Span::new(128, 129));
        let error = error(&vec!["a"; MAX_DEPTH + 1].join("+"));
        let message = "more than 1000 operations inside one another; break long chains up with parentheses";
        assert_eq!(error.message(), message);
        assert_eq!(error.span(), Span::new(1999, 2000));
    });
}

#[test]
fn a_formula_with_too_many_nodes_is_an_error() {
    let term = format!("({})", vec!["a"; 500].join("+")); // 999 nodes
    let largest = [term.as_str(); 10].join("+"); // 9,999 nodes
    assert_eq!(root(&largest).postorder().count(), MAX_NODES - 1);
    assert_eq!(root(&format!("-({largest})")).postorder().count(), MAX_NODES);
    let error = error(&format!("--({largest})"));
    assert_eq!(error.message(), "the formula has more than 10000 numbers, names and operations");
}

#[test]
fn a_text_that_is_too_long_is_an_error_at_the_limit() {
    let padded = format!("a{}", " ".repeat(MAX_LENGTH - 1));
    assert_eq!(root(&padded), name("a"));
    let error = error(&format!("{padded} "));
    assert_eq!(error.message(), "the formula is 65537 bytes long; the limit is 65536");
    assert_eq!(error.span(), Span::new(MAX_LENGTH, MAX_LENGTH + 1));
}

#[test]
fn hostile_formulas_fail_fast() {
    on_small_stack(|| {
        let megabyte = 1 << 20;
        let mut texts = nested(10_000);
        texts.extend([
            "a+".repeat(10_000) + "a",
            "a".to_owned() + &" ".repeat(megabyte),
            "a+".repeat(megabyte / 2),
            "(".repeat(megabyte),
            "-".repeat(megabyte),
            "é".repeat(megabyte / 2),
            "\n".repeat(megabyte),
            "\u{202e}".repeat(megabyte / 3),
            "a[b]*".repeat(10_000),
            "(".repeat(MAX_LENGTH),
            "9".repeat(MAX_LENGTH),
            "9".repeat(MAX_LENGTH) + "a",
            "é".repeat(MAX_LENGTH / 2 - 2) + " b",
            format!("{}(", "a".repeat(MAX_LENGTH - 1)),
            format!("{}(1)", "ab".repeat(100)),
            format!("1e{}", "9".repeat(1000)),
        ]);
        for text in &texts {
            let start = Instant::now();
            let error = error(text);
            let rendered = error.to_string();
            let took = start.elapsed();
            assert!(took < Duration::from_secs(1), "{took:?} for {rendered}");
            assert!(rendered.lines().count() <= 3 && rendered.chars().count() < 400, "{rendered}");
            assert!(error.message().chars().count() < 200);
        }
    });
}
