"""Quotas of Maildir++ folders: the file maildirsize, and the warning that a folder is nearly full.

maildirquota(7): `1000000S,1000C` are a number of bytes and of messages.  The first line of maildirsize is the quota,
each further one a change of bytes and messages; who reads a long or old one counts anew.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host

_FILE = b"/maildirsize"
_LARGEST_BYTES = 5120
_OLD_S = 15 * 60
_MODE = 0o640
_DAY_S = 24 * 60 * 60


class Quota:
    """What a quota allows; 0 is no limit."""

    __slots__ = ("text", "limit_bytes", "limit_messages")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.limit_bytes = 0
        self.limit_messages = 0
        for part in text.split(b","):
            digits = part[:-1].strip()
            if not digits.isdigit():
                continue
            if part.endswith(b"S"):
                self.limit_bytes = int(digits)
            elif part.endswith(b"C"):
                self.limit_messages = int(digits)

    def allows(self, size: int, messages: int) -> bool:
        """Whether so much may be there."""
        if self.limit_bytes and size > self.limit_bytes:
            return False
        return not (self.limit_messages and messages > self.limit_messages)

    def percent(self, size: int, messages: int) -> int:
        """How full a folder with so much is."""
        full = [0]
        if self.limit_bytes:
            full.append(size * 100 // self.limit_bytes)
        if self.limit_messages:
            full.append(messages * 100 // self.limit_messages)
        return max(full)


class Usage:
    """What is in a maildir, `size` bytes in `messages`, as maildirsize says it, or counted."""

    __slots__ = ("_host", "_folder", "_lines", "quota", "size", "messages")

    def __init__(self, host: Host, folder: bytes, quota: Quota) -> None:
        self._host = host
        self._folder = base_of(host, folder)
        self._lines = 0
        self.quota = quota
        self.size = self.messages = 0

    def has_room(self, size: int) -> bool:
        """Whether a mail of `size` bytes fits; a maildirsize that says no is believed only when it is fresh.

        Raises:
            OSError: maildirsize cannot be written.
        """
        trusted = self._read()
        if not trusted:
            self._count()
        if self.quota.allows(self.size + size, self.messages + 1):
            return True
        if trusted and (self._lines > 1 or self._is_old()):
            self._count()
            return self.quota.allows(self.size + size, self.messages + 1)
        return False

    def percent_full(self) -> int:
        """How full the folder is, every mail looked at.

        Raises:
            OSError: maildirsize cannot be written.
        """
        self._count()
        return self.quota.percent(self.size, self.messages)

    def add(self, size: int) -> None:
        """A mail of `size` bytes is there now.

        Raises:
            OSError: maildirsize cannot be written.
        """
        self.size += size
        self.messages += 1
        host = self._host
        fd = host.open(self._folder + _FILE, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0)
        try:
            host.write(fd, b"%12d %12d\n" % (size, 1))
        finally:
            host.close(fd)

    def _read(self) -> bool:
        """Read maildirsize; False when there is none that can be believed."""
        host = self._host
        try:
            fd = host.open(self._folder + _FILE, os.O_RDONLY | os.O_CLOEXEC, 0)
        except OSError:
            return False
        try:
            data = host.read(fd, _LARGEST_BYTES + 1)
        finally:
            host.close(fd)
        first, newline, rest = data.partition(b"\n")
        if len(data) > _LARGEST_BYTES or not newline or first.strip() != self.quota.text:
            return False
        size = messages = 0
        for line in rest.split(b"\n"):
            numbers = line.split()
            if not numbers:
                continue
            try:
                size, messages = size + int(numbers[0]), messages + int(numbers[1])
            except (ValueError, IndexError):
                return False
        self.size, self.messages = size, messages
        self._lines = rest.count(b"\n")
        return size >= 0 and messages >= 0

    def _is_old(self) -> bool:
        try:
            return self._host.time() - self._host.stat(self._folder + _FILE).st_mtime > _OLD_S
        except OSError:
            return True

    def _count(self) -> None:
        """Look at all mails, and write maildirsize anew."""
        host = self._host
        self.size = self.messages = 0
        for folder in [self._folder, *self._subfolders()]:
            for part in (b"/new/", b"/cur/"):
                self._count_folder(folder + part)
        path = self._folder + _FILE
        temporary = self._folder + b"/tmp/maildirsize.%d.%d" % (host.getpid(), host.next_number())
        fd = host.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            try:
                host.write(fd, b"%b\n%12d %12d\n" % (self.quota.text, self.size, self.messages))
                host.fchmod(fd, _MODE)
            finally:
                host.close(fd)
            host.rename(temporary, path)
        except BaseException:
            host.unlink(temporary)
            raise

    def _subfolders(self) -> list[bytes]:
        """The folders below, Trash left out."""
        names = [name for name in self._host.listdir(self._folder) if name.startswith(b".")]
        return [self._folder + b"/" + name for name in sorted(names) if name not in (b".", b"..", b".Trash")]

    def _count_folder(self, folder: bytes) -> None:
        host = self._host
        try:
            names = host.listdir(folder)
        except OSError:
            return
        for name in names:
            flags = name.partition(b":2,")[2]
            if name.startswith(b".") or b"T" in flags:
                continue
            try:
                size = size_in_name(name)
                self.size += host.stat(folder + name).st_size if size is None else size
                self.messages += 1
            except OSError:
                continue


def size_in_name(name: bytes) -> int | None:
    """The size that `,S=123` in the name of a mail says."""
    at = name.find(b",S=")
    if at < 0:
        return None
    digits = name[at + 3 :].partition(b":")[0].partition(b",")[0]
    return int(digits) if digits.isdigit() else None


def base_of(host: Host, folder: bytes) -> bytes:
    """The maildir, with its maildirsize, that a folder in it belongs to: one that has a file maildirfolder."""
    parent, slash, name = folder.rpartition(b"/")
    if not name.startswith(b".") or name in (b".", b".."):
        return folder
    try:
        host.stat(folder + b"/maildirfolder")
    except OSError:
        return folder
    return parent if slash else b"."


def warning_is_due(host: Host, folder: bytes) -> bool:
    """Whether the last warning is a day old; then this one is noted.

    Raises:
        OSError: the note cannot be made.
    """
    path = base_of(host, folder) + b"/quotawarn"
    try:
        status = host.stat(path)
    except FileNotFoundError:
        status = None
    if status is not None and stat.S_ISREG(status.st_mode) and host.time() - status.st_mtime < _DAY_S:
        return False
    fd = host.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        host.write(fd, b"\0")
        host.fchmod(fd, _MODE)
    finally:
        host.close(fd)
    return True
