"""The tools that the engine may run in its own process; loaded when a recipe first calls one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.engine.builtins import Tool
    from pyprocmail.host import Host


class Toolbox:
    """formail and lockfile, as functions."""

    __slots__ = ()

    def tool(self, argv: Sequence[bytes]) -> Tool | None:
        """The tool for this call; None for a call that starts programs itself."""
        if argv[0] == b"lockfile":
            return _lockfile
        from pyprocmail.tools import formail

        return None if formail.starts_programs(argv) else formail.run

    def load(self) -> None:
        """Import what any call may need: before the rights to do so are given up."""
        from pyprocmail.tools import formail, lockfile  # noqa: F401  to have them


def _lockfile(
    host: Host,
    argv: Sequence[bytes],
    environment: Mapping[bytes, bytes],
    read: Callable[[int], bytes],
    write: Callable[[bytes], None],
    note: Callable[[bytes], None],
) -> int:
    """lockfile reads nothing and says nothing; when time is up it removes what it has made."""
    from pyprocmail.delivery import locks
    from pyprocmail.tools import lockfile

    del read, write
    taken: list[locks.Lock] = []

    def take(path: bytes) -> locks.Lock | float:
        found = locks.attempt(host, path)
        if isinstance(found, locks.Lock):
            taken.append(found)
        return found

    done = False
    try:
        status = lockfile.run(host, argv, environment, note, take)
        done = True
    finally:
        if not done:
            for lock in taken:
                lock.release()
    return status
