"""The entry point: runs the program by whose name we were called.

A rule of the start-up path: nothing is imported here before it is known to be needed.
"""

from __future__ import annotations

import gc
import os
import sys

from pyprocmail.exits import EX_OK, EX_TEMPFAIL, EX_USAGE, MailTooLargeError, in_one_line, traced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SUBCOMMANDS = (
    "links", "completion", "replay", "explain", "diff", "coverage", "test", "refile", "check", "fmt", "doctor",
    "language-server", "milter", "spool", "maillog", "report", "lmtp", "deliver", "gateway", "help",
)  # fmt: skip
"""The subcommands of `pyprocmail`.  An rcfile of such a name is written ./name."""

PROGRAMS = (
    b"formail", b"lockfile", b"mailstat", b"maildrop", b"reformail", b"lockmail", b"mailbot", b"reformime",
    b"maildirmake", b"deliverquota", b"makemime", b"makedat",
)  # fmt: skip
"""The programs besides procmail that we replace: chosen by the name in argv[0], or as subcommands."""

OWN_TOOLS = (b"vacation", b"duplicate", b"mime")
"""Our own programs for recipes, as subcommands only: no launcher has such a name."""

_HELP = ("help", "-h", "-?", "--help")
_COMPLETION = b"_PYPROCMAIL_COMPLETE"


def main() -> None:
    """Run as the program whose name is in argv[0], and end the process."""
    status = _safely(b"pyprocmail", _run_as_called)
    # The interpreter's own clean-up at exit could change the outcome.
    _flush()
    os._exit(status)


def _run_as_called() -> int:
    _open_standard_descriptors()
    return run([os.fsencode(word) for word in sys.argv])


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # there is no such stream, or its reader has gone


def run(argv: list[bytes]) -> int:
    """Run as `argv[0]`; the exit status."""
    name = argv[0].rpartition(b"/")[2]
    if name == b"pyprocmail":
        return _pyprocmail(argv)
    if name == b"mailspy":
        return _command("milter")
    if name in PROGRAMS:
        return _safely(name, lambda: _program(name, argv))
    return _procmail(argv, ours=False)


def _pyprocmail(argv: list[bytes]) -> int:
    """Run as `pyprocmail`: a subcommand, a program, or procmail with options of our own."""
    word = argv[1].decode("utf-8", "surrogateescape") if len(argv) > 1 else ""
    if word in (*SUBCOMMANDS, *_HELP, "--version") or os.environb.get(_COMPLETION):
        return _command(word)
    if argv[1:2] and argv[1] in (*PROGRAMS, *OWN_TOOLS):
        if argv[2:] == [b"--help"]:
            from pyprocmail.commands.screens import SCREENS

            os.write(1, SCREENS[argv[1]])
            return EX_OK
        if argv[2:] == [b"--version"]:
            return _command("--version")
        return _safely(argv[1], lambda: _program(argv[1], argv[1:]))
    if os.isatty(0) and not word:
        return _command("help")
    if _is_mistaken(word):
        from pyprocmail.commands.cli import refuse

        return refuse(word)
    return _procmail(argv, ours=True)


def _command(word: str) -> int:
    """Run a subcommand, which click chooses."""
    from pyprocmail.commands.cli import cli

    arguments = ["--help"] if word in _HELP else ["--version"] if word == "--version" else sys.argv[1:]
    if sys.argv[0].rpartition("/")[2] == "mailspy":
        arguments = ["milter", *sys.argv[1:]]
    try:
        cli(arguments, prog_name="pyprocmail")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EX_OK if end.code is None else EX_USAGE
    return EX_OK


def _is_mistaken(word: str) -> bool:
    """Whether a word typed at a terminal is not a command, an option of ours or an rcfile."""
    if word.startswith("--"):
        return word != "--" and word not in ("--mbox", "--single", "--sync-each")
    if not word or word.startswith("-") or "=" in word or not os.isatty(0):
        return False
    home = os.path.expanduser("~")
    return not os.path.exists(word) and not os.path.exists(os.path.join(home, word))


def _procmail(argv: list[bytes], *, ours: bool) -> int:
    """Run procmail; with `ours` it also takes our own options, and the input may be a mailbox."""
    gc.disable()  # imports make no garbage
    from pyprocmail.commands import options, procmail
    from pyprocmail.host import Host

    _collect_again()
    if not ours:
        return _safely(b"procmail", lambda: procmail.main(argv, Host(), os.environb, options.Input()))
    argv, given = options.take_input(argv)
    return _refuse(given.wrong) or _safely(b"procmail", lambda: procmail.main(argv, Host(), os.environb, given))


def _collect_again() -> None:
    """Collect garbage from now on, but never examine imported objects."""
    gc.freeze()
    gc.enable()


def _refuse(wrong: bytes) -> int:
    if wrong:
        os.write(2, b"pyprocmail: %b\n" % wrong)
    return EX_USAGE if wrong else EX_OK


def _program(name: bytes, argv: list[bytes]) -> int:
    """Run one of PROGRAMS or OWN_TOOLS."""
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

    if name == b"mime":
        from pyprocmail.commands import mime

        return mime.main([b"pyprocmail", *argv])
    if name in OWN_TOOLS:
        from pyprocmail.commands import own_tools

        return own_tools.main(argv, Host(), os.environb)
    if name == b"maildrop":
        gc.disable()  # as for procmail
        from pyprocmail.commands import maildrop

        _collect_again()
        if argv[0] != name:
            return maildrop.main(argv, Host(), os.environb)
        # A launcher's name has a path.  `pyprocmail maildrop` is typed by a user, so faults are shown in full.
        from pyprocmail.commands import options

        argv, given = options.take_input(argv)
        return _refuse(given.wrong) or maildrop.main(
            argv, Host(), os.environb, caret=True, mode=given.mode, sync_each=given.sync_each
        )
    from pyprocmail.commands import maildrop_tools, siblings

    return maildrop_tools.main(name, argv, siblings.SiblingHost(), os.environb)


def _safely(name: bytes, program: Callable[[], int]) -> int:
    """The status of a program; EX_TEMPFAIL after a fault of ours or an interrupt: the mail is safer with the caller.

    A system error is reported in one line with the program, the file and the reason; a fault of ours with a traceback.
    """
    try:
        return program()
    except SystemExit:
        raise
    except KeyboardInterrupt:
        return EX_TEMPFAIL  # a user at a terminal, who needs no message
    except MailTooLargeError as error:
        text = b"%b: The input has more than %d bytes, which is too much for the memory here\n" % (name, error.limit)
    except OSError as error:
        text = b"%b: %b\n" % (name, os.fsencode(in_one_line(error)))
    except BaseException as error:  # noqa: BLE001  the edge of a session
        text = traced(error).encode(errors="backslashreplace")
    try:
        os.write(2, text)
    except OSError:
        pass  # nobody can read the message
    return EX_TEMPFAIL


def _open_standard_descriptors() -> None:
    """Open 0, 1 and 2 if the caller closed them, so that no folder gets their numbers."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            if os.open(os.devnull, os.O_RDWR) != fd:
                raise
