"""The cases recorded from the reference programs, run through pyprocmail's launchers.

An area runs as one batch, as many cases at a time: most of them wait for locks or children.
To look at one case:  tests/conformance/conform.py show --bin DIR tests/conformance/AREA/CASE.json
"""

import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT

HERE = ROOT / "tests" / "conformance"
AREAS = sorted(folder.name for folder in HERE.iterdir() if any(folder.glob("*.json")))
COMPAT_PAGE = ROOT / "man" / "pyprocmail-compat.7"


@dataclass(frozen=True)
class Deviation:
    """A case on which we differ from the reference, with its row of pyprocmail-compat(7)."""

    case: str
    row: str
    reason: str
    always: bool


def deviations() -> list[Deviation]:
    """What deviations.toml lists."""
    tables = tomllib.loads((HERE / "deviations.toml").read_text())
    return [
        Deviation(case, entry["row"], entry["reason"], name == "always")
        for name in ("default", "always")
        for case, entry in tables[name].items()
    ]


def disagreements(area: str, launchers: Path, *options: str) -> tuple[set[str], str]:
    """The names of the cases that disagree, and what conform.py printed about them."""
    command: list[str | Path] = [sys.executable, HERE / "conform.py", "check", "--diff"]
    command += ["--jobs", "16", "--timeout", "60", *options, "--bin", launchers, HERE / area]
    run = subprocess.run(command, text=True, capture_output=True, check=False)
    total = len(list((HERE / area).glob("*.json")))
    assert re.search(rf"(?m)^\d+ of {total} agree$", run.stdout), run.stdout + run.stderr
    return {f"{area}/{name}" for name in re.findall(r"(?m)^differs: \S+ ([\w-]+):", run.stdout)}, run.stdout


@pytest.mark.parametrize("strict", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["default", "strict"])
@pytest.mark.parametrize("area", AREAS)
def test_agrees_with_the_reference(area: str, strict: bool, launchers: Path) -> None:
    """Everything observable is as recorded, except on the cases that deviations.toml lists."""
    listed = {d.case for d in deviations() if d.case.startswith(f"{area}/") and (d.always or not strict)}
    options = ["--env", "PYPROCMAIL_STRICT=yes"] if strict else []
    found, report = disagreements(area, launchers, *options)
    if found != listed:
        pytest.fail(f"not listed: {sorted(found - listed)}\nlisted, but agree: {sorted(listed - found)}\n{report}")


def test_deviations_have_a_case_a_row_and_a_reason() -> None:
    """Nothing in the list points nowhere."""
    rows = set(re.findall(r"(?m)^\.\\\" row: (\S+)$", COMPAT_PAGE.read_text()))
    for deviation in deviations():
        assert (HERE / f"{deviation.case}.json").exists(), deviation
        assert deviation.row in rows, deviation
        assert deviation.reason, deviation
