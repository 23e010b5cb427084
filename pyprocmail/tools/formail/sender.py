"""The sender of a mail, to whom an answer goes: the best address among several fields, chosen by weight."""

from __future__ import annotations

from pyprocmail.tools.formail import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyprocmail.tools.formail.header import Field

# Weight of each field: for the envelope sender, for the header sender (-rt), and for the latter with -a Resent-.
ENVELOPE, HEADER, RESENT = 0, 1, 2
_WEIGHTS = {
    b"from ": (10, 4, 3),
    b"return-path:": (9, 5, 4),
    b"errors-to:": (8, 3, 2),
    b"return-receipt-to:": (7, 2, 1),
    b"path:": (6, 1, 0),
    b"resent-sender:": (5, 0, 8),
    b"resent-from:": (4, 0, 9),
    b"resent-reply-to:": (3, 0, 10),
    b"sender:": (2, 6, 5),
    b"from:": (1, 7, 6),
    b"reply-to:": (0, 8, 7),
}
# `Return-Path: <>`, or any text without an address, marks a bounce, which must not be answered: it outweighs all.
_BOUNCE = 12


def find(fields: Iterable[Field], order: int) -> bytes | None:
    """The best address in `fields`, the first one among equals; None if there is no address."""
    best, best_weight = None, -1000
    for field in fields:
        weights = _WEIGHTS.get(field.name.lower())
        if weights is None:
            continue
        found = address.from_postmark(field.content) if field.is_postmark() else address.extract(field.content)
        weight = weights[order]
        if not found:
            if field.name.lower() != b"return-path:" or not field.content.strip(b" \t\n"):
                continue
            found, weight = b"<>", _BOUNCE
        else:
            weight -= address.penalty(found)
            if b"\n" in field.content and field.is_postmark():
                weight -= 2
        if weight > best_weight:
            best, best_weight = found, weight
    return best
