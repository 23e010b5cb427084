"""Postfix gives mail to `pyprocmail lmtp`, with the lines of examples/integration."""

from __future__ import annotations

import os
import re
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from integration import lmtp, scenes
from integration.conftest import SNIPPETS, User, wait_for
from integration.postfix import LOG, Postfix, note, postfix, running

pytestmark = pytest.mark.integration
__all__ = ("postfix", "running")  # fixtures

QUEUE = Path("/var/spool/postfix/pyprocmail")
Tell = Callable[[str], None]
SCENES = [scene for scene in scenes.ALL if scene is not scenes.many]


@contextmanager
def configured(snippet: str) -> Iterator[None]:
    """Postfix with the lines of a snippet, for a while."""
    lines = note((SNIPPETS / snippet).read_text()).splitlines()
    names = [line.split()[0] for line in lines]
    told = subprocess.run(["postconf", *names], capture_output=True, text=True, check=True).stdout
    before = told.splitlines()
    subprocess.run(["postconf", "-e", *lines], check=True)
    subprocess.run(["postfix", "reload"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["postconf", "-e", *before], check=True)
        subprocess.run(["postfix", "reload"], check=True, capture_output=True)


class Local:
    """Postfix as the scenes see a server."""

    domain = "machine.example"

    def __init__(self, postfix: Postfix) -> None:
        self._postfix = postfix

    def send(self, *recipients: str, body: bytes = b"hello\n") -> str:
        tried = {each: self._tried(each) for each in recipients}
        subject = self._postfix.send(*recipients, body=body, sender="sender@elsewhere.example")
        for recipient, before in tried.items():
            wait_for(partial(self._is_tried, recipient, before), f"an outcome for {recipient}")
        return subject

    def _is_tried(self, recipient: str, before: int) -> bool:
        return self._tried(recipient) > before

    def _tried(self, recipient: str) -> int:
        return len(re.findall(rf"to=<{re.escape(recipient)}>.*status=\w+ ", LOG.read_text()))

    def retry(self) -> None:
        self._postfix.flush()
        wait_for(lambda: not self.queued(), f"an empty queue; the log says {LOG.read_text()[-1500:]}")

    def queued(self) -> int:
        return sum(name.endswith(f"@{self.domain}") for name in self._postfix.queued())

    def bounced(self) -> int:
        return LOG.read_text().count("status=bounced")


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_scene(scene: scenes.Scene, postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    with lmtp.serving(QUEUE / "lmtp.sock", "--socket-group", "postfix"), configured("postfix-lmtp.cf"):
        tell(scene(Local(postfix), users))
        sent = [line for line in LOG.read_text().splitlines() if "postfix/lmtp[" in line]
    assert any("relay=machine.example[pyprocmail/lmtp.sock]" in line for line in sent)


def test_different_fates(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """One mail in one LMTP dialogue: delivered with an extension, deferred, refused with words of the rcfile."""
    users["alice"].put(".procmailrc", "DEFAULT=$HOME/inbox\nDETAIL=$1\n:0\n* DETAIL ?? ^lists$\nlists/\n")
    users["bob"].put(".procmailrc", "EXITCODE=75\n:0\n/dev/null\n")
    users["carol"].put(".procmailrc", 'EXITCODE=77\nREPLY="no such mail here"\n:0\n/dev/null\n')
    names = [f"{name}@machine.example" for name in ("alice+lists", "bob", "carol", "nobody-at-all")]
    with lmtp.serving(QUEUE / "lmtp.sock", "--socket-group", "postfix"), configured("postfix-lmtp.cf"):
        postfix.send(*names)
        outcomes = [postfix.outcome(name) for name in names]
        assert outcomes == ["sent", "deferred", "bounced", "bounced"]
        assert "550 5.7.1 <carol@machine.example> no such mail here" in LOG.read_text()
        assert postfix.queued().count("bob@machine.example") == 1
    assert len(list((users["alice"].home / "lists/new").iterdir())) == 1
    tell(", ".join(outcomes))


def test_virtual(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """Addresses without accounts, all in one dialogue, each with its fate."""
    vmail = users["filter"]
    folder = vmail.home / "vmail"
    for name in ("one", "two", "three"):
        (folder / "virtual.example" / name).mkdir(parents=True)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, vmail.uid, vmail.gid)
    rules = vmail.put("virtual.rc", "DEFAULT=./Maildir/\n:0\n* LOGNAME ?? two\n{ EXITCODE=75 HOST=x }\n")
    names = [f"{name}@virtual.example" for name in ("one+x", "two", "three", "four")]
    options = ["--socket-group", "postfix", "--user", "filter", "--virtual", str(folder), "--rules", str(rules)]
    with lmtp.serving(QUEUE / "virtual.sock", *options), configured("postfix-virtual-lmtp.cf"):
        with smtplib.SMTP("127.0.0.1", 2525) as client:
            assert client.sendmail("sender@machine.example", names, "Subject: together\n\nhello\n") == {}
        outcomes = [postfix.outcome(name) for name in names]
    assert outcomes == ["sent", "deferred", "sent", "bounced"]
    used = set(re.findall(r"postfix/lmtp\[(\d+)\]: \w+: to=<(?:one\+x|two|three|four)@", LOG.read_text()))
    assert len(used) == 1
    for name in ("one", "three"):
        (stored,) = (folder / "virtual.example" / name / "Maildir/new").iterdir()
        assert b"Subject: together\n" in stored.read_bytes()
        assert stored.stat().st_uid == vmail.uid
    tell(", ".join(outcomes))


def test_no_server(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """While it does not run, mail is deferred; afterwards it arrives."""
    users["alice"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    with configured("postfix-lmtp.cf"):
        subject = postfix.send("alice@machine.example")
        assert postfix.outcome("alice@machine.example") == "deferred"
        with lmtp.serving(QUEUE / "lmtp.sock", "--socket-group", "postfix"):
            postfix.flush()
            postfix.becomes("alice@machine.example", "sent")
    assert users["alice"].stored("inbox").count(subject.encode()) == 1
    tell("deferred, then sent")


def test_many_at_once(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """Hundred mails for four users, as many side by side as Postfix likes: each is there once."""
    names = ("alice", "bob", "carol", "dave")
    for name in names:
        users[name].put(".procmailrc", "DEFAULT=$HOME/inbox\nLOCKSLEEP=1\n:0:\ninbox\n")
    with lmtp.serving(QUEUE / "lmtp.sock", "--socket-group", "postfix"), configured("postfix-lmtp.cf"):
        subjects = [postfix.send(f"{names[number % 4]}@machine.example") for number in range(100)]
        wait_for(lambda: LOG.read_text().count("status=sent") >= len(subjects), "all of them", 120)
    stored = b"".join(users[name].stored("inbox") for name in names)
    assert [stored.count(f"Subject: {subject}".encode()) for subject in subjects] == [1] * len(subjects)
    tell("100 sent")
