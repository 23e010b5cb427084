"""The prefilter changes nothing but the time: sets of patterns against single ones, runs with it and without."""

import os
import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from pyprocmail.matching import egrep, macros
from pyprocmail.matching.linear import Linear
from pyprocmail.matching.prefilter import MEMORY, PatternSet, essence, suits
from pyprocmail.matching.regex import Area

ATOMS = st.sampled_from(b"a b c . ^ $ ^^ \\< \\/ [ab] [^a] (a|b) (bc)? a* b+ .* [^b]* ( )".split())
PATTERNS = st.lists(ATOMS, min_size=1, max_size=6).map(b"".join).map(egrep.parse).filter(suits)
TEXTS = st.text("abc \n", max_size=40).map(str.encode)


@given(st.lists(PATTERNS, min_size=1, max_size=12), TEXTS, st.booleans(), st.sampled_from([MEMORY, 4096, 1]))
def test_a_set_never_misses(patterns: list[egrep.Pattern], text: bytes, fold: bool, memory: int) -> None:
    """What matches is found, whatever the memory; nothing else is while there is enough of it."""
    padded = Area(text).padded
    single = [at for at, pattern in enumerate(patterns) if Linear(pattern, fold=fold).search(padded)]
    found = PatternSet(patterns, fold=fold, memory=memory).matching(padded)
    assert set(single) <= set(found)
    if memory == MEMORY:
        assert single == found


LONGER = st.sampled_from(b"abcab cabca: ( ) | * + ? .* \\/ ^^ [ab] \\. bcabc".split())
ANY = st.lists(LONGER, min_size=1, max_size=7).map(b"".join).map(egrep.parse).filter(lambda pattern: pattern.valid)


@given(ANY, st.lists(st.sampled_from(["abcab", "cabca:", "bcabc", "a", "b.", "\n"]), max_size=5).map("".join))
def test_an_essence_is_there_wherever_the_pattern_matches(pattern: egrep.Pattern, text: str) -> None:
    part = essence(pattern)
    padded = Area(text.encode()).padded
    if part is not None and Linear(pattern, fold=False).search(padded):
        assert Linear(part, fold=False).search(padded)


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        (b"^TO_spamassassin", b"spamassassin"),
        (b"^List-Id:.*<linux\\.example\\.org>", b"<linux.example.org>"),
        (b"^Received:.*from.*example.*by", b"example"),
        (b"(one|other)", None),
        (b"first|other", None),
        (b"^Subject: *", None),
        (b"^Subject: *spams?", None),
        (b"^From:.*spammer+", b"spammer"),
        (b"(^|x)otherwise(ab)*", b"otherwise"),
        (b"^Subject:.*abc\\/defgh.*", b"defgh"),
    ],
)
def test_a_long_literal_stands_for_its_pattern(pattern: bytes, literal: bytes | None) -> None:
    read = egrep.parse(macros.expand(pattern)[0])
    part = essence(read)
    found = None if part is None or part is read else part.tokens
    assert found == (None if literal is None else tuple(literal))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (b"^Subject:.*x", True),
        (b".*x.*y", False),
        (b"(ab*)+", False),
        (b"^TO", True),
        (b"[^>]*x[^<]*", False),
        (b"a* b*", True),
    ],
)
def test_patterns_with_many_gaps_stay_out(pattern: bytes, expected: bool) -> None:
    assert suits(egrep.parse(pattern)) is expected


WORDS = ["exmh", "spam", "razor", "fork", "Re:", "linux", "free", "perl", "list", "zzz", "word", "news", "rpm", "irish"]
WORDS += ["exmh-workers", "spamassassin", "razor-users", "linux.ie", "netnoteinc", "dogma"]


def rules(seed: int) -> str:
    """Recipes in rows and blocks, some chained, some negated, some that start a new row."""
    chosen = random.Random(seed)
    lines = ["MAILDIR=$FOLDERS", "DEFAULT=rest", "LOGFILE=log", "LOGABSTRACT=no"]

    def recipe(number: int, flags: str) -> None:
        lines.append(f":0 {flags}")
        lines.extend(chosen.choice([[]] * 9 + [["* > 2000"], ["* < 3000"], ["* VARIABLE ?? 5"]]))
        for _ in range(chosen.choice([1, 1, 1, 2])):
            field = chosen.choice(["^Subject:.*", "^From:.*", "^TO_", "^(To|Cc):.*", "B ?? ^", "^X-.*: .*"])
            prefix = chosen.choice([""] * 12 + ["! ", "1^1 "])
            lines.append(f"* {prefix}{field}{chosen.choice(WORDS)}{chosen.choice(['', '', '.*a', chr(92) + '/.*'])}")
        lines.append(f"folder{number}")

    for number in range(60):
        if chosen.random() < 0.1:
            lines.append(f"VARIABLE=value{number}")
        if chosen.random() < 0.1:
            lines += [f":0\n* ^Subject:.*{chosen.choice(WORDS)}\n{{"]
            for inner in range(5):
                recipe(number * 100 + inner, "")
            lines.append("}")
        recipe(number, chosen.choice(["", "", "", "", "", "c", "A", "E", "B", "HB", "D", "h", "a"]))
        if chosen.random() < 0.1:
            lines.append('LOG="$MATCH $= "')
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(4))
def test_runs_with_and_without_are_equal(launchers: Path, tmp_path: Path, seed: int) -> None:
    (tmp_path / "rc").write_text(rules(seed))
    results = []
    for switch in ("no", "yes"):
        folders = tmp_path / switch
        folders.mkdir()
        with (ROOT / "examples" / "inbox.mbox").open("rb") as mailbox:
            subprocess.run(
                [launchers / "pyprocmail", "-m", f"FOLDERS={folders}", tmp_path / "rc"],
                stdin=mailbox,
                env={"PATH": os.defpath, "PYPROCMAIL_PREFILTER": switch},
                check=True,
                capture_output=True,
            )
        results.append(Counter((path.name, path.read_bytes()) for path in folders.iterdir()))
    assert len(results[0]) > 2
    assert results[0] == results[1]
