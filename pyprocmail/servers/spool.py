"""A spool: mails that wait for their rules, in files that survive a crash.

A folder with `tmp`, `new` and `failed`.  A file is a line of JSON (the envelope) and the mail.  Its name has the time
of arrival, the number of tries, and the time of the next try; so only names change.  A worker holds a kernel lock on
the file of its mail.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import json
import os
import pwd
import secrets
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = "/var/spool/pyprocmail-milter"
"""The default spool of a milter."""
MOST_MAILS = 100_000
MOST_BYTES = 4 << 30
MOST_TRIES = 12
_FIRST_PAUSE_S = 10
_LONGEST_PAUSE_S = 3600
_FORGOTTEN_S = 3600
"""An older file in tmp/ belongs to a milter that was killed."""
_PARTS = ("tmp", "new", "failed")


class SpoolFullError(OSError):
    """There is no room for another mail."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.ENOSPC, "the spool is full", str(path))


class ForeignSpoolError(OSError):
    """Another user could read or change the spool."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A mail in the spool: when it came (nanoseconds), how often it was tried, when it is due (seconds since 1970)."""

    path: Path
    came_ns: int
    tries: int
    due: int

    @property
    def name(self) -> str:
        """The mail's name on a command line, which never changes."""
        return ".".join(self.path.name.split(".")[:2])


@dataclass(frozen=True, slots=True)
class Envelope:
    """Sender and recipients of a mail, with the brackets of the mail server."""

    sender: bytes
    recipients: Sequence[bytes]


class Spool:
    """The spool in `folder`, which only our user may enter."""

    def __init__(self, folder: Path, *, most_mails: int = MOST_MAILS, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self._most_mails = most_mails
        self._most_bytes = most_bytes
        self._mails = self._bytes = 0
        self._counted = 0.0
        self._counting = threading.Lock()

    def prepare(self) -> None:
        """Create the spool if it does not exist, and remove old files in tmp/.

        Raises:
            ForeignSpoolError: it belongs to another user, or others may enter it.
            OSError: it cannot be created.
        """
        self.folder.mkdir(mode=0o700, parents=False, exist_ok=True)
        status = self.folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise ForeignSpoolError(errno.EPERM, "not a folder of ours that nobody else may enter", str(self.folder))
        for part in _PARTS:
            (self.folder / part).mkdir(mode=0o700, exist_ok=True)
        for left in (self.folder / "tmp").iterdir():
            # No client got an answer for these mails.  Another milter may be writing a recent one.
            with suppress(FileNotFoundError):
                if time.time() - left.lstat().st_mtime > _FORGOTTEN_S:
                    left.unlink()
        _sync(self.folder)
        self._count()

    def put(self, envelope: Envelope, mail: bytes) -> None:
        """Write the mail to disk; when this returns, the mail survives a crash.  Several threads may call this.

        Raises:
            SpoolFullError: there is no room.
            OSError: it cannot be written.
        """
        with self._counting:
            if time.monotonic() - self._counted > 1:
                self._count()
            if self._mails >= self._most_mails or self._bytes + len(mail) > self._most_bytes:
                raise SpoolFullError(self.folder)
            self._mails += 1
            self._bytes += len(mail)
        name = f"{time.time_ns():020d}.{secrets.token_hex(8)}.0.0"
        temporary = self.folder / "tmp" / name
        to = [recipient.decode("latin-1") for recipient in envelope.recipients]
        first = {"from": envelope.sender.decode("latin-1"), "to": to}
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(json.dumps(first).encode() + b"\n" + mail)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self.folder / "new" / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync(self.folder / "new")

    def _count(self) -> None:
        self._mails = self._bytes = 0
        for entry in os.scandir(self.folder / "new"):
            try:
                self._bytes += entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
            self._mails += 1
        self._counted = time.monotonic()

    # -- taking --------------------------------------------------------------------------------

    def waiting(self, part: str = "new") -> list[Waiting]:
        """The mails in that part, in order of arrival."""
        found = []
        for name in os.listdir(self.folder / part):
            words = name.split(".")
            if len(words) == 4 and all(words[at].isdigit() for at in (0, 2, 3)):
                found.append(Waiting(self.folder / part / name, int(words[0]), int(words[2]), int(words[3])))
        return sorted(found, key=lambda one: one.path.name)

    def take(self, now: float) -> Taken | None:
        """The first mail that is due and not taken by another worker."""
        for one in self.waiting():
            if one.due > now:
                continue
            try:
                fd = os.open(one.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except (FileNotFoundError, PermissionError):
                # An unreadable mail does not delay the others; `pyprocmail spool list` shows it.
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Another worker may have finished it, or put it back, before we got the lock.
                if one.path.exists():
                    return Taken(self, one, fd)
            except BlockingIOError:
                pass
            os.close(fd)
        return None

    def due_in(self, now: float) -> float | None:
        """In how many seconds the next mail is due; None if there is none."""
        dues = [one.due for one in self.waiting()]
        return max(min(dues) - now, 0) if dues else None

    # -- what the administrator does -----------------------------------------------------------

    def find(self, name: str) -> Iterator[Waiting]:
        """The mail of that name, waiting or failed."""
        for part in ("new", "failed"):
            for one in self.waiting(part):
                if one.name == name:
                    yield one

    def retry(self, one: Waiting) -> None:
        """Make the mail due now, with no tries counted.

        Raises:
            BlockingIOError: a worker has taken it.
            OSError: it is no longer in the spool.
        """
        with _held(one.path):
            one.path.rename(self.folder / "new" / f"{one.name}.0.0")
        _sync(self.folder / "new")

    def drop(self, one: Waiting) -> None:
        """Remove the mail for good; raises what `retry` raises."""
        with _held(one.path):
            one.path.unlink()


class Taken:
    """A mail that this process works on."""

    def __init__(self, spool: Spool, one: Waiting, fd: int) -> None:
        self._spool = spool
        self._fd = fd
        self.waiting = one

    def read(self) -> tuple[Envelope, bytes]:
        """The envelope and the mail.

        Raises:
            ValueError: somebody has changed the file.
        """
        envelope, mail = read(self._fd)
        return envelope, mail

    def done(self) -> None:
        """Remove the mail: its rules have succeeded."""
        self.waiting.path.unlink(missing_ok=True)
        _sync(self._spool.folder / "new")
        self.close()

    def failed(self, now: float) -> bool:
        """Put the mail back for a try after a growing pause; False: that was the last, and it is now in `failed`."""
        tries = self.waiting.tries + 1
        again = tries < MOST_TRIES
        part = "new" if again else "failed"
        due = int(now + min(_FIRST_PAUSE_S << tries - 1, _LONGEST_PAUSE_S)) if again else 0
        self.waiting.path.rename(self._spool.folder / part / f"{self.waiting.name}.{tries}.{due}")
        try:
            _sync(self._spool.folder / part)
        except OSError:
            pass  # at worst a crash restores the old name, and the mail is tried once more
        self.close()
        return again

    def is_removed(self) -> bool:
        """Whether somebody has removed the mail from the spool, and the spool itself still exists."""
        return self.waiting.path.parent.is_dir() and not self.waiting.path.exists()

    def close(self) -> None:
        """Release the mail, and with it the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read(fd: int) -> tuple[Envelope, bytes]:
    """The envelope and the mail in a file of the spool.

    Raises:
        ValueError: it is not a file of a spool.
    """
    with open(os.dup(fd), "rb") as file:
        file.seek(0)
        first, mail = file.readline(), file.read()
    try:
        found = json.loads(first)
        return Envelope(found["from"].encode("latin-1"), [one.encode("latin-1") for one in found["to"]]), mail
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Lock the mail, so that no worker takes it meanwhile.

    Raises:
        BlockingIOError: a worker has taken it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def who_else_may_write(folder: Path) -> Iterator[tuple[str, Path]]:
    """The users besides root and us who could replace this folder, and the parent folder whose mode allows it.

    `Spool.prepare` has checked the folder itself.
    """
    above = folder.resolve()
    while above != above.parent:
        held, above = above, above.parent
        status = above.stat()
        if status.st_uid not in (0, os.geteuid()):
            yield _name_of(status.st_uid), above
        if status.st_mode & stat.S_ISVTX and held.stat().st_uid in (0, os.geteuid()):
            continue  # only the owner of an entry may rename it
        if status.st_mode & stat.S_IWOTH:
            yield "everybody", above
        elif status.st_mode & stat.S_IWGRP and status.st_gid:
            yield f"the group {_name_of_group(status.st_gid)}", above


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"


def _name_of_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
