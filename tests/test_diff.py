"""pyprocmail diff: which mails another rcfile would put elsewhere."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

INBOX = ROOT / "examples" / "inbox.mbox"
OLD = "DEFAULT=inbox\n:0:\n* ^Subject:.*list\nlists\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two rcfiles that differ, and two mails."""
    (tmp_path / "old").write_text(OLD)
    (tmp_path / "new").write_text(OLD.replace("list\n", "list\n* ^From:.*ann\n"))
    box = "".join(
        f"From a@b Thu Jan  1 00:00:00 2026\nFrom: {sender}@x.example\nSubject: the list\n\ntext\n\n"
        for sender in ("ann", "bob")
    )
    (tmp_path / "box").write_text(box)
    return tmp_path


def diff(launchers: Path, folder: Path, *words: str | Path, status: int) -> str:
    """What it prints."""
    done = subprocess.run(
        [launchers / "pyprocmail", "diff", "-m", *words], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout.replace(str(folder) + "/", "") or done.stderr


def test_a_mail_that_goes_elsewhere(launchers: Path, folder: Path) -> None:
    """From where to where, and why."""
    assert diff(launchers, folder, "old", "new", "box", status=1) == (
        "bob@x.example  the list\n"
        "  - lists\n"
        "      old:2: * ^Subject:.*list\n"
        "  + inbox\n"
        "      no recipe delivered it: DEFAULT\n"
        "\n"
        "     1  lists -> inbox\n"
        "1 of 2 mails would go elsewhere\n"
    )
    assert diff(launchers, folder, "-q", "old", "new", "box", status=1).startswith("\n     1  lists -> inbox\n")


def test_no_difference_and_trouble(launchers: Path, folder: Path) -> None:
    """The exit statuses of diff(1); 64 for the command line."""
    (folder / "same").write_text("# moved a line\n" + OLD)
    assert diff(launchers, folder, "old", "same", "box", status=0) == "0 of 2 mails would go elsewhere\n"
    assert "no such rcfile" in diff(launchers, folder, "old", "none", "box", status=2)
    assert "none.mbox" in diff(launchers, folder, "old", "new", "none.mbox", status=2)
    diff(launchers, folder, "old", status=64)


def test_contents_and_copies(launchers: Path, folder: Path) -> None:
    """A filter changes what a folder gets; a copy is one place more."""
    (folder / "filtered").write_text(":0 fhw\n| formail -I 'X-New: yes'\n" + OLD)
    said = diff(launchers, folder, "old", "filtered", "box", status=1)
    assert "  ! lists: with other contents" in said
    (folder / "copied").write_text(":0 c\nall/\n" + OLD)
    said = diff(launchers, folder, "old", "copied", "box", status=1)
    assert "  - nowhere\n  + all/ (copy)\n      copied:1, which has no condition" in said


def test_json_and_several_processes(launchers: Path, folder: Path) -> None:
    """The same, to the byte."""
    (folder / "big").write_bytes(INBOX.read_bytes() * 8)
    (folder / "new").write_text(OLD.replace("list", "re:"))
    one, two = (diff(launchers, folder, "--json", "-j", number, "old", "new", "big", status=1) for number in ("1", "2"))
    assert one == two
    found = json.loads(one)
    assert (found["schema"], found["version"], found["compared"]) == ("pyprocmail-diff", 1, 1600)
    assert found["different"] == len(found["mails"]) > 100
