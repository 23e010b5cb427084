"""Patterns: the recorded answers of the reference, and the laws that two matchers must obey."""

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyprocmail.matching import egrep, macros, positions, re2core
from pyprocmail.matching.automaton import Automaton
from pyprocmail.matching.linear import Linear, translate
from pyprocmail.matching.regex import Area, Match, Regex, _match

CASES = Path(__file__).parent / "cases" / "matching"

# What `$=` shows for an endless series.
ENDLESS = 2147483647


class Case(NamedTuple):
    """One pattern and one text, and what becomes of them."""

    pattern: bytes
    text: bytes
    fold: bool
    matches: bool
    match: bytes | None
    score: int | None


def read_cases(path: Path) -> list[Case]:
    """The cases of a file; characters stand for bytes."""
    cases = []
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]:
        match = case.get("MATCH")
        cases.append(
            Case(
                case["pattern"].encode("latin-1"),
                case["text"].encode("latin-1"),
                not case.get("distinguish_case", False),
                case["match"],
                None if match is None else match.encode("latin-1"),
                case.get("count"),
            )
        )
    return cases


ALL = [
    pytest.param(case, id=f"{path.stem}-{number}-{case.pattern!r}-{case.text!r}")
    for path in sorted(CASES.glob("*.toml"))
    for number, case in enumerate(read_cases(path))
]


def matched(pattern: bytes, text: bytes, *, fold: bool = True) -> bytes | None:
    """What MATCH becomes, if anything."""
    match = Regex(pattern, fold).match(Area(text))
    return None if match is None or match.none else text[match.start : match.end]


def counted(pattern: bytes, text: bytes, *, fold: bool = True) -> tuple[int, bytes | None]:
    """The score of `1^1`, and MATCH."""
    score, value = 0, None
    for match in Regex(pattern, fold).count(Area(text)):
        score = ENDLESS if match.empty else score + 1
        if not match.none:
            value = text[match.start : match.end]
    return score, value


@pytest.mark.parametrize("case", ALL)
def test_case(case: Case) -> None:
    """The answer is the recorded one."""
    if case.score is not None:
        assert counted(case.pattern, case.text, fold=case.fold) == (case.score, case.match)
    else:
        assert matched(case.pattern, case.text, fold=case.fold) == case.match
    assert Regex(case.pattern, case.fold).search(Area(case.text)) == case.matches
    automaton = Automaton(egrep.parse(case.pattern), fold=case.fold)
    assert (automaton.find(Area(case.text).padded) is not None) == case.matches


def test_nul_is_a_byte_like_others() -> None:
    """The engine, not the pattern, cuts MATCH at a NUL."""
    assert Regex(b"a.b", True).search(Area(b"a\0b"))
    assert Regex(b"a[^x]b", True).search(Area(b"a\0b"))
    assert matched(rb"a\/.*", b"a\0b") == b"\0b"


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (rb"(b+|(ac*|a)?)+\/c", b"bbacac", b"c"),
        (rb"a(c?(a)?b*)*\/$*", b"xab", b""),
        (rb"a\/+b", b"ab", b"b"),
    ],
)
def test_patterns_on_which_the_reference_hangs(pattern: bytes, text: bytes, expected: bytes) -> None:
    """They get the obvious answer."""
    assert matched(pattern, text) == expected


def test_split_at_the_end_of_an_alternative() -> None:
    """Read as written; the reference goes on into the next alternative and wants "bc"."""
    assert matched(rb"b\/|c", b"b") == b""


@pytest.mark.parametrize(
    ("text", "valid"),
    [(b"(a)", True), (b"(a", False), (b"a)", False), (b"[(]", True), (b"[(", True), (rb"\(", True), (b"^TO_x", True)],
)
def test_valid(text: bytes, valid: bool) -> None:
    """Only parentheses can be wrong."""
    assert Regex(text, True).valid == valid


def test_empty_pattern_matches_without_touching_match() -> None:
    """And its series is endless."""
    match = Regex(b"", True).match(Area(b"x"))
    assert match is not None
    assert match.none
    assert counted(b"", b"x") == (ENDLESS, None)


def test_macros() -> None:
    """Names are replaced as text, the first occurrence deciding for all."""
    to_word, _ = macros.expand(b"^TO_")
    to_letter, _ = macros.expand(b"^TO")
    assert macros.expand(b"^TOTAL") == (to_letter + b"TAL", False)
    assert macros.expand(b"(^TO_foo|^Subject:).*x") == (b"(" + to_word + b"foo|^Subject:).*x", False)
    # `^TO_` is given up, but `^TO` looks at its own first occurrence, which is escaped as well.
    assert macros.expand(rb"\^TO_a|^TO_b") == (rb"\^TO_a|^TO_b", False)
    assert macros.expand(b"^FROM_DAEMON")[1]
    assert not macros.expand(b"^FROM_MAILER")[1]
    assert macros.expand(b"^to_foo") == (b"^to_foo", False)


@pytest.mark.parametrize(
    ("pattern", "text", "fold", "expected"),
    [
        (b"^TO_foo", b'Bcc: "x" <foo@b>\n', True, True),
        (b"^TO_foo", b"To: a.foo\n", True, False),
        (b"^TOfoo", b"To: a.foo\n", True, True),
        (b"^TOfoo", b"To: xfoo\n", True, False),
        (b"^TO_foo", b"to: FOO\n", False, False),
        (b"^FROM_DAEMON", b"from: ROOT\nx\n", False, True),
        (b"^FROM_DAEMON", b"From: root", True, False),
        (b"^FROM_DAEMON", b"From: root\n>X", True, False),
        (b"^FROM_DAEMON", b"Precedence: bulk", True, True),
        (b"^FROM_DAEMON", b"From: chroot@x\nx\n", True, False),
        (b"^FROM_MAILER", b"From: ROOT\nx\n", False, False),
        (b"^FROM_MAILER", b"From: bbs.smtp@x\nx\n", False, True),
        (b"^FROM_MAILER", b"From: x-request@y\nx\n", True, False),
    ],
)
def test_macros_match(pattern: bytes, text: bytes, fold: bool, expected: bool) -> None:
    """procmail-regex's list of hits and misses."""
    assert Regex(pattern, fold).search(Area(text)) == expected


@pytest.mark.parametrize("pattern", [b"(" * 50_000, b"(" * 50_000 + b"x" + b")*" * 50_000])
def test_any_depth(pattern: bytes) -> None:
    """Nothing that reads or runs a pattern recurses."""
    assert Linear(egrep.parse(pattern), fold=True).search(b"\nx\n")
    assert matched(pattern.replace(b"x", rb"x\/"), b"x") in (None, b"")


def test_pattern_too_big_for_re2() -> None:
    """The automaton answers."""
    pattern = egrep.parse(b"[^ac]" * 100_000 + b"|ab")
    assert re2core.compile(translate(pattern, fold=True), fold=True) is None
    linear = Linear(pattern, fold=True)
    assert linear.search(b"\nxaBx\n")
    assert not linear.search(b"\nxbax\n")


def test_hostile_repetition_is_linear() -> None:
    """A backtracking matcher would not come back."""
    area = Area(b"x" * 20_000)
    assert counted(b"(x+x+)+y", area.text) == (0, None)
    assert matched(rb"(x+x+)+\/y", area.text + b"y") == b"y"
    assert counted(b".", area.text) == (20_000, None)


def test_automaton_forgets_states() -> None:
    """The states of a pattern that has 2**13 of them do not pile up, and the answer stays right."""
    automaton = Automaton(egrep.parse(b"a" + b"(a|b)" * 12 + b"c"), fold=False)
    text = "".join(f"{number:013b}" for number in range(2_000)).translate({0x30: "a", 0x31: "b"}).encode()
    assert automaton.find(b"\n" + text + b"\n") is None
    assert automaton.find(b"\n" + text + b"a" * 13 + b"c\n") == (-1, len(text) + 15)
    assert len(automaton._states) <= 2_002


def test_re2_falls_back_on_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file of the core is not found."""
    monkeypatch.setattr("_imp.extension_suffixes", list)
    monkeypatch.delitem(sys.modules, "re2._re2", raising=False)
    monkeypatch.delitem(sys.modules, "re2", raising=False)
    expression = re2core.compile(b"a+", fold=True)
    assert expression is not None
    assert expression.begins(b"xxAA") == 2


# A naive matcher: a pattern is a function from a padded text and an offset to the offsets where it can end.

Ends = Callable[[bytes, int], frozenset[int]]
Naive = tuple[bytes, Ends]

WORD = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"


def one_of(syntax: bytes, members: bytes) -> Naive:
    """An atom that consumes a byte."""
    return syntax, lambda text, at: frozenset({at + 1} if at < len(text) and text[at] in members else ())


def sequence(parts: list[Naive]) -> Naive:
    """Concatenation."""

    def ends(text: bytes, at: int) -> frozenset[int]:
        reached = frozenset({at})
        for _, part in parts:
            reached = frozenset(end for start in reached for end in part(text, start))
        return reached

    return b"".join(syntax for syntax, _ in parts), ends


def either(first: Naive, second: Naive) -> Naive:
    """Alternatives."""
    return b"(" + first[0] + b"|" + second[0] + b")", lambda text, at: first[1](text, at) | second[1](text, at)


def repeated(atom: Naive, quantifier: bytes) -> Naive:
    """A quantified atom."""

    def ends(text: bytes, at: int) -> frozenset[int]:
        reached = frozenset({at}) if quantifier in b"*?" else atom[1](text, at)
        if quantifier == b"?":
            return reached | atom[1](text, at)
        while True:
            more = reached.union(*(atom[1](text, start) for start in reached))
            if more == reached:
                return reached
            reached = more

    return b"(" + atom[0] + b")" + quantifier, ends


BYTES = bytes(range(256))
ATOMS = st.sampled_from(
    [
        one_of(b"a", b"aA"),
        one_of(b"b", b"bB"),
        one_of(b"C", b"cC"),
        one_of(b" ", b" "),
        one_of(b".", BYTES.replace(b"\n", b"")),
        one_of(b"[^a]", bytes(set(BYTES) - set(b"aA\n"))),
        one_of(b"[a-b]", b"aAbB"),
        one_of(b"(^)", b"\n"),
        one_of(b"$", b"\n"),
        one_of(b"\\<", bytes(set(BYTES) - set(WORD))),
        one_of(b"\\>", bytes(set(BYTES) - set(WORD))),
        sequence([(b"()", lambda _, at: frozenset({at}))]),
    ]
)
QUANTIFIERS = st.sampled_from([b"*", b"+", b"?"])


def extend(inner: st.SearchStrategy[Naive]) -> st.SearchStrategy[Naive]:
    """Bigger patterns from smaller ones."""
    return (
        st.lists(inner, min_size=1, max_size=3).map(sequence)
        | st.builds(either, inner, inner)
        | st.builds(repeated, inner, QUANTIFIERS)
    )


PATTERNS = st.recursive(ATOMS, extend, max_leaves=7)
# Left of a split: nothing that makes the reference find MATCH too early.
PLAIN = st.lists(ATOMS | st.builds(repeated, ATOMS, st.sampled_from([b"*", b"?"])), max_size=3).map(sequence)
TEXTS = st.text("abcA \n", max_size=9).map(str.encode)


@given(PATTERNS, TEXTS)
@settings(max_examples=400, deadline=None)
def test_three_opinions(pattern: Naive, text: bytes) -> None:
    """RE2, the automaton and the naive matcher agree whether, and where first, a pattern matches."""
    syntax, ends = pattern
    padded = bytes(Area(text).padded)
    tree = egrep.parse(syntax)
    found = Automaton(tree, fold=True).find(padded)
    naive = [end for start in range(len(padded) - 1) for end in ends(padded, start)]
    assert Linear(tree, fold=True).search(padded) == (found is not None) == bool(naive)
    if found is not None:
        assert found[1] == min(naive)


@given(PLAIN, PATTERNS, TEXTS)
@settings(max_examples=400, deadline=None)
def test_shortest_left_longest_right(left: Naive, right: Naive, text: bytes) -> None:
    """The contract of `\\/`, for left sides without the reference's early MATCH."""
    pattern = egrep.parse(left[0] + rb"\/" + right[0])
    # Nor those that match nothing in several ways.
    assume(not Automaton(pattern, fold=True, literally=False).strays)
    padded = bytes(Area(text).padded)
    splits = {split for start in range(len(padded) - 1) for split in left[1](padded, start)}
    naive = [(split, max(ends)) for split in sorted(splits) if (ends := right[1](padded, split))]
    found = Automaton(pattern, fold=True).find(padded)
    assert found == (naive[0] if naive else None)


ANYTHING = st.lists(
    st.sampled_from([bytes([byte]) for byte in b"ab\n ()|*+?[]^$.\\/-<"] + [b"^^", b"\\/", b"\\<", b"\xe9"]),
    max_size=12,
).map(b"".join)


@given(ANYTHING, st.text("ab\n é-", max_size=9).map(lambda text: text.encode("latin-1")), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_a_pattern(pattern: bytes, text: bytes, fold: bool) -> None:
    """Nothing is refused or raises, both matchers agree, and searching from RE2's start changes nothing."""
    regex, area = Regex(pattern or b"()", fold), Area(text)
    automaton = Automaton(regex.pattern, fold=fold)
    found = automaton.find(area.padded)
    assert regex.search(area) == (found is not None)
    if found is not None:
        begins = Linear(regex.pattern, fold=fold).begins(area.padded)
        assert automaton.find(area.padded, begins) == found
        assert next(regex.count(area)).none == (found[0] < 0 or found[0] > len(text) + 1)
    same_positions(regex, area)


def same_positions(regex: Regex, area: Area) -> None:
    """What is found with RE2's help is what the automaton finds alone."""
    automaton = Automaton(regex.pattern, fold=regex.folds)
    counted = [_match(area.padded, *found) for found in automaton.successive(area.padded)]
    found = automaton.find(area.padded)
    match = regex.match(area)
    assert [flat(match) for match in regex.count(area)] == [flat(match) for match in counted]
    if regex.splits:
        assert (match and flat(match)) == (found and flat(_match(area.padded, *found, False)))


def flat(match: Match) -> tuple[int, int, bool, bool]:
    """Its parts."""
    return match.start, match.end, match.none, match.empty


CHAINS = st.lists(ATOMS | st.builds(repeated, ATOMS, QUANTIFIERS), min_size=1, max_size=4).map(sequence)
LONGER = st.text("abcA \n", max_size=60).map(str.encode)


@given(CHAINS, st.none() | CHAINS | PATTERNS, LONGER, st.booleans())
@settings(max_examples=300, deadline=None)
def test_positions_by_re2(left: Naive, right: Naive | None, text: bytes, viewed: bool) -> None:
    """Whatever the pattern, with pieces so small that matches lie across their ends."""
    area = Area(text)
    if viewed:
        area.padded = memoryview(area.padded)
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("_CHUNK", 5), ("_WINDOW", 3), ("_NEAR", 2)):
            patch.setattr(positions, name, size)
        for fold in (True, False):
            same_positions(Regex(left[0], fold), area)
            if right is not None:
                same_positions(Regex(left[0] + rb"\/" + right[0], fold), area)
