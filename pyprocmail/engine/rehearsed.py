"""The locks, clones and logs of a Rehearsal, which change nothing."""

from __future__ import annotations

from pyprocmail.delivery.locks import Lock
from pyprocmail.engine.logfile import LogFile
from pyprocmail.engine.world import Clone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.host import Host


class RehearsedLock(Lock):
    """A lock that is held in a Rehearsal; `give_back` ends that."""

    __slots__ = ("_give_back",)

    def __init__(self, host: Host, path: bytes, give_back: Callable[[], None]) -> None:
        super().__init__(host, path, (0, 0))
        self._give_back = give_back

    def release(self) -> bool:
        self._give_back()
        return True


class EndedClone(Clone):
    """A clone that has been run."""

    __slots__ = ("_status",)

    def __init__(self, host: Host, status: int) -> None:
        super().__init__(host, 0)
        self._status = status

    def wait(self, deadline: float | None) -> int | None:
        return self._status


class NoLog(LogFile):
    """A log that is not written."""

    __slots__ = ()

    def write(self, text: bytes) -> None:
        """Write nothing."""

    def close(self) -> None:
        """There is nothing to close."""
