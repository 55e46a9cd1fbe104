"""Exceptions and warnings of the package, and the wording they share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["BackendError", "DataError", "FitWarning", "FormulaError"]

# A caret under a line wider than a terminal points at nothing; longer lines are cut around the position.
_CONTEXT = 50


class FormulaError(ValueError):
    """A formula or a condition that cannot be understood.

    Parameters
    ----------
    message : str
        What is wrong, in one sentence without a final newline.
    text : str, optional
        The whole formula.
    position : int, optional
        Index of the offending character in `text`, counted in characters from 0.

    Examples
    --------
    >>> print(FormulaError("unknown function 'epx'", "L ~ epx(x)", 4))
    unknown function 'epx'
      L ~ epx(x)
          ^
    """

    def __init__(self, message: str, text: str = "", position: int | None = None) -> None:
        # All three stay in `args`, so that the exception survives pickling between processes.
        super().__init__(message, text, position)
        self.message = message
        self.text = text
        self.position = position

    def __str__(self) -> str:
        """Return the message, followed by the line of the formula and a caret."""
        if not self.text or self.position is None:
            return self.message
        position = min(max(self.position, 0), len(self.text))
        start = self.text.rfind("\n", 0, position) + 1
        stop = self.text.find("\n", position)
        line = self.text[start : len(self.text) if stop < 0 else stop]
        column = position - start
        left = max(0, column - _CONTEXT) if len(line) > 2 * _CONTEXT else 0
        right = min(len(line), column + _CONTEXT) if len(line) > 2 * _CONTEXT else len(line)
        before, after = ("..." if left else ""), ("..." if right < len(line) else "")
        lead = before + line[left:column]
        pad = "".join("\t" if character == "\t" else " " for character in lead)
        return f"{self.message}\n  {before}{line[left:right]}{after}\n  {pad}^"


class DataError(ValueError):
    """A table or an array that cannot be fitted.

    Parameters
    ----------
    message : str
        What is wrong; it names the column and the first offending rows.
    column : str, optional
        The column at fault.
    rows : sequence of int, optional
        Indices of the first offending rows.
    """

    def __init__(self, message: str, column: str | None = None, rows: Sequence[int] = ()) -> None:
        super().__init__(message, column, tuple(rows))
        self.message = message
        self.column = column
        self.rows = tuple(rows)

    def __str__(self) -> str:
        """Return the message."""
        return self.message


class BackendError(RuntimeError):
    """A backend that is missing or that failed inside; never a fault of the caller's data."""


class FitWarning(UserWarning):
    """A fit whose answer should not be used as it is, with what to do about it."""


def near(name: str, candidates: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the candidate nearest to `name`, or an empty string.

    Parameters
    ----------
    name : str
        The name that was not found.
    candidates : iterable of str
        The names that exist.

    Returns
    -------
    str
        A sentence with a leading space, to be appended to an error message.
    """
    known = list(candidates)
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not found:
        # Capital and small letters are different names in a formula, and the commonest slip.
        found = [other for other in known if other.lower() == name.lower()][:1]
    return f" Did you mean {found[0]!r}?" if found else ""
