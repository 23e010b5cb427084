"""Which kind of folder a name means, and making the directories that it needs."""

from __future__ import annotations

import errno
import stat

from pyprocmail.delivery import storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.host import Host

    Note = Callable[..., None]

MBOX, MAILDIR, MH, DIRECTORY = "mbox", "maildir", "mh", "directory"
_MAILDIR_PARTS = (b"/new", b"/cur", b"/tmp")


def kind_of(host: Host, name: bytes) -> tuple[str, bytes]:
    """The kind that `name` is spelled as, and the name without the spelling of the kind.

    `x/.` is an MH folder, `x/` a maildir, an existing directory takes msg files, the rest is an mbox.
    """
    if name and not name.strip(b"/"):
        return (DIRECTORY if name == b"/" else MAILDIR), b"/"
    if name.endswith(b"/."):
        path = name[:-2]
        return MH, path.rstrip(b"/") or path[:1]
    if name.endswith(b"/"):
        return MAILDIR, name.rstrip(b"/")
    return (DIRECTORY if is_directory(host, name) else MBOX), name


def is_directory(host: Host, path: bytes) -> bool:
    """Whether `path` leads to a directory."""
    status = storage.status_of(host, path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def make_directory(host: Host, path: bytes, note: Note) -> OSError | None:
    """Have the directory `path`, its parent existing; the error, noted, when that cannot be."""
    if is_directory(host, path or b"/"):
        return None
    try:
        host.mkdir(path, storage.FOLDER_MODE)
    except OSError as error:
        if is_directory(host, path):
            return None
        note("unable-as-directory", path)
        if error.errno == errno.EEXIST:
            return NotADirectoryError(errno.ENOTDIR, "not a directory", path)
        return error
    try:
        storage.sync_folder(host, path[: path.rfind(b"/") + 1])
    except OSError as error:
        note("unable-as-directory", path)
        return error
    return None


def make_maildir_parts(host: Host, path: bytes, note: Note) -> OSError | None:
    """Have new, cur and tmp in the directory `path`; the first error, noted, when that cannot be."""
    for part in _MAILDIR_PARTS:
        error = make_directory(host, path + part, note)
        if error is not None:
            note("skipped", path)
            return error
    return None
