"""What the tests find when they start does not decide how they end."""

import signal
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

IGNORED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1,
    signal.SIGUSR2, signal.SIGTSTP,
)  # fmt: skip
TEST = "test_run.py::test_a_signal_leaves_the_mail_with_the_caller[1]"
"""Its program is ended by signals: one that it inherited as ignored would not end it."""

NOHUP = """\
import os, signal, sys
for number in {ignored}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {ignored})
os.execv(sys.executable, [sys.executable, "-P", "-m", "pytest", "-q", "-x", *sys.argv[1:]])
"""


def test_ignored_and_blocked_signals_are_reset(tmp_path: Path) -> None:
    """As under nohup(1) and in a shell's background."""
    script = tmp_path / "nohup.py"
    script.write_text(NOHUP.format(ignored=tuple(map(int, IGNORED))))
    command: list[str | Path] = [sys.executable, script, "-p", "no:cacheprovider", "-p", "no:xdist", TEST]
    done = subprocess.run(
        command, cwd=ROOT / "tests", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout
