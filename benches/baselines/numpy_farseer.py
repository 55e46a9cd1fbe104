r"""Batched Levenberg-Marquardt for the nine parameters of the Farseer law, in NumPy alone.

.. math:: L = e^{a_3 N^\gamma + b_3} + e^{a_2 N^\beta + b_2} D^{-\exp(a_1 N^\alpha + b_1)}

Squared residuals of ``log L``. Each of the three brackets ``a N^g + b`` is fitted as
``a' ((N/N_0)^g - 1)/g + b'`` with the geometric mean ``N_0``: the same family in coordinates that stay apart
when ``g`` is near zero, which is where the fits go.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benches.baselines.numpy_batched import BatchFits

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

_BRACKETS = ((0, 1, 2), (3, 4, 5), (6, 7, 8))  # slope, offset, power of each bracket
_EXPONENT_LIMIT = 300.0
_SMALLEST_POWER = 1e-7  # below it (t**g - 1)/g is log t to rounding


class _Point(NamedTuple):
    objective: FloatArray  # (m,)
    gradient: FloatArray  # (m, 9) of the objective
    normal: FloatArray  # (m, 9, 9), J'J


def _bracket(
    theta: FloatArray, bracket: tuple[int, int, int], x: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Bracket and its derivatives in slope and power; the one in the offset is 1."""
    slope, offset, power = (theta[:, index, None] for index in bracket)
    g = np.where(np.abs(power) < _SMALLEST_POWER, _SMALLEST_POWER, power)
    exponent = np.clip(g * x, -_EXPONENT_LIMIT, _EXPONENT_LIMIT)
    grown = np.exp(exponent)
    shape = grown - 1.0
    if np.min(np.abs(g)) < 1e-3:
        # expm1 by Kahan's correction: NumPy's own is not vectorised and five times slower.
        logarithm = np.log(grown)
        shape = np.where(logarithm == 0.0, exponent, shape * exponent / logarithm)
    shape /= g
    return slope * shape + offset, shape, slope * (x * grown - shape) / g


def _evaluate(theta: FloatArray, x: FloatArray, y: FloatArray, z: FloatArray, scratch: FloatArray) -> _Point:
    rate, rate_slope, rate_power = _bracket(theta, _BRACKETS[0], x)
    data, data_slope, data_power = _bracket(theta, _BRACKETS[1], x)
    size, size_slope, size_power = _bracket(theta, _BRACKETS[2], x)
    decay = np.exp(np.clip(rate, -_EXPONENT_LIMIT, _EXPONENT_LIMIT)) * y
    data -= decay
    gap = np.exp(-np.abs(size - data))
    # Squares of a term this small are subnormal numbers, which cost 30 times a normal operation.
    gap *= gap > 1e-100
    total = 1.0 + gap
    residual = z - np.maximum(size, data) - np.log(total)
    larger, smaller = 1.0 / total, gap / total
    first = size >= data
    share_size, share_data = np.where(first, larger, smaller), np.where(first, smaller, larger)
    share_rate = -share_data * decay
    jacobian = scratch[: len(theta)]
    for row, (share, factor) in enumerate(
        (
            (share_rate, rate_slope),
            (share_rate, None),
            (share_rate, rate_power),
            (share_data, data_slope),
            (share_data, None),
            (share_data, data_power),
            (share_size, size_slope),
            (share_size, None),
            (share_size, size_power),
        )
    ):
        if factor is None:
            jacobian[:, row] = share
        else:
            np.multiply(share, factor, out=jacobian[:, row])
    objective = 0.5 * np.vecdot(residual, residual)
    gradient = -np.matmul(jacobian, residual[..., None])[..., 0]
    return _Point(objective, gradient, np.matmul(jacobian, jacobian.transpose(0, 2, 1)))


def _evaluate_blocks(theta: FloatArray, x: FloatArray, y: FloatArray, z: FloatArray, block: int) -> _Point:
    scratch = np.empty((block, 9, len(x)))
    parts = [_evaluate(theta[lo : lo + block], x, y, z, scratch) for lo in range(0, len(theta), block)]
    return _Point(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def fit(
    starts: FloatArray,
    log_n: FloatArray,
    log_d: FloatArray,
    log_loss: FloatArray,
    *,
    max_iter: int = 300,
    tolerance: float = 1e-8,
    block: int = 24,
) -> BatchFits:
    """Fit the Farseer law from many starts.

    Parameters
    ----------
    starts : ndarray, shape (m, 9)
        Natural parameters in the order ``a1, b1, alpha, a2, b2, beta, a3, b3, gamma``.
    log_n, log_d, log_loss : ndarray, shape (n,)
        Logarithms of the data.
    max_iter : int
        Steps per start.
    tolerance : float
        Largest cosine between a Jacobian column and the residual at convergence.
    block : int
        Starts evaluated together.

    Returns
    -------
    BatchFits
        ``theta`` in natural parameters, shape (m, 9).
    """
    centre = float(np.mean(log_n))
    x = log_n - centre
    with np.errstate(all="ignore"):
        theta = _inner(starts, centre)
        point = _evaluate_blocks(theta, x, log_d, log_loss, block)
        iterations = np.zeros(len(starts), dtype=np.int64)
        converged = np.zeros(len(starts), dtype=np.bool_)
        active = np.flatnonzero(_finite(point))
        damping = 1e-3 * np.max(np.einsum("ijj->ij", point.normal), axis=1)
        growth = np.full(len(starts), 2.0)
        for _ in range(max_iter):
            if not len(active):
                break
            step, predicted = _step(point, damping, active)
            trial = _evaluate_blocks(theta[active] + step, x, log_d, log_loss, block)
            decrease = point.objective[active] - trial.objective
            # Below rounding the decrease says nothing: on a plateau such a step has to be accepted.
            invisible = predicted <= 1e-13 * point.objective[active]
            good = (decrease > 0.0) | invisible & (decrease >= -1e-14 * point.objective[active])
            good &= _finite(trial)
            ratio = np.where(invisible, 1.0, decrease / predicted)
            damping[active] *= np.where(good, np.maximum(0.1, 1.0 - (2.0 * ratio - 1.0) ** 3), growth[active])
            growth[active] = np.where(good, 2.0, 2.0 * growth[active])
            moved = active[good]
            theta[moved] += step[good]
            for kept, new in zip(point, trial, strict=True):
                kept[moved] = new[good]
            iterations[active] += 1
            cosine = _cosine(point, active)
            converged[active] = cosine <= tolerance
            hopeless = ~good & (damping[active] > 1e18 * np.max(np.abs(point.gradient[active]), axis=1))
            active = active[~(converged[active] | hopeless)]
        return BatchFits(_natural(theta, centre), point.objective, iterations, converged)


def _finite(point: _Point) -> BoolArray:
    finite: BoolArray = (
        np.isfinite(point.objective)
        & np.isfinite(point.gradient).all(axis=1)
        & np.isfinite(point.normal).all(axis=(1, 2))
    )
    return finite


def _step(point: _Point, damping: FloatArray, active: IntArray) -> tuple[FloatArray, FloatArray]:
    """Levenberg step of the active starts and the decrease it predicts."""
    matrix, gradient = point.normal[active], point.gradient[active]
    largest = np.max(np.einsum("ijj->ij", matrix), axis=1)
    # A floor at rounding keeps the batched solve from meeting an exactly singular matrix.
    shift = np.maximum(damping[active], 1e-15 * largest) + 1e-300
    every = np.arange(9)
    matrix[:, every, every] += shift[:, None]
    step = np.asarray(-np.linalg.solve(matrix, gradient[..., None])[..., 0], dtype=np.float64)
    predicted: FloatArray = 0.5 * (shift * np.vecdot(step, step) - np.vecdot(gradient, step))
    return step, predicted


def _cosine(point: _Point, active: IntArray) -> FloatArray:
    norms = np.einsum("ijj->ij", point.normal[active]) * (2.0 * point.objective[active, None])
    worst: FloatArray = np.max(np.abs(point.gradient[active]) / np.sqrt(norms + 1e-300), axis=1)
    return worst


def _inner(theta: FloatArray, centre: float) -> FloatArray:
    inner = np.array(theta, dtype=np.float64)
    for slope, offset, power in _BRACKETS:
        at_centre = theta[:, slope] * np.exp(theta[:, power] * centre)
        inner[:, offset] += at_centre
        inner[:, slope] = at_centre * theta[:, power]
    return inner


def _natural(theta: FloatArray, centre: float) -> FloatArray:
    natural = theta.copy()
    for slope, offset, power in _BRACKETS:
        g = theta[:, power]
        at_centre = theta[:, slope] / np.where(np.abs(g) < _SMALLEST_POWER, _SMALLEST_POWER, g)
        natural[:, offset] -= at_centre
        natural[:, slope] = at_centre * np.exp(-g * centre)
    return natural
