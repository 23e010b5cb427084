"""Keeping the lock of a `dotlock` block fresh, however long its programs take.  maildropfilter(7), LOCKREFRESH."""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host


class Refreshing:
    """While this is open, the lock `path`, which is ours, is touched every `seconds`: nobody takes it for forgotten.

    A thread does it, since the process waits for programs meanwhile; there is none with `seconds` 0.
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
                # Somebody may have put another lock in the place of ours.
                if host.lstat(path).st_ino != ours:
                    return
                host.utime(path)
                host.claim(path, host.lstat(path))
        except OSError:
            pass  # the lock is gone, or will be taken for forgotten: no reason to fail
