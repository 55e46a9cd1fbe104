"""The answer of a fit: values, what they are worth, and what follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .backends import Interrupt, Progress
from .backends.weighted import refit_weighted
from .data import Labels, data_hash
from .errors import DataError, near
from .inference import CovKind, residuals
from .law import Law
from .losses import Loss
from .problem import Problem, Residual
from .records import Basin, FittedParam, Prediction, Refits, StartsReport
from .ties import Binding
from .uncertainty.methods import Uncertainty
from .uncertainty.prediction import by_delta_method
from .verdict import at_bounds

if TYPE_CHECKING:
    from .plot import FitPlot

__all__ = ["Fit"]

_KINDS: tuple[CovKind, ...] = ("sandwich", "classical", "hessian")
# Residual degrees of freedom from which intervals of the squared loss rest on the sandwich: see
# docs/decisions/0010-default-intervals.md.
_ENOUGH = 10


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Uncertainty):
    """A fitted law. Made by `fit`; immutable, picklable, and safe to share between threads.

    Parameters
    ----------
    law : Law
        The law.
    residual : {"linear", "log"}
        Where residuals were taken.
    loss : Loss
        The loss that was summed.
    backend : str
        Which solver ran.
    objective : float
        Lowest value found: the weighted sum of losses plus the priors' penalties.
    status : str
        How the best local fit ended: ``"converged"``, ``"bound"`` (converged on a bound), ``"stalled"``,
        ``"iteration limit"``, ``"non-finite start"`` or ``"cancelled"``.
    success : bool
        Whether it converged.
    valid : bool
        Whether the answer may be used: it converged to an inner point that the runs determine.
    message : str
        Why not, and what to do.
    basins : tuple of Basin
        Where the starts ended, best first; at most 64.
    starts : StartsReport
        How many starts there were and how many reached the best basin.
    nobs : int
        Rows of positive weight.
    columns : dict of str to str
        The table's columns by the law's names, where they differ.
    seconds : float
        Wall time of the solver.
    """

    law: Law
    residual: Residual
    loss: Loss
    backend: str
    objective: float
    status: str
    success: bool
    valid: bool
    message: str
    basins: tuple[Basin, ...]
    starts: StartsReport
    nobs: int
    columns: dict[str, str]
    seconds: float
    _problem: Problem
    _binding: Binding
    _theta: NDArray[np.float64]
    # Columns that were kept to tell which rows belong together, by the table's names.
    _labels: dict[str, Labels] = field(default_factory=dict)
    # Results that need the rows, for a fit that was saved without them; otherwise a cache.
    _known: dict[str, Any] = field(default_factory=dict)

    # ---------------------------------------------------------------- values

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Parameters in the order of the law; ``"A[en]"`` for the value of a grouped one."""
        return self._binding.names(self._problem.names, self._problem.owners)

    @property
    def values(self) -> dict[str, float]:
        """Best values by name, fixed and tied parameters included; natural units."""
        full = self._binding.expand(self._problem, self._theta)
        return dict(zip(self.names, full.tolist(), strict=True))

    @property
    def params(self) -> dict[str, FittedParam]:
        """Parameters by name, with standard errors of the default kind."""
        errors, values = self.stderr(), self.values
        free = dict(zip(self._problem.names, self._problem.free.tolist(), strict=True))
        bound = self._at_bound
        out = {}
        for name in self.names:
            tie = self._binding.ties.get(name)
            out[name] = FittedParam(
                value=values[name],
                stderr=errors[name],
                vary=free.get(name, False),
                expr=None if tie is None or tie.constant is not None else tie.text,
                bounds=self.law.params[name.partition("[")[0]].bounds,
                at_bound=name in bound,
            )
        return out

    @property
    def nfree(self) -> int:
        """Number of fitted parameters."""
        return int(self._problem.free.sum())

    @property
    def dof(self) -> int:
        """Residual degrees of freedom, rows minus fitted parameters."""
        return self.nobs - self.nfree

    # ---------------------------------------------------------------- rows

    @property
    def residuals(self) -> NDArray[np.float64]:
        """T(y) - T(f) for every row, T = log or identity; shape (n,)."""
        return self._rows[1].copy()

    @property
    def fittedvalues(self) -> NDArray[np.float64]:
        """The law on every row, unit of the target; shape (n,)."""
        return self._rows[0].copy()

    @property
    def rss(self) -> float:
        """Weighted sum of squared residuals, in the space where they were taken."""
        if "rss" not in self._known:
            r = self._rows[1]
            self._known["rss"] = float(self._problem.weights @ (r * r))
        return float(self._known["rss"])

    @property
    def data_hash(self) -> str:
        """SHA-256 of the rows and weights, to tell whether two fits saw the same runs."""
        if "data_hash" not in self._known:
            problem = self._need_rows("data_hash")
            codes = problem.codes.values()
            self._known["data_hash"] = data_hash(
                problem.target, *problem.inputs.values(), *codes, problem.weights
            )
        return str(self._known["data_hash"])

    # ---------------------------------------------------------------- likelihood

    @property
    def loglik(self) -> float:
        """Log-likelihood of the residuals, with the noise scale at its own best value.

        Laplace for the absolute loss and asymmetric Laplace for a quantile, as in statsmodels' QuantReg;
        Gaussian for every other loss, as in its WLS. It is the likelihood of T(y): compare only fits of the
        same rows and the same residual.
        """
        n = self.nobs
        if self.loss.kind in ("absolute", "quantile"):
            # The absolute loss is the quantile loss at one half, times two.
            tau, cost = (self.loss.scale, 1.0) if self.loss.kind == "quantile" else (0.5, 0.5)
            scale = cost * self._cost / n
            return n * (math.log(tau * (1.0 - tau)) - _log(scale) - 1.0) + self._log_weights
        return -0.5 * n * (math.log(2.0 * math.pi) + _log(self.rss / n) + 1.0) + 0.5 * self._log_weights

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 loglik + 2 nfree; the noise scale is not counted, as in statsmodels."""
        return -2.0 * self.loglik + 2.0 * self.nfree

    @property
    def aicc(self) -> float:
        """Akaike's criterion corrected for few rows; infinite where there are too few."""
        k, n = self.nfree, self.nobs
        return self.aic + 2.0 * k * (k + 1) / (n - k - 1) if n > k + 1 else math.inf

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 loglik + nfree log(nobs)."""
        return -2.0 * self.loglik + self.nfree * math.log(self.nobs)

    # ---------------------------------------------------------------- uncertainty

    def predict(
        self,
        data: Any,
        level: float | None = None,
        *,
        kind: CovKind | None = None,
        by: Any = None,
        new_run: bool = False,
    ) -> Prediction:
        """Predict the target, with intervals by the delta method.

        Parameters
        ----------
        data : DataFrame or mapping
            The inputs of the law under the names of the fitted table or of the law. The values of a mapping
            may be numbers or arrays that broadcast together.
        level : float, optional
            Coverage of the interval, between 0 and 1; no interval if not given.
        kind : {"sandwich", "classical", "hessian"}, optional
            Covariance to use; by default as for `conf_int`.
        by : str or array_like, shape (n,), optional
            Clusters of rows as for `cov`; only with the sandwich.
        new_run : bool
            False: interval for the law's value. True: interval for the measured value of a new run of weight
            one, which adds the residual variance.

        Returns
        -------
        Prediction
            Floats if every input was a number, else arrays. The interval is taken where the residuals are (in
            logarithms for log residuals, so it is never negative) with quantiles of Student's t. For the
            sandwich of the squared loss its degrees of freedom are those of the variance at each point.

        Raises
        ------
        DataError
            If an input is missing or holds values that are not finite numbers.
        """
        if level is not None and not 0.0 < level < 1.0:
            raise ValueError(f"level must lie between 0 and 1, not {level!r}")
        return by_delta_method(self, data, level, self._interval_kind(kind, by), by, new_run)

    def refit(
        self,
        weights: ArrayLike,
        *,
        max_iter: int | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
        on_interrupt: Interrupt = "raise",
    ) -> Refits:
        """Fit the same runs again with other weights, from the best values.

        Parameters
        ----------
        weights : array_like, shape (m, n)
            One refit per row; each multiplies the fit's own weights. Counts of a resampling with replacement
            give bootstrap draws.
        max_iter : int, optional
            Limit on the steps of one refit.
        threads : int, optional
            Number of threads; the result does not depend on it.
        progress : callable, optional
            Called as ``progress(done, total)``.
        on_interrupt : {"raise", "keep"}
            Whether Ctrl-C raises, or returns what is done with the rest marked ``"cancelled"``.

        Returns
        -------
        Refits
            Values, objectives and statuses.
        """
        problem = self._need_rows("refit")
        factors = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        if factors.ndim != 2 or factors.shape[1] != problem.n:
            raise DataError(
                f"weights must have the shape (m, {problem.n}), not {np.shape(weights)}", "weights"
            )
        if not (np.isfinite(factors).all() and (factors >= 0.0).all()):
            raise DataError("weights must be finite and not negative", "weights")
        solutions = refit_weighted(
            self.backend,
            problem,
            self._theta,
            factors * problem.weights,
            max_iter=max_iter,
            threads=threads,
            progress=progress,
            on_interrupt=on_interrupt,
        )
        return Refits(
            names=self.names,
            draws=self._binding.expand(problem, solutions.theta),
            objective=solutions.objective,
            status=tuple(solutions.status),
            seconds=solutions.seconds,
        )

    # ---------------------------------------------------------------- shown and kept

    @property
    def plot(self) -> FitPlot:
        """Plots: ``loss``, ``residuals``, ``profile`` and ``influence``; they need matplotlib."""
        from .plot import FitPlot

        return FitPlot(self)

    def summary(self) -> str:
        """Return a text table of the fit."""
        from .report import summary

        return summary(self)

    def to_dict(self, *, data: bool = True) -> dict[str, Any]:
        """Return the fit as plain lists, numbers and strings, ready for JSON.

        Parameters
        ----------
        data : bool
            Whether to include the rows. Without them the covariances are stored instead, and a loaded fit can
            predict but not give residuals or refit.
        """
        from .serialize import fit_to_dict

        return fit_to_dict(self, data=data)

    def save(self, path: str | PathLike[str], *, data: bool = True) -> None:
        """Write the fit as JSON; `load` reads it back.

        Parameters
        ----------
        path : path
            File to write. It appears whole or not at all.
        data : bool
            As for `to_dict`.
        """
        from .serialize import save

        save(self, path, data=data)

    def __repr__(self) -> str:
        verdict = "valid" if self.valid else "not valid"
        name = self.law.id or self.law.formula
        return f"<Fit of {name}: {verdict}, objective {self.objective:.8g}, {self.nobs} rows>"

    def __str__(self) -> str:
        return self.summary()

    # ---------------------------------------------------------------- inside

    @property
    def has_data(self) -> bool:
        """Whether the fit still holds its rows."""
        return self._problem.n > 0

    @property
    def _at_bound(self) -> set[str]:
        sides = at_bounds(self._problem, self._theta)
        return {name for name, side in zip(self._problem.names, sides, strict=True) if side}

    @property
    def _rows(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        problem = self._need_rows("residuals and fitted values")
        if "rows" not in self._known:
            with np.errstate(all="ignore"):
                self._known["rows"] = residuals(problem, self._theta)
        return cast("tuple[NDArray[np.float64], NDArray[np.float64]]", self._known["rows"])

    @property
    def _cost(self) -> float:
        """Sum of losses without the priors."""
        if "cost" not in self._known:
            self._known["cost"] = float(self._problem.weights @ self.loss.rho(self._rows[1]))
        return float(self._known["cost"])

    @property
    def _log_weights(self) -> float:
        if "log_weights" not in self._known:
            weights = self._need_rows("the likelihood").weights
            self._known["log_weights"] = float(np.log(weights[weights > 0.0]).sum())
        return float(self._known["log_weights"])

    def _need_rows(self, what: str) -> Problem:
        if not self.has_data:
            raise DataError(f"{what}: the rows are needed, but this fit was saved without them (data=False)")
        return self._problem

    def _kind(self, kind: CovKind | None) -> CovKind:
        if kind is None:
            return "sandwich" if self.loss.robust else "classical"
        if kind not in _KINDS:
            raise ValueError(
                f"kind must be one of {', '.join(map(repr, _KINDS))}, not {kind!r}.{near(str(kind), _KINDS)}"
            )
        return kind

    def _interval_kind(self, kind: CovKind | None, by: Any) -> CovKind:
        """Kind of covariance of an interval."""
        if by is not None:
            if kind not in (None, "sandwich"):
                raise ValueError(
                    f"by= makes a cluster-robust sandwich; kind {self._kind(kind)!r} has no clusters"
                )
            return "sandwich"
        if kind is not None or self.loss.robust:
            return self._kind(kind)
        # From fewer rows the sandwich learns nothing of unequal noise and costs most of its few degrees of
        # freedom; without any it has no leverages.
        return "sandwich" if self.dof >= _ENOUGH and self.has_data else "classical"

    def _inner_values(self, draws: NDArray[np.float64]) -> NDArray[np.float64]:
        """Parameters without the tied ones, in the order of the problem; the last axis of `draws`."""
        keep = [self.names.index(name) for name in self._problem.names]
        return np.ascontiguousarray(draws[..., keep])

    def _inner_cov(self, kind: CovKind, by: Any) -> NDArray[np.float64]:
        """Covariance by the names of the problem, that is, without the tied parameters."""
        keep = [self.names.index(name) for name in self._problem.names]
        return self.cov(kind, by=by)[np.ix_(keep, keep)]

    def _through_ties(self, cov: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self._binding.ties:
            return cov
        jacobian = self._binding.jacobian(self._problem, self._theta)
        lost = np.isnan(np.diagonal(cov))
        out = jacobian @ np.where(np.isnan(cov), 0.0, cov) @ jacobian.T
        spoiled = (jacobian[:, lost] != 0.0).any(axis=1)
        out[spoiled, :] = np.nan
        out[:, spoiled] = np.nan
        return out


def _log(value: float) -> float:
    return math.log(value) if value > 0.0 else -math.inf
