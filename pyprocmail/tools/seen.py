"""A file of keys that were seen, each with an expiry time.  Many processes use it at once.

Each line is `until key value`; the last line of a key counts, and a line that a crash left unfinished does not.  The
lock is on a separate permanent file, so that the file itself can be replaced when it has grown.
"""

from __future__ import annotations

import errno
import os

# hashlib would load OpenSSL, which reads the caller's environment.
from _blake2 import blake2b

from pyprocmail.delivery import maildir_making, storage
from pyprocmail.numerals import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host

_LARGEST_BYTES = 1 << 20
"""A file that would grow beyond this is rewritten without expired lines, and with at most half as much."""
_READ_BYTES = 8 << 20
_PATIENCE_S = 30.0
_MODE = 0o600
_TORN = b" ! !\n"
"""Completes a line that a crash truncated, so that it never counts."""
_KEY_BYTES = 20


def key_of(*parts: bytes) -> bytes:
    """A key of fixed length for any texts: a hash."""
    text = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return blake2b(text, digest_size=_KEY_BYTES).hexdigest().encode()


class Seen:
    """The file, locked until `close()`.

    Raises:
        OSError: it cannot be read, or other processes hold its lock for half a minute.
    """

    __slots__ = ("_host", "_path", "_lock", "_data")

    def __init__(self, host: Host, path: bytes) -> None:
        self._host = host
        self._path = path
        self._lock = host.open(path + b".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, _MODE)
        try:
            if not host.lock_whole(self._lock, _PATIENCE_S):
                raise OSError(errno.EAGAIN, "another process holds the lock", path + b".lock")
            self._data = self._read()
        except BaseException:
            host.close(self._lock)
            raise

    def close(self) -> None:
        """Release the lock."""
        self._host.close(self._lock)

    def _read(self) -> bytes:
        try:
            return self._host.read_file(self._path, _READ_BYTES)
        except FileNotFoundError:
            return b""

    def get(self, key: bytes) -> bytes | None:
        """The value of the key; None if there is none, or it has expired."""
        data = self._data
        at = data.rfind(b" %b " % key)
        if at < 0:
            return None
        start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
        words = data[start:end].split(b" ")
        until = whole(words[0])
        if end < 0 or len(words) != 3 or until is None or until <= self._host.time():
            return None
        return words[2]

    def put(self, key: bytes, value: bytes, until: float) -> None:
        """Store the value, which must not contain blanks; it is on disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        line = b"%d %b %b\n" % (until, key, value)
        if self._data and not self._data.endswith(b"\n"):
            line = _TORN + line
        if len(self._data) + len(line) > _LARGEST_BYTES:
            self._write_anew(line.removeprefix(_TORN))
        else:
            self._append(line)
        self._data += line

    def forget(self, key: bytes) -> None:
        """Remove the key.

        Raises:
            OSError: it cannot be written.
        """
        self.put(key, b"-", 0)

    def _append(self, line: bytes) -> None:
        host = self._host
        fd = host.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, _MODE)
        try:
            storage.write_all(host, fd, [line])
            storage.sync(host, fd)
        except BaseException:
            storage.close(host, fd)
            raise
        host.close(fd)
        if not self._data:
            storage.sync_folder(host, maildir_making.names_folder(self._path))

    def _write_anew(self, line: bytes) -> None:
        host = self._host
        now = host.time()
        kept = [line]
        room = _LARGEST_BYTES // 2
        known = {line.split(b" ")[1]}
        whole_lines = self._data[: self._data.rfind(b"\n") + 1]
        for old in reversed(whole_lines.split(b"\n")):
            words = old.split(b" ")
            if len(words) != 3 or words[1] in known:
                continue
            known.add(words[1])
            if (whole(words[0]) or 0) > now and room > 0:
                kept.append(old + b"\n")
                room -= len(old) + 1
        temporary = self._path + b".new"
        fd = host.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
        storage.write_file(host, temporary, fd, [b"".join(reversed(kept))])
        host.rename(temporary, self._path)
        storage.sync_folder(host, maildir_making.names_folder(self._path))
