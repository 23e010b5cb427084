"""Postfix delivers through us: every scene ends with each mail sent, deferred or returned, and none lost."""

from __future__ import annotations

import os
import re
import shutil
import smtplib
import stat
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import signing

from integration.conftest import PATIENCE_S, SNIPPETS, User, wait_for
from integration.postfix import LOG, Postfix, note, postfix, running

pytestmark = pytest.mark.integration
__all__ = ("postfix", "running")  # fixtures

CASES = tomllib.loads((Path(__file__).parent.parent / "cases" / "exits.toml").read_text())


Tell = Callable[[str], None]


def test_mailbox_command(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """Without an rcfile the mail goes to the system mailbox, which has to be there."""
    users["alice"].make_mailbox()
    subject = postfix.send("alice@machine.example", body=b"From the start\nbye\n")
    assert postfix.outcome("alice@machine.example") == "sent"
    stored = users["alice"].stored()
    assert stored.count(subject.encode()) == 1
    assert b"\n>From the start\nbye\n\n" in stored
    assert stored.startswith(b"From sender@machine.example ")
    tell("sent")


def test_no_mailbox(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """/var/mail/USER is missing, and a user may not make it: deferred, and delivered once somebody has made it."""
    subject = postfix.send("alice@machine.example")
    assert postfix.outcome("alice@machine.example") == "deferred"
    assert "No mailbox: as root, install -o alice -g mail -m 660 /dev/null /var/mail/alice" in LOG.read_text()
    users["alice"].make_mailbox()
    postfix.flush()
    postfix.becomes("alice@machine.example", "sent")
    assert users["alice"].stored().count(subject.encode()) == 1
    tell("deferred, then sent")


def test_rcfile_and_extension(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """The extension is $1; without a mailbox, since DEFAULT is in the home."""
    alice = users["alice"]
    alice.put(".procmailrc", "DEFAULT=$HOME/inbox\nDETAIL=$1\n:0\n* DETAIL ?? ^lists$\nlists/\n")
    first = postfix.send("alice+lists@machine.example")
    second = postfix.send("alice@machine.example")
    assert postfix.outcome("alice+lists@machine.example") == "sent"
    assert postfix.outcome("alice@machine.example") == "sent"
    (listed,) = (alice.home / "lists" / "new").iterdir()
    assert first.encode() in listed.read_bytes()
    assert second.encode() in alice.stored("inbox")
    tell("sent, sent")


def test_forward(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """~/.forward as the README has it."""
    bob = users["bob"]
    bob.put(".forward", (SNIPPETS / "forward").read_text())
    bob.put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    subject = postfix.send("bob@machine.example")
    assert postfix.outcome("bob@machine.example") == "sent"
    assert bob.stored("inbox").count(subject.encode()) == 1
    tell("sent")


def test_pipe_transport(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """-m with the extension and the recipient as $1 and $2."""
    home = users["filter"].home
    Path("/etc/pyprocmail.rc").write_text(f'WHO="$1 $2"\n:0 fhw\n| formail -I "X-Who: $WHO"\n:0\n{home}/inbox\n')
    subject = postfix.send("carol+shop@filter.example")
    assert postfix.outcome("carol+shop@filter.example") == "sent"
    stored = users["filter"].stored("inbox")
    assert subject.encode() in stored
    assert b"X-Who: shop carol+shop@filter.example\n" in stored
    tell("sent")


def test_pipe_transport_without_rcfile(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """A missing or unreadable rcfile returns no mail."""
    Path("/etc/pyprocmail.rc").unlink(missing_ok=True)
    postfix.send("carol@filter.example")
    assert postfix.outcome("carol@filter.example") == "deferred"
    rcfile = Path("/etc/pyprocmail.rc")
    rcfile.write_text(f":0\n{users['filter'].home}/inbox\n")
    rcfile.chmod(0)
    postfix.send("dave@filter.example")
    assert postfix.outcome("dave@filter.example") == "deferred"
    rcfile.chmod(0o644)
    postfix.flush()
    postfix.becomes("carol@filter.example", "sent")
    postfix.becomes("dave@filter.example", "sent")
    assert users["filter"].stored("inbox").count(b"Subject: number") == 2
    tell("deferred, then sent")


def test_forwarding_through_sendmail(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """`!` gives the mail to Postfix's own sendmail."""
    users["alice"].put(".procmailrc", "DEFAULT=$HOME/inbox\n:0 c\n! bob@machine.example\n")
    users["bob"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    subject = postfix.send("alice@machine.example")
    postfix.becomes("bob@machine.example", "sent")
    assert subject.encode() in users["alice"].stored("inbox")
    assert subject.encode() in users["bob"].stored("inbox")
    tell("sent, sent")


def test_different_fates(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """One mail, four recipients: delivered, deferred, refused by the rules, unknown."""
    users["alice"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    users["bob"].put(".procmailrc", "EXITCODE=75\n:0\n/dev/null\n")
    users["carol"].put(".procmailrc", "EXITCODE=77\n:0\n/dev/null\n")
    names = [f"{name}@machine.example" for name in ("alice", "bob", "carol", "nobody-at-all")]
    postfix.send(*names)
    outcomes = [postfix.outcome(name) for name in names]
    assert outcomes == ["sent", "deferred", "bounced", "bounced"]
    assert postfix.queued().count("bob@machine.example") == 1
    tell(", ".join(outcomes))


def test_full_disk(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """Deferred while there is no room, with the folder as it was; delivered after room is made."""
    alice = users["alice"]
    alice.put(".procmailrc", "DEFAULT=$HOME/disk/inbox\n")
    disk = alice.home / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=64k,mode=700,uid={alice.uid}", "tmpfs", disk], check=True)
    (disk / "inbox").write_bytes(b"From old\n\nold\n\n")
    os.chown(disk / "inbox", alice.uid, alice.gid)
    (disk / "fill").write_bytes(b"x" * 40_000)
    subject = postfix.send("alice@machine.example", body=b"y" * 60 + b"\n" + b"line\n" * 8000)
    assert postfix.outcome("alice@machine.example") == "deferred"
    assert (disk / "inbox").read_bytes() == b"From old\n\nold\n\n"
    (disk / "fill").unlink()
    postfix.flush()
    postfix.becomes("alice@machine.example", "sent")
    assert (disk / "inbox").read_bytes().count(subject.encode()) == 1
    tell("deferred, then sent")


def test_unreadable_rcfile(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """As with procmail, the user's own rcfile that cannot be read is none; the mailbox takes the mail."""
    alice = users["alice"]
    alice.make_mailbox()
    alice.put(".procmailrc", "DEFAULT=$HOME/inbox\n", mode=0)
    subject = postfix.send("alice@machine.example")
    assert postfix.outcome("alice@machine.example") == "sent"
    assert subject.encode() in alice.stored()
    tell("sent")


def test_mistake_in_the_rcfile(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """What is not understood is skipped, and the rest holds."""
    users["alice"].put(".procmailrc", 'DEFAULT=$HOME/inbox\n:0 Q\n* ^Subject: ((\n{ :0\n"unclosed\n')
    subject = postfix.send("alice@machine.example")
    assert postfix.outcome("alice@machine.example") == "sent"
    found = b"".join(path.read_bytes() for path in users["alice"].home.iterdir() if path.is_file())
    assert found.count(subject.encode()) == 1
    tell("sent")


def test_missing_program(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """A delivering recipe whose program is not there keeps the mail in the queue, or the next folder has it."""
    users["alice"].put(".procmailrc", ":0 w\n| /no/such/program\n")
    users["bob"].put(".procmailrc", "DEFAULT=$HOME/inbox\n:0 w\n| /no/such/program\n")
    postfix.send("alice@machine.example", "bob@machine.example")
    assert postfix.outcome("alice@machine.example") == "deferred"
    assert postfix.outcome("bob@machine.example") == "sent"
    assert b"Subject: number" in users["bob"].stored("inbox")
    tell("deferred, sent")


def test_held_lock(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """A lockfile of somebody else is waited for."""
    alice = users["alice"]
    alice.put(".procmailrc", "LOCKSLEEP=1\nLOGFILE=$HOME/log\nVERBOSE=on\n:0:\n$HOME/inbox\n")
    lock = alice.put("inbox.lock", "")
    subject = postfix.send("alice@machine.example")
    wait_for(lambda: alice.stored("log").count(b"Locking") > 1, "a second try")
    assert alice.stored("inbox") == b""
    lock.unlink()
    assert postfix.outcome("alice@machine.example") == "sent"
    assert subject.encode() in alice.stored("inbox")
    tell("sent")


def test_large_and_odd_mails(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """30 MB, and bytes that are no text, arrive as Postfix hands them over."""
    users["alice"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    big = b"0123456789abcdef" * 4 + b"\n"
    postfix.send("alice@machine.example", body=big * (30_000_000 // len(big)))
    postfix.becomes("alice@machine.example", "sent")
    stored = users["alice"].stored("inbox")
    assert stored.count(big) == 30_000_000 // len(big)
    LOG.write_text("")
    users["bob"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    postfix.send("bob@machine.example", body=b"\xff\xfe 8bit \xe4\n\x01\x7f\n" + b"nul\0nul\n")
    assert postfix.outcome("bob@machine.example") == "sent"
    assert b"\xff\xfe 8bit \xe4\n\x01\x7f\nnul" in users["bob"].stored("inbox")
    tell("sent, sent")


def test_many_mails_at_once(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """As many as Postfix delivers side by side into one mbox: each once."""
    users["alice"].put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    subjects = [postfix.send("alice@machine.example") for _ in range(40)]
    wait_for(
        lambda: LOG.read_text().count("to=<alice@machine.example>") >= len(subjects), "all of them", PATIENCE_S * 2
    )
    stored = users["alice"].stored("inbox")
    assert [stored.count(f"Subject: {subject}".encode()) for subject in subjects] == [1] * len(subjects)
    tell("40 sent")


@pytest.mark.parametrize("status", [0, 1, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 99, 111, 127])
def test_status(postfix: Postfix, users: dict[str, User], tell: Tell, status: int) -> None:
    """What Postfix makes of each exit status: it keeps the mail on 71 and 75 only."""
    users["alice"].put(".procmailrc", f"EXITCODE={status}\n:0\n/dev/null\n")
    postfix.send("alice@machine.example")
    expected = "sent" if status == 0 else "deferred" if status in (71, 75) else "bounced"
    assert postfix.outcome("alice@machine.example") == expected
    found = re.search(r"to=<alice@machine.example>.*dsn=(\S+),", LOG.read_text())
    assert found
    tell(f"{expected}, {found[1]}")


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "argv" not in case])
def test_case(postfix: Postfix, users: dict[str, User], tell: Tell, name: str) -> None:
    """The scenes of cases/exits.toml, and what Postfix makes of them."""
    case, alice = CASES[name], users["alice"]
    alice.put(".procmailrc", f"ORGMAIL=\nDEFAULT=\n{case['rcfile']}".replace("@DIR@", str(alice.home)))
    alice.put("rc", "")
    for closed in case.get("closed", ()):
        (alice.home / closed).mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
        os.chown(alice.home / closed, alice.uid, alice.gid)
    postfix.send("alice@machine.example")
    outcome = postfix.outcome("alice@machine.example")
    assert outcome == case["postfix"] or (case["postfix"] == "bounced" and not alice.mailbox.exists())
    tell(outcome)


ARCHIVE = """\
MAILDIR={home}
LOGFILE=rules.log
:0
* ? while test ! -e {home}/go; do sleep 0.1; done
archive/
"""


@pytest.mark.usefixtures("postfix")
@pytest.mark.parametrize("address", ["unix:/run/pyprocmail-milter", "inet:8891@127.0.0.1"])
def test_milter(users: dict[str, User], tell: Tell, address: str) -> None:
    """Mails are taken, logged and delivered while the rules of the milter sleep; later the rules have them all."""
    bob = users["bob"]
    users["alice"].put(".procmailrc", ":0\nbox\n")
    home = bob.home / "milter"
    home.mkdir()
    os.chown(home, bob.uid, bob.gid)
    rcfile = home / "rc"
    rcfile.write_text(ARCHIVE.format(home=home))
    command = ["pyprocmail", "milter", "-p", address, "--group", "postfix", "-u", "bob", "-f", str(home / "log")]
    command += ["--rules", str(rcfile), "--spool", str(home / "spool")]
    settings = ""
    with subprocess.Popen(command, cwd="/") as milter:
        try:
            wait_for((home / "spool" / "failed").exists, "the milter to start")
            milters = address if address.startswith("unix") else "inet:127.0.0.1:8891"
            snippet = note((SNIPPETS / "postfix-milter.cf").read_text())
            # A milter that is not heard has to be seen.
            settings = snippet.replace("unix:/pyprocmail/milter.sock", milters).replace("= accept", "= tempfail")
            subprocess.run(["postconf", "-e", *settings.splitlines()], check=True)
            subprocess.run(["postfix", "reload"], check=True, capture_output=True)
            refused: dict[str, tuple[int, bytes]] = {}
            with smtplib.SMTP("127.0.0.1", 2525) as client:
                for number in range(10):
                    text = f"Subject: milter {number}\n\nhello\n"
                    refused |= client.sendmail("sender@machine.example", ["alice@machine.example"], text)
            assert refused == {}
            wait_for(lambda: users["alice"].stored("box").count(b"Subject: milter") == 10, "the mails")
            assert not list(home.glob("archive/new/*"))
            lines = (home / "log").read_text().splitlines()
            assert [line.rpartition("subject=")[2] for line in lines] == [f"milter {number}" for number in range(10)]
            (home / "go").touch()
            wait_for(lambda: len(list(home.glob("archive/new/*"))) == 10, "the archive")
            wait_for(lambda: not list((home / "spool" / "new").iterdir()), "an empty spool")
        finally:
            subprocess.run(["postconf", "-X", *(line.split()[0] for line in settings.splitlines())], check=True)
            subprocess.run(["postfix", "reload"], check=True, capture_output=True)
            milter.terminate()
    assert milter.returncode == 0
    assert "milter-reject" not in LOG.read_text()
    tell("sent, while the rules slept")


POLICY = """\
MAILDIR={home}
LOGFILE=policy.log
:0
* ^Subject: reject
{
    EXITCODE=77
    REPLY="550 5.7.1 100% unwanted from $CLIENT_ADDRESS, $HELO"
}
:0
* ^Subject: later
{ EXITCODE=75 }
:0
* ^Subject: discard
/dev/null
:0
* ^Subject: hold
quarantine:looked-at
:0
* ^Subject: redirect
! bob@machine.example
:0 c
* ^Subject: copy
! bob@machine.example
:0
* ^Subject: sender
{ SENDER=bounces@machine.example }
:0 fhw
* ^Subject: order
| sed -e '/^X-First/i X-Before: 1' -e '/^X-Second/d' -e 's/^X-Third: .*/X-Third: changed/' -e '$i X-Last: 1'
:0 fhw
* ^Subject: tag
| formail -I "X-Tag: $QUEUE_ID"
:0 fbw
* ^Subject: body
| sed s/hello/goodbye/
"""
AT_RCPT = """\
:0
* RECIPIENT ?? ^dave@
{
    EXITCODE=67
    REPLY="551 5.1.6 $RECIPIENT has moved"
}
:0
* RECIPIENT ?? ^carol@
! bob@machine.example
"""


@pytest.fixture
def policy(users: dict[str, User]) -> Iterator[None]:
    """Postfix with a milter that decides; alice and bob have their mail in `box`."""
    for name in ("alice", "bob"):
        users[name].put(".procmailrc", "DEFAULT=$HOME/box/\n")
    home = users["filter"].home / "policy"
    home.mkdir()
    os.chown(home, users["filter"].uid, users["filter"].gid)
    (home / "policy.rc").write_text(POLICY.replace("{home}", str(home)))
    (home / "rcpt.rc").write_text(AT_RCPT)
    address = "unix:/run/pyprocmail-policy"
    command = ["pyprocmail", "milter", "-p", address, "--group", "postfix", "-u", "filter", "--time-limit", "60"]
    command += ["--policy", str(home / "policy.rc"), "--at-rcpt", str(home / "rcpt.rc"), "--metrics", str(home / "m")]
    snippet = note((SNIPPETS / "postfix-policy.cf").read_text())
    settings = snippet.replace("unix:/pyprocmail/policy.sock", address).splitlines()
    with subprocess.Popen(command, cwd="/") as milter:
        try:
            wait_for((home / "m").exists, "the milter to start")
            subprocess.run(["postconf", "-e", *settings], check=True)
            subprocess.run(["postfix", "reload"], check=True, capture_output=True)
            yield
        finally:
            subprocess.run(["postconf", "-X", *(line.split()[0] for line in settings)], check=True)
            subprocess.run(["postfix", "reload"], check=True, capture_output=True)
            milter.terminate()
    Path("/run/pyprocmail-policy").unlink()
    assert milter.returncode == 0


def submit(subject: str, *to: str, text: str = "hello\n", fields: str = "") -> tuple[int, bytes]:
    """One mail by SMTP; the answer to its end, or to its first recipient that is refused."""
    with smtplib.SMTP("127.0.0.1", 2525, local_hostname="client.example") as client:
        client.ehlo()
        client.mail("sender@machine.example")
        for one in to or ("alice@machine.example",):
            answer = client.rcpt(one)
            if answer[0] != 250:
                return answer
        return client.data(f"From: sender@machine.example\n{fields}Subject: {subject}\n\n{text}")


def arrived(user: User, subject: str) -> list[bytes]:
    """The mails with that subject that a user has."""
    texts = [path.read_bytes() for path in user.home.glob("box/new/*")]
    return [text for text in texts if b"\nSubject: %b\n" % subject.encode() in text]


@pytest.mark.usefixtures("postfix", "policy")
def test_policy_refusals(users: dict[str, User], tell: Tell) -> None:
    """At RCPT and at the end of the mail, each with its reply."""
    assert submit("x", "dave@machine.example") == (551, b"5.1.6 dave@machine.example has moved")
    assert submit("reject") == (550, b"5.7.1 100% unwanted from 127.0.0.1, client.example")
    assert submit("later")[0] == 451
    assert arrived(users["alice"], "reject") == []
    tell("551 at RCPT, 550 and 451 at the end")


@pytest.mark.usefixtures("postfix", "policy")
def test_policy_changes(users: dict[str, User], tell: Tell) -> None:
    """A tag, fields in their order, another body, another sender; a signature made before still holds."""
    alice = users["alice"]
    assert submit("tag")[0] == submit("body")[0] == submit("sender")[0] == 250
    assert submit("order", fields="X-First: 1\nX-Second: 1\nX-Third: 1\n")[0] == 250
    head = b"From: sender@machine.example\r\nTo: alice@machine.example\r\nSubject: tag me\r\n\r\n"
    with smtplib.SMTP("127.0.0.1", 2525) as client:
        client.sendmail(
            "s@machine.example", ["alice@machine.example"], signing.signed(head + b"hello  \r\n\r\nx\r\n\r\n")
        )
    wanted = ("tag", "body", "sender", "order", "tag me")
    wait_for(lambda: all(arrived(alice, one) for one in wanted), "five mails")
    tagged, body, sender, order, sealed = (arrived(alice, one)[0] for one in wanted)
    assert re.search(rb"\nX-Tag: [0-9A-F]+\n", tagged)
    assert tagged.endswith(b"\n\nhello\n")
    assert body.endswith(b"\n\ngoodbye\n")
    assert sender.startswith(b"Return-Path: <bounces@machine.example>\n")
    fields = [
        line
        for line in order.partition(b"\n\n")[0].split(b"\n")
        if line[:2] in (b"X-", b"Su") and b"Original" not in line
    ]
    assert fields == [b"X-Before: 1", b"X-First: 1", b"X-Third: changed", b"Subject: order", b"X-Last: 1"]
    assert b"\nX-Tag: " in sealed
    assert signing.is_genuine(sealed.replace(b"\n", b"\r\n"))
    tell("changed, and signed mail is still genuine")


@pytest.mark.usefixtures("policy")
def test_policy_ways(postfix: Postfix, users: dict[str, User], tell: Tell) -> None:
    """Discarded, held, to others, to more, and rewritten at RCPT."""
    alice, bob = users["alice"], users["bob"]
    assert submit("discard")[0] == submit("redirect")[0] == submit("copy")[0] == submit("hold")[0] == 250
    assert submit("rewritten", "carol@machine.example", "alice@machine.example")[0] == 250
    wait_for(lambda: bool(arrived(alice, "copy") and arrived(alice, "rewritten")), "alice's mails")
    wait_for(lambda: all(arrived(bob, one) for one in ("redirect", "copy", "rewritten")), "bob's mails")
    assert arrived(alice, "redirect") == arrived(alice, "discard") == []
    assert "milter-discard" in LOG.read_text()
    assert "milter-hold" in LOG.read_text()
    listed = subprocess.run(["postqueue", "-p"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"(?m)^[0-9A-F]+! ", listed)
    postfix.empty()
    tell("discarded, held, redirected, copied, rewritten")


@pytest.mark.usefixtures("postfix")
def test_nothing_is_left() -> None:
    """No lockfile and no process of ours is left behind."""

    def processes() -> str:
        return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout

    # A delivery of the last scene may still be on its way.
    wait_for(lambda: "/usr/local/bin/procmail" not in processes(), "the last delivery to end")
    assert not list(Path("/var/mail").glob("*.lock"))
    assert shutil.which("procmail") == "/usr/local/bin/procmail"
