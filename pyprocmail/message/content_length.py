"""The Content-Length field: procmail keeps it right, in the width it has.

The field is the first of that name, with the colon right behind it.  Its value is blank-padded text
on its first line, of a width that does not change, so that nothing of the mail moves.
"""

from __future__ import annotations

from pyprocmail.message.model import Message, field_places
from pyprocmail.numerals import whole

_NAME = b"content-length:"


def refit(message: Message) -> Message:
    """The message with a Content-Length that fits its body (when read, and after each filter, without -Y).

    The same message when there is no such field, or when it is right.
    """
    place = find(message)
    if place is None:
        return message
    start, end = place
    width = end - start
    if not width:
        return message
    length = len(message.data) - message.split
    # Meant to leave out a final empty line, but procmail looks at the last byte but one only.
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
    """How many bytes of the body the field claims: these are not searched for From_ lines.

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
