"""One message going through its filter files: everything that changes during the run."""

from __future__ import annotations

from pyprocmail.matching import pcre
from pyprocmail.message import mime
from pyprocmail.program.numerals import integer_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from pyprocmail.engine.builtins import Toolbox
    from pyprocmail.engine.maildrop_log import Log
    from pyprocmail.host import Host, User
    from pyprocmail.message.model import Message
    from pyprocmail.program.instructions import Program

    Loader = Callable[[bytes], "Program"]

    class Database(Protocol):
        """An open gdbm database."""

        def get(self, key: bytes) -> bytes | None:
            """The value of the key."""

        def __setitem__(self, key: bytes, value: bytes) -> None: ...

        def close(self) -> None:
            """Give the file back."""


WATCHDOG_S = 300.0
"""How long a message may take.  maildrop(1), "Watchdog timer"."""

SPOOL = b"/var/mail/"
DEFAULTS = {
    b"PATH": b"/bin:/usr/bin:/usr/local/bin",
    b"SENDMAIL": b"/usr/sbin/sendmail -oi",
    b"LOCKEXT": b".lock",
    b"LOCKSLEEP": b"5",
    b"LOCKTIMEOUT": b"60",
    b"LOCKREFRESH": b"15",
}
"""Variables that start with these values, whatever the environment says.  maildropfilter(7), "Predefined variables"."""

_DEFAULT_UMASK = 0o077
_MOST_PATTERNS = 5000
_UNKNOWN_STATUS = b"18446744073709551615"


class FilterError(Exception):
    """What ends a run, unless an exception block is around it: the mail stays with the mail server.

    `text` has been said already where it is empty.
    """

    def __init__(self, text: bytes = b"") -> None:
        super().__init__(text)
        self.text = text


class UnusableError(FilterError):
    """A filter file that cannot be read, must not be, or has a fault."""


class Finished(BaseException):
    """`exit`, or `to` (`delivered`): the run ends with `status`."""

    def __init__(self, status: int, *, delivered: bool) -> None:
        super().__init__(status)
        self.status = status
        self.delivered = delivered


class Settings:
    """What the command line said.

    `name` is what we were called by.  `delivery`: the mail is the user's own; `embedded`: nothing may be delivered or
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
        """The pattern.

        Raises:
            PatternError: it is none.
        """
        regex = self._known.get((text, fold))
        if regex is None:
            # Patterns with variables in them are new with each message.
            if len(self._known) >= _MOST_PATTERNS:
                self._known.clear()
            regex = self._known[text, fold] = pcre.Regex(text, fold=fold)
        return regex


class Session:
    """The state of one run.

    `caller` is the environment that we were started with, `load` gives the program of a filter file.
    """

    def __init__(
        self,
        host: Host,
        log: Log,
        settings: Settings,
        message: Message,
        caller: Mapping[bytes, bytes],
        load: Loader,
        patterns: Patterns,
    ) -> None:
        self.host = host
        self.log = log
        self.settings = settings
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
        self.stdout = 1
        self.database: Database | None = None
        self._watchdog = host.monotonic() + WATCHDOG_S
        self._patterns = patterns
        self._view: mime.View | None = None
        self._message = message

    # -- variables -------------------------------------------------------------------------

    def reset(self) -> None:
        """Give the variables their first values that nobody may choose for somebody else."""
        user = self.settings.user
        self.variables.update(DEFAULTS)
        self.variables.update(
            {
                b"HOME": user.home,
                b"LOGNAME": user.name,
                b"SHELL": user.shell or b"/bin/sh",
                b"DEFAULT": SPOOL + user.name,
            }
        )

    def value(self, name: bytes) -> bytes:
        """The value of a variable; empty without."""
        return self.variables.get(name, b"")

    def set(self, name: bytes, value: bytes) -> None:
        """Assign a variable, with what that does."""
        self.variables[name] = value
        if name == b"VERBOSE":
            self.verbose = 0 if self.settings.delivery else integer_at(value)

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
        digits = b""
        for byte in self.value(b"UMASK").strip():
            if byte not in b"01234567":
                break
            digits += b"%c" % byte
        return int(digits, 8) & 0o777 if digits else _DEFAULT_UMASK

    def seconds(self, name: bytes) -> int:
        """A variable that is a number of seconds."""
        return max(integer_at(self.value(name)), 0)

    def exit_status(self) -> int:
        """EXITCODE as the status of this process."""
        return integer_at(self.value(b"EXITCODE")) & 0xFF

    def set_status(self, name: bytes, status: int) -> None:
        """RETURNCODE or EXITCODE: how a program ended."""
        self.set(name, _UNKNOWN_STATUS if status < 0 else b"%d" % status)

    # -- the message -----------------------------------------------------------------------

    @property
    def message(self) -> Message:
        """The mail as it stands."""
        return self._message

    @message.setter
    def message(self, message: Message) -> None:
        self._message = message
        self._view = None
        self.measure()

    def measure(self) -> None:
        """Set SIZE and LINES."""
        data = self._message.data
        self.set(b"SIZE", b"%d" % len(data))
        self.set(b"LINES", b"%d" % data.count(b"\n"))

    @property
    def view(self) -> mime.View:
        """The mail as patterns see it."""
        if self._view is None:
            self._view = mime.View(self._message.data)
        return self._view

    def field(self, name: bytes) -> bytes:
        """The value of the first field of the lower-case name as it stands, its first line only; empty without."""
        for line in self._message.head.split(b"\n"):
            found, colon, value = line.partition(b":")
            if colon and found.lower() == name:
                return value.strip()
        return b""

    def regex(self, text: bytes, *, fold: bool) -> pcre.Regex | None:
        """The compiled pattern; None, and a complaint each time, when it is none."""
        try:
            return self._patterns.get(text, fold=fold)
        except pcre.PatternError as error:
            self.log.say(
                b"Invalid regular expression, offset %d of: %b: %b" % (error.offset, text, error.reason.encode())
            )
            return None

    # -- programs --------------------------------------------------------------------------

    def note(self, kind: str, *texts: bytes | int) -> None:
        """What happens to a program; of that, maildrop says one thing."""
        if kind == "failed-to-execute":
            self.log.say(b"Unable to execute %b" % texts[0] if isinstance(texts[0], bytes) else b"")

    def deadline(self) -> float:
        """When the watchdog ends everything, on the monotonic clock."""
        return self._watchdog

    def check_watchdog(self) -> None:
        """End a run that takes too long."""
        self.host.check_signals()
        if self.host.monotonic() > self._watchdog:
            raise FilterError(b"Timeout quota exceeded.")

    def swap_database(self, database: Database | None) -> Database | None:
        """Put a database in the place of the one that gdbmopen opened; each filter file has its own."""
        opened, self.database = self.database, database
        return opened

    def close(self) -> None:
        """Give back what the run holds."""
        self.log.close()
        database, self.database = self.database, None
        if database is not None:
            database.close()
