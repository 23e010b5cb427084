"""Filter files: where they are, whether to trust them, and their programs."""

from __future__ import annotations

import errno
import os
import stat

from pyprocmail.engine.cache import Cache
from pyprocmail.host import LARGEST_RULES_BYTES
from pyprocmail.maildrop import interpreter
from pyprocmail.maildrop.session import UnusableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from pyprocmail.host import Host
    from pyprocmail.maildrop.instructions import Program
    from pyprocmail.maildrop.session import Session

    class Compiler(Protocol):
        """Makes programs."""

        def __call__(
            self, session: Session, data: bytes, name: bytes, /, *, traced: bool, caret: bool
        ) -> tuple[Program | None, tuple[tuple[bool, bytes], ...]] | None:
            """The program of `data` (None with a fault), and the lines to log; None if there is no parser.

            Each line has a flag: whether to put our name in front.

            Raises:
                UnusableError: it is nested too deeply.
            """


GLOBAL = b"/etc/maildroprc"
FILTER = b".mailfilter"
FOLDER = b".mailfilters"


class FilterFiles:
    """The filter files of this process, each compiled once.

    `compile` makes the program of a file's content.  `caret` shows the place of a fault.  `begun`: a filter file
    has run, so it may have had effects.  `tried`: the rules are only tried, so a file may belong to any user, and no
    program is kept on disk.
    """

    __slots__ = ("_host", "_strict", "_caret", "_programs", "_cache", "_tried", "begun", "compile")

    def __init__(
        self,
        host: Host,
        compile: Compiler,
        *,
        strict: bool,
        caret: bool,
        tried: bool = False,
    ) -> None:
        self._host = host
        self._strict = strict
        self._caret = caret and not strict
        self._programs: dict[tuple[bytes, bytes, int, int, int, int, int], Program] = {}
        self._cache: Cache | None = None
        self._tried = tried
        self.begun = False
        self.compile = compile

    def run(self, session: Session, path: bytes, *, required: bool) -> bool:
        """Run a filter file; whether it exists.

        Raises:
            UnusableError: it cannot be read, must not be, or has a fault.
            FilterError, Finished: raised while it runs.
        """
        if session.verbose > 1 and path != GLOBAL:
            session.note("attempting", path)
        try:
            status = self._host.stat(path)
        except OSError as error:
            if required or not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise UnusableError("unopened-filter", error.errno or 0) from error
            return False
        except ValueError as error:
            raise UnusableError("unopened-filter", errno.EINVAL) from error
        if not stat.S_ISREG(status.st_mode):
            raise UnusableError("filter-not-regular")
        if path != GLOBAL and not self._tried:
            if status.st_uid != self._host.getuid():
                raise UnusableError("filter-wrong-owner")
            if status.st_mode & stat.S_IWOTH:
                raise UnusableError("filter-writable")
        program = self._load(session, path, status, included=False)
        self.begun = True
        session.depth += 1
        interpreter.run(session, program, path)
        session.depth -= 1
        return True

    def run_named(self, session: Session, name: bytes) -> bool:
        """-M: run the first file that exists of those for the name; whether there is one."""
        try:
            status = self._host.stat(FOLDER)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise UnusableError("unopened-filter", error.errno or 0) from error
        if not stat.S_ISDIR(status.st_mode):
            raise UnusableError("filters-not-directory")
        if status.st_uid != self._host.getuid():
            raise UnusableError("filters-wrong-owner")
        if status.st_mode & stat.S_IWOTH:
            raise UnusableError("filters-writable")
        return any(self.run(session, FOLDER + b"/" + tried, required=False) for tried in candidates(name))

    def included(self, session: Session, path: bytes) -> Program:
        """The program of a file that `include` names.

        Raises:
            FilterError: it cannot be read, or has a fault.
        """
        try:
            status = self._host.stat(path)
        except (OSError, ValueError) as error:
            raise UnusableError("unopened-include") from error
        return self._load(session, path, status, included=True)

    def _load(self, session: Session, path: bytes, status: os.stat_result, *, included: bool) -> Program:
        """The program of a filter file: remembered, from the cache on disk, or compiled now."""
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
        cache = None if self._tried else self._cache or Cache(self._host, session.settings.user)
        self._cache = cache
        program = None
        if cache is not None and regular and not traced:
            # The cache checks that its content is plain values; the file's name says that they are a program.
            program = cache.load(path, status, strict=self._strict, language=language)  # type: ignore[assignment]
        if program is None:
            try:
                data = self._host.read_file(path, LARGEST_RULES_BYTES)
            except IsADirectoryError:
                data = b""
            except OSError as error:
                if error.errno == errno.EFBIG:
                    raise UnusableError("endless-filter", LARGEST_RULES_BYTES, path) from error
                if included:
                    raise UnusableError("unopened-include") from error
                raise UnusableError("unopened-filter", error.errno or 0) from error
            program = self._compile(session, data, path, traced=traced)
            if regular and cache is not None:
                cache.store(path, status, program, strict=self._strict, language=language)
        if regular:
            self._programs[key] = program
        return program

    def _compile(self, session: Session, data: bytes, path: bytes, *, traced: bool) -> Program:
        made = self.compile(session, data, path, traced=traced, caret=self._caret)
        if made is None:
            raise UnusableError("uncompiled")
        program, lines = made
        for complains, text in lines:
            session.note("diagnostic" if complains else "diagnostic-place", text)
        if program is None:
            raise UnusableError
        return program


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
