"""`make bench`: how long a delivery takes, as a Markdown table.

Each row is measured side by side with its yardstick, the two taking turns in one run, so that
whatever else the machine does meets both.  The multiple is that of the medians.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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


def mailbox_run(folders: Path, *arguments: str | Path) -> Job:
    """A job that delivers examples/inbox.mbox by rules.rc into the folders."""

    def job() -> None:
        with (ROOT / "examples" / "inbox.mbox").open("rb") as mailbox:
            subprocess.run(
                [*arguments, "-m", f"FOLDERS={folders}", "rules.rc"],
                stdin=mailbox, cwd=ROOT / "examples", env=ENVIRONMENT, check=True, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    return job


def main() -> None:
    """Measure what is installed beside this interpreter."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        links = work / "links"
        links.mkdir()
        subprocess.run([Path(sys.executable).with_name("pyprocmail"), "links", links], check=True)
        rcfile = work / "rc"
        rcfile.write_text(RCFILE.format(folder=work))
        python = Path(sys.executable).resolve()

        print("| job | ms: median (quartiles) | against | ms: median (quartiles) | multiple | rounds |")
        print("|---|---|---|---|---|---|")
        one = command(links / "procmail", "-m", rcfile, stdin=MESSAGE)
        row("one message, one process, to a Maildir", one, "`python3 -c pass`", command(python, "-c", "pass"), 60)
        if not (shutil.which("procmail", path=os.defpath) and shutil.which("formail", path=os.defpath)):
            print("\nThe reference procmail is not installed: no comparison with it.")
            return
        row("the same", one, "procmail", command("procmail", "-m", rcfile, stdin=MESSAGE), 60)

        # The reference waits a second at each new mbox file, so the folders are there, and not empty.
        folders, prepared = work / "folders", work / "prepared"
        prepared.mkdir()
        mailbox_run(prepared, links / "pyprocmail")()

        def reset() -> None:
            shutil.rmtree(folders, ignore_errors=True)
            shutil.copytree(prepared, folders)

        job = mailbox_run(folders, links / "pyprocmail")
        yardstick = mailbox_run(folders, "formail", "-s", "procmail")
        row("200 messages of examples/, one process", job, "`formail -s procmail`", yardstick, 7, reset)


if __name__ == "__main__":
    main()
