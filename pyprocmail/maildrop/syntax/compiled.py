"""Filter file to program, with the messages about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyprocmail.diagnostics import render
from pyprocmail.maildrop.syntax.lexer import STRINGS, Lexeme
from pyprocmail.maildrop.syntax.lower import lower
from pyprocmail.maildrop.syntax.parse import read
from pyprocmail.source import Source

if TYPE_CHECKING:
    from pyprocmail.maildrop.instructions import Program

_QUOTES = {"DOUBLE": b'"', "SINGLE": b"'", "BACKTICK": b"`"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """The program (None with a fault), and the lines for standard error, each with whether our name is in front."""

    program: Program | None
    lines: tuple[tuple[bool, bytes], ...]


def compile_filter(
    data: bytes, name: bytes, *, embedded: bool = False, traced: bool = False, caret: bool = False, told: bool = False
) -> Compiled:
    """The program of the filter file `data`, whose name is `name`.

    `traced` logs every lexeme that was read, as -V 9 does; `caret` shows the place of a fault; `told` as in `lower`.
    """
    parsed = read(data, embedded=embedded)
    fault = parsed.fault
    count = len(parsed.lexemes) if fault is None else fault.read
    lines: list[tuple[bool, bytes]] = []
    for lexeme in parsed.lexemes[:count]:
        if lexeme.complaint:
            lines.append((True, lexeme.complaint))
        if traced:
            lines.append((False, b"Tokenized " + _shown(lexeme)))
    if fault is not None:
        lines.append((False, b"%b(%d): %b" % (name, fault.line, fault.text.encode())))
        if caret:
            source = Source(name.decode("utf-8", "backslashreplace"), data)
            lines.append((False, render(fault.diagnostic, source).rstrip("\n").encode()))
        return Compiled(None, tuple(lines))
    assert parsed.tree is not None
    return Compiled(lower(parsed.tree, told=told), tuple(lines))


def _shown(lexeme: Lexeme) -> bytes:
    """The name of a lexeme in the output of -V 9."""
    if lexeme.type in STRINGS:
        quote = _QUOTES[lexeme.type]
        return b"string: %b%b%b" % (quote, lexeme.text, quote)
    if lexeme.type == "PATTERN":
        options = b"" if lexeme.options is None else b":" + lexeme.options
        return b"regexp: /%b/%b" % (lexeme.text, options)
    if lexeme.type == "SEPARATOR":
        return b";"
    if lexeme.type in ("EOF", "ERROR"):
        return lexeme.type.lower().encode()
    return lexeme.text
