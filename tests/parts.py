"""What the tests of executors have done in workers; it loads little, for every new worker loads it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from scalinglaws import DataError


def die_once(marker, function, *args):
    """Kill the worker that comes here first, and let the others work."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return function(*args)
    os.kill(os.getpid(), signal.SIGKILL)


def square_or_die(shared, task):
    """Do a small sum; the fourth part kills its worker."""
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return shared + task**2


def complain(folder, task):
    """Leave a trace of the call, and raise."""
    (Path(folder) / str(time.monotonic_ns())).touch()
    raise DataError("the column is empty", "loss", [3])


class OddError(Exception):
    """An exception that cannot be made again from its arguments."""

    def __init__(self, column, row):
        super().__init__(f"column {column}, row {row}")


def be_odd(shared, task):
    raise OddError("loss", 3)
