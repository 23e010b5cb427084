"""One message going through its filter files: everything that changes during the run."""

from __future__ import annotations

from pyprocmail.delivery.system_mailbox import mailbox_of
from pyprocmail.engine.trace import Trace
from pyprocmail.engine.verdict import Verdict
from pyprocmail.maildrop import arithmetic
from pyprocmail.matching import pcre
from pyprocmail.message import mime
from pyprocmail.message.model import field_places
from pyprocmail.numerals import leading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyprocmail.engine.tools import Toolbox
    from pyprocmail.host import User
    from pyprocmail.maildrop.areas import Lines
    from pyprocmail.maildrop.instructions import Program
    from pyprocmail.maildrop.log import Log
    from pyprocmail.maildrop.world import Database, World
    from pyprocmail.message.decoded import Decoded
    from pyprocmail.message.model import Message

    Loader = Callable[[bytes], "Program"]


WATCHDOG_S = 300.0
"""The longest time for a message.  maildrop(1), "Watchdog timer"."""

DEFAULTS = {
    b"PATH": b"/bin:/usr/bin:/usr/local/bin",
    b"SENDMAIL": b"/usr/sbin/sendmail -oi",
    b"LOCKEXT": b".lock",
    b"LOCKSLEEP": b"5",
    b"LOCKTIMEOUT": b"60",
    b"LOCKREFRESH": b"15",
}
"""Variables that start with these values, whatever the environment has.  maildropfilter(7), "Predefined variables"."""

_DEFAULT_UMASK = 0o077
_MOST_PATTERNS = 5000
_UNKNOWN_STATUS = b"18446744073709551615"


class FilterError(Exception):
    """Ends a run, unless it is in an exception block: the mail stays with the mail server.

    `kind` and `texts` are the note with the reason; `kind` is empty if the reason is in the log already.
    """

    def __init__(self, kind: str = "", *texts: bytes | int) -> None:
        super().__init__(kind, *texts)
        self.kind = kind
        self.texts = texts


class UnusableError(FilterError):
    """A filter file that cannot be read, must not be, or has a fault."""


class Finished(BaseException):
    """`exit`, or `to` (`delivered`): the run ends with `status`."""

    def __init__(self, status: int, *, delivered: bool) -> None:
        super().__init__(status)
        self.status = status
        self.delivered = delivered


class Settings:
    """The options of the command line.

    `name` is the name of our command.  `delivery`: the mail is the user's own; `embedded`: nothing may be delivered or
    started.  `warn_percent` and `warning` are -w and -W.
    """

    __slots__ = ("name", "user", "delivery", "embedded", "strict", "warn_percent", "warning")

    def __init__(
        self,
        name: bytes,
        user: User,
        *,
        delivery: bool = False,
        embedded: bool = False,
        strict: bool = False,
        warn_percent: int = 0,
        warning: bytes = b"/etc/quotawarnmsg",
    ) -> None:
        self.name = name
        self.user = user
        self.delivery = delivery
        self.embedded = embedded
        self.strict = strict
        self.warn_percent = warn_percent
        self.warning = warning


class Patterns:
    """Compiled patterns, for all messages of this process."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bool], pcre.Regex] = {}

    def get(self, text: bytes, *, fold: bool) -> pcre.Regex:
        """The compiled pattern.

        Raises:
            PatternError: it is not a valid pattern.
        """
        regex = self._known.get((text, fold))
        if regex is None:
            # Patterns with variables differ from message to message.
            if len(self._known) >= _MOST_PATTERNS:
                self._known.clear()
            regex = self._known[text, fold] = pcre.Regex(text, fold=fold)
        return regex


class Session:
    """The state of one run.

    `caller` is the caller's environment, `load` returns the program of a filter file.
    """

    def __init__(
        self,
        world: World,
        log: Log,
        settings: Settings,
        message: Message,
        caller: Mapping[bytes, bytes],
        load: Loader,
        patterns: Patterns,
    ) -> None:
        self.world = world
        self.host = host = world.host
        self.trace = Trace()
        self.note = self.trace.note
        self.trace.noted.append(log.note)
        self.verdict = Verdict()
        """What became of the mail so far; its status comes at the end."""
        self.log = log
        self.settings = settings
        self.final = False
        self.delivered = False
        self.caller = caller
        self.load = load
        self.variables: dict[bytes, bytes] = {}
        self.status = 0
        self.unwaited: list[int] = []
        self.toolbox: Toolbox | None = None
        self.verbose = 0
        self.embedded = settings.embedded
        self.file = b""
        self.depth = 0
        self.database: Database | None = None
        self._watchdog = host.monotonic() + WATCHDOG_S
        self._patterns = patterns
        self._view: mime.View | None = None
        self.areas: dict[tuple[bytes, bytes], Lines] = {}
        self.decoded: tuple[bytes, Decoded] | None = None
        """The trusted servers, and the decoded areas of the mail for them: see areas.py."""
        self._message = message

    # -- variables -------------------------------------------------------------------------

    def reset(self) -> None:
        """Set the first values of those variables that no user may choose for another."""
        user = self.settings.user
        self.variables.update(DEFAULTS)
        self.variables.update(
            {
                b"HOME": user.home,
                b"LOGNAME": user.name,
                b"SHELL": user.shell or b"/bin/sh",
                b"DEFAULT": mailbox_of(user),
            }
        )

    def value(self, name: bytes) -> bytes:
        """The value of a variable; empty if it is not set."""
        return self.variables.get(name, b"")

    def set(self, name: bytes, value: bytes) -> None:
        """Assign a variable, with the effect of that."""
        self.variables[name] = value
        for hear in self.trace.assigned:
            hear(self.trace.place, name, value)
        if name == b"VERBOSE":
            self.verbose = 0 if self.settings.delivery else arithmetic.verbosity(value)

    def unset(self, name: bytes) -> None:
        """Remove a variable."""
        self.variables.pop(name, None)
        for hear in self.trace.assigned:
            hear(self.trace.place, name, None)

    @property
    def environment(self) -> dict[bytes, bytes]:
        """The variables as programs get them."""
        return {
            name: value.partition(b"\0")[0]
            for name, value in self.variables.items()
            if name and b"=" not in name and b"\0" not in name
        }

    @property
    def umask(self) -> int:
        """UMASK, for new mailboxes."""
        text = self.value(b"UMASK").strip()
        mask = leading(text, 8) if text[:1].isdigit() else None
        return _DEFAULT_UMASK if mask is None else mask & 0o777

    def seconds(self, name: bytes) -> int:
        """A variable that is a number of seconds."""
        return arithmetic.seconds(self.value(name))

    def exit_status(self) -> int:
        """EXITCODE as the status of this process."""
        return arithmetic.setting(self.value(b"EXITCODE")) & 0xFF

    def set_status(self, name: bytes, status: int) -> None:
        """Set RETURNCODE or EXITCODE from the end of a program."""
        self.set(name, _UNKNOWN_STATUS if status < 0 else b"%d" % status)

    # -- the message -----------------------------------------------------------------------

    @property
    def message(self) -> Message:
        """The present mail."""
        return self._message

    @message.setter
    def message(self, message: Message) -> None:
        self._message = message
        self._view = None
        self.areas = {}
        self.decoded = None
        self.measure()

    def measure(self, added_lines: int = 0) -> None:
        """Set SIZE and LINES; as in maildrop, the `added_lines` of -A are not counted as lines of the mail."""
        data = self._message.data
        self.set(b"SIZE", b"%d" % len(data))
        self.set(b"LINES", b"%d" % (data.count(b"\n") - added_lines))

    @property
    def view(self) -> mime.View:
        """The mail as patterns see it."""
        if self._view is None:
            self._view = mime.View(self._message.data)
        return self._view

    def field(self, name: bytes) -> bytes:
        """The first line of the first field with this lower-case name, unchanged; empty if it is missing."""
        head = self._message.head
        for _, start, end in field_places(head, name + b":"):
            return head[start:end].strip()
        return b""

    def regex(self, text: bytes, *, fold: bool) -> pcre.Regex | None:
        """The compiled pattern; None, and an error message each time, if it is not valid."""
        try:
            return self._patterns.get(text, fold=fold)
        except pcre.PatternError as error:
            self.note("invalid-pattern", error.offset, text, error.reason.encode())
            return None

    # -- programs --------------------------------------------------------------------------

    def deadline(self) -> float:
        """When the watchdog ends the run, on the monotonic clock."""
        return self._watchdog

    def retry_after(self, tries: int) -> None:
        """maildrop gives up at once if the system has no process left."""

    def check_watchdog(self) -> None:
        """End a run that takes too long."""
        self.host.check_signals()
        if self.host.monotonic() > self._watchdog:
            raise FilterError("timeout")

    def swap_database(self, database: Database | None) -> Database | None:
        """Replace the database that gdbmopen opened; each filter file has its own."""
        opened, self.database = self.database, database
        return opened

    def done(self) -> None:
        """The message is stored.  After the last delivery nothing changes the status any more."""
        if self.final:
            self.delivered = True
            self.host.settle()

    def close(self) -> None:
        """Release what the run holds."""
        self.log.close()
        database, self.database = self.database, None
        if database is not None:
            database.close()
