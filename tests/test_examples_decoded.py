"""examples/decoded: each rcfile with its mailbox."""

from __future__ import annotations

import email
import subprocess
from pathlib import Path

import pytest
from clamd import Clamd
from conftest import ROOT
from decoded import messages

EXAMPLES = ROOT / "examples" / "decoded"
TESTED = {"subjects", "lists", "attachments", "scanner", "disclaimer"}


def run(launchers: Path, folders: Path, name: str, *settings: str, expect: int = 0) -> dict[str, bytes]:
    """Give the mails to the rules; the folders, a Maildir as one text."""
    folders.mkdir()
    command: list[str | Path] = [launchers / "pyprocmail", "-m", f"FOLDERS={folders}", *settings, f"{name}.rc"]
    with (EXAMPLES / f"{name}.mbox").open("rb") as mailbox:
        done = subprocess.run(command, stdin=mailbox, cwd=EXAMPLES, capture_output=True, check=False)
    assert done.returncode == expect, done.stderr
    found = {path.name: path.read_bytes() for path in folders.iterdir() if path.is_file()}
    for path in folders.glob("*/new"):
        found[path.parent.name] = b"".join(one.read_bytes() for one in path.iterdir())
    return found


def test_each_is_tested() -> None:
    """A new example comes with a test."""
    assert {path.stem for path in EXAMPLES.iterdir()} == TESTED


def test_subjects(launchers: Path, tmp_path: Path) -> None:
    """Invoices in eight character sets, and one whose letter two words cut in two; raw patterns find none."""
    found = run(launchers, tmp_path / "f", "subjects")
    assert found["invoices"].count(b"\nSubject:") == 9
    assert found["inbox"].count(b"\nSubject:") == 2
    assert found["inbox"].count(b"no invoice") == 2


def test_lists(launchers: Path, tmp_path: Path) -> None:
    """By what stands in angle brackets; no name leads elsewhere."""
    found = run(launchers, tmp_path / "f", "lists")
    assert sorted(found) == ["inbox", "list-dev.example.com", "list-users.example.com"]
    assert found["inbox"].count(b"\nFrom:") == 2


def test_attachments(launchers: Path, tmp_path: Path) -> None:
    """The file is in the folder, its name in the mail; without the folder the mail stays as it was."""
    (tmp_path / "files").mkdir()
    found = run(launchers, tmp_path / "f", "attachments", f"FILES={tmp_path}/files")
    assert (tmp_path / "files" / "März.pdf").read_bytes() == b"%PDF-1.4 example"
    assert "(März.pdf is with the other files)".encode() in found["inbox"]
    assert b"filename" not in found["inbox"]
    found = run(launchers, tmp_path / "g", "attachments", f"FILES={tmp_path}/none")
    assert b"filename" in found["inbox"]
    assert (EXAMPLES / "attachments.mbox").read_bytes() == found["inbox"]


def test_scanner(launchers: Path, tmp_path: Path, clamd: Clamd) -> None:
    """What the mails say of themselves does not count; without clamd nothing is delivered."""
    found = run(launchers, tmp_path / "f", "scanner", f"CLAMD={clamd.path}")
    assert b"EICAR" in found["infected"]
    assert b"X-Virus-Status: infected; Eicar-Signature" in found["infected"]
    assert found["inbox"].count(b"X-Virus-Status: clean\n") == 1
    assert b"EICAR" not in found["inbox"]
    assert run(launchers, tmp_path / "g", "scanner", f"CLAMD={tmp_path}/nobody", expect=75) == {}


def test_disclaimer(launchers: Path, tmp_path: Path) -> None:
    """In the text, in the HTML, not within the house, and not in what is signed."""
    found = run(launchers, tmp_path / "f", "disclaimer", f"TEXT={EXAMPLES}/disclaimer.txt")
    latin, both, house, signed = map(email.message_from_bytes, messages(found["outgoing"]))
    assert "Geschäftsführerin" in bytes(latin.get_payload(decode=True)).decode("latin-1")
    texts = [bytes(part.get_payload(decode=True)) for part in both.walk() if not part.is_multipart()]
    assert "Geschäftsführerin".encode() in texts[0]
    assert b"Gesch&#228;ftsf&#252;hrerin" in texts[1]
    assert "GmbH" not in house.as_string() + signed.as_string()


@pytest.mark.usefixtures("reference")
def test_procmail_reads_them(reference: Path, tmp_path: Path) -> None:
    """And finds nothing: its areas are empty."""
    folders = tmp_path / "f"
    folders.mkdir()
    mail = (EXAMPLES / "subjects.mbox").read_bytes().split(b"\n\nFrom a@")[0] + b"\n\n"
    command: list[str | Path] = [reference / "procmail", "-m", f"FOLDERS={folders}", EXAMPLES / "subjects.rc"]
    done = subprocess.run(command, input=mail, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (folders / "inbox").exists()
