"""The few laws that procedures fit on the way: a quadratic in logarithms and a product of powers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import DataError
from ..fit import fit
from ..law import Law
from ..losses import squared
from ..param import Param
from ..result import Fit
from ._check import Floats

__all__ = ["Vertex", "fit_powers", "fit_vertex"]


@dataclass(frozen=True, eq=False)
class Vertex:
    """Minimum of a quadratic.

    Parameters
    ----------
    z : ndarray, shape (k,)
        Where it lies.
    value : float
        Its height.
    hessian : ndarray, shape (k, k)
        Second derivatives.
    cov : ndarray, shape (k, k)
        Covariance of `z` by the delta method; NaN where the fit has no spare rows.
    fit : Fit
        The fitted quadratic, in centred and scaled coordinates and values.
    """

    z: Floats
    value: float
    hessian: Floats
    cov: Floats
    fit: Fit


def fit_vertex(z: Floats, y: Floats, names: Sequence[str]) -> Vertex:
    """Fit a quadratic to rows by least squares and return its minimum.

    Parameters
    ----------
    z : ndarray, shape (n, k)
        Coordinates.
    y : ndarray, shape (n,)
        Values.
    names : sequence of str, length k
        What the coordinates are called in messages.

    Returns
    -------
    Vertex
        The minimum; it may lie outside the rows.

    Raises
    ------
    DataError
        If the rows do not determine a quadratic, or it has no minimum.
    """
    k = z.shape[1]
    pairs = [(i, j) for i in range(k) for j in range(i, k)]
    # Coordinates and values of size one: the coefficients are then comparable, whatever the units.
    center = z.mean(axis=0)
    spread = np.abs(z - center).max(axis=0)
    scale = np.where(spread > 0.0, spread, 1.0)
    u = (z - center) / scale
    # The mean stays in: taking it off leaves rounding errors that the solver cannot tell from residuals.
    size = float(np.abs(y).max()) or 1.0
    design = np.column_stack([np.ones(len(y)), u, *(u[:, i] * u[:, j] for i, j in pairs)])
    if np.linalg.matrix_rank(design, tol=1e-9 * np.sqrt(len(y))) < design.shape[1]:
        raise DataError(
            f"{len(y)} runs do not determine a quadratic in {_words(names)}: each needs three or more values "
            "near the best run, and pairs of them must vary independently"
        )
    start = {"q": 0.0} | {f"g{i}": 0.0 for i in range(k)}
    start |= {f"h{i}{j}": float(i == j) for i, j in pairs}
    found = fit(
        _quadratic(k),
        {"y": y / size, **{f"u{i}": u[:, i] for i in range(k)}},
        residual="linear",
        loss=squared(),
        starts=start,
    )
    values = found.values
    gradient = np.array([values[f"g{i}"] for i in range(k)])
    hessian = np.empty((k, k))
    for i, j in pairs:
        hessian[i, j] = hessian[j, i] = values[f"h{i}{j}"] * (2.0 if i == j else 1.0)
    if np.linalg.eigvalsh(hessian)[0] <= 0.0:
        raise DataError(
            f"the loss has no minimum in {_words(names)}: the quadratic through the runs near the best one "
            "does not bend upwards; widen the grid, or take runs nearer to the best one"
        )
    at = np.linalg.solve(hessian, -gradient)
    # H u + g = 0 at the minimum, so a change of the coefficients moves it by -H^-1 (dg + dH u).
    move = np.zeros((k, design.shape[1]))
    move[:, 1 : k + 1] = np.eye(k)
    for column, (i, j) in enumerate(pairs, start=k + 1):
        move[i, column] += at[j]
        move[j, column] += at[i]
    by_coefficient = -np.linalg.solve(hessian, move)
    cov = by_coefficient @ found.cov("classical") @ by_coefficient.T
    return Vertex(
        z=center + scale * at,
        value=size * float(values["q"] + 0.5 * gradient @ at),
        hessian=size * hessian / np.outer(scale, scale),
        cov=cov * np.outer(scale, scale),
        fit=found,
    )


def fit_powers(y: Floats, x: Mapping[str, Floats], *, weights: Floats | None = None) -> Fit:
    """Fit ``c * x1**a1 * x2**a2 * ...`` by least squares of logarithms.

    The law ``power_product`` of the catalogue for any number of columns; its names are kept.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Positive values.
    x : mapping of str to ndarray, shape (n,)
        Positive columns by what they are.
    weights : ndarray, shape (n,), optional
        Weights of the squared residuals.

    Returns
    -------
    Fit
        The fit; ``columns`` tells which column is x1, x2, ...
    """
    names = {f"x{i}": name for i, name in enumerate(x, start=1)}
    target = "y" if "y" not in x else "y_"
    start = {"c": 1.0} | {f"a{i}": 0.0 for i in range(1, len(x) + 1)}
    return fit(
        _powers(len(x)),
        {target: y, **x},
        columns={"y": target, **names},
        residual="log",
        loss=squared(),
        weights=weights,
        starts=start,
    )


@lru_cache(maxsize=8)
def _quadratic(k: int) -> Law:
    terms = ["q", *(f"g{i}*u{i}" for i in range(k))]
    names = ["q", *(f"g{i}" for i in range(k))]
    for i in range(k):
        for j in range(i, k):
            terms.append(f"h{i}{j}*u{i}*u{j}")
            names.append(f"h{i}{j}")
    return Law("y ~ " + " + ".join(terms), params={name: Param("real", start=(-1.0, 1.0)) for name in names})


@lru_cache(maxsize=8)
def _powers(k: int) -> Law:
    params = {"c": Param("positive", start=(1e-6, 1e6), sampling="log", meaning="value at x = 1")}
    for i in range(1, k + 1):
        params[f"a{i}"] = Param("real", start=(-1.5, 1.5), meaning=f"exponent of x{i}")
    return Law("y ~ c" + "".join(f" * x{i}**a{i}" for i in range(1, k + 1)), params=params)


def _words(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
