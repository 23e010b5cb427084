"""Decodes transfer encodings, however broken they are.  RFC 2045, section 6.

binascii does the work; this module adds what binascii refuses or drops: invalid characters, wrong padding, several
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
    """The body without its transfer encoding; unchanged if the encoding is missing or unknown."""
    if encoding == b"base64":
        return from_base64(raw)
    if encoding == b"quoted-printable":
        return from_quoted_printable(raw)
    return from_uu(raw) if encoding in _UU else raw


def size(data: bytes, start: int, end: int, encoding: bytes) -> int:
    """The length of the decoded body between two offsets, computed without a copy of all of it."""
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
    """Decode base64: invalid characters are skipped, and padding is not needed.

    Another base64 text may follow padding.  Other text after padding or after an empty line is the footer of a mailing
    list, and is dropped.
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
            piece = piece[:-1]  # six bits do not make a byte
        out.append(binascii.a2b_base64(piece + b"==" if extra > 1 else piece))
    return b"".join(out)


def from_quoted_printable(text: bytes) -> bytes:
    """Decode quoted-printable; an `=` that does not begin a code stays."""
    return binascii.a2b_qp(text)


def from_uu(text: bytes) -> bytes:
    """Decode uuencode, from its `begin` line to its `end`; empty without a `begin` line."""
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
                pass  # the line is not uuencode
        at = stop + 1
    return b"".join(out)
