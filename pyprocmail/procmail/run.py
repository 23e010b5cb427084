"""One mail for one recipient: the phases of a delivery in order.

The assignments of the command line, the system mailbox, /etc/procmailrc, the recipient's rcfiles, the ending.
procmail(1), DESCRIPTION.
"""

from __future__ import annotations

from pyprocmail.delivery import system_mailbox
from pyprocmail.engine.logfile import Output
from pyprocmail.engine.verdict import Verdict
from pyprocmail.exits import EX_CANTCREAT, EX_NOUSER, EX_OK, EX_TEMPFAIL, LateImportError, NotCompiledError
from pyprocmail.matching.regex import Patterns
from pyprocmail.procmail import endings, interpreter, rcfiles, start
from pyprocmail.procmail.compiled.pieces import BLANKS, name_end
from pyprocmail.procmail.compiled.words import scan_size
from pyprocmail.procmail.effects import END_RCFILES, USUAL_COMSAT
from pyprocmail.procmail.endings import aside, finish
from pyprocmail.procmail.expansion import LineTooLongError, expand_value
from pyprocmail.procmail.rcfiles import Loader
from pyprocmail.procmail.session import Identity, Session
from pyprocmail.signals import Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.engine.tools import Toolbox
    from pyprocmail.engine.trace import Trace
    from pyprocmail.engine.world import World
    from pyprocmail.host import Host, User
    from pyprocmail.procmail.ahead import Recalling
    from pyprocmail.procmail.plan import Plans
    from pyprocmail.procmail.rcfiles import Compiler
    from pyprocmail.procmail.start import Origin

_UNREADABLE = "unreadable"
_MOST_ENVIRONMENTS = 64
OWN_FILES = 0o077
"""The umask that a run begins with."""
SYSTEM_PATH = b"/usr/local/bin:/usr/bin:/bin"
"""PATH in /etc/procmailrc."""


class Setup:
    """The settings that are the same for every mail of a process.

    `name` is the name of our command ($0), `caller` the caller's environment.  `become` gives
    up root for good.  `strict` is PYPROCMAIL_STRICT, `content_length`: the field is kept correct.  `toolbox`
    has the tools that need no process.  `verbose`: a signal switched VERBOSE on before the session began.
    """

    __slots__ = (
        "name", "caller", "loader", "become", "toolbox", "strict", "content_length", "verbose", "patterns", "plans",
        "_environments",
    )  # fmt: skip

    def __init__(
        self,
        name: bytes,
        caller: Mapping[bytes, bytes],
        compile: Compiler,
        become: Callable[[Host, User, Loader], None],
        *,
        toolbox: Toolbox | None = None,
        strict: bool = False,
        content_length: bool = True,
    ) -> None:
        self.name = name
        self.caller = dict(caller)
        self.loader = Loader(compile)
        self.become = become
        self.toolbox = toolbox
        self.strict = strict
        self.content_length = content_length
        self.verbose = False
        self.patterns = Patterns()
        self.plans: Plans | None = None
        self._environments: dict[tuple[bytes, int, bytes, int], dict[bytes, bytes]] = {}

    def environment(self, host: Host, recipient: Recipient) -> dict[bytes, bytes]:
        """A copy of the variables for this recipient's first rcfile."""
        user = recipient.user
        # Several names may share one uid: aliases in the password file, and addresses without accounts.
        key = (user.name, user.uid, user.home, host.geteuid())
        found = self._environments.get(key)
        if found is None:
            if len(self._environments) >= _MOST_ENVIRONMENTS:
                self._environments.clear()
            found = self._environments[key] = start.environment(
                self.caller,
                host,
                user,
                preserve=recipient.preserve,
                mail_filter=recipient.mail_filter,
                rcfile_given=recipient.names_rcfile,
            )
        return found.copy()

    def set_verbose(self, on: bool) -> None:
        """Handle a signal that comes before the session begins."""
        self.verbose = on


class Recipient:
    """The recipient of a mail, and the options of this delivery.  procmail(1), OPTIONS.

    `operands` are assignments and rcfiles; without an rcfile the user's own is run.  `arguments` are $1 and so on.
    `origin` decides the From_ line.  `deliver` is -d, `mail_filter` -m, `preserve` -p, `requeue` -t.  `variables` are
    set, unchanged, before the rcfile: what a server knows about the mail; a stranger may have chosen them.
    """

    __slots__ = (
        "user",
        "origin",
        "operands",
        "arguments",
        "deliver",
        "mail_filter",
        "preserve",
        "requeue",
        "variables",
        "names_rcfile",
    )

    def __init__(
        self,
        user: User,
        origin: Origin,
        *,
        operands: Sequence[bytes] = (),
        arguments: Sequence[bytes] = (),
        deliver: bool = False,
        mail_filter: bool = False,
        preserve: bool = False,
        requeue: bool = False,
        variables: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.user = user
        self.origin = origin
        self.operands = operands
        self.arguments = arguments
        self.deliver = deliver
        self.mail_filter = mail_filter
        self.preserve = preserve
        self.requeue = requeue
        self.variables = variables
        self.names_rcfile = not deliver and any(b"=" not in operand for operand in operands)
        """Whether the command line names an rcfile."""


def deliver(
    world: World,
    recipient: Recipient,
    read: Callable[[], bytes],
    setup: Setup,
    *,
    wait: bool = False,
    answers: Recalling | None = None,
    listen: Callable[[Trace], object] | None = None,
) -> Verdict:
    """Run the mail through the recipient's rcfiles; returns what became of it.

    `read` returns the mail.  It is called once, and a caller that keeps no copy lets a filter free a large mail.
    `wait` for the programs that no recipe waits for.  `answers` are known results about the mail.  `listen` is
    called with the stream of the run before anything happens.

    Raises only what `read` raises: every other error is in the verdict, with status 75.  In a clone, and in the
    process that continues after DELIVERED=yes, this does not return: the world ends them.  If root runs a mail for
    another user, the process is that user afterwards.  The working directory is the rcfile's last one.
    """
    host = world.host
    if host.geteuid() == 0 and recipient.user.uid != 0:
        host.take_groups(recipient.user)
    session = open_session(world, recipient, read(), setup)
    if answers is not None:
        session.mail.questions = answers
    if listen is not None:
        listen(session.trace)
    mask = world.mask(OWN_FILES)
    verdict = session.verdict
    try:
        verdict.status = _process(session, recipient, setup)
        if wait:
            aside(session, session.wait_for_programs)
    except Interrupted as interrupted:
        verdict.refuse(b"", b"signal %d" % interrupted.signum)
        verdict.status = endings.by_signal(session, interrupted.signum)
    except LateImportError as refused:
        verdict.refuse(b"", b"the module %b is needed too late" % refused.name.encode())
        verdict.status = endings.by_import(session, refused.name)
    except NotCompiledError as failed:
        verdict.refuse(failed.path, b"cannot be compiled now")
        verdict.status = endings.by_compiler(session, failed.path)
    except Exception as fault:  # noqa: BLE001  the edge of a session: whatever is wrong with us, the MTA keeps the mail
        verdict.refuse(b"", str(fault).encode(errors="backslashreplace"))
        verdict.status = endings.by_fault(session, fault)
    finally:
        aside(session, session.log.close)
        aside(session, lambda: world.mask(mask))
    verdict.reply = session.environment.get(b"REPLY", b"")
    return verdict


def open_session(world: World, recipient: Recipient, mail: bytes, setup: Setup) -> Session:
    """A session for a mail that is about to go through its rcfiles."""
    host = world.host
    user = recipient.user
    message = start.read_message(
        host, mail, recipient.origin, use_content_length=setup.content_length, strict=setup.strict
    )
    identity = Identity(user, setup.name, content_length=setup.content_length, strict=setup.strict)
    loader = setup.loader
    session = Session(
        world,
        Output(host),
        identity,
        message,
        setup.environment(host, recipient),
        lambda path: loader.load(session, path),
        setup.patterns,
        setup.plans,
    )
    session.toolbox = setup.toolbox
    session.reread = lambda source, passing: loader.reread(session, source, passing)
    session.take_identity = lambda: setup.become(host, user, loader)
    session.complete = lambda clone, ending: finish(clone, ending, requeue=recipient.requeue)
    if not recipient.names_rcfile and not recipient.mail_filter:
        session.variables.comsat = USUAL_COMSAT
    session.variables.arguments = list(recipient.arguments)
    if recipient.variables:
        session.environment.update(recipient.variables)
        session.variables.foreign.update(recipient.variables)
    session.trace.verbose = setup.verbose
    host.catch_signals(session.trace.set_verbose)
    return session


def _process(session: Session, recipient: Recipient, setup: Setup) -> int:
    """Run the phases; returns the exit status."""
    named = assign_operands(session, recipient)
    if named is None:
        return EX_OK
    if not recipient.mail_filter:
        session.variables.usable = {b"DEFAULT", b"ORGMAIL"} | session.variables.usable
        if _screen(session) == system_mailbox.AUTOFORWARDING and recipient.deliver:
            session.note("autoforwarding")
            session.verdict.refuse(b"", b"the system mailbox says that the mail goes elsewhere")
            return EX_NOUSER
    ending = interpreter.FELL_OFF
    if not named and not recipient.mail_filter and not recipient.preserve:
        ending = _run_global(session, setup.loader)
    if ending in (interpreter.FELL_OFF, interpreter.HOST_MISMATCH, interpreter.ABANDONED):
        privileged = session.host.geteuid() != session.identity.user.uid
        if privileged:
            session.take_identity()
        ending = run_rcfiles(session, recipient, named, setup.loader, privileged=privileged)
    if ending == _UNREADABLE:
        return _leave(session, _untouched(session, recipient))
    if ending == interpreter.LEFT:
        session.verdict.told_early = True
        return EX_OK
    return _leave(session, finish(session, ending, requeue=recipient.requeue))


def _untouched(session: Session, recipient: Recipient) -> int:
    """No rcfile says where the mail goes, perhaps because its file system is not mounted."""
    session.verdict.untouched = True
    status = EX_CANTCREAT if session.identity.strict and not recipient.requeue else EX_TEMPFAIL
    folder = b"**Requeued**" if status == EX_TEMPFAIL else b"**Bounced**"
    session.settle(session.message, folder, 0)
    return status


def _leave(session: Session, status: int) -> int:
    if session.clone:
        session.world.leave(status)
    return status


def _screen(session: Session) -> str:
    """Check the system mailbox, even if no mail will go there."""
    original = system_mailbox.mailbox_of(session.identity.user)
    if b"ORGMAIL" in session.variables.usable and session.environment.get(b"ORGMAIL") != original:
        return system_mailbox.USABLE
    strict = session.identity.strict
    found = session.world.screen(
        original,
        session.identity.user,
        suspend_s=session.variables.numbers[b"SUSPEND"],
        note=session.note_of_mailbox,
        advise=not strict,
    )
    if found == system_mailbox.UNUSABLE:
        session.variables.usable -= {b"DEFAULT", b"ORGMAIL"}
        # The mail can be delivered as soon as somebody makes the mailbox.
        session.fate.temporary = True
    return found


# -- the command line ------------------------------------------------------------------------


def assign_operands(session: Session, recipient: Recipient) -> list[rcfiles.Rcfile] | None:
    """Do the assignments of the command line; returns the rcfiles that it names.

    None if HOST says that this mail is not for this machine.
    """
    if recipient.deliver:
        return []
    user = session.identity.user
    found = []
    operands = list(recipient.operands)
    while operands:
        operand = operands.pop(0)
        if b"=" in operand:
            if _assign(session, operand) == END_RCFILES:
                return None
            continue
        found.append(rcfiles.locate(operand, user, mail_filter=recipient.mail_filter))
        if recipient.mail_filter:
            session.variables.arguments = operands
            break
    return found


def _assign(session: Session, operand: bytes) -> int:
    name, _, text = operand.partition(b"=")
    if not name or name_end(name, 0) != len(name):
        return 0
    # Nothing is split, quoted or not; several blanks outside quotes become one, and a # at the beginning is a comment.
    scan = scan_size(b"" if text.lstrip(BLANKS).startswith(b"#") else text)
    try:
        value = expand_value(session, scan.pieces, len(name) + 1)
    except LineTooLongError:
        session.exceeded_linebuf()
        return 0
    if scan.unterminated:
        session.note("unexpected-eol")
    return session.set(name, value)


# -- rcfiles ---------------------------------------------------------------------------------


def _run_global(session: Session, loader: Loader) -> str:
    """Run /etc/procmailrc, as the user that started us."""
    program = loader.load(session, rcfiles.GLOBAL)
    if program is None:
        return interpreter.FELL_OFF
    path = session.environment[b"PATH"]
    session.environment[b"PATH"] = SYSTEM_PATH
    session.environment.pop(b"MAILDIR", None)
    ending = interpreter.run(session, program, rcfiles.GLOBAL)
    session.fate.begin()
    if ending not in (interpreter.DELIVERED, interpreter.LEFT):
        session.set(b"PATH", path)
    return ending


def run_rcfiles(
    session: Session, recipient: Recipient, named: list[rcfiles.Rcfile], loader: Loader, *, privileged: bool
) -> str:
    """Run the first rcfile that can be read, and the next one if HOST says that the mail is not for us.

    `privileged`: until now we were root, whose VERBOSE does not apply to the recipient.
    """
    files = named or [rcfiles.default_rcfile(session.identity.user)]
    if privileged and session.world.exists(files[0].path):
        session.trace.verbose = False
    ending = ""
    complained = False
    for rcfile in files:
        try:
            program = loader.load(session, rcfile.path, rcfile)
            suspicious = False
        except rcfiles.SuspiciousError:
            session.note("suspicious-rcfile", rcfile.path)
            program = None
            suspicious = True
        if program is None:
            if suspicious or named:
                session.verdict.refuse(rcfile.path, b"suspicious rcfile" if suspicious else b"cannot be read")
                if not complained:
                    session.note("couldnt-read", rcfile.path)
                complained = True
            continue
        # The two are logged in the order of the reference.
        if rcfile.folder == b".":
            _enter(session, rcfile.folder)
        session.note("rcfile", rcfile.path)
        if rcfile.folder != b".":
            _enter(session, rcfile.folder)
        ending = interpreter.run(session, program, rcfile.path)
        if ending != interpreter.HOST_MISMATCH:
            return ending
    if ending:
        return ending
    return _UNREADABLE if recipient.mail_filter else interpreter.FELL_OFF


def _enter(session: Session, folder: bytes) -> None:
    """Enter MAILDIR before the first rcfile runs."""
    if session.environment.get(b"MAILDIR"):
        return
    if folder != b".":
        # A missing home is logged twice: once as the home, once as MAILDIR.
        try:
            session.world.enter(folder)
        except OSError:
            session.note("couldnt-chdir", folder)
    session.set(b"MAILDIR", folder)
