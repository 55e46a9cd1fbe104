"""Covariances of fitted parameters, from the exact derivatives of the law.

All of it works in natural units on the free parameters, in blocks of rows, so that memory does not grow with
the table. With r = T(y) - T(f), J = dT(f)/dtheta and the row weights w:

``"classical"``
    s^2 (J'WJ)^-1 with s^2 = sum(w r^2) / dof, through a QR factorisation of the rows (never through J'WJ,
    whose condition is the square) and scaled columns.
``"sandwich"``
    H^-1 (sum w^2 psi^2 J J') H^-1 with the exact Hessian H of the objective. With clusters of rows the middle
    becomes the sum over clusters of u u' with u = sum w psi J over the rows of one, times
    G / (G - 1) (n - 1) / (n - p) for G clusters, n rows and p parameters (Cameron and Miller 2015).
``"hessian"``
    kappa H^-1, where kappa = (sum(w psi^2) / dof) / (sum(w rho'') / sum(w)) turns the objective into a
    log-likelihood; it is s^2 for the squared loss.

The second derivative of a loss with a kink, or with a core much narrower than the spread of the residuals,
lives on no row or on a few. It is then smoothed over a window around each residual, which for the absolute
loss is the kernel estimate of the density at zero.

A prior adds its curvature to H and a row to J; it is taken as given and adds nothing to the noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ._core import Law as CoreLaw
    from .law import Law
    from .losses import Loss
    from .problem import Problem

__all__ = [
    "CovKind",
    "Rows",
    "bread",
    "core_law",
    "covariance",
    "evaluate",
    "residuals",
    "rows",
    "singular_directions",
    "triangle",
]

CovKind: TypeAlias = Literal["sandwich", "classical", "hessian"]

# Numbers in the largest temporary of one block: 4 MB, inside the caches of a server core and far from the
# data.
_BLOCK = 1 << 19
# Below this the scaled singular value is rounding of the Jacobian and the direction has no information at
# all.
_RANK = 1e-13
# Nodes of the integral over a window: the integrand bends sharply where the core of a loss is narrow.
_NODES = 64


@dataclass(frozen=True, eq=False)
class Rows:
    """A block of rows at one parameter vector.

    Parameters
    ----------
    residual : ndarray, shape (b,)
        T(y) - T(f).
    weight : ndarray, shape (b,)
        Row weights.
    jacobian : ndarray, shape (b, p)
        dT(f)/dtheta by the chosen parameters.
    slope : ndarray, shape (b,)
        T'(f): 1/f for log residuals, else 1.
    second : ndarray, shape (b, q, q) or None
        Second derivatives of f, not of T(f), by the q declared parameters that were chosen, where asked for.
    where : ndarray of int, shape (b, q) or None
        Position among the chosen parameters of each declared one on each row, -1 where it is not chosen; None
        where no parameter is grouped and positions equal columns.
    index : ndarray of int, shape (b,)
        Which rows of the problem these are.
    """

    residual: NDArray[np.float64]
    weight: NDArray[np.float64]
    jacobian: NDArray[np.float64]
    slope: NDArray[np.float64]
    second: NDArray[np.float64] | None
    where: NDArray[np.intp] | None
    index: NDArray[np.intp]


def evaluate(problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the law on every row of the problem, natural units.

    Parameters
    ----------
    problem : Problem
        The rows.
    theta : ndarray of float, shape (k,)
        Parameters in the order of ``problem.names``.

    Returns
    -------
    ndarray of float, shape (n,)
        f(x; theta).
    """
    values = problem.row_values(theta)
    columns = [*(problem.inputs[name] for name in problem.law.inputs), *values.values()]
    return _spread(core_law(problem).value(columns), problem.n)


def residuals(
    problem: Problem, theta: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return fitted values in natural units and residuals T(y) - T(f), each of shape (n,)."""
    fitted = evaluate(problem, theta)
    if problem.residual == "linear":
        return fitted, problem.target - fitted
    # In place, because a table may be most of the memory there is.
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = np.log(problem.target)
        residual -= np.log(fitted)
    return fitted, residual


def rows(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    *,
    curvature: bool = False,
    step: int = 1,
) -> Iterator[Rows]:
    """Walk over the rows in blocks, with derivatives by the chosen parameters.

    Parameters
    ----------
    problem : Problem
        The rows.
    theta : ndarray of float, shape (k,)
        Parameters in the order of ``problem.names``.
    chosen : ndarray of bool, shape (k,)
        The parameters to differentiate by.
    curvature : bool
        Whether to give second derivatives as well.
    step : int
        Take every ``step``-th row only.

    Yields
    ------
    Rows
        Rows of weight zero are left out.
    """
    law, core = problem.law, core_law(problem)
    order = np.full(chosen.size, -1, dtype=np.intp)
    order[chosen] = np.arange(int(chosen.sum()))
    wanted = [name for name, where in problem.slots if chosen[where].any()]
    grouped = {name: order[problem.positions(name)] for name in wanted if name in law.groups}
    starts = {name: order[where.start] for name, where in problem.slots}
    size = max(len(wanted) ** 2 if curvature else len(wanted), int(chosen.sum()), 1)
    block = max(1, _BLOCK // size)
    values = problem.row_values(theta)
    index = np.arange(0, problem.n, step)
    for first in range(0, index.size, block):
        take = index[first : first + block]
        take = take[problem.weights[take] > 0.0]
        if not take.size:
            continue
        columns = [problem.inputs[name][take] for name in law.inputs]
        columns += [v[take] if v.size == problem.n else v for v in values.values()]
        fitted = _spread(core.value(columns), take.size)
        gradient = _spread(core.gradient(columns, wanted), take.size)
        second = _spread(core.hessian(columns, wanted), take.size) if curvature else None
        target = problem.target[take]
        if problem.residual == "log":
            residual, slope = np.log(target) - np.log(fitted), 1.0 / fitted
            gradient = gradient * slope[:, None]
        else:
            residual, slope = target - fitted, np.ones(take.size)
        if not grouped:
            yield Rows(residual, problem.weights[take], gradient, slope, second, None, take)
            continue
        where = np.empty((take.size, len(wanted)), dtype=np.intp)
        for column, name in enumerate(wanted):
            where[:, column] = grouped[name][take] if name in grouped else starts[name]
        jacobian = np.zeros((take.size, int(chosen.sum())))
        line = np.arange(take.size)
        for column in range(len(wanted)):
            seen = where[:, column] >= 0
            jacobian[line[seen], where[seen, column]] = gradient[seen, column]
        yield Rows(residual, problem.weights[take], jacobian, slope, second, where, take)


def triangle(
    problem: Problem, theta: NDArray[np.float64], chosen: NDArray[np.bool_], *, step: int = 1
) -> tuple[NDArray[np.float64], float]:
    """Return the triangular factor R of the weighted Jacobian, so that R'R = J'WJ plus the priors' curvature.

    Parameters
    ----------
    problem : Problem
        The rows.
    theta : ndarray of float, shape (k,)
        Parameters in the order of ``problem.names``.
    chosen : ndarray of bool, shape (k,)
        The p parameters to differentiate by.
    step : int
        Take every ``step``-th row only.

    Returns
    -------
    factor : ndarray of float, shape (p, p)
        Upper triangular. Each column is accurate relative to its own length.
    rss : float
        Weighted sum of squared residuals of the same rows.
    """
    p = int(chosen.sum())
    factor, rss = np.zeros((p, p)), 0.0
    for block in rows(problem, theta, chosen, step=step):
        weight = _effective(problem.loss, block)
        rss += float(weight @ block.residual**2)
        stacked = np.concatenate([factor, np.sqrt(weight)[:, None] * block.jacobian])
        factor = _square(np.asarray(np.linalg.qr(stacked, mode="r")), p)
    if problem.priors:
        extra = np.diag(_prior_slopes(problem, theta)[chosen])
        factor = _square(np.asarray(np.linalg.qr(np.concatenate([factor, extra]), mode="r")), p)
    return factor, rss


def singular_directions(
    factor: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return column lengths, and singular values with directions of the factor with columns of unit length.

    Parameters
    ----------
    factor : ndarray of float, shape (p, p)
        As from `triangle`.

    Returns
    -------
    lengths : ndarray of float, shape (p,)
        Length of each column; 0 for a parameter without any effect.
    values : ndarray of float, shape (p,)
        Singular values, largest first. Their squares are the eigenvalues of the information matrix scaled to
        a unit diagonal.
    directions : ndarray of float, shape (p, p)
        Row i is the direction of ``values[i]`` in the scaled parameters.
    """
    lengths = np.sqrt(np.einsum("ij,ij->j", factor, factor))
    scaled = factor / np.where(lengths > 0.0, lengths, 1.0)
    _, values, directions = np.linalg.svd(scaled)
    return lengths, values, directions


def covariance(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    dof: int,
    kind: CovKind,
    clusters: NDArray[np.intp] | None = None,
    copies: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], str]:
    """Return the covariance of the chosen parameters.

    Parameters
    ----------
    problem : Problem
        The rows.
    theta : ndarray of float, shape (k,)
        The optimum, in the order of ``problem.names``.
    chosen : ndarray of bool, shape (k,)
        The p parameters that were fitted and are not held by a bound.
    dof : int
        Residual degrees of freedom.
    kind : {"sandwich", "classical", "hessian"}
        See the module's description.
    clusters : ndarray of int, shape (n,), optional
        Cluster of each row, numbered from 0; for the sandwich only.
    copies : ndarray of float, shape (n,), optional
        How often each row stands in the table that `problem` is meant for, where its weights are those of
        one copy times this number. Copies are observations of their own: c copies of weight w add
        c (w psi)^2 J J' to the sandwich, and not (c w psi)^2 J J'. All rows of a cluster have as many.

    Returns
    -------
    cov : ndarray of float, shape (p, p)
        Natural units. Rows and columns of parameters that the data do not determine are NaN, as is everything
        that needs the noise where no degree of freedom is left.
    form : str
        ``"exact"``, ``"gauss-newton"`` (the Hessian was not positive definite, its part with second
        derivatives of the law was left out) or ``"kernel"`` (the second derivative of the loss was smoothed
        over the residuals).
    """
    p = int(chosen.sum())
    factor, rss = triangle(problem, theta, chosen)
    if not np.isfinite(factor).all():
        return np.full((p, p), np.nan), "exact"
    lengths, values, directions = singular_directions(factor)
    null = _null(values)
    lost = _lost(lengths, directions, null)
    scale = 1.0 / np.where(lengths > 0.0, lengths, 1.0)
    if kind == "classical":
        half = (directions[~null] / values[~null, None]) * scale
        cov = (rss / dof if dof > 0 else math.nan) * (half.T @ half)
        form = "exact"
    else:
        parts = _robust(problem, theta, chosen, scale, directions[~null].T, clusters, copies)
        form = parts.form
        if kind == "sandwich":
            cov = parts.inverse @ parts.meat @ parts.inverse
        else:
            cov = (parts.spread / dof if dof > 0 else math.nan) * parts.inverse
        cov *= scale[:, None] * scale[None, :]
    cov[lost, :] = np.nan
    cov[:, lost] = np.nan
    return cov, form


def bread(
    problem: Problem, theta: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], str]:
    """Return the inverse Hessian of the objective, without any scale of the noise.

    Parameters
    ----------
    problem, theta, chosen
        As for `covariance`.

    Returns
    -------
    inverse : ndarray of float, shape (p, p)
        Natural units, NaN as in `covariance`.
    form : str
        As for `covariance`.
    """
    p = int(chosen.sum())
    factor, _ = triangle(problem, theta, chosen)
    if not np.isfinite(factor).all():
        return np.full((p, p), np.nan), "exact"
    lengths, values, directions = singular_directions(factor)
    null = _null(values)
    lost = _lost(lengths, directions, null)
    scale = 1.0 / np.where(lengths > 0.0, lengths, 1.0)
    parts = _robust(problem, theta, chosen, scale, directions[~null].T, None, None)
    inverse = parts.inverse * scale[:, None] * scale[None, :]
    inverse[lost, :] = np.nan
    inverse[:, lost] = np.nan
    return inverse, parts.form


def _null(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return values <= _RANK * max(1.0, float(values[0]) if values.size else 1.0)


def _lost(
    lengths: NDArray[np.float64], directions: NDArray[np.float64], null: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Parameters that the rows do not determine."""
    lost: NDArray[np.bool_] = (directions[null] ** 2).sum(axis=0) > 1e-8
    lost |= lengths == 0.0
    return lost


@dataclass(frozen=True, eq=False)
class _Parts:
    """What the robust kinds are made of, in scaled parameters."""

    inverse: NDArray[np.float64]
    meat: NDArray[np.float64]
    spread: float
    form: str


def _robust(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    scale: NDArray[np.float64],
    basis: NDArray[np.float64],
    clusters: NDArray[np.intp] | None,
    copies: NDArray[np.float64] | None,
) -> _Parts:
    p = int(chosen.sum())
    smooth = problem.loss.smooth
    full, gauss, meat = np.zeros((p, p)), np.zeros((p, p)), np.zeros((p, p))
    sums = np.zeros((0 if clusters is None else int(clusters.max()) + 1, p))
    width = _window(problem, theta, copies)
    psi2 = curved = total = 0.0
    for block in rows(problem, theta, chosen, curvature=smooth):
        psi = problem.loss.psi(block.residual)
        bend = (
            problem.loss.curvature(block.residual)
            if width is None
            else _smoothed(problem.loss, block.residual, width)
        )
        scaled = block.jacobian * scale
        gauss += scaled.T @ ((block.weight * bend)[:, None] * scaled)
        here = np.ones(len(psi)) if copies is None else copies[block.index]
        single = block.weight / here * psi
        if clusters is None:
            meat += scaled.T @ ((here * single**2)[:, None] * scaled)
        else:
            np.add.at(sums, clusters[block.index], single[:, None] * scaled)
        if block.second is not None:
            pull = block.weight * psi
            full -= _scatter(block.second, block.where, pull * block.slope, p) * np.outer(scale, scale)
            if problem.residual == "log":
                full += scaled.T @ (pull[:, None] * scaled)
        psi2 += float(block.weight @ psi**2)
        curved += float(block.weight @ bend)
        total += float(block.weight.sum())
    if clusters is not None:
        times, n = _clusters_drawn(problem, clusters, copies)
        count = float(times.sum())
        small = count / (count - 1.0) * (n - 1.0) / (n - p) if count > 1.0 and n > p else math.nan
        meat = small * (sums.T @ (times[:, None] * sums))
    prior = _prior_curvature(problem, theta)[chosen] * scale**2
    gauss[np.diag_indices(p)] += prior
    form = "exact" if width is None else "kernel"
    inverse = _inverse(gauss + full, basis)
    if inverse is None and smooth:
        form, inverse = "gauss-newton", _inverse(gauss, basis)
    if inverse is None:
        inverse = np.full((p, p), np.nan)
    return _Parts(inverse, meat, math.nan if curved <= 0.0 else psi2 / (curved / total), form)


def _clusters_drawn(
    problem: Problem, clusters: NDArray[np.intp], copies: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], float]:
    """How often each cluster is in the table, and how many rows that makes."""
    times = np.zeros(int(clusters.max()) + 1)
    used = problem.weights > 0.0
    times[clusters[used]] = 1.0 if copies is None else copies[used]
    return times, float(used.sum() if copies is None else copies[used].sum())


def _scatter(
    second: NDArray[np.float64], where: NDArray[np.intp] | None, factor: NDArray[np.float64], p: int
) -> NDArray[np.float64]:
    """Sum of factor times the second derivatives, sent from declared to chosen parameters."""
    if where is None:
        return (factor @ second.reshape(len(factor), -1)).reshape(p, p)
    out = np.zeros(p * p)
    q = where.shape[1]
    for a in range(q):
        for b in range(q):
            i, j = where[:, a], where[:, b]
            seen = (i >= 0) & (j >= 0)
            values = (factor * second[:, a, b])[seen]
            out += np.bincount(i[seen] * p + j[seen], weights=values, minlength=p * p)
    return out.reshape(p, p)


def _inverse(matrix: NDArray[np.float64], basis: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Inverse on the span of the columns of a basis, zero elsewhere; None unless positive definite there.

    The basis leaves out the directions that the data do not determine. To leave out the parameters in them
    would treat these as known, and make the others' errors too small.
    """
    part = basis.T @ matrix @ basis
    if not np.isfinite(part).all():
        return None
    values, vectors = np.linalg.eigh(0.5 * (part + part.T))
    # The Hessian carries the scale of the loss (1e-3 and less), so only the relative size says anything.
    if values.size and values[0] <= 1e-15 * values[-1]:
        return None
    spread: NDArray[np.float64] = basis @ ((vectors / values) @ vectors.T) @ basis.T
    return spread


def _effective(loss: Loss, block: Rows) -> NDArray[np.float64]:
    if loss.above == 1.0:
        return block.weight
    return block.weight * np.where(block.residual > 0.0, loss.above, 1.0)


def _prior_slopes(problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entry that each prior adds to the Jacobian as a row of its own."""
    slopes = np.zeros(theta.size)
    for index, name in enumerate(problem.names):
        if (prior := problem.priors.get(name)) is not None:
            slopes[index] = 1.0 / (prior.width * (1.0 if prior.kind == "normal" else float(theta[index])))
    return slopes


def _prior_curvature(problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the second derivative of the penalties by each parameter."""
    diagonal = np.zeros(theta.size)
    for index, name in enumerate(problem.names):
        if (prior := problem.priors.get(name)) is not None:
            diagonal[index] = prior.curvature(float(theta[index]))
    return diagonal


def _window(problem: Problem, theta: NDArray[np.float64], copies: NDArray[np.float64] | None) -> float | None:
    """Half-width of the window that smooths the second derivative of the loss; None where none is needed."""
    loss = problem.loss
    if not loss.robust:
        return None
    width = _bandwidth(problem, theta, copies)
    # A core as wide as half the window holds rows enough to average over by themselves.
    return width if not loss.smooth or loss.scale < 0.5 * width else None


def _smoothed(loss: Loss, r: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Second derivative of the loss, averaged over r - width to r + width with a parabolic kernel.

    By parts it is an integral of the first derivative, which also kinked losses have.
    """
    if not loss.smooth:
        tau = loss.scale if loss.kind == "quantile" else None
        jump = loss.above + 1.0 if tau is None else loss.above * tau + (1.0 - tau)
        return jump * np.where(np.abs(r) <= width, 0.75 * (1.0 - (r / width) ** 2), 0.0) / width
    out = np.zeros_like(r)
    for node, weight in zip(*np.polynomial.legendre.leggauss(_NODES), strict=True):
        out -= (1.5 * weight * node / width) * loss.psi(r - width * node)
    return out


def _bandwidth(problem: Problem, theta: NDArray[np.float64], copies: NDArray[np.float64] | None) -> float:
    """Width of the kernel for the density of the residuals at zero, after Hall and Sheather (1988)."""
    from statistics import NormalDist

    _, r = residuals(problem, theta)
    used = problem.weights > 0.0
    r = r[used] if copies is None else np.repeat(r[used], copies[used].astype(np.intp))
    normal, n = NormalDist(), r.size
    tau = problem.loss.scale if problem.loss.kind == "quantile" else 0.5
    z = normal.inv_cdf(tau)
    density = normal.pdf(z)
    h = n ** (-1 / 3) * normal.inv_cdf(0.975) ** (2 / 3) * (1.5 * density**2 / (2 * z * z + 1)) ** (1 / 3)
    low, high = max(tau - h, 0.005), min(tau + h, 0.995)
    lower, upper = np.quantile(r, [0.25, 0.75])
    spread = min(float(r.std()), float(upper - lower) / 1.349)
    return max(spread * (normal.inv_cdf(high) - normal.inv_cdf(low)), np.finfo(np.float64).tiny)


def core_law(problem: Problem) -> CoreLaw:
    """Return the compiled law of a problem."""
    return cast("Law", problem.law)._core


def _spread(values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """One row for each row of the table, also where the law depends on no column."""
    return values if len(values) == n else np.broadcast_to(values, (n, *values.shape[1:]))


def _square(factor: NDArray[np.float64], p: int) -> NDArray[np.float64]:
    """Triangular factor padded to p rows, for fewer rows than parameters."""
    return factor if len(factor) == p else np.concatenate([factor, np.zeros((p - len(factor), p))])
