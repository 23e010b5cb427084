"""In which order mail is made durable, and what becomes of it when one of the steps fails.

Success is told after the bytes are synced, the file has its name, and the folder with the name is synced.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyprocmail.delivery import dotlocks, locks, maildirplus, mbox, storage
from pyprocmail.delivery.folder import Store, Storing, prepare
from pyprocmail.delivery.format import Text
from pyprocmail.delivery.results import Delivered, Failed
from pyprocmail.host import Host
from pyprocmail.message.model import Message

MAIL = b"From a@b.c Thu Jan  1 00:00:00 2026\nFrom: a@b.c\nSubject: x\n\nbody\n"
CALLS = ("write", "fsync", "close", "link", "rename", "sync_folder", "unlink", "mkdir")
KINDS = ("old", "new", "md/", "full/", "mh/.", "d", "plus")
"""An mbox that is there, and a new one; a new maildir, and one that is there; MH; a directory; maildrop's maildir."""


class Recorder(Host):
    """Writes down what changes the disk; `failing` is the name of a call that always fails."""

    def __init__(self, failing: str = "", error: int = errno.EIO) -> None:
        super().__init__()
        self.calls: list[tuple[str, object]] = []
        self.failing = failing
        self.error = error
        for name in CALLS:
            setattr(self, name, self._recording(name, getattr(self, name)))

    def _recording(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def recorded(*arguments: object) -> object:
            self.calls.append((name, arguments[0]))
            if name == self.failing:
                if name == "close":
                    call(*arguments)
                raise OSError(self.error, os.strerror(self.error))
            return call(*arguments)

        return recorded

    def names(self) -> list[str]:
        """The calls, without what they were about."""
        return [name for name, _ in self.calls]


def silent(*_: object) -> None:
    """Hears nothing."""


def deliver(host: Recorder, folder: Path, kind: str) -> Delivered | Failed:
    """Store MAIL as `kind` says; the call "done" is that it is safe."""

    def done() -> None:
        host.calls.append(("done", b""))

    path = bytes(folder / kind) + (b"/" if kind.endswith("/") else b"")
    if kind == "plus":
        result = maildirplus.store(host, path, [MAIL], len(MAIL), flags=b"", keywords=b"")
        if isinstance(result, Delivered):
            done()
        return result
    if kind == "mh/.":
        path = bytes(folder / "mh") + b"/."
    return Store(host, silent, silent, done).into(prepare(host, path), [], Message(MAIL), Storing())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Folders of all kinds."""
    (tmp_path / "old").write_bytes(MAIL + b"\n")
    (tmp_path / "d").mkdir()
    for folder in ("full", "plus"):
        for part in ("new", "cur", "tmp"):
            (tmp_path / folder / part).mkdir(parents=True)
    before = os.umask(0o077)
    yield tmp_path
    os.umask(before)


def files(place: Path) -> dict[str, bytes]:
    """What is in all files."""
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_success_comes_last(place: Path, kind: str) -> None:
    host = Recorder()
    result = deliver(host, place, kind)
    assert isinstance(result, Delivered)
    calls = host.names()
    done = calls.index("done")
    last_write = len(calls) - 1 - calls[::-1].index("write")
    descriptor = host.calls[last_write][1]
    synced = host.calls.index(("fsync", descriptor))
    assert last_write < synced < done
    if kind == "old":
        return
    named = done if kind == "new" else calls.index("link")
    folder = os.path.dirname(result.folder) + (b"/" if kind not in ("md/", "full/", "plus") else b"")
    folder_synced = host.calls.index(("sync_folder", folder))
    assert synced < folder_synced < done
    if kind != "new":
        # A reader sees the whole mail, and no reader sees it before it is on disk.
        assert host.calls.index(("close", descriptor)) < named < folder_synced
        # A crash before the folder is synced leaves one name at least.
        assert all(at > folder_synced for at, (name, _) in enumerate(host.calls) if name == "unlink")


@pytest.mark.parametrize("kind", ["md/", "mh/."])
def test_a_new_folder_is_synced_before_mail_is_in_it(place: Path, kind: str) -> None:
    """Else a crash takes the folder with all that is in it."""
    host = Recorder()
    assert isinstance(deliver(host, place, kind), Delivered)
    made = [path for name, path in host.calls if name == "mkdir"]
    assert len(made) == (4 if kind == "md/" else 1)
    first_write = host.names().index("write")
    for path in made:
        assert isinstance(path, bytes)
        at = host.calls.index(("mkdir", path))
        assert ("sync_folder", os.path.dirname(path) + b"/") in host.calls[at:first_write]


STEPS = {"old": ("write", "fsync"), "new": ("write", "fsync", "sync_folder")}
"""The calls that decide something; an mbox is not closed before it is synced, and has its name."""


@pytest.mark.parametrize(
    ("kind", "call"),
    [(kind, call) for kind in KINDS for call in STEPS.get(kind, ("write", "fsync", "close", "link", "sync_folder"))],
)
def test_a_step_that_fails_is_a_failure(place: Path, kind: str, call: str) -> None:
    """The folder is as it was, and nobody was told that the mail is safe."""
    before = files(place)
    host = Recorder(call)
    result = deliver(host, place, kind)
    assert isinstance(result, Failed)
    assert result.temporary
    assert "done" not in host.names()
    after = files(place)
    assert {name: data for name, data in after.items() if data or name in before} == before


@pytest.mark.parametrize("error", [errno.ESTALE, errno.EIO, errno.EACCES, errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_what_may_be_mended_is_temporary(error: int) -> None:
    """The server of a stale NFS mount comes back."""
    assert Failed(b"box", "", error).temporary


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ESTALE, errno.EDEADLK])
def test_no_mbox_is_written_without_its_lock(place: Path, error: int) -> None:
    """A kernel lock that exists here and cannot be had; without any such locks it is another matter."""

    class Lockless(Recorder):
        def lock_to_end(self, fd: int) -> None:
            raise OSError(error, os.strerror(error))

    before = files(place)
    result = deliver(Lockless(), place, "old")
    assert isinstance(result, Failed)
    assert result.temporary
    assert files(place) == before


def test_an_mbox_that_grew_while_we_waited(place: Path) -> None:
    """What another program appended before it gave the lock back stays."""

    class Late(Recorder):
        def lock_to_end(self, fd: int) -> None:
            with (place / "old").open("ab") as other:
                other.write(b"another\n\n")
            super().lock_to_end(fd)

    assert isinstance(deliver(Late(), place, "old"), Delivered)
    assert (place / "old").read_bytes() == MAIL + b"\nanother\n\n" + MAIL + b"\n"


def test_cut_back_to_what_it_was_when_it_was_locked(place: Path) -> None:
    class Late(Recorder):
        def lock_to_end(self, fd: int) -> None:
            with (place / "old").open("ab") as other:
                other.write(b"another\n\n")
            super().lock_to_end(fd)

    assert isinstance(deliver(Late("fsync"), place, "old"), Failed)
    assert (place / "old").read_bytes() == MAIL + b"\nanother\n\n"


class Twin(Recorder):
    """Another process made the same name: a machine whose clock and process id are those of another one on NFS."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = iter(range(100))

    def time(self) -> float:
        return 1_000_000_000.0

    def next_number(self) -> int:
        return next(self.numbers)


@pytest.mark.parametrize(("kind", "part"), [("full/", "tmp"), ("full/", "new"), ("plus", "tmp"), ("d", ".")])
def test_nobodys_file_is_written_over(place: Path, kind: str, part: str) -> None:
    """Not under a temporary name, and not under the last one."""
    first = Twin()
    result = deliver(first, place, kind)
    assert isinstance(result, Delivered)
    name = os.fsdecode(os.path.basename(result.folder))
    if part != "new":
        temporary = next(path for call, path in first.calls if call == "unlink")
        assert isinstance(temporary, bytes)
        name = os.fsdecode(os.path.basename(temporary))
        os.unlink(result.folder)
    theirs = place / kind / part / name
    theirs.write_bytes(b"theirs\n")
    deliver(Twin(), place, kind)
    assert theirs.read_bytes() == b"theirs\n"


def no_links(*_: object) -> None:
    """link(2) on a file system without hard links."""
    raise OSError(errno.EPERM, "no hard links here")


def test_nobodys_mail_is_replaced_without_hard_links(tmp_path: Path) -> None:
    (tmp_path / "temporary").write_bytes(MAIL)
    (tmp_path / "taken").write_bytes(b"theirs\n")
    host = Host()
    host.link = no_links  # type: ignore[assignment]  # one file system among many
    with pytest.raises(FileExistsError):
        storage.give_name(host, bytes(tmp_path / "temporary"), bytes(tmp_path / "taken"))
    assert (tmp_path / "taken").read_bytes() == b"theirs\n"


def lost_answer(one: bytes, other: bytes) -> None:
    """link(2) over NFS, whose answer did not arrive."""
    os.link(one, other)
    raise OSError(errno.EIO, "the answer is lost")


class Impatient(Host):
    """Nothing is to be waited for."""

    def sleep(self, seconds: float) -> None:
        pytest.fail("it waits for a lock that is its own")


def test_a_link_whose_answer_is_lost(tmp_path: Path) -> None:
    """It is there: a second try would be a second mail, or wait for a lock that is ours."""
    (tmp_path / "temporary").write_bytes(MAIL)
    host = Impatient()
    host.link = lost_answer  # type: ignore[assignment]  # NFS
    storage.give_name(host, bytes(tmp_path / "temporary"), bytes(tmp_path / "name"))
    assert (tmp_path / "name").read_bytes() == MAIL
    lock = locks.dotlock(host, bytes(tmp_path / "x.lock"), note=silent)
    assert lock.release()
    taken = dotlocks.attempt(host, bytes(tmp_path / "y.lock"), b"1\n")
    assert taken is not None
    assert taken.release()


def test_a_held_lock_is_waited_for_without_hard_links(tmp_path: Path) -> None:
    class Patient(Host):
        slept = 0

        def sleep(self, seconds: float) -> None:
            self.slept += 1
            (tmp_path / "x.lock").unlink()

    host = Patient()
    host.link = no_links  # type: ignore[assignment]  # one file system among many
    (tmp_path / "x.lock").write_text("0")
    assert locks.dotlock(host, bytes(tmp_path / "x.lock"), note=silent).release()
    assert host.slept == 1


def test_maildrop_waits_for_a_lock_that_is_not_forgotten(tmp_path: Path) -> None:
    """Until its time is over; the lock stays.  One that nobody touches for long is taken over."""

    class Patient(Host):
        now = 0.0

        def monotonic(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            self.now += seconds

        def time(self) -> float:
            return (tmp_path / "x.lock").stat().st_ctime + self.now

    host = Patient()
    path = tmp_path / "x.lock"
    path.write_text("theirs")
    with pytest.raises(TimeoutError):
        dotlocks.take(host, bytes(path), sleep_s=5, stale_s=100, deadline=60)
    assert path.read_text() == "theirs"
    host = Patient()
    lock = dotlocks.take(host, bytes(path), sleep_s=5, stale_s=100, deadline=600)
    assert host.now > 100
    assert path.read_text() == f"{os.getpid()}\n"
    assert lock.release()


def test_a_short_write_of_the_only_chunk(tmp_path: Path) -> None:
    """An mbox gets all of the text, however little each write takes."""

    class Slow(Host):
        def write(self, fd: int, data: bytes | memoryview) -> int:  # type: ignore[override]  # static in Host
            return os.write(fd, data[:5])

    text = Text([b"0123456789"], b"")
    result = mbox.append(Slow(), bytes(tmp_path / "m"), text, lock_timeout_s=0, note=silent, done=silent)
    assert isinstance(result, Delivered)
    assert (tmp_path / "m").read_bytes() == b"0123456789"
