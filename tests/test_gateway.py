"""The gateway as mail servers meet it: a client in front, a next server behind, and the mail between them."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from next_hop import NextHop
from signing import is_genuine, signed

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
RULES = """\
:0
* ^Subject: later
{ EXITCODE=75 HOST=x }
:0
* ^Subject: no
{ EXITCODE=77 REPLY="no thanks" HOST=x }
:0
* ^Subject: drop
/dev/null
:0
* ^Subject: slow
* ? sleep 60; true
/dev/null
:0
* ^Subject: crash
* ? kill -9 $PPID; true
/dev/null
:0
* ^Subject: move
! new@example.net
:0 fhw
| formail -I "X-To: $RECIPIENTS" -I "X-From: $SENDER"
"""
TABLE = "* plain@* pass\n* each*@* {rules} each\n* * {rules}\n"


class Running:
    """A gateway, and the server behind it."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], hop: NextHop) -> None:
        self.folder, self.process, self.hop = folder, process, hop

    @contextmanager
    def client(self, kind: str = "smtp") -> Iterator[smtplib.SMTP]:
        """A client that has said EHLO or LHLO."""
        client = _Client() if kind == "smtp" else smtplib.LMTP()
        client.timeout = PATIENCE_S
        client.connect(str(self.folder / kind))
        try:
            client.ehlo_or_helo_if_needed()
            yield client
        finally:
            client.close()

    def replies(self, subject: str, *recipients: str, kind: str = "smtp", sender: str = "s@a") -> list[bytes]:
        """The replies about a mail: one, or with LMTP one a recipient."""
        with self.client(kind) as client:
            assert client.mail(sender)[0] == 250
            for recipient in recipients:
                assert client.rcpt(recipient)[0] == 250
            client.putcmd("data")
            assert client.getreply()[0] == 354
            client.send(f"Subject: {subject}\r\n\r\nbody\r\n.\r\n".encode())
            found = [client.getreply() for _ in (recipients if kind == "lmtp" else "1")]
            return [b"%d %b" % reply for reply in found]

    def texts(self) -> list[tuple[bytes, list[bytes], bytes]]:
        """Sender, recipients and text of what was passed on, without the Received field."""
        found = []
        for mail in self.hop.mails:
            field, rest = mail.text.split(b"\r\nSubject:", 1)
            assert field.startswith(b"Received: from ")
            found.append((mail.sender.split()[0], mail.recipients, b"Subject:" + rest))
        return found


class _Client(smtplib.SMTP):
    """smtplib's client of SMTP, on a Unix socket."""

    def connect(self, host: str = "", port: int = 0, source_address: object = None) -> tuple[int, bytes]:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(host)
        self.file = None
        return self.getreply()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user can get to, with a short name, as sockets need."""
    made = Path(tempfile.mkdtemp(prefix="gate."))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def serving(
    launchers: Path, folder: Path, *options: str, rules: str = RULES, table: str = TABLE, hop: NextHop | None = None
) -> Iterator[Running]:
    """A gateway, until it is told to stop; it has to end by itself then."""
    (folder / "rc").write_text(rules)
    (folder / "table").write_text(table.format(rules=folder / "rc"))
    words = ["--rules", str(folder / "table"), "--name", "gate.example", "--metrics", str(folder / "metrics")]
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        words += ["--user", "nobody"]
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(os.fsencode(folder / "notify"))
    (folder / "notify").chmod(0o777)
    notified.settimeout(PATIENCE_S)
    listen = ["--listen", f"unix:{folder}/smtp", "--listen", f"lmtp:unix:{folder}/lmtp", "--socket-mode", "0666"]
    with hop or NextHop() as behind:
        process = subprocess.Popen(
            [launchers / "pyprocmail", "gateway", *listen, "--next-hop", f"127.0.0.1:{behind.port}", *words, *options],
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
        )
        try:
            assert notified.recv(100) == b"READY=1"
            yield Running(folder, process, behind)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        finally:
            notified.close()
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Until it holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


def test_mails_and_replies(launchers: Path, folder: Path) -> None:
    """The rules decide, the next server has the last word, and the client hears it."""
    with serving(launchers, folder) as running:
        passed = b"250 2.0.0 Passed on: 250 2.0.0 Queued"
        assert running.replies("hi", "x@b", "z@b") == [passed]
        assert running.replies("hi", "plain@b", "x@b") == [passed]
        assert running.replies("hi", "each1@b", "each2@b", sender="") == [passed]
        assert running.texts() == [
            (b"<s@a>", [b"<x@b>", b"<z@b>"], b"Subject: hi\r\nX-To: x@b z@b\r\nX-From: s@a\r\n\r\nbody\r\n"),
            (b"<s@a>", [b"<plain@b>"], b"Subject: hi\r\n\r\nbody\r\n"),
            (b"<s@a>", [b"<x@b>"], b"Subject: hi\r\nX-To: x@b\r\nX-From: s@a\r\n\r\nbody\r\n"),
            (b"<>", [b"<each1@b>"], b"Subject: hi\r\nX-To: each1@b\r\nX-From: \r\n\r\nbody\r\n"),
            (b"<>", [b"<each2@b>"], b"Subject: hi\r\nX-To: each2@b\r\nX-From: \r\n\r\nbody\r\n"),
        ]
        running.hop.mails.clear()
        assert running.replies("later", "x@b", "plain@b") == [b"451 4.3.0 Exit status 75"]
        assert running.replies("no", "x@b", "plain@b") == [b"550 5.7.1 no thanks"]
        assert running.replies("drop", "x@b") == [b"250 2.0.0 Discarded, as the rules say"]
        assert running.hop.mails == []
        assert running.replies("no", "x@b", "plain@b", kind="lmtp") == [b"550 5.7.1 no thanks", passed]
        assert running.replies("move", "x@b", "plain@b", kind="lmtp") == [passed, passed]
        assert [mail.recipients for mail in running.hop.mails] == [
            [b"<plain@b>"], [b"<new@example.net>", b"<plain@b>"],
        ]  # fmt: skip
    counted = (folder / "metrics").read_text()
    for line in ("connections_total 8", "passed_total 5", "deferred_total 1", "refused_total 2"):
        assert f"pyprocmail_gateway_{line}\n" in counted


def test_signatures_hold(launchers: Path, folder: Path) -> None:
    """A body that rules leave alone passes byte for byte, and so do the fields that they leave alone."""
    body = "\r\n".join(["\xe4", ".", "..", "From here", " x ", "\t", "a" * 900, "", "", ""]).encode("latin-1")
    mail = signed(b"From: s@example.com\r\nTo: x@b\r\nSubject: a\r\n folded\r\n  one\r\n\r\n" + body)
    with serving(launchers, folder) as running, running.client() as client:
        client.sendmail("s@a", ["x@b"], mail, mail_options=["BODY=8BITMIME"])
        client.sendmail("s@a", ["plain@b"], mail)
        ruled, plain = (taken.text for taken in running.hop.mails)
    assert b"\r\nX-From: s@a\r\n" in ruled
    assert ruled.endswith(b"\r\n\r\n" + body)
    assert plain.endswith(mail)
    assert is_genuine(ruled)
    assert is_genuine(plain)
    assert not is_genuine(ruled.replace(b"From here", b">From here"))


def test_recipients_with_rules_each(launchers: Path, folder: Path) -> None:
    """With one reply for all there are only so many of them in a mail; the client sends it to the rest again."""
    with serving(launchers, folder) as running, running.client() as client:
        client.mail("s@a")
        codes = [client.rcpt(f"each{number}@b")[0] for number in range(21)]
        assert codes == [250] * 20 + [452]
        assert client.rcpt("x@b")[0] == 250
        assert client.data("Subject: hi\r\n\r\nbody\r\n")[0] == 250
        assert len(running.hop.mails) == 21


def test_what_goes_wrong(launchers: Path, folder: Path) -> None:
    """Rules that crash, and a next server that breaks off: the client keeps the mail, and the gateway goes on."""
    with serving(launchers, folder) as running:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            running.replies("crash", "x@b")
        assert running.hop.mails == []
        running.hop.answers = [b"", b"552 5.2.2 Full"]
        assert running.replies("hi", "x@b")[0].startswith(b"451 4.4.2 ")
        assert running.replies("hi", "x@b") == [b"552 5.2.2 Full"]
        assert running.hop.mails == []
        assert running.replies("hi", "x@b")[0].startswith(b"250 2.0.0 ")
        assert len(running.hop.mails) == 1


def test_rules_that_take_too_long(launchers: Path, folder: Path) -> None:
    """They are ended, and the mail is put off."""
    with serving(launchers, folder, "--mail-timeout", "5") as running:
        assert running.replies("slow", "x@b")[0].startswith(b"451 4.3.0 ")
        assert running.hop.mails == []


def test_rules_that_fail(launchers: Path, folder: Path) -> None:
    """--on-error."""
    for choice, expected in (("accept", b"250 2.0.0"), ("tempfail", b"451 4.3.0"), ("reject", b"554 5.3.0")):
        with serving(launchers, folder, "--on-error", choice) as running:
            (folder / "rc").unlink()
            assert running.replies("hi", "x@b")[0][:9] == expected
        for left in folder.iterdir():
            left.unlink()


def test_loops(launchers: Path, folder: Path) -> None:
    """A mail that comes back is refused in the end, and so is one that has seen too many servers."""
    with serving(launchers, folder, "--max-passes", "2", "--max-hops", "5") as running, running.client() as client:
        text = b"Subject: hi\r\n\r\nbody\r\n"
        for _ in range(2):
            client.sendmail("s@a", ["plain@b"], text)
            text = running.hop.mails[-1].text
        with pytest.raises(smtplib.SMTPDataError, match=r"5\.4\.6 Mail loop: The mail has passed here 2 times already"):
            client.sendmail("s@a", ["plain@b"], text)
        with pytest.raises(smtplib.SMTPDataError, match=r"5\.4\.6 Mail loop: The mail has passed 5 servers"):
            client.sendmail("s@a", ["plain@b"], b"Received: x\r\n" * 5 + b"\r\n")
        assert len(running.hop.mails) == 2


def test_tls(launchers: Path, folder: Path) -> None:
    """STARTTLS with the certificate that was given."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, which makes a certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=gate.example",
         "-keyout", folder / "key", "-out", folder / "cert"], check=True, capture_output=True,
    )  # fmt: skip
    options = ["--tls-cert", str(folder / "cert"), "--tls-key", str(folder / "key")]
    context = ssl.create_default_context(cafile=str(folder / "cert"))
    with serving(launchers, folder, *options) as running, running.client() as client:
        assert client.has_extn("starttls")
        setattr(client, "_host", "gate.example")  # noqa: B010  what the certificate is checked against
        client.starttls(context=context)
        client.ehlo()
        assert not client.has_extn("starttls")
        client.sendmail("s@a", ["plain@b"], b"Subject: hi\r\n\r\nbody\r\n")
        assert b"with ESMTPS; " in running.hop.mails[0].text


def test_a_stop_finishes_what_has_begun(launchers: Path, folder: Path) -> None:
    """SIGTERM: a mail that is under way gets its reply, a client that says nothing hears 421."""
    rules = ":0\n* ? touch begun; while test ! -e go; do sleep 0.1; done\n! x@y\n"
    with serving(launchers, folder, rules=rules) as running, running.client() as idle, running.client() as busy:
        busy.mail("s@a")
        busy.rcpt("x@b")
        busy.putcmd("data")
        busy.getreply()
        busy.send(b"Subject: hi\r\n\r\n.\r\n")
        wait_for((folder / "begun").exists, "the rules to begin")
        running.process.send_signal(signal.SIGTERM)
        assert idle.getreply() == (421, b"4.3.2 The server stops")
        (folder / "go").touch()
        assert busy.getreply()[0] == 250
        assert running.process.wait(PATIENCE_S) == 0
        assert len(running.hop.mails) == 1


def test_reload(launchers: Path, folder: Path) -> None:
    """SIGHUP reads the table again; a table with a mistake leaves the old one in use."""
    with serving(launchers, folder) as running:
        (folder / "table").write_text("* * nonsense\n")
        running.process.send_signal(signal.SIGHUP)
        assert running.replies("no", "x@b")[0].startswith(b"550")
        (folder / "table").write_text("* * pass\n")
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: running.replies("no", "x@b")[0].startswith(b"250"), "the new table")


def test_a_process_serves_one_client_after_the_other(launchers: Path, folder: Path) -> None:
    """It waits for the next client when one has gone, who sees the end at once; after SIGHUP there is a new one."""
    with serving(launchers, folder) as running:
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")

        def converse() -> set[str]:
            with running.client() as client:
                assert client.docmd("quit")[0] == 221
                assert client.sock is not None
                assert client.sock.recv(1) == b""
                return set(children.read_text().split())

        # Which one is ready for the next client when that comes, depends on the machine.
        found = set().union(*(converse() for _ in range(40)))
        assert len(found) < 40
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: children.read_text() == "", "the processes to end")
        assert not converse() & found


def test_too_many_connections(launchers: Path, folder: Path) -> None:
    one = serving(launchers, folder, "--connections", "1")
    with one as running, running.client(), pytest.raises(smtplib.SMTPException), running.client():
        pass


@pytest.mark.parametrize(
    ("rules", "table", "complaint"),
    [
        ("", "* * rc\n", "table:1: 'rc' is neither a path from the root nor pass"),
        ("", "* * {rules}.missing\n", "table:1: {rules}.missing: No such file or directory"),
        (":0\nmbox\n", "* * {rules}\n", "{rules}:2: 'mbox' is a folder, but a gateway stores no mail: "),
        ('to "mbox"\n', "* * {rules} maildrop\n", "{rules}:1: 'mbox' is a folder, but a gateway stores no mail: "),
        ("if (\n", "* * {rules} maildrop\n", "{rules}: it cannot be read, or has a fault"),
    ],
)
def test_mistakes_are_shown_at_the_start(
    rules: str, table: str, complaint: str, launchers: Path, tmp_path: Path
) -> None:
    (tmp_path / "rc").write_text(rules)
    (tmp_path / "rc").chmod(0o644)
    (tmp_path / "table").write_text(table.format(rules=tmp_path / "rc"))
    words = ["--once", "--next-hop", "127.0.0.1:9", "--rules", str(tmp_path / "table"), "x@y"]
    run = subprocess.run(
        [launchers / "pyprocmail", "gateway", *words], input="", capture_output=True, text=True, check=False
    )
    assert run.returncode == 78
    assert complaint.format(rules=tmp_path / "rc") in run.stderr


def test_once(launchers: Path, tmp_path: Path) -> None:
    """One mail on standard input, as the mailer of a mail server: the exit status is the answer."""
    (tmp_path / "rc").write_text(RULES)
    (tmp_path / "rc").chmod(0o644)
    (tmp_path / "table").write_text(f"* * {tmp_path}/rc\n")

    def once(hop: NextHop, subject: str, *recipients: str) -> tuple[int, str]:
        words = ["--once", "--next-hop", f"127.0.0.1:{hop.port}", "--rules", str(tmp_path / "table"), "-f", "s@a"]
        mail = f"From s@a Thu Jan  1 00:00:00 2026\r\nSubject: {subject}\r\n\r\nbody"
        command = [str(launchers / "pyprocmail"), "gateway", *words, *recipients]
        run = subprocess.run(command, input=mail, capture_output=True, text=True, check=False)
        return run.returncode, run.stderr

    with NextHop() as hop:
        assert once(hop, "hi", "x@b", "<z@b>")[0] == 0
        assert [(mail.sender.split()[0], mail.recipients) for mail in hop.mails] == [(b"<s@a>", [b"<x@b>", b"<z@b>"])]
        assert hop.mails[0].text.endswith(b"Subject: hi\r\nX-To: x@b z@b\r\nX-From: s@a\r\n\r\nbody\r\n")
        assert once(hop, "no", "x@b")[0] == 77
        assert once(hop, "later", "x@b")[0] == 75
        hop.replies = {b"RCPT": b"550 5.1.1 Unknown"}
        assert once(hop, "hi", "x@b")[0] == 67
        assert once(hop, "hi", "x@b> SIZE=1")[0] == 2
        assert len(hop.mails) == 1
    assert once(hop, "hi", "x@b")[0] == 75


def test_root_does_not_serve(launchers: Path, tmp_path: Path) -> None:
    """Rules are not run as root; nobody else may become another user."""
    words = ["--listen", f"unix:{tmp_path}/s", "--next-hop", "127.0.0.1:9", "--rules", "/dev/null"]
    words += [] if os.geteuid() == 0 else ["--user", "root"]
    run = subprocess.run([launchers / "pyprocmail", "gateway", *words], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "root" in run.stderr
