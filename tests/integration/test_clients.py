"""fetchmail and getmail with a POP3 server of the tests, and a mail reader that locks as mutt does."""

from __future__ import annotations

import fcntl
import mailbox
import os
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration import lmtp
from integration.conftest import MACHINE, SNIPPETS, User, wait_for

pytestmark = pytest.mark.integration

PORT = 1110
MAILS = [
    b"From: a@b.example\r\nTo: alice@machine.example\r\nSubject: number %d.\r\n\r\nhello\r\n" % n for n in range(3)
]


class Pop3(socketserver.StreamRequestHandler):
    """As much of RFC 1939 as a client that collects mail asks for."""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        deleted: set[int] = set()
        self.wfile.write(b"+OK\r\n")
        for line in self.rfile:
            verb, *arguments = line.decode("ascii", "replace").split()
            verb = verb.upper()
            mails = server.mails
            if verb in ("USER", "PASS", "NOOP", "RSET"):
                answer = b"+OK\r\n"
            elif verb == "STAT":
                answer = b"+OK %d %d\r\n" % (len(mails), sum(map(len, mails)))
            elif verb in ("LIST", "UIDL") and not arguments:
                rows = [b"%d %d" % (n + 1, len(m) if verb == "LIST" else hash(m) & 0xFFFF) for n, m in enumerate(mails)]
                answer = b"+OK\r\n" + b"".join(row + b"\r\n" for row in rows) + b".\r\n"
            elif verb == "LIST":
                answer = b"+OK %s %d\r\n" % (arguments[0].encode(), len(mails[int(arguments[0]) - 1]))
            elif verb in ("RETR", "TOP"):
                answer = b"+OK\r\n" + mails[int(arguments[0]) - 1] + b".\r\n"
            elif verb == "DELE":
                deleted.add(int(arguments[0]) - 1)
                answer = b"+OK\r\n"
            elif verb == "QUIT":
                server.mails = [mail for number, mail in enumerate(mails) if number not in deleted]
                self.wfile.write(b"+OK\r\n")
                return
            else:
                answer = b"-ERR\r\n"
            self.wfile.write(answer)


class Server(socketserver.ThreadingTCPServer):
    """The POP3 server, and the mails that it still has."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", PORT), Pop3)
        self.mails = list(MAILS)


@pytest.fixture
def server() -> Iterator[Server]:
    if MACHINE not in os.environ:
        pytest.skip("run by `make test-integration`")
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def as_user(user: User, *command: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command as the user, in the home."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(user.home),
        "USER": user.name,
        "LOGNAME": user.name,
    }
    return subprocess.run(
        command,
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd=user.home,
        env=environment,
        capture_output=True,
        check=False,
        timeout=120,
    )


def own(user: User, snippet: str) -> str:
    """The snippet, for the home that the user has here."""
    return snippet.replace("/home/alice/", f"{user.home}/")


def fetchmail(user: User, snippet: str = "fetchmailrc") -> subprocess.CompletedProcess[bytes]:
    """Collect with the line of examples/integration/fetchmailrc."""
    mda = own(user, (SNIPPETS / snippet).read_text()).splitlines()[-1]
    poll = f"poll 127.0.0.1 service {PORT} proto pop3 no dns user alice there is alice here password x sslproto ''"
    user.put(".fetchmailrc", f"{poll}\n{mda}\n", mode=0o600)
    return as_user(user, "fetchmail", "--nodetach", "--nosyslog", "-f", str(user.home / ".fetchmailrc"))


def getmail(user: User, snippet: str = "getmailrc") -> subprocess.CompletedProcess[bytes]:
    """Collect with the destination of examples/integration/getmailrc."""
    retriever = (
        f"[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {PORT}\nusername = alice\npassword = x\n"
    )
    options = "[options]\ndelete = true\nread_all = true\n"
    user.put(".getmail/getmailrc", retriever + options + own(user, (SNIPPETS / snippet).read_text()), mode=0o600)
    (user.home / ".getmail").chmod(0o700)
    return as_user(user, "getmail")


def fetchmail_lmtp(user: User) -> subprocess.CompletedProcess[bytes]:
    """Collect for an LMTP server of one's own."""
    with lmtp.serving(user.home / "lmtp.sock", user=user):
        return fetchmail(user, "fetchmailrc-lmtp")


def getmail_lmtp(user: User) -> subprocess.CompletedProcess[bytes]:
    """Collect for an LMTP server of one's own."""
    with lmtp.serving(user.home / "lmtp.sock", user=user):
        return getmail(user, "getmailrc-lmtp")


Fetch = Callable[[User], subprocess.CompletedProcess[bytes]]
COLLECTORS: tuple[Fetch, ...] = (fetchmail, getmail, fetchmail_lmtp, getmail_lmtp)


@pytest.mark.parametrize("fetch", COLLECTORS, ids=lambda fetch: fetch.__name__)
def test_collecting(fetch: Fetch, server: Server, users: dict[str, User], tell: Callable[[str], None]) -> None:
    """What cannot be delivered stays on the server, and comes with the next run."""
    alice = users["alice"]
    alice.put(".procmailrc", "EXITCODE=75\n:0\n/dev/null\n")
    failed = fetch(alice)
    assert len(server.mails) == len(MAILS), failed.stdout + failed.stderr
    alice.put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    done = fetch(alice)
    stored = alice.stored("inbox")
    assert [stored.count(b"Subject: number %d." % n) for n in range(len(MAILS))] == [1] * len(MAILS), done.stderr
    assert server.mails == [], done.stdout + done.stderr
    tell("left there, then delivered")


def expunge(path: Path, user: User, stop: threading.Event, seen: list[str]) -> None:
    """Do as mutt does: a dotlock by dotlockfile, then a kernel lock; take the mails out, and let go."""
    lock = f"{path}.lock"
    while not stop.is_set():
        if as_user(user, "dotlockfile", "-l", "-r", "0", "-p", lock).returncode:
            time.sleep(0.01)
            continue
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            box = mailbox.mbox(path)
            seen += [str(message["Subject"]) for message in box]
            box.close()
            time.sleep(0.02)
            file.truncate(0)
        as_user(user, "dotlockfile", "-u", lock)
        time.sleep(0.05)


def test_a_reader_beside_us(users: dict[str, User], tell: Callable[[str], None]) -> None:
    """While 200 mails arrive in the system mailbox, a reader takes them out: each is seen once."""
    alice = users["alice"]
    alice.make_mailbox()
    alice.put(".procmailrc", "LOCKSLEEP=1\n")
    stop, seen = threading.Event(), list[str]()
    reader = threading.Thread(target=expunge, args=(alice.mailbox, alice, stop, seen))
    reader.start()

    def deliver(numbers: range) -> None:
        for number in numbers:
            mail = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: %d\n\nhello\n" % number
            subprocess.run(["/usr/local/bin/procmail", "-d", "alice"], input=mail, check=True)

    writers = [threading.Thread(target=deliver, args=(range(first, 200, 4),)) for first in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    wait_for(lambda: alice.stored() == b"", "the reader to take the last one out")
    stop.set()
    reader.join()
    assert sorted(map(int, seen)) == list(range(200))
    tell("200, each once")
