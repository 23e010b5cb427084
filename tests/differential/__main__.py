"""`cd tests && python -m differential KIND [first seed] [number of seeds]` prints each difference.

--workers N   so many cases at a time
--mode strict|default|both
--shrink      reduce the first few differences to their cores
--record DIR  write those cores as cases for conformance/conform.py, without expectation
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

from differential import harness
from differential.cases import Case, as_json
from differential.compare import DIFFERS, Verdict, judge, judge_seeds, summary, told
from differential.harness import Runner
from differential.kinds import KINDS
from differential.shrink import shrink

_SHRUNK = 12
_MODES = {"strict": True, "default": False, "both": None}


def main() -> int:
    """Run the seeds of the command line; 1 if there are differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--mode", choices=_MODES, default="both")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    if not harness.REFERENCE:
        sys.exit("the reference procmail is not installed")
    began = time.monotonic()
    seeds = range(arguments.first, arguments.first + arguments.count)
    verdicts: Counter[str] = Counter()
    differing: list[Verdict] = []
    for verdict in judge_seeds(arguments.kind, seeds, workers=arguments.workers, strict=_MODES[arguments.mode]):
        verdicts[verdict.word] += 1
        if verdict.word == DIFFERS:
            differing.append(verdict)
            if not arguments.shrink and not arguments.record:
                print(told(verdict), flush=True)
    if arguments.shrink or arguments.record:
        for text, verdict in _shrunk(differing[:_SHRUNK]):
            print(text)
            if arguments.record and verdict.case:
                name = f"{arguments.kind}-{verdict.seed}"
                (arguments.record / f"{name}.json").write_text(as_json(verdict.case, name, "") + "\n")
    print(f"{arguments.kind}: {summary(verdicts)}; {time.monotonic() - began:.0f} s")
    return 1 if differing else 0


def _shrunk(differing: list[Verdict]) -> list[tuple[str, Verdict]]:
    base = harness.make_base()
    harness.become_user(base)
    random.seed(0)
    runner = Runner(base)
    found = []
    for verdict in differing:
        assert verdict.case
        small = shrink(verdict.case, partial(_differs, runner, verdict.strict))
        again = replace(judge(runner, small, strict=verdict.strict), seed=verdict.seed)
        found.append((told(again) if again.case else f"seed {verdict.seed}: differs now and then", again))
    harness.remove(base)
    return found


def _differs(runner: Runner, strict: bool, case: Case) -> bool:
    return judge(runner, case, strict=strict).word == DIFFERS


if __name__ == "__main__":
    sys.exit(main())
