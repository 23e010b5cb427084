"""What became of a mail, as data: each outcome of one delivery, and many deliveries in one process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from pyprocmail.commands.compiler import compile_filter_here, compile_here
from pyprocmail.engine.events import Assigned, Event, record
from pyprocmail.engine.rehearsal import Rehearsal
from pyprocmail.engine.trace import Trace
from pyprocmail.engine.verdict import Verdict
from pyprocmail.engine.world import World
from pyprocmail.exits import EX_CANTCREAT, EX_OK, EX_TEMPFAIL
from pyprocmail.host import Host
from pyprocmail.maildrop import rehearsal as filter_rehearsal
from pyprocmail.maildrop import run as filters
from pyprocmail.maildrop import world as filter_world
from pyprocmail.procmail import run, start
from pyprocmail.signals import SIGTERM, AlarmError, Interrupted

Listener: TypeAlias = Callable[[Trace], object]

MAIL = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n"


class Desk:
    """A user with a home of its own, to whom mails are delivered in this process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.host = Host()
        found = self.host.user_by_id(os.getuid())
        assert found is not None
        self.user = found
        self.setup = run.Setup(b"procmail", {}, compile_here, lambda *_: None)

    def deliver(
        self, rules: str, mail: bytes = MAIL, *, world: World | None = None, listen: Listener | None = None
    ) -> Verdict:
        """The verdict on one mail."""
        rcfile = self.home / "rules.rc"
        rcfile.write_text(
            f"MAILDIR={self.home}\nSHELL=/bin/sh\nDEFAULT=inbox\nLOGFILE=log\nSUSPEND=0\nLOCKSLEEP=0\n{rules}"
        )
        origin = start.Origin(self.host, self.user, sender=None, deliver=False, override=False)
        recipient = run.Recipient(
            self.user, origin, operands=[os.fsencode(rcfile)], arguments=[b"detail"], mail_filter=True
        )
        return run.deliver(world or World(self.host), recipient, lambda: mail, self.setup, listen=listen)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def test_stored(desk: Desk) -> None:
    """Each folder with what it got, copies too."""
    verdict = desk.deliver(":0 c\ncopies/\n\n:0\n| cat >>rest\n")
    (copy,) = verdict.stored
    assert copy[0].startswith(b"copies/new/")
    assert copy[1] == len(MAIL.partition(b"\n")[2])
    assert verdict.forwarded == [b"cat >>rest"]
    assert (verdict.status, verdict.refused, verdict.told_early, verdict.untouched) == (EX_OK, [], False, False)
    assert (desk.home / "rest").read_bytes() == MAIL + b"\n"


def test_refused(desk: Desk) -> None:
    """Each folder that did not take the mail, and why, for a log line or a reply."""
    verdict = desk.deliver("DEFAULT=/nowhere/a\nORGMAIL=/nowhere/b\n:0\n/nowhere/c\n")
    assert [name for name, _ in verdict.refused] == [b"/nowhere/c", b"/nowhere/a", b"/nowhere/b"]
    assert verdict.reason().startswith(b"/nowhere/c: ")
    assert b"\n" not in verdict.reason()
    assert verdict.status in (EX_TEMPFAIL, EX_CANTCREAT)
    assert verdict.stored == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("exit 3;", b"exit status 3"),
        ("kill -9 $$;", b"signal 9"),
        ("/nowhere/program", b"it could not be started"),
    ],
)
def test_program_that_refuses(desk: Desk, command: str, why: bytes) -> None:
    """The program and what was wrong with it; DEFAULT has the mail then."""
    verdict = desk.deliver(f":0 w\n| {command}\n")
    assert [reason for _, reason in verdict.refused] == [why]
    assert [name for name, _ in verdict.stored] == [b"inbox"]
    assert verdict.status == EX_OK


def test_untouched(desk: Desk) -> None:
    """An rcfile that cannot be read."""
    origin = start.Origin(desk.host, desk.user, sender=None, deliver=False, override=False)
    recipient = run.Recipient(desk.user, origin, operands=[b"/nowhere/rc"], mail_filter=True)
    verdict = run.deliver(World(desk.host), recipient, lambda: MAIL, desk.setup)
    assert (verdict.status, verdict.untouched) == (EX_TEMPFAIL, True)
    assert verdict.reason() == b"/nowhere/rc: cannot be read"


def test_reply(desk: Desk) -> None:
    """REPLY and EXITCODE of the rcfile."""
    verdict = desk.deliver('REPLY="550 5.7.1 not here"\nEXITCODE=77\n:0\n/dev/null\n')
    assert (verdict.reply, verdict.status) == (b"550 5.7.1 not here", 77)


def test_rehearsed_with_its_clones(desk: Desk) -> None:
    """A world without processes tells what the clones did, too."""
    verdict = desk.deliver(":0 c\n{\n  :0\n  clone\n}\n:0\nrest\n", world=Rehearsal(desk.host))
    assert sorted(name for name, _ in verdict.stored) == [b"clone", b"rest"]
    assert not (desk.home / "clone").exists()


@pytest.mark.parametrize("real", [True, False])
def test_nobody_is_told_of_what_is_rehearsed(desk: Desk, real: bool) -> None:
    """COMSAT: the datagram goes out with the real world alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        world = World(desk.host) if real else Rehearsal(desk.host)
        verdict = desk.deliver(f"COMSAT={server.getsockname()[1]}@127.0.0.1\n:0\nbox\n", world=world)
        assert [name for name, _ in verdict.stored] == [b"box"]
        if real:
            assert server.recv(1000).endswith(b"/box")
        else:
            with pytest.raises(BlockingIOError):
                server.recv(1000)


def test_stream(desk: Desk) -> None:
    """Who listens hears of the run from its beginning."""
    heard: list[list[Event]] = []
    desk.deliver("X=1\n:0 w\n* ^Subject:\n| exit 3;\n", listen=lambda trace: heard.append(record(trace)))
    kinds = [type(event).__name__ for event in heard[0]]
    assert kinds[0] == "Assigned"
    assert [kind for kind in kinds if kind not in ("Assigned", "LockTaken")] == [
        "RcfileEntered", "RecipeBegun", "ConditionTested", "ProgramRan", "RcfileLeft", "Stored", "Settled",
    ]  # fmt: skip


def test_crosses_a_pipe(desk: Desk) -> None:
    """Packed and unpacked it is the same; anything else is refused."""
    verdict = desk.deliver("REPLY=x\n:0\nbox\n")
    again = Verdict.unpack(verdict.pack())
    assert all(getattr(again, name) == getattr(verdict, name) for name in Verdict.__slots__)
    for wrong in (b"", verdict.pack()[:-3], b"(", b"\xff" * 10, b"i\0\0\0\0"):
        with pytest.raises(ValueError, match=r"."):
            Verdict.unpack(wrong)


def test_given_back(desk: Desk) -> None:
    """A delivery leaves the umask, the descriptors and the children of the process as they were."""
    os.umask(0o027)
    desk.deliver(":0\nbox\n")
    before = sorted(os.listdir("/proc/self/fd"))
    for number in range(20):
        desk.deliver("UMASK=0\nA=`echo x`\n:0 c\n| cat >/dev/null\n:0 f\n| cat\n:0\nbox\n", MAIL + b"%d\n" % number)
    assert os.umask(0o022) == 0o027
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert (desk.home / "box").read_bytes().count(b"Subject: one") == 21


def test_an_inner_deadline_ends_alone() -> None:
    """The outer one goes on, and ends what is waited for afterwards."""
    host = Host()
    outer = host.alarm(0.3)
    with outer:
        with pytest.raises(AlarmError), host.alarm(0.05):
            host.sleep(30)
        with host.alarm(1000):
            pass
        with host.alarm(0):
            pass
        with pytest.raises(AlarmError):
            host.sleep(30)


def test_an_inner_deadline_is_no_longer_than_the_outer_one() -> None:
    """The earlier end counts; behind both there is no limit."""
    host = Host()
    with host.alarm(1000), pytest.raises(AlarmError), host.alarm(0.05):
        host.sleep(30)
    with pytest.raises(AlarmError), host.alarm(0.05), host.alarm(1000):
        host.sleep(30)
    host.sleep(0.001)


# -- filter files ----------------------------------------------------------------------------


class FilterDesk:
    """A user of filter files, to whom mails are delivered in this process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.host = Host()
        found = self.host.user_by_id(os.getuid())
        assert found is not None
        self.user = found
        self.setup = filters.Setup(self.host, b"maildrop", {}, compile_filter_here, lambda *_: None)
        for part in ("new", "cur", "tmp"):
            (home / "md" / part).mkdir(parents=True)

    def deliver(
        self, rules: str, *, world: filter_world.World | None = None, listen: Listener | None = None
    ) -> Verdict:
        """The verdict on one mail."""
        rcfile = self.home / "filter"
        rcfile.write_text(f'SHELL="/bin/sh"\nDEFAULT="{self.home}/inbox"\nlogfile "{self.home}/log"\n{rules}')
        rcfile.chmod(0o600)
        recipient = filters.Recipient(self.user, file=os.fsencode(rcfile))
        return filters.deliver(
            world or filter_world.World(self.host), recipient, lambda: LETTER, self.setup, listen=listen
        )


LETTER = MAIL.partition(b"\n")[2]


@pytest.fixture
def filter_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FilterDesk:
    """A desk in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return FilterDesk(tmp_path)


EVERYTHING = """
REPLY="250 fine"
if (/^Subject: (.*)/)
{
  cc "|cat >/dev/null"
}
cc "md"
cc "copies"
dotlock "l" {
  flock "f" {
    to "box"
  }
}
"""


def test_filter_stores(filter_desk: FilterDesk) -> None:
    """Each folder with what it got, programs, REPLY."""
    verdict = filter_desk.deliver(EVERYTHING)
    names = [name for name, _ in verdict.stored]
    assert names[0].startswith(b"md/new/")
    assert names[1:] == [b"copies", b"box"]
    assert (verdict.forwarded, verdict.status, verdict.reply) == ([b"cat >/dev/null"], EX_OK, b"250 fine")
    assert (filter_desk.home / "box").exists()


def test_filter_rehearsed(filter_desk: FilterDesk) -> None:
    """Nothing of it happens, and the same is told."""
    before = sorted(filter_desk.home.rglob("*"))
    heard: list[list[Event]] = []
    kept: list[bytes] = []
    world = filter_rehearsal.Rehearsal(filter_desk.host, keep=lambda path, _text: kept.append(path))
    verdict = filter_desk.deliver(EVERYTHING, world=world, listen=lambda trace: heard.append(record(trace)))
    assert [name.partition(b"/")[0] for name, _ in verdict.stored] == [b"md", b"copies", b"box"]
    assert kept == [os.path.join(os.fsencode(filter_desk.home), name) for name, _ in verdict.stored]
    assert sorted(filter_desk.home.rglob("*")) == sorted([*before, filter_desk.home / "filter"])
    kinds = [type(event).__name__ for event in heard[0] if not isinstance(event, Assigned)]
    assert kinds == [
        "RcfileEntered", "ConditionTested", "ConditionTested", "ProgramRan", "Forwarded", "Stored", "LockTaken",
        "Stored", "LockTaken", "LockTaken", "Stored", "RcfileLeft",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "what", "why"),
    [
        ('to "/nowhere/box"', b"/nowhere/box.lock", b"No such file"),
        ('to "|exit 3"', b"|exit 3", b"exit status 3"),
        ('MAILDIRQUOTA="1S"\nto "md"', b"md", b"over quota"),
        ('FLAGS="X"\nto "md"', b"md", b"unknown flags"),
        ('xfilter "exit 1"', b"", b"Unable to filter message."),
        ("if (", b"", b""),
    ],
)
def test_filter_refuses(filter_desk: FilterDesk, rules: str, what: bytes, why: bytes) -> None:
    """What did not take the mail, and why."""
    verdict = filter_desk.deliver(rules + "\n")
    assert verdict.status != EX_OK
    assert verdict.stored == []
    if why:
        assert verdict.refused[0][0] == what
        assert why in verdict.refused[0][1]
    else:
        assert verdict.untouched


def test_a_signal_after_the_store_ends_nothing() -> None:
    """The mail is safe: 75 would have it delivered twice."""
    host = Host()
    host._on_end(SIGTERM, None)
    with pytest.raises(Interrupted):
        host.check_signals()
    host.settle()
    host.check_signals()
    host.sleep(0)
