"""Encoded words of header fields, as readers show them.  RFC 2047.

More is accepted than the RFC allows: words in quotes, without blanks around them, with blanks in them, and letters
split between two words.
"""

from __future__ import annotations

from pyprocmail.message import charsets, transfer

_LONGEST_NAME = 80
"""Bytes of the name of a character set, with its language."""


def decode(text: bytes, fallback: bytes = b"") -> str:
    """The text with its encoded words decoded; 8-bit text is read as UTF-8, or as the character set `fallback`."""
    if b"=?" not in text:
        return text.decode() if text.isascii() else charsets.guess(text, fallback)
    out: list[str] = []
    # Successive words in one character set are joined: a letter may begin in one and end in the next.
    joined, charset = bytearray(), b""
    at = 0
    last = text.rfind(b"?=")
    while (begin := text.find(b"=?", at)) >= 0:
        found = _word(text, begin, last)
        between = text[at:begin]
        if found is None:
            at, between = begin + 2, text[at : begin + 2]
        if joined and (found is None or found[0] != charset or between.strip(b" \t\r\n")):
            out.append(charsets.decode(bytes(joined), charset))
            joined.clear()
            between_words = found is not None and not between.strip(b" \t\r\n")
        else:
            between_words = bool(joined)
        if not between_words:
            out.append(charsets.guess(between, fallback))
        if found is not None:
            charset, raw, at = found
            joined += raw
    if joined:
        out.append(charsets.decode(bytes(joined), charset))
    out.append(charsets.guess(text[at:], fallback))
    return "".join(out)


def _word(text: bytes, begin: int, last: int) -> tuple[bytes, bytes, int] | None:
    """The character set and the bytes of the encoded word at `begin`, and where it ends."""
    first = text.find(b"?", begin + 2, begin + 2 + _LONGEST_NAME)
    if first < 0 or text[first + 2 : first + 3] != b"?" or first + 3 > last:
        return None
    encoding = text[first + 1 : first + 2].lower()
    end = text.find(b"?=", first + 3)
    content = text[first + 3 : end]
    if encoding == b"b":
        raw = transfer.from_base64(content)
    elif encoding == b"q":
        raw = transfer.from_quoted_printable(content.replace(b"_", b" "))
    else:
        return None
    return text[begin + 2 : first].partition(b"*")[0].lower(), raw, end + 2
