"""Fit neural scaling laws to tables of training runs.

>>> import scalinglaws as sl
>>> sl.laws.chinchilla.formula
'L ~ E + A / N**alpha + B / D**beta'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .declared import Design
from .each import Fits, fit_each
from .errors import BackendError, DataError, FitWarning, FormulaError
from .fit import fit
from .law import Check, Law, Published
from .laws import laws
from .losses import Loss, absolute, cauchy, huber, quantile, soft_l1, squared
from .param import Param
from .priors import Prior, lognormal, normal
from .procedures import PACKAGES
from .records import Basin, FittedParam, Prediction, Refits
from .result import Fit
from .serialize import load

if TYPE_CHECKING:
    from . import rules, schedules, theory
    from .posterior.draws import Posterior
    from .uncertainty.bootstrap import Bootstrap
    from .uncertainty.derived import Derived
    from .uncertainty.diagnostics import Diagnostics
    from .uncertainty.intervals import Interval
    from .uncertainty.jackknife import Jackknife
    from .uncertainty.profile import Profile
    from .uncertainty.region import ProfileRegion

# Answers that only some fits are asked for; their modules are read when they are.
_LATER = {
    "Bootstrap": "uncertainty.bootstrap",
    "Derived": "uncertainty.derived",
    "Diagnostics": "uncertainty.diagnostics",
    "Interval": "uncertainty.intervals",
    "Jackknife": "uncertainty.jackknife",
    "Posterior": "posterior.draws",
    "Profile": "uncertainty.profile",
    "ProfileRegion": "uncertainty.region",
}

__all__ = [
    "BackendError",
    "Basin",
    "Bootstrap",
    "Check",
    "DataError",
    "Derived",
    "Design",
    "Diagnostics",
    "Fit",
    "FitWarning",
    "Fits",
    "FittedParam",
    "FormulaError",
    "Interval",
    "Jackknife",
    "Law",
    "Loss",
    "Param",
    "Posterior",
    "Prediction",
    "Prior",
    "Profile",
    "ProfileRegion",
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
    "rules",
    "schedules",
    "soft_l1",
    "squared",
    "theory",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from ._core import build_info

        return build_info()["version"]
    # The packages of procedures load when they are first named.
    if name in PACKAGES:
        return import_module(f"{__name__}.{name}")
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
