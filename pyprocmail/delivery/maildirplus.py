"""Storing in a maildir as maildrop does: the size in the name, flags, keywords, quotas.  maildir(5)"""

from __future__ import annotations

import stat

from pyprocmail.delivery import names, storage
from pyprocmail.delivery.results import Delivered, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyprocmail.delivery.format import Chunk
    from pyprocmail.host import Host

FLAGS = b"DFRS"
_PARTS = (b"/tmp", b"/new", b"/cur")


def is_maildir(host: Host, folder: bytes) -> bool:
    """Whether the directory has all three parts of a maildir."""

    return bool(folder) and all(host.is_directory(folder + part) for part in _PARTS)


def store(
    host: Host, folder: bytes, chunks: Iterable[Chunk], size: int, *, flags: bytes, keywords: bytes
) -> Delivered | Failed:
    """Store `size` bytes in a new file of the maildir: in new, or in cur with flags.

    The umask decides who may read it.  `keywords` are names separated by commas.
    """
    if flags.strip(FLAGS):
        return Failed(folder, "unknown flags", 0)
    number = host.next_number()
    now = host.time()
    temporary = b"%b/tmp/%d.M%dP%d_%d.%b" % (
        folder, int(now), int(now * 1_000_000) % 1_000_000, host.getpid(), number, names.host_name(host),
    )  # fmt: skip
    try:
        fd = storage.create(host, temporary, 0o666)
    except OSError as error:
        # A file of that name belongs to another process.
        return Failed(folder, error.strerror or "no file could be made", error.errno or 0, size)
    try:
        status = host.fstat(fd)
        storage.write_file(host, temporary, fd, chunks)
        name = b"%d.M%dP%dV%016XI%016X_%d.%b,S=%d" % (
            int(now), int(now * 1_000_000) % 1_000_000, host.getpid(), status.st_dev, status.st_ino, number,
            names.host_name(host), size,
        )  # fmt: skip
        if keywords:
            _write_keywords(host, folder, name, keywords)
        part = b"/cur" if flags else b"/new"
        path = folder + part + b"/" + name + (b":2," + bytes(sorted(set(flags))) if flags else b"")
        storage.settle(host, temporary, path, folder + part)
    except storage.UnnamedError as refusal:
        return Failed(folder, refusal.error.strerror or "no name", refusal.error.errno or 0, size)
    except OSError as error:
        storage.remove(host, temporary)
        return Failed(folder, error.strerror or "cannot be written", error.errno or 0, size)
    return Delivered(path, size)


def _write_keywords(host: Host, folder: bytes, name: bytes, keywords: bytes) -> None:
    """Write the file from which Courier IMAP reads keywords, one a line."""
    import os

    directory = folder + b"/courierimapkeywords"
    try:
        host.mkdir(directory, 0o700)
        host.chmod(directory, stat.S_IMODE(host.stat(folder).st_mode))
    except FileExistsError:
        pass
    lines = b"".join(word + b"\n" for word in keywords.split(b",") if word)
    fd = host.open(directory + b"/" + name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    host.fchmod(fd, 0o640)
    storage.write_file(host, directory + b"/" + name, fd, [lines])
