"""rcfile to tree.

The boundary to Lark: the parser calls a typed method a rule, here, while it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TypeAlias, cast

from lark import Lark, Transformer
from lark.lexer import Lexer

from pyprocmail import grammars
from pyprocmail.diagnostics import Diagnostic
from pyprocmail.procmailrc.lexer import Lexeme, lex, logical
from pyprocmail.procmailrc.nodes import (
    Action,
    Assignment,
    Blank,
    Block,
    Capture,
    Comment,
    Condition,
    Folder,
    Forward,
    Item,
    Missing,
    Pipe,
    Rcfile,
    Recipe,
    Skipped,
    StrayBrace,
    Unset,
    Word,
)
from pyprocmail.program import conditions
from pyprocmail.source import Span


def parse(data: bytes, *, strict: bool = False, passing: int | None = None) -> tuple[Rcfile, list[Diagnostic]]:
    """The tree of the rcfile `data`, and what is wrong with it; never raises.

    With `strict`, a carriage return before a newline is text, as it is to procmail.  `passing` as for lex().
    """
    lexemes, diagnostics = lex(data, strict=strict, passing=passing)
    # Lark hands on what it is given to the lexer; its signature speaks of text only.
    tree = cast("Rcfile", _parser().parse(cast("str", lexemes)))
    return tree, diagnostics


class _Lexemes(Lexer):
    """The lexer that Lark is given: the lexemes are there already."""

    def __init__(self, _conf: object) -> None:
        pass

    def lex(self, data: object) -> Iterator[Lexeme]:  # type: ignore[override]  # declared for Lark's own tokens
        return iter(cast("list[Lexeme]", data))


@cache
def _parser() -> Lark:
    """The parser, made once a process: that is a few milliseconds."""
    return Lark(grammars.load("procmailrc"), start="rcfile", parser="lalr", lexer=_Lexemes, transformer=_Build())


_Part: TypeAlias = Item | Action | Condition | Lexeme


class _Build(Transformer[Lexeme, Rcfile]):
    """A method a rule."""

    def blank(self, parts: list[Lexeme]) -> Blank:
        (lexeme,) = parts
        return Blank(lexeme.raw, lexeme.span)

    def comment(self, parts: list[Lexeme]) -> Comment:
        (lexeme,) = parts
        return Comment(lexeme.raw, lexeme.span)

    def skipped(self, parts: list[Lexeme]) -> Skipped:
        (lexeme,) = parts
        return Skipped(lexeme.raw, lexeme.text, lexeme.span)

    def stray_brace(self, parts: list[Lexeme]) -> StrayBrace:
        (lexeme,) = parts
        return StrayBrace(lexeme.raw, lexeme.span)

    def folder(self, parts: list[Lexeme]) -> Folder:
        (lexeme,) = parts
        return Folder(_word(lexeme), lexeme.span)

    def forward(self, parts: list[Lexeme]) -> Forward:
        (lexeme,) = parts
        return Forward(_word(lexeme, 1), lexeme.text[1:], lexeme.span)

    def pipe(self, parts: list[Lexeme]) -> Pipe:
        (lexeme,) = parts
        return Pipe(lexeme.raw[1:], logical(lexeme.text[1:]), lexeme.span)

    def missing(self, parts: list[Lexeme]) -> Missing:
        (lexeme,) = parts
        return Missing(lexeme.scan is None, lexeme.span)

    def rcfile(self, items: list[Item]) -> Rcfile:
        return Rcfile(tuple(items), Span(0, items[-1].span.end if items else 0))

    def assignment(self, parts: list[Lexeme]) -> Assignment:
        name, equals, value = parts
        return Assignment(name.raw, equals.raw, _word(value), _from_to(name, value))

    def unset(self, parts: list[Lexeme]) -> Unset:
        return Unset(parts[0].raw, parts[0].span)

    def condition(self, parts: list[Lexeme]) -> Condition:
        mark = parts[0].raw if len(parts) > 1 else b""
        lexeme = parts[-1]
        text = logical(lexeme.text)
        return Condition(mark, lexeme.raw, text, conditions.read(text), _from_to(parts[0], lexeme))

    def recipe(self, parts: list[_Part]) -> Recipe:
        start = cast("Lexeme", parts[0])
        action = cast("Action", parts[-1])
        between = tuple(cast("list[Condition | Blank | Comment]", parts[1:-1]))
        return Recipe(_word(start, 1), between, action, _from_to(start, action))

    def capture(self, parts: tuple[Lexeme, Lexeme, Pipe]) -> Capture:
        name, equals, pipe = parts
        return Capture(name.raw, equals.raw, pipe, _from_to(name, pipe))

    def block(self, parts: list[_Part]) -> Block:
        opening, closing = cast("Lexeme", parts[0]), cast("Lexeme", parts[-1])
        items = tuple(cast("list[Item]", parts[1:-1]))
        return Block(items, closing.raw, _from_to(opening, closing))


def _word(lexeme: Lexeme, skip: int = 0) -> Word:
    """The words of `lexeme` behind its first `skip` bytes."""
    assert lexeme.scan is not None, lexeme.type
    span = Span(lexeme.span.start + skip, lexeme.span.end)
    scan = lexeme.scan
    return Word(lexeme.raw[skip:], scan.pieces, scan.unterminated, span, scan.passed)


def _from_to(first: _Part, last: _Part) -> Span:
    return Span(first.span.start, last.span.end)
