r"""procmail's dialect of regular expressions, read once into a flat, immutable form.

The dialect is egrep's with `^^`, `\<`, `\>` and `\/`, and with its own rules where egrep has none;
procmailrc(5), Extended regular expressions.  Nothing is an error: whatever a user wrote has a
meaning.  This module is syntax only: no case folding, no macros (macros.py), no matching
(linear.py, automaton.py).

A Pattern is a sequence of tokens in the order they were written, with every group closed:

    0..255                        that byte
    (negated, low, high, ...)     a class: inclusive ranges of bytes
    ANY NEWLINE WORD_EDGE         consume one byte: `.`, `^` or `$`, `\<` or `\>`
    START END                     `^^`: consumes the virtual newline before, or either virtual newline
    SPLIT                         `\/`, consumes nothing
    STAR PLUS OPTIONAL            belong to the token or group before them
    OPEN CLOSE OR                 `(`, `)`, `|`
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Class = tuple[int, ...]
    Token = int | Class

ANY = 256
NEWLINE = 257
WORD_EDGE = 258
START = 259
END = 260
SPLIT = 261
STAR = 262
PLUS = 263
OPTIONAL = 264
OPEN = 265
CLOSE = 266
OR = 267

_LF = 10
_QUANTIFIERS = {0x2A: STAR, 0x2B: PLUS, 0x3F: OPTIONAL}
_ESCAPES = {0x2F: SPLIT, 0x3C: WORD_EDGE, 0x3E: WORD_EDGE}
_SPECIAL = b"\\[]().^$|*+?"
_MARKED = bytes(byte in _SPECIAL for byte in range(256))
"""Makes 1 of each byte that has a meaning, and 0 of the others."""


class Pattern:
    """A pattern as it will be matched.

    `valid` is false if parentheses do not pair; the pattern is then cut or closed as procmail does
    it, and still runs.  `alternates`: there is a `|` outside all parentheses.  `has_split`: there is a `\\/`,
    so a match may assign MATCH.
    """

    __slots__ = ("tokens", "valid", "alternates", "has_split")

    tokens: tuple[Token, ...]
    valid: bool
    alternates: bool
    has_split: bool

    def __init__(self, tokens: tuple[Token, ...], *, valid: bool = True, alternates: bool = False) -> None:
        self.tokens = tokens
        self.valid = valid
        self.alternates = alternates
        self.has_split = SPLIT in tokens


def parse(text: bytes) -> Pattern:
    """Read a pattern; never raises, and takes any depth of nesting.

    The caller has removed the leading backslash that a condition line loses, and has answered
    the empty pattern, which matches without a search.
    """
    return read(text, text)


def read(text: Sequence[int], ascii: bytes) -> Pattern:
    """As `parse`; where the text has a letter that is not a byte, `ascii` has a letter without special meaning."""
    tokens: list[Token] = []
    depth = 0
    valid = True
    alternates = False
    quantifiable = False
    at, length = 0, len(text)
    marked = ascii.translate(_MARKED)
    while at < length:
        if not marked[at]:
            end = marked.find(1, at)
            end = length if end < 0 else end
            tokens += text[at:end]
            quantifiable = True
            at = end
            continue
        byte = text[at]
        at += 1
        if byte in _QUANTIFIERS and quantifiable:
            # No quantifier is lazy or possessive: the second of two in a row is a literal.
            tokens.append(_QUANTIFIERS[byte])
            quantifiable = False
            continue
        quantifiable = True
        if byte == 0x28:
            tokens.append(OPEN)
            depth += 1
            quantifiable = False
        elif byte == 0x29:
            if not depth:
                valid = False
                break
            tokens.append(CLOSE)
            depth -= 1
        elif byte == 0x7C:
            tokens.append(OR)
            alternates = alternates or not depth
            quantifiable = False
        elif byte == 0x2E:
            tokens.append(ANY)
        elif byte == 0x5E and ascii.startswith(b"^", at):
            tokens.append(START)
            at += 1
        elif byte in (0x5E, 0x24):
            tokens.append(NEWLINE)
        elif byte == 0x5B:
            members, at = read_class(text, at)
            tokens.append(members)
        elif byte == 0x5C and at < length:
            tokens.append(_ESCAPES.get(text[at], text[at]))
            at += 1
        else:
            tokens.append(byte)
    if depth:
        valid = False
        tokens.extend([CLOSE] * depth)
    if START in tokens:
        _mark_ends(tokens)
    return Pattern(tuple(tokens), valid=valid, alternates=alternates)


def read_class(text: Sequence[int], at: int) -> tuple[Class, int]:
    """Read the class whose `[` is just before `at`; also the offset after its `]`.

    A class that is never closed ends with the text.  A backslash is a member like any other.
    """
    length = len(text)
    negated = at < length and text[at] == 0x5E
    at += negated
    ranges: list[int] = [negated]
    first = at
    while at < length and (text[at] != 0x5D or at == first):
        low = text[at]
        at += 1
        ranges += (low, low)
        # The end of a range can begin the next: `[a-c-e]` is `[a-e]`.
        while at + 1 < length and text[at] == 0x2D and text[at + 1] != 0x5D:
            high = text[at + 1]
            at += 2
            ranges += (low, high) if low <= high else (high, high)
            low = high
    return tuple(ranges), at + 1


def _mark_ends(tokens: list[Token]) -> None:
    """Turn each START into an END after which nothing can follow, not even a quantifier."""
    exits = [True]
    final = True
    for index in range(len(tokens) - 1, -1, -1):
        token = tokens[index]
        if token == CLOSE:
            exits.append(final)
        elif token == OPEN:
            exits.pop()
            final = False
        elif token == OR:
            final = exits[-1]
        else:
            if token == START and final:
                tokens[index] = END
            final = False
