"""Train byte-level language models of many sizes at fixed compute budgets, with NumPy alone.

The text is the source of Python's own standard library, so nothing is downloaded. Each model reads the last
16 bytes and predicts the next one::

    x  = concat(embedding[last 16 bytes])        # 16 * 8 values
    h1 = relu(x @ W1 + b1)
    h2 = h1 + relu(h1 @ W2 + b2)
    loss = cross entropy of softmax(h2 @ W3 + b3), nats per byte

Only the hidden width changes the size. For every compute budget C a ladder of widths is trained, each on
D = C / (6 * matmul parameters) bytes, so that the losses of one budget form an isoFLOP curve. No byte is
predicted twice within a run. Every run becomes one row of ``runs.csv``; rows that exist are skipped, so that
an interrupted campaign continues where it stopped.

Commands::

    python train.py                # every run of the plan that runs.csv does not hold yet
    python train.py --plan         # print the plan and its cost, train nothing
    python train.py --pilot        # the learning-rate pilot, written to pilot.csv
"""

from __future__ import annotations

import argparse
import csv
import functools
import math
import os
import platform
import sysconfig
import time
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # read once, when NumPy loads its BLAS

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

VOCABULARY = 256
CONTEXT = 16
EMBEDDING = 8
INPUT = CONTEXT * EMBEDDING
BATCH = 256
WARMUP = 0.05
FINAL_RATE = 0.02
VALIDATION_POSITIONS = 100_000
# Byte tables and generated documentation: data in the clothes of source code.
EXCLUDED = frozenset({"encodings", "pydoc_data", "site-packages", "dist-packages", "__pycache__"})

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Run:
    """One planned training run.

    Attributes
    ----------
    budget : float
        Compute budget in floating-point operations.
    hidden : int
        Hidden width, the only thing that changes the size.
    seed : int
        Seed of the initial values and of the order of the data.
    """

    budget: float
    hidden: int
    seed: int

    @property
    def matmul_parameters(self) -> int:
        """Weights that take part in a matrix product: all but embedding and biases."""
        return INPUT * self.hidden + self.hidden**2 + self.hidden * VOCABULARY

    @property
    def parameters(self) -> int:
        """All trainable parameters: matrices, embedding and biases."""
        return self.matmul_parameters + VOCABULARY * EMBEDDING + 2 * self.hidden + VOCABULARY

    @property
    def flops_per_byte(self) -> int:
        """Matrix-product operations per training byte.

        A multiply-add counts as two. Each weight has one in the forward pass and two in the backward pass
        (the gradient of the weight and of the layer's input, which the embedding needs even at the bottom).
        """
        return 6 * self.matmul_parameters

    @property
    def steps(self) -> int:
        """Optimiser steps that spend the budget, to the nearest whole batch."""
        return max(1, round(self.budget / (self.flops_per_byte * BATCH)))

    @property
    def tokens(self) -> int:
        """Training bytes that are predicted, each once."""
        return self.steps * BATCH

    @property
    def flops(self) -> int:
        """Matrix-product operations of the whole run."""
        return self.flops_per_byte * self.tokens


@dataclass(frozen=True)
class Row:
    """One row of ``runs.csv``; README.md explains the columns."""

    N: int
    D: int
    C: int
    budget: float
    loss: float
    seed: int
    seconds: float
    cpu_seconds: float
    lr: float
    steps: int
    batch: int
    hidden: int
    context: int
    embedding: int
    N_matmul: int
    train_loss: float


# The plan: for each budget, the widths around the one that the pilot suggested as the best.
LADDERS: dict[float, tuple[int, ...]] = {
    5.0e10: (8, 12, 16, 24, 32, 48, 64, 96),
    1.1e11: (12, 16, 24, 32, 48, 64, 96, 128),
    2.4e11: (16, 24, 32, 48, 64, 96, 128, 192),
    5.2e11: (16, 24, 32, 48, 64, 96, 128, 192, 256),
    1.1e12: (48, 64, 96, 128, 192, 256, 384),
    2.4e12: (96, 128, 192, 256, 384, 640, 1024),
}
REPEATED_BUDGETS = 2


def planned_runs() -> list[Run]:
    """Return every run of the plan, cheapest budget first, then repeats of the cheap budgets with seed 1."""
    runs = [Run(budget, hidden, 0) for budget, ladder in LADDERS.items() for hidden in ladder]
    cheap = list(LADDERS)[:REPEATED_BUDGETS]
    runs += [Run(budget, hidden, 1) for budget in cheap for hidden in LADDERS[budget]]
    return runs


def learning_rate(hidden: int) -> float:
    """Peak learning rate of a width, fixed before the plan was run (see README.md for the pilot)."""
    return 1.1e-2 * math.pow(hidden / 64, -0.15)


def read_corpus(root: Path | None = None) -> tuple[Bytes, Bytes, int]:
    """Read the standard library's source and split it by file.

    A file belongs to the validation text when the CRC-32 of its path relative to `root` is divisible by 20.
    The rule looks at the name alone, so the split does not move when other files come or go.

    Parameters
    ----------
    root : Path, optional
        Folder of the ``.py`` files; the running interpreter's standard library when omitted.

    Returns
    -------
    train, validation : ndarray of uint8
        The two texts, files in order of their path.
    files : int
        Number of files read.
    """
    root = root or Path(sysconfig.get_paths()["stdlib"])
    texts: dict[bool, list[bytes]] = {False: [], True: []}
    paths = sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*.py"))
    files = 0
    for name, path in paths:
        if EXCLUDED.intersection(name.split("/")):
            continue
        files += 1
        texts[zlib.crc32(name.encode()) % 20 == 0].append(path.read_bytes())
    train, validation = (np.frombuffer(b"\n".join(texts[held]), np.uint8) for held in (False, True))
    return train, validation, files


class Model:
    """A byte-level multilayer perceptron with hand-written gradients and Adam.

    Parameters
    ----------
    hidden : int
        Hidden width.
    rng : numpy.random.Generator
        Source of the initial values.
    """

    def __init__(self, hidden: int, rng: np.random.Generator) -> None:
        shapes = {
            "embedding": (VOCABULARY, EMBEDDING),
            "w1": (INPUT, hidden),
            "b1": (hidden,),
            "w2": (hidden, hidden),
            "b2": (hidden,),
            "w3": (hidden, VOCABULARY),
            "b3": (VOCABULARY,),
        }
        size = sum(math.prod(shape) for shape in shapes.values())
        # One flat vector each, so that Adam is a few passes whatever the number of layers.
        self.values: Floats = np.zeros(size, np.float32)
        self.gradient: Floats = np.zeros(size, np.float32)
        self._mean: Floats = np.zeros(size, np.float32)
        self._square: Floats = np.zeros(size, np.float32)
        self._updates = 0
        self.p = _views(self.values, shapes)
        self.g = _views(self.gradient, shapes)
        scales = {
            "embedding": 1.0,
            "w1": math.sqrt(2 / INPUT),
            "w2": math.sqrt(2 / hidden),
            "w3": 0.5 / math.sqrt(hidden),
        }
        for name, scale in scales.items():
            self.p[name][...] = scale * rng.standard_normal(shapes[name], np.float32)
        self._lanes = np.arange(EMBEDDING)
        self._rows = np.arange(BATCH)

    def forward(self, windows: Ints) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the input, both hidden layers and the logits of windows of shape (n, CONTEXT)."""
        p = self.p
        x: Floats = np.take(p["embedding"], windows, axis=0).reshape(len(windows), INPUT)
        h1: Floats = x @ p["w1"]
        h1 += p["b1"]
        np.maximum(h1, 0, out=h1)
        h2: Floats = h1 @ p["w2"]
        h2 += p["b2"]
        np.maximum(h2, 0, out=h2)
        h2 += h1
        logits: Floats = h2 @ p["w3"]
        logits += p["b3"]
        return x, h1, h2, logits

    def losses(self, windows: Ints, targets: Ints) -> Floats:
        """Return the cross entropy of each target, in nats, without touching the gradient."""
        logits = self.forward(windows)[-1]
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[np.arange(len(targets)), targets]
        result: Floats = np.log(np.exp(logits).sum(axis=1)) - chosen
        return result

    def backward(self, windows: Ints, targets: Ints) -> float:
        """Fill the gradient of the mean loss of one batch and return that loss."""
        p, g = self.p, self.g
        x, h1, h2, d = self.forward(windows)
        d -= d.max(axis=1, keepdims=True)
        chosen = d[self._rows, targets]
        np.exp(d, out=d)
        total = d.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(total[:, 0]) - chosen))
        d /= total * np.float32(BATCH)
        d[self._rows, targets] -= np.float32(1 / BATCH)

        np.matmul(h2.T, d, out=g["w3"])
        d.sum(axis=0, out=g["b3"])
        d1 = d @ p["w3"].T
        d2 = d1 * (h2 > h1)  # the second layer's branch is active exactly where it added something
        np.matmul(h1.T, d2, out=g["w2"])
        d2.sum(axis=0, out=g["b2"])
        d1 += d2 @ p["w2"].T
        d1 *= h1 > 0
        np.matmul(x.T, d1, out=g["w1"])
        d1.sum(axis=0, out=g["b1"])
        dx = d1 @ p["w1"].T
        # np.add.at is several times faster over one flat axis than over rows.
        flat = g["embedding"].reshape(-1)
        flat[...] = 0
        where = (windows.reshape(-1, 1) * EMBEDDING + self._lanes).reshape(-1)
        np.add.at(flat, where, dx.reshape(-1))
        return loss

    def update(self, rate: float, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-8) -> None:
        """Take one Adam step with learning rate `rate`."""
        self._updates += 1
        t = self._updates
        step = rate / (1 - beta1**t)
        correction = 1 / (1 - beta2**t)
        block = 16_384  # four vectors of this length stay in the second-level cache
        for start in range(0, len(self.values), block):
            part = slice(start, start + block)
            gradient, mean, square = self.gradient[part], self._mean[part], self._square[part]
            mean += (1 - beta1) * (gradient - mean)
            gradient *= gradient
            square += (1 - beta2) * (gradient - square)
            np.multiply(square, correction, out=gradient)
            np.sqrt(gradient, out=gradient)
            gradient += epsilon
            np.divide(mean, gradient, out=gradient)
            gradient *= step
            self.values[part] -= gradient


def _views(vector: Floats, shapes: dict[str, tuple[int, ...]]) -> dict[str, Floats]:
    """Return named views of consecutive parts of a flat vector."""
    views: dict[str, Floats] = {}
    start = 0
    for name, shape in shapes.items():
        stop = start + math.prod(shape)
        views[name] = vector[start:stop].reshape(shape)
        start = stop
    return views


def windows_at(text: Bytes, positions: Ints) -> tuple[Ints, Ints]:
    """Return the CONTEXT bytes before each position, shape (n, CONTEXT), and the byte at it, shape (n,)."""
    offsets = positions[:, None] + np.arange(-CONTEXT, 0)
    return np.take(text, offsets).astype(np.int64), np.take(text, positions).astype(np.int64)


def rate_at(step: int, steps: int, peak: float) -> float:
    """Learning rate of a step: linear warm-up over 5 % of the run, then a cosine down to 2 % of `peak`."""
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * progress)))


@functools.cache
def training_order(length: int, seed: int) -> NDArray[np.int32]:
    """Return every position of a text of `length` bytes that has a full window before it, shuffled."""
    return np.random.default_rng([seed, 1]).permutation(np.arange(CONTEXT, length, dtype=np.int32))


@functools.cache
def validation_positions(length: int) -> NDArray[np.int64]:
    """Return the positions of the validation text on which every model is measured."""
    rng = np.random.default_rng(20)
    chosen = rng.choice(length - CONTEXT, min(VALIDATION_POSITIONS, length - CONTEXT), replace=False)
    return np.sort(chosen) + CONTEXT


def validation_loss(model: Model, text: Bytes) -> float:
    """Mean loss over the fixed validation positions, in nats per byte."""
    positions = validation_positions(len(text))
    total = 0.0
    for part in np.array_split(positions, max(1, len(positions) // 2000)):
        total += float(model.losses(*windows_at(text, part)).sum(dtype=np.float64))
    return total / len(positions)


def train(run: Run, peak: float, text: Bytes, validation: Bytes) -> Row:
    """Train one model and return its row.

    Parameters
    ----------
    run : Run
        What to train.
    peak : float
        Peak learning rate.
    text, validation : ndarray of uint8
        The two texts of `read_corpus`.

    Returns
    -------
    Row
        Sizes, cost and final validation loss.

    Raises
    ------
    ValueError
        If the run wants more bytes than the text has: a byte would have to be used twice.
    """
    available = len(text) - CONTEXT
    if run.tokens > available:
        raise ValueError(f"{run} needs {run.tokens:,} bytes and the training text has {available:,}")
    wall, cpu = time.perf_counter(), time.process_time()
    model = Model(run.hidden, np.random.default_rng([run.seed, run.hidden]))
    order = training_order(len(text), run.seed)
    recent, tail = 0.0, max(1, run.steps // 20)
    for step in range(run.steps):
        positions = order[step * BATCH : (step + 1) * BATCH].astype(np.int64)
        loss = model.backward(*windows_at(text, positions))
        model.update(rate_at(step, run.steps, peak))
        if step >= run.steps - tail:
            recent += loss / tail
    final = validation_loss(model, validation)
    return Row(
        N=run.parameters,
        D=run.tokens,
        C=run.flops,
        budget=run.budget,
        loss=round(final, 6),
        seed=run.seed,
        seconds=round(time.perf_counter() - wall, 2),
        cpu_seconds=round(time.process_time() - cpu, 2),
        lr=float(f"{peak:.4g}"),
        steps=run.steps,
        batch=BATCH,
        hidden=run.hidden,
        context=CONTEXT,
        embedding=EMBEDDING,
        N_matmul=run.matmul_parameters,
        train_loss=round(recent, 6),
    )


def append(path: Path, row: Row) -> None:
    """Add one row to a table; a crash leaves either the old table or the new one, never half a row."""
    names = [field.name for field in fields(Row)]
    old = path.read_text() if path.exists() else ",".join(names) + "\n"
    record = asdict(row)
    new = (
        old
        + ",".join(f"{record[name]:.6g}" if name == "budget" else str(record[name]) for name in names)
        + "\n"
    )
    scratch = path.with_suffix(".tmp")
    scratch.write_text(new)
    os.replace(scratch, path)


def finished(path: Path) -> set[tuple[float, int, int, float]]:
    """Return the (budget, hidden, seed, lr) of the rows a table holds already."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {
            (float(row["budget"]), int(row["hidden"]), int(row["seed"]), float(row["lr"]))
            for row in csv.DictReader(file)
        }


def train_all(jobs: Iterable[tuple[Run, float]], path: Path) -> None:
    """Train every (run, peak learning rate) that the table at `path` does not hold yet."""
    text, validation, files = read_corpus()
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}: {files} files, "
        f"{len(text):,} training and {len(validation):,} validation bytes",
        flush=True,
    )
    done = finished(path)
    for run, peak in jobs:
        if (float(f"{run.budget:.6g}"), run.hidden, run.seed, float(f"{peak:.4g}")) in done:
            continue
        row = train(run, peak, text, validation)
        append(path, row)
        print(
            f"C={row.budget:.2e} hidden={row.hidden:<5} N={row.N:<9,} D={row.D:<11,} seed={row.seed} "
            f"lr={row.lr:<9} loss={row.loss:.4f} train={row.train_loss:.4f} {row.seconds:.1f}s",
            flush=True,
        )


def print_plan(runs: list[Run]) -> None:
    """Print the size of every planned run and the total of operations."""
    for run in runs:
        print(
            f"C={run.budget:.2e} hidden={run.hidden:<5} N={run.parameters:<10,} D={run.tokens:<12,} "
            f"steps={run.steps:<8,} seed={run.seed} lr={learning_rate(run.hidden):.4g}"
        )
    print(
        f"{len(runs)} runs, {sum(run.flops for run in runs):.3g} operations, "
        f"{sum(run.tokens for run in runs):,} bytes"
    )


def pilot_jobs() -> list[tuple[Run, float]]:
    """Return the pilot: three widths, five learning rates each, on a fixed number of bytes."""
    jobs: list[tuple[Run, float]] = []
    for hidden, tokens in ((32, 1_024_000), (128, 1_024_000), (512, 307_200)):
        budget = float(Run(1.0, hidden, 0).flops_per_byte * tokens)
        jobs += [(Run(budget, hidden, 0), rate) for rate in (2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2)]
    return jobs


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--output", type=Path, default=None, help="table to extend (default: beside this file)"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--plan", action="store_true", help="print the plan and train nothing")
    mode.add_argument("--pilot", action="store_true", help="run the learning-rate pilot instead of the plan")
    options = parser.parse_args(arguments)
    if options.plan:
        print_plan(planned_runs())
    elif options.pilot:
        train_all(pilot_jobs(), options.output or HERE / "pilot.csv")
    else:
        jobs = [(run, learning_rate(run.hidden)) for run in planned_runs()]
        train_all(jobs, options.output or HERE / "runs.csv")


if __name__ == "__main__":
    main()
