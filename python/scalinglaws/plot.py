"""Plots of a fit. Needs the extra ``plot`` (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import near
from .panels import decades_of, draw_panels, log_if_wide, profile_curve, profile_region

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from .result import Fit
    from .uncertainty.bootstrap import Bootstrap
    from .uncertainty.intervals import IntervalKind
    from .uncertainty.jackknife import Jackknife
    from .uncertainty.profile import Profile
    from .uncertainty.region import ProfileRegion

__all__ = ["FitPlot"]

_CURVES = 5


class FitPlot:
    """Plots of one fit; reached as ``fit.plot``.

    Parameters
    ----------
    fit : Fit
        The fit; it must hold its rows.
    """

    def __init__(self, fit: Fit) -> None:
        self._fit = fit

    def residuals(self, x: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Plot residuals against an input, or against the fitted values.

        Parameters
        ----------
        x : str, optional
            The input on the horizontal axis; the fitted values if not given.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        matplotlib Axes
            The axes, for further changes.
        """
        fit = self._fit
        problem = fit._need_rows("plot.residuals")
        across = fit.fittedvalues if x is None else self._input(x)
        ax = _axes(ax)
        ax.axhline(0.0, color="0.6", linewidth=0.8)
        ax.scatter(across, fit.residuals, s=14, alpha=0.7, linewidths=0)
        if fit.dof > 0:
            spread = float(np.sqrt(fit.rss / fit.dof))
            for side in (-spread, spread):
                ax.axhline(side, color="0.6", linewidth=0.8, linestyle=":")
        log_if_wide(ax.xaxis, across)
        target = fit.law.target
        ax.set_xlabel(f"fitted {target}" if x is None else x)
        ax.set_ylabel(f"log {target} - log fitted" if problem.residual == "log" else f"{target} - fitted")
        return ax

    def loss(self, x: str | None = None, *, by: str | None = None, ax: Axes | None = None) -> Axes:
        """Plot the observed target and the law against one input.

        Parameters
        ----------
        x : str, optional
            The input on the horizontal axis; the one that varies over most decades if not given.
        by : str, optional
            A second input for colour; curves are drawn at five of its values. The next most varying if not
            given.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        matplotlib Axes
            The axes, for further changes.

        Notes
        -----
        Inputs other than `x` and `by` are held at their median along the curves, and only the first category
        of a categorical column is drawn; the points are all rows.
        """
        fit = self._fit
        problem = fit._need_rows("plot.loss")
        order = sorted(problem.inputs, key=lambda name: -decades_of(problem.inputs[name]))
        if x is None:
            if not order:
                raise ValueError("the law has no input to plot against")
            x = order[0]
        across = self._input(x)
        others = [name for name in order if name != x and np.ptp(problem.inputs[name]) > 0.0]
        by = by if by is not None else (others[0] if others else None)
        ax = _axes(ax)
        held: dict[str, Any] = {name: float(np.median(problem.inputs[name])) for name in problem.inputs}
        held |= {column: labels[0] for column, labels in problem.categories.items()}
        # Logarithms: where the column allows it, equal steps on a log axis are what a reader sees as even.
        grid = _grid(across)
        if by is None:
            ax.scatter(across, problem.target, s=14, alpha=0.7, linewidths=0, label="runs")
            ax.plot(grid, self._curve({**held, x: grid}), color="0.2", linewidth=1.2, label="fit")
        else:
            from matplotlib import colormaps
            from matplotlib.cm import ScalarMappable
            from matplotlib.colors import LogNorm, Normalize

            shade = self._input(by)
            norm: Normalize = LogNorm() if shade.min() > 0.0 else Normalize()
            norm.autoscale(shade)
            ax.scatter(across, problem.target, c=shade, norm=norm, cmap="viridis", s=14, linewidths=0)
            levels = np.unique(np.quantile(shade, np.linspace(0.0, 1.0, _CURVES), method="nearest"))
            for level in levels:
                color = colormaps["viridis"](norm(float(level)))
                ax.plot(grid, self._curve({**held, by: float(level), x: grid}), color=color, linewidth=1.0)
            _figure(ax).colorbar(ScalarMappable(norm=norm, cmap="viridis"), ax=ax, label=by)
        log_if_wide(ax.xaxis, across)
        if decades_of(problem.target) > 1.0:
            ax.set_yscale("log")
        ax.set_xlabel(x)
        ax.set_ylabel(str(fit.law.target))
        return ax

    def profile(
        self,
        name: str | tuple[str, str] | Profile | ProfileRegion,
        *,
        level: float = 0.95,
        ax: Axes | None = None,
        **options: Any,
    ) -> Axes:
        """Plot the profile likelihood of one parameter or of two.

        Parameters
        ----------
        name : str, pair of str, Profile or ProfileRegion
            What `Fit.profile` takes, or what it gave.
        level : float, default 0.95
            Coverage of the interval or region; not used if a profile is given.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        **options
            Passed on to `Fit.profile`: ``kind``, ``by``, ``points``.

        Returns
        -------
        matplotlib Axes
            Of one parameter: the square root of the statistic over the held value, straight lines for a law
            that is linear in it, with the interval shaded. Of two: the outline of the region, over shades of
            the statistic.

        Notes
        -----
        An interval that goes on to a bound or to infinity is shaded as far as the curve was followed, and
        the end is named. A region too thin for its grid is filled in one colour: shades between so few
        points would show the grid.
        """
        from .uncertainty.profile import Profile
        from .uncertainty.region import ProfileRegion

        given = isinstance(name, Profile | ProfileRegion)
        if given and options:
            raise ValueError(f"{next(iter(options))}= has no effect on a profile that is already there")
        shown: Any = name if given else self._fit.profile(name, level=level, **options)  # type: ignore[arg-type]
        ax = _axes(ax)
        return profile_region(ax, shown) if isinstance(shown, ProfileRegion) else profile_curve(ax, shown)

    def bootstrap(
        self,
        boot: Bootstrap | int = 1000,
        names: str | Sequence[str] | None = None,
        *,
        level: float = 0.95,
        kind: IntervalKind | None = None,
        axes: Any = None,
        **options: Any,
    ) -> NDArray[Any]:
        """Plot the draws of a bootstrap: each parameter, and each pair of them.

        Parameters
        ----------
        boot : Bootstrap or int, default 1000
            What `Fit.bootstrap` gave, or how many draws to make.
        names : str or sequence of str, optional
            The parameters to show; all that vary if not given.
        level : float, default 0.95
            Coverage of the intervals.
        kind : {"percentile", "basic", "bca", "t"}, optional
            Kind of interval, as for `Bootstrap.conf_int`.
        axes : array of matplotlib Axes, shape (m, m), optional
            Where to draw; a new figure if not given.
        **options
            Passed on to `Fit.bootstrap` where draws are made: ``by``, ``rng``, ...

        Returns
        -------
        ndarray of matplotlib Axes, shape (m, m)
            On the diagonal a histogram of each of the m parameters with the fit (line) and the interval
            (shaded), below it each pair; panels above the diagonal are empty.

        Notes
        -----
        An axis reaches over the middle 99 % of the draws, the fit and the interval. It is logarithmic where
        all of these are positive, the 1 % and 99 % quantiles of the draws are more than a factor of ten
        apart, and the median is nearer to the middle between them on the logarithm. The title counts the
        draws that failed and those that lie beyond the axis of at least one parameter.
        """
        if isinstance(boot, int):
            draws = self._fit.bootstrap(boot, **options)
        elif options:
            raise ValueError(f"{next(iter(options))}= has no effect on a bootstrap that is already there")
        else:
            draws = boot
        varied = [name for name, param in self._fit.params.items() if param.vary]
        chosen = [names] if isinstance(names, str) else varied if names is None else list(names)
        for name in chosen:
            if name not in draws.names:
                raise ValueError(f"the fit has no parameter {name!r}.{near(name, draws.names)}")
        panels = _panels(axes, len(chosen))
        shown = {name: draws.draws[draws.ok, draws.names.index(name)] for name in chosen}
        ends = draws.conf_int(level) if kind is None else draws.conf_int(level, kind)
        beyond = draw_panels(panels, shown, self._fit.values, ends)
        failed = sum(draws.failures.values())
        title = f"{len(draws.status)} draws ({draws.kind}), {100 * level:g} % intervals"
        missing = [f"{failed} failed"] * (failed > 0) + [f"{beyond} beyond the axes"] * (beyond > 0)
        # On a line of its own, as one panel is too narrow for both.
        title = "\n".join([title, ", ".join(missing)]) if missing else title
        panels[0, 0].set_title(title, fontsize=9, loc="left")
        return panels

    def extrapolation(
        self,
        x: str | None = None,
        *,
        at: Mapping[str, Any] | None = None,
        decades: float = 3.0,
        level: float = 0.9,
        boot: Bootstrap | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Plot the law and its intervals beyond the runs.

        Parameters
        ----------
        x : str, optional
            The input on the horizontal axis; the one that varies over most decades if not given.
        at : mapping, optional
            Values at which to hold other inputs, and the category to show.
        decades : float, default 3
            How far beyond its largest run to follow `x`, in powers of ten.
        level : float, default 0.9
            Coverage of the bands.
        boot : Bootstrap, optional
            Take intervals from these draws, and not from `Fit.predict`.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        matplotlib Axes
            The runs, the law, the band of the law (dark) and of a new run (light). Behind the runs the ground
            is shaded, and each full decade beyond them is marked.

        Notes
        -----
        Inputs that `at` does not hold grow with `x` as they do from the smallest to the largest runs: by the
        same share of their own range, on the logarithm. That is how ladders are built; the runs are drawn
        wherever they lie. The bands hold if the law does; that it does is what an extrapolation assumes.
        """
        fit = self._fit
        problem = fit._need_rows("plot.extrapolation")
        if not decades > 0.0:
            raise ValueError(f"decades must be positive, not {decades!r}")
        x, path = self._path(x, dict(at or {}), decades)
        source = fit if boot is None else boot
        law, new = (source.predict(path, level, new_run=new_run) for new_run in (False, True))
        ax = _axes(ax)
        across = path[x]
        for band, what, alpha in ((new, "new run", 0.15), (law, "law", 0.35)):
            words = f"{what}, {100 * level:g} %"
            ax.fill_between(across, band.lower, band.upper, alpha=alpha, color="tab:blue", lw=0, label=words)
        ax.plot(across, law.mean, color="0.2", linewidth=1.2, label="fit")
        ax.scatter(problem.inputs[x], problem.target, s=14, color="0.3", linewidths=0, zorder=3, label="runs")
        ax.axvspan(float(problem.inputs[x].max()), float(across[-1]), color="0.5", alpha=0.08, linewidth=0)
        for decade in range(1, int(np.max(law.decades) + 1e-9) + 1):
            beyond = across[(law.decades >= decade - 1e-9) & (across > problem.inputs[x].max())]
            ax.axvline(float(beyond[0]), color="0.6", linewidth=0.8, linestyle=":")
            words = f"{decade} decade" + ("s" if decade > 1 else "")
            place: dict[str, Any] = {
                "xycoords": ax.get_xaxis_transform(),
                "rotation": 90,
                "va": "top",
                "ha": "right",
            }
            ax.annotate(words, (float(beyond[0]), 0.98), fontsize=8, **place)
        log_if_wide(ax.xaxis, across)
        if decades_of(np.append(law.mean, problem.target)) > 1.0:
            ax.set_yscale("log")
        ax.set_xlabel(x)
        ax.set_ylabel(str(fit.law.target))
        ax.legend(fontsize=8)
        return ax

    def _path(self, x: str | None, at: dict[str, Any], decades: float) -> tuple[str, dict[str, Any]]:
        """Input to plot against, and points from its smallest run to some decades beyond its largest."""
        problem = self._fit._problem
        inputs = problem.inputs
        for name in at:
            if name not in inputs and name not in problem.categories:
                known = [*inputs, *problem.categories]
                raise ValueError(f"at names {name!r}, which is no input of the law.{near(name, known)}")
        if x is None:
            free = [name for name in inputs if name not in at]
            if not free:
                raise ValueError("there is no input to plot against")
            x = max(free, key=lambda name: decades_of(inputs[name]))
        column = self._input(x)
        if x in at:
            raise ValueError(f"at holds {x!r}, which is the horizontal axis")
        if not column.min() > 0.0 or decades_of(column) <= 0.0:
            raise ValueError(f"{x!r} has no range of positive values to extrapolate")
        low, high = float(np.log10(column.min())), float(np.log10(column.max()))
        # As many points to each decade, so that the marks fall on points.
        steps = np.linspace(low, high + decades, 241)
        share = (steps - low) / (high - low)
        path: dict[str, Any] = {column: labels[0] for column, labels in problem.categories.items()}
        for name, other in inputs.items():
            if name in at:
                continue
            if decades_of(other) > 0.0:
                bottom, top = float(np.log10(other.min())), float(np.log10(other.max()))
                path[name] = 10.0 ** (bottom + share * (top - bottom))
            elif np.ptp(other) == 0.0:
                path[name] = float(other[0])
            else:
                raise ValueError(
                    f"{name!r} is not positive in every run, so it cannot grow with {x!r}: hold it with "
                    f"at={{{name!r}: value}}"
                )
        return x, {**path, **at}

    def influence(
        self, by: Any = None, *, jackknife: Jackknife | None = None, label: int = 5, ax: Axes | None = None
    ) -> Axes:
        """Plot how far each row or cluster moves the fit.

        Parameters
        ----------
        by : str or array_like, optional
            Clusters, as for `Fit.jackknife`.
        jackknife : Jackknife, optional
            What `Fit.jackknife` gave, to plot it without new refits.
        label : int, default 5
            How many of the most influential ones to name.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        matplotlib Axes
            The Cook-like distance of each; refits that are not valid stand as crosses on the upper edge.
        """
        if by is not None and jackknife is not None:
            raise ValueError("by= has no effect on a jackknife that is already there")
        found = self._fit.jackknife(by) if jackknife is None else jackknife
        ax = _axes(ax)
        place = np.arange(len(found.keys))
        good = found.valid & np.isfinite(found.cook)
        ax.vlines(place[good], 0.0, found.cook[good], color="0.3", linewidth=1.0)
        ax.scatter(place[good], found.cook[good], s=12, color="0.3", linewidths=0)
        ax.set_ylim(bottom=0.0)
        if not good.all():
            top = np.full(int((~good).sum()), 1.0)
            edge = ax.get_xaxis_transform()
            ax.scatter(place[~good], top, marker="x", color="tab:red", transform=edge, clip_on=False)
        for key, cook in found.most(label):
            index = found.keys.index(key)
            if good[index]:
                ax.annotate(str(key), (index, cook), xytext=(3, 2), textcoords="offset points", fontsize=8)
        ax.set_xlabel("row" if found.by is None else f"cluster ({found.by})")
        ax.set_ylabel("influence (Cook-like distance)")
        return ax

    def _input(self, name: str) -> NDArray[np.float64]:
        inputs = self._fit._problem.inputs
        if name not in inputs:
            raise ValueError(f"the law has no input {name!r}.{near(name, inputs)}")
        return inputs[name]

    def _curve(self, at: dict[str, Any]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = np.asarray(self._fit.predict(at).mean)
        return mean


def _panels(axes: Any, count: int) -> NDArray[Any]:
    if axes is not None:
        panels = np.array(axes, dtype=object, ndmin=2)
        if panels.shape != (count, count):
            raise ValueError(f"axes must have the shape {(count, count)}, not {panels.shape}")
        return panels
    size = max(3.0, 1.6 * count)
    made: NDArray[Any] = _pyplot().subplots(
        count, count, figsize=(size, size), sharex="col", squeeze=False, layout="constrained"
    )[1]
    return made


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    made: Axes = _pyplot().subplots(layout="constrained")[1]
    return made


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'scalinglaws[plot]'") from None
    return plt


def _figure(ax: Axes) -> Figure:
    figure: Any = ax.get_figure()
    return figure  # type: ignore[no-any-return]


def _grid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    return np.geomspace(low, high, 200) if low > 0.0 else np.linspace(low, high, 200)
