"""Many mails one after the other in one process: what each does is what it does in a process of its own.

And the process is afterwards what it was before: descriptors, children, umask, signal handlers, memory.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from pyprocmail.commands.compiler import compile_filter_here, compile_here
from pyprocmail.engine.world import World
from pyprocmail.host import Host
from pyprocmail.maildrop import run as filters
from pyprocmail.maildrop.world import World as FilterWorld
from pyprocmail.procmail import run, start

RCFILE = r"""
MAILDIR={folder}
SHELL=/bin/sh
PATH=/usr/bin:/bin
DEFAULT=inbox
LOGFILE=log
LOGABSTRACT=all
:0
* ^Subject:.*mask
{{ UMASK=007 }}
:0
* ^Subject:.*elsewhere
{{ MAILDIR=sub }}
:0 c
* ^Subject:.*clone
{{
  EXITCODE=3
  :0
  clones
}}
:0 fw
* ^Subject:.*filtered
| sed -e 's/word/WORD/'
:0 wc:
* ^Subject:.*program
| cat >>programs
:0
* ^Subject: \/.*trap
{{ TRAP="echo trapped >>traps"  EXITCODE=4 }}
:0 c
* ^Subject:.*locked
* 5^1 word
* -10^0
lists/
N=`echo $(( ${{N:-0}} + 1 ))`
:0:
* ^Subject:.*(box|mask)
box-$N
:0
* ^Subject:.*nowhere
/nowhere/x
:0 a
never
:0
* ^Subject:.*host
{{ HOST=another }}
:0
* ^Subject:.*silent
/dev/null
"""
FILTER = r"""
DEFAULT="inbox"
logfile "log"
SHELL="/bin/sh"
if (/^Subject:.*mask/)
{{
  UMASK="007"
  to "masked"
}}
if (/^Subject: (.*)filtered/)
{{
  xfilter "sed -e 's/word/WORD/'"
}}
if (/^Subject:.*program/)
{{
  cc "|cat >>programs"
}}
if (/^Subject:.*locked/)
{{
  dotlock "l" {{
    cc "locked"
  }}
}}
if (/^Subject:.*nowhere/)
{{
  exception {{
    to "/nowhere/x"
  }}
}}
if (/^Subject:.*trap/)
{{
  EXITCODE=4
  exit
}}
"""
WORDS = ("mask", "elsewhere", "clone", "filtered", "program", "trap", "locked", "box", "nowhere", "host", "silent", "")


def mail(number: int) -> bytes:
    """A mail that asks for two of the things that the rules do."""
    first, second = WORDS[number % len(WORDS)], WORDS[number // len(WORDS) % len(WORDS)]
    body = f"word {number}\n" * (number % 7 + 1)
    return f"From: a@b\nSubject: {number} {first} {second}\nMessage-Id: <{number}@b>\n\n{body}".encode()


class Both:
    """The same mails into two folders: each in a process of its own, and all in this one."""

    def __init__(self, launchers: Path, base: Path, text: str, name: str) -> None:
        self.folders = [base / "apart", base / "joint"]
        self.rcfiles = []
        for folder in self.folders:
            (folder / "sub").mkdir(parents=True)
            rcfile = folder / name
            rcfile.write_text(text.format(folder=folder))
            rcfile.chmod(0o600)
            self.rcfiles.append(rcfile)
        self.launchers = launchers
        self.host = Host()
        found = self.host.user_by_id(os.getuid())
        assert found is not None
        self.user = found

    def apart(self, program: str, *options: str, data: bytes) -> int:
        """Deliver a mail in a process of its own."""
        return subprocess.run(
            [self.launchers / program, *options, self.rcfiles[0]],
            input=data,
            cwd=self.folders[0],
            env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode

    def compare(self) -> None:
        """What is in the folders: names (but for those of mails in maildirs), modes, bytes, log lines."""
        apart, here = (contents(folder) for folder in self.folders)
        assert here.keys() == apart.keys()
        for name, (mode, data) in apart.items():
            assert here[name][0] == mode, name
            # A clone that nobody waits for writes its lines when it can.
            lines = [sorted(text.split(b"\n")) if isinstance(text, bytes) else text for text in (here[name][1], data)]
            assert lines[0] == lines[1], name


def contents(folder: Path) -> dict[str, tuple[int, bytes | list[bytes]]]:
    """Each file below the folder; the mails of a maildir are one entry."""
    found: dict[str, tuple[int, bytes | list[bytes]]] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in ("rc", "filter"):
            continue
        name, data = str(path.relative_to(folder)), path.read_bytes()
        if path.parent.name in ("new", "cur"):
            _, mails = found.setdefault(str(path.parent.relative_to(folder)), (path.stat().st_mode, []))
            assert isinstance(mails, list)
            mails.append(data)
            mails.sort()
            continue
        # The date of a From_ line and the process id and time in the name of a mail change with each run.
        data = re.sub(rb"... ... .. ..:..:.. ....", b"DATE", data).replace(os.fsencode(folder), b"FOLDER")
        found[name] = path.stat().st_mode, re.sub(rb"new/\d+\.[^\t ]*", b"new/NAME", data)
    return found


class State:
    """What of this process a delivery could change."""

    def __init__(self) -> None:
        mask = os.umask(0o022)
        os.umask(mask)
        self.mask = mask
        self.descriptors = sorted(os.listdir("/proc/self/fd"))
        self.handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
        self.timer = signal.getitimer(signal.ITIMER_REAL)
        self.peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def check(self, before: State, *, growth_kb: int) -> None:
        """Fail if anything is left of the mails in between."""
        assert (self.mask, self.descriptors, self.timer) == (before.mask, before.descriptors, before.timer)
        assert self.handlers == before.handlers
        assert self.peak_kb - before.peak_kb < growth_kb
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


@pytest.mark.slow
def test_procmail(launchers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 mails through rules that change whatever a process has."""
    both = Both(launchers, tmp_path, RCFILE, "rc")
    monkeypatch.setenv("TZ", "UTC")
    setup = run.Setup(b"procmail", {b"PATH": b"/usr/bin:/bin"}, compile_here, lambda *_: None)
    origin = start.Origin(both.host, both.user, sender=None, deliver=False, override=False)
    recipient = run.Recipient(both.user, origin, operands=[os.fsencode(both.rcfiles[1])], mail_filter=True)
    before = None
    for number in range(500):
        status = both.apart("procmail", "-m", data=mail(number))
        os.chdir(both.folders[1])
        assert run.deliver(World(both.host), recipient, partial(mail, number), setup, wait=True).status == status, (
            number
        )
        before = before or (State() if number == 100 else None)
    assert before is not None
    State().check(before, growth_kb=4000)
    both.compare()


@pytest.mark.slow
def test_maildrop(launchers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 mails through a filter file."""
    both = Both(launchers, tmp_path, FILTER, "filter")
    monkeypatch.chdir(both.folders[1])
    setup = filters.Setup(both.host, b"maildrop", {b"PATH": b"/usr/bin:/bin"}, compile_filter_here, lambda *_: None)
    recipient = filters.Recipient(both.user, file=os.fsencode(both.rcfiles[1]))
    before = None
    for number in range(500):
        status = both.apart("maildrop", data=mail(number))
        assert filters.deliver(FilterWorld(both.host), recipient, partial(mail, number), setup).status == status, number
        before = before or (State() if number == 100 else None)
    assert before is not None
    State().check(before, growth_kb=4000)
    both.compare()
