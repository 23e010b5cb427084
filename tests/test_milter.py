"""The milter that logs: its protocol, what it hears, and the program, driven by miltertest and by hostile peers."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocmail.commands.milter import _counters as milter_counters
from pyprocmail.engine.logfile import Limits
from pyprocmail.host import Host
from pyprocmail.message import attachments
from pyprocmail.servers.milter import codec
from pyprocmail.servers.milter import journal as milter_journal
from pyprocmail.servers.milter import server as milter_server
from pyprocmail.servers.milter.conversation import Conversation, Mail
from pyprocmail.servers.milter.journal import Format, Journal
from pyprocmail.servers.spool import Envelope, ForeignSpoolError, Spool, SpoolFullError
from pyprocmail.tools.maillog import Entry, entry_of, subject_of

HEADER = [
    (b"From", b"Alice <alice@example.com>"),
    (b"Subject", b"=?utf-8?B?SGVsbG8=?= two\n\tfolded"),
    (b"MIME-Version", b"1.0"),
    (b"Content-Type", b"multipart/mixed; boundary=b"),
]
BODY = (
    b'--b\r\nContent-Type: application/pdf; name="r\xc3\xa9port.pdf"\r\n\r\nx\r\n'
    b'--b\r\nContent-Type: image/png;\r\n name="a b.png"\r\n\r\nx\r\n'
    b"--b\r\nContent-Disposition: attachment; filename=only-disp.csv\r\n\r\nx\r\n--b--\r\n"
)
GOLDEN = (
    b"26-11-20 05:12\ttime=1795151572\tfrom=<alice@example.com>\tto=<bob@example.org>\tto=<carol@example.org>"
    b"\tsize=%d\tsubject==?utf-8?B?SGVsbG8=?= two  folded\tfile=r\xc3\xa9port.pdf\tfile=a b.png\tfile=only-disp.csv\n"
)


# -- the line --------------------------------------------------------------------------------


def line_of(header: list[tuple[bytes, bytes]], *chunks: bytes) -> bytes:
    """The line of a mail that comes in these pieces."""
    found: list[bytes] = []

    def heard(mail: Mail) -> None:
        names = list(attachments.file_names(mail.text()))
        subject = subject_of(bytes(mail.header))
        found.append(Entry(1795151572, mail.sender, mail.recipients, mail.size, subject, names).line())
        mail.close()

    conversation = Conversation(heard)
    to = (b"<bob@example.org>", b"<carol@example.org>", b"<bob@example.org>")
    events: list[codec.Event] = [
        codec.MailFrom(b"<alice@example.com>", []),
        *(codec.Recipient(address, []) for address in to),
        *(codec.Header(name, value) for name, value in header),
        codec.EndOfHeaders(),
        *(codec.Body(chunk) for chunk in chunks),
        codec.EndOfMessage(b""),
    ]
    for event in events:
        list(conversation.answer(event))
    (line,) = found
    return line


@pytest.mark.parametrize("size", [1, 7, 64, 65536])
def test_the_golden_line_in_any_pieces(size: int) -> None:
    """A name may lie across two chunks."""
    chunks = [BODY[at : at + size] for at in range(0, len(BODY), size)]
    assert line_of(HEADER, *chunks) == GOLDEN % len(BODY)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b"attachment; filename=plain.txt", "plain.txt"),
        (b"attachment; filename*=utf-8''r%C3%A9sum%C3%A9.doc", "résumé.doc"),
        (b"attachment; filename*=iso-8859-1'fr'caf%E9.txt", "café.txt"),
        (b'attachment; filename*0="long "; filename*1="name"; filename*2=".pdf"', "long name.pdf"),
        (b"attachment; filename*0*=utf-8''a%20; filename*1=\"b%20\"; filename*2*=%63", "a b%20c"),
        (b'attachment; filename="=?utf-8?Q?r=C3=A9?=.txt"', "ré.txt"),
        (b'attachment; filename="a\tfile=forged"', "a file=forged"),
        (b"attachment", ""),
    ],
)
def test_names_of_attachments(disposition: bytes, name: str) -> None:
    """RFC 2231, 2047, and what a stranger would like to forge."""
    body = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\nx\r\n--b--\r\n"
    line = line_of(HEADER, body)
    fields = [field for field in line.rstrip(b"\n").split(b"\t") if field.startswith(b"file=")]
    assert fields == ([b"file=" + name.encode()] if name else [])
    assert line.count(b"\n") == 1


def test_nested_messages_have_attachments_too() -> None:
    """A forwarded mail is looked into; a mail need not say that it has MIME."""
    inner = b"From: a\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n"
    inner += b"--i\r\nContent-Disposition: x; filename=in.doc\r\n\r\n--i--\r\n"
    body = b"--b\r\nContent-Type: message/rfc822; name=mail.eml\r\n\r\n" + inner + b"--b--\r\n"
    header = [field for field in HEADER if field[0] != b"MIME-Version"]
    assert line_of(header, body).rstrip(b"\n").split(b"\t")[-2:] == [b"file=mail.eml", b"file=in.doc"]


def test_saved_mail() -> None:
    """A mailbox names its sender in the From_ line."""
    mail = b"From alice@example.com Fri Nov 20 05:12:52 2026\nTo: Bob <bob@example.org>, c@d\nSubject: one\n\nbody\n\n"
    entry = entry_of(mail, 1795151572)
    assert entry.line() == (
        b"26-11-20 05:12\ttime=1795151572\tfrom=<alice@example.com>\tto=<bob@example.org>\tto=<c@d>"
        b"\tsize=5\tsubject=one\n"
    )
    assert json.loads(entry.json()) == {
        "time": 1795151572, "from": "<alice@example.com>", "to": ["<bob@example.org>", "<c@d>"], "size": 5,
        "subject": "one", "files": [],
    }  # fmt: skip


# -- the protocol ----------------------------------------------------------------------------

WORD = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b""))
EVENTS = st.one_of(
    st.builds(lambda name, value: (b"L" + name + b"\0" + value + b"\0", codec.Header(name, value)), WORD, WORD),
    st.builds(lambda chunk: (b"B" + chunk, codec.Body(chunk)), st.binary(max_size=300)),
    st.builds(lambda chunk: (b"E" + chunk, codec.EndOfMessage(chunk)), st.binary(max_size=30)),
    st.builds(lambda address: (b"R" + address + b"\0", codec.Recipient(address, [])), WORD),
    st.builds(lambda a, b: (b"M" + a + b"\0" + b + b"\0", codec.MailFrom(a, [b])), WORD, WORD),
    st.builds(lambda name: (b"H" + name + b"\0", codec.Helo(name)), WORD),
    st.just((b"Cx\0U", codec.Connect(b"x", b"U", 0, b""))),
    st.builds(
        lambda port: (b"Ca\x004" + struct.pack(">H", port) + b"1.2.3.4\0", codec.Connect(b"a", b"4", port, b"1.2.3.4")),
        st.integers(0, 65535),
    ),
    st.sampled_from(
        [
            (b"T", codec.Data()), (b"N", codec.EndOfHeaders()), (b"A", codec.Abort()), (b"Q", codec.Quit(False)),
            (b"K", codec.Quit(True)), (b"Uxx\0", codec.Unknown(b"xx")),
        ]
    ),
)  # fmt: skip


@given(st.lists(EVENTS, max_size=12), st.integers(0, 2**32))
def test_packets_in_any_pieces(packets: list[tuple[bytes, codec.Event]], seed: int) -> None:
    """What comes in is told in its order, wherever it is cut."""
    stream = b"".join(struct.pack(">I", len(data)) + data for data, _ in packets)
    cut = random.Random(seed)
    decoder = codec.Decoder()
    found: list[codec.Event] = []
    while stream:
        size = cut.randint(1, len(stream))
        found += decoder.feed(stream[:size])
        stream = stream[size:]
    assert found == [event for _, event in packets]


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    """Events, or a ProtocolError: nothing else."""
    try:
        for event in codec.Decoder(1000).feed(data):
            list(Conversation(lambda _: None).answer(event))
    except codec.ProtocolError:
        pass


def test_replies() -> None:
    """As libmilter writes them."""
    offer = codec.Negotiate(6, 0x1FF, 0x1FFFFF)
    assert codec.negotiate(offer, codec.ADD_HEADERS, codec.NO_HELO) == bytes.fromhex(
        "0000000d4f000000060000000100000002"
    )
    assert codec.negotiate(codec.Negotiate(2, 0x3F, 0x7F), 0, codec.NO_HELO | codec.NO_REPLY_BODY)[-4:] == b"\0\0\0\x02"
    assert codec.CONTINUE == b"\0\0\0\x01c"
    assert codec.reply(b"550 5.7.1 No") == b"\0\0\0\x0ey550 5.7.1 No\0"
    assert codec.add_header(b"X", b"1") == b"\0\0\0\x05hX\x001\0"
    assert codec.change_header(1, b"X", b"") == b"\0\0\0\x08m\0\0\0\x01X\0\0"
    assert [len(part) for part in codec.replace_body(b"x" * 70000)] == [65540, 4470]
    for old in (codec.Negotiate(1, 0, 0), codec.Negotiate(6, 0, 0)):
        with pytest.raises(codec.ProtocolError):
            codec.negotiate(old, codec.ADD_HEADERS, 0)


# -- the program -----------------------------------------------------------------------------


@contextmanager
def running(
    launchers: Path, folder: Path, *options: str, address: str = "unix:milter.sock"
) -> Iterator[subprocess.Popen[bytes]]:
    """The milter, ready; it has to end with 0."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(120)
        command = [str(launchers / "pyprocmail"), "milter", "-p", address, *options]
        environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify")}
        with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE) as server:
            try:
                assert manager.recv(100) == b"READY=1"
                yield server
            finally:
                server.terminate()
                server.wait(120)
        os.unlink(folder / "notify")
    assert server.returncode == 0


def port() -> int:
    """A port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SCRIPT = """
local function try(name, ...)
  local ok, e = pcall(mt[name], ...)
  if not ok and not string.find(tostring(e), "negotiated SMFIP_NO", 1, true) then
    mt.echo("ERR "..name.." "..tostring(e))
  end
end
conn = mt.connect(socket)
for number = 1, 2 do
  try("conninfo", conn, "localhost", "127.0.0.1") try("helo", conn, "client.example.com")
  try("macro", conn, SMFIC_MAIL, "i", "QID42")
  try("mailfrom", conn, "<alice@example.com>") try("rcptto", conn, "<bob@example.org>")
  try("rcptto", conn, "<carol@example.org>") try("data", conn)
  try("header", conn, "Subject", "hi") try("eoh", conn)
  try("bodystring", conn, "body " .. number .. "\\r\\n") try("eom", conn)
  mt.echo(string.char(math.floor(mt.getreply(conn))))
end
try("mailfrom", conn, "<>") try("rcptto", conn, "<x@y>") try("abort", conn)
mt.disconnect(conn)
"""


@pytest.mark.parametrize("kind", ["unix", "inet"])
def test_miltertest(kind: str, launchers: Path, tmp_path: Path) -> None:
    """Every step, over both kinds of socket: two mails are continued and logged, one that is given up is not."""
    program = shutil.which("miltertest")
    if program is None:
        pytest.skip("miltertest is not installed (apt-get install miltertest)")
    address = "unix:milter.sock" if kind == "unix" else f"inet:{port()}@127.0.0.1"
    (tmp_path / "steps.lua").write_text(SCRIPT)
    with running(launchers, tmp_path, "-f", "log", "-h", "headers", "--metrics", "m.prom", address=address):
        done = subprocess.run(
            [program, "-D", f"socket={address}", "-s", "steps.lua"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, ["c", "c"]), done.stdout + done.stderr
    lines = (tmp_path / "log").read_text().splitlines()
    wanted = (
        r"\d\d-\d\d-\d\d \d\d:\d\d\ttime=\d+\tfrom=<alice@example.com>\tto=<bob@example.org>\tto=<carol@example.org>"
    )
    assert len(lines) == 2
    assert all(re.fullmatch(wanted + r"\tsize=8\tsubject=hi", line) for line in lines)
    heads = (tmp_path / "headers").read_text()
    assert re.fullmatch(r"(From <alice@example.com> [A-Z]\w\w .* \d{4}\nX-Timestamp: \d+\nSubject: hi\n\n){2}", heads)
    assert "pyprocmail_milter_mails_total 2\n" in (tmp_path / "m.prom").read_text()


class Client:
    """A mail server that knows what it does."""

    def __init__(self, path: Path | int) -> None:
        self.socket = socket.socket(socket.AF_INET if isinstance(path, int) else socket.AF_UNIX)
        self.socket.connect(("127.0.0.1", path) if isinstance(path, int) else str(path))
        self.socket.settimeout(120)
        self.replies = 0

    def send(self, *packets: bytes) -> None:
        """Packets without their lengths."""
        self.socket.sendall(b"".join(struct.pack(">I", len(data)) + data for data in packets))

    def reply(self) -> bytes:
        """The next reply."""
        self.replies += 1
        length = struct.unpack(">I", self.socket.recv(4, socket.MSG_WAITALL))[0]
        return self.socket.recv(length, socket.MSG_WAITALL)

    def negotiate(self) -> None:
        """Offer all there is."""
        self.send(b"O" + struct.pack(">III", 6, 0x1FF, 0x1FFFFF))
        assert self.reply()[:1] == b"O"

    def mail(self, subject: bytes, body: bytes = b"x\r\n") -> bytes:
        """One mail; the reply to its end."""
        self.send(b"M<a@b>\0", b"R<c@d>\0", b"LSubject\0" + subject + b"\0", b"N", b"B" + body, b"E")
        return self.reply()

    def closed(self) -> bool:
        """Whether the other side has ended it."""
        try:
            return self.socket.recv(100) == b""
        except ConnectionResetError:
            return True


def test_one_round_trip_a_mail(launchers: Path, tmp_path: Path) -> None:
    """The mail server waits for no reply but the last: what it did not ask for is not sent."""
    number = port()
    with running(launchers, tmp_path, "-f", "log", address=f"inet:{number}@127.0.0.1"):
        client = Client(number)
        client.negotiate()
        for count in range(50):
            assert client.mail(b"%d" % count) == b"c"
        assert client.replies == 51
        client.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.socket.recv(1)
        client.socket.close()
    assert len((tmp_path / "log").read_text().splitlines()) == 50


HOSTILE = [
    struct.pack(">I", 0),
    struct.pack(">I", 0xFFFFFFFF),
    struct.pack(">I", 1) + b"?",
    struct.pack(">I", 2) + b"Lx",
    struct.pack(">I", 5) + b"O\0\0\0\0",
    struct.pack(">I", 13) + b"O" + struct.pack(">III", 1, 0, 0),
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    struct.pack(">I", 3) + b"Cx\0",
]


def test_hostile_peers(launchers: Path, tmp_path: Path) -> None:
    """A line in the log, an end of that connection, and nothing for the others; idle ones cost nothing."""
    with running(launchers, tmp_path, "-f", "log", "--connections", "300") as server:
        path = tmp_path / "milter.sock"
        good = Client(path)
        good.negotiate()
        for packet in HOSTILE:
            bad = Client(path)
            bad.socket.sendall(packet)
            assert bad.closed(), packet
            bad.socket.close()
            assert good.mail(b"after") == b"c"
        half = Client(path)
        half.socket.sendall(b"\0\0")
        macros = Client(path)
        macros.negotiate()
        macros.send(*[b"DM" + b"i\0" * number for number in range(200)])
        idle = [Client(path) for _ in range(290)]
        refused = [Client(path) for _ in range(20)]
        assert sum(client.closed() for client in refused[10:]) == 10
        assert good.mail(b"last") == b"c"
        for client in (good, half, macros, *idle, *refused):
            client.socket.close()
        server.terminate()
        said = server.stderr.read().decode() if server.stderr else ""
    assert said.count("connection closed: ") == len(HOSTILE)
    assert "Traceback" not in said
    assert len((tmp_path / "log").read_text().splitlines()) == len(HOSTILE) + 1


def test_who_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail server that is silent for too long; what it says puts that off."""
    monkeypatch.setattr(milter_server, "IDLE_S", 0.5)

    async def silent() -> tuple[bytes, bytes, float]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        taken = milter_server.Server(lambda: Conversation(lambda _: None), lambda _: None, milter_counters())
        await loop.create_connection(lambda: milter_server.Connection(taken), sock=ours)
        begin = loop.time()
        with theirs:
            await asyncio.sleep(0.2)
            await loop.sock_sendall(theirs, struct.pack(">I", 13) + b"O" + struct.pack(">III", 6, 0x1FF, 0x1FFFFF))
            answer = await asyncio.wait_for(loop.sock_recv(theirs, 100), 20)
            end = await asyncio.wait_for(loop.sock_recv(theirs, 100), 20)
        return answer, end, loop.time() - begin

    answer, end, lasted_s = asyncio.run(silent())
    assert answer[4:5] == b"O"
    assert end == b""
    assert lasted_s >= 0.7


def test_a_renamed_log_is_opened_anew(launchers: Path, tmp_path: Path) -> None:
    """SIGUSR1, as logrotate sends it."""
    with running(launchers, tmp_path, "-f", "log", "--pid-file", "pid") as server:
        assert (tmp_path / "pid").read_text() == f"{server.pid}\n"
        client = Client(tmp_path / "milter.sock")
        client.negotiate()
        client.mail(b"one")
        (tmp_path / "log").rename(tmp_path / "log.1")
        server.send_signal(signal.SIGUSR1)
        for _ in range(200):
            if (tmp_path / "log").exists():
                break
            time.sleep(0.05)
        client.mail(b"two")
        client.socket.close()
    assert "subject=one" in (tmp_path / "log.1").read_text()
    assert "subject=two" in (tmp_path / "log").read_text()


def test_a_full_disk_holds_up_nothing(launchers: Path, tmp_path: Path) -> None:
    """Every mail goes on; the failures are counted, and said once."""
    with running(launchers, tmp_path, "-f", "/dev/full", "--metrics", "m.prom") as server:
        client = Client(tmp_path / "milter.sock")
        client.negotiate()
        assert [client.mail(b"x") for _ in range(20)] == [b"c"] * 20
        client.socket.close()
        server.terminate()
        said = server.stderr.read().decode() if server.stderr else ""
    assert said.count("\n") == 1
    assert "pyprocmail_milter_failures_total 20\n" in (tmp_path / "m.prom").read_text()


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ([], 4, "name a log"),
        (["-p", "nonsense", "-f", "log"], 2, "not an address"),
        (["-p", "unix:/nowhere/x", "-f", "log"], 73, "cannot listen on unix:/nowhere/x"),
        (["-p", "unix:s", "-f", "/nowhere/log"], 75, "/nowhere/log"),
        (["-p", "unix:s", "-f", "log", "-u", "nobody-of-that-name"], 67, "there is no user"),
        (["-p", "unix:s", "-f", "log", "--mode", "x"], 64, "octal"),
        (["-p", "unix:s", "-f", "log", "--check"], 0, "it can start"),
    ],
)
def test_what_it_says_at_the_start(
    options: list[str], status: int, words: str, launchers: Path, tmp_path: Path
) -> None:
    """Each mistake has its sentence and its status; --check leaves no socket."""
    command = [str(launchers / "pyprocmail"), "milter", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "s").exists()


def test_check_says_who_else_can_write_the_spool(launchers: Path, tmp_path: Path) -> None:
    """Nobody, or whoever may put another folder in its place."""
    tmp_path.chmod(0o755)
    command = [str(launchers / "pyprocmail"), "milter", "-p", "unix:s", "-P", "true", "--check", "--spool"]

    def said(folder: Path) -> str:
        done = subprocess.run([*command, str(folder)], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    # Who may write above that is the machine's business.
    assert f"{tmp_path}/open is writable" not in said(tmp_path / "open" / "spool")
    (tmp_path / "open").chmod(0o777)
    assert f"everybody can replace the spool: {tmp_path}/open is writable" in said(tmp_path / "open" / "spool")
    (tmp_path / "open").chmod(0o770)
    if os.geteuid() == 0:
        os.chown(tmp_path / "open", 0, 8)
    assert "the group " in said(tmp_path / "open" / "spool")


def test_a_large_mail_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its attachments are looked for while others are logged; its own line comes when that is done."""
    found = threading.Event()

    def names(mail: Mail) -> list[bytes]:
        if mail.size > milter_journal.LARGE_BYTES:
            assert found.wait(30)
        return [b"a.txt"]

    monkeypatch.setattr(milter_journal, "_names", names)
    log = tmp_path / "log"
    journal = Journal(
        Host(), os.fsencode(log), b"", form=Format(), limits=Limits(), metrics=milter_counters(), complain=print
    )

    def sent(subject: bytes, size: int) -> Mail:
        mail = Mail(b"<a@b>")
        mail.add_field(b"Subject", subject)
        mail.add_body(b"x" * size)
        return mail

    async def log_both() -> str:
        journal.heard(sent(b"large", milter_journal.LARGE_BYTES + 1))
        journal.heard(sent(b"small", 10))
        before = log.read_text()
        found.set()
        await journal.settle()
        return before

    journal.open()
    before = asyncio.run(log_both())
    journal.close()
    assert before.rpartition("subject=")[2] == "small\tfile=a.txt\n"
    assert log.read_text().rpartition("subject=")[2] == "large\tfile=a.txt\n"


def test_maillog(launchers: Path, tmp_path: Path) -> None:
    """The same lines from a mailbox."""
    date = b"Fri Nov 20 05:12:52 2026\n"
    box = b"From a@b " + date + b"Subject: one\n\nx\n\nFrom c@d " + date + b"Subject: two\n\ny\n"
    command = [str(launchers / "pyprocmail"), "maillog"]
    done = subprocess.run(command, input=box, cwd=tmp_path, capture_output=True, check=True)
    assert [line.split(b"\t")[2:] for line in done.stdout.splitlines()] == [
        [b"from=<a@b>", b"size=2", b"subject=one"], [b"from=<c@d>", b"size=2", b"subject=two"],
    ]  # fmt: skip


# -- the rules -------------------------------------------------------------------------------

RULES = """\
MAILDIR={folder}
LOGFILE=rules.log
:0
* ^Subject: slow
* ? while test ! -e go; do sleep 0.1; done
slow/
:0
* ^Subject: refused
* ? test ! -e mended
{{ EXITCODE=75
   HOST=elsewhere }}
:0
mails/
"""


def mails(folder: Path) -> list[bytes]:
    """What was delivered."""
    return sorted(path.read_bytes() for path in folder.glob("new/*"))


def wait_for(what: Callable[[], bool]) -> None:
    """Until it is so; two minutes at the most."""
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.slow
def test_rules_run_after_the_answer(launchers: Path, tmp_path: Path) -> None:
    """The mail server waits for the disk, not for the rules; what they refuse is tried again."""
    (tmp_path / "rc").write_text(RULES.format(folder=tmp_path))
    rules = ("--rules", str(tmp_path / "rc"), "--spool", "spool", "--metrics", "m.prom")
    with running(launchers, tmp_path, *rules):
        client = Client(tmp_path / "milter.sock")
        client.negotiate()
        assert [client.mail(subject) for subject in (b"slow", b"slow", b"one", b"refused")] == [b"c"] * 4
        assert mails(tmp_path / "slow") == []
        (tmp_path / "go").touch()
        wait_for(lambda: len(mails(tmp_path / "slow")) == 2 and len(mails(tmp_path / "mails")) == 1)
        client.socket.close()
        wait_for(lambda: any(path.name.split(".")[2] == "1" for path in (tmp_path / "spool" / "new").iterdir()))
        wait_for(lambda: "pyprocmail_milter_spool_depth 1\n" in (tmp_path / "m.prom").read_text())
    (left,) = (tmp_path / "spool" / "new").iterdir()
    assert "pyprocmail_milter_kept_total 4\n" in (tmp_path / "m.prom").read_text()
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert left.stat().st_mode & 0o777 == 0o600

    def command(*words: str) -> str:
        program = [str(launchers / "pyprocmail"), "spool", "--spool", str(tmp_path / "spool"), *words]
        return subprocess.run(program, capture_output=True, text=True, check=True).stdout

    name = ".".join(left.name.split(".")[:2])
    assert re.fullmatch(rf"{name} +\d+ +[1-9]  \S+ \S+ +<a@b>\n", command("list"))
    assert re.fullmatch(r"From a@b .*\nSubject: refused\n\nx\r?\n", command("show", name))
    (tmp_path / "mended").touch()
    assert command("retry", name) == f"{name} is tried again\n"
    with running(launchers, tmp_path, *rules):
        wait_for(lambda: len(mails(tmp_path / "mails")) == 2)
    assert command("list") == ""


def test_a_command_gets_what_mailspy_gives_it(launchers: Path, tmp_path: Path) -> None:
    """From_ line without brackets, LF in the header, CRLF in the body; pyprocmail takes it."""
    (tmp_path / "rc").write_text(f":0\n{tmp_path}/box\n")
    command = f"tee -a {tmp_path}/seen | {launchers}/pyprocmail -m {tmp_path}/rc"
    with running(launchers, tmp_path, "-P", command, "--spool", "spool", "--workers", "1"):
        client = Client(tmp_path / "milter.sock")
        client.negotiate()
        client.mail(b"two\n\tlines", b"body\r\n.\r\n")
        client.send(b"M<>\0", b"R<c@d>\0", b"LX\x001\0", b"N", b"E")
        assert client.reply() == b"c"
        wait_for(lambda: (tmp_path / "box").exists() and (tmp_path / "box").read_bytes().count(b"From ") == 2)
        client.socket.close()
    date = rb"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n"
    seen = (tmp_path / "seen").read_bytes()
    assert re.fullmatch(
        rb"From a@b " + date + rb"Subject: two\n\tlines\n\nbody\r\n\.\r\nFrom  " + date + rb"X: 1\n\n", seen
    )


@pytest.mark.parametrize(("when", "answer"), [("pass", b"c"), ("tempfail", b"t")])
def test_a_spool_that_takes_nothing(when: str, answer: bytes, launchers: Path, tmp_path: Path) -> None:
    """The mail passes, or is tried again: as the administrator wants it."""
    options = ("-f", "log", "-P", "true", "--spool", "spool", "--when-full", when, "--metrics", "m.prom")
    with running(launchers, tmp_path, *options) as server:
        (tmp_path / "spool" / "new").rename(tmp_path / "spool" / "gone")
        client = Client(tmp_path / "milter.sock")
        client.negotiate()
        assert [client.mail(b"x") for _ in range(3)] == [answer] * 3
        client.socket.close()
        (tmp_path / "spool" / "gone").rename(tmp_path / "spool" / "new")
        server.terminate()
        said = server.stderr.read().decode() if server.stderr else ""
    assert said.count("could not be kept") == 1
    assert "pyprocmail_milter_dropped_total 3\n" in (tmp_path / "m.prom").read_text()
    assert (tmp_path / "log").read_text().count("subject=x") == 3


@pytest.mark.slow
def test_a_mail_is_not_run_again_while_the_spool_cannot_say_so(launchers: Path, tmp_path: Path) -> None:
    """The worker keeps the mail until the spool is back; none crashes meanwhile."""
    spool = tmp_path / "spool"
    command = f"echo x >> {tmp_path}/runs; mv {spool}/new {spool}/gone; touch {tmp_path}/away"
    with running(launchers, tmp_path, "-P", command, "--spool", "spool", "--workers", "2") as server:
        client = Client(tmp_path / "milter.sock")
        client.negotiate()
        assert client.mail(b"one") == b"c"
        client.socket.close()
        wait_for((tmp_path / "away").exists)
        said = [server.stderr.readline().decode(), server.stderr.readline().decode()] if server.stderr else []
        (spool / "gone").rename(spool / "new")
        wait_for(lambda: not list((spool / "new").iterdir()))
        server.terminate()
        said += [server.stderr.read().decode()] if server.stderr else []
    assert (tmp_path / "runs").read_text() == "x\n"
    assert said == [
        f"pyprocmail milter: the spool cannot be used: {spool.name}/new: No such file or directory\n"
    ] * 2 + [""]


def test_the_spool_has_an_end(tmp_path: Path) -> None:
    """In mails and in bytes; what is tried too often is kept as failed."""
    full = Spool(tmp_path / "s", most_mails=2, most_bytes=1000)
    full.prepare()
    envelope = Envelope(b"<a\xff@b>", [b"<c@d>"])
    full.put(envelope, b"one")
    with pytest.raises(SpoolFullError):
        full.put(envelope, b"x" * 1000)
    full.put(envelope, b"two")
    with pytest.raises(SpoolFullError):
        full.put(envelope, b"three")
    first = full.take(0)
    assert first is not None
    assert first.read() == (envelope, b"one")
    second = full.take(0)
    assert second is not None
    assert second.read() == (envelope, b"two")
    assert full.take(0) is None
    second.done()
    now = 0.0
    assert first.failed(now)
    pauses = []
    while True:
        assert full.take(now) is None
        (one,) = full.waiting()
        pauses.append(one.due - now)
        now = float(one.due)
        taken = full.take(now)
        assert taken is not None
        if not taken.failed(now):
            break
    assert pauses == sorted(pauses)
    assert pauses[0] == 10
    assert full.waiting() == []
    (failed,) = full.waiting("failed")
    with pytest.raises(OSError, match="No such file"):
        full.drop(first.waiting)
    full.retry(failed)
    held = full.take(0)
    assert held is not None
    for change in (full.retry, full.drop):
        with pytest.raises(BlockingIOError):
            change(held.waiting)
    held.close()
    full.drop(held.waiting)
    assert full.waiting() == []


def test_what_another_milter_writes_stays(tmp_path: Path) -> None:
    """Half a mail that is new may be that of another milter; one that nobody has touched for long goes."""
    spool = Spool(tmp_path / "s", most_mails=2, most_bytes=1000)
    spool.prepare()
    for name, age_s in (("new", 10), ("old", 7200)):
        (tmp_path / "s" / "tmp" / name).write_bytes(b"half")
        then = time.time() - age_s
        os.utime(tmp_path / "s" / "tmp" / name, (then, then))
    spool.prepare()
    assert os.listdir(tmp_path / "s" / "tmp") == ["new"]


def test_a_spool_of_somebody_else(tmp_path: Path) -> None:
    """What others may enter is refused."""
    (tmp_path / "s").mkdir(mode=0o755)
    with pytest.raises(ForeignSpoolError):
        Spool(tmp_path / "s").prepare()


@pytest.mark.slow
def test_kill_at_any_moment(launchers: Path, tmp_path: Path) -> None:
    """What was answered is delivered, whenever the milter and its workers are killed; nothing is half a mail."""
    (tmp_path / "rc").write_text(f"MAILDIR={tmp_path}\n:0\nmails/\n")
    options = ["--rules", str(tmp_path / "rc"), "--spool", "spool", "-p", "unix:milter.sock"]
    chance = random.Random("kill")
    answered: set[bytes] = set()
    for round_ in range(80):
        (tmp_path / "notify").unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
            manager.settimeout(120)
            environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
            command = [str(launchers / "pyprocmail"), "milter", *options]
            with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True) as server:
                manager.recv(100)
                client = Client(tmp_path / "milter.sock")
                killer = threading.Timer(chance.uniform(0, 0.03), os.killpg, (server.pid, signal.SIGKILL))
                last = chance.randrange(6)
                try:
                    client.negotiate()
                    for number in range(1000):
                        if number == last:
                            killer.start()
                        subject = b"%d.%d" % (round_, number)
                        if client.mail(subject) == b"c":
                            answered.add(subject)
                except (OSError, struct.error):
                    pass
                client.socket.close()
                killer.join()
    (tmp_path / "notify").unlink()
    with running(launchers, tmp_path, *options[:4]):
        wait_for(lambda: not list((tmp_path / "spool" / "new").iterdir()))
    found: dict[bytes, int] = {}
    for text in mails(tmp_path / "mails"):
        match = re.fullmatch(rb"Subject: (.*)\n\nx\r?\n\n?", text)
        assert match is not None, text
        found[match[1]] = found.get(match[1], 0) + 1
    assert answered <= found.keys()
    assert len(answered) > 200
    # A second copy only where the rule had begun: at most one of each worker and kill.
    assert sum(count - 1 for count in found.values()) <= 2 * 200
