"""Fit neural scaling laws to tables of training runs.

>>> import scalinglaws as sl
>>> sl.laws.chinchilla.formula
'L ~ E + A / N**alpha + B / D**beta'
"""

from typing import Any

from .bootstrap import Bootstrap, Derived
from .declared import Design
from .each import fit_each
from .errors import BackendError, DataError, FitWarning, FormulaError
from .fit import fit
from .fits import Fits
from .intervals import Interval
from .law import Check, Law, Published
from .laws import laws
from .losses import Loss, absolute, cauchy, huber, quantile, soft_l1, squared
from .param import Param
from .priors import Prior, lognormal, normal
from .records import Basin, FittedParam, Prediction, Refits
from .result import Fit
from .serialize import load

__all__ = [
    "BackendError",
    "Basin",
    "Bootstrap",
    "Check",
    "DataError",
    "Derived",
    "Design",
    "Fit",
    "FitWarning",
    "Fits",
    "FittedParam",
    "FormulaError",
    "Interval",
    "Law",
    "Loss",
    "Param",
    "Prediction",
    "Prior",
    "Published",
    "Refits",
    "__version__",
    "absolute",
    "cauchy",
    "fit",
    "fit_each",
    "huber",
    "laws",
    "load",
    "lognormal",
    "normal",
    "quantile",
    "soft_l1",
    "squared",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from ._core import build_info

        return build_info()["version"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
