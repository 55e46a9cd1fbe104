//! Walks along held parameters.

use crate::errors;
use crate::fit::{PyProblem, watch};
use crate::law::copy_rows;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2};
use pyo3::prelude::*;
use scalinglaws_core::search::{self, End, Held, Limits, Line};
use std::num::NonZeroUsize;

type Refits<'py> =
    (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<bool>>);

/// Walks away from an optimum along a line of held parameters until the statistic has passed a threshold. Returns how
/// and at what distance it ended, and distance, objective, parameters and convergence of every refit.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, clippy::too_many_arguments)]
pub(crate) fn walk<'py>(
    py: Python<'py>,
    problem: &PyProblem,
    held: Vec<(usize, f64, f64, bool, f64, f64)>,
    starts: PyReadonlyArray2<'py, f64>,
    minimum: f64,
    kappa: f64,
    threshold: f64,
    step: f64,
    edge: f64,
    level_step: f64,
) -> PyResult<(&'static str, f64, Refits<'py>)> {
    let problem = problem.0.clone();
    let k = problem.expanded();
    let starts = copy_rows(&starts, "starts", k)?;
    let held = held
        .into_iter()
        .map(|(index, origin, direction, log, low, high)| Held { index, origin, direction, log, bounds: (low, high) })
        .collect();
    let limits = Limits { threshold, step, edge, level_step };
    let found = watch(py, NonZeroUsize::new(1), None, false, move |control| {
        search::walk(&Line { problem: &problem, held, starts: &starts, minimum, kappa }, &limits, control)
    })?;
    let end = match found.end {
        End::Found => "found",
        End::Short => "short",
        End::Undefined => "undefined",
    };
    let rows = found.refits.len();
    let column = |value: fn(&search::Refit) -> f64| found.refits.iter().map(value).collect::<Vec<_>>();
    let (distance, objective) = (column(|refit| refit.distance), column(|refit| refit.objective));
    let converged: Vec<bool> = found.refits.iter().map(|refit| refit.converged).collect();
    let theta: Vec<f64> = found.refits.iter().flat_map(|refit| refit.theta.iter().copied()).collect();
    if theta.len() != rows * k {
        return Err(errors::internal("a refit has lost parameters"));
    }
    let theta = theta.into_pyarray(py).reshape([rows, k])?;
    let refits = (distance.into_pyarray(py), objective.into_pyarray(py), theta, converged.into_pyarray(py));
    Ok((end, found.distance, refits))
}
