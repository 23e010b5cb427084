"""The command formail."""

from __future__ import annotations

import os

from pyprocmail.host import Host
from pyprocmail.tools import formail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[bytes]) -> int:
    """Run formail with `argv`, its own name first; the exit status."""
    host = Host()
    return formail.run(host, argv, os.environb, lambda size: host.read(0, size), Writer(host, 1), Writer(host, 2))


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
