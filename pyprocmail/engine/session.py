"""One message going through its rcfiles: everything that changes during the run."""

from __future__ import annotations

from pyprocmail.delivery.format import for_program
from pyprocmail.delivery.locks import LockHeldError, dotlock
from pyprocmail.engine import programs, variables
from pyprocmail.engine.trace import Trace
from pyprocmail.matching.regex import DIRECT, Area
from pyprocmail.message import content_length
from pyprocmail.message.model import Message, end_of_header
from pyprocmail.program import instructions as op
from pyprocmail.signals import Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.delivery.deliverer import Deliverer
    from pyprocmail.delivery.locks import Lock
    from pyprocmail.delivery.results import Delivered
    from pyprocmail.engine.ahead import Recalling, Recording
    from pyprocmail.engine.builtins import Toolbox
    from pyprocmail.engine.log import Log
    from pyprocmail.engine.plan import Plans
    from pyprocmail.host import Host, User
    from pyprocmail.matching.regex import Patterns, Questions
    from pyprocmail.program.instructions import Program

    Loader = Callable[[bytes], "Program | None"]

_MARGIN = 2
"""What the output of backquotes leaves free of LINEBUF."""

_WITHOUT_TEXT = (b"unexpected-eol", b"incomplete-recipe", b"missing-action", b"closing-brace-unexpected")
"""The notes of programs that have no text to show."""

_SETTINGS = dict(variables.DEFAULTS)


class Fate:
    """How the recipes so far went: what the flags A, a, E and e ask.

    `last` is for A: the conditions of the last recipe without A or a.  `previous` is for E and e.
    `succeeded` is about the last action.  `filter_failed` is about the last filter or capture that was waited
    for: what procmail says of those that it does not wait for.
    """

    __slots__ = ("last", "previous", "succeeded", "filter_failed")

    def __init__(self) -> None:
        self.last = False
        self.previous = False
        self.succeeded = False
        self.filter_failed = False


class Identity:
    """Who a run is for, and what the command line said about it."""

    __slots__ = ("user", "name", "content_length", "strict")

    def __init__(self, user: User, name: bytes, *, content_length: bool, strict: bool) -> None:
        self.user = user
        self.name = name
        self.content_length = content_length
        self.strict = strict


class Session:
    """The state of one run.  See the modules of engine/ for what is done with it.

    `load` gives the program of an rcfile, or None when the file cannot be read.  `patterns` may be
    shared by the sessions of a process.
    """

    TRAP_DECIDES = -2
    """The value of `exitcode` after `EXITCODE=` with nothing behind it, or what is no number."""

    def __init__(
        self,
        host: Host,
        log: Log,
        identity: Identity,
        message: Message,
        environment: dict[bytes, bytes],
        load: Loader,
        patterns: Patterns,
        plans: Plans | None = None,
    ) -> None:
        self.host = host
        self.log = log
        self.trace = Trace([log])
        self.note = self.trace.note
        self.identity = identity
        self.environment = environment
        self.load = load
        self.patterns = patterns
        self.plans = plans
        self.deliverer: Deliverer
        self.toolbox: Toolbox | None = None
        self.reread: Callable[[bytes, int | None], Program] | None = None
        """Makes the program of a text; the first block in that many others is one that is passed over."""
        self.comment_end = -1
        """Where the words of the last action end, if in a comment that is one because of a value; negative if not."""
        self.arguments: list[bytes] = []
        self.numbers = dict(variables.SECONDS)
        self.linebuf = 2048
        self.exitcode: int | None = None
        self.status = 0
        self.score = 0
        self.rcfile = b""
        self.fate = Fate()
        self.global_lock: Lock | None = None
        self.local_lock: Lock | None = None
        self.unwaited: list[int] = []
        self.folder = b""
        self.folder_base = b""
        self.size = 0
        self.temporary = False
        self.clone = False
        self.reported_delivered = False
        self.usable: set[bytes] = set()
        self.unset_names: set[bytes] = set()
        self.foreign: set[bytes] = {b"MATCH", b"LASTFOLDER"}
        self.comsat: tuple[str, int] | None = None
        self.stored: Delivered | None = None
        self.waiting_for = b""
        self.take_identity: Callable[[], None] = lambda: host.become(identity.user)
        self.header_joined = False
        """Whether the header was searched after the last recipe that was executed, and the last backquotes."""
        self._areas: dict[bytes, Area] = {}
        self.answers: dict[int, list[int]] = {}
        self.questions: Questions | Recording | Recalling = DIRECT
        self._message = message

    def note_pair(self, note: tuple[bytes, bytes]) -> None:
        """Log a note of the program."""
        kind, text = note
        if kind in (op.LENGTH, op.FORWARD_LENGTH):
            sender = self.sender() if kind == op.FORWARD_LENGTH else []
            if int(text) + sum(len(word) + 1 for word in sender) > self.linebuf:
                self.exceeded_linebuf()
        elif kind in _WITHOUT_TEXT:
            self.note(kind.decode())
        else:
            self.note(kind.decode(), text)

    def sender(self) -> list[bytes]:
        """The program that forwards mail, and its options."""
        flags = self.setting(b"SENDMAILFLAGS").replace(b"\t", b" ").replace(b"\n", b" ")
        return [self.setting(b"SENDMAIL"), *filter(None, flags.split(b" "))]

    # -- the message -----------------------------------------------------------------------

    @property
    def message(self) -> Message:
        """The mail as it stands."""
        return self._message

    @message.setter
    def message(self, message: Message) -> None:
        self._message = message
        self._areas = {}
        self.answers = {}
        self.questions = DIRECT

    def replace_message(self, data: bytes, split: int | None = None) -> None:
        """The mail is `data` from now on: what a filter made of it; `split` when its header has not changed."""
        message = Message(data, end_of_header(data, strict=self.identity.strict) if split is None else split)
        self.message = content_length.refit(message) if self.identity.content_length else message

    def setting(self, name: bytes) -> bytes:
        """A variable that has a default even where -p keeps it out of the environment."""
        value = self.environment.get(name)
        if value is None:
            value = b"" if name in self.unset_names else _SETTINGS.get(name, b"")
        return value

    def area(self, name: bytes) -> Area:
        """What a condition searches: H, B, HB, or the value of a variable."""
        if name == b"BH":
            name = b"HB"
        if name not in (b"H", b"B", b"HB"):
            return Area(self.environment.get(name, b"").partition(b"\0")[0])
        self.header_joined = self.header_joined or name != b"B"
        area = self._areas.get(name)
        if area is None:
            area = self._areas[name] = Area(self._area_text(name), name)
        return area

    def _area_text(self, name: bytes) -> bytes:
        if name == b"B":
            return self._message.body
        # A folded line is searched as one line: its newline counts as a blank, so that offsets
        # and sizes stay what they are.
        head = self._message.head.replace(b"\n ", b"  ").replace(b"\n\t", b" \t")
        return head if name == b"H" else head + self._message.body

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
            return b"%d" % len(self.arguments)
        if name == b"=":
            return b"%d" % self.score
        if name == b"_":
            return self.rcfile
        if name == b"-":
            return self.environment.get(b"LASTFOLDER")
        if name == b"0":
            return self.identity.name
        index = int(name) - 1
        return self.arguments[index] if index < len(self.arguments) else None

    def is_foreign(self, name: bytes) -> bool:
        """Whether the value may be text that a stranger wrote: of the mail, or of the address ($1).

        `foreign` holds MATCH, what programs said of the mail, and what was made of these.
        """
        return name in self.foreign or name == b"-" or (name.isdigit() and name != b"0")

    def set(self, name: bytes, value: bytes) -> int:
        """Assign a variable, with what that does; says how to go on."""
        self.note("assigning", name + b"=" + value)
        return self.assign_quietly(name, value)

    def assign_quietly(self, name: bytes, value: bytes) -> int:
        """As `set`, when the log has heard of it already."""
        self.environment[name] = value
        return variables.take_effect(self, name, value)

    def unset(self, name: bytes) -> int:
        """Remove a variable; a special one is reset."""
        self.note("assigning", name)
        self.environment.pop(name, None)
        self.unset_names.add(name)
        return variables.take_effect(self, name, None)

    def last_folder(self, name: bytes) -> None:
        """LASTFOLDER: told by the Deliverer, and by the actions that start programs."""
        self.folder = name
        self.set(b"LASTFOLDER", name)

    def notify_comsat(self, ended_as: bytes) -> None:
        """Tell the recipient's terminal.  procmailrc(5), COMSAT.

        `ended_as` is **Bounced** or its like, or empty when the mail is where LASTFOLDER says.
        """
        if self.comsat is not None:
            from pyprocmail.engine import comsat

            comsat.notify(self, ended_as)

    def exceeded_linebuf(self) -> None:
        """Log it, and let the rcfile see it.  procmailrc(5), PROCMAIL_OVERFLOW."""
        self.note("exceeded-linebuf")
        self.set(b"PROCMAIL_OVERFLOW", b"yes")

    # -- locks -----------------------------------------------------------------------------

    def take_lock(self, path: bytes) -> Lock | None:
        """Take a lockfile, None when there is no way to; that is logged.

        Raises:
            LockHeldError: it belongs to somebody else, for good.
        """
        seconds = self.numbers
        try:
            return dotlock(
                self.host,
                path,
                sleep_s=seconds[b"LOCKSLEEP"],
                stale_s=seconds[b"LOCKTIMEOUT"],
                suspend_s=seconds[b"SUSPEND"],
                note=self.note,
            )
        except LockHeldError:
            if self.identity.strict:
                return None
            raise
        except OSError:
            return None
        except Interrupted:
            self.waiting_for = b'lockfile "%b"' % path
            raise

    def release_local_lock(self) -> None:
        """Give the lockfile of the recipe back."""
        lock, self.local_lock = self.local_lock, None
        self._release(lock)

    def release_global_lock(self) -> None:
        """Give LOCKFILE back."""
        lock, self.global_lock = self.global_lock, None
        self._release(lock)

    def _release(self, lock: Lock | None) -> None:
        if lock is not None:
            self.note("unlocking", lock.path)
            if not lock.release():
                self.note("couldnt-unlock", lock.path)

    # -- programs --------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When a program that is started now has used up TIMEOUT, on the monotonic clock."""
        timeout = self.numbers[b"TIMEOUT"]
        return self.host.monotonic() + timeout if timeout > 0 else None

    def run_backquote(self, text: bytes, room: int) -> bytes:
        """What the command says, without its last newlines; at most `room` bytes of it."""
        command = programs.prepare(self, text, arguments=[])
        ended = programs.run(
            self, command, for_program(self._message).batches(), capture=True, limit=max(room - _MARGIN, 0)
        )
        self.status &= 0xFF
        self.header_joined = False
        if ended.timed_out:
            self.note("rescue-succeeded")
        if ended.overflow:
            self.note("output-quenched", command.name)
            self.set(b"PROCMAIL_OVERFLOW", b"yes")
            return ended.output.partition(b"\0")[0]
        return ended.output.rstrip(b"\n").partition(b"\0")[0]

    def become_clone(self) -> None:
        """After a fork: the locks are the parent's."""
        self.clone = True
        self.global_lock = self.local_lock = None
        self.unwaited = []

    def wait_for_programs(self) -> None:
        """Wait for the programs that no recipe waited for, each for what TIMEOUT allows."""
        for pid in self.unwaited:
            self.host.wait(pid, self.deadline())
        self.unwaited.clear()

    def drop_privileges(self) -> None:
        """DROPPRIVS: from now on we are the recipient."""
        self.note("assuming-identity")
        if self.host.geteuid() != self.identity.user.uid:
            self.log.verbose = False
            self.take_identity()
