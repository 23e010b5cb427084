"""The results of a delivery: values that the caller must examine."""

from __future__ import annotations

import errno

# Failures that another attempt does not mend: part of the path to the folder is missing, not a directory or too long.
_LASTING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


class Delivered:
    """The mail is on disk, in `folder` (several names have blanks between them).

    `size` is the size in the abstract log: the bytes written, with escapes and final newlines.
    """

    __slots__ = ("folder", "size")

    def __init__(self, folder: bytes, size: int) -> None:
        self.folder = folder
        self.size = size


class Failed:
    """The mail was not stored, and the folder is unchanged.

    `temporary`: another attempt may succeed.  `error` is the errno.  `size` is the size in the abstract
    log: the length of the text, or 0 if the folder could not be opened.
    """

    __slots__ = ("folder", "reason", "error", "temporary", "size")

    def __init__(self, folder: bytes, reason: str, error: int, size: int = 0) -> None:
        self.folder = folder
        self.reason = reason
        self.error = error
        self.temporary = error not in _LASTING
        self.size = size
