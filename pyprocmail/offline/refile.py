"""refile: really applies the rules to the mail in a folder.

Each mail is first rehearsed.  A mail that the rules put elsewhere is delivered there by a normal run, in the real
World, and removed from the folder once it is safe; a mail that no recipe delivers stays.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyprocmail.delivery.folder import MAILDIR
from pyprocmail.delivery.results import Failed
from pyprocmail.engine.world import World
from pyprocmail.offline.listing import cut
from pyprocmail.offline.outcome import DISCARDED, FOLDER, Outcome, judge
from pyprocmail.offline.rules import Rules
from pyprocmail.offline.taking import Item, Source
from pyprocmail.procmail import run, start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyprocmail.delivery.folder import Folder, Storing
    from pyprocmail.delivery.results import Delivered
    from pyprocmail.engine.trace import Trace
    from pyprocmail.engine.verdict import Verdict
    from pyprocmail.host import Host
    from pyprocmail.message.model import Message
    from pyprocmail.offline.filters import FilterRules

    Note = Callable[..., None]

GOES, STAYS = "goes", "stays"
_BATCH = 500
"""How many mails are delivered before they are removed from the folder."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan for a mail: GOES to `where`, or STAYS because of `reason`."""

    outcome: Outcome
    verb: str
    where: tuple[str, ...] = ()
    reason: str = ""


@dataclass(slots=True)
class Report:
    """The result of a run: the mails that went and stayed, and those that could not be delivered, with the reason."""

    gone: int = 0
    stayed: int = 0
    failed: list[str] = field(default_factory=list)


def plan(rules: Rules | FilterRules, source: Source, item: Item) -> Plan:
    """Rehearse a mail.  By default a mail of an old folder is not sent to programs or to other people: it stays."""
    outcome = judge(rules, str(source.path), item.data)
    where = tuple(fate.where for fate in outcome.fates)
    if outcome.fault or outcome.status:
        return Plan(outcome, STAYS, where, outcome.fault or "no folder takes it")
    if outcome.falls_through:
        return Plan(outcome, STAYS, where, "no recipe wants it")
    here = os.path.realpath(source.path)
    if any(_path(rules, name) == here for name in where):
        return Plan(outcome, STAYS, where, "it is where it belongs")
    if not rules.setup.allow:
        if any(fate.kind not in (FOLDER, DISCARDED) for fate in outcome.fates):
            return Plan(outcome, STAYS, where, "it would be forwarded or go to a program: --allow-commands")
        if outcome.unanswered:
            return Plan(outcome, STAYS, where, "a program decides: --allow-commands")
    return Plan(outcome, GOES, where)


def _path(rules: Rules | FilterRules, name: str) -> str:
    return os.path.realpath(os.path.join(os.fsdecode(rules.user.home), name.removesuffix("/.").rstrip("/")))


def execute(
    rules: Rules | FilterRules, source: Source, deliver: Callable[[Item], str], tell: Callable[[Plan, str], None]
) -> Report:
    """Deliver the mails that go, and remove them.  `deliver` returns why one was not delivered; `tell` gets each plan.

    Raises:
        ChangedError, OSError: delivered mails could not be removed: they exist twice.
    """
    report = Report()
    done: list[Item] = []
    try:
        for item in source.items():
            found = plan(rules, source, item)
            if found.verb == STAYS:
                report.stayed += 1
                tell(found, "")
                continue
            trouble = deliver(item)
            tell(found, trouble)
            if trouble:
                report.failed.append(trouble)
                continue
            report.gone += 1
            item.data = b""  # the digest is enough from here on
            done.append(item)
            if isinstance(item.place, str) and len(done) >= _BATCH:
                batch, done = done, []
                source.take_out(batch)
    finally:
        # However the run ends, mails that are safe elsewhere are removed.
        source.take_out(done)
    return report


class Deliverer:
    """Delivers mails by the rules of a Setup in the real World, one after another."""

    def __init__(self, host: Host, rules: Rules, source: Source, setup: run.Setup) -> None:
        self._host = host
        self._setup = setup
        self._world = _Refiling(host, os.path.realpath(os.fsencode(source.path)))
        self._start = host.getcwd()
        given = rules.setup
        origin = start.Origin(host, rules.user, sender=os.fsencode(given.sender) or None, deliver=False, override=False)
        rcfile = os.fsencode(given.rcfile) if given.mail_filter else rules.path
        words = [os.fsencode(word) for word in given.arguments]
        self._recipient = run.Recipient(
            rules.user,
            origin,
            operands=[*map(os.fsencode, given.assignments), rcfile, *(words if given.mail_filter else ())],
            arguments=words,
            mail_filter=given.mail_filter,
        )

    def deliver(self, item: Item) -> str:
        """Deliver a mail; returns why it was not delivered, or nothing."""
        world = self._world
        world.begin()
        self._host.chdir(self._start)
        try:
            verdict = run.deliver(
                world, self._recipient, lambda: item.data, self._setup, wait=True, listen=world.listen
            )
        finally:
            self._host.chdir(self._start)
        return came_to(self._host, verdict, world.maildirs, item)


def came_to(host: Host, verdict: Verdict, maildirs: Sequence[bytes], item: Item) -> str:
    """Why a mail was not delivered, or nothing; on success its files in `maildirs` get the flags that it had."""
    if verdict.status:
        reason = verdict.reason().decode("utf-8", "replace")
        return f"exit status {verdict.status}{': ' + reason if reason else ''}"
    for path in maildirs:
        _keep_flags(host, path, item)
    return ""


class _Refiling(World):
    """The real World, except that the mail's present folder, and DEFAULT at the end of the rules, take nothing.

    `maildirs` are the files of the mail in maildirs.
    """

    __slots__ = ("_source", "_ended", "maildirs")

    def __init__(self, host: Host, source: bytes) -> None:
        super().__init__(host)
        self._source = source
        self._ended = False
        self.maildirs: list[bytes] = []

    def begin(self) -> None:
        """Prepare for the next mail."""
        self._ended = False
        self.maildirs = []

    def listen(self, trace: Trace) -> None:
        """Subscribe, to know when the rcfiles have ended."""

        def left(_path: bytes, _ending: str) -> None:
            self._ended = True

        def entered(_path: bytes) -> None:
            self._ended = False

        def begun(_place: tuple[bytes, int], _flags: int) -> None:
            self._ended = False

        trace.left.append(left)
        trace.entered.append(entered)
        trace.begun.append(begun)

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
        """As usual, but refuse if no recipe delivers the mail, or it would come back to its folder."""
        if self._ended or os.path.realpath(folder.path) == self._source:
            return Failed(folder.path, "the mail stays where it is", errno.EBUSY)
        result = super().store(folder, further, message, how, note=note, last_folder=last_folder, done=done)
        if folder.kind == MAILDIR and not isinstance(result, Failed):
            self.maildirs.append(os.path.abspath(result.folder.partition(b" ")[0]))
        return result


def _keep_flags(host: Host, path: bytes, item: Item) -> None:
    """Give the new file of a maildir the date and the flags of the old one."""
    if item.time_ns is None:
        return
    folder, name = os.path.split(path)
    host.utime(path, ns=(item.time_ns, item.time_ns))
    if item.flags and os.path.basename(folder) == b"new":
        current = os.path.join(os.path.dirname(folder), b"cur")
        host.rename(path, os.path.join(current, name.partition(b":")[0] + b":2," + os.fsencode(item.flags)))
        host.sync_folder(current)


def plan_json(found: Plan, trouble: str) -> dict[str, object]:
    """A mail as JSON."""
    return {
        "source": found.outcome.source,
        "from": found.outcome.sender,
        "subject": found.outcome.subject,
        "verb": found.verb,
        "where": list(found.where),
        "reason": found.reason,
        "trouble": trouble,
    }


def report_json(report: Report, *, executed: bool) -> dict[str, object]:
    """The sums as JSON."""
    return {"executed": executed, "gone": report.gone, "stayed": report.stayed, "failed": len(report.failed)}


def lines(found: Plan, trouble: str) -> Iterator[str]:
    """The lines to print for a mail."""
    subject = cut(found.outcome.subject) or "(no subject)"
    if found.verb == GOES and not trouble:
        yield f"{', '.join(found.where)}  <-  {found.outcome.sender}  {subject}"
    elif trouble:
        yield f"failed: {trouble}  {found.outcome.sender}  {subject}"
