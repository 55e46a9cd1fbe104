"""Write the table of published fits, ``docs/published.md``: what papers report on measured runs, and ours.

``python tools/published.py`` fits every data set again and writes the page; with ``--check`` it only
compares, and leaves with 1 if the page is not what it would write, seconds and hits aside. The measured runs
are read from the folder ``SCALINGLAWS_TEST_DATA``, else from ``../shared/data``.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

# The runs are prepared as in the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import published_compute
import published_data
import published_transfer
from generated import write_or_check
from measured import Read, Table, data_folder, read_csv
from published_row import SCIPY, Row, printed

PAGE = Path(__file__).resolve().parents[1] / "docs" / "published.md"
SECTIONS = (*published_compute.SECTIONS, *published_data.SECTIONS, *published_transfer.SECTIONS)
HEAD = ("law", "data", "compared", "published", "ours", "ratio", "verdict", "best basin", "s")

TEXT = f"""\
# Published fits, fitted again

Every data set with known numbers, fitted by the library.
{{counts}}.
`make published` fits all of them again and writes this page.

- **published**: as printed, and who printed it. *{SCIPY}*: no paper has the number; it comes from a plain
  SciPy fit of the same rows, made when the data were collected, by other code than ours.
- **ours**: the same quantities, written to the same digit.
- **ratio**: where it says *obj.*, of objectives: ours over that of the published coefficients on the same
  rows. Else of the numbers, ours over published; of several, the one furthest from 1.
- **verdict**: *same*: all printed digits agree. *lower*: they do not, and our objective is lower, so that the
  printed numbers are not the minimum. *differs*: the note says why. Brackets point to notes below the table.
- **best basin**: starts that ended in the best minimum, of those that were solved. By default these are the
  best 64 of 512. Several fits behind one row are added up. Empty where nothing is searched.
- **s**: seconds of the calls on one slow core, without reading the files.

An objective is a sum over rows, and residuals are of the logarithm, unless it says otherwise.

"""


def reader(folder: Path) -> Read:
    """Return the function that reads a file of a folder, once for each choice of rows.

    Parameters
    ----------
    folder : Path
        The measured data.

    Returns
    -------
    callable
        As `measured.Read`.
    """
    known: dict[tuple[str, tuple[tuple[str, str], ...]], Table] = {}

    def read(name: str, **where: str) -> Table:
        key = name, tuple(where.items())
        if key not in known:
            known[key] = read_csv(folder / name, **where)
        return dict(known[key])

    return read


def page(rows: Sequence[Row]) -> str:
    """Return the text of the page.

    Parameters
    ----------
    rows : sequence of Row
        The rows, in order.

    Returns
    -------
    str
        Markdown.
    """
    counts = Counter(row.verdict for row in rows)
    said = (
        f"Of {len(rows)} rows {counts['same']} agree, {counts['lower']} are lower and {counts['differs']} "
        "differ"
    )
    notes = {note: at for at, note in enumerate(dict.fromkeys(row.note for row in rows if row.note), 1)}
    table = [HEAD, ("---",) * len(HEAD), *(cells(row, notes) for row in rows)]
    lines = [f"| {' | '.join(line)} |" for line in table]
    listed = [f"{at}. {escaped(note)}" for note, at in notes.items()]
    return TEXT.format(counts=said) + "\n".join([*lines, "", "## Notes", "", *listed]) + "\n"


def cells(row: Row, notes: dict[str, int]) -> tuple[str, ...]:
    """Return the cells of a row.

    Parameters
    ----------
    row : Row
        The row.
    notes : dict of str to int
        Numbers of the notes.

    Returns
    -------
    tuple of str
        One for each column.
    """
    ours = ", ".join(printed(x, text) for x, text in zip(row.ours, row.published, strict=True))
    mark = f" [{notes[row.note]}]" if row.note else ""
    search = row.search
    return (
        f"`{row.name}`",
        escaped(row.data),
        escaped(row.compared),
        f"{', '.join(row.published)} ({escaped(row.source)})",
        ours,
        ("obj. " if row.objective else "") + ratio(row.ratio),
        row.verdict + mark,
        f"{search.hits} of {search.solved}" if search.solved else "",
        f"{search.seconds:.2f}",
    )


def ratio(x: float) -> str:
    """Write a ratio so that its distance from 1 shows.

    Parameters
    ----------
    x : float
        A ratio.

    Returns
    -------
    str
        Six decimals near 1, else four digits.

    Examples
    --------
    >>> ratio(0.9999951), ratio(0.76589), ratio(4.807)
    ('0.999995', '0.7659', '4.807')
    """
    return f"{x:.6f}" if abs(x - 1.0) < 0.01 else f"{x:.4g}"


def escaped(text: str) -> str:
    r"""Return text in which Markdown sees no markup.

    Parameters
    ----------
    text : str
        Plain text.

    Returns
    -------
    str
        The same with backslashes.

    Examples
    --------
    >>> print(escaped("D* | L_c4"))
    D\* \| L\_c4
    """
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", text)


def repeatable(text: str) -> str:
    """Return a page without what changes from run to run.

    Parameters
    ----------
    text : str
        A page.

    Returns
    -------
    str
        The same without seconds, and without the starts that reached the best basin: the last bits of the
        instruction set decide about a few of them.
    """
    return re.sub(r"(?m)^(\|.*\|) (\d+ )?(of \d+)? ?\| [\d.]+ \|$", r"\1 \3 |", text)


def pages(folder: Path) -> dict[Path, str]:
    """Fit everything and return the page under its path."""
    read = reader(folder)
    return {PAGE: page([row for section in SECTIONS for row in section(read)])}


def main(arguments: list[str]) -> int:
    """Write or check the page; see `write_or_check`. Leaves with 2 where there are no measured data."""
    folder = data_folder()
    if not folder.is_dir():
        print(f"no measured data at {folder}: set SCALINGLAWS_TEST_DATA", file=sys.stderr)
        return 2
    return write_or_check(arguments, lambda: pages(folder), "published", repeatable=repeatable)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
