"""Runs over a mailbox: what is asked of the system once, and when it is asked again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyprocmail.delivery import storage
from pyprocmail.engine.batch import BatchHost
from pyprocmail.engine.world import World
from pyprocmail.procmail.run import Recipient, Setup, deliver
from pyprocmail.procmail.start import Origin
from pyprocmail.procmail.syntax.lower import compile_rcfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n\n"

COUNTING = """
import json, os, fcntl, sys

calls, report = {}, sys.argv[1]
def counted(name, function):
    def call(*arguments, **named):
        calls[name] = calls.get(name, 0) + 1
        return function(*arguments, **named)
    return call

for module, names in (
    (os, "open read write close fsync stat lstat fstat link unlink rename mkdir chmod chdir getcwd getcwdb"
         " umask dup dup2 access isatty lseek getpid geteuid getuid listdir utime"
         " fchmod ftruncate pipe2 posix_spawn fork waitpid"),
    (fcntl, "lockf flock fcntl"),
):
    for name in names.split():
        setattr(module, name, counted(name, getattr(module, name)))
from pyprocmail.commands.main import run
leave = os._exit
def end(status):
    with open(report, "w") as file:
        json.dump(calls, file)
    leave(status)

os._exit = end
run([b"pyprocmail", b"--mbox", b"-m", b"rc"])
end(0)
"""


def calls_of(folder: Path, mails: int) -> dict[str, int]:
    """The system calls of a run over so many mails, by name."""
    folder.mkdir()
    (folder / "rc").write_text(f"MAILDIR={folder}/mail\nLOGFILE=log\nDEFAULT=inbox/\n:0\n* ^Subject: one\nlists/\n")
    (folder / "mail").mkdir()
    subprocess.run(
        [sys.executable, "-c", COUNTING, folder / "calls"],
        input=MESSAGE * mails,
        cwd=folder,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert (folder / "mail" / "log").read_bytes().count(b"Folder:") == mails
    return dict(json.loads((folder / "calls").read_text()))


def test_a_mail_of_a_mailbox_takes_eight_system_calls(tmp_path: Path) -> None:
    """Create, write, close, the log and its name, the two folders; the rest is asked once.

    The eighth is the rename into the folder, which does not pass through a module that counts.
    """
    few, many = calls_of(tmp_path / "few", 50), calls_of(tmp_path / "many", 150)
    more = {name: (many[name] - few.get(name, 0)) / 100 for name in many if many[name] != few.get(name, 0)}
    assert sum(more.values()) <= 7, more
    assert not {"link", "unlink", "rename"} & more.keys()


def batch_run(folder: Path, monkeypatch: pytest.MonkeyPatch, between: Callable[[], None]) -> None:
    """Two mails through one BatchHost; something happens before the second."""
    monkeypatch.chdir(folder)
    host = BatchHost()
    setup = Setup(b"procmail", {}, lambda _session, data, **_how: compile_rcfile(data), lambda *_: None)
    (folder / "rc").write_text(f"MAILDIR={folder}\nLOGFILE=log\nDEFAULT=box/\n")
    user = host.user_by_id(os.geteuid())
    assert user is not None
    recipient = Recipient(
        user, Origin(host, user, sender=None, deliver=False, override=False), operands=[b"rc"], mail_filter=True
    )
    for number in range(2):
        if number:
            between()
        host.chdir(os.fsencode(folder))
        assert deliver(World(host), recipient, lambda: MESSAGE, setup).status == 0


def test_a_folder_that_somebody_removes_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of folders is not believed once a delivery fails."""
    batch_run(tmp_path, monkeypatch, lambda: shutil.rmtree(tmp_path / "box"))
    assert len(list((tmp_path / "box" / "new").iterdir())) == 1


def test_a_folder_without_new_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part that the file gets its name in is missed only then; nothing is left in tmp."""
    batch_run(tmp_path, monkeypatch, lambda: shutil.rmtree(tmp_path / "box" / "new"))
    assert len(list((tmp_path / "box" / "new").iterdir())) == 1
    assert not list((tmp_path / "box" / "tmp").iterdir())


def test_a_log_that_somebody_renames_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays open from mail to mail, as long as it has its name."""

    def rotate() -> None:
        (tmp_path / "log").rename(tmp_path / "log.1")

    batch_run(tmp_path, monkeypatch, rotate)
    assert [(tmp_path / name).read_bytes().count(b"Folder:") for name in ("log.1", "log")] == [1, 1]


def test_a_rename_replaces_nothing(tmp_path: Path) -> None:
    """Both files stay where the name is taken."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"one")
    other.write_bytes(b"other")
    with pytest.raises(FileExistsError):
        BatchHost().rename_new(os.fsencode(one), os.fsencode(other))
    assert (one.read_bytes(), other.read_bytes()) == (b"one", b"other")


def test_a_rename_that_fails_is_left_to_link(tmp_path: Path) -> None:
    """Whatever the reason is: a kernel without renameat2(2) gives another one than a missing folder."""
    host = BatchHost()
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"one")
    assert not host.rename_new(os.fsencode(one), os.fsencode(tmp_path / "missing" / "one"))
    assert not host.rename_new(os.fsencode(one), os.fsencode(other))
    storage.settle(host, os.fsencode(one), os.fsencode(other), os.fsencode(tmp_path))
    assert other.read_bytes() == b"one"
    assert not one.exists()


def test_a_file_that_is_read_is_not_the_mailbox(tmp_path: Path) -> None:
    """A filter that runs in this process is looked at first; that is no reason to ask for the folders again."""
    host = BatchHost()
    (tmp_path / "file").write_bytes(b"text")
    assert host.is_directory(os.fsencode(tmp_path))
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    host.read(fd, 4)
    os.close(fd)
    assert host.forget()
    assert not host.forget()
