"""Whether a pattern matches at all: RE2's answer, in time linear in the text.

The text is searched in its padded form, a newline, the text, a newline (regex.Area), so procmail's
virtual newlines are bytes like others.  No match may start at the last of them, but that needs no
care here: such a match exists at the first one as well.
"""

from __future__ import annotations

from pyprocmail.matching import egrep, re2core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.matching.automaton import Automaton

NOWHERE = -1

_ASCII_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PLAIN = frozenset(_ASCII_LETTERS + b"0123456789 _-:;,<>@=%&\"'/!#~`")
_OPERATORS: dict[int, bytes] = {
    egrep.ANY: b".",
    egrep.NEWLINE: rb"\n",
    egrep.WORD_EDGE: b"[^a-zA-Z0-9_]",
    egrep.START: rb"(?:\A\n)",
    egrep.END: rb"(?:\A\n|\n\z)",
    egrep.SPLIT: b"(?:)",
    egrep.STAR: b"*",
    egrep.PLUS: b"+",
    egrep.OPTIONAL: b"?",
    egrep.OPEN: b"(?:",
    egrep.CLOSE: b")",
    egrep.OR: b"|",
}


_EXACT = [b"%c" % byte if byte in _PLAIN else b"\\x%02x" % byte for byte in range(256)]
_EXACT += [_OPERATORS[token] for token in range(256, 256 + len(_OPERATORS))]
# RE2 folds all of Latin-1, procmail ASCII only.
_FOLDED = _EXACT[:0x80] + [b"(?-i:%b)" % code for code in _EXACT[0x80:0x100]] + _EXACT[0x100:]
_LAZY = {egrep.STAR: b"*?", egrep.PLUS: b"+?", egrep.OPTIONAL: b"??", egrep.SPLIT: b"()"}


class Linear:
    """A pattern compiled to a yes/no answer: by RE2, or by our automaton if it is too big for RE2.

    `expression` is RE2's; None if the pattern is too big.
    """

    __slots__ = ("_pattern", "_fold", "expression", "begins", "_automaton")

    def __init__(self, pattern: egrep.Pattern, *, fold: bool) -> None:
        self._pattern = pattern
        self._fold = fold
        self._automaton: Automaton | None = None
        self.expression = re2core.compile(translate(pattern, fold=fold), fold=fold)
        self.begins = self._begins if self.expression is None else self.expression.begins
        """An offset before which no match starts, or NOWHERE; with RE2 the start of the first match."""

    def search(self, padded: bytes | memoryview) -> bool:
        """Whether the pattern matches somewhere in a padded text."""
        return self.begins(padded) != NOWHERE

    def _begins(self, padded: bytes | memoryview) -> int:
        if self._automaton is None:
            from pyprocmail.matching.automaton import Automaton

            self._automaton = Automaton(self._pattern, fold=self._fold)
        return NOWHERE if self._automaton.find(padded) is None else 0


def translate(pattern: egrep.Pattern, *, fold: bool, lazy: bool = False) -> bytes:
    r"""The pattern in RE2's syntax, for a padded text and for RE2 options with the same `fold`.

    `lazy`: quantifiers take as few bytes as possible, and a `\/` is a captured group.
    """
    codes = _FOLDED if fold else _EXACT
    if lazy:
        codes = [_LAZY.get(token, code) for token, code in enumerate(codes)]
    return b"".join([_class(token, fold) if isinstance(token, tuple) else codes[token] for token in pattern.tokens])


def _class(token: egrep.Class, fold: bool) -> bytes:
    negated, ranges = token[0], token[1:]
    if not ranges and not negated:
        return rb"[^\x00-\xff]"
    foreign = fold and max(ranges, default=0) >= 0x80
    if foreign:
        folded: list[int] = []
        for low, high in zip(ranges[::2], ranges[1::2], strict=True):
            for shift, first, last in ((0, 0, 0xFF), (0x20, 0x41, 0x5A), (-0x20, 0x61, 0x7A)):
                if max(low, first) <= min(high, last):
                    folded += (max(low, first) + shift, min(high, last) + shift)
        ranges = tuple(folded)
    code = [b"[^\\n" if negated else b"["]
    for low, high in zip(ranges[::2], ranges[1::2], strict=True):
        code.append(b"\\x%02x" % low if low == high else b"\\x%02x-\\x%02x" % (low, high))
    code.append(b"]")
    return b"(?-i:%b)" % b"".join(code) if foreign else b"".join(code)
