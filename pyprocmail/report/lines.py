"""Reads a line of a log, mailspy's form or a JSON object, as a value.

mailspy's line is the date (GMT) and fields, each after a tab: `YY-MM-DD HH:MM`, `time=`, `from=`, `to=` for each
recipient, `size=`, `subject=`, `file=` for each attachment.  Other fields are ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pyprocmail.message import mime
from pyprocmail.message.visible import blanked

RETURNED = "bounce@returned"
"""The name for an empty sender, as in htmlspy.pl."""
_DATE = re.compile(rb"(\d\d)-(\d\d)-(\d\d) +(\d\d):(\d\d)\Z")
_LATEST_S = 253_402_300_799
"""The last second of the year 9999."""
_LARGEST_BYTES = 1 << 62


@dataclass(frozen=True, slots=True)
class Logged:
    """A mail from a log: `time` in seconds since 1970, addresses without brackets, `size` of the body in bytes."""

    time: int
    sender: str
    recipients: Sequence[str]
    size: int
    subject: str
    files: Sequence[str]


def read(line: bytes) -> Logged | None:
    """The mail in the line; None if it is not a line about a mail."""
    try:
        return _from_json(line) if line.startswith(b"{") else _from_text(line)
    except (ValueError, RecursionError):  # RecursionError: the JSON is nested too deeply
        return None


def _from_text(line: bytes) -> Logged | None:
    date, *rest = line.rstrip(b"\r\n").split(b"\t")
    matched = _DATE.match(date)
    if matched is None or not rest:
        return None
    year, month, day, hour, minute = (int(part) for part in matched.groups())
    when = int(datetime(2000 + year, month, day, hour, minute, tzinfo=UTC).timestamp())
    found: dict[bytes, list[bytes]] = {}
    for field in rest:
        name, equals, value = field.partition(b"=")
        if equals:
            found.setdefault(name, []).append(value)
    if b"from" not in found:
        return None
    size = (found.get(b"size") or found.get(b"body") or [b"0"])[0]
    return Logged(
        _number(found.get(b"time", [b""])[0], _LATEST_S, when),
        _address(found[b"from"][0]) or RETURNED,
        [_address(one) for one in found.get(b"to", [])],
        _number(size, _LARGEST_BYTES, 0),
        _text(mime.words(found.get(b"subject", [b""])[0])),
        [_text(name) for name in found.get(b"file", [])],
    )


def _from_json(line: bytes) -> Logged | None:
    found = json.loads(line)
    if not isinstance(found, dict) or not isinstance(found.get("from"), str):
        return None
    when, size = found.get("time"), found.get("size")
    if not isinstance(when, int) or not isinstance(size, int) or not 0 <= when <= _LATEST_S:
        return None
    return Logged(
        when,
        _address(_bytes(found["from"])) or RETURNED,
        [_address(_bytes(one)) for one in _strings(found.get("to"))],
        min(max(size, 0), _LARGEST_BYTES),
        _text(mime.words(_bytes(str(found.get("subject", ""))))),
        [_text(_bytes(one)) for one in _strings(found.get("files"))],
    )


def _strings(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")


def _number(digits: bytes, largest: int, otherwise: int) -> int:
    """The number, or `otherwise` if it is not one in the range."""
    if not digits.isdigit() or len(digits) > 20:
        return otherwise
    found = int(digits)
    return found if found <= largest else otherwise


def _address(text: bytes) -> str:
    return _text(text.strip().removeprefix(b"<").removesuffix(b">"))


def _text(text: bytes) -> str:
    return blanked(text).replace(b"\t", b" ").replace(b"\n", b" ").decode(errors="replace")
