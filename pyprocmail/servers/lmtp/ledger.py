"""What a worker notes down about itself, to be read by others if it is killed: jobs begun, and lockfiles that it has.

The ledger is a file in memory that worker and supervisor share.  A record is written by one write within one page,
which a signal does not tear.
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
    """A lockfile: its path, and which file it is."""

    path: bytes
    device: int
    inode: int
    mtime_ns: int

    def is_at(self, path: bytes) -> bool:
        """Whether the file at `path` is this one, and not another in its place."""
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
    """What `pack_claims` made."""
    return tuple(Claim(*values) for values in marshal.loads(data))  # noqa: S302  from a process of ours


class Ledger:
    """The worker's side.  A clone of the worker writes nothing: it ends by itself, and is no worker."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pid = os.getpid()
        self._begun = 0
        self._claims: dict[bytes, Claim] = {}

    def begin(self) -> None:
        """Another job is begun."""
        self._begun += 1
        self._claims.clear()
        self._write()

    def claim(self, path: bytes, status: os.stat_result) -> None:
        """The lockfile `path` may be ours from now on, if it is the file of `status`."""
        try:
            whole = os.path.join(os.getcwdb(), path)
        except OSError:
            return
        self._claims[path] = Claim(whole, status.st_dev, status.st_ino, status.st_mtime_ns)
        self._write()

    def disclaim(self, path: bytes) -> None:
        """It is not ours, or is not any more."""
        if self._claims.pop(path, None) is not None:
            self._write()

    def _write(self) -> None:
        if os.getpid() != self._pid:
            return
        text = pack_claims(tuple(self._claims.values()))
        if _HEAD.size + len(text) > _LARGEST_BYTES:
            text = pack_claims(())  # such locks have to grow old
        os.pwrite(self._fd, _HEAD.pack(self._begun, len(text)) + text, 0)


class WorkerHost(Host):
    """The machine, for a worker with a ledger."""

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
    """Remove the lockfiles that are still those of the claims; how many.  Runs as the user whose they are."""
    removed = 0
    for each in claims:
        if each.is_at(each.path):
            try:
                os.unlink(each.path)
            except OSError:
                continue
            removed += 1
    return removed
