"""The subject of an answer."""

from __future__ import annotations

_SPACE = b" \t\n\r\v\f"


def core_subject(subject: bytes) -> bytes:
    """The subject without a leading `Re:`, `Fwd:` or a list's `[name]`, and without a trailing `(fwd)`."""
    lower = subject.lower()
    closed = b"]" in subject
    begin, end = 0, len(subject)
    while True:
        before = begin, end
        begin, end = _stripped(subject, begin, end)
        for prefix in (b"re:", b"fwd:", b"fw:"):
            if lower.startswith(prefix, begin, end):
                begin += len(prefix)
                break
        if closed and subject.startswith(b"[", begin, end):
            close = subject.find(b"]", begin, end)
            # The text is stripped, so text follows the bracket.
            begin = close + 1 if 0 <= close < end - 1 else begin
            closed = close >= 0
        if lower.endswith(b"(fwd)", begin, end):
            end -= 5
        if (begin, end) == before:
            return subject[begin:end]


def _stripped(text: bytes, begin: int, end: int) -> tuple[int, int]:
    """The offsets without the blanks at both ends."""
    while begin < end and text[begin] in _SPACE:
        begin += 1
    while begin < end and text[end - 1] in _SPACE:
        end -= 1
    return begin, end
