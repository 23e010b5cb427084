"""maildrop's words: on standard error, and in its log file.  maildropfilter(7), "log, logfile"."""

from __future__ import annotations

from pyprocmail.engine.logfile import Limits, LogFile, open_log
from pyprocmail.message.postmark import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.message.model import Message

_WIDTH = 72

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
"""What -V 6 calls the operators."""


class Log:
    """Standard error, and the file of `logfile`.  A failing log never fails a delivery."""

    __slots__ = ("_host", "_name", "_file", "_stderr", "limits")

    def __init__(self, host: Host, name: bytes) -> None:
        self._host = host
        self._name = name
        self._file: LogFile | None = None
        self._stderr = LogFile(host, 2)
        self.limits = Limits()

    @property
    def fd(self) -> int:
        """Standard error, of programs as well."""
        return 2

    def say(self, text: bytes) -> None:
        """A line on standard error."""
        self._stderr.write(text + b"\n")

    def complain(self, text: bytes) -> None:
        """A line on standard error with our name before it."""
        self._stderr.write(b"%b: %b\n" % (self._name, text))

    def open(self, path: bytes) -> None:
        """Log to the file `path` from now on.

        Raises:
            OSError: it cannot be opened.
        """
        opened = open_log(self._host, path, 0o600, self.limits)
        self.close()
        self._file = opened

    def close(self) -> None:
        """Log no more."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def write(self, text: bytes) -> None:
        """Append `text` to the log file, if there is one."""
        if self._file is not None:
            self._file.write(text)

    def write_delivery(self, message: Message, target: bytes, size: int, *, failed: bool) -> None:
        """The lines that say where a mail went."""
        if self._file is None:
            return
        number = b"(%d)" % size
        room = _WIDTH - len(number) - 1
        kind = b"!Err: " if failed else b"File: "
        lines = [
            b"Date: " + timestamp(self._host.localtime()),
            b"From: " + _value(message.head, b"from")[:_WIDTH],
            b"Subj: " + _value(message.head, b"subject")[:_WIDTH],
            kind + target[:room].ljust(room) + b" " + number,
        ]
        self.write(b"\n".join(lines) + b"\n\n")


def _value(head: bytes, name: bytes) -> bytes:
    """The first lines of all fields of the name, one behind the other."""
    values = []
    wanted = b"\n" + name + b":"
    lower = b"\n" + head.lower()
    at = lower.find(wanted)
    while at >= 0:
        # `head` lacks the newline in front, so its offsets are one less.
        start = at + len(wanted) - 1
        end = head.find(b"\n", start)
        values.append(head[start : end if end >= 0 else len(head)].lstrip())
        at = lower.find(wanted, start)
    return b"".join(values)
