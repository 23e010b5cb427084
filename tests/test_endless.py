"""Files and programs without end: what is read is bounded, nobody waits for a pipe, and a line says why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAIL = b"From: a@b\nMessage-ID: <1@x>\n\nx\n"
LIMIT_S = 60
ENDLESS = b"More than "
POSTMARK = b"From a@b Thu Jan  1 00:00:00 2026\n"


def run(program: Path, *words: object, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a program under 1 GB of address space; it has to end without a traceback."""
    command = ["/bin/sh", "-c", 'ulimit -v 1000000; exec "$@"', "sh", str(program), *(str(word) for word in words)]
    done = subprocess.run(command, input=MAIL, capture_output=True, timeout=LIMIT_S, check=False, cwd=cwd)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


@pytest.fixture(params=["device", "sparse", "pipe"])
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """/dev/zero, a file of 100 GB without blocks, a named pipe that nobody writes to."""
    if request.param == "device":
        return Path("/dev/zero")
    path = tmp_path / "endless"
    if request.param == "pipe":
        os.mkfifo(path)
    else:
        path.touch()
        os.truncate(path, 100 << 30)
    return path


def written(path: Path, text: str) -> Path:
    """A file that only its owner may change."""
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_rcfiles(launchers: Path, tmp_path: Path, endless: Path) -> None:
    """INCLUDERC goes on with the next line; -m with such an rcfile keeps the mail with the caller."""
    rc = written(tmp_path / "rc", f"INCLUDERC={endless}\n:0\n{tmp_path}/mbox\n")
    done = run(launchers / "procmail", "-m", rc, cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "mbox").exists()
    assert endless.is_fifo() or ENDLESS in done.stderr
    assert run(launchers / "procmail", "-m", endless, cwd=tmp_path).returncode in (73, 75)


@pytest.mark.parametrize("line", ['include "{}"', 'if (lookup("x", "{}"))\n{{\n}}', 'if (gdbmopen("{}"))\n{{\n}}'])
def test_filter_files(launchers: Path, tmp_path: Path, endless: Path, line: str) -> None:
    """Delivered, or kept with a line."""
    text = f'{line.format(endless)}\nto "{tmp_path}/mbox"\n'
    done = run(launchers / "maildrop", written(tmp_path / "filter", text), cwd=tmp_path)
    assert done.returncode == 0 or (done.returncode == 75 and ENDLESS in done.stderr)


@pytest.mark.parametrize("words", ["formail -D 100", "reformail -D 100", "mailbot -t", "mailstat -k"])
def test_tools(launchers: Path, tmp_path: Path, words: str) -> None:
    """They end, and not with success after a device was read as far as memory goes."""
    program, *rest = words.split()
    more = ["cat"] if program == "mailbot" else []
    assert run(launchers / program, *rest, "/dev/zero", *more, cwd=tmp_path).returncode != 0


def test_rules_that_are_tried(launchers: Path, tmp_path: Path, endless: Path) -> None:
    """Files of tests and tables of answers are 64."""
    rc = written(tmp_path / "rc", "DEFAULT=x\n")
    for words in (["test", endless], ["replay", "--canned", endless, rc]):
        done = run(launchers / "pyprocmail", *words, cwd=tmp_path)
        assert done.returncode == 64 or (endless.is_fifo() and done.returncode == 0)


def test_a_pipe_is_waited_for(launchers: Path, tmp_path: Path) -> None:
    """An rcfile may come from a shell's <(...), whose program takes its time."""
    command = f'{launchers}/procmail -m <(sleep 0.3; printf ":0\\n{tmp_path}/mbox\\n")'
    assert subprocess.run(["bash", "-c", command], input=MAIL, timeout=LIMIT_S, check=False).returncode == 0
    assert (tmp_path / "mbox").exists()


SMALL = """
import os, sys
from pyprocmail.commands import main
from pyprocmail.host import Host
Host.largest_mail = lambda self: 1 << 20
del sys.argv[0]
os._exit(main._safely(b"program", lambda: main.run([os.fsencode(word) for word in sys.argv])))
"""


@pytest.mark.parametrize(
    ("argv", "beginning", "status"),
    [
        (["formail", "-I", "X: y"], b"Subject: ", 75),
        (["formail", "-s", "cat"], b"", 75),
        (["formail", "-ds", "cat"], b"\n", 75),
        (["reformail", "-a", "X: y"], b"", 75),
        (["procmail", "-m", "rc"], b"", 75),
        (
            ["pyprocmail", "--mbox", "-m", "rc"],
            POSTMARK + b"\nx\n\n" + POSTMARK,
            75,
        ),
        (["maildrop", "rc"], b"", 75),
        (["pyprocmail", "replay", "rc"], b"", 64),
        (["pyprocmail", "replay", "rc", "/dev/zero"], b"", 64),
        (["pyprocmail", "coverage", "--log", "/dev/zero", "rc"], b"", 64),
        (["pyprocmail", "explain", "rc"], POSTMARK + b"\nx\n\n" + POSTMARK, 64),
    ],
)
def test_a_mail_without_end(tmp_path: Path, argv: list[str], beginning: bytes, status: int) -> None:
    """One line says so, and the caller keeps it; what came before is delivered."""
    written(tmp_path / "rc", f"DEFAULT={tmp_path}/mbox\n")
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            '(printf "%s" "$0"; cat /dev/zero) | "$@"',
            beginning,
            sys.executable,
            "-I",
            "-c",
            SMALL,
            *argv,
        ],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == status, done.stderr
    assert done.stderr.count(b"\n") == 1, done.stderr
    assert b"more than 1048576 bytes" in done.stderr.replace(b",", b"")
    if "--mbox" in argv:
        assert (tmp_path / "mbox").read_bytes().count(b"From a@b") == 1
