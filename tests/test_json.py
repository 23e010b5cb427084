"""What the commands that try rules write with --json is what pyprocmail-json(5) says, member by member."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import ROOT

from pyprocmail.commands.cli import cli

PAGE = (ROOT / "man" / "pyprocmail-json.5").read_text()
OBJECTS = {
    name: dict(re.findall(r"(?m)^\.It Va (\S+) No : (.+)$", text))
    for name, text in re.findall(r"(?ms)^\.Ss (\w+)\n(.*?)(?=^\.S[sh] )", PAGE)
}
PLAIN: dict[str, type | tuple[type, ...]] = {"text": str, "number": (int, float), "boolean": bool, "null": type(None)}
MAIL = "From: ann@example.org\nSubject: the list\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n\ntext\n"
RULES = (
    "MAILDIR=$HOME\nDEFAULT=inbox\nWORD=x\n"
    ":0 fw\n| mark\n\n:0 c\n* ^Subject:.*list\ncopies/\n\n:0 c\n! bob@example.org\n\n:0 wc\n| keep\n\n"
    ":0\n* ^X-None: (\nnone\n\n:0 c\nno/such/folder\n\n:0:\n* 1^1 e\n* ^From:.*ann\n* > 10\nlists\n"
)
FILTER = 'if (/^Subject:.*list/ && $SIZE > 10)\n{\n  cc "copies"\n  to "lists"\n}\n'
TESTS = (
    'rcfile = "rc"\nhome = "."\n[[test]]\nmail = "Subject: a list"\nfolder = "wrong"\n'
    '[[test]]\nmail = "Subject: y"\nnot_folder = "lists"\n'
)


def faults(found: object, kind: str, where: str) -> list[str]:
    """Where a value is not of the kind that the page says."""
    if " or " in kind:
        tried = [faults(found, one, where) for one in kind.split(" or ")]
        return [] if [] in tried else tried[0]
    if kind.startswith("list of "):
        if not isinstance(found, list):
            return [f"{where}: {found!r} is no list"]
        return [fault for at, one in enumerate(found) for fault in faults(one, kind[8:], f"{where}[{at}]")]
    if kind.endswith(" by name"):
        if not isinstance(found, dict):
            return [f"{where}: {found!r} is no object"]
        return [fault for name, one in found.items() for fault in faults(one, kind[:-8], f"{where}.{name}")]
    if kind in PLAIN:
        is_one = isinstance(found, PLAIN[kind]) and (kind == "boolean" or not isinstance(found, bool))
        return [] if is_one else [f"{where}: {found!r} is no {kind}"]
    members = OBJECTS[kind]
    if not isinstance(found, dict):
        return [f"{where}: {found!r} is no object"]
    wrong = [f"{where}: {name} is not in the page" for name in found.keys() - members.keys()]
    wrong += [f"{where}: there is no {name}" for name in members.keys() - found.keys()]
    for name, one in found.items():
        if name in members:
            wrong += faults(one, members[name], f"{where}.{name}")
    return wrong


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules that do everything, other rules, a filter file, tests, and an mbox."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "rc").write_text(RULES)
    (folder / "other").write_text(RULES.replace("lists\n", "elsewhere\n"))
    (folder / "filter").write_text(FILTER)
    (folder / "tests.toml").write_text(TESTS)
    (folder / "box").write_text(
        "".join(f"From a@b.example Thu Jan  1 00:00:00 2026\n{text}\n" for text in (MAIL, "Subject: y\n\nz\n"))
    )
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "replay rc box",
        "replay filter box",
        "replay none box",
        "explain rc box",
        "explain filter box",
        "diff rc other box",
        "coverage rc box",
        "coverage filter box",
        "test tests.toml",
        "refile rc box",
    ],
)
def test_output_is_as_described(home: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command, with rules in both languages."""
    name, *words = command.split()
    if "none" in words:
        (home / "none").write_text("DEFAULT=none/such\nORGMAIL=none/either\nMAILDIR=/none\n")
    options = ["--json"] if name == "test" else ["--json", "--home", str(home)]
    monkeypatch.chdir(home)
    found = json.loads(CliRunner().invoke(cli, [name, *options, *words]).stdout)
    assert not faults(found, name, name)
    assert (found["schema"], found["version"]) == (f"pyprocmail-{name}", 1)
    assert found["tests" if name == "test" else "rows" if name == "coverage" else "mails"]


def test_the_page_is_whole() -> None:
    """Every type is described, and every object is used."""
    kinds = {re.sub(r"list of | by name", "", one) for all_of in OBJECTS.values() for kind in all_of.values()
             for one in kind.split(" or ")}  # fmt: skip
    commands = {"replay", "explain", "diff", "coverage", "test", "refile"}
    assert kinds - PLAIN.keys() == OBJECTS.keys() - commands
