"""A message: header and body, exactly the bytes that came in."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Message:
    """One mail.  Frozen: a filter makes a new one.

    `data` is the whole mail.  `split` is where the body begins: the header includes the empty
    line that ends it, and newlines before the first header line are part of the header.  A mail
    without an empty line is all header.
    """

    __slots__ = ("data", "split", "_head")

    data: bytes
    split: int
    _head: bytes | None

    def __init__(self, data: bytes, split: int | None = None) -> None:
        self.data = data
        self.split = end_of_header(data) if split is None else split
        self._head = None

    @property
    def head(self) -> bytes:
        """The header, with the empty line that ends it."""
        if self._head is None:
            self._head = self.data[: self.split]
        return self._head

    @property
    def body(self) -> bytes:
        """A copy of the body: get it once."""
        return self.data[self.split :]

    def __len__(self) -> int:
        return len(self.data)


def field_places(head: bytes, name: bytes) -> Iterator[tuple[int, int, int]]:
    """The places of the fields `name`, which is in lower case and ends with the colon: no blank may precede the colon.

    For each field: the offsets of its beginning, of its value, and of the end of its first line, without the newline.
    """
    lowered = head.lower()
    start = 0 if lowered.startswith(name) else lowered.find(b"\n" + name) + 1
    while start or lowered.startswith(name):
        value = start + len(name)
        end = head.find(b"\n", value)
        yield start, value, len(head) if end < 0 else end
        start = lowered.find(b"\n" + name, value) + 1
        if not start:
            break


def end_of_header(data: bytes, *, strict: bool = False) -> int:
    """The offset of the body in `data`.

    A line with only a CR is empty as well, and a NUL is a byte like others.  `strict` does as procmail:
    mail with CRLF lines, or with a NUL after the first byte of its header, is all header.
    """
    start = 0
    while data.startswith(b"\n", start):
        start += 1
    end = data.find(b"\n\n", start)
    end = len(data) if end < 0 else end + 2
    if strict:
        return len(data) if b"\0" in data[start + 1 : end] else end
    carriage = data.find(b"\n\r\n", start, end)
    return end if carriage < 0 else carriage + 3
