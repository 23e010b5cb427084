"""Storing in a maildir: written in tmp, then linked into new.  maildir(5)"""

from __future__ import annotations

import errno

from pyprocmail.delivery import names, storage
from pyprocmail.delivery.results import Delivered, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.delivery.format import Text
    from pyprocmail.host import Host

    Note = Callable[..., None]

_ATTEMPTS = 5


def store(
    host: Host,
    folder: bytes,
    text: Text,
    *,
    note: Note,
    last_folder: Callable[[bytes], None],
    done: Callable[[], None],
) -> Delivered | Failed:
    """Store the text in a new file of the maildir `folder`, whose parts exist; calls `done` once it is stored."""
    # procmail sets the bit on tmp, since it makes its file there.
    status = storage.status_of(host, folder + b"/tmp") if storage.may_be_marked(host) else None
    for _ in range(_ATTEMPTS):
        name = names.unique(host)
        temporary = folder + b"/tmp/" + name
        path = folder + b"/new/" + name
        try:
            fd = storage.create(host, temporary)
        except FileExistsError:
            continue
        except OSError as error:
            note("error-writing-temporary", temporary)
            return _unnamed(temporary, error, note)
        try:
            storage.write_file(host, temporary, fd, text.batches())
        except OSError as error:
            note(*storage.write_failure(temporary, error))
            return Failed(folder, error.strerror or "cannot be written", error.errno or errno.EIO, text.length)
        try:
            storage.settle(host, temporary, path, folder + b"/new")
        except FileExistsError:
            storage.remove(host, temporary)
            continue
        except storage.UnnamedError as refusal:
            return _unnamed(temporary, refusal.error, note)
        except BaseException:
            storage.remove(host, temporary)
            raise
        done()
        storage.mark_new_mail(host, folder + b"/tmp", status)
        last_folder(path)
        return Delivered(path, text.size)
    return _unnamed(folder + b"/tmp/", FileExistsError(errno.EEXIST, "no free name"), note)


def new_name(host: Host, folder: bytes) -> bytes:
    """The path of a new link to a mail that is stored elsewhere."""
    return folder + b"/new/" + names.unique(host)


def _unnamed(path: bytes, error: OSError, note: Note) -> Failed:
    note("couldnt-make-temp", path)
    return Failed(path, error.strerror or "no file could be made", error.errno or errno.EIO)
