"""Control characters of a stranger's mail: blanks in every log and report, as they are with PYPROCMAIL_STRICT."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocmail.message.visible import blanked

HOSTILE = b"\x1b[2J\x1b]0;owned\x07 \x7f\x08 \xc2\x9b31m \xc3\xa9 \xe2\x82\xac"
CONTROLS = (b"\x1b", b"\x07", b"\x7f", b"\x08", b"\xc2\x9b")
KEPT = (b"\xc3\xa9", b"\xe2\x82\xac")
MAIL = b"From a@b Mon Jan  1 00:00:00 2024\nFrom: " + HOSTILE + b"\nSubject: " + HOSTILE + b"\n\nx\n"


def run(program: Path, *words: object, data: bytes = MAIL, strict: bool = False) -> bytes:
    """What a program that succeeds says."""
    environment = {**os.environ, "PYPROCMAIL_STRICT": "yes" if strict else "no"}
    done = subprocess.run(
        [str(program), *(str(word) for word in words)], input=data, capture_output=True, timeout=60, check=False,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def written(path: Path, text: str) -> Path:
    """A file that only its owner may change."""
    path.write_text(text)
    path.chmod(0o600)
    return path


def check(text: bytes, *, strict: bool) -> None:
    """Whether the controls are gone, or all there, and other characters never."""
    assert all((control in text) == strict for control in CONTROLS), text
    assert all(kept in text for kept in KEPT), text


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("verbose", ["no", "yes"])
def test_procmail(launchers: Path, tmp_path: Path, verbose: str, *, strict: bool) -> None:
    """LOGABSTRACT, and MATCH in a VERBOSE log; the mail itself is stored as it came."""
    log, folder = tmp_path / "log", tmp_path / "mbox"
    lines = [f"LOGFILE={log}", "LOGABSTRACT=yes", f"VERBOSE={verbose}", ":0", "* ^Subject:\\/.*", str(folder), ""]
    run(launchers / "procmail", "-m", written(tmp_path / "rc", "\n".join(lines)), strict=strict)
    check(log.read_bytes(), strict=strict)
    assert HOSTILE in folder.read_bytes()


@pytest.mark.parametrize("strict", [False, True])
def test_maildrop(launchers: Path, tmp_path: Path, *, strict: bool) -> None:
    """The log of deliveries, and what VERBOSE shows."""
    log = tmp_path / "log"
    text = f'logfile "{log}"\nVERBOSE="9"\nif (/^Subject: *!.*/)\n{{\n}}\nA="$MATCH2"\nto "{tmp_path}/mbox"\n'
    said = run(launchers / "maildrop", written(tmp_path / "filter", text), strict=strict)
    check(log.read_bytes(), strict=strict)
    assert strict or not any(control in said for control in CONTROLS)


@pytest.mark.parametrize("strict", [False, True])
def test_mailstat_and_formail(launchers: Path, tmp_path: Path, *, strict: bool) -> None:
    """A folder's name, a line of a log, and the abstract of formail -l."""
    log = tmp_path / "log"
    log.write_bytes(b"From a@b\n Subject: x\n  Folder: " + HOSTILE + b"\t\t 12\nprocmail: Lost " + HOSTILE + b"\n")
    check(run(launchers / "mailstat", "-k", log, strict=strict), strict=strict)
    said = run(launchers / "formail", "-l", "x", strict=strict)
    check(said.rpartition(b"\nx\n")[2], strict=strict)


@given(st.binary())
def test_length_and_lines_stay(text: bytes) -> None:
    """Nothing moves: a byte for a byte, and no line more or less."""
    shown = blanked(text)
    assert len(shown) == len(text)
    assert [at for at, byte in enumerate(shown) if byte == 0x0A] == [at for at, byte in enumerate(text) if byte == 0x0A]
    assert blanked(shown) == shown
