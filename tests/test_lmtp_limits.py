"""The LMTP server under clients, disks and directories that do what they can: bounded memory, clear replies."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import installation
import pytest
from lmtp_server import PATIENCE_S, Client, Running, serving, started, wait_for

from pyprocmail.servers.lmtp import users

NOWHERE = ":0\n/dev/null\n"
LARGEST_KB = 150_000


def codes(replies: list[str]) -> list[str]:
    """The first words of replies."""
    return [reply[:3] for reply in replies]


def held_kb(server: Running) -> int:
    """The most that the supervisor ever had in memory."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(found)


@pytest.mark.parametrize(
    "count",
    [pytest.param(2_000, marks=pytest.mark.slow), pytest.param(10_000, marks=pytest.mark.torture)],
)  # fmt: skip
def test_thousands_of_recipients(launchers: Path, folder: Path, count: int) -> None:
    """Each has its reply; another client is served meanwhile."""
    with serving(launchers, folder, "--max-recipients", str(count), rules=NOWHERE) as server:
        with server.client() as client, server.client() as other:
            client.send(b"MAIL FROM:<>\r\n" + b"RCPT TO:<alice@example.org>\r\n" * (count + 1))
            assert codes(client.lines(count + 2)) == ["250"] * (count + 1) + ["452"]
            client.send(b"DATA\r\nSubject: one\r\n\r\n.\r\n")
            assert codes(client.lines(2)) == ["354", "250"]
            assert codes(other.mail(b"Subject: two\n\n", "bob@example.org")) == ["250"]
            assert codes(client.lines(count - 1)) == ["250"] * (count - 1)
            assert codes(client.mail(b"Subject: three\n\n", "bob@example.org")) == ["250"]
        assert held_kb(server) < LARGEST_KB


def test_five_hundred_connections(launchers: Path, folder: Path) -> None:
    """All at once, each with a mail."""
    with serving(launchers, folder, "--connections", "500", rules=NOWHERE) as server:
        clients = [server.client() for _ in range(500)]
        try:
            for client in clients:
                client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: one\r\n\r\nbody\r\n")
            for client in clients:
                client.send(b".\r\n")
            assert {tuple(codes(client.lines(4))) for client in clients} == {("250", "250", "354", "250")}
        finally:
            for client in clients:
                client.__exit__()
        assert held_kb(server) < LARGEST_KB


def test_a_client_that_does_not_read(launchers: Path, folder: Path) -> None:
    """It is not read from either, however much it says; it is left when its time is over, and others are served."""
    with serving(launchers, folder, "--session-timeout", "2") as server:
        deaf = server.client()
        deaf.socket.settimeout(0.5)
        sent = 0
        try:
            while sent < 10_000:
                deaf.send(b"NOOP\r\n" * 10_000)
                sent += 1
        except OSError:
            pass  # nobody takes it any more
        assert sent < 10_000
        with server.client() as client:
            assert codes(client.mail(b"Subject: one\n\n", "alice@example.org")) == ["250"]
        deaf.__exit__()
        assert held_kb(server) < LARGEST_KB


def test_a_slow_client(launchers: Path, folder: Path) -> None:
    """A mail that comes byte by byte is one; others are served meanwhile."""
    with serving(launchers, folder) as server, server.client() as slow, server.client() as client:
        for number, letter in enumerate(
            b"MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: bytes\r\n\r\n.\r\n"
        ):
            slow.send(bytes([letter]))
            if number % 10 == 0:
                assert codes(client.mail(b"Subject: one\n\n", "alice@example.org")) == ["250"]
        assert codes(slow.lines(4)) == ["250", "250", "354", "250"]
        assert len(server.stored("bob")) == 1


def test_clients_that_go_away(launchers: Path, folder: Path) -> None:
    """In the middle of a mail: nothing is delivered.  After its end, with the reply unheard: once, or not at all."""
    with serving(launchers, folder) as server:
        begin = b"MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: half\r\n\r\nbody"
        for end in (b"", b"\r\n", b"\r\n."):
            with server.client() as client:
                client.send(begin + end)
                client.lines(3)
        with server.client() as client:
            client.send(begin.replace(b"bob", b"alice") + b"\r\n.\r\n")
            client.socket.shutdown(socket.SHUT_WR)
            client.lines(4)
        with server.client() as client:
            assert codes(client.mail(b"Subject: last\n\n", "bob@example.org")) == ["250"]
        (stored,) = server.stored("bob")
        assert b"Subject: last" in stored
        assert len(server.stored("alice")) <= 1


def test_an_endless_line_of_a_mail(launchers: Path, folder: Path) -> None:
    """A mail without line ends is refused as any other that is too large, and never held in memory."""
    with serving(launchers, folder, "--max-size", "20000000") as server, server.client() as client:
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n")
        for _ in range(300):
            client.send(b"x" * 100_000)
        client.send(b"\r\n.\r\nNOOP\r\n")
        assert [line[:9] for line in client.lines(5)] == [
            "250 2.1.0", "250 2.1.5", "354 Go on", "552 5.3.4", "250 2.0.0",
        ]  # fmt: skip
        assert held_kb(server) < LARGEST_KB


@contextmanager
def small_disk(path: Path, owner: Path) -> Iterator[None]:
    """A file system of 256 KB."""
    status = owner.stat()
    options = f"size=256k,mode=755,uid={status.st_uid},gid={status.st_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("kind", ["Maildir/", "mbox"])
def test_a_full_disk(launchers: Path, folder: Path, kind: str) -> None:
    """A 4xx, and the folder as it was; others are served; what is sent again arrives when there is room."""
    with serving(launchers, folder, rules=f"DEFAULT=./disk/{kind}\n") as server, server.client() as client:
        home = server.folder / "v/example.org/alice"
        (home / "disk").mkdir()
        (server.folder / "v/example.org/bob/disk").mkdir()
        os.chown(server.folder / "v/example.org/bob/disk", home.stat().st_uid, -1)
        with small_disk(home / "disk", home):
            assert codes(client.mail(b"Subject: one\n\n", "alice@example.org")) == ["250"]
            before = stored(home / "disk")
            (home / "disk/fill").write_bytes(b"x" * 180_000)
            big = b"Subject: big\n\n" + b"line\n" * 30_000
            assert codes(client.mail(big, "alice@example.org", "bob@example.org")) == ["451", "250"]
            assert stored(home / "disk") == before
            (home / "disk/fill").unlink()
            assert codes(client.mail(big, "alice@example.org")) == ["250"]
            assert stored(home / "disk").count(b"Subject: big\n") == 1


def stored(folder: Path) -> bytes:
    """All that is in the mbox or the Maildir."""
    files = [*folder.glob("mbox"), *folder.glob("Maildir/*/*")]
    return b"".join(path.read_bytes() for path in sorted(files))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_spool(launchers: Path, folder: Path) -> None:
    """452 for a mail that does not fit; what does is delivered."""
    (folder / "disk").mkdir()
    with small_disk(folder / "disk", folder):
        (folder / "disk").chmod(0o777)
        with serving(launchers, folder, "--spool", str(folder / "disk")) as server, server.client() as client:
            big = b"Subject: big\n\n" + b"line\n" * 100_000
            assert client.mail(big, "alice@example.org", "bob@example.org") == ["452 4.3.1 No room for the mail"] * 2
            fits = b"Subject: fits\n\n" + b"line\n" * 20_000
            assert codes(client.mail(fits, "alice@example.org")) == ["250"]


def test_socket_activation(launchers: Path, folder: Path) -> None:
    """The service manager's socket stays when the server ends, and whoever connects meanwhile is served by the next."""
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fsencode(path))
        path.chmod(0o666)
        listener.listen(10)
        waiting: Client | None = None
        for _ in range(2):
            with activated(launchers, folder, listener) as process:
                client = waiting if waiting is not None else Client(path)
                with client:
                    client.hello()
                    assert codes(client.mail(b"Subject: one\n\n", "nobody-at-all@here")) == ["550"]
                process.send_signal(signal.SIGTERM)
                assert process.wait(PATIENCE_S) == 0
            assert path.exists()
            waiting = Client(path)
        assert waiting is not None
        waiting.__exit__()


HAND_OVER = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def activated(launchers: Path, folder: Path, listener: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    """A server whose descriptor 3 listens, with a watchdog that bites after four seconds."""
    notices = folder / "notices"
    notices.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(os.fsencode(notices))
        notices.chmod(0o777)
        notified.settimeout(PATIENCE_S)
        fd = listener.fileno()
        environment = {**os.environ, "NOTIFY_SOCKET": str(notices), "WATCHDOG_USEC": "4000000", "LISTEN_FDS": "1"}
        words = [sys.executable, "-c", HAND_OVER, str(fd), str(launchers / "pyprocmail"), "lmtp", "--listen", "systemd"]
        process = subprocess.Popen(words, pass_fds=[fd], env=environment)
        try:
            assert [notified.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
            yield process
        finally:
            process.kill()
            process.wait()


SLOW = """\
import os, sys, time
from pyprocmail.commands import lmtp
from pyprocmail.commands.cli import cli

def slow(name, fd, ledger, real=lmtp._look_up):
    if name.startswith(b"=slow"):
        while not os.path.exists(sys.argv[1]):
            time.sleep(0.05)
    return real(name, fd, ledger)

lmtp._look_up = slow
cli(["lmtp", *sys.argv[2:]])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root serves users who have to be looked up")
def test_a_slow_look_up(folder: Path) -> None:
    """A directory service that does not answer for some names: others are looked up, and a name is asked for once."""
    (folder / "launcher").mkdir()
    program = folder / "launcher/pyprocmail"
    program.write_text(f"#!/bin/sh\nshift\nexec {installation.interpreter()} -c '{SLOW}' {folder}/go \"$@\"\n")
    program.chmod(0o755)
    with started(folder / "launcher", folder) as server:
        slow = [server.client() for _ in range(30)]
        for number, client in enumerate(slow):
            client.send(b"MAIL FROM:<>\r\nRCPT TO:<slow%d@here>\r\n" % (number % 6))
            assert codes(client.lines(1)) == ["250"]
        with server.client() as client:
            for _ in range(5):
                replies = client.mail(b"Subject: one\n\n", "root@here", "nobody-at-all@here")
                assert [reply[:9] for reply in replies] == ["550 5.7.1", "550 5.1.1"]
        (folder / "go").touch()
        for client in slow:
            assert codes(client.lines(1)) == ["550"]
            client.__exit__()


def test_many_clients_that_hurry(launchers: Path, folder: Path) -> None:
    """Side by side, each mail is there once."""
    with serving(launchers, folder) as server:
        failed: list[str] = []

        def send(name: str) -> None:
            with server.client() as client:
                for number in range(20):
                    replies = client.mail(f"Subject: {number}\n\n".encode(), f"{name}@example.org")
                    failed.extend(reply for reply in replies if not reply.startswith("250"))

        threads = [threading.Thread(target=send, args=(name,)) for name in ("alice", "bob") * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        for name in ("alice", "bob"):
            assert len(server.stored(name)) == 80
        wait_for(lambda: not list((folder / "v/example.org").rglob("tmp/*")), "the temporary names to go")


def test_what_was_looked_up_a_moment_ago() -> None:
    """A name that is being asked for, or was found, is not asked for again; failures, and the unknown, are."""
    now = 0.0
    loop = asyncio.new_event_loop()
    recent = users.Recent(lambda: now, lambda answer: answer == b"found")
    try:
        asked, unknown, failed = loop.create_future(), loop.create_future(), loop.create_future()
        for name, answer in ((b"asked", asked), (b"unknown", unknown), (b"failed", failed)):
            assert recent.get(name) is None
            recent.put(name, answer)
            assert recent.get(name) is answer
        asked.set_result(b"found")
        unknown.set_result(b"none")
        failed.set_exception(OSError())
        assert [recent.get(name) for name in (b"asked", b"unknown", b"failed")] == [asked, None, None]
        now = 10.5
        assert recent.get(b"asked") is None
        for number in range(5000):
            recent.put(b"%d" % number, asked)
        assert sum(recent.get(b"%d" % number) is not None for number in range(5000)) == 1000
    finally:
        loop.close()


def test_over_tcp(launchers: Path, folder: Path) -> None:
    """In small packets, as mail servers send them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(launchers, folder, "--listen", f"127.0.0.1:{port}") as server:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client, client.makefile("rb") as replies:
            for piece in (b"LHLO me\r\nMAIL FROM:<>\r\n", b"RCPT TO:<alice@example.org>\r\nDATA\r\n", b"Subject: "):
                client.sendall(piece)
            for _ in range(100):
                client.sendall(b"word ")
            client.sendall(b"\r\n\r\n.\r\nQUIT\r\n")
            assert [line[:3] for line in replies][-5:] == [b"250", b"250", b"354", b"250", b"221"]
        (mail,) = server.stored("alice")
        assert mail.endswith(b"Subject: " + b"word " * 100 + b"\n\n")
