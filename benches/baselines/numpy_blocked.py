"""One fit of the Chinchilla law to millions of rows: normal equations summed over blocks, in NumPy alone.

Gauss-Newton on squared residuals (linear or logarithmic). A block's Jacobian lives in the cache and is
forgotten; the only arrays as long as the data are the logarithms of the columns. Blocks are shared out to
threads: NumPy releases the interpreter lock inside its loops.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_Sums = tuple[float, FloatArray, FloatArray]  # objective, J'r, J'J


class _Block:
    """Sums over blocks of rows, with scratch memory that is used again."""

    def __init__(self, x: FloatArray, y: FloatArray, z: FloatArray, log: bool, size: int) -> None:
        self.x, self.y, self.z, self.log, self.size = x, y, z, log, size

    def sums(self, p: FloatArray, part: slice) -> _Sums:
        """Objective, ``J'r`` and ``J'J`` over the rows of ``part``."""
        jacobian, residual = np.empty((5, self.size)), np.empty(self.size)
        objective, pull, normal = 0.0, np.zeros(5), np.zeros((5, 5))
        a, b, e, alpha, beta = p
        for lo in range(part.start, part.stop, self.size):
            rows = slice(lo, min(part.stop, lo + self.size))
            x, y, z = self.x[rows], self.y[rows], self.z[rows]
            j, r = jacobian[:, : len(x)], residual[: len(x)]
            np.multiply(x, -alpha, out=j[0])
            j[0] += a
            np.multiply(y, -beta, out=j[1])
            j[1] += b
            np.exp(j[:2], out=j[:2])
            j[2] = np.exp(e)
            np.add(j[0], j[1], out=r)
            r += j[2]
            if self.log:
                np.divide(j[:3], r, out=j[:3])
                np.log(r, out=r)
            np.subtract(z, r, out=r)
            np.multiply(j[0], x, out=j[3])
            np.multiply(j[1], y, out=j[4])
            objective += 0.5 * float(r @ r)
            pull += j @ r
            normal += j @ j.T
        # The exponents' derivatives carry a minus sign: it is cheaper here than in every row.
        sign = np.array([1.0, 1.0, 1.0, -1.0, -1.0])
        return objective, sign * pull, sign * normal * sign[:, None]


def _total(parts: list[_Sums]) -> _Sums:
    objectives, pulls, normals = zip(*parts, strict=True)
    return float(sum(objectives)), np.sum(pulls, axis=0), np.sum(normals, axis=0)


def fit(
    start: FloatArray,
    n: FloatArray,
    d: FloatArray,
    loss: FloatArray,
    *,
    residual: str = "linear",
    threads: int = 2,
    block: int = 8192,
    tolerance: float = 1e-9,
    max_iter: int = 100,
) -> tuple[FloatArray, float]:
    """Fit the Chinchilla law to many rows from one start.

    Parameters
    ----------
    start : ndarray, shape (5,)
        ``(a, b, e, alpha, beta)``.
    n, d, loss : ndarray, shape (rows,)
        Parameters, tokens and loss.
    residual : {"linear", "log"}
        Where residuals are taken.
    threads : int
        Threads that share the rows.
    block : int
        Rows of one block.
    tolerance : float
        Largest cosine between a Jacobian column and the residual at convergence.
    max_iter : int
        Steps at most.

    Returns
    -------
    p : ndarray, shape (5,)
        Parameters at the end.
    objective : float
        Half the sum of squared residuals.
    """
    log = residual == "log"
    blocks = _Block(np.log(n), np.log(d), np.log(loss) if log else loss, log, block)
    edges = np.linspace(0, len(n), threads + 1).astype(int)
    parts = [slice(int(lo), int(hi)) for lo, hi in pairwise(edges)]
    with ThreadPoolExecutor(threads) as pool:

        def sums(p: FloatArray) -> _Sums:
            return _total(list(pool.map(partial(blocks.sums, p), parts)))

        return _minimise(sums, np.array(start, dtype=np.float64), tolerance, max_iter)


def _minimise(
    sums: Callable[[FloatArray], _Sums], p: FloatArray, tolerance: float, max_iter: int
) -> tuple[FloatArray, float]:
    objective, pull, normal = sums(p)
    damping = 0.0
    for _ in range(max_iter):
        cosine = np.abs(pull) / np.sqrt(np.diag(normal) * 2.0 * objective)
        if np.max(cosine) <= tolerance:
            break
        step = np.linalg.solve(normal + damping * np.eye(5), pull)
        trial = sums(p + step)
        if trial[0] < objective:
            p = p + step
            objective, pull, normal = trial
            damping *= 0.1
        elif float(pull @ step) <= 1e-14 * objective:
            break
        else:
            damping = max(10.0 * damping, 1e-6 * float(np.trace(normal)))
    return p, objective
