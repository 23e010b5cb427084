r"""Stretches of recipes that cannot match, passed over in one step.

A recipe matches only if all its conditions hold.  So one condition a recipe, whose pattern is fixed
and searches the mail as it stands, goes into a set of patterns (matching/prefilter); the mail is
scanned once, and the next recipe whose condition may hold is found by bisection.  That costs the
same for twenty recipes as for a thousand.
"""

from __future__ import annotations

from bisect import bisect_left

from pyprocmail.matching.prefilter import MEMORY, PatternSet, essence
from pyprocmail.procmail import areas
from pyprocmail.procmail.compiled import conditions as syntax
from pyprocmail.procmail.compiled import instructions as op
from pyprocmail.procmail.compiled import start_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.matching import egrep
    from pyprocmail.matching.regex import Patterns
    from pyprocmail.procmail.compiled.instructions import Instruction, Program
    from pyprocmail.procmail.session import Session

    Key = tuple[bytes, bool]

_CHAINED = start_line.ALSO | start_line.ALSO_SUCCEEDED | start_line.ELSE | start_line.ELSE_FAILED
_WORTHWHILE = 4
"""Recipes in a row from which on a set is faster than they are one by one."""


class _Stretch:
    """Recipes in a row that are looked up in the same set; `recipes` are their places in the program."""

    __slots__ = ("recipes", "end", "patterns", "set")

    def __init__(self) -> None:
        self.recipes: list[int] = []
        self.end = 0
        self.patterns: list[egrep.Pattern] = []
        self.set: PatternSet | None = None


class Plan:
    r"""What can be passed over in one program.

    `longest` is the longest condition line that is not read again; with a shorter LINEBUF the plan
    does not hold.  `splits`: a pattern with `\/` is among them; what PYPROCMAIL_STRICT makes of these may match where
    they do not.
    """

    __slots__ = ("longest", "splits", "_stretches", "_memory")

    def __init__(self, program: Program, patterns: Patterns, memory: int = MEMORY) -> None:
        self.longest = 0
        self.splits = False
        self._memory = memory
        self._stretches: dict[int, tuple[_Stretch, Key]] = {}
        self._find(program, patterns)

    def _find(self, program: Program, patterns: Patterns) -> None:
        current: _Stretch | None = None
        current_key: Key | None = None
        rows: list[tuple[_Stretch, Key]] = []
        for at, instruction in enumerate(program):
            found = _telling(instruction, patterns)
            if found is None:
                current = None
            else:
                key, pattern, length, splits, end = found
                if current is None or key != current_key or current.end != at:
                    current, current_key = _Stretch(), key
                    rows.append((current, key))
                current.recipes.append(at)
                current.patterns.append(pattern)
                current.end = end
                self.longest = max(self.longest, length)
                self.splits = self.splits or splits
        for stretch, key in rows:
            if len(stretch.recipes) >= _WORTHWHILE:
                for recipe in stretch.recipes:
                    self._stretches[recipe] = (stretch, key)

    def next_candidate(self, session: Session, at: int) -> int:
        """The place from which on to go on reading at `at`: `at` itself when nothing is known of it."""
        found = self._stretches.get(at)
        if found is None:
            return at
        stretch, (area, fold) = found
        if not session.is_area(area):
            return at
        hits = session.mail.answers.get(id(stretch))
        if hits is None:
            if stretch.set is None:
                stretch.set = PatternSet(stretch.patterns, fold=fold, memory=self._memory)
            places = session.mail.questions.places(stretch.set, session.area(area))
            hits = session.mail.answers[id(stretch)] = [stretch.recipes[place] for place in places]
        index = bisect_left(hits, at)
        return hits[index] if index < len(hits) else stretch.end


def _telling(instruction: Instruction, patterns: Patterns) -> tuple[Key, egrep.Pattern, int, bool, int] | None:
    """The area and case of the condition that decides about a recipe, what to look for, its length, whether it splits,
    and the end of the recipe.

    None for everything but a recipe that, when it does not match, changes nothing but the chain.
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
        if kind != syntax.REGEX or weight is not None or not text:
            return None
        if area and area not in areas.RAW and area not in areas.OF_THE_MAIL_ALONE:
            return None
        regex = patterns.get(text, fold=fold, protected=shown != text, unicode=area in areas.DECODED)
        if not regex.valid:
            return None
        pattern = None if negated else essence(regex.pattern)
        if pattern is not None:
            name = area or _searched(flags)
            return (b"HB" if name == b"BH" else name, regex.folds), pattern, longest, regex.splits, end
        if regex.splits:
            return None
    return None


def _searched(flags: int) -> bytes:
    if not flags & start_line.BODY:
        return b"H"
    return b"HB" if flags & start_line.HEAD else b"B"


class Plans:
    """The plans of the programs of this process, for a run over many mails: one mail has nothing to gain from them."""

    __slots__ = ("_patterns", "_memory", "_plans")

    def __init__(self, patterns: Patterns, memory: int = MEMORY) -> None:
        self._patterns = patterns
        self._memory = memory
        self._plans: dict[int, tuple[Program, Plan]] = {}

    def of(self, program: Program) -> Plan:
        """The plan of the program."""
        # The program is kept as well, so that no other one can come to have its identity.
        found = self._plans.get(id(program))
        if found is None:
            found = self._plans[id(program)] = (program, Plan(program, self._patterns, self._memory))
        return found[1]
