"""Simulate, make intervals of every kind, and write the table: ``python -m benches.coverage``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benches.coverage.designs import DESIGNS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benches.coverage", description=__doc__)
    parser.add_argument("--only", metavar="NAME,NAME", help=f"designs, of {', '.join(DESIGNS)}")
    parser.add_argument("--sets", type=int, default=1000, help="data sets of each design (1000)")
    parser.add_argument("--draws", type=int, default=199, help="bootstrap draws of each data set (199)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything (0)")
    parser.add_argument("--processes", type=int, default=2, help="processes (2)")
    parser.add_argument(
        "--work", type=Path, default=Path("coverage-work"), help="folder of finished blocks, to go on from"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("docs/coverage.md"), help="table to write, with a CSV file beside it"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen designs and write the table."""
    # Not above: they load the library, which the help does not need.
    from benches.coverage.report import write_report
    from benches.coverage.study import run_design

    parser = _parser()
    options = parser.parse_args(arguments)
    names = list(DESIGNS) if options.only is None else [name.strip() for name in options.only.split(",")]
    for name in names:
        if name not in DESIGNS:
            parser.error(f"{name!r} is not one of {', '.join(DESIGNS)}")
    for name in ("sets", "draws", "processes"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    results = [
        run_design(name, options.sets, options.draws, options.seed, options.work, options.processes)
        for name in names
    ]
    write_report(results, options.out, options.sets, options.draws, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
