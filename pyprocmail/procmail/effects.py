"""The effects of assigning special variables.  procmailrc(5), Environment."""

from __future__ import annotations

from pyprocmail import numerals
from pyprocmail.engine.logfile import DEFAULT_KEEP, LARGEST_KEEP
from pyprocmail.procmail.compiled.variables import NUMBERS, STRICT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.procmail.session import Session

    Effect = Callable[[Session, bytes | None], int]

GO_ON, INCLUDE, SWITCH, END_RCFILES, LEAVE = 0, 1, 2, 3, 4
"""What the interpreter does after an assignment: nothing, read another file and come back,
read another file instead, end all rcfiles (HOST), or leave the rest to a child (DELIVERED)."""

LINEBUF_MINIMUM = 128
LINEBUF_MAXIMUM = 1 << 24
"""The output of backquotes is kept in memory up to LINEBUF."""
USUAL_COMSAT = ("", 0)
"""The address of the usual comsat server, until it is looked up."""
SIGNED = (b"NORESRETRY",)
"""The numbers that may be negative."""

_LOG_MODE = 0o667


def _within(session: Session, name: bytes, number: int, low: int, high: int) -> int:
    """The number, limited to the range of the setting; a number out of range is logged."""
    taken = numerals.clipped(number, low, high)
    if taken != number and not session.identity.strict:
        session.note("out-of-range", b"%b=%d" % (name, number), taken)
    return taken


def _maildir(session: Session, value: bytes | None) -> int:
    try:
        session.world.enter(value or b"")
    except OSError:
        session.note("couldnt-chdir", value or b"")
        session.set(b"MAILDIR", b".")
    return GO_ON


def _logfile(session: Session, value: bytes | None) -> int:
    session.note("opening", value or b"/dev/null")
    try:
        session.log.turn(session.world.open_log(value or b"/dev/null", _LOG_MODE, session.log.limits))
    except OSError:
        session.note("error-writing", value or b"")
    return GO_ON


def _logfile_maxsize(session: Session, value: bytes | None) -> int:
    number = numerals.leading(value or b"") or 0
    session.log.limits.max_bytes = _within(session, b"LOGFILE_MAXSIZE", number, 0, numerals.LARGEST)
    return GO_ON


def _logfile_keep(session: Session, value: bytes | None) -> int:
    number = numerals.leading(value or b"")
    if number is None:
        number = DEFAULT_KEEP
    session.log.limits.keep = _within(session, b"LOGFILE_KEEP", number, 0, LARGEST_KEEP)
    return GO_ON


def _log(session: Session, value: bytes | None) -> int:
    session.log.write(value or b"")
    return GO_ON


def _verbose(session: Session, value: bytes | None) -> int:
    session.trace.verbose = bool(numerals.setting(value or b"", session.trace.verbose))
    return GO_ON


def _lastfolder(session: Session, value: bytes | None) -> int:
    del value
    # comsat is notified at the end, with the folder below MAILDIR as it is now.
    session.fate.folder_base = session.environment.get(b"MAILDIR", b"")
    return GO_ON


def _umask(session: Session, value: bytes | None) -> int:
    session.world.mask((numerals.leading(value or b"", 8) or 0) & 0o777)
    return GO_ON


def _linebuf(session: Session, value: bytes | None) -> int:
    number = max(numerals.leading(value or b"") or 0, LINEBUF_MINIMUM)
    session.variables.linebuf = _within(session, b"LINEBUF", number, LINEBUF_MINIMUM, LINEBUF_MAXIMUM)
    return GO_ON


def _exitcode(session: Session, value: bytes | None) -> int:
    if value is None:
        session.variables.exitcode = None
    elif value == b"":
        session.variables.exitcode = session.variables.TRAP_DECIDES
    else:
        session.variables.exitcode = numerals.as_int(numerals.setting(value, session.variables.TRAP_DECIDES))
    return GO_ON


def _shift(session: Session, value: bytes | None) -> int:
    count = numerals.as_int(numerals.setting(value or b"", 0))
    if count > 0:
        del session.variables.arguments[:count]
    return GO_ON


def _lockfile(session: Session, value: bytes | None) -> int:
    """Take the global lock, after the release of the former one."""
    held = session.locks.global_
    if held is not None:
        if held.path == value:
            return GO_ON
        session.locks.release_global()
    if value:
        session.locks.global_ = session.take_lock(value)
        if session.locks.global_ is None:
            session.unset(b"LOCKFILE")
    return GO_ON


def _dropprivs(session: Session, value: bytes | None) -> int:
    if numerals.setting(value or b"", 0):
        session.drop_privileges()
    return GO_ON


def _host(session: Session, value: bytes | None) -> int:
    name = session.host.hostname()
    if value == name:
        return GO_ON
    session.note("host-mismatched", name)
    session.fate.stored = None
    return END_RCFILES


def _strict(session: Session, value: bytes | None) -> int:
    """PYPROCMAIL_STRICT: from here on what differs on purpose is as in procmail, the end of the header too.

    It is about this run and not about programs that the run starts, so it is in no environment.
    """
    session.environment.pop(STRICT, None)
    strict = value == b"yes"
    if strict != session.identity.strict:
        session.identity.strict = strict
        session.replace_message(session.message.data)
    return GO_ON


def _comsat(session: Session, value: bytes | None) -> int:
    from pyprocmail.procmail import comsat

    comsat.configure(session, value or b"")
    return GO_ON


def _number(name: bytes) -> Effect:
    """The effect of assigning a variable that is a number."""

    def effect(session: Session, value: bytes | None) -> int:
        numbers = session.variables.numbers
        number = numerals.as_int(numerals.setting(value or b"", numbers[name]))
        numbers[name] = number if name in SIGNED else _within(session, name, number, 0, numerals.LONGEST_S)
        return GO_ON

    return effect


def _folder(name: bytes) -> Effect:
    """The effect of assigning DEFAULT or ORGMAIL."""

    def effect(session: Session, value: bytes | None) -> int:
        del value
        session.variables.usable.add(name)
        return GO_ON

    return effect


def _includerc(session: Session, value: bytes | None) -> int:
    del session
    return INCLUDE if value else GO_ON


def _switchrc(session: Session, value: bytes | None) -> int:
    del session, value
    return SWITCH


def _delivered(session: Session, value: bytes | None) -> int:
    del session
    return LEAVE if numerals.setting(value or b"", 0) else GO_ON


FOLDERS = (b"DEFAULT", b"ORGMAIL")
"""-m does not deliver to these unless an rcfile or the command line assigns them."""

EFFECTS: dict[bytes, Effect] = {
    **{name: _number(name) for name, default, _ in NUMBERS if default is not None},
    **{name: _folder(name) for name in FOLDERS},
    b"INCLUDERC": _includerc,
    b"SWITCHRC": _switchrc,
    b"DELIVERED": _delivered,
    b"MAILDIR": _maildir,
    b"LOGFILE": _logfile,
    b"LOGFILE_MAXSIZE": _logfile_maxsize,
    b"LOGFILE_KEEP": _logfile_keep,
    b"LOG": _log,
    b"VERBOSE": _verbose,
    b"LASTFOLDER": _lastfolder,
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
"""The effect of each variable besides its change of value; called with None when the variable is unset."""
