"""The tools that the engine may run in its own process; loaded when a recipe first calls one."""

from __future__ import annotations

from pyprocmail.exits import LateImportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.engine.tools import Tool
    from pyprocmail.host import Host


_MOST_CALLS = 64


class Toolbox:
    """formail, lockfile and our own tools, as functions."""

    __slots__ = ("launchers", "_formails")

    def __init__(self) -> None:
        self.launchers: dict[tuple[int, ...], bool] = {}
        self._formails: dict[tuple[bytes, ...], Tool | None] = {}

    def tool(self, argv: Sequence[bytes]) -> Tool | None:
        """The tool for this call; None for a call that starts programs itself."""
        if argv[0] == b"lockfile":
            return _lockfile
        if argv[0] == b"pyprocmail":
            try:
                if argv[1] != b"mime":
                    from pyprocmail.commands import own_tools

                    own_tools.find(argv[1])
                    return _own
                from pyprocmail.tools import mime
            except LateImportError:
                # `mime` is large and seldom used, so a process that was root has not loaded it.
                return None
            return None if mime.starts_programs(argv) else mime.run
        return self._formail(tuple(argv))

    def _formail(self, argv: tuple[bytes, ...]) -> Tool | None:
        """A call with the same arguments is prepared once."""
        if argv not in self._formails:
            from pyprocmail.tools import formail

            if len(self._formails) >= _MOST_CALLS:
                self._formails.clear()
            call = formail.Call(argv)
            self._formails[argv] = None if call.starts_programs() else call
        return self._formails[argv]

    def load(self) -> None:
        """Import the modules that any call may need, before the process gives up the right to import."""
        from pyprocmail.tools import formail, lockfile  # noqa: F401  to have them


def _own(
    host: Host,
    argv: Sequence[bytes],
    environment: Mapping[bytes, bytes],
    read: Callable[[int], bytes],
    write: Callable[[bytes], None],
    note: Callable[[bytes], None],
) -> int:
    """`pyprocmail vacation` and `duplicate`: a system error is a line in the log and 75, as for the command."""
    from pyprocmail.commands import own_tools
    from pyprocmail.exits import EX_TEMPFAIL, MailTooLargeError, in_one_line

    try:
        return own_tools.find(argv[1])(host, argv[1:], environment, read, write, note)
    except MailTooLargeError:
        note(b"%b: the mail is too large\n" % argv[1])
    except OSError as error:
        note(b"%b: %b\n" % (argv[1], in_one_line(error).encode(errors="surrogateescape")))
    return EX_TEMPFAIL


def _lockfile(
    host: Host,
    argv: Sequence[bytes],
    environment: Mapping[bytes, bytes],
    read: Callable[[int], bytes],
    write: Callable[[bytes], None],
    note: Callable[[bytes], None],
) -> int:
    """lockfile has no input and no output; if the time runs out, the locks that it made are removed."""
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
