"""The client side of the connection to the next mail server: one transaction at a time, in separate steps.

smtplib of the standard library connects and reads the replies.  Its `sendmail` sends a whole mail in one call, with
addresses as text; here the commands are bytes, MAIL and RCPT go out together, and the caller decides when the last dot
is sent.
"""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Sequence
from typing import NoReturn

from pyprocmail.servers.gateway.plan import Target
from pyprocmail.servers.listening import Address
from pyprocmail.servers.outcome import printable

_GONE = b"451 4.4.2 The next server closed the connection: "
_AWAY = b"451 4.4.1 The next server cannot be reached: "
_CHUNK = 1 << 16
_LONGEST_REPLY = 1 << 16
"""In bytes, all its lines together."""


class HopError(Exception):
    """The next server does not accept the mail: `reply` is the reply to our client."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


class _Client(smtplib.SMTP):
    """smtplib's client, extended to Unix sockets; only its methods that work on bytes are used."""

    def __init__(self, address: Address, name: str, timeout_s: float) -> None:
        self._address = address
        super().__init__(local_hostname=name, timeout=timeout_s)

    def reach(self) -> None:
        """Connect, and read the greeting."""
        address = self._address
        family = socket.AF_UNIX if address.path else address.family
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        if not address.path:
            # The pieces of a mail and its dot must not wait for the acknowledgement of the previous piece.
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect(address.path or (address.host, address.port))
        self.file = None
        reply = self.heard()
        if not reply.startswith(b"2"):
            raise HopError(_later(reply))

    def getreply(self) -> tuple[int, bytes]:
        """The next reply.

        smtplib's own accepts an unfinished line as a reply and a single digit as a code, and reads without limit.
        """
        if self.sock is None:
            self._break_off("Connection unexpectedly closed")
        if self.file is None:
            self.file = self.sock.makefile("rb")
        codes, lines = set[bytes](), list[bytes]()
        room, code, follows = _LONGEST_REPLY, b"", b"-"
        while follows == b"-":
            line: bytes = self.file.readline(room)
            room -= len(line)
            code, follows = line[:3], line[3:4]
            codes.add(code)
            lines.append(line[4:].strip())
            if not line:
                self._break_off("Connection unexpectedly closed" if room else "the reply of the server has no end")
            if not line.endswith(b"\n"):
                self._break_off("half a reply" if room else "the reply of the server has no end")
            if len(codes) > 1 or len(code) < 3 or not code.isdigit() or follows not in b" -\r\n":
                self._break_off("the server sent a line that is not a reply")
        return int(code), b"\n".join(lines)

    def _break_off(self, why: str) -> NoReturn:
        """Close the connection: what follows on it could not be matched to a command."""
        self.close()
        raise smtplib.SMTPServerDisconnected(why)

    def heard(self) -> bytes:
        """The next reply, on one line."""
        code, text = self.getreply()
        return printable(b"%d %b" % (code, text))

    def ask(self, command: bytes) -> bytes:
        """Send the command, and read the reply."""
        self.send(command + b"\r\n")
        return self.heard()


class Hop:
    """A connection to the next server, with one transaction after another."""

    def __init__(self, address: Address, name: str, *, timeout_s: float) -> None:
        self._address, self._name, self._timeout_s = address, name, timeout_s
        self._client: _Client | None = None
        self._in_data = False

    def begin(
        self, sender: bytes, parameters: Sequence[bytes], targets: Sequence[Target], text: Sequence[bytes]
    ) -> list[bytes]:
        """MAIL and RCPT: the reply about each of the targets.  `text` is the mail that `body` will send.

        Raises:
            HopError: the server cannot be reached, or refuses the transaction.
        """
        try:
            client = self._ready()
            return self._begin(client, sender, parameters, targets, text)
        except (OSError, smtplib.SMTPException) as error:
            away = self._client is None
            self.drop()
            raise HopError((_AWAY if away else _GONE) + _reason(error)) from error

    def body(self, text: Sequence[bytes]) -> None:
        """DATA and the mail without its final dot.

        Raises:
            HopError: the server refuses it, or closed the connection.
        """
        client = self._client
        assert client is not None
        try:
            reply = client.ask(b"DATA")
            if not reply.startswith(b"3"):
                raise HopError(_refusal(reply))
            self._in_data = True
            last = b""
            for piece in text:
                for place in range(0, len(piece), _CHUNK):
                    part = piece[place : place + _CHUNK]
                    client.send(_stuffed(part, at_line_start=not last or last.endswith(b"\n")))
                    last = part
            if last and not last.endswith(b"\n"):
                client.send(b"\r\n")
        except (OSError, smtplib.SMTPException) as error:
            raise HopError(_GONE + _reason(error)) from error

    def finish(self) -> bytes:
        """Send the dot; the reply about the mail.  After a 250 the mail is the next server's responsibility."""
        client = self._client
        assert client is not None
        try:
            reply = client.ask(b".")
        except (OSError, smtplib.SMTPException) as error:
            self.drop()
            return _GONE + _reason(error)
        self._in_data = False
        return reply if reply.startswith(b"2") else _refusal(reply)

    def take_back(self) -> None:
        """Cancel the transaction: after DATA by closing the connection, before DATA by RSET at the next mail."""
        if self._in_data:
            self.drop()

    def drop(self) -> None:
        """Close the connection: the server discards a mail without its dot."""
        client, self._client = self._client, None
        self._in_data = False
        if client is not None:
            client.close()

    def close(self) -> None:
        """Close the connection, with QUIT unless a mail is half sent."""
        client = self._client
        if client is not None and not self._in_data:
            try:
                client.ask(b"QUIT")
            except (OSError, smtplib.SMTPException):
                pass  # every mail has been answered already
        self.drop()

    # -- inside ----------------------------------------------------------------------------

    def _ready(self) -> _Client:
        """A connection that is ready for a transaction; the server may have closed an idle one meanwhile."""
        if self._client is not None:
            try:
                if not self._in_data and self._client.ask(b"RSET").startswith(b"2"):
                    return self._client
            except (OSError, smtplib.SMTPException):
                pass  # a new connection follows
            self.drop()
        client = _Client(self._address, self._name, self._timeout_s)
        try:
            client.reach()
            code, text = client.ehlo()
            if not 200 <= code < 300:
                raise HopError(_later(printable(b"%d %b" % (code, text))))
        except BaseException:
            client.close()
            raise
        self._client = client
        return client

    def _begin(
        self,
        client: _Client,
        sender: bytes,
        parameters: Sequence[bytes],
        targets: Sequence[Target],
        text: Sequence[bytes],
    ) -> list[bytes]:
        words = _offered(client, parameters, sender, targets, text)
        dsn = client.has_extn("dsn")
        commands = [b" ".join([b"MAIL FROM:<%b>" % sender, *words])]
        for target in targets:
            commands.append(b" ".join([b"RCPT TO:<%b>" % target.address, *(target.parameters if dsn else ())]))
        if client.has_extn("pipelining"):
            client.send(b"".join(command + b"\r\n" for command in commands))
            replies = [client.heard() for _ in commands]
        else:
            replies = [client.ask(commands[0])]
            replies += [client.ask(command) for command in commands[1:]] if replies[0].startswith(b"2") else []
        if not replies[0].startswith(b"2"):
            raise HopError(_refusal(replies[0]))
        return [reply if reply.startswith(b"2") else _refusal(reply) for reply in replies[1:]]


def _offered(
    client: _Client, parameters: Sequence[bytes], sender: bytes, targets: Sequence[Target], pieces: Sequence[bytes]
) -> list[bytes]:
    """The parameters of MAIL that the next server supports.

    Raises:
        HopError: the mail needs one that the server does not support.
    """
    words = []
    text = pieces[-1]
    upper = [word.upper() for word in parameters]
    eight_bits = not text.isascii()
    if client.has_extn("size"):
        words.append(b"SIZE=%d" % sum(len(piece) + piece.count(b"\n") for piece in pieces))
    if client.has_extn("8bitmime"):
        words += [b"BODY=8BITMIME"] if eight_bits or b"BODY=8BITMIME" in upper else []
    elif eight_bits and b"BODY=8BITMIME" in upper:
        raise HopError(b"554 5.6.3 The next server does not accept 8-bit mail")
    if b"SMTPUTF8" in upper:
        head = text[: text.find(b"\n\n") + 1] or text
        if client.has_extn("smtputf8"):
            words.append(b"SMTPUTF8")
        elif not all(each.isascii() for each in (sender, head, *(target.address for target in targets))):
            raise HopError(b"550 5.6.7 The next server does not accept internationalized mail")
    if client.has_extn("dsn"):
        words += [word for word in parameters if word.upper().startswith((b"RET=", b"ENVID="))]
    return words


def _stuffed(piece: bytes, *, at_line_start: bool) -> bytes:
    """The piece in the form of DATA: lines end in CRLF, and a line that begins with a dot gets a second one."""
    lines = piece.replace(b"\n", b"\r\n").replace(b"\n.", b"\n..")
    return b"." + lines if at_line_start and piece.startswith(b".") else lines


def _refusal(reply: bytes) -> bytes:
    """The reply for our client when this one is not a success; an invalid one becomes 4xx, so that no mail bounces."""
    return reply if reply[:1] in (b"4", b"5") else _later(reply)


def _later(reply: bytes) -> bytes:
    return b"451 4.4.0 The next server says " + reply


def _reason(error: Exception) -> bytes:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return printable(text.encode(errors="replace"))
