"""The functions of filter files.  maildropfilter(7); maildropgdbm(5)."""

from __future__ import annotations

import errno

from pyprocmail.host import LARGEST_FILE_BYTES
from pyprocmail.maildrop.arithmetic import integer
from pyprocmail.maildrop.session import FilterError
from pyprocmail.matching.pcre import LimitError, PatternError, Regex
from pyprocmail.message import address, header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyprocmail.maildrop.session import Session

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
        from pyprocmail.maildrop import database

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
        return escaped(first)
    if name == b"getaddr":
        return _listed(first)
    if name == b"hasaddr":
        return _hasaddr(session, first)
    assert name == b"lookup"
    return _lookup(session, *values)


def escaped(text: bytes) -> bytes:
    """The text with a backslash before each byte that is special to a shell."""
    out = bytearray()
    for byte in text:
        if byte in _ESCAPED:
            out.append(0x5C)
        out.append(byte)
    return bytes(out)


def addresses(text: bytes) -> Iterator[bytes]:
    """The bare addresses in the value of a field."""
    return (found.text for found in address.parse(text) if found.text)


def _listed(text: bytes) -> bytes:
    """getaddr: a line for each address."""
    lines = bytearray()
    for found in addresses(text):
        lines += found
        lines += b"\n"
    return bytes(lines)


def _length(session: Session, line: int, text: bytes) -> bytes:
    value = b"%d" % len(text)
    if session.verbose > 5:
        session.note("operation-on", session.file, line, text, b"strlength")
        session.note("operation-result", session.file, line, b"strlength", value)
    return value


def _substr(session: Session, line: int, values: Sequence[bytes]) -> bytes:
    text, start = values[0], integer(values[1])
    # maildrop reads before the beginning of the text.
    value = text[max(start, 0) :]
    trace = session.verbose > 5
    if trace:
        session.note("substr-from", session.file, line, text, start)
    if len(values) > 2:
        count = integer(values[2])
        value = value[: max(count, 0)]
        if trace:
            session.note("substr-count", session.file, line, text, count)
    if trace:
        session.note("substr-result", session.file, line, value)
    return value


def _hasaddr(session: Session, text: bytes) -> bytes:
    wanted = text.lower()
    if session.verbose > 5:
        session.note("hasaddr", wanted)
    for value in _recipients(session.message.head):
        if session.verbose > 5:
            session.note("hasaddr-field", value)
        for found in addresses(value):
            if session.verbose > 5:
                session.note("hasaddr-found", found)
            if found.lower() == wanted:
                return b"1"
    return b"0"


def _recipients(head: bytes) -> list[bytes]:
    """The values of the header fields that name recipients, folds joined."""
    values: list[bytearray] = []
    reading = False
    for line in header.lines(head):
        if line[:1] in (b" ", b"\t"):
            if reading:
                values[-1] += line
            continue
        name, colon, value = line.partition(b":")
        reading = bool(colon) and name.lower() in _TO_FIELDS
        if reading:
            values.append(bytearray(value))
    return [bytes(value) for value in values]


def _lookup(session: Session, text: bytes, path: bytes, options: bytes = b"") -> bytes:
    """Whether one of the patterns in the file matches."""
    try:
        data = read_file(session, path)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise FilterError("endless-file", LARGEST_FILE_BYTES, path) from error
        raise FilterError("unopened-file", path) from error
    for pattern in data.split(b"\n"):
        pattern = pattern.lstrip(_SPACE)
        if not pattern or pattern.startswith(b"#"):
            continue
        try:
            if Regex(pattern, fold=b"D" not in options).search(text) is not None:
                return b"1"
        except PatternError as error:
            session.note("invalid-pattern", error.offset, pattern, error.reason.encode())
            raise FilterError("bad-pattern-in-file", path, pattern) from error
        except LimitError:
            session.note("limit-in-file", path, pattern)
    return b"0"


def read_file(session: Session, path: bytes) -> bytes:
    """The content of a file.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return session.host.read_file(path, LARGEST_FILE_BYTES)
    except ValueError as error:
        raise OSError("a NUL in the name") from error
