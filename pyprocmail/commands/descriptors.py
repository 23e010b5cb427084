"""Standard input, output and error as functions to pass to the tools."""

from __future__ import annotations

import os
import stat
from io import BytesIO

from pyprocmail.exits import MailTooLargeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.host import Host


_READ_BYTES = 1 << 20


def reader(host: Host, fd: int) -> Callable[[int], bytes]:
    """A function that reads from `fd`."""
    return lambda size: host.read(fd, size)


def read_mail(host: Host) -> bytes:
    """All of standard input.

    Raises:
        MailTooLargeError: it does not fit into memory.
    """
    limit = left = host.largest_mail()
    kept = BytesIO()
    while piece := host.read(0, _READ_BYTES):
        left -= len(piece)
        if left < 0:
            raise MailTooLargeError(limit)
        kept.write(piece)
    return kept.getvalue()


def is_mailbox(host: Host) -> bool:
    """Whether standard input is a regular file that starts with a From_ line.

    A pipe is always one message, whatever its body contains, so that a stranger cannot smuggle in a second one.
    """
    if not stat.S_ISREG(host.fstat(0).st_mode):
        return False
    at = host.lseek(0, 0, os.SEEK_CUR)
    found = host.read(0, 5) == b"From "
    host.lseek(0, at, os.SEEK_SET)
    return found


# A shell's exit status for a program that SIGINT killed.
INTERRUPTED = 130


class Writer:
    """Writes everything to a descriptor."""

    __slots__ = ("_fd", "_host")

    def __init__(self, host: Host, fd: int) -> None:
        self._host = host
        self._fd = fd

    def __call__(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._host.write(self._fd, rest) :]
