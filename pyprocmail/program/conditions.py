"""Condition lines: what stands before the pattern.

`read` is used by `lower` for what is written in an rcfile, and by the engine for what a `$`
condition has become.  procmailrc(5), Conditions; procmailsc(5).
"""

from __future__ import annotations

from pyprocmail.program.pieces import BLANKS, name_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Weight: TypeAlias = tuple[float, float]
    Condition: TypeAlias = tuple[int, bool, Weight | None, bytes | None, bytes, bytes]

REGEX, PROGRAM, SMALLER, LARGER, EXPAND = 1, 2, 3, 4, 5
"""The kinds of condition.  The text of EXPAND is to be expanded and read again, with its prefixes
(negation, weight, area) as the starting point."""

KIND, NEGATED, WEIGHT, AREA, SHOWN, TEXT = 0, 1, 2, 3, 4, 5
"""The members of a condition.  The weight is (w, x) of w^x.  The area is the name of a variable or
one of H, B, HB, BH.  SHOWN is how the log writes the condition (of a size, its expansion is), TEXT what is to be used:
the pattern without the backslash that protects its beginning, the command behind `?` with its
blanks and continuations, what follows `<`, `>` or `$`."""

_MARKS = {0x3F: PROGRAM, 0x3C: SMALLER, 0x3E: LARGER, 0x24: EXPAND}
_DIGITS = b"0123456789"
_HEX_DIGITS = b"0123456789abcdefABCDEF"
_WEIGHT_START = _DIGITS + b"-+.,"


def read(text: bytes, before: Condition | None = None) -> Condition:
    """The condition in `text`: all behind the `*`, continuation lines and their backslashes included.

    `before` is the EXPAND condition whose expansion `text` is: its prefixes hold on.
    """
    negated, weight, area = False, None, None
    if before is not None:
        _, negated, weight, area, _, _ = before
        text = text.lstrip(BLANKS)
    else:
        text = text.strip(BLANKS)
    while text:
        if text[0] == 0x21:
            negated = not negated
            text = text[1:].lstrip(BLANKS)
            continue
        found = read_weight(text)
        if found:
            weight = found[:2]
            text = text[found[2] :].lstrip(BLANKS)
            continue
        end = _area_end(text)
        if not end:
            break
        area = text[: name_end(text, 0)]
        text = text[end:].lstrip(BLANKS)
    kind = _MARKS.get(text[0], REGEX) if text else REGEX
    if kind in (PROGRAM, SMALLER, LARGER):
        return (kind, negated, weight, area, text, text[1:])
    text = join(text)
    if kind == REGEX:
        return (kind, negated, weight, area, text, text[1:] if text[:1] == b"\\" else text)
    rest = text[1:]
    return (kind, negated, weight, area, text, rest.lstrip(BLANKS) if kind == EXPAND else rest)


def join(text: bytes) -> bytes:
    """`text` without the backslash and newline of continuations, and without the blanks behind a newline.

    A backslash that is the first byte is text: it may be there to protect the newline.
    """
    if b"\n" not in text:
        return text
    parts = text[1:].split(b"\\\n")
    joined = text[:1] + parts[0] + b"".join(part.lstrip(BLANKS) for part in parts[1:])
    lines = joined.split(b"\n")
    return b"\n".join((lines[0], *(line.lstrip(BLANKS) for line in lines[1:])))


def _area_end(text: bytes) -> int:
    """The offset behind `NAME ??`, or 0."""
    end = name_end(text, 0)
    if not end:
        return 0
    while text[end : end + 1] in (b" ", b"\t"):
        end += 1
    return end + 2 if text.startswith(b"??", end) else 0


def read_weight(text: bytes) -> tuple[float, float, int] | None:
    """`w^x` at the beginning of `text`: both numbers, and the offset behind them."""
    if not text or text[0] not in _WEIGHT_START:
        return None
    weight, pos = read_number(text, 0)
    if not pos:
        return None
    while text[pos : pos + 1] in (b" ", b"\t"):
        pos += 1
    if text[pos : pos + 1] != b"^":
        return None
    exponent, end = read_number(text, pos + 1)
    return (weight, exponent, end) if end else None


def read_number(text: bytes, pos: int) -> tuple[float, int]:
    """The number at `pos` as strtod(3) reads it, and the offset behind it; offset 0 if there is none.

    Leading blanks, a sign, decimal or hexadecimal digits with exponent, `inf`, `nan`.
    """
    while pos < len(text) and text[pos] in b" \t\n\v\f\r":
        pos += 1
    sign = text[pos : pos + 1]
    start = pos + 1 if sign in (b"-", b"+") else pos
    value, end = _read_unsigned(text, start)
    return (-value if sign == b"-" else value), end


def _read_unsigned(text: bytes, pos: int) -> tuple[float, int]:
    word = text[pos : pos + 8].lower()
    if word.startswith(b"inf"):
        return float("inf"), pos + (8 if word == b"infinity" else 3)
    if word.startswith(b"nan"):
        return float("nan"), _payload_end(text, pos + 3)
    if word.startswith(b"0x"):
        end = _mantissa_end(text, pos + 2, _HEX_DIGITS)
        if end:
            return _from_hex(text[pos : _exponent_end(text, end, b"pP")]), _exponent_end(text, end, b"pP")
    end = _mantissa_end(text, pos, _DIGITS)
    if not end:
        return 0.0, 0
    end = _exponent_end(text, end, b"eE")
    return float(text[pos:end]), end


def _from_hex(number: bytes) -> float:
    try:
        return float.fromhex(number.decode("ascii"))
    except OverflowError:
        return float("inf")


def _payload_end(text: bytes, pos: int) -> int:
    """The offset behind the `(...)` that may follow `nan`."""
    if text[pos : pos + 1] != b"(":
        return pos
    end = pos + 1
    while end < len(text) and (chr(text[end]).isascii() and (chr(text[end]).isalnum() or text[end] == 0x5F)):
        end += 1
    return end + 1 if text[end : end + 1] == b")" else pos


def _mantissa_end(text: bytes, pos: int, digits: bytes) -> int:
    """The offset behind `digits[.digits]` at `pos`, 0 when there is no digit."""
    start, points = pos, 0
    while pos < len(text) and (text[pos] in digits or (text[pos] == 0x2E and not points)):
        points += text[pos] == 0x2E
        pos += 1
    return pos if pos - start > points else 0


def _exponent_end(text: bytes, pos: int, letters: bytes) -> int:
    """The offset behind the exponent at `pos`, which is `pos` when there is none."""
    if pos >= len(text) or text[pos] not in letters:
        return pos
    end = pos + 1
    if text[end : end + 1] in (b"-", b"+"):
        end += 1
    start = end
    while end < len(text) and text[end] in _DIGITS:
        end += 1
    return end if end > start else pos
