"""Appending to an mbox file: kernel lock, write, fsync; on failure the file is cut back to its former size."""

from __future__ import annotations

import errno
import os
import stat

from pyprocmail.delivery import storage
from pyprocmail.delivery.names import folder_of
from pyprocmail.delivery.results import Delivered, Failed
from pyprocmail.signals import AlarmError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.delivery.format import Text
    from pyprocmail.host import Host

    Note = Callable[..., None]

_NO_KERNEL_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""The errors of fcntl(2) for files that cannot be locked."""

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY | os.O_CLOEXEC


def append(
    host: Host,
    path: bytes,
    text: Text,
    *,
    lock_timeout_s: int,
    note: Note,
    done: Callable[[], None],
    mode: int = storage.FILE_MODE,
) -> Delivered | Failed:
    """Append the text to the mbox, device or FIFO `path`; a new file gets `mode` less the umask.

    `done` is called once the text is on disk.
    """
    note("opening", path)
    noted_lock = False
    while True:
        try:
            fd, created = _open(host, path, lock_timeout_s, mode)
        except AlarmError:
            note("error-writing", path)
            return Failed(path, "nobody reads this FIFO", errno.EAGAIN)
        except OSError as error:
            note("error-writing", path)
            return Failed(path, error.strerror or "cannot be opened", error.errno or errno.EIO)
        try:
            if not noted_lock:
                note("acquiring-kernel-lock")
                noted_lock = True
            locked, timed_out = _lock(host, fd, lock_timeout_s)
            if timed_out:
                note("timeout-waiting", path)
                note("error-writing", path)
                return Failed(path, "the kernel lock is held", errno.EAGAIN)
            # A mail program may have replaced the file while we waited.
            status = host.fstat(fd)
            if _is_current(host, status, path):
                # Only a regular file has a size to be cut back to.
                size = status.st_size if stat.S_ISREG(status.st_mode) else None
                return _append_locked(host, fd, path, text, size, created, locked, note, done)
        except OSError as error:
            note("error-writing", path)
            return Failed(path, error.strerror or "cannot be looked at", error.errno or errno.EIO)
        finally:
            storage.close(host, fd)


def _open(host: Host, path: bytes, timeout_s: int, mode: int) -> tuple[int, bool]:
    """The open file, and whether it may be new."""
    status = storage.status_of(host, path)
    if mode & storage.NEW_MAIL:
        storage.mark_new_mail(host, path, status)
    if status is not None and stat.S_ISFIFO(status.st_mode):
        with host.alarm(timeout_s):
            return host.open_waiting(path, _FLAGS, mode), False
    return host.open(path, _FLAGS, mode), status is None


def _lock(host: Host, fd: int, timeout_s: int) -> tuple[bool, bool]:
    """Whether we have the kernel lock, and whether the attempt timed out.

    The lock is from the end of the file to infinity, as procmail's: a program that locks the whole file respects it.

    Raises:
        OSError: the lock failed, though kernel locks exist here.
    """
    try:
        host.lseek(fd, 0, os.SEEK_END)
    except OSError as error:
        if error.errno != errno.ESPIPE:
            raise
        return False, False
    try:
        with host.alarm(timeout_s):
            try:
                host.lock_to_end(fd)
            except OSError as error:
                if error.errno not in _NO_KERNEL_LOCKS:
                    raise
                return False, False
    except AlarmError:
        return False, True
    return True, False


def _is_current(host: Host, ours: os.stat_result, path: bytes) -> bool:
    if not stat.S_ISREG(ours.st_mode):
        return True
    there = storage.status_of(host, path)
    return there is not None and (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def _append_locked(
    host: Host,
    fd: int,
    path: bytes,
    text: Text,
    size: int | None,
    created: bool,
    locked: bool,
    note: Note,
    done: Callable[[], None],
) -> Delivered | Failed:
    failure: OSError | None = None
    truncated = False
    try:
        try:
            storage.write_all(host, fd, text.batches())
            storage.sync(host, fd)
            if created:
                storage.sync_folder(host, folder_of(path))
        except BaseException:
            truncated = size is not None and _truncate(host, fd, size)
            raise
    except OSError as error:
        # With its traceback the error would hold this frame, and the text.
        failure = error.with_traceback(None)
    else:
        done()
    if not locked:
        note("kernel-lock-failed")
        note("kernel-unlock-failed")
    if failure is None:
        return Delivered(path, text.size)
    # procmail reads errno after its attempt to truncate, which changes errno on a device.
    note(*(storage.write_failure(path, failure) if size is not None else ("error-writing", path)))
    if truncated:
        note("truncated")
    return Failed(path, failure.strerror or "cannot be written", failure.errno or errno.EIO, text.length)


def _truncate(host: Host, fd: int, size: int) -> bool:
    """Cut the file back while it is locked, so that no other mail is lost with ours."""
    try:
        host.ftruncate(fd, size)
    except OSError:
        return False
    try:
        host.fsync(fd)
    except OSError:
        pass
    return True
