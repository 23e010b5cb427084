"""Every file in examples/ does what its comments say."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

EXAMPLES = ROOT / "examples"
TESTED = {
    "rules.rc", "inbox.mbox", "count.py", "archive.rc", "lists.rc", "outbound.rc", "spam.rc", "dot-forward",
    "vacation.rc", "duplicates.rc", "mailspy.rc", "away.rc", "away.mbox", "once.rc", "once.mbox",
}  # fmt: skip


def mail(*fields: str, body: str = "text\n") -> bytes:
    """A message with a From_ line."""
    return "\n".join(["From a@example.com Thu Jan  1 00:00:00 2026", *fields, "", body]).encode()


def folders(root: Path) -> dict[str, int]:
    """Folder -> number of messages, as count.py prints it."""
    run = subprocess.run([sys.executable, EXAMPLES / "count.py", root], capture_output=True, text=True, check=True)
    rows = [line.split() for line in run.stdout.splitlines()]
    return {row[2]: int(row[0]) for row in rows[:-1]}


def deliver(procmail: Path, rcfile: str, root: Path, message: bytes, *assignments: str) -> None:
    """Give one message to the example, with the folders under `root`."""
    subprocess.run([procmail, "-m", f"FOLDERS={root}", *assignments, rcfile], input=message, cwd=EXAMPLES, check=True)


def test_every_example_is_tested() -> None:
    """A new example comes with a test."""
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"} == TESTED


def test_rules_sort_the_mailbox(launchers: Path, tmp_path: Path) -> None:
    """What `make demo` does: 200 messages and four carbon copies, into many folders of three kinds."""
    with (EXAMPLES / "inbox.mbox").open("rb") as mailbox:
        command: list[str | Path] = [launchers / "pyprocmail", "-m", f"FOLDERS={tmp_path}", "examples/rules.rc"]
        subprocess.run(command, stdin=mailbox, cwd=ROOT, check=True)
    found = folders(tmp_path)
    assert sum(found.values()) == 204
    assert len(found) == 49
    sample = ("friends", "irish", "fork", "fork-threads", "list-razor-users", "spam", "large", "perl-Stories", "inbox")
    assert {name: found.get(name) for name in sample} == {
        "friends": 4, "irish": 12, "fork": 8, "fork-threads": 12, "list-razor-users": 8, "spam": 8, "large": 3,
        "perl-Stories": 3, "inbox": 12,
    }  # fmt: skip
    assert b"[ILUG]" not in (tmp_path / "irish").read_bytes().replace(b"\nSubject: Re: [ILUG", b"")


def test_archive_keeps_a_copy(launchers: Path, tmp_path: Path) -> None:
    """The copy and the mail itself."""
    months = {time.strftime("%Y-%m", time.localtime())}
    deliver(launchers / "procmail", "archive.rc", tmp_path, mail("Subject: x"))
    months.add(time.strftime("%Y-%m", time.localtime()))
    found = folders(tmp_path)
    assert found.pop("inbox") == 1
    assert len(found) == 1
    assert found.popitem() in [(f"archive-{month}", 1) for month in months]


def test_away_answers_whom_it_should(launchers: Path, tmp_path: Path) -> None:
    """Of the ten mails two: not lists, bounces, robots, bulk, blind copies, my own, nor the same sender again."""
    server = tmp_path / "sendmail"
    server.write_text(f'#!/bin/sh\n(echo "args $*"; cat) >> {tmp_path}/sent\n')
    server.chmod(0o755)
    text = tmp_path / "text"
    text.write_text("Subject: away ($SUBJECT)\n\nI am away.\n")
    (tmp_path / "folders").mkdir()
    settings = [f"FOLDERS={tmp_path}/folders", f"VACATION={text}", f"SENDMAIL={server}"]
    for _ in range(2):
        with (EXAMPLES / "away.mbox").open("rb") as mailbox:
            command: list[str | Path] = [launchers / "pyprocmail", "-m", *settings, "away.rc"]
            subprocess.run(command, stdin=mailbox, cwd=EXAMPLES, check=True)
    sent = (tmp_path / "sent").read_text()
    assert [line for line in sent.splitlines() if line.startswith("args")] == [
        "args -oi -f <> -- ann@example.org", "args -oi -f <> -- bob@example.org",
    ]  # fmt: skip
    assert "\nSubject: away =?utf-8?" in sent
    assert "\nIn-Reply-To: <1@example.org>\n" in sent
    assert folders(tmp_path / "folders")["inbox"] == 20


def test_once_keeps_copies_apart(launchers: Path, tmp_path: Path) -> None:
    """The copy that came another way; not the mail that came again, nor those without Message-ID."""
    with (EXAMPLES / "once.mbox").open("rb") as mailbox:
        command: list[str | Path] = [launchers / "pyprocmail", "-m", f"FOLDERS={tmp_path}", "once.rc"]
        subprocess.run(command, stdin=mailbox, cwd=EXAMPLES, check=True)
    found = folders(tmp_path)
    assert (found["inbox"], found["duplicates"]) == (5, 1)
    assert b"its copy through a list" in (tmp_path / "duplicates").read_bytes()


def test_mailspy_keeps_headers_and_forwards_invoices(launchers: Path, tmp_path: Path) -> None:
    """Each header once; an invoice to accounting, but not its copy; what was cut off nowhere."""
    server = tmp_path / "sendmail"
    server.write_text(f'#!/bin/sh\n(echo "to $*"; cat) >> {tmp_path}/sent\n')
    server.chmod(0o755)
    invoice, loop = "Subject: Your invoice 17", "X-Loop: archive@example.com"
    mails = [mail("Subject: lunch"), mail(invoice), mail(invoice, loop), b"From x\nSub"]
    (tmp_path / "folders").mkdir()
    for each in mails:
        command = [str(launchers / "procmail"), "-m", f"FOLDERS={tmp_path}/folders", f"SENDMAIL={server}", "mailspy.rc"]
        subprocess.run([*command, "bob@example.org"], input=each, cwd=EXAMPLES, check=True)
    (kept,) = (tmp_path / "folders").glob("headers-*")
    assert kept.read_text().count("\nSubject: ") == 3
    assert "text" not in kept.read_text()
    sent = (tmp_path / "sent").read_text()
    assert sent.count("to -oi accounting@example.com\n") == 1
    assert sent.count("X-Loop: archive@example.com\n") == 1


@pytest.mark.parametrize(
    ("field", "folder"),
    [
        ("List-Id: People who talk <talk.example.com>", "list-talk"),
        ("Mailing-List: list knitting@example.com; contact x@example.com", "list-knitting"),
        ("X-BeenThere: garden-friends@example.com", "list-garden-friends"),
        ("Precedence: bulk", "bulk"),
        ("List-Id: <../../../etc/passwd>", "inbox"),
        ("Subject: hello", "inbox"),
    ],
)
def test_lists(launchers: Path, tmp_path: Path, field: str, folder: str) -> None:
    """Each of the three ways, and a list that would like to choose a path."""
    deliver(launchers / "procmail", "lists.rc", tmp_path, mail(field))
    assert folders(tmp_path) == {folder: 1}


@pytest.mark.parametrize(
    ("sender", "recipient", "folder"),
    [
        ("Me <me@example.com>", "Ann <ann.lee@example.net>", "sent-ann.lee"),
        ("me@example.com", "bob@example.net", "sent-bob"),
        ("me@example.com", "undisclosed-recipients:;", "sent"),
        ("someone@example.com", "me@example.com", "inbox"),
        ("me@exampleXcom", "bob@example.net", "inbox"),
    ],
)
def test_outbound(launchers: Path, tmp_path: Path, sender: str, recipient: str, folder: str) -> None:
    """One's own mail by recipient; a dot in the address is a dot."""
    message = mail(f"From: {sender}", f"To: {recipient}")
    deliver(launchers / "procmail", "outbound.rc", tmp_path, message, "ADDRESS=me@example.com")
    assert folders(tmp_path) == {folder: 1}


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 'X-Spam-Status: Yes, score=6'; echo 'X-Spam-Level: ******'; cat", {"spam": 1}),
        ("echo 'X-Spam-Status: Yes'; echo 'X-Spam-Level: ****************'; cat", {}),
        ("echo 'X-Spam-Status: No'; cat", {"inbox": 1}),
        ("cat > /dev/null; exit 1", {"inbox": 1}),
    ],
    ids=["spam", "certain", "ham", "broken"],
)
def test_spam_filter(launchers: Path, tmp_path: Path, script: str, found: dict[str, int]) -> None:
    """With a spamc that marks, and one that fails."""
    root = tmp_path / "mail"
    root.mkdir()
    spamc = tmp_path / "spamc"
    spamc.write_text(f'#!/bin/sh\nread -r postmark; echo "$postmark"; {script}\n')
    spamc.chmod(0o755)
    deliver(launchers / "procmail", "spam.rc", root, mail("Subject: x"), f"SPAMC={spamc}")
    assert folders(root) == found


@pytest.mark.parametrize("present", [True, False])
def test_dot_forward(launchers: Path, tmp_path: Path, present: bool) -> None:
    """The command of the line, run by sh as an MTA does: delivered, or 75 so that the MTA keeps the mail."""
    line = (EXAMPLES / "dot-forward").read_text().strip()
    assert line.startswith('"|')
    assert line.endswith('"')
    (tmp_path / "rc").write_text(f"MAILDIR={tmp_path}\nDEFAULT=inbox\n")
    program = tmp_path / "procmail"
    if present:
        # The test must not touch the mailbox of the user who runs it, so an rcfile is named.
        program.write_text(f'#!/bin/sh\nexec {launchers}/procmail -m {tmp_path}/rc "$@"\n')
        program.chmod(0o755)
    command = line[2:-1].replace("/usr/local/bin/procmail", os.fspath(program))
    run = subprocess.run(["/bin/sh", "-c", command], input=mail("Subject: x"), check=False, capture_output=True)
    if present:
        assert run.returncode == 0
        assert (tmp_path / "inbox").read_bytes().count(b"Subject: x") == 1
    else:
        assert run.returncode == 75


def test_duplicates(launchers: Path, tmp_path: Path) -> None:
    """The second copy goes aside; mail without Message-ID is never a copy."""
    for fields in (("Message-ID: <1@x>",), ("Message-ID: <2@x>",), ("Message-ID: <1@x>",), ("To: x",), ("To: x",)):
        deliver(launchers / "procmail", "duplicates.rc", tmp_path, mail(*fields), f"PATH={launchers}:/usr/bin:/bin")
    (tmp_path / "duplicates.cache").unlink()
    assert folders(tmp_path) == {"inbox": 4, "duplicates": 1}
    assert b"<1@x>" in (tmp_path / "duplicates").read_bytes()


PERSONAL = ("From: Ann <ann@example.org>", "To: me@example.com", "Subject: hello")


@pytest.mark.parametrize(
    ("mails", "answers"),
    [
        ([PERSONAL], 1),
        ([PERSONAL, PERSONAL], 1),
        ([PERSONAL, ("From: bob@example.org", "To: me@example.com")], 2),
        ([(*PERSONAL, "List-Id: <x.example.org>")], 0),
        ([(*PERSONAL, "Precedence: bulk")], 0),
        ([(*PERSONAL, "Auto-Submitted: auto-replied")], 0),
        ([(*PERSONAL, "X-Loop: me@example.com")], 0),
        ([("From: Ann <ann@example.org>", "To: somebody@example.com")], 0),
    ],
    ids=["one", "once a sender", "each sender", "list", "bulk", "robot", "loop", "not to me"],
)
def test_vacation(launchers: Path, tmp_path: Path, mails: list[tuple[str, ...]], answers: int) -> None:
    """Who gets an answer, and what it says."""
    root = tmp_path / "mail"
    root.mkdir()
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f'#!/bin/sh\n{{ echo "args $*"; cat; }} >>{tmp_path}/sent\n')
    sendmail.chmod(0o755)
    (tmp_path / "text").write_text("I am away.\n")
    settings = (f"PATH={launchers}:/usr/bin:/bin", f"SENDMAIL={sendmail}", f"VACATION={tmp_path}/text")
    for fields in mails:
        message = mail(*fields).split(b"\n", 1)[1]
        deliver(launchers / "procmail", "vacation.rc", root, message, *settings)
    deadline = time.monotonic() + 30
    sent = ""
    while time.monotonic() < deadline and sent.count("I am away.") < answers:
        time.sleep(0.05)
        sent = (tmp_path / "sent").read_text() if (tmp_path / "sent").exists() else ""
    assert sent.count("args -oi -t\n") == answers
    if answers:
        assert "To: ann@example.org\nSubject: Re: hello\n" in sent
        assert {"Auto-Submitted: auto-replied", "Precedence: junk", "X-Loop: me@example.com"} <= set(sent.splitlines())
    assert (root / "inbox").read_bytes().count(b"\n\ntext\n") == len(mails)
