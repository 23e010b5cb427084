"""Programs on disk, so that a delivery need not parse its rcfile again.

A cache file is a header and a marshalled program.  It is read only if everything about it is
right: only we may write to the folder, and magic, versions, length and checksum fit.  A cache
that is missing, foreign or broken is ignored; nothing here makes a delivery fail.
"""

from __future__ import annotations

import marshal
import os
import stat
import sys
from zlib import crc32

from pyprocmail import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from pyprocmail.host import Host, User

    Value: TypeAlias = int | float | bytes | bool | tuple["Value", ...] | None
    Program: TypeAlias = tuple[tuple[Value, ...], ...]

_MAGIC = b"pyprocmail program\n"
_SETTLED_S = 2.0
FORMAT = 4
"""The version of the programs' format: raise it with every change of either language's instructions."""

LIMIT_BYTES = 64 << 20
"""The largest program that is kept."""

KEPT_FILES = 64
KEPT_BYTES = 64 << 20
KEPT_S = 90 * 24 * 60 * 60
"""Limits of the cache: the number of programs, their size together, and their age.  The newest are kept."""
_HALF_WRITTEN_S = 60 * 60
"""A temporary file of this age was left by a writer that was killed."""

_PLAIN = (int, float, bytes, bool, type(None))
ROOT_FOLDER = b"/var/cache/pyprocmail"


def _header(body: bytes) -> bytes:
    text = f"{__version__} {FORMAT} {sys.implementation.cache_tag} {sys.hexversion} {len(body)} {crc32(body)}\n"
    return _MAGIC + text.encode()


class Cache:
    """The cache of the user that this process runs as.

    Root's is in /var/cache, so that root neither reads nor writes a cache that a user could prepare;
    every other user's is in ~/.cache of the home in the password file.
    """

    __slots__ = ("_host", "_folder", "_uid", "_usable")

    def __init__(self, host: Host, user: User) -> None:
        self._host = host
        self._uid = host.geteuid()
        home = user.home if user.uid == self._uid else b""
        self._folder = ROOT_FOLDER if self._uid == 0 else home + b"/.cache/pyprocmail" if home else b""
        self._usable: bool | None = None

    def load(
        self, path: bytes, status: os.stat_result, *, strict: bool, language: bytes = b"procmailrc"
    ) -> Program | None:
        """The program of the file `path` in `language`, if the cache has it; `status` is the file's."""
        if not self._is_usable(create=False):
            return None
        name = self._name(path, status, strict, language)
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            entry = os.fstat(fd)
            if not stat.S_ISREG(entry.st_mode) or entry.st_uid != self._uid or entry.st_mode & 0o077:
                return None
            if entry.st_size > LIMIT_BYTES:
                return None
            return unpack(os.read(fd, entry.st_size))
        except OSError:
            return None
        finally:
            os.close(fd)

    def store(
        self,
        path: bytes,
        status: os.stat_result,
        program: Program,
        *,
        strict: bool,
        language: bytes = b"procmailrc",
    ) -> None:
        """Keep the program, unless the file may still change without its time changing."""
        if (
            abs(self._host.time() - status.st_mtime) < _SETTLED_S
            or abs(self._host.time() - status.st_ctime) < _SETTLED_S
        ):
            return
        if not self._is_usable(create=True):
            return
        name = self._name(path, status, strict, language)
        temporary = b"%s.%d.tmp" % (name, os.getpid())
        try:
            data = pack(program)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except (OSError, ValueError):
            return
        try:
            with open(fd, "wb") as file:
                file.write(data)
            os.rename(temporary, name)
            self._prune(name)
        except OSError:
            # After the renaming there is no temporary file to remove.
            try:
                os.unlink(temporary)
            except OSError:
                pass

    def _prune(self, kept: bytes) -> None:
        """Remove programs that are old, or too many; only after a write, since a hit must cost no more.

        There is no lock.  A process whose program is removed before it could read it compiles the file again;
        a program that is open stays readable.  `kept` is the file just written.

        Raises:
            OSError: the folder cannot be read.
        """
        found = []
        for entry in os.scandir(self._folder):
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_uid == self._uid and entry.path != kept:
                found.append((status.st_mtime, status.st_size, entry.path))
        found.sort(reverse=True)
        now, count, size = self._host.time(), 1, os.lstat(kept).st_size
        for changed, length, path in found:
            if path.endswith(b".tmp"):
                superfluous = now - changed > _HALF_WRITTEN_S
            else:
                count, size = count + 1, size + length
                superfluous = (
                    count > KEPT_FILES or size > KEPT_BYTES or now - changed > KEPT_S or _is_former(path, kept)
                )
            if superfluous:
                try:
                    os.unlink(path)
                except OSError:
                    pass  # another writer removed it

    def _name(self, path: bytes, status: os.stat_result, strict: bool, language: bytes) -> bytes:
        identity = b"%b-%d-%d-%d-%d-%d-%d-%d" % (
            language,
            crc32(path) if path.startswith(b"/") else 0,
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            strict,
        )
        return self._folder + b"/" + identity

    def _is_usable(self, *, create: bool) -> bool:
        if self._usable is None or (create and not self._usable):
            self._usable = bool(self._folder) and self._check(create)
        return self._usable

    def _check(self, create: bool) -> bool:
        """Whether every part of the path is a directory of ours or root's that nobody else can change."""
        folder = b""
        status: os.stat_result | None = None
        parts = self._folder.strip(b"/").split(b"/")
        for index, part in enumerate(parts):
            folder += b"/" + part
            mine = index >= len(parts) - 2 or self._uid == 0
            try:
                status = os.lstat(folder)
            except FileNotFoundError:
                if not (create and mine):
                    return False
                try:
                    os.mkdir(folder, 0o700)
                    status = os.lstat(folder)
                except OSError:
                    return False
            except OSError:
                return False
            if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (0, self._uid):
                return False
            if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
                return False
        return status is not None and status.st_uid == self._uid and not status.st_mode & 0o077


def _is_former(name: bytes, now: bytes) -> bool:
    """Whether the cache file `name` is an older version of `now`: of the same path, or the same inode."""
    former, current = name.rsplit(b"-", 7), now.rsplit(b"-", 7)
    if len(former) != len(current) or (former[0], former[-1]) != (current[0], current[-1]):
        return False
    return (former[1] == current[1] != b"0") or former[2:4] == current[2:4]


def pack(program: Program) -> bytes:
    """The program in the format of a cache file.

    Raises:
        ValueError: the program has a value of a type that programs never have.
    """
    body = marshal.dumps(program)
    return _header(body) + body


def unpack(data: bytes, *, plain: bool = False) -> Program | None:
    """The program in `data`; None unless header and checksum fit.

    `plain`: another process made the data, so check that it has only the types of a program.
    """
    end = data.find(b"\n", len(_MAGIC)) + 1
    body = data[end:]
    if not end or data[:end] != _header(body):
        return None
    try:
        program = marshal.loads(body)  # noqa: S302  nothing of it is executed
    except (EOFError, ValueError, TypeError):
        return None
    return program if isinstance(program, tuple) and (not plain or _is_plain(program)) else None


def _is_plain(program: Program) -> bool:
    left: list[Value] = [program]
    while left:
        value = left.pop()
        if type(value) is tuple:
            left += value
        elif type(value) not in _PLAIN:
            return False
    return True
