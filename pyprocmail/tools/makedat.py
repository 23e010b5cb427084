"""makedat: a database for the gdbm functions of filter files, from a text file.  makedat(1)"""

from __future__ import annotations

import os

from pyprocmail.delivery import gdbm, maildir_making, storage
from pyprocmail.exits import EX_TEMPFAIL
from pyprocmail.host import LARGEST_FILE_BYTES
from pyprocmail.message import header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

_USAGE = b"Usage: makedat -src=textfile -file=database -tmp=temporary\n"
_OPTIONS = (b"-src", b"-file", b"-tmp")
_MODE = 0o644


def run(host: Host, argv: Sequence[bytes], read: Callable[[], bytes], note: Write) -> int:
    """Run makedat with `argv`; `read` reads standard input.  Returns the exit status.

    Raises:
        OSError: a system call failed for a reason that may pass; the database is unchanged.
    """
    given = dict(word.partition(b"=")[::2] for word in argv[1:])
    if not all(given.get(name) for name in _OPTIONS) or len(given) != len(_OPTIONS):
        note(_USAGE)
        return 1
    source, target, temporary = (given[name] for name in _OPTIONS)
    try:
        text = read() if source == b"-" else host.read_file(source, LARGEST_FILE_BYTES)
    except FileNotFoundError as error:
        note(b"makedat: %b: %b\n" % (source, (error.strerror or "cannot be read").encode()))
        return 1
    try:
        twice = _write(host, temporary, text)
    except gdbm.NoLibraryError:
        note(b"makedat: this machine has no gdbm library\n")
        return EX_TEMPFAIL
    if twice is not None:
        storage.remove(host, temporary)
        note(b"makedat: %b has two values\n" % twice)
        return 1
    try:
        _sync(host, temporary)
        host.rename(temporary, target)
    except BaseException:
        storage.remove(host, temporary)
        raise
    storage.sync_folder(host, maildir_making.names_folder(target))
    return 0


def _write(host: Host, path: bytes, text: bytes) -> bytes | None:
    """Write the database; stops at a key that occurs twice, and returns it."""
    database = gdbm.Database(path, gdbm.NEW, _MODE)
    try:
        for line in header.lines(text):
            if not line or line.startswith(b"#"):
                continue
            key, _, value = line.partition(b"\t")
            if database.get(key) is not None:
                return key
            database[key] = value or b"1"
    except BaseException:
        storage.remove(host, path)
        raise
    finally:
        database.close()
    return None


def _sync(host: Host, path: bytes) -> None:
    fd = host.open(path, os.O_RDONLY | os.O_CLOEXEC, 0)
    try:
        storage.sync(host, fd)
    finally:
        host.close(fd)
