"""Random runs as root: -d, /etc/procmailrc, DROPPRIVS, and what rcfile, home and spool look like.

A throw-away user is the recipient, and one run at a time uses it: whoever comes later waits.  /etc/procmailrc is put
aside for the time of a run, and what stands there meanwhile ends at once for every other recipient.

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
from dataclasses import dataclass, field
from pathlib import Path

REFERENCE = Path("/usr/bin/procmail")
USER = "pyprocmail-root"
NOBODY = 65534
GLOBAL = Path("/etc/procmailrc")
SPOOL = Path("/var/mail")
_SECONDS = 60
_GUARD = f":0\n* ! LOGNAME ?? ^^{USER}^^\n{{ SWITCHRC=/dev/null }}\n"
_OLD = (1_000_000_000, 1_000_000_000)
_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d 20\d\d"


@dataclass(frozen=True)
class Entry:
    """A file or directory: its bytes (None for a directory), mode and owner."""

    data: bytes | None
    mode: int
    uid: int


@dataclass(frozen=True)
class Scene:
    """One run: what is there, and how procmail is called.  None is what is not there."""

    argv: tuple[str, ...]
    mail: bytes
    global_rcfile: str | None = None
    rcfile: Entry | None = None
    home_mode: int = 0o755
    mailbox: Entry | None = None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a run did, without what cannot be the same twice."""

    status: int
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
            done = subprocess.run(
                ["procmail", *scene.argv],
                executable=program,
                input=scene.mail,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self.work,
                env={"PATH": "/usr/bin:/bin", "TZ": "UTC", **scene.environment},
                timeout=_SECONDS,
                check=False,
            )
            return Outcome(done.returncode, _normalised(done.stdout), self._tree())
        finally:
            GLOBAL.unlink(missing_ok=True)
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
        if scene.global_rcfile is not None:
            GLOBAL.write_text(_GUARD + scene.global_rcfile)

    def _put(self, path: Path, entry: Entry) -> None:
        if entry.data is None:
            path.mkdir()
        else:
            path.write_bytes(entry.data)
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
        kept = GLOBAL.with_name("procmailrc.put-aside")
        if GLOBAL.exists():
            GLOBAL.rename(kept)
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
            if kept.exists():
                kept.rename(GLOBAL)


# -- scenes ------------------------------------------------------------------------------------

_MAILS = (
    b"From a@b.c Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n",
    b"Subject: one\n\nbody\n",
    b"\n\nFrom a@b.c Thu Jan  1 00:00:00 2026\n>From d@e Thu Jan  1 00:00:00 2026\nSubject: one\n\nFrom x\n",
    b"From " + b"a" * 2010 + b" Thu Jan  1 00:00:00 2026\nSubject: nearly too long\n\nbody\n",
    b"From " + b"a" * 2100 + b" Thu Jan  1 00:00:00 2026\nSubject: too long\n\nbody\n",
    b"From a@b.c",
    b"",
)
_IDENTITY = "ID=`id -u; id -g; id -G; umask; pwd; grep -E 'Uid|Gid' /proc/self/status;`"
_LINES = (
    _IDENTITY,
    'LOG="[$PATH] [$SHELL] [$MAILDIR] [$HOME] [$LOGNAME] [$DEFAULT] [$1]\n"',
    "VERBOSE=yes",
    "VERBOSE=no",
    ":0 c\nbox",
    ":0 cw\n{ EXITCODE=3 }",
    ":0 w\n* ^Subject: one\n| cat >>other",
    ":0 w\n| cat >/dev/null; exit 4",
    "TRAP='id -u >&2; exit 5;'",
    "EXITCODE=6",
    "EXITCODE=",
    "LOCKFILE=$HOME/lock",
    "UMASK=022",
    "HOST=elsewhere",
    "DEFAULT=box",
    "DEFAULT=$HOME/other",
    "DEFAULT=$HOME/Maildir/",
    "COMSAT=no",
    "PATH=/bin",
    "X=y",
)
_GLOBAL_LINES = (
    "DROPPRIVS=yes",
    "DROPPRIVS=yes",
    "MAILDIR=$HOME",
    ":0\nother",
    ":0 c\nother",
    ":0 cw\n{ DROPPRIVS=yes }",
)


_OPTIONS: tuple[tuple[str, ...], ...] = (
    *((),) * 3,
    *(("-t",), ("-Y",), ("-o",), ("-a", "argument")),
    *(("-f", "c@d"), ("-f", "-"), ("-f", USER), ("-f", ""), ("-of", "c@d"), ("-of", "-")),
)


def _lines(chosen: random.Random, lines: tuple[str, ...]) -> str:
    return "".join(line + "\n" for line in chosen.choices(lines, k=chosen.randint(0, 5)))


def generate(chosen: random.Random, uid: int) -> Scene:
    """A scene for the recipient `uid`."""
    rcfile = global_rcfile = None
    if chosen.random() < 0.8:
        text = ("VERBOSE=yes\n" if chosen.random() < 0.8 else "") + _lines(chosen, _LINES)
        mode = chosen.choice((0o644, 0o644, 0o644, 0o600, 0o664, 0o646, 0o666, 0o755))
        rcfile = Entry(text.encode(), mode, chosen.choice((uid, uid, uid, uid, 0, NOBODY)))
        if not rcfile.uid and not mode & 0o004:
            # Root reads it for the user in the reference; ours reads nothing for anybody.
            rcfile = Entry(rcfile.data, 0o644, 0)
    if chosen.random() < 0.5:
        global_rcfile = "VERBOSE=yes\n" + _lines(chosen, (*_LINES, *_GLOBAL_LINES))
    modes: tuple[int, ...] = (0o600, 0o600, 0o660, 0o700, 0o4600, 0o2600)
    if global_rcfile is None:
        # Having taken permissions away, the reference runs even /etc/procmailrc as the recipient, that once.
        modes = (*modes, 0o666, 0o644, 0o601)
    mailbox = Entry(b"seed\n\n", chosen.choice(modes), uid)
    if chosen.random() < 0.1:
        mailbox = Entry(None, 0o700, uid)
    recipient = chosen.choice((USER, USER, USER, f"{USER.upper()}@example.com"))
    options = chosen.choice(_OPTIONS)
    several = ((recipient, USER), ("no-such-user", USER), (USER, "no-such-user"))
    recipients: tuple[str, ...] = chosen.choice((*((recipient,),) * 5, *several))
    if "{" in f"{rcfile} {global_rcfile}":
        # After a recipient who failed, the clones of the reference fail whatever they do.
        recipients = (recipient,)
    argv = (*options, "-d", *recipients)
    home_mode = chosen.choice((0o755, 0o755, 0o755, 0o700, 0o775, 0o777, 0o1777, 0o757, 0o773))
    return Scene(argv, chosen.choice(_MAILS), global_rcfile, rcfile, home_mode, mailbox)


# -- comparing ---------------------------------------------------------------------------------


def difference(found: Account, seed: int, ours: Path) -> str:
    """What ours does otherwise in the scene of the seed; empty for nothing."""
    scene = generate(random.Random(f"root {seed}"), found.uid)
    want = found.run(scene, REFERENCE)
    got = found.run(scene, ours / "procmail")
    if _explained(want, got):
        return ""
    told = "\n".join(difflib.unified_diff(want.lines(), got.lines(), "expected", "got", lineterm=""))
    return f"seed {seed}: {scene}\n{told}\n"


def _explained(want: Outcome, got: Outcome) -> bool:
    """The same, but for 75 in the place of 73 (pyprocmail-compat(7), exit-temporary)."""
    if want == got:
        return True
    log = want.log.replace(b"**Bounced**", b"**Requeued**").replace(b"=73", b"=75")
    return (want.status, got.status) == (73, 75) and log == got.log and want.tree == got.tree


def main() -> int:
    """Run the seeds of the command line; 1 if there are differences."""
    ours = Path(sys.argv[1])
    first, count = (int(word) for word in (sys.argv[2:4] if len(sys.argv) > 3 else ("0", "100")))
    with account() as found:
        differences = [told for seed in range(first, first + count) if (told := difference(found, seed, ours))]
    print("\n".join(differences))
    print(f"root: {count} seeds, {len(differences)} differ")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
