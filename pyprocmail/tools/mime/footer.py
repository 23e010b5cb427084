"""`footer`: appends a text to the readable parts of a mail, in their character set and transfer encoding."""

from __future__ import annotations

import binascii
import html
import re

from pyprocmail.exits import EX_OK, EX_USAGE
from pyprocmail.message import charsets, decoded, parameters, transfer
from pyprocmail.tools.mime.mail import TroubleError, entity_fields, is_protected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.message.structure import Part
    from pyprocmail.tools.mime.mail import Edit, Mail
    from pyprocmail.tools.mime.options import Options

_LARGEST = 1 << 20
_BODY_END = re.compile(rb"</body\b", re.IGNORECASE)
_WRITTEN_AS_IS = (b"", b"7bit", b"8bit", b"binary")


def footer(host: Host, mail: Mail, given: Options) -> int:
    """Append the footer to the first plain text and the first HTML text of the mail."""
    if b"text" not in given.texts:
        raise TroubleError(b"--text FILE is missing", EX_USAGE)
    text = host.read_file(given.text(b"text"), _LARGEST).decode("utf-8", "replace").rstrip("\r\n") + "\n"
    if b"html" in given.texts:
        markup = host.read_file(given.text(b"html"), _LARGEST).decode("utf-8", "replace")
    else:
        lines = html.escape(text.rstrip("\n")).split("\n")
        markup = "<p>" + "<br>\n".join(lines) + "</p>\n"
    markup = markup.encode("ascii", "xmlcharrefreplace").decode("ascii")
    edits: list[Edit] = []
    done: set[bytes] = set()
    for part in _read_by_people(mail):
        signed = is_protected(part) or b"-----BEGIN PGP" in part.raw
        if part.kind in done or (signed and b"signed" not in given.flags):
            continue
        done.add(part.kind)
        edits.append(_with(mail, part, markup if part.kind == b"text/html" else text))
    if not done:
        mail.note(b"there is no text to which a footer can be added")
    mail.change(edits)
    return EX_OK


def _read_by_people(mail: Mail) -> list[Part]:
    """The text parts of the mail that are not attachments."""
    found = []
    todo = [mail.root]
    while todo:
        part = todo.pop()
        if part.kind in (b"text/plain", b"text/html") and not part.children and not decoded.is_attachment(part):
            found.append(part)
        if part.kind.startswith(b"multipart/"):
            todo += reversed(part.children)
    return found


def _with(mail: Mail, part: Part, text: str) -> Edit:
    """The change that appends the text to a part."""
    newline = mail.newline
    if _flowed(part):
        # A line that begins with a blank, a `>` or `From ` is stuffed; one that ends with a blank would be continued.
        lines = [line.rstrip(" ") if line != "-- " else line for line in text.split("\n")]
        text = "\n".join(" " + line if line.startswith((" ", ">", "From ")) else line for line in lines)
    charset, encoding = part.charset.lower() or b"us-ascii", part.encoding
    raw = part.raw
    tail = _encoded(text, charset)
    fields: bytes | None = None
    if tail is None:
        # The character set lacks letters of the footer: the part becomes UTF-8.
        whole = charsets.decode(transfer.decode(raw, encoding), part.charset)
        raw, encoding = whole.encode("utf-8", "replace"), b"8bit"
        tail = text.encode("utf-8", "replace")
        fields = _fields(part, b"utf-8", encoding)
    elif not tail.isascii() and encoding in (b"", b"7bit"):
        fields = _fields(part, b"", b"8bit")
    tail = tail.replace(b"\r\n", b"\n")
    if encoding not in _WRITTEN_AS_IS and encoding not in (b"base64", b"quoted-printable"):
        raise TroubleError(b"unknown transfer encoding: " + encoding)
    body = _appended(part, raw, tail, encoding, newline)
    start, head = part.start, b""
    if fields is not None:
        start, head = part.begin, fields.replace(b"\r\n", b"\n").replace(b"\n", newline)
    return start, part.end, head + body


def _encoded(text: str, charset: bytes) -> bytes | None:
    codec = charsets.find(charset.decode("latin-1"))
    if codec is None or codec.startswith(("utf_16", "utf_32")):
        return text.encode() if text.isascii() else None
    try:
        return text.encode(codec)
    except UnicodeError:
        return None


def _appended(part: Part, raw: bytes, tail: bytes, encoding: bytes, newline: bytes) -> bytes:
    """The body with the tail, in its transfer encoding; except in base64, all present bytes stay the same."""
    if encoding == b"base64":
        content = transfer.from_base64(raw)
        joined = _placed(part, content, tail, b"\r\n" if b"\r\n" in content else b"\n")
        lines = [binascii.b2a_base64(joined[at : at + 57], newline=False) for at in range(0, len(joined), 57)]
        # The newline after the last line is kept if the body had one; else it belongs to the boundary.
        return newline.join(lines) + (newline if raw.endswith(b"\n") else b"")
    if encoding == b"quoted-printable":
        tail = binascii.b2a_qp(tail, istext=True)
    return _placed(part, raw, tail, newline)


def _placed(part: Part, body: bytes, tail: bytes, newline: bytes) -> bytes:
    """The body with the tail at its end; in HTML before `</body`."""
    tail = tail.replace(b"\n", newline)
    if part.kind == b"text/html":
        ends = [found.start() for found in _BODY_END.finditer(body)]
        if ends:
            return body[: ends[-1]] + tail + body[ends[-1] :]
    between = b"" if not body or body.endswith(b"\n") else newline
    # If the last newline belongs to the boundary, the tail has none either.
    last = tail if body.endswith(b"\n") or not body else tail[: -len(newline)]
    return body + between + last


def _flowed(part: Part) -> bool:
    found = parameters.parameters(part.field(b"content-type"))
    return part.kind == b"text/plain" and found.get(b"format", b"").lower() == b"flowed"


def _fields(part: Part, charset: bytes, encoding: bytes) -> bytes:
    """The header with a new transfer encoding, and a new character set unless `charset` is empty."""
    before, entity, after = entity_fields(part.head)
    kept = bytearray()
    typed = False
    for field in _each(entity):
        name = field.partition(b":")[0].strip().lower()
        if name == b"content-transfer-encoding":
            continue
        if name == b"content-type" and charset:
            found = parameters.parameters(part.field(b"content-type"))
            others = b"".join(
                b'; %b="%b"' % (one, value.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
                for one, value in found.items()
                if not one.startswith(b"charset")
            )
            field, typed = b"Content-Type: %b; charset=%b%b\n" % (part.kind, charset, others), True
        kept += field
    if charset and not typed:
        kept += b"Content-Type: %b; charset=%b\n" % (part.kind, charset)
    kept += b"Content-Transfer-Encoding: %b\n" % encoding
    if part.parent is None and b"mime-version:" not in entity.lower():
        kept = bytearray(b"MIME-Version: 1.0\n") + kept
    if before and not before.endswith(b"\n"):
        before += b"\n"
    return before + bytes(kept) + (after if after.strip(b"\r\n") or after.startswith((b"\n", b"\r")) else b"\n")


def _each(entity: bytes) -> list[bytes]:
    """The fields with their newlines."""
    out: list[bytes] = []
    for line in entity.splitlines(keepends=True):
        if line[:1] in (b" ", b"\t") and out:
            out[-1] += line
        else:
            out.append(line)
    return out
