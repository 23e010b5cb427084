"""The commands that try rules, with filter files of maildrop: explain, coverage, test and refile."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from test_refile import crash, mail, make, subjects

from pyprocmail.commands.offline.refile import deliverer
from pyprocmail.host import Host
from pyprocmail.matching import near_lines
from pyprocmail.offline import refile, taking
from pyprocmail.offline.explain import explain as explained
from pyprocmail.offline.explain import lines
from pyprocmail.offline.outcome import open_rules
from pyprocmail.offline.rules import MAILDROP, Setup
from pyprocmail.offline.sources import Mail

LETTER = (
    "From: Ann <ann@example.org>\n"
    "To: bob@example.org\n"
    "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?= Offer of  the day\n"
    "MIME-Version: 1.0\n"
    "Content-Transfer-Encoding: base64\n"
    "\n"
    "d2luIGEgcHJpemUK\n"
)


def call(launchers: Path, home: Path, *words: str, status: int = 0, given: str = LETTER) -> str:
    """What a command prints, in the home."""
    done = subprocess.run(
        [launchers / "pyprocmail", words[0], *(() if words[0] == "test" else ("--home", str(home))), *words[1:]],
        input=given, capture_output=True, text=True, cwd=home, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout or done.stderr


def test_a_filter_file_before(launchers: Path, tmp_path: Path) -> None:
    """As /etc/maildroprc: its variables stay, what it delivers does not come to the rules, a fault of it is 64."""
    (tmp_path / "first").write_text('WORD="from-first"\nif (/^Subject: early/)\n  to "early"\n')
    (tmp_path / "rules").write_text('if (/^Subject: late/)\n  to "$WORD"\nto "rest"\n')
    words = ("--before", "first", "rules")
    said = call(launchers, tmp_path, "replay", "--list", "early", *words, given="Subject: early\n\n")
    assert said.endswith("    first:2: if (/^Subject: early/)\n")
    assert " from-first\n" in call(launchers, tmp_path, "replay", *words, given="Subject: late\n\n")
    said = call(launchers, tmp_path, "coverage", *words, given="Subject: early\n\n")
    assert "      1       1  if (/^Subject: early/)\n" in said
    assert "      0       0  if (/^Subject: late/)    [never tried]\n" in said
    (tmp_path / "first").write_text("if (\n")
    assert "first: " in call(launchers, tmp_path, "replay", *words, status=64)
    assert "none" in call(launchers, tmp_path, "replay", "--before", "none", "rules", status=64)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("/^From:.*ann/", ["yes       /^From:.*ann/", "found in the header: From: Ann <ann@example.org>"]),
        (
            "/^From:.*anna/",
            [
                "no        /^From:.*anna/",
                "found in the header as far as ^From:.*ann: From: Ann <ann@example.org>",
                "then nothing for a",
            ],
        ),
        ("/^Subject: grüße/", ["yes       /^Subject: grüße/", "found in the header: Subject: grüße Offer"]),
        ("/ANN/:D", ["no        /ANN/:D", "near: but for upper and lower case (option D) it matches: From: Ann"]),
        ("/^bob@/", ["near: without the ^ at its beginning it matches: To: bob@example.org"]),
        ("/of the day/", ["near: if several blanks (or a folded line) were one blank it matches: Subject: grüße"]),
        ("/prize/", ["no        /prize/", "near: in the body it is found (:b): win a prize"]),
        ("/prize/:b", ["yes       /prize/:b", "found in the body: win a prize"]),
        ("/^Subject/:b", ["near: in the header it is found (:h): Subject: grüße"]),
        ("/zzz/", ["not even its beginning is in the header"]),
        ("! /^From:.*ann/", ["yes       /^From:.*ann/"]),
        ("/^From:.*ann/ && /^To: joe/", ["yes       /^From:.*ann/", "no        /^To: joe/", "then nothing for joe"]),
        ("/^To: joe/ || $SIZE < 10", ["no        /^To: joe/", "no        $SIZE < 10", "$SIZE is 173"]),
        ("$SIZE > 10", ["yes       $SIZE > 10", "$SIZE is 173"]),
        ('"$LOGNAME" eq "nobody-at-all"', ['no        "$LOGNAME" eq "nobody-at-all"']),
        ('$NONE ne ""', ['no        $NONE ne ""', "$NONE is empty"]),
        ('$SIZE =~ /^17/', ["yes       $SIZE =~ /^17/", "found in the text '173': 173"]),
        ('$SIZE =~ /^18/', ["no        $SIZE =~ /^18/", "found in the text '173' as far as ^1: 173", "nothing for 8"]),
        ('hasaddr("bob@example.org")', ['yes       hasaddr("bob@example.org")', "its value is 1"]),
        ('hasaddr("joe@example.org")', ['no        hasaddr("joe@example.org")', "its value is 0"]),
        ("length($SIZE) == 3", ["yes       length($SIZE) == 3"]),
        ("/a/:5,1 >= 20", ["yes       /a/:5,1 >= 20"]),
        ("$NONE", ["no        $NONE", "its value is empty"]),
        ("/^To: $WHO/", ["yes       /^To: $WHO/", "that is: ^To: bob"]),
    ],
)  # fmt: skip
def test_conditions(tmp_path: Path, condition: str, expected: list[str]) -> None:
    """Each kind of condition, holding and failing, with what it was compared with."""
    (tmp_path / "filter").write_text(f'WHO="bob"\nif ({condition})\n  to "{tmp_path}/x"\n')
    setup = Setup(str(tmp_path / "filter"), home=str(tmp_path), language=MAILDROP)
    with open_rules(setup, told=True) as rules:
        said = "\n".join(lines(explained(rules, Mail("-", LETTER.encode())), everything=False, recipe=0))
    for text in [f"filter:2: if ({condition})", *expected]:
        assert text in said, said


def test_the_way_of_a_mail(launchers: Path, tmp_path: Path) -> None:
    """elsif, else, blocks, loops, includes, variables; the last sentence names all that the delivery depends on."""
    (tmp_path / "inner").write_text('if (/^To:/)\n{\n  foreach /^Subject: (.*)/\n  {\n    to "lists"\n  }\n}\n')
    (tmp_path / "filter").write_text(
        'if (/^X-None/)\n  to "one"\nelsif (/^X-No/)\n  to "two"\nelse\n{\n  cc "copies"\n  include "inner"\n}\n'
    )
    said = call(launchers, tmp_path, "explain", "filter")
    assert "filter:1: if (/^X-None/)\n    no        /^X-None/" in said
    assert "filter:3: elsif (/^X-No/)\n    no        /^X-No/" in said
    assert "inner:1: if (/^To:/)\n    yes       /^To:/" in said
    assert "A copy is in copies\n    because of filter:6: else, after elsif (/^X-No/)\n" in said
    assert "The mail is in lists\n    because of inner:3: if (/^To:/), foreach /^Subject: (.*)/\n" in said
    found = json.loads(call(launchers, tmp_path, "explain", "--json", "filter"))
    kinds = [step["kind"] for step in found["mails"][0]["steps"] if step["kind"] != "variable"]
    assert kinds == [
        "rcfile", "recipe", "condition", "recipe", "condition", "lock", "stored", "rcfile", "recipe", "condition",
        "lock", "stored",
    ]  # fmt: skip
    assert not (tmp_path / "copies").exists()
    (tmp_path / "filter").write_text("EXITCODE=75\nexit\n")
    said = call(launchers, tmp_path, "explain", "--language", "maildrop", "filter")
    assert "maildrop ends with the exit status 75, and the mail server keeps it" in said


def test_coverage(launchers: Path, tmp_path: Path) -> None:
    """Each condition and its parts: how often tried, how often held; near misses, and what is never reached."""
    (tmp_path / "filter").write_text(
        'if (/^Subject: list/ && /^From:.*joe/)\n  to "joe"\nif ($SIZE > 1 && /^Subject/)\n  to "all"\n'
        'elsif (/^X/)\n  to "x"\n/^Subject: (.*)/\n'
    )
    postmark = "From a@b.example Thu Jan  1 00:00:00 2026\n"
    box = "".join(f"{postmark}{mail(text)}\n" for text in ("list 1", "list 2", "else"))
    said = call(launchers, tmp_path, "coverage", "filter", given=box)
    assert said == (
        "  tried    held  filter\n"
        "      3       0  if (/^Subject: list/ && /^From:.*joe/)\n"
        "      3       2          /^Subject: list/\n"
        "      2       0          /^From:.*joe/    [2 near: all others held]\n"
        '                   to "joe"\n'
        "      3       3  if ($SIZE > 1 && /^Subject/)\n"
        "      3       3          $SIZE > 1    [never decided: it held each time]\n"
        "      3       3          /^Subject/    [never decided: it held each time]\n"
        '                   to "all"\n'
        "      0       0  elsif (/^X/)    [never tried: line 3 took 3 of the mails before]\n"
        '                   to "x"\n'
        "      0       0  /^Subject: (.*)/\n"
        "\n"
        "33.3% of the recipes matched one of 3 mails\n"
    )
    (tmp_path / "box").write_text(box)
    assert call(launchers, tmp_path, "coverage", "-j", "2", "filter", "box") == said
    (tmp_path / "log").write_text("")
    assert "this is a filter file" in call(launchers, tmp_path, "coverage", "--log", "log", "filter", status=64)


def test_rule_tests(launchers: Path, tmp_path: Path) -> None:
    """Every expectation, as for rcfiles; and each can fail."""
    (tmp_path / "filter").write_text(
        'if (/^Subject: list (.*)/)\n{\n  NAME="$MATCH1"\n  xfilter "mark"\n  cc "copies"\n  to "lists"\n}\n'
        'if (/^Subject: exit/)\n{\n  EXITCODE=3\n  exit\n}\nif (/^Subject: there/)\n  to "!joe@example.org"\n'
        'if (/^Subject: other/)\n  to "other"\n'
    )
    text = (
        'rcfile = "filter"\nhome = "."\n\n'
        "[[test]]\nmail = 'Subject: list one'\nfolder = ['copies', 'lists']\nnot_folder = 'other'\n"
        "variables = { NAME = 'one' }\ncalled = 'mark'\nheader = 'X-Marked: yes'\n"
        "[[test.program]]\nline = 'mark'\noutput = \"X-Marked: yes\\n\\n\"\n\n"
        "[[test]]\nmail = 'Subject: exit'\nstatus = 3\nfolder = []\n\n"
        "[[test]]\nmail = 'Subject: there'\nforwarded = '*sendmail*joe@example.org'\n"
    )
    (tmp_path / "filter.toml").write_text(text)
    assert call(launchers, tmp_path, "test", ".") == "3 passed, 0 failed\n"
    for old, new in (
        ("'lists']", "'inbox']"), ("NAME = 'one'", "NAME = 'two'"), ("called = 'mark'", "called = 'no'"),
        ("X-Marked: yes'", "X-Marked: no'"), ("status = 3", "status = 0"), ("*joe@", "*ann@"),
    ):  # fmt: skip
        (tmp_path / "filter.toml").write_text(text.replace(old, new))
        assert "2 passed, 1 failed\n" in call(launchers, tmp_path, "test", ".", status=1)
    (tmp_path / "filter.toml").write_text('language = "sieve"\n' + text)
    assert "language is procmail or maildrop" in call(launchers, tmp_path, "test", ".", status=64)


def test_the_language_can_be_said(launchers: Path, tmp_path: Path) -> None:
    """What looks like neither is an rcfile, unless it is said."""
    (tmp_path / "rules").write_text('DEFAULT="found"\n')
    assert "  found\n" in call(launchers, tmp_path, "replay", "--language", "maildrop", "rules")
    (tmp_path / "rules").write_text('if (/x/)\n  to "x"\nDEFAULT=found\n')
    assert "  found\n" in call(launchers, tmp_path, "replay", "--language", "procmail", "rules")


# -- refile ----------------------------------------------------------------------------------


FILTER = """\
MAIL="$HOME/Mail"
if (/^Subject: list/)
  to "$MAIL/lists"
if (/^Subject: dir/)
  to "$MAIL/dir"
if (/^Subject: mh/)
  to "$MAIL/mh"
if (/^Subject: there/)
  to "!joe@example.org"
if (/^Subject: here/)
  to "$MAIL/inbox"
if (/^Subject: program/)
{
  xfilter "sed -e s/x/y/"
  to "$MAIL/lists"
}
DEFAULT="$MAIL/inbox"
"""
GOES = ("dir two", "list five", "list one", "mh three")


def home_of(folder: Path, kind: str) -> Path:
    """A home with the filter file, an inbox of the kind, and a maildir to deliver to."""
    inbox = make(folder, kind)
    (folder / "rc").write_text(FILTER)
    for part in ("cur", "new", "tmp"):
        (folder / "Mail" / "dir" / part).mkdir(parents=True)
    return inbox


def moved(host: Host, home: Path) -> refile.Report:
    """Do it in this process."""
    before = Path.cwd()
    os.chdir(home)
    try:
        with open_rules(Setup("rc", home=str(home))) as rules:
            source = taking.source_of(host, "Mail/inbox")
            return refile.execute(rules, source, deliverer(host, rules, source), lambda _plan, _trouble: None)
    finally:
        os.chdir(before)


@pytest.mark.parametrize("kind", ["mbox", "maildir", "mh"])
def test_mails_are_moved(launchers: Path, tmp_path: Path, kind: str) -> None:
    """The plan changes nothing; then what goes is elsewhere, with its flags, and what stays is here, each once."""
    home = tmp_path / "home"
    inbox = home_of(home, kind)
    before = subjects(inbox)
    said = call(launchers, home, "refile", "rc", "Mail/inbox")
    assert "\n4 would be moved (--execute does it), 5 stay, 0 failed\n" in said
    reasons = ["a program decides", "it would be forwarded"]
    # What is neither an mbox nor a maildir takes nothing from maildrop.
    reasons += ["no folder takes it"] if kind == "mh" else ["it is where it belongs", "no recipe wants it"]
    for reason in reasons:
        assert f"stay: {reason}" in said
    assert subjects(inbox) == before
    assert "\n4 moved, 5 stay, 0 failed\n" in call(launchers, home, "refile", "--execute", "rc", "Mail/inbox")
    assert subjects(inbox) == before - Counter(GOES)
    elsewhere = [home / "Mail" / name for name in ("lists", "dir", "mh")]
    assert subjects(*elsewhere) == Counter(GOES)
    if kind == "maildir":
        (file,) = (home / "Mail" / "dir" / "cur").iterdir()
        assert file.name.endswith(":2,S")
        assert file.stat().st_mtime == 3000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mbox", "maildir"])
def test_a_crash_at_any_call_loses_nothing(tmp_path: Path, kind: str) -> None:
    """Each mail is somewhere at every moment, and a second run finishes the work."""
    calls = 0
    while True:
        home = tmp_path / str(calls)
        inbox = home_of(home, kind)
        before = subjects(inbox)
        finished = crash(moved, calls, home)
        everywhere = b"".join(path.read_bytes() for path in (home / "Mail").rglob("*") if path.is_file())
        assert all(f"Subject: {text}\n".encode() in everywhere for text in before), calls
        moved(Host(), home)
        assert subjects(inbox) == before - Counter(GOES), calls
        assert set(subjects(*(home / "Mail" / name for name in ("lists", "dir", "mh")))) == set(GOES), calls
        if finished:
            break
        calls += 1
    assert calls > 30


# -- patterns --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        (b"^From:.*ann", [b"^", b"F", b"r", b"o", b"m", b":", b".*", b"a", b"n", b"n"]),
        (b"a|b+?c{2,3}", [b"a", b"|", b"b+?", b"c{2,3}"]),
        (rb"(?:x(y)|[)])*\.", [b"(?:x(y)|[)])*", rb"\."]),
        (b"[]a-z[:alpha:]]+x{", [b"[]a-z[:alpha:]]+", b"x", b"{"]),
        ("ü+".encode(), ["ü+".encode()]),
        (b"(open", [b"(open"]),
        (b"[open", [b"[open"]),
    ],
)
def test_atoms(pattern: bytes, parts: list[bytes]) -> None:
    """The pieces of a pattern are the pattern."""
    assert near_lines.atoms(pattern) == parts
    assert b"".join(parts) == pattern


def test_the_longest_beginning_is_found() -> None:
    """Of each alternative, in one line of the text; what is no pattern has none."""
    text = b"Subject: one two\nFrom: three\n"
    found = near_lines.how_far(b"one three|From: x|zzz", text, fold=True)
    assert [(reach.found, reach.missing) for reach in found] == [
        (b"From: ", b"x"), (b"one t", b"hree"), (b"", b"zzz"),
    ]  # fmt: skip
    assert text[found[1].start : found[1].end] == b"one t"
    assert near_lines.how_far(b"(x", text, fold=True)[0].found == b""
