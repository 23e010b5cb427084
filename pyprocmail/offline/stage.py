"""The World of these commands: a Rehearsal in which some programs have answers.

formail works as usual, but on a copy of its cache of Message-IDs.  date prints the time of the Host, which need not be
now.  Other programs are answered from a table, or, if the user allows it, started in a separate folder without network;
otherwise they count as successful, and `unanswered` is called.  A program to which the mail, or a copy of it, is
delivered is never started.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pyprocmail.engine import programs
from pyprocmail.engine.programs import Ended
from pyprocmail.engine.rehearsal import Rehearsal
from pyprocmail.host import Host
from pyprocmail.offline import dates
from pyprocmail.tools import formail

if TYPE_CHECKING:
    from pyprocmail.delivery.folder import Folder, Storing
    from pyprocmail.delivery.format import Text
    from pyprocmail.delivery.results import Delivered, Failed
    from pyprocmail.engine.programs import Chunk, Command, Runner
    from pyprocmail.engine.tools import Toolbox
    from pyprocmail.message.model import Message

Note = Callable[..., None]
Answer = tuple[str, int, bytes | None]
"""The answer of a program: a pattern for its command line, the exit status, its output (None: its input)."""
Canned = Sequence[Answer]

_ASKED = ("filter", "condition", "capture", "backquotes")
_DATE = ("/usr/bin/date", "/bin/date")
_WITHOUT_NETWORK = ("unshare", "--map-current-user", "--net", "--")
_LONGEST_RUN_S = 20.0
_REMEMBERED = 4096
Form = tuple[str, bytes, "Storing"]
"""The kind of a folder, its path, and how a mail is written there: the arguments of `Stage.text`."""
_Key = TypeVar("_Key")
_Found = TypeVar("_Found")


class CopyingHost(Host):
    """A Host with the clock of `host`; a file that is opened for writing is a copy in the folder `scratch`."""

    def __init__(self, host: Host, scratch: bytes) -> None:
        super().__init__()
        self.time = host.time  # type: ignore[method-assign]  # the clock of the run
        self._scratch = scratch
        self._copies: dict[bytes, bytes] = {}
        self.open = self._open_copy  # type: ignore[assignment]  # the same signature as os.open, as far as it is used

    def _open_copy(self, path: bytes, flags: int, mode: int = 0o777) -> int:
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return os.open(path, flags, mode)
        path = os.path.abspath(path)
        copy = self._copies.get(path)
        if copy is None:
            if not os.path.isdir(os.path.dirname(path)):
                raise FileNotFoundError(path)
            copy = self._copies[path] = self._scratch + b"/%d" % len(self._copies)
            if os.path.exists(path):
                shutil.copyfile(path, copy)
        return os.open(copy, flags, mode)


class Stage(Rehearsal):
    """See above.  One Stage serves many mails: call `begin` before each.  Without slots, for classes with two bases.

    `seen` is called with the folder of a delivery, `unanswered` with the command line of a program whose answer is
    unknown.
    """

    def __init__(self, host: Host, *, canned: Canned = (), allowed: bool = False) -> None:
        super().__init__(host)
        self._scratch = ""
        self._copies: CopyingHost | None = None
        self._canned = canned
        self._allowed = allowed
        self._start = self._here
        self.seen: Callable[[Folder], None] = lambda _folder: None
        self.unanswered: Callable[[bytes], None] = lambda _line: None
        self.started: Callable[[], None] = lambda: None
        """Called when a program would run, except for date, which does not read the mail."""
        self.form: Form | None = None
        """How the last stored mail was written."""
        self.remembers = False
        """Whether the fate of a mail may depend on earlier mails."""
        self._statuses: dict[bytes, str] = {}
        self._forbidden: dict[tuple[bytes, int], OSError | None] = {}

    def scratch(self) -> str:
        """A folder for files that programs write."""
        if not self._scratch:
            self._scratch = tempfile.mkdtemp(prefix="pyprocmail.")
        return self._scratch

    def close(self) -> None:
        """Remove the files that were written."""
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch, self._copies = "", None

    def begin(self) -> None:
        """Reset to the state of a new process: in the start folder, without locks."""
        self._here, self._mask = self._start, 0o077
        self.held.clear()

    def status(self, path: bytes) -> str:
        """As the Rehearsal, but each path is checked on the disk only once, unless programs may change it."""
        made = self.made.get(path)
        if made is not None:
            return made
        found = self._statuses.get(path)
        if found is None:
            found = super().status(path)
            if not self._allowed:
                _remember(self._statuses, path, found)
        return found

    def forbidden(self, whole: bytes, mode: int) -> OSError | None:
        """As the Rehearsal, but each path is checked only once."""
        if whole in self.made:
            return None
        key = whole, mode
        if key not in self._forbidden:
            _remember(self._forbidden, key, super().forbidden(whole, mode))
        return self._forbidden[key]

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
        """As the Rehearsal; first calls `seen`."""
        self.seen(folder)
        return super().store(folder, further, message, how, note=note, last_folder=last_folder, done=done)

    def text(self, kind: str, path: bytes, message: Message, how: Storing) -> Text:
        """As the Rehearsal; records the arguments in `form`."""
        self.form = kind, path, how
        return super().text(kind, path, message, how)

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
        """The result that the program would have, as far as it is known."""
        if dates.told(command.line, 0) is None:
            self.started()
        data = b"".join(chunks)
        self.answer = lambda asked, text: self._answer(session, asked, text)
        return super().run(session, command, [data], capture=capture, stdout=stdout, limit=limit, wait=wait)

    def _answer(self, session: Runner, command: Command, data: bytes) -> Ended | None:
        for known in (self._from_table, self._by_formail, self._by_date, self._by_program):
            ended = known(session, command, data)
            if ended is not None:
                return ended
        if command.purpose in _ASKED:
            self.unanswered(command.line)
        return None

    def _from_table(self, _session: Runner, command: Command, data: bytes) -> Ended | None:
        line = command.line.decode("utf-8", "surrogateescape").strip()
        for pattern, status, said in self._canned:
            if fnmatchcase(line, pattern):
                return _ended(status, data if said is None else said)
        return None

    def _by_formail(self, session: Runner, command: Command, data: bytes) -> Ended | None:
        """Answer formail, and lockfile, which always gets its lock here."""
        name = os.path.basename(command.argv[0])
        if command.by_shell:
            return None
        if name == b"lockfile":
            return _ended(0, b"")
        if name != b"formail" or formail.Call(command.argv).starts_programs():
            return None
        said: list[bytes] = []
        position = 0

        def read(size: int) -> bytes:
            nonlocal position
            piece = data[position : position + size]
            position += len(piece)
            return piece

        if self._copies is None:
            self._copies = CopyingHost(self.host, os.fsencode(self.scratch()))
        caches = [at for at in range(len(command.argv)) if self._is_cache(command.argv, at)]
        self.remembers = self.remembers or bool(caches)
        argv = [self.whole(word) if at in caches else word for at, word in enumerate(command.argv)]
        status = formail.run(self._copies, argv, session.environment, read, said.append, lambda _text: None)
        return _ended(status, b"".join(said))

    def _by_date(self, session: Runner, command: Command, _data: bytes) -> Ended | None:
        """Answer date, unless the rules have another time zone than this process, or another program called date."""
        said = dates.told(command.line, self.host.time())
        path = os.fsdecode(session.environment.get(b"PATH", b""))
        if said is None or shutil.which("date", path=path) not in _DATE:
            return None
        return _ended(0, said) if session.environment.get(b"TZ") == os.environb.get(b"TZ") else None

    def _is_cache(self, argv: Sequence[bytes], at: int) -> bool:
        """Whether the word is the file of -D, which is relative to the present folder of the rules."""
        return at >= 2 and argv[at - 2] == b"-D"

    def _by_program(self, session: Runner, command: Command, data: bytes) -> Ended | None:
        if not self._allowed or command.purpose not in _ASKED:
            return None
        guest = _Guest(session, self.host)
        before = os.getcwd()
        folder = Path(self.scratch(), "run")
        folder.mkdir(exist_ok=True)
        argv = command.argv
        command.argv = [*map(os.fsencode, without_network()), *argv]
        try:
            os.chdir(folder)
            return programs.run(guest, command, [data], capture=True)
        finally:
            os.chdir(before)
            command.argv = argv
            guest.close()


def _remember(known: dict[_Key, _Found], key: _Key, found: _Found) -> None:
    """Cache an answer, with a limit: an rcfile may use a new name for every mail."""
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = found


class _Guest:
    """The session of an allowed program: it has the variables, and drops all notes."""

    def __init__(self, session: Runner, host: Host) -> None:
        self.host = host
        self.environment: Mapping[bytes, bytes] = session.environment
        self.status = 0
        self.unwaited: list[int] = []
        self.toolbox: Toolbox | None = None
        self.fd = host.null_output()
        self.log = self

    def note(self, kind: str, *texts: bytes | int) -> None:
        """Drop the note."""

    def write(self, text: bytes) -> None:
        """Drop the text."""

    def retry_after(self, tries: int) -> None:
        """Do not wait: a trial gives up at once if no process can be started."""

    def deadline(self) -> float | None:
        """Programs of a rehearsal get a short time limit."""
        return self.host.monotonic() + _LONGEST_RUN_S

    def close(self) -> None:
        """Close the descriptor."""
        self.host.close(self.fd)


def without_network() -> Sequence[str]:
    """The words before a command that deny it the network; empty if the system cannot do that."""
    unshare = shutil.which(_WITHOUT_NETWORK[0])
    if unshare is None:
        return ()
    host = Host()
    null = host.null_output()
    try:
        words = [os.fsencode(word) for word in (unshare, *_WITHOUT_NETWORK[1:], "true")]
        pid = host.spawn(words, {b"PATH": b"/usr/bin:/bin"}, stdin=null, stdout=null, stderr=null)
        denied = host.wait(pid, None) == 0
    finally:
        host.close(null)
    return (unshare, *_WITHOUT_NETWORK[1:]) if denied else ()


def _ended(status: int, output: bytes) -> Ended:
    ended = Ended()
    ended.status = status
    ended.output = output
    return ended
