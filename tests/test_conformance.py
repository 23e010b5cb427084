"""The cases recorded from the reference programs, run through pyprocmail's launchers.

Each case is a test.  Those of an area that are selected run as one batch, many at a time: most of them wait for locks
or children.
To look at one case:  tests/conformance/conform.py show --bin DIR tests/conformance/AREA/CASE.json
"""

import fcntl
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import installation
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


@cache
def deviations() -> list[Deviation]:
    """What deviations.toml lists."""
    tables = tomllib.loads((HERE / "deviations.toml").read_text())
    return [
        Deviation(case, entry["row"], entry["reason"], name == "always")
        for name in ("default", "always")
        for case, entry in tables[name].items()
    ]


def has_unreadable_file(case: Path) -> bool:
    """Whether the case leaves a file that its owner may not read: conform.py can then look at it only as root."""
    entries = json.loads(case.read_text())["expect"]["tree"].values()
    return any(isinstance(entry, list) and re.match("file 0[0-3]", entry[0]) for entry in entries)


UNREADABLE = [case for area in AREAS for case in sorted((HERE / area).glob("*.json")) if has_unreadable_file(case)]


def differing(cases: list[Path], launchers: Path, *, strict: bool) -> tuple[set[str], str]:
    """The cases that disagree, and what conform.py says of them."""
    command: list[str | Path] = [sys.executable, HERE / "conform.py", "check", "--diff", "--jobs", "16"]
    command += ["--timeout", "60", *(["--env", "PYPROCMAIL_STRICT=yes"] if strict else [])]
    run = subprocess.run([*command, "--bin", launchers, *cases], text=True, capture_output=True, check=False)
    assert re.search(rf"(?m)^\d+ of {len(cases)} agree$", run.stdout), run.stdout + run.stderr
    names = {case.stem: f"{case.parent.name}/{case.stem}" for case in cases}
    return {names[stem] for stem in re.findall(r"(?m)^differs: \S+ (\S+):", run.stdout)}, run.stdout


def use_up_short_process_ids() -> None:
    """Start processes until the next one's id has four digits: ids begin anew after the highest."""
    for _ in range(1000):
        process = subprocess.Popen(["true"])
        process.wait()
        if process.pid >= 1000:
            return


def name_of(case: Path) -> str:
    """As deviations.toml names it."""
    return f"{case.parent.name}/{case.stem}"


def found_differing(cases: list[Path], launchers: Path, *, strict: bool) -> dict[str, str]:
    """The cases that disagree, each with what conform.py says of it.

    What is not listed is run a second time, alone: some cases show how two processes happened to
    be scheduled, or that a process id had three digits. conform.py knows only longer ones.
    """
    found, output = differing(cases, launchers, strict=strict)
    listed = {d.case for d in deviations() if d.always or not strict}
    again = [case for case in cases if name_of(case) in found - listed]
    said = dict.fromkeys(found, output)
    if again:
        use_up_short_process_ids()
    for case in again:
        del said[name_of(case)]
        still, output = differing([case], launchers, strict=strict)
        said.update(dict.fromkeys(still, output))
    return said


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, launchers: Path) -> Callable[[str, bool], dict[str, str]]:
    """What disagrees of the selected cases of an area: run as a batch, once for all processes of the run."""
    selected: dict[tuple[str, bool], list[Path]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.originalname == test_agrees_with_the_reference.__name__:
            case, strict = item.callspec.params["case"], bool(item.callspec.params["strict"])
            assert isinstance(case, Path)
            if case in UNREADABLE and os.geteuid() != 0:
                continue
            selected.setdefault((case.parent.name, strict), []).append(case)

    def run(area: str, strict: bool) -> dict[str, str]:
        kept = Path(os.environ[installation.VARIABLE]) / f"{area}-{strict}.json"
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                kept.write_text(json.dumps(found_differing(selected[area, strict], launchers, strict=strict)))
        found: dict[str, str] = json.loads(kept.read_text())
        return found

    return run


MODES = pytest.mark.parametrize(
    "strict", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["default", "strict"]
)
CASES = [case for area in AREAS for case in sorted((HERE / area).glob("*.json"))]


@MODES
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_agrees_with_the_reference(case: Path, strict: bool, outcomes: Callable[[str, bool], dict[str, str]]) -> None:
    """Everything observable is as recorded, except on the cases that deviations.toml lists."""
    if case in UNREADABLE and os.geteuid() != 0:
        pytest.skip("only root can look into a file of mode 0")
    said = outcomes(case.parent.name, strict).get(name_of(case))
    listed = any(d.case == name_of(case) and (d.always or not strict) for d in deviations())
    if listed:
        assert said is not None, "listed in deviations.toml, but agrees"
    elif said is not None:
        pytest.fail(part_about(case, said))


def part_about(case: Path, output: str) -> str:
    """What conform.py says of the case."""
    found = re.search(rf"(?ms)^differs: \S+ {re.escape(case.stem)}:.*?(?=^differs: |^\d+ of \d+ agree)", output)
    return found[0] if found else output


def test_deviations_have_a_case_a_row_and_a_reason() -> None:
    """Nothing in the list points nowhere."""
    rows = set(re.findall(r"(?m)^\.\\\" row: (\S+)$", COMPAT_PAGE.read_text()))
    for deviation in deviations():
        assert (HERE / f"{deviation.case}.json").exists(), deviation
        assert deviation.row in rows, deviation
        assert deviation.reason, deviation
