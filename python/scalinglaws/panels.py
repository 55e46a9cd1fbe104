"""Panels that plots of a fit are made of: profiles, regions, and draws of the parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from .uncertainty.intervals import Interval
    from .uncertainty.profile import Profile
    from .uncertainty.region import ProfileRegion

__all__ = ["Span", "decades_of", "draw_panels", "log_if_wide", "profile_curve", "profile_region", "span"]

# Share of the draws between the limits of an axis, and the room beyond them.
_SHOWN = 0.99
_MARGIN = 0.05
# Draws of which the 99 % quantile is this many times the 1 % quantile need a logarithmic axis.
_WIDE = 10.0
_BINS = 50
# Grid points across a region, in most of its rows and columns, from which contours follow its shape.
_RESOLVED = 4


def profile_curve(ax: Axes, shown: Profile) -> Axes:
    """Draw the profile of one parameter, and shade its interval as far as the curve goes."""
    root = np.sqrt(shown.statistic)
    ax.plot(shown.values, root, color="0.2", linewidth=1.2, marker="o", markersize=2.5)
    first, last = float(shown.values[0]), float(shown.values[-1])
    ax.axvspan(max(shown.lower, first), min(shown.upper, last), color="tab:blue", alpha=0.12, linewidth=0)
    # Refits do not follow a parameter all the way to a bound or to infinity: what was not computed is said.
    place: dict[str, Any] = {"xycoords": ax.get_xaxis_transform(), "va": "top", "fontsize": 8}
    rounding = 1e-6 * (last - first)
    if shown.lower < first - rounding:
        ax.annotate(f" \N{LEFTWARDS ARROW} to {shown.lower:.3g}", (first, 0.98), ha="left", **place)
    if shown.upper > last + rounding:
        ax.annotate(f"to {shown.upper:.3g} \N{RIGHTWARDS ARROW} ", (last, 0.98), ha="right", **place)
    ax.axhline(float(np.sqrt(shown.threshold)), color="0.6", linewidth=0.8, linestyle=":")
    ax.axvline(shown.value, color="0.6", linewidth=0.8)
    ax.set_xlabel(shown.name)
    ax.set_ylabel("root of the profile statistic")
    ax.set_ylim(bottom=0.0)
    log_if_wide(ax.xaxis, shown.values)
    return ax


def profile_region(ax: Axes, shown: ProfileRegion) -> Axes:
    """Draw the joint region of two parameters, with contours of the statistic where the grid shows them."""
    edge = np.concatenate([shown.outline, shown.outline[:1]])
    if _resolved(shown.inside):
        root = np.sqrt(shown.statistic)
        levels = np.linspace(0.0, 3.0, 13) * float(np.sqrt(shown.threshold))
        ax.contourf(*shown.values, root.T, levels=levels, cmap="Blues_r", extend="max")
        extent = shown.values
    else:
        ax.fill(edge[:, 0], edge[:, 1], color="tab:blue", alpha=0.2, linewidth=0)
        extent = (edge[:, 0], edge[:, 1])
    ax.plot(edge[:, 0], edge[:, 1], color="tab:red", linewidth=1.2)
    ax.plot(*shown.best, marker="+", color="tab:red", markersize=8)
    for axis, values in zip((ax.xaxis, ax.yaxis), extent, strict=True):
        log_if_wide(axis, values)
    ax.set_xlabel(shown.names[0])
    ax.set_ylabel(shown.names[1])
    return ax


def _resolved(inside: NDArray[np.bool_]) -> bool:
    """Whether enough grid points lie in a region: contours of a thin ridge show the grid, not the law."""
    for axis in (0, 1):
        across = inside.sum(axis=axis)
        if not across.any() or np.median(across[across > 0]) < _RESOLVED:
            return False
    return True


@dataclass(frozen=True)
class Span:
    """What an axis shows.

    Parameters
    ----------
    low, high : float
        Limits.
    log : bool
        Whether the axis is logarithmic.
    """

    low: float
    high: float
    log: bool

    def inside(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which values lie between the limits, shape (n,)."""
        return (self.low <= values) & (values <= self.high)

    def steps(self, count: int) -> NDArray[np.float64]:
        """Return numbers from one limit to the other that are even on the axis, shape (count,)."""
        return (np.geomspace if self.log else np.linspace)(self.low, self.high, count)

    def apply(self, ax: Axes, which: Literal["x", "y"]) -> None:
        """Give the limits and the scale to the axis ``"x"`` or ``"y"``."""
        ax.set(**{f"{which}scale": "log" if self.log else "linear"})
        ax.set(**{f"{which}lim": (self.low, self.high)})
        if not self.log:
            ax.locator_params(axis=which, nbins=3 if which == "x" else 4)


def span(draws: NDArray[np.float64], marks: Iterable[float]) -> Span:
    """Return the axis for draws of a parameter.

    Parameters
    ----------
    draws : ndarray of float, shape (n,)
        The draws.
    marks : iterable of float
        What must be seen whatever the draws are; values that are not finite are left out.

    Returns
    -------
    Span
        The middle 99 % of the draws and all marks, with a margin; logarithmic where all are positive and the
        draws spread over more than a factor of ten, more evenly on the logarithm.
    """
    draws, seen = draws[np.isfinite(draws)], np.array([mark for mark in marks if np.isfinite(mark)])
    both = np.concatenate([draws, seen])
    log = bool(draws.size) and both.min() > 0.0 and _needs_log(draws)
    if draws.size:
        # Quantiles of the logarithms, so that a far draw weighs no more than it shows.
        middle = np.quantile(np.log(draws) if log else draws, [0.5 - 0.5 * _SHOWN, 0.5 + 0.5 * _SHOWN])
        seen = np.concatenate([np.log(seen) if log else seen, middle])
    low, high = float(seen.min()), float(seen.max())
    room = _MARGIN * ((high - low) or abs(high) or 1.0)
    low, high = low - room, high + room
    return Span(float(np.exp(low)), float(np.exp(high)), True) if log else Span(low, high, False)


def _needs_log(draws: NDArray[np.float64]) -> bool:
    """Whether positive draws spread widely, and more evenly on the logarithm."""
    ends = np.quantile(draws, [0.01, 0.5, 0.99])
    if not ends[2] > _WIDE * ends[0]:
        return False
    # A few draws near a bound of zero reach down to 1e-100: on a logarithm one would see nothing else.
    plain, logs = (abs(high + low - 2.0 * mid) / (high - low) for low, mid, high in (ends, np.log(ends)))
    return bool(logs < plain)


def draw_panels(
    panels: NDArray[Any],
    draws: dict[str, NDArray[np.float64]],
    best: dict[str, float],
    ends: dict[str, Interval],
) -> int:
    """Draw each parameter and each pair of them.

    Parameters
    ----------
    panels : ndarray of matplotlib Axes, shape (m, m)
        Where to draw.
    draws : dict of str to ndarray of float, each of shape (n,)
        Draws of the m parameters.
    best : dict of str to float
        Values of the fit.
    ends : dict of str to Interval
        Intervals.

    Returns
    -------
    int
        Draws of which at least one parameter lies beyond its axis.
    """
    spans = {name: span(values, [best[name], *ends[name]]) for name, values in draws.items()}
    for (row, first), (column, second) in product(enumerate(draws), repeat=2):
        ax = panels[row, column]
        if column > row:
            ax.set_axis_off()
            continue
        if row == column:
            _histogram(ax, draws[first], spans[first], best[first], ends[first])
        else:
            ax.scatter(draws[second], draws[first], s=3, alpha=0.3, linewidths=0)
            ax.plot(best[second], best[first], "+", color="tab:red")
            spans[first].apply(ax, "y")
        spans[second].apply(ax, "x")
        ax.set_xlabel(second if row == len(draws) - 1 else "")
        ax.set_ylabel(first if column == 0 and row > 0 else "")
        ax.tick_params(labelleft=column == 0, labelsize=8)
    return int((~np.all([spans[name].inside(values) for name, values in draws.items()], axis=0)).sum())


def _histogram(ax: Axes, values: NDArray[np.float64], across: Span, best: float, ends: Interval) -> None:
    shown = values[across.inside(values)]
    # The square root: rules that divide by a quartile range fail where half of the draws are alike.
    bins = int(np.clip(np.sqrt(len(shown)), 5, _BINS))
    ax.hist(shown, bins=across.steps(bins + 1).tolist(), color="0.7")
    if np.isfinite(ends).all():
        ax.axvspan(*ends, color="tab:blue", alpha=0.12, linewidth=0)
    ax.axvline(best, color="tab:red", linewidth=1.0)
    ax.set_yticks([])


def decades_of(values: NDArray[np.float64]) -> float:
    """Return how many powers of ten a column spans; negative if it is not positive throughout."""
    if values.min() > 0.0:
        return float(np.log10(values.max() / values.min()))
    # A column with zeros or signs has no decades; it comes after those that have.
    return -1.0 if np.ptp(values) > 0.0 else -2.0


def log_if_wide(axis: Any, values: NDArray[np.float64]) -> None:
    """Make a matplotlib axis logarithmic where its values span more than a power of ten."""
    if decades_of(values) > 1.0:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
