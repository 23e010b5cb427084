"""The cache of Message-IDs (or senders) already seen: -D.

The file is a ring of keys, each ended by a NUL; an empty key marks the place for the next one.  Keys after
the mark are the oldest ones and still count.  The format is procmail's, and a procmail may use the file at the same
time.
"""

from __future__ import annotations

import errno
import os

from pyprocmail.host import LARGEST_FILE_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host


_CHUNK_BYTES = 1 << 16


def create(host: Host, path: bytes) -> None:
    """Make sure that the cache can be used.

    Raises:
        OSError: the file cannot be opened for reading and writing.
    """
    host.close(_open(host, path))


def seen(host: Host, path: bytes, key: bytes, limit_bytes: int) -> bool:
    """Whether `key` is in the cache; if not, it is added.

    A key may exceed the limit by its length.  The file is locked meanwhile, so that of two processes with
    the same new key only one gets False.
    """
    fd = _open(host, path)
    try:
        host.lock_to_end(fd)
        # Keys that begin after the limit do not count, so this much suffices, however long a stranger's Message-ID is.
        found, place = _search(_content(host, fd, limit_bytes + len(key) + 1), key, limit_bytes)
        if not found:
            host.lseek(fd, place, os.SEEK_SET)
            data = key + b"\0\0"
            while data:
                data = data[host.write(fd, data) :]
    finally:
        host.close(fd)
    return found


def _open(host: Host, path: bytes) -> int:
    return host.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, 0o666)


def _content(host: Host, fd: int, most: int) -> bytes:
    """The first `most` bytes of the file.

    Raises:
        OSError: it cannot be read; EFBIG: more than LARGEST_FILE_BYTES of it are needed.
    """
    pieces = []
    left = most
    while left > 0 and (piece := host.read(fd, min(left, _CHUNK_BYTES))):
        pieces.append(piece)
        left -= len(piece)
        if most - left > LARGEST_FILE_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return b"".join(pieces)


def _search(content: bytes, key: bytes, limit: int) -> tuple[bool, int]:
    """Whether `key` is in `content`, and the place for a new key.

    Keys that begin at `limit` or later are ignored; without a mark before `limit` the ring starts at 0 again.
    """
    place = 0
    marked = False
    start = 0
    while start < limit and (end := content.find(b"\0", start)) >= 0:
        if content[start:end] == key:
            return True, 0
        if start == end and not marked:
            place, marked = start, True
            # The mark is followed by the rest of an overwritten key.
            end = content.find(b"\0", end + 1)
            if end < 0:
                break
        start = end + 1
    return False, place


def key_of(content: bytes) -> bytes:
    """The key for the content of a field: without leading blanks, and up to the first NUL."""
    return content.lstrip(b" ").partition(b"\0")[0]
