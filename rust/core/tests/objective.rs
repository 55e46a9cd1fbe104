//! The objective, its gradient and its Hessian against sums over rows of an independent interpreter.

mod common;

use common::{Dual, EXAMPLES, Example, Random, expected, interpret};
use scalinglaws_core::objective::{Evaluation, Mode, Workspace};
use scalinglaws_core::{Data, Law, Loss, Options, Param, ParamKind, Prior, PriorKind, Problem, Residual};
use std::collections::HashMap;
use std::sync::Arc;

const LOSSES: [Loss; 6] =
    [Loss::Squared, Loss::Huber(0.02), Loss::SoftL1(0.02), Loss::Cauchy(0.02), Loss::Absolute, Loss::Quantile(0.3)];

fn rho(loss: Loss, r: &Dual) -> Dual {
    let square = r.times(r);
    let scaled = |s: f64| square.chain(square.v / (s * s), 1.0 / (s * s), 0.0);
    let times = |d: &Dual, c: f64| d.chain(d.v * c, c, 0.0);
    match loss {
        Loss::Squared => times(&square, 0.5),
        Loss::Huber(d) if r.v.abs() <= d => times(&square, 0.5),
        Loss::Huber(d) => r.chain(d * (r.v.abs() - 0.5 * d), d * r.v.signum(), 0.0),
        Loss::SoftL1(s) => {
            let q = scaled(s);
            let root = (1.0 + q.v).sqrt();
            q.chain(s * s * (root - 1.0), 0.5 * s * s / root, -0.25 * s * s / root.powi(3))
        }
        Loss::Cauchy(s) => {
            let q = scaled(s);
            let d = 0.5 * s * s / (1.0 + q.v);
            q.chain(0.5 * s * s * q.v.ln_1p(), d, -d / (1.0 + q.v))
        }
        Loss::Absolute => r.chain(r.v.abs(), r.v.signum(), 0.0),
        Loss::Quantile(tau) if r.v >= 0.0 => times(r, tau),
        Loss::Quantile(tau) => times(r, tau - 1.0),
    }
}

/// Expanded parameters: name, category, position.
fn expanded(law: &Law, data: &Data) -> Vec<(String, usize)> {
    let groups = law.group_of_slot();
    let count = |slot: usize| groups[slot].map_or(1, |g| data.categories[g]);
    law.params().iter().enumerate().flat_map(|(s, p)| (0..count(s)).map(|c| (p.name.clone(), c))).collect()
}

/// Coefficients that the solver measures at the middle of the data, back at their natural values.
fn uncentre(problem: &Problem, theta: &mut [Dual]) {
    for a in 0..theta.len() {
        for k in (0..theta.len()).filter(|&k| k != a) {
            let mut unit = vec![0.0; theta.len()];
            unit[a] = 1.0;
            unit[k] = 1.0;
            let mean = problem.centred(&unit)[a].ln();
            if mean != 0.0 {
                let factor = theta[k].chain(-mean * theta[k].v, -mean, 0.0).exp();
                theta[a] = theta[a].times(&factor);
            }
        }
    }
}

/// Objective as a function of the solver's coordinates `x` of the free parameters.
fn objective(problem: &Problem, data: &Data, x: &[f64], scale: &[f64], mut random: Option<&mut Random>) -> Dual {
    let (law, options, n) = (problem.law(), problem.options(), x.len());
    let places = expanded(law, data);
    let mut theta: Vec<Dual> = options.fixed.iter().map(|v| Dual::constant(*v, n)).collect();
    for (k, &i) in problem.free().iter().enumerate() {
        let variable = Dual::variable(x[k], k, n);
        theta[i] = if problem.is_log(i) { variable.exp() } else { variable.chain(x[k] * scale[k], scale[k], 0.0) };
    }
    uncentre(problem, &mut theta);
    let groups = law.group_of_slot();
    let mut total = Dual::constant(0.0, n);
    for row in 0..data.target.len() {
        let mut env = HashMap::new();
        for (name, column) in law.inputs().iter().zip(&data.inputs) {
            env.insert(name.clone(), Dual::constant(column[row], n));
        }
        for (slot, param) in law.params().iter().enumerate() {
            let category = groups[slot].map_or(0, |g| data.codes[g][row] as usize);
            let at = places.iter().position(|p| *p == (param.name.clone(), category)).unwrap();
            env.insert(param.name.clone(), theta[at].clone());
        }
        let f = interpret(&law.formula().root, &env, random.as_deref_mut());
        let y = Dual::constant(data.target[row], n);
        let r = match options.residual {
            Residual::Linear => y.plus(-1.0, &f),
            Residual::Log => y.log().plus(-1.0, &f.log()),
        };
        let weight = data.weights.as_ref().map_or(1.0, |w| w[row]) * if r.v > 0.0 { options.above } else { 1.0 };
        total = total.plus(weight, &rho(options.loss, &r));
    }
    for prior in &options.priors {
        let t = &theta[prior.index];
        let z = match prior.kind {
            PriorKind::Normal => t.plus(-1.0, &Dual::constant(prior.center, n)),
            PriorKind::LogNormal => t.log().plus(-1.0, &Dual::constant(prior.center.ln(), n)),
        };
        let w2 = prior.width * prior.width;
        let half = z.times(&z);
        total = total.plus(0.5 / w2, &half);
    }
    total
}

/// Compares value, gradient and Hessian at `theta`.
fn check(problem: &Problem, data: &Data, theta: &[f64], what: &str) {
    let scale: Vec<f64> = problem.free().iter().map(|&i| theta[i].abs().max(0.1) * 1.7).collect();
    let x = problem.to_solver(theta, &scale);
    let mut workspace = Workspace::default();
    let mut out = Evaluation::default();
    problem.evaluate(&x, &scale, Mode::Newton, 0.0, None, &mut workspace, &mut out);
    let found: Vec<f64> = [out.objective].iter().chain(&out.gradient).chain(&out.matrix).copied().collect();
    let expected = expected(|random| objective(problem, data, &x, &scale, random).flat());
    let checked = expected.check(&found, &|| what.to_owned());
    assert_eq!(checked, found.len(), "{what}");
    // The other modes and the plain objective give the same numbers.
    let newton = out.clone();
    problem.evaluate(&x, &scale, Mode::Gauss, 0.0, None, &mut workspace, &mut out);
    assert_eq!(out.objective.to_bits(), newton.objective.to_bits(), "{what}");
    for (a, b) in out.gradient.iter().zip(&newton.gradient) {
        assert!((a - b).abs() <= 1e-10 * (a.abs() + expected.exact[0].abs()), "{what}: {a} and {b}");
    }
    let plain = problem.objective(theta).unwrap();
    assert!((plain - newton.objective).abs() <= expected.tolerance[0] + 1e-11 * plain.abs(), "{what}: {plain}");
}

/// Data near the law, with some rows above and some below.
fn noisy(example: &Example, law: &Law, rows: usize, seed: u64) -> Data {
    let inputs = example.columns(law, rows, seed);
    let theta = example.theta();
    let columns: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).chain(theta.chunks(1)).collect();
    let value = law.evaluate(&scalinglaws_core::Quantity::Value, &columns).unwrap();
    let mut random = Random::new(seed + 1);
    let target = value.iter().map(|v| v * (0.03 * random.normal()).exp()).collect();
    let weights = (0..rows).map(|i| if i % 7 == 3 { 0.0 } else { random.between(0.2, 3.0) }).collect();
    Data { target, inputs, weights: Some(weights), ..Data::default() }
}

#[test]
fn every_loss_and_residual_space_has_exact_derivatives() {
    for example in &EXAMPLES {
        let law = example.law();
        let data = noisy(example, &law, 71, 5);
        for loss in LOSSES {
            for residual in [Residual::Linear, Residual::Log] {
                for above in [1.0, 2.5] {
                    let options = Options { residual, loss, above, ..Options::default() };
                    let problem = Problem::new(law.clone(), &data, options).unwrap();
                    let what = format!("{} {loss:?} {residual:?} above {above}", example.id);
                    check(&problem, &data, &example.theta(), &what);
                }
            }
        }
    }
}

#[test]
fn real_coefficients_of_powers_are_measured_at_the_middle_of_the_data() {
    let law = |text: &str, names: &[&str]| {
        Arc::new(Law::new(text, names.iter().map(|n| Param::new(*n, ParamKind::Real)).collect()).unwrap())
    };
    let n = vec![1e6, 1e8, 1e13];
    let data = Data { target: vec![1.0, 2.0, 3.0], inputs: vec![n], ..Data::default() };
    let centred = |law: Arc<Law>, options: Options| {
        let theta: Vec<f64> = (0..law.params().len()).map(|i| 0.1 * (i + 1) as f64).collect();
        (theta.clone(), Problem::new(law, &data, options).unwrap().centred(&theta))
    };
    let middle = 9.0 * 10f64.ln();
    let (theta, found) = centred(law("L ~ a * N**g + b", &["a", "g", "b"]), Options::default());
    assert!((found[0] / (theta[0] * (theta[1] * middle).exp()) - 1.0).abs() < 1e-13);
    assert_eq!(found[1..], theta[1..]);
    // A second use of the coefficient, a prior on it or a fixed power leave it alone.
    let (theta, found) = centred(law("L ~ a * N**g + a", &["a", "g"]), Options::default());
    assert_eq!(found, theta);
    let prior = Prior { index: 0, kind: PriorKind::Normal, center: 0.0, width: 1.0 };
    let (theta, found) =
        centred(law("L ~ a * N**g + b", &["a", "g", "b"]), Options { priors: vec![prior], ..Options::default() });
    assert_eq!(found, theta);
    let fixed = vec![f64::NAN, 0.2, f64::NAN];
    let (theta, found) = centred(law("L ~ a * N**g + b", &["a", "g", "b"]), Options { fixed, ..Options::default() });
    assert_eq!(found, theta);
}

#[test]
fn priors_and_fixed_parameters_have_exact_derivatives() {
    for id in ["chinchilla", "kaplan_nd", "broken_power_law"] {
        let example = Example::get(id);
        let law = example.law();
        let data = noisy(example, &law, 30, 6);
        let theta = example.theta();
        for held in 0..theta.len() {
            let mut fixed = vec![f64::NAN; theta.len()];
            fixed[held] = theta[held];
            let normal = Prior { index: 0, kind: PriorKind::Normal, center: 0.7 * theta[0], width: 0.2 * theta[0] };
            let lognormal = Prior { index: 1, kind: PriorKind::LogNormal, center: 1.3 * theta[1], width: 0.4 };
            let last = Prior { index: theta.len() - 1, kind: PriorKind::LogNormal, center: 0.5, width: 0.1 };
            for residual in [Residual::Linear, Residual::Log] {
                let options = Options {
                    residual,
                    loss: Loss::Huber(0.01),
                    fixed: fixed.clone(),
                    priors: vec![normal, lognormal, last],
                    ..Options::default()
                };
                let problem = Problem::new(law.clone(), &data, options).unwrap();
                check(&problem, &data, &theta, &format!("{id} with parameter {held} held, {residual:?}"));
            }
        }
    }
}

#[test]
fn grouped_parameters_have_exact_derivatives() {
    let params = [
        ("E", ParamKind::Positive),
        ("A", ParamKind::Positive),
        ("alpha", ParamKind::Real),
        ("k", ParamKind::Real),
        ("beta", ParamKind::Positive),
    ];
    let params = params.map(|(name, kind)| Param::new(name, kind)).to_vec();
    let formulas = [
        "L ~ E + A[lang] / N**alpha + k[kind] * N**(-beta)",
        "L ~ E[lang] + A[kind] / N**alpha[kind] + exp(k) / N**beta",
        "L ~ E + (A[lang] / N)**alpha[kind] * exp(-k[lang]) + exp(-beta * alpha[kind])",
        "L ~ E[lang] + A[lang] / N**alpha[lang] + tanh(k[lang])**2 * beta[lang]",
    ];
    let (rows, mut random) = (157, Random::new(8));
    for formula in formulas {
        let law = Arc::new(Law::new(formula, params.clone()).unwrap());
        let codes = |column: &String| if column == "lang" { 3 } else { 2 };
        let categories: Vec<usize> = law.group_columns().iter().map(codes).collect();
        let codes = categories.iter().map(|&c| (0..rows).map(|i| ((i * 7 + i / 5) % c) as u32).collect()).collect();
        let data = Data {
            target: (0..rows).map(|_| random.between(1.0, 4.0)).collect(),
            inputs: vec![(0..rows).map(|_| random.log_between(10.0, 1e4)).collect()],
            codes,
            categories,
            weights: Some((0..rows).map(|_| random.between(0.5, 2.0)).collect()),
        };
        let start = |name: &str| match name {
            "E" => 1.5,
            "A" => 20.0,
            "alpha" => 0.4,
            "k" => 0.3,
            _ => 0.2,
        };
        let places = expanded(&law, &data);
        let theta: Vec<f64> = places.iter().map(|(n, c)| start(n) * (1.0 + 0.2 * *c as f64)).collect();
        for residual in [Residual::Linear, Residual::Log] {
            for loss in [Loss::Squared, Loss::SoftL1(0.1)] {
                for hold in [None, Some(1), Some(theta.len() - 1)] {
                    let mut fixed = vec![f64::NAN; theta.len()];
                    if let Some(i) = hold {
                        fixed[i] = theta[i];
                    }
                    let priors = vec![Prior { index: 2, kind: PriorKind::LogNormal, center: 1.0, width: 0.3 }];
                    let options = Options { residual, loss, fixed, priors, ..Options::default() };
                    let problem = Problem::new(law.clone(), &data, options).unwrap();
                    check(&problem, &data, &theta, &format!("{formula} {residual:?} {loss:?} held {hold:?}"));
                }
            }
        }
    }
}

#[test]
fn a_positive_parameter_fixed_at_zero_drops_its_term() {
    let example = Example::get("chinchilla");
    let law = example.law();
    let data = noisy(example, &law, 40, 9);
    for residual in [Residual::Linear, Residual::Log] {
        let mut fixed = vec![f64::NAN; 5];
        fixed[0] = 0.0;
        let options = Options { residual, fixed, ..Options::default() };
        let problem = Problem::new(law.clone(), &data, options).unwrap();
        let mut theta = example.theta();
        theta[0] = 0.0;
        check(&problem, &data, &theta, &format!("{residual:?}"));
    }
}

#[test]
fn rows_of_weight_zero_do_not_count_even_where_the_law_has_no_value() {
    let law = Arc::new(Law::new("log(a - x)", vec![Param::new("a", ParamKind::Real)]).unwrap());
    let mut data = Data { target: vec![0.1, 0.2, 0.3], inputs: vec![vec![0.5, 1.0, 9.0]], ..Data::default() };
    data.weights = Some(vec![1.0, 1.0, 0.0]);
    let problem = Problem::new(law.clone(), &data, Options::default()).unwrap();
    let (mut workspace, mut out) = (Workspace::default(), Evaluation::default());
    problem.evaluate(&[3.0], &[1.0], Mode::Newton, 0.0, None, &mut workspace, &mut out);
    let mut fewer = Data { weights: None, ..data };
    fewer.target.pop();
    fewer.inputs[0].pop();
    let small = Problem::new(law, &fewer, Options::default()).unwrap();
    let mut same = Evaluation::default();
    small.evaluate(&[3.0], &[1.0], Mode::Newton, 0.0, None, &mut workspace, &mut same);
    assert!((out.objective - same.objective).abs() < 1e-15);
    assert!((out.gradient[0] - same.gradient[0]).abs() < 1e-14, "{out:?} and {same:?}");
    assert!((out.matrix[0] - same.matrix[0]).abs() < 1e-14);
}
