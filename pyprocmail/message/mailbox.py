"""Splitting a mailbox into its messages, with memory for one message only."""

from __future__ import annotations

import sys

from pyprocmail.exits import MailTooLargeError
from pyprocmail.message.postmark import is_postmark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_READ_BYTES = 1 << 18
_LARGE = 1 << 20
_BOUNDARY = b"\n\nFrom "


def split(read: Callable[[int], bytes], limit_bytes: int = sys.maxsize) -> Iterator[bytes]:
    """The messages of an mbox, each as `formail -s` feeds it to a program.

    `read(n)` returns up to n bytes, b"" at the end.  A message ends where an empty line is followed
    by a From_ line with a date; Content-Length is ignored.  The empty line belongs to the message
    before it; the last message gets one if it has none.  Newlines before the first message are dropped.
    Only the current message, and any bytes read with it, are in memory; the caller alone has a large message.

    Raises:
        MailTooLargeError: a message has more than `limit_bytes`.
    """
    buffer = bytearray()
    start = searched = looked = 0
    while data := read(_READ_BYTES):
        buffer += data
        if not start and not searched:
            _drop_leading_newlines(buffer)
        while True:
            at = buffer.find(_BOUNDARY, searched)
            end_of_line = buffer.find(b"\n", max(at + 2, looked)) if at >= 0 else -1
            if end_of_line < 0:
                # A boundary may span two reads; one whose line is not complete is looked at again.
                searched = at if at >= 0 else max(searched, len(buffer) - len(_BOUNDARY) + 1, start)
                looked = len(buffer) if at >= 0 else 0
                break
            if is_postmark(bytes(buffer[at + 2 : end_of_line])):
                large = at + 2 - start >= _LARGE
                ready = [bytes(memoryview(buffer)[start : at + 2])]
                start = at + 2
                if large:
                    # So memory has it once only while the caller works on it.
                    del buffer[:start]
                    at -= start
                    looked = max(looked - start, 0)
                    start = 0
                yield ready.pop()
            searched = at + 1
        if start:
            del buffer[:start]
            searched -= start
            looked = max(looked - start, 0)
            start = 0
        if len(buffer) > limit_bytes:
            raise MailTooLargeError(limit_bytes)
    yield from _last(buffer)


def _drop_leading_newlines(buffer: bytearray) -> None:
    if buffer.startswith(b"\n"):
        buffer[:] = buffer.lstrip(b"\n")


def _last(buffer: bytearray) -> Iterator[bytes]:
    """The messages in the rest at the end; a From_ line without a newline may still begin one there."""
    at = buffer.rfind(_BOUNDARY)
    if at >= 0 and buffer.find(b"\n", at + 2) < 0 and is_postmark(bytes(buffer[at + 2 :])):
        message = bytes(buffer[: at + 2])
        del buffer[: at + 2]
        yield message
    if buffer:
        buffer += _missing_newlines(buffer)
        ready = [bytes(buffer)]
        buffer.clear()
        yield ready.pop()


def _missing_newlines(buffer: bytearray) -> bytes:
    if buffer.endswith(b"\n\n"):
        return b""
    return b"\n" if buffer.endswith(b"\n") else b"\n\n"
