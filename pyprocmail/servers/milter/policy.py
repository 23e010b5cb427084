"""A milter whose rules decide: the input of the rules, when they run, and the replies to the mail server.

Rules run in workers, never here.  They run as soon as all that they look at is known: after the recipients, after the
header, or at the end.  Changes can be sent at the end only.
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
"""The position of the letter in a packet."""
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
"""Macros of the mail server that also have a variable with a plain name."""
_ORDER = b"CHMRTNE"
"""The commands that have macros, in the order of a dialogue."""
_LONGEST_MACRO = 8192
_IN_NAME = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


class Stage(Enum):
    """The step at which all that the rules look at is known."""

    ENVELOPE = "after the recipients"
    HEADER = "at the end of the header"
    BODY = "at the end of the mail"

    @property
    def depth(self) -> int:
        """The position in the dialogue: larger for a later stage."""
        return list(Stage).index(self)


REFUSALS = {
    OnError.ACCEPT: b"",
    OnError.TEMPFAIL: LATER + b" The rules failed",
    OnError.REJECT: b"554 5.3.0 The rules failed",
}


class Workers(Protocol):
    """The workers that run the rules; see Pool."""

    def ask(self, payload: bytes, fd: int = -1) -> asyncio.Future[bytes]:
        """Have a job done."""


class Policy:
    """The state that all conversations of a milter share.

    `mail` are the workers for whole mails, None without such rules; `recipient` are those for single recipients.
    `stage` returns the stage of the rules as they are now.  `heard` logs an accepted mail and closes it; None without
    a log.
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
        """A new conversation with this policy."""
        return Conversation(self)

    def protocol(self, stage: Stage) -> int:
        """The steps that we do not need, or do not reply to."""
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
        """The decision of the rules, or the one of `--on-error` if they fail."""
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
        """The decision, or that of `--on-error` if it failed."""
        if not decision.failed:
            return decision
        self._metrics.add("policy_failures_total")
        self.complain(f"the rules decided nothing: {decision.failed}")
        return Decision(refusal=self._refusal)

    def complain(self, text: str) -> None:
        """Report to the administrator, each text at most once a minute."""
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
    """Give the mail to a worker, in the mail's file: the case follows the body, and the decision follows the case."""
    packed = case.pack()
    mail.body.seek(mail.kept_bytes)
    mail.body.write(packed)
    mail.body.flush()
    fd = mail.body.fileno()
    answer = await workers.ask(marshal.dumps((mail.kept_bytes, len(packed))), fd)
    if mail.body.closed:
        raise OSError("the mail server closed the connection")
    decision = Decision.unpack(read(fd, mail.kept_bytes + len(packed), int(answer)))
    # Further pieces of the body belong at this place.
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
        """Forget the present mail."""
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

    # -- the input of the rules ------------------------------------------------------------

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
        """The answer about a recipient; changes are kept until the end of the mail."""
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
        """The recipients of the mail after the rules for single recipients."""
        found = (self._rewritten.get(address, [address]) for address in mail.recipients)
        return [address for addresses in found for address in addresses]

    # -- the mail --------------------------------------------------------------------------

    def _early(self, stage: Stage, silent: int) -> Iterator[Reply]:
        """Run the rules now if this is their stage."""
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
        """The decision about the whole mail; it fails if the rules now need more than this connection sends."""
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
        """All packets of the answer about a mail."""
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
    """A reply of ours; the milter protocol requires each % to be doubled."""
    return codec.reply(refusal.replace(b"%", b"%%"))


def _bare(address: bytes) -> bytes:
    return address.removeprefix(b"<").removesuffix(b">")


def _as_variable(name: bytes) -> bytes:
    return bytes(byte if byte in _IN_NAME else 0x5F for byte in name.upper())
