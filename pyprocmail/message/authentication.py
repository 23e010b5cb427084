"""Authentication-Results: the findings of a mail server about SPF, DKIM and DMARC.  RFC 8601.

The author of a mail can forge such a field. So only fields under the name of a trusted server count, and that server
must remove fields that others have written under its name.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 1000


def results(value: bytes, trusted: frozenset[bytes]) -> Iterator[bytes]:
    """The results of one field, `method=result` with its properties, if the field's server is trusted."""
    server, *found = _split(_without_comments(value))
    name = server.split()
    if not name or name[0].strip(b'"').lower() not in trusted:
        return
    for text in found[:_MOST]:
        line = b" ".join(text.split()).replace(b" = ", b"=").replace(b" =", b"=").replace(b"= ", b"=")
        if b"=" in line:
            yield line


def _without_comments(text: bytes) -> bytes:
    """The text without comments in parentheses; parentheses in quotes are plain text."""
    if b"(" not in text:
        return text
    out = bytearray()
    depth = 0
    quoted = False
    at = 0
    while at < len(text):
        byte = text[at : at + 1]
        if byte == b"\\":
            byte = text[at : at + 2]
        elif byte == b'"' and not depth:
            quoted = not quoted
        elif byte == b"(" and not quoted:
            depth += 1
        elif byte == b")" and depth:
            depth -= 1
            at += 1
            continue
        if not depth:
            out += byte
        at += len(byte)
    return bytes(out)


def _split(text: bytes) -> list[bytes]:
    """The text split at its semicolons, except those in quotes."""
    if b'"' not in text:
        return text.split(b";")
    out = [b""]
    for number, piece in enumerate(text.split(b'"')):
        if number % 2:
            out[-1] += b'"' + piece + b'"'
        else:
            first, *others = piece.split(b";")
            out[-1] += first
            out += others
    return out
