"""`pyprocmail vacation` and `pyprocmail duplicate`: who gets an answer, what is a copy, and many processes at once."""

from __future__ import annotations

import email
import email.policy
import errno
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyprocmail.host import Host
from pyprocmail.tools import duplicate, seen, vacation

ME = "me@example.com"
HEADER = {
    "From": "Ann <ann@example.org>",
    "To": f"Me <{ME}>",
    "Subject": "=?utf-8?q?Gr=C3=BC=C3=9Fe?=",
    "Message-ID": "<1@example.org>",
}


class Clock(Host):
    """The machine at a time of the test's choice."""

    def __init__(self, now: float = 1_800_000_000) -> None:
        super().__init__()
        self.now = now

    def time(self) -> float:
        """See Host."""
        return self.now


def mail(postmark: str = "ann@example.org", body: str = "hello\n", **fields: str | None) -> bytes:
    """A message to me; a field of None is left out, `_` in a name is `-`."""
    changed = {name.replace("_", "-"): value for name, value in fields.items()}
    header = {**HEADER, **changed}
    lines = [f"{name}: {value}" for name, value in header.items() if value is not None]
    first = f"From {postmark} Thu Jan  1 00:00:00 2026\n" if postmark else ""
    return (first + "\n".join(lines) + "\n\n" + body).encode()


def run_tool(
    tool: object, words: list[str], data: bytes, environ: dict[bytes, bytes] | None = None, host: Host | None = None
) -> tuple[int, str, str]:
    """Status, output and messages of a tool."""
    assert tool in (vacation, duplicate)
    rest = [data]
    said: list[bytes] = []
    noted: list[bytes] = []
    run = vacation.run if tool is vacation else duplicate.run
    argv = [b"tool", *map(os.fsencode, words)]
    status = run(
        host or Host(), argv, environ or {b"PATH": b"/bin:/usr/bin"}, lambda _: rest.pop() if rest else b"",
        said.append, noted.append,
    )  # fmt: skip
    return status, b"".join(said).decode(), b"".join(noted).decode()


def answer_to(data: bytes, tmp_path: Path, *words: str, environ: dict[bytes, bytes] | None = None) -> str:
    """What vacation -n says."""
    text = tmp_path / "text"
    if not text.exists():
        text.write_text('I am away.\nYour "$SUBJECT" waits.\n')
    status, said, noted = run_tool(vacation, ["-n", "-t", str(text), "-a", ME, *words], data, environ)
    assert (status, noted) == (0, "")
    return said


def test_an_answer_is_what_the_rfcs_ask_for(tmp_path: Path) -> None:
    """To the envelope sender, in the thread, marked, and readable: RFC 3834, section 3; RFC 5230, section 5."""
    data = mail("return-path@example.org", Reply_To="other@example.org", References="<0@example.org>")
    said = answer_to(data, tmp_path, "-f", "M\u00e9 <me@example.com>")
    message = email.message_from_string(said, policy=email.policy.default)
    assert said.isascii()
    assert message["To"] == "return-path@example.org"
    assert message["From"] == "M\u00e9 <me@example.com>"
    assert message["Subject"] == "Auto: Gr\u00fc\u00dfe"
    assert message["In-Reply-To"] == "<1@example.org>"
    assert message["References"].split() == ["<0@example.org>", "<1@example.org>"]
    assert message["Auto-Submitted"] == "auto-replied (vacation)"
    assert message["Message-ID"]
    assert message["Date"].datetime is not None
    assert message.get_content() == 'I am away.\nYour "Gr\u00fc\u00dfe" waits.\n'


REFUSED = {
    "a null sender": (mail("<>"), "null"),
    "no sender": (mail(""), "null"),
    "a null Return-Path": (mail("", Return_Path="<>"), "null"),
    "a bounce": (mail("MAILER-DAEMON"), "robot"),
    "an owner": (mail("owner-list@example.net"), "robot"),
    "a request address": (mail("list-request@example.net"), "robot"),
    "a VERP address": (mail("bounces+me=example.com@example.net"), "robot"),
    "a noreply address": (mail("No-Reply@example.net"), "robot"),
    "an option": (mail("-oQ/tmp@example.net"), "not an address"),
    "a shell's signs": (mail("a`id`@example.net"), "not an address"),
    "no domain": (mail("a@"), "not an address"),
    "an automatic answer": (mail(Auto_Submitted="auto-replied (vacation)"), "Auto-Submitted"),
    "a generated mail": (mail(Auto_Submitted="Auto-Generated; x=y"), "Auto-Submitted"),
    "a list": (mail(List_Id="<x.example.net>"), "list-id"),
    "a list that says how to leave": (mail(List_Unsubscribe="<mailto:x@y>"), "list-unsubscribe"),
    "an old list": (mail(Mailing_List="x"), "mailing-list"),
    "bulk": (mail(Precedence="Bulk"), "Precedence"),
    "an Outlook robot": (mail(X_Auto_Response_Suppress="DR, OOF"), "X-Auto-Response-Suppress"),
    "a report": (mail(Content_Type="multipart/report; x=y"), "report"),
    "spam": (mail(X_Spam_Flag="YES"), "spam"),
    "my own mail": (mail(ME), "from me"),
    "my own mail through others": (mail("x@example.org", From=f"Me <{ME.upper()}>"), "from me"),
    "a loop": (mail(X_Loop=ME), "X-Loop"),
    "a blind copy": (mail(To="others@example.com"), "not addressed"),
    "no recipients": (mail(To=None), "not addressed"),
    "a similar address": (mail(To="not-me@example.com"), "not addressed"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_who_gets_no_answer(why: str, tmp_path: Path) -> None:
    """RFC 3834, section 2; RFC 5230, sections 4.5 and 4.6."""
    data, word = REFUSED[why]
    said = answer_to(data, tmp_path)
    assert said.startswith("no answer: ")
    assert word in said


ANSWERED = {
    "Cc": mail(To="x@y", Cc=f"a@b, {ME}"),
    "a resent mail": mail(To="x@y", Resent_To=ME),
    "a person's Auto-Submitted": mail(Auto_Submitted="no"),
    "a Return-Path": mail("", Return_Path="<ann@example.org>"),
    "CRLF": mail().replace(b"\n", b"\r\n"),
    "capitals": mail(To="ME@EXAMPLE.COM"),
}


@pytest.mark.parametrize("why", ANSWERED)
def test_who_gets_one(why: str, tmp_path: Path) -> None:
    """The same mail with what does not matter."""
    assert answer_to(ANSWERED[why], tmp_path).startswith("From: ")


def test_without_an_address_the_login_is_mine(tmp_path: Path) -> None:
    """As with vacation of BSD; and maildrop's SENDER is the sender where nothing else says it."""
    text = tmp_path / "text"
    text.write_text("From: me@x.example\nSubject: away: $SUBJECT\n\nI am away.\n")
    environ = {b"LOGNAME": b"me", b"SENDER": b"ann@example.org"}
    _, said, _ = run_tool(vacation, ["-n", "-t", str(text)], mail(""), environ)
    assert said.startswith("From: me@x.example\nTo: ann@example.org\nSubject: away: =?utf-8?")
    _, said, _ = run_tool(vacation, ["-n", "-t", str(text)], mail(To="you@example.com"), environ)
    assert "not addressed" in said


def test_a_subject_of_a_stranger_breaks_no_header(tmp_path: Path) -> None:
    """Newlines, NULs and the like in encoded words stay in the field; a long one is cut."""
    evil = "=?utf-8?q?x=0AX-Evil:_1=0D=00?="
    message = email.message_from_string(answer_to(mail(Subject=evil), tmp_path))
    assert "X-Evil" not in message
    assert len(str(message["Subject"])) < 200
    said = answer_to(mail(Subject="\u00e9 " * 5000), tmp_path)
    assert max(map(len, said.split("\n\n")[0].splitlines())) < 200


class Sender:
    """A sendmail that keeps what it is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "sendmail"
        self.program.write_text(f"#!/bin/sh\n/bin/cat > {folder}/sent.$$ && test ! -e {folder}/broken\n")
        self.program.chmod(0o755)

    def count(self) -> int:
        """How many answers there are."""
        return len(list(self.folder.glob("sent.*")))


def test_once_in_an_interval(tmp_path: Path) -> None:
    """The same sender again after the days, or to another text; other senders at once; a failure does not count."""
    server, host, text = Sender(tmp_path), Clock(), tmp_path / "text"
    text.write_text("away\n")

    def give(data: bytes, *more: str) -> int:
        words = ["-t", str(text), "-a", ME, "-c", str(tmp_path / "c"), "-d", "3", *more, "--", str(server.program)]
        return run_tool(vacation, words, data, host=host)[0]

    assert [give(mail()), give(mail()), give(mail("ANN@example.org"))] == [0, 0, 0]
    assert server.count() == 1
    assert give(mail("bob@example.org")) == 0
    assert server.count() == 2
    host.now += 3 * 86400 - 1
    give(mail())
    assert server.count() == 2
    host.now += 1
    give(mail())
    assert server.count() == 3
    text.write_text("away, and for longer\n")
    give(mail())
    assert server.count() == 4
    give(mail(), "--handle", "x")
    text.write_text("still away\n")
    give(mail(), "--handle", "x")
    assert server.count() == 5
    (tmp_path / "broken").touch()
    assert give(mail("carl@example.org")) == 75
    (tmp_path / "broken").unlink()
    assert give(mail("carl@example.org")) == 0
    assert server.count() == 7


def test_many_processes_send_one_answer(launchers: Path, tmp_path: Path) -> None:
    """Thirty mails of one sender at once, and of three others."""
    server, text = Sender(tmp_path), tmp_path / "text"
    text.write_text("away\n")
    words: list[str | Path] = ["vacation", "-t", text, "-a", ME, "-c", tmp_path / "c", "--", server.program]

    def give(number: int) -> int:
        data = mail(f"s{max(number - 27, 0)}@example.org")
        return subprocess.run([launchers / "pyprocmail", *words], input=data, check=False).returncode

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(give, range(30))) == [0] * 30
    assert server.count() == 3


def test_many_processes_find_one_new(launchers: Path, tmp_path: Path) -> None:
    """Of twenty copies that came different ways at once, one is new."""

    def give(number: int) -> int:
        data = mail(Received=f"from {number}")
        command: list[str | Path] = [launchers / "pyprocmail", "duplicate", "--cache", tmp_path / "c"]
        return subprocess.run(command, input=data, check=False).returncode

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(give, range(20))) == [0] * 19 + [1]


def test_what_is_a_duplicate(tmp_path: Path) -> None:
    """Another copy is; the same copy again, as after a failed delivery, is not; nor one without Message-ID."""
    host = Clock()

    def known(data: bytes, *words: str) -> int:
        return run_tool(duplicate, ["--cache", str(tmp_path / "c"), *words], data, host=host)[0]

    first, copy = mail(Received="from a by b"), mail(Received="from c by d")
    assert [known(first), known(first), known(copy), known(copy), known(first)] == [1, 1, 0, 0, 1]
    assert known(first, "--exact") == 0
    assert known(first, "--handle", "other") == 1
    assert known(copy, "--handle=other") == 0
    assert [known(mail(Message_ID=None)), known(mail(Message_ID=None, Received="from e"))] == [1, 1]
    written = mail("", Message_ID="<2@x>")
    assert [known(written), known(written)] == [1, 0]
    host.now += 7 * 86400
    assert known(copy) == 1
    assert known(copy, "--header", "X-Id") == 1
    assert known(mail(X_Id="7"), "--header", "X-Id:") == 1
    assert known(mail(X_Id="7", Received="x"), "--header", "x-id") == 0


def test_the_days_begin_again(tmp_path: Path) -> None:
    """With --last each duplicate counts."""
    cases: list[tuple[list[str], int]] = [([], 1), (["--last"], 0)]
    for words, expected in cases:
        host = Clock()
        answers = []
        for number in range(3):
            cache = ["--cache", str(tmp_path / f"c{expected}"), "--days", "2", *words]
            answers.append(run_tool(duplicate, cache, mail(Received=f"from {number}"), host=host)[0])
            host.now += 1.5 * 86400
        assert answers == [1, 0, expected]


def test_wrong_options_find_no_duplicate() -> None:
    """A condition with a misspelled option does not hold: the mail is kept."""
    for words in (["--cahce", "x"], ["--days", "0"], ["--days"], ["x"]):
        status, _, noted = run_tool(duplicate, words, mail())
        assert status == 64
        assert noted.startswith("Usage: ")
    for words in ([], ["-t"], ["-t", "x", "--days=x"], ["-t", "x", "y", "z"]):
        assert run_tool(vacation, words, mail())[0] == 64


def test_the_file_stays_small(tmp_path: Path) -> None:
    """It is written anew when it is large: what is over goes, then the oldest; a torn line counts for nothing."""
    host, path = Clock(), os.fsencode(tmp_path / "c")
    now = int(host.now)
    over = b"".join(b"%d %040d old\n" % (now - 1, number) for number in range(5000))
    good = b"".join(b"%d %040d v%d\n" % (now + 9, number, number) for number in range(5000, 24000))
    (tmp_path / "c").write_bytes(over + good + b"%d %040d torn" % (now + 9, 5001))
    file = seen.Seen(host, path)
    assert file.get(b"%040d" % 1) is None
    assert file.get(b"%040d" % 23999) == b"v23999"
    file.put(b"%040d" % 99999, b"new", now + 9)
    file.close()
    assert (tmp_path / "c").stat().st_size < 600_000
    file = seen.Seen(host, path)
    found = [file.get(b"%040d" % number) for number in (1, 5001, 23999, 99999)]
    file.close()
    assert found == [None, None, b"v23999", b"new"]


def test_a_torn_line_harms_nothing(tmp_path: Path) -> None:
    """A crash in the middle of a write leaves the rest readable."""
    host, path = Clock(), os.fsencode(tmp_path / "c")
    for cut in (0, 5, 20, 55):
        (tmp_path / "c").write_bytes(
            b"%d %040d one\n" % (host.now + 9, 1) + (b"%d %040d two" % (host.now + 9, 2))[:cut]
        )
        file = seen.Seen(host, path)
        assert file.get(b"%040d" % 1) == b"one"
        assert file.get(b"%040d" % 2) is None
        file.put(b"%040d" % 3, b"three", host.now + 9)
        assert file.get(b"%040d" % 3) == b"three"
        file.close()
        file = seen.Seen(host, path)
        assert [file.get(b"%040d" % number) for number in (1, 2, 3)] == [b"one", None, b"three"]
        file.close()


def test_a_lock_that_is_not_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows then whether the mail was here: the caller hears it."""
    host = Host()
    monkeypatch.setattr(Host, "lock_whole", lambda *_: False)
    with pytest.raises(OSError, match="another process holds the lock") as error:
        seen.Seen(host, os.fsencode(tmp_path / "c"))
    assert error.value.errno == errno.EAGAIN


def test_a_recipe_needs_no_process(launchers: Path, tmp_path: Path) -> None:
    """In a recipe both are done inside procmail: nothing is found on this PATH, and they work."""
    server, text = Sender(tmp_path), tmp_path / "text"
    text.write_text("away\n")
    rcfile = tmp_path / "rc"
    rcfile.write_text(
        f"PATH=/nowhere\nMAILDIR={tmp_path}\nDEFAULT=inbox\nHOME={tmp_path}\n"
        f":0 Wc\n| pyprocmail vacation --text {text} --address {ME} -- {server.program}\n\n"
        ":0:\n* ? pyprocmail duplicate\ncopies\n"
    )
    for way in ("a", "b"):
        subprocess.run([launchers / "procmail", rcfile], input=mail(Received=f"from {way}"), check=True, cwd=tmp_path)
    assert server.count() == 1
    assert (tmp_path / "inbox").read_bytes().count(b"\nSubject: ") == 1
    assert (tmp_path / "copies").read_bytes().count(b"\nSubject: ") == 1


def test_a_filter_file_answers(launchers: Path, tmp_path: Path) -> None:
    """maildrop gives the sender in FROM."""
    server, text = Sender(tmp_path), tmp_path / "text"
    text.write_text("away\n")
    rules = tmp_path / "rules"
    rules.write_text(
        f'HOME="{tmp_path}"\ncc "| {launchers}/pyprocmail vacation -t {text} -a {ME} -- {server.program}"\nto "inbox"\n'
    )
    rules.chmod(0o600)
    for sender in ("ann@example.org", "ann@example.org", "owner-x@example.org"):
        command: list[str | Path] = [launchers / "maildrop", "-f", sender, "rules"]
        subprocess.run(command, input=mail(""), check=True, cwd=tmp_path)
    assert server.count() == 1
    assert (tmp_path / "inbox").read_bytes().count(b"\nSubject: ") == 3


def test_a_recipe_whose_cache_cannot_be_written_keeps_the_mail(launchers: Path, tmp_path: Path) -> None:
    """One line in the log, and no duplicate."""
    rcfile = tmp_path / "rc"
    rcfile.write_text(f"MAILDIR={tmp_path}\nDEFAULT=inbox\n:0\n* ? pyprocmail duplicate --cache no/where\n/dev/null\n")
    command = [launchers / "procmail", rcfile]
    run = subprocess.run(command, input=mail(), check=True, cwd=tmp_path, capture_output=True)
    assert b"duplicate: no/where.lock: No such file or directory\n" in run.stderr
    assert b"Traceback" not in run.stderr
    assert (tmp_path / "inbox").exists()
