"""Postfix with `pyprocmail gateway` behind or in front of its queue: no mail is lost, whatever is killed."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.conftest import MACHINE, SNIPPETS, User, listens, wait_for
from integration.postfix import LOG, Postfix, note

pytestmark = pytest.mark.integration

Tell = Callable[[str], None]

MOMENTS = int(os.environ.get("PYPROCMAIL_MOMENTS", "8"))
"""How many times something is killed; `PYPROCMAIL_MOMENTS=100 make test-integration SERVERS=gateway` for a long run."""
HOP_PORT = 10028
RULES = """\
:0
* ^Subject: .*refuse
* RECIPIENTS ?? bob@
{ EXITCODE=77 REPLY="550 5.7.1 bob wants no such mail" }
:0 fhw
| formail -I "X-Rules: seen"
"""


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    """Postfix with the lines of the examples."""
    if MACHINE not in os.environ:
        pytest.skip("run by `make test-integration`")
    found = Postfix()
    folder = Path("/etc/pyprocmail")
    folder.mkdir()
    shutil.copy(SNIPPETS / "gateway-table", folder / "gateway")
    # Each recipient by its own, so that RECIPIENTS is one.
    table = (folder / "gateway").read_text().replace("gateway.rc", "gateway.rc each")
    (folder / "gateway").write_text(table)
    (folder / "gateway.rc").write_text(RULES)
    try:
        found.start()
        with Path("/etc/postfix/master.cf").open("a") as master:
            master.write(note((SNIPPETS / "postfix-gateway-master.cf").read_text()))
        subprocess.run(["postfix", "reload"], check=True, capture_output=True)
        yield found
    finally:
        found.stop()


@contextmanager
def filtered() -> Iterator[None]:
    """main.cf with the content filter."""
    lines = note((SNIPPETS / "postfix-gateway-main.cf").read_text()).splitlines()
    subprocess.run(["postconf", "-e", *lines], check=True)
    subprocess.run(["postfix", "reload"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["postconf", "-X", *(line.split()[0] for line in lines)], check=True)
        subprocess.run(["postfix", "reload"], check=True, capture_output=True)


def begin(*options: str) -> subprocess.Popen[bytes]:
    """The gateway of the service file, with the next hop of the options, when it listens; in a group of its own."""
    service = (SNIPPETS / "pyprocmail-gateway.service").read_text().replace("\\\n", " ")
    found = re.search(r"(?m)^ExecStart=(.*)$", service)
    assert found
    command = [*found[1].split(), "--user", "filter", *options]
    process = subprocess.Popen(command, cwd="/", start_new_session=True)
    wait_for(lambda: listens(10025) and listens(10027), "the gateway to listen")
    return process


@contextmanager
def gateway(*options: str) -> Iterator[None]:
    """The gateway while this is open."""
    process = begin(*options)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(120) == 0


def test_content_filter(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """A round trip, with a fate for each recipient; the bytes of the body stay."""
    postfix.empty()
    for name in ("alice", "bob"):
        users[name].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    body = b"\xff 8 bit\n.\n..\n From \n\n\nend\n"
    with filtered(), gateway():
        first = postfix.send("alice@machine.example", "bob@machine.example", body=body)
        wait_for(lambda: all(first.encode() in users[name].stored("inbox") for name in ("alice", "bob")), "the mail")
        for name in ("alice", "bob"):
            assert b"X-Rules: seen\n" in users[name].stored("inbox")
            assert users[name].stored("inbox").endswith(b"\n\n" + body + b"\n")
        LOG.write_text("")
        postfix.send("alice@machine.example", "bob@machine.example", body=b"refuse")
        # The Subject of `send` has no word; the rules look at one that is sent by SMTP.
        with smtplib.SMTP("127.0.0.1", 2525) as client:
            client.sendmail("sender@machine.example", ["alice@machine.example", "bob@machine.example"],
                            "Subject: please refuse\n\nhello\n")  # fmt: skip
        wait_for(lambda: b"please refuse" in users["alice"].stored("inbox"), "alice")
        wait_for(lambda: "550 5.7.1 bob wants no such mail" in LOG.read_text(), "bob's reply")
        assert b"please refuse" not in users["bob"].stored("inbox")
    tell("sent, sent; sent, bounced")


def test_next_hop_down(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """Deferred while the next hop is away, and delivered once when it is back."""
    postfix.empty()
    users["alice"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    with filtered():
        with gateway("--next-hop", "127.0.0.1:9"):
            subject = postfix.send("alice@machine.example")
            assert postfix.outcome("alice@machine.example") == "deferred"
            assert users["alice"].stored("inbox") == b""
        with gateway():
            postfix.flush()
            wait_for(lambda: subject.encode() in users["alice"].stored("inbox"), "the mail")
            wait_for(lambda: not postfix.queued(), "an empty queue")
        assert users["alice"].stored("inbox").count(subject.encode()) == 1
    tell("deferred, then sent once")


def test_proxy_filter(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """The sender is still connected, and hears what the rules say; the next hop's word is passed on."""
    postfix.empty()
    users["alice"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    with gateway(), smtplib.SMTP("127.0.0.1", 2526) as client:
        client.sendmail("sender@machine.example", ["alice@machine.example"], "Subject: before the queue\n\nhello\n")
        wait_for(lambda: b"before the queue" in users["alice"].stored("inbox"), "the mail")
        assert b"X-Rules: seen\n" in users["alice"].stored("inbox")
        both = ["alice@machine.example", "bob@machine.example"]
        with pytest.raises(smtplib.SMTPDataError, match=r"5\.7\.1 bob wants no such mail"):
            client.sendmail("sender@machine.example", both, "Subject: please refuse\n\nhello\n")
        assert b"please refuse" not in users["alice"].stored("inbox")
    tell("sent; refused for both")


def test_once(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """A pipe transport with a process a mail."""
    postfix.empty()
    users["alice"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    subprocess.run(["postconf", "-e", "content_filter=pyprocmail-once:"], check=True)
    subprocess.run(["postfix", "reload"], check=True, capture_output=True)
    try:
        subject = postfix.send("alice@machine.example")
        wait_for(lambda: subject.encode() in users["alice"].stored("inbox"), "the mail")
        assert b"X-Rules: seen\n" in users["alice"].stored("inbox")
    finally:
        subprocess.run(["postconf", "-X", "content_filter"], check=True)
        subprocess.run(["postfix", "reload"], check=True, capture_output=True)
    tell("sent")


def test_killed_at_any_moment(postfix: Postfix, tell: Tell, tmp_path: Path) -> None:
    """kill -9 of the gateway or of the next hop at random moments: every mail arrives, and hardly one twice."""
    postfix.empty()
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    store = tmp_path / "hop"
    store.mkdir()

    def hop() -> subprocess.Popen[bytes]:
        program = Path(__file__).with_name("durable_hop.py")
        process = subprocess.Popen(
            [sys.executable, "-P", program, str(HOP_PORT), store], start_new_session=True, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: listens(HOP_PORT), "the next hop to listen")
        return process

    options = ("--next-hop", f"127.0.0.1:{HOP_PORT}")
    subjects: list[str] = []
    behind = hop()
    between = begin(*options)
    try:
        with filtered():
            for _ in range(MOMENTS):
                subjects += [postfix.send("alice@elsewhere.example", body=b"x\n" * 20_000) for _ in range(3)]
                time.sleep(chance.random() * 0.6)
                if chance.random() < 0.6:
                    kill(between)
                    between = begin(*options)
                else:
                    kill(behind)
                    behind = hop()

            def gone() -> bool:
                postfix.flush()
                time.sleep(0.5)
                return not postfix.queued()

            wait_for(gone, f"an empty queue (seed {seed})", 300)
        stored = [path.read_bytes() for path in store.glob("*.mail")]
        counts = [sum(subject.encode() in mail for mail in stored) for subject in subjects]
        assert 0 not in counts, (seed, [subject for subject, count in zip(subjects, counts, strict=True) if not count])
        whole = b"\r\n\r\n" + b"x\r\n" * 20_000
        assert [mail for mail in stored if not mail.endswith(whole)] == []
        tell(f"{len(subjects)} mails, {MOMENTS} kills: none lost, {sum(counts) - len(counts)} twice")
    finally:
        kill(between)
        kill(behind)


def kill(process: subprocess.Popen[bytes]) -> None:
    """The process and all of its children, at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
