"""The second opinion: formulas evaluated with NumPy, through Python's `ast` and never `eval`.

It shares no code with the compiled kernels. It is slow and meant to be right: derivatives are those of
second-order dual numbers (`scalinglaws.duals`), exact to rounding. Conditions of ``--where`` and ``holdout=``
are read here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from . import duals
from .duals import Dual
from .errors import DataError, FormulaError, near
from .syntax import Step, Tape, parse

__all__ = ["Condition", "Reference"]

Array: TypeAlias = NDArray[np.float64]

_PLAIN: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "atan": np.arctan,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "softplus": lambda x: np.logaddexp(0.0, x),
    "erf": special.erf,
    "normcdf": special.ndtr,
    "min": lambda *args: np.minimum.reduce(np.broadcast_arrays(*args)),
    "max": lambda *args: np.maximum.reduce(np.broadcast_arrays(*args)),
}
_COMPARE: dict[str, Callable[[Any, Any], NDArray[np.bool_]]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


class Reference:
    """A formula that NumPy evaluates, with exact first and second derivatives.

    Parameters
    ----------
    formula : str
        ``"L ~ E + A / N**alpha"``, with or without the target.
    params : iterable of str
        Names of the parameters; a mapping such as `Law.params` will do. Every other name is an input.

    Attributes
    ----------
    formula : str
        The text.
    target : str or None
        The predicted column.
    params, inputs : tuple of str
        Parameters as declared, and inputs in order of appearance.
    groups : dict of str to str
        Grouped parameter to its categorical column.

    Raises
    ------
    FormulaError
        If the formula cannot be read, a declared parameter does not occur, or an input is grouped.

    Examples
    --------
    >>> law = Reference("L ~ E + A / N**alpha", ["E", "A", "alpha"])
    >>> row = {"N": [1e8, 1e10], "E": 1.7, "A": 400.0, "alpha": 0.34}
    >>> law.value(row).round(4)
    array([2.4622, 1.8592])
    >>> law.gradient(row, ["E"])
    array([[1.],
           [1.]])
    """

    def __init__(self, formula: str, params: Iterable[str]) -> None:
        tape = parse(formula)
        self.formula = formula
        self.target = tape.target
        self.params = tuple(params)
        self.inputs = tuple(name for name in tape.names if name not in self.params)
        self.groups = dict(tape.groups)
        self._tape = tape
        for name in self.params:
            if name not in tape.names:
                hint = near(name, tape.names)
                raise FormulaError(f"the parameter {name!r} does not occur in the formula.{hint}", formula, 0)
        for name in tape.groups:
            if name not in self.params:
                message = f"{name!r} is grouped but is not a declared parameter.{near(name, self.params)}"
                raise FormulaError(message, formula, tape.names[name])

    def __repr__(self) -> str:
        """Return the formula in brackets."""
        return f"<Reference: {self.formula}>"

    def value(self, values: Mapping[str, ArrayLike]) -> Array:
        """Evaluate the formula.

        Parameters
        ----------
        values : mapping of str to array_like
            Every input and parameter by name, in natural units; shapes broadcast. Grouped parameters are
            given as the value of each row.

        Returns
        -------
        ndarray
            Values of the broadcast shape; NaN where the formula is not defined.

        Raises
        ------
        ValueError
            If a name is missing or shapes do not broadcast.
        """
        return self.derivatives(values, ())[0]

    def log_value(self, values: Mapping[str, ArrayLike]) -> Array:
        """Evaluate the logarithm of the formula, also where the value itself leaves the range of a float.

        Parameters
        ----------
        values : mapping of str to array_like
            As for `value`.

        Returns
        -------
        ndarray
            Logarithms; NaN where the value is negative.
        """
        return self.derivatives(values, (), log=True)[0]

    def gradient(self, values: Mapping[str, ArrayLike], wrt: Sequence[str]) -> Array:
        """Evaluate first derivatives.

        Parameters
        ----------
        values : mapping of str to array_like
            As for `value`.
        wrt : sequence of str
            Parameters or inputs.

        Returns
        -------
        ndarray, shape (..., len(wrt))
            Derivatives, row by row.
        """
        return self.derivatives(values, wrt)[1]

    def hessian(self, values: Mapping[str, ArrayLike], wrt: Sequence[str]) -> Array:
        """Evaluate second derivatives.

        Parameters
        ----------
        values : mapping of str to array_like
            As for `value`.
        wrt : sequence of str
            Parameters or inputs.

        Returns
        -------
        ndarray, shape (..., len(wrt), len(wrt))
            Symmetric matrices, row by row.
        """
        return self.derivatives(values, wrt)[2]

    def derivatives(
        self, values: Mapping[str, ArrayLike], wrt: Sequence[str], *, log: bool = False
    ) -> tuple[Array, Array, Array]:
        """Evaluate the formula, or its logarithm, with both derivatives at once.

        Parameters
        ----------
        values : mapping of str to array_like
            As for `value`.
        wrt : sequence of str
            Parameters or inputs.
        log : bool, default False
            Whether to give the logarithm of the formula and its derivatives.

        Returns
        -------
        value : ndarray, shape (...)
            Values of the broadcast shape.
        gradient : ndarray, shape (..., len(wrt))
            First derivatives.
        hessian : ndarray, shape (..., len(wrt), len(wrt))
            Second derivatives.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or shapes do not broadcast.
        """
        names, count = self._tape.names, len(wrt)
        for name in (*names, *wrt):
            if name not in values:
                raise ValueError(f"no value for {name!r}.{near(name, values)}")
        for name in wrt:
            if name not in names:
                raise ValueError(f"{name!r} does not occur in the formula.{near(name, names)}")
        arrays = {name: np.asarray(values[name], dtype=np.float64) for name in names}
        shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
        index = {name: position for position, name in enumerate(wrt)}
        variables: dict[str, Dual] = {}
        for name, array in arrays.items():
            flat = array.reshape(1) if array.size == 1 else np.broadcast_to(array, shape).ravel()
            variables[name] = Dual.variable(flat, index[name], count) if name in index else Dual(flat)
        with np.errstate(all="ignore"):
            result = _run(self._tape, variables)
            result = result.log() if log else result.plain()
        n = int(np.prod(shape))
        g = np.zeros((1, count)) if result.g is None else result.g
        h = np.zeros((1, count, count)) if result.h is None else result.h
        return (
            np.broadcast_to(result.v, (n,)).reshape(shape).copy(),
            np.broadcast_to(g, (n, count)).reshape(*shape, count).copy(),
            np.broadcast_to(h, (n, count, count)).reshape(*shape, count, count).copy(),
        )


def _run(tape: Tape, variables: Mapping[str, Dual]) -> Dual:
    done: list[Dual] = []
    for step in tape.steps:
        args = [done[arg] for arg in step.args]
        match step.op:
            case "number":
                out = Dual.constant(cast(float, step.value))
            case "name":
                out = variables[cast(str, step.value)]
            case "add":
                out = args[0] + args[1]
            case "sub":
                out = args[0] - args[1]
            case "mul":
                out = args[0] * args[1]
            case "div":
                out = args[0] / args[1]
            case "pow":
                out = args[0] ** args[1]
            case "neg":
                out = -args[0]
            case _:
                out = duals.FUNCTIONS[step.op](*args)
        done.append(out)
    return done[-1]


class Condition:
    """A condition on the rows of a table, such as ``"6*N*D > 1e22 and task in ('mmlu', 'piqa')"``.

    Parameters
    ----------
    text : str
        The arithmetic and the functions of formulas; comparisons ``< <= > >= == !=``, also chained; ``and``,
        ``or``, ``not``; text in quotes; ``in`` and ``not in`` with a list in parentheses. Names are columns.

    Attributes
    ----------
    text : str
        The text.
    names : tuple of str
        The columns it needs, in order of appearance.

    Raises
    ------
    FormulaError
        If the text cannot be read.

    Examples
    --------
    >>> runs = {"N": [1e8, 2e8, 5e9], "run": ["a", "bad", "c"]}
    >>> Condition("1e8 <= N < 1e9 and not run == 'bad'").mask(runs)
    array([ True, False, False])
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._tape = parse(text, condition=True)
        self.names = tuple(self._tape.names)
        if self._tape.steps[-1].op not in ("compare", "and", "or", "not", "name"):
            raise FormulaError("this is a number, not a condition: compare it with something", text, 0)

    def __repr__(self) -> str:
        """Return the text in brackets."""
        return f"<Condition: {self.text}>"

    def mask(self, columns: Mapping[str, Any]) -> NDArray[np.bool_]:
        """Tell for each row whether the condition holds.

        Parameters
        ----------
        columns : mapping of str to array_like
            Columns of one length, numbers or text. Numbers stand for truth where they are neither 0 nor
            missing.

        Returns
        -------
        ndarray of bool, shape (n,)
            False where a compared number is missing.

        Raises
        ------
        FormulaError
            If a column is unknown, or text is used as a number or the other way round; with the position.
        DataError
            If columns differ in length.
        """
        arrays: dict[str, NDArray[Any]] = {}
        for name in self.names:
            if name not in columns:
                known = ", ".join(repr(column) for column in list(columns)[:12])
                message = f"there is no column {name!r}.{near(name, columns)} Columns: {known}"
                raise FormulaError(message, self.text, self._tape.names[name])
            arrays[name] = _as_column(columns[name])
        lengths = {array.size for array in arrays.values() if array.ndim}
        if len(lengths) > 1:
            raise DataError(f"the columns of the condition {self.text!r} differ in length: {sorted(lengths)}")
        n = lengths.pop() if lengths else max((np.size(column) for column in columns.values()), default=1)
        done: list[Any] = []
        with np.errstate(all="ignore"):
            for step in self._tape.steps:
                done.append(self._step(step, done, arrays))
            result = self._truth(self._tape.steps[-1], done[-1])
        return np.array(np.broadcast_to(result, (n,)))

    def _step(self, step: Step, done: list[Any], columns: Mapping[str, NDArray[Any]]) -> Any:
        args = [done[arg] for arg in step.args]
        steps = [self._tape.steps[arg] for arg in step.args]
        match step.op:
            case "number" | "text":
                return step.value
            case "name":
                return columns[cast(str, step.value)]
            case "tuple":
                return args
            case "not":
                return ~self._truth(steps[0], args[0])
            case "and" | "or":
                combine = np.logical_and if step.op == "and" else np.logical_or
                truths = [self._truth(one, arg) for one, arg in zip(steps, args, strict=True)]
                return combine.reduce(np.broadcast_arrays(*truths))
            case "compare":
                operators = cast(tuple[str, ...], step.value)
                parts = [
                    self._compare(operator, args[i], args[i + 1], steps[i + 1])
                    for i, operator in enumerate(operators)
                ]
                return np.logical_and.reduce(np.broadcast_arrays(*parts))
        for one, arg in zip(steps, args, strict=True):
            if _is_text(arg) or isinstance(arg, list):
                raise FormulaError("this is not a number", self.text, one.position)
        return _PLAIN[step.op](*(np.asarray(arg, dtype=np.float64) for arg in args))

    def _compare(self, operator: str, left: Any, right: Any, where: Step) -> NDArray[np.bool_]:
        if operator in ("in", "not in"):
            if isinstance(left, list):
                raise FormulaError("a list of values stands after 'in'", self.text, where.position)
            found = np.zeros(np.shape(left), dtype=np.bool_)
            for value in right if isinstance(right, list) else [right]:
                found = found | self._compare("==", left, value, where)
            return found if operator == "in" else ~found
        if isinstance(left, list) or isinstance(right, list):
            raise FormulaError("a list of values stands after 'in'", self.text, where.position)
        if _is_text(left) != _is_text(right):
            raise FormulaError("text and numbers cannot be compared", self.text, where.position)
        if _is_text(left) and operator not in ("==", "!="):
            raise FormulaError(f"text has no order: {operator!r} compares numbers", self.text, where.position)
        # A missing number is unequal to everything, itself included, and so satisfies no comparison but this
        # one.
        with_missing = _COMPARE[operator](left, right)
        if operator == "!=" and not _is_text(left):
            return cast(NDArray[np.bool_], with_missing & ~np.isnan(left) & ~np.isnan(right))
        return np.asarray(with_missing, dtype=np.bool_)

    def _truth(self, step: Step, value: Any) -> NDArray[np.bool_]:
        if _is_text(value) or isinstance(value, list):
            raise FormulaError("this is text, not a condition", self.text, step.position)
        array = np.asarray(value)
        if array.dtype == np.bool_:
            return array
        if step.op != "name":
            raise FormulaError("this is a number, not a condition", self.text, step.position)
        return cast(NDArray[np.bool_], (array != 0.0) & ~np.isnan(array))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype.kind == "O")


def _as_column(values: Any) -> NDArray[Any]:
    """Return booleans as they are, numbers as float64, and anything else as an object array of text."""
    array = np.asarray(values)
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind in "iuf":
        return array.astype(np.float64)
    if array.dtype.kind == "O" and all(
        value is None or isinstance(value, int | float) for value in array.flat
    ):
        return np.array([np.nan if value is None else value for value in array.flat], dtype=np.float64)
    text = np.empty(array.shape, dtype=object)
    text[...] = [None if value is None else str(value) for value in array.flat]
    return text
