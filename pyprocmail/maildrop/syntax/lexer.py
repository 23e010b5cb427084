"""Terminals of the mailfilter grammar.

Whether a slash begins a pattern depends on the terminal before it, and a keyword counts only if
it is a whole word, so the lexer is written by hand.  maildropfilter(7), "Lexical structure".
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

from pyprocmail.source import Span

_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@.:/$-{}")
_OPTION = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+.,-")
_BLANK = frozenset(b" \t\v\f")
_NEWLINE = frozenset(b"\n\r")
_SPACE = _BLANK | _NEWLINE
_QUOTES = {0x22: "DOUBLE", 0x27: "SINGLE", 0x60: "BACKTICK"}

STRINGS = frozenset(_QUOTES.values())
STATEMENT_WORDS = (
    b"if elsif else while foreach exception echo xfilter system dotlock flock logfile log include exit to cc import"
    b" unset"
).split()
OPERAND_WORDS = (
    b"length substr getaddr lookup escape tolower toupper hasaddr gdbmopen gdbmclose gdbmfetch gdbmstore time"
    b" lt le gt ge eq ne"
).split()
_KEYWORDS = {word: word.decode().upper() for word in (*STATEMENT_WORDS, *OPERAND_WORDS)}
_OPERATORS = (
    (b"&&", "AND"), (b"||", "OR"), (b"<=", "LESS_EQUAL"), (b">=", "GREATER_EQUAL"), (b"==", "EQUAL"),
    (b"=~", "MATCHES"), (b"!=", "NOT_EQUAL"), (b"&", "BIT_AND"), (b"|", "BIT_OR"), (b"{", "OPEN"), (b"}", "CLOSE"),
    (b"(", "LEFT"), (b")", "RIGHT"), (b"+", "PLUS"), (b"*", "TIMES"), (b"~", "BIT_NOT"), (b"<", "LESS"),
    (b">", "GREATER"), (b"=", "ASSIGN"), (b"!", "NOT"), (b",", "COMMA"),
)  # fmt: skip
_NO_PATTERN_AFTER = ("ASSIGN", "TO", "CC")

# Not in a filter that another user runs: they write, or start programs.  maildrop(1), "Embedded mode".
_REFUSED = frozenset(("BACKTICK", "TO", "CC", "XFILTER", "SYSTEM", "DOTLOCK", "FLOCK", "LOGFILE", "LOG"))


class Lexeme:
    """One terminal.

    `text` is the value of a string, the text of a pattern or the word; `options` follow the colon of a
    pattern.  `raw` is the text in the file, `before` the blanks, comments and joined line ends before it.
    `line` is the lexer's line after it: the next line for a separator that is a newline.
    `next_line` is the next lexeme's: maildrop reads one lexeme ahead, which shows in the lines that it names.
    `complaint`, of an ERROR, is what the reference reports before the syntax error.

    Lark asks the last lexeme for a position, which we keep in `span`.
    """

    __slots__ = ("before", "complaint", "line", "next_line", "options", "raw", "span", "text", "type")

    start_pos = column = end_line = end_column = end_pos = None

    def __init__(
        self, kind: str, text: bytes, span: Span, line: int, options: bytes | None = None, complaint: bytes = b""
    ) -> None:
        self.type = kind
        self.text = text
        self.span = span
        self.line = self.next_line = line
        self.options = options
        self.complaint = complaint
        self.raw = self.before = b""


def lex(data: bytes, *, embedded: bool = False, whole: bool = False) -> list[Lexeme]:
    """The lexemes of a filter file, the last one EOF, or ERROR at text that is not a lexeme.

    `embedded` refuses what maildrop(1) does not allow in embedded mode.  `whole` continues after an ERROR.
    """
    lexer = _Lexer(data, embedded)
    lexemes = lexer.lexemes
    while not lexemes or (lexemes[-1].type != "EOF" and (whole or lexemes[-1].type != "ERROR")):
        lexer.next()
        lexer.pos = max(lexer.pos, lexemes[-1].span.end)
    at = 0
    for lexeme in lexemes:
        start, end = lexeme.span.start, lexeme.span.end
        lexeme.before, lexeme.raw = data[at:start], data[start:end]
        at = end
    for lexeme, following in pairwise(lexemes):
        lexeme.next_line = following.line
    return lexemes


class _Lexer:
    def __init__(self, data: bytes, embedded: bool) -> None:
        self.data = data
        self.embedded = embedded
        self.pos = 0
        self.lexemes: list[Lexeme] = []
        self.newlines = [at for at, byte in enumerate(data) if byte == 0x0A] if b"\n" in data else []

    def next(self) -> None:
        """Read one more lexeme."""
        data = self.data
        if not self._skip_blanks():
            self._error(self.pos, self.pos + 1)
            return
        start = self.pos
        if start >= len(data):
            # A file need not end in a newline.
            ended = not self.lexemes or self.lexemes[-1].type == "SEPARATOR"
            self._add("EOF" if ended else "SEPARATOR", b"", start)
            return
        byte = data[start]
        if byte in _NEWLINE or byte == 0x3B:
            self.pos += 1
            self._add("SEPARATOR", b";", start)
        elif byte in _QUOTES:
            self._string(_QUOTES[byte], byte)
        elif byte == 0x2F and (not self.lexemes or self.lexemes[-1].type not in _NO_PATTERN_AFTER):
            self._pattern()
        elif byte in _WORD and byte not in b"{}":
            self._word()
        else:
            self._operator()

    def _add(self, kind: str, text: bytes, start: int, *, options: bytes | None = None) -> None:
        if self.embedded and kind in _REFUSED:
            shown = b"string: `%b`" % text if kind == "BACKTICK" else text
            self._error(start, self.pos, b"'%b' disabled in embedded mode." % shown)
            return
        line = 1 + bisect_left(self.newlines, self.pos)
        self.lexemes.append(Lexeme(kind, text, Span(start, self.pos), line, options))

    def _error(self, start: int, end: int, complaint: bytes = b"") -> None:
        line = 1 + bisect_left(self.newlines, self.pos)
        self.lexemes.append(Lexeme("ERROR", b"", Span(start, min(end, len(self.data))), line, complaint=complaint))

    def _skip_blanks(self) -> bool:
        """Skip blanks, comments and continuations; False at a backslash that continues nothing."""
        data, at, end = self.data, self.pos, len(self.data)
        while at < end:
            byte = data[at]
            if byte in _BLANK:
                at += 1
            elif byte == 0x23:
                while at < end and data[at] not in _NEWLINE:
                    at += 1
            elif byte == 0x5C:
                if at + 1 >= end or data[at + 1] not in _SPACE:
                    self.pos = at
                    return False
                newline = data.find(b"\n", at)
                at = end if newline < 0 else newline + 1
            else:
                break
        self.pos = at
        return True

    def _string(self, kind: str, quote: int) -> None:
        data, start, end = self.data, self.pos, len(self.data)
        text = bytearray()
        at = start + 1
        while True:
            if at >= end or data[at] in _NEWLINE:
                self.pos = at
                self._error(start, at, b"Missing ', \", or `.")
                return
            byte = data[at]
            if byte == quote:
                break
            if byte != 0x5C:
                text.append(byte)
                at += 1
                continue
            following = data[at + 1] if at + 1 < end else 0x0A
            if following == quote or following == 0x5C:
                text.append(following)
                at += 2
                continue
            continued = self._continuation(at + 1)
            if continued:
                at = continued
                continue
            text.append(byte)
            at += 1
        self.pos = at + 1
        self._add(kind, bytes(text), start)

    def _continuation(self, at: int) -> int:
        """Where a string continues whose line ends in a backslash, blanks and a comment; 0 if it does not."""
        data, end = self.data, len(self.data)
        if at >= end or data[at] not in _SPACE:
            return 0
        while at < end and data[at] in _BLANK:
            at += 1
        if at >= end or (data[at] not in _NEWLINE and data[at] != 0x23):
            return 0
        newline = data.find(b"\n", at)
        at = end if newline < 0 else newline + 1
        while at < end and data[at] in _SPACE:
            at += 1
        return at

    def _pattern(self) -> None:
        data, start, end = self.data, self.pos, len(self.data)
        at = start + 1
        if at >= end or data[at] in _SPACE:
            self.pos = at
            self._add("DIVIDE", b"/", start)
            return
        while at < end and data[at] != 0x2F and data[at] not in _NEWLINE:
            # A backslash keeps the byte after it, unless the line ends there.
            at += 2 if data[at] == 0x5C and at + 1 < end and data[at + 1] not in _NEWLINE else 1
        if at >= end or data[at] != 0x2F:
            self.pos = at
            self._error(start, at)
            return
        text = data[start + 1 : at]
        at += 1
        options = None
        if at < end and data[at] == 0x3A:
            first = at = at + 1
            while at < end and data[at] in _OPTION:
                at += 1
            options = data[first:at]
        self.pos = at
        self._add("PATTERN", text, start, options=options)

    def _word(self) -> None:
        data, start, end = self.data, self.pos, len(self.data)
        at = start
        while at < end and data[at] in _WORD:
            at += 1
        self.pos = at
        word = data[start:at]
        if word == b"-":
            self._add("MINUS", word, start)
        else:
            self._add(_KEYWORDS.get(word, "DOUBLE"), word, start)

    def _operator(self) -> None:
        data, start = self.data, self.pos
        for text, kind in _OPERATORS:
            if data.startswith(text, start):
                self.pos += len(text)
                self._add(kind, text, start)
                return
        self.pos += 1
        self._error(start, self.pos)
