"""Expanding the pieces of words: variables, alternatives, backquotes, arguments.

The pieces come from compiled/words.  procmailrc(5), Environment variable assignments.
"""

from __future__ import annotations

from pyprocmail.procmail.compiled.pieces import (
    ALTERNATIVE,
    ARGUMENTS,
    BACKQUOTE,
    BAD,
    BREAK,
    END,
    ESCAPED,
    HASH,
    PREFIX,
    VARIABLE,
    literal,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.procmail.compiled.pieces import Pieces
    from pyprocmail.procmail.session import Session

_BLANKS = b" \t\n"
_AS_BLANKS = bytes.maketrans(_BLANKS, b"   ")
_MAGIC = frozenset(b"(|)*?+.^$[\\")


class LineTooLongError(Exception):
    """The expanded text is longer than LINEBUF.

    `shown` is the text that a condition shows instead: the last name that was read.
    """

    def __init__(self, shown: bytes) -> None:
        super().__init__()
        self.shown = shown


class Words:
    """An expanded list of words.

    The command line in a log or LASTFOLDER (`words`) does not include the arguments, which
    `"$@"` puts into the words of a program instead of the word `arguments_at`.  `comment_end` is the end of a comment
    that is one only because the text before it expanded to nothing; None without.
    """

    __slots__ = ("words", "arguments_at", "comment_end")

    def __init__(self, words: list[bytes], arguments_at: int | None, comment_end: int | None = None) -> None:
        self.words = words
        self.arguments_at = arguments_at
        self.comment_end = comment_end

    def argv(self, arguments: list[bytes]) -> list[bytes]:
        """The words of the program, its arguments in their place."""
        at = self.arguments_at
        if at is None or not arguments:
            return self.words
        return [*self.words[:at], *arguments, *self.words[at + 1 :]]

    def shown(self, arguments: list[bytes]) -> list[bytes]:
        """The words as the log shows them, with the text of the word that arguments replace."""
        at = self.arguments_at
        words = self.argv(arguments)
        if at is None or words is self.words:
            return words
        return [*words[:at], self.words[at] + words[at], *words[at + 1 :]]


def expand_value(session: Session, pieces: Pieces, taken: int = 0) -> bytes:
    """One word, never split: the right side of an assignment, or the text of a `$` condition.  A NUL ends it.

    `taken` bytes of LINEBUF are in use already.

    Raises:
        LineTooLongError: procmailrc(5), LINEBUF.
    """
    return expand_marked(session, pieces, taken)[0]


def expand_marked(session: Session, pieces: Pieces, taken: int = 0) -> tuple[bytes, int | None]:
    """As expand_value, with the offset from which on the text may come from the mail, None if there is none.

    Text of the mail must not become a command: see `Variables.is_foreign`.
    """
    word = literal(pieces)
    if word is not None and len(word) <= session.variables.linebuf - taken:
        return word.partition(b"\0")[0], None
    expander = _Expander(session, split=False, taken=taken)
    value = b"".join(expander.run(pieces).words).partition(b"\0")[0]
    return value, expander.foreign_at


def expand_list(session: Session, pieces: Pieces, taken: int = 0) -> Words:
    """Words, split at the blanks in expansions outside quotes, and at NULs.

    Raises:
        LineTooLongError: procmailrc(5), LINEBUF.
    """
    word = literal(pieces)
    if word and b"\0" not in word and len(word) <= session.variables.linebuf - taken:
        return Words([word], None)
    return _Expander(session, split=True, taken=taken).run(pieces)


def escape(value: bytes) -> bytes:
    r"""The value of `$\NAME`: `()`, then the value with the magic characters of a pattern escaped."""
    out = bytearray(b"()")
    for byte in value:
        if byte in _MAGIC:
            out.append(0x5C)
        out.append(byte)
    return bytes(out)


class _Expander:
    """One pass over pieces.  `current` is the word being built, None between words.

    When there is no `room` any more (`too_long`), the rest is read, but not expanded or run.
    """

    __slots__ = (
        "session", "split", "room", "too_long", "words", "current", "mark", "arguments_at", "foreign_at", "name",
        "comment_end",
    )  # fmt: skip

    def __init__(self, session: Session, *, split: bool, taken: int) -> None:
        self.session = session
        self.split = split
        self.room = session.variables.linebuf - taken
        self.words: list[bytes] = []
        self.current: bytearray | None = None
        self.mark: int | None = None
        self.arguments_at: int | None = None
        self.foreign_at: int | None = None
        self.comment_end: int | None = None
        self.too_long = False
        self.name = b""

    def run(self, pieces: Pieces) -> Words:
        skipping = 0
        # In an unclosed alternative that is not wanted only literal text counts.
        text_only = False
        expected = -1
        prefix, prefixed = b"", 0
        for piece in pieces:
            if isinstance(piece, bytes):
                if not skipping:
                    self._put(piece)
                continue
            kind = piece[0]
            if kind in (VARIABLE, ESCAPED, ALTERNATIVE, BAD):
                self.name = _text(piece[1])
            if kind == BAD:
                self.session.note("bad-substitution", self.name)
            elif self.too_long:
                continue
            elif skipping:
                skipping += (kind == ALTERNATIVE) - (kind == END)
            elif kind == BREAK:
                self._end_word()
                if len(piece) > 1:
                    expected = len(self.words)
            elif kind == HASH:
                if self.current is None and not piece[1]:
                    self.comment_end = int(piece[2])
                    break
                self._put(b"#" if self.current is None or not piece[1] else b"\\#")
            elif kind == ARGUMENTS and self.split:
                self._put(b"")
                assert self.current is not None
                self.mark = len(self.current)
                self.arguments_at = None
            elif kind == ESCAPED:
                self._put(escape(b"" if text_only else self._value_of(_text(piece[1])) or b""))
            elif kind == PREFIX:
                prefix, prefixed = _text(piece[1]), len(self.words)
            elif text_only:
                continue
            elif kind == VARIABLE:
                self._put_value(self._value_of(_text(piece[1])), bool(piece[2]))
            elif kind == BACKQUOTE:
                self._put_output(_text(piece[1]), bool(piece[2]))
            elif kind == ALTERNATIVE:
                value = self._value_of(_text(piece[1]))
                wanted = _wants_word(value, _text(piece[2]))
                if len(piece) > 4:
                    text_only = not wanted
                elif not wanted:
                    skipping = 1
                    if _text(piece[2])[-1:] == b"-":
                        self._put_value(value, bool(piece[3]))
        if self.too_long:
            raise LineTooLongError(self.name)
        self._end_word()
        if expected == len(self.words):
            self.words.append(b"")
        if prefix:
            word = slice(prefixed, prefixed + 1)
            self.words[word] = [prefix + b"".join(self.words[word])]
        return Words(self.words, self.arguments_at, self.comment_end)

    def _value_of(self, name: bytes) -> bytes | None:
        if self.session.variables.is_foreign(name):
            self._mark_foreign()
        return self.session.value_of(name)

    def _mark_foreign(self) -> None:
        """From here on the text may come from the mail.  tests/test_run.py shows the consequences."""
        if self.foreign_at is None:
            self.foreign_at = len(self.current or b"")

    def _put(self, text: bytes) -> None:
        self.room -= len(text)
        if self.room < 0 or self.too_long:
            self.too_long = True
            return
        if self.current is None:
            self.current = bytearray()
        self.current += text

    def _put_value(self, value: bytes | None, quoted: bool) -> None:
        if value is None:
            value = b""
        if quoted or not self.split:
            self._put(value)
            return
        if value[:1] and value[0] in _BLANKS:
            self._end_word()
        parts = [part for part in value.translate(_AS_BLANKS).split(b" ") if part]
        for index, part in enumerate(parts):
            if index:
                self._end_word()
            self._put(part)
        if parts and value[-1] in _BLANKS:
            self._end_word()

    def _end_word(self) -> None:
        if self.current is None:
            return
        if self.mark is not None:
            if self.mark == len(self.current):
                self.arguments_at = len(self.words)
            self.mark = None
        word = bytes(self.current)
        self.words += word.split(b"\0") if self.split else (word,)
        self.current = None
        self.room -= 1

    def _put_output(self, command: bytes, quoted: bool) -> None:
        """The output of a command in backquotes; by itself it has to fit into LINEBUF."""
        if len(command) > max(self.room, 0):
            self.too_long = True
            return
        output = self.session.run_backquote(command, max(self.room, 0))
        self._mark_foreign()
        self._put_value(output, quoted)


def _wants_word(value: bytes | None, operator: bytes) -> bool:
    """Whether `${name operator word}` expands to the word."""
    there = value is not None and (value != b"" or operator[:1] != b":")
    return there == (operator[-1:] == b"+")


def _text(member: int | bytes | bool) -> bytes:
    assert isinstance(member, bytes)
    return member
