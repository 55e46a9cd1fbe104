//! What walks along a held parameter promise: the crossing of a quadratic is where the formula says, each refit is the
//! lowest of the other parameters, and a walk that finds no crossing says how it ended.

use scalinglaws_core::run::Control;
use scalinglaws_core::search::{End, Held, Limits, Line, Walk, multistart, walk};
use scalinglaws_core::{Data, Law, Options, Param, ParamKind, Problem, Residual};
use std::sync::Arc;

const LIMITS: Limits = Limits { threshold: 2.0, step: 0.01, edge: f64::INFINITY, level_step: 4.0 };

fn problem(formula: &str, names: &[(&str, ParamKind)], x: &[f64], y: &[f64], fixed: &[f64]) -> Problem {
    let params = names.iter().map(|(name, kind)| Param::new(*name, *kind)).collect();
    let law = Arc::new(Law::new(formula, params).unwrap());
    let data = Data { target: y.to_vec(), inputs: vec![x.to_vec()], ..Data::default() };
    let options = Options { residual: Residual::Linear, fixed: fixed.to_vec(), ..Options::default() };
    Problem::new(law, &data, options).unwrap()
}

fn line_data() -> (Vec<f64>, Vec<f64>) {
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    let y = x.iter().map(|x| 1.0 + 2.0 * x + 0.1 * (3.1 * x).sin()).collect();
    (x, y)
}

fn best(problem: &Problem, start: &[f64]) -> (Vec<f64>, f64) {
    let report = multistart(problem, start, None, None, &Control::default()).unwrap();
    assert!(report.status[0].was_successful());
    (report.theta, report.objective[0])
}

fn go(line: &Line, limits: &Limits) -> Walk {
    walk(line, limits, &Control::default()).unwrap()
}

fn held(index: usize, origin: f64, direction: f64, log: bool, bounds: (f64, f64)) -> Held {
    Held { index, origin, direction, log, bounds }
}

const REAL: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

#[test]
fn the_crossing_of_a_linear_law_is_where_its_quadratic_says() {
    let (x, y) = line_data();
    let names = [("a", ParamKind::Real), ("b", ParamKind::Real)];
    let (theta, minimum) = best(&problem("y ~ a + b * x", &names, &x, &y, &[]), &[0.0, 1.0]);
    let fixed = problem("y ~ a + b * x", &names, &x, &y, &[f64::NAN, theta[1]]);
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let spread: f64 = x.iter().map(|x| (x - mean).powi(2)).sum();
    for (kappa, sign) in [(1.0, 1.0), (0.004, -1.0)] {
        let line =
            Line { problem: &fixed, held: vec![held(1, theta[1], sign, false, REAL)], starts: &theta, minimum, kappa };
        let found = go(&line, &LIMITS);
        // 2 (F - F_min) = (b - b_best)^2 sum (x - mean)^2.
        let expected = 2.0 * (kappa / spread).sqrt();
        assert_eq!(found.end, End::Found);
        assert!((found.distance / expected - 1.0).abs() < 1e-9, "{} {expected}", found.distance);
        let last = found.refits.iter().find(|refit| refit.distance == found.distance).unwrap();
        assert!((last.theta[0] - (theta[0] - sign * expected * mean)).abs() < 1e-7);
        assert!(last.converged);
        assert!(found.refits.len() < 30, "{} refits", found.refits.len());
    }
}

#[test]
fn a_curved_profile_is_crossed_at_the_threshold_with_the_others_refitted() {
    let x: Vec<f64> = (0..15).map(|i| 10f64.powf(7.0 + 0.2 * f64::from(i))).collect();
    let y: Vec<f64> = x.iter().map(|n| (1.7 + 400.0 / n.powf(0.34)) * (1.0 + 0.004 * (n * 1e-7).sin())).collect();
    let names = ["E", "A", "alpha"].map(|name| (name, ParamKind::Positive));
    let formula = "L ~ E + A / N**alpha";
    let (theta, minimum) = best(&problem(formula, &names, &x, &y, &[]), &[1.5, 300.0, 0.3]);
    let fixed = problem(formula, &names, &x, &y, &[f64::NAN, f64::NAN, theta[2]]);
    let alpha = held(2, theta[2].ln(), -1.0, true, (0.0, f64::INFINITY));
    let line = Line { problem: &fixed, held: vec![alpha], starts: &theta, minimum, kappa: minimum / 6.0 };
    let found = go(&line, &LIMITS);
    assert_eq!(found.end, End::Found);
    let value = (theta[2].ln() - found.distance).exp();
    let free = problem(formula, &names, &x, &y, &[f64::NAN, f64::NAN, value]);
    let (_, objective) = best(&free, &[theta[0], theta[1], value]);
    assert!((2.0 * (objective - minimum) / line.kappa - 4.0).abs() < 1e-8);
}

#[test]
fn a_law_of_one_parameter_is_evaluated_and_not_refitted() {
    let (x, y) = line_data();
    let names = [("b", ParamKind::Real)];
    let (theta, minimum) = best(&problem("y ~ b * x", &names, &x, &y, &[]), &[1.0]);
    let fixed = problem("y ~ b * x", &names, &x, &y, &theta);
    let line =
        Line { problem: &fixed, held: vec![held(0, theta[0], 1.0, false, REAL)], starts: &theta, minimum, kappa: 1.0 };
    let found = go(&line, &LIMITS);
    let squares: f64 = x.iter().map(|x| x * x).sum();
    assert!((found.distance * squares.sqrt() / 2.0 - 1.0).abs() < 1e-9);
    assert!(multistart(&fixed, &theta, None, None, &Control::default()).is_err());
}

#[test]
fn walks_end_at_their_edge_on_level_ground_and_where_the_law_ends() {
    let (x, y) = line_data();
    let names = [("a", ParamKind::Real), ("b", ParamKind::Real)];
    let (theta, minimum) = best(&problem("y ~ a + b * x", &names, &x, &y, &[]), &[0.0, 1.0]);
    let fixed = problem("y ~ a + b * x", &names, &x, &y, &[f64::NAN, theta[1]]);
    let line =
        Line { problem: &fixed, held: vec![held(1, theta[1], 1.0, false, REAL)], starts: &theta, minimum, kappa: 1.0 };
    let short = go(&line, &Limits { edge: 0.05, ..LIMITS });
    assert_eq!((short.end, short.distance), (End::Short, 0.05));

    // A term that vanishes: its exponent has no upper limit.
    let y: Vec<f64> = x.iter().map(|x| 1.0 + 0.3 * (3.1 * x).sin()).collect();
    let names = [("a", ParamKind::Real), ("c", ParamKind::Positive), ("k", ParamKind::Positive)];
    let formula = "y ~ a + c * exp(-k * (x + 1))";
    let start = [1.0, 1e-3, 1.0];
    let fixed = problem(formula, &names, &x, &y, &[f64::NAN, 1e-3, 1.0]);
    let minimum = fixed.objective(&start).unwrap();
    let k = held(2, 0.0, 1.0, true, (0.0, f64::INFINITY));
    let line = Line { problem: &fixed, held: vec![k], starts: &start, minimum, kappa: 1.0 };
    let level = go(&line, &Limits { step: 0.5, edge: 600.0, ..LIMITS });
    assert_eq!(level.end, End::Short);
    assert!(level.distance < 600.0);

    let positive =
        problem("y ~ a + log(b - x)", &[("a", ParamKind::Real), ("b", ParamKind::Real)], &x, &y, &[f64::NAN, 30.0]);
    let start = [1.0, 30.0];
    let line = Line {
        problem: &positive,
        held: vec![held(1, 30.0, -1.0, false, REAL)],
        starts: &start,
        minimum: 1e3,
        kappa: 1.0,
    };
    let ended = go(&line, &Limits { step: 3.0, ..LIMITS });
    assert_eq!(ended.end, End::Undefined);
    assert!(ended.distance < 19.0 && ended.distance > 18.999, "{}", ended.distance);
}
