"""Peak memory of one fit to many rows, or of many draws, measured in a process of its own.

Run as ``python -m benches.probe METHOD ROWS RESIDUAL``, or with METHOD bootstrap and ROWS draws; prints JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benches import ours
from benches.baselines import numpy_blocked, scipy_peers
from benches.workloads import GOOD_START, Runs, chinchilla_runs, simulated_runs

_ROOT = Path(__file__).resolve().parent.parent
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def fit_rows(method: str, runs: Runs, residual: str, threads: int | None) -> None:
    """Fit the Chinchilla law with ``method``: ``ours``, ``numpy``, or the name of a scipy solver."""
    if method == "ours":
        ours.squares_fit(runs, GOOD_START, residual, threads)
    elif method == "numpy":
        numpy_blocked.fit(GOOD_START, runs.N, runs.D, runs.L, residual=residual, threads=threads or 2)
    else:
        log_n, log_d, log_loss = runs.logs
        target = log_loss if residual == "log" else runs.L
        problem = scipy_peers.SquaresChinchilla(log_n, log_d, target, residual == "log")
        scipy_peers.ROW_SOLVERS[method](problem, GOOD_START)


def _status(field: str) -> int:
    """Ask the kernel for a size of this process, in bytes."""
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise LookupError(field)


def _extra(call: Callable[[], object]) -> tuple[float, float]:
    """Peak memory of a call above what the process held before, in bytes, and its wall time."""
    if _STATUS.exists():
        before = _status("VmRSS")
        try:
            # Resets the kernel's high-water mark of this process to what it holds now.
            _CLEAR.write_text("5", encoding="ascii")
        except OSError:
            before = max(before, _status("VmHWM"))
    else:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    kept = call()
    seconds = time.perf_counter() - begin
    peak = _status("VmHWM") if _STATUS.exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    del kept
    return float(max(0, peak - before)), seconds


def _measure(method: str, rows: int, residual: str) -> dict[str, float]:
    if method == "bootstrap":
        fit = ours.huber_fit(chinchilla_runs(), GOOD_START, None)[1]
        ours.bootstrap(fit, 100, None)
        extra, seconds = _extra(lambda: ours.bootstrap(fit, rows, None))
        return {"extra": extra, "seconds": seconds}
    runs = simulated_runs(rows)
    # Whatever is loaded or allocated once does not belong to the fit.
    fit_rows(method, simulated_runs(1000), residual, None)
    extra, seconds = _extra(lambda: fit_rows(method, runs, residual, None))
    inputs = runs.N.nbytes + runs.D.nbytes + runs.L.nbytes
    return {"extra": extra, "inputs": float(inputs), "seconds": seconds}


def bootstrap_memory(draws: int) -> float:
    """Measure peak memory of so many draws of the Chinchilla fit, in bytes."""
    return peak_memory("bootstrap", draws, "log")["extra"]


def peak_memory(method: str, rows: int, residual: str) -> dict[str, float]:
    """Measure peak memory above the input columns in bytes, ``extra``; also ``inputs``, ``seconds``."""
    command = [sys.executable, "-m", "benches.probe", method, str(rows), residual]
    # glibc keeps freed blocks for later; with a fixed threshold large arrays are returned at once.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, cwd=_ROOT, env=environment, check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
