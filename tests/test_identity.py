"""Who may read and write what: identities, modes, links, and the owners of files that are believed.

Whole runs as root are in test_root.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from pyprocmail.commands.compiler import compile_filter_here
from pyprocmail.delivery import system_mailbox
from pyprocmail.host import Host, User
from pyprocmail.maildrop import run as maildrop
from pyprocmail.maildrop.world import World
from pyprocmail.procmail import rcfiles

STRANGER = User(b"stranger", 54321, 54322, b"/", b"/bin/sh")
MAIL = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n\n"


def silent(*_: object) -> None:
    """Hears nothing."""


# -- giving up an identity -------------------------------------------------------------------


class Kernel:
    """The calls that change who we are, as a system that does not what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.uids = self.gids = (0, 0, 0)
        self.groups = [0, 4]
        self.obeys = {"initgroups", "setresgid", "setresuid"}
        self.goes_back = False
        for name in ("initgroups", "setresgid", "setresuid"):
            monkeypatch.setattr(os, name, getattr(self, name))
        monkeypatch.setattr(os, "getresuid", lambda: self.uids)
        monkeypatch.setattr(os, "getresgid", lambda: self.gids)
        monkeypatch.setattr(os, "getgroups", lambda: self.groups)
        monkeypatch.setattr(os, "getgrouplist", lambda _name, gid: [gid, 7])

    def initgroups(self, _name: str, gid: int) -> None:
        self.calls.append("initgroups")
        if "initgroups" in self.obeys:
            self.groups = [gid, 7]

    def setresgid(self, *ids: int) -> None:
        self.calls.append("setresgid")
        if "setresgid" in self.obeys:
            self.gids = (ids[0], ids[1], ids[2])

    def setresuid(self, *ids: int) -> None:
        self.calls.append("setresuid")
        if -1 in ids:
            if not self.goes_back:
                raise PermissionError(errno.EPERM, "not permitted")
        elif "setresuid" in self.obeys:
            self.uids = (ids[0], ids[1], ids[2])


def test_becoming_somebody_takes_groups_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has given up root can take no groups any more."""
    kernel = Kernel(monkeypatch)
    Host().become(STRANGER)
    assert kernel.calls[:3] == ["initgroups", "setresgid", "setresuid"]
    assert (kernel.uids, kernel.gids, kernel.groups) == ((54321,) * 3, (54322,) * 3, [54322, 7])


@pytest.mark.parametrize("ignored", ["initgroups", "setresgid", "setresuid"])
def test_a_system_that_does_not_obey_is_noticed(monkeypatch: pytest.MonkeyPatch, ignored: str) -> None:
    Kernel(monkeypatch).obeys.remove(ignored)
    with pytest.raises(OSError, match="not the user's"):
        Host().become(STRANGER)


def test_a_way_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(monkeypatch).goes_back = True
    with pytest.raises(OSError, match="regained"):
        Host().become(STRANGER)


# -- rcfiles ---------------------------------------------------------------------------------


def suspicious(place: Path, user: User, *, mode: int = 0o600, folder: int = 0o700, personal: bool = True) -> bool:
    """Whether an rcfile of this mode in a folder of that mode is suspicious to the user."""
    rc = place / "rc"
    rc.touch()
    rc.chmod(mode)
    place.chmod(folder)
    rcfile = rcfiles.Rcfile(os.fsencode(rc), checked=True, personal=personal, folder=os.fsencode(place))
    return rcfiles.is_suspicious(Host(), user, rcfile, rc.stat())


@pytest.mark.parametrize("mode", [0o602, 0o606, 0o646])
def test_an_rcfile_that_others_can_write_is_suspicious(tmp_path: Path, mode: int) -> None:
    me = User(b"me", os.geteuid(), os.getegid(), b"/", b"/bin/sh")
    assert not suspicious(tmp_path, me)
    assert suspicious(tmp_path, me, mode=mode)


def test_an_rcfile_in_a_folder_that_others_can_write_is_suspicious(tmp_path: Path) -> None:
    me = User(b"me", os.geteuid(), os.getegid(), b"/", b"/bin/sh")
    assert suspicious(tmp_path, me, folder=0o777)
    assert not suspicious(tmp_path, me, folder=0o1777)
    foreign_group = User(b"me", os.geteuid(), 54322, b"/", b"/bin/sh")
    assert suspicious(tmp_path, foreign_group, mode=0o660)
    assert suspicious(tmp_path, foreign_group, folder=0o770)
    assert not suspicious(tmp_path, foreign_group, mode=0o660, personal=False)


class Owned(Host):
    """Files belong to `uid`."""

    def __init__(self, uid: int) -> None:
        super().__init__()
        self.uid = uid
        self.stat = self._stat  # type: ignore[assignment]  # static in Host

    def _stat(self, path: bytes) -> os.stat_result:
        return owned(os.stat(path), self.uid)


def owned(status: os.stat_result, uid: int) -> os.stat_result:
    """The status of a file if it were the user's."""
    fields = list(status)
    fields[4] = uid
    return os.stat_result(fields)


@pytest.mark.parametrize(("owner", "expected"), [(54321, False), (0, False), (54323, True)])
def test_an_rcfile_of_somebody_else_is_suspicious(tmp_path: Path, owner: int, expected: bool) -> None:
    (tmp_path / "rc").touch()
    tmp_path.chmod(0o700)
    status = owned((tmp_path / "rc").stat(), owner)
    rcfile = rcfiles.Rcfile(os.fsencode(tmp_path / "rc"), checked=True, folder=b"/")
    assert rcfiles.is_suspicious(Owned(54321), STRANGER, rcfile, status) == expected


# -- filter files and homes ------------------------------------------------------------------


def filtered(place: Path, launcher: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the filter file of the folder."""
    return subprocess.run([launcher, place / "rc"], input=MAIL, cwd=place, capture_output=True, check=False, timeout=60)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_filter_file_of_somebody_else_is_refused(tmp_path: Path, launchers: Path) -> None:
    (tmp_path / "rc").write_text('to "box"\n')
    (tmp_path / "rc").chmod(0o600)
    assert filtered(tmp_path, launchers / "maildrop").returncode == 0
    os.chown(tmp_path / "rc", 54321, -1)
    done = filtered(tmp_path, launchers / "maildrop")
    assert (done.returncode, b"owned by the wrong user" in done.stderr) == (75, True)
    assert (tmp_path / "box").read_bytes().count(b"Subject: one") == 1


class AsRoot(Host):
    """We seem to be root."""

    def geteuid(self) -> int:
        return 0

    fchown = staticmethod(silent)  # type: ignore[assignment]  # static in Host


def test_maildrop_does_nothing_as_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system does not let us become the user."""
    monkeypatch.setattr(maildrop, "mailbox_of", lambda _user: bytes(tmp_path / "mailbox"))
    rules = tmp_path / "rules"
    rules.write_text(f'to "{tmp_path}/box"\n')
    rules.chmod(0o600)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    host = AsRoot()
    setup = maildrop.Setup(host, b"maildrop", {}, compile_filter_here, refuse)
    recipient = maildrop.Recipient(STRANGER, file=os.fsencode(rules))
    verdict = maildrop.deliver(World(host), recipient, lambda: MAIL, setup)
    assert verdict.status == 75
    assert verdict.stored == []
    assert not (tmp_path / "box").exists()


# -- mailboxes -------------------------------------------------------------------------------


def test_a_mailbox_of_somebody_else_is_moved(tmp_path: Path) -> None:
    """Who puts a file of his own there would read the mail."""
    tmp_path.chmod(0o700)
    (tmp_path / "joe").write_text("theirs")
    host = Sleepless()
    user = User(b"joe", os.getuid() + 1, os.getgid(), b"/", b"/bin/sh")
    host.fchown = silent  # type: ignore[assignment]  # only root may
    assert system_mailbox.screen(host, bytes(tmp_path / "joe"), user, note=silent) == system_mailbox.USABLE
    (bogus,) = tmp_path.glob("BOGUS.joe.*")
    assert bogus.read_text() == "theirs"


class Sleepless(Host):
    """Does not wait for anybody."""

    def sleep(self, seconds: float) -> None:
        pass


@pytest.mark.parametrize("planted", ["link", "file"])
def test_what_appears_while_a_mailbox_is_made_is_not_used(tmp_path: Path, planted: str) -> None:
    """Root would give the target of the link to the user."""
    tmp_path.chmod(0o700)
    target = tmp_path / "target"
    target.write_text("root's")

    class Raced(Sleepless):
        def __init__(self) -> None:
            super().__init__()
            self.given: list[int] = []
            self.open = self._open  # type: ignore[assignment]  # static in Host, with more arguments
            self.fchown = lambda fd, *_: self.given.append(fd)

        def _open(self, path: bytes, flags: int, mode: int = 0o777) -> int:
            if path.endswith(b"joe") and not os.path.lexists(path):
                os.symlink(target, path) if planted == "link" else os.link(target, path)
            return os.open(path, flags, mode)

    host = Raced()
    user = User(b"joe", os.getuid() + 1, os.getgid(), b"/", b"/bin/sh")
    found = system_mailbox.screen(host, bytes(tmp_path / "joe"), user, note=silent)
    assert (found, host.given) == (system_mailbox.UNUSABLE, [])
    assert target.read_text() == "root's"


@pytest.mark.parametrize("planted", ["link", "file", "dangling"])
def test_maildrop_gives_away_no_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    target = tmp_path / "target"
    if planted != "dangling":
        target.write_text("root's")
    if planted == "file":
        os.link(target, tmp_path / "joe")
    else:
        (tmp_path / "joe").symlink_to(target)
    monkeypatch.setattr(maildrop, "mailbox_of", lambda _user: bytes(tmp_path / "joe"))
    given: list[object] = []
    host = Host()
    host.fchown = lambda *arguments: given.append(arguments)
    maildrop._make_mailbox(host, STRANGER)
    assert given == []
    assert (tmp_path / "joe").is_symlink() or stat.S_ISREG((tmp_path / "joe").stat().st_mode)
    assert target.exists() == (planted != "dangling")


def test_permissions_are_taken_from_that_file_only(tmp_path: Path) -> None:
    """The name changes hands between the look and the change."""
    tmp_path.chmod(0o700)
    (tmp_path / "joe").touch()
    (tmp_path / "joe").chmod(0o666)
    other = tmp_path / "other"
    other.touch()
    other.chmod(0o644)

    class Raced(Sleepless):
        def __init__(self) -> None:
            super().__init__()
            self.open = self._open  # type: ignore[assignment]  # static in Host, with more arguments

        def _open(self, path: bytes, flags: int, mode: int = 0o777) -> int:
            (tmp_path / "joe").unlink()
            os.link(other, tmp_path / "joe")
            return os.open(path, flags, mode)

    user = User(b"joe", os.getuid(), os.getgid(), b"/", b"/bin/sh")
    system_mailbox.screen(Raced(), bytes(tmp_path / "joe"), user, note=silent)
    assert stat.S_IMODE(other.stat().st_mode) == 0o644


# -- modes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["procmail", "maildrop"])
def test_mail_is_its_owners_alone(tmp_path: Path, launchers: Path, program: str) -> None:
    """Whatever umask the caller has."""
    (tmp_path / "rc").write_text({"procmail": f":0\n{tmp_path}/box\n", "maildrop": f'to "{tmp_path}/box"\n'}[program])
    (tmp_path / "rc").chmod(0o600)
    command: list[str | Path] = [launchers / program, *(["-m"] if program == "procmail" else []), tmp_path / "rc"]
    done = subprocess.run(command, input=MAIL, capture_output=True, check=False, timeout=60, umask=0)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((tmp_path / "box").stat().st_mode) == 0o600
