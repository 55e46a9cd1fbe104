"""The frontier of data pruning, and whether error falls faster than a power of the examples kept."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError, FitWarning
from ..law import Law
from ..laws import laws
from ..losses import squared
from ..param import Param
from ..recipe import fit_quietly
from ..result import Fit
from ._check import Floats, columns, numbers, whole

__all__ = ["DecayComparison", "PruningFrontier", "compare_decay", "data_pruning_frontier"]


@dataclass(frozen=True, eq=False)
class PruningFrontier:
    """Lowest error for each number of examples kept.

    Parameters
    ----------
    n : ndarray, shape (m,)
        Examples kept, ascending.
    err : ndarray, shape (m,)
        Lowest error over the kept fractions.
    frac : ndarray, shape (m,)
        The fraction that attains it.
    slope : ndarray, shape (m,)
        ``-dlog err / dlog n``: a power law keeps it, an exponential makes it grow. NaN for a single point.
    """

    n: Floats
    err: Floats
    frac: Floats
    slope: Floats


@dataclass(frozen=True, eq=False)
class DecayComparison:
    """Power law against exponential on a frontier.

    Parameters
    ----------
    fits : dict of str to Fit
        By the names ``"power"``, ``"exponential"`` and, with enough points, ``"stretched"``.
    held_out : dict of str to float
        Root mean square of log error over prediction at the largest n, which were not fitted.
    best : str
        The name of the smallest of these.
    """

    fits: dict[str, Fit]
    held_out: dict[str, float]
    best: str


def data_pruning_frontier(
    n_kept: ArrayLike, frac: ArrayLike, err: ArrayLike, *, n: ArrayLike | None = None, points: int = 50
) -> PruningFrontier:
    """Return the lowest error at each number of examples kept, whatever the pool and fraction.

    Within each fraction log error is interpolated linearly in log n, never beyond its own points; the lowest
    curve is the frontier (Sorscher et al. 2022, arXiv:2206.14486; Ayed and Hayou 2023, arXiv:2302.06960).

    Parameters
    ----------
    n_kept : array_like, shape (k,)
        Examples kept in each run, fraction times pool.
    frac : array_like, shape (k,)
        Kept fraction, above 0 and up to 1 for the unpruned baseline.
    err : array_like, shape (k,)
        Positive test error.
    n : array_like, shape (m,), optional
        Where to evaluate the frontier; by default even in the logarithm between the least and the most.
    points : int
        How many points by default.

    Returns
    -------
    PruningFrontier
        The frontier; its points are minima over noisy runs and so biased low.

    Raises
    ------
    ValueError
        If a number is out of range, a fraction has the same number of examples twice, or no fraction covers
        a point of `n`.

    Examples
    --------
    >>> n = np.geomspace(100, 10000, 5)
    >>> runs = np.tile(n, 2), np.repeat([1.0, 0.2], 5), np.concatenate([3 * n**-0.5, 40 * n**-0.9])
    >>> best = data_pruning_frontier(*runs, n=[100.0, 1000.0])
    >>> best.err.round(6).tolist(), best.frac.tolist()
    ([0.3, 0.07981], [1.0, 0.2])
    """
    bounds = {"n_kept": {"above": 0.0}, "frac": {"above": 0.0, "most": 1.0}, "err": {"above": 0.0}}
    kept, share, error = columns(bounds, n_kept=n_kept, frac=frac, err=err)
    if n is None:
        at = (
            np.geomspace(kept.min(), kept.max(), whole("points", points, least=2))
            if np.ptp(kept)
            else kept[:1]
        )
        at = np.clip(at, kept.min(), kept.max())
    else:
        at = np.unique(np.atleast_1d(numbers("n", n, above=0.0)))
    fractions = np.unique(share)[::-1]
    curves = np.full((len(fractions), len(at)), np.inf)
    for row, fraction in enumerate(fractions):
        own = share == fraction
        order = np.argsort(kept[own], kind="stable")
        x, y = kept[own][order], error[own][order]
        if np.any(np.diff(x) <= 0.0):
            twice = x[:-1][np.diff(x) <= 0.0][0]
            raise DataError(
                f"frac = {fraction:g} has n_kept = {twice:g} twice: average repeated runs first", "n_kept"
            )
        inside = (at >= x[0] * (1.0 - 1e-12)) & (at <= x[-1] * (1.0 + 1e-12))
        curves[row, inside] = np.exp(np.interp(np.log(at[inside]), np.log(x), np.log(y)))
    lowest = curves.min(axis=0)
    bare = np.flatnonzero(np.isinf(lowest))
    if bare.size:
        raise DataError(
            f"no kept fraction has runs on both sides of n = {at[bare[0]]:g}", "n", bare[:5].tolist()
        )
    slope = np.full(len(at), np.nan)
    if len(at) > 1:
        slope = -np.gradient(np.log(lowest), np.log(at))
    return PruningFrontier(at, lowest, fractions[np.argmin(curves, axis=0)], slope)


def compare_decay(n: ArrayLike, err: ArrayLike, *, held_out: int = 1) -> DecayComparison:
    """Decide whether an error falls as a power or exponentially, by the points of largest n.

    Fits the laws ``power_law_floor`` and ``exponential_law``, and ``E + A exp(-(k n)**s)`` where at least
    six points are fitted, to all but the largest n.

    Parameters
    ----------
    n : array_like, shape (m,)
        Examples kept, each once.
    err : array_like, shape (m,)
        Error of the frontier.
    held_out : int
        How many of the largest n to predict.

    Returns
    -------
    DecayComparison
        Fits by least squares of logarithms, and their errors where they were not fitted.

    Raises
    ------
    ValueError
        If fewer than four points are left to fit, or n repeats.

    Warns
    -----
    FitWarning
        If the best law does not fit. The others may well not: ``fits[name].message`` says why.

    Examples
    --------
    >>> n = np.geomspace(100, 10000, 6)
    >>> compare_decay(n, 0.05 + 3 * n**-0.5).best
    'power'
    """
    sizes, error = columns({"n": {"above": 0.0}, "err": {"above": 0.0}}, n=n, err=err)
    order = np.argsort(sizes, kind="stable")
    sizes, error = sizes[order], error[order]
    if np.any(np.diff(sizes) <= 0.0):
        raise DataError("n must hold each number of examples once", "n")
    last = whole("held_out", held_out, least=1)
    if len(sizes) - last < 4:
        raise DataError(f"{len(sizes)} points minus {last} held out leave fewer than the four to fit", "n")
    x, y = sizes[:-last], error[:-last]
    candidates = {"power": (laws["power_law_floor"], "L"), "exponential": (laws["exponential_law"], "y")}
    if len(x) >= 6:
        candidates["stretched"] = (_stretched(x, y), "y")
    fits, missed = {}, {}
    for name, (law, target) in candidates.items():
        # That a law does not fit is what the comparison is to find out; only the winner has to be valid.
        found = fit_quietly(law, {"x": x, target: y}, residual="log", loss=squared())
        fits[name] = found
        predicted = np.asarray(law(x=sizes[-last:], **found.values))
        with np.errstate(invalid="ignore", divide="ignore"):
            misses = np.log(error[-last:] / predicted)
        # A law that predicts an error of 0 or less has lost, whatever the data are.
        usable = np.isfinite(misses).all()
        missed[name] = float(np.sqrt(np.mean(misses**2))) if usable else float("inf")
    best = min(missed, key=lambda name: missed[name])
    if not fits[best].valid:
        warnings.warn(f"the fit of {best!r} is not valid: {fits[best].message}", FitWarning, stacklevel=2)
    return DecayComparison(fits, missed, best)


def _stretched(x: Floats, y: Floats) -> Law:
    low, high = 0.01 / float(x.max()), 100.0 / float(x.min())
    top = float(y.max())
    return Law(
        "y ~ E + A*exp(-(k*x)**s)",
        params={
            "E": Param(
                "positive", start=(1e-3 * float(y.min()), float(y.min())), sampling="log", meaning="floor"
            ),
            "A": Param("positive", start=(0.1 * top, 100.0 * top), sampling="log", meaning="amplitude"),
            "k": Param("positive", start=(low, high), sampling="log", meaning="rate"),
            "s": Param("positive", start=(0.1, 1.5), meaning="stretching exponent; 1 is an exponential"),
        },
    )
