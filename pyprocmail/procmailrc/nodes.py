"""The tree of an rcfile.

Every byte of the file is in exactly one node, in its field `raw`, `equals`, `mark` or `close`, so
the tree writes itself back (unparse).  Where a node has both `raw` and `text`, the text is what
is meant: without the carriage return before a newline.  Trees can be deep (a block in a block in
a block), so whoever walks one keeps his own stack; compare and print them through unparse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pyprocmail.source import Span

if TYPE_CHECKING:
    from pyprocmail.program import conditions
    from pyprocmail.program.pieces import Pieces, Scan


@dataclass(frozen=True, slots=True, eq=False)
class Blank:
    """Blanks and newlines."""

    raw: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Comment:
    """`# to the end of the line`"""

    raw: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Skipped:
    """Text that procmail skips and logs: `9A=b`, the `-b` of `a-b=c`."""

    raw: bytes
    text: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class StrayBrace:
    """`}` without a `{`."""

    raw: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Word:
    """A word or a list of words, and the pieces it expands to (program.words).

    `unterminated`: the file ended inside its quotes.  `passed`: how it is read where it is passed over, if that may be
    another way.
    """

    raw: bytes
    pieces: Pieces
    unterminated: bool
    span: Span
    passed: Scan | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """`NAME=value`; `equals` has the blanks around the `=`."""

    name: bytes
    equals: bytes
    value: Word
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Unset:
    """`NAME` alone."""

    name: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """`* text`; the `mark` is the star and the blanks behind it, empty in the old `:N` form.

    `text` is the logical line, with the backslashes of its continuations; `parts` what it says.
    """

    mark: bytes
    raw: bytes
    text: bytes
    parts: conditions.Condition
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """`mailbox directory ...`"""

    words: Word
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """`! address ...`; the raw text of `words` begins behind the `!`, as `text` does."""

    words: Word
    text: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Pipe:
    """`| command`; `raw` and `text` begin behind the `|`."""

    raw: bytes
    text: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """`NAME=| command`"""

    name: bytes
    equals: bytes
    pipe: Pipe
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Missing:
    """No action: the next recipe begins behind an empty line, or (`at_end`) the file ends."""

    at_end: bool
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """`{ ... }`; `close` is empty when the file ends before the `}`."""

    items: tuple[Item, ...]
    close: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """`:0 flags : lockfile`, then conditions, blanks and comments, then the action.

    The raw text of `start` begins behind the first colon.
    """

    start: Word
    conditions: tuple[Condition | Blank | Comment, ...]
    action: Action
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Rcfile:
    """A whole file."""

    items: tuple[Item, ...]
    span: Span


Action: TypeAlias = Folder | Forward | Pipe | Capture | Block | Missing
Item: TypeAlias = Blank | Comment | Skipped | StrayBrace | Assignment | Unset | Recipe
Node: TypeAlias = Rcfile | Item | Action | Condition | Word


def children(node: Node) -> tuple[Node, ...]:
    """The nodes in `node`, in the order of the file."""
    match node:
        case Rcfile() | Block():
            return node.items
        case Recipe():
            return (node.start, *node.conditions, node.action)
        case Assignment():
            return (node.value,)
        case Folder() | Forward():
            return (node.words,)
        case Capture():
            return (node.pipe,)
        case _:
            return ()
