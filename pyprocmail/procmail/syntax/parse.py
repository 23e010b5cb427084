"""rcfile to tree.

The boundary to Lark: while it reads, the parser calls one typed method for each rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Literal, TypeAlias, assert_never, cast

from pyprocmail import grammars
from pyprocmail.diagnostics import Diagnostic
from pyprocmail.grammars import InteractiveParser, Lark, Lexer, TerminalDef, Token, Transformer
from pyprocmail.numerals import integer_at, real_at
from pyprocmail.procmail.compiled import conditions
from pyprocmail.procmail.compiled.pieces import BLANKS, name_end
from pyprocmail.procmail.compiled.start_line import FLAGS
from pyprocmail.procmail.syntax import places
from pyprocmail.procmail.syntax.lexer import Lexeme, lex
from pyprocmail.procmail.syntax.nodes import (
    Action,
    Area,
    Assignment,
    Blank,
    Block,
    Capture,
    Comment,
    Condition,
    ExpandedTest,
    Flag,
    Folder,
    Forward,
    Item,
    Lockfile,
    Missing,
    Negation,
    Number,
    Pipe,
    Prefix,
    ProgramTest,
    Rcfile,
    Reading,
    Recipe,
    RegexTest,
    SizeTest,
    Skipped,
    Start,
    StrayBrace,
    Test,
    Unread,
    Unset,
    Weight,
    Word,
)
from pyprocmail.source import Span


def parse(data: bytes, *, strict: bool = False, passing: int | None = None) -> tuple[Rcfile, list[Diagnostic]]:
    """The tree of the rcfile `data`, and its faults; never raises.

    With `strict`, a carriage return before a newline is text, as in procmail.  `passing` as in lex().
    """
    feeding = _Feeding()
    diagnostics = lex(data, feeding, strict=strict, passing=passing)
    return feeding.finish(), diagnostics


class _Feeding:
    """A parser while the lexer feeds it."""

    def __init__(self) -> None:
        self.parser: InteractiveParser = _parser().parse_interactive()
        self.patterns = _patterns()

    def feed(self, lexeme: Lexeme) -> None:
        # Lark reads only the type of a token.
        self.parser.feed_token(cast("Token", lexeme))

    def expected(self) -> re.Pattern[bytes]:
        state = self.parser.parser_state.position
        pattern = self.patterns.get(state)
        if pattern is None:
            pattern = self.patterns[state] = _any_of(self.parser.choices())  # type: ignore[no-untyped-call]  # Lark gives it none
        return pattern

    def finish(self) -> Rcfile:
        """The tree."""
        return cast("Rcfile", self.parser.feed_token(Token("$END", "")))


class _NoLexer(Lexer):
    """Lark is fed by our lexer."""

    def __init__(self, _conf: object) -> None:
        pass

    def lex(self, data: object) -> Iterator[Token]:  # type: ignore[override]  # never called
        raise NotImplementedError


@cache
def _parser() -> Lark:
    """The parser, made once in a process, which takes a few milliseconds."""
    return Lark(grammars.load("procmailrc"), start="rcfile", parser="lalr", lexer=_NoLexer, transformer=_Build())


@cache
def _patterns() -> dict[int, re.Pattern[bytes]]:
    """The terminals that may come, by the state of the parser."""
    return {}


def _is_spelled(terminal: TerminalDef) -> bool:
    """Whether the grammar defines the text of the terminal; Lark has no pattern for one that is only declared."""
    return cast("object", terminal.pattern) is not None


def _any_of(choices: Iterable[str]) -> re.Pattern[bytes]:
    """A pattern for the terminals among `choices` that the grammar defines, each as a group."""
    terminals = [terminal for terminal in _parser().terminals if terminal.name in choices and _is_spelled(terminal)]
    terminals.sort(key=lambda terminal: -terminal.priority)
    text = "|".join(f"(?P<{terminal.name}>{terminal.pattern.to_regexp()})" for terminal in terminals)
    return re.compile(text.encode("latin-1"))


_Part: TypeAlias = Item | Action | Condition | Start | Lexeme


class _Build(Transformer[Lexeme, Rcfile]):
    """One method for each rule."""

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
        return Folder(_word(lexeme, reading="folders"), lexeme.span)

    def forward(self, parts: list[Lexeme]) -> Forward:
        (lexeme,) = parts
        return Forward(_word(lexeme, 1), lexeme.text[1:], lexeme.span)

    def pipe(self, parts: list[Lexeme]) -> Pipe:
        (lexeme,) = parts
        return Pipe(lexeme.raw[1:], places.logical(lexeme.text[1:]), lexeme.span)

    def missing(self, parts: list[Lexeme]) -> Missing:
        (lexeme,) = parts
        return Missing(lexeme.type == "INCOMPLETE", lexeme.span)

    def rcfile(self, items: list[Item]) -> Rcfile:
        return Rcfile(tuple(items), Span(0, items[-1].span.end if items else 0))

    def assignment(self, parts: list[Lexeme]) -> Assignment:
        name, equals, value = parts
        return Assignment(name.raw, equals.raw, _word(value, reading="value"), _from_to(name, value))

    def unset(self, parts: list[Lexeme]) -> Unset:
        return Unset(parts[0].raw, parts[0].span)

    # Start lines

    def number(self, parts: list[Lexeme]) -> Number:
        (lexeme,) = parts
        return Number(lexeme.raw, integer_at(lexeme.text.replace(b"\0", b" "))[0], lexeme.span)

    def flag(self, parts: list[Lexeme]) -> Flag:
        (lexeme,) = parts
        return Flag(lexeme.raw, FLAGS[lexeme.text[0]], lexeme.span)

    def lockfile(self, parts: list[Lexeme]) -> tuple[bytes | None, Span]:
        colon, last = parts[0], parts[-1]
        name = last.text.removeprefix(b"\0") if last is not colon else None
        return name, _from_to(colon, last)

    def unread(self, parts: list[Lexeme]) -> Unread:
        (lexeme,) = parts
        return Unread(lexeme.raw, lexeme.text, lexeme.span)

    def start(self, parts: list[Lexeme | Number | Flag | Unread | tuple[bytes | None, Span]]) -> Start:
        colon, *found = parts
        assert isinstance(colon, Lexeme)
        scan = colon.scan
        assert scan is not None
        raw, _, line = colon.line
        number: Number | None = None
        flags: list[Flag] = []
        lockfile: Lockfile | None = None
        unread: Unread | None = None
        expanded = False
        for part in found:
            match part:
                case Flag():
                    flags.append(part)
                case Number():
                    number = part
                case (name, span):
                    lockfile = Lockfile(raw[span.start - line.start : span.end - line.start], name, span)
                case Unread():
                    # After the name of a lockfile, it begins with the NUL that ends the name.
                    text = part.text[1:] if lockfile is not None else part.text
                    unread = Unread(part.raw, text.replace(b"\0", b" "), part.span)
                case Lexeme():
                    expanded = True
        return Start(
            raw, scan.pieces, scan.unterminated, line, scan.passed,
            expanded=expanded, number=number, flags=tuple(flags), lockfile=lockfile, unread=unread,
        )  # fmt: skip

    # Conditions

    def negation(self, parts: list[Lexeme]) -> Negation:
        (lexeme,) = parts
        return Negation(lexeme.raw, lexeme.span)

    def weight(self, parts: list[Lexeme]) -> Weight:
        (lexeme,) = parts
        weight, end = real_at(lexeme.text)
        exponent, _ = real_at(lexeme.text, lexeme.text.index(b"^", end) + 1)
        return Weight(lexeme.raw, weight, exponent, lexeme.span)

    def area(self, parts: list[Lexeme]) -> Area:
        (lexeme,) = parts
        return Area(lexeme.raw, lexeme.text[: name_end(lexeme.text, 0)], lexeme.span)

    def program(self, parts: list[Lexeme]) -> tuple[ProgramTest, bytes]:
        (lexeme,) = parts
        return ProgramTest(lexeme.raw, lexeme.text[1:], lexeme.span), lexeme.text

    def size(self, parts: list[Lexeme]) -> tuple[SizeTest, bytes]:
        (lexeme,) = parts
        operator: Literal["<", ">"] = "<" if lexeme.text.startswith(b"<") else ">"
        return SizeTest(lexeme.raw, operator, lexeme.text[1:], lexeme.span), lexeme.text

    def expanded(self, parts: list[Lexeme]) -> tuple[ExpandedTest, bytes]:
        (lexeme,) = parts
        text = conditions.join(lexeme.text)
        return ExpandedTest(lexeme.raw, text[1:].lstrip(BLANKS), lexeme.span), text

    def regex(self, parts: list[Lexeme]) -> tuple[RegexTest, bytes]:
        (lexeme,) = parts
        text = conditions.join(lexeme.text)
        return RegexTest(lexeme.raw, text.removeprefix(b"\\"), lexeme.span), text

    def condition(self, parts: list[Lexeme | Prefix | tuple[Test, bytes]]) -> Condition:
        star = cast("Lexeme", parts[0])
        prefixes = tuple(cast("list[Prefix]", parts[1:-1]))
        test, shown = cast("tuple[Test, bytes]", parts[-1])
        raw, text, span = star.line
        whole = Span(star.span.start, span.end)
        return Condition(star.raw, raw, text, _parts(prefixes, test, shown), whole, prefixes, test)

    def recipe(self, parts: list[_Part]) -> Recipe:
        start = cast("Start", parts[0])
        action = cast("Action", parts[-1])
        between = tuple(cast("list[Condition | Blank | Comment]", parts[1:-1]))
        return Recipe(start, between, action, Span(start.span.start - 1, action.span.end))

    def capture(self, parts: tuple[Lexeme, Lexeme, Pipe]) -> Capture:
        name, equals, pipe = parts
        return Capture(name.raw, equals.raw, pipe, _from_to(name, pipe))

    def block(self, parts: list[_Part]) -> Block:
        opening, closing = cast("Lexeme", parts[0]), cast("Lexeme", parts[-1])
        items = tuple(cast("list[Item]", parts[1:-1]))
        return Block(items, closing.raw, _from_to(opening, closing))


def _parts(prefixes: tuple[Prefix, ...], test: Test, shown: bytes) -> conditions.Condition:
    """The condition in its form for the interpreter, which logs it as `shown`."""
    negated, weight, area = False, None, None
    for prefix in prefixes:
        match prefix:
            case Negation():
                negated = not negated
            case Weight():
                weight = (prefix.weight, prefix.exponent)
            case Area():
                area = prefix.name
    match test:
        case RegexTest():
            kind = conditions.REGEX
        case ProgramTest():
            kind = conditions.PROGRAM
        case SizeTest():
            kind = conditions.SMALLER if test.operator == "<" else conditions.LARGER
        case ExpandedTest():
            kind = conditions.EXPAND
        case _:
            assert_never(test)
    return (kind, negated, weight, area, shown, test.text)


def _word(lexeme: Lexeme, skip: int = 0, reading: Reading = "list") -> Word:
    """The words of `lexeme` after its first `skip` bytes."""
    assert lexeme.scan is not None, lexeme.type
    span = Span(lexeme.span.start + skip, lexeme.span.end)
    scan = lexeme.scan
    return Word(lexeme.raw[skip:], scan.pieces, scan.unterminated, span, scan.passed, reading)


def _from_to(first: _Part, last: _Part) -> Span:
    return Span(first.span.start, last.span.end)
