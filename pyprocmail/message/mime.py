"""A message as maildrop's patterns see it: lines of UTF-8, headers unfolded and decoded, text parts decoded.

maildropfilter(7), "MIME encoding".  `reformime -u` shows the reference's version.  No message is refused: text that
cannot be decoded is left out.  RFC 2045, 2046, 2047.
"""

from __future__ import annotations

from binascii import a2b_base64

from pyprocmail.message import address, charsets, header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER, BODY = 1, 2

_BLANKS = b" \t"
_ADDRESS_FIELDS = frozenset((b"from", b"to", b"cc", b"bcc", b"resent-from", b"resent-to", b"resent-cc", b"resent-bcc"))
_HEX = b"0123456789ABCDEFabcdef"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BASE64 = bytes(byte for byte in range(256) if byte not in _LETTERS + b"=")
_PAD = 99
"""The value of an `=` in a group, as in maildrop."""
_DEEPEST = 100
_ASCII = ("utf-8", "us-ascii", "ascii")
"""The character sets, in lower case, whose ASCII text is UTF-8 as it is."""
_LARGE = 1 << 24
"""Of a mail with more bytes only one text is kept, and none in lower case."""
_MOST_PARTS = 10_000
"""The most parts of one message; maildrop stops at 300 in each multipart."""


class Part:
    """One entity: its fields, and what its header says of its body.

    `fields` are the raw (name, value), with folds but without newlines at the end; a line that is not a field has the
    value None.  The header begins at `begin`; the body is between `start` and `end` in the data.
    `message`: it is a whole message.
    `number` is the MIME section number.  `typed`: Content-Type counts.  `charset` is the character set; a part of a
    multipart may inherit it.
    """

    __slots__ = ("fields", "begin", "start", "end", "children", "message", "number", "typed", "charset", "_header")

    def __init__(self, fields: list[tuple[bytes, bytes | None]], begin: int, start: int, end: int) -> None:
        self.fields = fields
        self.begin = begin
        self.start = start
        self.end = end
        self.children: list[Part] = []
        self.message = False
        self.number: tuple[int, ...] = (1,)
        self.typed = True
        self.charset = "utf-8"
        self._header: bytes | None = None

    @property
    def header(self) -> bytes:
        """The header as patterns see it, a line for each field."""
        if self._header is None:
            lines = bytearray()
            for name, value in self.fields:
                lines += decoded(name, "utf-8") + b"\n: " if value is None else field_line(name, value)
                lines += b"\n"
            self._header = bytes(lines)
        return self._header

    def value(self, name: bytes) -> bytes:
        """The value of the first field of the lower-case name, unfolded; empty if missing."""
        for field, value in self.fields:
            if value is not None and field.lower() == name:
                return unfolded(value)
        return b""


class View:
    """The text of a message that patterns search, line by line.  A body is decoded when it is first used.

    A last line without a newline is ignored.
    """

    __slots__ = ("_data", "_root", "_texts", "_lowered", "_ascii")

    def __init__(self, data: bytes) -> None:
        self._data = data = data[: data.rfind(b"\n") + 1]
        self._root = parse(data)
        self._texts: dict[int, bytes] = {}
        self._lowered: dict[int, bytes | None] = {}
        self._ascii: bool | None = None

    def text(self, area: int) -> bytes:
        """The text of an area: HEADER of all parts, BODY of the text parts, or both, in the order of the mail.

        If a body's last line has no newline, the next part continues that line.
        """
        text = self._texts.get(area)
        if text is None:
            if len(self._data) > _LARGE:
                self._texts.clear()
            text = b"".join(self._pieces(self._root, area)) if self._data else b""
            if area & BODY and self._root.start > len(self._data) > 0:
                text += b"\n"
            self._texts[area] = text
        return text

    def lowered(self, area: int) -> bytes | None:
        """The text of an area in lower case; None if the mail is large, or the text is not ASCII."""
        if area not in self._lowered:
            text = self.text(area)
            self._lowered[area] = text.lower() if len(self._data) <= _LARGE and text.isascii() else None
        return self._lowered[area]

    def lines(self, area: int, offset: int = 0) -> Iterator[bytes]:
        """The lines of an area, beginning with the line that contains the offset."""
        text = self.text(area)
        at = text.rfind(b"\n", 0, offset) + 1
        while at < len(text):
            end = text.find(b"\n", at)
            end = len(text) if end < 0 else end
            yield text[at:end]
            at = end + 1

    def _pieces(self, part: Part, area: int) -> Iterator[bytes | memoryview]:
        if area & HEADER:
            yield part.header
        if part.children:
            for child in part.children:
                yield from self._pieces(child, area)
        elif area & BODY and is_text(part):
            if encoding(part) not in ENCODINGS and part.charset in _ASCII and self._is_ascii():
                # A view: memory has no third copy of a large body.
                yield memoryview(self._data)[part.start : part.end]
            else:
                yield decoded(body(self._data, part), part.charset)

    def _is_ascii(self) -> bool:
        """Whether the whole mail is ASCII."""
        if self._ascii is None:
            self._ascii = self._data.isascii()
        return self._ascii


def parse(data: bytes) -> Part:
    """The structure of a message."""
    part = _entity(data, 0, len(data))
    part.message = True
    _Structure(data).divide(part, mime=_is_mime(part), default=b"", depth=0)
    return part


def _entity(data: bytes, start: int, end: int) -> Part:
    """The entity between two offsets; if its header never ends, its body starts after `end`."""
    head, body_start = _head(data, start, end)
    if b"\r" in head:
        head = head.replace(b"\r\n", b"\n").removesuffix(b"\r")
    fields: list[tuple[bytes, bytes | None]] = []
    names = header.Names()
    for text in header.fields(head):
        name, colon, value = text.partition(b":")
        fields.append((names.one(name), value if colon else None))
    return Part(fields, start, body_start, end)


def _head(data: bytes, start: int, end: int) -> tuple[bytes, int]:
    """The header without the newline of its last line, and where the body begins."""
    for empty in (b"\n", b"\r\n"):
        if data.startswith(empty, start, end):
            return b"", start + len(empty)
    stop, width = data.find(b"\n\n", start, end), 2
    carriage = data.find(b"\n\r\n", start, end if stop < 0 else stop + 1)
    if carriage >= 0:
        stop, width = carriage, 3
    if stop >= 0:
        return data[start:stop], stop + width
    head = data[start:end]
    if head == b"\r" or head.endswith(b"\n\r"):
        return head[:-2], end
    return head.removesuffix(b"\n"), end + 1


def _is_mime(part: Part) -> bool:
    version = part.value(b"mime-version").strip(_BLANKS)
    return version[:3] == b"1.0"


class _Structure:
    """Finds the parts of one message, from the outermost to the innermost."""

    __slots__ = ("_data", "_lower", "_left")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._lower: bytes | None = None
        self._left = _MOST_PARTS

    def divide(self, part: Part, *, mime: bool, default: bytes, depth: int) -> None:
        """Find the parts of a multipart, and the message in a message/rfc822."""
        # Without Mime-Version the type is ignored, but the encoding still counts.
        part.typed = mime
        if not mime or depth > _DEEPEST:
            return
        value = part.value(b"content-type")
        part.charset = parameter(value, b"charset").decode("latin-1").lower() or part.charset
        kind = content_type(part) or default
        if kind == b"message/rfc822":
            child = _entity(self._data, part.start, part.end)
            child.message = True
            child.number = (*part.number, 1)
            self.divide(child, mime=_is_mime(child), default=b"", depth=depth + 1)
            part.children = [child]
        elif kind.startswith(b"multipart/"):
            inner = b"message/rfc822" if kind == b"multipart/digest" else b""
            for start, end in self._sections(part, parameter(value, b"boundary")):
                child = _entity(self._data, start, end)
                child.number = (*part.number, len(part.children) + 1)
                child.charset = part.charset
                self.divide(child, mime=True, default=inner, depth=depth + 1)
                if child.children and child.children[0].message:
                    _extend(self._data, child)
                part.children.append(child)

    def _sections(self, part: Part, boundary: bytes) -> Iterator[tuple[int, int]]:
        """The places of the parts of a multipart, without the newline before each boundary.

        When the message has its most parts, the rest of the multipart is one part.
        """
        if not boundary:
            return
        if self._lower is None:
            self._lower = self._data.lower()
        lower, stop = self._lower, part.end
        mark = b"--" + boundary.lower()
        at = part.start if lower.startswith(mark, part.start, stop) else lower.find(b"\n" + mark, part.start, stop) + 1
        while at and not lower.startswith(b"--", at + len(mark), stop):
            start = lower.find(b"\n", at, stop) + 1
            if not start:
                return
            self._left -= 1
            # The previous line may itself be a boundary.
            at = lower.find(b"\n" + mark, start - 1, stop) + 1 if self._left > 0 else 0
            end = max(at - 1, start) if at else stop
            yield start, end - 1 if at and end > start and lower[end - 1] == 0x0D else end


def _extend(data: bytes, part: Part) -> None:
    """Give a message in a part the newline before the boundary as well."""
    message = part.children[0]
    if message.children:
        return
    newline = data.find(b"\n", message.end)
    if message.start <= message.end and newline >= 0:
        message.end = newline + 1


def content_type(part: Part) -> bytes:
    """The type, such as `text/plain`, in lower case; empty if the header has none."""
    return part.value(b"content-type").partition(b";")[0].strip(_BLANKS).lower()


def is_text(part: Part) -> bool:
    """Whether the body is for people to read."""
    kind = content_type(part) if part.typed else b""
    return not kind or kind.startswith((b"text/", b"message/"))


def parameter(value: bytes, name: bytes) -> bytes:
    """The parameter of the lower-case name in the value of a field; empty if missing."""
    at = value.find(b";")
    while 0 <= at < len(value):
        equals = value.find(b"=", at)
        if equals < 0:
            return b""
        key = value[at + 1 : equals].strip(_BLANKS).lower()
        at = equals + 1
        while at < len(value) and value[at] in _BLANKS:
            at += 1
        if value.startswith(b'"', at):
            text = bytearray()
            at += 1
            while at < len(value) and value[at] != 0x22:
                if value[at] == 0x5C and at + 1 < len(value):
                    at += 1
                text.append(value[at])
                at += 1
            found = bytes(text)
            at = value.find(b";", at)
        else:
            stop = value.find(b";", at)
            stop = len(value) if stop < 0 else stop
            found = value[at:stop].strip(_BLANKS)
            at = stop
        if key == name:
            return found
    return b""


def body(data: bytes, part: Part) -> bytes:
    """The body without its transfer encoding."""
    raw = data[part.start : part.end]
    decode = ENCODINGS.get(encoding(part))
    return decode(raw) if decode else raw


def encoding(part: Part) -> bytes:
    """Content-Transfer-Encoding, in lower case; an unknown one is no encoding."""
    return part.value(b"content-transfer-encoding").strip(_BLANKS).lower()


def from_base64(text: bytes) -> bytes:
    """Decode base64; invalid characters are skipped, an incomplete group at the end is left out."""
    text = text.translate(None, _BASE64)
    text = text[: len(text) - len(text) % 4]
    out = bytearray()
    at = 0
    while at < len(text):
        pad = text.find(b"=", at)
        if pad < 0:
            pad = len(text)
        start = pad - pad % 4
        out += a2b_base64(text[at:start])
        if start < len(text):
            out += _from_group(text[start : start + 4])
        at = start + 4
    return bytes(out)


def _from_group(group: bytes) -> bytes:
    """Decode a group with an `=` anywhere: as third or fourth it leaves out a byte; in others it counts as _PAD."""
    one, two, three, four = (_PAD if byte == 0x3D else _LETTERS.index(byte) for byte in group)
    made = [one << 2 | two >> 4]
    if three != _PAD:
        made.append(two << 4 | three >> 2)
    if four != _PAD:
        made.append(three << 6 | four)
    return bytes(number & 0xFF for number in made)


def from_quoted_printable(text: bytes) -> bytes:
    """Decode quoted-printable."""
    out = bytearray()
    at = 0
    while (mark := text.find(b"=", at)) >= 0:
        out += text[at:mark]
        code = text[mark + 1 : mark + 3]
        at = mark + 3
        if code[:1] in (b"\n", b"\r"):
            at -= code != b"\r\n"
        elif len(code) > 1 and code[0] in _HEX and code[1] in _HEX:
            out.append(int(code, 16))
        else:
            # An invalid code is left out, but not a newline or an `=` in it: these begin the next line or code.
            stop = min(place for place in (code.find(b"\n"), code.find(b"="), 2) if place >= 0)
            at = mark + 1 + stop
    return bytes(out + text[at:])


ENCODINGS = {b"base64": from_base64, b"quoted-printable": from_quoted_printable}
"""The transfer encodings that change the text."""


def decoded(text: bytes, name: str) -> bytes:
    """The text in UTF-8, without bytes that are invalid in the character set; empty if that is unknown."""
    if text.isascii() and name.lower() in _ASCII:
        return text
    found = charsets.to_utf8(text, name)
    return b"" if found is None else found


# -- fields ---------------------------------------------------------------------------------


def unfolded(value: bytes) -> bytes:
    """The value on one line: a newline counts as one blank."""
    return value.replace(b"\n", b" ").strip(_BLANKS)


def field_line(name: bytes, value: bytes) -> bytes:
    """`Name: value` as patterns see it."""
    text = unfolded(value)
    text = addresses(text) if name.lower() in _ADDRESS_FIELDS else words(text)
    return (name if name.isascii() else decoded(name, "utf-8")) + b": " + text


def words(text: bytes) -> bytes:
    """The text with its encoded words decoded; neighbouring ones are joined.  RFC 2047."""
    if b"=?" not in text:
        return text if text.isascii() else decoded(text, "utf-8")
    out = bytearray()
    at = 0
    after_word = False
    last = text.rfind(b"?=")
    while True:
        start = text.find(b"=?", at)
        if start < 0:
            break
        word, end = _encoded_word(text, start, last)
        if not end:
            out += decoded(text[at : start + 2], "utf-8")
            at = start + 2
            after_word = False
            continue
        between = text[at:start]
        if not (after_word and not between.strip(_BLANKS)):
            out += decoded(between, "utf-8")
        out += word
        at = end
        after_word = True
    return bytes(out + decoded(text[at:], "utf-8"))


def _encoded_word(text: bytes, at: int, last: int) -> tuple[bytes, int]:
    """The decoded text of the encoded word at `at`, and where the word ends; 0 if there is no word.

    `last` is the offset of the last `?=` of the text.
    """
    first = text.find(b"?", at + 2)
    second = first + 2
    if first < 0 or text[second : second + 1] != b"?":
        return b"", 0
    encoding = text[first + 1 : second].lower()
    if second >= last or encoding not in (b"q", b"b"):
        return b"", 0
    end = text.find(b"?=", second + 1)
    content = text[second + 1 : end]
    name = text[at + 2 : first].partition(b"*")[0].decode("latin-1")
    raw = from_base64(content) if encoding == b"b" else _from_q(content)
    word = charsets.to_utf8(raw, name)
    if word is None:
        word = b"[unknown character set: %b -> utf-8]" % name.encode("latin-1")
    return word.replace(b"\n", b" ").replace(b"\r", b" "), end + 2


def _from_q(text: bytes) -> bytes:
    text = text.replace(b"_", b" ")
    out = bytearray()
    at = 0
    while (mark := text.find(b"=", at)) >= 0:
        code = text[mark + 1 : mark + 3]
        if len(code) < 2 or code[0] not in _HEX or code[1] not in _HEX:
            return b""
        out += text[at:mark]
        out.append(int(code, 16))
        at = mark + 3
    return bytes(out + text[at:])


def addresses(text: bytes) -> bytes:
    """A list of addresses, with each name and address written as maildrop does."""
    out = bytearray()
    separator = b""
    for found in address.parse(text):
        name = b"" if found.name is None else words(found.name)
        if found.text is None:
            # A name of one letter is treated as a sign, and a sign has no blanks around it.
            out += name if len(name) == 1 else separator + name + b" " * bool(name)
            separator = b""
            continue
        out += separator
        out += b"%b <%b>" % (address.display(name), found.text) if name else found.text
        separator = b", "
    return bytes(out)
