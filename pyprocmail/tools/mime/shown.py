"""`list` and `headers --decode`: show a mail to people."""

from __future__ import annotations

from pyprocmail.exits import EX_OK
from pyprocmail.message import decoded, transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.message.structure import Part
    from pyprocmail.tools.mime.mail import Mail
    from pyprocmail.tools.mime.options import Options


def listing(_host: Host, mail: Mail, given: Options) -> int:
    """Write a line for each part: its number, type, size and name."""
    todo: list[tuple[str, Part]] = [("1", mail.root)]
    while todo:
        number, part = todo.pop()
        todo += reversed([(f"{number}.{place}", child) for place, child in enumerate(part.children, 1)])
        size = transfer.size(mail.message.data, part.start, part.end, part.encoding)
        name = decoded.file_name(part)
        if given.chooses(part.kind, name, size):
            kind = part.kind.decode("ascii", "replace")
            mail.write(f"{number}\t{kind}\t{size}\t{name}".rstrip("\t").encode("utf-8", "replace") + b"\n")
    return EX_OK


def headers(_host: Host, mail: Mail, given: Options) -> int:
    """Write the header unchanged, or decoded."""
    message = mail.message
    if b"decode" not in given.flags:
        mail.write(message.head)
        return EX_OK
    reader = decoded.Decoded(message.data, message.split, (), lambda what: mail.note(b"cut: " + what.encode()))
    mail.write(reader.header())
    return EX_OK
