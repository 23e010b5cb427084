"""What conditions ask of a mail, and answers that were worked out ahead, in another process.

A question is about the text of the mail and a pattern and nothing else.  So its answer is the same
whoever gives it and whatever other mails have done in between: who uses a recorded answer does what
it would have done without.
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
"""Matches of one score that are worth sending; who needs more counts on alone."""


class Recording:
    """Questions that are answered, and their answers kept."""

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
                    # Without `\/` all those in a row are one and the same.
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
    """Questions that are answered from a record, and where that is silent, from the mail."""

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
    """Whether the program as it is written may start a program or a clone; what it includes is not looked at."""
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
        # What its flags are is known when it is run.
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
