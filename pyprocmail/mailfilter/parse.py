"""Filter file to tree.

The boundary to Lark: the parser calls a typed method a rule, here, while it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias, cast

from lark import Lark, Transformer, UnexpectedToken
from lark.exceptions import VisitError
from lark.lexer import Lexer

from pyprocmail import grammars
from pyprocmail.diagnostics import Diagnostic
from pyprocmail.mailfilter import faults
from pyprocmail.mailfilter.lexer import Lexeme, lex
from pyprocmail.mailfilter.nodes import (
    Assign,
    Binary,
    Block,
    Branch,
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
from pyprocmail.source import Span


@dataclass(frozen=True, slots=True)
class Fault:
    """What keeps a file from being run.

    `text` and `line` are what maildrop prints: it names the line where its lexer stands.  `complaint` is what it
    prints before.  `read` is the number of lexemes that it has read.
    """

    text: str
    line: int
    complaint: bytes
    read: int
    diagnostic: Diagnostic


@dataclass(frozen=True, slots=True)
class Parsed:
    """The tree, or the fault, and the lexemes."""

    tree: FilterFile | None
    fault: Fault | None
    lexemes: list[Lexeme]


def parse(data: bytes, *, embedded: bool = False) -> tuple[FilterFile, list[Diagnostic]]:
    """The tree of the filter file `data` and what is wrong with it; a file with a fault has an empty tree."""
    parsed = read(data, embedded=embedded)
    if parsed.tree is not None:
        return parsed.tree, []
    assert parsed.fault is not None
    return FilterFile((), Span(0, len(data))), [parsed.fault.diagnostic]


def read(data: bytes, *, embedded: bool = False) -> Parsed:
    """As `parse`, with all that maildrop says of a fault."""
    lexemes = lex(data, embedded=embedded)
    try:
        # Lark hands on what it is given to the lexer; its signature speaks of text only.
        tree = cast("FilterFile", _parser().parse(cast("str", lexemes)))
    except UnexpectedToken as error:
        at = len(lexemes) - 1 if error.token.type == "$END" else _index(lexemes, cast("Lexeme", error.token))
        return _failed(lexemes, at)
    except _MisplacedError as error:
        return _failed(lexemes, error.place(lexemes), error.text)
    except VisitError as error:
        if isinstance(error.orig_exc, _MisplacedError):
            return _failed(lexemes, error.orig_exc.place(lexemes), error.orig_exc.text)
        raise
    return Parsed(tree, None, lexemes)


def _failed(lexemes: list[Lexeme], at: int, text: str = "") -> Parsed:
    at, said = (at, text) if text else faults.explain(lexemes, at)
    lexeme = lexemes[at]
    diagnostic = faults.describe(lexemes, at, said)
    return Parsed(None, Fault(said, lexeme.line, lexeme.complaint, at + 1, diagnostic), lexemes)


def _index(lexemes: list[Lexeme], lexeme: Lexeme) -> int:
    return next(at for at, other in enumerate(lexemes) if other is lexeme)


class _MisplacedError(Exception):
    """What the grammar lets through and maildrop does not.

    It is noticed at the lexeme behind `after`, or at the next one of the type `until`.
    """

    def __init__(self, text: str, after: Lexeme, until: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.after = after
        self.until = until

    def place(self, lexemes: list[Lexeme]) -> int:
        at = _index(lexemes, self.after) + 1
        while self.until and lexemes[at].type != self.until:
            at += 1
        return at


class _Lexemes(Lexer):
    """The lexer that Lark is given: the lexemes are there already."""

    def __init__(self, _conf: object) -> None:
        pass

    def lex(self, data: object) -> Iterator[Lexeme]:  # type: ignore[override]  # declared for Lark's own tokens
        return (lexeme for lexeme in cast("list[Lexeme]", data) if lexeme.type != "EOF")


@cache
def _parser() -> Lark:
    """The parser, made once a process."""
    return Lark(
        grammars.load("mailfilter"),
        start="filter_file",
        parser="lalr",
        lexer=_Lexemes,
        transformer=_Build(),
        maybe_placeholders=False,
    )


_Part: TypeAlias = Lexeme | Expression | Statement
_TEXT_KINDS = {"DOUBLE": TextKind.DOUBLE, "SINGLE": TextKind.SINGLE, "BACKTICK": TextKind.BACKTICK}


class _Build(Transformer[Lexeme, FilterFile]):
    """A method a rule."""

    # -- expressions -----------------------------------------------------------------------

    def string(self, parts: list[Lexeme]) -> Text:
        pieces = tuple(Piece(_TEXT_KINDS[part.type], part.text, part.span, part.line) for part in parts)
        return Text(pieces, _between(parts[0], parts[-1]), parts[0].line)

    def pattern(self, parts: list[Lexeme]) -> Pattern:
        (lexeme,) = parts
        return Pattern(lexeme.text, lexeme.options or b"", lexeme.span, lexeme.line)

    def parenthesised(self, parts: list[_Part]) -> Expression:
        return cast("Expression", parts[1])

    def match(self, parts: list[_Part]) -> Match:
        subject, pattern = cast("Expression", parts[0]), cast("Pattern", parts[2])
        return Match(subject, pattern, _between(subject, pattern), pattern.line)

    def binary(self, parts: list[_Part]) -> Binary:
        left, sign, right = cast("Expression", parts[0]), cast("Lexeme", parts[1]), cast("Expression", parts[2])
        return Binary(sign.text.decode(), left, right, _between(left, right), sign.line)

    comparison = bit_or = bit_and = sum_ = product = binary

    def logical(self, parts: list[_Part]) -> Binary:
        left, sign, right = cast("Expression", parts[0]), cast("Lexeme", parts[1]), cast("Expression", parts[2])
        return Binary(sign.text.decode(), left, right, _between(left, right), sign.next_line)

    or_ = and_ = logical

    def not_(self, parts: list[_Part]) -> Unary:
        sign, operand = cast("Lexeme", parts[0]), cast("Expression", parts[1])
        operator = cast('Literal["!", "~"]', sign.text.decode())
        return Unary(operator, operand, _between(sign, operand), sign.next_line)

    def call(self, parts: list[_Part]) -> Call:
        name = cast("Lexeme", parts[0])
        arguments = tuple(part for part in parts[1:] if not isinstance(part, Lexeme))
        return Call(name.text.decode(), cast("tuple[Expression, ...]", arguments), _between(name, parts[-1]), name.line)

    def target(self, parts: list[_Part]) -> tuple[Text, Lexeme]:
        left, sign = cast("Expression", parts[0]), cast("Lexeme", parts[1])
        if not isinstance(left, Text) or left.variable is None:
            raise _MisplacedError("Syntax error before =", sign)
        return left, sign

    def assign(self, parts: tuple[tuple[Text, Lexeme], Expression]) -> Assign:
        (target, sign), value = parts
        name = target.variable
        assert name is not None
        return Assign(name, value, _between(target, value), sign.next_line)

    # -- statements ------------------------------------------------------------------------

    def empty(self, parts: list[Lexeme]) -> Empty:
        (lexeme,) = parts
        return Empty(lexeme.span, lexeme.line)

    def expression(self, parts: list[_Part]) -> Evaluate:
        expression = cast("Expression", parts[0])
        return Evaluate(expression, expression.span, expression.line)

    def simple(self, parts: list[_Part]) -> Command:
        keyword, operand = cast("Lexeme", parts[0]), cast("Expression", parts[1])
        return Command(keyword.text.decode(), operand, _between(keyword, operand), keyword.next_line)

    def exit_(self, parts: list[Lexeme]) -> Command:
        return Command("exit", None, parts[0].span, parts[0].line)

    def condition(self, parts: list[_Part]) -> tuple[Expression, int]:
        return cast("Expression", parts[1]), cast("Lexeme", parts[0]).next_line

    def elsif_(self, parts: tuple[Lexeme, tuple[Expression, int], Lexeme, Statement]) -> Branch:
        keyword, (condition, line), _, body = parts
        return Branch(condition, body, _between(keyword, body), line)

    def else_(self, parts: list[_Part]) -> Statement:
        return cast("Statement", parts[2])

    def if_(self, parts: list[Lexeme | Statement | Branch | tuple[Expression, int]]) -> If:
        keyword, (condition, line), _, body = cast(
            "tuple[Lexeme, tuple[Expression, int], Lexeme, Statement]", tuple(parts[:4])
        )
        branches = [Branch(condition, body, _between(keyword, body), line)]
        otherwise = None
        for part in parts[4:]:
            if isinstance(part, Branch):
                branches.append(part)
            else:
                otherwise = cast("Statement", part)
        span = Span(keyword.span.start, (otherwise or branches[-1]).span.end)
        return If(tuple(branches), otherwise, span, line)

    def while_(self, parts: tuple[Lexeme, tuple[Expression, int], Lexeme, Statement]) -> While:
        keyword, (condition, line), _, body = parts
        return While(condition, body, _between(keyword, body), line)

    def foreach_head(self, parts: list[_Part]) -> tuple[Lexeme, Pattern | Match]:
        keyword, matches = cast("Lexeme", parts[0]), parts[1]
        if not isinstance(matches, Pattern | Match):
            raise _MisplacedError("Syntax error.", keyword, "SEPARATOR")
        return keyword, matches

    def foreach(self, parts: tuple[tuple[Lexeme, Pattern | Match], Lexeme, Statement]) -> ForEach:
        (keyword, matches), _, body = parts
        return ForEach(matches, body, _between(keyword, body), matches.line)

    def block(self, parts: list[_Part]) -> Block:
        opening, closing = cast("Lexeme", parts[0]), cast("Lexeme", parts[-1])
        statements = cast("list[Statement]", [part for part in parts[1:-1] if not isinstance(part, Lexeme)])
        return Block(tuple(statements), _between(opening, closing), opening.line)

    def braces(self, parts: list[_Part]) -> Block:
        return cast("Block", parts[0])

    def exception(self, parts: list[_Part]) -> Trap:
        keyword, block = cast("Lexeme", parts[0]), cast("Block", parts[1])
        return Trap(block, _between(keyword, block), keyword.line)

    def locked(self, parts: list[_Part]) -> Locked:
        keyword, name, block = cast("Lexeme", parts[0]), cast("Expression", parts[1]), cast("Block", parts[2])
        kind = cast('Literal["dotlock", "flock"]', keyword.text.decode())
        return Locked(kind, name, block, _between(keyword, block), keyword.next_line)

    def filter_file(self, parts: list[_Part]) -> FilterFile:
        statements = [part for part in parts if not isinstance(part, Lexeme)]
        return FilterFile(tuple(cast("list[Statement]", statements)), Span(0, parts[-1].span.end if parts else 0))


def _between(first: _Part | Branch, last: _Part | Branch) -> Span:
    return Span(first.span.start, last.span.end)
