"""An rcfile compiled by a process of its own, for one that was root and imports nothing any more.

That process is the recipient from its first instruction on, so what it answers is the recipient's word about what the
recipient's rcfile says.  The answer is read as a cache file is, which the recipient writes as well.
"""

from __future__ import annotations

import os
import sys

from pyprocmail.program.cache import LIMIT_BYTES, pack, unpack
from pyprocmail.signals import SIGKILL, SIGTERM, Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.engine.session import Session
    from pyprocmail.host import Host
    from pyprocmail.program.instructions import Program

_RUN = "import sys; sys.path[:] = %a; from pyprocmail.commands.compiler import main; main()"
_STRICT = b"strict"


def compile_apart(session: Session, data: bytes, *, strict: bool, passing: int | None) -> Program | None:
    """The program of the rcfile `data`; None when the other process fails, or takes longer than TIMEOUT.

    `strict` and `passing` as for compile_rcfile().
    """
    host = session.host
    words = [_STRICT if strict else b"", b"" if passing is None else b"%d" % passing]
    # It finds its modules where we have found ours.
    options = b"-IS" if sys.flags.no_site else b"-I"
    argv = [os.fsencode(sys.executable), options, b"-c", (_RUN % sys.path).encode(), *words]
    # Files in memory: neither process ever waits for the other to read.
    source, answer = host.memory_file(data), host.memory_file()
    try:
        pid = host.spawn(argv, {}, stdin=source, stdout=answer, stderr=session.log.fd)
        if _wait(host, pid, session.deadline()) != 0 or host.fstat(answer).st_size > LIMIT_BYTES:
            return None
        host.lseek(answer, 0, os.SEEK_SET)
        return unpack(host.read(answer, LIMIT_BYTES), plain=True)
    except OSError:
        return None
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


def main() -> None:
    """The other process: the rcfile on standard input, its program on standard output."""
    from pyprocmail.procmailrc.lower import compile_rcfile

    strict, passing = sys.argv[1] == _STRICT.decode(), int(sys.argv[2]) if sys.argv[2] else None
    program = compile_rcfile(sys.stdin.buffer.read(), strict=strict, passing=passing)
    sys.stdout.buffer.write(pack(program))
