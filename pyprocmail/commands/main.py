"""The entry point: which program was called, and as what.

A rule of the start-up path: nothing is imported here before it is known to be needed.
"""

from __future__ import annotations

import os
import sys

from pyprocmail.exits import EX_OK, EX_OSERR, EX_TEMPFAIL, EX_USAGE, traced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SUBCOMMANDS = ("links",)
"""The subcommands of `pyprocmail`.  An rcfile of such a name is written ./name."""

PROGRAMS = (
    b"formail", b"lockfile", b"mailstat", b"maildrop", b"reformail", b"lockmail", b"mailbot", b"reformime",
)  # fmt: skip
"""The programs that we are besides procmail: by the name we are called by, or as subcommands."""


def main() -> None:
    """Run as the program whose name is in argv[0], and exit."""
    argv = [os.fsencode(word) for word in sys.argv]
    _open_standard_descriptors()
    sys.exit(run(argv))


def run(argv: list[bytes]) -> int:
    """Run as `argv[0]`; the exit status."""
    name = argv[0].rpartition(b"/")[2]
    if name == b"pyprocmail":
        if len(argv) > 1 and argv[1].decode("latin-1") in (*SUBCOMMANDS, "--help", "--version"):
            from pyprocmail.commands.cli import cli

            cli(prog_name="pyprocmail")
            return 0
        if len(argv) > 1 and argv[1] in PROGRAMS:
            return _safely(lambda: _program(argv[1], argv[1:]))
        return _procmail(argv, ours=True)
    if name in PROGRAMS:
        return _safely(lambda: _program(name, argv))
    return _procmail(argv, ours=False)


def _procmail(argv: list[bytes], *, ours: bool) -> int:
    """Run procmail; with `ours` our own options stand among its, and a mailbox may come in."""
    from pyprocmail.commands import options, procmail
    from pyprocmail.host import Host

    if not ours:
        return _safely(lambda: procmail.main(argv, Host(), os.environb, options.Input()))
    argv, given = options.take_input(argv)
    return _refuse(given.wrong) or _safely(lambda: procmail.main(argv, Host(), os.environb, given))


def _refuse(wrong: bytes) -> int:
    if wrong:
        os.write(2, b"pyprocmail: %b\n" % wrong)
    return EX_USAGE if wrong else EX_OK


def _program(name: bytes, argv: list[bytes]) -> int:
    """Run one of PROGRAMS."""
    if name == b"formail":
        from pyprocmail.commands import formail

        return formail.main(argv)
    if name == b"lockfile":
        from pyprocmail.commands import lockfile

        return lockfile.main(argv)
    if name == b"mailstat":
        from pyprocmail.commands import mailstat

        return mailstat.main(argv)
    from pyprocmail.host import Host

    if name == b"maildrop":
        from pyprocmail.commands import maildrop

        if argv[0] != name:
            return maildrop.main(argv, Host(), os.environb)
        # A launcher's name has a path.  `pyprocmail maildrop` is typed by somebody who wants to see what is wrong.
        from pyprocmail.commands import options

        argv, given = options.take_input(argv)
        return _refuse(given.wrong) or maildrop.main(
            argv, Host(), os.environb, caret=True, mode=given.mode, sync_each=given.sync_each
        )
    from pyprocmail.commands import maildrop_tools, siblings

    return maildrop_tools.main(name, argv, siblings.SiblingHost(), os.environb)


def _safely(program: Callable[[], int]) -> int:
    """The status of a program; EX_TEMPFAIL when we are at fault: the mail is safer with the caller."""
    try:
        return program()
    except Exception as error:  # noqa: BLE001  the edge of a session
        try:
            os.write(2, traced(error).encode(errors="backslashreplace"))
        except OSError:
            pass
        return EX_TEMPFAIL


def _open_standard_descriptors() -> None:
    """A caller that closed 0, 1 or 2 must not have a folder opened in their place."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            if os.open(os.devnull, os.O_RDWR) != fd:
                sys.exit(EX_OSERR)
