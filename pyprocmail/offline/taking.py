"""Removes mails from their old folder after refile has delivered them: an mbox, a Maildir or an MH folder.

A mail is removed after it is safe elsewhere, so that after a crash at any moment it exists at least once.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from email.utils import parseaddr
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pyprocmail.delivery import locks
from pyprocmail.message import mailbox, postmark
from pyprocmail.message.header import fields
from pyprocmail.message.model import Message
from pyprocmail.offline.sources import NoMailError, files_of, kind_of

if TYPE_CHECKING:
    from pyprocmail.host import Host

_COPY_BYTES = 1 << 20
_LOCK_WAIT_S = 60
_JOURNAL = ".refile"


class ChangedError(Exception):
    """Another process changed the folder meanwhile: nothing was removed, so the delivered mails exist twice."""


class Item:
    """A mail of a folder.

    `place` is its file, or its offset in an mbox, where it has `length` bytes; `digest` is that of the stored bytes;
    `data` always has a From_ line.  `flags` are those of a file in a maildir; `time_ns` is the mtime of a file, None in
    an mbox.
    """

    __slots__ = ("data", "place", "length", "digest", "flags", "time_ns")

    def __init__(self, data: bytes, place: str | int, length: int = 0, *, flags: str = "", time_ns: int | None = None):
        self.data = data
        self.place = place
        self.length = length or len(data)
        self.digest = hashlib.sha256(data[: self.length]).hexdigest()
        self.flags = flags
        self.time_ns = time_ns


class Source(Protocol):
    """A folder to remove mails from."""

    path: Path

    def items(self) -> Iterator[Item]:
        """The mails of the folder at the time of the call."""

    def take_out(self, items: Sequence[Item]) -> None:
        """Remove the mails.

        Raises:
            ChangedError: this would remove other mails.
            OSError: it failed; the mails are still there.
        """


def source_of(host: Host, name: str) -> Source:
    """The folder of that name; an interrupted run on an mbox is finished first.

    Raises:
        NoMailError: it is not a folder of the three kinds.
    """
    path = Path(name)
    try:
        journal = _journal_of(path)
        if journal.exists():
            _with_locks(host, path, lambda fd: _finish(host, path, fd))
        kind = kind_of(path)
        if not kind and path.is_file() and not path.stat().st_size:
            kind = "mbox"
    except OSError as error:
        raise NoMailError(name, error.strerror or "cannot be read") from error
    if kind == "mbox":
        return Mbox(host, path)
    if kind in ("maildir", "mh"):
        return Folder(host, path, kind)
    raise NoMailError(name, "neither an mbox nor a Maildir nor an MH folder")


def to_look_at(host: Host, name: str) -> Source:
    """The folder of that name, from which nothing is removed.

    Raises:
        NoMailError: as `source_of`.
    """
    path = Path(name)
    if _journal_of(path).exists():
        raise NoMailError(name, "an earlier run was interrupted: --execute finishes it first")
    source = source_of(host, name)
    return _Untouched(source)


class _Untouched:
    """A folder whose mails stay."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.path = source.path

    def items(self) -> Iterator[Item]:
        """The mails of the folder."""
        return self._source.items()

    def take_out(self, items: Sequence[Item]) -> None:
        """Remove nothing."""


# -- folders with a file for each mail -------------------------------------------------------


class Folder:
    """A maildir or an MH folder."""

    def __init__(self, host: Host, path: Path, kind: str) -> None:
        self.host = host
        self.path = path
        self.kind = kind

    def items(self) -> Iterator[Item]:
        """The mails; a file that no longer exists is left out: a mail reader may have moved it."""
        for name in files_of(self.path, self.kind):
            try:
                data, status = Path(name).read_bytes(), os.stat(name)
            except FileNotFoundError:
                continue
            flags = name.rpartition(":2,")[2] if self.kind == "maildir" and ":2," in name else ""
            item = Item(data, name, flags=flags, time_ns=status.st_mtime_ns)
            if not postmark.envelope_end(data):
                # Mail servers add a From_ line for procmail, and an mbox needs one.
                item.data = postmark.make(_sender(data), time.localtime(status.st_mtime)) + data
            yield item

    def take_out(self, items: Sequence[Item]) -> None:
        """Remove the files; the file of a mail whose flags have changed has a new name."""
        for item in items:
            name = self._now(str(item.place))
            if name is not None and hashlib.sha256(Path(name).read_bytes()).hexdigest() == item.digest:
                self.host.unlink(os.fsencode(name))
        for folder in {os.path.dirname(str(item.place)) for item in items}:
            self.host.sync_folder(os.fsencode(folder))

    def _now(self, name: str) -> str | None:
        if os.path.exists(name) or self.kind != "maildir":
            return name if os.path.exists(name) else None
        unique = os.path.basename(name).partition(":")[0]
        return next((file for file in files_of(self.path, "maildir") if _unique(file) == unique), None)


def _sender(data: bytes) -> bytes:
    """The sender from Return-Path or From; MAILER-DAEMON without them."""
    found: dict[bytes, bytes] = {}
    for line in fields(Message(data).head):
        name, _, value = line.partition(b":")
        found.setdefault(name.strip().lower(), value)
    text = found.get(b"return-path") or found.get(b"from") or b""
    address = parseaddr(" ".join(text.decode("latin-1").split()))[1]
    return "".join(address.split()).encode("latin-1", "replace") or b"MAILER-DAEMON"


def _unique(file: str) -> str:
    return os.path.basename(file).partition(":")[0]


# -- mbox ------------------------------------------------------------------------------------


class Mbox:
    """An mbox file.  Mails that are appended after `items` began are neither delivered nor changed."""

    def __init__(self, host: Host, path: Path) -> None:
        self.host = host
        self.path = path

    def items(self) -> Iterator[Item]:
        """The mails in the file up to its present size."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            at = leading = 0
            while os.pread(fd, 1, leading) == b"\n":
                leading += 1

            def read(length: int) -> bytes:
                nonlocal at
                piece = os.pread(fd, min(length, size - at), at)
                at += len(piece)
                return piece

            start = leading
            for data in mailbox.split(read):
                length = min(len(data), size - start)
                yield Item(data, start, length)
                start += length
        finally:
            os.close(fd)

    def take_out(self, items: Sequence[Item]) -> None:
        """Rewrite the file without the mails, under its locks; see `_rewrite`."""
        if items:
            _with_locks(self.host, self.path, lambda fd: _rewrite(self.host, self.path, fd, items))


def _with_locks(host: Host, path: Path, work: Callable[[int], None]) -> None:
    """Do the work on the open file while it is locked."""
    name = os.fsencode(path)
    lock = locks.dotlock(host, name + b".lock", sleep_s=1, note=_silent)
    try:
        fd = host.open(name, os.O_RDWR | os.O_CLOEXEC, 0)
        try:
            with host.alarm(_LOCK_WAIT_S):
                host.lock_to_end(fd)
            work(fd)
        finally:
            host.close(fd)
    finally:
        lock.release()


def _silent(kind: str, *texts: bytes) -> None:
    """Drop the notes about the lock."""
    del kind, texts


def _journal_of(path: Path) -> Path:
    return Path(os.path.abspath(path) + _JOURNAL)  # of `.`, too


def _rewrite(host: Host, path: Path, fd: int, items: Sequence[Item]) -> None:
    """Remove the items from the locked file.

    The remaining bytes are first written to a journal beside the file, then over the file, which is truncated last.
    The file cannot be replaced by a new one, because programs that wait for the lock have it open already.  After a
    crash the next run finishes the work from the journal.
    """
    ranges = []
    at = 0
    for item in items:
        start = int(item.place)
        if os.fstat(fd).st_size < start + item.length or _sum(fd, start, start + item.length) != item.digest:
            raise ChangedError(f"{path} was changed during the run")
        ranges.append((at, start))
        at = start + item.length
    size = os.fstat(fd).st_size
    first = ranges[0][1]
    ranges.append((at, size))
    _write_journal(host, path, fd, first, size, [(fd, start, end) for start, end in ranges[1:]])
    _finish(host, path, fd)


_Range = tuple[int, int, int]
"""Bytes of an open file: its descriptor, and the first and the end offset."""


def _write_journal(host: Host, path: Path, fd: int, first: int, size: int, ranges: Sequence[_Range]) -> None:
    """Write a journal to disk: the file of `size` bytes must become its `first` bytes, followed by the ranges."""
    journal = os.fsencode(_journal_of(path))
    end = first + sum(stop - start for _, start, stop in ranges)
    head = json.dumps({"first": first, "size": size, "rest": _sum(fd, end, size)}).encode() + b"\n"
    temporary = journal + b".tmp"
    out = host.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write(host, out, head)
        for source, start, stop in ranges:
            for piece in _pieces(source, start, stop):
                _write(host, out, piece)
        host.fsync(out)
    finally:
        host.close(out)
    host.rename(temporary, journal)
    host.sync_folder(os.path.dirname(os.path.abspath(journal)))


def _finish(host: Host, path: Path, fd: int) -> None:
    """Carry out the journal, from whatever step the last run reached.

    Until the file is truncated, the bytes after the overwritten part are unchanged: `rest` is their digest.  Bytes that
    others appended since the journal was written follow the former size, or, after the truncation, our part.
    """
    journal = _journal_of(path)
    with journal.open("rb") as file:
        said = json.loads(file.readline())
        begin = file.tell()
        length = file.seek(0, os.SEEK_END) - begin
        first, size = int(said["first"]), int(said["size"])
        now = os.fstat(fd).st_size
        end = first + length
        cut = now < size or _sum(fd, end, size) != said["rest"]
        if not cut and now > size:
            # Appended bytes must be in the journal before they can be overwritten.
            _write_journal(host, path, fd, first, now, [(file.fileno(), begin, begin + length), (fd, size, now)])
    if not cut and now > size:
        _finish(host, path, fd)
        return
    if not cut:
        with journal.open("rb") as file:
            host.lseek(fd, first, os.SEEK_SET)
            for piece in _pieces(file.fileno(), begin, begin + length):
                _write(host, fd, piece)
        host.fsync(fd)
        host.ftruncate(fd, end)
        host.fsync(fd)
    host.unlink(os.fsencode(journal))
    host.sync_folder(os.path.dirname(os.path.abspath(os.fsencode(journal))))


def _sum(fd: int, start: int, end: int) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(fd, start, end):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(fd: int, start: int, end: int) -> Iterator[bytes]:
    """The bytes between two offsets.

    Raises:
        OSError: the file is shorter.
    """
    while start < end:
        piece = os.pread(fd, min(_COPY_BYTES, end - start), start)
        if not piece:
            raise OSError(errno.EIO, "the file has become shorter")
        start += len(piece)
        yield piece


def _write(host: Host, fd: int, data: bytes) -> None:
    while data:
        data = data[host.write(fd, data) :]
