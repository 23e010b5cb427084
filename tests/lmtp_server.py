"""An LMTP server that runs, and a client of it, for the tests of the server."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE_S = 60.0
RULES = """\
DEFAULT=./Maildir/
LOGFILE=log
:0
* ^Subject: later
{ EXITCODE=75 HOST=x }
:0
* ^Subject: unknown
{ EXITCODE=67 REPLY="go away" HOST=x }
:0
* ^Subject: slow
* ? sleep 60
/dev/null
:0
* ^Subject: crash
* ? kill -9 $PPID; true
/dev/null
:0:
* ^Subject: nowhere
/nonexistent/folder
"""


class Client:
    """A connection to the server."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        # Without a timeout, connect waits while the queue of the server is full.
        try:
            self.socket.connect(os.fsencode(path))
        except OSError:
            self.socket.close()
            raise
        self.socket.settimeout(PATIENCE_S)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Say something."""
        self.socket.sendall(data)

    def lines(self, count: int) -> list[str]:
        """The next lines; fewer at the end."""
        return [self.file.readline().decode().rstrip("\r\n") for _ in range(count)]

    def hello(self) -> None:
        """Greeting and LHLO."""
        self.send(b"LHLO me\r\n")
        assert self.lines(8)[-1] == "250 CHUNKING"

    def mail(self, text: bytes, *recipients: str) -> list[str]:
        """The replies about each recipient: that to RCPT if it is refused there."""
        named = b"".join(b"RCPT TO:<%b>\r\n" % name.encode() for name in recipients)
        self.send(b"MAIL FROM:<a@b>\r\n" + named)
        assert self.lines(1) == ["250 2.1.0 Ok"]
        replies = self.lines(len(recipients))
        taken = [reply.startswith("250") for reply in replies]
        if any(taken):
            self.send(b"DATA\r\n" + text.replace(b"\n", b"\r\n") + b".\r\n")
            assert self.lines(1) == ["354 Go on, end with a dot"]
        else:
            self.send(b"RSET\r\n")
            self.lines(1)
        return [self.lines(1)[0] if ours else reply for ours, reply in zip(taken, replies, strict=True)]


class Running:
    """A server, and the folders of its addresses."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process
        self.socket = folder / "socket"

    def client(self) -> Client:
        """A client that has said LHLO."""
        client = Client(self.socket)
        client.hello()
        return client

    def stored(self, name: str) -> list[bytes]:
        """The mails of an address."""
        return [path.read_bytes() for path in (self.folder / "v/example.org" / name / "Maildir/new").glob("*")]

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        return [worker for starter in children(self.process.pid) for worker in children(starter)]


def children(pid: int) -> list[int]:
    """The child processes of a process."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Until it holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


@contextmanager
def serving(launchers: Path, folder: Path, *options: str, rules: str = RULES, status: int = 0) -> Iterator[Running]:
    """A server of virtual addresses, not as root."""
    words = addresses(folder, rules)
    with started(launchers, folder, *words, *options, status=status) as found:
        yield found


def addresses(folder: Path, rules: str) -> list[str]:
    """Make the folders of alice and bob; the options that serve them."""
    (folder / "rules").write_text(rules)
    for name in ("alice", "bob"):
        (folder / "v/example.org" / name).mkdir(parents=True)
    words = ["--virtual", str(folder / "v"), "--rules", str(folder / "rules"), "--spool", str(folder)]
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        words += ["--user", "nobody"]
    return words


@contextmanager
def started(launchers: Path, folder: Path, *words: str, status: int = 0) -> Iterator[Running]:
    """A server, until it is told to stop; it has to end by itself then, with that exit status."""
    program = launchers / "pyprocmail"
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    (folder / "notify").unlink(missing_ok=True)
    notified.bind(os.fsencode(folder / "notify"))
    (folder / "notify").chmod(0o777)
    notified.settimeout(PATIENCE_S)
    process = subprocess.Popen(
        [program, "lmtp", "--listen", f"unix:{folder}/socket", "--socket-mode", "0666", *words],
        env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
    )
    try:
        assert notified.recv(100) == b"READY=1"
        yield Running(folder, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == status
    finally:
        notified.close()
        process.kill()
        process.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user can get to, with a short name, as sockets need."""
    made = Path(tempfile.mkdtemp(prefix="lmtp."))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture
def server(launchers: Path, folder: Path) -> Iterator[Running]:
    """A server with two workers and little patience."""
    with serving(launchers, folder, "--workers", "2", "--max-size", "300000", "--max-recipients", "50") as found:
        yield found
