"""Diagnostics: findings about a file, for its author."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pyprocmail.source import Source, Span


class Severity(Enum):
    """The severity: an error changes what happens to mail, a warning may."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: a code, a place, a sentence, if possible a remedy, and the manual.

    The sentence is lower case without a full stop and quotes the offending text.
    """

    code: str
    span: Span
    sentence: str
    hint: str = ""
    manual: str = ""
    severity: Severity = Severity.ERROR


def render(diagnostic: Diagnostic, source: Source) -> str:
    """`diagnostic` with its line of the source and a caret under the place."""
    line, column = source.position(diagnostic.span.start)
    text = source.line(line)
    length = max(1, min(diagnostic.span.end - diagnostic.span.start, len(text) - column + 1))
    before, marked = shown(text[: column - 1]), shown(text[column - 1 : column - 1 + length])
    # A tab before the caret stays a tab, so that the caret is below its text.
    margin = "".join("\t" if character == "\t" else " " for character in before)
    carets = "^" * max(1, len(marked))
    number = f"{line:5}"
    lines = [
        f"{source.name}:{line}:{column}: {diagnostic.severity.value}[{diagnostic.code}]: {diagnostic.sentence}",
        f"{number} | {shown(text)}",
        f"{' ' * len(number)} | {margin}{carets}{' ' * bool(diagnostic.hint)}{diagnostic.hint}",
    ]
    if diagnostic.manual:
        lines.append(f"   = {diagnostic.manual}")
    return "\n".join(lines) + "\n"


def shown(text: bytes) -> str:
    """`text` for display: bytes that are not UTF-8, and control characters, as escapes."""
    decoded = text.decode("utf-8", errors="backslashreplace")
    return "".join(c if c == "\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in decoded)
