"""A Host for runs over a mailbox: it syncs mail in batches, and remembers what does not change.

A delivery from a mail server syncs every file and folder before it reports success.  A run over a
saved mailbox still has its source on disk, so one sync is enough for many mails: syncfs(2)
writes out a whole file system, and reports what could not be written since it was opened.
"""

from __future__ import annotations

import ctypes
import errno
import os

from pyprocmail.host import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyprocmail.host import Environment, User

MESSAGES = 2000
"""How many messages make a batch."""
_MOST_LOGS = 4
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1


class BatchHost(Host):
    """The real machine, but fsync is put off until `write_out`.

    Only this Host changes identity, process id and umask, so it knows them.  It remembers which folders exist, the
    working directory and the status of the rcfile until the mailbox is read again, a program starts or ends,
    or a delivery fails; each path with the working directory in which it was used.  A log file stays open from one mail
    to the next, as long as it has its name.
    """

    def __init__(self) -> None:
        super().__init__()
        self._file_systems: dict[int, int] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._renames = hasattr(self._libc, "renameat2")
        self._pid = os.getpid()
        self._uid = os.geteuid()
        self._mask = os.umask(0o077)
        os.umask(self._mask)
        self._here = os.getcwdb()
        self._folders: set[tuple[bytes, bytes]] = set()
        self._synced: set[tuple[bytes, bytes]] = set()
        self._real: dict[bytes, bytes] = {}
        self._rules: dict[tuple[bytes, bytes], os.stat_result] = {}
        self._logs: dict[bytes, tuple[int, tuple[int, int]]] = {}

    # These methods replace static functions of Host, so that they can use what is remembered.

    # -- what only this process changes ----------------------------------------------------

    def getpid(self) -> int:
        """The process id."""
        return self._pid

    def geteuid(self) -> int:
        """The identity."""
        return self._uid

    def become(self, user: User) -> None:
        """As Host does."""
        super().become(user)
        self._uid = os.geteuid()

    def umask(self, mask: int) -> int:
        """Set the umask; the one until now.  No system call is made if it does not change."""
        before = self._mask
        if mask != before:
            os.umask(mask)
            self._mask = mask
        return before

    def current_umask(self) -> int:
        """The umask."""
        return self._mask

    def chdir(self, path: bytes) -> None:  # type: ignore[override]
        """Enter a folder; nothing to do for the one that we are in."""
        if path != b".":
            os.chdir(path)
            self._here = path if path.startswith(b"/") else b"%b/%b" % (self._here, path)

    # -- what others may change ------------------------------------------------------------

    def forget(self) -> bool:
        """Forget what others may have changed; whether anything was remembered."""
        known = bool(self._folders)
        for remembered in (self._folders, self._synced, self._real, self._rules):
            remembered.clear()
        return known

    def read(self, fd: int, size: int) -> bytes:
        """Read.  Standard input is the mailbox, read once for many mails: such a read forgets what is remembered."""
        if fd == 0:
            self.forget()
        return os.read(fd, size)

    def spawn(
        self,
        argv: Sequence[bytes],
        environment: Environment,
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        program: bytes = b"",
    ) -> int:
        """As Host does; the program may change anything."""
        self.forget()
        return super().spawn(argv, environment, stdin=stdin, stdout=stdout, stderr=stderr, program=program)

    def wait(self, pid: int, deadline: float | None) -> int | None:
        """As Host does; the child may have changed anything."""
        try:
            return super().wait(pid, deadline)
        finally:
            self.forget()

    def fork(self) -> int:
        """As Host does."""
        self.forget()
        child = super().fork()
        if not child:
            self._pid = os.getpid()
        return child

    def getcwd(self) -> bytes:
        """The working directory."""
        found = self._real.get(self._here)
        if found is None:
            found = self._real[self._here] = os.getcwdb()
        return found

    def is_directory(self, path: bytes) -> bool:
        """Whether `path` leads to a directory; one that was found is not looked up again."""
        place = (self._here, path)
        if place in self._folders:
            return True
        found = super().is_directory(path)
        if found:
            self._folders.add(place)
        return found

    def rules_status(self, path: bytes) -> os.stat_result:
        """The status of the rcfile."""
        place = (self._here, path)
        found = self._rules.get(place)
        if found is None:
            found = self._rules[place] = self.stat(path)
        return found

    # -- logs ------------------------------------------------------------------------------

    def kept_log(self, path: bytes, status: os.stat_result) -> int | None:
        """The descriptor of the log with the absolute path `path`, if it was kept and is still the file of `status`."""
        kept = self._logs.pop(path, None)
        if kept is None:
            return None
        fd, identity = kept
        if identity == (status.st_dev, status.st_ino):
            return fd
        self.close(fd)
        return None

    def keep_log(self, path: bytes, fd: int, identity: tuple[int, int]) -> None:
        """Keep the descriptor of a log after the mail that opened it."""
        if path in self._logs or len(self._logs) >= _MOST_LOGS:
            self.close(fd)
        else:
            self._logs[path] = (fd, identity)

    # -- names -----------------------------------------------------------------------------

    def rename_new(self, old: bytes, new: bytes) -> bool:
        """As Host describes it: both names wait for the same sync, so one call is enough.

        Raises:
            FileExistsError: the name is taken.
        """
        if self._renames and self._libc.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE) == 0:
            return True
        if self._renames and ctypes.get_errno() == errno.EEXIST:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        # This kernel or file system may not have it.  Whatever else is wrong, link(2) says it.
        self._renames = False
        return False

    # -- the disk --------------------------------------------------------------------------

    def fsync(self, fd: int) -> None:  # type: ignore[override]
        """Remember the file system of `fd`; `write_out` writes it."""
        device = os.fstat(fd).st_dev
        if device not in self._file_systems:
            self._file_systems[device] = os.dup(fd)

    def sync_new(self, fd: int, path: bytes) -> None:
        """As `fsync`: a file is on the same file system as the files made before in its folder."""
        folder = (self._here, path[: path.rfind(b"/") + 1])
        if folder not in self._synced:
            self.fsync(fd)
            self._synced.add(folder)

    def sync_folder(self, path: bytes) -> None:
        """As `fsync`, of a folder."""
        place = (self._here, path)
        if place in self._synced:
            return
        if os.stat(path).st_dev not in self._file_systems:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self.fsync(fd)
            finally:
                os.close(fd)
        self._synced.add(place)

    def write_out(self) -> None:
        """Write to disk all that was written through this Host.

        Raises:
            OSError: some of it could not be written.
        """
        refused: OSError | None = None
        for fd in self._file_systems.values():
            if self._libc.syncfs(fd) != 0:
                number = ctypes.get_errno()
                refused = OSError(number, os.strerror(number))
        if refused is not None:
            raise refused
