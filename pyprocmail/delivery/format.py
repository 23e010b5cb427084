"""The bytes of a message as written to a folder or to a program.

A text is a list of chunks.  Unchanged parts are views of the message, so a large body is not
copied.  Nothing here writes.
"""

from __future__ import annotations

from pyprocmail.message import content_length as content_length_field
from pyprocmail.message import postmark as from_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyprocmail.message.model import Message

    Chunk = bytes | memoryview

_BATCH_BYTES = 1 << 18


class Text:
    """The bytes to write: `chunks`, of `length` bytes in all, then `tail` (the added newlines)."""

    __slots__ = ("chunks", "length", "tail")

    def __init__(self, chunks: list[Chunk], tail: bytes) -> None:
        self.chunks = chunks
        self.length = sum(map(len, chunks))
        self.tail = tail

    @property
    def size(self) -> int:
        """The number of bytes, including the tail."""
        return self.length + len(self.tail)

    def batches(self) -> Iterator[Chunk]:
        """The chunks and the tail, in pieces large enough for a write(2) each."""
        batch: list[Chunk] = []
        pending = 0
        for chunk in (*self.chunks, self.tail):
            if len(chunk) >= _BATCH_BYTES:
                if batch:
                    yield b"".join(batch)
                    batch, pending = [], 0
                yield chunk
                continue
            batch.append(chunk)
            pending += len(chunk)
            if pending >= _BATCH_BYTES:
                yield b"".join(batch)
                batch, pending = [], 0
        if pending:
            yield b"".join(batch)


def for_mbox(
    message: Message,
    *,
    header: bool = True,
    body: bool = True,
    raw: bool = False,
    content_length: bool = True,
    strict: bool = False,
) -> Text:
    """An entry of an mbox: From_ lines escaped, an empty line at the end; with `raw` neither.

    Without `strict` it closes the holes through which a mail could forge another in procmail: there a
    NUL ends the escaping, and the text `From ` is not escaped after an empty line at the beginning of a
    mail, nor in the first line of a body alone (flag b).
    """
    start, end = _span(message, header, body)
    data = message.data
    if raw:
        return Text([memoryview(data)[start:end]], b"")
    claimed = content_length_field.covered(message) if content_length else None
    if start and not strict:
        # The field is not written, so no reader will honour it.
        claimed = None
    chunks: list[Chunk] = []
    if start and not strict and data.startswith(b"From ", start, end):
        chunks.append(b">")
    view = memoryview(data)
    at = start
    quoted = bytearray()
    for newline in _places(data, start, end, message.split, claimed, strict):
        quoted += view[at : newline + 1]
        quoted += b">"
        at = newline + 1
    chunks += (memoryview(quoted), view[at:end]) if quoted else (view[start:end],)
    return Text(chunks, _final_newline(data, start, end))


def for_file(message: Message, *, header: bool = True, body: bool = True, raw: bool = False) -> Text:
    """A file of an MH folder or a directory: From_ line kept, nothing escaped, an empty line at the end."""
    start, end = _span(message, header, body)
    tail = b"" if raw else _final_newline(message.data, start, end)
    return Text([memoryview(message.data)[start:end]], tail)


def for_maildir(message: Message, *, header: bool = True, body: bool = True) -> Text:
    """A file of a maildir: no From_ line, and no byte added."""
    start, end = _span(message, header, body)
    if not start:
        start = min(from_line.envelope_end(message.data), end)
    return Text([memoryview(message.data)[start:end]], b"")


def for_program(
    message: Message, *, header: bool = True, body: bool = True, raw: bool = False, postmark: bool = True
) -> Text:
    """The standard input of a program (actions `|` and, without `postmark`, `!`)."""
    start, end = _span(message, header, body)
    if not postmark and not start:
        start = min(from_line.envelope_end(message.data), end)
    tail = b"" if raw else _final_newline(message.data, start, end)
    return Text([memoryview(message.data)[start:end]], tail)


def _span(message: Message, header: bool, body: bool) -> tuple[int, int]:
    """The place of the chosen parts; neither means both, as for flags h and b."""
    whole = header == body
    return (0 if header or whole else message.split), (len(message.data) if body or whole else message.split)


def _final_newline(data: bytes, start: int, end: int) -> bytes:
    """The newline that procmail adds to a text that does not end in an empty line."""
    return b"" if end - start >= 2 and data.endswith(b"\n\n", start, end) else b"\n"


def _places(data: bytes, start: int, end: int, split: int, claimed: int | None, strict: bool) -> Iterator[int]:
    """The newlines before lines that begin with `From `, outside the bytes that Content-Length claims."""
    if strict:
        # In a header procmail begins its search one byte after the empty lines at the beginning of the mail, so empty
        # lines and `From ` forge a mail.
        start = start or len(data) - len(data.lstrip(b"\n")) + 1
    if claimed is None:
        yield from _newlines(data, start, end, strict)
        return
    # procmail searches for the newline before `From ` from the end of the claimed bytes on: so a claim
    # of 0 bytes still exempts the first line of the body.
    yield from _newlines(data, start, min(split - 1 + len(b"From "), end), strict)
    yield from _newlines(data, max(split + claimed, start), end, strict)


def _newlines(data: bytes, start: int, end: int, strict: bool) -> Iterator[int]:
    if strict:
        nul = data.find(b"\0", start, end)
        end = end if nul < 0 else nul
    at = data.find(b"\nFrom ", start, end)
    while at >= 0:
        yield at
        at = data.find(b"\nFrom ", at + 6, end)
