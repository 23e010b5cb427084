"""The rcfiles of wild/, in the styles that people publish, through the reference and through ours.

To look at one:  cd tests && python -m wild --diff 15-subroutines
"""

import re
import subprocess
import tomllib
from pathlib import Path

import compatibility
import installation
import pytest
from conftest import ROOT
from wild.cases import HERE, mails, rcfiles

FAST = 120
"""One run in so many is made without the slow marker."""


def compare(*options: str, runs: int) -> None:
    """Fail if a run differs; the report tells how."""
    command: list[str | Path] = [installation.interpreter(), "-m", "wild", "--diff", *options]
    run = subprocess.run(command, text=True, capture_output=True, check=False, cwd=ROOT / "tests")
    found = re.search(r"(?m)^wild: (\d+) runs, 0 not as they should be$", run.stdout)
    assert found, run.stdout + run.stderr
    assert int(found[1]) == runs


@pytest.mark.usefixtures("reference")
def test_some_mails() -> None:
    """Some runs of those that `make test-all` makes."""
    count = sum((rcfile + mail) % FAST == 0 for rcfile in range(len(rcfiles())) for mail in range(len(mails())))
    compare("--every", str(FAST), runs=count)


@pytest.mark.slow
@pytest.mark.usefixtures("reference")
def test_all_mails() -> None:
    """Everything observable is the same, by default and with PYPROCMAIL_STRICT=yes."""
    compare(runs=len(rcfiles()) * len(mails()))


def test_lists_point_somewhere() -> None:
    """What wild.toml says is about rcfiles and mails that exist, and rows of pyprocmail-compat(7)."""
    names = {path.stem for path in rcfiles()}
    assert set(tomllib.loads((HERE / "wild.toml").read_text())["arguments"]) <= names
    rows = {row.name for row in compatibility.rows()}
    for deviation in compatibility.deviations(HERE / "wild.toml"):
        rcfile, _, mail = deviation.case.partition("/")
        assert rcfile in names, deviation
        assert mail in mails(), deviation
        assert deviation.row in rows, deviation
        assert deviation.reason, deviation


def test_compatibility_document_is_up_to_date() -> None:
    """docs/COMPATIBILITY.md is what its sources say: `make compatibility`."""
    assert compatibility.DOCUMENT.read_text() == compatibility.document()


def test_rows_are_complete() -> None:
    """Each row of the manual page says what procmail does, what we do, why, and what strict changes."""
    rows = compatibility.rows()
    assert rows
    for row in rows:
        assert list(row.parts) == ["procmail", "pyprocmail", "Why", "Strict"], row
        assert all(row.parts.values()), row
