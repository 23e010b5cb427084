"""Tries an rcfile: loads it for a user, and runs one mail at a time through it on a Stage."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyprocmail.engine.logfile import Output
from pyprocmail.exits import in_one_line
from pyprocmail.host import LARGEST_RULES_BYTES, Host, User
from pyprocmail.matching.regex import Patterns
from pyprocmail.offline.alike import Alike, tells_mails_apart
from pyprocmail.offline.dates import NoDateError, moment_of
from pyprocmail.offline.stage import Answer, Canned, Stage
from pyprocmail.procmail import interpreter, rcfiles, start
from pyprocmail.procmail.compiled import instructions as op
from pyprocmail.procmail.endings import finish
from pyprocmail.procmail.plan import Plans
from pyprocmail.procmail.run import SYSTEM_PATH, Recipient, assign_operands
from pyprocmail.procmail.session import Identity, Session
from pyprocmail.procmail.syntax.lower import compile_rcfile

if TYPE_CHECKING:
    from pyprocmail.engine.trace import Place
    from pyprocmail.message.model import Message
    from pyprocmail.procmail.compiled.instructions import Program


Line = tuple[str, int]
"""A place for people: the rcfile, and its line from 1.  ("", 0) if no recipe decided, and DEFAULT took the mail."""


PROCMAIL, MAILDROP = "procmail", "maildrop"


class RulesError(Exception):
    """The rules cannot be tried; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The rules and their options from the command line; sent unchanged to worker processes.

    `rcfile` is a path.  `user` and `home` are those of the rules, "" for the caller's.  `mail_filter` is procmail's -m:
    MAILDIR is the start folder, and a mail that no recipe delivers has no folder.  `assignments` are NAME=value,
    `arguments` are `$1` and so on.  `sender` is the envelope sender, "" to take it from the From_ line.  `canned` is a
    file with answers of programs, `answers` are further answers, `allow` lets programs run.  `language` is PROCMAIL or
    MAILDROP, "" to guess from the text.  `before` is a file of rules that runs first, like /etc/procmailrc or
    /etc/maildroprc.  `date` is the time for the run, in ISO 8601, "" for now.
    """

    rcfile: str
    user: str = ""
    home: str = ""
    mail_filter: bool = False
    assignments: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    sender: str = ""
    canned: str = ""
    allow: bool = False
    answers: tuple[Answer, ...] = ()
    language: str = ""
    before: str = ""
    date: str = ""
    programs: tuple[tuple[bytes, bytes, Program], ...] = ()
    """Rcfiles already read, so that a worker need not read them: absolute path, text, program."""


class Rules:
    """The rules of a Setup in this process; `prefilter` skips recipes whose patterns do not occur in the mail.

    Raises:
        RulesError: the rcfile, the table of answers or the user does not exist.
    """

    def __init__(self, setup: Setup, *, prefilter: bool = False) -> None:
        self.setup = setup
        self.host = Host()
        set_clock(self.host, setup)
        self.user = user_of(self.host, setup)
        self.stage = Stage(self.host, canned=(*setup.answers, *canned_of(setup.canned)), allowed=setup.allow)
        self.path = os.fsencode(os.path.abspath(setup.rcfile))
        self.sources: dict[bytes, bytes] = {path: text for path, text, _ in setup.programs}
        """The text of each rcfile that was read, by its absolute path."""
        self._programs: dict[bytes, Program | None] = {path: program for path, _, program in setup.programs}
        self._outer: dict[bytes, dict[int, tuple[int, ...]]] = {}
        self.lines: dict[tuple[bytes, int], Line] = {}
        """A cache of lines, by absolute path and offset."""
        self._patterns = Patterns()
        self._log = Output(self.host, unread=True)
        self._log.turn(self.stage.open_log(b"", 0, self._log.limits))
        self._plans = Plans(self._patterns) if prefilter else None
        self.alike = Alike(self.stage) if prefilter and not setup.allow else None
        """Outcomes of mails alike; None if they cannot be used."""
        self._environment = start.environment(
            dict(os.environb), self.host, self.user, preserve=False, mail_filter=setup.mail_filter, rcfile_given=True
        )
        self._origin = start.Origin(
            self.host, self.user, sender=os.fsencode(setup.sender) or None, deliver=False, override=False
        )
        self._check()
        if any(map(tells_mails_apart, self.sources.values())):
            self.alike = None

    def __enter__(self) -> Rules:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the files that programs wrote."""
        self.stage.close()

    def _check(self) -> None:
        program = self._load(self.path)
        if program is None:
            raise RulesError(f"{self.setup.rcfile}: no such rcfile, or it cannot be read")
        if self.setup.before and self._load(os.fsencode(os.path.abspath(self.setup.before))) is None:
            raise RulesError(f"{self.setup.before}: no such rcfile, or it cannot be read")

    def _load(self, path: bytes) -> Program | None:
        whole = self.stage.whole(path)
        if whole not in self._programs:
            try:
                text = self.host.read_file(whole, LARGEST_RULES_BYTES)
            except OSError:
                self._programs[whole] = () if whole == b"/dev/null" else None
            else:
                self.sources[whole] = text
                if tells_mails_apart(text):
                    self.alike = None
                self._programs[whole] = compile_rcfile(text)
        return self._programs[whole]

    def program(self) -> Program:
        """The program of the rcfile."""
        program = self._load(self.path)
        assert program is not None  # `_check` has made sure of it
        return program

    def program_of(self, path: bytes) -> Program:
        """The program of an rcfile, by its absolute path; empty if it cannot be read."""
        return self._load(path) or ()

    def outer(self, place: Place) -> tuple[Place, ...]:
        """The recipes whose nesting blocks contain the recipe at the place, outermost first."""
        path = self.stage.whole(place[0])
        found = self._outer.get(path)
        if found is None:
            found = self._outer[path] = blocks(self._load(path) or ())
        return tuple((place[0], offset) for offset in found.get(place[1], ()))

    def line_of(self, path: bytes, offset: int) -> int:
        """The line of the rcfile at the offset, from 1."""
        return self.sources.get(self.stage.whole(path), b"").count(b"\n", 0, offset) + 1

    def run(self, data: bytes, listen: Callable[[Session], None]) -> int:
        """Run one mail through the rules; returns the exit status.  `listen` gets the session before it begins.

        `session.rcfile` is b"" once all rcfiles have ended.
        """
        return self.run_message(self.message_of(data), listen)

    def message_of(self, data: bytes) -> Message:
        """The mail in the form that the rules see."""
        return start.read_message(self.host, data, self._origin, use_content_length=True, strict=False)

    def run_message(self, message: Message, listen: Callable[[Session], None]) -> int:
        """As `run`, with a mail of `message_of`."""
        self.stage.begin()
        session = self._session(message)
        listen(session)
        try:
            return self._run(session)
        finally:
            session.log.close()

    def _session(self, message: Message) -> Session:
        identity = Identity(self.user, b"procmail", content_length=True, strict=False)
        session = Session(
            self.stage,
            self._log,
            identity,
            message,
            self._environment.copy(),
            self._load,
            self._patterns,
            self._plans,
        )
        session.take_identity = lambda: None
        session.complete = self._finish
        session.variables.arguments = [os.fsencode(word) for word in self.setup.arguments]
        return session

    def _run(self, session: Session) -> int:
        words = [os.fsencode(word) for word in self.setup.assignments]
        if assign_operands(session, Recipient(self.user, self._origin, operands=words)) is None:
            return 0
        if not self.setup.mail_filter:
            session.variables.usable |= {b"DEFAULT", b"ORGMAIL"}
        if self.setup.before:
            ending = self._run_before(session, os.fsencode(os.path.abspath(self.setup.before)))
            if ending != interpreter.FELL_OFF:
                return self._finish(session, ending)
        if not session.environment.get(b"MAILDIR"):
            session.set(b"MAILDIR", self._first_folder())
        ending = interpreter.run(session, self.program(), self.path)
        return self._finish(session, ending)

    def _run_before(self, session: Session, path: bytes) -> str:
        """Run the rcfile of `before`, with the PATH of /etc/procmailrc."""
        users = session.environment[b"PATH"]
        session.environment[b"PATH"] = SYSTEM_PATH
        session.environment.pop(b"MAILDIR", None)
        ending = interpreter.run(session, self.program_of(path), path)
        session.fate.begin()
        if ending not in (interpreter.DELIVERED, interpreter.LEFT):
            session.set(b"PATH", users)
        return ending

    def _first_folder(self) -> bytes:
        if not self.setup.mail_filter:
            return self.user.home
        return rcfiles.locate(os.fsencode(self.setup.rcfile), self.user, mail_filter=True).folder

    def _finish(self, session: Session, ending: str) -> int:
        session.variables.comsat = None
        return 0 if ending == interpreter.LEFT else finish(session, ending)


def with_programs(setup: Setup) -> Setup:
    """The Setup for workers, with the program of the rcfile.

    Raises:
        RulesError: the rules cannot be tried.
    """
    if language_of(setup) == MAILDROP:
        return setup
    with Rules(setup) as rules:
        programs = tuple((path, text, rules.program_of(path)) for path, text in rules.sources.items())
    return replace(setup, programs=programs)


def blocks(program: Program) -> dict[int, tuple[int, ...]]:
    """For the offset of each recipe: the offsets of the recipes whose blocks contain it, outermost first."""
    found: dict[int, tuple[int, ...]] = {}
    open_until: list[tuple[int, int]] = []
    for at, instruction in enumerate(program):
        while open_until and at >= open_until[-1][0]:
            open_until.pop()
        if instruction[0] == op.RECIPE:
            found[instruction[1]] = tuple(offset for _, offset in open_until)
            if instruction[4][0] == op.BLOCK:
                open_until.append((instruction[5], instruction[1]))
    return found


def user_of(host: Host, setup: Setup) -> User:
    """The user of the rules.

    Raises:
        RulesError: there is no such user.
    """
    found = host.user_by_name(os.fsencode(setup.user)) if setup.user else host.user_by_id(host.getuid())
    if found is None and setup.user:
        raise RulesError(f"{setup.user}: no such user")
    user = found or User(b"#%d" % host.getuid(), host.getuid(), host.getgid(), b"/", b"/bin/sh")
    home = os.fsencode(os.path.abspath(setup.home)) if setup.home else user.home
    return User(user.name, user.uid, user.gid, home, user.shell)


def set_clock(host: Host, setup: Setup) -> None:
    """Set the clock of the host to the date of the Setup.

    Raises:
        RulesError: the date is invalid.
    """
    if setup.date:
        try:
            when = moment_of(setup.date)
        except NoDateError as error:
            raise RulesError(f"--date {error}") from error
        host.time = lambda: when  # type: ignore[method-assign]  # the clock of this run


def canned_of(path: str) -> Canned:
    """The table of a TOML file: `[[program]]` with `line`, `status` and `output`.

    Raises:
        RulesError: it does not exist, or is not such a table.
    """
    if not path:
        return ()
    try:
        table = tomllib.loads(Host().read_file(os.fsencode(path), LARGEST_RULES_BYTES).decode())
        rows = table.get("program", [])
        return [
            (str(row["line"]), int(row.get("status", 0)), row["output"].encode() if "output" in row else None)
            for row in rows
        ]
    except OSError as error:
        raise RulesError(in_one_line(error, path)) from error
    except ValueError as error:
        raise RulesError(f"{path}: {in_one_line(error)}") from error
    except (KeyError, AttributeError, TypeError) as error:
        raise RulesError(f'{path}: each [[program]] has a line = "...", and a status or an output') from error


def language_of(setup: Setup) -> str:
    """The language of the rules."""
    return setup.language or (MAILDROP if is_filter_file(text_of(setup)) else PROCMAIL)


def text_of(setup: Setup) -> bytes:
    """The text of the rcfile; empty if it cannot be read."""
    for path, text, _ in setup.programs:
        if path == os.fsencode(os.path.abspath(setup.rcfile)):
            return text
    try:
        with open(setup.rcfile, "rb") as file:
            return file.read(LARGEST_RULES_BYTES)
    except OSError:
        return b""


def is_filter_file(text: bytes) -> bool:
    """Whether the text is in maildrop's language: it has maildrop's statements, and no recipe."""
    lines = [line.strip() for line in text.split(b"\n")]
    recipes = any(line.startswith(b":0") or line[:1] == b":" for line in lines)
    return not recipes and any(line.startswith((b"if (", b"if(", b"to ", b"cc ", b"xfilter ")) for line in lines)
