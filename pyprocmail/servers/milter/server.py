"""The milter's server: each connection of a mail server is a conversation."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator

from pyprocmail.servers.listening import Acknowledging
from pyprocmail.servers.metrics import Metrics
from pyprocmail.servers.milter import codec
from pyprocmail.servers.milter.conversation import Reply, Talk

MOST_CONNECTIONS = 1000
IDLE_S = 7210.0
"""How long a mail server may be silent, as with libmilter: Sendmail waits an hour for its own clients."""
PROGRESS_S = 10.0
"""How often a mail server that waits for the reply to a whole mail gets a "progress" packet."""


class Connection(asyncio.Protocol):
    """One connection.  An error closes this connection and affects no other.

    While a reply is due, nothing more is read, and events already read wait.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._decoder = codec.Decoder()
        self._conversation = server.converse()
        self._events: deque[codec.Event] = deque()
        self._fault: codec.ProtocolError | None = None
        self._replies: Iterator[Reply] = iter(())
        self._due: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._acknowledging: Acknowledging | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._heard_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection if there is room."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._acknowledging = Acknowledging(transport.get_extra_info("socket"))
        if not self._server.admit(self):
            transport.abort()
            return
        self._acknowledging.at_once()
        self._heard_at = asyncio.get_running_loop().time()
        self._look()

    def data_received(self, data: bytes) -> None:
        """Answer the events that are complete now."""
        try:
            self._events.extend(self._decoder.feed(data))
        except codec.ProtocolError as error:
            self._fault = error
        if self._due is None:
            self._go_on()
        if self._acknowledging is not None:
            self._acknowledging.at_once()
        self._heard_at = asyncio.get_running_loop().time()

    def _go_on(self) -> None:
        """Answer one event after the other, until a reply must be waited for."""
        transport = self._transport
        assert transport is not None
        try:
            while True:
                for reply in self._replies:
                    if isinstance(reply, bytes):
                        transport.write(reply)
                    else:
                        self._wait_for(reply)
                        return
                if not self._events:
                    break
                self._replies = self._conversation.answer(self._events.popleft())
        except codec.ProtocolError as error:
            self._fault = error
        if self._fault is not None:
            self._server.complain(f"connection closed: {self._fault}")
            transport.abort()
        elif self._conversation.ended:
            transport.close()

    def _wait_for(self, reply: asyncio.Future[bytes]) -> None:
        assert self._transport is not None
        self._transport.pause_reading()
        self._due = reply
        reply.add_done_callback(self._answered)
        if self._conversation.takes_long:
            self._patience = asyncio.get_running_loop().call_later(PROGRESS_S, self._ask_for_patience)

    def _ask_for_patience(self) -> None:
        """Send "progress", and again later: the reply is still to come."""
        assert self._transport is not None
        if self._due is not None and not self._transport.is_closing():
            self._transport.write(codec.PROGRESS)
            self._patience = asyncio.get_running_loop().call_later(PROGRESS_S, self._ask_for_patience)

    def _answered(self, reply: asyncio.Future[bytes]) -> None:
        """Send the reply that has come, unless the mail server has left meanwhile."""
        transport = self._transport
        assert transport is not None
        self._due = None
        if self._patience is not None:
            self._patience.cancel()
        if reply.cancelled() or transport.is_closing():
            return
        error = reply.exception()
        if error is not None:
            self._server.complain(f"connection closed: {type(error).__name__}: {error}")
            transport.abort()
            return
        transport.write(reply.result())
        transport.resume_reading()
        self._heard_at = asyncio.get_running_loop().time()
        self._go_on()

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection and its incomplete mail."""
        for timer in (self._idle, self._patience):
            if timer is not None:
                timer.cancel()
        self._replies = iter(())
        self._conversation.abandon()
        self._server.forget(self)

    def _look(self) -> None:
        """Close the connection if it has been idle for too long; otherwise check again when it may have been."""
        loop = asyncio.get_running_loop()
        left_s = self._heard_at + IDLE_S - loop.time()
        if left_s > 0:
            self._idle = loop.call_later(left_s, self._look)
        elif self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close the connection now."""
        if self._transport is not None:
            self._transport.close()


class Server:
    """All connections of one socket; `converse` makes the conversation of each."""

    def __init__(
        self,
        converse: Callable[[], Talk],
        complain: Callable[[str], None],
        metrics: Metrics,
        *,
        most: int = MOST_CONNECTIONS,
    ) -> None:
        self.converse = converse
        self.complain = complain
        self._metrics = metrics
        self._most = most
        self._connections: set[Connection] = set()
        self._stop = asyncio.Event()

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for one more connection."""
        self._metrics.add("connections_total")
        if len(self._connections) >= self._most:
            self.complain(f"more than {self._most} connections: one was refused")
            return False
        self._connections.add(connection)
        self._metrics.set("connections", len(self._connections))
        return True

    def forget(self, connection: Connection) -> None:
        """Forget a closed connection."""
        self._connections.discard(connection)
        self._metrics.set("connections", len(self._connections))

    def stop(self) -> None:
        """Accept no more connections, and close the present ones."""
        self._stop.set()

    async def serve(
        self,
        listening: socket.socket,
        *,
        reopen: Callable[[], None],
        ready: Callable[[], None],
        child_ended: Callable[[], None] | None = None,
    ) -> None:
        """Serve until SIGTERM or SIGINT.

        SIGUSR1 and SIGHUP call `reopen`, SIGCHLD `child_ended`; `ready` is called when all is set up.
        """
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.stop)
        for signum in (signal.SIGUSR1, signal.SIGHUP):
            loop.add_signal_handler(signum, reopen)
        if child_ended is not None:
            loop.add_signal_handler(signal.SIGCHLD, child_ended)
        server = await loop.create_server(lambda: Connection(self), sock=listening)
        try:
            ready()
            await self._stop.wait()
        finally:
            server.close()
            for connection in list(self._connections):
                connection.close()
            await asyncio.sleep(0)
