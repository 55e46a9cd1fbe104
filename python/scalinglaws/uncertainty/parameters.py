"""Confidence intervals of all parameters of a fit, by profiles or by standard errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import near
from ..executors import Workers
from ..inference import CovKind
from ..verdict import at_bounds
from .clusters import read_clusters
from .intervals import Interval, check_level
from .profile import profile
from .sandwich import degrees

if TYPE_CHECKING:
    from ..result import Fit

__all__ = ["parameter_intervals"]

_METHODS = ("profile", "delta")


def parameter_intervals(
    fit: Fit, level: float, kind: CovKind | None, by: Any, method: str
) -> dict[str, Interval]:
    """Return an interval for each parameter; see `Fit.conf_int`."""
    level = check_level(level)
    if method not in _METHODS:
        raise ValueError(f"method must be 'profile' or 'delta', not {method!r}.{near(str(method), _METHODS)}")
    kind = fit._interval_kind(kind, by)
    values, errors = fit.values, np.sqrt(np.diagonal(fit.cov(kind, by=by)))
    fitted = {name for name, free in zip(fit._problem.names, fit._problem.free, strict=True) if free}
    half = dict(zip(fit.names, (_quantiles(fit, level, kind, by) * errors).tolist(), strict=True))
    out = {}
    for name in fit.names:
        owner = fit.law.params[name.partition("[")[0]]
        if math.isnan(half[name]) and name not in fit._at_bound:
            ends = ("bound" if math.isfinite(bound) else "open" for bound in owner.bounds)
            out[name] = Interval(*owner.bounds, *ends)  # type: ignore[arg-type]
        elif method == "profile" and name in fitted:
            found = profile(fit, name, level=level, kind=kind, by=by, points=0, workers=Workers(None))
            out[name] = Interval(found.lower, found.upper, found.lower_end, found.upper_end)
        elif name in fit._at_bound:
            out[name] = Interval(math.nan, math.nan)
        else:
            out[name] = _around(values[name], half[name], owner.kind == "positive", owner.bounds)
    return out


def _around(value: float, half: float, log: bool, bounds: tuple[float, float]) -> Interval:
    """Interval about a value, on the logarithm of a positive one, inside its domain."""
    if half == 0.0:
        return Interval(value, value)
    if log and value > 0.0:
        reach = math.exp(min(half / value, 700.0))
        return Interval(value / reach, value * reach)
    lower, upper = value - half, value + half
    return Interval(
        max(lower, bounds[0]),
        min(upper, bounds[1]),
        "found" if lower > bounds[0] else "bound",
        "found" if upper < bounds[1] else "bound",
    )


def _quantiles(fit: Fit, level: float, kind: CovKind, by: Any) -> NDArray[np.float64]:
    """Quantile of Student's t for each parameter, in the order of the names."""
    from scipy.special import stdtrit

    dof = np.full(len(fit.names), float(fit.dof) if fit.dof > 0 else math.nan)
    if kind == "sandwich" and fit.dof > 0 and (by is not None or not fit.loss.robust):
        problem = fit._need_rows("intervals of the sandwich")
        chosen = problem.free & (at_bounds(problem, fit._theta) == 0)
        codes = None if by is None else read_clusters(fit, by).codes
        jacobian = fit._binding.jacobian(problem, fit._theta)[:, chosen]
        with np.errstate(all="ignore"):
            found = degrees(problem, fit._theta, chosen, fit.dof, jacobian, codes)
        dof = np.where(np.isfinite(found), found, dof)
    return np.asarray(stdtrit(dof, 0.5 * (1.0 + level)))
