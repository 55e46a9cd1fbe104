"""The log-density of the posterior, for many parameter vectors at once.

Each parameter is measured in the unit in which its prior is flat or normal: itself or its logarithm. So the
prior needs no Jacobian, and a bound is an end beyond which the density is zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..backends.rust import compiled
from ..inference import residuals, rows
from ..priors import Prior
from ..problem import Problem
from .likelihood import log_normaliser, scale_limit

__all__ = ["Density", "Unit", "flat_units"]

Unit: TypeAlias = Literal["linear", "log"]


def flat_units(problem: Problem, theta: NDArray[np.float64], priors: Mapping[str, Prior]) -> dict[str, Unit]:
    """Return the unit in which each fitted parameter without a prior is flat.

    Parameters
    ----------
    problem : Problem
        The rows and the law.
    theta : ndarray of float, shape (k,)
        The fit.
    priors : mapping of str to Prior
        Priors by expanded name.

    Returns
    -------
    dict of str to {"linear", "log"}
        ``"log"`` if the law samples its starts in the logarithm, the domain leaves out zero, and the
        parameter is not an additive constant of the law; else ``"linear"``.
    """
    shifts = _shifts(problem, theta)
    out: dict[str, Unit] = {}
    for name, owner, free in zip(problem.names, problem.owners, problem.free, strict=True):
        if free and name not in priors:
            param = problem.law.params[owner]
            log = param.sampling == "log" and (param.kind == "positive" or param.bounds[0] > 0.0)
            out[name] = "log" if log and owner not in shifts else "linear"
    return out


def _shifts(problem: Problem, theta: NDArray[np.float64]) -> set[str]:
    """Return declared parameters that only shift the law: one slope on all rows, no curvature."""
    free = {owner for owner, is_free in zip(problem.owners, problem.free, strict=True) if is_free}
    wanted = [name for name in problem.law.params if name in free]
    chosen = np.array([owner in free for owner in problem.owners])
    owners = np.array(problem.owners)[chosen]
    level: dict[str, float] = {}
    out = set(wanted)
    for block in rows(problem, theta, chosen, curvature=True):
        for column, name in enumerate(wanted):
            # Of a grouped parameter one value acts on each row.
            slope = block.jacobian[:, owners == name].sum(axis=1) / block.slope
            first = level.setdefault(name, float(slope[0]))
            bent = block.second is not None and block.second[:, column].any()
            if bent or not np.allclose(slope, first, rtol=1e-12, atol=0.0):
                out.discard(name)
    return out


class Density:
    """Log-density of the fitted parameters and of the scale of the noise, up to a constant.

    Parameters
    ----------
    problem : Problem
        Rows, law and loss; its own priors are not used.
    priors : mapping of str to Prior
        By expanded name.
    flat : mapping of str to {"linear", "log"}
        As from `flat_units`.
    estimated : bool
        Whether the scale s of the noise is unknown, with the prior 1 / s; else it is 1.
    """

    def __init__(
        self, problem: Problem, priors: Mapping[str, Prior], flat: Mapping[str, Unit], *, estimated: bool
    ) -> None:
        self.problem = problem
        self.estimated = estimated
        self._core = compiled(dataclasses.replace(problem, priors={}))
        self._held = np.array([problem.fixed.get(name, np.nan) for name in problem.names])
        self.names = tuple(n for n, free in zip(problem.names, problem.free, strict=True) if free)
        self.log = np.array(
            [priors[n].kind == "lognormal" if n in priors else flat[n] == "log" for n in self.names]
        )
        low, high = problem.bounds[problem.free].T
        with np.errstate(divide="ignore"):
            self.low = np.where(self.log, np.log(np.maximum(low, 0.0)), low)
            self.high = np.where(self.log, np.log(np.maximum(high, 0.0)), high)
        # The domain of a positive parameter is open: zero is outside.
        positive = np.array([problem.law.params[o].kind == "positive" for o in problem.owners])[problem.free]
        self.low = np.where(positive & ~self.log, np.finfo(np.float64).tiny, self.low)
        known = [priors.get(n) for n in self.names]
        center = np.array([0.0 if p is None else p.center for p in known])
        self._center = np.where(self.log & np.array([p is not None for p in known]), _log(center), center)
        self.precision = np.array([0.0 if p is None else p.width**-2 for p in known])
        used = problem.weights[problem.weights > 0.0]
        self._weights, self._counts = np.unique(used, return_counts=True)
        self.size = len(self.names) + int(estimated)

    def natural(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return parameters, shape (m, k), and scales s, shape (m,), at coordinates of shape (m, size)."""
        p = len(self.names)
        theta = np.repeat(self._held[None, :], len(x), axis=0)
        with np.errstate(over="ignore"):
            theta[:, self.problem.free] = np.where(self.log, np.exp(x[:, :p]), x[:, :p])
            scale = np.exp(x[:, p]) if self.estimated else np.ones(len(x))
        return theta, scale

    def coordinates(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return coordinates, shape (size,), of parameters, shape (k,), with the scale of these residuals."""
        values = theta[self.problem.free]
        x = np.clip(np.where(self.log, _log(values), values), self.low, self.high)
        x = np.nan_to_num(x, neginf=np.log(np.finfo(np.float64).tiny))
        return np.append(x, np.log(self.scale(theta))) if self.estimated else x

    def scale(self, theta: NDArray[np.float64]) -> float:
        """Return the scale s for the residuals at parameters of shape (k,); 1 where it is known."""
        if not self.estimated:
            return 1.0
        cost = self._core.objective(np.ascontiguousarray(theta))
        quadratic = self.problem.loss.kind not in ("absolute", "quantile")
        scale = (2.0 if quadratic else 1.0) * cost / float(self._counts.sum())
        scale = min(scale, 0.5 * scale_limit(self.problem.loss) * float(self._weights[0]))
        return float(max(scale, np.finfo(np.float64).tiny))

    def sigma(self, theta: NDArray[np.float64]) -> float:
        """Return the standard deviation of the residuals of weight one at parameters of shape (k,)."""
        if not self.estimated:
            return 1.0
        _, residual = residuals(self.problem, theta)
        square = float(self.problem.weights @ residual**2) / float(self._counts.sum())
        return float(np.sqrt(max(square, np.finfo(np.float64).tiny)))

    def reflect(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return coordinates, shape (m, size), of which those beyond a bound are mirrored at it."""
        out, p = x.copy(), len(self.names)
        inner = out[:, :p]
        with np.errstate(invalid="ignore"):
            inner = np.where(inner < self.low, 2.0 * self.low - inner, inner)
            inner = np.where(inner > self.high, 2.0 * self.high - inner, inner)
        out[:, :p] = np.clip(inner, self.low, self.high)
        return out

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-density at coordinates of shape (m, size): shape (m,), minus infinity outside."""
        p = len(self.names)
        inner = x[:, :p]
        with np.errstate(over="ignore", invalid="ignore"):
            total = -0.5 * ((inner - self._center) ** 2 @ self.precision)
        theta, scale = self.natural(x)
        fine = ((inner >= self.low) & (inner <= self.high)).all(axis=1) & np.isfinite(theta).all(axis=1)
        fine &= (scale > 0.0) & np.isfinite(scale)
        cost = np.array(
            [self._core.objective(row) if good else np.inf for row, good in zip(theta, fine, strict=True)]
        )
        with np.errstate(all="ignore"):
            total -= cost / scale
            if self.estimated:
                t = (scale[:, None] / self._weights).reshape(-1)
                total -= log_normaliser(self.problem.loss, t).reshape(len(x), -1) @ self._counts
        return np.where(fine & np.isfinite(total), total, -np.inf)

    def frame(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the information about the parameters at one point, and a root of its inverse.

        Parameters
        ----------
        x : ndarray of float, shape (size,)
            Coordinates.

        Returns
        -------
        information : ndarray of float, shape (p, p)
            J'WJ over the variance of the residuals, plus the precision of the priors.
        spread : ndarray of float, shape (size, size)
            Columns are one standard deviation along independent directions.
        """
        theta, scale = self.natural(x[None, :])
        p, rss = len(self.names), 0.0
        stretch = np.where(self.log, theta[0, self.problem.free], 1.0)
        information = np.zeros((p, p))
        for block in rows(self.problem, theta[0], self.problem.free):
            jacobian = block.jacobian * stretch
            information += jacobian.T @ (block.weight[:, None] * jacobian)
            rss += float(block.weight @ block.residual**2)
        n = float(self._counts.sum())
        information *= n / rss if self.estimated and rss > 0.0 else 1.0 / float(scale[0])
        information += np.diag(self.precision)
        lengths = np.sqrt(np.maximum(np.diagonal(information), 1e-300))
        values, vectors = np.linalg.eigh(information / np.outer(lengths, lengths))
        spread = np.zeros((self.size, self.size))
        spread[:p, :p] = vectors / np.sqrt(np.maximum(values, 1e-12)) / lengths[:, None]
        if self.estimated:
            spread[p, p] = np.sqrt(2.0 / n)
        return information, spread


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(values)
