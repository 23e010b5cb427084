"""A milter whose rules decide: what they are told of a mail, when they are asked, and what the mail server hears.

Rules run in workers, never here.  They are asked as early as what they look at allows: after the recipients, after the
header, or at the end.  What they changed can only be said at the end.
"""

from __future__ import annotations

import asyncio
import marshal
import time
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Protocol

from pyprocmail.exits import in_one_line
from pyprocmail.servers.lmtp.pool import WorkerError
from pyprocmail.servers.lmtp.replies import LATER
from pyprocmail.servers.metrics import Metrics
from pyprocmail.servers.milter import codec, edits
from pyprocmail.servers.milter.conversation import Mail, Reply
from pyprocmail.servers.milter.deciding import Case, Decision, read
from pyprocmail.servers.milter.journal import COMPLAINT_S
from pyprocmail.servers.outcome import OnError

ALL_ACTIONS = (
    codec.ADD_HEADERS
    | codec.CHANGE_BODY
    | codec.ADD_RECIPIENTS
    | codec.DELETE_RECIPIENTS
    | codec.CHANGE_HEADERS
    | codec.QUARANTINE
    | codec.CHANGE_SENDER
)
_NEEDED = {
    b"h": codec.ADD_HEADERS, b"i": codec.ADD_HEADERS, b"m": codec.CHANGE_HEADERS, b"b": codec.CHANGE_BODY,
    b"+": codec.ADD_RECIPIENTS, b"-": codec.DELETE_RECIPIENTS, b"e": codec.CHANGE_SENDER, b"q": codec.QUARANTINE,
}  # fmt: skip
_LETTER = 4
"""Where the letter of a packet is."""
_SILENT = (
    codec.NO_UNKNOWN
    | codec.NO_REPLY_CONNECT
    | codec.NO_REPLY_HELO
    | codec.NO_REPLY_MAIL
    | codec.NO_REPLY_HEADER
    | codec.NO_REPLY_BODY
)
_NAMES = {
    b"i": b"QUEUE_ID", b"auth_authen": b"LOGIN", b"auth_type": b"LOGIN_METHOD", b"tls_version": b"TLS_VERSION",
    b"cipher": b"TLS_CIPHER", b"cert_subject": b"TLS_SUBJECT", b"cert_issuer": b"TLS_ISSUER",
}  # fmt: skip
"""Macros of the mail server that have a name of their own."""
_ORDER = b"CHMRTNE"
"""The commands that macros come before, in the order of a dialogue."""
_LONGEST_MACRO = 8192
_IN_NAME = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


class Stage(Enum):
    """When the rules know all that they look at."""

    ENVELOPE = "after the recipients"
    HEADER = "at the end of the header"
    BODY = "at the end of the mail"

    @property
    def depth(self) -> int:
        """Larger for one that comes later."""
        return list(Stage).index(self)


REFUSALS = {
    OnError.ACCEPT: b"",
    OnError.TEMPFAIL: LATER + b" The rules failed",
    OnError.REJECT: b"554 5.3.0 The rules failed",
}


class Workers(Protocol):
    """Who runs the rules; see Pool."""

    def ask(self, payload: bytes, fd: int = -1) -> asyncio.Future[bytes]:
        """Have a job done."""


class Policy:
    """What all conversations of a milter share.

    `mail` are the workers for a whole mail, None without rules for it; `recipient` those for each recipient.  `stage`
    is when the rules know all they look at, as they are now.  `heard` logs a mail that is accepted, and closes it; None
    without a log.
    """

    def __init__(
        self,
        mail: Workers | None,
        recipient: Workers | None,
        stage: Callable[[], Stage],
        on_error: OnError,
        metrics: Metrics,
        complain: Callable[[str], None],
        heard: Callable[[Mail], None] | None,
    ) -> None:
        self.mail = mail
        self.recipient = recipient
        self.stage = stage
        self.heard = heard
        self._refusal = REFUSALS[on_error]
        self._metrics = metrics
        self._complain = complain
        self._complained: dict[str, float] = {}

    def converse(self) -> Conversation:
        """A conversation."""
        return Conversation(self)

    def protocol(self, stage: Stage) -> int:
        """The steps that we do without, or do not answer."""
        wanted = _SILENT
        if self.mail is None or stage != Stage.ENVELOPE:
            wanted |= codec.NO_DATA
        if self.mail is None or stage != Stage.HEADER:
            wanted |= codec.NO_END_OF_HEADERS
        if self.recipient is None:
            wanted |= codec.NO_REPLY_RECIPIENT
        if self.heard is None:
            if self.mail is None or stage == Stage.ENVELOPE:
                wanted |= codec.NO_HEADERS
            if self.mail is None or stage != Stage.BODY:
                wanted |= codec.NO_BODY
        return wanted

    async def decide(self, workers: Workers, mail: Mail, case: Case) -> Decision:
        """What the rules decide, or what is done when they do not."""
        try:
            if mail.cut:
                raise OSError("the mail is too large to be kept whole")
            decision = await _ask(workers, mail, case)
        except (OSError, ValueError, TypeError, EOFError, MemoryError, WorkerError) as error:
            decision = Decision(failed=in_one_line(error))
        for note in decision.notes:
            self.complain(note.decode("utf-8", "replace"))
        return self.settle(decision)

    def settle(self, decision: Decision) -> Decision:
        """A decision in the place of one that failed."""
        if not decision.failed:
            return decision
        self._metrics.add("policy_failures_total")
        self.complain(f"the rules decided nothing: {decision.failed}")
        return Decision(refusal=self._refusal)

    def complain(self, text: str) -> None:
        """Tell the administrator, the same not more than once a minute."""
        now = time.monotonic()
        if now - self._complained.get(text, -COMPLAINT_S) >= COMPLAINT_S:
            if len(self._complained) > 1000:
                self._complained.clear()
            self._complained[text] = now
            self._complain(text)

    def count(self, what: str) -> None:
        """Count an answer: accepted, refused, deferred, discarded or held."""
        self._metrics.add(f"{what}_total")


async def _ask(workers: Workers, mail: Mail, case: Case) -> Decision:
    """Give the mail to a worker: in its own file, with the case behind the body, and the decision behind that."""
    packed = case.pack()
    mail.body.seek(mail.kept_bytes)
    mail.body.write(packed)
    mail.body.flush()
    fd = mail.body.fileno()
    answer = await workers.ask(marshal.dumps((mail.kept_bytes, len(packed))), fd)
    if mail.body.closed:
        raise OSError("the mail server closed the connection")
    decision = Decision.unpack(read(fd, mail.kept_bytes + len(packed), int(answer)))
    # What comes of the body, if there is more of it, belongs here.
    mail.body.seek(mail.kept_bytes)
    mail.body.truncate()
    return decision


class Conversation:
    """One connection of a mail server."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._mail: Mail | None = None
        self._silent = 0
        self._actions = 0
        self._stage = Stage.BODY
        self._client: dict[bytes, bytes] = {}
        self._macros: dict[bytes, Mapping[bytes, bytes]] = {}
        self._parameters: list[bytes] = []
        self._decision: Decision | None = None
        self._rewritten: dict[bytes, list[bytes]] = {}
        self.ended = False
        self.takes_long = False

    def answer(self, event: codec.Event) -> Iterator[Reply]:
        """The reply to an event; see Talk."""
        mail = self._mail
        if isinstance(event, codec.Body):
            if mail is not None:
                mail.add_body(event.chunk)
            yield from self._go_on(codec.NO_REPLY_BODY)
        elif isinstance(event, codec.Header):
            if mail is not None:
                mail.add_field(event.name, event.value)
            yield from self._go_on(codec.NO_REPLY_HEADER)
        elif isinstance(event, codec.Macros):
            self._macros[event.command] = event.values
        elif isinstance(event, codec.Recipient):
            yield from self._recipient(event)
        elif isinstance(event, codec.MailFrom):
            self.abandon()
            self._mail = Mail(event.sender)
            self._parameters = list(event.parameters)
            yield from self._go_on(codec.NO_REPLY_MAIL)
        elif isinstance(event, codec.EndOfMessage):
            yield from self._end(event)
        elif isinstance(event, codec.EndOfHeaders):
            yield from self._early(Stage.HEADER, codec.NO_REPLY_END_OF_HEADERS)
        elif isinstance(event, codec.Data):
            yield from self._early(Stage.ENVELOPE, codec.NO_REPLY_DATA)
        elif isinstance(event, codec.Connect):
            self._client = {
                b"CLIENT_NAME": event.host, b"CLIENT_ADDRESS": event.address, b"CLIENT_PORT": b"%d" % event.port,
            }  # fmt: skip
            yield from self._go_on(codec.NO_REPLY_CONNECT)
        elif isinstance(event, codec.Helo):
            self._client[b"HELO"] = event.name
            yield from self._go_on(codec.NO_REPLY_HELO)
        else:
            yield from self._otherwise(event)

    def _otherwise(self, event: codec.Event) -> Iterator[Reply]:
        if isinstance(event, codec.Negotiate):
            self._stage = self._policy.stage()
            wanted = self._policy.protocol(self._stage)
            self._silent = wanted & event.protocol
            self._actions = ALL_ACTIONS & event.actions
            yield codec.negotiate(event, self._actions, wanted)
        elif isinstance(event, codec.Abort):
            self.abandon()
        elif isinstance(event, codec.Quit):
            self.abandon()
            self._client, self._macros = {}, {}
            self.ended = not event.again
        else:
            yield codec.CONTINUE

    def _go_on(self, silent: int) -> Iterator[Reply]:
        if not self._silent & silent:
            yield codec.CONTINUE

    def abandon(self) -> None:
        """The mail comes to nothing."""
        if self._mail is not None:
            self._mail.close()
        self._forget()

    def _forget(self) -> None:
        self._mail = None
        self._decision = None
        self._rewritten = {}
        self.takes_long = False
        for command in b"MRTNE":
            if command != ord("M"):
                self._macros.pop(bytes([command]), None)

    # -- what the rules are told -----------------------------------------------------------

    def _case(self, mail: Mail, recipients: list[bytes], *, header: bool = True) -> Case:
        told = {b"HELO": b"", **self._client, b"MAIL_PARAMETERS": b" ".join(self._parameters)}
        told.update(dict.fromkeys(_NAMES.values(), b""))
        for command in _ORDER:
            for name, value in self._macros.get(bytes([command]), {}).items():
                value = value[:_LONGEST_MACRO]
                told[b"MILTER_" + _as_variable(name)] = value
                if name in _NAMES:
                    told[_NAMES[name]] = value
        head = bytes(mail.header) if header else b""
        return Case(_bare(mail.sender), [_bare(one) for one in recipients], told, head)

    # -- each recipient --------------------------------------------------------------------

    def _recipient(self, event: codec.Recipient) -> Iterator[Reply]:
        mail, workers = self._mail, self._policy.recipient
        if mail is None or workers is None:
            if mail is not None:
                mail.recipients.append(event.address)
            yield from self._go_on(codec.NO_REPLY_RECIPIENT)
            return
        yield asyncio.ensure_future(self._judge_recipient(mail, workers, event.address))

    async def _judge_recipient(self, mail: Mail, workers: Workers, address: bytes) -> bytes:
        """The answer about a recipient; what is to be changed is remembered for the end."""
        empty = Mail(mail.sender)
        try:
            decision = await self._policy.decide(workers, empty, self._case(mail, [address], header=False))
        finally:
            empty.close()
        if decision.refusal:
            self._policy.count("recipients_refused")
            return _reply(decision.refusal)
        mail.recipients.append(address)
        if decision.discarded:
            self._rewritten[address] = []
        elif decision.recipients is not None or decision.added:
            kept = [address] if decision.recipients is None else decision.recipients
            self._rewritten[address] = [*kept, *decision.added]
        return codec.CONTINUE

    def _recipients(self, mail: Mail) -> list[bytes]:
        """Who gets the mail, as far as the rules for recipients are concerned."""
        found = (self._rewritten.get(address, [address]) for address in mail.recipients)
        return [address for addresses in found for address in addresses]

    # -- the mail --------------------------------------------------------------------------

    def _early(self, stage: Stage, silent: int) -> Iterator[Reply]:
        """The rules have all they look at, if that is their stage."""
        workers = self._policy.mail
        if self._mail is None or workers is None or self._stage != stage or self._decision is not None:
            yield from self._go_on(silent)
            return
        yield asyncio.ensure_future(self._judge_early(self._mail, workers))

    async def _judge_early(self, mail: Mail, workers: Workers) -> bytes:
        decision = await self._decide(mail, workers)
        if decision.refusal or decision.discarded:
            return self._final(mail, decision)
        self._decision = decision
        if decision.changes or self._rewritten or self._policy.heard is not None:
            return codec.CONTINUE
        self._policy.count("accepted")
        return codec.ACCEPT

    async def _decide(self, mail: Mail, workers: Workers) -> Decision:
        """What the rules decide of the whole mail; they may have been changed since the mail server connected."""
        if self._policy.stage().depth > self._stage.depth:
            return self._policy.settle(Decision(failed="they were changed, and look at what this connection left out"))
        return await self._policy.decide(workers, mail, self._case(mail, self._recipients(mail)))

    def _end(self, event: codec.EndOfMessage) -> Iterator[Reply]:
        mail = self._mail
        if mail is None:
            yield codec.CONTINUE
            return
        if event.chunk:
            mail.add_body(event.chunk)
        if self._decision is None and self._policy.mail is not None:
            self.takes_long = True
            task = asyncio.ensure_future(self._judge(mail, self._policy.mail))
            yield task
            accepted = self._decision is not None
        else:
            self._decision = self._decision or Decision()
            yield self._final(mail, self._decision)
            accepted = True
        if accepted and self._policy.heard is not None:
            self._policy.heard(mail)
        else:
            mail.close()
        self._forget()

    async def _judge(self, mail: Mail, workers: Workers) -> bytes:
        decision = await self._decide(mail, workers)
        if not decision.refusal and not decision.discarded:
            self._decision = decision
        return self._final(mail, decision)

    def _final(self, mail: Mail, decision: Decision) -> bytes:
        """All that is to be said of a mail."""
        packets = [] if decision.refusal or decision.discarded else self._changes(mail, decision)
        if any(_NEEDED[one[_LETTER : _LETTER + 1]] & ~self._actions for one in packets):
            decision = self._policy.settle(Decision(failed="the mail server does not allow what the rules do"))
            packets = []
        if decision.refusal:
            self._policy.count("deferred" if decision.refusal.startswith(b"4") else "refused")
            return _reply(decision.refusal)
        to_nobody = self._rewritten and not self._recipients(mail) and not decision.recipients
        if decision.discarded or to_nobody:
            self._policy.count("discarded")
            return codec.DISCARD
        self._policy.count("accepted" if decision.held is None else "held")
        return b"".join(packets) + codec.CONTINUE

    def _changes(self, mail: Mail, decision: Decision) -> list[bytes]:
        packets = list(decision.header)
        if decision.body is not None:
            packets += codec.replace_body(decision.body)
        if decision.sender is not None:
            packets.append(edits.of_sender(decision.sender))
        recipients = self._recipients(mail) if decision.recipients is None else decision.recipients
        packets += edits.of_recipients(mail.recipients, [*recipients, *decision.added])
        if decision.held is not None:
            packets.append(codec.quarantine(decision.held.translate(None, b"\r\n\0")))
        return packets


def _reply(refusal: bytes) -> bytes:
    """A reply of ours; to the mail server a % stands for itself only if there are two."""
    return codec.reply(refusal.replace(b"%", b"%%"))


def _bare(address: bytes) -> bytes:
    return address.removeprefix(b"<").removesuffix(b">")


def _as_variable(name: bytes) -> bytes:
    return bytes(byte if byte in _IN_NAME else 0x5F for byte in name.upper())
