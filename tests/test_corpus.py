"""300 real messages through the reference and through pyprocmail: the folders are equal.

`make corpus FILE=mailbox` does the same with a mailbox of your own.
"""

import lzma
import subprocess
import sys
from pathlib import Path

import pytest
from compare import differences
from conftest import ROOT

COMPARE = ROOT / "tests" / "corpus" / "compare.py"


@pytest.mark.slow
@pytest.mark.usefixtures("reference")
def test_folders_are_equal(launchers: Path, tmp_path: Path) -> None:
    """The 200 messages of the examples and 100 more."""
    mailbox = tmp_path / "mailbox"
    more = lzma.decompress((ROOT / "tests" / "corpus" / "more.mbox.xz").read_bytes())
    mailbox.write_bytes((ROOT / "examples" / "inbox.mbox").read_bytes() + more)
    run = subprocess.run(
        [sys.executable, COMPARE, mailbox, launchers / "pyprocmail"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_difference_is_found(tmp_path: Path) -> None:
    """The comparison sees a changed, a missing and a superfluous message, and not the names in a Maildir."""
    reference, ours = tmp_path / "reference", tmp_path / "ours"
    for root, names in ((reference, "ab"), (ours, "cd")):
        for folder in ("same", "other"):
            (root / folder / "new").mkdir(parents=True)
            for name, text in zip(names, ("1", "2"), strict=True):
                (root / folder / "new" / name).write_text(text)
        (root / "mbox").write_text("m")
        (root / "log").write_text(str(root))
    assert differences(reference, ours) == []
    (ours / "other" / "new" / "c").write_text("3")
    (ours / "mbox").write_text("n")
    (reference / "gone").write_text("")
    assert differences(reference, ours) == [
        "gone: only one of the two made it",
        "mbox: 1 entries missing, 1 too many",
        "other: 1 entries missing, 1 too many",
    ]
