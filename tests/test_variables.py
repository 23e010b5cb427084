"""The special variables: table, effects and manual page agree; NORESRETRY."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from conftest import ROOT

from pyprocmail.commands.compiler import compile_here
from pyprocmail.engine.world import World
from pyprocmail.exits import EX_OK, EX_TEMPFAIL
from pyprocmail.host import Host
from pyprocmail.lint.variables import SPECIAL
from pyprocmail.procmail import run, start
from pyprocmail.procmail.compiled.variables import STRICT, TABLE
from pyprocmail.procmail.effects import EFFECTS

MAIL = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n"
ELSEWHERE = {STRICT}
"""pyprocmail-compat(7) has it."""


def documented() -> dict[bytes, bytes | None]:
    """The variables of the manual page, with their defaults where it gives one."""
    page = (ROOT / "man" / "pyprocmailrc.5").read_text()
    section = page[page.index(".Sh VARIABLES") :]
    section = section[: section.index("\n.Sh ", 1)]
    found: dict[bytes, bytes | None] = {}
    for item in re.split(r"^\.It ", section, flags=re.MULTILINE)[1:]:
        names, _, text = item.partition("\n")
        default = re.search(r"Default:\s+(?:\.Li )?([^\s,]+?)(?: ?\.)?(?:\n|,)", text)
        for name in re.findall(r"[A-Z_]+", names.removeprefix("Ev ")):
            found[name.encode()] = default[1].encode() if default and " , " not in names else None
    return found


def test_manual_page_has_them_all() -> None:
    """None is missing, and none is invented."""
    assert set(documented()) == {name for name, *_ in TABLE} - ELSEWHERE


@pytest.mark.parametrize(("name", "default"), [(name, default) for name, default, _ in TABLE if default is not None])
def test_defaults_are_those_of_the_manual_page(name: bytes, default: bytes) -> None:
    """Where it gives one for the variable alone."""
    said = documented()[name]
    assert said is None or said in (default, default + b".")


def test_effects_and_checks_are_about_them() -> None:
    """What has an effect is in the table, and what is in the table is known to the checks."""
    names = {name for name, *_ in TABLE}
    assert EFFECTS.keys() <= names
    assert names <= SPECIAL


# -- NORESRETRY ------------------------------------------------------------------------------


class BusyHost(Host):
    """No process can be had for the first `busy` times."""

    def __init__(self, busy: int, error: int) -> None:
        super().__init__()
        self.busy = busy
        self.error = error
        self.slept: list[float] = []

    def _wait_for_a_process(self) -> None:
        if self.busy:
            self.busy -= 1
            raise OSError(self.error, os.strerror(self.error))

    def pipe(self) -> tuple[int, int]:
        """Fails at first."""
        self._wait_for_a_process()
        return super().pipe()

    def fork(self) -> int:
        """Fails at first."""
        self._wait_for_a_process()
        return super().fork()

    def sleep(self, seconds: float) -> None:
        """Takes no time."""
        self.slept.append(seconds)


RULES = {"program": ":0 w\n| cat >>box\n", "clone": ":0 c\n{\n  EXITCODE=0\n  :0\n  copy\n}\n:0\nbox\n"}


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("error", [errno.EAGAIN, errno.EMFILE])
@pytest.mark.parametrize(
    ("settings", "busy", "tried"), [("", 4, 4), ("", 5, 4), ("NORESRETRY=0\n", 1, 0), ("NORESRETRY=-1\n", 30, 30)]
)
def test_noresretry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, error: int, settings: str, busy: int, tried: int
) -> None:
    """So many tries, SUSPEND seconds apart; after the last one the mail is kept."""
    monkeypatch.chdir(tmp_path)
    host = BusyHost(busy, error)
    user = host.user_by_id(os.getuid())
    assert user is not None
    (tmp_path / "rc").write_text(f"MAILDIR={tmp_path}\nSHELL=/bin/sh\nSUSPEND=7\nLOGFILE=log\n{settings}{RULES[kind]}")
    origin = start.Origin(host, user, sender=None, deliver=False, override=False)
    recipient = run.Recipient(user, origin, operands=[b"./rc"], mail_filter=True)
    setup = run.Setup(b"procmail", {}, compile_here, lambda *_: None)
    verdict = run.deliver(World(host), recipient, lambda: MAIL, setup, wait=True)
    assert [seconds for seconds in host.slept if seconds == 7] == [7] * tried
    assert verdict.status == (EX_OK if busy == tried else EX_TEMPFAIL)
    assert (tmp_path / "box").exists() == (busy == tried)
