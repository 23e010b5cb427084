"""What a newcomer types: help, commands with a slip in them, launchers, completion, manual pages."""

import os
import pty
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from conftest import ROOT

from pyprocmail.commands.links import NAMES
from pyprocmail.commands.main import PROGRAMS
from pyprocmail.commands.screens import SCREENS

NEITHER = "is not a command, and there is no rcfile of that name"
MAIL = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n"


def at_terminal(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program with a terminal as its standard input, on which nobody types."""
    leader, follower = pty.openpty()
    try:
        return subprocess.run(
            [program, *arguments], stdin=follower, capture_output=True, text=True, check=False, timeout=60
        )
    finally:
        os.close(leader)
        os.close(follower)


@pytest.mark.parametrize("arguments", [(), ("help",), ("-h",), ("-?",), ("--help",)], ids=str)
def test_help(launchers: Path, arguments: tuple[str, ...]) -> None:
    done = at_terminal(launchers / "pyprocmail", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: pyprocmail")
    assert all(f"  {command} " in done.stdout for command in ("links", "completion", "formail", "maildrop"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("linsk",), f"'linsk' {NEITHER}: do you mean `pyprocmail links'?"),
        (("formial", "-x"), f"'formial' {NEITHER}: do you mean `pyprocmail formail'?"),
        (("qqqqq",), f"'qqqqq' {NEITHER}: see `pyprocmail --help'"),
        (("--versoin",), "'--versoin' is not an option: do you mean `pyprocmail --version'?"),
    ],
)  # fmt: skip
def test_a_slip(launchers: Path, arguments: tuple[str, ...], said: str) -> None:
    done = at_terminal(launchers / "pyprocmail", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (64, "", f"pyprocmail: {said}\n")


def test_from_a_pipe_a_word_is_an_rcfile(launchers: Path, tmp_path: Path) -> None:
    """As with procmail, the mail is delivered even if there is no such rcfile."""
    command: list[str | Path] = [
        launchers / "pyprocmail",
        f"DEFAULT={tmp_path}/inbox",
        f"ORGMAIL={tmp_path}/inbox",
        "linsk",
    ]
    assert subprocess.run(command, input=MAIL, capture_output=True, check=False).returncode == 0
    assert b"Subject: one" in (tmp_path / "inbox").read_bytes()


@pytest.mark.parametrize(
    ("words", "unknown"), [(["--help"], "help"), (["-p--mbox"], "-mbox"), (["-p-q"], "q"), (["--"], ""), (["-p-"], "")]
)
def test_a_long_option_is_none_of_procmails(launchers: Path, tmp_path: Path, words: list[str], unknown: str) -> None:
    """As procmail does, the usage is shown and the mail delivered; a dash at the end of a word ends the options."""
    folders = [f"DEFAULT={tmp_path}/inbox", f"ORGMAIL={tmp_path}/inbox"]
    command: list[str | Path] = [launchers / "procmail", *words, *folders, "/dev/null"]
    done = subprocess.run(command, input=MAIL, capture_output=True, check=False)
    said = done.stderr.decode()
    assert said.startswith(f'procmail: Unrecognised options: "{unknown}"\nUsage: procmail ' if unknown else "")
    assert bool(said) == bool(unknown)
    assert (tmp_path / "inbox").read_bytes() == MAIL + b"\n"


def test_a_dash_at_the_end_of_a_word_ends_the_options(launchers: Path, tmp_path: Path) -> None:
    folders = [f"DEFAULT={tmp_path}/inbox", f"ORGMAIL={tmp_path}/inbox"]
    command: list[str | Path] = [launchers / "procmail", "-p-", "-Q", *folders]
    done = subprocess.run(command, input=MAIL, capture_output=True, check=False)
    assert b"Couldn't read" in done.stderr
    assert b"Unrecognised" not in done.stderr


@pytest.mark.parametrize(("workers", "status"), [("256", 0), ("257", 64)])
def test_as_many_workers_as_the_manual_says(launchers: Path, tmp_path: Path, workers: str, status: int) -> None:
    (tmp_path / "rc").write_text(f"DEFAULT={tmp_path}/inbox\n")
    command: list[str | Path] = [launchers / "pyprocmail", "-j", workers, "-m", tmp_path / "rc"]
    done = subprocess.run(command, input=MAIL, capture_output=True, check=False)
    assert done.returncode == status
    assert (b"1 to 256, not '257'" in done.stderr) == bool(status)


def documented(name: str) -> set[str]:
    """The options of one letter in the manual page."""
    found = set()
    (page,) = (ROOT / "man").glob(f"{name}.[18]")
    for line in re.findall(r"(?m)^\.It Fl (.*)$", page.read_text()):
        found |= {f"-{flag}" for flag in re.findall(r"(?:^|Fl |, )([a-zA-Z!])(?![a-zA-Z-])", line)}
    return found


@pytest.mark.parametrize("name", PROGRAMS, ids=bytes.decode)
def test_each_program_has_a_screen(launchers: Path, name: bytes) -> None:
    """It has the options of its manual page, each in one line, and fits a terminal."""
    done = at_terminal(launchers / "pyprocmail", name.decode(), "--help")
    assert (done.returncode, done.stdout, done.stderr) == (0, SCREENS[name].decode(), "")
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    shown = set(re.findall(r"(?m)^  (-[a-zA-Z!])(?=[ ,\[])", done.stdout))
    shown |= set(re.findall(r"(?m)^  -[a-zA-Z!], (-[a-zA-Z])(?= )", done.stdout))
    assert shown == documented(name.decode())
    assert at_terminal(launchers / "pyprocmail", name.decode(), "--version").stdout.startswith("pyprocmail, ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(launchers: Path, shell: str) -> None:
    """The script is one that the shell can read, and the program answers it."""
    done = subprocess.run([launchers / "pyprocmail", "completion", shell], capture_output=True, text=True, check=True)
    assert "_PYPROCMAIL_COMPLETE" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)
    assert completed(launchers, "pyprocmail for") == "plain,formail\n"


def completed(launchers: Path, words: str) -> str:
    """What the program answers to bash for the last of the words."""
    environment = {
        **os.environ,
        "_PYPROCMAIL_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run([launchers / "pyprocmail"], env=environment, capture_output=True, text=True, check=False)
    return done.stdout


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("pyprocmail -m rules", "file,rules\n"),
        ("pyprocmail --mb", "plain,--mbox\n"),
        ("pyprocmail --s", "plain,--single\nplain,--sync-each\n"),
        ("pyprocmail maildrop my", "file,my\n"),
        ("pyprocmail check --expl", "plain,--explain\n"),
    ],
)
def test_rcfiles_and_our_options_are_completed(launchers: Path, words: str, answer: str) -> None:
    assert completed(launchers, words) == answer


def test_launchers_come_and_go(launchers: Path, tmp_path: Path) -> None:
    """Only what is ours is replaced or removed."""
    links: list[str | Path] = [launchers / "pyprocmail", "links"]
    subprocess.run([*links, tmp_path], check=True, capture_output=True)
    subprocess.run([*links, tmp_path], check=True, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
    foreign = tmp_path / "procmail"
    foreign.write_text("#!/bin/sh\necho somebody else's\n")
    (tmp_path / "formail").unlink()
    refused = subprocess.run([*links, tmp_path], check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    assert (
        f"{foreign} exists, and pyprocmail did not write it: nothing was changed; --force replaces it" in refused.stderr
    )
    assert not (tmp_path / "formail").exists()
    subprocess.run([*links, "--uninstall", tmp_path], check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["procmail"]
    subprocess.run([*links, "--force", tmp_path], check=True, capture_output=True)
    assert b"somebody" not in foreign.read_bytes()


def environment_in(folder: Path) -> Path:
    """The interpreter of a virtual environment in `folder`, which imports what this one does."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    return folder / "bin" / "python3"


def links_by(interpreter: Path, *arguments: str | Path, path: str = os.defpath) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'pyprocmail'; from pyprocmail.commands.main import main; main()"
    command: list[str | Path] = [interpreter, "-P", "-c", code, "links", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path})


@pytest.mark.skipif(os.getuid() != 0, reason="only root writes launchers for others")
def test_an_installation_that_only_root_can_run_is_pointed_out(tmp_path: Path) -> None:
    """A mail server returns the mail when a program cannot be started (126)."""
    interpreter = environment_in(tmp_path / "shut")
    tmp_path.chmod(0o700)
    done = links_by(interpreter, tmp_path / "bin", path=f"{tmp_path}/bin:{os.defpath}")
    assert done.returncode == 0
    (line,) = [line for line in done.stderr.splitlines() if "only root" in line]
    found = re.match(r"warning: only root can run these: other users may not enter ([^;]*); ", line)
    assert found
    assert Path(found[1]) in (tmp_path, *tmp_path.parents)


@pytest.mark.parametrize("path", ["/usr/bin:/bin", "/usr/bin:{folder}", "{folder}:/usr/bin"])
def test_a_folder_that_the_path_does_not_lead_to_is_pointed_out(tmp_path: Path, path: str) -> None:
    """Nothing else tells why the old program still runs."""
    folder, before = tmp_path / "bin", tmp_path / "before"
    before.mkdir()
    (before / "procmail").write_text("#!/bin/sh\n")
    (before / "procmail").chmod(0o755)
    done = links_by(Path(sys.executable), folder, path=path.format(folder=folder).replace("/usr/bin", str(before)))
    noted = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    expected = {
        "/usr/bin:/bin": [f"note: {folder} is not in the PATH"],
        "/usr/bin:{folder}": [f"note: {before}/procmail comes first in the PATH"],
    }
    assert noted == expected.get(path, [])


def test_manual_pages_come_and_go(launchers: Path, tmp_path: Path) -> None:
    """As with launchers, only what is ours is replaced or removed."""
    links: list[str | Path] = [launchers / "pyprocmail", "links", "--man"]
    foreign = tmp_path / "man1" / "formail.1"
    foreign.parent.mkdir()
    foreign.write_text("somebody else's\n")
    refused = subprocess.run([*links, tmp_path], check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    assert (
        f"{foreign} exists, and pyprocmail did not write it: nothing was changed; --force replaces it" in refused.stderr
    )
    assert [path.name for path in tmp_path.glob("man*/*")] == ["formail.1"]
    subprocess.run([*links, "--uninstall", tmp_path], check=True, capture_output=True)
    assert foreign.read_text() == "somebody else's\n"
    subprocess.run([*links, "--force", tmp_path], check=True, capture_output=True)
    subprocess.run([*links, tmp_path], check=True, capture_output=True)
    other = tmp_path / "man1" / "other.1"
    other.write_text("of another program\n")
    removed = subprocess.run([*links, "--uninstall", tmp_path], check=True, capture_output=True, text=True)
    assert len(removed.stdout.splitlines()) == len(list((ROOT / "man").iterdir()))
    assert list(tmp_path.glob("man*/*")) == [other]


def test_each_manual_page_says_whose_it_is() -> None:
    """`links --man` knows our pages by that."""
    assert [page.name for page in (ROOT / "man").iterdir() if "pyprocmail" not in page.read_text()] == []


def test_manual_pages_can_be_written(launchers: Path, tmp_path: Path) -> None:
    subprocess.run([launchers / "pyprocmail", "links", "--man", tmp_path], check=True, capture_output=True)
    assert (tmp_path / "man1" / "formail.1").read_bytes() == (ROOT / "man" / "formail.1").read_bytes()
    assert {path.name for path in tmp_path.glob("man*/*")} == {path.name for path in (ROOT / "man").iterdir()}


def test_a_folder_that_cannot_be_written(launchers: Path) -> None:
    done = subprocess.run(
        [launchers / "pyprocmail", "links", "/proc/none"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: cannot write launchers: ")
