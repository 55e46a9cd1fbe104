"""Timing, rows of results, and the tables that are printed."""

from __future__ import annotations

import gc
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")

AT_OPTIMUM = 1e-6
"""Relative excess of the objective up to which a start counts as having reached the optimum."""


@dataclass
class Row:
    """One method on one workload.

    Parameters
    ----------
    name : str
        The method.
    times : list of float
        Wall times of the repeats, in seconds, for the part that was run.
    scale : float
        Whole workload over the part that was run; 1 if all of it was.
    excess : float
        (objective - best known) / best known; NaN if the workload has no objective.
    share : float
        Share of starts or draws at the optimum; NaN if there is one start.
    primary : bool
        Whether ratios of the table refer to this row.
    note : str
        What else a reader has to know.
    extra : dict
        Further figures, for the JSON output and the note.
    """

    name: str
    times: list[float]
    scale: float = 1.0
    excess: float = math.nan
    share: float = math.nan
    primary: bool = False
    note: str = ""
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Median time of the whole workload, scaled up if only a part was run."""
        return median(self.times) * self.scale


@dataclass
class Table:
    """All methods on one workload, and what is wrong with their answers."""

    key: str
    title: str
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def expect(self, condition: bool, message: str) -> None:
        """Record ``message`` as a problem unless ``condition`` holds."""
        if not condition:
            self.problems.append(f"{self.key}: {message}")

    def text(self) -> str:
        """Lay the table out as aligned text."""
        base = next((row.seconds for row in self.rows if row.primary), math.nan)
        header = ["method", "time", "ratio", "excess", "share", ""]
        cells = [header]
        for row in self.rows:
            scaled = f"scaled x{row.scale:g}" if row.scale != 1.0 else ""
            note = "; ".join(part for part in (scaled, row.note) if part)
            cells.append(
                [
                    row.name,
                    duration(row.seconds),
                    _number(row.seconds / base, "{:.3g}x"),
                    _number(row.excess, "{:.1e}"),
                    _number(100.0 * row.share, "{:.1f} %"),
                    note,
                ]
            )
        widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
        lines = [f"{self.key}  {self.title}"]
        for line in cells:
            first = line[0].ljust(widths[0])
            middle = "  ".join(cell.rjust(width) for cell, width in zip(line[1:5], widths[1:5], strict=True))
            lines.append(f"  {first}  {middle}  {line[5]}".rstrip())
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; not-a-number becomes None."""
        rows = [{**asdict(row), "seconds": row.seconds} for row in self.rows]
        return {
            "title": self.title,
            "rows": [{name: _plain(value) for name, value in row.items()} for row in rows],
            "problems": self.problems,
            "notes": self.notes,
        }


def timed(call: Callable[[], T], *, repeat: int, budget: float = 8.0) -> tuple[T, list[float]]:
    """Run ``call`` up to ``repeat`` times and return its last answer with all wall times.

    Calls under half a second run once more beforehand, so that what is done only once (imports, compiled
    laws, thread pools) is left out. Calls that would exceed ``budget`` seconds are repeated less often.
    """
    times: list[float] = []
    gc.collect()
    while True:
        begin = time.perf_counter()
        answer = call()
        times.append(time.perf_counter() - begin)
        if len(times) == 1 and repeat > 1 and times[0] < 0.5:
            begin = time.perf_counter()
            answer = call()
            times[0] = time.perf_counter() - begin
        if len(times) >= repeat or sum(times) + median(times) > budget:
            return answer, times


def duration(seconds: float) -> str:
    """Write a time with three digits and a fitting unit."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1.0:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def machine() -> dict[str, str]:
    """Say what the figures are measured on, and how busy it is."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if "model name" in line]
        model = names[0].split(":", 1)[1].strip() if names else model
    facts = {"cpu": model, "cores": str(os.cpu_count()), "python": platform.python_version()}
    for package in ("numpy", "scipy", "scalinglaws"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    if hasattr(os, "getloadavg"):
        facts["load"] = f"{os.getloadavg()[0]:.2f}"
    return facts


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else form.format(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
