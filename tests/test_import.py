"""Importing the package is cheap and changes nothing."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import scalinglaws as sl

HEAVY = ("scipy", "matplotlib", "typer", "rich", "pandas", "polars", "pyarrow", "narwhals", "dask", "loky")


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


def test_the_packages_of_procedures_load_when_they_are_named():
    code = """
import sys, scalinglaws as sl
names = ["rules", "schedules", "theory"]
print(*[name for name in names if f"scalinglaws.{name}" in sys.modules], set(names) <= set(dir(sl)))
print(sl.rules.scaling_rule_sgd(lr=0.1, kappa=4), sl.schedules.Constant.__name__, sl.theory.__name__)
from scalinglaws import *
print(rules is sl.rules)
"""
    assert python(code) == ["True", "0.4", "Constant", "scalinglaws.theory", "True"]


def test_a_name_that_the_package_does_not_have_is_an_attribute_error():
    assert not hasattr(sl, "rule")
    assert not hasattr(sl, "_rules")


def test_no_module_imports_a_private_name_of_another():
    found = []
    for path in Path(sl.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level and node.module:
                private = [name.name for name in node.names if name.name.startswith("_")]
                found += [f"{path.name}: {node.module}.{name}" for name in private]
    # The parent's version is the one dunder name, and the extension is a module of its own.
    assert found == []


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
