"""Makes encoded words of header text that is not ASCII.  RFC 2047"""

from __future__ import annotations

from binascii import b2a_base64

from pyprocmail.message import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 75
"""The most characters of an encoded word.  RFC 2047, section 2."""
_FIRST, _OTHERS = 24, 38
"""Characters of text in the first and in later encoded words, if they fit; as in maildrop."""
_PLAIN = frozenset(b"!#$%&'()*+,-./0123456789:;<>@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^`abcdefghijklmnopqrstuvwxyz{|}~\x7f")
_BLANKS = " \t\r\n"
_NEED_NO_CODE = frozenset(
    "!#$%&'()*+,-./0123456789:;<>@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^`abcdefghijklmnopqrstuvwxyz{|}~\x7f"
)
"""A word of these characters only is not encoded; as in maildrop."""


class Charset:
    """A character set: its name in mails, and Python's codec for it."""

    __slots__ = ("name", "codec")

    def __init__(self, name: bytes, codec: str) -> None:
        self.name = name
        self.codec = codec


def encode(text: str, charset: Charset) -> bytes:
    """The text with the words that need it encoded in the character set; neighbouring ones are encoded together.

    Characters that the character set lacks become question marks.
    """
    out = bytearray()
    run: list[str] = []
    blanks = ""
    for token in _tokens(text):
        if token[0] in _BLANKS:
            blanks = token
            continue
        if not _NEED_NO_CODE.issuperset(token):
            if run:
                run.append(blanks)
            else:
                out += blanks.encode("ascii")
            run.append(token)
        else:
            out += _words("".join(run), charset) + blanks.encode("ascii") + token.encode("ascii")
            run = []
        blanks = ""
    return bytes(out + _words("".join(run), charset) + blanks.encode("ascii"))


def _tokens(text: str) -> Iterator[str]:
    """The words, and the blanks between them."""
    at = 0
    while at < len(text):
        start = at
        blank = text[at] in _BLANKS
        while at < len(text) and (text[at] in _BLANKS) == blank:
            at += 1
        yield text[start:at]


def _words(text: str, charset: Charset) -> bytes:
    """All of the text in encoded words; empty for empty text."""
    if not text:
        return b""
    data = text.encode(charset.codec, "replace")
    quoted = sum(1 if byte in _PLAIN or byte == 0x20 else 3 for byte in data) < (len(data) + 2) // 3 * 4
    mark = b"Q" if quoted else b"B"
    head = b"=?%b?%b?" % (charset.name, mark)
    room = _LONGEST - len(head) - 2
    return b" ".join(head + one + b"?=" for one in _pieces(text, charset, room, quoted=quoted))


def _pieces(text: str, charset: Charset, room: int, *, quoted: bool) -> Iterator[bytes]:
    """The text encoded, in pieces of at most `room` characters, each of which decodes by itself."""
    encode_piece = _to_q if quoted else _to_b
    at = 0
    count = _FIRST
    while at < len(text):
        size = min(count, len(text) - at)
        piece = encode_piece(text[at : at + size].encode(charset.codec, "replace"))
        while len(piece) > room and size > 1:
            size -= 1
            piece = encode_piece(text[at : at + size].encode(charset.codec, "replace"))
        yield piece
        at += size
        count = _OTHERS


def _to_b(data: bytes) -> bytes:
    return b2a_base64(data, newline=False)


def _to_q(data: bytes) -> bytes:
    return b"".join(b"_" if byte == 0x20 else b"%c" % byte if byte in _PLAIN else b"=%02X" % byte for byte in data)


def encode_addresses(text: bytes, charset: Charset) -> bytes:
    """A list of addresses, one a line, with the names encoded.  `text` is in UTF-8."""
    out = bytearray()
    ended = b""
    for found in address.parse(text):
        name = found.name
        if found.text is None:
            sign = name or b""
            if sign == b";":
                out += sign
                ended = b"\n  "
            elif sign.endswith(b":"):
                out += ended + sign
                ended = b"\n  "
            continue
        out += ended
        out += b"%b <%b>" % (_phrase(name, charset), found.text) if name else found.text
        ended = b",\n  "
    return bytes(out)


def _phrase(name: bytes, charset: Charset) -> bytes:
    if name.isascii():
        return address.display(name)
    if address.display(name) != name:
        return _words(name.decode(), charset)
    return encode(name.decode(), charset)
