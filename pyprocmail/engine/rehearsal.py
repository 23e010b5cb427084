"""A world in which nothing happens, but the run sees the effects of its own actions.

A run on it delivers nothing, locks nothing, writes no log and starts no program; yet a folder that it made exists
for the recipes that follow, a lock that it took is held, and MH numbers go up.  Dry runs, tests and the workers of a
mailbox run use it.  It reads files and never changes them.
"""

from __future__ import annotations

import errno
import os
import stat

from pyprocmail.delivery import folder as folders
from pyprocmail.delivery import format, mh, names
from pyprocmail.delivery.folder import DIRECTORY, MAILDIR, MBOX, MH, STDOUT, Folder
from pyprocmail.delivery.locks import Lock, LockHeldError
from pyprocmail.delivery.results import Delivered, Failed
from pyprocmail.delivery.system_mailbox import USABLE
from pyprocmail.engine.programs import Ended
from pyprocmail.engine.rehearsed import EndedClone, NoLog, RehearsedLock
from pyprocmail.engine.world import Clone, World

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pyprocmail.delivery.folder import Storing
    from pyprocmail.delivery.format import Text
    from pyprocmail.engine.logfile import Limits, LogFile
    from pyprocmail.engine.programs import Chunk, Command, Runner
    from pyprocmail.host import Host, User
    from pyprocmail.message.model import Message

    Note = Callable[..., None]
    Answer = Callable[[Command, bytes], Ended | None]

_STDOUT = b"|"
_FIRST_INODE = 1 << 20
_REMEMBERED = 4096
"""How many paths keep their plain form: a run over a mailbox meets the same ones again and again."""
_PARTS = (b"/new", b"/cur", b"/tmp")


class Rehearsal(World):
    """See above.  `keep` gets the whole path, or `|`, and the text of each mail that would be stored.

    `answer` gives the result that a program would have with its input.  Without a result the program
    counts as successful: a filter leaves the mail unchanged, any other program writes nothing.
    """

    __slots__ = ("_here", "_mask", "made", "_highest", "held", "_inode", "keep", "answer", "_wholes")

    def __init__(
        self, host: Host, *, keep: Callable[[bytes, Text], None] | None = None, answer: Answer | None = None
    ) -> None:
        super().__init__(host)
        self._here = host.getcwd()
        self._mask = 0o077
        self.made: dict[bytes, str] = {}
        self._highest: dict[bytes, int] = {}
        self.held: set[bytes] = set()
        self._inode = _FIRST_INODE
        self.keep = keep
        self.answer = answer
        self._wholes: dict[bytes, bytes] = {}

    # -- what is there ---------------------------------------------------------------------

    def whole(self, path: bytes) -> bytes:
        """The path from the root."""
        named = path if path.startswith(b"/") else self._here + b"/" + path
        found = self._wholes.get(named)
        if found is None:
            if len(self._wholes) >= _REMEMBERED:
                self._wholes.clear()
            found = self._wholes[named] = os.path.normpath(named)
        return found

    def status(self, path: bytes) -> str:
        """What is at the whole path: DIRECTORY, MBOX for anything else, empty if there is nothing."""
        made = self.made.get(path)
        if made is not None:
            return made
        try:
            status = self.host.stat(path)
        except (OSError, ValueError):
            return ""
        return DIRECTORY if stat.S_ISDIR(status.st_mode) else MBOX

    def exists(self, path: bytes) -> bool:
        """Whether the name exists, or would exist."""
        return bool(self.status(self.whole(path)))

    def prepare(self, name: bytes, *, alone: bool = True) -> Folder:
        """What the name of a folder would mean now."""
        folder = folders.spelled(name, alone=alone)
        if folder.kind == MBOX and self.status(self.whole(name)) == DIRECTORY:
            folder.kind = DIRECTORY
        return folder

    def refusal(self, folder: Folder, note: Note) -> OSError | None:
        """Why the maildir or MH folder could not be made; from now on it exists here."""
        return self._directory(folder.path, note) if folder.kind in (MAILDIR, MH) else None

    def _directory(self, path: bytes, note: Note) -> OSError | None:
        whole = self.whole(path or b"/")
        there = self.status(whole)
        if there == DIRECTORY:
            return None
        error = NotADirectoryError(errno.ENOTDIR, "not a directory", path) if there else self.unreachable(whole)
        if error is not None:
            note("unable-as-directory", path)
            return error
        self.made[whole] = DIRECTORY
        return None

    def unreachable(self, whole: bytes) -> OSError | None:
        """Why nothing could be created at the path."""
        parent = self.status(os.path.dirname(whole))
        if not parent:
            return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), whole)
        if parent != DIRECTORY:
            return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), whole)
        return self.forbidden(os.path.dirname(whole), os.W_OK | os.X_OK)

    def forbidden(self, whole: bytes, mode: int) -> OSError | None:
        """Why an existing file or folder may not be used so; None for what the run would have made itself."""
        if whole in self.made or self.host.access(whole, mode):
            return None
        return PermissionError(errno.EACCES, os.strerror(errno.EACCES), whole)

    # -- folders ---------------------------------------------------------------------------

    def store(
        self,
        folder: Folder,
        further: Sequence[bytes],
        message: Message,
        how: Storing,
        *,
        note: Note,
        last_folder: Callable[[bytes], None],
        done: Callable[[], None],
    ) -> Delivered | Failed:
        """Report where the mail would be stored; the folder exists here from now on."""
        del done  # nothing goes wrong here
        kind, path = folder.kind, folder.path
        if kind == STDOUT:
            last_folder(path)
            return self._stored(path, self.text(kind, path, message, how))
        if kind in (MAILDIR, MH) and self._directory(path, note):
            kind = MBOX
        if kind == MBOX:
            if further and list(further) != [b""]:
                note("skipped", b" ".join(further))
            return self._to_mbox(path, message, how, note, last_folder)
        if kind == MAILDIR:
            for part in _PARTS:
                error = self._directory(path + part, note)
                if error is not None:
                    note("skipped", path)
                    return Failed(path, error.strerror or "not a maildir", error.errno or errno.EIO)
        text = self.text(kind, path, message, how)
        name = self._name(Folder(path, path, kind), how.prefix)
        last_folder(name)
        if kind != MAILDIR:
            note("opening", name)
            note("acquiring-kernel-lock")
        delivered = self._stored(name, text)
        self._link(delivered, text, further, how, note)
        return delivered

    def text(self, kind: str, path: bytes, message: Message, how: Storing) -> Text:
        """The text that a folder of that kind gets."""
        if kind == STDOUT:
            return format.for_program(message, header=how.header, body=how.body, raw=how.raw)
        if kind == MAILDIR:
            return format.for_maildir(message, header=how.header, body=how.body)
        if kind != MBOX:
            return format.for_file(message, header=how.header, body=how.body, raw=how.raw)
        return format.for_mbox(
            message,
            header=how.header,
            body=how.body,
            raw=how.raw or path == folders.NULL_DEVICE,
            content_length=how.content_length,
            strict=how.strict,
        )

    def _to_mbox(
        self, path: bytes, message: Message, how: Storing, note: Note, last_folder: Callable[[bytes], None]
    ) -> Delivered | Failed:
        text = self.text(MBOX, path, message, how)
        last_folder(path)
        note("opening", path)
        if path == folders.NULL_DEVICE:
            return Delivered(path, text.length)
        whole = self.whole(path)
        there = self.status(whole)
        error = self.forbidden(whole, os.W_OK) if there else self.unreachable(whole)
        if there == DIRECTORY or not path:
            error = IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if error is not None:
            note("error-writing", path)
            return Failed(path, error.strerror or "cannot be opened", error.errno or errno.EIO)
        note("acquiring-kernel-lock")
        self.made[whole] = MBOX
        return self._stored(path, text)

    def _stored(self, path: bytes, text: Text) -> Delivered:
        self.kept(path, text)
        return Delivered(path, text.size)

    def kept(self, path: bytes, text: Text) -> None:
        if self.keep is not None:
            self.keep(path if path == _STDOUT else self.whole(path), text)

    def _name(self, folder: Folder, prefix: bytes, *, linked: bool = False) -> bytes:
        """The path that a mail would get in the maildir, MH folder or directory; `linked`: it is a file already."""
        if folder.kind == MAILDIR:
            return folder.path + b"/new/" + names.unique(self.host)
        if folder.kind == MH:
            return b"%s/%d" % (folder.path, self._next_number(folder.path))
        self._inode += not linked
        return b"%s/%s%s" % (folder.path, prefix, names.encode(self._inode))

    def _next_number(self, path: bytes) -> int:
        whole = self.whole(path)
        highest = self._highest.get(whole)
        if highest is None:
            try:
                highest = int(mh.next_name(self.host, whole).rpartition(b"/")[2]) - 1
            except OSError:
                highest = 0
        self._highest[whole] = highest + 1
        return highest + 1

    def _link(self, stored: Delivered, text: Text, further: Sequence[bytes], how: Storing, note: Note) -> None:
        taken = {self.whole(stored.folder)}
        for name in further:
            folder = self.prepare(name, alone=False)
            if not name or self._directory(folder.path, note):
                note(*(("skipped", folder.path) if name else ("unable-as-directory", name)))
                continue
            if folder.kind == MBOX:
                folder.kind = DIRECTORY
            path = self._name(folder, how.prefix, linked=True)
            note("linking", path)
            if self.whole(path) in taken:
                note("couldnt-make-link", path)
                continue
            taken.add(self.whole(path))
            stored.folder += b" " + path
            self.kept(path, text)

    def screen(self, path: bytes, user: User, *, suspend_s: int, note: Note, advise: bool) -> str:
        """Every system mailbox is fit for use."""
        return USABLE

    # -- locks -----------------------------------------------------------------------------

    def take(self, path: bytes, *, sleep_s: int, stale_s: int, suspend_s: int, note: Note, spool: bool = False) -> Lock:
        """Hold the lock in this rehearsal.  Other processes are not waited for; the lock cannot be taken twice."""
        note("locking", path)
        whole = self.whole(path)
        error = self.unreachable(whole)
        if error is not None or whole in self.held:
            note("lock-failure", path)
            raise error or LockHeldError(path)
        self.held.add(whole)
        return RehearsedLock(self.host, path, lambda: self.held.discard(whole))

    # -- programs --------------------------------------------------------------------------

    def run(
        self,
        session: Runner,
        command: Command,
        chunks: Iterable[Chunk],
        *,
        capture: bool = False,
        stdout: int | None = None,
        limit: int | None = None,
        wait: bool = True,
        wait_if_missing: bool = False,
    ) -> Ended:
        """The result that the program would have had."""
        session.note("executing", command.shown)
        data = b"".join(chunks)
        ended = self.answer(command, data) if self.answer is not None else None
        if ended is None:
            ended = Ended()
            ended.status = 0
            if command.purpose == "filter":
                ended.output = data
        if limit is not None and len(ended.output) > limit:
            ended.output, ended.overflow = ended.output[:limit], True
        if wait:
            session.status = ended.status or 0
        else:
            ended.status = None
        return ended

    def forward(
        self, session: Runner, command: Command, chunks: Iterable[Chunk], *, wait: bool, wait_if_missing: bool
    ) -> Ended:
        """The mail server would accept it."""
        return self.run(session, command, chunks, wait=wait)

    def find_server(self, service: bytes, host: bytes) -> tuple[str, int]:
        """The server exists; no name server is asked."""
        return os.fsdecode(host), 0

    def tell(self, address: tuple[str, int], text: bytes) -> bool:
        """No notice is sent of a mail that is not delivered."""
        return True

    def clone(self, run: Callable[[], int]) -> Clone | None:
        """Run the clone now, to its end."""
        here, mask, held = self._here, self._mask, self.held.copy()
        status = run()
        self._here, self._mask, self.held = here, mask, held
        return EndedClone(self.host, status)

    def leave(self, status: int) -> None:
        """A clone ends with its run."""

    def detach(self) -> bool:
        """The run continues here."""
        return True

    # -- where the run is, and logs --------------------------------------------------------

    def enter(self, path: bytes) -> None:
        """Work in the folder from now on.

        Raises:
            OSError: it would not be there.
        """
        whole = self.whole(path)
        if self.status(whole) != DIRECTORY:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._here = whole

    def mask(self, bits: int) -> int:
        """The permissions that new files would not get."""
        before, self._mask = self._mask, bits
        return before

    def open_log(self, path: bytes, mode: int, limits: Limits) -> LogFile:
        """A log that nobody reads."""
        return NoLog(self.host, -1)
