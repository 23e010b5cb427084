"""The special variables: what they are before a rcfile says anything, and what assigning them does.

One table, read by the engine, by checks and by the manual page.  procmailrc(5), Environment.
"""

from __future__ import annotations

from pyprocmail.engine import numbers
from pyprocmail.engine.logfile import DEFAULT_KEEP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.engine.session import Session

    Effect = Callable[[Session, bytes | None], int]

GO_ON, INCLUDE, SWITCH, END_RCFILES, LEAVE = 0, 1, 2, 3, 4
"""What the interpreter has to do after an assignment: nothing, read another file and come back,
read another file instead, end all rcfiles (HOST), or leave the rest to a child (DELIVERED)."""

LINEBUF_MINIMUM = 128
USUAL_COMSAT = ("", 0)
"""The address of the usual comsat server, as long as nobody has looked it up."""
VERSION_OF_REFERENCE = b"3.23pre"

STRICT = b"PYPROCMAIL_STRICT"
"""`yes`: do as procmail does where we do better by default.  pyprocmail-compat(7)."""

DEFAULTS: tuple[tuple[bytes, bytes], ...] = (
    (b"SHELLMETAS", b"&|<>~;?*["),
    (b"LOCKEXT", b".lock"),
    (b"SENDMAILFLAGS", b"-oi"),
    (b"PROCMAIL_VERSION", VERSION_OF_REFERENCE),
    (b"SHELLFLAGS", b"-c"),
    (b"SENDMAIL", b"/usr/sbin/sendmail"),
    (b"MSGPREFIX", b"msg."),
    (b"LINEBUF", b"2048"),
)
"""Variables that every run begins with, whoever it is for."""

SECONDS: dict[bytes, int] = {
    b"LOCKSLEEP": 8,
    b"LOCKTIMEOUT": 1024,
    b"TIMEOUT": 960,
    b"SUSPEND": 16,
    b"NORESRETRY": 4,
}
"""Numbers (seconds, but for NORESRETRY) that keep their value when something unreadable is assigned."""


def _maildir(session: Session, value: bytes | None) -> int:
    try:
        session.host.chdir(value or b"")
    except OSError:
        session.note("couldnt-chdir", value or b"")
        session.set(b"MAILDIR", b".")
    return GO_ON


def _logfile(session: Session, value: bytes | None) -> int:
    session.note("opening", value or b"/dev/null")
    if not session.log.open(value or b"/dev/null"):
        session.note("error-writing", value or b"")
    return GO_ON


def _logfile_maxsize(session: Session, value: bytes | None) -> int:
    session.log.limits.max_bytes = max(numbers.leading_digits(value or b"") or 0, 0)
    return GO_ON


def _logfile_keep(session: Session, value: bytes | None) -> int:
    number = numbers.leading_digits(value or b"")
    session.log.limits.keep = DEFAULT_KEEP if number is None else max(number, 0)
    return GO_ON


def _log(session: Session, value: bytes | None) -> int:
    session.log.write(value or b"")
    return GO_ON


def _verbose(session: Session, value: bytes | None) -> int:
    session.log.verbose = bool(numbers.read(value or b"", session.log.verbose))
    return GO_ON


def _lastfolder(session: Session, value: bytes | None) -> int:
    del value
    # Where it lies is told to comsat at the end, whatever MAILDIR is by then.
    session.folder_base = session.environment.get(b"MAILDIR", b"")
    return GO_ON


def _logabstract(session: Session, value: bytes | None) -> int:
    session.log.abstract = numbers.read(value or b"", session.log.abstract)
    return GO_ON


def _umask(session: Session, value: bytes | None) -> int:
    session.host.umask((numbers.leading_digits(value or b"", 8) or 0) & 0o777)
    return GO_ON


def _linebuf(session: Session, value: bytes | None) -> int:
    session.linebuf = max(numbers.leading_digits(value or b"") or 0, LINEBUF_MINIMUM)
    return GO_ON


def _exitcode(session: Session, value: bytes | None) -> int:
    if value is None:
        session.exitcode = None
    elif value == b"":
        session.exitcode = session.TRAP_DECIDES
    else:
        session.exitcode = numbers.read(value, session.TRAP_DECIDES)
    return GO_ON


def _shift(session: Session, value: bytes | None) -> int:
    count = numbers.read(value or b"", 0)
    if count > 0:
        del session.arguments[:count]
    return GO_ON


def _lockfile(session: Session, value: bytes | None) -> int:
    """Take the global lock; the one before is given back first."""
    held = session.global_lock
    if held is not None:
        if held.path == value:
            return GO_ON
        session.release_global_lock()
    if value:
        session.global_lock = session.take_lock(value)
        if session.global_lock is None:
            session.unset(b"LOCKFILE")
    return GO_ON


def _dropprivs(session: Session, value: bytes | None) -> int:
    if numbers.read(value or b"", 0):
        session.drop_privileges()
    return GO_ON


def _host(session: Session, value: bytes | None) -> int:
    name = session.host.hostname()
    if value == name:
        return GO_ON
    session.note("host-mismatched", name)
    session.stored = None
    return END_RCFILES


def _strict(session: Session, value: bytes | None) -> int:
    """PYPROCMAIL_STRICT: what differs on purpose is as in procmail from here on, what ends the header too.

    It is about this run and not about those that a program of it may start, so it is in no environment.
    """
    session.environment.pop(STRICT, None)
    strict = value == b"yes"
    if strict != session.identity.strict:
        session.identity.strict = strict
        session.replace_message(session.message.data)
    return GO_ON


def _comsat(session: Session, value: bytes | None) -> int:
    from pyprocmail.engine import comsat

    comsat.configure(session, value or b"")
    return GO_ON


EFFECTS: dict[bytes, Effect] = {
    b"MAILDIR": _maildir,
    b"LOGFILE": _logfile,
    b"LOGFILE_MAXSIZE": _logfile_maxsize,
    b"LOGFILE_KEEP": _logfile_keep,
    b"LOG": _log,
    b"VERBOSE": _verbose,
    b"LASTFOLDER": _lastfolder,
    b"LOGABSTRACT": _logabstract,
    b"UMASK": _umask,
    b"LINEBUF": _linebuf,
    b"EXITCODE": _exitcode,
    b"SHIFT": _shift,
    b"LOCKFILE": _lockfile,
    b"DROPPRIVS": _dropprivs,
    b"HOST": _host,
    b"COMSAT": _comsat,
    STRICT: _strict,
}
"""What assigning a variable does besides changing its value; None is passed when it is unset."""


FOLDERS = (b"DEFAULT", b"ORGMAIL")
"""What -m does not deliver to unless an rcfile or the command line assigns it."""


def take_effect(session: Session, name: bytes, value: bytes | None) -> int:
    """Do what the assignment of a special variable does; says how to go on."""
    if name in session.numbers:
        session.numbers[name] = numbers.read(value or b"", session.numbers[name])
    elif name in FOLDERS:
        session.usable.add(name)
    elif name == b"INCLUDERC":
        return INCLUDE if value else GO_ON
    elif name == b"SWITCHRC":
        return SWITCH
    elif name == b"DELIVERED":
        return LEAVE if numbers.read(value or b"", 0) else GO_ON
    else:
        effect = EFFECTS.get(name)
        return effect(session, value) if effect else GO_ON
    return GO_ON
