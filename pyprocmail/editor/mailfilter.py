"""A filter file of maildrop in an editor: the same as for an rcfile."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import shown
from pyprocmail.editor.document import Document
from pyprocmail.editor.rcfile import FIELDS
from pyprocmail.lint.mailfilter.variables import SPECIAL
from pyprocmail.maildrop.syntax.lexer import lex
from pyprocmail.source import Span

_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")


def hover(document: Document, offset: int) -> tuple[str, Span] | None:
    """The meaning of the text under the cursor, as Markdown, and the place of that text."""
    place = _word(document, offset)
    if place is None:
        return None
    name = document.data[place.start : place.end]
    text = name.decode()
    if _is_variable(document, place):
        value = document.filter_view.value(name)
        parts = [document.manual.says("Variables", text)]
        parts += [f"`{text}` is `{shown(value)}` in this file."] if value is not None else []
        says = "\n\n".join(part for part in parts if part)
    else:
        plain = any(lexeme.span == place for lexeme in lex(document.data))
        says = document.manual.says("Statements", text) or document.manual.says("Expressions", text) if plain else ""
    return (says, place) if says else None


def _word(document: Document, offset: int) -> Span | None:
    line = document.line_span(offset)
    for found in _WORD.finditer(document.data, line.start, line.end):
        if found.start() <= offset <= found.end():
            return Span(*found.span())
    return None


def _is_variable(document: Document, place: Span) -> bool:
    before = document.data[max(0, place.start - 2) : place.start]
    after = document.data[place.end : place.end + 2].lstrip()
    return before.endswith((b"$", b"${")) or (after.startswith(b"=") and not after.startswith((b"==", b"=~")))


def definition(document: Document, offset: int) -> tuple[str, int] | None:
    """An included file (offset 0), or a variable's first assignment."""
    view = document.filter_view
    for _, command in view.commands("include"):
        path = view.resolve(command.operand)
        if command.span.start <= offset <= command.span.end and path and view.machine.read(view.full(path)) is not None:
            return view.full(path).decode("utf-8", "surrogateescape"), 0
    place = _word(document, offset)
    name = document.data[place.start : place.end] if place is not None and _is_variable(document, place) else b""
    first = next((assign for _, assign in view.assigns() if assign.name == name), None)
    return ("", first.span.start) if first is not None else None


def folds(document: Document) -> Iterator[tuple[int, int, bool]]:
    """First and last line, from 0, of blocks and of comments."""
    opened: list[int] = []
    for lexeme in lex(document.data):
        if lexeme.type == "OPEN":
            opened.append(document.position(lexeme.span.start)[0])
        elif lexeme.type == "CLOSE" and opened:
            yield opened.pop(), document.position(lexeme.span.start)[0], False
    lines = [line.lstrip().startswith(b"#") for line in document.data.split(b"\n")]
    first = -1
    for number, comment in enumerate([*lines, False]):
        if comment and first < 0:
            first = number
        elif not comment and first >= 0:
            yield first, number - 1, True
            first = -1


def completions(document: Document, offset: int) -> Iterator[tuple[str, str, str]]:
    """The possible texts at the cursor: label, kind (`statement`, `variable`, `field`), and the manual's text."""
    before = document.data[document.line_span(offset).start : offset]
    if re.search(rb"\$\{?[A-Za-z_0-9]*$", before):
        for name in sorted(set(document.filter_view.values) | SPECIAL):
            text = name.decode("utf-8", "replace")
            yield text, "variable", document.manual.names("Variables").get(text, "")
    elif re.search(rb"/\^[A-Za-z-]*$", before):
        for field in FIELDS:
            yield field, "field", ""
    elif re.fullmatch(rb"[ \t]*[A-Za-z]*", before):
        for word, text in document.manual.names("Statements").items():
            if word.isalpha():
                yield word, "statement", text
        for word, text in document.manual.names("Variables").items():
            yield word, "variable", text
    elif re.search(rb"[(= \t][a-z]*$", before):
        for word, text in document.manual.names("Expressions").items():
            yield word, "statement", text
