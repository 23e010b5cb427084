"""The parts of a word, each with its place: text, variables, commands in backquotes, alternatives with their parts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pyprocmail.procmail.compiled.pieces import (
    ALTERNATIVE,
    ARGUMENTS,
    BACKQUOTE,
    BAD,
    BLANKS,
    BREAK,
    END,
    ESCAPED,
    HASH,
    VARIABLE,
    name_end,
)
from pyprocmail.procmail.compiled.words import LIST, VALUE
from pyprocmail.procmail.syntax.nodes import Word
from pyprocmail.procmail.syntax.places import Places
from pyprocmail.source import Span

if TYPE_CHECKING:
    from pyprocmail.procmail.compiled.pieces import Piece


@dataclass(frozen=True, slots=True)
class Text:
    """Literal text; `raw` includes its quotes and backslashes."""

    raw: bytes
    text: bytes
    span: Span


@dataclass(frozen=True, slots=True)
class Variable:
    """`$NAME` or `${NAME}`; with `escaped`, `$\\NAME`: what is special in patterns is escaped."""

    raw: bytes
    name: bytes
    quoted: bool
    escaped: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Arguments:
    """`"$@"`"""

    raw: bytes
    span: Span


@dataclass(frozen=True, slots=True)
class Command:
    """A command in backquotes."""

    raw: bytes
    text: bytes
    quoted: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Alternative:
    """`${NAME:-parts}`; operator is one of `:-`, `-`, `:+` and `+`.  One that is not `closed` ends with the word."""

    raw: bytes
    name: bytes
    operator: bytes
    quoted: bool
    parts: tuple[Part, ...]
    closed: bool
    span: Span


@dataclass(frozen=True, slots=True)
class BadSubstitution:
    """`${` without a valid name; it expands to nothing."""

    raw: bytes
    name: bytes
    span: Span


@dataclass(frozen=True, slots=True)
class Hash:
    """`#` after an expansion: the rest is a comment if the expansion is empty."""

    raw: bytes
    span: Span


@dataclass(frozen=True, slots=True)
class Gap:
    """A blank that ends a word."""

    raw: bytes
    span: Span


Part: TypeAlias = Text | Variable | Arguments | Command | Alternative | BadSubstitution | Hash | Gap


def parts(word: Word) -> tuple[Part, ...]:
    """The parts of a word, in the order of the file."""
    return tuple(_Reader(word).read())


def walk(found: tuple[Part, ...]) -> Iterator[Part]:
    """The parts, and those in their alternatives."""
    todo = list(reversed(found))
    while todo:
        part = todo.pop()
        yield part
        if isinstance(part, Alternative):
            todo += reversed(part.parts)


@dataclass(slots=True)
class _Open:
    """An alternative that is being read."""

    piece: tuple[int | bytes | bool, ...]
    start: int
    parts: list[Part]


class _Reader:
    """A word that is read again, this time with the places of its pieces.

    `returns` are the offsets of the newlines before which a carriage return was removed.
    """

    def __init__(self, word: Word) -> None:
        self.word = word
        self.text = word.raw
        self.returns: list[int] = []
        text = word.raw.replace(b"\r\n", b"\n")
        if text != word.raw and self.joined(text) == b"".join(one for piece in word.pieces for one in _texts(piece)):
            length = 0
            for line in word.raw.split(b"\r\n")[:-1]:
                length += len(line)
                self.returns.append(length)
                length += 1
            self.text = text

    def joined(self, text: bytes) -> bytes:
        """All texts and names in the pieces of a text."""
        begin = _prefix_end(text) if self.word.reading == "folders" else 0
        pieces = self.scanner(text, begin).run().pieces
        return text[:begin].translate(None, BLANKS) + b"".join(one for piece in pieces for one in _texts(piece))

    def scanner(self, text: bytes, begin: int) -> Places:
        return Places(text, begin, VALUE if self.word.reading == "value" else LIST)

    def read(self) -> list[Part]:
        found: list[Part] = []
        begin = 0
        if self.word.reading == "folders":
            begin = _prefix_end(self.text)
            self.prefix(found, begin)
        scanner = self.scanner(self.text, begin)
        scan = scanner.run()
        opened: list[_Open] = []
        at = begin
        for piece, places in zip(scan.pieces, scanner.places, strict=False):
            start, end = (places[0], places[-1] + 1) if places else (at, at)
            at = end
            into = opened[-1].parts if opened else found
            if isinstance(piece, tuple) and piece[0] == ALTERNATIVE:
                opened.append(_Open(piece, start, []))
            elif isinstance(piece, tuple) and piece[0] == END:
                done = opened.pop()
                (opened[-1].parts if opened else found).append(self.alternative(done, end, closed=True))
            else:
                into.append(self.part(piece, start, end))
        while opened:
            done = opened.pop()
            (opened[-1].parts if opened else found).append(self.alternative(done, at, closed=False))
        return found

    def prefix(self, found: list[Part], end: int) -> None:
        """Add the beginning of the first word of an action, up to `end`, and the blank after it."""
        text = self.text
        name = len(text[:end].rstrip(b" \t="))
        if name:
            found.append(self.part(text[:name], 0, name))
        if end > name:
            if end - name > 1:
                found.append(Gap(*self.place(name, end - 1)))
            found.append(self.part(b"=", end - 1, end))
        if end and text[end : end + 1] and text[end] in BLANKS:
            found.append(Gap(*self.place(end, end + 1)))

    def place(self, start: int, end: int) -> tuple[bytes, Span]:
        """The raw text, and its place in the file."""
        first, last = start + bisect_left(self.returns, start), end + bisect_left(self.returns, end)
        at = self.word.span.start
        return self.word.raw[first:last], Span(at + first, at + last)

    def part(self, piece: Piece, start: int, end: int) -> Part:
        raw, span = self.place(start, end)
        if isinstance(piece, bytes):
            return Text(raw, piece, span)
        match piece:
            case (kind, bytes(name), bool(quoted)) if kind == VARIABLE:
                return Variable(raw, name, quoted, escaped=False, span=span)
            case (kind, bytes(name)) if kind == ESCAPED:
                return Variable(raw, name, quoted=False, escaped=True, span=span)
            case (kind, bytes(command), bool(quoted)) if kind == BACKQUOTE:
                return Command(raw, command, quoted, span)
            case (kind, bytes(name)) if kind == BAD:
                return BadSubstitution(raw, name, span)
        if piece[0] == ARGUMENTS:
            return Arguments(raw, span)
        if piece[0] == HASH:
            return Hash(raw, span)
        assert piece[0] == BREAK, piece
        return Gap(raw, span)

    def alternative(self, done: _Open, end: int, *, closed: bool) -> Alternative:
        raw, span = self.place(done.start, end)
        match done.piece:
            case (_, bytes(name), bytes(operator), bool(quoted), *_):
                return Alternative(raw, name, operator, quoted, tuple(done.parts), closed, span)
        raise AssertionError(done.piece)


def _prefix_end(text: bytes) -> int:
    """The end of the beginning of an action that is read by itself: a name or `{`, with an `=` after it."""
    end = max(name_end(text, 0), int(text.startswith(b"{")))
    equals = end
    while text[equals : equals + 1] in (b" ", b"\t"):
        equals += 1
    return equals + 1 if end and text[equals : equals + 1] == b"=" else end


def _texts(piece: Piece) -> Iterator[bytes]:
    if isinstance(piece, bytes):
        yield piece
    else:
        yield from (member for member in piece if isinstance(member, bytes))
