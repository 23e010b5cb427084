"""Deliveries into real folders, with every call failing once, and with many writers at a time."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocmail.delivery import format, storage
from pyprocmail.delivery.folder import Store, Storing, prepare
from pyprocmail.delivery.results import Delivered, Failed
from pyprocmail.host import Host
from pyprocmail.message import content_length, mailbox, postmark
from pyprocmail.message.model import Message
from pyprocmail.signals import AlarmError, Interrupted

CASES = tomllib.loads(Path(__file__).with_name("cases").joinpath("delivery", "format.toml").read_text())
MAIL = b"From a@b.c Thu Jan  1 00:00:00 2026\nFrom: a@b.c\nSubject: x\n\nbody\n"
STORED = MAIL + b"\n"


def rendered(kind: str, case: dict[str, str], *, strict: bool) -> bytes:
    flags = case.get("flags", "")
    message = Message(case["mail"].encode("latin-1"))
    if "Y" not in flags:
        message = content_length.refit(message)
    header, body, raw = "b" not in flags, "h" not in flags, "r" in flags
    if kind == "mbox":
        text = format.for_mbox(
            message, header=header, body=body, raw=raw, content_length="Y" not in flags, strict=strict
        )
    elif kind == "file":
        text = format.for_file(message, header=header, body=body, raw=raw)
    elif kind == "maildir":
        text = format.for_maildir(message, header=header, body=body)
    else:
        text = format.for_program(message, header=header, body=body, raw=raw, postmark=kind == "program")
    result = b"".join(text.batches())
    assert len(result) == text.size
    return result


@pytest.mark.parametrize(
    ("kind", "case"),
    [pytest.param(kind, case, id=f"{kind}: {case['about']}") for kind in CASES for case in CASES[kind]],
)
def test_format(kind: str, case: dict[str, str]) -> None:
    assert rendered(kind, case, strict=True) == case["procmail"].encode("latin-1")
    assert rendered(kind, case, strict=False) == case.get("safe", case["procmail"]).encode("latin-1")


PIECES = st.lists(st.sampled_from([b"From ", b"\n", b"\n\n", b"\0", b"x", b"Content-Length: 9\n"]), max_size=12)


@given(st.lists(PIECES, min_size=1, max_size=4))
def test_no_mail_forges_another(bodies: list[list[bytes]]) -> None:
    """Entries appended to an mbox come out again one by one, whatever is in them (without Content-Length)."""
    when = time.gmtime(0)
    entries = []
    for body in bodies:
        # The one newline that procmail adds makes an empty line behind text that ends in a newline.
        mail = postmark.make(b"a@b", when) + b"S: x\n\n" + b"".join(body) + b"\n"
        text = format.for_mbox(Message(mail), content_length=False)
        entries.append(b"".join(text.batches()))
    joined = b"".join(entries)
    position = 0

    def read(wanted: int) -> bytes:
        nonlocal position
        position += wanted
        return joined[position - wanted : position]

    assert list(mailbox.split(read)) == entries


def test_large_body_is_not_copied() -> None:
    message = Message(b"A: b\n\n" + b"x" * 1_000_000 + b"\n")
    batches = list(format.for_mbox(message).batches())
    assert isinstance(batches[0], memoryview)
    assert batches[0].obj is message.data


class Observer:
    """What is logged, with the name of the folder and of unique files left out."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def note(self, kind: str, *texts: bytes) -> None:
        self.log.append(" ".join([kind, *(text.decode("latin-1").rsplit("/", 1)[-1] for text in texts)]))

    def last_folder(self, name: bytes) -> None:
        self.log.append("last-folder")


def deliver(host: Host, names: list[bytes], data: bytes = MAIL, **options: Any) -> tuple[Delivered | Failed, list[str]]:
    observer = Observer()
    store = Store(host, observer.note, observer.last_folder)
    return store.into(prepare(host, names[0]), names[1:], Message(data), Storing(**options)), observer.log


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def umask() -> Any:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("name", "folder", "stored", "log"),
    [
        ("m", "m", STORED, ["last-folder", "opening m", "acquiring-kernel-lock"]),
        ("md/", "md/new/", MAIL[36:], ["last-folder"]),
        ("md//", "md/new/", MAIL[36:], ["last-folder"]),
        ("mh/.", "mh/1", STORED, ["last-folder", "opening 1", "acquiring-kernel-lock"]),
    ],
)
def test_new_folder(tmp_path: Path, name: str, folder: str, stored: bytes, log: list[str]) -> None:
    result, seen = deliver(Host(), [os.fsencode(f"{tmp_path}/{name}")])
    assert isinstance(result, Delivered)
    assert result.folder.startswith(os.fsencode(f"{tmp_path}/{folder}"))
    assert list(tree(tmp_path).values()) == [stored]
    assert (seen, result.size) == (log, len(stored))


def test_directory(tmp_path: Path) -> None:
    result, _ = deliver(Host(), [bytes(tmp_path)], prefix=b"pre-")
    assert list(tree(tmp_path).values()) == [STORED]
    assert os.path.basename(result.folder).startswith(b"pre-")


def test_mh_numbers(tmp_path: Path) -> None:
    for name in ("0100", "9", "50x", "x999", ".mh_sequences"):
        (tmp_path / name).touch()
    result, _ = deliver(Host(), [bytes(tmp_path) + b"/."])
    assert result.folder == bytes(tmp_path) + b"/101"


@pytest.mark.parametrize(
    ("umask_", "mode", "former", "after"),
    [
        (0o022, 0o645, 0o600, 0o601),
        (0o077, 0o600, 0o600, 0o600),
        (0o027, 0o640, 0o600, 0o600),
        (0, 0o667, 0o600, 0o601),
    ],
)
def test_modes(tmp_path: Path, umask_: int, mode: int, former: int, after: int) -> None:
    os.umask(umask_)
    (tmp_path / "old").touch()
    (tmp_path / "old").chmod(former)
    deliver(Host(), [bytes(tmp_path / "new")])
    deliver(Host(), [bytes(tmp_path / "old")])
    found = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "old")]
    assert found == [mode, after]


def test_several_folders_are_links(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    names = [os.fsencode(f"{tmp_path}/{name}") for name in ("md/", "new", "mh/.", "md/", "file", "no/x/")]
    result, log = deliver(Host(), names)
    assert isinstance(result, Delivered)
    assert {path.stat().st_nlink for path in tmp_path.rglob("*") if path.is_file()} == {4, 1}
    assert len(result.folder.split(b" ")) == 4
    assert [line.split()[0] for line in log] == [
        "last-folder", "linking", "linking", "linking",
        "unable-as-directory", "skipped", "unable-as-directory", "skipped",
    ]  # fmt: skip


def test_one_folder_twice(tmp_path: Path) -> None:
    result, _ = deliver(Host(), [bytes(tmp_path), bytes(tmp_path)])
    assert len(tree(tmp_path)) == 1
    assert len(result.folder.split(b" ")) == 2


@pytest.mark.parametrize(
    ("name", "log", "temporary"),
    [
        ("no/m", ["last-folder", "opening m", "error-writing m"], False),
        ("no/md/", ["unable-as-directory md", "last-folder", "opening md", "error-writing md"], False),
        ("file/m", ["last-folder", "opening m", "error-writing m"], False),
        ("x" * 300, ["last-folder", f"opening {'x' * 300}", f"error-writing {'x' * 300}"], False),
        ("half/", ["unable-as-directory cur", "skipped half"], False),
    ],
)
def test_impossible_folders(tmp_path: Path, name: str, log: list[str], temporary: bool) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "cur").touch()
    result, seen = deliver(Host(), [os.fsencode(f"{tmp_path}/{name}")])
    assert isinstance(result, Failed)
    assert (seen, result.temporary, result.size) == (log, temporary, 0)


def test_devices_and_standard_output(tmp_path: Path) -> None:
    result, log = deliver(Host(), [b"/dev/null"])
    assert (result.size, log) == (len(MAIL), ["last-folder", "opening null"])
    result, log = deliver(Host(), [b"/dev/full"])
    assert isinstance(result, Failed)
    assert log == ["last-folder", "opening full", "acquiring-kernel-lock", "error-writing full"]
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    observer = Observer()
    store = Store(Host(), observer.note, observer.last_folder, stdout=fd)
    store.into(prepare(Host(), b"| cat"), [], Message(MAIL), Storing())
    os.close(fd)
    assert ((tmp_path / "out").read_bytes(), observer.log) == (STORED, ["last-folder"])


def test_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "f").read_bytes()))
    reader.start()
    result, log = deliver(Host(), [bytes(tmp_path / "f")])
    reader.join()
    assert isinstance(result, Delivered)
    assert read == [STORED]
    assert log[-2:] == ["kernel-lock-failed", "kernel-unlock-failed"]


class FaultyHost(Host):
    """The n-th of the calls that change the disk fails."""

    CALLS = ("write", "fsync", "rename", "link", "close")

    def __init__(self, n: int, error: int) -> None:
        super().__init__()
        self.left = n
        self.failed = ""
        for name in self.CALLS:
            setattr(self, name, self._faulty(name, getattr(os, name), error))

    def _faulty(self, name: str, call: Any, error: int) -> Any:
        def faulty(*arguments: Any) -> Any:
            self.left -= 1
            if self.left:
                return call(*arguments)
            self.failed = name
            if name == "close":
                call(*arguments)
            elif name == "write":
                call(arguments[0], bytes(arguments[1])[:7])
            raise OSError(error, os.strerror(error))

        return faulty


NAMES = ("m", "new", "md/", "mh/.", "d", "d2/.")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("name", NAMES)
def test_every_call_fails_once(tmp_path: Path, name: str, error: int) -> None:
    """After a failure: delivered once, or the folder as it was."""
    for n in range(1, 40):
        root = tmp_path / str(n)
        root.mkdir()
        (root / "m").write_bytes(STORED)
        (root / "d").mkdir()
        before = tree(root)
        host = FaultyHost(n, error)
        result, _ = deliver(host, [os.fsencode(f"{root}/{name}")])
        after = {path: data for path, data in tree(root).items() if data or path in before}
        if isinstance(result, Delivered):
            assert host.failed != "fsync", "a mail that is not on disk is not delivered"
            assert sum(map(len, after.values())) == sum(map(len, before.values())) + result.size
        else:
            assert result.temporary
            assert after == before
        if not host.failed:
            assert isinstance(result, Delivered)
            return
    pytest.fail("the calls never end")


@pytest.mark.parametrize("kind", ["no-space", "quota-exceeded", "error-writing"])
def test_words_for_a_full_disk(tmp_path: Path, kind: str) -> None:
    (tmp_path / "m").write_bytes(STORED)
    error = {"no-space": errno.ENOSPC, "quota-exceeded": errno.EDQUOT, "error-writing": errno.EFBIG}[kind]
    result, log = deliver(FaultyHost(1, error), [bytes(tmp_path / "m")])
    assert log[-2:] == [f"{kind} m", "truncated"]
    assert result.size == len(MAIL)


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_leaves_the_folder_as_it_was(tmp_path: Path, name: str) -> None:
    class Signalled(Host):
        def check_signals(self) -> None:
            self.checks = getattr(self, "checks", 0) + 1
            if self.checks == self.fatal:
                raise Interrupted(15)

        fatal = 0

    for fatal in (1, 2, 3):
        root = tmp_path / str(fatal)
        root.mkdir()
        (root / "m").write_bytes(STORED)
        (root / "d").mkdir()
        before = tree(root)
        host = Signalled()
        host.fatal = fatal
        # Long enough for two writes.
        mail = MAIL + b"x" * 600_000
        try:
            deliver(host, [os.fsencode(f"{root}/{name}")], mail)
        except Interrupted:
            assert {path: data for path, data in tree(root).items() if data} == {p: d for p, d in before.items() if d}
        else:
            assert len(tree(root)) >= len(before)
            assert sum(map(len, tree(root).values())) > 600_000


def test_short_writes(tmp_path: Path) -> None:
    class Slow(Host):
        def write(self, fd: int, data: bytes | memoryview) -> int:  # type: ignore[override]  # static in Host
            return os.write(fd, data[:3])

    deliver(Slow(), [bytes(tmp_path / "m")])
    assert (tmp_path / "m").read_bytes() == STORED


def test_mbox_replaced_while_waiting(tmp_path: Path) -> None:
    """A mail program writes a new file and renames it over the one that we wait for."""

    class Slow(Host):
        replaced = False

        def lock_to_end(self, fd: int) -> None:
            if not self.replaced:
                self.replaced = True
                (tmp_path / "m.new").write_bytes(b"rest\n\n")
                (tmp_path / "m.new").rename(tmp_path / "m")
            super().lock_to_end(fd)

    (tmp_path / "m").write_bytes(b"all\n\nrest\n\n")
    result, log = deliver(Slow(), [bytes(tmp_path / "m")])
    assert isinstance(result, Delivered)
    assert (tmp_path / "m").read_bytes() == b"rest\n\n" + STORED
    assert log == ["last-folder", "opening m", "acquiring-kernel-lock"]


def test_kernel_lock_that_is_never_free(tmp_path: Path) -> None:
    class Busy(Host):
        def lock_to_end(self, fd: int) -> None:
            raise AlarmError

    (tmp_path / "m").write_bytes(STORED)
    result, log = deliver(Busy(), [bytes(tmp_path / "m")], lock_timeout_s=5)
    assert isinstance(result, Failed)
    assert result.temporary
    assert log[-2:] == ["timeout-waiting m", "error-writing m"]
    assert (tmp_path / "m").read_bytes() == STORED


def test_mh_number_taken_meanwhile(tmp_path: Path) -> None:
    class Raced(Host):
        raced = False

        def fsync(self, fd: int) -> None:  # type: ignore[override]  # static in Host
            if not self.raced:
                self.raced = True
                (tmp_path / "1").write_bytes(b"first\n")
            os.fsync(fd)

    result, _ = deliver(Raced(), [bytes(tmp_path) + b"/."])
    assert result.folder == bytes(tmp_path) + b"/2"
    assert tree(tmp_path) == {"1": b"first\n", "2": STORED}


def test_no_hard_links(tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    host = Host()
    host.link = refuse  # type: ignore[assignment]  # one file system among many
    (tmp_path / "d").mkdir()
    for name in ("md/", "mh/.", "d"):
        result, _ = deliver(host, [os.fsencode(f"{tmp_path}/{name}")])
        assert isinstance(result, Delivered)
    assert sorted(tree(tmp_path).values()) == sorted([STORED, STORED, MAIL[36:]])


WRITER = """
import sys
from pyprocmail.delivery.folder import Storing, prepare, Store
from pyprocmail.delivery.results import Delivered
from pyprocmail.host import Host
from pyprocmail.message.model import Message

host = Host()

def silent(*_): pass

name, writer = sys.argv[1].encode(), sys.argv[2]
for n in range(20):
    mail = f"From a@b Thu Jan  1 00:00:00 2026\\nX-N: {writer}-{n}\\n\\n" + f"{writer}-{n}\\n" * 2000
    stored = Store(host, silent, silent).into(prepare(host, name), [], Message(mail.encode()), Storing())
    assert isinstance(stored, Delivered)
"""


@pytest.mark.parametrize("name", ["m", "md/", "mh/."])
def test_many_writers(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", WRITER, f"{tmp_path}/{name}"]
    started = [subprocess.Popen([*command, str(writer)]) for writer in range(8)]
    assert [process.wait() for process in started] == [0] * 8
    joined = b"\n\n".join(tree(tmp_path).values()) if name == "m" else b"".join(tree(tmp_path).values())
    assert len(tree(tmp_path)) == (1 if name == "m" else 160)
    for writer in range(8):
        for n in range(20):
            mark = b"%d-%d\n" % (writer, n)
            assert joined.count(b"X-N: " + mark + b"\n" + mark * 2000) == 1


def test_storage_ignores_a_file_that_cannot_be_synced(tmp_path: Path) -> None:
    host = FaultyHost(1, errno.EINVAL)
    fd = os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT)
    storage.sync(host, fd)
    assert host.failed == "fsync"
    os.close(fd)
