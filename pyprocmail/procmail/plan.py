r"""Rows of recipes that cannot match are passed over in one step.

A recipe matches only if all its conditions match.  So one condition of each recipe, whose pattern is fixed
and searches the unchanged mail, goes into a set of patterns (matching/prefilter), one set for each area.
An area is scanned once for each mail, and bisection finds the next recipe whose condition may match.  The cost is the
same for twenty recipes as for a thousand.
"""

from __future__ import annotations

from bisect import bisect_left

from pyprocmail.matching.prefilter import MEMORY, PatternSet, essence
from pyprocmail.procmail import areas
from pyprocmail.procmail.compiled import conditions as syntax
from pyprocmail.procmail.compiled import instructions as op
from pyprocmail.procmail.compiled import start_line
from pyprocmail.procmail.compiled.pieces import BLANKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.matching import egrep
    from pyprocmail.matching.regex import Patterns
    from pyprocmail.procmail.compiled.instructions import Instruction, Program
    from pyprocmail.procmail.session import Session

    Key = tuple[bytes, bool]

_CHAINED = start_line.ALSO | start_line.ALSO_SUCCEEDED | start_line.ELSE | start_line.ELSE_FAILED
_WORTHWHILE = 4
"""With so many recipes for one area, a set is faster than single searches."""


class _Search:
    """The recipes of a program that one search of an area decides: the place and the pattern of each."""

    __slots__ = ("recipes", "_patterns", "_set", "_area", "_fold", "_memory")

    def __init__(self, key: Key, found: list[_Telling], memory: int) -> None:
        self._area, self._fold = key
        self._memory = memory
        self.recipes = [telling.at for telling in found]
        self._patterns = [telling.pattern for telling in found]
        self._set: PatternSet | None = None

    def hits(self, session: Session) -> list[int] | None:
        """The places of the recipes that may match; None if the search cannot decide."""
        if not session.is_area(self._area):
            return None
        mail = session.mail
        hits = mail.answers.get(id(self))
        if hits is None:
            if self._set is None:
                self._set = PatternSet(self._patterns, fold=self._fold, memory=self._memory)
            places = mail.questions.places(self._set, session.area(self._area))
            hits = mail.answers[id(self)] = [self.recipes[place] for place in places]
        return hits


class _Row:
    """A row of recipes: each is read if the one before it does not match.

    `begin` is the place of the first, `end` the place after the last.  `searches` has the places of the recipes that
    each search decides.
    """

    __slots__ = ("begin", "end", "searches")

    def __init__(self, end: int) -> None:
        self.begin = self.end = end
        self.searches: dict[_Search, list[int]] = {}


class Plan:
    r"""The recipes of one program that can be passed over.

    `longest` is the longest condition line that is passed over unread; with a shorter LINEBUF the plan
    is not valid.  `splits`: a pattern has `\/`; with PYPROCMAIL_STRICT such a pattern may match where it
    does not match otherwise.  `rows` has for the place of each such recipe its row.
    """

    __slots__ = ("longest", "splits", "rows")

    def __init__(self, program: Program, patterns: Patterns, memory: int = MEMORY) -> None:
        self.rows: dict[int, _Row] = {}
        by_key: dict[Key, list[_Telling]] = {}
        for at, instruction in enumerate(program):
            telling = _telling(at, instruction, patterns)
            if telling is not None:
                by_key.setdefault(telling.key, []).append(telling)
        kept = {key: found for key, found in by_key.items() if len(found) >= _WORTHWHILE}
        searches = {key: _Search(key, found, memory) for key, found in kept.items()}
        chosen = [telling for found in kept.values() for telling in found]
        self.longest = max([telling.longest for telling in chosen], default=0)
        self.splits = any(telling.splits for telling in chosen)
        for telling in sorted(chosen, key=lambda telling: -telling.at):
            row = self.rows.get(telling.end)
            if row is None or row.begin != telling.end:
                row = _Row(telling.end)
            row.begin = telling.at
            row.searches.setdefault(searches[telling.key], []).insert(0, telling.at)
            self.rows[telling.at] = row

    def next_candidate(self, session: Session, at: int) -> int:
        """The place where reading continues from `at`, which is in `rows`: `at` itself if that recipe may match."""
        row = self.rows[at]
        candidate = row.end
        for search, recipes in row.searches.items():
            index = bisect_left(recipes, at)
            if index == len(recipes) or recipes[index] >= candidate:
                continue
            hits = search.hits(session)
            if hits is None:
                candidate = recipes[index]
                continue
            for place in hits[bisect_left(hits, at) :]:
                if place >= candidate:
                    break
                if self.rows[place] is row:
                    candidate = place
                    break
        return candidate


class _Telling:
    """A condition that decides the recipe at `at`: the area that its pattern searches, and whether case counts.

    `longest` is the longest line that is passed over unread, `splits`: the pattern has `\\/`.  `end` is the place
    after the recipe.
    """

    __slots__ = ("at", "key", "pattern", "longest", "splits", "end")

    def __init__(self, at: int, key: Key, pattern: egrep.Pattern, longest: int, splits: bool, end: int) -> None:
        self.at = at
        self.key = key
        self.pattern = pattern
        self.longest = longest
        self.splits = splits
        self.end = end


def _telling(at: int, instruction: Instruction, patterns: Patterns) -> _Telling | None:
    """The condition that decides a recipe.

    None unless the instruction is a recipe that changes nothing but the chain if it does not match.
    """
    if instruction[0] != op.RECIPE:
        return None
    _, _, start, entries, action, end, _, unmatched, _, _ = instruction
    if len(start) != 3:
        return None
    flags, lock, skipped = start
    if skipped or flags & _CHAINED or action[0] == op.MISSING:
        return None
    longest = 0
    if action[0] == op.BLOCK:
        _, _, _, quiet, longest = action
        if not quiet:
            return None
    for note in unmatched:
        longest = max(longest, op.length(note))
        if not longest:
            return None
    if start_line.extraneous(flags, action[0], locked=lock is not None):
        return None
    fold = not flags & start_line.DISTINGUISH_CASE
    for _, length, condition, _ in entries:
        kind, negated, weight, area, shown, text = condition
        longest = max(longest, length)
        if weight is not None or not text or area == areas.OF_VARIABLES:
            return None
        if kind in (syntax.SMALLER, syntax.LARGER) and text.strip(BLANKS).isdigit():
            continue
        if kind != syntax.REGEX:
            return None
        regex = patterns.get(text, fold=fold, protected=shown != text, unicode=area in areas.DECODED)
        if not regex.valid:
            return None
        pattern = None if negated else essence(regex.pattern)
        if pattern is not None and (area is None or area in areas.RAW or area in areas.DECODED):
            name = area or start_line.area(flags)
            key = (b"HB" if name == b"BH" else name, regex.folds)
            return _Telling(at, key, pattern, longest, regex.splits, end)
        if regex.splits:
            return None
    return None


class Plans:
    """The plans of the programs of this process, for a run over many mails: a plan does not pay for one mail."""

    __slots__ = ("_patterns", "_memory", "_plans")

    def __init__(self, patterns: Patterns, memory: int = MEMORY) -> None:
        self._patterns = patterns
        self._memory = memory
        self._plans: dict[int, tuple[Program, Plan]] = {}

    def of(self, program: Program) -> Plan:
        """The plan of the program."""
        # The program is kept as well, so that no other program can get its identity.
        found = self._plans.get(id(program))
        if found is None:
            found = self._plans[id(program)] = (program, Plan(program, self._patterns, self._memory))
        return found[1]
