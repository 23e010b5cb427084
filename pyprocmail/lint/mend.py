"""Mend findings: apply their edits to the text of a file."""

from __future__ import annotations

from collections.abc import Callable

from pyprocmail.lint.finding import Edit, Found

_MOST_ROUNDS = 20


def mended(data: bytes, check: Callable[[bytes], list[Found]], *, unsafe: bool) -> tuple[bytes, int]:
    """`data` with all edits applied, and how many findings they mended.

    `check` returns the findings about a text.  Edits that overlap are applied in successive rounds.  `unsafe` includes
    edits that may change what happens to mail.
    """
    count = 0
    for _ in range(_MOST_ROUNDS):
        found = [one for one in check(data) if one.edits and (unsafe or one.safe)]
        changed, applied = _apply(data, found)
        if not applied:
            break
        data, count = changed, count + applied
    return data, count


def _apply(data: bytes, found: list[Found]) -> tuple[bytes, int]:
    """The text with the edits of all findings that do not overlap an earlier one's edits, and their number."""
    taken: set[tuple[int, int]] = set()
    edits: list[Edit] = []
    applied = 0
    for one in found:
        spans = {(edit.span.start, edit.span.end) for edit in one.edits}
        if any(start <= end_of and start_of <= end for start, end in spans for start_of, end_of in taken):
            continue
        taken |= spans
        edits += one.edits
        applied += 1
    for edit in sorted(edits, key=lambda edit: edit.span, reverse=True):
        data = data[: edit.span.start] + edit.text + data[edit.span.end :]
    return data, applied
