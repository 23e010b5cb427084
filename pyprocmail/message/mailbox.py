"""Splitting a mailbox into its messages, in flat memory."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def split(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The messages of an mbox, each as `formail -s` feeds it to a program.

    `read(n)` gives up to n bytes, b"" at the end.  A message ends where an empty line is followed
    by a From_ line with a date; Content-Length is not believed.  Only the current message is in memory.
    """
    raise NotImplementedError
