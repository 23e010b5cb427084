"""The interpreter of filter files: statements.  maildropfilter(7), "Statements"."""

from __future__ import annotations

import errno

from pyprocmail.engine.logfile import DEFAULT_KEEP, LARGEST_KEEP
from pyprocmail.engine.trace import EXPRESSION, Finding
from pyprocmail.maildrop import areas, commands, delivery, patterns
from pyprocmail.maildrop import instructions as op
from pyprocmail.maildrop.expressions import evaluate, holds
from pyprocmail.maildrop.session import FilterError, Finished
from pyprocmail.matching.regex import Area
from pyprocmail.numerals import clipped, leading
from pyprocmail.signals import AlarmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyprocmail.maildrop.instructions import DotLock, FLock, ForEach, If, Statement, Trap, While
    from pyprocmail.maildrop.session import Session

DEEPEST_INCLUDE = 20
TRUSTED_FOLDER = b"/etc/maildroprcs/"
"""Files in it may use every command, even in embedded mode.  maildrop(1), "/etc/maildroprcs"."""

_OCTAL = b"01234567"
_ESCAPES = {0x72: 13, 0x6E: 10, 0x74: 9, 0x66: 12, 0x76: 11}


def run(session: Session, program: Sequence[Statement], file: bytes) -> None:
    """Run a filter file; `file` is its name in messages.

    Raises:
        Finished: `exit` or `to` ended the run.
        FilterError: it failed.
    """
    outer, session.file = session.file, file
    trace = session.trace
    place = trace.place
    trace.rcfile = file
    for hear in trace.entered:
        hear(file)
    database = session.swap_database(None)
    try:
        _run(session, program)
    finally:
        opened = session.swap_database(database)
        if opened is not None:
            opened.close()
        session.file = outer
        for hear_end in trace.left:
            hear_end(file, "")
        trace.rcfile, trace.offset = place


def _run(session: Session, statements: Sequence[Statement]) -> None:
    for statement in statements:
        _execute(session, statement)


def _execute(session: Session, statement: Statement) -> None:
    session.trace.offset = statement[1]
    if statement[0] == op.EVALUATE:
        _, _, _, expression = statement
        evaluate(session, expression)
    elif statement[0] == op.IF:
        _if(session, statement)
    elif statement[0] == op.BLOCK:
        _, _, _, statements = statement
        _run(session, statements)
    elif statement[0] == op.WHILE:
        _while(session, statement)
    elif statement[0] == op.FOREACH:
        _foreach(session, statement)
    elif statement[0] == op.TRAP:
        _trap(session, statement)
    elif statement[0] == op.DOTLOCK:
        _dotlock(session, statement)
    elif statement[0] == op.FLOCK:
        _flock(session, statement)
    elif statement[0] == op.EXIT:
        raise Finished(session.exit_status(), delivered=False)
    else:
        kind, _, line, expression = statement
        _command(session, kind, line, evaluate(session, expression))


def _command(session: Session, kind: int, line: int, value: bytes) -> None:
    if kind == op.TO:
        delivery.deliver(session, value, final=True)
        raise Finished(session.exit_status(), delivered=True)
    if kind == op.CC:
        delivery.deliver(session, value)
    elif kind == op.ECHO:
        session.world.say(unescaped(value))
    elif kind == op.LOG:
        session.log.write(unescaped(value))
    elif kind == op.XFILTER:
        commands.filter_message(session, value)
    elif kind == op.SYSTEM:
        commands.system(session, value)
    elif kind == op.LOGFILE:
        _trace(session, "opening-logfile", line, value)
        _logfile(session, value)
    elif kind == op.INCLUDE:
        _include(session, line, value)
    elif kind == op.IMPORT:
        _trace(session, "importing", line, value)
        session.set(value, session.caller.get(value, b""))
    else:
        assert kind == op.UNSET
        _trace(session, "unsetting", line, value)
        session.unset(value)


def unescaped(text: bytes) -> bytes:
    """The text that echo and log write: backslashes resolved, and a newline unless the text ends in `\\c`."""
    out = bytearray()
    at, end = 0, len(text)
    while at < end:
        byte = text[at]
        at += 1
        if byte != 0x5C or at >= end:
            out.append(byte)
            continue
        byte = text[at]
        if byte in _OCTAL:
            value = 0
            while at < end and text[at] in _OCTAL:
                value = value * 8 + text[at] - 0x30
                at += 1
            out.append(value & 0xFF)
            continue
        at += 1
        if byte == 0x63 and at == end:
            return bytes(out)
        out.append(_ESCAPES.get(byte, byte))
    return bytes(out) + b"\n"


def _trace(session: Session, kind: str, line: int, *texts: bytes) -> None:
    if session.verbose > 3:
        session.note(kind, session.file, line, *texts)


def _tell(session: Session, true: bool, value: bytes) -> None:
    """Report the result of a condition to the readers of the trace."""
    for hear in session.trace.tested:
        finding = Finding(EXPRESSION, b"", b"", negated=False, held=true)
        finding.searched = Area(value)
        hear(session.trace.place, finding)


# -- control flow --------------------------------------------------------------------------


def _if(session: Session, statement: If) -> None:
    _, _, _, branches, otherwise = statement
    for line, condition, body in branches:
        _trace(session, "if-evaluating", line)
        true, value = holds(session, condition)
        _tell(session, true, value)
        _trace(session, "if-evaluated", line, value if session.settings.strict else b"%d" % true)
        if true:
            _execute(session, body)
            return
    if otherwise is not None:
        _execute(session, otherwise)


def _while(session: Session, statement: While) -> None:
    _, _, line, condition, body = statement
    while True:
        session.check_watchdog()
        _trace(session, "while-evaluating", line)
        true, value = holds(session, condition)
        _tell(session, true, value)
        _trace(session, "while-evaluated", line, value)
        if not true:
            return
        _execute(session, body)


def _foreach(session: Session, statement: ForEach) -> None:
    _, _, line, subject, pattern, body = statement
    area = b"" if subject is None else areas.named(session, subject)
    text = None if subject is None or area else evaluate(session, subject)
    for match in patterns.all_matches(session, line, text, pattern, area):
        session.set(b"MATCH", match)
        _execute(session, body)


def _trap(session: Session, statement: Trap) -> None:
    _, _, line, statements = statement
    _trace(session, "trapping", line)
    file, depth, embedded = session.file, session.depth, session.embedded
    try:
        _run(session, statements)
    except FilterError:
        session.file, session.depth, session.embedded = file, depth, embedded
        session.check_watchdog()
        _trace(session, "trapped", line)
        return
    except Finished as finished:
        # A delivery that ends with a status counts as failed, though the mail is delivered.
        if not finished.delivered or not finished.status:
            raise
        session.file, session.depth, session.embedded = file, depth, embedded
        _trace(session, "trapped", line)
        return
    _trace(session, "trap-removed", line)


def _dotlock(session: Session, statement: DotLock) -> None:
    _, _, line, expression, statements = statement
    name = evaluate(session, expression)
    _trace(session, "creating-dotlock", line, name)
    lock = delivery.take_dotlock(session, name)
    assert lock is not None
    try:
        with session.world.refreshing(lock, session.seconds(b"LOCKREFRESH")):
            _run(session, statements)
    except Finished as finished:
        # In the reference `exit` leaves the lockfile, and others would wait for it.
        if finished.delivered or not session.settings.strict:
            lock.release()
        raise
    except BaseException:
        lock.release()
        raise
    lock.release()


def _flock(session: Session, statement: FLock) -> None:
    _, _, line, expression, statements = statement
    name = evaluate(session, expression)
    _trace(session, "creating-flock", line, name)
    host = session.host
    try:
        fd = session.world.open_flock(name)
    except (OSError, ValueError) as error:
        raise FilterError("no-flock") from error
    try:
        try:
            with host.alarm(max(session.deadline() - host.monotonic(), 1)):
                host.lock_to_end(fd)
        except AlarmError as error:
            raise FilterError("timeout") from error
        except OSError as error:
            raise FilterError("no-flock") from error
        _run(session, statements)
    finally:
        host.close(fd)


# -- files ---------------------------------------------------------------------------------


def _logfile(session: Session, path: bytes) -> None:
    """`logfile`.  A named pipe that nobody reads does not prevent delivery."""
    limits = session.log.limits
    limits.max_bytes = max(_number(session, b"LOGFILE_MAXSIZE", 0), 0)
    limits.keep = clipped(_number(session, b"LOGFILE_KEEP", DEFAULT_KEEP), 0, LARGEST_KEEP)
    try:
        session.log.open(session.world, path)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENXIO:
            session.note("log-unread", path)
            return
        raise FilterError("no-log") from error


def _number(session: Session, name: bytes, default: int) -> int:
    """The value of a variable that is a number, or `default`."""
    number = leading(session.value(name))
    return default if number is None else number


def _include(session: Session, line: int, path: bytes) -> None:
    _trace(session, "opening-include", line, path)
    if session.depth >= DEEPEST_INCLUDE - 1:
        session.note("too-many-includes", session.file, line)
        raise FilterError
    trusted = path.startswith(TRUSTED_FOLDER) and b"." not in path
    embedded = session.embedded
    if trusted:
        session.embedded = False
        session.reset()
    session.depth += 1
    try:
        run(session, session.load(path), path)
    finally:
        session.depth -= 1
        session.embedded = embedded
