"""Tries a filter file of maildrop, as `rules` tries an rcfile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import chdir
from typing import TYPE_CHECKING

from pyprocmail.delivery.folder import MAILDIR, MBOX, Folder
from pyprocmail.host import LARGEST_RULES_BYTES, Host
from pyprocmail.maildrop import rehearsal, run
from pyprocmail.maildrop.syntax import compiled
from pyprocmail.maildrop.syntax.parse import read
from pyprocmail.offline.branches import Branches, branches
from pyprocmail.offline.rules import Line, RulesError, Setup, canned_of, set_clock, user_of
from pyprocmail.offline.stage import Canned, Stage

if TYPE_CHECKING:
    from pyprocmail.delivery.format import Chunk, Text
    from pyprocmail.delivery.results import Delivered, Failed
    from pyprocmail.engine.trace import Place, Trace
    from pyprocmail.host import User
    from pyprocmail.maildrop.files import FilterFiles
    from pyprocmail.maildrop.instructions import Program
    from pyprocmail.maildrop.session import Session
    from pyprocmail.maildrop.world import Database

Note = Callable[..., None]


class FilterStage(Stage, rehearsal.Rehearsal):
    """The Stage for maildrop, where it differs from procmail."""

    def append(
        self, path: bytes, text: Text, *, lock_timeout_s: int, note: Note, done: Callable[[], None], mode: int
    ) -> Delivered | Failed:
        """As the Rehearsal; first calls `seen`."""
        self.seen(Folder(path, path, MBOX))
        return super().append(path, text, lock_timeout_s=lock_timeout_s, note=note, done=done, mode=mode)

    def deposit(
        self, folder: bytes, chunks: Iterable[Chunk], size: int, *, flags: bytes, keywords: bytes
    ) -> Delivered | Failed:
        """As the Rehearsal; first calls `seen`."""
        self.seen(Folder(folder + b"/", folder, MAILDIR))
        return super().deposit(folder, chunks, size, flags=flags, keywords=keywords)

    def open_database(self, path: bytes, mode: bytes) -> Database:
        """As the Rehearsal; later mails see what is written to the database."""
        self.remembers = self.remembers or mode != b"R"
        return super().open_database(path, mode)


class _QuietHost(Host):
    """A Host that drops output to standard error, and on which no process must become the user first."""

    def __init__(self) -> None:
        super().__init__()
        self.write = _write_but_errors  # type: ignore[assignment]  # the same signature as os.write

    def catch_signals(self, toggle_verbose: Callable[[bool], None]) -> None:
        """Do nothing: a signal ends the command as usual, because nothing is being delivered."""


def _write_but_errors(fd: int, data: bytes) -> int:
    return len(memoryview(data)) if fd == 2 else os.write(fd, data)


class FilterRules:
    """The filter file of a Setup in this process; with `told` the trace reports the parts of each condition.

    Raises:
        RulesError: it does not exist or has an error, or the user does not exist.
    """

    def __init__(self, setup: Setup, *, told: bool = False) -> None:
        self.setup = setup
        self.host = _QuietHost()
        set_clock(self.host, setup)
        self.user = user = user_of(self.host, setup)
        self.host.geteuid = lambda: user.uid  # for this Host only
        self._told = told
        self._branches: dict[bytes, Branches] = {}
        self.path = os.fsencode(os.path.abspath(setup.rcfile))
        self.sources: dict[bytes, bytes] = {}
        self.lines: dict[tuple[bytes, int], Line] = {}
        self.stage: Stage = self._open_stage(self.host, (*setup.answers, *canned_of(setup.canned)), setup.allow)
        self.caller = {**os.environb, **dict(os.fsencode(word).split(b"=", 1) for word in setup.assignments)}
        self._setup = run.Setup(self.host, b"maildrop", self.caller, self._compile, _become, tried=True)
        before = os.fsencode(os.path.abspath(setup.before)) if setup.before else b""
        self.recipient = run.Recipient(
            self.user,
            file=self.path,
            before=before,
            sender=os.fsencode(setup.sender),
            arguments=[os.fsencode(word) for word in setup.arguments],
        )
        for path, name in ((before, setup.before), (self.path, setup.rcfile)):
            if path:
                self._check(path, name)

    def _open_stage(self, host: Host, canned: Canned, allowed: bool) -> Stage:
        with chdir(self.folder()):
            self._world = FilterStage(host, canned=canned, allowed=allowed)
        return self._world

    def folder(self) -> bytes:
        """The folder for relative names: the home, as in a delivery, or with -m the working folder."""
        folder = os.getcwdb() if self.setup.mail_filter else self.user.home
        if not os.path.isdir(folder):
            raise RulesError(f"{os.fsdecode(folder)}: this home does not exist; name another one with --home")
        if not os.access(folder, os.X_OK):
            raise RulesError(f"{os.fsdecode(folder)}: you cannot enter this home; name another one with --home")
        return folder

    def _check(self, path: bytes, name: str) -> None:
        try:
            text = self.sources[path] = self.host.read_file(path, LARGEST_RULES_BYTES)
        except OSError as error:
            raise RulesError(f"{os.fsdecode(path)}: {error.strerror}") from error
        made = compiled.compile_filter(text, path, embedded=False, traced=False, caret=False)
        if made.program is None:
            said = b"; ".join(text for _, text in made.lines).decode("utf-8", "replace")
            raise RulesError(f"{name}: {said}")

    def _compile(
        self, session: Session, data: bytes, name: bytes, *, traced: bool, caret: bool
    ) -> tuple[Program | None, tuple[tuple[bool, bytes], ...]]:
        path = self.stage.whole(name)
        if self.sources.get(path) != data:
            self.sources[path] = data
            self.lines.clear()
            self._branches.pop(path, None)
        made = compiled.compile_filter(
            data, name, embedded=session.embedded, traced=traced, caret=caret, told=self._told
        )
        return made.program, made.lines

    def __enter__(self) -> FilterRules:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the files that programs wrote."""
        self.stage.close()

    def line_of(self, path: bytes, offset: int) -> int:
        """The line of the filter file at the offset, from 1."""
        return self.sources.get(self.stage.whole(path), b"").count(b"\n", 0, offset) + 1

    def branches_of(self, path: bytes) -> Branches:
        """The conditions of a filter file that was read."""
        whole = self.stage.whole(path)
        found = self._branches.get(whole)
        if found is None:
            data = self.sources.get(whole, b"")
            tree = read(data, embedded=False).tree
            found = self._branches[whole] = branches(tree, data) if tree is not None else Branches()
        return found

    def reasons(self, place: Place) -> tuple[Place, tuple[bytes, ...]]:
        """The innermost `if` around the statement at the place, or the statement; and the conditions it depends on."""
        around = list(self.branches_of(place[0]).around(place[1]))
        return (place[0], around[-1][0]) if around else place, tuple(text for _, text in around)

    def run(self, data: bytes, listen: Callable[[Trace], None]) -> int:
        """Run one mail through the filter file; returns the exit status."""
        self.stage.begin()
        if data.startswith(b"From "):
            # The empty line after a message belongs to the mailbox.
            data = data.removesuffix(b"\n")
        # A filter file may look up relative names on the disk.
        with chdir(self.folder()):
            return run.deliver(self._world, self.recipient, lambda: data, self._setup, listen=listen).status


def _become(_host: Host, user: User, _files: FilterFiles) -> None:
    """Do nothing: a trial runs as the caller."""
    del user
