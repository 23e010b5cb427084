"""Mails a second through `pyprocmail milter`, beside pymilter that writes the same line; as a Markdown table.

    python tests/bench/milters.py [PYTHON]

PYTHON has pymilter (`pip install pymilter`, with gcc and libmilter-dev); without it the table has our column only.  The
client is a mail server that does as the milter negotiated: where no reply was agreed it waits for none.  The two
milters take turns, and each figure is the median of the rounds.
"""

from __future__ import annotations

import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyprocmail.servers.milter import codec

ROUNDS = 3
MAILS = {"unix": 2000, "inet": 200}
"""pymilter over TCP waits 88 ms for each: the mail server's small packets for our acknowledgements."""
HEADER = [(b"X-Field-%d" % number, b"value of the field " * 2) for number in range(9)] + [(b"Subject", b"invoice 17")]
BODY = b"It is due, and you have been told so.\r\n" * 51

POLICIES = {
    "variables, decided after the recipients": ":0\n* CLIENT_NAME ?? ^spam\n/dev/null\n",
    "the header": ":0\n* ^Subject:.*lottery\n/dev/null\n",
    "the body": ":0 B\n* lottery\n/dev/null\n",
    "the body, and a field is added by formail": ":0 fhw\n| formail -A 'X-Tag: yes'\n:0 B\n* lottery\n/dev/null\n",
    "the header, and a field is added by sed": ":0 fhw\n| sed '$i X-Tag: yes'\n",
}
POLICY_MAILS = 500

PYMILTER = """
import sys, time, re, Milter

class Logger(Milter.Base):
    def envfrom(self, sender, *words):
        self.sender, self.to, self.size, self.subject, self.files = sender, [], 0, "", []
        return Milter.CONTINUE
    envfrom = Milter.noreply(envfrom)
    def envrcpt(self, to, *words):
        self.to.append(to)
        return Milter.CONTINUE
    envrcpt = Milter.noreply(envrcpt)
    def header(self, name, value):
        if name.lower() == "subject":
            self.subject = re.sub("[\\x00-\\x1f]", " ", value)
        return Milter.CONTINUE
    header = Milter.noreply(header)
    def eoh(self):
        return Milter.CONTINUE
    eoh = Milter.noreply(eoh)
    def body(self, chunk):
        self.size += len(chunk)
        self.files += re.findall(b'name="([^"\\n]*)', chunk)
        return Milter.CONTINUE
    body = Milter.noreply(body)
    def eom(self):
        now = int(time.time())
        line = "\\t".join([time.strftime("%y-%m-%d %H:%M", time.gmtime(now)), f"time={now}", f"from={self.sender}",
                          *(f"to={one}" for one in self.to), f"size={self.size}", f"subject={self.subject}",
                          *(f"file={one.decode(errors='replace')}" for one in self.files)])
        log.write(line.encode(errors="surrogateescape") + b"\\n")
        return Milter.CONTINUE

log = open("pymilter.log", "ab", buffering=0)
Milter.factory = Logger
Milter.runmilter("bench", sys.argv[1], 600)
"""


class Accepted(Exception):
    """The milter has heard enough of a mail."""


class Client:
    """One connection of a mail server."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._file = connected.makefile("rb")
        connected.sendall(_packet(b"O" + struct.pack(">III", 6, 0x1FF, 0x1FFFFF)))
        _, _, self._protocol = struct.unpack(">III", self._reply()[1:])

    def _reply(self) -> bytes:
        (length,) = struct.unpack(">I", self._file.read(4))
        return self._file.read(int(length))

    def _step(self, data: bytes, absent: int, silent: int) -> None:
        """A packet, unless it is not wanted; its reply, unless there is none."""
        if self._protocol & absent:
            return
        self._socket.sendall(_packet(data))
        if not self._protocol & silent:
            self._hear()

    def _hear(self) -> None:
        """The answer, and the changes before it."""
        while (reply := self._reply()[:1]) in (b"h", b"i", b"m"):
            pass
        if reply == b"a":
            raise Accepted
        if reply != b"c":
            raise RuntimeError(f"the milter said {reply!r}")

    def mail(self) -> None:
        """One mail of 10 fields and 2 kB."""
        try:
            self._step(b"M<alice@example.com>\0", codec.NO_MAIL, codec.NO_REPLY_MAIL)
            self._step(b"R<bob@example.org>\0", codec.NO_RECIPIENT, codec.NO_REPLY_RECIPIENT)
            self._step(b"T", codec.NO_DATA, codec.NO_REPLY_DATA)
            for name, value in HEADER:
                self._step(b"L" + name + b"\0" + value + b"\0", codec.NO_HEADERS, codec.NO_REPLY_HEADER)
            self._step(b"N", codec.NO_END_OF_HEADERS, codec.NO_REPLY_END_OF_HEADERS)
            self._step(b"B" + BODY, codec.NO_BODY, codec.NO_REPLY_BODY)
            self._step(b"E", 0, 0)
        except Accepted:
            pass  # the mail server says no more of this mail


def _packet(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def connect(address: str) -> socket.socket:
    """A connection to unix:PATH or inet:PORT@127.0.0.1."""
    kind, _, rest = address.partition(":")
    connected = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    connected.settimeout(60)
    connected.connect(rest if kind == "unix" else ("127.0.0.1", int(rest.partition("@")[0])))
    return connected


def rate(address: str, connections: int, mails: int = 0) -> float:
    """Mails a second, over so many connections, each a process."""
    mails = mails or MAILS[address.partition(":")[0]]
    begin = time.perf_counter()
    children = []
    for _ in range(connections):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                client = Client(connect(address))
                for _ in range(mails // connections):
                    client.mail()
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    if any(os.waitpid(pid, 0)[1] for pid in children):
        raise RuntimeError(f"a client of {address} failed")
    return mails / (time.perf_counter() - begin)


@contextmanager
def running(command: list[str], address: str, folder: Path) -> Iterator[int]:
    """The milter, once it takes connections; its process id."""
    with subprocess.Popen(command, cwd=folder) as milter:
        try:
            for _ in range(600):
                try:
                    connect(address).close()
                    break
                except OSError:
                    time.sleep(0.05)
            else:
                raise RuntimeError(f"{command[0]} never listened")
            yield milter.pid
        finally:
            milter.terminate()
            try:
                milter.wait(10)
            except subprocess.TimeoutExpired:
                milter.kill()


def port() -> int:
    """A port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def resident_kb(pid: int) -> int:
    """The memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def main() -> None:
    """Print the table."""
    python = sys.argv[1] if len(sys.argv) > 1 else ""
    ours = [str(Path(sys.executable).with_name("pyprocmail")), "milter", "-f", "ours.log", "-p"]
    memory: list[str] = []
    print("| socket, connections | pyprocmail milter: mails a second | pymilter | multiple | rounds |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "logger.py").write_text(PYMILTER)
        for kind in ("unix", "inet"):
            one, two = address(kind, f"{folder}/ours"), address(kind, f"{folder}/theirs")
            with running([*ours, one], one, folder) as pid:
                if python:
                    with running([python, "logger.py", two], two, folder):
                        table(kind, one, two)
                else:
                    table(kind, one, "")
                memory.append(f"{kind}: {resident_kb(pid)} kB")
    print(f"\nmemory of pyprocmail milter after these, {', '.join(memory)}")
    policies()


def policies() -> None:
    """Print the table of milters that decide, beside one that only logs."""
    milter = [str(Path(sys.executable).with_name("pyprocmail")), "milter", "--workers", "2"]
    print("\n| unix; what the rules look at | 1 connection: mails a second | 4 connections |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = {"no rules: a log": ["-f", "log"]}
        for number, (what, rules) in enumerate(POLICIES.items()):
            (folder / f"{number}.rc").write_text(rules)
            rows[what] = ["--policy", f"{number}.rc"]
        for what, options in rows.items():
            address = f"unix:{folder}/socket"
            with running([*milter, *options, "-p", address], address, folder):
                figures = [
                    statistics.median(rate(address, connections, POLICY_MAILS) for _ in range(ROUNDS))
                    for connections in (1, 4)
                ]
            print(f"| {what} | {figures[0]:.0f} | {figures[1]:.0f} |", flush=True)


def address(kind: str, path: str) -> str:
    """Where a milter is to listen."""
    return f"unix:{path}" if kind == "unix" else f"inet:{port()}@127.0.0.1"


def table(kind: str, ours: str, theirs: str) -> None:
    """The rows of one kind of socket."""
    for connections in (1, 4):
        pairs = [(rate(ours, connections), rate(theirs, connections) if theirs else 0.0) for _ in range(ROUNDS + 1)]
        first, second = (statistics.median(side) for side in zip(*pairs[1:], strict=True))
        beside = f"{second:.0f} | {first / second:.2f}" if second else "not measured | "
        print(f"| {kind}, {connections} | {first:.0f} | {beside} | {ROUNDS} |", flush=True)


if __name__ == "__main__":
    main()
