"""How much the learning rate matters, and which runs of AdamW should follow the same curve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from ..result import Fit
from ._check import Floats, Real, column, columns, give, numbers, same_shape, scalar
from ._fits import fit_powers

__all__ = [
    "SensitivityResult",
    "ThresholdSize",
    "TrajectoryKeys",
    "curve_gap",
    "lr_sensitivity",
    "size_at_threshold",
    "trajectory_invariance",
]

# Largest gap over smallest gap of log learning rates that still counts as an even sweep: 1, 2, 5, 10 passes.
_EVEN = 1.5


@dataclass(frozen=True, eq=False)
class SensitivityResult:
    """Sensitivity of the final loss to the learning rate.

    Parameters
    ----------
    sensitivity : float
        Mean excess of the loss over the best one, in the unit of the loss.
    best_lr : float
        Learning rate of the lowest loss.
    best_loss : float
        The lowest loss.
    capped : int
        How many runs counted with the loss at initialisation, because they ended above it or not at all.
    """

    sensitivity: float
    best_lr: float
    best_loss: float
    capped: int


@dataclass(frozen=True, eq=False)
class TrajectoryKeys:
    """What decides which runs of AdamW share a loss curve.

    Parameters
    ----------
    eta : float or ndarray
        Peak learning rate: runs of equal `eta` overlap early in training.
    gamma : float or ndarray
        Effective learning rate, `eta` times weight decay: runs of equal `gamma` overlap later.
    early, late : int or ndarray of int
        Number of the run's group by `eta` and by `gamma`, counted from 0 in ascending order of the key.
    """

    eta: Real
    gamma: Real
    early: int | NDArray[np.intp]
    late: int | NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class ThresholdSize:
    """Model size at which a statistic crosses a threshold.

    Parameters
    ----------
    N : float
        The size.
    exponent : float
        Exponent of the statistic in the size.
    stderr_log : float
        Standard error of the natural logarithm of `N` by the delta method; NaN from two sizes.
    fit : Fit
        The fitted power law ``c * x1**a1``.
    """

    N: float
    exponent: float
    stderr_log: float
    fit: Fit


def lr_sensitivity(
    lr: ArrayLike, L: ArrayLike, L_init: float, *, between: tuple[float, float] | None = None
) -> SensitivityResult:
    """Return the learning-rate sensitivity of a sweep.

    The mean over the sweep, even in the logarithm of the rate, of ``min(L, L_init)`` minus the lowest loss
    (Wortsman et al. 2023, arXiv:2309.14322, section 2.2). Runs that diverged, NaN and infinite losses
    included, count with the loss at initialisation. The paper sweeps three decades, 3e-4 to 3e-1.

    Parameters
    ----------
    lr : array_like, shape (n,)
        Learning rates, each once and evenly spaced in the logarithm.
    L : array_like, shape (n,)
        Final losses; NaN and infinity mean divergence.
    L_init : float
        Loss at initialisation.
    between : (float, float), optional
        Use only the rates in this closed range; a comparison of models needs the same range for all.

    Returns
    -------
    SensitivityResult
        The sensitivity and the best run.

    Raises
    ------
    ValueError
        If the rates repeat or are uneven, or every run diverged.

    Examples
    --------
    >>> lr_sensitivity([1e-3, 3e-3, 1e-2], [4.5, 4.0, float("nan")], L_init=7.0).sensitivity
    1.1666666666666667
    """
    rates = column("lr", lr, above=0.0)
    losses = np.asarray(L)
    if losses.dtype.kind not in "buif":
        raise TypeError(f"L must hold numbers, not dtype {losses.dtype}")
    if losses.shape != rates.shape:
        raise DataError(f"lr has {len(rates)} rows, L has shape {losses.shape}", "L")
    start = scalar("L_init", L_init)
    finite = np.isfinite(losses.astype(np.float64))
    final = np.where(finite, losses, np.inf)
    if between is not None:
        low, high = (scalar("between", end, above=0.0) for end in between)
        # A rounded end such as 3e-4 must not lose the run that stands on it.
        keep = (rates >= low * (1.0 - 1e-9)) & (rates <= high * (1.0 + 1e-9))
        rates, final = rates[keep], final[keep]
    if len(rates) < 2:
        raise DataError(f"a sensitivity needs two learning rates, not {len(rates)}", "lr")
    order = np.argsort(rates, kind="stable")
    gaps = np.diff(np.log(rates[order]))
    if gaps.min() <= 0.0:
        raise DataError(
            f"lr holds {rates[order][np.argmin(gaps)]:g} twice: average repeated runs first", "lr"
        )
    if gaps.max() > _EVEN * gaps.min():
        raise DataError(
            f"lr is not evenly spaced in the logarithm: neighbours differ by factors from "
            f"{math.exp(gaps.min()):.3g} to {math.exp(gaps.max()):.3g}, so a mean over runs is no mean over "
            "the range; interpolate to an even sweep first",
            "lr",
        )
    best = int(np.argmin(final))
    if not final[best] < start:
        raise DataError("no run ended below the loss at initialisation", "L")
    capped = np.minimum(final, start)
    return SensitivityResult(
        sensitivity=float(np.mean(capped - final[best])),
        best_lr=float(rates[best]),
        best_loss=float(final[best]),
        capped=int((final > start).sum()),
    )


def size_at_threshold(N: ArrayLike, value: ArrayLike, threshold: float) -> ThresholdSize:
    """Return the model size at which a statistic of training reaches a threshold.

    A power law of the statistic in the size at one learning rate, inverted. Wortsman et al. 2023
    (arXiv:2309.14322) predict instabilities so: the largest attention logit near 1e4, or a gradient root mean
    square that falls below the epsilon of AdamW.

    Parameters
    ----------
    N : array_like, shape (n,)
        Model sizes, at least two different ones.
    value : array_like, shape (n,)
        Positive statistic.
    threshold : float
        Value to reach.

    Returns
    -------
    ThresholdSize
        The size, usually beyond the data: an extrapolation.

    Raises
    ------
    ValueError
        If a number is not positive, or the statistic does not change with size.

    Examples
    --------
    >>> found = size_at_threshold([1e7, 1e8, 1e9], [10.0, 100.0, 1000.0], 1e4)
    >>> round(found.N / 1e10, 6), round(found.exponent, 6)
    (1.0, 1.0)
    """
    bounds = {"N": {"above": 0.0}, "value": {"above": 0.0}}
    sizes, values = columns(bounds, N=N, value=value)
    goal = scalar("threshold", threshold, above=0.0)
    if len(np.unique(sizes)) < 2:
        raise DataError("N holds one size: a power law needs two", "N")
    # In units of the middle size c and a1 are nearly independent, so the error keeps its digits.
    middle = float(np.exp(np.log(sizes).mean()))
    found = fit_powers(values, {"N": sizes / middle})
    a, c = found.values["a1"], found.values["c"]
    if abs(a) < 1e-12:
        raise DataError("the statistic does not change with the size, so it reaches no threshold", "value")
    log_ratio = math.log(goal / c) / a
    # Rows of the covariance are c, a1; log N = log(goal / c) / a1.
    slope = np.array([-1.0 / (a * c), -log_ratio / a])
    error = math.sqrt(float(slope @ found.cov("classical") @ slope))
    return ThresholdSize(middle * math.exp(log_ratio), a, error, found)


def trajectory_invariance(eta: ArrayLike, wd: ArrayLike, *, rtol: float = 1e-6) -> TrajectoryKeys:
    """Group runs of AdamW whose loss curves should overlap.

    Once training is long enough, runs with the same effective learning rate ``gamma = eta * wd`` overlap in
    loss, gradient norm and gradient noise; before that, runs of the same `eta` do (Li et al. 2025,
    arXiv:2509.25049). So a search needs to vary `gamma` only, and runs of equal `gamma` are repetitions, if
    `curve_gap` confirms it. The inverse of `gamma` is the averaging time of AdamW in steps.

    Parameters
    ----------
    eta : array_like
        Peak learning rates.
    wd : array_like
        Decoupled weight decays.
    rtol : float
        Relative difference up to which keys count as equal.

    Returns
    -------
    TrajectoryKeys
        Keys and groups in the broadcast shape.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> keys = trajectory_invariance(eta=[2**-12, 2**-9, 2**-9], wd=[0.4, 0.05, 0.4])
    >>> keys.gamma.tolist(), keys.late.tolist()
    ([9.765625e-05, 9.765625e-05, 0.00078125], [0, 0, 1])
    """
    rate, decay = same_shape(eta=numbers("eta", eta, above=0.0), wd=numbers("wd", wd, least=0.0))
    share = scalar("rtol", rtol, least=0.0)
    gamma = rate * decay
    return TrajectoryKeys(give(rate), give(gamma), _labels(rate, share), _labels(gamma, share))


def curve_gap(t1: ArrayLike, L1: ArrayLike, t2: ArrayLike, L2: ArrayLike, *, after: float = 0.0) -> float:
    """Return the largest relative gap between two loss curves where both exist.

    The check before runs of one `trajectory_invariance` group are pooled.

    Parameters
    ----------
    t1, L1, t2, L2 : array_like, shape (n,) and (m,)
        Positions (steps or tokens, ascending) and positive losses of the two curves.
    after : float
        Ignore positions before this one, where curves of different rates still differ.

    Returns
    -------
    float
        Largest ``|log L1 - log L2|`` over the points of both curves, linear between points.

    Raises
    ------
    ValueError
        If positions do not ascend, or the curves do not overlap.

    Examples
    --------
    >>> round(curve_gap([1, 2, 3], [4.0, 3.0, 2.0], [1, 3], [4.4, 2.0], after=2), 4)
    0.0112
    """
    curves = []
    for index, (t, L) in enumerate(((t1, L1), (t2, L2)), start=1):
        names = (f"t{index}", f"L{index}")
        at, losses = columns({names[1]: {"above": 0.0}}, **{names[0]: t, names[1]: L})
        if np.any(np.diff(at) <= 0.0):
            raise DataError(f"{names[0]} must ascend", names[0])
        curves.append((at, np.log(losses)))
    start = max(curves[0][0][0], curves[1][0][0], scalar("after", after))
    stop = min(curves[0][0][-1], curves[1][0][-1])
    if start > stop:
        raise DataError(f"the curves have no common part after {start:g}", "after")
    at = np.union1d(curves[0][0], curves[1][0])
    at = np.union1d(at[(at >= start) & (at <= stop)], [start, stop])
    return float(np.abs(np.interp(at, *curves[0]) - np.interp(at, *curves[1])).max())


def _labels(keys: Floats, rtol: float) -> int | NDArray[np.intp]:
    """Give nearly equal keys the same number; a group ends where the next key is too far away."""
    flat = keys.reshape(-1)
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    steps = np.diff(ordered) > rtol * ordered[1:]
    labels = np.empty(len(flat), np.intp)
    labels[order] = np.concatenate([[0], np.cumsum(steps)])
    return labels.reshape(keys.shape) if keys.ndim else int(labels[0])
