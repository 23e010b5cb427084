"""The programs that -s starts, one for each mail."""

from __future__ import annotations

import errno

from pyprocmail.exits import EX_UNAVAILABLE
from pyprocmail.numerals import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.host import Host


class Numbering:
    """FILENO: the number of the next program, with the start and the width that the environment gives."""

    __slots__ = ("_environ", "_number", "_width")

    def __init__(self, environ: Mapping[bytes, bytes]) -> None:
        self._environ = environ
        preset = environ.get(b"FILENO", b"000")
        self._number: int | None = 0
        digits = preset.lstrip(b" \t\n\v\f\r")
        digits = digits[1:] if digits[:1] in (b"+", b"-") else digits
        if digits.isdigit():
            self._number = -bounded(digits) if preset.lstrip()[:1] == b"-" else bounded(digits)
        elif preset:
            self._number = None
        self._width = len(preset) - (self._number is not None and self._number < 0)

    def environment(self) -> Mapping[bytes, bytes]:
        """The environment of the next program."""
        if self._number is None:
            return self._environ
        number = b"%0*d" % (self._width, self._number)
        self._number += 1
        return {**self._environ, b"FILENO": number}


class Programs:
    """The children: at most `limit` at a time; 0: one after another; less than 0: any number."""

    __slots__ = ("_argv", "_feed", "_host", "_limit", "_pids", "_status")

    def __init__(self, host: Host, argv: Sequence[bytes], limit: int) -> None:
        self._host = host
        self._argv = argv
        self._limit = limit
        self._pids: list[int] = []
        self._feed = -1
        self._status = 0

    def start(self, environment: Mapping[bytes, bytes]) -> Callable[[bytes], None]:
        """Start the program for the next mail; returns the function that writes to it.

        Raises:
            OSError: no process can be started.
        """
        if 0 < self._limit <= len(self._pids):
            self._reap_one()
        host = self._host
        stdin, self._feed = host.pipe()
        try:
            self._pids.append(self._spawn(environment, stdin))
        finally:
            host.close(stdin)
        return self._write

    def _spawn(self, environment: Mapping[bytes, bytes], stdin: int) -> int:
        while True:
            try:
                return self._host.spawn(self._argv, environment, stdin=stdin, stdout=1, stderr=2)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    break
                if not self._pids:
                    raise
                self._reap_one()
        # If it cannot be executed, the shell tries: it may be a script, or the shell prints the error.
        shell = [b"/bin/sh", *self._argv]
        return self._host.spawn(shell, environment, stdin=stdin, stdout=1, stderr=2)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._host.write(self._feed, rest) :]

    def feed_ended(self) -> None:
        """The mail is complete: let its program finish."""
        if self._feed < 0:
            return
        self._host.close(self._feed)
        self._feed = -1
        if not self._limit:
            self._reap_one()

    def finish(self) -> int:
        """Wait for all programs; the first exit status that was not 0."""
        while self._pids:
            self._reap_one()
        return self._status

    def _reap_one(self) -> None:
        pid, status = self._host.wait_any(self._pids)
        self._pids.remove(pid)
        if not self._status:
            self._status = EX_UNAVAILABLE if status < 0 else status
