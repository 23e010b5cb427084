"""Mails a second through `pyprocmail lmtp`, beside Dovecot's LMTP server with Sieve; as a Markdown table.

    python tests/bench/lmtp.py [ROUNDS]

Root runs it.  Dovecot's packages are downloaded and unpacked, not installed, and seen in a mount namespace only.  Both
servers deliver as one user for addresses with a folder each, with 20 recipes, and say 250 after file and folder are on
disk (`mail_fsync = always`).  They take turns, and each figure is the median of the rounds; memory is what all
processes of a server have for themselves and their part of what they share (Pss).
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parent.parent
sys.path.insert(0, str(TESTS))

from integration.run import lay, unpack  # noqa: E402  lies in tests/

OWNER, OWNER_ID = "vmail", 61_007
SYSTEM_USERS = {"dovecot": 61_005, "dovenull": 61_006, OWNER: OWNER_ID}
PACKAGES = ("dovecot-core", "dovecot-lmtpd", "dovecot-sieve")
CONNECTIONS = (1, 4, 8)
SIZES = {"2 KB": (2_000, 160), "200 KB": (200_000, 64)}
"""Length of a body, and how many mails."""
RECIPES = 20
PATIENCE_S = 60.0
DOVECOT = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = lmtp
ssl = no
mail_fsync = always
mail_location = {location}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={owner} gid={owner} home={folder}/v/%d/%n allow_all_users=yes
}}
service lmtp {{
  unix_listener {folder}/socket {{
    mode = 0666
  }}
}}
protocol lmtp {{
  mail_plugins = sieve
  postmaster_address = postmaster@bench.example
}}
lda_mailbox_autocreate = yes
plugin {{
  sieve = file:{folder}/rules.sieve
}}
"""


def main() -> int:
    """Run in a mount namespace; the exit status."""
    if sys.argv[1:2] == ["--inside"]:
        return inside(Path(sys.argv[2]), int(sys.argv[3]))
    rounds = int(sys.argv[1]) if sys.argv[1:] else 3
    if os.geteuid() != 0:
        print("only root can run this: Dovecot is unpacked in a mount namespace")
        return 1
    scratch = Path(tempfile.mkdtemp(prefix="bench-lmtp."))
    scratch.chmod(0o755)
    try:
        unpack(scratch, "dovecot", PACKAGES)
        words = ["unshare", "--mount", sys.executable, "-P", __file__, "--inside", str(scratch), str(rounds)]
        return subprocess.run(words, check=False).returncode
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def inside(scratch: Path, rounds: int) -> int:
    """Measure, and print the table."""
    os.umask(0o022)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    layers = scratch / "layers"
    layers.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", layers], check=True)
    for place in ("usr", "etc"):
        lay(scratch / "dovecot" / place, layers / place, f"/{place}")
    with open("/etc/passwd", "a") as users, open("/etc/group", "a") as groups:
        for name, number in SYSTEM_USERS.items():
            users.write(f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n")
            groups.write(f"{name}:x:{number}:\n")
    print("| folders | mail | connections | pyprocmail, mails/s | Dovecot, mails/s | pyprocmail, MB | Dovecot, MB |")
    print("|---|---|---|---|---|---|---|")
    for kind in ("Maildir", "mbox"):
        for size in SIZES:
            for connections in CONNECTIONS:
                row(scratch, kind, size, connections, rounds)
    return 0


def row(scratch: Path, kind: str, size: str, connections: int, rounds: int) -> None:
    """One line of the table."""
    found: dict[str, list[tuple[float, float]]] = {"pyprocmail": [], "dovecot": []}
    servers = {"pyprocmail": pyprocmail, "dovecot": dovecot}
    for number in range(rounds):
        for name, server in servers.items():
            folder = scratch / f"{name}.{kind}.{size.replace(' ', '')}.{connections}.{number}"
            folder.mkdir()
            found[name].append(measure(server, folder, kind, size, connections))
    rates = [statistics.median(rate for rate, _ in found[name]) for name in servers]
    sizes = [statistics.median(held for _, held in found[name]) for name in servers]
    cells = [kind, size, str(connections), *(f"{rate:.0f}" for rate in rates), *(f"{held:.0f}" for held in sizes)]
    print(f"| {' | '.join(cells)} |", flush=True)


Serving = Callable[[Path, str], "Iterator[int]"]


def measure(server: Serving, folder: Path, kind: str, size: str, connections: int) -> tuple[float, float]:
    """Mails a second, and megabytes."""
    for number in range(max(CONNECTIONS)):
        (folder / "v/bench.example" / f"user{number}").mkdir(parents=True)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OWNER_ID, OWNER_ID)
    length, count = SIZES[size]
    with contextmanager(server)(folder, kind) as pid:
        send_all(folder, connections, RECIPES, length)  # rules are compiled, and folders made
        took = send_all(folder, connections, count // connections, length)
        return count // connections * connections / took, held_mb(pid)


def send_all(folder: Path, connections: int, count: int, length: int) -> float:
    """Mails over each of the connections, which have a user each; how long it took, in seconds."""
    began = time.monotonic()
    with ThreadPoolExecutor(connections) as clients:
        sent = [clients.submit(send, folder, number, count, length) for number in range(connections)]
    took = time.monotonic() - began
    for each in sent:
        each.result()
    return took


def send(folder: Path, number: int, count: int, length: int) -> None:
    """Mails over one connection, each after the reply for the one before."""
    line = b"It is due, and you have been told so.\r\n"
    body = line * (length // len(line))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / "socket"))
        with connection.makefile("rb") as replies:
            replies.readline()
            connection.sendall(b"LHLO bench.example\r\n")
            while replies.readline()[3:4] == b"-":
                pass
            for mail in range(count):
                connection.sendall(
                    b"MAIL FROM:<a@bench.example>\r\nRCPT TO:<user%d@bench.example>\r\nDATA\r\n" % number
                )
                for wanted in (b"2", b"2", b"3"):
                    reply = replies.readline()
                    assert reply.startswith(wanted), reply
                head = b"From: a@bench.example\r\nSubject: invoice word%dx\r\nX-A: b\r\n\r\n" % (mail % RECIPES)
                connection.sendall(head + body + b".\r\n")
                reply = replies.readline()
                assert reply.startswith(b"250"), reply


def held_mb(pid: int) -> float:
    """The memory of a process and all that it has started."""
    pids = [pid]
    for each in pids:
        pids += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
    held_kb = 0
    for each in pids:
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                held_kb += int(line.split()[1])
    return held_kb / 1024


# -- the servers -----------------------------------------------------------------------------


def pyprocmail(folder: Path, kind: str) -> Iterator[int]:
    """Our server, with the four workers that it has by default."""
    end = "/" if kind == "Maildir" else ""
    recipes = "".join(
        f":0{'' if end else ':'}\n* ^Subject:.*word{number}x\nfolder{number}{end}\n" for number in range(RECIPES)
    )
    (folder / "rules").write_text(f"DEFAULT=./inbox{end}\nLOCKSLEEP=1\n{recipes}")
    program = Path(sys.executable).with_name("pyprocmail")
    words = [str(program), "lmtp", "--listen", f"unix:{folder}/socket", "--socket-mode", "0666", "--user", OWNER]
    words += ["--virtual", f"{folder}/v", "--rules", f"{folder}/rules", "--spool", str(folder)]
    with open(folder / "log", "w") as log:
        yield from until_done(subprocess.Popen(words, stderr=log), folder)


def dovecot(folder: Path, kind: str) -> Iterator[int]:
    """Dovecot's."""
    tests = "".join(
        f'{"els" if number else ""}if header :contains "subject" "word{number}x" {{ fileinto "folder{number}"; }}\n'
        for number in range(RECIPES)
    )
    (folder / "rules.sieve").write_text(f'require "fileinto";\n{tests}')
    location = "maildir:~/Maildir" if kind == "Maildir" else "mbox:~/mail:INBOX=~/inbox"
    (folder / "conf").write_text(DOVECOT.format(folder=folder, owner=OWNER, location=location))
    words = ["/usr/sbin/dovecot", "-F", "-c", str(folder / "conf")]
    yield from until_done(subprocess.Popen(words), folder)


def until_done(process: subprocess.Popen[bytes], folder: Path) -> Iterator[int]:
    """The process id as soon as it listens; it is ended afterwards."""
    try:
        end = time.monotonic() + PATIENCE_S
        while not listens(folder / "socket"):
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < end, "the server does not start"
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def listens(path: Path) -> bool:
    """Whether a server listens there."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
