"""The logs of a milter: a line for each mail, and its header.  A failure to log never delays a mail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyprocmail.engine.logfile import Limits, LogFile, open_log
from pyprocmail.exits import in_one_line
from pyprocmail.host import Host
from pyprocmail.message import attachments
from pyprocmail.servers.metrics import Metrics
from pyprocmail.servers.milter.conversation import SEARCHED_BYTES, Mail
from pyprocmail.tools.maillog import Entry, subject_of

COMPLAINT_S = 60.0
"""The shortest time between two reports that logging fails."""
LARGE_BYTES = 256 << 10
"""A larger mail is searched for attachments in a thread, so that no other mail waits."""
_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Format:
    """The format of a line: a JSON object, or mailspy's format; with `decode` the subject is in UTF-8."""

    json: bool = False
    decode: bool = False


class Journal:
    """Writes the logs.  `complain` reports failures to the administrator, at most once a minute.

    `log` and `header_log` are paths as in LOGFILE; empty for no such log.
    """

    def __init__(
        self,
        host: Host,
        log: bytes,
        header_log: bytes,
        *,
        form: Format,
        limits: Limits,
        metrics: Metrics,
        complain: Callable[[str], None],
    ) -> None:
        self._host = host
        self._paths = [path for path in (log, header_log) if path]
        self._log, self._header_log = log, header_log
        self._form = form
        self._limits = limits
        self._metrics = metrics
        self._complain = complain
        self._open: dict[bytes, LogFile] = {}
        self._complained = -COMPLAINT_S
        self._searching = ThreadPoolExecutor(1, "attachments")
        self._searches: set[asyncio.Future[Sequence[bytes]]] = set()

    def open(self) -> None:
        """Open the logs.

        Raises:
            OSError: one of them cannot be opened.
        """
        for path in self._paths:
            self._open[path] = open_log(self._host, path, _MODE, self._limits)

    def reopen(self) -> None:
        """Open the logs again after they were renamed; a log that cannot be opened again stays in use."""
        for path in self._paths:
            try:
                opened = open_log(self._host, path, _MODE, self._limits)
            except OSError as error:
                self._say(f"{path.decode(errors='replace')} cannot be opened: {error.strerror}")
                continue
            former = self._open.pop(path, None)
            self._open[path] = opened
            if former is not None:
                former.close()

    def close(self) -> None:
        """Close the logs."""
        for log in self._open.values():
            log.close()
        self._open.clear()

    def heard(self, mail: Mail) -> None:
        """Log a mail, and close it."""
        self._metrics.add("mails_total")
        self._metrics.add("bytes_total", mail.size)
        if not self._log or mail.size <= LARGE_BYTES:
            self._log_it(mail, lambda: _names(mail))
            return
        search = asyncio.get_running_loop().run_in_executor(self._searching, _names, mail)
        self._searches.add(search)
        search.add_done_callback(self._searches.discard)
        search.add_done_callback(lambda done: self._log_it(mail, done.result))

    async def settle(self) -> None:
        """Wait until all mails are logged."""
        await asyncio.gather(*self._searches, return_exceptions=True)

    def _log_it(self, mail: Mail, names: Callable[[], Sequence[bytes]]) -> None:
        try:
            self._write(mail, names)
        except Exception as error:  # noqa: BLE001  the mail is answered already; the next one must be logged
            self._metrics.add("failures_total")
            self._say(f"a mail could not be logged: {in_one_line(error)}")
        finally:
            mail.close()

    def _write(self, mail: Mail, names: Callable[[], Sequence[bytes]]) -> None:
        now = self._host.time()
        if self._log:
            entry = Entry(now, mail.sender, mail.recipients, mail.size, subject_of(bytes(mail.header)), names())
            self._append(self._log, entry.json() if self._form.json else entry.line(decode=self._form.decode))
        if self._header_log:
            stamp = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(now)).encode()
            head = b"From %b %b\nX-Timestamp: %d\n%b\n" % (one_line(mail.sender), stamp, now, bytes(mail.header))
            self._append(self._header_log, head)

    def _append(self, path: bytes, text: bytes) -> None:
        log = self._open.get(path)
        if log is None:
            raise OSError(f"{path.decode(errors='replace')} is not open")
        before = self._size(log)
        log.write(text)
        if before is not None and (after := self._size(log)) is not None and 0 <= after - before < len(text):
            raise OSError(f"{path.decode(errors='replace')} cannot be written")

    def _size(self, log: LogFile) -> int | None:
        """The size of the log; its growth shows whether a write succeeded, because LogFile does not report failures."""
        try:
            return self._host.fstat(log.fd).st_size
        except OSError:
            return None

    def _say(self, text: str) -> None:
        now = self._host.monotonic()
        if now - self._complained >= COMPLAINT_S:
            self._complained = now
            self._complain(text)


def _names(mail: Mail) -> Sequence[bytes]:
    return list(attachments.file_names(mail.text(SEARCHED_BYTES)))


def one_line(text: bytes) -> bytes:
    """The text with control characters as blanks, so that it stays on one line."""
    return text.translate(bytes.maketrans(bytes(range(0x20)), b" " * 0x20))
