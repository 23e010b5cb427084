"""Finding rcfiles, deciding whether to trust them, and reading them.

procmail(1), DESCRIPTION and NOTES; procmailrc(5), INCLUDERC.
"""

from __future__ import annotations

import os
import stat

from pyprocmail.exits import PyprocmailError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host, User

GLOBAL = b"/etc/procmailrc"
GLOBAL_FOLDER = b"/etc/procmailrcs/"
PERSONAL = b".procmailrc"
_READ = 1 << 16


class SuspiciousError(PyprocmailError):
    """Somebody else could have written the rcfile."""


class Rcfile:
    """An rcfile of the command line or the default one: its path, and how far it must be trusted.

    `checked`: it has to belong to the user or to root, and nobody else may write to it.
    `personal`: the default one; the group must not be able to write to it either, unless it is
    the user's own.
    """

    __slots__ = ("path", "checked", "personal", "folder")

    def __init__(self, path: bytes, *, checked: bool, personal: bool = False, folder: bytes) -> None:
        self.path = path
        self.checked = checked
        self.personal = personal
        self.folder = folder


def locate(name: bytes, user: User, *, mail_filter: bool) -> Rcfile:
    """The rcfile that an operand names.

    `./x`, and with -m any relative name, is relative to the working directory; every other
    relative name is in the user's home.  `folder` is what MAILDIR begins with.
    """
    if name.startswith(b"/"):
        return Rcfile(name, checked=name != b"/dev/null", folder=user.home)
    if name.startswith(b"./") or mail_filter:
        return Rcfile(name, checked=False, folder=b".")
    return Rcfile(user.home + b"/" + name, checked=True, folder=user.home)


def default_rcfile(user: User) -> Rcfile:
    """The user's ~/.procmailrc."""
    return Rcfile(user.home + b"/" + PERSONAL, checked=True, personal=True, folder=user.home)


def special_owner(host: Host, path: bytes) -> User | None:
    """Who owns the file `path` below /etc/procmailrcs, where only root may say which files are there."""
    if b".." in path:
        return None
    try:
        file, parent = host.stat(path), host.stat(path[: path.rfind(b"/")])
    except OSError:
        return None
    if stat.S_ISDIR(file.st_mode) or parent.st_uid != 0:
        return None
    return host.user_by_id(file.st_uid)


def open_file(host: Host, path: bytes) -> int | None:
    """A descriptor of the rcfile, which need not be a regular file; None when it cannot be read."""
    try:
        return host.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None


def is_suspicious(host: Host, user: User, rcfile: Rcfile, file: os.stat_result) -> bool:
    """Whether somebody else could have written the rcfile, whose status, from its descriptor, is `file`."""
    if not rcfile.checked:
        return False
    if file.st_uid not in (user.uid, 0) or file.st_mode & stat.S_IWOTH:
        return True
    try:
        parent = host.stat(rcfile.path[: rcfile.path.rfind(b"/")] or b"/")
    except OSError:
        return True
    if _open_to_others(parent.st_mode):
        return True
    if not rcfile.personal:
        return False
    writable = file.st_mode & stat.S_IWGRP and file.st_gid != user.gid
    reachable = parent.st_mode & stat.S_IWGRP and parent.st_mode & stat.S_IXGRP and parent.st_gid != user.gid
    return bool(writable or (reachable and not parent.st_mode & stat.S_ISVTX))


def _open_to_others(mode: int) -> bool:
    return bool(mode & stat.S_IWOTH and mode & stat.S_IXOTH and not mode & stat.S_ISVTX)


def read(host: Host, fd: int, *, directory_is_empty: bool = False) -> bytes | None:
    """What is in the rcfile; None when it cannot be read."""
    try:
        if stat.S_ISDIR(host.fstat(fd).st_mode):
            return b"" if directory_is_empty else None
        chunks = []
        while chunk := host.read(fd, _READ):
            chunks.append(chunk)
        return b"".join(chunks)
    except OSError:
        return None
