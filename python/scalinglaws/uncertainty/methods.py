"""How sure a fit is of its parameters: the methods of `Fit` that say so.

They live here so that `result` stays a record; what they compute lives in `inference`, `profile`, `region`,
`diagnostics`, `jackknife` and `bootstrap`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backends import Interrupt, Progress
from ..inference import CovKind
from ..verdict import at_bounds
from .clusters import read_clusters
from .sandwich import covariance

if TYPE_CHECKING:
    from ..executors import ExecutorLike
    from ..posterior.draws import Noise, Posterior
    from ..priors import Prior
    from ..result import Fit
    from ..starts import Rng
    from .bootstrap import Bootstrap
    from .diagnostics import Diagnostics
    from .intervals import Interval
    from .jackknife import Jackknife
    from .profile import Profile
    from .region import ProfileRegion
    from .resampling import BootstrapKind, Factor

__all__ = ["Uncertainty"]


class Uncertainty:
    """Methods of a fit; `Fit` is the only class that has them."""

    @property
    def _fit(self) -> Fit:
        return cast("Fit", self)

    def cov(self, kind: CovKind | None = None, *, by: Any = None) -> NDArray[np.float64]:
        """Return the covariance of the parameters.

        Parameters
        ----------
        kind : {"sandwich", "classical", "hessian"}, optional
            ``"sandwich"`` allows for unequal noise and is the default for robust losses and with `by`;
            ``"classical"`` is s^2 (J'WJ)^-1, the default for the squared loss; ``"hessian"`` is the scaled
            inverse of the exact Hessian of the objective.
        by : str or array_like, shape (n,), optional
            Rows of one cluster may have errors that depend on each other: a column that the law uses, or one
            label for each row (``by=runs["config"]``). Only for the sandwich.

        Returns
        -------
        ndarray of float, shape (q, q)
            In the order of `names`, natural units. Rows of fixed parameters are zero, and so are those of
            parameters at a bound: the rest is the covariance given that the bound holds. Rows of parameters
            that the runs do not determine are NaN.

        Raises
        ------
        ValueError
            If the kind is unknown, or `by` is given for another kind than the sandwich.
        DataError
            If there are not more clusters than fitted parameters, because their scores then span too few
            directions; or the labels do not match the rows.

        Notes
        -----
        The sandwich is corrected for what the fit takes from the residuals. For the squared loss it divides
        by the share of the noise that a row or cluster shows in its residuals. Under equal noise that is the
        leverage's (HC2, CR2); here the noise may rise or fall with the law's value, as the residuals have it
        (a working model, as in Pustejovsky and Tipton 2018). For other losses the factor is n / (n - p), or
        G / (G - 1) (n - 1) / (n - p) for G clusters. Intervals also need its degrees of freedom, which may be
        far fewer than n - p: `conf_int` and `predict` take them into account.

        Both robust kinds rest on the density of the residuals around zero where the loss has a kink or a
        narrow core; it is estimated from the residuals (Hall and Sheather's bandwidth), and is rough for few
        rows.
        """
        fit = self._fit
        if by is not None:
            return self._clustered(kind, by)
        kind = fit._kind(kind)
        key = f"cov_{kind}"
        if key not in fit._known:
            problem = fit._need_rows(f"cov({kind!r})")
            chosen = problem.free & (at_bounds(problem, fit._theta) == 0)
            with np.errstate(all="ignore"):
                inner, form = covariance(problem, fit._theta, chosen, fit.dof, kind)
            fit._known[f"form_{kind}"] = form
            fit._known[key] = self._spread(chosen, inner)
        return cast("NDArray[np.float64]", fit._known[key]).copy()

    def stderr(self, kind: CovKind | None = None, *, by: Any = None) -> dict[str, float]:
        """Return standard errors by name.

        Parameters
        ----------
        kind : {"sandwich", "classical", "hessian"}, optional
            As for `cov`.
        by : str or array_like, optional
            As for `cov`.

        Returns
        -------
        dict of str to float
            Natural units: 0 for fixed parameters, NaN at a bound (intervals there have one side: `profile`)
            and where the runs do not determine the parameter.
        """
        fit = self._fit
        with np.errstate(invalid="ignore"):
            errors = np.sqrt(np.diagonal(self.cov(kind, by=by)))
        bound = fit._at_bound
        return {
            name: math.nan if name in bound else error
            for name, error in zip(fit.names, errors.tolist(), strict=True)
        }

    def corr(self, kind: CovKind | None = None, *, by: Any = None) -> NDArray[np.float64]:
        """Return the correlations of the parameters, NaN in rows of those that do not vary.

        Parameters
        ----------
        kind : {"sandwich", "classical", "hessian"}, optional
            As for `cov`.
        by : str or array_like, optional
            As for `cov`.

        Returns
        -------
        ndarray of float, shape (q, q)
            In the order of `names`, ones on the diagonal.
        """
        cov = self.cov(kind, by=by)
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = 1.0 / np.sqrt(np.diagonal(cov))
            scale[~np.isfinite(scale)] = np.nan
            corr = cov * scale[:, None] * scale[None, :]
        corr[np.diag_indices(len(corr))] = 1.0
        return corr

    def conf_int(
        self,
        level: float = 0.95,
        kind: CovKind | None = None,
        *,
        by: Any = None,
        method: Literal["profile", "delta"] = "profile",
    ) -> dict[str, Interval]:
        """Return confidence intervals of the parameters.

        Parameters
        ----------
        level : float
            Coverage, between 0 and 1.
        kind : {"sandwich", "classical", "hessian"}, optional
            What gives the size of the noise. By default the sandwich, except for the squared loss with fewer
            than ten residual degrees of freedom (or a fit saved without its rows), where it is
            ``"classical"``: so few rows cannot show that their noise is unequal.
        by : str or array_like, shape (n,), optional
            Clusters of rows as for `cov`; only with the sandwich.
        method : {"profile", "delta"}
            ``"profile"``: as from `profile`. ``"delta"``: value and standard error with Student's t, for the
            logarithm of positive parameters; it needs no refits.

        Returns
        -------
        dict of str to Interval
            ``(lower, upper)`` by name, with `Interval.lower_end` and `Interval.upper_end`. A fixed parameter
            has an interval of no width, one that the rows do not determine its whole domain. Parameters tied
            to others have the interval of the delta method, which at a bound is NaN.

        Raises
        ------
        ValueError
            If an option is not understood, or `profile` would raise it.

        Notes
        -----
        docs/coverage.md says how often each kind covers the truth, for designs from 9 to 240 rows.

        Examples
        --------
        >>> import numpy as np
        >>> import scalinglaws as sl
        >>> law = sl.Law("y ~ a + b * x", params={"a": sl.Param("real"), "b": sl.Param("real")})
        >>> x = np.arange(8.0)
        >>> noise = np.array([0.1, -0.2, 0.1, 0.0, -0.1, 0.2, 0.0, -0.1])
        >>> fit = sl.fit(law, {"x": x, "y": 1 + 2 * x + noise}, starts={"a": 0, "b": 1})
        >>> lower, upper = fit.conf_int(0.95)["b"]
        >>> round(lower, 3), round(upper, 3)
        (1.944, 2.051)
        """
        from .parameters import parameter_intervals

        return parameter_intervals(self._fit, level, kind, by, method)

    @overload
    def profile(
        self,
        name: str,
        *,
        level: float = 0.95,
        kind: CovKind | None = None,
        by: Any = None,
        points: int = 25,
        executor: ExecutorLike | None = None,
    ) -> Profile: ...

    @overload
    def profile(
        self,
        name: tuple[str, str],
        *,
        level: float = 0.95,
        kind: CovKind | None = None,
        by: Any = None,
        points: int = 25,
        executor: ExecutorLike | None = None,
    ) -> ProfileRegion: ...

    def profile(
        self,
        name: str | tuple[str, str],
        *,
        level: float = 0.95,
        kind: CovKind | None = None,
        by: Any = None,
        points: int = 25,
        executor: ExecutorLike | None = None,
    ) -> Profile | ProfileRegion:
        """Return the profile-likelihood interval of a parameter, or the region of two.

        The parameter is held at a value and all others are fitted again; the interval ends where the lowest
        objective has risen too far. Unlike value and standard error it follows the curvature of the law, does
        not depend on how the law is parametrised, and has one side where a bound or the data leave only one.

        Parameters
        ----------
        name : str or pair of str
            A fitted parameter; ``"A[en]"`` for one value of a grouped one.
        level : float, default 0.95
            Coverage, between 0 and 1.
        kind : {"sandwich", "classical", "hessian"}, optional
            What gives the scale of the noise; by default as for `conf_int`. See the notes.
        by : str or array_like, shape (n,), optional
            Clusters of rows as for `cov`; only with the sandwich.
        points : int, default 25
            Values along the curve (0 for the interval alone), or along each side of the grid of two.
        executor : executor or callable, optional
            Who makes the refits, as for `bootstrap`; worth it for large tables only. One parameter keeps two
            workers busy, for its two sides, and two parameters one for each row of the grid. The result is
            the same to the last bit.

        Returns
        -------
        Profile or ProfileRegion
            Ends, curve and refitted parameters; of two parameters a grid and the outline of the region.

        Raises
        ------
        ValueError
            If the name is not a fitted parameter, an option is not understood, the fit did not converge, or
            it has no residual degrees of freedom.
        BackendError
            If the executor is lost.

        Notes
        -----
        With F the lowest objective at a held value, the statistic is 2 (F - F_min) / kappa, compared with the
        square of Student's t with the fit's degrees of freedom, or for two parameters with twice F(2, dof);
        with clusters and a robust loss the degrees of freedom are their number less one.

        - Squared loss, ``"classical"``: kappa = s^2 = S_min / dof. This is Bates and Watts' profile t
          statistic, exact for a linear law under Gaussian noise of unknown size. The likelihood ratio
          n log(S / S_min) is a rising function of the same number; its chi-square limit ignores that s^2 is
          estimated and gives intervals too short by sqrt(dof / n) and more, which matters for few runs.
        - Sandwich of the squared loss: kappa as below, and for Student's t the degrees of freedom of the
          parameter's variance (Bell and McCaffrey 2002), which few rows of high leverage make few.
        - Otherwise the objective is no likelihood of the noise, and 2 (F - F_min) has the wrong size. It is
          divided by the ratio of the variance asked for to the one that the objective's curvature alone would
          give, taken along the held parameter: kappa = V / H^-1 (the vertical adjustment of Chandler and
          Bate 2007; for two parameters in the direction of the point). Near the best value the interval then
          agrees with the standard error of that kind.

        The threshold stays the two-sided one at a bound, where it is conservative.

        Examples
        --------
        >>> import numpy as np
        >>> import scalinglaws as sl
        >>> law = sl.Law("y ~ a + b * x", params={"a": sl.Param("real"), "b": sl.Param("real")})
        >>> x = np.arange(8.0)
        >>> noise = np.array([0.1, -0.2, 0.1, 0.0, -0.1, 0.2, 0.0, -0.1])
        >>> fit = sl.fit(law, {"x": x, "y": 1 + 2 * x + noise}, starts={"a": 0, "b": 1})
        >>> ends = fit.profile("b")
        >>> round(ends.lower, 3), round(ends.upper, 3)
        (1.944, 2.051)
        """
        from ..executors import Workers
        from .profile import profile
        from .region import profile_pair

        with Workers(executor) as workers:
            if isinstance(name, str):
                return profile(self._fit, name, level=level, kind=kind, by=by, points=points, workers=workers)
            return profile_pair(
                self._fit, name, level=level, kind=kind, by=by, points=points, workers=workers
            )

    @property
    def diagnostics(self) -> Diagnostics:
        """What the runs determine and what they do not: spectrum, flat directions, guards."""
        known = self._fit._known
        if "diagnostics" not in known:
            from .diagnostics import diagnose

            known["diagnostics"] = diagnose(self._fit)
        return cast("Diagnostics", known["diagnostics"])

    def jackknife(
        self,
        by: Any = None,
        *,
        max_iter: int | None = None,
        threads: int | None = None,
        executor: ExecutorLike | None = None,
        progress: Progress | None = None,
        on_interrupt: Interrupt = "raise",
    ) -> Jackknife:
        """Fit again without each row, or without each cluster of rows.

        Parameters
        ----------
        by : str or array_like, shape (n,), optional
            Leave out all rows of one label at a time: a column that the law uses, such as the budget, or one
            label for each row (``by=runs["config"]``). Each row on its own if not given.
        max_iter : int, optional
            Limit on the steps of one refit.
        threads : int, optional
            Number of threads; the result does not depend on it.
        executor : executor or callable, optional
            Who makes the refits, as for `bootstrap`.
        progress : callable, optional
            Called as ``progress(done, total)``.
        on_interrupt : {"raise", "keep"}
            Whether Ctrl-C and the loss of the executor raise, or return what is done with the rest marked
            ``"cancelled"``.

        Returns
        -------
        Jackknife
            Refitted values, influence of each row or cluster, bias and standard errors.

        Raises
        ------
        DataError
            If there are fewer than two clusters, or one leaves too few rows behind.
        BackendError
            If the executor is lost.
        """
        from .jackknife import jackknife

        return jackknife(
            self._fit,
            by,
            max_iter=max_iter,
            threads=threads,
            executor=executor,
            progress=progress,
            on_interrupt=on_interrupt,
        )

    def bootstrap(
        self,
        n: int,
        *,
        kind: BootstrapKind = "pairs",
        by: str | ArrayLike | None = None,
        factor: Factor | None = None,
        starts_per_draw: int | Literal["paper"] = 0,
        rng: Rng = 0,
        max_iter: int | None = None,
        threads: int | None = None,
        executor: ExecutorLike | None = None,
        progress: Progress | None = None,
        on_interrupt: Interrupt = "raise",
    ) -> Bootstrap:
        """Resample the runs and refit them, many times.

        Every draw is refitted from the best fit, from the other basins that resampled rows may prefer, and
        from `starts_per_draw` fresh starts; the lowest counts.

        Parameters
        ----------
        n : int
            Number of draws: some hundreds for standard errors, thousands for intervals.
        kind : {"pairs", "wild", "residual", "parametric"}
            What is random. ``"pairs"``: which runs there are, with replacement; it allows for unequal noise.
            ``"wild"``: the sign or size of each run's own residual, at the runs there are; for ladders that
            were designed, with unequal noise. ``"residual"``: which residual each run gets. ``"parametric"``:
            normal noise of variance rss / dof. In the last two a row of weight w has 1/w of the variance.
        by : str or array_like, optional
            Clusters that are drawn, or get a random factor, as a whole, such as the checkpoints of one run:
            a column that the fit holds (an input, a category, or one named in ``fit(..., keep=[...])``), or
            one label per row.
        factor : {"rademacher", "webb"}, optional
            Random factor of the wild bootstrap: signs, or Webb's six points, the default for fewer than 12
            clusters.
        starts_per_draw : int or "paper"
            Fresh starts for each draw from the start ranges of the law, or the grid of its paper.
        rng : int, Generator, SeedSequence or None
            Seed. Draw i is a function of the seed and i: more draws only add to those of fewer, and the
            number of threads never matters.
        max_iter, threads, progress
            As for `refit`.
        executor : executor or callable, optional
            Who makes the refits instead of the threads of this process: any `concurrent.futures.Executor`,
            dask's ``Client``, or a function that makes one of these, so that one that broke can be replaced.
            The draws are the same to the last bit, whatever the number of workers. Each part of the work
            takes one thread, or `threads`. See "Many fits, many machines" in the guide.
        on_interrupt : {"raise", "keep"}
            Whether Ctrl-C and the loss of the executor raise, or return what is done with the rest marked
            ``"cancelled"``.

        Returns
        -------
        Bootstrap
            Draws of the parameters, with errors, intervals and predictions from them.

        Raises
        ------
        ValueError
            If the fit did not converge, or an option is not understood.
        DataError
            If the fit was saved without its rows, there are fewer clusters than parameters, or no draw could
            be refitted.
        BackendError
            If the executor takes no work, or loses a part of it four times.

        Warns
        -----
        FitWarning
            If more than 2 % of the draws failed.
        RuntimeWarning
            If a worker computes with another instruction set, or the executor was lost and
            ``on_interrupt="keep"``.

        Notes
        -----
        Residuals of wild and residual draws are multiplied by sqrt(n / (n - k)) for n rows and k parameters,
        in clusters by sqrt(g / (g - 1) (n - 1) / (n - k)), and added where residuals are taken: on the
        logarithm for log residuals. Rows of weight zero are never drawn.

        A prior is one more observation of its parameter. Where noise is made anew (wild, residual,
        parametric), its centre is drawn anew, too, with its own width about the fit; pairs leave it where it
        is, and say nothing of its width.

        Examples
        --------
        >>> import numpy as np
        >>> import scalinglaws as sl
        >>> law = sl.Law("L ~ A / N**alpha", params={
        ...     "A": sl.Param("positive", start=(1, 1e5), sampling="log"),
        ...     "alpha": sl.Param("positive", start=(0.05, 1)),
        ... })
        >>> N = np.geomspace(1e7, 1e10, 20)
        >>> noise = np.random.default_rng(0).normal(0, 0.01, 20)
        >>> fit = sl.fit(law, {"N": N, "L": 50 / N**0.12 * np.exp(noise)}, residual="log")
        >>> boot = fit.bootstrap(1000)
        >>> low, high = boot.conf_int(0.95)["alpha"]
        >>> low < 0.12 < high
        True
        """
        from .bootstrap import bootstrap

        return bootstrap(
            self._fit,
            n,
            kind=kind,
            by=by,
            factor=factor,
            starts_per_draw=starts_per_draw,
            rng=rng,
            max_iter=max_iter,
            threads=threads,
            executor=executor,
            progress=progress,
            on_interrupt=on_interrupt,
        )

    def sample(
        self,
        draws: int = 1000,
        chains: int = 4,
        *,
        tune: int | None = None,
        noise: Noise = "estimated",
        priors: Mapping[str, Prior] | None = None,
        rng: Rng = 0,
        progress: Progress | None = None,
    ) -> Posterior:
        """Draw parameters from their posterior.

        Each chain is an ensemble of walkers of its own (emcee: Foreman-Mackey et al. 2013), moved by
        differences of other walkers, so that curved valleys and kinks of the loss do no harm.
        Needs the extra ``sample``.

        Parameters
        ----------
        draws : int
            Draws of each chain, at least 4.
        chains : int
            Number of chains.
        tune : int, optional
            Steps before the first draw; by default as many as it takes: twenty autocorrelation times.
        noise : {"estimated", "weights"}
            Whether the scale s of the noise is unknown, with the prior 1 / s, or 1: then weights are
            1 / sigma**2 of each run.
        priors : mapping of str to Prior, optional
            Priors by parameter; those of the fit if not given.
        rng : int, Generator, SeedSequence or None
            Seed. More chains only add to those of fewer.
        progress : callable, optional
            Called as ``progress(done, total)`` in draws.

        Returns
        -------
        Posterior
            Draws with intervals, predictions, R-hat and effective numbers of draws.

        Raises
        ------
        ValueError
            If the fit did not converge, there are no more runs than parameters and the noise is unknown, the
            runs and priors do not determine a direction, or an option is not understood.
        DataError
            If the fit was saved without its rows.
        ImportError
            If emcee or arviz-stats is missing.

        Warns
        -----
        FitWarning
            Once, if the draws should not be used as they are: R-hat above 1.01, fewer than 400 effective
            draws in bulk or tail (Vehtari et al. 2021), a chain that was too short to forget its start, or a
            flat prior that reaches to infinity where the runs do not stop it at the 99.9 % level.

        Notes
        -----
        A residual r of a run of weight w has the density exp(-w rho(r) / s) / Z(s / w): normal for the
        squared loss, Laplace's for the absolute one. For the robust losses this is a working likelihood;
        where it is wrong, so are the intervals, while a pairs bootstrap stays right.

        Priors are densities here. In `fit` they are penalties, added to an objective that knows nothing of
        the noise: as strong as a run of weight w with w = 1 / sigma**2, which unweighted runs are not. So
        with priors and unknown noise the draws are not centred at the fit.

        A parameter without a prior is flat on its domain: in its logarithm if the law samples its starts
        there (then the domain must not contain zero), else in itself. A term that only shifts the law, such
        as an irreducible loss, is always flat in itself: in its logarithm it would have infinite mass at
        zero, and few ladders keep it from there.

        Examples
        --------
        >>> import numpy as np
        >>> import scalinglaws as sl
        >>> law = sl.Law("y ~ a + b * x", params={"a": sl.Param("real"), "b": sl.Param("real")})
        >>> x = np.arange(12.0)
        >>> noise = np.tile([0.1, -0.2, 0.1, 0.0], 3)
        >>> fit = sl.fit(law, {"x": x, "y": 1 + 2 * x + noise}, starts={"a": 0, "b": 1})
        >>> post = fit.sample()
        >>> post.valid, post.draws.shape
        (True, (4, 1000, 2))
        >>> low, high = post.conf_int(0.95)["b"]
        >>> low < 2 < high
        True
        """
        from ..posterior.sampling import sample

        return sample(
            self._fit, draws, chains, tune=tune, noise=noise, priors=priors, rng=rng, progress=progress
        )

    # ---------------------------------------------------------------- inside

    def _clustered(self, kind: CovKind | None, by: Any) -> NDArray[np.float64]:
        fit = self._fit
        fit._interval_kind(kind, by)
        problem = fit._need_rows("cov(by=...)")
        chosen = problem.free & (at_bounds(problem, fit._theta) == 0)
        clusters = read_clusters(fit, by, least=int(chosen.sum()) + 1)
        with np.errstate(all="ignore"):
            inner, _ = covariance(problem, fit._theta, chosen, fit.dof, "sandwich", clusters.codes)
        return self._spread(chosen, inner)

    def _spread(self, chosen: NDArray[np.bool_], inner: NDArray[np.float64]) -> NDArray[np.float64]:
        """Covariance of all parameters from that of the chosen ones."""
        fit = self._fit
        cov = np.zeros((chosen.size, chosen.size))
        cov[np.ix_(chosen, chosen)] = inner
        return fit._through_ties(cov)
