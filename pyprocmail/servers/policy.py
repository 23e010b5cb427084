"""Rules that decide about a mail and deliver nothing: runs an rcfile or a filter file and returns its Outcome.

The run is real: programs start, locks are taken, logs are written.  Only deliveries, to a folder or by `!`, are
recorded instead of made.  `outcome` has the table.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyprocmail.delivery.folder import MBOX, NULL_DEVICE, Folder
from pyprocmail.delivery.locks import Lock
from pyprocmail.delivery.results import Delivered
from pyprocmail.engine import world as engine
from pyprocmail.engine.programs import Ended
from pyprocmail.engine.rehearsed import EndedClone, RehearsedLock
from pyprocmail.exits import EX_OK, EX_USAGE, NotCompiledError
from pyprocmail.host import Host, User
from pyprocmail.maildrop import run as filters
from pyprocmail.maildrop import world as maildrop
from pyprocmail.maildrop.session import UnusableError
from pyprocmail.message.postmark import envelope_end
from pyprocmail.numerals import setting
from pyprocmail.procmail import run as rcfiles
from pyprocmail.procmail.interpreter import ABANDONED
from pyprocmail.procmail.rcfiles import SuspiciousError, locate
from pyprocmail.procmail.session import Session
from pyprocmail.procmail.start import Origin
from pyprocmail.servers.outcome import ACCEPT, QUARANTINE, Kind, Outcome, Sending, printable, reply_for

if TYPE_CHECKING:
    from pyprocmail.delivery.folder import Storing
    from pyprocmail.engine.programs import Chunk, Command, Runner
    from pyprocmail.engine.trace import Place, Trace
    from pyprocmail.engine.verdict import Verdict
    from pyprocmail.message.model import Message

    Note = Callable[..., None]

_NOBODY = b"MAILER-DAEMON"
"""The sender in the From_ line if the envelope sender is empty."""
_LONGEST_VALUE = 100_000
"""A program cannot be given a variable of 128 kB or more."""
_TRAP_DECIDES = -2
_LOCAL = rb'(?:"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"|[^\x00-\x20\x7f<>"(),;:\\]+)'
_ADDRESS = re.compile(_LOCAL + rb'(?:@[^\x00-\x20\x7f<>()",;\\]+)?')


@dataclass(frozen=True, slots=True)
class Question:
    """A mail for the rules to decide about: newlines are LF.  `variables` are further variables for them.

    The recipients are `$1`, `$2` and so on, and RECIPIENTS with blanks between them; RECIPIENT is the only one, empty
    if there are several; the sender is SENDER.
    """

    sender: bytes
    recipients: Sequence[bytes]
    text: bytes
    variables: Mapping[bytes, bytes] = field(default_factory=dict)

    def told(self) -> dict[bytes, bytes]:
        """All variables from the envelope, whose values a stranger may have chosen, made fit for an environment."""
        only = self.recipients[0] if len(self.recipients) == 1 else b""
        own = {b"SENDER": self.sender, b"RECIPIENT": only, b"RECIPIENTS": b" ".join(self.recipients)}
        found = {**self.variables, **own}
        return {name: value[:_LONGEST_VALUE].partition(b"\0")[0] for name, value in found.items()}


class _Noted:
    """The record of one run's decisions so far."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self.sender = question.sender
        self.default = ACCEPT
        self.exitcode: int | None = None
        """The EXITCODE that the rules set, which may leave the decision to the status of TRAP."""
        self.sendings: list[Sending] = []
        self.quarantine: bytes | None = None
        self.faults: list[bytes] = []
        self.abandoned = False
        """A line of the rules was longer than LINEBUF, and nothing after it was read."""
        self._changed = False
        self._clones = 0
        self._sent: tuple[bytes, tuple[bytes, ...], bytes] | None = None

    # -- while it runs -----------------------------------------------------------------------

    def listen(self, trace: Trace) -> None:
        """Subscribe to the events of the run."""
        trace.assigned.append(self._assigned)
        trace.replaced.append(self._replaced)
        trace.stored.append(self._stored)
        trace.forwarded.append(self._forwarded)
        trace.left.append(self._left)

    def _assigned(self, _place: Place, name: bytes, value: bytes | None) -> None:
        if name == b"SENDER":
            self._take_sender((value or b"").removeprefix(b"<").removesuffix(b">"))
        elif name == b"DEFAULT":
            self.default = value or b""
        elif name == b"EXITCODE":
            self.exitcode = None if value is None else setting(value, _TRAP_DECIDES)

    def _take_sender(self, address: bytes) -> None:
        """Set the sender.  Rules may compute it from the mail, so an invalid address goes to no other server."""
        if address in (b"", self._question.sender) or _ADDRESS.fullmatch(address):
            self.sender = address
        else:
            self.faults.append(b"SENDER=%b is not an address: the sender stays" % address)

    def _replaced(self, _place: Place, _message: Message) -> None:
        self._changed = True

    def _left(self, _rcfile: bytes, ending: str) -> None:
        self.abandoned = self.abandoned or (ending == ABANDONED and not self._clones)

    def _stored(self, _place: Place, message: Message, result: Delivered, copy: bool) -> None:
        self.keep(result.folder, message.data, copy=copy)

    def keep(self, folder: bytes, text: bytes, *, copy: bool) -> None:
        """Record a delivery to a folder."""
        if folder == NULL_DEVICE:
            return
        if folder.startswith(QUARANTINE) and not (copy or self._clones):
            self.quarantine = folder.removeprefix(QUARANTINE).strip()
        elif folder not in (ACCEPT, self.default):
            self.faults.append(
                b"the rules name the folder %b, but a policy stores no mail: the mail is passed on" % folder
            )
            if copy or self._clones:
                return
        self._add(self.sender, None, text, copy=copy)

    def _forwarded(self, _place: Place, _message: Message, _line: bytes, _size: int, copy: bool) -> None:
        # Without a preceding `send` this is a pipe: the program has taken the mail.
        if self._sent is not None:
            self.sent(copy=copy)

    def send(self, words: Sequence[bytes], text: bytes) -> bool:
        """Prepare a `!` with these words; false if they name no address.  `sent` records it when it is done."""
        named = _addresses(words)
        if named is None:
            return False
        sender, addresses = named
        self._sent = self.sender if sender is None else sender, addresses, text
        return True

    def sent(self, *, copy: bool) -> None:
        """Record the sending that `send` prepared."""
        assert self._sent is not None
        self._add(*self._sent, copy=copy)
        self._sent = None

    def _add(self, sender: bytes, recipients: tuple[bytes, ...] | None, text: bytes, *, copy: bool) -> None:
        sending = Sending(sender, recipients, self._as_it_came(text), copy or self._clones > 0)
        if sending not in self.sendings:
            self.sendings.append(sending)

    def _as_it_came(self, text: bytes) -> bytes:
        """The text without its From_ line, and without the newline that is added for a program's input."""
        came = self._question.text
        text = text[envelope_end(text) :]
        if not self._changed and text.strip(b"\n") == came[envelope_end(came) :].strip(b"\n"):
            return came
        body, own = came[_body_at(came) :], text[_body_at(text) :]
        return text[:-1] if body and own == body + b"\n" else text

    def clone(self, run: Callable[[], int]) -> int:
        """Run a clone to its end; its assignments do not affect the caller."""
        before = self.sender, self.default, self.exitcode, self._changed
        here, mask = os.getcwd(), os.umask(0)
        os.umask(mask)
        self._clones += 1
        try:
            return run()
        finally:
            self._clones -= 1
            self.sender, self.default, self.exitcode, self._changed = before
            os.umask(mask)
            os.chdir(here)

    # -- afterwards --------------------------------------------------------------------------

    def _chose(self, status: int) -> bool:
        """Whether the rules chose this exit status, and it is not that of a failure."""
        return self.exitcode == _TRAP_DECIDES or (self.exitcode is not None and self.exitcode & 0xFF == status)

    def outcome(self, verdict: Verdict) -> Outcome:
        """The outcome of the run."""
        faults = tuple(map(printable, self.faults))
        status = verdict.status
        if self.abandoned:
            return Outcome(Kind.FAILED, reason=b"a line of the rules is longer than LINEBUF", faults=faults)
        if status != EX_OK and not self._chose(status):
            return Outcome(Kind.FAILED, reason=verdict.reason() or b"exit status %d" % status, faults=faults)
        if status != EX_OK:
            return Outcome(Kind.REFUSED, reply=reply_for(status, verdict.reply), faults=faults)
        sendings = tuple(self.sendings)
        if self.quarantine is not None:
            return Outcome(Kind.QUARANTINED, sendings, reason=printable(self.quarantine), faults=faults)
        return Outcome(Kind.PASSED if sendings else Kind.DISCARDED, sendings, faults=faults)


def _body_at(text: bytes) -> int:
    """The offset of the body."""
    if text.startswith(b"\n"):
        return 1
    end = text.find(b"\n\n")
    return len(text) if end < 0 else end + 2


def _addresses(words: Sequence[bytes]) -> tuple[bytes | None, tuple[bytes, ...]] | None:
    """The sender of `-f`, and the addresses; None if there is no address, or one is invalid."""
    sender: bytes | None = None
    found: list[bytes] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in (b"-f", b"-r"):
            sender = (rest.pop(0) if rest else b"").removeprefix(b"<").removesuffix(b">")
        elif word.startswith((b"-f", b"-r")):
            sender = word[2:].removeprefix(b"<").removesuffix(b">")
        elif word == b"-t":
            return None
        elif not word.startswith(b"-"):
            found += [each.removeprefix(b"<").removesuffix(b">") for each in word.split(b",") if each]
    given = [*found, *filter(None, [sender])]
    if not found or not all(_ADDRESS.fullmatch(address) for address in given):
        return None
    return sender, tuple(dict.fromkeys(found))


class PolicyWorld(engine.World):
    """The real World, except that deliveries are recorded and not made."""

    __slots__ = ("noted",)

    def __init__(self, host: Host, noted: _Noted) -> None:
        super().__init__(host)
        self.noted = noted

    def prepare(self, name: bytes, *, alone: bool = True) -> Folder:
        """The folder of that name, without a look at the disk."""
        return Folder(name, name, MBOX)

    def refusal(self, folder: Folder, note: Note) -> OSError | None:
        """Accept every name."""
        return None

    def store(
        self,
        folder: Folder,
        further: Sequence[bytes],
        message: Message,
        how: Storing,
        *,
        note: Note,
        last_folder: Callable[[bytes], None],
        done: Callable[[], None],
    ) -> Delivered:
        """Report success; the trace event `stored` records the delivery."""
        last_folder(folder.name)
        done()
        return Delivered(folder.name, len(message.data))

    def take(self, path: bytes, *, sleep_s: int, stale_s: int, suspend_s: int, note: Note, spool: bool = False) -> Lock:
        """A real lock, unless it is for `accept` or `quarantine:`, which are not folders."""
        if b"/" not in path and path.startswith((ACCEPT, QUARANTINE)):
            return RehearsedLock(self.host, path, lambda: None)
        return super().take(path, sleep_s=sleep_s, stale_s=stale_s, suspend_s=suspend_s, note=note, spool=spool)

    def forward(
        self, session: Runner, command: Command, chunks: Iterable[Chunk], *, wait: bool, wait_if_missing: bool
    ) -> Ended:
        """Record the addresses; a `!` without valid addresses fails."""
        assert isinstance(session, Session)
        session.note("executing", command.shown)
        ended = Ended()
        ended.status = EX_OK
        words = command.argv[len(session.sender()) :]
        if not self.noted.send(words, b"".join(chunks)):
            self.noted.faults.append(b"`! %b' has no address to send to" % b" ".join(words))
            ended.started = False
            ended.status = EX_USAGE
        return ended

    def find_server(self, service: bytes, host: bytes) -> tuple[str, int] | None:
        """No server: COMSAT is for delivered mail only."""

    def clone(self, run: Callable[[], int]) -> EndedClone:
        """Run the clone now, to its end."""
        return EndedClone(self.host, self.noted.clone(run))

    def leave(self, status: int) -> None:
        """Nothing to do: a clone ends when its run is over."""

    def detach(self) -> bool:
        """Stay in this process."""
        return True


class FilterPolicyWorld(maildrop.World):
    """As PolicyWorld, for filter files."""

    __slots__ = ("noted",)

    def __init__(self, host: Host, noted: _Noted) -> None:
        super().__init__(host)
        self.noted = noted

    def divert(self, target: bytes, message: Message, *, final: bool) -> bool:
        """Record the target of `to` or `cc`, which is not a program; false for a `!` without a valid address."""
        if not target.startswith(b"!"):
            self.noted.keep(target, message.data, copy=not final)
            return True
        if self.noted.send(target[1:].split(), message.data):
            self.noted.sent(copy=not final)
            return True
        self.noted.faults.append(b"`%b' has no address to send to" % target)
        return False


# -- runs ------------------------------------------------------------------------------------


class RcfileRules:
    """An rcfile that decides; `setup` lasts as long as the process.

    The caller makes sure that `setup` leaves Content-Length unchanged.
    """

    def __init__(self, user: User, setup: rcfiles.Setup, path: bytes, new_host: Callable[[], Host] = Host) -> None:
        self._user, self._setup, self._path, self._new_host = user, setup, path, new_host

    def load(self) -> str:
        """Load the program for later processes; returns why that failed, empty on success."""
        host = Host()
        origin = Origin(host, self._user, sender=None, deliver=False, override=False)
        recipient = rcfiles.Recipient(self._user, origin, mail_filter=True)
        session = rcfiles.open_session(PolicyWorld(host, _Noted(Question(b"", [], b""))), recipient, b"", self._setup)
        try:
            program = self._setup.loader.load(session, self._path, locate(self._path, self._user, mail_filter=True))
        except SuspiciousError:
            return "others could have written it"
        except NotCompiledError:
            return "it cannot be compiled now"
        finally:
            session.log.close()
        return "it cannot be read" if program is None else ""

    def decide(self, question: Question) -> Outcome:
        """Run the mail through the rcfile, in the rcfile's folder.  The working directory is undefined afterwards."""
        noted = _Noted(question)
        folder = os.path.dirname(self._path)
        try:
            os.chdir(folder)
        except OSError as error:
            return _unusable(folder, error)
        host = self._new_host()  # each run has its own signal state
        origin = Origin(host, self._user, sender=question.sender or _NOBODY, deliver=False, override=False)
        # The caller is the mail server, so its sender is trusted.
        origin.trusted = True
        recipient = rcfiles.Recipient(
            self._user,
            origin,
            operands=[b"DEFAULT=" + ACCEPT, self._path, *question.recipients],
            mail_filter=True,
            variables={**question.told(), b"MAILDIR": folder},
        )
        world = PolicyWorld(host, noted)
        verdict = rcfiles.deliver(world, recipient, lambda: question.text, self._setup, wait=True, listen=noted.listen)
        return noted.outcome(verdict)


class FilterFileRules:
    """A filter file that decides."""

    def __init__(self, user: User, setup: filters.Setup, path: bytes, new_host: Callable[[], Host] = Host) -> None:
        self._user, self._setup, self._path, self._new_host = user, setup, path, new_host

    def load(self) -> str:
        """Load the program for later processes; returns why that failed, empty on success."""
        recipient = filters.Recipient(self._user, file=self._path)
        world = FilterPolicyWorld(Host(), _Noted(Question(b"", [], b"")))
        session = filters.open_session(world, recipient, b"", self._setup)
        try:
            status = os.stat(self._path)
            self._setup.files.included(session, self._path)
        except OSError as error:
            return error.strerror or "it cannot be read"
        except UnusableError:
            return "it cannot be read, or has a fault"
        finally:
            session.close()
        if status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
            return "the user who runs a filter file must own it, and nobody else may write to it"
        return ""

    def decide(self, question: Question) -> Outcome:
        """Run the mail through the filter file, in the filter file's folder."""
        noted = _Noted(question)
        try:
            os.chdir(os.path.dirname(self._path))
        except OSError as error:
            return _unusable(self._path, error)
        recipient = filters.Recipient(
            self._user,
            file=self._path,
            sender=question.sender or _NOBODY,
            arguments=question.recipients,
            variables={**question.told(), b"DEFAULT": ACCEPT},
        )
        world = FilterPolicyWorld(self._new_host(), noted)
        verdict = filters.deliver(world, recipient, lambda: question.text, self._setup, listen=noted.listen)
        return noted.outcome(verdict)


Rules = RcfileRules | FilterFileRules


def _unusable(path: bytes, error: OSError) -> Outcome:
    return Outcome(Kind.FAILED, reason=printable(b"%b: %b" % (path, (error.strerror or "").encode())))
