"""The fate of a mail during a run."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.delivery.results import Delivered


class Fate:
    """The results of the recipes so far, and where the mail is.

    For the flags A, a, E and e: `last`, for A, is whether the last recipe without A or a matched; `previous` is
    for E and e; `succeeded` is about the last action.  `filter_failed` is about the last filter or capture that was
    waited for: procmail uses it also for those that it does not wait for.

    `score` is $=.  `folder` and `size` (bytes) are for the abstract; `folder` is relative to `folder_base`, a MAILDIR.
    `stored` is the last delivery to a folder.  `temporary`: something failed that may work later.
    `advice` says how to make a missing system mailbox.  `delivered`: the mail is delivered, and
    nothing later can change that.  `reported_delivered`: DELIVERED reported success to the caller early.
    """

    __slots__ = (
        "last", "previous", "succeeded", "filter_failed", "score", "folder", "folder_base", "size", "stored",
        "temporary", "advice", "delivered", "reported_delivered",
    )  # fmt: skip

    def __init__(self) -> None:
        self.begin()
        self.score = 0
        self.folder = b""
        self.folder_base = b""
        self.size = 0
        self.stored: Delivered | None = None
        self.temporary = False
        self.advice: tuple[bytes, ...] = ()
        self.delivered = False
        self.reported_delivered = False

    def begin(self) -> None:
        """Start with no recipe seen."""
        self.last = False
        self.previous = False
        self.succeeded = False
        self.filter_failed = False

    def copy(self) -> Fate:
        """A copy for a clone."""
        other = Fate()
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        return other
