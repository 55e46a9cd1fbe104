"""Learning-rate schedules: small immutable objects that know their rate at every optimiser step.

Steps are counted from 0 and include the warm-up, as in the training loop. A schedule has a fixed length; the
same one with another length is ``dataclasses.replace(schedule, steps=...)``.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from .base import Rates, Schedule, one_of, rate, sequence, whole

__all__ = [
    "WSD",
    "Constant",
    "Cosine",
    "Cyclic",
    "MultiStep",
    "Phase",
    "Ramp",
    "TwoStage",
]

Ramp: TypeAlias = Literal["t/(W-1)", "t/W", "(t+1)/W"]
Phase: TypeAlias = Literal["(i-1)/K", "i/K"]
Decay: TypeAlias = Literal["linear", "cosine", "1-sqrt", "exponential", "square", "sqrt-cube"]
Cycle: TypeAlias = Literal["cosine", "triangle", "restart"]

_RAMPS = ("t/(W-1)", "t/W", "(t+1)/W")
_PHASES = ("(i-1)/K", "i/K")
_DECAYS = ("linear", "cosine", "1-sqrt", "exponential", "square", "sqrt-cube")
_CYCLES = ("cosine", "triangle", "restart")


@dataclass(frozen=True)
class _Shaped(Schedule):
    """A warm-up ramp to the peak, and a shape after it."""

    steps: int
    _: KW_ONLY
    peak: float
    warmup: int = 0
    ramp: Ramp = "t/(W-1)"

    _count: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in ("steps", "warmup", *self._count):
            object.__setattr__(self, name, whole(name, getattr(self, name)))
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps}")
        if not 0 <= self.warmup < self.steps:
            raise ValueError(f"warmup must lie between 0 and steps - 1 = {self.steps - 1}, not {self.warmup}")
        object.__setattr__(self, "peak", rate("peak", self.peak))
        if self.peak == 0.0:
            raise ValueError("peak must be above 0")
        one_of("ramp", self.ramp, _RAMPS)
        self._check()

    def _check(self) -> None:
        """Refuse settings of the shape that make no sense."""

    @abstractmethod
    def _after(self, n: int) -> Rates:
        """Rates of the n steps after the warm-up."""

    def rates(self) -> Rates:
        """Return the learning rate of each step.

        Returns
        -------
        ndarray of float, shape (steps,)
            A new array; learning-rate units.
        """
        return np.concatenate(
            [_ramp(self.peak, self.warmup, self.ramp), self._after(self.steps - self.warmup)]
        )

    def _end(self) -> float:
        """Check the field `end`: the lowest rate."""
        end = rate("end", getattr(self, "end"))  # noqa: B009 (only some shapes have it)
        if end > self.peak:
            raise ValueError(f"end = {end!r} is above peak = {self.peak!r}")
        object.__setattr__(self, "end", end)
        return end


@dataclass(frozen=True)
class Constant(_Shaped):
    """A constant rate after the warm-up.

    Parameters
    ----------
    steps : int
        Number of steps, warm-up included.
    peak : float
        The rate, above 0.
    warmup : int, default 0
        Number of warm-up steps W, in which the rate rises evenly to the peak.
    ramp : {"t/(W-1)", "t/W", "(t+1)/W"}, default "t/(W-1)"
        Share of the peak at warm-up step t = 0, ..., W-1. The first one is ``linspace(0, peak, W)``, that of
        the runs of Luo et al. 2025, arXiv:2503.12811.

    Raises
    ------
    TypeError, ValueError
        If a setting is not a number of its kind or out of its range.

    Examples
    --------
    >>> Constant(5, peak=1.0, warmup=3).rates()
    array([0. , 0.5, 1. , 1. , 1. ])
    """

    def _after(self, n: int) -> Rates:
        return np.full(n, self.peak)


@dataclass(frozen=True)
class Cosine(_Shaped):
    """A cosine from the peak to the end over all steps after the warm-up.

    Parameters
    ----------
    steps : int
        Number of steps, warm-up included.
    peak, warmup, ramp
        As for `Constant`.
    end : float, default 0
        The rate at phase 1.
    phase : {"(i-1)/K", "i/K"}, default "(i-1)/K"
        Phase of step i = 1, ..., K after the warm-up. ``"(i-1)/K"`` begins at the peak and stays above `end`;
        ``"i/K"`` begins below the peak and reaches `end` at the last step. The default is that of the runs of
        arXiv:2503.12811 and of arXiv:2408.11029.

    Examples
    --------
    >>> Cosine(4, peak=1.0).rates().round(4)
    array([1.    , 0.8536, 0.5   , 0.1464])
    >>> Cosine(4, peak=1.0, phase="i/K").rates().round(4)
    array([0.8536, 0.5   , 0.1464, 0.    ])
    """

    _: KW_ONLY
    end: float = 0.0
    phase: Phase = "(i-1)/K"

    def _check(self) -> None:
        self._end()
        one_of("phase", self.phase, _PHASES)

    def _after(self, n: int) -> Rates:
        return _decayed("cosine", _phase(n, self.phase), self.peak, self.end)


@dataclass(frozen=True)
class WSD(_Shaped):
    """Warm-up, a stable part at the peak, and a decay: the trapezoidal schedule.

    Parameters
    ----------
    steps : int
        Number of steps, warm-up included.
    decay : int
        Number of steps K of the decay, the last of the run.
    peak, warmup, ramp
        As for `Constant`.
    end : float, default 0
        The rate at phase 1.
    shape : str, default "linear"
        Share of the way from `end` to `peak` at phase x: ``"linear"`` 1 - x, ``"cosine"`` (1 + cos(pi x))/2,
        ``"1-sqrt"`` 1 - sqrt(x), ``"square"`` 1 - x^2 (these as in Haegele et al. 2024, arXiv:2405.18392),
        ``"sqrt-cube"`` (1 - x)^1.5; or ``"exponential"``, peak^(1-x) end^x, which needs ``end > 0``.
    phase : {"(i-1)/K", "i/K"}, default "(i-1)/K"
        Phase x of decay step i = 1, ..., K, as for `Cosine`. The runs of arXiv:2503.12811 have the default;
        linear decays to zero are often written with ``"i/K"``, which reaches `end`.

    Examples
    --------
    >>> WSD(6, peak=1.0, decay=4).rates()
    array([1.  , 1.  , 1.  , 0.75, 0.5 , 0.25])
    >>> WSD(6, peak=1.0, decay=4, shape="1-sqrt", phase="i/K").rates().round(4)
    array([1.    , 1.    , 0.5   , 0.2929, 0.134 , 0.    ])
    """

    _: KW_ONLY
    decay: int
    end: float = 0.0
    shape: Decay = "linear"
    phase: Phase = "(i-1)/K"

    _count: ClassVar[tuple[str, ...]] = ("decay",)

    def _check(self) -> None:
        end = self._end()
        one_of("shape", self.shape, _DECAYS)
        one_of("phase", self.phase, _PHASES)
        if not 1 <= self.decay <= self.steps - self.warmup:
            raise ValueError(
                f"decay must lie between 1 and the {self.steps - self.warmup} steps after the warm-up, "
                f"not {self.decay}"
            )
        if self.shape == "exponential" and end == 0.0:
            raise ValueError("an exponential decay needs end > 0")

    def _after(self, n: int) -> Rates:
        stable = np.full(n - self.decay, self.peak)
        return np.concatenate(
            [stable, _decayed(self.shape, _phase(self.decay, self.phase), self.peak, self.end)]
        )


@dataclass(frozen=True)
class MultiStep(_Shaped):
    """A constant rate that falls (or rises) at given steps.

    Parameters
    ----------
    steps : int
        Number of steps, warm-up included.
    at : sequence of int
        Steps from which each new rate holds, counted from 0 with the warm-up, rising.
    factors : sequence of float
        The new rates as multiples of the peak, one for each entry of `at`; above 0.
    peak, warmup, ramp
        As for `Constant`.

    Examples
    --------
    >>> MultiStep(10, peak=1.0, at=(8, 9), factors=(0.5, 0.1)).rates()
    array([1. , 1. , 1. , 1. , 1. , 1. , 1. , 1. , 0.5, 0.1])
    """

    _: KW_ONLY
    at: tuple[int, ...]
    factors: tuple[float, ...]

    def _check(self) -> None:
        at = tuple(whole("at", step) for step in sequence("at", self.at))
        factors = tuple(rate("factors", factor) for factor in sequence("factors", self.factors))
        if len(at) != len(factors):
            raise ValueError(f"at names {len(at)} steps, but factors holds {len(factors)} numbers")
        edges = (self.warmup, *at, self.steps)
        if any(low >= high for low, high in pairwise(edges)):
            raise ValueError(
                f"at must rise and lie after step {self.warmup} and before step {self.steps}, not {at}"
            )
        if 0.0 in factors:
            raise ValueError("factors must be above 0")
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "factors", factors)

    def _after(self, n: int) -> Rates:
        edges = np.array([self.warmup, *self.at, self.warmup + n])
        return np.repeat(self.peak * np.array([1.0, *self.factors]), np.diff(edges))


@dataclass(frozen=True)
class TwoStage(_Shaped):
    """One rate, then another one.

    Parameters
    ----------
    steps : int
        Number of steps, warm-up included.
    second : float
        The rate from step `switch` on, above 0.
    switch : int
        The first step with that rate, counted from 0 with the warm-up.
    peak, warmup, ramp
        As for `Constant`.

    Examples
    --------
    >>> TwoStage(5, peak=1.0, second=0.3, switch=3).rates()
    array([1. , 1. , 1. , 0.3, 0.3])
    """

    _: KW_ONLY
    second: float
    switch: int

    _count: ClassVar[tuple[str, ...]] = ("switch",)

    def _check(self) -> None:
        object.__setattr__(self, "second", rate("second", self.second))
        if self.second == 0.0:
            raise ValueError("second must be above 0")
        if not self.warmup < self.switch < self.steps:
            raise ValueError(
                f"switch must lie after step {self.warmup} and before step {self.steps}, not {self.switch}"
            )

    def _after(self, n: int) -> Rates:
        return np.where(np.arange(self.warmup, self.warmup + n) < self.switch, self.peak, self.second)


@dataclass(frozen=True)
class Cyclic(_Shaped):
    """Cycles between the peak and a lowest rate, each starting at the peak.

    Parameters
    ----------
    steps : int
        Number of steps, warm-up included; the last cycle may be cut off.
    period : int
        Steps of a cycle, at least 2.
    end : float, default 0
        The lowest rate.
    shape : {"cosine", "triangle", "restart"}, default "cosine"
        A cosine down and up again, straight lines down and up again, or half a cosine down and a jump up.
    peak, warmup, ramp
        As for `Constant`.

    Examples
    --------
    >>> Cyclic(8, peak=1.0, period=4, shape="triangle").rates()
    array([1. , 0.5, 0. , 0.5, 1. , 0.5, 0. , 0.5])
    """

    _: KW_ONLY
    period: int
    end: float = 0.0
    shape: Cycle = "cosine"

    _count: ClassVar[tuple[str, ...]] = ("period",)

    def _check(self) -> None:
        self._end()
        one_of("shape", self.shape, _CYCLES)
        if self.period < 2:
            raise ValueError(f"period must be at least 2, not {self.period}")

    def _after(self, n: int) -> Rates:
        x = (np.arange(n) % self.period) / self.period
        if self.shape == "triangle":
            share = np.abs(1.0 - 2.0 * x)
        else:
            share = 0.5 * (1.0 + np.cos((2.0 if self.shape == "cosine" else 1.0) * math.pi * x))
        return self.end + (self.peak - self.end) * share


def _ramp(peak: float, warmup: int, kind: Ramp) -> Rates:
    if kind == "t/(W-1)":
        return np.linspace(0.0, peak, warmup)
    return peak * (np.arange(warmup) + (kind == "(t+1)/W")) / max(warmup, 1)


def _phase(n: int, kind: Phase) -> Rates:
    return (np.arange(n) + (kind == "i/K")) / n


def _decayed(shape: Decay, x: Rates, peak: float, end: float) -> Rates:
    """Rates at phase x of a decay from the peak to the end."""
    if shape == "exponential":
        return peak ** (1.0 - x) * end**x
    share = {
        "linear": 1.0 - x,
        "cosine": 0.5 * (1.0 + np.cos(math.pi * x)),
        "1-sqrt": 1.0 - np.sqrt(x),
        "square": 1.0 - x * x,
        "sqrt-cube": (1.0 - x) ** 1.5,
    }[shape]
    return end + (peak - end) * share
