"""One message going through its rcfiles: everything that changes during the run."""

from __future__ import annotations

from pyprocmail.delivery.format import for_program
from pyprocmail.delivery.locks import LockHeldError
from pyprocmail.delivery.system_mailbox import mailbox_of
from pyprocmail.engine.trace import Trace
from pyprocmail.engine.verdict import Verdict
from pyprocmail.matching.regex import Area
from pyprocmail.message import content_length
from pyprocmail.message.model import Message, end_of_header
from pyprocmail.numerals import bounded
from pyprocmail.procmail import areas, command_lines, effects
from pyprocmail.procmail.compiled import instructions as op
from pyprocmail.procmail.fate import Fate
from pyprocmail.procmail.locks import Locks
from pyprocmail.procmail.log import Log
from pyprocmail.procmail.mail import Mail
from pyprocmail.procmail.variables import Variables
from pyprocmail.signals import Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyprocmail.delivery.locks import Lock
    from pyprocmail.delivery.results import Failed
    from pyprocmail.engine.logfile import Output
    from pyprocmail.engine.programs import Chunk, Command, Ended
    from pyprocmail.engine.tools import Toolbox
    from pyprocmail.engine.world import World
    from pyprocmail.host import User
    from pyprocmail.matching.regex import Patterns
    from pyprocmail.procmail.compiled.instructions import Program
    from pyprocmail.procmail.plan import Plans

    Loader = Callable[[bytes], "Program | None"]

_MARGIN = 2
"""This much of LINEBUF is not available to the output of backquotes."""

_WITHOUT_TEXT = (b"unexpected-eol", b"incomplete-recipe", b"missing-action", b"closing-brace-unexpected")
"""The notes of programs that have no text to show."""


class Identity:
    """The user that a run is for, and options of the command line."""

    __slots__ = ("user", "name", "content_length", "strict")

    def __init__(self, user: User, name: bytes, *, content_length: bool, strict: bool) -> None:
        self.user = user
        self.name = name
        self.content_length = content_length
        self.strict = strict


class Session:
    """The state of one run: its variables, its locks, the mail, and its fate.  Other modules work on it.

    `load` returns the program of an rcfile, or None if the file cannot be read.  `patterns` may be
    shared by the sessions of a process.
    """

    def __init__(
        self,
        world: World,
        log: Output,
        identity: Identity,
        message: Message,
        environment: dict[bytes, bytes],
        load: Loader,
        patterns: Patterns,
        plans: Plans | None = None,
    ) -> None:
        self.world = world
        self.host = host = world.host
        self.log = log
        self.trace = Trace()
        if not log.unread:
            Log(host, identity, self.trace, log)
        self.note = self.trace.note
        self.identity = identity
        self.variables = Variables(environment)
        self.locks = Locks(self.note)
        self.mail = Mail(message, self.note)
        self.fate = Fate()
        self.verdict = Verdict()
        """What became of the mail so far; its status comes at the end."""
        self.load = load
        self.patterns = patterns
        self.plans = plans
        self.toolbox: Toolbox | None = None
        self.reread: Callable[[bytes, int | None], Program] | None = None
        """Makes the program of a text; the first block inside so many others is passed over."""
        self.comment_end = -1
        """Where the words of the last action end, if a value turned the rest into a comment; else negative."""
        self.rcfile = b""
        self.status = 0
        """The exit code of the last program ($?)."""
        self.unwaited: list[int] = []
        self.clone = False
        self.waiting_for = b""
        self.take_identity: Callable[[], None] = lambda: host.become(identity.user)
        self.complete: Callable[[Session, str], int] = lambda _session, _ending: 0
        """Called when the rcfiles of a clone have ended, with the way they did; returns the status."""

    @property
    def environment(self) -> dict[bytes, bytes]:
        """The variables as programs get them."""
        return self.variables.environment

    def note_pair(self, note: tuple[bytes, bytes]) -> None:
        """Log a note of the program."""
        kind, text = note
        if kind in (op.LENGTH, op.FORWARD_LENGTH):
            sender = self.sender() if kind == op.FORWARD_LENGTH else []
            if int(text) + sum(len(word) + 1 for word in sender) > self.variables.linebuf:
                self.exceeded_linebuf()
        elif kind in _WITHOUT_TEXT:
            self.note(kind.decode())
        else:
            self.note(kind.decode(), text)

    def note_of_mailbox(self, kind: str, *texts: bytes) -> None:
        """Log a note about the system mailbox.  How to make it is logged only if the mail goes there in the end."""
        if kind == "make-mailbox":
            self.fate.advice = texts
        else:
            self.note(kind, *texts)

    def sender(self) -> list[bytes]:
        """The program that forwards mail, and its options."""
        flags = self.variables.setting(b"SENDMAILFLAGS").replace(b"\t", b" ").replace(b"\n", b" ")
        return [self.variables.setting(b"SENDMAIL"), *filter(None, flags.split(b" "))]

    # -- the message -----------------------------------------------------------------------

    @property
    def message(self) -> Message:
        """The present mail."""
        return self.mail.message

    def replace_message(self, data: bytes, split: int | None = None) -> None:
        """Replace the mail by `data`, the output of a filter; with `split` if its header has not changed."""
        message = Message(data, end_of_header(data, strict=self.identity.strict) if split is None else split)
        self.mail.replace(content_length.refit(message) if self.identity.content_length else message)
        for hear in self.trace.replaced:
            hear(self.trace.place, self.message)

    def is_area(self, name: bytes) -> bool:
        """Whether a condition of that name searches the mail, and not the value of a variable."""
        if name in areas.RAW:
            return True
        return name in areas.DECODED and name not in self.environment and not self.identity.strict

    def area(self, name: bytes) -> Area:
        """The text that a condition searches: an area of the mail, or the value of a variable."""
        if name in areas.RAW:
            mail = self.mail
            if name != b"B":
                mail.header_joined = True
            return mail.areas.raw(name)
        if self.is_area(name):
            servers = self.environment.get(areas.SERVERS) or self.host.hostname()
            return self.mail.areas.decoded(name, servers, self._ask)
        return Area(self.environment.get(name, b"").partition(b"\0")[0])

    def _ask(self, words: list[bytes], data: bytes) -> bytes:
        """The answer of another process about a mail: see engine/apart."""
        from pyprocmail.engine import apart

        return apart.ask(self.host, areas.MODULE, words, data, self.log.fd, self.deadline())

    # -- variables -------------------------------------------------------------------------

    def value_of(self, name: bytes) -> bytes | None:
        """The value of a variable or pseudo variable ($$ $? $# $= $_ $- $0 $1)."""
        first = name[:1]
        if first in b"$?#=_-0123456789{" and len(name) == 1:
            return self._pseudo_value(name)
        return self.environment.get(b"_" if name == b"{_}" else name)

    def _pseudo_value(self, name: bytes) -> bytes | None:
        if name == b"$":
            return b"%d" % self.host.getpid()
        if name == b"?":
            return b"%d" % self.status
        if name == b"#":
            return b"%d" % len(self.variables.arguments)
        if name == b"=":
            return b"%d" % self.fate.score
        if name == b"_":
            return self.rcfile
        if name == b"-":
            return self.environment.get(b"LASTFOLDER")
        if name == b"0":
            return self.identity.name
        index = bounded(name) - 1
        return self.variables.arguments[index] if index < len(self.variables.arguments) else None

    def set(self, name: bytes, value: bytes) -> int:
        """Assign a variable, with the effect of that; returns how to continue."""
        trace = self.trace
        if trace.verbose or trace.noted:
            self.note("assigning", name + b"=" + value)
        return self.assign_quietly(name, value)

    def decide(self) -> None:
        """The mail is delivered: from now on nothing in this run changes the status.

        A caller that gets a failure now would deliver the mail twice.
        """
        self.fate.delivered = True
        self.host.settle()

    def refuse(self, failed: Failed) -> None:
        """A folder did not take the mail: report it to the readers of the trace, and remember why."""
        self.verdict.refuse(failed.folder, failed.reason.encode(errors="backslashreplace"))
        for hear in self.trace.refused:
            hear(self.trace.place, failed)

    def settle(self, message: Message, folder: bytes, size: int) -> None:
        """The fate of the mail is decided: report where it went, as the abstract shows it."""
        for hear in self.trace.settled:
            hear(message, folder, size)

    def assign_quietly(self, name: bytes, value: bytes) -> int:
        """As `set`, if the assignment is in the log already."""
        self.variables.environment[name] = value
        trace = self.trace
        for hear in trace.assigned:
            hear((trace.rcfile, trace.offset), name, value)
        effect = effects.EFFECTS.get(name)
        return effects.GO_ON if effect is None else effect(self, value)

    def unset(self, name: bytes) -> int:
        """Remove a variable; a special one is reset."""
        self.note("assigning", name)
        self.environment.pop(name, None)
        self.variables.unset.add(name)
        for hear in self.trace.assigned:
            hear(self.trace.place, name, None)
        effect = effects.EFFECTS.get(name)
        return effects.GO_ON if effect is None else effect(self, None)

    def last_folder(self, name: bytes) -> None:
        """Set LASTFOLDER; called by the store, and by the actions that start programs."""
        self.fate.folder = name
        self.set(b"LASTFOLDER", name)

    def notify_comsat(self, ended_as: bytes) -> None:
        """Notify the recipient's terminal.  procmailrc(5), COMSAT.

        `ended_as` is a word such as **Bounced**, or empty if the mail is where LASTFOLDER says.
        """
        if self.variables.comsat is not None:
            from pyprocmail.procmail import comsat

            comsat.notify(self, ended_as)

    def exceeded_linebuf(self) -> None:
        """Log that LINEBUF is exceeded, and set PROCMAIL_OVERFLOW.  procmailrc(5)."""
        self.note("exceeded-linebuf")
        self.set(b"PROCMAIL_OVERFLOW", b"yes")

    # -- locks -----------------------------------------------------------------------------

    def take_lock(self, path: bytes) -> Lock | None:
        """Take a lockfile; None if that is impossible, which is logged.

        Raises:
            LockHeldError: the lockfile exists and cannot be removed.
        """
        seconds = self.variables.numbers
        try:
            lock = self.world.take(
                path,
                sleep_s=seconds[b"LOCKSLEEP"],
                stale_s=seconds[b"LOCKTIMEOUT"],
                suspend_s=seconds[b"SUSPEND"],
                note=self.note,
                spool=path == mailbox_of(self.identity.user) + b".lock",
            )
            for hear in self.trace.locked:
                hear(self.trace.place, lock.path)
            return lock
        except LockHeldError:
            if self.identity.strict:
                return None
            self.verdict.refuse(path, b"somebody else holds the lockfile")
            raise
        except OSError:
            return None
        except Interrupted:
            self.waiting_for = b'lockfile "%b"' % path
            raise

    # -- programs --------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When a program that starts now has used up TIMEOUT, on the monotonic clock."""
        timeout = self.variables.numbers[b"TIMEOUT"]
        return self.host.monotonic() + timeout if timeout > 0 else None

    def retry_after(self, tries: int) -> int | None:
        """How many seconds to wait if the system has no process left, after so many tries; None to give up."""
        most = self.variables.numbers[b"NORESRETRY"]
        return None if 0 <= most <= tries else self.variables.numbers[b"SUSPEND"]

    def run(
        self,
        command: Command,
        chunks: Iterable[Chunk],
        *,
        capture: bool = False,
        stdout: int | None = None,
        limit: int | None = None,
        wait: bool = True,
        wait_if_missing: bool = False,
    ) -> Ended:
        """Let a program read the chunks: see World.run."""
        ended = self.world.run(
            self,
            command,
            chunks,
            capture=capture,
            stdout=stdout,
            limit=limit,
            wait=wait,
            wait_if_missing=wait_if_missing,
        )
        for hear in self.trace.ran:
            hear(self.trace.place, command.line, ended.status, ended.timed_out)
        return ended

    def run_backquote(self, text: bytes, room: int) -> bytes:
        """The output of the command, without its last newlines; at most `room` bytes of it."""
        command = command_lines.prepare(self, text, arguments=[])
        command.purpose = "backquotes"
        ended = self.run(command, for_program(self.mail.message).batches(), capture=True, limit=max(room - _MARGIN, 0))
        self.status &= 0xFF
        self.mail.header_joined = False
        if ended.timed_out:
            self.note("rescue-succeeded")
        if ended.overflow:
            self.note("output-quenched", command.name)
            self.set(b"PROCMAIL_OVERFLOW", b"yes")
            return ended.output.partition(b"\0")[0]
        return ended.output.rstrip(b"\n").partition(b"\0")[0]

    def copy(self) -> Session:
        """A copy of this session, which continues from here independently."""
        other = object.__new__(Session)
        other.__dict__.update(self.__dict__)
        other.variables = self.variables.copy()
        other.locks = self.locks.copy(self.note)
        other.mail = self.mail.copy(self.note)
        other.fate = self.fate.copy()
        return other

    def become_clone(self) -> None:
        """After a fork: the locks belong to the parent."""
        self.clone = True
        self.fate.delivered = False
        self.locks.leave()
        self.unwaited = []

    def wait_for_programs(self) -> None:
        """Wait for the programs that no recipe waited for, each as long as TIMEOUT allows."""
        for pid in self.unwaited:
            self.host.wait(pid, self.deadline())
        self.unwaited.clear()

    def drop_privileges(self) -> None:
        """DROPPRIVS: from now on we are the recipient."""
        self.note("assuming-identity")
        if self.host.geteuid() != self.identity.user.uid:
            self.trace.verbose = False
            self.take_identity()
