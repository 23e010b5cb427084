"""Numbers and yes or no, as rcfiles write them in the values of special variables."""

from __future__ import annotations

_WORDS = {b"a": 2, b"y": 1, b"t": 1, b"e": 1, b"on": 1, b"n": 0, b"f": 0, b"d": 0, b"of": 0}


def read(value: bytes, old: int) -> int:
    """The number `value` begins with, or what its first letter says; `old` when it says nothing.

    `all` is 2; yes, true, enabled and on are 1; no, false, disabled and off are 0.
    """
    digits = leading_digits(value)
    if digits is not None:
        return digits
    word = value.lstrip(b" \t\n")[:2].lower()
    return _WORDS.get(word[:1], _WORDS.get(word, old))


def leading_digits(value: bytes, base: int = 10) -> int | None:
    """The number at the beginning, with blanks and a sign before it, as strtol(3) reads it."""
    text = value.lstrip(b" \t\n\v\f\r")
    sign = 1
    if text[:1] in (b"-", b"+"):
        sign = -1 if text[:1] == b"-" else 1
        text = text[1:]
    end = 0
    allowed = b"0123456789"[:base]
    while end < len(text) and text[end] in allowed:
        end += 1
    return sign * int(text[:end][:20], base) if end else None
