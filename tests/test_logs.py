"""Where logs go: files that rotate under many writers, named pipes, standard output, syslog."""

import os
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pyprocmail.engine.logfile import Limits, open_log
from pyprocmail.host import Host

MESSAGE = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n\n"
WRITERS = 8
LINES = 40

RCFILE = """\
MAILDIR={folder}
DEFAULT=/dev/null
LOGABSTRACT=no
{settings}
LOGFILE={log}
{lines}
"""
FILTER = """\
{settings}
logfile "{log}"
{lines}
to "/dev/null"
"""


def start(launchers: Path, folder: Path, log: Path, writer: int, settings: str) -> "subprocess.Popen[bytes]":
    """A procmail, or for odd numbers a maildrop, that writes LINES lines."""
    name = "rc" if writer % 2 == 0 else "filter"
    if name == "rc":
        lines = "\n".join(f'LOG="writer {writer} line {line} {"x" * 60}\n"' for line in range(LINES))
        text = RCFILE.format(folder=folder, settings=settings, log=log, lines=lines)
        command: list[str | Path] = [launchers / "procmail", "-m", folder / f"rc{writer}"]
    else:
        lines = "\n".join(f'log "writer {writer} line {line} {"x" * 60}"' for line in range(LINES))
        text = FILTER.format(settings=settings, log=log, lines=lines)
        command = [launchers / "maildrop", folder / f"filter{writer}"]
    path = folder / f"{name}{writer}"
    path.write_text(text)
    path.chmod(0o600)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=folder)
    assert process.stdin
    process.stdin.write(MESSAGE)
    process.stdin.close()
    return process


def all_lines(text: str) -> Counter[str]:
    """The lines that the writers wrote; maildrop's delivery record is another matter."""
    return Counter(re.findall(r"(?m)^writer .*$", text))


EXPECTED = Counter(f"writer {writer} line {line} {'x' * 60}" for writer in range(WRITERS) for line in range(LINES))


def test_rotation_loses_no_line_of_many_writers(launchers: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = "LOGFILE_MAXSIZE=3000\nLOGFILE_KEEP=50"
    processes = [start(launchers, tmp_path, log, writer, settings) for writer in range(WRITERS)]
    assert [process.wait(120) for process in processes] == [0] * WRITERS
    logs = sorted(path for path in tmp_path.glob("log*") if path.suffix != ".lock")
    assert len(logs) > 5
    assert all(path.stat().st_size <= 3000 for path in logs)
    assert all_lines("".join(path.read_text() for path in logs)) == EXPECTED


def test_without_limit_nothing_rotates(launchers: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [start(launchers, tmp_path, log, writer, "") for writer in range(WRITERS)]
    assert [process.wait(120) for process in processes] == [0] * WRITERS
    assert [path.name for path in tmp_path.glob("log*")] == ["log"]
    assert all_lines(log.read_text()) == EXPECTED


def test_only_so_many_old_logs_are_kept(tmp_path: Path) -> None:
    limits = Limits()
    limits.max_bytes, limits.keep = 10, 2
    log = open_log(Host(), os.fsencode(tmp_path / "log"), 0o600, limits)
    for number in range(6):
        log.write(b"line %d\n" % number)
    log.close()
    assert {path.name: path.read_text() for path in tmp_path.glob("log*")} == {
        "log": "line 5\n", "log.1": "line 4\n", "log.2": "line 3\n", "log.lock": "",
    }  # fmt: skip


def test_a_pipe_without_reader_fails_no_delivery(launchers: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "rc").write_text(f"MAILDIR={tmp_path}\nLOGFILE=pipe\nLOG=text\nVERBOSE=yes\n:0\nbox\n")
    done = subprocess.run(
        [launchers / "procmail", "-m", tmp_path / "rc"], input=MESSAGE, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert b'Error while writing to "pipe"' in done.stderr
    assert (tmp_path / "box").read_bytes() == MESSAGE


def test_a_reader_that_goes_away_fails_no_delivery(launchers: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "rc").write_text(
        f"MAILDIR={tmp_path}\nSHELL=/bin/sh\nDEFAULT=/dev/null\nLOGFILE=pipe\nLOG=text\n"
        ":0 cw\n| cat >/dev/null; echo >closed; while test ! -e gone; do sleep 0.05; done\nLOG=more\n:0\nbox\n"
    )
    process = subprocess.Popen([launchers / "procmail", "-m", tmp_path / "rc"], stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(MESSAGE)
    process.stdin.close()
    with (tmp_path / "pipe").open("rb") as reader:
        assert reader.read(4) == b"text"
    (tmp_path / "gone").touch()
    assert process.wait(60) == 0
    assert (tmp_path / "box").read_bytes() == MESSAGE


def test_a_pipe_gets_every_line_of_many_writers(launchers: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    keeper = os.open(pipe, os.O_RDWR)
    collected = bytearray()
    done = threading.Event()

    def collect() -> None:
        with pipe.open("rb", buffering=0) as reader:
            while not done.is_set() or collected[-5:] != b"DONE\n":
                collected.extend(reader.read(65536))

    thread = threading.Thread(target=collect)
    thread.start()
    processes = [start(launchers, tmp_path, pipe, writer, "") for writer in range(WRITERS)]
    assert [process.wait(120) for process in processes] == [0] * WRITERS
    done.set()
    os.write(keeper, b"DONE\n")
    thread.join(30)
    os.close(keeper)
    assert all_lines(collected.decode()) == EXPECTED


def test_a_long_text_goes_through_a_pipe_in_pieces(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    log = open_log(Host(), os.fsencode(pipe), 0o600, Limits())
    text = b"".join(b"%d %b\n" % (number, b"x" * 100) for number in range(200)) + b"y" * 9000
    log.write(text)
    log.close()
    assert os.read(reader, 1 << 16) == text
    os.close(reader)


def test_standard_output_is_the_callers(launchers: Path, tmp_path: Path) -> None:
    (tmp_path / "rc").write_text(f"MAILDIR={tmp_path}\nLOGFILE=/dev/stdout\nLOGABSTRACT=no\nLOG=text\n:0\nbox\n")
    done = subprocess.run(
        [launchers / "procmail", "-m", tmp_path / "rc"], input=MESSAGE, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"text", b"")


class SyslogHost(Host):
    """A machine with a syslog that keeps what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[bytes] = []

    def datagrams(self, path: str) -> Callable[[bytes], None]:
        assert path == "/dev/log"
        return self.heard.append


def test_syslog_hears_a_datagram_a_line() -> None:
    host = SyslogHost()
    log = open_log(host, b"syslog:local3.warning", 0o600, Limits())
    log.write(b"one\n\ntwo\n")
    pid = os.getpid()
    assert host.heard == [b"<156>procmail[%d]: one" % pid, b"<156>procmail[%d]: two" % pid]
    log.close()


@pytest.mark.parametrize("name", [b"syslog:post.info", b"syslog:mail.loud"])
def test_an_unknown_syslog_name_is_refused(name: bytes) -> None:
    with pytest.raises(OSError, match="no such facility or level"):
        open_log(SyslogHost(), name, 0o600, Limits())
