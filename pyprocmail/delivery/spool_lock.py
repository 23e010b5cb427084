"""The dotlock of a system mailbox in a folder that only the group mail may write to: made by dotlockfile(1).

Debian's dotlockfile is set-group-ID mail, and makes the lockfile of the caller's own mailbox.  It keeps out mail
readers that know only dotlocks.  If it is not installed, the kernel lock must suffice, as everywhere without dotlocks.
"""

from __future__ import annotations

import os
import stat

from pyprocmail.delivery.locks import Lock, LockHeldError
from pyprocmail.delivery.names import folder_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.host import Host

    Note = Callable[..., None]

PROGRAM = b"/usr/bin/dotlockfile"
_HELD = 4


class _SpoolLock(Lock):
    """A lockfile that dotlockfile makes and removes."""

    __slots__ = ()

    def release(self) -> bool:
        return _run(self._host, b"-u", self.path) == 0


def _is_needed(host: Host, folder: bytes) -> bool:
    """Whether dotlockfile exists with its set-group-ID bit, and we may not write to the folder."""
    try:
        mode = host.stat(PROGRAM).st_mode
    except OSError:
        return False
    return bool(mode & stat.S_ISGID and mode & 0o111) and not host.access(folder, os.W_OK | os.X_OK)


def take(host: Host, path: bytes, *, sleep_s: int, stale_s: int, note: Note) -> Lock | None:
    """Take the lockfile `path`, trying every `sleep_s` seconds; None if we can make it, or dotlockfile cannot.

    The lock contains our process id: it is stale once this process has ended.  We give up after waiting `stale_s`
    seconds for a lock that is held; 0 is never.

    Raises:
        LockHeldError: another process still holds it after that time.
    """
    if not _is_needed(host, folder_of(path)):
        return None
    note("locking", path)
    began = host.monotonic()
    while True:
        status = _run(host, b"-l", b"-r", b"0", b"-p", b"-q", path)
        if status == 0:
            return _SpoolLock(host, path, (0, 0))
        if status != _HELD:
            return None
        if stale_s and host.monotonic() - began > stale_s:
            note("lock-failure", path)
            raise LockHeldError(path)
        host.sleep(max(sleep_s, 1))
        note("locking", path)


def _run(host: Host, *arguments: bytes) -> int | None:
    """The exit status of dotlockfile; None if it cannot be started."""
    null = host.open(b"/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        pid = host.spawn([PROGRAM, *arguments], {}, stdin=null, stdout=null, stderr=null)
        return host.wait(pid, None)
    except OSError:
        return None
    finally:
        host.close(null)
