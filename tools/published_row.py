"""One row of the table of published fits: what was printed, what the library finds, and how they compare."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import scalinglaws as sl
from measured import same_digits

T = TypeVar("T")
Verdict = Literal["same", "lower", "differs"]

SCIPY = "SciPy fit"
"""Source of numbers that no paper printed: a plain SciPy fit of the same rows."""


@dataclass
class Search:
    """Starts and seconds of the fits behind a row, summed over them.

    Parameters
    ----------
    hits, solved : int
        Starts that ended in the best basin, and starts that were solved.
    seconds : float
        Wall time of the calls.
    """

    hits: int = 0
    solved: int = 0
    seconds: float = 0.0

    def run(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call a function and add its time, and the starts of what it returns.

        Parameters
        ----------
        function : callable
            The function. Its warnings about fits are not shown: each row says what there is.
        *args, **options
            Its arguments.

        Returns
        -------
        object
            What it returns. The starts of a `Fit` are added, or of all of a `Fits`.
        """
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sl.FitWarning)
            made = function(*args, **options)
        self.seconds += time.perf_counter() - began
        fits = made.values() if isinstance(made, sl.Fits) else [made] if isinstance(made, sl.Fit) else []
        for fit in fits:
            self.hits += fit.starts.hits
            self.solved += fit.starts.solved
        return made

    def fit(self, *args: Any, **options: Any) -> sl.Fit:
        """Fit, and add starts and time.

        Parameters
        ----------
        *args, **options
            As for `scalinglaws.fit`.

        Returns
        -------
        Fit
            The fit.
        """
        return self.run(sl.fit, *args, **options)


@dataclass(frozen=True)
class Row:
    """Numbers of one paper beside ours.

    Parameters
    ----------
    law : Law or str
        The law, or its name.
    data : str
        File, and which rows of it.
    compared : str
        What the numbers are.
    published : tuple of str
        Numbers as printed: their digits say how closely they are known.
    source : str
        Who printed them.
    ours : tuple of float
        The same quantities from our fit.
    search : Search
        The fits.
    objective : tuple of float, optional
        Our objective, and that of the published coefficients on the same rows.
    least : bool
        Whether the number is something to make small, so that less than published is better.
    note : str
        Why the numbers differ, or what to know about them; needed where they differ.

    Raises
    ------
    ValueError
        If there are not as many numbers as published ones, or they differ and no note says why.
    """

    law: sl.Law | str
    data: str
    compared: str
    published: tuple[str, ...]
    source: str
    ours: tuple[float, ...]
    search: Search = field(default_factory=Search)
    objective: tuple[float, float] | None = None
    least: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.ours) != len(self.published):
            raise ValueError(
                f"{self.label}: {len(self.published)} published numbers, {len(self.ours)} of ours"
            )
        if self.verdict == "differs" and not self.note:
            raise ValueError(f"{self.label}: {self.ours} differ from {self.published} and no note says why")

    @property
    def name(self) -> str:
        """Name of the law: its id, or its formula if it is not of the catalogue."""
        return self.law if isinstance(self.law, str) else self.law.id or self.law.formula

    @property
    def label(self) -> str:
        """Law, data and quantity, for messages."""
        return f"{self.name}, {self.data}, {self.compared}"

    @property
    def verdict(self) -> Verdict:
        """``"same"`` to the printed digits, else ``"lower"`` if our objective is, else ``"differs"``."""
        if all(same_digits(x, text) for x, text in zip(self.ours, self.published, strict=True)):
            return "same"
        if self.objective is not None:
            return "lower" if self.objective[0] < self.objective[1] else "differs"
        below = all(x < float(text) for x, text in zip(self.ours, self.published, strict=True))
        return "lower" if self.least and below else "differs"

    @property
    def ratio(self) -> float:
        """Ratio of the objectives if both are known, else of the numbers: of several the furthest from 1."""
        if self.objective is not None:
            return self.objective[0] / self.objective[1]
        ratios = [x / float(text) for x, text in zip(self.ours, self.published, strict=True)]
        return max(ratios, key=lambda ratio: abs(ratio - 1.0))


def printed(x: float, text: str) -> str:
    """Write a number with the digits of another.

    Parameters
    ----------
    x : float
        A number.
    text : str
        Printed digits.

    Returns
    -------
    str
        The number to the same last place, in the same notation.

    Examples
    --------
    >>> printed(2.0 / 3.0, "0.250"), printed(11307077.0, "1.130616e7"), printed(3.676740554e-5, "3.676741e-5")
    ('0.667', '1.130708e7', '3.676741e-5')
    """
    mantissa, _, exponent = text.partition("e")
    digits = len(mantissa.partition(".")[2])
    return f"{x / 10.0 ** int(exponent or 0):.{digits}f}" + (f"e{exponent}" if exponent else "")


def values(fit: sl.Fit, names: Sequence[str]) -> tuple[float, ...]:
    """Return some values of a fit.

    Parameters
    ----------
    fit : Fit
        A fit.
    names : sequence of str
        Parameters.

    Returns
    -------
    tuple of float
        Their values.
    """
    return tuple(fit.values[name] for name in names)


def rms(fit: sl.Fit) -> float:
    """Return the root mean square of the residuals of a fit, where they were taken.

    Parameters
    ----------
    fit : Fit
        A fit.

    Returns
    -------
    float
        Square root of the mean squared residual.
    """
    return float(np.sqrt(np.mean(fit.residuals**2)))
