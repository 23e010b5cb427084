"""A worker's record of the jobs it has begun and the lockfiles it holds, for the supervisor to read if it is killed.

The ledger is a file in memory that worker and supervisor share.  Each record is a single write within one page, which a
signal cannot interrupt half-way.
"""

from __future__ import annotations

import marshal
import os
import struct
from dataclasses import dataclass

from pyprocmail.host import Host

_HEAD = struct.Struct("<QI")
_LARGEST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Claim:
    """A lockfile: its path, and the identity of the file."""

    path: bytes
    device: int
    inode: int
    mtime_ns: int

    def is_at(self, path: bytes) -> bool:
        """Whether the file at `path` is this one, and not a later file of the same name."""
        try:
            found = os.lstat(path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino, found.st_mtime_ns) == (self.device, self.inode, self.mtime_ns)


def make() -> int:
    """A descriptor of an empty ledger."""
    return os.memfd_create("ledger", os.MFD_CLOEXEC)


def read(fd: int) -> tuple[int, tuple[Claim, ...]]:
    """How many jobs were begun, and the lockfiles of the last one."""
    data = os.pread(fd, _LARGEST_BYTES, 0)
    if len(data) < _HEAD.size:
        return 0, ()
    begun, length = _HEAD.unpack_from(data)
    return begun, unpack_claims(data[_HEAD.size : _HEAD.size + length])


def pack_claims(claims: tuple[Claim, ...]) -> bytes:
    """Claims as bytes."""
    return marshal.dumps([(each.path, each.device, each.inode, each.mtime_ns) for each in claims])


def unpack_claims(data: bytes) -> tuple[Claim, ...]:
    """Restore the claims from their bytes."""
    return tuple(Claim(*values) for values in marshal.loads(data))  # noqa: S302  from a process of ours


class Ledger:
    """The worker's side.  A clone of the worker writes nothing here: the supervisor does not watch it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pid = os.getpid()
        self._begun = 0
        self._claims: dict[bytes, Claim] = {}

    def begin(self) -> None:
        """Record that a job begins, without lockfiles."""
        self._begun += 1
        self._claims.clear()
        self._write()

    def claim(self, path: bytes, status: os.stat_result) -> None:
        """Record that the lockfile `path` may be ours, if it is the file of `status`."""
        try:
            whole = os.path.join(os.getcwdb(), path)
        except OSError:
            return
        self._claims[path] = Claim(whole, status.st_dev, status.st_ino, status.st_mtime_ns)
        self._write()

    def disclaim(self, path: bytes) -> None:
        """Record that the lockfile is not ours, or no longer."""
        if self._claims.pop(path, None) is not None:
            self._write()

    def _write(self) -> None:
        if os.getpid() != self._pid:
            return
        text = pack_claims(tuple(self._claims.values()))
        if _HEAD.size + len(text) > _LARGEST_BYTES:
            text = pack_claims(())  # nobody removes these; they time out
        os.pwrite(self._fd, _HEAD.pack(self._begun, len(text)) + text, 0)


class WorkerHost(Host):
    """The real Host, which also records lockfiles in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def claim(self, path: bytes, status: os.stat_result) -> None:
        """See Host.claim."""
        self._ledger.claim(path, status)

    def disclaim(self, path: bytes) -> None:
        """See Host.disclaim."""
        self._ledger.disclaim(path)


def sweep(claims: tuple[Claim, ...]) -> int:
    """Remove the lockfiles that are still the claimed files; returns how many.  Runs as their owner."""
    removed = 0
    for each in claims:
        if each.is_at(each.path):
            try:
                os.unlink(each.path)
            except OSError:
                continue
            removed += 1
    return removed
