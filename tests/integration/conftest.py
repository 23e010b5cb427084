"""A machine with mail users, for the tests of one mail server: see run.py."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE_S = 60.0
SNIPPETS = Path(__file__).parent.parent.parent / "examples" / "integration"
MACHINE = "PYPROCMAIL_MACHINE"


def wait_for(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until the condition holds; fail, naming what was waited for, when it does not within the patience."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Whether somebody listens on the port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class User:
    """A user of the machine."""

    def __init__(self, name: str) -> None:
        entry = pwd.getpwnam(name)
        self.name, self.uid, self.gid, self.home = name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir)
        self.mailbox = Path("/var/mail") / name

    def put(self, name: str, text: str, mode: int = 0o644) -> Path:
        """A file of the user's in the home."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        for owned in (path, *path.parents):
            if owned == self.home:
                break
            os.chown(owned, self.uid, self.gid)
        return path

    def make_mailbox(self) -> None:
        """What `install -o USER -g mail -m 660 /dev/null /var/mail/USER` does."""
        self.mailbox.touch()
        os.chown(self.mailbox, self.uid, pwd.getpwnam("mail").pw_gid)
        self.mailbox.chmod(0o660)

    def clear(self) -> None:
        """An empty home, and no mailbox."""
        for path in self.home.iterdir():
            if os.path.ismount(path):
                subprocess.run(["umount", path], check=True)
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for left in Path("/var/mail").glob(f"*{self.name}*"):
            left.unlink(missing_ok=True)

    def stored(self, *names: str) -> bytes:
        """All that is in files of the home, or in the mailbox if none is named."""
        paths = [self.home / name for name in names] or [self.mailbox]
        return b"".join(path.read_bytes() for path in paths if path.exists())


@pytest.fixture
def users() -> dict[str, User]:
    """alice, bob, carol, dave and filter, with empty homes and no mailboxes."""
    if MACHINE not in os.environ:
        pytest.skip("run by `make test-integration`")
    found = {name: User(name) for name in ("alice", "bob", "carol", "dave", "filter")}
    for user in found.values():
        user.clear()
    return found


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Adds what was seen to the table of servers and scenes."""
    server = request.path.stem.removeprefix("test_")
    scene = request.node.name.removeprefix("test_").replace("_", " ")

    def told(outcome: str) -> None:
        with open(os.environ["PYPROCMAIL_TABLE"], "a") as table:
            table.write(f"{server}\t{scene}\t{outcome}\n")

    return told
