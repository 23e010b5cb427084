"""The parts of words: flat pieces, which `lower` stores and the engine expands.

A piece is literal text (bytes) or a tuple whose first member is one of the constants below.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Piece: TypeAlias = bytes | tuple[int | bytes | bool, ...]
    Pieces: TypeAlias = tuple[Piece, ...]

VARIABLE = 1
"""(VARIABLE, name, quoted): $NAME ${NAME} $0-$9 $$ $? $# $= $_ $-; the name of `${_}` is b"{_}"."""
ESCAPED = 2
"""(ESCAPED, name): $\\NAME, the value with the magic characters of a regular expression escaped."""
ARGUMENTS = 3
"""(ARGUMENTS,): "$@"."""
BACKQUOTE = 4
"""(BACKQUOTE, command, quoted): the command without the backslashes that backquotes remove."""
ALTERNATIVE = 5
"""(ALTERNATIVE, name, operator, quoted) ... (END,): ${NAME:-word}; operator is one of :- - :+ +
(ALTERNATIVE, name, operator, quoted, False): one that is not closed.  Its word stands for itself; but if the
word is not wanted, only its literal text counts."""
END = 6
"""(END,): the end of the innermost closed alternative."""
BAD = 7
"""(BAD, name): logged as a bad substitution when the word is read; expands to nothing."""
BREAK = 8
"""(BREAK,): ends the word, if there is one; two of them, or one inside an alternative, are normal.
(BREAK, True): one more word follows, an empty one if there is no other."""
HASH = 9
"""(HASH, False, end): a `#` after an expansion: a comment up to `end` if no word has begun by then, else text.
(HASH, True): such a `\\#`, which is a `#` if no word has begun, else both bytes."""
PREFIX = 10
"""(PREFIX, text): text put in front of the next word after its expansion."""

BLANKS = b" \t"
SHELLMETAS = b"&|<>~;?*["
"""The default of the variable of that name."""

LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGITS = b"0123456789"
NAME_START = LETTERS + b"_"
NAME_REST = NAME_START + DIGITS


class Scan:
    """The result of reading: pieces, and the offset after the text.

    `unterminated`: the text ended inside quotes, which is logged ("unexpected-eol"),
    and the pieces are used all the same.  `passed` is how the text is read if it is passed over, where that is
    different.
    """

    __slots__ = ("pieces", "end", "unterminated", "passed")

    def __init__(self, pieces: Pieces, end: int, *, unterminated: bool = False) -> None:
        self.pieces = pieces
        self.end = end
        self.unterminated = unterminated
        self.passed: Scan | None = None


def literal(pieces: Pieces) -> bytes | None:
    """The text of a single word without expansions, else None."""
    if not pieces:
        return b""
    if len(pieces) == 1 and isinstance(pieces[0], bytes):
        return pieces[0]
    return None


def name_end(text: bytes, pos: int) -> int:
    """The offset after the variable name at `pos`; `pos` itself if no name begins there."""
    end = pos
    if end < len(text) and text[end] in NAME_START:
        end += 1
        while end < len(text) and text[end] in NAME_REST:
            end += 1
    return end
