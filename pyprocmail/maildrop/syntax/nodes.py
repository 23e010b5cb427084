"""The tree of a filter file: the text that people write, with its places.

`line` is the line in messages of the running filter.  `own` are the terminals of a node that are in none of its
parts, so that all terminals of a tree, each with the text before it, are the file (`unparse`).  Parentheses that only
group an expression are in its `parentheses`; its span is without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, assert_never

from pyprocmail.maildrop.syntax.lexer import Lexeme
from pyprocmail.source import Span


class TextKind(Enum):
    """How a string is quoted, which decides what is expanded in it."""

    DOUBLE = "variables are expanded; a word without quotes as well"
    SINGLE = "as it stands"
    BACKTICK = "the output of a command"


@dataclass(frozen=True, slots=True)
class Parentheses:
    """`( ... )` around an expression; `inner` are those inside of it."""

    left: Lexeme
    right: Lexeme
    inner: Parentheses | None = None

    def lexemes(self) -> list[Lexeme]:
        """All parentheses, the outermost first."""
        found: list[Lexeme] = []
        pair: Parentheses | None = self
        while pair is not None:
            found += (pair.left, pair.right)
            pair = pair.inner
        return found


@dataclass(frozen=True, slots=True)
class Piece:
    """`"..."`, `'...'`, a word or a command in backticks."""

    kind: TextKind
    value: bytes
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Text:
    """One or more strings side by side: their concatenation."""

    pieces: tuple[Piece, ...]
    span: Span
    line: int
    parentheses: Parentheses | None = field(default=None, compare=False, repr=False)

    @property
    def variable(self) -> bytes | None:
        """The name of the variable if it is on the left of an assignment; None if it cannot be there."""
        if len(self.pieces) == 1 and self.pieces[0].kind is TextKind.DOUBLE:
            return self.pieces[0].value
        return None


@dataclass(frozen=True, slots=True)
class Pattern:
    """`/pattern/:options`, searched for in the message unless it follows `=~`."""

    text: bytes
    options: bytes
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)
    parentheses: Parentheses | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Match:
    """`subject =~ /pattern/:options`."""

    subject: Expression
    pattern: Pattern
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)
    parentheses: Parentheses | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`; operator is the word or sign."""

    operator: str
    left: Expression
    right: Expression
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)
    parentheses: Parentheses | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """`! operand` or `~ operand`."""

    operator: Literal["!", "~"]
    operand: Expression
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)
    parentheses: Parentheses | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """`name(argument, ...)`."""

    name: str
    arguments: tuple[Expression, ...]
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)
    parentheses: Parentheses | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Assign:
    """`VARIABLE=value`."""

    name: bytes
    value: Expression
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)
    parentheses: Parentheses | None = field(default=None, compare=False, repr=False)


Expression = Text | Pattern | Match | Binary | Unary | Call | Assign


@dataclass(frozen=True, slots=True)
class Empty:
    """Nothing: a separator where a statement is allowed."""

    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Command:
    """`to expression`, `echo expression` and the like; `exit` has no expression."""

    keyword: str
    operand: Expression | None
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Evaluate:
    """An expression alone."""

    expression: Expression
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Branch:
    """`if (condition)` or `elsif (condition)`, and its statement."""

    condition: Expression
    body: Statement
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class If:
    """`if`, any number of `elsif`, and perhaps `else`."""

    branches: tuple[Branch, ...]
    otherwise: Statement | None
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class While:
    """`while (condition)` and its statement."""

    condition: Expression
    body: Statement
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ForEach:
    """`foreach /pattern/` or `foreach subject =~ /pattern/`, and its statement."""

    matches: Pattern | Match
    body: Statement
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Block:
    """`{ ... }`."""

    statements: tuple[Statement, ...]
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Trap:
    """`exception { ... }`."""

    block: Block
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Locked:
    """`dotlock name { ... }` or `flock name { ... }`."""

    kind: Literal["dotlock", "flock"]
    name: Expression
    block: Block
    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Faulty:
    """Text that the parser could not use; all of it is in `own`."""

    span: Span
    line: int
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


Statement = Empty | Command | Evaluate | If | While | ForEach | Block | Trap | Locked | Faulty


@dataclass(frozen=True, slots=True)
class FilterFile:
    """A filter file."""

    statements: tuple[Statement, ...]
    span: Span
    own: tuple[Lexeme, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Comment:
    """`# to the end of the line`"""

    raw: bytes
    span: Span


_COMMENT = re.compile(rb"#[^\r\n]*")

Node = FilterFile | Statement | Branch | Expression | Piece


def children(node: Node) -> tuple[Node, ...]:
    """The nodes in `node`, in the order of the file."""
    match node:
        case FilterFile() | Block():
            return node.statements
        case If():
            return (*node.branches, *((node.otherwise,) if node.otherwise is not None else ()))
        case Branch() | While():
            return (node.condition, node.body)
        case ForEach():
            return (node.matches, node.body)
        case Trap():
            return (node.block,)
        case Locked():
            return (node.name, node.block)
        case Command():
            return (node.operand,) if node.operand is not None else ()
        case Evaluate():
            return (node.expression,)
        case Text():
            return node.pieces
        case Match():
            return (node.subject, node.pattern)
        case Binary():
            return (node.left, node.right)
        case Unary():
            return (node.operand,)
        case Call():
            return node.arguments
        case Assign():
            return (node.value,)
        case Empty() | Faulty() | Pattern() | Piece():
            return ()
        case _:
            assert_never(node)


def terminals(node: Node) -> list[Lexeme]:
    """The terminals of a node, in the order of the file."""
    found: list[Lexeme] = []
    todo: list[Node] = [node]
    while todo:
        one = todo.pop()
        found += () if isinstance(one, Text) else one.own
        if isinstance(one, Expression):
            found += one.parentheses.lexemes() if one.parentheses is not None else ()
        todo += children(one)
    return sorted(found, key=lambda lexeme: (lexeme.span.start, lexeme.span.end))


def unparse(node: Node) -> bytes:
    """The text of a node: for a whole tree that was parsed, the bytes of the file."""
    lexemes = terminals(node)
    text = b"".join(lexeme.before + lexeme.raw for lexeme in lexemes)
    return text if isinstance(node, FilterFile) or not lexemes else text[len(lexemes[0].before) :]


def comments(tree: FilterFile) -> Iterator[Comment]:
    """The comments of a file, those after a backslash at the end of a line as well."""
    for lexeme in terminals(tree):
        start = lexeme.span.start - len(lexeme.before)
        for found in _COMMENT.finditer(lexeme.before):
            yield Comment(found[0], Span(start + found.start(), start + found.end()))
