"""The places of the bytes of a text that was read from an rcfile: of a logical line, or of words of a start line.

Offsets are in the text without the carriage returns of line ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyprocmail.procmail.compiled.pieces import BLANKS
from pyprocmail.procmail.compiled.words import LIST, Scanner

if TYPE_CHECKING:
    from pyprocmail.procmail.compiled.pieces import Piece


def logical(text: bytes) -> bytes:
    """A condition or command of the file as procmail keeps it, before continuations are joined.

    On a line that is only a backslash, the backslash is removed and the newline stays.  A NUL ends its line.
    """
    if b"\0" in text:
        text = b"\n".join(line.partition(b"\0")[0] for line in text.split(b"\n"))
    if text.endswith(b"\\"):
        text += b"\n"  # only the end of the file leaves such a line
    if b"\\\n" in text:
        *lines, last = text.split(b"\\\n")
        text = b"".join(line + b"\\\n" if line else b"\n" for line in lines) + last
    return text


def of_logical(text: bytes) -> list[int]:
    """The offset in `text` of each byte of logical(text).

    The newline that is added after a backslash at the end of the file is at the end of the text.
    """
    kept = list(range(len(text)))
    if b"\0" in text:
        kept, start = [], 0
        for line in text.split(b"\n"):
            kept += range(start, start + len(line.partition(b"\0")[0]))
            start += len(line) + 1
            kept += [start - 1] if start <= len(text) else []
    if kept and text[kept[-1]] == 0x5C:
        kept.append(len(text))
    now = bytes(text[offset] if offset < len(text) else 0x0A for offset in kept)
    if b"\\\n" not in now:
        return kept
    found: list[int] = []
    start = 0
    while (end := now.find(b"\\\n", start)) >= 0:
        found += kept[start : end + 2] if end > start else [kept[end + 1]]
        start = end + 2
    return found + kept[start:]


def of_joined(text: bytes) -> list[int]:
    """The offset in `text` of each byte of conditions.join(text)."""
    kept = list(range(min(len(text), 1)))
    start = 1
    while (end := text.find(b"\\\n", start)) >= 0:
        kept += range(_unblanked(text, start, end) if start > 1 else start, end)
        start = end + 2
    kept += range(_unblanked(text, start, len(text)) if start > 1 else start, len(text))
    joined: list[int] = []
    fresh = False
    for offset in kept:
        if not (fresh and text[offset] in BLANKS):
            joined.append(offset)
            fresh = text[offset] == 0x0A
    return joined


def _unblanked(text: bytes, start: int, end: int) -> int:
    while start < end and text[start] in BLANKS:
        start += 1
    return start


def of_words(text: bytes) -> tuple[bytes, list[int]]:
    """The words in `text`, which has no expansions, with a NUL between them; and the offset of each byte.

    A NUL has the offset of the blank that ends the word before it.
    """
    scanner = Places(text, 0, LIST)
    scan = scanner.run()
    joined = bytearray()
    offsets: list[int] = []
    broken = begun = False
    gap = 0
    for piece, places in zip(scan.pieces, scanner.places, strict=False):
        if not isinstance(piece, bytes):
            broken = begun
            gap = places[-1]
            continue
        if broken:
            joined.append(0)
            offsets.append(gap)
        joined += piece
        offsets += places
        begun, broken = True, False
    return bytes(joined), offsets


class Places(Scanner):
    """A scanner that notes the place of each piece: of text the place of every byte, of others the two ends."""

    __slots__ = ("begun", "places", "text_places", "text_start")

    def __init__(self, text: bytes, pos: int, context: int, *, passing: bool = False) -> None:
        super().__init__(text, pos, context, passing=passing)
        self.places: list[list[int]] = []
        self.text_places: list[int] = []
        self.text_start = -1
        self.begun = pos

    def special(self, byte: int) -> bool:
        self.begun = self.pos
        return super().special(byte)

    def put(self, literal_text: bytes) -> None:
        start = self.pos - len(literal_text) if self.text_start < 0 else self.text_start
        if self.text[start : start + len(literal_text)] != literal_text:
            start -= 1  # a NUL after a `$` is lost
        self.text_places += range(start, start + len(literal_text))
        super().put(literal_text)

    def single_quote(self) -> None:
        self.text_start = self.pos + 1
        super().single_quote()
        self.text_start = -1

    def flush(self) -> None:
        before = len(self.pieces)
        super().flush()
        if len(self.pieces) > before:
            self.places.append(self.text_places)
            self.text_places = []

    def emit(self, piece: Piece) -> None:
        super().emit(piece)
        self.places.append([self.begun, self.pos - 1])
