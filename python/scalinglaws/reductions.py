"""Reductions over an index: formula text with ``sum[i](...)`` becomes a tree that can be written out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from .errors import FormulaError

__all__ = [
    "ATOM",
    "HOLE",
    "MAX_INDICES",
    "PRODUCT",
    "REDUCTIONS",
    "SUM",
    "Part",
    "Reader",
    "Reduction",
    "Token",
    "has_reduction",
    "is_name",
    "tightness",
]

REDUCTIONS = ("sum", "prod", "min", "max")
MAX_INDICES = 8

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?)
      | (?P<name>[^\W\d]\w*(?:\{[^\W\d]\w*\}\w*)*)
      | (?P<other>\*\*|.)
    """,
    re.VERBOSE | re.DOTALL,
)
HOLE = re.compile(r"\{(\w+)\}")
_REDUCTION = re.compile(rf"(?<!\w)(?:{'|'.join(REDUCTIONS)})\s*\[[^\[\]]{{0,200}}\]\s*\(")

# How tightly the outermost operator of a text binds.
SUM, PRODUCT, POWER, ATOM = range(4)
_BINDING = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "**": POWER}
# What a text has to bind like, at least, to stand without parentheses after and before an operator.
_AFTER = {"+": SUM, "-": PRODUCT, "*": PRODUCT, "/": POWER, "**": ATOM}
_BEFORE = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "**": ATOM}
_OPEN, _CLOSE = ("", "(", "[", ",", "~"), ("", ")", "]", ",")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text that stays as it is, or a name.

    Parameters
    ----------
    kind : {"space", "number", "name", "other"}
        What it is.
    text : str
        The text.
    position : int
        Where it stands in the template.
    """

    kind: str
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Reduction:
    """A reduction, ``kind[indices](body)``.

    Parameters
    ----------
    kind : {"sum", "prod", "min", "max"}
        How terms are joined.
    indices : tuple of str
        The indices, first one slowest.
    body : tuple of Token or Reduction
        One term.
    position : int
        Where it stands in the template.
    binding : int
        How tightly the result has to bind to stand without parentheses where it stands.
    """

    kind: str
    indices: tuple[str, ...]
    body: tuple[Token | Reduction, ...]
    position: int
    binding: int


def has_reduction(text: str) -> bool:
    """Tell whether text has something like ``sum[i](``."""
    return _REDUCTION.search(text) is not None


def is_name(text: str) -> bool:
    """Tell whether text is one name, with or without placeholders."""
    match = _TOKEN.fullmatch(text)
    return match is not None and match.lastgroup == "name"


def tightness(text: str) -> int:
    """Return how tightly the loosest operator outside brackets binds: SUM, PRODUCT, POWER or ATOM."""
    loosest, depth = ATOM, 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        if match.lastgroup != "other":
            continue
        depth += (token in "([") - (token in ")]")
        if depth == 0 and token in _BINDING:
            loosest = min(loosest, _BINDING[token])
    return loosest


Part: TypeAlias = Token | Reduction


class Reader:
    """Recursive descent over the brackets of a template; what stands between them stays text.

    Parameters
    ----------
    text : str
        The template.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [
            Token(str(match.lastgroup), match.group(), match.start()) for match in _TOKEN.finditer(text)
        ]
        self.at = 0
        self.indices: dict[str, int] = {}

    def run(self) -> tuple[tuple[str, ...], tuple[Part, ...]]:
        """Return the indices, in the order in which reductions first name them, and the parts of the text.

        Raises
        ------
        FormulaError
            With the position of the first thing that is wrong.
        """
        body = self._body(())
        if not self.indices:
            raise FormulaError(
                "the formula has no reduction over an index, such as sum[i](...)", self.text, 0
            )
        return tuple(self.indices), _stripped(body)

    def _body(self, open: tuple[str, ...], start: Token | None = None) -> tuple[Part, ...]:
        """Read up to the parenthesis that closes this reduction, or to the end of the formula."""
        parts: list[Part] = []
        depth = 0
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.kind == "name" and (named := self._reduction_head(token)) is not None:
                parts.append(self._reduction(token, named, open, parts))
                continue
            self.at += 1
            if token.kind == "name":
                self._check_name(token, open)
            elif token.kind == "other":
                depth += (token.text in "([") - (token.text in ")]")
                if depth < 0 and start is not None:
                    self._check_body(parts, start, token)
                    return tuple(parts)
                if token.text == "," and depth == 0 and start is not None:
                    self._refuse(f"{start.text}[...](...) takes one expression", token.position)
                if token.text in "{}":
                    self._refuse_brace(token)
            parts.append(token)
        if start is not None:
            self._refuse(f"the parenthesis of {start.text}[...](...) is not closed", start.position)
        return tuple(parts)

    def _reduction_head(self, token: Token) -> list[Token] | None:
        """Return the indices of ``sum[i](``, leaving the position behind its ``(``; None if it is not one."""
        if token.text not in REDUCTIONS:
            return None
        at = self._skip(self.at + 1)
        if at >= len(self.tokens) or self.tokens[at].text != "[":
            if token.text in ("sum", "prod") and at < len(self.tokens) and self.tokens[at].text == "(":
                self._refuse(f"{token.text} needs an index: {token.text}[i](...)", token.position)
            return None
        close = at
        limit = min(len(self.tokens), at + 8 * MAX_INDICES)
        while close < limit and self.tokens[close].text != "]":
            close += 1
        behind = self._skip(close + 1)
        if close == limit or behind >= len(self.tokens) or self.tokens[behind].text != "(":
            return None
        inside = [one for one in self.tokens[at + 1 : close] if one.kind != "space"]
        names, commas = inside[::2], inside[1::2]
        fits = len(inside) % 2 == 1 and all(one.text == "," for one in commas)
        if not fits or any(one.kind != "name" or "{" in one.text for one in names):
            self._refuse(
                f"{token.text}[...](...) names its indices, as in {token.text}[i, j](...)", token.position
            )
        self.at = behind + 1
        return names

    def _reduction(
        self, token: Token, named: list[Token], open: tuple[str, ...], before: Sequence[Part]
    ) -> Reduction:
        indices: list[str] = []
        for one in named:
            if one.text in open or one.text in indices:
                self._refuse(f"the index {one.text!r} is in use already: choose another", one.position)
            indices.append(one.text)
            self.indices.setdefault(one.text, one.position)
            if len(self.indices) > MAX_INDICES:
                self._refuse(f"a formula has at most {MAX_INDICES} indices", one.position)
        after_left = _after(before)
        body = self._body((*open, *indices), token)
        behind = self._skip(self.at)
        right = self.tokens[behind].text if behind < len(self.tokens) else ""
        before_right = SUM if right in _CLOSE else _BEFORE.get(right, ATOM)
        return Reduction(
            token.text, tuple(indices), _stripped(body), token.position, max(after_left, before_right)
        )

    def _check_name(self, token: Token, open: tuple[str, ...]) -> None:
        for match in HOLE.finditer(token.text):
            if match[1] not in open:
                self._refuse(
                    f"{token.text!r} stands outside sum[{match[1]}](...), prod, min or max over {match[1]!r}",
                    token.position,
                )

    def _check_body(self, parts: Sequence[Part], start: Token, end: Token) -> None:
        if all(isinstance(part, Token) and part.kind == "space" for part in parts):
            self._refuse(f"{start.text}[...](...) is empty", end.position)

    def _refuse_brace(self, token: Token) -> NoReturn:
        if token.text == "{" and re.match(r"\{\w+\}", self.text[token.position :]):
            self._refuse("a placeholder belongs to a name, as in C{i}", token.position)
        self._refuse("a placeholder is written C{i}, with the name of an index", token.position)

    def _refuse(self, message: str, position: int) -> NoReturn:
        raise FormulaError(message, self.text, position)

    def _skip(self, at: int) -> int:
        while at < len(self.tokens) and self.tokens[at].kind == "space":
            at += 1
        return at


def _after(before: Sequence[Part]) -> int:
    """Return what a text has to bind like to follow these parts."""
    needed, sign = SUM, False
    for part in reversed(before):
        if isinstance(part, Token) and part.kind == "space":
            continue
        text = "" if isinstance(part, Reduction) else part.text
        if isinstance(part, Token) and text in _OPEN:
            return needed
        if text not in _AFTER:
            # A number, a name or a bracket: a sign behind it joins two terms. Without one the text is faulty,
            # and the parser of the expanded formula says so.
            return needed if sign else ATOM
        needed, sign = max(needed, _AFTER[text]), True
        if text not in "+-":
            return needed
        # This sign may belong to the operand, and then the operator before it counts as well.
    return needed


def _stripped(body: Sequence[Part]) -> tuple[Part, ...]:
    parts = list(body)
    while parts and isinstance(parts[0], Token) and parts[0].kind == "space":
        del parts[0]
    while parts and isinstance(parts[-1], Token) and parts[-1].kind == "space":
        del parts[-1]
    return tuple(parts)
