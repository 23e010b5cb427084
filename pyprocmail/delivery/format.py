"""The bytes that a message becomes in a folder, or on its way to a program.

A text is a list of chunks, views of the message where nothing changes, so that a large body is
not copied.  Nothing here writes.
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
    """What is to be written: `chunks`, of `length` bytes together, then `tail` (the added newlines)."""

    __slots__ = ("chunks", "length", "tail")

    def __init__(self, chunks: list[Chunk], tail: bytes) -> None:
        self.chunks = chunks
        self.length = sum(map(len, chunks))
        self.tail = tail

    @property
    def size(self) -> int:
        """The number of bytes, the tail included."""
        return self.length + len(self.tail)

    def batches(self) -> Iterator[Chunk]:
        """The chunks and the tail in pieces worth a write(2) each."""
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
    """An entry of an mbox: From_ lines escaped, an empty line at the end; `raw` is neither.

    Without `strict` the holes of procmail are closed through which a mail could forge another: a NUL
    ended the escaping, a text that began with an empty line and `From ` and the first line of a body
    alone (flag b) were never escaped.
    """
    start, end = _span(message, header, body)
    data = message.data
    if raw:
        return Text([memoryview(data)[start:end]], b"")
    claimed = content_length_field.covered(message) if content_length else None
    if start and not strict:
        # The field is not written here, so no reader will honour it.
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
    """A file of a maildir: no From_ line, and not a byte added."""
    start, end = _span(message, header, body)
    if not start:
        start = min(from_line.envelope_end(message.data), end)
    return Text([memoryview(message.data)[start:end]], b"")


def for_program(
    message: Message, *, header: bool = True, body: bool = True, raw: bool = False, postmark: bool = True
) -> Text:
    """What a program reads on its standard input (actions `|` and, without `postmark`, `!`)."""
    start, end = _span(message, header, body)
    if not postmark and not start:
        start = min(from_line.envelope_end(message.data), end)
    tail = b"" if raw else _final_newline(message.data, start, end)
    return Text([memoryview(message.data)[start:end]], tail)


def _span(message: Message, header: bool, body: bool) -> tuple[int, int]:
    """Where the chosen parts lie; neither means both, as for flags h and b."""
    whole = header == body
    return (0 if header or whole else message.split), (len(message.data) if body or whole else message.split)


def _final_newline(data: bytes, start: int, end: int) -> bytes:
    """The one newline that procmail adds to what does not end in an empty line."""
    return b"" if end - start >= 2 and data.endswith(b"\n\n", start, end) else b"\n"


def _places(data: bytes, start: int, end: int, split: int, claimed: int | None, strict: bool) -> Iterator[int]:
    """The newlines before lines that begin with `From `, outside of what Content-Length claims."""
    if strict:
        # In a header procmail begins to look behind the empty lines that a mail begins with, and behind one byte more,
        # so these and `From ` forge a mail.
        start = start or len(data) - len(data.lstrip(b"\n")) + 1
    if claimed is None:
        yield from _newlines(data, start, end, strict)
        return
    # procmail looks for the newline before `From ` from the end of what is claimed: so a claim of
    # nothing still exempts the first line of the body.
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
