"""The world of a session of maildrop: what it does outside itself differently from procmail, or in addition."""

from __future__ import annotations

import os

from pyprocmail.delivery import dotlocks, maildirplus, mbox, quota
from pyprocmail.delivery.refresh import Refreshing
from pyprocmail.engine import world as engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from pyprocmail.delivery.format import Chunk, Text
    from pyprocmail.delivery.locks import Lock
    from pyprocmail.delivery.results import Delivered, Failed
    from pyprocmail.message.model import Message

    Note = Callable[..., None]

    class Database(Protocol):
        """An open gdbm database."""

        def get(self, key: bytes) -> bytes | None:
            """The value of the key."""

        def __setitem__(self, key: bytes, value: bytes) -> None: ...

        def close(self) -> None:
            """Close the file."""


class World(engine.World):
    """The real world, on a Host.  Each step is reported to `note` before anything that may wait."""

    __slots__ = ()

    # -- folders ---------------------------------------------------------------------------

    def divert(self, target: bytes, message: Message, *, final: bool) -> bool | None:
        """Whether a world that delivers nothing has noted that the mail is for the folder or `!addresses`.

        None: this world delivers, so the caller has to.
        """
        return None

    def append(
        self, path: bytes, text: Text, *, lock_timeout_s: int, note: Note, done: Callable[[], None], mode: int
    ) -> Delivered | Failed:
        """Append an entry to the mbox `path`, as maildrop does; see mbox.append."""
        return mbox.append(self.host, path, text, lock_timeout_s=lock_timeout_s, note=note, done=done, mode=mode)

    def deposit(
        self, folder: bytes, chunks: Iterable[Chunk], size: int, *, flags: bytes, keywords: bytes
    ) -> Delivered | Failed:
        """Store `size` bytes in the maildir, as maildrop does; see maildirplus.store."""
        return maildirplus.store(self.host, folder, chunks, size, flags=flags, keywords=keywords)

    def usage(self, folder: bytes, limit: bytes) -> quota.Usage:
        """The usage of a maildir with a quota."""
        return quota.Usage(self.host, folder, quota.Quota(limit))

    def warning_is_due(self, folder: bytes) -> bool:
        """Whether it is time to warn that the maildir is nearly full; see quota.

        Raises:
            OSError: the time of the warning cannot be stored.
        """
        return quota.warning_is_due(self.host, folder)

    # -- locks -----------------------------------------------------------------------------

    def take_dotlock(self, path: bytes, *, sleep_s: int, stale_s: int, deadline: float) -> Lock:
        """Take the dotlock `path`, as maildrop does; see dotlocks.take.

        Raises:
            NoLockError: the folder cannot be written to.
            TimeoutError: the deadline has passed.
        """
        return dotlocks.take(self.host, path, sleep_s=sleep_s, stale_s=stale_s, deadline=deadline)

    def refreshing(self, lock: Lock, seconds: int) -> Refreshing:
        """A context in which no other process breaks the lock as stale; see refresh."""
        return Refreshing(self.host, lock.path, seconds)

    def open_flock(self, path: bytes) -> int:
        """A descriptor of the file `path` for a kernel lock; the file is made if it is missing.

        Raises:
            OSError: it cannot be opened.
        """
        return self.host.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o600)

    # -- output and databases of filter files ------------------------------------------------

    def say(self, text: bytes) -> None:
        """Write to standard output.  Errors are ignored: they are the caller's business."""
        try:
            while text:
                text = text[self.host.write(self.stdout, text) :]
        except OSError:
            pass

    def open_database(self, path: bytes, mode: bytes) -> Database:
        """The gdbm database `path`, to read it, or with mode W, C and N to change it; see gdbm.

        Raises:
            NoLibraryError: this machine has no gdbm.
            OSError: it cannot be opened.
        """
        from pyprocmail.delivery import gdbm

        return gdbm.Database(path, gdbm.MODES.get(mode, gdbm.READ), 0o666)
