"""The Content-Length field: procmail keeps it correct without changing its width.

The field is the first of that name whose colon directly follows the name.  Its value is the
blank-padded text on its first line; the width does not change, so no byte of the mail moves.
"""

from __future__ import annotations

from pyprocmail.message.model import Message, field_places
from pyprocmail.numerals import whole

_NAME = b"content-length:"


def refit(message: Message) -> Message:
    """The message with a Content-Length that fits its body (when read, and after each filter, without -Y).

    The same message if it has no such field, or a correct one.
    """
    place = find(message)
    if place is None:
        return message
    start, end = place
    width = end - start
    if not width:
        return message
    length = len(message.data) - message.split
    # procmail wants to leave out a final empty line, but it looks only at the last byte but one.
    if length and message.data[-2:-1] == b"\n":
        length -= 1
    value = b"%*d" % (width, length)
    if len(value) > width:
        value = b"9" * width
    data = message.data
    if data[start:end] == value:
        return message
    return Message(b"".join((data[:start], value, data[end:])), message.split)


def covered(message: Message) -> int | None:
    """How many bytes of the body the field claims; they are not searched for From_ lines.

    None without the field.
    """
    place = find(message)
    if place is None:
        return None
    text = message.data[place[0] : place[1]].strip()
    return whole(text) or 0


def find(message: Message) -> tuple[int, int] | None:
    """Where the value of the field begins and ends."""
    for _, start, end in field_places(message.head, _NAME):
        return start, end
    return None
