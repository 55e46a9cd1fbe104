"""The command ``scalinglaws``. Needs the extra ``cli`` (typer, rich)."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code.

    Exit codes: 0 for a valid fit, 1 for a fit that is not valid, 2 for bad input.
    """
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("typer", "rich", "click"):
            raise
        print("scalinglaws: the command line needs an extra: pip install 'scalinglaws[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
    app()
