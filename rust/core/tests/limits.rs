//! Formulas as large as the parser lets through compile quickly, on small stacks, or are refused.

mod common;

use scalinglaws_core::{Data, Law, Loss, Options, Param, ParamKind, Problem, Quantity, Residual};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs on a stack as small as that of threads on some systems.
fn on_a_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(512 * 1024).spawn(work).unwrap().join().unwrap()
}

/// Compilation takes far less when nothing else runs; these machines are shared.
const PATIENCE: Duration = Duration::from_secs(10);

/// Compiles and evaluates value, gradient and Hessian with all names, then with every other name, as parameters.
fn compiles(text: String) {
    on_a_small_stack(move || {
        let names: Vec<String> = {
            let formula = scalinglaws_core::formula::Formula::parse(&text).unwrap();
            formula.names().into_iter().map(str::to_owned).collect()
        };
        for step in [1, 2] {
            for kind in [ParamKind::Positive, ParamKind::Real] {
                let clock = Instant::now();
                let params = names.iter().step_by(step).map(|n| Param::new(n, kind)).collect();
                let law = Law::new(&text, params).unwrap();
                let columns = vec![&[1.25][..]; names.len()];
                let wrt: Vec<String> = names.iter().take(4).cloned().collect();
                for q in [Quantity::Value, Quantity::Gradient(names.clone()), Quantity::Hessian(wrt)] {
                    law.evaluate(&q, &columns).unwrap();
                }
                assert!(clock.elapsed() < PATIENCE, "{:?} for {}", clock.elapsed(), &text[..60]);
            }
        }
    });
}

fn chain(operator: &str, terms: usize) -> String {
    (0..terms).map(|i| format!("a{}", i % 7)).collect::<Vec<_>>().join(operator)
}

#[test]
fn long_chains_compile_on_a_small_stack() {
    for operator in [" + ", " - ", " * ", " / "] {
        compiles(chain(operator, 990));
    }
    // Products under a logarithm, sums of powers, and sums under a power.
    compiles(format!("log({})", chain(" * ", 980)));
    compiles(format!("({})**a1", chain(" / ", 980)));
    compiles(format!("({})**a1", chain(" + ", 980)));
    compiles((0..480).map(|i| format!("x{}**a{}", i % 2, i % 5)).collect::<Vec<_>>().join(" + "));
}

#[test]
fn deep_nesting_compiles_on_a_small_stack() {
    for function in ["tanh(", "sqrt(", "exp(", "log1p(", "-(", "abs(", "softplus("] {
        // A sign and a parenthesis are a level each.
        let levels = if function == "-(" { 60 } else { 120 };
        compiles(format!("a + {}b{}", function.repeat(levels), ")".repeat(levels)));
    }
    let mut power = "x".to_owned();
    for _ in 0..100 {
        power = format!("({power})**a");
    }
    compiles(format!("b + {power}"));
}

/// Each square has one node with two references to the last: walked as a tree it has 2^100 leaves.
#[test]
fn repeated_squares_do_not_take_exponential_time() {
    let mut power = "x".to_owned();
    for _ in 0..100 {
        power = format!("({power})**2");
    }
    compiles(format!("(1 + {power})**a * b"));
    compiles(format!("log({power} + b)"));
}

fn data(law: &Law, rows: usize) -> Data {
    let column: Vec<f64> = (0..rows).map(|i| 1.0 + i as f64 / rows as f64).collect();
    Data { target: vec![2.0; rows], inputs: vec![column; law.inputs().len()], ..Data::default() }
}

#[test]
fn sixty_parameters_compile_to_a_problem_in_time() {
    let mut text = "E".to_owned();
    for k in 0..30 {
        write!(text, " + A{k} / x{}**alpha{k}", k % 3).unwrap();
    }
    for formula in [text.clone(), format!("({text})**g"), format!("log({text})"), format!("tanh({text}) * exp(-g*x0)")]
    {
        let parsed = scalinglaws_core::formula::Formula::parse(&formula).unwrap();
        let names = parsed.names();
        let params =
            names.iter().filter(|n| !n.starts_with('x')).map(|n| Param::new(*n, ParamKind::Positive)).collect();
        for residual in [Residual::Linear, Residual::Log] {
            let clock = Instant::now();
            let law = Arc::new(Law::new(&formula, Vec::clone(&params)).unwrap());
            let options = Options { residual, loss: Loss::Huber(1e-3), ..Options::default() };
            let _problem = Problem::new(law.clone(), &data(&law, 200), options).unwrap();
            assert!(clock.elapsed() < PATIENCE, "{:?} for {}", clock.elapsed(), &formula[..30]);
        }
    }
}

#[test]
fn a_formula_whose_second_derivatives_explode_is_refused_in_time() {
    // Every factor holds two of 200 parameters, and every pair of factors has its own second derivative.
    let text = (0..200).map(|k| format!("tanh(a{k} + x)")).collect::<Vec<_>>().join(" * ");
    let clock = Instant::now();
    let params = (0..200).map(|k| Param::new(format!("a{k}"), ParamKind::Real)).collect();
    let error = Law::new(&text, params).unwrap_err();
    assert!(error.message().contains("too large"), "{error}");
    assert!(clock.elapsed() < PATIENCE, "{:?}", clock.elapsed());
    // The same formula with fewer parameters is fine.
    let few = (0..10).map(|k| Param::new(format!("a{k}"), ParamKind::Real)).collect();
    let law = Law::new(&text, few).unwrap();
    let columns = vec![&[0.5][..]; 201];
    assert_eq!(law.evaluate(&Quantity::Value, &columns).unwrap().len(), 1);
    // And so are its first derivatives by every name; the second ones are refused here too.
    let all: Vec<String> = (0..200).map(|k| format!("a{k}")).collect();
    assert_eq!(law.evaluate(&Quantity::Gradient(all.clone()), &columns).unwrap().len(), 200);
    assert!(law.evaluate(&Quantity::Hessian(all), &columns).is_err());
}

#[test]
fn too_many_parameters_are_refused() {
    let text = (0..600).map(|k| format!("a{k}*x")).collect::<Vec<_>>().join(" + ");
    let params = |count: usize| (0..count).map(|k| Param::new(format!("a{k}"), ParamKind::Real)).collect();
    assert!(Law::new(&text, params(501)).unwrap_err().message().contains("500"));
    let clock = Instant::now();
    assert!(Law::new(&text, params(500)).is_ok());
    assert!(clock.elapsed() < PATIENCE, "{:?}", clock.elapsed());
}
