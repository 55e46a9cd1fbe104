//! The law class.

use crate::errors;
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use scalinglaws_core::{Law, Param, ParamKind, Quantity};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Compiled formula.
#[pyclass(name = "Law", module = "scalinglaws._core", frozen)]
pub(crate) struct PyLaw(pub(crate) Arc<Law>);

#[pymethods]
impl PyLaw {
    #[new]
    #[allow(clippy::needless_pass_by_value)]
    fn new(formula: &str, params: Vec<(String, String, f64, f64)>) -> PyResult<Self> {
        let params = params
            .into_iter()
            .map(|(name, kind, lo, hi)| {
                let kind = match kind.as_str() {
                    "real" => ParamKind::Real,
                    "positive" => ParamKind::Positive,
                    "box" => ParamKind::Box(lo, hi),
                    _ => return Err(PyValueError::new_err(format!("unknown parameter kind {kind:?}"))),
                };
                Ok(Param::new(name, kind))
            })
            .collect::<PyResult<Vec<_>>>()?;
        Law::new(formula, params).map(|law| Self(Arc::new(law))).map_err(|e| errors::formula(&e))
    }

    #[getter]
    fn formula(&self) -> &str {
        &self.0.formula().text
    }

    #[getter]
    fn target(&self) -> Option<&str> {
        self.0.formula().target.as_deref()
    }

    #[getter]
    fn params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.params().iter().map(|p| p.name.as_str()))
    }

    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.inputs())
    }

    #[getter]
    fn groups<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let groups = PyDict::new(py);
        for (param, group) in self.0.params().iter().zip(self.0.group_of_slot()) {
            if let Some(group) = group {
                groups.set_item(&param.name, &self.0.group_columns()[group])?;
            }
        }
        Ok(groups)
    }

    fn latex(&self) -> String {
        self.0.formula().latex()
    }

    #[allow(clippy::needless_pass_by_value)]
    fn substitute(&self, ties: BTreeMap<String, String>) -> PyResult<String> {
        self.0.substitute(&ties).map(|formula| formula.to_string()).map_err(|e| errors::formula(&e))
    }

    #[allow(clippy::needless_pass_by_value)]
    fn value<'py>(
        &self,
        py: Python<'py>,
        columns: Vec<PyReadonlyArray1<'py, f64>>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(self.evaluate(py, &Quantity::Value, &columns)?.into_pyarray(py))
    }

    #[allow(clippy::needless_pass_by_value)]
    fn gradient<'py>(
        &self,
        py: Python<'py>,
        columns: Vec<PyReadonlyArray1<'py, f64>>,
        wrt: Vec<String>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let width = wrt.len();
        if width == 0 {
            return Err(PyValueError::new_err("wrt must name at least one parameter or input"));
        }
        let flat = self.evaluate(py, &Quantity::Gradient(wrt), &columns)?;
        let rows = flat.len() / width;
        flat.into_pyarray(py).reshape([rows, width])
    }

    #[allow(clippy::needless_pass_by_value)]
    fn hessian<'py>(
        &self,
        py: Python<'py>,
        columns: Vec<PyReadonlyArray1<'py, f64>>,
        wrt: Vec<String>,
    ) -> PyResult<Bound<'py, PyArray3<f64>>> {
        let width = wrt.len();
        if width == 0 {
            return Err(PyValueError::new_err("wrt must name at least one parameter or input"));
        }
        let flat = self.evaluate(py, &Quantity::Hessian(wrt), &columns)?;
        let rows = flat.len() / (width * width);
        flat.into_pyarray(py).reshape([rows, width, width])
    }
}

impl PyLaw {
    fn evaluate(
        &self,
        py: Python<'_>,
        quantity: &Quantity,
        columns: &[PyReadonlyArray1<'_, f64>],
    ) -> PyResult<Vec<f64>> {
        // Copied: another thread may write to the arrays while the GIL is released.
        let columns = columns.iter().map(copy).collect::<PyResult<Vec<_>>>()?;
        let slices: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        py.detach(|| self.0.evaluate(quantity, &slices)).map_err(|e| errors::core(&e))
    }
}

/// Elements of a one-dimensional array.
pub(crate) fn slice<'a, T: numpy::Element>(array: &'a PyReadonlyArray1<'_, T>) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|_| PyValueError::new_err("arrays must be C-contiguous"))
}

/// Copy of a one-dimensional array.
pub(crate) fn copy<T: numpy::Element + Copy>(array: &PyReadonlyArray1<'_, T>) -> PyResult<Vec<T>> {
    slice(array).map(<[T]>::to_vec)
}

/// Copy of a two-dimensional array with this many columns, row by row; `name` is what messages call it.
pub(crate) fn copy_rows(array: &PyReadonlyArray2<'_, f64>, name: &str, columns: usize) -> PyResult<Vec<f64>> {
    if array.shape()[1] != columns {
        return Err(PyValueError::new_err(format!("{name} must have {columns} columns, not {}", array.shape()[1])));
    }
    let slice = array.as_slice().map_err(|_| PyValueError::new_err("arrays must be C-contiguous"))?;
    Ok(slice.to_vec())
}
