"""The world of a session: everything that it does outside itself.

A session asks the machine itself only for the time, its name and its own identity.  Whatever changes something, or
looks at what others may change, goes through its World.  This is the real one.  `engine/rehearsal` is one in
which nothing happens.
"""

from __future__ import annotations

from pyprocmail.delivery import folder as folders
from pyprocmail.delivery import locks, system_mailbox
from pyprocmail.engine import programs
from pyprocmail.engine.logfile import open_log
from pyprocmail.signals import SIGTERM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pyprocmail.delivery.folder import Folder, Storing
    from pyprocmail.delivery.results import Delivered, Failed
    from pyprocmail.engine.logfile import Limits, LogFile
    from pyprocmail.engine.programs import Chunk, Command, Ended, Runner
    from pyprocmail.host import Host, User
    from pyprocmail.message.model import Message

    Note = Callable[..., None]


class Clone:
    """A clone, as its parent sees it; `pid` is 0 if it has ended."""

    __slots__ = ("_host", "pid")

    def __init__(self, host: Host, pid: int) -> None:
        self._host = host
        self.pid = pid

    def wait(self, deadline: float | None) -> int | None:
        """Its exit status; None if it is still running at `deadline`, on the monotonic clock."""
        return self._host.wait(self.pid, deadline)

    def end(self) -> None:
        """Ask it to end."""
        self._host.kill(self.pid, SIGTERM)


class World:
    """The real world, on a Host.  `stdout` is the descriptor for a mail that goes to standard output.

    Each step is reported to `note` before anything that may wait.
    """

    __slots__ = ("host", "stdout")

    def __init__(self, host: Host, *, stdout: int = 1) -> None:
        self.host = host
        self.stdout = stdout

    # -- folders ---------------------------------------------------------------------------

    def prepare(self, name: bytes, *, alone: bool = True) -> Folder:
        """What the name of a folder means now; `alone`: it is the only one of the action."""
        return folders.prepare(self.host, name, alone=alone)

    def refusal(self, folder: Folder, note: Note) -> OSError | None:
        """Why the maildir or MH folder cannot be made; its directory is made if it is missing."""
        if folder.kind in (folders.MAILDIR, folders.MH):
            return folders.make_directory(self.host, folder.path, note)
        return None

    def store(
        self,
        folder: Folder,
        further: Sequence[bytes],
        message: Message,
        how: Storing,
        *,
        note: Note,
        last_folder: Callable[[bytes], None],
        done: Callable[[], None],
    ) -> Delivered | Failed:
        """Store the mail on disk in the folder, with links in the further folders; on failure nothing of it is left.

        `last_folder` is called with the name of the file at the moment when procmail logs LASTFOLDER.  `done` is called
        as soon as the mail is safe.
        """
        store = folders.Store(self.host, note, last_folder, done, stdout=self.stdout)
        return store.into(folder, further, message, how)

    def screen(self, path: bytes, user: User, *, suspend_s: int, note: Note, advise: bool) -> str:
        """Make the system mailbox `path` fit for use, if possible; see system_mailbox."""
        return system_mailbox.screen(self.host, path, user, suspend_s=suspend_s, note=note, advise=advise)

    # -- locks -----------------------------------------------------------------------------

    def take(
        self, path: bytes, *, sleep_s: int, stale_s: int, suspend_s: int, note: Note, spool: bool = False
    ) -> locks.Lock:
        """Take the lockfile `path`; the caller releases it.

        `spool`: it is the lock of the user's system mailbox, which dotlockfile(1) makes where we may not.

        Raises:
            LockHeldError: it exists and cannot be removed.
            OSError: it cannot be taken.
        """
        if spool:
            from pyprocmail.delivery import spool_lock

            lock = spool_lock.take(self.host, path, sleep_s=sleep_s, stale_s=stale_s, note=note)
            if lock is not None:
                return lock
        return locks.dotlock(self.host, path, sleep_s=sleep_s, stale_s=stale_s, suspend_s=suspend_s, note=note)

    # -- programs and processes ------------------------------------------------------------

    def run(
        self,
        session: Runner,
        command: Command,
        chunks: Iterable[Chunk],
        *,
        capture: bool = False,
        stdout: int | None = None,
        limit: int | None = None,
        wait: bool = True,
        wait_if_missing: bool = False,
    ) -> Ended:
        """Let a program read the chunks, and wait for it by default; see programs.run."""
        return programs.run(
            session,
            command,
            chunks,
            capture=capture,
            stdout=stdout,
            limit=limit,
            wait=wait,
            wait_if_missing=wait_if_missing,
        )

    def forward(
        self, session: Runner, command: Command, chunks: Iterable[Chunk], *, wait: bool, wait_if_missing: bool
    ) -> Ended:
        """Give the mail to the mail server: `command` is SENDMAIL with the addresses."""
        return programs.run(session, command, chunks, wait=wait, wait_if_missing=wait_if_missing)

    def find_server(self, service: bytes, host: bytes) -> tuple[str, int] | None:
        """The address of a service on a host, for `tell`; None if it is not found."""
        from pyprocmail.engine import datagrams

        return datagrams.find(service, host)

    def tell(self, address: tuple[str, int], text: bytes) -> bool:
        """Send a datagram, which nobody need read (COMSAT); whether it was sent."""
        from pyprocmail.engine import datagrams

        return datagrams.send(address, text)

    def clone(self, run: Callable[[], int]) -> Clone | None:
        """Split the run in two: None in the clone, which continues here and ends with `leave`.

        A world without processes calls `run` instead, which runs a copy of the session to its end and returns its
        status.
        """
        pid = self.host.fork()
        return Clone(self.host, pid) if pid else None

    def leave(self, status: int) -> None:
        """End this clone."""
        self.host.exit_now(status)

    def detach(self) -> bool:
        """Leave the rest of the run to a child, so that the caller learns of success now; true in the child."""
        return not self.host.fork()

    # -- where the run is ------------------------------------------------------------------

    def enter(self, path: bytes) -> None:
        """Make the folder `path` the working directory from now on (MAILDIR).

        Raises:
            OSError: it cannot be entered.
        """
        self.host.chdir(path)

    def mask(self, bits: int) -> int:
        """UMASK: set the permissions that new files do not get; returns the former ones."""
        return self.host.umask(bits)

    def exists(self, path: bytes) -> bool:
        """Whether the name exists."""
        try:
            self.host.stat(path)
        except (OSError, ValueError):
            return False
        return True

    # -- logs ------------------------------------------------------------------------------

    def open_log(self, path: bytes, mode: int, limits: Limits) -> LogFile:
        """Open the log for what follows.

        Raises:
            OSError: it cannot be opened.
        """
        return open_log(self.host, path, mode, limits, stdout=self.stdout)
