"""Making maildirs, and folders in them.  maildirmake(1), maildir(5)"""

from __future__ import annotations

import os

from pyprocmail.delivery import storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host

OWN_MODE = 0o700
_PARTS = (b"/tmp", b"/new", b"/cur")
_MARK = b"/maildirfolder"
_MARK_MODE = 0o600


def make(host: Host, path: bytes, mode: int, part_mode: int, *, is_folder: bool) -> None:
    """Make the maildir `path`, whatever the umask; `is_folder`: it is a folder of the maildir above it.

    On failure the parts already made are removed.

    Raises:
        OSError: it exists, or cannot be made.
    """
    made: list[bytes] = []
    marked = False
    try:
        for name, bits in ((path, mode), *((path + part, part_mode) for part in _PARTS)):
            host.mkdir(name, OWN_MODE)
            made.append(name)
            host.chmod(name, bits)
        if is_folder:
            fd = host.open(path + _MARK, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MARK_MODE)
            marked = True
            storage.write_file(host, path + _MARK, fd, ())
        storage.sync_folder(host, path)
        storage.sync_folder(host, names_folder(path))
    except BaseException:
        if marked:
            storage.remove(host, path + _MARK)
        for name in reversed(made):
            try:
                host.rmdir(name)
            except OSError:
                pass  # the first error is the one to report
        raise


def make_with_parents(host: Host, path: bytes) -> None:
    """Make a maildir and all missing folders above it; an existing one is left alone.

    Raises:
        OSError: one of them cannot be made.
    """
    for end in range(1, len(path)):
        if path[end : end + 1] == b"/" and path[end - 1 : end] != b"/":
            try:
                host.mkdir(path[:end], OWN_MODE)
            except FileExistsError:
                continue
            storage.sync_folder(host, names_folder(path[:end]))
    try:
        make(host, path, OWN_MODE, OWN_MODE, is_folder=False)
    except FileExistsError:
        pass  # the delivery shows whether it is a maildir


def names_folder(path: bytes) -> bytes:
    """The folder that contains the last name of the path."""
    folder = path.rstrip(b"/").rpartition(b"/")
    return folder[0] + folder[1] or b"."
