"""A mail while it is received: in memory, or if it is large in an unnamed file.  One copy for all recipients."""

from __future__ import annotations

import os

_IN_MEMORY = 64 << 10


class Spool:
    """Storage that a crash may lose: the client keeps its mail until it gets 250."""

    __slots__ = ("_folder", "_memory", "_fd", "failed")

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._memory = bytearray()
        self._fd = -1
        self.failed = False

    def write(self, data: bytes) -> None:
        """Add a piece.

        Raises:
            OSError: there is no room for it; the spool is unusable from then on.
        """
        self._memory += data
        if len(self._memory) > _IN_MEMORY:
            try:
                self._flush()
            except OSError:
                self.failed = True
                self.discard()
                raise

    def _flush(self) -> None:
        if self._fd < 0:
            self._fd = os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        with memoryview(self._memory) as rest:
            place = 0
            while place < len(rest):
                place += os.write(self._fd, rest[place:])
        self._memory.clear()

    def finish(self) -> int:
        """A descriptor of the whole mail; the caller closes it.

        Raises:
            OSError: there is no room for it.
        """
        if self._fd < 0:
            self._fd = os.memfd_create("mail", os.MFD_CLOEXEC)
        self._flush()
        fd, self._fd = self._fd, -1
        return fd

    def discard(self) -> None:
        """Forget the mail."""
        self._memory.clear()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
