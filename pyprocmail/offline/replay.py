"""replay: runs a mailbox through the rules, and shows where each mail would go.

The run is a map over the parts of the input (see `spreading`); the results are added up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pyprocmail.offline.outcome import DISCARDED, FOLDER, FORWARD, NOWHERE, Outcome, judge, open_rules
from pyprocmail.offline.rules import Line, Rules, RulesError, Setup, with_programs
from pyprocmail.offline.sources import Part
from pyprocmail.offline.spreading import ALONE, Spread, spread

if TYPE_CHECKING:
    from pyprocmail.offline.filters import FilterRules


@dataclass(slots=True)
class Summary:
    """The totals of a run over many mails.  `folders`: number of mails, and bytes."""

    mails: int = 0
    size: int = 0
    folders: dict[str, tuple[int, int]] = field(default_factory=dict)
    discarded: int = 0
    forwards: Counter[str] = field(default_factory=Counter)
    programs: Counter[str] = field(default_factory=Counter)
    copies: int = 0
    fallen: int = 0
    """Mails that no recipe delivered."""
    undelivered: int = 0
    """Mails whose run had an exit status other than 0."""
    refused: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    hits: Counter[Line] = field(default_factory=Counter)
    seconds: Counter[Line] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count one mail."""
        self.mails += 1
        self.size += outcome.size
        for fate in outcome.fates:
            if fate.kind == FOLDER:
                count, size = self.folders.get(fate.where, (0, 0))
                self.folders[fate.where] = count + 1, size + fate.size
            elif fate.kind == DISCARDED:
                self.discarded += 1
            else:
                (self.forwards if fate.kind == FORWARD else self.programs)[fate.where] += 1
            self.copies += fate.copy
            if fate.recipe != NOWHERE:
                self.hits[fate.recipe] += 1
        self.fallen += outcome.falls_through
        self.undelivered += bool(outcome.status)
        if outcome.refused:
            self.refused.update(outcome.refused)
        if outcome.unanswered:
            self.unanswered.update(outcome.unanswered)
        if outcome.warnings:
            self.warnings.update(set(outcome.warnings))
        if outcome.fault:
            self.faults[outcome.fault] += 1
        for line, spent in outcome.seconds:
            self.seconds[line] += spent  # type: ignore[assignment]  # a Counter adds floats as well

    def merge(self, other: Summary) -> None:
        """Add the totals of another part of the mails."""
        self.mails += other.mails
        self.size += other.size
        for name, (more, bytes_more) in other.folders.items():
            count, size = self.folders.get(name, (0, 0))
            self.folders[name] = count + more, size + bytes_more
        self.discarded += other.discarded
        self.copies += other.copies
        self.fallen += other.fallen
        self.undelivered += other.undelivered
        self.forwards.update(other.forwards)
        self.programs.update(other.programs)
        self.refused.update(other.refused)
        self.unanswered.update(other.unanswered)
        self.faults.update(other.faults)
        self.warnings.update(other.warnings)
        self.hits.update(other.hits)
        self.seconds.update(other.seconds)


def summed(setup: Setup, names: Sequence[str], *, how: Spread = ALONE, timed: bool = False) -> Summary:
    """The totals of all mails.  Workers count their parts, so that little data passes between processes.

    Raises:
        RulesError, NoMailError: as `outcomes`.
    """
    found = Summary()
    if not how.alone:
        for part in spread(partial(sum_of_part, with_programs(setup), timed=timed), names, how):
            found.merge(part)
        return found
    for outcome in outcomes(setup, names, how=how, timed=timed, headed=False):
        found.add(outcome)
    return found


def sum_of_part(setup: Setup, part: Part, *, timed: bool) -> Summary:
    """The totals of one part."""
    found = Summary()
    for outcome in of_part(setup, part, digests=False, timed=timed, headed=False):
        found.add(outcome)
    return found


def outcomes(
    setup: Setup,
    names: Sequence[str],
    *,
    how: Spread = ALONE,
    digests: bool = False,
    timed: bool = False,
    headed: bool = True,
) -> Iterator[Outcome]:
    """What would become of each mail, in the order of the input.

    Raises:
        RulesError: the rules cannot be tried.
        NoMailError: there is no mail at a path that the user named.
    """
    if not how.alone:
        work = partial(list_of_part, with_programs(setup), digests=digests, timed=timed, headed=headed)
        for found in spread(work, names, how):
            yield from found
        return
    with open_rules(setup) as rules:
        for part in how.parts(names):
            for mail in part.mails():
                yield judge(rules, mail.source, mail.data, digests=digests, timed=timed, headed=headed)


def list_of_part(setup: Setup, part: Part, *, digests: bool, timed: bool, headed: bool) -> list[Outcome]:
    """The outcomes of one part; the work of a worker."""
    return list(of_part(setup, part, digests=digests, timed=timed, headed=headed))


def of_part(setup: Setup, part: Part, *, digests: bool, timed: bool, headed: bool) -> Iterator[Outcome]:
    """The outcomes of one part, one after another."""
    with open_rules(setup) as rules:
        for mail in part.mails():
            yield judge(rules, mail.source, mail.data, digests=digests, timed=timed, headed=headed)
            forget_nothing(rules)


def depends_on_order(setup: Setup, names: Sequence[str]) -> bool:
    """Whether the fate of a mail may depend on earlier mails, so that several workers could get different results.

    Standard input cannot be divided; programs that really run may keep state, and so do formail's cache of Message-IDs
    and maildrop's databases.
    """
    with open_rules(setup) as rules:
        text = b"".join(rules.sources.values())
    remembers = setup.allow or (b"formail" in text and b"-D" in text) or b"gdbmopen" in text
    return not names or "-" in names or remembers


def forget_nothing(rules: Rules | FilterRules) -> None:
    """Check that the rules of a worker, which sees only a part of the mails, kept no state between mails.

    Raises:
        RulesError: they did, in an included rcfile.
    """
    if rules.stage.remembers:
        raise RulesError(f"{rules.setup.rcfile}: a program of these rules remembers mails: run them without -j")
