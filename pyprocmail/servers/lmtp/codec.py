"""LMTP and SMTP as a state machine without sockets: bytes go in, events and replies come out.

RFC 2033 and RFC 5321, with PIPELINING (2920), ENHANCEDSTATUSCODES (2034), 8BITMIME (6152), SMTPUTF8 (6531) and SIZE
(1870).  The Dialect enables CHUNKING (3030), DSN (3461) and STARTTLS (3207).  The caller decides which recipients exist
and what becomes of a mail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyprocmail.servers.lmtp.paths import Address, read_path

_NEWLINE = b"\n"
_END = b"\r\n.\r\n"
_TOO_MANY_ERRORS = 20
_RETURNS = (b"RET=FULL", b"RET=HDRS")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one client.  `line_bytes` is for command lines; the lines of a mail have no separate limit."""

    mail_bytes: int = 50 << 20
    line_bytes: int = 4096
    recipients: int = 1000


@dataclass(frozen=True, slots=True)
class Dialect:
    """The protocol: LMTP or SMTP, and its extensions.

    `each`: a mail gets one reply for each recipient, as in LMTP, instead of one for all.  `chunking`, `dsn` and `tls`:
    offer the extension; `dsn` accepts the parameters of RFC 3461 and hands them to the caller unchanged.
    """

    name: bytes = b"LMTP"
    hello: tuple[bytes, ...] = (b"LHLO",)
    each: bool = True
    chunking: bool = True
    dsn: bool = False
    tls: bool = False


LMTP = Dialect()


@dataclass(frozen=True, slots=True)
class RecipientNamed:
    """RCPT: the caller answers with `take_recipient`; nothing else is read until then."""

    address: Address


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the mail, as it is stored: newlines are LF."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The mail is complete: the caller calls `answer` for each recipient in order, or once without `Dialect.each`.

    `parameters` are those of MAIL without SIZE, `each` those of the recipients.
    """

    sender: Address
    recipients: tuple[Address, ...]
    parameters: tuple[bytes, ...] = ()
    each: tuple[tuple[bytes, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """The mail is cancelled: the caller forgets its text so far."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The dialogue is over as soon as `output` is sent."""


@dataclass(frozen=True, slots=True)
class Secured:
    """STARTTLS was accepted: as soon as `output` is sent, TLS begins.  What the client sent too early is ignored."""


Event = RecipientNamed | Text | Ended | Dropped | Closed | Secured

_COMMAND, _DATA, _BDAT, _CLOSED = range(4)


class Codec:
    """One connection.  Bytes to send collect in `output`."""

    def __init__(self, name: bytes, limits: Limits, dialect: Dialect = LMTP) -> None:
        self.output = bytearray(b"220 %b %b pyprocmail\r\n" % (name, dialect.name))
        self.greeting = b""
        """The name that the client gave."""
        self.secured = False
        self._dialect = dialect
        self._name = name
        self._limits = limits
        self._buffer = bytearray()
        self._state = _COMMAND
        self._overlong = False
        self._greeted = False
        self._errors = 0
        self._events: list[Event] = []
        self._asked: Address | None = None
        self._asked_with: tuple[bytes, ...] = ()
        self._unanswered = 0
        self._forget()

    def _forget(self) -> None:
        """Begin a new transaction."""
        self._sender: Address | None = None
        self._recipients: list[Address] = []
        self._parameters: tuple[bytes, ...] = ()
        self._each: list[tuple[bytes, ...]] = []
        self._size = 0
        self._failure = b""
        self._chunked = False
        self._left = 0
        self._last = False
        self._skip = False
        self._carriage_return = b""

    # -- what the caller does --------------------------------------------------------------

    @property
    def awaits(self) -> bool:
        """Whether the caller owes an answer; until then `feed` only collects bytes."""
        return self._asked is not None or self._unanswered > 0

    @property
    def sender(self) -> bytes:
        """The sender of the present mail; empty if there is none."""
        return b"" if self._sender is None else self._sender.text

    @property
    def recipients(self) -> tuple[Address, ...]:
        """The recipients of the present mail so far."""
        return tuple(self._recipients)

    @property
    def in_mail(self) -> bool:
        """Whether a mail is being received, or waits for its answers."""
        return self._state in (_DATA, _BDAT) or self._chunked or self._unanswered > 0

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes from the client; the events that follow."""
        if self._state == _CLOSED:
            return []
        self._buffer += data
        return self._advance()

    def take_recipient(self, reply: bytes) -> list[Event]:
        """Answer RecipientNamed; a reply of 2xx adds the recipient to the mail."""
        assert self._asked is not None
        if reply.startswith(b"2"):
            self._recipients.append(self._asked)
            self._each.append(self._asked_with)
        self._asked = None
        self._say(reply)
        return self._advance()

    def answer(self, reply: bytes) -> list[Event]:
        """Answer for the next recipient of the mail, or for the whole mail."""
        assert self._unanswered > 0
        self._unanswered -= 1
        self._say(reply)
        if self._unanswered == 0:
            self._forget()
            return self._advance()
        return []

    def fail(self, reply: bytes) -> list[Event]:
        """The present mail cannot be stored: the rest of it is skipped, and each recipient gets this reply.

        If the mail is already complete, this does nothing: the caller replies with `answer`, as for any Ended.
        """
        if self._unanswered:
            return []
        self._refuse_mail(reply)
        found, self._events = self._events, []
        return found

    def close(self, reply: bytes) -> list[Event]:
        """End the dialogue now with this reply; each recipient without an answer gets it, too."""
        for _ in range(max(self._unanswered, 1)):
            self._say(reply)
        self._unanswered = 0
        self._asked = None
        self._end()
        found, self._events = self._events, []
        return found

    # -- reading ---------------------------------------------------------------------------

    def _advance(self) -> list[Event]:
        while not self.awaits and self._state != _CLOSED and self._step():
            pass
        found, self._events = self._events, []
        return found

    def _step(self) -> bool:
        """Take a command or a piece of mail from the buffer; false if it is not complete yet."""
        if self._state == _DATA:
            return self._read_data()
        if self._state == _BDAT:
            return self._read_chunk()
        return self._read_line()

    def _read_line(self) -> bool:
        end = self._buffer.find(_NEWLINE)
        if end < 0 or end > self._limits.line_bytes:
            self._overlong = self._overlong or len(self._buffer) > self._limits.line_bytes
        if end < 0:
            if self._overlong:
                self._buffer.clear()
            return False
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        if self._overlong:
            self._overlong = False
            self._wrong(b"500 5.5.2 Line too long")
        else:
            self._command(line)
        return True

    def _read_data(self) -> bool:
        # The buffer begins with the CRLF before the first line, so that a dot at the beginning is like any other.
        buffer = self._buffer
        end = buffer.find(_END)
        if end >= 0:
            piece = bytes(buffer[: end + 2])
            del buffer[: end + len(_END)]
            self._take(self._unstuffed(piece))
            self._complete()
            return True
        cut = buffer.rfind(b"\r\n")
        if cut < 0 or len(buffer) - cut >= len(_END):
            cut = len(buffer) - buffer.endswith(b"\r")
        piece = bytes(buffer[:cut])
        del buffer[:cut]
        self._take(self._unstuffed(piece))
        return False

    def _unstuffed(self, piece: bytes) -> bytes:
        piece = piece.replace(b"\r\n.", b"\r\n").replace(b"\r\n", _NEWLINE)
        if self._skip and piece:
            self._skip = False
            return piece[1:]
        return piece

    def _read_chunk(self) -> bool:
        piece = self._carriage_return + bytes(self._buffer[: self._left])
        taken = min(self._left, len(self._buffer))
        del self._buffer[:taken]
        self._left -= taken
        over = self._left == 0
        self._carriage_return = b""
        if piece.endswith(b"\r") and not (over and self._last):
            piece, self._carriage_return = piece[:-1], b"\r"
        self._take(piece.replace(b"\r\n", _NEWLINE))
        if over:
            self._end_chunk()
        return over

    def _end_chunk(self) -> None:
        self._state = _COMMAND
        if not self._recipients:
            # The mail has no recipient, so the error is that of the command.
            self._wrong(b"503 5.5.1 No valid recipients")
            self._drop()
        elif self._last:
            self._complete()
        else:
            self._say(self._failure or b"250 2.0.0 Ok, go on")

    def _take(self, text: bytes) -> None:
        """A piece of the mail, if it is still wanted."""
        self._size += len(text)
        if self._size > self._limits.mail_bytes:
            self._refuse_mail(b"552 5.3.4 Message too big, the limit is %d bytes" % self._limits.mail_bytes)
        if text and self._recipients and not self._failure:
            self._events.append(Text(text))

    def _refuse_mail(self, reply: bytes) -> None:
        if not self._failure:
            self._failure = reply
            self._events.append(Dropped())

    def _complete(self) -> None:
        """The mail is complete: report Ended, or reply with the failure."""
        self._state = _COMMAND
        replies = len(self._recipients) if self._dialect.each else 1
        if self._failure:
            for _ in range(replies):
                self._say(self._failure)
            self._forget()
            return
        assert self._sender is not None
        self._unanswered = replies
        self._events.append(Ended(self._sender, tuple(self._recipients), self._parameters, tuple(self._each)))

    # -- replies ---------------------------------------------------------------------------

    def _say(self, reply: bytes) -> None:
        self.output += reply + b"\r\n"

    def _wrong(self, reply: bytes) -> None:
        self._say(reply)
        self._errors += 1
        if self._errors >= _TOO_MANY_ERRORS:
            self._say(b"421 4.7.0 %b Too many errors" % self._name)
            self._end()

    def _end(self) -> None:
        if self._state != _CLOSED:
            self._drop()
            self._state = _CLOSED
            self._buffer.clear()
            self._events.append(Closed())

    def _drop(self) -> None:
        if self._sender is not None:
            self._events.append(Dropped())
        self._forget()

    # -- commands --------------------------------------------------------------------------

    def _command(self, line: bytes) -> None:
        verb, _, rest = line.partition(b" ")
        verbs: dict[bytes, Callable[[bytes], None]] = {
            b"LHLO": self._hello,
            b"EHLO": self._hello,
            b"HELO": self._hello,
            b"STARTTLS": self._starttls,
            b"MAIL": self._mail,
            b"RCPT": self._rcpt,
            b"DATA": self._data,
            b"BDAT": self._bdat,
            b"RSET": self._rset,
            b"NOOP": self._noop,
            b"VRFY": self._vrfy,
            b"QUIT": self._quit,
        }
        verb = verb.upper()
        found = verbs.get(verb)
        if verb in (b"LHLO", b"EHLO", b"HELO") and verb not in self._dialect.hello:
            self._wrong(b"500 5.5.1 This is %b, say %b" % (self._dialect.name, self._dialect.hello[0]))
        elif found is None:
            self._wrong(b"500 5.5.1 Unknown command")
        elif found == self._hello:
            self._hello(rest.strip(b" "), extended=verb != b"HELO")
        else:
            found(rest.strip(b" "))

    def _hello(self, rest: bytes, *, extended: bool = True) -> None:
        if not rest:
            self._wrong(b"501 5.5.4 Say %b with your name" % self._dialect.hello[0])
            return
        self._drop()
        self._greeted = True
        self.greeting = rest
        if not extended:
            self._say(b"250 " + self._name)
            return
        offers = [
            self._name,
            b"PIPELINING",
            b"ENHANCEDSTATUSCODES",
            b"8BITMIME",
            b"SMTPUTF8",
            b"SIZE %d" % self._limits.mail_bytes,
        ]
        offers += [b"CHUNKING"] if self._dialect.chunking else []
        offers += [b"DSN"] if self._dialect.dsn else []
        offers += [b"STARTTLS"] if self._dialect.tls and not self.secured else []
        for offer in offers[:-1]:
            self._say(b"250-" + offer)
        self._say(b"250 " + offers[-1])

    def _starttls(self, rest: bytes) -> None:
        if not self._dialect.tls or self.secured:
            self._wrong(b"503 5.5.1 TLS is not available")
        elif rest:
            self._wrong(b"501 5.5.4 STARTTLS takes no arguments")
        else:
            self._say(b"220 2.0.0 Ready to start TLS")
            self._drop()
            # Commands before TLS, which an attacker may have inserted, must not count as sent within it.
            self._buffer.clear()
            self._greeted = False
            self.secured = True
            self._events.append(Secured())

    def _mail(self, rest: bytes) -> None:
        if not self._greeted:
            self._wrong(b"503 5.5.1 Say %b first" % self._dialect.hello[0])
        elif self._sender is not None:
            self._wrong(b"503 5.5.1 The sender is already given")
        elif (found := _after(b"FROM:", rest)) is None:
            self._wrong(b"501 5.1.7 Say MAIL FROM:<address>")
        elif isinstance(taken := self._of_mail(found[1]), bytes):
            self._wrong(taken)
        else:
            self._sender = found[0]
            self._parameters = taken
            self._say(b"250 2.1.0 Ok")

    def _of_mail(self, text: bytes) -> tuple[bytes, ...] | bytes:
        """The parameters of MAIL without SIZE, or the reply that refuses them."""
        kept = []
        for word in text.split():
            name, _, value = word.upper().partition(b"=")
            if name == b"SIZE" and value.isdigit() and len(value) <= 20:
                if int(value) > self._limits.mail_bytes:
                    return b"552 5.3.4 Message too big, the limit is %d bytes" % self._limits.mail_bytes
                continue
            plain = word.upper() in (b"BODY=7BIT", b"BODY=8BITMIME", b"SMTPUTF8")
            if not plain and not (self._dialect.dsn and (word.upper() in _RETURNS or (name == b"ENVID" and value))):
                return b"555 5.5.4 Unknown parameter"
            kept.append(word)
        return tuple(kept)

    def _of_rcpt(self, text: bytes) -> tuple[bytes, ...] | None:
        """The parameters of RCPT; None if one of them is refused."""
        words = tuple(text.split())
        names = [word.upper().partition(b"=") for word in words]
        known = self._dialect.dsn and all(name in (b"NOTIFY", b"ORCPT") and value for name, _, value in names)
        return words if known or not words else None

    def _rcpt(self, rest: bytes) -> None:
        if self._sender is None or self._chunked:
            self._wrong(b"503 5.5.1 Say MAIL first")
        elif (found := _after(b"TO:", rest)) is None or not found[0].local:
            self._wrong(b"501 5.1.3 Say RCPT TO:<address>")
        elif (words := self._of_rcpt(found[1])) is None:
            self._wrong(b"555 5.5.4 Unknown parameter")
        elif len(self._recipients) >= self._limits.recipients:
            # Not counted as an error: the client sends the mail to the others in a second transaction.
            self._say(b"452 4.5.3 Too many recipients")
        else:
            self._asked = found[0]
            self._asked_with = words
            self._events.append(RecipientNamed(found[0]))

    def _data(self, rest: bytes) -> None:
        if rest:
            self._wrong(b"501 5.5.4 DATA takes no arguments")
        elif self._sender is None or self._chunked:
            self._wrong(b"503 5.5.1 Say MAIL first")
        elif not self._recipients:
            self._wrong(b"503 5.5.1 No valid recipients")
        else:
            self._say(b"354 Go on, end with a dot")
            self._state = _DATA
            self._skip = True
            self._buffer[0:0] = b"\r\n"

    def _bdat(self, rest: bytes) -> None:
        words = rest.upper().split()
        if not self._dialect.chunking:
            # What follows is mail, and must not be read as commands.
            self._say(b"502 5.5.1 BDAT is not supported")
            self._end()
            return
        if (
            not words
            or len(words) > 2
            or not words[0].isdigit()
            or len(words[0]) > 20
            or words[1:] not in ([], [b"LAST"])
        ):
            # The size of the mail that follows is unknown.
            self._say(b"501 5.5.4 BDAT needs a size")
            self._end()
            return
        self._chunked = self._sender is not None
        self._left = int(words[0])
        self._last = len(words) == 2
        self._state = _BDAT

    def _rset(self, _rest: bytes) -> None:
        self._drop()
        self._say(b"250 2.0.0 Ok")

    def _noop(self, _rest: bytes) -> None:
        self._say(b"250 2.0.0 Ok")

    def _vrfy(self, _rest: bytes) -> None:
        self._say(b"252 2.5.0 Send a mail to find out")

    def _quit(self, _rest: bytes) -> None:
        self._say(b"221 2.0.0 Bye")
        self._end()


def _after(word: bytes, rest: bytes) -> tuple[Address, bytes] | None:
    return read_path(rest[len(word) :]) if rest[: len(word)].upper() == word else None
