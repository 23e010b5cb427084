"""Folders: the kind that a name means, decided once, and the one way to store mail in them.

procmailrc(5), Recipe action line: mbox files, maildirs, MH folders, directories, standard output.
"""

from __future__ import annotations

import errno

from pyprocmail.delivery import directory, format, maildir, mbox, storage
from pyprocmail.delivery.results import Delivered, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyprocmail.host import Host
    from pyprocmail.message.model import Message

    Note = Callable[..., None]

MBOX, MAILDIR, MH, DIRECTORY, STDOUT = "mbox", "maildir", "mh", "directory", "stdout"
NULL_DEVICE = b"/dev/null"
_GONE = (errno.ENOENT, errno.ENOTDIR)
_MAILDIR_PARTS = (b"/new", b"/cur", b"/tmp")


class Folder:
    """A folder, as found when its name was examined.

    `name` is its name as written, `path` its place, `kind` one of MBOX, MAILDIR, MH, DIRECTORY and STDOUT.
    """

    __slots__ = ("name", "path", "kind")

    def __init__(self, name: bytes, path: bytes, kind: str) -> None:
        self.name = name
        self.path = path
        self.kind = kind

    @property
    def is_locked(self) -> bool:
        """Whether programs lock it with a dotlock `path` + LOCKEXT before they write, as an mbox."""
        return self.kind == MBOX and self.path != NULL_DEVICE


class Storing:
    """How to store a mail.

    `header` and `body` choose the parts (recipe flags h, b).  `raw` is flag r.  With `content_length` the bytes
    covered by a Content-Length field are not escaped (no -Y).  `prefix` is MSGPREFIX.  `lock_timeout_s` is how many
    seconds to wait for the kernel lock; 0 is for ever.  `strict` writes exactly what procmail writes, even where that
    lets a mail forge another one.
    """

    __slots__ = ("header", "body", "raw", "content_length", "prefix", "lock_timeout_s", "strict")

    def __init__(
        self,
        *,
        header: bool = True,
        body: bool = True,
        raw: bool = False,
        content_length: bool = True,
        prefix: bytes = b"msg.",
        lock_timeout_s: int = 0,
        strict: bool = False,
    ) -> None:
        self.header = header
        self.body = body
        self.raw = raw
        self.content_length = content_length
        self.prefix = prefix
        self.lock_timeout_s = lock_timeout_s
        self.strict = strict


def prepare(host: Host, name: bytes, *, alone: bool = True) -> Folder:
    """The folder `name`: as `spelled`, but an existing directory gets msg files.  `alone` as for `spelled`."""
    folder = spelled(name, alone=alone)
    if folder.kind == MBOX and host.is_directory(name):
        folder.kind = DIRECTORY
    return folder


def spelled(name: bytes, *, alone: bool = True) -> Folder:
    """The folder that the spelling of `name` means.

    `x/.` is an MH folder, `x/` a maildir.  A name that begins with `|` and is `alone` in its action is standard output.
    Any other name is an mbox.
    """
    if alone and name.startswith(b"|"):
        return Folder(name, name, STDOUT)
    if name and not name.strip(b"/"):
        return Folder(name, b"/", DIRECTORY if name == b"/" else MAILDIR)
    if name.endswith(b"/."):
        path = name[:-2]
        return Folder(name, path.rstrip(b"/") or path[:1], MH)
    if name.endswith(b"/"):
        return Folder(name, name.rstrip(b"/"), MAILDIR)
    return Folder(name, name, MBOX)


def make_directory(host: Host, path: bytes, note: Note) -> OSError | None:
    """Make the directory `path` in its existing parent, if it is missing; returns and notes the error on failure."""
    if host.is_directory(path or b"/"):
        return None
    try:
        host.mkdir(path, storage.FOLDER_MODE)
    except OSError as error:
        if host.is_directory(path):
            return None
        note("unable-as-directory", path)
        if error.errno == errno.EEXIST:
            return NotADirectoryError(errno.ENOTDIR, "not a directory", path)
        return error
    try:
        storage.sync_folder(host, path[: path.rfind(b"/") + 1])
    except OSError as error:
        note("unable-as-directory", path)
        return error
    return None


def make_maildir_parts(host: Host, path: bytes, note: Note) -> OSError | None:
    """Make new, cur and tmp in the directory `path`, if missing; returns and notes the first error on failure."""
    for part in _MAILDIR_PARTS:
        error = make_directory(host, path + part, note)
        if error is not None:
            note("skipped", path)
            return error
    return None


class Store:
    """Storing one mail: in a folder, and with hard links in further ones.

    `note` is called with each event, in the order of procmail's log, as a kind of the table in procmail/log.
    `last_folder` is called with the new value of LASTFOLDER when procmail logs the assignment.  A delivery to several
    folders lengthens that value without logging it: assign `Delivered.folder` at the end.  `done` is called as soon as
    the mail is safe: the mail counts as delivered whatever fails later.
    """

    __slots__ = ("_host", "_note", "_last_folder", "_done", "_stdout")

    def __init__(
        self,
        host: Host,
        note: Note,
        last_folder: Callable[[bytes], None],
        done: Callable[[], None] = lambda: None,
        *,
        stdout: int = 1,
    ) -> None:
        self._host = host
        self._note = note
        self._last_folder = last_folder
        self._done = done
        self._stdout = stdout

    def into(self, folder: Folder, further: Sequence[bytes], message: Message, how: Storing) -> Delivered | Failed:
        """Store the message in the folder, with hard links in the `further` ones.

        The umask and the working directory are those of the process.  A signal raises Interrupted; the folder is then
        unchanged.
        """
        result = self._into(folder, further, message, how)
        if (
            isinstance(result, Failed)
            and folder.kind in (MAILDIR, MH)
            and result.error in _GONE
            and self._host.forget()
        ):
            # Another process has removed a folder that was known to exist.
            result = self._into(folder, further, message, how)
        return result

    def _into(self, folder: Folder, further: Sequence[bytes], message: Message, how: Storing) -> Delivered | Failed:
        host, note = self._host, self._note
        kind, path = folder.kind, folder.path
        if kind == STDOUT:
            text = format.for_program(message, header=how.header, body=how.body, raw=how.raw)
            return self._to_stdout(path, text)
        if kind in (MAILDIR, MH) and make_directory(host, path, note):
            # procmail then treats it as a file; opening it gives the error.
            kind = MBOX
        result: Delivered | Failed
        if kind == MBOX:
            if further and list(further) != [b""]:
                note("skipped", b" ".join(further))
            return self._to_mbox(path, message, how)
        if kind == MAILDIR:
            error = make_maildir_parts(host, path, note)
            if error is not None:
                return Failed(path, error.strerror or "not a maildir", error.errno or errno.EIO)
            text = format.for_maildir(message, header=how.header, body=how.body)
            result = maildir.store(host, path, text, note=note, last_folder=self._last_folder, done=self._done)
        else:
            text = format.for_file(message, header=how.header, body=how.body, raw=how.raw)
            result = directory.store(
                host,
                path,
                text,
                numbered=kind == MH,
                prefix=how.prefix,
                note=note,
                last_folder=self._last_folder,
                done=self._done,
            )
        if isinstance(result, Delivered):
            original = result.folder
            for name in further:
                self._link(result, original, name, how.prefix)
        return result

    def _to_stdout(self, name: bytes, text: format.Text) -> Delivered | Failed:
        self._last_folder(name)
        try:
            storage.write_all(self._host, self._stdout, text.batches())
        except OSError as error:
            self._note(*storage.write_failure(name, error))
            return Failed(name, error.strerror or "cannot be written", error.errno or errno.EIO, text.length)
        self._done()
        return Delivered(name, text.size)

    def _to_mbox(self, path: bytes, message: Message, how: Storing) -> Delivered | Failed:
        text = format.for_mbox(
            message,
            header=how.header,
            body=how.body,
            raw=how.raw or path == NULL_DEVICE,
            content_length=how.content_length,
            strict=how.strict,
        )
        self._last_folder(path)
        if path == NULL_DEVICE:
            self._done()
            self._note("opening", path)
            return Delivered(path, text.length)
        return mbox.append(self._host, path, text, lock_timeout_s=how.lock_timeout_s, note=self._note, done=self._done)

    def _link(self, stored: Delivered, original: bytes, name: bytes, prefix: bytes) -> None:
        """Put a hard link to the stored mail into one more folder; a failure is only noted.

        As in procmail, the mail is already stored.
        """
        host, note = self._host, self._note
        if not name:
            note("unable-as-directory", name)
            return
        folder = prepare(host, name, alone=False)
        if make_directory(host, folder.path, note):
            note("skipped", folder.path)
            return
        if folder.kind == MAILDIR and make_maildir_parts(host, folder.path, note):
            return
        try:
            if folder.kind == MAILDIR:
                path = maildir.new_name(host, folder.path)
            else:
                numbered = folder.kind == MH
                path = directory.name_for(host, folder.path, original, numbered=numbered, prefix=prefix)
        except OSError:
            note("couldnt-make-link", folder.path)
            return
        note("linking", path)
        try:
            storage.give_name(host, original, path)
            storage.sync_folder(host, path[: path.rfind(b"/") + 1])
        except OSError:
            note("couldnt-make-link", path)
            return
        stored.folder += b" " + path
