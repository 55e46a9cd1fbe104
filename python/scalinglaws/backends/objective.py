"""The summed loss with exact derivatives, for the scipy backend.

Coordinates are internal: the logarithm of positive parameters, every other free parameter as it is. Fixed
parameters and rows of weight 0 do not appear.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..losses import Loss
from ..problem import Problem
from ..reference import Reference

__all__ = ["Objective", "Point", "Rho", "Smoothed", "slopes"]

Array: TypeAlias = NDArray[np.float64]

# exp() of a log coordinate must stay a normal number.
_LOG_LIMIT = 690.0
_EPS = float(np.finfo(np.float64).eps)
# A gradient is at rounding level when what is left after cancellation is below this share of what was added
# up.
TOLERANCE = 1e-9


class Rho(Protocol):
    """A loss as the solvers use it."""

    def rho(self, r: Array) -> Array:
        """Return the loss."""

    def psi(self, r: Array) -> Array:
        """Return its first derivative."""

    def curvature(self, r: Array) -> Array:
        """Return its second derivative."""


@dataclass(frozen=True, slots=True)
class Smoothed:
    """An absolute or quantile loss whose kink is rounded off within `delta` of 0.

    Parameters
    ----------
    loss : Loss
        The loss with the kink.
    delta : float
        Half width of the parabola that replaces the kink.
    """

    loss: Loss
    delta: float

    def rho(self, r: Array) -> Array:
        """Return the smoothed loss."""
        size = np.abs(r)
        parabola = 0.5 * r * r / self.delta
        return self._side(r) * np.where(size <= self.delta, parabola, size - 0.5 * self.delta)

    def psi(self, r: Array) -> Array:
        """Return its first derivative."""
        return self._side(r) * np.clip(r / self.delta, -1.0, 1.0)

    def curvature(self, r: Array) -> Array:
        """Return its second derivative."""
        return self._side(r) * np.where(np.abs(r) <= self.delta, 1.0 / self.delta, 0.0)

    def _side(self, r: Array) -> Array:
        up, down = slopes(self.loss)
        return np.where(r > 0.0, up, down)


def slopes(loss: Loss) -> tuple[float, float]:
    """Return the cost per unit of residual above and below the law of an absolute or quantile loss.

    Parameters
    ----------
    loss : Loss
        An absolute or quantile loss.

    Returns
    -------
    tuple of float
        For r > 0 and for r < 0; both positive.
    """
    if loss.kind == "quantile":
        return loss.scale * loss.above, 1.0 - loss.scale
    return loss.above, 1.0


class Objective:
    """The objective of one problem with one set of weights.

    Parameters
    ----------
    problem : Problem
        The problem.
    weights : ndarray, shape (n,), optional
        Weights in place of the problem's.
    """

    def __init__(self, problem: Problem, weights: Array | None = None) -> None:
        self.problem = problem
        self.loss: Rho = problem.loss
        law = problem.law
        weights = problem.weights if weights is None else weights
        rows = np.flatnonzero(weights > 0.0)
        self.weights = weights[rows]
        self.log = problem.residual == "log"
        self.y = np.log(problem.target[rows]) if self.log else problem.target[rows]
        self.reference = Reference(law.formula, law.params)
        self.inputs = {name: column[rows] for name, column in problem.inputs.items()}
        self.positions = {name: problem.positions(name)[rows] for name, _ in problem.slots}

        names = problem.names
        self.base = np.array([problem.fixed.get(name, np.nan) for name in names])
        self.free = np.flatnonzero(problem.free)
        kinds = [law.params[owner].kind for owner in problem.owners]
        self.is_log = np.array([kinds[j] == "positive" for j in self.free], dtype=np.bool_)
        natural = problem.bounds[self.free]
        self.lower = np.where(self.is_log, -_LOG_LIMIT, natural[:, 0])
        self.upper = np.where(self.is_log, _LOG_LIMIT, natural[:, 1])
        self.priors = [
            (int(np.searchsorted(self.free, names.index(name))), prior)
            for name, prior in problem.priors.items()
            if name not in problem.fixed
        ]
        self.held = [
            (names.index(name), prior) for name, prior in problem.priors.items() if name in problem.fixed
        ]
        # Declared parameters with something to fit, and where their values stand among the free ones (-1:
        # fixed).
        place = np.full(len(names), -1)
        place[self.free] = np.arange(self.free.size)
        self.wrt = [name for name, where in problem.slots if problem.free[where].any()]
        self.places = [place[self.positions[name]] for name in self.wrt]
        # Without groups, a free coordinate is simply a column of the rows' derivatives.
        self.direct = None if law.groups else np.arange(self.free.size)
        self.evaluations = 0

    def with_loss(self, loss: Rho) -> Objective:
        """Return the objective of the same rows with another loss, with its own count of evaluations."""
        out = copy(self)
        out.loss, out.evaluations = loss, 0
        return out

    @property
    def size(self) -> int:
        """Number of free parameters."""
        return int(self.free.size)

    def internal(self, theta: Array) -> Array:
        """Return the internal coordinates of a parameter vector, moved into the bounds."""
        free = theta[self.free]
        with np.errstate(all="ignore"):
            u = np.where(self.is_log, np.log(np.where(self.is_log, free, 1.0)), free)
        return np.clip(u, self.lower, self.upper)

    def natural(self, u: Array) -> Array:
        """Return the parameter vector of internal coordinates."""
        theta = self.base.copy()
        with np.errstate(over="ignore"):
            theta[self.free] = np.where(self.is_log, np.exp(np.where(self.is_log, u, 0.0)), u)
        return theta

    def at(self, u: Array) -> Point:
        """Return everything that is known at one point."""
        self.evaluations += 1
        return Point(self, np.array(u, dtype=np.float64))


class Point:
    """Residuals, objective and derivatives at one point; what is not asked for is not computed.

    Parameters
    ----------
    objective : Objective
        The objective.
    u : ndarray, shape (q,)
        Internal coordinates.
    """

    def __init__(self, objective: Objective, u: Array) -> None:
        self.objective, self.u = objective, u
        self.theta = objective.natural(u)

    @cached_property
    def rows(self) -> tuple[Array, Array, Array]:
        """Prediction T(f) of each row, with derivatives by each declared parameter's internal coordinate."""
        o = self.objective
        values = {name: self.theta[positions] for name, positions in o.positions.items()}
        f, g, h = o.reference.derivatives({**o.inputs, **values}, o.wrt, log=o.log)
        n = o.y.size
        f, g, h = (
            np.broadcast_to(f, (n,)),
            np.broadcast_to(g, (n, *g.shape[-1:])),
            np.broadcast_to(h, (n, *h.shape[-2:])),
        )
        kinds = [o.problem.law.params[name].kind == "positive" for name in o.wrt]
        with np.errstate(all="ignore"):
            chain = np.ones((n, len(o.wrt)))
            for j, name in enumerate(o.wrt):
                if kinds[j]:
                    chain[:, j] = values[name]
            h = h * chain[:, :, None] * chain[:, None, :]
            g = g * chain
            for j, log in enumerate(kinds):
                if log:
                    h[:, j, j] += g[:, j]
        return f, g, h

    @cached_property
    def residuals(self) -> Array:
        """Residuals T(y) - T(f), shape (n,)."""
        return self.objective.y - self.rows[0]

    @cached_property
    def jacobian(self) -> Array:
        """Derivatives of T(f), shape (n, q)."""
        o = self.objective
        if o.direct is not None:
            return self.rows[1][:, o.direct]
        out = np.zeros((o.y.size, o.size))
        every = np.arange(o.y.size)
        for j, place in enumerate(o.places):
            mask = place >= 0
            out[every[mask], place[mask]] = self.rows[1][mask, j]
        return out

    @cached_property
    def value(self) -> float:
        """The objective; infinite where it is not defined."""
        o = self.objective
        with np.errstate(all="ignore"):
            total = float(np.sum(o.weights * o.loss.rho(self.residuals)))
            total += sum(prior.penalty(float(self.theta[o.free[j]])) for j, prior in o.priors)
            total += sum(prior.penalty(float(self.theta[j])) for j, prior in o.held)
        return total if np.isfinite(total) else np.inf

    @cached_property
    def finite(self) -> bool:
        """Whether the objective and its derivatives are numbers."""
        return np.isfinite(self.value) and bool(
            np.isfinite(self.gradient).all() and np.isfinite(self.hessian).all()
        )

    @cached_property
    def gradient(self) -> Array:
        """Gradient of the objective, shape (q,)."""
        o = self.objective
        with np.errstate(all="ignore"):
            return self.prior_terms[0] - self.jacobian.T @ (o.weights * o.loss.psi(self.residuals))

    @cached_property
    def hessian(self) -> Array:
        """Exact Hessian of the objective, shape (q, q)."""
        o = self.objective
        with np.errstate(all="ignore"):
            w = o.weights * o.loss.curvature(self.residuals)
            out: Array = (self.jacobian * w[:, None]).T @ self.jacobian
            out = (
                out - self.curvature_of(o.weights * o.loss.psi(self.residuals)) + np.diag(self.prior_terms[1])
            )
        return out

    def curvature_of(self, multipliers: Array) -> Array:
        """Return the sum over rows of a multiplier times the Hessian of T(f), shape (q, q)."""
        o = self.objective
        h = self.rows[2]
        if o.direct is not None:
            return np.asarray(np.tensordot(multipliers, h, axes=1)[np.ix_(o.direct, o.direct)])
        out = np.zeros((o.size, o.size))
        for a, place_a in enumerate(o.places):
            for b, place_b in enumerate(o.places):
                mask = (place_a >= 0) & (place_b >= 0)
                np.add.at(out, (place_a[mask], place_b[mask]), multipliers[mask] * h[mask, a, b])
        return out

    @cached_property
    def prior_terms(self) -> tuple[Array, Array]:
        """Gradient and diagonal second derivatives of the penalties by internal coordinates."""
        o = self.objective
        g, h = np.zeros(o.size), np.zeros(o.size)
        for j, prior in o.priors:
            theta = float(self.theta[o.free[j]])
            slope, bend = prior.gradient(theta), prior.curvature(theta)
            g[j] += theta * slope if o.is_log[j] else slope
            h[j] += theta * (theta * bend + slope) if o.is_log[j] else bend
        return g, h

    @cached_property
    def scale(self) -> Array:
        """What the gradient is measured against: the sizes of its terms and their rounding, shape (q,)."""
        o = self.objective
        size = np.abs(self.jacobian)
        with np.errstate(all="ignore"):
            terms = size.T @ (o.weights * np.abs(o.loss.psi(self.residuals))) + np.abs(self.prior_terms[0])
            blur = size.T @ (o.weights * np.abs(o.loss.curvature(self.residuals)) * self.blur)
        return np.asarray(terms + blur / TOLERANCE)

    @cached_property
    def blur(self) -> Array:
        """Rounding of each residual: a few units in the last place of what it is the difference of."""
        o = self.objective
        return np.asarray(8.0 * _EPS * (1.0 + np.abs(o.y) if o.log else np.abs(o.y) + np.abs(self.rows[0])))

    @cached_property
    def noise(self) -> float:
        """Rounding of the objective."""
        o = self.objective
        slope = np.abs(o.loss.psi(self.residuals))
        return float(4.0 * _EPS * abs(self.value) + np.sum(o.weights * slope * self.blur))

    def blocked(self) -> NDArray[np.bool_]:
        """Return the mask of coordinates at a bound that the gradient pushes against."""
        o = self.objective
        low = (self.u <= o.lower) & (self.gradient >= 0.0)
        high = (self.u >= o.upper) & (self.gradient <= 0.0)
        return np.asarray(low | high)

    @cached_property
    def measure(self) -> float:
        """Largest scaled component of the projected gradient, from 0 to 1."""
        if not self.finite:
            return np.inf
        share = np.divide(
            np.abs(self.gradient), self.scale, out=np.zeros(self.u.size), where=self.scale > 0.0
        )
        return float(np.max(share[~self.blocked()], initial=0.0))
