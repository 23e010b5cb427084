"""`strip`: replaces attachments by a note."""

from __future__ import annotations

from pyprocmail.exits import EX_OK
from pyprocmail.message import decoded, transfer
from pyprocmail.tools.mime.mail import replaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.tools.mime.mail import Edit, Mail
    from pyprocmail.tools.mime.options import Options

_NOTE = "[ An attachment was removed here: {name} ({type}, {size} bytes) ]"


def strip(_host: Host, mail: Mail, given: Options) -> int:
    """Remove the selected attachments; `{name}`, `{type}` and `{size}` in --note are filled in."""
    template = given.text(b"note").decode("utf-8", "replace") or _NOTE
    newline = mail.newline
    edits: list[Edit] = []
    for part in mail.attachments(given, signed=b"signed" in given.flags):
        size = transfer.size(mail.message.data, part.start, part.end, part.encoding)
        text = template.replace("{size}", str(size)).replace("{type}", part.kind.decode("ascii", "replace"))
        text = text.replace("{name}", decoded.file_name(part) or "without a name")
        fields = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
        if part.message and part.parent is None:
            fields = b"MIME-Version: 1.0\n" + fields
        body = b"\n".join(text.encode("utf-8", "replace").splitlines()) + b"\n"
        if part.end < len(mail.message.data):
            body = body[:-1]  # the newline before a boundary belongs to the boundary
        edits.append(replaced(part, fields.replace(b"\n", newline), body.replace(b"\n", newline), newline))
    mail.change(edits)
    return EX_OK
