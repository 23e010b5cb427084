"""The entry point: which program was called, and as what.

A rule of the start-up path: nothing is imported here before it is known to be needed.
"""

from __future__ import annotations

import os
import sys

from pyprocmail.exits import EX_OSERR, EX_TEMPFAIL

SUBCOMMANDS = ("links",)
"""The subcommands of `pyprocmail`.  An rcfile of such a name is written ./name."""

MAILDROP_PROGRAMS = (b"maildrop", b"reformail", b"lockmail", b"mailbot", b"reformime")
"""maildrop and the programs that come with it; also subcommands."""

_INPUT_FLAGS = {b"--mbox": "mbox", b"--single": "single"}


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
        if len(argv) > 1 and argv[1] in MAILDROP_PROGRAMS:
            return _maildrop(argv[1], argv[1:])
        return _procmail(*_take_input_flag(argv))
    if name in MAILDROP_PROGRAMS:
        return _maildrop(name, argv)
    return _procmail(argv, "single")


def _take_input_flag(argv: list[bytes]) -> tuple[list[bytes], str]:
    """`--mbox` or `--single` in front of procmail's own options."""
    if len(argv) > 1 and argv[1] in _INPUT_FLAGS:
        return [argv[0], *argv[2:]], _INPUT_FLAGS[argv[1]]
    for at, word in enumerate(argv[1:], 1):
        if word in _INPUT_FLAGS:
            return [*argv[:at], *argv[at + 1 :]], _INPUT_FLAGS[word]
        if not word.startswith(b"-"):
            break
    return argv, "auto"


def _procmail(argv: list[bytes], mode: str) -> int:
    from pyprocmail.commands import procmail
    from pyprocmail.host import Host

    try:
        return procmail.main(argv, Host(), os.environb, mode=mode)
    except Exception:  # noqa: BLE001  the edge of a session: whatever is wrong with us, the MTA keeps the mail
        import traceback

        traceback.print_exc()
        return EX_TEMPFAIL


def _maildrop(name: bytes, argv: list[bytes]) -> int:
    """maildrop, or one of the programs that come with it."""
    from pyprocmail.host import Host

    try:
        if name == b"maildrop":
            from pyprocmail.commands import maildrop

            return maildrop.main(argv, Host(), os.environb)
        from pyprocmail.commands import maildrop_tools

        return maildrop_tools.main(name, argv, Host(), os.environb)
    except Exception:  # noqa: BLE001  the edge of a session: whatever is wrong with us, the MTA keeps the mail
        import traceback

        traceback.print_exc()
        return EX_TEMPFAIL


def _open_standard_descriptors() -> None:
    """A caller that closed 0, 1 or 2 must not have a folder opened in their place."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            if os.open(os.devnull, os.O_RDWR) != fd:
                sys.exit(EX_OSERR)
