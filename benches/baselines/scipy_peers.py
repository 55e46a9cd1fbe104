"""The same fits with scipy.optimize, one start at a time, with analytic derivatives throughout.

Each solver is set up as well as its interface allows. Tolerances are the loosest that still end within 1e-9
of the optimum from a good start, so that no time is spent on digits nobody asked for. The summed Huber
objective is multiplied by ``delta**-2`` for BFGS, whose gradient tolerance is absolute and would otherwise
end the fit far from the optimum. L-BFGS-B runs twice: with the default tolerances that people use, and with
tight ones.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Through importlib, so that type checking does not depend on whether stubs for SciPy are installed.
_optimize: Any = importlib.import_module("scipy.optimize")

_TIGHT = {"ftol": 1e-14, "gtol": 1e-10, "maxiter": 1000, "maxfun": 5000}


@dataclass(frozen=True)
class HuberChinchilla:
    """Sum of Huber losses of log residuals in ``(a, b, e, alpha, beta)``, in the form scipy wants."""

    log_n: FloatArray
    log_d: FloatArray
    log_loss: FloatArray
    delta: float
    _last: list[tuple[bytes, FloatArray, FloatArray]] = field(default_factory=list, repr=False)

    def resampled(self, counts: FloatArray) -> HuberChinchilla:
        """Repeat each row ``counts`` times: how a bootstrap draw is fitted without weights."""
        rows = np.repeat(np.arange(len(counts)), counts.astype(np.int64))
        return HuberChinchilla(self.log_n[rows], self.log_d[rows], self.log_loss[rows], self.delta)

    def _shares(self, p: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return residuals (n,) and softmax weights (3, n) of the terms; remember the last point."""
        key = p.tobytes()
        if self._last and self._last[0][0] == key:
            return self._last[0][1:]
        terms = np.empty((3, len(self.log_n)))
        terms[0] = p[0] - p[3] * self.log_n
        terms[1] = p[1] - p[4] * self.log_d
        terms[2] = p[2]
        top = terms.max(axis=0)
        terms -= top
        np.exp(terms, out=terms)
        total = terms.sum(axis=0)
        terms /= total
        residual = self.log_loss - (top + np.log(total))
        self._last[:] = [(key, residual, terms)]
        return residual, terms

    def residual(self, p: FloatArray) -> FloatArray:
        """Return log residuals (n,)."""
        return self._shares(p)[0]

    def jacobian(self, p: FloatArray) -> FloatArray:
        """Differentiate the residuals (n, 5)."""
        shares = self._shares(p)[1]
        columns = np.empty((len(self.log_n), 5))
        columns[:, :3] = -shares.T
        columns[:, 3] = shares[0] * self.log_n
        columns[:, 4] = shares[1] * self.log_d
        return columns

    def value_and_gradient(self, p: FloatArray) -> tuple[float, FloatArray]:
        """Return the objective and its gradient (5,)."""
        residual, shares = self._shares(p)
        psi = np.clip(residual, -self.delta, self.delta)
        pull = shares * psi
        gradient = np.empty(5)
        gradient[:3] = -pull.sum(axis=1)
        gradient[3] = pull[0] @ self.log_n
        gradient[4] = pull[1] @ self.log_d
        return float(psi @ residual - 0.5 * (psi @ psi)), gradient


Solver = Callable[[HuberChinchilla, FloatArray], FloatArray]


def _scaled(problem: HuberChinchilla, factor: float) -> Callable[[FloatArray], tuple[float, FloatArray]]:
    def function(p: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = problem.value_and_gradient(p)
        return factor * value, factor * gradient

    return function


def bfgs(problem: HuberChinchilla, start: FloatArray) -> FloatArray:
    """BFGS with the gradient, on the objective times ``delta**-2``."""
    function = _scaled(problem, problem.delta**-2)
    return np.asarray(_optimize.minimize(function, start, jac=True, method="BFGS", options={"gtol": 1e-2}).x)


def lbfgsb(problem: HuberChinchilla, start: FloatArray) -> FloatArray:
    """L-BFGS-B with the gradient, as it comes: unscaled objective, default tolerances."""
    result = _optimize.minimize(problem.value_and_gradient, start, jac=True, method="L-BFGS-B")
    return np.asarray(result.x)


def lbfgsb_tight(problem: HuberChinchilla, start: FloatArray) -> FloatArray:
    """L-BFGS-B with the gradient, on the objective times ``delta**-2``, tolerances near rounding."""
    function = _scaled(problem, problem.delta**-2)
    result = _optimize.minimize(function, start, jac=True, method="L-BFGS-B", options=_TIGHT)
    return np.asarray(result.x)


def trf_near(problem: HuberChinchilla, start: FloatArray) -> FloatArray:
    """``least_squares`` (trust-region reflective) with its own Huber loss, tolerances for good starts."""
    return _trf(problem, start, 1e-8)


def trf_far(problem: HuberChinchilla, start: FloatArray) -> FloatArray:
    """``least_squares`` with tolerances that bring seven times more starts of the grid to the optimum."""
    return _trf(problem, start, 1e-12)


def _trf(problem: HuberChinchilla, start: FloatArray, tolerance: float) -> FloatArray:
    result = _optimize.least_squares(
        problem.residual,
        start,
        jac=problem.jacobian,
        method="trf",
        loss="huber",
        f_scale=problem.delta,
        x_scale="jac",
        ftol=tolerance,
        xtol=tolerance,
        gtol=tolerance,
        max_nfev=1000,
    )
    return np.asarray(result.x)


BFGS = "scipy BFGS, gradient"
LBFGSB = "scipy L-BFGS-B, gradient, defaults"
LBFGSB_TIGHT = "scipy L-BFGS-B, gradient, tight"
TRF = "scipy least_squares trf, Jacobian"
LM = "scipy least_squares lm, Jacobian"

NEAR_SOLVERS: dict[str, Solver] = {BFGS: bfgs, LBFGSB: lbfgsb, LBFGSB_TIGHT: lbfgsb_tight, TRF: trf_near}
"""Solvers of the Huber problem from good starts, by the name under which they are reported."""

FAR_SOLVERS: dict[str, Solver] = {**NEAR_SOLVERS, TRF: trf_far}
"""Solvers of the Huber problem from starts that may be anywhere."""


@dataclass(frozen=True)
class FarseerSquares:
    """Log residuals of the Farseer law and their Jacobian; parameters in the order of ``FARSEER_NAMES``."""

    log_n: FloatArray
    log_d: FloatArray
    log_loss: FloatArray

    def residual(self, theta: FloatArray) -> FloatArray:
        """Return log residuals (n,); huge instead of not finite, which scipy refuses."""
        size, data, _ = self._terms(theta)
        residual = self.log_loss - np.logaddexp(size, data)
        return np.asarray(np.nan_to_num(residual, nan=1e6, posinf=1e6, neginf=-1e6))

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """Differentiate the residuals (n, 9)."""
        a1, _, alpha, a2, _, beta, a3, _, gamma = theta
        size, data, decay = self._terms(theta)
        with np.errstate(all="ignore"):
            total = np.logaddexp(size, data)
            share_size, share_data = np.exp(size - total), np.exp(data - total)
            columns = []
            for share, slope, power in (
                (share_data * decay, a1, alpha),
                (-share_data, a2, beta),
                (-share_size, a3, gamma),
            ):
                grown = np.exp(power * self.log_n)
                columns += [share * grown, share, share * slope * grown * self.log_n]
            return np.asarray(np.nan_to_num(np.stack(columns, axis=1), nan=0.0, posinf=0.0, neginf=0.0))

    def _terms(self, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        a1, b1, alpha, a2, b2, beta, a3, b3, gamma = theta
        with np.errstate(all="ignore"):
            decay = np.exp(a1 * np.exp(alpha * self.log_n) + b1) * self.log_d
            data = a2 * np.exp(beta * self.log_n) + b2 - decay
            return a3 * np.exp(gamma * self.log_n) + b3, data, decay


def farseer(problem: FarseerSquares, start: FloatArray, method: str) -> FloatArray:
    """``least_squares`` on squared log residuals; ``method`` is ``"trf"`` or ``"lm"``."""
    with np.errstate(all="ignore"):
        result = _optimize.least_squares(
            problem.residual,
            start,
            jac=problem.jacobian,
            method=method,
            x_scale="jac",
            ftol=1e-12,
            xtol=1e-12,
            gtol=1e-12,
            max_nfev=1000,
        )
    return np.asarray(result.x)


@dataclass(frozen=True)
class SquaresChinchilla:
    """Residuals of the Chinchilla law on many rows, linear or logarithmic, for squared error."""

    log_n: FloatArray
    log_d: FloatArray
    target: FloatArray  # the loss, or its logarithm
    log: bool

    def residual(self, p: FloatArray) -> FloatArray:
        """Return residuals (n,)."""
        model = np.exp(p[0] - p[3] * self.log_n) + np.exp(p[1] - p[4] * self.log_d) + np.exp(p[2])
        residual: FloatArray = self.target - (np.log(model) if self.log else model)
        return residual

    def jacobian(self, p: FloatArray) -> FloatArray:
        """Differentiate the residuals (n, 5)."""
        columns = np.empty((len(self.log_n), 5))
        columns[:, 0] = -np.exp(p[0] - p[3] * self.log_n)
        columns[:, 1] = -np.exp(p[1] - p[4] * self.log_d)
        columns[:, 2] = -np.exp(p[2])
        if self.log:
            columns[:, :3] /= -columns[:, :3].sum(axis=1, keepdims=True)
        columns[:, 3] = -columns[:, 0] * self.log_n
        columns[:, 4] = -columns[:, 1] * self.log_d
        return columns

    def value_and_gradient(self, p: FloatArray) -> tuple[float, FloatArray]:
        """Return half the sum of squares and its gradient, without an array as large as the Jacobian."""
        term_a, term_b = np.exp(p[0] - p[3] * self.log_n), np.exp(p[1] - p[4] * self.log_d)
        floor = np.exp(p[2])
        model = term_a + term_b + floor
        residual = self.target - (np.log(model) if self.log else model)
        pull = residual / model if self.log else residual
        gradient = np.empty(5)
        gradient[0], gradient[1], gradient[2] = -(pull @ term_a), -(pull @ term_b), -floor * pull.sum()
        gradient[3], gradient[4] = (pull * term_a) @ self.log_n, (pull * term_b) @ self.log_d
        return 0.5 * float(residual @ residual), gradient


def rows_trf(problem: SquaresChinchilla, start: FloatArray) -> FloatArray:
    """``least_squares`` (trust-region reflective) with the Jacobian."""
    return _rows_least_squares(problem, start, "trf")


def rows_lm(problem: SquaresChinchilla, start: FloatArray) -> FloatArray:
    """``least_squares`` through MINPACK's Levenberg-Marquardt, with the Jacobian."""
    return _rows_least_squares(problem, start, "lm")


def _rows_least_squares(problem: SquaresChinchilla, start: FloatArray, method: str) -> FloatArray:
    result = _optimize.least_squares(
        problem.residual, start, jac=problem.jacobian, method=method, x_scale="jac", xtol=1e-10
    )
    return np.asarray(result.x)


def rows_bfgs(problem: SquaresChinchilla, start: FloatArray) -> FloatArray:
    """BFGS with the gradient, on the mean of the squares."""
    count = len(problem.target)

    def function(p: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = problem.value_and_gradient(p)
        return value / count, gradient / count

    result = _optimize.minimize(function, start, jac=True, method="BFGS", options={"gtol": 1e-8})
    return np.asarray(result.x)


def rows_lbfgsb(problem: SquaresChinchilla, start: FloatArray) -> FloatArray:
    """L-BFGS-B with the gradient, tolerances near rounding."""
    result = _optimize.minimize(
        problem.value_and_gradient, start, jac=True, method="L-BFGS-B", options=_TIGHT
    )
    return np.asarray(result.x)


ROW_SOLVERS: dict[str, Callable[[SquaresChinchilla, FloatArray], FloatArray]] = {
    TRF: rows_trf,
    LM: rows_lm,
    BFGS: rows_bfgs,
    LBFGSB_TIGHT: rows_lbfgsb,
}
"""Solvers of the many-row problem, by the name under which they are reported."""
