"""Formula text to a checked list of operations, for the reference evaluator.

The text is read by Python's own parser (`ast`), every node of the result is checked against a short list of
what a formula may contain, and what remains is a tape: operations in the order in which they can be computed,
equal subexpressions once. Nothing is evaluated or compiled here. Length and nesting are bounded *before* the
parser runs, because it recurses.
"""

from __future__ import annotations

import ast
import keyword
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TypeAlias

from .errors import FormulaError, near

__all__ = ["FUNCTIONS", "MAX_DEPTH", "MAX_LENGTH", "MAX_NESTING", "MAX_NODES", "Step", "Tape", "parse"]

MAX_LENGTH = 64 * 1024
MAX_NESTING = 128
MAX_DEPTH = 1_000
MAX_NODES = 10_000

FUNCTIONS = (
    "exp", "log", "log2", "log10", "log1p", "expm1", "sqrt", "abs", "sin", "cos", "tan", "atan", "tanh",
    "sigmoid", "softplus", "erf", "normcdf", "min", "max",
)  # fmt: skip
_VARIADIC = ("min", "max")

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?)
      | (?P<name>[^\W\d]\w*)
      | (?P<text>'[^'\\\n]*'|"[^"\\\n]*")
      | (?P<operator>\*\*|//|<=|>=|==|!=|[-+*/()\[\],<>~=])
    """,
    re.VERBOSE,
)
_WORDS = ("and", "or", "not", "in")
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.Pow: "pow",
}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
}

Literal: TypeAlias = float | str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a tape.

    Parameters
    ----------
    op : str
        ``number``, ``text``, ``name``, ``add``, ``sub``, ``mul``, ``div``, ``pow``, ``neg``, the name of a
        function, or (conditions) ``compare``, ``and``, ``or``, ``not``, ``tuple``.
    args : tuple of int
        Indices of the steps that are the operands.
    value : float, str, tuple of str or None
        The literal, the name, or the operators of a chain of comparisons.
    position : int
        Index into the text, for errors.
    """

    op: str
    args: tuple[int, ...]
    value: Literal
    position: int


@dataclass(frozen=True, slots=True)
class Tape:
    """A checked formula or condition.

    Parameters
    ----------
    text : str
        The whole text, target included.
    target : str or None
        The name before ``~``.
    steps : tuple of Step
        Operations; the last one is the result.
    names : dict of str to int
        Every name on the right-hand side with its first position, in order of appearance.
    groups : dict of str to str
        Grouped parameter to its categorical column.
    """

    text: str
    target: str | None
    steps: tuple[Step, ...]
    names: dict[str, int]
    groups: dict[str, str]


@dataclass(slots=True)
class _Scan:
    """What the scan of the tokens finds out before the parser runs."""

    tilde: int | None = None
    runs: list[int] = field(
        default_factory=lambda: [0]
    )  # per open bracket: signs and powers inside one another


def parse(text: str, *, condition: bool = False) -> Tape:
    """Read a formula or a condition.

    Parameters
    ----------
    text : str
        ``"L ~ E + A / N**alpha"``, with or without the target; or a condition such as ``"6*N*D > 1e22"``.
    condition : bool, default False
        Whether comparisons, ``and``, ``or``, ``not``, ``in`` and text constants are allowed, and ``~`` and
        ``A[g]`` are not.

    Returns
    -------
    Tape
        The checked operations.

    Raises
    ------
    FormulaError
        With the position of the first thing that is wrong.
    """
    what = "condition" if condition else "formula"
    if not isinstance(text, str):
        raise FormulaError(f"a {what} is text, not {type(text).__name__}")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_LENGTH:
        raise FormulaError(f"the {what} is longer than {MAX_LENGTH} bytes")
    tilde = _scan(text, condition)
    start = 0 if tilde is None else tilde + 1
    target = None if tilde is None else _target(text, tilde)
    # Blanks instead of what is cut off and of newlines keep every position of the parser a position in the
    # text.
    body = re.sub(r"\s", " ", text[start:])
    lead = len(body) - len(body.lstrip())
    if not body.strip():
        raise FormulaError(f"the {what} is empty", text, start)
    return _Checker(text, start + lead, condition).run(_tree(body.strip(), text, start + lead), target)


def _scan(text: str, condition: bool) -> int | None:
    scan, position, previous = _Scan(), 0, ""
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise FormulaError(_unknown(text[position]), text, position)
        kind, token = match.lastgroup, match.group()
        if kind == "name":
            _check_name(token, text, position, condition)
            if token == "not":
                scan.runs[-1] += 1
        elif kind == "number":
            _check_number(token, text, position)
            after = text[match.end() : match.end() + 1]
            if after == "_" or after.isalpha():
                raise FormulaError(f"{token + after!r} is neither a number nor a name", text, position)
        elif kind == "text" and (
            not condition or (previous and text[position - 1] == previous[-1].strip() != "")
        ):
            _check_text(text, position, condition, previous)
        elif kind == "operator":
            _operator(token, previous, text, position, condition, scan)
        if len(scan.runs) - 1 + sum(scan.runs) > MAX_NESTING:
            raise FormulaError(f"nested more than {MAX_NESTING} levels deep", text, position)
        if kind != "space":
            previous = token
        position = match.end()
    if previous in ("+", "-", "*", "/", "**", ",", "not", "and", "or", "in", *_COMPARISONS):
        raise FormulaError(f"something is missing after {previous!r}", text, len(text))
    return scan.tilde


def _operator(token: str, previous: str, text: str, position: int, condition: bool, scan: _Scan) -> None:
    match token:
        case "(" | "[":
            scan.runs.append(0)
        case ")" | "]":
            if len(scan.runs) == 1:
                raise FormulaError(f"{token!r} closes nothing", text, position)
            scan.runs.pop()
        case "**":
            scan.runs[-1] += 1
        case "//":
            raise FormulaError("'//' is not an operator; '/' divides", text, position)
        case "=":
            hint = "equality is written '=='" if condition else "the target is separated by '~'"
            raise FormulaError(f"'=' is not an operator; {hint}", text, position)
        case "~":
            if condition or scan.tilde is not None or len(scan.runs) > 1:
                raise FormulaError("'~' may only separate the target from the formula", text, position)
            scan.tilde = position
        case "+" | "-" if previous in (
            "",
            "~",
            "(",
            "[",
            ",",
            "+",
            "-",
            "*",
            "/",
            "**",
            *_COMPARISONS,
            *_WORDS,
        ):
            scan.runs[-1] += 1
        case _ if token in _COMPARISONS and not condition:
            raise FormulaError(f"a formula has no comparison {token!r}", text, position)
        case _:
            scan.runs[-1] = 0


def _check_name(name: str, text: str, position: int, condition: bool) -> None:
    if keyword.iskeyword(name) and not (condition and name in _WORDS):
        raise FormulaError(f"{name!r} is a reserved word of Python and cannot be a name", text, position)
    if unicodedata.normalize("NFKC", name) != name:
        raise FormulaError(
            f"the name {name!r} has a character that Python reads as another one", text, position
        )


def _check_number(token: str, text: str, position: int) -> None:
    try:
        value = float(token)
    except ValueError:
        raise FormulaError(f"{token!r} is not a number", text, position) from None
    if value == float("inf"):
        raise FormulaError(f"the number {token} is too large", text, position)
    if token[0] == "0" and token.isdigit() and value != 0.0:
        raise FormulaError(f"the whole number {token!r} starts with a zero", text, position)


def _check_text(text: str, position: int, condition: bool, previous: str) -> None:
    if not condition:
        raise FormulaError("a formula has no text constants", text, position)
    # A name directly before a quote would be read as a prefix (f"...", r"...").
    if previous[-1].isalnum() or previous[-1] in "_'\"":
        raise FormulaError("a text constant must be separated from what stands before it", text, position)


def _unknown(character: str) -> str:
    match character:
        case "^":
            return "'^' is not an operator; a power is written '**'"
        case "%" | "@" | "&" | "|" | "!":
            return f"{character!r} is not an operator"
        case "'" | '"':
            return "this text constant is not closed"
        case ".":
            return "unexpected '.': functions and names are written without a module in front"
    return f"unknown character {character!r}"


def _target(text: str, tilde: int) -> str:
    target = text[:tilde].strip()
    if not target.isidentifier():
        raise FormulaError("before '~' stands the one name that the formula predicts", text, 0)
    return target


def _tree(body: str, text: str, start: int) -> ast.expr:
    try:
        return ast.parse(body, mode="eval").body
    except SyntaxError as error:
        position = start + max(0, (error.offset or 1) - 1)
        message = (error.msg or "invalid syntax").partition(". Perhaps")[0]
        if message.startswith("invalid syntax"):
            message = "this cannot stand here"
        raise FormulaError(message, text, min(position, len(text))) from None
    except (RecursionError, MemoryError):
        raise FormulaError("too deeply nested", text, start) from None


class _Checker:
    """Walks a syntax tree without recursion and writes the tape."""

    def __init__(self, text: str, start: int, condition: bool) -> None:
        self.text, self.start, self.condition = text, start, condition
        self.ascii = text.isascii()
        self.encoded = text[start:].encode("utf-8", "replace")
        self.steps: list[Step] = []
        self.depth: list[int] = []
        self.known: dict[tuple[str, tuple[int, ...], Literal], int] = {}
        self.names: dict[str, int] = {}
        self.groups: dict[str, str] = {}
        self.bare: set[str] = set()
        self.nodes = 0

    def run(self, tree: ast.expr, target: str | None) -> Tape:
        pending: list[tuple[ast.expr, list[ast.expr] | None]] = [(tree, None)]
        done: list[int] = []
        while pending:
            node, operands = pending.pop()
            if operands is None:
                self.nodes += 1
                if self.nodes > MAX_NODES:
                    raise self.error(f"more than {MAX_NODES} terms and operators", node)
                operands = self.operands(node)
                pending.append((node, operands))
                pending.extend((operand, None) for operand in reversed(operands))
            else:
                first = len(done) - len(operands)
                args = tuple(done[first:])
                del done[first:]
                done.append(self.emit(node, args))
        self.check_groups(target)
        if self.steps[-1].op in ("text", "tuple"):
            raise self.error("a condition compares something", tree)
        if done[0] != len(self.steps) - 1:  # the whole formula is a subexpression seen before: cannot happen
            raise self.error("not understood", tree)
        return Tape(self.text, target, tuple(self.steps), self.names, self.groups)

    def operands(self, node: ast.expr) -> list[ast.expr]:
        """Return the operands of an allowed node; refuse every other node."""
        match node:
            case ast.Constant() | ast.Name() | ast.Subscript():
                return []
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return [left, right]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return [operand]
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                self.check_call(name, node)
                return args
            case ast.UnaryOp(op=ast.Not(), operand=operand) if self.condition:
                return [operand]
            case ast.BoolOp(values=values) if self.condition:
                return values
            case ast.Compare(left=left, comparators=comparators) if self.condition:
                for sign, right in zip(node.ops, comparators, strict=True):
                    if isinstance(right, ast.Tuple | ast.List) and not isinstance(sign, ast.In | ast.NotIn):
                        raise self.error("a list of values stands after 'in'", right)
                return [left, *comparators]
            case ast.Tuple(elts=elements) | ast.List(elts=elements) if self.condition and elements:
                return elements
        raise self.error("this is not part of the formula language", node)

    def check_call(self, name: str, node: ast.Call) -> None:
        if name not in FUNCTIONS:
            raise self.error(f"unknown function {name!r}.{near(name, FUNCTIONS)}", node)
        given = len(node.args)
        if name in _VARIADIC and given < 2:
            raise self.error(f"{name} takes two or more arguments, not {given}", node)
        if name not in _VARIADIC and given != 1:
            raise self.error(f"{name} takes one argument, not {given}", node)

    def emit(self, node: ast.expr, args: tuple[int, ...]) -> int:
        """Append the step of a checked node, or find the equal one that exists."""
        value: Literal = None
        match node:
            case ast.Constant(value=str(word)) if self.condition:
                op, value = "text", word
            case ast.Constant(value=number) if isinstance(number, int | float) and not isinstance(
                number, bool
            ):
                op, value = "number", float(number)
            case ast.Name(id=name):
                op, value = "name", self.name(name, node)
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Name(id=column)) if not self.condition:
                op, value = "name", self.group(name, column, node)
            case ast.BinOp(op=operator):
                op = _BINARY[type(operator)]
            case ast.UnaryOp(op=ast.UAdd()):
                return args[0]
            case ast.UnaryOp(op=ast.USub()):
                op = "neg"
            case ast.UnaryOp():
                op = "not"
            case ast.Call(func=ast.Name(id=name)):
                op = name
            case ast.BoolOp(op=junction):
                op = "and" if isinstance(junction, ast.And) else "or"
            case ast.Compare(ops=ops):
                op, value = "compare", tuple(_COMPARE[type(each)] for each in ops if type(each) in _COMPARE)
                if len(value) != len(ops):
                    raise self.error("'is' is not part of the language; equality is '=='", node)
            case ast.Tuple() | ast.List():
                op = "tuple"
            case ast.Subscript():
                raise self.error("a group is written A[column], with two names", node)
            case _:
                raise self.error("this is not part of the formula language", node)
        key = (op, args, value)
        if key not in self.known:
            depth = 1 + max((self.depth[arg] for arg in args), default=0)
            if depth > MAX_DEPTH:
                raise self.error("too deeply nested", node)
            self.known[key] = len(self.steps)
            self.steps.append(Step(op, args, value, self.position(node)))
            self.depth.append(depth)
        return self.known[key]

    def name(self, name: str, node: ast.expr) -> str:
        if name in FUNCTIONS:
            raise self.error(f"{name} is a function: it needs its argument in parentheses", node)
        self.names.setdefault(name, self.position(node))
        self.bare.add(name)
        return name

    def group(self, name: str, column: str, node: ast.expr) -> str:
        if self.groups.setdefault(name, column) != column:
            raise self.error(
                f"{name!r} is grouped by two columns, {self.groups[name]!r} and {column!r}", node
            )
        self.names.setdefault(name, self.position(node))
        return name

    def check_groups(self, target: str | None) -> None:
        for name in self.groups:
            if name in self.bare:
                message = f"{name!r} appears both with and without a group"
                raise FormulaError(message, self.text, self.names[name])
        if target is not None and target in self.names:
            raise FormulaError(f"{target!r} stands on both sides of '~'", self.text, self.names[target])

    def position(self, node: ast.expr) -> int:
        if self.ascii:
            return self.start + node.col_offset
        # The parser counts bytes of UTF-8 from the start of what it was given.
        return self.start + len(self.encoded[: node.col_offset].decode(errors="ignore"))

    def error(self, message: str, node: ast.expr) -> FormulaError:
        return FormulaError(message, self.text, self.position(node))
