"""Dotlocks: two real processes, and a Host whose clock need not be waited for."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyprocmail.delivery import system_mailbox
from pyprocmail.delivery.locks import LockHeldError, LockRefusedError, dotlock
from pyprocmail.host import Host, User


class PatientHost(Host):
    """Sleeps are written down instead of slept; `on_sleep` happens then."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []
        self.remove_on_sleep: Path | None = None

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.remove_on_sleep is not None:
            self.remove_on_sleep.unlink()
            self.remove_on_sleep = None


class Notes:
    def __init__(self) -> None:
        self.kinds: list[str] = []

    def __call__(self, kind: str, *texts: bytes) -> None:
        self.kinds.append(kind)


def old_file(path: Path, text: str = "0") -> None:
    path.write_text(text)
    os.utime(path, (time.time() - 3600,) * 2)


def test_taken_and_released(tmp_path: Path) -> None:
    notes = Notes()
    lock = dotlock(Host(), bytes(tmp_path / "x.lock"), note=notes)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("x.lock", b"0")]
    assert lock.release()
    assert list(tmp_path.iterdir()) == []
    assert not lock.release()
    assert notes.kinds == ["locking"]


def test_waits_for_a_held_lock(tmp_path: Path) -> None:
    path, host, notes = tmp_path / "x.lock", PatientHost(), Notes()
    path.write_text("0")
    host.remove_on_sleep = path
    dotlock(host, bytes(path), sleep_s=3, note=notes)
    assert (host.slept, notes.kinds) == ([3], ["locking", "locking"])
    assert [file.name for file in tmp_path.iterdir()] == ["x.lock"]


def test_stale_lock_is_forced(tmp_path: Path) -> None:
    path, host, notes = tmp_path / "x.lock", PatientHost(), Notes()
    old_file(path, "0123456789abcdef")
    dotlock(host, bytes(path), suspend_s=5, note=notes)
    assert (host.slept, notes.kinds) == ([5], ["locking", "forcing-lock", "locking"])


@pytest.mark.parametrize(("text", "stale_s"), [("0123456789abcdef!", 1), ("0", 0), ("0", 7200)])
def test_not_stale(tmp_path: Path, text: str, stale_s: int) -> None:
    """Too large to be a lock, never stale, not old enough."""
    path, host, notes = tmp_path / "x.lock", PatientHost(), Notes()
    old_file(path, text)
    host.remove_on_sleep = path
    dotlock(host, bytes(path), stale_s=stale_s, note=notes)
    assert notes.kinds == ["locking", "locking"]


def test_stale_lock_that_stays(tmp_path: Path) -> None:
    class Refusing(PatientHost):
        def unlink(self, path: bytes) -> None:  # type: ignore[override]  # static in Host
            if path.endswith(b"x.lock"):
                raise PermissionError(errno.EPERM, "no")
            os.unlink(path)

    old_file(tmp_path / "x.lock")
    notes = Notes()
    with pytest.raises(LockHeldError):
        dotlock(Refusing(), bytes(tmp_path / "x.lock"), note=notes)
    assert notes.kinds == ["locking", "forced-unlock-denied"] * 2 + ["lock-failure"]
    assert [file.name for file in tmp_path.iterdir()] == ["x.lock"]


def test_missing_folder_is_tried_eight_times(tmp_path: Path) -> None:
    host, notes = PatientHost(), Notes()
    with pytest.raises(FileNotFoundError):
        dotlock(host, bytes(tmp_path / "no" / "x.lock"), sleep_s=2, note=notes)
    assert notes.kinds == ["locking", "error-writing-temporary"] * 8 + ["lock-failure"]
    assert host.slept == [2] * 7


def test_name_too_long_is_cut(tmp_path: Path) -> None:
    notes = Notes()
    lock = dotlock(Host(), bytes(tmp_path / ("x" * 257)), note=notes)
    assert lock.path == bytes(tmp_path / ("x" * 255))
    assert notes.kinds == ["locking", "truncating-lock-name"] * 2 + ["locking"]


@pytest.mark.parametrize("error", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_refused_at_once(tmp_path: Path, error: int) -> None:
    class ReadOnly(PatientHost):
        def open(self, path: bytes, flags: int, mode: int) -> int:  # type: ignore[override]  # static in Host
            raise OSError(error, os.strerror(error))

    notes = Notes()
    with pytest.raises(LockRefusedError):
        dotlock(ReadOnly(), bytes(tmp_path / "x.lock"), note=notes)
    assert notes.kinds == ["locking", "error-writing-temporary", "lock-failure"]


@pytest.mark.parametrize("call", ["write", "link", "fstat"])
def test_failure_leaves_no_file(tmp_path: Path, call: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    host = PatientHost()
    setattr(host, call, fail)
    with pytest.raises(OSError, match="broken"):
        dotlock(host, bytes(tmp_path / "x.lock"), note=Notes())
    assert list(tmp_path.iterdir()) == []


def test_no_hard_links(tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    host = PatientHost()
    host.link = fail  # type: ignore[assignment]  # one file system among many
    lock = dotlock(host, bytes(tmp_path / "x.lock"), note=Notes())
    assert [file.name for file in tmp_path.iterdir()] == ["x.lock"]
    assert lock.release()


def test_a_lock_that_was_forced_from_us_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    lock = dotlock(Host(), bytes(path), note=Notes())
    path.rename(tmp_path / "ours")
    path.write_text("0")
    assert not lock.release()
    assert path.exists()


COUNTER = """
import sys, pathlib
from pyprocmail.delivery.locks import dotlock
from pyprocmail.host import Host
folder = pathlib.Path(sys.argv[1])
for _ in range(50):
    lock = dotlock(Host(), bytes(folder / "n.lock"), sleep_s=0, note=lambda *_: None)
    (folder / "n").write_text(str(int((folder / "n").read_text()) + 1))
    assert lock.release()
"""


def test_two_processes_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("0")
    started = [subprocess.Popen([sys.executable, "-c", COUNTER, tmp_path]) for _ in range(2)]
    assert [process.wait() for process in started] == [0, 0]
    assert (tmp_path / "n").read_text() == "100"


def this_user() -> User:
    return User(b"joe", os.getuid(), os.getgid(), b"/", b"/bin/sh")


def test_system_mailbox_is_made(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert system_mailbox.screen(Host(), bytes(tmp_path / "joe"), this_user(), note=Notes()) == system_mailbox.USABLE
    assert (tmp_path / "joe").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("bogus", ["symlink", "hard link", "unwritable"])
def test_bogus_system_mailbox_is_moved(tmp_path: Path, bogus: str) -> None:
    tmp_path.chmod(0o700)
    path, host, notes = tmp_path / "joe", PatientHost(), Notes()
    if bogus == "symlink":
        path.symlink_to("elsewhere")
    else:
        path.write_text("x")
    if bogus == "hard link":
        (tmp_path / "other").hardlink_to(path)
    if bogus == "unwritable":
        path.chmod(0o400)
    assert system_mailbox.screen(host, bytes(path), this_user(), note=notes) == system_mailbox.USABLE
    assert (host.slept, notes.kinds) == ([16], ["renaming-bogus"])
    assert path.read_bytes() == b""
    assert len(list(tmp_path.glob("BOGUS.joe.*"))) == 1


@pytest.mark.parametrize(
    ("mode", "after", "kinds", "result"),
    [
        (0o666, 0o600, ["enforcing-permissions"], system_mailbox.USABLE),
        (0o601, 0o600, ["enforcing-permissions"], system_mailbox.USABLE),
        (0o766, 0o766, [], system_mailbox.USABLE),
        (0o4600, 0o4600, [], system_mailbox.AUTOFORWARDING),
    ],
)
def test_system_mailbox_modes(tmp_path: Path, mode: int, after: int, kinds: list[str], result: str) -> None:
    tmp_path.chmod(0o700)
    path, notes = tmp_path / "joe", Notes()
    path.touch()
    path.chmod(mode)
    assert system_mailbox.screen(Host(), bytes(path), this_user(), note=notes) == result
    assert (path.stat().st_mode & 0o7777, notes.kinds) == (after, kinds)
