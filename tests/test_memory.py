"""How much memory a large mail takes: its own size, one copy that is searched, and the program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIZE = 40 << 20
COPIES = 2.25
"""The mail, the copy that all conditions share, and what malloc rounds up."""
PROGRAM = 32 << 20
"""What pyprocmail takes for a mail of nothing, generously."""

MEASURE = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""From a small process, since what a process begins with counts as its own."""

RULES = {
    "header": "* ^Subject: nothing\n",
    "body": "* B ?? nothing.here\n",
    "both, then body": "* HB ?? nothing.here|^^Subject\n* B ?? nothing.else\n",
    "score": "* B ?? -1^1 zebra\n* B ?? -1^.1 x\n",
    "MATCH": "* B ?? nothing.*\\/here\n",
    "decoded": "* MIME_TEXT ?? nothing.here\n",
    "filter": "* ^Subject: one\n{\n  :0 fw\n  | cat\n}\n:0\n* B ?? nothing.here\n",
    "header filter": "* ^Subject: one\n{\n  :0 fhw\n  | cat\n}\n:0\n* B ?? nothing.here\n",
    "body filter": "* ^Subject: one\n{\n  :0 fbw\n  | cat\n}\n:0\n* B ?? nothing.here\n",
}
FILTERS = {
    "header": 'if (/^Subject: nothing/)\n  to "/dev/null"\n',
    "body": 'if (/nothing.here/:b)\n  to "/dev/null"\n',
    "both, then body": 'if (/nothing.here/:hb || /nothing.else/:b)\n  to "/dev/null"\n',
    "score": 'if (/zebra/:b,1,1 >= 1)\n  to "/dev/null"\n',
    "xfilter": 'xfilter "cat"\nif (/nothing.here/:b)\n  to "/dev/null"\n',
}


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large mail."""
    path = tmp_path_factory.mktemp("large") / "mail"
    line = b"x" * 75 + b"\n"
    path.write_bytes(b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\n" + line * (SIZE // len(line)))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("how", ["mail", "mailbox"])
@pytest.mark.parametrize("kind", RULES)
def test_one_copy(launchers: Path, tmp_path: Path, mail: Path, kind: str, how: str) -> None:
    """Whatever the conditions search, and whether the mail comes alone or in a mailbox."""
    (tmp_path / "rc").write_text(f"MAILDIR={tmp_path}\n:0\n{RULES[kind]}/dev/null\n\n:0\nbox/\n")
    program = "procmail" if how == "mail" else "pyprocmail"
    assert peak([launchers / program, "-m", tmp_path / "rc"], mail, tmp_path) < COPIES * SIZE + PROGRAM
    (stored,) = (tmp_path / "box" / "new").iterdir()
    assert stored.stat().st_size > SIZE


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILTERS)
def test_one_copy_in_a_filter_file(launchers: Path, tmp_path: Path, mail: Path, kind: str) -> None:
    """The same for maildrop."""
    rules = tmp_path / "filter"
    rules.write_text(f'{FILTERS[kind]}to "{tmp_path}/box"\n')
    rules.chmod(0o600)
    assert peak([launchers / "maildrop", rules], mail, tmp_path) < COPIES * SIZE + PROGRAM
    assert (tmp_path / "box").stat().st_size > SIZE


def peak(words: list[Path | str], mail: Path, folder: Path) -> int:
    """The most memory in bytes that a delivery of the mail takes."""
    command: list[str | Path] = [sys.executable, "-I", "-c", MEASURE, *words]
    with mail.open("rb") as file:
        done = subprocess.run(
            command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder, check=True
        )
    return int(done.stdout) * 1024
