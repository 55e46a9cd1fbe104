"""Measured runs as the papers use them: filters, units and joins of the tables in the data folder.

Shared by the tests and by `tools/published.py`; there are no published numbers here. ``read`` is a function
that returns the columns of a file by name, rows chosen by equality: ``read("routed.csv", main_fit="1")``.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scalinglaws as sl
from numpy.typing import NDArray
from scalinglaws import rules
from scalinglaws.schedules import WSD, Constant, Cosine, Schedule, TwoStage, multi_power_loss

Floats = NDArray[np.float64]
Table = dict[str, NDArray[Any]]

VARIABLE = "SCALINGLAWS_TEST_DATA"
DEFAULT = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"


class Read(Protocol):
    """Reads a file of the data folder."""

    def __call__(self, name: str, **where: str) -> Table:
        """Return the columns of a file, of those rows where each named column has the text given."""


def data_folder() -> Path:
    """Folder of the measured data; it need not exist."""
    return Path(os.environ.get(VARIABLE, DEFAULT)).resolve()


def read_csv(path: Path, **where: str) -> Table:
    """Return the columns of a file: numbers where every cell is one, else text."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if all(row[key] == value for key, value in where.items())]
    if not rows:
        raise ValueError(f"{path.name} has no row with {where}")
    columns = {}
    for key in rows[0]:
        cells = [row[key] for row in rows]
        try:
            columns[key] = np.array([float(cell) for cell in cells])
        except ValueError:
            columns[key] = np.array(cells)
    return columns


def chosen(table: Table, rows: NDArray[Any]) -> Table:
    """Return some rows of a table, by mask or by position."""
    return {name: column[rows] for name, column in table.items()}


def objective(
    law: sl.Law, runs: Table, values: Mapping[str, Any], loss: sl.Loss, residual: str = "log"
) -> float:
    """Sum of the losses at given coefficients, in NumPy."""
    f = law(**{name: runs[name] for name in law.inputs}, **values)
    y = runs[str(law.target)]
    return float(loss.rho(np.log(y) - np.log(f) if residual == "log" else y - f).sum())


def unit(text: str) -> Decimal:
    """Size of the last printed digit: 0.0001 of "0.0480", 1e5 of "1.13e7", 1 of "482"."""
    exponent = Decimal(text).as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{text!r} is not a finite number")
    return Decimal(1).scaleb(exponent)


def same_digits(x: float, text: str) -> bool:
    """Tell whether a number rounds to printed digits; halves may be rounded either way."""
    return abs(x - float(text)) <= 0.501 * float(unit(text))


# ---- compute-optimal sizes


def isoflop(budget: Floats, x: Floats, L: Floats) -> sl.Fit:
    """Approach 2: the lowest point of a parabola in log x of each budget, then a power ``c * budget**a1``."""
    return rules.optima_of_cells({"C": budget}, {"x": x}, L).power_law("x")


def isoflop_of_transformers(read: Read, ctx: int) -> Table:
    """Llama-style runs of the xLSTM paper that the authors keep; of several learning rates the best one.

    `mean_C` is the mean computed compute of the runs of a budget, next to its nominal value `budget`.
    """
    runs = read("xlstm_transformer_isoflop.csv", ctx=str(ctx), kept="1")
    best: dict[tuple[float, float], int] = {}
    for row, key in enumerate(zip(runs["budget"], runs["N"], strict=True)):
        if key not in best or runs["L"][row] < runs["L"][best[key]]:
            best[key] = row
    runs = chosen(runs, np.array(sorted(best.values())))
    mean = {budget: runs["C"][runs["budget"] == budget].mean() for budget in np.unique(runs["budget"])}
    return {**runs, "mean_C": np.array([mean[budget] for budget in runs["budget"]])}


def near_the_best(runs: Table, share: float) -> Table:
    """Runs whose loss exceeds the lowest of their compute by no more than a share."""
    lowest = {C: runs["L"][runs["C"] == C].min() for C in np.unique(runs["C"])}
    return chosen(runs, runs["L"] <= (1.0 + share) * np.array([lowest[C] for C in runs["C"]]))


# ---- architecture and data


def routed(read: Read, router: str) -> Table:
    """Runs of one router in the paper's main fit, with the dense ones."""
    runs = read("routed.csv", main_fit="1")
    return chosen(runs, np.isin(runs["router"], ("Dense", router)))


def vocabulary(read: Read, *, unit_slip: bool) -> Table:
    """Columns of the law `vocabulary`, of the rows that the authors fit.

    With the slip, tokens are characters times f(V/1000), as in the released fit; without it, times f(V).
    """
    runs = read("vocab.csv", in_fit="1")
    tokens = sl.laws.vocabulary_tokens
    V = runs["V"] / 1000.0 if unit_slip else runs["V"]
    D = runs["H_chars"] * tokens(V=V, **tokens.published[0].values)
    return {"Nnv": runs["N_nonvocab"], "Nv": runs["N_vocab"], "D": D, "Lu": runs["Lu"]}


# Shares and losses of the mixtures: columns r_* and L_*.
GROUPS = ("academic", "prose", "dialogue", "symbolic", "internet")


def mixtures(read: Read) -> Table:
    """The 26 mixtures that the authors fit, at 70M parameters and 30,000 steps."""
    runs = read("mixture_pile5.csv", model="70M", step="30000")
    return chosen(runs, runs["mix_id"] <= 900)


def held_constants() -> dict[str, float]:
    """Published coefficients of repeated data that the authors hold while RD and RN are fitted."""
    published = sl.laws.data_constrained.published[0].values
    return {name: published[name] for name in ("E", "A", "B", "alpha", "beta")}


def steplaw(read: Read) -> dict[str, Any]:
    """Arguments of the functions of `scalinglaws.rules` on cells: (N, D) settings, each with its grid."""
    runs = read("steplaw_dense.csv")
    return {
        "cells": {"N": runs["N"], "D": runs["D"]},
        "x": {"lr": runs["lr"], "batch": runs["bs_tokens"]},
        "L": runs["L"],
    }


# ---- losses from losses

# Name in the law file: value of train_data, and the held-out loss on the model's own training distribution.
TRAINING_SETS = {
    "FineWeb": ("fineweb-100b", "L_fineweb"),
    "FineWeb-Edu": ("fineweb-edu-100b", "L_fineweb_edu"),
    "ProofPile 2": ("proof-pile-2", "L_proof_pile"),
    "SlimPajama": ("slimpajama-chunk1", "L_slimpajama"),
    "SmolLM": ("smollm-corpus", "L_smollm"),
    "StarCoder": ("starcoder", "L_starcoder"),
}


class LossSweep:
    """Runs of `loss_to_loss.csv` by training set, and the base law of any of their losses."""

    def __init__(self, read: Read) -> None:
        table = read("loss_to_loss.csv")
        self.runs = {
            label: chosen(table, table["train_data"] == key) for label, (key, _) in TRAINING_SETS.items()
        }
        self.own = {label: column for label, (_, column) in TRAINING_SETS.items()}
        self.base = cache(self._base)

    def _base(self, label: str, column: str) -> sl.Fit:
        """Fit the base law to one loss of one training set, once."""
        return sl.fit("kaplan_nd_floor", self.runs[label], columns={"L": column}, backend="rust")

    def floor(self, label: str, column: str) -> float:
        """Irreducible part of one loss of one training set."""
        return self.base(label, column).values["E"]

    def matched(self, known: str, known_column: str, other: str, other_column: str) -> tuple[Floats, Floats]:
        """Losses of the runs that both training sets have, by size and budget."""
        first, second = self.runs[known], self.runs[other]
        where = {key: i for i, key in enumerate(zip(first["N"], first["C"], strict=True))}
        keys = list(zip(second["N"], second["C"], strict=True))
        rows = [(where[key], j) for j, key in enumerate(keys) if key in where]
        i, j = (list(side) for side in zip(*rows, strict=True))
        np.testing.assert_allclose(first["D"][i], second["D"][j], rtol=1e-12)
        return first[known_column][i], second[other_column][j]


def regress(L0: Floats, L1: Floats, E0: float, E1: float) -> sl.Fit:
    """Fit the factor and the exponent as the authors do: log(L1 - E1) against log(L0 - E0)."""
    fixed = {"E0": E0, "E1": 0.0}
    return sl.fit("loss_to_loss", {"L0": L0, "L1": L1 - E1}, fixed=fixed, backend="rust")


# ---- downstream

# Task: its name in the columns bpb_* and acc_*.
LADDER_TASKS = {
    "mmlu": "mmlu_avg_test",
    "hellaswag": "hellaswag_val",
    "arc_challenge": "arc_challenge_test",
    "arc_easy": "arc_easy_test",
    "piqa": "piqa_val",
    "csqa": "csqa_val",
    "socialiqa": "socialiqa_val",
    "openbookqa": "openbookqa_test",
}


def ladder(read: Read) -> tuple[Table, Table]:
    """The 16 runs of the ladder, and the 13B model that they predict."""
    return read("olmo_ladder.csv", role="fit"), read("olmo_ladder.csv", run="peteish13_eval_final")


def ladder_checkpoints(read: Read, task: str) -> Table:
    """Task loss and accuracy over the ladder's runs, smoothed as the authors do, and one ideal point.

    The first tenth of each run is dropped, rounded up; then a trailing mean of five, shorter at the start.
    """
    table = read("olmo_ladder_checkpoints.csv")
    columns = {"L": f"bpb_{LADDER_TASKS[task]}", "acc": f"acc_{LADDER_TASKS[task]}"}
    out: dict[str, list[float]] = {"L": [], "acc": []}
    for run in dict.fromkeys(table["run"]):
        mine = table["run"] == run
        for name, column in columns.items():
            rest = table[column][mine][int(np.ceil(0.1 * mine.sum())) :]
            out[name] += [rest[max(0, i - 4) : i + 1].mean() for i in range(len(rest))]
    return {"L": np.array([*out["L"], 0.0]), "acc": np.array([*out["acc"], 1.0])}


def compute_frontier(x: Floats, y: Floats, bins: int = 25) -> Table:
    """Lowest y of each of some bins of log x, of which only points stay that beat every smaller x.

    The upper end of the last bin lies a little above the largest x, so that it is inside. One CLIP run sits
    within 4e-7 of an edge: the factor decides on which side.
    """
    edges = np.geomspace(x.min(), x.max() * 1.0001, bins + 1)
    which = np.digitize(x, edges)
    lowest = [rows[np.argmin(y[rows])] for rows in (np.flatnonzero(which == k) for k in np.unique(which))]
    kept = [row for at, row in enumerate(lowest) if at == 0 or y[row] < min(y[lowest[:at]])]
    return {"x": x[kept], "y": y[kept]}


def base_model_scores(read: Read, benchmark: str) -> Table:
    """Score and log10 of compute in units of 1e21 of the base models for which it was measured."""
    table = read("sloth_leaderboard.csv", instruct="0")
    score = np.array([float(cell) if cell else np.nan for cell in table[benchmark].astype(str)])
    known = np.isfinite(score)
    return {"score": score[known], "x": np.log10(table["C"][known] / 1e21)}


# ---- whole loss curves


def mpl_schedules(table: Table) -> dict[str, Schedule]:
    """Schedules of Luo et al. 2025, from the table that comes with the curves."""
    out: dict[str, Schedule] = {}
    for curve, kind, total, warmup, peak, start, end in zip(*table.values(), strict=True):
        steps, decay = int(total), int(total - start)
        common: dict[str, Any] = {"peak": float(peak), "warmup": int(warmup)}
        if kind == "constant":
            out[curve] = Constant(steps, **common)
        elif kind == "cosine":
            out[curve] = Cosine(steps, end=float(end), **common)
        elif kind == "two_stage":
            out[curve] = TwoStage(steps, second=float(end), switch=int(start), **common)
        else:
            shape: Any = {"wsd_exp": "exponential", "wsd_linear": "linear"}[kind]
            out[curve] = WSD(steps, end=float(end), decay=decay, shape=shape, **common)
    return out


def by_curve(rows: Table) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Iterate over the curves of a table, each with the mask of its rows."""
    for curve in np.unique(rows["curve"]):
        yield curve, rows["curve"] == curve


def multi_power_curves(
    schedules: Mapping[str, Schedule], rows: Table, values: Mapping[str, float], **options: Any
) -> Floats:
    """Loss of the multi-power law on every row, by its whole sum."""
    out = np.empty(rows["L"].size)
    for curve, mine in by_curve(rows):
        out[mine] = multi_power_loss(schedules[curve], rows["step"][mine], values, **options)
    return out


def curve_metrics(rows: Table, loss: Floats) -> Floats:
    """R2, mean absolute error, root mean square, mean and worst relative error: averages over the curves."""
    out = []
    for _, mine in by_curve(rows):
        y, f = rows["L"][mine], loss[mine]
        error = np.abs(f - y)
        r2 = 1 - (error @ error) / ((y - y.mean()) @ (y - y.mean()))
        out.append([r2, error.mean(), np.sqrt(np.mean(error**2)), (error / y).mean(), (error / y).max()])
    averages: Floats = np.mean(out, axis=0)
    return averages
