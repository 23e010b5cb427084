"""Starting our own programs, as in `formail -s procmail`, without starting Python again.

If the program found on PATH is a launcher of the same installation, with exactly the bytes of the
one that started us, it runs in a fork of this process, which has already imported most of it.
"""

from __future__ import annotations

import os
import sys

from pyprocmail.exits import EX_TEMPFAIL
from pyprocmail.host import Host, candidates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LIMIT_BYTES = 4096
_HIGHEST_FD = 4096


class SiblingHost(Host):
    """The machine, for a program that starts another program for each mail."""

    def __init__(self) -> None:
        super().__init__()
        self._launcher = _content(os.fsencode(sys.argv[0]))
        self._siblings: dict[bytes, bool] = {}

    def spawn(
        self,
        argv: Sequence[bytes],
        environment: Mapping[bytes, bytes],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        program: bytes = b"",
    ) -> int:
        """As Host.spawn; a launcher of ours becomes a fork."""
        path = program or _found(argv[0], environment)
        if not path or not self._is_sibling(path):
            return super().spawn(argv, environment, stdin=stdin, stdout=stdout, stderr=stderr, program=program)
        pid = self.fork()
        if not pid:
            _become([path, *argv[1:]], environment, (stdin, stdout, stderr))
        return pid

    def _is_sibling(self, path: bytes) -> bool:
        known = self._siblings.get(path)
        if known is None:
            known = b"import main\n" in self._launcher and _content(path) == self._launcher
            if known:
                _prepare(path)
            self._siblings[path] = known
        return known


def _content(path: bytes) -> bytes:
    """The content of a launcher; a file that is not a launcher may be cut off."""
    try:
        with open(path, "rb") as file:
            return file.read(_LIMIT_BYTES)
    except OSError:
        return b""


def _found(name: bytes, environment: Mapping[bytes, bytes]) -> bytes:
    """The path at which execvp(3) would find the program."""
    for path in candidates(name, environment.get(b"PATH", b"/bin:/usr/bin")):
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return b""


def _prepare(path: bytes) -> None:
    """Import the program's modules once for all forks."""
    from pyprocmail.matching import re2core

    name = path.rpartition(b"/")[2]
    if name in (b"procmail", b"pyprocmail"):
        from pyprocmail.commands import procmail  # noqa: F401  for the forks
    elif name == b"maildrop":
        from pyprocmail.commands import maildrop  # noqa: F401  for the forks
    re2core.compile(b"a", fold=False)


def _become(argv: list[bytes], environment: Mapping[bytes, bytes], descriptors: tuple[int, int, int]) -> None:
    """In the fork: run the program as if it had been executed, and exit."""
    status = EX_TEMPFAIL
    try:
        for number, fd in enumerate(descriptors):
            if fd == number:
                os.set_inheritable(fd, True)
            else:
                os.dup2(fd, number)
        os.closerange(3, _HIGHEST_FD)
        os.environb.clear()
        os.environb.update(environment)
        from pyprocmail.commands.main import run

        status = run(argv)
    finally:
        os._exit(status)
