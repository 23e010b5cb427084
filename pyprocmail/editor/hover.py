"""The text that an editor shows for the place under the cursor: its meaning, and why a finding there hurts."""

from __future__ import annotations

from pyprocmail.editor import mailfilter, rcfile
from pyprocmail.editor.document import Document
from pyprocmail.lint.registry import BY_CODE
from pyprocmail.source import Span


def hover(document: Document, offset: int) -> tuple[str, Span] | None:
    """Markdown, and the part of the text that it describes."""
    said = (mailfilter.hover if document.is_filter else rcfile.hover)(document, offset)
    parts = [said[0]] if said is not None else []
    span = said[1] if said is not None else None
    for one in document.found:
        place = one.diagnostic.span
        check = BY_CODE.get(one.diagnostic.code)
        if check is not None and place.start <= offset < place.end:
            reasons = check.text.partition("\n\nExample:")[0]
            parts.append(f"**{check.code}** {reasons}")
            span = span or place
    return ("\n\n".join(parts), span) if span is not None else None
