"""The names of messages in an MH folder: the next number."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host


def next_name(host: Host, folder: bytes) -> bytes:
    """The path of the next message: one more than the highest number that is a whole name.

    Raises:
        OSError: the folder cannot be read.
    """
    highest = 0
    for name in host.listdir(folder or b"/"):
        if name.isdigit():
            highest = max(highest, int(name))
    return b"%s/%d" % (folder, highest + 1)
