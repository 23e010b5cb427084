"""The worker's part of a delivery: one mail, by the rules of a user or of a virtual domain."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from pyprocmail.engine.verdict import Verdict
from pyprocmail.engine.world import World
from pyprocmail.host import Host, User
from pyprocmail.maildrop import run as filters
from pyprocmail.maildrop.world import World as FilterWorld
from pyprocmail.procmail import run as rcfiles
from pyprocmail.procmail.plan import Plans
from pyprocmail.procmail.start import Origin
from pyprocmail.servers.lmtp.ledger import Claim, Ledger, WorkerHost, pack_claims, sweep, unpack_claims
from pyprocmail.servers.lmtp.pool import pack, unpack
from pyprocmail.servers.lmtp.replies import LATER, line, reply_of

_NOBODY = b"MAILER-DAEMON"
"""The sender in the From_ line if the envelope sender is empty."""
_PIECE = 1 << 20
_WORTH_A_PLAN = 4
"""From this mail on a worker searches for the patterns of all recipes in one scan: the preparation costs more than a
few mails save."""
_DELIVERY, _SWEEPING = range(2)
"""The kind of a job, its first value."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The envelope of one mail for one recipient."""

    user: User
    sender: bytes
    address: bytes
    detail: bytes

    def pack(self) -> bytes:
        """As a job for a worker."""
        return pack(_DELIVERY, *_parts(self.user), self.sender, self.address, self.detail)

    @classmethod
    def unpack(cls, data: bytes) -> Envelope:
        """Restore the value from the bytes of `pack`."""
        _, name, uid, gid, home, shell, sender, address, detail = unpack(data)
        assert isinstance(sender, bytes)
        assert isinstance(address, bytes)
        assert isinstance(detail, bytes)
        return cls(_user(name, uid, gid, home, shell), sender, address, detail)


@dataclass(frozen=True, slots=True)
class Sweeping:
    """Lockfiles of a user that a killed worker left."""

    user: User
    claims: tuple[Claim, ...]

    def pack(self) -> bytes:
        """As a job for a worker."""
        return pack(_SWEEPING, *_parts(self.user), pack_claims(self.claims))

    @classmethod
    def unpack(cls, data: bytes) -> Sweeping:
        """Restore the value from the bytes of `pack`."""
        _, name, uid, gid, home, shell, claims = unpack(data)
        assert isinstance(claims, bytes)
        return cls(_user(name, uid, gid, home, shell), unpack_claims(claims))


def _parts(user: User) -> tuple[bytes | int, ...]:
    return user.name, user.uid, user.gid, user.home, user.shell


def _user(name: bytes | int, uid: bytes | int, gid: bytes | int, home: bytes | int, shell: bytes | int) -> User:
    assert isinstance(name, bytes)
    assert isinstance(uid, int)
    assert isinstance(gid, int)
    assert isinstance(home, bytes)
    assert isinstance(shell, bytes)
    return User(name, uid, gid, home, shell)


Deliver = Callable[[Host, Envelope, Callable[[], bytes]], Verdict]
"""Delivers the mail that the callable returns, once."""


class Desk:
    """The worker's side of the pipe: one Host and one Deliver for the life of the process."""

    def __init__(self, make: Callable[[Host], Deliver]) -> None:
        self._make = make
        self._host: Host | None = None
        self._deliver: Deliver | None = None

    def serve(self, job: bytes, fd: int, ledger: Ledger) -> bytes:
        """Deliver the mail in the file `fd`; returns the reply."""
        if self._host is None or self._deliver is None:
            self._host = WorkerHost(ledger)
            self._deliver = self._make(self._host)
        if unpack(job)[0] == _SWEEPING:
            return self._sweep(self._host, Sweeping.unpack(job))
        envelope = Envelope.unpack(job)
        try:
            head = b"Return-Path: <%b>\nDelivered-To: %b\n" % (envelope.sender, envelope.address)
            mail = [_contents(head, fd)]
        except (OSError, MemoryError) as error:
            why = error.strerror if isinstance(error, OSError) else "no memory"
            return line(LATER, envelope.address, f"the mail cannot be read now: {why}".encode())
        verdict = self._deliver(self._host, envelope, mail.pop)
        # The next mail must not begin in the folder to which this rcfile changed.
        os.chdir("/")
        return reply_of(verdict, envelope.address)

    def _sweep(self, host: Host, left: Sweeping) -> bytes:
        """Remove the lockfiles as the user who owns the folders; returns how many."""
        if host.geteuid() == 0:
            host.become(left.user)
        return b"%d" % sweep(left.claims)


def _contents(head: bytes, fd: int) -> bytes:
    """The head and all of the file.  Several processes share its offset, so it is not used."""
    text = BytesIO()
    text.write(head)
    place = 0
    while piece := os.pread(fd, _PIECE, place):
        text.write(piece)
        place += len(piece)
    return text.getvalue()


def by_rcfile(setup: rcfiles.Setup, rules: bytes) -> Deliver:
    """procmail's language: the user's own rcfile, or `rules` for all."""
    begun = 0

    def deliver(host: Host, envelope: Envelope, read: Callable[[], bytes]) -> Verdict:
        nonlocal begun
        begun += 1
        if begun == _WORTH_A_PLAN:
            setup.plans = Plans(setup.patterns)
        user = envelope.user
        origin = Origin(host, user, sender=envelope.sender or _NOBODY, deliver=True, override=False)
        # Only the mail server may write to the socket, so its sender is trusted.
        origin.trusted = True
        if rules:
            os.chdir(user.home)
            operands = [rules, envelope.detail, envelope.address, envelope.sender]
            recipient = rcfiles.Recipient(user, origin, operands=operands, mail_filter=True)
        else:
            recipient = rcfiles.Recipient(user, origin, arguments=[envelope.detail], deliver=True)
        return rcfiles.deliver(World(host), recipient, read, setup)

    return deliver


def by_filter_file(setup: filters.Setup, rules: bytes) -> Deliver:
    """maildrop's language: the user's own filter file, or `rules` for all."""

    def deliver(host: Host, envelope: Envelope, read: Callable[[], bytes]) -> Verdict:
        user = envelope.user
        if rules:
            os.chdir(user.home)
            setup.caller.update({b"HOME": user.home, b"LOGNAME": user.name, b"SHELL": user.shell})
            arguments = [envelope.detail, envelope.address, envelope.sender]
            recipient = filters.Recipient(user, file=rules, sender=envelope.sender, arguments=arguments)
        else:
            recipient = filters.Recipient(
                user, delivery=True, sender=envelope.sender or _NOBODY, arguments=[envelope.detail]
            )
        return filters.deliver(FilterWorld(host), recipient, read, setup)

    return deliver
