"""What replay says is what a real run does: mail by mail, folder and bytes, in an empty home.

Each rcfile of examples/ and of tests/wild gets mails of the public corpus: a few here, all of them in the slow run.
The real run is a process of its own, in a copy of the home.
"""

import lzma
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from conftest import ROOT
from wild.cases import FOLDERS, HERE, mails

from pyprocmail.commands import options
from pyprocmail.commands.procmail import Run
from pyprocmail.delivery.format import Text
from pyprocmail.host import Host
from pyprocmail.message import mailbox
from pyprocmail.message.model import Message
from pyprocmail.offline.rules import Rules, Setup
from pyprocmail.procmail.session import Session

Place = tuple[bytes, int]

EXAMPLES = ROOT / "examples"
RCFILES = sorted([*EXAMPLES.glob("*.rc"), *HERE.glob("*.rc")])
POSTMARK = b"From written@example.com Thu Jan  1 00:00:00 2026\n"
IGNORED = ("log", "lock", "cache", "from", "asked")
"""Names of logs and of what programs remember; no folder has one of them in its name."""
LIMITS = {"26-date-archive": "a program makes the folder, and it works in a folder of its own"}
"""Rcfiles that replay cannot see through, and why."""


@dataclass
class Compared:
    """How many mails there were, and what was found; `unknown` are those for which a program decides."""

    mails: int = 0
    entries: int = 0
    unknown: int = 0
    wrong: tuple[str, ...] = ()


def corpus(every: int) -> Iterator[bytes]:
    """One of so many of the 300 public mails, and the handwritten ones of tests/wild."""
    more = lzma.decompress((ROOT / "tests" / "corpus" / "more.mbox.xz").read_bytes())
    data = memoryview((EXAMPLES / "inbox.mbox").read_bytes() + more)
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        piece = data[at : at + size]
        at += len(piece)
        return bytes(piece)

    for number, mail in enumerate(mailbox.split(read)):
        if number % every == 0:
            yield mail
    written = [text for name, text in mails().items() if not name.startswith("inbox-")]
    for mail in written[:: 4 if every > 1 else 1]:
        # A program such as formail gives a mail without a From_ line one with the time, which differs from run to run.
        yield mail if mail.startswith(b"From ") else POSTMARK + mail


def make_home(home: Path, rcfile: Path) -> None:
    """The home of tests/wild, with the rcfile in it."""
    shutil.copytree(HERE / "home", home)
    for program in (home / "bin").iterdir():
        program.chmod(0o755)
    for folder in FOLDERS:
        (home / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(rcfile, home / "rc")


def assignments(home: Path) -> list[str]:
    """What both runs begin with; no mail server is ever called."""
    return [
        f"HOME={home}",
        f"FOLDERS={home}/Mail",
        f"SENDMAIL={home}/bin/sendmail",
        f"SPAMC={home}/bin/spamc",
        "ADDRESS=me@example.com",
        f"PATH={home}/bin:/usr/bin:/bin",
    ]


def contents(home: Path) -> dict[str, bytes]:
    """Every file that may be a folder or a mail in one."""
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and not any(word in path.name.lower() for word in IGNORED)
    }


def really(home: Path, data: bytes) -> int:
    """Deliver the mail in a process of its own; the exit status."""
    pid = os.fork()
    if not pid:
        status = 75
        try:
            os.chdir(home)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 2)
            words = [os.fsencode(word) for word in ["-m", *assignments(home), "rc"]]
            given = options.parse(words, as_recipient=False)
            run = Run(Host(), b"procmail", os.environb, given)
            run.stdout = null
            status = run.deliver(run.invoker, partial(bytes, data), wait=True).status
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def where(name: str) -> str:
    """A path without what is unique in it: the name in a maildir, or by inode."""
    folder, _, base = name.rpartition("/")
    if folder.endswith(("/new", "/cur")) or folder == "new":
        return folder
    return f"{folder}/msg" if base.startswith(("msg.", "mail.")) else name


def rehearsed(home: Path, data: bytes, *, allow: bool) -> tuple[Counter[tuple[str, bytes]], int, bool, bool]:
    """What the Stage says: new entries, exit status, whether programs got the mail, whether others decide."""
    before = contents(home)
    texts: list[tuple[bytes, bytes]] = []
    unanswered: list[bytes] = []
    programs: list[bytes] = []
    os.chdir(home)
    rules = Rules(Setup("rc", mail_filter=True, assignments=tuple(assignments(home)), allow=allow), prefilter=True)

    def keep(path: bytes, text: Text) -> None:
        texts.append((rules.stage.whole(path), b"".join(map(bytes, text.batches()))))

    def forwarded(_place: Place, _message: Message, line: bytes, _size: int, copy: bool) -> None:
        programs.append(line)
        if b"`" in line:
            unanswered.append(line)  # two programs share one input: which of them reads what is a matter of time
        if copy and not line.startswith((b"formail", os.fsencode(home) + b"/bin/sendmail")):
            unanswered.append(line)  # what it wrote may be asked for later

    def listen(session: Session) -> None:
        session.trace.forwarded.append(forwarded)

    rules.stage.keep = keep
    rules.stage.unanswered = unanswered.append
    with rules:
        status = rules.run(data, listen)
    assert allow or contents(home) == before, "a rehearsal has changed something"
    assert allow or not list(home.rglob("*.lock"))
    return joined(home, texts, before), status, bool(programs), bool(unanswered)


def joined(home: Path, texts: list[tuple[bytes, bytes]], before: dict[str, bytes]) -> Counter[tuple[str, bytes]]:
    """The files as they would be: an mbox grows."""
    files = dict(before)
    for path, text in texts:
        name = os.path.relpath(os.fsdecode(path), home)
        if not path.startswith(b"|") and not any(word in name.rpartition("/")[2].lower() for word in IGNORED):
            files[name] = files.get(name, b"") + text
    return entries(before, files)


def entries(before: dict[str, bytes], after: dict[str, bytes]) -> Counter[tuple[str, bytes]]:
    """What is new or longer."""
    return Counter((where(name), text) for name, text in after.items() if before.get(name) != text)


def compare(rcfile: Path, folder: Path, every: int) -> Compared:
    """Each mail both ways."""
    found = Compared()
    wrong: list[str] = []
    for number, data in enumerate(corpus(every)):
        # A home for each mail: what a program does that nobody waits for is not taken for what the next one does.
        home = folder / str(number)
        make_home(home, rcfile)
        before = contents(home)
        rehearsed(home, data, allow=False)
        said, status, programs, unknown = rehearsed(home, data, allow=True)
        shutil.rmtree(home)
        make_home(home, rcfile)
        ended = really(home, data)
        done = entries(before, contents(home))
        shutil.rmtree(home, ignore_errors=True)
        found.mails += 1
        found.entries += said.total()
        if unknown:
            found.unknown += 1
            continue
        missing = said - done
        more = Counter[tuple[str, bytes]]() if programs else done - said
        if missing or more or status != ended:
            names = sorted(name for name, _ in missing), sorted(name for name, _ in more)
            wrong.append(f"{rcfile.name}, mail {number}: only said {names[0]}, only done {names[1]}, {status} {ended}")
    found.wrong = tuple(wrong)
    return found


@pytest.fixture(autouse=True)
def stay_here() -> Iterator[None]:
    """Come back: the rules are run in their home."""
    before = Path.cwd()
    yield
    os.chdir(before)


def parameters() -> list[object]:
    """The rcfiles, those with limits marked."""
    return [
        pytest.param(
            path,
            id=path.stem,
            marks=[pytest.mark.xfail(reason=LIMITS[path.stem], strict=True)] if path.stem in LIMITS else [],
        )
        for path in RCFILES
    ]


@pytest.mark.parametrize("rcfile", parameters())
def test_replay_is_what_happens(rcfile: Path, tmp_path: Path) -> None:
    """A few mails of each kind."""
    found = compare(rcfile, tmp_path, 100)
    assert found.mails > 6
    assert not found.wrong, "\n".join(found.wrong)


@pytest.mark.torture
@pytest.mark.parametrize("rcfile", parameters())
def test_replay_is_what_happens_with_the_whole_corpus(rcfile: Path, tmp_path: Path) -> None:
    """All 300, and the handwritten ones."""
    found = compare(rcfile, tmp_path, 1)
    figures = f"{rcfile.name}: {found.mails} mails, {found.entries} entries, {found.unknown} decided by programs\n"
    with (tmp_path.parent / "figures").open("a") as file:
        file.write(figures)
    assert found.mails > 300
    assert not found.wrong, "\n".join(found.wrong)
