"""The names of messages in an MH folder: the next number."""

from __future__ import annotations

from pyprocmail.numerals import LARGEST, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host


def next_name(host: Host, folder: bytes) -> bytes:
    """The path of the next message: one more than the highest name that is all digits.

    A number that does not fit in 64 bits is not a message's.

    Raises:
        OSError: the folder cannot be read.
    """
    highest = 0
    for name in host.listdir(folder or b"/"):
        number = whole(name)
        if number is not None and number < LARGEST:
            highest = max(highest, number)
    return b"%s/%d" % (folder, highest + 1)
