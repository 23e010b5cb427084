"""Random patterns over random texts: RE2 as `matching/pcre` uses it, and PCRE2 itself, which defines what is right.

cd tests && python -m differential.pcre [first seed] [number of seeds] [wild]
"""

from __future__ import annotations

import json
import random
import sys
from itertools import islice
from pathlib import Path

from pyprocmail.matching.pcre import LimitError, PatternError, Regex

PIECES: dict[str, list[str]] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
"""What patterns and texts are made of.  The wild ones are more than RE2 is trusted with, and more than people write."""

_SIGNS = "()[]{}*+?|^$.\\\\\\-:,=!<>#'&aAbBkKsSdDwWnNzZhHvRQExpPiu0123 _é\u017f\u212a\t\n\x01"


def pattern(chance: random.Random, depth: int = 0, *, wild: bool = False) -> str:
    """A pattern of a few atoms, groups and branches; a `wild` one has everything that PCRE2 knows."""
    if wild and not depth and chance.random() < 0.3:
        return "".join(chance.choice(_SIGNS) for _ in range(chance.randint(1, 10)))
    made = []
    for _ in range(chance.randint(0 if depth else 1, 4)):
        if chance.random() < 0.2 and depth < 3:
            made.append(chance.choice(("(", "(?:")) + pattern(chance, depth + 1, wild=wild) + ")")
        elif wild and chance.random() < 0.3:
            made.append(chance.choice(PIECES["wild atoms"]))
        else:
            made.append(chance.choice(PIECES["atoms"]))
        made.append(chance.choice(PIECES["wild repeats" if wild and chance.random() < 0.1 else "repeats"]))
        if chance.random() < 0.1:
            made.append("|")
    return "".join(made)


def text(chance: random.Random, *, wild: bool = False) -> bytes:
    """A text of a few characters, some of which letters of patterns stand for; a `wild` one may be any bytes."""
    if wild and chance.random() < 0.1:
        return chance.randbytes(chance.randint(0, 8))
    texts = PIECES["texts"] + (PIECES["wild texts"] if wild else [])
    return "".join(chance.choice(texts) for _ in range(chance.randint(0, 8))).encode()


class Outcome:
    """What came of one pattern: how many texts RE2 was asked about, and where it and PCRE2 differ."""

    def __init__(self) -> None:
        self.compared = 0
        self.found: list[str] = []


def compare(seed: int, texts: int = 20, *, wild: bool = False) -> Outcome:
    """Ask both about one pattern and some texts: whether it matches, and where the match and each group lie."""
    chance = random.Random(seed)
    outcome = Outcome()
    written = pattern(chance, wild=wild).encode()
    fold = chance.random() < 0.5
    try:
        quick = Regex(written, fold=fold)
        right = Regex(written, fold=fold)
    except PatternError:
        return outcome
    if not quick.linear:
        return outcome
    right._linear = right._lines = None
    for _ in range(texts):
        subject = text(chance, wild=wild)
        shown = f"{seed}: {written!r} fold={fold} on {subject!r}"
        try:
            answers = [(r.search(subject), list(islice(r.successive(subject), 20))) for r in (quick, right)]
            line = _first_line(right, subject)
        except LimitError:
            continue
        except PatternError as error:
            outcome.found.append(f"{shown}: PCRE2 refuses it: {error}")
            break
        outcome.compared += 1
        if answers[0] != answers[1]:
            outcome.found.append(f"{shown}: {answers[0]} and not {answers[1]}")
        if line is not None:
            place = quick.first_line(subject, subject.lower() if subject.isascii() else None)
            if not 0 <= place <= line:
                outcome.found.append(f"{shown}: a quick look finds a line at {place}, and not at {line}")
    return outcome


def differing(seed: int, texts: int = 20, *, wild: bool = False) -> list[str]:
    """Where the two answer otherwise."""
    return compare(seed, texts, wild=wild).found


def _first_line(regex: Regex, text: bytes) -> int | None:
    """The end of the first line in which there is a match."""
    end = -1
    for line in text.split(b"\n"):
        end += len(line) + 1
        if regex.search(line) is not None:
            return end
    return None


def main() -> int:
    """Run the seeds; 1 if there are differences."""
    first, count = (int(word) for word in (sys.argv[1:3] if len(sys.argv) > 2 else ("0", "1000")))
    differences = compared = 0
    for seed in range(first, first + count):
        outcome = compare(seed, wild="wild" in sys.argv)
        compared += outcome.compared
        differences += bool(outcome.found)
        if outcome.found:
            print(outcome.found[0], flush=True)
    print(f"pcre: {count} seeds, {compared} comparisons, {differences} differ")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
