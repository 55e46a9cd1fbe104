"""Whether a fit may be used: convergence, bounds, and directions that the runs do not determine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .inference import singular_directions, triangle

if TYPE_CHECKING:
    from .problem import Problem

__all__ = ["Verdict", "at_bounds", "judge"]

# Singular value of the Jacobian with columns of unit length: its square, 1e-12, is the smallest eigenvalue of
# the information matrix with a unit diagonal that rounding leaves meaningful.
_FLAT = 1e-6
# Below this a fit that did not converge is told which direction held it up.
_SLOW = 1e-2
# A positive parameter whose tenfold change moves no prediction by this share of the data's scale has gone.
_GONE = 1e-9
# Standard error of a logarithm beyond which a positive parameter is not bounded by the data on one side.
_LOOSE = 30.0
# A parameter without a bound that is this many times farther out than any start has run away.
_FAR = 1e4
# More rows than this are sampled first: rows that already determine everything need no company.
_SAMPLE = 1 << 14

_SUCCESS = ("converged", "bound")


@dataclass(frozen=True)
class Verdict:
    """The answer.

    Parameters
    ----------
    success : bool
        Whether the best local fit converged.
    valid : bool
        Whether it converged to an inner point that the runs determine.
    message : str
        What is wrong and what to do, or what to know, in words.
    """

    success: bool
    valid: bool
    message: str


def at_bounds(problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.int_]:
    """Return -1 for a parameter at its lower bound, 1 at its upper one, and 0 elsewhere or if fixed.

    Of one parameter vector or of many, shape (..., k).
    """
    low, high = problem.bounds.T
    with np.errstate(invalid="ignore"):
        width = np.where(np.isfinite(high - low), high - low, np.maximum(1.0, np.abs(theta)))
        lower = (theta - low) <= 1e-10 * width
        upper = (high - theta) <= 1e-10 * width
    # The domain of positive parameters is open, but the solver gives 0 for what is too small for a number.
    positive = np.array([problem.law.params[owner].kind == "positive" for owner in problem.owners])
    lower = np.where(positive, theta == 0.0, lower)
    side = np.where(lower, -1, np.where(upper & np.isfinite(high), 1, 0))
    return np.where(problem.free, side, 0)


def judge(problem: Problem, theta: NDArray[np.float64], status: str, dof: int) -> Verdict:
    """Decide whether a local fit may be used.

    Parameters
    ----------
    problem : Problem
        What was fitted.
    theta : ndarray of float, shape (k,)
        The best local fit, in the order of ``problem.names``.
    status : str
        Its status.
    dof : int
        Residual degrees of freedom.

    Returns
    -------
    Verdict
        The decision and its reasons.
    """
    success = status in _SUCCESS
    faults: list[str] = []
    if not success:
        faults.append(_STATUS[status])
    sides = at_bounds(problem, theta)
    for index in np.flatnonzero(sides):
        name, side = problem.names[index], "lower" if sides[index] < 0 else "upper"
        if problem.law.params[problem.owners[index]].kind == "positive":
            faults.append(
                f"{name} has run to 0: the runs show no such term; take it out (fixed={{{name!r}: 0}}), "
                "give it a prior, or use a simpler law"
            )
            continue
        faults.append(
            f"{name} ended on its {side} bound {theta[index]:g}: widen the domain, fix it there "
            f"(fixed={{{name!r}: {theta[index]:g}}}), or use a law without it"
        )
    faults.extend(_directions(problem, theta, problem.free & (sides == 0), dof, success))
    if dof < 0 and not problem.priors:
        faults.append("there are fewer rows than parameters")
    if faults:
        return Verdict(success, False, "; ".join(faults))
    if dof <= 0:
        return Verdict(
            True,
            True,
            "converged, but there are as many parameters as rows (dof = 0): the fit passes through the "
            "points and has no standard errors",
        )
    return Verdict(True, True, "converged")


_STATUS = {
    "stalled": "the best fit stalled before it reached a stationary point: try more starts, or look at the "
    "scale of the inputs",
    "iteration limit": "the best fit had not converged when it reached the limit of iterations: raise "
    "max_iter, use more starts, or a simpler law",
    "non-finite start": "the law is not finite at any start: change the start ranges or look at the inputs",
    "cancelled": "the fit was interrupted before the best start was solved",
    "screened": "no start was solved",
}


def _directions(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    dof: int,
    success: bool,
) -> list[str]:
    names = [name for name, taken in zip(problem.names, chosen, strict=True) if taken]
    if not names:
        return []
    step = max(1, problem.n // _SAMPLE)
    with np.errstate(all="ignore"):
        factor, rss = triangle(problem, theta, chosen, step=step)
        if not np.isfinite(factor).all():
            return ["the law has no finite derivatives at the solution: look at the inputs and the domains"]
        lengths, values, directions = singular_directions(factor)
        if step > 1 and not bool(np.all(values > _FLAT * values[0])):
            step = 1
            factor, rss = triangle(problem, theta, chosen)
            lengths, values, directions = singular_directions(factor)
    # The far ones come first: a parameter that has run away drags others into flat directions.
    faults, named = _runaways(problem, theta, chosen, math.sqrt(step) * lengths)
    reported = set(named)
    for value, direction in zip(values, directions, strict=True):
        if value > _FLAT * values[0]:
            continue
        involved = _involved(names, direction)
        if not reported.intersection(involved):
            faults.append(_flat(problem, involved))
            reported.update(involved)
    if not faults and not success and values[-1] < _SLOW * values[0]:
        words = _words(_involved(names, directions[-1]))
        faults.append(f"the flattest direction, along which the solver crawled, mixes {words}")
    if not faults and success and dof > 0 and rss > 0.0:
        # Rows left out by the sample would add to the noise and to the information in proportion.
        reach = np.sqrt(((directions / values[:, None]) ** 2).sum(axis=0))
        stderr = math.sqrt(rss / dof) * reach / np.where(lengths > 0.0, lengths, 1.0)
        faults.extend(_loose(problem, theta, chosen, stderr))
    return faults


def _involved(names: list[str], direction: NDArray[np.float64]) -> list[str]:
    """Parameters that make up most of a direction, at most four, in the order of the law."""
    size = np.abs(direction)
    order = [int(i) for i in np.argsort(-size, kind="stable") if size[i] > 0.1 * size.max()][:4]
    return [names[i] for i in sorted(order)]


def _flat(problem: Problem, involved: list[str]) -> str:
    constant = [name for name, column in problem.inputs.items() if problem.n > 1 and np.ptp(column) == 0.0]
    cause = ""
    if constant:
        verb = "is" if len(constant) == 1 else "are"
        cause = f" ({_words([repr(name) for name in constant])} {verb} the same in every row)"
    if len(involved) == 1:
        name = involved[0]
        return (
            f"{name} has no effect on the predictions{cause}: "
            f"fix it (fixed={{{name!r}: ...}}) or use a law without it"
        )
    return (
        f"{_words(involved)} trade off: the runs determine only a combination of them{cause}; "
        f"fix one of them (fixed={{{involved[0]!r}: ...}}), give one a prior, or add runs that separate them"
    )


def _runaways(
    problem: Problem, theta: NDArray[np.float64], chosen: NDArray[np.bool_], lengths: NDArray[np.float64]
) -> tuple[list[str], list[str]]:
    """Messages about parameters that left for zero or infinity, and the names they speak of."""
    scale = 1.0 if problem.residual == "log" else float(np.sqrt(np.mean(problem.target**2)))
    total = math.sqrt(float(problem.weights.sum())) * scale
    gone, faults, named = [], [], []
    for length, index in zip(lengths, np.flatnonzero(chosen), strict=True):
        name, value = problem.names[index], float(theta[index])
        if name in problem.priors:
            continue
        reach = _reach(problem, int(index))
        real = problem.law.params[problem.owners[index]].kind == "real"
        size = max(abs(value), reach or 0.0) if real else abs(value)
        if 0.0 < size * length <= _GONE * total:
            gone.append((name, value, real))
        elif real and reach is not None and abs(value) > _FAR * reach:
            named.append(name)
            faults.append(
                f"{name} has run away to {value:.3g}, far outside its start range: the best fit lies at "
                "infinity; fix it, give it a prior, or use a simpler law"
            )
    if gone:
        named += [name for name, _, _ in gone]
        values = ", ".join(f"{name} = {value:.3g}" for name, value, _ in gone)
        zero = next((name for name, value, real in gone if not real and abs(value) < 1.0), None)
        way = f"take the term out (fixed={{{zero!r}: 0}})" if zero else "fix it"
        verb = "changes" if len(gone) == 1 else "change"
        faults.append(
            f"{_words([name for name, _, _ in gone])} no longer {verb} the predictions ({values}): "
            f"the best fit lies at the edge of the domain; {way}, give a prior, or use a simpler law"
        )
    return faults, named


def _loose(
    problem: Problem, theta: NDArray[np.float64], chosen: NDArray[np.bool_], stderr: NDArray[np.float64]
) -> list[str]:
    faults = []
    for error, index in zip(stderr, np.flatnonzero(chosen), strict=True):
        name, value = problem.names[index], float(theta[index])
        positive = problem.law.params[problem.owners[index]].kind == "positive"
        size = value if positive else _reach(problem, int(index))
        if size is not None and error > _LOOSE * size:
            faults.append(
                f"{name} = {value:.3g} has a standard error of {error:.3g}: the runs do not bound it; fix it "
                f"(fixed={{{name!r}: ...}}), give it a prior, or add runs"
            )
    return faults


def _reach(problem: Problem, index: int) -> float | None:
    """Largest size of a start, the only scale that a parameter of the real domain has."""
    start = problem.law.params[problem.owners[index]].start
    return max(map(abs, start)) if isinstance(start, tuple) else None


def _words(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
