"""An rcfile in an editor: the meaning of the text under the cursor, its definition, completions, folds."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import shown
from pyprocmail.editor.document import Document
from pyprocmail.lint.variables import SPECIAL
from pyprocmail.lint.view import Rule, Test
from pyprocmail.matching import macros
from pyprocmail.procmail.compiled.conditions import EXPAND, REGEX
from pyprocmail.procmail.syntax.nodes import Block, Comment, Recipe
from pyprocmail.source import Span

_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_MACRO = re.compile(rb"\^(?:TO_|TO|FROM_DAEMON|FROM_MAILER)")
_INCLUDES = (b"INCLUDERC", b"SWITCHRC")
_OPERATORS = ((b"??", "??"), (b"!", "!"), (b"$", "$"), (b"?", "?"), (b"<", "<"), (b">", ">"))
_LONGEST = 2000
FIELDS = (
    "From:",
    "To:",
    "Cc:",
    "Subject:",
    "Sender:",
    "Reply-To:",
    "List-Id:",
    "X-Loop:",
    "Message-ID:",
    "Precedence:",
)


def hover(document: Document, offset: int) -> tuple[str, Span] | None:
    """The meaning of the text under the cursor, as Markdown, and the place of that text."""
    for rule in document.view.rules:
        if rule.start.start <= offset <= rule.start.end:
            return _start_line(document, rule, offset)
    named = _variable(document, offset)
    if named is not None:
        return named
    for _, test in document.view.tests():
        if test.node.span.start <= offset < test.node.span.end:
            return _condition(document, test, offset)
    return None


def _start_line(document: Document, rule: Rule, offset: int) -> tuple[str, Span] | None:
    letter = chr(document.data[offset]) if offset < rule.start.end else ""
    says = document.manual.says("Flags", letter)
    if says and offset < rule.colon:
        return says, Span(offset, offset + 1)
    if rule.lock is not None and offset >= rule.colon:
        lock = rule.lock.decode("utf-8", "replace")
        text = f"A lockfile is held while the action runs: `{lock}`." if lock else "The lockfile of the folder is held."
        return text, Span(rule.colon, rule.start.end)
    flags = [document.manual.says("Flags", chr(byte)) for byte in document.data[rule.start.start : rule.colon]]
    listed = "\n\n".join(dict.fromkeys(flag for flag in flags if flag))
    return (listed, rule.start) if listed else None


def _variable(document: Document, offset: int) -> tuple[str, Span] | None:
    """The variable whose name is under the cursor: the manual's text, and the variable's value here."""
    place = name_at(document, offset)
    if place is None:
        return None
    name = document.data[place.start : place.end]
    view = document.view
    says = document.manual.says("Variables", name.decode())
    value = view.value(name)
    parts = [says] if says else []
    if value is not None:
        parts.append(f"`{name.decode()}` is `{shown(value)}` in this file.")
    elif name in view.values and not says:
        parts.append(f"`{name.decode()}` is set {len(view.values[name])} times in this file.")
    return ("\n\n".join(parts), place) if parts else None


def name_at(document: Document, offset: int) -> Span | None:
    """The name of a variable under the cursor: after a `$`, or before a `=` or `??`."""
    view = document.view
    for assignment, _ in view.assignments:
        if assignment.span.start <= offset <= assignment.span.start + len(assignment.name):
            return Span(assignment.span.start, assignment.span.start + len(assignment.name))
    for use in view.uses():
        if use.span.start <= offset <= use.span.end:
            found = _NAME.search(document.data, use.span.start, use.span.end)
            return Span(found.start(), found.end()) if found else use.span
    for _, test in view.tests():
        if test.area and len(test.area) > 1 and test.node.span.start <= offset < test.node.span.end:
            at = document.data.find(test.area, test.node.span.start, test.node.span.end)
            if at <= offset <= at + len(test.area):
                return Span(at, at + len(test.area))
    return None


def _condition(document: Document, test: Test, offset: int) -> tuple[str, Span] | None:
    data = document.data
    for found in _MACRO.finditer(data, test.node.span.start, test.node.span.end):
        if found.start() <= offset < found.end():
            name = found[0].decode()
            expansion = shown(macros.expand(found[0])[0])
            return f"{document.manual.says('Patterns', name)}\n\n```\n{expansion}\n```", Span(*found.span())
    begins = test.node.span.end - len(test.node.raw)
    for sign, name in _OPERATORS:
        at = begins + test.node.raw.find(sign) if sign in test.node.raw else -1
        in_front = at < test.at or sign == b"??"
        if at >= 0 and in_front and at <= offset < at + len(sign):
            says = document.manual.says("Conditions", name)
            return (says, Span(at, at + len(sign))) if says else None
    pattern = _expanded(document, test)
    if pattern is not None and pattern != test.text:
        return f"The pattern is\n\n```\n{shown(pattern[:_LONGEST])}\n```", test.node.span
    return None


def _expanded(document: Document, test: Test) -> bytes | None:
    """The pattern with its variables and macros replaced, if all of them are known."""
    if test.kind == EXPAND:
        unknown: list[bytes] = []

        def put(found: re.Match[bytes]) -> bytes:
            value = document.view.value(found[1] or found[2])
            unknown.extend([] if value is not None else [found[0]])
            return value or b""

        text = re.sub(rb"\$\\?(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", put, test.text)
        return None if unknown else macros.expand(text)[0]
    return macros.expand(test.text)[0] if test.kind == REGEX else None


def definition(document: Document, offset: int) -> tuple[str, int] | None:
    """The definition of the text under the cursor: an included file (offset 0), or a variable's assignment."""
    view = document.view
    for assignment, _ in view.assignments:
        if assignment.name in _INCLUDES and assignment.span.start <= offset <= assignment.span.end:
            path = view.resolve(assignment.value.pieces)
            if path and view.machine.read(view.full(path)) is not None:
                return view.full(path).decode("utf-8", "surrogateescape"), 0
    place = name_at(document, offset)
    name = document.data[place.start : place.end] if place is not None else b""
    first = next((assignment for assignment, _ in view.assignments if assignment.name == name), None)
    return ("", first.span.start) if first is not None else None


def folds(document: Document) -> Iterator[tuple[int, int, bool]]:
    """The folds: first and last line, from 0, of each recipe, block and comment, and whether it is a comment."""
    for item, items, index, _ in document.view.items:
        if isinstance(item, Recipe):
            last = document.position(max(item.span.start, item.span.end - 1))[0]
            yield document.position(item.span.start)[0], last, False
            if isinstance(item.action, Block):
                yield document.position(item.action.span.start)[0], last, False
        elif isinstance(item, Comment) and not _continues(document, items, index):
            first = last = document.position(item.span.start)[0]
            while _is_comment(document, last + 1):
                last += 1
            yield first, last, True


def _continues(document: Document, items: tuple[object, ...], index: int) -> bool:
    item = items[index]
    line = document.position(item.span.start)[0] if isinstance(item, Comment) else 0
    return line > 0 and _is_comment(document, line - 1)


def _is_comment(document: Document, line: int) -> bool:
    return 0 <= line < len(document.source.starts) and document.source.line(line + 1).lstrip().startswith(b"#")


def completions(document: Document, offset: int) -> Iterator[tuple[str, str, str]]:
    """The possible texts at the cursor: label, kind (`flag`, `variable`, `macro`, `field`), and the manual's text."""
    before = document.data[document.line_span(offset).start : offset]
    if re.fullmatch(rb"[ \t]*:0[ \t]*[a-zA-Z]*", before):
        used = before.partition(b":0")[2]
        for letter, text in document.manual.names("Flags").items():
            if letter.encode() not in used:
                yield letter, "flag", text
    elif re.search(rb"\$\\?\{?[A-Za-z_0-9]*$", before):
        known = {name for name in document.view.values if name} | SPECIAL
        for name in sorted(known):
            yield name.decode("utf-8", "replace"), "variable", _about(document, name)
    elif re.search(rb"^[ \t]*\*.*\^[A-Za-z_]*$", before):
        for macro in ("TO_", "TO", "FROM_DAEMON", "FROM_MAILER"):
            yield macro, "macro", document.manual.names("Patterns").get("^" + macro, "")
        for field in FIELDS:
            yield field, "field", ""
    elif re.fullmatch(rb"[ \t]*[A-Za-z_]*", before):
        for variable, text in document.manual.names("Variables").items():
            yield variable, "variable", text


def _about(document: Document, name: bytes) -> str:
    text = document.manual.names("Variables").get(name.decode("utf-8", "replace"), "")
    value = document.view.value(name)
    return text or (f"= {shown(value)}" if value is not None else "")
