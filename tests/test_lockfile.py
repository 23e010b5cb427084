"""lockfile between real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

LAUNCHER = (
    "import sys, os; from pyprocmail.commands.lockfile import main; sys.exit(main([os.fsencode(a) for a in sys.argv]))"
)
COMMAND = [sys.executable, "-c", LAUNCHER]
USAGE = "Usage: lockfile -v | -nnn | -r nnn | -l nnn | -s nnn | -! | -ml | -mu | file ...\n"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run lockfile in `folder`: status and messages."""
    command = [*COMMAND, *arguments]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "messages"),
    [
        (["a"], 0, ""),
        (["-!", "a"], 73, ""),
        (["-r0", "held"], 73, 'lockfile: Sorry, giving up on "held"\n'),
        (["-r0", "-!", "held"], 0, 'lockfile: Sorry, giving up on "held"\n'),
        (["-1", "-l1", "-s0", "-r0", "stale"], 0, 'lockfile: Forcing lock on "stale"\n'),
        (["-l", "-1", "-s0", "held"], 0, 'lockfile: Forcing lock on "held"\n'),
        (["no/folder"], 69, 'lockfile: Try praying, giving up on "no/folder"\n'),
        (["-r", "x"], 64, USAGE + USAGE),
        (["-rx"], 64, USAGE),
        (["-"], 64, USAGE),
        (["-", "a"], 0, ""),
    ],
)
def test_call(tmp_path: Path, arguments: list[str], status: int, messages: str) -> None:
    """Status and messages of one call."""
    (tmp_path / "held").touch()
    (tmp_path / "stale").write_bytes(b"x" * 100)
    os.utime(tmp_path / "stale", (0, 0))
    assert run(tmp_path, *arguments) == (status, messages)


def test_folder_in_the_place_of_a_lock_counts_as_held(tmp_path: Path) -> None:
    """The reference tries for ever."""
    (tmp_path / "folder").mkdir()
    denied = 'lockfile: Forced unlock denied on "folder"\n'
    sorry = 'lockfile: Sorry, giving up on "folder"\n'
    assert run(tmp_path, "-0", "-r1", "-l-1", "folder") == (73, denied + denied + sorry)


def test_failure_removes_what_the_call_made(tmp_path: Path) -> None:
    """All or nothing."""
    (tmp_path / "held").touch()
    assert run(tmp_path, "-r0", "a", "b", "held")[0] == 73
    assert [path.name for path in tmp_path.iterdir()] == ["held"]


def test_long_name_is_cut(tmp_path: Path) -> None:
    """One character at a time, with a message each."""
    status, messages = run(tmp_path, "x" * 257)
    assert status == 0
    assert messages.count("Truncating") == 2
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal(tmp_path: Path, signum: signal.Signals) -> None:
    """A signal while waiting removes the locks made."""
    (tmp_path / "held").touch()
    command = [*COMMAND, "made", "held"]
    waiting = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "made").exists():
        assert waiting.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)
    waiting.send_signal(signum)
    assert waiting.communicate()[1] == 'lockfile: Signal received, giving up on "held"\n'
    assert waiting.returncode == 75
    assert [path.name for path in tmp_path.iterdir()] == ["held"]


def test_one_at_a_time(tmp_path: Path) -> None:
    """Four processes count to twenty in a file that only one may change at a time."""
    (tmp_path / "n").write_text("0")
    launcher = f'"{sys.executable}" -c "$LAUNCHER"'
    script = (
        f"for i in 1 2 3 4 5; do {launcher} -0 n.lock; echo $(($(cat n) + 1)) >n.new; mv n.new n; rm -f n.lock; done"
    )
    environment = {**ENVIRONMENT, "LAUNCHER": LAUNCHER}
    workers = [subprocess.Popen(["sh", "-c", script], cwd=tmp_path, env=environment) for _ in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    assert (tmp_path / "n").read_text() == "20\n"
