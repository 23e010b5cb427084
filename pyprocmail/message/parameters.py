"""Parameters of Content-Type and Content-Disposition: raw, and as people read them.  RFC 2045, RFC 2231."""

from __future__ import annotations

from pyprocmail.message import charsets, words

_MOST = 1000
"""The most parameters of one field that are read."""
_MOST_PIECES = 100


def parameters(value: bytes) -> dict[bytes, bytes]:
    """The parameters after the first `;` by lower-case name, without quotes; the first of each name counts."""
    found: dict[bytes, bytes] = {}
    at = _to_semicolon(value, 0)
    for _ in range(_MOST):
        if at >= len(value):
            break
        equals = value.find(b"=", at)
        if equals < 0:
            break
        semicolon = value.find(b";", at, equals)
        if semicolon >= 0:
            # Text without a value is not a parameter.
            at = value.rfind(b";", at, equals) + 1
        name = value[at:equals].strip().lower()
        text, at = _value(value, equals + 1)
        found.setdefault(name, text)
    return found


def _value(text: bytes, at: int) -> tuple[bytes, int]:
    """A value, and where the next parameter begins."""
    while text[at : at + 1] in (b" ", b"\t"):
        at += 1
    if text[at : at + 1] != b'"':
        stop = _to_semicolon(text, at)
        return text[at : max(stop - 1, at) if text[stop - 1 : stop] == b";" else stop].strip(), stop
    out = bytearray()
    at += 1
    while True:
        quote, backslash = text.find(b'"', at), text.find(b"\\", at)
        if 0 <= backslash < quote or (quote < 0 <= backslash):
            out += text[at:backslash] + text[backslash + 1 : backslash + 2]
            at = backslash + 2
            continue
        out += text[at:quote] if quote >= 0 else text[at:]
        return bytes(out), _to_semicolon(text, quote + 1) if quote >= 0 else len(text)


def _to_semicolon(text: bytes, at: int) -> int:
    """The offset after the next `;`, or the end."""
    found = text.find(b";", at)
    return len(text) if found < 0 else found + 1


def readable(found: dict[bytes, bytes], name: bytes, fallback: bytes = b"") -> str:
    """The parameter as people read it, be it in pieces, with a character set (RFC 2231), or in encoded words."""
    whole = found.get(name + b"*")
    if whole is not None:
        return _extended([(whole, True)])
    pieces: list[tuple[bytes, bool]] = []
    for number in range(_MOST_PIECES):
        plain, encoded = found.get(b"%b*%d" % (name, number)), found.get(b"%b*%d*" % (name, number))
        if plain is None and encoded is None:
            break
        pieces.append((plain or b"", False) if encoded is None else (encoded, True))
    return _extended(pieces) if pieces else words.decode(found.get(name, b""), fallback)


def names(found: dict[bytes, bytes]) -> list[bytes]:
    """The names of the parameters in order; a parameter in pieces is listed once."""
    return list(dict.fromkeys(name.partition(b"*")[0] for name in found))


def _extended(pieces: list[tuple[bytes, bool]]) -> str:
    charset = b"utf-8"
    first, encoded = pieces[0]
    if encoded and first.count(b"'") >= 2:
        charset, _, first = first.split(b"'", 2)
        pieces = [(first, True), *pieces[1:]]
    return charsets.decode(b"".join(_unescaped(piece) if escaped else piece for piece, escaped in pieces), charset)


def _unescaped(text: bytes) -> bytes:
    first, *rest = text.split(b"%")
    out = [first]
    for piece in rest:
        try:
            out.append(bytes.fromhex(piece[:2].decode("ascii")) + piece[2:])
        except ValueError:
            out.append(b"%" + piece)
    return b"".join(out)
