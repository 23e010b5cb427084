"""Numbers that users and strangers write: in rcfiles and filter files, on command lines, in mails, in files.

Every function here takes any bytes, in time linear in their length, and returns a number that fits in 64 bits, so that
calculations with it are safe.  A setting narrows that range itself, with `clipped`.
"""

from __future__ import annotations

LARGEST = (1 << 63) - 1
SMALLEST = -LARGEST - 1
LARGEST_INT = (1 << 31) - 1
"""C's long and int."""

LONGEST_S = LARGEST_INT
"""The longest time that a setting may have, in seconds: the limit of sleep(2) and alarm(2)."""

SPACE = b" \t\n\v\f\r"
_DIGITS = b"0123456789"
_HEX_DIGITS = b"0123456789abcdefABCDEF"
_NO_DOUBT = 22
"""A number of more digits is out of range in base 8 too."""
_WORDS = {b"a": 2, b"y": 1, b"t": 1, b"e": 1, b"on": 1, b"n": 0, b"f": 0, b"d": 0, b"of": 0}


def bounded(digits: bytes, base: int = 10) -> int:
    """The number that `digits` represent; LARGEST if it is too large, 0 without digits.  There must be digits only."""
    significant = digits.lstrip(b"0")
    if len(significant) > _NO_DOUBT:
        return LARGEST
    return min(int(significant, base), LARGEST) if significant else 0


def whole(text: bytes) -> int | None:
    """The number that `text` represents, if it is digits only; else None."""
    return bounded(text) if text.isdigit() else None


def integer_at(text: bytes, base: int = 10) -> tuple[int, int]:
    """The number at the beginning, with blanks and a sign before it, as strtol(3) reads it, and the offset after it.

    The offset is 0 if there is no number.
    """
    at = len(text) - len(text.lstrip(SPACE))
    negative = text[at : at + 1] == b"-"
    start = at + 1 if text[at : at + 1] in (b"-", b"+") else at
    end = _skip(text, start, _DIGITS[:base])
    if end == start:
        return 0, 0
    number = bounded(text[start:end], base)
    if negative:
        return (-number if number < LARGEST else _negative(text[start:end], base)), end
    return number, end


def _negative(digits: bytes, base: int) -> int:
    """The negative number; `bounded` cannot tell -LARGEST from SMALLEST and less."""
    significant = digits.lstrip(b"0")
    return max(-int(significant, base), SMALLEST) if len(significant) <= _NO_DOUBT else SMALLEST


def leading(text: bytes, base: int = 10) -> int | None:
    """The number at the beginning of `text`, or None."""
    number, end = integer_at(text, base)
    return number if end else None


def as_int(number: int) -> int:
    """The value of a long after C converts it to an int."""
    return ((number + LARGEST_INT + 1) & 0xFFFFFFFF) - LARGEST_INT - 1


def setting(value: bytes, old: int) -> int:
    """The number at the beginning of `value`, or the meaning of its first letters; `old` if it has none.

    `all` is 2; yes, true, enabled and on are 1; no, false, disabled and off are 0.
    """
    number = leading(value)
    if number is not None:
        return number
    word = value.lstrip(b" \t\n")[:2].lower()
    return _WORDS.get(word[:1], _WORDS.get(word, old))


def clipped(number: int, low: int, high: int) -> int:
    """The nearest number within the bounds."""
    return max(low, min(number, high))


def real_at(text: bytes, at: int = 0) -> tuple[float, int]:
    """The number at `at` as strtod(3) reads it, and the offset after it; 0.0 and offset 0 if there is none.

    Leading blanks, a sign, decimal or hexadecimal digits with exponent, `inf`, `nan`.
    """
    while at < len(text) and text[at] in SPACE:
        at += 1
    sign = text[at : at + 1]
    start = at + 1 if sign in (b"-", b"+") else at
    value, end = _unsigned(text, start)
    return (-value if sign == b"-" else value) if end else 0.0, end


def _unsigned(text: bytes, at: int) -> tuple[float, int]:
    word = text[at : at + 8].lower()
    if word.startswith(b"inf"):
        return float("inf"), at + (8 if word == b"infinity" else 3)
    if word.startswith(b"nan"):
        return float("nan"), _payload_end(text, at + 3)
    if word.startswith(b"0x"):
        end = _mantissa_end(text, at + 2, _HEX_DIGITS)
        if end:
            whole_end = _exponent_end(text, end, b"pP")
            return _from_hex(text[at + 2 : end], text[end:whole_end]), whole_end
    end = _mantissa_end(text, at, _DIGITS)
    if not end:
        return 0.0, 0
    end = _exponent_end(text, end, b"eE")
    return float(text[at:end]), end


def _from_hex(mantissa: bytes, exponent: bytes) -> float:
    if not mantissa.strip(b"0."):
        return 0.0
    try:
        return float.fromhex((mantissa + exponent).decode("ascii"))
    except OverflowError:
        return float("inf")


def _payload_end(text: bytes, at: int) -> int:
    """The offset after the `(...)` that may follow `nan`."""
    if text[at : at + 1] != b"(":
        return at
    end = at + 1
    while end < len(text) and (text[end : end + 1].isalnum() or text[end] == 0x5F):
        end += 1
    return end + 1 if text[end : end + 1] == b")" else at


def _mantissa_end(text: bytes, at: int, digits: bytes) -> int:
    """The offset after digits with at most one dot; 0 if there is no digit."""
    end = _skip(text, at, digits)
    found = end - at
    if text[end : end + 1] == b".":
        fraction = _skip(text, end + 1, digits)
        found += fraction - end - 1
        end = fraction
    return end if found else 0


def _exponent_end(text: bytes, at: int, letters: bytes) -> int:
    """The offset after the exponent at `at`; `at` itself if there is no exponent."""
    if at >= len(text) or text[at] not in letters:
        return at
    start = at + 2 if text[at + 1 : at + 2] in (b"-", b"+") else at + 1
    end = _skip(text, start, _DIGITS)
    return end if end > start else at


def _skip(text: bytes, at: int, allowed: bytes) -> int:
    while at < len(text) and text[at] in allowed:
        at += 1
    return at
