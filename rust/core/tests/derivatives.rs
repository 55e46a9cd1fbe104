//! Values, gradients and Hessians against an independent interpreter.

mod common;

use common::{EXAMPLES, Expected, Random, expected, reference};
use proptest::prelude::*;
use scalinglaws_core::math::Isa;
use scalinglaws_core::{Error, Law, Param, ParamKind, Quantity};

/// Inputs and parameters, the order of columns.
fn names(law: &Law) -> Vec<String> {
    law.inputs().iter().cloned().chain(law.params().iter().map(|p| p.name.clone())).collect()
}

/// Value, gradient and Hessian by all names at one row.
fn everything(law: &Law, isa: Isa, values: &[f64]) -> Vec<f64> {
    let columns: Vec<&[f64]> = values.chunks(1).collect();
    let names = names(law);
    let quantities = [Quantity::Value, Quantity::Gradient(names.clone()), Quantity::Hessian(names)];
    quantities.iter().flat_map(|q| law.evaluate_with(isa, q, &columns).unwrap()).collect()
}

fn expectation(law: &Law, values: &[f64]) -> Expected {
    let names = names(law);
    expected(|random| reference(law.formula(), &names, values, random).flat())
}

#[test]
fn laws_agree_with_the_interpreter_on_every_instruction_set() {
    for example in &EXAMPLES {
        let law = example.law();
        let columns = example.columns(&law, 40, 1);
        for row in 0..40 {
            let values: Vec<f64> = columns.iter().map(|c| c[row]).chain(example.theta()).collect();
            let expected = expectation(&law, &values);
            for isa in Isa::available() {
                let checked = expected
                    .check(&everything(&law, isa, &values), &|| format!("{} on {isa:?} at {values:?}", example.id));
                assert_eq!(checked, expected.exact.len(), "{} has derivatives everywhere", example.id);
            }
        }
    }
}

#[test]
fn instruction_sets_agree_to_a_few_rounding_errors() {
    for example in &EXAMPLES {
        let law = example.law();
        let (inputs, theta) = (example.columns(&law, 200, 2), example.theta());
        let columns: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).chain(theta.chunks(1)).collect();
        let baseline = law.evaluate_with(Isa::Portable, &Quantity::Value, &columns).unwrap();
        for isa in Isa::available() {
            for (a, b) in baseline.iter().zip(law.evaluate_with(isa, &Quantity::Value, &columns).unwrap()) {
                // Exponents of size 10 to 50 turn one rounding error of theirs into as many of the power.
                assert!((a - b).abs() <= 64.0 * f64::EPSILON * a.abs(), "{}: {a} and {b} on {isa:?}", example.id);
            }
        }
    }
}

#[test]
fn a_row_has_the_same_value_wherever_it_stands() {
    for example in &EXAMPLES {
        let law = example.law();
        let (inputs, theta) = (example.columns(&law, 131, 3), example.theta());
        for isa in Isa::available() {
            let columns: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).chain(theta.chunks(1)).collect();
            let together = law.evaluate_with(isa, &Quantity::Value, &columns).unwrap();
            for row in [0, 1, 63, 64, 127, 128, 130] {
                let columns: Vec<&[f64]> = inputs.iter().map(|c| &c[row..=row]).chain(theta.chunks(1)).collect();
                let alone = law.evaluate_with(isa, &Quantity::Value, &columns).unwrap();
                assert_eq!(alone[0].to_bits(), together[row].to_bits(), "{} row {row} on {isa:?}", example.id);
            }
        }
    }
}

/// Formula text over positive parameters `p q`, real ones `r s`, and positive inputs `x y`.
fn formulas() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => prop::sample::select(vec!["p", "q", "r", "s", "x", "y"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["0", "1", "2", "0.5", "3.25", "10"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(6, 40, 3, |inner| {
        let one = vec![
            "exp", "log", "log2", "log10", "log1p", "expm1", "sqrt", "abs", "sin", "cos", "tan", "atan", "tanh",
            "sigmoid", "softplus", "erf", "normcdf",
        ];
        prop_oneof![
            5 => (inner.clone(), prop::sample::select(vec!["+", "-", "*", "/"]), inner.clone())
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) ** ({b})")),
            2 => (inner.clone(), -3i32..5).prop_map(|(a, n)| format!("({a}) ** {n}")),
            2 => (prop::sample::select(one), inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            1 => (prop::sample::select(vec!["min", "max"]), inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(f, a, b, c)| format!("{f}({a}, {b}, {c})")),
            1 => inner.prop_map(|a| format!("-({a})")),
        ]
    })
}

/// Law in which the known names of a formula are parameters.
fn law_of(text: &str) -> Law {
    let formula = scalinglaws_core::formula::Formula::parse(text).unwrap();
    let kinds = [
        ("p", ParamKind::Positive),
        ("q", ParamKind::Box(0.01, 10.0)),
        ("r", ParamKind::Real),
        ("s", ParamKind::Box(-5.0, 5.0)),
    ];
    let used = formula.names();
    let params = kinds.iter().filter(|(n, _)| used.contains(n)).map(|(n, kind)| Param::new(*n, *kind)).collect();
    Law::new(text, params).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4 * ProptestConfig::default().cases, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_formulas_agree_with_the_interpreter(text in formulas(), seed in 0u64..1_000_000) {
        let law = law_of(&text);
        let mut random = Random::new(seed);
        let values: Vec<f64> = names(&law)
            .iter()
            .map(|name| match name.as_str() {
                "r" | "s" => random.between(-3.0, 3.0),
                _ => random.log_between(0.05, 8.0),
            })
            .collect();
        let expected = expectation(&law, &values);
        for isa in Isa::available() {
            expected.check(&everything(&law, isa, &values), &|| format!("{text} on {isa:?} at {values:?}"));
        }
    }
}

#[test]
fn a_power_of_zero_has_the_limits_as_value_and_finite_derivatives_by_its_exponent() {
    let law =
        Law::new("A * N**alpha", vec![Param::new("A", ParamKind::Positive), Param::new("alpha", ParamKind::Real)]);
    let law = law.unwrap();
    let at = |q: &Quantity, alpha: f64| law.evaluate(q, &[&[0.0], &[2.0], &[alpha]]).unwrap();
    assert_eq!(at(&Quantity::Value, 0.5), [0.0]);
    assert_eq!(at(&Quantity::Value, 0.0), [2.0]);
    assert_eq!(at(&Quantity::Value, -0.5), [f64::INFINITY]);
    let names = vec!["A".to_owned(), "alpha".to_owned()];
    assert_eq!(at(&Quantity::Gradient(names.clone()), 0.5), [0.0, 0.0]);
    assert_eq!(at(&Quantity::Hessian(names), 0.5), [0.0; 4]);
}

#[test]
fn a_power_with_a_base_that_may_vanish_has_the_derivatives_of_its_limit() {
    let law = Law::new("(x - 1)**b", vec![Param::new("b", ParamKind::Real)]).unwrap();
    let slope = |b: f64| law.evaluate(&Quantity::Gradient(vec!["x".into()]), &[&[1.0], &[b]]).unwrap()[0];
    assert_eq!((slope(2.0), slope(1.0), slope(0.5)), (0.0, 1.0, f64::INFINITY));
}

#[test]
fn not_a_number_comes_out_of_every_function() {
    let unary = "exp log log2 log10 log1p expm1 sqrt abs sin cos tan atan tanh sigmoid softplus erf normcdf";
    let calls = unary.split(' ').map(|f| format!("{f}(x)"));
    let others = ["min(x, y)", "min(y, x)", "max(x, y)", "max(y, x)", "x**2.5", "y**x", "x + y", "y / x", "-x"];
    for text in calls.chain(others.map(str::to_owned)) {
        let law = Law::new(&format!("{text} + 0*y"), vec![]).unwrap_or_else(|_| Law::new(&text, vec![]).unwrap());
        for isa in Isa::available() {
            let columns: Vec<&[f64]> =
                law.inputs().iter().map(|n| if n == "x" { &[f64::NAN][..] } else { &[2.0] }).collect();
            let value = law.evaluate_with(isa, &Quantity::Value, &columns).unwrap();
            assert!(value[0].is_nan(), "{text} is {} on {isa:?}", value[0]);
        }
    }
}

#[test]
fn powers_with_whole_exponents_take_negative_bases() {
    let law = Law::new("x**3 + x**(-2) + x**101", vec![]).unwrap();
    assert_eq!(law.evaluate(&Quantity::Value, &[&[-1.0]]).unwrap(), [-1.0]);
    assert_eq!(law.evaluate(&Quantity::Value, &[&[1.0]]).unwrap(), [3.0]);
}

#[test]
fn a_reciprocal_power_is_as_accurate_as_a_negative_exponent() {
    let inverse = Law::new("1 / x**a", vec![Param::new("a", ParamKind::Real)]).unwrap();
    let negative = Law::new("x**(-a)", vec![Param::new("a", ParamKind::Real)]).unwrap();
    let columns: [&[f64]; 2] = [&[1e9, 3e5, 7.0], &[0.37]];
    assert_eq!(inverse.evaluate(&Quantity::Value, &columns), negative.evaluate(&Quantity::Value, &columns));
}

#[test]
fn wrong_columns_and_names_are_errors() {
    let law = Law::new("A * x", vec![Param::new("A", ParamKind::Real)]).unwrap();
    assert_eq!(law.evaluate(&Quantity::Value, &[&[1.0]]), Err(Error::Columns { expected: 2, found: 1 }));
    let lengths = law.evaluate(&Quantity::Value, &[&[1.0, 2.0, 3.0], &[1.0, 2.0]]);
    assert_eq!(lengths, Err(Error::Length { expected: 3, found: 2 }));
    let unknown = law.evaluate(&Quantity::Gradient(vec!["z".into()]), &[&[1.0], &[1.0]]);
    assert_eq!(unknown, Err(Error::UnknownName("z".into())));
    assert_eq!(law.evaluate(&Quantity::Value, &[&[], &[2.0]]), Ok(vec![]));
}
