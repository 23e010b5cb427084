"""pyprocmail coverage: what was tried and held, by mails and by a log."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

INBOX = ROOT / "examples" / "inbox.mbox"
RULES = """\
DEFAULT=inbox
:0:
* ^Subject:.*list
* ^From:.*ann
* > 10
lists

:0
* ^From
all/

:0 E
* ^To:
never/

:0
* ^Subject: late
late
"""


def coverage(launchers: Path, folder: Path, *words: str | Path, status: int = 0) -> str:
    """What it prints."""
    done = subprocess.run(
        [launchers / "pyprocmail", "coverage", "-m", *words], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The rules, and three mails."""
    (tmp_path / "rc").write_text(RULES)
    mails = (("ann", "the list"), ("bob", "the list"), ("cy", "x"))
    (tmp_path / "box").write_text(
        "".join(
            f"From a@b Thu Jan  1 00:00:00 2026\nFrom: {sender}\nSubject: {subject}\n\ntext\n\n"
            for sender, subject in mails
        )
    )
    return tmp_path


def test_the_listing(launchers: Path, folder: Path) -> None:
    """Hits of recipes and conditions, near misses, what never decided and what is never reached."""
    said = coverage(launchers, folder, "rc", "box")
    for line in (
        "      3       1  :0:",
        "      3       2  * ^Subject:.*list",
        "      2       1  * ^From:.*ann    [1 near: all others held]",
        "      1       1  * > 10    [never decided: it held each time]",
        "      2       2  * ^From",
        "      0       0  :0 E    [never tried: line 8 took 2 of the mails before]",
        "      0       0  :0    [never tried: line 8 took 2 of the mails before]",
        "                 DEFAULT=inbox",
        "50.0% of the recipes matched one of 3 mails",
    ):
        assert line in said.split("\n"), said


def test_threshold_and_json(launchers: Path, folder: Path) -> None:
    """Fewer recipes than asked for are status 1; JSON has a schema."""
    coverage(launchers, folder, "--threshold", "50", "rc", "box")
    coverage(launchers, folder, "--threshold", "51", "rc", "box", status=1)
    coverage(launchers, folder, "--threshold", "101", "rc", "box", status=64)
    found = json.loads(coverage(launchers, folder, "--json", "rc", "box"))
    assert (found["schema"], found["version"], found["mails"], found["matched_percent"]) == (
        "pyprocmail-coverage", 1, 3, 50.0,
    )  # fmt: skip
    (row,) = [row for row in found["rows"] if row["line"] == 4]
    assert (row["kind"], row["tried"], row["held"]) == ("condition", 2, 1)


@pytest.mark.slow
def test_several_processes_count_the_same(launchers: Path, folder: Path) -> None:
    """To the byte."""
    (folder / "big").write_bytes(INBOX.read_bytes() * 10)
    one, two = (coverage(launchers, folder, "--json", "-j", number, "rc", "big") for number in ("1", "2"))
    assert one == two
    assert '"mails": 2000' in one


@pytest.mark.parametrize("program", ["ours", "reference"])
def test_a_log_says_the_same_as_the_mails(launchers: Path, folder: Path, program: str) -> None:
    """A VERBOSE log, of ours or of the reference's, counts each condition as the mails do."""
    procmail = str(launchers / "procmail") if program == "ours" else shutil.which("procmail", path=os.defpath)
    if procmail is None:
        pytest.skip("the reference procmail is not installed (apt-get install procmail)")
    log = folder / "log"
    rules = ":0 c\n* ! B ?? nothing\n* < 100000\n* ? true\n/dev/null\n" + RULES
    (folder / "rc").write_text(rules)
    (folder / "logged.rc").write_text("LOGFILE=log\nVERBOSE=on\n" + rules)
    box = (folder / "box").read_text() + "From a@b Thu Jan  1 00:00:00 2026\nSubject: y\n\nx\n\n"
    (folder / "box").write_text(box)
    for mail in box.split("From a@b")[1:]:
        subprocess.run([procmail, "-m", "logged.rc"], input=f"From a@b{mail}".encode(), cwd=folder, check=True)
    assert log.exists()

    def counts(*words: str) -> list[tuple[int, int, int]]:
        rows = json.loads(coverage(launchers, folder, "--json", *words))["rows"]
        return [(row["line"], row["tried"], row["held"]) for row in rows if row["kind"] == "condition"]

    by_log, by_mail = counts("--log", "log", "rc"), counts("rc", "box")
    assert by_log == by_mail
    assert sum(tried for _, tried, _ in by_log) > 15
    coverage(launchers, folder, "--log", "nothing", "rc", status=64)
