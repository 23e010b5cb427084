"""Dotlocks as maildrop and lockmail make them: a file that contains a process id, linked to the name of the lock."""

from __future__ import annotations

import errno
import os

from pyprocmail.delivery import names
from pyprocmail.delivery.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host


class NoLockError(OSError):
    """No attempt at the lock was possible: the temporary file `path` could not be made."""

    def __init__(self, path: bytes, error: OSError) -> None:
        super().__init__(error.errno, error.strerror, path)
        self.path = path


def attempt(host: Host, path: bytes, content: bytes) -> Lock | None:
    """Take the lock `path` if it is free, else return None.

    Raises:
        NoLockError: the folder cannot be written to.
    """
    temporary = names.folder_of(path) + b"%d.%d.%b" % (host.getpid(), host.next_number(), names.host_name(host))
    try:
        fd = host.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except (OSError, ValueError) as error:
        refused = error if isinstance(error, OSError) else OSError(errno.EINVAL, "a NUL in the name")
        raise NoLockError(temporary, refused) from error
    try:
        try:
            host.write(fd, content)
            status = host.fstat(fd)
        finally:
            host.close(fd)
        identity = (status.st_dev, status.st_ino)
        host.claim(path, status)
        try:
            host.link(temporary, path)
        except FileExistsError:
            host.disclaim(path)
            return None
        except OSError as error:
            # Over NFS link(2) may succeed and report a failure.
            if _identity(host, path) != identity:
                raise NoLockError(temporary, error) from error
        return Lock(host, path, identity)
    finally:
        try:
            host.unlink(temporary)
        except OSError:
            pass


def take(host: Host, path: bytes, *, sleep_s: int, stale_s: int, deadline: float) -> Lock:
    """Take the lock `path`, trying every `sleep_s` seconds until `deadline` on the monotonic clock.

    A lock whose inode has not changed for `stale_s` seconds is removed; a program that holds one updates the inode from
    time to time.

    Raises:
        NoLockError: the folder cannot be written to.
        TimeoutError: the deadline has passed.
    """
    content = b"%d\n" % host.getpid()
    while True:
        lock = attempt(host, path, content)
        if lock is not None:
            return lock
        if _is_stale(host, path, stale_s):
            try:
                host.unlink(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise NoLockError(path, error) from error
        if host.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "the lock is held", path)
        host.sleep(max(sleep_s, 1))


def _identity(host: Host, path: bytes) -> tuple[int, int] | None:
    try:
        status = host.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_stale(host: Host, path: bytes, stale_s: int) -> bool:
    try:
        status = host.lstat(path)
    except OSError:
        return False
    return host.time() - max(status.st_ctime, status.st_mtime) > stale_s
