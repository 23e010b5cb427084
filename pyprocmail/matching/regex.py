r"""Regular expressions as the engine uses them: one class for the three questions a condition asks.

Does it match (RE2), what becomes of MATCH, and which matches does a score count (automaton).
"""

from __future__ import annotations

from pyprocmail.matching import egrep, macros
from pyprocmail.matching.automaton import NO_SPLIT, Automaton
from pyprocmail.matching.linear import NOWHERE, Linear

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyprocmail.matching.prefilter import PatternSet


class Area:
    """A text to search: header, body, both, or the value of a variable.

    Keep it as long as the text is searched: `padded` is the one copy that all searches share, with
    the virtual newlines that procmail sees before and after a text: a newline, the text, a newline.  `name` is that of
    an area of the mail, and empty for the value of a variable.  `unicode`: the text is valid UTF-8, and searched letter
    by letter.
    """

    __slots__ = ("padded", "name", "unicode")

    def __init__(self, text: bytes, name: bytes = b"", *, unicode: bool = False) -> None:
        self.padded: bytes | memoryview = b"\n%b\n" % text
        self.name = name
        self.unicode = unicode

    @classmethod
    def joined(cls, parts: Sequence[bytes | memoryview], name: bytes) -> Area:
        """The area that the parts make."""
        area = cls(b"", name)
        area.padded = b"".join((b"\n", *parts, b"\n"))
        return area

    @classmethod
    def at_end(cls, whole: Area, size: int, name: bytes) -> Area:
        """The area that the last `size` bytes of another one are, which has a newline before these."""
        area = cls(b"", name)
        area.padded = memoryview(whole.padded)[-size - 2 :]
        return area

    @property
    def text(self) -> bytes:
        """The text: a copy, so ask once."""
        return bytes(self.padded[1:-1])

    def part(self, start: int, end: int) -> bytes:
        """What stands between two offsets of the text."""
        return bytes(self.padded[start + 1 : min(end, len(self)) + 1])

    def __len__(self) -> int:
        return len(self.padded) - 2


class Match:
    """A match: what MATCH becomes, `text[start:end]`, unless `none`: then it keeps its value.

    `empty`, for scores: the match does not advance; the series is summed to its limit.
    """

    __slots__ = ("start", "end", "none", "empty")

    def __init__(self, start: int, end: int, *, none: bool, empty: bool) -> None:
        self.start = start
        self.end = end
        self.none = none
        self.empty = empty


class Regex:
    """A pattern, without the backslash that a condition loses at its start.

    Nothing is read or compiled before the first question.  The empty pattern matches every area,
    without touching MATCH.  `literally`: see Automaton.  `protected`: the condition had that backslash,
    which says that a macro behind it is none.  `unicode`: the text is UTF-8, see utf8.py.  `key` is what makes it this
    pattern and no other.
    """

    __slots__ = (
        "key", "_text", "_fold", "_literally", "_protected", "_unicode", "_expanded", "_pattern", "_linear",
        "_automaton",
    )  # fmt: skip

    def __init__(
        self, text: bytes, fold: bool, *, literally: bool = True, protected: bool = False, unicode: bool = False
    ) -> None:
        self.key = (text, fold, literally, protected, unicode)
        self._unicode = unicode
        self._text = text
        self._fold = fold
        self._literally = literally
        self._protected = protected
        self._expanded: bytes | None = None
        self._pattern: egrep.Pattern | None = None
        self._linear: Linear | None = None
        self._automaton: Automaton | None = None

    @property
    def expanded(self) -> bytes:
        """The text with its macros replaced, as the log shows it."""
        if self._expanded is None:
            backslash = b"\\" if self._protected else b""
            expanded, folds = macros.expand(backslash + self._text)
            self._expanded = expanded[len(backslash) :]
            self._fold = self._fold or folds
        return self._expanded

    @property
    def pattern(self) -> egrep.Pattern:
        """What was read."""
        if self._pattern is None:
            expanded = self.expanded
            if self._unicode:
                from pyprocmail.matching import utf8

                self._pattern = utf8.parse(expanded, fold=self.folds)
            else:
                self._pattern = egrep.parse(expanded)
        return self._pattern

    @property
    def valid(self) -> bool:
        """False when the caller is to log `Invalid regexp`; the pattern matches all the same."""
        return self.pattern.valid

    @property
    def splits(self) -> bool:
        """Whether a match may assign MATCH."""
        return self.pattern.has_split

    def search(self, area: Area) -> bool:
        """Whether the pattern matches."""
        return self._begins(area) != NOWHERE

    def match(self, area: Area) -> Match | None:
        """The match that decides what MATCH becomes, or None."""
        begins = self._begins(area)
        if begins == NOWHERE:
            return None
        if not self.splits:
            return Match(0, 0, none=True, empty=False)
        found = self._exact().find(area.padded, begins)
        if found is None:
            return None
        return _match(area, found[0], found[1], False)

    def count(self, area: Area) -> Iterator[Match]:
        """The matches that a score counts, in order; an empty one is the last."""
        begins = self._begins(area)
        if begins == NOWHERE:
            return
        advancing = Match(0, 0, none=True, empty=False)
        for split, end, empty in self._exact().successive(area.padded, begins):
            yield advancing if split == NO_SPLIT and not empty else _match(area, split, end, empty)

    def _begins(self, area: Area) -> int:
        """An offset in the padded area before which no match starts, or NOWHERE."""
        if not self._text:
            return 0
        if not self._literally and self._may_stray and self._exact().strays:
            # What RE2 answers is about another pattern.
            return NOWHERE if self._exact().find(area.padded) is None else 0
        if self._linear is None:
            self._linear = Linear(self.pattern, fold=self.folds)
        return self._linear.begins(area.padded)

    @property
    def _may_stray(self) -> bool:
        return self.splits or egrep.OPEN in self.pattern.tokens

    def _exact(self) -> Automaton:
        if self._automaton is None:
            self._automaton = Automaton(self.pattern, fold=self.folds, literally=self._literally)
        return self._automaton

    @property
    def folds(self) -> bool:
        """Whether case is ignored: `^FROM_DAEMON` always does."""
        _ = self.expanded  # ^FROM_DAEMON decides
        return self._fold


class Questions:
    """What is asked of patterns, and nothing between: see engine/ahead for others that answer."""

    __slots__ = ()

    def search(self, regex: Regex, area: Area) -> bool:
        """Whether the pattern matches."""
        return regex.search(area)

    def match(self, regex: Regex, area: Area) -> Match | None:
        """The match that decides about MATCH."""
        return regex.match(area)

    def count(self, regex: Regex, area: Area) -> Iterator[Match]:
        """The matches that a score counts."""
        return regex.count(area)

    def places(self, patterns: PatternSet, area: Area) -> list[int]:
        """Which patterns of a set match."""
        return patterns.matching(area.padded)


DIRECT = Questions()


class Patterns:
    """The compiled patterns of a process, so that a run over a mailbox compiles each once.

    Bounded, since `$` conditions make patterns from the mail.
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


def _match(area: Area, split: int, end: int, empty: bool) -> Match:
    """A match in offsets of the text, from those of the padded text, virtual newlines left out."""
    length = len(area)
    if split == NO_SPLIT or split > length + 1:
        return Match(0, 0, none=True, empty=empty)
    return Match(max(split - 1, 0), min(max(end - 1, 0), length), none=False, empty=empty)
