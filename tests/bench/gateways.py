"""Mails a second through `pyprocmail gateway`, beside the same mails without it; as a Markdown table.

    python tests/bench/gateways.py

Four clients send at once, each mail over a connection of its own or all over one.  The next server is in this process,
and says 250 without a disk.  Each figure is the median of the rounds, in which the ways take turns.
"""

from __future__ import annotations

import os
import pwd
import shutil
import smtplib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from next_hop import NextHop  # lies in tests/

ROUNDS = 3
CLIENTS = 4
MAILS = 50
"""Of each client."""
HEADER = b"".join(b"X-Field-%d: %b\r\n" % (number, b"value of the field " * 2) for number in range(9))
TEXT = HEADER + b"Subject: invoice 17\r\n\r\n" + b"It is due, and you have been told so.\r\n" * 51
RULES = {
    "no rules (`pass`)": "",
    "20 recipes that do not match": "".join(f":0\n* ^Subject:.*word{number}\n/dev/null\n" for number in range(20)),
    "a field added with formail": ':0 fhw\n| formail -I "X-Rules: seen"\n',
}


@contextmanager
def gateway(folder: Path, rules: str, hop: NextHop) -> Iterator[int]:
    """A gateway with these rules; its port."""
    folder.mkdir()
    (folder / "rc").write_text(rules)
    (folder / "table").write_text(f"* * {folder / 'rc' if rules else 'pass'}\n")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    words = ["--listen", f"127.0.0.1:{port}", "--next-hop", f"127.0.0.1:{hop.port}", "--rules", str(folder / "table")]
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder / "rc", nobody.pw_uid, nobody.pw_gid)
        words += ["--user", "nobody"]
    program = [str(Path(sys.executable).with_name("pyprocmail")), "gateway", *words]
    with subprocess.Popen(program, stderr=subprocess.DEVNULL) as process:
        while not listens(port):
            assert process.poll() is None
            time.sleep(0.05)
        try:
            yield port
        finally:
            process.terminate()


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def rate(port: int, *, kept: bool) -> float:
    """Mails a second to the port; `kept`: over one connection a client."""

    def send() -> None:
        client = None
        for _ in range(MAILS):
            client = client or smtplib.SMTP("127.0.0.1", port, local_hostname="bench")
            client.sendmail("s@example.org", ["r@example.net"], TEXT)
            if not kept:
                client.quit()
                client = None
        if client is not None:
            client.quit()

    threads = [threading.Thread(target=send) for _ in range(CLIENTS)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return CLIENTS * MAILS / (time.monotonic() - begun)


def main() -> None:
    """Print the table."""
    folder = Path(tempfile.mkdtemp(prefix="bench."))
    folder.chmod(0o755)
    try:
        with NextHop() as hop, ExitStack() as stack:
            ports = {"without a gateway": hop.port}
            for number, (name, rules) in enumerate(RULES.items()):
                ports[name] = stack.enter_context(gateway(folder / str(number), rules, hop))
            found: dict[tuple[str, bool], list[float]] = {}
            for _ in range(ROUNDS):
                for name, port in ports.items():
                    for kept in (False, True):
                        found.setdefault((name, kept), []).append(rate(port, kept=kept))
        print("| mails of 2.5 kB a second | a connection a mail | one connection |")
        print("|---|---|---|")
        for name in ports:
            figures = [statistics.median(found[name, kept]) for kept in (False, True)]
            print(f"| {name} | {figures[0]:.0f} | {figures[1]:.0f} |")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
