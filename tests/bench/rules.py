"""Mailboxes with the rules that people have: time, system calls a mail and memory, beside anchors.

The anchors run in turn with us: `formail -s procmail`, maildrop, and a floor, a loop in Python that only splits the
mailbox and writes each mail as a Maildir wants it.  Each run has folders of its own.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pyprocmail.message.mailbox import split

TESTS = Path(__file__).resolve().parents[1]
WILD = TESTS / "wild"
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
TIMEOUT_S = 20.0
"""How long the reference may take for a worst case."""

WILD_MAILS = 25
COLD_ROUNDS = 60

FLOOR = """
import ctypes, os, sys
from pyprocmail.message.mailbox import split
for part in ("tmp", "new", "cur"):
    os.makedirs("folders/floor/" + part)
for number, mail in enumerate(split(lambda size: os.read(0, size))):
    fd = os.open(f"folders/floor/tmp/{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, mail)
    os.close(fd)
    os.link(f"folders/floor/tmp/{number}", f"folders/floor/new/{number}")
    os.unlink(f"folders/floor/tmp/{number}")
ctypes.CDLL(None).syncfs(os.open("folders", os.O_RDONLY))
"""
HEAD = "MAILDIR=folders\nDEFAULT=rest/\nLOGFILE=log\n"
SCORED = """\
:0 B
* -400^0
* 3^0.9 money
* 2^0.8 [a-z]+ing
* 1^1 viagra
* 2^1 \\<free\\>
spam/
"""
BODIES = ":0 B\n* ^.*unsubscribe-me-{0}\n* ! ^begin{0} 644\nfolder{0}/\n"
MATCHED = ":0\n* ^Subject: .*\\[word{0}-\\/[a-z]+\nlist.$MATCH/\n"
FILTER = ":0 fhw\n* ^Message-Id:.*0[^0-9a-z]*@\n| formail -I 'X-Tenth: yes'\n"
LAST = ":0\n* ^List-Id:.*exmh\nlists/\n:0\n* ^TO_spamassassin\nfilters/\n:0\n* ^From:.*\nrest/\n"
COUNTS = {20: 3, 200: 2, 1000: 1}
"""Rounds for rules of so many recipes."""
MEASURED = """
import os, sys, time
begin = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
Figures = tuple[float, float, float]
"""Seconds by the clock and of the processor, and megabytes at the peak of the largest process."""


def rules(count: int) -> str:
    """An rcfile of that many recipes, of all the kinds above."""
    recipes = [FILTER, SCORED]
    for number in range(count - 5):
        field = ("^TO_word{0}list", "^List-Id:.*<word{0}\\.", "^Subject:.*word{0}", "^From:.*word{0}@")[number % 4]
        simple = f":0\n* {field.format(number)}\nfolder{number}/\n"
        recipes.append({8: BODIES, 9: MATCHED}.get(number % 10, simple).format(number))
    return HEAD + "".join(recipes) + LAST


def measured(command: Sequence[str | Path], stdin: Path, cwd: Path, timeout_s: float | None = None) -> Figures | None:
    """What one run takes; None when it takes too long."""
    with stdin.open("rb") as file, subprocess.Popen(
        [sys.executable, "-IS", "-c", MEASURED, *command], stdin=file, cwd=cwd, env=ENVIRONMENT, process_group=0,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            _, said = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.communicate()
            return None
    wall, processor, peak = map(float, said.splitlines()[-1].split())
    return wall, processor, peak


def fresh(work: Path) -> None:
    """New folders.  The old ones are not removed: for minutes after that, ext4 is slow to make new files."""
    if (work / "folders").exists():
        (work / "folders").rename(work / f"folders.{time.monotonic_ns()}")
    (work / "folders").mkdir()
    os.sync()


def fresh_home(work: Path) -> None:
    """New folders that are a home with all that the rcfiles of tests/wild name."""
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    from wild.cases import FOLDERS

    fresh(work)
    home = work / "folders"
    shutil.copytree(WILD / "home", home, dirs_exist_ok=True)
    for program in (home / "bin").iterdir():
        program.chmod(0o755)
    for folder in FOLDERS:
        (home / folder).mkdir(parents=True, exist_ok=True)


def turns(jobs: dict[str, Sequence[str | Path]], mailbox: Path, work: Path, rounds: int) -> dict[str, Figures]:
    """The medians of each job; they take turns.  A first round, without the reference, does not count."""
    found: dict[str, list[Figures]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, command in jobs.items():
            if not number and name == "theirs":
                continue
            fresh(work)
            figures = measured(command, mailbox, work)
            assert figures is not None
            if number:
                found[name].append(figures)
    return {
        name: (median(figures, 0), median(figures, 1), max(peak for _, _, peak in figures))
        for name, figures in found.items()
    }


def median(figures: list[Figures], which: int) -> float:
    """Of one of the three."""
    return statistics.median(each[which] for each in figures)


def system_calls(command: Sequence[str | Path], mailbox: Path, work: Path, mails: int) -> str:
    """System calls a mail, by strace; what the start takes is measured with an empty mailbox, and does not count."""
    if not shutil.which("strace"):
        return "no strace"
    empty = work / "empty"
    empty.write_bytes(b"")
    totals = []
    # A file is kept compiled when it is two seconds old: the first run does that.
    time.sleep(2.1)
    for stdin in (empty, empty, mailbox):
        fresh(work)
        with stdin.open("rb") as file:
            words = ["strace", "-f", "-c", "-o", work / "calls", *command]
            subprocess.run(words, stdin=file, cwd=work, env=ENVIRONMENT, capture_output=True, check=False)
        total = re.search(r"\s(\d+)\s+\d*\s*total$", (work / "calls").read_text(), re.MULTILINE)
        assert total is not None
        totals.append(int(total[1]))
    return f"{(totals[2] - totals[1]) / mails:.1f}"


def mailboxes(work: Path, ours: Path, mailbox: Path) -> None:
    """A mailbox by rules of all kinds, and the floor."""
    mails = mailbox.read_bytes().count(b"\n\nFrom ") + 1
    print(f"{mails} mails, into Maildirs; of each program wall clock / processor time in ms.\n")
    print("| recipes | pyprocmail | `formail -s procmail` | multiple | the floor | calls a mail | peak, MB |")
    print("|---|---|---|---|---|---|---|")
    rcfiles = {f"{count}, scores, bodies, MATCH, filter": (rules(count), rounds) for count, rounds in COUNTS.items()}
    rcfiles["3, headers only"] = (HEAD + LAST, 3)
    for what, (text, rounds) in rcfiles.items():
        (work / "real").write_text(text)
        # Rules are kept compiled once they are two seconds old, as the rules of users are.
        time.sleep(2.1)
        row(what, work, ours, mailbox, mails, "./real", rounds)


def row(what: str, work: Path, ours: Path, mailbox: Path, mails: int, rcfile: str, rounds: int) -> None:
    """One line: we, the reference and the floor."""
    path = f"PATH={ours}:{os.defpath}"
    mine: list[str | Path] = [ours / "pyprocmail", "-m", path, rcfile]
    found = turns(
        {
            "ours": mine,
            "theirs": ["formail", "-s", "procmail", "-m", rcfile],
            "floor": [sys.executable, "-c", FLOOR],
        },
        mailbox,
        work,
        rounds,
    )
    calls = system_calls(mine, mailbox, work, mails)
    cells = [f"{1000 * wall:.0f} / {1000 * processor:.0f}" for wall, processor, _ in found.values()]
    times = found["theirs"][0] / found["ours"][0], found["theirs"][1] / found["ours"][1]
    print(
        f"| {what} | {cells[0]} | {cells[1]} | {times[0]:.1f} / {times[1]:.1f} | {cells[2]} | {calls}"
        f" | {found['ours'][2]:.0f} |",
        flush=True,
    )


def wild(work: Path, ours: Path, mailbox: Path) -> None:
    """The rcfiles of tests/wild, each by itself; not those that wait or end otherwise on purpose."""
    with mailbox.open("rb") as file:
        few = list(itertools.islice(split(file.read), WILD_MAILS))
    mailbox, empty = work / "few", work / "empty"
    mailbox.write_bytes(b"".join(few))
    empty.write_bytes(b"")
    home = work / "folders"
    assignments = [
        f"HOME={home}",
        f"FOLDERS={home}/Mail",
        f"ORGMAIL={home}/Mail/inbox",
        f"SENDMAIL={home}/bin/sendmail",
        f"SPAMC={home}/bin/spamc",
        "ADDRESS=me@example.com",
        f"PATH={home}/bin:{os.defpath}",
    ]
    print(f"{len(few)} mails through each.\n")
    print("| rcfile of tests/wild | ms: wall clock / processor time | `formail -s procmail` | multiple |")
    print("|---|---|---|---|")
    for rcfile in sorted(WILD.glob("*.rc")):
        text = rcfile.read_text(errors="surrogateescape")
        if "TRAP" in text or "sleep" in text:
            continue
        jobs: dict[str, Sequence[str | Path]] = {
            "ours": [ours / "pyprocmail", "-m", *assignments, rcfile],
            "theirs": ["formail", "-s", "procmail", "-m", *assignments, rcfile],
        }
        # The first run of an rcfile compiles it.
        fresh_home(work)
        measured(jobs["ours"], empty, work / "folders")
        found = {}
        for name, command in jobs.items():
            fresh_home(work)
            found[name] = measured(command, mailbox, work / "folders", TIMEOUT_S)
        mine, theirs = found["ours"], found["theirs"]
        cells = [f"{1000 * each[0]:.0f} / {1000 * each[1]:.0f}" if each else "too long" for each in (mine, theirs)]
        times = f"{theirs[0] / mine[0]:.1f} / {theirs[1] / mine[1]:.1f}" if mine and theirs else ""
        print(f"| {rcfile.stem} | {cells[0]} | {cells[1]} | {times} |", flush=True)


def worst(work: Path, ours: Path) -> None:
    """What wants to be slow or large, a mail alone, beside the reference."""
    head = b"From a@b Thu Jan  1 00:00:00 2026\nFrom: a@b\nSubject: one\n"
    line = b"x" * 75 + b"\n"
    large = head + b"\n" + line * ((100 << 20) // len(line))
    many = "".join(f":0\n* ^Subject:.*word{number}list\nfolder{number}/\n" for number in range(10_000))
    cases = {
        "`(x+x+)+y` on 1 MB": (":0 B\n* (x+x+)+y\nno/\n", head + b"\n" + b"x" * 1_000_000 + b"\n"),
        "10,000 recipes": (many, head + b"\nbody\n"),
        "a header field of 50 MB": (":0\n* ^X-Last: y\nno/\n", head + b"X-Long: " + b"x" * (50 << 20) + b"\n\nbody\n"),
        "1,000,000 header lines": (":0\n* ^X-Last: y\nno/\n", head + b"X-Field: x\n" * 1_000_000 + b"\nbody\n"),
        "100 MB, `H`": (":0\n* ^Subject: two\nno/\n", large),
        "100 MB, `B`": (":0 B\n* nothing.here\nno/\n", large),
        "100 MB, `HB`": (":0 HB\n* nothing.here\nno/\n", large),
        "100 MB, a score": (":0 B\n* -1^1 zebra\nno/\n", large),
        "100 MB, MATCH": (":0 B\n* nothing.*\\/here\nno/\n", large),
        "100 MB, a filter": (":0 fw\n| cat\n:0\n* ^Subject: two\nno/\n", large),
        "100 MB, a filter, `B`": (":0 fw\n| cat\n:0 B\n* nothing.here\nno/\n", large),
        "100 MB, `MIME_TEXT`": (":0\n* MIME_TEXT ?? nothing.here\nno/\n", large),
    }
    print("| worst case | s: wall clock / processor time | procmail | peak, MB | procmail's |")
    print("|---|---|---|---|---|")
    small = work / "worst.mail"
    small.write_bytes(head + b"\nbody\n")
    for number, (recipes, _) in enumerate(cases.values()):
        (work / f"worst.{number}").write_text(f"{HEAD}{recipes}")
    # A file is kept compiled when it is two seconds old.
    time.sleep(2.1)
    for number, (what, (_, mail)) in enumerate(cases.items()):
        fresh(work)
        small.write_bytes(head + b"\nbody\n")
        measured([ours / "procmail", "-m", f"./worst.{number}"], small, work)
        small.write_bytes(mail)
        found = []
        for program in (ours / "procmail", "procmail"):
            fresh(work)
            found.append(measured([program, "-m", f"./worst.{number}"], small, work, TIMEOUT_S))
            shutil.rmtree(work / "folders")
        times = [f"{each[0]:.2f} / {each[1]:.2f}" if each else f"more than {TIMEOUT_S:.0f}" for each in found]
        peaks = [f"{each[2]:.0f}" if each else "" for each in found]
        print(f"| {what} | {times[0]} | {times[1]} | {peaks[0]} | {peaks[1]} |", flush=True)
    large_filters(work, ours)


def large_filters(work: Path, ours: Path) -> None:
    """The same mail of 100 MB by filter files, if maildrop is here."""
    if not shutil.which("maildrop", path=os.defpath):
        return
    for what, text in {
        "a pattern on the body": 'if (/nothing.here/:b)\n  to "/dev/null"\n',
        "`xfilter`": 'xfilter "cat"\n',
    }.items():
        (work / "filter").write_text(f'{text}to "{work}/folders/box"\n')
        (work / "filter").chmod(0o600)
        found = []
        for program in (ours / "maildrop", "maildrop"):
            fresh(work)
            found.append(measured([program, work / "filter"], work / "worst.mail", work, TIMEOUT_S))
            shutil.rmtree(work / "folders")
        times = [f"{each[0]:.2f} / {each[1]:.2f}" if each else f"more than {TIMEOUT_S:.0f}" for each in found]
        peaks = [f"{each[2]:.0f}" if each else "" for each in found]
        print(f"| 100 MB, maildrop, {what} | {times[0]} | {times[1]} | {peaks[0]} | {peaks[1]} |", flush=True)


def cold(work: Path, ours: Path) -> None:
    """What a process of one mail is made of: processor time of processes that do more and more, taking turns."""
    python = Path(sys.executable).resolve()
    found = importlib.util.find_spec("re2")
    assert found is not None
    assert found.origin is not None
    # Its core alone, without the wrapper in Python, as a delivery has it.
    place = str(Path(found.origin).parent)
    mail = work / "cold.mail"
    mail.write_bytes(b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n")
    (work / "cold.none").write_text("DEFAULT=/dev/null\n")
    (work / "cold.pattern").write_text(":0\n* ^Subject: (one|two)$\n/dev/null\n")
    (work / "cold.maildir").write_text("MAILDIR=folders\nDEFAULT=rest/\n:0\n* ^Subject: (two|three)$\n/dev/null\n")
    fresh(work)
    time.sleep(2.1)
    jobs: dict[str, Sequence[str | Path]] = {
        "`python3 -IS -c pass`: the interpreter": [python, "-IS", "-c", "pass"],
        "the same and RE2's library": [python, "-IS", "-c", f"import sys; sys.path.append({place!r}); import _re2"],
        "a mail to /dev/null without a pattern: interpreter and our code": [ours / "procmail", "-m", "./cold.none"],
        "and with a pattern: RE2's library as well": [ours / "procmail", "-m", "./cold.pattern"],
        "and into a Maildir: the mail itself, and the disk": [ours / "procmail", "-m", "./cold.maildir"],
    }
    times: dict[str, list[Figures]] = {name: [] for name in jobs}
    for _ in range(COLD_ROUNDS):
        for name, command in jobs.items():
            figures = measured(command, mail, work)
            assert figures is not None
            times[name].append(figures)
    print("| a process | ms of processor time: median | least | ms by the clock |")
    print("|---|---|---|---|")
    for name, found_times in times.items():
        least = min(processor for _, processor, _ in found_times)
        cells = [1000 * median(found_times, 1), 1000 * least, 1000 * median(found_times, 0)]
        print(f"| {name} | {' | '.join(f'{cell:.1f}' for cell in cells)} |", flush=True)
