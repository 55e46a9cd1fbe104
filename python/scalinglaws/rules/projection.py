"""Performance of any mixture of data sources at any size, from small mixtures and optimal transport."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ..fit import fit
from ..law import Law
from ..losses import squared
from ..param import Param
from ..result import Fit
from ._check import Floats, Real, column, give, numbers, same_shape, scalar, whole

__all__ = [
    "MixtureChoice",
    "ProjektorModel",
    "project_performance",
    "project_to_simplex",
    "projektor",
    "select_mixture",
]


@dataclass(frozen=True, eq=False)
class ProjektorModel:
    """Performance of mixtures at two sizes, and its projection to others; made by `projektor`.

    Parameters
    ----------
    N0, N1 : float
        The two sizes.
    fits : tuple of Fit
        The linear model of each size.
    sources : int
        Number of sources.
    """

    N0: float
    N1: float
    fits: tuple[Fit, Fit]
    sources: int

    def predict(self, N: ArrayLike, p: ArrayLike, OT0: ArrayLike, OT1: ArrayLike | None = None) -> Real:
        """Return the performance of a mixture at a size.

        Parameters
        ----------
        N : array_like
            Samples to train on.
        p : array_like, shape (..., m)
            Proportions of the sources; they sum to 1.
        OT0, OT1 : array_like
            Distance of the mixture to the validation data at the two sizes; the same if only one is given.

        Returns
        -------
        float or ndarray
            Performance, in the broadcast shape of `N` and the leading axes of `p`.

        Raises
        ------
        ValueError
            If proportions are negative or do not sum to 1, or their number is not that of the sources.
        """
        shares = _proportions(p, self.sources)
        size = numbers("N", N, above=0.0)
        distances = [
            numbers("OT0", OT0),
            numbers("OT0" if OT1 is None else "OT1", OT0 if OT1 is None else OT1),
        ]
        at = []
        for found, distance in zip(self.fits, distances, strict=True):
            spread = np.broadcast_to(distance, np.broadcast_shapes(distance.shape, shares.shape[:-1]))
            rows = np.broadcast_to(shares, (*spread.shape, self.sources))
            at.append(np.asarray(found.law(**_inputs(rows, spread), **found.values)))
        return project_performance(size, self.N0, self.N1, *at)


@dataclass(frozen=True, eq=False)
class MixtureChoice:
    """The mixture that a search by gradient ended at.

    Parameters
    ----------
    p : ndarray, shape (m,)
        Proportions of the best mixture visited.
    performance : float
        Projected performance there.
    path : ndarray, shape (steps + 1, m)
        Every mixture visited.
    """

    p: Floats
    performance: float
    path: Floats


def project_performance(N: ArrayLike, N0: ArrayLike, N1: ArrayLike, L0: ArrayLike, L1: ArrayLike) -> Real:
    """Project performance from two sizes to another, linearly in the logarithm of the size.

    ``(log(N/N0) L1 - log(N/N1) L0) / log(N1/N0)`` (Kang et al. 2023, arXiv:2307.02460). An accuracy
    overshoots near its ceiling; with the logarithm of an error the line is a power law.

    Parameters
    ----------
    N : array_like
        Size to project to.
    N0, N1 : array_like
        The two sizes that were measured.
    L0, L1 : array_like
        Performance there.

    Returns
    -------
    float or ndarray
        Performance in the broadcast shape.

    Raises
    ------
    ValueError
        If a size is not positive, or the two are equal.

    Examples
    --------
    >>> round(project_performance(10000, N0=1000, N1=1500, L0=0.50, L1=0.54), 6)
    0.727155
    """
    size, small, large, low, high = same_shape(
        N=numbers("N", N, above=0.0),
        N0=numbers("N0", N0, above=0.0),
        N1=numbers("N1", N1, above=0.0),
        L0=numbers("L0", L0),
        L1=numbers("L1", L1),
    )
    if np.any(small == large):
        raise DataError("N0 and N1 must differ", "N1")
    share = np.log(size / small) / np.log(large / small)
    return give(np.asarray(low + share * (high - low)))


def projektor(
    p: ArrayLike,
    OT0: ArrayLike,
    perf0: ArrayLike,
    OT1: ArrayLike,
    perf1: ArrayLike,
    *,
    N0: float,
    N1: float,
    squares: bool = False,
) -> ProjektorModel:
    """Fit the performance of mixtures of data sources at two sizes, to predict every mixture at every size.

    At each size a linear model in the distance OT of the mixture to the validation data, the proportions
    p_i, and the products p_i OT and p_i^2 OT, for all sources but the last (Kang et al. 2023,
    arXiv:2307.02460); `project_performance` then joins the sizes.

    Parameters
    ----------
    p : array_like, shape (k, m)
        Proportions of the m sources in each mixture; rows sum to 1.
    OT0, OT1 : array_like, shape (k,)
        Distance of each mixture to the validation data at the two sizes; see `entropic_transport`.
    perf0, perf1 : array_like, shape (k,)
        Accuracy, or logarithm of the error, at the two sizes.
    N0, N1 : float
        The two sizes, samples; the paper takes 1000 and 1500.
    squares : bool
        Whether p_i^2 is a feature, too, as in the paper; the released notebook leaves it out.

    Returns
    -------
    ProjektorModel
        The fits, by least squares, and their projection.

    Raises
    ------
    ValueError
        If a shape does not fit, rows of `p` do not sum to 1, or the mixtures do not determine the
        coefficients.

    Examples
    --------
    >>> share = np.linspace(0.0, 1.0, 7)
    >>> p, OT = np.column_stack([share, 1 - share]), 2 + np.cos(3 * share)
    >>> accuracy = 0.8 - 0.1 * OT + 0.05 * share
    >>> model = projektor(p, OT, accuracy, OT, accuracy + 0.04, N0=1000, N1=1500)
    >>> round(model.predict(10000, [0.5, 0.5], 2.0), 4)
    0.8522
    """
    shares = _proportions(p, None)
    if shares.ndim != 2:
        raise DataError(f"p must have one row per mixture, not shape {shares.shape}", "p")
    sources = shares.shape[1]
    if sources < 2:
        raise DataError("p must have a column for each of two or more sources", "p")
    small, large = scalar("N0", N0, above=0.0), scalar("N1", N1, above=0.0)
    if small == large:
        raise DataError("N0 and N1 must differ", "N1")
    law = _law(sources - 1, bool(squares))
    fits = []
    for index, (distance, performance) in enumerate(((OT0, perf0), (OT1, perf1))):
        ot = column(f"OT{index}", distance, n=len(shares))
        perf = column(f"perf{index}", performance, n=len(shares))
        inputs = _inputs(shares, ot)
        # The gradient of a linear law is its design matrix.
        point: dict[str, Any] = {**inputs, **dict.fromkeys(law.params, 0.0)}
        design = law.gradient(wrt=list(law.params), **point)
        norms = np.linalg.norm(design, axis=0)
        if np.any(norms == 0.0) or np.linalg.matrix_rank(design / norms, tol=1e-10) < len(law.params):
            raise DataError(
                f"{len(shares)} mixtures do not determine {len(law.params)} coefficients: vary the "
                "proportions of every source, and the distance with them",
                "p",
            )
        start = dict.fromkeys(law.params, 0.0) | {"c0": float(perf.mean())}
        fits.append(fit(law, {**inputs, "perf": perf}, residual="linear", loss=squared(), starts=start))
    return ProjektorModel(small, large, (fits[0], fits[1]), sources)


def project_to_simplex(v: ArrayLike) -> Floats:
    """Return the nearest vector of non-negative numbers that sum to 1.

    Parameters
    ----------
    v : array_like, shape (m,)
        Any numbers.

    Returns
    -------
    ndarray, shape (m,)
        Proportions.

    Raises
    ------
    ValueError
        If `v` is no vector of finite numbers.

    Examples
    --------
    >>> project_to_simplex([0.5, 0.9, -0.3]).round(6).tolist()
    [0.3, 0.7, 0.0]
    """
    values = column("v", v)
    ordered = np.sort(values)[::-1]
    excess = (np.cumsum(ordered) - 1.0) / np.arange(1, len(values) + 1)
    # The shift that belongs to the largest set of entries that all stay positive.
    shift = excess[np.flatnonzero(ordered > excess)[-1]]
    return np.asarray(np.maximum(values - shift, 0.0))


def select_mixture(
    model: ProjektorModel,
    N: float,
    transport: Callable[[Floats], tuple[float, Floats]],
    p: ArrayLike,
    *,
    rate: float = 0.1,
    steps: int = 100,
    maximise: bool = True,
) -> MixtureChoice:
    """Search the mixture of the best projected performance by projected gradient steps.

    Parameters
    ----------
    model : ProjektorModel
        The fitted model.
    N : float
        Size to choose for.
    transport : callable
        Distance of a mixture to the validation data, and its derivative by each proportion;
        `entropic_transport` and `source_gradient` give both.
    p : array_like, shape (m,)
        Where to start.
    rate : float
        Length of a step per unit of the gradient.
    steps : int
        Number of steps.
    maximise : bool
        Whether more is better; False for errors.

    Returns
    -------
    MixtureChoice
        The best mixture visited: the search is local.

    Raises
    ------
    ValueError
        If a number is out of range, or `transport` returns another shape.

    Examples
    --------
    >>> share = np.linspace(0.0, 1.0, 7)
    >>> p, OT = np.column_stack([share, 1 - share]), 1 + (share - 0.3) ** 2
    >>> model = projektor(p, OT, 1 - 0.2 * OT, OT, 1.1 - 0.2 * OT, N0=1000, N1=1500)
    >>> distance = lambda p: (1 + (p[0] - 0.3) ** 2, np.array([2 * (p[0] - 0.3), 0.0]))
    >>> select_mixture(model, 10000, distance, [0.5, 0.5], rate=1.0).p.round(3).tolist()
    [0.3, 0.7]
    """
    here = _proportions(p, model.sources)
    if here.ndim != 1:
        raise DataError(f"p must be one mixture, not shape {here.shape}", "p")
    length, sign = scalar("rate", rate, above=0.0), 1.0 if maximise else -1.0
    path, values = [here], []
    for _ in range(whole("steps", steps, least=1)):
        value, slope = _slope(model, scalar("N", N, above=0.0), transport, here)
        values.append(value)
        here = project_to_simplex(here + sign * length * slope)
        path.append(here)
    values.append(_slope(model, float(N), transport, here)[0])
    best = int(np.argmax(sign * np.array(values)))
    return MixtureChoice(path[best], values[best], np.array(path))


def _slope(
    model: ProjektorModel, N: float, transport: Callable[[Floats], tuple[float, Floats]], p: Floats
) -> tuple[float, Floats]:
    """Projected performance, and its derivative by the proportions."""
    distance, by_share = transport(p)
    ot, change = scalar("transport", distance), column("transport", by_share, n=model.sources)
    share = np.log(N / model.N0) / np.log(model.N1 / model.N0)
    value, slope = 0.0, np.zeros(model.sources)
    for weight, found in zip((1.0 - share, share), model.fits, strict=True):
        inputs = _inputs(p, np.asarray(ot))
        point: dict[str, Any] = {**inputs, **found.values}
        gradient = found.law.gradient(wrt=list(inputs), **point)
        value += weight * float(found.law(**point))
        own = dict(zip(inputs, gradient.tolist(), strict=True))
        # The last proportion is no input: the model says nothing of its own about it.
        slope += weight * (own["OT"] * change + np.array([*(own[f"p{i}"] for i in range(1, len(p))), 0.0]))
    return value, slope


def _inputs(p: Floats, OT: Floats) -> dict[str, Floats]:
    return {"OT": OT} | {f"p{i}": p[..., i - 1] for i in range(1, p.shape[-1])}


def _proportions(p: ArrayLike, sources: int | None) -> Floats:
    shares = numbers("p", p, least=0.0)
    if not shares.ndim or (sources is not None and shares.shape[-1] != sources):
        raise DataError(
            f"p must hold one proportion for each source in its last axis, not shape {shares.shape}", "p"
        )
    off = np.abs(shares.sum(axis=-1) - 1.0) > 1e-9
    if np.any(off):
        rows = np.flatnonzero(np.atleast_1d(off))
        raise DataError(f"the proportions p must sum to 1: row {rows[0]} does not", "p", rows[:5].tolist())
    return shares


@lru_cache(maxsize=16)
def _law(features: int, squares: bool) -> Law:
    terms, names = ["c0 + b0*OT"], ["c0", "b0"]
    for i in range(1, features + 1):
        terms += [f"c1_{i}*p{i}", f"b1_{i}*p{i}*OT", f"b2_{i}*p{i}**2*OT"]
        names += [f"c1_{i}", f"b1_{i}", f"b2_{i}"]
        if squares:
            terms.append(f"c2_{i}*p{i}**2")
            names.append(f"c2_{i}")
    return Law(
        "perf ~ " + " + ".join(terms), params={name: Param("real", start=(-10.0, 10.0)) for name in names}
    )
