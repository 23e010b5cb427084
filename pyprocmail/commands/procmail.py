"""procmail: runs one mail from standard input through rcfiles, or with -m a mailbox.

This path does not use click: a mail server starts it for every message.  procmail(1).
"""

from __future__ import annotations

import io

from pyprocmail import __version__
from pyprocmail.commands import options as command_line
from pyprocmail.commands.compiler import compile_here
from pyprocmail.commands.toolbox import Toolbox
from pyprocmail.engine import tools
from pyprocmail.engine.world import World
from pyprocmail.exits import (
    EX_CANTCREAT,
    EX_NOINPUT,
    EX_NOPERM,
    EX_NOUSER,
    EX_OK,
    EX_TEMPFAIL,
    EX_USAGE,
    MailTooLargeError,
)
from pyprocmail.host import Host, User
from pyprocmail.procmail import endings, rcfiles, run, start
from pyprocmail.procmail.compiled.variables import STRICT
from pyprocmail.procmail.run import Recipient, Setup
from pyprocmail.signals import SIGTERM, Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyprocmail.commands.options import Input, Options
    from pyprocmail.engine.verdict import Verdict
    from pyprocmail.procmail.ahead import Recalling
    from pyprocmail.procmail.rcfiles import Loader

_READ = 1 << 20


def main(argv: list[bytes], host: Host, caller: Mapping[bytes, bytes], given: Input) -> int:
    """Run procmail with `argv`, whose first word is the name under which we were called."""
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
        _complain(host, b"procmail: LMTP is not spoken here: see pyprocmail-lmtp(8)\n")
        return EX_TEMPFAIL
    return EX_USAGE


def _complain(host: Host, text: bytes) -> None:
    try:
        host.write(2, text)
    except OSError:
        pass


class Run:
    """One call of procmail: the recipient, and everything that is the same for each mail of this process."""

    def __init__(self, host: Host, name: bytes, caller: Mapping[bytes, bytes], options: Options) -> None:
        self.host = host
        self.options = options
        toolbox = Toolbox() if caller.get(tools.SWITCH) != b"no" else None
        self.setup = Setup(
            name,
            caller,
            compile_here,
            _become,
            toolbox=toolbox,
            strict=caller.get(STRICT) == b"yes",
            content_length=not options.berkeley,
        )
        self.invoker = _user_of(host, host.getuid())
        self.origin = start.Origin(
            host, self.invoker, sender=options.sender, deliver=options.deliver, override=options.override
        )
        self.stdout = -1

    def run(self, given: Input) -> int:
        """Deliver the mail on standard input; returns the exit status."""
        self.host.umask(run.OWN_FILES)
        self._set_stdout_aside()
        self.host.catch_signals(self.setup.set_verbose)
        try:
            return self._run(given)
        except Interrupted as interrupted:
            return endings.before_session(self.host, interrupted.signum, strict=self.setup.strict)

    def _run(self, given: Input) -> int:
        options = self.options
        if options.mail_filter and not any(b"=" not in operand for operand in options.operands):
            _complain(self.host, b"procmail: Missing rcfile\n")
            return EX_NOINPUT if self.setup.strict or self.host.isatty(0) else EX_TEMPFAIL
        if options.deliver:
            return self._deliver_to_recipients()
        user = self._filter_user()
        if options.mail_filter and given.mode != command_line.SINGLE:
            from pyprocmail.commands.descriptors import is_mailbox

            if given.mode == command_line.MBOX or is_mailbox(self.host):
                from pyprocmail.commands.mailbox import filter_mailbox

                return filter_mailbox(self, given)
        return self.deliver(user, lambda: _read_all(self.host)).status

    def _set_stdout_aside(self) -> None:
        """Keep standard output for a mail that is delivered there; everything else writes to /dev/null."""
        host = self.host
        self.stdout = host.dup(1)
        null = host.null_output()
        host.dup2(null, 1)
        host.close(null)

    # -- recipients ------------------------------------------------------------------------

    def _deliver_to_recipients(self) -> int:
        """-d: each recipient in a separate process, but the last one in this process."""
        host = self.host
        if host.geteuid() == 0:
            self.setup.strict = False
            if not start.is_zone(self.setup.caller.get(b"TZ", b"")):
                host.forget_zone()
        try:
            recipients = [(name, self._find(name)) for name in self.options.operands]
        except OSError as error:
            _complain(host, b"procmail: The user database cannot be read: %b\n" % (error.strerror or "").encode())
            return EX_TEMPFAIL
        users = [user for _, user in recipients if user is not None]
        if host.geteuid() != 0 and any(user.uid != host.getuid() for user in users):
            _complain(host, b"procmail: Insufficient privileges\n")
            return EX_NOPERM if self.setup.strict else EX_TEMPFAIL
        data = _read_all(host) if users else b""
        status = EX_OK
        for name, user in recipients[:-1]:
            ended = self._deliver_in_child(user, data) if user is not None else self._unknown(name)
            if ended and (users or status):
                status = self._of_several(ended)
        name, user = recipients[-1]
        ended = self.deliver(user, lambda: data).status if user is not None else self._unknown(name)
        return ended if ended == EX_NOUSER else status or ended

    def _deliver_in_child(self, user: User, data: bytes) -> int:
        pid = self.host.fork()
        if not pid:
            self.host.exit_now(self.deliver(user, lambda: data).status)
        try:
            return self.host.wait(pid, None) or EX_OK
        except Interrupted:
            self.host.kill(pid, SIGTERM)
            raise

    def _unknown(self, name: bytes) -> int:
        _complain(self.host, b'procmail: Unknown user "%b"\n' % _as_looked_up(name))
        return EX_NOUSER

    def _of_several(self, status: int) -> int:
        """The exit status that counts for a recipient other than the last one."""
        return EX_TEMPFAIL if self.options.requeue or status < 0 or status == EX_TEMPFAIL else EX_CANTCREAT

    def _filter_user(self) -> User:
        """The user who runs the rcfile of -m: its owner, if root keeps it in /etc/procmailrcs."""
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

    def _find(self, recipient: bytes) -> User | None:
        found = self.host.user_by_name(recipient) or self.host.user_by_name(_as_looked_up(recipient))
        if found is None:
            from pyprocmail.commands import user_database

            user_database.check(_as_looked_up(recipient))
        return found

    # -- one message -----------------------------------------------------------------------

    def recipient(self, user: User) -> Recipient:
        """The Recipient of a mail, from the user and the command line."""
        options = self.options
        return Recipient(
            user,
            self.origin,
            operands=options.operands,
            arguments=options.arguments,
            deliver=options.deliver,
            mail_filter=options.mail_filter,
            preserve=options.preserve,
            requeue=options.requeue,
        )

    def deliver(
        self, user: User, read: Callable[[], bytes], *, wait: bool = False, answers: Recalling | None = None
    ) -> Verdict:
        """Run the mail through the rcfiles; see procmail/run."""
        world = World(self.host, stdout=self.stdout)
        return run.deliver(world, self.recipient(user), read, self.setup, wait=wait, answers=answers)


def _become(host: Host, user: User, loader: Loader) -> None:
    """Give up root for good; other users have no privileges to give up."""
    if host.geteuid() == 0 and user.uid != 0:
        from pyprocmail.commands import privileges

        privileges.drop(host, user)
        loader.compile = privileges.compile_apart


def _read_all(host: Host) -> bytes:
    """All of standard input.  BytesIO returns its buffer without a copy, so memory has a large mail once."""
    buffer = io.BytesIO()
    limit = host.largest_mail()
    while chunk := host.read_waiting(0, _READ):
        if buffer.tell() + len(chunk) > limit:
            raise MailTooLargeError(limit)
        buffer.write(chunk)
    return buffer.getvalue()


def _user_of(host: Host, uid: int) -> User:
    user = host.user_by_id(uid)
    return user or User(b"#%d" % uid, uid, host.getgid(), b"/", b"/bin/sh")


def _as_looked_up(recipient: bytes) -> bytes:
    return recipient.partition(b"@")[0].lower()
