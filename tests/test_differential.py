"""Random cases through the reference and through ours, and the cores of those that once differed.

Each kind of differential/ runs a few seeds here, and thousands with the slow marker.  To look for more:
`cd tests && python -m differential KIND FIRST COUNT --shrink`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import installation
import pytest
from conftest import ROOT
from differential.kinds import KINDS
from test_conformance import has_unreadable_file

CASES = ROOT / "tests" / "cases" / "differential"
WORKERS = max(2, os.cpu_count() or 1)
SLEEPERS = {"folders": 16}
"""How many cases of a kind at a time in which the reference sleeps most of the time, at each new mailbox."""


def run_seeds(kind: str, first: int, count: int) -> None:
    """Fail if a seed differs; the report has the cases, reduced to their cores."""
    command = [str(installation.interpreter()), "-m", "differential", kind, str(first), str(count)]
    command += ["--workers", str(SLEEPERS.get(kind, WORKERS)), "--shrink"]
    run = subprocess.run(command, text=True, capture_output=True, check=False, cwd=ROOT / "tests")
    assert re.search(rf"(?m)^{kind}: {count} seeds: ", run.stdout), run.stdout + run.stderr
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.usefixtures("reference")
@pytest.mark.parametrize("kind", KINDS)
def test_seeds(kind: str) -> None:
    """Nothing observable differs but what deviations.py explains."""
    run_seeds(kind, 0, 25)


@pytest.mark.slow
@pytest.mark.usefixtures("reference")
@pytest.mark.parametrize("kind", KINDS)
def test_many_seeds(kind: str) -> None:
    """The same for seeds enough to meet rare combinations."""
    run_seeds(kind, 1000, 700)


@pytest.mark.slow
def test_what_once_differed(launchers: Path) -> None:
    """The cores of differences that were found are as recorded from the reference."""
    # What only root can look into is left to root.
    cases = [case for case in sorted(CASES.glob("*.json")) if os.geteuid() == 0 or not has_unreadable_file(case)]
    command: list[str | Path] = [sys.executable, ROOT / "tests" / "conformance" / "conform.py", "check", "--diff"]
    command += ["--jobs", "16", "--env", "PYPROCMAIL_STRICT=yes", "--timeout", "60", "--bin", launchers, *cases]
    run = subprocess.run(command, text=True, capture_output=True, check=False)
    assert f"{len(cases)} of {len(cases)} agree" in run.stdout, run.stdout + run.stderr
