"""Transfer encodings, undone however broken they are.  RFC 2045, section 6.

binascii does the work; what stands here is what it refuses or drops: letters that are none, wrong padding, several
texts in a row.
"""

from __future__ import annotations

import binascii

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_JUNK = bytes(byte for byte in range(256) if byte not in _LETTERS + b"=")
_BASE64 = _LETTERS + b"= \t\r\n"
_CHUNK = 1 << 20
_UU = (b"x-uuencode", b"uuencode", b"x-uue", b"uue")


def decode(raw: bytes, encoding: bytes) -> bytes:
    """The body without its transfer encoding; as it stands if that is none or unknown."""
    if encoding == b"base64":
        return from_base64(raw)
    if encoding == b"quoted-printable":
        return from_quoted_printable(raw)
    return from_uu(raw) if encoding in _UU else raw


def size(data: bytes, start: int, end: int, encoding: bytes) -> int:
    """How long the body between two offsets is without its transfer encoding, without a copy of it all."""
    if encoding == b"base64":
        letters = 0
        for at in range(start, end, _CHUNK):
            letters += len(data[at : min(at + _CHUNK, end)].translate(None, _JUNK + b"="))
        return letters * 3 // 4
    if encoding == b"quoted-printable":
        total = 0
        for at in range(start, end, _CHUNK):
            total += len(from_quoted_printable(data[at : min(at + _CHUNK, end)]))
        return total
    return len(from_uu(data[start:end])) if encoding in _UU else max(end - start, 0)


def from_base64(text: bytes) -> bytes:
    """What base64 stands for: letters that are none are skipped, and padding is not needed.

    Behind padding another text may follow; what is no base64 there, or behind an empty line, is the footer of a mailing
    list.
    """
    text = text.lstrip()
    for mark in (b"=", b"\n\n", b"\n\r\n"):
        at = text.find(mark)
        if at >= 0 and text[at:].translate(None, _BASE64):
            text = text[:at]
    text = text.translate(None, _JUNK)
    body = text.rstrip(b"=")
    pieces = [body] if b"=" not in body else body.split(b"=")
    out = []
    for piece in pieces:
        extra = len(piece) % 4
        if extra == 1:
            piece = piece[:-1]  # six bits are no byte
        out.append(binascii.a2b_base64(piece + b"==" if extra > 1 else piece))
    return b"".join(out)


def from_quoted_printable(text: bytes) -> bytes:
    """What quoted-printable stands for; an `=` that begins no code stays."""
    return binascii.a2b_qp(text)


def from_uu(text: bytes) -> bytes:
    """What uuencode stands for, from its `begin` line to its `end`; nothing where there is no such line."""
    begin = 0 if text.startswith(b"begin ") else text.find(b"\nbegin ") + 1
    if not begin and not text.startswith(b"begin "):
        return b""
    out = []
    at = text.find(b"\n", begin) + 1
    while at:
        stop = text.find(b"\n", at)
        line = text[at : stop if stop >= 0 else len(text)].rstrip(b"\r")
        if line.strip() in (b"end", b""):
            break
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            # The length at the beginning of a line may be wrong.
            length = ((line[0] - 32) & 63) * 4 // 3 + 1
            try:
                out.append(binascii.a2b_uu(line[: length + 4]))
            except binascii.Error:
                pass  # the line is no uuencode
        at = stop + 1
    return b"".join(out)
