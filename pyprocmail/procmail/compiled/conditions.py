"""Condition lines: the prefixes before the pattern.

`lower` calls `read` for the text in an rcfile, and the engine for the expanded text of a `$`
condition.  procmailrc(5), Conditions; procmailsc(5).
"""

from __future__ import annotations

from pyprocmail.numerals import real_at
from pyprocmail.procmail.compiled.pieces import BLANKS, name_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Weight: TypeAlias = tuple[float, float]
    Condition: TypeAlias = tuple[int, bool, Weight | None, bytes | None, bytes, bytes]

REGEX, PROGRAM, SMALLER, LARGER, EXPAND = 1, 2, 3, 4, 5
"""The kinds of condition.  The text of EXPAND is expanded and read again, with its prefixes
(negation, weight, area) as the starting point."""

KIND, NEGATED, WEIGHT, AREA, SHOWN, TEXT = 0, 1, 2, 3, 4, 5
"""The members of a condition.  The weight is (w, x) of w^x.  The area is the name of a variable or
one of H, B, HB, BH.  SHOWN is the condition as the log shows it (a size is shown expanded).  TEXT is
the pattern without the backslash that protects its beginning, the command after `?` with its
blanks and continuations, or what follows `<`, `>` or `$`."""

_MARKS = {0x3F: PROGRAM, 0x3C: SMALLER, 0x3E: LARGER, 0x24: EXPAND}
_WEIGHT_START = b"0123456789-+.,"


def read(text: bytes, before: Condition | None = None) -> Condition:
    """The condition in `text`, which is everything after the `*`, with continuation lines and their backslashes.

    `before` is the EXPAND condition whose expansion `text` is: its prefixes still apply.
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
    """`text` without the backslash and newline of continuations, and without the blanks after the newline.

    A backslash that is the first byte is text: it may be there to protect the newline.
    """
    if b"\n" not in text:
        return text
    parts = text[1:].split(b"\\\n")
    joined = text[:1] + parts[0] + b"".join(part.lstrip(BLANKS) for part in parts[1:])
    lines = joined.split(b"\n")
    return b"\n".join((lines[0], *(line.lstrip(BLANKS) for line in lines[1:])))


def _area_end(text: bytes) -> int:
    """The offset after `NAME ??`, or 0."""
    end = name_end(text, 0)
    if not end:
        return 0
    while text[end : end + 1] in (b" ", b"\t"):
        end += 1
    return end + 2 if text.startswith(b"??", end) else 0


def read_weight(text: bytes) -> tuple[float, float, int] | None:
    """`w^x` at the beginning of `text`: both numbers, and the offset after them."""
    if not text or text[0] not in _WEIGHT_START:
        return None
    weight, pos = real_at(text)
    if not pos:
        return None
    while text[pos : pos + 1] in (b" ", b"\t"):
        pos += 1
    if text[pos : pos + 1] != b"^":
        return None
    exponent, end = real_at(text, pos + 1)
    return (weight, exponent, end) if end else None
