"""formail, lockfile, vacation, duplicate and mime, run inside this process.

One recipe in four calls formail.  If the program on PATH is ours, or is missing, a
simple call is done in this process: the same bytes, log lines and exit status, at a fraction of the
cost.  PYPROCMAIL_BUILTINS=no in the environment or an rcfile switches that off.
"""

from __future__ import annotations

import sys
from io import BytesIO

from pyprocmail.signals import SIGTERM, AlarmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Protocol

    from pyprocmail.engine.programs import Chunk, Command, Ended, Runner
    from pyprocmail.host import Host

    class Tool(Protocol):
        """A program as a function: `formail` or `lockfile`, its own name first in argv."""

        def __call__(
            self,
            host: Host,
            argv: Sequence[bytes],
            environment: Mapping[bytes, bytes],
            read: Callable[[int], bytes],
            write: Callable[[bytes], None],
            note: Callable[[bytes], None],
            /,
        ) -> int:
            """Run it; the exit status."""

    class Toolbox(Protocol):
        """Gives a session the tools, since the engine does not know them; it lasts as long as the process.

        `launchers`: which files on PATH are ours, by what stat says of the file.
        """

        launchers: dict[tuple[int, ...], bool]

        def tool(self, argv: Sequence[bytes]) -> Tool | None:
            """The tool that can do this call; None for one that starts programs itself."""


NAMES = (b"formail", b"lockfile")
OWN = b"pyprocmail"
OWN_TOOLS = (b"vacation", b"duplicate", b"mime")
"""Second words after OWN."""
SWITCH = b"PYPROCMAIL_BUILTINS"
LIMIT_BYTES = 32 << 20
"""A larger mail is given to a process, which has memory of its own."""

_OURS = b"pyprocmail.commands.main"
_LOOK_BYTES = 512
_MOST_LAUNCHERS = 64
_STARTER = b"import sys; sys.argv[0] = %r; from pyprocmail.commands.main import main; main()"


def find(session: Runner, command: Command, toolbox: Toolbox | None) -> Tool | None:
    """The tool to run instead of the program; None if the program is to be started.

    If it is ours, has to be a process, and is not on PATH, `command` is changed to start our own.
    """
    if toolbox is None or command.by_shell or not _is_known(command.argv):
        return None
    if session.environment.get(SWITCH) == b"no":
        return None
    place = _place(session, command.argv[0])
    if place is not None and not _is_ours(session, toolbox, *place):
        return None
    tool = toolbox.tool(command.argv)
    if tool is None and place is None:
        code = _STARTER % command.argv[0].decode()
        command.argv = [sys.executable.encode(), b"-I", b"-c", code, *command.argv[1:]]
    return tool


def _is_known(argv: Sequence[bytes]) -> bool:
    return argv[0] in NAMES or (argv[0] == OWN and len(argv) > 1 and argv[1] in OWN_TOOLS)


def run(
    session: Runner,
    command: Command,
    tool: Tool,
    chunks: Iterable[Chunk],
    ended: Ended,
    *,
    stdout: int | None,
    capture: bool,
) -> int:
    """Run the tool on the chunks; its output goes to `ended` if `capture`, else to `stdout` if there is one."""
    host = session.host
    read = BytesIO(b"".join(chunks)).read
    said: list[bytes] = []

    def write(text: bytes) -> None:
        if capture:
            said.append(text)
        elif stdout is not None:
            host.write(stdout, text)

    deadline = session.deadline()
    left = 0.0 if deadline is None else max(deadline - host.monotonic(), 0.001)
    try:
        with host.alarm(left):
            status = tool(host, command.argv, session.environment, read, write, session.log.write)
    except AlarmError:
        session.note("timeout-terminating", command.name)
        ended.timed_out = True
        status = -SIGTERM
    ended.output = b"".join(said)
    return status


def _place(session: Runner, name: bytes) -> tuple[bytes, os.stat_result] | None:
    """The path of the program on PATH, and what stat says of it; None if it is missing."""
    for folder in session.environment.get(b"PATH", b"").split(b":"):
        path = folder + b"/" + name if folder else name
        try:
            status = session.host.stat(path)
        except OSError:
            continue
        if status.st_mode & 0o111:
            return path, status
    return None


def _is_ours(session: Runner, toolbox: Toolbox, path: bytes, status: os.stat_result) -> bool:
    """Whether the program is one of our launchers; a file that has not changed is read once."""
    host, known = session.host, toolbox.launchers
    key = (host.geteuid(), status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)
    if key not in known:
        if len(known) >= _MOST_LAUNCHERS:
            known.clear()
        try:
            fd = host.open(path, 0, 0)
            try:
                known[key] = _OURS in host.read(fd, _LOOK_BYTES)
            finally:
                host.close(fd)
        except OSError:
            return False
    return known[key]
