"""The fields of a header, unchanged, each with its continuation lines and its place.

`field_places` of message/model finds fields whose colon directly follows the name, without continuation lines.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_MOST_NAMES = 256


def fields(head: bytes) -> Iterator[bytes]:
    """The fields without their last newline; a line that begins with a blank continues the one before it."""
    for start, end in places(head):
        yield head[start:end]


def places(head: bytes) -> Iterator[tuple[int, int]]:
    """Where the fields begin and end."""
    start = end = 0
    while head and end >= 0:
        end = head.find(b"\n", end)
        if not head.startswith((b"\n ", b"\n\t"), end) or end < 0:
            yield start, len(head) if end < 0 else end
            start = end + 1
        end += end >= 0


def named(head: bytes, names: Container[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """The fields with one of these lower-case names: where each begins and ends, and its value, with its folds.

    Blanks around a name are ignored.
    """
    for start, end in places(head):
        name, colon, value = head[start:end].partition(b":")
        if colon and name.strip().lower() in names:
            yield start, end, value


def lines(text: bytes) -> Iterator[bytes]:
    """The lines, without their newlines, one at a time; the text after the last newline is a line too."""
    start = 0
    while (end := text.find(b"\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


class Names:
    """Names of fields; equal names are the same object, since a stranger may write a name a million times."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def one(self, name: bytes) -> bytes:
        """The name."""
        known = self._known.get(name)
        if known is None:
            known = name
            if len(self._known) < _MOST_NAMES:
                self._known[name] = name
        return known
