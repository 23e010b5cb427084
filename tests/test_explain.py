"""pyprocmail explain: the way of a mail through the rules, and how far a pattern got."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

from pyprocmail.matching import near
from pyprocmail.matching.regex import Area, Regex
from pyprocmail.offline.explain import explain as explained
from pyprocmail.offline.explain import lines
from pyprocmail.offline.rules import Rules, Setup
from pyprocmail.offline.sources import Mail

MAIL = (
    "From: Ann <ann@example.org>\n"
    "To: bob@example.org\n"
    "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?= Offer of\n  the day\n"
    "MIME-Version: 1.0\n"
    "Content-Transfer-Encoding: base64\n"
    "\n"
    "d2luIGEgcHJpemUK\n"
)


def explain(launchers: Path, rules: str, folder: Path, *words: str, mail: str = MAIL, status: int = 0) -> str:
    """What explain prints for an rcfile with this text."""
    (folder / "rc").write_text(f"DEFAULT=inbox\n{rules}\n")
    done = subprocess.run(
        [launchers / "pyprocmail", "explain", "-m", *words, "rc"],
        input=mail, capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("* ^From:.*ann\nx", ["yes       * ^From:.*ann", "found in the header: From: Ann <ann@example.org>"]),
        (
            "* ^From:.*anna\nx",
            [
                "no        * ^From:.*anna",
                "found in the header as far as ^From:.*ann: From: Ann <ann@example.org>",
                "then nothing for a",
            ],
        ),
        ("* ! ^From:.*ann\nx", ["no        * ! ^From:.*ann", "found in the header: From: Ann <ann@example.org>"]),
        ("* ! ^From:.*joe\nx", ["yes       * ! ^From:.*joe", "not found in the header"]),
        ("* ^TO_bob@\nx", ["yes       * ^TO_bob@", "found in the header: To: bob@example.org"]),
        ("* ^TO_joe@\nx", ["found in the header as far as ^TO_: To: bob@example.org", "then nothing for joe@"]),
        (
            "D\n* ^From:.*ANN\nx",
            ["near: but for upper and lower case (flag D) it matches: From: Ann <ann@example.org>"],
        ),
        ("* ^bob@\nx", ["near: without the ^ at its beginning it matches: To: bob@example.org"]),
        ("* ^Subject:.*of the day\nx", ["near: if several blanks (or a folded line) were one blank it matches:"]),
        ("* ^Subject:.*grüße\nx", ["in encoded form (MIME_HEADER ??, MIME_TEXT ??): Subject: grüße Offer"]),
        ("* B ?? prize\nx", ["then nothing for", "in encoded form (MIME_HEADER ??, MIME_TEXT ??): win a prize"]),
        ("B\n* d2lu\nx", ["found in the body: d2luIGEgcHJpemUK"]),
        ("* xyz|From: Ann Lee\nx", ["as far as From: Ann : From: Ann", "then nothing for Lee"]),
        ("* > 10\nx", ["yes       * > 10", "the mail has 174 bytes, the limit is 10"]),
        ("* < 10\nx", ["no        * < 10", "the mail has 174 bytes, the limit is 10"]),
        ("* B ?? < 100\nx", ["the body has 17 bytes, the limit is 100"]),
        ("* ? anything\nx", ["yes       * ? anything", "exit status 0"]),
        ("* ! ? anything\nx", ["no        * ! ? anything", "exit status 0"]),
        ("* NAME ?? ^^x\nx", ["no        * NAME ?? ^^x", "the variable NAME is empty"]),
        ("* $ ^From:.*$LOGNAME\nx", ["that is: ^From:.*"]),
        ("* ^Subject: *\\/[^ ]+\nx", ["MATCH==?utf-8?q?gr=C3=BC=C3=9Fe?="]),
        ("* 5^0 ^From\n* -2^1 ^To\nx", ["score 0 -> 5", "score 5 -> 3"]),
    ],
)
def test_conditions(tmp_path: Path, recipe: str, expected: list[str]) -> None:
    """Each kind of condition, holding and failing, with the text that it was compared with."""
    (tmp_path / "rc").write_text(f":0 {recipe}\n" if recipe[0] != "*" else f":0\n{recipe}\n")
    with Rules(Setup(str(tmp_path / "rc"), mail_filter=True)) as rules:
        said = "\n".join(lines(explained(rules, Mail("-", MAIL.encode())), everything=False, recipe=0))
    for text in expected:
        assert text in said, said


def test_the_last_sentence_says_why(launchers: Path, tmp_path: Path) -> None:
    """The folder and the conditions; of DEFAULT, that no recipe wanted it; of nothing, what becomes of it."""
    said = explain(launchers, ":0\n* ^From:.*ann\n{\n:0\n* > 10\nlists\n}", tmp_path)
    assert said.endswith("/lists\n    because of rc:5: * ^From:.*ann  * > 10\n")
    assert said.count("The mail is in") == 1
    assert explain(launchers, "", tmp_path).endswith("/inbox\n    because no recipe delivered it: DEFAULT\n")
    assert "because of rc:2, which has no condition" in explain(launchers, ":0\nall", tmp_path)
    assert "goes to /usr/sbin/sendmail -oi joe@x" in explain(launchers, ":0\n! joe@x", tmp_path)
    assert "A copy is in" in explain(launchers, ":0c\ncopy", tmp_path)
    said = explain(launchers, "DEFAULT=no/such/folder", tmp_path)
    assert "refused" in said
    assert "The mail is nowhere: procmail ends with the exit status 73, and the mail server sends it back" in said


def test_filters_variables_and_chains(launchers: Path, tmp_path: Path) -> None:
    """What a filter did, what --all adds, and --recipe."""
    rules = "A=b\n:0 fhw\n* ^From\n| formail -I 'X-New: yes'\n\n:0\n* ^X-New: yes\nx\n"
    said = explain(launchers, rules, tmp_path)
    assert "filter    the mail is now: " in said
    assert "+ X-New: yes" in said
    assert "variable  " not in said
    said = explain(launchers, rules, tmp_path, "--all")
    assert "variable  A=b" in said
    said = explain(launchers, rules, tmp_path, "--recipe", "7")
    assert "rc:7: :0" in said
    assert "rc:3" not in said
    said = explain(launchers, ":0c\n* ^From\nx\n:0 E\ny\n", tmp_path, "--all")
    assert "passed    :0 E: not tried, because of its flag A, a, E or e" in said


def test_json_and_several_mails(launchers: Path, tmp_path: Path) -> None:
    """An object with each mail of a mailbox."""
    box = "".join(f"From a@b Thu Jan  1 00:00:00 2026\n{MAIL}\n" for _ in range(3))
    found = json.loads(explain(launchers, ":0\n* ^From:.*ann\nx", tmp_path, "--json", mail=box))
    assert (found["schema"], found["version"], len(found["mails"])) == ("pyprocmail-explain", 1, 3)
    step = next(step for step in found["mails"][2]["steps"] if step["kind"] == "condition")
    assert (step["rcfile"], step["line"], step["held"]) == ("rc", 3, True)


def test_hostile_mail_is_text(launchers: Path, tmp_path: Path) -> None:
    """Nothing of a mail steers a terminal."""
    said = explain(launchers, ":0\n* ^Subject: x.y\nx", tmp_path, mail="Subject: x\x1b[2Jz\x9b\n\n")
    assert "\x1b" not in said
    assert "\x9b" not in said


def test_usage(launchers: Path, tmp_path: Path) -> None:
    """64 for an option that is not there."""
    explain(launchers, "", tmp_path, "--nothing", status=64)


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        (b"^a.*b", [b"^", b"a", b".*", b"b"]),
        (b"[]x]+(a|(b\\)c))?d", [b"[]x]+", b"(a|(b\\)c))?", b"d"]),
        (b"^^x|y", [b"^^", b"x", b"|", b"y"]),
        (b"[^]]\\", [b"[^]]", b"\\"]),
        (b"(open", [b"(open"]),
        (b"[open", [b"[open"]),
    ],
)
def test_atoms(pattern: bytes, parts: list[bytes]) -> None:
    """What a concatenation consists of, whatever was written."""
    assert near.atoms(pattern) == parts
    assert b"".join(parts) == pattern


def test_the_longest_beginning_is_found() -> None:
    """Bisection and trying each beginning agree, on the patterns of the examples and mails of the inbox."""
    text = (ROOT / "examples" / "inbox.mbox").read_bytes()[:6000]
    for pattern in (b"^Subject:.*nothing", b"^From:.*@roscom\\.net", b"zz", b"^List-Id:.*<[a-z]+>"):
        (reach,) = near.how_far(pattern, Area(text), fold=True)
        parts = near.atoms(pattern)
        matching = [k for k in range(len(parts) + 1) if not k or Regex(b"".join(parts[:k]), True).search(Area(text))]
        assert reach.found == b"".join(parts[: max(matching)])
        assert reach.found + reach.missing == pattern
