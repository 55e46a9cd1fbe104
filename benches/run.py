"""Run the benchmark and print one table per workload: ``python -m benches.run``."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:
    # Run as a script: the suite is a package beside the library.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from benches.baselines.workers import Workers
    from benches.measure import Table
    from benches.suite import Config

WORKLOADS = ("W1", "W2", "W3", "W4", "W5", "W6", "W7", "K")
METHODS = ("ours", "numpy", "scipy")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benches.run", description=__doc__)
    parser.add_argument("--only", metavar="W1,W2", help=f"workloads to run, of {','.join(WORKLOADS)}")
    parser.add_argument("--who", metavar="ours,numpy", help=f"methods to run, of {','.join(METHODS)}")
    parser.add_argument(
        "--smoke", action="store_true", help="tiny sizes: a test that exits 1 on a wrong answer"
    )
    parser.add_argument(
        "--full", action="store_true", help="all starts for scipy too (minutes), no scaling up"
    )
    parser.add_argument("--repeat", type=int, default=9, help="repeats of a measurement at most (9)")
    parser.add_argument("--threads", type=int, help="threads of scalinglaws (its default)")
    parser.add_argument("--processes", type=int, default=2, help="processes of the NumPy baseline (2)")
    parser.add_argument("--residual", choices=("linear", "log"), default="linear", help="for W5 (linear)")
    parser.add_argument("--json", metavar="OUT", type=Path, help="also write all figures to this file")
    return parser


def _chosen(given: str | None, known: tuple[str, ...], parser: argparse.ArgumentParser) -> tuple[str, ...]:
    if given is None:
        return known
    names = tuple(name.strip() for name in given.split(","))
    for name in names:
        if name not in known:
            parser.error(f"{name!r} is not one of {', '.join(known)}")
    return names


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen workloads; 0 if every answer is right, 1 if one is wrong, 2 if nothing can be run."""
    # Not above: the processes of the NumPy baseline import this module too and need none of it.
    from benches import ours
    from benches.measure import machine
    from benches.suite import Config

    parser = _parser()
    options = parser.parse_args(arguments)
    names = _chosen(options.only, WORKLOADS, parser)
    who = frozenset(_chosen(options.who, METHODS, parser))
    if "ours" in who and not ours.available():
        print("scalinglaws is not installed: install it, or run the peers alone with --who numpy,scipy")
        return 2
    config = Config(
        who=who,
        smoke=options.smoke,
        full=options.full,
        repeat=1 if options.smoke else max(1, options.repeat),
        threads=options.threads,
        processes=max(1, options.processes),
        residual=options.residual,
    )
    facts = machine()
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    tables = _run_all(names, config)
    problems = [problem for table in tables for problem in table.problems]
    for problem in problems:
        print(f"WRONG {problem}")
    if options.json is not None:
        report = {"machine": facts, "workloads": {table.key: table.as_dict() for table in tables}}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if problems else 0


def _run_all(names: tuple[str, ...], config: Config) -> list[Table]:
    from benches import suite
    from benches.baselines.workers import Workers

    tables = []
    with ExitStack() as stack:
        workers: Workers | None = None
        if "numpy" in config.who and {"W2", "W3", "W4"} & set(names):
            # Processes that wait for work take no time from the other measurements.
            workers = stack.enter_context(Workers(config.processes))
        for name in names:
            if name in ("W7", "K") and "ours" not in config.who:
                continue
            if name in ("W2", "W3", "W4"):
                table = {"W2": suite.w2, "W3": suite.w3, "W4": suite.w4}[name](config, workers)
            else:
                alone = {"W1": suite.w1, "W5": suite.w5, "W6": suite.w6, "W7": suite.w7, "K": suite.kernels}
                table = alone[name](config)
            tables.append(table)
            print(f"\n{table.text()}", flush=True)
    return tables


if __name__ == "__main__":
    sys.exit(main())
