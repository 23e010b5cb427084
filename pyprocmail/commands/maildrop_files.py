"""Filter files: where they are, whether they are to be trusted, and their programs."""

from __future__ import annotations

import os
import stat

from pyprocmail.engine import maildrop
from pyprocmail.engine.maildrop_session import UnusableError
from pyprocmail.program.cache import Cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.engine.maildrop_log import Log
    from pyprocmail.engine.maildrop_session import Session
    from pyprocmail.host import Host
    from pyprocmail.program.instructions import Program

GLOBAL = b"/etc/maildroprc"
FILTER = b".mailfilter"
FOLDER = b".mailfilters"

_READ = 1 << 20
_UNOPENED = b"Unable to open include file."


class FilterFiles:
    """The filter files of this process, each compiled once.

    `caret` shows the place of a fault.  `begun`: a filter file was run, so something may have been done.
    """

    __slots__ = ("_host", "_log", "_strict", "_caret", "_programs", "_cache", "begun")

    def __init__(self, host: Host, log: Log, *, strict: bool, caret: bool) -> None:
        self._host = host
        self._log = log
        self._strict = strict
        self._caret = caret and not strict
        self._programs: dict[tuple[bytes, bytes, int, int, int, int, int], Program] = {}
        self._cache: Cache | None = None
        self.begun = False

    def run(self, session: Session, path: bytes, *, required: bool) -> bool:
        """Run a filter file; whether there is one.

        Raises:
            UnusableError: it must not be read, cannot be, or has a fault.
            FilterError, Finished: as it ran.
        """
        if session.verbose > 1 and path != GLOBAL:
            self._log.complain(b"Attempting %b" % path)
        try:
            status = self._host.stat(path)
        except OSError as error:
            if required or not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise UnusableError(b"Unable to open filter file, errno=%d." % (error.errno or 0)) from error
            return False
        except ValueError as error:
            raise UnusableError(b"Unable to open filter file, errno=22.") from error
        if not stat.S_ISREG(status.st_mode):
            raise UnusableError(b"mailfilter file isn't a regular file.")
        if path != GLOBAL:
            if status.st_uid != self._host.getuid():
                raise UnusableError(b"mailfilter file is owned by the wrong user.")
            if status.st_mode & stat.S_IWOTH:
                raise UnusableError(b"Invalid permissions on the filter file - world-writable.")
        program = self._load(session, path, status, included=False)
        self.begun = True
        session.depth += 1
        maildrop.run(session, program, path)
        session.depth -= 1
        return True

    def run_named(self, session: Session, name: bytes) -> bool:
        """-M: run the first of the files that the name stands for; whether there is one."""
        try:
            status = self._host.stat(FOLDER)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise UnusableError(b"Unable to open filter file, errno=%d." % (error.errno or 0)) from error
        if not stat.S_ISDIR(status.st_mode):
            raise UnusableError(b"$HOME/.mailfilters should be a directory.")
        if status.st_uid != self._host.getuid():
            raise UnusableError(b".mailfilters is owned by the wrong user.")
        if status.st_mode & stat.S_IWOTH:
            raise UnusableError(b"Invalid permissions on .mailfilters - world-writable.")
        return any(self.run(session, FOLDER + b"/" + tried, required=False) for tried in candidates(name))

    def included(self, session: Session, path: bytes) -> Program:
        """The program of a file that `include` names.

        Raises:
            FilterError: it cannot be read, or has a fault.
        """
        try:
            status = self._host.stat(path)
        except (OSError, ValueError) as error:
            raise UnusableError(_UNOPENED) from error
        return self._load(session, path, status, included=True)

    def _load(self, session: Session, path: bytes, status: os.stat_result, *, included: bool) -> Program:
        """The program of a filter file: remembered, from the cache on disk, or made now."""
        language = b"mailfilter-embedded" if session.embedded else b"mailfilter"
        key = (
            language, path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns,
        )  # fmt: skip
        traced = session.verbose > 8
        regular = stat.S_ISREG(status.st_mode)
        if regular and not traced:
            program = self._programs.get(key)
            if program is not None:
                return program
        cache = self._cache = self._cache or Cache(self._host, session.settings.user)
        program = cache.load(path, status, strict=self._strict, language=language) if regular and not traced else None
        if program is None:
            try:
                data = _read_file(self._host, path)
            except IsADirectoryError:
                data = b""
            except OSError as error:
                text = _UNOPENED if included else b"Unable to open filter file, errno=%d." % (error.errno or 0)
                raise UnusableError(text) from error
            program = self._compile(data, path, embedded=session.embedded, traced=traced)
            if regular:
                cache.store(path, status, program, strict=self._strict, language=language)
        if regular:
            self._programs[key] = program
        return program

    def _compile(self, data: bytes, path: bytes, *, embedded: bool, traced: bool) -> Program:
        from pyprocmail.mailfilter import compiled

        try:
            result = compiled.compile_filter(data, path, embedded=embedded, traced=traced, caret=self._caret)
        except RecursionError as error:
            raise UnusableError(b"The filter file is nested too deeply.") from error
        for complains, text in result.lines:
            if complains:
                self._log.complain(text)
            else:
                self._log.say(text)
        if result.program is None:
            raise UnusableError
        return result.program


def candidates(name: bytes) -> list[bytes]:
    """The files that -M looks for: name, prefix-default for every shorter prefix, default.  maildrop(1), -M."""
    name = name.replace(b"/", b":").replace(b".", b":")
    found = [name]
    prefix = name
    found.append(prefix + b"-default")
    while b"-" in prefix:
        prefix = prefix.rpartition(b"-")[0]
        found.append(prefix + b"-default")
    found.append(b"default")
    return found


def _read_file(host: Host, path: bytes) -> bytes:
    fd = host.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY, 0)
    pieces = []
    try:
        while piece := host.read(fd, _READ):
            pieces.append(piece)
    finally:
        host.close(fd)
    return b"".join(pieces)
