"""Losses: what a residual costs.

With r = T(y) - T(f), the objective is the *sum* over rows of ``weight * above * rho(r)``, where ``above``
applies to rows that lie above the law (r > 0) and is 1 for the others.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import near

__all__ = ["Loss", "absolute", "cauchy", "huber", "quantile", "soft_l1", "squared"]

LossKind: TypeAlias = Literal["squared", "huber", "soft_l1", "cauchy", "absolute", "quantile"]

# What the number of each kind is called; kinds without a number map to an empty name.
_SCALES: dict[str, str] = {
    "squared": "",
    "huber": "delta",
    "soft_l1": "scale",
    "cauchy": "scale",
    "absolute": "",
    "quantile": "tau",
}
_TEXT = re.compile(r"\s*(?P<kind>\w+)\s*(?:\((?P<call>[^()]*)\)|:(?P<colon>.*))?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss function of one residual.

    Use the makers `squared`, `huber`, `soft_l1`, `cauchy`, `absolute` and `quantile`.

    Parameters
    ----------
    kind : {"squared", "huber", "soft_l1", "cauchy", "absolute", "quantile"}
        The shape.
    scale : float, default 1.0
        The residual at which the shape changes, in the unit of the residuals (``delta`` of Huber); the level
        ``tau`` of a quantile; 1 for the kinds that have no scale.
    above : float, default 1.0
        Factor on the loss of rows with r > 0, that is, of runs worse than the law says.

    Raises
    ------
    ValueError
        If the kind is unknown, or `scale` or `above` is not a positive finite number (for a quantile: not
        between 0 and 1).
    """

    kind: LossKind
    scale: float = 1.0
    above: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.kind not in _SCALES:
            raise ValueError(
                f"unknown loss {self.kind!r}; known: {', '.join(_SCALES)}.{near(str(self.kind), _SCALES)}"
            )
        for name in ("scale", "above"):
            object.__setattr__(self, name, _positive(getattr(self, name), name))
        if self.kind == "quantile" and not self.scale < 1.0:
            raise ValueError(f"the level of a quantile lies between 0 and 1, not {self.scale!r}")
        if not _SCALES[self.kind] and self.scale != 1.0:
            raise ValueError(f"the loss {self.kind!r} has no scale")

    @classmethod
    def parse(cls, text: str | Loss) -> Loss:
        """Make a loss from its text form.

        Parameters
        ----------
        text : str or Loss
            ``"squared"``, ``"huber:1e-3"``, ``"huber(1e-3)"``, ``"huber(1e-3, above=2)"``; a `Loss` is
            returned as it is.

        Returns
        -------
        Loss
            The loss.

        Raises
        ------
        ValueError
            If the text is not understood.

        Examples
        --------
        >>> Loss.parse("huber:1e-3") == huber(1e-3)
        True
        """
        if isinstance(text, Loss):
            return text
        match = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"a loss is a Loss or text such as 'huber:1e-3', not {text!r}")
        kind = match["kind"]
        if kind not in _SCALES:
            raise ValueError(f"unknown loss {kind!r}; known: {', '.join(_SCALES)}.{near(kind, _SCALES)}")
        given: dict[str, float] = {}
        arguments = match["call"] if match["call"] is not None else match["colon"]
        for part in (arguments or "").split(","):
            if not part.strip():
                continue
            name, equals, number = part.rpartition("=")
            name = name.strip() if equals else "scale"
            name = "scale" if name == _SCALES[kind] else name
            if name not in ("scale", "above") or name in given:
                raise ValueError(f"cannot read {part.strip()!r} in the loss {text!r}")
            try:
                given[name] = float(number)
            except ValueError:
                raise ValueError(f"cannot read the number {number.strip()!r} in the loss {text!r}") from None
        if _SCALES[kind] and "scale" not in given:
            raise ValueError(f"the loss {kind!r} needs its {_SCALES[kind]}, for example '{kind}:0.5'")
        return cls(kind, **given)  # type: ignore[arg-type]

    def __str__(self) -> str:
        """Return the text form that `parse` reads back."""
        parts = [repr(self.scale)] if _SCALES[self.kind] else []
        if self.above != 1.0:
            parts.append(f"above={self.above!r}")
        return f"{self.kind}({', '.join(parts)})" if parts else self.kind

    @property
    def smooth(self) -> bool:
        """Whether the loss has a continuous derivative; false for ``absolute`` and ``quantile``."""
        return self.kind not in ("absolute", "quantile")

    @property
    def robust(self) -> bool:
        """Whether large residuals have a bounded influence or less; false for ``squared`` only."""
        return self.kind != "squared"

    @property
    def lopsided(self) -> bool:
        """Whether a law fitted with it does not lie in the middle of symmetric noise."""
        return self.above != 1.0 or (self.kind == "quantile" and self.scale != 0.5)

    def rho(self, r: ArrayLike) -> NDArray[np.float64]:
        """Return the loss of each residual, `above` included.

        Parameters
        ----------
        r : array_like
            Residuals T(y) - T(f), any shape.

        Returns
        -------
        ndarray
            Losses, same shape.
        """
        r = np.asarray(r, dtype=np.float64)
        s, size = self.scale, np.abs(r)
        match self.kind:
            case "squared":
                out = 0.5 * r * r
            case "huber":
                out = np.where(size <= s, 0.5 * r * r, s * (size - 0.5 * s))
            case "soft_l1":
                # The textbook form s^2 (sqrt(1 + z^2) - 1) loses all digits for small z.
                out = r * r / (np.sqrt(1.0 + (r / s) ** 2) + 1.0)
            case "cauchy":
                out = 0.5 * s * s * np.log1p((r / s) ** 2)
            case "absolute":
                out = size
            case _:
                out = np.where(r >= 0.0, s * r, (s - 1.0) * r)
        return np.asarray(self._side(r) * out)

    def psi(self, r: ArrayLike) -> NDArray[np.float64]:
        """Return the derivative of `rho`; at a kink, 0.

        Parameters
        ----------
        r : array_like
            Residuals, any shape.

        Returns
        -------
        ndarray
            First derivatives, same shape.
        """
        r = np.asarray(r, dtype=np.float64)
        s = self.scale
        match self.kind:
            case "squared":
                out = r
            case "huber":
                out = np.clip(r, -s, s)
            case "soft_l1":
                out = r / np.sqrt(1.0 + (r / s) ** 2)
            case "cauchy":
                out = r / (1.0 + (r / s) ** 2)
            case "absolute":
                out = np.sign(r)
            case _:
                out = np.where(r > 0.0, s, np.where(r < 0.0, s - 1.0, 0.0))
        return np.asarray(self._side(r) * out)

    def curvature(self, r: ArrayLike) -> NDArray[np.float64]:
        """Return the second derivative of `rho`; at a kink of the derivative, the value from inside.

        Parameters
        ----------
        r : array_like
            Residuals, any shape.

        Returns
        -------
        ndarray
            Second derivatives, same shape; negative in the tails of ``cauchy``.
        """
        r = np.asarray(r, dtype=np.float64)
        s = self.scale
        match self.kind:
            case "squared":
                out = np.ones_like(r)
            case "huber":
                out = np.where(np.abs(r) <= s, 1.0, 0.0)
            case "soft_l1":
                out = (1.0 + (r / s) ** 2) ** -1.5
            case "cauchy":
                z = (r / s) ** 2
                out = (1.0 - z) / (1.0 + z) ** 2
            case _:
                out = np.zeros_like(r)
        return np.asarray(self._side(r) * out)

    def _side(self, r: NDArray[np.float64]) -> NDArray[np.float64] | float:
        return 1.0 if self.above == 1.0 else np.where(r > 0.0, self.above, 1.0)


def squared(*, above: float = 1.0) -> Loss:
    """Return the loss r**2 / 2.

    Parameters
    ----------
    above : float, default 1.0
        Factor for rows above the law.
    """
    return Loss("squared", 1.0, above)


def huber(delta: float, *, above: float = 1.0) -> Loss:
    """Return the loss r**2 / 2 up to |r| = delta, and delta * (|r| - delta / 2) beyond.

    Parameters
    ----------
    delta : float
        Where the parabola becomes a line, in the unit of the residuals.
    above : float, default 1.0
        Factor for rows above the law.
    """
    return Loss("huber", delta, above)


def soft_l1(scale: float, *, above: float = 1.0) -> Loss:
    """Return the loss s**2 * (sqrt(1 + (r / s)**2) - 1), a smooth relative of Huber.

    Parameters
    ----------
    scale : float
        Where the parabola turns into a line, in the unit of the residuals.
    above : float, default 1.0
        Factor for rows above the law.
    """
    return Loss("soft_l1", scale, above)


def cauchy(scale: float, *, above: float = 1.0) -> Loss:
    """Return the loss s**2 / 2 * log(1 + (r / s)**2); far rows lose their influence.

    Parameters
    ----------
    scale : float
        Width of the core, in the unit of the residuals.
    above : float, default 1.0
        Factor for rows above the law.
    """
    return Loss("cauchy", scale, above)


def absolute(*, above: float = 1.0) -> Loss:
    """Return the loss |r|; the fit is a median.

    Parameters
    ----------
    above : float, default 1.0
        Factor for rows above the law.
    """
    return Loss("absolute", 1.0, above)


def quantile(tau: float, *, above: float = 1.0) -> Loss:
    """Return the loss tau * r for r >= 0 and (tau - 1) * r below; a share tau of the rows ends below the law.

    Parameters
    ----------
    tau : float
        Level between 0 and 1. A small level fits the lower envelope of the rows.
    above : float, default 1.0
        Factor for rows above the law.
    """
    return Loss("quantile", tau, above)


def _positive(value: object, name: str) -> float:
    if isinstance(value, (str, bool)):
        raise ValueError(f"{name} must be a positive number, not {value!r}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a positive number, not {value!r}") from None
    if not (math.isfinite(number) and number > 0.0):
        raise ValueError(f"{name} must be a positive number, not {value!r}")
    return number
