"""The workloads W1 to W7 and the kernel rates: each runs every method and returns one table."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benches import ours, probe, workloads
from benches.baselines import numpy_batched, numpy_blocked, scipy_peers
from benches.baselines.workers import Workers
from benches.measure import AT_OPTIMUM, Row, Table, duration, timed

FloatArray = NDArray[np.float64]

OURS = "scalinglaws"
BATCHED = "NumPy batched"
BLOCKED = "NumPy blocked normal equations"


@dataclass(frozen=True)
class Config:
    """How to run.

    Parameters
    ----------
    who : frozenset of str
        Which methods: of ``"ours"``, ``"numpy"`` and ``"scipy"``.
    smoke : bool
        Tiny sizes, one repeat: a test of the benchmark.
    full : bool
        All starts for the slow methods too, instead of a part that is scaled up.
    repeat : int
        Repeats of one measurement at most.
    threads : int or None
        Threads of scalinglaws; None for its default.
    processes : int
        Processes of the batched baseline.
    residual : {"linear", "log"}
        Where the residuals of W5 are taken.
    """

    who: frozenset[str]
    smoke: bool = False
    full: bool = False
    repeat: int = 9
    threads: int | None = None
    processes: int = 2
    residual: str = "linear"

    def part(self, every: int) -> int:
        """Stride of the part that slow methods run."""
        return 1 if self.full or self.smoke else every


def _consistent(table: Table, name: str, reported: float, checked: float) -> None:
    """Check that a method's own objective is the objective of the parameters that it returns."""
    table.expect(
        bool(np.isclose(reported, checked, rtol=1e-9, atol=1e-15)),
        f"{name} reports the objective {reported!r}, but its parameters have {checked!r}",
    )


def w1(config: Config) -> Table:
    """Run W1: one Huber fit of the Chinchilla law to 240 rows, from the values of Hoffmann et al."""
    table = Table("W1", "one fit, 240 rows, Huber(1e-3) of log residuals, from the published values")
    runs = workloads.chinchilla_runs()
    best, start = workloads.CHINCHILLA_OBJECTIVE, workloads.GOOD_START

    def add(name: str, p: FloatArray, times: list[float], *, primary: bool = False, note: str = "") -> float:
        excess = float(workloads.huber_objective(p[None], runs)[0]) / best - 1.0
        table.rows.append(Row(name, times, excess=excess, primary=primary, note=note))
        return excess

    if "ours" in config.who:
        inside: list[float] = []

        def call() -> ours.Answer:
            answer = ours.huber_fit(runs, start, config.threads)[0]
            inside.append(answer.inside)
            return answer

        answer, times = timed(call, repeat=5 * config.repeat)
        excess = add(OURS, answer.p, inside[-len(times) :], primary=True, note="inside the library")
        add(f"{OURS}, whole call", answer.p, times, note="sl.fit from Python, checks and report included")
        table.expect(abs(answer.objective - best) < 1e-10, f"{OURS} ends at {answer.objective!r}")
        table.expect(excess < 1e-9, f"{OURS} has the excess {excess:.1e}")
        _consistent(table, OURS, answer.objective, best * (1.0 + excess))
    if "numpy" in config.who:
        fit, times = timed(
            lambda: numpy_batched.fit(start[None], *runs.logs, delta=workloads.DELTA), repeat=config.repeat
        )
        excess = add(BATCHED, fit.theta[0], times, note="not made for one start")
        table.expect(abs(excess) < 1e-9, f"{BATCHED} has the excess {excess:.1e}")
    if "scipy" in config.who:
        for name, solver in scipy_peers.NEAR_SOLVERS.items():
            problem = scipy_peers.HuberChinchilla(*runs.logs, workloads.DELTA)
            p, times = timed(lambda s=solver, q=problem: s(q, start), repeat=config.repeat)  # type: ignore[misc]
            wrong = name == scipy_peers.LBFGSB
            excess = add(name, p, times, note="reports success" if wrong else "")
            table.expect(wrong or abs(excess) < AT_OPTIMUM, f"{name} has the excess {excess:.1e}")
    return table


def w2(config: Config, workers: Workers | None) -> Table:
    """Run W2: the 4,500-point grid of Hoffmann et al., each start solved to its own end."""
    grid = workloads.hoffmann_grid()[:: 225 if config.smoke else 1]
    table = Table("W2", f"the paper's grid of starts, {len(grid):,} of them, same objective as W1")
    runs, best = workloads.chinchilla_runs(), workloads.CHINCHILLA_OBJECTIVE

    if "ours" in config.who:
        starts: FloatArray | str = grid if config.smoke else "paper"
        answer, times = timed(lambda: ours.huber_fit(runs, starts, config.threads)[0], repeat=config.repeat)
        share = answer.share(best * (1.0 + AT_OPTIMUM))
        table.rows.append(Row(OURS, times, excess=_excess(answer, runs), share=share, primary=True))
        _check_ours(table, answer, runs)
        table.expect(answer.starts == len(grid), f"{OURS} had {answer.starts} starts")
        table.expect(share >= 0.95, f"{OURS} has only {share:.1%} of the starts at the optimum")
        answer, times = timed(lambda: ours.huber_fit(runs, 512, config.threads)[0], repeat=config.repeat)
        name = f"{OURS}, 512 Sobol starts, screened"
        table.rows.append(Row(name, times, excess=_excess(answer, runs), note="the default of sl.fit"))
        _check_ours(table, answer, runs)
    if workers is not None:
        fit, times = timed(
            lambda: workers.chinchilla(grid, runs.logs, delta=workloads.DELTA), repeat=config.repeat
        )
        row = _many(f"{BATCHED}, {workers.processes} processes", times, fit.theta, runs, best)
        row.extra["iterations"] = float(fit.iterations.mean())
        row.note = f"{fit.iterations.mean():.0f} steps a start"
        table.rows.append(row)
        table.expect(abs(row.excess) < 1e-9, f"{BATCHED} has the excess {row.excess:.1e}")
        table.expect(row.share >= 0.57, f"{BATCHED} has only {row.share:.1%} of the starts at the optimum")
    if "scipy" in config.who:
        part = grid[:: config.part(9)]
        problem = scipy_peers.HuberChinchilla(*runs.logs, workloads.DELTA)
        for name, solver in scipy_peers.FAR_SOLVERS.items():
            ends, times = timed(
                lambda s=solver: np.array([s(problem, start) for start in part]),  # type: ignore[misc]
                repeat=1,
            )
            row = _many(name, times, ends, runs, best)
            row.scale = len(grid) / len(part)
            table.rows.append(row)
            table.expect(row.excess > -1e-9, f"{name} ends below the optimum: {row.excess:.1e}")
    return table


def _excess(answer: ours.Answer, runs: workloads.Runs) -> float:
    return float(workloads.huber_objective(answer.p[None], runs)[0]) / workloads.CHINCHILLA_OBJECTIVE - 1.0


def _check_ours(table: Table, answer: ours.Answer, runs: workloads.Runs) -> None:
    best = workloads.CHINCHILLA_OBJECTIVE
    table.expect(abs(answer.objective - best) < 1e-10, f"{OURS} ends at {answer.objective!r}")
    _consistent(table, OURS, answer.objective, best * (1.0 + _excess(answer, runs)))


def _many(name: str, times: list[float], ends: FloatArray, runs: workloads.Runs, best: float) -> Row:
    excess = workloads.huber_objective(ends, runs) / best - 1.0
    excess = np.where(np.isnan(excess), np.inf, excess)
    return Row(name, times, excess=float(excess.min()), share=float(np.mean(excess < AT_OPTIMUM)))


def w3(config: Config, workers: Workers | None) -> Table:
    """Run W3: 4,000 bootstrap refits from the best fit."""
    draws = 20 if config.smoke else 4000
    table = Table("W3", f"{draws:,} weighted refits from the best fit (bootstrap of the 240 rows)")
    table.notes.append("excess: the worst draw; share: draws within 1e-6 of the best that any method found")
    runs = workloads.chinchilla_runs()
    weights = workloads.bootstrap_weights(len(runs.N), draws)
    optimum = numpy_batched.fit(workloads.GOOD_START[None], *runs.logs, delta=workloads.DELTA).theta[0]
    lowest = np.full(draws, np.inf)
    found: list[tuple[Row, FloatArray, slice]] = []

    def add(row: Row, ends: FloatArray, chosen: slice) -> FloatArray:
        objective = workloads.huber_objective(ends, runs, weights[chosen])
        lowest[chosen] = np.fmin(lowest[chosen], objective)
        found.append((row, objective, chosen))
        table.rows.append(row)
        return objective

    everything = slice(None)
    if "ours" in config.who:
        _, best = ours.huber_fit(runs, workloads.GOOD_START, config.threads)
        (ends, objective, _), times = timed(
            lambda: ours.refits(best, weights, config.threads), repeat=config.repeat
        )
        checked = add(Row(OURS, times, primary=True), ends, everything)
        same = bool(np.allclose(objective, checked, rtol=1e-9))
        table.expect(same, f"{OURS} reports objectives that are not those of its parameters")
    if workers is not None:
        copies = np.tile(optimum, (draws, 1))
        fit, times = timed(
            lambda: workers.chinchilla(
                copies, runs.logs, delta=workloads.DELTA, weights=weights, newton=True
            ),
            repeat=config.repeat,
        )
        row = Row(f"{BATCHED}, {workers.processes} processes", times)
        row.note = f"{fit.iterations.mean():.0f} steps a draw"
        add(row, fit.theta, everything)
    if "scipy" in config.who:
        chosen = slice(None, None, config.part(20))
        problem = scipy_peers.HuberChinchilla(*runs.logs, workloads.DELTA)
        for name, solver in scipy_peers.NEAR_SOLVERS.items():
            ends, times = timed(
                lambda s=solver: np.array(  # type: ignore[misc]
                    [s(problem.resampled(counts), optimum) for counts in weights[chosen]]
                ),
                repeat=1,
            )
            add(Row(name, times, scale=draws / len(ends)), ends, chosen)
    for row, objective, chosen in found:
        excess = objective / lowest[chosen] - 1.0
        row.excess, row.share = float(excess.max()), float(np.mean(excess < AT_OPTIMUM))
        if row.name == OURS or row.name.startswith(BATCHED):
            table.expect(row.share == 1.0, f"{row.name}: only {row.share:.1%} of the draws at their optimum")
    return table


def w4(config: Config, workers: Workers | None) -> Table:
    """Run W4: Farseer, nine parameters, many starts over the ranges that the catalogue declares."""
    count = 4 if config.smoke else 1000
    table = Table("W4", f"Farseer law, 9 parameters, 240 rows, squared log residuals, {count:,} starts")
    table.notes.append("share: starts within 1 % of the best objective known, 0.003615426142")
    runs, best = workloads.chinchilla_runs(), workloads.FARSEER_OBJECTIVE
    starts = workloads.farseer_starts(count)
    if config.smoke:
        starts[0] = workloads.FARSEER_START

    def row(name: str, times: list[float], ends: FloatArray) -> Row:
        excess = workloads.farseer_objective(ends, runs) / best - 1.0
        tenth = float(np.mean(excess < 0.1))
        made = Row(name, times, excess=float(excess.min()), share=float(np.mean(excess < 0.01)))
        made.extra["within 10 %"] = tenth
        made.note = f"{tenth:.1%} within 10 %"
        return made

    if "ours" in config.who:
        for name, given in ((OURS, starts), (f"{OURS}, own Sobol starts", count)):
            answer, times = timed(
                lambda g=given: ours.farseer_fit(runs, g, config.threads),  # type: ignore[misc]
                repeat=config.repeat,
            )
            made = row(name, times, answer.p[None])
            made.primary = name == OURS
            made.share, tenth = answer.share(1.01 * best), answer.share(1.1 * best)
            made.extra["within 10 %"] = tenth
            made.note = f"{tenth:.1%} within 10 %"
            table.rows.append(made)
            _consistent(table, name, answer.objective, best * (1.0 + made.excess))
            if name == OURS:
                table.expect(abs(made.excess) < AT_OPTIMUM, f"{name} has the excess {made.excess:.1e}")
    if workers is not None:
        fit, times = timed(lambda: workers.farseer(starts, runs.logs, max_iter=300), repeat=config.repeat)
        made = row(f"{BATCHED} LM, {workers.processes} processes", times, fit.theta)
        table.rows.append(made)
        table.expect(abs(made.excess) < AT_OPTIMUM, f"{made.name} has the excess {made.excess:.1e}")
    if "scipy" in config.who:
        part = starts[:: config.part(20)]
        problem = scipy_peers.FarseerSquares(*runs.logs)
        for name, method in ((scipy_peers.TRF, "trf"), (scipy_peers.LM, "lm")):
            ends, times = timed(
                lambda m=method: np.array(  # type: ignore[misc]
                    [scipy_peers.farseer(problem, start, m) for start in part]
                ),
                repeat=1,
            )
            made = row(name, times, ends)
            made.scale = count / len(part)
            table.rows.append(made)
            table.expect(made.excess > -AT_OPTIMUM, f"{name} ends below the optimum: {made.excess:.1e}")
    return table


def w5(config: Config) -> Table:
    """Run W5: one fit to a million simulated rows."""
    rows, residual = 5000 if config.smoke else 1_000_000, config.residual
    table = Table("W5", f"{rows:,} simulated rows, squared {residual} residuals, one fit from good values")
    table.notes.append(
        f"memory: peak above the three input columns ({24e-6 * rows:.3g} MB), in a process of its own"
    )
    runs, start = workloads.simulated_runs(rows), workloads.GOOD_START
    found: list[tuple[Row, float]] = []

    def add(row: Row, p: FloatArray, method: str | None) -> float:
        objective = workloads.squares_objective(p, runs, residual)
        found.append((row, objective))
        table.rows.append(row)
        # Each of these is a process of its own: a test does not need all of them.
        if method is not None and not (config.smoke and method not in ("ours", "numpy")):
            memory = probe.peak_memory(method, rows, residual)
            row.extra.update({"peak extra bytes": memory["extra"], "input bytes": memory["inputs"]})
            text = f"{memory['extra'] / 1e6:.0f} MB extra"
            row.note = "; ".join(part for part in (text, row.note) if part)
        return objective

    if "ours" in config.who:
        answer, times = timed(
            lambda: ours.squares_fit(runs, start, residual, config.threads), repeat=config.repeat
        )
        row = Row(OURS, times, primary=True, note=f"{duration(answer.inside)} inside the library")
        row.extra["inside"] = answer.inside
        objective = add(row, answer.p, "ours")
        _consistent(table, OURS, answer.objective, objective)
        answer, times = timed(lambda: ours.squares_fit(runs, start, residual, 1), repeat=config.repeat)
        add(Row(f"{OURS}, 1 thread", times), answer.p, None)
        tenth = workloads.simulated_runs(rows // 10)
        _, times = timed(
            lambda: ours.squares_fit(tenth, start, residual, config.threads), repeat=config.repeat
        )
        table.rows.append(Row(f"{OURS}, a tenth of the rows", times, note="a tenth of the time if linear"))
    if "numpy" in config.who:
        (p, objective), times = timed(
            lambda: numpy_blocked.fit(start, runs.N, runs.D, runs.L, residual=residual), repeat=config.repeat
        )
        _consistent(table, BLOCKED, objective, add(Row(f"{BLOCKED}, 2 threads", times), p, "numpy"))
    if "scipy" in config.who:
        log = residual == "log"
        for name, solver in scipy_peers.ROW_SOLVERS.items():

            def call(solver: Callable[..., FloatArray] = solver) -> FloatArray:
                log_n, log_d, log_loss = runs.logs
                target = log_loss if log else runs.L
                return solver(scipy_peers.SquaresChinchilla(log_n, log_d, target, log), start)

            p, times = timed(call, repeat=min(3, config.repeat), budget=5.0)
            add(Row(name, times), p, name)
    lowest = min(objective for _, objective in found)
    for row, objective in found:
        row.excess = objective / lowest - 1.0
        table.expect(row.excess < AT_OPTIMUM, f"{row.name} has the excess {row.excess:.1e}")
    return table


_IMPORTS = (
    ("python alone", "pass"),
    ("numpy", "import numpy"),
    ("scipy.optimize", "import scipy.optimize"),
    (OURS, "import scalinglaws"),
)
# The high-water mark of getrusage() survives exec and would be the parent's: ask the kernel's status file.
_REPORT = """
import os, resource, sys
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
if os.path.exists("/proc/self/status"):
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    peak = int(fields["VmHWM"].split()[0]) * 1024
print(peak, "scipy" in sys.modules)
"""


def w6(config: Config) -> Table:
    """Run W6: time and memory of the import, in fresh processes."""
    table = Table("W6", "import in a fresh process: time of the whole process and its peak memory")
    wanted = [
        (name, code)
        for name, code in _IMPORTS
        if not (name == OURS and "ours" not in config.who)
        and not (name == "scipy.optimize" and "scipy" not in config.who)
    ]
    times: dict[str, list[float]] = {name: [] for name, _ in wanted}
    memory: dict[str, list[float]] = {name: [] for name, _ in wanted}
    # In turn, so that a slow moment of the machine does not fall on one of them alone.
    for _ in range(1 if config.smoke else 10):
        for name, code in wanted:
            begin = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", code + _REPORT], check=True, capture_output=True, text=True
            )
            times[name].append(time.perf_counter() - begin)
            peak, scipy_loaded = done.stdout.split()
            memory[name].append(float(peak))
            early = name == OURS and scipy_loaded == "True"
            table.expect(not early, f"import {OURS} imports scipy before it is used")
    for name, _ in wanted:
        peak_bytes = median(memory[name])
        note = f"{peak_bytes / 1e6:.0f} MB peak"
        if name == OURS:
            above = median(times[OURS]) - median(times["numpy"])
            note += f"; {above * 1e3:+.0f} ms against numpy"
        table.rows.append(
            Row(name, times[name], primary=name == OURS, note=note, extra={"peak bytes": peak_bytes})
        )
    return table


def w7(config: Config) -> Table:
    """Run W7: the bootstrap as a method, against plain refits of the same rows; and from a whole grid."""
    draws, part = (20, 2) if config.smoke else (4000, 400 if config.full else 20)
    table = Table("W7", f"fit.bootstrap of the Chinchilla fit, {draws:,} draws of 240 rows")
    table.notes.append("memory: peak above what the process held before the call, in a process of its own")
    runs = workloads.chinchilla_runs()
    _, best = ours.huber_fit(runs, workloads.GOOD_START, config.threads)
    drawn, times = timed(lambda: ours.bootstrap(best, draws, config.threads), repeat=config.repeat)
    table.rows.append(row := Row(f"{OURS}, pairs", times, primary=True))
    weights = drawn.weights()
    (ends, _, _), times = timed(lambda: ours.refits(best, weights, config.threads), repeat=config.repeat)
    # The same rows from the same start: the bootstrap must find what plain refits find.
    same = bool(np.allclose(ends, drawn.ends, rtol=1e-5))
    table.expect(same, "the bootstrap and plain refits of its rows end at different parameters")
    plain = Row(f"{OURS}, plain refits of the same rows", times, note="fit.refit(weights)")
    table.rows.append(plain)
    row.note = f"{row.seconds / plain.seconds:.2f} times the plain refits"
    _, times = timed(lambda: ours.bootstrap(best, 10 * draws, config.threads), repeat=min(3, config.repeat))
    text = f"ten times the time if linear: {median(times) / row.seconds:.1f}"
    table.rows.append(Row(f"{OURS}, pairs, {10 * draws:,} draws", times, note=text))
    for kind in ("wild", "residual", "parametric"):
        _, times = timed(
            lambda k=kind: ours.bootstrap(best, draws, config.threads, kind=k),  # type: ignore[misc]
            repeat=config.repeat,
        )
        table.rows.append(Row(f"{OURS}, {kind}", times))
    grid, times = timed(lambda: ours.bootstrap(best, part, config.threads, starts_per_draw="paper"), repeat=1)
    moved = float(np.mean(grid.objective < drawn.objective[:part] * (1.0 - AT_OPTIMUM)))
    note = f"4,500 starts a draw; {moved:.1%} of the draws lower than from the best fit"
    table.rows.append(Row(f"{OURS}, full grid, 400 draws", times, scale=400 / part, note=note))
    worse = bool((grid.objective > drawn.objective[:part] * (1.0 + AT_OPTIMUM)).any())
    table.expect(not worse, "a draw refitted from the whole grid ends above the one from the best fit")
    if not config.smoke:
        small, large = (probe.bootstrap_memory(count) for count in (draws, 10 * draws))
        each = (large - small) / (9 * draws)
        table.notes.append(
            f"peak memory: {small / 1e6:.1f} MB for {draws:,} draws, {large / 1e6:.1f} MB for ten times as "
            f"many: {each:.0f} bytes a draw, of which its result takes {ours.DRAW_BYTES}"
        )
    return table


def kernels(config: Config) -> Table:
    """Run K: nanoseconds a row of value, gradient and Hessian, through ``Law`` in Python."""
    rows = 2000 if config.smoke else 100_000
    table = Table("K", f"value, gradient and Hessian through sl.Law, {rows:,} rows, one thread; time per row")
    if "ours" in config.who:
        for name, found in ours.kernel_rates(rows, 1 if config.smoke else 5):
            note = ", ".join(f"{kind} {rate:.3g} ns" for kind, rate in found.items())
            table.rows.append(Row(name, [sum(found.values()) * 1e-9], note=note, extra=found))
    return table
