"""The start line of a recipe: `:0 flags : lockfile`.

`read` takes the words after the first colon.  `lower` calls it if the words have no expansions,
else the engine does.  procmailrc(5), Recipe format.
"""

from __future__ import annotations

from pyprocmail.numerals import as_int, integer_at
from pyprocmail.procmail.compiled import instructions
from pyprocmail.procmail.compiled.pieces import ARGUMENTS, BAD, BREAK, ESCAPED, HASH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.procmail.compiled.pieces import Pieces

HEAD = 1 << 0
"""`H`: the conditions search the header."""
BODY = 1 << 1
"""`B`: the conditions search the body."""
DISTINGUISH_CASE = 1 << 2
"""`D`"""
ALSO = 1 << 3
"""`A`: only if the last recipe without A or a matched."""
ALSO_SUCCEEDED = 1 << 4
"""`a`: as A, and the last action succeeded."""
ELSE = 1 << 5
"""`E`: only if the preceding recipe was not executed."""
ELSE_FAILED = 1 << 6
"""`e`: only if the preceding recipe matched and its action failed."""
FEED_HEAD = 1 << 7
"""`h`: the action gets the header."""
FEED_BODY = 1 << 8
"""`b`: the action gets the body."""
FILTER = 1 << 9
"""`f`"""
CARBON_COPY = 1 << 10
"""`c`"""
WAIT = 1 << 11
"""`w`: wait for the program, and let its exit code count."""
WAIT_QUIET = 1 << 12
"""`W`: as w, without the message."""
IGNORE_WRITE_ERRORS = 1 << 13
"""`i`"""
RAW = 1 << 14
"""`r`"""

FLAGS: dict[int, int] = dict(
    zip(
        b"HBDAaEehbfcwWir",
        (
            HEAD, BODY, DISTINGUISH_CASE, ALSO, ALSO_SUCCEEDED, ELSE, ELSE_FAILED, FEED_HEAD,
            FEED_BODY, FILTER, CARBON_COPY, WAIT, WAIT_QUIET, IGNORE_WRITE_ERRORS, RAW,
        ),
        strict=True,
    )
)  # fmt: skip
"""The flags by their letter."""

_USELESS_ON_BLOCKS = (
    (FEED_BODY, b"deliver-body flag"),
    (FEED_HEAD, b"deliver-head flag"),
    (IGNORE_WRITE_ERRORS, b"ignore-write-error flag"),
    (RAW, b"raw-mode flag"),
)


class StartLine:
    """A start line after reading.

    `count` is how many lines are conditions even without a `*`.  `lock` is None without a second
    colon, b"" for the lockfile that the action implies, (name,) for a named one; the name may be
    empty.  `skipped` is text that was not understood, for the log; it may be b"".
    """

    __slots__ = ("count", "flags", "lock", "skipped")

    def __init__(self, count: int, flags: int, lock: bytes | tuple[bytes] | None, skipped: bytes) -> None:
        self.count = count
        self.flags = flags
        self.lock = lock
        self.skipped = skipped


def read(words: tuple[bytes, ...]) -> StartLine:
    """Read the expanded `words` after the first colon.

    A word may contain blanks if it was quoted; before the second colon they separate words.
    """
    head, found, tail = _split(words)
    # The number is in the first word, or there is no number.
    number, pos = integer_at(head) if words[:1] != (b"",) else (0, 0)
    count = number if pos else None
    flags = 0
    while pos < len(head) and (head[pos] in b" \t" or head[pos] in FLAGS):
        flags |= FLAGS.get(head[pos], 0)
        pos += 1
    if pos < len(head):
        # The first byte that is not a flag ends the flags; a lockfile after it is not seen any more.
        rest = head[pos:] + ((b":" + b" ".join(tail)) if found else b"")
        return StartLine(count_of(count, flags), flags, None, rest)
    if not found:
        return StartLine(count_of(count, flags), flags, None, b"")
    # `:0:name` has its lockfile in the word of the colon, `:0: name` in the next one.
    named = tail if tail[0] else tail[1:]
    lock: bytes | tuple[bytes] = (named[0],) if named else b""
    return StartLine(count_of(count, flags), flags, lock, b" ".join(named[1:]))


def area(flags: int) -> bytes:
    """The area of the mail that the flags H and B have conditions search."""
    if not flags & BODY:
        return b"H"
    return b"HB" if flags & HEAD else b"B"


def conflicting(flags: int) -> tuple[bytes, ...]:
    """The flags that `e` suppresses, by their names in the note "conflicting"."""
    if not flags & ELSE_FAILED:
        return ()
    names = ((ELSE, b"else-if-flag"), (ALSO_SUCCEEDED, b"also-if-succeeded-flag"))
    return tuple(name for flag, name in names if flags & flag)


def extraneous(flags: int, kind: int, *, locked: bool) -> tuple[bytes, ...]:
    """The flags that an action of that kind (compiled/instructions) ignores, by their names in the note "extraneous".

    procmail logs them when it reads the action, executed or not.  `c` on a filter or capture is not
    included: procmail logs that only when it executes the action.  `locked`: there is a second colon.
    """
    names: list[bytes] = []
    if flags & FILTER and kind in (instructions.FOLDER, instructions.CAPTURE, instructions.BLOCK):
        names.append(b"filter-flag")
    if kind == instructions.BLOCK:
        if locked and not flags & CARBON_COPY:
            names.append(b"locallockfile")
        names += [name for flag, name in _USELESS_ON_BLOCKS if flags & flag]
    return tuple(names)


def split_words(pieces: Pieces) -> tuple[bytes, ...] | None:
    """The words in `pieces`, also split at NULs; None if there is something to expand."""
    words: list[bytes] = []
    current: bytes | None = None
    for piece in pieces:
        if isinstance(piece, bytes):
            current = piece if current is None else current + piece
        elif piece[0] == BREAK:
            if current is not None:
                words += current.split(b"\0")
            current = None
        else:
            return None
    if current is not None:
        words += current.split(b"\0")
    return tuple(words)


def static_count(pieces: Pieces, *, passing: bool = False) -> int:
    """The count of a start line, as far as it is known without expansion.

    The lines of a recipe are told apart before anything is expanded: `:$FLAGS` counts as the
    modern form, in which every condition has a `*`, unless it is passed over (`passing`).
    """
    first = next((piece for piece in pieces if isinstance(piece, bytes) or piece[0] not in (BAD, HASH)), b"")
    if not isinstance(first, bytes) and not passing:
        return 0
    return read(static_words(pieces)).count


def static_words(pieces: Pieces) -> tuple[bytes, ...]:
    """The words in `pieces` as procmail reads them in a block that it skips.

    Variables and backquotes expand to nothing there, and every alternative to its own text.
    """
    kept: list[bytes | tuple[int]] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            kept.append(piece)
        elif piece[0] == BREAK:
            kept.append((BREAK,))
        elif piece[0] == ARGUMENTS:
            kept.append(b"")
        elif piece[0] == HASH:
            begins = not kept or kept[-1] == (BREAK,)
            if begins and not piece[1]:
                break
            kept.append(b"#" if begins or not piece[1] else b"\\#")
        elif piece[0] == ESCAPED:
            kept.append(b"()")  # an escaped value begins so, even an empty one
    return split_words(tuple(kept)) or ()


def _split(words: tuple[bytes, ...]) -> tuple[bytes, bool, tuple[bytes, ...]]:
    """The text before the second colon, whether there is one, and the words after it."""
    for index, word in enumerate(words):
        before, colon, after = word.partition(b":")
        if colon:
            return b" ".join((*words[:index], before)), True, (after, *words[index + 1 :])
    return b" ".join(words), False, ()


def count_of(number: int | None, flags: int) -> int:
    """How many lines are conditions even without a `*`; `number` is the number before the flags, if any."""
    # A number that is negative as C's int counts as missing.
    if number is not None and as_int(number) >= 0:
        return as_int(number)
    return 0 if flags & (ALSO | ALSO_SUCCEEDED | ELSE | ELSE_FAILED) else 1
