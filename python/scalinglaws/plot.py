"""Plots of a fit. Needs the extra ``plot`` (matplotlib)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from .jackknife import Jackknife
    from .profile import Profile
    from .region import ProfileRegion
    from .result import Fit

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
        _log_if_wide(ax, across)
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

        Notes ----- Inputs other than `x` and `by` are held at their median along the curves, and only the
        first category of a categorical column is drawn; the points are all rows.
        """
        fit = self._fit
        problem = fit._need_rows("plot.loss")
        order = sorted(problem.inputs, key=lambda name: -_decades(problem.inputs[name]))
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
        _log_if_wide(ax, across)
        if _decades(problem.target) > 1.0:
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
            that is linear in it, with the interval shaded. Of
            two: the statistic as shades with the outline of the region.
        """
        from .profile import Profile
        from .region import ProfileRegion

        given = isinstance(name, Profile | ProfileRegion)
        if given and options:
            raise ValueError(f"{next(iter(options))}= has no effect on a profile that is already there")
        shown: Any = name if given else self._fit.profile(name, level=level, **options)  # type: ignore[arg-type]
        ax = _axes(ax)
        return _region(ax, shown) if isinstance(shown, ProfileRegion) else _curve(ax, shown)

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
            from .errors import near

            raise ValueError(f"the law has no input {name!r}.{near(name, inputs)}")
        return inputs[name]

    def _curve(self, at: dict[str, Any]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = np.asarray(self._fit.predict(at).mean)
        return mean


def _curve(ax: Axes, shown: Profile) -> Axes:
    root = np.sqrt(shown.statistic)
    ax.plot(shown.values, root, color="0.2", linewidth=1.2, marker="o", markersize=2.5)
    low = shown.lower if np.isfinite(shown.lower) else shown.values[0]
    high = shown.upper if np.isfinite(shown.upper) else shown.values[-1]
    ax.axvspan(low, high, color="tab:blue", alpha=0.12, linewidth=0)
    ax.axhline(float(np.sqrt(shown.threshold)), color="0.6", linewidth=0.8, linestyle=":")
    ax.axvline(shown.value, color="0.6", linewidth=0.8)
    ax.set_xlabel(shown.name)
    ax.set_ylabel("root of the profile statistic")
    ax.set_ylim(bottom=0.0)
    if shown.values[0] > 0.0:
        _log_if_wide(ax, shown.values)
    return ax


def _region(ax: Axes, shown: ProfileRegion) -> Axes:
    if shown.statistic.size:
        root = np.sqrt(shown.statistic)
        levels = np.linspace(0.0, 3.0, 13) * float(np.sqrt(shown.threshold))
        ax.contourf(*shown.values, root.T, levels=levels, cmap="Blues_r", extend="max")
    edge = np.concatenate([shown.outline, shown.outline[:1]])
    ax.plot(edge[:, 0], edge[:, 1], color="tab:red", linewidth=1.2)
    ax.plot(*shown.best, marker="+", color="tab:red", markersize=8)
    ax.set_xlabel(shown.names[0])
    ax.set_ylabel(shown.names[1])
    return ax


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'scalinglaws[plot]'") from None
    made: Axes = plt.subplots(layout="constrained")[1]
    return made


def _figure(ax: Axes) -> Figure:
    figure: Any = ax.get_figure()
    return figure  # type: ignore[no-any-return]


def _decades(values: NDArray[np.float64]) -> float:
    if values.min() > 0.0:
        return float(np.log10(values.max() / values.min()))
    # A column with zeros or signs has no decades; it comes after those that have.
    return -1.0 if np.ptp(values) > 0.0 else -2.0


def _grid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    return np.geomspace(low, high, 200) if low > 0.0 else np.linspace(low, high, 200)


def _log_if_wide(ax: Axes, values: NDArray[np.float64]) -> None:
    if _decades(values) > 1.0:
        ax.set_xscale("log")
