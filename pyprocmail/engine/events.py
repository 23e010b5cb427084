"""The events of a stream as values, for readers that keep them: tests, explain, coverage, JSON.

Each has the exact place (rcfile or filter file, byte offset) that it is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyprocmail.delivery.results import Delivered, Failed
    from pyprocmail.engine.trace import Finding, Place, Trace
    from pyprocmail.message.model import Message


@dataclass(frozen=True, slots=True)
class RcfileEntered:
    """An rcfile begins."""

    path: bytes


@dataclass(frozen=True, slots=True)
class RcfileLeft:
    """An rcfile ends; `ending` says how."""

    path: bytes
    ending: str


@dataclass(frozen=True, slots=True)
class RecipeBegun:
    """A recipe with these flags begins; its conditions follow."""

    place: Place
    flags: int


@dataclass(frozen=True, slots=True)
class RecipePassed:
    """The rules from the place to the offset `until` are passed over, for the `reason` in engine/trace."""

    place: Place
    until: int
    reason: str


@dataclass(frozen=True, slots=True)
class ConditionTested:
    """A condition was tested."""

    place: Place
    finding: Finding


@dataclass(frozen=True, slots=True)
class Assigned:
    """A variable got a value; None: it was removed."""

    place: Place
    name: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class ProgramRan:
    """A program ended; `status` is None if it was not waited for, `timed_out`: TIMEOUT ended it."""

    place: Place
    line: bytes
    status: int | None
    timed_out: bool


@dataclass(frozen=True, slots=True)
class LockTaken:
    """A lockfile was taken."""

    place: Place
    path: bytes


@dataclass(frozen=True, slots=True)
class MailReplaced:
    """A filter replaced the mail by this."""

    place: Place
    message: Message


@dataclass(frozen=True, slots=True)
class Stored:
    """The mail is in `folder`, `size` bytes of it; with `copy` processing continues."""

    place: Place
    message: Message
    folder: bytes
    size: int
    copy: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The folder did not take the mail."""

    place: Place
    folder: bytes
    reason: str
    temporary: bool


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A program, or with `!` the mail server, has the mail; with `copy` processing continues."""

    place: Place
    message: Message
    line: bytes
    size: int
    copy: bool


@dataclass(frozen=True, slots=True)
class Cloned:
    """A clone runs with a copy of the mail; `waited`: the original waits for it."""

    place: Place
    waited: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """The fate of the mail is decided: where it went, as the abstract shows it."""

    message: Message
    folder: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Noted:
    """The reference's own words: a kind of the language's table, and its texts."""

    place: Place
    kind: str
    texts: tuple[bytes | int, ...]


Event = (
    RcfileEntered
    | RcfileLeft
    | RecipeBegun
    | RecipePassed
    | ConditionTested
    | Assigned
    | ProgramRan
    | LockTaken
    | MailReplaced
    | Stored
    | Refused
    | Forwarded
    | Cloned
    | Settled
    | Noted
)


def record(trace: Trace, *, words: bool = False) -> list[Event]:
    """The list to which every event of the stream is appended from now on; with `words` Noted, too."""
    events: list[Event] = []
    add = events.append

    def stored(place: Place, message: Message, done: Delivered, copy: bool) -> None:
        add(Stored(place, message, done.folder, done.size, copy))

    def refused(place: Place, failed: Failed) -> None:
        add(Refused(place, failed.folder, failed.reason, failed.temporary))

    def noted(kind: str, texts: tuple[bytes | int, ...]) -> None:
        add(Noted(trace.place, kind, texts))

    trace.entered.append(lambda path: add(RcfileEntered(path)))
    trace.left.append(lambda path, ending: add(RcfileLeft(path, ending)))
    trace.begun.append(lambda place, flags: add(RecipeBegun(place, flags)))
    trace.passed.append(lambda place, until, reason: add(RecipePassed(place, until, reason)))
    trace.tested.append(lambda place, finding: add(ConditionTested(place, finding)))
    trace.assigned.append(lambda place, name, value: add(Assigned(place, name, value)))
    trace.ran.append(lambda place, line, status, timed_out: add(ProgramRan(place, line, status, timed_out)))
    trace.locked.append(lambda place, path: add(LockTaken(place, path)))
    trace.replaced.append(lambda place, message: add(MailReplaced(place, message)))
    trace.stored.append(stored)
    trace.refused.append(refused)
    trace.forwarded.append(lambda place, message, line, size, copy: add(Forwarded(place, message, line, size, copy)))
    trace.cloned.append(lambda place, waited: add(Cloned(place, waited)))
    trace.settled.append(lambda message, folder, size: add(Settled(message, folder, size)))
    if words:
        trace.noted.append(noted)
    return events
