"""A Host for runs over a mailbox: mail is made durable in batches.

A delivery from a mail server syncs every file and folder before it reports success.  A run over a
saved mailbox has its source on disk until it ends, so it may sync once for many mails: syncfs(2)
writes out everything of a file system, and reports what could not be written since it was opened.
"""

from __future__ import annotations

import ctypes
import os

from pyprocmail.host import Host

MESSAGES = 2000
"""How many messages make a batch."""


class BatchHost(Host):
    """The real machine, whose fsync is put off until `write_out`."""

    def __init__(self) -> None:
        super().__init__()
        self._file_systems: dict[int, int] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)

    # A method in the place of the function of Host, so that it can count.
    def fsync(self, fd: int) -> None:  # type: ignore[override]  # os.fsync is a static method there
        """Remember the file system of `fd`; `write_out` writes it."""
        device = os.fstat(fd).st_dev
        if device not in self._file_systems:
            self._file_systems[device] = os.dup(fd)

    def sync_folder(self, path: bytes) -> None:
        """As `fsync`, of a folder."""
        if os.stat(path).st_dev not in self._file_systems:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self.fsync(fd)
            finally:
                os.close(fd)

    def write_out(self) -> None:
        """Have everything on disk that was written through this Host.

        Raises:
            OSError: something of it could not be written.
        """
        refused: OSError | None = None
        for fd in self._file_systems.values():
            if self._libc.syncfs(fd) != 0:
                number = ctypes.get_errno()
                refused = OSError(number, os.strerror(number))
        if refused is not None:
            raise refused
