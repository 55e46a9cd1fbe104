"""Confidence intervals from bootstrap draws, for any number of quantities at once.

Percentile, basic, bias-corrected accelerated and studentised intervals as in Efron and Tibshirani, "An
Introduction to the Bootstrap" (1993), chapters 12 to 14, and Davison and Hinkley, "Bootstrap Methods and
their Application" (1997), chapter 5. Nothing here knows of laws or fits.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import near

__all__ = ["End", "Interval", "IntervalKind", "acceleration", "bounds", "check_kind", "check_level"]

IntervalKind: TypeAlias = Literal["percentile", "basic", "bca", "t"]
End: TypeAlias = Literal["found", "bound", "open"]


class _Ends(NamedTuple):
    lower: Any
    upper: Any


class Interval(_Ends):
    """Ends of an interval: a pair ``(lower, upper)`` that also says what the ends are.

    Parameters
    ----------
    lower, upper : float
        The ends.
    lower_end, upper_end : {"found", "bound", "open"}
        Whether an end was ``"found"``, is the ``"bound"`` of the domain because the data do not keep the
        parameter away from it, or is ``"open"``, that is, infinite.
    """

    lower_end: End
    upper_end: End

    def __new__(cls, lower: Any, upper: Any, lower_end: End = "found", upper_end: End = "found") -> Interval:
        """Make the pair."""
        self = super().__new__(cls, lower, upper)
        self.lower_end, self.upper_end = lower_end, upper_end
        return self

    @property
    def one_sided(self) -> bool:
        """Whether exactly one end was found and the other is a bound or open."""
        return (self.lower_end == "found") != (self.upper_end == "found")

    def __repr__(self) -> str:
        note = "" if self.lower_end == self.upper_end == "found" else f", {self.lower_end}, {self.upper_end}"
        return f"Interval({self.lower!r}, {self.upper!r}{note})"


def check_level(level: object) -> float:
    """Return the level as a float; ValueError unless it lies between 0 and 1."""
    if isinstance(level, bool) or not isinstance(level, (int, float, np.floating)) or not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, not {level!r}")
    return float(level)


def check_kind(kind: object) -> IntervalKind:
    """Return the kind; ValueError if there is no such kind of interval."""
    kinds = get_args(IntervalKind)
    if kind not in kinds:
        raise ValueError(
            f"kind must be one of {', '.join(map(repr, kinds))}, not {kind!r}.{near(str(kind), kinds)}"
        )
    return cast(IntervalKind, kind)


def acceleration(jackknife: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the acceleration of BCa intervals, a sixth of the skewness of the jackknife's influence values.

    Parameters
    ----------
    jackknife : ndarray of float, shape (j, m)
        The m quantities with one unit left out at a time. Groups of equally many units may be left out
        instead: that changes the estimate's noise, not what is estimated.

    Returns
    -------
    ndarray of float, shape (m,)
        0 for quantities that do not vary.
    """
    influence = jackknife.mean(axis=0) - jackknife
    squares = (influence**2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        out = (influence**3).sum(axis=0) / (6.0 * squares**1.5)
    return np.where(squares > 0.0, out, 0.0)


def bounds(
    kind: IntervalKind,
    level: float,
    estimate: NDArray[np.float64],
    draws: NDArray[np.float64],
    *,
    jackknife: NDArray[np.float64] | None = None,
    stderr: NDArray[np.float64] | None = None,
    draw_stderr: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of equal-tailed intervals.

    Parameters
    ----------
    kind : {"percentile", "basic", "bca", "t"}
        Which interval.
    level : float
        Coverage, between 0 and 1.
    estimate : ndarray of float, shape (m,)
        The quantities for the original data.
    draws : ndarray of float, shape (b, m)
        The quantities for each draw.
    jackknife : ndarray of float, shape (j, m), optional
        For ``"bca"``: the quantities with one unit left out at a time.
    stderr, draw_stderr : ndarray of float, shapes (m,) and (b, m), optional
        For ``"t"``: standard errors of the quantities for the original data and in each draw.

    Returns
    -------
    lower, upper : ndarray of float, shape (m,)
        The ends; NaN where they cannot be computed.

    Notes
    -----
    The k-th smallest of b draws is their quantile k / (b + 1), because a further draw would fall below it
    with that probability: on average over draws, 199 then give an interval the coverage that endless ones
    would. NumPy's default, (k - 1) / (b - 1), makes it shorter. Below 1 / (b + 1) the quantile is the
    smallest draw.

    For ``"bca"`` the share of draws below the estimate is kept away from 0 and 1 by half a draw. Draws whose
    standard error is zero or unknown are left out of ``"t"``.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.arange(1.0, 100.0)[:, None]
    >>> [end.item() for end in bounds("percentile", 0.5, np.array([40.0]), draws)]
    [25.0, 75.0]
    >>> [end.item() for end in bounds("basic", 0.5, np.array([40.0]), draws)]
    [5.0, 55.0]
    """
    tail = 0.5 * (1.0 - level)
    if len(draws) == 0:
        missing = np.full(estimate.shape, np.nan)
        return missing, missing.copy()
    both = (tail, 1.0 - tail)
    if kind == "percentile":
        lower, upper = (_quantile(draws, share) for share in both)
    elif kind == "basic":
        low, high = (_quantile(draws, share) for share in both)
        lower, upper = 2.0 * estimate - high, 2.0 * estimate - low
    elif kind == "bca":
        assert jackknife is not None
        lower, upper = _bca(tail, estimate, draws, acceleration(jackknife))
    else:
        assert stderr is not None
        assert draw_stderr is not None
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = (draws - estimate) / draw_stderr
        ratio[~np.isfinite(ratio)] = np.nan
        low, high = (_quantile(ratio, share) for share in both)
        lower, upper = estimate - high * stderr, estimate - low * stderr
    # What does not vary, such as a fixed parameter, is known exactly.
    still = (draws == estimate).all(axis=0)
    return np.where(still, estimate, lower), np.where(still, estimate, upper)


def _bca(
    tail: float, estimate: NDArray[np.float64], draws: NDArray[np.float64], bend: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from scipy.special import ndtr, ndtri

    count = len(draws)
    below = ((draws < estimate).sum(axis=0) + 0.5 * (draws == estimate).sum(axis=0)) / count
    shift = ndtri(np.clip(below, 0.5 / count, 1.0 - 0.5 / count))
    shares = (ndtr(shift + (shift + z) / (1.0 - bend * (shift + z))) for z in ndtri([tail, 1.0 - tail]))
    lower, upper = (_quantile(draws, share) for share in shares)
    return lower, upper


def _quantile(values: NDArray[np.float64], share: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quantile of the numbers in each column, at one share or one for each; NaN where none is."""
    ordered = np.sort(values, axis=0)
    # NaN is sorted to the end.
    known = np.count_nonzero(~np.isnan(ordered), axis=0)
    with np.errstate(invalid="ignore"):
        place = np.clip(share * (known + 1.0) - 1.0, 0.0, np.maximum(known - 1.0, 0.0))
    usable = (known > 0) & np.isfinite(place)
    place = np.where(usable, place, 0.0)
    first = place.astype(np.intp)
    column = np.arange(values.shape[1])
    low = ordered[first, column]
    high = ordered[np.minimum(first + 1, np.maximum(known - 1, 0)), column]
    return np.where(usable, low + (place - first) * (high - low), np.nan)
