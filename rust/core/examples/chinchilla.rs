//! Fit the Chinchilla law to a table of runs and plan a larger one.
//!
//! ```text
//! cargo run --release -p scalinglaws-core --example chinchilla
//! ```

use scalinglaws_core::run::Control;
use scalinglaws_core::search::{multistart, sobol::sobol};
use scalinglaws_core::{Data, Law, Loss, Options, Param, ParamKind, Problem, Residual};
use std::sync::Arc;

/// Parameters with the range of their starts; all but the exponents are drawn on a logarithmic scale.
const PARAMS: [(&str, ParamKind, f64, f64); 5] = [
    ("E", ParamKind::Positive, 0.1, 5.0),
    ("A", ParamKind::Positive, 1.0, 1e5),
    ("B", ParamKind::Positive, 1.0, 1e5),
    ("alpha", ParamKind::Real, 0.05, 1.0),
    ("beta", ParamKind::Real, 0.05, 1.0),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = runs();
    let rows = data.target.len();
    let params = PARAMS.iter().map(|(name, kind, ..)| Param::new(*name, *kind)).collect();
    let law = Arc::new(Law::new("L ~ E + A / N**alpha + B / D**beta", params)?);
    let options = Options { residual: Residual::Log, loss: Loss::Huber(1e-3), ..Options::default() };
    let problem = Problem::new(law, &data, options)?;

    let count = 256;
    let mut starts = Vec::with_capacity(count * PARAMS.len());
    for point in sobol(count, PARAMS.len(), 0).chunks(PARAMS.len()) {
        for ((name, _, lo, hi), u) in PARAMS.iter().zip(point) {
            let linear = matches!(*name, "alpha" | "beta");
            starts.push(if linear { lo + (hi - lo) * u } else { lo * (hi / lo).powf(*u) });
        }
    }
    let report = multistart(&problem, &starts, None, None, &Control::default())?;
    let best = report.best().ok_or("no start has a finite objective")?;
    let theta = &report.theta[best * PARAMS.len()..][..PARAMS.len()];
    println!("{count} starts on {rows} runs in {:.0} ms: {}", 1e3 * report.seconds, report.status[best]);
    for ((name, ..), value) in PARAMS.iter().zip(theta) {
        println!("{name:>6} = {value:.5}");
    }

    // Along 6 N D = C the loss is smallest where both terms fall equally fast (Hoffmann et al. 2022, eq. 4).
    let (a, b, alpha, beta) = (theta[1], theta[2], theta[3], theta[4]);
    let compute: f64 = 5.76e23;
    let ratio = (alpha * a / (beta * b)).powf(1.0 / (alpha + beta));
    let n = ratio * (compute / 6.0).powf(beta / (alpha + beta));
    println!("{compute:.2e} FLOPs: {n:.3e} parameters, {:.3e} tokens", compute / (6.0 * n));
    Ok(())
}

/// Simulated runs around the published law, with deviations of a third of a percent.
fn runs() -> Data {
    let (mut target, mut n, mut d) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..15 {
        for j in 0..16 {
            let size = 4e7 * 1.5f64.powi(i);
            let tokens = 1e9 * 1.45f64.powi(j);
            let deviation = 0.005 * f64::from((37 * i + 61 * j) % 101 - 50) / 50.0;
            n.push(size);
            d.push(tokens);
            target.push((1.8172 + 482.01 / size.powf(0.3478) + 2085.43 / tokens.powf(0.3658)) * deviation.exp());
        }
    }
    Data { target, inputs: vec![n, d], ..Data::default() }
}
