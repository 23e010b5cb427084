"""Random runs as root: -d, /etc/procmailrc, DROPPRIVS, signals, and what rcfile, home and spool look like.

A throw-away user is the recipient, and one run at a time uses it: whoever comes later waits.  /etc/procmailrc and
/etc/procmailrcs are put aside for the time of a run, and what stands there meanwhile ends at once for every other
recipient.

`cd tests && python -m differential.root BIN [first seed] [number of seeds]` compares BIN/procmail, made by
`pyprocmail links`, with the reference, and prints each difference.
"""

from __future__ import annotations

import difflib
import fcntl
import os
import pwd
import random
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL

from differential import signals
from differential.root_scenes import HELD, SPECIAL, USER, Entry, Scene, generate
from differential.signals import LOCKED

REFERENCE = Path("/usr/bin/procmail")
GLOBAL = Path("/etc/procmailrc")
SPOOL = Path("/var/mail")
_SECONDS = 60
_TRIES = 6
_TERMINATING = b"procmail: Terminating prematurely"
_GUARD = f":0\n* ! LOGNAME ?? ^^{USER}^^\n{{ SWITCHRC=/dev/null }}\n"
_OLD = (1_000_000_000, 1_000_000_000)
_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d 20\d\d"


@dataclass(frozen=True)
class Outcome:
    """What a run did, without what cannot be the same twice.  `status` is None when it had no end."""

    status: int | None
    log: bytes
    tree: dict[str, tuple[str, bytes]]

    def lines(self) -> list[str]:
        """For a comparison by people."""
        texts = [f"status {self.status}", *self.log.decode("latin-1").split("\n")]
        for name, (kind, data) in self.tree.items():
            texts += [f"[{name}] {kind}", *data.decode("latin-1").split("\n")]
        return texts


class Account:
    """The throw-away user, with a home that is new for every run."""

    def __init__(self, base: Path) -> None:
        entry = pwd.getpwnam(USER)
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        self.home = base / "home"
        self.work = base / "work"

    def run(self, scene: Scene, program: Path) -> Outcome:
        """Run `program` in the scene."""
        self._prepare(scene)
        try:
            with subprocess.Popen(
                ["procmail", *scene.argv],
                executable=program,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self.work,
                env={"PATH": "/usr/bin:/bin", "TZ": "UTC", **scene.environment},
                user=self.uid if scene.as_user else None,
                group=self.gid if scene.as_user else None,
                extra_groups=[] if scene.as_user else None,
                start_new_session=True,
            ) as process:
                try:
                    if scene.signal is None:
                        log = process.communicate(scene.mail, timeout=_SECONDS)[0]
                    else:
                        log = signals.send(process, scene.mail, scene.signal)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, SIGKILL)
                    return Outcome(None, b"", {})
            return Outcome(process.returncode, _normalised(log), self._tree())
        finally:
            GLOBAL.unlink(missing_ok=True)
            shutil.rmtree(SPECIAL, ignore_errors=True)
            self.clear()

    def clear(self) -> None:
        """Remove what a run left behind."""
        for folder in (self.home, self.work):
            shutil.rmtree(folder, ignore_errors=True)
        for path in SPOOL.iterdir():
            if USER in path.name:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _prepare(self, scene: Scene) -> None:
        self.clear()
        self.home.mkdir()
        self.work.mkdir()
        self.work.chmod(0o1777)
        os.chown(self.home, self.uid, self.gid)
        if scene.rcfile:
            self._put(self.home / ".procmailrc", scene.rcfile)
        if scene.mailbox:
            self._put(SPOOL / USER, scene.mailbox)
        self.home.chmod(scene.home_mode)
        # Folders that exist and were not read lately do not make the reference sleep for a second.
        for folder in ("box", "other"):
            self._put(self.home / folder, Entry(b"seed\n\n", 0o600, self.uid))
            self._put(self.work / folder, Entry(b"seed\n\n", 0o666, 0))
        if scene.signal is not None and scene.signal.moment == LOCKED:
            # Made now, so that it is not forced.
            (self.home / HELD).write_bytes(b"0")
            os.chown(self.home / HELD, self.uid, self.gid)
        if scene.global_rcfile is not None:
            GLOBAL.write_text(_GUARD + scene.global_rcfile)
        if scene.special is not None:
            self._put(SPECIAL, scene.special_folder)
            self._put(SPECIAL / USER, scene.special)

    def _put(self, path: Path, entry: Entry) -> None:
        if entry.data is None:
            path.mkdir()
        else:
            path.write_bytes(entry.data.replace(b"@WORK@", os.fsencode(self.work)))
            os.utime(path, _OLD)
        os.chown(path, entry.uid, self.gid if entry.uid else 0)
        path.chmod(entry.mode)

    def _tree(self) -> dict[str, tuple[str, bytes]]:
        tree = {}
        found = [path for folder in (self.home, self.work) for path in sorted(folder.rglob("*"))]
        for path in [*found, *sorted(path for path in SPOOL.iterdir() if USER in path.name)]:
            if ".cache" in path.parts:
                continue
            status = path.lstat()
            kind = f"{stat.filemode(status.st_mode)} {status.st_uid}"
            data = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            tree[re.sub(r"msg\.[\w-]+$|\d+\.\d+_\d+\..*", "@UNIQUE@", str(path))] = (kind, _normalised(data))
        return tree


def _normalised(text: bytes) -> bytes:
    """Without dates, process ids, unique names, and what a process of the group mail may do and ours may not.

    The reference keeps that group, to make a lockfile in the spool; ours gives everything up.
    """
    text = re.sub(rb"procmail: \[\d+\] " + _DAY + rb"\n", b"", text)
    text = re.sub(_DAY, b"@DATE@", text)
    text = re.sub(rb"PID=\d+", b"PID=@PID@", text)
    text = re.sub(rb"(?m)^procmail: [^\n]*/var/mail/(?:_[^\n]*|%b\.lock)\"\n" % USER.encode(), b"", text)
    text = re.sub(rb"\bmsg\.[\w-]+|\d+\.\d+_\d+\.[^\s\"]+", b"@UNIQUE@", text)
    return re.sub(rb"(@UNIQUE@)\t+ *", rb"\1 ", text)


@contextmanager
def account() -> Iterator[Account]:
    """The throw-away user, for whoever has the lock, until the end of the context."""
    with Path(tempfile.gettempdir(), f"{USER}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        base = Path(tempfile.mkdtemp(prefix="root."))
        base.chmod(0o755)
        kept = {path: path.with_name(f"{path.name}.put-aside") for path in (GLOBAL, SPECIAL)}
        for path, aside in kept.items():
            if path.exists():
                path.rename(aside)
        # A run that was killed may have left the user behind.
        subprocess.run(["userdel", USER], capture_output=True, check=False)
        command = ["useradd", "--no-create-home", "--home-dir", str(base / "home"), "--shell", "/bin/sh", USER]
        subprocess.run(command, check=True, capture_output=True)
        found = Account(base)
        try:
            yield found
        finally:
            found.clear()
            subprocess.run(["userdel", USER], check=True, capture_output=True)
            shutil.rmtree(base)
            for path, aside in kept.items():
                if aside.exists():
                    aside.rename(path)


# -- comparing ---------------------------------------------------------------------------------


def difference(found: Account, seed: int, ours: Path) -> str:
    """What ours does otherwise in the scene of the seed; empty for nothing."""
    scene = generate(random.Random(f"root {seed}"), found.uid)
    want, got = _both(found, scene, ours)
    tries = 1
    # What two processes of the reference do at the same time comes out this way or that.
    while not _explained(scene, want, got) and tries < _TRIES:
        want, got = _both(found, scene, ours)
        tries += 1
    if _explained(scene, want, got):
        return ""
    told = "\n".join(difflib.unified_diff(want.lines(), got.lines(), "expected", "got", lineterm=""))
    return f"seed {seed}: {scene}\n{told}\n"


def _both(found: Account, scene: Scene, ours: Path) -> tuple[Outcome, Outcome]:
    want, got = found.run(scene, REFERENCE), found.run(scene, ours / "procmail")
    if scene.signal is not None or scene.interrupted:
        return _without_race(want), _without_race(got)
    return want, got


def _explained(scene: Scene, want: Outcome, got: Outcome) -> bool:
    """The same, or the reference hangs; 75 is for 73 or 77 (exit-temporary), after a signal also for 0 (exit-signal).

    Where a mailbox cannot be made, ours says how it can.  A directory is no rcfile (folder-rcfile).
    """
    if want == got or want.status is None:
        return True
    if scene.special is not None and scene.special.data is None and "-m" in scene.argv:
        want, got = _without_reading(want), _without_reading(got)
    log = want.log.replace(b"**Bounced**", b"**Requeued**").replace(b"=73", b"=75").replace(b"(73)", b"(75)")
    ended = _TERMINATING in log
    if ended:
        log = log.replace(b"**Lost**", b"**Requeued**")
    changed = got.status == 75 and (want.status in (73, 77) or (ended and want.status == 0))
    ours = re.sub(rb"procmail: No mailbox: as root, [^\n]*\n", b"", got.log)
    return (changed or want.status == got.status) and log == ours and want.tree == got.tree


def _without_reading(outcome: Outcome) -> Outcome:
    """Without what is said of an rcfile that is a directory."""
    log = re.sub(rb"procmail: (Couldn't read|Denying special privileges for) [^\n]*\n", b"", outcome.log)
    return replace(outcome, log=log)


def _without_race(outcome: Outcome) -> Outcome:
    """Without what two processes of the reference say at the same time, or after the other has ended.

    A lockfile that it waits for has no name in it: the reference shows its memory (exit-signal).  Nor does the
    abstract show the From_ line: the reference has forgotten it while a filter runs.
    """
    log = re.sub(rb'(whilst waiting for lockfile ")[^\n]*', rb"\1", outcome.log)
    # It may stand in the middle of a line of the other process.
    alone = re.sub(rb"procmail: Rescue of unfiltered data \w+\n", b"", log)
    lines = log.split(b"\n")
    if _TERMINATING in alone:
        lines = [line for line in alone.split(b"\n") if not line.startswith(b"From ")]
    return Outcome(outcome.status, b"\n".join(sorted(lines)), outcome.tree)


def main() -> int:
    """Run the seeds of the command line; 1 if there are differences."""
    ours = Path(sys.argv[1])
    first, count = (int(word) for word in (sys.argv[2:4] if len(sys.argv) > 3 else ("0", "100")))
    differences = 0
    with account() as found:
        for seed in range(first, first + count):
            told = difference(found, seed, ours)
            if told:
                print(told, flush=True)
                differences += 1
    print(f"root: {count} seeds, {differences} differ")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
