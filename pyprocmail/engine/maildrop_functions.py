"""The functions of filter files.  maildropfilter(7); maildropgdbm(5)."""

from __future__ import annotations

from pyprocmail.engine.maildrop_session import FilterError
from pyprocmail.matching.pcre import LimitError, PatternError, Regex
from pyprocmail.message import address
from pyprocmail.program.numerals import integer_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyprocmail.engine.maildrop_session import Session

    Argument = Callable[[], bytes]

_ESCAPED = frozenset(b"|!$()[]\\+*?.&;`'-~<>^{}\"")
_TO_FIELDS = (b"to", b"cc", b"resent-to", b"resent-cc")
_LINE_END = b"\r\n"
_SPACE = b" \t\v\f\r"


def call(session: Session, line: int, name: bytes, arguments: Sequence[Argument]) -> bytes:
    """The value of a function; an argument that is not needed is not evaluated.

    Raises:
        FilterError: a file that it needs cannot be read.
    """
    if name == b"time":
        return b"%d" % int(session.host.time())
    if name.startswith(b"gdbm"):
        from pyprocmail.engine import maildrop_database as database

        return database.call(session, name, arguments)
    values = [argument() for argument in arguments]
    first = values[0]
    if name == b"length":
        return _length(session, line, first)
    if name == b"substr":
        return _substr(session, line, values)
    if name == b"tolower":
        return first.lower()
    if name == b"toupper":
        return first.upper()
    if name == b"escape":
        return b"".join(b"\\%c" % byte if byte in _ESCAPED else b"%c" % byte for byte in first)
    if name == b"getaddr":
        return b"".join(found + b"\n" for found in addresses(first))
    if name == b"hasaddr":
        return _hasaddr(session, first)
    assert name == b"lookup"
    return _lookup(session, *values)


def addresses(text: bytes) -> list[bytes]:
    """The bare addresses in the value of a field."""
    return [found.text for found in address.parse(text) if found.text]


def _length(session: Session, line: int, text: bytes) -> bytes:
    value = b"%d" % len(text)
    if session.verbose > 5:
        session.log.say(b"%b(%d): Operation on: %b - strlength." % (session.file, line, text))
        session.log.say(b"%b(%d): Operation: strlength=%b" % (session.file, line, value))
    return value


def _substr(session: Session, line: int, values: Sequence[bytes]) -> bytes:
    text, start = values[0], integer_at(values[1])
    # maildrop reads before the beginning of the text.
    value = text[max(start, 0) :]
    trace = session.verbose > 5
    if trace:
        session.log.say(b"%b(%d): Operation on: %b - strsubstr %d" % (session.file, line, text, start))
    if len(values) > 2:
        count = integer_at(values[2])
        value = value[: max(count, 0)]
        if trace:
            session.log.say(b"%b(%d): Operation on: %b - strsubstr chop %d" % (session.file, line, text, count))
    if trace:
        session.log.say(b"%b(%d): Operation:  strsubstr=%b" % (session.file, line, value))
    return value


def _hasaddr(session: Session, text: bytes) -> bytes:
    wanted = text.lower()
    if session.verbose > 5:
        session.log.complain(b"hasaddr('%b')" % wanted)
    for value in _recipients(session.message.head):
        if session.verbose > 5:
            session.log.complain(b"hasaddr: rfc822 parsing: %b\n" % value)
        for found in addresses(value):
            if session.verbose > 5:
                session.log.complain(b"hasaddr: rfc822 parsed: %b" % found)
            if found.lower() == wanted:
                return b"1"
    return b"0"


def _recipients(head: bytes) -> list[bytes]:
    """The values of the fields that name recipients, folds joined."""
    values: list[bytes] = []
    reading = False
    for line in head.split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            if reading:
                values[-1] += line
            continue
        name, colon, value = line.partition(b":")
        reading = bool(colon) and name.lower() in _TO_FIELDS
        if reading:
            values.append(value)
    return values


def _lookup(session: Session, text: bytes, path: bytes, options: bytes = b"") -> bytes:
    """Whether one of the patterns in the file matches."""
    try:
        data = read_file(session, path)
    except OSError as error:
        raise FilterError(b"Unable to open %b.\n" % path) from error
    for pattern in data.split(b"\n"):
        pattern = pattern.lstrip(_SPACE)
        if not pattern or pattern.startswith(b"#"):
            continue
        try:
            if Regex(pattern, fold=b"D" not in options).search(text) is not None:
                return b"1"
        except PatternError as error:
            session.log.say(
                b"Invalid regular expression, offset %d of: %b: %b" % (error.offset, pattern, error.reason.encode())
            )
            raise FilterError(b"Bad pattern in %b: %b\n" % (path, pattern)) from error
        except LimitError:
            session.log.say(b"Match limit exceeded, taken for no match: %b: /%b/" % (path, pattern))
    return b"0"


def read_file(session: Session, path: bytes) -> bytes:
    """What is in a file.

    Raises:
        OSError: it cannot be read.
    """
    import os

    host = session.host
    try:
        fd = host.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY, 0)
    except ValueError as error:
        raise OSError("a NUL in the name") from error
    pieces = []
    try:
        while piece := host.read(fd, 1 << 16):
            pieces.append(piece)
    finally:
        host.close(fd)
    return b"".join(pieces)
