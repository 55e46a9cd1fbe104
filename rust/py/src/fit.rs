//! The problem class and the long calls.

use crate::errors;
use crate::law::{PyLaw, copy, copy_rows, slice};
use numpy::{IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use scalinglaws_core::objective::View;
use scalinglaws_core::run::{Control, pool};
use scalinglaws_core::search::{self, Report};
use scalinglaws_core::{Error, Loss, Options, Prior, PriorKind, Problem, Residual, Status};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often the calling thread looks for signals and reports progress.
const WAKE: Duration = Duration::from_millis(100);

/// Law bound to data and options.
#[pyclass(name = "Problem", module = "scalinglaws._core", frozen)]
pub(crate) struct PyProblem(pub(crate) Arc<Problem>);

#[pymethods]
impl PyProblem {
    #[new]
    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
    fn new(
        py: Python<'_>,
        law: &PyLaw,
        target: PyReadonlyArray1<'_, f64>,
        inputs: Vec<PyReadonlyArray1<'_, f64>>,
        codes: Vec<PyReadonlyArray1<'_, u32>>,
        categories: Vec<usize>,
        weights: PyReadonlyArray1<'_, f64>,
        residual: &str,
        loss: &str,
        scale: f64,
        above: f64,
        fixed: PyReadonlyArray1<'_, f64>,
        priors: Vec<(usize, String, f64, f64)>,
    ) -> PyResult<Self> {
        // Python hands over private copies, and the problem lays them out anew: a third copy is not needed.
        let data = View {
            target: slice(&target)?,
            inputs: inputs.iter().map(slice).collect::<PyResult<_>>()?,
            codes: codes.iter().map(slice).collect::<PyResult<_>>()?,
            categories: &categories,
            weights: Some(slice(&weights)?),
        };
        let residual = match residual {
            "linear" => Residual::Linear,
            "log" => Residual::Log,
            _ => return Err(PyValueError::new_err(format!("residual must be 'linear' or 'log', not {residual:?}"))),
        };
        let priors = priors
            .into_iter()
            .map(|(index, kind, center, width)| {
                let kind = match kind.as_str() {
                    "normal" => PriorKind::Normal,
                    "lognormal" => PriorKind::LogNormal,
                    _ => return Err(PyValueError::new_err(format!("unknown prior {kind:?}"))),
                };
                Ok(Prior { index, kind, center, width })
            })
            .collect::<PyResult<Vec<_>>>()?;
        let loss = Loss::new(loss, scale).map_err(|e| errors::core(&Error::Loss(e)))?;
        let options = Options { residual, loss, above, fixed: copy(&fixed)?, priors };
        let law = law.0.clone();
        py.detach(|| Problem::new(law, data, options))
            .map(|problem| Self(Arc::new(problem)))
            .map_err(|e| errors::core(&e))
    }

    #[allow(clippy::needless_pass_by_value)]
    fn objective(&self, theta: PyReadonlyArray1<'_, f64>) -> PyResult<f64> {
        self.0.objective(&copy(&theta)?).map_err(|e| errors::core(&e))
    }

    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
    fn solve<'py>(
        &self,
        py: Python<'py>,
        starts: PyReadonlyArray2<'py, f64>,
        screen: Option<usize>,
        weights: Option<PyReadonlyArray2<'py, f64>>,
        max_iter: Option<usize>,
        threads: Option<NonZeroUsize>,
        progress: Option<Bound<'py, PyAny>>,
        keep_partial: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        let k = self.0.expanded();
        let starts = copy_rows(&starts, "starts", k)?;
        let weights = weights.as_ref().map(|w| copy_rows(w, "weights", self.0.rows())).transpose()?;
        let problem = self.0.clone();
        let report = watch(py, threads, progress, keep_partial, move |control| match &weights {
            Some(weights) => search::refits(&problem, &starts, weights, max_iter, control),
            None => search::multistart(&problem, &starts, screen, max_iter, control),
        })?;
        to_dict(py, report, k)
    }
}

/// Runs a computation on the pool of this process while the calling thread serves signals and progress.
pub(crate) fn watch<T: Send + 'static>(
    py: Python<'_>,
    threads: Option<NonZeroUsize>,
    progress: Option<Bound<'_, PyAny>>,
    keep_partial: bool,
    job: impl FnOnce(&Control) -> Result<T, Error> + Send + 'static,
) -> PyResult<T> {
    let pool = pool(threads).map_err(|e| errors::internal(&e.to_string()))?;
    let control = Arc::new(Control::default());
    let (sender, receiver) = sync_channel(1);
    let shared = control.clone();
    pool.spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| job(&shared)));
        // The receiver is gone only if the caller was interrupted.
        let _ = sender.send(result);
    });
    let progress = progress.map(Bound::unbind);
    let receiver = Mutex::new(receiver);
    let outcome = py.detach(|| {
        let receiver = receiver.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut interrupt: Option<PyErr> = None;
        loop {
            match receiver.recv_timeout(WAKE) {
                Ok(result) => return Ok((result, interrupt)),
                Err(RecvTimeoutError::Timeout) => {
                    if interrupt.is_some() {
                        continue;
                    }
                    let call = Python::attach(|py| {
                        py.check_signals()?;
                        if let Some(progress) = &progress {
                            progress.call1(py, control.progress())?;
                        }
                        Ok(())
                    });
                    if let Err(error) = call {
                        control.request_cancel();
                        interrupt = Some(error);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err("a worker thread vanished"),
            }
        }
    });
    let (result, interrupt) = outcome.map_err(errors::internal)?;
    if let Some(error) = interrupt {
        let keep = keep_partial && error.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(py);
        if !keep {
            return Err(error);
        }
    }
    match result {
        Ok(Ok(report)) => {
            if let Some(progress) = progress {
                progress.call1(py, control.progress())?;
            }
            Ok(report)
        }
        Ok(Err(error)) => Err(errors::core(&error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(errors::internal(text.unwrap_or("panic")))
        }
    }
}

pub(crate) fn to_dict(py: Python<'_>, report: Report, k: usize) -> PyResult<Bound<'_, PyDict>> {
    let rows = report.objective.len();
    let dict = PyDict::new(py);
    let theta: Bound<'_, PyArray2<f64>> = report.theta.into_pyarray(py).reshape([rows, k])?;
    dict.set_item("theta", theta)?;
    dict.set_item("objective", report.objective.into_pyarray(py))?;
    dict.set_item("status", report.status.iter().map(|s| s.name()).collect::<Vec<_>>())?;
    let counts = |list: Vec<usize>| {
        list.into_iter().map(|n| i64::try_from(n).unwrap_or(i64::MAX)).collect::<Vec<_>>().into_pyarray(py)
    };
    dict.set_item("iterations", counts(report.iterations))?;
    dict.set_item("evaluations", counts(report.evaluations))?;
    dict.set_item("gradient", report.gradient.into_pyarray(py))?;
    dict.set_item("seconds", report.seconds)?;
    Ok(dict)
}

/// Groups fits that ended at the same optimum: (best, hits, members), best first.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn basins(
    theta: PyReadonlyArray2<'_, f64>,
    objective: PyReadonlyArray1<'_, f64>,
    status: Vec<String>,
) -> PyResult<Vec<(usize, usize, Vec<usize>)>> {
    let objective = copy(&objective)?;
    if theta.shape()[0] != objective.len() || status.len() != objective.len() {
        return Err(PyValueError::new_err("theta, objective and status must have the same length"));
    }
    let status: Vec<Status> = status
        .iter()
        .map(|name| Status::from_name(name).ok_or_else(|| PyValueError::new_err(format!("unknown status {name:?}"))))
        .collect::<PyResult<_>>()?;
    let found = search::basins(&objective, &status, 1e-24);
    Ok(found.into_iter().map(|b| (b.best, b.members.len(), b.members)).collect())
}

/// Scrambled Sobol points, shape (n, dim), in [0, 1).
#[pyfunction]
pub(crate) fn sobol(py: Python<'_>, n: usize, dim: usize, seed: u64) -> PyResult<Bound<'_, PyArray2<f64>>> {
    if dim == 0 {
        return Err(PyValueError::new_err("dim must be at least 1"));
    }
    let points = py.detach(|| search::sobol::sobol(n, dim, seed));
    points.into_pyarray(py).reshape([n, dim])
}
