"""maildrop's messages: on standard error, and in its log file.  maildropfilter(7), "log, logfile".

A note is a kind and its texts.  The table gives the reference's own words.
"""

from __future__ import annotations

from pyprocmail.engine.logfile import Limits, LogFile
from pyprocmail.message.model import field_places
from pyprocmail.message.postmark import timestamp
from pyprocmail.message.visible import blanked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.maildrop.world import World

_WIDTH = 72

NAMED, PLAIN = True, False
"""Whether our name is in front of a line."""

NOTES: dict[str, tuple[bytes, bool]] = {
    # Lines for -V; the first texts are the filter file and the line.
    "sender": (b"Message envelope sender=%b", PLAIN),
    "changing-folder": (b"Changing to %b", NAMED),
    "attempting": (b"Attempting %b", NAMED),
    "if-evaluating": (b"%b(%d): Evaluating IF condition.", PLAIN),
    "if-evaluated": (b"%b(%d): IF evaluated, result=%b", PLAIN),
    "while-evaluating": (b"%b(%d): Evaluating WHILE condition.", PLAIN),
    "while-evaluated": (b"%b(%d): While condition evaluated, result=%b", PLAIN),
    "trapping": (b"%b(%d): Trapping exceptions.", PLAIN),
    "trapped": (b"%b(%d): Trapped exception.", PLAIN),
    "trap-removed": (b"%b(%d): Exception trapping removed.", PLAIN),
    "creating-dotlock": (b"%b(%d): Creating dotlock %b", PLAIN),
    "creating-flock": (b"%b(%d): Creating flock %b", PLAIN),
    "opening-logfile": (b"%b(%d): Opening logfile %b", PLAIN),
    "opening-include": (b"%b(%d): Opening include file %b", PLAIN),
    "importing": (b'%b(%d): import  "%b"', PLAIN),
    "unsetting": (b"%b(%d): unset %b", PLAIN),
    "assigning": (b'%b(%d): %b="%b"', PLAIN),
    "operation-on-two": (b"%b(%d): Operation on: %b and %b - %b, result is %b", PLAIN),
    "operation-on": (b"%b(%d): Operation on: %b - %b.", PLAIN),
    "operation-result": (b"%b(%d): Operation: %b=%b", PLAIN),
    "logical-left": (b"%b(%d): Operation: %b, left hand side=%b", PLAIN),
    "logical-right": (b"%b(%d): Operation: %b, evaluating right hand size.", PLAIN),
    "logical-result": (b"%b(%d): Operation: %b, result=%b", PLAIN),
    "substr-from": (b"%b(%d): Operation on: %b - strsubstr %d", PLAIN),
    "substr-count": (b"%b(%d): Operation on: %b - strsubstr chop %d", PLAIN),
    "substr-result": (b"%b(%d): Operation:  strsubstr=%b", PLAIN),
    "hasaddr": (b"hasaddr('%b')", NAMED),
    "hasaddr-field": (b"hasaddr: rfc822 parsing: %b\n", NAMED),
    "hasaddr-found": (b"hasaddr: rfc822 parsed: %b", NAMED),
    "matching": (b"Matching /%b/ against %b", PLAIN),
    "not-matched": (b"Not matched.", PLAIN),
    "searched": (b"%b(%d): Search of %b = %b", PLAIN),
    "delivering": (b"Delivering to %b", NAMED),
    "delivering-to-program": (b"Delivering to |%b", NAMED),
    "delivery-complete": (b"Delivery complete.", NAMED),
    "flocking": (b"Flock()ing %b.", NAMED),
    "appending": (b"Appending to %b.", NAMED),
    "substituting": (b"Filtering through `%b`", NAMED),
    "running": (b"Executing system command %b", NAMED),
    "filtering": (b"Filtering through xfilter %b", NAMED),
    # the filter file
    "diagnostic": (b"%b", NAMED),
    "diagnostic-place": (b"%b", PLAIN),
    "no-closing-brace": (b"%b(%d): Terminating } is missing.\n", PLAIN),
    "bad-pattern": (b"%b(%d): Syntax error in /pattern/.\n", PLAIN),
    "invalid-pattern": (b"Invalid regular expression, offset %d of: %b: %b", PLAIN),
    "bad-pattern-in-file": (b"Bad pattern in %b: %b\n", NAMED),
    "limit-in-file": (b"Match limit exceeded, taken for no match: %b: /%b/", PLAIN),
    "not-decoded": (b"Unable to decode the message.", PLAIN),
    "limit": (b"%b(%d): Match limit exceeded, taken for no match: /%b/", PLAIN),
    "too-many-includes": (b"%b(%d): Too many included files.", PLAIN),
    "unopened-include": (b"Unable to open include file.", NAMED),
    "unopened-filter": (b"Unable to open filter file, errno=%d.", NAMED),
    "endless-filter": (b"More than %d bytes, or no end to them, in %b.", NAMED),
    "uncompiled": (b"Unable to compile the filter file.", NAMED),
    "nested-too-deeply": (b"The filter file is nested too deeply.", NAMED),
    "filter-not-regular": (b"mailfilter file isn't a regular file.", NAMED),
    "filter-wrong-owner": (b"mailfilter file is owned by the wrong user.", NAMED),
    "filter-writable": (b"Invalid permissions on the filter file - world-writable.", NAMED),
    "filters-not-directory": (b"$HOME/.mailfilters should be a directory.", NAMED),
    "filters-wrong-owner": (b".mailfilters is owned by the wrong user.", NAMED),
    "filters-writable": (b"Invalid permissions on .mailfilters - world-writable.", NAMED),
    # the user
    "identity-refused": (b"Cannot set my user or group id.", NAMED),
    "no-home": (b"Unable to change to home directory.", NAMED),
    "home-wrong-owner": (b"Home directory owned by wrong user.", NAMED),
    "home-writable": (b"Invalid home directory permissions - world writable.", NAMED),
    # running it
    "signal": (b"signal 0x%02X", NAMED),
    "late-import": (b"No longer root, refusing to import %b.", NAMED),
    "timeout": (b"Timeout quota exceeded.", NAMED),
    "failed-to-execute": (b"Unable to execute %b", PLAIN),
    "endless-output": (b"More than %d bytes of output.", PLAIN),
    "filter-unread": (b"error writing to filter.", NAMED),
    "unfiltered": (b"Unable to filter message.", NAMED),
    "unopened-file": (b"Unable to open %b.\n", NAMED),
    "endless-file": (b"More than %d bytes, or no end to them, in %b.\n", NAMED),
    "log-unread": (b"Nobody reads the log %b.", NAMED),
    "no-log": (b"Unable to create log file.", NAMED),
    "no-flock": (b"Unable to create flock file.", NAMED),
    "no-dotlock": (b"Unable to create a dot-lock at %b.\n", NAMED),
    "database-embedded": (b"Open gdbm file for write in embedded mode not allowed.", NAMED),
    "no-database-library": (b"This machine has no gdbm library, which gdbmopen needs.", NAMED),
    # folders
    "unopened-mailbox": (b"Unable to open mailbox.", NAMED),
    "undelivered": (b"Unable to deliver to mailbox.", NAMED),
    "error-writing": (b"error writing to mailbox.", NAMED),
    "over-quota": (b"maildir over quota.", NAMED),
}
"""The words for each kind of note."""

DELIVERIES = {"delivered": b"File: ", "not-delivered": b"!Err: "}
"""The line on a delivery or its failure: its texts are the header, the target and the number of bytes."""


def words(kind: str, texts: tuple[bytes | int, ...]) -> bytes:
    """The line for a note, without our name."""
    return NOTES[kind][0] % texts


OPERATIONS = {
    b"+": b"add",
    b"-": b"subtract",
    b"*": b"multiply",
    b"/": b"divide",
    b"<": b"less than",
    b"<=": b"less than or equal",
    b">": b"greater than",
    b">=": b"greater than or equal",
    b"==": b"equal",
    b"!=": b"not equal",
    b"lt": b"string less than",
    b"le": b"string less than or equal",
    b"gt": b"string greater than",
    b"ge": b"string grater than or equal",
    b"eq": b"string equal",
    b"ne": b"string not equal",
    b"|": b"bitwise or",
    b"&": b"bitwise and",
}
"""The names of the operators in the output of -V 6."""


class Log:
    """The reader of the stream that writes standard error, and the file of `logfile`.

    A log that fails never makes a delivery fail.
    """

    __slots__ = ("_host", "_name", "_file", "_stderr", "limits", "strict")

    def __init__(self, host: Host, name: bytes) -> None:
        self._host = host
        self._name = name
        self._file: LogFile | None = None
        self._stderr = LogFile(host, 2)
        self.limits = Limits()
        self.strict = False
        """Whether control characters of the mail are written unchanged."""

    @property
    def fd(self) -> int:
        """Standard error, for programs too."""
        return 2

    def say(self, text: bytes) -> None:
        """Write a line to standard error."""
        self._stderr.write(self._shown(text) + b"\n")

    def complain(self, text: bytes) -> None:
        """Write a line to standard error with our name in front."""
        self._stderr.write(b"%b: %b\n" % (self._name, self._shown(text)))

    def note(self, kind: str, texts: tuple[bytes | int, ...]) -> None:
        """Write the line for a note, if it has words: the engine reports more of programs than maildrop logs."""
        if kind in DELIVERIES:
            head, target, size = texts
            assert isinstance(head, bytes)
            assert isinstance(target, bytes)
            assert isinstance(size, int)
            self._write_delivery(DELIVERIES[kind], head, target, size)
        elif kind in NOTES:
            (self.complain if NOTES[kind][1] == NAMED else self.say)(words(kind, texts))

    def _shown(self, text: bytes) -> bytes:
        return text if self.strict else blanked(text)

    def open(self, world: World, path: bytes) -> None:
        """Log to the file `path` from now on.

        Raises:
            OSError: it cannot be opened.
        """
        opened = world.open_log(path, 0o600, self.limits)
        self.close()
        self._file = opened

    def close(self) -> None:
        """Close the log file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def write(self, text: bytes) -> None:
        """Append `text` to the log file, if there is one."""
        if self._file is not None:
            self._file.write(text)

    def _write_delivery(self, kind: bytes, head: bytes, target: bytes, size: int) -> None:
        """Write the lines on the delivery of a mail."""
        if self._file is None:
            return
        number = b"(%d)" % size
        room = _WIDTH - len(number) - 1
        lines = [
            b"Date: " + timestamp(self._host.localtime()),
            b"From: " + _value(head, b"from")[:_WIDTH],
            b"Subj: " + _value(head, b"subject")[:_WIDTH],
            kind + target[:room].ljust(room) + b" " + number,
        ]
        self.write(b"\n".join(self._shown(line) for line in lines) + b"\n\n")


def _value(head: bytes, name: bytes) -> bytes:
    """The first lines of all header fields of the name, one after the other."""
    return b"".join(head[start:end].lstrip() for _, start, end in field_places(head, name + b":"))
