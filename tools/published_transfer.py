"""Rows of the table of published fits: fine-tuning, one loss from another, downstream scores.

A section takes ``read``, which reads a file of the measured data as in `tests/measured.py`, and yields rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scalinglaws as sl
from measured import (
    LADDER_TASKS,
    TRAINING_SETS,
    LossSweep,
    Read,
    base_model_scores,
    chosen,
    compute_frontier,
    ladder,
    ladder_checkpoints,
    objective,
    regress,
)
from published_row import SCIPY, Row, Search, rms, values

HUBER = sl.huber(1e-3)


def fine_tuning(read: Read) -> Iterator[Row]:
    """Lin et al. 2024: sixty fine-tuning curves, rectified law against power law."""
    name, law, power = "finetune_curves.csv", sl.laws.rectified, sl.laws.power_law_floor
    table = read(name)
    curves = chosen(table, table["D"] > 0)
    del curves["family"]

    options: dict[str, Any] = {"by": ["task", "model"], "residual": "log", "loss": sl.squared()}
    rectified = Search()
    ours = rectified.run(sl.fit_each, law, curves, **options)
    theirs = Search().run(sl.fit_each, power, curves, columns={"x": "D"}, **options)
    fit = ours["flan", "MBZUAI/LaMini-GPT-124M"]
    own = Search(fit.starts.hits, fit.starts.solved, fit.seconds)
    yield Row(
        law,
        f"{name}, flan, LaMini-GPT-124M, D > 0",
        "B, Dl, beta, E; rms of log L",
        ("563.8231", "166.0563", "0.4552798", "1.0692365", "0.0027"),
        f"{SCIPY}; rms also Lin et al. 2024, results",
        (*values(fit, ("B", "Dl", "beta", "E")), rms(fit)),
        own,
    )
    for task in ("flan", "gigaword"):
        mean, other = (t["rmse"][t["task"] == task].mean() for t in (ours.table, theirs.table))
        yield Row(
            law,
            f"{name}, {task}, D > 0, 30 curves",
            "mean rms of log L; published: of power_law_floor, fitted alike",
            (f"{other:.5f}",),
            "Lin et al. 2024: the rectified law is better on every task",
            (float(mean),),
            rectified,
            least=True,
            note="The power law is the rectified one without Dl, so on fitted rows it cannot be better. "
            "Starts and seconds are those of all 60 rectified curves.",
        )


# (kappa, K), for losses on the own training distribution.
TRAIN_TO_TRAIN = {
    ("FineWeb-Edu", "ProofPile 2"): ("1.066258", "0.604887"),
    ("FineWeb-Edu", "StarCoder"): ("1.100237", "0.633102"),
    ("FineWeb", "FineWeb-Edu"): ("0.9994", "0.9858"),
    ("FineWeb", "ProofPile 2"): ("1.0654", "0.5961"),
    ("FineWeb", "SlimPajama"): ("0.9658", "1.0395"),
    ("FineWeb", "SmolLM"): ("1.0050", "1.0548"),
    ("FineWeb", "StarCoder"): ("1.0904", "0.6230"),
    ("FineWeb-Edu", "FineWeb"): ("1.0005", "1.0144"),
    ("FineWeb-Edu", "SlimPajama"): ("0.9698", "1.0540"),
    ("ProofPile 2", "FineWeb"): ("0.9373", "1.6238"),
    ("StarCoder", "FineWeb"): ("0.9143", "1.5407"),
}
# (kappa, K, floor) of Hellaswag for models trained on other data, from models trained on FineWeb-Edu.
TEST_TO_TEST = {
    "ProofPile 2": ("0.74", "1.60", "2.39"),
    "FineWeb": ("1.05", "0.98", "2.08"),
    "SlimPajama": ("0.95", "1.11", "2.08"),
    "StarCoder": ("0.74", "1.64", "2.48"),
}
FLOORS = {
    "FineWeb": "2.17",
    "FineWeb-Edu": "1.97",
    "ProofPile 2": "1.32",
    "SlimPajama": "1.97",
    "SmolLM": "1.53",
    "StarCoder": "0.85",
}
BASE = {
    "FineWeb-Edu": ("66798878", "889955656", "1.966905", "0.412898", "0.455581"),
    "FineWeb": ("67873109", "931025251", "2.170014", "0.410723", "0.453088"),
    "ProofPile 2": ("21399833", "329014140", "1.319106", "0.452684", "0.455226"),
}


def losses_from_losses(read: Read) -> Iterator[Row]:
    """Brandfonbrener et al. 2024: the laws of each loss, then one loss from another."""
    name, paper = "loss_to_loss.csv", "Brandfonbrener et al. 2024, notebooks"
    sweep = LossSweep(read)
    names = ("A", "B", "E", "alpha", "beta")
    stated = ("1437.5976", "9950.2761", "2.4913279", "0.42064161", "0.46878991")
    runs = sweep.runs["SmolLM"]
    runs = {**runs, "L": runs["L_c4"]}
    law = sl.laws.chinchilla
    search = Search()
    fit = search.fit(law, runs)
    there = objective(law, runs, dict(zip(names, map(float, stated), strict=True)), HUBER)
    yield Row(
        law,
        f"{name}, smollm-corpus, L_c4",
        ", ".join(names),
        stated,
        paper,
        values(fit, names),
        search,
        objective=(fit.objective, there),
        note="Lower in the tenth digit only.",
    )
    law = sl.laws.kaplan_nd_floor
    searches = {}
    for label, floor in FLOORS.items():
        search = searches[label] = Search()
        column = sweep.own[label]
        fit = search.run(sweep.base, label, column)
        rows = f"{name}, {TRAINING_SETS[label][0]}, {column}"
        yield Row(law, rows, "floor E", (floor,), "Brandfonbrener et al. 2024", values(fit, ("E",)), search)
        for index, (known, printed) in enumerate(BASE.items()):
            if known == label:
                runs = {**sweep.runs[label], "L": sweep.runs[label][column]}
                there = objective(law, runs, law.published[index].values, HUBER)
                yield Row(
                    law,
                    rows,
                    ", ".join(names),
                    printed,
                    paper,
                    values(fit, names),
                    search,
                    objective=(fit.objective, there),
                    note="A and B are printed with more digits than their optimiser had settled.",
                )
    yield from _transfers(sweep, name)


def _transfers(sweep: LossSweep, name: str) -> Iterator[Row]:
    """Factor and exponent, with floors from the base law."""
    law, paper, own = "loss_to_loss", "Brandfonbrener et al. 2024", sweep.own
    for (known, other), printed in TRAIN_TO_TRAIN.items():
        L0, L1 = sweep.matched(known, own[known], other, own[other])
        floors = [sweep.floor(label, own[label]) for label in (known, other)]
        search = Search()
        fit = search.run(regress, L0, L1, *floors)
        label = f"{name}, train-to-train, {known} to {other}"
        exact = len(printed[0]) > 6
        yield Row(
            law,
            label,
            "kappa, K",
            printed,
            f"{paper}, notebooks",
            values(fit, ("kappa", "K")),
            search,
            note="The floors of the notebooks lie 1e-6 beside the minimum, see the next rows."
            if exact
            else "",
        )
    # The pair for which both floors were released.
    known, other = "FineWeb-Edu", "ProofPile 2"
    L0, L1 = sweep.matched(known, own[known], other, own[other])
    base = sl.laws.kaplan_nd_floor.published
    search = Search()
    fit = search.fit(
        law, {"L0": L0, "L1": L1 - base[2].values["E"]}, fixed={"E0": base[0].values["E"], "E1": 0.0}
    )
    yield Row(
        law,
        f"{name}, train-to-train, {known} to {other}; floors as released",
        "kappa, K",
        ("1.06625801440362", "0.60488666835257"),
        f"{paper}, notebooks",
        values(fit, ("kappa", "K")),
        search,
    )
    runs = sweep.runs["FineWeb-Edu"]
    for column, test, printed, floor, note in (
        ("L_hellaswag", "Hellaswag", ("1.08", "0.93"), None, ""),
        (
            "L_arc_easy",
            "ARC-Easy",
            ("0.36", "4.68"),
            0.07,
            "With the published floor of 0.07. It is no minimum: this loss is fitted best without any floor.",
        ),
    ):
        E1 = sweep.floor("FineWeb-Edu", column) if floor is None else floor
        E0 = sweep.floor("FineWeb-Edu", "L_fineweb_edu")
        search = Search()
        fit = search.run(regress, runs["L_fineweb_edu"], runs[column], E0, E1)
        label = f"{name}, train-to-test, FineWeb-Edu to {test}"
        yield Row(law, label, "kappa, K", printed, paper, values(fit, ("kappa", "K")), search, note=note)
    for other, (kappa, K, floor_text) in TEST_TO_TEST.items():
        L0, L1 = sweep.matched("FineWeb-Edu", "L_hellaswag", other, "L_hellaswag")
        floors = [sweep.floor(label, "L_hellaswag") for label in ("FineWeb-Edu", other)]
        search = Search()
        fit = search.run(regress, L0, L1, *floors)
        label = f"{name}, test-to-test on Hellaswag, FineWeb-Edu to {other}"
        ours = (*values(fit, ("kappa", "K")), floors[1])
        yield Row(law, label, "kappa, K, E1", (kappa, K, floor_text), paper, ours, search)


# Predicted task loss of the 13B model, mean relative error of the fit, objective.
LADDER_LOSS = {
    "mmlu": ("0.750156", "0.004600", "6.65264e-5"),
    "hellaswag": ("0.653177", "0.002565", "3.45311e-5"),
    "arc_challenge": ("0.783324", "0.004845", "7.03884e-5"),
    "arc_easy": ("0.593105", "0.011775", "1.81659e-4"),
    "piqa": ("0.874795", "0.003104", "4.26865e-5"),
    "csqa": ("0.661728", "0.010455", "1.61042e-4"),
    "socialiqa": ("0.991574", "0.005397", "7.92316e-5"),
    "openbookqa": ("1.275007", "0.005942", "8.84043e-5"),
    "c4_loss": ("2.344387", "0.002473"),
}
# Accuracy of the 13B model, predicted from its measured task loss.
LADDER_ACCURACY = {
    "mmlu": "0.513756",
    "hellaswag": "0.841567",
    "arc_challenge": "0.603024",
    "arc_easy": "0.819384",
    "piqa": "0.807461",
    "csqa": "0.717276",
    "socialiqa": "0.633747",
    "openbookqa": "0.457223",
}


def task_ladder(read: Read) -> Iterator[Row]:
    """Bhagia et al. 2024: task loss from 16 small runs, then accuracy from task loss."""
    runs, large = ladder(read)
    paper = "Bhagia et al. 2024, code"
    for task, printed in LADDER_LOSS.items():
        column = f"bpb_{LADDER_TASKS[task]}" if task in LADDER_TASKS else task
        search = Search()
        # Without a floor where the floor would run to 0.
        fixed = {"E": 0.0} if task == "csqa" else None
        fit = search.fit("task_loss_ladder", runs, columns={"L": column}, fixed=fixed)
        off = float(np.mean(np.abs(fit.fittedvalues / runs[column] - 1.0)))
        ours = (float(fit.predict(large).mean[0]), off, fit.objective)
        what = "loss of the 13B model, mean relative error" + (", objective" if len(printed) == 3 else "")
        yield Row(
            "task_loss_ladder",
            f"olmo_ladder.csv, 16 runs, {column}",
            what,
            printed,
            f"{paper}{f'; objective {SCIPY}' if len(printed) == 3 else ''}",
            ours[: len(printed)],
            search,
            note="The floor runs to 0; it is held there." if fixed else "",
        )
    for task, accuracy in LADDER_ACCURACY.items():
        search = Search()
        fit = search.fit("task_accuracy_ladder", ladder_checkpoints(read, task))
        predicted = fit.predict({"L": large[f"bpb_{LADDER_TASKS[task]}"]}).mean
        notes = ["b ends on its bound 1, as in the authors' fit."] if fit.params["b"].at_bound else []
        if task in ("mmlu", "csqa"):
            notes.append(
                "The sixth digit differs: beside a bound SciPy's curve_fit stops a little above the minimum."
            )
        yield Row(
            "task_accuracy_ladder",
            f"olmo_ladder_checkpoints.csv, {task}, 1,401 smoothed checkpoints and (0, 1)",
            "accuracy of the 13B model",
            (accuracy,),
            paper,
            (float(predicted[0]),),
            search,
            note=" ".join(notes),
        )


# A, B, alpha, E, rms of the error.
FRONTIERS = {
    ("clip", "err_imagenet"): ("75.2", "1.07e8", "0.241", "0.131", "0.0128"),
    ("clip", "err_ade20k"): ("23.9", "4.7e7", "0.224", "0.479", "0.0068"),
    ("mammut", "err_imagenet"): ("123", "2.3e8", "0.255", "0.101", "0.0073"),
    ("mammut", "err_ade20k"): ("351", "1.4e8", "0.357", "0.499", "0.0074"),
}


def frontiers(read: Read) -> Iterator[Row]:
    """Nezhurina et al. 2025: error on the compute frontier of two families of models."""
    name, law = "clip_mammut.csv", "shifted_power_law"
    for (family, error), printed in FRONTIERS.items():
        table = read(name, family=family)
        search = Search()
        fit = search.fit(law, compute_frontier(table["C"] / 1e9, table[error]))
        yield Row(
            law,
            f"{name}, {family}, {error}; frontier of 25 bins of compute",
            "A, x0, alpha, E, rms",
            printed,
            SCIPY,
            (*values(fit, ("A", "x0", "alpha", "E")), rms(fit)),
            search,
        )


def leaderboard(read: Read) -> Iterator[Row]:
    """Maia Polo et al. 2024: a score against compute, all families together."""
    law = sl.Law(
        "score ~ 0.25 + h * sigmoid(w0 + w1 * x)",
        params={
            "h": sl.Param("positive", start=(0.1, 1.0)),
            "w0": sl.Param("real", start=(-10.0, 10.0)),
            "w1": sl.Param("real", start=(0.1, 5.0)),
        },
    )
    search = Search()
    fit = search.fit(law, base_model_scores(read, "mmlu"))
    yield Row(
        law,
        "sloth_leaderboard.csv, 109 base models, mmlu; x = log10(C / 1e21)",
        "h, w0, w1, rms",
        ("0.513", "-5.38", "2.51", "0.095"),
        SCIPY,
        (*values(fit, ("h", "w0", "w1")), rms(fit)),
        search,
        note="Not a law of the catalogue: what sloth_single, with an intercept for each family, has to beat.",
    )


SECTIONS = (fine_tuning, losses_from_losses, task_ladder, frontiers, leaderboard)
