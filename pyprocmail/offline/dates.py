"""The date for which rules are tried, and the date(1) commands by which rules name folders."""

from __future__ import annotations

import re
import time
from datetime import datetime

_FORMAT = rb"(?:[^%%\"'$`\\\n%b]|%%[-_0^#]?[aAbBcCdDeFgGhHIjklmMnprRSstTuUVwWxXyYzZ%%])*"
_ASKED = re.compile(
    rb"\s*(?:(?:/usr)?/bin/)?date\s+(?P<utc>-u\s+|--utc\s+)?"
    rb"(?:\+(?P<plain>" + _FORMAT % rb"\s|&;<>()*?#" + rb")"
    rb"|'\+(?P<quoted>" + _FORMAT % b"" + rb")'|\"\+(?P<double>" + _FORMAT % b"" + rb")\")\s*"
)
"""A command line that only prints a date, whether a shell or procmail reads it: no other options, and after a % only
letters that strftime(3) knows."""


class NoDateError(ValueError):
    """The text is not a date."""


def moment_of(text: str) -> float:
    """The seconds since the epoch of an ISO 8601 date, with a time or without; local time unless it has an offset.

    Raises:
        NoDateError: it is not such a date.
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise NoDateError(f"{text}: this is not a date such as 2026-01-31 or 2026-01-31T12:00") from error


def told(line: bytes, now: float) -> bytes | None:
    """The output of a date(1) command line; None for any other command, and for formats that only date itself knows."""
    asked = _ASKED.fullmatch(line)
    if asked is None:
        return None
    form = next(text for text in (asked["plain"], asked["quoted"], asked["double"]) if text is not None)
    if asked["utc"] and b"%s" in form:
        return None
    when = time.gmtime(now) if asked["utc"] else time.localtime(now)
    return time.strftime(form.decode("utf-8", "surrogateescape"), when).encode("utf-8", "surrogateescape") + b"\n"
