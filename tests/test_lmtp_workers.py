"""The LMTP server's processes: workers that are killed, what they leave behind, and what they may know."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from pathlib import Path

import pytest
from lmtp_server import PATIENCE_S, Running, children, serving, started, wait_for

LOCKING = """\
DEFAULT=./Maildir/
LOCKSLEEP=1
:0
* ^Subject: held
{
  LOCKFILE=the.lock
  :0
  * ? echo >held; read x <go
  /dev/null
}
:0 w:the.lock
* ^Subject: program
| echo >held; read x <go
:0:the.lock
Maildir/
"""


def codes(replies: list[str]) -> list[str]:
    """The first words of replies."""
    return [reply[:3] for reply in replies]


def test_a_worker_that_dies(server: Running) -> None:
    """Its mail is put off, and nobody else's: not that of the other client, not the next one."""
    with server.client() as client, server.client() as other:
        assert client.mail(b"Subject: crash\n\n", "alice@example.org", "bob@example.org") == [
            "451 4.3.0 <alice@example.org> the worker ended",
            "451 4.3.0 <bob@example.org> the worker ended",
        ]
        assert codes(other.mail(b"Subject: one\n\n", "alice@example.org")) == ["250"]


def test_idle_workers_that_die(server: Running) -> None:
    """A worker that is killed while it has nothing to do costs no mail; another one takes its place."""
    with server.client() as client:
        for number in range(20):
            for pid in server.workers():
                os.kill(pid, signal.SIGKILL)
            mail = b"Subject: %d\n\n" % number
            assert codes(client.mail(mail, "alice@example.org", "bob@example.org")) == ["250", "250"]
    assert len(server.stored("alice")) == len(server.stored("bob")) == 20


def test_workers_that_die_before_they_look(server: Running) -> None:
    """A mail that was given to a worker and not begun is another worker's, and not put off."""
    with server.client() as client:
        assert codes(client.mail(b"Subject: one\n\n", "alice@example.org")) == ["250"]
        (pid,) = server.workers()
        os.kill(pid, signal.SIGSTOP)
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: two\r\n\r\n.\r\n")
        assert client.lines(3)[-1].startswith("354")
        # Whether the supervisor has handed it over by now or not, the reply is the same.
        os.kill(pid, signal.SIGKILL)
        assert codes(client.lines(1)) == ["250"]
    assert len(server.stored("alice")) == 2


def test_the_end_of_the_starter(launchers: Path, folder: Path) -> None:
    """Without the process that starts workers the server ends, with a status by which it is started again."""
    with serving(launchers, folder, status=75) as server:
        (starter,) = children(server.process.pid)
        with server.client() as client:
            os.kill(starter, signal.SIGKILL)
            assert client.lines(1) == ["421 4.3.2 The server stops"]
        assert server.process.wait(PATIENCE_S) == 75
        assert not server.socket.exists()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_of_all_processes_at_once(launchers: Path, folder: Path, signum: int) -> None:
    """A service manager may tell each process to stop: what is begun is finished all the same."""
    rules = "DEFAULT=./Maildir/\n:0\n* ^Subject: wait\n* ? echo >begun; read x <go\n$DEFAULT\n"
    with serving(launchers, folder, rules=rules) as server, server.client() as client:
        home = server.folder / "v/example.org/alice"
        os.mkfifo(home / "go")
        (home / "go").chmod(0o666)
        assert codes(client.mail(b"Subject: one\n\n", "bob@example.org")) == ["250"]
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: wait\r\n\r\n.\r\n")
        wait_for((home / "begun").exists, "the delivery to begin")
        for pid in [*server.workers(), *children(server.process.pid), server.process.pid]:
            os.kill(pid, signum)
        (home / "go").write_text("x\n")
        assert client.lines(5)[3:] == ["250 2.0.0 <alice@example.org> Delivered", "421 4.3.2 The server stops"]
        assert server.process.wait(PATIENCE_S) == 0


def test_a_stop_that_takes_too_long(launchers: Path, folder: Path) -> None:
    """What is not finished in time is put off, and ended: it is not delivered after all."""
    rules = "DEFAULT=./Maildir/\n:0\n* ? echo >begun; exec sleep 600\n$DEFAULT\n"
    with serving(launchers, folder, "--stop-timeout", "0", rules=rules) as server, server.client() as client:
        home = server.folder / "v/example.org/alice"
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: one\r\n\r\n.\r\n")
        wait_for((home / "begun").exists, "the delivery to begin")
        workers = server.workers()
        server.process.send_signal(signal.SIGTERM)
        assert client.lines(5)[3:] == ["421 4.3.2 The server stops", ""]
        assert server.process.wait(PATIENCE_S) == 0
        assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []
    assert server.stored("alice") == []


def test_a_signal_to_an_idle_worker(server: Running) -> None:
    """It does not spoil the next mail."""
    with server.client() as client:
        assert codes(client.mail(b"Subject: one\n\n", "alice@example.org")) == ["250"]
        before = server.workers()
        for pid in before:
            for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(pid, signum)
        assert codes(client.mail(b"Subject: two\n\n", "alice@example.org")) == ["250"]
        assert server.workers() == before


def test_the_lockfile_of_a_killed_worker(launchers: Path, folder: Path) -> None:
    """It is removed when nothing of that delivery runs any more, so the next mail does not wait until it is old."""
    with serving(launchers, folder, rules=LOCKING) as server, server.client() as client, server.client() as other:
        home = server.folder / "v/example.org/alice"
        os.mkfifo(home / "go")
        (home / "go").chmod(0o666)
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: held\r\n\r\n.\r\n")
        wait_for((home / "held").exists, "the lock to be taken")
        assert (home / "the.lock").exists()
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        assert client.lines(4)[-1] == "451 4.3.0 <alice@example.org> the worker ended"
        # The program that the worker has started still runs, perhaps on what the lock protects.
        assert (home / "the.lock").exists()
        (home / "go").write_text("x\n")
        wait_for(lambda: not (home / "the.lock").exists(), "the lock to be removed")
        assert codes(other.mail(b"Subject: one\n\n", "alice@example.org")) == ["250"]
        assert len(server.stored("alice")) == 1


def test_the_lockfile_of_somebody_else(launchers: Path, folder: Path) -> None:
    """A lock that stands in the place of the killed worker's is not touched."""
    with serving(launchers, folder, rules=LOCKING) as server, server.client() as client:
        home = server.folder / "v/example.org/alice"
        os.mkfifo(home / "go")
        (home / "go").chmod(0o666)
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: held\r\n\r\n.\r\n")
        wait_for((home / "held").exists, "the lock to be taken")
        (home / "the.lock").rename(home / "old")
        (home / "the.lock").write_text("0")
        os.kill(server.workers()[0], signal.SIGKILL)
        (home / "go").write_text("x\n")
        assert client.lines(4)[-1] == "451 4.3.0 <alice@example.org> the worker ended"
        # A mail with another recipient is delivered after whatever was to be done about the lock.
        with server.client() as other:
            assert codes(other.mail(b"Subject: program", "nobody@example.org")) == ["550"]
            wait_for(lambda: worker_count(server) == 0, "the sweeper to end")
        assert (home / "the.lock").exists()


def worker_count(server: Running) -> int:
    """How many workers there are."""
    return len(server.workers())


def test_addresses_of_one_uid(launchers: Path, folder: Path) -> None:
    """Each has its own HOME and LOGNAME, though one worker serves them."""
    rules = 'DEFAULT=./Maildir/\n:0 fhw\n| formail -I "X-Who: $LOGNAME $HOME"\n'
    with serving(launchers, folder, "--workers", "1", rules=rules) as server, server.client() as client:
        assert codes(client.mail(b"Subject: one\n\n", "alice@example.org", "bob@example.org")) == ["250", "250"]
        for name in ("alice", "bob"):
            (mail,) = server.stored(name)
            assert f"X-Who: {name} {folder}/v/example.org/{name}\n".encode() in mail


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can add users")
def test_accounts_of_one_uid(launchers: Path, folder: Path) -> None:
    """Two names with one uid: each mail runs as the name that it was for, by a worker of its own, that goes on."""
    uid = 61_003
    rules = 'DEFAULT=$HOME/Maildir/\n:0 fhw\n| formail -I "X-Who: $LOGNAME"\n'
    rules += "".join(f":0\n* ^Subject: word{number}\nMaildir/\n" for number in range(10))
    names = ("pyprocmail-one", "pyprocmail-two")
    made = []
    try:
        for name in names:
            home = folder / name
            home.mkdir()
            (home / ".procmailrc").write_text(rules)
            os.chown(home, uid, uid)
            os.chown(home / ".procmailrc", uid, uid)
            words = ["--uid", str(uid), "--non-unique", "--no-create-home", "--home-dir", str(home), name]
            subprocess.run(["useradd", *words], check=True, capture_output=True)
            made.append(name)
        with started(launchers, folder) as server, server.client() as client:
            for number in range(8):
                assert codes(client.mail(b"Subject: word%d\n\n" % (2 * number), *names)) == ["250", "250"]
        for name in names:
            mails = [path.read_bytes() for path in (folder / name / "Maildir/new").iterdir()]
            assert len(mails) == 8
            assert all(b"X-Who: " + name.encode() + b"\n" in mail for mail in mails)
    finally:
        for name in made:
            subprocess.run(["userdel", name], check=True, capture_output=True)
            Path("/var/mail", name).unlink(missing_ok=True)


def memory_of(pid: int) -> bytes:
    """All that a process has written to its memory: its private pages."""
    found = []
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in lines:
            span, rights, *_ = line.split()
            if rights.startswith("rw") and "[v" not in line:
                start, end = (int(number, 16) for number in span.split("-"))
                memory.seek(start)
                try:
                    found.append(memory.read(end - start))
                except OSError:
                    pass
    return b"".join(found)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into the memory of another process")
def test_workers_know_nothing_of_other_mails(launchers: Path, folder: Path) -> None:
    """What one client sends is not in the memory of a worker that is made meanwhile for somebody else."""
    rules = "DEFAULT=./Maildir/\n:0\n* ^Subject: wait\n* ? echo >begun; read x <go\n$DEFAULT\n"
    with serving(launchers, folder, rules=rules) as server, server.client() as secret, server.client() as client:
        home = server.folder / "v/example.org/alice"
        os.mkfifo(home / "go")
        (home / "go").chmod(0o666)
        word = b"abracadabra" * 30
        secret.send(b"MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: secret\r\n\r\n" + word + b"\r\n")
        secret.lines(3)
        wait_for(lambda: word[:200] in memory_of(server.process.pid), "the mail to come in")
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: wait\r\n\r\n.\r\n")
        wait_for((home / "begun").exists, "the delivery to begin")
        (worker,) = server.workers()
        assert b"Subject: wait" in memory_of(worker)
        assert word[:200] not in memory_of(worker)
        (home / "go").write_text("x\n")
        assert codes(client.lines(4))[-1] == "250"


def test_no_descriptor_goes_to_programs(launchers: Path, folder: Path) -> None:
    """A program of an rcfile has its three descriptors, and not the mail, the channel or the ledger."""
    rules = "DEFAULT=./Maildir/\n:0 fhw\n| ls -l /proc/self/fd >fds; cat\n"
    with serving(launchers, folder, rules=rules) as server, server.client() as client:
        assert codes(client.mail(b"Subject: one\n\n", "alice@example.org")) == ["250"]
        listed = (server.folder / "v/example.org/alice/fds").read_text()
        # The fourth is ls's own, of the folder that it lists.
        assert "3 -> /proc/" in listed
        assert "memfd" not in listed
        assert listed.count(" -> ") == 4


def test_a_server_as_an_account_serves_that_one(launchers: Path, folder: Path) -> None:
    """Not root, and without --virtual: our own rcfile, and nobody else's address."""
    user = pwd.getpwuid(os.getuid()) if os.getuid() else pwd.getpwnam("daemon")
    words = [] if os.getuid() else ["--user", user.pw_name]
    with started(launchers, folder, *words) as server, server.client() as client:
        assert codes(client.mail(b"Subject: one\n\n", "somebody-else@here")) == ["550"]


def test_a_delivery_that_is_given_up_leaves_no_programs(launchers: Path, folder: Path) -> None:
    """Neither the program nor what that has started goes on: the mail comes again, and both are started again."""
    rules = "DEFAULT=./Maildir/\n:0\n* ? trap '' TERM; sleep 600 & echo $! >begun; wait\n$DEFAULT\n"
    with serving(launchers, folder, "--recipient-timeout", "1", rules=rules) as server, server.client() as client:
        assert client.mail(b"Subject: one\n\n", "alice@example.org") == ["451 4.3.0 <alice@example.org> signal 3"]
        (pid,) = (server.folder / "v/example.org/alice/begun").read_text().split()
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the program to end")
