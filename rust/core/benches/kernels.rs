//! Cost of one pass over the data: value, gradient with the Gauss-Newton matrix, and exact Hessian.
//!
//! ```text
//! cargo bench -p scalinglaws-core --bench kernels
//! ```
//!
//! Criterion prints the time of a pass over [`ROWS`] rows and the rows per second.

#[path = "../tests/common/mod.rs"]
mod common;

use common::Example;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use scalinglaws_core::objective::{Evaluation, Mode, Workspace};
use scalinglaws_core::{Data, Loss, Options, Problem, Quantity, Residual};
use std::time::Duration;

/// Fits of real tables have a few hundred rows; more would measure the memory.
const ROWS: usize = 1024;

const LAWS: [&str; 8] = [
    "power_law_floor",
    "chinchilla",
    "kaplan_nd",
    "overtraining",
    "farseer",
    "broken_power_law",
    "data_constrained",
    "sigmoid",
];

fn passes(criterion: &mut Criterion) {
    for id in LAWS {
        let example = Example::get(id);
        let law = example.law();
        let (inputs, theta) = (example.columns(&law, ROWS, 1), example.theta());
        let columns: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).chain(theta.chunks(1)).collect();
        let value = law.evaluate(&Quantity::Value, &columns).expect("the columns fit");
        let target = value.iter().enumerate().map(|(i, v)| v * (1.0 + 0.01 * (i as f64).sin())).collect();
        let data = Data { target, inputs: inputs.clone(), ..Data::default() };
        let options = Options { residual: Residual::Log, loss: Loss::Huber(1e-3), ..Options::default() };
        let problem = Problem::new(law, &data, options).expect("the data fit");
        let scale = vec![1.0; theta.len()];
        let x = problem.to_solver(&theta, &scale);
        let (mut workspace, mut out) = (Workspace::default(), Evaluation::default());
        let mut group = criterion.benchmark_group(id);
        group.throughput(Throughput::Elements(ROWS as u64));
        for (name, mode) in [("value", Mode::Value), ("gauss", Mode::Gauss), ("newton", Mode::Newton)] {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| {
                    problem.evaluate(&x, &scale, mode, 0.0, None, &mut workspace, &mut out);
                    out.objective
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = passes
}
criterion_main!(benches);
