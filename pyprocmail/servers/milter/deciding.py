"""A policy worker's part: it runs one mail through the rules, and returns their decision as plain data.

A job is a file: the body as the mail server sent it, followed by the Case, the other data of the mail.  The worker
appends the Decision.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from pyprocmail.host import Host
from pyprocmail.message.model import Message
from pyprocmail.servers.lmtp.ledger import Ledger, WorkerHost
from pyprocmail.servers.milter import edits
from pyprocmail.servers.outcome import Kind, Sending
from pyprocmail.servers.policy import Question, Rules

_PIECE = 1 << 20
_LONGEST_VALUE = 100_000
"""A program cannot be given a variable of 128 kB or more."""


@dataclass(frozen=True, slots=True)
class Case:
    """A mail without its body: addresses without brackets, variables, the header with LF."""

    sender: bytes
    recipients: Sequence[bytes]
    variables: Mapping[bytes, bytes]
    head: bytes

    def pack(self) -> bytes:
        """As bytes, for a worker."""
        return marshal.dumps((self.sender, list(self.recipients), dict(self.variables), self.head))

    @classmethod
    def unpack(cls, data: bytes) -> Case:
        """Restore the value from the bytes of `pack`."""
        return cls(*marshal.loads(data))  # noqa: S302  from a process of ours


@dataclass(slots=True)
class Decision:
    """What the rules decided.

    `failed` is why they did not decide, empty if they did.  `refusal` is a reply, empty if the mail is accepted.
    `header` are milter packets that change fields; `body` is the new body with CRLF, None for unchanged.  `sender` is
    the new sender, None for the old one.  `recipients` replace those of the envelope, None for unchanged; `added` are
    further ones.  `held` is the reason to quarantine the mail, None to let it pass.  `notes` are for the log.
    """

    failed: str = ""
    refusal: bytes = b""
    discarded: bool = False
    header: list[bytes] = field(default_factory=list)
    body: bytes | None = None
    sender: bytes | None = None
    recipients: list[bytes] | None = None
    added: list[bytes] = field(default_factory=list)
    held: bytes | None = None
    notes: list[bytes] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Whether the decision changes anything about an accepted mail."""
        return bool(
            self.header or self.body is not None or self.sender is not None or self.recipients is not None
            or self.added or self.held is not None
        )  # fmt: skip

    def pack(self) -> bytes:
        """As bytes, from a worker."""
        return marshal.dumps(tuple(getattr(self, name) for name in self.__slots__))

    @classmethod
    def unpack(cls, data: bytes) -> Decision:
        """Restore the value from the bytes of `pack`."""
        return cls(*marshal.loads(data))  # noqa: S302  from a process of ours


class Desk:
    """The worker's side: it loads the rules once in the life of the process."""

    def __init__(self, make: Callable[[Callable[[], Host]], Rules]) -> None:
        self._make = make
        self._rules: Rules | None = None

    def serve(self, job: bytes, fd: int, ledger: Ledger) -> bytes:
        """Do the job in the file `fd`, and append the decision; returns the decision's size."""
        body_size, case_size = marshal.loads(job)  # noqa: S302  from a process of ours
        if self._rules is None:
            self._rules = self._make(lambda: WorkerHost(ledger))
        body = read(fd, 0, body_size)
        case = Case.unpack(read(fd, body_size, case_size))
        decision = judge(self._rules, case, body).pack()
        write(fd, body_size + case_size, decision)
        return b"%d" % len(decision)


def read(fd: int, at: int, size: int) -> bytes:
    """That part of a file.  Several processes share its offset, so it is not used."""
    pieces = []
    while size > 0 and (piece := os.pread(fd, min(size, _PIECE), at)):
        pieces.append(piece)
        at += len(piece)
        size -= len(piece)
    return b"".join(pieces)


def write(fd: int, at: int, data: bytes) -> None:
    """Write the data at that place of the file; see `read`."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view[:_PIECE], at)
        at += written
        view = view[written:]


def judge(rules: Rules, case: Case, body: bytes) -> Decision:
    """Run the rules; the body has CRLF."""
    text = case.head + b"\n" + lines(body)
    one = case.recipients[0] if len(case.recipients) == 1 else b""
    told = {name: _as_value(value) for name, value in {**case.variables, b"RECIPIENT": one}.items()}
    outcome = rules.decide(Question(case.sender, case.recipients, text, told))
    found = Decision(notes=list(outcome.faults))
    match outcome.kind:
        case Kind.FAILED:
            found.failed = outcome.reason.decode("utf-8", "replace")
            if found.failed.startswith("signal "):
                found.failed += ": they took longer than --time-limit, or somebody ended them"
        case Kind.REFUSED:
            found.refusal = outcome.reply
        case Kind.DISCARDED:
            found.discarded = True
        case Kind.PASSED | Kind.QUARANTINED:
            if outcome.kind is Kind.QUARANTINED:
                found.held = outcome.reason or b"held by the rules"
            _apply(found, case, text, outcome.sendings)
        case _:
            assert_never(outcome.kind)
    return found


def lines(body: bytes) -> bytes:
    """The body with LF, as rules see it."""
    return body.replace(b"\r\n", b"\n")


def _as_value(value: bytes) -> bytes:
    return value[:_LONGEST_VALUE].partition(b"\0")[0]


def _apply(found: Decision, case: Case, text: bytes, sendings: Sequence[Sending]) -> None:
    """Reduce the sendings to what a milter can do: one text and one sender for all recipients."""
    own = next((one for one in reversed(sendings) if not one.copy), None)
    main = own or sendings[0]
    found.recipients = None if main.recipients is None else list(main.recipients)
    for one in sendings:
        if one is main:
            continue
        found.added += case.recipients if one.recipients is None else one.recipients
        if (one.sender, one.text) != (main.sender, main.text):
            found.notes.append(b"a copy cannot differ from the mail in text or sender: it gets the same as the mail")
    found.sender = None if main.sender == case.sender else main.sender
    if main.text != text:
        _compare(found, case, text, main.text)


def _compare(found: Decision, case: Case, before: bytes, after: bytes) -> None:
    """Find the changes that filters made to the mail."""
    new = Message(after)
    found.header = edits.of_header(edits.fields(case.head), edits.fields(new.head))
    was, body = before[len(case.head) + 1 :], new.body
    for text in (was, _escaped(was)):
        # Programs get the mail with an empty line at its end, and formail escapes lines that look like a From_ line.
        if body.startswith(text) and not body[len(text) :].strip(b"\n"):
            return
    if body.endswith(b"\n\n") and not was.endswith(b"\n\n"):
        body = body[:-1]
    found.body = lines(body).replace(b"\n", b"\r\n")


def _escaped(body: bytes) -> bytes:
    """The body with formail's escapes."""
    return (b"\n" + body).replace(b"\nFrom ", b"\n>From ")[1:]
