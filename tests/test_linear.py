"""A stranger's mail costs no more than its size: hostile shapes, doubled, through every program that takes mails apart.

Neither processor time nor memory may grow faster than the mail.  `hostile` has the shapes and the programs.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import hostile
import pytest
from hostile import JOBS, SHAPES, Cost

from pyprocmail.host import Host
from pyprocmail.tools import reformime

GROWTH = 2.6
"""What a step that doubles the size may multiply the time by: 4 would be quadratic."""
CLEAR_S = 0.1
"""A processor time that is far above the noise."""
NOISE_S = 0.02
MEMORY = 40
"""Bytes of memory for a byte of mail, at the most: a header of fields of two letters needs an object for each."""
SLACK_BYTES = 12 << 20
STEPS = 4
SMALLEST, LARGEST = 1 << 17, 1 << 19
ATTEMPTS = 8
"""How often the sizes are measured before growth is a verdict."""
SHARE = 16
"""One of so many shapes is tried with each job where time is short."""
EMPTY = b"From: a@b\n\nx\n"

ONCE_QUADRATIC = (
    ("header.mailfilter", "words", 1 << 16),
    ("header.mailfilter", "encoded words without end", 1 << 19),
    ("hasaddr.mailfilter", "empty folds", 1 << 18),
    ("foreach-PCRE2.mailfilter", "letters", 1 << 16),
    ("dear.mailfilter", "lines that try again", 1 << 16),
    ("formail -x", "long line", 1 << 24),
    ("formail -ds", "paragraphs", 1 << 18),
    ("formail -Bems", "BABYL of known fields", 1 << 17),
    ("mailbot", "replies", 1 << 19),
    ("mailbot", "forwards", 1 << 19),
    ("mailbot", "one line of words", 1 << 21),
    ("mailstat", "one line", 1 << 24),
)
"""Each with a size that would show it."""


class Bench:
    """A job, and what it costs without a mail."""

    def __init__(self, job: str, folder: Path) -> None:
        hostile.prepare(folder)
        self.job = job
        self.folder = folder
        if job in hostile.RULES:
            # The first run compiles them; what it puts into the cache is not trusted while the file is new.
            time.sleep(2.1)
            hostile.cost(job, EMPTY, folder)
        self.empty = hostile.cost(job, EMPTY, folder)

    def cost(self, mail: bytes) -> Cost:
        """What the mail costs."""
        run = hostile.cost(self.job, mail, self.folder)
        return Cost(run.seconds - self.empty.seconds, run.memory - self.empty.memory, run.status)

    def faults(self, shape: str, size: int = SMALLEST, largest: int = LARGEST, steps: int = STEPS) -> list[str]:
        """What is wrong with the costs of a shape: nothing, where the job is so quick that its time is noise."""
        name = f"{self.job} on {shape!r}"
        while True:
            mail = SHAPES[shape](size)
            top = self.cost(mail)
            if top.seconds > CLEAR_S or size >= largest:
                break
            size *= 4
        found = []
        if top.status < 0 or top.status in (75, hostile.BROKEN):
            found.append(f"{name}: {size} bytes: status {top.status}, {top.seconds:.2f} s")
        elif top.memory > MEMORY * len(mail) + SLACK_BYTES:
            found.append(f"{name}: {top.memory >> 10} KiB for {len(mail) >> 10} KiB")
        if top.seconds > CLEAR_S:
            seconds = self._least(shape, size, steps)
            if growth(seconds) > GROWTH:
                found.append(f"{name}: up to {size} bytes, doubled: {[round(one, 3) for one in seconds]} s")
        return found

    def _least(self, shape: str, size: int, steps: int) -> list[float]:
        """The times of the doubled sizes: what grows too fast is measured again, and the least of each counts.

        Whatever else the machine does can only add to a time.
        """
        mails = [SHAPES[shape](size >> step) for step in range(steps, -1, -1)]
        least = [math.inf] * len(mails)
        for _ in range(ATTEMPTS):
            least = [min(before, self.cost(mail).seconds) for before, mail in zip(least, mails, strict=True)]
            if growth(least) < GROWTH:
                break
        return least


def growth(seconds: list[float]) -> float:
    """By how much each doubling multiplied the time: the mean, from the last time that may be noise on."""
    first = max((step for step, one in enumerate(seconds[:-1]) if one < NOISE_S), default=0)
    whole = max(seconds[-1], NOISE_S) / max(seconds[first], NOISE_S)
    return math.exp(math.log(whole) / (len(seconds) - 1 - first))


@pytest.mark.parametrize(("job", "shape", "size"), ONCE_QUADRATIC)
def test_what_was_quadratic_once(job: str, shape: str, size: int, tmp_path: Path) -> None:
    """A quick look: twice doubled."""
    assert Bench(job, tmp_path / "run").faults(shape, size, size, steps=2) == []


def test_growth() -> None:
    """A quadratic cost is seen, a linear one and noise are not."""
    assert growth([0.04, 0.16, 0.64]) > GROWTH
    assert growth([-0.01, 0.001, 0.3]) > GROWTH
    assert growth([0.1, 0.21, 0.39, 0.85]) < GROWTH
    assert growth([0.001, -0.01, 0.03]) < GROWTH


def test_a_large_cache_and_a_long_message_id(tmp_path: Path) -> None:
    """What makes room in a cache is counted once; and a long key that stands in it is not read again and again."""
    bench = Bench("reformail -D huge", tmp_path / "run")
    times: list[float] = []
    for keys in (20_000, 40_000, 80_000):
        (bench.folder / "huge").write_bytes(b"".join(b"<%d@x>\0" % number for number in range(keys)) + b"\0")
        times.append(min(bench.cost(SHAPES["Message-ID"](1 << 21)).seconds for _ in range(ATTEMPTS)))
    assert times[-1] < GROWTH**2 * max(times[0], NOISE_S), times
    bench = Bench("formail -D", tmp_path / "run")
    (bench.folder / "kept").write_bytes(b"x" * (64 << 20) + b"\0\0")
    assert hostile.cost("formail -D kept", EMPTY, bench.folder).memory < bench.empty.memory + SLACK_BYTES


def test_parts_of_one_name_are_not_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part that reformime -x writes costs one name, however many had the same."""
    opened = []
    plainly = Host.open

    def noted(path: bytes, flags: int, mode: int) -> int:
        opened.append(path)
        return plainly(path, flags, mode)

    monkeypatch.setattr(Host, "open", staticmethod(noted))
    mail = SHAPES["named parts"](1 << 13)
    argv = [b"reformime", b"-x%b/" % bytes(tmp_path)]
    assert reformime.run(Host(), argv, {}, lambda: mail, lambda _: None, lambda _: None) == 0
    assert len(opened) == len(list(tmp_path.iterdir())) == mail.count(b"filename")


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_some_shapes(job: str, tmp_path: Path) -> None:
    """Other shapes for each job, in sizes whose time is well above the noise, doubled four times."""
    first = list(JOBS).index(job) % SHARE
    bench = Bench(job, tmp_path / "run")
    faults = [fault for shape in list(SHAPES)[first::SHARE] for fault in bench.faults(shape)]
    assert faults == [], "\n".join(faults)


@pytest.mark.torture
@pytest.mark.parametrize("job", JOBS)
def test_every_shape(job: str, tmp_path: Path) -> None:
    """Each shape for each job: half an hour of processor time."""
    bench = Bench(job, tmp_path / "run")
    faults = [fault for shape in SHAPES for fault in bench.faults(shape)]
    assert faults == [], "\n".join(faults)
