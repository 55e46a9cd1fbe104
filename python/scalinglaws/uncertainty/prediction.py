"""The law at new points: at one parameter vector or at many, and how far from the data the points lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data import read_inputs
from ..inference import CovKind
from ..records import Prediction
from ..verdict import at_bounds
from .clusters import read_clusters
from .sandwich import degrees

if TYPE_CHECKING:
    from ..losses import Loss
    from ..problem import Problem
    from ..result import Fit

__all__ = ["Points", "by_delta_method", "read_points", "shaped"]

# Numbers in the largest temporary.
_BLOCK = 1 << 19


@dataclass(frozen=True, eq=False)
class Points:
    """Points at which a fitted law is wanted.

    Parameters
    ----------
    fit : Fit
        The fit.
    inputs : list of ndarray, each of shape (p,)
        Input columns in the order of the fitted law.
    position : ndarray of int, shape (p, q)
        Where the value of each of the q declared parameters stands in a parameter vector, for each point.
    shape : tuple of int
        Shape that the user gave the points.
    """

    fit: Fit
    inputs: list[NDArray[np.float64]]
    position: NDArray[np.intp]
    shape: tuple[int, ...]

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.position)

    def values(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the law at every point for each parameter vector.

        Parameters
        ----------
        theta : ndarray of float, shape (b, k)
            Parameters in the order of the problem's names.

        Returns
        -------
        ndarray of float, shape (b, p)
            Natural units.
        """
        core = self.fit._binding.fitted._core
        b = len(theta)
        out = np.empty((b, self.n))
        step = max(1, _BLOCK // max(b, 1))
        for first in range(0, self.n, step):
            part = slice(first, min(first + step, self.n))
            size = part.stop - part.start
            columns = [np.tile(column[part], b) for column in self.inputs]
            columns += [np.ascontiguousarray(theta[:, where[part]].reshape(-1)) for where in self.position.T]
            value = core.value(columns)
            out[:, part] = np.broadcast_to(value, (b * size,)).reshape(b, size)
        return out

    def slopes(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the derivatives of the law by the parameters, shape (p, k), for one vector of shape (k,)."""
        law = self.fit._binding.fitted
        arrays = [*self.inputs, *(np.ascontiguousarray(theta[where]) for where in self.position.T)]
        gradient = np.broadcast_to(law._core.gradient(arrays, list(law.params)), (self.n, len(law.params)))
        out = np.zeros((self.n, theta.size))
        for column in range(len(law.params)):
            out[np.arange(self.n), self.position[:, column]] = gradient[:, column]
        return out

    @property
    def decades(self) -> NDArray[np.float64] | None:
        """How many powers of ten each point lies beyond the rows, in its farthest input; shape (p,).

        0 inside the range of every input. Inputs with a range that is not positive do not count. None if the
        fit has no rows.
        """
        problem: Problem = self.fit._problem
        if not self.fit.has_data:
            return None
        used = problem.weights > 0.0
        out = np.zeros(self.n)
        for name, points in zip(self.fit._binding.fitted.inputs, self.inputs, strict=True):
            column = problem.inputs[name][used]
            low, high = float(column.min()), float(column.max())
            if low > 0.0:
                with np.errstate(divide="ignore", invalid="ignore"):
                    out = np.fmax(out, np.fmax(np.log10(points / high), np.log10(low / points)))
        return out


def read_points(fit: Fit, data: Any) -> Points:
    """Read the inputs of a fitted law from a table or a mapping.

    Parameters
    ----------
    fit : Fit
        The fit.
    data : DataFrame or mapping
        As for `Fit.predict`.

    Returns
    -------
    Points
        The points.

    Raises
    ------
    DataError
        If an input is missing or holds values that are not finite numbers.
    """
    law, problem = fit._binding.fitted, fit._problem
    inputs, codes, shape = read_inputs(law, data, columns=fit.columns, categories=problem.categories)
    arrays = [inputs[name] for name in law.inputs]
    n = max([1, *(array.size for array in arrays), *(code.size for code in codes.values())])
    if math.prod(shape) == 0:
        n = 0
    position = np.zeros((n, len(law.params)), dtype=np.intp)
    for column, (name, where) in enumerate(problem.slots):
        position[:, column] = where.start + (codes[law.groups[name]] if name in law.groups else 0)
    return Points(fit, arrays, position, shape)


def by_delta_method(
    fit: Fit, data: Any, level: float | None, kind: CovKind, by: Any, new_run: bool
) -> Prediction:
    """Predict with intervals that take the law as linear in the parameters; see `Fit.predict`."""
    if new_run and level is not None:
        check_symmetric(fit.loss)
    points = read_points(fit, data)
    mean = points.values(fit._theta[None, :])[0]
    spread = points.slopes(fit._theta)
    log = fit.residual == "log"
    with np.errstate(invalid="ignore", divide="ignore"):
        if log:
            spread /= mean[:, None]
        variance = np.einsum("ij,jk,ik->i", spread, fit._inner_cov(kind, by), spread)
        error = np.sqrt(np.maximum(variance, 0.0))
        stderr = error * mean if log else error
        lower = upper = None
        if level is not None:
            dof = _degrees(fit, spread, kind, by)
            if new_run:
                noise = fit.rss / fit.dof if fit.dof > 0 else math.nan
                # Both come from the same residuals: their errors add up, and not only their squares.
                wavering = variance / np.sqrt(dof) + noise / math.sqrt(max(fit.dof, 1))
                dof = ((variance + noise) / wavering) ** 2
                error = np.sqrt(variance + noise)
            half = _student(0.5 * (1.0 + level), dof) * error
            lower = mean * np.exp(-half) if log else mean - half
            upper = mean * np.exp(half) if log else mean + half
    give = [shaped(a, points.shape) for a in (mean, stderr, lower, upper, points.decades)]
    return Prediction(give[0], give[1], give[2], give[3], level, kind, new_run, give[4])


def check_symmetric(loss: Loss) -> None:
    """Refuse intervals for new runs about a law that does not lie in their middle."""
    if loss.lopsided:
        raise ValueError(
            f"new_run=True takes the law as the middle of the runs, and the loss {loss} does not put it "
            "there: use fit.bootstrap(n).predict(..., new_run=True), which draws from the residuals"
        )


def _degrees(fit: Fit, spread: NDArray[np.float64], kind: CovKind, by: Any) -> NDArray[np.float64]:
    """Degrees of freedom of the law's variance at each point, shape (p,)."""
    problem = fit._problem
    if fit.dof <= 0 or kind != "sandwich" or (fit.loss.robust and by is None):
        return np.full(len(spread), float(fit.dof) if fit.dof > 0 else math.nan)
    fit._need_rows("intervals of the sandwich")
    chosen = problem.free & (at_bounds(problem, fit._theta) == 0)
    codes = None if by is None else read_clusters(fit, by).codes
    dof = degrees(problem, fit._theta, chosen, fit.dof, spread[:, chosen], codes)
    # Where the law does not depend on the parameters its variance is zero, whatever its distribution.
    return np.where(np.isfinite(dof), dof, float(fit.dof))


def _student(probability: float, dof: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import stdtrit

    return np.asarray(stdtrit(dof, probability))


def shaped(values: NDArray[np.float64] | None, shape: Sequence[int]) -> Any:
    """Return values in the shape that the user gave the points; a float if there was one number."""
    if values is None:
        return None
    return np.array(values).reshape(shape) if len(shape) else float(values[0])
