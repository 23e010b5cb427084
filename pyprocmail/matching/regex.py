r"""Regular expressions as the engine uses them: one class for the three questions of a condition.

Does it match?  That is RE2's answer.  What does MATCH become, and which matches does a score count?  RE2 answers these
where the pattern allows it, else the automaton.
"""

from __future__ import annotations

from pyprocmail.matching import egrep, macros
from pyprocmail.matching.linear import NOWHERE, Linear
from pyprocmail.matching.positions import Counter, Splitter, splitter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyprocmail.matching.automaton import Automaton
    from pyprocmail.matching.prefilter import PatternSet


class Area:
    """A text to search: header, body, both, or the value of a variable.

    Keep it as long as the text is searched: all searches share the one copy in `padded`, a newline, the text, a
    newline, where the newlines are those that procmail sees before and after a text.  `name` is the name of the area of
    the mail; it is empty for the value of a variable.  `unicode`: the text is valid UTF-8, and is searched letter by
    letter.
    """

    __slots__ = ("padded", "name", "unicode")

    def __init__(self, text: bytes, name: bytes = b"", *, unicode: bool = False) -> None:
        self.padded: bytes | memoryview = b"\n%b\n" % text
        self.name = name
        self.unicode = unicode

    @classmethod
    def joined(cls, parts: Sequence[bytes | memoryview], name: bytes) -> Area:
        """The area of the joined parts."""
        area = cls(b"", name)
        area.padded = b"".join((b"\n", *parts, b"\n"))
        return area

    @classmethod
    def at_end(cls, whole: Area, size: int, name: bytes) -> Area:
        """The area of the last `size` bytes of another one, which has a newline before them."""
        area = cls(b"", name)
        area.padded = memoryview(whole.padded)[-size - 2 :]
        return area

    @property
    def text(self) -> bytes:
        """A copy of the text: get it once."""
        return bytes(self.padded[1:-1])

    def part(self, start: int, end: int) -> bytes:
        """The text between two of its offsets."""
        return bytes(self.padded[start + 1 : min(end, len(self)) + 1])

    def __len__(self) -> int:
        return len(self.padded) - 2


class Match:
    """A match: MATCH becomes `text[start:end]`, or keeps its value if `none`.

    `empty`, for scores: the match does not advance, so the series is summed to its limit.
    """

    __slots__ = ("start", "end", "none", "empty")

    def __init__(self, start: int, end: int, *, none: bool, empty: bool) -> None:
        self.start = start
        self.end = end
        self.none = none
        self.empty = empty


ADVANCING, EMPTY = Match(0, 0, none=True, empty=False), Match(0, 0, none=True, empty=True)


class Regex:
    """A pattern, without the backslash that a condition loses at its start.

    Nothing is compiled before the first search.  The empty pattern matches every area and leaves MATCH alone.
    `literally`: see Automaton.  `protected`: the condition had that backslash, so a macro's name after it is plain
    text.  `unicode`: the text is UTF-8, see utf8.py.

    `key` identifies the pattern.  `expanded` is the text with its macros replaced, as the log shows it; `pattern` is
    `expanded` parsed.  If `valid` is false the caller logs `Invalid regexp`; the pattern still matches.  `splits`: a
    match may assign MATCH.  `folds`: case is ignored, as it always is with `^FROM_DAEMON`.
    """

    __slots__ = (
        "key", "expanded", "pattern", "valid", "splits", "folds", "_literally", "_linear", "_automaton", "_splitter",
        "_counter", "_is_asked",
    )  # fmt: skip

    def __init__(
        self, text: bytes, fold: bool, *, literally: bool = True, protected: bool = False, unicode: bool = False
    ) -> None:
        self.key = (text, fold, literally, protected, unicode)
        backslash = b"\\" if protected else b""
        expanded, folds = macros.expand(backslash + text)
        self.expanded = expanded[len(backslash) :]
        self.folds = fold or folds
        if unicode:
            from pyprocmail.matching import utf8

            self.pattern = utf8.parse(self.expanded, fold=self.folds)
        else:
            self.pattern = egrep.parse(self.expanded)
        self.valid = self.pattern.valid
        self.splits = self.pattern.has_split
        self._literally = literally
        self._linear: Linear | None = None
        self._automaton: Automaton | None = None
        self._splitter: Splitter | None = None
        self._counter: Counter | None = None
        self._is_asked = False
        """Whether `_splitter` or `_counter` has been made; None there means that RE2 cannot give the positions."""

    def search(self, area: Area) -> bool:
        """Whether the pattern matches."""
        linear = self._linear
        begins = self._begins if linear is None else linear.begins
        return begins(area.padded) != NOWHERE

    def match(self, area: Area) -> Match | None:
        """The match that sets MATCH, or None."""
        padded = area.padded
        if not self.splits:
            return None if self._begins(padded) == NOWHERE else ADVANCING
        if not self._is_asked:
            self._splitter = splitter(self.pattern, fold=self.folds) if self._literally else None
            self._is_asked = True
        if self._splitter is not None:
            found = self._splitter.find(padded)
        else:
            begins = self._begins(padded)
            found = None if begins == NOWHERE else self._exact().find(padded, begins)
        return None if found is None else _match(padded, *found, False)

    def count(self, area: Area) -> Iterator[Match]:
        """The matches that a score counts, in order; an empty one is the last."""
        padded = area.padded
        if self.splits:
            return self._exact_matches(padded)
        if not self._is_asked:
            self._counter = self._counter_by_re2()
            self._is_asked = True
        if self._counter is None:
            return self._exact_matches(padded)
        return map((ADVANCING, EMPTY).__getitem__, self._counter.empties(padded, self._exact))

    def _exact_matches(self, padded: bytes | memoryview) -> Iterator[Match]:
        begins = self._begins(padded)
        if begins != NOWHERE:
            for split, end, empty in self._exact().successive(padded, begins):
                yield _match(padded, split, end, empty)

    def _counter_by_re2(self) -> Counter | None:
        if not self.expanded or self._strays() or egrep.END in self.pattern.tokens:
            return None
        expression = self._as_linear().expression
        return None if expression is None else Counter(self.pattern, expression, fold=self.folds)

    def _begins(self, padded: bytes | memoryview) -> int:
        """An offset in the padded text before which no match starts, or NOWHERE."""
        linear = self._linear
        if linear is None:
            if not self.expanded:
                return 0
            if self._strays():
                return NOWHERE if self._exact().find(padded) is None else 0
            linear = self._as_linear()
        return linear.begins(padded)

    def _as_linear(self) -> Linear:
        if self._linear is None:
            self._linear = Linear(self.pattern, fold=self.folds)
        return self._linear

    def _strays(self) -> bool:
        """Whether RE2 would read another pattern than the reference does."""
        if self._literally or not (self.splits or egrep.OPEN in self.pattern.tokens):
            return False
        return self._exact().strays

    def _exact(self) -> Automaton:
        if self._automaton is None:
            from pyprocmail.matching.automaton import Automaton

            self._automaton = Automaton(self.pattern, fold=self.folds, literally=self._literally)
        return self._automaton


class Questions:
    """The searches of a run, done directly; procmail/ahead has others that record the answers and recall them."""

    __slots__ = ()

    def search(self, regex: Regex, area: Area) -> bool:
        """Whether the pattern matches."""
        return regex.search(area)

    def match(self, regex: Regex, area: Area) -> Match | None:
        """The match that sets MATCH."""
        return regex.match(area)

    def count(self, regex: Regex, area: Area) -> Iterator[Match]:
        """The matches that a score counts."""
        return regex.count(area)

    def places(self, patterns: PatternSet, area: Area) -> list[int]:
        """Which patterns of a set match."""
        return patterns.matching(area.padded)


DIRECT = Questions()


class Patterns:
    """The compiled patterns of a process, so that a run over a mailbox compiles each one once.

    Their number is bounded, because `$` conditions make patterns from the mail.
    """

    __slots__ = ("_known",)

    LIMIT = 4096

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bool, bool, bool, bool], Regex] = {}

    def get(
        self, text: bytes, *, fold: bool, literally: bool = True, protected: bool = False, unicode: bool = False
    ) -> Regex:
        """The pattern `text`."""
        key = (text, fold, literally, protected, unicode)
        regex = self._known.get(key)
        if regex is None:
            if len(self._known) >= self.LIMIT:
                self._known.clear()
            regex = self._known[key] = Regex(text, fold, literally=literally, protected=protected, unicode=unicode)
        return regex


def _match(padded: bytes | memoryview, split: int, end: int, empty: bool) -> Match:
    """A match in offsets of the text, without the virtual newlines; `split` and `end` count in the padded text."""
    length = len(padded) - 2
    if not 0 <= split <= length + 1:
        return EMPTY if empty else ADVANCING
    return Match(max(split - 1, 0), min(max(end - 1, 0), length), none=False, empty=empty)
