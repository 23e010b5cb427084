"""One client, served by one process: it reads the mail, runs the rules, passes the mail on and only then answers."""

from __future__ import annotations

import signal
import socket
import ssl
from collections import deque
from collections.abc import Callable
from types import FrameType

from pyprocmail.servers.gateway.desk import Desk
from pyprocmail.servers.gateway.mail import Mail, Recipient
from pyprocmail.servers.lmtp.codec import (
    Closed,
    Codec,
    Dialect,
    Dropped,
    Ended,
    Event,
    RecipientNamed,
    Secured,
    Text,
)

STOPPING = b"421 4.3.2 The server stops"
IDLE = b"421 4.4.2 Timeout, closing the connection"
_FAULT = b"451 4.3.0 Internal error in the gateway"
MOST_APART = 20
"""The most recipients of a mail whose rules run once each, where one reply answers for all of them."""
_READ = 1 << 16
BEGUN, PASSED, LATER, REFUSED = b"b", b"2", b"4", b"5"
"""Reports to the supervisor: a mail has been read; it was answered 2xx, 4xx or 5xx."""


class _StopError(Exception):
    """The supervisor has asked this process to exit."""


class Conversation:
    """Serves the client at the other end of `line` until it leaves.  `report` sends a report to the supervisor."""

    def __init__(
        self,
        line: socket.socket,
        desk: Desk,
        codec: Codec,
        dialect: Dialect,
        *,
        tls: ssl.SSLContext | None,
        report: Callable[[bytes], None],
        session_s: float,
    ) -> None:
        self._line = line
        self._desk = desk
        self._codec = codec
        self._dialect = dialect
        self._tls = tls
        self._report = report
        self._peer = _peer(line)
        self._text: list[bytes] = []
        self._over = self._asleep = self._stopping = False
        line.settimeout(session_s)
        if line.family != socket.AF_UNIX:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self) -> None:
        """Serve the client; returns when the connection is over."""
        signal.signal(signal.SIGTERM, self._stop)
        try:
            self._converse()
        except (OSError, EOFError):
            pass  # the client is gone; every reply that it got is true
        finally:
            self._desk.relay.close()
            self._line.close()

    def _converse(self) -> None:
        try:
            self._flush()
            while not self._over:
                self._handle(self._codec.feed(self._heard()))
        except _StopError:
            self._handle(self._codec.close(STOPPING))
        except TimeoutError:
            self._handle(self._codec.close(IDLE))

    def _stop(self, _signum: int, _frame: FrameType | None) -> None:
        self._stopping = True
        if self._asleep:
            raise _StopError

    def _heard(self) -> bytes:
        self._asleep = True
        try:
            if self._stopping:
                raise _StopError
            data = self._line.recv(_READ)
        finally:
            self._asleep = False
        if not data:
            raise EOFError
        return data

    def _flush(self) -> None:
        if self._codec.output:
            self._line.sendall(self._codec.output)
            self._codec.output.clear()

    def _handle(self, events: list[Event]) -> None:
        todo = deque(events)
        while todo:
            todo.extendleft(reversed(self._one(todo.popleft())))
        self._flush()

    def _one(self, event: Event) -> list[Event]:
        match event:
            case RecipientNamed(address):
                taken = len(self._codec.recipients)
                if (
                    self._desk.together
                    and taken >= MOST_APART
                    and self._desk.is_apart(self._codec.sender, address.text)
                ):
                    # Each may need a separate transaction, and all of them are open at once.
                    return self._codec.take_recipient(b"452 4.5.3 Too many recipients")
                return self._codec.take_recipient(b"250 2.1.5 Ok")
            case Text(data):
                self._text.append(data)
            case Ended():
                return self._pass_on(event)
            case Dropped():
                self._text.clear()
            case Secured():
                self._flush()
                assert self._tls is not None
                self._line = self._tls.wrap_socket(self._line, server_side=True)
            case Closed():
                self._over = True
        return []

    def _pass_on(self, ended: Ended) -> list[Event]:
        text = b"".join(self._text)
        self._text.clear()
        recipients = [Recipient(a.text, words) for a, words in zip(ended.recipients, ended.each, strict=True)]
        protocol = b"LMTP" if self._dialect.each else b"ESMTP"
        secured = b"S" if self._codec.secured else b""
        mail = Mail(
            ended.sender.text, recipients, text, ended.parameters, self._codec.greeting, self._peer, protocol + secured
        )
        self._report(BEGUN)
        replies = [_FAULT] * len(recipients)
        try:
            replies = self._desk.pass_on(mail)
        finally:
            # The rules have installed their own signal handlers.
            signal.signal(signal.SIGTERM, self._stop)
            kinds = {reply[:1] for reply in replies}
            self._report(LATER if LATER in kinds else REFUSED if REFUSED in kinds else PASSED)
        later: list[Event] = []
        for reply in replies if self._dialect.each else replies[:1]:
            later += self._codec.answer(reply)
        return later


def _peer(line: socket.socket) -> bytes:
    """The address of the client; empty for a Unix socket."""
    if line.family == socket.AF_UNIX:
        return b""
    return str(line.getpeername()[0]).encode()
