//! Texts against hand-written trees.

use super::super::BinaryOp::{Add, Div, Mul, Pow, Sub};
use super::*;

fn a() -> Expr {
    name("a")
}

fn b() -> Expr {
    name("b")
}

fn c() -> Expr {
    name("c")
}

#[test]
fn operators_have_pythons_precedence_and_associativity() {
    let cases = [
        ("a + b * c", binary(a(), Add, binary(b(), Mul, c()))),
        ("a * b + c", binary(binary(a(), Mul, b()), Add, c())),
        ("a - b - c", binary(binary(a(), Sub, b()), Sub, c())),
        ("a - b + c", binary(binary(a(), Sub, b()), Add, c())),
        ("a / b / c", binary(binary(a(), Div, b()), Div, c())),
        ("a / b * c", binary(binary(a(), Div, b()), Mul, c())),
        ("a * b**c", binary(a(), Mul, binary(b(), Pow, c()))),
        ("a**b * c", binary(binary(a(), Pow, b()), Mul, c())),
        ("a**b**c", binary(a(), Pow, binary(b(), Pow, c()))),
        ("(a**b)**c", binary(binary(a(), Pow, b()), Pow, c())),
        ("(a + b) * c", binary(binary(a(), Add, b()), Mul, c())),
        ("a - (b - c)", binary(a(), Sub, binary(b(), Sub, c()))),
        ("((a))", a()),
    ];
    for (text, tree) in cases {
        assert_eq!(root(text), tree, "{text}");
    }
}

#[test]
fn signs_bind_between_products_and_powers() {
    let cases = [
        ("-a**b", neg(binary(a(), Pow, b()))),
        ("(-a)**b", binary(neg(a()), Pow, b())),
        ("a**-b", binary(a(), Pow, neg(b()))),
        ("2**-1", binary(number(2.0), Pow, neg(number(1.0)))),
        ("a**-b**c", binary(a(), Pow, neg(binary(b(), Pow, c())))),
        ("a**-b*c", binary(binary(a(), Pow, neg(b())), Mul, c())),
        ("a**--b", binary(a(), Pow, neg(neg(b())))),
        ("-a*b", binary(neg(a()), Mul, b())),
        ("-a+b", binary(neg(a()), Add, b())),
        ("a*-b*c", binary(binary(a(), Mul, neg(b())), Mul, c())),
        ("a--b", binary(a(), Sub, neg(b()))),
        ("a+-+b", binary(a(), Add, neg(b()))),
        ("+a", a()),
        ("-+-a", neg(neg(a()))),
        ("+a**+b", binary(a(), Pow, b())),
        ("-(a+b)", neg(binary(a(), Add, b()))),
    ];
    for (text, tree) in cases {
        assert_eq!(root(text), tree, "{text}");
    }
}

#[test]
fn numbers_are_read_as_python_reads_them() {
    for (text, value) in [
        ("0", 0.0),
        ("00", 0.0),
        ("12", 12.0),
        ("1_000", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("012.5", 12.5),
        ("0_1.0", 1.0),
        ("1e9", 1e9),
        ("1E+9", 1e9),
        ("6.02e-2_3", 6.02e-23),
        ("1_0.2_5e1_0", 10.25e10),
        ("1.e3", 1e3),
        ("1e-999", 0.0),
        ("1.7976931348623157e308", f64::MAX),
        ("0.1", 0.1),
        ("123456789012345678901234567890", 123_456_789_012_345_678_901_234_567_890.0),
    ] {
        assert_eq!(root(text), number(value), "{text}");
    }
}

#[test]
fn an_exponent_without_digits_is_a_name_that_lacks_an_operator() {
    for text in ["1e", "1e+a", "1ex"] {
        assert!(error(text).message().starts_with("an operator is missing between '1' and 'e"), "{text}");
    }
}

#[test]
fn names_may_have_letters_of_any_alphabet_digits_and_underscores() {
    for text in ["x", "_", "_x1", "N_total", "α", "αβ_2", "Größe", "数据"] {
        assert_eq!(root(text), name(text));
    }
    assert_eq!(root("expo"), name("expo"));
    assert_eq!(root("Exp"), name("Exp"));
}

#[test]
fn calls_take_expressions_and_a_last_comma() {
    assert_eq!(root("exp(a + b)"), call(Function::Exp, vec![binary(a(), Add, b())]));
    assert_eq!(root("max(a, b*c, 1)"), call(Function::Max, vec![a(), binary(b(), Mul, c()), number(1.0)]));
    assert_eq!(root("min ( a , b , )"), call(Function::Min, vec![a(), b()]));
    assert_eq!(root("-log(a)**2"), neg(binary(call(Function::Log, vec![a()]), Pow, number(2.0))));
    for function in Function::ALL.into_iter().filter(|f| !f.is_variadic()) {
        assert_eq!(root(&format!("{}(a)", function.name())), call(function, vec![a()]));
    }
}

#[test]
fn groups_and_targets_are_read() {
    let formula = parse("L ~ A[lang] * N ** -alpha [ lang ] + A[lang]");
    assert_eq!(formula.target.as_deref(), Some("L"));
    let power = binary(name("N"), Pow, neg(grouped("alpha", "lang")));
    assert_eq!(formula.root, binary(binary(grouped("A", "lang"), Mul, power), Add, grouped("A", "lang")));
    assert_eq!(formula.names(), ["A", "N", "alpha"]);
    assert_eq!(formula.groups(), [("A", "lang"), ("alpha", "lang")]);
    assert_eq!(parse("E + A").target, None);
    assert_eq!(parse("E + A").groups(), []);
}

#[test]
fn names_come_in_order_of_first_appearance() {
    assert_eq!(parse("y ~ b*(x + max(a, b, z)) - x").names(), ["b", "x", "a", "z"]);
    assert_eq!(parse("1 + 2").names(), Vec::<&str>::new());
}

#[test]
fn space_of_every_kind_is_skipped() {
    assert_eq!(parse(" \t y\n~ a\r\n  + b\u{a0}"), parse("y~a+b"));
}

#[test]
fn every_span_is_the_piece_of_text_that_parses_to_the_node() {
    let text = "L ~ -(E) + ( A[lang] / +N**(alpha*2.50) - max( B,(x) ,1e3) )*β";
    let formula = parse(text);
    let mut count = 0;
    for node in formula.root.postorder() {
        let piece = &text[node.span.start..node.span.end];
        assert_eq!(&root(piece), node, "{piece}");
        count += 1;
    }
    assert_eq!(count, 17);
    assert_eq!(&text[formula.root.span.start..], "-(E) + ( A[lang] / +N**(alpha*2.50) - max( B,(x) ,1e3) )*β");
}

#[test]
fn equality_compares_structure_and_leaves() {
    let all = [
        "a",
        "b",
        "1",
        "2",
        "-a",
        "a+b",
        "b+a",
        "a-b",
        "a[x]",
        "a[y]",
        "b[x]",
        "exp(a)",
        "log(a)",
        "min(a,b)",
        "min(a,b,a)",
    ];
    for (i, one) in all.iter().enumerate() {
        for (j, other) in all.iter().enumerate() {
            assert_eq!(root(one) == root(other), i == j, "{one} {other}");
        }
    }
    assert_ne!(parse("y ~ a"), parse("a"));
    assert_eq!(root("a + b").clone(), root("a+b"));
}

#[test]
fn children_are_listed_from_left_to_right_and_before_their_parent() {
    let tree = root("max(a, -b, c**2)");
    let texts = |exprs: Vec<&Expr>| exprs.into_iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(tree.children().collect()), ["a", "-b", "c**2"]);
    assert_eq!(texts(tree.postorder().collect()), ["a", "b", "-b", "c", "2", "c**2", "max(a, -b, c**2)"]);
    assert_eq!(format!("{:?}", root("a+ b")), "Expr(a + b @ 0..4)");
}
