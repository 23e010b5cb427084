"""The input: read in pieces and examined by lines, so that a mailbox of any size needs little memory."""

from __future__ import annotations

import sys

from pyprocmail.exits import MailTooLargeError
from pyprocmail.tools.formail.header import POSTMARK, QUOTED_POSTMARK, Field, FoundNames, name_length

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK_BYTES = 1 << 18
_FOLDS = (b" ", b"\t")


class Source:
    """Bytes not yet consumed: `data` from `position` on, then the rest that `read` returns.

    At most `limit_bytes` are in memory at once.
    """

    __slots__ = ("data", "ended", "position", "_found", "_read", "_limit_bytes")

    def __init__(self, read: Callable[[int], bytes], limit_bytes: int = sys.maxsize) -> None:
        self.data = b""
        self.position = 0
        # The next offset in `data` of each text that `find` has searched for.
        self._found: dict[bytes, int] = {}
        self.ended = False
        self._read = read
        self._limit_bytes = limit_bytes

    def more(self) -> bool:
        """Read another piece; False at the end of the input.  Consumed bytes are dropped.

        Raises:
            MailTooLargeError: more than `limit_bytes` are not consumed yet.
        """
        if self.ended:
            return False
        pieces = [self.data[self.position :]]
        if len(pieces[0]) > self._limit_bytes:
            raise MailTooLargeError(self._limit_bytes)
        # Double the size, so that a long line is copied a few times only, and not once for each piece.
        wanted = max(len(pieces[0]), 1)
        while wanted > 0 and not self.ended:
            piece = self._read(_CHUNK_BYTES)
            self.ended = not piece
            wanted -= len(piece)
            pieces.append(piece)
        self.data = b"".join(pieces)
        self.position = 0
        self._found.clear()
        return len(self.data) > len(pieces[0])

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self.position == len(self.data) and not self.more()

    def starts_with(self, text: bytes) -> bool:
        """Whether `text` comes next."""
        while len(self.data) - self.position < len(text) and self.more():
            pass
        return self.data.startswith(text, self.position)

    def line_at(self, offset: int) -> bytes:
        """The line that begins `offset` bytes further on, with its newline; empty at the end of the input."""
        searched = offset
        while True:
            end = self.data.find(b"\n", self.position + searched)
            if end >= 0:
                return self.data[self.position + offset : end + 1]
            searched = max(offset, len(self.data) - self.position)
            if not self.more():
                return self.data[self.position + offset :]

    def line(self) -> bytes:
        """Consume the next line."""
        line = self.line_at(0)
        self.position += len(line)
        return line

    def skip_newlines(self) -> None:
        """Consume the empty lines that come next."""
        while self.starts_with(b"\n"):
            self.position += 1

    def find(self, text: bytes) -> int:
        """The next offset of `text` in `data`; -1 if it is not there.  Each piece is searched only once."""
        found = self._found.get(text, 0)
        if 0 <= found < self.position or text not in self._found:
            found = self._found[text] = self.data.find(text, self.position)
        return found

    def skip_past(self, text: bytes) -> bool:
        """Consume everything up to and including `text`; False if the input ends before it."""
        while True:
            found = self.data.find(text, self.position)
            if found >= 0:
                self.position = found + len(text)
                return True
            self.position = max(self.position, len(self.data) - len(text) + 1)
            if not self.more():
                self.position = len(self.data)
                return False


def read_header(source: Source, names: FoundNames, *, digest: bool, babyl: bool) -> tuple[list[Field], bool]:
    """Consume a header, as far as its fields are valid, and the empty line after it.

    The second value is whether there was an empty line.  A From_ line counts as a field only at the very
    beginning.  There a digest may have `Article 1 of group:`, and BABYL `Mail-from: From who`.
    """
    first = _read_first(source, digest=digest, babyl=babyl)
    fields = [] if first is None else [first]
    while True:
        data, start = source.data, source.position
        end = data.find(b"\n", start) + 1
        while end and data.startswith(_FOLDS, end):
            end = data.find(b"\n", end) + 1
        text = data[start : end or len(data)]
        length = text.find(b":") + 1
        name = names[text[:length]]
        # The next piece of the input may continue the field, or the line that is not a field yet.
        if not 0 < end < len(data) and (name or b"\n" not in text) and source.more():
            continue
        if not name:
            break
        source.position += len(text)
        fields.append(Field(name, text[length:].removesuffix(b"\n")))
    ended = source.starts_with(b"\n")
    source.position += ended
    return fields, ended


def _read_first(source: Source, *, digest: bool, babyl: bool) -> Field | None:
    """Consume a line that is valid only in place of the first field."""
    if source.starts_with(POSTMARK) and not name_length(source.line_at(0)):
        return Field(POSTMARK, _with_quoted(source, 5))
    if digest and source.starts_with(b"Article "):
        return Field(b"Article:", source.line()[8:].removesuffix(b"\n"))
    if babyl and source.starts_with(b"Mail-from: From "):
        return Field(POSTMARK, _with_quoted(source, 16))
    return None


def _with_quoted(source: Source, length: int) -> bytes:
    """Consume a line and the `>From ` lines after it: their text from `length` on, without the last newline."""
    lines = bytearray(source.line()[length:])
    while source.starts_with(QUOTED_POSTMARK):
        lines += source.line()
    return bytes(lines.removesuffix(b"\n"))
