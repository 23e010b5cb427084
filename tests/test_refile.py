"""pyprocmail refile: the rules over the mail in a folder, and no mail lost whatever happens."""

import errno
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pyprocmail.commands.offline.refile import deliverer
from pyprocmail.host import Host
from pyprocmail.offline import refile, taking
from pyprocmail.offline.rules import Rules, Setup
from pyprocmail.offline.sources import mails

RULES = """\
MAILDIR=$HOME/Mail
DEFAULT=inbox
:0:
* ^Subject: list
lists
:0
* ^Subject: dir
dir/
:0
* ^Subject: mh
mh/.
:0
* ^Subject: there
! joe@example.org
:0
* ^Subject: here
inbox
:0 fhw
* ^Subject: program
| sed -e s/x/y/
:0
* ^Subject: program
lists
"""
SUBJECTS = ("list one", "stays", "dir two", "mh three", "there four", "list five", "here six", "program seven", "last")
GOES = ("dir two", "list five", "list one", "mh three")
ENDING = 9


def mail(subject: str) -> str:
    """A mail."""
    return f"From: ann@example.org\nSubject: {subject}\n\nFrom here on: {subject}\n"


def make(home: Path, kind: str, subjects: tuple[str, ...] = SUBJECTS) -> Path:
    """A home with the rules and an inbox of the kind."""
    (home / "Mail").mkdir(parents=True)
    (home / "rc").write_text(RULES)
    inbox = home / "Mail" / "inbox"
    if kind == "mbox":
        postmark = "From a@b.example Thu Jan  1 00:00:00 2026\n"
        inbox.write_text("".join(postmark + mail(text).replace("\nFrom h", "\n>From h") + "\n" for text in subjects))
        return inbox
    parts = ("cur", "new", "tmp") if kind == "maildir" else ()
    inbox.mkdir()
    for part in parts:
        (inbox / part).mkdir()
    for number, text in enumerate(subjects, 1):
        name = f"cur/{number}.x:2,S" if parts and number % 2 else f"new/{number}.x" if parts else str(number)
        (inbox / name).write_text(mail(text))
        os.utime(inbox / name, (number * 1000, number * 1000))
    return inbox


def subjects(*folders: Path) -> Counter[str]:
    """The subjects of all mails in the folders that are there."""
    found = [one.data for folder in folders if folder.exists() for one in mails([str(folder)])]
    return Counter(data.split(b"Subject: ")[1].split(b"\n")[0].decode() for data in found)


def call(launchers: Path, home: Path, *words: str, status: int = 0) -> str:
    """What `refile` prints."""
    done = subprocess.run(
        [launchers / "pyprocmail", "refile", "--home", str(home), *words, "rc", "Mail/inbox"],
        capture_output=True, text=True, cwd=home, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["mbox", "maildir"])
def test_output_that_nobody_takes_leaves_no_mail_twice(launchers: Path, tmp_path: Path, kind: str) -> None:
    """What was begun is finished when the output fails, and the status is that of the mails; a plan just ends."""
    home = tmp_path / "home"
    inbox = make(home, kind)
    before = subjects(inbox)
    words: list[str | Path] = [launchers / "pyprocmail", "refile", "--home", str(home), "rc", "Mail/inbox"]
    with open("/dev/full", "wb", buffering=0) as full:
        plan = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, cwd=home, check=False)
        assert (plan.returncode, plan.stderr) == (75, b"pyprocmail: No space left on device\n")
        assert subjects(inbox) == before
        done = subprocess.run([*words, "--execute"], stdout=full, stderr=subprocess.PIPE, cwd=home, check=False)
    # A user without a system mailbox is told so before.
    *_, last = done.stderr.splitlines()
    assert last == b"pyprocmail: standard output: No space left on device: 4 moved, 5 stay, 0 failed"
    assert done.returncode == 0
    assert subjects(inbox) == before - Counter(GOES)
    assert subjects(*(home / "Mail" / name for name in ("lists", "dir", "mh"))) == Counter(GOES)


@pytest.mark.parametrize("kind", ["mbox", "maildir", "mh"])
def test_mails_are_moved(launchers: Path, tmp_path: Path, kind: str) -> None:
    """The plan first, which changes nothing; then what goes is elsewhere, and what stays is here, each once."""
    home = tmp_path / "home"
    inbox = make(home, kind)
    before = subjects(inbox)
    said = call(launchers, home)
    assert "\n4 would be moved (--execute does it), 5 stay, 0 failed\n" in said
    assert "Mail/lists  <-  ann@example.org  list one\n" in said
    for reason in (
        "     1  stay: a program decides: --allow-commands\n",
        "     1  stay: it is where it belongs\n",
        "     1  stay: it would be forwarded or go to a program: --allow-commands\n",
        "     2  stay: no recipe wants it\n",
    ):
        assert reason in said
    assert subjects(inbox) == before
    assert [path.name for path in (home / "Mail").iterdir()] == ["inbox"]
    assert "\n4 moved, 5 stay, 0 failed\n" in call(launchers, home, "--execute")
    assert subjects(inbox) == before - Counter(GOES)
    elsewhere = [home / "Mail" / name for name in ("lists", "dir", "mh")]
    assert subjects(*elsewhere) == Counter(GOES)
    assert "\n0 moved, 5 stay, 0 failed\n" in call(launchers, home, "--execute")
    assert subjects(*elsewhere) == Counter(GOES)
    assert sorted(path.name for path in (home / "Mail").iterdir()) == ["dir", "inbox", "lists", "mh"]
    if kind == "maildir":
        (moved,) = (home / "Mail" / "dir" / "cur").iterdir()
        assert moved.name.endswith(":2,S")
        assert moved.stat().st_mtime == 3000


def test_programs_run_if_they_may(launchers: Path, tmp_path: Path) -> None:
    """With --allow-commands a filter decides nothing by itself any more, and a forward is sent."""
    home = tmp_path / "home"
    inbox = make(home, "mbox")
    said = call(launchers, home, "--execute", "--allow-commands", "--set", f"SENDMAIL={home}/sendmail", status=1)
    # There is no such program: the forward fails, and its mail stays.
    assert "5 moved, 3 stay, 1 failed" in said
    assert subjects(inbox)["there four"] == 1
    assert "program seven" in subjects(home / "Mail" / "lists")


@pytest.mark.parametrize("kind", ["mbox", "maildir", "mh"])
def test_what_cannot_be_delivered_stays(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A full disk: nothing is taken out."""
    home = tmp_path / "home"
    inbox = make(home, kind)
    before = subjects(inbox)
    host = Host()

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    host.fsync = full  # type: ignore[assignment]  # the disk of this machine is full
    report = run(host, home)
    assert (report.gone, report.stayed, len(report.failed)) == (0, 5, 4)
    assert all("exit status 7" in text for text in report.failed), report.failed
    assert subjects(inbox) == before
    assert "No space left" in capfd.readouterr().err


def test_the_working_directory(launchers: Path, tmp_path: Path) -> None:
    """FOLDER may be `.`."""
    inbox = make(tmp_path, "maildir")
    done = subprocess.run(
        [launchers / "pyprocmail", "refile", "--execute", "--home", str(tmp_path), "../../rc", "."],
        capture_output=True, text=True, cwd=inbox, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in inbox.iterdir()) == ["cur", "new", "tmp"]
    assert subjects(inbox) == Counter(set(SUBJECTS) - set(GOES))


def test_usage(launchers: Path, tmp_path: Path) -> None:
    """64 for what is no folder of mail."""
    home = tmp_path / "home"
    inbox = make(home, "mbox")
    inbox.unlink()
    call(launchers, home, status=64)
    inbox.write_text("no mail\n")
    call(launchers, home, status=64)
    inbox.write_text("")
    assert "0 would be moved" in call(launchers, home)


def test_mail_that_comes_meanwhile_is_not_touched(tmp_path: Path) -> None:
    """What is appended while the mails are delivered stays; what was changed is not cut out."""
    home = tmp_path / "home"
    inbox = make(home, "mbox")
    postmark = "From a@b.example Thu Jan  1 00:00:00 2026\n"

    def meanwhile(_plan: refile.Plan, _trouble: str) -> None:
        with inbox.open("a") as file:
            file.write(f"{postmark}{mail('list new')}\n")

    run(Host(), home, meanwhile)
    assert subjects(inbox)["list new"] == len(SUBJECTS)
    assert subjects(inbox)["list one"] == 0

    def rewritten(_plan: refile.Plan, _trouble: str) -> None:
        inbox.write_text(f"{postmark}{mail('list other')}\n")

    with pytest.raises(taking.ChangedError):
        run(Host(), home, rewritten)
    assert subjects(inbox) == {"list other": 1}


def run(
    host: Host, home: Path, tell: Callable[[refile.Plan, str], None] = lambda _plan, _trouble: None
) -> refile.Report:
    """Do it in this process."""
    before = Path.cwd()
    os.chdir(home)
    try:
        with Rules(Setup("rc", home=str(home))) as rules:
            source = taking.source_of(host, "Mail/inbox")
            return refile.execute(rules, source, deliverer(host, rules, source), tell)
    finally:
        os.chdir(before)


class EndingHost(Host):
    """A machine that ends the process instead of the n-th call that changes the disk."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self._left = calls
        for name in (
            "open",
            "write",
            "fsync",
            "ftruncate",
            "rename",
            "link",
            "unlink",
            "utime",
            "mkdir",
            "sync_folder",
        ):
            setattr(self, name, self._counted(getattr(self, name)))

    def _counted(self, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **named: object) -> object:
            if not self._left:
                os._exit(ENDING)
            self._left -= 1
            return call(*arguments, **named)

        return counted


def crash(work: Callable[[Host, Path], object], calls: int, home: Path) -> bool:
    """Have a process that ends after so many calls work on the home; whether it finished.  Lockfiles are removed."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            work(EndingHost(calls), home)
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, ENDING), calls
    for lock in (home / "Mail").glob("*.lock"):
        lock.unlink()
    return status == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mbox", "maildir", "mh"])
def test_a_crash_at_any_call_loses_nothing(tmp_path: Path, kind: str) -> None:
    """Each mail is somewhere at every moment, and a second run finishes the work."""
    calls = 0
    while True:
        home = tmp_path / str(calls)
        inbox = make(home, kind)
        before = subjects(inbox)
        finished = crash(run, calls, home)
        elsewhere = [home / "Mail" / name for name in ("lists", "dir", "mh")]
        everywhere = b"".join(path.read_bytes() for path in (home / "Mail").rglob("*") if path.is_file())
        assert all(f"Subject: {text}\n".encode() in everywhere for text in before), calls
        if calls % 3 == 0 and kind == "mbox":
            with inbox.open("a") as file:
                file.write(f"From a@b.example Thu Jan  1 00:00:00 2026\n{mail('late')}\n")
            before["late"] += 1
        run(Host(), home)
        assert subjects(inbox) == before - Counter(GOES), calls
        assert set(subjects(*elsewhere)) == set(GOES), calls
        assert not list((home / "Mail").glob("*.refile*")), calls
        if finished:
            break
        calls += 1
    assert calls > 40
