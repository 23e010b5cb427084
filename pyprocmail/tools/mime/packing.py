"""`compress` and `decompress`: attachments to zip files and back, with limits against zip bombs."""

from __future__ import annotations

import binascii
import io
import mimetypes
import zipfile
import zlib

from pyprocmail.exits import EX_OK
from pyprocmail.message import decoded, transfer
from pyprocmail.tools.mime.files import safe_name
from pyprocmail.tools.mime.mail import entity_fields, is_protected, parameter, replaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.message.structure import Part
    from pyprocmail.tools.mime.mail import Edit, Mail
    from pyprocmail.tools.mime.options import Options

LIMIT_BYTES = 64 << 20
"""The default of --limit: the most that the unpacked files of one mail may have in total."""
MOST_FILES = 100
RATIO = 200
"""How many times larger than its zip file an attachment may be; small ones have no such limit."""
_SMALL = 1 << 20
_PACKED = frozenset(
    (
        "zip", "gz", "tgz", "bz2", "xz", "7z", "rar", "zst", "jpg", "jpeg", "png", "gif", "webp", "mp3", "mp4", "ogg",
        "avi", "mov", "docx", "xlsx", "pptx", "odt", "ods", "odp", "jar", "apk",
    )
)  # fmt: skip
_ZIP = (b"application/zip", b"application/x-zip-compressed", b"application/x-zip")
_TIME = (1980, 1, 1, 0, 0, 0)
_MARK = b"pyprocmail\n"
"""The first line of the zip comment that keeps the attachment's header fields."""
_LONGEST_COMMENT = 60_000


def compress(_host: Host, mail: Mail, given: Options) -> int:
    """Pack each selected attachment if that makes it smaller."""
    edits: list[Edit] = []
    for part in mail.attachments(given, signed=b"signed" in given.flags):
        name = safe_name(part)
        if part.message or part.children or part.kind in _ZIP or name.rpartition(".")[2].lower() in _PACKED:
            continue
        content = transfer.decode(part.raw, part.encoding)
        fields = entity_fields(part.head)[1].replace(b"\r\n", b"\n")
        comment = _MARK + fields if _comes_back(part, content, mail.newline) else b""
        body = _base64(_packed(name, content, comment[:_LONGEST_COMMENT]), part, mail)
        if len(body) < part.end - part.start:
            edits.append(replaced(part, _fields(b"application/zip", name + ".zip", mail.newline), body, mail.newline))
    mail.change(edits)
    return EX_OK


def _comes_back(part: Part, content: bytes, newline: bytes) -> bool:
    """Whether unpacking can restore the same bytes."""
    if part.encoding == b"base64":
        return _lines(content, newline) == part.raw.rstrip(b"\r\n")
    return part.encoding in (b"", b"7bit", b"8bit", b"binary")


def _packed(name: str, content: bytes, comment: bytes) -> bytes:
    out = io.BytesIO()
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    info.comment = comment
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(info, content)
    return out.getvalue()


def decompress(_host: Host, mail: Mail, given: Options) -> int:
    """Replace zip files by their contents; a broken, encrypted or too large one is unchanged."""
    edits: list[Edit] = []
    left = given.number(b"limit", LIMIT_BYTES)
    for part in mail.attachments(given, signed=b"signed" in given.flags):
        if part.kind not in _ZIP and not decoded.file_name(part).lower().endswith(".zip"):
            continue
        if part.children or (is_protected(part) and b"signed" not in given.flags):
            continue
        packed = transfer.decode(part.raw, part.encoding)
        try:
            found = _unpacked(packed, left)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
            mail.note(b"left as it is: %b: %b" % (safe_name(part).encode(), str(error).encode()))
            continue
        if not found or (len(found) > 1 and (part.parent is None or not part.parent.kind.startswith(b"multipart/"))):
            continue
        left -= sum(len(content) for _, content, _ in found)
        edits.append(_in_place(mail, part, found))
    mail.change(edits)
    return EX_OK


def _unpacked(packed: bytes, limit: int) -> list[tuple[str, bytes, bytes]]:
    """The files of an archive: name, content, comment.

    Raises:
        ValueError: they are too many or too large.  Other exceptions of zipfile: the archive is broken.
    """
    found = []
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if len(infos) > MOST_FILES:
            raise ValueError(f"more than {MOST_FILES} files")
        for info in infos:
            room = min(limit, max(_SMALL, RATIO * len(packed)))
            with archive.open(info) as source:
                # The size that the archive states may be false.
                content = source.read(room + 1)
            if len(content) > room:
                raise ValueError(f"more than {room} bytes in {info.filename!r}")
            limit -= len(content)
            found.append((info.filename, content, info.comment))
    return found


def _in_place(mail: Mail, part: Part, found: list[tuple[str, bytes, bytes]]) -> Edit:
    newline = mail.newline
    name, content, comment = found[0]
    first = _restored(mail, part, name, content, comment)
    if len(found) == 1:
        return first
    # Further files become further parts; the boundary line before this part is repeated before each.
    assert part.parent is not None
    data = mail.message.data
    boundary = data[data.rfind(b"\n", 0, part.begin - 1) + 1 : part.begin]
    out = bytearray(first[2])
    for name, content, _ in found[1:]:
        kind = _kind(name)
        body = _lines(content, newline)
        out += newline + boundary + _fields(kind, _plain(name), newline) + newline + body
    return first[0], first[1], bytes(out)


def _restored(mail: Mail, part: Part, name: str, content: bytes, comment: bytes) -> Edit:
    newline = mail.newline
    if comment.startswith(_MARK):
        fields = comment[len(_MARK) :].replace(b"\n", newline)
        body = content if b"base64" not in fields.lower() else _base64(content, part, mail)
        return replaced(part, fields, body, newline)
    return replaced(part, _fields(_kind(name), _plain(name), newline), _base64(content, part, mail), newline)


def _plain(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2] or "file"


def _kind(name: str) -> bytes:
    kind = mimetypes.guess_type(_plain(name))[0] or "application/octet-stream"
    return kind.encode() if not kind.startswith(("message/", "multipart/")) else b"application/octet-stream"


def _fields(kind: bytes, name: str, newline: bytes) -> bytes:
    text = b"Content-Type: %b%b\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment%b\n" % (
        kind,
        parameter(b"name", name),
        parameter(b"filename", name),
    )
    return text.replace(b"\n", newline)


def _base64(content: bytes, part: Part, mail: Mail) -> bytes:
    """The content as base64 lines; the last one ends with a newline if the part did."""
    end = mail.newline if part.raw.endswith(b"\n") or part.end == len(mail.message.data) else b""
    return _lines(content, mail.newline) + end


def _lines(content: bytes, newline: bytes) -> bytes:
    return newline.join(binascii.b2a_base64(content[at : at + 57], newline=False) for at in range(0, len(content), 57))
