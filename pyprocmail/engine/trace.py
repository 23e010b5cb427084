"""The stream of one session: an interpreter reports each step at the moment when it takes it.

A reader (the log, explain, coverage, a test) appends a function of its own to the list of each kind of
event that it wants.  An event without a reader is not even made.  A reader never steers the
run.  `engine/events` has the same events as values, for readers that keep them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from pyprocmail.delivery.results import Delivered, Failed
    from pyprocmail.matching.regex import Area, Match
    from pyprocmail.message.model import Message

    Place: TypeAlias = tuple[bytes, int]


PATTERN, PROGRAM, SIZE, EXPRESSION = "pattern", "program", "size", "expression"
"""The kinds of condition a Finding is about."""
WHOLE, VALUE = "whole", "value"
"""In filter files: the whole condition of an `if` or `while`, and a comparison in an expression."""


class Finding:
    """The result of testing one condition.  The test changes nothing; the interpreter applies the Finding.

    `written` is the condition as the rcfile has it, `shown` as the log shows it: expanded.  `negated` is its `!`.
    `held`: whether it is true; with a weight, whether it counted anything.  `area` names the text that was searched (H,
    B, HB, a variable; empty for the size of the whole mail), `searched` is that text, None if a program read it or only
    its size counted.

    Scores: `weight` is w and x of `w^x`, `before` and `after` are the score of the recipe.

    MATCH: `match` is the place of its new value in `searched`, None if it keeps its value; `matches` are all values
    assigned in turn, collected only if the log shows them.  `assigns`: MATCH had no value before.

    An expression is the condition of maildrop's `if` or `while`, or a part of it without &&
    and ||; `searched` is its value.

    A program: `status` is its exit code, or minus a signal.  A size: `size` and `limit` in bytes.

    `silent`: the reference does not log it, since the score is decided or the condition could not be read.
    `too_long`: the expanded condition exceeds LINEBUF, so the recipe does not match, whatever its score.
    """

    __slots__ = (
        "kind", "written", "shown", "negated", "held", "area", "searched", "weight", "before", "after",
        "match", "matches", "assigns", "status", "size", "limit", "silent", "too_long",
    )  # fmt: skip

    def __init__(self, kind: str, written: bytes, shown: bytes, *, negated: bool, held: bool) -> None:
        self.kind = kind
        self.written = written
        self.shown = shown
        self.negated = negated
        self.held = held
        self.area = b""
        self.searched: Area | None = None
        self.weight: tuple[float, float] | None = None
        self.before = 0.0
        self.after = 0.0
        self.match: Match | None = None
        self.matches: list[Match] = []
        self.assigns = False
        self.status = 0
        self.size = 0
        self.limit = 0
        self.silent = False
        self.too_long = False

    def matched(self, match: Match) -> bytes:
        """The new value of MATCH."""
        assert self.searched is not None
        return self.searched.part(match.start, match.end).partition(b"\0")[0]

    @property
    def text(self) -> bytes | None:
        """The text that was searched; each call makes a copy."""
        return None if self.searched is None else self.searched.text


class Trace:
    """The stream of one session.

    `rcfile` and `offset` are the place in the rules where the interpreter is; each event gets the exact place that it
    is about.  `verbose`: VERBOSE is on, so the log also reports what did not happen.
    `log_noted` and `log_tested` are procmail's log: unlike a reader in the lists it gets assignments and
    conditions only while VERBOSE is on.
    """

    __slots__ = (
        "rcfile", "offset", "verbose", "log_noted", "log_tested", "noted", "entered", "left", "begun", "passed",
        "tested", "assigned", "ran", "locked", "replaced", "stored", "refused", "forwarded", "cloned", "settled",
    )  # fmt: skip

    def __init__(self) -> None:
        self.rcfile = b""
        self.offset = 0
        self.verbose = False
        self.log_noted: Callable[[str, tuple[bytes | int, ...]], None] | None = None
        self.log_tested: Callable[[Place, Finding], None] | None = None
        self.noted: list[Callable[[str, tuple[bytes | int, ...]], None]] = []
        """The reference's own words: a kind of the language's table, and its texts."""
        self.entered: list[Callable[[bytes], None]] = []
        """An rcfile begins."""
        self.left: list[Callable[[bytes, str], None]] = []
        """An rcfile ends, and how."""
        self.begun: list[Callable[[Place, int], None]] = []
        """A recipe with these flags begins: its conditions follow."""
        self.passed: list[Callable[[Place, int, str], None]] = []
        """The rules from the place to that offset are passed over, because of CHAIN, BLOCK or CANNOT_MATCH."""
        self.tested: list[Callable[[Place, Finding], None]] = []
        """A condition was tested."""
        self.assigned: list[Callable[[Place, bytes, bytes | None], None]] = []
        """A variable gets a value, or None: it is removed."""
        self.ran: list[Callable[[Place, bytes, int | None, bool], None]] = []
        """A program ended: its command line, its status (None: not waited for), and whether TIMEOUT ended it."""
        self.locked: list[Callable[[Place, bytes], None]] = []
        """A lockfile was taken."""
        self.replaced: list[Callable[[Place, Message], None]] = []
        """A filter replaced the mail by this."""
        self.stored: list[Callable[[Place, Message, Delivered, bool], None]] = []
        """The mail is in a folder; whether it is a copy, after which processing continues."""
        self.refused: list[Callable[[Place, Failed], None]] = []
        """A folder did not take the mail."""
        self.forwarded: list[Callable[[Place, Message, bytes, int, bool], None]] = []
        """A program, or with `!` the mail server, has the mail: its command line, the bytes it got, whether a copy."""
        self.cloned: list[Callable[[Place, bool], None]] = []
        """A clone runs with a copy of the mail; whether the original waits for it."""
        self.settled: list[Callable[[Message, bytes, int], None]] = []
        """The fate of the mail is decided: the mail as the abstract shows it, where it went, how many bytes."""

    @property
    def place(self) -> Place:
        """Where the interpreter is."""
        return self.rcfile, self.offset

    def set_verbose(self, on: bool) -> None:
        """Handle SIGUSR1 and SIGUSR2.  procmail(1), SIGNALS."""
        self.verbose = on

    def note(self, kind: str, *texts: bytes | int) -> None:
        """Report in the reference's words what happens now: before a step that may wait, so that the log shows why."""
        if self.log_noted is not None:
            self.log_noted(kind, texts)
        for hear in self.noted:
            hear(kind, texts)


CHAIN, BLOCK, CANNOT_MATCH = "chain", "block", "cannot match"
"""Why recipes are passed over: flag A, a, E or e; the conditions of a block do not match; a search for the
patterns of many recipes at once found none of theirs."""
