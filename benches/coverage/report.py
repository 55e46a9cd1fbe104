"""What a study found, as docs/coverage.md and a CSV file with every number."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benches.coverage.designs import DESIGNS, LEVELS, PLACES, Design
from benches.coverage.methods import ABSENT, MISSING, default_kind
from benches.coverage.study import Result

__all__ = ["Row", "summarise", "write_report"]

# What a default may be off: on both sides in regular designs, below in hard ones.
_REGULAR, _HARD = 0.02, 0.05


@dataclass(frozen=True, eq=False)
class Row:
    """One method and one quantity of a design.

    Parameters
    ----------
    quantity, method : str
        Which.
    coverage : ndarray, shape (levels,)
        Share of the intervals that exist that hold the truth.
    error : ndarray, shape (levels,)
        Its Monte-Carlo standard error.
    missing : float
        Share of the data sets without an interval.
    width : float
        Median width of the 95 percent intervals over the range that holds the middle 95 percent of the
        estimates; NaN for new runs.
    """

    quantity: str
    method: str
    coverage: NDArray[np.float64]
    error: NDArray[np.float64]
    missing: float
    width: float


def quantities(design: Design) -> list[str]:
    """Return the names of all quantities, in the order of the arrays of a result."""
    return [*design.law.params, *(f"law, {place}" for place in PLACES), *(f"new run, {p}" for p in PLACES)]


def summarise(result: Result) -> list[Row]:
    """Return a row for each method and quantity that belong together."""
    rows = []
    for index, name in enumerate(quantities(DESIGNS[result.design])):
        low, high = np.quantile(result.estimate[:, index], [0.025, 0.975])
        for number, method in enumerate(result.methods):
            cover = result.cover[:, number, :, index]
            if (cover == ABSENT).all():
                continue
            there = (cover >= 0).sum(axis=0)
            with np.errstate(invalid="ignore", divide="ignore"):
                share = (cover == 1).sum(axis=0) / there
                error = np.sqrt(share * (1.0 - share) / there)
            widths = result.width[:, number, index]
            widths = widths[~np.isnan(widths)]
            width = float(np.median(widths) / (high - low)) if widths.size else np.nan
            if name.startswith("new run"):
                width = np.nan
            missing = float((cover[:, -1] == MISSING).mean())
            rows.append(Row(name, method, share, error, missing, width))
    return rows


def write_report(results: Sequence[Result], out: Path, sets: int, draws: int, seed: int) -> None:
    """Write the Markdown file and the CSV file beside it."""
    found = {result.design: summarise(result) for result in results}
    lines = [*_head(sets, draws, seed), *_defaults(found, seed)]
    for result in results:
        lines += _design(result, found[result.design])
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with out.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            ["design", "quantity", "method"]
            + [f"coverage_{100 * level:.0f}" for level in LEVELS]
            + [f"error_{100 * level:.0f}" for level in LEVELS]
            + ["missing", "relative_width"]
        )
        for design, rows in found.items():
            for row in rows:
                numbers = [*row.coverage, *row.error, row.missing, row.width]
                table.writerow([design, row.quantity, row.method, *(f"{x:.4g}" for x in numbers)])


def _head(sets: int, draws: int, seed: int) -> list[str]:
    command = f"python -m benches.coverage --sets {sets} --draws {draws} --seed {seed}"
    return f"""# How often intervals cover the truth

Written by `{command}`; every number, single parameters and
Monte-Carlo errors included, is in [coverage.csv](coverage.csv). What follows from it is in the
[guide](guide.md#which-interval) and in decisions [0010](decisions/0010-default-intervals.md) and
[0012](decisions/0012-noise-along-the-runs.md).

{sets:,} data sets of each design (or as many as its section says) are simulated and fitted, from the truth
and from 15 other starts; the lowest minimum counts. The truth is L = 1.82 + 482 / N^0.348 + 2085 / D^0.366,
or a law that follows from it, and noise is on the logarithm of L. A cell holds four numbers: how many percent
of the intervals of nominal 50, 80, 90 and 95 percent hold the truth. The Monte-Carlo errors of {sets:,} data
sets are {_errors(sets)} points.

- **law**: the mean prediction, at a compute-optimal run in the middle of the data, and 1, 2 and 3 decades of
  compute beyond the largest run, N and D growing along the compute-optimal line.
- **new run**: the measured loss of a fresh run there, with noise of its own.
- **none**: data sets, in percent, for which the method has no interval (a fit at a bound has no standard
  error, a refit did not converge). They are not among the intervals that are counted.
- **width**: median width of the 95 percent intervals over the range that holds the middle 95 percent of the
  estimates. Of profiles the first 100 data sets are followed to their ends.
- **lowest**, **highest**: of the parameters, at each level.
- Bootstraps have {draws} draws; `profile` and `delta` are `Fit.conf_int(method=...)` and `Fit.predict`,
  followed by the kind of covariance; `clusters` stands for `by=`.
""".split("\n")


def _errors(sets: int) -> str:
    each = [100.0 * (level * (1.0 - level) / sets) ** 0.5 for level in LEVELS]
    return ", ".join(f"{error:.1f}" for error in each[:-1]) + f" and {each[-1]:.1f}"


def _defaults(found: dict[str, list[Row]], seed: int) -> Iterator[str]:
    yield "## The defaults"
    yield ""
    yield "`fit.conf_int(level)` and `fit.predict(data, level)`, with `by=` where runs share noise. **Bold**:"
    yield "more than 2 points off nominal, in hard designs more than 5 points below, with two Monte-Carlo"
    yield "errors allowed on top."
    yield ""
    yield "| design | kind | parameters, mean | lowest | highest | " + " | ".join(PLACES) + " |"
    yield "|---|---|---|---|---|" + "---|" * len(PLACES)
    for name, rows in found.items():
        design = DESIGNS[name]
        kind = default_kind(design, seed)
        params = [r for r in rows if r.method == f"profile, {kind}" and r.quantity in design.law.params]
        law = [r for r in rows if r.method == f"delta, {kind}" and r.quantity.startswith("law")]
        cells = [*_ends(params, design.hard), *(_cell(r.coverage, r.error, design.hard) for r in law)]
        yield f"| {name}{' (hard)' if design.hard else ''} | {kind} | " + " | ".join(cells) + " |"
    yield ""
    yield "New runs by the same defaults:"
    yield ""
    yield "| design | " + " | ".join(PLACES) + " |"
    yield "|---|" + "---|" * len(PLACES)
    for name, rows in found.items():
        design = DESIGNS[name]
        method = f"delta, {default_kind(design, seed)}"
        new = [r for r in rows if r.method == method and r.quantity.startswith("new")]
        yield f"| {name} | " + " | ".join(_cell(r.coverage, r.error, design.hard) for r in new) + " |"
    yield ""


def _ends(params: Sequence[Row], hard: bool) -> list[str]:
    """Return cells with the mean, the lowest and the highest coverage over the parameters at each level."""
    every, error = np.array([r.coverage for r in params]), params[0].error
    return [_cell(pick(every, axis=0), error, hard) for pick in (np.nanmean, np.nanmin, np.nanmax)]


def _cell(coverage: NDArray[np.float64], error: NDArray[np.float64], hard: bool | None) -> str:
    """Four percentages; those of a default that are off are bold."""
    out = []
    for share, spread, level in zip(coverage, error, LEVELS, strict=True):
        text = "-" if np.isnan(share) else f"{100 * share:.0f}"
        if hard is not None and not np.isnan(share):
            off = (level - share - _HARD) if hard else (abs(share - level) - _REGULAR)
            text = f"**{text}**" if off > 2.0 * spread else text
        out.append(text)
    return " ".join(out)


def _design(result: Result, rows: Sequence[Row]) -> Iterator[str]:
    design = DESIGNS[result.design]
    yield f"## {design.name.capitalize()}{' (hard)' if design.hard else ''}"
    yield ""
    yield f"{design.title[0].upper()}{design.title[1:]}. {len(result.cover):,} data sets."
    if result.lower_found:
        yield f"In {result.lower_found} profiles a refit found a lower minimum than the fit."
    if result.disagree:
        yield f"{result.disagree} profiles contradict the refit at the truth: they cross the threshold twice."
    yield ""
    yield (
        "| method | parameters, mean | lowest | "
        + " | ".join(f"law, {place}" for place in PLACES)
        + " | new run, inside | 3 decades | none | width, parameters | law |"
    )
    yield "|---|" + "---|" * (2 + len(PLACES)) + "---|---|---|---|---|"
    for method in result.methods:
        mine = {row.quantity: row for row in rows if row.method == method}
        params = [mine[name] for name in design.law.params]
        places = [mine.get(f"law, {place}") for place in PLACES]
        new = [mine.get(f"new run, {place}") for place in (PLACES[0], PLACES[-1])]
        every = np.array([row.coverage for row in params])
        cells = [_four(every.mean(axis=0)), _four(every.min(axis=0))]
        cells += ["" if row is None else _four(row.coverage) for row in (*places, *new)]
        cells.append(_percent(np.mean([row.missing for row in mine.values()])))
        cells.append(_number(np.mean([row.width for row in params])))
        cells.append(_number(np.mean([row.width for row in places if row is not None])) if places[0] else "")
        yield f"| {method} | " + " | ".join(cells) + " |"
    yield ""


def _four(coverage: NDArray[np.float64]) -> str:
    return _cell(coverage, np.zeros(len(LEVELS)), None)


def _percent(share: float | np.floating) -> str:
    return f"{100 * float(share):.2g}" if share else ""


def _number(value: float | np.floating) -> str:
    return "" if np.isnan(value) else "inf" if np.isinf(value) else f"{float(value):.2f}"
