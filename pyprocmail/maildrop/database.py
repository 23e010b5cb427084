"""gdbm functions of filter files.  maildropgdbm(5)"""

from __future__ import annotations

from pyprocmail.maildrop.session import FilterError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyprocmail.maildrop.functions import Argument
    from pyprocmail.maildrop.session import Session
    from pyprocmail.maildrop.world import Database

_FAILED = b"-1"


def call(session: Session, name: bytes, arguments: Sequence[Argument]) -> bytes:
    """The value of gdbmopen, gdbmclose, gdbmfetch or gdbmstore.

    Raises:
        FilterError: gdbm is not installed, or the mode is not allowed.
    """
    if name == b"gdbmopen":
        values = [argument() for argument in arguments]
        return _open(session, values[0], values[1] if len(values) > 1 else b"R")
    database = session.database
    if name == b"gdbmclose":
        session.database = None
        if database is not None:
            database.close()
        return b"1" if database is not None else b""
    if name == b"gdbmstore":
        key, value = arguments[0](), arguments[1]()
        return _store(database, key, value)
    key = arguments[0]()
    options = arguments[1]() if len(arguments) > 1 else b""
    found = None if database is None else _fetch(database, key, options)
    if found is not None:
        return found
    return arguments[2]() if len(arguments) > 2 else b""


def _open(session: Session, path: bytes, mode: bytes) -> bytes:
    """0, or -1 if the file cannot be opened."""
    mode = mode[:1].upper()
    if session.embedded and mode in (b"W", b"C", b"N"):
        raise FilterError("database-embedded")
    previous, session.database = session.database, None
    if previous is not None:
        previous.close()
    if mode not in (b"C", b"N") and not session.world.exists(path):
        return _FAILED
    from pyprocmail.delivery import gdbm

    try:
        session.database = session.world.open_database(path, mode)
    except gdbm.NoLibraryError as error:
        raise FilterError("no-database-library") from error
    except OSError:
        return _FAILED
    return b"0"


def _store(database: Database | None, key: bytes, value: bytes) -> bytes:
    if database is None:
        return _FAILED
    try:
        database[key] = value
    except OSError:
        return _FAILED
    return b"0"


def _fetch(database: Database, key: bytes, options: bytes) -> bytes | None:
    """The value of the key; option D tries `user@`, the domain and its parents, option I a shorter address."""
    for candidate in _candidates(key, options):
        found = database.get(candidate)
        if found is not None:
            return found
    return None


def _candidates(key: bytes, options: bytes) -> Iterator[bytes]:
    yield key
    if b"D" in options:
        user, at, domain = key.partition(b"@")
        if at:
            yield user + at
            yield domain
        else:
            domain = key
        while b"." in domain:
            domain = domain.partition(b".")[2]
            yield domain
    elif b"I" in options:
        while b"." in key:
            key = key.rpartition(b".")[0]
            yield key
