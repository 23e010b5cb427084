"""The input mails: mbox files, Maildirs, MH folders, single mails, folders of these, standard input.

Nothing is changed, and only one mail at a time is in memory.  `parts` divides the input into pieces of about the same
size, in order, for a run on several processors.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyprocmail.exits import MailTooLargeError
from pyprocmail.host import Host
from pyprocmail.message import mailbox
from pyprocmail.message.postmark import is_postmark

STDIN = "-"
PART_BYTES = 8 << 20
_LOOK_BYTES = 4096
_WINDOW_BYTES = 1 << 18
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_BOUNDARY = b"\n\nFrom "
_TOO_LARGE = "a mail has more than {:,} bytes, or no end"


class NoMailError(Exception):
    """There is no mail at the path that the user named: `path`, and the reason."""

    def __init__(self, path: str, reason: str) -> None:
        # Unchanged arguments, so that the exception can be pickled by a worker.
        super().__init__(path, reason)

    def __str__(self) -> str:
        return ": ".join(map(str, self.args))


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail: its file or mailbox, and its text."""

    source: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the input: the bytes from `start` to `end` of an mbox, or files with one mail each, or a whole pipe.

    `end` is -1 for the end of the file.  `size` is the approximate number of bytes, 0 for a pipe.
    """

    source: str
    files: tuple[str, ...] = ()
    start: int = 0
    end: int = -1
    size: int = 0

    def mails(self) -> Iterator[Mail]:
        """The mails of this piece.  A file that no longer exists is left out: a mail reader may have moved it.

        Raises:
            NoMailError: it cannot be read, or a mail in it does not fit into memory.
        """
        host = Host()
        limit = host.largest_mail()
        if self.files:
            for name in self.files:
                try:
                    data = host.read_file(os.fsencode(name), limit)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise _no_mail(name, error) from error
                yield Mail(name, data)
        elif self.source == STDIN:
            yield from _split(self.source, sys.stdin.buffer.fileno(), -1, limit)
        else:
            try:
                fd = os.open(self.source, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise _no_mail(self.source, error) from error
            try:
                if self.start:
                    os.lseek(fd, self.start, os.SEEK_SET)
                yield from _split(self.source, fd, self.end - self.start if self.end >= 0 else -1, limit)
            finally:
                os.close(fd)


def _no_mail(name: str, error: OSError) -> NoMailError:
    """The error with the file it is about, which may be in the folder that the user named."""
    where = error.filename or name
    return NoMailError(os.fsdecode(where), error.strerror or "cannot be read")


def _split(source: str, fd: int, room: int, limit: int) -> Iterator[Mail]:
    """The mails in the next `room` bytes, or in all if that is negative.  A file that is not an mbox is a single mail.

    Raises:
        NoMailError: a mail has more than `limit` bytes.
    """
    left = room
    first = b""

    def read(size: int) -> bytes:
        nonlocal left, first
        if first:
            piece, first = first, b""
            return piece
        piece = os.read(fd, size if left < 0 else min(size, left))
        left -= len(piece) if left >= 0 else 0
        return piece

    first = read(_LOOK_BYTES)
    if not first:
        return
    if first.lstrip(b"\n").startswith(b"From "):
        try:
            for data in mailbox.split(read, limit):
                yield Mail(source, data)
        except MailTooLargeError as error:
            raise NoMailError(source, _TOO_LARGE.format(limit)) from error
    else:
        whole = bytearray()
        while piece := read(_WINDOW_BYTES):
            whole += piece
            if len(whole) > limit:
                raise NoMailError(source, _TOO_LARGE.format(limit))
        yield Mail(source, bytes(whole))


def parts(names: Sequence[str], size: int = PART_BYTES) -> Iterator[Part]:
    """The input at the named paths, in pieces of about `size` bytes; without names, standard input.

    Raises:
        NoMailError: a path does not exist or cannot be read.
    """
    for name in names or (STDIN,):
        if name == STDIN:
            yield Part(STDIN)
            continue
        path = Path(name)
        try:
            found = list(_of(path, size, named=True))
        except OSError as error:
            raise _no_mail(name, error) from error
        yield from found


def mails(names: Sequence[str]) -> Iterator[Mail]:
    """The mails at the named paths, in the order of the names.

    Raises:
        NoMailError: as `parts`.
    """
    for part in parts(names):
        yield from part.mails()


def kind_of(path: Path) -> str:
    """The kind of the path: "maildir", "mh", "folder", "mbox", "mail", or "" if it contains no mail."""
    if path.is_dir():
        if (path / "cur").is_dir() or (path / "new").is_dir():
            return "maildir"
        return "mh" if any(name.isdigit() for name in os.listdir(path)) else "folder"
    with path.open("rb") as file:
        start = file.read(_LOOK_BYTES).lstrip(b"\n")
    if start.startswith(b"From "):
        return "mbox"
    return "mail" if _FIELD.match(start) else ""


def files_of(path: Path, kind: str) -> list[str]:
    """The files with the mails of a maildir or MH folder, oldest first."""
    if kind == "mh":
        return [str(path / name) for name in sorted(filter(str.isdigit, os.listdir(path)), key=int)]
    found = [
        (name, str(path / part / name))
        for part in ("cur", "new")
        if (path / part).is_dir()
        for name in os.listdir(path / part)
        if not name.startswith(".")
    ]
    return [file for _, file in sorted(found)]


def _of(path: Path, size: int, *, named: bool) -> Iterator[Part]:
    if named and path.exists() and not path.is_dir() and not path.is_file():
        # A pipe, such as a shell's <(...), can be read once.
        yield Part(str(path))
        return
    kind = kind_of(path)
    if kind in ("maildir", "mh"):
        yield from _files(path, files_of(path, kind), size)
    if kind in ("maildir", "mh", "folder"):
        for inner in sorted(path.iterdir()):
            if _is_inside(inner, kind):
                yield from _of(inner, size, named=False)
    elif kind == "mbox":
        yield from _pieces(path, size)
    elif kind == "mail" or (named and path.stat().st_size):
        yield Part(str(path), (str(path),), size=path.stat().st_size)


def _is_inside(path: Path, kind: str) -> bool:
    """Whether an entry of a folder is searched, too: only folders in a maildir or MH folder, everything in others."""
    if path.is_symlink() and path.is_dir():
        return False  # it may lead back here
    if kind == "maildir":
        return path.name not in ("cur", "new", "tmp") and path.is_dir()
    if kind == "mh":
        return path.is_dir()
    return path.is_dir() or (path.is_file() and not path.name.startswith(".") and path.suffix != ".lock")


def _files(path: Path, names: list[str], size: int) -> Iterator[Part]:
    """The files in groups, none with much more than `size` bytes."""
    group: list[str] = []
    length = 0
    for name in names:
        group.append(name)
        try:
            length += os.stat(name).st_size
        except FileNotFoundError:
            continue
        if length >= size:
            yield Part(str(path), tuple(group), size=length)
            group, length = [], 0
    if group:
        yield Part(str(path), tuple(group), size=length)


def _pieces(path: Path, size: int) -> Iterator[Part]:
    """An mbox divided at beginnings of mails."""
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        start = 0
        while length - start > size:
            cut = _next_mail(file.fileno(), start + size)
            if cut < 0:
                break
            yield Part(str(path), start=start, end=cut, size=cut - start)
            start = cut
        yield Part(str(path), start=start, size=length - start)


def _next_mail(fd: int, at: int) -> int:
    """The offset of the next mail, as mailbox.split finds it (empty line, From_ line); negative if there is none."""
    window = b""
    while piece := os.pread(fd, _WINDOW_BYTES, at + len(window)):
        window += piece
        found = window.find(_BOUNDARY)
        while found >= 0:
            end = window.find(b"\n", found + 2)
            if end < 0:
                break
            if is_postmark(window[found + 2 : end]):
                return at + found + 2
            found = window.find(_BOUNDARY, found + 1)
        keep = found if found >= 0 else max(len(window) - len(_BOUNDARY) + 1, 0)
        at, window = at + keep, window[keep:]
    return -1
