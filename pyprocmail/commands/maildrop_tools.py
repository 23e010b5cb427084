"""The commands that come with maildrop: reformail, lockmail, mailbot, reformime."""

from __future__ import annotations

from pyprocmail.commands.descriptors import Writer
from pyprocmail.commands.environment import given

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyprocmail.host import Host

_READ = 1 << 20


def main(name: bytes, argv: Sequence[bytes], host: Host, environ: Mapping[bytes, bytes]) -> int:
    """Run the program `name` with `argv`, its own name first; the exit status."""
    environ = given(environ)
    write, note = Writer(host, 1), Writer(host, 2)
    try:
        if name == b"lockmail":
            from pyprocmail.tools import lockmail

            return lockmail.run(host, argv, environ, note)
        if name == b"reformail":
            from pyprocmail.tools import reformail

            return reformail.run(host, argv, environ, read_all(host), write, note)
        if name == b"mailbot":
            from pyprocmail.tools import mailbot

            return mailbot.run(host, argv, environ, read_all(host), write, note)
        from pyprocmail.tools import reformime

        return reformime.run(host, argv, environ, read_all(host), write, note)
    except BrokenPipeError:
        return 1


def read_all(host: Host) -> bytes:
    """Standard input."""
    pieces = []
    while piece := host.read(0, _READ):
        pieces.append(piece)
    return b"".join(pieces)
