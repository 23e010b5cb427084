"""A rehearsal says what a run would do: the recorded cases that start no program, against what was really stored."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from test_conformance import HERE, deviations

from pyprocmail.commands import options as command_line
from pyprocmail.commands.compiler import compile_filter_here, compile_here
from pyprocmail.delivery.format import Text
from pyprocmail.engine.programs import Command
from pyprocmail.host import Host, User
from pyprocmail.maildrop import run as filters
from pyprocmail.maildrop.rehearsal import Rehearsal
from pyprocmail.procmail import run, start

sys.path.insert(0, str(HERE))
conform: Any = importlib.import_module("conform")

Case: TypeAlias = dict[str, Any]
"""A recorded case, as its JSON has it."""

Mails: TypeAlias = list[tuple[str, str]]
"""Names of files, and what each mail left there."""

UNIQUE = re.compile(r"1[789]\d{8}\.[^/]*$|(?<=/msg\.)[A-Za-z0-9_+-]{1,11}$")
NUMBER = re.compile(r"(?<=@UNIQUE@)#\d+$")
LOG = re.compile(r"log|maildirsize")
"""What a run writes that is no mail."""
STDOUT = b"|"
LISTED = {entry.case for entry in deviations()}
# Nobody knows that a device is full before something is written to it.
LISTED.add("procmail-lang/mbox-full-device")
if os.getuid() == 0:
    # Root may write to every file.
    LISTED.add("procmail-lang/mbox-unwritable")


class Remembered(Rehearsal):
    """A rehearsal that remembers what would be stored, and whether a program would be started."""

    def __init__(self, host: Host) -> None:
        super().__init__(host, keep=self.remember, answer=self.count)
        self.mails: dict[bytes, bytes] = {}
        self.programs = 0

    def remember(self, path: bytes, text: Text) -> None:
        """What comes to stand in a file."""
        self.mails[path] = self.mails.get(path, b"") + b"".join(text.batches())

    def count(self, _command: Command, _data: bytes) -> None:
        """A program would be started."""
        self.programs += 1


def cases(area: str, program: str) -> list[Path]:
    """The recorded cases of one program on which we agree with the reference."""
    found = []
    for path in sorted((HERE / area).glob("*.json")):
        case = json.loads(path.read_text())
        argv = [word for word in case["argv"] if word.startswith("-") and word != "-m"]
        if case["program"] == program and not argv and f"{area}/{path.stem}" not in LISTED:
            found.append(path)
    return found


def rehearse(case: Case, folder: Path) -> tuple[Remembered, int]:
    """Make what the case has in `folder`, and rehearse it there."""
    text = str(folder)
    for name in case["dirs"]:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, value in case["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(conform.blob(value, text))
        path.chmod(int(value.get("mode", "0644"), 8) if isinstance(value, dict) else 0o644)
    host = Host()
    user = host.user_by_id(os.getuid())
    assert user is not None
    user = User(user.name, user.uid, user.gid, os.fsencode(folder), b"/bin/sh")
    caller = {
        "PATH": f"{folder}/bin:/usr/bin:/bin", "HOME": text, "SHELL": "/bin/sh", "LC_ALL": "C", "TZ": "UTC",
    } | case["env"]  # fmt: skip
    environment = {os.fsencode(name): os.fsencode(value.replace("@DIR@", text)) for name, value in caller.items()}
    argv = [os.fsencode(word.replace("@DIR@", text)) for word in case["argv"]]
    mail = conform.blob(case["stdin"], text)
    world = Remembered(host)
    if case["program"] == "maildrop":
        setup = filters.Setup(host, b"maildrop", environment, compile_filter_here, lambda *_: None)
        recipient = filters.Recipient(user, file=argv[0], arguments=argv[1:])
        return world, filters.deliver(world, recipient, lambda: mail, setup).status
    options = command_line.parse(argv, as_recipient=False)
    origin = start.Origin(host, user, sender=None, deliver=False, override=False)
    procmail = run.Setup(b"procmail", environment, compile_here, lambda *_: None)
    whom = run.Recipient(user, origin, operands=options.operands, mail_filter=options.mail_filter)
    return world, run.deliver(world, whom, lambda: mail, procmail).status


def stored(case: Case, folder: Path) -> Mails:
    """What was really stored: the files that are there afterwards and were not, or have grown."""
    found = []
    for name, entry in case["expect"]["tree"].items():
        if not isinstance(entry, list):
            continue
        before = case["files"].get(name)
        text = "" if before is None else conform.normalise(conform.blob(before, str(folder)), str(folder), 0)
        if entry[1] != text:
            found.append((NUMBER.sub("", name), entry[1].removeprefix(text)))
    return found


def difference(path: Path, folder: Path) -> str | None:
    """What the rehearsal says otherwise than it was really stored; None for a case that starts a program."""
    case = json.loads(path.read_text())
    world, status = rehearse(case, folder)
    if world.programs:
        return None
    said: Mails = []
    printed = conform.normalise(world.mails.pop(STDOUT, b""), str(folder), 0)
    for name, data in world.mails.items():
        relative = os.path.relpath(folder / os.fsdecode(name), folder)
        said.append((UNIQUE.sub("@UNIQUE@", relative), conform.normalise(data, str(folder), 0)))
    names = {name for name, _ in said}
    really = [(name, text) for name, text in stored(case, folder) if name in names or not LOG.search(name)]
    expected = case["expect"]
    # What maildrop prints, its filter file prints, not a delivery.
    prints = printed if case["program"] == "maildrop" else expected["stdout"]
    told, true = (sorted(said), printed, status), (sorted(really), prints, expected["exit"])
    return "" if told == true else f"{told} instead of {true}"


@pytest.mark.parametrize(
    ("area", "program", "least"),
    [("procmail-lang", "procmail", 130), ("procmail-regex", "procmail", 80), ("maildrop", "maildrop", 60)],
)
def test_recorded_cases(area: str, program: str, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens, and what would have happened is known."""
    differ, compared = {}, 0
    for path in cases(area, program):
        folder = tmp_path / path.stem
        folder.mkdir()
        monkeypatch.chdir(folder)
        found = difference(path, folder)
        compared += found is not None
        if found:
            differ[path.stem] = found
    assert differ == {}
    assert compared >= least
