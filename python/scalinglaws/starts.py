"""Starts of a fit: a number, the paper's grid, one mapping or an array becomes checked parameter vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .errors import near

if TYPE_CHECKING:
    from .law import Law
    from .param import Param
    from .problem import Problem

__all__ = [
    "Rng",
    "StartKind",
    "StartPoints",
    "StartsLike",
    "free_params",
    "make_starts",
    "paper_grid",
    "revived",
    "seed_of",
    "start_range",
]

StartKind: TypeAlias = Literal["sobol", "paper", "one", "array"]
StartsLike: TypeAlias = int | str | Mapping[str, Any] | ArrayLike
# As text, because naming numpy.random loads it, and the import of the package would wait for that.
Rng: TypeAlias = "int | np.random.Generator | np.random.SeedSequence | None"


@dataclass(frozen=True, eq=False)
class StartPoints:
    """Where local fits begin.

    Parameters
    ----------
    theta : ndarray of float, shape (m, k)
        Starts in natural units, in the order of the problem's names.
    kind : {"sobol", "paper", "one", "array"}
        Where they come from.
    screen : int or None
        How many of them, the best by objective, are to be solved; None for all.
    seed : int or None
        Seed of the Sobol scrambling.
    """

    theta: NDArray[np.float64]
    kind: StartKind
    screen: int | None
    seed: int | None


def make_starts(
    problem: Problem, law: Law, starts: StartsLike, *, rng: Rng = 0, screen: int | bool | None = None
) -> StartPoints:
    """Turn the ``starts`` option into parameter vectors.

    Parameters
    ----------
    problem : Problem
        The problem to be solved; its law lacks the parameters that are tied.
    law : Law
        The law as the user gave it: an array of starts has its columns.
    starts : int, "paper", mapping or array_like
        The option of `fit`.
    rng : int, numpy.random.Generator, numpy.random.SeedSequence or None
        Seed of the Sobol sequence; None takes one from the operating system.
    screen : int, bool or None
        How many starts to solve; 0 or False for all, None for all except of a Sobol sequence, where the best
        eighth by objective is solved, but not fewer than 32.

    Returns
    -------
    StartPoints
        Starts inside the domains of their parameters.

    Raises
    ------
    ValueError
        If there is no range to start from, a start lies outside its domain, or an option is not understood.
    """
    seed: int | None = None
    kind: StartKind
    if isinstance(starts, str):
        if starts != "paper":
            raise ValueError(f"starts must be a number, 'paper', a mapping or an array, not {starts!r}")
        theta, kind = paper_grid(problem, law), "paper"
    elif isinstance(starts, Mapping):
        theta, kind = _one(problem, law, starts), "one"
    elif isinstance(starts, (int, np.integer)) and not isinstance(starts, bool):
        if starts < 1:
            raise ValueError(f"starts must be at least 1, not {starts}")
        seed = seed_of(rng)
        theta, kind = _sobol(problem, int(starts), seed), "sobol"
    else:
        theta, kind = _array(problem, law, starts), "array"
    _check_domains(problem, theta)
    return StartPoints(theta, kind, _screen(screen, kind, len(theta)), seed)


def _screen(screen: int | bool | None, kind: StartKind, count: int) -> int | None:
    if screen is None:
        solve = max(32, count // 8) if kind == "sobol" else count
    elif screen is True or not isinstance(screen, (int, np.integer)) or screen < 0:
        raise ValueError(f"screen must be the number of starts to solve, or 0 for all, not {screen!r}")
    else:
        solve = int(screen) or count
    return solve if solve < count else None


def seed_of(rng: Rng) -> int:
    """Draw a seed for a Sobol sequence.

    Parameters
    ----------
    rng : int, numpy.random.Generator, numpy.random.SeedSequence or None
        The option of `fit`; a Generator is advanced.

    Returns
    -------
    int
        A number is its own seed.

    Raises
    ------
    ValueError
        If the option is none of these.
    """
    if rng is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**63))
    if isinstance(rng, np.random.SeedSequence):
        return int(rng.generate_state(1, np.uint64)[0] >> 1)
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and 0 <= rng < 2**64:
        return int(rng)
    raise ValueError(f"rng must be an integer from 0, a numpy Generator, a SeedSequence or None, not {rng!r}")


def _blank(problem: Problem, rows: int) -> NDArray[np.float64]:
    """Vectors that already hold the fixed values."""
    theta = np.full((rows, len(problem.names)), np.nan)
    for index, name in enumerate(problem.names):
        if name in problem.fixed:
            theta[:, index] = problem.fixed[name]
    return theta


def free_params(problem: Problem) -> list[tuple[int, str, Param]]:
    """Return position, expanded name and declaration of each free parameter."""
    return [
        (index, name, problem.law.params[owner])
        for index, (name, owner) in enumerate(zip(problem.names, problem.owners, strict=True))
        if problem.free[index]
    ]


def _sobol(problem: Problem, count: int, seed: int) -> NDArray[np.float64]:
    free = free_params(problem)
    theta = _blank(problem, count)
    unit = _core.sobol(count, len(free), seed)
    for column, (index, name, param) in enumerate(free):
        low, high = start_range(name, param)
        u = unit[:, column]
        if param.sampling == "log":
            theta[:, index] = np.exp(math.log(low) + u * (math.log(high) - math.log(low)))
        else:
            theta[:, index] = low + u * (high - low)
        # Rounding must not push the last point out of its range.
        np.clip(theta[:, index], low, high, out=theta[:, index])
    return theta


def revived(problem: Problem, theta: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return a start for refits of a fit in which terms have vanished: from zero there is no way back.

    Parameters
    ----------
    problem : Problem
        What was fitted.
    theta : ndarray of float, shape (k,)
        The fit.

    Returns
    -------
    list of ndarray
        The fit with positive parameters that are zero at the low end of their start range; empty if none is.
    """
    out = theta.copy()
    for index, name, param in free_params(problem):
        if param.kind == "positive" and theta[index] == 0.0 and param.start is not None:
            out[index] = start_range(name, param)[0]
    return [out] if (out != theta).any() else []


def start_range(name: str, param: Param) -> tuple[float, float]:
    """Return where the starts of a parameter are drawn from.

    Parameters
    ----------
    name : str
        What messages call it.
    param : Param
        Its declaration.

    Returns
    -------
    float, float
        The range that was declared, or a finite box; twice the same number for a single start.

    Raises
    ------
    ValueError
        If there is neither.
    """
    start = param.start
    if isinstance(start, tuple):
        return start
    if start is not None:
        return start, start
    low, high = param.bounds
    if param.kind == "box" and math.isfinite(low) and math.isfinite(high):
        return low, high
    raise ValueError(
        f"parameter {name!r} has no start range: declare it as Param({param.domain!r}, start=(low, high)), "
        f"give one start with starts={{{name!r}: value, ...}}, or fix it with fixed={{{name!r}: value}}"
    )


def paper_grid(problem: Problem, law: Law) -> NDArray[np.float64]:
    """Return the starts of the grid of the law's paper, shape (m, k); ValueError if it has none."""
    if law.grid is None:
        raise ValueError("starts='paper' needs a law with a paper's grid; this one has none: give a number")
    # The categories of a grouped parameter move together: a product over them would not end.
    owners = list(dict.fromkeys(problem.owners[index] for index, _, _ in free_params(problem)))
    points = list(product(*(law.grid[owner] for owner in owners)))
    theta = _blank(problem, len(points))
    columns = np.array(points, dtype=np.float64)
    for index, owner in enumerate(problem.owners):
        if problem.free[index]:
            theta[:, index] = columns[:, owners.index(owner)]
    return theta


def _one(problem: Problem, law: Law, start: Mapping[str, Any]) -> NDArray[np.float64]:
    given: dict[str, float] = {}
    for name, value in start.items():
        if isinstance(value, Mapping):
            given.update({f"{name}[{label}]": number for label, number in value.items()})
        else:
            given[name] = value
    known = {*problem.names, *problem.owners, *law.params}
    for name in given:
        if name not in known:
            raise ValueError(f"starts names {name!r}, which the law does not have.{near(name, known)}")
    theta = _blank(problem, 1)
    for index, name, param in free_params(problem):
        if name in given or problem.owners[index] in given:
            theta[0, index] = _number(name, given.get(name, given.get(problem.owners[index])))
        else:
            low, high = start_range(name, param)
            theta[0, index] = math.sqrt(low * high) if param.sampling == "log" else 0.5 * (low + high)
    return theta


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"the start for {name!r} must be a number, not {value!r}") from None


def _array(problem: Problem, law: Law, starts: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.array(starts, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("starts must be a number, 'paper', a mapping of names, or an array") from None
    array = np.atleast_2d(array)
    # The array has the columns of the law as given; those of tied parameters play no part.
    columns: list[str] = []
    for owner in law.params:
        names = [n for n, o in zip(problem.names, problem.owners, strict=True) if o == owner]
        columns.extend(names or [owner])
    if array.ndim != 2 or array.shape[1] != len(columns) or not len(array):
        raise ValueError(
            f"an array of starts has one row per start and the columns {', '.join(columns)}; "
            f"its shape is {np.shape(starts)}"
        )
    theta = _blank(problem, len(array))
    for index, name, _ in free_params(problem):
        theta[:, index] = array[:, columns.index(name)]
    return theta


def _check_domains(problem: Problem, theta: NDArray[np.float64]) -> None:
    for index, name, param in free_params(problem):
        low, high = param.bounds
        column = theta[:, index]
        inside = (column > low if param.kind == "positive" else column >= low) & (column <= high)
        bad = np.flatnonzero(~(inside & np.isfinite(column)))
        if bad.size:
            where = f" (start {bad[0]})" if len(theta) > 1 else ""
            raise ValueError(
                f"the start {float(column[bad[0]])!r} for {name!r}{where} "
                f"lies outside its domain {param.domain!r}"
            )
