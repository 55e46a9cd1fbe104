"""Where a table or a key stands in the text of a TOML file, for messages."""

from __future__ import annotations

import re
from typing import TypeAlias

__all__ = ["Place", "line_of", "spoken_place"]

Place: TypeAlias = tuple[str | int, ...]
"""A table and perhaps a key in it: ``("params", "alpha")``, ``("check", 2, "result")``."""


def spoken_place(place: Place) -> str:
    """Return a place as messages name it.

    Examples
    --------
    >>> spoken_place(("check", 2, "result"))
    'check[2].result'
    """
    out = ""
    for part in place:
        out += f"[{part}]" if isinstance(part, int) else (f".{part}" if out else part)
    return out


def line_of(text: str, place: Place) -> int:
    r"""Return the line on which a table or key begins, else that of the nearest table around it.

    Parameters
    ----------
    text : str
        The file. `tomllib` does not tell lines, so headers and keys are looked for by their form.
    place : tuple of str and int
        Keys from the outside in; a number counts the tables ``[[...]]`` of one name from 0.

    Returns
    -------
    int
        Counted from 1; 1 if nothing of it is found.

    Examples
    --------
    >>> line_of("title = 'x'\n[params]\nA = { domain = 'real' }", ("params", "A", "domain"))
    3
    """
    tables = [str(part) for part in place if not isinstance(part, int)]
    index = next((part for part in place if isinstance(part, int)), 0)
    best, depth, seen, header = 1, 0, -1, []
    # What looks like a key inside a text over several lines is none.
    bare = re.sub(r"(\'\'\'|\"\"\").*?\1", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)
    for number, line in enumerate(bare.splitlines(), start=1):
        if match := re.match(r"\s*(\[\[?)\s*([\w.\-\" ]+?)\s*\]\]?\s*(#.*)?$", line):
            header = [part.strip(' "') for part in match[2].split(".")]
            seen += match[1] == "[[" and header == tables[:1]
            here = header
        elif match := re.match(r"\s*([\w\-{}]+|\"[^\"]+\")\s*=", line):
            here = [*header, match[1].strip('"')]
        else:
            continue
        if match[0].lstrip().startswith("[[") or header == tables[:1]:
            is_array = any(isinstance(part, int) for part in place)
            if is_array and seen != index:
                continue
        if here == tables[: len(here)] and len(here) > depth:
            best, depth = number, len(here)
    return best
