r"""Exact positions by RE2, for patterns that allow it: the matches of a score, and where MATCH begins and ends.

A *chain* is a sequence of tokens that take one byte each, with or without a quantifier.  Of all its matches from some
offset on, the one that ends first begins where the leftmost one begins: an earlier match that has not ended when a
later one ends could have continued as the later one did.  With lazy quantifiers RE2 finds that end.  Other patterns
are searched in growing windows: RE2 finds whether a match ends in the window and where the first one begins, and the
automaton continues from there.  So a search costs no more than the distance to its match.

Offsets are those of a padded text, see regex.Area.
"""

from __future__ import annotations

from pyprocmail.matching import egrep, re2core
from pyprocmail.matching.linear import translate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyprocmail.matching.automaton import Automaton
    from pyprocmail.matching.re2core import Expression

_LF = 10
_QUANTIFIERS = (egrep.STAR, egrep.PLUS, egrep.OPTIONAL)
_CHUNK = 1 << 16
"""Bytes of a text that are searched at once for a fixed text or for single bytes."""
_WINDOW, _GROWTH = 256, 4
_NEAR = 16
"""Up to this distance in bytes to the next match the automaton is as fast as a call of RE2."""
_LONGEST_TEXT = 64
"""The greatest length in bytes of a fixed text that is counted without RE2."""
_ONE_QUANTIFIER = tuple([(quantifier,) for quantifier in _QUANTIFIERS])


class Counter:
    """The matches that a score counts, for a pattern without `\\/`.

    `expression` is the pattern compiled by RE2.
    """

    __slots__ = ("_fixed", "_others", "_fold", "_lazy", "_expression")

    def __init__(self, pattern: egrep.Pattern, expression: Expression, *, fold: bool) -> None:
        self._expression = expression
        self._fold = fold
        self._lazy: Expression | None = None
        self._others: bytes | None = None
        chain = _chain(pattern.tokens)
        self._fixed = _fixed_text(chain, fold=fold)
        if self._fixed or not chain:
            return
        if len(chain) == 1 and chain[0] != egrep.START:
            self._others = _not_taken(chain[0], fold=fold)
        if self._others is None:
            code = translate(egrep.Pattern(chain), fold=fold, lazy=True)
            self._lazy = re2core.compile(code, fold=fold)

    def empties(self, padded: bytes | memoryview, exact: Callable[[], Automaton]) -> Iterator[bool]:
        """For each match in turn, whether it is empty; an empty match does not advance and is the last.

        `exact` makes the pattern's automaton.
        """
        if self._fixed:
            return self._texts(padded, self._fixed)
        if self._others is not None:
            return self._single_bytes(padded, self._others)
        return self._successive(padded, exact)

    def _texts(self, padded: bytes | memoryview, text: bytes) -> Iterator[bool]:
        """`empties` of a fixed text, which does not overlap with itself."""
        for at in range(0, len(padded), _CHUNK):
            chunk = bytes(padded[at : at + _CHUNK + len(text) - 1])
            for _ in range((chunk.lower() if self._fold else chunk).count(text)):
                yield False

    def _single_bytes(self, padded: bytes | memoryview, others: bytes) -> Iterator[bool]:
        """`empties` of a token that takes one byte: any but these `others`."""
        for at in range(0, len(padded), _CHUNK):
            for _ in range(len(bytes(padded[at : at + _CHUNK]).translate(None, others))):
                yield False

    def _successive(self, padded: bytes | memoryview, exact: Callable[[], Automaton]) -> Iterator[bool]:
        """As Automaton.successive."""
        begins = 0 if self._lazy else self._expression.begins(padded)
        if begins < 0:
            return
        bottom, over = 1, len(padded) - 1
        dense = False
        while bottom <= over:
            start = max(begins, bottom - 1 if padded[bottom - 1] == _LF else bottom)
            if start == over or (dense and self._lazy is None):
                # At the end a match may begin at the newline after the text.
                end = exact().end(padded, start)
            else:
                end = self._lazy_end(padded, start) if self._lazy else self._first_end(padded, start, exact())
            if end < 0:
                return
            yield end <= bottom
            if end <= bottom:
                return
            dense = end - bottom < _NEAR
            bottom = end
            begins = 0

    def _lazy_end(self, padded: bytes | memoryview, start: int) -> int:
        """The first end of the matches that begin at or after `start`; -1 if there is none."""
        assert self._lazy is not None
        begin, end = self._lazy.span(padded, start)
        return end if begin < len(padded) - 1 else -1

    def _first_end(self, padded: bytes | memoryview, start: int, exact: Automaton) -> int:
        """As `_lazy_end`, for a pattern that is not a chain."""
        length = len(padded)
        window = _WINDOW
        while True:
            until = min(start + window, length)
            begin, _ = self._expression.span(padded, start, until)
            if begin >= 0 or until == length:
                break
            window *= _GROWTH
        if not 0 <= begin < length - 1:
            return -1
        return exact.end(padded, begin)


class Splitter:
    """The match that sets MATCH, for a pattern that suits (see `splitter`)."""

    __slots__ = ("_whole", "_right")

    def __init__(self, whole: Expression, right: Expression) -> None:
        self._whole = whole
        self._right = right

    def find(self, padded: bytes | memoryview) -> tuple[int, int] | None:
        r"""The leftmost place of the `\/` in the first match, and the end of the longest match from there."""
        (begin, _), (split, _) = self._whole.spans(padded, 0)
        if not 0 <= begin < len(padded) - 1:
            return None
        return split, self._right.spans(padded, split)[0][1]


def splitter(pattern: egrep.Pattern, *, fold: bool) -> Splitter | None:
    r"""A Splitter for the pattern, if it suits.

    It suits if it has one `\/`, outside parentheses and without a quantifier, and if the part before the `\/` is a
    chain in which the last token that must match has no `+`: there the reference finds MATCH too early.
    """
    tokens = pattern.tokens
    at = tokens.index(egrep.SPLIT)
    left, right = _chain(tokens[:at]), tokens[at + 1 :]
    if pattern.alternates or egrep.SPLIT in right or egrep.END in right or right[:1] in _ONE_QUANTIFIER:
        return None
    if left is None or _begins_early(left):
        return None
    code = translate(egrep.Pattern((*left, egrep.SPLIT, *right)), fold=fold, lazy=True)
    whole = re2core.compile(code, fold=fold, capture=True)
    longest = re2core.compile(translate(egrep.Pattern(right), fold=fold), fold=fold, longest_at_start=True)
    return None if whole is None or longest is None else Splitter(whole, longest)


def _chain(tokens: tuple[egrep.Token, ...]) -> tuple[egrep.Token, ...] | None:
    """The tokens of a chain without its parentheses; None if it is not a chain."""
    if egrep.OR in tokens or egrep.END in tokens or tokens.count(egrep.OPEN) != tokens.count(egrep.CLOSE):
        return None
    chain: list[egrep.Token] = []
    before: egrep.Token = egrep.OR
    for token in tokens:
        if before == egrep.CLOSE and token in _QUANTIFIERS:
            return None
        if token not in (egrep.OPEN, egrep.CLOSE):
            chain.append(token)
        before = token
    return tuple(chain)


def _begins_early(chain: tuple[egrep.Token, ...]) -> bool:
    """Whether the last token that must match has a `+`."""
    ends = (*chain, egrep.SPLIT)[1:]
    for token, after in zip(reversed(chain), reversed(ends), strict=True):
        if token == egrep.PLUS:
            return True
        if token not in _QUANTIFIERS and after not in _QUANTIFIERS:
            return False
    return False


def _fixed_text(chain: tuple[egrep.Token, ...] | None, *, fold: bool) -> bytes:
    """The chain as a fixed text, if its matches cannot overlap and none ends with a newline; empty if not."""
    if chain is None or len(chain) > _LONGEST_TEXT:
        return b""
    text = bytearray()
    for token in chain:
        if isinstance(token, tuple) or token >= egrep.ANY or token == _LF:
            return b""
        text.append(token)
    fixed = bytes(text).lower() if fold else bytes(text)
    overlaps = any(fixed.startswith(fixed[at:]) for at in range(1, len(fixed)))
    return b"" if overlaps else fixed


def _not_taken(token: egrep.Token, *, fold: bool) -> bytes | None:
    """The bytes that a token does not match; None if it matches a newline, which the next match may take again."""
    from pyprocmail.matching.automaton import table

    takes = table(token, fold)
    return None if takes[_LF] else bytes([byte for byte in range(256) if not takes[byte]])
