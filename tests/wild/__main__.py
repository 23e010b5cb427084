"""Run the rcfiles of this folder:  cd tests && python -m wild [--every N] [--diff] [RCFILE ...]

RCFILE is a name without `.rc`.  Ends with 1 if a run differs that wild.toml does not list, or one agrees that it does.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from differential import compare, deviations, harness
from differential.compare import Verdict
from differential.harness import Outcome, Runner

from wild.cases import HERE, Run, runs

WORKERS = 48
"""Many more than processors: the reference sleeps for a second at each mbox file that is new."""

SECONDS = 60.0
"""For one run; none hangs, but many sleep."""

ATTEMPTS = 4
"""Clones and programs that nobody waits for write to the log in an order that is chance."""

_runner: list[Runner] = []


@dataclass(frozen=True)
class Comparison:
    """A run, and how ours differs from the reference: by default, and strictly; empty where it does not."""

    name: str
    default: str
    strict: str


def _start_worker(base: Path) -> None:
    harness.become_user(base)
    _runner.append(Runner(harness.make_folder(base)))


def _compare(run: Run) -> Comparison:
    """What differs is run again, so that no race is taken for a difference: each may do what the other once did."""
    told = {False: "differs", True: "differs"}
    wanted: list[Outcome] = []
    found: dict[bool, list[Outcome]] = {mode: [] for mode in told}
    for _ in range(ATTEMPTS):
        wanted.append(_runner[0].reference(run.case, SECONDS))
        for strict in [mode for mode in told if told[mode]]:
            found[strict].append(_runner[0].ours(run.case, strict=strict))
            agree = any(_agree(want, got) for want in wanted for got in found[strict])
            told[strict] = "" if agree else _differ(run, strict, wanted[-1], found[strict][-1])
        if not any(told.values()):
            break
    return Comparison(run.name, told[False], told[True])


def _agree(want: Outcome, got: Outcome) -> bool:
    return got == want or deviations.is_chance(want, got)


def _differ(run: Run, strict: bool, want: Outcome, got: Outcome) -> str:
    return compare.told(Verdict(0, run.name, strict, run.case, want, got))


def main() -> int:
    """Compare, and tell."""
    parser = argparse.ArgumentParser(prog="wild", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one of so many mails for each rcfile")
    parser.add_argument("--diff", action="store_true", help="print the differences")
    parser.add_argument("rcfiles", nargs="*", metavar="RCFILE")
    options = parser.parse_args()

    listed: dict[str, object] = tomllib.loads((HERE / "wild.toml").read_text())["default"]
    base = harness.make_base()
    count, faults = 0, 0
    try:
        with ProcessPoolExecutor(WORKERS, get_context("fork"), _start_worker, (base,)) as pool:
            for found in pool.map(_compare, runs(options.rcfiles, every=options.every)):
                count += 1
                faults += _report(found, is_listed=found.name in listed, diff=options.diff)
    finally:
        harness.remove(base)
    print(f"wild: {count} runs, {faults} not as they should be")
    return faults != 0


def _report(found: Comparison, *, is_listed: bool, diff: bool) -> bool:
    """Print what is wrong with the run; whether something is."""
    wrong = ""
    if found.strict:
        wrong = "differs strictly"
    elif found.default and not is_listed:
        wrong = "differs by default"
    elif is_listed and not found.default:
        wrong = "is listed, but agrees"
    if wrong:
        print(f"{found.name}: {wrong}")
        if diff:
            print(found.strict or found.default, flush=True)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
