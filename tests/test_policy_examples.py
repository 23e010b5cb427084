"""examples/policy: each rcfile gives the answers that stand beside it."""

from __future__ import annotations

import datetime as dt
import importlib.util
import os
import shutil
import struct
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from test_milter import running
from test_milter_policy import Server

EXAMPLES = ROOT / "examples" / "policy"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.toml"))
BEGIN = """\
POLICY="{policy}"
SECRET="{folder}/secret"
GREY="{folder}/grey"
COPIES="{folder}/outbound"
INCLUDERC={rcfile}
"""


@pytest.fixture(scope="module")
def milter(launchers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a milter whose rules are `policy.rc` and `rcpt.rc`, empty at first."""
    folder = tmp_path_factory.mktemp("policy")
    for name in ("policy.rc", "rcpt.rc"):
        (folder / name).write_text("")
    (folder / "grey").mkdir()
    # In a place whose name has no blank, which rcfiles that people write do not expect.
    shutil.copytree(EXAMPLES, folder / "examples")
    (folder / "secret").write_text("not very secret")
    with running(launchers, folder, "--policy", "policy.rc", "--at-rcpt", "rcpt.rc", "--workers", "1"):
        yield folder


def test_every_example_has_answers() -> None:
    """And every answer an example."""
    assert sorted(path.stem for path in EXAMPLES.glob("*.rc")) == NAMES
    assert all(f"`{name}.rc`" in (EXAMPLES / "README.md").read_text() for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_answers(milter: Path, name: str) -> None:
    """Each case of the file, in its order."""
    told = tomllib.loads((EXAMPLES / f"{name}.toml").read_text())
    begin = BEGIN.format(policy=milter / "examples", folder=milter, rcfile=milter / "examples" / f"{name}.rc")
    for file, option in (("policy.rc", "--policy"), ("rcpt.rc", "--at-rcpt")):
        (milter / "new").write_text(begin if told["option"] == option else "")
        (milter / "new").rename(milter / file)
    made = addresses(milter) if name == "expiring" else {}
    for case in told["case"]:
        answers = [answer.format(**made) if made else answer for answer in case["answers"]]
        assert [shown(packet) for packet in heard(milter, case, made)] == answers, case["shows"]
    assert sorted(path.name for path in milter.iterdir() if path.name == "made") == []


def heard(folder: Path, case: Mapping[str, Any], made: Mapping[str, str]) -> list[bytes]:
    """What a mail server is told of the mail of a case."""
    server = Server(folder / "milter.sock")
    try:
        server.begin()
        name, address = case.get("client_name", "client.example"), case.get("client_address", "192.0.2.1")
        server.send(b"C%b\x004%b%b\0" % (name.encode(), struct.pack(">H", 25), address.encode()))
        server.send(b"H%b\0" % case.get("helo", "client.example").encode())
        if "login" in case:
            server.send(b"DM{auth_authen}\0%b\0" % case["login"].encode())
        to = [(one.format(**made) if made else one).encode() for one in case.get("to", ["<x@example.com>"])]
        head, _, body = case.get("mail", "\nSubject: x\n\ntext\n").lstrip("\n").encode().partition(b"\n\n")
        fields = [tuple(line.split(b": ", 1)) for line in head.split(b"\n")]
        chunk = case.get("chunk", 65535)
        sender = case.get("from", "<sender@example.org>").encode()
        packets = server.mail([(a, b) for a, b in fields], body.replace(b"\n", b"\r\n"), sender, to, chunk=chunk)
        return [packet for packet in packets if not packet.startswith(b"at ")]
    finally:
        server.socket.close()


def shown(packet: bytes) -> str:
    """A packet as the examples write it."""
    letter, text = packet[:1], packet[1:].decode()
    if letter in (b"c", b"a"):
        return "accept"
    if letter == b"h":
        name, value, _ = text.split("\0")
        return f"add {name}: {value}"
    if letter == b"b":
        return "body " + text.replace("\r\n", "\n")
    words = {b"y": "refuse ", b"d": "discard", b"q": "hold ", b"+": "to ", b"-": "not to ", b"e": "from "}
    return words[letter] + text.removesuffix("\0").replace("%%", "%")


def addresses(folder: Path) -> Mapping[str, str]:
    """Addresses that are good today, and one that no longer is."""
    spec = importlib.util.spec_from_file_location("expiring", EXAMPLES / "expiring.py")
    assert spec is not None
    assert spec.loader is not None
    expiring = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(expiring)
    os.environ["SECRET"] = str(folder / "secret")
    try:
        yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
        long_ago = dt.date(2020, 1, 1)
        old: str = expiring.make("ann", 10, long_ago)
        return {
            "good": expiring.make("ann", 30, yesterday),
            "other": expiring.make("bob", 99, yesterday),
            "old": old,
            "prolonged": old.replace("2020010110", "2020010199"),
            "end": "2020-01-11",
        }
    finally:
        del os.environ["SECRET"]


def test_copies_have_their_envelope(milter: Path) -> None:
    """Whom the mail was for, hidden recipients too; only mail of our own; an mbox that can be read."""
    (milter / "outbound").unlink(missing_ok=True)
    test_answers(milter, "copies")
    kept = (milter / "outbound").read_text()
    assert kept.startswith("From ann@example.com ")
    assert "\nX-Envelope-From: <ann@example.com>\nX-Envelope-To: bob@example.org hidden@example.net\n" in kept
    assert kept.endswith("\n\n>From here on\n\n")
    assert "inbound" not in kept
    assert not (milter / "outbound.lock").exists()
