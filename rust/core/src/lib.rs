//! Compile scaling-law formulas to vector kernels and fit them.
//!
//! A law is a formula with a domain for each parameter. [`Law`] parses it and derives everything else: values, exact
//! derivatives, the coordinates in which the solver works. [`Problem`] binds a law to data, a residual space and a
//! robust loss; [`search::multistart`] fits it from many starts in parallel.
//!
//! ```
//! use scalinglaws_core::{Data, Law, Loss, Options, Param, ParamKind, Problem, Residual, run::Control, search};
//! use std::sync::Arc;
//!
//! // Losses of nine runs that follow the Chinchilla law exactly.
//! let truth = |n: f64, d: f64| 1.69 + 406.4 / n.powf(0.34) + 410.7 / d.powf(0.28);
//! let (mut n, mut d, mut loss) = (vec![], vec![], vec![]);
//! for size in [1e7, 1e8, 1e9] {
//!     for tokens in [1e9, 1e10, 1e11] {
//!         n.push(size);
//!         d.push(tokens);
//!         loss.push(truth(size, tokens));
//!     }
//! }
//! let names = ["E", "A", "B", "alpha", "beta"];
//! let params = names.map(|name| Param::new(name, ParamKind::Positive)).to_vec();
//! let law = Arc::new(Law::new("L ~ E + A / N**alpha + B / D**beta", params)?);
//!
//! let data = Data { target: loss, inputs: vec![n, d], ..Data::default() };
//! let options = Options { residual: Residual::Log, loss: Loss::Huber(1e-3), ..Options::default() };
//! let problem = Problem::new(law, &data, options)?;
//!
//! // Two starts, in the order of the parameters.
//! let starts = [1.0, 100.0, 100.0, 0.5, 0.5, 2.0, 1000.0, 1000.0, 0.3, 0.3];
//! let report = search::multistart(&problem, &starts, None, None, &Control::default())?;
//! let best = report.best().unwrap();
//! assert!(report.status[best].was_successful());
//! let alpha = report.theta[best * 5 + 3];
//! assert!((alpha - 0.34).abs() < 1e-6);
//! # Ok::<(), scalinglaws_core::Error>(())
//! ```
//!
//! The rooms, in the order in which data passes through them: [`formula`], [`graph`], [`program`], [`objective`],
//! [`solver`], [`search`]; each knows only those before it, and [`math`], [`linalg`].

pub mod error;
pub mod formula;
pub mod graph;
pub mod law;
pub mod linalg;
pub mod math;
pub mod objective;
pub mod program;
pub mod run;
pub mod search;
pub mod solver;

pub use error::Error;
pub use graph::ParamKind;
pub use law::{Law, Param, Quantity};
pub use objective::{Data, Loss, Options, Prior, PriorKind, Problem, Residual};
pub use solver::Status;
