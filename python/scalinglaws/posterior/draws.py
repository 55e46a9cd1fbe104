"""Draws from the posterior, and intervals for whatever follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..priors import Prior
from ..records import Prediction
from ..uncertainty.derived import Derived, Function, derive
from ..uncertainty.intervals import Interval, IntervalKind, check_level
from ..uncertainty.prediction import read_points, shaped
from .likelihood import draw_residuals

if TYPE_CHECKING:
    from xarray import Dataset

    from ..result import Fit
    from ..uncertainty.quantities import Statistic
    from .density import Unit

__all__ = ["Noise", "Posterior"]

Noise: TypeAlias = Literal["estimated", "weights"]


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """Draws from the posterior of a fitted law. Made by `Fit.sample`; immutable and picklable.

    Parameters
    ----------
    fit : Fit
        The fit.
    seed : int
        Seed: with the number of a chain it determines the chain.
    names : tuple of str
        Parameters, fixed and tied ones included, in the order of ``fit.names``.
    draws : ndarray of float, shape (chains, draws, q)
        Natural units.
    noise : ndarray of float, shape (chains, draws)
        Width of the residuals of a run of weight one, in their unit: the root of the scale s (the standard
        deviation for the squared loss, that of the core for losses with a parabolic core), or s itself for
        the absolute loss and quantiles. 1 with ``likelihood="weights"``.
    likelihood : {"estimated", "weights"}
        Whether the noise was unknown.
    priors : dict of str to Prior
        Priors by parameter.
    flat : dict of str to {"linear", "log"}
        For every other fitted parameter, whether it or its logarithm has the flat prior.
    rhat, ess_bulk, ess_tail : dict of str to float
        R-hat and effective numbers of draws by parameter, and for ``"noise"``; NaN for what does not vary.
    tune : tuple of int
        Steps of each chain before its first draw.
    thin : tuple of int
        Steps between the draws of one walker that were kept.
    acceptance : float
        Share of the walkers' proposals that were accepted at the end of the tuning.
    valid : bool
        Whether the draws may be used.
    message : str
        Why not, and what to do.
    """

    fit: Fit
    seed: int
    names: tuple[str, ...]
    draws: NDArray[np.float64]
    noise: NDArray[np.float64]
    likelihood: Noise
    priors: Mapping[str, Prior]
    flat: Mapping[str, Unit]
    rhat: dict[str, float]
    ess_bulk: dict[str, float]
    ess_tail: dict[str, float]
    tune: tuple[int, ...]
    thin: tuple[int, ...]
    acceptance: float
    valid: bool
    message: str
    _known: dict[str, Any] = field(default_factory=dict)

    @property
    def mean(self) -> dict[str, float]:
        """Mean of each parameter over all draws, by name."""
        return dict(zip(self.names, self._flat.mean(axis=0).tolist(), strict=True))

    @property
    def median(self) -> dict[str, float]:
        """Median of each parameter over all draws, by name."""
        return dict(zip(self.names, np.median(self._flat, axis=0).tolist(), strict=True))

    def stderr(self) -> dict[str, float]:
        """Return the standard deviation of each parameter over the draws, by name."""
        return dict(zip(self.names, np.sqrt(np.diagonal(self.cov())).tolist(), strict=True))

    def cov(self) -> NDArray[np.float64]:
        """Return the covariance of the parameters over the draws, shape (q, q), in the order of `names`."""
        return np.atleast_2d(np.cov(self._flat, rowvar=False))

    def conf_int(self, level: float = 0.95) -> dict[str, Interval]:
        """Return equal-tailed credible intervals of the parameters.

        Parameters
        ----------
        level : float
            Posterior probability, between 0 and 1.

        Returns
        -------
        dict of str to Interval
            ``(lower, upper)`` by name.

        Raises
        ------
        ValueError
            If the level does not lie between 0 and 1.
        """
        lower, upper = _ends(self._flat, level)
        return {
            name: Interval(*pair)
            for name, *pair in zip(self.names, lower.tolist(), upper.tolist(), strict=True)
        }

    def apply(self, what: str | Function) -> Derived:
        """Return a quantity that follows from the parameters, with its draws.

        Parameters
        ----------
        what : str or callable
            As for `Bootstrap.apply`.

        Returns
        -------
        Derived
            The quantity, its draws chain after chain.

        Raises
        ------
        FormulaError
            If the expression cannot be read.
        ValueError
            If it names no parameter, or something that is none.
        """
        return derive(self, what)

    def predict(self, data: Any, level: float | None = None, *, new_run: bool = False) -> Prediction:
        """Predict the target, with intervals from the draws.

        Parameters
        ----------
        data : DataFrame or mapping
            As for `Fit.predict`.
        level : float, optional
            Posterior probability of the interval, between 0 and 1; no interval if not given.
        new_run : bool
            False: interval for the law's value. True: interval for the measured value of a new run of weight
            one, with noise of the posterior's width and of the shape that belongs to the loss.

        Returns
        -------
        Prediction
            `mean` and `stderr` are the mean and the standard deviation of the law over the draws.

        Raises
        ------
        DataError
            If an input is missing or holds values that are not finite numbers.
        """
        points = read_points(self.fit, data)
        values = points.values(self._good)
        mean, stderr = values.mean(axis=0), values.std(axis=0, ddof=1)
        lower = upper = None
        if level is not None:
            if new_run:
                noise = self._residuals[:, None]
                values = values * np.exp(noise) if self.fit.residual == "log" else values + noise
            lower, upper = _ends(values, level)
        give = [shaped(a, points.shape) for a in (mean, stderr, lower, upper, points.decades)]
        return Prediction(give[0], give[1], give[2], give[3], level, "posterior", new_run, give[4])

    # ---------------------------------------------------------------- shown and kept

    def to_xarray(self) -> Dataset:
        """Return the draws as a labelled data set, as ArviZ takes them.

        Returns
        -------
        xarray.Dataset
            One variable per parameter along ``chain`` and ``draw``, a grouped one along its categories, too,
            and ``noise``.

        Raises
        ------
        ImportError
            If xarray is missing.
        """
        from ..uncertainty.labelled import to_dataset

        return to_dataset(self.fit, self.draws, ("chain", "draw")).assign(
            noise=(("chain", "draw"), self.noise)
        )

    def summary(self, level: float = 0.95) -> str:
        """Return a text table of the draws.

        Parameters
        ----------
        level : float
            Of the intervals.
        """
        from ..report import posterior_summary

        return posterior_summary(self, level)

    def __repr__(self) -> str:
        name = self.fit.law.id or self.fit.law.formula
        chains, draws, _ = self.draws.shape
        verdict = "valid" if self.valid else "not valid"
        return f"<Posterior of {name}: {chains} chains of {draws} draws, {verdict}>"

    def __str__(self) -> str:
        return self.summary()

    # ---------------------------------------------------------------- inside

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which draws count: all, chain after chain."""
        return np.ones(self.noise.size, dtype=np.bool_)

    @property
    def _flat(self) -> NDArray[np.float64]:
        return self.draws.reshape(-1, len(self.names))

    @property
    def _good(self) -> NDArray[np.float64]:
        """Parameters of all draws in the order of the problem."""
        return self.fit._inner_values(self._flat)

    @cached_property
    def _residuals(self) -> NDArray[np.float64]:
        """One residual of a new run for each draw."""
        width = self.noise.reshape(-1)
        scale = width if self.fit.loss.kind in ("absolute", "quantile") else width**2
        return draw_residuals(self.fit.loss, scale, np.random.default_rng([self.seed, 1]))

    def _point(self, statistic: Statistic) -> NDArray[np.float64]:
        # Priors and the noise may have moved the draws away from the fit.
        return np.asarray(np.median(statistic(self._good), axis=0))

    def _expand(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.fit._binding.expand(self.fit._problem, theta)

    def _intervals(
        self, statistic: Statistic, levels: Sequence[float], kind: IntervalKind, log: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if kind != "percentile":
            raise ValueError(f"intervals of a posterior have kind='percentile', not {kind!r}")
        draws = statistic(self._good)
        ends = [_ends(draws, level) for level in levels]
        return np.array([lower for lower, _ in ends]), np.array([upper for _, upper in ends])


def _ends(draws: NDArray[np.float64], level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Equal tails of each column."""
    tail = 0.5 * (1.0 - check_level(level))
    lower, upper = np.quantile(draws, [tail, 1.0 - tail], axis=0)
    return lower, upper
