r"""The strongest array program for the Chinchilla law: many Huber fits at once, in NumPy alone.

The law is fitted in logarithmic form, ``p = (a, b, e, alpha, beta)`` with

.. math:: \log L \approx \log(e^{a - \alpha \log N} + e^{b - \beta \log D} + e^{e}),

and the objective is the weighted sum of Huber losses of the residuals in ``log L``.

What makes it fast and, equally, what makes most starts arrive:

* every array operation works on a block of starts that fits in the second-level cache;
* the law's Jacobian is never formed: its entries are softmax weights times powers of ``log N`` and
  ``log D``, so gradient and Hessian are a handful of thin matrix products;
* derivatives are evaluated only at accepted points;
* a pool of starts is refilled as starts end, so that blocks stay full (compaction);
* damping is Levenberg's identity in coordinates with centred logarithms, not Marquardt's scaling, which
  freezes a term that has nearly vanished;
* iteratively reweighted least squares far away; the exact Hessian only once the scale-free gradient is small;
* a step that changes the objective by no more than rounding is accepted: on the plateau left by a vanished
  term the decrease is invisible, and rejecting there would strand a third of the starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

_SIZE = 5  # a, b, e, alpha, beta
_PACKED = {(i, j): k for k, (i, j) in enumerate((i, j) for i in range(_SIZE) for j in range(i, _SIZE))}
_DIAGONAL = [_PACKED[i, i] for i in range(_SIZE)]
# Exponents beyond this neither change a sum of doubles nor may be squared without leaving the normal range.
_EXPONENT_LIMIT = 150.0


class Settings(NamedTuple):
    """Knobs of the solver; the defaults are the best found on the grid of Hoffmann et al."""

    pool: int = 1024  # starts in flight
    block: int = 128  # starts evaluated together
    damping: float = 0.1  # first damping, relative to the largest diagonal entry
    shrink: float = 0.1  # strongest reduction of the damping after a good step
    grow: float = 4.0  # first increase after a bad step; it doubles with every further one
    newton_below: float = 0.05  # scale-free gradient at which the exact Hessian takes over
    tolerance: float = 1e-8  # scale-free gradient at which a start has converged
    max_iter: int = 300


@dataclass(frozen=True)
class BatchFits:
    """Results of many fits, one row per start.

    Attributes
    ----------
    theta : ndarray, shape (m, 5)
        Parameters ``(a, b, e, alpha, beta)`` where each start ended.
    objective : ndarray, shape (m,)
        Sum of weighted Huber losses there.
    iterations : ndarray, shape (m,)
        Steps tried, accepted or not.
    converged : ndarray of bool, shape (m,)
        Whether the scale-free gradient fell below the tolerance.
    """

    theta: FloatArray
    objective: FloatArray
    iterations: IntArray
    converged: BoolArray


class _Kernel:
    """Objective, gradient and (approximate or exact) Hessian of a block of starts."""

    def __init__(self, x: FloatArray, y: FloatArray, z: FloatArray, delta: float, block: int) -> None:
        self.z, self.delta = z, delta
        one = np.ones_like(x)
        # Each term's derivative in (amplitude, exponent) is its softmax weight times (1, -x): these are the
        # moments that the products of two such derivatives need.
        self.moments_x = np.stack([one, -x, x * x], axis=1)
        self.moments_y = np.stack([one, -y, y * y], axis=1)
        self.moments_xy = np.stack([one, -x, -y, x * y], axis=1)
        self.first_x, self.first_y = self.moments_x[:, :2].copy(), self.moments_y[:, :2].copy()
        self.rows_x, self.rows_y = self.first_x.T.copy(), self.first_y.T.copy()
        self.size_x, self.size_y = np.abs(self.first_x), np.abs(self.first_y)
        self.reach_x, self.reach_y = float(np.max(np.abs(x))), float(np.max(np.abs(y)))
        shape = (block, len(x))
        self._value = [np.empty(shape) for _ in range(5)]
        self._taken = [np.empty(shape) for _ in range(5)]
        self._work = [np.empty(shape) for _ in range(4)]

    def value(self, p: FloatArray, weights: FloatArray | None) -> FloatArray:
        """Evaluate the objective of the block ``p`` (5, m); keep what :meth:`derivatives` needs."""
        m = p.shape[1]
        term_a, term_b, total, residual, psi = (array[:m] for array in self._value)
        _term(p[0], p[3], self.rows_x, self.reach_x, term_a)
        _term(p[1], p[4], self.rows_y, self.reach_y, term_b)
        floor = np.exp(np.clip(p[2], -_EXPONENT_LIMIT, _EXPONENT_LIMIT))
        np.add(term_a, term_b, out=total)
        np.add(total, floor[:, None], out=total)
        np.log(total, out=residual)
        np.subtract(self.z, residual, out=residual)
        np.clip(residual, -self.delta, self.delta, out=psi)
        weighted = psi if weights is None else np.multiply(psi, weights, out=self._work[0][:m])
        objective: FloatArray = np.vecdot(weighted, residual) - 0.5 * np.vecdot(weighted, psi)
        return objective

    def derivatives(
        self, p: FloatArray, rows: IntArray, whole: int, newton: int, weights: FloatArray | None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Evaluate gradient (5, m), packed Hessian (15, m) and scale of the gradient (5, m) for ``rows``.

        ``whole`` is the size of the block; ``p`` and ``weights`` belong to the chosen rows. The first
        ``len(rows) - newton`` get the reweighted Gauss-Newton matrix, the last ``newton`` the exact Hessian.
        """
        m = len(rows)
        term_a, term_b, total, residual, psi = (array[:m] for array in self._taken)
        if len(rows) == whole and bool(np.all(rows[:-1] < rows[1:])):
            # Nothing was rejected and nothing has to be sorted: work on the values where they are.
            term_a, term_b, total, residual, psi = (array[:m] for array in self._value)
        else:
            for kept, taken in zip(self._value, (term_a, term_b, total, residual, psi), strict=True):
                np.take(kept, rows, axis=0, out=taken, mode="clip")
        inverse, curvature, u, v = (array[:m] for array in self._work)
        floor = np.exp(np.clip(p[2], -_EXPONENT_LIMIT, _EXPONENT_LIMIT))
        split = m - newton
        if split:
            np.divide(psi[:split], residual[:split], out=curvature[:split])
        if newton:
            tail = slice(split, m)
            np.equal(psi[tail], residual[tail], out=curvature[tail], casting="unsafe")
            curvature[tail] += psi[tail]
        if weights is not None:
            curvature *= weights
            psi *= weights
        np.divide(1.0, total, out=inverse)
        share_a = np.multiply(term_a, inverse, out=term_a)
        share_b = np.multiply(term_b, inverse, out=term_b)

        gradient, hessian, scale = np.empty((5, m)), np.empty((15, m)), np.empty((5, m))
        np.multiply(psi, share_a, out=u)
        pull_a = u @ self.moments_x
        np.multiply(psi, share_b, out=u)
        pull_b = u @ self.moments_y
        pull_e = floor * np.vecdot(psi, inverse)
        gradient[0], gradient[3] = -pull_a[:, 0], -pull_a[:, 1]
        gradient[1], gradient[4] = -pull_b[:, 0], -pull_b[:, 1]
        gradient[2] = -pull_e
        # The second derivatives of the law itself enter the exact Hessian only.
        pull_a[:split] = 0.0
        pull_b[:split] = 0.0
        pull_e[:split] = 0.0

        np.multiply(curvature, inverse, out=u)
        hessian[_PACKED[2, 2]] = floor * floor * np.vecdot(u, inverse) - pull_e
        np.multiply(curvature, share_a, out=u)
        all_a = u @ self.first_x
        np.multiply(u, share_b, out=v)
        both = v @ self.moments_xy
        np.multiply(u, share_a, out=v)
        twice_a = v @ self.moments_x
        np.multiply(curvature, share_b, out=u)
        all_b = u @ self.first_y
        np.multiply(u, share_b, out=v)
        twice_b = v @ self.moments_y
        _store(hessian, both, (0, 1), (1, 3), (0, 4), (3, 4))
        # The three shares add up to one, so what involves the constant term is a difference.
        _store(hessian, all_a - twice_a[:, :2] - both[:, :2], (0, 2), (2, 3))
        _store(hessian, all_b - twice_b[:, :2] - both[:, ::2], (1, 2), (2, 4))
        _store(hessian, twice_a - pull_a, (0, 0), (0, 3), (3, 3))
        _store(hessian, twice_b - pull_b, (1, 1), (1, 4), (4, 4))

        # The gradient if no two rows pulled in opposite directions: what it is judged against.
        size_a, size_b = share_a @ self.size_x, share_b @ self.size_y
        scale[0], scale[3] = size_a[:, 0], size_a[:, 1]
        scale[1], scale[4] = size_b[:, 0], size_b[:, 1]
        scale[2] = floor * inverse.sum(axis=1)
        scale *= self.delta
        return gradient, hessian, scale


def _term(
    amplitude: FloatArray, exponent: FloatArray, rows: FloatArray, reach: float, out: FloatArray
) -> None:
    """``exp(amplitude - exponent * x)`` for a block, without overflow and without subnormal numbers."""
    np.matmul(np.stack([amplitude, exponent], axis=1), rows, out=out)
    # Subnormals cost 30 times a normal operation, but the extra pass is needed by few blocks.
    if not np.max(np.abs(amplitude) + np.abs(exponent) * reach) < _EXPONENT_LIMIT:
        np.clip(out, -_EXPONENT_LIMIT, _EXPONENT_LIMIT, out=out)
    np.exp(out, out=out)


def _store(hessian: FloatArray, columns: FloatArray, *entries: tuple[int, int]) -> None:
    for column, entry in enumerate(entries):
        hessian[_PACKED[entry]] = columns[:, column]


def _damped_step(hessian: FloatArray, damping: FloatArray, gradient: FloatArray) -> FloatArray:
    """``-(H + damping I)^-1 g`` for all starts; pivots that are not positive are replaced by their size."""
    lower: dict[tuple[int, int], FloatArray] = {}
    pivot_inverse: list[FloatArray] = []
    pivots: list[FloatArray] = []
    for j in range(_SIZE):
        diagonal = hessian[_PACKED[j, j]] + damping
        pivot = diagonal.copy()
        for k in range(j):
            pivot -= lower[j, k] ** 2 * pivots[k]
        bad = ~(pivot > 1e-14 * np.abs(diagonal))
        if bad.any():
            pivot[bad] = np.maximum(np.abs(pivot[bad]), 1e-8 * np.abs(diagonal[bad]) + 1e-300)
        pivots.append(pivot)
        pivot_inverse.append(1.0 / pivot)
        for i in range(j + 1, _SIZE):
            entry = hessian[_PACKED[j, i]].copy()
            for k in range(j):
                entry -= lower[i, k] * lower[j, k] * pivots[k]
            lower[i, j] = entry * pivot_inverse[j]
    step = -gradient
    for i in range(_SIZE):
        for k in range(i):
            step[i] -= lower[i, k] * step[k]
    for i in reversed(range(_SIZE)):
        step[i] *= pivot_inverse[i]
        for k in range(i + 1, _SIZE):
            step[i] -= lower[k, i] * step[k]
    return step


class _Pool:
    """Starts in flight, as columns; ``index`` says which start each column is."""

    def __init__(self) -> None:
        self.index = np.empty(0, dtype=np.int64)
        self.p, self.gradient, self.scale = np.empty((5, 0)), np.empty((5, 0)), np.empty((5, 0))
        self.hessian = np.empty((15, 0))
        self.objective, self.damping, self.growth = np.empty(0), np.empty(0), np.empty(0)
        self.newton = np.empty(0, dtype=np.bool_)
        self.iterations = np.empty(0, dtype=np.int64)

    def _fields(self) -> list[str]:
        return list(vars(self))

    def keep(self, mask: BoolArray) -> None:
        for name in self._fields():
            setattr(self, name, getattr(self, name)[..., mask])

    def append(self, other: _Pool) -> None:
        for name in self._fields():
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)], axis=-1))


def fit(
    starts: FloatArray,
    log_n: FloatArray,
    log_d: FloatArray,
    log_loss: FloatArray,
    *,
    delta: float = 1e-3,
    weights: FloatArray | None = None,
    newton: bool = False,
    settings: Settings | None = None,
) -> BatchFits:
    """Fit the Chinchilla law from many starts.

    Parameters
    ----------
    starts : ndarray, shape (m, 5)
        Starts ``(a, b, e, alpha, beta)``.
    log_n, log_d, log_loss : ndarray, shape (n,)
        Logarithms of the data.
    delta : float
        Where the Huber loss turns linear.
    weights : ndarray, shape (m, n), optional
        Row weights of each start's own problem.
    newton : bool
        Use the exact Hessian from the first step (good when the starts lie near their optima).
    settings : Settings, optional
        Knobs of the solver.

    Returns
    -------
    BatchFits
    """
    s = settings or Settings()
    centre_n, centre_d = float(np.mean(log_n)), float(np.mean(log_d))
    kernel = _Kernel(log_n - centre_n, log_d - centre_d, log_loss, delta, s.block)
    centred = np.array(starts.T, dtype=np.float64, order="C")
    centred[0] -= centred[3] * centre_n
    centred[1] -= centred[4] * centre_d

    count = len(starts)
    theta, objective = np.empty((5, count)), np.full(count, np.inf)
    iterations, converged = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.bool_)
    pool, entered = _Pool(), 0
    with np.errstate(all="ignore"):
        while True:
            if entered < count and len(pool.index) <= 0.9 * s.pool:
                added = np.arange(entered, min(count, entered + s.pool - len(pool.index)))
                entered = int(added[-1]) + 1
                pool.append(_enter(kernel, centred, added, weights, newton, s))
            if not len(pool.index):
                break
            done = _iterate(kernel, pool, weights, s)
            if done.any():
                index = pool.index[done]
                theta[:, index], objective[index] = pool.p[:, done], pool.objective[done]
                iterations[index] = pool.iterations[done]
                converged[index] = _relative_gradient(pool)[done] <= s.tolerance
                pool.keep(~done)
    theta[0] += theta[3] * centre_n
    theta[1] += theta[4] * centre_d
    return BatchFits(theta.T.copy(), objective, iterations, converged)


def _enter(
    kernel: _Kernel,
    starts: FloatArray,
    index: IntArray,
    weights: FloatArray | None,
    newton: bool,
    s: Settings,
) -> _Pool:
    pool = _Pool()
    count = len(index)
    pool.index, pool.p = index, starts[:, index]
    pool.objective = np.empty(count)
    pool.gradient, pool.scale = np.empty((5, count)), np.empty((5, count))
    pool.hessian = np.empty((15, count))
    for lo in range(0, count, s.block):
        part = slice(lo, min(count, lo + s.block))
        p = pool.p[:, part]
        w = None if weights is None else weights[index[part]]
        rows = np.arange(p.shape[1])
        pool.objective[part] = kernel.value(p, w)
        (pool.gradient[:, part], pool.hessian[:, part], pool.scale[:, part]) = kernel.derivatives(
            p, rows, len(rows), len(rows) if newton else 0, w
        )
    # With the exact Hessian near the optimum damping is only a safeguard.
    relative = 1e-9 if newton else s.damping
    pool.damping = relative * np.max(np.abs(pool.hessian[_DIAGONAL]), axis=0)
    pool.growth = np.full(count, s.grow)
    pool.newton = np.full(count, newton)
    pool.iterations = np.zeros(count, dtype=np.int64)
    return pool


def _relative_gradient(pool: _Pool) -> FloatArray:
    worst: FloatArray = np.max(np.abs(pool.gradient) / (pool.scale + 1e-300), axis=0)
    return worst


def _iterate(kernel: _Kernel, pool: _Pool, weights: FloatArray | None, s: Settings) -> BoolArray:
    """One step of every start of the pool; returns which of them have ended."""
    step = _damped_step(pool.hessian, pool.damping, pool.gradient)
    trial = pool.p + step
    predicted = 0.5 * (
        pool.damping * np.einsum("ij,ij->j", step, step) - np.einsum("ij,ij->j", pool.gradient, step)
    )
    invisible = predicted <= 1e-13 * pool.objective
    least = np.where(invisible, -1e-14 * pool.objective, 0.0)
    value = np.empty(len(pool.index))
    accepted = np.zeros(len(pool.index), dtype=np.bool_)
    moved: list[IntArray] = []
    derivatives: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    for lo in range(0, len(pool.index), s.block):
        part = slice(lo, min(len(pool.index), lo + s.block))
        w = None if weights is None else weights[pool.index[part]]
        value[part] = kernel.value(trial[:, part], w)
        decrease = pool.objective[part] - value[part]
        accepted[part] = (decrease > 0.0) | (decrease >= least[part]) & invisible[part]
        rows = np.flatnonzero(accepted[part])
        if not len(rows):
            continue
        exact = pool.newton[part][rows]
        if exact.any():
            rows = np.concatenate([rows[~exact], rows[exact]])
        moved.append(rows + lo)
        derivatives.append(
            kernel.derivatives(
                trial[:, moved[-1]],
                rows,
                len(decrease),
                int(exact.sum()),
                None if w is None else w[rows],
            )
        )
    decrease = pool.objective - value
    if moved:
        at = np.concatenate(moved)
        pool.p[:, at], pool.objective[at] = trial[:, at], value[at]
        for kept, parts in zip(
            (pool.gradient, pool.hessian, pool.scale), zip(*derivatives, strict=True), strict=True
        ):
            kept[:, at] = np.concatenate(parts, axis=1)
    ratio = np.where(invisible, 1.0, decrease / predicted)
    pool.damping *= np.where(accepted, np.maximum(s.shrink, 1.0 - (2.0 * ratio - 1.0) ** 3), pool.growth)
    pool.growth = np.where(accepted, s.grow, 2.0 * pool.growth)
    pool.iterations += 1
    relative = _relative_gradient(pool)
    finished = pool.newton & (relative <= s.tolerance)
    pool.newton |= accepted & (relative <= s.newton_below)
    hopeless = ~accepted & (pool.damping > 1e12)
    ended: BoolArray = finished | hopeless | (pool.iterations >= s.max_iter)
    return ended
