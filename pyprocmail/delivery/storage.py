"""Writing that survives a crash: whole writes, synced files and folders, one name at the end."""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyprocmail.delivery.format import Chunk
    from pyprocmail.host import Host

    Note = Callable[..., None]

FILE_MODE = 0o667
FOLDER_MODE = 0o777
NEW_MAIL = stat.S_IXOTH
_CANNOT_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EROFS)
_NO_HARD_LINKS = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class UnnamedError(Exception):
    """The file with the mail could not get its name; `path` is the name, `error` the reason."""

    def __init__(self, path: bytes, error: OSError) -> None:
        super().__init__(path)
        self.path = path
        self.error = error


def write_all(host: Host, fd: int, chunks: Iterable[Chunk]) -> None:
    """Write every byte; write(2) may write only a part.

    Raises:
        OSError: a write failed; some of the bytes may be written.
        Interrupted: a signal came between two writes.
    """
    for chunk in chunks:
        host.check_signals()
        written = host.write(fd, chunk)
        while written < len(chunk):
            host.check_signals()
            written += host.write(fd, memoryview(chunk)[written:])


def sync(host: Host, fd: int, new: bytes = b"") -> None:
    """Sync the file to disk; a device that cannot be synced counts as synced.  `new`: the path of a new file."""
    try:
        if new:
            host.sync_new(fd, new)
        else:
            host.fsync(fd)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def sync_folder(host: Host, path: bytes) -> None:
    """Sync the names in the folder to disk, so that a crash does not lose a new one.

    A folder that may not be read cannot be synced; no more can be done for the mail in it.
    """
    try:
        host.sync_folder(path or b".")
    except PermissionError:
        pass
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def close(host: Host, fd: int) -> None:
    """Close a file that is synced or no longer needed, and ignore errors."""
    try:
        host.close(fd)
    except OSError:
        pass


def remove(host: Host, path: bytes) -> None:
    """Remove a file of ours if we can."""
    try:
        host.unlink(path)
    except OSError:
        pass


def write_file(host: Host, path: bytes, fd: int, chunks: Iterable[Chunk]) -> None:
    """Fill the new file `path`, open as `fd`, and close it; on failure it is removed."""
    try:
        try:
            write_all(host, fd, chunks)
            sync(host, fd, path)
        except BaseException:
            close(host, fd)
            raise
        # An NFS server may report a full disk only now.
        host.close(fd)
    except BaseException:
        remove(host, path)
        raise


def create(host: Host, path: bytes, mode: int = FILE_MODE) -> int:
    """Make the file `path`, which must not exist, with the mode of new mail."""
    return host.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOCTTY | os.O_CLOEXEC, mode)


def give_name(host: Host, temporary: bytes, path: bytes) -> None:
    """Link `temporary` to the name `path`, or rename it where there are no hard links.

    Raises:
        FileExistsError: the name is taken.
        OSError: neither is possible.
    """
    try:
        host.link(temporary, path)
    except OSError as error:
        if same_file(host, temporary, path):
            return
        if error.errno not in _NO_HARD_LINKS:
            raise
        _rename_to_new(host, temporary, path)


def _rename_to_new(host: Host, temporary: bytes, path: bytes) -> None:
    # The empty file reserves the name, so that rename(2) does not replace another mail.
    host.close(create(host, path))
    try:
        host.rename(temporary, path)
    except BaseException:
        remove(host, path)
        raise


def same_file(host: Host, one: bytes, other: bytes) -> bool:
    """Whether both names lead to one file: over NFS link(2) may succeed and report a failure."""
    try:
        first, second = host.lstat(one), host.lstat(other)
    except OSError:
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def settle(host: Host, temporary: bytes, path: bytes, folder: bytes) -> None:
    """Give the finished file its final name.  With two names, the folder is synced before the first is removed.

    After a failure neither name is left.

    Raises:
        FileExistsError: the name is taken; only in this case is the temporary file kept.
        UnnamedError: the file could not be linked, or the folder could not be synced.
    """
    host.check_signals()
    try:
        renamed = host.rename_new(temporary, path)
        if not renamed:
            give_name(host, temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        remove(host, temporary)
        raise UnnamedError(path, error) from error
    try:
        sync_folder(host, folder)
    except OSError as error:
        remove(host, path)
        remove(host, temporary)
        raise UnnamedError(path, error) from error
    if not renamed:
        remove(host, temporary)


def mark_new_mail(host: Host, path: bytes, status: os.stat_result | None) -> None:
    """Set o+x, the sign of new mail, if the umask lets others see it."""
    if status is None or status.st_mode & NEW_MAIL or not may_be_marked(host):
        return
    try:
        host.chmod(path, stat.S_IMODE(status.st_mode) | NEW_MAIL)
    except OSError:
        pass


def may_be_marked(host: Host) -> bool:
    """Whether the umask lets others see the sign of new mail."""
    return not host.current_umask() & NEW_MAIL


def status_of(host: Host, path: bytes) -> os.stat_result | None:
    """The status of the file from stat(2); None if that fails."""
    try:
        return host.stat(path)
    except (OSError, ValueError):
        return None


def write_failure(name: bytes, error: OSError) -> tuple[str, bytes]:
    """The note about a failed write."""
    if error.errno == errno.ENOSPC:
        return "no-space", name
    if error.errno == errno.EDQUOT:
        return "quota-exceeded", name
    return "error-writing", name
