//! Replacement of names.

use super::super::{MAX_DEPTH, MAX_LENGTH};
use super::*;
use std::collections::BTreeMap;

fn map(pairs: &[(&str, Expr)]) -> BTreeMap<String, Expr> {
    pairs.iter().map(|(name, expr)| ((*name).to_owned(), expr.clone())).collect()
}

fn substituted(text: &str, pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<(&str, Expr)> = pairs.iter().map(|(name, text)| (*name, root(text))).collect();
    parse(text).substitute(&map(&pairs)).unwrap_or_else(|error| panic!("{error}")).to_string()
}

#[test]
fn names_are_replaced_at_once_with_the_parentheses_that_are_needed() {
    for (text, pairs, expected) in [
        ("a*b", &[("a", "x + 1")][..], "(x + 1) * b"),
        ("a*b", &[("a", "b"), ("b", "a")], "b * a"),
        ("N**-a + a", &[("a", "2*c")], "N**-(2 * c) + 2 * c"),
        ("y ~ exp(a)", &[("a", "-b")], "y ~ exp(-b)"),
        ("A[lang] / N", &[("A", "2*B[lang]")], "2 * B[lang] / N"),
        ("A[lang] / N", &[("A", "A")], "A / N"),
        ("a + b", &[], "a + b"),
    ] {
        assert_eq!(substituted(text, pairs), expected, "{text}");
    }
}

#[test]
fn spans_of_the_result_refer_to_its_own_text() {
    let made = parse("y ~ a + b").substitute(&map(&[("a", root("(c*d)"))])).expect("valid");
    assert_eq!(made.text, "y ~ c * d + b");
    assert_eq!(made.root.span, Span::new(4, 13));
    assert_eq!(made.names(), ["c", "d", "b"]);
}

#[test]
fn numbers_with_a_sign_become_negated_numbers() {
    let made = parse("a**b").substitute(&map(&[("a", number(-2.0)), ("b", number(-0.5))])).expect("valid");
    assert_eq!(made, parse("(-2)**-0.5"));
}

#[test]
fn replacements_that_make_no_formula_are_errors() {
    let formula = parse("y ~ a * b");
    for (pairs, message) in [
        (map(&[("c", root("1"))]), "the formula has no name 'c' to replace"),
        (map(&[("y", root("1"))]), "the formula has no name 'y' to replace"),
        (map(&[("a", root("y"))]), "the target 'y' may not appear on the right-hand side"),
        (map(&[("a", root("b[x]"))]), "'b' has no column here but 'x' where it first appears"),
        (map(&[("a", number(f64::NAN))]), "a replacement holds a number that is not finite"),
        (map(&[("a", number(f64::INFINITY))]), "a replacement holds a number that is not finite"),
        (map(&[("a", name("x + 1"))]), "a replacement holds a name that is not a name of the formula language"),
    ] {
        assert_eq!(formula.substitute(&pairs).expect_err(message).message(), message);
    }
}

#[test]
fn results_that_would_be_too_large_are_refused_before_they_are_built() {
    let wide = parse(&vec!["a"; MAX_DEPTH].join("+"));
    let deep = vec!["b"; MAX_DEPTH].join("+");
    let long = "b".repeat(MAX_LENGTH / 2);
    for replacement in ["b + b + b + b + b + b", deep.as_str(), long.as_str()] {
        let error = wide.substitute(&map(&[("a", root(replacement))])).expect_err("too large");
        assert!(error.message().starts_with("the formula would be too large after the replacement"));
    }
}
