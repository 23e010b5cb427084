"""`formail -s procmail` with both programs ours: forks do what processes of their own do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

MAILBOX = (ROOT / "examples" / "inbox.mbox").read_bytes()
THREE = b"".join(b"From a@b Thu Jan  1 00:00:00 2026\nSubject: %d\n\nbody\n\n" % number for number in range(3))
RCFILE = """\
MAILDIR={folder}
DEFAULT=inbox
LOGFILE=log
LOG="$0 $FILENO $1 $GREETING $PATH
"
:0
* ^Subject:.*re:
replies
"""


@pytest.fixture
def apart(launchers: Path, tmp_path: Path) -> Path:
    """The same launchers, but a formail that is not like the others, and so starts processes."""
    folder = tmp_path / "apart"
    shutil.copytree(launchers, folder)
    for name in ("formail", "reformail"):
        path = folder / name
        path.write_text(path.read_text() + "# another\n")
    return folder


def run(bin_folder: Path, cwd: Path, *command: str, mail: bytes = THREE) -> "subprocess.CompletedProcess[bytes]":
    environment = {"PATH": f"{bin_folder}:{os.defpath}", "GREETING": "hello"}
    path = shutil.which(command[0], path=environment["PATH"])
    assert path
    return subprocess.run(
        [path, *command[1:]], input=mail, env=environment, cwd=cwd, capture_output=True, check=False, timeout=120
    )


@pytest.mark.slow
def test_forks_do_what_processes_do(launchers: Path, apart: Path, tmp_path: Path) -> None:
    """Folders, log, environment, arguments."""
    found = []
    for number, programs in enumerate((launchers, apart)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "rc").write_text(RCFILE.format(folder=folder))
        run(programs, folder, "formail", "-s", "procmail", "-p", "-m", "rc", "argument", mail=MAILBOX)
        text = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "rc"}
        place = bytes(programs), bytes(folder)
        found.append({name: data.replace(place[0], b"").replace(place[1], b"") for name, data in text.items()})
    assert found[0] == found[1]
    assert b"/procmail 007 argument hello " in found[0]["log"]


@pytest.mark.parametrize("together", [True, False])
def test_the_status_of_a_fork_counts(launchers: Path, apart: Path, tmp_path: Path, together: bool) -> None:
    (tmp_path / "rc").write_text("DEFAULT=/dev/null\n:0\n* ^Subject: 1\n{ EXITCODE=9 }\n")
    assert run(launchers if together else apart, tmp_path, "formail", "-s", "procmail", "-m", "./rc").returncode == 9


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["-n9", "-n2"])
def test_forks_side_by_side(launchers: Path, tmp_path: Path, parallel: str) -> None:
    (tmp_path / "rc").write_text(f"DEFAULT={tmp_path}/inbox/\n")
    assert run(launchers, tmp_path, "formail", parallel, "-s", "procmail", "-m", "./rc", mail=MAILBOX).returncode == 0
    assert len(list((tmp_path / "inbox" / "new").iterdir())) == 200


def test_standard_output_and_errors_are_those_of_formail(launchers: Path, tmp_path: Path) -> None:
    done = run(launchers, tmp_path, "formail", "-s", "formail", "-zxSubject:")
    assert done.stdout == b"0\n1\n2\n"
    done = run(launchers, tmp_path, "formail", "-s", "formail", "-Q")
    assert done.returncode == 64
    assert done.stderr.count(b"Usage") == 3


def test_another_program_of_that_name_is_started(launchers: Path, tmp_path: Path) -> None:
    other = tmp_path / "bin"
    other.mkdir()
    (other / "procmail").write_text("#!/bin/sh\ncat > /dev/null; echo other\n")
    (other / "procmail").chmod(0o755)
    path = f"{other}:{os.defpath}"
    done = subprocess.run(
        [launchers / "formail", "-s", "procmail"], input=THREE, env={"PATH": path}, capture_output=True, check=True
    )
    assert done.stdout == b"other\n" * 3


@pytest.mark.slow
def test_reformail_and_maildrop(launchers: Path, apart: Path, tmp_path: Path) -> None:
    for number, programs in enumerate((launchers, apart)):
        (tmp_path / f"mf{number}").write_text(f'to "{tmp_path}/mbox{number}"\n')
        (tmp_path / f"mf{number}").chmod(0o600)
        assert run(programs, tmp_path, "reformail", "-s", "maildrop", f"mf{number}", mail=MAILBOX).returncode == 0
    # The first line of each mail says when it was delivered.
    lines = [(tmp_path / f"mbox{number}").read_bytes().split(b"\n") for number in range(2)]
    kept = [[line for line in one if not line.startswith(b"From ")] for one in lines]
    assert kept[0] == kept[1]
    assert len(lines[0]) - len(kept[0]) == 200
