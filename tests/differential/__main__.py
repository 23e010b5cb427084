"""`cd tests && python -m differential KIND [first seed] [number of seeds]` prints each difference.

--workers N   so many cases at a time
--mode strict|default|both
--shrink      reduce the first few differences to their cores
--record DIR  write those cores as cases for conformance/conform.py, without expectation
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from differential import harness
from differential.cases import as_json
from differential.compare import DIFFERS, Verdict, judge_seeds, shrunk, summary, told
from differential.kinds import KINDS

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
        for verdict in shrunk(differing[:_SHRUNK], workers=arguments.workers):
            print(told(verdict) if verdict.case else f"seed {verdict.seed}: {verdict.word}")
            if arguments.record and verdict.case:
                name = f"{arguments.kind}-{verdict.seed}"
                (arguments.record / f"{name}.json").write_text(as_json(verdict.case, name, "") + "\n")
    print(f"{arguments.kind}: {summary(verdicts)}; {time.monotonic() - began:.0f} s")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
