"""The tree of a filter file: what people write, with its places.

`line` is the line that messages of the running filter name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from pyprocmail.source import Span


class TextKind(Enum):
    """How a string is quoted, which decides what is expanded in it."""

    DOUBLE = "variables are expanded; a word without quotes as well"
    SINGLE = "as it stands"
    BACKTICK = "the output of a command"


@dataclass(frozen=True, slots=True)
class Piece:
    """`"..."`, `'...'`, a word or a command in backticks."""

    kind: TextKind
    value: bytes
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class Text:
    """One or more strings side by side: their concatenation."""

    pieces: tuple[Piece, ...]
    span: Span
    line: int

    @property
    def variable(self) -> bytes | None:
        """The name that it is on the left side of an assignment; None where it cannot be one."""
        if len(self.pieces) == 1 and self.pieces[0].kind is TextKind.DOUBLE:
            return self.pieces[0].value
        return None


@dataclass(frozen=True, slots=True)
class Pattern:
    """`/pattern/:options`, searched for in the message unless it stands behind `=~`."""

    text: bytes
    options: bytes
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class Match:
    """`subject =~ /pattern/:options`."""

    subject: Expression
    pattern: Pattern
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`; operator is the word or sign."""

    operator: str
    left: Expression
    right: Expression
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`! operand` or `~ operand`."""

    operator: Literal["!", "~"]
    operand: Expression
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class Call:
    """`name(argument, ...)`."""

    name: str
    arguments: tuple[Expression, ...]
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class Assign:
    """`VARIABLE=value`."""

    name: bytes
    value: Expression
    span: Span
    line: int


Expression = Text | Pattern | Match | Binary | Unary | Call | Assign


@dataclass(frozen=True, slots=True)
class Empty:
    """Nothing: a separator where a statement may stand."""

    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class Command:
    """`to expression`, `echo expression` and the like; `exit` has no expression."""

    keyword: str
    operand: Expression | None
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class Evaluate:
    """An expression alone."""

    expression: Expression
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class Branch:
    """`if (condition)` or `elsif (condition)`, and its statement."""

    condition: Expression
    body: Statement
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class If:
    """`if`, any number of `elsif`, and perhaps `else`."""

    branches: tuple[Branch, ...]
    otherwise: Statement | None
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class While:
    """`while (condition)` and its statement."""

    condition: Expression
    body: Statement
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class ForEach:
    """`foreach /pattern/` or `foreach subject =~ /pattern/`, and its statement."""

    matches: Pattern | Match
    body: Statement
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class Block:
    """`{ ... }`."""

    statements: tuple[Statement, ...]
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class Trap:
    """`exception { ... }`."""

    block: Block
    span: Span
    line: int


@dataclass(frozen=True, slots=True)
class Locked:
    """`dotlock name { ... }` or `flock name { ... }`."""

    kind: Literal["dotlock", "flock"]
    name: Expression
    block: Block
    span: Span
    line: int


Statement = Empty | Command | Evaluate | If | While | ForEach | Block | Trap | Locked


@dataclass(frozen=True, slots=True)
class FilterFile:
    """A filter file."""

    statements: tuple[Statement, ...]
    span: Span
