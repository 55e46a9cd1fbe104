"""Formulas over a variable number of terms: ``sum[i](C{i} * r{i})``, and what labels make of them.

A template is formula text with two additions. ``sum[i](...)``, ``prod[i](...)``, ``min[i](...)`` and
``max[i](...)`` repeat what stands in the parentheses once for each label of the index ``i``; several indices,
``sum[i, j](...)``, run through all pairs, the last one fastest. Inside, ``C{i}`` is one name for each label:
``C1`` for the label ``1``, ``C_web`` for the label ``web``. The expansion is ordinary formula text, and
nothing behind this module knows that there was a template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, product
from typing import Any, NoReturn, TypeVar

from .errors import FormulaError, near
from .reductions import ATOM, HOLE, PRODUCT, SUM, Part, Reader, Reduction, has_reduction, is_name, tightness

__all__ = ["Expansion", "Labels", "Template", "as_labels", "expansion_of", "labelled"]

# The parser behind this has the same limit for the text it accepts. Labels multiply, so the limit has to hold
# while the text is written, not afterwards.
MAX_LENGTH = 64 * 1024

Labels = Mapping[str, tuple[str, ...]]
Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Template:
    """A formula with index placeholders, read and checked.

    Parameters
    ----------
    text : str
        The formula.
    indices : tuple of str
        Its indices, in the order in which reductions first name them.

    Examples
    --------
    >>> template = Template.read("L ~ E + 1 / sum[i](C{i} * h{i}**g{i})")
    >>> template.over({"i": ("1", "2")}).formula
    'L ~ E + 1 / (C1 * h1**g1 + C2 * h2**g2)'
    >>> template.over({"i": ("web",)}).formula
    'L ~ E + 1 / (C_web * h_web**g_web)'
    """

    text: str
    indices: tuple[str, ...]
    _body: tuple[Part, ...] = field(repr=False)

    @staticmethod
    def is_template(text: str) -> bool:
        """Tell whether a formula has a placeholder or a reduction over an index.

        Parameters
        ----------
        text : str
            Formula text.

        Returns
        -------
        bool
            False for an ordinary formula, which needs no expansion.
        """
        return "{" in text or "}" in text or has_reduction(text)

    @classmethod
    def read(cls, text: str) -> Template:
        """Read a formula with placeholders.

        Parameters
        ----------
        text : str
            The formula.

        Returns
        -------
        Template
            The checked template.

        Raises
        ------
        FormulaError
            If a placeholder stands outside the reductions over its index, a reduction is not closed, is empty
            or holds several arguments, or an index is used twice; with the position.
        """
        if len(text) > MAX_LENGTH:
            raise FormulaError(f"the formula is longer than {MAX_LENGTH} characters")
        indices, body = Reader(text).run()
        return cls(text.strip(), indices, body)

    def over(self, labels: Mapping[str, Any]) -> Expansion:
        """Expand the template.

        Parameters
        ----------
        labels : mapping of str to sequence of str
            The labels of each index, as for `as_labels`.

        Returns
        -------
        Expansion
            The ordinary formula, and the means to expand declarations alike.

        Raises
        ------
        ValueError
            If an index has no labels, there is no such index, or labels are not usable.
        FormulaError
            If two names become one, or the expansion is too long.
        """
        for index in labels:
            if index not in self.indices:
                known = ", ".join(repr(name) for name in self.indices)
                raise ValueError(
                    f"the formula has no index {index!r}, only {known}.{near(str(index), self.indices)}"
                )
        for index in self.indices:
            if index not in labels:
                raise ValueError(
                    f"the index {index!r} has no labels: say over={{{index!r}: ('a', 'b', ...)}}"
                )
        return Expansion(self, {index: as_labels(index, labels[index]) for index in self.indices})


class Expansion:
    """A template with labels for its indices.

    Parameters
    ----------
    template : Template
        The template.
    labels : mapping of str to tuple of str
        Labels of every index of it.

    Attributes
    ----------
    formula : str
        Formula text without placeholders.
    labels : dict of str to tuple of str
        The labels.
    """

    def __init__(self, template: Template, labels: Labels) -> None:
        self.template = template
        self.labels = dict(labels)
        # What each expanded name stands for, and as what it was first written: two placeholders may become
        # one name only if they mean the same, as h{i} and h{j} do at the same label.
        self._meaning: dict[str, tuple[tuple[str, ...], str]] = {}
        self._length = 0
        self.formula = self._write(template._body, {})

    def names(self, declared: Mapping[str, Entry]) -> Iterator[tuple[str, Entry, dict[str, str]]]:
        """Expand declarations.

        Neighbours over the same indices stay together, label by label: ``C{i}, g{i}`` becomes ``C1, g1, C2,
        g2``.

        Parameters
        ----------
        declared : mapping of str to object
            Declarations by name, with or without placeholders.

        Yields
        ------
        str, object, dict of str to str
            Expanded name, the declaration, and the label of each index in the name.

        Raises
        ------
        ValueError
            If a name has an index that the formula does not have, or two names become one.
        """
        seen: dict[str, str] = {}
        for indices, run in groupby(declared, key=self._indices):
            together = list(run)
            for chosen in product(*(self.labels[index] for index in indices)):
                at = dict(zip(indices, chosen, strict=True))
                for name in together:
                    expanded = self._name(name, at, None) if at else name
                    if expanded in seen:
                        raise ValueError(f"{seen[expanded]!r} and {name!r} both declare {expanded!r}")
                    seen[expanded] = name
                    yield expanded, declared[name], at

    def expand(
        self, declared: Mapping[str, Entry], make: Callable[[Entry, Mapping[str, str]], Entry] | None = None
    ) -> dict[str, Entry]:
        """Expand declarations into a dictionary.

        Parameters
        ----------
        declared : mapping of str to object
            Declarations by name, with or without placeholders.
        make : callable, optional
            Called with a declaration and its labels; makes the declaration of the expanded name.

        Returns
        -------
        dict of str to object
            Declarations by expanded name, in the order of `names`.
        """
        return {name: entry if make is None else make(entry, at) for name, entry, at in self.names(declared)}

    def _indices(self, name: str) -> tuple[str, ...]:
        indices = tuple(dict.fromkeys(HOLE.findall(name)))
        for index in indices:
            if index not in self.labels:
                raise ValueError(
                    f"{name!r} has the index {index!r}, which the formula does not have."
                    f"{near(index, self.labels)}"
                )
        if indices and not is_name(name):
            raise ValueError(f"{name!r} is not a name with placeholders, such as 'C{{i}}'")
        return indices

    def _name(self, name: str, at: Mapping[str, str], position: int | None) -> str:
        """Put labels into a name; refuse it if another name has become the same."""
        pieces = HOLE.split(name)
        out, used = pieces[0], []
        for index, rest in zip(pieces[1::2], pieces[2::2], strict=True):
            label = at[index]
            used.append(label)
            out += ("" if label.isdecimal() or out.endswith("_") else "_") + label + rest
        meaning = (HOLE.sub("{}", name), *used)
        known, first = self._meaning.setdefault(out, (meaning, name))
        if known != meaning:
            raise FormulaError(
                f"{_spoken(name, used)} and {_spoken(first, known[1:])} become the same name {out!r}: "
                "choose other labels or names",
                "" if position is None else self.template.text,
                position,
            )
        return out

    def _write(self, body: Sequence[Part], at: Mapping[str, str]) -> str:
        out = []
        for part in body:
            if isinstance(part, Reduction):
                out.append(self._reduce(part, at))
            else:
                out.append(self._name(part.text, at, part.position) if part.kind == "name" else part.text)
                self._length += len(out[-1])
                # Every expanded term passes here, so a hostile template ends early.
                if self._length > 4 * MAX_LENGTH:
                    self._too_long(part.position)
        return "".join(out)

    def _reduce(self, part: Reduction, at: Mapping[str, str]) -> str:
        terms = [
            self._write(part.body, {**at, **dict(zip(part.indices, chosen, strict=True))}).strip()
            for chosen in product(*(self.labels[index] for index in part.indices))
        ]
        if part.kind in ("min", "max") and len(terms) > 1:
            text, binding = f"{part.kind}({', '.join(terms)})", ATOM
        elif len(terms) == 1:
            text, binding = terms[0], tightness(terms[0])
        else:
            sign, binding = (" + ", SUM) if part.kind == "sum" else (" * ", PRODUCT)
            text = sign.join(term if tightness(term) > binding else f"({term})" for term in terms)
        if len(text) > MAX_LENGTH:
            self._too_long(part.position)
        return text if binding >= part.binding else f"({text})"

    def _too_long(self, position: int) -> NoReturn:
        raise FormulaError(
            f"the formula over these labels is longer than {MAX_LENGTH} characters",
            self.template.text,
            position,
        )


def expansion_of(formula: str, names: Sequence[str], over: Mapping[str, Any] | None) -> Expansion | None:
    """Expand the formula of a law, if it is a template.

    Parameters
    ----------
    formula : str
        The formula.
    names : sequence of str
        Declared parameters and inputs.
    over : mapping of str to sequence of str, or None
        The labels of each index.

    Returns
    -------
    Expansion or None
        None for an ordinary formula.

    Raises
    ------
    ValueError
        If there are labels or placeholders and no index.
    FormulaError
        If the template is faulty, or has no labels.
    """
    if not Template.is_template(formula):
        if over:
            raise ValueError(
                f"over= gives labels, but the formula has no index, such as sum[i](...): {formula}"
            )
        for name in names:
            if "{" in name:
                raise ValueError(f"{name!r} is declared, but the formula has no index, such as sum[i](...)")
        return None
    template = Template.read(formula)
    if over is None:
        labels = ", ".join(f"{index!r}: ('a', 'b')" for index in template.indices)
        raise FormulaError(
            f"a formula with an index needs its labels: say over={{{labels}}}; "
            "law.over(...) then gives the same law over other labels",
            formula,
            next(at for at, character in enumerate(formula) if character in "[{"),
        )
    return template.over(over)


def labelled(text: str, at: Mapping[str, str]) -> str:
    """Put labels in the place of ``{i}`` in a text for readers.

    Parameters
    ----------
    text : str
        The text.
    at : mapping of str to str
        The label of each index.

    Returns
    -------
    str
        The text with labels.
    """
    for index, label in at.items():
        text = text.replace(f"{{{index}}}", label)
    return text


def as_labels(index: str, labels: object) -> tuple[str, ...]:
    """Check the labels of an index.

    Parameters
    ----------
    index : str
        The index, for messages.
    labels : sequence of str or int, or int
        Names (``"web"``) or digits (``"1"``); a whole number n stands for ``"1"`` to ``"n"``.

    Returns
    -------
    tuple of str
        The labels.

    Raises
    ------
    TypeError
        If they are no sequence of text.
    ValueError
        If there is none, one is neither a name nor digits, or one occurs twice.

    Examples
    --------
    >>> as_labels("i", 3)
    ('1', '2', '3')
    """
    if isinstance(labels, int) and not isinstance(labels, bool):
        if not 1 <= labels <= MAX_LENGTH:
            raise ValueError(f"over: the index {index!r} needs at least one label, not {labels}")
        return tuple(str(number) for number in range(1, labels + 1))
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise TypeError(
            f"over: the labels of {index!r} are a sequence such as ('web', 'code'), not {labels!r}"
        )
    out: list[str] = []
    for label in labels:
        whole = isinstance(label, int) and not isinstance(label, bool)
        if not isinstance(label, str) and not whole:
            raise TypeError(f"over: a label of {index!r} is text, not {label!r}")
        text = str(label)
        if not (text.isidentifier() or (text.isascii() and text.isdecimal())):
            raise ValueError(
                f"over: the label {text!r} of {index!r} must be a name or digits: it becomes part of a name"
            )
        if text in out:
            raise ValueError(f"over: {index!r} has the label {text!r} twice")
        out.append(text)
    if not out:
        raise ValueError(f"over: the index {index!r} needs at least one label")
    return tuple(out)


def _spoken(name: str, labels: Sequence[str]) -> str:
    return f"{name!r} at {', '.join(labels)}" if labels else f"the name {name!r}"
