"""maildrop: one mail from standard input through a filter file.

This path does not go through click: it is what a mail server starts for every message.  maildrop(1).
"""

from __future__ import annotations

import os
import stat
import sys

from pyprocmail import __version__
from pyprocmail.engine import maildrop
from pyprocmail.engine.maildrop_delivery import deliver
from pyprocmail.engine.maildrop_log import Log
from pyprocmail.engine.maildrop_session import SPOOL, FilterError, Finished, Session, Settings
from pyprocmail.exits import EX_NOUSER, EX_OK, EX_TEMPFAIL
from pyprocmail.host import Host, Interrupted, User
from pyprocmail.message.model import Message
from pyprocmail.program.cache import Cache
from pyprocmail.program.numerals import integer_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyprocmail.program.instructions import Program

GLOBAL = b"/etc/maildroprc"
FILTER = b".mailfilter"
FOLDER = b".mailfilters"

_READ = 1 << 20
_UMASK = 0o007
_DEEPEST = 20_000
_WITH_VALUE = b"dfAVwWmMDt"
_USAGE = b"""\
Usage: maildrop [options] [filter file] [arguments]
  -A "header: value"  add a header in front of the message
  -d user             deliver for this user
  -f address          the envelope sender
  -m                  embedded mode: the filter file may not deliver
  -M name             embedded mode with ~/.mailfilters/name
  -V level            say what is done, 1 to 9
  -w percent          put a warning into a maildir that is so full
  -W file             the text of that warning
  -v                  the version
  -h                  this text
"""


class Options:
    """The command line."""

    __slots__ = (
        "action", "headers", "user", "sender", "embedded", "embedded_name", "verbose", "warn_percent", "warning",
        "operands", "wrong",
    )  # fmt: skip

    def __init__(self) -> None:
        self.action = ""
        self.headers: list[bytes] = []
        self.user: bytes | None = None
        self.sender = b""
        self.embedded = False
        self.embedded_name: bytes | None = None
        self.verbose = 0
        self.warn_percent = 0
        self.warning = b"/etc/quotawarnmsg"
        self.operands: list[bytes] = []
        self.wrong = False


def parse(words: list[bytes]) -> Options:
    """Read the command line; its options end at the first word that is none."""
    options = Options()
    rest = list(words)
    while rest and rest[0].startswith(b"-") and len(rest[0]) > 1:
        word = rest.pop(0)
        if word == b"--":
            break
        letter, value = word[1:2], word[2:]
        if letter == b"m":
            options.embedded = True
            if value:
                rest.insert(0, b"-" + value)
            continue
        if letter in (b"h", b"v"):
            options.action = options.action or letter.decode("ascii")
            continue
        if letter == b"a":
            continue
        if letter not in (b"A", b"d", b"f", b"M", b"V", b"w", b"W"):
            options.wrong = True
            break
        if not value:
            value = rest.pop(0) if rest else b""
        _set(options, letter, value)
    options.operands = rest
    return options


def _set(options: Options, letter: bytes, value: bytes) -> None:
    if letter == b"A":
        options.headers.append(value)
    elif letter == b"d":
        options.user = value or None
    elif letter == b"f":
        options.sender = value
    elif letter == b"M":
        options.embedded = True
        options.embedded_name = value
    elif letter == b"V":
        options.verbose = integer_at(value)
    elif letter == b"w":
        options.warn_percent = integer_at(value)
    else:
        options.warning = value


class _EndError(Exception):
    """The run ends before it begins."""

    def __init__(self, status: int, text: bytes = b"") -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


def main(argv: list[bytes], host: Host, caller: Mapping[bytes, bytes], *, caret: bool = False) -> int:
    """Run maildrop with `argv`, its own name first; the exit status.

    A fault in a filter file is told in the reference's line, which mail servers log; with `caret`, or on a terminal,
    the place is shown below it.
    """
    log = Log(host, argv[0])
    options = parse(argv[1:])
    if options.wrong:
        log.complain(b"Bad command line arguments, -h for help.")
        return EX_TEMPFAIL
    if options.action == "v":
        _print(host, b"pyprocmail %b, a drop-in for maildrop 2.9.3\n" % __version__.encode())
        return EX_OK
    if options.action == "h":
        _print(host, _USAGE)
        return EX_TEMPFAIL
    sys.setrecursionlimit(_DEEPEST)
    try:
        return _Run(host, log, argv[0], options, caller, caret=caret or host.isatty(2)).run()
    except _EndError as end:
        if end.text:
            log.complain(end.text)
        return end.status
    except Interrupted as interrupted:
        log.complain(b"signal 0x%02X" % interrupted.signum)
        return EX_TEMPFAIL
    except RecursionError:
        log.complain(b"The filter file is nested too deeply.")
        return EX_TEMPFAIL


def _print(host: Host, text: bytes) -> None:
    try:
        host.write(1, text)
    except OSError:
        pass


class _Run:
    """One message for one user."""

    def __init__(
        self, host: Host, log: Log, name: bytes, options: Options, caller: Mapping[bytes, bytes], *, caret: bool
    ) -> None:
        self.host = host
        self.log = log
        self.name = name
        self.options = options
        self.caller = caller
        self.caret = caret
        # A user's environment does not decide what a program that root started for him does.
        self.strict = caller.get(b"PYPROCMAIL_STRICT") == b"yes" and not (options.user and host.geteuid() == 0)
        self.delivery = (
            options.user is not None or options.embedded_name is not None or not (options.operands or options.embedded)
        )

    def run(self) -> int:
        """Deliver; the exit status."""
        options = self.options
        file = b"" if self.delivery or not options.operands else options.operands[0]
        arguments = options.operands if self.delivery else options.operands[1:]
        user = self._user()
        if options.embedded and not self.delivery and not file:
            return EX_OK
        if self.delivery:
            self._enter_home(user)
        self.host.umask(_UMASK)
        data = _read_all(self.host)
        data = b"".join(header + b"\n" for header in options.headers) + data
        session = self._session(user, data, file, arguments)
        try:
            return self._process(session, file)
        finally:
            session.close()

    # -- whom for --------------------------------------------------------------------------

    def _user(self) -> User:
        host, name = self.host, self.options.user
        invoker = host.user_by_id(host.getuid())
        if name is None:
            if invoker is None:
                raise _EndError(EX_TEMPFAIL, b"Cannot determine my username.")
            return invoker
        user = host.user_by_name(name)
        if user is None:
            self.log.say(b"Invalid user specified.")
            raise _EndError(EX_NOUSER)
        if host.geteuid() != user.uid:
            try:
                if host.geteuid() != 0:
                    raise PermissionError
                self._make_mailbox(user)
                host.become(user)
            except OSError as error:
                raise _EndError(EX_TEMPFAIL, b"Cannot set my user or group id.") from error
        return user

    def _make_mailbox(self, user: User) -> None:
        """Make the system mailbox while we may: the user may not write to the spool."""
        host = self.host
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = host.open(SPOOL + user.name, flags, 0o600)
        except OSError:
            return
        try:
            host.fchown(fd, user.uid, -1)
        finally:
            host.close(fd)

    def _enter_home(self, user: User) -> None:
        host = self.host
        try:
            host.chdir(user.home or b"/")
            status = host.stat(b".")
        except OSError as error:
            raise _EndError(EX_TEMPFAIL, b"Unable to change to home directory.") from error
        if self.options.verbose > 1:
            self.log.complain(b"Changing to %b" % user.home)
        if status.st_uid != user.uid:
            raise _EndError(EX_TEMPFAIL, b"Home directory owned by wrong user.")
        if status.st_mode & stat.S_IWOTH:
            raise _EndError(EX_TEMPFAIL, b"Invalid home directory permissions - world writable.")
        if status.st_mode & stat.S_ISVTX:
            # The owner edits his filter file, and wants no mail meanwhile.
            raise _EndError(EX_TEMPFAIL)

    # -- the session -----------------------------------------------------------------------

    def _session(self, user: User, data: bytes, file: bytes, arguments: list[bytes]) -> Session:
        host, options = self.host, self.options
        settings = Settings(
            self.name,
            user,
            delivery=self.delivery,
            embedded=options.embedded,
            strict=self.strict,
            warn_percent=options.warn_percent,
            warning=options.warning,
        )
        caller = dict(self.caller)
        session = Session(
            host, self.log, settings, Message(data), caller, lambda path: self._load(session, path, included=True)
        )
        host.catch_signals(lambda _on: None)
        for name, value in caller.items():
            if not self.delivery or name in (b"LANG", b"LANGUAGE") or name.startswith(b"LC_"):
                session.set(name, value)
        session.reset()
        for name in (b"EXITCODE", b"RETURNCODE"):
            if self.delivery:
                session.variables.pop(name, None)
        session.set(b"UMASK", b"077")
        session.set(b"MAILDIRQUOTA", b"")
        session.set(b"HOSTNAME", host.hostname())
        session.set(b"MAILFILTER", options.embedded_name or file or FILTER)
        session.set(b"FROM", self._sender(session))
        session.measure()
        for number, argument in enumerate(arguments, 1):
            session.set(b"%d" % number, argument)
        if options.verbose:
            session.verbose = options.verbose
        if session.verbose > 1:
            self.log.say(b"Message envelope sender=%b" % session.value(b"FROM"))
        return session

    def _sender(self, session: Session) -> bytes:
        if self.options.sender:
            return self.options.sender
        for line in session.message.head.split(b"\n"):
            name, colon, value = line.partition(b":")
            if colon and name.lower() == b"return-path":
                words = value.lstrip().removeprefix(b"<").partition(b">")[0].split(None, 1)
                blank = value.lstrip().removeprefix(b"<")[:1].isspace()
                return words[0] if words and not blank else session.value(b"LOGNAME")
        return b"MAILER-DAEMON"

    def _process(self, session: Session, file: bytes) -> int:
        """Run the filter files; the exit status."""
        options = self.options
        try:
            if not self.delivery:
                self._filter(session, file, required=True)
            elif options.embedded_name is not None:
                if not self._filter_named(session, options.embedded_name):
                    return EX_OK
            else:
                self._filter(session, GLOBAL, required=False)
                self._filter(session, FILTER, required=False)
            if not options.embedded:
                deliver(session, session.value(b"DEFAULT"))
        except Finished as finished:
            return finished.status
        except FilterError as error:
            if error.text:
                self.log.complain(error.text)
            return EX_TEMPFAIL
        return session.exit_status()

    # -- filter files ----------------------------------------------------------------------

    def _filter(self, session: Session, path: bytes, *, required: bool) -> bool:
        """Run a filter file; whether there is one."""
        if session.verbose > 1 and path != GLOBAL:
            self.log.complain(b"Attempting %b" % path)
        try:
            status = self.host.stat(path)
        except OSError as error:
            if required or not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise FilterError(b"Unable to open filter file, errno=%d." % (error.errno or 0)) from error
            return False
        except ValueError as error:
            raise FilterError(b"Unable to open filter file, errno=22.") from error
        if not stat.S_ISREG(status.st_mode):
            raise FilterError(b"mailfilter file isn't a regular file.")
        if path != GLOBAL:
            if status.st_uid != self.host.getuid():
                raise FilterError(b"mailfilter file is owned by the wrong user.")
            if status.st_mode & stat.S_IWOTH:
                raise FilterError(b"Invalid permissions on the filter file - world-writable.")
        session.depth += 1
        maildrop.run(session, self._load(session, path, included=False), path)
        session.depth -= 1
        return True

    def _filter_named(self, session: Session, name: bytes) -> bool:
        """-M: the first of the files that the name stands for."""
        try:
            status = self.host.stat(FOLDER)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise FilterError(b"Unable to open filter file, errno=%d." % (error.errno or 0)) from error
        if not stat.S_ISDIR(status.st_mode):
            raise FilterError(b"$HOME/.mailfilters should be a directory.")
        if status.st_uid != self.host.getuid():
            raise FilterError(b".mailfilters is owned by the wrong user.")
        if status.st_mode & stat.S_IWOTH:
            raise FilterError(b"Invalid permissions on .mailfilters - world-writable.")
        return any(self._filter(session, FOLDER + b"/" + tried, required=False) for tried in candidates(name))

    def _load(self, session: Session, path: bytes, *, included: bool) -> Program:
        """The program of a filter file: from the cache on disk, or made now.

        Raises:
            FilterError: it cannot be read, or there is a fault in it; then that has been said.
        """
        unopened = b"Unable to open include file."
        try:
            status = self.host.stat(path)
        except (OSError, ValueError) as error:
            raise FilterError(unopened) from error
        language = b"mailfilter-embedded" if session.embedded else b"mailfilter"
        cache = Cache(self.host, session.settings.user)
        traced = session.verbose > 8
        regular = stat.S_ISREG(status.st_mode)
        if regular and not traced:
            program = cache.load(path, status, strict=self.strict, language=language)
            if program is not None:
                return program
        try:
            data = _read_file(self.host, path)
        except IsADirectoryError:
            data = b""
        except OSError as error:
            text = unopened if included else b"Unable to open filter file, errno=%d." % (error.errno or 0)
            raise FilterError(text) from error
        from pyprocmail.mailfilter import compiled

        result = compiled.compile_filter(
            data, path, embedded=session.embedded, traced=traced, caret=self.caret and not self.strict
        )
        for complains, text in result.lines:
            if complains:
                self.log.complain(text)
            else:
                self.log.say(text)
        if result.program is None:
            raise FilterError
        if regular:
            cache.store(path, status, result.program, strict=self.strict, language=language)
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


def _read_all(host: Host) -> bytes:
    pieces = []
    while piece := host.read(0, _READ):
        pieces.append(piece)
    return b"".join(pieces)
