"""Saves runs: mails that give the same answers to all questions of the rules have the same fate.

An rcfile examines a mail by questions: does this pattern match, what does MATCH become, is the mail larger than this.
`Alike` keeps the questions of earlier runs as a tree: each question has one branch for each answer so far.  A mail
whose answers lead to a leaf needs no run.  The tree stops at a program that reads the mail, at a score and at a decoded
area: what follows depends on more than answers, so such a mail needs a run.

Everything else that a run depends on is the same for all mails, except for the folders that earlier mails have created:
a new folder restarts the tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyprocmail.engine.trace import SIZE
from pyprocmail.matching.regex import Questions, Regex
from pyprocmail.procmail.areas import DECODED, RAW, Areas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyprocmail.delivery.results import Delivered
    from pyprocmail.engine.trace import Finding, Place
    from pyprocmail.matching.prefilter import PatternSet
    from pyprocmail.matching.regex import Area, Match
    from pyprocmail.message.model import Message
    from pyprocmail.offline.outcome import Outcome
    from pyprocmail.offline.stage import Form, Stage
    from pyprocmail.procmail.session import Session

    Answer = bool | int | bytes | tuple[int, ...] | None

MOST_ANSWERS = 1 << 14
"""The most answers to keep, about a kilobyte each."""
_MANY_RUNS = 1000
_BY_THEIR_OWN = (b"LASTFOLDER", b"$-")
"""Texts in rules that show that a variable may differ from mail to mail."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about an area of a mail, b"" for all of it: a pattern, a set of patterns, or a limit in bytes.

    `match`: the question includes the new value of MATCH.
    """

    area: bytes
    about: Regex | PatternSet | int
    match: bool = False

    def ask(self, areas: Areas, message: Message) -> tuple[Answer, Match | None]:
        """The answer for a mail, and with `match` the match of the pattern."""
        about = self.about
        if isinstance(about, int):
            return _compared(len(areas.raw(self.area)) if self.area else len(message), about), None
        area = areas.raw(self.area)
        if not isinstance(about, Regex):
            return tuple(about.matching(area.padded)), None
        if not self.match:
            return about.search(area), None
        found = about.match(area)
        return _value(found, area), found


def _compared(size: int, limit: int) -> int:
    return (size > limit) - (size < limit)


def _value(match: Match | None, area: Area) -> Answer:
    """The new value of MATCH; True if it keeps its value, None without a match."""
    if match is None:
        return None
    return True if match.none else area.part(match.start, match.end).partition(b"\0")[0]


@dataclass(frozen=True, slots=True)
class Leaf:
    """The fate of all mails that reach this leaf: the outcome of the first, and the forms in which it was stored."""

    outcome: Outcome
    forms: tuple[Form, ...]


@dataclass(slots=True)
class _Node:
    """A question; or, without one, the end of the tree: mails that reach it need a run."""

    question: Question | None = None
    answers: dict[Answer, _Node | Leaf] = field(default_factory=dict)


class Alike:
    """The tree of questions and answers of the mails so far, for one Stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._made = 0
        self._answers = 0
        self._root: _Node | Leaf | None = None
        self._found = self._runs = 0

    @property
    def pays(self) -> bool:
        """Whether the tree is useful: after many runs, it must have saved at least as many."""
        return self._runs < _MANY_RUNS or self._found >= self._runs

    def find(self, asked: Asked) -> Leaf | None:
        """The leaf for a mail, found by asking the questions of earlier mails; None if the mail needs a run."""
        node = self._root
        while isinstance(node, _Node):
            if node.question is None:
                return None
            node = node.answers.get(asked.of_mail(node.question))
        self._found += node is not None
        return node

    def learn(self, asked: Asked, outcome: Outcome) -> None:
        """Add the questions and answers of a run to the tree."""
        self._runs += 1
        made = len(self._stage.made)
        if made != self._made or self._answers + len(asked.steps) > MOST_ANSWERS:
            self._made, self._answers, self._root = made, 0, None
            return
        end = _Node() if asked.spoilt or outcome.fault else Leaf(outcome, tuple(asked.forms))
        if not asked.steps:
            self._root = end
            return
        (question, answer), *more = asked.steps
        if not isinstance(self._root, _Node):
            self._root = _Node(question)
        node = self._root
        self._answers += 1
        for question, next_answer in more:
            inner = node.answers.get(answer)
            if not isinstance(inner, _Node):
                inner = node.answers[answer] = _Node(question)
                self._answers += 1
            node, answer = inner, next_answer
        node.answers[answer] = end


class Asked(Questions):
    """The questions about one mail, with their answers; a session calls it in place of the patterns.

    Answers that `of_mail` found before the run are used again.  `spoilt`: what came after the `steps` depends on more
    than answers.  `forms` are those of the stored mails.
    """

    __slots__ = ("_stage", "_message", "_areas", "_known", "steps", "spoilt", "forms")

    def __init__(self, stage: Stage, message: Message) -> None:
        self._stage = stage
        self._message = message
        self._areas = Areas(message, _unheard)
        self._known: list[tuple[Question, Answer, Match | None]] = []
        self.steps: list[tuple[Question, Answer]] = []
        self.spoilt = False
        self.forms: list[Form] = []

    def of_mail(self, question: Question) -> Answer:
        """The answer to a question, before a run."""
        answer, match = question.ask(self._areas, self._message)
        self._known.append((question, answer, match))
        return answer

    def listen(self, session: Session) -> None:
        """Subscribe to a session."""
        session.mail.questions = self
        session.mail.areas = self._areas
        self._stage.started = self.spoil
        session.trace.tested.append(self._tested)
        session.trace.stored.append(self._stored)
        session.trace.replaced.append(lambda _place, _message: self.spoil())

    def spoil(self) -> None:
        """Record that the rest of the run depends on more than answers."""
        self.spoilt = True

    def _ask(self, question: Question) -> tuple[Answer, Match | None]:
        """The answer to a question, known already or found now; recorded as a step."""
        at = len(self.steps)
        if at < len(self._known) and self._known[at][0] == question:
            _, answer, match = self._known[at]
        else:
            answer, match = question.ask(self._areas, self._message)
        if not self.spoilt:
            self.steps.append((question, answer))
        return answer, match

    def _is_of_mail(self, area: bytes) -> bool:
        """Whether this is an undecoded area of the mail; the values of variables follow from other answers."""
        if area and area not in RAW:
            self.spoil()
        return area in RAW

    def _stored(self, _place: Place, _message: Message, _done: Delivered, _copy: bool) -> None:
        assert self._stage.form is not None
        self.forms.append(self._stage.form)

    def _tested(self, _place: Place, finding: Finding) -> None:
        area = finding.area
        if finding.kind != SIZE or (area and area not in RAW and area not in DECODED):
            return  # the size of a variable
        if finding.weight is not None or area in DECODED:
            self.spoil()
        else:
            self._ask(Question(area, finding.limit))

    # -- as Questions ----------------------------------------------------------------------

    def search(self, regex: Regex, area: Area) -> bool:
        """Whether the pattern matches."""
        if not self._is_of_mail(area.name):
            return regex.search(area)
        return bool(self._ask(Question(area.name, regex))[0])

    def match(self, regex: Regex, area: Area) -> Match | None:
        """The match that decides about MATCH."""
        if not self._is_of_mail(area.name):
            return regex.match(area)
        return self._ask(Question(area.name, regex, match=True))[1]

    def count(self, regex: Regex, area: Area) -> Iterator[Match]:
        """The matches that a score counts."""
        if area.name:
            self.spoil()
        return regex.count(area)

    def places(self, patterns: PatternSet, area: Area) -> list[int]:
        """Which patterns of a set match."""
        if not self._is_of_mail(area.name):
            return patterns.matching(area.padded)
        found = self._ask(Question(area.name, patterns))[0]
        assert isinstance(found, tuple)
        return list(found)


def tells_mails_apart(text: bytes) -> bool:
    """Whether rules with this text may use a value that differs from mail to mail."""
    return any(name in text for name in _BY_THEIR_OWN)


def _unheard(_kind: str, *_texts: object) -> None:
    """Undecoded areas report nothing."""
