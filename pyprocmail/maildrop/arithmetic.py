"""Arithmetic of filter files: numbers are doubles, read as atof(3) reads them, written as printf(3) writes %.22g."""

from __future__ import annotations

from pyprocmail.numerals import LONGEST_S, SPACE, as_int, clipped, integer_at, real_at


def real(text: bytes) -> float:
    """The number at the beginning of `text`; 0 if there is none."""
    return real_at(text)[0]


def integer(text: bytes) -> int:
    """The integer at the beginning of `text`, within 64 bits; 0 if there is none."""
    return integer_at(text)[0]


def setting(text: bytes) -> int:
    """The number of VERBOSE or EXITCODE: digits, with blanks and a `-` before them, limited to the 32 bits of an int.

    As in maildrop, a `+` is not part of a number here.
    """
    text = text.lstrip(SPACE)
    negative = text.startswith(b"-")
    digits = text[1:] if negative else text
    value = 0
    for byte in digits:
        if byte not in b"0123456789":
            break
        value = (value * 10 + byte - 0x30) & 0xFFFFFFFF
    return as_int(-value if negative else value)


def verbosity(text: bytes) -> int:
    """VERBOSE; a negative number counts as 0."""
    return max(setting(text), 0)


def seconds(text: bytes) -> int:
    """A time, 0 or more, limited to what the system can wait."""
    return clipped(integer(text), 0, LONGEST_S)


def written(number: float) -> bytes:
    """The number as the value of a variable."""
    if number != number:
        from math import copysign

        return b"-nan" if copysign(1.0, number) < 0 else b"nan"
    return b"%.22g" % number


def bits(number: float) -> int:
    """The number as an unsigned one of 64 bits, as the usual processors convert it."""
    if number != number or number >= 1 << 64 or number < -(1 << 63):
        return 0 if number >= 1 << 64 else 1 << 63
    return int(number) & 0xFFFFFFFFFFFFFFFF


def divide(dividend: float, divisor: float) -> float:
    """The quotient; division by zero gives inf or -nan, as in the processor."""
    if divisor:
        return dividend / divisor
    if dividend != dividend or not dividend:
        return -float("nan") if dividend == dividend else dividend
    from math import copysign

    return float("inf") * copysign(1.0, dividend) * copysign(1.0, divisor)


def is_true(text: bytes) -> bool:
    """Whether the text counts as true.

    The empty text is false, blanks, and 0 with blanks around it, also `.0` and `0.00`.  But `0.0` is true:
    maildrop does not read the digit after the dot.  tests/conformance/maildrop/expr-truth.json
    """
    text = text.lstrip(SPACE)
    at = 0
    if text[:1] == b"0":
        at = 1
    if text[at : at + 1] == b".":
        at += 2 if at else 1
        if at >= len(text):
            return True
        at = len(text) - len(text[at:].lstrip(b"0"))
    return bool(text[at:].strip(SPACE))
