"""The law: a formula, the domains of its parameters, and what is known about both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Never, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._core import Law as CoreLaw
from .errors import FormulaError, near
from .losses import Loss
from .param import Domain, Param
from .problem import Residual

__all__ = ["Check", "Law", "Published"]


@dataclass(frozen=True)
class Published:
    """Coefficients that a paper or its code printed.

    Parameters
    ----------
    source : str
        Where the numbers stand.
    values : mapping of str to float
        One value per parameter, in natural units.
    notes : str
        What a reader has to know to use them (data set, unit, convention).
    """

    source: str
    values: Mapping[str, float] = field(hash=False)
    notes: str = ""


@dataclass(frozen=True)
class Check:
    """One worked example: inputs, coefficients, and the number the law must give.

    Parameters
    ----------
    inputs, values : mapping of str to float
        Input columns and coefficients, natural units.
    result : float
        The value of the law there.
    """

    inputs: Mapping[str, float] = field(hash=False)
    values: Mapping[str, float] = field(hash=False)
    result: float


class _Arguments(NamedTuple):
    """Columns as the kernels want them, and the shape to give back."""

    columns: list[NDArray[np.float64]]
    shape: tuple[int, ...]


class Law:
    """A scaling law: a formula with a domain and a start range for each parameter.

    A law is immutable, hashable and picklable, and may be used from several threads at once. The formula is
    compiled when the law is made; values, gradients and Hessians come from the compiled kernels.

    Parameters
    ----------
    formula : str
        Python arithmetic, ``"L ~ E + A / N**alpha"`` or only the right-hand side. ``A[lang]`` is one value
        per category of the column ``lang``. Functions: exp, log, log2, log10, log1p, expm1, sqrt, abs, sin,
        cos, tan, atan, tanh, sigmoid, softplus, erf, normcdf, min, max.
    params : mapping of str to Param, str or (low, high)
        The parameters, in the order in which results list them. A string is a domain, ``"real"``,
        ``"positive"`` or ``"unit"``; a pair is a box.
    inputs : mapping of str to str, or sequence of str, optional
        The input columns with their meaning. Without it every name that is not a parameter is an input;
        with it any other name is an error.
    target : str, optional
        Name of the predicted column, where the formula has no ``~``.
    id, title, describes, target_unit, notes : str, optional
        What the law is called and what a reader should know about it.
    papers : sequence of str, optional
        References.
    published : sequence of Published or mapping, optional
        Printed coefficients.
    checks : sequence of Check or mapping, optional
        Worked examples. A mapping may hold ``published`` (an index) in place of ``values``.
    grid : mapping of str to sequence of float, optional
        The paper's grid of starts in natural units; its product is what ``fit(..., starts="paper")`` solves.
    residual : {"linear", "log"}, optional
        Where residuals are taken when a fit does not say.
    loss : Loss or str, optional
        The loss when a fit does not say.
    verified : bool
        Whether the formula was checked against the paper's own numbers.

    Raises
    ------
    FormulaError
        If the formula cannot be read; the message shows the place.
    ValueError
        If a domain, a name or another option is wrong.

    Examples
    --------
    >>> law = Law("L ~ E + A / N**alpha", params={"E": "positive", "A": "positive", "alpha": "unit"})
    >>> law(N=[1e8, 1e10], E=1.7, A=400.0, alpha=0.34).round(4)
    array([2.4622, 1.8592])
    >>> law.inputs
    ('N',)
    """

    __slots__ = (
        "__weakref__",
        "_core",
        "_definition",
        "_groups",
        "_inputs",
        "_meanings",
        "_params",
        "checks",
        "describes",
        "formula",
        "grid",
        "id",
        "loss",
        "notes",
        "papers",
        "published",
        "residual",
        "target",
        "target_unit",
        "title",
        "verified",
    )

    _core: CoreLaw
    _definition: dict[str, Any]
    _params: Mapping[str, Param]
    _inputs: tuple[str, ...]
    _groups: Mapping[str, str]
    _meanings: Mapping[str, str]
    formula: str
    target: str | None
    id: str | None
    title: str
    describes: str
    target_unit: str
    notes: str
    papers: tuple[str, ...]
    published: tuple[Published, ...]
    checks: tuple[Check, ...]
    grid: Mapping[str, tuple[float, ...]] | None
    residual: Residual | None
    loss: Loss | None
    verified: bool

    def __init__(
        self,
        formula: str,
        *,
        params: Mapping[str, Param | Domain],
        inputs: Mapping[str, str] | Sequence[str] | None = None,
        target: str | None = None,
        id: str | None = None,
        title: str = "",
        describes: str = "",
        target_unit: str = "",
        papers: Sequence[str] = (),
        published: Iterable[Published | Mapping[str, Any]] = (),
        checks: Iterable[Check | Mapping[str, Any]] = (),
        grid: Mapping[str, Sequence[float]] | None = None,
        notes: str = "",
        residual: Residual | None = None,
        loss: Loss | str | None = None,
        verified: bool = False,
    ) -> None:
        if not isinstance(formula, str):
            raise TypeError(f"a formula is a string, not {type(formula).__name__}")
        if not isinstance(params, Mapping) or not params:
            raise ValueError("params maps each parameter's name to its domain; at least one is needed")
        domains = {str(name): _as_param(name, domain) for name, domain in params.items()}
        core = CoreLaw(formula, [(name, p.kind, *p.bounds) for name, p in domains.items()])
        if core.target is not None and target is not None and core.target != target:
            raise ValueError(f"the formula predicts {core.target!r}, but target={target!r}")
        if residual not in (None, "linear", "log"):
            raise ValueError(f"residual must be 'linear' or 'log', not {residual!r}")
        groups = dict(core.groups)
        meanings = _meanings(formula, inputs, core.inputs, tuple(groups.values()), tuple(domains))

        put = object.__setattr__
        put(self, "_core", core)
        put(self, "formula", formula.strip())
        put(self, "target", core.target if core.target is not None else target)
        put(self, "_params", MappingProxyType(domains))
        put(self, "_inputs", tuple(core.inputs))
        put(self, "_groups", MappingProxyType(groups))
        columns = (*core.inputs, *dict.fromkeys(groups.values()))
        put(self, "_meanings", MappingProxyType({name: meanings.get(name, "") for name in columns}))
        put(self, "id", id)
        put(self, "title", title)
        put(self, "describes", describes)
        put(self, "target_unit", target_unit)
        put(self, "notes", notes)
        put(self, "papers", tuple(papers))
        put(self, "published", tuple(_as_published(entry, tuple(domains)) for entry in published))
        put(self, "checks", tuple(_as_check(entry, self.published) for entry in checks))
        put(self, "grid", _as_grid(grid, domains))
        put(self, "residual", residual)
        put(self, "loss", None if loss is None else Loss.parse(loss))
        put(self, "verified", bool(verified))
        put(
            self,
            "_definition",
            {
                "formula": self.formula,
                "params": domains,
                "inputs": meanings or None,
                "target": target,
                "id": id,
                "title": title,
                "describes": describes,
                "target_unit": target_unit,
                "papers": self.papers,
                "published": self.published,
                "checks": self.checks,
                "grid": None if self.grid is None else dict(self.grid),
                "notes": notes,
                "residual": residual,
                "loss": self.loss,
                "verified": self.verified,
            },
        )

    @property
    def params(self) -> Mapping[str, Param]:
        """Parameters by name, in the order of the declaration."""
        return self._params

    @property
    def inputs(self) -> tuple[str, ...]:
        """Numeric input columns, in the order in which the formula first names them."""
        return self._inputs

    @property
    def meanings(self) -> Mapping[str, str]:
        """What each input and categorical column holds; empty text where nobody said."""
        return self._meanings

    @property
    def groups(self) -> Mapping[str, str]:
        """Categorical column of each grouped parameter, ``{"A": "lang"}`` for ``A[lang]``."""
        return self._groups

    def __call__(self, /, **values: ArrayLike | Mapping[Any, float]) -> Any:
        """Evaluate the law.

        Parameters
        ----------
        **values
            One value for every input and parameter, numbers or arrays that broadcast together, in natural
            units. A grouped parameter takes a mapping from category to number, and its column an array of
            categories. Parameters declared with a ``value`` may be left out.

        Returns
        -------
        float or ndarray
            A float if everything was a number, otherwise an array of the broadcast shape. Where the formula
            is not defined the value is NaN or infinite.

        Raises
        ------
        TypeError
            If a name is missing or unknown, or a value is not numeric.
        """
        arguments = self._arguments(values)
        result = self._core.value(arguments.columns)
        return result.reshape(arguments.shape) if arguments.shape else float(result[0])

    def gradient(
        self, /, *, wrt: str | Sequence[str] | None = None, **values: ArrayLike | Mapping[Any, float]
    ) -> NDArray[np.float64]:
        """Evaluate the exact first derivatives.

        Parameters
        ----------
        wrt : str or sequence of str, optional
            Parameters or inputs to differentiate by; all parameters in order if not given. The derivative by
            a grouped parameter is the one by the value of the row's own category.
        **values
            As for calling the law.

        Returns
        -------
        ndarray, shape (..., len(wrt))
            Derivatives in natural units; the leading axes are the broadcast shape.
        """
        names = self._wrt(wrt)
        arguments = self._arguments(values)
        return self._core.gradient(arguments.columns, names).reshape(*arguments.shape, len(names))

    def hessian(
        self, /, *, wrt: str | Sequence[str] | None = None, **values: ArrayLike | Mapping[Any, float]
    ) -> NDArray[np.float64]:
        """Evaluate the exact second derivatives.

        Parameters
        ----------
        wrt : str or sequence of str, optional
            As for :meth:`gradient`.
        **values
            As for calling the law.

        Returns
        -------
        ndarray, shape (..., len(wrt), len(wrt))
            Symmetric in the last two axes.
        """
        names = self._wrt(wrt)
        arguments = self._arguments(values)
        return self._core.hessian(arguments.columns, names).reshape(*arguments.shape, len(names), len(names))

    def latex(self) -> str:
        """Return the formula as LaTeX, without dollar signs."""
        return self._core.latex()

    def __repr__(self) -> str:
        if self.id is not None:
            return f"<Law {self.id}: {self.formula}>"
        return f"<Law: {self.formula}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Law):
            return NotImplemented
        return self._definition == other._definition

    def __hash__(self) -> int:
        return hash((self.formula, self.target, tuple(self.params.items()), tuple(self.inputs), self.id))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._definition,)

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError(f"a Law is frozen: {name!r} cannot be set")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError(f"a Law is frozen: {name!r} cannot be deleted")

    def _wrt(self, wrt: str | Sequence[str] | None) -> list[str]:
        if wrt is None:
            return list(self.params)
        names = [wrt] if isinstance(wrt, str) else list(wrt)
        known = (*self.params, *self.inputs)
        for name in names:
            if name not in known:
                raise ValueError(f"wrt names {name!r}, which the law does not have.{near(name, known)}")
        if not names:
            raise ValueError("wrt is empty: name at least one parameter or input")
        return names

    def _arguments(self, values: Mapping[str, Any]) -> _Arguments:
        known = (*self.inputs, *self.params, *dict.fromkeys(self.groups.values()))
        for name in values:
            if name not in known:
                raise TypeError(f"the law has no input or parameter {name!r}.{near(name, known)}")
        known_values = {name: param.value for name, param in self.params.items() if param.value is not None}
        values = {**known_values, **values}
        missing = [name for name in (*self.inputs, *self.params) if name not in values]
        if missing:
            raise TypeError(
                f"the law needs a value for {_quoted(missing)} "
                f"(inputs {_quoted(self.inputs)}; parameters {_quoted(self.params)})"
            )

        arrays: list[NDArray[np.float64]] = []
        for name in (*self.inputs, *self.params):
            value = values[name]
            if isinstance(value, Mapping):
                arrays.append(self._gather(name, value, values))
            else:
                arrays.append(_numeric(name, value))
        labels = [np.shape(values[column]) for column in set(self.groups.values()) if column in values]
        try:
            shape = np.broadcast_shapes(*(array.shape for array in arrays), *labels)
        except ValueError:
            shapes = ", ".join(
                f"{name} {array.shape}"
                for name, array in zip((*self.inputs, *self.params), arrays, strict=True)
                if array.ndim
            )
            raise ValueError(f"the values do not broadcast together: {shapes}") from None
        columns = [
            np.ascontiguousarray(array.reshape(1))
            if array.size == 1
            else np.ascontiguousarray(np.broadcast_to(array, shape)).reshape(-1)
            for array in arrays
        ]
        # One column of full length tells the kernel how many rows there are, even where all values are equal.
        count = int(np.prod(shape))
        if count != 1 and all(column.size == 1 for column in columns):
            columns[0] = np.full(count, columns[0][0])
        return _Arguments(columns, shape)

    def _gather(
        self, name: str, by_category: Mapping[Any, float], values: Mapping[str, Any]
    ) -> NDArray[np.float64]:
        """Spread the values of a grouped parameter over the rows."""
        column = self.groups.get(name)
        if column is None:
            raise TypeError(f"{name!r} is not grouped in the formula: give numbers, not a mapping")
        if column not in values:
            raise TypeError(f"{name!r} is given by category, so the law needs the column {column!r} as well")
        labels = np.asarray(values[column])
        table = {str(key): value for key, value in by_category.items()}
        found, inverse = np.unique(labels.astype(str), return_inverse=True)
        for label in found:
            if str(label) not in table:
                raise ValueError(
                    f"{name!r} has no value for the category {str(label)!r} of column {column!r}"
                    f".{near(str(label), table)}"
                )
        gathered = _numeric(name, [table[str(label)] for label in found])
        return gathered[inverse].reshape(labels.shape)


def _rebuild(definition: dict[str, Any]) -> Law:
    """Make a law again from what made it; the compiled part is not pickled."""
    return Law(**definition)


def _as_param(name: str, domain: Param | Domain) -> Param:
    if isinstance(domain, Param):
        return domain
    try:
        return Param(domain)
    except (TypeError, ValueError) as error:
        raise ValueError(f"parameter {name!r}: {error}") from None


def _as_published(entry: Published | Mapping[str, Any], names: tuple[str, ...]) -> Published:
    made = entry if isinstance(entry, Published) else Published(**entry)
    for name in made.values:
        base = name.partition("[")[0]
        if base not in names:
            raise ValueError(f"published values name {name!r}: no such parameter.{near(name, names)}")
    return made


def _as_check(entry: Check | Mapping[str, Any], published: tuple[Published, ...]) -> Check:
    if isinstance(entry, Check):
        return entry
    values = entry["values"] if "values" in entry else published[int(entry["published"])].values
    return Check(inputs=entry["inputs"], values=values, result=float(entry["result"]))


def _as_grid(
    grid: Mapping[str, Sequence[float]] | None, params: Mapping[str, Param]
) -> Mapping[str, tuple[float, ...]] | None:
    if grid is None:
        return None
    if set(grid) != set(params):
        raise ValueError(f"the grid must name every parameter once: {_quoted(params)}, not {_quoted(grid)}")
    return MappingProxyType({name: tuple(float(value) for value in grid[name]) for name in params})


def _meanings(
    formula: str,
    inputs: Mapping[str, str] | Sequence[str] | None,
    used: tuple[str, ...],
    categorical: tuple[str, ...],
    params: tuple[str, ...],
) -> dict[str, str]:
    """Meaning of each declared column, after checking the declaration against the formula."""
    if inputs is None:
        return {}
    declared = dict(inputs) if isinstance(inputs, Mapping) else {str(name): "" for name in inputs}
    for name in declared:
        if name in params:
            raise ValueError(f"{name!r} is declared as a parameter and as an input")
    for name in (*used, *categorical):
        if name not in declared:
            place = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", formula)
            raise FormulaError(
                f"{name!r} is neither a parameter nor an input of the law.{near(name, (*params, *declared))}",
                formula,
                place.start() if place else None,
            )
    for name in declared:
        if name not in used and name not in categorical:
            raise ValueError(f"the input {name!r} is not used by the formula.{near(name, used)}")
    return declared


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _numeric(name: str, value: Any) -> NDArray[np.float64]:
    array = np.asarray(value)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name!r} must be numeric, not {type(value).__name__} holding {array.dtype}")
    return cast(NDArray[np.float64], array.astype(np.float64))
