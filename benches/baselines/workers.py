"""Processes that share out the starts of the batched baselines."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from benches.baselines import numpy_batched, numpy_farseer
from benches.baselines.numpy_batched import BatchFits

FloatArray = NDArray[np.float64]
_Logs = tuple[FloatArray, FloatArray, FloatArray]


def _warm_up(ready: Barrier) -> None:
    """Run every routine of the baselines once, then wait for the others."""
    x, y = np.linspace(20.0, 22.0, 12), np.linspace(25.0, 21.0, 12)
    z = np.log(1.8 + 400.0 * np.exp(-0.34 * x) + 400.0 * np.exp(-0.28 * y))
    numpy_batched.fit(np.tile([6.0, 6.0, 0.5, 0.4, 0.3], (8, 1)), x, y, z)
    numpy_farseer.fit(np.full((8, 9), 0.1), x, y, z, max_iter=3)
    ready.wait(timeout=300.0)


class Workers:
    """A pool of started, warm processes: what starting them costs is not charged to a fit.

    Parameters
    ----------
    processes : int
        How many processes. Starts are dealt out in turn, so that all get the same mixture.
    """

    def __init__(self, processes: int = 2) -> None:
        self.processes = processes
        # Spawned, because a forked child would inherit locks of other libraries' threads.
        context = multiprocessing.get_context("spawn")
        self._ready = context.Barrier(processes + 1)
        self._pool = ProcessPoolExecutor(processes, context, initializer=_warm_up, initargs=(self._ready,))

    def __enter__(self) -> Self:
        """Start the processes and wait until all are ready."""
        # The pool starts a process per waiting task.
        for _ in range(self.processes):
            self._pool.submit(int)
        self._ready.wait(timeout=300.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the processes."""
        self._pool.shutdown()

    def chinchilla(
        self,
        starts: FloatArray,
        logs: _Logs,
        *,
        delta: float,
        weights: FloatArray | None = None,
        newton: bool = False,
    ) -> BatchFits:
        """:func:`numpy_batched.fit` of all starts."""
        jobs = [
            self._pool.submit(
                numpy_batched.fit,
                starts[turn :: self.processes],
                *logs,
                delta=delta,
                weights=None if weights is None else weights[turn :: self.processes],
                newton=newton,
            )
            for turn in range(self.processes)
        ]
        return self._merge([job.result() for job in jobs], len(starts))

    def farseer(self, starts: FloatArray, logs: _Logs, *, max_iter: int) -> BatchFits:
        """:func:`numpy_farseer.fit` of all starts."""
        jobs = [
            self._pool.submit(numpy_farseer.fit, starts[turn :: self.processes], *logs, max_iter=max_iter)
            for turn in range(self.processes)
        ]
        return self._merge([job.result() for job in jobs], len(starts))

    def _merge(self, parts: list[BatchFits], count: int) -> BatchFits:
        theta = np.empty((count, parts[0].theta.shape[1]))
        objective = np.empty(count)
        iterations = np.empty(count, dtype=np.int64)
        converged = np.empty(count, dtype=np.bool_)
        for turn, part in enumerate(parts):
            chosen = slice(turn, None, self.processes)
            theta[chosen], objective[chosen] = part.theta, part.objective
            iterations[chosen], converged[chosen] = part.iterations, part.converged
        return BatchFits(theta, objective, iterations, converged)
