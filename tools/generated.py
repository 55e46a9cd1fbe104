"""What the tools that write files have in common: they write, or compare with ``--check``."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

__all__ = ["write_or_check"]


def write_or_check(
    arguments: list[str],
    make: Callable[[], Mapping[Path, str]],
    target: str,
    *,
    leftover: Callable[[Mapping[Path, str]], Iterable[Path]] = lambda files: (),
    repeatable: Callable[[str], str] = lambda text: text,
) -> int:
    """Write generated files, or compare them with what would be written.

    Parameters
    ----------
    arguments : list of str
        Of the command: empty, or ``--check``.
    make : callable
        Returns the text of each file.
    target : str
        The target of the Makefile that writes them.
    leftover : callable, optional
        Returns files of an earlier run that should not exist any more.
    repeatable : callable, optional
        Takes out of a text what changes from run to run.

    Returns
    -------
    int
        The exit code: 1 if a file is not up to date, 2 for other arguments.
    """
    if arguments not in ([], ["--check"]):
        print(f"usage: make {target}, or this tool with no argument or --check", file=sys.stderr)
        return 2
    files = make()
    old = list(leftover(files))
    if not arguments:
        for path in old:
            path.unlink()
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return 0
    stale = 0
    for path in old:
        print(f"{path} is not up to date, it should be gone: run `make {target}`", file=sys.stderr)
        stale += 1
    for path, text in files.items():
        # As bytes, because reading text forgives other ends of lines.
        there = path.read_bytes().decode() if path.is_file() else ""
        before, after = repeatable(there), repeatable(text)
        if before != after or not path.is_file():
            lines = before.splitlines(), after.splitlines()
            print(
                "\n".join(difflib.unified_diff(*lines, str(path), "now", n=0, lineterm="")), file=sys.stderr
            )
            print(f"{path} is not up to date: run `make {target}`", file=sys.stderr)
            stale += 1
    return 1 if stale else 0
