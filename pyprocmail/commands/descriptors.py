"""Standard input, output and error as the functions that the tools take."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.host import Host


def reader(host: Host, fd: int) -> Callable[[int], bytes]:
    """What reads from `fd`."""
    return lambda size: host.read(fd, size)


# What a shell says of a program that SIGINT killed.
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
