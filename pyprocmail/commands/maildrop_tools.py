"""The commands that come with maildrop: all but maildrop itself."""

from __future__ import annotations

from pyprocmail.commands.descriptors import Writer, read_mail
from pyprocmail.commands.environment import given

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyprocmail.host import Host


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

            return reformail.run(host, argv, environ, read_mail(host), write, note)
        if name == b"mailbot":
            from pyprocmail.tools import mailbot

            return mailbot.run(host, argv, environ, read_mail(host), write, note)
        if name == b"maildirmake":
            from pyprocmail.tools import maildirmake

            return maildirmake.run(host, argv, environ, write, note)
        if name == b"deliverquota":
            from pyprocmail.tools import deliverquota

            return deliverquota.run(host, argv, environ, lambda: read_mail(host), write, note)
        if name == b"makedat":
            from pyprocmail.tools import makedat

            return makedat.run(host, argv, lambda: read_mail(host), note)
        if name == b"makemime":
            from pyprocmail.tools import makemime

            return makemime.run(host, argv, write, note)
        from pyprocmail.tools import reformime

        return reformime.run(host, argv, environ, lambda: read_mail(host), write, note)
    except BrokenPipeError:
        return 1
