"""Whole runs of the launchers: what standard input is, what is safe to report, what the cache may do.

What the reference shows too is in tests/conformance; here is what it cannot show.
"""

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyprocmail.commands.mailbox import each_message
from pyprocmail.engine.batch import BatchHost
from pyprocmail.host import Host

MESSAGE = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n\n"
SECOND = b"From c@d Fri Jan  2 00:00:00 2026\nSubject: two\n\nbody\n\n"
SMUGGLED = MESSAGE + SECOND

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def run(launchers: Path, tmp_path: Path) -> Run:
    """Run a launcher on an rcfile, with `mail` from a pipe, or from a file when `file` is given."""

    def run(
        rcfile: str, *, mail: bytes = MESSAGE, file: bool = False, name: str = "procmail", options: tuple[str, ...] = ()
    ) -> "subprocess.CompletedProcess[bytes]":
        # Standard error stays the log: a LOGFILE would need to be read back.
        (tmp_path / "rc").write_text(f"MAILDIR={tmp_path}\nDEFAULT=inbox\nSHELL=/bin/sh\nLOCKSLEEP=0\n{rcfile}")
        (tmp_path / "mail").write_bytes(mail)
        command = [str(launchers / name), *options, "-m", str(tmp_path / "rc")]
        if file:
            with (tmp_path / "mail").open("rb") as stdin:
                return subprocess.run(command, stdin=stdin, capture_output=True, cwd=tmp_path, check=False, timeout=60)
        return subprocess.run(command, input=mail, capture_output=True, cwd=tmp_path, check=False, timeout=60)

    return run


# -- what standard input is ------------------------------------------------------------------


def test_a_mailbox_file_is_many_messages(run: Run, tmp_path: Path) -> None:
    done = run(":0\n* ^Subject: two\ntwo\n", mail=SMUGGLED, file=True, name="pyprocmail")
    assert (done.returncode, done.stderr) == (0, b"pyprocmail: 2 messages\n")
    assert (tmp_path / "two").read_bytes() == SECOND
    assert (tmp_path / "inbox").read_bytes() == MESSAGE


@pytest.mark.parametrize(
    ("name", "file", "options"),
    [
        pytest.param("pyprocmail", False, (), id="from a pipe"),
        pytest.param("pyprocmail", True, ("--single",), id="with --single"),
        pytest.param("procmail", True, (), id="called as procmail"),
    ],
)
def test_nobody_smuggles_a_second_message(
    run: Run, tmp_path: Path, name: str, file: bool, options: tuple[str, ...]
) -> None:
    done = run("", mail=SMUGGLED, file=file, name=name, options=options)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "inbox").read_bytes() == MESSAGE + b">" + SECOND


def test_mbox_says_that_a_pipe_is_a_mailbox(run: Run, tmp_path: Path) -> None:
    done = run("", mail=SMUGGLED, name="pyprocmail", options=("--mbox",))
    assert done.stderr == b"pyprocmail: 2 messages\n"
    assert (tmp_path / "inbox").read_bytes() == SMUGGLED


def test_the_first_failure_of_a_mailbox_is_its_status(run: Run) -> None:
    rcfile = ":0\n* ^Subject: one\n{ EXITCODE=7 }\n:0 E\n{ EXITCODE=8 }\n"
    done = run(rcfile, mail=SMUGGLED + MESSAGE, file=True, name="pyprocmail")
    assert done.returncode == 7
    assert done.stderr == b"pyprocmail: 3 messages, 3 of them with an exit status, the first 7\n"


def test_a_missing_rcfile_is_said_once(launchers: Path, tmp_path: Path) -> None:
    (tmp_path / "mail").write_bytes(SMUGGLED)
    with (tmp_path / "mail").open("rb") as stdin:
        command = [str(launchers / "pyprocmail"), "-m", "./missing"]
        done = subprocess.run(command, stdin=stdin, capture_output=True, cwd=tmp_path, check=False, timeout=60)
    assert done.returncode == 75
    assert done.stderr == (
        b'procmail: Couldn\'t read "./missing"\npyprocmail: the rcfile cannot be read, so no mail was touched\n'
    )


@pytest.mark.parametrize(
    ("options", "strict", "status", "log"),
    [
        (("-m",), "no", 75, b'procmail: Couldn\'t read "./folder"\n'),
        (("-m",), "yes", 73, b""),
        ((), "no", 0, b'procmail: Couldn\'t read "./folder"\n'),
        ((), "yes", 0, b""),
    ],
)
def test_a_folder_is_no_rcfile(
    launchers: Path, tmp_path: Path, options: tuple[str, ...], strict: str, status: int, log: bytes
) -> None:
    """It is a missing rcfile; procmail takes it for an empty one, and with -m has the mail returned."""
    (tmp_path / "folder").mkdir()
    folders = () if options else (f"DEFAULT={tmp_path}/inbox", f"ORGMAIL={tmp_path}/inbox")
    done = subprocess.run(
        [launchers / "procmail", *options, *folders, "./folder"],
        input=MESSAGE,
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYPROCMAIL_STRICT": strict},
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (status, log)
    assert (tmp_path / "inbox").exists() == (not options)


def test_variables_do_not_leak_from_message_to_message(run: Run, tmp_path: Path) -> None:
    rcfile = ":0\n* ^Subject: one\n{ SEEN=yes UMASK=0 }\n:0 c\nall$SEEN\n"
    run(rcfile, mail=SMUGGLED, file=True, name="pyprocmail")
    assert (tmp_path / "allyes").read_bytes() == MESSAGE
    assert (tmp_path / "all").read_bytes() == SECOND
    assert stat.S_IMODE((tmp_path / "all").stat().st_mode) == 0o600


@pytest.mark.parametrize("sender", [b"alice@example.com", b""], ids=["sender", "null sender"])
def test_what_mailspy_pipes_in(run: Run, tmp_path: Path, sender: bytes) -> None:
    """A From_ line whose sender may be empty, header lines with LF, body lines with CR and LF, cut off."""
    header = b"From " + sender + b" Fri Nov 20 05:12:52 2026\nSubject: spied\nX-Fold: a\n\tb\n\n"
    mail = header + b"one\r\ntwo\r\nFrom x\r\ncut o"
    done = run(":0\n* ^X-Fold: a.*b$\n* B ?? ^two.$\nspy\n", mail=mail, name="pyprocmail")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "spy").read_bytes() == header + b"one\r\ntwo\r\n>From x\r\ncut o\n"


# -- what is safe to report ------------------------------------------------------------------


@pytest.mark.parametrize("action", ["| /no/such/program", "| no-such-program -x", "| no-such-program; true >/dev/null"])
def test_a_missing_program_is_no_delivery(run: Run, tmp_path: Path, action: str) -> None:
    if ";" in action:
        action = "| exec no-such-program </dev/null"
    assert run(f":0\n{action}\n").returncode == 0
    assert (tmp_path / "inbox").read_bytes() == MESSAGE


@pytest.mark.parametrize(
    "program", ["no-such-program", "cat >/dev/null; exit 3", "kill -9 $$;", "cat >/dev/null; kill $$"]
)
def test_a_filter_that_fails_without_a_word_keeps_the_mail(run: Run, tmp_path: Path, program: str) -> None:
    assert run(f":0 f\n| {program}\n").returncode == 0
    assert (tmp_path / "inbox").read_bytes() == MESSAGE


def test_what_a_failing_filter_says_is_used(run: Run, tmp_path: Path) -> None:
    run(":0 f\n| sed s/one/two/; exit 3\n")
    assert (tmp_path / "inbox").read_bytes() == MESSAGE.replace(b"one", b"two")


@pytest.mark.parametrize(
    ("rcfile", "status"),
    [
        pytest.param("PYPROCMAIL_STRICT=yes\nDEFAULT=/dev/full\n", 73, id="in the rcfile"),
        pytest.param("PYPROCMAIL_STRICT=yes\nPYPROCMAIL_STRICT=no\nDEFAULT=/dev/full\n", 75, id="and out again"),
        pytest.param("PYPROCMAIL_STRICT=yes\n:0\n| env | grep STRICT >&2\n", 0, id="not in a program"),
    ],
)
def test_strict_in_the_rcfile(run: Run, rcfile: str, status: int) -> None:
    done = run(rcfile)
    assert done.returncode == status
    assert b"PYPROCMAIL_STRICT" not in done.stderr


@pytest.mark.parametrize("rcfile", [":0:\nbox\n", "DEFAULT=box\n", ":0 w:\n| cat >> box\n"])
def test_a_folder_is_never_its_own_lockfile(run: Run, tmp_path: Path, rcfile: str) -> None:
    """With an empty LOCKEXT the lockfile is `.lock`, and what was in the folder stays, old or new."""
    box = tmp_path / "box"
    box.write_bytes(b"From x\n\nold mail\n\n")
    os.utime(box, (0, 0))
    assert run("LOCKEXT=\nLOCKTIMEOUT=2\n" + rcfile).returncode == 0
    assert box.read_bytes().startswith(b"From x\n\nold mail\n\nFrom ")
    assert sorted(path.name for path in tmp_path.glob("*.lock")) == []


def test_strict_in_the_rcfile_decides_where_the_header_ends(run: Run) -> None:
    mail = MESSAGE.replace(b"\n\n", b"\n\r\nSubject: two\r\n\n", 1)
    rcfile = ":0\n* ^Subject: two\n{ LOG=strict }\n"
    assert b"strict" in run("PYPROCMAIL_STRICT=yes\n" + rcfile, mail=mail).stderr
    assert b"strict" not in run(rcfile, mail=mail).stderr


def test_a_filter_that_runs_out_of_time_keeps_the_mail(run: Run, tmp_path: Path) -> None:
    run("TIMEOUT=1\n:0 f\n| exec sleep 30\n")
    assert (tmp_path / "inbox").read_bytes() == MESSAGE


@pytest.mark.parametrize(
    ("folder", "status"),
    [("no/such/folder", 73), ("rc/folder", 73), ("x" * 300, 73), ("/dev/full", 75)],
    ids=["parent missing", "no directory", "name too long", "disk full"],
)
def test_what_can_be_mended_is_tried_again(run: Run, folder: str, status: int) -> None:
    assert run(f"DEFAULT={folder}\nORGMAIL=\n").returncode == status


def test_one_folder_that_can_be_mended_is_enough(run: Run) -> None:
    assert run(":0\n/dev/full\nDEFAULT=no/such/folder\nORGMAIL=\n").returncode == 75


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_leaves_the_mail_with_the_caller(launchers: Path, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "rc").write_text(
        f"MAILDIR={tmp_path}\nDEFAULT=inbox\nSHELL=/bin/sh\nLOCKFILE=global.lck\n:0 w:local.lck\n"
        "| echo >started; exec sleep 30 2>&1\n"
    )
    command = [str(launchers / "procmail"), "-m", str(tmp_path / "rc")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(MESSAGE)
        process.stdin.close()
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
        process.send_signal(number)
        assert b"Terminating prematurely" in process.stderr.read()
        assert process.wait() == 75
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rc", "started"]


# -- what a stranger may not do ----------------------------------------------------------------

DANGER = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: %b\n\nbody\n\n"


@pytest.mark.parametrize(
    "rcfile",
    [
        "* ^Subject: \\/.*\n* $ $MATCH\n",
        "* ^Subject: \\/.*\n* $ ! $MATCH\n",
        "* ^Subject: \\/.*\n* $ $ $MATCH\n",
        "* ^Subject: \\/.*\n* $ 1^1 B ?? $MATCH\n",
        "* ^Subject: \\/.*\n* $ < $MATCH\n",
        "* ^Subject: \\/.*\n* $ $\\\\MATCH\n",
    ],
)
@pytest.mark.parametrize("subject", [b"? echo x > bad", b"$ `echo x > bad`", b"`echo x > bad`", b"< `echo x > bad`"])
def test_the_mail_starts_no_program_through_match(run: Run, tmp_path: Path, rcfile: str, subject: bytes) -> None:
    assert run(f":0\n{rcfile}box\n", mail=DANGER % subject).returncode == 0
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    "assignment",
    ["A=`sed -n 's/^Subject: //p'`", ":0 w\nA=| sed -n 's/^Subject: //p'", ":0\n* ^Subject: \\/.*\n{ B=$MATCH A=$B }"],
    ids=["backquotes", "capture", "variable"],
)
def test_what_is_made_of_the_mail_starts_no_program(run: Run, tmp_path: Path, assignment: str) -> None:
    run(f"{assignment}\n:0\n* $ $A\nbox\n", mail=DANGER % b"? echo x > bad")
    assert not (tmp_path / "bad").exists()


def test_a_program_that_the_rcfile_names_still_runs(run: Run, tmp_path: Path) -> None:
    rcfile = ":0\n* ^Subject: \\/.*\n* $ ? test $MATCH = one\n{ C='? test 1 = 1' :0\n* $ $C\nbox\n}\n"
    run(rcfile)
    assert (tmp_path / "box").read_bytes() == MESSAGE


# -- the program cache -----------------------------------------------------------------------

RCFILE = ":0\nbox\n"


@pytest.fixture
def cached(launchers: Path, tmp_path: Path) -> tuple[list[str], Path]:
    """A command whose program is in the cache, and the file it is in."""
    folder = Path("/var/cache/pyprocmail") if os.geteuid() == 0 else Path.home() / ".cache" / "pyprocmail"
    rcfile = tmp_path / "rc"
    rcfile.write_text(f"MAILDIR={tmp_path}\nDEFAULT=inbox\n{RCFILE}")
    command = [str(launchers / "procmail"), "-m", str(rcfile)]
    time.sleep(2.1)  # a file changed within the last two seconds is not cached
    subprocess.run(command, input=MESSAGE, check=True)
    (tmp_path / "box").unlink()
    status = rcfile.stat()
    (entry,) = folder.glob(f"*{status.st_dev}-{status.st_ino}-*-{status.st_ctime_ns}-0*")
    return command, entry


def test_the_cache_is_private(cached: tuple[list[str], Path]) -> None:
    entry = cached[1]
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE(entry.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "foreign", "link", "open to others"])
def test_a_broken_cache_costs_no_mail(cached: tuple[list[str], Path], tmp_path: Path, damage: str) -> None:
    """Whatever is in its place, the rcfile is what counts."""
    command, entry = cached
    good = entry.read_bytes()
    planted = good.replace(b"box", b"bad")
    if damage == "open to others":
        entry.write_bytes(planted)
        entry.chmod(0o666)
    elif damage == "link":
        (tmp_path / "planted").write_bytes(good)
        entry.unlink()
        entry.symlink_to(tmp_path / "planted")
    else:
        entry.write_bytes({"empty": b"", "cut": good[:-3], "changed": planted, "foreign": b"\0" * 200}[damage])
    try:
        done = subprocess.run(command, input=MESSAGE, capture_output=True, check=False, timeout=60)
    finally:
        entry.unlink()
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "box").read_bytes() == MESSAGE


def test_a_changed_rcfile_is_read_again(cached: tuple[list[str], Path], tmp_path: Path) -> None:
    command, entry = cached
    (tmp_path / "rc").write_text(f"MAILDIR={tmp_path}\nDEFAULT=inbox\n:0\nbax\n")
    subprocess.run(command, input=MESSAGE, check=True)
    assert (tmp_path / "bax").read_bytes() == MESSAGE
    entry.unlink()


# -- launchers -------------------------------------------------------------------------------


def test_launchers_take_nothing_from_the_caller(launchers: Path, tmp_path: Path) -> None:
    """Neither the folder nor the environment of the caller decides what is imported."""
    (tmp_path / "pyprocmail.py").write_text("raise SystemExit(99)\n")
    (tmp_path / "rc").write_text("DEFAULT=/dev/null\n")
    done = subprocess.run(
        [launchers / "procmail", "-m", "./rc"],
        input=MESSAGE,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": os.defpath},
        check=False,
    )
    assert done.returncode == 0


def test_a_folder_that_cannot_be_written_is_said_clearly(launchers: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [launchers / "pyprocmail", "links", tmp_path / "file" / "x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "cannot write launchers" in done.stderr
    assert os.strerror(errno.ENOTDIR) in done.stderr or "File exists" in done.stderr


# -- formail and lockfile inside ---------------------------------------------------------------

BUILTINS = """\
SUBJECT=`formail -zx Subject:`
:0 fhw
| formail -I "X-Was: $SUBJECT"
:0 W
| formail -D 1000 cache
:0 c
* ? lockfile -r 0 once.lck
* ! ? lockfile -r 0 once.lck
locked
:0 fw
| formail -Q
"""


@pytest.mark.parametrize("mode", ["ours first on PATH", "none on PATH", "switched off"])
def test_formail_inside_is_formail(run: Run, launchers: Path, tmp_path: Path, mode: str) -> None:
    """The same effects and the same log, whether it is a process or not."""
    path = "/var/empty" if mode == "none on PATH" else f"{launchers}:/usr/bin:/bin"
    switch = "PYPROCMAIL_BUILTINS=no\n" if mode == "switched off" else ""
    done = run(f"PATH={path}\n{switch}{BUILTINS}")
    assert done.returncode == 0
    assert (tmp_path / "locked").read_bytes() == MESSAGE.replace(b"\n\nbody", b"\nX-Was: one\n\nbody")
    assert (tmp_path / "inbox").read_bytes() == (tmp_path / "locked").read_bytes()
    assert (tmp_path / "once.lck").stat().st_mode & 0o777 in (0o444, 0o400)
    assert b"Usage: formail" in done.stderr
    assert done.stderr.endswith(
        b'procmail: Program failure (64) of "formail"\nprocmail: Rescue of unfiltered data succeeded\n'
    )


def test_formail_that_starts_programs_is_a_process(run: Run, tmp_path: Path) -> None:
    """Also where PATH leads to none."""
    assert run("PATH=/var/empty\n:0 w\n| formail -s /bin/cp /dev/stdin copy\n").returncode == 0
    assert (tmp_path / "copy").read_bytes().startswith(b"From a@b")


def test_another_formail_on_the_path_is_used(run: Run, tmp_path: Path) -> None:
    (tmp_path / "formail").write_text("#!/bin/sh\ncat >/dev/null\necho theirs\n")
    (tmp_path / "formail").chmod(0o755)
    run(f"PATH={tmp_path}:/usr/bin:/bin\nA=`formail -x Subject:`\n:0\n* A ?? ^^theirs^^\nbox\n")
    assert (tmp_path / "box").exists()


def test_a_formail_that_replaces_ours_is_used_at_once(run: Run, launchers: Path, tmp_path: Path) -> None:
    """What is known of a file on PATH holds as long as the file does."""
    shutil.copy(launchers / "formail", tmp_path / "formail")
    (tmp_path / "other").write_text("#!/bin/sh\ncat >/dev/null\necho theirs\n")
    (tmp_path / "other").chmod(0o755)
    ask = "`formail -zx Subject:`"
    values = f"A={ask}{ask}\nB=`cp other formail`\nA=$A{ask}\n"
    done = run(f"PATH={tmp_path}:/usr/bin:/bin\n{values}:0\n* A ?? ^^oneonetheirs^^\nbox\n")
    assert not done.stderr
    assert (tmp_path / "box").exists()


def test_a_lock_is_waited_for_no_longer_than_timeout_allows(run: Run, tmp_path: Path) -> None:
    (tmp_path / "held.lck").touch()
    rcfile = "PATH=/var/empty\nTIMEOUT=1\n:0\n* ? lockfile -1 mine.lck held.lck\nbox\n"
    done = run(rcfile)
    assert b'Timeout, terminating "lockfile"' in done.stderr
    assert not (tmp_path / "mine.lck").exists()
    assert (tmp_path / "inbox").read_bytes() == MESSAGE


# -- our own faults ----------------------------------------------------------------------------

FAULTY = """\
import sys
from pyprocmail.delivery.folder import Store
from pyprocmail.commands.main import main

def into(self, folder, further, message, how):
    raise RuntimeError("a fault of ours")

def faulty(self, folder, further, message, how):
    return (into if b"Subject: one" in message.head else whole)(self, folder, further, message, how)

whole, Store.into = Store.into, faulty
sys.argv[0] = {name!r}
main()
"""


@pytest.mark.parametrize("clone", [False, True], ids=["session", "clone"])
def test_a_fault_of_ours_costs_no_mail(tmp_path: Path, clone: bool) -> None:
    """75, the traceback in the log, no lock left, and the other mails of a mailbox are delivered once."""
    program = tmp_path / "pyprocmail"
    program.write_text(FAULTY.format(name=os.fspath(program)))
    block = ":0 cw\n{ :0\nbox\n}\nDEFAULT=/dev/null\n" if clone else ":0\nbox\n"
    (tmp_path / "rc").write_text(f"MAILDIR={tmp_path}\nLOGFILE=log\nLOCKFILE=global.lck\nDEFAULT=inbox\n{block}")
    (tmp_path / "mail").write_bytes(MESSAGE + SECOND + MESSAGE)
    with (tmp_path / "mail").open("rb") as stdin:
        done = subprocess.run(
            [sys.executable, "-I", program, "-m", tmp_path / "rc"],
            stdin=stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 75
    assert b"3 messages, 2 of them with an exit status" in done.stderr
    assert (tmp_path / "box").read_bytes() == SECOND
    assert (tmp_path / "log").read_bytes().count(b"RuntimeError: a fault of ours") >= 2
    assert not (tmp_path / "global.lck").exists()


def test_a_batch_changes_nothing_but_when_mail_is_synced_and_what_is_asked() -> None:
    """What BatchHost has in the place of something of Host is what it means to put off, or to ask once."""
    replaced = {name for name in vars(BatchHost) if not name.startswith("__") and hasattr(Host, name)}
    assert replaced == {
        "fsync", "sync_folder", "sync_new", "rename_new",
        "getpid", "geteuid", "become", "umask", "current_umask", "chdir", "getcwd", "is_directory", "rules_status",
        "kept_log", "keep_log",
        "forget", "read", "spawn", "wait", "fork",
    }  # fmt: skip


class Unwritable:
    """A C library whose syncfs(2) finds a disk that is full."""

    def syncfs(self, _fd: int) -> int:
        return -1


class Mailbox(BatchHost):
    """Standard input is a mailbox of one mail, whose file system cannot be written out."""

    def __init__(self) -> None:
        super().__init__()
        self._libc = Unwritable()  # type: ignore[assignment]  # what BatchHost uses of it
        self._rest = MESSAGE
        self.write = lambda _fd, data: memoryview(data).nbytes

    def read(self, fd: int, size: int) -> bytes:
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


def test_a_batch_that_cannot_be_written_is_no_success(tmp_path: Path) -> None:
    """Each mail seemed to be stored."""
    host = Mailbox()

    def deliver(_read: Callable[[], bytes]) -> int:
        fd = os.open(tmp_path / "box", os.O_WRONLY | os.O_CREAT)
        host.fsync(fd)
        os.close(fd)
        return 0

    assert each_message(host, deliver) == 75
