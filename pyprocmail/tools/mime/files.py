"""`extract`: writes attachments to files in a folder, under safe names; never overwrites a file."""

from __future__ import annotations

import os

from pyprocmail.exits import EX_OK
from pyprocmail.message import decoded, transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.message.structure import Part
    from pyprocmail.tools.mime.mail import Mail
    from pyprocmail.tools.mime.options import Options

_LONGEST = 200
_MOST_OF_ONE_NAME = 10_000
_CHUNK = 57 << 14
_DEVICES = frozenset(("con", "prn", "aux", "nul"))


def extract(host: Host, mail: Mail, given: Options) -> int:
    """Write each selected attachment to a file in --dir, and its path to standard output.

    A file gets its name only when it is complete and on disk.
    """
    folder = given.text(b"dir", b".")
    taken: dict[bytes, int] = {}
    wrote = False
    for part in mail.attachments(given):
        content = transfer.decode(part.raw, part.encoding)
        path = _store(host, folder, safe_name(part), content, taken)
        mail.write(path + b"\n")
        wrote = True
    if wrote:
        host.sync_folder(folder)
    return EX_OK


def safe_name(part: Part) -> str:
    """The file name for a part: without folder or leading dot, and harmless to shells and terminals."""
    name = decoded.file_name(part).replace("\\", "/").rpartition("/")[2]
    kept = "".join(one if one.isalnum() or one in "-_.+@=,() " else "_" for one in name).strip(" ")
    kept = kept.lstrip(".-") or "part." + _suffix(part)
    if kept.partition(".")[0].lower() in _DEVICES:
        kept = "_" + kept
    while len(kept.encode("utf-8", "replace")) > _LONGEST:
        base, dot, suffix = kept.rpartition(".")
        kept = base[:-1] + dot + suffix if dot and len(suffix) < 20 and len(base) > 1 else kept[:-1]
    return kept


def _suffix(part: Part) -> str:
    kind = part.kind.rpartition(b"/")[2].decode("ascii", "replace")
    return "eml" if part.kind == b"message/rfc822" else "txt" if kind == "plain" else "".join(filter(str.isalnum, kind))


def _store(host: Host, folder: bytes, name: str, content: bytes, taken: dict[bytes, int]) -> bytes:
    """Write the file under the first free name; returns its path."""
    whole = name.encode("utf-8", "replace")
    base, dot, suffix = whole.rpartition(b".")
    if not base:
        base, dot, suffix = whole, b"", b""
    temporary = b"%b/.mime.%d.%d" % (folder, host.getpid(), host.next_number())
    fd = host.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[host.write(fd, rest) :]
            host.fsync(fd)
        finally:
            host.close(fd)
        for number in range(taken.get(whole, 0), _MOST_OF_ONE_NAME):
            path = b"%b/%b%b%b" % (folder, base + (b"-%d" % number if number else b""), dot, suffix)
            try:
                host.link(temporary, path)
            except FileExistsError:
                continue
            taken[whole] = number + 1
            return path
        raise FileExistsError(17, "too many files of that name", whole)
    finally:
        host.unlink(temporary)
