"""The questions that conditions ask about a mail, and answers found in advance by another process.

A question depends only on the text of the mail and a pattern.  So its answer does not depend on
the process that finds it, nor on other mails in between: a run with recorded answers does what
it would have done without them.
"""

from __future__ import annotations

from pyprocmail.matching.regex import Match
from pyprocmail.procmail.compiled import conditions as syntax
from pyprocmail.procmail.compiled import instructions as op
from pyprocmail.procmail.compiled import pieces, start_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyprocmail.matching.prefilter import PatternSet
    from pyprocmail.matching.regex import Area, Regex
    from pyprocmail.procmail.compiled.instructions import Instruction, Program

    Question = tuple[Any, ...]
    Answers = dict[Question, Any]

_SEARCH, _MATCH, _COUNT, _PLACES = 1, 2, 3, 4
_LONGEST_SERIES = 4096
"""How many matches of one score are recorded; a run that needs more counts the rest itself."""


class Recording:
    """Answers questions and records the answers."""

    __slots__ = ("answers",)

    def __init__(self) -> None:
        self.answers: Answers = {}

    def search(self, regex: Regex, area: Area) -> bool:
        """Whether the pattern matches."""
        found = regex.search(area)
        if area.name:
            self.answers[_SEARCH, area.name, *regex.key] = found
        return found

    def match(self, regex: Regex, area: Area) -> Match | None:
        """The match that decides about MATCH."""
        found = regex.match(area)
        if area.name:
            self.answers[_MATCH, area.name, *regex.key] = None if found is None else _flat(found)
        return found

    def count(self, regex: Regex, area: Area) -> Iterator[Match]:
        """The matches that a score counts."""
        series: list[tuple[int, int, bool, bool]] = []
        times: list[int] = []
        before = None
        complete = False
        try:
            for match in regex.count(area):
                if len(series) < _LONGEST_SERIES:
                    # Without `\/` equal matches in a row are the same object.
                    if match is before:
                        times[-1] += 1
                    else:
                        series.append(_flat(match))
                        times.append(1)
                        before = match
                yield match
            complete = len(series) < _LONGEST_SERIES
        finally:
            if area.name:
                self.answers[_COUNT, area.name, *regex.key] = (complete, series, times)

    def places(self, patterns: PatternSet, area: Area) -> list[int]:
        """Which patterns of a set match."""
        found = patterns.matching(area.padded)
        self.answers[_PLACES, area.name, patterns.identity] = found
        return found


class Recalling:
    """Answers questions from a record; from the mail where the record has no answer."""

    __slots__ = ("_answers",)

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def search(self, regex: Regex, area: Area) -> bool:
        """Whether the pattern matches."""
        found = self._answers.get((_SEARCH, area.name, *regex.key))
        return regex.search(area) if found is None else bool(found)

    def match(self, regex: Regex, area: Area) -> Match | None:
        """The match that decides about MATCH."""
        question = (_MATCH, area.name, *regex.key)
        if question not in self._answers:
            return regex.match(area)
        found = self._answers[question]
        return None if found is None else _match(found)

    def count(self, regex: Regex, area: Area) -> Iterator[Match]:
        """The matches that a score counts."""
        complete, series, times = self._answers.get((_COUNT, area.name, *regex.key), (False, (), ()))
        for flat, several in zip(series, times, strict=True):
            match = _match(flat)
            for _ in range(several):
                yield match
        if not complete:
            known = sum(times)
            for number, match in enumerate(regex.count(area)):
                if number >= known:
                    yield match

    def places(self, patterns: PatternSet, area: Area) -> list[int]:
        """Which patterns of a set match."""
        found: list[int] | None = self._answers.get((_PLACES, area.name, patterns.identity))
        return patterns.matching(area.padded) if found is None else found


def _flat(match: Match) -> tuple[int, int, bool, bool]:
    return match.start, match.end, match.none, match.empty


def _match(flat: tuple[int, int, bool, bool]) -> Match:
    return Match(flat[0], flat[1], none=flat[2], empty=flat[3])


def starts_processes(program: Program) -> bool:
    """Whether the program itself may start a program or a clone; rcfiles that it includes are not examined."""
    return any(_starts(instruction) for instruction in program)


def _starts(instruction: Instruction) -> bool:
    if instruction[0] == op.ASSIGN:
        _, _, name, word, _, _ = instruction
        return name in (b"TRAP", b"DELIVERED") or _has_backquotes(word)
    if instruction[0] != op.RECIPE:
        return False
    _, _, start, entries, action, *_ = instruction
    if action[0] in (op.FORWARD, op.PIPE, op.CAPTURE) or (action[0] == op.FOLDER and _has_backquotes(action[2])):
        return True
    if len(start) == 5:
        # Its flags are known only when it runs.
        return action[0] == op.BLOCK or _has_backquotes(start[1])
    if action[0] == op.BLOCK and start[0] & start_line.CARBON_COPY:
        return True
    return any(_condition_starts(condition) for _, _, condition, _ in entries)


def _condition_starts(condition: syntax.Condition) -> bool:
    kind, _, _, _, _, text = condition
    return kind == syntax.PROGRAM or (kind != syntax.REGEX and b"`" in text)


def _has_backquotes(word: bytes | pieces.Pieces) -> bool:
    return not isinstance(word, bytes) and any(
        isinstance(piece, tuple) and piece[0] == pieces.BACKQUOTE for piece in word
    )
