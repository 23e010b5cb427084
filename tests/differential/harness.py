"""Running a case with the reference and with ours, and comparing everything that can be observed.

Both run as the same ordinary user in a directory of the same name, one after the other.  Ours is the real command line
in a process of its own, forked from one that has imported pyprocmail, which is what makes thousands of cases feasible.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pwd
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from differential.cases import DIR, Case
from pyprocmail.commands import main as ours
from pyprocmail.commands import procmail  # noqa: F401  before the fork, once
from pyprocmail.procmail.syntax.lower import compile_rcfile

USER = "pmcase"
REFERENCE = shutil.which("procmail", path="/usr/bin:/bin")
HANGS_AFTER_S = 60.0
"""Far more than a case takes when the machine is busy with other things."""
LOOPS_AFTER_S = 1
"""Seconds of processor time: some patterns make the reference loop for ever."""

_AGE_S = 100
_PR_SET_CHILD_SUBREAPER = 36
_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_STAMP = re.compile(rb"procmail: \[\d+\] " + _DAY + rb" [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\n")
_LOCKING = re.compile(rb'(?m)^(procmail: Locking "[^\n]*"\n)\1+')
_LOCK_FILE = re.compile(rb"(?<![\w.-])_[\w-]+[.,+%][\w-]+\.[\w.-]+")
_MAILDIR_NAME = re.compile(rb"\b1[789]\d{8}\.\d+_\d*(?:\.[^\s\"/]*)?")
_UNMADE = re.compile(
    rb'(procmail: Linking to "(?:[^"\n]*/)?)([^"\n/]*)("\nprocmail: Couldn\'t make link to "(?:[^"\n]*/)?)\2(?=")'
)
_CUT_ABSTRACT = re.compile(rb"(?m)^(  Folder: .*@UNIQUE@.* [^ \t\n]*/)[^/ \t\n]+[\t ]+(\d+)$")
_UNIQUE_ABSTRACT = re.compile(rb"(?m)^(  Folder: .*@UNIQUE@.*?)\t+ *(\d+)$")
_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True)
class Outcome:
    """What a run did.  `status` is None when it did not end in time."""

    status: int | None
    stdout: bytes
    stderr: bytes
    tree: dict[str, tuple[str, bytes]]


class _TooLongError(Exception):
    """The time for a case is over."""


class Runner:
    """A process that runs cases, one at a time: it becomes the ordinary user, and the parent of every orphan.

    Whoever makes one has no other children and no use for SIGALRM.
    """

    def __init__(self, base: Path) -> None:
        self.folder = base / "case"
        self.streams = base / "streams"
        self.streams.mkdir(exist_ok=True)
        # The children of a run that were not waited for become ours, so that we can.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGALRM, self._on_alarm)
        os.umask(0o022)
        # What a process would do first is done already: the imports, and the making of the parser.
        compile_rcfile(b":0\n* a\nm\n")
        gc.collect()
        gc.freeze()

    def reference(self, case: Case, seconds: float = HANGS_AFTER_S) -> Outcome:
        """What /usr/bin/procmail does."""
        return self._run(case, case.environment, seconds, ours_runs=False)

    def ours(self, case: Case, *, strict: bool) -> Outcome:
        """What pyprocmail does."""
        environment = {**case.environment, "PYPROCMAIL_STRICT": "yes"} if strict else case.environment
        return self._run(case, environment, HANGS_AFTER_S, ours_runs=True)

    def _run(self, case: Case, environment: dict[str, str], seconds: float, *, ours_runs: bool) -> Outcome:
        self._prepare(case)
        here = os.fsencode(self.folder)
        argv = [b"procmail", *(argument.replace(DIR, here) for argument in case.argv)]
        variables = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LC_ALL": "C", "TZ": "UTC"}
        variables |= {name: value.replace(DIR.decode(), str(self.folder)) for name, value in environment.items()}
        pid = os.fork()
        if not pid:
            self._become(argv, variables, ours_runs=ours_runs)
        status = self._wait(pid, seconds)
        texts = [(self.streams / name).read_bytes() for name in ("1", "2")]
        return _normalised(self.folder, pid, status, texts, {*case.files, "rc"})

    def _prepare(self, case: Case) -> None:
        remove(self.folder)
        self.folder.mkdir()
        here = os.fsencode(self.folder)
        for name in case.dirs:
            (self.folder / name).mkdir(parents=True)
        for name, data, mode in [("rc", case.rcfile, 0o644)] + [(n, f.data, f.mode) for n, f in case.files.items()]:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.replace(DIR, here))
            path.chmod(mode)
            # A mailbox that was read in this second makes the reference sleep for one.
            when = time.time() - case.age_s.get(name, _AGE_S)
            os.utime(path, (when, when))
        for name, target in case.links.items():
            (self.folder / name).symlink_to(target)
        for name, mode in case.dirs.items():
            if mode != 0o755:
                (self.folder / name).chmod(mode)
        (self.streams / "0").write_bytes(case.mail.replace(DIR, here))
        for name in ("1", "2"):
            (self.streams / name).write_bytes(b"")

    def _become(self, argv: list[bytes], variables: dict[str, str], *, ours_runs: bool) -> None:
        """In the child: be the program."""
        status = 99
        try:
            os.setsid()
            for fd, name in enumerate("012"):
                flags = os.O_RDONLY if not fd else os.O_WRONLY | os.O_APPEND
                opened = os.open(self.streams / name, flags)
                os.dup2(opened, fd)
                os.close(opened)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.chdir(self.folder)
            if not ours_runs:
                assert REFERENCE
                resource.setrlimit(resource.RLIMIT_CPU, (LOOPS_AFTER_S, LOOPS_AFTER_S + 1))
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                os.execve(REFERENCE, argv, variables)
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
            os.environ.clear()
            os.environ.update(variables)
            sys.argv = [os.fsdecode(word) for word in argv]
            time.tzset()
            status = ours.run(argv)
        except BaseException:  # noqa: BLE001  told, and the process ends here
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _wait(self, pid: int, seconds: float) -> int | None:
        """Until the program and all that it left behind have ended."""
        status: int | None = None
        session = pid
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            while True:
                ended, code = os.waitpid(-1, 0)
                if ended == pid:
                    status = os.waitstatus_to_exitcode(code)
        except ChildProcessError:
            pass
        except _TooLongError:
            status = None
            _kill_session(session)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return status

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        raise _TooLongError


def _kill_session(session: int) -> None:
    while True:
        try:
            os.killpg(session, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def become_user(base: Path) -> None:
    """From root to the ordinary user that the recorded cases run as, too; `base` becomes its own."""
    if os.geteuid():
        return
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "-M", "-s", "/bin/sh", "-d", "/tmp", USER], check=True, capture_output=True)
        user = pwd.getpwnam(USER)
    os.chown(base, user.pw_uid, user.pw_gid)
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def make_folder(base: Path) -> Path:
    """A directory of its own for a Runner in `base`."""
    folder = Path(tempfile.mkdtemp(prefix="w", dir=base))
    folder.chmod(0o755)
    return folder


def make_base() -> Path:
    """A directory for Runners, in memory if there is such a place."""
    memory = Path("/dev/shm")
    base = Path(tempfile.mkdtemp(prefix="pyprocmail.", dir=memory if os.access(memory, os.W_OK) else None))
    base.chmod(0o755)
    return base


def remove(folder: Path) -> None:
    """Remove a directory tree, whatever the modes in it."""
    if folder.exists():
        try:
            shutil.rmtree(folder)
        except PermissionError:
            for path, names, _ in os.walk(folder):
                for name in names:
                    entry = Path(path, name)
                    if not entry.is_symlink():
                        entry.chmod(0o700)
            shutil.rmtree(folder)


# -- what may differ ---------------------------------------------------------------------------


def _normalised(folder: Path, pid: int, status: int | None, texts: list[bytes], known: set[str]) -> Outcome:
    """The outcome without process ids, the time of day, and names that are made to be unique."""
    entries: list[tuple[str, str, bytes]] = []
    made: dict[bytes, bytes] = {}
    for root, names, files in os.walk(folder):
        for name in names + files:
            path = Path(root, name)
            relative = str(path.relative_to(folder))
            status_of = path.lstat()
            kind, data = _looks(path, status_of)
            if relative not in known and stat.S_ISREG(status_of.st_mode):
                mask = _mask(name, status_of.st_ino)
                if mask != name:
                    made[os.fsencode(name)] = os.fsencode(mask)
                    relative = relative.removesuffix(name) + mask
            entries.append((relative, kind, data))
    masking = re.compile(b"|".join(re.escape(name) for name in sorted(made, key=len, reverse=True))) if made else None
    day = _today()

    def normalise(text: bytes) -> bytes:
        text = _STAMP.sub(b"", text)
        text = day.sub(b"@DATE@", text)
        if masking is not None:
            text = masking.sub(lambda match: made[match[0]], text)
        text = _UNMADE.sub(rb"\1@UNIQUE@\3@UNIQUE@", text)
        text = _MAILDIR_NAME.sub(b"@UNIQUE@", text)
        text = _LOCK_FILE.sub(b"_@UNIQUE@", text)
        text = _LOCKING.sub(rb"\1", text)
        text = _CUT_ABSTRACT.sub(rb"\1@UNIQUE@ \2", text)
        text = _UNIQUE_ABSTRACT.sub(rb"\1 \2", text)
        if pid > 999:
            text = re.sub(rb"(?<!\d)%d(?!\d)" % pid, b"@PID@", text)
        return text

    tree: dict[str, tuple[str, bytes]] = {}
    for relative, kind, data in sorted((r, k, normalise(d)) for r, k, d in entries):
        name, number = relative, 0
        while name in tree:
            number += 1
            name = f"{relative}#{number}"
        tree[name] = (kind, data)
    return Outcome(status, normalise(texts[0]), normalise(texts[1]), tree)


def _looks(path: Path, status: os.stat_result) -> tuple[str, bytes]:
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return "link", os.fsencode(path.readlink())
    if stat.S_ISDIR(status.st_mode):
        return f"directory {mode:04o}", b""
    if not stat.S_ISREG(status.st_mode):
        return f"other {status.st_mode:o}", b""
    if not mode & 0o400:
        path.chmod(mode | 0o400)
    return f"file {mode:04o} links={status.st_nlink}", path.read_bytes()


def _mask(name: str, inode: int) -> str:
    """`name` without what is unique in it."""
    if _MAILDIR_NAME.fullmatch(os.fsencode(name)):
        return "@UNIQUE@"
    code = bytearray()
    while inode:
        code.append(_DIGITS[inode & 63])
        inode >>= 6
    return name.removesuffix(code.decode()) + "@UNIQUE@" if name.endswith(code.decode()) and len(code) > 1 else name


def _today() -> re.Pattern[bytes]:
    days = [time.gmtime(time.time() + offset) for offset in (-86400, 0, 86400)]
    dates = "|".join(f"{time.strftime('%b', day)} [ ]?{day.tm_mday} TIME {day.tm_year}" for day in days)
    return re.compile(_DAY + b" (?:" + dates.replace("TIME", r"\d\d:\d\d:\d\d").encode() + b")")
