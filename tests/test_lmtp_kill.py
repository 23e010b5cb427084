"""kill -9 of the LMTP server's processes at random moments under load.

A mail that was answered 250 is in a folder, once or more; one that was not is the client's, who sends it again: so in
the end each mail is there.  And a mail is put off only if its own worker, or the whole server, was killed.
"""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from lmtp_server import PATIENCE_S, Client, Running, addresses, children, serving, started, wait_for

RULES = """\
DEFAULT=./Maildir/
LOCKSLEEP=1
:0
* ^Subject: .*[05]$
{
  :0 fhw
  | cat
  :0:
  mbox
}
"""
CLIENTS = 4
MOMENTS = {"worker": 30, "supervisor": 15, "group": 15}
"""What CI has time for; a server takes its time to start anew."""


class Sender(threading.Thread):
    """A mail server: sends each mail until it is answered 250 for each recipient, whatever happens in between."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(daemon=True)
        self.path = path
        self.label = name
        self.stop = threading.Event()
        self.answered: list[str] = []
        self.put_off = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        """Send mails until the test is over; the last one is answered, too."""
        number = 0
        while not self.stop.is_set():
            number += 1
            subject = f"{self.label}.{number}"
            left = ["alice", "bob"]
            while left:
                left = [name for name in left if not self.sent(subject, name)]

    def sent(self, subject: str, name: str) -> bool:
        """Try once; whether it is answered 250.  Each recipient on its own, so that it is known who was put off."""
        try:
            with Client(self.path) as client:
                client.hello()
                (reply,) = client.mail(f"Subject: {subject}\n\nbody\n".encode(), f"{name}@example.org")
        except (OSError, AssertionError):
            time.sleep(0.02)  # the server is gone, in the middle of something
            return False
        if reply.startswith("250"):
            self.answered.append(f"{name} {subject}")
            return True
        if reply.startswith("4"):
            self.put_off += 1
        elif reply:
            self.wrong.append(reply)
        return False


def stored(folder: Path, name: str) -> set[str]:
    """The numbers of all mails that an address has."""
    home = folder / "v/example.org" / name
    files = [path for path in (home / "Maildir/new").glob("*") if path.is_file()]
    text = b"".join(path.read_bytes() for path in [*files, home / "mbox"] if path.exists())
    return {f"{name} {found.decode()}" for found in re.findall(rb"(?m)^Subject: (\S+)$", text)}


def group_of(server: Running) -> list[int]:
    """All processes of a server, the supervisor first."""
    found = [server.process.pid]
    for pid in found:
        found += children(pid)
    return found


def kill(pids: list[int]) -> None:
    """At once, as far as there is such a thing."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@contextmanager
def loaded(path: Path, label: str) -> Iterator[list[Sender]]:
    """Clients at work."""
    senders = [Sender(path, f"{label}-{number}") for number in range(CLIENTS)]
    for sender in senders:
        sender.start()
    try:
        yield senders
    finally:
        for sender in senders:
            sender.stop.set()


def finish(senders: list[Sender]) -> None:
    """Have the last mails answered."""
    for sender in senders:
        sender.stop.set()
    for sender in senders:
        sender.join(PATIENCE_S)
        assert not sender.is_alive(), "a mail is never answered 250"
        assert sender.wrong == []


def check(folder: Path, senders: list[Sender]) -> None:
    """Nothing that was answered is missing."""
    answered = {each for sender in senders for each in sender.answered}
    assert answered
    found = stored(folder, "alice") | stored(folder, "bob")
    assert answered - found == set()


def kill_workers(launchers: Path, folder: Path, moments: int, chance: random.Random) -> None:
    """One server lives on: only what a killed worker had begun may be put off."""
    with serving(launchers, folder, "--workers", "3", rules=RULES) as server:
        with loaded(server.socket, "w") as senders:
            killed = 0
            while killed < moments:
                time.sleep(chance.uniform(0, 0.05))
                workers = server.workers()
                if workers:
                    kill([chance.choice(workers)])
                    killed += 1
            finish(senders)
        assert server.process.poll() is None
        check(folder, senders)
        assert sum(sender.put_off for sender in senders) <= killed
        with server.client() as client:
            assert client.mail(b"Subject: last\n\n", "alice@example.org")[0].startswith("250")
        assert {path.name for path in (folder / "v/example.org").rglob("*.lock")} == set()


def kill_servers(launchers: Path, folder: Path, kind: str, moments: int, chance: random.Random) -> None:
    """The supervisor, or all: another server takes its place, as with a service manager."""
    words = [*addresses(folder, RULES), "--workers", "3"]
    with loaded(folder / "socket", kind) as senders:
        for _ in range(moments):
            with started(launchers, folder, *words, status=-signal.SIGKILL) as server:
                time.sleep(chance.uniform(0, 0.3))
                pids = group_of(server)
                kill(pids[:1] if kind == "supervisor" else pids)
                server.process.wait(PATIENCE_S)
                # The workers of a supervisor that is gone finish what they have begun.
                wait_for(partial(none_of, pids), "the processes to end")
            for left in (folder / "v/example.org").rglob("*.lock"):
                left.unlink()  # nobody is left who could know of it; it would have to grow old
        with started(launchers, folder, *words):
            finish(senders)
    check(folder, senders)


def none_of(pids: list[int]) -> bool:
    """Whether no process of these is left."""
    return not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    """Whether the process runs, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def run(launchers: Path, folder: Path, kind: str, moments: int) -> None:
    """Kill processes of a kind at that many moments."""
    chance = random.Random(moments)
    if kind == "worker":
        kill_workers(launchers, folder, moments, chance)
    else:
        kill_servers(launchers, folder, kind, moments, chance)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MOMENTS)
def test_killed_at_some_moments(launchers: Path, folder: Path, kind: str) -> None:
    """60 in all."""
    run(launchers, folder, kind, MOMENTS[kind])


@pytest.mark.torture
@pytest.mark.parametrize("kind", MOMENTS)
def test_killed_at_100_moments(launchers: Path, folder: Path, kind: str) -> None:
    """300 in all."""
    run(launchers, folder, kind, 100)
