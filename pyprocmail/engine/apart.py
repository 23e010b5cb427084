"""Work for another process, started by one that was root and imports nothing any more.

The other process runs as the recipient from its first instruction on, so its answer is not to be trusted.
"""

from __future__ import annotations

import os
import sys

from pyprocmail.engine.cache import LIMIT_BYTES
from pyprocmail.signals import SIGKILL, SIGTERM, Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host

_RUN = "import sys; sys.path[:] = %a; from %s import main; main()"


def ask(host: Host, module: str, words: list[bytes], data: bytes, stderr: int, deadline: float | None) -> bytes:
    """The answer of the module's `main` to the data on its standard input; empty if it fails.

    The process gets the words after its name, and may run until `deadline`, on the monotonic clock.
    """
    # The process finds its modules where this one found its own.
    options = b"-IS" if sys.flags.no_site else b"-I"
    argv = [os.fsencode(sys.executable), options, b"-c", (_RUN % (sys.path, module)).encode(), *words]
    # The files are in memory, so neither process ever waits for the other to read.
    source, answer = host.memory_file(data), host.memory_file()
    try:
        pid = host.spawn(argv, {}, stdin=source, stdout=answer, stderr=stderr)
        if _wait(host, pid, deadline) != 0 or host.fstat(answer).st_size > LIMIT_BYTES:
            return b""
        host.lseek(answer, 0, os.SEEK_SET)
        return host.read(answer, LIMIT_BYTES)
    except OSError:
        return b""
    finally:
        host.close(source)
        host.close(answer)


def _wait(host: Host, pid: int, deadline: float | None) -> int:
    try:
        status = host.wait(pid, deadline)
    except Interrupted:
        host.kill(pid, SIGTERM)
        raise
    if status is None:
        host.kill(pid, SIGKILL)
        status = host.wait(pid, None)
        assert status is not None
    return status
