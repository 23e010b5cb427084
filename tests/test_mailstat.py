"""mailstat: reports, and what happens to the log."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pyprocmail.host import Host
from pyprocmail.tools import mailstat

LOG = b"""\
From a@b Thu Jan  1 00:00:00 2026
 Subject: one
  Folder: Mail/new/1767225600.1_1.host\t\t\t   1000
procmail: Lock failure on "x.lock"
procmail: [12] Thu Jan  1 00:00:00 2026
procmail: Match on "^Subject"
procmail: Assigning "LASTFOLDER=mh/7"
From a@b Thu Jan  1 00:00:00 2026
  Folder: mh/7\t\t\t     20
  Folder: M\xe4il\t\t\t     3
"""


def run(*arguments: str, stdin: bytes = b"", strict: bool = False) -> tuple[int, str, str]:
    """Run mailstat: status, output, messages."""
    output: list[bytes] = []
    messages: list[bytes] = []
    pieces = [stdin]
    argv = [b"mailstat", *(os.fsencode(word) for word in arguments)]
    environ = {b"PYPROCMAIL_STRICT": b"yes"} if strict else {}

    def read(_: int) -> bytes:
        return pieces.pop() if pieces else b""

    status = mailstat.run(Host(), argv, environ, read, output.append, messages.append)
    return status, b"".join(output).decode("latin-1"), b"".join(messages).decode()


def test_trace_of_verbose_is_left_out() -> None:
    """A log of VERBOSE=yes gives the same table as one without it."""
    status, output, messages = run("-t", stdin=LOG)
    assert (status, messages) == (0, "")
    assert output.splitlines() == [
        '      0       1  ## procmail: Lock failure on "x.lock"',
        "   1000       1 Mail/",
        "      3       1 M\xe4il",
        "     20       1 mh/.",
    ]


def test_strict_counts_the_trace() -> None:
    """As the reference does."""
    assert run("-tm", stdin=LOG, strict=True)[1].startswith("      0       4  ## diagnostic messages ##\n")


def test_json() -> None:
    """The report for programs."""
    status, output, _ = run("--json", stdin=LOG)
    assert status == 0
    assert json.loads(output) == {
        "folders": [
            {"folder": "Mail/", "messages": 1, "bytes": 1000},
            {"folder": "M\udce4il", "messages": 1, "bytes": 3},
            {"folder": "mh/.", "messages": 1, "bytes": 20},
        ],
        "diagnostics": [{"text": 'procmail: Lock failure on "x.lock"', "count": 1}],
        "total": {"messages": 3, "bytes": 1023},
    }


def test_log_is_put_aside(tmp_path: Path) -> None:
    """The old log is LOG.old, the new one empty and private; -k leaves it, -o reads the old one."""
    log = tmp_path / "log"
    log.write_bytes(LOG)
    table = run("-k", str(log))[1]
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert run(str(log))[1] == table
    assert (tmp_path / "log.old").read_bytes() == LOG
    assert log.stat().st_size == 0
    assert log.stat().st_mode & 0o777 == 0o600
    assert run("-o", str(log))[1] == table


def test_no_mail(tmp_path: Path) -> None:
    """An empty log: the date of the old one, or silence with -s, and status 1."""
    log = tmp_path / "log"
    log.touch()
    assert run(str(log)) == (1, "No mail arrived since\n", "")
    old = tmp_path / "log.old"
    old.touch()
    os.utime(old, (981173100, 981173100))
    status, output, _ = run(str(log))
    assert status == 1
    assert output.startswith("No mail arrived since Feb ")
    assert output.endswith(" 2001\n")
    assert run("-s", str(log)) == (1, "", "")


def test_folder_stays(tmp_path: Path) -> None:
    """A folder is no log; the reference moves it away."""
    (tmp_path / "d").mkdir()
    assert run(str(tmp_path / "d")) == (1, f"LOGFILE={tmp_path / 'd'} is a folder\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
