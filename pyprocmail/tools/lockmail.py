"""lockmail: run a program while it holds three kinds of lock on a mailbox.  lockmail(1)"""

from __future__ import annotations

import errno
import os

from pyprocmail.delivery import dotlocks
from pyprocmail.exits import EX_TEMPFAIL
from pyprocmail.numerals import as_int, leading, whole
from pyprocmail.signals import AlarmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.delivery.locks import Lock
    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

_USAGE = b"Usage: lockmail [-r] [-t timeout] mailbox program arguments...\n"
_SLEEP_S = 5
_TRIES = 36
_STALE_S = 300
_LARGEST = 1024


def run(host: Host, argv: Sequence[bytes], environ: Mapping[bytes, bytes], note: Write) -> int:
    """Run lockmail with `argv`; returns the exit status."""
    words = list(argv[1:])
    read_only, tries = False, _TRIES
    while words and words[0].startswith(b"-") and len(words[0]) > 1:
        word = words.pop(0)
        if word == b"--":
            break
        if word == b"-r":
            read_only = True
        elif word.startswith(b"-t"):
            value = word[2:] or (words.pop(0) if words else b"")
            wait_s = as_int(leading(value) or 0)
            if wait_s < 0:
                note(b"lockmail: invalid argument to -t\n")
                return EX_TEMPFAIL
            tries = wait_s // _SLEEP_S + 1
        else:
            note(_USAGE)
            return 1
    if len(words) < 2:
        note(_USAGE)
        return 1
    locks = Locks(host, words[0], read_only=read_only)
    try:
        while not locks.take():
            if locks.removed_stale:
                locks.removed_stale = False
                continue
            tries -= 1
            host.sleep(_SLEEP_S)
            if tries <= 0:
                return EX_TEMPFAIL
    except OSError as error:
        note(b"lockmail: %b: %b\n" % (words[0], (error.strerror or "cannot be locked").encode()))
        return EX_TEMPFAIL
    try:
        return _run_program(host, words[1:], environ, note)
    finally:
        locks.release()


def _run_program(host: Host, argv: Sequence[bytes], environ: Mapping[bytes, bytes], note: Write) -> int:
    try:
        pid = host.spawn(argv, environ, stdin=0, stdout=1, stderr=2)
    except OSError as error:
        note(b"%b: %b\n" % (argv[0], (error.strerror or "cannot be started").encode()))
        return EX_TEMPFAIL
    status = host.wait(pid, None)
    return EX_TEMPFAIL if status is None or status < 0 else status


class Locks:
    """The C-client lock in /tmp, the dotlock and the kernel lock of a mailbox, which is created if it is missing.

    `removed_stale`: a stale lock was in the way and has been removed.
    """

    __slots__ = (
        "_host",
        "_path",
        "_read_only",
        "_mailbox",
        "_folder_lock",
        "_folder_path",
        "_dotlock",
        "removed_stale",
    )

    def __init__(self, host: Host, path: bytes, *, read_only: bool) -> None:
        self._host = host
        self._path = path
        self._read_only = read_only
        self._mailbox = self._folder_lock = -1
        self._folder_path = b""
        self._dotlock: Lock | None = None
        self.removed_stale = False

    def take(self) -> bool:
        """Take all three, or none.

        Raises:
            OSError: the mailbox cannot be opened, or a lock fails in a way that waiting does not help.
        """
        taken = False
        try:
            self._open()
            taken = self._take_folder_lock() and self._take_dotlock() and self._take_kernel_lock()
        finally:
            if not taken:
                self.release()
        return taken

    def release(self) -> None:
        """Release all locks."""
        host = self._host
        if self._dotlock is not None:
            self._dotlock.release()
            self._dotlock = None
        if self._folder_lock >= 0:
            try:
                host.unlink(self._folder_path)
            except OSError:
                pass  # another process removed it as stale
            host.close(self._folder_lock)
            self._folder_lock = -1
        if self._mailbox >= 0:
            host.close(self._mailbox)
            self._mailbox = -1

    def _open(self) -> None:
        host = self._host
        try:
            self._mailbox = host.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o600)
        except OSError:
            if not self._read_only:
                raise
            self._mailbox = host.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY, 0)

    def _take_folder_lock(self) -> bool:
        host = self._host
        status = host.fstat(self._mailbox)
        path = b"/tmp/.%x.%x" % (status.st_dev, status.st_ino)  # the name that C-client uses
        try:
            fd = host.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            self._remove_stale(path, [])
            return False
        self._folder_lock, self._folder_path = fd, path
        host.write(fd, b"%d" % host.getpid())
        return True

    def _take_dotlock(self) -> bool:
        host = self._host
        path = self._path + b".lock"
        try:
            self._dotlock = dotlocks.attempt(host, path, b"%d:%b\n" % (host.getpid(), host.hostname()))
        except dotlocks.NoLockError as error:
            # In the system's spool folder users can take only the kernel lock.
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            return True
        if self._dotlock is None:
            self._remove_stale(path, [host.hostname()])
        return self._dotlock is not None

    def _take_kernel_lock(self) -> bool:
        host = self._host
        try:
            with host.alarm(1):
                host.lock_to_end(self._mailbox)
        except AlarmError:
            return False
        except OSError:
            if not self._read_only:
                raise
        return True

    def _remove_stale(self, path: bytes, hosts: Sequence[bytes]) -> None:
        """Remove a lock whose process is gone, or, if that cannot be determined, one older than five minutes."""
        host = self._host
        try:
            fd = host.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0)
            try:
                status = host.fstat(fd)
                content = host.read(fd, _LARGEST)
            finally:
                host.close(fd)
        except OSError:
            return
        digits, _, where = content.strip().partition(b":")
        pid = whole(digits)
        known = pid is not None and (where in hosts if hosts else not where)
        old = host.time() - status.st_mtime > _STALE_S
        stale = not host.is_running(pid or 0) if known else old
        if stale:
            try:
                host.unlink(path)
                self.removed_stale = True
            except OSError:
                pass  # we may not remove it: the next try reports that
