"""Priors: penalties that keep a parameter near what is known, for ladders of a handful of runs.

A penalty is added to the objective as it is. With a loss in units of ``r**2 / 2`` it acts like one more row,
so a prior is only as strong as the rows when their residuals have been divided by their noise (through the
weights).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Prior", "lognormal", "normal"]

PriorKind: TypeAlias = Literal["normal", "lognormal"]


@dataclass(frozen=True, slots=True)
class Prior:
    """A penalty on one parameter. Use the makers `normal` and `lognormal`.

    Parameters
    ----------
    kind : {"normal", "lognormal"}
        In the parameter, or in its logarithm.
    center : float
        Mean, or median, in natural units.
    width : float
        Standard deviation of the parameter, or of its logarithm.

    Raises
    ------
    ValueError
        If the kind is unknown, the width is not positive, or the median of a log-normal is not positive.
    """

    kind: PriorKind
    center: float
    width: float

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.kind not in ("normal", "lognormal"):
            raise ValueError(f"a prior is 'normal' or 'lognormal', not {self.kind!r}")
        for name in ("center", "width"):
            value = float(getattr(self, name))
            if not math.isfinite(value):
                raise ValueError(f"the {name} of a prior must be finite, not {value!r}")
            object.__setattr__(self, name, value)
        if self.width <= 0.0:
            raise ValueError(f"the width of a prior must be positive, not {self.width!r}")
        if self.kind == "lognormal" and self.center <= 0.0:
            raise ValueError(f"the median of a log-normal prior must be positive, not {self.center!r}")

    def penalty(self, theta: float) -> float:
        """Return what is added to the objective.

        Parameters
        ----------
        theta : float
            The parameter in natural units.

        Returns
        -------
        float
            The penalty; infinite for a log-normal prior at or below 0.
        """
        return 0.5 * self._deviation(theta) ** 2

    def gradient(self, theta: float) -> float:
        """Return the derivative of the penalty by the parameter, in natural units.

        Parameters
        ----------
        theta : float
            The parameter in natural units.

        Returns
        -------
        float
            First derivative.
        """
        slope = self._deviation(theta) / self.width
        return slope if self.kind == "normal" else slope / theta

    def curvature(self, theta: float) -> float:
        """Return the second derivative of the penalty by the parameter, in natural units.

        Parameters
        ----------
        theta : float
            The parameter in natural units.

        Returns
        -------
        float
            Second derivative.
        """
        if self.kind == "normal":
            return 1.0 / self.width**2
        return (1.0 / self.width**2 - self._deviation(theta) / self.width) / theta**2

    def _deviation(self, theta: float) -> float:
        if self.kind == "normal":
            return (theta - self.center) / self.width
        return (math.log(theta) - math.log(self.center)) / self.width if theta > 0.0 else -math.inf


def normal(mean: float, sd: float) -> Prior:
    """Return the penalty (theta - mean)**2 / (2 sd**2).

    Parameters
    ----------
    mean, sd : float
        Centre and standard deviation in natural units.

    Examples
    --------
    >>> normal(0.5, 0.25).penalty(1.0)
    2.0
    """
    return Prior("normal", mean, sd)


def lognormal(median: float, sigma: float) -> Prior:
    """Return the penalty (log theta - log median)**2 / (2 sigma**2).

    Parameters
    ----------
    median : float
        Centre in natural units, positive.
    sigma : float
        Standard deviation of the logarithm: 0.1 is about 10 percent.
    """
    return Prior("lognormal", median, sigma)
