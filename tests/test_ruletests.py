"""pyprocmail test: what must become of mails, in TOML beside the rcfile."""

import subprocess
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

RULES = """\
MAILDIR=$HOME/Mail
DEFAULT=inbox
:0 fw
* ^Subject:.*spam
| spamc
:0:
* ^X-Spam: yes
spam
:0
* ^Subject:.*go to (bob|joe)
{
    WHO=bob
    :0 c
    copies/
    :0
    ! $WHO@example.org
}
:0 w
* ^Subject:.*program
| keep --it
:0
* ^Subject:.*junk
/dev/null
"""
TESTS = '''\
rcfile = "rc"
home = "."

[[program]]
line = "spamc*"
output = """
X-Spam: yes
Subject: spam

"""

[[test]]
name = "spam is marked"
mail = "Subject: spam"
folder = "Mail/spam"
header = "X-Spam: yes"
called = "spamc"

[[test]]
name = "ham"
mail = """
Subject: hello
folder = "this is text of the mail"
"""
folder = "Mail/inbox"
not_folder = ["Mail/spam", "Mail/copies/"]
status = 0

[[test]]
name = "forwarded"
file = "mail.eml"
folder = "Mail/copies/"
forwarded = "bob@example.org"
variables = { WHO = "bob" }

[[test]]
name = "a program, and nothing"
mail = "Subject: program"
programs = "keep *"
folder = []

[[test]]
mail = "Subject: junk"
folder = "/dev/null"
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rules, their tests, and the file of a mail."""
    (tmp_path / "Mail").mkdir()
    (tmp_path / "rc").write_text(RULES)
    (tmp_path / "rules.toml").write_text(TESTS)
    (tmp_path / "mail.eml").write_text("Subject: go to bob\n\ntext\n")
    return tmp_path


def call(launchers: Path, folder: Path, *words: str, status: int = 0) -> str:
    """What it prints."""
    done = subprocess.run(
        [launchers / "pyprocmail", "test", *words], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout or done.stderr


def test_they_pass(launchers: Path, folder: Path) -> None:
    """A file, a folder, and several processes."""
    assert call(launchers, folder, "rules.toml") == "5 passed, 0 failed\n"
    (folder / "more").mkdir()
    (folder / "more" / "answers.toml").write_text('[[program]]\nline = "x"\n')
    assert call(launchers, folder, ".", "-j", "2") == "5 passed, 0 failed\n"
    said = call(launchers, folder, ".", "--output-format", "full")
    assert said.startswith("rules.toml:12: spam is marked: passed\n")


def test_a_missing_argument_has_its_name(launchers: Path, folder: Path) -> None:
    """Not an error without words."""
    done = subprocess.run([launchers / "pyprocmail", "test"], capture_output=True, text=True, cwd=folder, check=False)
    assert (done.returncode, done.stdout) == (64, "")
    assert "Missing argument 'DIR|FILE...'" in done.stderr


def test_a_date(launchers: Path, folder: Path) -> None:
    """That of the file, or of the test; TOML's own dates or text."""
    (folder / "dated").write_text("DEFAULT=`date +%Y-%m`\n")
    tests = (
        'rcfile = "dated"\nhome = "."\ndate = 2024-02-29\n'
        '[[test]]\nmail = "Subject: x"\nfolder = "2024-02"\n'
        '[[test]]\ndate = "2025-03-01T12:00"\nmail = "Subject: x"\nfolder = "2025-03"\n'
    )
    (folder / "dated.toml").write_text(tests)
    assert call(launchers, folder, "dated.toml") == "2 passed, 0 failed\n"


def test_threshold(launchers: Path, folder: Path) -> None:
    """How many recipes the tests of all files together match, and 1 if that is too few; XML stays XML."""
    assert call(launchers, folder, "rules.toml", "--threshold", "100") == "5 passed, 0 failed\n"
    text = (folder / "rules.toml").read_text()
    kept, _, last = text.rpartition("[[test]]")
    (folder / "rules.toml").write_text(kept)
    (folder / "last.toml").write_text(f'rcfile = "rc"\nhome = "."\n\n[[test]]{last}')
    assert call(launchers, folder, ".", "--threshold", "100", "-j", "2") == "5 passed, 0 failed\n"
    said = call(launchers, folder, "rules.toml", "--threshold", "100", "--output-format", "junit", status=1)
    assert said.endswith("</testsuite>\n")
    assert call(launchers, folder, "rules.toml", "--threshold", "50") == "4 passed, 0 failed\n"


@pytest.mark.parametrize(
    ("old", "new", "failure"),
    [
        ('"Mail/spam"\nheader', '"Mail/inbox"\nheader', "spam is marked: folder: expected Mail/inbox, found Mail/spam"),
        ('"X-Spam: yes"\ncalled', '"X-Spam: no"\ncalled', "spam is marked: header: there is no 'X-Spam: no'"),
        ('"Mail/spam", "Mail/copies/"', '"Mail/inbox"', "ham: not_folder: it is in Mail/inbox (no recipe"),
        ("status = 0", "status = 75", "ham: status: expected 75, found 0"),
        ('forwarded = "bob', 'forwarded = "joe', "forwarded: expected joe@example.org, found /usr/sbin/sendmail"),
        ('WHO = "bob"', 'WHO = "joe"', "forwarded: variables: expected WHO=joe, found bob"),
        ('WHO = "bob"', 'NO = "x"', "forwarded: variables: expected NO=x, found nothing"),
        ('"keep *"', '"keep"', "programs: expected keep, found keep --it"),
        ('called = "spamc"', 'called = "formail"', "called: expected formail, found spamc"),
        ('folder = "/dev/null"\n', "", "line 42: nothing is expected of it; --update writes what happens"),
    ],
)
def test_each_expectation_can_fail(launchers: Path, folder: Path, old: str, new: str, failure: str) -> None:
    """With the place of the test, and what was found."""
    assert old in TESTS
    (folder / "rules.toml").write_text(TESTS.replace(old, new))
    said = call(launchers, folder, "rules.toml", status=1)
    assert failure in said
    assert said.endswith("4 passed, 1 failed\n")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('rcfile = "rc"', "", 'there is no rcfile = "..."'),
        ('rcfile = "rc"', 'rcfile = "none"', "no such rcfile"),
        ('file = "mail.eml"', 'file = "none.eml"', "none.eml: No such file or directory"),
        ('file = "mail.eml"', "", "a test has either mail"),
        ("status = 0", "staus = 0", "unknown name 'staus'"),
        ("status = 0", 'status = "0"', "status has a value of the wrong kind"),
        ("status = 0", "status =", "rules.toml: "),
        ('line = "spamc*"', "", "a program has a line"),
    ],
)
def test_what_cannot_be_read_is_64(launchers: Path, folder: Path, old: str, new: str, complaint: str) -> None:
    """With the reason."""
    (folder / "rules.toml").write_text(TESTS.replace(old, new))
    assert complaint in call(launchers, folder, "rules.toml", status=64)


def test_formats(launchers: Path, folder: Path) -> None:
    """What CI and editors read; hostile names stay text."""
    bad = TESTS.replace('"Mail/inbox"\nnot', '"<&>,:%"\nnot').replace('"ham"', '"h<a>m, 100%: \\u001b"')
    (folder / "rules.toml").write_text(bad)
    said = call(launchers, folder, "rules.toml", "--output-format", "github", status=1)
    assert said.startswith("::error file=rules.toml,line=19,title=h<a>m%2C 100%25%3A::folder: expected <&>,:%25, ")
    said = call(launchers, folder, "rules.toml", "--output-format", "junit", status=1)
    suite = ET.fromstring(said)  # noqa: S314  it is our own
    assert (suite.get("tests"), suite.get("failures")) == ("5", "1")
    failure = suite.find("testcase[@line='19']/failure")
    assert failure is not None
    assert "<&>,:%" in (failure.get("message") or "")
    assert "The mail is in" in (failure.text or "")
    said = call(launchers, folder, "rules.toml", "--output-format", "full", status=1)
    assert "    The mail is in Mail/inbox" in said


def test_update_writes_what_happens(launchers: Path, folder: Path) -> None:
    """Only into what fails; then it passes, and the mail's own text is as it was."""
    path = folder / "rules.toml"
    path.write_text(TESTS.replace('folder = "Mail/inbox"\n', 'folder = "x"\n').replace('folder = "/dev/null"\n', ""))
    call(launchers, folder, "rules.toml", "--update", status=1)
    assert call(launchers, folder, "rules.toml") == "5 passed, 0 failed\n"
    assert tomllib.loads(path.read_text()) == tomllib.loads(TESTS)
    assert 'folder = "this is text of the mail"\n' in path.read_text()
