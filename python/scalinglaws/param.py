"""The declaration of one parameter of a law: its domain, where to start, and what it means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from .errors import near

__all__ = ["Domain", "Kind", "Param", "Sampling", "Start"]

Domain: TypeAlias = Literal["real", "positive", "unit"] | tuple[float, float]
Kind: TypeAlias = Literal["real", "positive", "box"]
Sampling: TypeAlias = Literal["linear", "log"]
Start: TypeAlias = tuple[float, float] | float | None

_DOMAINS = ("real", "positive", "unit")
_SAMPLINGS = ("linear", "log")


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a law.

    Parameters
    ----------
    domain : {"real", "positive", "unit"} or (float, float), default "real"
        Where the parameter may lie. A positive parameter is fitted in its logarithm and cannot be 0.
        ``"unit"`` is the closed interval from 0 to 1. A pair is a closed interval; one end may be infinite.
    start : (float, float) or float, optional
        The range from which starts are drawn, or the one value from which to start.
    sampling : {"linear", "log"}, default "linear"
        Whether starts are spread evenly in the parameter or in its logarithm.
    value : float, optional
        A known value: fits hold the parameter there, and calls of the law may leave it out.
    meaning : str, optional
        One line for tables and documentation, with the unit.

    Raises
    ------
    ValueError
        If the domain is not understood, or a start or value lies outside it.

    Examples
    --------
    >>> Param("positive", start=(1.0, 1e5), sampling="log").bounds
    (0.0, inf)
    >>> Param((0.0, 2.0)).kind
    'box'
    """

    domain: Domain = "real"
    start: Start = None
    sampling: Sampling = "linear"
    value: float | None = None
    meaning: str = ""

    def __post_init__(self) -> None:
        """Normalise numbers to float and refuse contradictions."""
        object.__setattr__(self, "domain", _domain(self.domain))
        if self.sampling not in _SAMPLINGS:
            hint = near(str(self.sampling), _SAMPLINGS)
            raise ValueError(f"sampling must be 'linear' or 'log', not {self.sampling!r}.{hint}")
        object.__setattr__(self, "start", self._checked_start())
        if self.value is not None:
            value = _number(self.value, "value")
            if not self.contains(value):
                raise ValueError(f"value {value!r} lies outside the domain {self.domain!r}")
            object.__setattr__(self, "value", value)
        if not isinstance(self.meaning, str):
            raise ValueError(f"meaning must be text, not {self.meaning!r}")

    @property
    def kind(self) -> Kind:
        """How the solver treats the parameter: ``"real"``, ``"positive"`` or ``"box"``."""
        return "box" if isinstance(self.domain, tuple) or self.domain == "unit" else self.domain

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper end of the domain in natural units; infinite where there is none."""
        if isinstance(self.domain, tuple):
            return self.domain
        return {"real": (-math.inf, math.inf), "positive": (0.0, math.inf), "unit": (0.0, 1.0)}[self.domain]

    def contains(self, value: float) -> bool:
        """Tell whether `value` is finite and lies in the domain.

        Parameters
        ----------
        value : float
            A value in natural units.

        Returns
        -------
        bool
            True inside; the ends of an interval are inside, 0 is outside the positive domain.
        """
        lower, upper = self.bounds
        inside = lower < value if self.kind == "positive" else lower <= value
        return math.isfinite(value) and inside and value <= upper

    def _checked_start(self) -> Start:
        start = self.start
        if start is None:
            return None
        if isinstance(start, Sequence) and not isinstance(start, str):
            if len(start) != 2:
                raise ValueError(f"start must be one number or a pair (low, high), not {start!r}")
            low, high = _number(start[0], "start"), _number(start[1], "start")
            if not low < high:
                raise ValueError(f"the start range must be (low, high) with low < high, not {start!r}")
            ends: tuple[float, ...] = (low, high)
        else:
            low = high = _number(start, "start")
            ends = (low,)
        for end in ends:
            if not self.contains(end):
                raise ValueError(f"start {end!r} lies outside the domain {self.domain!r}")
        if self.sampling == "log" and low <= 0.0:
            raise ValueError(f"sampling='log' needs a start above 0, not {start!r}")
        return (low, high) if len(ends) == 2 else low


def _domain(domain: object) -> Domain:
    if isinstance(domain, str):
        if domain in _DOMAINS:
            return cast(Domain, domain)
        hint = near(domain, _DOMAINS)
        raise ValueError(
            f"domain must be 'real', 'positive', 'unit' or a pair (low, high), not {domain!r}.{hint}"
        )
    if isinstance(domain, Sequence) and len(domain) == 2:
        low, high = (_number(end, "domain", finite=False) for end in domain)
        if not low < high:
            raise ValueError(f"the domain must be (low, high) with low < high, not {domain!r}")
        if math.isinf(low) and math.isinf(high):
            raise ValueError("a domain without any bound is written 'real'")
        return (low, high)
    raise ValueError(f"domain must be 'real', 'positive', 'unit' or a pair (low, high), not {domain!r}")


def _number(value: object, what: str, *, finite: bool = True) -> float:
    try:
        if isinstance(value, (str, bool)):
            raise TypeError
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{what} must be a number, not {value!r}") from None
    if math.isnan(number) or (finite and math.isinf(number)):
        raise ValueError(f"{what} must be finite, not {value!r}")
    return number
