"""Profile likelihood of one parameter: interval, curve, and the refits behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .constrained import Constrained, Point, check_options
from .inference import CovKind
from .region import ProfileRegion, profile_pair

if TYPE_CHECKING:
    from .result import Fit

__all__ = ["End", "Profile", "ProfileRegion", "profile", "profile_pair"]

End: TypeAlias = Literal["found", "bound", "open", "failed"]

# Doublings of the first step before a side counts as open: 2**60 standard errors.
_DOUBLINGS = 60
# A statistic that grew by less than this while the step doubled has reached its limit.
_LEVELLED = 1e-7
# Logarithms beyond which positive parameters are not followed: 1e-280 and 1e280.
_FAR = 644.0


@dataclass(frozen=True, eq=False)
class Profile:
    """Profile-likelihood interval and curve of one parameter.

    Parameters
    ----------
    name : str
        The parameter.
    value : float
        Its best value, natural units.
    level : float
        Coverage of the interval.
    kind : {"sandwich", "classical", "hessian"}
        What gave the scale of the noise.
    lower, upper : float
        Ends of the interval: the bound of the domain where the data do not keep the parameter away from it,
        infinite where nothing limits it, NaN where the refits failed.
    lower_end, upper_end : {"found", "bound", "open", "failed"}
        How each end came about.
    threshold : float
        The statistic at an end that was found.
    minimum : float
        Objective of the fit.
    kappa : float
        Divisor of the statistic.
    values : ndarray of float, shape (m,)
        Held values of the curve, rising, the best value and the ends among them.
    objective : ndarray of float, shape (m,)
        Lowest objective at each.
    names : tuple of str
        All parameters, one per column of `theta`.
    theta : ndarray of float, shape (m, q)
        All parameters at each held value.
    refits : int
        Constrained refits that were made.
    message : str
        What is special about the result; empty if nothing.
    """

    name: str
    value: float
    level: float
    kind: CovKind
    lower: float
    upper: float
    lower_end: End
    upper_end: End
    threshold: float
    minimum: float
    kappa: float
    values: NDArray[np.float64]
    objective: NDArray[np.float64]
    names: tuple[str, ...]
    theta: NDArray[np.float64]
    refits: int
    message: str

    @property
    def statistic(self) -> NDArray[np.float64]:
        """2 (F - F_min) / kappa along the curve, shape (m,)."""
        return np.maximum(2.0 * (self.objective - self.minimum) / self.kappa, 0.0)

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end."""
        return self.lower, self.upper

    @property
    def one_sided(self) -> bool:
        """Whether exactly one end was found and the other is a bound or open."""
        return (self.lower_end == "found") != (self.upper_end == "found")

    def __repr__(self) -> str:
        note = f"; {self.message}" if self.message else ""
        return f"<Profile of {self.name}: {self.value:.6g}, {self.level:.0%} {self.lower:.6g} to {self.upper:.6g}{note}>"


@dataclass(frozen=True)
class _Side:
    """Where a search to one side ended."""

    u: float
    end: End
    note: str = ""


def profile(
    fit: Fit, name: str, *, level: float, kind: CovKind | None = None, by: Any = None, points: int = 25
) -> Profile:
    """Return the profile of one parameter; see `Fit.profile`.

    Parameters
    ----------
    fit : Fit
        The fit.
    name : str
        A fitted parameter.
    level : float
        Coverage of the interval.
    kind, by
        What gives the scale of the noise.
    points : int
        Values along the curve.

    Returns
    -------
    Profile
        The interval and the curve.

    Raises
    ------
    ValueError
        If the parameter or an option is not understood, or the fit cannot be profiled.
    """
    from scipy.special import stdtrit

    check_options(level, points)
    path = Constrained(fit, [name], kind, by)
    t = float(stdtrit(path.noise.dof, 0.5 * (1.0 + level)))
    step = _first_step(path, t)
    low = _search(path, -1, t, step)
    high = _search(path, 1, t, step)
    if points:
        for u in _grid(path, low, high, points):
            path.refit((u,))
    found = {point.at[0]: point for point in path.points}
    curve = [found[u] for u in sorted(found) if _shown(u, path, low, high)]
    if not points:
        ends = {path.origin[0], low.u, high.u}
        curve = [point for point in curve if point.at[0] in ends]
    theta = np.array([point.theta for point in curve])
    notes = [side.note for side in (low, high) if side.note] + path.messages()
    return Profile(
        name=name,
        value=float(path.best[path.held[0]]),
        level=float(level),
        kind=path.noise.kind,
        lower=_reported(path, low, -1),
        upper=_reported(path, high, 1),
        lower_end=low.end,
        upper_end=high.end,
        threshold=t * t,
        minimum=path.minimum,
        kappa=path.noise.kappa(np.ones(1)),
        values=theta[:, path.held[0]].copy(),
        objective=np.array([point.objective for point in curve]),
        names=fit.names,
        theta=fit._binding.expand(path.problem, theta),
        refits=len(path.points) - 1,
        message="; ".join(notes),
    )


def _first_step(path: Constrained, t: float) -> float:
    """Half-width of the interval by the standard error, in working coordinates."""
    value = float(path.best[path.held[0]])
    error = math.sqrt(path.noise.cov[0, 0]) if path.noise.cov[0, 0] > 0.0 else math.nan
    step = t * error / (value if path.logs[0] and value > 0.0 else 1.0)
    if not math.isfinite(step) or step <= 0.0:
        step = 0.1 if path.logs[0] else 0.1 * max(abs(path.origin[0]), 1.0)
    # In logarithms an error of the size of the value says only that the scale is e.
    return min(step, 1.0) if path.logs[0] else step


def _search(path: Constrained, side: int, t: float, step: float) -> _Side:
    """Walk outwards until the statistic passes the threshold, then close in."""
    from scipy.optimize import brentq

    origin, log = path.origin[0], path.logs[0]
    low, high = path.bounds[0]
    edge = (-_FAR if log else low) if side < 0 else (_FAR if log and math.isinf(high) else high)
    where = "lower" if side < 0 else "upper"
    bounded = math.isfinite(low if side < 0 else high)
    name = path.names[0]
    if math.isfinite(edge) and (edge - origin) * side <= 1e-10 * max(1.0, abs(edge)):
        return _Side(origin, "bound", f"{name} is at its {where} bound, so its interval has one side")
    inside, height = origin, 0.0
    levelled = 0
    for _ in range(_DOUBLINGS):
        u = origin + side * step
        if (u - edge) * side >= 0.0:
            u = edge
        point = path.refit((u,))
        z = math.sqrt(path.statistic(point))
        if not math.isfinite(z):
            return _Side(
                inside,
                "failed",
                f"no refit of {name} beyond {path.natural((inside,))[0]:.6g} is finite, so its {where} end is unknown",
            )
        if z >= t:
            known = {inside: height, u: z}

            def excess(at: float, known: dict[float, float] = known) -> float:
                if at not in known:
                    known[at] = math.sqrt(path.statistic(path.refit((at,))))
                return known[at] - t

            root = brentq(excess, inside, u, xtol=4e-16 * max(1.0, abs(u)), rtol=4e-15, maxiter=200)
            # The root may be a point that only the bracket knows.
            excess(float(root))
            return _Side(float(root), "found")
        levelled = levelled + 1 if abs(z - height) <= _LEVELLED * t and step > 4.0 else 0
        inside, height = u, z
        if u == edge or levelled >= 3:
            break
        step *= 2.0
    if bounded:
        at = low if side < 0 else high
        return _Side(
            inside, "bound", f"the data do not keep {name} from its {where} bound {at:g}, so its interval has one side"
        )
    return _Side(inside, "open", f"nothing limits {name} on its {where} side: the statistic stays at {height**2:.3g}")


def _reported(path: Constrained, side: _Side, sign: int) -> float:
    if side.end == "found":
        return path.natural((side.u,))[0]
    if side.end == "failed":
        return math.nan
    if side.end == "open":
        return sign * math.inf
    return path.bounds[0][0 if sign < 0 else 1]


def _grid(path: Constrained, low: _Side, high: _Side, points: int) -> list[float]:
    """Values of the curve, from the best one outwards so that each refit starts beside a known one."""
    origin = path.origin[0]
    left, right = _reach(path, low, high)
    values = [float(u) for u in np.linspace(left, right, points)]
    known = {point.at[0] for point in path.points}
    return sorted((u for u in values if u not in known), key=lambda u: abs(u - origin))


def _reach(path: Constrained, low: _Side, high: _Side) -> tuple[float, float]:
    """Ends of the curve: a fifth beyond ends that were found, as far as the other side elsewhere."""
    origin = path.origin[0]
    found = [abs(side.u - origin) for side in (low, high) if side.end == "found"]
    span = max(found, default=_first_step(path, 3.0))
    ends = []
    for side, sign in ((low, -1), (high, 1)):
        far = origin + sign * 1.2 * (abs(side.u - origin) if side.end == "found" else span)
        if not path.logs[0]:
            far = min(max(far, path.bounds[0][0]), path.bounds[0][1])
        if side.end == "failed":
            far = max(far, side.u) if sign < 0 else min(far, side.u)
        ends.append(far)
    return ends[0], ends[1]


def _shown(u: float, path: Constrained, low: _Side, high: _Side) -> bool:
    """Whether a point belongs to the curve: searches also leave points far beyond it."""
    left, right = _reach(path, low, high)
    slack = 1e-9 * (right - left)
    return left - slack <= u <= right + slack
