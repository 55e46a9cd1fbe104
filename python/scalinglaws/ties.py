"""Fixed and tied parameters: the law that is really fitted, and the way back to the one asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from .errors import FormulaError, near
from .law import Law

if TYPE_CHECKING:
    from .problem import Problem

__all__ = ["Binding", "Tie", "bind", "names_in"]

_NAME = re.compile(r"[^\W\d]\w*")


def names_in(text: str) -> set[str]:
    """Return the words of an expression that may be names."""
    return set(_NAME.findall(text))


@dataclass(frozen=True)
class Tie:
    """A parameter that follows from others.

    Parameters
    ----------
    text : str
        The expression.
    names : tuple of str
        The parameters it uses; empty for a constant.
    constant : float or None
        Its value where it is a constant.
    """

    text: str
    names: tuple[str, ...] = ()
    constant: float | None = None

    def evaluate(self, values: Mapping[str, float]) -> tuple[float, NDArray[np.float64]]:
        """Return the value and its derivatives by `names`.

        Parameters
        ----------
        values : mapping of str to float
            The other parameters, natural units.

        Returns
        -------
        float, ndarray of shape (len(names),)
            Value and gradient.
        """
        if self.constant is not None:
            return self.constant, np.zeros(0)
        compiled = _core.Law(self.text, [(name, "real", -np.inf, np.inf) for name in self.names])
        columns = [np.array([values[name]]) for name in self.names]
        return float(compiled.value(columns)[0]), compiled.gradient(columns, list(self.names))[0]


@dataclass(frozen=True)
class Binding:
    """What became of the ``fixed`` option.

    Parameters
    ----------
    law : Law
        The law as asked for.
    fitted : Law
        The law without the tied parameters; the same object if there are none.
    ties : mapping of str to Tie
        Tied parameters of `law`.
    """

    law: Law
    fitted: Law
    ties: Mapping[str, Tie] = field(hash=False)

    def names(self, problem_names: tuple[str, ...], owners: tuple[str, ...]) -> tuple[str, ...]:
        """Return the expanded names of all parameters, tied ones at their place in the law."""
        out: list[str] = []
        for param in self.law.params:
            if param in self.ties:
                out.append(param)
            else:
                out.extend(name for name, owner in zip(problem_names, owners, strict=True) if owner == param)
        return tuple(out)

    def expand(self, problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values of all parameters for the values of the fitted ones.

        Parameters
        ----------
        problem : Problem
            The problem that was solved.
        theta : ndarray of float, shape (..., k)
            Values in the order of ``problem.names``.

        Returns
        -------
        ndarray of float, shape (..., q)
            Values in the order of `names`.
        """
        if not self.ties:
            return theta
        flat = theta.reshape(-1, theta.shape[-1])
        out = np.empty((len(flat), len(self.names(problem.names, problem.owners))))
        for row, vector in zip(out, flat, strict=True):
            row[:] = self._expand_one(problem, vector)[0]
        return out.reshape(*theta.shape[:-1], -1)

    def jacobian(self, problem: Problem, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the derivatives of all parameters by the fitted ones, shape (q, k)."""
        if not self.ties:
            return np.eye(theta.size)
        return self._expand_one(problem, theta)[1]

    def _expand_one(
        self, problem: Problem, theta: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        position = {name: index for index, name in enumerate(problem.names)}
        values = dict(zip(problem.names, theta.tolist(), strict=True))
        names = self.names(problem.names, problem.owners)
        full, jacobian = np.empty(len(names)), np.zeros((len(names), theta.size))
        for row, name in enumerate(names):
            if name in self.ties:
                tie = self.ties[name]
                full[row], gradient = tie.evaluate(values)
                for used, derivative in zip(tie.names, gradient, strict=True):
                    jacobian[row, position[used]] = derivative
            else:
                full[row] = values[name]
                jacobian[row, position[name]] = 1.0
        return full, jacobian


def bind(law: Law, fixed: Mapping[str, Any] | None) -> tuple[Binding, dict[str, float | None]]:
    """Split the ``fixed`` option into ties, which change the law, and numbers, which do not.

    Parameters
    ----------
    law : Law
        The law as asked for.
    fixed : mapping or None
        Numbers or formula texts by parameter; a mapping of categories for a grouped parameter; None frees a
        parameter that was declared with a value.

    Returns
    -------
    Binding
        The law to be fitted.
    dict of str to float or None
        Numbers by declared or expanded name.

    Raises
    ------
    ValueError
        If a name is unknown, a number lies outside its domain, or a tie cannot be understood.
    """
    ties: dict[str, Tie] = {}
    numbers: dict[str, float | None] = {
        name: param.value for name, param in law.params.items() if param.value is not None
    }
    flat: dict[str, Any] = {}
    for name, value in (fixed or {}).items():
        if isinstance(value, Mapping):
            flat.update({f"{name}[{label}]": number for label, number in value.items()})
        else:
            flat[name] = value
    for name, value in flat.items():
        owner = name.partition("[")[0]
        if owner not in law.params or (owner != name and owner not in law.groups):
            raise ValueError(f"fixed names {name!r}, which is not a parameter.{near(name, law.params)}")
        if value is None:
            numbers[name] = None
        elif isinstance(value, str) and not _is_number(value):
            numbers.pop(name, None)
            ties[name] = Tie(value)
        else:
            number = _number(name, value)
            param = law.params[owner]
            if number == 0.0 and param.kind == "positive" and owner == name and name not in law.groups:
                # Zero has no logarithm, so the term is taken out of the formula instead.
                ties[name] = Tie("0", constant=0.0)
            elif not param.contains(number):
                raise ValueError(f"fixed: {name} = {number!r} lies outside its domain {param.domain!r}")
            else:
                numbers[name] = number
    if not ties:
        return Binding(law, law, {}), numbers
    remaining = {name: param for name, param in law.params.items() if name not in ties}
    if not remaining:
        raise ValueError("every parameter is fixed or tied, so there is nothing to fit")
    ties = {name: _check(law, name, tie, remaining, ties) for name, tie in ties.items()}
    return Binding(law, _derived(law, ties, remaining), ties), numbers


def _check(law: Law, name: str, tie: Tie, remaining: Mapping[str, Any], ties: Mapping[str, Tie]) -> Tie:
    if tie.constant is not None:
        return tie
    if name.partition("[")[0] in law.groups:
        raise ValueError(f"{name!r} is grouped and cannot be tied; write the relation into the formula")
    found = names_in(tie.text)
    for other in sorted(found & set(ties)):
        raise ValueError(f"the tie {name} = {tie.text!r} uses {other!r}, which is tied or zero itself")
    for other in sorted(found & set(law.groups)):
        raise ValueError(f"the tie {name} = {tie.text!r} uses {other!r}, which is grouped")
    used = tuple(param for param in remaining if param in found)
    if not used:
        raise ValueError(
            f"the tie {name} = {tie.text!r} names no parameter of the law.{near(tie.text.strip(), remaining)}"
        )
    try:
        compiled = _core.Law(tie.text, [(param, "real", -np.inf, np.inf) for param in used])
    except FormulaError as error:
        message = f"the tie {name} = {tie.text!r}: {error.message}"
        raise FormulaError(message, error.text, error.position) from None
    if compiled.inputs or compiled.target is not None:
        unknown = compiled.inputs[0] if compiled.inputs else str(compiled.target)
        raise ValueError(
            f"the tie {name} = {tie.text!r} uses {unknown!r}, which is not a parameter."
            f"{near(unknown, remaining)}"
        )
    return Tie(tie.text, used)


def _derived(law: Law, ties: Mapping[str, Tie], remaining: Mapping[str, Any]) -> Law:
    formula = law._core.substitute({name: tie.text for name, tie in ties.items()})
    return Law(
        formula,
        params=remaining,
        inputs=dict(law.meanings),
        target=law.target if "~" not in formula else None,
        id=law.id,
        title=law.title,
        grid=None if law.grid is None else {name: law.grid[name] for name in remaining},
        residual=law.residual,
        loss=law.loss,
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"fixed: {name} must be a number or a formula text, not {value!r}") from None
