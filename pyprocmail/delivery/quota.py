"""Quotas of Maildir++ folders: the file maildirsize, and the warning that a folder is nearly full.

maildirquota(7): `1000000S,1000C` is a number of bytes and of messages.  The first line of maildirsize is the quota,
each later one a change of bytes and messages.  When the file is long or old, the mails are counted anew.
"""

from __future__ import annotations

import os
import stat

from pyprocmail.numerals import integer_at, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host

_FILE = b"/maildirsize"
_LARGEST_BYTES = 5120
_OLD_S = 15 * 60
MODE = 0o640
"""The mode of the files that maildrop makes."""
_DAY_S = 24 * 60 * 60


class Quota:
    """The limits of a quota; 0 is no limit."""

    __slots__ = ("text", "limit_bytes", "limit_messages")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.limit_bytes = 0
        self.limit_messages = 0
        for part in text.split(b","):
            number = whole(part[:-1].strip())
            if number is None:
                continue
            if part.endswith(b"S"):
                self.limit_bytes = number
            elif part.endswith(b"C"):
                self.limit_messages = number

    def allows(self, size: int, messages: int) -> bool:
        """Whether the quota allows this size and number of messages."""
        if self.limit_bytes and size > self.limit_bytes:
            return False
        return not (self.limit_messages and messages > self.limit_messages)

    def percent(self, size: int, messages: int) -> int:
        """How full a folder of this size and number of messages is, in percent."""
        full = [0]
        if self.limit_bytes:
            full.append(size * 100 // self.limit_bytes)
        if self.limit_messages:
            full.append(messages * 100 // self.limit_messages)
        return max(full)


def written(text: bytes) -> bytes | None:
    """A quota that a user wrote, in maildirsize's form, `7S,5C`; empty if it has no limit.

    None if a number lacks the letter S or C.
    """
    limits = {b"S": 0, b"C": 0}
    at = 0
    while at < len(text):
        if text[at] not in b"0123456789":
            at += 1
            continue
        number, length = integer_at(text[at:])
        at += length + 1
        letter = text[at - 1 : at]
        if letter not in limits:
            return None
        limits[letter] = number
    return b",".join(b"%d%b" % (number, letter) for letter, number in limits.items() if number)


def current(host: Host, folder: bytes) -> bytes:
    """The quota of the maildir that the folder belongs to: the first line of its maildirsize; empty if missing.

    Raises:
        OSError: maildirsize exists and cannot be read.
    """
    try:
        fd = host.open_to_read(base_of(host, folder) + _FILE)
    except FileNotFoundError:
        return b""
    try:
        return host.read(fd, _LARGEST_BYTES).partition(b"\n")[0].strip()
    finally:
        host.close(fd)


class Usage:
    """The contents of a maildir, `size` bytes in `messages`, by its maildirsize or counted.

    `mode` is the mode of a new maildirsize.
    """

    __slots__ = ("_host", "_folder", "_lines", "_mode", "quota", "size", "messages")

    def __init__(self, host: Host, folder: bytes, quota: Quota, mode: int = MODE) -> None:
        self._host = host
        self._folder = base_of(host, folder)
        self._mode = mode
        self._lines = 0
        self.quota = quota
        self.size = self.messages = 0

    def has_room(self, size: int) -> bool:
        """Whether a mail of `size` bytes fits; a no from maildirsize is believed only if the file is fresh.

        Raises:
            OSError: maildirsize cannot be written.
        """
        trusted = self._read()
        if not trusted:
            self.renew()
        if self.quota.allows(self.size + size, self.messages + 1):
            return True
        if trusted and (self._lines > 1 or self._is_old()):
            self.renew()
            return self.quota.allows(self.size + size, self.messages + 1)
        return False

    def percent_full(self) -> int:
        """How full the folder is in percent, with all mails counted.

        Raises:
            OSError: maildirsize cannot be written.
        """
        self.renew()
        return self.quota.percent(self.size, self.messages)

    def add(self, size: int) -> None:
        """Record a new mail of `size` bytes.

        Raises:
            OSError: maildirsize cannot be written.
        """
        self.size += size
        self.messages += 1
        host = self._host
        fd = host.open(self._folder + _FILE, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0)
        try:
            host.write(fd, b"%12d %12d\n" % (size, 1))
        finally:
            host.close(fd)

    def _read(self) -> bool:
        """Read maildirsize; False if it is missing or cannot be trusted."""
        host = self._host
        try:
            fd = host.open_to_read(self._folder + _FILE)
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
            changes = [_change(number) for number in numbers[:2]]
            if len(changes) < 2 or changes[0] is None or changes[1] is None:
                return False
            size, messages = size + changes[0], messages + changes[1]
        self.size, self.messages = size, messages
        self._lines = rest.count(b"\n")
        return size >= 0 and messages >= 0

    def _is_old(self) -> bool:
        try:
            return self._host.time() - self._host.stat(self._folder + _FILE).st_mtime > _OLD_S
        except OSError:
            return True

    def count(self) -> None:
        """Count all mails, without maildirsize."""
        self.size = self.messages = 0
        for folder in [self._folder, *self._subfolders()]:
            for part in (b"/new/", b"/cur/"):
                self._count_folder(folder + part)

    def renew(self) -> None:
        """Count all mails, and write maildirsize anew.

        Raises:
            OSError: maildirsize cannot be written.
        """
        self.count()
        host = self._host
        path = self._folder + _FILE
        temporary = self._folder + b"/tmp/maildirsize.%d.%d" % (host.getpid(), host.next_number())
        fd = host.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self._mode)
        try:
            try:
                host.write(fd, b"%b\n%12d %12d\n" % (self.quota.text, self.size, self.messages))
                host.fchmod(fd, self._mode)
            finally:
                host.close(fd)
            host.rename(temporary, path)
        except BaseException:
            host.unlink(temporary)
            raise

    def _subfolders(self) -> list[bytes]:
        """The subfolders, except Trash."""
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


def _change(text: bytes) -> int | None:
    """A number of maildirsize, with or without a sign; None if it is anything else."""
    number, end = integer_at(text)
    return number if end == len(text) else None


def size_in_name(name: bytes) -> int | None:
    """The size in a mail's file name, from its `,S=123`."""
    at = name.find(b",S=")
    if at < 0:
        return None
    digits = name[at + 3 :].partition(b":")[0].partition(b",")[0]
    return whole(digits)


def base_of(host: Host, folder: bytes) -> bytes:
    """The maildir with the maildirsize: the folder's parent if the folder has a file maildirfolder, else the folder."""
    parent, slash, name = folder.rpartition(b"/")
    if not name.startswith(b".") or name in (b".", b".."):
        return folder
    try:
        host.stat(folder + b"/maildirfolder")
    except OSError:
        return folder
    return parent if slash else b"."


def warning_is_due(host: Host, folder: bytes, mode: int = MODE) -> bool:
    """Whether the last warning is a day old; if so, this one is recorded in a file with that mode.

    Raises:
        OSError: the record cannot be written.
    """
    path = base_of(host, folder) + b"/quotawarn"
    try:
        status = host.stat(path)
    except FileNotFoundError:
        status = None
    if status is not None and stat.S_ISREG(status.st_mode) and host.time() - status.st_mtime < _DAY_S:
        return False
    fd = host.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        host.write(fd, b"\0")
        host.fchmod(fd, mode)
    finally:
        host.close(fd)
    return True
