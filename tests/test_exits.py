"""Every exit status that a delivery can end with: cases/exits.toml."""

import os
import pwd
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from pyprocmail.commands import main

SCENES: dict[str, dict[str, Any]] = tomllib.loads((ROOT / "tests" / "cases" / "exits.toml").read_text())
MAIL = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n"
USER = "daemon"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A scratch folder of an ordinary user."""
    with tempfile.TemporaryDirectory(prefix="exits.") as name:
        path = Path(name)
        path.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(path, pwd.getpwnam(USER).pw_uid, -1)
        yield path
        for closed in path.iterdir():
            closed.chmod(0o755)


def has_mailbox(user: str) -> bool:
    """Whether the user has a system mailbox, or can make one."""
    return os.path.exists(f"/var/mail/{user}") or (os.geteuid() != 0 and os.access("/var/mail", os.W_OK))


@pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])
@pytest.mark.parametrize("name", SCENES)
def test_the_exit_status(name: str, strict: bool, folder: Path, launchers: Path) -> None:
    """It is 75 wherever an administrator, or tomorrow, may mend what is wrong."""
    scene = SCENES[name]
    user = USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if name == "no-mailbox" and has_mailbox(user):
        pytest.skip(f"{user} has a mailbox, or can make one")

    def filled(text: str) -> str:
        return text.replace("@DIR@", str(folder)).replace("@USER@", user)

    rcfile = folder / "rc"
    rcfile.write_text(filled(scene["rcfile"]))
    for closed in scene.get("closed", ()):
        (folder / closed).mkdir(mode=0o500)
    done = subprocess.run(
        [launchers / "procmail", *map(filled, scene.get("argv", ["-m", "@DIR@/rc"]))],
        input=MAIL,
        capture_output=True,
        check=False,
        timeout=60,
        user=USER if os.geteuid() == 0 else None,
        group=pwd.getpwnam(USER).pw_gid if os.geteuid() == 0 else None,
        extra_groups=[] if os.geteuid() == 0 else None,
        env={"PATH": "/usr/bin:/bin", **({"PYPROCMAIL_STRICT": "yes"} if strict else {})},
        cwd="/",
    )
    expected = scene.get("strict", scene["status"]) if strict else scene["status"]
    assert done.returncode == expected, done.stderr
    if not strict:
        assert filled(scene.get("log", "")) in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_fault_outside_a_session_keeps_the_mail(capfd: pytest.CaptureFixture[str]) -> None:
    def faulty() -> int:
        raise RuntimeError("a fault of ours")

    assert main._safely(b"procmail", faulty) == 75
    assert "a fault of ours" in capfd.readouterr().err


def test_an_interrupt_at_a_terminal_is_not_traced(capfd: pytest.CaptureFixture[str]) -> None:
    """It is no fault of ours, and the mail stays with the caller all the same."""

    def interrupted() -> int:
        raise KeyboardInterrupt

    assert main._safely(b"vacation", interrupted) == 75
    assert capfd.readouterr().err == ""


def test_maildrop_says_that_a_mailbox_cannot_be_written(launchers: Path, tmp_path: Path) -> None:
    """A disk that fills while an mbox is written is no fault of ours: the reference's words, and 75."""
    (tmp_path / "f").write_text('to "box"\n')
    (tmp_path / "f").chmod(0o600)
    done = subprocess.run(
        ["/bin/bash", "-c", f"ulimit -f 1; exec '{launchers}/maildrop' ./f"],
        input=b"Subject: x\n\n" + b"x" * 70 * 100 + b"\n", capture_output=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 75
    assert b"Traceback" not in done.stderr
    assert done.stderr.endswith(b": Unable to deliver to mailbox.\n")
    assert (tmp_path / "box").read_bytes() == b""
