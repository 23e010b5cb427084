"""reformime -r: adds the MIME fields to each header, and makes bodies 7bit or 8bit.  reformime -m: digests.

Signed and encrypted parts are unchanged, byte for byte.  In headers only these fields change: Content-Type,
Content-Transfer-Encoding, Mime-Version.
"""

from __future__ import annotations

from pyprocmail import __version__
from pyprocmail.message import header, mime
from pyprocmail.message import transfer_encoding as transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyprocmail.host import Host

_LONGEST_LINE = 500
"""Longer lines, in bytes, are encoded."""
_SEALED = (b"multipart/signed", b"multipart/encrypted")
_ORDERED = (b"mime-version", b"content-type", b"content-transfer-encoding")
_CONVERTED = b"X-Mime-Autoconverted: from %b to %b by reformime (pyprocmail %b)"


def rewrite(host: Host, data: bytes, mode: bytes, charset: bytes) -> bytes:
    """The message with MIME headers; `mode` is 7, 8 or empty, `charset` is for text parts that name none."""
    if data[: data.find(b"\n") + 1].endswith(b"\r\n"):
        data = data.replace(b"\r\n", b"\n")
    return _Rewriting(host, data, mode, charset).message()


def digest(host: Host, messages: Sequence[bytes]) -> bytes:
    """The messages as parts of a digest."""
    number = 0
    while True:
        number += 1
        boundary = b"reformime_%d_%d" % (int(host.time()), number)
        if not any(boundary in message for message in messages):
            break
    head = b'Mime-Version:1.0\nContent-Type: multipart/digest; boundary="%b"\n\n' % boundary
    parts = [b"\n--%b\nContent-Type: message/rfc822\n\n%b" % (boundary, message) for message in messages]
    return b"%b%b%b\n--%b--\n" % (head, transfer.NOT_MIME, b"".join(parts), boundary)


class _Rewriting:
    """Rewrites one message."""

    __slots__ = ("_data", "_mode", "_charset", "_out", "_stem", "_number")

    def __init__(self, host: Host, data: bytes, mode: bytes, charset: bytes) -> None:
        self._data = data
        self._mode = mode
        self._charset = charset
        self._out: list[bytes] = []
        self._number = 1
        attempt = 0
        while True:
            attempt += 1
            self._stem = b"=_%b-%d-%d-%04d" % (host.hostname(), host.getpid(), int(host.time()), attempt)
            if self._stem not in data:
                break

    def message(self) -> bytes:
        """The whole message, with a newline at its end."""
        root = mime.parse(self._data)
        self._entity(root)
        text = b"".join(self._out)
        return text if text.endswith(b"\n") else text + b"\n"

    def _entity(self, part: mime.Part) -> None:
        kind = mime.content_type(part) if part.typed else b""
        if kind in _SEALED:
            self._out.append(self._data[part.begin : part.end])
        elif part.children and part.children[0].message:
            # In a digest, a part without Content-Type is a message/rfc822.
            self._header(part, None if part.value(b"content-type") else b"message/rfc822", b"", b"")
            self._entity(part.children[0])
        elif part.children:
            self._multipart(part)
        else:
            self._leaf(part, kind)

    def _multipart(self, part: mime.Part) -> None:
        self._number += 1
        boundary = b"%b-%d" % (self._stem, self._number)
        self._header(part, transfer.with_boundary(part.value(b"content-type"), boundary), b"", b"")
        self._out.append(transfer.NOT_MIME)
        for child in part.children:
            self._out.append(b"\n--%b\n" % boundary)
            self._entity(child)
        self._out.append(b"\n--%b--\n" % boundary)

    def _leaf(self, part: mime.Part, kind: bytes) -> None:
        # A header that never ends has no body.
        raw = self._data[part.start : part.end] if part.start <= part.end else b""
        old = part.value(b"content-transfer-encoding").strip(b" \t").lower()
        new, body = (b"", raw) if kind.startswith(b"multipart/") else self._converted(part, old, raw)
        was = old or (b"7bit" if raw.isascii() else b"8bit")
        note = _CONVERTED % (was, new, __version__.encode()) if new not in (b"", was) else b""
        self._header(part, self._typed(part, kind, raw), new, note)
        self._out.append(body)

    def _converted(self, part: mime.Part, old: bytes, raw: bytes) -> tuple[bytes, bytes]:
        """The encoding that the body gets, and the body in it."""
        if old == b"quoted-printable":
            if self._mode != b"8":
                return old, raw
            body = mime.body(self._data, part)
            # A body that would not survive as lines of text is unchanged.
            if b"\0" in body or b"\r" in body or _is_long(body):
                return old, raw
            return (b"7bit" if body.isascii() else b"8bit"), body
        if old not in (b"", b"7bit", b"8bit", b"binary", b"raw"):
            return old, raw
        long, plain = _is_long(raw), raw.isascii()
        if self._mode == b"7" and (long or not plain):
            return b"quoted-printable", transfer.to_quoted_printable(raw)
        if plain and not (long and old == b"binary"):
            return b"7bit", raw
        return old or b"8bit", raw

    def _typed(self, part: mime.Part, kind: bytes, body: bytes) -> bytes | None:
        """The Content-Type that the header gets; None to keep the present one."""
        value = part.value(b"content-type")
        if not value:
            return b"text/plain; charset=" + self._charset_of(body)
        kind = kind or mime.content_type(part)
        if kind.startswith(b"text/") and not mime.parameter(value, b"charset"):
            return b"%b; charset=%b" % (value.rstrip(b" \t;"), self._charset_of(body))
        return None

    def _charset_of(self, body: bytes) -> bytes:
        """The character set for text that names none; US-ASCII only if the body is ASCII."""
        if self._charset == b"US-ASCII" and not body.isascii():
            return b"UTF-8"
        return self._charset

    def _header(self, part: mime.Part, kind: bytes | None, encoding: bytes, note: bytes) -> None:
        """Write the header with the new `kind` and `encoding`, and the field `note` at its end."""
        head = self._data[part.begin : min(part.start, len(self._data), max(part.end, part.begin))].rstrip(b"\n")
        fields = list(header.fields(head))
        version = b"Mime-Version: 1.0"
        others: list[bytes] = []
        place = 0 if not part.message else None
        for field in fields:
            name = field.partition(b":")[0].strip(b" \t").lower()
            if name == b"mime-version" and part.message:
                version = field
                place = len(others) if place is None else place
            elif name == b"content-type" and b":" in field:
                kind = field.partition(b":")[2].strip() if kind is None else kind
            elif name != b"content-transfer-encoding" or b":" not in field:
                others.append(field)
        ordered = [version] if part.message else []
        if kind:
            ordered.append(b"Content-Type: " + kind)
        if encoding:
            ordered.append(b"Content-Transfer-Encoding: " + encoding)
        place = len(others) if place is None else place
        lines = [*others[:place], *ordered, *others[place:], *([note] if note else []), b"", b""]
        self._out.append(b"\n".join(lines))


def _is_long(body: bytes) -> bool:
    return any(len(line) > _LONGEST_LINE for line in header.lines(body))
