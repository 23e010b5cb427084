"""The tree of a filter file prepared for checks: each statement with its context, and the values of variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pyprocmail.lint.machine import Machine, NoMachine
from pyprocmail.maildrop.syntax.nodes import (
    Assign,
    Binary,
    Block,
    Call,
    Command,
    Empty,
    Evaluate,
    Expression,
    FilterFile,
    ForEach,
    If,
    Locked,
    Match,
    Pattern,
    Piece,
    Statement,
    Text,
    TextKind,
    Trap,
    Unary,
    While,
)
from pyprocmail.matching.pcre import PatternError, Regex
from pyprocmail.source import Span

NAME = re.compile(rb"(?<!\\)\$(?:\{([^}\s]+)\}|([A-Za-z0-9_]+))")
PATH = b"/bin:/usr/bin:/usr/local/bin"
"""The PATH with which maildrop starts, whatever its caller's is."""


@dataclass(frozen=True, slots=True)
class Place:
    """A statement, its siblings, the conditions on the way to it, and the statements around it, outermost first.

    The condition of an `if` also counts for its `else`: it was tested.
    """

    statement: Statement
    siblings: tuple[Statement, ...]
    index: int
    conditions: tuple[Expression, ...]
    inside: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Shell:
    """A command line for the shell, and the statement that contains it."""

    place: Place
    pieces: tuple[Piece, ...]
    span: Span

    @property
    def text(self) -> bytes:
        """The text without the `|`; variables are not expanded."""
        return b"".join(piece.value for piece in self.pieces).lstrip(b" \t|")


@dataclass(slots=True)
class FilterView:
    """A filter file for the checks.  `others` are the variables that other files of the same run assign."""

    tree: FilterFile
    data: bytes
    machine: Machine = field(default_factory=NoMachine)
    others: frozenset[bytes] = frozenset()
    is_main: bool = True
    places: list[Place] = field(default_factory=list)
    values: dict[bytes, list[Expression | None]] = field(default_factory=dict)
    parts: list[tuple[Place, Expression]] = field(default_factory=list)
    regexes: dict[tuple[bytes, bool], Regex | PatternError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        todo: list[tuple[tuple[Statement, ...], int, tuple[Expression, ...], tuple[Statement, ...]]] = [
            (self.tree.statements, 0, (), ())
        ]
        while todo:
            statements, index, conditions, inside = todo.pop()
            if index < len(statements):
                todo.append((statements, index + 1, conditions, inside))
                place = Place(statements[index], statements, index, conditions, inside)
                self.places.append(place)
                todo += [
                    (inner, 0, (*conditions, *asked), (*inside, place.statement))
                    for inner, asked in reversed(list(_bodies(place.statement)))
                ]
        for place in self.places:
            self.parts += [(place, one) for root in expressions(place.statement) for one in walk(root)]
        for _, assign in self.assigns():
            self.values.setdefault(assign.name, []).append(assign.value)
        for place in self.places:
            statement = place.statement
            if isinstance(statement, Command) and statement.keyword in ("import", "unset"):
                name = self.resolve(statement.operand)
                if name:
                    self.values.setdefault(name, []).append(None)

    def commands(self, *keywords: str) -> Iterator[tuple[Place, Command]]:
        """The statements that begin with one of these words."""
        for place in self.places:
            if isinstance(place.statement, Command) and place.statement.keyword in keywords:
                yield place, place.statement

    def assigns(self) -> Iterator[tuple[Place, Assign]]:
        """Every assignment."""
        for place, one in self.parts:
            if isinstance(one, Assign):
                yield place, one

    def patterns(self) -> Iterator[tuple[Place, Pattern, bool]]:
        """Every pattern, and whether it searches the message."""
        compared = {id(one.pattern) for _, one in self.parts if isinstance(one, Match)}
        for place, one in self.parts:
            if isinstance(one, Pattern):
                yield place, one, id(one) not in compared

    def regex(self, text: bytes, *, fold: bool) -> Regex | PatternError:
        """The pattern, compiled once, or the error."""
        known = self.regexes.get((text, fold))
        if known is None:
            try:
                known = Regex(text, fold=fold)
            except PatternError as error:
                known = error
            self.regexes[text, fold] = known
        return known

    def deliveries(self) -> Iterator[tuple[Place, Command, Text]]:
        """`to` and `cc` with a text."""
        for place, command in self.commands("to", "cc"):
            if isinstance(command.operand, Text):
                yield place, command, command.operand

    def shells(self) -> Iterator[Shell]:
        """Every command line for the shell: `to "|..."`, `cc "|..."`, xfilter, system, and in backticks."""
        for place, command in self.commands("to", "cc", "xfilter", "system"):
            if isinstance(command.operand, Text):
                starts = command.operand.pieces[0].value.lstrip(b" \t")
                if command.keyword in ("xfilter", "system") or starts.startswith(b"|"):
                    yield Shell(place, command.operand.pieces, command.operand.span)
        for place, one in self.parts:
            if isinstance(one, Text):
                for piece in one.pieces:
                    if piece.kind is TextKind.BACKTICK:
                        yield Shell(place, (piece,), piece.span)

    def resolve(self, expression: Expression | None, depth: int = 0) -> bytes | None:
        """The text of an expression, if each variable in it is known."""
        if not isinstance(expression, Text) or depth > 9:
            return None
        text = b""
        for piece in expression.pieces:
            if piece.kind is TextKind.BACKTICK:
                return None
            known: dict[bytes, bytes] = {}
            for found in NAME.finditer(piece.value) if piece.kind is TextKind.DOUBLE else ():
                value = self.value(found[1] or found[2], depth + 1)
                if value is None:
                    return None
                known[found[0]] = value
            at = 0
            for found in NAME.finditer(piece.value) if known else ():
                text += piece.value[at : found.start()] + known[found[0]]
                at = found.end()
            text += piece.value[at:]
        return text

    def value(self, name: bytes, depth: int = 0) -> bytes | None:
        """The value of a variable that has only one in this file; None if it is not known."""
        if name == b"HOME" and name not in self.values:
            return self.machine.home or None
        given = self.values.get(name, [])
        return self.resolve(given[0], depth) if len(given) == 1 else None

    def full(self, name: bytes) -> bytes:
        """The path of a file: a relative one is in HOME, maildrop's working directory."""
        return name if name.startswith(b"/") else self.machine.home + b"/" + name

    def at(self, piece: Piece, text: bytes) -> Span:
        """The place of `text` in a string; the whole string if it is written differently there."""
        found = self.data.find(text, piece.span.start, piece.span.end)
        return Span(found, found + len(text)) if found >= 0 else piece.span

    def is_quoted(self, piece: Piece) -> bool:
        """Whether the string has quotes."""
        return self.data[piece.span.start : piece.span.start + 1] in (b'"', b"'", b"`")

    def line(self, offset: int) -> int:
        """The number of a line, from 1."""
        return self.data.count(b"\n", 0, offset) + 1


def expressions(statement: Statement) -> Iterator[Expression]:
    """The expressions of a statement, without those of the statements in it."""
    match statement:
        case Command(operand=operand) if operand is not None:
            yield operand
        case Evaluate(expression=expression):
            yield expression
        case If(branches=branches):
            yield from (branch.condition for branch in branches)
        case While(condition=condition):
            yield condition
        case ForEach(matches=matches):
            yield matches
        case Locked(name=name):
            yield name
        case _:
            pass


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and all expressions in it, in the order of the file."""
    todo: list[Expression] = [expression]
    while todo:
        one = todo.pop()
        yield one
        match one:
            case Match():
                todo += [one.pattern, one.subject]
            case Binary():
                todo += [one.right, one.left]
            case Unary():
                todo.append(one.operand)
            case Call():
                todo += reversed(one.arguments)
            case Assign():
                todo.append(one.value)
            case Text() | Pattern():
                pass


def _bodies(statement: Statement) -> Iterator[tuple[tuple[Statement, ...], tuple[Expression, ...]]]:
    """The lists of statements in a statement, each with its conditions."""
    match statement:
        case Block():
            yield statement.statements, ()
        case If():
            asked: tuple[Expression, ...] = ()
            for branch in statement.branches:
                asked = (*asked, branch.condition)
                yield _unwrapped(branch.body), asked
            if statement.otherwise is not None:
                yield _unwrapped(statement.otherwise), asked
        case While():
            yield _unwrapped(statement.body), (statement.condition,)
        case ForEach():
            yield _unwrapped(statement.body), (statement.matches,)
        case Trap() | Locked():
            yield statement.block.statements, ()
        case _:
            pass


def _unwrapped(body: Statement) -> tuple[Statement, ...]:
    return body.statements if isinstance(body, Block) else (body,)


def ends(statement: Statement | None) -> bool:
    """Whether no mail gets past the statement."""
    match statement:
        case Command(keyword=keyword):
            return keyword in ("to", "exit")
        case Block(statements=statements):
            return any(ends(one) for one in statements)
        case If(branches=branches, otherwise=otherwise):
            return otherwise is not None and ends(otherwise) and all(ends(branch.body) for branch in branches)
        case Locked(block=block):
            return ends(block)
        case _:
            return False


def is_empty(statement: Statement) -> bool:
    """Whether the statement is only a separator."""
    return isinstance(statement, Empty)
