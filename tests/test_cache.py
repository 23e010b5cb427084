"""The cache of programs on disk: what is kept, what is removed, and by whom."""

import os
import threading
from pathlib import Path

import pytest

from pyprocmail.engine import cache
from pyprocmail.host import Host, User

PROGRAM = ((6, 0, 0, True, b""),)
LATER_S = 100


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache of whoever runs this."""
    path = tmp_path / ".cache" / "pyprocmail"
    monkeypatch.setattr(cache, "ROOT_FOLDER", os.fsencode(path))
    tmp_path.chmod(0o700)
    return path


class LaterHost(Host):
    """A machine whose clock is ahead, so that no file was changed just now."""

    def time(self) -> float:
        """Some time after every change."""
        return super().time() + LATER_S


def opened(tmp_path: Path) -> cache.Cache:
    """The cache that a process has."""
    return cache.Cache(LaterHost(), User(b"me", os.geteuid(), os.getegid(), os.fsencode(tmp_path), b"/bin/sh"))


def store(tmp_path: Path, path: Path, text: str) -> os.stat_result:
    """Keep a program for an rcfile."""
    path.write_text(text)
    status = path.stat()
    opened(tmp_path).store(os.fsencode(path), status, PROGRAM, strict=False)
    return status


def test_an_edit_replaces_the_program(tmp_path: Path, folder: Path) -> None:
    """In place, and by an editor that renames; the newest is what is found."""
    rc = tmp_path / "rc"
    for number in range(4):
        store(tmp_path, rc, "#" * number)
    status = rc.stat()
    assert len(list(folder.iterdir())) == 1
    assert opened(tmp_path).load(os.fsencode(rc), status, strict=False) == PROGRAM
    (tmp_path / "new").write_text("")
    (tmp_path / "new").rename(rc)
    store(tmp_path, rc, "after a rename")
    assert len(list(folder.iterdir())) == 1


def test_number_age_and_size_have_an_end(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go; files of others in there, and what is being written, stay."""
    monkeypatch.setattr(cache, "KEPT_FILES", 5)
    for number in range(9):
        store(tmp_path, tmp_path / f"rc{number}", "x")
    assert len(list(folder.iterdir())) == 5
    (folder / "x.1.tmp").touch()
    (folder / "y.2.tmp").touch()
    os.utime(folder / "y.2.tmp", (1, 1))
    for path in folder.iterdir():
        if path.suffix != ".tmp":
            os.utime(path, (1, 1))
    store(tmp_path, tmp_path / "last", "x")
    assert sorted(path.suffix for path in folder.iterdir()) == ["", ".tmp"]
    monkeypatch.setattr(cache, "KEPT_BYTES", 1)
    store(tmp_path, tmp_path / "one", "x")
    assert len([path for path in folder.iterdir() if not path.suffix]) == 1


def test_writers_do_not_disturb_each_other(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stores what the others remove; none fails."""
    monkeypatch.setattr(cache, "KEPT_FILES", 2)
    done: list[int] = []

    def write(writer: int) -> None:
        for number in range(30):
            store(tmp_path, tmp_path / f"rc{writer}.{number}", "x")
        done.append(writer)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 1, 2, 3]
    assert 1 <= len([path for path in folder.iterdir() if not path.suffix]) <= 6


# -- what is believed ------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path, folder: Path) -> tuple[Path, os.stat_result, Path]:
    """An rcfile, its status, and the entry that it has in the cache, which is believed as it is."""
    rc = tmp_path / "rc"
    status = store(tmp_path, rc, "x")
    (entry,) = folder.iterdir()
    assert opened(tmp_path).load(os.fsencode(rc), status, strict=False) == PROGRAM
    return rc, status, entry


@pytest.mark.parametrize(
    ("below", "mode"),
    [("entry", 0o660), ("entry", 0o606), ("entry", 0o644), (".", 0o770), (".", 0o707), (".", 0o755), ("..", 0o777)],
)
def test_what_others_can_write_or_read_is_not_believed(
    tmp_path: Path, kept: tuple[Path, os.stat_result, Path], below: str, mode: int
) -> None:
    """The entry, with the right checksum, its folder, and the folders above it."""
    rc, status, entry = kept
    (entry if below == "entry" else entry.parent / below).chmod(mode)
    assert opened(tmp_path).load(os.fsencode(rc), status, strict=False) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("below", ["entry", ".", ".."])
def test_what_is_somebody_elses_is_not_believed(
    tmp_path: Path, kept: tuple[Path, os.stat_result, Path], below: str
) -> None:
    """With the right checksum: whoever wrote it knows how to make one."""
    rc, status, entry = kept
    os.chown(entry if below == "entry" else entry.parent / below, 54321, 54321)
    assert opened(tmp_path).load(os.fsencode(rc), status, strict=False) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_not_even_roots_folder_is_a_users(tmp_path: Path) -> None:
    """A user's own folder and entries are the user's, and nobody else's."""

    class Other(LaterHost):
        def geteuid(self) -> int:
            return 54321

    user = User(b"other", 54321, 54321, os.fsencode(tmp_path), b"/bin/sh")
    rc = tmp_path / "rc"
    rc.write_text("x")
    status = rc.stat()
    folder = tmp_path / ".cache" / "pyprocmail"
    folder.mkdir(parents=True, mode=0o700)
    tmp_path.chmod(0o755)
    os.chown(folder, 54321, 54321)
    cache.Cache(Other(), user).store(os.fsencode(rc), status, PROGRAM, strict=False)
    (entry,) = folder.iterdir()
    assert cache.Cache(Other(), user).load(os.fsencode(rc), status, strict=False) is None, "the entry is root's"
    os.chown(entry, 54321, 54321)
    assert cache.Cache(Other(), user).load(os.fsencode(rc), status, strict=False) == PROGRAM
    os.chown(folder, 0, 0)
    assert cache.Cache(Other(), user).load(os.fsencode(rc), status, strict=False) is None


def test_a_file_that_has_just_changed_is_not_kept(tmp_path: Path, folder: Path) -> None:
    """It may change again within the resolution of its time."""
    rc = tmp_path / "rc"
    rc.write_text("x")
    user = User(b"me", os.geteuid(), os.getegid(), os.fsencode(tmp_path), b"/bin/sh")
    cache.Cache(Host(), user).store(os.fsencode(rc), rc.stat(), PROGRAM, strict=False)
    assert not folder.exists() or not list(folder.iterdir())
