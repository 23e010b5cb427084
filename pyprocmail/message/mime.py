"""A message as maildrop's patterns see it: lines of UTF-8, headers unfolded and decoded, text parts decoded.

maildropfilter(7), "MIME encoding".  `reformime -u` shows the reference's idea of the same.  No message is refused: what
cannot be decoded is left out.  RFC 2045, 2046, 2047.
"""

from __future__ import annotations

from binascii import a2b_base64

from pyprocmail.message import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER, BODY = 1, 2

_BLANKS = b" \t"
_ADDRESS_FIELDS = frozenset((b"from", b"to", b"cc", b"bcc", b"resent-from", b"resent-to", b"resent-cc", b"resent-bcc"))
_NOT_CHARSETS = frozenset(("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"))
_HEX = b"0123456789ABCDEFabcdef"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BASE64 = bytes(byte for byte in range(256) if byte not in _LETTERS + b"=")
_PAD = 99
"""The number that an `=` is within a group, with maildrop."""
_DEEPEST = 100


class Part:
    """One entity: its fields, and what its header says of its body.

    `fields` are (name, value) as they stand, without newlines at the end, folds included; a line that is no field has
    None for a value.  The header begins at `begin`; `start` and `end` are where the body lies in the data.
    `message`: it is a whole message.
    `number` is that of MIME's section numbers, `typed` whether Content-Type counts, `charset` the character set,
    which a part of a multipart may have from that.
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
        """The header as it is searched, a line for each field."""
        if self._header is None:
            lines: list[bytes] = []
            for name, value in self.fields:
                if value is None:
                    lines += (decoded(name, "utf-8"), b"\n: \n")
                else:
                    lines += (field_line(name, value), b"\n")
            self._header = b"".join(lines)
        return self._header

    def value(self, name: bytes) -> bytes:
        """The value of the first field of the lower-case name, unfolded; empty without."""
        for field, value in self.fields:
            if value is not None and field.lower() == name:
                return unfolded(value)
        return b""


class View:
    """The text of a message that patterns are searched in, line by line.  No body is decoded before it is asked for.

    The last line does not count when it has no newline.
    """

    __slots__ = ("_data", "_root", "_texts", "_lowered")

    def __init__(self, data: bytes) -> None:
        self._data = data = data[: data.rfind(b"\n") + 1]
        self._root = parse(data)
        self._texts: dict[int, bytes] = {}
        self._lowered: dict[int, bytes | None] = {}

    def text(self, area: int) -> bytes:
        """What is in an area: HEADER of all parts, BODY of those that are text, or both in their order.

        Where a body's last line has no newline, the next part goes on in it.
        """
        text = self._texts.get(area)
        if text is None:
            text = b"".join(self._pieces(self._root, area)) if self._data else b""
            if area & BODY and self._root.start > len(self._data) > 0:
                text += b"\n"
            self._texts[area] = text
        return text

    def lowered(self, area: int) -> bytes | None:
        """The text of an area in lower case; None when it is not ASCII, where case is not that simple."""
        if area not in self._lowered:
            text = self.text(area)
            self._lowered[area] = text.lower() if text.isascii() else None
        return self._lowered[area]

    def lines(self, area: int, offset: int = 0) -> Iterator[bytes]:
        """The lines of an area, from that on in which the offset lies."""
        text = self.text(area)
        at = text.rfind(b"\n", 0, offset) + 1
        while at < len(text):
            end = text.find(b"\n", at)
            end = len(text) if end < 0 else end
            yield text[at:end]
            at = end + 1

    def _pieces(self, part: Part, area: int) -> Iterator[bytes]:
        if area & HEADER:
            yield part.header
        if part.children:
            for child in part.children:
                yield from self._pieces(child, area)
        elif area & BODY and is_text(part):
            yield decoded(body(self._data, part), part.charset)


def parse(data: bytes) -> Part:
    """The structure of a message."""
    part = _entity(data, 0, len(data))
    part.message = True
    _divide(data, part, _is_mime(part), b"", 0)
    return part


def _entity(data: bytes, start: int, end: int) -> Part:
    """The entity between two offsets, its body starting behind `end` when its header never ends."""
    head, body_start = _head(data, start, end)
    if b"\r" in head:
        head = head.replace(b"\r\n", b"\n").removesuffix(b"\r")
    texts: list[bytes] = []
    for line in head.split(b"\n") if head else ():
        if line[:1] in (b" ", b"\t") and texts:
            texts[-1] += b"\n" + line
        else:
            texts.append(line)
    fields: list[tuple[bytes, bytes | None]] = []
    for text in texts:
        name, colon, value = text.partition(b":")
        fields.append((name, value if colon else None))
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


def _divide(data: bytes, part: Part, mime: bool, default: bytes, depth: int) -> None:
    """Find the parts of a multipart, and the message in a message/rfc822."""
    # Without Mime-Version the type says nothing, but the encoding is looked at all the same.
    part.typed = mime
    if not mime or depth > _DEEPEST:
        return
    part.charset = parameter(part.value(b"content-type"), b"charset").decode("latin-1").lower() or part.charset
    kind = content_type(part) or default
    if kind == b"message/rfc822":
        child = _entity(data, part.start, part.end)
        child.message = True
        child.number = (*part.number, 1)
        _divide(data, child, _is_mime(child), b"", depth + 1)
        part.children = [child]
    elif kind.startswith(b"multipart/"):
        boundary = parameter(part.value(b"content-type"), b"boundary")
        inner = b"message/rfc822" if kind == b"multipart/digest" else b""
        for start, end in _sections(data, part, boundary):
            child = _entity(data, start, end)
            child.number = (*part.number, len(part.children) + 1)
            child.charset = part.charset
            _divide(data, child, True, inner, depth + 1)
            if child.children and child.children[0].message:
                _extend(data, child)
            part.children.append(child)


def _extend(data: bytes, part: Part) -> None:
    """A message in a part has the newline before the boundary as well."""
    message = part.children[0]
    if message.children:
        return
    newline = data.find(b"\n", message.end)
    if message.start <= message.end and newline >= 0:
        message.end = newline + 1


def _sections(data: bytes, part: Part, boundary: bytes) -> list[tuple[int, int]]:
    """Where the parts of a multipart lie, the newline before each boundary left out."""
    if not boundary:
        return []
    found = []
    mark = b"--" + boundary.lower()
    lower = data[part.start : part.end].lower()
    base = part.start
    at = 0 if lower.startswith(mark) else lower.find(b"\n" + mark) + 1
    if at == 0 and not lower.startswith(mark):
        return []
    while True:
        if lower.startswith(b"--", at + len(mark)):
            break
        start = lower.find(b"\n", at) + 1
        if not start:
            break
        # The line before a boundary may be the boundary before it.
        at = lower.find(b"\n" + mark, start - 1) + 1
        if not at:
            found.append((base + start, base + len(lower)))
            break
        end = max(at - 1, start)
        if end > start and lower[end - 1] == 0x0D:
            end -= 1
        found.append((base + start, base + end))
    return found


def content_type(part: Part) -> bytes:
    """`text/plain` and the like, in lower case; empty when the header has none."""
    return part.value(b"content-type").partition(b";")[0].strip(_BLANKS).lower()


def is_text(part: Part) -> bool:
    """Whether the body is for people to read."""
    kind = content_type(part) if part.typed else b""
    return not kind or kind.startswith((b"text/", b"message/"))


def parameter(value: bytes, name: bytes) -> bytes:
    """The parameter of the lower-case name in the value of a field; empty without."""
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
    encoding = part.value(b"content-transfer-encoding").strip(_BLANKS).lower()
    if encoding == b"base64":
        return from_base64(raw)
    if encoding == b"quoted-printable":
        return from_quoted_printable(raw)
    return raw


def from_base64(text: bytes) -> bytes:
    """What base64 stands for; letters that are none are skipped, an incomplete group at the end is left out."""
    text = text.translate(None, _BASE64)
    text = text[: len(text) - len(text) % 4]
    out = []
    at = 0
    while at < len(text):
        pad = text.find(b"=", at)
        if pad < 0:
            pad = len(text)
        start = pad - pad % 4
        out.append(a2b_base64(text[at:start]))
        if start < len(text):
            out.append(_from_group(text[start : start + 4]))
        at = start + 4
    return b"".join(out)


def _from_group(group: bytes) -> bytes:
    """A group with `=`, wherever: each of the last two leaves a byte out, and is a number where one is made of it."""
    one, two, three, four = (_PAD if byte == 0x3D else _LETTERS.index(byte) for byte in group)
    made = [one << 2 | two >> 4]
    if three != _PAD:
        made.append(two << 4 | three >> 2)
    if four != _PAD:
        made.append(three << 6 | four)
    return bytes(number & 0xFF for number in made)


def from_quoted_printable(text: bytes) -> bytes:
    """What quoted-printable stands for."""
    pieces = text.split(b"=")
    out = [pieces[0]]
    for piece in pieces[1:]:
        if piece[:1] in (b"\n", b"\r") or not piece:
            out.append(piece[2:] if piece.startswith(b"\r\n") else piece[1:])
        elif len(piece) > 1 and piece[0] in _HEX and piece[1] in _HEX:
            out.append(bytes((int(piece[:2], 16),)) + piece[2:])
        else:
            newline = piece.find(b"\n")
            out.append(piece[newline:] if 0 <= newline < 2 else piece[2:])
    return b"".join(out)


def decoded(text: bytes, name: str) -> bytes:
    """The text in UTF-8, without what is no text in the character set; nothing when that is unknown."""
    if text.isascii() and name.lower() in ("utf-8", "us-ascii", "ascii"):
        return text
    found = _decoded(text, name)
    return b"" if found is None else found


def _decoded(text: bytes, name: str) -> bytes | None:
    try:
        if name.lower().replace("-", "_") in _NOT_CHARSETS:
            return None
        return text.decode(name, "ignore").encode("utf-8", "ignore")
    except (LookupError, ValueError, UnicodeError):
        return None


# -- fields ---------------------------------------------------------------------------------


def unfolded(value: bytes) -> bytes:
    """The value on one line: a newline counts as one blank."""
    return value.replace(b"\n", b" ").strip(_BLANKS)


def field_line(name: bytes, value: bytes) -> bytes:
    """`Name: value` as it is searched."""
    text = unfolded(value)
    text = addresses(text) if name.lower() in _ADDRESS_FIELDS else words(text)
    return (name if name.isascii() else decoded(name, "utf-8")) + b": " + text


def words(text: bytes) -> bytes:
    """The text with its encoded words decoded, those next to each other joined.  RFC 2047."""
    if b"=?" not in text:
        return text if text.isascii() else decoded(text, "utf-8")
    out: list[bytes] = []
    at = 0
    after_word = False
    while True:
        start = text.find(b"=?", at)
        if start < 0:
            break
        word, end = _encoded_word(text, start)
        if not end:
            out.append(decoded(text[at : start + 2], "utf-8"))
            at = start + 2
            after_word = False
            continue
        between = text[at:start]
        if not (after_word and not between.strip(_BLANKS)):
            out.append(decoded(between, "utf-8"))
        out.append(word)
        at = end
        after_word = True
    out.append(decoded(text[at:], "utf-8"))
    return b"".join(out)


def _encoded_word(text: bytes, at: int) -> tuple[bytes, int]:
    """What the encoded word at `at` stands for, and where it ends; 0 when there is none."""
    first = text.find(b"?", at + 2)
    second = first + 2
    if first < 0 or text[second : second + 1] != b"?":
        return b"", 0
    encoding = text[first + 1 : second].lower()
    end = text.find(b"?=", second + 1)
    if end < 0 or encoding not in (b"q", b"b"):
        return b"", 0
    content = text[second + 1 : end]
    name = text[at + 2 : first].partition(b"*")[0].decode("latin-1")
    raw = from_base64(content) if encoding == b"b" else _from_q(content)
    word = _decoded(raw, name)
    if word is None:
        word = b"[unknown character set: %b -> utf-8]" % name.encode("latin-1")
    return word.replace(b"\n", b" ").replace(b"\r", b" "), end + 2


def _from_q(text: bytes) -> bytes:
    pieces = text.replace(b"_", b" ").split(b"=")
    out = [pieces[0]]
    for piece in pieces[1:]:
        if len(piece) < 2 or piece[0] not in _HEX or piece[1] not in _HEX:
            return b""
        out.append(bytes((int(piece[:2], 16),)) + piece[2:])
    return b"".join(out)


def addresses(text: bytes) -> bytes:
    """A list of addresses, every name and address as maildrop writes it."""
    out: list[bytes] = []
    separator = b""
    for found in address.parse(text):
        name = b"" if found.name is None else words(found.name)
        if found.text is None:
            # What has one letter is taken for a sign, and a sign has nothing before and behind it.
            out.append(name if len(name) == 1 else separator + name + b" " * bool(name))
            separator = b""
            continue
        out.append(separator)
        out.append(b"%b <%b>" % (address.display(name), found.text) if name else found.text)
        separator = b", "
    return b"".join(out)
