"""Numbers in mailfilter text: read as atof(3) and atol(3) read them, written as printf(3) writes %.22g."""

from __future__ import annotations

_SPACE = b" \t\n\v\f\r"
_DIGITS = b"0123456789"
_HEX_DIGITS = b"0123456789abcdefABCDEF"
_LONG_MAX = (1 << 63) - 1


def number_at(text: bytes) -> float:
    """The number that `text` begins with; 0 without.

    Blanks, a sign, an exponent, 0x and hexadecimal digits, `inf` and `nan` are understood.
    """
    start = len(text) - len(text.lstrip(_SPACE))
    at = start + 1 if text[start : start + 1] in (b"-", b"+") else start
    lower = text[at : at + 8].lower()
    if lower.startswith(b"0x"):
        end = _mantissa(text, at + 2, _HEX_DIGITS)
        if end > at + 2:
            end = _exponent(text, end, b"pP")
            return float.fromhex(text[start:end].decode("ascii"))
        return -0.0 if text[start:at] == b"-" else 0.0
    if lower.startswith((b"inf", b"nan")):
        return float(text[start : at + 3].decode("ascii"))
    end = _mantissa(text, at, _DIGITS)
    if end == at:
        return 0.0
    return float(text[start : _exponent(text, end, b"eE")].decode("ascii"))


def _mantissa(text: bytes, at: int, digits: bytes) -> int:
    """Where digits with at most one dot end; `at` itself when there is no digit."""
    whole = _skip(text, at, digits)
    if text[whole : whole + 1] != b".":
        return whole
    fraction = _skip(text, whole + 1, digits)
    return at if whole == at and fraction == whole + 1 else fraction


def _exponent(text: bytes, at: int, letters: bytes) -> int:
    """Where the exponent at `at` ends; `at` itself when there is none."""
    if text[at : at + 1] not in (letters[:1], letters[1:]):
        return at
    digits = at + 2 if text[at + 1 : at + 2] in (b"-", b"+") else at + 1
    end = _skip(text, digits, _DIGITS)
    return end if end > digits else at


def _skip(text: bytes, at: int, allowed: bytes) -> int:
    while at < len(text) and text[at] in allowed:
        at += 1
    return at


def integer_at(text: bytes) -> int:
    """The integer that `text` begins with, within 64 bits; 0 without."""
    text = text.lstrip(_SPACE)
    negative = text[:1] == b"-"
    if text[:1] in (b"-", b"+"):
        text = text[1:]
    value = int(text[: _skip(text, 0, _DIGITS)][:20] or b"0")
    return max(-value, -_LONG_MAX - 1) if negative else min(value, _LONG_MAX)


def written(number: float) -> bytes:
    """The number as the value of a variable has it."""
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
    """The quotient; dividing by nothing gives inf or -nan, as the processor has it."""
    if divisor:
        return dividend / divisor
    if dividend != dividend or not dividend:
        return -float("nan") if dividend == dividend else dividend
    from math import copysign

    return float("inf") * copysign(1.0, dividend) * copysign(1.0, divisor)


def is_true(text: bytes) -> bool:
    """Whether the text counts as true.

    False are the empty text, blanks, and 0 with blanks around it, `.0` and `0.00` among them.  But `0.0` is true:
    maildrop does not read the digit behind the dot.  tests/conformance/maildrop/expr-truth.json
    """
    text = text.lstrip(_SPACE)
    at = 0
    if text[:1] == b"0":
        at = 1
    if text[at : at + 1] == b".":
        at += 2 if at else 1
        if at >= len(text):
            return True
        at = _skip(text, at, b"0")
    return bool(text[at:].strip(_SPACE))
