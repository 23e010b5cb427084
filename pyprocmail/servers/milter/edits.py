"""The changes that rules made to a mail, as packets for the mail server: header fields, recipients, sender.

A milter counts fields in two ways: for an insertion among all fields, where the mail server's own Received: is the
first; for a change among the fields of the same name.  Changes go from the end of the header to its beginning, so that
none moves a field that is changed later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from pyprocmail.message import header
from pyprocmail.servers.milter import codec

_MOST_COMPARED = 2000
"""With more fields than this on either side, all fields from the first difference on are replaced."""


def fields(head: bytes) -> list[bytes]:
    """The fields of a header with LF, without the empty line at its end."""
    return [field for field in header.fields(head.rstrip(b"\n")) if field] if head.strip(b"\n") else []


def of_header(before: Sequence[bytes], after: Sequence[bytes]) -> list[bytes]:
    """The packets that turn the fields `before` into the fields `after`."""
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
    """The parts of `before` to replace: first index, end index, and the new fields."""
    if max(len(before), len(after)) > _MOST_COMPARED:
        return [(0, len(before), after)]
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [(i, j, after[k:n]) for tag, i, j, k, n in matcher.get_opcodes() if tag != "equal"]


def _replaced(before: Sequence[bytes], first: int, last: int, new: Sequence[bytes]) -> Iterator[bytes]:
    """The packets that replace the fields from `first` to before `last` with `new`, from the end to the beginning.

    If a new field has the name of an old one, only the value of the old one changes.  New fields are inserted before
    old ones are removed, so that no place has moved yet.
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
    """The packet that gives the field at index `at` a new value; an empty value removes it."""
    number = Counter(map(_name, before[: at + 1]))[_name(before[at])]
    return codec.change_header(number, _spelled(before[at]), value)


def _inserted(new: Sequence[bytes], at: int, count: int) -> Iterator[bytes]:
    """The packets that insert fields before index `at`; after the last field they are added."""
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
    """The value, as a blank if it is empty: an empty value would remove the field."""
    value = field.partition(b":")[2]
    return (value[1:] if value[:1] == b" " else value).translate(None, b"\r\0") or b" "


def of_recipients(before: Sequence[bytes], after: Sequence[bytes]) -> list[bytes]:
    """The packets that turn the recipients `before`, as the mail server wrote them, into `after`."""
    wanted = dict.fromkeys(_bracketed(address) for address in after)
    known = {_bracketed(address) for address in before}
    gone = [codec.delete_recipient(address) for address in dict.fromkeys(before) if _bracketed(address) not in wanted]
    return gone + [codec.add_recipient(address) for address in wanted if address not in known]


def _bracketed(address: bytes) -> bytes:
    return address if address.startswith(b"<") else b"<%b>" % address


def of_sender(sender: bytes) -> bytes:
    """The packet that changes the sender."""
    return codec.change_sender(_bracketed(sender.translate(None, b"\r\n\0")))
