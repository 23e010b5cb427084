"""The system mailbox: made if missing, renamed if it is not the user's own.

procmail(1), "If no rcfiles ..." and the diagnostics "Renaming bogus mailbox" and "Enforcing stricter
permissions".  This happens at every start without -m, before any rcfile is read.
"""

from __future__ import annotations

import errno
import os
import stat

from pyprocmail.delivery import storage
from pyprocmail.delivery.names import encode, folder_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.host import Host, User

    Note = Callable[..., None]

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
SPOOL = b"/var/mail/"
DEAD_LETTER = b"/tmp/dead.letter"
USABLE, UNUSABLE, AUTOFORWARDING = "usable", "unusable", "autoforwarding"


def mailbox_of(user: User) -> bytes:
    """The system mailbox of the user."""
    return SPOOL + user.name if user.name else DEAD_LETTER


def screen(host: Host, path: bytes, user: User, *, suspend_s: int = 16, note: Note, advise: bool = False) -> str:
    """Check the mailbox `path` of `user` before its use: USABLE, UNUSABLE or AUTOFORWARDING (with -d EX_NOUSER).

    A mailbox that another user could have put there is renamed to BOGUS.user.inode, and a new one is made.
    `advise`: if the user may not make it, note how root can.
    """
    status = _lstat(host, path)
    if status is not None and _is_bogus(status, user):
        # Perhaps a mail program is just replacing the file.
        host.sleep(suspend_s)
        status = _lstat(host, path)
        if status is not None and _is_bogus(status, user):
            if not _rename(host, path, status, user, note):
                return UNUSABLE
            status = None
    if status is None:
        return USABLE if _create(host, path, user, note, advise=advise) else UNUSABLE
    if _forwards(status):
        return AUTOFORWARDING
    _restrict(host, path, status, note)
    return USABLE


def _lstat(host: Host, path: bytes) -> os.stat_result | None:
    try:
        return host.lstat(path)
    except OSError:
        return None


def _is_bogus(status: os.stat_result, user: User) -> bool:
    if stat.S_ISDIR(status.st_mode):
        return status.st_uid != user.uid
    return (
        not stat.S_ISREG(status.st_mode)
        or status.st_uid != user.uid
        or status.st_nlink != 1
        or not status.st_mode & stat.S_IWUSR
    )


def _forwards(status: os.stat_result) -> bool:
    """Whether the mailbox is a forwarding address: old mail systems marked it with these bits."""
    set_id = status.st_mode & stat.S_ISUID or (status.st_mode & stat.S_ISGID and stat.S_ISREG(status.st_mode))
    return bool(set_id)


def _spool(host: Host, path: bytes) -> tuple[int, int]:
    """The bits that a mailbox must not have, and the group that it gets (-1: no particular group).

    Mail programs of the spool's group may use the mailboxes in it if new ones get that group: because the directory is
    set-group-ID, because the group is our own, or because we are root and set it.
    """
    status = storage.status_of(host, folder_of(path) or b".")
    if status is None or not status.st_mode & stat.S_IWGRP:
        return 0o077, -1
    if host.geteuid() == 0:
        return 0o007, status.st_gid
    if status.st_mode & stat.S_ISGID or status.st_gid == host.getegid():
        return 0o007, -1
    return 0o077, -1


def _rename(host: Host, path: bytes, status: os.stat_result, user: User, note: Note) -> bool:
    bogus = b"%sBOGUS.%s.%s" % (folder_of(path), user.name, encode(status.st_ino))
    note("renaming-bogus", path, bogus)
    try:
        host.rename(path, bogus)
    except OSError:
        note("couldnt-create", path)
        return False
    return True


def _create(host: Host, path: bytes, user: User, note: Note, *, advise: bool) -> bool:
    bits, group = _spool(host, path)
    mask = host.umask(bits)
    try:
        fd = host.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            if host.geteuid() != user.uid:
                host.fchown(fd, user.uid, group)
        finally:
            storage.close(host, fd)
    except FileExistsError:
        status = _lstat(host, path)
        return status is not None and not _is_bogus(status, user)
    except OSError as error:
        note("couldnt-create", path)
        if advise and error.errno in _REFUSED:
            note("make-mailbox", user.name, path)
        return False
    finally:
        host.umask(mask)
    return True


def _restrict(host: Host, path: bytes, status: os.stat_result, note: Note) -> None:
    """Remove the permissions of other users, but only from the file examined: its name may now lead to another."""
    if stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_IXUSR:
        return
    wanted = stat.S_IMODE(status.st_mode) & ~_spool(host, path)[0]
    if wanted == stat.S_IMODE(status.st_mode):
        return
    note("enforcing-permissions", path)
    try:
        fd = host.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        now = host.fstat(fd)
        if (now.st_dev, now.st_ino, now.st_nlink) == (status.st_dev, status.st_ino, 1):
            host.fchmod(fd, wanted)
    except OSError:
        pass
    finally:
        storage.close(host, fd)
