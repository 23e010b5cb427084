"""Dotlocks: a lock is a file, made by link(2) so that it works over NFS as well."""

from __future__ import annotations

from pyprocmail.exits import PyprocmailError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.host import Host

    Note = Callable[..., None]


class LockHeldError(PyprocmailError):
    """The lockfile `path` is there and cannot be removed."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.path = path


class Lock:
    """A lockfile that is ours until `release`."""

    __slots__ = ("_host", "path")

    def __init__(self, host: Host, path: bytes) -> None:
        self._host = host
        self.path = path

    def release(self) -> bool:
        """Remove the lockfile; False when it could not be removed (log "couldnt-unlock")."""
        raise NotImplementedError


def dotlock(
    host: Host, path: bytes, *, sleep_s: int = 8, stale_s: int = 1024, suspend_s: int = 16, note: Note
) -> Lock:
    """Take the lockfile `path`; the Lock is released by its `release()`.

    Waits `sleep_s` seconds between attempts.  A lockfile of at most 16 bytes whose mtime is more than
    `stale_s` seconds old is removed, and `suspend_s` seconds are waited; 0 means that it never is.
    `note(kind, *texts)` hears of "locking", "forcing-lock", "lock-failure" and the rest; "unlocking"
    is the caller's.  Lock.path may be shorter than `path`: a name too long is cut.

    Raises:
        LockHeldError: the stale lock cannot be removed.
        OSError: the directory cannot be written to.

    procmailrc(5) LOCKSLEEP, LOCKTIMEOUT; lockfile(1).
    """
    raise NotImplementedError
