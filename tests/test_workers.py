"""-j: what other processes say of the mails changes nothing, and is used."""

import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from pyprocmail.matching.prefilter import PatternSet
from pyprocmail.matching.regex import Area, Match, Regex
from pyprocmail.procmail.ahead import Recalling, Recording, starts_processes
from pyprocmail.procmail.syntax.lower import compile_rcfile

INBOX = ROOT / "examples" / "inbox.mbox"
WORDS = [
    "exmh",
    "spam",
    "razor",
    "fork",
    "linux",
    "free",
    "perl",
    "list",
    "zzz",
    "[a-z]+ing",
    "^.*\\/ed.*",
    "spamassassin",
]


def rules(seed: int) -> str:
    """Recipes that ask everything: matches, scores, MATCH, sizes, what was matched before."""
    chosen = random.Random(seed)
    lines = ["MAILDIR=$FOLDERS", "DEFAULT=rest", "LOGFILE=log", chosen.choice(["VERBOSE=no", "VERBOSE=yes"])]
    for number in range(40):
        lines.append(f":0 {chosen.choice(['', '', '', 'B', 'HB', 'c', 'D', 'A', 'E'])}")
        for _ in range(chosen.choice([1, 1, 2, 3])):
            prefix = chosen.choice(["", "", "", "! ", "1^1 ", "-1^0.5 ", "B ?? ", "MATCH ?? ", "3^0 "])
            lines.append(f"* {prefix}{chosen.choice(WORDS)}")
        lines += [f"folder{number}", f'X{number % 3}="$MATCH $="']
    return "\n".join(lines) + "\n"


def run(
    launcher: Path, folders: Path, rcfile: Path, *options: str, mailbox: Path = INBOX
) -> "Counter[tuple[str, bytes]]":
    folders.mkdir()
    command: list[str | Path] = [launcher, *options, "-m", f"FOLDERS={folders}", rcfile]
    with mailbox.open("rb") as stdin:
        done = subprocess.run(command, stdin=stdin, env={"PATH": os.defpath}, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"pyprocmail: 200 messages\n")
    # The log names the process and the second.
    return Counter(
        (
            path.name,
            b"".join(line for line in path.read_bytes().splitlines(True) if not line.startswith(b"procmail: [")),
        )
        for path in folders.iterdir()
    )


@pytest.mark.parametrize("seed", range(4))
def test_workers_change_nothing(launchers: Path, tmp_path: Path, seed: int) -> None:
    """Folders, their order and the log are the same."""
    rcfile = tmp_path / "rc"
    rcfile.write_text(rules(seed))
    alone = run(launchers / "pyprocmail", tmp_path / "alone", rcfile)
    together = run(launchers / "pyprocmail", tmp_path / "together", rcfile, "-j", "3")
    assert len(alone) > 2
    strip = {name: data.replace(bytes(tmp_path / "alone"), b"") for name, data in alone}
    assert {name: data.replace(bytes(tmp_path / "together"), b"") for name, data in together} == strip


@pytest.mark.parametrize(
    ("rcfile", "options", "why"),
    [
        (":0\n| cat >/dev/null\n", (), "the rcfile starts programs or clones"),
        (":0\n* ? true\nx\n", (), "the rcfile starts programs or clones"),
        ("X=`date`\n", (), "the rcfile starts programs or clones"),
        (":0 c\n{\n:0\nx\n}\n", (), "the rcfile starts programs or clones"),
        ("", ("-f", "a@b"), "-f changes the mails"),
    ],
)
def test_one_worker_is_said(launchers: Path, tmp_path: Path, rcfile: str, options: tuple[str, ...], why: str) -> None:
    (tmp_path / "rc").write_text("DEFAULT=/dev/null\n" + rcfile)
    command: list[str | Path] = [launchers / "pyprocmail", "-j2", *options, "-m", tmp_path / "rc"]
    with INBOX.open("rb") as stdin:
        done = subprocess.run(command, stdin=stdin, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.stderr == f"pyprocmail: -j is ignored, because {why}\npyprocmail: 200 messages\n"


@pytest.mark.parametrize("number", ["0", "x", "", "-1"])
def test_a_wrong_number_of_workers_is_said(launchers: Path, tmp_path: Path, number: str) -> None:
    done = subprocess.run(
        [launchers / "pyprocmail", "-j", number, "-m", "rc"], capture_output=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr[:19]) == (64, b"pyprocmail: -j take")


def test_an_included_file_may_start_programs(launchers: Path, tmp_path: Path) -> None:
    """Who looks ahead stops there, and the mails are delivered all the same."""
    (tmp_path / "inc").write_text(f":0 W\n* ^Subject:.*re\n| cat >> {tmp_path}/out\n")
    rcfile = tmp_path / "rc"
    rcfile.write_text(f"MAILDIR=$FOLDERS\nDEFAULT=rest\nINCLUDERC={tmp_path}/inc\n:0\n* ^From:.*\nfrom\n")
    found = {}
    for name in ("-j1", "-j3"):
        (tmp_path / "out").unlink(missing_ok=True)
        folders = run(launchers / "pyprocmail", tmp_path / name, rcfile, name)
        found[name] = (folders, (tmp_path / "out").read_bytes())
    assert found["-j1"] == found["-j3"]
    assert found["-j1"][1]


@pytest.mark.parametrize(
    ("rcfile", "expected"),
    [
        (b":0\n* ^a\n* ! B ?? b\n* < 100\nfolder\nX=$MATCH\n", False),
        (b":0\n* $ ^a$HOME\nfolder$X\n", False),
        (b":0\n* < `cat limit`\nfolder\n", True),
        (b":0\nfolder-`date`\n", True),
        (b":0 f\n| cat\n", True),
        (b":0\n! you\n", True),
        (b"TRAP=true\n", True),
        (b":0 $FLAGS\n{\n}\n", True),
        (b":0\n* ^a\n{\n:0\n* ? b\nc\n}\n", True),
    ],
)
def test_what_starts_processes(rcfile: bytes, expected: bool) -> None:
    assert starts_processes(compile_rcfile(rcfile, strict=False)) is expected


class Mute(Regex):
    """The same pattern as another, which must not be asked."""

    def __init__(self, regex: Regex) -> None:
        super().__init__(regex.key[0], regex.key[1], literally=regex.key[2])

    def search(self, area: Area) -> bool:
        raise AssertionError

    def match(self, area: Area) -> None:
        raise AssertionError

    def count(self, area: Area) -> Iterator[Match]:
        raise AssertionError


PATTERNS = st.lists(st.sampled_from(b"a b . \\/ a* b+ ^ (a|b)".split()), min_size=1, max_size=4).map(b"".join)


@given(PATTERNS, st.text("ab\n", max_size=20).map(str.encode), st.booleans(), st.integers(0, 9))
def test_what_was_answered_is_not_asked_again(pattern: bytes, text: bytes, fold: bool, wanted: int) -> None:
    regex, area = Regex(pattern, fold), Area(text, b"B")
    recording = Recording()

    def flat(matches: Iterator[Match], count: int = wanted) -> list[tuple[object, ...]]:
        return [(match.start, match.end, match.none, match.empty) for match in islice(matches, count)]

    match = recording.match(regex, area)
    expected = recording.search(regex, area), match is None, flat(recording.count(regex, area))
    recalling = Recalling(recording.answers)
    mute = Mute(regex)
    found = recalling.match(mute, area)
    assert (recalling.search(mute, area), found is None, flat(recalling.count(mute, area))) == expected
    assert flat(recalling.count(regex, area), 50) == flat(regex.count(area), 50)


def test_answers_about_variables_are_not_kept() -> None:
    recording = Recording()
    assert recording.search(Regex(b"a", False), Area(b"a"))
    assert recording.answers == {}


def test_a_set_is_known_by_its_patterns() -> None:
    one, two = ([Regex(text, True).pattern for text in texts] for texts in ((b"a", b"b"), (b"b", b"a")))
    recording, area = Recording(), Area(b"a", b"H")
    assert recording.places(PatternSet(one, fold=True), area) == [0]
    recalling = Recalling({question: [7] for question in recording.answers})
    assert recalling.places(PatternSet(one, fold=True), area) == [7]
    assert recalling.places(PatternSet(two, fold=True), area) == [1]
