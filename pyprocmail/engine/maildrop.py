"""The interpreter of filter files: statements.  maildropfilter(7), "Statements"."""

from __future__ import annotations

import errno
import os

from pyprocmail.engine import maildrop_commands as commands
from pyprocmail.engine import maildrop_delivery as delivery
from pyprocmail.engine import maildrop_patterns as patterns
from pyprocmail.engine.logfile import DEFAULT_KEEP
from pyprocmail.engine.maildrop_expressions import evaluate, holds
from pyprocmail.engine.maildrop_session import FilterError, Finished
from pyprocmail.engine.numbers import leading_digits
from pyprocmail.program import filter_instructions as op
from pyprocmail.signals import AlarmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pyprocmail.engine.maildrop_session import Session

    # A tuple of the shape that program.filter_instructions describes for its kind.
    Statement = tuple[Any, ...]

DEEPEST_INCLUDE = 20
TRUSTED_FOLDER = b"/etc/maildroprcs/"
"""Files in it may do anything, even in embedded mode.  maildrop(1), "/etc/maildroprcs"."""

_OCTAL = b"01234567"
_ESCAPES = {0x72: 13, 0x6E: 10, 0x74: 9, 0x66: 12, 0x76: 11}


def run(session: Session, program: Sequence[Statement], file: bytes) -> None:
    """Run a filter file; `file` is its name in messages.

    Raises:
        Finished: `exit` or `to` ended the run.
        FilterError: it failed.
    """
    outer, session.file = session.file, file
    database = session.swap_database(None)
    try:
        _run(session, program)
    finally:
        opened = session.swap_database(database)
        if opened is not None:
            opened.close()
        session.file = outer


def _run(session: Session, statements: Sequence[Statement]) -> None:
    for statement in statements:
        _execute(session, statement)


def _execute(session: Session, statement: Statement) -> None:
    kind = statement[0]
    if kind == op.EVALUATE:
        evaluate(session, statement[3])
    elif kind == op.IF:
        _if(session, statement)
    elif kind == op.BLOCK:
        _run(session, statement[3])
    elif kind == op.WHILE:
        _while(session, statement)
    elif kind == op.FOREACH:
        _foreach(session, statement)
    elif kind == op.TRAP:
        _trap(session, statement)
    elif kind == op.DOTLOCK:
        _dotlock(session, statement)
    elif kind == op.FLOCK:
        _flock(session, statement)
    elif kind == op.EXIT:
        raise Finished(session.exit_status(), delivered=False)
    else:
        _command(session, kind, statement[2], evaluate(session, statement[3]))


def _command(session: Session, kind: int, line: int, value: bytes) -> None:
    if kind == op.TO:
        delivery.deliver(session, value)
        raise Finished(session.exit_status(), delivered=True)
    if kind == op.CC:
        delivery.deliver(session, value)
    elif kind == op.ECHO:
        _write_all(session, session.stdout, unescaped(value))
    elif kind == op.LOG:
        session.log.write(unescaped(value))
    elif kind == op.XFILTER:
        commands.filter_message(session, value)
    elif kind == op.SYSTEM:
        commands.system(session, value)
    elif kind == op.LOGFILE:
        _trace(session, line, b"Opening logfile %b" % value)
        _logfile(session, value)
    elif kind == op.INCLUDE:
        _include(session, line, value)
    elif kind == op.IMPORT:
        _trace(session, line, b'import  "%b"' % value)
        session.set(value, session.caller.get(value, b""))
    else:
        assert kind == op.UNSET
        _trace(session, line, b"unset %b" % value)
        session.variables.pop(value, None)


def _write_all(session: Session, fd: int, text: bytes) -> None:
    try:
        while text:
            text = text[session.host.write(fd, text) :]
    except OSError:
        pass  # what the mail server does with our output is its business


def unescaped(text: bytes) -> bytes:
    """What echo and log write: backslashes resolved, and a newline unless the text ends in `\\c`."""
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


def _trace(session: Session, line: int, text: bytes) -> None:
    if session.verbose > 3:
        session.log.say(b"%b(%d): %b" % (session.file, line, text))


# -- control flow --------------------------------------------------------------------------


def _if(session: Session, statement: Statement) -> None:
    for line, condition, body in statement[3]:
        _trace(session, line, b"Evaluating IF condition.")
        true, value = holds(session, condition)
        _trace(session, line, b"IF evaluated, result=%b" % (value if session.settings.strict else b"%d" % true))
        if true:
            _execute(session, body)
            return
    if statement[4] is not None:
        _execute(session, statement[4])


def _while(session: Session, statement: Statement) -> None:
    line, condition, body = statement[2:]
    while True:
        session.check_watchdog()
        _trace(session, line, b"Evaluating WHILE condition.")
        true, value = holds(session, condition)
        _trace(session, line, b"While condition evaluated, result=%b" % value)
        if not true:
            return
        _execute(session, body)


def _foreach(session: Session, statement: Statement) -> None:
    line, subject, pattern, body = statement[2:]
    text = None if subject is None else evaluate(session, subject)
    for match in patterns.all_matches(session, line, text, pattern):
        session.set(b"MATCH", match)
        _execute(session, body)


def _trap(session: Session, statement: Statement) -> None:
    line = statement[2]
    _trace(session, line, b"Trapping exceptions.")
    file, depth, embedded = session.file, session.depth, session.embedded
    try:
        _run(session, statement[3])
    except FilterError:
        session.file, session.depth, session.embedded = file, depth, embedded
        session.check_watchdog()
        _trace(session, line, b"Trapped exception.")
        return
    except Finished as finished:
        # A delivery that ends with a status is taken for one that failed, though the mail is delivered.
        if not finished.delivered or not finished.status:
            raise
        session.file, session.depth, session.embedded = file, depth, embedded
        _trace(session, line, b"Trapped exception.")
        return
    _trace(session, line, b"Exception trapping removed.")


def _dotlock(session: Session, statement: Statement) -> None:
    from pyprocmail.engine.maildrop_refresh import Refreshing

    name = evaluate(session, statement[3])
    _trace(session, statement[2], b"Creating dotlock %b" % name)
    lock = delivery.take_dotlock(session, name)
    assert lock is not None
    try:
        with Refreshing(session.host, lock.path, session.seconds(b"LOCKREFRESH")):
            _run(session, statement[4])
    except Finished as finished:
        # `exit` leaves the file behind with the reference: somebody else would wait for it.
        if finished.delivered or not session.settings.strict:
            lock.release()
        raise
    except BaseException:
        lock.release()
        raise
    lock.release()


def _flock(session: Session, statement: Statement) -> None:
    name = evaluate(session, statement[3])
    _trace(session, statement[2], b"Creating flock %b" % name)
    host = session.host
    try:
        fd = host.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o600)
    except (OSError, ValueError) as error:
        raise FilterError(b"Unable to create flock file.") from error
    try:
        try:
            with host.alarm(max(session.deadline() - host.monotonic(), 1)):
                host.lock_to_end(fd)
        except AlarmError as error:
            raise FilterError(b"Timeout quota exceeded.") from error
        except OSError as error:
            raise FilterError(b"Unable to create flock file.") from error
        _run(session, statement[4])
    finally:
        host.close(fd)


# -- files ---------------------------------------------------------------------------------


def _logfile(session: Session, path: bytes) -> None:
    """`logfile`.  A named pipe that nobody reads is no reason not to deliver."""
    limits = session.log.limits
    limits.max_bytes = max(_number(session, b"LOGFILE_MAXSIZE", 0), 0)
    limits.keep = max(_number(session, b"LOGFILE_KEEP", DEFAULT_KEEP), 0)
    try:
        session.log.open(path)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENXIO:
            session.log.complain(b"Nobody reads the log %b." % path)
            return
        raise FilterError(b"Unable to create log file.") from error


def _number(session: Session, name: bytes, default: int) -> int:
    """A variable that is a number, or `default`."""
    number = leading_digits(session.value(name))
    return default if number is None else number


def _include(session: Session, line: int, path: bytes) -> None:
    _trace(session, line, b"Opening include file %b" % path)
    if session.depth >= DEEPEST_INCLUDE - 1:
        session.log.say(b"%b(%d): Too many included files." % (session.file, line))
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
