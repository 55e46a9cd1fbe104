//! What resampling promises: a replicate is a function of the seed and its number, its refit is the fit of the rows it
//! stands for, and what could not be refitted says so.

use scalinglaws_core::run::{Control, pool};
use scalinglaws_core::search::{
    Factor, Refitted, Replicate, Resampling, Scheme, StartRange, Starts, bootstrap, multistart,
};
use scalinglaws_core::{Data, Law, Loss, Options, Param, ParamKind, Prior, PriorKind, Problem, Residual, Status};
use std::num::NonZeroUsize;
use std::sync::Arc;

const ROWS: usize = 40;

fn law() -> Arc<Law> {
    let params = ["E", "A", "alpha"].map(|name| Param::new(name, ParamKind::Positive)).to_vec();
    Arc::new(Law::new("L ~ E + A / N**alpha", params).unwrap())
}

/// Rows of the law at (1.7, 400, 0.34) with noise that a sine makes up.
fn data() -> Data {
    let n: Vec<f64> = (0..ROWS).map(|i| 1e7 * 10f64.powf(3.0 * i as f64 / 39.0)).collect();
    let noisy = |(i, n): (usize, &f64)| (1.7 + 400.0 / n.powf(0.34)) * (0.01 * (7.3 * i as f64).sin()).exp();
    Data { target: n.iter().enumerate().map(noisy).collect(), inputs: vec![n], ..Data::default() }
}

fn problem_of(data: &Data, loss: Loss) -> Problem {
    Problem::new(law(), data, Options { residual: Residual::Log, loss, ..Options::default() }).unwrap()
}

fn best(problem: &Problem) -> Vec<f64> {
    let report = multistart(problem, &[1.5, 300.0, 0.3], None, None, &Control::default()).unwrap();
    assert!(report.status[0].was_successful());
    report.theta
}

/// Logarithms of the law and of the residuals at a parameter vector.
fn fitted_and_residuals(data: &Data, theta: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let fitted: Vec<f64> = data.inputs[0].iter().map(|n| (theta[0] + theta[1] / n.powf(theta[2])).ln()).collect();
    let residuals = data.target.iter().zip(&fitted).map(|(y, f)| y.ln() - f).collect();
    (fitted, residuals)
}

fn warm(problem: &Problem) -> Starts {
    Starts { warm: best(problem), ..Starts::default() }
}

fn refit(problem: &Problem, resampling: &Resampling, starts: &Starts, draws: std::ops::Range<u64>) -> Refitted {
    bootstrap(problem, resampling, starts, 5, draws, None, &Control::default()).unwrap()
}

fn replicate(resampling: &Resampling, index: u64) -> Replicate {
    let mut out = Replicate::default();
    resampling.replicate(5, index, &mut out);
    out
}

fn same(a: &Refitted, b: &Refitted) -> bool {
    let bits = |v: &[f64]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    bits(&a.report.theta) == bits(&b.report.theta)
        && bits(&a.report.objective) == bits(&b.report.objective)
        && a.report.status == b.report.status
        && a.start == b.start
}

#[test]
fn pairs_draw_as_many_units_as_there_are_and_keep_clusters_whole() {
    let mut data = data();
    let mut weights = vec![2.0; ROWS];
    weights[3] = 0.0;
    data.weights = Some(weights);
    let problem = problem_of(&data, Loss::Squared);
    let rows = Resampling::new(&problem, Scheme::Pairs, None).unwrap();
    assert_eq!(rows.units(), ROWS - 1);
    let codes: Vec<u32> = (0..ROWS as u32).map(|i| 100 - i / 4).collect();
    let clusters = Resampling::new(&problem, Scheme::Pairs, Some(&codes)).unwrap();
    assert_eq!(clusters.units(), 10);
    for index in 0..50 {
        let drawn = replicate(&rows, index);
        assert!(drawn.target.is_empty());
        assert_eq!(drawn.weights[3], 0.0);
        assert!(drawn.weights.iter().all(|w| (w / 2.0).fract() == 0.0));
        assert_eq!(drawn.weights.iter().sum::<f64>(), 2.0 * (ROWS - 1) as f64);
        let drawn = replicate(&clusters, index).weights;
        let counts: Vec<f64> = drawn.chunks(4).map(|c| c[0] / 2.0).collect();
        assert_eq!(counts.iter().sum::<f64>(), 10.0);
        for (row, weight) in drawn.iter().enumerate().filter(|(row, _)| *row != 3) {
            assert_eq!(*weight, 2.0 * counts[row / 4]);
        }
    }
}

#[test]
fn the_refit_of_a_pairs_draw_is_the_fit_of_the_repeated_rows() {
    let data = data();
    for loss in [Loss::Squared, Loss::Huber(1e-3), Loss::Absolute] {
        let problem = problem_of(&data, loss);
        let resampling = Resampling::new(&problem, Scheme::Pairs, None).unwrap();
        let refits = refit(&problem, &resampling, &warm(&problem), 0..8);
        for index in 0..8 {
            let counts = replicate(&resampling, index as u64).weights;
            let rows: Vec<usize> = (0..ROWS).flat_map(|i| std::iter::repeat_n(i, counts[i] as usize)).collect();
            let take = |column: &[f64]| rows.iter().map(|&i| column[i]).collect::<Vec<f64>>();
            let repeated = Data { target: take(&data.target), inputs: vec![take(&data.inputs[0])], ..Data::default() };
            let found = problem_of(&repeated, loss);
            let objective = found.objective(&best(&found)).unwrap();
            assert!((refits.report.objective[index] / objective - 1.0).abs() < 1e-6, "{loss:?} {index}");
        }
    }
}

#[test]
fn the_refit_of_other_targets_is_the_fit_of_a_table_with_these_targets() {
    let data = data();
    let problem = problem_of(&data, Loss::Huber(1e-3));
    let (fitted, noise) = fitted_and_residuals(&data, &best(&problem));
    let scale = vec![0.5; ROWS];
    let schemes = [
        Scheme::Wild { fitted: fitted.clone(), noise: noise.clone(), factor: Factor::Rademacher },
        Scheme::Wild { fitted: fitted.clone(), noise: noise.clone(), factor: Factor::Webb },
        Scheme::Residual { fitted: fitted.clone(), pool: noise.clone(), scale },
        Scheme::Parametric { fitted, scale: vec![0.01; ROWS] },
    ];
    for scheme in schemes {
        let resampling = Resampling::new(&problem, scheme, None).unwrap();
        let refits = refit(&problem, &resampling, &warm(&problem), 0..4);
        for index in 0..4 {
            let drawn = replicate(&resampling, index as u64);
            assert_eq!(drawn.weights, [1.0; ROWS]);
            let target = drawn.target.iter().map(|t| t.exp()).collect();
            let other = problem_of(&Data { target, ..data.clone() }, Loss::Huber(1e-3));
            let theta = best(&other);
            assert!((refits.report.objective[index] / other.objective(&theta).unwrap() - 1.0).abs() < 1e-9);
            for (a, b) in refits.report.theta[3 * index..].iter().zip(&theta) {
                assert!((a / b - 1.0).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn factors_have_mean_zero_variance_one_and_one_value_per_cluster() {
    let problem = problem_of(&data(), Loss::Squared);
    let codes: Vec<u32> = (0..ROWS as u32).map(|i| i / 5).collect();
    for (factor, sizes) in [(Factor::Rademacher, vec![1.0]), (Factor::Webb, vec![0.5, 1.0, 1.5])] {
        let scheme = Scheme::Wild { fitted: vec![0.0; ROWS], noise: vec![1.0; ROWS], factor };
        let resampling = Resampling::new(&problem, scheme, Some(&codes)).unwrap();
        let mut values = Vec::new();
        for index in 0..2000 {
            let drawn = replicate(&resampling, index).target;
            for cluster in drawn.chunks(5) {
                assert!(cluster.iter().all(|v| v == &cluster[0]));
                values.push(cluster[0]);
            }
        }
        let count = values.len() as f64;
        let moment = |power| values.iter().map(|v: &f64| v.powi(power)).sum::<f64>() / count;
        let limit = 4.5 / count.sqrt();
        assert!(moment(1).abs() < limit && moment(3).abs() < 2.0 * limit, "{factor:?}");
        assert!((moment(2) - 1.0).abs() < limit);
        for size in &sizes {
            let share = values.iter().filter(|v| (v.powi(2) - size).abs() < 1e-12).count() as f64 / count;
            assert!((share - 1.0 / sizes.len() as f64).abs() < limit);
        }
    }
}

#[test]
fn draws_depend_neither_on_threads_nor_on_their_neighbours() {
    let problem = problem_of(&data(), Loss::Huber(1e-3));
    let resampling = Resampling::new(&problem, Scheme::Pairs, None).unwrap();
    let range = |low, high, log| StartRange { low, high, log };
    let starts = Starts {
        fresh: 2,
        ranges: vec![range(0.5, 3.0, false), range(10.0, 1e4, true), range(0.1, 1.0, false)],
        cold: vec![1.0, 1000.0, 0.5],
        ..warm(&problem)
    };
    let whole = pool(NonZeroUsize::new(1)).unwrap().install(|| refit(&problem, &resampling, &starts, 0..60));
    let many = pool(NonZeroUsize::new(4)).unwrap().install(|| refit(&problem, &resampling, &starts, 0..60));
    assert!(same(&whole, &many));
    let mut parts = refit(&problem, &resampling, &starts, 0..23);
    let rest = refit(&problem, &resampling, &starts, 23..60);
    parts.report.theta.extend(rest.report.theta);
    parts.report.objective.extend(rest.report.objective);
    parts.report.status.extend(rest.report.status);
    parts.start.extend(rest.start);
    assert!(same(&whole, &parts));
}

#[test]
fn a_draw_ends_in_the_lowest_basin_that_its_starts_reach() {
    // A sine through few points: the basins of its frequency are apart, and resampling changes their order.
    let params = ["a", "w"].map(|name| Param::new(name, ParamKind::Real)).to_vec();
    let law = Arc::new(Law::new("a * sin(w * x)", params).unwrap());
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    let target = x.iter().map(|x| (1.1 * x).sin() + 0.9 * (2.9 * x).sin()).collect();
    let data = Data { target, inputs: vec![x], ..Data::default() };
    let problem = Problem::new(law, &data, Options::default()).unwrap();
    let optima = multistart(&problem, &[1.0, 1.1, 1.0, 2.9], None, None, &Control::default()).unwrap();
    let resampling = Resampling::new(&problem, Scheme::Pairs, None).unwrap();
    let one = Starts { warm: optima.theta[..2].to_vec(), ..Starts::default() };
    let both = Starts { warm: optima.theta.clone(), ..Starts::default() };
    let (one, both) = (refit(&problem, &resampling, &one, 0..40), refit(&problem, &resampling, &both, 0..40));
    let moved = both.start.iter().filter(|s| **s == 1).count();
    assert!((5..35).contains(&moved), "{moved}");
    for i in 0..40 {
        let (both, one) = (both.report.objective[i], one.report.objective[i]);
        assert!(both <= one * (1.0 + 1e-9), "draw {i}: {both} from both starts, {one} from one");
    }
}

#[test]
fn draws_that_leave_a_parameter_without_rows_are_undetermined() {
    let law = Arc::new(Law::new("A[g] * x", vec![Param::new("A", ParamKind::Positive)]).unwrap());
    let x: Vec<f64> = (1..=8).map(f64::from).collect();
    let codes = vec![vec![0, 0, 0, 0, 0, 0, 0, 1]];
    let target = x.iter().map(|x| 2.0 * x).collect();
    let data = Data { target, inputs: vec![x], codes, categories: vec![2], ..Data::default() };
    let problem = Problem::new(law, &data, Options::default()).unwrap();
    let resampling = Resampling::new(&problem, Scheme::Pairs, None).unwrap();
    let starts = Starts { warm: vec![2.0, 2.0], ..Starts::default() };
    let refits = refit(&problem, &resampling, &starts, 0..100);
    for index in 0..100 {
        let lacking = replicate(&resampling, index as u64).weights[7] == 0.0;
        assert_eq!(refits.report.status[index] == Status::Undetermined, lacking);
        assert_eq!(refits.report.theta[2 * index].is_nan(), lacking);
    }
    assert!(refits.report.status.contains(&Status::Undetermined));
}

#[test]
fn leaving_out_is_not_random() {
    let problem = problem_of(&data(), Loss::Squared);
    let resampling = Resampling::new(&problem, Scheme::LeaveOut, None).unwrap();
    for index in 0..ROWS {
        let weights = replicate(&resampling, index as u64).weights;
        assert!((0..ROWS).all(|row| weights[row] == f64::from(u8::from(row != index))));
    }
}

#[test]
fn a_cancelled_bootstrap_returns_all_rows_marked() {
    let problem = problem_of(&data(), Loss::Squared);
    let resampling = Resampling::new(&problem, Scheme::Pairs, None).unwrap();
    let starts = warm(&problem);
    let control = Control::default();
    control.request_cancel();
    let refits = bootstrap(&problem, &resampling, &starts, 5, 0..10, None, &control).unwrap();
    assert_eq!(refits.report.status, [Status::Cancelled; 10]);
    assert!(refits.report.theta.iter().all(|t| t.is_nan()));
}

#[test]
fn centres_of_priors_are_drawn_about_the_fit_and_refits_use_them() {
    let data = data();
    let prior = |index, kind, center, width| Prior { index, kind, center, width };
    let with = |first, second| {
        let priors = vec![prior(2, PriorKind::Normal, first, 0.05), prior(1, PriorKind::LogNormal, second, 0.2)];
        let options = Options { residual: Residual::Log, priors, ..Options::default() };
        Problem::new(law(), &data, options).unwrap()
    };
    let problem = with(0.4, 300.0);
    let theta = best(&problem);
    let (fitted, _) = fitted_and_residuals(&data, &theta);
    let scheme = Scheme::Parametric { fitted: fitted.clone(), scale: vec![0.01; ROWS] };
    let kept = Resampling::new(&problem, scheme.clone(), None).unwrap();
    assert!(replicate(&kept, 0).centers.is_empty());
    let drawn = kept.clone().with_priors_about(&problem, &theta).unwrap();
    // Rows come first: they do not depend on the priors.
    assert_eq!(replicate(&drawn, 3).target, replicate(&kept, 3).target);
    let refits = refit(&problem, &drawn, &warm(&problem), 0..3);
    let (mut sums, count) = ([0.0; 4], 4000);
    for index in 0..count {
        let centers = replicate(&drawn, index).centers;
        let z = [(centers[0] - theta[2]) / 0.05, (centers[1] / theta[1]).ln() / 0.2];
        for (sum, term) in sums.iter_mut().zip([z[0], z[0] * z[0], z[1], z[1] * z[1]]) {
            *sum += term / count as f64;
        }
        if index < 3 {
            let target = replicate(&drawn, index).target.iter().map(|t| t.exp()).collect();
            let options = with(centers[0], centers[1]).options().clone();
            let other = Problem::new(law(), &Data { target, ..data.clone() }, options).unwrap();
            for (a, b) in refits.report.theta[3 * index as usize..].iter().zip(&best(&other)) {
                assert!((a / b - 1.0).abs() < 1e-5);
            }
        }
    }
    let limit = 4.5 / (count as f64).sqrt();
    for (moment, expected) in sums.iter().zip([0.0, 1.0, 0.0, 1.0]) {
        assert!((moment - expected).abs() < 2.0 * limit, "{sums:?}");
    }
    assert!(kept.clone().with_priors_about(&problem, &theta[..2]).is_err());
    assert!(kept.with_priors_about(&problem, &[1.7, 0.0, 0.3]).is_err());
}

#[test]
fn wrong_shapes_and_numbers_are_errors() {
    let problem = problem_of(&data(), Loss::Squared);
    let short = Scheme::Parametric { fitted: vec![0.0; 3], scale: vec![1.0; ROWS] };
    assert!(Resampling::new(&problem, short, None).is_err());
    let infinite = Scheme::Parametric { fitted: vec![0.0; ROWS], scale: vec![f64::INFINITY; ROWS] };
    assert!(Resampling::new(&problem, infinite, None).is_err());
    let empty = Scheme::Residual { fitted: vec![0.0; ROWS], pool: vec![], scale: vec![1.0; ROWS] };
    assert!(Resampling::new(&problem, empty, None).is_err());
    assert!(Resampling::new(&problem, Scheme::Pairs, Some(&[0, 1])).is_err());
    let resampling = Resampling::new(&problem, Scheme::Pairs, None).unwrap();
    let starts = Starts { fresh: 1, ..warm(&problem) };
    assert!(bootstrap(&problem, &resampling, &starts, 0, 0..2, None, &Control::default()).is_err());
}
