"""Exit statuses, locks and programs, run by run: when whoever called us may forget the mail, and when not.

One short run a claim; what the reference shows at length is in tests/conformance.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

MAIL = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n\n"
BIG = MAIL[:-1] + b"a line of the body\n" * 20_000 + b"\n"

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def procmail(launchers: Path, tmp_path: Path) -> Run:
    """Run an rcfile; DEFAULT is `inbox`."""

    def run(rcfile: str, mail: bytes = MAIL) -> subprocess.CompletedProcess[bytes]:
        head = f"MAILDIR={tmp_path}\nDEFAULT=inbox\nORGMAIL=inbox\nSHELL=/bin/sh\nLOCKSLEEP=1\nLOGABSTRACT=no\n"
        (tmp_path / "rc").write_text(head + rcfile)
        return call(launchers / "procmail", "-m", tmp_path / "rc", mail=mail, folder=tmp_path)

    return run


@pytest.fixture
def maildrop(launchers: Path, tmp_path: Path) -> Run:
    """Run a filter file; DEFAULT is `inbox`."""

    def run(rules: str, mail: bytes = MAIL) -> subprocess.CompletedProcess[bytes]:
        (tmp_path / "rules").write_text('DEFAULT="inbox"\nLOCKSLEEP=1\nSHELL="/bin/sh"\n' + rules)
        (tmp_path / "rules").chmod(0o600)
        return call(launchers / "maildrop", tmp_path / "rules", mail=mail, folder=tmp_path)

    return run


def call(*command: str | Path, mail: bytes, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a launcher."""
    return subprocess.run(command, input=mail, cwd=folder, capture_output=True, check=False, timeout=60)


def names(folder: Path) -> set[str]:
    """What is there, rules aside."""
    return {path.name for path in folder.iterdir()} - {"rc", "rules"}


# -- statuses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rcfile", "status", "stored"),
    [
        pytest.param(":0\nbox\n", 0, {"box"}, id="stored"),
        pytest.param("EXITCODE=69\n:0\nbox\n", 69, {"box"}, id="exitcode"),
        pytest.param("EXITCODE=69\nTRAP='exit 3;'\n:0\nbox\n", 69, {"box"}, id="exitcode before trap"),
        pytest.param("EXITCODE=\nTRAP='exit 3;'\n:0\nbox\n", 3, {"box"}, id="trap decides"),
        pytest.param("DEFAULT=/dev/full\nORGMAIL=/dev/full\n", 75, set(), id="disk full"),
        pytest.param("LOCKSLEEP=0\nDEFAULT=no/such\nORGMAIL=no/such\n", 73, set(), id="no folder"),
        # A program that is waited for and fails is no delivery, and one that is not there never is.
        pytest.param(":0 w\n| exit 1\n", 0, {"inbox"}, id="program fails"),
        pytest.param(":0 W\n| exit 1\n", 0, {"inbox"}, id="program fails, quiet"),
        pytest.param(":0\n| /no/such/program\n", 0, {"inbox"}, id="program missing"),
        pytest.param(
            "DEFAULT=/dev/full\nORGMAIL=/dev/full\n:0 w\n| exit 1\n", 75, set(), id="program fails, disk full"
        ),
        pytest.param(":0 w\n| kill -9 $$;\n", 0, {"inbox"}, id="program killed"),
        # The status of a clone that is waited for counts.
        pytest.param(
            ":0 cw\n{ EXITCODE=1\n HOST=done }\n:0 a\nsucceeded\n:0\nfailed\n", 0, {"failed"}, id="clone fails"
        ),
        pytest.param(":0 cw\n{\n:0\nbox\n}\n:0 a\nsucceeded\n", 0, {"box", "succeeded"}, id="clone succeeds"),
        # A filter that fails leaves the mail as it is.
        pytest.param(":0 fw\n| cat > /dev/null; exit 1\n:0\nbox\n", 0, {"box"}, id="filter fails"),
    ],
)
def test_statuses_of_procmail(procmail: Run, tmp_path: Path, rcfile: str, status: int, stored: set[str]) -> None:
    done = procmail(rcfile)
    assert (done.returncode, names(tmp_path)) == (status, stored), done.stderr
    for name in stored:
        assert (tmp_path / name).read_bytes() == MAIL


@pytest.mark.parametrize(
    ("rules", "status", "stored"),
    [
        pytest.param('to "box"\n', 0, {"box"}, id="stored"),
        pytest.param('EXITCODE=69\ncc "box"\nexit\n', 69, {"box"}, id="exitcode"),
        pytest.param('EXITCODE=69\nto "box"\n', 69, {"box"}, id="exitcode of to"),
        pytest.param('to "/dev/full"\n', 75, set(), id="disk full"),
        pytest.param('to "no/such"\n', 75, set(), id="no folder"),
        pytest.param('to "|exit 69"\n', 69, set(), id="program fails"),
        # As the reference: the status of a program that a signal killed is unknown.
        pytest.param('to "|kill -9 $$"\n', 255, set(), id="program killed"),
        pytest.param('xfilter "exit 1"\nto "box"\n', 75, set(), id="filter fails"),
        pytest.param('xfilter "cat > /dev/null; exit 1"\nto "box"\n', 75, set(), id="filter reads and fails"),
        pytest.param("if (/(((/)\n{\n", 75, set(), id="fault"),
    ],
)
def test_statuses_of_maildrop(maildrop: Run, tmp_path: Path, rules: str, status: int, stored: set[str]) -> None:
    done = maildrop(rules)
    assert names(tmp_path) == stored, done.stderr
    assert done.returncode == status, done.stderr


# -- locks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rcfile", "held"),
    [
        (":0:\nbox\n", "box.lock"),
        (":0:own.lck\nbox\n", "own.lck"),
        ("", "inbox.lock"),
        (":0 w:\n| cat >> box\n", "box.lock"),
        (":0 fw:own.lck\n| cat\n", "own.lck"),
        (":0:own.lck\n{ }\n", "own.lck"),
        ("LOCKFILE=global.lck\n", "global.lck"),
    ],
)
def test_procmail_waits_for_a_lock_and_gives_it_back(procmail: Run, tmp_path: Path, rcfile: str, held: str) -> None:
    """The lock is forgotten by its holder: it is forced when its time is over, and so was not passed over."""
    (tmp_path / held).write_text("0")
    os.utime(tmp_path / held, (1, 1))
    done = procmail(f"SUSPEND=0\nLOCKSLEEP=0\nVERBOSE=on\n{rcfile}")
    assert done.returncode == 0
    assert b'Forcing lock on "' + held.encode() + b'"' in done.stderr
    assert held not in names(tmp_path)
    assert names(tmp_path) <= {"box", "inbox"}
    (name,) = names(tmp_path)
    assert (tmp_path / name).read_bytes() == MAIL


@pytest.mark.parametrize("rules", ['to "box"\n', 'dotlock "box.lock" {\n to "|cat > box"\n}\n'])
def test_maildrop_waits_for_a_lock_and_gives_it_back(maildrop: Run, tmp_path: Path, rules: str) -> None:
    lock = tmp_path / "box.lock"
    lock.write_text("1")
    os.utime(lock, (1, 1))
    done = maildrop(f"LOCKTIMEOUT=1\n{rules}")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == {"box"}


def test_maildrop_writes_nothing_without_the_lock(maildrop: Run, tmp_path: Path) -> None:
    """Where the lock cannot be had, since its folder is not there: a new mbox has no kernel lock to do."""
    done = maildrop('LOCKEXT="/x/y"\nto "box"\n')
    assert (done.returncode, names(tmp_path)) == (75, set()), done.stderr


# -- programs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rcfile", [":0 w\n| cat > box\n", ":0 fw\n| cat\n:0\nbox\n", ":0 cw\n| cat > copy\n:0 w\n| cat copy > box\n"]
)
def test_a_program_of_procmail_gets_all_of_a_large_mail(procmail: Run, tmp_path: Path, rcfile: str) -> None:
    """A pipe takes less than a write gives it."""
    assert procmail(rcfile, BIG).returncode == 0
    assert (tmp_path / "box").read_bytes() == BIG


def test_a_program_of_maildrop_gets_all_of_a_large_mail(maildrop: Run, tmp_path: Path) -> None:
    assert maildrop('xfilter "cat"\nto "|cat > box"\n', BIG).returncode == 0
    assert (tmp_path / "box").read_bytes() == BIG


@pytest.mark.parametrize("action", ["| true", "| exec <&-; sleep 0.1"])
def test_a_program_that_does_not_read_is_no_delivery(procmail: Run, tmp_path: Path, action: str) -> None:
    assert procmail(f":0 w\n{action}\n", BIG).returncode == 0
    assert (tmp_path / "inbox").read_bytes() == BIG


def test_a_filter_of_maildrop_that_does_not_read_is_none(maildrop: Run, tmp_path: Path) -> None:
    assert maildrop('xfilter "true"\nto "box"\n', BIG).returncode == 75
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    "value", ["'x; touch bad'", "'x | touch bad'", "'`touch bad`'", "'x $(touch bad)'", "'x > bad'"]
)
def test_what_a_variable_holds_is_no_shell_text(procmail: Run, tmp_path: Path, value: str) -> None:
    """The text of the rcfile decides whether there is a shell, and what a variable holds is one of its words."""
    procmail(f"A={value}\n:0 w\n| echo $A\n")
    assert "bad" not in names(tmp_path)


def test_shellmetas_decide(procmail: Run, tmp_path: Path) -> None:
    procmail(":0 c\n| echo x > made\n")
    procmail("SHELLMETAS=%\n:0 c\n| echo x > not-made\n")
    assert "made" in names(tmp_path)
    assert "not-made" not in names(tmp_path)
