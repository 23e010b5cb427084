"""coverage: how often each recipe and condition of an rcfile was tried and was true, and which were never needed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pyprocmail.engine.trace import CHAIN, PROGRAM, Finding
from pyprocmail.matching import macros
from pyprocmail.offline.outcome import NOWHERE, Outcome, judge, name_of, open_rules, shown
from pyprocmail.offline.replay import forget_nothing
from pyprocmail.offline.rules import MAILDROP, Line, Rules, RulesError, Setup, language_of, with_programs
from pyprocmail.offline.sources import Mail, Part
from pyprocmail.offline.spreading import ALONE, Spread, spread
from pyprocmail.procmail import testing
from pyprocmail.procmail.compiled import conditions as syntax
from pyprocmail.procmail.compiled import instructions as op
from pyprocmail.procmail.scoring import Tally

if TYPE_CHECKING:
    from pyprocmail.engine.trace import Place
    from pyprocmail.offline.filters import FilterRules
    from pyprocmail.procmail.compiled.instructions import Entry, Program
    from pyprocmail.procmail.session import Session


@dataclass(slots=True)
class Coverage:
    """The counts, by the place of a recipe or a condition: the rcfile's name for people, and the offset in it.

    `near`: all conditions of the recipe were true except this one.  `chained`: the recipe's flags prevented a try.
    """

    mails: int = 0
    tried: Counter[tuple[str, int]] = field(default_factory=Counter)
    held: Counter[tuple[str, int]] = field(default_factory=Counter)
    near: Counter[tuple[str, int]] = field(default_factory=Counter)
    chained: Counter[tuple[str, int]] = field(default_factory=Counter)
    takers: Counter[Line] = field(default_factory=Counter)
    """How many mails each recipe delivered."""

    def add(self, other: Coverage) -> None:
        """Add the counts of another part of the mails."""
        self.mails += other.mails
        for mine, theirs in (
            (self.tried, other.tried),
            (self.held, other.held),
            (self.near, other.near),
            (self.chained, other.chained),
        ):
            mine.update(theirs)
        self.takers.update(other.takers)

    def end_mail(self, outcome: Outcome) -> None:
        """Count a mail, and the recipes that delivered it."""
        self.mails += 1
        for fate in outcome.fates:
            if not fate.copy and fate.recipe != NOWHERE:
                self.takers[fate.recipe] += 1


class Counting:
    """Counts one mail."""

    def __init__(self, rules: Rules, found: Coverage, known: dict[bytes, dict[int, tuple[Entry, ...]]]) -> None:
        self._rules = rules
        self._found = found
        self._known = known
        self._recipe: Place | None = None
        self._flags = 0
        self._findings: list[Finding] = []
        self._session: Session | None = None

    def listen(self, session: Session) -> None:
        """Subscribe to a session."""
        self._session = session
        session.trace.begun.append(self._begun)
        session.trace.tested.append(self._tested)
        session.trace.passed.append(self._passed)

    def _key(self, place: Place) -> tuple[str, int]:
        return name_of(self._rules, place[0]), place[1]

    def _begun(self, place: Place, flags: int) -> None:
        self.end_recipe()
        self._recipe, self._flags, self._findings = place, flags, []
        self._found.tried[self._key(place)] += 1

    def _passed(self, place: Place, _until: int, reason: str) -> None:
        if reason == CHAIN:
            self.end_recipe()
            self._found.chained[self._key(place)] += 1

    def _tested(self, place: Place, finding: Finding) -> None:
        key = self._key(place)
        self._found.tried[key] += 1
        self._found.held[key] += finding.held
        self._findings.append(finding)
        if not finding.held and finding.weight is None and self._recipe is not None and self._others_hold(place):
            self._found.near[key] += 1

    def _others_hold(self, place: Place) -> bool:
        """Whether the conditions after this one are true, too; those before it are, or it would not have been tested.

        Conditions that would start programs are not tested: then the answer is False.
        """
        assert self._recipe is not None
        assert self._session is not None
        entries = self._of(self._recipe)
        if len(entries) < 2 or any(finding.weight is not None for finding in self._findings):
            return False
        after = [entry for entry in entries if entry[0] > place[1]]
        if any(
            entry[2][syntax.KIND] == syntax.PROGRAM or b"`" in entry[3] or entry[2][syntax.WEIGHT] for entry in after
        ):
            return False
        verbose = self._session.note
        try:
            self._session.note = _silent
            return all(
                testing.test(self._session, condition, self._flags, Tally(), text).held
                for _, _, condition, text in after
            )
        finally:
            self._session.note = verbose

    def _of(self, recipe: Place) -> tuple[Entry, ...]:
        path = self._rules.stage.whole(recipe[0])
        if path not in self._known:
            self._known[path] = recipes(self._rules.program_of(path))
        return self._known[path].get(recipe[1], ())

    def end_recipe(self) -> None:
        """Count the recipe if it matched, which is known once the next one begins."""
        if self._recipe is not None and _matched(self._findings, len(self._of(self._recipe))):
            self._found.held[self._key(self._recipe)] += 1
        self._recipe = None


def _silent(kind: str, *texts: bytes | int) -> None:
    """Ignore the notes of a second test."""
    del kind, texts


def _matched(findings: Sequence[Finding], conditions: int) -> bool:
    weighted = [finding for finding in findings if finding.weight is not None]
    killed = any(finding.kind == PROGRAM and finding.status < 0 and not finding.held for finding in weighted)
    if killed or any(not finding.held for finding in findings if finding.weight is None):
        return False
    return weighted[-1].after > 0 if weighted else len(findings) >= conditions


def covered(setup: Setup, names: Sequence[str], *, how: Spread = ALONE) -> tuple[Coverage, Rules | FilterRules]:
    """The coverage by the mails, and the rules with the texts of their rcfiles; the caller closes the rules.

    Raises:
        RulesError: the rules cannot be tried.
        NoMailError: there is no mail at a path that the user named.
    """
    found = Coverage()
    rules = open_rules(setup, told=True)
    if not how.alone:
        for part in spread(partial(_of_part, with_programs(setup)), names, how):
            found.add(part)
    else:
        for part_of_input in how.parts(names):
            found.add(_count(rules, part_of_input))
    return found, rules


def _of_part(setup: Setup, part: Part) -> Coverage:
    with open_rules(setup, told=True) as rules:
        found = _count(rules, part)
        forget_nothing(rules)
        return found


def _count(rules: Rules | FilterRules, part: Part) -> Coverage:
    if not isinstance(rules, Rules):
        from pyprocmail.offline import coverage_filters

        return coverage_filters.count(rules, part)
    found = Coverage()
    known: dict[bytes, dict[int, tuple[Entry, ...]]] = {}
    for mail in part.mails():
        _count_mail(rules, found, known, mail)
    return found


def _count_mail(rules: Rules, found: Coverage, known: dict[bytes, dict[int, tuple[Entry, ...]]], mail: Mail) -> None:
    counting = Counting(rules, found, known)
    outcome = judge(rules, mail.source, mail.data, headed=False, also=counting.listen)
    counting.end_recipe()
    found.end_mail(outcome)


def of_mail(rules: Rules | FilterRules, source: str, data: bytes) -> Coverage:
    """The coverage by one mail."""
    found = Coverage()
    if isinstance(rules, Rules):
        _count_mail(rules, found, {}, Mail(source, data))
    else:
        from pyprocmail.offline import coverage_filters

        coverage_filters.count_mail(rules, found, Mail(source, data))
    return found


def recipes(program: Program) -> dict[int, tuple[Entry, ...]]:
    """The conditions of each recipe by its offset."""
    return {instruction[1]: instruction[3] for instruction in program if instruction[0] == op.RECIPE}


# -- a log of the live system ----------------------------------------------------------------


_LOGGED = re.compile(rb"procmail: (No match|Match) on (.*)$")


def logged(setup: Setup, lines: Iterable[bytes]) -> tuple[Coverage, Rules]:
    """The coverage of an rcfile's conditions in a VERBOSE log; the caller closes the rules.

    A log identifies conditions by their text: a condition that occurs in two recipes counts for both.  Conditions with
    a leading `$` cannot be found in it.
    """
    if language_of(setup) == MAILDROP:
        raise RulesError(f"{setup.rcfile}: --log reads logs of procmail, and this is a filter file of maildrop")
    rules = Rules(setup)
    places: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    name = name_of(rules, rules.path)
    for entries in recipes(rules.program()).values():
        for at, _, condition, _ in entries:
            places[_as_logged(condition)].append((name, at))
    found = Coverage()
    for line in lines:
        match = _LOGGED.search(line.rstrip(b"\n"))
        if match is not None:
            for place in places.get(match[2], ()):
                found.tried[place] += 1
                found.held[place] += match[1] == b"Match"
        elif line.startswith(b"From "):
            found.mails += 1
    return found, rules


def _as_logged(condition: syntax.Condition) -> bytes:
    """The condition in the form of the log: `! "pattern"`."""
    kind, negated, _, _, shown_text, text = condition
    prefix = b"! " if negated else b""
    if kind == syntax.REGEX:
        return prefix + b'"%b"' % macros.expand(shown_text)[0]
    return prefix + b'"%b"' % (text.strip() if kind == syntax.PROGRAM else shown_text)


# -- for people and programs -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A line of an rcfile; `tried` is None for a line without counts."""

    rcfile: str
    line: int
    text: str
    tried: int | None
    held: int
    recipe: bool
    notes: tuple[str, ...]


def rows(found: Coverage, rules: Rules | FilterRules) -> Iterator[Row]:
    """The listing of every rcfile that was read, the first one first."""
    paths = sorted(rules.sources, key=lambda path: (path != rules.path, path))
    for path in paths:
        if isinstance(rules, Rules):
            yield from _listing(found, rules, path)
        else:
            from pyprocmail.offline import coverage_filters

            yield from coverage_filters.listing(found, rules, path)


def _listing(found: Coverage, rules: Rules, path: bytes) -> Iterator[Row]:
    name = name_of(rules, path)
    counted: dict[int, tuple[tuple[str, int], bool, int]] = {}
    for offset, entries in recipes(rules.program_of(path)).items():
        counted[rules.line_of(path, offset)] = (name, offset), True, len(entries)
        for at, _, condition, _ in entries:
            weight = condition[syntax.WEIGHT] is not None
            counted[rules.line_of(path, at)] = (name, at), False, -1 if weight else len(entries)
    for number, text in enumerate(rules.sources[path].removesuffix(b"\n").split(b"\n"), 1):
        if number not in counted:
            yield Row(name, number, shown(text), None, 0, False, ())
            continue
        key, is_recipe, conditions = counted[number]
        tried, held = found.tried[key], found.held[key]
        notes = notes_of_recipe(found, key, number) if is_recipe else notes_of_condition(found, key, conditions)
        yield Row(name, number, shown(text), tried, held, is_recipe, tuple(notes))


def notes_of_recipe(found: Coverage, key: tuple[str, int], line: int) -> Iterator[str]:
    if found.tried[key] or not found.mails:
        return
    if found.chained[key]:
        yield "never tried, because of its flag A, a, E or e"
        return
    takers = [(count, taker) for taker, count in found.takers.items() if taker[0] == key[0] and taker[1] < line]
    if takers:
        count, (_, taken_at) = max(takers)
        yield f"never tried: line {taken_at} took {count} of the mails before"
    else:
        yield "never tried"


def notes_of_condition(found: Coverage, key: tuple[str, int], conditions: int) -> Iterator[str]:
    if found.near[key]:
        yield f"{found.near[key]} near: all others held"
    if conditions > 1 and found.tried[key] and found.tried[key] == found.held[key]:
        yield "never decided: it held each time"


def lines(table: Iterable[Row]) -> Iterator[str]:
    """The annotated listing."""
    rcfile = ""
    for row in table:
        if row.rcfile != rcfile:
            rcfile = row.rcfile
            yield f"  tried    held  {rcfile}"
        counts = f"{row.tried:7,} {row.held:7,}" if row.tried is not None else " " * 15
        yield f"{counts}  {row.text}".rstrip() + "".join(f"    [{note}]" for note in row.notes)


def share(table: Iterable[Row]) -> float:
    """How many of the recipes matched a mail, in percent; 100 if there are none."""
    of_recipes = [row for row in table if row.recipe]
    return 100.0 * sum(row.held > 0 for row in of_recipes) / len(of_recipes) if of_recipes else 100.0


def row_json(row: Row) -> dict[str, object]:
    """A recipe or a condition as JSON."""
    return {
        "rcfile": row.rcfile,
        "line": row.line,
        "text": row.text,
        "kind": "recipe" if row.recipe else "condition",
        "tried": row.tried,
        "held": row.held,
        "notes": list(row.notes),
    }
