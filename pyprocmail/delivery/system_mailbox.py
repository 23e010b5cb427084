"""The system mailbox: made when missing, moved out of the way when it is not the user's own."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.host import Host, User

    Note = Callable[..., None]

USABLE, UNUSABLE, AUTOFORWARDING = "usable", "unusable", "autoforwarding"


def screen(host: Host, path: bytes, user: User, *, suspend_s: int = 16, note: Note) -> str:
    """Look at the mailbox `path` of `user` before it is used: USABLE, UNUSABLE (no system mailbox then)
    or AUTOFORWARDING (exit EX_NOUSER with -d).

    A mailbox that somebody else could have put there is renamed to BOGUS.user.inode and a new one made.
    """
    raise NotImplementedError
