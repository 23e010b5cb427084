"""Messages: an error of the system is `FILE: reason`, once, without numbers and quotes; each has an entry in a page."""

import errno
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyprocmail.commands.cli import cli
from pyprocmail.exits import in_one_line

UNREADABLE: dict[str, tuple[list[str], str]] = {
    "links": (["links", "plain/file"], "Error: cannot write launchers: plain/file: Not a directory\n"),
    "report of no rcfile": (["doctor", "--report", "none", "mail"], "/none: No such file or directory\n"),
    "report of no mail": (["doctor", "--report", "rc", "none"], "pyprocmail: none: No such file or directory\n"),
    "-o": (["doctor", "--report", "rc", "-o", "no/where"], "pyprocmail: no/where: No such file or directory\n"),
    "cut": (
        ["report", "-o", "pages", "cut.gz"],
        "pyprocmail report: cut.gz: Compressed file ended before the end-of-stream marker was reached\n",
    ),
    "database": (
        ["report", "-o", "broken", "plain"],
        "pyprocmail report: broken/.report.sqlite: file is not a database\n",
    ),
    "no answers": (["replay", "--canned", "none", "rc", "mail"], "pyprocmail: none: No such file or directory\n"),
    "answers": (
        ["replay", "--canned", "empty.toml", "rc", "mail"],
        'pyprocmail: empty.toml: each [[program]] has a line = "...", and a status or an output\n',
    ),
    "certificate": (
        ["gateway", "--listen=unix:x", "--next-hop=[::1]:9", "--user=daemon", "--rules=/rc", "--tls-cert=none"],
        "Error: none: No such file or directory\n",
    ),
}


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(errno.EACCES, "Permission denied", "a file"), "a file: Permission denied"),
        (OSError(errno.EACCES, "Permission denied", b"a\xff"), "a\udcff: Permission denied"),
        (OSError(errno.EACCES, "Permission denied"), "here: Permission denied"),
        (TimeoutError(), "here: TimeoutError"),
        (ValueError("one\n  two"), "one two"),
        (EOFError(), "EOFError"),
    ],
)
def test_an_error_in_one_line(error: Exception, shown: str) -> None:
    assert in_one_line(error, "here") == shown


@pytest.mark.parametrize("name", UNREADABLE)
def test_errors_of_the_system(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands show them in this form."""
    monkeypatch.chdir(tmp_path)
    Path("plain").write_text("x\n")
    Path("rc").write_text(":0:\nx\n")
    Path("mail").write_text("From: a@example.com\n\n")
    Path("empty.toml").write_text("[[program]]\n")
    Path("cut.gz").write_bytes(bytes.fromhex("1f8b0800"))
    Path("broken").mkdir()
    Path("broken/.report.sqlite").write_text("not one\n" * 999)
    argv, shown = UNREADABLE[name]
    done = CliRunner().invoke(cli, argv)
    assert done.exit_code not in (0, 1) or name == "links"
    assert done.stderr.endswith(shown), done.stderr
