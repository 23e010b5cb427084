"""maildrop: runs one mail from standard input, or a mailbox, through a filter file.

This path does not use click: a mail server starts it for every message.  maildrop(1).
"""

from __future__ import annotations

import sys

from pyprocmail import __version__
from pyprocmail.commands.compiler import compile_filter_here
from pyprocmail.commands.descriptors import read_mail
from pyprocmail.commands.environment import given
from pyprocmail.commands.maildrop_options import USAGE, Options, parse
from pyprocmail.exits import EX_NOUSER, EX_OK, EX_TEMPFAIL
from pyprocmail.host import Host, User
from pyprocmail.maildrop.log import Log
from pyprocmail.maildrop.run import UMASK, Recipient, Setup, deliver
from pyprocmail.maildrop.world import World
from pyprocmail.signals import Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyprocmail.engine.verdict import Verdict
    from pyprocmail.maildrop.files import FilterFiles

AUTO, SINGLE, MBOX = "auto", "single", "mbox"
_DEEPEST = 20_000


class _EndError(Exception):
    """The command exits before any delivery."""

    def __init__(self, status: int, text: bytes = b"") -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


def main(
    argv: list[bytes],
    host: Host,
    caller: Mapping[bytes, bytes],
    *,
    caret: bool = False,
    mode: str = SINGLE,
    sync_each: bool = False,
) -> int:
    """Run maildrop with `argv`, its own name first; returns the exit status.

    A fault in a filter file is reported with the reference's line, which mail servers log; with `caret`, or on a
    terminal, the place is shown below it.  `mode` is the kind of standard input: SINGLE mail, MBOX, or AUTO to detect
    it.  With `sync_each` every mail of a mailbox is on disk before the next is read.
    """
    log = Log(host, argv[0])
    options = parse(argv[1:])
    if options.wrong:
        log.complain(b"Bad command line arguments, -h for help.")
        return EX_TEMPFAIL
    if options.action == "v":
        _print(host, b"pyprocmail %b, a drop-in for maildrop 2.9.3\n" % __version__.encode())
        return EX_OK
    if options.action == "h":
        _print(host, USAGE)
        return EX_TEMPFAIL
    sys.setrecursionlimit(_DEEPEST)
    many = mode == MBOX or (mode == AUTO and _may_be_mailbox(host, options))
    if many and not sync_each:
        from pyprocmail.engine.batch import BatchHost

        host = BatchHost()
    host.umask(UMASK)
    run = _Run(host, argv[0], options, caller, caret=caret or host.isatty(2))
    try:
        return run.mailbox() if many else run.single()
    except _EndError as end:
        if end.text:
            log.complain(end.text)
        return end.status
    except Interrupted as interrupted:
        log.complain(b"signal 0x%02X" % interrupted.signum)
        return EX_TEMPFAIL


def _print(host: Host, text: bytes) -> None:
    try:
        host.write(1, text)
    except OSError:
        pass


def _may_be_mailbox(host: Host, options: Options) -> bool:
    """Whether to treat the input as a mailbox: a filter file is named, and it looks like one.  A user gets one mail."""
    from pyprocmail.commands.descriptors import is_mailbox

    return bool(options.file) and is_mailbox(host)


class _Run:
    """One call of maildrop: the recipient, and everything that is the same for each mail of this process."""

    def __init__(
        self, host: Host, name: bytes, options: Options, caller: Mapping[bytes, bytes], *, caret: bool
    ) -> None:
        self.host = host
        self.options = options
        # A user's environment must not influence a program that root started for the user.
        strict = caller.get(b"PYPROCMAIL_STRICT") == b"yes" and not (options.user and host.geteuid() == 0)
        self.setup = Setup(host, name, given(caller), compile_filter_here, _become, strict=strict, caret=caret)

    def single(self) -> int:
        """Deliver the message on standard input; returns the exit status."""
        user = self._user()
        if not self._has_rules():
            return EX_OK
        return self._deliver(user, lambda: read_mail(self.host)).status

    def mailbox(self) -> int:
        """Deliver every message of the mailbox on standard input; returns the first exit status that is not 0.

        FILENO counts them, as `reformail -s` does.
        """
        from pyprocmail.commands.mailbox import UntouchedError, each_message
        from pyprocmail.tools.reformail import next_number

        user = self._user()
        if not self._has_rules():
            return EX_OK
        caller = self.setup.caller
        number = caller.get(b"FILENO", b"000")

        def deliver_next(read: Callable[[], bytes]) -> int:
            nonlocal number
            caller[b"FILENO"] = number
            number = next_number(number)
            # The empty line after a message belongs to the mailbox.
            verdict = self._deliver(user, lambda: read().removesuffix(b"\n"))
            if verdict.untouched:
                raise UntouchedError(verdict.status, b"the filter file cannot be used")
            return verdict.status

        return each_message(self.host, deliver_next)

    def _has_rules(self) -> bool:
        return bool(self.options.delivery or self.options.file or not self.options.embedded)

    def _deliver(self, user: User, read: Callable[[], bytes]) -> Verdict:
        options = self.options
        recipient = Recipient(
            user,
            delivery=options.delivery,
            file=options.file,
            embedded=options.embedded,
            embedded_name=options.embedded_name,
            verbose=options.verbose,
            sender=options.sender,
            headers=options.headers,
            arguments=options.arguments,
            warn_percent=options.warn_percent,
            warning=options.warning,
        )
        return deliver(World(self.host), recipient, read, self.setup)

    def _user(self) -> User:
        """The recipient's user."""
        host, name = self.host, self.options.user
        if name is None:
            invoker = host.user_by_id(host.getuid())
            if invoker is None:
                raise _EndError(EX_TEMPFAIL, b"Cannot determine my username.")
            return invoker
        user = host.user_by_name(name)
        if user is None:
            from pyprocmail.commands import user_database

            try:
                user_database.check(name)
            except OSError as error:
                raise _EndError(EX_TEMPFAIL, b"The user database cannot be read.") from error
            self.setup.log.say(b"Invalid user specified.")
            raise _EndError(EX_NOUSER)
        return user


def _become(host: Host, user: User, files: FilterFiles) -> None:
    """Give up root for good; from then on a separate process compiles filter files.

    Raises:
        OSError: the identity could not be taken.
    """
    from pyprocmail.commands import privileges
    from pyprocmail.commands.compiler import compile_filter_apart

    privileges.drop_for_maildrop(host, user)
    files.compile = compile_filter_apart
