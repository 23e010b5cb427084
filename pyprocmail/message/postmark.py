"""From_ lines: the first line of a mail in an mbox, and the >From lines after it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from time import struct_time


def is_postmark(line: bytes) -> bool:
    """Whether the line is `From who ... date`, with the hours and minutes of a date."""
    raise NotImplementedError


def make(who: bytes, when: struct_time) -> bytes:
    """`From who  Thu Jan  1 00:00:00 2026`, with its newline."""
    raise NotImplementedError


def envelope_end(data: bytes) -> int:
    """The offset of what follows the From_ line and the `>From ` lines right after it; 0 without From_ line."""
    raise NotImplementedError


def replace(data: bytes, who: bytes, when: struct_time) -> bytes:
    """The mail with `From who  date` in the place of its From_ line (-f who, -o)."""
    raise NotImplementedError


def refresh(data: bytes, fallback: bytes, when: struct_time) -> bytes:
    """The mail with a new date in its From_ line (-f -); without one it gets one from `fallback`."""
    raise NotImplementedError


def mark_untrusted(data: bytes, invoker: bytes, when: struct_time) -> bytes:
    """The mail with `>From invoker  date` below the From_ line that an untrusted caller gave."""
    raise NotImplementedError
