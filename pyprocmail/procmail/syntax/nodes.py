"""The tree of an rcfile.

Every byte of the file is in exactly one node, in its field `raw`, `equals`, `mark` or `close`, so
the tree writes itself back (unparse).  Where a node has both `raw` and `text`, the text is without
the carriage return before a newline.  Start lines, conditions and words hold smaller
nodes, each with its place in this text; those of words are in `parts`.  Trees can be deep (a block in a
block in a block), so code that walks one keeps its own stack; compare and print them through unparse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeAlias

from pyprocmail.procmail.compiled import start_line
from pyprocmail.procmail.compiled.pieces import BREAK
from pyprocmail.source import Span

if TYPE_CHECKING:
    from pyprocmail.procmail.compiled import conditions
    from pyprocmail.procmail.compiled.pieces import Pieces, Scan


@dataclass(frozen=True, slots=True, eq=False)
class Blank:
    """Blanks and newlines."""

    raw: bytes
    span: Span

    @property
    def newlines(self) -> tuple[Span, ...]:
        """Where its lines end.  The first ends a line with content, unless a line ended right before it."""
        start = self.span.start
        return tuple(Span(start + found.start(), start + found.end()) for found in _NEWLINE.finditer(self.raw))


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
    """A word or a list of words, and the pieces it expands to (compiled/words).

    `unterminated`: the file ended inside its quotes.  `passed`: how it is read if it is passed over, where that is
    different.  `reading`: as one word, as many, or as the folders of an action.
    """

    raw: bytes
    pieces: Pieces
    unterminated: bool
    span: Span
    passed: Scan | None = None
    reading: Reading = "list"


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """The `0` of `:0`."""

    raw: bytes
    value: int
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Flag:
    """One flag of a start line: its letter, and its bit in compiled/start_line."""

    raw: bytes
    bit: int
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Lockfile:
    """`:` or `: name`; `name` is None for the lockfile that the action implies."""

    raw: bytes
    name: bytes | None
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Unread:
    """Text in a start line that procmail does not understand."""

    raw: bytes
    text: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Start(Word):
    """`0 flags : lockfile`, after the colon.

    If its words have expansions (`expanded`), the rest is known only when the recipe is reached.
    """

    expanded: bool = False
    number: Number | None = None
    flags: tuple[Flag, ...] = ()
    lockfile: Lockfile | None = None
    unread: Unread | None = None

    @property
    def bits(self) -> int:
        """The flags as compiled/start_line defines them."""
        bits = 0
        for flag in self.flags:
            bits |= flag.bit
        return bits

    @property
    def lock(self) -> bytes | tuple[bytes] | None:
        """The lockfile as compiled/start_line defines it."""
        if self.lockfile is None:
            return None
        return b"" if self.lockfile.name is None else (self.lockfile.name,)

    @property
    def count(self) -> int:
        """How many lines are conditions even without a star."""
        return start_line.count_of(None if self.number is None else self.number.value, self.bits)


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
class Negation:
    """`!`"""

    raw: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Weight:
    """`w^x`"""

    raw: bytes
    weight: float
    exponent: float
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """`NAME ??`: a variable, or one of H, B, HB, BH."""

    raw: bytes
    name: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class RegexTest:
    """A pattern; `text` is without the backslash that protects its beginning, its lines joined."""

    raw: bytes
    text: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class ProgramTest:
    """`? command`; `text` is the command, with its blanks and continuations."""

    raw: bytes
    text: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class SizeTest:
    """`< number` or `> number`; `text` follows the sign and may have expansions."""

    raw: bytes
    operator: Literal["<", ">"]
    text: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class ExpandedTest:
    """`$ text`: the text is expanded, and the result is read as the rest of the condition."""

    raw: bytes
    text: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """`* prefixes test`; the `mark` is the star with the blanks after it, empty in the old `:N` form.

    `text` is the logical line, with the backslashes of its continuations; `parts` is the form for the interpreter.
    """

    mark: bytes
    raw: bytes
    text: bytes
    parts: conditions.Condition
    span: Span
    prefixes: tuple[Prefix, ...]
    test: Test

    @property
    def negated(self) -> bool:
        """Whether the number of its negations is odd."""
        return sum(isinstance(prefix, Negation) for prefix in self.prefixes) % 2 == 1

    @property
    def weight(self) -> Weight | None:
        """The weight that counts: the last one."""
        return next((prefix for prefix in reversed(self.prefixes) if isinstance(prefix, Weight)), None)

    @property
    def area(self) -> Area | None:
        """The area that counts: the last one."""
        return next((prefix for prefix in reversed(self.prefixes) if isinstance(prefix, Area)), None)


class FolderKind(Enum):
    """The kind of a folder, by its name."""

    MAILDIR = "maildir"
    MH = "MH folder"
    MAILBOX = "file, or a directory of messages if there is one"
    UNKNOWN = "its end is expanded"


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """`mailbox directory ...`"""

    words: Word
    span: Span

    @property
    def kind(self) -> FolderKind:
        """The kind of the first folder, as it is spelled."""
        pieces = self.words.pieces
        ends = next((at for at, piece in enumerate(pieces) if isinstance(piece, tuple) and piece[0] == BREAK), None)
        last = pieces[:ends][-1:]
        if not last or not isinstance(last[0], bytes):
            return FolderKind.UNKNOWN
        if last[0].endswith(b"/."):
            return FolderKind.MH
        return FolderKind.MAILDIR if last[0].endswith(b"/") else FolderKind.MAILBOX


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """`! address ...`; the raw text of `words` begins after the `!`, as `text` does."""

    words: Word
    text: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Pipe:
    """`| command`; `raw` and `text` begin after the `|`."""

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
    """No action: the next recipe begins after an empty line, or (`at_end`) the file ends."""

    at_end: bool
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """`{ ... }`; `close` is empty if the file ends before the `}`."""

    items: tuple[Item, ...]
    close: bytes
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """`:0 flags : lockfile`, then conditions, blanks and comments, then the action.

    The raw text of `start` begins after the first colon.
    """

    start: Start
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
Prefix: TypeAlias = Negation | Weight | Area
Test: TypeAlias = RegexTest | ProgramTest | SizeTest | ExpandedTest
StartPart: TypeAlias = Number | Flag | Lockfile | Unread
Node: TypeAlias = Rcfile | Item | Action | Condition | Word | StartPart | Prefix | Test

Reading: TypeAlias = Literal["value", "list", "folders"]
_NEWLINE = re.compile(rb"\r?\n")


def children(node: Node) -> tuple[Node, ...]:
    """The nodes in `node`, in the order of the file; those of a word are what `parts` has."""
    match node:
        case Rcfile() | Block():
            return node.items
        case Recipe():
            return (node.start, *node.conditions, node.action)
        case Start():
            parts = (node.number, *node.flags, node.lockfile, node.unread)
            return tuple(part for part in parts if part is not None)
        case Condition():
            return (*node.prefixes, node.test)
        case Assignment():
            return (node.value,)
        case Folder() | Forward():
            return (node.words,)
        case Capture():
            return (node.pipe,)
        case _:
            return ()
