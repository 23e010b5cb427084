"""What is tried with Exim and with Sendmail alike: each is a server whose `send` waits for the first attempt."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Protocol

from integration.conftest import User, wait_for


class Server(Protocol):
    """A mail server."""

    domain: str

    def send(self, *recipients: str, body: bytes = b"hello\n") -> str:
        """Submit a mail, and have it tried once; what is in its Subject."""

    def retry(self) -> None:
        """Try what is in the queue again."""

    def queued(self) -> int:
        """How many mails are in the queue."""

    def bounced(self) -> int:
        """How many recipients were refused for good since the last `empty`."""


Scene = Callable[[Server, dict[str, User]], str]


def delivered(server: Server, users: dict[str, User]) -> str:
    """Into a folder, with bytes that are no text and lines that look like From_ lines."""
    users["alice"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    body = b"From the start\n\xff\xe4 8bit\n\nFrom the end\n"
    subject = server.send(f"alice@{server.domain}", body=body)
    stored = users["alice"].stored("inbox")
    assert stored.count(subject.encode()) == 1
    assert stored.startswith(b"From ")
    assert b">From the start\n\xff\xe4 8bit\n\n>From the end\n" in stored
    assert (server.queued(), server.bounced()) == (0, 0)
    return "sent"


def no_mailbox(server: Server, users: dict[str, User]) -> str:
    """A system mailbox that is missing is made by root, or keeps the mail until somebody makes it."""
    subject = server.send(f"alice@{server.domain}")
    outcome = "sent"
    if server.queued():
        outcome = "deferred, then sent"
        users["alice"].make_mailbox()
        server.retry()
    assert users["alice"].stored().count(subject.encode()) == 1
    assert (server.queued(), server.bounced()) == (0, 0)
    return outcome


def full_disk(server: Server, users: dict[str, User]) -> str:
    """Deferred, and delivered after room is made."""
    alice = users["alice"]
    alice.put(".procmailrc", "DEFAULT=$HOME/disk/inbox\nORGMAIL=$DEFAULT\n")
    disk = alice.home / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=64k,mode=700,uid={alice.uid}", "tmpfs", disk], check=True)
    (disk / "fill").write_bytes(b"x" * 40_000)
    subject = server.send(f"alice@{server.domain}", body=b"line\n" * 8000)
    assert server.queued() == 1
    assert not (disk / "inbox").exists() or (disk / "inbox").read_bytes() == b""
    (disk / "fill").unlink()
    server.retry()
    assert (disk / "inbox").read_bytes().count(subject.encode()) == 1
    assert (server.queued(), server.bounced()) == (0, 0)
    return "deferred, then sent"


def mistake(server: Server, users: dict[str, User]) -> str:
    """What is not understood is skipped."""
    users["alice"].put(".procmailrc", 'DEFAULT=$HOME/inbox\n:0 Q\n* ^Subject: ((\n{ :0\n"unclosed\n')
    subject = server.send(f"alice@{server.domain}")
    found = b"".join(path.read_bytes() for path in users["alice"].home.iterdir() if path.is_file())
    assert found.count(subject.encode()) == 1
    return "sent"


def refused(server: Server, users: dict[str, User]) -> str:
    """EXITCODE=67 returns the mail, EXITCODE=75 keeps it; the others of the same mail are delivered."""
    users["alice"].put(".procmailrc", "EXITCODE=67\n:0\n/dev/null\n")
    users["bob"].put(".procmailrc", "EXITCODE=75\n:0\n/dev/null\n")
    users["carol"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    subject = server.send(*(f"{name}@{server.domain}" for name in ("alice", "bob", "carol")))
    assert users["carol"].stored("inbox").count(subject.encode()) == 1
    assert server.bounced() >= 1
    assert server.queued() >= 1
    users["bob"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    server.retry()
    assert users["bob"].stored("inbox").count(subject.encode()) == 1
    assert users["carol"].stored("inbox").count(subject.encode()) == 1
    return "bounced, deferred, sent"


def forwarded(server: Server, users: dict[str, User]) -> str:
    """`!` gives the mail to the server's own sendmail."""
    users["alice"].put(".procmailrc", f"DEFAULT=$HOME/inbox\n:0 c\n! bob@{server.domain}\n")
    users["bob"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    subject = server.send(f"alice@{server.domain}")
    server.retry()
    assert subject.encode() in users["alice"].stored("inbox")
    wait_for(lambda: subject.encode() in users["bob"].stored("inbox"), "the forwarded mail")
    return "sent, sent"


def many(server: Server, users: dict[str, User]) -> str:
    """Each of twenty mails once, in one mbox."""
    users["alice"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    subjects = [server.send(f"alice@{server.domain}") for _ in range(20)]
    stored = users["alice"].stored("inbox")
    assert [stored.count(f"Subject: {subject}".encode()) for subject in subjects] == [1] * len(subjects)
    assert os.listdir("/var/mail") == [] or not any(name.endswith(".lock") for name in os.listdir("/var/mail"))
    return "20 sent"


ALL: tuple[Scene, ...] = (delivered, no_mailbox, full_disk, mistake, refused, forwarded, many)
OF_FATES: tuple[Scene, ...] = (delivered, no_mailbox, full_disk, refused)
"""What depends on how the server gives us a mail, and what it makes of our answer."""
