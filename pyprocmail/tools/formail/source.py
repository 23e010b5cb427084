"""The input: read in pieces, looked at by lines, so that a mailbox of any size takes little memory."""

from __future__ import annotations

from pyprocmail.tools.formail.header import BLANKS, POSTMARK, QUOTED_POSTMARK, Field, name_length

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK_BYTES = 1 << 18


class Source:
    """Bytes not yet consumed: `data` from `position` on, and what `read` has still to give."""

    __slots__ = ("data", "ended", "position", "_read")

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.data = b""
        self.position = 0
        self.ended = False
        self._read = read

    def more(self) -> bool:
        """Read another piece; False at the end of the input.  What is consumed is forgotten."""
        if self.ended:
            return False
        piece = self._read(_CHUNK_BYTES)
        self.ended = not piece
        self.data = self.data[self.position :] + piece
        self.position = 0
        return bool(piece)

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

    def skip_past(self, text: bytes) -> bool:
        """Consume everything up to `text` and `text` itself; False when the input ends before it."""
        while True:
            found = self.data.find(text, self.position)
            if found >= 0:
                self.position = found + len(text)
                return True
            self.position = max(self.position, len(self.data) - len(text) + 1)
            if not self.more():
                self.position = len(self.data)
                return False


def read_header(source: Source, *, digest: bool, babyl: bool) -> tuple[list[Field], bool]:
    """Consume a header, as far as there are valid fields, and the empty line behind it.

    The second value says whether there was such a line.  A From_ line counts as a field at the very
    beginning only.  There a digest may have `Article 1 of group:`, and BABYL `Mail-from: From who`.
    """
    fields = []
    first = _read_first(source, digest=digest, babyl=babyl)
    if first is not None:
        fields.append(first)
    while True:
        line = source.line_at(0)
        length = name_length(line)
        if not length:
            break
        source.position += len(line)
        name = line[: length - 1].rstrip(BLANKS) + b":"
        fields.append(Field(name, _with_folds(source, line[length:], (b" ", b"\t"))))
    if line == b"\n":
        source.position += 1
    return fields, line == b"\n"


def _read_first(source: Source, *, digest: bool, babyl: bool) -> Field | None:
    """Consume what may stand in the place of the first field only."""
    if source.starts_with(POSTMARK) and not name_length(source.line_at(0)):
        return Field(POSTMARK, _with_folds(source, source.line()[5:], (QUOTED_POSTMARK,)))
    if digest and source.starts_with(b"Article "):
        return Field(b"Article:", _with_folds(source, source.line()[8:], ()))
    if babyl and source.starts_with(b"Mail-from: From "):
        return Field(POSTMARK, _with_folds(source, source.line()[16:], (QUOTED_POSTMARK,)))
    return None


def _with_folds(source: Source, content: bytes, marks: tuple[bytes, ...]) -> bytes:
    """`content` and the lines after it that begin with one of `marks`, without the last newline."""
    lines = [content]
    while source.line_at(0).startswith(marks) if marks else False:
        lines.append(source.line())
    return b"".join(lines).removesuffix(b"\n")
