"""What would become of one mail: plain data, read from the trace of its run."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pyprocmail.delivery.folder import NULL_DEVICE
from pyprocmail.exits import EX_TEMPFAIL
from pyprocmail.message import mime
from pyprocmail.message.header import fields
from pyprocmail.message.model import Message
from pyprocmail.message.visible import blanked
from pyprocmail.offline.alike import Asked
from pyprocmail.offline.rules import MAILDROP, Line, Rules, Setup, language_of

if TYPE_CHECKING:
    from pyprocmail.delivery.folder import Folder
    from pyprocmail.delivery.format import Text
    from pyprocmail.delivery.results import Delivered, Failed
    from pyprocmail.engine.trace import Finding, Place, Trace
    from pyprocmail.offline.alike import Alike
    from pyprocmail.offline.filters import FilterRules
    from pyprocmail.offline.stage import Form
    from pyprocmail.procmail.session import Session

FOLDER, FORWARD, PROGRAM, DISCARDED = "folder", "forward", "program", "discarded"
"""The kinds of fate."""

WARNINGS = {
    "couldnt-chdir": "MAILDIR cannot be entered: ",
    "couldnt-read": "an rcfile cannot be read: ",
    "invalid-regexp": "invalid pattern: ",
    "invalid-pattern": "invalid pattern: ",
    "exceeded-linebuf": "something is longer than LINEBUF",
}
"""Notes of the log that report a mistake in the rules, with their texts for people."""

NOWHERE: Line = ("", 0)


@dataclass(frozen=True, slots=True)
class Fate:
    """One place that a mail, or a copy of it, would go to.

    `where` is the folder (relative to the home if it is in it), or the command line.  `recipe` is the line of the
    recipe, or of the `if` in a filter file; `conditions` are those that were true, as written, those of outer blocks
    first; `by_filter`: they are statements of a filter file.  `digest` is that of the bytes that the folder would get,
    on request.
    """

    kind: str
    where: str
    copy: bool
    recipe: Line
    conditions: tuple[str, ...]
    size: int
    digest: str = ""
    by_filter: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would become of a mail.

    `status` is the exit status; `refused` are folders that would refuse it, with the reason; `unanswered` are programs
    whose answer is unknown; `seconds` is the time of each recipe, on request; `fault` is an error of ours.
    """

    source: str
    subject: str
    sender: str
    date: str
    size: int
    fates: tuple[Fate, ...]
    status: int
    refused: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()
    seconds: tuple[tuple[Line, float], ...] = ()
    fault: str = ""
    warnings: tuple[str, ...] = ()
    """Mistakes in the rules that this mail revealed."""

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """The fates without their reasons, for the comparison of two rcfiles."""
        return tuple((fate.kind, fate.where) for fate in self.fates)

    @property
    def falls_through(self) -> bool:
        """Whether no recipe delivered it."""
        return all(fate.copy or fate.recipe == NOWHERE for fate in self.fates)


class Reader:
    """Reads one run; see `judge`."""

    def __init__(self, rules: Rules | FilterRules, *, digests: bool = False, timed: bool = False) -> None:
        self.rules = rules
        self._by_filter = not isinstance(rules, Rules)
        self.fates: list[Fate] = []
        self.refused: list[str] = []
        self.unanswered: list[str] = []
        self.warnings: list[str] = []
        self.seconds: list[tuple[Line, float]] = []
        self._folder: Folder | None = None
        self._digest = ""
        self._recipe: Place | None = None
        self._held: dict[Place, list[str]] = {}
        self._timed = timed
        self._since = 0.0
        stage = rules.stage
        stage.seen = self._seen
        stage.keep = self._kept if digests else None
        stage.unanswered = self._unanswered
        self._trace: Trace | None = None
        self._sender: Callable[[], bytes] = lambda: b"/usr/sbin/sendmail"

    def listen(self, session: Session) -> None:
        """Subscribe to a session."""
        self._sender = lambda: session.variables.setting(b"SENDMAIL")
        self.hear(session.trace)

    def hear(self, trace: Trace) -> None:
        """Subscribe to a trace."""
        self._trace = trace
        trace.begun.append(self._begun)
        trace.tested.append(self._tested)
        trace.stored.append(self._stored)
        trace.refused.append(self._refused)
        trace.noted.append(self._noted)
        trace.forwarded.append(self._forwarded)

    def _seen(self, folder: Folder) -> None:
        self._folder = folder

    def _kept(self, _path: bytes, text: Text) -> None:
        self._digest = _digest(text)

    def _noted(self, kind: str, texts: tuple[bytes | int, ...]) -> None:
        found = WARNINGS.get(kind)
        if found is not None:
            self.warnings.append(found + shown(b" ".join(text for text in texts if isinstance(text, bytes))))

    def _unanswered(self, line: bytes) -> None:
        self.unanswered.append(shown(line))

    def _begun(self, place: Place, _flags: int) -> None:
        if self._timed:
            self._stop()
        self._recipe = place
        self._held[place] = []

    def _stop(self) -> None:
        now = time.perf_counter()
        if self._recipe is not None:
            self.seconds.append((self._line(self._recipe), now - self._since))
        self._since = now

    def _tested(self, _place: Place, finding: Finding) -> None:
        if self._recipe is not None and finding.held:
            self._held[self._recipe].append(shown(finding.written).strip())

    def _line(self, place: Place) -> Line:
        return line_of(self.rules, place)

    def _by(self) -> tuple[Line, tuple[str, ...]]:
        """The present recipe and its true conditions; NOWHERE once all rcfiles have ended."""
        assert self._trace is not None
        if not self._trace.rcfile:
            return NOWHERE, ()
        if not isinstance(self.rules, Rules):
            place, reasons = self.rules.reasons(self._trace.place)
            return self._line(place), tuple(map(shown, reasons))
        if self._recipe is None:
            return self._line(self._trace.place), ()
        chain = [*self.rules.outer(self._recipe), self._recipe]
        return self._line(self._recipe), tuple(text for place in chain for text in self._held.get(place, ()))

    def _stored(self, _place: Place, _message: Message, done: Delivered, copy: bool) -> None:
        folder = self._folder
        assert folder is not None
        recipe, conditions = self._by()
        kind = DISCARDED if folder.path == NULL_DEVICE else FOLDER
        digest, self._digest = self._digest, ""
        where = folder_name(self.rules, folder.name)
        self.fates.append(Fate(kind, where, copy, recipe, conditions, done.size, digest, self._by_filter))

    def _refused(self, _place: Place, failed: Failed) -> None:
        self.refused.append(f"{folder_name(self.rules, failed.folder)}: {failed.reason}")

    def _forwarded(self, _place: Place, _message: Message, line: bytes, size: int, copy: bool) -> None:
        recipe, conditions = self._by()
        sender = self._sender()
        kind = FORWARD if line.startswith(sender + b" ") else PROGRAM
        self.fates.append(Fate(kind, shown(line), copy, recipe, conditions, size, by_filter=self._by_filter))


def open_rules(setup: Setup, *, told: bool = False) -> Rules | FilterRules:
    """Open the rules of a Setup, in their language, for many mails; `told`: the trace reports every step.

    Raises:
        RulesError: they cannot be tried.
    """
    if language_of(setup) == MAILDROP:
        from pyprocmail.offline.filters import FilterRules

        return FilterRules(setup, told=told)
    return Rules(setup, prefilter=not told)


def judge(
    rules: Rules | FilterRules,
    source: str,
    data: bytes,
    *,
    digests: bool = False,
    timed: bool = False,
    headed: bool = True,
    also: Callable[[Session], None] | None = None,
    heard: Callable[[Trace], None] | None = None,
) -> Outcome:
    """Run a mail through the rules; a fault of ours is in the Outcome.

    `heard` gets the trace, in both languages; `also` gets the session of procmail's rules before they begin.

    Without `headed` the Outcome has no subject, sender and date: decoding these is a fifth of the work.
    """
    head = heading(data) if headed else ("", "", "")
    if isinstance(rules, Rules) and rules.alike is not None and not (timed or also or heard):
        try:
            return _among_alike(rules, rules.alike, source, head, data, digests)
        except Exception as error:  # noqa: BLE001  the edge of a session, as in `_outcome`
            return Outcome(source, *head, len(data), (), EX_TEMPFAIL, fault=_told(error))
    reader = Reader(rules, digests=digests, timed=timed)

    def listen(session: Session) -> None:
        reader.listen(session)
        if also is not None:
            also(session)
        if heard is not None:
            heard(session.trace)

    def hear(trace: Trace) -> None:
        reader.hear(trace)
        if heard is not None:
            heard(trace)

    run = partial(rules.run, data, listen) if isinstance(rules, Rules) else partial(rules.run, data, hear)
    return _outcome(reader, source, head, data, run)


def _outcome(reader: Reader, source: str, head: tuple[str, str, str], data: bytes, run: Callable[[], int]) -> Outcome:
    """Run, and make the Outcome from what the reader collected."""
    status, fault = EX_TEMPFAIL, ""
    try:
        status = run()
    except Exception as error:  # noqa: BLE001  the edge of a session: one mail's trouble must not end the run
        fault = _told(error)
    return Outcome(
        source,
        *head,
        len(data),
        tuple(reader.fates),
        status,
        tuple(reader.refused),
        tuple(reader.unanswered),
        tuple(reader.seconds),
        fault,
        tuple(reader.warnings),
    )


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _among_alike(
    rules: Rules, alike: Alike, source: str, head: tuple[str, str, str], data: bytes, digests: bool
) -> Outcome:
    """As `judge`: the outcome of a mail alike if there is one, else that of a run."""
    message = rules.message_of(data)
    asked = Asked(rules.stage, message)
    leaf = alike.find(asked)
    if leaf is not None:
        first = leaf.outcome
        fates = tuple(
            [
                _with_text(rules, fate, form, message, digests)
                for fate, form in zip(first.fates, leaf.forms, strict=True)
            ]
        )
        return Outcome(
            source, *head, len(data), fates, first.status, first.refused, first.unanswered, (), "", first.warnings
        )
    reader = Reader(rules, digests=digests)

    def listen(session: Session) -> None:
        reader.listen(session)
        asked.listen(session)

    found = _outcome(reader, source, head, data, partial(rules.run_message, message, listen))
    if rules.alike is not None:
        alike.learn(asked, found)
        rules.alike = alike if alike.pays else None
    return found


def _with_text(rules: Rules, fate: Fate, form: Form, message: Message, digests: bool) -> Fate:
    """The fate of an earlier mail, for this mail."""
    text = rules.stage.text(*form[:2], message, form[2])
    digest = _digest(text) if digests and fate.digest else ""
    return Fate(fate.kind, fate.where, fate.copy, fate.recipe, fate.conditions, text.size, digest, fate.by_filter)


def _digest(text: Text) -> str:
    digest = hashlib.sha256()
    for piece in text.batches():
        digest.update(piece)
    return digest.hexdigest()


def heading(data: bytes) -> tuple[str, str, str]:
    """Subject, sender and date of a mail, for people: decoded, each on one line, without control characters."""
    found = {b"subject": "", b"from": "", b"date": ""}
    for line in fields(Message(data).head):
        name, _, value = line.partition(b":")
        name = name.strip().lower()
        if name in found and not found[name]:
            found[name] = one_line(mime.words(mime.unfolded(value)))
    return found[b"subject"], found[b"from"], found[b"date"]


def one_line(text: bytes) -> str:
    """The text without control characters, line ends and blanks around it."""
    return " ".join(shown(text).split())


def shown(text: bytes) -> str:
    """Bytes as text for a terminal or a file: control characters become blanks, invalid UTF-8 is replaced."""
    return blanked(text).decode("utf-8", "replace")


def line_of(rules: Rules | FilterRules, place: Place) -> Line:
    """The place for people."""
    key = rules.stage.whole(place[0]), place[1]
    found = rules.lines.get(key)
    if found is None:
        found = rules.lines[key] = name_of(rules, place[0]), rules.line_of(*place)
    return found


def name_of(rules: Rules | FilterRules, path: bytes) -> str:
    """The rcfile for people: relative to the folder of the first rcfile if it is in it."""
    whole = rules.stage.whole(path)
    if whole == rules.path:
        return rules.setup.rcfile
    return _relative(whole, os.path.dirname(rules.path))


def folder_name(rules: Rules | FilterRules, name: bytes) -> str:
    """The folder for people: relative to the home, with the ending that marks its kind."""
    if name.startswith(b"|"):
        return "standard output"
    path = rules.stage.whole(name)
    ending = b"/." if name.endswith(b"/.") else b"/" if name.endswith(b"/") else b""
    return _relative(path, rules.user.home) + ending.decode()


def _relative(path: bytes, folder: bytes) -> str:
    inside = folder.rstrip(b"/") + b"/"
    return shown(path.removeprefix(inside) if len(inside) > 1 else path)
