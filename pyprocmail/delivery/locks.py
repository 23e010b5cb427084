"""Dotlocks: a lock is a file, made by link(2) so that it works over NFS as well."""

from __future__ import annotations

import errno
import os

from pyprocmail.delivery import names
from pyprocmail.exits import PyprocmailError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.host import Host

    Note = Callable[..., None]

ATTEMPTS = 8
LARGEST_LOCK_BYTES = 16
_RETRIED = (errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.ENOTDIR, errno.EIO)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_HARD_LINKS = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class LockHeldError(PyprocmailError):
    """The lockfile `path` exists and cannot be removed."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.path = path


class LockRefusedError(PyprocmailError, OSError):
    """The directory is not writable (EACCES, EPERM, EROFS): no lockfile can be made in it.

    The system mailbox still gets the mail: there the kernel lock is enough.
    """


class Lock:
    """A lockfile that is ours until `release`."""

    __slots__ = ("_host", "_identity", "path")

    def __init__(self, host: Host, path: bytes, identity: tuple[int, int]) -> None:
        self._host = host
        self._identity = identity
        self.path = path

    def release(self) -> bool:
        """Remove the lockfile; False if it could not be removed (log "couldnt-unlock").

        A lockfile with which another process replaced ours stays.
        """
        try:
            now = self._host.lstat(self.path)
            # Before the unlink: from then on the same inode may be another process's lock.
            self._host.disclaim(self.path)
            if (now.st_dev, now.st_ino) != self._identity:
                return False
            self._host.unlink(self.path)
        except OSError:
            return False
        return True


class _Temporary:
    """The temporary file that becomes a lock: its name and its status."""

    __slots__ = ("path", "identity", "made_at", "status")

    def __init__(self, path: bytes, status: os.stat_result) -> None:
        self.path = path
        self.status = status
        self.identity = (status.st_dev, status.st_ino)
        # By the clock of the file system, which on NFS is not this machine's.
        self.made_at = status.st_mtime


def dotlock(host: Host, path: bytes, *, sleep_s: int = 8, stale_s: int = 1024, suspend_s: int = 16, note: Note) -> Lock:
    """Take the lockfile `path`; the Lock is released by its `release()`.

    Waits `sleep_s` seconds between attempts.  A lockfile of at most 16 bytes whose mtime is more than
    `stale_s` seconds old is removed, followed by a wait of `suspend_s` seconds; with `stale_s` 0 it is
    never removed.  `note(kind, *texts)` is called with "locking", "forcing-lock", "lock-failure" and so
    on; the caller notes "unlocking".  Lock.path may be shorter than `path`: too long a name is cut.

    Raises:
        LockHeldError: the stale lock cannot be removed.
        LockRefusedError: an OSError: the directory is not writable.
        OSError: the lock could not be made, mostly after eight attempts.

    procmailrc(5) LOCKSLEEP, LOCKTIMEOUT; lockfile(1).
    """
    failures = denials = 0
    while True:
        note("locking", path)
        try:
            age_s = _attempt(host, path, note)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG and _can_be_cut(path):
                note("truncating-lock-name", path)
                path = path[:-1]
                continue
            failures += 1
            if error.errno not in _RETRIED or failures >= ATTEMPTS:
                note("lock-failure", path)
                if error.errno in _REFUSED:
                    raise LockRefusedError(error.errno, error.strerror, path) from error
                raise
            host.sleep(sleep_s)
            continue
        if isinstance(age_s, Lock):
            return age_s
        if not stale_s or age_s is None or age_s <= stale_s:
            host.sleep(sleep_s)
            continue
        if _force(host, path):
            note("forcing-lock", path)
            host.sleep(suspend_s)
            continue
        note("forced-unlock-denied", path)
        denials += 1
        if denials > 1:
            note("lock-failure", path)
            raise LockHeldError(path)
        host.sleep(sleep_s)


def attempt(host: Host, path: bytes) -> Lock | float:
    """Try once: the lock, or the age in seconds of the file in its place, whatever its size.

    Raises:
        OSError: the lock cannot be made here.
    """
    taken = _attempt(host, path, lambda *_: None, largest_bytes=None)
    return 0.0 if taken is None else taken


def _attempt(
    host: Host, path: bytes, note: Note, *, largest_bytes: int | None = LARGEST_LOCK_BYTES
) -> Lock | float | None:
    """The lock, or the age in seconds of the existing one; None if that one never becomes stale."""
    temporary = _make_temporary(host, path, note)
    try:
        host.claim(path, temporary.status)
        if _link(host, temporary, path):
            return Lock(host, path, temporary.identity)
        host.disclaim(path)
        return _age(host, path, temporary.made_at, largest_bytes)
    finally:
        try:
            host.unlink(temporary.path)
        except OSError:
            pass


def _make_temporary(host: Host, path: bytes, note: Note) -> _Temporary:
    candidates = names.temporary(host, names.folder_of(path))
    for candidate in candidates:
        try:
            fd = host.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        except FileExistsError:
            continue
        except OSError:
            note("error-writing-temporary", candidate)
            raise
        try:
            try:
                host.write(fd, b"0")
                return _Temporary(candidate, host.fstat(fd))
            finally:
                host.close(fd)
        except BaseException:
            host.unlink(candidate)
            raise
    raise FileExistsError(errno.EIO, os.strerror(errno.EIO), candidates[-1])


def _link(host: Host, temporary: _Temporary, path: bytes) -> bool:
    """Whether `path` is now our file."""
    try:
        host.link(temporary.path, path)
    except OSError as error:
        if _is_ours(host, temporary, path):
            return True
        if error.errno == errno.EEXIST:
            return False
        if error.errno in _NO_HARD_LINKS:
            return _create(host, temporary, path)
        raise
    return True


def _is_ours(host: Host, temporary: _Temporary, path: bytes) -> bool:
    """Whether `path` is our file: over NFS link(2) may succeed and report a failure, if the answer is lost."""
    try:
        status = host.lstat(path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == temporary.identity


def _create(host: Host, temporary: _Temporary, path: bytes) -> bool:
    """Take the lock on a file system without hard links."""
    try:
        fd = host.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    except FileExistsError:
        return False
    try:
        host.write(fd, b"0")
        status = host.fstat(fd)
        host.claim(path, status)
    finally:
        host.close(fd)
    temporary.identity = (status.st_dev, status.st_ino)
    return True


def _age(host: Host, path: bytes, now: float, largest_bytes: int | None) -> float | None:
    try:
        status = host.lstat(path)
    except FileNotFoundError:
        return None
    # A large file is not a lock: it is data under the name of one.
    if largest_bytes is not None and status.st_size > largest_bytes:
        return None
    return now - status.st_mtime


def _force(host: Host, path: bytes) -> bool:
    try:
        host.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _can_be_cut(path: bytes) -> bool:
    return len(path) - len(names.folder_of(path)) > 1
