"""The boundary to Lark: while it reads, the parser calls one typed method for each rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Literal, TypeAlias, cast

from pyprocmail import grammars
from pyprocmail.grammars import Lark, Lexer, Transformer
from pyprocmail.maildrop.syntax.lexer import Lexeme
from pyprocmail.maildrop.syntax.nodes import (
    Assign,
    Binary,
    Block,
    Branch,
    Call,
    Command,
    Empty,
    Evaluate,
    Expression,
    Faulty,
    FilterFile,
    ForEach,
    If,
    Locked,
    Match,
    Parentheses,
    Pattern,
    Piece,
    Statement,
    Text,
    TextKind,
    Trap,
    Unary,
    While,
    terminals,
)
from pyprocmail.source import Span


def index(lexemes: list[Lexeme], lexeme: Lexeme) -> int:
    """The index of this very lexeme."""
    return next(at for at, other in enumerate(lexemes) if other is lexeme)


class FaultLexeme(Lexeme):
    """Lexemes that the parser could not use, as one terminal."""

    __slots__ = ("covered",)

    def __init__(self, covered: list[Lexeme], span: Span, line: int) -> None:
        super().__init__("FAULT", b"", span, line)
        self.covered = tuple(covered)


class MisplacedError(Exception):
    """The grammar accepts this, but maildrop does not.

    It is noticed at the lexeme after `after`, or at the next one of the type `until`.
    """

    def __init__(self, text: str, after: Lexeme, until: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.after = after
        self.until = until

    def place(self, lexemes: list[Lexeme]) -> int:
        at = index(lexemes, self.after) + 1
        while self.until and lexemes[at].type != self.until:
            at += 1
        return at


class _Lexemes(Lexer):
    """Gives Lark the lexemes, which are made already."""

    def __init__(self, _conf: object) -> None:
        pass

    def lex(self, data: object) -> Iterator[Lexeme]:  # type: ignore[override]  # declared for Lark's own tokens
        return (lexeme for lexeme in cast("list[Lexeme]", data) if lexeme.type != "EOF")


@cache
def parser() -> Lark:
    """The parser, made once in a process."""
    return Lark(
        grammars.load("mailfilter"),
        start="filter_file",
        parser="lalr",
        lexer=_Lexemes,
        transformer=_Build(),
        maybe_placeholders=False,
    )


_Part: TypeAlias = Lexeme | Expression | Statement
_Condition: TypeAlias = tuple[Expression, int, tuple[Lexeme, ...]]
_Conditional: TypeAlias = tuple[Lexeme, _Condition, Lexeme, Statement]
_TEXT_KINDS = {"DOUBLE": TextKind.DOUBLE, "SINGLE": TextKind.SINGLE, "BACKTICK": TextKind.BACKTICK}


class _Build(Transformer[Lexeme, FilterFile]):
    """One method for each rule."""

    # -- expressions -----------------------------------------------------------------------

    def string(self, parts: list[Lexeme]) -> Text:
        pieces = tuple(Piece(_TEXT_KINDS[part.type], part.text, part.span, part.line, (part,)) for part in parts)
        return Text(pieces, _between(parts[0], parts[-1]), parts[0].line)

    def pattern(self, parts: list[Lexeme]) -> Pattern:
        (lexeme,) = parts
        return Pattern(lexeme.text, lexeme.options or b"", lexeme.span, lexeme.line, (lexeme,))

    def parenthesised(self, parts: list[_Part]) -> Expression:
        left, inner, right = cast("tuple[Lexeme, Expression, Lexeme]", tuple(parts))
        return replace(inner, parentheses=Parentheses(left, right, inner.parentheses))

    def match(self, parts: list[_Part]) -> Match:
        subject, pattern = cast("Expression", parts[0]), cast("Pattern", parts[2])
        return Match(subject, pattern, _between(subject, pattern), pattern.line, _lexemes(parts))

    def binary(self, parts: list[_Part]) -> Binary:
        left, sign, right = cast("Expression", parts[0]), cast("Lexeme", parts[1]), cast("Expression", parts[2])
        return Binary(sign.text.decode(), left, right, _between(left, right), sign.line, (sign,))

    comparison = bit_or = bit_and = sum_ = product = binary

    def logical(self, parts: list[_Part]) -> Binary:
        left, sign, right = cast("Expression", parts[0]), cast("Lexeme", parts[1]), cast("Expression", parts[2])
        return Binary(sign.text.decode(), left, right, _between(left, right), sign.next_line, (sign,))

    or_ = and_ = logical

    def not_(self, parts: list[_Part]) -> Unary:
        sign, operand = cast("Lexeme", parts[0]), cast("Expression", parts[1])
        operator = cast('Literal["!", "~"]', sign.text.decode())
        return Unary(operator, operand, _between(sign, operand), sign.next_line, (sign,))

    def call(self, parts: list[_Part]) -> Call:
        name = cast("Lexeme", parts[0])
        arguments = tuple(part for part in parts[1:] if not isinstance(part, Lexeme))
        span = _between(name, parts[-1])
        return Call(name.text.decode(), cast("tuple[Expression, ...]", arguments), span, name.line, _lexemes(parts))

    def target(self, parts: list[_Part]) -> tuple[Text, Lexeme]:
        left, sign = cast("Expression", parts[0]), cast("Lexeme", parts[1])
        if not isinstance(left, Text) or left.variable is None:
            raise MisplacedError("Syntax error before =", sign)
        return left, sign

    def assign(self, parts: tuple[tuple[Text, Lexeme], Expression]) -> Assign:
        (target, sign), value = parts
        name = target.variable
        assert name is not None
        return Assign(name, value, _between(target, value), sign.next_line, (*terminals(target), sign))

    # -- statements ------------------------------------------------------------------------

    def empty(self, parts: list[Lexeme]) -> Empty:
        (lexeme,) = parts
        return Empty(lexeme.span, lexeme.line, (lexeme,))

    def expression(self, parts: list[_Part]) -> Evaluate:
        expression = cast("Expression", parts[0])
        return Evaluate(expression, expression.span, expression.line, _lexemes(parts))

    def simple(self, parts: list[_Part]) -> Command:
        keyword, operand = cast("Lexeme", parts[0]), cast("Expression", parts[1])
        return Command(keyword.text.decode(), operand, _between(keyword, operand), keyword.next_line, _lexemes(parts))

    def exit_(self, parts: list[Lexeme]) -> Command:
        return Command("exit", None, parts[0].span, parts[0].line, tuple(parts))

    def condition(self, parts: list[_Part]) -> _Condition:
        left, expression, right = cast("tuple[Lexeme, Expression, Lexeme]", tuple(parts))
        return expression, left.next_line, (left, right)

    def elsif_(self, parts: _Conditional) -> Branch:
        keyword, (condition, line, parentheses), separator, body = parts
        own = (keyword, *parentheses, separator)
        return Branch(condition, body, _between(keyword, body), line, own)

    def else_(self, parts: list[_Part]) -> tuple[Statement, tuple[Lexeme, ...]]:
        return cast("Statement", parts[2]), _lexemes(parts)

    def if_(self, parts: list[Lexeme | Statement | Branch | _Condition | tuple[Statement, tuple[Lexeme, ...]]]) -> If:
        first = self.elsif_(cast("_Conditional", tuple(parts[:4])))
        branches = [first]
        otherwise: Statement | None = None
        own: tuple[Lexeme, ...] = ()
        for part in parts[4:]:
            if isinstance(part, Branch):
                branches.append(part)
            else:
                otherwise, own = cast("tuple[Statement, tuple[Lexeme, ...]]", part)
        span = Span(first.span.start, (otherwise or branches[-1]).span.end)
        return If(tuple(branches), otherwise, span, first.line, own)

    def while_(self, parts: _Conditional) -> While:
        keyword, (condition, line, parentheses), separator, body = parts
        return While(condition, body, _between(keyword, body), line, (keyword, *parentheses, separator))

    def faulty(self, parts: list[FaultLexeme]) -> Faulty:
        (lexeme,) = parts
        return Faulty(lexeme.span, lexeme.line, lexeme.covered)

    def foreach_head(self, parts: list[_Part]) -> tuple[Lexeme, Pattern | Match]:
        keyword, matches = cast("Lexeme", parts[0]), parts[1]
        if not isinstance(matches, Pattern | Match):
            raise MisplacedError("Syntax error.", keyword, "SEPARATOR")
        return keyword, matches

    def foreach(self, parts: tuple[tuple[Lexeme, Pattern | Match], Lexeme, Statement]) -> ForEach:
        (keyword, matches), separator, body = parts
        return ForEach(matches, body, _between(keyword, body), matches.line, (keyword, separator))

    def block(self, parts: list[_Part]) -> Block:
        opening, closing = cast("Lexeme", parts[0]), cast("Lexeme", parts[-1])
        statements = cast("list[Statement]", [part for part in parts[1:-1] if not isinstance(part, Lexeme)])
        return Block(tuple(statements), _between(opening, closing), opening.line, _lexemes(parts))

    def braces(self, parts: list[_Part]) -> Block:
        block, separator = cast("tuple[Block, Lexeme]", tuple(parts))
        return replace(block, own=(*block.own, separator))

    def exception(self, parts: list[_Part]) -> Trap:
        keyword, block = cast("Lexeme", parts[0]), cast("Block", parts[1])
        return Trap(block, _between(keyword, block), keyword.line, _lexemes(parts))

    def locked(self, parts: list[_Part]) -> Locked:
        keyword, name, block = cast("Lexeme", parts[0]), cast("Expression", parts[1]), cast("Block", parts[2])
        kind = cast('Literal["dotlock", "flock"]', keyword.text.decode())
        return Locked(kind, name, block, _between(keyword, block), keyword.next_line, _lexemes(parts))

    def filter_file(self, parts: list[_Part]) -> FilterFile:
        statements = [part for part in parts if not isinstance(part, Lexeme)]
        return FilterFile(tuple(cast("list[Statement]", statements)), Span(0, parts[-1].span.end if parts else 0))


def _lexemes(parts: Iterable[object]) -> tuple[Lexeme, ...]:
    return tuple(part for part in parts if isinstance(part, Lexeme))


def _between(first: _Part | Branch, last: _Part | Branch) -> Span:
    return Span(first.span.start, last.span.end)
