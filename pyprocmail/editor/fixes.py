"""The fixes that an editor offers for findings: mend one, mend all safe ones, silence one with a comment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pyprocmail.editor.document import Document
from pyprocmail.lint.finding import Edit, Found
from pyprocmail.lint.mend import mended
from pyprocmail.source import Span


@dataclass(frozen=True, slots=True)
class Fix:
    """The title in the menu, the findings, and the edits; `preferred` if they change nothing for good mail."""

    title: str
    found: tuple[Found, ...]
    edits: tuple[Edit, ...]
    preferred: bool = False


def fixes(document: Document, start: int, end: int) -> Iterator[Fix]:
    """The fixes for the findings between two offsets."""
    here = [one for one in document.found if one.diagnostic.span.start <= end and one.diagnostic.span.end >= start]
    for one in here:
        if one.edits:
            hint = one.diagnostic.hint or "mend it"
            yield Fix(f"{one.diagnostic.code}: {hint}", (one,), one.edits, one.safe)
    for one in here:
        edit = _silencing(document, one)
        if edit is not None:
            yield Fix(f"Silence {one.diagnostic.code} here", (one,), (edit,))


def all_safe(document: Document) -> Fix | None:
    """One edit that mends everything that `check --fix` mends."""
    data, count = mended(document.data, lambda data: document.changed(data).found, unsafe=False)
    if not count:
        return None
    return Fix("Mend all that changes nothing for good mail", (), (Edit(Span(0, len(document.data)), data),))


def _silencing(document: Document, one: Found) -> Edit | None:
    """The edit that adds a comment line before a finding, if that silences the finding and changes nothing else."""
    line = document.line_span(one.diagnostic.span.start)
    text = document.data[line.start : line.end]
    indent = text[: len(text) - len(text.lstrip())]
    edit = Edit(Span(line.start, line.start), indent + f"# pyprocmail: ignore[{one.diagnostic.code}]\n".encode())
    before = document.data[: line.start]
    if before.endswith((b"\\\n", b"\\\r\n")):
        return None
    after = document.changed(before + edit.text + document.data[line.start :])
    wanted = _codes(document)
    wanted[one.diagnostic.code] -= 1
    return edit if _codes(after) == +wanted else None


def _codes(document: Document) -> Counter[str]:
    return Counter(one.diagnostic.code for one in document.found)
