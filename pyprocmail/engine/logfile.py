"""Where a log goes: a file, a file that is rotated, a named pipe, standard output, syslog.

No error here makes a delivery fail, and nothing here waits for long.
"""

from __future__ import annotations

import errno
import os
import select
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host

SYSLOG = b"syslog:"
STDOUT = b"/dev/stdout"
_SYSLOG_SOCKET = "/dev/log"
_FACILITIES = {
    b"kern": 0, b"user": 1, b"mail": 2, b"daemon": 3, b"auth": 4, b"syslog": 5, b"lpr": 6, b"news": 7, b"uucp": 8,
    b"cron": 9, b"authpriv": 10, b"ftp": 11, b"local0": 16, b"local1": 17, b"local2": 18, b"local3": 19,
    b"local4": 20, b"local5": 21, b"local6": 22, b"local7": 23,
}  # fmt: skip
_LEVELS = (b"emerg", b"alert", b"crit", b"err", b"warning", b"notice", b"info", b"debug")

_PATIENCE_S = 1.0
_STEP_S = 0.02
_ATOMIC_BYTES = 4096
"""A named pipe takes this much in one piece: PIPE_BUF."""

DEFAULT_KEEP = 4
LARGEST_KEEP = 999
"""A rotation looks for at most so many files."""


class Limits:
    """LOGFILE_MAXSIZE and LOGFILE_KEEP: with `max_bytes` 0 a log file is never rotated."""

    __slots__ = ("max_bytes", "keep")

    def __init__(self) -> None:
        self.max_bytes = 0
        self.keep = DEFAULT_KEEP


class LogFile:
    """An open log.  `fd` is standard error for the programs that a recipe starts."""

    __slots__ = ("_host", "fd")

    def __init__(self, host: Host, fd: int) -> None:
        self._host = host
        self.fd = fd

    def write(self, text: bytes) -> None:
        """Append the text in one piece, if at all possible."""
        try:
            while text:
                text = text[self._host.write(self.fd, text) :]
        except OSError:
            pass

    def close(self) -> None:
        """Close the descriptor."""
        self._host.close(self.fd)


class _RotatedFile(LogFile):
    """A regular file: renamed to .1, .2 ... when it has grown beyond its limit.

    Writers take a kernel lock on `path`.lock, and each checks that the file it has open
    still has that name: so no line is lost or torn, however many writers there are.
    """

    __slots__ = ("_path", "_mode", "_limits", "_identity")

    def __init__(self, host: Host, fd: int, path: bytes, mode: int, limits: Limits, status: os.stat_result) -> None:
        super().__init__(host, fd)
        self._path = path
        self._mode = mode
        self._limits = limits
        self._identity: tuple[int, int] | None = _identity(status)

    def write(self, text: bytes) -> None:
        if not self._limits.max_bytes or not text:
            super().write(text)
            return
        lock = self._lock()
        try:
            if lock >= 0:
                self._rotate(len(text))
            super().write(text)
        except OSError:
            pass
        finally:
            if lock >= 0:
                self._host.close(lock)

    def _lock(self) -> int:
        """The descriptor that has the lock; -1 if there is no lock: the line is then written without it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            lock = self._host.open(self._path + b".lock", flags, 0o600)
        except OSError:
            return -1
        if self._host.lock_whole(lock, _PATIENCE_S):
            return lock
        self._host.close(lock)
        return -1

    def _rotate(self, length: int) -> None:
        host, path = self._host, self._path
        try:
            status = host.stat(path)
        except FileNotFoundError:
            self._reopen()
            return
        mine = host.fstat(self.fd)
        if _identity(status) != _identity(mine):
            self._reopen()
        if not status.st_size or status.st_size + length <= self._limits.max_bytes:
            return
        for number in range(self._limits.keep - 1, 0, -1):
            try:
                host.rename(b"%b.%d" % (path, number), b"%b.%d" % (path, number + 1))
            except FileNotFoundError:
                continue
        if self._limits.keep > 0:
            host.rename(path, path + b".1")
        else:
            host.unlink(path)
        self._reopen()

    def _reopen(self) -> None:
        fd = _open(self._host, self._path, self._mode)
        self._host.close(self.fd)
        self.fd = fd
        self._identity = None

    def close(self) -> None:
        if self._identity is None:
            super().close()
        else:
            self._host.keep_log(self._path, self.fd, self._identity)


class _Pipe(LogFile):
    """A named pipe.  The log waits a moment for a slow reader, and not at all for one that is gone."""

    __slots__ = ()

    def write(self, text: bytes) -> None:
        deadline = self._host.monotonic() + _PATIENCE_S
        for piece in _pieces(text):
            while True:
                try:
                    self._host.write(self.fd, piece)
                    break
                except BlockingIOError:
                    left = deadline - self._host.monotonic()
                    if left <= 0 or not self._host.poll({self.fd: select.POLLOUT}, left):
                        return
                except OSError:
                    return


class _Syslog(LogFile):
    """The system's log: a datagram a line.  Standard error of programs is discarded."""

    __slots__ = ("_priority", "_send")

    def __init__(self, host: Host, priority: int) -> None:
        super().__init__(host, host.null_output())
        self._priority = priority
        self._send = host.datagrams(_SYSLOG_SOCKET)

    def write(self, text: bytes) -> None:
        for line in text.split(b"\n"):
            if line:
                self._send(b"<%d>procmail[%d]: %b" % (self._priority, self._host.getpid(), line))

    def close(self) -> None:
        super().close()
        self._send(b"")


class Output:
    """Where the log of a run and the standard error of programs go: to our standard error, until it is turned.

    `limits` are for the log file that is open and those opened later.  `turned`: it went elsewhere at
    least once.  `unread`: nobody reads the log, so nothing needs to be written.
    """

    __slots__ = ("_stderr", "_file", "limits", "turned", "unread")

    def __init__(self, host: Host, *, unread: bool = False) -> None:
        self._stderr = self._file = LogFile(host, 2)
        self.limits = Limits()
        self.turned = False
        self.unread = unread

    @property
    def fd(self) -> int:
        """The descriptor that is standard error for programs that a recipe starts."""
        return self._file.fd

    def write(self, text: bytes) -> None:
        """Append `text` unchanged."""
        self._file.write(text)

    def turn(self, file: LogFile) -> None:
        """Write to `file` from now on; it is closed when it is no longer needed."""
        self.close()
        self._file = file
        self.turned = True

    def close(self) -> None:
        """Write to standard error again."""
        file, self._file = self._file, self._stderr
        if file is not self._stderr:
            file.close()


def open_log(host: Host, path: bytes, mode: int, limits: Limits, *, stdout: int = 1) -> LogFile:
    """Open a log by its name: a path, `/dev/stdout` (the descriptor `stdout`), or `syslog:facility.level`.

    Raises:
        OSError: it cannot be opened; ENXIO: nobody reads the named pipe.
    """
    if path.startswith(SYSLOG):
        return _Syslog(host, _priority(path[len(SYSLOG) :]))
    if path == STDOUT:
        return LogFile(host, host.dup(stdout))
    try:
        status = host.stat(path)
    except FileNotFoundError:
        status = None
    if status is not None and stat.S_ISFIFO(status.st_mode):
        return _open_pipe(host, path)
    if not path.startswith(b"/"):
        path = host.getcwd() + b"/" + path
    kept = host.kept_log(path, status) if status is not None else None
    if status is not None and kept is not None:
        return _RotatedFile(host, kept, path, mode, limits, status)
    fd = _open(host, path, mode)
    status = host.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        return _RotatedFile(host, fd, path, mode, limits, status)
    return LogFile(host, fd)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _open(host: Host, path: bytes, mode: int) -> int:
    return host.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_CLOEXEC, mode)


def _open_pipe(host: Host, path: bytes) -> LogFile:
    """Try for a moment: to open a pipe that nobody reads would wait for ever."""
    deadline = host.monotonic() + _PATIENCE_S
    while True:
        try:
            return _Pipe(host, host.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0))
        except OSError as error:
            if error.errno != errno.ENXIO or host.monotonic() >= deadline:
                raise
        host.sleep(_STEP_S)


def _pieces(text: bytes) -> list[bytes]:
    """The text in pieces that a pipe takes whole, cut after newlines where possible."""
    pieces = []
    while len(text) > _ATOMIC_BYTES:
        cut = text.rfind(b"\n", 0, _ATOMIC_BYTES) + 1 or _ATOMIC_BYTES
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text] if text else pieces


def _priority(name: bytes) -> int:
    """The number of `facility.level`; by default mail and info."""
    facility, _, level = name.partition(b".")
    if (facility and facility not in _FACILITIES) or (level and level not in _LEVELS):
        raise OSError(errno.EINVAL, "no such facility or level")
    return _FACILITIES[facility or b"mail"] * 8 + _LEVELS.index(level or b"info")
