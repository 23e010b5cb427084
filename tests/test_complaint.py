"""`pyprocmail doctor --report`: what private is in rcfiles and mail is not in the report, and rules do the same."""

import os
import re
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest
from conftest import ROOT

from pyprocmail.doctor import reference as reference_programs
from pyprocmail.doctor.complaint import Complaint, places_in_home, written
from pyprocmail.doctor.disguise import Disguise, Person
from pyprocmail.doctor.plain_words import KEPT
from pyprocmail.offline.sources import mails

CASES = sorted((ROOT / "tests" / "cases" / "report").iterdir())
WILD = ROOT / "tests" / "wild"


def complaint(case: Path, tmp_path: Path, **more: bool) -> Complaint:
    """About the rcfile of a case, in a home of its own, of a user who is called Alice Looking."""
    home = tmp_path / "alice"
    shutil.copytree(case / "home", home)
    rcfile = home / (".mailfilter" if case.name == "maildrop" else ".procmailrc")
    hidden = (case / "hide.txt").read_bytes().split() if (case / "hide.txt").exists() else ()
    person = Person(b"alice", b"Alice Looking", os.fsencode(home), b"glass.wonderland.org")
    return Complaint(person, str(rcfile), (case / "message.eml").read_bytes(), case.name, tuple(hidden), **more)


def without_versions(report: str) -> str:
    """What does not depend on the machine."""
    return re.sub(r"(?s)(?<=## Versions\n).*?(?=\n## )", "", report)


def check_private(report: str, case: Path) -> None:
    """No line of private.txt is there, whatever its capitals."""
    for text in (case / "private.txt").read_text().splitlines():
        assert text.lower() not in report.lower(), text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cases(case: Path, tmp_path: Path, update_cases: bool) -> None:
    """The report of each case is expect.md."""
    report = without_versions(written(complaint(case, tmp_path)))
    if update_cases:
        (case / "expect.md").write_text(report)
    check_private(report, case)
    assert report == (case / "expect.md").read_text()


@pytest.mark.usefixtures("reference")
def test_with_the_reference(tmp_path: Path) -> None:
    """procmail runs closed in: it delivers to a folder in its root, and starts no program."""
    case = ROOT / "tests" / "cases" / "report" / "procmail"
    report = written(complaint(case, tmp_path, with_reference=True))
    check_private(report, case)
    found = report.partition("## What the installed procmail does")[2]
    if os.getuid() and "does not allow namespaces" in found:
        pytest.skip("this machine lets no ordinary user make namespaces")
    assert "Its exit status is 0. Rules could start no program" in found
    assert 'procmail: Match on "^Subject:.*lotter"' in found
    assert "/home/user/Mail/work-" in found
    assert sorted(path.name for path in (tmp_path / "alice").rglob("*")) == [".procmailrc", "Mail", "inbox", "lists.rc"]


@pytest.mark.parametrize("allow", [False, True])
def test_the_reference_is_closed_in(reference: Path, tmp_path: Path, allow: bool) -> None:
    """No rule reaches a folder of the machine; a program runs only if that is allowed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    home = tmp_path / "root/home/usra"
    home.mkdir(parents=True)
    (tmp_path / "root/tmp").mkdir()
    rules = f":0 c\n{outside}/mail\n:0 c\n| cat > {outside}/program; id > /tmp/ran\n:0\n/tmp/taken\n"
    (home / "rc").write_text(rules)
    (home / "rc").chmod(0o600)
    ran = reference_programs.run(
        reference / "procmail",
        [b"/home/usra/rc"],
        b"From: a\n\nb\n",
        tmp_path / "root",
        ("usra", "/home/usra"),
        allow=allow,
    )
    if os.getuid() and ran.status is None:
        pytest.skip("this machine lets no ordinary user make namespaces")
    assert list(outside.iterdir()) == []
    assert ran.status == 0, ran
    assert ran.files is not None
    assert b"/tmp/taken" in ran.files
    assert (b"/tmp/ran" in ran.files) == allow


def test_public_mail_and_wild_rcfiles() -> None:
    """Rules do the same with the replaced data; and people, hosts and addresses of the mails are not in the reports."""
    person = Person(b"pat", b"", os.fsencode(WILD / "home"), b"")
    chosen = [mail.data for mail in mails((str(ROOT / "examples" / "inbox.mbox"),))][::50]
    same = 0
    for rcfile in sorted(WILD.glob("*.rc"))[::8]:
        for mail in chosen:
            report = written(Complaint(person, str(rcfile), mail, "procmail"))
            same += "With the real data it takes the same" in report
            shown = report.lower().partition("## the mail")[2]
            head = mail.partition(b"\n\n")[0].decode("latin-1").lower()
            private = {word for address in re.findall(r"\S+@\S+", head) for word in re.findall("[a-z]{5,}", address)}
            rules = rcfile.read_text("latin-1").lower()
            for word in private - {kept.decode("latin-1") for kept in KEPT}:
                assert word not in shown or word in rules, (rcfile, word)
    assert same == 24


def test_disguise() -> None:
    """A word is replaced by the same everywhere, with its capitals; parts that rules name are words."""
    rules = b"* ^From:.*@acme\n* ^Subject:.*ACME\n* ^To:.*j\\.doe@\n:0 fw\nME=xy|doe\n"
    mail = b"From: X <xy@acmecorp.com>\nTo: J.Doe@Example.ORG\nSubject: Acme is on\n\n" + b"text\n" * 40
    disguise = Disguise(Person(b"", b"", b"/", b""), [rules], mail)
    assert disguise.rcfile(rules) == b"* ^From:.*@hstb\n* ^Subject:.*HSTB\n* ^To:.*usrc\\.usrd@\n:0 fw\nME=usrb|usrd\n"
    made = disguise.mail(mail)
    assert made.startswith(b"From: X <usrb@hstbhstc.com>\nTo: Usrc.Usrd@Hstd.ORG\nSubject: Hstb is on\n\ntext\n")
    assert len(made) == len(mail)


@pytest.mark.parametrize("text", ["a", "a-", "a@", "a.", "(", "\\."])
def test_no_mail_makes_it_slow(text: str) -> None:
    """Each takes a fraction of a second; with the square of the length it would be minutes of the processor."""
    began = time.process_time()
    mail = b"From: a\nX: " + text.encode() * 10_000 + b"\n\n" + text.encode() * 20_000
    Disguise(Person(b"", b"", b"/", b""), [b"* ^Subject:.*word\n" * 100], mail).mail(mail)
    assert time.process_time() - began < 20


def test_command(launchers: Path, tmp_path: Path) -> None:
    """It writes to standard output, or a file that only its owner can read; options want --report."""
    (tmp_path / ".procmailrc").write_text(":0\n* ^From:.*carol@wonderland\\.org\ncarols/\n")
    (tmp_path / "mail").write_text("From: carol@wonderland.org\n\nhello\n")

    def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(launchers / "pyprocmail"), "doctor", *arguments]
        environment = {**os.environ, "HOME": str(tmp_path)}
        return subprocess.run(command, text=True, capture_output=True, check=False, cwd=tmp_path, env=environment)

    done = doctor("--report", ".procmailrc", "mail")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"(?m)^\* \^From:.*usr\w@hst\w\\.org$", done.stdout)
    assert "carol" not in done.stdout
    assert doctor("--report", "-o", "report.md", ".procmailrc", "mail").stdout == ""
    assert stat.S_IMODE((tmp_path / "report.md").stat().st_mode) == 0o600
    assert (tmp_path / "report.md").read_text().count("\n## ") == 5
    assert doctor("--report").stdout.count("\n## ") == 3
    for wrong in (
        ["--report", "none.rc"],
        ["--report", ".procmailrc", "none"],
        ["a", "b"],
        ["-o", "x"],
        ["--hide", "x"],
        ["--report", "-o", ".procmailrc", ".procmailrc", "mail"],
        ["--report", "-o", "./mail", ".procmailrc", "mail"],
    ):
        assert doctor(*wrong).returncode == 2, wrong
    assert (tmp_path / ".procmailrc").read_text().startswith(":0\n")
    assert (tmp_path / "mail").read_text().startswith("From: carol")


def test_places_are_below_the_home_that_is_shown(tmp_path: Path) -> None:
    """Also where the home has a name that stays as it is, as root's has."""
    (tmp_path / "box").touch()
    (tmp_path / "lists").mkdir()
    rules = b":0:\nbox\n:0\nlists/\n"
    disguise = Disguise(Person(b"root", b"", b"/root", b""), [rules], b"")
    found = places_in_home(bytes(tmp_path), rules, disguise)
    assert sorted(found) == [b"/home/user/box", b"/home/user/lists/"]
