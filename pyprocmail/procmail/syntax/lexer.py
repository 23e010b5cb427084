"""Terminals of the rcfile grammar, and the faults of the text that they come from.

The meaning of a line depends on the lines before it: a line after a start line is a condition, an
action or, after an empty line, the next recipe; a quoted word continues over several lines.
So the lexer is written by hand, goes through the file as procmail does, and feeds the parser.  Inside a
start line or a condition the grammar decides: the parser's state knows which terminals may come.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Protocol

from pyprocmail.diagnostics import Diagnostic, Severity
from pyprocmail.procmail.compiled import start_line
from pyprocmail.procmail.compiled.pieces import BACKQUOTE, BAD, BLANKS, BREAK, HASH, PREFIX, Scan, name_end
from pyprocmail.procmail.compiled.words import is_plain, scan_list, scan_value
from pyprocmail.procmail.syntax import places
from pyprocmail.source import Span

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

    from pyprocmail.procmail.compiled.pieces import Pieces

_SPACE = BLANKS + b"\n"
_BEHIND_THE_END = 1000
"""How many conditions of a `:N` may be missing at the end of the file; each counts as an empty one."""
_PREFIXES = ("NOT", "WEIGHT", "AREA", "_BLANKS")
_FLAG_LETTERS = "one of H B D A a E e h b f c w W i r"


class Lexeme:
    """One terminal: `raw` as in the file, `text` without carriage returns at line ends, and the scan of a word.

    The first lexeme of a start line or a condition has the rest of it in `line`, as raw text, as logical text and as
    span.  Lark asks the last lexeme for a position, which we keep in `span`.
    """

    __slots__ = ("line", "raw", "scan", "span", "text", "type")

    start_pos = column = end_line = end_column = end_pos = None
    line: tuple[bytes, bytes, Span]

    def __init__(self, kind: str, raw: bytes, text: bytes, span: Span, scan: Scan | None = None) -> None:
        self.type = kind
        self.raw = raw
        self.text = text
        self.span = span
        self.scan = scan


class Parser(Protocol):
    """The parser that the lexer feeds."""

    def feed(self, lexeme: Lexeme) -> None:
        """Take the next lexeme."""

    def expected(self) -> re.Pattern[bytes]:
        """The terminals of the grammar that may come now, each as a group with its name."""


def lex(data: bytes, parser: Parser, *, strict: bool = False, passing: int | None = None) -> list[Diagnostic]:
    """Feed the lexemes of an rcfile to the parser; returns the diagnostics.

    A carriage return before a newline is not part of the text, except with `strict`.  The first block inside `passing`
    others is read as one that is passed over.
    """
    lexer = _Lexer(data, parser, strict=strict, passing=passing)
    lexer.run()
    return sorted(lexer.diagnostics, key=lambda diagnostic: diagnostic.span.start)


class _Lexer:
    """The place in the file: `text` is the file without carriage returns at line ends; offsets in it are mapped back.

    `returns` has the offsets of the newlines before which a carriage return was removed.
    """

    def __init__(self, data: bytes, parser: Parser, *, strict: bool, passing: int | None) -> None:
        self.data = data
        self.text = data
        self.returns: list[int] = []
        self.parser = parser
        self.diagnostics: list[Diagnostic] = []
        self.blocks: list[Span] = []
        self.pos = 0
        self.passing = passing
        if b"\r\n" in data and not strict:
            self.take_out_returns()

    def take_out_returns(self) -> None:
        length = 0
        for line in self.data.split(b"\r\n")[:-1]:
            length += len(line)
            self.returns.append(length)
            length += 1
        self.text = self.data.replace(b"\r\n", b"\n")
        first = self.returns[0]
        self.complain(
            "P109",
            Span(first, first + 1),
            "the lines of this file end in a carriage return",
            "read as a newline here; procmail reads it as text: save the file with Unix line ends",
            severity=Severity.WARNING,
        )

    def run(self) -> None:
        while self.pos < len(self.text):
            self.statement()
        for span in reversed(self.blocks):
            self.complain("P103", span, "missing closing brace", "this block is never closed", "Recipe action line")
            self.emit("UNCLOSED", self.pos)

    # Emitting

    def span(self, start: int, end: int) -> Span:
        if not self.returns:
            return Span(start, end)
        return Span(start + bisect_left(self.returns, start), end + bisect_left(self.returns, end))

    def lexeme(self, kind: str, start: int, end: int, scan: Scan | None = None) -> Lexeme:
        span = self.span(start, end)
        text = self.text[start:end]
        raw = self.data[span.start : span.end] if self.returns else text
        return Lexeme(kind, raw, text, span, scan)

    def emit(self, kind: str, end: int, scan: Scan | None = None) -> Lexeme:
        """Emit a lexeme from here to `end`, and continue there."""
        lexeme = self.lexeme(kind, self.pos, end, scan)
        self.parser.feed(lexeme)
        self.pos = end
        return lexeme

    def emit_first(self, kind: str, end: int, line: Lexeme, text: bytes) -> None:
        """Emit the first lexeme, from here to `end`; the rest of its line is `line`, and `text` as logical text."""
        first = self.lexeme(kind, self.pos, end, line.scan)
        first.line = (line.raw, text, line.span)
        self.parser.feed(first)

    def emit_parts(self, text: bytes, start: int, offsets: Sequence[int] | None) -> Lexeme | None:
        """Emit the terminals in `text`, which begins at `start`; returns the last one.

        `offsets` are the offsets of its bytes, if these are not consecutive.
        """
        at, lexeme = 0, None
        while at < len(text):
            found = self.parser.expected().match(text, at)
            assert found is not None, text
            assert found.lastgroup is not None, text
            end = found.end()
            if offsets is None:
                span = self.span(start + at, start + end)
            else:
                span = self.span(offsets[at], min(offsets[end - 1] + 1, len(self.text)))
            raw = self.data[span.start : span.end]
            lexeme = Lexeme(found.lastgroup, raw, text[at:end], span)
            self.parser.feed(lexeme)
            at = end
        return lexeme

    def complain(
        self,
        code: str,
        span: Span,
        sentence: str,
        hint: str = "",
        section: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        manual = f"procmailrc(5), {section}" if section else "procmailrc(5)"
        self.diagnostics.append(Diagnostic(code, span, sentence, hint, manual, severity))

    def emit_word(self, kind: str, scan: Scan) -> None:
        """Emit a lexeme made of words, and report their faults."""
        self.complain_of_words(self.emit(kind, scan.end, scan))

    def complain_of_words(self, lexeme: Lexeme) -> None:
        scan = lexeme.scan
        assert scan is not None, lexeme.type
        if scan.unterminated:
            self.complain("P107", lexeme.span, "the file ends inside quotes", "a quote that begins here is not closed")
        for piece in scan.pieces:
            if isinstance(piece, tuple) and piece[0] == BAD and isinstance(piece[1], bytes):
                self.complain("P108", lexeme.span, f"bad substitution of {_quoted(piece[1])}", "", "Environment")

    # Reading

    def peek(self) -> bytes:
        return self.text[self.pos : self.pos + 1]

    def line_end(self, pos: int) -> int:
        end = self.text.find(b"\n", pos)
        return len(self.text) if end < 0 else end

    def logical_end(self, pos: int) -> int:
        """The end of the line at `pos` and of lines that a backslash joins to it; a NUL hides the rest of its line."""
        end = self.line_end(pos)
        while end < len(self.text) and self.text[pos:end].partition(b"\0")[0].endswith(b"\\"):
            pos = end + 1
            end = self.line_end(pos)
        return end

    def skip(self, pos: int, bytes_: bytes) -> int:
        while pos < len(self.text) and self.text[pos] in bytes_:
            pos += 1
        return pos

    def trivia(self) -> bool:
        """Emit the blanks, newlines or the comment here; False if there are none."""
        end = self.skip(self.pos, _SPACE)
        if end > self.pos:
            self.emit("BLANK", end)
        elif self.peek() == b"#":
            self.emit("COMMENT", self.line_end(self.pos))
        else:
            return False
        return True

    def statement(self) -> None:
        if self.trivia():
            return
        byte = self.peek()
        if byte == b":":
            self.recipe()
        elif byte == b"}":
            self.closing_brace()
        elif name_end(self.text, self.pos) > self.pos:
            self.named()
        else:
            self.skipped(self.line_end(self.pos))

    def skipped(self, end: int) -> None:
        lexeme = self.emit("SKIPPED", end)
        self.complain("P101", lexeme.span, f"skipped {_quoted(lexeme.text)}: neither assignment nor recipe")

    def closing_brace(self) -> None:
        if self.blocks:
            self.blocks.pop()
            if len(self.blocks) == self.passing:
                self.passing = None
            self.emit("CLOSE", self.pos + 1)
            return
        lexeme = self.emit("STRAY_BRACE", self.pos + 1)
        self.complain("P102", lexeme.span, "closing brace unexpected", "no block is open", "Recipe action line")

    def named(self) -> None:
        """Emit an assignment or an unset; a name without a suitable continuation is skipped."""
        end = name_end(self.text, self.pos)
        if self.text[end : end + 1] not in (b" ", b"\t", b"\n", b"="):
            self.skipped(end)
            return
        self.emit("NAME", end)
        equals = self.skip(end, BLANKS)
        if self.text[equals : equals + 1] == b"=":
            self.emit("EQUALS", self.skip(equals + 1, BLANKS))
            self.emit_word("VALUE", self.scan(scan_value, self.pos))

    def is_passing(self) -> bool:
        """Whether the lexer is in text that is passed over."""
        return self.passing is not None and len(self.blocks) > self.passing

    def scan(self, how: Callable[..., Scan], pos: int) -> Scan:
        """The text at `pos`, read by scan_value or scan_list."""
        if self.is_passing():
            return how(self.text, pos, passing=True)
        scan = how(self.text, pos)
        if any(isinstance(piece, tuple) and piece[0] in (BACKQUOTE, HASH) for piece in scan.pieces):
            scan.passed = how(self.text, pos, passing=True)
        return scan

    # Recipes

    def recipe(self) -> None:
        scan = self.scan(scan_list, self.pos + 1)
        line = self.lexeme("", self.pos + 1, scan.end, scan)
        self.emit_first("COLON", self.pos + 1, line, line.text)
        if start_line.split_words(scan.pieces) is None:
            self.parser.feed(Lexeme("EXPANDED", b"", b"", self.span(scan.end, scan.end)))
        else:
            self.start_parts(line.text)
        self.pos = scan.end
        self.complain_of_words(line)
        if self.conditions(start_line.static_count(scan.pieces, passing=self.is_passing())):
            self.action()

    def start_parts(self, raw: bytes) -> None:
        """Emit the parts of a start line without expansions."""
        start = self.pos + 1
        text = raw.strip(BLANKS)
        if is_plain(text) and b"\0" not in text and b"\t" not in text and b"  " not in text:
            last = self.emit_parts(text.replace(b" ", b"\0"), start + raw.find(text), None)
        else:
            text, offsets = places.of_words(raw)
            last = self.emit_parts(text, start, [start + offset for offset in offsets])
        if last is None or last.type != "UNREAD":
            return
        # After the name of a lockfile it begins with the NUL that ends the name.
        locked = last.text.startswith(b"\0")
        text = last.text[locked:].replace(b"\0", b" ")
        if locked and text:
            blanks = len(last.raw) - len(last.raw.lstrip(BLANKS))
            span = Span(last.span.start + blanks, last.span.end)
            self.complain("P110", span, f"skipped {_quoted(text)}: a lockfile has one name", "", "Recipes")
        elif text:
            span = Span(last.span.start, last.span.start + 1)
            self.complain("P104", span, f"unknown recipe flag {_quoted(text[:1])}", _FLAG_LETTERS, "Recipes")

    def conditions(self, count: int) -> bool:
        """Emit the lines up to the action, `count` of them conditions without a star.

        False if there is no action.  An empty line anywhere before the action, even before a condition,
        makes a `:` the start of the next recipe; without one it is a folder's name.
        """
        self.rest_of_line()
        for _ in range(min(count, len(self.text) - self.pos + _BEHIND_THE_END)):
            self.blanks()
            self.condition()
            self.rest_of_line()
        empty_line = False
        while self.pos < len(self.text):
            end = self.skip(self.pos, _SPACE)
            if end > self.pos:
                empty_line = empty_line or b"\n" in self.text[self.pos : end]
                self.emit("BLANK", end)
            elif self.peek() == b"#":
                self.emit("COMMENT", self.line_end(self.pos))
                self.rest_of_line()
            elif self.peek() == b"*":
                self.condition()
                self.rest_of_line()
            elif empty_line and self.peek() == b":":
                lexeme = self.emit("MISSING", self.pos)
                sentence = "missing action: the next recipe begins here"
                self.complain("P105", lexeme.span, sentence, "", "Recipe action line")
                return False
            else:
                return True
        lexeme = self.emit("INCOMPLETE", self.pos)
        sentence = "incomplete recipe: the file ends before its action"
        self.complain("P106", lexeme.span, sentence, "", "Recipe action line")
        return False

    def rest_of_line(self) -> None:
        """Emit a comment, and the newline."""
        if self.peek() == b"#":
            self.emit("COMMENT", self.line_end(self.pos))
        if self.peek() == b"\n":
            self.emit("BLANK", self.pos + 1)

    def blanks(self) -> None:
        end = self.skip(self.pos, BLANKS)
        if end > self.pos:
            self.emit("BLANK", end)

    def condition(self) -> None:
        start = self.skip(self.pos + 1, BLANKS) if self.peek() == b"*" else self.pos
        end = self.logical_end(start)
        line = self.lexeme("", start, end)
        text = places.logical(line.text)
        self.emit_first("STAR", start, line, text)
        stripped = text.strip(BLANKS)
        first = text.find(stripped)
        offsets = None
        if text != line.text:
            offsets = [start + offset for offset in places.of_logical(line.text)[first : first + len(stripped)]]
        last = self.emit_parts(stripped, start + first, offsets)
        if last is None or last.type in _PREFIXES:
            self.parser.feed(Lexeme("REGEX", b"", b"", self.span(end, end)))
        self.pos = end

    def action(self) -> None:
        byte = self.peek()
        end = name_end(self.text, self.pos)
        if byte == b"{" and self.text[self.pos + 1 : self.pos + 2] in (b" ", b"\t", b"\n"):
            self.blocks.append(self.span(self.pos, self.pos + 1))
            self.emit("OPEN", self.pos + 1)
        elif byte == b"!":
            self.emit_word("FORWARD", self.scan(scan_list, self.pos + 1))
        elif byte == b"|":
            self.emit("PIPE", self.logical_end(self.pos))
        elif end > self.pos and self.is_capture(end):
            self.emit("NAME", end)
            self.emit("EQUALS", self.skip(self.skip(end, BLANKS) + 1, BLANKS))
            self.emit("PIPE", self.logical_end(self.pos))
        else:
            self.emit_word("FOLDER", self.folders(max(end, self.pos + (byte == b"{"))))

    def folders(self, end: int) -> Scan:
        """The folders of an action; `end` is after the name or the `{` with which it begins.

        The name is read by itself, and so is an `=` after it, since procmail looks for a `|` there.  Then a `#` begins
        a comment, and if blanks follow, one more word is expected.
        """
        prefix: Pieces = (self.text[self.pos : end],)
        equals = self.skip(end, BLANKS)
        if end > self.pos and self.text[equals : equals + 1] == b"=":
            prefix = (prefix[0], (BREAK,), b"=") if equals > end else (self.text[self.pos : end + 1],)
            end = equals + 1
        scan = self.scan(scan_list, end)
        if end > self.pos:
            blank = self.text[end : end + 1] in (b" ", b"\t")
            for read in (scan, scan.passed):
                if read is not None:
                    read.pieces = _join(prefix, read.pieces, blank=blank)
        return scan

    def is_capture(self, end: int) -> bool:
        """Whether the name that ends at `end` is followed by `= |`."""
        equals = self.skip(end, BLANKS)
        if self.text[equals : equals + 1] != b"=":
            return False
        pipe = self.skip(equals + 1, BLANKS)
        return self.text[pipe : pipe + 1] == b"|"


def _join(prefix: Pieces, pieces: Pieces, *, blank: bool) -> Pieces:
    """`prefix`, whose last piece is text, in front of words; `blank`: with a blank in between."""
    if blank:
        return (*prefix, (BREAK, True), *pieces)
    *before, text = prefix
    assert isinstance(text, bytes)
    if pieces and isinstance(pieces[0], bytes):
        return (*before, text + pieces[0], *pieces[1:])
    return (*before, (PREFIX, text), *pieces) if pieces else prefix


def _quoted(text: bytes) -> str:
    return "'" + text.decode("utf-8", errors="backslashreplace").replace("\n", "\\n") + "'"
