"""The machine as the engine sees it: files, clock, identity, processes, signals.

Everything that a session does outside itself goes through a Host that is passed in, so tests and
dry runs can pass another one.  A method with the name of an `os` function takes and raises the
same as that function.  Paths are bytes.  This module is on the start-up path: it imports neither
`signal` nor `subprocess`, whose imports cost more than a delivery.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import pwd
import select
import stat
import time

from pyprocmail.numerals import LONGEST_S
from pyprocmail.signals import CHILD_DEFAULTS, AlarmError, Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from time import struct_time
    from typing import Any

    Environment = Mapping[bytes, bytes]

_LOCK_STEP_S = 0.001
LARGEST_RULES_BYTES = 8 << 20
"""The greatest size of an rcfile or a filter file."""
LARGEST_FILE_BYTES = 64 << 20
"""The greatest size of any other file that is read whole: patterns, Message-IDs, the text of a reply."""
_LARGEST_MAIL_BYTES = 1 << 30
_PIPE_PATIENCE_S = 30.0
_READ_BYTES = 1 << 16
_LONGEST_POLL_MS = (1 << 31) - 1


class User:
    """One entry of the password file, in bytes."""

    __slots__ = ("name", "uid", "gid", "home", "shell")

    def __init__(self, name: bytes, uid: int, gid: int, home: bytes, shell: bytes) -> None:
        self.name = name
        self.uid = uid
        self.gid = gid
        self.home = home
        self.shell = shell


def _user(entry: pwd.struct_passwd) -> User:
    encode = os.fsencode
    return User(encode(entry.pw_name), entry.pw_uid, entry.pw_gid, encode(entry.pw_dir), encode(entry.pw_shell))


class Host(Signals):
    """The real machine."""

    def __init__(self) -> None:
        super().__init__()
        self._number = -1
        self._hostname = b""

    # -- files -----------------------------------------------------------------------------

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    read = staticmethod(os.read)
    write = staticmethod(os.write)
    fsync = staticmethod(os.fsync)
    ftruncate = staticmethod(os.ftruncate)
    lseek = staticmethod(os.lseek)
    stat = staticmethod(os.stat)
    lstat = staticmethod(os.lstat)
    fstat = staticmethod(os.fstat)
    link = staticmethod(os.link)
    unlink = staticmethod(os.unlink)
    rename = staticmethod(os.rename)
    rmdir = staticmethod(os.rmdir)
    mkdir = staticmethod(os.mkdir)
    chmod = staticmethod(os.chmod)
    fchmod = staticmethod(os.fchmod)
    fchown = staticmethod(os.fchown)
    utime = staticmethod(os.utime)
    chdir = staticmethod(os.chdir)
    getcwd = staticmethod(os.getcwdb)
    umask = staticmethod(os.umask)
    dup = staticmethod(os.dup)
    dup2 = staticmethod(os.dup2)
    access = staticmethod(os.access)
    isatty = staticmethod(os.isatty)
    set_blocking = staticmethod(os.set_blocking)

    def read_waiting(self, fd: int, size: int) -> bytes:
        """Wait for data and read it; a signal ends the wait with Interrupted, SIGALRM does not."""
        # A handler that raises must not lose data already read, so only the wait can be interrupted.
        while not self.poll({fd: select.POLLIN}, None):
            pass
        return os.read(fd, size)

    def open_to_read(self, path: bytes) -> int:
        """Open a file without waiting: a named pipe without a writer is read as empty."""
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)

    def read_file(self, path: bytes, limit_bytes: int) -> bytes:
        """The contents of the file `path`; see `read_whole`."""
        fd = self.open_to_read(path)
        try:
            return self.read_whole(fd, limit_bytes)
        finally:
            os.close(fd)

    def read_whole(self, fd: int, limit_bytes: int) -> bytes:
        """The rest of `fd`, which may be a file, a pipe or a device.

        Raises:
            OSError: it cannot be read; EFBIG, it has more than `limit_bytes`, or perhaps no end; ETIMEDOUT, a pipe
                sent nothing for half a minute.
        """
        if os.fstat(fd).st_size > limit_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        pieces: list[bytes] = []
        left = limit_bytes + 1
        while left and (piece := self._read_patiently(fd, min(left, _READ_BYTES))):
            pieces.append(piece)
            left -= len(piece)
        if not left:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return b"".join(pieces)

    def _read_patiently(self, fd: int, size: int) -> bytes:
        deadline = time.monotonic() + _PIPE_PATIENCE_S
        while True:
            try:
                return self.read(fd, size)
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0 or not self.poll({fd: select.POLLIN}, left):
                    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None

    def largest_mail(self) -> int:
        """The greatest size of a mail in bytes: an eighth of the memory, which has several copies; at most 1 GB."""
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return min(max(pages // 8, _LARGEST_MAIL_BYTES // 16), _LARGEST_MAIL_BYTES)

    def claim(self, path: bytes, status: os.stat_result) -> None:
        """Record that the lockfile `path` may be ours from now on, if it is the file with this `status`.

        Only a process whose parent removes its lockfiles after a kill records it; this Host does not.
        """

    def disclaim(self, path: bytes) -> None:
        """Record that the lockfile `path` is not ours, or is about to be removed."""

    def lock_to_end(self, fd: int) -> None:
        """Take the kernel lock (fcntl) from the present offset of `fd` to infinity.

        Waits until it is free; bound the wait with `alarm`.
        """
        start = os.lseek(fd, 0, os.SEEK_CUR)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 0, start)
        except (BlockingIOError, PermissionError):
            with self._wait():
                fcntl.lockf(fd, fcntl.LOCK_EX, 0, start)

    def is_directory(self, path: bytes) -> bool:
        """Whether `path` leads to a directory."""
        try:
            return stat.S_ISDIR(self.stat(path).st_mode)
        except (OSError, ValueError):
            return False

    def current_umask(self) -> int:
        """The umask, which can only be read by setting another one."""
        mask = self.umask(0o077)
        self.umask(mask)
        return mask

    def rules_status(self, path: bytes) -> os.stat_result:
        """The status of the rcfile with which a run begins."""
        return self.stat(path)

    def forget(self) -> bool:
        """Drop remembered file states; whether there were any.  This Host remembers nothing."""
        return False

    def kept_log(self, path: bytes, status: os.stat_result) -> int | None:
        """The descriptor that `keep_log` kept for the log `path`, if it is still the file with this `status`."""

    def keep_log(self, path: bytes, fd: int, identity: tuple[int, int]) -> None:
        """Keep or close the log `path` after a mail: its descriptor, and its device and inode.  This Host closes it."""
        self.close(fd)

    def rename_new(self, old: bytes, new: bytes) -> bool:
        """Rename to a name that must not exist, in one step; False if that is not possible here, and nothing is done.

        This Host never does: the mail keeps both names until the folder is synced.
        """
        return False

    def sync_new(self, fd: int, path: bytes) -> None:
        """Sync the new file `path`, open as `fd`, to disk."""
        self.fsync(fd)

    def sync_folder(self, path: bytes) -> None:
        """Sync the names in the folder `path` to disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def listdir(self, path: bytes) -> list[bytes]:
        """The names in the folder `path`."""
        return os.listdir(path)

    def open_waiting(self, path: bytes, flags: int, mode: int) -> int:
        """Open a file and wait if necessary, as for the reader of a FIFO; a signal ends the wait with Interrupted."""
        with self._wait():
            return os.open(path, flags, mode)

    def lock_whole(self, fd: int, seconds: float) -> bool:
        """Take the flock(2) lock of `fd`, trying for `seconds`; closing `fd` releases it."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_LOCK_STEP_S)
            else:
                return True

    def datagrams(self, path: str) -> Callable[[bytes], None]:
        """A function that sends datagrams to the local socket `path`, or drops them; an empty one closes the socket.

        Raises:
            OSError: no process listens there.
        """
        import _socket

        sender = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        try:
            sender.connect(path)
        except OSError:
            sender.close()
            raise
        sender.setblocking(False)

        def send(data: bytes) -> None:
            try:
                if data:
                    sender.send(data)
                else:
                    sender.close()
            except OSError:
                pass

        return send

    def stream(self, address: bytes, seconds: float) -> _socket.socket:
        """A connection to a local socket or to HOST:PORT; nothing takes longer than `seconds`.  The caller closes it.

        Raises:
            OSError: no process listens there.
            ValueError: it is not an address.
        """
        import _socket

        if b"/" in address:
            return _connected(_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM), address, seconds)
        name, _, port = address.decode("ascii").rpartition(":")
        failed: OSError | None = None
        for family, kind, protocol, _name, place in _socket.getaddrinfo(
            name.strip("[]"), int(port), 0, _socket.SOCK_STREAM
        ):
            try:
                return _connected(_socket.socket(family, kind, protocol), place, seconds)
            except OSError as error:
                failed = error.with_traceback(None)
        raise failed or OSError("no such host")

    # -- clock -----------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on a clock that is never set."""
        return time.monotonic()

    def forget_zone(self) -> None:
        """Use local time as if TZ were not set."""
        os.unsetenv(b"TZ")
        time.tzset()

    def localtime(self) -> struct_time:
        """The local date and time."""
        return time.localtime(self.time())

    def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`; a signal raises Interrupted, SIGALRM ends the sleep."""
        try:
            with self._wait():
                time.sleep(min(max(seconds, 0), LONGEST_S))
        except AlarmError:
            if self._limited:
                raise

    # -- identity --------------------------------------------------------------------------

    getpid = staticmethod(os.getpid)
    getuid = staticmethod(os.getuid)
    geteuid = staticmethod(os.geteuid)
    getgid = staticmethod(os.getgid)
    getegid = staticmethod(os.getegid)

    def next_number(self) -> int:
        """0, 1, 2 and so on, to make the names unique that one process makes within a second.

        Therefore a process has one Host.
        """
        self._number += 1
        return self._number

    def hostname(self) -> bytes:
        """The name of this machine, from the first call of uname(2)."""
        if not self._hostname:
            self._hostname = os.fsencode(os.uname().nodename)
        return self._hostname

    def user_by_name(self, name: bytes) -> User | None:
        """The password entry of `name`."""
        try:
            return _user(pwd.getpwnam(os.fsdecode(name)))
        except (KeyError, ValueError):
            return None

    def user_by_id(self, uid: int) -> User | None:
        """The password entry of `uid`."""
        try:
            return _user(pwd.getpwuid(uid))
        except (KeyError, OverflowError):
            return None

    def group_name(self, gid: int) -> bytes | None:
        """The name of the group `gid`."""
        try:
            return os.fsencode(grp.getgrgid(gid).gr_name)
        except (KeyError, OverflowError):
            return None

    def take_groups(self, user: User) -> None:
        """Take the groups of `user` and no others; root may do this before it becomes the user."""
        os.initgroups(os.fsdecode(user.name), user.gid)

    def become(self, user: User) -> None:
        """Take the identity of `user`, with its groups, for good; root only.

        Raises:
            OSError: it is not allowed, the new identity is not exactly the user's, or root could be regained.
        """
        groups = os.getgrouplist(os.fsdecode(user.name), user.gid)
        self.take_groups(user)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        if (
            os.getresuid() != (user.uid,) * 3
            or os.getresgid() != (user.gid,) * 3
            or not set(os.getgroups()) <= set(groups)
        ):
            raise OSError(errno.EPERM, "the identity is not the user's")
        if user.uid != 0:
            try:
                os.setresuid(-1, 0, -1)
            except OSError:
                return
            raise OSError(errno.EPERM, "privileges could be regained")

    # -- processes -------------------------------------------------------------------------

    def pipe(self) -> tuple[int, int]:
        """A pipe whose ends no child inherits."""
        return os.pipe2(os.O_CLOEXEC)

    def memory_file(self, data: bytes = b"") -> int:
        """A descriptor of a file in memory with the content `data`, positioned at its start."""
        fd = os.memfd_create("pyprocmail", os.MFD_CLOEXEC)
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def null_output(self) -> int:
        """A descriptor that discards all output."""
        return os.open(b"/dev/null", os.O_WRONLY | os.O_CLOEXEC)

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
        """Start the program argv[0], found along PATH of `environment`, and return its process id.

        The three descriptors become 0, 1 and 2 of the program; it inherits no others.  `program` is a path to start
        in place of argv[0].

        Raises:
            OSError: there is no such program, it is not executable, or no process could be started.
        """
        actions = [
            (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_DUP2, stdout, 1),
            (os.POSIX_SPAWN_DUP2, stderr, 2),
        ]
        if stdout == 0 or stderr in (0, 1):
            raise ValueError("descriptors of a child would overwrite each other")
        refused: OSError | None = None
        if not argv[0]:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
        for path in (program,) if program else candidates(argv[0], environment.get(b"PATH", b"/bin:/usr/bin")):
            try:
                return os.posix_spawn(
                    path, list(argv), environment, file_actions=actions, setsigmask=(), setsigdef=CHILD_DEFAULTS
                )
            except OSError as error:
                if error.errno == errno.ENOEXEC:
                    return os.posix_spawn(
                        b"/bin/sh",
                        [b"/bin/sh", path, *argv[1:]],
                        environment,
                        file_actions=actions,
                        setsigmask=(),
                        setsigdef=CHILD_DEFAULTS,
                    )
                if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG):
                    raise
                if refused is None or error.errno == errno.EACCES:
                    # With its traceback the error would hold this frame, and the mails of the frames above it.
                    refused = error.with_traceback(None)
        raise refused or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])

    def fork(self) -> int:
        """Clone this process; 0 in the clone."""
        return os.fork()

    def wait(self, pid: int, deadline: float | None) -> int | None:
        """The status of the child `pid`: its exit code, or minus the signal that killed it.

        None if it still runs at `deadline` (on the monotonic clock).
        """
        while deadline is None:
            try:
                with self._wait():
                    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            except AlarmError:
                if self._limited:
                    raise
        watch = os.pidfd_open(pid)
        try:
            while not self.poll({watch: select.POLLIN}, deadline - time.monotonic()):
                if time.monotonic() >= deadline:
                    return None
        finally:
            os.close(watch)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def wait_any(self, pids: Sequence[int]) -> tuple[int, int]:
        """The child among `pids` that exits first, and its status as from `wait`."""
        watches = {os.pidfd_open(pid): pid for pid in pids}
        try:
            ready: dict[int, int] = {}
            while not ready:
                ready = self.poll(dict.fromkeys(watches, select.POLLIN), None)
            pid = watches[next(iter(ready))]
        finally:
            for watch in watches:
                os.close(watch)
        return pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def kill(self, pid: int, signum: int) -> None:
        """Send a signal to a child; it is not an error if the child has exited."""
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            pass

    def is_running(self, pid: int) -> bool:
        """Whether there is a process with this id."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except OverflowError:
            return False
        except PermissionError:
            return True
        return True

    def poll(self, interest: dict[int, int], seconds: float | None) -> dict[int, int]:
        """The descriptors of `interest` that are ready, with their events; empty when the time is up.

        SIGALRM counts as the time being up.
        """
        poller = select.poll()
        for fd, events in interest.items():
            poller.register(fd, events)
        try:
            with self._wait():
                return dict(poller.poll(None if seconds is None else min(max(seconds, 0) * 1000, _LONGEST_POLL_MS)))
        except AlarmError:
            if self._limited:
                raise
            return {}

    def exit_now(self, status: int) -> None:
        """Exit at once, without any cleanup in this process (the end of a clone)."""
        os._exit(status)


def _connected(stream: _socket.socket, place: Any, seconds: float) -> _socket.socket:
    stream.settimeout(seconds)
    try:
        stream.connect(place)
    except OSError:
        stream.close()
        raise
    return stream


def candidates(program: bytes, path: bytes) -> Iterator[bytes]:
    """The paths at which execvp(3) would look for `program`."""
    if b"/" in program:
        yield program
    else:
        for folder in path.split(b":"):
            yield folder + b"/" + program if folder else program
