"""The canonical layout of a filter file: indentation, and blanks and empty lines at ends."""

from __future__ import annotations

from bisect import bisect_right

from pyprocmail.maildrop.syntax.lexer import Lexeme, lex
from pyprocmail.maildrop.syntax.parse import read

INDENT = b"    "
_MOST_EMPTY_LINES = 2


def arranged(data: bytes) -> bytes:
    """The filter file `data` in its canonical layout; unchanged if it has a fault, or its meaning would change.

    The lines of blocks are indented by four blanks, continuation lines by four more.
    """
    parsed = read(data)
    if parsed.fault is not None:
        return data
    lexemes = parsed.lexemes
    written = _indented(data, lexemes)
    return written if _meaning(lex(written)) == _meaning(lexemes) else data


def _meaning(lexemes: list[Lexeme]) -> list[tuple[str, bytes]]:
    """The lexemes, without the number of newlines that separate statements."""
    found: list[tuple[str, bytes]] = []
    for lexeme in lexemes:
        one = (lexeme.type, b"" if lexeme.type == "SEPARATOR" else lexeme.text)
        if one[0] != "SEPARATOR" or found[-1:] != [one]:
            found.append(one)
    return found


def _indented(data: bytes, lexemes: list[Lexeme]) -> bytes:
    braces = [(lexeme.span.start, 1 if lexeme.type == "OPEN" else -1) for lexeme in lexemes if lexeme.type in _BRACES]
    inner = sorted((one.span.start, one.span.end) for one in lexemes if b"\n" in one.text.strip(b"\n"))
    starts = [start for start, _ in inner]
    lines: list[bytes] = []
    depth = at = empty = taken = 0
    joined = False
    for line in data.split(b"\n"):
        within = bisect_right(starts, at - 1) - 1
        inside = within >= 0 and starts[within] < at <= inner[within][1]
        text = line if inside else line.strip(b" \t")
        end = at + len(line)
        here = 0
        lowest = depth
        while taken < len(braces) and braces[taken][0] < end:
            here += braces[taken][1]
            lowest = min(lowest, depth + here) if text.startswith(b"}") else lowest
            taken += 1
        if not inside and text:
            text = INDENT * (max(lowest, 0) + joined) + text
        empty = 0 if text else empty + 1
        if text or empty <= _MOST_EMPTY_LINES or inside:
            lines.append(text)
        joined = line.endswith(b"\\")
        depth += here
        at = end + 1
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return b"\n".join(lines) + b"\n" if lines else b""


_BRACES = ("OPEN", "CLOSE")
