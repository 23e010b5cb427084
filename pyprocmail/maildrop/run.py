"""One mail for one user: the phases of a delivery in order.

The system mailbox and the home of the user, /etc/maildroprc, the user's filter file, DEFAULT.  maildrop(1)
"""

from __future__ import annotations

import os
import stat

from pyprocmail.delivery.system_mailbox import mailbox_of
from pyprocmail.engine.verdict import Verdict
from pyprocmail.exits import EX_OK, EX_TEMPFAIL, LateImportError, traced
from pyprocmail.maildrop import arithmetic
from pyprocmail.maildrop.delivery import deliver as deliver_to
from pyprocmail.maildrop.files import FILTER, GLOBAL, FilterFiles
from pyprocmail.maildrop.log import Log, words
from pyprocmail.maildrop.session import FilterError, Finished, Patterns, Session, Settings, UnusableError
from pyprocmail.message.model import Message, field_places
from pyprocmail.signals import Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.engine.trace import Trace
    from pyprocmail.host import Host, User
    from pyprocmail.maildrop.files import Compiler
    from pyprocmail.maildrop.world import World

UMASK = 0o007
"""The umask of a run."""


class Setup:
    """The settings that are the same for every mail of a process.

    `name` is the name of our command, `caller` the caller's environment.  `become` gives up root for good.
    `caret` shows the place of a fault in a filter file.  `strict` is PYPROCMAIL_STRICT.  `tried` as in FilterFiles.
    """

    __slots__ = ("name", "caller", "log", "files", "become", "strict", "patterns", "hostname")

    def __init__(
        self,
        host: Host,
        name: bytes,
        caller: Mapping[bytes, bytes],
        compile: Compiler,
        become: Callable[[Host, User, FilterFiles], None],
        *,
        strict: bool = False,
        caret: bool = False,
        tried: bool = False,
    ) -> None:
        self.name = name
        self.caller = dict(caller)
        self.log = Log(host, name)
        self.log.strict = strict
        self.files = FilterFiles(host, compile, strict=strict, caret=caret, tried=tried)
        self.become = become
        self.strict = strict
        self.patterns = Patterns()
        self.hostname = host.hostname()

    def tell(self, fault: Exception) -> None:
        """Log an unexpected exception: an error of the system in one line, a fault of ours with its place."""
        if isinstance(fault, OSError):
            self.log.complain(os.fsencode(str(fault)))
        else:
            self.log.say(traced(fault).encode(errors="backslashreplace"))


class Recipient:
    """The recipient of a mail, and the options of this delivery.  maildrop(1), "Options".

    `delivery`: the user's own filter files decide, in the user's home; otherwise `file`, after the file `before` if
    there is one.  `headers` are put before the mail (-A), `sender` is the envelope sender (-f), `arguments` are $1 and
    so on.  `variables` are set, unchanged, before the filter file.
    """

    __slots__ = (
        "user", "delivery", "file", "before", "embedded", "embedded_name", "verbose", "sender", "headers", "arguments",
        "warn_percent", "warning", "variables",
    )  # fmt: skip

    def __init__(
        self,
        user: User,
        *,
        delivery: bool = False,
        file: bytes = b"",
        before: bytes = b"",
        embedded: bool = False,
        embedded_name: bytes | None = None,
        verbose: int = 0,
        sender: bytes = b"",
        headers: Sequence[bytes] = (),
        arguments: Sequence[bytes] = (),
        warn_percent: int = 0,
        warning: bytes = b"/etc/quotawarnmsg",
        variables: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.user = user
        self.delivery = delivery
        self.file = file
        self.before = before
        self.embedded = embedded
        self.embedded_name = embedded_name
        self.verbose = verbose
        self.sender = sender
        self.headers = headers
        self.arguments = arguments
        self.warn_percent = warn_percent
        self.warning = warning
        self.variables = variables


def deliver(
    world: World,
    recipient: Recipient,
    read: Callable[[], bytes],
    setup: Setup,
    *,
    listen: Callable[[Trace], object] | None = None,
) -> Verdict:
    """Run the mail through the recipient's filter files; returns what became of it.

    `read` returns the mail.  It is called once, and a caller that keeps no copy lets `xfilter` free a large mail.
    `listen` is called with the stream of the run before anything happens.

    Raises only what `read` raises: every other error is in the verdict, with status 75.  If root runs a mail for
    another user, the process is that user afterwards.  In a delivery, the working directory is the user's home then.
    """
    host = world.host
    # The delivery of an earlier mail has settled the handling of signals.
    host.catch_signals(lambda _on: None)
    mask = world.mask(UMASK)
    session = open_session(world, recipient, read(), setup)
    if listen is not None:
        listen(session.trace)
    verdict = session.verdict
    verdict.status = EX_TEMPFAIL
    try:
        verdict.status = _process(session, recipient, setup)
    except Interrupted as interrupted:
        if not session.delivered:
            session.note("signal", interrupted.signum)
            verdict.refuse(b"", b"signal %d" % interrupted.signum)
    except RecursionError:
        session.note("nested-too-deeply")
        verdict.refuse(session.file, b"it is nested too deeply")
    except LateImportError as refused:
        session.note("late-import", refused.name.encode())
        verdict.refuse(b"", b"the module %b is needed too late" % refused.name.encode())
    except Exception as fault:  # noqa: BLE001  the edge of a session: whatever is wrong, the MTA keeps what is not stored
        setup.tell(fault)
        verdict.refuse(b"", str(fault).encode(errors="backslashreplace"))
    finally:
        _aside(setup, session.close)
        _aside(setup, lambda: world.mask(mask))
    if session.delivered:
        verdict.status = session.exit_status()
    verdict.reply = session.value(b"REPLY")
    return verdict


def _aside(setup: Setup, step: Callable[[], object]) -> None:
    """Do a step that cannot change whether the message is delivered."""
    try:
        step()
    except Exception as fault:  # noqa: BLE001  it is logged
        setup.tell(fault)


def open_session(world: World, recipient: Recipient, mail: bytes, setup: Setup) -> Session:
    """A session for a mail that is about to go through its filter files."""
    headers = recipient.headers
    mail = b"".join(header + b"\n" for header in headers) + mail
    settings = Settings(
        setup.name,
        recipient.user,
        delivery=recipient.delivery,
        embedded=recipient.embedded,
        strict=setup.strict,
        warn_percent=recipient.warn_percent,
        warning=recipient.warning,
    )
    session = Session(
        world,
        setup.log,
        settings,
        Message(mail),
        setup.caller,
        lambda path: setup.files.included(session, path),
        setup.patterns,
    )
    session.variables.update(_imported(recipient, setup))
    session.verbose = 0 if recipient.delivery else arithmetic.verbosity(session.value(b"VERBOSE"))
    session.reset()
    for name in (b"EXITCODE", b"RETURNCODE"):
        if recipient.delivery:
            session.variables.pop(name, None)
    session.set(b"UMASK", b"077")
    session.set(b"MAILDIRQUOTA", b"")
    session.set(b"HOSTNAME", setup.hostname)
    session.set(b"MAILFILTER", recipient.embedded_name or recipient.file or FILTER)
    session.set(b"FROM", recipient.sender or _return_path(session))
    session.measure(sum(header.count(b"\n") + 1 for header in headers))
    for number, argument in enumerate(recipient.arguments, 1):
        session.set(b"%d" % number, argument)
    for name, value in (recipient.variables or {}).items():
        session.set(name, value)
    if recipient.verbose:
        session.verbose = recipient.verbose
    if session.verbose > 1:
        session.note("sender", session.value(b"FROM"))
    return session


def _imported(recipient: Recipient, setup: Setup) -> Mapping[bytes, bytes]:
    """The variables from the environment; only the locale in a delivery, where the caller is not the user."""
    if not recipient.delivery:
        return setup.caller
    return {
        name: value for name, value in setup.caller.items() if name in (b"LANG", b"LANGUAGE") or name.startswith(b"LC_")
    }


def _return_path(session: Session) -> bytes:
    """The envelope sender that the mail itself names."""
    head = session.message.head
    for _, start, end in field_places(head, b"return-path:"):
        address = head[start:end].lstrip().removeprefix(b"<")
        words = address.partition(b">")[0].split(None, 1)
        return words[0] if words and not address[:1].isspace() else session.value(b"LOGNAME")
    return b"MAILER-DAEMON"


# -- the phases ------------------------------------------------------------------------------


def _process(session: Session, recipient: Recipient, setup: Setup) -> int:
    """Run the phases; returns the exit status."""
    files = setup.files
    try:
        _become(session, recipient, setup)
        if recipient.delivery:
            _enter_home(session, recipient)
        if not recipient.delivery:
            if recipient.before:
                files.run(session, recipient.before, required=True)
            files.run(session, recipient.file, required=True)
        elif recipient.embedded_name is not None:
            if not files.run_named(session, recipient.embedded_name):
                return EX_OK
        else:
            files.run(session, GLOBAL, required=False)
            files.run(session, FILTER, required=False)
        if not recipient.embedded:
            deliver_to(session, session.value(b"DEFAULT"), final=True)
    except Finished as finished:
        return finished.status
    except FilterError as error:
        if error.kind:
            session.note(error.kind, *error.texts)
            session.verdict.refuse(b"", words(error.kind, error.texts).rstrip())
        session.verdict.untouched = isinstance(error, UnusableError) and not files.begun
        return EX_TEMPFAIL
    return session.exit_status()


def _become(session: Session, recipient: Recipient, setup: Setup) -> None:
    """Make the system mailbox while we may, and become the user."""
    host, user = session.host, recipient.user
    if host.geteuid() == user.uid:
        return
    try:
        if host.geteuid() != 0:
            raise PermissionError
        _make_mailbox(host, user)
        setup.become(host, user, setup.files)
    except OSError as error:
        raise FilterError("identity-refused") from error


def _make_mailbox(host: Host, user: User) -> None:
    """Make the system mailbox, since the user may not write to the spool."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = host.open(mailbox_of(user), flags, 0o600)
    except OSError:
        return
    try:
        host.fchown(fd, user.uid, -1)
    finally:
        host.close(fd)


def _enter_home(session: Session, recipient: Recipient) -> None:
    host, user = session.host, recipient.user
    home = user.home or b"/"
    try:
        session.world.enter(home)
        status = host.stat(home)
    except OSError as error:
        raise FilterError("no-home") from error
    if session.verbose > 1:
        session.note("changing-folder", user.home)
    if status.st_uid != user.uid:
        raise FilterError("home-wrong-owner")
    if status.st_mode & stat.S_IWOTH:
        raise FilterError("home-writable")
    if status.st_mode & stat.S_ISVTX:
        # A sticky home: the owner edits the filter file, and wants no mail meanwhile.
        raise FilterError
