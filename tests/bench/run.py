"""`make bench`: how long a delivery takes, as a Markdown table.

Each row is measured side by side with its yardstick, the two taking turns in one run, so that
whatever else the machine does meets both.  The multiple is that of the medians.
"""

import argparse
import contextlib
import io
import marshal
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import rules  # lies beside this file

from pyprocmail.lint.machine import NoMachine
from pyprocmail.lint.run import Selection, check_filter, check_rcfile
from pyprocmail.offline.coverage import covered
from pyprocmail.offline.diff import Compared, differences
from pyprocmail.offline.explain import explain
from pyprocmail.offline.outcome import open_rules
from pyprocmail.offline.replay import summed
from pyprocmail.offline.rules import Setup
from pyprocmail.offline.sources import mails
from pyprocmail.procmail.syntax.lower import compile_rcfile
from pyprocmail.procmail.syntax.parse import parse

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "PERFORMANCE.md"
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
MESSAGE = (
    b"From alice@example.com Thu Jan  1 00:00:00 2026\n"
    b"From: alice@example.com\nTo: bob@example.net\nSubject: invoice 17\n\n" + b"It is due.\n" * 100
)
RCFILE = """\
MAILDIR={folder}
DEFAULT={folder}/inbox/
:0
* ^Subject:.*\\[list\\]
list/
:0
* ^From:.*friend@
friends/
"""

SCORES = """\
MAILDIR=folders
DEFAULT=rest/
LOGABSTRACT=no
:0 HB
* -200^0
* 3^0.9 money
* 2^0.8 [a-z]+ing
* 1^0.99 the
* 2^1 \\<free\\>
spam/
:0 B
* ^.*unsubscribe\\/.*$
unsubscribe/
"""

MATCHING = (
    ":0\n* ^List-Id:.*exmh\nlists/",
    ":0\n* ^Subject:.*spam\nspam/",
    ":0\n* ^TO_spamassassin\nfilters/",
    ":0\n* ^From:.*\nrest/",
)

Job = Callable[[], None]


def nothing() -> None:
    """What there is to make ready for a job that needs nothing."""


def seconds(job: Job, reset: Job) -> float:
    """How long one run of the job takes, after a reset that does not count."""
    reset()
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin


def alternate(job: Job, yardstick: Job, rounds: int, reset: Job) -> tuple[list[float], list[float]]:
    """Times of the job and of its yardstick, which take turns; the first round does not count."""
    pairs = [(seconds(job, reset), seconds(yardstick, reset)) for _ in range(rounds + 1)][1:]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def shown(times: list[float]) -> str:
    """Median, and the quartiles as spread, in milliseconds."""
    low, middle, high = (1000 * quartile for quartile in statistics.quantiles(times, n=4))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def row(what: str, job: Job, against: str, yardstick: Job, rounds: int, reset: Job = nothing) -> None:
    """Measure, and print one line of the table."""
    ours, theirs = alternate(job, yardstick, rounds, reset)
    multiple = statistics.median(ours) / statistics.median(theirs)
    print(f"| {what} | {shown(ours)} | {against} | {shown(theirs)} | {multiple:.2f} | {rounds} |", flush=True)


def command(*arguments: str | Path, stdin: bytes = b"") -> Job:
    """A job that runs a program with a message on its standard input."""

    def job() -> None:
        subprocess.run(arguments, input=stdin, env=ENVIRONMENT, check=True, stderr=subprocess.DEVNULL)

    return job


def mailbox_run(mailbox: Path, folder: Path, *arguments: str | Path) -> Job:
    """A job that gives the mailbox to a program, in a folder."""

    def job() -> None:
        with mailbox.open("rb") as stdin:
            subprocess.run(
                arguments, stdin=stdin, cwd=folder, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip

    return job


def write_rcfile(path: Path, text: str) -> None:
    """Write an rcfile, and wait until it is old enough to be cached."""
    path.write_text(text)
    path.chmod(0o600)
    time.sleep(2.1)


def recipes(count: int) -> str:
    """An rcfile of that many recipes, of which the last ones match."""
    lines = ["MAILDIR=folders", "DEFAULT=rest/", "LOGABSTRACT=no"]
    for number in range(count - len(MATCHING)):
        field = ("^Subject:.*{}", "^TO_{}", "^From:.*{}@example", "^List-Id:.*<{}\\.")[number % 4]
        lines.append(f":0\n* {field.format(f'word{number}list')}\nfolder{number}/")
    return "\n".join([*lines, *MATCHING]) + "\n"


def bench_mailbox(work: Path, ours: Path, mailbox: Path) -> None:
    """A whole mailbox into Maildirs, by few recipes and by many."""
    folders = work / "folders"
    used = iter(range(1_000_000))

    def reset() -> None:
        # Not removed: for seconds after that, ext4 is slow to make new files.
        if folders.exists():
            folders.rename(work / f"folders.{next(used)}")
        folders.mkdir()
        # What making ready leaves to be written must not be written at the expense of what is measured.
        os.sync()

    for count, rounds in ((20, 5), (200, 3), (1000, 3)):
        write_rcfile(work / "many", recipes(count))
        job = mailbox_run(mailbox, work, ours / "pyprocmail", "-m", "./many")
        yardstick = mailbox_run(mailbox, work, "formail", "-s", "procmail", "-m", "./many")
        row(f"a mailbox, {count} recipes", job, "`formail -s procmail`", yardstick, rounds, reset)
    write_rcfile(work / "scores", SCORES)
    job = mailbox_run(mailbox, work, ours / "pyprocmail", "-j", "2", "-m", "./scores")
    yardstick = mailbox_run(mailbox, work, ours / "pyprocmail", "-m", "./scores")
    row("a mailbox, scores on bodies, `-j 2`", job, "without `-j`", yardstick, 5, reset)
    yardstick = mailbox_run(mailbox, work, "formail", "-s", "procmail", "-m", "./scores")
    row("the same", job, "`formail -s procmail`", yardstick, 3, reset)


def bench_formail(work: Path, ours: Path, mailbox: Path) -> None:
    """formail, as a program and as a filter inside the engine."""
    for arguments in (["-s", "cat"], ["-I", "X-New: yes"]):
        job = mailbox_run(mailbox, work, ours / "formail", *arguments)
        yardstick = mailbox_run(mailbox, work, "formail", *arguments)
        row(f"`formail {' '.join(arguments)}`", job, "formail", yardstick, 5)
    rcfile = work / "filter"
    filters = ":0 fhw\n| formail -I 'X-New: yes'\n" * 5
    write_rcfile(rcfile, f"PATH={ours}:/usr/bin:/bin\nDEFAULT=/dev/null\n{filters}")
    theirs = work / "filter.theirs"
    theirs.write_text(rcfile.read_text().replace(f"{ours}:", ""))
    job = command(ours / "procmail", "-m", rcfile, stdin=MESSAGE)
    row("five filters with formail", job, "procmail", command("procmail", "-m", theirs, stdin=MESSAGE), 20)


def bench_start(links: Path, one: Job, bare: Job) -> None:
    """The same beside a Python that does not even look for packages; with the bundle, and without."""
    row("the same", one, "`python3 -IS -c pass`", bare, 60)
    found = re.search(r"open\('(.*bundle)'", (links / "procmail").read_text())
    bundle = Path(found[1]) if found else None
    if bundle is None or not bundle.exists():
        print("\nThe package belongs to somebody else: there is no bundle.")
        return
    aside = bundle.with_suffix(".aside")
    bundle.rename(aside)
    try:
        row("the same without the bundle", one, "`python3 -IS -c pass`", bare, 60)
    finally:
        aside.rename(bundle)


def bench_maildrop(work: Path, ours: Path, mailbox: Path) -> None:
    """maildrop beside maildrop."""
    if not shutil.which("maildrop", path=os.defpath):
        return
    rules = work / "mailfilter"
    write_rcfile(rules, f'if (/^Subject:.*invoice/)\n  to "{work}/invoices/"\nto "{work}/inbox/"\n')
    for folder in ("invoices", "inbox"):
        for part in ("new", "cur", "tmp"):
            (work / folder / part).mkdir(parents=True, exist_ok=True)
    job = command(ours / "maildrop", rules, stdin=MESSAGE)
    row("one message, one process, a mailfilter", job, "maildrop", command("maildrop", rules, stdin=MESSAGE), 40)
    job = mailbox_run(mailbox, work, ours / "reformail", "-s", ours / "maildrop", rules)
    yardstick = mailbox_run(mailbox, work, "reformail", "-s", "maildrop", rules)
    row("`reformail -s maildrop`, 200 messages", job, "`reformail -s maildrop`", yardstick, 3)
    job = mailbox_run(mailbox, work, ours / "pyprocmail", "maildrop", rules)
    row("`pyprocmail maildrop`, 200 messages", job, "`reformail -s maildrop`", yardstick, 5)


def peak(program: Path | str, folder: Path, size_mb: int) -> tuple[float, float]:
    """Seconds, and the most memory in MB, that a delivery of a large mail takes by a rule about its header."""
    command = [program, "-m", "./large"]
    begin = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=folder, env=ENVIRONMENT) as process:
        assert process.stdin
        process.stdin.write(MESSAGE)
        for _ in range(size_mb):
            process.stdin.write((b"x" * 99 + b"\n") * 10486)
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def bench_memory(work: Path, ours: Path) -> None:
    """How much memory a large mail takes."""
    write_rcfile(work / "large", "DEFAULT=large.d/\nLOGABSTRACT=no\n:0\n* ^Subject:.*nothing\nnothing/\n")
    print("\n| mail, MB | peak, MB | procmail's | s | procmail's |\n|---|---|---|---|---|")
    for size_mb in (1, 32, 256):
        (mine, most), (theirs, their_most) = (peak(name, work, size_mb) for name in (ours / "procmail", "procmail"))
        print(f"| {size_mb} | {most:.0f} | {their_most:.0f} | {mine:.2f} | {theirs:.2f} |", flush=True)
        shutil.rmtree(work / "large.d")


HOSTILE = {
    "`(x+x+)+y` on one line": (["B ?? (x+x+)+y"], b"x"),
    "`^(.*,)*end$` on one line": (["B ?? ^(.*,)*end$"], b"x,"),
    "`(a?|b?)(a?|b?)(a?|b?)c` on one line": (["B ?? (a?|b?)(a?|b?)(a?|b?)c"], b"ab"),
    "1,000 nested groups on one line": (["B ?? " + "(" * 1000 + "x" + ")*" * 1000 + "y"], b"x"),
    "MATCH of `x\\/.*` on one line": (["B ?? x\\/.*"], b"x"),
    "a score of `1^1 x` on one line": (["1^1 B ?? x"], b"x"),
    "a set of 100 `x.*y.*zN` on one line": ([f"B ?? x.*y.*z{number}" for number in range(100)], b"xy z"),
    "a set of 100 `wordN.*x.*y` on one line": ([f"B ?? word{number}.*x.*y" for number in range(100)], b"xy word"),
    "header lines, `^X-Last: y`": (["^X-Last: y"], b""),
}
SIZES = (250_000, 500_000, 1_000_000)


def hostile_mail(piece: bytes, size: int) -> bytes:
    """A mail whose body is one line of pieces, or one of many header lines."""
    head = MESSAGE.split(b"\n\n")[0] + b"\n"
    if piece:
        return head + b"\n" + piece * (size // len(piece)) + b"\n"
    line = b"X-Field: x\n"
    return head + line * (size // len(line)) + b"\n"


def bench_hostile(work: Path, ours: Path) -> None:
    """What patterns and mail that want to be slow cost, in a mailbox run: time against size."""
    print(f"\n| worst cases, s | {' | '.join(f'{size // 1000} kB' for size in SIZES)} |\n|---|---|---|---|")
    for what, (conditions, piece) in HOSTILE.items():
        recipes = "".join(f":0\n* {condition}\n/dev/null\n" for condition in conditions)
        write_rcfile(work / "hostile", f"DEFAULT=/dev/null\nLINEBUF=8192\n{recipes}")
        cells = []
        for size in SIZES:
            job = command(ours / "pyprocmail", "--mbox", "-m", work / "hostile", stdin=hostile_mail(piece, size))
            times = [seconds(job, nothing) for _ in range(3)]
            cells.append(f"{statistics.median(times):.2f}")
        print(f"| {what} | {' | '.join(cells)} |", flush=True)


def bench_compile() -> None:
    """Reading an rcfile of a thousand recipes, and having it read before."""
    data = recipes(1000).encode()
    compile_rcfile(b"")
    reading, parsing, loading = [], [], []
    for _ in range(7):
        before = time.process_time()
        parse(data)
        reading.append(time.process_time() - before)
        begin = time.perf_counter()
        program = compile_rcfile(data)
        parsing.append(time.perf_counter() - begin)
        stored = marshal.dumps(program)
        begin = time.perf_counter()
        marshal.loads(stored)  # noqa: S302  our own, made above
        loading.append(time.perf_counter() - begin)
    print(f"\n1,000 recipes to a tree: {shown(reading)} ms of processor time.")
    print(f"1,000 recipes: parse and lower {shown(parsing)} ms, load from the cache {shown(loading)} ms")


def bench_check() -> None:
    """The checks of an rcfile of 1,000 recipes, and of a filter file with as many conditions."""
    recipe = b":0:\n* ^From:.*anna%d@friends\\.example\n* ! ^Subject:.*\\<re\\>\nfriends-%d\n\n"
    data = b"MAILDIR=$HOME/Mail\n" + b"".join(recipe % (number, number) for number in range(1000))
    times: list[float] = []
    for _ in range(5):
        before = time.process_time()
        assert not check_rcfile("rc", data, NoMachine(), Selection())
        times.append(time.process_time() - before)
    print(f"\nChecking 1,000 recipes: {statistics.median(times) * 1000:.0f} ms of processor time.")
    rule = b'if (/^From:.*anna%d@friends\\.example/ && !/^Subject:.*\\bre\\b/)\n{\n    to "friends-%d"\n}\n\n'
    data = b"".join(rule % (number, number) for number in range(1000))
    times.clear()
    for _ in range(5):
        before = time.process_time()
        assert not check_filter("mailfilter", data, NoMachine(), Selection())
        times.append(time.process_time() - before)
    print(f"Checking a filter file of 1,000 conditions: {statistics.median(times) * 1000:.0f} ms of processor time.")


def bench_trying(work: Path, ours: Path) -> None:
    """The commands that try rules, with 100 recipes: beside reading the mails, with -j, and what memory it takes."""
    inbox = (ROOT / "examples" / "inbox.mbox").read_bytes()
    mailbox, rcfile, other = work / "many.mbox", work / "hundred", work / "other"
    mailbox.write_bytes(inbox * 15)
    rcfile.write_text(recipes(100))
    other.write_text(recipes(100).replace("spam/", "elsewhere/"))
    (work / "folders").mkdir(exist_ok=True)
    setup, changed = Setup(str(rcfile), home=str(work)), Setup(str(other), home=str(work))
    names = [str(mailbox)]

    def read() -> int:
        return sum(1 for _ in mails(names))

    def compare() -> int:
        count = Compared()
        assert list(differences(setup, changed, names, count=count))
        return count.mails

    def cover() -> int:
        found, rules = covered(setup, names)
        with rules:
            return found.mails

    def tell() -> int:
        with open_rules(setup, told=True) as rules:
            return sum(1 for mail in islice(mails(names), 20) if explain(rules, mail).answers)

    commands: dict[str, tuple[Callable[[], int], int]] = {
        "replay": (lambda: summed(setup, names).mails, 9),
        "diff": (compare, 5),
        "coverage": (cover, 3),
        "explain": (tell, 3),
    }
    print("\n| 100 recipes | mails | ms of processor time a mail | reading it | multiple | rounds |")
    print("|---|---|---|---|---|---|")
    for name, (job, rounds) in commands.items():
        count, floor, spent = 0, [], []
        for _ in range(rounds):
            begin = time.process_time()
            held = read()
            middle = time.process_time()
            count = job()
            floor.append((middle - begin) / held)
            spent.append((time.process_time() - middle) / count)
        multiple = statistics.median(spent) / statistics.median(floor)
        low, middle, high = (1000 * quartile for quartile in statistics.quantiles(spent, n=4))
        took = f"{middle:.3f} ({low:.3f} to {high:.3f})"
        print(f"| `{name}` | {count:,} | {took} | {statistics.median(floor) * 1000:.4f} | {multiple:.1f} | {rounds} |")
    mailbox.write_bytes(inbox * 240)
    words: list[str | Path] = [ours / "pyprocmail", "replay", "--home", work]
    spread = mailbox_run(Path(os.devnull), work, *words, "-j", "2", rcfile, mailbox)
    print("\n| job | ms: median (quartiles) | against | ms: median (quartiles) | multiple | rounds |")
    print("|---|---|---|---|---|---|")
    row(
        "`replay -j 2`, 48,000 mails",
        spread,
        "without `-j`",
        mailbox_run(Path(os.devnull), work, *words, rcfile, mailbox),
        3,
    )
    print("\n| mailbox, MB | `replay`: peak, MB |")
    print("|---|---|")
    for count in (10, 1200):
        with mailbox.open("wb") as file:
            for _ in range(count):
                file.write(inbox)
        code = (
            "import resource, sys; from pyprocmail.commands.main import run; run([b'pyprocmail', *map(str.encode,"
            " sys.argv[1:])]); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)"
        )
        # By a shell: what a process begins with counts as its own, and this one is large.
        measured = [sys.executable, "-c", code, *words[1:], rcfile, mailbox]
        shell = ["/bin/sh", "-c", '"$@"; exit $?', "sh"]
        done = subprocess.run([*shell, *measured], capture_output=True, text=True, check=True)
        print(f"| {count * len(inbox) / 1e6:.0f} | {done.stderr.split()[-1]} |", flush=True)
    mailbox.unlink()


class Bench:
    """What the parts need: a folder, the launchers, a mailbox; the names of the parts are those of `PARTS`."""

    def __init__(self, work: Path, given: Path | None) -> None:
        self.work = work
        self.links = work / "links"
        self.inbox = ROOT / "examples" / "inbox.mbox"
        subprocess.run(
            [Path(sys.executable).with_name("pyprocmail"), "links", self.links], check=True, capture_output=True
        )
        self.mailbox = given or work / "mailbox"
        if given is None:
            self.mailbox.write_bytes(self.inbox.read_bytes() * 5)

    def start(self) -> None:
        """A process a mail."""
        rcfile, python = self.work / "rc", Path(sys.executable).resolve()
        write_rcfile(rcfile, RCFILE.format(folder=self.work))
        one = command(self.links / "procmail", "-m", rcfile, stdin=MESSAGE)
        print(HEADING)
        row("one message, one process, to a Maildir", one, "`python3 -c pass`", command(python, "-I", "-c", "pass"), 60)
        bench_start(self.links, one, command(python, "-IS", "-c", "pass"))
        if has_reference():
            row("the same", one, "procmail", command("procmail", "-m", rcfile, stdin=MESSAGE), 60)

    def tools(self) -> None:
        """maildrop and formail."""
        print(HEADING)
        bench_maildrop(self.work, self.links, self.inbox)
        bench_formail(self.work, self.links, self.mailbox)

    def mailboxes(self) -> None:
        """Recipes on the header, and -j."""
        print(HEADING)
        bench_mailbox(self.work, self.links, self.mailbox)

    def compiling(self) -> None:
        """Reading and checking rules."""
        bench_compile()
        bench_check()


HEADING = (
    "| job | ms: median (quartiles) | against | ms: median (quartiles) | multiple | rounds |\n|---|---|---|---|---|---|"
)
PARTS: dict[str, Callable[[Bench], None]] = {
    "start": Bench.start,
    "cold": lambda bench: rules.cold(bench.work, bench.links),
    "tools": Bench.tools,
    "mailboxes": Bench.mailboxes,
    "rules": lambda bench: rules.mailboxes(bench.work, bench.links, bench.mailbox),
    "wild": lambda bench: rules.wild(bench.work, bench.links, bench.mailbox),
    "memory": lambda bench: bench_memory(bench.work, bench.links),
    "patterns": lambda bench: bench_hostile(bench.work, bench.links),
    "worst": lambda bench: rules.worst(bench.work, bench.links),
    "compiling": Bench.compiling,
}
OWN = ("start", "cold", "patterns", "compiling")
"""The parts that need no reference."""


def has_reference() -> bool:
    """Whether procmail is here."""
    return all(shutil.which(name, path=os.defpath) for name in ("procmail", "formail"))


class Tee(io.StringIO):
    """What is printed, as it comes on standard output too."""

    def write(self, text: str) -> int:
        sys.__stdout__.write(text) if sys.__stdout__ else None
        return super().write(text)


def put(page: str, part: str, table: str) -> str:
    """The page with the table of a part between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    first, last = f"<!-- bench: {part} -->\n", f"<!-- end of {part} -->\n"
    begin, end = page.index(first) + len(first), page.index(last)
    return f"{page[:begin]}\n{table.strip()}\n\n{page[end:]}"


def main() -> None:
    """Measure what is installed beside this interpreter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mailbox", nargs="?", type=Path, help="a mailbox of your own")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of %(default)s")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/PERFORMANCE.md")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if not has_reference():
        print("The reference procmail is not installed: only what needs none is measured.")
        parts = [part for part in parts if part in OWN]
    # TMPDIR chooses the disk that deliveries are synced to.
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), options.mailbox and options.mailbox.resolve())
        for part in parts:
            print(f"\n{part}:", flush=True)
            with contextlib.redirect_stdout(Tee()) as printed:
                PARTS[part](bench)
            if options.write:
                DOCUMENT.write_text(put(DOCUMENT.read_text(), part, printed.getvalue()))


if __name__ == "__main__":
    main()
