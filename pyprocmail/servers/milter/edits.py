"""What rules made of a mail, as packets for the mail server: fields that come, go and change, another body.

A milter counts fields in two ways: to insert one by its place among all fields, where the mail server's own Received:
is the first; to change one by its place among those of its name.  All is done from the end of the header to its
beginning, so that no change moves what is still to be changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from pyprocmail.message import header
from pyprocmail.servers.milter import codec

_MOST_COMPARED = 2000
"""More fields than that, on either side, are all replaced where they begin to differ."""


def fields(head: bytes) -> list[bytes]:
    """The fields of a header with LF, without the empty line at its end."""
    return [field for field in header.fields(head.rstrip(b"\n")) if field] if head.strip(b"\n") else []


def of_header(before: Sequence[bytes], after: Sequence[bytes]) -> list[bytes]:
    """The packets that make one list of fields of another."""
    if before == after:
        return []
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    steps = _steps(before[start:], after[start:])
    packets: list[bytes] = []
    for first, last, new in reversed(steps):
        packets += _replaced(before, start + first, start + last, new)
    return packets


def _steps(before: Sequence[bytes], after: Sequence[bytes]) -> list[tuple[int, int, Sequence[bytes]]]:
    """What of `before` is replaced, from where to where, and by which fields."""
    if max(len(before), len(after)) > _MOST_COMPARED:
        return [(0, len(before), after)]
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [(i, j, after[k:n]) for tag, i, j, k, n in matcher.get_opcodes() if tag != "equal"]


def _replaced(before: Sequence[bytes], first: int, last: int, new: Sequence[bytes]) -> Iterator[bytes]:
    """The packets that put `new` in the place of some fields, from the end to the beginning.

    A field that has one of its name among the new ones keeps its place, with another value.  What is new comes before
    what is old goes, so that nothing has moved yet.
    """
    left = list(new)
    behind = last
    gone: list[int] = []
    for at in range(last - 1, first - 1, -1):
        name = _name(before[at])
        same = next((place for place in range(len(left) - 1, -1, -1) if _name(left[place]) == name), None)
        if same is None:
            gone.append(at)
            continue
        yield from _inserted(left[same + 1 :], behind, len(before))
        yield from (_changed(before, place, b"") for place in gone)
        yield _changed(before, at, _value(left[same]))
        left, behind, gone = left[:same], at, []
    yield from _inserted(left, behind, len(before))
    yield from (_changed(before, place, b"") for place in gone)


def _changed(before: Sequence[bytes], at: int, value: bytes) -> bytes:
    """The packet for another value of the field with that number; an empty one removes it."""
    number = Counter(map(_name, before[: at + 1]))[_name(before[at])]
    return codec.change_header(number, _spelled(before[at]), value)


def _inserted(new: Sequence[bytes], at: int, count: int) -> Iterator[bytes]:
    """The packets for fields before the one with that number; those behind the last are added."""
    if at >= count:
        for field in new:
            yield codec.add_header(_spelled(field), _value(field))
        return
    for field in reversed(new):
        yield codec.insert_header(at + 1, _spelled(field), _value(field))


def _spelled(field: bytes) -> bytes:
    return field.partition(b":")[0].rstrip(b" \t")


def _name(field: bytes) -> bytes:
    return _spelled(field).lower()


def _value(field: bytes) -> bytes:
    """The value; an empty one would remove the field."""
    value = field.partition(b":")[2]
    return (value[1:] if value[:1] == b" " else value).translate(None, b"\r\0") or b" "


def of_recipients(before: Sequence[bytes], after: Sequence[bytes]) -> list[bytes]:
    """The packets that make one list of addresses of another; those of `before` as the mail server wrote them."""
    wanted = dict.fromkeys(_bracketed(address) for address in after)
    known = {_bracketed(address) for address in before}
    gone = [codec.delete_recipient(address) for address in dict.fromkeys(before) if _bracketed(address) not in wanted]
    return gone + [codec.add_recipient(address) for address in wanted if address not in known]


def _bracketed(address: bytes) -> bytes:
    return address if address.startswith(b"<") else b"<%b>" % address


def of_sender(sender: bytes) -> bytes:
    """The packet for another sender."""
    return codec.change_sender(_bracketed(sender.translate(None, b"\r\n\0")))
