"""The dialogue of a logging milter, from the sender to the end of each mail; it lets every step continue.

No sockets here: events in, replies out.
"""

from __future__ import annotations

import tempfile
from asyncio import Future
from collections.abc import Callable, Iterator
from typing import IO, Protocol, TypeAlias

from pyprocmail.servers.milter import codec

WANTED = (
    codec.NO_HELO
    | codec.NO_UNKNOWN
    | codec.NO_DATA
    | codec.NO_CONNECT
    | codec.NO_REPLY_MAIL
    | codec.NO_REPLY_RECIPIENT
    | codec.NO_REPLY_HEADER
    | codec.NO_REPLY_END_OF_HEADERS
    | codec.NO_REPLY_BODY
)
"""Steps that a logger does not need, or does not reply to."""
LARGEST_HEADER_BYTES = 4 << 20
LARGEST_BODY_BYTES = 1 << 30
"""The most of a header and of a body that is kept; the rest is only counted."""
SEARCHED_BYTES = 64 << 20
"""The most of a mail that is searched for attachments."""
IN_MEMORY_BYTES = 1 << 20
"""A larger body is kept in an unnamed file."""

Reply: TypeAlias = bytes | Future[bytes]
"""A reply, or the future of one."""


class Mail:
    """A mail that is being received.

    `sender` and `recipients` are as the mail server wrote them, with brackets.  Lines of `header` end in LF.  `size` is
    the size of the body as received, in bytes; `body` has the part that is kept.  `cut`: a part was not kept.
    """

    __slots__ = ("sender", "recipients", "header", "size", "body", "cut")

    def __init__(self, sender: bytes) -> None:
        self.sender = sender
        self.recipients: list[bytes] = []
        self.header = bytearray()
        self.size = 0
        self.body: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  closed by close()
        self.cut = False

    def add_field(self, name: bytes, value: bytes) -> None:
        """Add a header field if there is room."""
        if len(self.header) + len(name) + len(value) > LARGEST_HEADER_BYTES:
            self.cut = True
            return
        self.header += name + b": " + value.lstrip(b" ").replace(b"\r\n", b"\n") + b"\n"

    def add_body(self, chunk: bytes) -> None:
        """Add a piece of the body as far as there is room."""
        room = LARGEST_BODY_BYTES - self.size
        self.size += len(chunk)
        if room < len(chunk):
            self.cut = True
        if room > 0:
            try:
                self.body.write(chunk[:room])
            except OSError:
                # A full disk costs the names of attachments, never the mail.
                self.cut = True

    @property
    def kept_bytes(self) -> int:
        """How much of the file `body` is body; other data may follow."""
        return min(self.size, LARGEST_BODY_BYTES)

    def text(self, most_bytes: int = LARGEST_BODY_BYTES) -> bytes:
        """The mail as far as it was kept: LF in the header, CRLF in the body, and at most `most_bytes` of the body."""
        self.body.seek(0)
        return bytes(self.header) + b"\n" + self.body.read(min(most_bytes, self.kept_bytes))

    def close(self) -> None:
        """Close the file of the body."""
        self.body.close()


class Talk(Protocol):
    """What the server needs from a conversation."""

    ended: bool
    """The mail server has ended the dialogue."""
    takes_long: bool
    """The pending reply is that to the end of a mail: the server may send "progress" meanwhile."""

    def answer(self, event: codec.Event) -> Iterator[Reply]:
        """The replies to an event; the caller writes each before it asks for the next.

        Raises:
            ProtocolError: the mail server cannot do what we need.
        """

    def abandon(self) -> None:
        """Forget the present mail."""


class Conversation:
    """One connection of a mail server.

    `keep` gets each complete mail and returns the answer; `heard` gets it after the answer is sent, and closes it.
    """

    __slots__ = ("_heard", "_keep", "_mail", "_silent", "ended", "takes_long")

    def __init__(self, heard: Callable[[Mail], None], keep: Callable[[Mail], Reply] = lambda _: codec.CONTINUE) -> None:
        self._heard = heard
        self._keep = keep
        self._mail: Mail | None = None
        self._silent = 0
        self.ended = False
        self.takes_long = False

    def answer(self, event: codec.Event) -> Iterator[Reply]:
        """The reply to an event, if it has one; the caller writes it before it continues the iterator.

        Raises:
            ProtocolError: the mail server cannot do what we need.
        """
        if isinstance(event, codec.Body):
            if self._mail is not None:
                self._mail.add_body(event.chunk)
            yield from self._go_on(codec.NO_REPLY_BODY)
        elif isinstance(event, codec.Header):
            if self._mail is not None:
                self._mail.add_field(event.name, event.value)
            yield from self._go_on(codec.NO_REPLY_HEADER)
        elif isinstance(event, codec.Macros):
            pass
        elif isinstance(event, codec.Recipient):
            if self._mail is not None:
                self._mail.recipients.append(event.address)
            yield from self._go_on(codec.NO_REPLY_RECIPIENT)
        elif isinstance(event, codec.MailFrom):
            self.abandon()
            self._mail = Mail(event.sender)
            yield from self._go_on(codec.NO_REPLY_MAIL)
        elif isinstance(event, codec.EndOfMessage):
            mail, self._mail = self._mail, None
            if mail is not None and event.chunk:
                mail.add_body(event.chunk)
            yield codec.CONTINUE if mail is None else self._keep(mail)
            if mail is not None:
                self._heard(mail)
        elif isinstance(event, codec.EndOfHeaders):
            yield from self._go_on(codec.NO_REPLY_END_OF_HEADERS)
        elif isinstance(event, codec.Negotiate):
            self._silent = WANTED & event.protocol
            yield codec.negotiate(event, 0, WANTED)
        elif isinstance(event, codec.Abort):
            self.abandon()
        elif isinstance(event, codec.Quit):
            self.abandon()
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
            self._mail = None
