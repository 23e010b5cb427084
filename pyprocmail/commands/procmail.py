"""procmail: one mail from standard input through rcfiles, or with -m a mailbox of them.

This path does not go through click: it is what a mail server starts for every message.
procmail(1).
"""

from __future__ import annotations

import io

from pyprocmail import __version__
from pyprocmail.commands import options as command_line
from pyprocmail.commands.loader import Loader
from pyprocmail.commands.toolbox import Toolbox
from pyprocmail.delivery import system_mailbox
from pyprocmail.delivery.deliverer import Deliverer
from pyprocmail.engine import builtins, endings, procmail, rcfiles, start
from pyprocmail.engine.expansion import LineTooLongError, expand_list
from pyprocmail.engine.finish import finish
from pyprocmail.engine.log import Log
from pyprocmail.engine.session import Identity, Session
from pyprocmail.engine.variables import END_RCFILES, STRICT, USUAL_COMSAT
from pyprocmail.exits import (
    EX_CANTCREAT,
    EX_NOINPUT,
    EX_NOPERM,
    EX_NOUSER,
    EX_OK,
    EX_TEMPFAIL,
    EX_USAGE,
    LateImportError,
    NotCompiledError,
)
from pyprocmail.host import Host, User
from pyprocmail.matching.regex import Patterns
from pyprocmail.program.pieces import name_end
from pyprocmail.program.words import scan_list
from pyprocmail.signals import SIGTERM, Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyprocmail.commands.options import Input, Options
    from pyprocmail.engine.ahead import Recalling
    from pyprocmail.engine.plan import Plans
    from pyprocmail.program.instructions import Program

_READ = 1 << 20


def main(argv: list[bytes], host: Host, caller: Mapping[bytes, bytes], given: Input) -> int:
    """Run procmail with `argv`, whose first word is the name we were called by."""
    name = argv[0].rpartition(b"/")[2]
    as_recipient = not name.startswith((b"procmail", b"pyprocmail"))
    options = command_line.parse(argv[1:], as_recipient=as_recipient)
    for message in options.messages:
        _complain(host, message)
    if options.action:
        return _answer(host, options.action)
    return Run(host, argv[0], caller, options).run(given)


def _answer(host: Host, action: str) -> int:
    if action == "version":
        text = f"pyprocmail {__version__}, a drop-in for procmail 3.23pre\n"
        _complain(host, text.encode() + b"Locking strategies:\tdotlocking, fcntl()\n")
        return EX_OK
    if action == "help":
        _complain(host, command_line.USAGE + command_line.HELP)
    else:
        _complain(host, b"procmail: LMTP is not spoken here: see pyprocmail(1)\n")
    return EX_USAGE


def _complain(host: Host, text: bytes) -> None:
    try:
        host.write(2, text)
    except OSError:
        pass


class Run:
    """What stays the same for every message of this process."""

    def __init__(self, host: Host, name: bytes, caller: Mapping[bytes, bytes], options: Options) -> None:
        self.host = host
        self.name = name
        self.caller = dict(caller)
        self.options = options
        self.strict = caller.get(STRICT) == b"yes"
        self.invoker = _user_of(host, host.getuid())
        self.rcfile_given = not options.deliver and any(b"=" not in operand for operand in options.operands)
        self.origin = start.Origin(
            host, self.invoker, sender=options.sender, deliver=options.deliver, override=options.override
        )
        self.environments: dict[tuple[int, int], dict[bytes, bytes]] = {}
        self.loader = Loader()
        self.patterns = Patterns()
        self.toolbox = Toolbox() if caller.get(builtins.SWITCH) != b"no" else None
        self.plans: Plans | None = None
        self.unreadable = False
        self.stdout = -1
        self.verbose = False

    def run(self, given: Input) -> int:
        """Deliver what is on standard input; the exit status."""
        self._set_stdout_aside()
        self.host.catch_signals(self._set_verbose)
        try:
            return self._run(given)
        except Interrupted as interrupted:
            return endings.before_session(self.host, interrupted.signum, strict=self.strict)

    def _set_verbose(self, on: bool) -> None:
        """What a signal says before there is a log."""
        self.verbose = on

    def _run(self, given: Input) -> int:
        options = self.options
        if options.mail_filter and not any(b"=" not in operand for operand in options.operands):
            _complain(self.host, b"procmail: Missing rcfile\n")
            return EX_NOINPUT
        if options.deliver:
            return self._deliver_to_recipients()
        user = self._filter_user()
        if options.mail_filter and given.mode != command_line.SINGLE:
            from pyprocmail.commands.descriptors import is_mailbox

            if given.mode == command_line.MBOX or is_mailbox(self.host):
                from pyprocmail.commands.mailbox import filter_mailbox

                return filter_mailbox(self, given)
        return self.deliver(user, _read_all(self.host))

    def _set_stdout_aside(self) -> None:
        """Keep standard output for a mail that is to go there; for everybody else it is /dev/null."""
        host = self.host
        self.stdout = host.dup(1)
        null = host.null_output()
        host.dup2(null, 1)
        host.close(null)

    # -- whom for --------------------------------------------------------------------------

    def _deliver_to_recipients(self) -> int:
        """-d: each recipient in a process of its own, unless there is only one."""
        host = self.host
        if host.geteuid() == 0:
            self.strict = False
            if not start.is_zone(self.caller.get(b"TZ", b"")):
                host.forget_zone()
        recipients = [(name, self._find(name)) for name in self.options.operands]
        users = [user for _, user in recipients if user is not None]
        if host.geteuid() != 0 and any(user.uid != host.getuid() for user in users):
            _complain(host, b"procmail: Insufficient privileges\n")
            return EX_NOPERM
        data = _read_all(host) if users else b""
        status = EX_OK
        for name, user in recipients[:-1]:
            ended = self._deliver_in_child(user, data) if user is not None else self._unknown(name)
            if ended and (users or status):
                status = self._of_several(ended)
        name, user = recipients[-1]
        ended = self.deliver(user, data) if user is not None else self._unknown(name)
        return ended if ended == EX_NOUSER else status or ended

    def _deliver_in_child(self, user: User, data: bytes) -> int:
        pid = self.host.fork()
        if not pid:
            self.host.exit_now(self.deliver(user, data))
        try:
            return self.host.wait(pid, None) or EX_OK
        except Interrupted:
            self.host.kill(pid, SIGTERM)
            raise

    def _unknown(self, name: bytes) -> int:
        _complain(self.host, b'procmail: Unknown user "%b"\n' % _as_looked_up(name))
        return EX_NOUSER

    def _of_several(self, status: int) -> int:
        """What remains of the status of a recipient who is not the last one."""
        return EX_TEMPFAIL if self.options.requeue or status < 0 or status == EX_TEMPFAIL else EX_CANTCREAT

    def _filter_user(self) -> User:
        """Who is to run the rcfile of -m: its owner, if it is one that root keeps in /etc/procmailrcs."""
        host, options = self.host, self.options
        if not options.mail_filter:
            return self.invoker
        operands = list(options.operands)
        rcfile = next(operand for operand in operands if b"=" not in operand)
        if not rcfile.startswith(rcfiles.GLOBAL_FOLDER):
            return self.invoker
        if rcfile is operands[0] and not options.preserve:
            owner = rcfiles.special_owner(host, rcfile)
            if owner is not None and host.geteuid() in (0, owner.uid):
                return owner
        _complain(host, b'procmail: Denying special privileges for "%b"\n' % rcfile)
        return self.invoker

    def _become(self, user: User) -> None:
        """Give up being root for good; nobody else has anything to give up."""
        if self.host.geteuid() == 0 and user.uid != 0:
            from pyprocmail.commands import privileges

            privileges.drop(self.host, user)
            self.loader.compile = privileges.compile_apart

    def _find(self, recipient: bytes) -> User | None:
        return self.host.user_by_name(recipient) or self.host.user_by_name(_as_looked_up(recipient))

    # -- one message -----------------------------------------------------------------------

    def deliver(self, user: User, data: bytes, *, wait: bool = False, answers: Recalling | None = None) -> int:
        """Run the mail through its rcfiles; `wait` for the programs that no recipe waits for.

        `answers` is what is known of the mail already.
        """
        if self.host.geteuid() == 0 and user.uid != 0:
            self.host.take_groups(user)
        session = self.session(user, data, Log(self.host, stdout=self.stdout))
        if answers is not None:
            session.questions = answers
        try:
            status = self._process(session)
            if wait:
                session.wait_for_programs()
            return status
        except Interrupted as interrupted:
            return endings.by_signal(session, interrupted.signum)
        except LateImportError as refused:
            return endings.by_import(session, refused.name)
        except NotCompiledError as failed:
            return endings.by_compiler(session, failed.path)
        except Exception as fault:  # noqa: BLE001  the edge of a session: whatever is wrong with us, the MTA keeps the mail
            return endings.by_fault(session, fault)
        finally:
            session.log.close()

    def session(self, user: User, data: bytes, log: Log) -> Session:
        """One message about to go through its rcfiles."""
        host, options = self.host, self.options
        log.verbose = self.verbose
        origin, use_content_length = self.origin, not options.berkeley
        message = start.read_message(host, data, origin, use_content_length=use_content_length, strict=self.strict)
        identity = Identity(user, self.name, content_length=use_content_length, strict=self.strict)
        session = Session(
            host,
            log,
            identity,
            message,
            self._environment(user),
            lambda path: self.loader.load(session, path),
            self.patterns,
            self.plans,
        )
        session.deliverer = Deliverer(host, session, stdout=self.stdout)
        session.toolbox = self.toolbox
        session.reread = lambda source, passing: self.loader.reread(session, source, passing)
        session.take_identity = lambda: self._become(user)
        if not self.rcfile_given and not options.mail_filter:
            session.comsat = USUAL_COMSAT
        session.arguments = list(options.arguments)
        host.catch_signals(session.log.set_verbose)
        host.umask(0o077)
        return session

    def _environment(self, user: User) -> dict[bytes, bytes]:
        """A copy of the variables that this user's first rcfile sees."""
        key = (user.uid, self.host.geteuid())
        found = self.environments.get(key)
        if found is None:
            options = self.options
            found = self.environments[key] = start.environment(
                self.caller,
                self.host,
                user,
                preserve=options.preserve,
                mail_filter=options.mail_filter,
                rcfile_given=self.rcfile_given,
            )
        return found.copy()

    def _process(self, session: Session) -> int:
        host, options = self.host, self.options
        named = self.operands(session)
        if named is None:
            return EX_OK
        if not options.mail_filter:
            session.usable = {b"DEFAULT", b"ORGMAIL"} | session.usable
            if self._screen(session) == system_mailbox.AUTOFORWARDING and options.deliver:
                session.note("autoforwarding")
                return EX_NOUSER
        ending = procmail.FELL_OFF
        if not named and not options.mail_filter and not options.preserve:
            ending = self._run_global(session)
        if ending in (procmail.FELL_OFF, procmail.HOST_MISMATCH, procmail.ABANDONED):
            privileged = host.geteuid() != session.identity.user.uid
            if privileged:
                session.take_identity()
            ending = self.run_rcfiles(session, named, privileged=privileged)
        if ending == "unreadable":
            self.unreadable = True
            # Nothing was read that says where the mail goes.
            status = EX_CANTCREAT if session.identity.strict or self._is_missing(session, named[0]) else EX_TEMPFAIL
            status = EX_TEMPFAIL if options.requeue else status
            folder = b"**Requeued**" if status == EX_TEMPFAIL else b"**Bounced**"
            session.log.write_abstract(session.message, folder, 0)
            return self._leave(session, status)
        if ending == procmail.LEFT:
            return EX_OK
        return self._leave(session, finish(session, ending, requeue=options.requeue))

    def _leave(self, session: Session, status: int) -> int:
        if session.clone:
            self.host.exit_now(status)
        return status

    def _exists(self, rcfile: rcfiles.Rcfile) -> bool:
        try:
            self.host.stat(rcfile.path)
        except OSError:
            return False
        return True

    def _is_missing(self, session: Session, rcfile: rcfiles.Rcfile) -> bool:
        try:
            self.host.stat(rcfile.path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False
        return False

    def _screen(self, session: Session) -> str:
        """The system mailbox is looked at even when nothing will go there."""
        original = start.mailbox_of(session.identity.user)
        if b"ORGMAIL" in session.usable and session.environment.get(b"ORGMAIL") != original:
            return system_mailbox.USABLE
        found = system_mailbox.screen(
            self.host, original, session.identity.user, suspend_s=session.numbers[b"SUSPEND"], note=session.note
        )
        if found == system_mailbox.UNUSABLE:
            session.usable -= {b"DEFAULT", b"ORGMAIL"}
        return found

    def operands(self, session: Session) -> list[rcfiles.Rcfile] | None:
        """Do the assignments of the command line; the rcfiles it names.

        None when HOST says that this mail is not for this machine.
        """
        options = self.options
        if options.deliver:
            return []
        user = session.identity.user
        found = []
        operands = list(options.operands)
        while operands:
            operand = operands.pop(0)
            if b"=" in operand:
                if self._assign(session, operand) == END_RCFILES:
                    return None
                continue
            found.append(rcfiles.locate(operand, user, mail_filter=options.mail_filter))
            if options.mail_filter:
                session.arguments = operands
                break
        return found

    def _assign(self, session: Session, operand: bytes) -> int:
        name, _, text = operand.partition(b"=")
        if not name or name_end(name, 0) != len(name):
            return 0
        scan = scan_list(text, 0)
        try:
            value = b" ".join(expand_list(session, scan.pieces, len(name) + 1).words)
        except LineTooLongError:
            session.exceeded_linebuf()
            return 0
        return session.set(name, value)

    def program(self) -> Program | None:
        """The program of the rcfile of -m, if it can be read."""
        session = self.session(self.invoker, b"", Log(self.host, stdout=self.stdout))
        named = [operand for operand in self.options.operands if b"=" not in operand]
        return self.loader.load(session, named[0])

    # -- rcfiles ---------------------------------------------------------------------------

    def _run_global(self, session: Session) -> str:
        """/etc/procmailrc, as whoever started us."""
        program = self.loader.load(session, rcfiles.GLOBAL)
        if program is None:
            return procmail.FELL_OFF
        path = session.environment[b"PATH"]
        session.environment[b"PATH"] = b"/usr/local/bin:/usr/bin:/bin"
        session.environment.pop(b"MAILDIR", None)
        ending = procmail.run(session, program, rcfiles.GLOBAL)
        session.fate = type(session.fate)()
        if ending not in (procmail.DELIVERED, procmail.LEFT):
            session.set(b"PATH", path)
        return ending

    def run_rcfiles(self, session: Session, named: list[rcfiles.Rcfile], *, privileged: bool) -> str:
        """The first rcfile that can be read; a further one when HOST says that it is not for us.

        `privileged`: until now we were root, whose VERBOSE is not the recipient's.
        """
        files = named or [rcfiles.default_rcfile(session.identity.user)]
        if privileged and self._exists(files[0]):
            session.log.verbose = False
        ending = ""
        complained = False
        for rcfile in files:
            try:
                program = self.loader.load(session, rcfile.path, rcfile)
                suspicious = False
            except rcfiles.SuspiciousError:
                session.note("suspicious-rcfile", rcfile.path)
                program = None
                suspicious = True
            if program is None:
                if (suspicious or named) and not complained:
                    session.note("couldnt-read", rcfile.path)
                    complained = True
                continue
            # The two are logged in the order of the reference.
            first = files[0].folder
            if first == b".":
                self._enter(session, first)
            session.note("rcfile", rcfile.path)
            if first != b".":
                self._enter(session, first)
            ending = procmail.run(session, program, rcfile.path)
            if ending != procmail.HOST_MISMATCH:
                return ending
        if ending:
            return ending
        return "unreadable" if self.options.mail_filter else procmail.FELL_OFF

    def _enter(self, session: Session, folder: bytes) -> None:
        """MAILDIR before the first rcfile has a say."""
        if session.environment.get(b"MAILDIR"):
            return
        if folder != b".":
            # A home that is not there is complained of twice: once as the home, once as MAILDIR.
            try:
                self.host.chdir(folder)
            except OSError:
                session.note("couldnt-chdir", folder)
        session.set(b"MAILDIR", folder)


def _read_all(host: Host) -> bytes:
    """Standard input.  BytesIO gives its buffer away uncopied, so a large mail is held once."""
    buffer = io.BytesIO()
    while chunk := host.read_waiting(0, _READ):
        buffer.write(chunk)
    return buffer.getvalue()


def _user_of(host: Host, uid: int) -> User:
    user = host.user_by_id(uid)
    return user or User(b"#%d" % uid, uid, host.getgid(), b"/", b"/bin/sh")


def _as_looked_up(recipient: bytes) -> bytes:
    return recipient.partition(b"@")[0].lower()
