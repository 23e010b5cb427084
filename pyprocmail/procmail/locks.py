"""The lockfiles that a run holds.  procmailrc(5), "Local lockfile" and LOCKFILE."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.delivery.locks import Lock


class Locks:
    """At most two: `local` is the recipe's, `global_` that of LOCKFILE.  `note` is called with each release."""

    __slots__ = ("local", "global_", "_note")

    def __init__(self, note: Callable[..., None]) -> None:
        self.local: Lock | None = None
        self.global_: Lock | None = None
        self._note = note

    def hold(self, path: bytes) -> bool:
        """Whether one of them is the lockfile `path`."""
        return any(lock is not None and lock.path == path for lock in (self.local, self.global_))

    def release_local(self) -> None:
        """Release the lockfile of the recipe."""
        lock, self.local = self.local, None
        self._release(lock)

    def release_global(self) -> None:
        """Release LOCKFILE."""
        lock, self.global_ = self.global_, None
        self._release(lock)

    def leave(self) -> None:
        """After a fork: forget the locks, which belong to the parent."""
        self.local = self.global_ = None

    def copy(self, note: Callable[..., None]) -> Locks:
        """A copy for a clone."""
        other = Locks(note)
        other.local, other.global_ = self.local, self.global_
        return other

    def _release(self, lock: Lock | None) -> None:
        if lock is not None:
            self._note("unlocking", lock.path)
            if not lock.release():
                self._note("couldnt-unlock", lock.path)
