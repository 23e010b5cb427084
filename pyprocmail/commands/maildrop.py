"""maildrop: one mail from standard input, or a mailbox of them, through a filter file.

This path does not go through click: it is what a mail server starts for every message.  maildrop(1).
"""

from __future__ import annotations

import os
import stat
import sys

from pyprocmail import __version__
from pyprocmail.commands.environment import given
from pyprocmail.commands.maildrop_files import FILTER, GLOBAL, FilterFiles
from pyprocmail.commands.maildrop_options import USAGE, Options, parse
from pyprocmail.engine.maildrop_delivery import deliver
from pyprocmail.engine.maildrop_log import Log
from pyprocmail.engine.maildrop_session import SPOOL, FilterError, Finished, Patterns, Session, Settings, UnusableError
from pyprocmail.exits import EX_NOUSER, EX_OK, EX_TEMPFAIL
from pyprocmail.host import Host, User
from pyprocmail.message.model import Message
from pyprocmail.program.numerals import integer_at
from pyprocmail.signals import Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO, SINGLE, MBOX = "auto", "single", "mbox"
_READ = 1 << 20
_UMASK = 0o007
_DEEPEST = 20_000


class _EndError(Exception):
    """The run ends before it begins."""

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
    """Run maildrop with `argv`, its own name first; the exit status.

    A fault in a filter file is told in the reference's line, which mail servers log; with `caret`, or on a terminal,
    the place is shown below it.  `mode` says what standard input is: SINGLE mail, MBOX, or to be found out;
    `sync_each` has every mail of a mailbox on disk before the next is read.
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
        from pyprocmail.batch import BatchHost

        host = BatchHost()
    run = _Run(host, log, argv[0], options, caller, caret=caret or host.isatty(2))
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
    """Whether a filter file is to sort what looks like a mailbox; for a user, it is always one message."""
    from pyprocmail.commands.descriptors import is_mailbox

    return bool(options.file) and is_mailbox(host)


class _Run:
    """What stays the same for every message of this process."""

    def __init__(
        self, host: Host, log: Log, name: bytes, options: Options, caller: Mapping[bytes, bytes], *, caret: bool
    ) -> None:
        self.host = host
        self.log = log
        self.name = name
        self.options = options
        self.caller = given(caller)
        # A user's environment does not decide what a program that root started for him does.
        self.strict = caller.get(b"PYPROCMAIL_STRICT") == b"yes" and not (options.user and host.geteuid() == 0)
        self.delivery = options.delivery
        self.files = FilterFiles(host, log, strict=self.strict, caret=caret)
        self.patterns = Patterns()
        self.hostname = host.hostname()
        self.untouched = False

    def single(self) -> int:
        """Deliver the message on standard input; the exit status."""
        user = self._user()
        if not self._has_rules():
            return EX_OK
        self._prepare(user)
        data = _read_all(self.host)
        self.host.catch_signals(lambda _on: None)
        return self._deliver(user, data)

    def mailbox(self) -> int:
        """Deliver every message of the mailbox on standard input; the first exit status that is not 0.

        FILENO counts them, as `reformail -s` does.
        """
        from pyprocmail.commands.mailbox import UntouchedError, each_message
        from pyprocmail.tools.reformail import next_number

        user = self._user()
        if not self._has_rules():
            return EX_OK
        self._prepare(user)
        self.host.catch_signals(lambda _on: None)
        number = self.caller.get(b"FILENO", b"000")

        def deliver(data: bytes) -> int:
            nonlocal number
            self.caller[b"FILENO"] = number
            number = next_number(number)
            # The empty line behind a message is the mailbox's.
            status = self._deliver(user, data.removesuffix(b"\n"))
            if self.untouched:
                raise UntouchedError(status, b"the filter file cannot be used")
            return status

        return each_message(self.host, deliver)

    def _has_rules(self) -> bool:
        return bool(self.delivery or self.options.file or not self.options.embedded)

    def _prepare(self, user: User) -> None:
        if self.delivery:
            self._enter_home(user)
        self.host.umask(_UMASK)

    def _deliver(self, user: User, data: bytes) -> int:
        data = b"".join(header + b"\n" for header in self.options.headers) + data
        session = self._session(user, data)
        try:
            return self._process(session)
        except RecursionError:
            self.log.complain(b"The filter file is nested too deeply.")
            return EX_TEMPFAIL
        finally:
            session.close()

    # -- whom for --------------------------------------------------------------------------

    def _user(self) -> User:
        host, name = self.host, self.options.user
        invoker = host.user_by_id(host.getuid())
        if name is None:
            if invoker is None:
                raise _EndError(EX_TEMPFAIL, b"Cannot determine my username.")
            return invoker
        user = host.user_by_name(name)
        if user is None:
            self.log.say(b"Invalid user specified.")
            raise _EndError(EX_NOUSER)
        if host.geteuid() != user.uid:
            try:
                if host.geteuid() != 0:
                    raise PermissionError
                self._make_mailbox(user)
                host.become(user)
            except OSError as error:
                raise _EndError(EX_TEMPFAIL, b"Cannot set my user or group id.") from error
        return user

    def _make_mailbox(self, user: User) -> None:
        """Make the system mailbox while we may: the user may not write to the spool."""
        host = self.host
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = host.open(SPOOL + user.name, flags, 0o600)
        except OSError:
            return
        try:
            host.fchown(fd, user.uid, -1)
        finally:
            host.close(fd)

    def _enter_home(self, user: User) -> None:
        host = self.host
        try:
            host.chdir(user.home or b"/")
            status = host.stat(b".")
        except OSError as error:
            raise _EndError(EX_TEMPFAIL, b"Unable to change to home directory.") from error
        if self.options.verbose > 1:
            self.log.complain(b"Changing to %b" % user.home)
        if status.st_uid != user.uid:
            raise _EndError(EX_TEMPFAIL, b"Home directory owned by wrong user.")
        if status.st_mode & stat.S_IWOTH:
            raise _EndError(EX_TEMPFAIL, b"Invalid home directory permissions - world writable.")
        if status.st_mode & stat.S_ISVTX:
            # The owner edits his filter file, and wants no mail meanwhile.
            raise _EndError(EX_TEMPFAIL)

    # -- the session -----------------------------------------------------------------------

    def _session(self, user: User, data: bytes) -> Session:
        host, options = self.host, self.options
        settings = Settings(
            self.name,
            user,
            delivery=self.delivery,
            embedded=options.embedded,
            strict=self.strict,
            warn_percent=options.warn_percent,
            warning=options.warning,
        )
        caller = self.caller
        session = Session(
            host,
            self.log,
            settings,
            Message(data),
            caller,
            lambda path: self.files.included(session, path),
            self.patterns,
        )
        session.variables.update(self._imported())
        session.verbose = 0 if self.delivery else integer_at(session.value(b"VERBOSE"))
        session.reset()
        for name in (b"EXITCODE", b"RETURNCODE"):
            if self.delivery:
                session.variables.pop(name, None)
        session.set(b"UMASK", b"077")
        session.set(b"MAILDIRQUOTA", b"")
        session.set(b"HOSTNAME", self.hostname)
        session.set(b"MAILFILTER", options.embedded_name or options.file or FILTER)
        session.set(b"FROM", self._sender(session))
        session.measure()
        for number, argument in enumerate(self.options.arguments, 1):
            session.set(b"%d" % number, argument)
        if options.verbose:
            session.verbose = options.verbose
        if session.verbose > 1:
            self.log.say(b"Message envelope sender=%b" % session.value(b"FROM"))
        return session

    def _imported(self) -> Mapping[bytes, bytes]:
        """What the environment says; little of it, when it is not the user who asks."""
        if not self.delivery:
            return self.caller
        return {
            name: value
            for name, value in self.caller.items()
            if name in (b"LANG", b"LANGUAGE") or name.startswith(b"LC_")
        }

    def _sender(self, session: Session) -> bytes:
        if self.options.sender:
            return self.options.sender
        for line in session.message.head.split(b"\n"):
            name, colon, value = line.partition(b":")
            if colon and name.lower() == b"return-path":
                words = value.lstrip().removeprefix(b"<").partition(b">")[0].split(None, 1)
                blank = value.lstrip().removeprefix(b"<")[:1].isspace()
                return words[0] if words and not blank else session.value(b"LOGNAME")
        return b"MAILER-DAEMON"

    def _process(self, session: Session) -> int:
        """Run the filter files; the exit status."""
        options, files = self.options, self.files
        try:
            if not self.delivery:
                files.run(session, self.options.file, required=True)
            elif options.embedded_name is not None:
                if not files.run_named(session, options.embedded_name):
                    return EX_OK
            else:
                files.run(session, GLOBAL, required=False)
                files.run(session, FILTER, required=False)
            if not options.embedded:
                deliver(session, session.value(b"DEFAULT"))
        except Finished as finished:
            return finished.status
        except FilterError as error:
            if error.text:
                self.log.complain(error.text)
            self.untouched = isinstance(error, UnusableError) and not files.begun
            return EX_TEMPFAIL
        return session.exit_status()


def _read_all(host: Host) -> bytes:
    pieces = []
    while piece := host.read(0, _READ):
        pieces.append(piece)
    return b"".join(pieces)
