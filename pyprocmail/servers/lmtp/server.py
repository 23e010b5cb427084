"""The LMTP supervisor: connections, spools, and jobs for workers.  It reads no mail and no rcfile."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyprocmail.delivery.system_mailbox import mailbox_of
from pyprocmail.exits import in_one_line
from pyprocmail.procmail.rcfiles import GLOBAL
from pyprocmail.servers import notify
from pyprocmail.servers.listening import Acknowledging
from pyprocmail.servers.lmtp.codec import Closed, Codec, Dropped, Ended, Event, Limits, RecipientNamed, Text
from pyprocmail.servers.lmtp.delivering import Envelope, Sweeping
from pyprocmail.servers.lmtp.ledger import Claim
from pyprocmail.servers.lmtp.paths import Address
from pyprocmail.servers.lmtp.pool import GRACE_S, Pool, WorkerError, log
from pyprocmail.servers.lmtp.replies import LATER, line
from pyprocmail.servers.lmtp.spool import Spool
from pyprocmail.servers.lmtp.starter import Starter
from pyprocmail.servers.lmtp.users import UNKNOWN, Found
from pyprocmail.servers.metrics import Metrics
from pyprocmail.servers.outcome import printable

FULL = b"452 4.3.1 No room for the mail"
BUSY = b"421 4.3.2 Too many connections"
STOPPING = b"421 4.3.2 The server stops"
IDLE = b"421 4.4.2 Timeout, closing the connection"
DELIVER, LOOK_UP = range(2)
"""The kinds of workers that the starter must have."""
_TICK_S = 1.0
_METRICS_S = 10.0

Finder = Callable[[Address], "asyncio.Future[Found | None]"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What an administrator decides.  Times are in seconds."""

    name: bytes
    limits: Limits = field(default_factory=Limits)
    workers: int = 4
    connections: int = 200
    session_s: float = 300.0
    recipient_s: float = 300.0
    stop_s: float = 60.0
    spool: str = "/var/tmp"  # noqa: S108  files without a name
    metrics: Path | None = None


class Server:
    """All connections.

    The starter's workers of kind DELIVER deliver.  `apart`: the server runs as root, and users share no workers.
    """

    def __init__(self, settings: Settings, starter: Starter, find: Finder, *, apart: bool) -> None:
        self.settings = settings
        self.find = find
        self.sessions: set[Session] = set()
        self.stopping = False
        self.failed = False
        self._starter = starter
        self._apart = apart
        size = settings.workers
        self.pool = Pool(
            starter,
            DELIVER,
            size=size,
            share=max(1, (size + 1) // 2) if apart else size,
            limit_s=settings.recipient_s,
            left_behind=self._sweep,
            settles=lambda reply: not reply.startswith(b"4"),
        )
        self.metrics = Metrics("pyprocmail_lmtp")
        self.metrics.counter("connections_total", "Connections taken.")
        self.metrics.counter("delivered_total", "Recipients answered 250.")
        self.metrics.counter("deferred_total", "Recipients of a mail answered 4xx.")
        self.metrics.counter("refused_total", "Recipients of a mail answered 5xx.")

    def hand_out(self, envelope: Envelope, fd: int) -> asyncio.Future[bytes]:
        """Have a worker deliver the mail; the future has the reply."""
        fresh = self._apart and not _served_by_user(envelope)
        return self.pool.ask(envelope.pack(), fd, key=self._key(envelope), fresh=fresh)

    def _key(self, envelope: Envelope) -> Hashable:
        # The name and not the uid alone: names that share a uid may have different groups.
        user = envelope.user
        return (user.name, user.uid, user.gid, user.home) if self._apart else ()

    def _sweep(self, job: bytes, claims: tuple[Claim, ...]) -> None:
        """Have a worker of the same user remove the lockfiles of a killed worker."""
        envelope = Envelope.unpack(job)
        held = printable(b", ".join(each.path for each in claims)).decode()
        log(f"<{printable(envelope.address).decode()}>: the worker that was killed held {held}")
        swept = self.pool.ask(Sweeping(envelope.user, claims).pack(), key=self._key(envelope), fresh=True)
        swept.add_done_callback(lambda done: done.cancelled() or done.exception())

    def count(self, reply: bytes) -> None:
        """Count the reply in the metrics."""
        name = {b"2": "delivered_total", b"4": "deferred_total"}.get(reply[:1], "refused_total")
        self.metrics.add(name)

    # -- life ------------------------------------------------------------------------------

    async def serve(self, listeners: Sequence[socket.socket]) -> None:
        """Accept connections until SIGTERM, then finish the mails that have begun."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stopped.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_reader(self._starter.control, self._starter_ended, stopped)
        servers = [await loop.create_server(lambda: Session(self), sock=each) for each in listeners]
        notify.notify(notify.READY)
        beat = asyncio.create_task(self._beat())
        await stopped.wait()
        notify.notify(notify.STOPPING)
        for each in servers:
            each.close()
        await self._stop()
        beat.cancel()
        self._write_metrics()

    def _starter_ended(self, stopped: asyncio.Event) -> None:
        """Stop the server: without the starter there are no new workers.  The service manager restarts the server."""
        asyncio.get_running_loop().remove_reader(self._starter.control)
        log("the process that starts workers has ended, so the server ends")
        self.failed = True
        stopped.set()

    def _reload(self) -> None:
        notify.notify(notify.RELOADING)
        self.pool.retire()
        notify.notify(notify.READY)

    async def _stop(self) -> None:
        self.stopping = True
        end = asyncio.get_running_loop().time() + self.settings.stop_s
        while self.sessions and asyncio.get_running_loop().time() < end:
            for session in list(self.sessions):
                session.stop()
            await asyncio.sleep(0.05)
        for session in list(self.sessions):
            session.close(STOPPING)
        self.pool.retire()
        if self.pool.busy:
            # Their clients got 421 and will send the mails again: what these workers do now would be done twice.
            self.pool.give_up()
            end += GRACE_S + 1
        while self.pool.pids and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110  as the workers do
            await asyncio.sleep(0.02)

    async def _beat(self) -> None:
        """Once a second: the watchdog, the metrics, and silent clients."""
        loop = asyncio.get_running_loop()
        every = notify.watchdog_s()
        told = written = loop.time()
        while True:
            await asyncio.sleep(min(_TICK_S, every or _TICK_S))
            now = loop.time()
            if every and now - told >= every / 2:
                notify.notify(notify.WATCHDOG)
                told = now
            if now - written >= _METRICS_S:
                self._write_metrics()
                written = now
            for session in list(self.sessions):
                session.look_at_clock(now)

    def _write_metrics(self) -> None:
        if self.settings.metrics is not None:
            try:
                self.metrics.write(self.settings.metrics)
            except OSError as error:
                log(f"{self.settings.metrics}: {error.strerror}")


def _served_by_user(envelope: Envelope) -> bool:
    """Whether a worker that already runs as the user can do the delivery: no part of it needs root."""
    return not os.path.exists(GLOBAL) and os.path.exists(mailbox_of(envelope.user))


class Session(asyncio.Protocol):
    """One connection: connects a socket with a Codec."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._codec = Codec(server.settings.name, server.settings.limits)
        self._spool = Spool(server.settings.spool)
        self._found: list[Found] = []
        self._answers: deque[asyncio.Future[bytes]] = deque()
        self._addresses: tuple[Address, ...] = ()
        self._looking: asyncio.Future[Found | None] | None = None
        self._transport: asyncio.Transport | None = None
        self._heard = self._loop.time()
        self._full = False
        self._acknowledging: Acknowledging | None = None

    # -- asyncio ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        server = self._server
        if server.stopping or len(server.sessions) >= server.settings.connections:
            transport.write((STOPPING if server.stopping else BUSY) + b"\r\n")
            transport.close()
            return
        server.sessions.add(self)
        server.metrics.add("connections_total")
        self._acknowledging = Acknowledging(transport.get_extra_info("socket"))
        self._acknowledging.at_once()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """The client has sent bytes."""
        if self in self._server.sessions:
            self._heard = self._loop.time()
            if self._acknowledging is not None:
                self._acknowledging.at_once()
            self._handle(self._codec.feed(data))

    def connection_lost(self, _error: Exception | None) -> None:
        """The client is gone; deliveries that no worker has begun are cancelled."""
        self._server.sessions.discard(self)
        self._spool.discard()
        for answer in self._answers:
            answer.cancel()

    def pause_writing(self) -> None:
        """The client does not read its replies."""
        self._full = True
        self._pause()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._full = False
        self._pause()

    # -- called by the server --------------------------------------------------------------

    def look_at_clock(self, now: float) -> None:
        """Close the connection of a client that is silent, or does not read, for too long."""
        if (not self._codec.awaits or self._full) and now - self._heard > self._server.settings.session_s:
            if self._full and self._transport is not None:
                self._transport.abort()
            self.close(IDLE)

    def stop(self) -> None:
        """End the dialogue unless a mail is being received or answered."""
        if not self._codec.in_mail and not self._codec.awaits:
            self.close(STOPPING)

    def close(self, reply: bytes) -> None:
        """End the dialogue now."""
        self._handle(self._codec.close(reply))

    # -- events ----------------------------------------------------------------------------

    def _handle(self, events: list[Event]) -> None:
        todo = deque(events)
        while todo:
            todo.extendleft(reversed(self._one(todo.popleft())))
        self._flush()

    def _one(self, event: Event) -> list[Event]:
        """Handle the event; returns the events that follow from it."""
        match event:
            case RecipientNamed(address):
                return self._look_up(address)
            case Text(data):
                return self._keep(data)
            case Ended(sender, recipients):
                return self._hand_out(sender, recipients)
            case Dropped():
                self._spool.discard()
                self._found.clear()
            case Closed():
                self._flush()
                if self._transport is not None:
                    self._transport.close()
                self._server.sessions.discard(self)
        return []

    def _look_up(self, address: Address) -> list[Event]:
        looking = self._server.find(address)
        if looking.done():
            return self._take_recipient(address, looking)
        self._looking = looking
        looking.add_done_callback(lambda done: self._looked_up(address, done))
        return []

    def _looked_up(self, address: Address, done: asyncio.Future[Found | None]) -> None:
        if self in self._server.sessions and self._looking is done:
            self._looking = None
            self._handle(self._take_recipient(address, done))

    def _take_recipient(self, address: Address, done: asyncio.Future[Found | None]) -> list[Event]:
        try:
            found = done.result()
        except (WorkerError, OSError) as error:
            log(f"<{printable(address.text).decode()}> cannot be looked up: {in_one_line(error)}")
            return self._codec.take_recipient(line(b"451 4.3.0", address.text, b"cannot be looked up now"))
        if found is None:
            return self._codec.take_recipient(line(UNKNOWN, address.text, b"Unknown user"))
        if found.user.uid == 0:
            return self._codec.take_recipient(line(b"550 5.7.1", address.text, b"Mail for root needs an alias"))
        if not self._found:
            # The first recipient of a mail: nothing of an earlier mail may be left.
            self._spool.discard()
            self._spool = Spool(self._server.settings.spool)
        self._found.append(found)
        return self._codec.take_recipient(b"250 2.1.5 Ok")

    def _keep(self, data: bytes) -> list[Event]:
        if self._spool.failed:
            return []
        try:
            self._spool.write(data)
        except OSError as error:
            log(f"no room for a mail in {self._server.settings.spool}: {error.strerror}")
            return self._codec.fail(FULL)
        return []

    def _hand_out(self, sender: Address, recipients: tuple[Address, ...]) -> list[Event]:
        found, self._found = self._found, []
        spool, self._spool = self._spool, Spool(self._server.settings.spool)
        try:
            if spool.failed:
                raise OSError("no room")
            fd = spool.finish()
        except OSError:
            spool.discard()
            return [late for _ in recipients for late in self._codec.answer(FULL)]
        left = len(recipients)

        def done(_answer: asyncio.Future[bytes]) -> None:
            nonlocal left
            left -= 1
            if not left:
                os.close(fd)

        self._addresses = recipients
        for one, address in zip(found, recipients, strict=True):
            answer = self._server.hand_out(Envelope(one.user, sender.text, address.text, one.detail), fd)
            self._answers.append(answer)
            answer.add_done_callback(done)
            answer.add_done_callback(self._answered)
        return []

    def _answered(self, _answer: asyncio.Future[bytes]) -> None:
        """A worker has answered: send the replies that are due, in the order of the recipients."""
        if self not in self._server.sessions:
            return
        while self._answers and self._answers[0].done():
            answer = self._answers.popleft()
            address = self._addresses[len(self._addresses) - len(self._answers) - 1]
            reply = self._reply(address, answer)
            self._server.count(reply)
            self._heard = self._loop.time()
            self._handle(self._codec.answer(reply))

    def _reply(self, address: Address, answer: asyncio.Future[bytes]) -> bytes:
        if answer.cancelled():
            return line(LATER, address.text, b"given up")
        error = answer.exception()
        if error is None:
            return answer.result()
        log(f"<{printable(address.text).decode()}>: {in_one_line(error)}")
        return line(LATER, address.text, str(error).encode())

    # -- the socket ------------------------------------------------------------------------

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._codec.output:
            self._transport.write(bytes(self._codec.output))
            self._codec.output.clear()
        self._pause()

    def _pause(self) -> None:
        """Stop reading while we owe an answer or the client reads none: this limits the memory that a client uses."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._full or self._codec.awaits:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
