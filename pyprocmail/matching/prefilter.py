"""Many patterns, one scan: which of them match a text at all.

RE2 runs a whole set of patterns over a text in one pass.  Two traps, both measured.  Patterns with
more than one unbounded gap (`.*x.*y`) make the states of a set explode on long text, so they stay
out, unless a literal text can represent them.  And the answer "no pattern" also means "out of
memory", so every set has a pattern that always matches; if even that is missing, the answer is
"unknown".
"""

from __future__ import annotations

from pyprocmail.matching import egrep, re2core
from pyprocmail.matching.linear import translate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MEMORY = 64 << 20
"""Bytes that a set may use; a set that needs more is halved."""

_LITERAL = 5
"""The least length in bytes of a literal text that may represent a pattern."""

_ALWAYS = b"(?:)"
_REPEATS = (egrep.STAR, egrep.PLUS)
_COLON = 0x3A


def essence(pattern: egrep.Pattern) -> egrep.Pattern | None:
    """What a set searches for in place of the pattern: it matches wherever the pattern does.

    That is the last long literal text of the pattern, or the pattern itself; None if the pattern must stay out.  A
    thousand literals make a small set, whatever surrounds them in their patterns.
    """
    return _literal(pattern) or (pattern if suits(pattern) else None)


def _literal(pattern: egrep.Pattern) -> egrep.Pattern | None:
    """The last long literal text that every match contains, except the name of a header field."""
    if pattern.alternates:
        return None
    tokens = pattern.tokens
    depth = 0
    optional = False
    run: list[int] = []
    for token in reversed(tokens):
        if not depth and not optional and isinstance(token, int) and token < egrep.ANY:
            run.append(token)
            continue
        if len(run) >= _LITERAL and run[0] != _COLON:
            break
        run.clear()
        optional = token in (egrep.STAR, egrep.OPTIONAL)
        depth += (token == egrep.CLOSE) - (token == egrep.OPEN)
    if len(run) < _LITERAL or run[0] == _COLON:
        return None
    return egrep.Pattern(tuple(reversed(run)))


def suits(pattern: egrep.Pattern) -> bool:
    """Whether the pattern may go into a set: it has at most one unbounded gap, and repeats no group."""
    tokens = pattern.tokens
    gaps = 0
    for repeat in _REPEATS:
        at = -1
        while (at := _next(tokens, repeat, at + 1)) > 0:
            before = tokens[at - 1]
            if before == egrep.CLOSE:
                return False
            gaps += before == egrep.ANY or (isinstance(before, tuple) and before[0] == 1)
    return gaps <= 1


def _next(tokens: tuple[egrep.Token, ...], token: int, start: int) -> int:
    try:
        return tokens.index(token, start)
    except ValueError:
        return -1


class PatternSet:
    """A set of patterns, each identified by its place in the sequence that it was made from.

    `identity` is the same for the same patterns, in this process and its forks.
    """

    __slots__ = ("identity", "_parts")

    def __init__(self, patterns: Sequence[egrep.Pattern], *, fold: bool, memory: int = MEMORY) -> None:
        codes = [translate(pattern, fold=fold) for pattern in patterns]
        self.identity = hash((fold, *codes))
        self._parts: list[tuple[int, int, re2core.Set | None]] = []
        todo = [(0, len(codes))]
        while todo:
            first, last = todo.pop()
            part = re2core.compile_set([*codes[first:last], _ALWAYS], fold=fold, memory=memory)
            if part is None and last - first > 1:
                middle = (first + last) // 2
                todo += [(first, middle), (middle, last)]
            else:
                self._parts.append((first, last, part))

    def matching(self, padded: bytes | memoryview) -> list[int]:
        """The places of the patterns that match a padded text, and of those whose answer is unknown; sorted."""
        found: list[int] = []
        for first, last, part in self._parts:
            places = part.matching(padded) if part is not None else None
            if places is None or last - first not in places:
                found += range(first, last)
            else:
                found += [first + place for place in places if place < last - first]
        found.sort()
        return found
