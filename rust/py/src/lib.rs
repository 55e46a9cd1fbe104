//! Python bindings: arrays in, arrays out, and the long calls that let Python go on meanwhile. No mathematics.

mod bootstrap;
mod fit;
mod law;
mod profile;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::bootstrap::PyResampling;
    #[pymodule_export]
    use super::fit::{PyProblem, basins, sobol};
    #[pymodule_export]
    use super::law::PyLaw;
    #[pymodule_export]
    use super::profile::walk;
    #[pymodule_export]
    use super::{build_info, isa};
    use pyo3::prelude::*;

    /// Loads the C interface of `NumPy` while nothing can interrupt: it panics if it is first needed during a Ctrl-C.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let _ = numpy::PyArray1::<f64>::zeros(module.py(), 0, false);
        module.delattr("__all__").or_else(|_| Ok(()))
    }
}

/// Name of the instruction set that the kernels use.
#[pyfunction]
fn isa() -> PyResult<&'static str> {
    match scalinglaws_core::math::Isa::from_env() {
        Ok(isa) => Ok(isa.name()),
        Err(message) => Err(pyo3::exceptions::PyValueError::new_err(message)),
    }
}

/// How the extension was built.
#[pyfunction]
fn build_info() -> std::collections::BTreeMap<&'static str, &'static str> {
    std::collections::BTreeMap::from([
        ("version", env!("CARGO_PKG_VERSION")),
        ("profile", if cfg!(debug_assertions) { "debug" } else { "release" }),
        ("target", std::env::consts::ARCH),
        ("isa", scalinglaws_core::math::Isa::detect().name()),
    ])
}

/// Exceptions of the Python package, looked up when first raised.
mod errors {
    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;
    use scalinglaws_core::Error;

    mod python {
        pyo3::import_exception!(scalinglaws.errors, FormulaError);
        pyo3::import_exception!(scalinglaws.errors, DataError);
        pyo3::import_exception!(scalinglaws.errors, BackendError);
    }

    /// Formula error with its position in characters.
    pub(crate) fn formula(error: &scalinglaws_core::formula::FormulaError) -> PyErr {
        let start = error.span().start.min(error.text().len());
        let position = error.text().get(..start).map_or(0, |before| before.chars().count());
        python::FormulaError::new_err((error.message().to_owned(), error.text().to_owned(), position))
    }

    /// Any error of the core as the exception that users know.
    pub(crate) fn core(error: &Error) -> PyErr {
        match error {
            Error::Formula(inner) => formula(inner),
            Error::Data { column, row, .. } => {
                python::DataError::new_err((error.to_string(), column.clone(), vec![*row]))
            }
            Error::Undefined { columns, row } => {
                python::DataError::new_err((error.to_string(), columns.clone(), vec![*row]))
            }
            _ => PyValueError::new_err(error.to_string()),
        }
    }

    /// A bug of ours, told as an exception.
    pub(crate) fn internal(what: &str) -> PyErr {
        python::BackendError::new_err(format!("internal error, please report it: {what}"))
    }
}
