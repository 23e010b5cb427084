"""Messages: an error of the system is `FILE: reason`, once, without numbers and quotes; an empty value is refused."""

import errno
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from test_manuals import SUBCOMMANDS

from pyprocmail.commands.cli import cli
from pyprocmail.commands.values import FilledOption
from pyprocmail.exits import in_one_line
from pyprocmail.tools import duplicate
from pyprocmail.tools.mime import options as mime
from pyprocmail.tools.vacation import options as vacation

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


MAY_BE_EMPTY = {"arguments", "sender"}
"""An argument of the rules, and an envelope sender."""


def with_a_value(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Option]]:
    """The options with a value of a command and of its subcommands."""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from with_a_value(found, (*words, name))
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.is_flag and not parameter.count:
            yield words, parameter


OPTIONS = list(with_a_value(cli, ()))


@pytest.mark.parametrize(
    ("words", "option"), OPTIONS, ids=[" ".join((*words, option.opts[0])) for words, option in OPTIONS]
)
def test_empty_values(words: tuple[str, ...], option: click.Option) -> None:
    """`--date ""` is a mistake in the call, and the message names the option; it is not a call without --date."""
    if option.name in MAY_BE_EMPTY:
        assert not isinstance(option, FilledOption)
        return
    done = CliRunner().invoke(cli, [*words, option.opts[0], ""])
    assert done.exit_code in (2, 64)
    assert f"Invalid value for '{option.opts[0]}'" in done.stderr or done.stderr.count(option.opts[0]) == 1


@pytest.mark.parametrize("command", [name for name in SUBCOMMANDS if SUBCOMMANDS[name].params], ids=str)
def test_empty_operands(command: str) -> None:
    """`links "$DIR"` without DIR does not write to the working directory, `replay rc ""` does not wait for input."""
    operands = [each for each in SUBCOMMANDS[command].params if isinstance(each, click.Argument)]
    if operands and operands[0].name != "arguments":
        for empty in range(len(operands)):
            words = ["" if number == empty else "x" for number in range(len(operands))]
            done = CliRunner().invoke(cli, [command, "--", *words])
            assert done.exit_code in (2, 64)
            assert "Invalid value for" in done.stderr or "Missing option" in done.stderr, done.stderr


@pytest.mark.parametrize(("command", "name"), [(command, name) for command in mime.TEXT for name in mime.TEXT[command]])
def test_empty_values_of_mime(command: bytes, name: bytes) -> None:
    """A note may be empty: the attachment goes without a word."""
    if name == b"note":
        assert mime.read(command, [b"--note", b""]).text(b"note", b"x") == b""
    else:
        with pytest.raises(mime.UsageError):
            mime.read(command, [b"--%b=" % name])


def test_empty_values_of_tools() -> None:
    """A file, an address, a number and a field's name; a handle may be empty."""
    for word in (b"--cache", b"--days", b"--header"):
        assert duplicate.parse_options([word, b""]) is None
    assert duplicate.parse_options([b"--handle", b""])
    for word in (b"--address", b"-a", b"--from", b"--cache", b"--days"):
        with pytest.raises(vacation.UsageError):
            vacation.parse_options([b"--text", b"x", word, b""])
