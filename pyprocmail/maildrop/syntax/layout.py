"""The canonical layout of a filter file: indentation, and blanks and empty lines at ends."""

from __future__ import annotations

from bisect import bisect_right

from pyprocmail.maildrop.syntax.lexer import Lexeme, lex
from pyprocmail.maildrop.syntax.nodes import (
    Block,
    Branch,
    Empty,
    FilterFile,
    ForEach,
    If,
    Node,
    Statement,
    While,
    children,
)
from pyprocmail.maildrop.syntax.parse import read

INDENT = b"    "
_MOST_EMPTY_LINES = 2


def arranged(data: bytes) -> bytes:
    """The filter file `data` in its canonical layout; unchanged if it has a fault, or its meaning would change.

    The lines of blocks are indented by four blanks, and so is a statement without braces below its `if`, `else`,
    `while` or `foreach`; continuation lines by four more.
    """
    parsed = read(data)
    if parsed.tree is None:
        return data
    lexemes = parsed.lexemes
    written = _indented(data, lexemes, _without_braces(parsed.tree, data, lexemes))
    return written if _meaning(lex(written)) == _meaning(lexemes) else data


def _meaning(lexemes: list[Lexeme]) -> list[tuple[str, bytes]]:
    """The lexemes, without the number of newlines that separate statements."""
    found: list[tuple[str, bytes]] = []
    for lexeme in lexemes:
        one = (lexeme.type, b"" if lexeme.type == "SEPARATOR" else lexeme.text)
        if one[0] != "SEPARATOR" or found[-1:] != [one]:
            found.append(one)
    return found


def _without_braces(tree: FilterFile, data: bytes, lexemes: list[Lexeme]) -> list[tuple[int, int]]:
    """Where the level of lines changes, and by how much: up before such a statement that begins a line, down after it.

    A comment above the statement belongs to it.
    """
    ends = [lexeme.span.end for lexeme in lexemes if lexeme.type != "SEPARATOR"]
    found: list[tuple[int, int]] = []
    todo: list[Node] = [tree]
    while todo:
        node = todo.pop()
        todo += children(node)
        body = _body(node)
        if body is None or isinstance(body, Block | Empty):
            continue
        before = ends[bisect_right(ends, body.span.start) - 1]
        if b"\n" in data[before : body.span.start]:
            found += ((data.index(b"\n", before), 1), (body.span.end - 1, -1))
    return sorted(found)


def _body(node: Node) -> Statement | None:
    """The statement that a node is about, if it has one that needs no braces."""
    if isinstance(node, If):
        return node.otherwise
    return node.body if isinstance(node, Branch | While | ForEach) else None


def _indented(data: bytes, lexemes: list[Lexeme], steps: list[tuple[int, int]]) -> bytes:
    braces = [(lexeme.span.start, 1 if lexeme.type == "OPEN" else -1) for lexeme in lexemes if lexeme.type in _BRACES]
    inner = sorted((one.span.start, one.span.end) for one in lexemes if b"\n" in one.text.strip(b"\n"))
    starts = [start for start, _ in inner]
    lines: list[bytes] = []
    depth = at = empty = taken = level = climbed = 0
    joined = False
    for line in data.split(b"\n"):
        while climbed < len(steps) and steps[climbed][0] < at:
            level += steps[climbed][1]
            climbed += 1
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
            text = INDENT * (max(lowest, 0) + level + joined) + text
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
