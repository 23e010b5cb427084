"""A rehearsal of maildrop: nothing happens, but the run sees the effects of its own actions."""

from __future__ import annotations

import errno
import os

from pyprocmail.delivery import folder as folders
from pyprocmail.delivery import maildirplus, names
from pyprocmail.delivery.dotlocks import NoLockError
from pyprocmail.delivery.folder import MBOX
from pyprocmail.delivery.format import Text
from pyprocmail.delivery.quota import Quota, Usage
from pyprocmail.delivery.refresh import Refreshing
from pyprocmail.delivery.results import Delivered, Failed
from pyprocmail.engine import rehearsal as engine
from pyprocmail.engine.rehearsed import RehearsedLock
from pyprocmail.maildrop.world import World

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyprocmail.delivery.format import Chunk
    from pyprocmail.delivery.locks import Lock
    from pyprocmail.engine.rehearsal import Answer
    from pyprocmail.host import Host
    from pyprocmail.maildrop.world import Database

    Note = Callable[..., None]


class Rehearsal(engine.Rehearsal, World):
    """As in engine/rehearsal; quotas and gdbm databases change only for this run."""

    __slots__ = ("_usages", "_databases")

    def __init__(
        self, host: Host, *, keep: Callable[[bytes, Text], None] | None = None, answer: Answer | None = None
    ) -> None:
        super().__init__(host, keep=keep, answer=answer)
        self._usages: dict[bytes, _Usage] = {}
        self._databases: dict[bytes, dict[bytes, bytes]] = {}

    def append(
        self, path: bytes, text: Text, *, lock_timeout_s: int, note: Note, done: Callable[[], None], mode: int
    ) -> Delivered | Failed:
        """Report what would be appended to the mbox; the mbox exists here from now on."""
        note("opening", path)
        whole = self.whole(path)
        error = self.forbidden(whole, os.W_OK) if self.status(whole) else self.unreachable(whole)
        if error is not None:
            note("error-writing", path)
            return Failed(path, error.strerror or "cannot be opened", error.errno or errno.EIO)
        note("acquiring-kernel-lock")
        if path != folders.NULL_DEVICE:
            self.made.setdefault(whole, MBOX)
            self.kept(path, text)
        done()
        return Delivered(path, text.length)

    def deposit(
        self, folder: bytes, chunks: Iterable[Chunk], size: int, *, flags: bytes, keywords: bytes
    ) -> Delivered | Failed:
        """Report what would be stored in the maildir."""
        if flags.strip(maildirplus.FLAGS):
            return Failed(folder, "unknown flags", 0)
        path = folder + (b"/cur/" if flags else b"/new/") + names.unique(self.host)
        self.kept(path, Text(list(chunks), b""))
        return Delivered(path, size)

    def usage(self, folder: bytes, limit: bytes) -> Usage:
        """The usage of the maildir; it includes what the run adds, and nothing is written."""
        return self._usages.setdefault(folder, _Usage(self.host, folder, Quota(limit)))

    def warning_is_due(self, folder: bytes) -> bool:
        """No warning is ever stored."""
        return False

    def take_dotlock(self, path: bytes, *, sleep_s: int, stale_s: int, deadline: float) -> Lock:
        """Hold the lock in this rehearsal.

        Raises:
            NoLockError: its folder would not exist.
            TimeoutError: this run holds it already, and would wait for itself.
        """
        whole = self.whole(path)
        error = self.unreachable(whole)
        if error is not None:
            raise NoLockError(path, error)
        if whole in self.held:
            raise TimeoutError
        self.held.add(whole)
        return RehearsedLock(self.host, path, lambda: self.held.discard(whole))

    def refreshing(self, lock: Lock, seconds: int) -> Refreshing:
        """Nothing to do: no other process can break the lock."""
        return Refreshing(self.host, lock.path, 0)

    def open_flock(self, path: bytes) -> int:
        """A file that no other process has."""
        error = None if self.status(self.whole(path)) else self.unreachable(self.whole(path))
        if error is not None:
            raise error
        return self.host.memory_file()

    def say(self, text: bytes) -> None:
        """Write nothing."""

    def open_database(self, path: bytes, mode: bytes) -> Database:
        """The present database; the changes of the run are visible only to the run."""
        whole = self.whole(path)
        base: Database | None = None
        if mode == b"N":
            self._databases[whole] = {}
        elif super().exists(whole):
            base = super().open_database(whole, b"R")
        elif mode != b"C" and whole not in self._databases:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self.made[whole] = MBOX
        return _Database(base, self._databases.setdefault(whole, {}), changeable=mode in (b"W", b"C", b"N"))


class _Database:
    """A gdbm database: the present one (`base`, None if there is none), with the run's changes in `changed`."""

    __slots__ = ("_base", "_changed", "_changeable")

    def __init__(self, base: Database | None, changed: dict[bytes, bytes], *, changeable: bool) -> None:
        self._base = base
        self._changed = changed
        self._changeable = changeable

    def get(self, key: bytes) -> bytes | None:
        """The value of the key."""
        if key in self._changed or self._base is None:
            return self._changed.get(key)
        return self._base.get(key)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        if not self._changeable:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        self._changed[key] = value

    def close(self) -> None:
        """Close the file."""
        if self._base is not None:
            self._base.close()


class _Usage(Usage):
    """The usage of a maildir, with what the run would have added."""

    __slots__ = ("_added_bytes", "_added_messages")

    def __init__(self, host: Host, folder: bytes, quota: Quota) -> None:
        super().__init__(host, folder, quota)
        self._added_bytes = self._added_messages = 0

    def has_room(self, size: int) -> bool:
        """Whether a mail of `size` bytes would fit."""
        self.count()
        return self.quota.allows(self.size + self._added_bytes + size, self.messages + self._added_messages + 1)

    def percent_full(self) -> int:
        """How full the folder would be, in per cent."""
        self.count()
        return self.quota.percent(self.size + self._added_bytes, self.messages + self._added_messages)

    def add(self, size: int) -> None:
        """Count a mail of `size` bytes that would be stored now."""
        self._added_bytes += size
        self._added_messages += 1
