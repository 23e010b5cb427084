"""The verdict on a case: does ours do what the reference does?"""

from __future__ import annotations

import difflib
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from differential import deviations, harness
from differential.cases import Case
from differential.harness import Outcome, Runner
from differential.kinds import KINDS
from differential.shrink import shrink

AGREES, DIFFERS, UNSTABLE = "agrees", "differs", "differs now and then"
HANGS, UNDEFINED = "reference hangs or crashes", "reference shows its memory"
DEFAULT_MODE_EVERY = 4
"""One seed in so many runs ours without PYPROCMAIL_STRICT."""

ATTEMPTS = 5

_FEW = 4


@dataclass(frozen=True)
class Verdict:
    """`word` is one of those above or the row of the deviation that explains the difference."""

    seed: int
    word: str
    strict: bool
    case: Case | None = None
    want: Outcome | None = None
    got: Outcome | None = None


def is_strict(seed: int) -> bool:
    """Whether the seed runs with PYPROCMAIL_STRICT=yes."""
    return seed % DEFAULT_MODE_EVERY != 0


def judge(runner: Runner, case: Case, *, strict: bool, seed: int = -1) -> Verdict:
    """Run the case with both; what differs is run again, so that no race is taken for a fault or for a deviation.

    Each program may do what the other did in an earlier attempt: where the order of things is chance, both show it.
    """
    wanted: list[Outcome] = []
    found: list[Outcome] = []
    for attempt in range(ATTEMPTS):
        want = runner.reference(case)
        if want.status is None or want.status < 0:
            return Verdict(seed, HANGS, strict)
        if deviations.is_undefined(case, want):
            return Verdict(seed, UNDEFINED, strict)
        got = runner.ours(case, strict=strict)
        wanted.append(want)
        found.append(got)
        if want in found or got in wanted:
            return Verdict(seed, UNSTABLE if attempt else AGREES, strict)
        row = _explained(runner, case, want, got, strict=strict)
        if row:
            return Verdict(seed, row, strict)
    if any(deviations.is_chance(want, got) for want in wanted for got in found):
        return Verdict(seed, UNSTABLE, strict)
    return Verdict(seed, DIFFERS, strict, case, wanted[-1], found[-1])


def _explained(runner: Runner, case: Case, want: Outcome, got: Outcome, *, strict: bool) -> str | None:
    """The row of the deviation that is the reason of a difference."""
    row = deviations.explain_always(case, want, got) or _explained_aloud(runner, case, strict=strict)
    if row or strict:
        return row
    row = deviations.explain(case, want, got, runner.reference)
    if not row:
        return None
    # What nobody chose is no deviation: with PYPROCMAIL_STRICT there has to be agreement.
    return row if judge(runner, case, strict=True).word != DIFFERS else None


def _explained_aloud(runner: Runner, case: Case, *, strict: bool) -> str | None:
    """The row for a case without VERBOSE: that of the same case with it, whose log shows the reason."""
    aloud = replace(case, rcfile=case.rcfile.replace(b"\nVERBOSE=no\n", b"\nVERBOSE=yes\n", 1))
    if aloud.rcfile == case.rcfile:
        return None
    row = judge(runner, aloud, strict=strict).word
    return None if row in (AGREES, DIFFERS, UNSTABLE, HANGS, UNDEFINED) else row


_runner: list[Runner] = []


def _start_worker(base: Path) -> None:
    harness.become_user(base)
    _runner.append(Runner(harness.make_folder(base)))


def _judge_seed(kind: str, seed: int, strict: bool | None) -> Verdict:
    case = KINDS[kind](random.Random(f"{kind} {seed}"))
    return judge(_runner[0], case, strict=is_strict(seed) if strict is None else strict, seed=seed)


def _shrink(verdict: Verdict) -> Verdict:
    assert verdict.case
    runner = _runner[0]
    small = shrink(verdict.case, lambda case: judge(runner, case, strict=verdict.strict).word == DIFFERS)
    return judge(runner, small, strict=verdict.strict, seed=verdict.seed)


def shrunk(verdicts: list[Verdict], *, workers: int) -> Iterator[Verdict]:
    """The same differences in cases as small as can be; one that was not there any more has another word."""
    base = harness.make_base()
    try:
        with ProcessPoolExecutor(workers, get_context("fork"), _start_worker, (base,)) as pool:
            yield from pool.map(_shrink, verdicts)
    finally:
        harness.remove(base)


def judge_seeds(kind: str, seeds: range, *, workers: int, strict: bool | None = None) -> Iterator[Verdict]:
    """The verdicts on the seeds of a kind, in their order; `strict` None is the mixture of both modes."""
    base = harness.make_base()
    try:
        with ProcessPoolExecutor(workers, get_context("fork"), _start_worker, (base,)) as pool:
            count = len(seeds)
            yield from pool.map(_judge_seed, [kind] * count, seeds, [strict] * count, chunksize=min(20, count // 8 + 1))
    finally:
        harness.remove(base)


def summary(verdicts: Counter[str]) -> str:
    """One line of figures."""
    return f"{verdicts.total()} seeds: " + ", ".join(f"{count} {word}" for word, count in verdicts.most_common())


def told(verdict: Verdict) -> str:
    """A disagreement, for people."""
    case, want, got = verdict.case, verdict.want, verdict.got
    assert case
    assert want
    assert got
    parts = [f"seed {verdict.seed} {'strict' if verdict.strict else 'default'}: argv {case.argv}", _text(case.rcfile)]
    for name, file in case.files.items():
        text = "" if len(case.files) > _FEW and name not in case.rcfile.decode("latin-1") else "\n" + _text(file.data)
        parts.append(f"--- {name} {file.mode:o}{text}")
    if case.dirs or case.links or case.environment:
        parts.append(f"--- {case.dirs} {case.links} {case.environment}")
    parts.append(f"--- mail\n{_text(case.mail)}\n--- expected, got")
    parts += difflib.unified_diff(_lines(want), _lines(got), lineterm="", n=3)
    return "\n".join(parts)


def _text(data: bytes) -> str:
    return data.decode("latin-1").replace("\r", "\\r").replace("\0", "\\0")


def _lines(outcome: Outcome) -> list[str]:
    lines = [f"status {outcome.status}"]
    texts = [("stdout", ("", outcome.stdout)), ("stderr", ("", outcome.stderr)), *outcome.tree.items()]
    for name, (kind, data) in texts:
        lines.append(f"[{name}] {kind}")
        lines += [f"    {line!r}" if not line.isascii() else f"    {line.decode()}" for line in data.split(b"\n")]
    return lines
