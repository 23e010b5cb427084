"""The whole stream of a run, once for each language: tests/cases/streams.

Each line is the place (file:line:column), the kind of event, and what it holds.  `pytest --update-cases` writes the
streams anew, for review.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from conftest import ROOT

from pyprocmail.commands.compiler import compile_filter_here, compile_here
from pyprocmail.engine import events
from pyprocmail.engine.events import Event
from pyprocmail.engine.trace import Finding, Trace
from pyprocmail.engine.world import World
from pyprocmail.exits import EX_OK
from pyprocmail.host import Host
from pyprocmail.maildrop import run as filters
from pyprocmail.maildrop import world as filter_world
from pyprocmail.message.model import Message
from pyprocmail.procmail import run, start

CASES = ROOT / "tests" / "cases" / "streams"
MAIL = (CASES / "one.eml").read_bytes()


class Scene:
    """A home in which the rules of a case run, and what their run tells."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.host = Host()
        found = self.host.user_by_id(os.getuid())
        assert found is not None
        self.user = found
        self._events: list[Event] = []
        for path in CASES.iterdir():
            shutil.copy(path, home)
            (home / path.name).chmod(0o600)

    def listen(self, trace: Trace) -> None:
        """Keep all that is told."""
        self._events = events.record(trace, words=True)

    def kinds(self) -> set[type]:
        """Which kinds of event were told."""
        return {type(event) for event in self._events}

    def text(self) -> str:
        """A line for each event, without what is another one in each run."""
        lines = b"\n".join(self._line(event) for event in self._events) + b"\n"
        lines = lines.replace(os.fsencode(self.home), b"HOME").replace(self.user.name, b"USER")
        lines = re.sub(rb"(new|tmp)/[^'\" ]+", rb"\1/UNIQUE", lines)
        lines = re.sub(rb"\[\d+\]", b"[PID]", lines)
        lines = re.sub(rb"(_[\w-]{6,}|msg)\.[\w.-]+", b"UNIQUE", lines)
        return lines.decode()

    def _line(self, event: Event) -> bytes:
        words = [type(event).__name__.encode()]
        for field in fields(event):
            value = getattr(event, field.name)
            if field.name == "place":
                words.insert(0, self._place(*value))
            else:
                words.append(field.name.encode() + b"=" + self._shown(value))
        return b" ".join(words)

    def _place(self, path: bytes, offset: int) -> bytes:
        if not path:
            return b"-"
        before = Path(os.fsdecode(path)).read_bytes()[:offset]
        return b"%b:%d:%d" % (
            path.rpartition(b"/")[2], before.count(b"\n") + 1, offset - before.rfind(b"\n"),
        )  # fmt: skip

    def _shown(self, value: object) -> bytes:
        if isinstance(value, Message):
            return b"%d bytes" % len(value.data)
        if isinstance(value, Finding):
            known = ("kind", "shown", "negated", "held", "area", "text", "weight", "before", "after")
            return (
                b"(" + b" ".join(b"%b=%b" % (name.encode(), self._shown(getattr(value, name))) for name in known) + b")"
            )
        return repr(value).encode()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A scene in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Scene(tmp_path)


def compare(scene: Scene, name: str, *, update: bool) -> None:
    """The stream is the one of the case."""
    path = CASES / name
    if update:
        path.write_text(scene.text())
    assert scene.text() == path.read_text()


def test_rcfile(scene: Scene, update_cases: bool) -> None:
    """Every kind of event is in it."""
    world = World(scene.host)
    setup = run.Setup(b"procmail", {}, compile_here, lambda *_: None)
    origin = start.Origin(scene.host, scene.user, sender=None, deliver=False, override=False)
    home = f"HOME={scene.home}"
    settings = [
        home,
        f"MAILDIR={scene.home}",
        "DEFAULT=inbox",
        "SHELL=/bin/sh",
        "SUSPEND=0",
        "LOGFILE=log",
        "SENDMAIL=true",
    ]
    recipient = run.Recipient(
        scene.user, origin, operands=[*map(os.fsencode, settings), b"./everything.rc"], mail_filter=True
    )
    verdict = run.deliver(world, recipient, lambda: MAIL, setup, listen=scene.listen)
    assert verdict.status == EX_OK
    compare(scene, "everything.rc.stream", update=update_cases)
    assert scene.kinds() == set(get_args(Event))


def test_filter_file(scene: Scene, update_cases: bool) -> None:
    """What filter files can tell."""
    setup = filters.Setup(scene.host, b"maildrop", {}, compile_filter_here, lambda *_: None)
    recipient = filters.Recipient(scene.user, file=b"everything.filter")
    letter = MAIL.partition(b"\n")[2]
    verdict = filters.deliver(filter_world.World(scene.host), recipient, lambda: letter, setup, listen=scene.listen)
    assert verdict.status == EX_OK
    compare(scene, "everything.filter.stream", update=update_cases)
