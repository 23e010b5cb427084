"""A mailbox through the reference and through pyprocmail, and what differs: `compare.py MAILBOX`.

The reference delivers one message a process (`formail -s procmail`), pyprocmail the whole mailbox in
one; both through examples/rules.rc.  mbox folders must be equal byte for byte, Maildir and MH folders
as multisets of messages, because the names in a Maildir are unique by design.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# A deviation of the user's own environment must not colour the comparison.
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}


def contents(folder: Path) -> Counter[str]:
    """A digest for each message of a folder; an mbox file is one piece."""
    entries = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else [folder]
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in entries)


def run(command: list[str | Path], mailbox: Path, root: Path) -> None:
    """Deliver the mailbox into the new directory `root`."""
    root.mkdir()
    with mailbox.open("rb") as stdin:
        subprocess.run(command, stdin=stdin, cwd=EXAMPLES, env=ENVIRONMENT, check=True, stderr=subprocess.DEVNULL)


def differences(reference: Path, ours: Path) -> list[str]:
    """A line for each folder that is missing, too many or not equal; the log is not a folder."""
    names = sorted({path.name for root in (reference, ours) for path in root.iterdir()} - {"log"})
    found = []
    for name in names:
        if not (reference / name).exists() or not (ours / name).exists():
            found.append(f"{name}: only one of the two made it")
            continue
        want, got = contents(reference / name), contents(ours / name)
        if want != got:
            found.append(f"{name}: {(want - got).total()} entries missing, {(got - want).total()} too many")
    return found


def main() -> int:
    """Compare, and print what differs."""
    mailbox = Path(sys.argv[1]).resolve()
    launcher = sys.argv[2] if len(sys.argv) > 2 else Path(sys.executable).with_name("pyprocmail")
    with tempfile.TemporaryDirectory() as directory:
        reference, ours = Path(directory, "reference"), Path(directory, "ours")
        run(["formail", "-s", "procmail", "-m", f"FOLDERS={reference}", "rules.rc"], mailbox, reference)
        run([launcher, "-m", "--mbox", f"FOLDERS={ours}", "rules.rc"], mailbox, ours)
        found = differences(reference, ours)
        print("\n".join(found) or f"{len(list(reference.iterdir())) - 1} folders are equal")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
