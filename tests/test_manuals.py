"""The manual pages: sections, synopses and options agree with the programs, and their examples run."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
from conftest import ROOT

from pyprocmail.commands.cli import cli
from pyprocmail.commands.screens import SCREENS

PAGES = sorted(path for path in (ROOT / "man").iterdir() if path.suffix in (".1", ".8"))
LANGUAGES = sorted(path for path in (ROOT / "man").iterdir() if path.suffix in (".5", ".7"))
SECTIONS = (
    ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "PROGRAMS", "PROTOCOL", "SIGNALS", "REPLIES")
    + ("ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "DIAGNOSTICS", "SEE ALSO")
    + ("STANDARDS", "CAVEATS", "BUGS")
)
REQUIRED = ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "DIAGNOSTICS", "SEE ALSO")
WITHOUT_EXAMPLES = {"pyprocmail-language-server.1"}
"""An editor starts it; docs/EDITORS.md has the configuration of each."""

REPLAY = "The options of\n.Xr pyprocmail-replay 1\n"
_CONTEXT = click.Context(cli)
SUBCOMMANDS = {name: cli.get_command(_CONTEXT, name) or cli for name in cli.list_commands(_CONTEXT)}
COMMANDS = {
    name: page
    for name, command in SUBCOMMANDS.items()
    for page in PAGES
    if page.stem == f"pyprocmail-{name}" and command.params and name.encode() not in SCREENS
}
IN_OTHER_PAGES = {
    "deliver": "pyprocmail-lmtp.8",
    "links": "pyprocmail.1",
    "maillog": "pyprocmail-milter.8",
    "spool": "pyprocmail-milter.8",
}
SCREEN_PAGES = {
    name: page for name in SCREENS for page in PAGES if page.stem.removeprefix("pyprocmail-") == name.decode()
}

PARSED = {"lmtp", "gateway", "milter", "doctor", "report"}
"""Servers, and commands about the machine: their examples are read by the option parser and not run."""
OURS = {"pyprocmail", "procmail", *(name.decode() for name in SCREENS)}
RULES = re.compile(r"(?m)^(?::0|cc |logfile )")
LIST = "From alice@example.com Fri Jan  2 10:00:00 2026\nFrom: alice@example.com\nTo: me@example.com\n"
MAIL = f"{LIST}Message-ID: <1@example.com>\nSubject: hello\n\nhello\n\n"
FILES = {
    "message.eml": MAIL.split("\n", 1)[1],
    "inbox.mbox": MAIL * 2,
    "mailbox": MAIL,
    "old-mailbox": MAIL,
    "Mail/inbox": MAIL,
    "rules.rc": "DEFAULT=$FOLDERS/inbox\n",
    "tests.toml": 'rcfile = "new.rc"\n[[test]]\nname = "a"\nmail = "Subject: x"\nfolder = "new"\n',
    "baseline": "[]",
    "aliases.txt": "alice\tbob\n",
} | dict.fromkeys((".procmailrc", "old.rc", "new.rc"), "MAILDIR=$HOME\n:0:\nnew\n")
FILES |= dict.fromkeys(("letter.txt", "picture.png", "away.txt", "procmail.log"), "text\n")


def section(page: Path, name: str) -> str:
    """The text of a section, empty if there is none."""
    found = re.search(rf"(?ms)^\.Sh {name}\n(.*?)(?=^\.Sh |\Z)", page.read_text())
    return found[1] if found else ""


def plain(text: str) -> str:
    """Text without the escapes of mdoc."""
    for escape, character in ((r"\(dq", '"'), (r"\(aq", "'"), (r"\&", ""), (r"\\", "\\"), (r"\e", "\\")):
        text = text.replace(escape, character)
    return text


def documented(page: Path) -> set[str]:
    """The options that have an item or a command's line in the page."""
    found = set()
    for line in re.findall(r"(?m)^\.It (.*\bFl .*)$", page.read_text()):
        found |= {f"-{name}" for name in re.findall(r"(?:Fl |\| (?=-)|, (?!Fl |Ar ))(-?[A-Za-z][\w-]*)", line)}
    return found


def named(synopsis: str) -> set[str]:
    """The options of a synopsis, letters that are bundled each by itself."""
    return {f"-{name}" for name in re.findall(r"(?:Fl |\| (?=-))(-?[A-Za-z][\w-]*)", synopsis)}


def options(name: str) -> dict[str, set[str]]:
    """The spellings of each option of a subcommand."""
    return {
        parameter.name or "": {*parameter.opts, *parameter.secondary_opts}
        for parameter in SUBCOMMANDS[name].params
        if isinstance(parameter, click.Option) and not parameter.hidden
    }


def of_companions(page: Path) -> set[str]:
    """The options of other subcommands that this page documents; --all is a word of `spool retry`."""
    companions = [name for name, at in IN_OTHER_PAGES.items() if at == page.name]
    spellings = {spelling for name in companions for each in options(name).values() for spelling in each}
    return spellings | ({"--all"} if "spool" in companions else set())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sections_of_a_program(page: Path) -> None:
    """Those that each page has, in the order of mdoc(7)."""
    found = re.findall(r"(?m)^\.Sh (.*)$", page.read_text())
    assert found == [name for name in SECTIONS if name in found]
    assert set(REQUIRED) - set(found) <= ({"EXAMPLES"} if page.name in WITHOUT_EXAMPLES else set())


@pytest.mark.parametrize("page", LANGUAGES, ids=lambda page: page.name)
def test_sections_of_a_language(page: Path) -> None:
    found = re.findall(r"(?m)^\.Sh (.*)$", page.read_text())
    assert found[0] == "NAME"
    assert "SEE ALSO" in found


@pytest.mark.parametrize("name", COMMANDS)
def test_synopsis_is_that_of_help(name: str) -> None:
    """It has the operands of --help, and its options, each unless it says `options`."""
    synopsis = section(COMMANDS[name], "SYNOPSIS")
    known = options(name)
    spellings = {spelling for each in known.values() for spelling in each}
    assert named(synopsis) <= spellings | of_companions(COMMANDS[name])
    if "Ar options" not in synopsis:
        assert [each for each in known.values() if not each & named(synopsis)] == []
    command = SUBCOMMANDS[name]
    pieces = command.collect_usage_pieces(click.Context(command))
    operands = {word.lower() for piece in pieces[1:] for word in re.findall(r"[A-Z]+", piece)}
    assert operands <= set(re.findall(r"[a-z]+", synopsis))


@pytest.mark.parametrize("name", SCREEN_PAGES, ids=bytes.decode)
def test_synopsis_of_a_program(name: bytes) -> None:
    """Each option of the usage lines is in the synopsis."""
    usage = SCREENS[name].decode().split("\n\n")[0]
    letters = set(re.findall(r"(?<![\w-])-([A-Za-z])\b", usage))
    assert letters <= set("".join(re.findall(r"(?:(?<=Fl )|(?<=\| ))[\w-]+", section(SCREEN_PAGES[name], "SYNOPSIS"))))


@pytest.mark.parametrize("name", [*COMMANDS, *IN_OTHER_PAGES])
def test_options_are_documented(name: str) -> None:
    """Every option of the program, and no other; the options of replay may be documented in its page only."""
    page = COMMANDS.get(name) or ROOT / "man" / IN_OTHER_PAGES[name]
    known = {spelling for each in options(name).values() for spelling in each}
    shared = documented(COMMANDS["replay"]) if REPLAY in section(page, "OPTIONS") else set()
    assert known <= documented(page) | shared | {"--stdio"}
    if name in COMMANDS:
        assert documented(page) <= known | of_companions(page)


@pytest.mark.parametrize("name", SCREEN_PAGES, ids=bytes.decode)
def test_long_options_of_a_program(name: bytes) -> None:
    """Those of its screen; test_prompt.py compares the options of one letter."""
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", SCREENS[name].decode().split("\n\n", 1)[1]))
    assert shown - {"--feedback-"} <= documented(SCREEN_PAGES[name]) | {"--mbox", "--single", "--sync-each"}


def examples(page: Path) -> list[str]:
    """The displays of EXAMPLES, without escapes."""
    found = re.findall(r"(?ms)^\.Bd -literal[^\n]*\n(.*?)^\.Ed$|^\.Dl ([^\n]*)$", section(page, "EXAMPLES"))
    return [plain(block or line) for block, line in found]


@pytest.mark.parametrize(
    "page",
    [page for page in (*PAGES, ROOT / "man" / "pyprocmail-json.5") if examples(page)],
    ids=lambda page: page.name,
)
def test_examples(launchers: Path, tmp_path: Path, page: Path) -> None:
    """Commands are run (or parsed, see PARSED), rules are checked; the rest is other programs' configuration."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "procmail").write_text("#!/bin/sh\ncat > /dev/null\n")
    (tmp_path / "bin" / "procmail").chmod(0o755)
    path = f"{tmp_path / 'bin'}:{launchers}:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"HOME": str(tmp_path), "LOGNAME": "me", "PATH": path, "TMPDIR": str(tmp_path)}

    def run(script: str) -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            cwd=tmp_path,
            env=environment,
            input=MAIL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1) or "no gdbm library" in done.stderr, (script, done)
        assert "Traceback" not in done.stderr
        assert "Usage:" not in done.stderr

    for example in examples(page):
        if RULES.search(example):
            language = "maildrop" if "maildrop" in example or example.startswith(("cc", "logfile")) else "procmail"
            (tmp_path / "rules").write_text(example)
            run(f"pyprocmail check --language {language} --select P1,M1 --output-format concise rules")
            continue
        for line in example.replace("\\\n", " ").splitlines():
            words = line.removeprefix("# ").removeprefix("$ ").split(" ")
            if words[0] not in OURS or line.startswith("mailbox"):
                continue
            command = " ".join(words).split(" | jq ")[0]
            if words[0] == "pyprocmail" and words[1] in PARSED:
                SUBCOMMANDS[words[1]].make_context(words[1], shlex.split(command)[2:])
            else:
                (tmp_path / "sorted").mkdir(exist_ok=True)
                run(command.replace("/tmp/", f"{shlex.quote(str(tmp_path))}/"))
