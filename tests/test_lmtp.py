"""The LMTP server as a mail server meets it: replies for each recipient, and what is in the folders."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from differential import root
from differential.root_scenes import USER
from hypothesis import given
from hypothesis import strategies as st
from lmtp_server import PATIENCE_S, RULES, Client, Running, addresses, serving, started, wait_for

from pyprocmail.engine.verdict import Verdict
from pyprocmail.servers.lmtp.replies import reply_of


def test_recipients_of_different_fates(server: Running) -> None:
    """Each has its reply; a mail in a folder has what the envelope said."""
    with server.client() as client:
        assert client.mail(
            b"Subject: one\n\nbody\n", "alice+x@example.org", "nobody@example.org", "bob@EXAMPLE.org"
        ) == [
            "250 2.0.0 <alice+x@example.org> Delivered",
            "550 5.1.1 <nobody@example.org> Unknown user",
            "250 2.0.0 <bob@EXAMPLE.org> Delivered",
        ]
        assert client.mail(b"Subject: later\n\n", "alice@example.org") == [
            "451 4.3.0 <alice@example.org> Exit status 75"
        ]
        assert client.mail(b"Subject: unknown\n\n", "alice@example.org") == ["550 5.1.1 <alice@example.org> go away"]
        client.send(b"QUIT\r\n")
        assert client.lines(2) == ["221 2.0.0 Bye", ""]
    assert server.stored("alice") == [b"Return-Path: <a@b>\nDelivered-To: alice+x@example.org\nSubject: one\n\nbody\n"]
    assert server.stored("bob") == [b"Return-Path: <a@b>\nDelivered-To: bob@EXAMPLE.org\nSubject: one\n\nbody\n"]


@pytest.mark.parametrize(
    "address",
    ["../alice@example.org", "alice@..", ".@example.org", "alice@example.org/x", "a/b@example.org", '"x y"@a.org'],
)  # fmt: skip
def test_a_name_is_no_path(server: Running, address: str) -> None:
    """Whatever is in an address, it leads nowhere."""
    with server.client() as client:
        (reply,) = client.mail(b"Subject: one\n\n", address)
    assert reply.startswith("550 5.1.1 ")


def test_a_large_mail_and_many_recipients(server: Running) -> None:
    """One copy in a file, read by each worker; too large a mail is refused for each, and too many are put off."""
    body = b"x" * 70 + b"\n"
    with server.client() as client:
        text = b"Subject: big\n\n" + body * 3000
        assert [reply[:3] for reply in client.mail(text, *["bob@example.org"] * 20)] == ["250"] * 20
        assert [reply[:9] for reply in client.mail(text + body * 3000, "bob@example.org", "alice@example.org")] == [
            "552 5.3.4"
        ] * 2
        assert [reply[:3] for reply in client.mail(b"Subject: many\n\n", *["alice@example.org"] * 60)] == (
            ["250"] * 50 + ["452"] * 10
        )
    assert len(server.stored("bob")) == 20
    assert all(mail.endswith(text) for mail in server.stored("bob"))
    assert len(server.stored("alice")) == 50


def test_a_delivery_that_takes_too_long(launchers: Path, folder: Path) -> None:
    """It is put off, and others are served meanwhile."""
    with serving(launchers, folder, "--workers", "2", "--recipient-timeout", "2") as server, server.client() as slow:
        slow.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: slow\r\n\r\n.\r\n")
        with server.client() as quick:
            assert [reply[:3] for reply in quick.mail(b"Subject: one\n\n", "bob@example.org")] == ["250"]
        assert slow.lines(4)[-1].startswith("451 4.3.0 <alice@example.org> ")


def test_hostile_clients(launchers: Path, folder: Path) -> None:
    """Endless lines, silence, and more connections than there may be: clear replies, bounded memory, others served."""
    with serving(launchers, folder, "--connections", "100", "--session-timeout", "3") as server:
        idle = [Client(server.socket) for _ in range(99)]
        with server.client() as client:
            refused = [Client(server.socket) for _ in range(400)]
            assert {each.lines(2)[0] for each in refused} == {"421 4.3.2 Too many connections"}
            for each in refused:
                each.__exit__()
            assert [reply[:3] for reply in client.mail(b"Subject: one\n\n", "bob@example.org")] == ["250"]
            idle[0].send(b"LHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nhalf a mail\r\n")
            for each in idle[1:]:
                assert each.lines(3)[1:] == ["421 4.4.2 Timeout, closing the connection", ""]
        assert idle[0].lines(13)[-2:] == ["421 4.4.2 Timeout, closing the connection", ""]
        for each in idle:
            each.__exit__()
        with server.client() as client:
            for _ in range(100):
                client.send(b"x" * 100_000)
            client.send(b"\r\nNOOP\r\n")
            assert client.lines(2) == ["500 5.5.2 Line too long", "250 2.0.0 Ok"]
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        (held_kb,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
        assert int(held_kb) < 150_000
        assert len(server.stored("bob")) == 1


def test_no_room_for_the_spool(launchers: Path, folder: Path) -> None:
    """452 for each recipient; what fits into memory is delivered, and the dialogue stays in step."""
    spool = folder / "spool"
    spool.mkdir()
    with serving(launchers, folder, "--spool", str(spool)) as server, server.client() as client:
        spool.rmdir()
        assert (
            client.mail(b"Subject: big\n\n" + b"x\n" * 100_000, "alice@example.org", "bob@example.org")
            == ["452 4.3.1 No room for the mail"] * 2
        )
        assert [reply[:3] for reply in client.mail(b"Subject: one\n\n", "bob@example.org")] == ["250"]


def test_a_stop_finishes_what_is_begun(launchers: Path, folder: Path) -> None:
    """A mail under way is delivered and answered, an idle client hears 421, and the socket goes away."""
    rules = "DEFAULT=./Maildir/\n:0\n* ? echo >begun; read x <go\n$DEFAULT\n"
    with serving(launchers, folder, rules=rules) as server, server.client() as client, server.client() as idle:
        home = server.folder / "v/example.org/alice"
        os.mkfifo(home / "go")
        (home / "go").chmod(0o666)
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: one\r\n\r\n.\r\n")
        wait_for((home / "begun").exists, "the delivery to begin")
        server.process.send_signal(signal.SIGTERM)
        assert idle.lines(2) == ["421 4.3.2 The server stops", ""]
        (home / "go").write_text("x\n")
        assert client.lines(6)[3:] == ["250 2.0.0 <alice@example.org> Delivered", "421 4.3.2 The server stops", ""]
        assert server.process.wait(PATIENCE_S) == 0
        assert not server.socket.exists()
        assert len(server.stored("alice")) == 1


def test_reload_takes_new_workers(server: Running) -> None:
    """SIGHUP: no mail is lost, and the rules are read anew by workers that know nothing."""
    with server.client() as client:
        client.mail(b"Subject: one\n\n", "bob@example.org")
        before = server.workers()
        assert before
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not set(before) & set(server.workers()), "the workers to go")
        assert [reply[:3] for reply in client.mail(b"Subject: two\n\n", "bob@example.org")] == ["250"]


def test_maildrops_language(launchers: Path, folder: Path) -> None:
    """A filter file for all addresses."""
    rules = 'DEFAULT="./Maildir"\nif (/^Subject: later/)\n{\n  EXITCODE=75\n  exit\n}\nxfilter "sed s/one/$1/"\n'
    for name in ("alice", "bob"):
        subprocess.run(
            ["mkdir", "-p", *(f"{folder}/v/example.org/{name}/Maildir/{each}" for each in ("new", "cur", "tmp"))],
            check=True,
        )
    (folder / "v/example.org/alice").rename(folder / "a")
    (folder / "v/example.org/bob").rename(folder / "b")
    with serving(launchers, folder, "--language", "maildrop", rules=rules) as server, server.client() as client:
        maildir = folder / "v/example.org/alice/Maildir"
        for each in ("new", "cur", "tmp"):
            (maildir / each).mkdir(parents=True)
        for path in (maildir, *maildir.iterdir()):
            shutil.chown(path, maildir.parent.owner())
        replies = client.mail(b"Subject: one\n\nbody\n", "alice+two@example.org")
        assert [reply[:3] for reply in replies] == ["250"]
        assert [reply[:3] for reply in client.mail(b"Subject: later\n\n", "bob@example.org")] == ["451"]
        assert b"Subject: two\n" in server.stored("alice")[0]


@pytest.mark.parametrize(
    ("subject", "status"), [("one", 0), ("later", 75), ("unknown", 67)]
)  # fmt: skip
def test_the_client(server: Running, launchers: Path, subject: str, status: int) -> None:
    """`pyprocmail deliver`: a mail as it is, dots and a missing newline too; the exit status of the reply."""
    mail = f"From x\nSubject: {subject}\n\n.dot\n..\nend".encode()
    words = ["deliver", "--socket", str(server.socket), "-f", "s@t", "bob@example.org"]
    done = subprocess.run([launchers / "pyprocmail", *words], input=mail, capture_output=True)
    assert done.returncode == status, done.stderr
    assert [mail.partition(b"\nSubject")[2] for mail in server.stored("bob")] == [b": one\n\n.dot\n..\nend\n"] * (
        not status
    )


def test_the_client_without_a_server(launchers: Path, folder: Path) -> None:
    """The mail stays with the caller."""
    words = ["deliver", "--socket", str(folder / "none"), "alice"]
    done = subprocess.run([launchers / "pyprocmail", *words], input=b"Subject: one\n\n", capture_output=True)
    assert done.returncode == 75
    assert b"none: No such file or directory" in done.stderr


@pytest.mark.parametrize(
    "last", [b"2\r\n", b"250", b"250-one\r\n", b"well done\r\n", b"250-more\r\n" * 10_000], ids=range(5)
)
def test_the_client_and_what_is_no_reply(last: bytes, launchers: Path, folder: Path) -> None:
    """Only a whole 2xx is the word that the server has the mail."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / "odd"))
        listener.listen()
        listener.settimeout(60)
        words = [str(launchers / "pyprocmail"), "deliver", "--socket", str(folder / "odd"), "alice"]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            assert client.stdin is not None
            client.stdin.write(b"Subject: one\n\n")
            client.stdin.close()
            line, _ = listener.accept()
            with line, line.makefile("rb") as file:
                line.sendall(b"220 odd\r\n")
                for reply in (b"250 odd\r\n", b"250 Ok\r\n", b"250 Ok\r\n", b"354 Go on\r\n"):
                    file.readline()
                    line.sendall(reply)
                while file.readline() != b".\r\n":
                    pass
                try:
                    line.sendall(last)
                except OSError:
                    pass  # it has heard enough
            assert client.wait(60) == 75


@given(st.integers(-64, 255), st.binary(max_size=300))
def test_replies(status: int, said: bytes) -> None:
    """Success only for 0; whatever an rcfile says, a reply is one short line of ASCII."""
    verdict = Verdict()
    verdict.status = status
    verdict.reply = said
    reply = reply_of(verdict, said)
    assert reply.startswith(b"250 2.") == (status == 0)
    assert re.fullmatch(rb"[245]\d\d [245]\.\d\.\d [ -~]{1,400}", reply)
    if status < 0 or status in (71, 74, 75) or status > 127:
        assert reply.startswith(b"451 4.")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can deliver for another user")
def test_as_root(launchers: Path, folder: Path) -> None:
    """Each mail is delivered as its recipient, whose system mailbox is made; root's own mail is refused."""
    with root.account() as account, started(launchers, folder) as server, server.client() as client:
        name, uid = USER, account.uid
        mailbox = Path("/var/mail") / name
        mailbox.unlink(missing_ok=True)
        account.home.mkdir()
        os.chown(account.home, uid, account.gid)
        rcfile = account.home / ".procmailrc"
        rcfile.write_text("DETAIL=$1\n:0 cw\n* ^Subject: two\n| id -u >$HOME/who-$DETAIL\n")
        os.chown(rcfile, uid, -1)
        try:
            for number in (b"one", b"two", b"two"):
                replies = client.mail(b"Subject: %b\n\nbody\n" % number, f"{name}+x@here", "root", "no-such-user@here")
                assert [reply[:9] for reply in replies] == ["250 2.0.0", "550 5.7.1", "550 5.1.1"]
            assert mailbox.read_bytes().count(b"\nSubject: ") == 3
            assert mailbox.stat().st_uid == uid
            assert (rcfile.parent / "who-x").read_text() == f"{uid}\n"
        finally:
            mailbox.unlink(missing_ok=True)


def test_wrong_command_lines(launchers: Path) -> None:
    """A sentence, and a status that is not 0."""
    for words in (["--listen", "x"], ["--listen", "unix:/tmp/x", "--virtual", "/x"], ["--listen", "/x/y/z"], []):
        done = subprocess.run([launchers / "pyprocmail", "lmtp", *words], capture_output=True, text=True)
        assert done.returncode != 0
        assert done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--rules", "none"], 66, "/none: No such file or directory: name a file that "),
        (["--rules", "open"], 77, "/open: not run, because others could have written it"),
        (["--virtual", "none"], 73, "--virtual none: No such file or directory: make the folder"),
        (["--virtual", "rules"], 73, "--virtual rules: that is not a folder"),
        (["--spool", "none"], 73, "--spool none: No such file or directory: make the folder"),
    ],
)
def test_paths_that_it_cannot_use(options: list[str], status: int, said: str, launchers: Path, folder: Path) -> None:
    """It says so at the start, and not with each mail."""
    (folder / "open").touch()
    (folder / "open").chmod(0o666)
    words = [str(launchers / "pyprocmail"), "lmtp", "--listen", "unix:s", *addresses(folder, RULES), *options]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert not (folder / "s").exists()
