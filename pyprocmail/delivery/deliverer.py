"""Storing a message in folders: the one way mail gets onto the disk."""

from __future__ import annotations

import errno

from pyprocmail.delivery import directory, folders, format, maildir, mbox, storage
from pyprocmail.delivery.results import Delivered, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from pyprocmail.host import Host
    from pyprocmail.message.model import Message

    class Observer(Protocol):
        """Is told what a delivery does, in the order in which procmail logs it."""

        def note(self, kind: str, *texts: bytes) -> None:
            """Something of the table in engine/log happened."""

        def last_folder(self, name: bytes) -> None:
            """LASTFOLDER becomes `name`; procmail logs the assignment now.

            A delivery to several folders lengthens the name without logging it: assign
            `Delivered.folder` silently when it is over.
            """


STDOUT = 1
NULL_DEVICE = b"/dev/null"


class Deliverer:
    """Stores messages in mbox files, maildirs, MH folders and directories, and on standard output."""

    __slots__ = ("_host", "_observer", "_stdout")

    def __init__(self, host: Host, observer: Observer, *, stdout: int = STDOUT) -> None:
        self._host = host
        self._observer = observer
        self._stdout = stdout

    def deliver(
        self,
        names: Sequence[bytes],
        message: Message,
        *,
        header: bool = True,
        body: bool = True,
        raw: bool = False,
        content_length: bool = True,
        prefix: bytes = b"msg.",
        lock_timeout_s: int = 0,
        strict: bool = False,
    ) -> Delivered | Failed:
        """Store the message in the folder names[0], with hard links in the further ones.

        `header` and `body` choose the parts (recipe flags h, b).  `raw` is flag r.  With
        `content_length` a Content-Length field exempts what it covers from escaping (no -Y).
        `prefix` is MSGPREFIX.  The kernel lock is waited for `lock_timeout_s` seconds, 0 is for ever.
        `strict` writes what procmail writes where that lets a mail forge another one.  A single name that
        begins with `|` is standard output.  The umask and the working directory are the process's.

        A signal raises Interrupted; the folder is then as it was.
        """
        host, observer = self._host, self._observer
        first = names[0]
        if len(names) == 1 and first.startswith(b"|"):
            return self._to_stdout(first, format.for_program(message, header=header, body=body, raw=raw))
        kind, folder = folders.kind_of(host, first)
        if kind in (folders.MAILDIR, folders.MH) and folders.make_directory(host, folder, observer.note):
            # procmail then takes it for a file, which says what is wrong when it is opened.
            kind = folders.MBOX
        result: Delivered | Failed
        if kind == folders.MBOX:
            if len(names) > 1 and names[1:] != [b""]:
                observer.note("skipped", b" ".join(names[1:]))
            text = format.for_mbox(
                message,
                header=header,
                body=body,
                raw=raw or folder == NULL_DEVICE,
                content_length=content_length,
                strict=strict,
            )
            return self._to_mbox(folder, text, lock_timeout_s)
        if kind == folders.MAILDIR:
            error = folders.make_maildir_parts(host, folder, observer.note)
            if error is not None:
                return Failed(folder, error.strerror or "not a maildir", error.errno or errno.EIO)
            text = format.for_maildir(message, header=header, body=body)
            result = maildir.store(host, folder, text, note=observer.note, last_folder=observer.last_folder)
        else:
            text = format.for_file(message, header=header, body=body, raw=raw)
            result = directory.store(
                host, folder, kind, text, prefix=prefix, note=observer.note, last_folder=observer.last_folder
            )
        if isinstance(result, Delivered):
            original = result.folder
            for name in names[1:]:
                self._link(result, original, name, prefix)
        return result

    def _to_stdout(self, name: bytes, text: format.Text) -> Delivered | Failed:
        self._observer.last_folder(name)
        try:
            storage.write_all(self._host, self._stdout, text.batches())
        except OSError as error:
            self._observer.note(*storage.write_failure(name, error))
            return Failed(name, error.strerror or "cannot be written", error.errno or errno.EIO, text.length)
        return Delivered(name, text.size)

    def _to_mbox(self, path: bytes, text: format.Text, lock_timeout_s: int) -> Delivered | Failed:
        self._observer.last_folder(path)
        if path == NULL_DEVICE:
            self._observer.note("opening", path)
            return Delivered(path, text.length)
        return mbox.append(self._host, path, text, lock_timeout_s=lock_timeout_s, note=self._observer.note)

    def _link(self, stored: Delivered, original: bytes, name: bytes, prefix: bytes) -> None:
        """Put a hard link to the stored mail into one more folder; failing is noted, and no more.

        The mail is stored whatever happens here, as with procmail.
        """
        host, note = self._host, self._observer.note
        if not name:
            note("unable-as-directory", name)
            return
        kind, folder = folders.kind_of(host, name)
        if kind == folders.MBOX:
            kind = folders.DIRECTORY
        if folders.make_directory(host, folder, note):
            note("skipped", folder)
            return
        if kind == folders.MAILDIR and folders.make_maildir_parts(host, folder, note):
            return
        try:
            if kind == folders.MAILDIR:
                path = maildir.new_name(host, folder)
            else:
                path = directory.name_for(host, folder, kind, original, prefix)
        except OSError:
            note("couldnt-make-link", folder)
            return
        note("linking", path)
        try:
            storage.give_name(host, original, path)
            storage.sync_folder(host, path[: path.rfind(b"/") + 1])
        except OSError:
            note("couldnt-make-link", path)
            return
        stored.folder += b" " + path
