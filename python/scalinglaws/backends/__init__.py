"""Backends: two independent ways to solve the same problem.

``"rust"`` is the compiled solver; ``"scipy"`` goes through `scalinglaws.reference` and `scipy.optimize`,
shares no code with the first, and is there to check it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, cast

from ..errors import near

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..lines import Line, Walk
    from ..problem import Problem, Solutions

__all__ = ["BACKENDS", "Backend", "Interrupt", "Progress", "get_backend"]

BACKENDS = ("rust", "scipy")
Interrupt: TypeAlias = Literal["raise", "keep"]
Progress: TypeAlias = Callable[[int, int], object]


class Backend(Protocol):
    """A module that solves problems."""

    def solve(
        self,
        problem: Problem,
        starts: NDArray[np.float64],
        *,
        screen: int | None = None,
        weights: NDArray[np.float64] | None = None,
        max_iter: int | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
        on_interrupt: Interrupt = "raise",
    ) -> Solutions:
        """Solve `problem` from every start.

        Parameters
        ----------
        problem : Problem
            The problem.
        starts : ndarray of float, shape (m, k)
            Starts in natural units, in the order of `problem.names`; entries of fixed parameters are ignored.
        screen : int, optional
            Solve only this many starts, those of lowest objective; the others get the status ``"screened"``.
        weights : ndarray of float, shape (m, n), optional
            Refit the problem with row i of weights, from ``starts[i]`` or, if there is only one start, from
            that.
        max_iter : int, optional
            Limit on the steps of one local fit.
        threads : int, optional
            Number of threads.
        progress : callable, optional
            Called as ``progress(done, total)`` from the calling thread.
        on_interrupt : {"raise", "keep"}, default "raise"
            What Ctrl-C does: raise, or return what is done with the rest marked ``"cancelled"``.

        Returns
        -------
        Solutions
            One row per start, or per row of weights.
        """

    def walk(self, problem: Problem, line: Line) -> Walk:
        """Walk away from an optimum while parameters are held, until the objective has risen too far.

        Parameters
        ----------
        problem : Problem
            The problem; the held parameters are free in it.
        line : Line
            What is held, in which direction to go, and how far.

        Returns
        -------
        Walk
            Its end and all refits that it made.
        """


def get_backend(name: str) -> Backend:
    """Return the backend of that name.

    Parameters
    ----------
    name : {"rust", "scipy"}
        The name.

    Returns
    -------
    Backend
        A module with the functions ``solve`` and ``walk``.

    Raises
    ------
    ValueError
        If there is no such backend.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend must be 'rust' or 'scipy', not {name!r}.{near(str(name), BACKENDS)}")
    return cast(Backend, import_module(f"{__name__}.{name}"))
