"""From the name of an rcfile to its program: find it, decide whether to trust it, read it, keep it compiled.

A program is remembered by the process, comes from the cache on disk, or is compiled now by the compiler that the
caller passes in.  procmail(1), DESCRIPTION and NOTES; procmailrc(5), INCLUDERC.
"""

from __future__ import annotations

import errno
import stat

from pyprocmail.engine.cache import Cache
from pyprocmail.exits import NotCompiledError, PyprocmailError
from pyprocmail.host import LARGEST_RULES_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Protocol

    from pyprocmail.host import Host, User
    from pyprocmail.procmail.compiled.instructions import Program
    from pyprocmail.procmail.session import Session

    class Compiler(Protocol):
        """Makes programs."""

        def __call__(self, session: Session, data: bytes, /, *, strict: bool, passing: int | None) -> Program | None:
            """The program of `data`; `strict` and `passing` as in compile_rcfile()."""


GLOBAL = b"/etc/procmailrc"
GLOBAL_FOLDER = b"/etc/procmailrcs/"
PERSONAL = b".procmailrc"
_WITHOUT_END = (errno.EFBIG, errno.ETIMEDOUT)


class SuspiciousError(PyprocmailError):
    """Another user could have written the rcfile."""


class EndlessError(PyprocmailError):
    """The rcfile is larger than LARGEST_RULES_BYTES, or it is a pipe without data."""


class Rcfile:
    """An rcfile of the command line, or the default one: its path, and how far it must be trusted.

    `checked`: it must belong to the user or to root, and nobody else may write to it.
    `personal`: it is the default one, so its group may not write to it either, unless it is
    the user's own.
    """

    __slots__ = ("path", "checked", "personal", "folder")

    def __init__(self, path: bytes, *, checked: bool, personal: bool = False, folder: bytes) -> None:
        self.path = path
        self.checked = checked
        self.personal = personal
        self.folder = folder


def locate(name: bytes, user: User, *, mail_filter: bool) -> Rcfile:
    """The rcfile for an operand of the command line.

    `./x`, and with -m any relative name, is relative to the working directory; every other
    relative name is in the user's home.  The folder of the result is the first MAILDIR.
    """
    if name.startswith(b"/"):
        return Rcfile(name, checked=name != b"/dev/null", folder=user.home)
    if name.startswith(b"./") or mail_filter:
        return Rcfile(name, checked=False, folder=b".")
    return Rcfile(user.home + b"/" + name, checked=True, folder=user.home)


def default_rcfile(user: User) -> Rcfile:
    """The user's ~/.procmailrc."""
    return Rcfile(user.home + b"/" + PERSONAL, checked=True, personal=True, folder=user.home)


def special_owner(host: Host, path: bytes) -> User | None:
    """The owner of the file `path` below /etc/procmailrcs, where only root decides which files exist."""
    if b".." in path:
        return None
    try:
        file, parent = host.stat(path), host.stat(path[: path.rfind(b"/")])
    except OSError:
        return None
    if stat.S_ISDIR(file.st_mode) or parent.st_uid != 0:
        return None
    return host.user_by_id(file.st_uid)


def open_file(host: Host, path: bytes) -> int | None:
    """A descriptor of the rcfile, which may be any kind of file; None if it cannot be read."""
    try:
        return host.open_to_read(path)
    except OSError:
        return None


def is_suspicious(host: Host, user: User, rcfile: Rcfile, file: os.stat_result) -> bool:
    """Whether another user could have written the rcfile; `file` is its status, from its descriptor."""
    if not rcfile.checked:
        return False
    if file.st_uid not in (user.uid, 0) or file.st_mode & stat.S_IWOTH:
        return True
    try:
        parent = host.stat(rcfile.path[: rcfile.path.rfind(b"/")] or b"/")
    except OSError:
        return True
    if _open_to_others(parent.st_mode):
        return True
    if not rcfile.personal:
        return False
    writable = file.st_mode & stat.S_IWGRP and file.st_gid != user.gid
    reachable = parent.st_mode & stat.S_IWGRP and parent.st_mode & stat.S_IXGRP and parent.st_gid != user.gid
    return bool(writable or (reachable and not parent.st_mode & stat.S_ISVTX))


def _open_to_others(mode: int) -> bool:
    return bool(mode & stat.S_IWOTH and mode & stat.S_IXOTH and not mode & stat.S_ISVTX)


def read(host: Host, fd: int, *, directory_is_empty: bool = False) -> bytes | None:
    """The content of the rcfile; None if it cannot be read.

    Raises:
        EndlessError: it is too large, or no data comes.
    """
    try:
        mode = host.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            return b"" if directory_is_empty else None
        return host.read_whole(fd, LARGEST_RULES_BYTES)
    except OSError as error:
        if error.errno in _WITHOUT_END:
            raise EndlessError from error
        return None


# -- programs --------------------------------------------------------------------------------


class Loader:
    """The programs of a process.

    A file is identified by its status, so that a changed file is read again.

    `compile` makes the program of a file's content; None if that is not possible now.
    """

    __slots__ = ("_known", "compile")

    def __init__(self, compile: Compiler) -> None:
        self._known: dict[tuple[int, ...], Program] = {}
        self.compile = compile

    def load(self, session: Session, path: bytes, rcfile: Rcfile | None = None) -> Program | None:
        """The program of the file `path`, which is `rcfile` unless an rcfile names it; None if it cannot be read.

        Raises:
            SuspiciousError: the rules for `rcfile` do not allow it to be trusted.
            NotCompiledError: it could not be compiled, though its text is not the cause.
        """
        if path == b"/dev/null":
            return ()
        host = session.host
        program = self._remembered(session, path, rcfile)
        if program is not None:
            return program
        fd = open_file(host, path)
        if fd is None:
            return None
        try:
            # All checks are made on the open file.
            status = host.fstat(fd)
            _check(session, rcfile, status)
            # procmail reads a directory as an empty rcfile, and with -m has the mail returned.
            empty = rcfile is not None and session.identity.strict
            return self._compiled(session, path, fd, status, directory_is_empty=empty)
        finally:
            host.close(fd)

    def reread(self, session: Session, source: bytes, passing: int | None) -> Program:
        """See Session.reread: PYPROCMAIL_STRICT needs it where a value decides how a line of the rcfile is read.

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
            # A file that an rcfile names may be one to which this mail was written.
            status = session.host.stat(path) if rcfile is None else session.host.rules_status(path)
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
        program: Program | None = None
        if regular:
            # `store` below put the kept programs of this language there.
            program = cache.load(path, status, strict=strict)  # type: ignore[assignment]
        if program is None:
            try:
                data = read(host, fd, directory_is_empty=directory_is_empty)
            except EndlessError:
                session.note("endless-rcfile", LARGEST_RULES_BYTES, path)
                return None
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


def _check(session: Session, rcfile: Rcfile | None, status: os.stat_result) -> None:
    if rcfile is not None and is_suspicious(session.host, session.identity.user, rcfile, status):
        raise SuspiciousError


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
