"""Importing the package is cheap and changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = ("scipy", "matplotlib", "typer", "rich", "pandas", "polars", "pyarrow", "narwhals")


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, **environment},
    ).stdout.split()


def test_the_import_loads_nothing_heavy():
    loaded = python("import sys, scalinglaws; print(*sorted({n.partition('.')[0] for n in sys.modules}))")
    assert not set(HEAVY) & set(loaded)


def test_a_fit_of_arrays_needs_no_scipy_and_no_data_frames():
    code = """
import sys, numpy as np, scalinglaws as sl
x = np.geomspace(1, 1e6, 12)
runs = {"x": x, "y": 3 * x**-0.2 * (1 + 0.01 * np.cos(x))}
sl.fit("power_law", runs, starts={"A": 1.0, "alpha": 0.1}).summary()
print(*sorted({n.partition('.')[0] for n in sys.modules}))
"""
    loaded = python(code)
    assert not {"scipy", "matplotlib", "pandas", "polars", "pyarrow", "narwhals"} & set(loaded)


def test_the_import_starts_no_thread_and_leaves_the_process_as_it_was():
    code = """
import signal, threading, warnings, logging
import numpy as np
before = (list(warnings.filters), signal.getsignal(signal.SIGINT), list(logging.root.handlers), np.geterr())
import scalinglaws
after = (list(warnings.filters), signal.getsignal(signal.SIGINT), list(logging.root.handlers), np.geterr())
print(threading.active_count(), before == after)
"""
    assert python(code) == ["1", "True"]


def test_the_import_takes_little_longer_than_numpy(tmp_path):
    code = """
import numpy, time
began = time.perf_counter()
import scalinglaws
print(time.perf_counter() - began)
"""
    # An installed package has its byte code; the best of several tries, because a machine may be busy.
    cached = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    assert min(float(python(code, **cached)[0]) for _ in range(6)) < 0.15


def test_every_public_name_exists():
    code = "import scalinglaws as sl; print(*[n for n in sl.__all__ if not hasattr(sl, n)]); print('done')"
    assert python(code) == ["done"]
