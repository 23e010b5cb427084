"""Turns any bytes into a MIME section: transfer encodings, the choice between them, parameters of a field.

RFC 2045, RFC 2231.  Lines break where maildrop's programs break them.
"""

from __future__ import annotations

from binascii import b2a_base64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ENCODINGS = (b"7bit", b"8bit", b"quoted-printable", b"base64")

NOT_MIME = (
    b"This is a MIME-formatted message.  If you see this text it means that your\n"
    b"E-mail software does not support MIME-formatted messages.\n"
)
"""The text before the parts of a multipart."""

_LONGEST = 990
"""The most bytes of a line, where a byte that is not plain text counts as three; a longer line needs an encoding."""
_PER_LINE = 57
"""Bytes of a line of base64."""
_ROOM = 72
"""A longer line of quoted-printable is broken; a blank has two more columns."""
_PARAMETER_ROOM = 72
_LONGEST_QUOTED = 70
_PLAIN = bytes([*range(0x20, 0x7F), *b"\t\n\r", 0x7F])
_SAFE = bytes(byte for byte in range(0x20, 0x7F) if byte != 0x3D)
_CODES = [b"%c" % byte if byte in _SAFE else b"=%02X" % byte for byte in range(256)]
_VALUE_SPECIAL = frozenset(b"\"%'():;=\\ ")


def is_binary(data: bytes) -> bool:
    """Whether the data is not text: it contains a NUL."""
    return b"\0" in data


def best_encoding(data: bytes) -> bytes:
    """The encoding that keeps most of the data readable, and no line too long."""
    if is_binary(data):
        return b"base64"
    unusual = data.translate(None, _PLAIN)
    if _is_long(data, many=bool(unusual)):
        return b"base64" if len(unusual) * 10 > len(data) else b"quoted-printable"
    return b"8bit" if unusual else b"7bit"


def _is_long(data: bytes, *, many: bool) -> bool:
    for line in _lines(data):
        if len(line) > _LONGEST:
            return True
        if many and len(line) * 3 > _LONGEST and len(line) + 2 * len(line.translate(None, _PLAIN)) > _LONGEST:
            return True
    return False


def _lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        yield data[start:end]
        start = end + 1
    yield data[start:]


def encoded(data: bytes, encoding: bytes) -> bytes:
    """The data in one of ENCODINGS."""
    if encoding == b"base64":
        return to_base64(data)
    return to_quoted_printable(data) if encoding == b"quoted-printable" else data


def to_base64(data: bytes) -> bytes:
    """The data in lines of base64."""
    view = memoryview(data)
    return b"".join(b2a_base64(view[at : at + _PER_LINE]) for at in range(0, len(view), _PER_LINE))


def to_quoted_printable(data: bytes) -> bytes:
    """The data in lines of quoted-printable; newlines stay, a CR is encoded."""
    out = bytearray()
    first = True
    for line in _lines(data):
        if not first:
            out += b"\n"
        first = False
        if len(line) <= _ROOM and not line.endswith(b" ") and not line.translate(None, _SAFE):
            out += line
        else:
            _add_line(out, line)
    return bytes(out)


def _add_line(out: bytearray, line: bytes) -> None:
    """A line of quoted-printable, with a blank at its end encoded."""
    width = 0
    last = len(line) - 1
    for at, byte in enumerate(line):
        code = _CODES[byte]
        room = _ROOM
        if byte == 0x20:
            code, room = (b"=20", _ROOM + 1) if at == last else (b" ", _ROOM + 2)
        if width > room:
            out += b"=\n"
            width = 0
        out += code
        width += len(code)


def parameter(name: bytes, value: bytes, charset: bytes) -> bytes:
    """A parameter as it follows the `;` of a field, on new lines; encoded by RFC 2231 unless plain and short."""
    plain = all(0x20 < byte < 0x7F and byte not in _VALUE_SPECIAL for byte in value)
    if plain and len(value) <= _LONGEST_QUOTED:
        return b'\n  %b="%b"' % (name, value)
    lines = []
    line = bytearray(b"%b*0*=%b''" % (name, charset))
    for byte in value:
        special = not 0x20 < byte < 0x7F or byte in _VALUE_SPECIAL
        if len(line) + 2 > _PARAMETER_ROOM + special:
            lines.append(bytes(line))
            line = bytearray(b"%b*%d*=" % (name, len(lines)))
        line += b"%%%02X" % byte if special else b"%c" % byte
    return b";".join(b"\n  " + one for one in (*lines, bytes(line)))


def with_boundary(field: bytes, boundary: bytes) -> bytes:
    """A Content-Type field, or its value, with another boundary as the last parameter; other parameters stay."""
    kind, *parameters = _split(field)
    kept = [one for one in parameters if one.partition(b"=")[0].strip().lower() != b"boundary"]
    return b";".join((kind.rstrip(), *(one.rstrip() for one in kept), b' boundary="%b"' % boundary))


def _split(field: bytes) -> list[bytes]:
    """The value and the parameters of a field; a `;` in quotes does not separate."""
    parts = []
    begin = at = 0
    quoted = False
    while at < len(field):
        byte = field[at]
        if quoted and byte == 0x5C:
            at += 1
        elif byte == 0x22:
            quoted = not quoted
        elif byte == 0x3B and not quoted:
            parts.append(field[begin:at])
            begin = at + 1
        at += 1
    return [*parts, field[begin:]]
