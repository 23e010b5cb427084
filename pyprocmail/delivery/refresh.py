"""Keeping the lock of a `dotlock` block fresh, however long its programs take.  maildropfilter(7), LOCKREFRESH."""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host


class Refreshing:
    """While this is open, our lock `path` is touched every `seconds`, so that no program considers it stale.

    A thread does it, because the process waits for programs meanwhile; with `seconds` 0 there is no thread.
    """

    __slots__ = ("_host", "_path", "_seconds", "_open")

    def __init__(self, host: Host, path: bytes, seconds: int) -> None:
        self._host = host
        self._path = path
        self._seconds = seconds
        self._open = _thread.allocate_lock()

    def __enter__(self) -> None:
        if self._seconds:
            self._open.acquire()
            _thread.start_new_thread(self._touch, ())

    def __exit__(self, *_: object) -> None:
        if self._seconds:
            self._open.release()

    def _touch(self) -> None:
        host, path = self._host, self._path
        try:
            ours = host.lstat(path).st_ino
            while not self._open.acquire(timeout=self._seconds):
                # Another process may have replaced our lock.
                if host.lstat(path).st_ino != ours:
                    return
                host.utime(path)
                host.claim(path, host.lstat(path))
        except OSError:
            pass  # the lock is gone, or will become stale: no reason to fail
