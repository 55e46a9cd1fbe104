//! Replicates and their refits.

use crate::errors;
use crate::fit::{PyProblem, to_dict, watch};
use crate::law::{copy, copy_rows};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use scalinglaws_core::Problem;
use scalinglaws_core::search::{self, Factor, Replicate, Resampling, Scheme, StartRange, Starts};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A problem with a way to make replicates of its rows.
#[pyclass(name = "Resampling", module = "scalinglaws._core", frozen)]
pub(crate) struct PyResampling {
    problem: Arc<Problem>,
    resampling: Arc<Resampling>,
}

#[pymethods]
impl PyResampling {
    #[new]
    #[allow(clippy::needless_pass_by_value)]
    fn new(
        problem: &PyProblem,
        scheme: &str,
        clusters: Option<PyReadonlyArray1<'_, u32>>,
        fitted: PyReadonlyArray1<'_, f64>,
        noise: PyReadonlyArray1<'_, f64>,
        scale: PyReadonlyArray1<'_, f64>,
        about: Option<PyReadonlyArray1<'_, f64>>,
    ) -> PyResult<Self> {
        let (fitted, noise, scale) = (copy(&fitted)?, copy(&noise)?, copy(&scale)?);
        let scheme = match scheme {
            "pairs" => Scheme::Pairs,
            "leave out" => Scheme::LeaveOut,
            "rademacher" => Scheme::Wild { fitted, noise, factor: Factor::Rademacher },
            "webb" => Scheme::Wild { fitted, noise, factor: Factor::Webb },
            "residual" => Scheme::Residual { fitted, pool: noise, scale },
            "parametric" => Scheme::Parametric { fitted, scale },
            _ => return Err(PyValueError::new_err(format!("unknown scheme {scheme:?}"))),
        };
        let clusters = clusters.as_ref().map(copy).transpose()?;
        let problem = problem.0.clone();
        let mut resampling = Resampling::new(&problem, scheme, clusters.as_deref()).map_err(|e| errors::core(&e))?;
        if let Some(about) = about {
            resampling = resampling.with_priors_about(&problem, &copy(&about)?).map_err(|e| errors::core(&e))?;
        }
        Ok(Self { problem, resampling: Arc::new(resampling) })
    }

    #[getter]
    fn units(&self) -> usize {
        self.resampling.units()
    }

    #[getter]
    fn unit<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        self.resampling.unit().to_vec().into_pyarray(py)
    }

    /// Row weights, targets and centres of priors of one replicate; no targets or centres where they are those of the
    /// problem.
    fn replicate<'py>(&self, py: Python<'py>, seed: u64, index: u64) -> ThreeArrays<'py> {
        let mut out = Replicate::default();
        self.resampling.replicate(seed, index, &mut out);
        (out.weights.into_pyarray(py), out.target.into_pyarray(py), out.centers.into_pyarray(py))
    }

    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
    fn refit<'py>(
        &self,
        py: Python<'py>,
        warm: PyReadonlyArray2<'py, f64>,
        cold: PyReadonlyArray2<'py, f64>,
        fresh: usize,
        ranges: Vec<(f64, f64, bool)>,
        seed: u64,
        first: u64,
        stop: u64,
        max_iter: Option<usize>,
        threads: Option<NonZeroUsize>,
        progress: Option<Bound<'py, PyAny>>,
        keep_partial: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        let k = self.problem.expanded();
        let rows = |array: &PyReadonlyArray2<'_, f64>| copy_rows(array, "starts", k);
        let ranges = ranges.into_iter().map(|(low, high, log)| StartRange { low, high, log }).collect();
        let starts = Starts { warm: rows(&warm)?, cold: rows(&cold)?, fresh, ranges };
        let (problem, resampling) = (self.problem.clone(), self.resampling.clone());
        let refitted = watch(py, threads, progress, keep_partial, move |control| {
            search::bootstrap(&problem, &resampling, &starts, seed, first..stop, max_iter, control)
        })?;
        let dict = to_dict(py, refitted.report, k)?;
        let start: Vec<i64> = refitted.start.into_iter().map(|s| i64::try_from(s).unwrap_or(i64::MAX)).collect();
        dict.set_item("start", start.into_pyarray(py))?;
        Ok(dict)
    }
}

type ThreeArrays<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);
