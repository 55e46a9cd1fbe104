"""Profile likelihood of one parameter: interval, curve, and the refits behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..executors import Workers
from ..inference import CovKind
from ..lines import FAR
from .constrained import Constrained, Found, check_options
from .intervals import End

if TYPE_CHECKING:
    from ..result import Fit

__all__ = ["Profile", "profile"]

# Doublings beyond this on level ground end a search.
_LEVEL_STEP = 4.0


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
        Ends of the interval: the bound of the domain (or the edge beyond which the law is not finite) where
        the data do not keep the parameter away from it, infinite where nothing limits it.
    lower_end, upper_end : {"found", "bound", "open"}
        How each end came about.
    threshold : float
        The statistic at an end that was found.
    minimum : float
        Objective of the fit.
    kappa : float
        Divisor of the statistic.
    dof : float
        Degrees of freedom of the threshold.
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
    dof: float
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
        ends = f"{self.level:.3g} interval {self.lower:.6g} to {self.upper:.6g}"
        return f"<Profile of {self.name}: {self.value:.6g}, {ends}{note}>"


@dataclass(frozen=True)
class _Side:
    """Where a search to one side ended, in working coordinates, and what to report if not that."""

    u: float
    end: End
    value: float | None = None
    note: str = ""


def profile(
    fit: Fit,
    name: str,
    *,
    level: float,
    kind: CovKind | None = None,
    by: Any = None,
    points: int = 25,
    threshold: float | None = None,
    workers: Workers,
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
    threshold : float, optional
        The statistic at the ends, in place of the one that the level asks for.
    workers : Workers
        Who makes the refits. The two sides are independent: a refit of one knows no point of the other.

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
    t = float(stdtrit(path.noise.dof, 0.5 * (1.0 + level))) if threshold is None else math.sqrt(threshold)
    step = _first_step(path, t)
    sides = []
    for side, found in workers.run(_side, [(-1, t, step), (1, t, step)], shared=path):
        sides.append(side)
        path.join(found)
    low, high = sides
    if points:
        grid = _grid(path, low, high, points)
        halves = [[u for u in grid if u < path.origin[0]], [u for u in grid if u > path.origin[0]]]
        for found in workers.run(_half, halves, shared=path):
            path.join(found)
    known = {point.at[0]: point for point in path.points}
    curve = [known[u] for u in sorted(known) if _shown(u, path, low, high)]
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
        lower=path.natural((low.u,))[0] if low.value is None else low.value,
        upper=path.natural((high.u,))[0] if high.value is None else high.value,
        lower_end=low.end,
        upper_end=high.end,
        threshold=t * t,
        minimum=path.minimum,
        kappa=path.noise.kappa(np.ones(1)),
        dof=path.noise.dof,
        values=theta[:, path.held[0]].copy(),
        objective=np.array([point.objective for point in curve]),
        names=fit.names,
        theta=fit._binding.expand(path.problem, theta),
        refits=len(path.points) - 1,
        message="; ".join(notes),
    )


def _first_step(path: Constrained, t: float) -> float:
    """Half-width of the interval by the standard error, in working coordinates."""
    step = t * math.sqrt(path.noise.cov[0, 0]) if path.noise.cov[0, 0] > 0.0 else math.nan
    if not math.isfinite(step) or step <= 0.0:
        step = 0.1 if path.logs[0] else 0.1 * max(abs(path.origin[0]), 1.0)
    # In logarithms an error of the size of the value says only that the scale is e.
    return min(step, 1.0) if path.logs[0] else step


def _side(path: Constrained, task: tuple[int, float, float]) -> tuple[_Side, Found]:
    """Search one side in a branch of the path."""
    branch = path.branch()
    return _search(branch, *task), branch.found()


def _half(path: Constrained, values: list[float]) -> Found:
    """Refit at values of the curve on one side, in a branch of the path."""
    branch = path.branch()
    for u in values:
        branch.refit((u,))
    return branch.found()


def _search(path: Constrained, side: int, t: float, step: float) -> _Side:
    """Find the end on one side."""
    origin, name = path.origin[0], path.names[0]
    bound = path.bounds[0][0 if side < 0 else 1]
    where = "lower" if side < 0 else "upper"
    # Working coordinate at which the walk ends; positive parameters are followed nearly to 0 and infinity.
    edge = bound
    if path.logs[0]:
        edge = side * FAR if bound in (0.0, math.inf) else math.log(bound)
    if math.isfinite(edge) and (edge - origin) * side <= 1e-10 * max(1.0, abs(edge)):
        note = f"{name} is at its {where} bound {bound:g}, so its interval has one side"
        return _Side(origin, "bound", bound, note)
    stop, (u,) = path.walk([side], t, step, edge=(edge - origin) * side, level_step=_LEVEL_STEP)
    if stop == "found":
        return _Side(u, "found")
    reached = path.natural((u,))[0]
    if stop == "undefined":
        note = f"the law is not finite with {name} beyond {reached:.6g}, so its interval has one side"
        return _Side(u, "bound", reached, note)
    if math.isfinite(bound):
        note = f"the data do not keep {name} from its {where} bound {bound:g}, so its interval has one side"
        return _Side(u, "bound", bound, note)
    last = path.statistic(next(point for point in reversed(path.points) if point.at == (u,)))
    note = f"nothing limits {name} on its {where} side: the statistic stays at {last:.3g}"
    return _Side(u, "open", side * math.inf, note)


def _grid(path: Constrained, low: _Side, high: _Side, points: int) -> list[float]:
    """Values of the curve, from the best one outwards so that each refit starts beside a known one."""
    origin = path.origin[0]
    left, right = _reach(path, low, high)
    values = [float(u) for u in np.linspace(left, right, points)]
    known = {point.at[0] for point in path.points}
    return sorted((u for u in values if u not in known), key=lambda u: abs(u - origin))


def _reach(path: Constrained, low: _Side, high: _Side) -> tuple[float, float]:
    """Return the ends of the curve: a fifth beyond what was found, elsewhere as far as the other side."""
    origin = path.origin[0]
    found = [abs(side.u - origin) for side in (low, high) if side.end == "found"]
    span = max(found, default=_first_step(path, 3.0))
    ends = []
    for side, sign in ((low, -1), (high, 1)):
        far = origin + sign * 1.2 * (abs(side.u - origin) if side.end == "found" else span)
        if side.end == "bound":
            far = max(far, side.u) if sign < 0 else min(far, side.u)
        if not path.logs[0]:
            far = min(max(far, path.bounds[0][0]), path.bounds[0][1])
        ends.append(far)
    return ends[0], ends[1]


def _shown(u: float, path: Constrained, low: _Side, high: _Side) -> bool:
    """Whether a point belongs to the curve: searches also leave points far beyond it."""
    left, right = _reach(path, low, high)
    slack = 1e-9 * (right - left)
    return left - slack <= u <= right + slack
