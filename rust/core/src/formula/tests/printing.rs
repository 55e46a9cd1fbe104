//! Text printing, by examples and as a property of random trees.

use super::super::BinaryOp::{Add, Div, Mul, Pow, Sub};
use super::*;
use proptest::prelude::*;

#[test]
fn text_has_the_fewest_parentheses_that_keep_the_tree() {
    for (text, printed) in [
        ("((a)+(b))+c", "a + b + c"),
        ("a+(b+c)", "a + (b + c)"),
        ("a-(b-c)", "a - (b - c)"),
        ("(a*b)/c", "a * b / c"),
        ("a*(b/c)", "a * (b / c)"),
        ("(a+b)*c", "(a + b) * c"),
        ("a**(b**c)", "a**b**c"),
        ("(a**b)**c", "(a**b)**c"),
        ("a**(-b)", "a**-b"),
        ("a**(b*c)", "a**(b * c)"),
        ("-(a**b)", "-a**b"),
        ("(-a)**b", "(-a)**b"),
        ("-(a*b)", "-(a * b)"),
        ("(-a)*b", "-a * b"),
        ("a*(-b)", "a * -b"),
        ("a-(-b)", "a - -b"),
        ("-(-a)", "--a"),
        ("+a", "a"),
        ("exp((a))", "exp(a)"),
        ("max(a,(b+c),)", "max(a, b + c)"),
        ("y~A[ lang ]/N**( alpha )", "y ~ A[lang] / N**alpha"),
    ] {
        assert_eq!(parse(text).to_string(), printed);
        assert_eq!(parse(printed), parse(text));
    }
}

#[test]
fn numbers_print_short_and_exact() {
    for (value, text) in [
        (0.0, "0"),
        (2.0, "2"),
        (0.5, "0.5"),
        (0.001, "0.001"),
        (100_000.0, "100000"),
        (1e6, "1e6"),
        (1e9, "1e9"),
        (1.5e-10, "1.5e-10"),
        (1_234_567.0, "1234567"),
        (0.1 + 0.2, "0.30000000000000004"),
        (f64::MAX, "1.7976931348623157e308"),
        (f64::from_bits(1), "5e-324"),
        (-2.0, "-2"),
    ] {
        assert_eq!(number(value).to_string(), text);
    }
}

#[test]
fn numbers_with_a_sign_are_printed_so_that_the_value_is_kept() {
    let two = || number(-2.0);
    assert_eq!(binary(two(), Pow, number(2.0)).to_string(), "(-2)**2");
    assert_eq!(binary(name("a"), Sub, two()).to_string(), "a - -2");
    assert_eq!(binary(name("a"), Pow, two()).to_string(), "a**-2");
}

fn leaf() -> impl Strategy<Value = Expr> {
    // A name is either always grouped, by one column, or never: that is a rule of the language.
    prop_oneof![
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(|v| number(v.abs())),
        (0_u32..1000).prop_map(|v| number(f64::from(v))),
        "[a-d]|N_[a-z]{3}|α|[A-F][a-z0-9_]{0,3}_".prop_map(|text| name(&text)),
        "[G-K]".prop_map(|text| grouped(&text, &format!("column_{text}"))),
    ]
}

fn tree() -> impl Strategy<Value = Expr> {
    leaf().prop_recursive(8, 64, 4, |inner| {
        let operator = prop::sample::select(vec![Add, Sub, Mul, Div, Pow]);
        let function = prop::sample::select(Function::ALL.to_vec());
        prop_oneof![
            1 => inner.clone().prop_map(neg),
            4 => (inner.clone(), operator, inner.clone()).prop_map(|(left, op, right)| binary(left, op, right)),
            1 => (function, prop::collection::vec(inner, 2..4)).prop_map(|(function, mut args)| {
                if !function.is_variadic() {
                    args.truncate(1);
                }
                call(function, args)
            }),
        ]
    })
}

/// Text that looks like a formula more often than random characters do.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[-+*/()\\[\\],~^= .]",
        "[a-zA-Z0-9_.]{1,4}",
        prop::sample::select(vec!["**", "exp(", "max(", "A[lang]", "1e9", "1e999", "L ~", "α", "\n", "lambda", "−"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

/// What must hold for any text: no panic, errors that render, and trees that survive printing.
fn check_any(text: &str) -> Result<(), TestCaseError> {
    match Formula::parse(text) {
        Ok(formula) => {
            prop_assert_eq!(&Formula::parse(&formula.to_string()).expect("printed text parses"), &formula);
            formula.latex();
            for node in formula.root.postorder() {
                let piece = &text[node.span.start..node.span.end];
                prop_assert_eq!(&Formula::parse(piece).expect("spans parse").root, node);
            }
        }
        Err(error) => {
            prop_assert!(error.span().end <= text.len());
            prop_assert!(error.to_string().lines().all(|line| line.chars().count() <= 300));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_trees_print_and_parse_to_themselves(tree in tree()) {
        let printed = tree.to_string();
        let parsed = Formula::parse(&printed).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&parsed.root, &tree);
        prop_assert_eq!(parsed.root.to_string(), printed);
    }

    #[test]
    fn removing_any_pair_of_parentheses_changes_the_tree(tree in tree()) {
        let printed = tree.to_string();
        for (open, close) in parentheses(&printed) {
            let mut bare = printed.clone();
            // Spaces keep the neighbours apart, so that only the grouping changes.
            bare.replace_range(close..=close, " ");
            bare.replace_range(open..=open, " ");
            prop_assert!(Formula::parse(&bare).map_or(true, |other| other.root != tree), "{}", printed);
        }
    }

    #[test]
    fn random_characters_never_panic(text in any::<String>()) {
        check_any(&text)?;
    }

    #[test]
    fn random_pieces_of_formulas_never_panic(text in soup()) {
        check_any(&text)?;
    }
}

/// The matching parentheses of `text` that are not those of a call.
fn parentheses(text: &str) -> Vec<(usize, usize)> {
    let mut open = Vec::new();
    let mut pairs = Vec::new();
    for (index, c) in text.char_indices() {
        if c == '(' {
            open.push(index);
        } else if c == ')'
            && let Some(start) = open.pop()
            && !text[..start].ends_with(|c: char| c.is_alphanumeric())
        {
            pairs.push((start, index));
        }
    }
    pairs
}
