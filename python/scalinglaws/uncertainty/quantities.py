"""Quantities that follow from the parameters, for many parameter vectors at once, with standard errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import near
from ..ties import names_in

__all__ = ["Statistic", "formula_statistic", "function_statistic"]

_Array = NDArray[np.float64]
# Relative step of central differences: it balances their two errors.
_STEP = float(np.finfo(np.float64).eps) ** (1 / 3)


@dataclass(frozen=True, eq=False)
class Statistic:
    """A function of parameter vectors.

    Parameters
    ----------
    function : callable
        From shape (b, k), parameters in the order of the problem, to shape (b, m).
    """

    function: Callable[[_Array], _Array]

    def __call__(self, theta: _Array) -> _Array:
        """Return the quantities for each parameter vector, shape (b, m)."""
        with np.errstate(all="ignore"):
            return self.function(theta)

    def errors(self, theta: _Array, cov: _Array) -> _Array:
        """Return standard errors by the delta method.

        Parameters
        ----------
        theta : ndarray of float, shape (b, k)
            Parameters.
        cov : ndarray of float, shape (b, k, k)
            Their covariances.

        Returns
        -------
        ndarray of float, shape (b, m)
            From central differences.
        """
        slopes: list[_Array | None] = []
        for column in range(theta.shape[1]):
            if not cov[:, column, column].any():
                slopes.append(None)
                continue
            step = np.zeros_like(theta)
            step[:, column] = _STEP * np.maximum(np.abs(theta[:, column]), 1e-100)
            slopes.append((self(theta + step) - self(theta - step)) / (2.0 * step[:, [column]]))
        shape = next((slope.shape for slope in slopes if slope is not None), self(theta).shape)
        jacobian = np.stack([np.zeros(shape) if slope is None else slope for slope in slopes], axis=-1)
        with np.errstate(invalid="ignore"):
            variance: _Array = np.einsum("bmi,bij,bmj->bm", jacobian, cov, jacobian)
            return np.sqrt(variance)


def formula_statistic(text: str, expand: Callable[[_Array], _Array], names: Sequence[str]) -> Statistic:
    """Compile an expression of parameters.

    Parameters
    ----------
    text : str
        The expression.
    expand : callable
        From parameters in the order of the problem to those of `names`.
    names : sequence of str
        All parameters.

    Returns
    -------
    Statistic
        One quantity.

    Raises
    ------
    FormulaError
        If the text is not a formula.
    ValueError
        If it uses anything but parameters, or none.
    """
    found = names_in(text)
    used = [name for name in names if name in found]
    compiled = _compiled(text, tuple(used))
    if compiled.target is not None:
        raise ValueError(f"{text!r} must be an expression, without '~'")
    if compiled.inputs:
        unknown = compiled.inputs[0]
        raise ValueError(f"{text!r} uses {unknown!r}, which is not a parameter.{near(unknown, names)}")
    if not used:
        raise ValueError(f"{text!r} names no parameter; they are {', '.join(names)}")
    return Statistic(_Formula(text, expand, tuple(used), tuple(list(names).index(name) for name in used)))


def function_statistic(
    call: Callable[[Mapping[str, float]], Any],
    expand: Callable[[_Array], _Array],
    names: Sequence[str],
    shape: tuple[int, ...],
) -> Statistic:
    """Wrap a function of one mapping of parameter values, whose results have the given shape."""
    return Statistic(_Function(call, expand, tuple(names), shape))


# Classes and not local functions, so that what has draws can be pickled and sent to other processes.


@dataclass(frozen=True, eq=False)
class _Formula:
    """An expression of parameters.

    Parameters
    ----------
    text, expand
        As for `formula_statistic`.
    used : tuple of str
        The parameters in it.
    columns : tuple of int
        Where they stand among all parameters.
    """

    text: str
    expand: Callable[[_Array], _Array]
    used: tuple[str, ...]
    columns: tuple[int, ...]

    def __call__(self, theta: _Array) -> _Array:
        full = self.expand(theta)
        values = [np.ascontiguousarray(full[:, column]) for column in self.columns]
        value = _compiled(self.text, self.used).value(values)
        return np.broadcast_to(value, (len(theta),))[:, None]


@dataclass(frozen=True, eq=False)
class _Function:
    """A function of one mapping of parameter values.

    Parameters
    ----------
    call, expand, names, shape
        As for `function_statistic`.
    """

    call: Callable[[Mapping[str, float]], Any]
    expand: Callable[[_Array], _Array]
    names: tuple[str, ...]
    shape: tuple[int, ...]

    def __call__(self, theta: _Array) -> _Array:
        rows = []
        for values in self.expand(theta).tolist():
            result = np.asarray(self.call(dict(zip(self.names, values, strict=True))), dtype=np.float64)
            if result.shape != self.shape:
                raise ValueError(
                    f"the function returned shape {result.shape} for a draw, and {self.shape} for the fit "
                    "itself"
                )
            rows.append(result.reshape(-1))
        return np.array(rows).reshape(len(theta), -1)


@lru_cache(maxsize=64)
def _compiled(text: str, used: tuple[str, ...]) -> _core.Law:
    return _core.Law(text, [(name, "real", -np.inf, np.inf) for name in used])
