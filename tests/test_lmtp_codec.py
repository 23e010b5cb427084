"""The LMTP codec: whole dialogues, each cut in every way, and what holds for any bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyprocmail.servers.lmtp.codec import (
    Closed,
    Codec,
    Dialect,
    Dropped,
    Ended,
    Event,
    Limits,
    RecipientNamed,
    Secured,
    Text,
)
from pyprocmail.servers.lmtp.paths import read_path

SMALL = Limits(mail_bytes=100, line_bytes=80, recipients=3)
UNKNOWN = (b"nobody",)
FULL = b"452 4.3.1 Disk full"


@dataclass
class Server:
    """Takes everybody but nobody, and says which mails came."""

    limits: Limits = SMALL
    broken_disk: bool = False
    mails: list[tuple[bytes, bytes, tuple[bytes, ...]]] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self.codec = Codec(b"here", self.limits)
        self.text = b""

    def feed(self, data: bytes) -> None:
        """Answer whatever comes of the data."""
        todo = self.codec.feed(data)
        while todo:
            todo = todo[1:] + self.handle(todo[0])

    def handle(self, event: Event) -> list[Event]:
        """What a server does."""
        match event:
            case RecipientNamed(address):
                refused = address.local in UNKNOWN
                return self.codec.take_recipient(b"550 5.1.1 Unknown" if refused else b"250 2.1.5 Ok")
            case Text(data):
                self.text += data
                return self.codec.fail(FULL) if self.broken_disk else []
            case Ended(_, recipients) if self.broken_disk:
                return [late for _ in recipients for late in self.codec.answer(FULL)]
            case Ended(sender, recipients):
                self.mails.append((sender.text, self.text, tuple(each.text for each in recipients)))
                self.text = b""
                return [late for each in recipients for late in self.codec.answer(b"250 2.0.0 " + each.text)]
            case Dropped():
                self.text = b""
            case Closed():
                self.closed = True
        return []

    def said(self) -> list[str]:
        """The replies so far, without the greeting and LHLO's."""
        lines = self.codec.output.decode().split("\r\n")[:-1]
        return [line for line in lines[1:] if not line.startswith("250-") and line != "250 CHUNKING"]


HELLO = b"LHLO me\r\nMAIL FROM:<a@b>\r\n"
DIALOGUES = {
    "each recipient has a reply": (
        HELLO + b"RCPT TO:<x@y>\r\nRCPT TO:<nobody@y>\r\nRCPT TO:<z+d@y>\r\nDATA\r\n..dot\r\nbody\r\n.\r\nQUIT\r\n",
        ["250 2.1.0 Ok", "250 2.1.5 Ok", "550 5.1.1 Unknown", "250 2.1.5 Ok", "354 Go on, end with a dot",
         "250 2.0.0 x@y", "250 2.0.0 z+d@y", "221 2.0.0 Bye"],
        [(b"a@b", b".dot\nbody\n", (b"x@y", b"z+d@y"))],
    ),
    "an empty mail": (
        HELLO + b"RCPT TO:<x>\r\nDATA\r\n.\r\n",
        ["250 2.1.0 Ok", "250 2.1.5 Ok", "354 Go on, end with a dot", "250 2.0.0 x"],
        [(b"a@b", b"", (b"x",))],
    ),
    "only CRLF . CRLF ends a mail": (
        HELLO + b"RCPT TO:<x>\r\nDATA\r\na\n.\nb\r\n.\nc\n.\r\nd\r\r\n.\r\n",
        ["250 2.1.0 Ok", "250 2.1.5 Ok", "354 Go on, end with a dot", "250 2.0.0 x"],
        [(b"a@b", b"a\n.\nb\n\nc\n.\nd\r\n", (b"x",))],
    ),
    "BDAT has no dots, and one reply until the last": (
        HELLO + b"RCPT TO:<x>\r\nRCPT TO:<y>\r\nBDAT 5\r\na\r\n.\rBDAT 2\r\n\n\rBDAT 1 LAST\r\n\n",
        ["250 2.1.0 Ok", "250 2.1.5 Ok", "250 2.1.5 Ok", "250 2.0.0 Ok, go on", "250 2.0.0 Ok, go on",
         "250 2.0.0 x", "250 2.0.0 y"],
        [(b"a@b", b"a\n.\n\n", (b"x", b"y"))],
    ),
    "too big": (
        HELLO + b"RCPT TO:<x>\r\nRCPT TO:<y>\r\nDATA\r\n" + b"1234567\r\n" * 20 + b".\r\nNOOP\r\n",
        ["250 2.1.0 Ok", "250 2.1.5 Ok", "250 2.1.5 Ok", "354 Go on, end with a dot",
         "552 5.3.4 Message too big, the limit is 100 bytes", "552 5.3.4 Message too big, the limit is 100 bytes",
         "250 2.0.0 Ok"],
        [],
    ),
    "too big with BDAT": (
        HELLO + b"RCPT TO:<x>\r\nRCPT TO:<y>\r\nBDAT 101\r\n" + b"x" * 101 + b"BDAT 1 LAST\r\nyNOOP\r\n",
        ["250 2.1.0 Ok", "250 2.1.5 Ok", "250 2.1.5 Ok"]
        + ["552 5.3.4 Message too big, the limit is 100 bytes"] * 3 + ["250 2.0.0 Ok"],
        [],
    ),
    "too big by its own word": (
        b"LHLO me\r\nMAIL FROM:<a@b> SIZE=101\r\nMAIL FROM:<a@b> BODY=8BITMIME SIZE=100 SMTPUTF8\r\n",
        ["552 5.3.4 Message too big, the limit is 100 bytes", "250 2.1.0 Ok"],
        [],
    ),
    "nobody takes it": (
        HELLO + b"RCPT TO:<nobody>\r\nDATA\r\nBDAT 6 LAST\r\nRSET\r\nNOOP\r\n",
        ["250 2.1.0 Ok", "550 5.1.1 Unknown", "503 5.5.1 No valid recipients", "503 5.5.1 No valid recipients",
         "250 2.0.0 Ok"],
        [],
    ),
    "too many recipients": (
        HELLO + b"RCPT TO:<x>\r\n" * 4 + b"DATA\r\n.\r\n",
        ["250 2.1.0 Ok"] + ["250 2.1.5 Ok"] * 3 + ["452 4.5.3 Too many recipients", "354 Go on, end with a dot"]
        + ["250 2.0.0 x"] * 3,
        [(b"a@b", b"", (b"x", b"x", b"x"))],
    ),
    "out of order": (
        (b"MAIL FROM:<>\r\nLHLO\r\nEHLO me\r\nLHLO me\r\nRCPT TO:<x>\r\nDATA\r\nMAIL FROM:a\r\nMAIL FROM:<> X=1\r\n"
        b"MAIL FROM:<>\r\nMAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<x> NOTIFY=NEVER\r\nVRFY x\r\nTURN\r\n"),
        ["503 5.5.1 Say LHLO first", "501 5.5.4 Say LHLO with your name", "500 5.5.1 This is LMTP, say LHLO",
         "503 5.5.1 Say MAIL first", "503 5.5.1 Say MAIL first", "501 5.1.7 Say MAIL FROM:<address>",
         "555 5.5.4 Unknown parameter", "250 2.1.0 Ok", "503 5.5.1 The sender is already given",
         "501 5.1.3 Say RCPT TO:<address>", "555 5.5.4 Unknown parameter", "252 2.5.0 Send a mail to find out",
         "500 5.5.1 Unknown command"],
        [],
    ),
    "an endless line": (b"x" * 500 + b"\r\nNOOP\r\n", ["500 5.5.2 Line too long", "250 2.0.0 Ok"], []),
    "lines of a mail have any length": (
        HELLO + b"RCPT TO:<x>\r\nDATA\r\n" + b"x" * 97 + b"\r\n.\r\n",
        ["250 2.1.0 Ok", "250 2.1.5 Ok", "354 Go on, end with a dot", "250 2.0.0 x"],
        [(b"a@b", b"x" * 97 + b"\n", (b"x",))],
    ),
    "a BDAT of unknown size": (
        HELLO + b"RCPT TO:<x>\r\nBDAT many\r\nQUIT\r\n",
        ["250 2.1.0 Ok", "250 2.1.5 Ok", "501 5.5.4 BDAT needs a size"],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALOGUES)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 10_000])
def test_dialogue(name: str, step: int) -> None:
    """The same replies and mails, wherever the network cuts the stream."""
    sent, said, mails = DIALOGUES[name]
    server = Server()
    for place in range(0, len(sent), step):
        server.feed(sent[place : place + step])
    assert server.said() == said
    assert server.mails == mails


def test_offers() -> None:
    """What the greeting and LHLO say."""
    server = Server()
    server.feed(b"LHLO me\r\n")
    assert bytes(server.codec.output).split(b"\r\n") == [
        b"220 here LMTP pyprocmail", b"250-here", b"250-PIPELINING", b"250-ENHANCEDSTATUSCODES", b"250-8BITMIME",
        b"250-SMTPUTF8", b"250-SIZE 100", b"250 CHUNKING", b"",
    ]  # fmt: skip


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize("mail", [b"DATA\r\nhello\r\n.\r\n", b"BDAT 6 LAST\r\nhello\n"])
def test_a_mail_that_cannot_be_kept(mail: bytes, step: int) -> None:
    """One reply for each recipient, and the dialogue goes on in step."""
    server = Server(broken_disk=True)
    sent = HELLO + b"RCPT TO:<x>\r\nRCPT TO:<y>\r\n" + mail + b"NOOP\r\n"
    for place in range(0, len(sent), step):
        server.feed(sent[place : place + step])
    assert [line for line in server.said() if line[:3] != "354"][3:] == [
        "452 4.3.1 Disk full", "452 4.3.1 Disk full", "250 2.0.0 Ok",
    ]  # fmt: skip
    assert server.mails == []


def test_too_many_errors() -> None:
    """A client that talks nonsense is left."""
    server = Server()
    server.feed(b"GET / HTTP/1.0\r\n" * 30)
    assert server.closed
    assert server.said()[-1] == "421 4.7.0 here Too many errors"
    assert len(server.said()) == 21


def test_a_stop_answers_each_recipient() -> None:
    """421 for everybody who waits."""
    codec = Codec(b"here", SMALL)
    codec.feed(HELLO)
    for _ in range(2):
        codec.feed(b"RCPT TO:<x>\r\n")
        codec.take_recipient(b"250 2.1.5 Ok")
    codec.feed(b"DATA\r\n.\r\n")
    assert codec.awaits
    codec.output.clear()
    assert codec.close(b"421 4.3.2 Stopping") == [Dropped(), Closed()]
    assert codec.output == b"421 4.3.2 Stopping\r\n" * 2


def stuffed(text: bytes) -> bytes:
    """A client's DATA of a text of LF lines."""
    lines = text.split(b"\n")[:-1]
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"


WIRE = st.lists(st.sampled_from([b".", b"..", b"a", b"\r", b"\n", b"\r\n", b"\r\n.", b"\xff\x00"]), max_size=30)
LARGE = Limits(mail_bytes=10_000)


@given(st.lists(st.sampled_from([b".", b"a", b"\r", b"\n", b"..\n", b"\xff\x00"]), max_size=30), st.integers(1, 9))
def test_data_comes_back_as_it_was(pieces: list[bytes], step: int) -> None:
    """Stuffed by a client, read by us: the same mail, wherever it is cut."""
    # A CR before the LF is the newline's on the wire.
    text = (b"".join(pieces) + b"\n").replace(b"\r\n", b"\n")
    sent = HELLO + b"RCPT TO:<x>\r\nDATA\r\n" + stuffed(text)
    server = Server(LARGE)
    for place in range(0, len(sent), step):
        server.feed(sent[place : place + step])
    assert [mail for _, mail, _ in server.mails] == [text]


@given(st.lists(WIRE.map(b"".join), min_size=1, max_size=5), st.integers(1, 9))
def test_chunks_come_back_as_they_were(chunks: list[bytes], step: int) -> None:
    """However many chunks, and wherever they are cut."""
    sent = HELLO + b"RCPT TO:<x>\r\n"
    for chunk in chunks[:-1]:
        sent += b"BDAT %d\r\n" % len(chunk) + chunk
    sent += b"BDAT %d LAST\r\n" % len(chunks[-1]) + chunks[-1]
    server = Server(LARGE)
    for place in range(0, len(sent), step):
        server.feed(sent[place : place + step])
    assert [mail for _, mail, _ in server.mails] == [b"".join(chunks).replace(b"\r\n", b"\n")]


COMMANDS = [b"LHLO me\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<x>\r\n", b"RCPT TO:<nobody>\r\n", b"DATA\r\n", b".\r\n",
            b"BDAT 3\r\n", b"BDAT 2 LAST\r\n", b"abc", b"\r\n", b"RSET\r\n", b"QUIT\r\n", b"\x00\xff",
            b"x" * 90]  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.sampled_from(COMMANDS) | st.binary(max_size=6), max_size=30), st.integers(1, 40))
def test_cuts_do_not_matter(pieces: list[bytes], step: int) -> None:
    """Whatever comes, it has the same replies in one piece as in many, and each is a line of a reply."""
    sent = b"".join(pieces)
    whole, cut = Server(), Server()
    whole.feed(sent)
    for place in range(0, len(sent), step):
        cut.feed(sent[place : place + step])
    assert whole.codec.output == cut.codec.output
    assert whole.mails == cut.mails
    for line in bytes(whole.codec.output).split(b"\r\n")[:-1]:
        assert line[:3].isdigit()
        assert line[3:4] in (b" ", b"-")


def test_an_endless_line_takes_no_memory() -> None:
    """Of a command and of a mail; the text is handed on at once."""
    codec = Codec(b"here", Limits())
    for _ in range(200):
        codec.feed(b"x" * 10_000)
    assert len(codec._buffer) <= Limits().line_bytes
    server = Server(Limits())
    server.feed(HELLO + b"RCPT TO:<x>\r\nDATA\r\n")
    for _ in range(200):
        server.feed(b"x" * 10_000)
        assert len(server.codec._buffer) < 10
    assert len(server.text) == 2_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"<>", (b"", b"", b"")),
        (b" <a@b> SIZE=1", (b"a@b", b"a", b"b")),
        (b"<@c,@d:a@b>", (b"a@b", b"a", b"b")),
        (b'<"a b\\"@>"@c>', (b'"a b\\"@>"@c', b'a b"@>', b"c")),
        (b"<postmaster>", (b"postmaster", b"postmaster", b"")),
        ("<jörg@b>".encode(), ("jörg@b".encode(), "jörg".encode(), b"b")),
        (b"<a@b", None),
        (b"a@b", None),
        (b"<a@b>x", None),
        (b"<a\x00@b>", None),
        (b"<a\t@b>", None),
        (b'<"a@b>', None),
        (b'<"a"x@b>', None),
        (b"<@c>", None),
        (b"<" + b"a" * 2000 + b">", None),
    ],
)
def test_paths(text: bytes, expected: tuple[bytes, bytes, bytes] | None) -> None:
    """Addresses with their parts."""
    found = read_path(text)
    assert (found and (found[0].text, found[0].local, found[0].domain)) == expected


SMTP = Dialect(b"ESMTP", (b"EHLO", b"HELO"), each=False, chunking=False, dsn=True, tls=True)
SMTP_DIALOGUES = {
    "one reply for all, with the parameters as they are": (
        (b"EHLO me\r\nMAIL FROM:<a@b> SIZE=9 BODY=8BITMIME RET=hdrs ENVID=Qq+3D\r\n"
        b"RCPT TO:<x@y> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;X@y\r\nRCPT TO:<z@y>\r\nDATA\r\nhi\r\n.\r\n"),
        ["250 2.1.0 Ok", "250 2.1.5 Ok", "250 2.1.5 Ok", "354 Go on, end with a dot", "250 2.0.0 done"],
        [((b"BODY=8BITMIME", b"RET=hdrs", b"ENVID=Qq+3D"), ((b"NOTIFY=SUCCESS,DELAY", b"ORCPT=rfc822;X@y"), ()))],
    ),
    "what is too big has one reply": (
        b"HELO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nRCPT TO:<z@y>\r\nDATA\r\n" + b"x" * 200 + b"\r\n.\r\nNOOP\r\n",
        ["250 here", "250 2.1.0 Ok", "250 2.1.5 Ok", "250 2.1.5 Ok", "354 Go on, end with a dot",
         "552 5.3.4 Message too big, the limit is 100 bytes", "250 2.0.0 Ok"],
        [],
    ),
    "what is not offered": (
        (b"LHLO me\r\nMAIL FROM:<a>\r\nEHLO me\r\nMAIL FROM:<a> AUTH=<>\r\nMAIL FROM:<a>\r\n"
         b"RCPT TO:<b> NOTIFY\r\nRCPT TO:<b> XFOO=1\r\nBDAT 9 LAST\r\nRSET\r\n"),
        ["500 5.5.1 This is ESMTP, say EHLO", "503 5.5.1 Say EHLO first", "555 5.5.4 Unknown parameter", "250 2.1.0 Ok",
         "555 5.5.4 Unknown parameter",
         "555 5.5.4 Unknown parameter", "502 5.5.1 BDAT is not supported"],
        [],
    ),
    "what comes before TLS is forgotten": (
        b"EHLO me\r\nMAIL FROM:<a>\r\nSTARTTLS\r\nMAIL FROM:<injected>\r\n",
        ["250 2.1.0 Ok", "220 2.0.0 Ready to start TLS"],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SMTP_DIALOGUES)
def test_smtp(name: str) -> None:
    """The other dialect: EHLO, one reply, parameters, no CHUNKING."""
    said, replies, mails = SMTP_DIALOGUES[name]
    codec = Codec(b"here", SMALL, SMTP)
    found = []
    todo = codec.feed(said)
    while todo:
        event = todo.pop(0)
        if isinstance(event, RecipientNamed):
            todo += codec.take_recipient(b"250 2.1.5 Ok")
        elif isinstance(event, Ended):
            found.append((event.parameters, event.each))
            todo += codec.answer(b"250 2.0.0 done")
    lines = codec.output.decode().split("\r\n")[1:-1]
    offers = [line for line in lines if line.startswith("250-") or line == "250 STARTTLS"]
    assert [line for line in lines if line not in offers] == replies
    assert ("250 STARTTLS" in offers) == ("250-DSN" in offers) == (b"EHLO me" in said)
    assert found == mails


def test_after_starttls() -> None:
    """The dialogue begins anew, and TLS is not offered twice."""
    codec = Codec(b"here", SMALL, SMTP)
    assert codec.feed(b"EHLO me\r\nSTARTTLS\r\n") == [Secured()]
    codec.output.clear()
    assert codec.feed(b"MAIL FROM:<a>\r\nSTARTTLS\r\nEHLO me\r\n") == []
    assert codec.output.startswith(b"503 5.5.1 Say EHLO first\r\n503 5.5.1 TLS is not available\r\n250-here\r\n")
    assert codec.output.endswith(b"250 DSN\r\n")
