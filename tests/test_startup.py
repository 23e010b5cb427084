"""What a delivery imports.  A mail server starts one process a message: every import costs each mail.

tests/startup-modules.txt lists the modules that a delivery with a cached program may load on top of
a bare interpreter; add to it only what a measurement justifies.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

from conftest import ROOT

FORBIDDEN = {
    "argparse", "asyncio", "click", "collections", "dataclasses", "email", "enum", "functools", "inspect", "lark",
    "logging", "pathlib", "re", "re2", "signal", "socket", "struct", "subprocess", "tempfile", "traceback", "typing",
}  # fmt: skip

MESSAGE = (
    b"From alice@example.com Thu Jan  1 00:00:00 2026\n"
    b"From: alice@example.com\nTo: bob@example.net\nSubject: invoice 17\n\nDear Bob,\n\nit is due.\n"
)

# What a usual rcfile does: assignments, patterns with MATCH, a block, a filter, a score, folders of two kinds.
RCFILE = """\
MAILDIR=.
DEFAULT=inbox
PATH=/usr/bin:/bin
:0 c
copies/
:0 fhw
| cat
:0
* ^Subject: *invoice \\/[0-9]+
* 1^0 B ?? due
{
    NUMBER=$MATCH
    :0:
    * < 100000
    invoices
}
"""


def modules(*arguments: str | Path, directory: Path, stdin: bytes = b"") -> set[str]:
    """The names of all modules that an isolated interpreter imports while it runs."""
    run = subprocess.run(
        [sys.executable, "-I", "-X", "importtime", *arguments],
        input=stdin, cwd=directory, capture_output=True, check=True,
    )  # fmt: skip
    return set(re.findall(r"(?m)^import time:\s*\d+ \|\s*\d+ \|\s*(\S+)$", run.stderr.decode("latin-1")))


def test_a_delivery_imports_only_what_is_listed(launchers: Path, tmp_path: Path) -> None:
    """The launcher, run as a mail server would, after a first run that filled the program cache."""
    (tmp_path / "rc").write_text(RCFILE)
    launcher = launchers / "procmail"
    time.sleep(2.1)  # a program is cached when its rcfile has been left alone for two seconds
    modules(launcher, "-m", "rc", directory=tmp_path, stdin=MESSAGE)
    loaded = modules(launcher, "-m", "rc", directory=tmp_path, stdin=MESSAGE)
    assert (tmp_path / "invoices").read_bytes().count(b"Dear Bob") == 2
    loaded -= modules("-c", "pass", directory=tmp_path)
    listed = set((ROOT / "tests" / "startup-modules.txt").read_text().split())
    assert loaded & FORBIDDEN == set()
    assert loaded - listed == set(), "imported, but not listed"
    assert {name for name in listed - loaded if name.startswith("pyprocmail")} == set(), "listed, but not imported"
