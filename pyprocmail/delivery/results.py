"""What a delivery came to: values that the caller must look at."""

from __future__ import annotations

import errno

# Failures that another try will not mend: the way to the folder is missing, or cannot be a way.
_LASTING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


class Delivered:
    """The mail is on disk, in `folder` (several names have blanks between them).

    `size` is what the abstract log shows: the bytes written, escapes and final newlines included.
    """

    __slots__ = ("folder", "size")

    def __init__(self, folder: bytes, size: int) -> None:
        self.folder = folder
        self.size = size


class Failed:
    """The mail is not there, and the folder is as it was.

    `temporary` says that another try may succeed; `error` is the errno; `size` is what the abstract
    log shows: the length of the text, 0 when the folder could not even be opened.
    """

    __slots__ = ("folder", "reason", "error", "temporary", "size")

    def __init__(self, folder: bytes, reason: str, error: int, size: int = 0) -> None:
        self.folder = folder
        self.reason = reason
        self.error = error
        self.temporary = error not in _LASTING
        self.size = size
