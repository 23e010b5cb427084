"""Colours: on a terminal, not with NO_COLOR, and never in a pipe."""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

from pyprocmail.commands.colours import painted

MAIL = b"From: ann@example.org\nSubject: x \x1b[31mred\n\ntext\n"


def on_terminal(
    command: list[str | Path], folder: Path, environment: dict[str, str], *, stdout: bool = True, stderr: bool = False
) -> bytes:
    """What the command writes to a terminal, by one stream or both; the other goes nowhere."""
    ours, theirs = os.openpty()
    try:
        out, error = theirs if stdout else subprocess.DEVNULL, theirs if stderr else None
        done = subprocess.run(command, input=MAIL, stdout=out, stderr=error, cwd=folder, env=environment, check=False)
        assert done.returncode == 0
        os.close(theirs)
        theirs = -1
        found = b""
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # EIO: nobody has the other end open
                return found
            if not piece:
                return found
            found += piece
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def test_on_a_terminal_only(launchers: Path, tmp_path: Path) -> None:
    """The same text with and without; what a mail writes into its subject colours nothing."""
    (tmp_path / "rc").write_text("DEFAULT=inbox\n:0\n* ^From:.*ann\n* ^Subject: y\nx\n")
    command: list[str | Path] = [launchers / "pyprocmail", "explain", "-m", "rc"]
    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    plain = subprocess.run(command, input=MAIL, capture_output=True, cwd=tmp_path, env=environment, check=True).stdout
    assert b"\x1b" not in plain
    coloured = on_terminal(command, tmp_path, environment).replace(b"\r\n", b"\n")
    assert b"\x1b[32m    yes       * ^From:.*ann\x1b[0m\n" in coloured
    assert b"\x1b[31m    no        * ^Subject: y\x1b[0m\n" in coloured
    for code in (b"\x1b[31m", b"\x1b[32m", b"\x1b[33m", b"\x1b[36m", b"\x1b[0m"):
        coloured = coloured.replace(code, b"")
    assert coloured == plain
    environment["NO_COLOR"] = "1"
    assert on_terminal(command, tmp_path, environment).replace(b"\r\n", b"\n") == plain


def test_a_bar_for_a_long_run(launchers: Path, tmp_path: Path) -> None:
    """On a terminal; not for a short run, not where lines would come between, and not without a terminal."""
    (tmp_path / "rc").write_text("DEFAULT=inbox\n")
    (tmp_path / "box").write_bytes((ROOT / "examples" / "inbox.mbox").read_bytes() * 20)
    command: list[str | Path] = [launchers / "pyprocmail", "replay", "-m", "rc", "box"]
    environment = {**os.environ, "TERM": "xterm"}
    shown = on_terminal(command, tmp_path, environment, stderr=True)
    assert b" 100%" in shown.partition(b" mails ")[0]
    assert b"4,000 mails" in shown
    assert b"100%" in on_terminal([*command, "--json"], tmp_path, environment, stdout=False, stderr=True)
    assert b"%" not in on_terminal([*command, "--list", "none"], tmp_path, environment, stderr=True)
    assert b"%" not in on_terminal(command[:-1], tmp_path, environment, stderr=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("      3       2  * ^Subject    [never decided: it held each time]", "^Subject\x1b[33m    [never decided"),
        ("  + Mail/new", "\x1b[32m  + Mail/new\x1b[0m"),
        ("  - Mail/old", "\x1b[31m  - Mail/old\x1b[0m"),
        ("ann@example.org  [a list] subject", "ann@example.org  [a list] subject"),
    ],
)
def test_what_has_a_colour(line: str, expected: str) -> None:
    """By how a line begins, or by the notes at its end."""
    assert expected in painted(line)
