"""The law: a formula, the domains of its parameters, and what is known about both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Never

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._core import Law as CoreLaw
from .arguments import read_arguments
from .declared import (
    Check,
    Design,
    Published,
    as_check,
    as_design,
    as_grid,
    as_inputs,
    as_meanings,
    as_param,
    as_published,
    as_ranges,
    fitting,
)
from .errors import near
from .losses import Loss
from .param import Domain, Param
from .problem import Residual
from .templates import Expansion, Labels, Template, expansion_of, labelled

__all__ = ["Check", "Design", "Law", "Published"]


class Law:
    """A scaling law: a formula with a domain and a start range for each parameter.

    A law is immutable, hashable and picklable, and may be used from several threads at once. The formula is
    compiled when the law is made; values, gradients and Hessians come from the compiled kernels.

    Parameters
    ----------
    formula : str
        Python arithmetic, ``"L ~ E + A / N**alpha"`` or only the right-hand side. ``A[lang]`` is one value
        per category of the column ``lang``. Functions: exp, log, log2, log10, log1p, expm1, sqrt, abs, sin,
        cos, tan, atan, tanh, sigmoid, softplus, erf, normcdf, min, max. With index placeholders it is a
        template, ``"L ~ E + sum[i](C{i} * r{i})"``; see `over` and :meth:`over`.
    params : mapping of str to Param, str or (low, high)
        The parameters, in the order in which results list them. A string is a domain, ``"real"``,
        ``"positive"`` or ``"unit"``; a pair is a box. ``"C{i}"`` declares one parameter for each label of i.
        Empty for a formula that has nothing to fit, which must declare its `inputs`.
    inputs : mapping of str to str, or sequence of str, optional
        The input columns with their meaning. Without it every name that is not a parameter is an input;
        with it any other name is an error.
    target : str, optional
        Name of the predicted column, where the formula has no ``~``.
    id, title, family, describes, target_unit, notes : str, optional
        What the law is called, the kind of law it is, and what a reader should know about it.
    papers : sequence of str, optional
        References.
    published : sequence of Published or mapping, optional
        Printed coefficients.
    checks : sequence of Check or mapping, optional
        Worked examples. A mapping may hold ``published`` (an index) in place of ``values``.
    grid : mapping of str to sequence of float, optional
        The paper's grid of starts in natural units; its product is what ``fit(..., starts="paper")`` solves.
    ranges : mapping of str to (float, float), optional
        The values over which inputs are usually seen.
    design : Design, optional
        The inputs of an experiment like the paper's, to simulate one.
    residual : {"linear", "log"}, optional
        Where residuals are taken when a fit does not say.
    loss : Loss or str, optional
        The loss when a fit does not say.
    verified : bool
        Whether the formula was checked against the paper's own numbers.
    over : mapping of str to sequence of str, optional
        The labels of each index of a template, ``{"i": ("web", "code")}``; a number n means ``"1"`` to
        ``"n"``. A name ``C{i}`` becomes ``C_web`` for a label that is a name, ``C1`` for one of digits;
        ``{i}`` in its meaning becomes the label. Neighbours over the same indices are listed label by label.

    Attributes
    ----------
    formula : str
        The formula, expanded if it was a template.
    template : str or None
        The text of the template.
    labels : mapping of str to tuple of str
        The labels of each index; empty without a template.

    Raises
    ------
    FormulaError
        If the formula cannot be read, or is a template without labels; the message shows the place.
    ValueError
        If a domain, a name or another option is wrong.

    Examples
    --------
    >>> law = Law("L ~ E + A / N**alpha", params={"E": "positive", "A": "positive", "alpha": "unit"})
    >>> law(N=[1e8, 1e10], E=1.7, A=400.0, alpha=0.34).round(4)
    array([2.4622, 1.8592])
    >>> law.inputs
    ('N',)
    >>> mixture = Law(
    ...     "L ~ E + sum[i](C{i} * r{i})",
    ...     params={"E": "positive", "C{i}": "real"},
    ...     over={"i": ("web", "code")},
    ... )
    >>> mixture.formula
    'L ~ E + C_web * r_web + C_code * r_code'
    >>> list(mixture.over(i=3).params)
    ['E', 'C1', 'C2', 'C3']
    """

    __slots__ = (
        "__weakref__",
        "_core",
        "_definition",
        "_groups",
        "_inputs",
        "_meanings",
        "_params",
        "_template",
        "checks",
        "describes",
        "design",
        "family",
        "formula",
        "grid",
        "id",
        "labels",
        "loss",
        "notes",
        "papers",
        "published",
        "ranges",
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
    _template: Template | None
    formula: str
    target: str | None
    id: str | None
    title: str
    family: str
    describes: str
    target_unit: str
    notes: str
    papers: tuple[str, ...]
    published: tuple[Published, ...]
    checks: tuple[Check, ...]
    grid: Mapping[str, tuple[float, ...]] | None
    ranges: Mapping[str, tuple[float, float]]
    design: Design | None
    labels: Labels
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
        family: str = "",
        describes: str = "",
        target_unit: str = "",
        papers: Sequence[str] = (),
        published: Iterable[Published | Mapping[str, Any]] = (),
        checks: Iterable[Check | Mapping[str, Any]] = (),
        grid: Mapping[str, Sequence[float]] | None = None,
        ranges: Mapping[str, Sequence[float]] | None = None,
        design: Design | None = None,
        notes: str = "",
        residual: Residual | None = None,
        loss: Loss | str | None = None,
        verified: bool = False,
        over: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(formula, str):
            raise TypeError(f"a formula is a string, not {type(formula).__name__}")
        if not isinstance(params, Mapping) or not (params or inputs):
            raise ValueError(
                "params maps each parameter's name to its domain; at least one is needed, "
                "unless inputs= names every input of a formula that has nothing to fit"
            )
        declared = {str(name): as_param(name, domain) for name, domain in params.items()}
        columns = None if inputs is None else as_inputs(inputs)
        given: dict[str, Any] = {"ranges": ranges, "grid": grid, "design": design}
        expansion = expansion_of(formula, (*declared, *(columns or ())), over)
        if expansion is None:
            text, domains, meanings = formula.strip(), declared, columns
        else:
            text = expansion.formula
            domains = expansion.expand(declared, _labelled_param)
            meanings = None if columns is None else expansion.expand(columns, labelled)
            given = _expanded(expansion, given)
        core = CoreLaw(text, [(name, p.kind, *p.bounds) for name, p in domains.items()])
        if core.target is not None and target is not None and core.target != target:
            raise ValueError(f"the formula predicts {core.target!r}, but target={target!r}")
        if residual not in (None, "linear", "log"):
            raise ValueError(f"residual must be 'linear' or 'log', not {residual!r}")
        groups = dict(core.groups)
        used = (*core.inputs, *dict.fromkeys(groups.values()))
        meant = as_meanings(meanings, text, used, tuple(domains))

        put = object.__setattr__
        put(self, "_core", core)
        put(self, "_template", None if expansion is None else expansion.template)
        put(self, "formula", text)
        put(self, "labels", MappingProxyType({} if expansion is None else expansion.labels))
        put(self, "target", core.target if core.target is not None else target)
        put(self, "_params", MappingProxyType(domains))
        put(self, "_inputs", tuple(core.inputs))
        put(self, "_groups", MappingProxyType(groups))
        put(self, "_meanings", MappingProxyType({name: meant.get(name, "") for name in used}))
        put(self, "id", id)
        put(self, "title", title)
        put(self, "family", family)
        put(self, "describes", describes)
        put(self, "target_unit", target_unit)
        put(self, "notes", notes)
        put(self, "papers", tuple(papers))
        put(self, "published", tuple(as_published(entry, tuple(domains)) for entry in published))
        put(self, "checks", tuple(as_check(entry, self.published) for entry in checks))
        put(self, "grid", as_grid(given["grid"], domains))
        put(self, "ranges", as_ranges(given["ranges"], core.inputs))
        put(self, "design", as_design(given["design"], used))
        put(self, "residual", residual)
        put(self, "loss", None if loss is None else Loss.parse(loss))
        put(self, "verified", bool(verified))
        # What a law is made of again: with placeholders where there are some.
        put(
            self,
            "_definition",
            {
                "formula": text if expansion is None else expansion.template.text,
                "params": declared,
                "inputs": columns or None,
                "target": target,
                "id": id,
                "title": title,
                "family": family,
                "describes": describes,
                "target_unit": target_unit,
                "papers": self.papers,
                "published": self.published,
                "checks": self.checks,
                "grid": None if grid is None else {name: tuple(values) for name, values in grid.items()},
                "ranges": None if ranges is None else {name: tuple(ends) for name, ends in ranges.items()},
                "design": design,
                "notes": notes,
                "residual": residual,
                "loss": self.loss,
                "verified": self.verified,
                "over": None if expansion is None else expansion.labels,
            },
        )

    def over(self, /, **labels: Any) -> Law:
        """Expand the template of the law over other labels.

        Parameters
        ----------
        **labels : sequence of str, or int
            The labels of an index, as for ``over`` of the constructor: ``law.over(i=("web", "code"))``. An
            index that is not named keeps its labels.

        Returns
        -------
        Law
            The law over the new labels; the law itself if they are the old ones. Published sets, checks, a
            grid, ranges and a design come along where they fit the new names, which means that no name is
            unknown or left without a number; those that do not fit are dropped.

        Raises
        ------
        ValueError
            If the formula has no index, or none of that name, or labels are not usable.

        Examples
        --------
        >>> law = Law("y ~ prod[i](x{i}**a{i})", params={"a{i}": "real"}, over={"i": 1})
        >>> law.over(i=("depth", "width")).formula
        'y ~ x_depth**a_depth * x_width**a_width'
        """
        if self._template is None:
            raise ValueError(f"the formula has no index, such as sum[i](...), to expand: {self.formula}")
        expansion = self._template.over({**self.labels, **labels})
        if expansion.labels == self.labels:
            return self
        definition = {**self._definition, "over": expansion.labels}
        bare = {"published": (), "checks": (), "grid": None, "ranges": None, "design": None}
        law = Law(**{**definition, **bare})
        kept: dict[str, Any] = {
            "published": fitting(
                self.published, lambda known: _bases(known.values), set(self.params), set(law.params)
            ),
            "checks": fitting(
                self.checks,
                lambda check: _bases(check.values) | set(check.inputs),
                {*self.params, *self.meanings},
                {*law.params, *law.meanings},
            ),
        }
        for key, wanted in (("grid", law.params), ("ranges", law.inputs), ("design", law.meanings)):
            names = _names(expansion, definition[key])
            if names and names <= set(wanted) and (key == "ranges" or names == set(wanted)):
                kept[key] = definition[key]
        return Law(**{**definition, **bare, **kept})

    @property
    def template(self) -> str | None:
        """Text of the template the formula is an expansion of; None if it is written out."""
        return None if self._template is None else self._template.text

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
        arguments = read_arguments(self, values)
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
        arguments = read_arguments(self, values)
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
        arguments = read_arguments(self, values)
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


def _rebuild(definition: dict[str, Any]) -> Law:
    """Make a law again from what made it; the compiled part is not pickled."""
    return Law(**definition)


def _labelled_param(param: Param, at: Mapping[str, str]) -> Param:
    return replace(param, meaning=labelled(param.meaning, at)) if at else param


def _expanded(expansion: Expansion, given: Mapping[str, Any]) -> dict[str, Any]:
    """Expand the names in what is known by name of a parameter or an input."""
    out: dict[str, Any] = {
        key: None if given[key] is None else expansion.expand(given[key]) for key in ("grid", "ranges")
    }
    design = given["design"]
    out["design"] = design if design is None else replace(design, values=expansion.expand(design.values))
    return out


def _names(expansion: Expansion, given: Any) -> set[str]:
    """Expand the names in a grid, ranges or a design; none for a design of more rows than make sense."""
    if isinstance(given, Design):
        try:
            given = replace(given, values=expansion.expand(given.values)).values
        except ValueError:
            return set()
        return set(given)
    return set() if given is None else set(expansion.expand(given))


def _bases(names: Iterable[str]) -> set[str]:
    return {name.partition("[")[0] for name in names}
