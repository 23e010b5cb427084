"""What becomes of a mail in the course of a run."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.delivery.results import Delivered


class Fate:
    """How the recipes so far went, and where the mail is.

    What the flags A, a, E and e ask: `last` is for A, the conditions of the last recipe without A or a; `previous` is
    for E and e; `succeeded` is about the last action.  `filter_failed` is about the last filter or capture that was
    waited for: what procmail says of those that it does not wait for.

    `score` is $=.  `folder` and `size` (bytes) are what the abstract says, `folder_base` the MAILDIR that the folder
    is relative to.  `stored` is the last delivery to a folder.  `temporary`: something failed that may work later.
    `advice` says how the system mailbox can be made, which is missing.  `delivered`: the mail is where it was to go, so
    that nothing later can turn that.  `reported_delivered`: DELIVERED told the caller so before.
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
        """No recipe has been seen."""
        self.last = False
        self.previous = False
        self.succeeded = False
        self.filter_failed = False

    def copy(self) -> Fate:
        """The same, for a clone."""
        other = Fate()
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        return other
