"""Mails about which the rules ask the same, with the same answers, have the same fate: one run is enough for all.

An rcfile looks at a mail by questions: does this pattern match, what is MATCH then, is it larger than that.  `Alike`
keeps the questions that runs asked, as a tree: below each question there is one branch for each answer that came.  A
mail that finds its way to a leaf needs no run.  At a program that reads the mail, a score or a decoded area the tree
ends: what follows depends on more than answers, and such a mail is run.

What else a run depends on is the same for all mails, but for the folders that earlier ones have made: with a new one
the tree begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyprocmail.engine.trace import SIZE
from pyprocmail.matching.regex import Questions
from pyprocmail.procmail.areas import DECODED, RAW, Areas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyprocmail.delivery.results import Delivered
    from pyprocmail.engine.trace import Finding, Place
    from pyprocmail.matching.prefilter import PatternSet
    from pyprocmail.matching.regex import Area, Match, Regex
    from pyprocmail.message.model import Message
    from pyprocmail.offline.outcome import Outcome
    from pyprocmail.offline.stage import Form, Stage
    from pyprocmail.procmail.session import Session

    Answer = bool | int | bytes | tuple[int, ...] | None
    Question = Callable[[Areas, Message], Answer]

_MOST_NODES = 1 << 16
_BY_THEIR_OWN = (b"LASTFOLDER", b"$-")
"""What makes the value of a variable another one for each mail."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What became of the mails that come here: the first of them, and how the folders wrote it."""

    outcome: Outcome
    forms: tuple[Form, ...]


@dataclass(slots=True)
class _Node:
    """A question, or the end of the tree: then mails that come here are run."""

    question: Question | None = None
    answers: dict[Answer, _Node | Leaf] = field(default_factory=dict)


class Alike:
    """The questions and answers of the mails so far, of one Stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._made = 0
        self._nodes = 0
        self._root: _Node | Leaf | None = None

    def find(self, message: Message) -> Leaf | None:
        """The leaf of a mail that needs no run."""
        node = self._root
        areas: Areas | None = None
        while isinstance(node, _Node):
            if node.question is None:
                return None
            if areas is None:
                areas = Areas(message, _unheard)
            node = node.answers.get(node.question(areas, message))
        return node

    def learn(self, asked: Asked, outcome: Outcome) -> None:
        """Keep what a run has asked."""
        made = len(self._stage.made)
        if made != self._made or self._nodes > _MOST_NODES:
            self._made, self._nodes, self._root = made, 0, None
            return
        end = _Node() if asked.spoilt or outcome.fault else Leaf(outcome, tuple(asked.forms))
        if not asked.steps:
            self._root = end
            return
        (question, answer), *more = asked.steps
        if not isinstance(self._root, _Node):
            self._root = self._node(question)
        node = self._root
        for question, next_answer in more:
            inner = node.answers.get(answer)
            if not isinstance(inner, _Node):
                inner = node.answers[answer] = self._node(question)
            node, answer = inner, next_answer
        node.answers[answer] = end

    def _node(self, question: Question) -> _Node:
        self._nodes += 1
        return _Node(question)


class Asked(Questions):
    """The questions of one run, with their answers; a session asks it in the place of the patterns themselves.

    `spoilt`: what came after them depends on more.  `forms` are those of the mails that were stored.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.steps: list[tuple[Question, Answer]] = []
        self.spoilt = False
        self.forms: list[Form] = []

    def listen(self, session: Session) -> None:
        """Hear a session from now on."""
        session.mail.questions = self
        self._stage.started = self.spoil
        session.trace.tested.append(self._tested)
        session.trace.stored.append(self._stored)
        session.trace.replaced.append(lambda _place, _message: self.spoil())

    def spoil(self) -> None:
        """From here on a run of its own is needed."""
        self.spoilt = True

    def _note(self, area: bytes, question: Question, answer: Answer) -> None:
        """Keep a question about an area of the mail, b"" for all of it; the values of variables follow from others."""
        if area in RAW or not area:
            if not self.spoilt:
                self.steps.append((question, answer))
        else:
            self.spoil()

    def _stored(self, _place: Place, _message: Message, _done: Delivered, _copy: bool) -> None:
        assert self._stage.form is not None
        self.forms.append(self._stage.form)

    def _tested(self, _place: Place, finding: Finding) -> None:
        area, limit = finding.area, finding.limit
        if finding.kind != SIZE or (area and area not in RAW and area not in DECODED):
            return  # the size of a variable
        if finding.weight is not None:
            self.spoil()
        self._note(
            area,
            lambda areas, message: _compared(len(areas.raw(area)) if area else len(message), limit),
            _compared(finding.size, limit),
        )

    # -- as Questions ----------------------------------------------------------------------

    def search(self, regex: Regex, area: Area) -> bool:
        """Whether the pattern matches."""
        found, name = regex.search(area), area.name
        if name:
            self._note(name, lambda areas, _message: regex.search(areas.raw(name)), found)
        return found

    def match(self, regex: Regex, area: Area) -> Match | None:
        """The match that decides about MATCH."""
        found, name = regex.match(area), area.name
        if name:
            self._note(name, lambda areas, _message: _value(regex, areas.raw(name)), _matched(found, area))
        return found

    def count(self, regex: Regex, area: Area) -> Iterator[Match]:
        """The matches that a score counts."""
        if area.name:
            self.spoil()
        return regex.count(area)

    def places(self, patterns: PatternSet, area: Area) -> list[int]:
        """Which patterns of a set match."""
        found, name = patterns.matching(area.padded), area.name
        self._note(name, lambda areas, _message: tuple(patterns.matching(areas.raw(name).padded)), tuple(found))
        return found


def tells_mails_apart(text: bytes) -> bool:
    """Whether rules with this text may see what is another value for each mail."""
    return any(name in text for name in _BY_THEIR_OWN)


def _compared(size: int, limit: int) -> int:
    return (size > limit) - (size < limit)


def _value(regex: Regex, area: Area) -> Answer:
    return _matched(regex.match(area), area)


def _matched(match: Match | None, area: Area) -> Answer:
    """What MATCH becomes; True if it keeps its value, None without a match."""
    if match is None:
        return None
    return True if match.none else area.part(match.start, match.end).partition(b"\0")[0]


def _unheard(_kind: str, *_texts: object) -> None:
    """The areas of the mail as it stands have nothing to say."""
