"""Storing one file a message, in MH folders and in plain directories (`msg.` files).

The file is written under a temporary name and linked to its final name when it is complete, so no
reader sees half a mail.  procmail writes directly into the final file; we log what it logs.
"""

from __future__ import annotations

import errno

from pyprocmail.delivery import mh, names, storage
from pyprocmail.delivery.results import Delivered, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.delivery.format import Text
    from pyprocmail.host import Host

    Note = Callable[..., None]

_ATTEMPTS = 100


def store(
    host: Host,
    folder: bytes,
    text: Text,
    *,
    numbered: bool,
    prefix: bytes,
    note: Note,
    last_folder: Callable[[bytes], None],
    done: Callable[[], None],
) -> Delivered | Failed:
    """Store the text in a new file of the existing `folder`; `numbered`: as MH does; calls `done` once it is stored."""
    status = storage.status_of(host, folder or b"/")
    temporary = b""
    try:
        temporary, fd = _make_temporary(host, folder, note)
        try:
            path = name_for(host, folder, temporary, numbered=numbered, prefix=prefix)
        except OSError:
            storage.close(host, fd)
            storage.remove(host, temporary)
            raise
    except OSError as error:
        note("couldnt-make-temp", folder + (b"/." if numbered else b"/"))
        return Failed(folder, error.strerror or "no file could be made", error.errno or errno.EIO)
    try:
        last_folder(path)
        note("opening", path)
        note("acquiring-kernel-lock")
    except BaseException:
        storage.close(host, fd)
        storage.remove(host, temporary)
        raise
    try:
        storage.write_file(host, temporary, fd, text.batches())
    except OSError as error:
        note("error-writing", temporary)
        return Failed(folder, error.strerror or "cannot be written", error.errno or errno.EIO, text.length)
    try:
        path = _settle(host, temporary, path, folder, numbered=numbered, prefix=prefix)
    except storage.UnnamedError as refusal:
        note("couldnt-make-temp", path)
        return Failed(folder, refusal.error.strerror or "cannot be named", refusal.error.errno or errno.EIO)
    except BaseException:
        storage.remove(host, temporary)
        raise
    done()
    storage.mark_new_mail(host, folder or b"/", status)
    return Delivered(path, text.size)


def name_for(host: Host, folder: bytes, file: bytes, *, numbered: bool, prefix: bytes) -> bytes:
    """The path that `file` gets in the folder: the next number, or the prefix and its inode."""
    if numbered:
        return mh.next_name(host, folder)
    return b"%s/%s%s" % (folder, prefix, names.encode(host.stat(file).st_ino))


def _make_temporary(host: Host, folder: bytes, note: Note) -> tuple[bytes, int]:
    candidates = names.temporary(host, folder + b"/")
    for candidate in candidates:
        try:
            return candidate, storage.create(host, candidate)
        except FileExistsError:
            continue
        except OSError:
            note("error-writing-temporary", candidate)
            raise
    raise FileExistsError(errno.EEXIST, "no free name", candidates[-1])


def _settle(host: Host, temporary: bytes, path: bytes, folder: bytes, *, numbered: bool, prefix: bytes) -> bytes:
    """Give the file its name, or another one if the name is taken meanwhile."""
    wanted = path
    for attempt in range(_ATTEMPTS):
        try:
            storage.settle(host, temporary, path, folder + b"/")
            return path
        except FileExistsError:
            # A directory restored from a backup may have a name from an inode number that is in use again.
            path = (
                name_for(host, folder, temporary, numbered=numbered, prefix=prefix)
                if numbered
                else b"%s_%d" % (wanted, attempt)
            )
    storage.remove(host, temporary)
    raise storage.UnnamedError(path, FileExistsError(errno.EEXIST, "no free name"))
