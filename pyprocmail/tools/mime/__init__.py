"""`pyprocmail mime`: the usual work of mail gateways, as filters.  pyprocmail-mime(1).

Each command reads one mail and writes one; bytes that it does not change stay the same.  Signed and encrypted parts are
left unchanged unless an option allows the change.
"""

from __future__ import annotations

from pyprocmail.exits import EX_OK, EX_TEMPFAIL, EX_USAGE, in_one_line
from pyprocmail.message.model import Message
from pyprocmail.tools.mime import changes, files, footer, options, packing, scan, shown
from pyprocmail.tools.mime.mail import Mail, TroubleError
from pyprocmail.tools.mime.options import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.host import Host

    Command = Callable[[Host, Mail, options.Options], int]

COMMANDS: dict[bytes, Command] = {
    b"list": shown.listing,
    b"headers": shown.headers,
    b"extract": files.extract,
    b"strip": changes.strip,
    b"footer": footer.footer,
    b"compress": packing.compress,
    b"decompress": packing.decompress,
    b"scan": scan.scan,
}
"""The commands that need no other program."""
GPG = (b"encrypt", b"decrypt", b"sign", b"verify")
"""The commands that need gpg."""


def starts_programs(argv: Sequence[bytes]) -> bool:
    """Whether `pyprocmail mime` with `argv` starts gpg."""
    return len(argv) > 2 and argv[2] in GPG


def run(
    host: Host,
    argv: Sequence[bytes],
    environment: Mapping[bytes, bytes],
    read: Callable[[int], bytes],
    write: Callable[[bytes], None],
    note: Callable[[bytes], None],
) -> int:
    """Run `pyprocmail mime COMMAND ...`; returns the exit status: 75 if a mail server should try again."""
    name = argv[2] if len(argv) > 2 else b""
    command: Command | None = COMMANDS.get(name)
    if name in GPG:
        from pyprocmail.tools.mime.gpg import COMMANDS as WITH_GPG

        command = WITH_GPG[name]
    if command is None:
        note(b"pyprocmail mime: no such command: %b\n%b" % (name, options.USAGE))
        return EX_USAGE
    try:
        given = options.read(name, argv[3:])
    except UsageError as error:
        note(b"pyprocmail mime %b: %b\n" % (name, error.text))
        return EX_USAGE
    pieces = []
    while piece := read(1 << 20):
        pieces.append(piece)
    data = b"".join(pieces)
    del pieces
    mail = Mail(Message(data), environment, write, lambda text: note(b"pyprocmail mime %b: %b\n" % (name, text)))
    try:
        return command(host, mail, given)
    except TroubleError as error:
        mail.note(error.text)
        return error.status
    except OSError as error:
        mail.note(in_one_line(error).encode(errors="surrogateescape"))
        return EX_TEMPFAIL


__all__ = ["COMMANDS", "EX_OK", "GPG", "run", "starts_programs"]
