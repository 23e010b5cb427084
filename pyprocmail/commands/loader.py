"""From the name of an rcfile to its program: remembered, from the cache on disk, or compiled now."""

from __future__ import annotations

import stat

from pyprocmail.engine import rcfiles
from pyprocmail.exits import NotCompiledError
from pyprocmail.program.cache import Cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Protocol

    from pyprocmail.engine.rcfiles import Rcfile
    from pyprocmail.engine.session import Session
    from pyprocmail.program.instructions import Program

    class Compiler(Protocol):
        """What makes programs."""

        def __call__(self, session: Session, data: bytes, /, *, strict: bool, passing: int | None) -> Program | None:
            """The program of `data`; `strict` and `passing` as for compile_rcfile()."""


class Loader:
    """The programs of a process.

    A file is known by what its status says, so that one that has changed is read again.

    `compile` makes the program of what is in a file; None when that cannot be done now.
    """

    __slots__ = ("_known", "compile")

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], Program] = {}
        self.compile: Compiler = _compile_here

    def load(self, session: Session, path: bytes, rcfile: Rcfile | None = None) -> Program | None:
        """The program of the file `path`, which is `rcfile` unless an rcfile names it; None when it cannot be read.

        Raises:
            SuspiciousError: the rules for `rcfile` say that it is not to be trusted.
            NotCompiledError: it could not be compiled, through no fault of its text.
        """
        if path == b"/dev/null":
            return ()
        host = session.host
        program = self._remembered(session, path, rcfile)
        if program is not None:
            return program
        fd = rcfiles.open_file(host, path)
        if fd is None:
            return None
        try:
            # Everything that is asked about the file is asked about what is open.
            status = host.fstat(fd)
            _check(session, rcfile, status)
            return self._compiled(session, path, fd, status, directory_is_empty=rcfile is not None)
        finally:
            host.close(fd)

    def reread(self, session: Session, source: bytes, passing: int | None) -> Program:
        """What engine.Session.reread is: PYPROCMAIL_STRICT needs it where a value decides what a line of the rcfile is.

        Raises:
            NotCompiledError: as for `load`.
        """
        program = self.compile(session, source, strict=True, passing=passing)
        if program is None:
            raise NotCompiledError(session.rcfile)
        return program

    def _remembered(self, session: Session, path: bytes, rcfile: Rcfile | None) -> Program | None:
        if not self._known:
            return None
        try:
            status = session.host.stat(path)
        except OSError:
            return None
        program = self._known.get((session.identity.strict, *_identity(status)))
        if program is not None:
            _check(session, rcfile, status)
        return program

    def _compiled(
        self, session: Session, path: bytes, fd: int, status: os.stat_result, *, directory_is_empty: bool
    ) -> Program | None:
        host, strict = session.host, session.identity.strict
        regular = stat.S_ISREG(status.st_mode)
        cache = Cache(host, session.identity.user)
        program = cache.load(path, status, strict=strict) if regular else None
        if program is None:
            data = rcfiles.read(host, fd, directory_is_empty=directory_is_empty)
            if data is None:
                return None
            program = self.compile(session, data, strict=strict, passing=None)
            if program is None:
                raise NotCompiledError(path)
            if regular:
                cache.store(path, status, program, strict=strict)
        if regular:
            self._known[(strict, *_identity(status))] = program
        return program


def _compile_here(_session: Session, data: bytes, *, strict: bool, passing: int | None) -> Program:
    from pyprocmail.procmailrc.lower import compile_rcfile

    return compile_rcfile(data, strict=strict, passing=passing)


def _check(session: Session, rcfile: Rcfile | None, status: os.stat_result) -> None:
    if rcfile is not None and rcfiles.is_suspicious(session.host, session.identity.user, rcfile, status):
        raise rcfiles.SuspiciousError


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
