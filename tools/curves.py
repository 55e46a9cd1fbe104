"""Small line plots as SVG text: the same curves give the same bytes on every machine.

Coordinates are rounded to a tenth of a pixel, there is no metadata, and no plotting library whose next
version would draw something else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

__all__ = ["Axis", "plot", "short"]

WIDTH, HEIGHT = 460, 270
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 28, 42
COLORS = ("#2166ac", "#1b7837", "#b2182b")
# An axis is logarithmic where its values reach over more than this factor.
WIDE = 12.0


class Axis:
    """Where the values of one direction lie on the page.

    Parameters
    ----------
    values : array_like
        All values that the axis has to show; what is not finite is left out.
    start, stop : float
        Pixels of its ends.
    logarithmic : bool, optional
        Whether the axis is logarithmic; where the values are positive and reach far if not given.

    Raises
    ------
    ValueError
        If no value is finite.
    """

    def __init__(
        self, values: NDArray[np.float64], start: float, stop: float, *, logarithmic: bool | None = None
    ) -> None:
        finite = np.asarray(values, dtype=float)
        finite = finite[np.isfinite(finite)]
        if not finite.size:
            raise ValueError("there is nothing to draw: no value is finite")
        low, high = float(finite.min()), float(finite.max())
        wide = low > 0.0 and high > WIDE * low
        self.logarithmic = wide if logarithmic is None else logarithmic and low > 0.0
        self.start, self.stop = start, stop
        ends = (math.log10(low), math.log10(high)) if self.logarithmic else (low, high)
        # A constant is drawn in the middle.
        room = 0.5 * max(abs(ends[0]), 1.0) if ends[1] - ends[0] <= 1e-12 * max(map(abs, ends)) else 0.0
        self.low, self.high = ends[0] - room, ends[1] + room

    def pixels(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return pixels of values; NaN where a logarithmic axis cannot show one."""
        with np.errstate(divide="ignore", invalid="ignore"):
            shown = np.log10(values) if self.logarithmic else np.asarray(values, dtype=float)
        return self.start + (self.stop - self.start) * (shown - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return round values on the axis, about five of them."""
        span = self.high - self.low
        if not self.logarithmic:
            step = 10.0 ** math.floor(math.log10(span / 4.0))
            step *= next(factor for factor in (1.0, 2.0, 5.0, 10.0) if span / (factor * step) <= 5.5)
            first = math.ceil(self.low / step - 1e-9)
            return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]
        stride = max(1, math.ceil(span / 6.0))
        whole = range(math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9) + 1)
        if len(whole) >= 3:
            return [10.0**k for k in whole if k % stride == 0]
        parts = (1.0, 2.0, 5.0)
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        fine = [part * 10.0**k for k in decades for part in parts]
        return [tick for tick in fine if self.low - 1e-9 <= math.log10(tick) <= self.high + 1e-9]


def short(value: float) -> str:
    """Return a number as briefly as a label needs it.

    Parameters
    ----------
    value : float
        A number.

    Returns
    -------
    str
        Three significant digits, without a plus sign or leading zeros in the exponent.

    Examples
    --------
    >>> short(1e8), short(0.25), short(12345.0), short(-0.0)
    ('1e8', '0.25', '1.23e4', '0')
    """
    text = f"{value + 0.0:.3g}"
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa}e{int(power)}" if exponent else text


def plot(
    x: NDArray[np.float64],
    curves: Mapping[str, NDArray[np.float64]],
    *,
    x_label: str,
    y_label: str,
    title: str,
    log_x: bool | None = None,
) -> str:
    """Draw curves over a common axis.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Positions, ascending.
    curves : mapping of str to ndarray, shape (n,)
        At most three curves by label; an empty label is not shown. A curve is broken where it is not finite.
    x_label, y_label : str
        Names at the axes.
    title : str
        What a screen reader says.
    log_x : bool, optional
        Whether the horizontal axis is logarithmic; where `x` reaches far if not given.

    Returns
    -------
    str
        An SVG document.

    Raises
    ------
    ValueError
        If there are more curves than colours, or nothing finite in them.
    """
    if len(curves) > len(COLORS):
        raise ValueError(f"at most {len(COLORS)} curves fit, not {len(curves)}")
    across = Axis(x, LEFT, WIDTH - RIGHT, logarithmic=log_x)
    up = Axis(np.concatenate(list(curves.values())), HEIGHT - BOTTOM, TOP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="11" fill="#333">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *_grid(across, up),
    ]
    for color, y in zip(COLORS, curves.values(), strict=False):
        drawn = _path(across.pixels(x), up.pixels(y))
        out.append(f'<path d="{drawn}" fill="none" stroke="{color}" stroke-width="1.6"/>')
    out += _legend([label for label in curves if label])
    middle, half = 0.5 * (LEFT + WIDTH - RIGHT), 0.5 * (TOP + HEIGHT - BOTTOM)
    out += [
        f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text x="14" y="{half:.0f}" text-anchor="middle" transform="rotate(-90 14 {half:.0f})">'
        f"{escape(y_label)}</text>",
        "</svg>",
    ]
    return "\n".join(out) + "\n"


def _grid(across: Axis, up: Axis) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    out = []
    for value, at in _placed(across):
        out.append(f'<path d="M{at} {TOP}V{bottom}" stroke="#e5e5e5"/>')
        out.append(f'<text x="{at}" y="{bottom + 15}" text-anchor="middle">{short(value)}</text>')
    for value, at in _placed(up):
        out.append(f'<path d="M{LEFT} {at}H{right}" stroke="#e5e5e5"/>')
        out.append(f'<text x="{LEFT - 6}" y="{float(at) + 4:.1f}" text-anchor="end">{short(value)}</text>')
    out.append(f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#999"/>')
    return out


def _placed(axis: Axis) -> list[tuple[float, str]]:
    ticks = axis.ticks()
    return [(tick, f"{at:.1f}") for tick, at in zip(ticks, axis.pixels(np.array(ticks)), strict=True)]


def _legend(labels: Sequence[str]) -> list[str]:
    width = (WIDTH - LEFT - RIGHT) / len(COLORS)
    out = []
    for place, (color, label) in enumerate(zip(COLORS, labels, strict=False)):
        at = LEFT + place * width
        out.append(f'<path d="M{at:.0f} 15h16" stroke="{color}" stroke-width="2"/>')
        out.append(f'<text x="{at + 21:.0f}" y="19">{escape(label)}</text>')
    return out


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    parts, pen_down = [], False
    for across, up in zip(x.tolist(), y.tolist(), strict=True):
        if not (math.isfinite(across) and math.isfinite(up)):
            pen_down = False
            continue
        parts.append(f"{'L' if pen_down else 'M'}{across:.1f} {up:.1f}")
        pen_down = True
    return "".join(parts)
