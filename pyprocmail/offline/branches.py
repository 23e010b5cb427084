"""The conditions of a filter file by their places, from its tree; explain, coverage and reasons name them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pyprocmail.maildrop.syntax.nodes import (
    Assign,
    Binary,
    Block,
    Call,
    Empty,
    Evaluate,
    Expression,
    FilterFile,
    ForEach,
    If,
    Locked,
    Match,
    Pattern,
    Statement,
    Trap,
    Unary,
    While,
)

PATTERN, COMPARISON, FUNCTION, OTHER = "pattern", "comparison", "function", "other"
"""The kinds of Leaf."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part of a condition between &&, || and !: its place, its text and its kind.

    `fold`: the search for a pattern ignores case.
    """

    start: int
    text: bytes
    kind: str
    fold: bool = True


@dataclass(frozen=True, slots=True)
class Branch:
    """An `if`, `elsif`, `while` or `foreach`, or a statement that only searches: its offset, its text up to the body.

    `all_must_hold`: its leaves are joined by && alone.  `body` is the range of the statement that depends on it; empty
    for a statement that only searches.
    """

    start: int
    text: bytes
    leaves: tuple[Leaf, ...]
    all_must_hold: bool
    body: tuple[int, int]
    is_statement: bool = False


@dataclass(slots=True)
class Branches:
    """All branches of a filter file, in order; `by_leaf` finds one by the offset of a leaf."""

    all: list[Branch] = field(default_factory=list)
    by_leaf: dict[int, tuple[Branch, Leaf]] = field(default_factory=dict)
    otherwise: list[tuple[Branch, tuple[int, int]]] = field(default_factory=list)
    """The range of each `else` statement, with the branch before it."""

    def around(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """The branches around the statement at the offset, outermost first: offset and text of each."""
        found = [(branch.body, branch.start, branch.text) for branch in self.all]
        found += [(body, body[0], b"else, after " + branch.text) for branch, body in self.otherwise]
        for (start, end), place, text in sorted(found):
            if start <= offset < end:
                yield place, text


def branches(tree: FilterFile, data: bytes) -> Branches:
    """The branches of the tree, whose text is `data`."""
    found = Branches()
    _Finder(found, data).statements(tree.statements)
    return found


class _Finder:
    def __init__(self, found: Branches, data: bytes) -> None:
        self._found = found
        self._data = data

    def statements(self, statements: tuple[Statement, ...]) -> None:
        for statement in statements:
            self._statement(statement)

    def _statement(self, node: Statement) -> None:
        match node:
            case If():
                for branch in node.branches:
                    self._add(branch.span.start, branch.condition, branch.body)
                    self._statement(branch.body)
                if node.otherwise is not None and not isinstance(node.otherwise, Empty):
                    span = node.otherwise.span
                    self._found.otherwise.append((self._last(node), (span.start, span.end)))
                    self._statement(node.otherwise)
            case While():
                self._add(node.span.start, node.condition, node.body)
                self._statement(node.body)
            case ForEach():
                self._add(node.span.start, None, node.body)
                self._statement(node.body)
            case Evaluate() if not isinstance(node.expression, Assign):
                self._add(node.span.start, node.expression, None, end=node.span.end)
            case Block():
                self.statements(node.statements)
            case Trap() | Locked():
                self.statements(node.block.statements)
            case _:
                pass

    def _last(self, node: If) -> Branch:
        start = node.branches[-1].span.start
        return next(branch for branch in self._found.all if branch.start == start)

    def _add(self, start: int, condition: Expression | None, body: Statement | None, *, end: int = 0) -> None:
        leaves = tuple(self._leaves(condition)) if condition is not None else ()
        if body is None and all(leaf.kind != PATTERN for leaf in leaves):
            return
        inside = (body.span.start, body.span.end) if body is not None else (end, end)
        branch = Branch(
            start,
            b" ".join(self._data[start : body.span.start if body is not None else end].split()),
            leaves,
            condition is not None and _all_must_hold(condition),
            inside,
            body is None,
        )
        self._found.all.append(branch)
        for leaf in leaves:
            self._found.by_leaf[leaf.start] = branch, leaf

    def _leaves(self, node: Expression) -> Iterator[Leaf]:
        if isinstance(node, Unary) and node.operator == "!":
            yield from self._leaves(node.operand)
        elif isinstance(node, Binary) and node.operator in ("&&", "||"):
            yield from self._leaves(node.left)
            yield from self._leaves(node.right)
        else:
            end = node.span.end
            if isinstance(node, Call) and self._data[end - 1 : end] != b")":
                end = self._data.find(b")", end) + 1 or end  # the span ends with the last argument
            text = b" ".join(self._data[node.span.start : end].split())
            yield Leaf(node.span.start, text, _kind(node), _folds(node))


def _all_must_hold(node: Expression) -> bool:
    if isinstance(node, Binary) and node.operator == "&&":
        return _all_must_hold(node.left) and _all_must_hold(node.right)
    return not (isinstance(node, Binary) and node.operator == "||") and not isinstance(node, Unary)


def _folds(node: Expression) -> bool:
    pattern = node.pattern if isinstance(node, Match) else node
    return not isinstance(pattern, Pattern) or b"D" not in pattern.options


def _kind(node: Expression) -> str:
    if isinstance(node, Pattern | Match):
        return PATTERN
    if isinstance(node, Binary):
        return COMPARISON
    return FUNCTION if isinstance(node, Call) else OTHER
