"""The mails to look at: mbox files, Maildirs, MH folders, single mails, folders of these, standard input.

Nothing is changed, and one mail at a time is in memory.  `parts` cuts what there is into pieces of about the same size,
in their order, for a run on several processors.
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
    """There is no mail where the user said: `path`, and what is wrong with it."""

    def __init__(self, path: str, reason: str) -> None:
        # As they are, so that it gets from a worker to the caller.
        super().__init__(path, reason)

    def __str__(self) -> str:
        return ": ".join(map(str, self.args))


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail: the file or mailbox it is from, and its text."""

    source: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the input: the bytes from `start` to `end` of an mbox, or files with a mail each; or a whole pipe.

    `end` is -1 for the end of the file.  `size` is about how many bytes it has, 0 for a pipe.
    """

    source: str
    files: tuple[str, ...] = ()
    start: int = 0
    end: int = -1
    size: int = 0

    def mails(self) -> Iterator[Mail]:
        """The mails of this piece.  A file that is gone by now has none: a mail reader may have moved it.

        Raises:
            NoMailError: it cannot be read, or a mail in it is larger than the machine can hold.
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
    """The error with the file that it is about, which may be one in the folder that the user named."""
    where = error.filename or name
    return NoMailError(os.fsdecode(where), error.strerror or "cannot be read")


def _split(source: str, fd: int, room: int, limit: int) -> Iterator[Mail]:
    """The mails in the next `room` bytes, or all if that is negative.  What is no mbox is a single mail.

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
    """What the names lead to, in pieces of about `size` bytes; no names are standard input.

    Raises:
        NoMailError: there is nothing of that name, or it cannot be read.
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
    """The mails that the names lead to, in the order of the names.

    Raises:
        NoMailError: as `parts`.
    """
    for part in parts(names):
        yield from part.mails()


def kind_of(path: Path) -> str:
    """What is at the path: "maildir", "mh", "folder", "mbox", "mail", or "" for what holds no mail."""
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
    """Whether a folder's entry is looked at, too: the folders in a maildir or MH folder, everything in another."""
    if path.is_symlink() and path.is_dir():
        return False  # it may lead back here
    if kind == "maildir":
        return path.name not in ("cur", "new", "tmp") and path.is_dir()
    if kind == "mh":
        return path.is_dir()
    return path.is_dir() or (path.is_file() and not path.name.startswith(".") and path.suffix != ".lock")


def _files(path: Path, names: list[str], size: int) -> Iterator[Part]:
    """Groups of files, none with much more than `size` bytes."""
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
    """An mbox cut where mails begin."""
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
    """Where the next mail begins, as mailbox.split finds it (an empty line and a From_ line); negative if none does."""
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
