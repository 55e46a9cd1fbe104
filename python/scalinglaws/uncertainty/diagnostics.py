"""What the runs determine and what they do not: the spectrum of the information, flat directions, guards."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..inference import singular_directions, triangle
from ..verdict import at_bounds

if TYPE_CHECKING:
    from ..problem import Problem
    from ..result import Fit

__all__ = ["Diagnostics", "Direction", "diagnose"]

# Eigenvalue, relative to the largest, below which a direction is called sloppy: the error along it is ten
# times that of the best determined one.
_SLOPPY = 1e-2
# Parameters with a smaller share of a direction are not named.
_SHARE = 0.2
# A predictor with fewer values cannot show a power law with an offset.
_VALUES = 3
# A fitted parameter this close to its start, relative to its size, has not been moved.
_SAME = 1e-9
# A change by more than this factor is not worth its digits.
_WIDE = 1e3


@dataclass(frozen=True)
class Direction:
    """A direction in the space of the parameters.

    Parameters
    ----------
    eigenvalue : float
        Of the information matrix scaled to a unit diagonal; 1 where parameters do not depend on each other.
    step : dict of str to float
        Change of each fitted parameter, natural units, that one standard error along the direction is.
    names : tuple of str
        The parameters that make up most of it, at most four, in the order of the law.
    words : str
        The same as a sentence.
    """

    eigenvalue: float
    step: dict[str, float] = field(hash=False)
    names: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class Diagnostics:
    """What the runs determine.

    Parameters
    ----------
    names : tuple of str
        Fitted parameters that are not at a bound.
    spectrum : tuple of float
        Eigenvalues of the information matrix J'WJ (with the curvature of priors) after scaling it to a unit
        diagonal, largest first. They sum to the number of parameters.
    condition : float
        Largest over smallest eigenvalue; infinite where a direction is not determined.
    directions : tuple of Direction
        One for each eigenvalue, flattest last.
    effective : float
        How many combinations of parameters the runs determine: the sum of l / (l + 1) over the eigenvalues l
        of the data's information, with the standard error of each parameter measured against its own size (in
        logarithms for positive ones; priors, where given, count as known before). After MacKay (1992). The
        number of parameters where everything is known well, less where a combination is known worse than to
        its own size.
    distinct : dict of str to int
        Distinct values of each predictor among the rows that count.
    bounds : dict of str to str
        Parameters at a bound, with ``"lower"`` or ``"upper"``.
    unmoved : tuple of str
        Fitted parameters that equal their start: the solver saw no reason to move them, or the start was the
        answer.
    notes : tuple of str
        What a reader should know, in sentences.
    """

    names: tuple[str, ...]
    spectrum: tuple[float, ...]
    condition: float
    directions: tuple[Direction, ...]
    effective: float
    distinct: dict[str, int] = field(hash=False)
    bounds: dict[str, str] = field(hash=False)
    unmoved: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def sloppy(self) -> tuple[Direction, ...]:
        """Directions with less than a hundredth of the information of the best one, flattest first."""
        return tuple(
            d for d in reversed(self.directions) if not d.eigenvalue > _SLOPPY * self.directions[0].eigenvalue
        )


def diagnose(fit: Fit) -> Diagnostics:
    """Say what the runs of a fit determine; see `Fit.diagnostics`.

    Parameters
    ----------
    fit : Fit
        The fit; it must hold its rows.

    Returns
    -------
    Diagnostics
        The answer.

    Raises
    ------
    DataError
        If the fit was saved without its rows.
    """
    problem, theta = fit._need_rows("diagnostics"), fit._theta
    sides = at_bounds(problem, theta)
    chosen = problem.free & (sides == 0)
    names = tuple(name for name, taken in zip(problem.names, chosen, strict=True) if taken)
    bounds = {
        name: "lower" if side < 0 else "upper"
        for name, side in zip(problem.names, sides, strict=True)
        if side
    }
    directions: tuple[Direction, ...] = ()
    effective = 0.0
    if names:
        with np.errstate(all="ignore"):
            factor, rss = triangle(problem, theta, chosen)
            noise = math.sqrt(rss / fit.dof) if fit.dof > 0 else math.nan
            directions = _directions(problem, theta, chosen, names, factor, noise)
            effective = _effective(problem, theta, chosen, noise)
    spectrum = tuple(d.eigenvalue for d in directions)
    condition = math.nan
    if spectrum:
        condition = spectrum[0] / spectrum[-1] if spectrum[-1] > 0.0 else math.inf
    used = problem.weights > 0.0
    distinct = {name: len(np.unique(column[used])) for name, column in problem.inputs.items()}
    unmoved = _unmoved(fit)
    made = Diagnostics(names, spectrum, condition, directions, effective, distinct, bounds, unmoved, ())
    return replace(made, notes=_notes(fit, made))


def _directions(
    problem: Problem,
    theta: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    names: tuple[str, ...],
    factor: NDArray[np.float64],
    noise: float,
) -> tuple[Direction, ...]:
    if not np.isfinite(factor).all():
        return ()
    lengths, values, vectors = singular_directions(factor)
    where = np.flatnonzero(chosen)
    positive = [problem.law.params[problem.owners[index]].kind == "positive" for index in where]
    out = []
    for value, vector in zip(values.tolist(), vectors, strict=True):
        # The first of the largest parts goes up, so that the words do not depend on the sign of the factor.
        sign = 1.0 if vector[int(np.argmax(np.abs(vector) > 0.999 * np.abs(vector).max()))] >= 0.0 else -1.0
        step = sign * noise * vector / (value * np.where(lengths > 0.0, lengths, np.nan))
        size = np.abs(vector)
        order = [int(i) for i in np.argsort(-size, kind="stable") if size[i] > _SHARE * size.max()][:4]
        involved = sorted(order)
        parts = [_part(names[i], float(theta[where[i]]), float(step[i]), positive[i]) for i in involved]
        named = tuple(names[i] for i in involved)
        out.append(
            Direction(value**2, dict(zip(names, step.tolist(), strict=True)), named, _words(named, parts))
        )
    return tuple(out)


def _words(names: tuple[str, ...], parts: list[str]) -> str:
    if len(names) == 1:
        return f"{parts[0]} on its own"
    return f"{', '.join(names[:-1])} and {names[-1]} trade off along ({', '.join(parts)})"


def _part(name: str, value: float, step: float, positive: bool) -> str:
    """One parameter's change, as a factor for positive ones."""
    if not math.isfinite(step):
        return f"{name} free"
    if not positive or value == 0.0:
        return f"{name} {'+' if step >= 0.0 else '-'} {abs(step):#.2g}"
    share = abs(step) / value
    if share < 0.01:
        return f"{name} {'+' if step >= 0.0 else '-'} {100.0 * share:.2g} %"
    factor = f"{math.exp(share):#.3g}" if share < math.log(_WIDE) else f"over {_WIDE:g}"
    return f"{name} {'x' if step >= 0.0 else '/'} {factor}"


def _effective(
    problem: Problem, theta: NDArray[np.float64], chosen: NDArray[np.bool_], noise: float
) -> float:
    if not noise > 0.0:
        return float(chosen.sum())
    where = np.flatnonzero(chosen)
    scale = np.empty(where.size)
    for i, index in enumerate(where):
        param, value = problem.law.params[problem.owners[index]], abs(float(theta[index]))
        reach = max(map(abs, param.start)) if isinstance(param.start, tuple) else 0.0
        # A parameter of the real domain may be 0 by chance; its start range then says what is large.
        scale[i] = value if param.kind == "positive" else max(value, reach) or 1.0
    before = np.ones(where.size)
    for i, index in enumerate(where):
        if (prior := problem.priors.get(problem.names[index])) is not None:
            before[i] += max(prior.curvature(float(theta[index])), 0.0) * (scale[i] / noise) ** 2
    factor, _ = triangle(replace(problem, priors={}), theta, chosen)
    root = factor * (scale / noise) / np.sqrt(before)
    if not np.isfinite(root).all():
        return math.nan
    eigenvalues = np.linalg.svd(root, compute_uv=False) ** 2
    return float((eigenvalues / (eigenvalues + 1.0)).sum())


def _unmoved(fit: Fit) -> tuple[str, ...]:
    start, problem = fit.starts.best, fit._problem
    if start is None:
        return ()
    return tuple(
        name
        for name, free, value, first in zip(
            problem.names, problem.free, fit._theta.tolist(), start, strict=True
        )
        if free and abs(value - first) <= _SAME * max(abs(value), abs(first))
    )


def _notes(fit: Fit, found: Diagnostics) -> tuple[str, ...]:
    notes = [direction.words for direction in found.sloppy if len(direction.names) > 1]
    for name, count in found.distinct.items():
        if count < _VALUES:
            column = fit.columns.get(name, name)
            values = "1 value" if count == 1 else f"{count} values"
            notes.append(f"{column} takes {values}: an offset and a power of it need at least {_VALUES}")
    for name, side in found.bounds.items():
        notes.append(f"{name} is at its {side} bound: its interval has one side")
    if found.unmoved:
        verb = "is" if len(found.unmoved) == 1 else "are"
        notes.append(
            f"{', '.join(found.unmoved)} {verb} where the solver started: without effect on the runs, or "
            "a start that was the answer; fit again from other starts"
        )
    return tuple(notes)
